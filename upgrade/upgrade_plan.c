/*
 * The plan of an upgrade: which release, from which version, what comes over, what stands in the way. It changes nothing at the shop.
 */
#include <stdlib.h>
#include <string.h>

#include "upgrade_internal.h"

#define PICTURES_MOVE 410 /* to a table of their own */
#define POLL_MS 200       /* what an answer that has just begun to come may wait for us, while customers wait too */

void upgrade_plan_free(struct upgrade_plan *plan)
{
    if (!plan)
        return;
    forward_plan_free(plan->forward);
    release_free(plan->release);
    release_free(plan->old_release);
    text_list_release(&plan->carried);
    text_list_release(&plan->modified);
    text_list_release(&plan->settings);
    text_list_release(&plan->plugins);
    scripts_release(&plan->scripts);
    if (plan->context) {
        health_baseline_release(&plan->context->before);
        text_list_release(&plan->context->renamed);
        free(plan->context->names.items);
        free(plan->context->old_names.items);
    }
    free(plan->context);
    free(plan);
}

/* ---- the way from one version to the other ---- */

/* Where the owner has said all three, nopsnap need not know what the shop runs on. */
static bool has_own_commands(const struct site *site)
{
    return site->config && site->config->stop && site->config->start && site->config->url;
}

static enum error_kind ask_engine(const struct site *site, enum database_engine *out, struct error *err)
{
    struct database_target target = DATABASE_TARGET_INIT;
    enum error_kind rc = OK;

    *out = DATABASE_NONE;
    if (site->connection.string && site->connection.provider)
        rc = database_target_parse(site->connection.provider, site->connection.string, &target, err);
    if (!rc)
        *out = target.engine;
    database_target_release(&target);
    return rc;
}

/* What has to be known of the scripts beside that they are there. */
static enum error_kind say_scripts(const struct upgrade_plan *plan, bool troubled, struct preflight *p,
                                   struct error *err)
{
    size_t needed = 0;
    enum error_kind rc = OK;

    for (size_t i = 0; i < plan->path.count; i++)
        needed += plan->path.stages[i].script_count;
    for (size_t i = 0; i < plan->scripts.problems.count && !rc; i++)
        rc = text_list_add(&p->problems, plan->scripts.problems.items[i], err);
    if (!rc && plan->scripts.place && !needed && !troubled)
        rc = text_list_addf(&p->remarks, err, "none of the scripts in %s is run: the way from %s to %s has none",
                            plan->scripts.place, plan->from, plan->to);
    for (size_t i = 0; i < plan->path.count && !rc; i++)
        for (size_t k = 0; k < plan->path.stages[i].script_count && !rc; k++)
            if (plan->path.stages[i].scripts[k]->to == PICTURES_MOVE)
                rc = text_list_add(&p->remarks,
                                   "the script to 4.10 moves the pictures that are in the database to a table of their "
                                   "own: the server needs room for each a second time",
                                   err);
    return rc;
}

static enum error_kind plan_path(const struct site *site, struct upgrade_plan *plan, struct preflight *p,
                                 struct error *err)
{
    struct path_question q = {.from = plan->context->from,
                              .to = {plan->context->to},
                              .to_count = 1,
                              .scripts = &plan->scripts,
                              .own_commands = has_own_commands(site)};
    size_t problems = p->problems.count;
    enum error_kind rc = ask_engine(site, &q.engine, err);

    if (!rc)
        rc = path_plan(&q, &plan->path, &p->problems, err);
    return rc ? rc : say_scripts(plan, p->problems.count > problems, p, err);
}

static enum error_kind check_path(const struct site *site, const struct upgrade_options *o, struct upgrade_plan *plan,
                                  struct preflight *p, struct error *err)
{
    const struct site_version *from = &plan->context->from;
    const struct site_version *to = &plan->context->to;
    int order;

    if (!from->major)
        return text_list_addf(&p->problems, err, "the version of the shop at %s is not known", site->path);
    if (!to->major)
        return text_list_add(&p->problems, "the release does not say which version it is", err);
    order = site_version_compare(to, from);
    if (order == 0 && !o->allow_same)
        return text_list_addf(&p->problems, err,
                              "the shop is nopCommerce %s already: say --allow-same to put it in again", from->text);
    if (order < 0 && !o->allow_downgrade)
        return text_list_addf(&p->problems, err,
                              "nopCommerce %s is older than the shop's %s, and its database can't go back: nopsnap "
                              "rollback does that; --allow-downgrade for the files alone",
                              to->text, from->text);
    return plan_path(site, plan, p, err);
}

static enum error_kind check_system(const struct site *site, const struct release_facts *f, struct preflight *p,
                                    struct error *err)
{
    char flavour[128];

    release_flavour(f, flavour, sizeof(flavour));
    if (f->system == RELEASE_WINDOWS && has_own_commands(site))
        return text_list_addf(&p->remarks, err,
                              "the release is for another system (%s): your own `start` has to run it there", flavour);
    if (f->system == RELEASE_WINDOWS || f->system == RELEASE_OTHER)
        return text_list_addf(&p->problems, err, "the release is for another system (%s): take the one for Linux",
                              flavour);
    if (!f->self_contained)
        return text_list_addf(&p->remarks, err, "the release needs a runtime that it does not bring: %s", flavour);
    return OK;
}

static enum error_kind check_old(const struct upgrade_plan *plan, struct preflight *p, struct error *err)
{
    const struct site_version *old = plan->old_release ? &release_facts(plan->old_release)->version : NULL;

