/* The stages of a rehearsal: scripts, start, and whether it is well, release by release, as the upgrade would go. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "rehearse_internal.h"
#include "thread.h"

#define POLL_MS 200

uint64_t rehearse_lap(int64_t *since)
{
    int64_t now = clock_monotonic_ms();
    uint64_t ms = (uint64_t)(now - *since);

    *since = now;
    return ms;
}

/* ---- from one release to the next ---- */

/* The release before is ended, and its tree becomes the next one's. That one's settings name the copy by now, not the shop's database (U3). */
static enum error_kind advance(struct rehearsal *r, size_t stage, const struct progress *progress, struct error *err)
{
    struct upgrade_context *c = r->context;
    struct site copy = *r->site; /* borrows all but the connection */
    char *aside = NULL;
    enum error_kind rc = memory_format(&aside, err, "%s/%zu", r->place.spare, stage);

    copy.connection = r->connection;
    process_kill(&r->process);
    if (!rc)
        rc = rehearse_vacate(r->place.tree, err);
    if (!rc)
        rc = directory_make(AT_FDCWD, aside, 0700, err);
    if (!rc) {
        c->site = &copy;
        rc = stage_advance(c, stage, r->place.tree, aside, progress, err);
        c->site = r->site;
    }
    free(aside);
    return rc;
}

/* ---- one of them ---- */

static enum error_kind add_reason(const struct rehearsal *r, const char *why, struct rehearse_result *out,
                                  struct error *err)
{
    return r->context->path->count > 1
               ? text_list_addf(&out->reasons, err, "nopCommerce %s: %s", r->context->to.text, why)
               : text_list_add(&out->reasons, why, err);
}

/* A script that fails is what a rehearsal is for. */
static enum error_kind run_scripts(struct rehearsal *r, const struct progress *progress, struct rehearse_result *out,
                                   struct error *err)
{
    struct error why = ERROR_INIT;
    enum error_kind rc = stage_scripts(r->context, r->copy, progress, &why);

    out->well = !rc;
    if (rc == ERR_CANCELLED || rc == ERR_MEMORY)
        error_copy(err, &why);
    else if (rc)
        rc = add_reason(r, why.text, out, err);
    return rc;
}

/* The owner's own checks are about the shop, not about a copy of it. */
static struct health_options options_of(struct rehearsal *r)
{
    struct health_options h = r->context->health;

    h.url = r->url;
    h.netns = r->netns > 0 ? r->netns : 0;
    h.host = NULL;
    h.ca_file = NULL;
    h.commands = NULL;
    h.pages = NULL;
    h.probe = rehearse_probe;
    h.probe_arg = r;
    h.poll_ms = POLL_MS;
    return h;
}

static enum error_kind judge(struct rehearsal *r, const struct progress *progress, struct rehearse_result *out,
                             struct error *err)
{
    struct health_options h = options_of(r);
    struct health_result result = HEALTH_RESULT_INIT;
    enum error_kind rc;

    progress_step(progress, "starting nopCommerce %s on the copy", r->context->to.text);
    rc = rehearse_start(r, err);
    if (!rc)
        rc = health_judge(&h, &r->context->before, r->copy, progress, &result, err);
    out->well = !rc && (result.verdict == HEALTH_GOOD || result.verdict == HEALTH_WARNED);
    for (size_t i = 0; i < result.reasons.count && !rc; i++)
        rc = add_reason(r, result.reasons.items[i], out, err);
    if (!rc)
        rc = text_list_add_all(&out->warnings, &result.warnings, err);
    health_result_release(&result);
    return rc;
}

static enum error_kind settle(struct rehearsal *r, struct rehearse_result *out, struct error *err)
{
    enum error_kind rc = rehearse_links(r, err);

    if (!rc)
        rc = rehearse_settings(r, out, err);
    memcpy(out->network_why, r->network_why, sizeof(out->network_why));
    return rc ? rc : cancel_check(err);
}

static enum error_kind stage(struct rehearsal *r, size_t number, const struct progress *progress,
                             struct rehearse_result *out, struct error *err)
{
    int64_t since = clock_monotonic_ms();
    enum error_kind rc =
        number ? advance(r, number, progress, err) : health_baseline_renew(&r->context->before, r->copy, err);

    if (!rc)
        rc = run_scripts(r, progress, out, err);
    out->stages_ms += rehearse_lap(&since);
    if (!rc && out->well)
        rc = settle(r, out, err);
    out->build_ms += rehearse_lap(&since);
    if (!rc && out->well)
        rc = judge(r, progress, out, err);
    out->migrate_ms += rehearse_lap(&since);
    return rc;
}

enum error_kind rehearse_stages(struct rehearsal *r, const struct progress *progress, struct rehearse_result *out,
                                struct error *err)
{
    size_t count = r->context->path->count;
    struct health_options h;
    enum error_kind rc = OK;

    out->well = true;
    for (size_t i = 0; i < count && out->well && !rc; i++)
        rc = stage(r, i, progress, out, err);
    h = options_of(r);
    if (!rc && out->well)
        rc = rehearse_pages(r, &h, out, err);
    out->warned = out->warnings.count > 0;
    return rc;
}
