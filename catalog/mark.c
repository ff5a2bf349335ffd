#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "list_internal.h"
#include "maintain_internal.h"
#include "tree_internal.h"

/* Marked bytes of one pack. Packs are numbered from 1 without great gaps; the table is small beside the catalogue. */
struct pack_use {
    uint64_t bytes;
    uint64_t chunks;
};

struct mark {
    struct catalog *cat;
    unsigned char *bits; /* by row */
    size_t bits_len;     /* bytes */
    struct pack_use *packs;
    size_t pack_cap;
    uint64_t row_limit, pack_limit; /* 0: not asked for yet */
    /* one run */
    struct buffer path;
    size_t held; /* bytes of the readers that are open above */
    mark_wrong_fn *wrong;
    void *arg;
    struct error why; /* here and not on the stack, which has a frame for each level of a deep tree */
};

enum error_kind mark_new(struct catalog *cat, struct mark **out, struct error *err)
{
    void *memory = NULL;
    enum error_kind rc = memory_zeroed(1, sizeof(struct mark), &memory, err);

    if (rc)
        return rc;
    *out = memory;
    (*out)->cat = cat;
    (*out)->path = (struct buffer)BUFFER_INIT(64u << 20);
    return OK;
}

void mark_free(struct mark *m)
{
    if (!m)
        return;
    free(m->bits);
    free(m->packs);
    buffer_release(&m->path);
    free(m);
}

bool mark_has(const struct mark *m, int64_t row)
{
    size_t byte = (size_t)row / 8;

    return row >= 0 && byte < m->bits_len && (m->bits[byte] >> (row % 8) & 1);
}

enum error_kind mark_frame(struct catalog *cat, const struct mark *m, const struct pack *pack, uint64_t number,
                           uint32_t frame, uint32_t at, bool *out, struct error *err)
{
    enum error_kind rc = OK;

    *out = false;
    for (; !rc && !*out && at < pack_chunk_count(pack); at++) {
        struct footer_chunk c;
        struct chunk_row row;
        bool found = false;

        pack_chunk_at(pack, at, &c);
        if (c.frame < frame)
            continue;
        if (c.frame > frame)
            break;
        rc = index_chunk_find(cat->index, &c.id, &row, &found, err);
        *out = !rc && found && row.pack == number && (!m || mark_has(m, row.row));
    }
    return rc;
}

uint64_t mark_pack_bytes(const struct mark *m, uint64_t pack)
{
    return pack < m->pack_cap ? m->packs[pack].bytes : 0;
}

uint64_t mark_pack_chunks(const struct mark *m, uint64_t pack)
{
    return pack < m->pack_cap ? m->packs[pack].chunks : 0;
}

/* At least `need` elements, zeroed, growing by half: rows and packs are numbered densely. */
static enum error_kind grow(void **array, size_t *count, size_t need, size_t size, struct error *err)
{
    size_t to = need + need / 2 + 64;
    char *grown;

    if (need <= *count)
        return OK;
    grown = reallocarray(*array, to, size);
    if (!grown)
        return error_set(err, ERR_MEMORY, 0, "out of memory: marks for %zu", need);
    memset(grown + *count * size, 0, (to - *count) * size);
    *array = grown;
    *count = to;
    return OK;
}

/*
 * Marks take memory by the highest number (P11). Numbers up to *_FREE are taken as they come; a greater one must be in proportion to what
 * is there: prunes leave gaps, malice a single row of an enormous number.
 */
#define ROWS_FREE (UINT64_C(1) << 28)
#define PACKS_FREE (UINT64_C(1) << 20)
#define GAPS 64

static enum error_kind check_number(struct mark *m, uint64_t number, uint64_t free_to, const char *count,
                                    uint64_t *limit, struct error *err)
{
    struct index_statement *st = NULL;
    enum error_kind rc = OK;
    bool row = false;

    if (number <= free_to || number <= *limit)
        return OK;
    if (*limit == 0) {
        rc = index_prepare(m->cat->index, count, &st, err);
        if (!rc)
            rc = index_step(st, &row, err);
        if (!rc)
            *limit = free_to + GAPS * (uint64_t)index_number(st, 0);
        index_finish(st);
    }
    return rc || number <= *limit ? rc : index_row_damaged("chunks", err);
}

static enum error_kind set_mark(struct mark *m, const struct chunk_row *row, struct error *err)
{
    void *bits = m->bits;
    void *packs = m->packs;
    enum error_kind rc;

