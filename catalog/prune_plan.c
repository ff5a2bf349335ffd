#include <stdlib.h>
#include <string.h>

#include "prune_internal.h"
#include "thread.h"

#define SMALL_PACK (2u << 20) /* many of these are brought together: each costs a descriptor and a footer to read */
#define SMALL_PACKS_MAX 32
#define UNUSED_PERCENT_DEFAULT 10

/* ---- surveying ---- */

static enum error_kind refuse_damage(const struct book *book, struct error *err)
{
    if (book->damage.count == 0)
        return OK;
    error_set(err, ERR_CORRUPT, 0, "%s: what a record that can't be read needs is not known, so nothing is removed",
              book->damage.items[0]);
    error_hint(err, HINT_RECORDS);
    return ERR_CORRUPT;
}

static enum error_kind mark_standing(struct prune *p, struct error *err)
{
    enum error_kind rc = p->mark ? OK : mark_new(p->cat, &p->mark, err);

    for (size_t i = 0; !rc && i < p->book.count; i++) {
        const struct book_entry *e = &p->book.items[i];
        struct snapshot_record record = SNAPSHOT_RECORD_INIT;
        bool whole = false;

        if (e->type != CHUNK_SNAPSHOT || e->is_void)
            continue;
        rc = cancel_check(err);
        if (!rc)
            rc = book_snapshot(p->cat, e, &record, err);
        if (!rc)
            rc = mark_snapshot(p->mark, &record, NULL, NULL, &whole, err);
        snapshot_record_release(&record);
        if (rc == ERR_CORRUPT) {
            error_context(err, "snapshot %.12s is damaged, so nothing is removed", e->id);
            error_hint(err, "see what is touched: nopsnap verify; or give the snapshot up: nopsnap forget %.12s",
                       e->id);
        }
        progress_advance(p->progress, i + 1, p->book.count, "records");
    }
    return rc;
}

static enum error_kind collect_pack(void *arg, const struct pack_row *row, struct error *err)
{
    struct prune_packs *packs = arg;

    if (packs->count == packs->cap) {
        size_t cap = packs->cap ? 2 * packs->cap : 64;
        struct prune_pack *grown = reallocarray(packs->items, cap, sizeof(*grown));

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory: %zu packs", cap);
        packs->items = grown;
        packs->cap = cap;
    }
    packs->items[packs->count++] = (struct prune_pack){.row = *row};
    return OK;
}

static int compare_numbers(const void *x, const void *y)
{
    uint64_t a = ((const struct prune_pack *)x)->row.number;
    uint64_t b = ((const struct prune_pack *)y)->row.number;

    return (a > b) - (a < b);
}

struct prune_pack *prune_pack_find(struct prune *p, uint64_t number)
{
    struct prune_pack key = {.row.number = number};

    return p->packs.count ? bsearch(&key, p->packs.items, p->packs.count, sizeof(key), compare_numbers) : NULL;
}

/*
 * Only for estimates: what may be removed follows from the marks, whose rows were checked one by one. Chunks that the pack has and no row
 * places in it (they were stored twice, or again because they were damaged here) count as long as the others are on average.
 */
static enum error_kind add_up_chunks(struct prune *p, struct error *err)
{
    struct index_statement *st = NULL;
    bool row = true;
    enum error_kind rc =
        index_prepare(p->cat->index, "SELECT pack, sum(len), count(*) FROM chunks GROUP BY pack", &st, err);

    while (!rc) {
        struct prune_pack *pack;

        rc = index_step(st, &row, err);
        if (rc || !row)
            break;
        pack = prune_pack_find(p, (uint64_t)index_number(st, 0));
        if (pack && index_number(st, 1) > 0)
            pack->raw =
                (uint64_t)((double)index_number(st, 1) *
                           (double)(pack->row.chunks > index_number(st, 2) ? pack->row.chunks : index_number(st, 2)) /
                           (double)index_number(st, 2));
    }
    index_finish(st);
    return rc;
}

/* A pack whose list of chunks can't be read counts as needed. */
static enum error_kind frame_is_used(struct prune *p, const struct prune_pack *pack, int64_t frame, bool *out,
                                     struct error *err)
{
    struct error ignored = ERROR_INIT;
    struct pack *from = NULL;
    enum error_kind rc = OK;

    *out = frame == DAMAGE_WHOLE_PACK || pack_open(p->cat->dirfd, pack->row.name, &p->cat->format, &from, &ignored);
    if (from)
        rc = mark_frame(p->cat, p->mark, from, pack->row.number, (uint32_t)frame, 0, out, err);
    pack_close(from);
    return rc;
}

static enum error_kind note_damage(void *arg, uint64_t pack, int64_t frame, const char *what, int64_t moment_ns,
                                   struct error *err)
{
    struct prune_pack *found = prune_pack_find(arg, pack);
    bool is_used = false;
    enum error_kind rc = found ? frame_is_used(arg, found, frame, &is_used, err) : OK;

    (void)what;
    (void)moment_ns;
    if (found && !rc) {
        found->is_damaged = found->is_damaged || is_used;
        found->is_healed = found->is_healed || !is_used;
    }
    return rc;
}

/*
 * What may go at once: records of forgotten snapshots, and void holds, for something else voids them. What may go later: tombstones,
 * releases and acceptances whose objects have no record any more.
 */
