/*
 * Catching up: between the first snapshot, from which the new tree's carried files come, and the restore point the shop was open. What is carried
 * and differs between the two comes from the restore point, as new files; what is gone goes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "open_below.h"
#include "transaction_internal.h"

struct late {
    struct transaction_context *x;
    struct text_list changed; /* sorted, as the walk goes */
    struct text_list gone;
    bool root; /* the site's folder itself has changed */
    int tree;  /* the staged one */
};

static enum error_kind note(void *arg, const struct difference *d, struct error *err)
{
    struct late *l = arg;

    if (strcmp(d->root, "site") == 0 && strcmp(d->path, ".") == 0) {
        l->root = true;
        return OK;
    }
    if (strcmp(d->root, "site") != 0 || !l->x->steps->carries(l->x->steps->arg, d->path, d->type == TREE_DIRECTORY))
        return OK;
    return text_list_add(d->kind == DIFFERENCE_REMOVED ? &l->gone : &l->changed, d->path, err);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort(struct text_list *l)
{
    if (l->count)
        qsort(l->items, l->count, sizeof(*l->items), by_name);
}

static bool is_changed(void *arg, const char *path, bool is_folder)
{
    const struct text_list *l = arg;

    (void)is_folder;
    return l->count && bsearch(&path, l->items, l->count, sizeof(*l->items), by_name);
}

/* The folder of a path, and its name in it; *dir is -1 where the folder is not there. */
static enum error_kind open_folder(int root, const char *path, int *dir, const char **name, struct error *err)
{
    struct error why = ERROR_INIT;
    const char *slash = strrchr(path, '/');
    char *folder = NULL;
    enum error_kind rc;

    *name = slash ? slash + 1 : path;
    rc = slash ? path_parent(path, &folder, err) : memory_string(".", &folder, err);
    if (rc)
        return rc;
    rc = walk_open_below(root, folder, O_RDONLY | O_DIRECTORY, dir, &why);
    free(folder);
    if (rc && rc != ERR_NOT_FOUND) {
        error_copy(err, &why);
        return rc;
    }
    return OK;
}

/* Folders go when they are empty: a name below one sorts behind it, so the last comes first. */
static enum error_kind remove_gone(struct late *l, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = l->gone.count; i-- && !rc;) {
        const char *name;
        struct stat st;
        int dir = -1;

        rc = open_folder(l->tree, l->gone.items[i], &dir, &name, err);
        if (!rc && dir >= 0 && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
            int result = unlinkat(dir, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);

            if (result && errno != ENOENT && errno != ENOTEMPTY && errno != EEXIST)
                rc = error_set(err, ERR_IO, errno, "%s", l->gone.items[i]);
        }
        file_close(&dir);
    }
    return rc;
}

/* Owner, mode and times of a folder that stands in the tree already. */
static enum error_kind same_folder(int dir, const char *name, const struct stat *from, struct error *err)
{
    const struct timespec times[2] = {from->st_atim, from->st_mtim};
    int fd = -1;
    enum error_kind rc = file_open(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &fd, err);

    if (rc)
        return rc;
    if ((geteuid() == 0 && fchown(fd, from->st_uid, from->st_gid)) || fchmod(fd, from->st_mode & 07777) ||
        futimens(fd, times))
        rc = error_set(err, ERR_IO, errno, "%s", name);
    file_close(&fd);
    return rc;
}

static enum error_kind put(const struct walk_item *item, int dir, bool *whole, struct error *err)
{
    struct stat there;
    bool is_folder = S_ISDIR(item->st.st_mode);
    enum error_kind rc = OK;

