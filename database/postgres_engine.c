/* Connection, facts and sessions of a PostgreSQL database, and the table of operations. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "postgres_internal.h"

enum { END_SESSIONS_MS = 30000, DENIED_MS = 3000, POLL_MS = 50 };

static struct postgres_engine *state(struct database *db)
{
    return db->engine;
}

/* ---- connections ---- */

enum error_kind postgres_open_other(struct database *db, const char *name, struct postgres **out, struct error *err)
{
    return postgres_connect(database_login(db), db->target, name, out, err);
}

enum error_kind postgres_maintenance(struct database *db, struct postgres **out, struct error *err)
{
    static const char *const names[] = {"postgres", "template1"};
    struct postgres_engine *e = state(db);
    enum error_kind rc = OK;

    if (e->maintenance && !postgres_alive(e->maintenance)) {
        postgres_close(e->maintenance);
        e->maintenance = NULL;
    }
    for (size_t i = 0; !e->maintenance && i < sizeof names / sizeof names[0]; i++) {
        struct error failure = ERROR_INIT;

        rc = postgres_open_other(db, names[i], &e->maintenance, &failure);
        if (rc && i == 0)
            *err = failure;
    }
    if (!e->maintenance)
        return err->kind ? err->kind : rc;
    error_clear(err);
    *out = e->maintenance;
    return OK;
}

void postgres_close_live(struct database *db)
{
    postgres_close(state(db)->live);
    state(db)->live = NULL;
}

enum door { DOOR_MISSING, DOOR_CLOSED, DOOR_OPEN };

/* A connection limit of -2 marks a database whose drop was cut short: all that it takes any more is another drop. */
static enum error_kind look_at_door(struct postgres *pg, const char *name, enum door *out, struct error *err)
{
    const char *parameters[] = {name};
    int64_t found = 0;
    enum error_kind rc;

    rc = postgres_number(pg,
                         "SELECT CASE WHEN datconnlimit = -2 THEN 0 WHEN datallowconn THEN 2 WHEN datistemplate THEN 2 "
                         "ELSE 1 END FROM pg_database WHERE datname = $1",
                         1, parameters, DOOR_MISSING, &found, err);
    *out = (enum door)found;
    return rc;
}

/* A fence keeps out everybody, ourselves too. The door is opened for the instant of our own login; whoever slipped
 * in with us is put out again. */
static enum error_kind through_closed_door(struct database *db, struct postgres *maintenance, struct postgres **out,
                                           struct error *err)
{
    struct error ignored = ERROR_INIT;
    char *quoted = NULL;
    enum error_kind rc;
    enum error_kind closed;

    rc = postgres_quoted_name(maintenance, db->name, &quoted, err);
    if (!rc)
        rc = postgres_run(maintenance, err, "ALTER DATABASE %s ALLOW_CONNECTIONS true", quoted);
    if (rc)
        goto done;
    rc = postgres_open_other(db, db->name, out, err);
    closed = postgres_run(maintenance, rc ? &ignored : err, "ALTER DATABASE %s ALLOW_CONNECTIONS false", quoted);
    if (!closed)
        closed = postgres_end_sessions(maintenance, db->name, true, rc ? &ignored : err);
    if (!rc && closed) {
        postgres_close(*out);
        *out = NULL;
        rc = closed;
    }

done:
    free(quoted);
    return rc;
}

enum error_kind postgres_live(struct database *db, struct postgres **out, struct error *err)
{
    struct postgres_engine *e = state(db);
    struct postgres *maintenance = NULL;
    struct error failure = ERROR_INIT;
    struct error ignored = ERROR_INIT;
    enum door door = DOOR_OPEN;
    enum error_kind rc;

