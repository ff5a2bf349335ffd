/*
 * The plan of a rollback: what will change, what will be lost, what stands in the way. It writes nothing; --dry-run
 * prints it, and rollback_run() takes it up where it ends.
 */
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "transaction_internal.h"

#define CHANGES_SHOWN 1000

void transaction_context_release(struct transaction_context *x)
{
    if (!x)
        return;
    shop_watch_release(&x->watch);
    linked_close(x->linked);
    fence_release(&x->fence);
    journal_close(&x->journal);
    reach_release(&x->reach);
    txn_release(&x->txn);
    snapshot_record_release(&x->target);
    snapshot_record_release(&x->point);
    database_facts_release(&x->facts);
    memory_free_secret(x->keep_string);
    catalog_site_unlock(x->site_lock);
    place_release(&x->place);
}

void rollback_plan_free(struct rollback_plan *plan)
{
    if (!plan)
        return;
    snapshot_record_release(&plan->target);
    free(plan->why_target);
    free(plan->other_candidate);
    text_list_release(&plan->changes);
    database_losses_release(&plan->losses);
    text_list_release(&plan->mails);
    preflight_release(&plan->preflight);
    if (plan->context)
        transaction_context_release(plan->context);
    free(plan->context);
    free(plan);
}

void transaction_result_release(struct transaction_result *r)
{
    free(r->transaction);
    free(r->safety_snapshot);
    free(r->unwell);
    text_list_release(&r->left);
    text_list_release(&r->exported);
    *r = (struct transaction_result){.outcome = OUTCOME_NOTHING};
}

/* ---- differences ---- */

/* Seen from the snapshot to the live tree; the plan speaks of the way back, so added becomes "goes". */
static enum error_kind count_difference(void *arg, const struct difference *d, struct error *err)
{
    struct rollback_plan *plan = arg;
    char shown[512];
    char sign = '~';

    if (d->kind == DIFFERENCE_ADDED) {
        plan->files_removed++;
        sign = '-';
    } else if (d->kind == DIFFERENCE_REMOVED) {
        plan->files_added++;
        sign = '+';
    } else {
        plan->files_changed++;
    }
    if (d->kind != DIFFERENCE_ADDED && d->kind != DIFFERENCE_ATTRIBUTES)
        plan->bytes_to_write += d->old_size;
    if (plan->changes.count >= CHANGES_SHOWN)
        return OK;
    text_name(d->path, strlen(d->path), shown, sizeof(shown));
    return text_list_addf(&plan->changes, err, "%c %s", sign, shown);
}

static enum error_kind plan_files(struct transaction_context *x, const struct progress *progress,
                                  struct rollback_plan *plan, struct error *err)
{
    struct snapshot_root *root = &plan->target.roots[0];

    if (!plan->files)
        return OK;
    if (!x->site->exists) {
        plan->files_added = root->files;
        plan->bytes_to_write = root->bytes;
        return text_list_addf(&plan->preflight.remarks, err, "%s does not exist: it is made again whole",
                              x->site->path);
    }
    progress_step(progress, "comparing %s with the snapshot", x->site->path);
    return difference_live(x->cat, &plan->target, x->site, count_difference, plan, err);
}

/* ---- the database ---- */

static enum error_kind name_both(const struct database_target *restored, const struct database_target *live,
                                 struct rollback_plan *plan, struct error *err)
{
    char *then = NULL;
    char *now = NULL;
    enum error_kind rc = database_target_shown(restored, &then, err);

    if (!rc)
        rc = database_target_shown(live, &now, err);
    if (!rc)
        rc =
            text_list_addf(&plan->preflight.problems, err,
                           "the restored settings name another database (%s) than today's (%s), and what is in today's "
                           "would neither go back nor be saved: say --keep-connection to go back in today's, or --only "
                           "files to leave both as they are",
                           then, now);
    free(then);
    free(now);
    return rc;
}

/* Losses are counted, and the safety snapshot is taken, where the shop's rows are today (P3). */
static enum error_kind check_same_database(const struct site_connection *restored, const struct site_connection *live,
                                           struct rollback_plan *plan, struct error *err)
{
    struct error ignored = ERROR_INIT;
    struct database_target then = DATABASE_TARGET_INIT;
    struct database_target now = DATABASE_TARGET_INIT;
    enum error_kind rc = OK;

