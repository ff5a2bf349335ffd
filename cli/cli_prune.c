#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "maintain.h"

#define REMOVAL_TIMEOUT_MS 30000
#define DEFAULT_UNUSED_PERCENT 10

static int parse(struct cli *cli, const struct command *me, int argc, char **argv, struct prune_options *o)
{
    static const struct option options[] = {{"max-unused", required_argument, NULL, 'm'},
                                            {"dry-run", no_argument, NULL, 'n'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    char *end = NULL;
    long percent;
    int c;

    while ((c = cli_option(cli, me, argc, argv, options)) != -1) {
        switch (c) {
        case 'm':
            percent = strtol(optarg, &end, 10);
            if (end == optarg || strcmp(end, "%") != 0 || percent < 0 || percent > 100)
                return cli_usage(cli, me, "--max-unused is a share such as 10%%");
            o->max_unused_percent = (int)percent;
            break;
        case 'n':
            o->dry_run = true;
            break;
        default:
            return c == 'h' ? EXIT_DONE : EXIT_USAGE;
        }
    }
    if (optind < argc)
        return cli_usage(cli, me, "prune takes no argument");
    return -1;
}

static void tell(struct cli *cli, const struct prune_options *o, const struct prune_report *r)
{
    char before[TEXT_MAX];
    char unused[TEXT_MAX];
    char freed[TEXT_MAX];

    text_size(r->bytes_before, before);
    text_size(r->bytes_unused, unused);
    text_size(r->bytes_freed, freed);
    if (cli->json) {
        struct json *v = cli_json_new("prune");

        json_put_flag(v, "dry_run", o->dry_run);
        json_put_number(v, "bytes_before", (int64_t)r->bytes_before);
        json_put_number(v, "bytes_unused", (int64_t)r->bytes_unused);
        json_put_number(v, "bytes_freed", (int64_t)r->bytes_freed);
        json_put_number(v, "packs_removed", (int64_t)r->packs_removed);
        json_put_number(v, "packs_rewritten", (int64_t)r->packs_rewritten);
        json_put_flag(v, "removal_postponed", r->removal_postponed);
        cli_json(v);
    } else if (!cli->quiet) {
        printf("of %s stored, %s are in no snapshot\n", before, unused);
        printf("%s %s: %llu packs removed, %llu rewritten\n", o->dry_run ? "would free about" : "freed", freed,
               (unsigned long long)r->packs_removed, (unsigned long long)r->packs_rewritten);
    }
    if (r->removal_postponed)
        cli_note(cli, "others are reading: what is replaced goes at the next prune");
}

static void remember(struct cli *cli, struct catalog *cat, const struct prune_report *r, int status)
{
    struct json *detail = json_object();

    json_put_number(detail, "bytes_freed", (int64_t)r->bytes_freed);
    cli_event(cli, cat, NULL, "prune", detail, status);
}

int cli_prune(struct cli *cli, int argc, char **argv)
{
    struct prune_options options = {DEFAULT_UNUSED_PERCENT, false, REMOVAL_TIMEOUT_MS};
    struct prune_report report = {0};
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;
    int status = parse(cli, cli_command_find("prune"), argc, argv, &options);
    enum error_kind rc;

    if (status >= 0)
        return status;
    rc = cli_catalog_open(cli, CATALOG_WRITE, false, &cat, &err);
    if (!rc)
        rc = catalog_prune(cat, &options, &cli->progress, &report, &err);
    cli_progress_end(cli);
    status = rc ? cli_fail(cli, &err) : cli_done(cli);
    if (!rc)
        tell(cli, &options, &report);
    if (cat && !options.dry_run)
        remember(cli, cat, &report, status);
    catalog_close(cat);
    return status;
}
