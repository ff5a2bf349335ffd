#include <stdio.h>

#include "cli_run.h"
#include "notify.h"
#include "run_told.h"
#include "schedule.h"
#include "thread.h"

static void warn(struct cli *cli, const struct error *err)
{
    cli_warn(cli, "not everybody was told of this run: %s", err->text);
}

void cli_run_begun(void *arg)
{
    const struct cli_run_told *t = arg;
    struct error err = ERROR_INIT;

    if (notify_ping(&t->cli->config, t->section, NOTIFY_STARTED, &t->cli->progress, &err) != OK)
        warn(t->cli, &err);
}

/*
 * Who was told of the beginning waits for an end. The signal was seen and the run has ended by it: it must not end this, too. Webhook and
 * mail hear nothing: whoever stops a run knows.
 */
static void end_by_signal(const struct cli_run_told *t, const struct run_result *r)
{
    struct error err = ERROR_INIT;

    if (!r->begun)
        return;
    cancel_reset();
    if (notify_ping(&t->cli->config, t->section, NOTIFY_FAILED, &t->cli->progress, &err) != OK)
        warn(t->cli, &err);
}

void cli_run_ended(const struct cli_run_told *t, const struct run_result *r, const struct error *refused, int status)
{
    struct notify_event e = {.started_ns = r->started_ns, .status = status};
    struct run_told told = RUN_TOLD_INIT;
    struct error err = ERROR_INIT;
    const char *path = t->path ? t->path : t->section && t->section->path ? t->section->path : t->name;
    char site_id[17] = "";
    enum error_kind rc = OK;

    if (status >= EXIT_SIGNAL) {
        end_by_signal(t, r);
        return;
    }
    if (t->cat)
        rc = catalog_site_id(t->cat, path, site_id, &err);
    if (!rc)
        rc = run_told_make(t->cat, site_id, r, refused, &told, &err);
    e.outcome = told.outcome;
    e.site_name = t->section ? t->section->name : t->path ? t->path : t->name;
    e.site_id = site_id;
    e.cause = t->cause ? t->cause : told.cause;
    e.message = told.message;
    e.facts = &told.facts;
    if (!rc)
        rc = notify_run(t->cat, &t->cli->config, t->section, &e, &t->cli->progress, &err);
    if (rc)
        warn(t->cli, &err);
    run_told_release(&told);
}

/* ---- a run that could not tell ---- */

void cli_run_refused(struct cli *cli, const char *name, const char *cause, const struct error *why, int status)
{
    struct run_result result = {.started_ns = clock_now(), .ended_ns = clock_now()};
    struct cli_run_told told = {.cli = cli, .name = name, .section = config_find(&cli->config, name), .cause = cause};
    struct site site = SITE_INIT;
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;

    (void)snprintf(result.refused, sizeof(result.refused), "%.255s", why->text);
    if (cli_site_open(cli, name, true, &site, &err) != OK)
        cli_warn(cli, "%s", err.text);
    error_clear(&err);
    if (cli_catalog_open(cli, CATALOG_WRITE, false, &cat, &err) != OK ||
        (site.path && run_record(cat, &site, &result, status, EXIT_DONE, &err) != OK))
        cli_warn(cli, "this is not in the record: %s", err.text);
    told.cat = cat;
    told.path = site.path;
    cli_run_ended(&told, &result, why, status);
    site_release(&site);
    catalog_close(cat);
}

int cli_run_failed_unit(struct cli *cli, const char *name, const char *unit)
{
    struct schedule_failure failure;
    struct error why = ERROR_INIT;

    schedule_failure_of(unit, &failure);
    if (failure.known) {
        if (!cli->quiet)
            cli_note(cli, "%s: nothing is left to tell", unit);
        return cli_done(cli);
    }
    (void)error_set(&why, ERR_REMOTE, 0, "%s", failure.text);
    error_hint(&why, "journalctl -u %s -n 30 says more; nopsnap schedule %s writes its units anew", unit, name);
    cli_run_refused(cli, name, failure.cause, &why, EXIT_FAILED);
    return cli_done(cli);
}