    if (live->string && live->provider && restored->provider &&
        database_target_parse(restored->provider, restored->string, &then, &ignored) == OK &&
        database_target_parse(live->provider, live->string, &now, &ignored) == OK && !database_target_same(&then, &now))
        rc = name_both(&then, &now, plan, err);
    database_target_release(&then);
    database_target_release(&now);
    return rc;
}

/*
 * The database that is rolled back is the one that the restored settings will name. When those can't log in (a password rotated
 * since) but today's settings reach the same database, --keep-connection is the way.
 */
static enum error_kind reach_database(struct transaction_context *x, const struct rollback_options *o,
                                      struct rollback_plan *plan, struct error *err)
{
    struct site_connection restored = {SITE_SETTINGS_NONE, NULL, NULL, NULL};
    const struct site_connection *live = &x->site->connection;
    const char *admin = x->txn.database_admin;
    struct error by_snapshot = ERROR_INIT;
    enum error_kind rc = ERR_NOT_FOUND;

    if (plan->files || !live->string)
        rc = reach_snapshot_connection(x->cat, &plan->target, x->site->config, &restored, &by_snapshot);
    if (!rc && live->string && live->form == SITE_SETTINGS_ENVIRONMENT) {
        site_connection_release(&restored); /* the environment overrides whatever the restored file says */
        rc = ERR_NOT_FOUND;
    }
    if (!rc && !(o->keep_connection && live->string)) {
        rc = check_same_database(&restored, live, plan, err);
        if (rc) {
            site_connection_release(&restored);
            return rc;
        }
        rc = reach_by(&x->reach, &restored, admin, &by_snapshot);
    } else {
        rc = ERR_NOT_FOUND;
    }
    if (rc && live->string) {
        plan->login_fails = plan->files && by_snapshot.kind == ERR_REMOTE;
        rc = reach_by(&x->reach, live, admin, err);
    } else if (rc) {
        error_copy(err, &by_snapshot);
    }
    site_connection_release(&restored);
    if (!rc && o->keep_connection && live->string)
        rc = memory_string(live->string, &x->keep_string, err);
    return rc;
}

static enum error_kind plan_losses(struct transaction_context *x, struct rollback_plan *plan, struct error *err)
{
    enum error_kind rc = database_newer(x->reach.db, &x->facts, &plan->losses, err);

    if (!rc && x->facts.is_nopcommerce)
        rc = database_mails(x->reach.db, NULL, &x->facts, false, &plan->mails, err);
    return rc;
}

/* A backup made by the server itself goes back by way of a folder that both see (P12). */
static enum error_kind check_loads(struct transaction_context *x, struct rollback_plan *plan, struct error *err)
{
    const struct site_config *config = x->site->config;
    struct database_native native = {DATABASE_LOGICAL, config ? config->sqlserver_backup_path : NULL,
                                     config ? config->sqlserver_backup_local : NULL};
    struct error missing = ERROR_INIT;
    enum error_kind rc;

    database_native_use(x->reach.db, &native);
    rc = database_load_check(x->reach.db, &x->facts, true, &missing);
    if (rc == ERR_REFUSED)
        return text_list_addf(&plan->preflight.problems, err, "%s%s%s", missing.text, missing.hint[0] ? "; " : "",
                              missing.hint);
    if (rc)
        error_copy(err, &missing);
    return rc;
}

static enum error_kind plan_database(struct transaction_context *x, const struct rollback_options *o,
                                     const struct progress *progress, struct rollback_plan *plan, struct error *err)
{
    struct database_info info = DATABASE_INFO_INIT;
    enum error_kind rc;

    if (!plan->database)
        return OK;
    progress_step(progress, "looking at the database");
    rc = restore_database_facts(&plan->target, &x->facts, err);
    x->has_facts = !rc;
    if (!rc)
        rc = reach_database(x, o, plan, err);
    if (!rc)
        rc = check_loads(x, plan, err);
    if (!rc)
        rc = database_probe(x->reach.db, &info, err);
    for (size_t i = 0; !rc && i < info.obstacles.count; i++)
        rc = text_list_add(&plan->preflight.problems, info.obstacles.items[i], err);
    for (size_t i = 0; !rc && i < info.remarks.count; i++)
        rc = text_list_add(&plan->preflight.remarks, info.remarks.items[i], err);
    for (size_t i = 0; !rc && i < info.unreadable.count; i++)
        rc = text_list_addf(&plan->preflight.problems, err, "%s: what is taken away could not be saved",
                            info.unreadable.items[i]);
    if (!rc && x->facts.engine != info.engine)
        rc = text_list_addf(&plan->preflight.problems, err, "the snapshot's dump is of %s, the shop's database is %s",
                            database_engine_name(x->facts.engine), database_engine_name(info.engine));
    if (!rc)
        rc = txn_describe_database(&x->txn, &x->reach.target, info.identity, err);
    if (!rc)
        rc = reach_say_without(&x->reach, info.can_beside, &plan->preflight, progress, err);
    x->txn.database_in_place = !rc && !info.can_beside;
    plan->mails_marked = !x->txn.database_in_place;
    if (x->txn.database_in_place && info.exists)
        rc = text_list_addf(&plan->preflight.in_place, err,
                            "the database is changed in place: %s; the present state is saved first",
                            info.why_in_place ? info.why_in_place : "no other database can be made");
    if (!rc && info.exists)
        rc = plan_losses(x, plan, err);
    else if (!rc && !info.obstacles.count)
        rc = text_list_addf(&plan->preflight.remarks, err, "the database does not exist: it is made again whole");
    database_info_release(&info);
    return rc;
}

