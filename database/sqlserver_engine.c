/* The engine's table of operations, its connections, its sessions, and the query interface for the common part. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sqlserver_internal.h"
#include "sqlserver_native_internal.h"

enum { SQL_MAX = 64 * 1024, END_SESSIONS_MS = 20000, PAUSE_MS = 50 };

struct sqlserver {
    struct sqlserver_link *master;
    struct sqlserver_link *live;
};

static struct sqlserver *state(const struct database *db)
{
    return db->engine;
}

/* ---- connections ---- */

/* A killed session, and a server that was restarted, are seen only by asking. */
static bool answers(struct sqlserver_link *l)
{
    struct error ignored = ERROR_INIT;

    return l && sqlserver_link_run(l, "SELECT 1", NULL, NULL, &ignored) == OK;
}

enum error_kind sqlserver_master(struct database *db, struct sqlserver_link **out, struct error *err)
{
    struct sqlserver *s = state(db);
    enum error_kind rc = OK;

    if (!answers(s->master)) {
        sqlserver_link_close(s->master);
        s->master = NULL;
        rc = sqlserver_link_open(db, NULL, &s->master, err);
    }
    if (!rc)
        *out = s->master;
    return rc;
}

void sqlserver_close_live(struct database *db)
{
    sqlserver_link_close(state(db)->live);
    state(db)->live = NULL;
}

void sqlserver_set_live(struct database *db, struct sqlserver_link *link)
{
    sqlserver_close_live(db);
    state(db)->live = link;
}

/* Does this login see every database that there is? Else one that it does not see may be there all the same. */
static bool sees_all(struct sqlserver_link *master)
{
    struct error ignored = ERROR_INIT;
    int64_t sees = 0;

    return !sqlserver_link_number(master,
                                  "/* nopsnap: sees databases */ SELECT CASE WHEN IS_SRVROLEMEMBER('sysadmin') = 1 OR "
                                  "HAS_PERMS_BY_NAME(NULL, NULL, 'VIEW ANY DATABASE') = 1 THEN 1 ELSE 0 END",
                                  0, &sees, &ignored) &&
           sees;
}

/*
 * Why could nobody get in? The server's words depend on its language, and are the same for a database that is not there and for one that this
 * login may not enter; its catalogue is not. Only what is proved to be missing may be made again (ERR_NOT_FOUND). Where it is not about the
 * database there is nothing to look at: a wrong password tried twice locks a login twice as soon.
 */
static enum error_kind explain(struct database *db, const struct error *failure, struct error *err)
{
    struct sqlserver_places places = {{0}};
    struct sqlserver_link *master = NULL;
    struct error ignored = ERROR_INIT;
    const char *name = NULL;
    bool closed = false;
    bool half = false;
    bool suspect = false;
    bool looked;

    if (failure->kind != ERR_NOT_FOUND && failure->kind != ERR_BUSY) {
        error_copy(err, failure);
        return err->kind;
    }
    looked = !sqlserver_master(db, &master, &ignored) && !sqlserver_places_read(master, &places, &ignored);
    if (looked)
        name = sqlserver_place_name(&places, db->name);
    closed = looked && name && sqlserver_place_is_closed(&places, name);
    half = looked && name && sqlserver_place_is_restoring(&places, name);
    suspect = looked && name && sqlserver_place_is_suspect(&places, name);
    looked = looked && !name && sees_all(master);
    sqlserver_places_release(&places);
    if (looked)
        return error_set(err, ERR_NOT_FOUND, 0, "there is no database %s on the server", db->name);
    error_copy(err, failure);
    err->kind = ERR_REMOTE;
    if (closed) {
        err->kind = ERR_BUSY;
        error_hint(err,
                   "it is in SINGLE_USER mode and somebody else has the seat: end that session, or set it MULTI_USER");
    }
    if (half) {
        err->kind = ERR_BUSY;
        error_hint(err, "it is half restored (RESTORING): restore it again, or drop it");
    }
    if (suspect) {
        err->kind = ERR_BUSY;
        error_hint(err, "it is SUSPECT: the server's error log says what it could not read or write");
    }
    return err->kind;
}

enum error_kind sqlserver_live(struct database *db, struct sqlserver_link **out, struct error *err)
{
    struct sqlserver *s = state(db);
    struct error failure = ERROR_INIT;

