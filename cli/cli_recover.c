#include <string.h>

#include "cli.h"

void cli_recover_tell(struct cli *cli, const char *path, const struct transaction_result *r)
{
    static const char *const words[] = {"nothing", "done", "undone", "hands"};

    cli_progress_end(cli);
    if (cli->json) {
        struct json *v = cli_json_new("recover");

        json_put_bytes(v, "site", path, strlen(path));
        json_put_text(v, "outcome", words[r->outcome]);
        cli_json(v);
    } else if (r->outcome == OUTCOME_NOTHING) {
        cli_line("", "nothing is pending at %s", path);
    } else {
        cli_line("", "%s: the interrupted transaction was %s", path,
                 r->outcome == OUTCOME_DONE ? "finished: the new state stands" : "undone: the old state stands");
    }
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
    if (recover_run(path, &cli->config, &cli->progress, &result, &err))
        status = cli_fail(cli, &err);
    else
        cli_recover_tell(cli, path, &result);
    if (status < 0)
        status = cli_done(cli);
    transaction_result_release(&result);
    return status;
}
