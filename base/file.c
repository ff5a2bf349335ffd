#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/stat.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* One system call is handed at most this much: Linux stops a little below 2 GiB anyway. */
#define LARGEST_TRANSFER ((size_t)1 << 30)

static enum error_kind kind_of(int sys)
{
    return sys == ENOENT || sys == ENOTDIR ? ERR_NOT_FOUND : ERR_IO;
}

bool file_identity_equal(const struct file_identity *a, const struct file_identity *b)
{
    return a->inode == b->inode && a->birth_sec == b->birth_sec && a->birth_nsec == b->birth_nsec;
}

enum error_kind file_identity_at(int dirfd, const char *path, struct file_identity *out, struct error *err)
{
    struct statx st;

    if (statx(dirfd, path, AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_BTIME, &st))
        return error_set(err, kind_of(errno), errno, "cannot look at %s", path);
    memset(out, 0, sizeof(*out));
    out->inode = st.stx_ino;
    if (st.stx_mask & STATX_BTIME) {
        out->birth_sec = st.stx_btime.tv_sec;
        out->birth_nsec = st.stx_btime.tv_nsec;
    }
    return OK;
}

enum error_kind file_mount_id(int dirfd, const char *path, uint64_t *out, struct error *err)
{
    struct statx st;

    if (statx(dirfd, path, AT_SYMLINK_NOFOLLOW, STATX_MNT_ID, &st))
        return error_set(err, kind_of(errno), errno, "cannot look at %s", path);
    if (!(st.stx_mask & STATX_MNT_ID))
        return error_set(err, ERR_IO, EOPNOTSUPP, "the kernel does not tell on which mount %s lies", path);
    *out = st.stx_mnt_id;
    return OK;
}

enum error_kind file_open(int dirfd, const char *path, int flags, mode_t mode, int *out, struct error *err)
{
    int fd;

    do
        fd = openat(dirfd, path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return error_set(err, kind_of(errno), errno, flags & O_CREAT ? "cannot create %s" : "cannot open %s", path);
    *out = fd;
    return OK;
}

void file_close(int *fd)
{
    int saved = errno;

    if (*fd >= 0)
        close(*fd); /* never repeated: on Linux the descriptor is gone even after EINTR */
    *fd = -1;
    errno = saved;
}

enum error_kind file_write(int fd, const void *bytes, size_t len, const char *shown, struct error *err)
{
    const unsigned char *p = bytes;

    while (len > 0) {
        ssize_t put = write(fd, p, len < LARGEST_TRANSFER ? len : LARGEST_TRANSFER);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return error_set(err, ERR_IO, put < 0 ? errno : EIO, "cannot write to %s", shown);
        p += put;
        len -= (size_t)put;
    }
    return OK;
}

enum error_kind file_write_at(int fd, const void *bytes, size_t len, uint64_t offset, const char *shown,
                              struct error *err)
{
    const unsigned char *p = bytes;

    if (offset > INT64_MAX - len)
        return error_set(err, ERR_IO, EFBIG, "cannot write to %s", shown);
    while (len > 0) {
        ssize_t put = pwrite(fd, p, len < LARGEST_TRANSFER ? len : LARGEST_TRANSFER, (off_t)offset);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return error_set(err, ERR_IO, put < 0 ? errno : EIO, "cannot write to %s", shown);
        p += put;
        len -= (size_t)put;
        offset += (uint64_t)put;
    }
    return OK;
}

enum error_kind file_read(int fd, void *bytes, size_t len, size_t *got, const char *shown, struct error *err)
{
    unsigned char *p = bytes;
    size_t have = 0;

    while (have < len) {
        size_t want = len - have < LARGEST_TRANSFER ? len - have : LARGEST_TRANSFER;
        ssize_t n = read(fd, p + have, want);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(err, ERR_IO, errno, "cannot read %s", shown);
        if (n == 0)
            break;
        have += (size_t)n;
    }
    *got = have;
    return OK;
}

enum error_kind file_read_at(int fd, void *bytes, size_t len, uint64_t offset, const char *shown, struct error *err)
{
    unsigned char *p = bytes;

