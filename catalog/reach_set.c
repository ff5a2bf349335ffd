#include <stdlib.h>
#include <string.h>

#include "record_internal.h"

#define ROWS_MAX 200000 /* 13 MiB at the most */

struct set_entry {
    struct chunk_id id;
    uint8_t type; /* 0: free */
};

struct reach_set {
    struct set_entry *entries;
    size_t mask;           /* their number, a power of two, less one */
    unsigned char *stands; /* by pack: is it in place? */
    size_t packs;
};

static size_t slot_of(const struct reach_set *s, const struct chunk_id *id)
{
    /* The hash is one already; the attempt tells apart what a weak one would heap up. */
    return (size_t)(get_u64(id->hash) ^ get_u64(id->hash + 8) ^ id->attempt * UINT64_C(0x9e3779b97f4a7c15)) & s->mask;
}

bool reach_set_has(const struct reach_set *s, const struct chunk_id *id, enum chunk_type type)
{
    for (size_t at = slot_of(s, id); s->entries[at].type; at = (at + 1) & s->mask)
        if (chunk_id_equal(&s->entries[at].id, id))
            return s->entries[at].type == (uint8_t)type;
    return false;
}

static enum error_kind note_pack(void *arg, const struct pack_row *row, struct error *err)
{
    struct reach_set *s = arg;

    if (row->state != PACK_IN_PLACE || row->number > 64u * ROWS_MAX)
        return OK; /* a number so great is looked up one by one */
    if (row->number >= s->packs) {
        size_t packs = (size_t)row->number + 1024;
        unsigned char *grown = realloc(s->stands, packs);

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory: %zu packs", packs);
        memset(grown + s->packs, 0, packs - s->packs);
        s->stands = grown;
        s->packs = packs;
    }
    s->stands[row->number] = 1;
    return OK;
}

/* Never more than the table was made for: the rows were counted in the same view of the index. */
static enum error_kind note_chunk(void *arg, const struct chunk_row *row, struct error *err)
{
    struct reach_set *s = arg;
    size_t at = slot_of(s, &row->id);

    (void)err;
    if (row->pack >= s->packs || !s->stands[row->pack])
        return OK;
    while (s->entries[at].type)
        at = (at + 1) & s->mask;
    s->entries[at] = (struct set_entry){row->id, (uint8_t)row->type};
    return OK;
}

static enum error_kind count_rows(struct index *ix, int64_t *out, struct error *err)
{
    struct index_statement *st = NULL;
    bool row = false;
    enum error_kind rc = index_prepare(ix, "SELECT count(*) FROM (SELECT 1 FROM chunks LIMIT 200001)", &st, err);

    _Static_assert(ROWS_MAX == 200000, "the statement has the number");
    if (!rc)
        rc = index_step(st, &row, err);
    if (!rc)
        *out = row ? index_number(st, 0) : 0;
    index_finish(st);
    return rc;
}

static enum error_kind make_entries(struct reach_set *s, size_t rows, struct error *err)
{
    void *memory = NULL;
    size_t count = 1024;
    enum error_kind rc;

    while (count < 2 * rows)
        count *= 2;
    rc = memory_zeroed(count, sizeof(*s->entries), &memory, err);
    s->entries = memory;
    s->mask = count - 1;
    return rc;
}

enum error_kind reach_set_load(struct catalog *cat, struct reach_set **out, struct error *err)
{
    struct reach_set *s = NULL;
    void *memory = NULL;
    int64_t rows = 0;
    bool damaged = false;
    enum error_kind rc = index_damage_any(cat->index, &damaged, err);

    if (!rc && !damaged)
        rc = count_rows(cat->index, &rows, err);
    if (rc || damaged || rows > ROWS_MAX)
        return rc;
    rc = memory_zeroed(1, sizeof(*s), &memory, err);
    if (rc)
        return rc;
    s = memory;
    rc = make_entries(s, (size_t)rows, err);
    if (!rc)
        rc = index_pack_each(cat->index, note_pack, s, err);
    if (!rc)
        rc = index_chunk_each(cat->index, note_chunk, s, err);
    if (rc) {
        reach_set_free(s);
        return rc;
    }
    *out = s;
    return OK;
}

void reach_set_free(struct reach_set *s)
{
    if (!s)
        return;
    free(s->entries);
    free(s->stands);
    free(s);
}
