/*
 * The new tree: what is carried over stands in it already; the release is unpacked beside it, read back, given the shop's owner, and moved in by
 * rename. Where both have a file, the carried one stays.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "upgrade_internal.h"
#include "walk.h"

struct planting {
    const char *old_tree;
    int live, tree; /* -1 where the live one is gone */
    struct stat root;
};

/*
 * Owner and mode as the old tree has them for the same path, else those of its root: the shop's process must be able to write where it could before.
 * A program that the release marks as one stays one.
 */
static enum error_kind own(const struct planting *p, const struct walk_item *item, struct error *err)
{
    struct error ignored = ERROR_INIT;
    struct stat old = p->root;
    mode_t mode = item->st.st_mode & 07777;
    bool folder = S_ISDIR(item->st.st_mode);
    bool known = false;
    int fd = -1;
    enum error_kind rc;

    if (p->live >= 0 && *item->path && walk_open_below(p->live, item->path, O_PATH | O_NOFOLLOW, &fd, &ignored) == OK) {
        known = fstat(fd, &old) == 0 && (old.st_mode & S_IFMT) == (item->st.st_mode & S_IFMT);
        file_close(&fd);
    }
    if (known)
        mode = (old.st_mode & 07777 & ~(mode_t)(S_ISUID | S_ISGID)) | (mode & 0111);
    else if (folder) /* whoever may write to the shop's own folder may write to a new one in it */
        mode |= p->root.st_mode & 0070;
    if (!known)
        old = p->root;
    rc = file_open(item->dirfd, item->name, O_RDONLY | O_NOFOLLOW | (folder ? O_DIRECTORY : 0), 0, &fd, err);
    if (rc)
        return rc;
    if ((geteuid() == 0 && fchown(fd, old.st_uid, old.st_gid)) || fchmod(fd, mode))
        rc = error_set(err, ERR_IO, errno, "%s", item->path);
    file_close(&fd);
    return rc;
}

static enum error_kind own_all(const struct planting *p, int fd, struct error *err)
{
    struct walk *walk = NULL;
    struct walk_item item;
    enum error_kind rc = walk_open_at(fd, ".", &walk, err);

    while (!rc) {
        rc = walk_next(walk, &item, err);
        if (rc || item.event == WALK_END)
            break;
        if (item.event == WALK_UNREADABLE) {
            *err = item.error;
            rc = err->kind;
        } else if (item.event == WALK_ENTRY || (item.event == WALK_ENTER && *item.path)) {
            rc = own(p, &item, err);
        }
    }
    walk_close(walk);
    return rc;
}

enum error_kind tree_folder_of(int tree, const char *path, int *dir, struct error *err)
{
    char *folder = NULL;
    enum error_kind rc = strchr(path, '/') ? path_parent(path, &folder, err) : memory_string(".", &folder, err);

    if (!rc)
        rc = walk_open_below(tree, folder, O_RDONLY | O_DIRECTORY, dir, err);
    free(folder);
    return rc;
}

/* A folder that was made only because something in it is carried has nobody's attributes yet. */
static enum error_kind same_folder(const struct walk_item *item, int dir, struct error *err)
{
    struct stat st;
    int fd = -1;
    enum error_kind rc = file_open(dir, item->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &fd, err);

    if (rc)
        return rc;
    if (fstatat(item->dirfd, item->name, &st, AT_SYMLINK_NOFOLLOW) ||
        (geteuid() == 0 && fchown(fd, st.st_uid, st.st_gid)) || fchmod(fd, st.st_mode & 07777))
        rc = error_set(err, ERR_IO, errno, "%s", item->path);
    file_close(&fd);
    return rc;
}

static bool is_link(int dir, const char *name)
{
    struct stat st;

    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
}

/* A folder that the tree has is gone into; one that it has not goes in whole; one in whose place the tree has a link has no place (L1). */
static enum error_kind move_in(const struct planting *p, struct walk *walk, const struct walk_item *item,
                               struct error *err)
{
    struct error why = ERROR_INIT;
    int dir = -1;
    bool stays;
    enum error_kind rc = tree_folder_of(p->tree, item->path, &dir, err);

    if (rc)
        return rc;
    rc = file_rename_new(item->dirfd, item->name, dir, item->name, &why);
    stays = rc == ERR_EXISTS && is_link(dir, item->name);
    if ((!rc || stays) && item->event == WALK_ENTER)
        walk_prune(walk);
    if (rc == ERR_EXISTS && item->event == WALK_ENTER && !stays)
        rc = same_folder(item, dir, err);
    else if (rc == ERR_EXISTS) /* the shop's own */
        rc = OK;
    else if (rc)
        error_copy(err, &why);
    file_close(&dir);
    return rc;
}

