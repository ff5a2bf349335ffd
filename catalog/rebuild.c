#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "maintain_internal.h"
#include "rebuild_internal.h"
#include "stat_cache_internal.h"
#include "thread.h"

/*
 * A new index, beside the old one, from the packs alone; then it takes the old one's place.
 *
 *   1  the exclusive lock
 *   2  format.json, or what every pack's header repeats of it: if they disagree, nothing is done
 *   3  a row for each pack and each chunk in its footer; a pack that can't be read whole is damage, and what the old index can prove
 *      about its frames is copied into a new pack
 *   4  rows for snapshots and holds, as the records say; which snapshots stand whole is seen by walking them
 *   5  what has no twin in a pack (history, damage, checks) comes from the old index, row by row, as far as it can be read
 *   6  synced, exchanged, the old one removed
 *
 * Until 6 nothing is taken from the old state, though something may come: missing folders, a lost format.json, in 3 new packs; stat caches
 * go just before 6. A kill after 3 may leave a new pack that the old index does not know: then that one is refused (C1), and the way out is
 * another rebuild.
 */
#define NEW_NAME INDEX_NAME ".new"
#define OLD_NAME INDEX_NAME ".old"
#define LOCK_WAIT_MS 10000
#define HISTORY_MAX 100000
#define OTHERS_SHOWN 4

static enum error_kind report_line(struct rebuild *r, const char *line, struct error *err)
{
    progress_note(r->progress, "%s", line);
    return text_list_add(r->report, line, err);
}

/* ---- 2: the format ---- */

struct format_search {
    struct rebuild *r;
    bool found;
    struct text_list others; /* a line for each pack that says something else than the first */
};

/* Some pack's header, if it can be read and is that pack's. */
static bool read_header(const struct rebuild *r, const unsigned char name[PACK_NAME_LEN], struct pack_header *out)
{
    unsigned char raw[PACK_HEADER_LEN];
    struct error ignored = ERROR_INIT;
    char path[PACK_PATH_MAX];
    bool good = false;
    int fd = -1;

    pack_path(name, false, path);
    if (file_open(r->cat.dirfd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, &fd, &ignored) == OK &&
        file_read_at(fd, raw, sizeof(raw), 0, path, &ignored) == OK)
        good = pack_header_decode(raw, path, out, &ignored) == OK && memcmp(out->name, name, PACK_NAME_LEN) == 0;
    file_close(&fd);
    return good;
}

static enum error_kind try_format(void *arg, const unsigned char name[PACK_NAME_LEN], bool part, uint64_t size,
                                  struct error *err)
{
    struct format_search *s = arg;
    struct pack_header h;
    char path[PACK_PATH_MAX], id[2 * sizeof(h.format.catalogue) + 1];

    (void)size;
    if (part || !read_header(s->r, name, &h))
        return OK;
    if (!s->found)
        s->r->cat.format = h.format;
    s->found = true;
    if (format_equal(&s->r->cat.format, &h.format) || s->others.count == OTHERS_SHOWN)
        return OK;
    pack_path(name, false, path);
    hex_encode(h.format.catalogue, sizeof(h.format.catalogue), id);
    return text_list_addf(&s->others, err, "%s (%s)", id, path);
}

/* Which of them is the catalogue's own, only its owner can say. */
static enum error_kind refuse_mixture(const struct format_search *s, struct error *err)
{
    char id[2 * sizeof(s->r->cat.format.catalogue) + 1];
    char ids[OTHERS_SHOWN * (sizeof(id) + PACK_PATH_MAX + 8)] = "";

    for (size_t i = 0; i < s->others.count; i++)
        snprintf(ids + strlen(ids), sizeof(ids) - strlen(ids), ", %s", s->others.items[i]);
    hex_encode(s->r->cat.format.catalogue, sizeof(s->r->cat.format.catalogue), id);
    error_set(err, ERR_REFUSED, 0, "%s: format.json is lost, and the packs are of more than one catalogue: %s%s",
              s->r->cat.path, id, ids);
    error_hint(err, "move the packs that don't belong here out of packs/, then again: nopsnap rebuild");
    return ERR_REFUSED;
}

