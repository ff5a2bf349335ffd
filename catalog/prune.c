#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "prune_internal.h"
#include "thread.h"

/*
 * Removing what no snapshot needs, so that a kill at any moment costs nothing but space (C6, P8):
 *
 *   shared lock      survey: all records from their packs, marks on all that standing snapshots reach
 *                    rewrite: what is used of sparse packs is copied into new packs, which nothing refers to yet
 *   exclusive lock   survey again, from nothing: there are no writers now, and nobody comes between
 *                    one transaction: rows point into the copies, packs that go are marked so, their chunks' rows go, the generation rises
 *                    files go, their folders are synced, then their rows go
 *                    last, in the same order: records whose only purpose was to void what has gone by then
 *
 * Where readers stay, the copies stand beside what they are to replace until a later prune. That one lets them go before it copies anything
 * again, so that there is never more than one copy, however often the removal is put off.
 *
 * Where there is no room for a copy, what needs none is removed all the same, then copying is tried once more: a full disk can be emptied.
 *
 * Whatever cannot be read makes prune refuse: then it isn't known what is needed.
 */

/* ---- files ---- */

static enum error_kind unlink_pack(struct prune *p, const struct pack_row *row, struct error *err)
{
    struct error why = ERROR_INIT;
    char path[PACK_PATH_MAX];
    enum error_kind rc;

    pack_path(row->name, false, path);
    rc = file_unlink(p->cat->dirfd, path, &why);
    if (rc && rc != ERR_NOT_FOUND) { /* gone already: a run before this one was killed */
        *err = why;
        return rc;
    }
    *strrchr(path, '/') = '\0';
    if (faccessat(p->cat->dirfd, path, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        return OK;
    return directory_sync(p->cat->dirfd, path, err);
}

static enum error_kind drop_rows(struct prune *p, uint64_t number, struct error *err)
{
    const int64_t numbers[] = {(int64_t)number};
    enum error_kind rc = index_execute(p->cat->index, "DELETE FROM damage WHERE pack = ?1", numbers, 1, err);

    if (!rc)
        rc = index_execute(p->cat->index, "DELETE FROM checks WHERE pack = ?1", numbers, 1, err);
    return rc ? rc : index_pack_remove(p->cat->index, number, err);
}

/* ---- giving up: from here on the packs of this fate are nobody's ---- */

static enum error_kind mark_for_removal(struct prune *p, enum prune_fate fate, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < p->packs.count; i++) {
        struct prune_pack *pack = &p->packs.items[i];

        if (pack->fate != fate || pack->row.state == PACK_TO_REMOVE)
            continue;
        pack->row.state = PACK_TO_REMOVE;
        rc = index_pack_update(p->cat->index, &pack->row, err);
    }
    return rc;
}

/* Rows of chunks that have gone with their packs, and claims of writers that died before they had a place. */
static enum error_kind drop_chunks(struct prune *p, struct error *err)
{
    enum error_kind rc =
        index_run(p->cat->index, "DELETE FROM chunks WHERE pack IN (SELECT number FROM packs WHERE state = 3)", err);

    if (!rc)
        rc = index_run(p->cat->index, "DELETE FROM chunks WHERE pack = 0", err);
    return rc;
}

static enum error_kind drop_tombstones(struct prune *p, enum prune_fate fate, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < p->book.count; i++) {
        const struct book_entry *e = &p->book.items[i];
        const struct prune_pack *pack = prune_pack_find(p, e->pack);

        if (e->type != CHUNK_TOMBSTONE || !pack || pack->fate != fate)
            continue;
        for (size_t j = 0; !rc && j < e->targets.count; j++)
            rc = tombstone_row_remove(p->cat->index, e->targets.items[j], err);
    }
    return rc;
}

static enum error_kind give_up(struct prune *p, enum prune_fate fate, struct error *err)
{
    uint64_t generation = p->cat->generation;
    enum error_kind rc = index_begin(p->cat->index, err);

