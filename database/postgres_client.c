#include <libpq-fe.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "hash.h"
#include "postgres_internal.h"

enum { STATEMENT_MAX = 4 * 1024 * 1024, COLUMNS_MAX = 1664, PARAMETERS_MAX = 24 };

struct postgres {
    PGconn *conn;
    char state[6];
};

void postgres_application(const struct database_target *shop, char out[APPLICATION_MAX])
{
    const char *name = shop->name ? shop->name : "";

    snprintf(out, APPLICATION_MAX, "nopsnap-%ld-%08x", (long)getpid(), (unsigned)hash64_of(0, name, strlen(name)));
}

/* ---- connecting ---- */

/* What Npgsql calls it, what libpq calls it. */
static const char *const option_names[][2] = {
    {"SSL Mode", "sslmode"},
    {"Root Certificate", "sslrootcert"},
    {"SSL Certificate", "sslcert"},
    {"SSL Key", "sslkey"},
    {"Kerberos Service Name", "krbsrvname"},
    {"Target Session Attributes", "target_session_attrs"},
    {"Channel Binding", "channel_binding"},
    {"Options", "options"},
    {"Passfile", "passfile"},
    {"Timeout", "connect_timeout"},
};

struct parameters {
    const char *keys[PARAMETERS_MAX];
    const char *values[PARAMETERS_MAX];
    int count;
    char port[16];
    char mode[32];
};

static void add(struct parameters *p, const char *key, const char *value)
{
    if (value && *value && p->count < PARAMETERS_MAX - 1) {
        p->keys[p->count] = key;
        p->values[p->count++] = value;
    }
}

/* "VerifyFull" and "Verify-Full" are libpq's "verify-full"; the others differ only in case. */
static const char *libpq_ssl_mode(const char *value, char out[32])
{
    size_t n = 0;

    if (strcasecmp(value, "VerifyFull") == 0)
        return "verify-full";
    if (strcasecmp(value, "VerifyCA") == 0)
        return "verify-ca";
    for (; *value && n < 31; value++)
        out[n++] = (char)(*value >= 'A' && *value <= 'Z' ? *value + 32 : *value);
    out[n] = '\0';
    return out;
}

static void add_options(struct parameters *p, const struct database_target *t)
{
    for (size_t i = 0; i < sizeof option_names / sizeof option_names[0]; i++) {
        const char *value = database_target_option(t, option_names[i][0]);

        if (value && strcmp(option_names[i][1], "sslmode") == 0)
            value = libpq_ssl_mode(value, p->mode);
        add(p, option_names[i][1], value);
    }
}

static void add_host(struct parameters *p, const struct database_target *t)
{
    add(p, "host", t->host);
    if (t->port) {
        snprintf(p->port, sizeof p->port, "%d", t->port);
        add(p, "port", p->port);
    }
}

/* Does a libpq service leave the host open? Its file is read by libpq itself, so libpq is asked. */
static bool service_names_host(const struct database_target *t)
{
    const char *keys[] = {"service", NULL};
    const char *values[] = {t->service, NULL};
    PGconn *conn = PQconnectStartParams(keys, values, 0);
    PQconninfoOption *options = conn ? PQconninfo(conn) : NULL;
    bool found = false;

    for (PQconninfoOption *o = options; o && o->keyword; o++)
        if ((strcmp(o->keyword, "host") == 0 || strcmp(o->keyword, "hostaddr") == 0) && o->val && *o->val)
            found = true;
    PQconninfoFree(options);
    PQfinish(conn);
    return found;
}

static void one_line(const char *text, char *out, size_t out_len)
{
    size_t n = 0;

    for (; *text && n + 1 < out_len; text++) {
        char c = *text == '\n' || *text == '\t' || *text == '\r' ? ' ' : *text;

        if (c != ' ' || (n && out[n - 1] != ' '))
            out[n++] = c;
    }
    while (n && out[n - 1] == ' ')
        n--;
    out[n] = '\0';
}

static enum error_kind connect_failed(PGconn *conn, struct parameters *p, struct error *err)
{
    char text[1024];
    PGPing ping;

    if (!conn)
        return error_set(err, ERR_MEMORY, 0, "out of memory for a connection to PostgreSQL");
    one_line(PQerrorMessage(conn), text, sizeof text);
    ping = PQpingParams(p->keys, p->values, 0);
    error_set(err, ERR_REMOTE, 0, "can't connect to PostgreSQL: %s", text);
    if (strstr(text, "SSL") || strstr(text, "certificate"))
        error_hint(err, "check SSL Mode and Root Certificate in the connection string");
    else if (ping == PQPING_NO_RESPONSE || ping == PQPING_REJECT)
        error_hint(err, "is the database server running and reachable from here?");
    else if (PQconnectionUsedPassword(conn) || PQconnectionNeedsPassword(conn))
        error_hint(err, "check user and password in the connection string");
    else
        error_hint(err, "the server runs but refuses this login: check user, database and pg_hba.conf");
    return ERR_REMOTE;
}

