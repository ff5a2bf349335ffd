/*
 * sql: a script on the shop's database, under the site's lock: neither amid a rollback nor beside a snapshot.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define SITE_LOCK_TIMEOUT_MS 60000

struct told {
    struct cli *cli;
};

/* ---- what the server says ---- */

/* As a terminal may see it, however long. A tab is a blank to the eye, and is shown as some. */
static void put_line(const char *indent, const char *text, size_t len)
{
    size_t room = 4 * len + 16;
    char *shown = malloc(room);
    size_t at = 0;

    if (!shown)
        return;
    (void)fputs(indent, stdout);
    while (at < len) {
        size_t tab = 0;

        while (at + tab < len && text[at + tab] != '\t')
            tab++;
        text_name(text + at, tab, shown, room);
        (void)fputs(shown, stdout);
        at += tab;
        if (at++ < len)
            (void)fputs("    ", stdout);
    }
    (void)fputc('\n', stdout);
    free(shown);
}

/* Lines behind the first are indented, so that nobody takes one for another message. */
static void put_lines(const char *text)
{
    const char *indent = "";

    for (;;) {
        size_t len = strcspn(text, "\r\n");
        size_t end = text[len] == '\r' && text[len + 1] == '\n' ? 2 : text[len] != '\0';

        if (end || len || !*indent) /* a last line without anything is the end of the one before */
            put_line(indent, text, len);
        if (!end)
            break;
        text += len + end;
        indent = "    ";
    }
}

/* The server's words are what was asked for: they go to stdout as they come. */
static void tell(void *arg, const struct database_saying *said)
{
    const struct told *t = arg;

    if (t->cli->json) {
        struct json *v = cli_json_new("message");

        json_put_text(v, "text", said->text);
        json_put_number(v, "batch", (int64_t)said->batch);
        json_put_flag(v, "failure", said->failure);
        if (said->failure) {
            json_put_number(v, "line", (int64_t)said->line);
            json_put_number(v, "number", said->number);
            json_put_number(v, "severity", said->severity);
        }
        cli_json(v);
    } else
        put_lines(said->text);
    (void)fflush(stdout);
}

/* ---- the command ---- */

static enum error_kind refuse_engine(const struct site *site, struct error *err)
{
    struct database_target target = DATABASE_TARGET_INIT;
    enum error_kind rc;

    if (!site->connection.string || !site->connection.provider) {
        rc = error_set(err, ERR_NOT_FOUND, 0, "%s names no database", site->path);
        error_hint(err, "a shop that is not installed yet has none");
        return rc;
    }
    rc = database_target_parse(site->connection.provider, site->connection.string, &target, err);
    if (!rc)
        rc = database_takes_scripts(target.engine, err);
    database_target_release(&target);
    return rc;
}

static enum error_kind run(struct cli *cli, struct catalog *cat, const struct site *site, const char *site_id,
                           const char *file, int64_t seen_ns, uint64_t *batches, struct error *err)
{
    struct cli_database d = CLI_DATABASE_INIT;
    struct catalog_site_lock *lock = NULL;
    struct told told = {cli};
    enum error_kind rc = catalog_site_lock(cat, site_id, true, SITE_LOCK_TIMEOUT_MS, &lock, err);

    if (!rc) /* one that began while we waited may have ended, or been killed, in the midst of its exchange */
        rc = transaction_refuse_since(site->path, seen_ns, err);
    if (!rc)
        rc = cli_database_open(site, &d, err);
    if (!rc)
        rc = database_run_script(d.db, file, tell, &told, batches, err);
    cli_database_release(&d);
    catalog_site_unlock(lock);
    return rc;
}

static void remember(struct cli *cli, struct catalog *cat, const char *site_id, const char *file, uint64_t batches,
                     int status)
{
    struct json *detail = json_object();

    json_put_text(detail, "file", file);
    json_put_number(detail, "batches", (int64_t)batches);
    cli_event(cli, cat, site_id, "sql", detail, status);
}

static void finish(struct cli *cli, const char *file, uint64_t batches)
{
    if (cli->json) {
        struct json *v = cli_json_new("sql");

        json_put_text(v, "file", file);
        json_put_number(v, "batches", (int64_t)batches);
        cli_json(v);
    } else if (!cli->quiet)
        cli_line("", "%s: %" PRIu64 " batch%s run", file, batches, batches == 1 ? "" : "es");
}

int cli_sql(struct cli *cli, int argc, char **argv)
{
    struct site site = SITE_INIT;
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;
    char site_id[17] = "";
    int64_t seen_ns = 0;
    uint64_t batches = 0;
    int status = cli_arguments(cli, cli_command_find("sql"), argc, argv, 2, 2, "a site and a script");
    const char *file;
    enum error_kind rc;

    if (status >= 0)
        return status;
    file = argv[optind + 1];
    rc = cli_site_open(cli, argv[optind], false, &site, &err);
    if (!rc)
        rc = cli_site_known(cli, NULL, argv[optind], site.path, &err);
    if (!rc)
        rc = refuse_engine(&site, &err);
    if (!rc)
        rc = transaction_refuse_pending(site.path, &err);
    seen_ns = rc ? 0 : transaction_changed_ns(site.path);
    if (!rc)
        rc = cli_catalog_open(cli, CATALOG_WRITE, true, &cat, &err);
    if (!rc)
        rc = catalog_site_id(cat, site.path, site_id, &err);
    if (!rc)
        rc = run(cli, cat, &site, site_id, file, seen_ns, &batches, &err);
    status = rc ? cli_fail(cli, &err) : cli_done(cli);
    if (*site_id)
        remember(cli, cat, site_id, file, batches, status);
    if (!rc)
        finish(cli, file, batches);
    catalog_close(cat);
    site_release(&site);
    return status;
}
