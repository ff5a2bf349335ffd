/* Statements with names and texts quoted, and the small questions asked with them. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "mysql_internal.h"

/* ---- building ---- */

static enum error_kind append_name(struct buffer *sql, const char *name, struct error *err)
{
    enum error_kind rc = buffer_append(sql, "`", 1, err);

    for (const char *at = name; !rc && *at; at++) {
        if (*at == '`')
            rc = buffer_append(sql, "`", 1, err);
        if (!rc)
            rc = buffer_append(sql, at, 1, err);
    }
    return rc ? rc : buffer_append(sql, "`", 1, err);
}

/* Our sessions keep the backslash as escape (mysql_client.c), and in UTF-8 no byte of a longer character looks like one of these. */
static enum error_kind append_text(struct buffer *sql, const char *text, struct error *err)
{
    enum error_kind rc;

    if (!text)
        return buffer_append_text(sql, "NULL", err);
    rc = buffer_append(sql, "'", 1, err);
    while (!rc && *text) {
        size_t plain = strcspn(text, "'\\\n\r\x1a");

        rc = buffer_append(sql, text, plain, err);
        text += plain;
        if (!rc && *text) {
            char escaped[2] = {'\\', *text == '\n' ? 'n' : *text == '\r' ? 'r' : *text == '\x1a' ? 'Z' : *text};
            rc = buffer_append(sql, escaped, 2, err);
            text++;
        }
    }
    return rc ? rc : buffer_append(sql, "'", 1, err);
}

static enum error_kind append_argument(struct buffer *sql, char letter, va_list *args, struct error *err)
{
    switch (letter) {
    case 'n':
        return append_name(sql, va_arg(*args, const char *), err);
    case 't':
        return append_text(sql, va_arg(*args, const char *), err);
    case 's':
        return buffer_append_text(sql, va_arg(*args, const char *), err);
    case 'd':
        return buffer_append_format(sql, err, "%d", va_arg(*args, int));
    case 'u':
        return buffer_append_format(sql, err, "%" PRIu64, va_arg(*args, uint64_t));
    default:
        return buffer_append(sql, &letter, 1, err);
    }
}

static enum error_kind build(struct buffer *sql, struct error *err, const char *format, va_list *args)
{
    enum error_kind rc = OK;

    while (!rc && *format) {
        size_t plain = strcspn(format, "%");

        rc = buffer_append(sql, format, plain, err);
        format += plain;
        if (!rc && *format) {
            rc = append_argument(sql, format[1], args, err);
            format += 2;
        }
    }
    return rc;
}

enum error_kind mysql_sql(struct buffer *sql, struct error *err, const char *format, ...)
{
    enum error_kind rc;
    va_list args;

    va_start(args, format);
    rc = build(sql, err, format, &args);
    va_end(args);
    return rc;
}

/* ---- running ---- */

static enum error_kind run(struct database *db, database_row_fn *row, void *arg, struct error *err, const char *format,
                           va_list *args)
{
    struct buffer sql = BUFFER_INIT(MYSQL_SQL_MAX);
    enum error_kind rc = build(&sql, err, format, args);

    if (!rc)
        rc = mysql_client_run(mysql_of(db)->client, sql.data, sql.len, row, arg, err);
    buffer_release(&sql);
    return rc;
}

enum error_kind mysql_run(struct database *db, struct error *err, const char *format, ...)
{
    enum error_kind rc;
    va_list args;

    va_start(args, format);
    rc = run(db, NULL, NULL, err, format, &args);
    va_end(args);
    return rc;
}

enum error_kind mysql_run_unless(struct database *db, unsigned number, struct error *err, const char *format, ...)
{
    enum error_kind rc;
    va_list args;

    va_start(args, format);
    rc = run(db, NULL, NULL, err, format, &args);
    va_end(args);
    if (rc && mysql_client_errno(mysql_of(db)->client) == number) {
        error_clear(err);
        rc = OK;
    }
    return rc;
}

enum error_kind mysql_rows(struct database *db, database_row_fn *row, void *arg, struct error *err, const char *format,
                           ...)
{
    enum error_kind rc;
    va_list args;

    va_start(args, format);
    rc = run(db, row, arg, err, format, &args);
    va_end(args);
    return rc;
}

static enum error_kind keep_first(void *arg, const struct database_row *row, struct error *err)
{
    char **out = arg;

    if (*out || row->columns < 1 || !row->values[0])
        return OK;
    return memory_string(row->values[0], out, err);
}

enum error_kind mysql_text(struct database *db, char **out, struct error *err, const char *format, ...)
{
    char *text = NULL;
    enum error_kind rc;
    va_list args;

    va_start(args, format);
    rc = run(db, keep_first, &text, err, format, &args);
    va_end(args);
    if (rc) {
        free(text);
        return rc;
    }
    *out = text;
    return OK;
}

enum error_kind mysql_number(struct database *db, int64_t fallback, int64_t *out, struct error *err, const char *format,
                             ...)
{
    char *text = NULL;
    enum error_kind rc;
    va_list args;

    va_start(args, format);
    rc = run(db, keep_first, &text, err, format, &args);
    va_end(args);
    if (!rc)
        *out = text ? strtoll(text, NULL, 10) : fallback;
    free(text);
    return rc;
}

static enum error_kind keep_each(void *arg, const struct database_row *row, struct error *err)
{
    return row->columns > 0 && row->values[0] ? text_list_add(arg, row->values[0], err) : OK;
}

enum error_kind mysql_list(struct database *db, struct text_list *out, struct error *err, const char *format, ...)
{
    enum error_kind rc;
    va_list args;

    va_start(args, format);
    rc = run(db, keep_each, out, err, format, &args);
    va_end(args);
    return rc;
}

/* ---- small questions ---- */

enum error_kind mysql_schema_exists(struct database *db, const char *schema, bool *out, struct error *err)
{
    int64_t count = 0;
    enum error_kind rc = mysql_number(
        db, 0, &count, err, "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %t", schema);

    if (!rc)
        *out = count > 0;
    return rc;
}

/* A server that crashed within a statement may leave a file of its own in the folder, and then can't take that away. */
enum error_kind mysql_schema_drop(struct database *db, const char *schema, struct error *err)
{
    bool empty = false;
    enum error_kind rc = mysql_run(db, err, "DROP DATABASE IF EXISTS %n", schema);
    struct error second = ERROR_INIT;

    if (!rc || mysql_client_errno(mysql_of(db)->client) != MYSQL_E_DB_DROP_RMDIR)
        return rc;
    if (mysql_schema_is_empty(db, schema, &empty, &second) || !empty)
        return rc;
    error_clear(err);
    return OK;
}

enum error_kind mysql_tables(struct database *db, const char *schema, bool with_sequences, struct text_list *out,
                             struct error *err)
{
    return mysql_list(db, out, err,
                      "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %t AND TABLE_NAME <> %t "
                      "AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED'%s) ORDER BY TABLE_NAME",
                      schema, MYSQL_MARKER, with_sequences ? ", 'SEQUENCE'" : "");
}
