#include <stdlib.h>
#include <string.h>

#include "chunk.h"
#include "maintain_internal.h"

void book_release(struct book *b)
{
    for (size_t i = 0; i < b->count; i++)
        text_list_release(&b->items[i].targets);
    free(b->items);
    text_list_release(&b->damage);
    *b = (struct book)BOOK_INIT;
}

static enum error_kind add_entry(struct book *b, struct book_entry *e, struct error *err)
{
    if (b->count == b->cap) {
        size_t cap = b->cap ? 2 * b->cap : 64;
        struct book_entry *grown = reallocarray(b->items, cap, sizeof(*grown));

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory: %zu records", cap);
        b->items = grown;
        b->cap = cap;
    }
    b->items[b->count++] = *e;
    return OK;
}

static enum error_kind note_damage(struct book *b, const struct pack_row *pack, const char *why, struct error *err)
{
    char path[PACK_PATH_MAX];

    pack_path(pack->name, false, path);
    if (b->cat->lookup) /* rebuild, which has none, finds it again at its end */
        catalog_note_damage(b->cat, pack->number, DAMAGE_WHOLE_PACK, why);
    if (strstr(why, path))
        return text_list_addf(&b->damage, err, "a pack of records: %s", why);
    return text_list_addf(&b->damage, err, "%s: a pack of records: %s", path, why);
}

static enum error_kind damaged_pack(void *arg, const struct pack_row *pack, const struct error *why, struct error *err)
{
    return note_damage(arg, pack, why->text, err);
}

static enum error_kind decode(const struct record_place *place, const void *bytes, size_t len, struct book_entry *e,
                              struct error *err)
{
    struct snapshot_record snapshot = SNAPSHOT_RECORD_INIT;
    struct small_record small = SMALL_RECORD_INIT;
    enum error_kind rc;

    if (place->chunk.type == CHUNK_SNAPSHOT) {
        rc = snapshot_record_decode(bytes, len, &snapshot, err);
        if (!rc)
            memcpy(e->id, snapshot.id, sizeof(e->id));
    } else {
        rc = small_record_decode(place->chunk.type, bytes, len, &small, err);
        if (!rc) {
            memcpy(e->id, small.id, sizeof(e->id));
            e->targets = small.targets;
            small.targets = (struct text_list)TEXT_LIST_INIT;
        }
    }
    snapshot_record_release(&snapshot);
    small_record_release(&small);
    return rc;
}

static enum error_kind take_record(void *arg, const struct record_place *place, const void *bytes, size_t len,
                                   struct error *err)
{
    struct book *b = arg;
    struct book_entry e = {.type = place->chunk.type, .pack = place->pack.number, .chunk = place->chunk.id};
    struct error why = ERROR_INIT;
    enum error_kind rc = OK;

    if (!chunk_type_is_record(place->chunk.type)) {
        return note_damage(b, &place->pack, "it holds something else", err);
    }
    rc = decode(place, bytes, len, &e, &why);
    if (rc == ERR_CORRUPT)
        return note_damage(b, &place->pack, why.text, err);
    if (rc)
        *err = why;
    else
        rc = add_entry(b, &e, err);
    if (rc)
        text_list_release(&e.targets);
    return rc;
}

static int compare_entries(const void *x, const void *y)
{
    const struct book_entry *a = x;
    const struct book_entry *b = y;
    int order = ((int)a->type > (int)b->type) - ((int)a->type < (int)b->type);

    return order ? order : strcmp(a->id, b->id);
}

static struct book_entry *find_entry(const struct book *b, enum chunk_type type, const char *id)
{
    struct book_entry key = {.type = type};

    if (!record_id_valid(id))
        return NULL;
    memcpy(key.id, id, sizeof(key.id));
    return b->count ? bsearch(&key, b->items, b->count, sizeof(key), compare_entries) : NULL;
}

const struct book_entry *book_find(const struct book *b, enum chunk_type type, const char *id)
{
    return find_entry(b, type, id);
}

/* Tombstones void snapshots, releases void holds, and a hold on nothing holds nothing. The order of writing plays no part. */
static void apply_voids(struct book *b)
{
    for (size_t i = 0; i < b->count; i++) {
        const struct book_entry *e = &b->items[i];
        enum chunk_type type = e->type == CHUNK_TOMBSTONE ? CHUNK_SNAPSHOT : CHUNK_HOLD;

        for (size_t j = 0; (e->type == CHUNK_TOMBSTONE || e->type == CHUNK_RELEASE) && j < e->targets.count; j++) {
            struct book_entry *target = find_entry(b, type, e->targets.items[j]);

            if (target)
                target->is_void = true;
        }
    }
    for (size_t i = 0; i < b->count; i++) {
        struct book_entry *e = &b->items[i];
        const struct book_entry *held;

        if (e->type != CHUNK_HOLD)
            continue;
        held = find_entry(b, CHUNK_SNAPSHOT, e->targets.items[0]);
        if (!held || held->is_void)
            e->is_void = true;
    }
}

enum error_kind book_read(struct catalog *cat, struct book *out, struct error *err)
{
    struct book b = BOOK_INIT;
    enum error_kind rc;

    b.cat = cat;
    rc = record_each(cat, take_record, damaged_pack, &b, err);

    if (rc) {
        book_release(&b);
        return rc;
    }
    if (b.count > 0)
        qsort(b.items, b.count, sizeof(*b.items), compare_entries);
    apply_voids(&b);
    *out = b;
    return OK;
}

