/*
 * hold, release, accept: marks on one snapshot.
 */
#include <string.h>

#include "cli.h"

/* One line on stdout, one event in the history. */
static void told(struct cli *cli, struct catalog *cat, const char *type, const char *said,
                 const struct snapshot_record *record)
{
    struct json *detail = json_object();

    if (cli->json) {
        struct json *v = cli_json_new(type);

        json_put_text(v, "id", record->id);
        cli_json(v);
    } else if (!cli->quiet) {
        printf("snapshot %.8s %s\n", record->id, said);
    }
    json_put_text(detail, "id", record->id);
    cli_event(cli, cat, record->site_id, type, detail, EXIT_DONE);
}

/* What differs between the three. */
typedef enum error_kind mark_fn(struct catalog *cat, const char *id, const char *reason, struct error *err);

static enum error_kind add(struct catalog *cat, const char *id, const char *reason, struct error *err)
{
    char hold[33];

    return snapshot_hold_add(cat, id, reason, true, 0, hold, err);
}

static enum error_kind let_go(struct catalog *cat, const char *id, const char *reason, struct error *err)
{
    enum error_kind rc = snapshot_hold_release(cat, id, true, err);

    (void)reason;
    if (rc == ERR_NOT_FOUND)
        error_hint(err, "nothing holds it; nopsnap show %.8s", id);
    return rc;
}

static enum error_kind accept_it(struct catalog *cat, const char *id, const char *reason, struct error *err)
{
    (void)reason;
    return snapshot_accept(cat, id, err);
}

static int mark(struct cli *cli, const char *type, const char *said, const char *given, const char *reason, mark_fn *fn)
{
    struct snapshot_record record = SNAPSHOT_RECORD_INIT;
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;
    enum error_kind rc = cli_catalog_open(cli, CATALOG_WRITE, false, &cat, &err);

    if (!rc)
        rc = cli_snapshot_open(cat, given, &record, &err);
    if (!rc)
        rc = cli_refuse_pending_of(&record, &err);
    if (!rc)
        rc = fn(cat, record.id, reason, &err);
    if (!rc)
        told(cli, cat, type, said, &record);
    snapshot_record_release(&record);
    catalog_close(cat);
    return rc ? cli_fail(cli, &err) : cli_done(cli);
}

int cli_hold(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {
        {"reason", required_argument, NULL, 'r'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    const struct command *me = cli_command_find("hold");
    const char *reason = "held by hand";
    int c;

    while ((c = cli_option(cli, me, argc, argv, options)) != -1) {
        if (c != 'r')
            return c == 'h' ? EXIT_DONE : EXIT_USAGE;
        reason = optarg;
    }
    if (argc - optind != 1)
        return cli_usage(cli, me, "hold takes one snapshot's id");
    return mark(cli, "hold", "is held: it is not forgotten before nopsnap release", argv[optind], reason, add);
}

int cli_release(struct cli *cli, int argc, char **argv)
{
    int status = cli_arguments(cli, cli_command_find("release"), argc, argv, 1, 1, "one snapshot's id");

    return status >= 0 ? status : mark(cli, "release", "is no longer held", argv[optind], NULL, let_go);
}

int cli_accept(struct cli *cli, int argc, char **argv)
{
    int status = cli_arguments(cli, cli_command_find("accept"), argc, argv, 1, 1, "one snapshot's id");

    return status >= 0 ? status : mark(cli, "accept", "counts as good", argv[optind], NULL, accept_it);
}
