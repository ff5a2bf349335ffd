/*
 * Putting one entry: a file with its content, or what has none.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "restore_write_internal.h"

#define EARLY_BYTES (64u << 10) /* smaller files are brought to disk better together */

const char *put_name(const struct window *win, const struct put *p)
{
    return (const char *)win->bytes.data + p->name_at;
}

const unsigned char *put_encoded(const struct window *win, const struct put *p)
{
    return win->bytes.data + p->encoded_at;
}

/* Content from the bytes of its only chunk, or (bytes NULL) chunk by chunk. */
static enum error_kind fill(struct hand *h, int fd, const struct tree_entry *e, const void *bytes, size_t len,
                            struct error *err)
{
    struct writer *w = h->writer;
    struct content_sink sink = {fd, (const char *)h->path.data, &w->bytes};
    struct extents x = extents_of(e);
    enum error_kind rc = OK;

    if (!bytes && content_data_size(e) > 0)
        rc = content_each(w->spec.cat, e, &h->held, content_write, &sink, err);
    else if (len != content_data_size(e))
        rc = error_set(err, ERR_CORRUPT, 0, "the file's content has %zu bytes where its record says %llu", len,
                       (unsigned long long)content_data_size(e));
    else if (bytes)
        rc = content_spread(&x, bytes, len, content_write, &sink, err);
    /* A hole at the end has no byte that would make the file long enough. */
    if (!rc && e->hole_count > 0 && ftruncate(fd, (off_t)e->size))
        rc = error_set(err, ERR_IO, errno, "cannot set the length of %s", sink.shown);
    return rc;
}

enum error_kind put_create(struct hand *h, const struct put *p, const char *name, mode_t mode, int *fd,
                           struct error *err)
{
    enum error_kind rc = folder_child_path(p->folder, name, &h->path, err);

    return rc ? rc
              : restore_open_below(h->writer->spec.target->fd, (const char *)h->path.data, h->path.len,
                                   O_WRONLY | O_CREAT | O_EXCL, mode & 0777, fd, err);
}

void put_remove_again(struct hand *h, const struct put *p, const char *name)
{
    struct error ignored = ERROR_INIT;

    if (!hand_target_fd(h, p->folder, &ignored))
        file_unlink(h->target_fd, name, &ignored);
}

enum error_kind put_finish(struct hand *h, int fd, const struct tree_entry *e, struct stat *st, struct error *err)
{
    const char *shown = (const char *)h->path.data;
    enum error_kind rc = target_attributes(h->writer->spec.target, fd, e, shown, err);

    if (!rc && st && fstat(fd, st))
        rc = error_set(err, ERR_IO, errno, "cannot look at %s", shown);
    return rc;
}

enum error_kind put_file(struct hand *h, struct window *win, struct put *p, const void *bytes, size_t len,
                         struct stat *st, struct error *err)
{
    const char *name = put_name(win, p);
    struct tree_entry e;
    int fd = -1;
    enum error_kind rc;

    rc = tree_entry_decode(h->scratch, put_encoded(win, p), p->encoded_len, &e, err);
    if (!rc)
        rc = put_create(h, p, name, e.mode, &fd, err);
    if (rc)
        return rc;
    rc = fill(h, fd, &e, bytes, len, err);
    /* Let the disk begin while we go on. What becomes of it is the final sync's to tell. */
    if (!rc && e.size >= EARLY_BYTES)
        sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    if (!rc)
        rc = put_finish(h, fd, &e, st, err);
    file_close(&fd);
    if (rc) {
        put_remove_again(h, p, name);
        return rc;
    }
    p->how = RESTORE_WRITTEN;
    return OK;
}

enum error_kind put_special(struct hand *h, struct window *win, struct put *p, const struct tree_entry *e,
                            struct stat *st, bool *made, struct error *err)
{
    const char *name = put_name(win, p);
    struct error showing = ERROR_INIT;
    enum error_kind rc = hand_target_fd(h, p->folder, err);

    if (!rc)
        rc = folder_child_path(p->folder, name, &h->path, &showing);
    if (!rc)
        rc = target_special(h->writer->spec.target, h->target_fd, name, e, (const char *)h->path.data, made, err);
    if (!rc && *made && st && fstatat(h->target_fd, name, st, AT_SYMLINK_NOFOLLOW))
        rc = error_set(err, ERR_IO, errno, "cannot look at %s", h->path.data);
    return rc;
}
