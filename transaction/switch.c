/*
 * Going to a side and starting there. Rollback calls these in order; an undo and recovery call the same functions with the
 * other side: each ensures a state and may be repeated (T4).
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "thread.h"
#include "transaction_internal.h"

#define QUIET_TIMEOUT_MS 30000

static enum error_kind prove_quiet(struct transaction_context *x, struct error *err)
{
    const char **roots = NULL;
    size_t n = 0;
    enum error_kind rc;

    if (!x->txn.has_files)
        return OK;
    rc = memory_zeroed(2 + 2 * x->txn.area_count, sizeof(*roots), (void **)&roots, err);
    if (rc)
        return rc;
    roots[n++] = x->txn.site_path;
    if (x->txn.stage)
        roots[n++] = x->txn.stage;
    for (size_t i = 0; i < x->txn.area_count; i++) {
        roots[n++] = x->txn.areas[i].live;
        roots[n++] = x->txn.areas[i].folder;
    }
    rc = quiet_wait(roots, n, QUIET_TIMEOUT_MS, err); /* T5 */
    free(roots);
    return rc;
}

/* Those that count: all of them, or only the shop's own login's. */
static enum error_kind sessions_that_count(struct database *db, bool shops_only, struct text_list *out,
                                           struct error *err)
{
    struct text_list all = TEXT_LIST_INIT;
    enum error_kind rc = database_sessions(db, NULL, &all, err);

    for (size_t i = 0; i < all.count && !rc; i++)
        if (!shops_only || database_session_is_shops(db, all.items[i]))
            rc = text_list_add(out, all.items[i], err);
    text_list_release(&all);
    return rc;
}

enum error_kind quiet_database_wait(struct database *db, bool shops_only, int timeout_ms, struct error *err)
{
    int64_t deadline = clock_monotonic_ms() + timeout_ms;
    struct text_list sessions = TEXT_LIST_INIT;
    enum error_kind rc;

    for (;;) {
        rc = sessions_that_count(db, shops_only, &sessions, err);
        if (rc || !sessions.count || clock_monotonic_ms() >= deadline)
            break;
        text_list_release(&sessions);
        nanosleep(&(struct timespec){0, 200000000}, NULL);
    }
    if (!rc && sessions.count) {
        rc = error_set(err, ERR_REFUSED, 0, "somebody is still in the database: %s", sessions.items[0]);
        error_hint(err, "end that session, then try again");
    }
    text_list_release(&sessions);
    return rc;
}

enum error_kind switch_stop(struct transaction_context *x, bool again, const struct progress *progress,
                            struct error *err)
{
    enum error_kind rc;

    progress_step(progress, "stopping the shop");
    if (!x->stopped_ms)
        x->stopped_ms = clock_monotonic_ms();
    shop_watch_expect(&x->watch, &x->txn);
    rc = again ? fence_again(&x->fence, err) : fence_up(&x->fence, err);
    if (!rc && x->txn.has_swap) {
        rc = database_end_own_sessions(x->reach.db, err);
        if (!rc)
            rc = database_fence(x->reach.db, &x->txn.swap, err);
    }
    if (!rc)
        rc = prove_quiet(x, err);
    if (!rc && x->txn.has_point) {
        rc = database_end_own_sessions(x->reach.db, err);
        if (!rc)
            rc = database_point_clear(x->reach.db, err);
    }
    if (!rc && x->txn.has_database && x->txn.database_in_place) /* with a point others hinder nobody */
        rc = quiet_database_wait(x->reach.db, x->txn.has_point, QUIET_TIMEOUT_MS, err);
    return rc;
}

enum error_kind switch_pause(struct transaction_context *x, const struct progress *progress, struct error *err)
{
    enum error_kind rc;

    progress_step(progress, "stopping the shop");
    rc = fence_again(&x->fence, err);
    return rc ? rc : prove_quiet(x, err);
}

/* ---- files ---- */

static enum error_kind move_across(struct transaction_context *x, bool to_live, struct error *err)
{
    uint64_t moved = 0;
    char *tree = NULL;
    enum error_kind rc = stage_tree_path(&x->txn, &tree, err);

    if (!rc)
        rc = to_live ? moves_left_out(x->site, tree, x->txn.site_path, true, txn_is_upgrade(&x->txn), &moved, err)
                     : moves_left_out(x->site, x->txn.site_path, tree, false, txn_is_upgrade(&x->txn), &moved, err);
    free(tree);
    for (size_t i = 0; i < x->txn.area_count && !rc; i++) {
        const struct area *a = &x->txn.areas[i];

        if (!a->prefix[0])
            continue; /* pictures outside the site: snapshots leave nothing of them out */
        rc = memory_format(&tree, err, "%s/%s", a->folder, a->root_name);
        if (!rc)
            rc = to_live ? moves_left_out(x->site, tree, a->live, true, txn_is_upgrade(&x->txn), &moved, err)
                         : moves_left_out(x->site, a->live, tree, false, txn_is_upgrade(&x->txn), &moved, err);
        free(tree);
    }
    return rc;
}