static enum error_kind format_from_packs(struct rebuild *r, struct error *err)
{
    struct format_search search = {r, false, TEXT_LIST_INIT};
    enum error_kind rc = OK;

    if (faccessat(r->cat.dirfd, PACKS_NAME, F_OK, 0) == 0)
        rc = pack_file_each(r->cat.dirfd, try_format, &search, err);
    if (!rc && !search.found) {
        rc = error_set(err, ERR_NOT_FOUND, 0, "%s holds no pack that tells of its catalogue", r->cat.path);
        catalog_hint_none(err);
    }
    if (!rc && search.others.count > 0)
        rc = refuse_mixture(&search, err);
    text_list_release(&search.others);
    if (!rc)
        rc = format_check(&r->cat.format, err);
    if (!rc)
        rc = format_write(r->cat.path, &r->cat.format, err);
    return rc ? rc : report_line(r, "format.json was lost or damaged: made again from the packs' headers", err);
}

static enum error_kind find_format(struct rebuild *r, struct error *err)
{
    struct error why = ERROR_INIT;
    enum error_kind rc = format_read(r->cat.dirfd, &r->cat.format, &why);

    if (rc == ERR_NOT_FOUND || rc == ERR_CORRUPT)
        return format_from_packs(r, err);
    if (rc)
        *err = why;
    return rc;
}

/* ---- the generation: above any that anybody has seen ---- */

static enum error_kind look_at_cache(void *arg, const char *name, struct error *err)
{
    struct rebuild *r = arg;
    unsigned char head[STAT_HEADER_LEN];
    struct stat_header h;
    struct error ignored = ERROR_INIT;
    char path[512];
    size_t got = 0;
    int fd = -1;

    (void)err;
    if (snprintf(path, sizeof(path), CACHE_NAME "/%s", name) >= (int)sizeof(path))
        return OK;
    if (file_open(r->cat.dirfd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, &fd, &ignored) != OK)
        return OK;
    if (file_read(fd, head, sizeof(head), &got, path, &ignored) == OK && got == sizeof(head) &&
        stat_header_decode(head, &h) && h.generation > r->generation && h.generation < INT64_MAX)
        r->generation = h.generation;
    file_close(&fd);
    return OK;
}

/* Disposable, and made of ids that this index may no longer have. */
static enum error_kind drop_cache(void *arg, const char *name, struct error *err)
{
    struct rebuild *r = arg;
    struct error ignored = ERROR_INIT;
    size_t len = strlen(name);
    char path[512];

    (void)err;
    if (len > 5 && strcmp(name + len - 5, ".stat") == 0 &&
        snprintf(path, sizeof(path), CACHE_NAME "/%s", name) < (int)sizeof(path))
        (void)file_unlink(r->cat.dirfd, path, &ignored);
    return OK;
}

static void choose_generation(struct rebuild *r)
{
    struct error ignored = ERROR_INIT;
    int64_t old = 0;

    if (r->old && index_meta_get(r->old, "generation", &old, &ignored) == OK && old > 0)
        r->generation = (uint64_t)old;
    (void)folder_each(r->cat.dirfd, CACHE_NAME, look_at_cache, r, &ignored);
    r->cat.generation = ++r->generation;
}

/* ---- 3: packs and chunks ---- */

/* Is this copy what its id says? Only asked for ids that stand twice, so one frame remembered is enough. */
static bool reads_well(struct rebuild *r, const struct pack *pack, const struct footer_chunk *chunk, uint64_t number)
{
    struct error ignored = ERROR_INIT;
    struct hash first, second;

    if (r->frame_pack != number || r->frame_number != chunk->frame) {
        r->frame_pack = number;
        r->frame_number = chunk->frame;
        r->frame_good = pack_frame_read(pack, chunk->frame, &r->frame, &ignored) == OK;
    }
    if (!r->frame_good || chunk->offset > r->frame.len || chunk->len > r->frame.len - chunk->offset)
        return false;
    content_hash(&r->cat.format, chunk->type, r->frame.data + chunk->offset, chunk->len, &first, &second);
    return memcmp(first.bytes, chunk->id.hash, HASH_LEN) == 0 &&
           memcmp(second.bytes, chunk->second.bytes, HASH_LEN) == 0;
}

