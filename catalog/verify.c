#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "maintain_internal.h"
#include "thread.h"

/*
 * Three looks, from the outside in:
 *
 *   structure   packs and index know each other, every pack's header, footer and trailer, every footer entry's row
 *   data        every frame's bytes, and every chunk in it against its id (only when asked)
 *   snapshots   what each one reaches stands; what does not is named by the file that it hits
 *
 * What is found damaged is remembered, so that the next snapshot stores it anew (P5); what reads well again is forgotten.
 */

#define MILLION 1000000
#define LINES_MAX 1000u /* of each list in the report: damage can be as large as the shop */

struct verify {
    struct catalog *cat;
    const struct verify_options *options;
    const struct progress *progress;
    struct verify_report *report;
    int64_t deadline_ms; /* 0: none */
    uint64_t damage_count, touched_count;
    bool lost_records;    /* packs of records can't be read */
    bool suspect;         /* damage was known before this run: what reads well is to be forgotten */
    const char *snapshot; /* whose files are being named */
};

void verify_report_release(struct verify_report *r)
{
    text_list_release(&r->damage);
    text_list_release(&r->touched);
}

static enum error_kind add_line(struct text_list *list, uint64_t *count, const char *line, struct error *err)
{
    return (*count)++ < LINES_MAX ? text_list_add(list, line, err) : OK;
}

static enum error_kind end_list(struct text_list *list, uint64_t count, struct error *err)
{
    if (count <= LINES_MAX)
        return OK;
    return text_list_addf(list, err, "and %llu more", (unsigned long long)(count - LINES_MAX));
}

static enum error_kind add_damage(struct verify *v, const char *line, struct error *err)
{
    return add_line(&v->report->damage, &v->damage_count, line, err);
}

/* ---- packs ---- */

struct verify_packs {
    struct verify_pack *items;
    size_t count, cap;
    uint64_t bytes;
};

int64_t check_row_sum(uint64_t pack, int64_t moment_ns)
{
    struct row_sum s = row_sum_of("checks");

    row_sum_number(&s, (int64_t)pack);
    row_sum_number(&s, moment_ns);
    return row_sum_end(&s);
}

enum error_kind check_row_read(struct index *ix, uint64_t pack, int64_t *moment_ns, struct error *err)
{
    struct index_statement *st = NULL;
    bool row = false;
    enum error_kind rc = index_prepare(ix, "SELECT moment, sum FROM checks WHERE pack = ?1", &st, err);

    *moment_ns = 0;
    if (!rc) {
        index_bind_number(st, 1, (int64_t)pack);
        rc = index_step(st, &row, err);
    }
    if (!rc && row && check_row_sum(pack, index_number(st, 0)) == index_number(st, 1))
        *moment_ns = index_number(st, 0);
    index_finish(st);
    return rc;
}

enum error_kind check_row_write(struct index *ix, uint64_t pack, int64_t moment_ns, struct error *err)
{
    struct index_statement *st = NULL;
    enum error_kind rc =
        index_prepare(ix, "INSERT OR REPLACE INTO checks (pack, moment, sum) VALUES (?1, ?2, ?3)", &st, err);

    if (!rc) {
        index_bind_number(st, 1, (int64_t)pack);
        index_bind_number(st, 2, moment_ns);
        index_bind_number(st, 3, check_row_sum(pack, moment_ns));
        rc = index_step(st, NULL, err);
    }
    index_finish(st);
    return rc;
}

/*
 * What verify remembers is no writing command: it is noted also in a catalogue that was opened for reading, unless nobody can write there.
 * An index that is too damaged to take the note is a finding, not the end.
 */
static enum error_kind noted(struct verify *v, enum error_kind rc, const struct error *why, struct error *err)
{
    if (rc == ERR_CORRUPT)
        return add_damage(v, why->text, err);
    if (rc)
        *err = *why;
    return rc;
}

static enum error_kind remember_read(struct verify *v, uint64_t pack, struct error *err)
{
    struct error why = ERROR_INIT;

    if (v->cat->read_only)
        return OK;
    return noted(v, check_row_write(v->cat->index, pack, clock_now(), &why), &why, err);
}

/* Unlike a passing reader's note, this one waits for other writers: the next snapshot repairs what is noted. */
static enum error_kind remember_damage(struct verify *v, uint64_t pack, int64_t frame, const char *what,
                                       struct error *err)
{
    struct error why = ERROR_INIT;

