/*
 * Going forward: the plan and the run of an upgrade. It is a rollback's transaction with another source: the new tree is built by the room above,
 * the new database is a copy of the old one, and whether all is well is asked by the room above too.
 *
 *   F1  a whole snapshot is taken, and held, before anything is staged; what is carried over is linked and read back from it
 *   F2  the restore point is a whole snapshot of the stopped shop. Where the server can't copy a database, the copy is loaded from it: what the new shop
 *       migrates is proved to be in the catalogue. Where it can, the copy is counted against the original, and the restore point has the files until
 *       the shop runs again: then its dump is made from the original, which F3 keeps. The same where the server keeps what the database was (T8)
 *   F3  the original tree, and the original database or what the server keeps of it, are kept untouched until the trial is over, so that going back
 *       is exact
 *   F4  a restore point whose upgrade was undone is forgotten: nothing was taken away, so nothing is to be gone back to
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "thread.h"
#include "transaction_internal.h"

#define SITE_LOCK_TIMEOUT_MS 60000

/*
 * For the plan: dump and load of a shop's database go at 15 to 20 MiB of its size on the server a second, stop, walk and start take a second and 5 µs a
 * file (bench/upgrade.py, on two processors).
 */
#define COPY_BYTES_A_SECOND (15u << 20)
#define COPY_BY_SERVER_A_SECOND (150u << 20)
#define COPY_LEAST_MS 300
#define OTHER_MS 1000
#define FILES_A_MS 80

/* ---- the plan ---- */

void forward_plan_free(struct forward_plan *plan)
{
    if (!plan)
        return;
    preflight_release(&plan->preflight);
    if (plan->context)
        transaction_context_release(plan->context);
    free(plan->context);
    free(plan);
}

struct database *forward_plan_database(const struct forward_plan *plan)
{
    return plan->context->reach.db;
}

void forward_result_release(struct forward_result *r)
{
    transaction_result_release(&r->transaction);
    free(r->before);
    database_losses_release(&r->meantime);
    *r = (struct forward_result){.before = NULL};
}

static enum error_kind plan_database(struct transaction_context *x, struct forward_plan *plan,
                                     const struct progress *progress, struct error *err)
{
    struct database_info info = DATABASE_INFO_INIT;
    enum error_kind rc;

    if (!x->site->connection.string) {
        plan->database = false;
        return text_list_add(&plan->preflight.problems,
                             "the shop's settings name no database: an upgrade without it is none", err);
    }
    plan->database = true;
    x->txn.has_database = true;
    rc = reach_by(&x->reach, &x->site->connection, x->txn.database_admin, err);
    if (!rc)
        rc = database_probe(x->reach.db, &info, err);
    if (!rc && !info.exists)
        rc = text_list_add(&plan->preflight.problems, "the shop's database does not exist", err);
    for (size_t i = 0; !rc && i < info.obstacles.count; i++)
        rc = text_list_add(&plan->preflight.problems, info.obstacles.items[i], err);
    for (size_t i = 0; !rc && i < info.remarks.count; i++)
        rc = text_list_add(&plan->preflight.remarks, info.remarks.items[i], err);
    for (size_t i = 0; !rc && i < info.unreadable.count; i++)
        rc = text_list_addf(&plan->preflight.problems, err, "%s: it could not be saved", info.unreadable.items[i]);
    if (!rc)
        rc = txn_describe_database(&x->txn, &x->reach.target, info.identity, err);
    if (!rc)
        rc = reach_say_without(&x->reach, info.can_beside, &plan->preflight, progress, err);
    x->txn.database_in_place = !rc && !info.can_beside;
    plan->database_bytes = info.size;
    if (!rc && x->txn.database_in_place)
        rc = text_list_addf(&plan->preflight.in_place, err,
                            "the database is migrated in place: %s; going back loads the snapshot of before",
                            info.why_in_place ? info.why_in_place : "no other database can be made");
    database_info_release(&info);
    return rc;
}

/* What only trying can prove is tried later, under the journal. */
static enum error_kind plan_point(struct transaction_context *x, struct forward_plan *plan, struct error *err)
{
    const struct site_config *config = x->site->config;
    char *why = NULL;
    enum error_kind rc;

