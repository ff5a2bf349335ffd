#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* Every id is found, and may go, before the first is forgotten: a wrong one changes nothing. */
static enum error_kind find_all(struct catalog *cat, char **given, size_t count, struct snapshot_record *records,
                                struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; i < count && !rc; i++) {
        rc = cli_snapshot_open(cat, given[i], &records[i], err);
        if (!rc)
            rc = cli_refuse_pending_of(&records[i], true, err);
    }
    return rc;
}

static void tell(struct cli *cli, struct catalog *cat, const struct snapshot_record *r)
{
    struct json *detail = json_object();

    if (cli->json) {
        struct json *v = cli_json_new("forget");

        json_put_text(v, "id", r->id);
        cli_json(v);
    } else if (!cli->quiet) {
        printf("forgot snapshot %.8s of ", r->id);
        cli_line("", "%s", r->site_path ? r->site_path : "?");
    }
    json_put_text(detail, "id", r->id);
    cli_event(cli, cat, r->site_id, "forget", detail, EXIT_DONE);
}

int cli_forget(struct cli *cli, int argc, char **argv)
{
    struct snapshot_record *records = NULL;
    const char **ids = NULL;
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;
    size_t count = 0;
    int status = cli_arguments(cli, cli_command_find("forget"), argc, argv, 1, -1, "one or more snapshots' ids");
    enum error_kind rc;

    if (status >= 0)
        return status;
    count = (size_t)(argc - optind);
    rc = memory_zeroed(count, sizeof(*records), (void **)&records, &err);
    if (!rc)
        rc = memory_zeroed(count, sizeof(*ids), (void **)&ids, &err);
    if (!rc)
        rc = cli_catalog_open(cli, CATALOG_WRITE, false, &cat, &err);
    if (!rc)
        rc = find_all(cat, argv + optind, count, records, &err);
    for (size_t i = 0; i < count && !rc; i++)
        ids[i] = records[i].id;
    if (!rc)
        rc = snapshot_forget(cat, ids, count, &err);
    for (size_t i = 0; i < count && !rc; i++)
        tell(cli, cat, &records[i]);
    if (!rc && !cli->json && !cli->quiet)
        printf("nopsnap prune gives their room back\n");
    for (size_t i = 0; records && i < count; i++)
        snapshot_record_release(&records[i]);
    free(records);
    free(ids);
    catalog_close(cat);
    return rc ? cli_fail(cli, &err) : cli_done(cli);
}
