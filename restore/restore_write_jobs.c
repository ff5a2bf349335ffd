/*
 * What a thread does with one job: its entries one after the other, out of the frame that they share.
 */
#include "restore_write_internal.h"

/* Everything that is no file in a frame. */
static enum error_kind put_other(struct hand *h, struct window *win, struct put *p, struct stat *st, bool *made,
                                 struct error *err)
{
    struct tree_entry e;
    enum error_kind rc;

    if (p->kind == PUT_LINK)
        return put_link(h, win, p, st, err);
    if (p->kind == PUT_STREAM)
        return put_file(h, win, p, NULL, 0, st, err);
    rc = tree_entry_decode(h->scratch, put_encoded(win, p), p->encoded_len, &e, err);
    if (rc)
        return rc;
    return e.type == TREE_FILE ? put_file(h, win, p, NULL, 0, st, err) : put_special(h, win, p, &e, st, made, err);
}

/* After an entry was put, or not. */
static enum error_kind settle(struct hand *h, struct window *win, struct put *p, enum error_kind rc, bool made,
                              struct error *err)
{
    struct writer *w = h->writer;
    struct buffer path = BUFFER_INIT(RESTORE_PATH_MAX);
    struct error showing = ERROR_INIT;

    if (!rc) {
        p->done = made;
        if (made)
            atomic_fetch_add(&w->files, 1);
        return OK;
    }
    if (folder_child_path(p->folder, put_name(win, p), &path, &showing)) {
        buffer_release(&path);
        return rc;
    }
    if (rc == ERR_CORRUPT)
        rc = writer_file_damaged(w, (const char *)path.data, err);
    else
        error_context(err, "restoring %s", path.data);
    buffer_release(&path);
    return rc;
}

static enum error_kind put_one(struct hand *h, struct window *win, struct put *p, struct error *err)
{
    struct stat *st = win->stats ? &win->stats[p - win->puts] : NULL;
    const void *bytes = NULL;
    bool made = true;
    enum error_kind rc;

    if (p->kind == PUT_FRAME) {
        rc = open_frame_get(&h->held, h->writer->spec.cat, &p->by.chunk.id, &p->by.chunk.place, &bytes, err);
        if (!rc)
            rc = put_file(h, win, p, bytes, p->by.chunk.place.len, st, err);
    } else {
        rc = put_other(h, win, p, st, &made, err);
    }
    return settle(h, win, p, rc, made, err);
}

/* The frame itself is damaged: that names all of its files, not only the first (P6). */
static enum error_kind frame_damaged(struct hand *h, struct window *win, const struct put_job *job,
                                     const struct error *why, struct error *err)
{
    struct error first = ERROR_INIT;
    enum error_kind rc = OK;

    for (uint32_t i = job->from; i < job->to; i++) {
        struct error each = *why;

        if (settle(h, win, &win->puts[i], each.kind, false, &each))
            error_copy(&first, &each);
    }
    if (first.kind) {
        rc = first.kind;
        *err = first;
        if (job->to - job->from > 1)
            error_context(err, "damage that touches %u files", job->to - job->from);
    }
    return rc;
}

bool put_has_place(const struct put *p)
{
    return (p->kind == PUT_FRAME || p->kind == PUT_STREAM) && p->by.chunk.place.len > 0;
}

static enum error_kind put_range(struct hand *h, struct window *win, const struct put_job *job, struct error *err)
{
    struct put *first = &win->puts[job->from];
    enum error_kind rc = OK;

    if (put_has_place(first))
        rc = open_frame_hold(&h->held, h->writer->spec.cat, &first->by.chunk.place, err);
    if (rc == ERR_CORRUPT) {
        struct error why = *err;

        error_clear(err);
        return frame_damaged(h, win, job, &why, err);
    }
    for (uint32_t i = job->from; !rc && i < job->to; i++) {
        rc = cancel_check(err);
        if (!rc && crew_failed(h->writer->crew))
            break;
        if (!rc)
            rc = put_one(h, win, &win->puts[i], err);
    }
    return rc;
}

enum error_kind put_job_run(void *state, void *arg, bool stopped, struct error *err)
{
    struct hand *h = state;
    struct put_job *job = arg;
    struct window *win = job->window;
    struct writer *w = h->writer;
    enum error_kind rc = OK;

    if (!stopped)
        rc = put_range(h, win, job, err);
    /* Whoever wants to know what became of each file needs the folders' names for it: they are let go of later then. */
    for (uint32_t i = job->from; !win->stats && i < job->to; i++) {
        struct error leaving = ERROR_INIT;

        if (folder_leave(h, win->puts[i].folder, stopped || rc, &leaving) && !rc) {
            rc = leaving.kind;
            *err = leaving;
        }
    }
    pthread_mutex_lock(&w->lock);
    if (--win->pending == 0)
        pthread_cond_signal(&w->over);
    pthread_mutex_unlock(&w->lock);
    return rc;
}
