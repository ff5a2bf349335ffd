/* The engine's table of functions, its connection, its sessions, and the query interface for the common part. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "mysql_internal.h"

enum { END_SESSIONS_MS = 20000, PAUSE_MS = 50 };

struct mysql *mysql_of(const struct database *db)
{
    return db->engine;
}

bool mysql_renames_atomically(const struct database *db)
{
    const struct mysql *m = mysql_of(db);

    return m->version >= (m->mariadb ? 100600u : 80000u);
}

/* ---- connection ---- */

static enum error_kind connect_to(struct database *db, struct mysql *m, struct error *err)
{
    const struct database_target *login = database_login(db);
    enum error_kind rc = mysql_client_open(login, db->target, db->name, &m->client, err);

    if (rc && mysql_client_errno(m->client) == MYSQL_E_BAD_DB) { /* dropped, or not yet made: no error (database.h) */
        mysql_client_close(m->client);
        m->client = NULL;
        error_clear(err);
        rc = mysql_client_open(login, db->target, NULL, &m->client, err);
    }
    return rc;
}

static enum error_kind engine_open(struct database *db, struct error *err)
{
    void *memory = NULL;
    struct mysql *m = NULL;
    const char *version = NULL;
    enum error_kind rc = memory_zeroed(1, sizeof *m, &memory, err);

    if (rc)
        return rc;
    db->engine = m = memory;
    rc = connect_to(db, m, err);
    if (rc)
        return rc;
    rc = mysql_text(db, &m->account, err, "SELECT CURRENT_USER()");
    if (rc)
        return rc;
    version = mysql_client_server(m->client);
    m->mariadb = strstr(version, "MariaDB") != NULL;
    if (strncmp(version, "5.5.5-", 6) == 0) /* the prefix by which old replication clients accept MariaDB 10 */
        version += 6;
    m->version = mysql_version_number(version);
    if (m->version < 50700) {
        rc = error_set(err, ERR_REFUSED, 0, "the database server is %.40s, older than MySQL 5.7 and MariaDB 10",
                       version);
        error_hint(err, "nopCommerce needs a newer server; back this one up with its own tools");
    }
    return rc;
}

static void engine_close(struct database *db)
{
    struct mysql *m = db->engine;

    if (!m)
        return;
    mysql_client_close(m->client);
    text_list_release(&m->grants);
    free(m->account);
    free(m);
    db->engine = NULL;
}

static enum error_kind login_works(const struct database_target *target, struct error *err)
{
    struct mysql_client *c = NULL;
    enum error_kind rc = mysql_client_open(target, NULL, target->name, &c, err);

    mysql_client_close(c);
    return rc;
}

/* ---- sessions ---- */

static void own_condition(char out[128])
{
    snprintf(out, 128, "IS_USED_LOCK(CONCAT('nopsnap.', p.ID, '.%ld')) <=> p.ID", (long)getpid());
}

static enum error_kind add_session(void *arg, const struct database_row *row, struct error *err)
{
    const char *program = row->values[4] ? row->values[4] : "";
    const char *host = row->values[1] ? row->values[1] : "";
    bool idle = row->values[2] && strcasecmp(row->values[2], "Sleep") == 0;

    return text_list_addf(arg, err, "user %s from %.*s%s%s%s, %s for %s s", row->values[0] ? row->values[0] : "?",
                          (int)strcspn(host, ":"), host, *program ? " (" : "", program, *program ? ")" : "",
                          idle ? "idle" : "busy", row->values[3] ? row->values[3] : "0");
}

static enum error_kind sessions(struct database *db, const char *name, struct text_list *out, struct error *err)
{
    static const char columns[] = "SELECT p.USER, p.HOST, p.COMMAND, p.TIME, ";
    static const char where[] = " WHERE p.DB = %t AND p.ID <> CONNECTION_ID() AND NOT (%s) ORDER BY p.ID";
    struct error ignored = ERROR_INIT;
    struct buffer sql = BUFFER_INIT(4096);
    struct text_list found = TEXT_LIST_INIT;
    char own[128];
    enum error_kind rc;

