#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "record_internal.h"

/*
 * How a snapshot becomes visible (P4):
 *
 *   1  store_flush(): every chunk is in a pack in place, on disk
 *   2  all that the record reaches is seen to stand (C2); nothing of it can go while we hold the shared lock (C6)
 *   3  the record's own pack: announced, written, synced, renamed, its folder synced
 *   4  one transaction: that pack is in place, and the snapshot's row is there. It looks once more whether damage became known
 *      since 2, or whether somebody made a new index under us
 */

struct commit {
    struct catalog *cat;
    struct snapshot_record *record;
    int64_t damage; /* fingerprint of what is known, as of step 2 */
};

/* Changes with every row of damage that comes or goes. */
static enum error_kind damage_fingerprint(struct index *ix, int64_t *out, struct error *err)
{
    struct index_statement *st = NULL;
    bool row = false;
    enum error_kind rc = index_prepare(ix, "SELECT count(*), coalesce(sum(sum % 1000000007), 0) FROM damage", &st, err);

    if (!rc)
        rc = index_step(st, &row, err);
    if (!rc)
        *out = index_number(st, 0) * 1000003 + index_number(st, 1);
    index_finish(st);
    return rc;
}

static unsigned flags_of(const struct snapshot_record *r)
{
    return (r->suspicious ? SNAPSHOT_FLAG_SUSPICIOUS : 0u) | (r->unread.count > 0 ? SNAPSHOT_FLAG_WARNED : 0u) |
           SNAPSHOT_FLAG_COMPLETE;
}

static enum error_kind commit_rows(void *arg, const struct chunk_id *chunk, struct error *err)
{
    struct commit *c = arg;
    int64_t damage = 0, generation = 0;
    enum error_kind rc = damage_fingerprint(c->cat->index, &damage, err);

    if (!rc)
        rc = index_meta_get(c->cat->index, "generation", &generation, err);
    if (rc)
        return rc;
    if (damage != c->damage || (uint64_t)generation != c->cat->generation) {
        rc = error_set(err, ERR_CORRUPT, 0, "damage was found in the catalogue while the snapshot was made");
        error_hint(err, "see what it touches: nopsnap verify; then take the snapshot again");
        return rc;
    }
    return snapshot_row_add(c->cat->index, c->record, chunk, flags_of(c->record), false, err);
}

/* The newest complete snapshot of the same site. None while damage is known, and none that can't be read: then all is looked at. */
static enum error_kind find_base(struct catalog *cat, const struct snapshot_record *record, struct snapshot_record *out,
                                 bool *found, struct error *err)
{
    struct snapshot_shadows list = {NULL, 0, 0};
    struct error unread = ERROR_INIT;
    bool damaged = false;
    enum error_kind rc = index_damage_any(cat->index, &damaged, err);

    *found = false;
    if (rc || damaged)
        return rc;
    rc = snapshot_shadows_read(cat->index, record->site_id, &list, err);
    for (size_t i = 0; !rc && !*found && i < list.count; i++) {
        if (!(list.items[i].flags & SNAPSHOT_FLAG_COMPLETE) || list.items[i].row.part == SNAPSHOT_DATABASE_ONLY)
            continue;
        if (snapshot_shadow_record(cat, &list.items[i], out, &unread) != OK)
            break;
        *found = true;
    }
    snapshot_shadows_release(&list);
    return rc;
}

static enum error_kind check_reach(struct commit *c, struct error *err)
{
    struct snapshot_record base = SNAPSHOT_RECORD_INIT;
    bool found = false;
    enum error_kind rc = damage_fingerprint(c->cat->index, &c->damage, err);

    if (!rc)
        rc = find_base(c->cat, c->record, &base, &found, err);
    if (!rc)
        rc = reach_check(c->cat, c->record, found ? &base : NULL, err);
    snapshot_record_release(&base);
    return rc;
}

enum error_kind snapshot_commit(struct store *store, struct snapshot_record *record, struct error *err)
{
    struct commit c = {.cat = store_catalog(store), .record = record};
    struct buffer bytes = BUFFER_INIT(2 * RECORD_LEN_MAX);
    struct store_stats stats;
    bool made_id = record->id[0] == '\0';
    enum error_kind rc;

    assert(record->site_id && record->site_path);
    rc = store_flush(store, err);
    if (!rc)
        rc = check_reach(&c, err);
    if (!rc && made_id)
        rc = record_id_new(record->id, err);
    if (rc)
        goto done;
    store_stats(store, &stats);
    if (record->bytes_stored == 0 && record->bytes_new == 0) {
        record->bytes_new = stats.bytes_new;
        record->bytes_stored = stats.bytes_stored;
    }
    rc = snapshot_record_encode(record, &bytes, err);
    if (!rc)
        rc = record_write(c.cat, CHUNK_SNAPSHOT, bytes.data, bytes.len, commit_rows, &c, err);

done:
    if (rc) {
        error_context(err, "committing the snapshot");
        if (made_id)
            record->id[0] = '\0';
    }
    buffer_release(&bytes);
    return rc;
}
