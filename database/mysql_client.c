/* The one place that knows libmariadb: connections, statements, and its way of failing turned into ours. */
#include <mysql.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "file.h"
#include "mysql_internal.h"

enum { CONNECT_TIMEOUT_S = 20, COLUMNS_MAX = 4096, OPTION_FILE_MAX = 64 * 1024, SSL_CONNECTION_ERROR = 2026 };

struct mysql_client {
    MYSQL *mysql;
    unsigned number;
};

/* ---- TLS as nopCommerce's driver spells it ---- */

enum mysql_tls mysql_tls_wanted(const struct database_target *login)
{
    static const struct {
        const char *word;
        enum mysql_tls tls;
    } words[] = {
        {"none", MYSQL_TLS_OFF},          {"disabled", MYSQL_TLS_OFF},       {"preferred", MYSQL_TLS_PREFERRED},
        {"prefer", MYSQL_TLS_PREFERRED},  {"required", MYSQL_TLS_REQUIRED},  {"require", MYSQL_TLS_REQUIRED},
        {"verifyca", MYSQL_TLS_VERIFIED}, {"verifyfull", MYSQL_TLS_VERIFIED}};
    const char *mode = database_target_option(login, "SslMode");

    if (login->host && login->host[0] == '/')
        return MYSQL_TLS_OFF;
    for (size_t i = 0; mode && i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(mode, words[i].word) == 0)
            return words[i].tls;
    return MYSQL_TLS_PREFERRED;
}

const char *mysql_tls_file(const struct database_target *login, const char *what)
{
    static const char *const keys[][3] = {
        {"ca", "SslCa", "CACertificateFile"}, {"cert", "SslCert", "CertificateFile"}, {"key", "SslKey", NULL}};
    const char *value = NULL;

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        for (size_t k = 1; !value && k < 3 && strcmp(keys[i][0], what) == 0; k++)
            value = keys[i][k] ? database_target_option(login, keys[i][k]) : NULL;
    return value && *value ? value : NULL;
}

enum error_kind mysql_option_file_has_host(const char *path, bool *out, struct error *err)
{
    struct buffer text = BUFFER_INIT(OPTION_FILE_MAX);
    const char *line = NULL;
    bool found = false;
    enum error_kind rc;

    rc = file_read_whole(AT_FDCWD, path, OPTION_FILE_MAX - 1, &text, err);
    if (!rc)
        rc = buffer_append(&text, "", 1, err);
    if (rc)
        goto done;
    for (line = (char *)text.data; line && !found; line = strchr(line, '\n')) {
        line += strspn(line, " \t\r\n");
        for (size_t i = 0; i < 2; i++) {
            const char *word = i ? "socket" : "host";
            if (strncmp(line, word, strlen(word)) == 0) {
                const char *after = line + strlen(word);
                after += strspn(after, " \t");
                found = found || *after == '=';
            }
        }
    }
    *out = found;

done:
    buffer_release_secret(&text);
    return rc;
}

/* ---- failing ---- */

static const char *hint_for(unsigned number)
{
    switch (number) {
    case 2002:
    case 2003:
    case 2005:
        return "is the database server running, and reachable from here?";
    case MYSQL_E_ACCESS_DENIED:
    case 1698:
        return "the user name or password is refused: has the password changed since?";
    case 4151:
    case 3118:
        return "the account is locked on the server";
    case 1820:
    case 1862:
        return "the account's password has expired: set a new one on the server";
    case SSL_CONNECTION_ERROR:
    case 3159:
        return "the server and the connection string disagree about TLS or its certificate: check SslMode and SslCa";
    case 1040:
    case 1203:
        return "the server has no connection left: try again later, or raise max_connections";
    case MYSQL_E_DB_ACCESS_DENIED:
    case 1142:
    case 1143:
    case 1227:
    case 1370:
    case 1419:
        return "the login lacks a right: name an administrative one with database-admin in the config";
    case MYSQL_E_LOCK_WAIT_TIMEOUT:
    case 1213:
        return "somebody holds a lock on the tables: `SHOW FULL PROCESSLIST` on the server tells who";
    default:
        return NULL;
    }
}

