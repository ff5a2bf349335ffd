/*
 * The upgrade's part of the transaction's steps: how the old shop was, the new tree, the settings, how the new shop is.
 */
#include <string.h>

#include "upgrade_internal.h"

static enum error_kind look(void *arg, struct database *db, const struct progress *progress, struct error *err)
{
    struct upgrade_context *c = arg;
    enum error_kind rc;

    progress_step(progress, "looking how the shop answers now");
    rc = health_baseline_take(&c->health, db, progress, &c->before, err);
    for (size_t i = 0; !rc && i < c->before.remarks.count; i++)
        progress_note(progress, "%s", c->before.remarks.items[i]);
    return rc;
}

static enum error_kind settle(void *arg, struct database *db, const char *tree, const char *live,
                              const struct progress *progress, struct error *err)
{
    struct upgrade_context *c = arg;
    enum error_kind rc = health_baseline_renew(&c->before, db, err);

    if (!rc)
        rc = links_check(c, live, err);
    return rc ? rc : carry_settle(c, tree, live, progress, err);
}

/* ---- the scripts ---- */

struct telling {
    const struct progress *progress;
    bool failed;
};

/* As they come. The first failure becomes the error that ends the upgrade; one that follows from it is told here. */
static void tell(void *arg, const struct database_saying *said)
{
    struct telling *t = arg;

    if (!said->failure)
        progress_note(t->progress, "%s", said->text);
    else if (t->failed)
        progress_note(t->progress, "and %s", said->text);
    t->failed = t->failed || said->failure;
}

static enum error_kind run_script(struct database *db, const struct upgrade_script *s, const struct progress *progress,
                                  struct error *err)
{
    const struct database_script script = {s->name, s->text.data, s->text.len};
    struct telling t = {progress, false};
    uint64_t batches = 0;
    enum error_kind rc;

    progress_step(progress, "running the script %d.%02d-%d.%02d", s->from / 100, s->from % 100, s->to / 100,
                  s->to % 100);
    rc = database_run_script_text(db, &script, tell, &t, &batches, err);
    if (rc)
        return rc;
    progress_note(progress, "%s: %llu batches run", s->name, (unsigned long long)batches);
    if (batches != s->batches)
        return error_set(err, ERR_CORRUPT, 0, "%s: %llu batches of %llu were run", s->name, (unsigned long long)batches,
                         (unsigned long long)s->batches);
    return schema_check_after(db, s, err);
}

enum error_kind stage_scripts(void *context, struct database *db, const struct progress *progress, struct error *err)
{
    const struct upgrade_context *c = context;
    const struct upgrade_stage *stage = &c->path->stages[c->stage];
    enum error_kind rc = OK;

    for (size_t i = 0; i < stage->script_count && !rc; i++)
        rc = run_script(db, stage->scripts[i], progress, err);
    return rc;
}

/* ---- the new shop ---- */

static enum error_kind not_well(const struct health_result *r, const struct progress *progress, struct error *err)
{
    enum error_kind rc;

    for (size_t i = 1; i < r->reasons.count; i++)
        progress_warn(progress, "%s", r->reasons.items[i]);
    rc = error_set(err, ERR_REMOTE, 0, "%s: %s",
                   r->verdict == HEALTH_TIMED_OUT ? "the new shop did not come up in time" : "the new shop is not well",
                   r->reasons.count ? r->reasons.items[0] : "it does not say why");
    if (r->verdict == HEALTH_TIMED_OUT)
        error_hint(err, "a large shop may migrate for an hour: --health-timeout 2h gives it time");
    else
        error_hint(err, "its own log tells more; what it was is saved in a snapshot tagged \"undone\"");
    return rc;
}

static enum error_kind healthy(void *arg, struct database *db, struct shop_watch *watch, bool *warned,
                               const struct progress *progress, struct error *err)
{
    struct upgrade_context *c = arg;
    struct health_result r = HEALTH_RESULT_INIT;
    enum error_kind rc;

    c->health.probe = health_probe_shop;
    c->health.probe_arg = watch;
    shop_watch_allow(watch, c->health.timeout_ms); /* 0 where the owner says nothing */

    progress_step(progress, "waiting for the new shop%s%s", c->path->count > 1 ? ", " : "",
                  c->path->count > 1 ? c->to.text : "");
    rc = health_judge(&c->health, &c->before, db, progress, &r, err);
    if (!rc && (r.verdict == HEALTH_BROKEN || r.verdict == HEALTH_TIMED_OUT))
        rc = not_well(&r, progress, err);
    for (size_t i = 0; !rc && i < r.warnings.count; i++)
        progress_warn(progress, "%s", r.warnings.items[i]);
    *warned = !rc && r.verdict == HEALTH_WARNED;
    health_result_release(&r);
    return rc;
}

enum error_kind upgrade_run(struct catalog *cat, struct site *site, struct upgrade_plan *plan,
                            const struct progress *progress, struct forward_result *out, struct error *err)
{
    const struct forward_steps steps = {
        .arg = plan->context,
        .look = look,
        .carries = carry_wants,
        .build = tree_build,
        .settle = settle,
        .scripts = stage_scripts,
        .healthy = healthy,
        .stages = plan->path.count,
        .advance = stage_advance,
    };

    return forward_run(cat, site, plan->forward, &steps, progress, out, err);
}
