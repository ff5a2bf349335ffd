#include <stdlib.h>
#include <string.h>

#include "record_internal.h"

/* ---- rows ---- */

static int64_t hold_sum(const char *id, const char *snapshot, const char *reason, bool person, int64_t until)
{
    struct row_sum s = row_sum_of("holds");

    row_sum_text(&s, id);
    row_sum_text(&s, snapshot);
    row_sum_text(&s, reason);
    row_sum_number(&s, person);
    row_sum_number(&s, until);
    return row_sum_end(&s);
}

bool hold_is_over(const struct snapshot_hold *hold, int64_t now_ns)
{
    return hold->until_ns != 0 && hold->until_ns <= now_ns;
}

enum error_kind hold_row_add(struct index *ix, const struct small_record *r, struct error *err)
{
    const char *snapshot = r->targets.items[0];
    int64_t sum = hold_sum(r->id, snapshot, r->reason ? r->reason : "", r->by_person, r->until_ns);
    struct index_statement *st = NULL;
    enum error_kind rc = index_prepare(ix,
                                       "INSERT INTO holds (id, snapshot, reason, person, until, sum)"
                                       " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                                       &st, err);

    if (rc)
        return rc;
    index_bind_text(st, 1, r->id);
    index_bind_text(st, 2, snapshot);
    index_bind_text(st, 3, r->reason ? r->reason : "");
    index_bind_number(st, 4, r->by_person);
    index_bind_number(st, 5, r->until_ns);
    index_bind_number(st, 6, sum);
    rc = index_step(st, NULL, err);
    index_finish(st);
    return rc ? rc : table_guard_add(ix, "holds", sum, err);
}

/* A row as it is, checked. The texts belong to the statement. */
static enum error_kind hold_decode(const struct index_statement *st, struct snapshot_hold *out, int64_t *sum,
                                   struct error *err)
{
    const char *id = index_text(st, 0);
    const char *snapshot = index_text(st, 1);
    const char *reason = index_text(st, 2);

    *sum = index_number(st, 5);
    if (!id || !snapshot || !reason || !record_id_valid(id) || !record_id_valid(snapshot) ||
        hold_sum(id, snapshot, reason, index_number(st, 3) != 0, index_number(st, 4)) != *sum)
        return index_row_damaged("holds", err);
    *out = (struct snapshot_hold){.by_person = index_number(st, 3) != 0, .until_ns = index_number(st, 4)};
    memcpy(out->id, id, sizeof(out->id));
    memcpy(out->snapshot, snapshot, sizeof(out->snapshot));
    out->reason = (char *)(uintptr_t)reason;
    return OK;
}

enum error_kind hold_rows_each(struct index *ix, const char *snapshot, snapshot_hold_fn *fn, void *arg,
                               struct error *err)
{
    struct index_statement *st = NULL;
    struct snapshot_hold hold = {.reason = NULL};
    uint64_t total = 0;
    int64_t sum = 0;
    bool row = true;
    enum error_kind rc = index_prepare(ix, "SELECT id, snapshot, reason, person, until, sum FROM holds", &st, err);

    while (!rc) {
        rc = index_step(st, &row, err);
        if (rc || !row)
            break;
        rc = hold_decode(st, &hold, &sum, err);
        if (rc)
            break;
        total += (uint64_t)sum;
        if (!snapshot || strcmp(snapshot, hold.snapshot) == 0)
            rc = fn(arg, &hold, err);
    }
    index_finish(st);
    return rc ? rc : table_guard_check(ix, "holds", total, err);
}

enum error_kind hold_row_remove(struct index *ix, const char *id, struct error *err)
{
    struct index_statement *st = NULL;
    struct snapshot_hold hold = {.reason = NULL};
    int64_t sum = 0;
    bool row = false;
    enum error_kind rc =
        index_prepare(ix, "SELECT id, snapshot, reason, person, until, sum FROM holds WHERE id = ?1", &st, err);

    if (!rc) {
        index_bind_text(st, 1, id);
        rc = index_step(st, &row, err);
    }
    if (!rc && row)
        rc = hold_decode(st, &hold, &sum, err);
    index_finish(st);
    st = NULL;
    if (rc || !row)
        return rc;
    rc = index_prepare(ix, "DELETE FROM holds WHERE id = ?1", &st, err);
    if (!rc) {
        index_bind_text(st, 1, id);
        rc = index_step(st, NULL, err);
    }
    index_finish(st);
    return rc ? rc : table_guard_subtract(ix, "holds", sum, err);
}

static int64_t tombstone_sum(const char *snapshot)
{
    struct row_sum s = row_sum_of("tombstones");

    row_sum_text(&s, snapshot);
    return row_sum_end(&s);
}

enum error_kind tombstone_row_find(struct index *ix, const char *snapshot, bool *found, struct error *err)
{
    struct index_statement *st = NULL;
    enum error_kind rc = index_prepare(ix, "SELECT sum FROM tombstones WHERE snapshot = ?1", &st, err);

