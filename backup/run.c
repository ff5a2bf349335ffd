#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "process.h"
#include "run_log.h"

enum {
    SITE_LOCK_TIMEOUT_MS = 60000,
    REMOVAL_TIMEOUT_MS = 30000,
    MAX_UNUSED_PERCENT = 10,
    AFTER_TIMEOUT_MS = 12 * 3600 * 1000,
    VERIFY_BUDGET_MS = 10 * 60 * 1000
};
#define VERIFY_WITHIN_MS ((int64_t)30 * 24 * 3600 * 1000)
#define DAY_MS ((int64_t)24 * 3600 * 1000)

struct running {
    struct catalog *cat;
    struct site *site;
    const struct run_options *options;
    const struct progress *progress;
    struct run_result *result;
    struct keep_policy policy;
    char site_id[17];
    int64_t seen_ns; /* transaction_changed_ns() */
    struct catalog_site_lock *site_lock;
    const char *no_drill; /* why none is due, or NULL */
};

const char *run_step_word(enum run_step_name name)
{
    static const char *const words[RUN_STEPS] = {"kept",   "snapshot", "retention", "prune",
                                                 "verify", "drill",    "after-run"};

    return words[name];
}

void run_result_release(struct run_result *r)
{
    free(r->saved);
    free(r->suspicion);
    verify_report_release(&r->verify);
    memset(r, 0, sizeof(*r));
}

/* ---- the steps ---- */

static enum error_kind clear_kept(struct running *r, struct error *err)
{
    struct transaction_result cleared = {.outcome = OUTCOME_NOTHING};
    enum error_kind rc = kept_clear(r->cat, r->site, false, r->progress, &r->seen_ns, &cleared, err);

    for (size_t i = 0; i < cleared.left.count; i++)
        progress_warn(r->progress, "still kept: %s", cleared.left.items[i]);
    r->result->saved = cleared.safety_snapshot;
    cleared.safety_snapshot = NULL;
    transaction_result_release(&cleared);
    return rc;
}

static enum error_kind note_dump(void *arg, const struct snapshot_row *row, struct error *err)
{
    bool *has = arg;

    (void)err;
    *has = *has || row->dump_bytes > 0;
    return OK;
}

/*
 * Settings that are missing or name no database are those of a shop that was never installed, or that has become such a one. Its files are
 * saved in any case; where a database was saved before, that snapshot is flagged.
 */
static enum error_kind without_database(struct running *r, struct snapshot_options *o, struct error *err)
{
    bool had = false;
    enum error_kind rc = snapshot_row_each(r->cat, r->site_id, note_dump, &had, err);

    if (rc || r->site->layout == SITE_PLAIN)
        return rc;
    o->part = SNAPSHOT_FILES_ONLY;
    if (had)
        o->suspicion = "the settings are missing or name no database, but earlier snapshots have one";
    else
        progress_warn(r->progress, "%s: the settings name no database: only the files are saved", r->site->path);
    return OK;
}

/* Not before nobody can be in the way any more: who is told of a beginning waits for an end. */
static void tell_begun(struct running *r)
{
    r->result->begun = true;
    if (r->options->begun)
        r->options->begun(r->options->begun_arg);
}

static enum error_kind take_snapshot(struct running *r, struct error *err)
{
    struct snapshot_options o = SNAPSHOT_OPTIONS_INIT;
    struct snapshot_result taken = {.files = 0};
    struct database *db = NULL;
    enum error_kind rc = r->options->connect(r->options->arg, r->site, &db, err);

    o.kind = SNAPSHOT_SCHEDULED;
    if (!rc && !db)
        rc = without_database(r, &o, err);
    if (!rc)
        rc = catalog_site_lock(r->cat, r->site_id, false, SITE_LOCK_TIMEOUT_MS, &r->site_lock, err);
    if (!rc) /* one may have begun, and been killed, since */
        rc = transaction_refuse_since(r->site->path, r->seen_ns, err);
    if (!rc)
        tell_begun(r);
    if (!rc)
        rc = snapshot_take(r->cat, r->site, db, &o, r->progress, &taken, err);
    if (!rc) {
        memcpy(r->result->snapshot, taken.record.id, sizeof(r->result->snapshot));
        r->result->partial = taken.record.part != SNAPSHOT_WHOLE;
        r->result->suspicion = taken.record.suspicion;
        taken.record.suspicion = NULL;
        r->result->bytes_stored = taken.record.bytes_stored;
        r->result->repaired = taken.repaired;
    }
    snapshot_result_release(&taken);
    return rc;
}

