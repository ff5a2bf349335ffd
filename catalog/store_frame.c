#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

void frame_free(struct store_frame *f)
{
    if (!f)
        return;
    while (f->first_block) {
        struct entry_block *next = f->first_block->next;

        free(f->first_block);
        f->first_block = next;
    }
    buffer_release(&f->raw);
    free(f);
}

/* Written frames whose raw bytes are still at hand, newest first: duplicates lie close to their originals. */

static void cache_unlink(struct store *s, struct store_frame *f)
{
    *(f->newer ? &f->newer->older : &s->newest_cached) = f->older;
    *(f->older ? &f->older->newer : &s->oldest_cached) = f->newer;
    s->cached_bytes -= f->raw.cap;
    f->cached = false;
}

void frame_cache_use(struct store *s, struct store_frame *f)
{
    if (f->cached)
        cache_unlink(s, f);
    f->newer = NULL;
    f->older = s->newest_cached;
    *(f->older ? &f->older->newer : &s->oldest_cached) = f;
    s->newest_cached = f;
    s->cached_bytes += f->raw.cap;
    f->cached = true;
}

void frame_cache_forget(struct store *s, struct store_frame *f)
{
    if (f->cached)
        cache_unlink(s, f);
    s->raw_bytes -= f->raw.cap;
    buffer_release(&f->raw);
}

void frame_cache_shrink(struct store *s, size_t wanted)
{
    struct store_frame *f = s->oldest_cached;

    while (f && s->raw_bytes + wanted > RAW_BUDGET) {
        struct store_frame *next = f->newer;

        if (f->pins == 0)
            frame_cache_forget(s, f);
        f = next;
    }
}

/*
 * The memory of a written frame for a new one, while there is no more than the budget: fresh memory costs a page fault every 4 KiB.
 * With s->lock held.
 */
static bool frame_cache_take_over(struct store *s, size_t capacity, struct buffer *raw)
{
    struct store_frame *f = s->raw_bytes + capacity > RAW_BUDGET ? s->oldest_cached : NULL;

    while (f && (f->pins > 0 || f->raw.cap < capacity || f->raw.cap > 2 * capacity))
        f = f->newer;
    if (!f)
        return false;
    cache_unlink(s, f);
    raw->data = f->raw.data;
    raw->cap = f->raw.cap;
    f->raw = (struct buffer)BUFFER_INIT(f->raw.max);
    return true;
}

/* open frames */

static enum error_kind frame_open(struct store *s, uint32_t group, size_t capacity, struct store_frame **out,
                                  struct error *err)
{
    struct store_frame *f = NULL;
    enum error_kind rc;

    rc = memory_zeroed(1, sizeof(*f), (void **)&f, err);
    if (rc)
        return rc;
    f->raw.max = FRAME_RAW_MAX + 1;
    f->group = group;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        if (frame_cache_take_over(s, capacity, &f->raw))
            break;
        frame_cache_shrink(s, capacity);
        if (s->broken || s->raw_bytes + capacity <= RAW_BUDGET || s->frames_ahead == 0)
            break; /* with nothing ahead, waiting would not help: one frame more than the budget */
        pthread_cond_wait(&s->changed, &s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    if (!f->raw.cap) {
        rc = memory_large(capacity, (void **)&f->raw.data, err);
        if (rc) {
            frame_free(f);
            return rc;
        }
        f->raw.cap = capacity; /* just that much: nobody writes a NUL behind it */
        pthread_mutex_lock(&s->lock);
        s->raw_bytes += f->raw.cap;
        pthread_mutex_unlock(&s->lock);
    }
    *out = f;
    return OK;
}

/* Hand an open frame to the workers; blocks while they are busy. */
static enum error_kind frame_seal(struct store *s, struct store_frame **slot, struct error *err)
{
    struct store_frame *f = *slot;

    if (!f)
        return OK;
    *slot = NULL;
    pthread_mutex_lock(&s->lock);
    f->state = FRAME_SEALED;
    s->frames_ahead++;
    pthread_mutex_unlock(&s->lock);
    if (queue_push(s->sealed, f))
        return OK;
    return error_set(err, ERR_CANCELLED, 0, "the store was given up");
}

enum error_kind frame_seal_all(struct store *s, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < OPEN_SLOTS; i++)
        rc = frame_seal(s, &s->open[i], err);
    return rc;
}

/*
 * The slot whose frame takes this chunk: the group's own, else a free one, else the one longest unused, whose half-filled
 * frame goes on with the new group.
 */
static enum error_kind slot_for(struct store *s, uint32_t group, bool swift, size_t len, struct store_frame ***out,
                                struct error *err)
{
    size_t frame_size = s->cat->format.frame_size;
    struct store_frame **slot = NULL;
    enum error_kind rc = OK;

    for (size_t i = 0; i < OPEN_SLOTS; i++) {
        struct store_frame **at = &s->open[i];

        if (*at && (*at)->group == group && (*at)->swift == swift) {
            slot = at;
            break;
        }
        if (!slot || (*slot && (!*at || (*at)->used < (*slot)->used)))
            slot = at;
    }
    if (*slot && ((*slot)->raw.len + len > frame_size || (*slot)->entries >= FRAME_CHUNKS_MAX))
        rc = frame_seal(s, slot, err);
    if (!rc && !*slot)
        rc = frame_open(s, group, len > frame_size ? len : frame_size, slot, err);
    if (!rc) {
        (*slot)->group = group;
        (*slot)->swift = swift;
        *out = slot;
    }
    return rc;
}

