/*
 * An upgrade in its trial is taken back: the tree and the database that it took away are still there, so that going back is an exchange, whatever the
 * size of the shop.
 *
 * It is the upgrade's own transaction, opened again and undone. Its journal begins with all of that one's steps done and the word
 * that there is no way forward, so that recovery from any instant goes on going back. What the new shop was becomes the kept side, and a snapshot
 * (P3), to which the next rollback goes.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "thread.h"
#include "transaction_internal.h"

#define LOCK_TIMEOUT_MS 10000

/* ---- the plan ---- */

enum error_kind trial_is_open(const char *site_path, bool *out, struct error *err)
{
    struct kept_state kept;
    enum error_kind rc = kept_look(site_path, &kept, err);

    *out = !rc && kept.trial_end_ns;
    kept_state_release(&kept);
    return rc;
}

/* The journal of the upgrade again, but with today's commands. */
static enum error_kind take_over(struct transaction_context *x, struct kept *k, struct error *err)
{
    struct txn now = x->txn;
    char **const from[] = {&now.stop, &now.start, &now.open, &now.close, &now.url, &now.database_admin, &now.service};
    char **const to[] = {&k->txn.stop, &k->txn.start,          &k->txn.open,   &k->txn.close,
                         &k->txn.url,  &k->txn.database_admin, &k->txn.service};

    for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
        char *kept = *to[i];

        *to[i] = *from[i];
        *from[i] = kept;
    }
    k->txn.health_timeout_ms = now.health_timeout_ms;
    x->txn = k->txn;
    k->txn = (struct txn)TXN_INIT;
    txn_release(&now);
    x->txn.going_back = true;
    x->txn.staged = true;
    x->txn.fence_begun = true;
    x->txn.switch_begun = true;
    x->txn.start_begun = true;
    x->txn.new_until_ns = 0;
    return x->txn.rules.count ? site_rules_take(x->site, &x->txn.rules, err) : OK;
}

/* There is no going on with half of it: where one part is gone, a snapshot is the way. */
static enum error_kind say_gone(struct transaction_context *x, const char *what, const char *why, struct preflight *p,
                                struct error *err)
{
    struct snapshot_record way = SNAPSHOT_RECORD_INIT;
    struct error none = ERROR_INIT;
    const char *id = x->txn.safety;
    enum error_kind rc;

    if (x->txn.has_database)
        id = stage_point_dump(x, &way, &none) == OK ? way.id : NULL;
    if (!id)
        rc = text_list_addf(&p->problems, err, "%s, which the upgrade took away, is gone%s%s%s; %s", what,
                            why ? " (" : "", why ? why : "", why ? ")" : "", none.text);
    else
        rc = text_list_addf(
            &p->problems, err,
            "%s, which the upgrade took away, is gone%s%s%s: nopsnap rollback %s --to %.8s goes back by %s", what,
            why ? " (" : "", why ? why : "", why ? ")" : "", x->txn.site_path, id,
            x->txn.safety && !strcmp(id, x->txn.safety)
                ? "the snapshot of it"
                : "the last snapshot with a dump, which has nothing of what came in before the stop");
    snapshot_record_release(&way);
    return rc;
}

static enum error_kind look_at_kept_database(struct transaction_context *x, struct preflight *p, struct error *err)
{
    struct database_info info = DATABASE_INFO_INIT;
    struct database *kept = NULL;
    bool there = false;
    enum error_kind rc = database_open_kept(x->reach.db, &x->txn.swap, DATABASE_OLD, &kept, err);

    if (!rc)
        rc = database_probe(kept, &info, err);
    there = !rc && info.exists && info.identity && x->txn.swap.old_identity &&
            !strcmp(info.identity, x->txn.swap.old_identity);
    if (!rc && !there)
        rc = say_gone(x, "the database", NULL, p, err);
    database_info_release(&info);
    database_close(kept);
    return rc;
}

