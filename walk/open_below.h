/* Opening a path below a directory: never through a symlink, never out of it, also beyond PATH_MAX. */
#ifndef NOPSNAP_OPEN_BELOW_H
#define NOPSNAP_OPEN_BELOW_H

#include "error.h"

/*
 * rootfd     the directory; `path` is relative to it, "" is the directory itself
 * flags      open(2)'s; O_CLOEXEC, O_NOFOLLOW and (where allowed) O_NOATIME are added
 * Returns    ERR_NOT_FOUND when it is not there (or a component has become something else), else ERR_IO
 */
enum error_kind walk_open_below(int rootfd, const char *path, int flags, int *out, struct error *err);

#endif
