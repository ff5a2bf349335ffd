/*
 * What snapshots leave out (thumbs, logs, db_backups, the owner's excluded paths) goes across with the live tree by rename, while
 * the shop is fenced. The walk names the topmost left-out entries; each is renamed if the other tree has no such
 * name. Repeating it finds nothing left to do, and the way back is the same with the trees exchanged (T4).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "transaction_internal.h"
#include "walk.h"

static bool crosses(enum site_class class)
{
    return class == SITE_REGENERATED || class == SITE_BACKUPS || class == SITE_EXCLUDED;
}

/* Absent parent or taken name: the entry stays where it is, and the kept tree's end decides about it. */
static enum error_kind move_one(const struct walk_item *item, const char *to, uint64_t *moved, struct error *err)
{
    struct error why = ERROR_INIT;
    char *path = NULL;
    enum error_kind rc = path_join(to, item->path, &path, err);

    if (rc)
        return rc;
    rc = file_rename_new(item->dirfd, item->name, AT_FDCWD, path, &why);
    if (!rc)
        (*moved)++;
    else if (rc == ERR_EXISTS || rc == ERR_NOT_FOUND || why.sys == EXDEV) /* on a mount: it stays with the mount */
        rc = OK;
    else
        error_copy(err, &why);
    free(path);
    return rc;
}

static enum error_kind sync_tree(const char *tree, struct error *err)
{
    int fd = -1;
    enum error_kind rc = file_open(AT_FDCWD, tree, O_RDONLY | O_DIRECTORY, 0, &fd, err);

    if (!rc)
        rc = file_sync_filesystem(fd, tree, err);
    file_close(&fd);
    return rc;
}

enum error_kind moves_left_out(const struct site *rules, const char *from, const char *to, uint64_t *moved,
                               struct error *err)
{
    struct walk *walk = NULL;
    struct walk_item item;
    enum error_kind rc = walk_open(from, rules, &walk, err);

    *moved = 0;
    while (!rc) {
        rc = walk_next(walk, &item, err);
        if (rc || item.event == WALK_END)
            break;
        if (item.event == WALK_SKIPPED && crosses(item.class))
            rc = move_one(&item, to, moved, err);
    }
    walk_close(walk);
    if (!rc && *moved)
        rc = sync_tree(to, err);
    if (rc)
        error_context(err, "moving what snapshots leave out from %s", from);
    return rc;
}