    if (!plan->database || x->txn.database_in_place || !database_has_points(x->reach.db))
        return OK;
    if (config && config->sqlserver_upgrade && !strcmp(config->sqlserver_upgrade, "copy"))
        rc = memory_string("sqlserver-upgrade = copy says so", &why, err);
    else
        rc = database_point_possible(x->reach.db, &why, err);
    x->may_point = !rc && !why;
    if (!rc && !why)
        rc = text_list_add(
            &plan->preflight.remarks,
            "the database is migrated where it is: the server keeps a snapshot of it to go back by. If it makes none, the "
            "database is copied",
            err);
    else if (!rc)
        rc = text_list_addf(
            &plan->preflight.remarks, err,
            "the database is copied by a dump and a load: the server keeps no snapshot of it, because %s", why);
    free(why);
    return rc;
}

static enum error_kind say_sessions(struct transaction_context *x, struct preflight *p, struct error *err)
{
    struct text_list sessions = TEXT_LIST_INIT;
    enum error_kind rc = x->reach.db ? database_sessions(x->reach.db, NULL, &sessions, err) : OK;

    for (size_t i = 0; i < sessions.count && !rc; i++)
        if (!database_session_is_shops(x->reach.db, sessions.items[i]))
            rc = text_list_addf(&p->remarks, err, "in the database now, and ended for the exchange: %s",
                                sessions.items[i]);
    text_list_release(&sessions);
    return rc;
}

/* The tree is exchanged whole: what lies on a mount in it would be taken away with the old tree. */
static enum error_kind check_mounts(struct transaction_context *x, struct preflight *p, struct error *err)
{
    struct text_list mounts = TEXT_LIST_INIT;
    size_t n = strlen(x->site->path);
    enum error_kind rc = mounts_below(x->site->path, &mounts, err);

    x->txn.split = x->place.inside || mounts.count > 0;
    for (size_t i = 0; i < mounts.count && !rc; i++)
        if (mounts.items[i][n] != '/')
            rc = text_list_addf(&p->problems, err, "%s is a mount point itself: an upgrade exchanges the whole folder",
                                mounts.items[i]);
        else if (!site_leaves_out_below(x->site, mounts.items[i] + n + 1))
            rc = text_list_addf(
                &p->problems, err,
                "%s is a mount point inside the shop: mount it elsewhere, and let a symlink lead there, which comes over",
                mounts.items[i]);
    if (!rc && x->place.inside && !mounts.count)
        rc = text_list_addf(&p->problems, err,
                            "%s can't be written to: the new tree is built there, beside the old one", x->place.parent);
    text_list_release(&mounts);
    return rc;
}

static enum error_kind check_space(struct transaction_context *x, const struct forward_options *o,
                                   const struct forward_plan *plan, struct preflight *p, struct error *err)
{
    uint64_t tree = o->new_bytes + o->new_files * SPACE_PER_FILE + SPACE_MARGIN;
    /* The first snapshot may be new to the catalogue altogether; what compresses badly is all of it. */
    uint64_t stored = plan->database_bytes + SPACE_MARGIN;
    enum error_kind rc = need_space(x->place.parent, "the new tree", tree, p, err);

    return rc ? rc : need_space(catalog_path(x->cat), "the snapshots of before", stored, p, err);
}

static enum error_kind check_kept(struct transaction_context *x, struct preflight *p, struct error *err)
{
    struct kept_state kept;
    enum error_kind rc = kept_look(x->site->path, &kept, err);

    if (!rc && kept.trial_end_ns)
        rc =
            text_list_addf(&p->problems, err,
                           "the upgrade to %s is still in its trial: nopsnap confirm %s ends that, nopsnap rollback %s "
                           "takes it back",
                           kept.to_version ? kept.to_version : "?", x->site->path, x->site->path);
    kept_state_release(&kept);
    return rc;
}

static enum error_kind preflight(struct transaction_context *x, const struct forward_options *o,
                                 struct forward_plan *plan, struct error *err)
{
    struct preflight *p = &plan->preflight;
    enum error_kind rc = check_kept(x, p, err);