/* While nothing is stopped yet: what would keep the server from going back is a problem of the plan. */
static enum error_kind look_at_point(struct transaction_context *x, struct preflight *p, struct error *err)
{
    struct error why = ERROR_INIT;
    enum error_kind rc = database_point_look(x->reach.db, &x->txn.point, &why);

    if (rc == ERR_PENDING)
        return say_gone(x, "the server's snapshot of the database", why.text, p, err);
    if (rc == ERR_REFUSED)
        return text_list_addf(&p->problems, err, "%s; %s", why.text, why.hint);
    if (rc)
        error_copy(err, &why);
    return rc;
}

static enum error_kind look_at_kept(struct transaction_context *x, struct preflight *p, struct error *err)
{
    const char *missing = NULL;
    enum error_kind rc = units_are_kept(&x->txn.units, false, &missing, err);

    if (!rc && missing)
        rc = say_gone(x, missing, NULL, p, err);
    if (!rc && x->txn.has_point)
        rc = look_at_point(x, p, err);
    return rc || !x->txn.has_swap ? rc : look_at_kept_database(x, p, err);
}

static enum error_kind look_at_sides(struct transaction_context *x, struct preflight *p, struct error *err)
{
    enum database_side side = DATABASE_NEW;
    struct error why = ERROR_INIT;
    bool there = false;
    enum error_kind rc = units_are(&x->txn.units, true, &there, &why);

    if (!rc && !there)
        return text_list_addf(&p->problems, err, "%s is not the tree that the upgrade put there", x->txn.site_path);
    if (!rc)
        rc = look_at_kept(x, p, &why);
    if (!rc && !p->problems.count && x->txn.has_swap)
        rc = database_swap_side(x->reach.db, &x->txn.swap, &side, &why);
    if (!rc && side != DATABASE_NEW)
        return text_list_add(&p->problems, "the database is not the one that the upgrade put there", err);
    return rc ? text_list_add(&p->problems, why.text, err) : OK;
}

/* Between the plan and our lock somebody may have taken away what is to come back. */
static enum error_kind look_again(struct transaction_context *x, struct error *err)
{
    struct preflight p = {.stop_how = NULL};
    enum error_kind rc = look_at_sides(x, &p, err);

    if (!rc && p.problems.count)
        rc = error_set(err, ERR_REFUSED, 0, "%s", p.problems.items[0]);
    preflight_release(&p);
    return rc;
}

static enum error_kind find_snapshots(struct transaction_context *x, struct rollback_plan *plan, struct error *err)
{
    struct error why = ERROR_INIT;
    enum error_kind rc;

    if (!x->txn.safety)
        return error_set(err, ERR_CORRUPT, 0, "the record of the upgrade names no restore point");
    rc = snapshot_find(x->cat, NULL, x->txn.safety, &plan->target, err);
    if (!rc && snapshot_find(x->cat, NULL, x->txn.target, &x->target, &why) != OK && why.kind != ERR_NOT_FOUND) {
        error_copy(err, &why);
        rc = why.kind;
    }
    /* Without its dump as yet: what is newer than the snapshot of before the stop is at least all of it. */
    if (!rc && (plan->target.has_dump || x->target.has_dump)) {
        rc = restore_database_facts(plan->target.has_dump ? &plan->target : &x->target, &x->facts, err);
        x->has_facts = !rc;
    }
    return rc;
}

static enum error_kind plan_losses(struct transaction_context *x, struct rollback_plan *plan, struct error *err)
{
    enum error_kind rc = x->has_facts ? database_newer(x->reach.db, &x->facts, &plan->losses, err) : OK;

    plan->mails_marked = x->txn.has_swap;
    if (!rc && x->facts.is_nopcommerce)
        rc = database_mails(x->reach.db, NULL, &x->facts, false, &plan->mails, err);
    return rc;
}

enum error_kind trial_plan(struct transaction_context *x, const struct progress *progress, struct rollback_plan *plan,
                           struct error *err)
{
    struct kept k = {.txn = TXN_INIT};
    char until[TEXT_MAX];
    enum error_kind rc = kept_read(&x->place, &k, err);

