/*
 * Connection strings as .NET's DbConnectionStringBuilder reads them, for the three providers that nopCommerce uses,
 * and the administrative login of the config.
 *
 * The rules: pairs "key = value" between semicolons; blanks around either are dropped; a value in '...' or "..." may
 * hold anything, its own quote doubled; "==" in a key is one "="; the last of equal keys wins; case and blanks in
 * keys do not count. No error here quotes any part of a value (P10).
 */
#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "database_internal.h"
#include "file.h"

enum { STRING_MAX = 64 * 1024, PAIRS_MAX = 200 };

/* ---- keys ---- */

enum key_use { KEY_OPTION, KEY_HOST, KEY_PORT, KEY_NAME, KEY_USER, KEY_PASSWORD, KEY_REFUSED };

struct known_key {
    const char *key; /* lower case, without blanks */
    enum key_use use;
};

/* Keys that mean the same to every provider, and those that lead somewhere nopsnap can't follow. */
static const struct known_key known_keys[] = {
    {"host", KEY_HOST},
    {"server", KEY_HOST},
    {"datasource", KEY_HOST},
    {"address", KEY_HOST},
    {"addr", KEY_HOST},
    {"networkaddress", KEY_HOST},
    {"port", KEY_PORT},
    {"database", KEY_NAME},
    {"db", KEY_NAME},
    {"initialcatalog", KEY_NAME},
    {"username", KEY_USER},
    {"userid", KEY_USER},
    {"user", KEY_USER},
    {"uid", KEY_USER},
    {"password", KEY_PASSWORD},
    {"pwd", KEY_PASSWORD},
    {"psw", KEY_PASSWORD},
    {"attachdbfilename", KEY_REFUSED},
    {"extendedproperties", KEY_REFUSED},
    {"initialfilename", KEY_REFUSED},
    {"contextconnection", KEY_REFUSED},
    {"pipe", KEY_REFUSED},
    {"pipename", KEY_REFUSED},
    {"sharedmemoryname", KEY_REFUSED},
    {"sshhostname", KEY_REFUSED},
    {"sshkeyfile", KEY_REFUSED},
    {"sshpassword", KEY_REFUSED},
    {"certificatefile", KEY_REFUSED},
    {"certificatestorelocation", KEY_REFUSED},
    {"certificatethumbprint", KEY_REFUSED},
};

static void plain_key(const char *key, char *out, size_t out_len)
{
    size_t n = 0;

    for (; *key && n + 1 < out_len; key++)
        if (!isspace((unsigned char)*key))
            out[n++] = (char)tolower((unsigned char)*key);
    out[n] = '\0';
}

static enum key_use key_use(const char *key)
{
    char plain[64];

    plain_key(key, plain, sizeof plain);
    for (size_t i = 0; i < sizeof known_keys / sizeof known_keys[0]; i++)
        if (strcmp(plain, known_keys[i].key) == 0)
            return known_keys[i].use;
    return KEY_OPTION;
}

bool database_target_same_key(const char *a, const char *b)
{
    char x[64];
    char y[64];

    plain_key(a, x, sizeof x);
    plain_key(b, y, sizeof y);
    return strcmp(x, y) == 0;
}

const char *database_target_option(const struct database_target *t, const char *key)
{
    for (size_t i = 0; i < t->count; i++)
        if (database_target_same_key(t->keys[i], key))
            return t->values[i];
    return NULL;
}

/* ---- target ---- */

void database_target_release(struct database_target *t)
{
    free(t->host);
    free(t->name);
    free(t->user);
    memory_free_secret(t->password);
    free(t->service);
    for (size_t i = 0; i < t->count; i++) {
        free(t->keys[i]);
        memory_free_secret(t->values[i]); /* "SSL Password" is among them */
    }
    free(t->keys);
    free(t->values);
    *t = (struct database_target)DATABASE_TARGET_INIT;
}