static enum error_kind apply_retention(struct running *r, struct error *err)
{
    struct text_list needed = TEXT_LIST_INIT;
    struct retention rules = r->policy.retention;
    enum error_kind rc;

    progress_step(r->progress, "applying retention");
    rc = transaction_needed(r->cat, &needed, err);
    if (!rc) /* whoever else saves the shop meanwhile, it is what the rest of the run speaks of */
        rc = text_list_add(&needed, r->result->snapshot, err);
    rules.needed = &needed;
    if (!rc)
        rc = retention_apply(r->cat, r->site_id, &rules, false, NULL, NULL, &r->result->retention, err);
    text_list_release(&needed);
    return rc;
}

static enum error_kind prune(struct running *r, struct error *err)
{
    struct prune_options o = {MAX_UNUSED_PERCENT, false, REMOVAL_TIMEOUT_MS};
    enum error_kind rc = catalog_prune(r->cat, &o, r->progress, &r->result->prune, err);

    if (!rc && r->result->prune.removal_postponed)
        progress_warn(r->progress, "others are reading the catalogue: the next run removes what was forgotten");
    return rc;
}

/* State, not memory: a prune that was postponed, failed or was killed is made up for, whoever forgot something and whatever came since. */
static bool prune_is_due(const struct running *r)
{
    struct error unknown = ERROR_INIT;
    bool due = true;

    return catalog_prune_due(r->cat, &due, &unknown) != OK || due; /* prune itself says what is wrong */
}

/* ---- verification ---- */

static enum error_kind note_verified(void *arg, const struct run_entry *e, struct error *err)
{
    int64_t *last_ns = arg;

    (void)err;
    *last_ns = e->started_ns;
    return OK;
}

static int64_t configured_ms(const char *value, int64_t otherwise)
{
    int64_t ms = value ? text_parse_duration(value) : -1;

    return ms > 0 ? ms : otherwise;
}

/*
 * The next verification is expected after as long as the last one is ago, whichever site's run that was. A clock that was set back, or no run
 * yet, is taken for a day.
 */
static enum error_kind expected_interval(struct running *r, struct verify_options *o, struct error *err)
{
    int64_t last_ns = 0;
    enum error_kind rc = catalog_run_each(r->cat, "", "verify", 1, note_verified, &last_ns, err);

    o->interval_ms =
        last_ns > 0 && last_ns < r->result->started_ns ? (r->result->started_ns - last_ns) / 1000000 : DAY_MS;
    if (o->interval_ms > o->within_ms)
        o->interval_ms = o->within_ms;
    return rc;
}

/* What is due is late only where the budget left something of it: runs that come late are no fault of it, nor is damage, which has its own words. */
static void tell_late(struct running *r, const struct verify_options *o)
{
    const struct verify_report *v = &r->result->verify;
    char since[TEXT_MAX];
    char budget[TEXT_MAX];

    if (!v->out_of_time || clock_now() - v->oldest_unread_ns <= (o->within_ms + o->interval_ms) * 1000000)
        return;
    text_moment(v->oldest_unread_ns, since);
    text_duration((uint64_t)o->budget_ms, budget);
    progress_warn(r->progress,
                  "some data was not read since %s: in %s of verify-budget a run can't read what is due, "
                  "a longer one is needed",
                  since, budget);
}

static enum error_kind verify(struct running *r, struct error *err)
{
    const struct site_config *config = r->site->config;
    struct verify_options o = {.read_data = true,
                               .within_ms = configured_ms(config ? config->verify_within : NULL, VERIFY_WITHIN_MS),
                               .budget_ms = configured_ms(config ? config->verify_budget : NULL, VERIFY_BUDGET_MS)};
    enum error_kind rc = expected_interval(r, &o, err);

