#include <inttypes.h>
#include <stdlib.h>

#include "cli.h"

struct told {
    struct cli *cli;
};

/* The server's words are what was asked for: they go to stdout as they come. */
static void tell(void *arg, const char *line)
{
    struct told *t = arg;

    if (t->cli->json) {
        struct json *v = cli_json_new("message");

        json_put_text(v, "text", line);
        cli_json(v);
    } else
        cli_line("", "%s", line);
    (void)fflush(stdout);
}

static enum error_kind refuse_pending(const struct site *site, struct error *err)
{
    enum transaction_state state = TRANSACTION_NONE;
    char *detail = NULL;
    enum error_kind rc = transaction_look(site->path, &state, &detail, err);

    if (!rc && state == TRANSACTION_PENDING) {
        rc = error_set(err, ERR_PENDING, 0, "unfinished at %s: %s", site->path, detail ? detail : "?");
        error_hint(err, "nopsnap recover %s", site->path);
    }
    free(detail);
    return rc;
}

static void finish(struct cli *cli, const char *file, uint64_t batches)
{
    if (cli->json) {
        struct json *v = cli_json_new("sql");

        json_put_text(v, "file", file);
        json_put_number(v, "batches", (int64_t)batches);
        cli_json(v);
    } else if (!cli->quiet)
        cli_line("", "%s: %" PRIu64 " batch%s run", file, batches, batches == 1 ? "" : "es");
}

int cli_sql(struct cli *cli, int argc, char **argv)
{
    struct cli_database d = CLI_DATABASE_INIT;
    struct site site = SITE_INIT;
    struct error err = ERROR_INIT;
    struct told told = {cli};
    uint64_t batches = 0;
    int status = cli_arguments(cli, cli_command_find("sql"), argc, argv, 2, 2, "a site and a script");
    enum error_kind rc;

    if (status >= 0)
        return status;
    rc = cli_site_open(cli, argv[optind], false, &site, &err);
    if (!rc)
        rc = refuse_pending(&site, &err);
    if (!rc)
        rc = cli_database_open(&site, &d, &err);
    if (!rc && !d.db)
        rc = error_set(&err, ERR_NOT_FOUND, 0, "%s names no database", site.path);
    if (!rc)
        rc = database_run_script(d.db, argv[optind + 1], tell, &told, &batches, &err);
    if (!rc)
        finish(cli, argv[optind + 1], batches);
    cli_database_release(&d);
    site_release(&site);
    return rc ? cli_fail(cli, &err) : cli_done(cli);
}
