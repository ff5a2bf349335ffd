/*
 * A logical dump: one view, every table in its ordering, several tables at once where the view is not one session's alone. The schema is read in that
 * view and once more before its end: what others change of it meanwhile is not versioned by the server.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "json.h"
#include "sqlserver_logical_internal.h"
#include "thread.h"

enum { PROPERTIES_MAX = 1024 * 1024, LISTED_MAX = 1500 };

struct dump {
    struct sqlserver_link *link;
    enum sqlserver_view_kind view;
    struct sqlserver_schema *schema;
    struct sqlserver_script script;
    struct sqlserver_table *tables;
    struct sqlserver_sum *sums;
    size_t count;
    int64_t moment_ns;
    struct text_list warnings;
    char *server_version;
    bool complete;
};

static enum error_kind ask(void *arg, const char *sql, database_row_fn *row, void *row_arg, struct error *err)
{
    return sqlserver_link_run(arg, sql, row, row_arg, err);
}

/* ---- before anything is written ---- */

static enum error_kind refuse(const struct text_list *refused, struct error *err)
{
    struct buffer lines = BUFFER_INIT(LISTED_MAX);
    struct error full = ERROR_INIT;
    size_t listed = 0;
    enum error_kind rc = OK;

    while (!rc && listed < refused->count) {
        rc = sqlserver_ddl(&lines, &full, "%s%s", listed ? "; " : "", refused->items[listed]);
        listed += !rc;
    }
    error_set(err, ERR_REFUSED, 0, "a logical dump can't carry all of this database: %s%s", (char *)lines.data,
              listed < refused->count ? "; and more" : "");
    error_hint(
        err,
        "--files-only takes the site without its database; let the server itself back that up (BACKUP DATABASE ... WITH COPY_ONLY)");
    buffer_release(&lines);
    return ERR_REFUSED;
}

static enum error_kind check_schema(struct dump *d, struct error *err)
{
    struct text_list refused = TEXT_LIST_INIT;
    struct text_list lost = TEXT_LIST_INIT;
    enum error_kind rc = sqlserver_schema_check(d->schema, &refused, &lost, err);

    for (size_t i = 0; !rc && i < lost.count; i++)
        rc = text_list_addf(&d->warnings, err, "not in the dump: %s", lost.items[i]);
    if (!rc && refused.count)
        rc = refuse(&refused, err);
    text_list_release(&refused);
    text_list_release(&lost);
    return rc;
}

static enum error_kind read_schema(struct dump *d, struct error *err)
{
    unsigned code_page = 0;
    void *memory = NULL;
    enum error_kind rc = sqlserver_schema_read(ask, d->link, &d->schema, err);

    if (!rc)
        rc = check_schema(d, err);
    if (!rc)
        rc = sqlserver_schema_script(d->schema, &d->script, err);
    if (!rc)
        rc = sqlserver_schema_tables(d->schema, &d->tables, &d->count, err);
    if (!rc)
        rc = memory_zeroed(d->count + 1, sizeof *d->sums, &memory, err);
    if (rc)
        return rc;
    d->sums = memory;
    code_page = (unsigned)sqlserver_cell_number(&d->schema->sets[SET_DATABASE], 0, "code_page", 0);
    for (size_t i = 0; i < d->count; i++)
        sqlserver_choose_large(&d->tables[i], sqlserver_link_ways(d->link), code_page);
    return OK;
}

enum error_kind sqlserver_logical_dump_begin(struct database_dump *dump, struct error *err)
{
    struct dump *d = NULL;
    void *memory = NULL;
    enum error_kind rc = memory_zeroed(1, sizeof *d, &memory, err);

    if (rc)
        return rc;
    dump->engine = d = memory;
    rc = sqlserver_link_open(dump->db, dump->db->name, &d->link, err);
    if (!rc)
        rc = sqlserver_link_text(
            d->link, "/* nopsnap: version */ SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128))",
            &d->server_version, err);
    if (!rc)
        rc = sqlserver_view_open(d->link, &d->view, &d->moment_ns, &dump->db->notes, err);
    return rc ? rc : read_schema(d, err);
}

