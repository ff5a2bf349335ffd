/* From one thing to another what walk_attributes_read() reads: owner, extended attributes (ACLs and labels are such), mode. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "file.h"
#include "walk.h"

#define NAMES_MAX (64u << 10) /* the kernel's own limits */
#define VALUE_MAX (64u << 10)

/* An open file or folder; or, with a path, what that names itself. */
struct end {
    int fd;
    const char *path;
};

/* A filesystem or a user without the right refuses one: that keeps nobody out who was in. */
static bool refused(int sys)
{
    return sys == ENOTSUP || sys == EPERM || sys == EACCES;
}

static enum error_kind copy_xattr(const struct end *from, const struct end *to, const char *name, char *value,
                                  const char *shown, struct error *err)
{
    ssize_t len =
        from->path ? lgetxattr(from->path, name, value, VALUE_MAX) : fgetxattr(from->fd, name, value, VALUE_MAX);
    int failed;

    if (len < 0)
        return errno == ENODATA || refused(errno)
                   ? OK
                   : error_set(err, ERR_IO, errno, "%s: reading its attribute %s", shown, name);
    failed =
        to->path ? lsetxattr(to->path, name, value, (size_t)len, 0) : fsetxattr(to->fd, name, value, (size_t)len, 0);
    if (failed && !refused(errno))
        return error_set(err, ERR_IO, errno, "cannot set the attribute %s of %s", name, shown);
    return OK;
}

static enum error_kind copy_xattrs(const struct end *from, const struct end *to, const char *shown, struct error *err)
{
    void *names = NULL;
    void *value = NULL;
    ssize_t len = 0;
    enum error_kind rc = memory_allocate(NAMES_MAX, &names, err);

    if (!rc)
        rc = memory_allocate(VALUE_MAX, &value, err);
    if (!rc) {
        len = from->path ? llistxattr(from->path, names, NAMES_MAX) : flistxattr(from->fd, names, NAMES_MAX);
        if (len < 0 && errno != ENOTSUP)
            rc = error_set(err, ERR_IO, errno, "%s: listing its extended attributes", shown);
    }
    for (const char *at = names; !rc && len > 0 && at < (const char *)names + len; at += strlen(at) + 1)
        rc = copy_xattr(from, to, at, value, shown, err);
    free(names);
    free(value);
    return rc;
}

/* Owner first, which clears set-id bits; then attributes, since an ACL sets the mode. */
enum error_kind walk_attributes_copy(int from, int to, const char *shown, struct error *err)
{
    const struct end ends[2] = {{from, NULL}, {to, NULL}};
    struct stat st;
    mode_t mode;
    enum error_kind rc;

    if (fstat(from, &st))
        return error_set(err, ERR_IO, errno, "%s", shown);
    mode = st.st_mode & 07777;
    if (fchown(to, st.st_uid, st.st_gid)) {
        if (errno != EPERM)
            return error_set(err, ERR_IO, errno, "cannot set the owner of %s", shown);
        if (!S_ISDIR(st.st_mode))
            mode &= ~(mode_t)(S_ISUID | S_ISGID); /* they would lend the wrong identity */
    }
    rc = copy_xattrs(&ends[0], &ends[1], shown, err);
    if (!rc && fchmod(to, mode))
        rc = error_set(err, ERR_IO, errno, "cannot set the mode of %s", shown);
    return rc;
}

enum error_kind walk_attributes_copy_link(int from_dir, const char *from, int to_dir, const char *to, const char *shown,
                                          struct error *err)
{
    struct end ends[2] = {{-1, NULL}, {-1, NULL}};
    char *paths[2] = {NULL, NULL};
    struct stat st;
    enum error_kind rc;

    if (fstatat(from_dir, from, &st, AT_SYMLINK_NOFOLLOW))
        return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "%s", shown);
    if (fchownat(to_dir, to, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) && errno != EPERM)
        return error_set(err, ERR_IO, errno, "cannot set the owner of %s", shown);
    /* The only way to the attributes of what can't be opened, relative to a directory. */
    rc = memory_format(&paths[0], err, "/proc/self/fd/%d/%s", from_dir, from);
    if (!rc)
        rc = memory_format(&paths[1], err, "/proc/self/fd/%d/%s", to_dir, to);
    ends[0].path = paths[0];
    ends[1].path = paths[1];
    if (!rc)
        rc = copy_xattrs(&ends[0], &ends[1], shown, err);
    free(paths[0]);
    free(paths[1]);
    return rc;
}
