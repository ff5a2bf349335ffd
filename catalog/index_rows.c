#include <assert.h>
#include <string.h>

#include "hash.h"
#include "index_internal.h"
#include "text.h"

/* Checksums of rows */

struct row_sum row_sum_of(const char *table)
{
    return (struct row_sum){hash64_of(0, table, strlen(table))};
}

void row_sum_bytes(struct row_sum *s, const void *bytes, size_t len)
{
    /* The running value is the seed of the next field, its length part of it: no two rows run together alike. */
    s->value = hash64_of(s->value ^ (uint64_t)len, bytes, len);
}

void row_sum_number(struct row_sum *s, int64_t n)
{
    unsigned char raw[8];

    for (int i = 0; i < 8; i++)
        raw[i] = (unsigned char)((uint64_t)n >> 8 * i);
    row_sum_bytes(s, raw, sizeof(raw));
}

void row_sum_text(struct row_sum *s, const char *text)
{
    row_sum_number(s, text ? 1 : 0);
    row_sum_bytes(s, text ? text : "", text ? strlen(text) : 0);
}

int64_t row_sum_end(const struct row_sum *s)
{
    return (int64_t)s->value;
}

enum error_kind index_row_damaged(const char *table, struct error *err)
{
    enum error_kind rc = error_set(err, ERR_CORRUPT, 0, "index: a row of table %s is damaged", table);

    error_hint(err, "make the index again from the packs: nopsnap rebuild");
    return rc;
}

/* meta */

static int64_t meta_sum(const char *key, int64_t value)
{
    struct row_sum s = row_sum_of("meta");

    row_sum_text(&s, key);
    row_sum_number(&s, value);
    return row_sum_end(&s);
}

enum error_kind index_meta_get(struct index *ix, const char *key, int64_t *out, struct error *err)
{
    struct index_statement *st = NULL;
    enum error_kind rc;
    bool row = false;

    rc = index_prepare(ix, "SELECT value, sum FROM meta WHERE key = ?1", &st, err);
    if (rc)
        goto done;
    index_bind_text(st, 1, key);
    rc = index_step(st, &row, err);
    if (rc)
        goto done;
    if (!row || meta_sum(key, index_number(st, 0)) != index_number(st, 1))
        rc = index_row_damaged("meta", err);
    else
        *out = index_number(st, 0);

done:
    index_finish(st);
    return rc;
}

enum error_kind index_meta_set(struct index *ix, const char *key, int64_t value, struct error *err)
{
    struct index_statement *st = NULL;
    enum error_kind rc;

    rc = index_prepare(ix, "INSERT OR REPLACE INTO meta (key, value, sum) VALUES (?1, ?2, ?3)", &st, err);
    if (rc)
        goto done;
    index_bind_text(st, 1, key);
    index_bind_number(st, 2, value);
    index_bind_number(st, 3, meta_sum(key, value));
    rc = index_step(st, NULL, err);

done:
    index_finish(st);
    return rc;
}

/* packs */

#define PACK_COLUMNS "number, name, state, kind, size, frames, chunks, generation, made, sum"

static int64_t pack_sum(const struct pack_row *p)
{
    struct row_sum s = row_sum_of("packs");
    const int64_t fields[] = {(int64_t)p->number,     p->state,  p->kind, (int64_t)p->size, p->frames, p->chunks,
                              (int64_t)p->generation, p->made_ns};

    row_sum_bytes(&s, p->name, PACK_NAME_LEN);
    for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
        row_sum_number(&s, fields[i]);
    return row_sum_end(&s);
}

static enum error_kind pack_decode(const struct index_statement *st, struct pack_row *out, struct error *err)
{
    size_t len = 0;
    const void *name = index_bytes(st, 1, &len);

    memset(out, 0, sizeof(*out));
    if (len != PACK_NAME_LEN)
        return index_row_damaged("packs", err);
    memcpy(out->name, name, PACK_NAME_LEN);
    out->number = (uint64_t)index_number(st, 0);
    out->state = (enum pack_state)index_number(st, 2);
    out->kind = (enum pack_kind)index_number(st, 3);
    out->size = (uint64_t)index_number(st, 4);
    out->frames = (uint32_t)index_number(st, 5);
    out->chunks = (uint32_t)index_number(st, 6);
    out->generation = (uint64_t)index_number(st, 7);
    out->made_ns = index_number(st, 8);
    if (pack_sum(out) != index_number(st, 9) || out->state < PACK_ANNOUNCED || out->state > PACK_TO_REMOVE)
        return index_row_damaged("packs", err);
    return OK;
}

