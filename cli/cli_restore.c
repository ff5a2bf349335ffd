/*
 * A snapshot into a new place: files into a folder, the database into an empty one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"
#include "file.h"
#include "restore.h"
#include "shops.h"

#define CONNECTION_MAX 65536u

struct arguments {
    const char *target;        /* or NULL */
    const char *database_file; /* or NULL */
    const char **include;      /* NULL-terminated */
    size_t include_count;
    bool keep_going, other_host;
};

static int parse(struct cli *cli, const struct command *me, int argc, char **argv, struct arguments *a)
{
    static const struct option options[] = {
        {"target", required_argument, NULL, 't'},
        {"include", required_argument, NULL, 'i'},
        {"database", required_argument, NULL, 'd'},
        {"keep-going", no_argument, NULL, 'k'},
        {"other-host", no_argument, NULL, 'O'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = cli_option(cli, me, argc, argv, options)) != -1) {
        switch (c) {
        case 't':
            a->target = optarg;
            break;
        case 'i':
            a->include[a->include_count++] = optarg; /* there is room for every argument */
            break;
        case 'd':
            a->database_file = optarg;
            break;
        case 'k':
            a->keep_going = true;
            break;
        case 'O':
            a->other_host = true;
            break;
        default:
            return c == 'h' ? EXIT_DONE : EXIT_USAGE;
        }
    }
    if (argc - optind != 1)
        return cli_usage(cli, me, "restore takes one snapshot's id");
    if (!a->target && !a->database_file)
        return cli_usage(cli, me, "restore needs --target DIR, or --database FILE, or both");
    return -1;
}

/* ---- files ---- */

static enum error_kind outside_catalog(const struct catalog *cat, const char *target, struct error *err)
{
    char *parent = NULL;
    char *real = NULL;
    char *own = NULL;
    enum error_kind rc = path_parent(target, &parent, err);

    if (!rc)
        rc = path_real(parent, &real, err);
    if (!rc)
        rc = path_real(catalog_path(cat), &own, err);
    if (!rc && !strncmp(real, own, strlen(own)) && (real[strlen(own)] == '/' || real[strlen(own)] == '\0'))
        rc = error_set(err, ERR_REFUSED, 0, "%s is inside the catalogue", target);
    free(parent);
    free(real);
    free(own);
    return rc;
}

/* What is restored holds the shop's passwords: never where visitors could read it (P10). The site's own folder may be filled again. */
static enum error_kind outside_sites(struct cli *cli, struct catalog *cat, const struct snapshot_record *record,
                                     const char *target, struct error *err)
{
    char *parent = NULL;
    bool inside = false;
    enum error_kind rc = path_parent(target, &parent, err);

    if (!rc)
        rc = shops_hold(cat, &cli->config, parent, &inside, err);
    inside = inside || site_serves(target) || (!rc && record->site_path && site_holds(record->site_path, parent));
    free(parent);
    if (rc || !inside)
        return rc;
    rc = error_set(err, ERR_REFUSED, 0, "%s is inside a site: visitors could read the passwords", target);
    error_hint(err, "name a folder elsewhere; nopsnap rollback brings a shop back in its place");
    return rc;
}

static void files_told(struct cli *cli, const struct snapshot_root *root, const char *target,
                       const struct restore_result *r)
{
    char size[TEXT_MAX];

    cli_progress_end(cli);
    text_size(r->bytes_written, size);
    for (size_t i = 0; i < r->notes.count; i++)
        cli_warn(cli, "%s", r->notes.items[i]);
    if (cli->json) {
        struct json *v = cli_json_new("restore");
        struct json *damaged = json_array();

        json_put_text(v, "root", root->name);
        json_put_bytes(v, "target", target, strlen(target));
        json_put_number(v, "files", (int64_t)r->files);
        json_put_number(v, "directories", (int64_t)r->directories);
        json_put_number(v, "bytes", (int64_t)r->bytes_written);
        for (size_t i = 0; i < r->damaged.count; i++)
            json_push_text(damaged, r->damaged.items[i]);
        json_put(v, "damaged", damaged);
        cli_json(v);
        return;
    }
    for (size_t i = 0; i < r->damaged.count; i++)
        cli_line("damaged, left out: ", "%s", r->damaged.items[i]);
    if (!cli->quiet)
        cli_line("", "%s: %llu files, %s, written%s", target, (unsigned long long)r->files, size,
                 r->damaged.count ? "" : " and read back");
}

static enum error_kind restore_root(struct cli *cli, struct catalog *cat, const struct snapshot_record *record,
                                    const struct snapshot_root *root, const char *target, const struct arguments *a,
                                    struct error *err)
{
    struct restore_options o = {.include = a->include_count ? a->include : NULL, .keep_going = a->keep_going};
    struct restore_result result = {0};
    enum error_kind rc = restore_files(cat, record, root->name, target, &o, &cli->progress, &result, err);

