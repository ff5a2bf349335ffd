#include "snapshot_internal.h"

#include <string.h>

#include "thread.h"

#define SHOWN_PATH 512

static enum error_kind keep(struct text_list *list, uint64_t count, const char *path, const char *what,
                            struct error *err)
{
    return count < LINES_KEPT ? text_list_addf(list, err, "%s: %s", path, what) : OK;
}

enum error_kind say_unread(struct taking *t, const char *path, const struct error *why, struct error *err)
{
    uint64_t count = t->said[SAID_UNREAD]++;
    char shown[SHOWN_PATH];

    text_name(path, strlen(path), shown, sizeof shown);
    if (count < LINES_SHOWN)
        progress_warn(t->progress, "%s could not be read: %s", shown, why->text);
    return keep(&t->result->record.unread, count, path, why->text, err);
}

enum error_kind say_restless(struct taking *t, const char *path, struct error *err)
{
    uint64_t count = t->said[SAID_RESTLESS]++;
    char shown[SHOWN_PATH];

    t->result->changed_while_read++;
    text_name(path, strlen(path), shown, sizeof shown);
    if (count < LINES_SHOWN)
        progress_warn(t->progress, "%s changed each time it was read; the last reading is kept", shown);
    return keep(&t->result->record.notes, count, path, "changed while it was read", err);
}

enum error_kind say_gone(struct taking *t, const char *path, struct error *err)
{
    uint64_t count = t->said[SAID_GONE]++;
    char shown[SHOWN_PATH];

    text_name(path, strlen(path), shown, sizeof shown);
    if (count < LINES_SHOWN)
        progress_note(t->progress, "%s went away before it could be read", shown);
    return keep(&t->result->record.notes, count, path, "went away before it could be read", err);
}

enum error_kind say_socket(struct taking *t, const char *path, struct error *err)
{
    uint64_t count = t->said[SAID_SOCKET]++;
    char shown[SHOWN_PATH];

    text_name(path, strlen(path), shown, sizeof shown);
    if (count < LINES_SHOWN)
        progress_note(t->progress, "%s is a socket: left out, its program makes it again", shown);
    return keep(&t->result->record.notes, count, path, "a socket, left out", err);
}

enum error_kind say_rest(struct taking *t, struct error *err)
{
    static const char *const what[SAID_KINDS] = {
        [SAID_UNREAD] = "could not be read",
        [SAID_RESTLESS] = "changed while they were read",
        [SAID_GONE] = "went away before they could be read",
        [SAID_SOCKET] = "are sockets, left out",
    };
    struct snapshot_record *record = &t->result->record;
    enum error_kind rc = OK;

    for (int kind = 0; !rc && kind < SAID_KINDS; kind++) {
        unsigned long long count = t->said[kind];

        if (count > LINES_SHOWN)
            progress_warn(t->progress, "%llu more files %s", count - LINES_SHOWN, what[kind]);
        if (count > LINES_KEPT)
            rc = text_list_addf(kind == SAID_UNREAD ? &record->unread : &record->notes, err, "%llu more files: %s",
                                count - LINES_KEPT, what[kind]);
    }
    return rc;
}

enum error_kind say_bytes(struct taking *t, uint64_t bytes, struct error *err)
{
    t->bytes_done += bytes;
    if (t->bytes_expected && t->bytes_done > t->bytes_expected)
        t->bytes_expected = t->bytes_done;
    progress_advance(t->progress, t->bytes_done, t->bytes_expected, "bytes");
    return cancel_check(err);
}
