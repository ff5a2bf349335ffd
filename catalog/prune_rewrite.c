#include <stdlib.h>
#include <string.h>

#include "codec_internal.h"
#include "prune_internal.h"
#include "thread.h"

/* After as many stored bytes or chunks a new pack is closed; a frame may add 4096 chunks to them. */
#define COPY_SIZE (64u << 20)
#define COPY_CHUNKS 16384

/* A new pack being filled from old ones. */
struct rewriter {
    struct prune *p;
    struct pack_draft *draft;
    struct footer_chunk *chunks;
    size_t count, cap;
    struct compressor *compressor;
    struct buffer open; /* raw frame of small pieces from frames that are used in part */
    size_t open_first;  /* chunks from here on lie in it */
    struct buffer raw, stored, scratch;
    int64_t bad_frame; /* of the pack being copied; DAMAGE_WHOLE_PACK: none */
    size_t at, safe;   /* the pack being copied; what is copied of those before safe is in place */
};

static enum error_kind remember(struct rewriter *w, const struct footer_chunk *chunk, struct error *err)
{
    if (w->count == w->cap) {
        size_t cap = w->cap ? 2 * w->cap : 1024;
        struct footer_chunk *grown = reallocarray(w->chunks, cap, sizeof(*grown));

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory: %zu chunks", cap);
        w->chunks = grown;
        w->cap = cap;
    }
    w->chunks[w->count++] = *chunk;
    return OK;
}

static enum error_kind begin_pack(struct rewriter *w, struct error *err)
{
    if (w->draft)
        return OK;
    w->count = 0;
    w->open_first = SIZE_MAX;
    return pack_draft_begin(w->p->cat->dirfd, &w->p->cat->format, PACK_DATA, &w->draft, err);
}

/* Chunks waiting in the open frame bear this number until the frame has one. */
#define FRAME_OPEN UINT32_MAX

static enum error_kind close_frame(struct rewriter *w, struct error *err)
{
    const void *stored = NULL;
    size_t stored_len = 0;
    struct footer_frame where;
    uint32_t frame = 0;
    uint8_t codec = 0;
    enum error_kind rc;

    if (w->open_first == SIZE_MAX)
        return OK;
    rc = codec_compress(w->compressor, w->open.data, w->open.len, &w->scratch, &codec, &stored, &stored_len, err);
    if (!rc)
        rc =
            pack_draft_frame(w->draft, codec, stored, (uint32_t)stored_len, (uint32_t)w->open.len, &frame, &where, err);
    for (size_t i = w->open_first; !rc && i < w->count; i++)
        if (w->chunks[i].frame == FRAME_OPEN)
            w->chunks[i].frame = frame;
    w->open_first = SIZE_MAX;
    buffer_clear(&w->open);
    return rc;
}

static int compare_places(const void *x, const void *y)
{
    const struct footer_chunk *a = x;
    const struct footer_chunk *b = y;

    if (a->frame != b->frame)
        return a->frame < b->frame ? -1 : 1;
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    return (a->len > b->len) - (a->len < b->len); /* an empty chunk lies before what shares its place */
}

/* C1: announced, then renamed, then in place. */
static enum error_kind announce(struct rewriter *w, struct pack_row *row, struct error *err)
{
    struct catalog *cat = w->p->cat;
    enum error_kind rc = index_begin(cat->index, err);

    *row = (struct pack_row){.state = PACK_ANNOUNCED,
                             .kind = PACK_DATA,
                             .frames = pack_draft_frames(w->draft),
                             .chunks = (uint32_t)w->count,
                             .generation = cat->generation,
                             .made_ns = pack_draft_made(w->draft)};
    memcpy(row->name, pack_draft_name(w->draft), PACK_NAME_LEN);
    if (!rc)
        rc = index_pack_add(cat->index, row, err);
    if (!rc)
        rc = index_commit(cat->index, err);
    index_rollback(cat->index);
    return rc;
}

static enum error_kind put_in_place(struct rewriter *w, struct pack_row *row, struct error *err)
{
    struct catalog *cat = w->p->cat;
    uint64_t *grown = reallocarray(w->p->copies, w->p->copy_count + 1, sizeof(*grown));
    enum error_kind rc;

    if (!grown)
        return error_set(err, ERR_MEMORY, 0, "out of memory: %zu packs", w->p->copy_count);
    w->p->copies = grown;
    row->state = PACK_IN_PLACE;
    row->size = pack_draft_size(w->draft);
    rc = index_begin(cat->index, err);
    if (!rc)
        rc = index_pack_update(cat->index, row, err);
    if (!rc)
        rc = index_commit(cat->index, err);
    index_rollback(cat->index);
    if (!rc)
        w->p->copies[w->p->copy_count++] = row->number;
    return rc;
}

static enum error_kind end_pack(struct rewriter *w, struct error *err)
{
    struct pack_row row;
    enum error_kind rc = OK;