static enum error_kind fail(struct mysql_client *c, struct error *err)
{
    const char *text = mysql_error(c->mysql);
    const char *hint = NULL;

    c->number = mysql_errno(c->mysql);
    hint = hint_for(c->number);
    error_set(err, ERR_REMOTE, 0, "database server: %s (%u)", *text ? text : "the connection was lost", c->number);
    if (hint)
        error_hint(err, "%s", hint);
    return ERR_REMOTE;
}

/* ---- connecting ---- */

static void set_tls(MYSQL *m, const struct database_target *login, enum mysql_tls tls)
{
    my_bool on = 1;
    my_bool verify = tls == MYSQL_TLS_VERIFIED;
    my_bool enforce = tls >= MYSQL_TLS_PREFERRED;

    if (tls == MYSQL_TLS_OFF)
        on = 0;
    mysql_options(m, MYSQL_OPT_SSL_ENFORCE, on ? &enforce : &on);
    mysql_options(m, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
    if (!on)
        return;
    mysql_ssl_set(m, mysql_tls_file(login, "key"), mysql_tls_file(login, "cert"), mysql_tls_file(login, "ca"), NULL,
                  NULL);
}

/* The address part of an option file's login: only where the file itself is silent about it. */
static enum error_kind place_of(const struct database_target *login, const struct database_target *fallback,
                                const struct database_target **out, struct error *err)
{
    bool has_host = false;
    enum error_kind rc;

    *out = login;
    if (!login->service)
        return OK;
    rc = mysql_option_file_has_host(login->service, &has_host, err);
    if (!rc && !has_host && fallback)
        *out = fallback;
    return rc;
}

static enum error_kind connect_once(struct mysql_client *c, const struct database_target *login,
                                    const struct database_target *place, const char *database, enum mysql_tls tls,
                                    struct error *err)
{
    unsigned seconds = CONNECT_TIMEOUT_S;
    unsigned protocol = MYSQL_PROTOCOL_TCP;
    bool socket = place->host && place->host[0] == '/';

    c->mysql = mysql_init(NULL);
    if (!c->mysql)
        return error_set(err, ERR_MEMORY, 0, "out of memory for a database connection");
    mysql_options(c->mysql, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
    mysql_options(c->mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    mysql_options4(c->mysql, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", "nopsnap");
    if (login->service) {
        mysql_options(c->mysql, MYSQL_READ_DEFAULT_FILE, login->service);
        mysql_options(c->mysql, MYSQL_READ_DEFAULT_GROUP, "nopsnap");
    } else
        set_tls(c->mysql, login, tls);
    if (place->host && !socket) /* .NET goes to "localhost" by TCP; the client library would look for a socket */
        mysql_options(c->mysql, MYSQL_OPT_PROTOCOL, &protocol);
    if (!mysql_real_connect(c->mysql, socket ? NULL : place->host, login->user, login->password, database,
                            (unsigned)place->port, socket ? place->host : NULL, 0))
        return fail(c, err);
    /* The library goes on in plain text where the server offers no TLS, unless a certificate is to be checked. */
    if (!login->service && tls >= MYSQL_TLS_REQUIRED && !mysql_get_ssl_cipher(c->mysql)) {
        c->number = SSL_CONNECTION_ERROR;
        error_set(err, ERR_REMOTE, 0, "the database server offers no TLS, which the connection string requires");
        error_hint(err, "%s", hint_for(c->number));
        return ERR_REMOTE;
    }
    return OK;
}

static enum error_kind connect_preferring_tls(struct mysql_client *c, const struct database_target *login,
                                              const struct database_target *place, const char *database,
                                              struct error *err)
{
    enum mysql_tls tls = mysql_tls_wanted(login);
    enum error_kind rc = connect_once(c, login, place, database, tls, err);

    if (!rc || tls != MYSQL_TLS_PREFERRED || c->number != SSL_CONNECTION_ERROR)
        return rc;
    error_clear(err); /* preferred, and the server has none: go on without */
    mysql_close(c->mysql);
    return connect_once(c, login, place, database, MYSQL_TLS_OFF, err);
}

static enum error_kind session_start(struct mysql_client *c, struct error *err)
{
    char locks[160];
    struct error ignored = ERROR_INIT;
    static const char settings[] = "SET SESSION time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO', "
                                   "wait_timeout = 2592000, net_write_timeout = 3600, net_read_timeout = 3600, "
                                   "lock_wait_timeout = 60, innodb_lock_wait_timeout = 60";
    enum error_kind rc = mysql_client_run(c, settings, sizeof settings - 1, NULL, NULL, err);

    if (rc)
        return rc;
    /* Best effort: a cluster may refuse named locks, and then our own idle sessions are listed with the shop's. */
    snprintf(locks, sizeof locks, MYSQL_SESSION_LOCKS, (long)getpid());
    (void)mysql_client_run(c, locks, strlen(locks), NULL, NULL, &ignored);
    return OK;
}

enum error_kind mysql_client_open(const struct database_target *login, const struct database_target *fallback,
                                  const char *database, struct mysql_client **out, struct error *err)
{
    const struct database_target *place = NULL;
    struct mysql_client *c = NULL;
    void *memory = NULL;
    enum error_kind rc;

    rc = place_of(login, fallback, &place, err);
    if (!rc)
        rc = memory_zeroed(1, sizeof *c, &memory, err);
    if (rc)
        return rc;
    c = memory;
    rc = connect_preferring_tls(c, login, place, database, err);
    if (!rc)
        rc = session_start(c, err);
    *out = c; /* also after a failure: the caller asks for the number, then closes */
    return rc;
}

void mysql_client_close(struct mysql_client *c)
{
    if (!c)
        return;
    if (c->mysql)
        mysql_close(c->mysql);
    free(c);
}

/* ---- statements ---- */

static enum error_kind hand_over(MYSQL_RES *result, struct mysql_client *c, database_row_fn *row, void *arg,
                                 struct error *err)
{
    unsigned columns = mysql_num_fields(result);
    const MYSQL_FIELD *fields = mysql_fetch_fields(result);
    const char **names = NULL;
    void *memory = NULL;
    enum error_kind rc = OK;
    MYSQL_ROW values;

    if (columns > COLUMNS_MAX)
        return error_set(err, ERR_REMOTE, 0, "the database server gave %u columns", columns);
    rc = memory_zeroed(columns ? columns : 1, sizeof *names, &memory, err);
    if (rc)
        return rc;
    names = memory;
    for (unsigned i = 0; i < columns; i++)
        names[i] = fields[i].name;
    while (!rc && (values = mysql_fetch_row(result)) != NULL) {
        struct database_row r = {(int)columns, names, (const char *const *)values, mysql_fetch_lengths(result)};
        rc = row(arg, &r, err);
    }
    if (!rc && mysql_errno(c->mysql))
        rc = fail(c, err);
    free(names);
    return rc;
}

static enum error_kind ignore_row(void *arg, const struct database_row *row, struct error *err)
{
    (void)arg;
    (void)row;
    (void)err;
    return OK;
}

enum error_kind mysql_client_run(struct mysql_client *c, const void *sql, size_t len, database_row_fn *row, void *arg,
                                 struct error *err)
{
    MYSQL_RES *result = NULL;
    enum error_kind rc = OK;

    c->number = 0;
    if (mysql_real_query(c->mysql, sql, len))
        return fail(c, err);
    result = mysql_use_result(c->mysql);
    if (!result)
        return mysql_errno(c->mysql) ? fail(c, err) : OK;
    rc = hand_over(result, c, row ? row : ignore_row, arg, err);
    mysql_free_result(result); /* reads what the callback did not want, so that the connection can go on */
    return rc;
}

unsigned mysql_client_errno(const struct mysql_client *c)
{
    return c ? c->number : 0;
}

bool mysql_client_encrypted(const struct mysql_client *c)
{
    return mysql_get_ssl_cipher(c->mysql) != NULL;
}

const char *mysql_client_server(const struct mysql_client *c)
{
    return mysql_get_server_info(c->mysql);
}