static bool is_needed_by_none(const struct prune *p, const struct book_entry *e)
{
    enum chunk_type type = e->type == CHUNK_RELEASE ? CHUNK_HOLD : CHUNK_SNAPSHOT;

    for (size_t i = 0; i < e->targets.count; i++)
        if (book_find(&p->book, type, e->targets.items[i]))
            return false;
    return true;
}

static void count_records(struct prune *p)
{
    for (size_t i = 0; i < p->book.count; i++) {
        const struct book_entry *e = &p->book.items[i];
        struct prune_pack *pack = prune_pack_find(p, e->pack);

        if (!pack)
            continue;
        pack->records++;
        if (e->type == CHUNK_SNAPSHOT || e->type == CHUNK_HOLD)
            pack->removable += e->is_void;
        else
            pack->removable_later += is_needed_by_none(p, e);
    }
}

void prune_survey_release(struct prune *p)
{
    book_release(&p->book);
    free(p->packs.items);
    p->packs = (struct prune_packs){NULL, 0, 0};
}

enum error_kind prune_survey(struct prune *p, struct error *err)
{
    enum error_kind rc = index_pack_each(p->cat->index, collect_pack, &p->packs, err);

    if (!rc)
        rc = book_read(p->cat, &p->book, err);
    if (!rc)
        rc = refuse_damage(&p->book, err);
    if (!rc)
        rc = mark_standing(p, err);
    if (!rc)
        rc = add_up_chunks(p, err);
    if (!rc)
        rc = index_damage_each(p->cat->index, note_damage, p, err);
    if (!rc)
        count_records(p);
    return rc;
}

/* ---- deciding ---- */

uint64_t prune_pack_unused(const struct prune *p, const struct prune_pack *pack)
{
    uint64_t used = mark_pack_bytes(p->mark, pack->row.number);

    if (pack->row.kind == PACK_RECORDS)
        return pack->fate == FATE_KEEP ? 0 : pack->row.size;
    if (mark_pack_chunks(p->mark, pack->row.number) == 0)
        return pack->row.size;
    if (pack->raw <= used)
        return 0;
    return (uint64_t)((double)pack->row.size * (double)(pack->raw - used) / (double)pack->raw);
}

static void decide_one(struct prune *p, struct prune_pack *pack)
{
    if (pack->row.state == PACK_TO_REMOVE) {
        pack->fate = FATE_REMOVE;
    } else if (pack->row.state == PACK_ANNOUNCED) {
        pack->fate =
            FATE_KEEP; /* a running writer's; under the exclusive lock what is left of one is dealt with first */
    } else if (pack->row.kind == PACK_RECORDS) {
        if (pack->records > 0 && pack->removable == pack->records)
            pack->fate = FATE_REMOVE;
        else if (pack->records > 0 && pack->removable_later == pack->records)
            pack->fate = FATE_REMOVE_LATER;
    } else if (mark_pack_chunks(p->mark, pack->row.number) == 0) {
        pack->fate = FATE_REMOVE;
    }
}

struct candidate {
    struct prune_pack *pack;
    uint64_t unused;
};

static int compare_share(const void *x, const void *y)
{
    const struct candidate *a = x;
    const struct candidate *b = y;
    double left = (double)a->unused / (double)(a->pack->row.size + 1);
    double right = (double)b->unused / (double)(b->pack->row.size + 1);

    return (left < right) - (left > right);
}

/* The emptiest first, until what is left unused is within bounds; small ones, when there are many; and what gets rid of damage. */
static void choose_rewrites(struct prune *p, struct candidate *list, size_t count, uint64_t kept, uint64_t unused)
{
    int percent = p->options->max_unused_percent < 0 ? UNUSED_PERCENT_DEFAULT : p->options->max_unused_percent;
    size_t small = 0;

    for (size_t i = 0; i < count; i++)
        small += list[i].pack->row.size < SMALL_PACK;
    for (size_t i = 0; i < count; i++) {
        bool too_much = list[i].unused > 0 && (double)unused > (double)kept * percent / 100;
        bool too_small = small > SMALL_PACKS_MAX && list[i].pack->row.size < SMALL_PACK;

        if (!too_much && !too_small && !list[i].pack->is_healed)
            continue;
        list[i].pack->fate = FATE_REWRITE;
        unused -= list[i].unused;
        kept -= list[i].unused;
    }
}

void prune_decide(struct prune *p)
{
    struct candidate *list = calloc(p->packs.count + 1, sizeof(*list));
    size_t count = 0;
    uint64_t kept = 0, unused = 0;

    p->report->bytes_before = 0;
    p->report->bytes_unused = 0;
    for (size_t i = 0; i < p->packs.count; i++) {
        struct prune_pack *pack = &p->packs.items[i];
        uint64_t of_it;

        decide_one(p, pack);
        of_it = prune_pack_unused(p, pack);
        p->report->bytes_before += pack->row.size;
        p->report->bytes_unused += of_it;
        if (pack->fate != FATE_KEEP || pack->row.kind != PACK_DATA || pack->row.state != PACK_IN_PLACE)
            continue;
        kept += pack->row.size;
        unused += of_it;
        if (list && !pack->is_damaged) /* without memory for a list nothing is rewritten, which is never wrong */
            list[count++] = (struct candidate){pack, of_it};
    }
    if (list) {
        qsort(list, count, sizeof(*list), compare_share);
        choose_rewrites(p, list, count, kept, unused);
    }
    free(list);
}
