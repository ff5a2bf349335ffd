#include <stdlib.h>
#include <unistd.h>

#include "cli.h"
#include "file.h"

int cli_init(struct cli *cli, int argc, char **argv)
{
    struct error err = ERROR_INIT;
    bool is_default = false;
    bool no_parent;
    char *path = NULL;
    char *parent = NULL;
    char *real = NULL;
    int status =
        cli_arguments(cli, cli_command_find("init"), argc, argv, 0, 0, "no argument; name the folder with --catalog");

    if (status >= 0)
        return status;
    status = EXIT_DONE;
    if (cli_catalog_path(cli, &path, &is_default, &err) || path_parent(path, &parent, &err))
        goto fail;
    no_parent = access(parent, F_OK) != 0;
    if (directory_make_all(parent, &err) || path_real(parent, &real, &err))
        goto fail;
    if (site_serves(real)) {
        error_set(&err, ERR_REFUSED, 0, "%s is inside a site: visitors could read the catalogue", path);
        error_hint(&err, "choose a folder that no web server hands out");
        goto fail;
    }
    if (catalog_init(path, &err))
        goto fail;
    if (no_parent && !is_default)
        cli_note(cli, "note: %s did not exist and was made: if a disk is to be mounted there, do that first", real);
    if (cli->json) {
        struct json *v = cli_json_new("catalog");

        json_put_text(v, "path", path);
        cli_json(v);
    } else if (!cli->quiet) {
        printf("%s is a new catalogue\n", path);
    }
    goto done;
fail:
    status = cli_fail(cli, &err);
done:
    free(path);
    free(parent);
    free(real);
    return status;
}