    if (!answers(s->live)) {
        sqlserver_close_live(db);
        if (sqlserver_link_open(db, db->name, &s->live, &failure))
            return explain(db, &failure, err);
    }
    *out = s->live;
    return OK;
}

enum error_kind sqlserver_borrow(struct database *db, const char *name, struct sqlserver_link **out, bool *owned,
                                 struct error *err)
{
    *owned = strcmp(name, db->name) != 0;
    return *owned ? sqlserver_link_open(db, name, out, err) : sqlserver_live(db, out, err);
}

/* A database that is missing, or closed with somebody in its seat, is no failure: the server answers, and that is what counts here. */
static enum error_kind engine_open(struct database *db, struct error *err)
{
    struct sqlserver_link *live = NULL;
    struct error failure = ERROR_INIT;
    void *memory = NULL;
    enum error_kind rc = memory_zeroed(1, sizeof(struct sqlserver), &memory, err);

    if (rc)
        return rc;
    db->engine = memory;
    rc = sqlserver_live(db, &live, &failure);
    if (rc == ERR_NOT_FOUND || rc == ERR_BUSY)
        return OK;
    if (rc)
        error_copy(err, &failure);
    return rc;
}

static void engine_close(struct database *db)
{
    if (!db->engine)
        return;
    sqlserver_close_live(db);
    sqlserver_link_close(state(db)->master);
    free(db->engine);
    db->engine = NULL;
}

static enum error_kind login_works(const struct database_target *target, struct error *err)
{
    struct database db = {.target = target};
    struct sqlserver_link *l = NULL;
    enum error_kind rc = sqlserver_link_open(&db, target->name, &l, err);

    sqlserver_link_close(l);
    return rc;
}

enum error_kind sqlserver_run(struct sqlserver_link *l, struct error *err, const char *format, ...)
{
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    va_list args;
    enum error_kind rc;

    va_start(args, format);
    rc = sqlserver_ddl_list(&sql, err, format, &args);
    va_end(args);
    if (!rc)
        rc = sqlserver_link_run(l, (char *)sql.data, NULL, NULL, err);
    buffer_release(&sql);
    return rc;
}

/* ---- sessions ---- */

/* Those of this process: what the client library says of itself at every login. */
#define OWN "(s.program_name = N'nopsnap' AND s.host_name = HOST_NAME() AND s.host_process_id = %d)"

static enum error_kind add_session(void *arg, const struct database_row *row, struct error *err)
{
    const char *const *v = row->values;
    bool named = v[2] && *v[2];
    bool idle = v[3] && strcmp(v[3], "sleeping") == 0;

    return text_list_addf(arg, err, "user %s from %s%s%s%s, %s", v[0] ? v[0] : "?",
                          v[1] && *v[1] ? v[1] : "a host that is not visible", named ? " (" : "", named ? v[2] : "",
                          named ? ")" : "", idle ? "idle" : "busy");
}

static enum error_kind sessions(struct database *db, const char *name, struct text_list *out, struct error *err)
{
    struct sqlserver_link *master = NULL;
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    enum error_kind rc = sqlserver_master(db, &master, err);

    if (!rc)
        rc = sqlserver_ddl(
            &sql, err,
            "/* nopsnap: sessions */ SELECT s.login_name, s.host_name, s.program_name, s.status FROM "
            "sys.dm_exec_sessions s WHERE s.is_user_process = 1 AND s.database_id = DB_ID(%t) AND NOT " OWN
            " ORDER BY s.session_id",
            name, (int)getpid());
    if (!rc)
        rc = sqlserver_link_run(master, (char *)sql.data, add_session, out, err);
    buffer_release(&sql);
    return rc;
}

static enum error_kind take_id(void *arg, const struct database_row *row, struct error *err)
{
    return row->values[0] ? text_list_add(arg, row->values[0], err) : OK;
}

/* One that has ended meanwhile is none to be told of; whoever may not be ended is still there when the time is up. */
static void kill_all(struct sqlserver_link *l, const struct text_list *ids)
{
    for (size_t i = 0; i < ids->count; i++) {
        struct error ignored = ERROR_INIT;

        (void)sqlserver_run(l, &ignored, "KILL %s", ids->items[i]);
    }
}

static void pause_ms(int ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

    nanosleep(&t, NULL);
}

struct ending {
    const char *shop; /* NULL, or the database whose sessions, and those of its private names, are meant alone */
    struct text_list ids;
};

