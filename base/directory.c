#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "file.h"

enum error_kind directory_make(int dirfd, const char *path, mode_t mode, struct error *err)
{
    int failed;

    do
        failed = mkdirat(dirfd, path, mode);
    while (failed && errno == EINTR);
    if (!failed)
        return OK;
    if (errno == EEXIST)
        return error_set(err, ERR_EXISTS, errno, "cannot make the folder %s", path);
    return error_set(err, errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_IO, errno,
                     "cannot make the folder %s", path);
}

enum error_kind directory_room(const char *path, uint64_t *out, struct error *err)
{
    struct statvfs s;

    if (statvfs(path, &s))
        return error_set(err, errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_IO, errno,
                         "cannot tell how much room there is at %s", path);
    *out = (uint64_t)s.f_bavail * s.f_frsize;
    return OK;
}

/* Makes one folder whose parent exists, unless it is there. Another process may make it at the same time. */
static enum error_kind make_one(const char *path, struct error *err)
{
    struct error ignored = ERROR_INIT;
    char *parent = NULL;
    struct stat st;
    enum error_kind rc;

    if (stat(path, &st) == 0)
        return S_ISDIR(st.st_mode) ? OK : error_set(err, ERR_EXISTS, ENOTDIR, "cannot make the folder %s", path);
    rc = directory_make(AT_FDCWD, path, 0700, err);
    if (rc == ERR_EXISTS && stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        error_clear(err);
        rc = OK;
    }
    if (rc)
        goto done;
    rc = path_parent(path, &parent, err);
    if (rc)
        goto done;
    rc = directory_sync(AT_FDCWD, parent, err);
    if (rc == ERR_IO && err->sys == EACCES) {
        /* A parent that may be entered and written but not listed; the whole filesystem is synced instead. */
        int fd = -1;

        if (!file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, &fd, &ignored)) {
            error_clear(err);
            rc = file_sync_filesystem(fd, path, err);
        }
        file_close(&fd);
    }

done:
    free(parent);
    return rc;
}

enum error_kind directory_make_all(const char *path, struct error *err)
{
    char *prefix = NULL;
    enum error_kind rc;

    rc = memory_string(path, &prefix, err);
    if (rc)
        return rc;
    for (char *p = prefix; !rc && *p != '\0';) {
        char *end;
        char kept;

        p += strspn(p, "/");
        end = p + strcspn(p, "/");
        if (end == p)
            break;
        kept = *end;
        *end = '\0';
        rc = make_one(prefix, err);
        *end = kept;
        p = end;
    }
    free(prefix);
    return rc;
}

enum error_kind directory_sync(int dirfd, const char *path, struct error *err)
{
    enum error_kind rc;
    int fd = -1;

    rc = file_open(dirfd, path, O_RDONLY | O_DIRECTORY, 0, &fd, err);
    if (!rc)
        rc = file_sync(fd, path, err);
    file_close(&fd);
    return rc;
}

enum error_kind directory_sync_parent(const char *path, struct error *err)
{
    char *parent = NULL;
    enum error_kind rc = path_parent(path, &parent, err);

    if (!rc)
        rc = directory_sync(AT_FDCWD, parent, err);
    free(parent);
    return rc;
}

/*
 * Removal of a tree.
 *
 * Trees may be deeper than PATH_MAX, than the stack and than the limit of open files. So the walk is a loop, keeps the
 * first levels open and of those below them only name and identity; from there it climbs by "..", which it checks: a
 * folder that was moved elsewhere meanwhile ends the removal (P8).
 */
#define LEVELS_OPEN 64

struct level {
    char *name; /* of the folder below its parent, owned */
    DIR *above; /* the parent, where it stays open: listing goes on where it was left */
    dev_t dev;  /* the parent's identity */
    ino_t ino;
};

struct removal {
    const char *shown;
    uint64_t mount;
    DIR *here; /* the deepest folder */
    struct level *levels;
    size_t depth; /* 0: here is the folder that holds the tree's root */
    size_t cap;
};

static enum error_kind removal_failed(const struct removal *r, const char *name, int sys, struct error *err)
{
    return error_set(err, ERR_IO, sys, "cannot remove %s from %s", name,
                     r->depth ? r->levels[r->depth - 1].name : r->shown);
}