/* What a session needs so that no timeout, encoding or format of the shop's own settings gets in the way. */
static const char session_setup[] =
    "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; "
    "SET DateStyle = 'ISO, YMD'; SET TimeZone = 'UTC'; SET bytea_output = 'hex'; "
    "SET standard_conforming_strings = on; SET client_min_messages = warning; "
    "SET extra_float_digits = 3; SET search_path = ''; SET default_transaction_read_only = off";

static void ignore_notice(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

enum error_kind postgres_connect(const struct database_target *login, const struct database_target *fallback,
                                 const char *name, struct postgres **out, struct error *err)
{
    struct parameters p = {.count = 0};
    char application[APPLICATION_MAX];
    struct postgres *pg = NULL;
    void *memory = NULL;
    enum error_kind rc;

    add(&p, "service", login->service);
    if (login->service ? !service_names_host(login) && fallback != NULL : false)
        add_host(&p, fallback);
    else
        add_host(&p, login);
    add(&p, "user", login->user);
    add(&p, "password", login->password);
    add(&p, "dbname", name);
    postgres_application(fallback ? fallback : login, application);
    add(&p, "application_name", application);
    add(&p, "client_encoding", "UTF8");
    if (!database_target_option(login, "Timeout"))
        add(&p, "connect_timeout", "20");
    add_options(&p, login);

    rc = memory_zeroed(1, sizeof *pg, &memory, err);
    if (rc)
        return rc;
    pg = memory;
    pg->conn = PQconnectdbParams(p.keys, p.values, 0);
    if (!pg->conn || PQstatus(pg->conn) != CONNECTION_OK) {
        rc = connect_failed(pg->conn, &p, err);
        goto done;
    }
    PQsetNoticeProcessor(pg->conn, ignore_notice, NULL);
    rc = postgres_query(pg, session_setup, NULL, NULL, err);
    if (rc)
        goto done;
    *out = pg;
    pg = NULL;

done:
    postgres_close(pg);
    return rc;
}

void postgres_close(struct postgres *pg)
{
    if (!pg)
        return;
    PQfinish(pg->conn);
    free(pg);
}

/* ---- statements ---- */

static enum error_kind statement_failed(struct postgres *pg, const PGresult *result, struct error *err)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    char text[1024];
    enum error_kind kind = ERR_REMOTE;

    snprintf(pg->state, sizeof pg->state, "%s", state ? state : "08006");
    if (strcmp(pg->state, "53100") == 0)
        kind = ERR_SPACE;
    one_line(primary ? primary : PQerrorMessage(pg->conn), text, sizeof text);
    error_set(err, kind, 0, "PostgreSQL: %s%s%s", text, detail ? ": " : "", detail ? detail : "");
    if (strcmp(pg->state, "42501") == 0)
        error_hint(err, "name a login that has the right with database-admin in the config");
    return kind;
}

static enum error_kind hand_over(const PGresult *result, database_row_fn *row, void *arg, struct error *err)
{
    const char *names[COLUMNS_MAX];
    const char *values[COLUMNS_MAX];
    size_t lengths[COLUMNS_MAX];
    struct database_row r = {PQnfields(result), names, values, lengths};
    enum error_kind rc = OK;

    for (int i = 0; i < r.columns; i++)
        names[i] = PQfname(result, i);
    for (int t = 0; !rc && t < PQntuples(result); t++) {
        for (int i = 0; i < r.columns; i++) {
            values[i] = PQgetisnull(result, t, i) ? NULL : PQgetvalue(result, t, i);
            lengths[i] = (size_t)PQgetlength(result, t, i);
        }
        rc = row(arg, &r, err);
    }
    return rc;
}

/* All results of what was sent; the first failure counts, the rest is drained so that the connection stays usable. */
static enum error_kind collect(struct postgres *pg, database_row_fn *row, void *arg, struct error *err)
{
    enum error_kind rc = OK;
    PGresult *result = NULL;

    while ((result = PQgetResult(pg->conn))) {
        ExecStatusType status = PQresultStatus(result);

        if (rc)
            ; /* draining */
        else if (status == PGRES_SINGLE_TUPLE && row) {
            rc = hand_over(result, row, arg, err);
            if (rc)
                postgres_cancel(pg);
        } else if (status != PGRES_SINGLE_TUPLE && status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK &&
                   status != PGRES_EMPTY_QUERY) {
            rc = statement_failed(pg, result, err);
            if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT) {
                PQclear(result);
                return rc;
            }
        }
        PQclear(result);
    }
    return rc;
}

enum error_kind postgres_query(struct postgres *pg, const char *sql, database_row_fn *row, void *arg, struct error *err)
{
    pg->state[0] = '\0';
    if (!PQsendQuery(pg->conn, sql))
        return statement_failed(pg, NULL, err);
    PQsetSingleRowMode(pg->conn);
    return collect(pg, row, arg, err);
}