    if (e->live && !postgres_alive(e->live)) /* an exchange, or the server's restart, has ended it */
        postgres_close_live(db);
    if (e->live) {
        *out = e->live;
        return OK;
    }
    rc = postgres_open_other(db, db->name, &e->live, &failure);
    if (!rc) {
        *out = e->live;
        return OK;
    }
    /* Which of the many reasons? The server's words depend on its language, its catalogue does not. */
    if (postgres_maintenance(db, &maintenance, &ignored) || look_at_door(maintenance, db->name, &door, &ignored))
        door = DOOR_OPEN;
    if (door == DOOR_MISSING)
        return error_set(err, ERR_NOT_FOUND, 0, "there is no database %s on the server", db->name);
    if (door == DOOR_OPEN) {
        *err = failure;
        return rc;
    }
    rc = through_closed_door(db, maintenance, &e->live, err);
    if (!rc)
        *out = e->live;
    return rc;
}

static enum error_kind check_tools(int major, struct error *err)
{
    static const char *const tools[] = {"pg_dump", "pg_restore"};
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < sizeof tools / sizeof tools[0]; i++) {
        char *path = NULL;

        rc = postgres_tool(tools[i], major, &path, NULL, err);
        free(path);
    }
    return rc;
}

/* A database that is missing or behind a fence is no failure: the server answers, and that is what counts here. */
static enum error_kind engine_open(struct database *db, struct error *err)
{
    struct postgres_engine *e = NULL;
    struct postgres *pg = NULL;
    struct error failure = ERROR_INIT;
    struct error ignored = ERROR_INIT;
    enum door door = DOOR_OPEN;
    void *memory = NULL;
    enum error_kind rc;

    rc = memory_zeroed(1, sizeof *e, &memory, err);
    if (rc)
        return rc;
    e = memory;
    db->engine = e;
    if (postgres_open_other(db, db->name, &e->live, &failure)) {
        if (postgres_maintenance(db, &pg, &ignored) || look_at_door(pg, db->name, &door, &ignored) ||
            door == DOOR_OPEN) {
            *err = failure;
            return failure.kind;
        }
    } else
        pg = e->live;
    e->major = postgres_server_major(pg);
    return check_tools(e->major, err);
}

static void engine_close(struct database *db)
{
    struct postgres_engine *e = state(db);

    if (!e)
        return;
    postgres_close(e->live);
    postgres_close(e->maintenance);
    free(e);
    db->engine = NULL;
}

static enum error_kind engine_login_works(const struct database_target *target, struct error *err)
{
    struct postgres *pg = NULL;
    enum error_kind rc = postgres_connect(target, NULL, target->name, &pg, err);

    postgres_close(pg);
    return rc;
}

/* The connection to ask about databases in general: whichever is there. */
static enum error_kind any_connection(struct database *db, struct postgres **out, struct error *err)
{
    if (state(db)->live && postgres_alive(state(db)->live)) {
        *out = state(db)->live;
        return OK;
    }
    return postgres_maintenance(db, out, err);
}

/* ---- identity ---- */

enum error_kind postgres_oid(struct postgres *pg, const char *name, char **out, struct error *err)
{
    const char *parameters[] = {name};

    return postgres_text(pg, "SELECT oid::text FROM pg_database WHERE datname = $1", 1, parameters, out, err);
}

static const char cluster_query[] = "SELECT system_identifier::text FROM pg_control_system()";

enum error_kind postgres_identity(struct postgres *pg, const char *name, char **out, struct error *err)
{
    char *oid = NULL;
    char *cluster = NULL;
    enum error_kind rc;

    rc = postgres_oid(pg, name, &oid, err);
    if (!rc && oid)
        rc = postgres_text(pg, cluster_query, 0, NULL, &cluster, err);
    if (!rc && oid)
        rc = memory_format(out, err, "%s/%s", cluster ? cluster : "", oid);
    free(oid);
    free(cluster);
    return rc;
}

enum error_kind postgres_name_of(struct postgres *pg, const char *identity, char **out, struct error *err)
{
    const char *slash = strchr(identity, '/');
    const char *parameters[] = {slash ? slash + 1 : ""};
    char *cluster = NULL;
    enum error_kind rc;

