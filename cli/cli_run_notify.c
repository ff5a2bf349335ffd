#include "cli_run.h"
#include "notify.h"
#include "run_told.h"
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
    e.cause = told.cause;
    e.message = told.message;
    e.facts = &told.facts;
    if (!rc)
        rc = notify_run(t->cat, &t->cli->config, t->section, &e, &t->cli->progress, &err);
    if (rc)
        warn(t->cli, &err);
    run_told_release(&told);
}