/* An id that stands twice is one that was repaired, or moved by a prune that did not end. */
static enum error_kind choose_copy(struct rebuild *r, const struct pack *pack, const struct footer_chunk *chunk,
                                   struct chunk_row *row, struct error *err)
{
    struct chunk_row older;
    bool found = false;
    enum error_kind rc = index_chunk_find(r->cat.index, &row->id, &older, &found, err);

    if (rc || !found || !reads_well(r, pack, chunk, row->pack))
        return rc;
    row->row = older.row;
    return index_chunk_update(r->cat.index, row, err);
}

enum error_kind rebuild_add_chunk(struct rebuild *r, const struct pack *pack, const struct footer_chunk *chunk,
                                  uint64_t number, struct error *err)
{
    struct chunk_row row = {.id = chunk->id,
                            .pack = number,
                            .frame = chunk->frame,
                            .offset = chunk->offset,
                            .len = chunk->len,
                            .type = chunk->type,
                            .second = chunk->second,
                            .generation = r->generation};
    bool added = false;
    enum error_kind rc = index_chunk_add(r->cat.index, &row, &added, err);

    return rc || added ? rc : choose_copy(r, pack, chunk, &row, err);
}

static enum error_kind add_whole_pack(struct rebuild *r, const struct pack *pack, struct error *err)
{
    const struct pack_header *h = pack_header_of(pack);
    struct pack_row row = {.state = PACK_IN_PLACE,
                           .kind = h->kind,
                           .size = pack_size(pack),
                           .frames = pack_frame_count(pack),
                           .chunks = pack_chunk_count(pack),
                           .generation = r->generation,
                           .made_ns = h->made_ns};
    enum error_kind rc;

    memcpy(row.name, h->name, PACK_NAME_LEN);
    rc = index_pack_add(r->cat.index, &row, err);
    for (uint32_t i = 0; !rc && i < row.chunks; i++) {
        struct footer_chunk chunk;

        pack_chunk_at(pack, i, &chunk);
        rc = rebuild_add_chunk(r, pack, &chunk, row.number, err);
    }
    return rc;
}

/* Kind and age as the header says; where that is lost too, the kind that makes prune refuse. */
static enum pack_kind look_at_header(const struct rebuild *r, const unsigned char name[PACK_NAME_LEN], int64_t *made_ns)
{
    struct pack_header h;

    if (!read_header(r, name, &h))
        return PACK_RECORDS;
    *made_ns = h.made_ns;
    return h.kind;
}

static enum error_kind add_damaged_pack(struct rebuild *r, const unsigned char name[PACK_NAME_LEN], uint64_t size,
                                        const char *why, struct error *err)
{
    struct pack_row row = {.state = PACK_IN_PLACE, .size = size, .generation = r->generation};
    char path[PACK_PATH_MAX];
    enum error_kind rc;

    pack_path(name, false, path);
    memcpy(row.name, name, PACK_NAME_LEN);
    row.kind = look_at_header(r, name, &row.made_ns);
    rc = index_pack_add(r->cat.index, &row, err);
    if (!rc)
        rc = index_damage_add(r->cat.index, row.number, DAMAGE_WHOLE_PACK, why, err);
    if (!rc)
        rc = report_line(r, why, err);
    if (!rc && row.kind == PACK_DATA)
        rc = text_list_add(&r->damaged, path, err);
    return rc;
}

static enum error_kind add_pack(struct rebuild *r, const struct rebuild_pack *file, struct error *err)
{
    struct error why = ERROR_INIT;
    struct pack *pack = NULL;
    enum error_kind rc = cancel_check(err);

    if (rc)
        return rc;
    rc = pack_open(r->cat.dirfd, file->name, &r->cat.format, &pack, &why);
    if (rc && rc != ERR_CORRUPT) {
        *err = why;
        return rc;
    }
    rc = index_begin(r->cat.index, err);
    if (!rc)
        rc = pack ? add_whole_pack(r, pack, err) : add_damaged_pack(r, file->name, file->size, why.text, err);
    if (!rc)
        rc = index_commit(r->cat.index, err);
    index_rollback(r->cat.index);
    pack_close(pack);
    return rc;
}

