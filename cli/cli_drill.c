/*
 * drill: a restore that is only tried.
 */
#include "cli_drill.h"

#include <string.h>

struct drill_arguments {
    const char *folder; /* or NULL */
};

static int parse(struct cli *cli, const struct command *me, int argc, char **argv, struct drill_arguments *a)
{
    static const struct option options[] = {
        {"scratch", required_argument, NULL, 's'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    int c;

    while ((c = cli_option(cli, me, argc, argv, options)) != -1) {
        if (c != 's')
            return c == 'h' ? EXIT_DONE : EXIT_USAGE;
        a->folder = optarg;
    }
    if (argc - optind < 1 || argc - optind > 2)
        return cli_usage(cli, me, "drill takes a site, and perhaps a snapshot");
    return -1;
}

enum error_kind cli_connect(void *arg, const struct site *site, struct database **out, struct error *err)
{
    struct cli_database *d = arg;
    enum error_kind rc;

    cli_database_release(d);
    rc = cli_database_open(site, d, err);
    if (!rc && d->db) /* a native dump is loaded by the folder that the config names */
        cli_native_use(site->config, d->db, DATABASE_LOGICAL);
    *out = d->db;
    return rc;
}

void cli_drill_words(const struct drill_result *r, char *out, size_t room)
{
    char took[TEXT_MAX];
    int n;

    text_duration((uint64_t)((r->ended_ns - r->started_ns) / 1000000), took);
    n = snprintf(out, room, "proved restorable: %s", took);
    if (r->has_files && (size_t)n < room)
        n += snprintf(out + n, room - (size_t)n, ", %llu files", (unsigned long long)r->files);
    if (r->has_database && (size_t)n < room)
        (void)snprintf(out + n, room - (size_t)n, ", %llu tables, %llu rows", (unsigned long long)r->tables,
                       (unsigned long long)r->rows);
}

static void tell(struct cli *cli, const struct site *site, const struct drill_result *r, const struct error *failure,
                 int status)
{
    char words[256];
    char when[TEXT_MAX];

    if (cli->json) {
        struct json *v = drill_json(r);

        json_put_text(v, "type", "drill");
        json_put_bytes(v, "site", site->path, strlen(site->path));
        json_put_number(v, "snapshot_ns", r->snapshot_ns);
        json_put_flag(v, "proved", !failure);
        json_put_text(v, "text", failure ? failure->text : "");
        json_put_number(v, "status", status);
        cli_json(v);
        return;
    }
    if (failure || cli->quiet)
        return;
    cli_drill_words(r, words, sizeof(words));
    text_moment(r->snapshot_ns, when);
    cli_line("", "%s", words);
    cli_line("", "snapshot %.8s of %s, %s", r->snapshot, site->path, when);
}

int cli_drill(struct cli *cli, int argc, char **argv)
{
    const struct command *me = cli_command_find("drill");
    struct drill_arguments a = {NULL};
    struct cli_database database = CLI_DATABASE_INIT;
    struct drill_options o = {.config = &cli->config, .connect = cli_connect, .arg = &database};
    struct drill_result result = {.started_ns = 0};
    struct site site = SITE_INIT;
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;
    struct error unwritten = ERROR_INIT;
    int status = parse(cli, me, argc, argv, &a);
    enum error_kind rc;

    if (status >= 0)
        return status;
    database.cli = cli;
    o.folder = a.folder;
    o.snapshot = argc - optind == 2 ? argv[optind + 1] : NULL;
    rc = cli_catalog_open(cli, CATALOG_WRITE, false, &cat, &err);
    if (!rc)
        rc = cli_site_open(cli, argv[optind], true, &site, &err);
    if (!rc)
        rc = cli_site_known(cli, cat, argv[optind], site.path, &err);
    if (!rc)
        rc = cli_catalog_check_place(cli, catalog_path(cat), &site, &err);
    if (!rc)
        rc = drill_site(cat, &site, &o, &cli->progress, &result, &err);
    cli_progress_end(cli);
    status = rc ? cli_fail(cli, &err) : cli_done(cli);
    if (result.started_ns)
        tell(cli, &site, &result, rc ? &err : NULL, status);
    if (cat && drill_record(cat, &site, &result, rc ? &err : NULL, status, &unwritten) != OK)
        cli_warn(cli, "this drill is not in the record: %s", unwritten.text);
    cli_database_release(&database);
    site_release(&site);
    catalog_close(cat);
    return status;
}
