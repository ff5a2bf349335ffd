#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"
#include "restore.h"

struct comparison {
    struct cli *cli;
    struct catalog *cat;
    struct snapshot_record a, b;
    struct site site; /* instead of b */
    bool live;
    uint64_t added, removed, changed;
    bool database_differs;
};

static const char *const kinds[] = {"added", "removed", "content", "attributes", "type"};
static const char signs[] = "+-~^!";

static enum error_kind on_difference(void *arg, const struct difference *d, struct error *err)
{
    struct comparison *c = arg;
    bool other_root = d->root && strcmp(d->root, "site") != 0;

    (void)err;
    if (d->kind == DIFFERENCE_ADDED)
        c->added++;
    else if (d->kind == DIFFERENCE_REMOVED)
        c->removed++;
    else
        c->changed++;
    if (c->cli->json) {
        struct json *v = cli_json_new("difference");

        json_put_text(v, "kind", kinds[d->kind]);
        json_put_text(v, "root", d->root ? d->root : "site");
        json_put_bytes(v, "path", d->path, strlen(d->path));
        json_put_number(v, "old_size", (int64_t)d->old_size);
        json_put_number(v, "new_size", (int64_t)d->new_size);
        cli_json(v);
    } else if (!c->cli->quiet) {
        cli_line("", "%c %s%s%s%s", signs[d->kind], other_root ? d->root : "", other_root ? ":" : "", d->path,
                 d->kind == DIFFERENCE_ATTRIBUTES ? "  (only attributes)" : "");
    }
    return OK;
}

static void database_line(struct comparison *c, const char *line)
{
    c->database_differs = true;
    cli_progress_end(c->cli);
    if (c->cli->json) {
        struct json *v = cli_json_new("database_difference");

        json_put_text(v, "text", line);
        cli_json(v);
    } else if (!c->cli->quiet) {
        cli_line("", "~ database: %s", line);
    }
}

/* One of the two may be NULL. */
static void table_line(struct comparison *c, const struct database_table *a, const struct database_table *b)
{
    const struct database_table *only = a ? a : b;
    char line[512];

    if (!only || (a && b && a->rows == b->rows))
        return;
    if (a && b)
        (void)snprintf(line, sizeof(line), "%s: %llu rows, then %llu", a->name, (unsigned long long)a->rows,
                       (unsigned long long)b->rows);
    else
        (void)snprintf(line, sizeof(line), "%s is only in the %s", only->name, a ? "first" : "second");
    database_line(c, line);
}

/* Both lists are sorted by name. */
static void compare_counts(struct comparison *c, const struct database_counts *a, const struct database_counts *b)
{
    size_t i = 0;
    size_t j = 0;

    while (i < a->count || j < b->count) {
        int order = i == a->count ? 1 : j == b->count ? -1 : strcmp(a->tables[i].name, b->tables[j].name);

        table_line(c, order <= 0 ? &a->tables[i] : NULL, order >= 0 ? &b->tables[j] : NULL);
        i += order <= 0;
        j += order >= 0;
    }
}

static enum error_kind compare_dumps(struct comparison *c, struct error *err)
{
    struct database_facts a = DATABASE_FACTS_INIT;
    struct database_facts b = DATABASE_FACTS_INIT;
    enum error_kind rc = OK;

    if (!c->a.has_dump && !c->b.has_dump)
        return OK;
    if (!c->a.has_dump || !c->b.has_dump) {
        cli_note(c->cli, "note: snapshot %.8s has no database: only files are compared",
                 c->a.has_dump ? c->b.id : c->a.id);
        return OK;
    }
    if (chunk_id_equal(&c->a.dump, &c->b.dump))
        return OK;
    rc = restore_database_facts(&c->a, &a, err);
    if (!rc)
        rc = restore_database_facts(&c->b, &b, err);
    if (!rc)
        compare_counts(c, &a.counts, &b.counts);
    if (!rc && !c->database_differs)
        database_line(c, "the same number of rows in every table, but the dumps differ");
    database_facts_release(&a);
    database_facts_release(&b);
    return rc;
}

static enum error_kind compare_live_database(struct comparison *c, struct error *err)
{
    struct cli_database d = CLI_DATABASE_INIT;
    struct database_facts facts = DATABASE_FACTS_INIT;
    struct database_info info = DATABASE_INFO_INIT;
    struct text_list differences = TEXT_LIST_INIT;
    enum error_kind rc = c->a.has_dump ? restore_database_facts(&c->a, &facts, err) : OK;