    if (!w->draft)
        return OK;
    rc = close_frame(w, err);
    if (rc || w->count == 0)
        goto done;
    qsort(w->chunks, w->count, sizeof(*w->chunks), compare_places);
    for (size_t i = 0; !rc && i < w->count; i++)
        rc = pack_draft_chunk(w->draft, &w->chunks[i], err);
    if (!rc)
        rc = announce(w, &row, err);
    if (!rc)
        rc = pack_draft_seal(w->draft, err);
    if (!rc)
        rc = pack_draft_publish(w->draft, err);
    if (!rc)
        rc = put_in_place(w, &row, err);
    if (!rc)
        w->safe = w->at;

done:
    pack_draft_free(w->draft);
    w->draft = NULL;
    return rc;
}

/* ---- one old pack ---- */

/* Entries of one frame: from the first that was not looked at to the last, and which of them are used. */
struct frame_use {
    uint32_t from, to;
    uint32_t used;
};

static enum error_kind is_used(struct prune *p, const struct prune_pack *pack, const struct footer_chunk *chunk,
                               bool *out, struct error *err)
{
    struct chunk_row row;
    bool found = false;
    enum error_kind rc = index_chunk_find(p->cat->index, &chunk->id, &row, &found, err);

    if (!rc)
        *out = found && row.pack == pack->row.number && mark_has(p->mark, row.row);
    return rc;
}

static enum error_kind look_at_frame(struct rewriter *w, const struct prune_pack *pack, const struct pack *from,
                                     uint32_t frame, struct frame_use *use, struct error *err)
{
    enum error_kind rc = OK;

    use->from = use->to;
    use->used = 0;
    for (; !rc && use->to < pack_chunk_count(from); use->to++) {
        struct footer_chunk chunk;
        bool used = false;

        pack_chunk_at(from, use->to, &chunk);
        if (chunk.frame != frame)
            break;
        rc = is_used(w->p, pack, &chunk, &used, err);
        use->used += used;
    }
    return rc;
}

/* Only what is wrong with a frame's bytes is that frame's damage: the index has faults of its own. */
static enum error_kind blame_frame(struct rewriter *w, uint32_t frame, enum error_kind rc)
{
    if (rc == ERR_CORRUPT)
        w->bad_frame = frame;
    return rc;
}

static enum error_kind copy_whole(struct rewriter *w, const struct pack *from, uint32_t frame,
                                  const struct frame_use *use, struct error *err)
{
    struct frame_header header;
    struct footer_frame where;
    uint32_t number = 0;
    enum error_kind rc = blame_frame(w, frame, pack_frame_read_stored(from, frame, &header, &w->stored, err));

    if (!rc)
        rc = pack_draft_frame(w->draft, header.codec, w->stored.data, header.stored, header.raw, &number, &where, err);
    for (uint32_t i = use->from; !rc && i < use->to; i++) {
        struct footer_chunk chunk;

        pack_chunk_at(from, i, &chunk);
        chunk.frame = number;
        rc = remember(w, &chunk, err);
    }
    return rc;
}

static enum error_kind copy_piece(struct rewriter *w, const struct footer_chunk *chunk, struct error *err)
{
    struct footer_chunk moved = *chunk;
    struct hash first;
    enum error_kind rc = OK;

    if (chunk->offset > w->raw.len || chunk->len > w->raw.len - chunk->offset)
        return error_set(err, ERR_CORRUPT, 0, "a chunk lies outside its frame");
    content_hash(&w->p->cat->format, chunk->type, w->raw.data + chunk->offset, chunk->len, &first, NULL);
    if (memcmp(first.bytes, chunk->id.hash, HASH_LEN) != 0)
        return error_set(err, ERR_CORRUPT, 0, "a chunk's content does not match its id");
    if (w->open.len + chunk->len > w->p->cat->format.frame_size)
        rc = close_frame(w, err);
    if (rc)
        return rc;
    if (w->open_first == SIZE_MAX)
        w->open_first = w->count;
    moved.frame = FRAME_OPEN;
    moved.offset = (uint32_t)w->open.len;
    rc = buffer_append(&w->open, w->raw.data + chunk->offset, chunk->len, err);
    return rc ? rc : remember(w, &moved, err);
}

static enum error_kind copy_pieces(struct rewriter *w, const struct prune_pack *pack, const struct pack *from,
                                   uint32_t frame, const struct frame_use *use, struct error *err)
{
    enum error_kind rc = blame_frame(w, frame, pack_frame_read(from, frame, &w->raw, err));

    for (uint32_t i = use->from; !rc && i < use->to; i++) {
        struct footer_chunk chunk;
        bool used = false;

        pack_chunk_at(from, i, &chunk);
        rc = is_used(w->p, pack, &chunk, &used, err);
        if (rc || !used)
            continue;
        rc = blame_frame(w, frame, copy_piece(w, &chunk, err));
    }
    return rc;
}

static enum error_kind copy_frames(struct rewriter *w, struct prune_pack *pack, const struct pack *from,
                                   struct error *err)
{
    struct frame_use use = {0, 0, 0};
    enum error_kind rc = OK;

