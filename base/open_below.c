#include "open_below.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PIECE_MAX (PATH_MAX - 1) /* bytes that one system call takes */

static void close_keeping_errno(int fd)
{
    int saved = errno;

    (void)close(fd);
    errno = saved;
}

/* openat2() is younger than the kernels of some hosters, and some containers forbid it. */
static int open_by_component(int dirfd, const char *path, int flags, mode_t mode)
{
    int at = dirfd;

    for (;;) {
        const char *slash = strchr(path, '/');
        size_t len = slash ? (size_t)(slash - path) : strlen(path);
        char name[NAME_MAX + 1];
        int next = -1;

        if (len > NAME_MAX) {
            errno = ENAMETOOLONG;
        } else if (len == 2 && path[0] == '.' && path[1] == '.') {
            errno = EXDEV;
        } else {
            memcpy(name, path, len);
            name[len] = '\0';
            next =
                slash ? openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : openat(at, name, flags, mode);
        }
        if (at != dirfd)
            close_keeping_errno(at);
        if (next < 0 || !slash)
            return next;
        at = next;
        path = slash + 1;
    }
}

static int open_resolved(int dirfd, const char *path, int flags, mode_t mode)
{
    struct open_how how = {.flags = (unsigned long long)flags,
                           .mode = flags & O_CREAT ? mode : 0,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    long fd;

    do
        fd = syscall(SYS_openat2, dirfd, path, &how, sizeof how);
    while (fd < 0 && errno == EINTR);
    return (int)fd;
}

static int open_piece(int dirfd, const char *path, int flags, mode_t mode)
{
    static atomic_bool absent;
    int fd = -1;

    if (!atomic_load_explicit(&absent, memory_order_relaxed)) {
        fd = open_resolved(dirfd, path, flags, mode);
        /* EAGAIN: somebody renames somewhere, which steps don't mind. EPERM: a container's filter, or not our file. */
        if (fd >= 0 || (errno != ENOSYS && errno != EAGAIN && (errno != EPERM || flags & O_NOATIME)))
            return fd;
        if (errno == ENOSYS)
            atomic_store(&absent, true);
    }
    return open_by_component(dirfd, path, flags, mode);
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

int open_below(int dirfd, const char *path, size_t len, int flags, mode_t mode)
{
    char piece[PATH_MAX];
    int at = dirfd;

    if (!len) {
        path = ".";
        len = 1;
    }
    for (;;) {
        size_t n = piece_of(path, len);
        bool last = n == len;
        int fd = -1;

        memcpy(piece, path, n);
        piece[n] = '\0';
        if (!n)
            errno = ENAMETOOLONG;
        else
            fd = open_piece(at, piece, (last ? flags : O_PATH | O_DIRECTORY) | O_NOFOLLOW | O_CLOEXEC, mode);
        if (at != dirfd)
            close_keeping_errno(at);
        if (fd < 0 || last)
            return fd;
        at = fd;
        path += n + 1;
        len -= n + 1;
    }
}
