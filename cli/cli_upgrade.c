#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli_upgrade.h"
#include "thread.h"

struct upgrade_arguments {
    struct upgrade_options options;
    bool dry_run, yes;
};

static int duration(struct cli *cli, const struct command *me, const char *name, const char *text, int64_t most,
                    int64_t *out)
{
    *out = text_parse_duration(text);
    if (*out < 0 || *out > most)
        return cli_usage(cli, me, "%s takes a duration such as 10m or 1h30m", name);
    return -1;
}

static int add_via(struct cli *cli, const struct command *me, const char *release, struct upgrade_options *o)
{
    size_t most = sizeof(o->via) / sizeof(o->via[0]);
    size_t n = 0;

    while (n < most && o->via[n])
        n++;
    if (n == most)
        return cli_usage(cli, me, "--via names %zu releases at most", most);
    o->via[n] = release;
    return -1;
}

int cli_upgrade_option(struct cli *cli, const struct command *me, int c, struct upgrade_options *o)
{
    int64_t ms = 0;
    int status;

    switch (c) {
    case 's':
        o->sha256 = optarg;
        return -1;
    case 'F':
        o->from_release = optarg;
        return -1;
    case 'X':
        o->scripts = optarg;
        return -1;
    case 'V':
        return add_via(cli, me, optarg, o);
    case 'H':
        status = duration(cli, me, "--health-timeout", optarg, 24LL * 3600 * 1000, &ms);
        o->health_timeout_ms = (int)ms;
        return status;
    case 'S':
        o->allow_same = true;
        return -1;
    case 'D':
        o->allow_downgrade = true;
        return -1;
    case 'W':
        o->shared = true;
        return -1;
    case 'h':
        return EXIT_DONE;
    default:
        return EXIT_USAGE;
    }
}

static int parse(struct cli *cli, const struct command *me, int argc, char **argv, struct upgrade_arguments *a)
{
    static const struct option options[] = {
        CLI_UPGRADE_OPTIONS,
        {"trial", required_argument, NULL, 't'},
        {"dry-run", no_argument, NULL, 'n'},
        {"yes", no_argument, NULL, 'y'},
        {NULL, 0, NULL, 0},
    };
    int status = -1;
    int c;

    while (status < 0 && (c = cli_option(cli, me, argc, argv, options)) != -1) {
        switch (c) {
        case 't':
            status = duration(cli, me, "--trial", optarg, 366LL * 24 * 3600 * 1000, &a->options.trial_ms);
            break;
        case 'n':
            a->dry_run = true;
            break;
        case 'y':
            a->yes = true;
            break;
        default:
            status = cli_upgrade_option(cli, me, c, &a->options);
        }
    }
    if (status < 0 && argc - optind != 2)
        return cli_usage(cli, me, "upgrade takes a site and a release");
    return status;
}

/* ---- the end ---- */

static void remember(struct cli *cli, struct catalog *cat, const struct site *site, const struct upgrade_plan *plan,
                     const struct forward_result *r, int status)
{
    struct json *detail = json_object();
    struct error ignored = ERROR_INIT;
    char site_id[17];

    if (catalog_site_id(cat, site->path, site_id, &ignored) != OK) {
        json_free(detail);
        return;
    }
    json_put_text(detail, "from", plan->from);
    json_put_text(detail, "to", plan->to);
    if (r->before)
        json_put_text(detail, "before", r->before);
    if (r->transaction.safety_snapshot)
        json_put_text(detail, "safety_snapshot", r->transaction.safety_snapshot);
    if (r->transaction.unwell)
        json_put_text(detail, "unwell", r->transaction.unwell);
    json_put_number(detail, "down_ms", (int64_t)r->transaction.down_ms);
    json_put_number(detail, "took_ms", (int64_t)r->transaction.back_ms);
    cli_upgrade_json_steps(detail, r);
    cli_event(cli, cat, site_id, "upgrade", detail, status);
}

static int status_of(struct cli *cli, enum error_kind rc, const struct forward_result *r, const struct error *err)
{
    int status;

    if (!rc)
        return r->warned ? EXIT_WARNED : cli_done(cli);
    status = cli_fail(cli, err);
    if (r->transaction.outcome == OUTCOME_UNDONE)
        return EXIT_UNDONE;
    return r->transaction.outcome == OUTCOME_HANDS ? EXIT_HANDS : status;
}

static enum error_kind ask(const struct upgrade_arguments *a, struct error *err)
{
    char answer[16] = "";
    enum error_kind rc;

