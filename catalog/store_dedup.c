#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

struct entry **map_bucket(struct store *s, const struct hash *first)
{
    /* Hashed once more, so that also a weak hash's few bits (tests) reach every bucket there is for them. */
    return &s->map[hash64_of(0, first->bytes, HASH_LEN) & (MAP_BUCKETS - 1)];
}

void map_remove(struct store *s, struct entry *e)
{
    struct entry **at = map_bucket(s, &e->first);

    while (*at && *at != e)
        at = &(*at)->next;
    if (*at)
        *at = e->next;
}

static bool looks_equal(const struct entry *a, const struct entry *b)
{
    return a->len == b->len && a->type == b->type && memcmp(&a->first, &b->first, sizeof(a->first)) == 0 &&
           memcmp(&a->second, &b->second, sizeof(a->second)) == 0;
}

/*
 * The raw bytes of a pinned frame. One that was written and dropped is read back from the draft, which stays open while a frame of it
 * is pinned.
 */
static enum error_kind raw_of(struct store *s, struct store_frame *f, struct error *err)
{
    struct buffer back = BUFFER_INIT(FRAME_RAW_MAX + 1);
    enum error_kind rc;
    bool present;

    pthread_mutex_lock(&s->lock);
    present = f->raw.cap > 0;
    if (present && f->cached)
        frame_cache_use(s, f);
    pthread_mutex_unlock(&s->lock);
    if (present)
        return OK;
    rc = frame_read(pack_draft_fd(f->pack->draft), &f->where, "pack being written", &back, err);
    if (rc)
        return rc;
    pthread_mutex_lock(&s->lock);
    f->raw = back;
    s->raw_bytes += f->raw.cap;
    frame_cache_use(s, f);
    frame_cache_shrink(s, 0);
    pthread_mutex_unlock(&s->lock);
    return OK;
}

/* Is there the same content in flight? The bytes decide (C3). */
static enum error_kind search_in_flight(struct store *s, const struct entry *wanted, const void *bytes,
                                        struct dedup *out, struct error *err)
{
    enum error_kind rc = OK;
    struct entry *e;
    bool equal;

