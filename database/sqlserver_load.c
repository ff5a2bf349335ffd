/*
 * A logical load. The stream's statements run in their order, each under its own settings, rows go in between; then every table is read
 * again, and its digest has to be the one that the dump ends with (P9).
 *
 *   L1  a database beside is nopsnap's if its marker says so, if it is empty or half restored; anything else is refused (D6)
 *   L2  a statement that may fail (a login that is not here, an option that needs another right) becomes a note, all others end the load
 *   L3  the recovery model of a database that is somebody's is never changed
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "json.h"
#include "sqlserver_internal.h"
#include "sqlserver_native_internal.h"
#include "thread.h"

enum { SQL_MAX = 64 * 1024 };

struct load {
    struct database *db;
    struct sqlserver_link *link;
    struct sqlserver_reader *reader;
    struct sqlserver_insert *insert;
    struct sqlserver_script deferred; /* modules to be tried again */
    unsigned settings;                /* in force on the connection */
    unsigned code_page;
    bool live; /* it goes into a database that is somebody's */
};

/* ---- statements ---- */

static enum error_kind settle(struct load *l, unsigned flags, struct error *err)
{
    unsigned wanted = flags & (SQLSERVER_ANSI_NULLS | SQLSERVER_QUOTED_IDENTIFIER);
    char sql[80];
    enum error_kind rc;

    if (l->settings == wanted)
        return OK;
    /* A batch of its own: QUOTED_IDENTIFIER acts when a batch is parsed. */
    snprintf(sql, sizeof sql, "SET ANSI_NULLS %s; SET QUOTED_IDENTIFIER %s",
             wanted & SQLSERVER_ANSI_NULLS ? "ON" : "OFF", wanted & SQLSERVER_QUOTED_IDENTIFIER ? "ON" : "OFF");
    rc = sqlserver_link_run(l->link, sql, NULL, NULL, err);
    if (!rc)
        l->settings = wanted;
    return rc;
}

static void hear_fresh(void *fresh, const struct sqlserver_message *m)
{
    if (m->severity <= 10 && strstr(m->text, "'NULL'")) /* in whatever language */
        *(bool *)fresh = true;
}

/*
 * A table that never had a row hands out the value that it is reseeded to, another the next one. Which one it takes for loaded rows the
 * server says while it reseeds: "current identity value 'NULL'". Then the next one it is.
 */
static enum error_kind reseed(struct load *l, const char *sql, struct error *err)
{
    static const char begin[] = "DBCC CHECKIDENT (";
    const char *object = sql + sizeof begin - 1;
    const char *end = strstr(sql, ", RESEED, ");
    const char *last = end ? end + strlen(", RESEED, ") : NULL;
    struct buffer text = BUFFER_INIT(SQL_MAX);
    char *next = NULL;
    bool fresh = false;
    enum error_kind rc;

    sqlserver_link_listen(l->link, hear_fresh, &fresh);
    rc = sqlserver_link_run(l->link, sql, NULL, NULL, err);
    sqlserver_link_listen(l->link, NULL, NULL);
    if (rc || !fresh || !end || strncmp(sql, begin, sizeof begin - 1) != 0)
        return rc;
    rc = buffer_append_format(&text, err,
                              "SELECT CAST(CAST(%.*s AS decimal(38, 0)) + CAST(IDENT_INCR(%.*s) AS decimal(38, 0)) AS "
                              "nvarchar(40))",
                              (int)strspn(last, "-0123456789"), last, (int)(end - object), object);
    if (!rc)
        rc = sqlserver_link_text(l->link, (char *)text.data, &next, err);
    buffer_clear(&text);
    if (!rc && next)
        rc = buffer_append_format(&text, err, "%.*s, RESEED, %s)", (int)(end - sql), sql, next);
    if (!rc && next)
        rc = sqlserver_link_run(l->link, (char *)text.data, NULL, NULL, err);
    free(next);
    buffer_release(&text);
    return rc;
}

