/*
 * Loading a dump: into a schema beside the live one, into one that the user named, or, announced, in place.
 *
 *   L1  a schema that nopsnap makes carries the marker from its second statement on; one without it is never dropped,
 *       unless it is empty and bears the private name (a crash between the two statements)
 *   L2  events come in disabled; those that were on are noted in the marker, which moves with the tables
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "mysql_internal.h"
#include "process.h"
#include "thread.h"

/* ---- the client as a pipe ---- */

struct load {
    struct mysql_tool tool;
    struct secret_file options;
    struct process process;
};

#define LOAD_INIT                                       \
    {                                                   \
        MYSQL_TOOL_INIT, SECRET_FILE_INIT, PROCESS_INIT \
    }

static enum error_kind load_start(struct database *db, const char *schema, struct load *l, struct error *err)
{
    struct process_spec spec = {0};
    char defaults[96];
    char locks[200];
    const char *argv[12];
    size_t n = 0;
    enum error_kind rc;

    rc = mysql_tool_find_client(&l->tool, err);
    if (!rc)
        rc = mysql_tool_options(db, &l->tool, &l->options, err);
    if (rc)
        return rc;
    snprintf(defaults, sizeof defaults, "--defaults-file=%s", l->options.path);
    snprintf(locks, sizeof locks, "--init-command=" MYSQL_SESSION_LOCKS, (long)getpid());
    argv[n++] = l->tool.program;
    argv[n++] = defaults;
    argv[n++] = locks;
    argv[n++] = "--batch";
    argv[n++] = "--binary-mode"; /* the dump is SQL and nothing else: no command of the client's own is obeyed (P11) */
    argv[n++] = "--default-character-set=utf8mb4";
    argv[n++] = "--max-allowed-packet=1G";
    argv[n++] = "--";
    argv[n++] = schema;
    argv[n] = NULL;
    spec.argv = argv;
    spec.pipe_stdin = true;
    return process_start(&l->process, &spec, err);
}

static void load_release(struct load *l)
{
    process_kill(&l->process);
    secret_file_release(&l->options);
    mysql_tool_release(&l->tool);
}

static enum error_kind to_client(void *arg, const void *bytes, size_t len, struct error *err)
{
    struct load *l = arg;

    return file_write(l->process.stdin_fd, bytes, len, "the database client's input", err);
}

static enum error_kind pump(struct mysql_lines *lines, database_source_fn *source, void *arg, struct error *err)
{
    const void *bytes = NULL;
    size_t len = 0;
    enum error_kind rc;

    do {
        rc = cancel_check(err);
        if (!rc)
            rc = source(arg, &bytes, &len, err);
        if (!rc && len)
            rc = mysql_lines_feed(lines, bytes, len, err);
    } while (!rc && len);
    return rc ? rc : mysql_lines_end(lines, err);
}

/* When the client gave up, what it said is the reason; that its pipe is closed is only the consequence. */
static enum error_kind client_failed(struct load *l, enum error_kind rc, struct error *err)
{
    struct error said = ERROR_INIT;

    if (rc && rc != ERR_IO) /* the dump could not be read, or a signal: the client is stopped, not asked */
        return rc;
    if (!process_wait(&l->process, NULL, NULL, &said))
        return rc;
    if (strstr(said.text, "max_allowed_packet") || strstr(said.text, "gone away"))
        error_hint(&said, "raise max_allowed_packet on the server");
    if (strstr(said.text, "Access denied") || strstr(said.text, "SUPER") || strstr(said.text, "SET USER"))
        error_hint(&said, "the login lacks a right: name an administrative one with database-admin in the config");
    if (strstr(said.text, "Unknown collation"))
        error_hint(&said, "the dump comes from another kind of server (MySQL 8 or MariaDB 11): restore it there");
    *err = said;
    return err->kind;
}

/* events_on gets the names of the events that were enabled in the dump. */
static enum error_kind load_stream(struct database *db, const char *schema, bool keep_events,
                                   struct text_list *events_on, database_source_fn *source, void *arg,
                                   struct error *err)
{
    static const struct text_list none = TEXT_LIST_INIT;
    struct load l = LOAD_INIT;
    struct mysql_lines *lines = NULL;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction former;
    enum error_kind rc;