    if (mark_has(m, row->row))
        return OK;
    if (row->row < 0)
        return index_row_damaged("chunks", err);
    rc = check_number(m, (uint64_t)row->row, ROWS_FREE, "SELECT count(*) FROM chunks", &m->row_limit, err);
    if (!rc)
        rc = check_number(m, row->pack, PACKS_FREE, "SELECT count(*) FROM packs", &m->pack_limit, err);
    if (rc)
        return rc;
    rc = grow(&bits, &m->bits_len, (size_t)row->row / 8 + 1, 1, err);
    m->bits = bits;
    if (!rc)
        rc = grow(&packs, &m->pack_cap, (size_t)row->pack + 1, sizeof(*m->packs), err);
    m->packs = packs;
    if (rc)
        return rc;
    m->bits[row->row / 8] |= (unsigned char)(1u << (row->row % 8));
    m->packs[row->pack].bytes += row->len;
    m->packs[row->pack].chunks++;
    return OK;
}

static const char *here(struct mark *m)
{
    return m->path.len > 0 ? (const char *)m->path.data : "the snapshot";
}

static enum error_kind tell(struct mark *m, const char *why, bool *whole, struct error *err)
{
    *whole = false;
    if (m->wrong)
        return m->wrong(m->arg, here(m), why, err);
    error_set(err, ERR_CORRUPT, 0, "%s: %s", here(m), why);
    error_hint(err, "see what is touched: nopsnap verify; if the index is at fault: nopsnap rebuild");
    return ERR_CORRUPT;
}

/*
 * Find a chunk. stands: whether it can be used; if not, it was told.
 */
static enum error_kind find(struct mark *m, const struct chunk_id *id, enum chunk_type type, struct chunk_row *row,
                            bool *stands, bool *whole, struct error *err)
{
    char hex[2 * HASH_LEN + 1];
    char why[160];
    bool found = false;
    enum error_kind rc = index_chunk_find(m->cat->index, id, row, &found, err);

    if (rc)
        return rc;
    *stands = found && chunk_row_stands(row) && row->type == type;
    if (*stands)
        return OK;
    hex_encode(id->hash, HASH_LEN, hex);
    snprintf(why, sizeof(why), "chunk %.8s %s", hex,
             !found              ? "is missing"
             : row->damaged      ? "is damaged"
             : row->type != type ? "is of another type"
                                 : "is in a pack that is not in place");
    return tell(m, why, whole, err);
}

/* A read that failed for the data's sake is told like any other fault; others end the run. */
static enum error_kind told_or_failed(struct mark *m, enum error_kind rc, bool *whole, struct error *err)
{
    if (rc == ERR_CORRUPT && m->wrong) {
        rc = tell(m, m->why.text, whole, err);
    } else {
        *whole = false;
        *err = m->why;
    }
    error_clear(&m->why);
    return rc;
}

/*
 * A leaf that is known to be damaged still needs its place: a repair may put good content there. Nothing lies below it, so who wants to
 * know no more than what is needed (wrong is NULL) may go on.
 */
static enum error_kind mark_leaf(struct mark *m, const struct chunk_id *id, enum chunk_type type, bool *whole,
                                 struct error *err)
{
    struct chunk_row row;
    bool stands = false;
    bool found = false;
    enum error_kind rc;

    if (!m->wrong && type != CHUNK_PART) {
        rc = index_chunk_find(m->cat->index, id, &row, &found, err);
        if (rc || (found && row.in_place && row.type == type))
            return rc ? rc : set_mark(m, &row, err);
    }
    rc = find(m, id, type, &row, &stands, whole, err);
    return rc || !stands ? rc : set_mark(m, &row, err);
}

static enum error_kind mark_list(struct mark *m, const struct chunk_id *id, int level, bool *whole, struct error *err)
{
    struct buffer bytes = BUFFER_INIT(LIST_LEN_MAX);
    struct list_view view;
    struct chunk_row row;
    bool stands = false;
    bool below = true;
    enum error_kind rc = find(m, id, CHUNK_LIST, &row, &stands, whole, err);

    if (rc || !stands || mark_has(m, row.row))
        return rc;
    rc = list_read(m->cat, id, &bytes, &view, &m->why);
    if (!rc && level >= 0 && view.level != (unsigned)level)
        rc = error_set(&m->why, ERR_CORRUPT, 0, "a list of ids has level %u where %d should be", view.level, level);
    if (rc) {
        rc = told_or_failed(m, rc, whole, err);
        goto done;
    }
    for (size_t i = 0; !rc && i < view.count; i++) {
        struct chunk_id each;

        list_view_id(&view, i, &each);
        rc = view.level > 0 ? mark_list(m, &each, (int)view.level - 1, &below, err)
                            : mark_leaf(m, &each, CHUNK_DATA, &below, err);
    }
    if (!rc && below)
        rc = set_mark(m, &row, err);
    *whole = *whole && below;

done:
    buffer_release(&bytes);
    return rc;
}

static enum error_kind mark_tree(struct mark *m, const struct chunk_id *id, unsigned depth, bool *whole,
                                 struct error *err);

