#include "unnamed_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "file.h"

/* Where a filesystem knows no O_TMPFILE (some network and union ones): make a file and take its name away at once. */
static int named_then_unlinked(int dirfd, const char *folder)
{
    static atomic_uint made;
    char path[512];
    int fd, n;

    do {
        n = snprintf(path, sizeof path, "%s/" DRAFT_PREFIX "%ld-%u", folder, (long)getpid(),
                     atomic_fetch_add(&made, 1));
        if (n < 0 || (size_t)n >= sizeof path)
            return -1;
        fd = openat(dirfd, path, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
    } while (fd < 0 && errno == EEXIST);
    if (fd >= 0)
        (void)unlinkat(dirfd, path, 0);
    return fd;
}

static int try_folder(int dirfd, const char *folder)
{
    int fd = openat(dirfd, folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT || errno == EINVAL))
        fd = named_then_unlinked(dirfd, folder);
    return fd;
}

enum error_kind unnamed_file_open(int dirfd, const char *folder, int *out, struct error *err)
{
    const char *places[] = {getenv("TMPDIR"), "/var/tmp", "/tmp"};
    int fd = folder ? try_folder(dirfd, folder) : -1;

    for (size_t i = 0; fd < 0 && i < sizeof places / sizeof places[0]; i++)
        if (places[i] && places[i][0] == '/')
            fd = try_folder(AT_FDCWD, places[i]);
    if (fd >= 0) {
        *out = fd;
        return OK;
    }
    error_set(err, ERR_IO, errno, "no place for a temporary file");
    error_hint(err, "set TMPDIR to a folder that can be written");
    return err->kind;
}