    *found = false;
    if (!rc) {
        index_bind_text(st, 1, snapshot);
        rc = index_step(st, found, err);
    }
    if (!rc && *found && index_number(st, 0) != tombstone_sum(snapshot))
        rc = index_row_damaged("tombstones", err);
    index_finish(st);
    return rc;
}

enum error_kind tombstone_row_add(struct index *ix, const char *snapshot, struct error *err)
{
    struct index_statement *st = NULL;
    enum error_kind rc =
        index_prepare(ix, "INSERT OR REPLACE INTO tombstones (snapshot, sum) VALUES (?1, ?2)", &st, err);

    if (!rc) {
        index_bind_text(st, 1, snapshot);
        index_bind_number(st, 2, tombstone_sum(snapshot));
        rc = index_step(st, NULL, err);
    }
    index_finish(st);
    return rc;
}

enum error_kind tombstone_row_remove(struct index *ix, const char *snapshot, struct error *err)
{
    struct index_statement *st = NULL;
    enum error_kind rc = index_prepare(ix, "DELETE FROM tombstones WHERE snapshot = ?1", &st, err);

    if (!rc) {
        index_bind_text(st, 1, snapshot);
        rc = index_step(st, NULL, err);
    }
    index_finish(st);
    return rc;
}

/* ---- collecting ---- */

struct hold_list {
    struct snapshot_hold *items;
    size_t count, cap;
};

static void hold_list_release(struct hold_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->items[i].reason);
    free(l->items);
    *l = (struct hold_list){NULL, 0, 0};
}

static enum error_kind collect_hold(void *arg, const struct snapshot_hold *hold, struct error *err)
{
    struct hold_list *l = arg;
    char *reason = NULL;
    enum error_kind rc;

    if (l->count == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 8;
        struct snapshot_hold *grown = reallocarray(l->items, cap, sizeof(*grown));

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory: %zu holds", cap);
        l->items = grown;
        l->cap = cap;
    }
    rc = memory_string(hold->reason, &reason, err);
    if (rc)
        return rc;
    l->items[l->count] = *hold;
    l->items[l->count++].reason = reason;
    return OK;
}

/* ---- what the room's users see ---- */

/* Rows are collected first, so that the callback may hold and release as it likes. */
enum error_kind snapshot_hold_each(struct catalog *cat, const char *snapshot, snapshot_hold_fn *fn, void *arg,
                                   struct error *err)
{
    struct hold_list list = {NULL, 0, 0};
    enum error_kind rc = hold_rows_each(cat->index, snapshot, collect_hold, &list, err);

    for (size_t i = 0; !rc && i < list.count; i++)
        rc = fn(arg, &list.items[i], err);
    hold_list_release(&list);
    return rc;
}

struct small_rows {
    struct catalog *cat;
    const struct small_record *record;
};

static enum error_kind write_small(struct catalog *cat, struct small_record *r, record_rows_fn *rows, struct error *err)
{
    struct small_rows arg = {cat, r};
    struct buffer bytes = BUFFER_INIT(RECORD_LEN_MAX);
    enum error_kind rc = record_id_new(r->id, err);

    r->made_ns = clock_now();
    if (!rc)
        rc = small_record_encode(r, &bytes, err);
    if (!rc)
        rc = record_write(cat, r->type, bytes.data, bytes.len, rows, &arg, err);
    buffer_release(&bytes);
    return rc;
}

/* The snapshot may have gone between the caller's look and our transaction: looked at again inside it. */
static enum error_kind require_snapshot(struct catalog *cat, const char *id, struct error *err)
{
    struct index_statement *st = NULL;
    bool row = false;
    enum error_kind rc = index_prepare(cat->index, "SELECT 1 FROM snapshots WHERE id = ?1", &st, err);

    if (!rc) {
        index_bind_text(st, 1, id);
        rc = index_step(st, &row, err);
    }
    index_finish(st);
    if (!rc && !row) {
        rc = error_set(err, ERR_NOT_FOUND, 0, "there is no snapshot %s", id);
        error_hint(err, "see which there are: nopsnap list");
    }
    return rc;
}

static enum error_kind hold_rows(void *arg, const struct chunk_id *chunk, struct error *err)
{
    const struct small_rows *a = arg;
    enum error_kind rc = require_snapshot(a->cat, a->record->targets.items[0], err);

    (void)chunk;
    return rc ? rc : hold_row_add(a->cat->index, a->record, err);
}

