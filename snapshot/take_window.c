#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "hash.h"
#include "snapshot_internal.h"

#define ITEMS_MAX 65536
#define TEXT_MAX_BYTES (8u << 20) /* paths: the window is closed above */
#define ENCODED_CLOSE (8u << 20)  /* encoded entries: the window is closed above */
#define ENCODED_MAX (24u << 20)   /* those of files read fit up to here; what comes then is read when its turn comes */

enum item_state {
    ITEM_ENTER,
    ITEM_LEAVE,
    ITEM_READY,  /* encoded and content are there */
    ITEM_JOB,    /* to be read with the window's others */
    ITEM_LINK,   /* another path of this file is read before */
    ITEM_LATE,   /* to be read when its turn comes */
    ITEM_ABSENT, /* not in the snapshot, which has been said (T1) */
};

struct item {
    uint8_t state;
    bool cacheable;
    bool linked; /* has several names */
    uint8_t content;
    uint32_t path, path_len, name; /* in text; name: offset of the last component */
    uint32_t encoded, len;
    uint32_t count;
    uint64_t at;
    struct stat_key key;
};

struct window {
    struct root_taking *r;
    struct item *items;
    size_t count;
    struct buffer text;
    struct buffer encoded;
    struct read_job *jobs;
    size_t job_count;
    struct cutter *cutter;
};

enum error_kind window_new(struct root_taking *r, struct window **out, struct error *err)
{
    void *memory = NULL;
    struct window *w;
    enum error_kind rc = memory_zeroed(1, sizeof *w, &memory, err);

    if (rc)
        return rc;
    w = memory;
    w->r = r;
    w->text = (struct buffer)BUFFER_INIT(TEXT_MAX_BYTES + (1u << 20));
    w->encoded = (struct buffer)BUFFER_INIT(ENCODED_MAX + (16u << 20));
    memory = NULL;
    rc = memory_allocate(ITEMS_MAX * sizeof *w->items, &memory, err);
    w->items = memory;
    memory = NULL;
    if (!rc)
        rc = memory_allocate(ITEMS_MAX * sizeof *w->jobs, &memory, err);
    w->jobs = memory;
    if (!rc)
        rc = cutter_new(catalog_format(r->t->cat), &w->cutter, err);
    if (rc) {
        window_free(w);
        return rc;
    }
    *out = w;
    return OK;
}

void window_free(struct window *w)
{
    if (!w)
        return;
    free(w->items);
    free(w->jobs);
    cutter_free(w->cutter);
    buffer_release(&w->text);
    buffer_release(&w->encoded);
    free(w);
}

const char *content_kind(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot && dot != name ? dot : "";
}

uint32_t content_group(const char *name)
{
    const char *kind = content_kind(name);
    char lower[16] = "";
    size_t len = 0;

    while (kind[len] && len < sizeof lower) {
        lower[len] = (char)tolower((unsigned char)kind[len]);
        len++;
    }
    return (uint32_t)hash64_of(0, lower, len) & 0x7fffffffu; /* the highest numbers are the catalogue's own */
}

/* ---- filling ---- */

static const char *path_of(const struct window *w, const struct item *i)
{
    return (const char *)w->text.data + i->path;
}

static enum error_kind keep_encoded(struct window *w, struct item *i, const void *encoded, size_t len,
                                    struct error *err)
{
    i->encoded = (uint32_t)w->encoded.len;
    i->len = (uint32_t)len;
    return buffer_append(&w->encoded, encoded, len, err);
}

/* A new item with the walk's path and stat; a full window is finished first. */
static enum error_kind add_item(struct window *w, enum item_state state, const struct walk_item *from,
                                struct item **out, struct error *err)
{
    struct item *i;
    enum error_kind rc = OK;

    if (w->count == ITEMS_MAX || w->text.len > TEXT_MAX_BYTES || w->encoded.len > ENCODED_CLOSE)
        rc = window_finish(w, err);
    if (rc)
        return rc;
    i = &w->items[w->count++];
    memset(i, 0, sizeof *i);
    i->state = (uint8_t)state;
    *out = i;
    if (!from)
        return OK;
    stat_key_of(&from->st, &i->key);
    i->linked = !S_ISDIR(from->st.st_mode) && from->st.st_nlink > 1;
    i->path = (uint32_t)w->text.len;
    i->path_len = (uint32_t)strlen(from->path);
    i->name = (uint32_t)(path_base(from->path) - from->path);
    return buffer_append(&w->text, from->path, i->path_len + 1, err);
}

enum error_kind window_enter(struct window *w, const struct walk_item *item, const void *encoded, size_t len,
                             bool cacheable, struct error *err)
{
    struct item *i = NULL;
    enum error_kind rc = add_item(w, ITEM_ENTER, item, &i, err);

    if (rc)
        return rc;
    i->cacheable = cacheable;
    return keep_encoded(w, i, encoded, len, err);
}

enum error_kind window_leave(struct window *w, struct error *err)
{
    struct item *i = NULL;