enum error_kind postgres_query_with(struct postgres *pg, const char *sql, int count, const char *const *parameters,
                                    database_row_fn *row, void *arg, struct error *err)
{
    pg->state[0] = '\0';
    if (!PQsendQueryParams(pg->conn, sql, count, NULL, parameters, NULL, NULL, 0))
        return statement_failed(pg, NULL, err);
    PQsetSingleRowMode(pg->conn);
    return collect(pg, row, arg, err);
}

static enum error_kind keep_text(void *arg, const struct database_row *row, struct error *err)
{
    char **out = arg;

    if (*out || row->columns < 1 || !row->values[0])
        return OK;
    return memory_string(row->values[0], out, err);
}

enum error_kind postgres_text(struct postgres *pg, const char *sql, int count, const char *const *parameters,
                              char **out, struct error *err)
{
    char *text = NULL;
    enum error_kind rc = postgres_query_with(pg, sql, count, parameters, keep_text, &text, err);

    if (rc) {
        free(text);
        return rc;
    }
    *out = text;
    return OK;
}

enum error_kind postgres_number(struct postgres *pg, const char *sql, int count, const char *const *parameters,
                                int64_t fallback, int64_t *out, struct error *err)
{
    char *text = NULL;
    enum error_kind rc = postgres_text(pg, sql, count, parameters, &text, err);

    if (rc)
        return rc;
    *out = text ? strtoll(text, NULL, 10) : fallback;
    free(text);
    return OK;
}

enum error_kind postgres_run(struct postgres *pg, struct error *err, const char *format, ...)
{
    char *sql = NULL;
    va_list args;
    int len = 0;
    enum error_kind rc;

    va_start(args, format);
    len = vasprintf(&sql, format, args);
    va_end(args);
    if (len < 0)
        return error_set(err, ERR_MEMORY, 0, "out of memory for a statement");
    rc = postgres_query(pg, sql, NULL, NULL, err);
    free(sql);
    return rc;
}

/* ---- quoting ---- */

static enum error_kind append_escaped(struct postgres *pg, char *escaped, struct buffer *sql, struct error *err)
{
    char text[256];
    enum error_kind rc;

    if (!escaped) {
        one_line(PQerrorMessage(pg->conn), text, sizeof text);
        return error_set(err, ERR_REMOTE, 0, "PostgreSQL: %s", text);
    }
    rc = buffer_append_text(sql, escaped, err);
    PQfreemem(escaped);
    return rc;
}

enum error_kind postgres_append_name(struct postgres *pg, const char *name, struct buffer *sql, struct error *err)
{
    return append_escaped(pg, PQescapeIdentifier(pg->conn, name, strlen(name)), sql, err);
}

enum error_kind postgres_append_text(struct postgres *pg, const char *text, struct buffer *sql, struct error *err)
{
    return append_escaped(pg, PQescapeLiteral(pg->conn, text, strlen(text)), sql, err);
}

enum error_kind postgres_quoted_name(struct postgres *pg, const char *name, char **out, struct error *err)
{
    struct buffer b = BUFFER_INIT(STATEMENT_MAX);
    enum error_kind rc = postgres_append_name(pg, name, &b, err);

    if (!rc)
        *out = buffer_detach(&b);
    buffer_release(&b);
    return rc;
}

enum error_kind postgres_quoted_text(struct postgres *pg, const char *text, char **out, struct error *err)
{
    struct buffer b = BUFFER_INIT(STATEMENT_MAX);
    enum error_kind rc = postgres_append_text(pg, text, &b, err);

    if (!rc)
        *out = buffer_detach(&b);
    buffer_release(&b);
    return rc;
}

/* ---- facts of a connection ---- */

const char *postgres_state(const struct postgres *pg)
{
    return pg->state;
}

int postgres_server_major(const struct postgres *pg)
{
    return PQserverVersion(pg->conn) / 10000;
}

const char *postgres_server_version(const struct postgres *pg)
{
    const char *version = PQparameterStatus(pg->conn, "server_version");

    return version ? version : "unknown";
}

bool postgres_alive(struct postgres *pg)
{
    /* The first call may take in the server's farewell; the second one then meets the end. */
    if (!PQconsumeInput(pg->conn))
        return false;
    return PQconsumeInput(pg->conn) && PQstatus(pg->conn) == CONNECTION_OK;
}

void postgres_cancel(struct postgres *pg)
{
    char ignored[256];
    PGcancel *cancel = PQgetCancel(pg->conn);

    if (cancel)
        PQcancel(cancel, ignored, sizeof ignored);
    PQfreeCancel(cancel);
}

enum error_kind postgres_resolved(struct postgres *pg, char **host, char **port, char **user, struct error *err)
{
    enum error_kind rc = memory_string(PQhost(pg->conn), host, err);

    if (!rc)
        rc = memory_string(PQport(pg->conn), port, err);
    if (!rc)
        rc = memory_string(PQuser(pg->conn), user, err);
    return rc;
}