static enum error_kind run(struct load *l, const struct sqlserver_statement *s, struct error *err)
{
    enum error_kind rc = settle(l, s->flags, err);

    if (rc)
        return rc;
    return s->phase == SQLSERVER_PHASE_POSITIONS ? reseed(l, s->sql, err)
                                                 : sqlserver_link_run(l->link, s->sql, NULL, NULL, err);
}

static enum error_kind note(struct load *l, const struct sqlserver_statement *s, const struct error *said,
                            struct error *err)
{
    return text_list_addf(&l->db->notes, err, "%s: %s", s->name, said->text);
}

/* Another recovery model would break the chain of the owner's backups of the log (L3). */
static bool is_recovery_model(const struct sqlserver_statement *s)
{
    return s->phase == SQLSERVER_PHASE_PROPERTIES && strstr(s->sql, "ALTER DATABASE CURRENT SET RECOVERY ");
}

static enum error_kind run_or_defer(struct load *l, const struct sqlserver_statement *s, struct error *err)
{
    struct error said = ERROR_INIT;
    enum error_kind rc = cancel_check(err);

    if (rc || (l->live && is_recovery_model(s)))
        return rc;
    rc = run(l, s, &said);
    if (!rc)
        return OK;
    if (rc == ERR_REMOTE && s->flags & SQLSERVER_MODULE)
        return sqlserver_script_add(&l->deferred, s->phase, s->flags, s->name, err, "%s", s->sql);
    if (rc == ERR_REMOTE && s->flags & SQLSERVER_OPTIONAL)
        return note(l, s, &said, err);
    error_copy(err, &said);
    error_context(err, "making %s", s->name);
    return rc;
}

/* One pass over those that failed; what fails again stays. */
static enum error_kind try_again(struct load *l, bool last, struct error *err)
{
    struct sqlserver_script now = l->deferred;
    enum error_kind rc = OK;

    l->deferred = (struct sqlserver_script)SQLSERVER_SCRIPT_INIT;
    for (size_t i = 0; !rc && i < now.count; i++) {
        struct error said = ERROR_INIT;

        if (!last)
            rc = run_or_defer(l, &now.items[i], err);
        else if (run(l, &now.items[i], &said)) /* as it was in the original, where nobody could use it either */
            rc = note(l, &now.items[i], &said, err);
    }
    sqlserver_script_release(&now);
    return rc;
}

static enum error_kind settle_deferred(struct load *l, struct error *err)
{
    enum error_kind rc = OK;

    while (!rc && l->deferred.count) {
        size_t before = l->deferred.count;

        rc = try_again(l, false, err);
        if (!rc && l->deferred.count == before)
            return try_again(l, true, err);
    }
    return rc;
}

/* ---- the stream ---- */

static enum error_kind take_item(struct load *l, const struct sqlserver_item *item, enum sqlserver_phase *phase,
                                 struct error *err)
{
    enum error_kind rc = OK;

    switch (item->kind) {
    case SQLSERVER_STATEMENT:
        if (item->statement.phase != *phase && l->deferred.count) /* the last word is spoken behind the modules */
            rc = *phase >= SQLSERVER_PHASE_MODULES ? settle_deferred(l, err) : try_again(l, false, err);
        *phase = item->statement.phase;
        return rc ? rc : run_or_defer(l, &item->statement, err);
    case SQLSERVER_TABLE:
        rc = cancel_check(err);
        return rc ? rc : sqlserver_insert_begin(l->link, item->table, l->code_page, &l->insert, err);
    case SQLSERVER_ROW:
        return sqlserver_insert_row(l->insert, item->values, err);
    case SQLSERVER_LARGE_BEGIN:
        return sqlserver_insert_large(l->insert, item->column, item->total, item->values, err);
    case SQLSERVER_PIECE:
        rc = cancel_check(err);
        return rc ? rc : sqlserver_insert_piece(l->insert, item->bytes, item->len, err);
    case SQLSERVER_TABLE_END:
        rc = sqlserver_insert_end(l->insert, err);
        l->insert = NULL;
        return rc;
    case SQLSERVER_END:
        break;
    }
    return settle_deferred(l, err);
}

