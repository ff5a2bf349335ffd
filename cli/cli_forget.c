#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "cli_retention.h"

/* Every id is found, and may go, before the first is forgotten: a wrong one changes nothing. */
static enum error_kind find_all(struct catalog *cat, char **given, size_t count, struct snapshot_record *records,
                                struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; i < count && !rc; i++) {
        rc = cli_snapshot_open(cat, given[i], &records[i], err);
        if (!rc)
            rc = cli_refuse_pending_of(&records[i], err);
        if (!rc)
            rc = transaction_refuse_needed(cat, records[i].id, err);
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

static int forget_ids(struct cli *cli, char **given, size_t count)
{
    struct snapshot_record *records = NULL;
    const char **ids = NULL;
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;
    enum error_kind rc = memory_zeroed(count, sizeof(*records), (void **)&records, &err);

    if (!rc)
        rc = memory_zeroed(count, sizeof(*ids), (void **)&ids, &err);
    if (!rc)
        rc = cli_catalog_open(cli, CATALOG_WRITE, false, &cat, &err);
    if (!rc)
        rc = find_all(cat, given, count, records, &err);
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

/* A path, or a name of the config; everything else is taken for an id. */
static bool is_site(const struct cli *cli, const char *given)
{
    return strchr(given, '/') || config_find(&cli->config, given);
}

int cli_forget(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"keep", required_argument, NULL, 'k'},
                                            {"dry-run", no_argument, NULL, 'n'},
                                            {"all", no_argument, NULL, 'a'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const struct command *me = cli_command_find("forget");
    struct forget_options o = {NULL, false, false};
    size_t count;
    size_t sites = 0;
    int c;

    while ((c = cli_option(cli, me, argc, argv, options)) != -1) {
        switch (c) {
        case 'k':
            o.keep = optarg;
            break;
        case 'n':
            o.dry_run = true;
            break;
        case 'a':
            o.all = true;
            break;
        default:
            return c == 'h' ? EXIT_DONE : EXIT_USAGE;
        }
    }
    count = (size_t)(argc - optind);
    for (size_t i = 0; i < count; i++)
        sites += is_site(cli, argv[optind + (int)i]);
    if (o.all ? count > 0 : count == 0)
        return cli_usage(cli, me, "forget takes snapshots' ids, or sites, or --all");
    if (sites != count && (sites || o.keep || o.dry_run))
        return cli_usage(cli, me, "rules are for sites: a path, or a name of the config");
    return o.all || sites ? cli_forget_sites(cli, argv + optind, count, &o) : forget_ids(cli, argv + optind, count);
}