    if (rc || !c->a.has_dump || !c->site.connection.string)
        goto done;
    d.cli = c->cli;
    rc = cli_database_open(&c->site, &d, err);
    if (!rc)
        rc = database_probe(d.db, &info, err);
    if (!rc && !info.exists) {
        database_line(c, "it does not exist any more");
    } else if (!rc) {
        progress_step(&c->cli->progress, "counting rows");
        rc = database_compare(d.db, info.name, &facts.counts, &differences, err);
    }
    for (size_t i = 0; i < differences.count && !rc; i++)
        database_line(c, differences.items[i]);
    if (!rc && info.exists && !differences.count)
        cli_note(c->cli, "note: the database is compared by the rows of each table, not by their content");
done:
    text_list_release(&differences);
    database_info_release(&info);
    database_facts_release(&facts);
    cli_database_release(&d);
    return rc;
}

static bool looks_like_id(const char *text)
{
    size_t n = strlen(text);

    return !strcmp(text, "latest") || (n >= 4 && n <= 32 && strspn(text, "0123456789abcdef") == n);
}

static enum error_kind open_site(struct comparison *c, const char *name, struct error *err)
{
    enum error_kind rc = cli_site_open(c->cli, name, false, &c->site, err);

    if (!rc)
        rc = cli_site_known(c->cli, c->cat, name, c->site.path, err);
    if (!rc && !c->site.exists)
        rc = error_set(err, ERR_NOT_FOUND, 0, "%s does not exist", c->site.path);
    if (!rc)
        cli_warn_pending(c->cli, c->site.path);
    return rc;
}

/*
 * A snapshot, and a second one, a site, or, when it is not named, the site that the first is of. Where one of them tells the site,
 * "latest" is that site's.
 */
static enum error_kind open_both(struct comparison *c, const char *first, const char *second, struct error *err)
{
    bool two = second && looks_like_id(second) && !config_find(&c->cli->config, second);
    char site_id[17];
    enum error_kind rc = OK;

    c->live = !two;
    if (second && !two)
        rc = open_site(c, second, err);
    if (!rc && second && !two)
        rc = catalog_site_id(c->cat, c->site.path, site_id, err);
    if (!rc)
        rc = cli_snapshot_open_of(c->cat, second && !two ? site_id : NULL, first, &c->a, err);
    if (!rc && two)
        rc = cli_snapshot_open_of(c->cat, c->a.site_id, second, &c->b, err);
    if (!rc && !second)
        rc = open_site(c, c->a.site_path, err);
    return rc;
}

static void sum_up(const struct comparison *c)
{
    if (c->cli->json || c->cli->quiet)
        return;
    if (!c->added && !c->removed && !c->changed && !c->database_differs)
        printf("equal\n");
    else
        printf("%llu added, %llu removed, %llu changed%s\n", (unsigned long long)c->added,
               (unsigned long long)c->removed, (unsigned long long)c->changed,
               c->database_differs ? "; the database differs" : "");
}

static enum error_kind compare(struct comparison *c, struct error *err)
{
    enum error_kind rc = OK;

    if (c->live && c->a.root_count)
        rc = difference_live(c->cat, &c->a, &c->site, on_difference, c, err);
    else if (!c->live)
        rc = difference_snapshots(c->cat, &c->a, &c->b, on_difference, c, err);
    if (!rc)
        rc = c->live ? compare_live_database(c, err) : compare_dumps(c, err);
    return rc;
}

int cli_diff(struct cli *cli, int argc, char **argv)
{
    struct comparison c = {.cli = cli, .a = SNAPSHOT_RECORD_INIT, .b = SNAPSHOT_RECORD_INIT, .site = SITE_INIT};
    struct error err = ERROR_INIT;
    int status = cli_arguments(cli, cli_command_find("diff"), argc, argv, 1, 2,
                               "a snapshot's id, and perhaps a second one or a site");
    enum error_kind rc;

    if (status >= 0)
        return status;
    rc = cli_catalog_open(cli, CATALOG_READ, false, &c.cat, &err);
    if (!rc)
        rc = open_both(&c, argv[optind], argc - optind > 1 ? argv[optind + 1] : NULL, &err);
    if (!rc)
        rc = compare(&c, &err);
    cli_progress_end(cli);
    if (!rc)
        sum_up(&c);
    snapshot_record_release(&c.a);
    snapshot_record_release(&c.b);
    site_release(&c.site);
    catalog_close(c.cat);
    if (rc)
        return cli_fail(cli, &err);
    return c.added || c.removed || c.changed || c.database_differs ? EXIT_WARNED : cli_done(cli);
}
