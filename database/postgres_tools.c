/*
 * The client tools. Debian keeps one set per major version under /usr/lib/postgresql; a tool must not be older than the
 * server (pg_dump refuses) and should not be newer than need be (a newer pg_restore may say things that the server does
 * not know), so that the oldest one that suffices is taken.
 */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "postgres_internal.h"

static const char versions_folder[] = "/usr/lib/postgresql";

/* ---- finding a tool ---- */

static enum error_kind tool_version(const char *path, char **out, int *major, struct error *err)
{
    const char *argv[] = {path, "--version", NULL};
    struct process_spec spec = {.argv = argv};
    struct buffer text = BUFFER_INIT(4096);
    const char *at = NULL;
    enum error_kind rc;

    rc = process_run(&spec, &text, NULL, err);
    if (rc)
        goto done;
    /* "pg_dump (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)" */
    at = text.data ? strstr((char *)text.data, ") ") : NULL;
    if (!at) {
        rc = error_set(err, ERR_REMOTE, 0, "%s does not tell its version", path);
        goto done;
    }
    at += 2;
    *major = atoi(at);
    rc = memory_format(out, err, "%.*s", (int)strcspn(at, " \n"), at);

done:
    buffer_release(&text);
    return rc;
}

/* The lowest major version under the versions folder that is at least `major` and has the program; 0 if none. */
static int installed_major(const char *program, int major)
{
    DIR *folder = opendir(versions_folder);
    struct dirent *entry = NULL;
    int best = 0;

    while (folder && (entry = readdir(folder))) {
        int found = atoi(entry->d_name);
        char path[PATH_MAX];

        if (found < major || (best && found >= best))
            continue;
        snprintf(path, sizeof path, "%s/%d/bin/%s", versions_folder, found, program);
        if (process_exists(path))
            best = found;
    }
    if (folder)
        closedir(folder);
    return best;
}

enum error_kind postgres_tool(const char *program, int major, char **path, char **version, struct error *err)
{
    char *found = NULL;
    char *found_version = NULL;
    int best = installed_major(program, major);
    int found_major = 0;
    enum error_kind rc;

    if (best)
        rc = memory_format(&found, err, "%s/%d/bin/%s", versions_folder, best, program);
    else if (process_exists(program))
        rc = memory_string(program, &found, err);
    else {
        rc = error_set(err, ERR_NOT_FOUND, 0, "the program %s is not installed", program);
        error_hint(err, "apt-get install postgresql-client-%d (or newer)", major);
    }
    if (rc)
        goto done;
    rc = tool_version(found, &found_version, &found_major, err);
    if (rc)
        goto done;
    if (found_major < major) {
        rc = error_set(err, ERR_NOT_FOUND, 0, "%s %s is older than the server (PostgreSQL %d)", program, found_version,
                       major);
        error_hint(err, "apt-get install postgresql-client-%d (from apt.postgresql.org where Debian does not have it)",
                   major);
        goto done;
    }
    *path = found;
    found = NULL;
    if (version) {
        *version = found_version;
        found_version = NULL;
    }

done:
    free(found);
    free(found_version);
    return rc;
}

/* The first line that speaks of an error; the lines after it only say in which query. */
static const char *telling_line(const char *said)
{
    static const char *const words[] = {"ERROR:", "FATAL:", "error:"};
    const char *found = NULL;

    for (size_t i = 0; !found && i < sizeof words / sizeof words[0]; i++)
        found = strstr(said, words[i]);
    return found ? found : said;
}

enum error_kind postgres_tool_wait(struct process *p, const char *program, struct error *err)
{
    struct buffer said = BUFFER_INIT(64 * 1024);
    int status = 0;
    enum error_kind rc;

    rc = process_wait(p, &status, &said, err);
    if (!rc && status) {
        const char *line = said.data ? telling_line((char *)said.data) : "";

        rc = error_set(err, strstr(line, "No space left") ? ERR_SPACE : ERR_REMOTE, 0, "%s failed (status %d): %.*s",
                       program, status, (int)strcspn(line, "\n"), line);
        if (strstr(line, "permission denied") || strstr(line, "must be owner") || strstr(line, "must be superuser"))
            error_hint(err, "name a login that has the right with database-admin in the config");
    }
    buffer_release(&said);
    return rc;
}

/* ---- the environment of a child ---- */

static enum error_kind put(struct postgres_environment *e, const char *name, const char *value, struct error *err)
{
    return value && *value ? text_list_addf(&e->pairs, err, "%s=%s", name, value) : OK;
}

/* "*:*:*:*:password", with ':' and '\' escaped. */
static enum error_kind make_password_file(const char *password, struct secret_file *out, struct error *err)
{
    struct buffer line = BUFFER_INIT(16 * 1024);
    enum error_kind rc = buffer_append_text(&line, "*:*:*:*:", err);