static void pack_bind(struct index_statement *st, const struct pack_row *p)
{
    index_bind_number(st, 1, (int64_t)p->number);
    index_bind_bytes(st, 2, p->name, PACK_NAME_LEN);
    index_bind_number(st, 3, p->state);
    index_bind_number(st, 4, p->kind);
    index_bind_number(st, 5, (int64_t)p->size);
    index_bind_number(st, 6, p->frames);
    index_bind_number(st, 7, p->chunks);
    index_bind_number(st, 8, (int64_t)p->generation);
    index_bind_number(st, 9, p->made_ns);
    index_bind_number(st, 10, pack_sum(p));
}

enum error_kind index_pack_add(struct index *ix, struct pack_row *row, struct error *err)
{
    struct index_statement *st = NULL;
    bool have = false;
    enum error_kind rc;

    assert(index_in_transaction(ix));
    /* AUTOINCREMENT's own memory of the highest number, so that none is used twice; the number is part of the row's checksum. */
    rc = index_prepare(ix,
                       "SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'packs'), 0),"
                       " coalesce((SELECT max(number) FROM packs), 0)) + 1",
                       &st, err);
    if (rc)
        goto done;
    rc = index_step(st, &have, err);
    if (rc)
        goto done;
    row->number = (uint64_t)index_number(st, 0);
    index_finish(st);
    st = NULL;
    rc = index_prepare(ix, "INSERT INTO packs (" PACK_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)", &st,
                       err);
    if (rc)
        goto done;
    pack_bind(st, row);
    rc = index_step(st, NULL, err);

done:
    index_finish(st);
    return rc;
}

enum error_kind index_pack_update(struct index *ix, const struct pack_row *row, struct error *err)
{
    struct index_statement *st = NULL;
    enum error_kind rc;

    assert(index_in_transaction(ix));
    rc = index_prepare(ix,
                       "UPDATE packs SET name = ?2, state = ?3, kind = ?4, size = ?5, frames = ?6, chunks = ?7,"
                       " generation = ?8, made = ?9, sum = ?10 WHERE number = ?1",
                       &st, err);
    if (rc)
        goto done;
    pack_bind(st, row);
    rc = index_step(st, NULL, err);
    if (!rc && index_changes(ix) != 1)
        rc = index_row_damaged("packs", err);

done:
    index_finish(st);
    return rc;
}

enum error_kind index_pack_remove(struct index *ix, uint64_t number, struct error *err)
{
    const int64_t numbers[] = {(int64_t)number};

    return index_execute(ix, "DELETE FROM packs WHERE number = ?1", numbers, 1, err);
}

static enum error_kind pack_one(struct index_statement *st, struct pack_row *out, bool *found, struct error *err)
{
    enum error_kind rc;

    *found = false;
    rc = index_step(st, found, err);
    if (!rc && *found)
        rc = pack_decode(st, out, err);
    return rc;
}

enum error_kind index_pack_find(struct index *ix, uint64_t number, struct pack_row *out, bool *found, struct error *err)
{
    struct index_statement *st = NULL;
    enum error_kind rc;

    rc = index_prepare(ix, "SELECT " PACK_COLUMNS " FROM packs WHERE number = ?1", &st, err);
    if (!rc) {
        index_bind_number(st, 1, (int64_t)number);
        rc = pack_one(st, out, found, err);
    }
    index_finish(st);
    return rc;
}

enum error_kind index_pack_find_name(struct index *ix, const unsigned char name[PACK_NAME_LEN], struct pack_row *out,
                                     bool *found, struct error *err)
{
    struct index_statement *st = NULL;
    enum error_kind rc;

    rc = index_prepare(ix, "SELECT " PACK_COLUMNS " FROM packs WHERE name = ?1", &st, err);
    if (!rc) {
        index_bind_bytes(st, 1, name, PACK_NAME_LEN);
        rc = pack_one(st, out, found, err);
    }
    index_finish(st);
    return rc;
}

enum error_kind index_pack_each(struct index *ix, index_pack_fn *fn, void *arg, struct error *err)
{
    struct index_statement *st = NULL;
    struct pack_row pack;
    enum error_kind rc;
    bool row = true;

    rc = index_prepare(ix, "SELECT " PACK_COLUMNS " FROM packs ORDER BY number", &st, err);
    while (!rc) {
        rc = pack_one(st, &pack, &row, err);
        if (rc || !row)
            break;
        rc = fn(arg, &pack, err);
    }
    index_finish(st);
    return rc;
}

/* chunks */

#define CHUNK_SUMMED 88