    if (!rc)
        rc = check_mounts(x, p, err);
    if (!rc)
        rc = preflight_catalog(x, p, err);
    if (!rc)
        rc = check_space(x, o, plan, p, err);
    if (!rc)
        rc = preflight_fence(x, p, err);
    if (!rc)
        rc = preflight_processes(x, p, err);
    if (!rc)
        rc = say_sessions(x, p, err);
    if (!rc && !o->shared && plan->database) {
        x->has_facts = true; /* what sharing is asked about */
        rc = preflight_sharing(x, o->config, p, err);
        x->has_facts = false;
    }
    return rc;
}

enum error_kind forward_plan(struct catalog *cat, struct site *site, const struct forward_options *options,
                             const struct progress *progress, struct forward_plan **out, struct error *err)
{
    struct forward_plan *plan = NULL;
    struct transaction_context *x = NULL;
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
                                      .reach = REACH_INIT};
    progress_step(progress, "looking at the shop");
    rc = txn_describe(&x->txn, site, options->health_timeout_ms, err);
    if (!rc)
        rc = txn_describe_catalog(&x->txn, cat, err);
    x->txn.has_files = true;
    x->txn.trial_ms = options->trial_ms;
    if (!rc)
        rc = memory_string(options->from, &x->txn.from_version, err);
    if (!rc)
        rc = memory_string(options->to, &x->txn.to_version, err);
    if (!rc)
        rc = place_choose(site->path, site->layout == SITE_LEGACY, &x->place, err);
    if (!rc)
        x->place.seen_ns = place_changed_ns(&x->place);
    if (!rc)
        rc = plan_database(x, plan, progress, err);
    x->txn.database_later = !rc && plan->database && !x->txn.database_in_place && database_copies(x->reach.db);
    if (!rc)
        rc = plan_point(x, plan, err);
    plan->copy_ms = COPY_LEAST_MS;
    if (!x->may_point)
        plan->copy_ms +=
            plan->database_bytes * 1000 / (x->txn.database_later ? COPY_BY_SERVER_A_SECOND : COPY_BYTES_A_SECOND);
    plan->other_ms = OTHER_MS + options->new_files / FILES_A_MS;
    if (!rc)
        rc = preflight(x, options, plan, err);
done:
    if (rc) {
        forward_plan_free(plan);
        return rc;
    }
    *out = plan;
    return OK;
}

/* ---- F1: the first snapshot ---- */

static enum error_kind refuse_unread(const struct snapshot_result *s, struct error *err)
{
    enum error_kind rc;

    if (!s->record.unread.count)
        return OK;
    rc = error_set(err, ERR_REFUSED, 0, "the shop could not be saved whole: %s", s->record.unread.items[0]);
    error_hint(err, "nothing was changed; make that readable, or leave it out with `exclude` in the config");
    return rc;
}

static enum error_kind snapshot_first(struct transaction_context *x, const struct progress *progress, struct error *err)
{
    static const char *const tags[] = {"upgrade", NULL};
    struct snapshot_options o = SNAPSHOT_OPTIONS_INIT;
    struct snapshot_result result = {.files = 0};
    struct catalog_site_lock *lock = NULL;
    char site_id[17];
    enum error_kind rc = catalog_site_id(x->cat, x->site->path, site_id, err);

    progress_step(progress, "taking a snapshot of the shop");
    o.kind = SNAPSHOT_BEFORE_UPGRADE;
    o.tags = tags;
    if (!rc)
        rc = catalog_site_lock(x->cat, site_id, false, SITE_LOCK_TIMEOUT_MS, &lock, err);
    if (!rc)
        rc = transaction_refuse_pending(x->site->path, err);
    if (!rc)
        rc = snapshot_take(x->cat, x->site, x->reach.db, &o, progress, &result, err);
    catalog_site_unlock(lock);
    if (!rc)
        rc = refuse_unread(&result, err);
    if (!rc)
        rc = marks_hold_first(x->cat, &x->txn, result.record.id, err);
    if (!rc)
        rc = memory_string(result.record.id, &x->txn.target, err);
    if (!rc)
        rc = restore_database_facts(&result.record, &x->facts, err);
    x->has_facts = !rc;
    if (!rc) {
        x->target = result.record; /* moved */
        result.record = (struct snapshot_record)SNAPSHOT_RECORD_INIT;
    }
    snapshot_result_release(&result);
    return rc;
}

