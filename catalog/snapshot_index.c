#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "chunk.h"
#include "record_internal.h"

/* ---- guards ---- */

/* A guard that was never set is that of an empty table. */
static enum error_kind guard_get(struct index *ix, const char *key, uint64_t *out, struct error *err)
{
    struct index_statement *st = NULL;
    bool row = false;
    int64_t value = 0;
    enum error_kind rc = index_prepare(ix, "SELECT 1 FROM meta WHERE key = ?1", &st, err);

    if (!rc) {
        index_bind_text(st, 1, key);
        rc = index_step(st, &row, err);
    }
    index_finish(st);
    if (!rc && row)
        rc = index_meta_get(ix, key, &value, err);
    if (!rc)
        *out = (uint64_t)value;
    return rc;
}

static enum error_kind guard_change(struct index *ix, const char *table, uint64_t by, struct error *err)
{
    char *key = NULL;
    uint64_t total = 0;
    enum error_kind rc = memory_format(&key, err, "guard:%s", table);

    assert(index_in_transaction(ix));
    if (!rc)
        rc = guard_get(ix, key, &total, err);
    if (!rc)
        rc = index_meta_set(ix, key, (int64_t)(total + by), err);
    free(key);
    return rc;
}

enum error_kind table_guard_add(struct index *ix, const char *table, int64_t sum, struct error *err)
{
    return guard_change(ix, table, (uint64_t)sum, err);
}

enum error_kind table_guard_subtract(struct index *ix, const char *table, int64_t sum, struct error *err)
{
    return guard_change(ix, table, 0 - (uint64_t)sum, err);
}

enum error_kind table_guard_check(struct index *ix, const char *table, uint64_t total, struct error *err)
{
    char *key = NULL;
    uint64_t expected = 0;
    enum error_kind rc = memory_format(&key, err, "guard:%s", table);

    if (!rc)
        rc = guard_get(ix, key, &expected, err);
    if (!rc && expected != total)
        rc = index_row_damaged(table, err);
    free(key);
    return rc;
}

/* ---- rows of snapshots ---- */

#define SNAPSHOT_COLUMNS \
    "id, site, path, name, version, made, kind, part, files, bytes, dump, stored, flags, tags, hash, attempt, sum, row"
#define ORDER_MAX (INT64_MAX / 2) /* whatever date a record from elsewhere claims, there is room behind it */

static int64_t shadow_sum(const struct snapshot_shadow *s)
{
    const struct snapshot_row *r = &s->row;
    struct row_sum sum = row_sum_of("snapshots");
    const char *texts[] = {r->id, r->site_id, r->site_path, r->site_name, r->nop_version, r->tags};
    const int64_t numbers[] = {r->made_ns,
                               r->kind,
                               r->part,
                               (int64_t)r->files,
                               (int64_t)r->bytes,
                               (int64_t)r->dump_bytes,
                               (int64_t)r->bytes_stored,
                               s->flags,
                               s->chunk.attempt};

    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        row_sum_text(&sum, texts[i]);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
        row_sum_number(&sum, numbers[i]);
    row_sum_bytes(&sum, s->chunk.hash, HASH_LEN);
    return row_sum_end(&sum);
}

static void shadow_release(struct snapshot_shadow *s)
{
    free(s->row.site_id);
    free(s->row.site_path);
    free(s->row.site_name);
    free(s->row.nop_version);
    free(s->row.tags);
    memset(s, 0, sizeof(*s));
}

void snapshot_shadows_release(struct snapshot_shadows *s)
{
    for (size_t i = 0; i < s->count; i++)
        shadow_release(&s->items[i]);
    free(s->items);
    *s = (struct snapshot_shadows){NULL, 0, 0};
}

static enum error_kind copy_text(const char *text, char **out, struct error *err)
{
    return text ? memory_string(text, out, err) : OK;
}

static enum error_kind shadow_decode(const struct index_statement *st, struct snapshot_shadow *out, struct error *err)
{
    struct snapshot_shadow s = {.flags = 0};
    const char *id = index_text(st, 0);
    size_t len = 0;
    const void *hash = index_bytes(st, 14, &len);
    enum error_kind rc;