/* ---- the whole ---- */

static enum error_kind describe_target(struct transaction_context *x, const struct rollback_plan *plan,
                                       struct error *err)
{
    struct txn *t = &x->txn;
    enum error_kind rc = txn_describe_catalog(t, x->cat, err);

    if (!rc)
        rc = memory_string(plan->target.id, &t->target, err);
    t->has_files = plan->files;
    t->has_database = plan->database;
    if (!rc && plan->files != plan->database)
        rc = memory_string(plan->files ? "files" : "database", &t->only, err);
    return rc;
}

static enum error_kind plan_trial(struct transaction_context *x, const struct rollback_options *o,
                                  const struct progress *progress, struct rollback_plan *plan, struct error *err)
{
    enum error_kind rc = txn_describe(&x->txn, x->site, o->health_timeout_ms, err);

    if (!rc)
        rc = place_find(x->site->path, &x->place, err);
    if (!rc)
        x->place.seen_ns = place_changed_ns(&x->place);
    return rc ? rc : trial_plan(x, progress, plan, err);
}

enum error_kind rollback_plan(struct catalog *cat, struct site *site, const struct rollback_options *options,
                              const struct progress *progress, struct rollback_plan **out, struct error *err)
{
    struct rollback_plan *plan = NULL;
    struct transaction_context *x = NULL;
    char site_id[17];
    bool trial = false;
    enum error_kind rc = memory_zeroed(1, sizeof(*plan), (void **)&plan, err);

    if (!rc)
        rc = memory_zeroed(1, sizeof(*x), (void **)&x, err);
    if (rc)
        goto done;
    plan->context = x;
    *x = (struct transaction_context){.cat = cat,
                                      .site = site,
                                      .place = PLACE_INIT,
                                      .journal = JOURNAL_INIT,
                                      .txn = TXN_INIT,
                                      .facts = DATABASE_FACTS_INIT,
                                      .reach = REACH_INIT,
                                      .export_lost = options->export_lost};
    rc = catalog_site_id(cat, site->path, site_id, err);
    if (!rc)
        rc = trial_is_open(site->path, &trial, err);
    if (!rc && trial && !options->to && options->only == SNAPSHOT_WHOLE) {
        rc = plan_trial(x, options, progress, plan, err);
        goto done;
    }
    if (!rc && trial)
        rc = text_list_add(&plan->preflight.remarks,
                           "the upgrade's trial ends with this: what it took away stays a held snapshot", err);
    if (!rc)
        rc = rollback_target(cat, site, site_id, options, plan, err);
    if (!rc && plan->files) /* what is left of the tree may no longer look like a shop */
        rc = target_rules(site, &plan->target, err);
    if (!rc)
        rc = txn_describe(&x->txn, site, options->health_timeout_ms, err);
    if (!rc)
        rc = describe_target(x, plan, err);
    if (!rc)
        rc = place_choose(site->path, site->layout == SITE_LEGACY, &x->place, err);
    if (!rc)
        x->place.seen_ns = place_changed_ns(&x->place);
    if (!rc)
        rc = plan_database(x, options, progress, plan, err);
    if (!rc)
        rc = plan_files(x, progress, plan, err);
    if (!rc)
        rc = rollback_preflight(x, options, plan, err);
done:
    if (rc) {
        rollback_plan_free(plan);
        return rc;
    }
    *out = plan;
    return OK;
}