    if (!old || !old->major || (old->major == plan->context->from.major && old->minor == plan->context->from.minor))
        return OK;
    return text_list_addf(&p->problems, err, "--from-release is nopCommerce %s, the shop %s", old->text, plan->from);
}

/* Whether the new shop is well has to be asked somewhere: an upgrade that nobody looked at is not committed. */
static enum error_kind check_health(const struct upgrade_context *c, struct preflight *p, struct error *err)
{
    if (c->health.url)
        return OK;
    return text_list_add(&p->problems,
                         "where the shop answers is not known, and without it nobody can tell whether the upgrade went "
                         "well: name it with `url` in the config, such as url = http://127.0.0.1:5000/",
                         err);
}

static enum error_kind say_release(const struct release_facts *f, struct preflight *p, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; i < f->remarks.count && !rc; i++)
        rc = text_list_add(&p->remarks, f->remarks.items[i], err);
    return rc;
}

/* ---- the whole ---- */

static enum error_kind open_release(const struct upgrade_options *o, const struct progress *progress,
                                    struct upgrade_plan *plan, struct error *err)
{
    struct release_options r = {.sha256 = o->sha256, .work = o->work};

    struct release_options old = {.work = o->work};
    enum error_kind rc = release_open(o->release, &r, progress, &plan->release, err);

    if (!rc && o->from_release)
        rc = release_open(o->from_release, &old, progress, &plan->old_release, err);
    if (!rc && o->scripts)
        rc = scripts_open(o->scripts, o->work, progress, &plan->scripts, err);
    return rc;
}

static enum error_kind plan_forward(struct catalog *cat, struct site *site, const struct upgrade_options *o,
                                    const struct progress *progress, struct upgrade_plan *plan, struct error *err)
{
    const struct release_facts *f = release_facts(plan->release);
    struct forward_options forward = {.from = plan->from,
                                      .to = plan->to,
                                      .trial_ms = o->trial_ms < 0 ? UPGRADE_TRIAL_MS : o->trial_ms,
                                      .health_timeout_ms = o->health_timeout_ms,
                                      .new_bytes = 2 * f->bytes + plan->carried_bytes,
                                      .new_files = 2 * f->files + plan->carried_files,
                                      .shared = o->shared,
                                      .config = o->config};
    struct preflight *p;
    enum error_kind rc = forward_plan(cat, site, &forward, progress, &plan->forward, err);

    if (rc)
        return rc;
    p = &plan->forward->preflight;
    rc = check_path(site, o, plan, p, err);
    if (!rc)
        rc = check_system(site, f, p, err);
    if (!rc)
        rc = say_release(f, p, err);
    if (!rc && !p->problems.count) /* else there may be nothing to convert to */
        rc = carry_plan_settings(plan->context, plan, p, err);
    if (!rc)
        rc = check_old(plan, p, err);
    if (!rc)
        rc = check_health(plan->context, p, err);
    if (!rc)
        rc = plugins_check(plan->context, &plan->plugins, p, err);
    return rc;
}

static void plan_health(const struct upgrade_options *o, const struct site *site, struct upgrade_plan *plan)
{
    struct health_options *h = &plan->context->health;

    *h = (struct health_options)HEALTH_OPTIONS_INIT;
    if (site->config)
        health_options_from(site->config, h);
    h->target = plan->to;
    h->poll_ms = POLL_MS;
    if (o->health_timeout_ms)
        h->timeout_ms = o->health_timeout_ms;
    if (site->unit) {
        h->probe = health_probe_unit;
        h->probe_arg = site->unit;
    }
}

enum error_kind upgrade_plan(struct catalog *cat, struct site *site, const struct upgrade_options *options,
                             const struct progress *progress, struct upgrade_plan **out, struct error *err)
{
    struct upgrade_plan *plan = NULL;
    const struct release_facts *f;
    enum error_kind rc;

    if (site->layout == SITE_PLAIN) {
        rc = error_set(err, ERR_REFUSED, 0, "%s is no nopCommerce shop", site->path);
        error_hint(err, "name the folder that holds Nop.Web.dll");
        return rc;
    }
    rc = memory_zeroed(1, sizeof(*plan), (void **)&plan, err);
    if (!rc)
        rc = memory_zeroed(1, sizeof(*plan->context), (void **)&plan->context, err);
    if (!rc)
        rc = open_release(options, progress, plan, err);
    if (rc)
        goto done;
    f = release_facts(plan->release);
    plan->context->site = site;
    plan->context->release = plan->release;
    plan->context->old_release = plan->old_release;
    plan->context->path = &plan->path;
    plan->context->from = site->version;
    plan->context->to = f->version;
    memcpy(plan->from, site->version.major ? site->version.text : "?", site->version.major ? sizeof(plan->from) : 2);
    memcpy(plan->to, f->version.major ? f->version.text : "?", f->version.major ? sizeof(plan->to) : 2);
    plan_health(options, site, plan);
    rc = carry_names(plan->release, &plan->context->names, err);
    if (!rc && plan->old_release)
        rc = carry_names(plan->old_release, &plan->context->old_names, err);
    if (!rc)
        rc = carry_count(plan->context, plan, err);
    if (!rc && plan->old_release)
        rc = modified_list(plan->context, progress, &plan->modified, err);
    if (!rc)
        rc = plan_forward(cat, site, options, progress, plan, err);
done:
    if (rc) {
        upgrade_plan_free(plan);
        return rc;
    }
    *out = plan;
    return OK;
}