static enum error_kind copy_optional(const char *from, char **out, struct error *err)
{
    return from ? memory_string(from, out, err) : OK;
}

static void drop_option(struct database_target *t, const char *key)
{
    for (size_t i = 0; i < t->count; i++)
        if (database_target_same_key(t->keys[i], key)) {
            free(t->keys[i]);
            memory_free_secret(t->values[i]);
            t->count--;
            memmove(&t->keys[i], &t->keys[i + 1], (t->count - i) * sizeof *t->keys);
            memmove(&t->values[i], &t->values[i + 1], (t->count - i) * sizeof *t->values);
            return;
        }
}

static enum error_kind set_option(struct database_target *t, const char *key, const char *value, struct error *err)
{
    char *key_copy = NULL;
    char *value_copy = NULL;
    void *memory = NULL;
    enum error_kind rc;

    if (!t->keys) {
        rc = memory_zeroed(PAIRS_MAX, sizeof *t->keys, &memory, err);
        if (rc)
            return rc;
        t->keys = memory;
        rc = memory_zeroed(PAIRS_MAX, sizeof *t->values, &memory, err);
        if (rc)
            return rc;
        t->values = memory;
    }
    rc = memory_string(key, &key_copy, err);
    if (rc)
        return rc;
    rc = memory_string(value, &value_copy, err);
    if (rc) {
        free(key_copy);
        return rc;
    }
    drop_option(t, key); /* what is said last stands last: some keys have several names */
    if (t->count >= PAIRS_MAX) {
        free(key_copy);
        memory_free_secret(value_copy);
        return error_set(err, ERR_REFUSED, 0, "the connection string has more than %d options", PAIRS_MAX);
    }
    t->keys[t->count] = key_copy;
    t->values[t->count++] = value_copy;
    return OK;
}

enum error_kind database_target_copy(const struct database_target *from, struct database_target *out, struct error *err)
{
    struct database_target t = DATABASE_TARGET_INIT;
    enum error_kind rc;

    t.engine = from->engine;
    t.port = from->port;
    rc = copy_optional(from->host, &t.host, err);
    if (!rc)
        rc = copy_optional(from->name, &t.name, err);
    if (!rc)
        rc = copy_optional(from->user, &t.user, err);
    if (!rc)
        rc = copy_optional(from->password, &t.password, err);
    if (!rc)
        rc = copy_optional(from->service, &t.service, err);
    for (size_t i = 0; !rc && i < from->count; i++)
        rc = set_option(&t, from->keys[i], from->values[i], err);
    if (rc) {
        database_target_release(&t);
        return rc;
    }
    *out = t;
    return OK;
}

/* ---- splitting ---- */

struct scanner {
    const char *at;
};

static void skip_blanks(struct scanner *s)
{
    while (isspace((unsigned char)*s->at))
        s->at++;
}

static void trim_end(struct buffer *b)
{
    while (b->len && isspace(b->data[b->len - 1]))
        b->data[--b->len] = '\0';
}

/* Up to the '=' that is not doubled. False when there is none. */
static bool scan_key(struct scanner *s, struct buffer *key, enum error_kind *rc, struct error *err)
{
    buffer_clear(key);
    *rc = OK;
    while (*s->at && !*rc) {
        if (*s->at == '=') {
            if (s->at[1] != '=') {
                s->at++;
                trim_end(key);
                return true;
            }
            s->at++;
        } else if (*s->at == ';')
            return false;
        *rc = buffer_append(key, s->at++, 1, err);
    }
    return false;
}

static enum error_kind scan_quoted(struct scanner *s, struct buffer *value, struct error *err)
{
    char quote = *s->at++;
    enum error_kind rc = OK;

