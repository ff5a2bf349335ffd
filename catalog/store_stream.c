#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

#define STREAM_TICKET_LEN 8

struct store_stream {
    struct store *store;
    struct cutter *cutter;
    uint32_t group;
    unsigned char *bytes; /* [start, end) waits to be cut */
    size_t cap, start, end;
    struct paged_file *tickets;
    uint64_t chunks, total;
};

enum error_kind store_stream_begin(struct store *store, uint32_t group, struct store_stream **out, struct error *err)
{
    const struct catalog_format *format = catalog_format(store->cat);
    struct store_stream *s = NULL;
    enum error_kind rc;

    rc = memory_zeroed(1, sizeof(*s), (void **)&s, err);
    if (rc)
        return rc;
    s->store = store;
    s->group = group;
    s->cap = 2 * (size_t)format->cut_max;
    rc = cutter_new(format, &s->cutter, err);
    if (!rc)
        rc = memory_allocate(s->cap, (void **)&s->bytes, err);
    if (!rc)
        rc = paged_file_new(store->cat, STREAM_TICKET_LEN, &s->tickets, err);
    if (rc)
        store_stream_free(s);
    else
        *out = s;
    return rc;
}

static enum error_kind put_one(struct store_stream *s, size_t len, struct error *err)
{
    unsigned char *record = NULL;
    store_ticket ticket = 0;
    enum error_kind rc;

    rc = store_put_stream(s->store, s->group, s->bytes + s->start, len, &ticket, err);
    if (!rc)
        rc = paged_file_at(s->tickets, s->chunks, true, &record, err);
    if (rc)
        return rc;
    put_u64(record, ticket);
    s->chunks++;
    s->total += len;
    s->start += len;
    return OK;
}

enum error_kind store_stream_write(struct store_stream *s, const void *bytes, size_t len, struct error *err)
{
    const unsigned char *from = bytes;
    size_t max = catalog_format(s->store->cat)->cut_max;
    enum error_kind rc = OK;

    while (!rc && len > 0) {
        size_t room, take;

        if (s->end == s->cap) { /* less than cut_max is left: room for at least as much again */
            memmove(s->bytes, s->bytes + s->start, s->end - s->start);
            s->end -= s->start;
            s->start = 0;
        }
        room = s->cap - s->end;
        take = len < room ? len : room;
        memcpy(s->bytes + s->end, from, take);
        s->end += take;
        from += take;
        len -= take;
        /* With cut_max bytes at hand the cut does not depend on how the stream came in pieces, and nothing is scanned twice. */
        while (!rc && s->end - s->start >= max)
            rc = put_one(s, cutter_next(s->cutter, s->bytes + s->start, s->end - s->start, false), err);
    }
    return rc;
}

enum error_kind store_stream_end(struct store_stream *s, uint64_t *chunks, uint64_t *bytes, struct error *err)
{
    enum error_kind rc = OK;

    while (!rc && s->end > s->start)
        rc = put_one(s, cutter_next(s->cutter, s->bytes + s->start, s->end - s->start, true), err);
    if (!rc) {
        *chunks = s->chunks;
        *bytes = s->total;
    }
    return rc;
}

enum error_kind store_stream_id(struct store_stream *s, uint64_t n, struct chunk_id *out, struct error *err)
{
    unsigned char *record = NULL;
    enum error_kind rc;

    if (n >= s->chunks)
        return error_set(err, ERR_USAGE, 0, "the stream has no chunk %llu", (unsigned long long)n);
    rc = paged_file_at(s->tickets, n, false, &record, err);
    return rc ? rc : store_resolve(s->store, get_u64(record), out, err);
}

void store_stream_free(struct store_stream *s)
{
    if (!s)
        return;
    cutter_free(s->cutter);
    paged_file_free(s->tickets);
    free(s->bytes);
    free(s);
}
