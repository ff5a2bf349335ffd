/*
 * Windows: filled by the walking thread, sorted and cut into jobs when full, told about and emptied when done.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "restore_write_internal.h"

#define WINDOW_BYTES (6u << 20) /* of encoded entries and names */
#define PLAIN_BATCH 32u         /* entries without content in one job */
#define WAIT_NS 250000000       /* between two reports of progress */
#define SEEN_BYTES (4u << 20)   /* one bit for each hash of an inode with several names */

/* ---- launching and emptying ---- */

static int compare_numbers(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

/* The long ones first; then by frame, in each the files that are whole before those that go on elsewhere; the rest as the walk found it. */
static int compare_puts(const void *a, const void *b)
{
    const struct put *x = a;
    const struct put *y = b;
    int order = compare_numbers(put_has_place(x), put_has_place(y));

    if (!order && put_has_place(x)) {
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

    if (put_has_place(a) && put_has_place(b))
        return x->pack == y->pack && x->frame == y->frame;
    return a->kind != PUT_STREAM && a->kind == b->kind && count < PLAIN_BATCH;
}

void write_window_launch(struct writer *w, struct window *win)
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
    enum error_kind rc = folder_child_path(p->folder, put_name(win, p), &w->walker.path, err);

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

enum error_kind write_window_settle(struct writer *w, struct window *win, struct error *err)
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

/* ---- filling ---- */

/* Hand a full window to the threads and go on with the other one. */
static enum error_kind next_window(struct writer *w, struct lane *lane, struct error *err)
{
    write_window_launch(w, &lane->windows[lane->filling]);
    lane->filling = 1 - lane->filling;
    return write_window_settle(w, &lane->windows[lane->filling], err);
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

        if (!folder_child_path(f, name, &path, &(struct error)ERROR_INIT))
            rc = writer_file_damaged(w, (const char *)path.data, err);
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

enum error_kind write_window_init(struct window *win, uint32_t cap, bool stats, struct error *err)
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

void write_window_release(struct window *win)
{
    free(win->puts);
    free(win->jobs);
    free(win->stats);
    buffer_release(&win->bytes);
}