    while (!rc) {
        if (!*s->at)
            return error_set(err, ERR_REFUSED, 0, "the connection string has a quote that does not end");
        if (*s->at == quote) {
            if (s->at[1] != quote)
                break;
            s->at++;
        }
        rc = buffer_append(value, s->at++, 1, err);
    }
    if (rc)
        return rc;
    s->at++;
    skip_blanks(s);
    if (*s->at && *s->at != ';')
        return error_set(err, ERR_REFUSED, 0, "the connection string has text after a quoted value");
    return OK;
}

static enum error_kind scan_value(struct scanner *s, struct buffer *value, struct error *err)
{
    enum error_kind rc;

    buffer_clear(value);
    rc = buffer_append(value, "", 0, err);
    skip_blanks(s);
    if (!rc && (*s->at == '\'' || *s->at == '"'))
        return scan_quoted(s, value, err);
    while (!rc && *s->at && *s->at != ';')
        rc = buffer_append(value, s->at++, 1, err);
    trim_end(value);
    return rc;
}

/* ---- meaning ---- */

static enum error_kind replace_text(char **place, const char *text, struct error *err)
{
    char *copy = NULL;
    enum error_kind rc = memory_string(text, &copy, err);

    if (rc)
        return rc;
    memory_free_secret(*place);
    *place = copy;
    return OK;
}

static enum error_kind parse_port(const char *text, int *out, struct error *err)
{
    char *end = NULL;
    long port = strtol(text, &end, 10);

    if (end == text || *end || port < 1 || port > 65535)
        return error_set(err, ERR_REFUSED, 0, "the connection string has a port that is no number from 1 to 65535");
    *out = (int)port;
    return OK;
}

static enum error_kind take_pair(struct database_target *t, const char *key, const char *value, struct error *err)
{
    enum error_kind rc;

    switch (key_use(key)) {
    case KEY_HOST:
        return replace_text(&t->host, value, err);
    case KEY_PORT:
        return *value ? parse_port(value, &t->port, err) : OK;
    case KEY_NAME:
        return replace_text(&t->name, value, err);
    case KEY_USER:
        return replace_text(&t->user, value, err);
    case KEY_PASSWORD:
        return replace_text(&t->password, value, err);
    case KEY_REFUSED:
        rc = error_set(err, ERR_REFUSED, 0, "the connection string has the option \"%s\", which nopsnap can't honour",
                       key);
        error_hint(err, "name a login of its own with database-admin in the config");
        return rc;
    case KEY_OPTION:
        break;
    }
    return set_option(t, key, value, err);
}

/* The host's own spelling of protocol and port: "tcp:db,1433", "db.example:5433". */
static enum error_kind split_host(struct database_target *t, struct error *err)
{
    char separator = t->engine == DATABASE_SQLSERVER ? ',' : ':';
    char *host = t->host;
    char *at = NULL;
    enum error_kind rc;

    if (!host || host[0] == '/')
        return OK;
    if (strncasecmp(host, "tcp:", 4) == 0)
        memmove(host, host + 4, strlen(host + 4) + 1);
    if (t->engine != DATABASE_SQLSERVER && strchr(host, ',')) {
        rc = error_set(err, ERR_REFUSED, 0, "the connection string names several hosts");
        error_hint(err, "name the one to work on with database-admin in the config");
        return rc;
    }
    at = strchr(host, separator);
    if (!at || strchr(at + 1, separator)) /* none, or an IPv6 address */
        return OK;
    rc = parse_port(at + 1, &t->port, err);
    if (!rc)
        *at = '\0';
    return rc;
}

static enum error_kind scan_pairs(const char *text, struct database_target *t, struct error *err)
{
    struct scanner s = {text};
    struct buffer key = BUFFER_INIT(STRING_MAX);
    struct buffer value = BUFFER_INIT(STRING_MAX);
    enum error_kind rc = OK;