    *whole = true;
    if (fstatat(dir, item->name, &there, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(there.st_mode)) {
        if (is_folder) {
            *whole = false;
            return same_folder(dir, item->name, &item->st, err);
        }
        rc = directory_remove_tree(dir, item->name, err);
    } else if (is_folder) {
        (void)unlinkat(dir, item->name, 0); /* a file of that name, if there was one */
    }
    return rc ? rc : file_rename(item->dirfd, item->name, dir, item->name, err);
}

/* From the folder into which they were restored to the tree: by rename, each a file of its own. */
static enum error_kind put_all(struct late *l, const char *from, struct error *err)
{
    struct walk *walk = NULL;
    struct walk_item item;
    enum error_kind rc = walk_open(from, NULL, &walk, err);

    while (!rc) {
        const char *name;
        bool whole = true;
        int dir = -1;

        rc = walk_next(walk, &item, err);
        if (rc || item.event == WALK_END)
            break;
        if ((item.event != WALK_ENTRY && item.event != WALK_ENTER) || !*item.path)
            continue;
        rc = open_folder(l->tree, item.path, &dir, &name, err);
        if (!rc && dir < 0)
            rc = error_set(err, ERR_CORRUPT, 0, "the new tree has no place for %s", item.path);
        if (!rc)
            rc = put(&item, dir, &whole, err);
        if (!rc && item.event == WALK_ENTER && whole)
            walk_prune(walk);
        file_close(&dir);
    }
    walk_close(walk);
    return rc;
}

static enum error_kind bring_changed(struct late *l, struct error *err)
{
    struct restore_options o = {.select = is_changed, .select_arg = &l->changed, .no_sync = true};
    struct restore_result result = {.files = 0};
    char *from = NULL;
    enum error_kind rc;

    if (!l->changed.count)
        return OK;
    rc = path_join(l->x->txn.stage, "late", &from, err);
    if (!rc)
        rc = restore_files(l->x->cat, &l->x->point, "site", from, &o, NULL, &result, err);
    if (!rc)
        rc = restore_verify(l->x->cat, &l->x->point, "site", from, &o, NULL, NULL, NULL, err); /* P9 */
    if (!rc)
        rc = put_all(l, from, err);
    if (!rc)
        rc = directory_remove_tree(AT_FDCWD, from, err);
    restore_result_release(&result);
    free(from);
    return rc;
}

/* It stands in the tree, whatever is carried. The shop is stopped: what it is now is what the restore point has. */
static enum error_kind same_root(struct late *l, struct error *err)
{
    int live = -1;
    enum error_kind rc = OK;

    if (!l->root)
        return OK;
    rc = file_open(AT_FDCWD, l->x->txn.site_path, O_RDONLY | O_DIRECTORY, 0, &live, err);
    if (!rc)
        rc = walk_attributes_copy(live, l->tree, l->x->txn.site_path, err);
    file_close(&live);
    return rc;
}

/* What was brought anew is shared no more: the old tree has the file that the shop wrote, and its record is of another. */
static enum error_kind forget_links(struct late *l, struct error *err)
{
    struct error none = ERROR_INIT;
    bool any = false;

    for (size_t i = 0; i < l->changed.count && l->x->linked; i++)
        any |= linked_forget(l->x->linked, l->changed.items[i], &none) == OK;
    return any ? linked_sync(l->x->linked, err) : OK;
}

enum error_kind forward_catch_up(struct transaction_context *x, const char *tree, struct error *err)
{
    struct late l = {.x = x, .tree = -1};
    enum error_kind rc = difference_snapshots(x->cat, &x->target, &x->point, note, &l, err);

    sort(&l.changed);
    sort(&l.gone);
    if (!rc)
        rc = file_open(AT_FDCWD, tree, O_RDONLY | O_DIRECTORY, 0, &l.tree, err);
    if (!rc)
        rc = remove_gone(&l, err);
    if (!rc)
        rc = bring_changed(&l, err);
    if (!rc)
        rc = same_root(&l, err);
    if (!rc)
        rc = forget_links(&l, err);
    file_close(&l.tree);
    text_list_release(&l.changed);
    text_list_release(&l.gone);
    if (rc)
        error_context(err, "catching up");
    return rc;
}