static enum error_kind mark_below(struct mark *m, struct tree_reader *r, const struct chunk_id *id, unsigned depth,
                                  bool *whole, struct error *err)
{
    struct chunk_id tree = *id; /* it is the reader's, which may be parked */
    size_t held = m->held;
    enum error_kind rc;

    if (held + tree_reader_memory(r) > TREE_HELD_MAX)
        tree_reader_park(r);
    else
        m->held += tree_reader_memory(r);
    rc = mark_tree(m, &tree, depth + 1, whole, err);
    m->held = held;
    return rc;
}

static enum error_kind mark_entry(struct mark *m, struct tree_reader *r, const struct tree_entry *e, unsigned depth,
                                  bool *whole, struct error *err)
{
    enum error_kind rc = OK;

    if (e->type == TREE_DIRECTORY)
        return mark_below(m, r, &e->tree, depth, whole, err);
    if (e->type != TREE_FILE)
        return OK;
    if (e->has_list)
        return mark_list(m, &e->list, -1, whole, err);
    for (size_t i = 0; !rc && i < e->chunk_count; i++)
        rc = mark_leaf(m, &e->chunks[i], CHUNK_DATA, whole, err);
    return rc;
}

static enum error_kind push_name(struct mark *m, const struct tree_entry *e, struct error *err)
{
    enum error_kind rc;

    if (e->name_len == 1 && e->name[0] == '.')
        return OK;
    rc = buffer_append_u8(&m->path, '/', err);
    return rc ? rc : buffer_append(&m->path, e->name, e->name_len, err);
}

static enum error_kind mark_entries(struct mark *m, struct tree_reader *r, unsigned depth, bool *whole,
                                    struct error *err)
{
    struct tree_entry e;
    size_t at = m->path.len;
    bool more = true;
    enum error_kind rc = OK;

    while (!rc) {
        rc = tree_reader_next(r, &e, &more, &m->why);
        if (rc)
            return told_or_failed(m, rc, whole, err);
        if (!more)
            break;
        rc = push_name(m, &e, err);
        if (!rc)
            rc = mark_entry(m, r, &e, depth, whole, err);
        m->path.len = at;
        m->path.data[at] = '\0';
    }
    return rc;
}

static enum error_kind mark_parts(struct mark *m, const struct tree_reader *r, bool *whole, struct error *err)
{
    enum error_kind rc = OK;

    for (uint32_t i = 0; !rc && i < tree_reader_parts(r); i++) {
        struct chunk_id part;

        tree_reader_part(r, i, &part);
        rc = mark_leaf(m, &part, CHUNK_PART, whole, err);
    }
    return rc;
}

static enum error_kind mark_tree(struct mark *m, const struct chunk_id *id, unsigned depth, bool *whole,
                                 struct error *err)
{
    struct tree_reader *r = NULL;
    struct chunk_row row;
    bool stands = false;
    bool below = true;
    enum error_kind rc;

    if (depth > TREE_DEPTH_MAX)
        return tell(m, "directories lie deeper than can be", whole, err);
    rc = find(m, id, CHUNK_TREE, &row, &stands, whole, err);
    if (rc || !stands || mark_has(m, row.row))
        return rc;
    rc = tree_reader_open(m->cat, id, &r, &m->why);
    if (rc)
        return told_or_failed(m, rc, whole, err);
    rc = mark_parts(m, r, &below, err);
    if (!rc && below)
        rc = mark_entries(m, r, depth, &below, err);
    if (!rc && below)
        rc = set_mark(m, &row, err);
    *whole = *whole && below;
    tree_reader_close(r);
    return rc;
}

static enum error_kind set_path(struct mark *m, const char *text, struct error *err)
{
    buffer_clear(&m->path);
    return buffer_append_text(&m->path, text, err);
}

static enum error_kind mark_all(struct mark *m, const struct snapshot_record *record, bool *whole, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < record->root_count; i++) {
        rc = set_path(m, record->roots[i].name, err);
        if (!rc)
            rc = mark_tree(m, &record->roots[i].tree, 0, whole, err);
    }
    if (!rc && record->link_count > 0)
        rc = set_path(m, "the list of hard links", err);
    for (size_t i = 0; !rc && i < record->link_count; i++)
        rc = mark_leaf(m, &record->links[i], CHUNK_LINKS, whole, err);
    if (!rc && record->has_dump)
        rc = set_path(m, "the database's dump", err);
    if (!rc && record->has_dump)
        rc = mark_list(m, &record->dump, -1, whole, err);
    return rc;
}

enum error_kind mark_snapshot(struct mark *m, const struct snapshot_record *record, mark_wrong_fn *wrong, void *arg,
                              bool *whole, struct error *err)
{
    enum error_kind rc = index_run(m->cat->index, INDEX_VIEW, err);

    *whole = true;
    m->held = 0;
    m->wrong = wrong;
    m->arg = arg;
    if (!rc)
        rc = mark_all(m, record, whole, err);
    index_rollback(m->cat->index);
    return rc;
}