/* Session, whether it is in the shop's database, and the name of its own. */
static enum error_kind take_session(void *arg, const struct database_row *row, struct error *err)
{
    struct ending *e = arg;
    const char *const *v = row->values;

    if (!v[0])
        return OK;
    if (e->shop && !(v[1] && strcmp(v[1], "1") == 0) &&
        !(v[2] && (database_is_private_name(v[2], e->shop, DATABASE_INFIX_BESIDE, SQLSERVER_NAME_MAX) ||
                   database_is_private_name(v[2], e->shop, DATABASE_INFIX_KEPT, SQLSERVER_NAME_MAX) ||
                   database_is_private_name(v[2], e->shop, DATABASE_INFIX_POINT, SQLSERVER_NAME_MAX))))
        return OK;
    return text_list_add(&e->ids, v[0], err);
}

/* End what `query` lists, as take_session() has it, until it lists nothing. */
static enum error_kind end_listed(struct sqlserver_link *l, const char *query, const char *shop, struct error *err)
{
    int64_t deadline = clock_monotonic_ms() + END_SESSIONS_MS;
    struct ending e = {shop, TEXT_LIST_INIT};
    enum error_kind rc;

    for (;;) {
        text_list_release(&e.ids);
        rc = sqlserver_link_run(l, query, take_session, &e, err);
        if (rc || e.ids.count == 0)
            break;
        if (clock_monotonic_ms() > deadline) {
            rc = error_set(err, ERR_BUSY, 0, "%zu session(s) stay in the database, first number %s", e.ids.count,
                           e.ids.items[0]);
            error_hint(err,
                       "stop the program that goes on connecting, or name a login that may end sessions (ALTER ANY "
                       "CONNECTION) with database-admin in the config");
            break;
        }
        kill_all(l, &e.ids);
        pause_ms(PAUSE_MS);
    }
    text_list_release(&e.ids);
    return rc;
}

enum error_kind sqlserver_end_sessions(struct sqlserver_link *l, const char *name, struct error *err)
{
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    enum error_kind rc =
        sqlserver_ddl(&sql, err,
                      "/* nopsnap: sessions to end */ SELECT CAST(s.session_id AS int) FROM "
                      "sys.dm_exec_sessions s WHERE s.is_user_process = 1 AND s.database_id = DB_ID(%t) AND "
                      "s.session_id <> @@SPID",
                      name);

    if (!rc)
        rc = end_listed(l, (char *)sql.data, NULL, err);
    buffer_release(&sql);
    return rc;
}

/*
 * A killed nopsnap's sessions end when the server finds their sockets closed, which it does not while a statement runs. Of this shop's
 * database, also under its private names: what nopsnap does to another shop, or in a database whose name only begins like it, goes on.
 */
static enum error_kind end_own_sessions(struct database *db, struct error *err)
{
    struct sqlserver_link *master = NULL;
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    enum error_kind rc = sqlserver_master(db, &master, err);

    if (!rc)
        rc = sqlserver_ddl(
            &sql, err,
            "/* nopsnap: own sessions */ SELECT CAST(s.session_id AS int), CASE WHEN s.database_id = DB_ID(%t) THEN 1 ELSE 0 "
            "END, DB_NAME(s.database_id) FROM sys.dm_exec_sessions s WHERE s.program_name = N'nopsnap' AND "
            "s.host_name = HOST_NAME() AND NOT " OWN,
            db->target->name, (int)getpid());
    if (!rc)
        rc = end_listed(master, (char *)sql.data, db->target->name, err);
    buffer_release(&sql);
    return rc;
}

/* ---- the query interface ---- */

static enum error_kind query(struct database *db, const char *sql, database_row_fn *row, void *arg, struct error *err)
{
    struct sqlserver_link *live = NULL;
    enum error_kind rc = sqlserver_live(db, &live, err);

    return rc ? rc : sqlserver_link_run(live, sql, row, arg, err);
}

struct found_table {
    char *id;
    char *schema;
    char *name;
};

static enum error_kind keep_table(void *arg, const struct database_row *row, struct error *err)
{
    struct found_table *t = arg;
    enum error_kind rc;

    if (t->id || !row->values[0] || !row->values[1] || !row->values[2])
        return OK;
    rc = memory_string(row->values[0], &t->id, err);
    if (!rc)
        rc = memory_string(row->values[1], &t->schema, err);
    return rc ? rc : memory_string(row->values[2], &t->name, err);
}