/* Only where both trees stand as trees: with the site gone there is nothing that snapshots left out. */
static bool both_sides(const struct txn *t)
{
    for (size_t i = 0; i < t->units.count; i++)
        if (t->units.items[i].has_old && t->units.items[i].has_new)
            return true;
    return false;
}

static enum error_kind repair_old_tree(struct transaction_context *x, struct error *err)
{
    struct snapshot_record other = SNAPSHOT_RECORD_INIT;
    bool gone = !x->target.root_count;
    uint64_t repaired = 0;
    enum error_kind rc = OK;

    if (!x->linked || !x->txn.start_begun)
        return OK;
    if (gone)
        rc = linked_stand_in(x->cat, &x->txn, &other, err);
    if (!rc)
        rc = linked_repair(x->cat, gone ? &other : &x->target, x->linked, x->txn.site_path, false, &repaired,
                           err); /* T7 */
    snapshot_record_release(&other);
    return rc;
}

static enum error_kind files_to(struct transaction_context *x, bool new_side, struct error *err)
{
    bool new_is_live = false;
    enum error_kind rc;

    if (!x->txn.has_files || !x->txn.units.count)
        return OK;
    rc = units_are(&x->txn.units, true, &new_is_live, err);
    if (!rc && !new_side && new_is_live && both_sides(&x->txn))
        rc = move_across(x, false, err);
    if (!rc)
        rc = units_ensure(&x->txn.units, new_side, err);
    if (!rc && new_side && both_sides(&x->txn))
        rc = move_across(x, true, err);
    if (!rc && !new_side)
        rc = repair_old_tree(x, err);
    return rc;
}

/* ---- database ---- */

enum error_kind switch_load_in_place(struct transaction_context *x, const struct snapshot_record *from,
                                     const struct progress *progress, struct error *err)
{
    struct database_facts facts = DATABASE_FACTS_INIT;
    enum error_kind rc = restore_database_facts(from, &facts, err);

    if (!rc)
        rc = restore_database_in_place(x->cat, from, x->reach.db, progress, err);
    progress_step(progress, "counting its rows");
    if (!rc)
        rc = loaded_counts_check(x->reach.db, NULL, &facts.counts, err);
    database_facts_release(&facts);
    return rc;
}

static enum error_kind in_place(struct transaction_context *x, bool new_side, const struct progress *progress,
                                struct error *err)
{
    struct snapshot_record safety = SNAPSHOT_RECORD_INIT;
    enum error_kind rc;

    if (x->txn.has_point) /* forward, the new shop's first start changes it */
        return new_side ? OK : stage_point_back(x, progress, err);
    if (!x->cat)
        return error_set(err, ERR_PENDING, 0,
                         "the database was being changed in place, and the catalogue %s can't be opened",
                         x->txn.catalog);
    progress_step(progress, "changing the database in place");
    if (new_side && txn_is_upgrade(&x->txn))
        return OK; /* the new shop's first start changes it */
    if (new_side)
        return switch_load_in_place(x, &x->target, progress, err);
    if (!x->txn.safety)
        return OK; /* it was not begun */
    rc = snapshot_find(x->cat, NULL, x->txn.safety, &safety, err);
    if (!rc && !safety.has_dump) /* files only: there was no database when it was taken */
        progress_note(progress, "there was no database to put back; one that was made meanwhile stays");
    else if (!rc)
        rc = switch_load_in_place(x, &safety, progress, err);
    snapshot_record_release(&safety);
    return rc;
}

static enum error_kind journal_taken(struct transaction_context *x, const char *id, struct error *err)
{
    struct json *v = json_object();
    enum error_kind rc = memory_string(id, &x->txn.taken, err);

    json_put_text(v, "step", "taken");
    json_put_text(v, "taken", id);
    if (!rc)
        rc = journal_append(&x->journal, v, err);
    json_free(v);
    return rc;
}

enum error_kind switch_save_now(struct transaction_context *x, const struct progress *progress, struct error *err)
{
    static const char *const undone[] = {"undone", NULL};
    struct snapshot_options o = SNAPSHOT_OPTIONS_INIT;
    struct snapshot_result result = {.files = 0};
    enum error_kind rc;

