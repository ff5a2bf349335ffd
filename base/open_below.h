/* Opening a path below a directory: never through a symlink, never out of it, at any depth, also beyond PATH_MAX and without openat2(). */
#ifndef NOPSNAP_OPEN_BELOW_H
#define NOPSNAP_OPEN_BELOW_H

#include <sys/types.h>

/*
 * dirfd      the directory; `path` is relative to it, its first len bytes count, "" is the directory itself
 * flags      open(2)'s; O_CLOEXEC and O_NOFOLLOW are added. mode: for O_CREAT
 * Returns    a descriptor; -1 with errno, which is ELOOP, ENOTDIR or EXDEV where a component is a symlink, no directory or leads out.
 *            With O_NOATIME EPERM may mean that the file is somebody else's
 */
int open_below(int dirfd, const char *path, size_t len, int flags, mode_t mode);

#endif
