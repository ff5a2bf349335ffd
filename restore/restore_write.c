/*
 * Writing files.
 *
 * The walking thread collects entries in windows. A full window is sorted so that every frame is read and decompressed once, is cut into
 * jobs, and a crew of threads does them while the next window is being filled. What comes from frames has wide windows, what has no
 * content (links above all) small ones of its own, which go out early. Two windows of each are in flight, which bounds memory
 * whatever the size of the shop.
 *
 *   W1  a folder gets its attributes after everything in it is done, so that its time stays
 *   W2  every file is made with O_EXCL below the target's descriptor, by a path in which no symlink is followed (R1)
 *   W3  a file that could not be completed is removed again
 *   W4  a link counts only after the new name was seen to be the very inode, unchanged since it was compared
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "restore_internal.h"

#define WINDOW_FILES 49152u     /* entries of a window that are written from frames */
#define WINDOW_PLAIN 2048u      /* entries without content: no frame to share, so they needn't wait */
#define WINDOW_BYTES (6u << 20) /* of encoded entries and names */
#define PLAIN_BATCH 32u         /* entries without content in one job */
#define JOB_QUEUE (2u * (WINDOW_FILES + WINDOW_PLAIN)) /* the walk must never wait for a place */
#define WRITERS_DEFAULT_MAX 4                          /* each holds a frame in memory */
#define EARLY_BYTES (64u << 10)                        /* smaller files are brought to disk better together */
#define WAIT_NS 250000000                              /* between two reports of progress */
#define SEEN_BYTES (4u << 20)                          /* one bit for each hash of an inode with several names */

/* ---- windows ---- */

enum put_kind { PUT_FRAME, PUT_STREAM, PUT_PLAIN, PUT_LINK };

struct put {
    struct folder *folder;
    uint32_t name_at, encoded_at, encoded_len; /* in the window's bytes; the name is NUL-terminated */
    uint8_t kind, how;
    bool done, grouped;
    union {
        struct {
            struct chunk_place place;
            struct chunk_id id;
        } chunk;              /* PUT_FRAME, PUT_STREAM: the first one; place.len 0: a list, of any length */
        struct stat_key live; /* PUT_LINK */
    } by;
};

struct window;

struct put_job {
    struct window *window;
    uint32_t from, to;
};

struct window {
    struct put *puts;
    struct put_job *jobs;
    struct stat *stats; /* of each put, when somebody wants to know */
    uint32_t count, job_count, cap;
    struct buffer bytes;
    unsigned pending; /* jobs; under the writer's lock */
    bool launched;
};

/* Two windows in turn: one is being filled while the other is being worked on. */
struct lane {
    struct window windows[2];
    unsigned filling;
};

enum { LANE_FRAMES, LANE_PLAIN, LANES };

/* What each thread has for itself. */
struct hand {
    struct writer *writer;
    struct tree_scratch *scratch;
    struct buffer path;
    struct open_frame held;
    uint64_t target_serial, live_serial; /* which folders these descriptors are of; 0: none */
    int target_fd, live_fd;
};

struct writer {
    struct writer_spec spec;
    const struct restore_options *options;
    struct crew *crew;
    struct hand *hands;
    unsigned hand_count;
    struct hand walker; /* the walking thread's */
    struct lane lanes[LANES];
    pthread_mutex_t lock; /* windows' pending, the result's lists */
    pthread_cond_t over;
    uint64_t serial;
    atomic_ullong files, directories, bytes, linked, reflinked;
    atomic_bool no_reflink; /* the filesystem said so once */
    atomic_bool damaged;
    unsigned char *seen; /* inodes already linked, by hash: a second name must be a file of its own */
};

/* ---- folders ---- */

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

static enum error_kind path_in(const struct folder *f, const char *name, struct buffer *out, struct error *err)
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
        rc = below_open(base, (const char *)path->data, path->len, O_PATH | O_DIRECTORY, 0, fd, err);
    if (!rc)
        *serial = f->serial;
    return rc;
}