/* ---- the stream ---- */

static enum error_kind write_statements(struct sqlserver_writer *w, const struct sqlserver_script *script,
                                        enum sqlserver_phase from, enum sqlserver_phase to, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < script->count; i++)
        if (script->items[i].phase >= from && script->items[i].phase <= to)
            rc = sqlserver_write_statement(w, &script->items[i], err);
    return rc;
}

/* Whose Ids are wanted, by the dump's own thread; SIZE_MAX: no such table. */
static size_t find_pictures(const struct database_dump *dump, const struct dump *d)
{
    for (size_t i = 0; dump->picture && i < d->count; i++)
        if (strcasecmp(d->tables[i].name, "Picture") == 0)
            return i;
    return SIZE_MAX;
}

static enum error_kind write_tables(struct database_dump *dump, struct dump *d, struct sqlserver_writer *w,
                                    struct error *err)
{
    struct sqlserver_readers *readers = NULL;
    size_t pictures = find_pictures(dump, d);
    enum error_kind rc = OK;

    if (d->view != SQLSERVER_VIEW_SNAPSHOT) /* that one is this session's alone */
        rc = sqlserver_readers_start(dump->db, d->tables, d->sums, d->count, pictures, &readers, err);
    for (size_t i = 0; !rc && i < d->count; i++) {
        rc = cancel_check(err);
        if (!rc && readers && i != pictures)
            rc = sqlserver_readers_take(readers, i, w, err);
        else if (!rc)
            rc = sqlserver_table_read(d->link, &d->tables[i], w, i == pictures ? dump->picture : NULL,
                                      dump->picture_arg, &d->sums[i], err);
    }
    sqlserver_readers_end(readers);
    if (!rc && d->view != SQLSERVER_VIEW_SNAPSHOT)
        rc = sqlserver_view_check(d->link, err);
    return rc;
}

static enum error_kind write_trailer(struct dump *d, struct sqlserver_writer *w, struct error *err)
{
    const struct sqlserver_table **tables = NULL;
    void *memory = NULL;
    enum error_kind rc = memory_zeroed(d->count + 1, sizeof *tables, &memory, err);

    if (rc)
        return rc;
    tables = memory;
    for (size_t i = 0; i < d->count; i++)
        tables[i] = &d->tables[i];
    rc = sqlserver_write_trailer(w, tables, d->sums, d->count, err);
    free(memory);
    return rc;
}

/* Positions move by themselves; everything else that differs was altered by somebody. */
static bool script_equal(const struct sqlserver_script *a, const struct sqlserver_script *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->items[i].phase != SQLSERVER_PHASE_POSITIONS && strcmp(a->items[i].sql, b->items[i].sql) != 0)
            return false;
    return true;
}

static enum error_kind check_unchanged(struct dump *d, struct error *err)
{
    struct sqlserver_schema *after = NULL;
    struct sqlserver_script script = SQLSERVER_SCRIPT_INIT;
    enum error_kind rc = sqlserver_schema_read(ask, d->link, &after, err);

    if (!rc)
        rc = sqlserver_schema_script(after, &script, err);
    if (!rc && !script_equal(&d->script, &script)) {
        rc = error_set(err, ERR_REMOTE, 0, "the schema of the database was altered while it was dumped");
        error_hint(err, "try again when nothing is being installed or upgraded");
    }
    sqlserver_script_release(&script);
    sqlserver_schema_free(after);
    return rc;
}

enum error_kind sqlserver_logical_dump_run(struct database_dump *dump, database_sink_fn *sink, void *arg,
                                           struct error *err)
{
    struct dump *d = dump->engine;
    struct sqlserver_writer *w = NULL;
    struct sqlserver_script positions = SQLSERVER_SCRIPT_INIT;
    enum error_kind rc;

