#include "left_out_internal.h"

#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "thread.h"

#define LINES_MAX 256 /* further ones are added up in the last */

static struct snapshot_left_out *append(struct snapshot_record *record, struct error *err)
{
    struct snapshot_left_out *items;

    if ((record->left_out_count & (record->left_out_count - 1)) == 0) { /* a power of two: full */
        size_t cap = record->left_out_count ? 2 * record->left_out_count : 1;

        items = realloc(record->left_out, cap * sizeof *items);
        if (!items) {
            error_set(err, ERR_MEMORY, 0, "no memory for what is left out");
            return NULL;
        }
        record->left_out = items;
    }
    items = &record->left_out[record->left_out_count];
    memset(items, 0, sizeof *items);
    return items;
}

enum error_kind left_out_add_path(struct snapshot_record *record, const char *path, const char *reason, uint64_t files,
                                  uint64_t bytes, struct error *err)
{
    struct snapshot_left_out *line;
    enum error_kind rc;

    if (record->left_out_count == LINES_MAX) {
        line = &record->left_out[LINES_MAX - 1];
    } else {
        line = append(record, err);
        if (!line)
            return err->kind;
        if (record->left_out_count == LINES_MAX - 1) {
            path = ".";
            reason = "further paths";
        }
        rc = memory_string(path, &line->path, err);
        if (!rc)
            rc = memory_string(reason, &line->reason, err);
        record->left_out_count++;
        if (rc)
            return rc;
    }
    line->files += files;
    line->bytes += bytes;
    return OK;
}

static enum error_kind count_below(const struct walk_item *item, uint64_t *files, uint64_t *bytes, struct error *err)
{
    struct error ignored = ERROR_INIT;
    struct walk *walk = NULL;
    struct walk_item below;
    enum error_kind rc = OK;

    if (walk_open_at(item->dirfd, item->name, &walk, &ignored)) /* left out, and unreadable: then it has no numbers */
        return OK;
    while (!rc && walk_next(walk, &below, &ignored) == OK && below.event != WALK_END) {
        rc = cancel_check(err);
        if (below.event == WALK_ENTRY) {
            ++*files;
            *bytes += S_ISREG(below.st.st_mode) ? (uint64_t)below.st.st_size : 0;
        }
    }
    walk_close(walk);
    return rc;
}

/* Is `path` in the folder of a line with the same reason? Walk order makes the topmost folder come first. */
static struct snapshot_left_out *line_for(struct snapshot_record *record, const char *path, const char *reason)
{
    for (size_t i = record->left_out_count; i-- > 0;) {
        struct snapshot_left_out *line = &record->left_out[i];
        size_t len = strcmp(line->path, ".") ? strlen(line->path) : 0;

        if (!strcmp(line->reason, reason) && !strncmp(line->path, path, len) && (!len || path[len] == '/'))
            return line;
    }
    return NULL;
}

enum error_kind left_out_add(struct snapshot_record *record, const struct walk_item *item, struct error *err)
{
    const char *reason = item->reason ? item->reason : "left out";
    uint64_t files = 0, bytes = 0;
    struct snapshot_left_out *line;
    char *folder = NULL;
    enum error_kind rc;

    if (item->class == SITE_OWN)
        return OK;
    if (S_ISDIR(item->st.st_mode)) {
        rc = count_below(item, &files, &bytes, err);
        return rc ? rc : left_out_add_path(record, item->path, reason, files, bytes, err);
    }
    bytes = S_ISREG(item->st.st_mode) ? (uint64_t)item->st.st_size : 0;
    line = line_for(record, item->path, reason);
    if (line) {
        line->files++;
        line->bytes += bytes;
        return OK;
    }
    rc = path_parent(item->path, &folder, err);
    if (!rc)
        rc = left_out_add_path(record, folder, reason, 1, bytes, err);
    free(folder);
    return rc;
}
