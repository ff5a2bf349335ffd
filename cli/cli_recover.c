#include <string.h>
#include <unistd.h>

#include "cli.h"

void cli_recover_tell(struct cli *cli, const char *path, const struct transaction_result *r)
{
    static const char *const words[] = {"nothing", "done", "undone", "hands"};

    cli_progress_end(cli);
    if (cli->json) {
        struct json *v = cli_json_new("recover");

        json_put_bytes(v, "site", path, strlen(path));
        json_put_text(v, "outcome", words[r->outcome]);
        if (r->unwell)
            json_put_text(v, "unwell", r->unwell);
        cli_json(v);
    } else if (r->outcome == OUTCOME_NOTHING) {
        cli_line("", "nothing is pending at %s", path);
    } else {
        cli_line("", "%s: the interrupted transaction was %s", path,
                 r->outcome == OUTCOME_DONE ? "finished: the new state stands" : "undone: the old state stands");
    }
}

/* Nothing was pending there: of a site, or of a name that was mistyped? */
static enum error_kind refuse_unknown(struct cli *cli, const char *name, struct error *err)
{
    struct site site = SITE_INIT;
    enum error_kind rc;

    if (config_find(&cli->config, name) || access(name, F_OK) == 0)
        return OK;
    rc = site_inspect_loose(name, NULL, &site, err);
    if (!rc)
        rc = cli_site_known(cli, NULL, name, site.path, err);
    site_release(&site);
    return rc;
}

int cli_recover(struct cli *cli, int argc, char **argv)
{
    struct transaction_result result = {.outcome = OUTCOME_NOTHING};
    const struct site_config *config;
    struct error err = ERROR_INIT;
    const char *path;
    int status = cli_arguments(cli, cli_command_find("recover"), argc, argv, 1, 1, "one site");

    if (status >= 0)
        return status;
    config = config_find(&cli->config, argv[optind]);
    path = config && config->path ? config->path : argv[optind];
    if (recover_run(path, &cli->config, &cli->progress, &result, &err) ||
        (result.outcome == OUTCOME_NOTHING && refuse_unknown(cli, argv[optind], &err)))
        status = cli_fail(cli, &err);
    else if (!cli->quiet || cli->json)
        cli_recover_tell(cli, path, &result);
    if (status < 0)
        status = cli_done(cli);
    transaction_result_release(&result);
    return status;
}