    if (rc == ERR_CORRUPT && !a->keep_going) {
        err->hint[0] = '\0'; /* what to do about the catalogue comes after getting the files */
        error_hint(err, "--keep-going restores what is good and names the rest");
    }
    if (!rc)
        rc = restore_verify(cat, record, root->name, target, &o, NULL, NULL, &cli->progress, err);
    if (!rc || (a->keep_going && result.damaged.count))
        files_told(cli, root, target, &result);
    restore_result_release(&result);
    return rc;
}

/* The copy's settings still lead to the shop's own database, and who starts the copy should know. */
static void warn_of_settings(struct cli *cli, const struct snapshot_record *record, const char *target)
{
    struct site_version version = {0, 0, -1, ""};
    struct site_connection c = {SITE_SETTINGS_NONE, NULL, NULL, NULL};
    struct database_target t = DATABASE_TARGET_INIT;
    struct error ignored = ERROR_INIT;
    char *shown = NULL;

    if (record->nop_version)
        (void)site_version_parse(record->nop_version, &version, &ignored);
    if (site_connection_read(target, &version, false, &c, &ignored) == OK && c.string && c.provider &&
        database_target_parse(c.provider, c.string, &t, &ignored) == OK &&
        database_target_shown(&t, &shown, &ignored) == OK)
        cli_note(cli, "note: %s in %s still names %s", c.file ? c.file : "the settings file", target, shown);
    free(shown);
    database_target_release(&t);
    site_connection_release(&c);
}

/* One root goes into the target itself; where pictures lay elsewhere, each root goes into a folder of its own name. */
static enum error_kind restore_roots(struct cli *cli, struct catalog *cat, const struct snapshot_record *record,
                                     const struct arguments *a, struct error *err)
{
    enum error_kind rc = outside_catalog(cat, a->target, err);
    char *place = NULL;

    if (!rc)
        rc = outside_sites(cli, cat, record, a->target, err);
    if (!rc && !record->root_count)
        rc = error_set(err, ERR_REFUSED, 0, "snapshot %.8s holds only a database", record->id);
    if (!rc && record->root_count > 1)
        rc = directory_make(AT_FDCWD, a->target, 0700, err);
    for (size_t i = 0; i < record->root_count && !rc; i++) {
        const struct snapshot_root *root = &record->roots[i];

        rc = record->root_count > 1 ? path_join(a->target, root->name, &place, err)
                                    : memory_string(a->target, &place, err);
        if (!rc)
            rc = restore_root(cli, cat, record, root, place, a, err);
        if (!rc && !strcmp(root->name, "site"))
            warn_of_settings(cli, record, place);
        free(place);
        place = NULL;
    }
    return rc;
}

/* ---- database ---- */

static enum error_kind read_connection(struct cli *cli, const char *file, char **out, struct error *err)
{
    struct buffer b = BUFFER_INIT(CONNECTION_MAX);
    struct stat st;
    enum error_kind rc = file_read_whole(AT_FDCWD, file, CONNECTION_MAX - 1, &b, err);

    if (!rc && stat(file, &st) == 0 && st.st_mode & 077)
        cli_warn(cli, "others may read %s, and it holds a password: chmod 600", file);
    if (!rc && (!b.len || memchr(b.data, '\0', b.len)))
        rc = error_set(err, ERR_REFUSED, 0, "%s holds no connection string", file);
    if (!rc) {
        b.data[strcspn((char *)b.data, "\r\n")] = '\0';
        rc = memory_string((char *)b.data, out, err);
    }
    buffer_release_secret(&b);
    return rc;
}

static enum error_kind check_rows(struct cli *cli, struct database *db, const char *name,
                                  const struct database_facts *facts, struct error *err)
{
    struct text_list differences = TEXT_LIST_INIT;
    enum error_kind rc;

    progress_step(&cli->progress, "counting rows");
    rc = database_compare(db, name, &facts->counts, &differences, err);
    if (!rc && differences.count)
        rc = error_set(err, ERR_CORRUPT, 0, "%zu tables of %s are not what the snapshot says, first: %s",
                       differences.count, name, differences.items[0]);
    text_list_release(&differences);
    return rc;
}

static void database_told(struct cli *cli, const char *shown, const struct database_facts *facts)
{
    uint64_t rows = 0;

    for (size_t i = 0; i < facts->counts.count; i++)
        rows += facts->counts.tables[i].rows;
    cli_progress_end(cli);
    if (cli->json) {
        struct json *v = cli_json_new("restore_database");

        json_put_text(v, "database", shown);
        json_put_number(v, "tables", (int64_t)facts->counts.count);
        json_put_number(v, "rows", (int64_t)rows);
        cli_json(v);
    } else if (!cli->quiet) {
        cli_line("", "%s: %zu tables, %llu rows, counted", shown, facts->counts.count, (unsigned long long)rows);
    }
}