/* ---- staging, while the shop is open ---- */

static enum error_kind build(struct transaction_context *x, const struct progress *progress, struct error *err)
{
    char *tree = NULL;
    char *scratch = NULL;
    enum error_kind rc = stage_tree_path(&x->txn, &tree, err);

    if (!rc)
        rc = path_join(x->txn.stage, "scratch", &scratch, err);
    if (!rc)
        rc = directory_make(AT_FDCWD, scratch, 0700, err);
    if (!rc)
        rc = x->steps->build(x->steps->arg, tree, scratch, progress, err);
    if (!rc)
        rc = directory_remove_tree(AT_FDCWD, scratch, err);
    free(tree);
    free(scratch);
    return rc;
}

static enum error_kind prepare(struct transaction_context *x, const struct progress *progress,
                               struct transaction_result *out, struct error *err)
{
    enum error_kind rc = stage_tree(x, progress, out, err);

    if (!rc)
        rc = build(x, progress, err);
    if (!rc)
        rc = run_step(x, "staged", &x->txn.staged, err);
    if (!rc && x->may_point)
        rc = stage_point_try(x, progress, err);
    if (!rc && x->txn.has_database && !x->txn.database_in_place)
        rc = stage_database_place(x, progress, err);
    if (!rc)
        x->links_known = renewal_linked(x->cat, x->site, &x->txn, &x->target, x->linked, progress);
    return rc ? rc : cancel_check(err);
}

/* ---- once the shop is stopped ---- */

/* Only a dump tells where they are. */
static const char *pictures_outside(const struct transaction_context *x)
{
    for (size_t i = 0; i < x->target.root_count; i++)
        if (!strcmp(x->target.roots[i].name, "pictures"))
            return x->target.roots[i].path;
    return NULL;
}

/*
 * F2. Files that were linked while staging have a new ctime, and would all be read: they stand for what they were proved to be, unless the shop wrote
 * into one since.
 */
static enum error_kind restore_point(struct transaction_context *x, const struct progress *progress, struct error *err)
{
    struct linked_entries entries = LINKED_ENTRIES_INIT;
    struct snapshot_options o = SNAPSHOT_OPTIONS_INIT;
    struct snapshot_result result = {.files = 0};
    enum error_kind rc = OK;

    progress_step(progress, "taking the restore point");
    o.kind = SNAPSHOT_BEFORE_UPGRADE;
    o.stopped = true;
    o.transaction = x->txn.token;
    if (x->txn.database_later) {
        o.part = SNAPSHOT_FILES_ONLY;
        o.pictures = pictures_outside(x);
    }
    if (x->linked && !x->links_known) {
        entries.linked = x->linked;
        entries.cat = x->cat;
        entries.own_writes = true;
        entries.live = x->txn.site_path;
        rc = entry_steps_open(x->cat, &x->target, "site", &entries.steps, err);
        o.entry = linked_entries_ask;
        o.entry_arg = &entries;
    }
    if (!rc) /* in place there may be nothing but this to go back to, and then it is read back first */
        rc = stage_save(x, &o, x->txn.database_in_place && !x->txn.has_point, progress, &result, err);
    if (!rc)
        rc = refuse_unread(&result, err);
    if (!rc)
        rc = stage_note_safety(x, result.record.id, err);
    if (!rc) {
        snapshot_record_release(&x->point);
        x->point = result.record; /* moved */
        result.record = (struct snapshot_record)SNAPSHOT_RECORD_INIT;
    }
    if (!rc && !x->txn.database_later) {
        database_facts_release(&x->facts);
        rc = restore_database_facts(&x->point, &x->facts, err);
    }
    linked_entries_release(&entries);
    snapshot_result_release(&result);
    return rc;
}

static enum error_kind settle(struct transaction_context *x, const struct progress *progress, struct error *err)
{
    char *tree = NULL;
    enum error_kind rc = stage_tree_path(&x->txn, &tree, err);