static enum error_kind target_fd(struct hand *h, const struct folder *f, struct error *err)
{
    return folder_fd(f, h->writer->spec.target->fd, &h->path, &h->target_serial, &h->target_fd, err);
}

static enum error_kind live_fd(struct hand *h, const struct folder *f, struct error *err)
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
        rc = below_open(t->fd, (const char *)h->path.data, h->path.len, O_RDONLY | O_DIRECTORY, 0, &fd, err);
    if (!rc)
        rc = target_attributes(t, fd, &e, (const char *)h->path.data, err);
    file_close(&fd);
    if (rc)
        error_context(err, "finishing a folder");
    atomic_fetch_add(&h->writer->directories, 1);
    return rc;
}

/* Let go of a folder; whoever is last gives it its attributes, and lets go of the one above (W1). */
static enum error_kind folder_leave(struct hand *h, struct folder *f, bool stopped, struct error *err)
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

/* Make a folder, and those above it that nothing had asked for so far. */
static enum error_kind folder_make(struct writer *w, struct folder *f, struct error *err)
{
    enum error_kind rc = OK;

    while (!rc && !f->made) {
        struct folder *top = f;

        while (!top->parent->made)
            top = top->parent;
        rc = target_fd(&w->walker, top->parent, err);
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

/* ---- damage ---- */

/*
 * A file that can't be restored. It is always named in the result; with keep_going that is all.
 *
 * Returns    OK with keep_going, else the failure
 */
static enum error_kind damaged(struct writer *w, const char *path, struct error *err)
{
    enum error_kind kind = err->kind;
    struct error adding = ERROR_INIT;

    atomic_store(&w->damaged, true);
    pthread_mutex_lock(&w->lock);
    text_list_addf(&w->spec.result->damaged, &adding, "%s: %s", path, err->text);
    pthread_mutex_unlock(&w->lock);
    if (w->options->keep_going && !adding.kind) {
        error_clear(err);
        return OK;
    }
    error_context(err, "restoring %s", path);
    return kind;
}

enum error_kind writer_damaged(struct writer *w, const char *path, const struct error *why, struct error *err)
{
    *err = *why;
    return damaged(w, path[0] ? path : ".", err);
}

/* ---- one entry ---- */

static const char *put_name(const struct window *win, const struct put *p)
{
    return (const char *)win->bytes.data + p->name_at;
}

static const unsigned char *put_encoded(const struct window *win, const struct put *p)
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

/* W2. The target is ours alone while it fills, so a file may have its permissions from the beginning: a system call less. */
static enum error_kind create(struct hand *h, const struct put *p, const char *name, mode_t mode, int *fd,
                              struct error *err)
{
    enum error_kind rc = path_in(p->folder, name, &h->path, err);

    return rc ? rc
              : below_open(h->writer->spec.target->fd, (const char *)h->path.data, h->path.len,
                           O_WRONLY | O_CREAT | O_EXCL, mode & 0777, fd, err);
}

/* W3 */
static void remove_again(struct hand *h, const struct put *p, const char *name)
{
    struct error ignored = ERROR_INIT;

    if (!target_fd(h, p->folder, &ignored))
        file_unlink(h->target_fd, name, &ignored);
}

static enum error_kind finish_file(struct hand *h, int fd, const struct tree_entry *e, struct stat *st,
                                   struct error *err)
{
    const char *shown = (const char *)h->path.data;
    enum error_kind rc = target_attributes(h->writer->spec.target, fd, e, shown, err);

    if (!rc && st && fstat(fd, st))
        rc = error_set(err, ERR_IO, errno, "cannot look at %s", shown);
    return rc;
}

static enum error_kind put_file(struct hand *h, struct window *win, struct put *p, const void *bytes, size_t len,
                                struct stat *st, struct error *err)
{
    const char *name = put_name(win, p);
    struct tree_entry e;
    int fd = -1;
    enum error_kind rc;

    rc = tree_entry_decode(h->scratch, put_encoded(win, p), p->encoded_len, &e, err);
    if (!rc)
        rc = create(h, p, name, e.mode, &fd, err);
    if (rc)
        return rc;
    rc = fill(h, fd, &e, bytes, len, err);
    /* Let the disk begin while we go on. What becomes of it is the final sync's to tell. */
    if (!rc && e.size >= EARLY_BYTES)
        sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    if (!rc)
        rc = finish_file(h, fd, &e, st, err);
    file_close(&fd);
    if (rc) {
        remove_again(h, p, name);
        return rc;
    }
    p->how = RESTORE_WRITTEN;
    return OK;
}

static enum error_kind put_special(struct hand *h, struct window *win, struct put *p, const struct tree_entry *e,
                                   struct stat *st, bool *made, struct error *err)
{
    const char *name = put_name(win, p);
    struct error showing = ERROR_INIT;
    enum error_kind rc = target_fd(h, p->folder, err);

    if (!rc)
        rc = path_in(p->folder, name, &h->path, &showing);
    if (!rc)
        rc = target_special(h->writer->spec.target, h->target_fd, name, e, (const char *)h->path.data, made, err);
    if (!rc && *made && st && fstatat(h->target_fd, name, st, AT_SYMLINK_NOFOLLOW))
        rc = error_set(err, ERR_IO, errno, "cannot look at %s", h->path.data);
    return rc;
}

/* ---- linking ---- */

static bool same_but_ctime(const struct stat_key *key, const struct stat *st)
{
    struct stat_key now;

    stat_key_of(st, &now);
    now.ctime_sec = key->ctime_sec;
    now.ctime_nsec = key->ctime_nsec;
    return stat_key_equal(key, &now);
}

static bool same_owner(const struct stat *a, const struct stat *b)
{
    return a->st_uid == b->st_uid && a->st_gid == b->st_gid;
}

/* Is the live file still what was compared with the stat cache? Its own stat is handed out for later. */
static bool still_same(struct hand *h, const struct put *p, const char *name, struct stat *st)
{
    struct stat_key now;

    if (fstatat(h->live_fd, name, st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st->st_mode))
        return false;
    stat_key_of(st, &now);
    return stat_key_equal(&now, &p->by.live);
}

/*
 * Share the live file's blocks under a new inode. *done false when that did not work for any reason but a full disk: then it is
 * linked or written.
 */
static enum error_kind try_reflink(struct hand *h, struct window *win, struct put *p, struct stat *st, bool *done,
                                   struct error *err)
{
    struct writer *w = h->writer;
    const char *name = put_name(win, p);
    struct error ignored = ERROR_INIT;
    struct stat_key now;
    struct tree_entry e;
    struct stat after;
    int from = -1;
    int to = -1;
    enum error_kind rc = OK;

    if (atomic_load(&w->no_reflink))
        return OK;
    if (file_open(h->live_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0, &from, &ignored))
        return OK;
    rc = create(h, p, name, 0600, &to, err);
    if (rc)
        goto done;
    if (ioctl(to, FICLONE, from)) {
        if (errno == EOPNOTSUPP || errno == ENOTTY || errno == ENOSYS)
            atomic_store(&w->no_reflink, true);
        goto done;
    }
    /* What was cloned must be what was compared: same inode, and nothing about it changed meanwhile. */
    if (fstat(from, &after))
        goto done;
    stat_key_of(&after, &now);
    if (!stat_key_equal(&now, &p->by.live))
        goto done;
    rc = tree_entry_decode(h->scratch, put_encoded(win, p), p->encoded_len, &e, err);
    if (!rc)
        rc = finish_file(h, to, &e, st, err);
    *done = !rc;

done:
    file_close(&from);
    if (to >= 0 && !*done)
        remove_again(h, p, name);
    file_close(&to);
    return rc;
}

/* W4 */
static enum error_kind try_link(struct hand *h, struct window *win, struct put *p, struct stat *st, bool *done,
                                struct error *err)
{
    const char *name = put_name(win, p);
    struct stat before;
    struct stat after;
    enum error_kind rc;

    if (h->writer->options->no_hard_links || !still_same(h, p, name, &before))
        return OK;
    rc = target_fd(h, p->folder, err);
    if (rc)
        return rc;
    if (linkat(h->live_fd, name, h->target_fd, name, 0)) {
        if (errno == EEXIST)
            rc = error_set(err, ERR_EXISTS, errno, "cannot make %s", name);
        return rc; /* another mount, a full link count, a forbidden link: it is written instead */
    }
    if (fstatat(h->target_fd, name, &after, AT_SYMLINK_NOFOLLOW))
        return error_set(err, ERR_IO, errno, "cannot look at %s", name);
    if (!same_but_ctime(&p->by.live, &after) || !same_owner(&before, &after))
        return file_unlink(h->target_fd, name, err);
    if (st)
        *st = after;
    *done = true;
    return OK;
}

static enum error_kind put_link(struct hand *h, struct window *win, struct put *p, struct stat *st, struct error *err)
{
    struct error opening = ERROR_INIT;
    bool done = false;
    enum error_kind rc = OK;

    if (live_fd(h, p->folder, &opening))
        return put_file(h, win, p, NULL, 0, st, err);
    rc = try_reflink(h, win, p, st, &done, err);
    if (!rc && done) {
        p->how = RESTORE_REFLINKED;
        atomic_fetch_add(&h->writer->reflinked, 1);
        return OK;
    }
    if (!rc)
        rc = try_link(h, win, p, st, &done, err);
    if (!rc && done) {
        p->how = RESTORE_LINKED;
        atomic_fetch_add(&h->writer->linked, 1);
        return OK;
    }
    return rc ? rc : put_file(h, win, p, NULL, 0, st, err);
}

/* ---- jobs ---- */

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
    if (path_in(p->folder, put_name(win, p), &path, &showing)) {
        buffer_release(&path);
        return rc;
    }
    if (rc == ERR_CORRUPT)
        rc = damaged(w, (const char *)path.data, err);
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

/* Does it begin in a known frame? */
static bool has_place(const struct put *p)
{
    return (p->kind == PUT_FRAME || p->kind == PUT_STREAM) && p->by.chunk.place.len > 0;
}

static enum error_kind put_range(struct hand *h, struct window *win, const struct put_job *job, struct error *err)
{
    struct put *first = &win->puts[job->from];
    enum error_kind rc = OK;

    if (has_place(first))
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

static enum error_kind run_job(void *state, void *arg, bool stopped, struct error *err)
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

/* ---- filling and emptying windows ---- */

static int compare_numbers(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

/* The long ones first; then by frame, in each the files that are whole before those that go on elsewhere; the rest as the walk found it. */
static int compare_puts(const void *a, const void *b)
{
    const struct put *x = a;
    const struct put *y = b;
    int order = compare_numbers(has_place(x), has_place(y));

    if (!order && has_place(x)) {
        order = compare_numbers(x->by.chunk.place.pack, y->by.chunk.place.pack);
        if (!order)
            order = compare_numbers(x->by.chunk.place.frame, y->by.chunk.place.frame);
        if (!order)
            order = compare_numbers(x->kind, y->kind);
        if (!order)
            order = compare_numbers(x->by.chunk.place.offset, y->by.chunk.place.offset);
    }
    return order ? order : compare_numbers(x->name_at, y->name_at);
}

/* Files that begin in the same frame are one job, so that two threads don't decompress it both. */
static bool same_job(const struct put *a, const struct put *b, uint32_t count)
{
    const struct chunk_place *x = &a->by.chunk.place;
    const struct chunk_place *y = &b->by.chunk.place;

    if (has_place(a) && has_place(b))
        return x->pack == y->pack && x->frame == y->frame;
    return a->kind != PUT_STREAM && a->kind == b->kind && count < PLAIN_BATCH;
}

static void window_launch(struct writer *w, struct window *win)
{
    qsort(win->puts, win->count, sizeof(*win->puts), compare_puts);
    win->job_count = 0;
    for (uint32_t i = 0; i < win->count;) {
        uint32_t from = i++;

        while (i < win->count && same_job(&win->puts[from], &win->puts[i], i - from))
            i++;
        win->jobs[win->job_count++] = (struct put_job){win, from, i};
    }
    win->pending = win->job_count;
    win->launched = true;
    for (uint32_t i = 0; i < win->job_count; i++)
        crew_push(w->crew, &win->jobs[i]);
}

static enum error_kind report(struct writer *w, struct window *win, const struct put *p, struct error *err)
{
    enum error_kind rc = path_in(p->folder, put_name(win, p), &w->walker.path, err);

    if (rc)
        return rc;
    if (p->grouped) {
        link_table_set_how(w->spec.links, (const char *)w->walker.path.data, (enum restore_how)p->how);
        return OK;
    }
    return w->options->placed(w->options->placed_arg, (const char *)w->walker.path.data, (enum restore_how)p->how,
                              &win->stats[p - win->puts], put_encoded(win, p), p->encoded_len, err);
}

/* Wait for the threads, saying now and then how far they are. */
static void await(struct writer *w, struct window *win)
{
    bool over = false;

    while (!over) {
        struct timespec until;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += WAIT_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_mutex_lock(&w->lock);
        while (win->pending > 0 && pthread_cond_timedwait(&w->over, &w->lock, &until) == 0)
            ;
        over = win->pending == 0;
        pthread_mutex_unlock(&w->lock);
        progress_advance(w->spec.progress, atomic_load(&w->bytes), w->spec.total_bytes, "bytes");
    }
}

/* Wait until a launched window is done; tell about its files; make it empty. */
static enum error_kind window_settle(struct writer *w, struct window *win, struct error *err)
{
    bool stopped;
    enum error_kind rc = OK;

    if (!win->launched)
        return OK;
    await(w, win);
    stopped = crew_failed(w->crew);
    for (uint32_t i = 0; win->stats && i < win->count; i++) {
        struct put *p = &win->puts[i];
        struct error leaving = ERROR_INIT;

        if (!rc && !stopped && p->done)
            rc = report(w, win, p, err);
        if (folder_leave(&w->walker, p->folder, stopped || rc, &leaving) && !rc) {
            rc = leaving.kind;
            *err = leaving;
        }
    }
    win->count = 0;
    win->launched = false;
    buffer_clear(&win->bytes);
    return rc;
}

/* Hand a full window to the threads and go on with the other one. */
static enum error_kind next_window(struct writer *w, struct lane *lane, struct error *err)
{
    window_launch(w, &lane->windows[lane->filling]);
    lane->filling = 1 - lane->filling;
    return window_settle(w, &lane->windows[lane->filling], err);
}

static bool window_full(const struct lane *lane, size_t more)
{
    const struct window *win = &lane->windows[lane->filling];

    return win->count > 0 && (win->count == win->cap || win->bytes.len + more > WINDOW_BYTES);
}

/*
 * May this live file be linked? Two files of the snapshot must not become one only because the live tree has made them one since; the
 * filter may say "seen" wrongly, which costs a copy.
 */
static enum error_kind first_use(struct writer *w, const struct stat *live, bool *first, struct error *err)
{
    uint64_t key[2] = {live->st_dev, live->st_ino};
    void *memory = NULL;

    *first = true;
    if (live->st_nlink < 2)
        return OK;
    if (!w->seen) {
        enum error_kind rc = memory_zeroed(1, SEEN_BYTES, &memory, err);

        if (rc)
            return rc;
        w->seen = memory;
    }
    *first = false;
    for (uint64_t i = 0; i < 3; i++) {
        uint64_t bit = hash64_of(i, key, sizeof(key)) % (SEEN_BYTES * 8ull);

        if (!(w->seen[bit / 8] & (1u << (bit % 8))))
            *first = true;
        w->seen[bit / 8] |= (unsigned char)(1u << (bit % 8));
    }
    return OK;
}

static enum error_kind choose_kind(struct writer *w, struct put *p, const struct tree_entry *e, const struct stat *live,
                                   struct error *err)
{
    bool linkable = live != NULL;
    enum error_kind rc = OK;

    if (live)
        rc = first_use(w, live, &linkable, err);
    if (rc)
        return rc;
    p->kind = PUT_PLAIN;
    if (linkable) {
        p->kind = PUT_LINK;
        stat_key_of(live, &p->by.live);
    } else if (e->type == TREE_FILE && e->has_list) {
        p->kind = PUT_STREAM;
    } else if (e->type == TREE_FILE && e->chunk_count > 0) {
        p->kind = e->chunk_count == 1 ? PUT_FRAME : PUT_STREAM;
        p->by.chunk.id = e->chunks[0];
        rc = chunk_find(w->spec.cat, &e->chunks[0], &p->by.chunk.place, err);
        if (!rc && p->by.chunk.place.type != CHUNK_DATA)
            rc = error_set(err, ERR_CORRUPT, 0, "a file names a chunk that is no content");
    }
    return rc;
}

enum error_kind writer_put(struct writer *w, struct folder *f, const char *name, const void *encoded, size_t len,
                           const struct tree_entry *e, const struct stat *live, bool grouped, struct error *err)
{
    size_t name_len = strlen(name) + 1;
    struct put p = {.folder = f, .encoded_len = (uint32_t)len, .grouped = grouped};
    struct lane *lane;
    struct window *win;
    enum error_kind rc = folder_make(w, f, err);

    if (!rc)
        rc = choose_kind(w, &p, e, live, err);
    if (rc == ERR_CORRUPT) {
        struct buffer path = BUFFER_INIT(RESTORE_PATH_MAX);

        if (!path_in(f, name, &path, &(struct error)ERROR_INIT))
            rc = damaged(w, (const char *)path.data, err);
        buffer_release(&path);
        return rc;
    }
    lane = &w->lanes[p.kind == PUT_FRAME || p.kind == PUT_STREAM ? LANE_FRAMES : LANE_PLAIN];
    if (!rc && window_full(lane, name_len + len))
        rc = next_window(w, lane, err);
    if (rc)
        return rc;
    win = &lane->windows[lane->filling];
    p.name_at = (uint32_t)win->bytes.len;
    rc = buffer_append(&win->bytes, name, name_len, err);
    p.encoded_at = (uint32_t)win->bytes.len;
    if (!rc)
        rc = buffer_append(&win->bytes, encoded, len, err);
    if (rc)
        return rc;
    atomic_fetch_add(&f->users, 1);
    win->puts[win->count++] = p;
    return OK;
}

/* ---- beginning and end ---- */

static enum error_kind hand_init(struct hand *h, struct writer *w, struct error *err)
{
    *h = (struct hand){w, NULL, BUFFER_INIT(RESTORE_PATH_MAX), OPEN_FRAME_INIT, 0, 0, -1, -1};
    return tree_scratch_new(&h->scratch, err);
}

static void hand_release(struct hand *h)
{
    if (!h->writer)
        return;
    tree_scratch_free(h->scratch);
    buffer_release(&h->path);
    open_frame_release(&h->held);
    file_close(&h->target_fd);
    file_close(&h->live_fd);
}

static enum error_kind window_init(struct window *win, uint32_t cap, bool stats, struct error *err)
{
    void *memory = NULL;
    enum error_kind rc;

    win->cap = cap;
    win->bytes = (struct buffer)BUFFER_INIT(WINDOW_BYTES + RESTORE_ENTRY_MAX);
    rc = memory_zeroed(win->cap, sizeof(*win->puts), &memory, err);
    if (rc)
        return rc;
    win->puts = memory;
    rc = memory_zeroed(win->cap, sizeof(*win->jobs), &memory, err);
    if (rc)
        return rc;
    win->jobs = memory;
    if (stats) {
        rc = memory_zeroed(win->cap, sizeof(*win->stats), &memory, err);
        if (rc)
            return rc;
        win->stats = memory;
    }
    return OK;
}

static void window_release(struct window *win)
{
    free(win->puts);
    free(win->jobs);
    free(win->stats);
    buffer_release(&win->bytes);
}

static enum error_kind start_hands(struct writer *w, struct error *err)
{
    void *states[WRITERS_DEFAULT_MAX * 4];
    unsigned count = w->options->writers ? w->options->writers : (unsigned)thread_processors() + 1;
    void *memory = NULL;
    enum error_kind rc;

    if (!w->options->writers && count > WRITERS_DEFAULT_MAX)
        count = WRITERS_DEFAULT_MAX;
    if (count > sizeof(states) / sizeof(states[0]))
        count = sizeof(states) / sizeof(states[0]);
    rc = memory_zeroed(count, sizeof(*w->hands), &memory, err);
    if (rc)
        return rc;
    w->hands = memory;
    w->hand_count = count;
    for (unsigned i = 0; !rc && i < count; i++) {
        rc = hand_init(&w->hands[i], w, err);
        states[i] = &w->hands[i];
    }
    return rc ? rc : crew_start(count, JOB_QUEUE, run_job, states, &w->crew, err);
}

enum error_kind writer_new(const struct writer_spec *spec, struct writer **out, struct error *err)
{
    struct writer *w = calloc(1, sizeof(*w));
    enum error_kind rc;

    if (!w)
        return error_set(err, ERR_MEMORY, 0, "out of memory for writing files");
    w->spec = *spec;
    w->options = spec->options;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->over, NULL);
    rc = hand_init(&w->walker, w, err);
    for (unsigned i = 0; !rc && i < 2 * LANES; i++)
        rc = window_init(&w->lanes[i / 2].windows[i % 2], i / 2 == LANE_FRAMES ? WINDOW_FILES : WINDOW_PLAIN,
                         w->options->placed != NULL, err);
    if (!rc)
        rc = start_hands(w, err);
    if (rc) {
        writer_free(w);
        return rc;
    }
    *out = w;
    return OK;
}

/* Wait for whatever is under way, so that no thread and no folder is left behind. */
static enum error_kind drain(struct writer *w, struct error *err)
{
    enum error_kind rc = OK;

    for (unsigned i = 0; i < LANES; i++) {
        struct window *win = &w->lanes[i].windows[w->lanes[i].filling];

        if (win->count > 0)
            window_launch(w, win);
    }
    for (unsigned i = 0; i < 2 * LANES; i++) {
        struct error settling = ERROR_INIT;

        if (window_settle(w, &w->lanes[i / 2].windows[i % 2], &settling) && !rc) {
            rc = settling.kind;
            *err = settling;
        }
    }
    return rc;
}

enum error_kind writer_end(struct writer *w, struct error *err)
{
    struct restore_result *r = w->spec.result;
    struct error crew_error = ERROR_INIT;
    enum error_kind rc = drain(w, err);

    /* What a thread met is why the walk failed, if both did. */
    if (crew_end(w->crew, &crew_error)) {
        rc = crew_error.kind;
        *err = crew_error;
    }
    w->crew = NULL;
    r->files += atomic_load(&w->files);
    r->directories += atomic_load(&w->directories);
    r->bytes_written += atomic_load(&w->bytes);
    r->linked += atomic_load(&w->linked);
    r->reflinked += atomic_load(&w->reflinked);
    return rc;
}

void writer_free(struct writer *w)
{
    struct error ignored = ERROR_INIT;

    if (!w)
        return;
    if (w->crew)
        writer_end(w, &ignored);
    for (unsigned i = 0; i < w->hand_count; i++)
        hand_release(&w->hands[i]);
    free(w->hands);
    hand_release(&w->walker);
    for (unsigned i = 0; i < 2 * LANES; i++)
        window_release(&w->lanes[i / 2].windows[i % 2]);
    free(w->seen);
    pthread_cond_destroy(&w->over);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