    if (v->cat->read_only)
        return OK;
    return noted(v, index_damage_add(v->cat->index, pack, frame, what, &why), &why, err);
}

/* What was thought damaged and reads well was a passing fault. */
static enum error_kind forget_damage(struct verify *v, const struct pack_row *row, int64_t frame, struct error *err)
{
    struct error why = ERROR_INIT;

    if (!v->suspect || v->cat->read_only)
        return OK;
    return noted(v, index_damage_clear(v->cat->index, row->number, frame, &why), &why, err);
}

static enum error_kind collect_pack(void *arg, const struct pack_row *row, struct error *err)
{
    struct verify_packs *packs = arg;

    if (row->state != PACK_IN_PLACE)
        return OK;
    if (packs->count == packs->cap) {
        size_t cap = packs->cap ? 2 * packs->cap : 64;
        struct verify_pack *grown = reallocarray(packs->items, cap, sizeof(*grown));

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory: %zu packs", cap);
        packs->items = grown;
        packs->cap = cap;
    }
    packs->items[packs->count++] = (struct verify_pack){.row = *row};
    packs->bytes += row->size;
    return OK;
}

static enum error_kind list_packs(struct verify *v, struct verify_packs *packs, struct error *err)
{
    enum error_kind rc = index_pack_each(v->cat->index, collect_pack, packs, err);

    for (size_t i = 0; !rc && i < packs->count; i++)
        rc = check_row_read(v->cat->index, packs->items[i].row.number, &packs->items[i].read_ns, err);
    if (!rc)
        verify_sort(packs->items, packs->count, clock_now());
    v->report->packs = packs->count;
    return rc;
}

static enum error_kind damage_line(struct verify *v, const struct pack_row *row, int64_t frame, const char *what,
                                   struct error *err)
{
    char path[PACK_PATH_MAX];
    char line[2304];

    pack_path(row->name, false, path);
    if (strstr(what, path))
        snprintf(line, sizeof(line), "%s", what);
    else if (frame >= 0)
        snprintf(line, sizeof(line), "%s, frame %lld: %s", path, (long long)frame, what);
    else
        snprintf(line, sizeof(line), "%s: %s", path, what);
    return add_damage(v, line, err);
}

/* C5: every chunk that a pack holds has a row, and a row that points into this pack points to the right place. */
static enum error_kind check_row(struct verify *v, const struct pack_row *row, const struct footer_chunk *chunk,
                                 struct error *err)
{
    struct chunk_row found;
    struct error why = ERROR_INIT;
    bool there = false;
    enum error_kind rc = index_chunk_find(v->cat->index, &chunk->id, &found, &there, &why);

    if (rc == ERR_CORRUPT)
        return damage_line(v, row, -1, why.text, err);
    if (rc) {
        *err = why;
        return rc;
    }
    if (!there)
        return damage_line(v, row, chunk->frame, "index: a chunk of it is not in the index", err);
    if (found.pack != row->number)
        return OK; /* stored twice, or put somewhere else by a prune that did not end: the other copy counts */
    if (found.frame != chunk->frame || found.offset != chunk->offset || found.len != chunk->len ||
        found.type != chunk->type || memcmp(found.second.bytes, chunk->second.bytes, HASH_LEN) != 0)
        return damage_line(v, row, chunk->frame, "index: a chunk of it has another place in the index", err);
    return OK;
}

static enum error_kind pack_is_damaged(struct verify *v, const struct pack_row *row, const struct error *why,
                                       struct error *err)
{
    enum error_kind rc = remember_damage(v, row->number, DAMAGE_WHOLE_PACK, why->text, err);

    return rc ? rc : damage_line(v, row, -1, why->text, err);
}

static enum error_kind check_pack(struct verify *v, const struct pack_row *row, struct error *err)
{
    struct pack *pack = NULL;
    struct error why = ERROR_INIT;
    enum error_kind rc = pack_open(v->cat->dirfd, row->name, &v->cat->format, &pack, &why);