static const struct site_config *config_of(const struct cli *cli, const struct snapshot_record *record)
{
    for (size_t i = 0; record->site_path && i < cli->config.count; i++)
        if (cli->config.sites[i].path && !strcmp(cli->config.sites[i].path, record->site_path))
            return &cli->config.sites[i];
    return NULL;
}

static enum error_kind load(struct cli *cli, struct catalog *cat, const struct snapshot_record *record,
                            const struct database_target *target, const struct database_facts *facts, struct error *err)
{
    struct database_info info = DATABASE_INFO_INIT;
    struct database *db = NULL;
    char *shown = NULL;
    enum error_kind rc = database_target_shown(target, &shown, err);

    if (!rc)
        rc = database_open(target, NULL, &db, err);
    if (!rc)
        cli_native_use(config_of(cli, record), db, DATABASE_LOGICAL);
    if (!rc)
        rc = database_probe(db, &info, err);
    if (!rc && !info.exists) {
        rc = error_set(err, ERR_NOT_FOUND, 0, "there is no %s", shown);
        error_hint(err, "make it, empty, and try again");
    }
    if (!rc)
        rc = database_load_check(db, facts, false, err);
    if (!rc)
        rc = restore_database_load(cat, record, db, info.name, &cli->progress, err);
    if (!rc)
        rc = check_rows(cli, db, info.name, facts, err);
    for (size_t i = 0; !rc && i < database_notes(db)->count; i++)
        cli_warn(cli, "%s", database_notes(db)->items[i]);
    if (!rc)
        database_told(cli, shown, facts);
    database_info_release(&info);
    database_close(db);
    free(shown);
    return rc;
}

/* The config has no say here: who has a right too few is the login in the file. */
static void hint_of_file(const char *file, struct error *err)
{
    bool right = strstr(err->hint, "database-admin") != NULL;

    if (right)
        err->hint[0] = '\0';
    if (right)
        error_hint(err, "give the login in %s what it lacks (GRANT), or name another one there", file);
    else if (err->kind == ERR_EXISTS)
        error_hint(err, "name a database in %s that is there and empty", file);
}

static enum error_kind restore_database(struct cli *cli, struct catalog *cat, const struct snapshot_record *record,
                                        const char *file, struct error *err)
{
    static const char *const providers[] = {"", "postgresql", "mysql", "sqlserver"};
    struct database_target target = DATABASE_TARGET_INIT;
    struct database_facts facts = DATABASE_FACTS_INIT;
    char *string = NULL;
    enum error_kind rc;

    if (!record->has_dump)
        return error_set(err, ERR_REFUSED, 0, "snapshot %.8s holds no database", record->id);
    rc = restore_database_facts(record, &facts, err);
    if (!rc)
        rc = read_connection(cli, file, &string, err);
    if (!rc)
        rc = database_target_parse(providers[facts.engine], string, &target, err);
    if (rc)
        error_hint(err, "%s must hold one line: a connection string as the shop's settings have it", file);
    if (!rc) {
        rc = load(cli, cat, record, &target, &facts, err);
        hint_of_file(file, err);
    }
    memory_free_secret(string);
    database_target_release(&target);
    database_facts_release(&facts);
    return rc;
}

int cli_restore(struct cli *cli, int argc, char **argv)
{
    struct arguments a = {.target = NULL};
    struct snapshot_record record = SNAPSHOT_RECORD_INIT;
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;
    int status = EXIT_DONE;
    enum error_kind rc = memory_zeroed((size_t)argc + 1, sizeof(*a.include), (void **)&a.include, &err);

    if (!rc)
        status = parse(cli, cli_command_find("restore"), argc, argv, &a);
    if (rc || status >= 0)
        goto done;
    rc = cli_catalog_open(cli, CATALOG_READ, false, &cat, &err);
    if (!rc)
        rc = cli_snapshot_open(cat, argv[optind], &record, &err);
    if (!rc)
        rc = cli_snapshot_own(&record, a.other_host, &err);
    if (!rc && a.target)
        rc = restore_roots(cli, cat, &record, &a, &err);
    if (!rc && a.database_file)
        rc = restore_database(cli, cat, &record, a.database_file, &err);
done:
    cli_progress_end(cli);
    if (rc)
        status = cli_fail(cli, &err);
    else if (status < 0)
        status = cli_done(cli);
    snapshot_record_release(&record);
    catalog_close(cat);
    free(a.include);
    return status;
}