    if (!id || !record_id_valid(id) || !index_text(st, 1) || !index_text(st, 2) || len != HASH_LEN)
        return index_row_damaged("snapshots", err);
    memcpy(s.row.id, id, sizeof(s.row.id));
    memcpy(s.chunk.hash, hash, HASH_LEN);
    s.chunk.attempt = (uint32_t)index_number(st, 15);
    s.row.made_ns = index_number(st, 5);
    s.row.kind = (enum snapshot_kind)index_number(st, 6);
    s.row.part = (enum snapshot_part)index_number(st, 7);
    s.row.files = (uint64_t)index_number(st, 8);
    s.row.bytes = (uint64_t)index_number(st, 9);
    s.row.dump_bytes = (uint64_t)index_number(st, 10);
    s.row.bytes_stored = (uint64_t)index_number(st, 11);
    s.flags = (unsigned)index_number(st, 12);
    s.row.order = index_number(st, 17);
    s.row.suspicious = s.flags & SNAPSHOT_FLAG_SUSPICIOUS;
    s.row.warned = s.flags & SNAPSHOT_FLAG_WARNED;
    s.row.accepted = s.flags & SNAPSHOT_FLAG_ACCEPTED;
    rc = copy_text(index_text(st, 1), &s.row.site_id, err);
    if (!rc)
        rc = copy_text(index_text(st, 2), &s.row.site_path, err);
    if (!rc)
        rc = copy_text(index_text(st, 3), &s.row.site_name, err);
    if (!rc)
        rc = copy_text(index_text(st, 4), &s.row.nop_version, err);
    if (!rc)
        rc = copy_text(index_text(st, 13), &s.row.tags, err);
    if (!rc && shadow_sum(&s) != index_number(st, 16))
        rc = index_row_damaged("snapshots", err);
    if (rc)
        shadow_release(&s);
    else
        *out = s;
    return rc;
}

static enum error_kind shadows_add(struct snapshot_shadows *list, struct snapshot_shadow *s, struct error *err)
{
    if (list->count == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : 64;
        struct snapshot_shadow *grown = reallocarray(list->items, cap, sizeof(*grown));

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory: %zu snapshots", cap);
        list->items = grown;
        list->cap = cap;
    }
    list->items[list->count++] = *s;
    memset(s, 0, sizeof(*s));
    return OK;
}

static enum error_kind mark_held(void *arg, const struct snapshot_hold *hold, struct error *err)
{
    struct snapshot_shadows *list = arg;

    (void)err;
    if (hold_is_over(hold, clock_now()))
        return OK;
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].row.id, hold->snapshot) == 0)
            list->items[i].row.held = true;
    return OK;
}

enum error_kind snapshot_shadows_read(struct index *ix, const char *site_id, struct snapshot_shadows *out,
                                      struct error *err)
{
    struct index_statement *st = NULL;
    uint64_t total = 0;
    bool row = true;
    enum error_kind bad = OK;
    struct error first = ERROR_INIT;
    enum error_kind rc =
        index_prepare(ix, "SELECT " SNAPSHOT_COLUMNS " FROM snapshots ORDER BY made DESC, row DESC", &st, err);

    while (!rc) {
        struct snapshot_shadow s = {.flags = 0};
        struct error one = ERROR_INIT;

        rc = index_step(st, &row, err);
        if (rc || !row)
            break;
        if (shadow_decode(st, &s, &one) != OK) {
            bad = bad ? bad : one.kind;
            error_copy(&first, &one);
            continue;
        }
        assert(s.row.site_id);
        total += (uint64_t)index_number(st, 16);
        if (!site_id || strcmp(site_id, s.row.site_id) == 0)
            rc = shadows_add(out, &s, err);
        shadow_release(&s);
    }
    index_finish(st);
    if (!rc)
        rc = hold_rows_each(ix, NULL, mark_held, out, err);
    if (!rc && bad) {
        *err = first;
        rc = bad;
    }
    return rc ? rc : table_guard_check(ix, "snapshots", total, err);
}

static enum error_kind join_tags(const struct text_list *tags, struct buffer *out, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < tags->count; i++) {
        if (i > 0)
            rc = buffer_append_text(out, ",", err);
        if (!rc)
            rc = buffer_append_text(out, tags->items[i], err);
    }
    return rc;
}