    if (rc == ERR_CORRUPT || rc == ERR_NOT_FOUND)
        return pack_is_damaged(v, row, &why, err);
    if (rc) {
        *err = why;
        return rc;
    }
    if (pack_size(pack) != row->size || pack_header_of(pack)->kind != row->kind)
        rc = damage_line(v, row, -1, "index: its length or kind is not what the index says", err);
    for (uint32_t i = 0; !rc && i < pack_chunk_count(pack); i++) {
        struct footer_chunk chunk;

        pack_chunk_at(pack, i, &chunk);
        rc = check_row(v, row, &chunk, err);
        v->report->chunks++;
    }
    if (!rc)
        rc = forget_damage(v, row, DAMAGE_WHOLE_PACK, err);
    pack_close(pack);
    return rc;
}

static enum error_kind check_packs(struct verify *v, const struct verify_packs *packs, struct error *err)
{
    enum error_kind rc = OK;

    progress_step(v->progress, "checking %zu packs", packs->count);
    for (size_t i = 0; !rc && i < packs->count; i++) {
        rc = cancel_check(err);
        if (!rc)
            rc = check_pack(v, &packs->items[i].row, err);
        progress_advance(v->progress, i + 1, packs->count, "packs");
    }
    return rc;
}

/* ---- data ---- */

/* Every chunk in a frame against its id and its second hash. at: the first footer entry of the frame; left behind it. */
static enum error_kind check_frame(struct verify *v, const struct pack *pack, uint32_t frame, struct buffer *raw,
                                   uint32_t *at, struct error *why)
{
    enum error_kind rc = pack_frame_read(pack, frame, raw, why);

    for (; *at < pack_chunk_count(pack); (*at)++) {
        struct footer_chunk c;
        struct hash first, second;

        pack_chunk_at(pack, *at, &c);
        if (c.frame != frame)
            break;
        if (rc)
            continue;
        if (c.offset > raw->len || c.len > raw->len - c.offset) {
            rc = error_set(why, ERR_CORRUPT, 0, "a chunk lies outside its frame");
            continue;
        }
        content_hash(&v->cat->format, c.type, raw->data + c.offset, c.len, &first, &second);
        if (memcmp(first.bytes, c.id.hash, HASH_LEN) != 0 || memcmp(second.bytes, c.second.bytes, HASH_LEN) != 0)
            rc = error_set(why, ERR_CORRUPT, 0, "a chunk's content does not match its id");
    }
    return rc;
}

static bool out_of_time(const struct verify *v)
{
    return v->deadline_ms != 0 && clock_monotonic_ms() >= v->deadline_ms;
}

/* Nothing leads there any more where what is damaged was stored again, somewhere else. */
static enum error_kind frame_is_damaged(struct verify *v, const struct pack_row *row, const struct pack *pack,
                                        uint32_t frame, const struct error *why, struct error *err)
{
    bool led_to = false;
    char *note = NULL;
    enum error_kind rc = mark_frame(v->cat, NULL, pack, row->number, frame, 0, &led_to, err);

    if (rc == ERR_CORRUPT) { /* the index can't tell: no reason to keep silent */
        error_clear(err);
        led_to = true;
    } else if (rc) {
        return rc;
    }
    if (!led_to) {
        v->report->healed++;
        rc = memory_format(&note, err, DAMAGE_SUPERSEDED "%s", why->text);
        if (!rc)
            rc = remember_damage(v, row->number, frame, note, err);
        free(note);
        return rc;
    }
    rc = remember_damage(v, row->number, frame, why->text, err);
    return rc ? rc : damage_line(v, row, frame, why->text, err);
}

/* *whole: read to its end within the time. */
static enum error_kind read_pack(struct verify *v, const struct pack_row *row, bool *whole, struct error *err)
{
    struct buffer raw = BUFFER_INIT(FRAME_RAW_MAX + 1);
    struct pack *pack = NULL;
    struct error why = ERROR_INIT;
    uint32_t at = 0;
    enum error_kind rc = pack_open(v->cat->dirfd, row->name, &v->cat->format, &pack, &why);

    *whole = false;
    if (rc == ERR_CORRUPT || rc == ERR_NOT_FOUND)
        return OK; /* the look at the structure has told */
    if (rc)
        *err = why;
    for (uint32_t i = 0; !rc && i < pack_frame_count(pack); i++) {
        v->report->out_of_time = out_of_time(v);
        rc = cancel_check(err);
        if (rc || v->report->out_of_time)
            goto done;
        rc = check_frame(v, pack, i, &raw, &at, &why);
        if (rc == ERR_CORRUPT) {
            rc = frame_is_damaged(v, row, pack, i, &why, err);
            error_clear(&why);
        } else if (rc) {
            *err = why;
        } else {
            rc = forget_damage(v, row, i, err);
        }
        v->report->frames_read++;
        v->report->bytes_read += raw.len;
    }
    *whole = rc == OK;

done:
    pack_close(pack);
    buffer_release(&raw);
    return rc;
}

