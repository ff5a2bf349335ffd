#include <stdlib.h>

#include "cli.h"
#include "maintain.h"

static void tell(struct cli *cli, const char *path, const struct text_list *report)
{
    for (size_t i = 0; i < report->count; i++)
        cli_warn(cli, "%s", report->items[i]);
    if (cli->json) {
        struct json *v = cli_json_new("rebuild");

        json_put_text(v, "path", path);
        json_put_number(v, "remarks", (int64_t)report->count);
        cli_json(v);
    } else if (!cli->quiet) {
        cli_line("", "%s: the index is made again from the packs", path);
    }
}

int cli_rebuild(struct cli *cli, int argc, char **argv)
{
    struct text_list report = TEXT_LIST_INIT;
    struct error err = ERROR_INIT;
    bool is_default = false;
    char *path = NULL;
    int status = cli_arguments(cli, cli_command_find("rebuild"), argc, argv, 0, 0,
                               "no argument; name the catalogue with --catalog");
    enum error_kind rc;

    if (status >= 0)
        return status;
    rc = cli_catalog_path(cli, &path, &is_default, &err);
    if (!rc)
        rc = catalog_rebuild(path, &cli->progress, &report, &err);
    cli_progress_end(cli);
    if (!rc)
        tell(cli, path, &report);
    status = rc ? cli_fail(cli, &err) : cli_done(cli);
    text_list_release(&report);
    free(path);
    return status;
}
