/*
 * Which files of the old release has the owner changed? The new release's take their place, so that what was done to them by hand has to be done
 * again.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "hash.h"
#include "upgrade_internal.h"
#include "walk.h"

#define BLOCK (256u << 10)

static enum error_kind hash_file(int fd, const char *shown, void *block, struct hash *out, struct error *err)
{
    struct hash_stream *s = NULL;
    size_t got = 0;
    enum error_kind rc = hash_stream_new(0, &s, err);

    while (!rc) {
        rc = file_read(fd, block, BLOCK, &got, shown, err);
        if (rc || !got)
            break;
        hash_stream_update(s, block, got);
    }
    if (!rc)
        hash_stream_end(s, out);
    hash_stream_free(s);
    return rc;
}

static enum error_kind compare(int live, const struct release_entry *e, void *block, struct text_list *out,
                               struct error *err)
{
    struct error why = ERROR_INIT;
    struct hash now;
    int fd = -1;
    enum error_kind rc = walk_open_below(live, e->path, O_RDONLY | O_NONBLOCK, &fd, &why);

    if (rc) /* removed by the owner, or not to be read: nothing that would be lost */
        return OK;
    rc = hash_file(fd, e->path, block, &now, &why);
    file_close(&fd);
    if (rc || memcmp(&now, &e->hash, sizeof(now)) == 0)
        return OK;
    return text_list_add(out, e->path, err);
}

/* Settings are carried over and converted; what an application rewrites was not changed by hand. */
static bool is_program(const struct upgrade_context *c, const struct release_entry *e)
{
    return !e->folder && e->hashed && !site_is_rewritten(c->site, e->path) &&
           site_classify(c->site, e->path, false, NULL) == SITE_KEEP;
}

enum error_kind modified_list(struct upgrade_context *c, const struct progress *progress, struct text_list *out,
                              struct error *err)
{
    const struct release_list *list = release_list(c->old_release);
    void *block = NULL;
    int live = -1;
    enum error_kind rc = release_check(c->old_release, progress, err);

    progress_step(progress, "comparing the shop with the release that it was made from");
    if (!rc)
        rc = memory_allocate(BLOCK, &block, err);
    if (!rc)
        rc = file_open(AT_FDCWD, c->site->path, O_RDONLY | O_DIRECTORY, 0, &live, err);
    for (size_t i = 0; i < list->count && !rc && out->count < UPGRADE_LINES_MAX; i++)
        if (is_program(c, &list->items[i]))
            rc = compare(live, &list->items[i], block, out, err);
    file_close(&live);
    free(block);
    return rc;
}