/* As much as the options say, in the order of the list. Returns the bytes. */
static uint64_t choose_packs(const struct verify *v, struct verify_packs *packs)
{
    const struct verify_options *o = v->options;
    struct verify_rhythm rhythm = {clock_now(), o->within_ms * MILLION, o->interval_ms * MILLION};
    bool all = o->per_million <= 0 || o->per_million >= MILLION;
    double wanted = (double)packs->bytes / MILLION * o->per_million;
    uint64_t due = 0;

    if (o->within_ms > 0)
        return verify_due(packs->items, packs->count, &rhythm);
    for (size_t i = 0; i < packs->count && (all || (double)due < wanted); i++) {
        packs->items[i].due = true;
        due += packs->items[i].row.size;
    }
    return due;
}

static enum error_kind read_packs(struct verify *v, struct verify_packs *packs, struct error *err)
{
    uint64_t due = choose_packs(v, packs);
    uint64_t done = 0;
    bool whole = true;
    enum error_kind rc = OK;

    progress_step(v->progress, "reading %.3g %% of the data",
                  packs->bytes ? (double)due * 100 / (double)packs->bytes : 100.0);
    for (size_t i = 0; !rc && i < packs->count && !v->report->out_of_time; i++) {
        if (!packs->items[i].due)
            continue;
        rc = read_pack(v, &packs->items[i].row, &whole, err);
        if (rc || !whole)
            continue;
        rc = remember_read(v, packs->items[i].row.number, err);
        packs->items[i].read_ns = clock_now();
        v->report->packs_read++;
        done += packs->items[i].row.size;
        progress_advance(v->progress, done, due, "B");
    }
    return rc;
}

static int64_t oldest_unread(const struct verify_packs *packs)
{
    int64_t oldest = 0;

    for (size_t i = 0; i < packs->count; i++) {
        int64_t at = verify_pack_since(&packs->items[i]);

        if (oldest == 0 || at < oldest)
            oldest = at;
    }
    return oldest;
}

/* ---- snapshots ---- */

static enum error_kind touched(void *arg, const char *path, const char *why, struct error *err)
{
    struct verify *v = arg;
    char shown[1024];
    char line[1400];

    text_name(path, strlen(path), shown, sizeof(shown));
    snprintf(line, sizeof(line), "snapshot %.12s %s (%.256s)", v->snapshot, shown, why);
    return add_line(&v->report->touched, &v->touched_count, line, err);
}

static enum error_kind check_snapshot(struct verify *v, struct mark *mark, const struct book_entry *e, bool *whole,
                                      struct error *err)
{
    struct snapshot_record record = SNAPSHOT_RECORD_INIT;
    struct error why = ERROR_INIT;
    enum error_kind rc = book_snapshot(v->cat, e, &record, &why);

    v->snapshot = e->id;
    *whole = false;
    if (rc == ERR_CORRUPT)
        rc = add_damage(v, why.text, err);
    else if (rc)
        *err = why;
    else
        rc = mark_snapshot(mark, &record, touched, v, whole, err);
    snapshot_record_release(&record);
    return rc;
}

/* A snapshot whose row is not there is in no list, and one whose record is not there cannot be restored. */
static enum error_kind compare_with_rows(struct verify *v, const struct book *book, struct error *err)
{
    struct snapshot_shadows rows = {NULL, 0, 0};
    struct error why = ERROR_INIT;
    size_t standing = 0;
    enum error_kind rc = snapshot_shadows_read(v->cat->index, NULL, &rows, &why);

    if (rc == ERR_CORRUPT)
        rc = add_damage(v, why.text, err);
    else if (rc)
        *err = why;
    for (size_t i = 0; !rc && i < rows.count; i++) {
        const struct book_entry *e = book_find(book, CHUNK_SNAPSHOT, rows.items[i].row.id);
        char line[128];

        if (e && !e->is_void)
            continue;
        snprintf(line, sizeof(line), "index: snapshot %.12s has no record that can be read", rows.items[i].row.id);
        rc = add_damage(v, line, err);
    }
    for (size_t i = 0; i < book->count; i++)
        standing += book->items[i].type == CHUNK_SNAPSHOT && !book->items[i].is_void;
    if (!rc && standing > rows.count)
        rc = add_damage(v, "index: a snapshot's record has no row in the index", err);
    snapshot_shadows_release(&rows);
    return rc;
}

