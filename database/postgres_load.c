/* A database beside the live one, made from a dump. The live one is not touched (D3). */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "file.h"
#include "postgres_internal.h"

enum { SQL_MAX = 64 * 1024, CREATE_MS = 30000, PAUSE_MS = 100 };

/* ---- creating ---- */

/* The name holds the transaction's own random token and the live name: what carries it is an earlier try of ours
 * (D6). */
static enum error_kind drop_earlier_try(struct postgres *pg, const char *name, struct error *err)
{
    char *oid = NULL;
    char *quoted = NULL;
    enum error_kind rc;

    rc = postgres_oid(pg, name, &oid, err);
    if (rc || !oid)
        goto done;
    rc = postgres_quoted_name(pg, name, &quoted, err);
    if (!rc)
        rc = postgres_end_sessions(pg, name, false, err);
    if (!rc)
        rc = postgres_run(pg, err, "DROP DATABASE IF EXISTS %s", quoted);

done:
    free(oid);
    free(quoted);
    return rc;
}

/* From 15 on the server would otherwise write every page of the copy to its log as well. */
#define COPY_FILES_FROM 15

static enum error_kind create(struct postgres *pg, const char *name, const char *template, const char *properties,
                              struct error *err)
{
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    enum error_kind rc;

    rc = buffer_append_text(&sql, "CREATE DATABASE ", err);
    if (!rc)
        rc = postgres_append_name(pg, name, &sql, err);
    if (!rc)
        rc = buffer_append_text(&sql, " TEMPLATE ", err);
    if (!rc)
        rc = template ? postgres_append_name(pg, template, &sql, err) : buffer_append_text(&sql, "template0", err);
    if (!rc && template && postgres_server_major(pg) >= COPY_FILES_FROM)
        rc = buffer_append_text(&sql, " STRATEGY FILE_COPY", err);
    if (!rc)
        rc = postgres_properties_create(pg, properties, &sql, err);
    if (!rc)
        rc = postgres_query(pg, (char *)sql.data, NULL, NULL, err);
    buffer_release(&sql);
    return rc;
}

/* An earlier try that was killed may be creating it still, unseen until it is done. */
static bool is_being_created(struct postgres *pg)
{
    const char *state = postgres_state(pg);

    return strcmp(state, "42P04") == 0 || strcmp(state, "23505") == 0;
}

/* Somebody is in the template: what we ended just now may still be leaving. */
static bool is_in_use(struct postgres *pg)
{
    return strcmp(postgres_state(pg), "55006") == 0;
}

enum error_kind postgres_create_beside(struct postgres *pg, const char *name, const char *template,
                                       const char *properties, struct error *err)
{
    int64_t deadline = clock_monotonic_ms() + CREATE_MS;
    struct timespec pause = {0, PAUSE_MS * 1000000L};

    for (;;) {
        struct error failure = ERROR_INIT;
        enum error_kind rc = drop_earlier_try(pg, name, err);

        if (rc)
            return rc;
        if (template)
            rc = postgres_end_sessions(pg, template, false, err);
        if (rc)
            return rc;
        rc = create(pg, name, template, properties, &failure);
        if (!rc)
            return OK;
        if (!(is_being_created(pg) || (template && is_in_use(pg))) || clock_monotonic_ms() > deadline) {
            error_copy(err, &failure);
            return rc;
        }
        nanosleep(&pause, NULL);
    }
}

enum error_kind postgres_load_begin(struct database *db, const struct database_facts *facts, const char *token,
                                    char **name, struct error *err)
{
    struct postgres *pg = NULL;
    char *chosen = NULL;
    enum error_kind rc;

    rc = database_private_name(db->name, DATABASE_INFIX_BESIDE, token, POSTGRES_NAME_MAX, &chosen, err);
    if (rc)
        goto done;
    assert(strcmp(chosen, db->name) != 0);
    rc = postgres_maintenance(db, &pg, err);
    if (!rc)
        rc = postgres_create_beside(pg, chosen, NULL, facts->properties, err);
    if (rc)
        goto done;
    *name = chosen;
    chosen = NULL;

done:
    free(chosen);
    return rc;
}

/* ---- loading ---- */