static enum error_kind find_table(struct sqlserver_link *l, const char *name, struct found_table *out,
                                  struct error *err)
{
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    enum error_kind rc;

    /* dbo before other schemas, the exact name before one that differs in case. */
    rc = sqlserver_ddl(
        &sql, err,
        "/* nopsnap: table by name */ SELECT CAST(t.object_id AS int), SCHEMA_NAME(t.schema_id), t.name FROM "
        "sys.tables t WHERE LOWER(t.name) = LOWER(%t) AND t.is_ms_shipped = 0 ORDER BY CASE WHEN t.name = %t "
        "THEN 0 ELSE 1 END, CASE WHEN SCHEMA_NAME(t.schema_id) = N'dbo' THEN 0 ELSE 1 END, 2, 3",
        name, name);
    if (!rc)
        rc = sqlserver_link_run(l, (char *)sql.data, keep_table, out, err);
    buffer_release(&sql);
    return rc;
}

static enum error_kind list_columns(struct sqlserver_link *l, const char *id, struct text_list *out, struct error *err)
{
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    enum error_kind rc =
        sqlserver_ddl(&sql, err,
                      "/* nopsnap: columns by number */ SELECT c.name FROM sys.columns c WHERE c.object_id "
                      "= %s ORDER BY c.column_id",
                      id);

    if (!rc)
        rc = sqlserver_link_run(l, (char *)sql.data, take_id, out, err);
    buffer_release(&sql);
    return rc;
}

static enum error_kind table(struct database *db, const char *name, char **quoted, struct text_list *columns,
                             struct error *err)
{
    struct sqlserver_link *live = NULL;
    struct found_table t = {NULL, NULL, NULL};
    struct buffer text = BUFFER_INIT(SQL_MAX);
    enum error_kind rc = sqlserver_live(db, &live, err);

    if (!rc)
        rc = find_table(live, name, &t, err);
    if (rc || !t.name)
        goto done;
    rc = list_columns(live, t.id, columns, err);
    if (!rc)
        rc = sqlserver_ddl_object(&text, t.schema, t.name, err);
    if (!rc)
        *quoted = buffer_detach(&text);

done:
    buffer_release(&text);
    free(t.id);
    free(t.schema);
    free(t.name);
    return rc;
}

static enum error_kind quote_name(struct database *db, const char *name, struct buffer *sql, struct error *err)
{
    (void)db;
    return sqlserver_ddl(sql, err, "%n", name);
}

static enum error_kind quote_text(struct database *db, const char *text, struct buffer *sql, struct error *err)
{
    (void)db;
    return sqlserver_ddl(sql, err, "%t", text);
}

const struct database_engine_ops sqlserver_engine_ops = {
    .engine = DATABASE_SQLSERVER,
    .name_max = SQLSERVER_NAME_MAX,
    .dialect = {.begin = "BEGIN TRANSACTION",
                .first_open = " OFFSET 0 ROWS FETCH NEXT ",
                .first_close = " ROWS ONLY",
                .moment_open = "CAST(",
                .moment_close = " AS datetime2)"},
    .open = engine_open,
    .close = engine_close,
    .login_works = login_works,
    .probe = sqlserver_probe,
    .sessions = sessions,
    .end_own_sessions = end_own_sessions,
    .count = sqlserver_count,
    .dump_begin = sqlserver_dump_begin,
    .dump_run = sqlserver_dump_run,
    .dump_end = sqlserver_dump_end,
    .load_check = sqlserver_load_check,
    .load_begin = sqlserver_load_begin,
    .load_run = sqlserver_load_run,
    .load_in_place = sqlserver_load_in_place,
    .swap_prepare = sqlserver_swap_prepare,
    .fence = sqlserver_fence,
    .unfence = sqlserver_unfence,
    .swap_to = sqlserver_swap_to,
    .swap_side = sqlserver_swap_side,
    .swap_finish = sqlserver_swap_finish,
    .kept_drop = sqlserver_kept_drop,
    .point_possible = sqlserver_point_possible,
    .point_make = sqlserver_point_make,
    .point_look = sqlserver_point_look,
    .point_revert = sqlserver_point_revert,
    .point_drop = sqlserver_point_drop,
    .point_clear = sqlserver_point_clear,
    .check_script = sqlserver_check_script,
    .run_script = sqlserver_run_script,
    .query = query,
    .table = table,
    .quote_name = quote_name,
    .quote_text = quote_text,
};