static enum error_kind check_snapshots(struct verify *v, struct error *err)
{
    struct book book = BOOK_INIT;
    struct mark *mark = NULL;
    bool whole = true;
    enum error_kind rc = book_read(v->cat, &book, err);

    if (!rc)
        rc = mark_new(v->cat, &mark, err);
    if (!rc)
        rc = compare_with_rows(v, &book, err);
    v->lost_records = book.damage.count > 0;
    for (size_t i = 0; !rc && i < book.damage.count; i++)
        rc = add_damage(v, book.damage.items[i], err);
    progress_step(v->progress, "checking what snapshots reach");
    for (size_t i = 0; !rc && i < book.count; i++) {
        if (book.items[i].type != CHUNK_SNAPSHOT || book.items[i].is_void)
            continue;
        rc = cancel_check(err);
        if (!rc)
            rc = check_snapshot(v, mark, &book.items[i], &whole, err);
        v->report->snapshots++;
        progress_advance(v->progress, v->report->snapshots, 0, "snapshots");
    }
    mark_free(mark);
    book_release(&book);
    return rc;
}

/* ---- all of it ---- */

static enum error_kind check_index(struct verify *v, struct error *err)
{
    struct index_statement *st = NULL;
    bool row = false;
    char line[512];
    enum error_kind rc = index_prepare(v->cat->index, "PRAGMA quick_check(1)", &st, err);

    if (!rc)
        rc = index_step(st, &row, err);
    if (!rc && row && index_text(st, 0) && strcmp(index_text(st, 0), "ok") != 0) {
        snprintf(line, sizeof(line), "index: %s", index_text(st, 0));
        rc = add_damage(v, line, err);
    }
    index_finish(st);
    return rc;
}

/* Writing commands refuse such a catalogue, so no snapshot can mend it before a rebuild has. */
static bool index_is_to_blame(const struct verify *v)
{
    const struct text_list *damage = &v->report->damage;

    if (v->touched_count == 0 && damage->count > 0 && strstr(damage->items[0], "index:"))
        return true;
    for (size_t i = 0; i < damage->count; i++)
        if (strstr(damage->items[i], "index and packs disagree"))
            return true;
    return false;
}

static void counted(uint64_t n, const char *what, const char *how, char out[64])
{
    if (n == 0)
        (void)snprintf(out, 64, "no %s%s", what, how);
    else
        (void)snprintf(out, 64, "%llu %s%s%s", (unsigned long long)n, what, n == 1 ? "" : "s", how);
}

static enum error_kind verdict(struct verify *v, struct error *err)
{
    uint64_t damage = v->damage_count + v->touched_count;
    char places[64];
    char files[64];
    enum error_kind rc = end_list(&v->report->damage, v->damage_count, err);

    if (!rc)
        rc = end_list(&v->report->touched, v->touched_count, err);
    if (rc || damage == 0)
        return rc;
    counted(v->damage_count, "place", "", places);
    counted(v->touched_count, "file", " touched", files);
    if (v->damage_count == 0) /* remembered: nothing of it was read now */
        error_set(err, ERR_CORRUPT, 0, "damage in the catalogue %s that is known from before: %s", v->cat->path, files);
    else
        error_set(err, ERR_CORRUPT, 0, "damage in the catalogue %s: %s, %s", v->cat->path, places, files);
    if (v->lost_records)
        error_hint(err, HINT_RECORDS);
    else if (index_is_to_blame(v))
        error_hint(err, "make the index again from the packs: nopsnap rebuild");
    else
        error_hint(err, "take a snapshot now: whatever the shop still has is then stored anew in the damaged places");
    return ERR_CORRUPT;
}