static int64_t chunk_sum(const struct chunk_row *c)
{
    unsigned char raw[CHUNK_SUMMED] = "chunks";
    const uint64_t fields[] = {c->id.attempt, c->pack, (uint64_t)c->frame << 32 | c->offset,
                               (uint64_t)c->len << 8 | (uint64_t)c->type, c->generation};

    /* One fixed record instead of struct row_sum: a first snapshot makes tens of thousands of these rows. */
    memcpy(raw + 8, c->id.hash, HASH_LEN);
    memcpy(raw + 24, c->second.bytes, HASH_LEN);
    for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
        for (int b = 0; b < 8; b++)
            raw[40 + 8 * i + (size_t)b] = (unsigned char)(fields[i] >> 8 * b);
    }
    return (int64_t)hash64_of(0, raw, sizeof(raw));
}

static enum error_kind chunk_decode(const struct index_statement *st, const struct chunk_id *id, struct chunk_row *out,
                                    struct error *err)
{
    size_t len = 0;
    const void *second = index_bytes(st, 6, &len);

    memset(out, 0, sizeof(*out));
    if (len != HASH_LEN)
        return index_row_damaged("chunks", err);
    memcpy(out->second.bytes, second, HASH_LEN);
    out->id = *id;
    out->row = index_number(st, 0);
    out->pack = (uint64_t)index_number(st, 1);
    out->frame = (uint32_t)index_number(st, 2);
    out->offset = (uint32_t)index_number(st, 3);
    out->len = (uint32_t)index_number(st, 4);
    out->type = (enum chunk_type)index_number(st, 5);
    out->generation = (uint64_t)index_number(st, 7);
    if (chunk_sum(out) != index_number(st, 8))
        return index_row_damaged("chunks", err);
    out->in_place = index_number(st, 9) != 0;
    out->damaged = index_number(st, 10) != 0;
    return OK;
}

enum error_kind index_chunk_find(struct index *ix, const struct chunk_id *id, struct chunk_row *out, bool *found,
                                 struct error *err)
{
    struct index_statement *st = NULL;
    enum error_kind rc;

    *found = false;
    rc = index_prepare(ix,
                       "SELECT c.row, c.pack, c.frame, c.start, c.len, c.type, c.second, c.generation, c.sum,"
                       " EXISTS (SELECT 1 FROM packs p WHERE p.number = c.pack AND p.state = 2),"
                       " EXISTS (SELECT 1 FROM damage d WHERE d.pack = c.pack AND d.frame IN (c.frame, -1))"
                       " FROM chunks c WHERE c.hash = ?1 AND c.attempt = ?2",
                       &st, err);
    if (rc)
        goto done;
    index_bind_bytes(st, 1, id->hash, HASH_LEN);
    index_bind_number(st, 2, id->attempt);
    rc = index_step(st, found, err);
    if (!rc && *found)
        rc = chunk_decode(st, id, out, err);

done:
    index_finish(st);
    return rc;
}

enum error_kind index_chunk_each(struct index *ix, index_chunk_fn *fn, void *arg, struct error *err)
{
    struct index_statement *st = NULL;
    struct chunk_row chunk;
    struct chunk_id id;
    enum error_kind rc;
    bool row = true;

    rc = index_prepare(ix,
                       "SELECT row, pack, frame, start, len, type, second, generation, sum, 0, 0, hash, attempt"
                       " FROM chunks",
                       &st, err);
    while (!rc) {
        const void *hash;
        size_t len = 0;

        rc = index_step(st, &row, err);
        if (rc || !row)
            break;
        hash = index_bytes(st, 11, &len);
        if (len != HASH_LEN) {
            rc = index_row_damaged("chunks", err);
            break;
        }
        memcpy(id.hash, hash, HASH_LEN);
        id.attempt = (uint32_t)index_number(st, 12);
        rc = chunk_decode(st, &id, &chunk, err);
        if (!rc)
            rc = fn(arg, &chunk, err);
    }
    index_finish(st);
    return rc;
}

static void chunk_bind(struct index_statement *st, const struct chunk_row *c)
{
    index_bind_bytes(st, 1, c->id.hash, HASH_LEN);
    index_bind_number(st, 2, c->id.attempt);
    index_bind_number(st, 3, (int64_t)c->pack);
    index_bind_number(st, 4, c->frame);
    index_bind_number(st, 5, c->offset);
    index_bind_number(st, 6, c->len);
    index_bind_number(st, 7, c->type);
    index_bind_bytes(st, 8, c->second.bytes, HASH_LEN);
    index_bind_number(st, 9, (int64_t)c->generation);
    index_bind_number(st, 10, chunk_sum(c));
}

enum error_kind index_chunk_add(struct index *ix, struct chunk_row *row, bool *added, struct error *err)
{
    struct index_statement *st = NULL;
    enum error_kind rc;

