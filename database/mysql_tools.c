/* The client programs: which of them is here, how old it is, and the option file that tells it where to go (P10). */
#include <stdlib.h>
#include <string.h>

#include "mysql_internal.h"
#include "process.h"

enum { VERSION_MAX = 1024, OPTIONS_MAX = 64 * 1024 };

unsigned mysql_version_number(const char *text)
{
    unsigned parts[3] = {0, 0, 0};
    char *end = NULL;

    for (size_t i = 0; i < 3; i++) {
        unsigned long n = strtoul(text, &end, 10);

        if (end == text || n > 999)
            break;
        parts[i] = n > 99 ? 99 : (unsigned)n;
        text = end + (*end == '.');
        if (*end != '.')
            break;
    }
    return parts[0] * 10000 + parts[1] * 100 + parts[2];
}

/*
 * "mariadb-dump  Ver 10.19 Distrib 10.11.14-MariaDB, for ...", "mariadb-dump from 11.4.2-MariaDB, client 10.19",
 * "mysqldump  Ver 10.13 Distrib 5.7.44, for ...", "mysqldump  Ver 8.0.38 for Linux": the server's release it came with.
 */
static const char *version_in(const char *line)
{
    static const char *const before[] = {" from ", " Distrib ", " Ver "};

    for (size_t i = 0; i < sizeof before / sizeof before[0]; i++) {
        const char *at = strstr(line, before[i]);
        if (at)
            return at + strlen(before[i]);
    }
    return "";
}

static enum error_kind ask_version(const char *program, struct mysql_tool *out, struct error *err)
{
    const char *const argv[] = {program, "--no-defaults", "--version", NULL};
    struct process_spec spec = {0};
    struct buffer text = BUFFER_INIT(VERSION_MAX);
    const char *version = NULL;
    enum error_kind rc;

    spec.argv = argv;
    spec.pipe_stdout = true;
    rc = process_run(&spec, &text, NULL, err);
    if (!rc)
        rc = buffer_append(&text, "", 1, err);
    if (rc)
        goto done;
    text.data[strcspn((char *)text.data, "\n")] = '\0';
    version = version_in((char *)text.data);
    out->program = program;
    out->version = mysql_version_number(version);
    out->mariadb = strstr((char *)text.data, "MariaDB") != NULL;
    if (!out->version)
        rc = error_set(err, ERR_REMOTE, 0, "%s does not tell its version", program);
    else
        rc = memory_format(&out->version_text, err, "%s %.*s", program, (int)strcspn(version, " ,"), version);

done:
    buffer_release(&text);
    return rc;
}

static enum error_kind find(const char *const programs[2], struct mysql_tool *out, struct error *err)
{
    for (size_t i = 0; i < 2; i++)
        if (process_exists(programs[i]))
            return ask_version(programs[i], out, err);
    error_set(err, ERR_NOT_FOUND, 0, "neither %s nor %s is installed", programs[0], programs[1]);
    error_hint(err, "apt install mariadb-client");
    return ERR_NOT_FOUND;
}

enum error_kind mysql_tool_find_dump(struct mysql_tool *out, struct error *err)
{
    static const char *const programs[2] = {"mariadb-dump", "mysqldump"};

    return find(programs, out, err);
}

enum error_kind mysql_tool_find_client(struct mysql_tool *out, struct error *err)
{
    static const char *const programs[2] = {"mariadb", "mysql"};

    return find(programs, out, err);
}

void mysql_tool_release(struct mysql_tool *t)
{
    free(t->version_text);
    *t = (struct mysql_tool)MYSQL_TOOL_INIT;
}

/* ---- the option file ---- */

/* A value in double quotes, as the option file's reader takes it apart again. */
static enum error_kind put_option(struct buffer *b, const char *key, const char *value, struct error *err)
{
    enum error_kind rc;

    if (!value)
        return OK;
    rc = buffer_append_format(b, err, "%s=\"", key);
    for (; !rc && *value; value++) {
        const char *escaped = *value == '"'    ? "\\\""
                              : *value == '\\' ? "\\\\"
                              : *value == '\n' ? "\\n"
                              : *value == '\r' ? "\\r"
                                               : NULL;

        rc = escaped ? buffer_append_text(b, escaped, err) : buffer_append(b, value, 1, err);
    }
    return rc ? rc : buffer_append_text(b, "\"\n", err);
}

static enum error_kind put_place(struct buffer *b, const struct database_target *place, struct error *err)
{
    enum error_kind rc;

    if (place->host && place->host[0] == '/')
        return put_option(b, "socket", place->host, err);
    rc = put_option(b, "host", place->host, err);
    if (!rc && place->port)
        rc = buffer_append_format(b, err, "port=%d\n", place->port);
    if (!rc && place->host)
        rc = buffer_append_text(b, "protocol=tcp\n", err);
    return rc;
}

/* The tool does as the control connection did: with TLS if that has it. */
static enum error_kind put_tls(struct buffer *b, const struct mysql_tool *t, const struct database_target *login,
                               bool encrypted, struct error *err)
{
    bool verified = encrypted && mysql_tls_wanted(login) == MYSQL_TLS_VERIFIED;
    const char *line = NULL;
    enum error_kind rc;

    if (t->mariadb)
        line = verified    ? "ssl\nssl-verify-server-cert\n"
               : encrypted ? "ssl\nskip-ssl-verify-server-cert\n"
                           : "skip-ssl\n";
    else
        line = verified ? "ssl-mode=VERIFY_CA\n" : encrypted ? "ssl-mode=REQUIRED\n" : "ssl-mode=DISABLED\n";
    rc = buffer_append_text(b, line, err);
    if (!rc && encrypted)
        rc = put_option(b, "ssl-ca", mysql_tls_file(login, "ca"), err);
    if (!rc && encrypted)
        rc = put_option(b, "ssl-cert", mysql_tls_file(login, "cert"), err);
    if (!rc && encrypted)
        rc = put_option(b, "ssl-key", mysql_tls_file(login, "key"), err);
    return rc;
}

static enum error_kind put_service(struct buffer *b, struct database *db, const struct database_target *login,
                                   struct error *err)
{
    bool has_host = false;
    enum error_kind rc = mysql_option_file_has_host(login->service, &has_host, err);

    if (!rc && !has_host && db->target != login)
        rc = put_place(b, db->target, err);
    /* Last, so that what the administrator wrote there wins. */
    return rc ? rc : buffer_append_format(b, err, "!include %s\n", login->service);
}

enum error_kind mysql_tool_options(struct database *db, const struct mysql_tool *t, struct secret_file *out,
                                   struct error *err)
{
    const struct database_target *login = database_login(db);
    struct buffer b = BUFFER_INIT(OPTIONS_MAX);
    enum error_kind rc;

    rc = buffer_append_text(&b, "[client]\n", err);
    if (!rc && login->service)
        rc = put_service(&b, db, login, err);
    else if (!rc) {
        rc = put_place(&b, login, err);
        if (!rc)
            rc = put_option(&b, "user", login->user, err);
        if (!rc)
            rc = put_option(&b, "password", login->password, err);
        if (!rc)
            rc = put_tls(&b, t, login, mysql_client_encrypted(mysql_of(db)->client), err);
    }
    if (!rc)
        rc = secret_file_make(out, b.data, b.len, err);
    buffer_release_secret(&b);
    return rc;
}