static enum error_kind insert_shadow(struct index *ix, const struct snapshot_shadow *s, struct error *err)
{
    const struct snapshot_row *r = &s->row;
    struct index_statement *st = NULL;
    enum error_kind rc = index_prepare(ix,
                                       "INSERT INTO snapshots (" SNAPSHOT_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6,"
                                       " ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
                                       &st, err);

    if (rc)
        return rc;
    index_bind_text(st, 1, r->id);
    index_bind_text(st, 2, r->site_id);
    index_bind_text(st, 3, r->site_path);
    index_bind_text(st, 4, r->site_name);
    index_bind_text(st, 5, r->nop_version);
    index_bind_number(st, 6, r->made_ns);
    index_bind_number(st, 7, r->kind);
    index_bind_number(st, 8, r->part);
    index_bind_number(st, 9, (int64_t)r->files);
    index_bind_number(st, 10, (int64_t)r->bytes);
    index_bind_number(st, 11, (int64_t)r->dump_bytes);
    index_bind_number(st, 12, (int64_t)r->bytes_stored);
    index_bind_number(st, 13, s->flags);
    index_bind_text(st, 14, r->tags);
    index_bind_bytes(st, 15, s->chunk.hash, HASH_LEN);
    index_bind_number(st, 16, s->chunk.attempt);
    index_bind_number(st, 17, shadow_sum(s));
    index_bind_number(st, 18, r->order);
    rc = index_step(st, NULL, err);
    index_finish(st);
    return rc ? rc : table_guard_add(ix, "snapshots", shadow_sum(s), err);
}

/*
 * The number of a row tells the order of commits, whatever clocks said: behind all others, and its date where that is higher. Then rows that a rebuild
 * makes, by their dates alone, stand among each other and the coming ones as they should.
 */
static enum error_kind next_order(struct index *ix, int64_t made_ns, bool by_date, int64_t *out, struct error *err)
{
    int64_t date = made_ns < 0 ? 0 : made_ns > ORDER_MAX ? ORDER_MAX : made_ns;
    struct index_statement *st = NULL;
    bool row = false;
    enum error_kind rc = index_prepare(
        ix,
        by_date ? "SELECT CASE WHEN EXISTS (SELECT 1 FROM snapshots WHERE row = ?1) THEN"
                  " (SELECT max(row) + 1 FROM snapshots WHERE row >= ?1 AND row < ?1 + 1000000) ELSE ?1 END"
                : "SELECT max(coalesce(max(row) + 1, 0), ?1) FROM snapshots",
        &st, err);

    if (!rc) {
        index_bind_number(st, 1, date);
        rc = index_step(st, &row, err);
    }
    if (!rc && row)
        *out = index_number(st, 0);
    index_finish(st);
    return rc;
}

enum error_kind snapshot_row_add(struct index *ix, const struct snapshot_record *r, const struct chunk_id *chunk,
                                 unsigned flags, bool by_date, struct error *err)
{
    struct buffer tags = BUFFER_INIT(RECORD_LEN_MAX);
    struct snapshot_shadow s = {.flags = 0};
    enum error_kind rc;

    memcpy(s.row.id, r->id, sizeof(s.row.id));
    s.row.site_id = r->site_id;
    s.row.site_path = r->site_path;
    s.row.site_name = r->site_name;
    s.row.nop_version = r->nop_version;
    s.row.made_ns = r->made_ns;
    s.row.kind = r->kind;
    s.row.part = r->part;
    s.row.dump_bytes = r->dump_bytes;
    s.row.bytes_stored = r->bytes_stored;
    for (size_t i = 0; i < r->root_count; i++) {
        s.row.files += r->roots[i].files;
        s.row.bytes += r->roots[i].bytes;
    }
    s.chunk = *chunk;
    s.flags = flags;
    rc = next_order(ix, r->made_ns, by_date, &s.row.order, err);
    if (!rc)
        rc = join_tags(&r->tags, &tags, err);
    s.row.tags = tags.len > 0 ? (char *)tags.data : NULL;
    if (!rc)
        rc = insert_shadow(ix, &s, err);
    buffer_release(&tags);
    return rc;
}