enum error_kind book_snapshot(struct catalog *cat, const struct book_entry *e, struct snapshot_record *out,
                              struct error *err)
{
    struct buffer bytes = BUFFER_INIT(RECORD_LEN_MAX);
    enum error_kind rc = chunk_read(cat, &e->chunk, CHUNK_SNAPSHOT, &bytes, err);

    if (!rc)
        rc = snapshot_record_decode(bytes.data, bytes.len, out, err);
    buffer_release(&bytes);
    if (rc)
        error_context(err, "snapshot %.8s", e->id);
    return rc;
}

/* ---- making the index say the same ---- */

static enum error_kind row_exists(struct index *ix, const char *sql, const char *id, bool *out, struct error *err)
{
    struct index_statement *st = NULL;
    enum error_kind rc = index_prepare(ix, sql, &st, err);

    if (!rc) {
        index_bind_text(st, 1, id);
        rc = index_step(st, out, err);
    }
    index_finish(st);
    return rc;
}

static bool is_accepted(const struct book *b, const char *snapshot)
{
    for (size_t i = 0; i < b->count; i++)
        if (b->items[i].type == CHUNK_ACCEPT && strcmp(b->items[i].targets.items[0], snapshot) == 0)
            return true;
    return false;
}

static enum error_kind adopt_snapshot(struct catalog *cat, const struct book *b, const struct book_entry *e,
                                      struct error *err)
{
    struct snapshot_record r = SNAPSHOT_RECORD_INIT;
    unsigned flags = 0;
    enum error_kind rc = book_snapshot(cat, e, &r, err);

    if (!rc && r.suspicious && !is_accepted(b, e->id))
        flags |= SNAPSHOT_FLAG_SUSPICIOUS;
    if (!rc && r.unread.count > 0)
        flags |= SNAPSHOT_FLAG_WARNED;
    if (!rc)
        rc = index_begin(cat->index, err);
    if (!rc)
        rc = snapshot_row_add(cat->index, &r, &e->chunk, flags, true, err);
    if (!rc)
        rc = index_commit(cat->index, err);
    index_rollback(cat->index);
    snapshot_record_release(&r);
    return rc;
}

static enum error_kind adopt_hold(struct catalog *cat, const struct book_entry *e, struct error *err)
{
    struct buffer bytes = BUFFER_INIT(RECORD_LEN_MAX);
    struct small_record r = SMALL_RECORD_INIT;
    enum error_kind rc = chunk_read(cat, &e->chunk, CHUNK_HOLD, &bytes, err);

    if (!rc)
        rc = small_record_decode(CHUNK_HOLD, bytes.data, bytes.len, &r, err);
    if (!rc)
        rc = index_begin(cat->index, err);
    if (!rc)
        rc = hold_row_add(cat->index, &r, err);
    if (!rc)
        rc = index_commit(cat->index, err);
    index_rollback(cat->index);
    small_record_release(&r);
    buffer_release(&bytes);
    return rc;
}

static enum error_kind bury(struct catalog *cat, const struct book_entry *e, struct error *err)
{
    enum error_kind rc = index_begin(cat->index, err);

    for (size_t i = 0; !rc && i < e->targets.count; i++) {
        rc = snapshot_row_remove(cat->index, e->targets.items[i], err);
        if (!rc)
            rc = tombstone_row_add(cat->index, e->targets.items[i], err);
    }
    if (!rc)
        rc = index_commit(cat->index, err);
    index_rollback(cat->index);
    return rc;
}

static enum error_kind drop_hold(struct catalog *cat, const struct book_entry *e, struct error *err)
{
    enum error_kind rc = index_begin(cat->index, err);

    if (!rc)
        rc = hold_row_remove(cat->index, e->id, err);
    if (!rc)
        rc = index_commit(cat->index, err);
    index_rollback(cat->index);
    return rc;
}

static enum error_kind accept(struct catalog *cat, const struct book *b, const char *snapshot, struct error *err)
{
    const struct book_entry *e = book_find(b, CHUNK_SNAPSHOT, snapshot);
    enum error_kind rc;

    if (!e || e->is_void)
        return OK;
    rc = index_begin(cat->index, err);
    if (!rc)
        rc = snapshot_row_accept(cat->index, snapshot, err);
    if (!rc)
        rc = index_commit(cat->index, err);
    index_rollback(cat->index);
    return rc;
}

/* Has the first of a tombstone's snapshots its row in tombstones? Rows and record were written together, so the others have too. */
static enum error_kind apply_one(struct catalog *cat, const struct book *b, const struct book_entry *e,
                                 struct error *err)
{
    bool there = false;
    enum error_kind rc = OK;

    switch (e->type) {
    case CHUNK_SNAPSHOT:
        rc = row_exists(cat->index, "SELECT 1 FROM snapshots WHERE id = ?1", e->id, &there, err);
        return rc || there || e->is_void ? rc : adopt_snapshot(cat, b, e, err);
    case CHUNK_HOLD:
        rc = row_exists(cat->index, "SELECT 1 FROM holds WHERE id = ?1", e->id, &there, err);
        if (rc || there == !e->is_void)
            return rc;
        return there ? drop_hold(cat, e, err) : adopt_hold(cat, e, err);
    case CHUNK_TOMBSTONE:
        rc = tombstone_row_find(cat->index, e->targets.items[0], &there, err);
        return rc || there ? rc : bury(cat, e, err);
    case CHUNK_ACCEPT:
        return accept(cat, b, e->targets.items[0], err);
    default:
        return OK;
    }
}

enum error_kind book_apply(struct catalog *cat, const struct book *b, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < b->count; i++)
        rc = apply_one(cat, b, &b->items[i], err);
    return rc;
}
