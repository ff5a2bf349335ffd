/*
 * Removing a kept tree: entry by entry, what the snapshot is proved to have, and what the shop regenerates. The rest stays and is
 * named (P8). A removal never crosses a mount.
 *
 * The tree is at rest (no process is in it), and its snapshot was taken from it: an entry is proved when the snapshot has one of
 * the same name and type, and for files of the same size and modification time. A linked file is proved by
 * having the snapshot's entry: its content is in the live tree and in the catalogue.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "transaction_internal.h"
#include "walk.h"

#define LEFT_SHOWN 100

static bool proved(const struct linked *linked, const struct tree_entry *e, const struct walk_item *item)
{
    if (!e || S_ISSOCK(item->st.st_mode) || e->type != tree_type_of(item->st.st_mode))
        return false;
    if (e->type != TREE_FILE)
        return true;
    if (linked_find(linked, item->path, &item->st) != LINKED_NO)
        return true;
    return e->size == (uint64_t)item->st.st_size && e->mtime_sec == item->st.st_mtim.tv_sec &&
           e->mtime_nsec == (uint32_t)item->st.st_mtim.tv_nsec;
}

static enum error_kind leave(struct text_list *left, const char *path, const char *why, struct error *err)
{
    char shown[512];

    if (left->count >= LEFT_SHOWN)
        return OK;
    text_name(path, strlen(path), shown, sizeof(shown));
    return text_list_addf(left, err, "%s: %s", shown, why);
}

/* Regenerated things may go without being in a snapshot; db_backups and the owner's excluded paths may not. */
static enum error_kind remove_skipped(const struct walk_item *item, struct text_list *left, struct error *err)
{
    if (item->class == SITE_REGENERATED)
        return directory_remove_tree(item->dirfd, item->name, err);
    return leave(left, item->path, item->reason ? item->reason : "left out of snapshots", err);
}

struct removal {
    struct entry_steps *steps;
    struct linked *linked;
    struct linked_writer **noted;
    struct text_list *left;
};

static enum error_kind remove_entry(struct removal *r, const struct walk_item *item, struct error *err)
{
    const struct tree_entry *entry = NULL;
    enum error_kind rc;

    if (S_ISSOCK(item->st.st_mode))
        return file_unlink(item->dirfd, item->name, err); /* a dead socket holds no data */
    rc = entry_steps_get(r->steps, item->path, &entry, err);
    if (rc)
        return rc;
    if (!proved(r->linked, entry, item))
        return leave(r->left, item->path, "not in the snapshot", err);
    return renewal_unlink(r->linked, item, r->noted, err);
}

/* A directory goes when it is empty; one that still holds something stays. */
static enum error_kind remove_directory(const struct walk_item *item, struct error *err)
{
    int flags = AT_REMOVEDIR;
    int result;

    if (!*item->path)
        return OK; /* the root goes with its folder */
    result = unlinkat(item->dirfd, item->name, flags);
    if (result == 0 || errno == ENOTEMPTY || errno == EEXIST)
        return OK;
    return error_set(err, ERR_IO, errno, "%s", item->path);
}

static enum error_kind remove_all(struct removal *r, const struct site *rules, const char *tree, struct error *err)
{
    struct walk *walk = NULL;
    struct walk_item item;
    uint64_t root_mount = 0;
    enum error_kind rc = file_mount_id(AT_FDCWD, tree, &root_mount, err);

    if (!rc)
        rc = walk_open(tree, rules, &walk, err);
    while (!rc) {
        rc = walk_next(walk, &item, err);
        if (rc || item.event == WALK_END)
            break;
        if (item.event == WALK_ENTER && item.mount_id != root_mount) {
            walk_prune(walk);
            rc = leave(r->left, item.path, "a mount", err);
        } else if (item.event == WALK_ENTRY) {
            rc = remove_entry(r, &item, err);
        } else if (item.event == WALK_SKIPPED) {
            rc = remove_skipped(&item, r->left, err);
        } else if (item.event == WALK_LEAVE) {
            rc = remove_directory(&item, err);
        } else if (item.event == WALK_UNREADABLE) {
            rc = leave(r->left, item.path, item.error.text, err);
        }
    }
    walk_close(walk);
    return rc;
}

static enum error_kind open_linked(const char *tree, struct linked **out, struct error *err)
{
    char *parent = NULL;
    char *path = NULL;
    enum error_kind rc = path_parent(tree, &parent, err);

    if (!rc)
        rc = path_join(parent, "linked", &path, err);
    if (!rc)
        rc = linked_open(path, out, err);
    free(parent);
    free(path);
    return rc;
}

enum error_kind kept_remove_tree(struct catalog *cat, const struct snapshot_record *snapshot, const struct site *rules,
                                 const char *tree, struct linked_writer **noted, struct text_list *left,
                                 struct error *err)
{
    struct removal r = {NULL, NULL, noted, left};
    enum error_kind rc = entry_steps_open(cat, snapshot, path_base(tree), &r.steps, err);

    if (!rc)
        rc = open_linked(tree, &r.linked, err);
    if (!rc)
        rc = remove_all(&r, rules, tree, err);
    linked_close(r.linked);
    entry_steps_close(r.steps);
    return rc;
}
