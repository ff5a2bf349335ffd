#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "restore_internal.h"

/* ---- cat ---- */

static enum error_kind put_out(void *arg, const void *bytes, size_t len, struct error *err)
{
    return file_write(*(const int *)arg, bytes, len, "the output", err);
}

enum error_kind restore_file_content(struct catalog *cat, const struct tree_entry *entry, int fd, struct error *err)
{
    struct open_frame held = OPEN_FRAME_INIT;
    enum error_kind rc;

    if (entry->type != TREE_FILE)
        return error_set(err, ERR_USAGE, 0, "only a file has content");
    rc = content_pour(cat, entry, &held, put_out, &fd, err);
    open_frame_release(&held);
    return rc;
}

/* ---- one file in place of another ---- */

struct replacing {
    struct catalog *cat;
    const struct tree_entry *entry;
    struct target target;
    int dirfd;
    const char *name;
    char draft[64];
    bool made;
};

static enum error_kind write_draft(struct replacing *r, struct error *err)
{
    struct content_sink sink = {-1, r->name, NULL};
    struct open_frame held = OPEN_FRAME_INIT;
    enum error_kind rc;

    rc = restore_open_below(r->dirfd, r->draft, strlen(r->draft), O_WRONLY | O_CREAT | O_EXCL, 0600, &sink.fd, err);
    if (rc)
        return rc;
    r->made = true;
    rc = content_each(r->cat, r->entry, &held, content_write, &sink, err);
    open_frame_release(&held);
    if (!rc && ftruncate(sink.fd, (off_t)r->entry->size))
        rc = error_set(err, ERR_IO, errno, "cannot set the length of %s", r->name);
    if (!rc)
        rc = target_attributes(&r->target, sink.fd, r->entry, r->name, err);
    if (!rc)
        rc = file_sync(sink.fd, r->name, err);
    file_close(&sink.fd);
    return rc;
}

/* The folder must end up as it was, so that a kept tree stays what it was. */
static enum error_kind put_in_place(struct replacing *r, const struct stat *folder, struct error *err)
{
    struct timespec times[2] = {{0, UTIME_OMIT}, folder->st_mtim};
    int fd = -1;
    enum error_kind rc;

    rc = file_rename(r->dirfd, r->draft, r->dirfd, r->name, err);
    if (rc)
        return rc;
    r->made = false;
    rc = file_open(r->dirfd, ".", O_RDONLY | O_DIRECTORY, 0, &fd, err); /* r->dirfd may be O_PATH */
    if (!rc && futimens(fd, times))
        rc = error_set(err, ERR_IO, errno, "cannot set the time of the folder of %s", r->name);
    if (!rc)
        rc = file_sync(fd, r->name, err);
    file_close(&fd);
    return rc;
}

enum error_kind restore_replace_file(struct catalog *cat, const void *encoded, size_t len, int dirfd, const char *name,
                                     struct error *err)
{
    struct replacing r = {.cat = cat, .dirfd = dirfd, .name = name};
    struct error ignored = ERROR_INIT;
    struct tree_scratch *scratch = NULL;
    struct tree_entry e;
    struct stat folder;
    uint64_t token = 0;
    bool special = true;
    enum error_kind rc;

    target_init(&r.target);
    rc = tree_scratch_new(&scratch, err);
    if (!rc)
        rc = tree_entry_decode(scratch, encoded, len, &e, err);
    if (!rc)
        rc = random_bytes(&token, sizeof(token), err);
    if (rc)
        goto done;
    if (!name_is_safe((const unsigned char *)name, strlen(name)) || e.type == TREE_DIRECTORY) {
        rc = error_set(err, ERR_REFUSED, 0, "%s can't be replaced by a file", name);
        goto done;
    }
    snprintf(r.draft, sizeof(r.draft), "%s%016llx", DRAFT_PREFIX, (unsigned long long)token);
    r.entry = &e;
    if (fstat(dirfd, &folder)) {
        rc = error_set(err, ERR_IO, errno, "cannot look at the folder of %s", name);
        goto done;
    }
    if (e.type == TREE_FILE)
        rc = write_draft(&r, err);
    else
        rc = target_special(&r.target, dirfd, r.draft, &e, name, &special, err);
    if (!rc && !special)
        rc = error_set(err, ERR_REFUSED, 0, "a device can't be made without root's rights");
    r.made |= !rc;
    if (!rc)
        rc = put_in_place(&r, &folder, err);

done:
    if (rc)
        error_context(err, "replacing %s", name);
    if (r.made)
        file_unlink(dirfd, r.draft, &ignored);
    tree_scratch_free(scratch);
    target_release(&r.target);
    return rc;
}