static enum error_kind collect_pack(void *arg, const unsigned char name[PACK_NAME_LEN], bool part, uint64_t size,
                                    struct error *err)
{
    struct rebuild *r = arg;
    struct rebuild_pack *to;

    if (part)
        return OK;
    if (r->pack_count == r->pack_cap) {
        size_t cap = r->pack_cap ? 2 * r->pack_cap : 64;
        struct rebuild_pack *grown = reallocarray(r->packs, cap, sizeof(*grown));

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory: %zu packs", cap);
        r->packs = grown;
        r->pack_cap = cap;
    }
    to = &r->packs[r->pack_count++];
    *to = (struct rebuild_pack){.size = size};
    memcpy(to->name, name, PACK_NAME_LEN);
    (void)look_at_header(r, name, &to->made_ns);
    return OK;
}

static int compare_age(const void *x, const void *y)
{
    const struct rebuild_pack *a = x;
    const struct rebuild_pack *b = y;

    if (a->made_ns != b->made_ns)
        return a->made_ns < b->made_ns ? -1 : 1;
    return memcmp(a->name, b->name, PACK_NAME_LEN);
}

static enum error_kind add_packs(struct rebuild *r, struct error *err)
{
    enum error_kind rc = pack_file_each(r->cat.dirfd, collect_pack, r, err);

    if (!rc && r->pack_count > 0)
        qsort(r->packs, r->pack_count, sizeof(*r->packs), compare_age);
    for (size_t i = 0; !rc && i < r->pack_count; i++) {
        rc = add_pack(r, &r->packs[i], err);
        progress_advance(r->progress, i + 1, r->pack_count, "packs");
    }
    return rc;
}

/* ---- 4: records ---- */

struct snapshot_damage {
    struct rebuild *r;
    const char *id;
    uint64_t count;
};

static enum error_kind note_touched(void *arg, const char *path, const char *why, struct error *err)
{
    struct snapshot_damage *d = arg;
    char shown[512], line[1024];

    if (d->count++ > 0)
        return OK; /* one line a snapshot; verify names every file */
    text_name(path, strlen(path), shown, sizeof(shown));
    snprintf(line, sizeof(line), "snapshot %.12s is not whole: %s: %.200s", d->id, shown, why);
    return report_line(d->r, line, err);
}

static enum error_kind complete_snapshot(struct rebuild *r, struct mark *mark, const struct book_entry *e,
                                         struct error *err)
{
    struct snapshot_damage damage = {r, e->id, 0};
    struct snapshot_record record = SNAPSHOT_RECORD_INIT;
    bool whole = false;
    enum error_kind rc = book_snapshot(&r->cat, e, &record, err);

    if (!rc)
        rc = mark_snapshot(mark, &record, note_touched, &damage, &whole, err);
    if (!rc && whole) {
        rc = index_begin(r->cat.index, err);
        if (!rc)
            rc = snapshot_row_complete(r->cat.index, e->id, err);
        if (!rc)
            rc = index_commit(r->cat.index, err);
        index_rollback(r->cat.index);
    }
    snapshot_record_release(&record);
    return rc;
}

static enum error_kind add_records(struct rebuild *r, struct error *err)
{
    struct book book = BOOK_INIT;
    struct mark *mark = NULL;
    enum error_kind rc = book_read(&r->cat, &book, err);

    if (!rc)
        rc = book_apply(&r->cat, &book, err);
    if (!rc)
        rc = mark_new(&r->cat, &mark, err);
    for (size_t i = 0; !rc && i < book.count; i++)
        if (book.items[i].type == CHUNK_SNAPSHOT && !book.items[i].is_void)
            rc = complete_snapshot(r, mark, &book.items[i], err);
    mark_free(mark);
    book_release(&book);
    return rc;
}

/* ---- 5: what only the old index knows ---- */

struct old_events {
    struct catalog_event *items;
    size_t count;
};

