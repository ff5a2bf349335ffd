#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "open_below.h"
#include "walk.h"

enum error_kind walk_open_below(int rootfd, const char *path, int flags, int *out, struct error *err)
{
    size_t len = strlen(path);
    int fd = open_below(rootfd, path, len, flags | (flags & O_PATH ? 0 : O_NOATIME), 0);

    if (fd < 0 && errno == EPERM && !(flags & O_PATH)) /* not our file: then its access time moves */
        fd = open_below(rootfd, path, len, flags, 0);
    if (fd >= 0) {
        *out = fd;
        return OK;
    }
    return error_set(err,
                     errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EXDEV ? ERR_NOT_FOUND : ERR_IO,
                     errno, "%s", path);
}