    if (!slash || strspn(slash + 1, "0123456789") != strlen(slash + 1) || !slash[1])
        return error_set(err, ERR_CORRUPT, 0, "\"%s\" is not the identity of a PostgreSQL database", identity);
    rc = postgres_text(pg, cluster_query, 0, NULL, &cluster, err);
    if (!rc && (!cluster || strlen(cluster) != (size_t)(slash - identity) ||
                strncmp(cluster, identity, strlen(cluster)) != 0)) {
        rc = error_set(err, ERR_REFUSED, 0, "this is not the PostgreSQL cluster on which the work was begun");
        error_hint(err, "the shop's connection string, or the server behind it, has changed since");
    }
    if (!rc)
        rc = postgres_text(pg, "SELECT datname FROM pg_database WHERE oid = $1::oid", 1, parameters, out, err);
    free(cluster);
    return rc;
}

bool postgres_is_superuser(struct postgres *pg)
{
    struct error ignored = ERROR_INIT;
    int64_t yes = 0;

    return !postgres_number(pg, "SELECT rolsuper::int FROM pg_roles WHERE rolname = current_user", 0, NULL, 0, &yes,
                            &ignored) &&
           yes;
}

/* ---- sessions ---- */

struct session_list {
    struct text_list *out;
};

static enum error_kind add_session(void *arg, const struct database_row *row, struct error *err)
{
    struct session_list *l = arg;
    const char *const *v = row->values;
    const char *from = v[1] ? v[1] : v[3] ? "this host" : "a host that is not visible";
    bool named = v[2] && *v[2];

    return text_list_addf(l->out, err, "user %s from %s%s%s%s, %s", v[0] ? v[0] : "?", from, named ? " (" : "",
                          named ? v[2] : "", named ? ")" : "", v[3] && *v[3] ? v[3] : "state not visible");
}

static enum error_kind engine_sessions(struct database *db, const char *name, struct text_list *out, struct error *err)
{
    struct session_list list = {out};
    char application[APPLICATION_MAX];
    const char *parameters[] = {name, application};
    struct postgres *pg = NULL;
    enum error_kind rc;

    postgres_application(db->target, application);
    rc = any_connection(db, &pg, err);
    if (rc)
        return rc;
    return postgres_query_with(
        pg,
        "SELECT usename, host(client_addr), application_name, state FROM pg_stat_activity "
        "WHERE datname = $1 AND usesysid IS NOT NULL AND coalesce(backend_type, 'client backend') = "
        "'client backend' AND application_name <> $2 ORDER BY backend_start",
        2, parameters, add_session, &list, err);
}

static void pause_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&t, NULL);
}

/*
 * Whoever is there as some user. Autovacuum is not, and only a superuser may end it; what needs its room (RENAME, DROP)
 * sends it away by itself. What a session does is hidden from an ordinary role; whose it is, is not.
 */
#define SESSIONS_IN                                                                                  \
    "FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid() AND usesysid IS NOT NULL " \
    "AND application_name NOT LIKE $2"

static enum error_kind sessions_stay(const char *name, int64_t left, bool denied, struct error *err)
{
    if (!denied)
        return error_set(err, ERR_REMOTE, 0, "%" PRId64 " sessions in database %s did not end", left, name);
    error_set(err, ERR_REFUSED, 0, "%" PRId64 " sessions in database %s may not be ended by this login", left, name);
    error_hint(err, "grant it pg_signal_backend, or name another login with database-admin in the config");
    return ERR_REFUSED;
}

enum error_kind postgres_end_sessions(struct postgres *pg, const char *name, bool spare_own, struct error *err)
{
    const char *parameters[] = {name, spare_own ? "nopsnap-%" : ""};
    int64_t begun = clock_monotonic_ms();
    int64_t left = 0;
    enum error_kind rc;

    for (;;) {
        struct error failure = ERROR_INIT;
        int64_t patience = END_SESSIONS_MS;

        rc = postgres_query_with(pg, "SELECT pg_terminate_backend(pid) " SESSIONS_IN, 2, parameters, NULL, NULL,
                                 &failure);
        if (rc && strcmp(postgres_state(pg), "42501") != 0) {
            error_copy(err, &failure);
            return rc;
        }
        if (rc) /* somebody's whom we may not end; he may be leaving by himself */
            patience = DENIED_MS;
        rc = postgres_number(pg, "SELECT count(*) " SESSIONS_IN, 2, parameters, 0, &left, err);
        if (rc || left == 0)
            return rc;
        if (clock_monotonic_ms() - begun > patience)
            return sessions_stay(name, left, failure.kind != OK, err);
        pause_ms(POLL_MS);
    }
}