    if (!rc && fate == FATE_REMOVE)
        rc = prune_switch(p, err);
    if (!rc)
        rc = mark_for_removal(p, fate, err);
    if (!rc)
        rc = drop_chunks(p, err);
    if (!rc)
        rc = drop_tombstones(p, fate, err);
    if (!rc)
        rc = catalog_raise_generation(p->cat, err);
    if (!rc)
        rc = index_commit(p->cat->index, err);
    if (rc)
        p->cat->generation = generation;
    index_rollback(p->cat->index);
    return rc;
}

static enum error_kind remove_files(struct prune *p, enum prune_fate fate, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < p->packs.count; i++) {
        if (p->packs.items[i].fate != fate)
            continue;
        rc = unlink_pack(p, &p->packs.items[i].row, err);
        p->report->packs_removed += rc == OK;
        p->report->bytes_freed += rc == OK ? p->packs.items[i].row.size : 0;
    }
    if (!rc)
        rc = index_begin(p->cat->index, err);
    for (size_t i = 0; !rc && i < p->packs.count; i++)
        if (p->packs.items[i].fate == fate)
            rc = drop_rows(p, p->packs.items[i].row.number, err);
    if (!rc)
        rc = index_commit(p->cat->index, err);
    index_rollback(p->cat->index);
    return rc;
}

static bool any_of(const struct prune *p, enum prune_fate fate)
{
    for (size_t i = 0; i < p->packs.count; i++)
        if (p->packs.items[i].fate == fate)
            return true;
    return false;
}

static enum error_kind remove_all(struct prune *p, enum prune_fate fate, struct error *err)
{
    enum error_kind rc;

    if (!any_of(p, fate))
        return OK;
    rc = give_up(p, fate, err);
    chunk_cache_drop(p->cat, 0); /* places have changed */
    return rc ? rc : remove_files(p, fate, err);
}

/* ---- what dead writers left ---- */

static enum error_kind unlink_part(void *arg, const unsigned char name[PACK_NAME_LEN], bool part, uint64_t size,
                                   struct error *err)
{
    struct prune *p = arg;
    char path[PACK_PATH_MAX];
    enum error_kind rc;

    if (!part)
        return OK;
    pack_path(name, true, path);
    rc = file_unlink(p->cat->dirfd, path, err);
    if (!rc) {
        p->report->parts_removed++;
        p->report->bytes_freed += size;
    }
    return rc;
}

static enum error_kind unlink_cache_part(void *arg, const char *name, struct error *err)
{
    struct prune *p = arg;
    struct error ignored = ERROR_INIT;
    size_t len = strlen(name);
    char path[512];

    (void)err;
    if (len > 5 && strcmp(name + len - 5, ".part") == 0 &&
        snprintf(path, sizeof(path), CACHE_NAME "/%s", name) < (int)sizeof(path))
        (void)file_unlink(p->cat->dirfd, path, &ignored);
    return OK;
}

/*
 * Packs that are still announced although there is no writer: those with a whole file are in place by now (catalog_finish_announced). Of
 * the rest nothing was ever visible.
 */
static void condemn_announced(struct prune *p)
{
    for (size_t i = 0; i < p->packs.count; i++)
        if (p->packs.items[i].row.state == PACK_ANNOUNCED)
            p->packs.items[i].fate = FATE_REMOVE;
}

/* ---- copies ---- */

static bool is_copy(const struct prune *p, uint64_t number)
{
    for (size_t i = 0; i < p->copy_count; i++)
        if (p->copies[i] == number)
            return true;
    return false;
}

/* Is all that is marked in this pack now among what was copied? A snapshot may have come that needs more. */
static enum error_kind copies_suffice(struct prune *p, const struct prune_pack *pack, bool *out, struct error *err)
{
    struct pack *from = NULL;
    enum error_kind rc = pack_open(p->cat->dirfd, pack->row.name, &p->cat->format, &from, err);

    *out = true;
    for (uint32_t i = 0; !rc && *out && i < pack_chunk_count(from); i++) {
        struct footer_chunk chunk;
        struct chunk_row row;
        bool found = false;

        pack_chunk_at(from, i, &chunk);
        rc = index_chunk_find(p->cat->index, &chunk.id, &row, &found, err);
        if (!rc && found && row.pack == pack->row.number && mark_has(p->mark, row.row))
            *out = mark_has(p->first_mark, row.row);
    }
    pack_close(from);
    return rc;
}