static enum error_kind take_stream(struct load *l, struct error *err)
{
    struct sqlserver_item item = {.kind = SQLSERVER_STATEMENT};
    enum sqlserver_phase phase = SQLSERVER_PHASE_DATABASE;
    uint64_t items = 0;
    enum error_kind rc;

    do {
        rc = (items++ & 255) == 0 ? cancel_check(err) : OK;
        if (!rc)
            rc = sqlserver_reader_next(l->reader, &item, err);
        if (!rc)
            rc = take_item(l, &item, &phase, err);
    } while (!rc && item.kind != SQLSERVER_END);
    return rc;
}

/* ---- proof ---- */

static enum error_kind swallow(void *arg, const void *bytes, size_t len, struct error *err)
{
    (void)arg;
    (void)bytes;
    (void)len;
    (void)err;
    return OK;
}

static enum error_kind verify_table(struct load *l, struct sqlserver_writer *w, size_t i, struct error *err)
{
    const struct sqlserver_sum *expected = NULL;
    const struct sqlserver_table *t = sqlserver_reader_table(l->reader, i, &expected);
    struct sqlserver_sum found;
    enum error_kind rc = sqlserver_table_read(l->link, t, w, NULL, NULL, &found, err);

    if (rc)
        return rc;
    if (found.rows != expected->rows)
        return error_set(err, ERR_REMOTE, 0, "table %s.%s has %llu rows after the load instead of %llu", t->schema,
                         t->name, (unsigned long long)found.rows, (unsigned long long)expected->rows);
    if (memcmp(found.digest, expected->digest, HASH_LEN) != 0)
        return error_set(err, ERR_REMOTE, 0, "table %s.%s has other content after the load than the dump", t->schema,
                         t->name);
    return OK;
}

static enum error_kind verify(struct load *l, struct error *err)
{
    struct sqlserver_writer *w = NULL;
    enum error_kind rc = sqlserver_writer_new(swallow, NULL, &w, err);

    for (size_t i = 0; !rc && i < sqlserver_reader_tables(l->reader); i++)
        rc = verify_table(l, w, i, err);
    sqlserver_writer_free(w);
    return rc;
}

static enum error_kind load_stream(struct database *db, const char *name, bool live, database_source_fn *source,
                                   void *arg, struct error *err)
{
    struct load l = {.db = db, .settings = SQLSERVER_ANSI_NULLS | SQLSERVER_QUOTED_IDENTIFIER, .live = live};
    int64_t code_page = 0;
    enum error_kind rc;

    text_list_release(&db->notes);
    rc = sqlserver_link_open(db, name, &l.link, err);
    if (!rc)
        rc = sqlserver_link_number(
            l.link,
            "/* nopsnap: code page */ SELECT CAST(COLLATIONPROPERTY(d.collation_name, 'CodePage') "
            "AS int) FROM sys.databases d WHERE d.database_id = DB_ID()",
            0, &code_page, err);
    l.code_page = (unsigned)code_page;
    if (!rc)
        rc = sqlserver_reader_new(source, arg, &l.reader, err);
    if (!rc)
        rc = take_stream(&l, err);
    if (!rc)
        rc = verify(&l, err);
    sqlserver_insert_discard(l.insert);
    sqlserver_script_release(&l.deferred);
    sqlserver_reader_free(l.reader);
    sqlserver_link_close(l.link);
    return rc;
}

/* ---- the database beside ---- */

static enum error_kind run_named(struct sqlserver_link *l, struct error *err, const char *format, const char *name)
{
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    enum error_kind rc = sqlserver_ddl(&sql, err, format, name);

    if (!rc)
        rc = sqlserver_link_run(l, (char *)sql.data, NULL, NULL, err);
    buffer_release(&sql);
    return rc;
}