    assert(index_in_transaction(ix));
    rc = index_prepare(ix,
                       "INSERT INTO chunks (hash, attempt, pack, frame, start, len, type, second, generation, sum)"
                       " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (hash, attempt) DO NOTHING",
                       &st, err);
    if (rc)
        goto done;
    chunk_bind(st, row);
    rc = index_step(st, NULL, err);
    if (rc)
        goto done;
    *added = index_changes(ix) == 1;
    if (*added)
        row->row = index_last_row(ix);

done:
    index_finish(st);
    return rc;
}

enum error_kind index_chunk_update(struct index *ix, const struct chunk_row *row, struct error *err)
{
    struct index_statement *st = NULL;
    enum error_kind rc;

    assert(index_in_transaction(ix));
    rc = index_prepare(ix,
                       "UPDATE chunks SET hash = ?1, attempt = ?2, pack = ?3, frame = ?4, start = ?5, len = ?6,"
                       " type = ?7, second = ?8, generation = ?9, sum = ?10 WHERE row = ?11",
                       &st, err);
    if (rc)
        goto done;
    chunk_bind(st, row);
    index_bind_number(st, 11, row->row);
    rc = index_step(st, NULL, err);
    if (!rc && index_changes(ix) != 1)
        rc = index_row_damaged("chunks", err);

done:
    index_finish(st);
    return rc;
}

enum error_kind index_chunk_remove(struct index *ix, int64_t row, struct error *err)
{
    return index_execute(ix, "DELETE FROM chunks WHERE row = ?1", &row, 1, err);
}

/* damage */

static int64_t damage_sum(uint64_t pack, int64_t frame, const char *what, int64_t moment_ns)
{
    struct row_sum s = row_sum_of("damage");

    row_sum_number(&s, (int64_t)pack);
    row_sum_number(&s, frame);
    row_sum_text(&s, what);
    row_sum_number(&s, moment_ns);
    return row_sum_end(&s);
}

enum error_kind index_damage_add(struct index *ix, uint64_t pack, int64_t frame, const char *what, struct error *err)
{
    int64_t now = clock_now();
    struct index_statement *st = NULL;
    enum error_kind rc;

    rc = index_prepare(ix, "INSERT OR IGNORE INTO damage (pack, frame, what, moment, sum) VALUES (?1, ?2, ?3, ?4, ?5)",
                       &st, err);
    if (rc)
        goto done;
    index_bind_number(st, 1, (int64_t)pack);
    index_bind_number(st, 2, frame);
    index_bind_text(st, 3, what);
    index_bind_number(st, 4, now);
    index_bind_number(st, 5, damage_sum(pack, frame, what, now));
    rc = index_step(st, NULL, err);

done:
    index_finish(st);
    return rc;
}

enum error_kind index_damage_clear(struct index *ix, uint64_t pack, int64_t frame, struct error *err)
{
    const int64_t numbers[] = {(int64_t)pack, frame};

    return index_execute(ix, "DELETE FROM damage WHERE pack = ?1 AND frame = ?2", numbers, 2, err);
}

static enum error_kind any_row(struct index *ix, const char *sql, bool *out, struct error *err)
{
    struct index_statement *st = NULL;
    enum error_kind rc = index_prepare(ix, sql, &st, err);

    if (!rc)
        rc = index_step(st, out, err);
    index_finish(st);
    return rc;
}

enum error_kind index_damage_any(struct index *ix, bool *out, struct error *err)
{
    return any_row(ix, "SELECT 1 FROM damage WHERE what NOT LIKE '" DAMAGE_SUPERSEDED "%' LIMIT 1", out, err);
}

enum error_kind index_chunk_any(struct index *ix, bool *out, struct error *err)
{
    return any_row(ix, "SELECT 1 FROM chunks LIMIT 1", out, err);
}

enum error_kind index_damage_each(struct index *ix, index_damage_fn *fn, void *arg, struct error *err)
{
    struct index_statement *st = NULL;
    enum error_kind rc;
    bool row = true;

    rc = index_prepare(ix, "SELECT pack, frame, what, moment, sum FROM damage ORDER BY pack, frame", &st, err);
    while (!rc) {
        rc = index_step(st, &row, err);
        if (rc || !row)
            break;
        if (!index_text(st, 2) || damage_sum((uint64_t)index_number(st, 0), index_number(st, 1), index_text(st, 2),
                                             index_number(st, 3)) != index_number(st, 4))
            rc = index_row_damaged("damage", err);
        else
            rc = fn(arg, (uint64_t)index_number(st, 0), index_number(st, 1), index_text(st, 2), index_number(st, 3),
                    err);
    }
    index_finish(st);
    return rc;
}
