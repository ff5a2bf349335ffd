#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli_rollback.h"
#include "file.h"
#include "shops.h"
#include "thread.h"

struct rollback_arguments {
    struct rollback_options options;
    bool dry_run, yes;
};

static int parse(struct cli *cli, const struct command *me, int argc, char **argv, struct rollback_arguments *a)
{
    static const struct option options[] = {
        {"to", required_argument, NULL, 't'},
        {"only", required_argument, NULL, 'o'},
        {"dry-run", no_argument, NULL, 'n'},
        {"yes", no_argument, NULL, 'y'},
        {"export-lost", required_argument, NULL, 'e'},
        {"keep-connection", no_argument, NULL, 'k'},
        {"shared", no_argument, NULL, 's'},
        {"other-host", no_argument, NULL, 'O'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = cli_option(cli, me, argc, argv, options)) != -1) {
        switch (c) {
        case 't':
            a->options.to = optarg;
            break;
        case 'o':
            if (strcmp(optarg, "files") != 0 && strcmp(optarg, "database") != 0)
                return cli_usage(cli, me, "--only is files or database");
            a->options.only = !strcmp(optarg, "files") ? SNAPSHOT_FILES_ONLY : SNAPSHOT_DATABASE_ONLY;
            break;
        case 'n':
            a->dry_run = true;
            break;
        case 'y':
            a->yes = true;
            break;
        case 'e':
            a->options.export_lost = optarg;
            break;
        case 'k':
            a->options.keep_connection = true;
            break;
        case 's':
            a->options.shared = true;
            break;
        case 'O':
            a->options.other_host = true;
            break;
        case 'h':
            return EXIT_DONE;
        default:
            return EXIT_USAGE;
        }
    }
    if (argc - optind != 1)
        return cli_usage(cli, me, "rollback takes one site");
    return -1;
}

/* An interrupted transaction comes first: what the owner meant was said before the crash. */
static int recover_first(struct cli *cli, const char *path, bool *did)
{
    struct error err = ERROR_INIT;
    enum transaction_state state = TRANSACTION_NONE;
    struct transaction_result result = {.outcome = OUTCOME_NOTHING};
    char *detail = NULL;
    int status = EXIT_DONE;

    *did = false;
    if (transaction_look(path, &state, &detail, &err) != OK) {
        *did = true;
        return cli_fail(cli, &err);
    }
    if (state == TRANSACTION_PENDING) {
        *did = true;
        cli_note(cli, "an unfinished transaction comes first: %s", detail ? detail : "?");
        if (recover_run(path, &cli->config, &cli->progress, &result, &err))
            status = cli_fail(cli, &err);
        else {
            cli_recover_tell(cli, path, &result);
            cli_note(cli, "run rollback again to go further");
            status = cli_done(cli);
        }
    }
    free(detail);
    transaction_result_release(&result);
    return status;
}

static enum error_kind declined(const char *why, const char *hint, struct error *err)
{
    enum error_kind rc = error_set(err, ERR_REFUSED, 0, "%s: nothing was changed", why);

    if (hint)
        error_hint(err, "%s", hint);
    return rc;
}

static enum error_kind ask(const struct rollback_arguments *a, const struct rollback_plan *plan, struct error *err)
{
    char answer[16] = "";
    enum error_kind rc;

    if (a->yes && plan->needs_choice && !a->options.to)
        return declined("there are two states to go back to", "say which with --to ID", err);
    if (a->yes)
        return OK;
    if (!isatty(STDIN_FILENO))
        return declined("nobody to ask", "say --yes", err);
    fputs("go back? [y/N] ", stderr);
    (void)fflush(stderr);
    rc = cancel_wait_input(STDIN_FILENO, err);
    if (rc) {
        error_context(err, "nothing was changed"); /* Ctrl-C is no answer */
        return rc;
    }
    if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
        return OK;
    return declined("declined", NULL, err);
}

static int status_of(struct cli *cli, enum error_kind rc, const struct transaction_result *r, const struct error *err)
{
    int status;

    if (!rc)
        return cli_done(cli);
    status = cli_fail(cli, err);
    if (r->outcome == OUTCOME_UNDONE)
        return EXIT_UNDONE;
    if (r->outcome == OUTCOME_HANDS)
        return EXIT_HANDS;
    return status;
}

