#include "cli.h"

static int report(struct cli *cli, const char *path, const struct transaction_result *r)
{
    static const char *const words[] = {"nothing", "done", "undone", "hands"};

    if (cli->json) {
        struct json *v = cli_json_new("recover");

        json_put_text(v, "site", path);
        json_put_text(v, "outcome", words[r->outcome]);
        cli_json(v);
    } else if (r->outcome == OUTCOME_NOTHING) {
        printf("nothing is pending at %s\n", path);
    } else {
        printf("%s: the interrupted transaction was %s\n", path,
               r->outcome == OUTCOME_DONE ? "finished: the new state stands" : "undone: the old state stands");
    }
    return cli_done(cli);
}

int cli_recover(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    const struct command *me = cli_command_find("recover");
    struct transaction_result result = {.outcome = OUTCOME_NOTHING};
    const struct site_config *config;
    struct error err = ERROR_INIT;
    const char *path;
    int status;
    int c = cli_option(cli, me, argc, argv, options);

    if (c != -1)
        return c == 'h' ? EXIT_DONE : EXIT_USAGE;
    if (argc - optind != 1)
        return cli_usage(cli, me, "recover takes one site");
    config = config_find(&cli->config, argv[optind]);
    path = config && config->path ? config->path : argv[optind];
    if (recover_run(path, &cli->config, NULL, &cli->progress, &result, &err))
        status = cli_fail(cli, &err);
    else
        status = report(cli, path, &result);
    cli_progress_end(cli);
    transaction_result_release(&result);
    return status;
}