    progress_step(progress, "looking at what the upgrade took away");
    plan->trial = true;
    plan->files = true;
    plan->database = k.txn.has_database;
    text_moment(kept_trial_end_ns(&k), until);
    if (!rc)
        rc = take_over(x, &k, err);
    if (!rc)
        rc = memory_format(&plan->why_target, err, "before the upgrade to %s, whose trial runs until %s",
                           x->txn.to_version, until);
    if (!rc)
        rc = find_snapshots(x, plan, err);
    if (!rc)
        rc = reach_for_txn(&x->reach, x->cat, x->site, &x->txn, &x->target, err);
    if (!rc)
        rc = look_at_sides(x, &plan->preflight, err);
    if (!rc && plan->database && !plan->preflight.problems.count)
        rc = plan_losses(x, plan, err);
    if (!rc && x->txn.has_point)
        rc = text_list_add(&plan->preflight.in_place,
                           "the database goes back to the server's snapshot of it, after the present state is saved; "
                           "that breaks the chain of its log backups, so that a full backup is due afterwards",
                           err);
    if (!rc && x->txn.has_point && x->facts.is_nopcommerce)
        rc =
            text_list_add(&plan->preflight.remarks,
                          "mails that were queued when the shop was stopped for the upgrade, and have been sent since, "
                          "are queued in that again: the old shop would send them once more",
                          err);
    if (!rc && x->txn.database_in_place && !x->txn.has_point)
        rc = text_list_add(&plan->preflight.in_place,
                           "the database was migrated in place: the snapshot of before is loaded into it, after the "
                           "present state is saved",
                           err);
    if (!rc)
        rc = preflight_fence(x, &plan->preflight, err);
    if (!rc)
        rc = preflight_processes(x, &plan->preflight, err);
    kept_release(&k);
    return rc;
}

/* ---- the run ---- */

static enum error_kind lock(struct transaction_context *x, struct error *err)
{
    struct kept k = {.txn = TXN_INIT};
    bool changed = false;
    char site_id[17];
    enum error_kind rc = place_lock_since(&x->place, x->place.seen_ns, LOCK_TIMEOUT_MS, &changed, err);

    if (!rc && place_has(&x->place, "journal")) {
        rc = error_set(err, ERR_PENDING, 0, "an unfinished transaction at %s", x->txn.site_path);
        error_hint(err, "nopsnap recover %s", x->txn.site_path);
    }
    if (!rc && changed)
        rc = place_refuse_stale(&x->place, err);
    if (!rc) /* a decision left by a crash would be one of this very token */
        rc = journal_tidy(&x->place, err);
    if (!rc)
        rc = kept_read(&x->place, &k, err);
    if (!rc && strcmp(k.txn.token, x->txn.token) != 0)
        rc = place_refuse_stale(&x->place, err);
    if (!rc)
        rc = catalog_site_id(x->cat, x->txn.site_path, site_id, err);
    if (!rc)
        rc = catalog_site_lock(x->cat, site_id, true, LOCK_TIMEOUT_MS, &x->site_lock, err);
    kept_release(&k);
    return rc;
}

static enum error_kind begin(struct transaction_context *x, struct transaction_result *out, struct error *err)
{
    struct json *record = NULL;
    char *path = NULL;
    enum error_kind rc = lock(x, err);

    if (!rc)
        rc = look_again(x, err);
    if (!rc)
        rc = memory_string(x->txn.token, &out->transaction, err);
    if (!rc)
        rc = path_join(x->txn.stage, "linked", &path, err);
    if (!rc)
        rc = linked_open(path, &x->linked, err);
    if (!rc)
        rc = fence_init(&x->fence, &x->place, &x->txn, err);
    if (!rc)
        rc = txn_encode(&x->txn, &record, err);
    if (!rc) {
        json_put_text(record, "step", "begin");
        rc = journal_create(&x->journal, &x->place, record, err);
    }
    json_free(record);
    free(path);
    return rc;
}