    if (!rc)
        rc = catalog_verify(r->cat, &o, r->progress, &r->result->verify, err);
    for (size_t i = 0; i < r->result->verify.damage.count; i++)
        progress_warn(r->progress, "damage: %s", r->result->verify.damage.items[i]);
    for (size_t i = 0; i < r->result->verify.touched.count; i++)
        progress_warn(r->progress, "  it hits %s", r->result->verify.touched.items[i]);
    if (!rc)
        tell_late(r, &o);
    return rc;
}

/* ---- a restore drill, or what one left that was killed ---- */

static enum error_kind drill(struct running *r, struct error *err)
{
    struct drill_options o = {.config = r->options->config, .connect = r->options->connect, .arg = r->options->arg};
    struct run_step *step = &r->result->steps[RUN_DRILL];
    enum error_kind rc = r->no_drill ? drill_clear(r->cat, r->site, &o, r->progress, err)
                                     : drill_site(r->cat, r->site, &o, r->progress, &r->result->drill, err);

    if (rc != ERR_BUSY)
        return rc;
    error_clear(err);
    step->outcome = RUN_SKIPPED;
    step->why = "another command is at work on the shop";
    return OK;
}

static void look_for_drill(struct running *r)
{
    struct error unknown = ERROR_INIT;

    if (drill_due(r->cat, r->site, r->result->started_ns, &r->no_drill, &r->result->drill_before, &unknown) != OK)
        r->no_drill = NULL; /* the record can't be read: one too many does no harm */
}

/* ---- the owner's own command: a copy elsewhere ---- */

/* It may take half a day, and needs no lock: packs don't change, and the prune of another site is not to wait for it (N6). */
static enum error_kind run_aside(struct running *r, const struct process_spec *spec, struct error *err)
{
    struct error back = ERROR_INIT;
    enum error_kind rc;

    catalog_step_aside(r->cat);
    rc = process_run(spec, NULL, NULL, err);
    if (catalog_come_back(r->cat, &back) == OK || rc)
        return rc;
    *err = back;
    return back.kind;
}

static enum error_kind after_run(struct running *r, struct error *err)
{
    /* Both its outputs are one, so that the last line of it can be told when it fails. */
    const char *argv[] = {"/bin/sh", "-c", "exec /bin/sh -c \"$1\" >&2", "sh", r->site->config->after_run, NULL};
    char *catalog = NULL;
    char *snapshot = NULL;
    char *site = NULL;
    const char *environment[] = {NULL, NULL, NULL, NULL};
    struct process_spec spec = {.argv = argv, .environment = environment, .timeout_ms = AFTER_TIMEOUT_MS};
    enum error_kind rc = memory_format(&catalog, err, "NOPSNAP_CATALOG=%s", catalog_path(r->cat));

    if (!rc)
        rc = memory_format(&snapshot, err, "NOPSNAP_SNAPSHOT=%s", r->result->snapshot);
    if (!rc)
        rc = memory_format(&site, err, "NOPSNAP_SITE=%s", r->site->path);
    environment[0] = catalog;
    environment[1] = snapshot;
    environment[2] = site;
    progress_step(r->progress, "running the owner's command");
    if (!rc)
        rc = run_aside(r, &spec, err);
    if (rc == ERR_REMOTE)
        error_context(err, "the command of after-run");
    free(catalog);
    free(snapshot);
    free(site);
    return rc;
}

/* ---- all of them ---- */

typedef enum error_kind step_fn(struct running *r, struct error *err);

static bool went_well(const struct running *r, enum run_step_name name)
{
    return r->result->steps[name].outcome == RUN_DONE;
}

