#include "open_below.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "file.h"

#define PIECE_MAX (PATH_MAX - 1)

static int open_resolved(int dirfd, const char *path, int flags)
{
    struct open_how how = {.flags = (unsigned long long)flags,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};

    return (int)syscall(SYS_openat2, dirfd, path, &how, sizeof how);
}

/* Where the kernel (or a container's filter) has no openat2: component by component. */
static int open_by_component(int dirfd, const char *path, int flags)
{
    int at = dirfd, next = -1, saved;
    char name[NAME_MAX + 1];

    for (;;) {
        const char *slash = strchr(path, '/');
        size_t len = slash ? (size_t)(slash - path) : strlen(path);

        if (len > NAME_MAX) {
            errno = ENAMETOOLONG;
            next = -1;
        } else {
            memcpy(name, path, len);
            name[len] = '\0';
            next = openat(at, name, slash ? O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC : flags);
        }
        saved = errno;
        if (at != dirfd)
            (void)close(at);
        errno = saved;
        if (next < 0 || !slash)
            return next;
        at = next;
        path = slash + 1;
    }
}

static int open_piece(int dirfd, const char *path, int flags)
{
    int fd = open_resolved(dirfd, path, flags);

    if (fd < 0 && (errno == ENOSYS || errno == EAGAIN || (errno == EPERM && !(flags & O_NOATIME))))
        fd = open_by_component(dirfd, path, flags);
    if (fd < 0 && errno == EPERM && (flags & O_NOATIME)) /* not our file: then its access time moves */
        fd = open_piece(dirfd, path, flags & ~O_NOATIME);
    return fd;
}

/* How many bytes of path, up to a slash, one system call can take. 0 when a component alone is too long. */
static size_t piece_of(const char *path, size_t len)
{
    size_t n = PIECE_MAX;

    if (len <= PIECE_MAX)
        return len;
    while (n && path[n] != '/')
        n--;
    return n;
}

enum error_kind walk_open_below(int rootfd, const char *path, int flags, int *out, struct error *err)
{
    char piece[PATH_MAX];
    const char *shown = path;
    int at = rootfd, fd = -1, saved;
    size_t len = strlen(path), n;

    flags |= O_CLOEXEC | O_NOFOLLOW;
    if (!(flags & O_PATH))
        flags |= O_NOATIME;
    for (;;) {
        n = piece_of(path, len);
        if (!n && len) {
            errno = ENAMETOOLONG;
            fd = -1;
        } else if (n == len) {
            fd = open_piece(at, len ? path : ".", flags);
        } else {
            memcpy(piece, path, n);
            piece[n] = '\0';
            fd = open_piece(at, piece, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        }
        saved = errno;
        if (at != rootfd)
            (void)close(at);
        if (fd < 0 || n == len)
            break;
        at = fd;
        path += n + 1;
        len -= n + 1;
    }
    if (fd >= 0) {
        *out = fd;
        return OK;
    }
    if (saved == ENOENT || saved == ENOTDIR || saved == ELOOP || saved == EXDEV)
        return error_set(err, ERR_NOT_FOUND, saved, "%s", shown);
    return error_set(err, ERR_IO, saved, "%s", shown);
}