static enum error_kind keep_event(void *arg, const struct catalog_event *event, struct error *err)
{
    struct old_events *events = arg;
    struct catalog_event *grown;
    struct catalog_event copy = {.moment_ns = event->moment_ns, .status = event->status};
    enum error_kind rc;

    if (events->count == HISTORY_MAX)
        return ERR_CANCELLED;
    grown = reallocarray(events->items, events->count + 1, sizeof(*grown));
    if (!grown)
        return error_set(err, ERR_MEMORY, 0, "out of memory: %zu events", events->count);
    events->items = grown;
    rc = memory_string(event->site_id, &copy.site_id, err);
    if (!rc)
        rc = memory_string(event->what, &copy.what, err);
    if (!rc && event->detail)
        rc = memory_string(event->detail, &copy.detail, err);
    events->items[events->count++] = copy;
    return rc;
}

static enum error_kind note_gone(void *arg, const struct pack_row *row, struct error *err)
{
    struct rebuild *r = arg;
    struct error ignored = ERROR_INIT;
    struct pack_row now;
    char path[PACK_PATH_MAX];
    char line[PACK_PATH_MAX + 128];
    bool found = false;

    if (row->state != PACK_IN_PLACE || row->kind != PACK_RECORDS ||
        index_pack_find_name(r->cat.index, row->name, &now, &found, &ignored) != OK || found)
        return OK;
    pack_path(row->name, false, path);
    snprintf(line, sizeof(line),
             "%s is gone, and the snapshot, hold or forgetting that it recorded (unless the old index is outdated)",
             path);
    return report_line(r, line, err);
}

/*
 * Lost data shows where a snapshot lacks it; a lost record leaves no trace but in the old index. What that says is a reason to warn, not
 * evidence: an older copy of it may know packs that prune has removed since.
 */
static enum error_kind note_gone_records(struct rebuild *r, struct error *err)
{
    struct error why = ERROR_INIT;
    enum error_kind rc;

    if (!r->old)
        return OK;
    rc = index_pack_each(r->old, note_gone, r, &why);
    if (rc != ERR_MEMORY)
        return OK;
    *err = why;
    return rc;
}

/* As far as it can be read: history is told, never relied upon. */
static enum error_kind copy_history(struct rebuild *r, struct error *err)
{
    struct catalog old = {.path = r->cat.path, .index = r->old};
    struct old_events events = {NULL, 0};
    struct error ignored = ERROR_INIT;
    enum error_kind rc = OK;

    if (!r->old)
        return OK;
    (void)catalog_event_each(&old, NULL, keep_event, &events, &ignored);
    rc = index_begin(r->cat.index, err);
    for (size_t i = events.count; !rc && i > 0; i--) /* they came newest first */
        rc = catalog_event_add(&r->cat, &events.items[i - 1], err);
    if (!rc)
        rc = index_commit(r->cat.index, err);
    index_rollback(r->cat.index);
    for (size_t i = 0; i < events.count; i++) {
        free(events.items[i].site_id);
        free(events.items[i].what);
        free(events.items[i].detail);
    }
    free(events.items);
    return rc;
}

/* ---- 6: exchange ---- */

static enum error_kind remove_index(struct rebuild *r, const char *name, struct error *err)
{
    static const char *const endings[] = {"", "-wal", "-shm", "-journal"};
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < sizeof(endings) / sizeof(*endings); i++) {
        struct error why = ERROR_INIT;
        char path[64];

        snprintf(path, sizeof(path), "%s%s", name, endings[i]);
        rc = file_unlink(r->cat.dirfd, path, &why);
        if (rc == ERR_NOT_FOUND)
            rc = OK;
        else if (rc)
            *err = why;
    }
    return rc;
}

static enum error_kind sync_new(struct rebuild *r, struct error *err)
{
    int fd = -1;
    enum error_kind rc = file_open(r->cat.dirfd, NEW_NAME, O_RDWR | O_NOFOLLOW, 0, &fd, err);

    if (!rc)
        rc = file_sync(fd, NEW_NAME, err);
    file_close(&fd);
    return rc;
}

/*
 * The old file goes aside before its log does, and both before the new file comes: a log must never lie beside an index that it does not
 * belong to, or SQLite would replay it.
 */