static enum error_kind entry_new(struct store_frame *f, struct entry **out, struct error *err)
{
    struct entry_block *block = f->last_block;
    enum error_kind rc;

    if (!block || block->used == ENTRY_BLOCK) {
        rc = memory_allocate(sizeof(*block), (void **)&block, err);
        if (rc)
            return rc;
        block->next = NULL;
        block->used = 0;
        *(f->last_block ? &f->last_block->next : &f->first_block) = block;
        f->last_block = block;
    }
    *out = &block->entries[block->used];
    return OK;
}

enum error_kind frame_append(struct store *s, uint32_t group, bool swift, const void *bytes, const struct entry *proto,
                             struct error *err)
{
    struct store_frame **slot = NULL;
    struct store_frame *f;
    struct entry **bucket;
    struct entry *e;
    enum error_kind rc;

    rc = slot_for(s, group, swift, proto->len, &slot, err);
    if (rc)
        return rc;
    f = *slot;
    rc = entry_new(f, &e, err);
    if (rc)
        return rc;
    *e = *proto;
    e->frame = f;
    e->offset = (uint32_t)f->raw.len;
    assert(f->raw.len + proto->len <= f->raw.cap); /* reserved: the bytes stay where a reader may be comparing */
    if (proto->len > 0)
        memcpy(f->raw.data + f->raw.len, bytes, proto->len);
    f->raw.len += proto->len;
    f->used = ++s->clock;
    dedup_note(s, e);
    pthread_mutex_lock(&s->lock);
    f->last_block->used++;
    f->entries++;
    bucket = map_bucket(s, &e->first);
    e->next = *bucket;
    *bucket = e;
    if (e->claim == CLAIM_NONE)
        unclaimed_add(s, e);
    pthread_mutex_unlock(&s->lock);
    return OK;
}

/* workers */

static enum error_kind pack_for(struct store *s, struct error *err)
{
    struct store_pack *p = NULL;
    enum error_kind rc;

    if (s->filling)
        return OK;
    rc = memory_zeroed(1, sizeof(*p), (void **)&p, err);
    if (!rc)
        rc = pack_draft_begin(s->cat->dirfd, &s->cat->format, s->kind, &p->draft, err);
    if (rc)
        store_pack_free(p);
    else
        s->filling = p;
    return rc;
}

void store_rotate(struct store *s)
{
    struct store_pack *p = s->filling;

    if (!p)
        return;
    s->filling = NULL;
    pthread_mutex_lock(&s->lock);
    s->packs_ahead++;
    pthread_mutex_unlock(&s->lock);
    if (!queue_push(s->full, p)) {
        /* Closed only by store_free(), after every producer and worker has ended. */
        assert(!"queue of full packs closed too early");
    }
}

static enum error_kind frame_write(struct store *s, struct store_frame *f, uint8_t codec, const void *stored,
                                   size_t stored_len, struct error *err)
{
    struct store_pack *p;
    enum error_kind rc;

    pthread_mutex_lock(&s->pack_lock);
    rc = pack_for(s, err);
    if (rc)
        goto done;
    p = s->filling;
    if (p->first && p->entries + f->entries > PACK_CHUNKS_MAX) {
        store_rotate(s);
        rc = pack_for(s, err);
        if (rc)
            goto done;
        p = s->filling;
    }
    rc = pack_draft_frame(p->draft, codec, stored, (uint32_t)stored_len, (uint32_t)f->raw.len, &f->number, &f->where,
                          err);
    if (rc)
        goto done;
    pthread_mutex_lock(&s->lock);
    f->state = FRAME_WRITTEN;
    f->pack = p;
    *(p->last ? &p->last->next : &p->first) = f;
    p->last = f;
    p->entries += f->entries;
    frame_cache_use(s, f);
    s->frames_ahead--;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (pack_draft_size(p->draft) >= s->pack_size)
        store_rotate(s);

done:
    pthread_mutex_unlock(&s->pack_lock);
    return rc;
}

/* The store is broken or given up: the frame stays in memory, since the map points into it, and is freed with the store. */
static void frame_give_up(struct store *s, struct store_frame *f)
{
    pthread_mutex_lock(&s->lock);
    f->next = s->lost_frames;
    s->lost_frames = f;
    s->frames_ahead--;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

void *store_worker(void *arg)
{
    struct store *s = arg;
    struct buffer out = BUFFER_INIT(FRAME_RAW_MAX * 2);
    struct compressor *compressor = NULL;
    struct error err = ERROR_INIT;
    const void *stored = NULL;
    size_t stored_len = 0;
    enum error_kind rc;
    uint8_t codec = 0;
    void *item;

    rc = memory_large(s->cat->format.frame_size, (void **)&out.data, &err);
    if (!rc) {
        out.cap = s->cat->format.frame_size;
        rc = compressor_new(s->level, &compressor, &err);
    }
    if (rc)
        store_break(s, &err);
    while (queue_pop(s->sealed, &item)) {
        struct store_frame *f = item;

        error_clear(&err);
        rc = store_check(s, &err);
        if (!rc && store_abandoned(s))
            rc = error_set(&err, ERR_CANCELLED, 0, "the store was given up");
        if (!rc)
            compressor_set_swift(compressor, f->swift);
        if (!rc)
            rc = codec_compress(compressor, f->raw.data, f->raw.len, &out, &codec, &stored, &stored_len, &err);
        if (!rc)
            rc = frame_write(s, f, codec, stored, stored_len, &err);
        if (rc) {
            store_break(s, &err);
            frame_give_up(s, f);
        }
    }
    compressor_free(compressor);
    buffer_release(&out);
    return NULL;
}
