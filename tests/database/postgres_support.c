#include "postgres_support.h"

#include <sys/wait.h>

#include "thread.h"

char *pg_folder;

static const char *source_folder(void)
{
    const char *folder = getenv("NOPSNAP_SOURCE_DIR");

    return folder ? folder : ".";
}

/* The output of a command, or NULL when it failed. */
static char *output_of(const char *command)
{
    FILE *f = popen(command, "r");
    char *text = NULL;
    size_t len = 0;
    int c;
    FILE *to = open_memstream(&text, &len);

    assert_non_null(f);
    assert_non_null(to);
    while ((c = fgetc(f)) != EOF)
        fputc(c, to);
    fclose(to);
    if (pclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

int pg_server_start(void **state)
{
    struct error err = ERROR_INIT;
    char command[1024];

    (void)state;
    if (cancel_install(&err))
        return 1;
    pg_folder = test_server_folder_make();
    snprintf(command, sizeof command, "chmod 755 %s; %s/tests/fixture/postgres.sh start %s >/dev/null", pg_folder,
             source_folder(), pg_folder);
    if (system(command) != 0)
        return 1;
    setenv("PGHOST", pg_folder, 1);
    return 0;
}

int pg_server_stop(void **state)
{
    char command[1024];

    (void)state;
    snprintf(command, sizeof command, "%s/tests/fixture/postgres.sh kill %s", source_folder(), pg_folder);
    if (system(command) != 0)
        return 1;
    test_folder_remove(pg_folder);
    return 0;
}

static char *psql(const char *user, const char *database, const char *sql)
{
    char path[256];
    char command[1024];
    char *text = NULL;
    FILE *f = NULL;

    snprintf(path, sizeof path, "%s/statement.sql", pg_folder);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(sql, f);
    fclose(f);
    snprintf(command, sizeof command, "psql -X -q -A -t -v ON_ERROR_STOP=1 -h %s -U %s -d '%s' -f %s", pg_folder, user,
             database, path);
    text = output_of(command);
    if (!text)
        fail_msg("psql failed in %s: %s", database, sql);
    return text;
}

static char *format_sql(const char *format, va_list args)
{
    char *sql = NULL;

    assert_true(vasprintf(&sql, format, args) >= 0);
    return sql;
}

void pg_sql(const char *database, const char *format, ...)
{
    va_list args;
    char *sql = NULL;

    va_start(args, format);
    sql = format_sql(format, args);
    va_end(args);
    free(psql("nop", database, sql));
    free(sql);
}

char *pg_value(const char *database, const char *format, ...)
{
    va_list args;
    char *sql = NULL;
    char *text = NULL;

    va_start(args, format);
    sql = format_sql(format, args);
    va_end(args);
    text = psql("nop", database, sql);
    free(sql);
    text[strcspn(text, "\n")] = '\0';
    return text;
}

int64_t pg_number(const char *database, const char *format, ...)
{
    va_list args;
    char *sql = NULL;
    char *text = NULL;
    int64_t n;

    va_start(args, format);
    sql = format_sql(format, args);
    va_end(args);
    text = psql("nop", database, sql);
    n = strtoll(text, NULL, 10);
    free(text);
    free(sql);
    return n;
}

int pg_shell(const char *password, const char *command)
{
    int status;

    assert_int_equal(setenv("PGPASSWORD", password, 1), 0);
    status = system(command);
    assert_int_equal(unsetenv("PGPASSWORD"), 0);
    return status;
}

int pg_can_login(const char *role, const char *database)
{
    char command[1024];
    char password[100];

    snprintf(password, sizeof password, "secret of %s", role);
    snprintf(command, sizeof command, "psql -X -q -h %s -U %s -d '%s' -c 'SELECT 1' >/dev/null 2>&1", pg_folder, role,
             database);
    return pg_shell(password, command) == 0;
}

char *pg_text(const char *database)
{
    char command[1024];
    char *text = NULL;

    /* the two random lines of newer tools aside */
    snprintf(command, sizeof command,
             "pg_dump -h %s -U nop -d '%s' -f %s/text && grep -v -E '^.(un)?restrict ' %s/text", pg_folder, database,
             pg_folder, pg_folder);
    text = output_of(command);
    assert_non_null(text);
    return text;
}

#define SHOP_TEMPLATE "shop_template"

static void drop_databases(const char *but)
{
    pg_sql("postgres",
           "SELECT format('ALTER DATABASE %%I ALLOW_CONNECTIONS true', datname) FROM pg_database "
           "WHERE datname NOT IN ('postgres', 'template0', 'template1', '%s') \\gexec\n"
           "SELECT format('DROP DATABASE %%I WITH (FORCE)', datname) FROM pg_database "
           "WHERE datname NOT IN ('postgres', 'template0', 'template1', '%s') \\gexec\n",
           but, but);
}

/* Roles and database from nothing, by the fixture and the objects; then kept aside, because copying is faster. */
static void make_from_nothing(void)
{
    char command[2048];

    drop_databases("");
    pg_sql("postgres", "SET client_min_messages = warning; DROP ROLE IF EXISTS shop; DROP ROLE IF EXISTS reader; "
                       "DROP ROLE IF EXISTS poor; DROP ROLE IF EXISTS other;\n"
                       "CREATE ROLE reader LOGIN PASSWORD 'secret of reader'; CREATE ROLE other LOGIN PASSWORD "
                       "'secret of other'; CREATE ROLE poor LOGIN PASSWORD 'secret of poor';");
    snprintf(
        command, sizeof command,
        "%s/tests/fixture/postgres.sh shop %s shop >/dev/null && psql -X -q -v ON_ERROR_STOP=1 -h %s -U shop -d shop -f %s/tests/database/objects_postgres.sql "
        ">/dev/null",
        source_folder(), pg_folder, pg_folder, source_folder());
    if (pg_shell(SHOP_PASSWORD, command) != 0)
        fail_msg("the shop could not be made");
    pg_sql("postgres", "CREATE DATABASE " SHOP_TEMPLATE " TEMPLATE shop");
}

void pg_shop_make(void)
{
    if (!pg_number("postgres", "SELECT count(*) FROM pg_database WHERE datname = '" SHOP_TEMPLATE "'")) {
        make_from_nothing();
        return;
    }
    drop_databases(SHOP_TEMPLATE);
    pg_sql(
        "postgres",
        "SET client_min_messages = error; ALTER ROLE shop CREATEDB; ALTER ROLE poor NOBYPASSRLS; REVOKE pg_read_all_data FROM poor");
    pg_sql("postgres", "CREATE DATABASE shop OWNER shop TEMPLATE " SHOP_TEMPLATE);
}

void pg_template_drop(void)
{
    pg_sql("postgres", "DROP DATABASE " SHOP_TEMPLATE);
}

void pg_target(const char *user, const char *database, struct database_target *out)
{
    struct error err = ERROR_INIT;
    char text[512];

    if (user)
        snprintf(text, sizeof text, "Host=%s;Database=%s;Username=%s;Password=secret of %s", pg_folder, database, user,
                 user);
    else
        snprintf(text, sizeof text, "Host=%s;Database=%s;Username=nop", pg_folder, database);
    assert_ok(database_target_parse("PostgreSQL", text, out, &err));
}

static enum error_kind collect(void *arg, const void *bytes, size_t len, struct error *err)
{
    struct pg_dumped *d = arg;

    return buffer_append(&d->bytes, bytes, len, err);
}

void pg_dump_it(struct database *db, struct pg_dumped *out)
{
    struct error err = ERROR_INIT;
    struct database_dump *dump = NULL;

    assert_ok(database_dump_begin(db, &dump, &err));
    assert_ok(database_dump_run(dump, collect, out, &err));
    assert_ok(database_dump_end(dump, &out->facts, &err));
}

enum error_kind pg_source(void *arg, const void **bytes, size_t *len, struct error *err)
{
    struct pg_dumped *d = arg;
    size_t left = d->bytes.len - d->at;

    if (d->fail_after && d->at >= d->fail_after)
        return error_set(err, ERR_CORRUPT, 0, "the dump is damaged here");
    *len = left < 10000 ? left : 10000;
    *bytes = d->bytes.data + d->at;
    d->at += *len;
    return OK;
}

void pg_dumped_release(struct pg_dumped *d)
{
    buffer_release(&d->bytes);
    database_facts_release(&d->facts);
}
