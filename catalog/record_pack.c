#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "codec_internal.h"
#include "record_internal.h"

#define ATTEMPTS_MAX 1000000u /* a weak hash of a few bits collides by the thousand (P5) */

/* A record on its way into a pack of its own. */
struct record_draft {
    struct catalog *cat;
    struct pack_draft *pack;
    struct pack_row pack_row;
    struct chunk_row chunk;
    bool announced;
    bool published;
};

static enum error_kind write_frame(struct record_draft *d, const void *bytes, size_t len, struct error *err)
{
    struct compressor *codec = NULL;
    struct buffer scratch = BUFFER_INIT(2 * RECORD_LEN_MAX + 4096);
    struct footer_frame where;
    const void *stored = NULL;
    size_t stored_len = 0;
    uint32_t frame = 0;
    uint8_t how = 0;
    enum error_kind rc = compressor_new(CODEC_LEVEL_DEFAULT, &codec, err);

    if (!rc)
        rc = codec_compress(codec, bytes, len, &scratch, &how, &stored, &stored_len, err);
    if (!rc)
        rc = pack_draft_frame(d->pack, how, stored, (uint32_t)stored_len, (uint32_t)len, &frame, &where, err);
    compressor_free(codec);
    buffer_release(&scratch);
    return rc;
}

/* A record holds a random id, so nothing that is stored can be equal to it: the first free attempt is its own. */
static enum error_kind claim(struct record_draft *d, struct error *err)
{
    struct index *ix = d->cat->index;
    bool added = false;
    enum error_kind rc = index_begin(ix, err);

    if (!rc)
        rc = index_pack_add(ix, &d->pack_row, err);
    d->chunk.pack = d->pack_row.number;
    while (!rc && !added) {
        rc = index_chunk_add(ix, &d->chunk, &added, err);
        if (!rc && !added && d->chunk.id.attempt++ == ATTEMPTS_MAX)
            rc = error_set(err, ERR_CORRUPT, 0, "index: no attempt is free for a record");
    }
    if (!rc)
        rc = index_commit(ix, err);
    if (rc)
        index_rollback(ix);
    d->announced = rc == OK;
    return rc;
}

static enum error_kind publish(struct record_draft *d, struct error *err)
{
    struct footer_chunk entry = {
        .id = d->chunk.id,
        .type = d->chunk.type,
        .len = d->chunk.len,
        .second = d->chunk.second,
    };
    enum error_kind rc = pack_draft_chunk(d->pack, &entry, err);

    if (!rc)
        rc = pack_draft_seal(d->pack, err);
    if (!rc)
        rc = pack_draft_publish(d->pack, err);
    d->published = rc == OK;
    return rc;
}

static enum error_kind make_it_stand(struct record_draft *d, record_rows_fn *rows, void *arg, struct error *err)
{
    struct index *ix = d->cat->index;
    enum error_kind rc = index_begin(ix, err);

    d->pack_row.state = PACK_IN_PLACE;
    d->pack_row.size = pack_draft_size(d->pack);
    d->pack_row.frames = 1;
    d->pack_row.chunks = 1;
    if (!rc)
        rc = index_pack_update(ix, &d->pack_row, err);
    if (!rc)
        rc = rows(arg, &d->chunk.id, err);
    if (!rc)
        rc = index_commit(ix, err);
    if (rc)
        index_rollback(ix);
    return rc;
}

/*
 * A commit that failed may have come down all the same: the row is marked before the file goes, so that no index ever says that a pack is
 * in place which is not there.
 */
static enum error_kind mark_for_removal(struct record_draft *d, struct error *err)
{
    struct index *ix = d->cat->index;
    enum error_kind rc = index_begin(ix, err);

    d->pack_row.state = PACK_TO_REMOVE;
    if (!rc)
        rc = index_pack_update(ix, &d->pack_row, err);
    if (!rc)
        rc = index_commit(ix, err);
    if (rc)
        index_rollback(ix);
    return rc;
}

/*
 * Take back what did not become a record: mark, file, folder, then rows, so that no moment has a pack that the index does not know.
 * What can't be taken back stays announced, or marked; those are states which everybody understands (C1).
 */
static void withdraw(struct record_draft *d)
{
    struct index *ix = d->cat->index;
    struct error ignored = ERROR_INIT;
    char path[PACK_PATH_MAX];
    enum error_kind rc;

    if (!d->announced || mark_for_removal(d, &ignored) != OK)
        return;
    pack_path(d->pack_row.name, false, path);
    rc = file_unlink(d->cat->dirfd, path, &ignored);
    if (rc && rc != ERR_NOT_FOUND)
        return;
    *strrchr(path, '/') = '\0';
    if (directory_sync(d->cat->dirfd, path, &ignored) != OK)
        return;
    rc = index_begin(ix, &ignored);
    if (!rc)
        rc = index_chunk_remove(ix, d->chunk.row, &ignored);
    if (!rc)
        rc = index_pack_remove(ix, d->pack_row.number, &ignored);
    if (!rc)
        rc = index_commit(ix, &ignored);
    if (rc)
        index_rollback(ix);
}