/* Those that work for this shop's database, in whichever database they are, but not this process's. */
static enum error_kind engine_end_own_sessions(struct database *db, struct error *err)
{
    static const char condition[] = "application_name LIKE 'nopsnap-%' AND application_name <> $1 AND usename = "
                                    "current_user AND right(application_name, 9) = right($1, 9)";
    char application[APPLICATION_MAX];
    const char *parameters[] = {application};
    int64_t deadline = clock_monotonic_ms() + END_SESSIONS_MS;
    struct postgres *pg = NULL;
    char *end = NULL;
    char *count = NULL;
    int64_t left = 0;
    enum error_kind rc;

    postgres_application(db->target, application);
    rc = any_connection(db, &pg, err);
    if (!rc)
        rc = memory_format(&end, err, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE %s", condition);
    if (!rc)
        rc = memory_format(&count, err, "SELECT count(*) FROM pg_stat_activity WHERE %s", condition);
    while (!rc) {
        rc = postgres_query_with(pg, end, 1, parameters, NULL, NULL, err);
        if (!rc)
            rc = postgres_number(pg, count, 1, parameters, 0, &left, err);
        if (rc || left == 0)
            break;
        if (clock_monotonic_ms() > deadline)
            rc =
                error_set(err, ERR_REMOTE, 0, "%" PRId64 " sessions left over by an earlier nopsnap did not end", left);
        pause_ms(POLL_MS);
    }
    free(end);
    free(count);
    return rc;
}

/* ---- probe ---- */

static enum error_kind add_line(void *arg, const struct database_row *row, struct error *err)
{
    return row->values[0] ? text_list_add(arg, row->values[0], err) : OK;
}

enum error_kind postgres_obstacles(struct postgres *pg, const char *name, struct text_list *out, struct error *err)
{
    /* pg_has_role says whose sessions an ordinary role may end: its own and its groups'; pg_signal_backend adds all but
     * superusers'. */
    static const char sql[] =
        "SELECT 'replication slot ' || quote_ident(slot_name) FROM pg_replication_slots WHERE database = $1 "
        "UNION ALL SELECT 'subscription ' || quote_ident(subname) FROM pg_subscription "
        "  WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = $1) "
        "UNION ALL SELECT 'prepared transaction ' || quote_literal(gid) FROM pg_prepared_xacts WHERE database = $1 "
        "UNION ALL SELECT DISTINCT 'a session of user ' || quote_ident(a.usename) || ' from ' || "
        "  coalesce(host(a.client_addr), 'a host that is not visible') || ' that login ' || quote_ident(current_user) || ' may not end' "
        "  FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid, pg_roles me "
        "  WHERE a.datname = $1 AND me.rolname = current_user AND NOT me.rolsuper "
        "  AND coalesce(a.backend_type, 'client backend') = 'client backend' "
        "  AND NOT pg_has_role(a.usesysid, 'USAGE') AND (r.rolsuper OR NOT pg_has_role('pg_signal_backend', 'USAGE')) "
        "UNION ALL SELECT 'the server is a standby' WHERE pg_is_in_recovery()";
    const char *parameters[] = {name};

    return postgres_query_with(pg, sql, 1, parameters, add_line, out, err);
}

static enum error_kind why_not_beside(struct database *db, struct postgres *pg, char **out, struct error *err)
{
    static const char sql[] =
        "SELECT CASE WHEN me.rolsuper THEN NULL "
        "WHEN NOT me.rolcreatedb THEN 'login ' || quote_ident(me.rolname) || ' may not create databases' "
        "WHEN EXISTS (SELECT 1 FROM pg_database WHERE datname = $1 AND NOT pg_has_role(datdba, 'USAGE')) "
        "THEN 'login ' || quote_ident(me.rolname) || ' does not own database ' || quote_ident($1) END "
        "FROM pg_roles me WHERE me.rolname = current_user";
    const char *parameters[] = {db->name};
    struct postgres *maintenance = NULL;
    struct error failure = ERROR_INIT;
    enum error_kind rc;