    sigaction(SIGPIPE, &ignore, &former); /* a client that stops must be an error, not our end */
    rc = load_start(db, schema, &l, err);
    if (!rc)
        rc = mysql_lines_new(keep_events ? &none : NULL, events_on, to_client, &l, &lines, err);
    if (!rc)
        rc = pump(lines, source, arg, err);
    rc = client_failed(&l, rc, err);
    mysql_lines_free(lines);
    load_release(&l);
    sigaction(SIGPIPE, &former, NULL);
    return rc;
}

/* ---- beside ---- */

/* A row of ten megabytes is one statement of twenty: better to know before than at the end of a long load. */
static enum error_kind check_packet(struct database *db, const struct database_facts *facts, struct error *err)
{
    struct json *root = NULL;
    int64_t largest = 0;
    int64_t packet = 0;
    enum error_kind rc;

    if (!facts->properties)
        return OK;
    rc = json_parse(facts->properties, strlen(facts->properties), &root, err);
    if (!rc)
        rc = mysql_number(db, INT64_MAX, &packet, err, "SELECT @@GLOBAL.max_allowed_packet");
    largest = json_number(json_get(root, "largest_statement"), 0);
    if (!rc && largest > packet) {
        rc = error_set(err, ERR_REFUSED, 0, "the dump has a row of %lld bytes, the server takes statements of %lld",
                       (long long)largest, (long long)packet);
        error_hint(err, "on the server: SET GLOBAL max_allowed_packet = %lld",
                   (long long)(largest + 1023) / 1024 * 1024 + 1024);
    }
    json_free(root);
    return rc;
}

/* L1: what is left of an earlier attempt of the same transaction. */
static enum error_kind clear_leftover(struct database *db, const char *schema, struct error *err)
{
    struct mysql_marker marker = MYSQL_MARKER_INIT;
    bool exists = false;
    bool empty = false;
    enum error_kind rc;

    rc = mysql_schema_exists(db, schema, &exists, err);
    if (rc || !exists)
        return rc;
    rc = mysql_marker_read(db, schema, &marker, err);
    if (!rc && !marker.exists)
        rc = mysql_schema_is_empty(db, schema, &empty, err);
    if (!rc && !marker.exists && !empty) {
        rc = error_set(err, ERR_EXISTS, 0, "database %s is there and not nopsnap's", schema);
        error_hint(err, "look into it, and drop it if nobody needs it");
    }
    if (!rc)
        rc = mysql_schema_drop(db, schema, err);
    mysql_marker_release(&marker);
    return rc;
}

enum error_kind mysql_load_begin(struct database *db, const struct database_facts *facts, const char *token,
                                 char **name, struct error *err)
{
    char *schema = NULL;
    enum error_kind rc;

    rc = database_private_name(db->target->name, DATABASE_INFIX_BESIDE, token, MYSQL_NAME_MAX, &schema, err);
    if (!rc)
        rc = check_packet(db, facts, err);
    if (!rc)
        rc = clear_leftover(db, schema, err);
    if (!rc)
        rc = mysql_schema_create(db, schema, facts->properties, err);
    if (!rc)
        rc = mysql_marker_make(db, schema, NULL, err);
    if (!rc)
        rc = mysql_marker_set(db, schema, "token", token, err);
    if (!rc)
        rc = mysql_marker_set(db, schema, "state", "loading", err);
    if (rc) {
        free(schema);
        return rc;
    }
    *name = schema;
    return OK;
}

static enum error_kind note_events(struct database *db, const char *schema, const struct text_list *events,
                                   struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < events->count; i++) {
        char *row = NULL;

        rc = memory_format(&row, err, "event:%s", events->items[i]);
        if (!rc)
            rc = mysql_marker_set(db, schema, row, "", err);
        free(row);
    }
    return rc;
}

static enum error_kind load_beside(struct database *db, const char *schema, database_source_fn *source, void *arg,
                                   struct error *err)
{
    struct text_list events = TEXT_LIST_INIT;
    enum error_kind rc;