/* One row by its id; *found false if there is none. */
static enum error_kind find_shadow(struct index *ix, const char *id, struct snapshot_shadow *out, bool *found,
                                   struct error *err)
{
    struct index_statement *st = NULL;
    enum error_kind rc = index_prepare(ix, "SELECT " SNAPSHOT_COLUMNS " FROM snapshots WHERE id = ?1", &st, err);

    *found = false;
    if (!rc) {
        index_bind_text(st, 1, id);
        rc = index_step(st, found, err);
    }
    if (!rc && *found)
        rc = shadow_decode(st, out, err);
    index_finish(st);
    return rc;
}

static enum error_kind delete_shadow(struct index *ix, const struct snapshot_shadow *s, struct error *err)
{
    struct index_statement *st = NULL;
    enum error_kind rc = index_prepare(ix, "DELETE FROM snapshots WHERE id = ?1", &st, err);

    if (!rc) {
        index_bind_text(st, 1, s->row.id);
        rc = index_step(st, NULL, err);
    }
    index_finish(st);
    return rc ? rc : table_guard_subtract(ix, "snapshots", shadow_sum(s), err);
}

enum error_kind snapshot_row_remove(struct index *ix, const char *id, struct error *err)
{
    struct snapshot_shadow s = {.flags = 0};
    bool found = false;
    enum error_kind rc = find_shadow(ix, id, &s, &found, err);

    if (rc || !found)
        return rc;
    rc = delete_shadow(ix, &s, err);
    shadow_release(&s);
    return rc;
}

static enum error_kind change_flags(struct index *ix, const char *id, unsigned clear, unsigned set, struct error *err)
{
    struct snapshot_shadow s = {.flags = 0};
    bool found = false;
    enum error_kind rc = find_shadow(ix, id, &s, &found, err);

    if (rc || !found)
        return rc;
    if (((s.flags & ~clear) | set) != s.flags) {
        rc = delete_shadow(ix, &s, err);
        s.flags = (s.flags & ~clear) | set;
        if (!rc)
            rc = insert_shadow(ix, &s, err);
    }
    shadow_release(&s);
    return rc;
}

enum error_kind snapshot_row_accept(struct index *ix, const char *id, struct error *err)
{
    return change_flags(ix, id, SNAPSHOT_FLAG_SUSPICIOUS, SNAPSHOT_FLAG_ACCEPTED, err);
}

enum error_kind snapshot_row_complete(struct index *ix, const char *id, struct error *err)
{
    return change_flags(ix, id, 0, SNAPSHOT_FLAG_COMPLETE, err);
}

enum error_kind snapshot_shadow_record(struct catalog *cat, const struct snapshot_shadow *s,
                                       struct snapshot_record *out, struct error *err)
{
    struct buffer bytes = BUFFER_INIT(RECORD_LEN_MAX);
    struct snapshot_record r = SNAPSHOT_RECORD_INIT;
    enum error_kind rc = chunk_read(cat, &s->chunk, CHUNK_SNAPSHOT, &bytes, err);

    if (!rc)
        rc = snapshot_record_decode(bytes.data, bytes.len, &r, err);
    if (!rc && (strcmp(r.id, s->row.id) != 0 || strcmp(r.site_id, s->row.site_id) != 0)) {
        rc = error_set(err, ERR_CORRUPT, 0, "the index and the record disagree about which snapshot it is");
        error_hint(err, "make the index again from the packs: nopsnap rebuild");
    }
    buffer_release(&bytes);
    if (rc) {
        error_context(err, "snapshot %.8s", s->row.id);
        snapshot_record_release(&r);
        return rc;
    }
    r.suspicious = s->row.suspicious; /* an acceptance clears it without touching the record */
    *out = r;
    return OK;
}

/* ---- what the room's users see ---- */

enum error_kind snapshot_row_each(struct catalog *cat, const char *site_id, snapshot_row_fn *fn, void *arg,
                                  struct error *err)
{
    struct snapshot_shadows list = {NULL, 0, 0};
    struct error later = ERROR_INIT;
    enum error_kind bad = snapshot_shadows_read(cat->index, site_id, &list, &later);
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < list.count; i++)
        rc = fn(arg, &list.items[i].row, err);
    if (!rc && bad) {
        *err = later;
        rc = bad;
    }
    snapshot_shadows_release(&list);
    return rc;
}

