/*
 * Acting on a plan, step by step as docs/architecture.md tells it. Any failure before the decision is undone in reverse.
 */
#include <stdlib.h>
#include <string.h>

#include "process.h"
#include "thread.h"
#include "transaction_internal.h"

static enum error_kind refuse_problems(const struct rollback_plan *plan, struct error *err)
{
    enum error_kind rc;

    if (!plan->preflight.problems.count)
        return OK;
    rc = error_set(err, ERR_REFUSED, 0, "preflight says no: %s%s", plan->preflight.problems.items[0],
                   plan->preflight.problems.count > 1 ? " (and more, see --dry-run)" : "");
    error_hint(err, "nopsnap rollback --dry-run lists every problem; nothing was changed");
    return rc;
}

static enum error_kind prepare(struct transaction_context *x, const struct progress *progress,
                               struct transaction_result *out, struct error *err)
{
    enum error_kind rc = OK;

    if (x->txn.has_files)
        rc = stage_tree(x, progress, out, err);
    if (!rc)
        rc = run_step(x, "staged", &x->txn.staged, err);
    if (!rc && x->txn.has_database)
        rc = stage_database(x, progress, err);
    return rc;
}

static enum error_kind act(struct transaction_context *x, const struct progress *progress, struct error *err)
{
    enum error_kind rc = run_step(x, "fence_begun", &x->txn.fence_begun, err);

    if (!rc)
        rc = switch_stop(x, false, progress, err);
    if (!rc)
        rc = stage_catch_up(x, progress, err);
    if (!rc)
        rc = run_note_units(x, err);
    if (!rc)
        rc = txn_note_rest(&x->journal, &x->txn, true, err);
    if (!rc)
        rc = run_step(x, "switch_begun", &x->txn.switch_begun, err);
    if (!rc)
        rc = switch_to(x, true, progress, err);
    if (!rc)
        rc = run_step(x, "start_begun", &x->txn.start_begun, err);
    if (!rc)
        rc = switch_start(x, !health_was_unwell(&x->target), progress, err);
    x->commit_tried = !rc;
    if (!rc)
        rc = decision_write(&x->place, x->txn.token, DECISION_COMMIT, err); /* from here on only forward */
    return rc;
}

static void flush_caches(struct transaction_context *x, const struct progress *progress)
{
    struct error err = ERROR_INIT;
    int status = 0;

    if (!x->txn.cache_flush)
        return;
    progress_step(progress, "flushing the shop's caches");
    if (process_shell(x->txn.cache_flush, NULL, &status, &err) || status)
        progress_warn(progress, "the `cache_flush` command of the config failed (status %d)", status);
}

/* Another state than the open trial's is gone to: that trial is over. */
static enum error_kind end_trial(struct transaction_context *x, const struct progress *progress, struct error *err)
{
    struct transaction_result cleared = {.outcome = OUTCOME_NOTHING};
    bool trial = false;
    enum error_kind rc = trial_is_open(x->site->path, &trial, err);

    if (!rc && trial)
        rc = kept_clear(x->cat, x->site, true, progress, &x->place.seen_ns, &cleared, err);
    transaction_result_release(&cleared);
    return rc;
}

enum error_kind rollback_run(struct catalog *cat, struct site *site, struct rollback_plan *plan,
                             const struct progress *progress, struct transaction_result *out, struct error *err)
{
    struct transaction_context *x = plan->context;
    enum error_kind rc = refuse_problems(plan, err);

    *out = (struct transaction_result){.outcome = OUTCOME_NOTHING};
    if (rc)
        return rc;
    x->cat = cat;
    x->site = site;
    x->exported = &out->exported;
    x->began_ms = clock_monotonic_ms();
    if (plan->trial)
        return trial_run(x, progress, out, err);
    x->txn.was_unwell = !health_is_well(&x->txn);
    x->target = plan->target; /* moved: the plan's own is emptied */
    plan->target = (struct snapshot_record)SNAPSHOT_RECORD_INIT;
    rc = end_trial(x, progress, err);
    if (!rc)
        rc = run_begin(x, progress, err);
    if (!rc)
        rc = memory_string(x->txn.token, &out->transaction, err);
    if (!rc)
        rc = fence_init(&x->fence, &x->place, &x->txn, err);
    if (rc && x->journal.fd < 0)
        return rc;
    if (!rc)
        rc = prepare(x, progress, out, err);
    if (!rc)
        rc = act(x, progress, err);
    if (rc) {
        rc = run_give_up(x, progress, out, err);
        if (out->outcome == OUTCOME_UNDONE) {
            reach_release(&x->reach);
            run_save_taken(x, progress, out);
        }
        return rc;
    }
    cancel_defer(true);
    rc = switch_end(x, true, err);
    if (!rc) {
        run_note_times(x, out);
        flush_caches(x, progress);
    }
    cancel_defer(false);
    if (rc) {
        out->outcome = OUTCOME_HANDS;
        err->kind = ERR_PENDING;
        error_hint(err, "the shop is back and running; nopsnap recover %s finishes the rest", x->txn.site_path);
        return ERR_PENDING;
    }
    out->outcome = OUTCOME_DONE;
    if (health_was_unwell(&x->target))
        health_tell(x, progress, out);
    reach_release(&x->reach);
    run_save_taken(x, progress, out);
    return OK;
}