    rc = load_stream(db, schema, false, &events, source, arg, err);
    if (!rc)
        rc = note_events(db, schema, &events, err);
    if (!rc)
        rc = mysql_marker_set(db, schema, "state", "loaded", err);
    text_list_release(&events);
    return rc;
}

/* A place that the user named: nothing of nopsnap's is put into it, and events are as they were in the dump. */
static enum error_kind load_named(struct database *db, const char *schema, const struct database_facts *facts,
                                  database_source_fn *source, void *arg, struct error *err)
{
    bool exists = false;
    bool empty = true;
    enum error_kind rc;

    rc = mysql_schema_exists(db, schema, &exists, err);
    if (!rc && exists)
        rc = mysql_schema_is_empty(db, schema, &empty, err);
    if (!rc && !empty)
        rc = error_set(err, ERR_EXISTS, 0, "database %s is not empty", schema);
    if (!rc)
        rc = check_packet(db, facts, err);
    if (!rc)
        rc = mysql_schema_create(db, schema, facts->properties, err);
    return rc ? rc : load_stream(db, schema, true, NULL, source, arg, err);
}

enum error_kind mysql_load_run(struct database *db, const char *name, const struct database_facts *facts,
                               database_source_fn *source, void *arg, struct error *err)
{
    struct mysql_marker marker = MYSQL_MARKER_INIT;
    enum error_kind rc = mysql_marker_read(db, name, &marker, err);

    if (rc)
        return rc;
    if (marker.loading)
        rc = load_beside(db, name, source, arg, err);
    else
        rc = load_named(db, name, facts, source, arg, err);
    mysql_marker_release(&marker);
    return rc;
}

/* ---- in place ---- */

static enum error_kind drop_tables(struct database *db, struct error *err)
{
    struct text_list tables = TEXT_LIST_INIT;
    struct text_list sequences = TEXT_LIST_INIT;
    enum error_kind rc;

    rc = mysql_tables(db, db->name, false, &tables, err);
    if (!rc)
        rc = mysql_list(
            db, &sequences, err,
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %t AND TABLE_TYPE = 'SEQUENCE'",
            db->name);
    if (!rc)
        rc = mysql_run(db, err, "SET SESSION foreign_key_checks = 0");
    for (size_t i = 0; !rc && i < tables.count; i++)
        rc = mysql_run(db, err, "DROP TABLE IF EXISTS %n.%n", db->name, tables.items[i]);
    for (size_t i = 0; !rc && i < sequences.count; i++)
        rc = mysql_run(db, err, "DROP SEQUENCE IF EXISTS %n.%n", db->name, sequences.items[i]);
    if (!rc)
        rc = mysql_run(db, err, "SET SESSION foreign_key_checks = 1");
    text_list_release(&tables);
    text_list_release(&sequences);
    return rc;
}

static enum error_kind empty_schema(struct database *db, struct error *err)
{
    enum error_kind rc = mysql_objects_drop_all(db, db->name, err);

    if (!rc)
        rc = drop_tables(db, err);
    return rc ? rc : mysql_marker_remove(db, db->name, err);
}

/* Every step can be taken again: a repeated call begins by emptying the schema of whatever the last one left. */
enum error_kind mysql_load_in_place(struct database *db, const struct database_facts *facts, database_source_fn *source,
                                    void *arg, struct error *err)
{
    struct text_list schemas = TEXT_LIST_INIT;
    bool exists = false;
    enum error_kind rc;

    rc = check_packet(db, facts, err);
    if (!rc)
        rc = text_list_add(&schemas, db->name, err);
    if (!rc)
        rc = mysql_end_sessions(db, &schemas, err);
    if (!rc)
        rc = mysql_schema_exists(db, db->name, &exists, err);
    if (!rc && exists)
        rc = empty_schema(db, err);
    if (!rc)
        rc = mysql_schema_create(db, db->name, facts->properties, err);
    /* Events stand near the end of a dump, after all tables and rows: they come in as they were. */
    if (!rc)
        rc = load_stream(db, db->name, true, NULL, source, arg, err);
    text_list_release(&schemas);
    return rc;
}