    if (x->txn.taken)
        return OK;
    progress_step(progress, "saving the database that is taken away");
    o.kind = SNAPSHOT_SAFETY;
    o.part = SNAPSHOT_DATABASE_ONLY;
    o.stopped = true;
    o.tags = undone;
    rc = take_proved(x->cat, x->site, x->reach.db, &o, progress, &result, err);
    if (!rc)
        rc = journal_taken(x, result.record.id, err);
    snapshot_result_release(&result);
    return rc;
}

enum error_kind switch_save_in_place(struct transaction_context *x, const struct progress *progress, struct error *err)
{
    if (!x->txn.database_in_place || !x->txn.start_begun || !x->cat)
        return OK;
    return switch_save_now(x, progress, err);
}

static enum error_kind database_to(struct transaction_context *x, bool new_side, const struct progress *progress,
                                   struct error *err)
{
    if (!x->txn.has_database)
        return OK;
    if (x->txn.database_in_place)
        return x->txn.switch_begun ? in_place(x, new_side, progress, err) : OK;
    if (!x->txn.has_swap)
        return OK;
    return database_swap_to(x->reach.db, &x->txn.swap, new_side ? DATABASE_NEW : DATABASE_OLD, err);
}

enum error_kind switch_to(struct transaction_context *x, bool new_side, const struct progress *progress,
                          struct error *err)
{
    enum error_kind rc;

    progress_step(progress, new_side ? "exchanging" : "putting the old state back");
    rc = database_to(x, new_side, progress, err);
    if (!rc)
        rc = files_to(x, new_side, err);
    return rc;
}

enum error_kind switch_start(struct transaction_context *x, bool health, const struct progress *progress,
                             struct error *err)
{
    enum error_kind rc = OK;

    progress_step(progress, "starting the shop");
    if (x->txn.has_swap)
        rc = database_unfence(x->reach.db, &x->txn.swap, err);
    shop_watch_begin(&x->watch, &x->txn);
    if (!rc)
        rc = fence_start(&x->fence, err);
    if (!rc && health)
        rc = health_wait(&x->txn, &x->watch, progress, err);
    if (!rc)
        x->started_ms = clock_monotonic_ms();
    return rc;
}

/* ---- the end ---- */

enum error_kind switch_end(struct transaction_context *x, bool new_side, struct error *err)
{
    bool keep = new_side || x->txn.start_begun;
    enum error_kind rc = OK;

    if (x->txn.has_swap)
        rc = database_swap_finish(x->reach.db, &x->txn.swap, err);
    if (!rc && !new_side && x->txn.has_point) { /* T8 */
        rc = database_point_drop(x->reach.db, &x->txn.point, err);
        x->txn.has_point = rc != OK;
    }
    if (!rc && keep)
        rc = kept_write(&x->place, &x->txn, new_side, new_side ? x->txn.safety : NULL, clock_now(), err);
    else if (!rc)
        rc = stage_remove(x, err);
    if (!rc)
        rc = fence_down(&x->fence, err);
    if (!rc)
        rc = journal_end(&x->journal, &x->place, err);
    if (rc)
        error_context(err, "ending the transaction");
    return rc;
}

/*
 * Without a decision recovery undoes all the same (T3), so that a disk that the stage has filled does not keep the stage from going. Only
 * against a commit that may or may not be there the word is needed.
 */
static enum error_kind decide_undo(struct transaction_context *x, const struct progress *progress, struct error *err)
{
    struct error why = ERROR_INIT;
    enum error_kind rc = decision_write(&x->place, x->txn.token, DECISION_UNDO, &why);

    if (rc && x->commit_tried) {
        error_copy(err, &why);
        return rc;
    }
    if (rc)
        progress_warn(progress, "going on without a record of the decision: %s", why.text);
    return OK;
}

enum error_kind switch_undo(struct transaction_context *x, const struct progress *progress, struct error *err)
{
    enum error_kind rc;

    cancel_reset(); /* the signal that asked for this must not cut it short */
    progress_step(progress, "undoing");
    rc = decide_undo(x, progress, err);
    if (!rc && x->txn.fence_begun) {
        if (x->txn.switch_begun)
            rc = switch_stop(x, !x->txn.going_back, progress, err);
        if (!rc && x->txn.start_begun)
            rc = txn_note_rest(&x->journal, &x->txn, false, err);
        if (!rc)
            rc = switch_save_in_place(x, progress, err);
        if (!rc && x->txn.switch_begun)
            rc = switch_to(x, false, progress, err);
        if (!rc)
            rc = switch_start(x, false, progress, err);
    }
    if (!rc)
        rc = switch_end(x, false, err);
    if (!rc && !place_has(&x->place, "kept")) /* else when that goes */
        renewal_run(x->cat, x->site, &x->place, &x->txn, progress);
    if (rc)
        error_context(err, "undoing");
    return rc;
}