    if (!rc)
        rc = forward_catch_up(x, tree, err);
    if (!rc)
        rc = x->steps->settle(x->steps->arg, x->reach.db, tree, x->txn.site_path, progress, err);
    if (!rc)
        rc = stage_sync(x, err);
    free(tree);
    return rc;
}

/* In place nothing but the restore point leads back from here: the journal says that the exchange has begun. */
static enum error_kind run_scripts(struct transaction_context *x, const struct progress *progress, struct error *err)
{
    struct database *copy = NULL;
    enum error_kind rc = OK;

    if (!x->steps->scripts)
        return OK;
    if (x->txn.has_swap)
        rc = database_open_beside(x->reach.db, x->txn.beside, &copy, err);
    if (!rc)
        rc = x->steps->scripts(x->steps->arg, copy ? copy : x->reach.db, progress, err);
    database_close(copy);
    return rc;
}

enum error_kind forward_start(struct transaction_context *x, bool *warned, const struct progress *progress,
                              struct error *err)
{
    enum error_kind rc = switch_start(x, false, progress, err);

    if (!rc)
        rc = x->steps->healthy(x->steps->arg, x->reach.db, &x->watch, warned, progress, err);
    if (!rc)
        x->started_ms = clock_monotonic_ms();
    return rc;
}

static enum error_kind act(struct transaction_context *x, bool *warned, const struct progress *progress,
                           struct error *err)
{
    enum error_kind rc = run_step(x, "fence_begun", &x->txn.fence_begun, err);

    if (!rc)
        rc = switch_stop(x, false, progress, err);
    if (!rc && x->txn.has_point)
        rc = stage_point_make(x, progress, err);
    if (!rc)
        rc = restore_point(x, progress, err);
    if (!rc)
        rc = settle(x, progress, err); /* it looks at the database, which nobody may while that is copied */
    if (!rc && x->txn.has_swap)
        rc = x->txn.database_later ? stage_database_copy(x, progress, err)
                                   : stage_database_fill(x, &x->point, progress, err);
    if (!rc && x->txn.has_swap)
        rc = run_scripts(x, progress, err);
    if (!rc)
        rc = run_note_units(x, err);
    if (!rc)
        rc = txn_note_rest(&x->journal, &x->txn, true, err);
    if (!rc)
        rc = run_step(x, "switch_begun", &x->txn.switch_begun, err);
    if (!rc && !x->txn.has_swap)
        rc = run_scripts(x, progress, err);
    if (!rc)
        rc = switch_to(x, true, progress, err);
    if (!rc)
        rc = run_step(x, "start_begun", &x->txn.start_begun, err);
    if (!rc)
        rc = forward_start(x, warned, progress, err);
    if (!rc)
        rc = forward_stages(x, warned, progress, err);
    x->commit_tried = !rc;
    if (!rc)
        rc = decision_write(&x->place, x->txn.token, DECISION_COMMIT, err); /* from here on only forward */
    return rc;
}

/* ---- the ends ---- */

/* What the new shop took in while it ran, before that goes into its snapshot. */
static void count_meantime(struct transaction_context *x, struct forward_result *out, const struct progress *progress)
{
    struct database *new_db = NULL;
    struct error why = ERROR_INIT;
    enum error_kind rc = OK;

    if (!x->txn.start_begun || !x->txn.has_swap)
        return;
    rc = database_open_kept(x->reach.db, &x->txn.swap, DATABASE_NEW, &new_db, &why);
    if (!rc)
        rc = database_newer(new_db, &x->facts, &out->meantime, &why);
    if (rc)
        progress_warn(progress, "what came in meanwhile was not counted: %s", why.text);
    database_close(new_db);
}

static enum error_kind give_up(struct transaction_context *x, struct forward_result *out,
                               const struct progress *progress, struct error *err)
{
    enum error_kind rc = run_give_up(x, progress, &out->transaction, err);

    if (out->transaction.outcome != OUTCOME_UNDONE)
        return rc;
    run_note_times(x, &out->transaction);
    count_meantime(x, out, progress);
    reach_release(&x->reach);
    run_save_taken(x, progress, &out->transaction);
    if (!place_has(&x->place, "kept")) /* else kept_clear() will */
        marks_tidy(x->cat, &x->txn, true, progress);
    return rc;
}