enum error_kind snapshot_hold_add(struct catalog *cat, const char *snapshot, const char *reason, bool by_person,
                                  int64_t until_ns, char id_out[33], struct error *err)
{
    struct small_record r = SMALL_RECORD_INIT;
    enum error_kind rc = require_snapshot(cat, snapshot, err);

    r.type = CHUNK_HOLD;
    r.by_person = by_person;
    r.until_ns = until_ns;
    if (!rc)
        rc = memory_string(reason, &r.reason, err);
    if (!rc)
        rc = text_list_add(&r.targets, snapshot, err);
    if (!rc)
        rc = write_small(cat, &r, hold_rows, err);
    if (!rc && id_out)
        memcpy(id_out, r.id, sizeof(r.id));
    small_record_release(&r);
    if (rc)
        error_context(err, "holding snapshot %.8s", snapshot);
    return rc;
}

static enum error_kind release_rows(void *arg, const struct chunk_id *chunk, struct error *err)
{
    const struct small_rows *a = arg;
    enum error_kind rc = OK;

    (void)chunk;
    for (size_t i = 0; !rc && i < a->record->targets.count; i++)
        rc = hold_row_remove(a->cat->index, a->record->targets.items[i], err);
    return rc;
}

enum error_kind snapshot_hold_release(struct catalog *cat, const char *snapshot, bool by_person, struct error *err)
{
    struct hold_list list = {NULL, 0, 0};
    struct small_record r = SMALL_RECORD_INIT;
    enum error_kind rc = hold_rows_each(cat->index, snapshot, collect_hold, &list, err);

    r.type = CHUNK_RELEASE;
    for (size_t i = 0; !rc && i < list.count; i++)
        if (by_person || !list.items[i].by_person)
            rc = text_list_add(&r.targets, list.items[i].id, err);
    if (!rc && r.targets.count == 0)
        rc = error_set(err, ERR_NOT_FOUND, 0, "snapshot %.8s is not held%s", snapshot,
                       by_person || list.count == 0 ? "" : " by anything but a person");
    if (!rc)
        rc = write_small(cat, &r, release_rows, err);
    hold_list_release(&list);
    small_record_release(&r);
    return rc;
}

static enum error_kind refuse_hold(void *arg, const struct snapshot_hold *hold, struct error *err)
{
    (void)arg;
    if (hold_is_over(hold, clock_now()))
        return OK;
    error_set(err, ERR_REFUSED, 0, "snapshot %.8s is held: %s", hold->snapshot, hold->reason);
    error_hint(err, "release it first: nopsnap release %.8s", hold->snapshot);
    return ERR_REFUSED;
}

static enum error_kind forget_rows(void *arg, const struct chunk_id *chunk, struct error *err)
{
    const struct small_rows *a = arg;
    enum error_kind rc = OK;

    (void)chunk;
    for (size_t i = 0; !rc && i < a->record->targets.count; i++) {
        const char *id = a->record->targets.items[i];

        rc = hold_rows_each(a->cat->index, id, refuse_hold, NULL, err); /* one may have come since */
        if (!rc)
            rc = snapshot_row_remove(a->cat->index, id, err);
        if (!rc)
            rc = tombstone_row_add(a->cat->index, id, err);
    }
    return rc;
}

enum error_kind snapshot_forget(struct catalog *cat, const char *const *ids, size_t count, struct error *err)
{
    struct small_record r = SMALL_RECORD_INIT;
    enum error_kind rc = OK;

    r.type = CHUNK_TOMBSTONE;
    for (size_t i = 0; !rc && i < count; i++) {
        rc = require_snapshot(cat, ids[i], err);
        if (!rc)
            rc = hold_rows_each(cat->index, ids[i], refuse_hold, NULL, err);
        if (!rc)
            rc = text_list_add(&r.targets, ids[i], err);
    }
    reserve_take_all(cat);
    if (!rc && count > 0)
        rc = write_small(cat, &r, forget_rows, err);
    small_record_release(&r);
    return rc;
}

/* ---- acceptance ---- */

static enum error_kind accept_rows(void *arg, const struct chunk_id *chunk, struct error *err)
{
    const struct small_rows *a = arg;

    (void)chunk;
    return snapshot_row_accept(a->cat->index, a->record->targets.items[0], err);
}

enum error_kind snapshot_accept(struct catalog *cat, const char *snapshot, struct error *err)
{
    struct small_record r = SMALL_RECORD_INIT;
    enum error_kind rc = require_snapshot(cat, snapshot, err);

    r.type = CHUNK_ACCEPT;
    if (!rc)
        rc = text_list_add(&r.targets, snapshot, err);
    if (!rc)
        rc = write_small(cat, &r, accept_rows, err);
    small_record_release(&r);
    return rc;
}