    own_condition(own);
    rc = buffer_append_format(&sql, err,
                              "%s(SELECT MAX(a.ATTR_VALUE) FROM performance_schema.session_connect_attrs a WHERE "
                              "a.PROCESSLIST_ID = p.ID AND a.ATTR_NAME IN ('program_name', '_client_name')) "
                              "FROM information_schema.PROCESSLIST p%s",
                              columns, where);
    if (rc)
        goto done;
    /* Which program it is only some servers tell, and only some logins. */
    if (mysql_rows(db, add_session, &found, &ignored, (char *)sql.data, name, own)) {
        buffer_clear(&sql);
        text_list_release(&found);
        rc = buffer_append_format(&sql, err, "%sNULL FROM information_schema.PROCESSLIST p%s", columns, where);
        if (!rc)
            rc = mysql_rows(db, add_session, &found, err, (char *)sql.data, name, own);
    }
    for (size_t i = 0; !rc && i < found.count; i++)
        rc = text_list_add(out, found.items[i], err);

done:
    text_list_release(&found);
    buffer_release(&sql);
    return rc;
}

static enum error_kind kill_all(struct database *db, const struct text_list *ids, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < ids->count; i++)
        rc = mysql_run_unless(db, MYSQL_E_NO_SUCH_THREAD, err, "KILL CONNECTION %s", ids->items[i]);
    return rc;
}

static void pause_ms(int ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

    nanosleep(&t, NULL);
}

enum error_kind mysql_end_sessions(struct database *db, const struct text_list *schemas, struct error *err)
{
    int64_t deadline = clock_monotonic_ms() + END_SESSIONS_MS;
    struct text_list ids = TEXT_LIST_INIT;
    char own[128];
    enum error_kind rc = OK;

    own_condition(own);
    for (;;) {
        text_list_release(&ids);
        for (size_t i = 0; !rc && i < schemas->count; i++)
            rc = mysql_list(
                db, &ids, err,
                "SELECT p.ID FROM information_schema.PROCESSLIST p WHERE p.DB = %t AND p.ID <> CONNECTION_ID() "
                "AND NOT (%s)",
                schemas->items[i], own);
        if (rc || ids.count == 0)
            break;
        if (clock_monotonic_ms() > deadline) {
            rc = error_set(err, ERR_BUSY, 0, "%zu session(s) stay in the database, first number %s", ids.count,
                           ids.items[0]);
            error_hint(err, "stop the program that goes on connecting: `SHOW FULL PROCESSLIST` on the server names it");
            break;
        }
        rc = kill_all(db, &ids, err);
        if (!rc)
            pause_ms(PAUSE_MS);
    }
    text_list_release(&ids);
    return rc;
}

struct leftovers {
    const char *live;
    struct text_list ids;
};

static enum error_kind take_leftover(void *arg, const struct database_row *row, struct error *err)
{
    struct leftovers *l = arg;
    const char *schema = row->values[1];

    if (!schema || (strcmp(schema, l->live) != 0 &&
                    !database_is_private_name(schema, l->live, DATABASE_INFIX_BESIDE, MYSQL_NAME_MAX) &&
                    !database_is_private_name(schema, l->live, DATABASE_INFIX_KEPT, MYSQL_NAME_MAX)))
        return OK;
    return text_list_add(&l->ids, row->values[0], err);
}

/*
 * A killed nopsnap's sessions end when the server finds their sockets closed, which it does not while a statement runs: a rename
 * that waits for a lock, an index that is built. Those have our locks. A dump tool's have none, but only read, and end at
 * the next row they try to send.
 */
enum error_kind mysql_end_own_sessions(struct database *db, struct error *err)
{
    int64_t deadline = clock_monotonic_ms() + END_SESSIONS_MS;
    struct leftovers l = {db->target->name, TEXT_LIST_INIT};
    char own[128];
    enum error_kind rc;

    own_condition(own);
    for (;;) {
        text_list_release(&l.ids);
        rc = mysql_rows(db, take_leftover, &l, err,
                        "SELECT p.ID, p.DB FROM information_schema.PROCESSLIST p WHERE p.ID <> CONNECTION_ID() AND "
                        "IS_USED_LOCK(CONCAT('nopsnap.', p.ID)) <=> p.ID AND NOT (%s)",
                        own);
        if (rc || l.ids.count == 0)
            break;
        if (clock_monotonic_ms() > deadline) {
            rc = error_set(err, ERR_BUSY, 0, "a session of an earlier nopsnap is still busy in the database, number %s",
                           l.ids.items[0]);
            break;
        }
        rc = kill_all(db, &l.ids, err);
        if (!rc)
            pause_ms(PAUSE_MS);
    }
    text_list_release(&l.ids);
    return rc;
}

/* ---- counting ---- */

