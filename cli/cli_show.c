#include <string.h>

#include "cli.h"
#include "restore.h"

static enum error_kind hold_text(void *arg, const struct snapshot_hold *h, struct error *err)
{
    char until[TEXT_MAX];

    (void)arg;
    (void)err;
    text_moment(h->until_ns, until);
    cli_line("  held      ", "%s%s%s%s", h->reason ? h->reason : "", h->by_person ? " (by a person)" : "",
             h->until_ns ? " until " : "", h->until_ns ? until : "");
    return OK;
}

static enum error_kind hold_json(void *arg, const struct snapshot_hold *h, struct error *err)
{
    struct json *holds = arg;
    struct json *v = json_object();

    (void)err;
    json_put_text(v, "id", h->id);
    json_put_text(v, "reason", h->reason ? h->reason : "");
    json_put_flag(v, "by_person", h->by_person);
    if (h->until_ns)
        json_put_number(v, "until_ns", h->until_ns);
    json_push(holds, v);
    return OK;
}

static void print_moments(const struct snapshot_record *r)
{
    char made[TEXT_MAX];
    char took[TEXT_MAX];

    text_moment(r->made_ns, made);
    text_duration((uint64_t)(r->to_ns > r->from_ns ? r->to_ns - r->from_ns : 0) / 1000000, took);
    printf("snapshot %s\n", r->id);
    printf("  moment    %s, read within %s, the shop %s\n", made, took, r->stopped ? "stopped" : "online");
    cli_line("  site      ", "%s", r->site_path ? r->site_path : "?");
    cli_line("  host      ", "%s", r->host ? r->host : "?");
    printf("  kind      %s, %s\n", cli_kind_word(r->kind),
           r->part == SNAPSHOT_WHOLE        ? "whole"
           : r->part == SNAPSHOT_FILES_ONLY ? "files only (partial)"
                                            : "database only (partial)");
    if (r->nop_version)
        cli_line("  shop      ", "nopCommerce %s", r->nop_version);
    for (size_t i = 0; i < r->tags.count; i++)
        cli_line("  tag       ", "%s", r->tags.items[i]);
    if (r->transaction)
        cli_line("  taken     ", "away by transaction %s%s%s", r->transaction, r->transaction_only ? ", only " : "",
                 r->transaction_only ? r->transaction_only : "");
    if (r->suspicious)
        cli_line("  flagged   ", "%s (nopsnap accept %.8s)", r->suspicion ? r->suspicion : "suspicious", r->id);
}

static void print_files(const struct cli *cli, const struct snapshot_record *r)
{
    char size[TEXT_MAX];

    for (size_t i = 0; i < r->root_count; i++) {
        text_size(r->roots[i].bytes, size);
        cli_line("  files     ", "%s: %llu, %s, of %s", r->roots[i].name, (unsigned long long)r->roots[i].files, size,
                 r->roots[i].path);
    }
    for (size_t i = 0; i < r->left_out_count; i++) {
        text_size(r->left_out[i].bytes, size);
        cli_line("  left out  ", "%s: %s, %llu files, %s", r->left_out[i].path, r->left_out[i].reason,
                 (unsigned long long)r->left_out[i].files, size);
    }
    for (size_t i = 0; i < r->unread.count && (cli->verbose || i < 20); i++)
        cli_line("  not read  ", "%s", r->unread.items[i]);
    if (r->unread.count > 20 && !cli->verbose)
        printf("  not read  and %zu more (nopsnap -v show)\n", r->unread.count - 20);
    for (size_t i = 0; i < r->notes.count; i++)
        cli_line("  note      ", "%s", r->notes.items[i]);
}

static void print_database(const struct cli *cli, const struct snapshot_record *r, const struct database_facts *f)
{
    char size[TEXT_MAX];
    uint64_t rows = 0;

    text_size(r->dump_bytes, size);
    for (size_t i = 0; i < f->counts.count; i++)
        rows += f->counts.tables[i].rows;
    cli_line("  database  ", "%s, %s %s, %zu tables, %llu rows, dump of %s", f->database ? f->database : "?",
             database_engine_name(f->engine), f->server_version ? f->server_version : "?", f->counts.count,
             (unsigned long long)rows, size);
    for (size_t i = 0; cli->verbose && i < f->counts.count; i++)
        cli_line("    ", "%-40s %10llu", f->counts.tables[i].name, (unsigned long long)f->counts.tables[i].rows);
    for (size_t i = 0; i < f->warnings.count; i++)
        cli_line("  note      ", "%s", f->warnings.items[i]);
}

static enum error_kind show_text(struct cli *cli, struct catalog *cat, const struct snapshot_record *r,
                                 struct error *err)
{
    struct database_facts facts = DATABASE_FACTS_INIT;
    char size[TEXT_MAX];
    enum error_kind rc = r->has_dump ? restore_database_facts(r, &facts, err) : OK;