static enum error_kind move_all(const struct planting *p, int fd, struct error *err)
{
    struct walk *walk = NULL;
    struct walk_item item;
    enum error_kind rc = walk_open_at(fd, ".", &walk, err);

    while (!rc) {
        rc = walk_next(walk, &item, err);
        if (rc || item.event == WALK_END)
            break;
        if (item.event == WALK_ENTRY || (item.event == WALK_ENTER && *item.path))
            rc = move_in(p, walk, &item, err);
    }
    walk_close(walk);
    return rc;
}

static enum error_kind plant(struct planting *p, const char *tree, int fd, struct error *err)
{
    struct error ignored = ERROR_INIT;
    enum error_kind rc = file_open(AT_FDCWD, tree, O_RDONLY | O_DIRECTORY, 0, &p->tree, err);

    if (rc)
        return rc;
    (void)file_open(AT_FDCWD, p->old_tree, O_RDONLY | O_DIRECTORY, 0, &p->live, &ignored);
    if (fstat(p->live >= 0 ? p->live : p->tree, &p->root) != 0)
        return error_set(err, ERR_IO, errno, "%s", p->old_tree);
    rc = own_all(p, fd, err);
    if (!rc)
        rc = move_all(p, fd, err);
    /* Of the restored tree: where nothing is carried its root was not made with the shop's owner. */
    if (!rc && ((geteuid() == 0 && fchown(p->tree, p->root.st_uid, p->root.st_gid)) ||
                fchmod(p->tree, p->root.st_mode & 07777)))
        rc = error_set(err, ERR_IO, errno, "%s", tree);
    return rc;
}

enum error_kind tree_folder(int tree, const char *path, struct error *err)
{
    struct error why = ERROR_INIT;
    char *folder = NULL;
    int dir = -1;
    enum error_kind rc = memory_string(path, &folder, err);

    for (char *at = folder; at && !rc;) {
        at = strchr(at, '/');
        if (at)
            *at = '\0';
        rc = walk_open_below(tree, folder, O_RDONLY | O_DIRECTORY, &dir, &why);
        if (rc == ERR_NOT_FOUND)
            rc = directory_make(tree, folder, 0755, err);
        else if (rc)
            error_copy(err, &why);
        if (!rc && dir < 0) /* a link in its place is no folder to go on in */
            rc = walk_open_below(tree, folder, O_RDONLY | O_DIRECTORY, &dir, err);
        file_close(&dir);
        if (at)
            *at++ = '/';
    }
    free(folder);
    return rc;
}

enum error_kind tree_clear(int tree, const char *path, int *dir, const char **name, struct error *err)
{
    const char *slash = strrchr(path, '/');
    char *folder = NULL;
    enum error_kind rc = slash ? path_parent(path, &folder, err) : OK;

    *name = slash ? slash + 1 : path;
    if (!rc && folder)
        rc = tree_folder(tree, folder, err);
    if (!rc)
        rc = tree_folder_of(tree, path, dir, err);
    if (!rc && unlinkat(*dir, *name, 0) != 0 && errno != ENOENT)
        rc = error_set(err, ERR_IO, errno, "%s", path);
    free(folder);
    return rc;
}

enum error_kind tree_plant(struct upgrade_context *c, const char *tree, const char *old, const char *scratch,
                           const struct progress *progress, struct error *err)
{
    struct planting p = {.old_tree = old, .live = -1, .tree = -1};
    char *folder = NULL;
    int fd = -1;
    enum error_kind rc = path_join(scratch, "release", &folder, err);

    if (!rc)
        rc = directory_make(AT_FDCWD, folder, 0700, err);
    if (!rc)
        rc = file_open(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY, 0, &fd, err);
    if (!rc)
        rc = release_unpack(c->release, fd, RELEASE_SYNC_FILESYSTEM, progress, err);
    if (!rc)
        rc = release_verify(c->release, fd, progress, err); /* P9 */
    if (!rc)
        rc = plant(&p, tree, fd, err);
    file_close(&fd);
    file_close(&p.tree);
    file_close(&p.live);
    free(folder);
    if (rc)
        error_context(err, "building the new tree");
    return rc;
}

/* Releases of later stages are only read: that they can be unpacked is known before the shop is stopped. */
enum error_kind tree_build(void *context, const char *tree, const char *scratch, const struct progress *progress,
                           struct error *err)
{
    struct upgrade_context *c = context;
    enum error_kind rc = carry_check(c, err);

    for (size_t i = 1; i < c->path->count && !rc; i++)
        rc = release_check(c->releases[i], progress, err);
    if (!rc)
        rc = tree_plant(c, tree, c->site->path, scratch, progress, err);
    return rc ? rc : renamed_begin(c, c->site->path, tree, progress, err);
}