    rc = postgres_text(pg, sql, 1, parameters, out, err);
    if (rc || *out)
        return rc;
    if (postgres_maintenance(db, &maintenance, &failure))
        return memory_format(
            out, err, "no other database of the server can be reached from which to rename this one: %s", failure.text);
    return OK;
}

static enum error_kind remarks(struct database *db, struct postgres *pg, struct database_info *out, struct error *err)
{
    static const char sql[] =
        "SELECT 'the shop logs in as superuser ' || quote_ident(r.rolname) || ', whom nothing keeps out of a kept database' "
        "FROM pg_roles r WHERE r.rolname = $1 AND r.rolsuper "
        "UNION ALL SELECT 'login ' || quote_ident(me.rolname) || ' is no superuser: objects of role ' || quote_ident(o.owner) || "
        "' would come back as its own' FROM pg_roles me, (SELECT DISTINCT pg_get_userbyid(c.relowner) AS owner, c.relowner "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname NOT LIKE 'pg\\_%' AND "
        "n.nspname <> 'information_schema' AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.classid = 'pg_class'::regclass "
        "AND e.objid = c.oid AND e.deptype = 'e')) o "
        "WHERE me.rolname = current_user AND NOT me.rolsuper AND NOT pg_has_role(o.relowner, 'MEMBER')";
    const char *parameters[] = {db->target->user ? db->target->user : ""};

    return postgres_query_with(pg, sql, 1, parameters, add_line, &out->remarks, err);
}

/* pg_dump reads tables and sequences; it stops at the first that it may not read. */
static enum error_kind unreadable(struct postgres *pg, struct text_list *out, struct error *err)
{
    static const char sql[] =
        "SELECT 'login ' || quote_ident(current_user) || ' may not read ' || quote_ident(n.nspname) || '.' || quote_ident(c.relname) "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'S') "
        "AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' "
        "AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e') "
        "AND NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')) ORDER BY 1 LIMIT 20";

    return postgres_query_with(pg, sql, 0, NULL, add_line, out, err);
}

static enum error_kind engine_probe(struct database *db, struct database_info *out, struct error *err)
{
    const char *parameters[] = {db->name};
    struct postgres *pg = NULL;
    struct error missing = ERROR_INIT;
    int64_t size = 0;
    enum error_kind rc;

    rc = postgres_live(db, &pg, &missing);
    out->exists = !rc;
    if (rc && rc != ERR_NOT_FOUND) {
        error_copy(err, &missing);
        return rc;
    }
    if (rc)
        rc = postgres_maintenance(db, &pg, err);
    if (!rc)
        rc = memory_string(postgres_server_version(pg), &out->server_version, err);
    if (!rc && out->exists)
        rc = postgres_identity(pg, db->name, &out->identity, err);
    if (!rc && out->exists)
        rc = postgres_number(pg, "SELECT pg_database_size($1)", 1, parameters, 0, &size, err);
    out->size = size > 0 ? (uint64_t)size : 0;
    if (!rc)
        rc = why_not_beside(db, pg, &out->why_in_place, err);
    out->can_beside = !rc && !out->why_in_place;
    if (!rc && !out->exists && !out->can_beside) /* the in-place way needs a database to work in */
        rc = text_list_addf(
            &out->obstacles, err,
            "there is no database %s, and %s: make an empty one that the login owns, or name a login that may with "
            "database-admin in the config",
            db->name, out->why_in_place);
    if (!rc)
        rc = postgres_obstacles(pg, db->name, &out->obstacles, err);
    if (!rc && out->exists)
        rc = remarks(db, pg, out, err);
    if (!rc && out->exists)
        rc = unreadable(pg, &out->unreadable, err);
    return rc;
}

