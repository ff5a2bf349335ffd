#include "chunk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "catalog_internal.h"

/*
 * Two small caches, both in order of last use: frames lately decoded, and packs lately opened (their footers). What is in use is
 * counted and never freed under its user; a cache may exceed its budget by what is in use.
 */
#define FRAMES_BUDGET (12u << 20)
#define PACKS_BUDGET (8u << 20)
#define PACKS_OPEN_MAX 64 /* one descriptor each */

struct cached_pack {
    struct cached_pack *newer, *older;
    uint64_t number;
    struct pack *pack;
    unsigned users;
    bool listed; /* false: dropped from the cache, freed by its last user */
};

struct chunk_frame {
    struct chunk_frame *newer, *older;
    struct catalog *cat;
    struct cached_pack *pack;
    uint32_t number;
    struct buffer raw;
    unsigned users;
    bool listed;
};

struct chunk_cache {
    pthread_mutex_t lock;
    struct cached_pack *newest_pack, *oldest_pack;
    struct chunk_frame *newest_frame, *oldest_frame;
    size_t pack_bytes, pack_count, frame_bytes;
};

enum error_kind chunk_cache_new(struct chunk_cache **out, struct error *err)
{
    enum error_kind rc = memory_zeroed(1, sizeof(**out), (void **)out, err);

    if (!rc)
        pthread_mutex_init(&(*out)->lock, NULL);
    return rc;
}

/* packs; all with the cache's lock held */

static void pack_unlist(struct chunk_cache *c, struct cached_pack *p)
{
    assert(!p->older == (c->oldest_pack == p) && !p->newer == (c->newest_pack == p));
    *(p->newer ? &p->newer->older : &c->newest_pack) = p->older;
    *(p->older ? &p->older->newer : &c->oldest_pack) = p->newer;
    c->pack_bytes -= pack_memory(p->pack);
    c->pack_count--;
    p->listed = false;
}

static void pack_list(struct chunk_cache *c, struct cached_pack *p)
{
    p->newer = NULL;
    p->older = c->newest_pack;
    *(p->older ? &p->older->newer : &c->oldest_pack) = p;
    c->newest_pack = p;
    c->pack_bytes += pack_memory(p->pack);
    c->pack_count++;
    p->listed = true;
}

static void pack_free_if_done(struct cached_pack *p)
{
    if (p->users == 0 && !p->listed) {
        pack_close(p->pack);
        free(p);
    }
}

static void pack_shrink(struct chunk_cache *c)
{
    struct cached_pack *p = c->oldest_pack;

    while (p && (c->pack_bytes > PACKS_BUDGET || c->pack_count > PACKS_OPEN_MAX)) {
        struct cached_pack *next = p->newer;

        if (p->users == 0) {
            pack_unlist(c, p);
            pack_free_if_done(p);
        }
        p = next;
    }
}

static struct cached_pack *pack_lookup(struct chunk_cache *c, uint64_t number)
{
    struct cached_pack *p = c->newest_pack;

    while (p && p->number != number)
        p = p->older;
    if (p) {
        pack_unlist(c, p);
        pack_list(c, p);
        p->users++;
    }
    return p;
}

static void pack_leave(struct chunk_cache *c, struct cached_pack *p)
{
    if (!p)
        return;
    assert(p->users > 0);
    p->users--;
    pack_free_if_done(p);
    pack_shrink(c);
}

/* frames; all with the cache's lock held */

static void frame_unlist(struct chunk_cache *c, struct chunk_frame *f)
{
    assert(!f->older == (c->oldest_frame == f) && !f->newer == (c->newest_frame == f));
    *(f->newer ? &f->newer->older : &c->newest_frame) = f->older;
    *(f->older ? &f->older->newer : &c->oldest_frame) = f->newer;
    c->frame_bytes -= f->raw.cap;
    f->listed = false;
}

static void frame_list(struct chunk_cache *c, struct chunk_frame *f)
{
    f->newer = NULL;
    f->older = c->newest_frame;
    *(f->older ? &f->older->newer : &c->oldest_frame) = f;
    c->newest_frame = f;
    c->frame_bytes += f->raw.cap;
    f->listed = true;
}

static void frame_free_if_done(struct chunk_cache *c, struct chunk_frame *f)
{
    if (f->users > 0 || f->listed)
        return;
    pack_leave(c, f->pack);
    buffer_release(&f->raw);
    free(f);
}

static void frame_shrink(struct chunk_cache *c)
{
    struct chunk_frame *f = c->oldest_frame;

    while (f && c->frame_bytes > FRAMES_BUDGET) {
        struct chunk_frame *next = f->newer;

        if (f->users == 0) {
            frame_unlist(c, f);
            frame_free_if_done(c, f);
        }
        f = next;
    }
}

static struct chunk_frame *frame_lookup(struct chunk_cache *c, uint64_t pack, uint32_t number)
{
    struct chunk_frame *f = c->newest_frame;

    while (f && (f->pack->number != pack || f->number != number))
        f = f->older;
    if (f) {
        frame_unlist(c, f);
        frame_list(c, f);
        f->users++;
    }
    return f;
}