    if (offset > INT64_MAX - len)
        return error_set(err, ERR_CORRUPT, 0, "%s: offset %llu is out of range", shown, (unsigned long long)offset);
    while (len > 0) {
        ssize_t n = pread(fd, p, len < LARGEST_TRANSFER ? len : LARGEST_TRANSFER, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(err, ERR_IO, errno, "cannot read %s", shown);
        if (n == 0)
            return error_set(err, ERR_CORRUPT, 0, "%s ends at byte %llu, %zu bytes too early", shown,
                             (unsigned long long)offset, len);
        p += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return OK;
}

enum error_kind file_sync(int fd, const char *shown, struct error *err)
{
    int failed;

    /* EINTR came before any verdict on the data; every other failure is final. */
    do
        failed = fsync(fd);
    while (failed && errno == EINTR);
    return failed ? error_set(err, ERR_IO, errno, "cannot bring %s safely to disk", shown) : OK;
}

enum error_kind file_sync_filesystem(int fd, const char *shown, struct error *err)
{
    int failed;

    do
        failed = syncfs(fd);
    while (failed && errno == EINTR);
    return failed ? error_set(err, ERR_IO, errno, "cannot bring the filesystem of %s safely to disk", shown) : OK;
}

/* Appends everything up to the end of the file, at most max bytes. The file may grow meanwhile. */
static enum error_kind read_to_end(int fd, const char *path, size_t max, struct buffer *out, struct error *err)
{
    unsigned char piece[16384];
    size_t left = out->max - out->len < max ? out->max - out->len : max;
    size_t got = 0;
    enum error_kind rc;

    do {
        rc = file_read(fd, piece, sizeof(piece), &got, path, err);
        if (rc)
            return rc;
        if (got > left)
            return error_set(err, ERR_MEMORY, 0, "%s is larger than the %zu bytes allowed", path, max);
        rc = buffer_append(out, piece, got, err);
        if (rc)
            return rc;
        left -= got;
    } while (got == sizeof(piece));
    return OK;
}

enum error_kind file_read_whole(int dirfd, const char *path, size_t max, struct buffer *out, struct error *err)
{
    size_t had = out->len;
    struct stat st;
    enum error_kind rc;
    int fd = -1;

    /* O_NONBLOCK: a FIFO planted under the name must not make us wait for ever. */
    rc = file_open(dirfd, path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0, &fd, err);
    if (rc)
        return rc;
    if (fstat(fd, &st))
        rc = error_set(err, ERR_IO, errno, "cannot look at %s", path);
    else if (!S_ISREG(st.st_mode))
        rc = error_set(err, ERR_IO, S_ISDIR(st.st_mode) ? EISDIR : 0, "%s is not a regular file", path);
    else
        rc = read_to_end(fd, path, max, out, err);
    file_close(&fd);
    if (rc && out->data) {
        out->len = had;
        out->data[had] = '\0';
    }
    return rc;
}

enum error_kind file_rename(int from_dirfd, const char *from, int to_dirfd, const char *to, struct error *err)
{
    int failed;

    do
        failed = renameat(from_dirfd, from, to_dirfd, to);
    while (failed && errno == EINTR);
    return failed ? error_set(err, kind_of(errno), errno, "cannot rename %s to %s", from, to) : OK;
}

enum error_kind file_rename_new(int from_dirfd, const char *from, int to_dirfd, const char *to, struct error *err)
{
    int failed;

    do
        failed = renameat2(from_dirfd, from, to_dirfd, to, RENAME_NOREPLACE);
    while (failed && errno == EINTR);
    if (failed && errno == EEXIST)
        return error_set(err, ERR_EXISTS, errno, "cannot rename %s to %s", from, to);
    return failed ? error_set(err, kind_of(errno), errno, "cannot rename %s to %s", from, to) : OK;
}

enum error_kind file_exchange(int a_dirfd, const char *a, int b_dirfd, const char *b, struct error *err)
{
    /* Never repeated: an exchange done twice undoes itself. No local filesystem interrupts it halfway. */
    if (renameat2(a_dirfd, a, b_dirfd, b, RENAME_EXCHANGE))
        return error_set(err, kind_of(errno), errno, "cannot exchange %s and %s", a, b);
    return OK;
}

enum error_kind file_link(int from_dirfd, const char *from, int to_dirfd, const char *to, struct error *err)
{
    int failed;

    do
        failed = linkat(from_dirfd, from, to_dirfd, to, 0);
    while (failed && errno == EINTR);
    if (failed && errno == EEXIST)
        return error_set(err, ERR_EXISTS, errno, "cannot link %s as %s", from, to);
    return failed ? error_set(err, kind_of(errno), errno, "cannot link %s as %s", from, to) : OK;
}

enum error_kind file_unlink(int dirfd, const char *path, struct error *err)
{
    int failed;

    do
        failed = unlinkat(dirfd, path, 0);
    while (failed && errno == EINTR);
    return failed ? error_set(err, kind_of(errno), errno, "cannot remove %s", path) : OK;
}
