#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "codec_internal.h"
#include "rebuild_internal.h"

/* Chunks that the old index places in the damaged pack, in the order of (frame, offset). */
struct salvage_chunks {
    struct chunk_row *items;
    size_t count, cap;
};

struct salvage {
    struct rebuild *r;
    const char *path;
    int fd;
    struct salvage_chunks chunks;
    struct pack_draft *draft;
    struct pack_row row;
    struct buffer stored, raw;
    struct footer_chunk *saved;
    size_t saved_count;
};

static enum error_kind add_chunk(struct salvage_chunks *list, const struct chunk_row *row, struct error *err)
{
    if (list->count == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : 256;
        struct chunk_row *grown = reallocarray(list->items, cap, sizeof(*grown));

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory: %zu chunks", cap);
        list->items = grown;
        list->cap = cap;
    }
    list->items[list->count++] = *row;
    return OK;
}

/* Rows whose checksum is right. Faults of the old index only make the list shorter. */
static enum error_kind list_chunks(struct salvage *s, uint64_t pack, struct error *err)
{
    struct index_statement *st = NULL;
    struct error ignored = ERROR_INIT;
    bool row = true;
    enum error_kind rc = OK;

    if (index_prepare(s->r->old, "SELECT hash, attempt FROM chunks WHERE pack = ?1 ORDER BY frame, start", &st,
                      &ignored) != OK)
        return OK;
    index_bind_number(st, 1, (int64_t)pack);
    while (!rc && index_step(st, &row, &ignored) == OK && row) {
        struct chunk_row found;
        struct chunk_id id;
        size_t len = 0;
        const void *hash = index_bytes(st, 0, &len);
        bool there = false;

        if (len != HASH_LEN)
            continue;
        memcpy(id.hash, hash, HASH_LEN);
        id.attempt = (uint32_t)index_number(st, 1);
        if (index_chunk_find(s->r->old, &id, &found, &there, &ignored) == OK && there && found.pack == pack)
            rc = add_chunk(&s->chunks, &found, err);
    }
    index_finish(st);
    return rc;
}

/* Does the content at this place agree with id, length and second hash? */
static bool is_proved(const struct salvage *s, const struct chunk_row *c)
{
    struct hash first, second;

    if (c->offset > s->raw.len || c->len > s->raw.len - c->offset)
        return false;
    content_hash(&s->r->cat.format, c->type, s->raw.data + c->offset, c->len, &first, &second);
    return memcmp(first.bytes, c->id.hash, HASH_LEN) == 0 && memcmp(second.bytes, c->second.bytes, HASH_LEN) == 0;
}

static enum error_kind copy_frame(struct salvage *s, const struct frame_header *h, size_t from, size_t to,
                                  struct error *err)
{
    struct footer_frame where;
    uint32_t frame = 0;
    bool written = false;
    enum error_kind rc = OK;

    for (size_t i = from; !rc && i < to; i++) {
        const struct chunk_row *c = &s->chunks.items[i];

        if (!is_proved(s, c))
            continue;
        if (!written)
            rc = pack_draft_frame(s->draft, h->codec, s->stored.data, h->stored, h->raw, &frame, &where, err);
        written = true;
        s->saved[s->saved_count++] = (struct footer_chunk){
            .id = c->id, .type = c->type, .frame = frame, .offset = c->offset, .len = c->len, .second = c->second};
    }
    return rc;
}

/* The frame's bytes into stored and raw; false if they are damaged. */
static bool load_frame(struct salvage *s, const struct frame_header *h, uint64_t at)
{
    struct error ignored = ERROR_INIT;

    buffer_clear(&s->stored);
    buffer_clear(&s->raw);
    if (h->cipher != 0 || buffer_reserve(&s->stored, h->stored, &ignored) ||
        buffer_reserve(&s->raw, h->raw, &ignored) ||
        file_read_at(s->fd, s->stored.data, h->stored, at + FRAME_HEADER_LEN, s->path, &ignored) ||
        hash64_of(0, s->stored.data, h->stored) != h->checksum ||
        codec_decompress(h->codec, s->stored.data, h->stored, s->raw.data, h->raw, &ignored))
        return false;
    s->raw.len = h->raw;
    return true;
}

