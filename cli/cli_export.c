#include <sys/stat.h>

#include "cli.h"
#include "restore.h"

static void tell(struct cli *cli, const struct snapshot_record *r, const char *file)
{
    struct stat st;
    char size[TEXT_MAX];
    uint64_t bytes = stat(file, &st) == 0 ? (uint64_t)st.st_size : 0;

    text_size(bytes, size);
    if (cli->json) {
        struct json *v = cli_json_new("export");

        json_put_text(v, "id", r->id);
        json_put_text(v, "file", file);
        json_put_number(v, "bytes", (int64_t)bytes);
        cli_json(v);
    } else if (!cli->quiet) {
        printf("snapshot %.8s is in ", r->id);
        cli_line("", "%s, %s; it holds the shop's passwords: keep it private", file, size);
    }
}

int cli_export(struct cli *cli, int argc, char **argv)
{
    struct snapshot_record record = SNAPSHOT_RECORD_INIT;
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;
    int status = cli_arguments(cli, cli_command_find("export"), argc, argv, 2, 2,
                               "a snapshot's id and a file that ends in .tar.zst or .zip");
    enum error_kind rc;

    if (status >= 0)
        return status;
    rc = cli_catalog_open(cli, CATALOG_READ, false, &cat, &err);
    if (!rc)
        rc = cli_refuse_in_site(cli, cat, argv[optind + 1], &err); /* it holds the shop's passwords (P10) */
    if (!rc)
        rc = cli_snapshot_open(cat, argv[optind], &record, &err);
    if (!rc)
        rc = restore_export(cat, &record, argv[optind + 1], &cli->progress, &err);
    cli_progress_end(cli);
    if (!rc)
        tell(cli, &record, argv[optind + 1]);
    snapshot_record_release(&record);
    catalog_close(cat);
    return rc ? cli_fail(cli, &err) : cli_done(cli);
}