static enum error_kind id_column(struct database *db, const char *schema, const char *table, char **out,
                                 struct error *err)
{
    return mysql_text(
        db, out, err,
        "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %t AND TABLE_NAME = %t AND "
        "LOWER(COLUMN_NAME) = 'id' AND DATA_TYPE IN ('tinyint', 'smallint', 'mediumint', 'int', 'bigint')",
        schema, table);
}

struct count_row {
    uint64_t rows;
    int64_t max_id;
};

static enum error_kind take_count(void *arg, const struct database_row *row, struct error *err)
{
    struct count_row *c = arg;

    (void)err;
    c->rows = row->values[0] ? strtoull(row->values[0], NULL, 10) : 0;
    c->max_id = row->values[1] ? strtoll(row->values[1], NULL, 10) : -1;
    return OK;
}

static enum error_kind count_table(struct database *db, const char *schema, const char *table,
                                   struct database_counts *out, struct error *err)
{
    struct count_row c = {0, -1};
    char *id = NULL;
    enum error_kind rc = id_column(db, schema, table, &id, err);

    if (!rc && id)
        rc = mysql_rows(db, take_count, &c, err, "SELECT COUNT(*), MAX(%n) FROM %n.%n", id, schema, table);
    else if (!rc)
        rc = mysql_rows(db, take_count, &c, err, "SELECT COUNT(*), NULL FROM %n.%n", schema, table);
    free(id);
    return rc ? rc : database_counts_add(out, table, c.rows, c.max_id, err);
}

static enum error_kind count(struct database *db, const char *name, struct database_counts *out, struct error *err)
{
    struct text_list tables = TEXT_LIST_INIT;
    enum error_kind rc = mysql_tables(db, name, false, &tables, err);

    for (size_t i = 0; !rc && i < tables.count; i++)
        rc = count_table(db, name, tables.items[i], out, err);
    text_list_release(&tables);
    return rc;
}

/* ---- the query interface ---- */

static enum error_kind query(struct database *db, const char *sql, database_row_fn *row, void *arg, struct error *err)
{
    return mysql_client_run(mysql_of(db)->client, sql, strlen(sql), row, arg, err);
}

static enum error_kind table(struct database *db, const char *name, char **quoted, struct text_list *columns,
                             struct error *err)
{
    struct buffer sql = BUFFER_INIT(1024);
    char *found = NULL;
    enum error_kind rc;

    rc = mysql_text(
        db, &found, err,
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %t AND LOWER(TABLE_NAME) = LOWER(%t) "
        "AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY BINARY TABLE_NAME = BINARY %t DESC, TABLE_NAME",
        db->name, name, name);
    if (rc || !found)
        goto done;
    rc = mysql_list(db, columns, err,
                    "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %t AND TABLE_NAME = %t "
                    "ORDER BY ORDINAL_POSITION",
                    db->name, found);
    if (!rc)
        rc = mysql_sql(&sql, err, "%n.%n", db->name, found);
    if (!rc)
        *quoted = buffer_detach(&sql);

done:
    buffer_release(&sql);
    free(found);
    return rc;
}

static enum error_kind quote_name(struct database *db, const char *name, struct buffer *sql, struct error *err)
{
    (void)db;
    return mysql_sql(sql, err, "%n", name);
}

static enum error_kind quote_text(struct database *db, const char *text, struct buffer *sql, struct error *err)
{
    (void)db;
    return mysql_sql(sql, err, "%t", text);
}

const struct database_engine_ops mysql_engine_ops = {
    .engine = DATABASE_MYSQL,
    .name_max = MYSQL_NAME_MAX,
    .dialect = {.begin = "BEGIN", .first_open = " LIMIT ", .first_close = "", .moment_open = "", .moment_close = ""},
    .open = engine_open,
    .close = engine_close,
    .login_works = login_works,
    .probe = mysql_probe,
    .sessions = sessions,
    .end_own_sessions = mysql_end_own_sessions,
    .count = count,
    .dump_begin = mysql_dump_begin,
    .dump_run = mysql_dump_run,
    .dump_end = mysql_dump_end,
    .load_begin = mysql_load_begin,
    .load_run = mysql_load_run,
    .lend = mysql_lend,
    .lend_check = mysql_lend_check,
    .load_in_place = mysql_load_in_place,
    .swap_prepare = mysql_swap_prepare,
    .fence = mysql_fence,
    .unfence = mysql_unfence,
    .swap_to = mysql_swap_to,
    .swap_side = mysql_swap_side,
    .swap_finish = mysql_swap_finish,
    .kept_drop = mysql_kept_drop,
    .query = query,
    .table = table,
    .quote_name = quote_name,
    .quote_text = quote_text,
};
