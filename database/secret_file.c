#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "database_internal.h"
#include "file.h"

enum error_kind secret_file_make(struct secret_file *f, const void *bytes, size_t len, struct error *err)
{
    int fd = -1;
    enum error_kind rc;

    fd = memfd_create("nopsnap", MFD_CLOEXEC);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "making a password file in memory");
    if (fchmod(fd, 0600)) {
        rc = error_set(err, ERR_IO, errno, "protecting a password file in memory");
        goto done;
    }
    rc = file_write(fd, bytes, len, "a password file in memory", err);
    if (rc)
        goto done;
    /* By our own pid: the child does not inherit the descriptor, but runs as the same user and so may open this. */
    snprintf(f->path, sizeof f->path, "/proc/%ld/fd/%d", (long)getpid(), fd);
    f->fd = fd;
    fd = -1;

done:
    file_close(&fd);
    return rc;
}

void secret_file_release(struct secret_file *f)
{
    file_close(&f->fd);
    f->path[0] = '\0';
}