enum error_kind catalog_verify(struct catalog *cat, const struct verify_options *options,
                               const struct progress *progress, struct verify_report *out, struct error *err)
{
    struct verify v = {.cat = cat, .options = options, .progress = progress, .report = out};
    struct verify_packs packs = {.items = NULL};
    struct error why = ERROR_INIT;
    enum error_kind rc;

    memset(out, 0, sizeof(*out));
    if (options->budget_ms > 0)
        v.deadline_ms = clock_monotonic_ms() + options->budget_ms;
    rc = catalog_check_packs(cat, &why);
    if (rc == ERR_CORRUPT)
        rc = add_damage(&v, why.text, err);
    else if (rc)
        *err = why;
    if (!rc)
        rc = check_index(&v, err);
    if (!rc)
        rc = index_damage_any(cat->index, &v.suspect, err);
    if (!rc)
        rc = list_packs(&v, &packs, err);
    if (!rc)
        rc = check_packs(&v, &packs, err);
    if (!rc && options->read_data)
        rc = read_packs(&v, &packs, err);
    if (!rc)
        rc = check_snapshots(&v, err);
    out->oldest_unread_ns = oldest_unread(&packs);
    free(packs.items);
    return rc ? rc : verdict(&v, err);
}

/* ---- one snapshot ---- */

/* Is anything of this frame reached? *at is its first footer entry. */
static void pass_frame(const struct pack *pack, uint32_t frame, uint32_t *at)
{
    struct footer_chunk c;

    for (; *at < pack_chunk_count(pack); (*at)++) {
        pack_chunk_at(pack, *at, &c);
        if (c.frame != frame)
            break;
    }
}

/* All of it, so that the next snapshot stores anew whatever is damaged; the first that is found is the one that is told. */
static void note_reached(struct verify *v, uint64_t pack, int64_t frame, const struct error *why, struct error *first)
{
    catalog_note_damage(v->cat, pack, frame, why->text);
    if (first->kind == OK) {
        *first = *why;
        first->kind = ERR_CORRUPT;
    }
}

static enum error_kind read_reached(struct verify *v, const struct mark *mark, const struct pack_row *row,
                                    struct error *first, struct error *err)
{
    struct buffer raw = BUFFER_INIT(FRAME_RAW_MAX + 1);
    struct pack *pack = NULL;
    struct error why = ERROR_INIT;
    uint32_t at = 0;
    bool reached = false;
    enum error_kind rc = pack_open(v->cat->dirfd, row->name, &v->cat->format, &pack, &why);

    if (rc == ERR_CORRUPT || rc == ERR_NOT_FOUND) {
        note_reached(v, row->number, DAMAGE_WHOLE_PACK, &why, first);
        return OK;
    }
    if (rc)
        *err = why;
    for (uint32_t i = 0; !rc && i < pack_frame_count(pack); i++) {
        rc = cancel_check(err);
        if (!rc)
            rc = mark_frame(v->cat, mark, pack, row->number, i, at, &reached, err);
        if (rc || !reached) {
            pass_frame(pack, i, &at);
            continue;
        }
        error_clear(&why);
        rc = check_frame(v, pack, i, &raw, &at, &why);
        if (rc == ERR_CORRUPT) {
            note_reached(v, row->number, i, &why, first);
            rc = OK;
        } else if (rc) {
            *err = why;
        }
    }
    pack_close(pack);
    buffer_release(&raw);
    return rc;
}

enum error_kind snapshot_verify(struct catalog *cat, const struct snapshot_record *record,
                                const struct progress *progress, struct error *err)
{
    struct verify v = {.cat = cat, .progress = progress};
    struct verify_packs packs = {.items = NULL};
    struct error first = ERROR_INIT;
    struct mark *mark = NULL;
    uint64_t done = 0;
    bool whole = true;
    enum error_kind rc = mark_new(cat, &mark, err);

    if (!rc)
        rc = mark_snapshot(mark, record, NULL, NULL, &whole, err);
    if (!rc)
        rc = index_pack_each(cat->index, collect_pack, &packs, err);
    for (size_t i = 0; !rc && i < packs.count; i++) {
        uint64_t bytes = mark_pack_bytes(mark, packs.items[i].row.number);

        if (!bytes)
            continue;
        rc = read_reached(&v, mark, &packs.items[i].row, &first, err);
        done += bytes;
        progress_advance(progress, done, 0, "bytes");
    }
    if (!rc && first.kind) {
        *err = first;
        rc = ERR_CORRUPT;
    }
    if (rc)
        error_context(err, "reading snapshot %.8s back", record->id);
    mark_free(mark);
    free(packs.items);
    return rc;
}