/* Nothing was exchanged yet: the upgraded shop starts again, and its trial goes on. */
static enum error_kind stay(struct transaction_context *x, const struct progress *progress,
                            struct transaction_result *out, struct error *err)
{
    struct error why = ERROR_INIT;
    enum error_kind rc;

    cancel_reset();
    cancel_defer(true);
    rc = switch_start(x, false, progress, &why);
    if (!rc)
        rc = fence_down(&x->fence, &why);
    if (!rc)
        rc = journal_end(&x->journal, &x->place, &why);
    cancel_defer(false);
    if (!rc) {
        out->outcome = OUTCOME_UNDONE;
        health_tell(x, progress, out);
        return err->kind;
    }
    out->outcome = OUTCOME_HANDS;
    progress_warn(progress, "first: %s", err->text);
    error_clear(err);
    error_copy(err, &why);
    err->kind = ERR_PENDING;
    error_hint(err, "mend what the message names, then: nopsnap recover %s (which goes on going back)",
               x->txn.site_path);
    return ERR_PENDING;
}

static enum error_kind stop(struct transaction_context *x, const char *export_lost, const struct progress *progress,
                            struct error *err)
{
    struct text_list mails = TEXT_LIST_INIT;
    enum error_kind rc = switch_stop(x, false, progress, err);

    if (!rc && export_lost && x->has_facts)
        rc = database_export_newer(x->reach.db, &x->facts, export_lost, x->exported, err);
    if (!rc && x->txn.has_swap && x->facts.is_nopcommerce) /* or the old shop would send them again */
        rc = database_mails(x->reach.db, x->txn.swap.kept, &x->facts, true, &mails, err);
    text_list_release(&mails);
    return rc ? rc : cancel_check(err);
}

static enum error_kind back(struct transaction_context *x, const struct progress *progress, struct error *err)
{
    enum error_kind rc = txn_note_rest(&x->journal, &x->txn, false, err);

    if (!rc)
        rc = switch_save_in_place(x, progress, err);
    if (!rc)
        rc = switch_to(x, false, progress, err);
    if (!rc)
        rc = switch_start(x, false, progress, err);
    return rc ? rc : switch_end(x, false, err);
}

static enum error_kind hands(struct transaction_context *x, struct transaction_result *out, struct error *err)
{
    out->outcome = OUTCOME_HANDS;
    err->kind = ERR_PENDING;
    error_hint(err, "mend what the message names, then: nopsnap recover %s", x->txn.site_path);
    return ERR_PENDING;
}

/* The journal could not be brought to disk: it goes again, with the shop untouched and running, and the trial goes on. */
static enum error_kind never_begun(struct transaction_context *x, struct transaction_result *out, struct error *err)
{
    struct error why = ERROR_INIT;

    if (x->journal.fd < 0 || journal_end(&x->journal, &x->place, &why) == OK)
        return err->kind;
    error_clear(err);
    error_copy(err, &why);
    return hands(x, out, err);
}

enum error_kind trial_run(struct transaction_context *x, const struct progress *progress,
                          struct transaction_result *out, struct error *err)
{
    struct error ignored = ERROR_INIT;
    char *point = NULL;
    enum error_kind rc;

    x->txn.was_unwell = !health_is_well(&x->txn);
    rc = begin(x, out, err);

    if (rc)
        return never_begun(x, out, err);
    rc = stop(x, x->export_lost, progress, err);
    if (rc)
        return stay(x, progress, out, err);
    cancel_defer(true);
    rc = back(x, progress, err);
    cancel_defer(false);
    if (rc)
        return hands(x, out, err);
    out->outcome = OUTCOME_DONE;
    health_tell(x, progress, out);
    run_note_times(x, out);
    (void)memory_string(x->txn.safety, &point, &ignored);
    reach_release(&x->reach);
    run_save_taken(x, progress, out);
    if (point) /* the shop is that again: it falls under `keep` like any other */
        (void)snapshot_hold_release(x->cat, point, false, &ignored);
    if (point && x->txn.database_later) /* files only, and they are there */
        (void)snapshot_forget(x->cat, (const char *const *)&point, 1, &ignored);
    free(point);
    return OK;
}
