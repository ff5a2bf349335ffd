#include "mysql_support.h"

#include <sys/wait.h>

#include "thread.h"

char *my_folder;
char my_socket[128];

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

int my_server_start(void **state)
{
    struct error err = ERROR_INIT;
    char command[1024];

    (void)state;
    if (cancel_install(&err))
        return 1;
    my_folder = test_server_folder_make();
    snprintf(my_socket, sizeof my_socket, "%s/s", my_folder);
    snprintf(command, sizeof command, "chmod 755 %s; %s/tests/fixture/mariadb.sh start %s >/dev/null", my_folder,
             source_folder(), my_folder);
    return system(command) != 0;
}

int my_server_stop(void **state)
{
    char command[1024];

    (void)state;
    snprintf(command, sizeof command, "%s/tests/fixture/mariadb.sh stop %s", source_folder(), my_folder);
    if (system(command) != 0)
        return 1;
    test_folder_remove(my_folder);
    return 0;
}

static char *client(const char *database, const char *sql)
{
    char path[256];
    char command[1024];
    char *text = NULL;
    FILE *f = NULL;

    snprintf(path, sizeof path, "%s/statement.sql", my_folder);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(sql, f);
    fclose(f);
    snprintf(command, sizeof command,
             "mariadb --no-defaults --default-character-set=utf8mb4 -N -B -u root -S %s %s < %s", my_socket, database,
             path);
    text = output_of(command);
    if (!text)
        fail_msg("the client failed in %s: %s", database, sql);
    return text;
}

static char *format_sql(const char *format, va_list args)
{
    char *sql = NULL;

    assert_true(vasprintf(&sql, format, args) >= 0);
    return sql;
}

void my_sql(const char *database, const char *format, ...)
{
    va_list args;
    char *sql = NULL;

    va_start(args, format);
    sql = format_sql(format, args);
    va_end(args);
    free(client(database, sql));
    free(sql);
}

char *my_value(const char *database, const char *format, ...)
{
    va_list args;
    char *sql = NULL;
    char *text = NULL;

    va_start(args, format);
    sql = format_sql(format, args);
    va_end(args);
    text = client(database, sql);
    free(sql);
    while (*text && text[strlen(text) - 1] == '\n')
        text[strlen(text) - 1] = '\0';
    return text;
}

int64_t my_number(const char *database, const char *format, ...)
{
    va_list args;
    char *sql = NULL;
    char *text = NULL;
    int64_t n;

    va_start(args, format);
    sql = format_sql(format, args);
    va_end(args);
    text = client(database, sql);
    n = strtoll(text, NULL, 10);
    free(sql);
    free(text);
    return n;
}

/* By the vendor's tool with plain options of its own, so that a fault of ours does not hide itself. */
char *my_text(const char *database)
{
    char command[1024];
    char *text = NULL;

    snprintf(
        command, sizeof command,
        "mariadb-dump --no-defaults -u root -S %s --routines --events --triggers --hex-blob --order-by-primary --skip-comments "
        "--skip-dump-date --default-character-set=utf8mb4 --ignore-table=%s.nopsnap_marker %s | sed 's/^ALTER DATABASE `[^`]*`/ALTER DATABASE/'",
        my_socket, database, database);
    text = output_of(command);
    assert_non_null(text);
    return text;
}

void my_assert_same_text(const char *what, const char *found, const char *expected)
{
    const char *a = found;
    const char *b = expected;

    if (strcmp(found, expected) == 0)
        return;
    for (size_t i = 0; found[i] == expected[i]; i++)
        if (found[i] == '\n') {
            a = found + i + 1;
            b = expected + i + 1;
        }
    fail_msg("%s: found \"%.*s\", expected \"%.*s\"", what, (int)strcspn(a, "\n"), a, (int)strcspn(b, "\n"), b);
}

int my_exists(const char *database)
{
    return my_number("", "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '%s'", database) != 0;
}

static void load_file(const char *name)
{
    char command[1024];

    snprintf(command, sizeof command, "mariadb --no-defaults --binary-mode -u root -S %s shop < %s/tests/%s >/dev/null",
             my_socket, source_folder(), name);
    assert_int_equal(system(command), 0);
}

static void drop_all(void)
{
    char *names = my_value("", "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME NOT IN "
                               "('mysql', 'sys', 'information_schema', 'performance_schema')");
    char *rest = NULL;

    for (char *name = strtok_r(names, "\n", &rest); name; name = strtok_r(NULL, "\n", &rest))
        my_sql("", "SET foreign_key_checks = 0; DROP DATABASE `%s`", name);
    free(names);
}

int my_plain_shop_make(void **state)
{
    (void)state;
    drop_all();
    my_sql("", "CREATE DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci");
    load_file("fixture/shop_mysql.sql");
    return 0;
}

int my_shop_make(void **state)
{
    my_plain_shop_make(state);
    load_file("database/objects_mysql.sql");
    return 0;
}

void my_account(const char *grants)
{
    char *list = strdup(grants);
    char *rest = NULL;

    assert_non_null(list);
    my_sql("",
           "DROP USER IF EXISTS shop@localhost; CREATE USER shop@localhost IDENTIFIED BY 'se;cret \\'of\\\" shop\\\\'");
    for (char *grant = strtok_r(list, ";", &rest); grant; grant = strtok_r(NULL, ";", &rest))
        my_sql("", "GRANT %s TO shop@localhost", grant);
    free(list);
}

void my_target(const char *user, const char *database, struct database_target *out)
{
    struct error err = ERROR_INIT;
    char text[512];

    if (user)
        snprintf(text, sizeof text, "Server=%s;Database=%s;Uid=%s;Pwd=\"se;cret 'of\"\" shop\\\"", my_socket, database,
                 user);
    else
        snprintf(text, sizeof text, "Server=%s;Database=%s;Uid=root", my_socket, database);
    assert_ok(database_target_parse("mysql", text, out, &err));
}

enum error_kind my_sink(void *arg, const void *bytes, size_t len, struct error *err)
{
    struct my_dumped *d = arg;

    return buffer_append(&d->bytes, bytes, len, err);
}

enum error_kind my_source(void *arg, const void **bytes, size_t *len, struct error *err)
{
    struct my_dumped *d = arg;
    size_t left = d->bytes.len - d->at;

    if (d->fail_after && d->at >= d->fail_after)
        return error_set(err, ERR_CORRUPT, 0, "the dump is damaged");
    *len = left < 1000 ? left : 1000 + d->at % 7000; /* pieces of all lengths */
    if (*len > left)
        *len = left;
    *bytes = d->bytes.data + d->at;
    d->at += *len;
    return OK;
}

void my_dump_it(struct database *db, struct my_dumped *out)
{
    struct error err = ERROR_INIT;
    struct database_dump *dump = NULL;

    assert_ok(database_dump_begin(db, &dump, &err));
    assert_ok(database_dump_run(dump, my_sink, out, &err));
    assert_ok(database_dump_end(dump, &out->facts, &err));
}

void my_dumped_release(struct my_dumped *d)
{
    buffer_release(&d->bytes);
    database_facts_release(&d->facts);
    d->at = 0;
}