static enum error_kind exchange(struct rebuild *r, struct error *err)
{
    static const char *const pairs[][2] = {{INDEX_NAME, OLD_NAME}, {INDEX_NAME "-wal", OLD_NAME "-wal"}};
    struct error ignored = ERROR_INIT;
    enum error_kind rc = remove_index(r, OLD_NAME, err);

    for (size_t i = 0; !rc && i < 2; i++) {
        struct error why = ERROR_INIT;

        if (faccessat(r->cat.dirfd, pairs[i][0], F_OK, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        rc = file_rename(r->cat.dirfd, pairs[i][0], r->cat.dirfd, pairs[i][1], &why);
        if (rc)
            *err = why;
    }
    if (!rc)
        rc = remove_index(r, INDEX_NAME, err); /* its -shm, which means nothing by itself */
    if (!rc)
        rc = file_rename(r->cat.dirfd, NEW_NAME, r->cat.dirfd, INDEX_NAME, err);
    if (!rc)
        rc = directory_sync(AT_FDCWD, r->cat.path, err);
    if (!rc)
        (void)remove_index(r, OLD_NAME, &ignored);
    return rc;
}

/* ---- all of it ---- */

static enum error_kind begin(struct rebuild *r, const char *path, struct error *err)
{
    struct error ignored = ERROR_INIT;
    char *lock = NULL;
    enum error_kind rc = path_real(path, &r->cat.path, err);

    if (!rc)
        rc = file_open(AT_FDCWD, r->cat.path, O_RDONLY | O_DIRECTORY, 0, &r->cat.dirfd, err);
    if (rc == ERR_NOT_FOUND) {
        error_set(err, rc, 0, "there is no catalogue at %s", path);
        catalog_hint_none(err);
    }
    if (rc)
        return rc;
    if (faccessat(r->cat.dirfd, PACKS_NAME, F_OK, 0) != 0 && faccessat(r->cat.dirfd, FORMAT_NAME, F_OK, 0) != 0) {
        error_set(err, ERR_NOT_FOUND, 0, "there is no catalogue at %s", path);
        catalog_hint_none(err);
        return ERR_NOT_FOUND;
    }
    (void)directory_make(r->cat.dirfd, PACKS_NAME, 0700, &ignored);
    (void)directory_make(r->cat.dirfd, LOCKS_NAME, 0700, &ignored);
    (void)directory_make(r->cat.dirfd, CACHE_NAME, 0700, &ignored);
    rc = memory_format(&lock, err, "%s/" LOCKS_NAME "/catalog.lock", r->cat.path);
    if (!rc)
        rc = file_lock_take(&r->cat.lock, lock, LOCK_EXCLUSIVE, LOCK_WAIT_MS, "the catalogue", err);
    free(lock);
    return rc;
}

/* A rebuild that was killed between the renames of exchange() left the old index under its other name. */
static void bring_back_old(struct rebuild *r)
{
    struct error ignored = ERROR_INIT;

    if (faccessat(r->cat.dirfd, INDEX_NAME, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
        faccessat(r->cat.dirfd, OLD_NAME, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    if (faccessat(r->cat.dirfd, OLD_NAME "-wal", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        (void)file_rename(r->cat.dirfd, OLD_NAME "-wal", r->cat.dirfd, INDEX_NAME "-wal", &ignored);
    (void)file_rename(r->cat.dirfd, OLD_NAME, r->cat.dirfd, INDEX_NAME, &ignored);
}

static enum error_kind open_indexes(struct rebuild *r, struct error *err)
{
    struct error ignored = ERROR_INIT;
    char *old = NULL, *new = NULL;
    enum error_kind rc = path_join(r->cat.path, INDEX_NAME, &old, err);

    if (!rc)
        rc = path_join(r->cat.path, NEW_NAME, &new, err);
    bring_back_old(r);
    if (!rc && faccessat(r->cat.dirfd, INDEX_NAME, F_OK, 0) == 0)
        (void)index_open(old, INDEX_WRITE, &r->old, &ignored);
    if (!rc) {
        choose_generation(r);
        rc = remove_index(r, NEW_NAME, err);
    }
    if (!rc)
        rc = catalog_make_index(new, &r->cat.format, (int64_t)r->generation, &r->cat.index, err);
    if (!rc)
        rc = index_open(new, INDEX_WRITE, &r->cat.lookup, err);
    /* Nothing of it counts before the exchange, and before that it is synced once, whole. */
    if (!rc)
        rc = index_run(r->cat.index, "PRAGMA synchronous = OFF", err);
    if (!rc)
        rc = chunk_cache_new(&r->cat.cache, err);
    free(old);
    free(new);
    return rc;
}

/* Everything out of the log and into the file, which alone is exchanged. */
static enum error_kind empty_log(struct rebuild *r, struct error *err)
{
    struct index_statement *st = NULL;
    bool row = false;
    enum error_kind rc;

    index_close(r->cat.lookup); /* a reader would hold the log */
    r->cat.lookup = NULL;
    rc = index_prepare(r->cat.index, "PRAGMA wal_checkpoint(TRUNCATE)", &st, err);
    if (!rc)
        rc = index_step(st, &row, err);
    if (!rc && (!row || index_number(st, 0) != 0))
        rc = error_set(err, ERR_IO, 0, "the new index can't be completed: its log is still in use");
    index_finish(st);
    return rc;
}

static enum error_kind require_no_log(struct rebuild *r, struct error *err)
{
    if (faccessat(r->cat.dirfd, NEW_NAME "-wal", F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        return OK;
    return error_set(err, ERR_IO, 0, "the new index was not completed: " NEW_NAME "-wal is still there");
}

static void close_indexes(struct rebuild *r)
{
    chunk_cache_free(r->cat.cache);
    index_close(r->cat.lookup);
    index_close(r->cat.index); /* the last connection removes the log, which empty_log() has emptied */
    index_close(r->old);
    r->cat.cache = NULL;
    r->cat.lookup = r->cat.index = r->old = NULL;
}

static enum error_kind fill(struct rebuild *r, struct error *err)
{
    enum error_kind rc;

    progress_step(r->progress, "reading what the packs hold");
    rc = add_packs(r, err);
    for (size_t i = 0; !rc && i < r->damaged.count; i++)
        rc = rebuild_salvage(r, r->damaged.items[i], err);
    progress_step(r->progress, "checking what snapshots reach");
    if (!rc)
        rc = add_records(r, err);
    if (!rc)
        rc = note_gone_records(r, err);
    if (!rc)
        rc = copy_history(r, err);
    if (!rc)
        rc = rebuild_copy_notes(r, err);
    return rc;
}

enum error_kind catalog_rebuild(const char *path, const struct progress *progress, struct text_list *report,
                                struct error *err)
{
    struct rebuild r = {.progress = progress, .report = report, .frame = BUFFER_INIT(FRAME_RAW_MAX + 1)};
    struct error ignored = ERROR_INIT;
    enum error_kind rc;

    r.cat.dirfd = -1;
    r.cat.mode = CATALOG_WRITE;
    r.cat.lock = (struct file_lock)FILE_LOCK_INIT;
    pthread_mutex_init(&r.cat.lookup_lock, NULL);
    rc = begin(&r, path, err);
    if (!rc)
        rc = find_format(&r, err);
    if (!rc)
        rc = open_indexes(&r, err);
    if (!rc)
        rc = fill(&r, err);
    if (!rc)
        rc = empty_log(&r, err);
    close_indexes(&r);
    if (!rc)
        rc = require_no_log(&r, err);
    if (!rc)
        rc = sync_new(&r, err);
    if (!rc)
        (void)folder_each(r.cat.dirfd, CACHE_NAME, drop_cache, &r, &ignored);
    if (!rc)
        rc = exchange(&r, err);
    if (rc)
        error_context(err, "rebuilding the index");
    file_lock_drop(&r.cat.lock);
    file_close(&r.cat.dirfd);
    pthread_mutex_destroy(&r.cat.lookup_lock);
    text_list_release(&r.damaged);
    buffer_release(&r.frame);
    free(r.packs);
    free(r.cat.path);
    return rc;
}
