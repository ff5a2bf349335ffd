/*
 * What snapshots leave out (thumbs, logs, db_backups, the owner's excluded paths) goes across with the live tree by rename, while
 * the shop is fenced. The walk names the topmost left-out entries; each is renamed if the other tree has no such
 * name, into a folder that is made like its own where that is missing. Repeating it finds nothing left to do, and the way back is the same with the trees exchanged (T4).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "transaction_internal.h"
#include "walk.h"

struct crossing {
    int from, to; /* the trees */
    bool make_parents;
    bool new_version; /* caches are of the version that made them */
    char *folder;     /* the last one that was opened below `to`, */
    int fd;           /* -1: it can't be entered */
};

static bool crosses(const struct crossing *c, const struct walk_item *item)
{
    if (item->class == SITE_REGENERATED)
        return !c->new_version || !site_begins_empty(item->reason);
    return item->class == SITE_BACKUPS || item->class == SITE_EXCLUDED;
}

static void crossing_release(struct crossing *c)
{
    file_close(&c->from);
    file_close(&c->to);
    file_close(&c->fd);
    free(c->folder);
}

/* What the shop makes again makes its folder, too. */
static enum error_kind open_folder(struct crossing *c, const struct walk_item *item, struct error *err)
{
    struct error why = ERROR_INIT;
    bool make = c->make_parents && item->class != SITE_REGENERATED;
    char *folder = NULL;
    enum error_kind rc =
        strchr(item->path, '/') ? path_parent(item->path, &folder, err) : memory_string("", &folder, err);

    if (rc || (c->folder && !strcmp(folder, c->folder) && (c->fd >= 0 || !make))) {
        free(folder);
        return rc;
    }
    file_close(&c->fd);
    free(c->folder);
    c->folder = folder;
    rc = moves_parent_open(c->from, c->to, folder, make, &c->fd, &why);
    if (rc && rc != ERR_NOT_FOUND) {
        error_copy(err, &why);
        return rc;
    }
    return OK;
}

/* Absent folder or taken name: the entry stays where it is, and the kept tree's end decides about it. */
static enum error_kind move_one(struct crossing *c, const struct walk_item *item, uint64_t *moved, struct error *err)
{
    struct error why = ERROR_INIT;
    enum error_kind rc = open_folder(c, item, err);

    if (rc || c->fd < 0)
        return rc;
    rc = file_rename_new(item->dirfd, item->name, c->fd, item->name, &why);
    if (!rc)
        (*moved)++;
    else if (rc == ERR_EXISTS || rc == ERR_NOT_FOUND || why.sys == EXDEV) /* on a mount: it stays with the mount */
        rc = OK;
    else
        error_copy(err, &why);
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

/* ---- the guard ---- */

struct guard {
    struct catalog *cat;
    const struct snapshot_record *target;
    struct entry_steps *steps; /* opened when the first one is asked for: mostly there is none */
    const char *staged, *live;
};

static enum error_kind in_target(struct guard *g, const char *path, bool *out, struct error *err)
{
    const struct tree_entry *entry = NULL;
    enum error_kind rc = OK;

    *out = false;
    if (!g->cat || !g->target->root_count)
        return OK;
    if (!g->steps)
        rc = entry_steps_open(g->cat, g->target, "site", &g->steps, err);
    if (!rc)
        rc = entry_steps_get(g->steps, path, &entry, err);
    *out = !rc && entry;
    return rc;
}

static enum error_kind refuse_one(struct guard *g, const char *path, struct error *err)
{
    char shown[512];
    char *there = NULL;
    struct stat st;
    bool known = false;
    enum error_kind rc = path_join(g->live, path, &there, err);

    if (!rc && lstat(there, &st) != 0)
        rc = in_target(g, path, &known, err);
    else
        known = true;
    if (!rc && !known) {
        text_name(path, strlen(path), shown, sizeof(shown));
        rc =
            error_set(err, ERR_PENDING, 0, "%s/%s is in no snapshot, and %s has it no more", g->staged, shown, g->live);
        error_hint(err, "move it back by hand, then run nopsnap recover again");
    }
    free(there);
    return rc;
}

enum error_kind moves_refuse_only_copy(struct catalog *cat, const struct snapshot_record *target,
                                       const struct site *rules, const char *staged, const char *live,
                                       struct error *err)
{
    struct guard g = {cat, target, NULL, staged, live};
    struct walk *walk = NULL;
    struct walk_item item;
    enum error_kind rc = walk_open(staged, rules, &walk, err);

    while (!rc) {
        rc = walk_next(walk, &item, err);
        if (rc || item.event == WALK_END)
            break;
        if (item.event == WALK_SKIPPED && (item.class == SITE_BACKUPS || item.class == SITE_EXCLUDED))
            rc = refuse_one(&g, item.path, err);
    }
    walk_close(walk);
    entry_steps_close(g.steps);
    return rc;
}

/* ---- moving ---- */

enum error_kind moves_left_out(const struct site *rules, const char *from, const char *to, bool make_parents,
                               bool new_version, uint64_t *moved, struct error *err)
{
    struct crossing c = {-1, -1, make_parents, new_version, NULL, -1};
    struct walk *walk = NULL;
    struct walk_item item;
    enum error_kind rc = walk_open(from, rules, &walk, err);

    *moved = 0;
    if (!rc)
        walk_names_only(walk); /* the shop is closed meanwhile */
    if (!rc)
        rc = file_open(AT_FDCWD, from, O_RDONLY | O_DIRECTORY, 0, &c.from, err);
    if (!rc)
        rc = file_open(AT_FDCWD, to, O_RDONLY | O_DIRECTORY, 0, &c.to, err);
    while (!rc) {
        rc = walk_next(walk, &item, err);
        if (rc || item.event == WALK_END)
            break;
        if (item.event == WALK_SKIPPED && crosses(&c, &item))
            rc = move_one(&c, &item, moved, err);
    }
    walk_close(walk);
    crossing_release(&c);
    if (!rc && *moved)
        rc = sync_tree(to, err);
    if (rc)
        error_context(err, "moving what snapshots leave out from %s", from);
    return rc;
}