enum error_kind sqlserver_exists(struct sqlserver_link *l, const char *name, bool *out, struct error *err)
{
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    int64_t n = 0;
    enum error_kind rc = sqlserver_ddl(&sql, err, "SELECT COUNT(*) FROM sys.databases WHERE name = %t", name);

    if (!rc)
        rc = sqlserver_link_number(l, (char *)sql.data, 0, &n, err);
    *out = n > 0;
    buffer_release(&sql);
    return rc;
}

static enum error_kind count_objects(struct sqlserver_link *l, int64_t *out, struct error *err)
{
    return sqlserver_link_number(l,
                                 "/* nopsnap: is empty */ SELECT COUNT(*) FROM sys.objects o WHERE o.is_ms_shipped = 0 "
                                 "AND o.type IN ('U', 'V', 'P', 'FN', 'IF', 'TF')",
                                 0, out, err);
}

/* Its marker's state, or NULL; whether it has anything else in it. */
enum error_kind sqlserver_look_into(struct database *db, const char *name, char **state, int64_t *objects,
                                    struct error *err)
{
    struct sqlserver_link *l = NULL;
    int64_t has_marker = 0;
    enum error_kind rc = sqlserver_link_open(db, name, &l, err);

    if (!rc)
        rc = sqlserver_link_number(l, "SELECT COUNT(*) FROM sys.tables WHERE name = N'" SQLSERVER_MARKER "'", 0,
                                   &has_marker, err);
    if (!rc && has_marker)
        rc = sqlserver_link_text(l, "SELECT value FROM [dbo].[" SQLSERVER_MARKER "] WHERE name = N'state'", state, err);
    if (!rc)
        rc = count_objects(l, objects, err);
    sqlserver_link_close(l);
    return rc;
}

/* Nobody can enter a half restored one, nor has it anything that was not in its dump. */
static enum error_kind is_restoring(struct sqlserver_link *master, const char *name, bool *out, struct error *err)
{
    struct sqlserver_places places = {{0}};
    enum error_kind rc = sqlserver_places_read(master, &places, err);

    *out = !rc && sqlserver_place_is_restoring(&places, name);
    sqlserver_places_release(&places);
    return rc;
}

enum error_kind sqlserver_clear_leftover(struct database *db, struct sqlserver_link *master, const char *name,
                                         struct error *err)
{
    struct error ignored = ERROR_INIT;
    bool there = false;
    bool half = false;
    char *state = NULL;
    int64_t objects = 0;
    enum error_kind rc = sqlserver_exists(master, name, &there, err);

    if (rc || !there)
        return rc;
    rc = is_restoring(master, name, &half, err);
    if (!rc && !half)
        rc = sqlserver_look_into(db, name, &state, &objects, err);
    if (!rc && !state && objects) {
        rc = error_set(err, ERR_EXISTS, 0, "database %s is there and not nopsnap's", name);
        error_hint(err, "look into it, and drop it if nobody needs it");
    }
    if (!rc)
        (void)run_named(master, &ignored, "ALTER DATABASE %n SET SINGLE_USER WITH ROLLBACK IMMEDIATE", name);
    if (!rc)
        rc = run_named(master, err, "DROP DATABASE %n", name);
    free(state);
    return rc;
}

static bool is_collation(const char *text)
{
    return *text && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == strlen(text);
}

/* The collation is said only where it differs from what the server gives by itself: some servers refuse to be told. */
static enum error_kind set_collation(struct sqlserver_link *master, const char *name, const char *wanted,
                                     struct error *err)
{
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    char *given = NULL;
    enum error_kind rc = sqlserver_ddl(
        &sql, err, "/* nopsnap: collation */ SELECT d.collation_name FROM sys.databases d WHERE d.name = %t", name);

    if (!rc)
        rc = sqlserver_link_text(master, (char *)sql.data, &given, err);
    if (!rc && (!given || strcasecmp(wanted, given) != 0))
        rc = sqlserver_run(master, err, "ALTER DATABASE %n COLLATE %s", name, wanted);
    free(given);
    buffer_release(&sql);
    return rc;
}