    while (!rc) {
        while (*s.at == ';' || isspace((unsigned char)*s.at))
            s.at++;
        if (!*s.at)
            break;
        if (!scan_key(&s, &key, &rc, err) || key.len == 0) {
            if (!rc)
                rc = error_set(err, ERR_REFUSED, 0, "the connection string is not made of key=value pairs");
            break;
        }
        rc = scan_value(&s, &value, err);
        if (!rc)
            rc = take_pair(t, (char *)key.data, (char *)value.data, err);
    }
    buffer_release(&key);
    buffer_release_secret(&value);
    return rc;
}

static enum error_kind parse(enum database_engine engine, const char *text, bool complete, struct database_target *out,
                             struct error *err)
{
    struct database_target t = DATABASE_TARGET_INIT;
    enum error_kind rc;

    t.engine = engine;
    if (strlen(text) >= STRING_MAX) {
        rc = error_set(err, ERR_REFUSED, 0, "the connection string is longer than %d bytes", STRING_MAX);
        goto done;
    }
    rc = scan_pairs(text, &t, err);
    if (!rc)
        rc = split_host(&t, err);
    if (rc)
        goto done;
    if (complete && (!t.host || !*t.host)) {
        rc = error_set(err, ERR_REFUSED, 0, "the connection string names no host");
        goto done;
    }
    if (complete && (!t.name || !*t.name)) {
        rc = error_set(err, ERR_REFUSED, 0, "the connection string names no database");
        goto done;
    }
    *out = t;
    t = (struct database_target)DATABASE_TARGET_INIT;

done:
    if (rc)
        error_hint(err, "check the connection string in the shop's settings");
    database_target_release(&t);
    return rc;
}

enum error_kind database_target_parse(const char *provider, const char *connection_string, struct database_target *out,
                                      struct error *err)
{
    enum database_engine engine = DATABASE_NONE;

    if (strcasecmp(provider, "postgresql") == 0)
        engine = DATABASE_POSTGRESQL;
    else if (strcasecmp(provider, "mysql") == 0)
        engine = DATABASE_MYSQL;
    else if (strcasecmp(provider, "sqlserver") == 0)
        engine = DATABASE_SQLSERVER;
    if (engine == DATABASE_NONE) {
        error_set(err, ERR_REFUSED, 0, "the database provider \"%s\" is not one of postgresql, mysql, sqlserver",
                  provider);
        error_hint(err, "--files-only takes the site without its database");
        return ERR_REFUSED;
    }
    return parse(engine, connection_string, true, out, err);
}

/* ---- the administrative login ---- */

static enum error_kind check_private(const char *path, struct error *err)
{
    struct stat st;
    enum error_kind rc = OK;

    if (stat(path, &st))
        return error_set(err, ERR_NOT_FOUND, 0, "the file %s named by database-admin can't be read", path);
    if (st.st_mode & (S_IROTH | S_IWOTH | S_IWGRP)) {
        rc = error_set(err, ERR_REFUSED, 0, "the file %s holds a password and is open to others (mode %03o)", path,
                       (unsigned)(st.st_mode & 0777));
        error_hint(err, "chmod 600 %s", path);
    }
    return rc;
}

static bool is_option_file(const char *text)
{
    const char *line = text;

    while (line) {
        line += strspn(line, " \t\r\n");
        if (*line == '[')
            return true;
        if (*line != '#' && *line != ';' && *line != '!')
            return false;
        line = strchr(line, '\n');
    }
    return false;
}

static enum error_kind admin_from_file(const struct database_target *shop, const char *path, struct database_target *t,
                                       struct error *err)
{
    struct buffer text = BUFFER_INIT(STRING_MAX);
    enum error_kind rc;

    rc = check_private(path, err);
    if (rc)
        return rc;
    rc = file_read_whole(AT_FDCWD, path, STRING_MAX - 1, &text, err);
    if (!rc)
        rc = buffer_append(&text, "", 1, err);
    if (rc)
        goto done;
    if (shop->engine == DATABASE_MYSQL && is_option_file((char *)text.data)) {
        t->engine = shop->engine;
        rc = memory_string(path, &t->service, err);
        goto done;
    }
    rc = parse(shop->engine, (char *)text.data, false, t, err);
    if (rc)
        error_context(err, "%s", path);

done:
    buffer_release_secret(&text);
    return rc;
}