/* Opens a folder for reading, giving ourselves the right to if only its mode forbids that. */
static int open_folder(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    char link[64];
    int handle;

    if (fd >= 0 || errno != EACCES)
        return fd;
    handle = openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (handle < 0)
        return -1;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", handle); /* chmod of just this folder, whatever its name is now */
    if (chmod(link, 0700) == 0)
        fd = open(link, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close(handle);
    return fd;
}

static enum error_kind descend(struct removal *r, const char *name, struct error *err)
{
    struct stat parent;
    uint64_t mount = 0;
    char *copy = NULL;
    DIR *below = NULL;
    enum error_kind rc;
    int fd = -1;

    if (r->depth == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 32;
        struct level *grown = reallocarray(r->levels, cap, sizeof(*grown));

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory at %zu levels of %s", cap, r->shown);
        r->levels = grown;
        r->cap = cap;
    }
    rc = memory_string(name, &copy, err);
    if (rc)
        return rc;
    if (fstat(dirfd(r->here), &parent) || (fd = open_folder(dirfd(r->here), name)) < 0) {
        rc = removal_failed(r, name, errno, err);
        goto done;
    }
    rc = file_mount_id(fd, ".", &mount, err);
    if (rc)
        goto done;
    if (mount != r->mount) {
        rc = error_set(err, ERR_REFUSED, 0, "%s, below %s, is a mount point: it and what holds it are not removed",
                       name, r->shown);
        goto done;
    }
    below = fdopendir(fd);
    if (!below) {
        rc = removal_failed(r, name, errno, err);
        goto done;
    }
    fd = -1;
    r->levels[r->depth] = (struct level){copy, r->here, parent.st_dev, parent.st_ino};
    if (r->depth >= LEVELS_OPEN) {
        closedir(r->here);
        r->levels[r->depth].above = NULL;
    }
    r->depth++;
    r->here = below;
    copy = NULL;

done:
    if (fd >= 0)
        close(fd);
    free(copy);
    return rc;
}

/* Opens the folder above one that is so deep that its parent was closed. */
static enum error_kind reopen_above(struct removal *r, struct level *left, struct error *err)
{
    enum error_kind rc = OK;
    struct stat st;
    int fd = openat(dirfd(r->here), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st))
        rc = error_set(err, ERR_IO, errno, "cannot go up from %s", left->name);
    else if (st.st_dev != left->dev || st.st_ino != left->ino)
        rc = error_set(err, ERR_REFUSED, 0, "%s was moved while %s was being removed", left->name, r->shown);
    else if (!(left->above = fdopendir(fd)))
        rc = error_set(err, ERR_IO, errno, "cannot go up from %s", left->name);
    if (rc)
        file_close(&fd);
    return rc;
}

/* Goes up one level and removes the folder that was left. */
static enum error_kind ascend(struct removal *r, struct error *err)
{
    struct level *left = &r->levels[r->depth - 1];
    enum error_kind rc = OK;

    if (!left->above)
        rc = reopen_above(r, left, err);
    if (rc)
        return rc;
    closedir(r->here);
    r->here = left->above;
    r->depth--;
    if (unlinkat(dirfd(r->here), left->name, AT_REMOVEDIR) && errno != ENOENT)
        rc = removal_failed(r, left->name, errno, err);
    free(left->name);
    return rc;
}

/* Removes a file, or enters a folder. */
static enum error_kind remove_entry(struct removal *r, const struct dirent *e, struct error *err)
{
    int folder = dirfd(r->here);
    struct stat st;

    if (e->d_type == DT_DIR)
        return descend(r, e->d_name, err);
    if (unlinkat(folder, e->d_name, 0) == 0 || errno == ENOENT)
        return OK;
    if (errno == EISDIR) /* a filesystem that does not fill d_type */
        return descend(r, e->d_name, err);
    if (errno == EACCES && fchmod(folder, 0700) == 0 && unlinkat(folder, e->d_name, 0) == 0)
        return OK;
    if (errno == EPERM && fstatat(folder, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
        return descend(r, e->d_name, err);
    return removal_failed(r, e->d_name, errno, err);
}

/* Empties the folder that was entered first. What a folder gains meanwhile may be missed, and fails it. */
static enum error_kind remove_below(struct removal *r, struct error *err)
{
    enum error_kind rc = OK;

    while (!rc && r->depth > 0) {
        struct dirent *e;

        errno = 0;
        e = readdir(r->here);
        if (!e && errno)
            return error_set(err, ERR_IO, errno, "cannot list %s", r->levels[r->depth - 1].name);
        if (!e)
            rc = ascend(r, err);
        else if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            rc = remove_entry(r, e, err);
    }
    return rc;
}

/* Opens the folder that holds path and finds the name below it. */
static enum error_kind removal_begin(struct removal *r, int base, const char *path, char **name, struct error *err)
{
    char *parent = NULL;
    size_t len;
    enum error_kind rc;
    int fd = -1;

    rc = memory_string(path_base(path), name, err);
    if (rc)
        return rc;
    len = strcspn(*name, "/");
    (*name)[len] = '\0';
    if (!name_is_safe((const unsigned char *)*name, len))
        return error_set(err, ERR_REFUSED, 0, "\"%s\" names nothing that can be removed", path);
    rc = path_parent(path, &parent, err);
    if (rc)
        return rc;
    rc = file_open(base, parent, O_RDONLY | O_DIRECTORY, 0, &fd, err);
    if (!rc)
        rc = file_mount_id(fd, ".", &r->mount, err);
    if (!rc && !(r->here = fdopendir(fd)))
        rc = error_set(err, ERR_IO, errno, "cannot list %s", parent);
    if (rc)
        file_close(&fd);
    free(parent);
    return rc;
}

enum error_kind directory_remove_tree(int dirfd_, const char *path, struct error *err)
{
    struct removal r = {path, 0, NULL, NULL, 0, 0};
    char *name = NULL;
    struct stat st;
    enum error_kind rc;

    rc = removal_begin(&r, dirfd_, path, &name, err);
    if (rc == ERR_NOT_FOUND) {
        error_clear(err);
        rc = OK;
        goto done;
    }
    if (rc)
        goto done;
    if (fstatat(dirfd(r.here), name, &st, AT_SYMLINK_NOFOLLOW)) {
        rc = errno == ENOENT ? OK : error_set(err, ERR_IO, errno, "cannot look at %s", path);
        goto done;
    }
    if (!S_ISDIR(st.st_mode)) {
        rc = file_unlink(dirfd(r.here), name, err);
        goto done;
    }
    rc = descend(&r, name, err);
    if (!rc)
        rc = remove_below(&r, err);

done:
    while (r.depth > 0) {
        r.depth--;
        free(r.levels[r.depth].name);
        if (r.levels[r.depth].above)
            closedir(r.levels[r.depth].above);
    }
    free(r.levels);
    if (r.here)
        closedir(r.here);
    free(name);
    return rc;
}