/*
 * first: the packs of the first survey. Packs whose copies suffice go, and the copies stay; if none does, the copies go.
 */
static enum error_kind judge_copies(struct prune *p, const struct prune_packs *first, bool still_good,
                                    struct error *err)
{
    bool any = false;
    enum error_kind rc = OK;

    for (size_t i = 0; i < p->packs.count; i++)
        if (p->packs.items[i].fate == FATE_REWRITE)
            p->packs.items[i].fate = FATE_KEEP; /* not in this run */
    for (size_t i = 0; !rc && still_good && i < first->count; i++) {
        struct prune_pack *pack = prune_pack_find(p, first->items[i].row.number);
        bool suffices = false;

        if (!pack || !first->items[i].is_copied || pack->fate == FATE_REMOVE)
            continue;
        rc = copies_suffice(p, pack, &suffices, err);
        if (rc || !suffices)
            continue;
        pack->is_copied = true;
        pack->fate = FATE_REMOVE;
        any = true;
    }
    for (size_t i = 0; any && i < p->packs.count; i++)
        if (is_copy(p, p->packs.items[i].row.number))
            p->packs.items[i].fate = FATE_KEEP;
    return rc;
}

/* ---- the two halves ---- */

static enum error_kind survey_alone(struct prune *p, bool *still_good, struct error *err)
{
    int64_t generation = 0;
    enum error_kind rc = index_meta_get(p->cat->index, "generation", &generation, err);

    if (rc)
        return rc;
    *still_good = (uint64_t)generation == p->cat->generation; /* else another prune or a rebuild came between */
    p->cat->generation = (uint64_t)generation;
    chunk_cache_drop(p->cat, 0);
    rc = catalog_check_packs(p->cat, err);
    if (!rc)
        rc = catalog_finish_announced(p->cat, err);
    return rc ? rc : prune_survey(p, err);
}

static bool any_voider(const struct prune *p)
{
    for (size_t i = 0; i < p->book.count; i++)
        if (p->book.items[i].type != CHUNK_SNAPSHOT && p->book.items[i].type != CHUNK_HOLD)
            return true;
    return false;
}

/* Records whose objects have gone with the first removal. */
static enum error_kind remove_voiders(struct prune *p, struct error *err)
{
    enum error_kind rc;

    if (!any_voider(p))
        return OK;
    prune_survey_release(p);
    rc = prune_survey(p, err);
    if (rc)
        return rc;
    prune_decide(p);
    return remove_all(p, FATE_REMOVE_LATER, err);
}

/* The index file itself was replaced by a rebuild while no lock was held: our connection looks at what was removed. */
static enum error_kind same_index(struct prune *p, const struct stat *before, struct error *err)
{
    struct stat now;

    if (fstatat(p->cat->dirfd, INDEX_NAME, &now, AT_SYMLINK_NOFOLLOW) == 0 && now.st_ino == before->st_ino &&
        now.st_dev == before->st_dev)
        return OK;
    error_set(err, ERR_BUSY, 0, "the catalogue's index was made again in the meantime");
    error_hint(err, "run prune again");
    return ERR_BUSY;
}

/* The second survey, from nothing, and what follows from it. */
static enum error_kind remove_unneeded(struct prune *p, struct error *err)
{
    struct prune_packs first = p->packs;
    bool still_good = false;
    enum error_kind rc;

    p->packs = (struct prune_packs){NULL, 0, 0};
    p->first_mark = p->mark;
    p->mark = NULL;
    book_release(&p->book);
    rc = survey_alone(p, &still_good, err);
    if (!rc)
        rc = book_apply(p->cat, &p->book, err);
    if (!rc) {
        prune_decide(p);
        condemn_announced(p);
        rc = judge_copies(p, &first, still_good, err);
    }
    free(first.items);
    if (!rc)
        rc = remove_all(p, FATE_REMOVE, err);
    return rc ? rc : remove_voiders(p, err);
}

/* Claims of writers that died before they had a place: they only make others take the next attempt. */
static enum error_kind drop_claims(struct prune *p, struct error *err)
{
    enum error_kind rc = index_begin(p->cat->index, err);