static void remember(struct cli *cli, struct catalog *cat, const struct site *site, const char *target,
                     const struct transaction_result *r, int status)
{
    struct json *detail = json_object();
    struct error ignored = ERROR_INIT;
    char site_id[17];

    if (catalog_site_id(cat, site->path, site_id, &ignored) != OK)
        return;
    json_put_text(detail, "target", target);
    if (r->safety_snapshot)
        json_put_text(detail, "safety_snapshot", r->safety_snapshot);
    if (r->unwell)
        json_put_text(detail, "unwell", r->unwell);
    cli_event(cli, cat, site_id, "rollback", detail, status);
}

static enum error_kind refuse_place(const char *directory, struct error *err)
{
    error_set(err, ERR_REFUSED, 0, "--export-lost %s is inside a site: visitors could read it", directory);
    error_hint(err, "name a folder elsewhere");
    return ERR_REFUSED;
}

/*
 * Where the lost rows go: made if it is not there, and never where visitors could read it (P10). Looked at before anything
 * is made, and again after: by a ".." behind a folder that was missing it may lead elsewhere than it seemed.
 */
static enum error_kind export_place(struct cli *cli, struct catalog *cat, const struct site *site,
                                    const char *directory, struct error *err)
{
    bool inside = false;
    enum error_kind rc = shops_hold(cat, &cli->config, directory, &inside, err);

    if (!rc && (inside || site_holds(site->path, directory)))
        return refuse_place(directory, err);
    if (!rc)
        rc = directory_make_all(directory, err);
    if (!rc)
        rc = shops_hold(cat, &cli->config, directory, &inside, err);
    if (!rc && (inside || site_holds(site->path, directory)))
        rc = refuse_place(directory, err);
    return rc;
}

static int act(struct cli *cli, struct catalog *cat, struct site *site, struct rollback_arguments *a,
               struct rollback_plan *plan)
{
    struct transaction_result result = {.outcome = OUTCOME_NOTHING};
    struct error err = ERROR_INIT;
    char target[33];
    enum error_kind rc;
    int status;

    memcpy(target, plan->target.id, sizeof(target));
    rc = plan->preflight.problems.count ? OK : ask(a, plan, &err); /* with problems there is nothing to ask */
    if (!rc && a->options.export_lost)
        rc = export_place(cli, cat, site, a->options.export_lost, &err);
    if (!rc)
        rc = rollback_run(cat, site, plan, &cli->progress, &result, &err);
    cli_progress_end(cli);
    status = status_of(cli, rc, &result, &err);
    if (result.transaction)
        remember(cli, cat, site, target, &result, status);
    cli_rollback_print_result(cli, site, target, &result);
    transaction_result_release(&result);
    return status;
}

int cli_rollback(struct cli *cli, int argc, char **argv)
{
    const struct command *me = cli_command_find("rollback");
    struct rollback_arguments a = {.options = {.only = SNAPSHOT_WHOLE, .config = &cli->config}};
    struct rollback_plan *plan = NULL;
    struct site site = SITE_INIT;
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;
    bool recovered = false;
    int status = parse(cli, me, argc, argv, &a);
    enum error_kind rc;

    if (status >= 0)
        return status;
    rc = cli_site_open(cli, argv[optind], true, &site, &err);
    if (rc)
        goto fail;
    if (!a.dry_run)
        status = recover_first(cli, site.path, &recovered);
    else
        cli_warn_pending(cli, site.path);
    if (recovered)
        goto done;
    rc = cli_catalog_open(cli, a.dry_run ? CATALOG_READ : CATALOG_WRITE, false, &cat, &err);
    if (!rc)
        rc = cli_site_known(cli, cat, argv[optind], site.path, &err);
    if (!rc && !a.dry_run)
        rc = cli_kept_clear(cli, cat, &site, false, NULL, &err);
    if (!rc)
        rc = rollback_plan(cat, &site, &a.options, &cli->progress, &plan, &err);
    if (rc)
        goto fail;
    cli_progress_end(cli);
    if (cli->json)
        cli_rollback_json_plan(&site, plan);
    else if (!cli->quiet || !a.yes) /* a plan that is asked for, or asked about, is no chatter */
        cli_rollback_print_plan(cli, &site, plan);
    if (a.dry_run)
        status = plan->preflight.problems.count ? EXIT_FAILED : cli_done(cli);
    else
        status = act(cli, cat, &site, &a, plan);
    goto done;
fail:
    status = cli_fail(cli, &err);
done:
    rollback_plan_free(plan);
    catalog_close(cat);
    site_release(&site);
    return status;
}