enum error_kind snapshot_each(struct catalog *cat, const char *site_id, snapshot_fn *fn, void *arg, struct error *err)
{
    struct snapshot_shadows list = {NULL, 0, 0};
    struct error later = ERROR_INIT;
    enum error_kind bad = snapshot_shadows_read(cat->index, site_id, &list, &later);
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < list.count; i++) {
        struct snapshot_record record = SNAPSHOT_RECORD_INIT;
        struct error one = ERROR_INIT;
        enum error_kind unread = snapshot_shadow_record(cat, &list.items[i], &record, &one);

        if (unread) {
            bad = bad ? bad : unread;
            error_copy(&later, &one);
        } else {
            rc = fn(arg, &record, err);
        }
        snapshot_record_release(&record);
    }
    if (!rc && bad) {
        *err = later;
        rc = bad;
    }
    snapshot_shadows_release(&list);
    return rc;
}

static enum error_kind not_found(struct catalog *cat, const char *id, struct error *err)
{
    bool forgotten = false;

    if (strcmp(id, "latest") == 0) {
        error_set(err, ERR_NOT_FOUND, 0, "there is no snapshot yet");
        error_hint(err, "take one: nopsnap snapshot SITE");
        return ERR_NOT_FOUND;
    }
    if (record_id_valid(id)) {
        enum error_kind rc = tombstone_row_find(cat->index, id, &forgotten, err);

        if (rc)
            return rc;
    }
    error_set(err, ERR_NOT_FOUND, 0, forgotten ? "snapshot %s was forgotten" : "there is no snapshot %s", id);
    error_hint(err, "see which there are: nopsnap list");
    return ERR_NOT_FOUND;
}

#define PREFIX_MIN 4

static enum error_kind choose(struct catalog *cat, const struct snapshot_shadows *list, const char *id,
                              const struct snapshot_shadow **out, struct error *err)
{
    size_t len = strlen(id);
    const struct snapshot_shadow *found = NULL;

    if (strcmp(id, "latest") == 0) {
        if (list->count == 0)
            return not_found(cat, id, err);
        *out = &list->items[0];
        return OK;
    }
    if (len < PREFIX_MIN || len > RECORD_ID_LEN || strspn(id, "0123456789abcdef") != len) {
        error_set(err, ERR_USAGE, 0, "%s is no snapshot's id", id);
        error_hint(err, "give at least %d digits of an id as `nopsnap list` shows it, or `latest`", PREFIX_MIN);
        return ERR_USAGE;
    }
    for (size_t i = 0; i < list->count; i++) {
        if (strncmp(list->items[i].row.id, id, len) != 0)
            continue;
        if (found) {
            error_set(err, ERR_USAGE, 0, "%s could be %.12s or %.12s", id, found->row.id, list->items[i].row.id);
            error_hint(err, "give more digits of the id");
            return ERR_USAGE;
        }
        found = &list->items[i];
    }
    if (!found)
        return not_found(cat, id, err);
    *out = found;
    return OK;
}

enum error_kind snapshot_find(struct catalog *cat, const char *site_id, const char *id, struct snapshot_record *out,
                              struct error *err)
{
    struct snapshot_shadows list = {NULL, 0, 0};
    const struct snapshot_shadow *shadow = NULL;
    struct error later = ERROR_INIT;
    enum error_kind bad = snapshot_shadows_read(cat->index, site_id, &list, &later);
    enum error_kind rc = choose(cat, &list, id, &shadow, err);

    /* A damaged row elsewhere must not keep anybody from a snapshot that was named; but what is not there may be the damaged one. */
    if (bad && (rc || strcmp(id, "latest") == 0)) {
        *err = later;
        rc = bad;
    }
    if (!rc)
        rc = snapshot_shadow_record(cat, shadow, out, err);
    snapshot_shadows_release(&list);
    return rc;
}

enum error_kind snapshot_read(struct catalog *cat, const char *id, struct snapshot_record *out, struct error *err)
{
    struct snapshot_shadow shadow = {.flags = 0};
    bool found = false;
    enum error_kind rc = find_shadow(cat->index, id, &shadow, &found, err);

    if (!rc && !found)
        rc = not_found(cat, id, err);
    if (!rc)
        rc = snapshot_shadow_record(cat, &shadow, out, err);
    shadow_release(&shadow);
    return rc;
}
