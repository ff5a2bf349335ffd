/*
 * The folders of a target that is being written: made when something is put into them, and done with when the last thing in them is (W1).
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "restore_write_internal.h"

enum error_kind folder_path(const struct folder *f, struct buffer *out, struct error *err)
{
    size_t len = 0;
    enum error_kind rc;

    buffer_clear(out);
    for (const struct folder *at = f; at->parent; at = at->parent)
        len += at->name_len + (at->parent->parent ? 1 : 0);
    rc = buffer_reserve(out, len + 1, err);
    if (rc)
        return rc;
    out->len = len;
    out->data[len] = '\0';
    for (const struct folder *at = f; at->parent; at = at->parent) {
        len -= at->name_len;
        memcpy(out->data + len, at->name, at->name_len);
        if (len > 0)
            out->data[--len] = '/';
    }
    return OK;
}

enum error_kind folder_child_path(const struct folder *f, const char *name, struct buffer *out, struct error *err)
{
    enum error_kind rc = folder_path(f, out, err);

    if (!rc && out->len > 0)
        rc = buffer_append_u8(out, '/', err);
    return rc ? rc : buffer_append_text(out, name, err);
}

/* The descriptor of a folder below base, kept until the next folder is asked for. */
static enum error_kind folder_fd(const struct folder *f, int base, struct buffer *path, uint64_t *serial, int *fd,
                                 struct error *err)
{
    enum error_kind rc;

    if (*serial == f->serial)
        return OK;
    file_close(fd);
    *serial = 0;
    rc = folder_path(f, path, err);
    if (!rc)
        rc = restore_open_below(base, (const char *)path->data, path->len, O_PATH | O_DIRECTORY, 0, fd, err);
    if (!rc)
        *serial = f->serial;
    return rc;
}

enum error_kind hand_target_fd(struct hand *h, const struct folder *f, struct error *err)
{
    return folder_fd(f, h->writer->spec.target->fd, &h->path, &h->target_serial, &h->target_fd, err);
}

enum error_kind hand_live_fd(struct hand *h, const struct folder *f, struct error *err)
{
    return folder_fd(f, h->writer->spec.live, &h->path, &h->live_serial, &h->live_fd, err);
}

static enum error_kind folder_finish(struct hand *h, const struct folder *f, struct error *err)
{
    struct target *t = h->writer->spec.target;
    struct tree_entry e;
    int fd = -1;
    enum error_kind rc;

    rc = tree_entry_decode(h->scratch, f->encoded, f->encoded_len, &e, err);
    if (!rc)
        rc = folder_path(f, &h->path, err);
    if (!rc)
        rc = restore_open_below(t->fd, (const char *)h->path.data, h->path.len, O_RDONLY | O_DIRECTORY, 0, &fd, err);
    if (!rc)
        rc = target_attributes(t, fd, &e, (const char *)h->path.data, err);
    file_close(&fd);
    if (rc)
        error_context(err, "finishing a folder");
    atomic_fetch_add(&h->writer->directories, 1);
    return rc;
}

enum error_kind folder_leave(struct hand *h, struct folder *f, bool stopped, struct error *err)
{
    enum error_kind rc = OK;

    while (f && atomic_fetch_sub(&f->users, 1) == 1) {
        struct folder *parent = f->parent;

        if (!rc && !stopped && f->made)
            rc = folder_finish(h, f, err);
        free(f->encoded);
        free(f);
        f = parent;
    }
    return rc;
}

enum error_kind folder_make(struct writer *w, struct folder *f, struct error *err)
{
    enum error_kind rc = OK;

    while (!rc && !f->made) {
        struct folder *top = f;

        while (!top->parent->made)
            top = top->parent;
        rc = hand_target_fd(&w->walker, top->parent, err);
        if (!rc)
            rc = directory_make(w->walker.target_fd, top->name, 0700, err);
        if (rc && !folder_path(top, &w->walker.path, &(struct error)ERROR_INIT))
            error_context(err, "restoring %s", w->walker.path.data);
        top->made = !rc;
    }
    return rc;
}

enum error_kind writer_enter(struct writer *w, struct folder *parent, const char *name, const struct tree_entry *e,
                             bool wanted, struct folder **out, struct error *err)
{
    struct buffer encoded = BUFFER_INIT(RESTORE_ENTRY_MAX);
    size_t len = strlen(name);
    struct folder *f = calloc(1, sizeof(*f) + len + 1);
    enum error_kind rc;

    if (!f)
        return error_set(err, ERR_MEMORY, 0, "out of memory for a folder");
    rc = tree_entry_encode(e, &encoded, err);
    if (rc) {
        free(f);
        buffer_release(&encoded);
        return rc;
    }
    memcpy(f->name, name, len);
    f->name_len = len;
    f->encoded = encoded.data;
    f->encoded_len = encoded.len;
    f->serial = ++w->serial;
    f->parent = parent;
    f->made = !parent; /* the target itself */
    f->live_gone = w->spec.live < 0 || (parent && parent->live_gone);
    atomic_init(&f->users, 1);
    if (parent)
        atomic_fetch_add(&parent->users, 1);
    *out = f;
    return wanted ? folder_make(w, f, err) : OK;
}

enum error_kind writer_leave(struct writer *w, struct folder *f, struct error *err)
{
    return folder_leave(&w->walker, f, crew_failed(w->crew), err);
}
