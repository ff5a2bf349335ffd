/* T-SQL put together with quoted names and texts, and kept as the statements of a dump. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "sqlserver_schema_internal.h"

void sqlserver_script_release(struct sqlserver_script *s)
{
    for (size_t i = 0; i < s->count; i++) {
        free((char *)(uintptr_t)s->items[i].name);
        free((char *)(uintptr_t)s->items[i].sql);
    }
    free(s->items);
    *s = (struct sqlserver_script)SQLSERVER_SCRIPT_INIT;
}

/* Every `end` within is doubled. */
static enum error_kind append_quoted(struct buffer *sql, const char *open, const char *text, char end,
                                     struct error *err)
{
    enum error_kind rc = buffer_append_text(sql, open, err);

    for (const char *p = text; !rc && *p;) {
        const char *stop = strchr(p, end);
        size_t len = stop ? (size_t)(stop - p) + 1 : strlen(p);

        rc = buffer_append(sql, p, len, err);
        if (!rc && stop)
            rc = buffer_append(sql, &end, 1, err);
        p += len;
    }
    return rc ? rc : buffer_append(sql, &end, 1, err);
}

static bool is_ascii(const char *text)
{
    while (*text && !((unsigned char)*text & 0x80))
        text++;
    return !*text;
}

static enum error_kind append_argument(struct buffer *sql, char kind, va_list *args, struct error *err)
{
    const char *text;

    switch (kind) {
    case 'n':
        return append_quoted(sql, "[", va_arg(*args, const char *), ']', err);
    case 't':
        text = va_arg(*args, const char *);
        return text ? append_quoted(sql, "N'", text, '\'', err) : buffer_append_text(sql, "NULL", err);
    case 'a':
        text = va_arg(*args, const char *);
        return append_quoted(sql, is_ascii(text) ? "'" : "N'", text, '\'', err);
    case 's':
        return buffer_append_text(sql, va_arg(*args, const char *), err);
    case 'd':
        return buffer_append_format(sql, err, "%d", va_arg(*args, int));
    case 'l':
        return buffer_append_format(sql, err, "%lld", (long long)va_arg(*args, int64_t));
    default:
        return buffer_append(sql, "%", 1, err);
    }
}

static enum error_kind append_all(struct buffer *sql, const char *format, va_list *args, struct error *err)
{
    enum error_kind rc = OK;

    for (const char *p = format; !rc && *p;) {
        size_t plain = strcspn(p, "%");

        rc = buffer_append(sql, p, plain, err);
        p += plain;
        if (!rc && *p) {
            rc = append_argument(sql, p[1], args, err);
            p += 2;
        }
    }
    return rc;
}

enum error_kind sqlserver_ddl_list(struct buffer *sql, struct error *err, const char *format, va_list *args)
{
    return append_all(sql, format, args, err);
}

enum error_kind sqlserver_ddl(struct buffer *sql, struct error *err, const char *format, ...)
{
    va_list args;
    enum error_kind rc;

    va_start(args, format);
    rc = append_all(sql, format, &args, err);
    va_end(args);
    return rc;
}

static enum error_kind make_room(struct sqlserver_script *s, struct error *err)
{
    size_t cap = s->cap ? 2 * s->cap : 64;
    void *grown;

    if (s->count < s->cap)
        return OK;
    grown = realloc(s->items, cap * sizeof *s->items);
    if (!grown)
        return error_set(err, ERR_MEMORY, 0, "out of memory");
    s->items = grown;
    s->cap = cap;
    return OK;
}

enum error_kind sqlserver_script_take(struct sqlserver_script *s, enum sqlserver_phase phase, unsigned flags,
                                      const char *name, struct buffer *sql, struct error *err)
{
    char *copy = NULL;
    size_t len = sql->len;
    enum error_kind rc = make_room(s, err);

    if (!rc)
        rc = memory_string(name, &copy, err);
    if (rc)
        return rc;
    s->items[s->count++] = (struct sqlserver_statement){
        .phase = phase, .flags = flags, .name = copy, .sql = buffer_detach(sql), .len = len};
    return OK;
}

enum error_kind sqlserver_script_add(struct sqlserver_script *s, enum sqlserver_phase phase, unsigned flags,
                                     const char *name, struct error *err, const char *format, ...)
{
    struct buffer sql = BUFFER_INIT(SQLSERVER_STATEMENT_MAX);
    va_list args;
    enum error_kind rc;

    va_start(args, format);
    rc = append_all(&sql, format, &args, err);
    va_end(args);
    if (!rc)
        rc = sqlserver_script_take(s, phase, flags, name, &sql, err);
    buffer_release(&sql);
    return rc;
}

enum error_kind sqlserver_script_sort(struct sqlserver_script *s, struct error *err)
{
    struct sqlserver_statement *sorted;
    void *memory = NULL;
    size_t n = 0;
    enum error_kind rc = memory_zeroed(s->count + 1, sizeof *sorted, &memory, err);

    if (rc)
        return rc;
    sorted = memory;
    for (int phase = SQLSERVER_PHASE_DATABASE; phase <= SQLSERVER_PHASE_PROPERTIES; phase++)
        for (size_t i = 0; i < s->count; i++)
            if (s->items[i].phase == (enum sqlserver_phase)phase)
                sorted[n++] = s->items[i];
    free(s->items);
    s->items = sorted;
    s->cap = s->count + 1;
    return OK;
}