enum error_kind record_write(struct catalog *cat, enum chunk_type type, const void *bytes, size_t len,
                             record_rows_fn *rows, void *arg, struct error *err)
{
    struct record_draft d = {.cat = cat};
    struct hash first;
    enum error_kind rc = catalog_require_write(cat, err);

    if (rc)
        return rc;
    assert(chunk_type_is_record(type) && len <= RECORD_LEN_MAX);
    rc = pack_draft_begin(cat->dirfd, &cat->format, PACK_RECORDS, &d.pack, err);
    if (rc)
        return rc;
    content_hash(&cat->format, type, bytes, len, &first, &d.chunk.second);
    memcpy(d.chunk.id.hash, first.bytes, HASH_LEN);
    d.chunk.len = (uint32_t)len;
    d.chunk.type = type;
    d.chunk.generation = cat->generation;
    d.pack_row = (struct pack_row){.state = PACK_ANNOUNCED,
                                   .kind = PACK_RECORDS,
                                   .generation = cat->generation,
                                   .made_ns = pack_draft_made(d.pack)};
    memcpy(d.pack_row.name, pack_draft_name(d.pack), PACK_NAME_LEN);
    rc = write_frame(&d, bytes, len, err);
    if (!rc)
        rc = claim(&d, err);
    if (!rc)
        rc = publish(&d, err);
    if (!rc)
        rc = make_it_stand(&d, rows, arg, err);
    if (rc)
        withdraw(&d);
    pack_draft_free(d.pack);
    return rc;
}

/* ---- reading all of them ---- */

struct record_reading {
    struct catalog *cat;
    record_fn *fn;
    record_damaged_fn *damaged;
    void *arg;
};

/* One record, checked against frame, place and id (C4). */
static enum error_kind read_one(struct catalog *cat, const struct pack *pack, const struct footer_chunk *chunk,
                                struct buffer *frame, const unsigned char **bytes, struct error *err)
{
    struct hash first, second;
    enum error_kind rc = pack_frame_read(pack, chunk->frame, frame, err);

    if (rc)
        return rc;
    if (chunk->offset > frame->len || chunk->len > frame->len - chunk->offset)
        return error_set(err, ERR_CORRUPT, 0, "a record lies outside its frame");
    *bytes = frame->data + chunk->offset;
    content_hash(&cat->format, chunk->type, *bytes, chunk->len, &first, &second);
    if (memcmp(first.bytes, chunk->id.hash, HASH_LEN) != 0)
        return error_set(err, ERR_CORRUPT, 0, "a record and its id disagree");
    return OK;
}

static enum error_kind read_pack(struct record_reading *r, const struct pack_row *row, struct error *err)
{
    struct record_place place = {.pack = *row};
    struct buffer frame = BUFFER_INIT(FRAME_RAW_MAX);
    struct pack *pack = NULL;
    struct error why = ERROR_INIT;
    enum error_kind rc = OK;
    enum error_kind broken = pack_open(r->cat->dirfd, row->name, &r->cat->format, &pack, &why);

    for (uint32_t i = 0; !rc && !broken && i < pack_chunk_count(pack); i++) {
        const unsigned char *bytes = NULL;

        pack_chunk_at(pack, i, &place.chunk);
        broken = read_one(r->cat, pack, &place.chunk, &frame, &bytes, &why);
        if (!broken)
            rc = r->fn(r->arg, &place, bytes, place.chunk.len, err);
    }
    if (!rc && broken) {
        if (r->damaged && (broken == ERR_CORRUPT || broken == ERR_NOT_FOUND)) {
            rc = r->damaged(r->arg, row, &why, err);
        } else {
            *err = why;
            rc = broken;
        }
    }
    pack_close(pack);
    buffer_release(&frame);
    return rc;
}

struct pack_rows {
    struct pack_row *items;
    size_t count, cap;
};

static enum error_kind collect(void *arg, const struct pack_row *row, struct error *err)
{
    struct pack_rows *rows = arg;

    if (row->kind != PACK_RECORDS || row->state != PACK_IN_PLACE)
        return OK;
    if (rows->count == rows->cap) {
        size_t cap = rows->cap ? 2 * rows->cap : 64;
        struct pack_row *grown = reallocarray(rows->items, cap, sizeof(*grown));

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory: %zu packs of records", cap);
        rows->items = grown;
        rows->cap = cap;
    }
    rows->items[rows->count++] = *row;
    return OK;
}

enum error_kind record_each(struct catalog *cat, record_fn *fn, record_damaged_fn *damaged, void *arg,
                            struct error *err)
{
    struct record_reading reading = {cat, fn, damaged, arg};
    struct pack_rows rows = {NULL, 0, 0};
    enum error_kind rc = index_pack_each(cat->index, collect, &rows, err);

    for (size_t i = 0; !rc && i < rows.count; i++)
        rc = read_pack(&reading, &rows.items[i], err);
    free(rows.items);
    return rc;
}
