#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "file.h"
#include "hash.h"

static enum error_kind temporary_name(const char *path, char **out, struct error *err)
{
    unsigned char random[8];
    char hex[2 * sizeof(random) + 1];
    char name[sizeof(DRAFT_PREFIX) + sizeof(hex)];
    char *parent = NULL;
    enum error_kind rc;

    rc = random_bytes(random, sizeof(random), err);
    if (rc)
        return rc;
    hex_encode(random, sizeof(random), hex);
    snprintf(name, sizeof(name), "%s%s", DRAFT_PREFIX, hex);
    rc = path_parent(path, &parent, err);
    if (!rc)
        rc = path_join(parent, name, out, err);
    free(parent);
    return rc;
}

/* Takes temporary over. */
static enum error_kind open_as(struct draft *d, const char *path, char *temporary, mode_t mode, struct error *err)
{
    struct draft opened = {.fd = -1, .temporary = temporary};
    enum error_kind rc;

    rc = memory_string(path, &opened.path, err);
    if (rc)
        goto done;
    rc = file_open(AT_FDCWD, opened.temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode, &opened.fd, err);
    if (rc)
        goto done;
    *d = opened;
    return OK;

done:
    if (rc)
        error_context(err, "writing %s", path);
    free(opened.temporary);
    free(opened.path);
    return rc;
}

enum error_kind draft_open(struct draft *d, const char *path, mode_t mode, struct error *err)
{
    char *temporary = NULL;
    enum error_kind rc = temporary_name(path, &temporary, err);

    return rc ? rc : open_as(d, path, temporary, mode, err);
}

enum error_kind draft_write(struct draft *d, const void *bytes, size_t len, struct error *err)
{
    enum error_kind rc = file_write(d->fd, bytes, len, d->path, err);

    d->synced = false;
    if (rc)
        d->lost = true;
    else
        d->len += len;
    return rc;
}

enum error_kind draft_sync(struct draft *d, struct error *err)
{
    enum error_kind rc;

    if (d->lost)
        return error_set(err, ERR_IO, 0, "an earlier write to %s failed, its content is lost", d->path);
    rc = file_sync(d->fd, d->path, err);
    d->synced = !rc;
    d->lost = rc != OK;
    return rc;
}

/* Filesystems without that kind of rename (NFS, some of FUSE) know links, which don't replace either. */
static enum error_kind rename_new(const char *from, const char *to, struct error *err)
{
    struct error first = ERROR_INIT, ignored = ERROR_INIT;
    enum error_kind rc = file_rename_new(AT_FDCWD, from, AT_FDCWD, to, &first);

    if (!rc)
        return OK;
    if (rc != ERR_IO || first.sys != EINVAL) {
        *err = first;
        return rc;
    }
    rc = file_link(AT_FDCWD, from, AT_FDCWD, to, err);
    if (!rc)
        (void)file_unlink(AT_FDCWD, from, &ignored); /* a second name of the same file, and it bears DRAFT_PREFIX */
    return rc;
}

static enum error_kind commit(struct draft *d, bool replace, struct error *err)
{
    char *parent = NULL;
    enum error_kind rc = OK;

    if (!d->synced || d->lost)
        rc = draft_sync(d, err);
    if (rc)
        goto done;
    rc = path_parent(d->path, &parent, err);
    if (rc)
        goto done;
    file_close(&d->fd);
    rc = replace ? file_rename(AT_FDCWD, d->temporary, AT_FDCWD, d->path, err) : rename_new(d->temporary, d->path, err);
    if (rc)
        goto done;
    free(d->temporary);
    d->temporary = NULL; /* visible from here on: nothing is left to discard */
    rc = directory_sync(AT_FDCWD, parent, err);

done:
    free(parent);
    return rc;
}

enum error_kind draft_commit(struct draft *d, struct error *err)
{
    return commit(d, true, err);
}

enum error_kind draft_commit_new(struct draft *d, struct error *err)
{
    return commit(d, false, err);
}

void draft_discard(struct draft *d)
{
    struct error ignored = ERROR_INIT;

    file_close(&d->fd);
    if (d->temporary)
        (void)file_unlink(AT_FDCWD, d->temporary, &ignored); /* what stays bears DRAFT_PREFIX */
    free(d->temporary);
    free(d->path);
    *d = (struct draft)DRAFT_INIT;
}

/* After its opening, which went rc. */
static enum error_kind replace(struct draft *d, enum error_kind rc, const void *bytes, size_t len, struct error *err)
{
    if (!rc)
        rc = draft_write(d, bytes, len, err);
    if (!rc)
        rc = draft_commit(d, err);
    draft_discard(d);
    return rc;
}

enum error_kind file_replace(const char *path, const void *bytes, size_t len, mode_t mode, struct error *err)
{
    struct draft d = DRAFT_INIT;

    return replace(&d, draft_open(&d, path, mode, err), bytes, len, err);
}

enum error_kind file_replace_alone(const char *path, const void *bytes, size_t len, mode_t mode, struct error *err)
{
    struct draft d = DRAFT_INIT;
    struct error left = ERROR_INIT;
    char *temporary = NULL;
    enum error_kind rc = memory_format(&temporary, err, "%s" FILE_ALONE_SUFFIX, path);

    if (!rc && file_unlink(AT_FDCWD, temporary, &left) != OK && left.kind != ERR_NOT_FOUND) {
        error_copy(err, &left);
        rc = left.kind;
        free(temporary);
    } else if (!rc) {
        rc = open_as(&d, path, temporary, mode, err);
    }
    return replace(&d, rc, bytes, len, err);
}