    if (!rc)
        rc = index_run(p->cat->index, "DELETE FROM chunks WHERE pack = 0", err);
    if (!rc)
        rc = index_commit(p->cat->index, err);
    index_rollback(p->cat->index);
    return rc;
}

/* Did the first survey see anything to do? An announced pack may be a running writer's, or what is left of a dead one. */
static bool anything_to_do(const struct prune *p)
{
    for (size_t i = 0; i < p->packs.count; i++)
        if (p->packs.items[i].fate != FATE_KEEP || p->packs.items[i].row.state != PACK_IN_PLACE)
            return true;
    return false;
}

static enum error_kind prune_alone(struct prune *p, const struct stat *index_file, struct error *err)
{
    uint64_t before = p->report->bytes_before;
    uint64_t unused = p->report->bytes_unused;
    enum error_kind rc = same_index(p, index_file, err);

    if (!rc)
        rc = anything_to_do(p) ? remove_unneeded(p, err) : drop_claims(p, err);
    if (!rc)
        rc = pack_file_each(p->cat->dirfd, unlink_part, p, err);
    if (!rc)
        rc = folder_each(p->cat->dirfd, CACHE_NAME, unlink_cache_part, p, err);
    p->report->bytes_before = before;
    p->report->bytes_unused = unused;
    return rc;
}

/*
 * What a run would do, by the fates. An estimate: how well copies compress is not known, and records that only void what
 * would go are not counted, nor what dead writers left.
 */
static void foretell(const struct prune *p)
{
    for (size_t i = 0; i < p->packs.count; i++) {
        const struct prune_pack *pack = &p->packs.items[i];

        if (pack->fate == FATE_KEEP)
            continue;
        p->report->packs_removed++;
        p->report->packs_rewritten += pack->fate == FATE_REWRITE;
        p->report->bytes_freed += pack->fate == FATE_REWRITE ? prune_pack_unused(p, pack) : pack->row.size;
    }
}

/* A copy that never took the place of what it was made from: nothing points into it, nor ever did. */
static bool is_left_copy(const struct prune_pack *pack)
{
    return pack->row.kind == PACK_DATA && pack->row.state == PACK_IN_PLACE && pack->raw == 0 &&
           pack->fate == FATE_REMOVE;
}

/* Nothing is copied while such copies stand: first the room. */
static bool put_off_rewrites(struct prune *p)
{
    bool left = p->no_copies;

    if (!any_of(p, FATE_REWRITE))
        return false;
    for (size_t i = 0; i < p->packs.count; i++)
        left = left || is_left_copy(&p->packs.items[i]);
    for (size_t i = 0; left && i < p->packs.count; i++)
        if (p->packs.items[i].fate == FATE_REWRITE)
            p->packs.items[i].fate = FATE_KEEP;
    return left;
}

static enum error_kind prune_shared(struct prune *p, bool *put_off, struct error *err)
{
    enum error_kind rc = catalog_check_packs(p->cat, err);

    progress_step(p->progress, "finding what snapshots need");
    if (!rc)
        rc = prune_survey(p, err);
    if (rc)
        return rc;
    prune_decide(p);
    if (p->options->dry_run) {
        foretell(p);
        return OK;
    }
    *put_off = put_off_rewrites(p);
    if (any_of(p, FATE_REWRITE))
        progress_step(p->progress, "rewriting sparse packs");
    rc = prune_rewrite(p, err);
    *put_off = *put_off || p->short_of_room;
    return rc;
}

static uint64_t copied_bytes(struct prune *p)
{
    struct error ignored = ERROR_INIT;
    uint64_t total = 0;

    for (size_t i = 0; i < p->copy_count; i++) {
        struct pack_row row;
        bool found = false;

        if (index_pack_find(p->cat->index, p->copies[i], &row, &found, &ignored) == OK && found)
            total += row.size;
    }
    return total;
}

/* put_off: something is to be rewritten, but not before what was removed now has gone; where it is true before, not at all */
static enum error_kind prune_once(struct catalog *cat, const struct prune_options *options,
                                  const struct progress *progress, struct prune_report *out, bool *put_off,
                                  struct error *err)
{
    struct prune p = {.cat = cat, .options = options, .progress = progress, .report = out, .no_copies = *put_off};
    struct error why = ERROR_INIT, later = ERROR_INIT;
    struct stat index_file = {0};
    uint64_t copied;
    enum error_kind rc = catalog_require_write(cat, err);

