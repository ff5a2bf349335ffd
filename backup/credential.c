#include "credential.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "hash.h"

#define SECRET_MAX 4096u

void credential_name(const char *path, char out[CREDENTIAL_NAME_MAX])
{
    unsigned char sum[8];
    char hex[2 * sizeof(sum) + 1];

    put_u64(sum, hash64_of(0, path, strlen(path)));
    hex_encode(sum, sizeof(sum), hex);
    (void)snprintf(out, CREDENTIAL_NAME_MAX, "nopsnap-%s", hex);
}

/* The service manager's copy, or -1. */
static int open_copy(const char *path)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    struct error ignored = ERROR_INIT;
    char name[CREDENTIAL_NAME_MAX];
    char *copy = NULL;
    int fd = -1;

    credential_name(path, name);
    if (folder && folder[0] == '/' && path_join(folder, name, &copy, &ignored) == OK &&
        file_open(AT_FDCWD, copy, O_RDONLY | O_NOFOLLOW, 0, &fd, &ignored))
        fd = -1;
    free(copy);
    return fd;
}

static enum error_kind check(int fd, const char *path, struct error *err)
{
    struct stat st;

    if (fstat(fd, &st))
        return error_set(err, ERR_IO, errno, "cannot look at %s", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, ERR_REFUSED, 0, "%s is no regular file", path);
    if (st.st_uid != 0 && st.st_uid != geteuid()) {
        error_set(err, ERR_REFUSED, 0, "%s holds a secret and belongs to another user", path);
        error_hint(err, "chown it to root, or to the user who runs nopsnap");
        return ERR_REFUSED;
    }
    if (st.st_mode & (S_IRWXG | S_IRWXO)) {
        error_set(err, ERR_REFUSED, 0, "%s holds a secret and is open to others (mode %04o)", path,
                  (unsigned)(st.st_mode & 07777));
        error_hint(err, "chmod 600 it");
        return ERR_REFUSED;
    }
    return OK;
}

enum error_kind credential_read(const char *path, struct buffer *out, struct error *err)
{
    unsigned char bytes[SECRET_MAX + 1];
    size_t got = 0;
    int fd = open_copy(path);
    bool copied = fd >= 0;
    enum error_kind rc = OK;

    if (!copied) {
        rc = file_open(AT_FDCWD, path, O_RDONLY | O_NONBLOCK, 0, &fd, err);
        if (!rc)
            rc = check(fd, path, err);
    }
    if (!rc)
        rc = file_read(fd, bytes, sizeof(bytes), &got, path, err);
    if (!rc && (got == 0 || got > SECRET_MAX || memchr(bytes, '\0', got)))
        rc = error_set(err, ERR_REFUSED, 0, "%s is empty, too long, or no text", path);
    if (!rc)
        rc = buffer_append(out, bytes, got, err);
    explicit_bzero(bytes, sizeof(bytes));
    file_close(&fd);
    return rc;
}
