#include "restore_internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

uint64_t content_data_size(const struct tree_entry *e)
{
    uint64_t size = e->size;

    for (size_t i = 0; i < e->hole_count; i++)
        size -= e->holes[i].len; /* the decoder saw to it that holes lie apart and inside */
    return size;
}

struct extents extents_of(const struct tree_entry *e)
{
    return (struct extents){e, 0, 0};
}

size_t extents_next(struct extents *x, size_t want, uint64_t *offset)
{
    const struct tree_entry *e = x->entry;
    uint64_t end = e->size;
    uint64_t left;

    while (x->hole < e->hole_count && e->holes[x->hole].offset <= x->at) {
        x->at = e->holes[x->hole].offset + e->holes[x->hole].len;
        x->hole++;
    }
    if (x->hole < e->hole_count)
        end = e->holes[x->hole].offset;
    left = end - x->at;
    *offset = x->at;
    if (left < want)
        want = (size_t)left;
    x->at += want;
    return want;
}

enum error_kind content_open(struct content *c, struct catalog *cat, const struct tree_entry *e, struct error *err)
{
    *c = (struct content){e, NULL, 0};
    return e->has_list ? list_reader_open(cat, &e->list, &c->list, err) : OK;
}

enum error_kind content_next(struct content *c, struct chunk_id *id, bool *more, struct error *err)
{
    if (c->list)
        return list_reader_next(c->list, id, more, err);
    *more = c->at < c->entry->chunk_count;
    if (*more)
        *id = c->entry->chunks[c->at++];
    return OK;
}

void content_close(struct content *c)
{
    if (c->list)
        list_reader_close(c->list);
    c->list = NULL;
}

enum error_kind content_spread(struct extents *x, const void *bytes, size_t len, content_fn *fn, void *arg,
                               struct error *err)
{
    const unsigned char *p = bytes;
    enum error_kind rc = OK;

    while (!rc && len > 0) {
        uint64_t offset = 0;
        size_t run = extents_next(x, len, &offset);

        if (run == 0)
            return error_set(err, ERR_CORRUPT, 0, "the file's content is longer than its record says");
        rc = fn(arg, offset, p, run, err);
        p += run;
        len -= run;
    }
    return rc;
}

enum error_kind open_frame_hold(struct open_frame *f, struct catalog *cat, const struct chunk_place *place,
                                struct error *err)
{
    if (f->frame && f->pack == place->pack && f->number == place->frame)
        return OK;
    open_frame_release(f);
    f->pack = place->pack;
    f->number = place->frame;
    return chunk_frame_open(cat, place->pack, place->frame, &f->frame, err);
}

enum error_kind open_frame_get(struct open_frame *f, struct catalog *cat, const struct chunk_id *id,
                               const struct chunk_place *place, const void **bytes, struct error *err)
{
    enum error_kind rc = open_frame_hold(f, cat, place, err);

    return rc ? rc : chunk_frame_get(f->frame, id, place, bytes, err);
}

void open_frame_release(struct open_frame *f)
{
    chunk_frame_close(f->frame);
    *f = (struct open_frame)OPEN_FRAME_INIT;
}

static enum error_kind read_piece(struct catalog *cat, struct open_frame *held, const struct chunk_id *id,
                                  const void **bytes, size_t *len, struct error *err)
{
    struct chunk_place place;
    enum error_kind rc = chunk_find(cat, id, &place, err);

    if (rc)
        return rc;
    if (place.type != CHUNK_DATA)
        return error_set(err, ERR_CORRUPT, 0, "a file names a chunk that is no content");
    *len = place.len;
    return open_frame_get(held, cat, id, &place, bytes, err);
}

enum error_kind content_each(struct catalog *cat, const struct tree_entry *e, struct open_frame *held, content_fn *fn,
                             void *arg, struct error *err)
{
    struct extents x = extents_of(e);
    struct content c = {NULL, NULL, 0};
    uint64_t left = content_data_size(e);
    enum error_kind rc;

    rc = content_open(&c, cat, e, err);
    while (!rc) {
        const void *bytes = NULL;
        struct chunk_id id;
        bool more = true;
        size_t len = 0;

        rc = content_next(&c, &id, &more, err);
        if (rc || !more)
            break;
        rc = cancel_check(err);
        if (!rc)
            rc = read_piece(cat, held, &id, &bytes, &len, err);
        if (!rc)
            rc = content_spread(&x, bytes, len, fn, arg, err);
        if (!rc)
            left -= len;
    }
    content_close(&c);
    if (!rc && left > 0)
        rc = error_set(err, ERR_CORRUPT, 0, "the file's content is %llu bytes shorter than its record says",
                       (unsigned long long)left);
    return rc;
}

enum error_kind content_write(void *arg, uint64_t offset, const void *bytes, size_t len, struct error *err)
{
    struct content_sink *sink = arg;

    if (sink->bytes)
        atomic_fetch_add(sink->bytes, len);
    return file_write_at(sink->fd, bytes, len, offset, sink->shown, err);
}

struct pouring {
    content_bytes_fn *fn;
    void *arg;
    uint64_t at; /* bytes that went out so far */
};

static enum error_kind pour_zeros(struct pouring *p, uint64_t until, struct error *err)
{
    static const unsigned char zeros[65536];
    enum error_kind rc = OK;

    while (!rc && p->at < until) {
        size_t len = until - p->at < sizeof(zeros) ? (size_t)(until - p->at) : sizeof(zeros);

        rc = cancel_check(err);
        if (!rc)
            rc = p->fn(p->arg, zeros, len, err);
        p->at += len;
    }
    return rc;
}

static enum error_kind pour(void *arg, uint64_t offset, const void *bytes, size_t len, struct error *err)
{
    struct pouring *p = arg;
    enum error_kind rc = pour_zeros(p, offset, err);

