#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "maintain.h"

/* "5%" is a share, "10m" a time. */
static bool parse_amount(const char *text, struct verify_options *o)
{
    char *end = NULL;
    long percent = strtol(text, &end, 10);

    if (end != text && !strcmp(end, "%")) {
        o->per_million = percent >= 1 && percent <= 100 ? (int32_t)percent * 10000 : 0;
        return o->per_million > 0;
    }
    o->budget_ms = text_parse_duration(text);
    return o->budget_ms > 0;
}

static int parse(struct cli *cli, const struct command *me, int argc, char **argv, struct verify_options *o)
{
    static const struct option options[] = {
        {"read-data", optional_argument, NULL, 'r'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    int c;

    while ((c = cli_option(cli, me, argc, argv, options)) != -1) {
        if (c != 'r')
            return c == 'h' ? EXIT_DONE : EXIT_USAGE;
        o->read_data = true;
        if (optarg && !parse_amount(optarg, o))
            return cli_usage(cli, me, "--read-data takes a share (5%%) or a time (10m)");
    }
    if (optind < argc)
        return cli_usage(cli, me, "verify takes no argument");
    return -1;
}

static void report_json(const struct verify_report *r)
{
    struct json *v = cli_json_new("verify");

    for (size_t i = 0; i < r->damage.count; i++) {
        struct json *d = cli_json_new("damage");

        json_put_text(d, "text", r->damage.items[i]);
        cli_json(d);
    }
    for (size_t i = 0; i < r->touched.count; i++) {
        struct json *d = cli_json_new("touched");

        json_put_text(d, "text", r->touched.items[i]);
        cli_json(d);
    }
    json_put_number(v, "packs", (int64_t)r->packs);
    json_put_number(v, "packs_read", (int64_t)r->packs_read);
    json_put_number(v, "frames_read", (int64_t)r->frames_read);
    json_put_number(v, "healed", (int64_t)r->healed);
    json_put_number(v, "bytes_read", (int64_t)r->bytes_read);
    json_put_number(v, "snapshots", (int64_t)r->snapshots);
    json_put_number(v, "chunks", (int64_t)r->chunks);
    json_put_number(v, "damaged", (int64_t)r->damage.count);
    cli_json(v);
}

static void report_text(const struct cli *cli, const struct verify_options *o, const struct verify_report *r)
{
    char bytes[TEXT_MAX];
    char since[TEXT_MAX];

    text_size(r->bytes_read, bytes);
    for (size_t i = 0; i < r->damage.count; i++)
        cli_line("damage: ", "%s", r->damage.items[i]);
    for (size_t i = 0; i < r->touched.count; i++)
        cli_line("  it hits ", "%s", r->touched.items[i]);
    if (cli->quiet)
        return;
    printf("%llu snapshots, %llu packs, %llu chunks: %s\n", (unsigned long long)r->snapshots,
           (unsigned long long)r->packs, (unsigned long long)r->chunks,
           r->damage.count ? "damaged" : "their structure is sound");
    if (!o->read_data) {
        printf("the data itself was not read: nopsnap verify --read-data\n");
        return;
    }
    printf("%llu packs read, %s\n", (unsigned long long)r->packs_read, bytes);
    if (r->healed)
        printf("%llu places can't be read, but what they held was stored again: nothing needs them\n",
               (unsigned long long)r->healed);
    if (r->packs_read < r->packs && r->oldest_unread_ns) {
        text_moment(r->oldest_unread_ns, since);
        printf("the pack not read for the longest time: since %s\n", since);
    }
}

int cli_verify(struct cli *cli, int argc, char **argv)
{
    struct verify_options options = {.read_data = false};
    struct verify_report report = {0};
    struct json *detail = NULL;
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;
    int status = parse(cli, cli_command_find("verify"), argc, argv, &options);
    enum error_kind rc;

    if (status >= 0)
        return status;
    rc = cli_catalog_open(cli, CATALOG_READ, false, &cat, &err);
    if (rc)
        return cli_fail(cli, &err);
    rc = catalog_verify(cat, &options, &cli->progress, &report, &err);
    cli_progress_end(cli);
    if (cli->json)
        report_json(&report);
    else if (!rc || rc == ERR_CORRUPT)
        report_text(cli, &options, &report);
    status = rc ? cli_fail(cli, &err) : cli_done(cli);
    detail = json_object();
    json_put_number(detail, "damaged", (int64_t)report.damage.count);
    cli_event(cli, cat, NULL, "verify", detail, status);
    verify_report_release(&report);
    catalog_close(cat);
    return status;
}