    if (a->yes)
        return OK;
    if (!isatty(STDIN_FILENO)) {
        rc = error_set(err, ERR_REFUSED, 0, "nobody to ask: nothing was changed");
        error_hint(err, "say --yes");
        return rc;
    }
    fputs("upgrade now? [y/N] ", stderr);
    (void)fflush(stderr);
    rc = cancel_wait_input(STDIN_FILENO, err);
    if (rc) {
        error_context(err, "nothing was changed");
        return rc;
    }
    if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
        return OK;
    return error_set(err, ERR_REFUSED, 0, "declined: nothing was changed");
}

static int act(struct cli *cli, struct catalog *cat, struct site *site, const struct upgrade_arguments *a,
               struct upgrade_plan *plan)
{
    struct forward_result result = {.before = NULL};
    struct error err = ERROR_INIT;
    enum error_kind rc = plan->forward->preflight.problems.count ? OK : ask(a, &err);
    int status;

    if (!rc)
        rc = upgrade_run(cat, site, plan, &cli->progress, &result, &err);
    cli_progress_end(cli);
    status = status_of(cli, rc, &result, &err);
    if (result.transaction.transaction)
        remember(cli, cat, site, plan, &result, status);
    cli_upgrade_print_result(cli, site, plan, &result);
    forward_result_release(&result);
    return status;
}

int cli_upgrade(struct cli *cli, int argc, char **argv)
{
    const struct command *me = cli_command_find("upgrade");
    struct upgrade_arguments a = {.options = {.trial_ms = -1, .config = &cli->config}};
    struct upgrade_plan *plan = NULL;
    struct site site = SITE_INIT;
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;
    int status = parse(cli, me, argc, argv, &a);
    enum error_kind rc;

    if (status >= 0)
        return status;
    a.options.release = argv[optind + 1];
    rc = cli_site_open(cli, argv[optind], false, &site, &err);
    if (!rc && !a.dry_run)
        rc = transaction_refuse_pending(site.path, &err);
    else if (!rc)
        cli_warn_pending(cli, site.path);
    if (!rc)
        rc = cli_site_known(cli, NULL, argv[optind], site.path, &err);
    if (!rc)
        rc = cli_catalog_open(cli, a.dry_run ? CATALOG_READ : CATALOG_WRITE, !a.dry_run, &cat, &err);
    if (!rc && !a.dry_run)
        rc = cli_catalog_check_place(cli, catalog_path(cat), &site, &err);
    if (!rc && !a.dry_run)
        rc = cli_kept_clear(cli, cat, &site, false, NULL, &err);
    if (!rc)
        rc = upgrade_plan(cat, &site, &a.options, &cli->progress, &plan, &err);
    if (rc) {
        status = cli_fail(cli, &err);
        goto done;
    }
    cli_progress_end(cli);
    if (cli->json)
        cli_upgrade_json_plan(&site, plan);
    else if (!cli->quiet || !a.yes)
        cli_upgrade_print_plan(&site, plan);
    if (a.dry_run)
        status = plan->forward->preflight.problems.count ? EXIT_FAILED : cli_done(cli);
    else
        status = act(cli, cat, &site, &a, plan);
done:
    upgrade_plan_free(plan);
    catalog_close(cat);
    site_release(&site);
    return status;
}

int cli_confirm(struct cli *cli, int argc, char **argv)
{
    struct kept_state kept = {.exists = false};
    struct site site = SITE_INIT;
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;
    int status = cli_arguments(cli, cli_command_find("confirm"), argc, argv, 1, 1, "one site");
    enum error_kind rc;

    if (status >= 0)
        return status;
    rc = cli_site_open(cli, argv[optind], true, &site, &err);
    if (!rc)
        rc = transaction_refuse_pending(site.path, &err);
    if (!rc)
        rc = cli_site_known(cli, NULL, argv[optind], site.path, &err);
    if (!rc)
        rc = kept_look(site.path, &kept, &err);
    if (!rc && !kept.exists) {
        rc = error_set(&err, ERR_NOT_FOUND, 0, "no upgrade of %s is in its trial", site.path);
        error_hint(&err, "nopsnap history %s tells what was done", site.path);
    }
    if (!rc)
        rc = cli_catalog_open(cli, CATALOG_WRITE, false, &cat, &err);
    if (!rc)
        rc = cli_kept_clear(cli, cat, &site, true, NULL, &err);
    cli_progress_end(cli);
    status = rc ? cli_fail(cli, &err) : cli_done(cli);
    if (!rc && !cli->quiet && !cli->json)
        cli_line("", "the upgrade of %s to %s is confirmed", site.path, kept.to_version ? kept.to_version : "?");
    kept_state_release(&kept);
    catalog_close(cat);
    site_release(&site);
    return status;
}