    if (rc)
        goto done;
    print_moments(r);
    print_files(cli, r);
    if (r->has_dump)
        print_database(cli, r, &facts);
    text_size(r->bytes_stored, size);
    printf("  stored    %s were new in the catalogue\n", size);
    rc = snapshot_hold_each(cat, r->id, hold_text, NULL, err);
done:
    database_facts_release(&facts);
    return rc;
}

static struct json *roots_json(const struct snapshot_record *r)
{
    struct json *roots = json_array();

    for (size_t i = 0; i < r->root_count; i++) {
        struct json *v = json_object();

        json_put_text(v, "name", r->roots[i].name);
        json_put_bytes(v, "path", r->roots[i].path, strlen(r->roots[i].path));
        json_put_number(v, "files", (int64_t)r->roots[i].files);
        json_put_number(v, "bytes", (int64_t)r->roots[i].bytes);
        json_push(roots, v);
    }
    return roots;
}

static struct json *list_json(const struct text_list *l)
{
    struct json *a = json_array();

    for (size_t i = 0; i < l->count; i++)
        json_push_text(a, l->items[i]);
    return a;
}

static enum error_kind put_database(struct json *v, const struct snapshot_record *r, struct error *err)
{
    struct database_facts f = DATABASE_FACTS_INIT;
    struct json *d = json_object();
    struct json *tables = json_array();
    enum error_kind rc = restore_database_facts(r, &f, err);

    json_put_text(d, "engine", database_engine_name(f.engine));
    json_put_text(d, "name", f.database ? f.database : "");
    json_put_text(d, "server_version", f.server_version ? f.server_version : "");
    json_put_number(d, "dump_bytes", (int64_t)r->dump_bytes);
    for (size_t i = 0; i < f.counts.count; i++) {
        struct json *t = json_object();

        json_put_text(t, "name", f.counts.tables[i].name);
        json_put_number(t, "rows", (int64_t)f.counts.tables[i].rows);
        json_push(tables, t);
    }
    json_put(d, "tables", tables);
    json_put(v, "database", d);
    database_facts_release(&f);
    return rc;
}

static enum error_kind show_json(struct catalog *cat, const struct snapshot_record *r, struct error *err)
{
    struct json *v = cli_json_new("show");
    struct json *holds = json_array();
    struct json *left = json_array();
    enum error_kind rc;

    json_put_text(v, "id", r->id);
    json_put_bytes(v, "site", r->site_path ? r->site_path : "", r->site_path ? strlen(r->site_path) : 0);
    json_put_text(v, "host", r->host ? r->host : "");
    json_put_text(v, "version", r->nop_version ? r->nop_version : "");
    json_put_number(v, "made_ns", r->made_ns);
    json_put_text(v, "kind", cli_kind_word(r->kind));
    json_put_text(v, "part", cli_part_word(r->part));
    json_put_flag(v, "stopped", r->stopped);
    json_put_flag(v, "suspicious", r->suspicious);
    json_put_number(v, "stored_bytes", (int64_t)r->bytes_stored);
    json_put(v, "roots", roots_json(r));
    for (size_t i = 0; i < r->left_out_count; i++) {
        struct json *l = json_object();

        json_put_bytes(l, "path", r->left_out[i].path, strlen(r->left_out[i].path));
        json_put_text(l, "reason", r->left_out[i].reason);
        json_put_number(l, "files", (int64_t)r->left_out[i].files);
        json_put_number(l, "bytes", (int64_t)r->left_out[i].bytes);
        json_push(left, l);
    }
    json_put(v, "left_out", left);
    json_put(v, "unread", list_json(&r->unread));
    json_put(v, "notes", list_json(&r->notes));
    json_put(v, "tags", list_json(&r->tags));
    rc = r->has_dump ? put_database(v, r, err) : OK;
    if (!rc)
        rc = snapshot_hold_each(cat, r->id, hold_json, holds, err);
    json_put(v, "holds", holds);
    if (rc)
        json_free(v);
    else
        cli_json(v);
    return rc;
}

int cli_show(struct cli *cli, int argc, char **argv)
{
    struct snapshot_record record = SNAPSHOT_RECORD_INIT;
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;
    int status = cli_arguments(cli, cli_command_find("show"), argc, argv, 1, 1, "one snapshot's id, or \"latest\"");
    enum error_kind rc;

    if (status >= 0)
        return status;
    rc = cli_catalog_open(cli, CATALOG_READ, false, &cat, &err);
    if (!rc)
        rc = cli_snapshot_open(cat, argv[optind], &record, &err);
    if (!rc)
        rc = cli->json ? show_json(cat, &record, &err) : show_text(cli, cat, &record, &err);
    snapshot_record_release(&record);
    catalog_close(cat);
    return rc ? cli_fail(cli, &err) : cli_done(cli);
}