    memset(out, 0, sizeof(*out));
    if (!rc && fstatat(cat->dirfd, INDEX_NAME, &index_file, AT_SYMLINK_NOFOLLOW) != 0)
        rc = error_set(err, ERR_IO, errno, "%s/" INDEX_NAME, cat->path);
    if (!rc)
        rc = prune_shared(&p, put_off, err);
    if (rc || options->dry_run)
        goto done;
    progress_step(progress, "removing what nobody needs");
    rc = catalog_lock_alone(cat, options->lock_timeout_ms, &why);
    if (rc == ERR_BUSY) {
        out->removal_postponed = true;
        rc = same_index(&p, &index_file, err);
        goto done;
    }
    if (rc) {
        *err = why;
        goto done;
    }
    rc = prune_alone(&p, &index_file, err);
    if (catalog_lock_shared(cat, &later) != OK && !rc) {
        *err = later;
        rc = later.kind;
    }
    if (!rc) /* no lock was held for a moment */
        rc = same_index(&p, &index_file, err);
    copied = copied_bytes(&p);
    out->bytes_freed = out->bytes_freed > copied ? out->bytes_freed - copied : 0;

done:
    prune_survey_release(&p);
    mark_free(p.mark);
    mark_free(p.first_mark);
    free(p.copies);
    if (rc)
        error_context(err, "pruning");
    return rc;
}

static void add_report(struct prune_report *sum, const struct prune_report *r)
{
    sum->bytes_freed += r->bytes_freed;
    sum->packs_removed += r->packs_removed;
    sum->packs_rewritten += r->packs_rewritten;
    sum->parts_removed += r->parts_removed;
    sum->removal_postponed = r->removal_postponed;
}

/* Without room for the copies: only what needs none, theirs of before included. */
static enum error_kind prune_without_room(struct catalog *cat, const struct prune_options *options,
                                          const struct progress *progress, struct prune_report *out, bool *put_off,
                                          struct error *err)
{
    *put_off = true;
    return prune_once(cat, options, progress, out, put_off, err);
}

/* What was put off. Where there still is no room for a copy that is no failure: what could go has gone. */
static enum error_kind prune_again(struct catalog *cat, const struct prune_options *options,
                                   const struct progress *progress, struct prune_report *sum, bool *put_off,
                                   struct error *err)
{
    struct prune_report report;
    struct error why = ERROR_INIT;
    enum error_kind rc;

    *put_off = false;
    rc = prune_once(cat, options, progress, &report, put_off, &why);
    if (rc == ERR_SPACE) {
        progress_warn(progress, "what nobody needs in packs that are needed in part stays for now: %s", why.text);
        rc = prune_without_room(cat, options, progress, &report, put_off, err);
        *put_off = false;
    } else if (rc) {
        *err = why;
    }
    if (!rc)
        add_report(sum, &report);
    return rc;
}

enum error_kind catalog_prune(struct catalog *cat, const struct prune_options *options, const struct progress *progress,
                              struct prune_report *out, struct error *err)
{
    struct error why = ERROR_INIT;
    bool put_off = false;
    enum error_kind rc;

    if (!options->dry_run)
        reserve_take_all(cat);
    rc = prune_once(cat, options, progress, out, &put_off, &why);
    if (rc == ERR_SPACE && !options->dry_run)
        rc = prune_without_room(cat, options, progress, out, &put_off, err);
    else if (rc)
        *err = why;
    while (!rc && put_off && !out->removal_postponed) /* each time at least one pack more, or it is the last */
        rc = prune_again(cat, options, progress, out, &put_off, err);
    return rc;
}

enum error_kind catalog_prune_due(struct catalog *cat, bool *out, struct error *err)
{
    struct index_statement *st = NULL;
    enum error_kind rc = index_prepare(cat->index, "SELECT 1 FROM tombstones LIMIT 1", &st, err);

    *out = false;
    if (!rc)
        rc = index_step(st, out, err);
    index_finish(st);
    return rc;
}