    for (uint32_t i = 0; !rc && i < pack_frame_count(from); i++) {
        rc = cancel_check(err);
        if (!rc)
            rc = look_at_frame(w, pack, from, i, &use, err);
        if (rc || use.used == 0)
            continue;
        rc = begin_pack(w, err);
        if (!rc)
            rc = use.used == use.to - use.from ? copy_whole(w, from, i, &use, err)
                                               : copy_pieces(w, pack, from, i, &use, err);
        if (!rc && (pack_draft_size(w->draft) + w->open.len > COPY_SIZE || w->count >= COPY_CHUNKS))
            rc = end_pack(w, err);
    }
    return rc;
}

/* A frame that nothing needs is not read, so that damage in it is no hindrance. */
static enum error_kind copy_pack(struct rewriter *w, struct prune_pack *pack, struct error *err)
{
    struct pack *from = NULL;
    struct error why = ERROR_INIT;
    bool opened;
    enum error_kind rc = pack_open(w->p->cat->dirfd, pack->row.name, &w->p->cat->format, &from, &why);

    opened = rc == OK;
    w->bad_frame = DAMAGE_WHOLE_PACK;
    if (!rc)
        rc = copy_frames(w, pack, from, &why);
    pack_close(from);
    if (rc == ERR_CORRUPT && (!opened || w->bad_frame != DAMAGE_WHOLE_PACK)) {
        progress_warn(w->p->progress, "%s", why.text);
        pack->fate = FATE_KEEP;
        return index_damage_add(w->p->cat->index, pack->row.number, w->bad_frame, why.text, err);
    }
    if (rc)
        *err = why;
    pack->is_copied = rc == OK;
    return rc;
}

/* The disk is full: what is copied and in place counts, the rest is as if nobody had tried. How many count? */
static uint64_t settle_for_less(struct rewriter *w)
{
    uint64_t counted = 0;

    for (size_t i = 0; i < w->p->packs.count; i++) {
        struct prune_pack *pack = &w->p->packs.items[i];

        if (i >= w->safe)
            pack->is_copied = false;
        counted += pack->is_copied;
        if (pack->fate == FATE_REWRITE && !pack->is_copied)
            pack->fate = FATE_KEEP;
    }
    return counted;
}

enum error_kind prune_rewrite(struct prune *p, struct error *err)
{
    struct rewriter w = {.p = p,
                         .open_first = SIZE_MAX,
                         .open = BUFFER_INIT(FRAME_RAW_MAX),
                         .raw = BUFFER_INIT(FRAME_RAW_MAX + 1),
                         .stored = BUFFER_INIT(FRAME_RAW_MAX + 1),
                         .scratch = BUFFER_INIT(2 * FRAME_RAW_MAX)};
    struct error why = ERROR_INIT;
    enum error_kind rc = compressor_new(CODEC_LEVEL_DEFAULT, &w.compressor, &why);

    for (; !rc && w.at < p->packs.count; w.at++) {
        if (p->packs.items[w.at].fate != FATE_REWRITE)
            continue;
        rc = copy_pack(&w, &p->packs.items[w.at], &why);
        progress_advance(p->progress, w.at + 1, p->packs.count, "packs");
    }
    if (!rc)
        rc = end_pack(&w, &why);
    p->short_of_room = rc == ERR_SPACE && settle_for_less(&w) > 0;
    if (p->short_of_room)
        rc = OK;
    else if (rc)
        *err = why;
    for (size_t i = 0; !rc && i < p->packs.count; i++)
        p->report->packs_rewritten += p->packs.items[i].is_copied;
    pack_draft_free(w.draft);
    free(w.chunks);
    compressor_free(w.compressor);
    buffer_release(&w.open);
    buffer_release(&w.raw);
    buffer_release(&w.stored);
    buffer_release(&w.scratch);
    return rc;
}

/* ---- switching ---- */

static enum error_kind switch_chunk(struct prune *p, uint64_t copy, const struct footer_chunk *chunk, struct error *err)
{
    struct chunk_row row;
    const struct prune_pack *from;
    bool found = false;
    enum error_kind rc = index_chunk_find(p->cat->index, &chunk->id, &row, &found, err);

    if (rc || !found)
        return rc;
    from = prune_pack_find(p, row.pack);
    if (!from || from->fate != FATE_REMOVE || !from->is_copied)
        return OK; /* its pack stays after all: this copy is not needed */
    row.pack = copy;
    row.frame = chunk->frame;
    row.offset = chunk->offset;
    return index_chunk_update(p->cat->index, &row, err);
}

enum error_kind prune_switch(struct prune *p, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < p->copy_count; i++) {
        struct pack_row row;
        struct pack *pack = NULL;
        bool found = false;

        rc = index_pack_find(p->cat->index, p->copies[i], &row, &found, err);
        if (rc || !found)
            continue;
        rc = pack_open(p->cat->dirfd, row.name, &p->cat->format, &pack, err);
        for (uint32_t j = 0; !rc && j < pack_chunk_count(pack); j++) {
            struct footer_chunk chunk;

            pack_chunk_at(pack, j, &chunk);
            rc = switch_chunk(p, row.number, &chunk, err);
        }
        pack_close(pack);
    }
    return rc;
}