    p->at += len;
    return rc ? rc : p->fn(p->arg, bytes, len, err);
}

enum error_kind content_pour(struct catalog *cat, const struct tree_entry *e, struct open_frame *held,
                             content_bytes_fn *fn, void *arg, struct error *err)
{
    struct pouring p = {fn, arg, 0};
    enum error_kind rc = content_each(cat, e, held, pour, &p, err);

    return rc ? rc : pour_zeros(&p, e->size, err);
}

/* ---- comparing an open file with its record ---- */

struct comparison {
    struct catalog *cat;
    const struct tree_entry *entry;
    int fd;
    const char *shown;
    struct buffer *buffer;
};

/* Bytes of the file at the runs where a chunk of len bytes belongs; fewer when the file ends before. */
static enum error_kind read_runs(struct comparison *c, struct extents *x, size_t len, size_t *got, struct error *err)
{
    enum error_kind rc;

    buffer_clear(c->buffer);
    rc = buffer_reserve(c->buffer, len, err);
    *got = 0;
    while (!rc && *got < len) {
        uint64_t offset = 0;
        size_t run = extents_next(x, len - *got, &offset);
        ssize_t n = 0;

        while (run > 0) {
            n = pread(c->fd, c->buffer->data + *got, run, (off_t)offset);
            if (n < 0 && errno == EINTR)
                continue;
            if (n <= 0)
                break;
            *got += (size_t)n;
            run -= (size_t)n;
            offset += (uint64_t)n;
        }
        if (n < 0)
            rc = error_set(err, ERR_IO, errno, "cannot read %s", c->shown);
        if (n <= 0)
            break;
    }
    return rc;
}

/*
 * A normal catalogue's hash tells contents apart well enough for a proof of reading back: the bytes came from that very chunk. A test
 * catalogue with a weak hash does not, so there the bytes are compared (P5).
 */
static enum error_kind same_bytes(struct comparison *c, const struct chunk_id *id, size_t len, bool *same,
                                  struct error *err)
{
    const struct catalog_format *format = catalog_format(c->cat);
    struct hash hash;

    if (format->weak_hash_bits == 0) {
        hash_of(format->seed ^ CHUNK_DATA, c->buffer->data, len, &hash);
        *same = memcmp(hash.bytes, id->hash, HASH_LEN) == 0;
        return OK;
    }
    struct buffer stored = BUFFER_INIT(RESTORE_CHUNK_MAX);
    enum error_kind rc = chunk_read(c->cat, id, CHUNK_DATA, &stored, err);

    *same = !rc && stored.len == len && memcmp(stored.data, c->buffer->data, len) == 0;
    buffer_release(&stored);
    return rc;
}

static enum error_kind compare_chunks(struct comparison *c, bool *equal, struct error *err)
{
    struct extents x = extents_of(c->entry);
    struct content ids = {NULL, NULL, 0};
    uint64_t left = content_data_size(c->entry);
    bool single = !c->entry->has_list && c->entry->chunk_count == 1;
    bool more = true;
    enum error_kind rc;

    rc = content_open(&ids, c->cat, c->entry, err);
    while (!rc && *equal) {
        struct chunk_place place = {.len = (uint32_t)left};
        struct chunk_id id;
        size_t got = 0;

        rc = content_next(&ids, &id, &more, err);
        if (rc || !more)
            break;
        rc = cancel_check(err);
        if (!rc && (!single || left > RESTORE_CHUNK_MAX))
            rc = chunk_find(c->cat, &id, &place, err); /* a single chunk's length is known without asking */
        if (!rc && place.len > left)
            *equal = false;
        if (!rc && *equal)
            rc = read_runs(c, &x, place.len, &got, err);
        if (!rc && got != place.len)
            *equal = false;
        if (!rc && *equal)
            rc = same_bytes(c, &id, got, equal, err);
        left -= got;
    }
    content_close(&ids);
    if (left > 0)
        *equal = false;
    return rc;
}

/* Is there nothing but zeros where the record has holes? Real holes are skipped without being read. */
static enum error_kind compare_holes(struct comparison *c, bool *equal, struct error *err)
{
    unsigned char piece[65536];

    for (size_t i = 0; i < c->entry->hole_count && *equal; i++) {
        uint64_t at = c->entry->holes[i].offset;
        uint64_t end = at + c->entry->holes[i].len;

        while (at < end && *equal) {
            off_t data = lseek(c->fd, (off_t)at, SEEK_DATA);
            ssize_t n;

            if (data < 0 && errno == ENXIO)
                break;
            if (data >= 0 && (uint64_t)data >= end)
                break;
            if (data >= 0)
                at = (uint64_t)data;
            n = pread(c->fd, piece, end - at < sizeof(piece) ? end - at : sizeof(piece), (off_t)at);
            if (n < 0)
                return error_set(err, ERR_IO, errno, "cannot read %s", c->shown);
            *equal = n > 0 && piece[0] == 0 && memcmp(piece, piece + 1, (size_t)n - 1) == 0;
            at += (uint64_t)n;
        }
    }
    return OK;
}

enum error_kind content_compare(struct catalog *cat, const struct tree_entry *e, int fd, struct buffer *buffer,
                                const char *shown, bool *equal, struct error *err)
{
    struct comparison c = {cat, e, fd, shown, buffer};
    struct stat st;
    enum error_kind rc;

    if (fstat(fd, &st))
        return error_set(err, ERR_IO, errno, "cannot look at %s", shown);
    *equal = S_ISREG(st.st_mode) && (uint64_t)st.st_size == e->size;
    if (!*equal)
        return OK;
    rc = compare_chunks(&c, equal, err);
    if (!rc && *equal)
        rc = compare_holes(&c, equal, err);
    return rc;
}