/* Why a step is not done now, or NULL (N3, N4). */
static const char *reason_against(const struct running *r, enum run_step_name name)
{
    switch (name) {
    case RUN_RETENTION:
        if (!r->policy.any)
            return "no rules: keep = ... in the config, or --keep";
        if (!went_well(r, RUN_SNAPSHOT))
            return "there is no new snapshot";
        return went_well(r, RUN_KEPT) ? NULL : "what was kept is not in order";
    case RUN_PRUNE: /* on a full disk also for what a snapshot that failed has left */
        return prune_is_due(r) || r->result->steps[RUN_SNAPSHOT].err.kind == ERR_SPACE ? NULL : "nothing was forgotten";
    case RUN_DRILL:
        return drill_is_left(r->cat, r->site) ? NULL : r->no_drill;
    case RUN_AFTER:
        if (!r->site->config || !r->site->config->after_run)
            return "no after-run = ... in the config";
        return went_well(r, RUN_SNAPSHOT) ? NULL : "there is no new snapshot";
    default:
        return NULL;
    }
}

/* Somebody else's transaction, or a signal: the run ends here. */
static bool ends_the_run(enum error_kind rc, enum run_step_name name)
{
    return rc == ERR_CANCELLED || (name <= RUN_SNAPSHOT && (rc == ERR_BUSY || rc == ERR_PENDING));
}

/* N5: the snapshot stands; what somebody else was in the way of is the next run's. */
static void leave_out(struct running *r, struct run_step *s, enum run_step_name name)
{
    progress_warn(r->progress, "%s is left to the next run: %s", run_step_word(name), s->err.text);
    error_clear(&s->err);
    s->outcome = RUN_SKIPPED;
    s->why = "another command is at work on the catalogue";
}

static enum error_kind run_steps(struct running *r, struct error *err)
{
    static step_fn *const steps[RUN_STEPS] = {clear_kept, take_snapshot, apply_retention, prune,
                                              verify,     drill,         after_run};

    for (unsigned i = 0; i < RUN_STEPS; i++) {
        struct run_step *s = &r->result->steps[i];
        int64_t began = clock_monotonic_ms();
        enum error_kind rc;

        if (i == RUN_PRUNE) { /* N1: from here on transactions need not wait */
            catalog_site_unlock(r->site_lock);
            r->site_lock = NULL;
        }
        s->why = reason_against(r, (enum run_step_name)i);
        s->outcome = s->why ? RUN_SKIPPED : RUN_DONE;
        if (s->why)
            continue;
        rc = steps[i](r, &s->err);
        s->took_ms = clock_monotonic_ms() - began;
        if (!rc)
            continue;
        s->outcome = RUN_FAILED;
        if (ends_the_run(rc, (enum run_step_name)i)) {
            *err = s->err;
            return rc;
        }
        if (rc == ERR_BUSY)
            leave_out(r, s, (enum run_step_name)i);
    }
    return OK;
}

static enum error_kind run_locked(struct running *r, struct error *err)
{
    enum error_kind rc = transaction_refuse_pending(r->site->path, err);

    if (!rc && !r->site->exists) {
        rc = error_set(err, ERR_NOT_FOUND, 0, "%s does not exist", r->site->path);
        error_hint(err, "nopsnap rollback %s brings it back, if there is a snapshot of it", r->site->path);
    }
    if (rc)
        return rc;
    r->seen_ns = transaction_changed_ns(r->site->path);
    look_for_drill(r);
    rc = run_steps(r, err);
    catalog_site_unlock(r->site_lock);
    return rc;
}

enum error_kind run_site(struct catalog *cat, struct site *site, const struct run_options *options,
                         const struct progress *progress, struct run_result *out, struct error *err)
{
    struct running r = {.cat = cat, .site = site, .options = options, .progress = progress, .result = out};
    struct catalog_site_lock *lock = NULL;
    enum error_kind rc;

    *out = (struct run_result){.started_ns = clock_now()};
    rc = keep_policy_of(site->config, options->keep, &r.policy, err);
    if (!rc)
        rc = catalog_site_id(cat, site->path, r.site_id, err);
    if (!rc)
        rc = catalog_run_lock(cat, r.site_id, options->wait_ms, &lock, err);
    if (!rc)
        rc = run_locked(&r, err);
    catalog_site_unlock(lock);
    out->ended_ns = clock_now();
    if (rc)
        (void)snprintf(out->refused, sizeof(out->refused), "%.255s", err->text);
    return rc;
}
