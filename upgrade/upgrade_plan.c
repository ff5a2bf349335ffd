/*
 * The plan of an upgrade: which release, from which version, what comes over, what stands in the way. It changes nothing at the shop.
 */
#include <stdlib.h>
#include <string.h>

#include "upgrade_internal.h"

#define POLL_MS 200 /* what an answer that has just begun to come may wait for us, while customers wait too */

void upgrade_plan_free(struct upgrade_plan *plan)
{
    if (!plan)
        return;
    forward_plan_free(plan->forward);
    release_free(plan->release);
    for (size_t i = 0; i < UPGRADE_STAGES_MAX - 1; i++)
        release_free(plan->via[i]);
    release_free(plan->old_release);
    text_list_release(&plan->carried);
    text_list_release(&plan->modified);
    text_list_release(&plan->settings);
    text_list_release(&plan->plugins);
    scripts_release(&plan->scripts);
    if (plan->context) {
        health_baseline_release(&plan->context->before);
        renamed_release(&plan->context->renamed);
        links_release(&plan->context->links);
        carry_names_release(plan->context);
    }
    free(plan->context);
    free(plan);
}

/* ---- what stands in the way ---- */

static enum error_kind check_system(const struct site *site, const struct release_facts *f, struct preflight *p,
                                    struct error *err)
{
    char flavour[128];

    release_flavour(f, flavour, sizeof(flavour));
    if (f->system == RELEASE_WINDOWS && plan_has_own_commands(site))
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

static enum error_kind check_release(const struct site *site, const struct release_facts *f, struct preflight *p,
                                     struct error *err)
{
    enum error_kind rc = check_system(site, f, p, err);

    return rc ? rc : text_list_add_all(&p->remarks, &f->remarks, err);
}

/* Plugins have to fit the version that stays; one on the way does without those that do not fit it. */
static enum error_kind check_plugins(struct upgrade_plan *plan, struct preflight *p, struct error *err)
{
    struct upgrade_context *c = plan->context;
    enum error_kind rc = stage_enter(c, plan->path.count - 1, err);

    if (!rc)
        rc = plugins_check(c, &plan->plugins, p, err);
    return rc ? rc : stage_enter(c, 0, err);
}

/* ---- the whole ---- */

static enum error_kind open_release(const struct upgrade_options *o, const struct progress *progress,
                                    struct upgrade_plan *plan, struct error *err)
{
    struct release_options r = {.sha256 = o->sha256, .work = o->work};
    struct release_options old = {.work = o->work};
    enum error_kind rc = release_open(o->release, &r, progress, &plan->release, err);

    for (size_t i = 0; i < UPGRADE_STAGES_MAX - 1 && o->via[i] && !rc; i++)
        rc = release_open(o->via[i], &old, progress, &plan->via[i], err);
    if (!rc && o->from_release)
        rc = release_open(o->from_release, &old, progress, &plan->old_release, err);
    if (!rc && o->scripts)
        rc = scripts_open(o->scripts, o->work, progress, &plan->scripts, err);
    return rc;
}

static enum error_kind plan_forward(struct catalog *cat, struct site *site, const struct upgrade_options *o,
                                    const struct text_list *problems, const struct text_list *remarks,
                                    const struct progress *progress, struct upgrade_plan *plan, struct error *err)
{
    struct upgrade_context *c = plan->context;
    struct forward_options forward = {.from = plan->from,
                                      .to = plan->to,
                                      .trial_ms = o->trial_ms < 0 ? UPGRADE_TRIAL_MS : o->trial_ms,
                                      .health_timeout_ms = o->health_timeout_ms,
                                      .new_bytes = plan->carried_bytes,
                                      .new_files = plan->carried_files,
                                      .shared = o->shared,
                                      .config = o->config};
    struct preflight *p;
    enum error_kind rc;

    for (size_t i = 0; i < plan->path.count; i++) { /* each is unpacked beside what is there */
        forward.new_bytes += 2 * release_facts(c->releases[i])->bytes;
        forward.new_files += 2 * release_facts(c->releases[i])->files;
    }
    rc = forward_plan(cat, site, &forward, progress, &plan->forward, err);
    if (rc)
        return rc;
    p = &plan->forward->preflight;
    rc = text_list_add_all(&p->problems, problems, err);
    if (!rc)
        rc = text_list_add_all(&p->remarks, remarks, err);
    if (!rc) /* later stages begin with what the ones before have left */
        rc = schema_check_before(forward_plan_database(plan->forward), &plan->path.stages[0], &p->problems, err);
    for (size_t i = 0; i < plan->path.count && !rc; i++)
        rc = check_release(site, release_facts(c->releases[i]), p, err);
    if (!rc && !p->problems.count) /* else there may be nothing to convert to */
        rc = carry_plan_settings(c, plan, p, err);
    if (!rc)
        rc = check_old(plan, p, err);
    if (!rc)
        rc = check_health(c, p, err);
    return rc ? rc : check_plugins(plan, p, err);
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
}

enum error_kind upgrade_plan(struct catalog *cat, struct site *site, const struct upgrade_options *options,
                             const struct progress *progress, struct upgrade_plan **out, struct error *err)
{
    struct text_list problems = TEXT_LIST_INIT;
    struct text_list remarks = TEXT_LIST_INIT;
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
    plan->context->first_release = plan->old_release;
    plan->context->path = &plan->path;
    memcpy(plan->from, site->version.major ? site->version.text : "?", site->version.major ? sizeof(plan->from) : 2);
    memcpy(plan->to, f->version.major ? f->version.text : "?", f->version.major ? sizeof(plan->to) : 2);
    plan_health(options, site, plan);
    rc = plan_way(site, options, plan, &problems, &remarks, err);
    if (!rc)
        rc = carry_count(plan->context, plan, &problems, err);
    if (!rc && plan->old_release)
        rc = modified_list(plan->context, progress, &plan->modified, err);
    if (!rc)
        rc = plan_forward(cat, site, options, &problems, &remarks, progress, plan, err);
done:
    text_list_release(&problems);
    text_list_release(&remarks);
    if (rc) {
        upgrade_plan_free(plan);
        return rc;
    }
    *out = plan;
    return OK;
}