/* ---- queries of the common part ---- */

static enum error_kind engine_query(struct database *db, const char *sql, database_row_fn *row, void *arg,
                                    struct error *err)
{
    struct postgres *pg = NULL;
    enum error_kind rc = postgres_live(db, &pg, err);

    return rc ? rc : postgres_query(pg, sql, row, arg, err);
}

/* The schema public first, then the others by name; the exact name before one that differs in case. */
static const char find_table[] =
    "SELECT c.oid::text, quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c "
    "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'f') AND lower(c.relname) = lower($1) "
    "AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' "
    "ORDER BY c.relname = $1 DESC, n.nspname = 'public' DESC, n.nspname LIMIT 1";

struct found_table {
    char *oid;
    char *quoted;
};

static enum error_kind keep_table(void *arg, const struct database_row *row, struct error *err)
{
    struct found_table *t = arg;
    enum error_kind rc = memory_string(row->values[0], &t->oid, err);

    return rc ? rc : memory_string(row->values[1], &t->quoted, err);
}

static enum error_kind engine_table(struct database *db, const char *name, char **quoted, struct text_list *columns,
                                    struct error *err)
{
    const char *by_name[] = {name};
    const char *by_oid[] = {NULL};
    struct found_table t = {NULL, NULL};
    struct postgres *pg = NULL;
    enum error_kind rc;

    rc = postgres_live(db, &pg, err);
    if (!rc)
        rc = postgres_query_with(pg, find_table, 1, by_name, keep_table, &t, err);
    if (rc || !t.oid)
        goto done;
    by_oid[0] = t.oid;
    rc = postgres_query_with(
        pg,
        "SELECT attname FROM pg_attribute WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped "
        "ORDER BY attnum",
        1, by_oid, add_line, columns, err);
    if (rc)
        goto done;
    *quoted = t.quoted;
    t.quoted = NULL;

done:
    free(t.oid);
    free(t.quoted);
    return rc;
}

static enum error_kind engine_quote_name(struct database *db, const char *name, struct buffer *sql, struct error *err)
{
    struct postgres *pg = NULL;
    enum error_kind rc = any_connection(db, &pg, err);

    return rc ? rc : postgres_append_name(pg, name, sql, err);
}

static enum error_kind engine_quote_text(struct database *db, const char *text, struct buffer *sql, struct error *err)
{
    struct postgres *pg = NULL;
    enum error_kind rc = any_connection(db, &pg, err);

    return rc ? rc : postgres_append_text(pg, text, sql, err);
}

/* There is nothing that a load leaves switched off in PostgreSQL. */
static enum error_kind engine_swap_finish(struct database *db, const struct database_swap *swap, struct error *err)
{
    (void)db;
    (void)swap;
    (void)err;
    return OK;
}

const struct database_engine_ops postgres_engine_ops = {
    .engine = DATABASE_POSTGRESQL,
    .name_max = POSTGRES_NAME_MAX,
    .dialect = {.begin = "BEGIN", .first_open = " LIMIT ", .first_close = "", .moment_open = "", .moment_close = ""},
    .open = engine_open,
    .close = engine_close,
    .login_works = engine_login_works,
    .probe = engine_probe,
    .sessions = engine_sessions,
    .end_own_sessions = engine_end_own_sessions,
    .count = postgres_count,
    .dump_begin = postgres_dump_begin,
    .dump_run = postgres_dump_run,
    .dump_end = postgres_dump_end,
    .load_begin = postgres_load_begin,
    .load_run = postgres_load_run,
    .load_in_place = postgres_load_in_place,
    .swap_prepare = postgres_swap_prepare,
    .fence = postgres_fence,
    .unfence = postgres_unfence,
    .swap_to = postgres_swap_to,
    .swap_side = postgres_swap_side,
    .swap_finish = engine_swap_finish,
    .copy = postgres_copy,
    .kept_drop = postgres_kept_drop,
    .query = engine_query,
    .table = engine_table,
    .quote_name = engine_quote_name,
    .quote_text = engine_quote_text,
};