static enum error_kind create(struct sqlserver_link *master, const char *name, const struct database_facts *facts,
                              struct error *err)
{
    struct json *root = NULL;
    const char *wanted = NULL;
    enum error_kind rc = OK;

    if (facts->properties)
        rc = json_parse(facts->properties, strlen(facts->properties), &root, err);
    wanted = json_text(json_get(root, "collation_name"));
    if (!rc && wanted && !is_collation(wanted))
        rc = error_set(err, ERR_CORRUPT, 0, "the record of the dump names a collation that can't be");
    if (!rc)
        rc = sqlserver_run(master, err, "CREATE DATABASE %n", name);
    if (!rc && wanted)
        rc = set_collation(master, name, wanted, err);
    json_free(root);
    return rc;
}

enum error_kind sqlserver_set_marker(struct sqlserver_link *l, const char *name, const char *value, struct error *err)
{
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    enum error_kind rc = sqlserver_ddl(&sql, err,
                                       "DELETE FROM [dbo].[" SQLSERVER_MARKER "] WHERE name = %t; INSERT INTO [dbo]."
                                       "[" SQLSERVER_MARKER "] (name, value) VALUES (%t, %t)",
                                       name, name, value);

    if (!rc)
        rc = sqlserver_link_run(l, (char *)sql.data, NULL, NULL, err);
    buffer_release(&sql);
    return rc;
}

enum error_kind sqlserver_make_marker(struct database *db, const char *name, const char *token, struct error *err)
{
    struct sqlserver_link *l = NULL;
    enum error_kind rc = sqlserver_link_open(db, name, &l, err);

    if (!rc)
        rc = sqlserver_link_run(l,
                                "CREATE TABLE [dbo].[" SQLSERVER_MARKER
                                "] (name nvarchar(128) NOT NULL PRIMARY KEY, value nvarchar(400) NULL)",
                                NULL, NULL, err);
    if (!rc)
        rc = sqlserver_set_marker(l, "token", token, err);
    if (!rc)
        rc = sqlserver_set_marker(l, "state", "loading", err);
    sqlserver_link_close(l);
    return rc;
}

enum error_kind sqlserver_logical_load_begin(struct database *db, const struct database_facts *facts, const char *token,
                                             char **name, struct error *err)
{
    struct sqlserver_link *master = NULL;
    char *beside = NULL;
    enum error_kind rc;

    rc = database_private_name(db->target->name, DATABASE_INFIX_BESIDE, token, SQLSERVER_NAME_MAX, &beside, err);
    if (!rc)
        rc = sqlserver_link_open(db, NULL, &master, err);
    if (!rc)
        rc = sqlserver_clear_leftover(db, master, beside, err);
    if (!rc)
        rc = create(master, beside, facts, err);
    if (!rc)
        rc = sqlserver_make_marker(db, beside, token, err);
    sqlserver_link_close(master);
    if (rc) {
        free(beside);
        return rc;
    }
    *name = beside;
    return OK;
}

/* Whoever owns a database is its dbo: a shop that came in as the owner would not come in any more. */
enum error_kind sqlserver_give_back(struct database *db, struct sqlserver_link *l, const char *name,
                                    const struct database_facts *facts, struct error *err)
{
    struct json *root = NULL;
    struct error said = ERROR_INIT;
    const char *owner = NULL;
    char *now = NULL;
    enum error_kind rc = OK;

    if (facts->properties)
        rc = json_parse(facts->properties, strlen(facts->properties), &root, err);
    owner = json_text(json_get(root, "owner_name"));
    if (!rc && owner)
        rc = sqlserver_link_text(
            l,
            "/* nopsnap: owner */ SELECT SUSER_SNAME(d.owner_sid) FROM sys.databases d WHERE d.database_id = DB_ID()",
            &now, err);
    if (!rc && owner && (!now || strcasecmp(owner, now) != 0) &&
        sqlserver_run(l, &said, "ALTER AUTHORIZATION ON DATABASE::%n TO %n", name, owner))
        rc = text_list_addf(&db->notes, err, "database %s is owned by %s instead of %s: %s", name, now ? now : "nobody",
                            owner, said.text);
    json_free(root);
    free(now);
    return rc;
}