    return add_item(w, ITEM_LEAVE, NULL, &i, err);
}

static void count_file(struct window *w, const struct item *i)
{
    if (!S_ISREG(i->key.mode))
        return;
    w->r->files++;
    w->r->bytes += i->key.size;
}

enum error_kind window_known(struct window *w, const struct walk_item *item, const void *encoded, size_t len,
                             bool cacheable, struct error *err)
{
    struct item *i = NULL;
    enum error_kind rc = add_item(w, ITEM_READY, item, &i, err);

    if (rc)
        return rc;
    i->cacheable = cacheable;
    i->content = SPILL_READY;
    rc = keep_encoded(w, i, encoded, len, err);
    if (!rc && S_ISREG(i->key.mode) && (w->count & 255) == 0)
        rc = say_bytes(w->r->t, 0, err);
    w->r->t->bytes_done += S_ISREG(i->key.mode) ? i->key.size : 0;
    return rc;
}

enum error_kind window_file(struct window *w, const struct walk_item *item, struct error *err)
{
    struct item *i = NULL;
    enum error_kind rc = add_item(w, ITEM_JOB, item, &i, err);

    if (rc || !i->linked)
        return rc;
    if (hard_links_expected(w->r->t->links, &i->key))
        i->state = ITEM_LINK;
    else
        (void)hard_links_expect(w->r->t->links, &i->key);
    return OK;
}

/* ---- reading: like by like, so that frames compress and equal files meet ---- */

static int compare_jobs(const void *a, const void *b)
{
    const struct read_job *x = a, *y = b;
    int order = strcmp(x->ending, y->ending);

    if (!order)
        order = strcmp(x->name, y->name);
    if (!order)
        order = (x->key->size > y->key->size) - (x->key->size < y->key->size);
    return order ? order : (x->item > y->item) - (x->item < y->item);
}

static void gather_jobs(struct window *w)
{
    w->job_count = 0;
    for (size_t n = 0; n < w->count; n++) {
        const struct item *i = &w->items[n];
        const char *path = path_of(w, i);

        if (i->state == ITEM_JOB)
            w->jobs[w->job_count++] = (struct read_job){.path = path,
                                                        .name = path + i->name,
                                                        .ending = content_kind(path + i->name),
                                                        .key = &i->key,
                                                        .item = (uint32_t)n};
    }
    qsort(w->jobs, w->job_count, sizeof *w->jobs, compare_jobs);
}

static enum error_kind put_pieces(struct window *w, struct item *i, const struct read_result *result, struct error *err)
{
    struct root_taking *r = w->r;
    uint32_t group = content_group(path_of(w, i) + i->name);
    const unsigned char *bytes = result->bytes;
    store_ticket ticket = 0;
    enum error_kind rc = OK;

    i->at = spill_ticket_place(r->spill);
    i->count = result->piece_count;
    i->content = i->count ? SPILL_TICKETS : SPILL_READY;
    for (unsigned n = 0; !rc && n < result->piece_count; n++) {
        const struct read_piece *piece = &result->pieces[n];

        rc = store_put_digested(r->t->store, group, bytes, piece->len, &piece->digest, &ticket, err);
        if (!rc && i->count > 1)
            rc = spill_ticket_add(r->spill, ticket, err);
        bytes += piece->len;
    }
    if (i->count == 1)
        i->at = ticket;
    return rc;
}

static enum error_kind put_whole(struct window *w, struct item *i, const struct read_result *result, struct error *err)
{
    enum error_kind rc = put_pieces(w, i, result, err);

    if (rc)
        return rc;
    i->state = ITEM_READY;
    i->key = result->key;
    i->cacheable = result->outcome == READ_WHOLE; /* T3 */
    w->r->t->result->files_read++;
    w->r->t->result->bytes_read += result->len;
    return keep_encoded(w, i, result->encoded.data, result->encoded.len, err);
}

static enum error_kind say_outcome(struct window *w, struct item *i, enum read_outcome outcome,
                                   const struct error *error, struct error *err)
{
    struct taking *t = w->r->t;

    if (outcome == READ_RESTLESS)
        return say_restless(t, path_of(w, i), err);
    if (outcome == READ_WHOLE)
        return OK;
    i->state = ITEM_ABSENT;
    return outcome == READ_GONE ? say_gone(t, path_of(w, i), err) : say_unread(t, path_of(w, i), error, err);
}

/* Read by itself, by the thread that also puts. */
static enum error_kind stream(struct window *w, struct item *i, struct streamed *out, struct error *err)
{
    const char *path = path_of(w, i);
    enum error_kind rc =
        streaming_file(w->r->streaming, walk_root(w->r->walk), path, content_group(path + i->name), out, err);