enum error_kind postgres_restore_tool(struct postgres *pg, const struct database_facts *facts, char **path,
                                      struct error *err)
{
    int dumped_by = facts->tool_version ? atoi(facts->tool_version) : 0;
    int server = postgres_server_major(pg);

    return postgres_tool("pg_restore", dumped_by > server ? dumped_by : server, path, NULL, err);
}

static enum error_kind check_empty(struct postgres *pg, const char *name, struct error *err)
{
    int64_t objects = 0;
    enum error_kind rc;

    rc = postgres_number(
        pg,
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' AND NOT EXISTS (SELECT 1 FROM "
        "pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')",
        0, NULL, 0, &objects, err);
    if (!rc && objects > 0) {
        rc = error_set(err, ERR_EXISTS, 0, "database %s is not empty", name);
        error_hint(err, "create a new, empty database and name that one");
    }
    return rc;
}

/* The child's own words explain more than our failing to write to it. */
static enum error_kind end_tool(struct process *tool, enum error_kind feeding, struct error *err)
{
    struct error said = ERROR_INIT;
    enum error_kind rc;

    if (feeding &&
        feeding != ERR_IO) { /* the dump could not be read, or we are to stop: the tool must not take it for the end */
        process_kill(tool);
        return feeding;
    }
    rc = postgres_tool_wait(tool, "pg_restore", &said);
    if (rc)
        *err = said;
    return rc ? rc : feeding;
}

static enum error_kind run_restore(struct database *db, struct postgres *pg, const char *name,
                                   const struct database_facts *facts, database_source_fn *source, void *arg,
                                   struct error *err)
{
    struct postgres_environment environment = POSTGRES_ENVIRONMENT_INIT;
    struct postgres_archive whole = {source, arg, BUFFER_INIT(0), BUFFER_INIT(0)};
    struct process tool = PROCESS_INIT;
    const char *argv[10] = {NULL};
    struct process_spec spec = {.argv = argv, .pipe_stdin = true};
    bool owners = true;
    bool grants = true;
    char *path = NULL;
    char *connection = NULL;
    int n = 0;
    enum error_kind rc;

    rc = postgres_properties_roles(pg, facts->properties, &owners, &grants, &db->notes, err);
    if (!rc)
        rc = postgres_restore_tool(pg, facts, &path, err);
    if (!rc)
        rc = postgres_environment_make(db, pg, &environment, err);
    if (!rc)
        rc = postgres_conninfo_name(name, &connection, err);
    if (rc)
        goto done;
    argv[n++] = path;
    argv[n++] = "--exit-on-error";
    argv[n++] = "--no-password";
    argv[n++] = "--format=custom";
    if (!owners)
        argv[n++] = "--no-owner";
    if (!grants)
        argv[n++] = "--no-privileges";
    argv[n++] = "--dbname";
    argv[n++] = connection;
    spec.environment = environment.list;
    rc = process_start(&tool, &spec, err);
    if (!rc)
        rc = end_tool(&tool, postgres_archive_feed(&whole, tool.stdin_fd, err), err);

done:
    process_kill(&tool);
    postgres_environment_release(&environment);
    free(path);
    free(connection);
    return rc;
}

enum error_kind postgres_load_run(struct database *db, const char *name, const struct database_facts *facts,
                                  database_source_fn *source, void *arg, struct error *err)
{
    bool ours = database_is_private_name(name, db->name, DATABASE_INFIX_BESIDE, POSTGRES_NAME_MAX);
    struct postgres *pg = NULL;
    enum error_kind rc;

    rc = postgres_open_other(db, name, &pg, err);
    if (!rc && !ours)
        rc = check_empty(pg, name, err);
    if (!rc)
        rc = run_restore(db, pg, name, facts, source, arg, err);
    /* Fresh statistics, so that the shop's first queries do not crawl. */
    if (!rc)
        rc = postgres_query(pg, "ANALYZE", NULL, NULL, err);
    if (!rc)
        rc = postgres_properties_apply(pg, name, facts->properties, ours ? PROPERTIES_ALL : PROPERTIES_SETTINGS,
                                       &db->notes, err);
    postgres_close(pg);
    return rc;
}