static enum error_kind load_beside(struct database *db, const char *name, const struct database_facts *facts,
                                   database_source_fn *source, void *arg, struct error *err)
{
    struct sqlserver_link *l = NULL;
    enum error_kind rc = load_stream(db, name, false, source, arg, err);

    if (!rc)
        rc = sqlserver_link_open(db, name, &l, err);
    if (!rc)
        rc = sqlserver_give_back(db, l, name, facts, err);
    if (!rc)
        rc = sqlserver_set_marker(l, "state", "loaded", err);
    sqlserver_link_close(l);
    return rc;
}

/* A place that the user named: nothing of nopsnap's is put into it. */
static enum error_kind load_named(struct database *db, const char *name, const struct database_facts *facts,
                                  database_source_fn *source, void *arg, struct error *err)
{
    struct sqlserver_link *master = NULL;
    char *state = NULL;
    int64_t objects = 0;
    bool there = false;
    enum error_kind rc = sqlserver_link_open(db, NULL, &master, err);

    if (!rc)
        rc = sqlserver_exists(master, name, &there, err);
    if (!rc && there)
        rc = sqlserver_look_into(db, name, &state, &objects, err);
    if (!rc && state && strcmp(state, "loading") == 0) {
        rc = load_beside(db, name, facts, source, arg, err);
        goto done;
    }
    if (!rc && objects)
        rc = error_set(err, ERR_EXISTS, 0, "database %s is not empty", name);
    if (!rc && !there)
        rc = create(master, name, facts, err);
    if (!rc)
        rc = load_stream(db, name, false, source, arg, err);

done:
    free(state);
    sqlserver_link_close(master);
    return rc;
}

enum error_kind sqlserver_logical_load_run(struct database *db, const char *name, const struct database_facts *facts,
                                           database_source_fn *source, void *arg, struct error *err)
{
    return load_named(db, name, facts, source, arg, err);
}

/* ---- in place ---- */

/* One statement a row; those that fail because something else is still there are tried again. */
static const char drops[] =
    "/* nopsnap: drops */ SELECT 1 AS step, N'ALTER TABLE ' + QUOTENAME(SCHEMA_NAME(t.schema_id)) + N'.' + QUOTENAME(t.name) + "
    "N' DROP CONSTRAINT ' + QUOTENAME(f.name) AS sql FROM sys.foreign_keys f JOIN sys.tables t ON t.object_id = "
    "f.parent_object_id WHERE f.is_ms_shipped = 0 "
    "UNION ALL SELECT 2, N'DROP TRIGGER ' + QUOTENAME(g.name) + N' ON DATABASE' FROM sys.triggers g WHERE "
    "g.parent_class = 0 AND g.is_ms_shipped = 0 "
    "UNION ALL SELECT 3, N'DROP ' + CASE o.type WHEN 'V' THEN N'VIEW ' WHEN 'P' THEN N'PROCEDURE ' WHEN 'U' THEN N'TABLE ' "
    "ELSE N'FUNCTION ' END + QUOTENAME(SCHEMA_NAME(o.schema_id)) + N'.' + QUOTENAME(o.name) FROM sys.objects o WHERE "
    "o.is_ms_shipped = 0 AND o.type IN ('V', 'P', 'FN', 'IF', 'TF', 'U') ORDER BY 1, 2";