void chunk_cache_drop(struct catalog *cat, uint64_t pack)
{
    struct chunk_cache *c = cat->cache;
    struct chunk_frame *f;
    struct cached_pack *p;

    pthread_mutex_lock(&c->lock);
    f = c->oldest_frame;
    while (f) {
        struct chunk_frame *next = f->newer;

        if (pack == 0 || f->pack->number == pack) {
            frame_unlist(c, f);
            frame_free_if_done(c, f);
        }
        f = next;
    }
    p = c->oldest_pack;
    while (p) {
        struct cached_pack *next = p->newer;

        if (pack == 0 || p->number == pack) {
            pack_unlist(c, p);
            pack_free_if_done(p);
        }
        p = next;
    }
    pthread_mutex_unlock(&c->lock);
}

void chunk_cache_free(struct chunk_cache *c)
{
    if (!c)
        return;
    while (c->oldest_frame) {
        struct chunk_frame *f = c->oldest_frame;

        assert(f->users == 0);
        frame_unlist(c, f);
        frame_free_if_done(c, f);
    }
    while (c->oldest_pack) {
        struct cached_pack *p = c->oldest_pack;

        assert(p->users == 0);
        pack_unlist(c, p);
        pack_free_if_done(p);
    }
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* opening */

static enum error_kind open_by_number(struct catalog *cat, uint64_t number, struct pack **out, struct error *err)
{
    struct pack_row row;
    char path[PACK_PATH_MAX];
    enum error_kind rc;
    bool found = false;

    pthread_mutex_lock(&cat->lookup_lock);
    rc = index_pack_find(cat->lookup, number, &row, &found, err);
    pthread_mutex_unlock(&cat->lookup_lock);
    if (rc)
        return rc;
    if (!found || row.state != PACK_IN_PLACE) {
        rc = error_set(err, ERR_CORRUPT, 0, "index: pack number %llu is not in place", (unsigned long long)number);
        error_hint(err, "make the index again from the packs: nopsnap rebuild");
        return rc;
    }
    rc = pack_open(cat->dirfd, row.name, &cat->format, out, err);
    if (rc == ERR_NOT_FOUND) {
        pack_path(row.name, false, path);
        rc = error_set(err, ERR_CORRUPT, 0, "%s is missing", path);
    }
    if (rc == ERR_CORRUPT) {
        catalog_note_damage(cat, number, DAMAGE_WHOLE_PACK, err->text);
        error_hint(err, "see what is touched: nopsnap verify --read-data");
    }
    return rc;
}

static enum error_kind pack_enter(struct catalog *cat, uint64_t number, struct cached_pack **out, struct error *err)
{
    struct chunk_cache *c = cat->cache;
    struct cached_pack *p, *other;
    enum error_kind rc;

    pthread_mutex_lock(&c->lock);
    p = pack_lookup(c, number);
    pthread_mutex_unlock(&c->lock);
    if (p) {
        *out = p;
        return OK;
    }
    rc = memory_zeroed(1, sizeof(*p), (void **)&p, err);
    if (rc)
        return rc;
    p->number = number;
    p->users = 1;
    rc = open_by_number(cat, number, &p->pack, err); /* outside the lock: it reads from disk */
    if (rc) {
        free(p);
        return rc;
    }
    pthread_mutex_lock(&c->lock);
    other = pack_lookup(c, number);
    if (other) { /* another thread was faster */
        pack_leave(c, p);
        p = other;
    } else {
        pack_list(c, p);
        pack_shrink(c);
    }
    pthread_mutex_unlock(&c->lock);
    *out = p;
    return OK;
}

static enum error_kind frame_load(struct catalog *cat, uint64_t pack, uint32_t number, struct chunk_frame **out,
                                  struct error *err)
{
    struct chunk_frame *f = NULL;
    enum error_kind rc;

    rc = memory_zeroed(1, sizeof(*f), (void **)&f, err);
    if (rc)
        return rc;
    f->cat = cat;
    f->number = number;
    f->raw.max = FRAME_RAW_MAX + 1;
    rc = pack_enter(cat, pack, &f->pack, err);
    if (rc) {
        free(f);
        return rc;
    }
    rc = pack_frame_read(f->pack->pack, number, &f->raw, err);
    if (rc == ERR_CORRUPT) {
        catalog_note_damage(cat, pack, number, err->text);
        error_hint(err, "see what is touched: nopsnap verify --read-data");
    }
    if (rc) {
        pthread_mutex_lock(&cat->cache->lock);
        frame_free_if_done(cat->cache, f);
        pthread_mutex_unlock(&cat->cache->lock);
        return rc;
    }
    *out = f;
    return OK;
}

enum error_kind chunk_frame_open(struct catalog *cat, uint64_t pack, uint32_t frame, struct chunk_frame **out,
                                 struct error *err)
{
    struct chunk_cache *c = cat->cache;
    struct chunk_frame *f, *other;
    enum error_kind rc;

    pthread_mutex_lock(&c->lock);
    f = frame_lookup(c, pack, frame);
    pthread_mutex_unlock(&c->lock);
    if (f) {
        *out = f;
        return OK;
    }
    rc = frame_load(cat, pack, frame, &f, err);
    if (rc)
        return rc;
    pthread_mutex_lock(&c->lock);
    other = frame_lookup(c, pack, frame);
    if (other) {
        frame_free_if_done(c, f);
        f = other;
    } else {
        f->users = 1;
        frame_list(c, f);
        frame_shrink(c);
    }
    pthread_mutex_unlock(&c->lock);
    *out = f;
    return OK;
}

void chunk_frame_close(struct chunk_frame *f)
{
    struct chunk_cache *c;

    if (!f)
        return;
    c = f->cat->cache;
    pthread_mutex_lock(&c->lock);
    assert(f->users > 0);
    f->users--;
    frame_free_if_done(c, f);
    frame_shrink(c);
    pthread_mutex_unlock(&c->lock);
}

/* C5: what the index says of a chunk's place must be what the pack's own footer says. */
static bool footer_agrees(const struct pack *pack, const struct chunk_id *id, const struct chunk_place *place)
{
    struct footer_chunk c;

    for (uint32_t i = pack_chunk_search(pack, place->frame, place->offset); i < pack_chunk_count(pack); i++) {
        pack_chunk_at(pack, i, &c);
        if (c.frame != place->frame || c.offset != place->offset)
            return false;
        if (c.len == place->len && c.type == place->type && chunk_id_equal(&c.id, id))
            return true; /* empty chunks share an offset with what follows them: hence the loop */
    }
    return false;
}

enum error_kind chunk_frame_get(struct chunk_frame *f, const struct chunk_id *id, const struct chunk_place *place,
                                const void **bytes, struct error *err)
{
    struct hash first;
    enum error_kind rc;

    if (place->pack != f->pack->number || place->frame != f->number || !footer_agrees(f->pack->pack, id, place)) {
        rc = error_set(err, ERR_CORRUPT, 0,
                       "index: the place of a chunk is not what its pack says (pack %llu, frame %u)",
                       (unsigned long long)place->pack, place->frame);
        error_hint(err, "make the index again from the packs: nopsnap rebuild");
        return rc;
    }
    /* The footer was checked against the frame table, and the frame has the table's length. */
    assert(place->offset <= f->raw.len && place->len <= f->raw.len - place->offset);
    content_hash(&f->cat->format, place->type, f->raw.data + place->offset, place->len, &first, NULL);
    if (memcmp(first.bytes, id->hash, HASH_LEN) != 0) {
        rc = error_set(err, ERR_CORRUPT, 0, "pack %llu, frame %u: content does not match its id",
                       (unsigned long long)place->pack, place->frame);
        catalog_note_damage(f->cat, place->pack, place->frame, err->text);
        error_hint(err, "see what is touched: nopsnap verify --read-data");
        return rc;
    }
    *bytes = f->raw.data + place->offset;
    return OK;
}

static enum error_kind unknown_chunk(const struct chunk_id *id, const char *why, struct error *err)
{
    char hex[2 * HASH_LEN + 1];
    enum error_kind rc;

    hex_encode(id->hash, HASH_LEN, hex);
    rc = error_set(err, ERR_CORRUPT, 0, "chunk %s/%u %s", hex, id->attempt, why);
    error_hint(err, "check the catalogue: nopsnap verify; then: nopsnap rebuild");
    return rc;
}

enum error_kind chunk_find(struct catalog *cat, const struct chunk_id *id, struct chunk_place *out, struct error *err)
{
    struct chunk_row row;
    enum error_kind rc;
    bool found = false;

    rc = catalog_chunk_find(cat, id, &row, &found, err);
    if (rc)
        return rc;
    if (!found)
        return unknown_chunk(id, "is not in the index", err);
    if (!row.in_place)
        return unknown_chunk(id, "is not in a pack in place", err);
    /* Known damage does not hinder a try: the read checks everything, and a passing fault of the disk may be over. */
    *out = (struct chunk_place){row.pack, row.frame, row.offset, row.len, row.type};
    return OK;
}

enum error_kind chunk_read(struct catalog *cat, const struct chunk_id *id, enum chunk_type type, struct buffer *out,
                           struct error *err)
{
    struct chunk_frame *frame = NULL;
    struct chunk_place place;
    const void *bytes = NULL;
    enum error_kind rc;

    rc = chunk_find(cat, id, &place, err);
    if (rc)
        goto done;
    if (place.type != type) {
        rc = unknown_chunk(id, "is of another type than what refers to it says", err);
        goto done;
    }
    rc = chunk_frame_open(cat, place.pack, place.frame, &frame, err);
    if (!rc)
        rc = chunk_frame_get(frame, id, &place, &bytes, err);
    if (rc)
        goto done;
    buffer_clear(out);
    rc = buffer_append(out, bytes, place.len, err);

done:
    chunk_frame_close(frame);
    return rc;
}
