#include "unnamed_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "file.h"

/* Where a filesystem knows no O_TMPFILE (some network and union ones): make a file and take its name away at once. */
static int named_then_unlinked(const char *folder)
{
    char path[512];
    int fd, n;

    n = snprintf(path, sizeof path, "%s/" DRAFT_PREFIX "XXXXXX", folder);
    if (n < 0 || (size_t)n >= sizeof path)
        return -1;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        (void)unlink(path);
    return fd;
}

static int try_folder(const char *folder)
{
    int fd;

    fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT || errno == EINVAL))
        fd = named_then_unlinked(folder);
    return fd;
}

enum error_kind unnamed_file_open(const char *folder, int *out, struct error *err)
{
    const char *places[] = {folder, getenv("TMPDIR"), "/var/tmp", "/tmp"};

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        int fd = places[i] && places[i][0] == '/' ? try_folder(places[i]) : -1;

        if (fd >= 0) {
            *out = fd;
            return OK;
        }
    }
    error_set(err, ERR_IO, errno, "no place for a temporary file");
    error_hint(err, "set TMPDIR to a folder that can be written");
    return err->kind;
}