    for (const char *p = password; !rc && *p; p++) {
        if (*p == ':' || *p == '\\')
            rc = buffer_append(&line, "\\", 1, err);
        if (!rc)
            rc = buffer_append(&line, p, 1, err);
    }
    if (!rc)
        rc = buffer_append(&line, "\n", 1, err);
    if (!rc)
        rc = secret_file_make(out, line.data, line.len, err);
    buffer_release_secret(&line);
    return rc;
}

static const char *const option_variables[][2] = {
    {"Root Certificate", "PGSSLROOTCERT"},     {"SSL Certificate", "PGSSLCERT"},        {"SSL Key", "PGSSLKEY"},
    {"Kerberos Service Name", "PGKRBSRVNAME"}, {"Channel Binding", "PGCHANNELBINDING"}, {"Passfile", "PGPASSFILE"},
};

static enum error_kind put_options(struct postgres_environment *e, const struct database_target *login,
                                   struct error *err)
{
    const char *mode = database_target_option(login, "SSL Mode");
    enum error_kind rc = OK;

    if (mode) {
        char lower[32];
        size_t n = 0;

        for (; mode[n] && n + 1 < sizeof lower; n++)
            lower[n] = (char)(mode[n] >= 'A' && mode[n] <= 'Z' ? mode[n] + 32 : mode[n]);
        lower[n] = '\0';
        rc = put(e, "PGSSLMODE",
                 strcmp(lower, "verifyfull") == 0 ? "verify-full"
                 : strcmp(lower, "verifyca") == 0 ? "verify-ca"
                                                  : lower,
                 err);
    }
    for (size_t i = 0; !rc && i < sizeof option_variables / sizeof option_variables[0]; i++)
        rc = put(e, option_variables[i][1], database_target_option(login, option_variables[i][0]), err);
    return rc;
}

enum error_kind postgres_environment_make(struct database *db, struct postgres *pg, struct postgres_environment *out,
                                          struct error *err)
{
    struct postgres_environment e = POSTGRES_ENVIRONMENT_INIT;
    const struct database_target *login = database_login(db);
    char application[APPLICATION_MAX];
    char *host = NULL;
    char *port = NULL;
    char *user = NULL;
    void *memory = NULL;
    enum error_kind rc;

    postgres_application(db->target, application);
    /* Where our own connection led, so that the child ends up on the same server. */
    rc = postgres_resolved(pg, &host, &port, &user, err);
    if (!rc)
        rc = put(&e, "PGHOST", host, err);
    if (!rc)
        rc = put(&e, "PGPORT", port, err);
    if (!rc)
        rc = put(&e, "PGUSER", user, err);
    if (!rc)
        rc = put(&e, "PGAPPNAME", application, err);
    if (!rc)
        rc = put(&e, "PGCLIENTENCODING", "UTF8", err);
    if (!rc)
        rc = put(&e, "LC_ALL", "C.UTF-8", err);
    if (!rc)
        rc = put(&e, "PGSERVICE", login->service, err);
    if (!rc)
        rc = put_options(&e, login, err);
    if (!rc && login->password) {
        rc = make_password_file(login->password, &e.password, err);
        if (!rc)
            rc = put(&e, "PGPASSFILE", e.password.path, err);
    }
    if (!rc)
        rc = memory_zeroed(e.pairs.count + 1, sizeof *e.list, &memory, err);
    if (rc)
        goto done;
    e.list = memory;
    for (size_t i = 0; i < e.pairs.count; i++)
        e.list[i] = e.pairs.items[i];
    *out = e;
    e = (struct postgres_environment)POSTGRES_ENVIRONMENT_INIT;

done:
    free(host);
    free(port);
    free(user);
    postgres_environment_release(&e);
    return rc;
}

enum error_kind postgres_conninfo_name(const char *name, char **out, struct error *err)
{
    struct buffer text = BUFFER_INIT(1024);
    enum error_kind rc = buffer_append_text(&text, "dbname='", err);

    for (const char *p = name; !rc && *p; p++) {
        if (*p == '\'' || *p == '\\')
            rc = buffer_append(&text, "\\", 1, err);
        if (!rc)
            rc = buffer_append(&text, p, 1, err);
    }
    if (!rc)
        rc = buffer_append(&text, "'", 1, err);
    if (!rc)
        *out = buffer_detach(&text);
    buffer_release(&text);
    return rc;
}

void postgres_environment_release(struct postgres_environment *e)
{
    text_list_release(&e->pairs);
    free(e->list);
    e->list = NULL;
    secret_file_release(&e->password);
}