static enum error_kind refuse_problems(const struct forward_plan *plan, struct error *err)
{
    enum error_kind rc;

    if (!plan->preflight.problems.count)
        return OK;
    rc = error_set(err, ERR_REFUSED, 0, "preflight says no: %s%s", plan->preflight.problems.items[0],
                   plan->preflight.problems.count > 1 ? " (and more, see --dry-run)" : "");
    error_hint(err, "nopsnap upgrade --dry-run lists every problem; nothing was changed");
    return rc;
}

static enum error_kind begin(struct transaction_context *x, struct forward_result *out, const struct progress *progress,
                             struct error *err)
{
    enum error_kind rc = x->steps->look(x->steps->arg, x->reach.db, progress, err);

    if (!rc)
        rc = snapshot_first(x, progress, err);
    if (!rc)
        rc = run_begin(x, progress, err);
    if (!rc)
        rc = memory_string(x->txn.token, &out->transaction.transaction, err);
    if (!rc)
        rc = fence_init(&x->fence, &x->place, &x->txn, err);
    return rc;
}

/* The restore point, which may have become another snapshot when it got its dump. */
static enum error_kind note_point(struct transaction_context *x, struct forward_result *out, struct error *err)
{
    const char *point = out->transaction.safety_snapshot ? out->transaction.safety_snapshot : x->txn.safety;
    struct kept k = {.txn = TXN_INIT};
    struct error ignored = ERROR_INIT;
    enum error_kind rc;

    if (place_has(&x->place, "kept") && kept_read(&x->place, &k, &ignored) == OK && k.snapshot)
        point = k.snapshot;
    rc = memory_string(point, &out->before, err);
    kept_release(&k);
    return rc;
}

static enum error_kind finish(struct transaction_context *x, struct forward_result *out,
                              const struct progress *progress, struct error *err)
{
    enum error_kind rc;

    cancel_defer(true); /* the new shop has been found well: a signal that came since is too late */
    rc = switch_end(x, true, err);
    cancel_defer(false);
    if (rc) {
        out->transaction.outcome = OUTCOME_HANDS;
        err->kind = ERR_PENDING;
        error_hint(err, "the upgraded shop is running; nopsnap recover %s finishes the rest", x->txn.site_path);
        return ERR_PENDING;
    }
    out->transaction.outcome = OUTCOME_DONE;
    run_note_times(x, &out->transaction);
    if (x->txn.trial_ms)
        out->trial_end_ns = clock_now() + x->txn.trial_ms * 1000000;
    marks_tidy(x->cat, &x->txn, false, progress);
    reach_release(&x->reach);
    run_save_taken(x, progress, &out->transaction); /* while it is in its trial, only the restore point's dump */
    return note_point(x, out, err);
}

static enum error_kind run(struct catalog *cat, struct site *site, struct forward_plan *plan,
                           const struct forward_steps *steps, const struct progress *progress,
                           struct forward_result *out, struct error *err)
{
    struct transaction_context *x = plan->context;
    enum error_kind rc = refuse_problems(plan, err);

    *out = (struct forward_result){.transaction = {.outcome = OUTCOME_NOTHING}};
    if (rc)
        return rc;
    x->cat = cat;
    x->site = site;
    x->steps = steps;
    x->began_ms = clock_monotonic_ms();
    rc = begin(x, out, progress, err);
    if (rc && x->journal.fd < 0) {
        struct error first = *err;

        marks_tidy(x->cat, &x->txn, true, progress);
        *err = first;
        return rc;
    }
    if (!rc)
        rc = prepare(x, progress, &out->transaction, err);
    if (!rc)
        rc = act(x, &out->warned, progress, err);
    return rc ? give_up(x, out, progress, err) : finish(x, out, progress, err);
}

enum error_kind forward_run(struct catalog *cat, struct site *site, struct forward_plan *plan,
                            const struct forward_steps *steps, const struct progress *progress,
                            struct forward_result *out, struct error *err)
{
    struct step_times times;
    enum error_kind rc;

    step_times_begin(&times, progress);
    rc = run(cat, site, plan, steps, &times.progress, out, err);
    step_times_end(&times, out);
    return rc;
}