static bool is_of_the_login(const char *key)
{
    return database_target_same_key(key, "Integrated Security") ||
           database_target_same_key(key, "Trusted_Connection") || database_target_same_key(key, "Authentication");
}

enum error_kind database_target_admin(const struct database_target *shop, const char *spec, struct database_target *out,
                                      struct error *err)
{
    struct database_target t = DATABASE_TARGET_INIT;
    enum error_kind rc;

    if (strncmp(spec, "service:", 8) == 0) {
        t.engine = DATABASE_POSTGRESQL;
        if (shop->engine != DATABASE_POSTGRESQL) {
            rc = error_set(err, ERR_REFUSED, 0, "database-admin names a libpq service, but the shop's database is %s",
                           database_engine_name(shop->engine));
            goto done;
        }
        rc = memory_string(spec + 8, &t.service, err);
    } else
        rc = admin_from_file(shop, spec, &t, err);
    /* A service or an option file may name its own host, which only the client library knows; the engine fills that
     * gap. */
    if (!rc && !t.host && !t.service) {
        rc = copy_optional(shop->host, &t.host, err);
        if (!t.port)
            t.port = shop->port;
    }
    if (!rc && !t.service && t.count == 0)
        for (size_t i = 0; !rc && i < shop->count; i++)
            if (!is_of_the_login(shop->keys[i])) /* how the shop logs in says nothing of how this login does */
                rc = set_option(&t, shop->keys[i], shop->values[i], err);
    if (!rc && !t.name)
        rc = copy_optional(shop->name, &t.name, err);
    if (rc)
        goto done;
    *out = t;
    t = (struct database_target)DATABASE_TARGET_INIT;

done:
    if (rc)
        error_context(err, "database-admin");
    database_target_release(&t);
    return rc;
}

/* ---- for people, and comparing ---- */

enum error_kind database_target_shown(const struct database_target *t, char **out, struct error *err)
{
    const char *engine = database_engine_name(t->engine);
    const char *name = t->name ? t->name : "(no name)";

    if (t->service)
        return memory_format(out, err, "%s %s by %s", engine, name, t->service);
    if (!t->host)
        return memory_format(out, err, "%s %s", engine, name);
    if (t->port)
        return memory_format(out, err, "%s %s on %s:%d", engine, name, t->host, t->port);
    return memory_format(out, err, "%s %s on %s", engine, name, t->host);
}

static int default_port(enum database_engine engine)
{
    return engine == DATABASE_POSTGRESQL ? 5432 : engine == DATABASE_MYSQL ? 3306 : 1433;
}

static bool is_this_host(const char *host)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "::1", ".", "(local)"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcasecmp(host, names[i]) == 0)
            return true;
    return false;
}

/* A socket and a loopback address may be two ways to one server; two sockets of different paths are two servers. */
static bool same_host(const char *a, const char *b)
{
    if (!a || !b)
        return a == b || is_this_host(a ? a : b) || (a ? a : b)[0] == '/';
    if (strcasecmp(a, b) == 0)
        return true;
    if (a[0] == '/' && b[0] == '/')
        return false;
    return (a[0] == '/' || is_this_host(a)) && (b[0] == '/' || is_this_host(b));
}

bool database_target_same(const struct database_target *a, const struct database_target *b)
{
    int a_port = a->port ? a->port : default_port(a->engine);
    int b_port = b->port ? b->port : default_port(b->engine);

    if (a->engine != b->engine || a_port != b_port || !same_host(a->host, b->host) || !a->name || !b->name)
        return false;
    return a->engine == DATABASE_SQLSERVER ? strcasecmp(a->name, b->name) == 0 : strcmp(a->name, b->name) == 0;
}