static enum error_kind copy_frames(struct salvage *s, struct error *err)
{
    struct error ignored = ERROR_INIT;
    struct frame_header h;
    uint64_t at = PACK_HEADER_LEN, next = PACK_HEADER_LEN;
    size_t from = 0;
    enum error_kind rc = OK;

    for (uint32_t number = 0; !rc && pack_scan_frame(s->fd, &next, &h, &ignored) == OK; number++) {
        size_t to = from;

        while (to < s->chunks.count && s->chunks.items[to].frame == number)
            to++;
        if (to > from && load_frame(s, &h, at))
            rc = copy_frame(s, &h, from, to, err);
        at = next;
        from = to;
    }
    return rc;
}

static enum error_kind publish(struct salvage *s, struct error *err)
{
    struct index *ix = s->r->cat.index;
    struct pack *pack = NULL;
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < s->saved_count; i++)
        rc = pack_draft_chunk(s->draft, &s->saved[i], err);
    if (!rc)
        rc = pack_draft_seal(s->draft, err);
    if (!rc)
        rc = pack_draft_publish(s->draft, err);
    if (!rc)
        rc = index_begin(ix, err);
    s->row = (struct pack_row){.state = PACK_IN_PLACE,
                               .kind = PACK_DATA,
                               .size = pack_draft_size(s->draft),
                               .frames = pack_draft_frames(s->draft),
                               .chunks = (uint32_t)s->saved_count,
                               .generation = s->r->generation,
                               .made_ns = pack_draft_made(s->draft)};
    memcpy(s->row.name, pack_draft_name(s->draft), PACK_NAME_LEN);
    if (!rc)
        rc = index_pack_add(ix, &s->row, err);
    if (!rc)
        rc = pack_open(s->r->cat.dirfd, s->row.name, &s->r->cat.format, &pack, err);
    for (size_t i = 0; !rc && i < s->saved_count; i++)
        rc = rebuild_add_chunk(s->r, pack, &s->saved[i], s->row.number, err);
    if (!rc)
        rc = index_commit(ix, err);
    index_rollback(ix);
    pack_close(pack);
    return rc;
}

static enum error_kind tell(struct salvage *s, struct error *err)
{
    return text_list_addf(s->r->report, err, "%s: %zu of %zu chunks that the old index knew could be saved", s->path,
                          s->saved_count, s->chunks.count);
}

enum error_kind rebuild_salvage(struct rebuild *r, const char *path, struct error *err)
{
    struct salvage s = {.r = r,
                        .path = path,
                        .fd = -1,
                        .stored = BUFFER_INIT(FRAME_RAW_MAX + 1),
                        .raw = BUFFER_INIT(FRAME_RAW_MAX + 1)};
    unsigned char name[PACK_NAME_LEN];
    struct pack_row old;
    struct error ignored = ERROR_INIT;
    void *memory = NULL;
    bool part = false, found = false;
    enum error_kind rc = OK;

    if (!r->old || !pack_name_parse(path_base(path), &part, name) ||
        index_pack_find_name(r->old, name, &old, &found, &ignored) != OK || !found)
        return OK;
    rc = list_chunks(&s, old.number, err);
    if (!rc && s.chunks.count > 0)
        rc = memory_zeroed(s.chunks.count, sizeof(*s.saved), &memory, err);
    s.saved = memory;
    if (!rc)
        rc = file_open(r->cat.dirfd, path, O_RDONLY | O_NOFOLLOW, 0, &s.fd, err);
    if (!rc)
        rc = pack_draft_begin(r->cat.dirfd, &r->cat.format, PACK_DATA, &s.draft, err);
    if (!rc)
        rc = copy_frames(&s, err);
    if (!rc && s.saved_count > 0)
        rc = publish(&s, err);
    if (!rc)
        rc = tell(&s, err);
    pack_draft_free(s.draft);
    file_close(&s.fd);
    free(s.chunks.items);
    free(s.saved);
    buffer_release(&s.stored);
    buffer_release(&s.raw);
    return rc;
}