    pthread_mutex_lock(&s->lock);
    for (e = *map_bucket(s, &wanted->first); e; e = e->next) {
        if (!looks_equal(e, wanted))
            continue;
        e->frame->pins++; /* keeps frame, entry and pack where they are */
        pthread_mutex_unlock(&s->lock);
        rc = raw_of(s, e->frame, err);
        equal = !rc && (wanted->len == 0 || memcmp(e->frame->raw.data + e->offset, bytes, wanted->len) == 0);
        pthread_mutex_lock(&s->lock);
        if (equal) {
            out->result = DEDUP_IN_FLIGHT;
            out->ticket = e->ticket;
        }
        if (--e->frame->pins == 0)
            pthread_cond_broadcast(&s->changed);
        if (rc || equal)
            break;
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* An index that can't say which pack it is says nothing of the copy, and is not mended by storing it anew. */
static enum error_kind require_pack_row(struct store *s, uint64_t number, struct error *err)
{
    struct pack_row row;
    bool found = false;
    enum error_kind rc = index_pack_find(s->lookup, number, &row, &found, err);

    if (!rc && (!found || row.state != PACK_IN_PLACE))
        rc = index_row_damaged("packs", err);
    return rc;
}

/* Compare with a copy in place. *damaged: it can't be read. */
static enum error_kind compare_stored(struct store *s, const struct chunk_row *row, const void *bytes, bool *equal,
                                      bool *damaged, struct error *err)
{
    struct chunk_place place = {row->pack, row->frame, row->offset, row->len, row->type};
    struct chunk_frame *frame = NULL;
    struct error why = ERROR_INIT;
    const void *stored = NULL;
    enum error_kind rc;

    *equal = *damaged = false;
    rc = chunk_frame_open(s->cat, row->pack, row->frame, &frame, &why);
    if (!rc)
        rc = chunk_frame_get(frame, &row->id, &place, &stored, &why);
    if (!rc)
        *equal = row->len == 0 || memcmp(stored, bytes, row->len) == 0;
    chunk_frame_close(frame);
    if (rc == ERR_CORRUPT) {
        rc = require_pack_row(s, row->pack, err);
        if (rc)
            return rc;
        *damaged = true;
        pthread_mutex_lock(&s->lock);
        s->stats.damaged++;
        pthread_mutex_unlock(&s->lock);
        return OK;
    }
    if (rc)
        *err = why;
    return rc;
}

void dedup_rest(struct store *s)
{
    index_rollback(s->lookup); /* it only read */
    s->lookups = 0;
}

/*
 * Each read transaction takes locks, which cost more than a lookup; so one serves many. A view that is behind the times misses what
 * another writer stored meanwhile, which costs a second copy at most. Our own packs it must know, since their entries have left the map.
 */
static enum error_kind lookup_view(struct store *s, struct error *err)
{
    enum error_kind rc = OK;
    uint64_t packs;

    pthread_mutex_lock(&s->lock);
    packs = s->stats.packs;
    pthread_mutex_unlock(&s->lock);
    if (s->lookups++ >= LOOKUPS_A_VIEW || packs != s->lookup_packs)
        dedup_rest(s);
    s->lookup_packs = packs;
    if (!index_in_transaction(s->lookup))
        rc = index_run(s->lookup, "BEGIN", err);
    return rc;
}

/* The bit for a hash, and the byte that holds it. */
static unsigned char *fresh_byte(struct store *s, const struct hash *first, unsigned char *bit)
{
    uint32_t place = get_u32(first->bytes) & ((1u << FRESH_BITS) - 1);

    *bit = (unsigned char)(1u << (place & 7));
    return s->fresh + (place >> 3);
}

enum error_kind dedup_begin(struct store *s, struct error *err)
{
    bool any = false;
    enum error_kind rc = index_chunk_any(s->lookup, &any, err);

    if (rc || any)
        return rc;
    return memory_zeroed(1, (1u << FRESH_BITS) / 8, (void **)&s->fresh, err);
}

void dedup_note(struct store *s, const struct entry *e)
{
    unsigned char bit, *byte;

    if (!s->fresh)
        return;
    byte = fresh_byte(s, &e->first, &bit);
    *byte |= bit;
}

/*
 * Where the index knew nothing it can't know what this store has not put, unless from another writer meanwhile, which costs a second copy at
 * most: a claim takes the next attempt.
 */
static bool surely_new(struct store *s, const struct hash *first)
{
    unsigned char bit;

    return s->fresh && !(*fresh_byte(s, first, &bit) & bit);
}

/*
 * Attempt by attempt: a copy that stands and is equal ends the search, and so does an attempt that nobody has taken. A copy that is known to
 * be damaged is stored anew even if it reads well now: the check before a commit trusts no such place, and the disk has failed there once.
 */
static enum error_kind search_index(struct store *s, const struct entry *wanted, const void *bytes, struct dedup *out,
                                    struct error *err)
{
    struct chunk_id id = {.attempt = 0};
    struct chunk_row row;
    enum error_kind rc;
    bool found, equal, damaged;

    memcpy(id.hash, wanted->first.bytes, HASH_LEN);
    out->row.id = id;
    if (surely_new(s, &wanted->first))
        return OK;
    rc = lookup_view(s, err);
    if (rc)
        return rc;
    for (;; id.attempt++) {
        rc = index_chunk_find(s->lookup, &id, &row, &found, err);
        if (rc || !found) {
            out->row.id = id;
            return rc;
        }
        /* Against a claim that is not in place nothing is compared (P5). */
        if (!row.in_place || row.len != wanted->len || row.type != wanted->type ||
            memcmp(&row.second, &wanted->second, sizeof(row.second)) != 0)
            continue;
        rc = compare_stored(s, &row, bytes, &equal, &damaged, err);
        if (rc)
            return rc;
        if (equal || damaged) {
            out->result = equal && !row.damaged ? DEDUP_STANDS : DEDUP_DAMAGED;
            out->row = row;
            return OK;
        }
    }
}

enum error_kind dedup_search(struct store *s, const struct entry *wanted, const void *bytes, struct dedup *out,
                             struct error *err)
{
    enum error_kind rc;

    memset(out, 0, sizeof(*out));
    out->result = DEDUP_NEW;
    /* In this order: an entry leaves the map only after the index has it in place. */
    rc = search_in_flight(s, wanted, bytes, out, err);
    if (!rc && out->result == DEDUP_NEW)
        rc = search_index(s, wanted, bytes, out, err);
    return rc;
}