    rc = sqlserver_writer_new(sink, arg, &w, err);
    if (!rc)
        rc = sqlserver_write_header(w, err);
    if (!rc)
        rc = write_statements(w, &d->script, SQLSERVER_PHASE_DATABASE, SQLSERVER_PHASE_TABLES, err);
    if (!rc)
        rc = write_tables(dump, d, w, err);
    if (!rc)
        rc = check_unchanged(d, err);
    if (!rc)
        rc = sqlserver_script_positions(d->schema, d->tables, d->sums, d->count, &positions, err);
    if (!rc)
        rc = write_statements(w, &positions, SQLSERVER_PHASE_POSITIONS, SQLSERVER_PHASE_POSITIONS, err);
    if (!rc)
        rc = write_statements(w, &d->script, SQLSERVER_PHASE_POSITIONS, SQLSERVER_PHASE_PROPERTIES, err);
    if (!rc)
        rc = write_trailer(d, w, err);
    if (!rc)
        rc = sqlserver_view_close(d->link, err);
    d->complete = !rc;
    sqlserver_script_release(&positions);
    sqlserver_writer_free(w);
    return rc;
}

/* ---- facts ---- */

enum error_kind sqlserver_properties_text(const struct sqlserver_rows *row, const struct sqlserver_rows *logins,
                                          char **out, struct error *err)
{
    static const char *const names[] = {"collation_name", "compatibility_level", "recovery_model_desc", "owner_name"};
    struct buffer text = BUFFER_INIT(PROPERTIES_MAX);
    struct json *root = json_object();
    struct json *list = json_array();
    enum error_kind rc;

    for (size_t i = 0; row->count && i < sizeof names / sizeof names[0]; i++)
        json_put_text(root, names[i], sqlserver_cell(row, 0, names[i]));
    for (size_t i = 0; logins && i < logins->count; i++) {
        struct json *one = json_object();

        json_put_text(one, "user", sqlserver_cell(logins, i, "name"));
        json_put_text(one, "login", sqlserver_cell(logins, i, "login_name"));
        json_push(list, one);
    }
    json_put(root, "logins", list);
    rc = json_print(root, &text, err);
    if (!rc)
        *out = buffer_detach(&text);
    json_free(root);
    buffer_release(&text);
    return rc;
}

static enum error_kind put_counts(const struct dump *d, struct database_counts *out, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < d->count; i++) {
        char *name = NULL;

        rc = memory_format(&name, err, "%s.%s", d->tables[i].schema, d->tables[i].name);
        if (!rc)
            rc = database_counts_add(out, name, d->sums[i].rows, d->sums[i].max_id, err);
        free(name);
    }
    return rc;
}

static enum error_kind fill_facts(struct database *db, struct dump *d, struct database_facts *out, struct error *err)
{
    enum error_kind rc;

    if (!d->complete)
        return error_set(err, ERR_REMOTE, 0, "the dump was not read to its end");
    rc = memory_string(d->server_version ? d->server_version : "", &out->server_version, err);
    if (!rc)
        rc = memory_string(SQLSERVER_FORMAT_ROWS, &out->format, err);
    if (!rc)
        rc = sqlserver_properties_text(&d->schema->sets[SET_DATABASE], NULL, &out->properties, err);
    if (!rc)
        rc = put_counts(d, &out->counts, err);
    if (!rc)
        rc = database_shop_facts(db, &out->is_nopcommerce, &out->picture_path, &out->pictures_in_database, err);
    if (rc)
        return rc;
    out->moment_ns = d->moment_ns;
    out->warnings = d->warnings;
    d->warnings = (struct text_list)TEXT_LIST_INIT;
    return OK;
}

enum error_kind sqlserver_logical_dump_end(struct database_dump *dump, struct database_facts *out, struct error *err)
{
    struct dump *d = dump->engine;
    enum error_kind rc = OK;

    if (!d)
        return OK;
    if (out)
        rc = fill_facts(dump->db, d, out, err);
    sqlserver_link_close(d->link); /* an open transaction ends with it */
    for (size_t i = 0; i < d->count; i++)
        sqlserver_table_release(&d->tables[i]);
    free(d->tables);
    free(d->sums);
    sqlserver_script_release(&d->script);
    sqlserver_schema_free(d->schema);
    text_list_release(&d->warnings);
    free(d->server_version);
    free(d);
    dump->engine = NULL;
    return rc;
}