    if (rc || out->outcome == READ_GONE || out->outcome == READ_FAILED)
        return rc ? rc : say_outcome(w, i, out->outcome, &out->error, err);
    i->state = ITEM_READY;
    i->content = (uint8_t)out->content;
    i->at = out->at;
    i->count = out->count;
    i->key = out->key;
    i->cacheable = out->outcome == READ_WHOLE; /* T3 */
    w->r->t->result->files_read++;
    w->r->t->result->bytes_read += out->bytes;
    return say_outcome(w, i, out->outcome, &out->error, err);
}

static enum error_kind take_result(struct window *w, const struct read_result *result, struct error *err)
{
    struct item *i = &w->items[result->job->item];
    struct streamed streamed;
    enum error_kind rc;

    if (w->encoded.len > ENCODED_MAX) {
        i->state = ITEM_LATE;
        return OK;
    }
    switch (result->outcome) {
    case READ_STREAM:
        rc = stream(w, i, &streamed, err);
        if (!rc && i->state == ITEM_READY)
            rc = keep_encoded(w, i, streamed.encoded->data, streamed.encoded->len, err);
        return rc;
    case READ_WHOLE:
    case READ_RESTLESS:
        rc = put_whole(w, i, result, err);
        if (!rc)
            rc = say_bytes(w->r->t, result->len, err);
        break;
    default:
        rc = OK;
    }
    return rc ? rc : say_outcome(w, i, result->outcome, result->error, err);
}

static enum error_kind read_jobs(struct window *w, struct error *err)
{
    const struct snapshot_options *o = w->r->t->options;
    struct reading_options options = {
        .threads = o->readers ? o->readers : READERS_DEFAULT,
        .format = catalog_format(w->r->t->cat),
        .cutter = w->cutter,
    };
    struct reading *reading = NULL;
    const struct read_result *result = NULL;
    enum error_kind rc = OK;

    gather_jobs(w);
    if (!w->job_count)
        return OK;
    rc = reading_begin(walk_root(w->r->walk), w->jobs, w->job_count, &options, &reading, err);
    while (!rc && !(rc = reading_next(reading, &result, err)) && result)
        rc = take_result(w, result, err);
    reading_end(reading);
    return rc;
}

/* ---- handing over, in walk order ---- */

static void to_spill(const struct window *w, const struct item *i, struct spill_entry *out)
{
    *out = (struct spill_entry){
        .name = path_of(w, i) + i->name,
        .name_len = i->path_len - i->name,
        .key = i->key,
        .cacheable = i->cacheable,
        .content = i->content,
        .at = i->at,
        .count = i->count,
        .encoded = w->encoded.data + i->encoded,
        .len = i->len,
    };
    if (!i->path_len) { /* the root itself: what the holder's one entry is called */
        out->name = ".";
        out->name_len = 1;
    }
}

/* The file of another path, read before; or, if the table had forgotten it, this path read by itself. */
static enum error_kind resolve_link(struct window *w, struct item *i, struct spill_entry *out,
                                    struct streamed *streamed, struct error *err)
{
    const struct spill_entry *kept = i->state == ITEM_LINK ? hard_links_kept(w->r->t->links, &i->key) : NULL;
    enum error_kind rc = OK;

    if (kept) {
        i->state = ITEM_READY;
        i->cacheable = kept->cacheable;
        to_spill(w, i, out);
        out->content = kept->content;
        out->at = kept->at;
        out->count = kept->count;
        out->encoded = kept->encoded;
        out->len = kept->len;
        return OK;
    }
    rc = stream(w, i, streamed, err);
    if (rc || i->state != ITEM_READY)
        return rc;
    to_spill(w, i, out);
    out->encoded = streamed->encoded->data;
    out->len = streamed->encoded->len;
    return OK;
}

static enum error_kind hand_over(struct window *w, struct item *i, struct error *err)
{
    struct root_taking *r = w->r;
    struct spill_entry entry;
    struct streamed streamed;
    enum error_kind rc = OK;

    if (i->state == ITEM_LEAVE)
        return spill_leave(r->spill, err);
    to_spill(w, i, &entry);
    if (i->state == ITEM_ENTER)
        return spill_enter(r->spill, &entry, err);
    if (i->state == ITEM_LINK || i->state == ITEM_LATE)
        rc = resolve_link(w, i, &entry, &streamed, err);
    if (rc || i->state == ITEM_ABSENT)
        return rc;
    assert(i->state == ITEM_READY);
    count_file(w, i);
    if (i->linked && S_ISREG(i->key.mode)) {
        hard_links_keep(r->t->links, &entry);
        rc = hard_links_note(r->t->links, r->number, path_of(w, i), &i->key, err);
    }
    return rc ? rc : spill_add(r->spill, &entry, err);
}

enum error_kind window_finish(struct window *w, struct error *err)
{
    enum error_kind rc = read_jobs(w, err);

    for (size_t n = 0; !rc && n < w->count; n++)
        rc = hand_over(w, &w->items[n], err);
    w->count = 0;
    buffer_clear(&w->text);
    buffer_clear(&w->encoded);
    if (w->encoded.cap > ENCODED_CLOSE * 2)
        buffer_release(&w->encoded);
    return rc;
}