static const char late_drops[] =
    "/* nopsnap: late drops */ SELECT 1 AS step, N'DROP SYNONYM ' + QUOTENAME(SCHEMA_NAME(y.schema_id)) + N'.' + "
    "QUOTENAME(y.name) AS sql FROM sys.synonyms y "
    "UNION ALL SELECT 2, N'DROP SEQUENCE ' + QUOTENAME(SCHEMA_NAME(q.schema_id)) + N'.' + QUOTENAME(q.name) FROM sys.sequences q "
    "UNION ALL SELECT 3, N'DROP TYPE ' + QUOTENAME(SCHEMA_NAME(t.schema_id)) + N'.' + QUOTENAME(t.name) FROM sys.types t "
    "WHERE t.is_user_defined = 1 "
    "UNION ALL SELECT 4, N'DROP XML SCHEMA COLLECTION ' + QUOTENAME(SCHEMA_NAME(x.schema_id)) + N'.' + QUOTENAME(x.name) FROM "
    "sys.xml_schema_collections x WHERE SCHEMA_NAME(x.schema_id) <> N'sys' ORDER BY 1, 2";

static enum error_kind take_drop(void *arg, const struct database_row *row, struct error *err)
{
    return row->values[1] ? text_list_add(arg, row->values[1], err) : OK;
}

static enum error_kind run_drops(struct sqlserver_link *l, const char *query, struct error *err)
{
    size_t before = SIZE_MAX;
    enum error_kind rc = OK;

    for (;;) {
        struct text_list list = TEXT_LIST_INIT;
        struct error said = ERROR_INIT;
        size_t failed = 0;

        rc = sqlserver_link_run(l, query, take_drop, &list, err);
        for (size_t i = 0; !rc && i < list.count; i++) {
            struct error one = ERROR_INIT;

            rc = cancel_check(err);
            if (!rc && sqlserver_link_run(l, list.items[i], NULL, NULL, &one)) {
                error_copy(&said, &one);
                failed++;
            }
        }
        text_list_release(&list);
        if (rc || !failed)
            return rc;
        if (failed >= before) {
            error_copy(err, &said);
            return err->kind;
        }
        before = failed;
    }
}

static enum error_kind empty(struct database *db, struct error *err)
{
    struct sqlserver_link *l = NULL;
    enum error_kind rc = sqlserver_link_open(db, db->name, &l, err);

    if (!rc)
        rc = run_drops(l, drops, err);
    if (!rc)
        rc = run_drops(l, late_drops, err);
    if (rc)
        error_context(err, "emptying database %s", db->name);
    sqlserver_link_close(l);
    return rc;
}

static enum error_kind note_recovery_model(struct database *db, const struct database_facts *facts, struct error *err)
{
    struct sqlserver_link *l = NULL;
    struct json *root = NULL;
    const char *then;
    char *now = NULL;
    enum error_kind rc = facts->properties ? json_parse(facts->properties, strlen(facts->properties), &root, err) : OK;

    then = json_text(json_get(root, "recovery_model_desc"));
    if (!rc && then)
        rc = sqlserver_link_open(db, db->name, &l, err);
    if (!rc && then)
        rc =
            sqlserver_link_text(l,
                                "/* nopsnap: recovery model */ SELECT d.recovery_model_desc FROM sys.databases d WHERE "
                                "d.database_id = DB_ID()",
                                &now, err);
    if (!rc && then && now && strcmp(then, now) != 0)
        rc = text_list_addf(&db->notes, err, "database %s keeps its recovery model %s: when it was dumped it was %s",
                            db->name, now, then);
    sqlserver_link_close(l);
    json_free(root);
    free(now);
    return rc;
}

/* Repeatable: it begins by emptying the database of whatever the last attempt left. */
enum error_kind sqlserver_logical_load_in_place(struct database *db, const struct database_facts *facts,
                                                database_source_fn *source, void *arg, struct error *err)
{
    struct sqlserver_link *master = NULL;
    bool there = false;
    enum error_kind rc = sqlserver_link_open(db, NULL, &master, err);

    if (!rc)
        rc = sqlserver_exists(master, db->name, &there, err);
    if (!rc && !there)
        rc = create(master, db->name, facts, err);
    sqlserver_link_close(master);
    if (!rc && there)
        rc = empty(db, err);
    if (!rc)
        rc = load_stream(db, db->name, there, source, arg, err);
    return rc || !there ? rc : note_recovery_model(db, facts, err);
}
