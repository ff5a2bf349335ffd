#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define SITE_LOCK_TIMEOUT_MS 60000

struct snapshot_arguments {
    struct snapshot_options options;
    const char *tags[33];
    size_t tag_count;
    struct text_list exclude, include;
    enum database_way way; /* SQL Server alone has more than one */
};

static int parse(struct cli *cli, const struct command *me, int argc, char **argv, struct snapshot_arguments *a)
{
    static const struct option options[] = {
        {"mode", required_argument, NULL, 'm'},
        {"tag", required_argument, NULL, 't'},
        {"files-only", no_argument, NULL, 'F'},
        {"database-only", no_argument, NULL, 'D'},
        {"exclude", required_argument, NULL, 'x'},
        {"include", required_argument, NULL, 'i'},
        {"sqlserver-mode", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct error err = ERROR_INIT;
    enum error_kind rc = OK;
    int c;

    while (!rc && (c = cli_option(cli, me, argc, argv, options)) != -1) {
        switch (c) {
        case 'm':
            if (strcmp(optarg, "online") != 0 && strcmp(optarg, "stopped") != 0)
                return cli_usage(cli, me, "--mode is online or stopped");
            a->options.stopped = !strcmp(optarg, "stopped");
            break;
        case 't':
            if (a->tag_count + 1 >= sizeof(a->tags) / sizeof(a->tags[0]))
                return cli_usage(cli, me, "at most 32 tags");
            a->tags[a->tag_count++] = optarg;
            break;
        case 'F':
        case 'D':
            if (a->options.part != SNAPSHOT_WHOLE)
                return cli_usage(cli, me, "--files-only and --database-only exclude each other");
            a->options.part = c == 'F' ? SNAPSHOT_FILES_ONLY : SNAPSHOT_DATABASE_ONLY;
            break;
        case 'x':
            rc = text_list_add(&a->exclude, optarg, &err);
            break;
        case 'i':
            rc = text_list_add(&a->include, optarg, &err);
            break;
        case 's':
            if (!database_way_parse(optarg, &a->way))
                return cli_usage(cli, me, "--sqlserver-mode is auto, native or logical");
            break;
        case 'h':
            return EXIT_DONE;
        default:
            return EXIT_USAGE;
        }
    }
    if (rc)
        return cli_fail(cli, &err);
    a->options.tags = a->tags;
    if (argc - optind != 1)
        return cli_usage(cli, me, "snapshot takes one site");
    return -1;
}

static enum error_kind add_patterns(struct site *site, const struct snapshot_arguments *a, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; i < a->exclude.count && !rc; i++)
        rc = site_exclude(site, a->exclude.items[i], err);
    for (size_t i = 0; i < a->include.count && !rc; i++)
        rc = site_include(site, a->include.items[i], err);
    return rc;
}

static void print_left_out(struct cli *cli, const struct snapshot_record *r)
{
    for (size_t i = 0; i < r->left_out_count; i++) {
        const struct snapshot_left_out *l = &r->left_out[i];
        char path[256];
        char size[TEXT_MAX];

        text_name(l->path, strlen(l->path), path, sizeof(path));
        text_size(l->bytes, size);
        if (cli->verbose || i < 8)
            printf("  left out  %s: %s, %llu files, %s\n", path, l->reason, (unsigned long long)l->files, size);
        else if (i == 8)
            printf("  left out  and %zu more (nopsnap show %.8s)\n", r->left_out_count - i, r->id);
    }
}

static void print_text(struct cli *cli, const struct site *site, const struct snapshot_result *s, uint64_t ms)
{
    const struct snapshot_record *r = &s->record;
    char bytes[TEXT_MAX];
    char stored[TEXT_MAX];
    char took[TEXT_MAX];
    char dump[TEXT_MAX];

    text_size(s->bytes, bytes);
    text_size(r->bytes_stored, stored);
    text_size(r->dump_bytes, dump);
    text_duration(ms, took);
    printf("snapshot %.8s of ", r->id);
    cli_line("", "%s", site->path);
    if (r->nop_version)
        printf("  shop      nopCommerce %s\n", r->nop_version);
    if (r->root_count)
        printf("  files     %llu, %s; %llu read\n", (unsigned long long)s->files, bytes,
               (unsigned long long)s->files_read);
    if (r->has_dump)
        printf("  database  dump of %s\n", dump);
    printf("  stored    %s new in the catalogue\n", stored);
    print_left_out(cli, r);
    printf("  took      %s\n", took);
}

static void print_json(const struct site *site, const struct snapshot_result *s, uint64_t ms)
{
    const struct snapshot_record *r = &s->record;
    struct json *v = cli_json_new("snapshot");
    struct json *left = json_array();

    json_put_text(v, "id", r->id);
    json_put_bytes(v, "site", site->path, strlen(site->path));
    json_put_text(v, "version", r->nop_version);
    json_put_number(v, "made_ns", r->made_ns);
    json_put_number(v, "files", (int64_t)s->files);
    json_put_number(v, "files_read", (int64_t)s->files_read);
    json_put_number(v, "bytes", (int64_t)s->bytes);
    json_put_number(v, "dump_bytes", (int64_t)r->dump_bytes);
    json_put_number(v, "stored_bytes", (int64_t)r->bytes_stored);
    json_put_number(v, "unread", (int64_t)r->unread.count);
    if (s->pictures_compared)
        json_put_number(v, "pictures_missing", (int64_t)s->pictures_missing);
    json_put_number(v, "took_ms", (int64_t)ms);
    for (size_t i = 0; i < r->left_out_count; i++) {
        struct json *l = json_object();

        json_put_bytes(l, "path", r->left_out[i].path, strlen(r->left_out[i].path));
        json_put_text(l, "reason", r->left_out[i].reason);
        json_put_number(l, "files", (int64_t)r->left_out[i].files);
        json_put_number(l, "bytes", (int64_t)r->left_out[i].bytes);
        json_push(left, l);
    }
    json_put(v, "left_out", left);
    cli_json(v);
}

/* Whatever the lower layer advises, the files can be saved without the database. */
static void hint_files_only(struct error *err)
{
    char why[sizeof(err->hint)];

    memcpy(why, err->hint, sizeof(why));
    err->hint[0] = '\0';
    error_hint(err, "%.400s%s--files-only saves the files without the database", why, why[0] ? "; " : "");
}

static enum error_kind note_dump(void *arg, const struct snapshot_row *row, struct error *err)
{
    struct snapshot_row *newest = arg;

    (void)err;
    if (!newest->id[0] && row->dump_bytes)
        memcpy(newest->id, row->id, sizeof(newest->id));
    return OK;
}

/* Where a shop of this version keeps its connection. */
static const char *settings_file(const struct site *site)
{
    if (site->layout == SITE_LEGACY)
        return "App_Data/Settings.txt";
    if (site->version.major == 4 && site->version.minor < 50)
        return "App_Data/dataSettings.json";
    return "App_Data/appsettings.json";
}

/*
 * A shop whose settings are lost looks like one that was never installed. Saved as whole without its database, it would
 * be what the next rollback goes to: where a database was saved before it is refused, else only the files are taken.
 */
static enum error_kind without_database(struct cli *cli, struct catalog *cat, const struct site *site,
                                        const char *site_id, struct snapshot_arguments *a, struct error *err)
{
    struct snapshot_row newest = {.id = ""};
    enum error_kind rc;

    if (site->layout == SITE_PLAIN || a->options.part != SNAPSHOT_WHOLE)
        return OK;
    rc = snapshot_row_each(cat, site_id, note_dump, &newest, err);
    if (rc)
        return rc;
    if (newest.id[0]) {
        rc = error_set(err, ERR_REFUSED, 0, "%s/%s is missing or names no database, but snapshot %.8s holds one",
                       site->path, settings_file(site), newest.id);
        error_hint(err, "bring that file back; --files-only saves the files without the database");
        return rc;
    }
    cli_warn(cli, "%s/%s is missing or names no database: only the files are saved, marked as partial", site->path,
             settings_file(site));
    a->options.part = SNAPSHOT_FILES_ONLY;
    return OK;
}

static enum error_kind take(struct cli *cli, struct catalog *cat, struct site *site, struct cli_database *database,
                            struct snapshot_arguments *a, int64_t seen_ns, struct snapshot_result *out,
                            struct error *err)
{
    struct catalog_site_lock *lock = NULL;
    char site_id[17];
    enum error_kind rc = catalog_site_id(cat, site->path, site_id, err);

    if (!rc && a->options.part != SNAPSHOT_FILES_ONLY) {
        database->cli = cli;
        rc = cli_database_open(site, database, err);
        if (rc)
            hint_files_only(err);
        else if (database->db)
            cli_native_use(site->config, database->db, a->way);
    }
    if (!rc && !database->db && a->options.part == SNAPSHOT_DATABASE_ONLY) {
        rc = error_set(err, ERR_REFUSED, 0, "%s names no database", site->path);
        error_hint(err, "leave --database-only away");
    }
    if (!rc && !database->db)
        rc = without_database(cli, cat, site, site_id, a, err);
    if (!rc)
        rc = catalog_site_lock(cat, site_id, false, SITE_LOCK_TIMEOUT_MS, &lock, err);
    if (!rc) /* one that began while we waited may have ended, or been killed, in the midst of its exchange */
        rc = transaction_refuse_since(site->path, seen_ns, err);
    if (!rc && a->options.stopped)
        rc = fenced_snapshot(cat, site, database->db, &a->options, &cli->progress, out, err);
    else if (!rc)
        rc = snapshot_take(cat, site, database->db, &a->options, &cli->progress, out, err);
    catalog_site_unlock(lock);
    return rc;
}

static void remember(struct cli *cli, struct catalog *cat, const struct site *site, const struct snapshot_result *s,
                     int status)
{
    struct json *detail = json_object();
    struct error ignored = ERROR_INIT;
    char site_id[17];

    if (catalog_site_id(cat, site->path, site_id, &ignored) != OK)
        return;
    if (s->record.id[0])
        json_put_text(detail, "id", s->record.id);
    cli_event(cli, cat, site_id, "snapshot", detail, status);
}

int cli_snapshot(struct cli *cli, int argc, char **argv)
{
    const struct command *me = cli_command_find("snapshot");
    struct snapshot_arguments a = {.options = SNAPSHOT_OPTIONS_INIT, .way = DATABASE_AUTO};
    struct snapshot_result result = {.files = 0};
    struct cli_database database = CLI_DATABASE_INIT;
    struct site site = SITE_INIT;
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;
    int64_t began = clock_monotonic_ms();
    int64_t seen_ns = 0;
    int status = parse(cli, me, argc, argv, &a);
    enum error_kind rc;

    if (status >= 0)
        goto done;
    /* Without the database broken settings are no reason to save nothing. */
    rc = cli_site_open(cli, argv[optind], a.options.part == SNAPSHOT_FILES_ONLY, &site, &err);
    if (!rc)
        rc = cli_site_known(cli, NULL, argv[optind], site.path, &err);
    if (!rc && !site.exists) {
        rc = error_set(&err, ERR_NOT_FOUND, 0, "%s does not exist", site.path);
        error_hint(&err, "nopsnap rollback %s brings it back, if there is a snapshot of it", site.path);
    }
    if (!rc)
        rc = transaction_refuse_pending(site.path, &err);
    seen_ns = rc ? 0 : transaction_changed_ns(site.path);
    if (!rc)
        rc = add_patterns(&site, &a, &err);
    if (!rc)
        rc = cli_catalog_open(cli, CATALOG_WRITE, true, &cat, &err);
    if (!rc)
        rc = cli_catalog_check_place(cli, catalog_path(cat), &site, &err);
    if (!rc)
        rc = cli_kept_clear(cli, cat, &site, false, &seen_ns, &err);
    if (!rc)
        rc = take(cli, cat, &site, &database, &a, seen_ns, &result, &err);
    cli_progress_end(cli);
    status = rc ? cli_fail(cli, &err) : cli_done(cli);
    if (cat && site.path)
        remember(cli, cat, &site, &result, status);
    if (!rc && cli->json)
        print_json(&site, &result, (uint64_t)(clock_monotonic_ms() - began));
    else if (!rc && !cli->quiet)
        print_text(cli, &site, &result, (uint64_t)(clock_monotonic_ms() - began));
done:
    snapshot_result_release(&result);
    cli_database_release(&database);
    catalog_close(cat);
    site_release(&site);
    text_list_release(&a.exclude);
    text_list_release(&a.include);
    return status;
}
