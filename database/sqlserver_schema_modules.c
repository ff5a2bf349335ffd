/*
 * Views, functions, procedures and triggers, each alone in its batch under the settings that it remembers. They come in the order of the
 * catalog's dependencies, which knows nothing of dynamic SQL: a load therefore tries again those that fail.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sqlserver_schema_internal.h"

enum { PLAIN = SQLSERVER_ANSI_NULLS | SQLSERVER_QUOTED_IDENTIFIER };

/* ---- the name within the text ---- */

/* Behind blanks and comments. */
static size_t skip_blanks(const char *text, size_t at)
{
    for (;;) {
        size_t depth = 0;

        while (isspace((unsigned char)text[at]))
            at++;
        if (text[at] == '-' && text[at + 1] == '-')
            at += strcspn(text + at, "\n");
        else if (text[at] == '/' && text[at + 1] == '*') {
            do { /* they nest */
                if (text[at] == '/' && text[at + 1] == '*') {
                    depth++;
                    at += 2;
                } else if (text[at] == '*' && text[at + 1] == '/') {
                    depth--;
                    at += 2;
                } else if (text[at])
                    at++;
            } while (depth && text[at]);
        } else
            return at;
    }
}

static size_t word_length(const char *text)
{
    size_t len = 0;

    while (isalnum((unsigned char)text[len]) || text[len] == '_' || text[len] == '@' || text[len] == '#' ||
           text[len] == '$' || (unsigned char)text[len] >= 0x80)
        len++;
    return len;
}

static bool take_word(const char *text, size_t *at, const char *word)
{
    size_t len;

    *at = skip_blanks(text, *at);
    len = word_length(text + *at);
    if (len != strlen(word) || strncasecmp(text + *at, word, len) != 0)
        return false;
    *at += len;
    return true;
}

static size_t part_length(const char *text)
{
    char end = *text == '[' ? ']' : '"';
    size_t len = 1;

    if (*text != '[' && *text != '"')
        return word_length(text);
    for (; text[len]; len++)
        if (text[len] == end) {
            if (text[len + 1] != end)
                return len + 1;
            len++; /* doubled */
        }
    return 0;
}

bool sqlserver_module_name(const char *text, size_t *begin, size_t *end)
{
    size_t at = 0;
    size_t len;

    if (!take_word(text, &at, "CREATE") && !take_word(text, &at, "ALTER"))
        return false;
    if (take_word(text, &at, "OR") && !take_word(text, &at, "ALTER"))
        return false;
    if (!take_word(text, &at, "VIEW") && !take_word(text, &at, "PROCEDURE") && !take_word(text, &at, "PROC") &&
        !take_word(text, &at, "FUNCTION") && !take_word(text, &at, "TRIGGER") && !take_word(text, &at, "RULE") &&
        !take_word(text, &at, "DEFAULT"))
        return false;
    at = skip_blanks(text, at);
    *begin = at;
    for (;;) {
        len = part_length(text + at);
        if (!len)
            return false;
        at += len;
        *end = at;
        len = skip_blanks(text, at);
        if (text[len] != '.')
            return true;
        at = skip_blanks(text, len + 1);
    }
}

/* Is the span one of the spellings of schema.name, with the schema in it? */
static bool names_it(const char *span, size_t len, const char *schema, const char *name)
{
    static const char *const forms[] = {"%n.%n", "%s.%n", "%n.%s", "%s.%s"};
    bool same = false;

    for (size_t i = 0; !same && i < sizeof forms / sizeof forms[0]; i++) {
        struct buffer b = BUFFER_INIT(4096);
        struct error err = ERROR_INIT;

        same = !sqlserver_ddl(&b, &err, forms[i], schema, name) && b.len == len && memcmp(b.data, span, len) == 0;
        buffer_release(&b);
    }
    return same;
}

/* After sp_rename the text has the old name still, and one without a schema goes to whoever's default it is. */
static enum error_kind append_text(const char *text, const char *schema, const char *name, struct buffer *sql,
                                   struct error *err)
{
    size_t begin = 0;
    size_t end = 0;
    enum error_kind rc;

    if (!schema || !sqlserver_module_name(text, &begin, &end) || names_it(text + begin, end - begin, schema, name))
        return buffer_append_text(sql, text, err);
    rc = buffer_append(sql, text, begin, err);
    if (!rc)
        rc = sqlserver_ddl_object(sql, schema, name, err);
    return rc ? rc : buffer_append_text(sql, text + end, err);
}

/* ---- order ---- */

struct order {
    const struct sqlserver_schema *s;
    unsigned char *state; /* of each module: 0 not yet, 1 being visited, 2 placed */
    unsigned char *early; /* a table needs it */
    size_t *rows;
    size_t count;
};

/* A cycle (two procedures that call each other) is cut where it is met: names are resolved when they run. */
static void visit(struct order *o, size_t module, size_t depth)
{
    const struct sqlserver_rows *m = &o->s->sets[SET_MODULES];
    const struct sqlserver_rows *d = &o->s->sets[SET_DEPENDENCIES];
    size_t at = 0;
    size_t row = 0;

    if (o->state[module] || depth > 1000)
        return;
    o->state[module] = 1;
    while (sqlserver_set_next(d, "object_id", sqlserver_cell_or(m, module, "object_id", ""), &at, &row)) {
        size_t other = sqlserver_set_find(m, "object_id", sqlserver_cell_or(d, row, "referenced", ""));

        if (other != SIZE_MAX)
            visit(o, other, depth + 1);
    }
    o->state[module] = 2;
    o->rows[o->count++] = module;
}

static void mark_early(struct order *o, const char *object, size_t depth)
{
    const struct sqlserver_rows *m = &o->s->sets[SET_MODULES];
    const struct sqlserver_rows *d = &o->s->sets[SET_DEPENDENCIES];
    size_t at = 0;
    size_t row = 0;

    while (depth < 1000 && sqlserver_set_next(d, "object_id", object, &at, &row)) {
        const char *referenced = sqlserver_cell_or(d, row, "referenced", "");
        size_t module = sqlserver_set_find(m, "object_id", referenced);

        if (module == SIZE_MAX || o->early[module] || !strchr("FIT", *sqlserver_cell_or(m, module, "type", "-")))
            continue;
        o->early[module] = 1;
        mark_early(o, referenced, depth + 1);
    }
}

/* Functions that computed columns, checks or defaults call have to be there before them. */
static void mark_all_early(struct order *o)
{
    static const enum sqlserver_set sets[] = {SET_TABLES, SET_CHECKS, SET_DEFAULTS};

    for (size_t k = 0; k < sizeof sets / sizeof sets[0]; k++)
        for (size_t i = 0; i < o->s->sets[sets[k]].count; i++)
            mark_early(o, sqlserver_cell_or(&o->s->sets[sets[k]], i, "object_id", ""), 0);
}

/* ---- statements ---- */

static unsigned module_flags(const struct sqlserver_rows *m, size_t row)
{
    return SQLSERVER_MODULE | (sqlserver_cell_number(m, row, "uses_ansi_nulls", 1) ? SQLSERVER_ANSI_NULLS : 0U) |
           (sqlserver_cell_number(m, row, "uses_quoted_identifier", 1) ? SQLSERVER_QUOTED_IDENTIFIER : 0U);
}

static enum error_kind script_module(const struct order *o, size_t row, struct sqlserver_script *out, struct error *err)
{
    const struct sqlserver_rows *m = &o->s->sets[SET_MODULES];
    const char *schema = sqlserver_cell(m, row, "schema_name");
    const char *name = sqlserver_cell_or(m, row, "name", "");
    bool trigger = strncmp(sqlserver_cell_or(m, row, "type", ""), "TR", 2) == 0;
    struct buffer sql = BUFFER_INIT(SQLSERVER_STATEMENT_MAX);
    enum error_kind rc = append_text(sqlserver_cell_or(m, row, "definition", ""), schema, name, &sql, err);

    if (!rc)
        rc = sqlserver_script_take(out, o->early[row] ? SQLSERVER_PHASE_FUNCTIONS : SQLSERVER_PHASE_MODULES,
                                   module_flags(m, row), name, &sql, err);
    if (!rc && trigger && sqlserver_cell_flag(m, row, "is_disabled")) {
        if (schema)
            rc = sqlserver_script_add(
                out, SQLSERVER_PHASE_PROPERTIES, PLAIN, name, err, "DISABLE TRIGGER %n.%n ON %n.%n", schema, name,
                sqlserver_cell_or(m, row, "parent_schema", schema), sqlserver_cell_or(m, row, "parent_name", ""));
        else
            rc = sqlserver_script_add(out, SQLSERVER_PHASE_PROPERTIES, PLAIN, name, err,
                                      "DISABLE TRIGGER %n ON DATABASE", name);
    }
    buffer_release(&sql);
    return rc;
}

static enum error_kind script_trigger_order(const struct sqlserver_schema *s, struct sqlserver_script *out,
                                            struct error *err)
{
    const struct sqlserver_rows *t = &s->sets[SET_TRIGGER_ORDER];
    struct buffer object = BUFFER_INIT(4096);
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < t->count; i++) {
        const char *name = sqlserver_cell_or(t, i, "name", "");

        buffer_clear(&object);
        rc = sqlserver_ddl_object(&object, sqlserver_cell_or(t, i, "schema_name", ""), name, err);
        if (!rc)
            rc = sqlserver_script_add(out, SQLSERVER_PHASE_PROPERTIES, PLAIN, name, err,
                                      "EXEC sys.sp_settriggerorder @triggername = %t, @order = %t, @stmttype = %t",
                                      (char *)object.data, sqlserver_cell_flag(t, i, "is_first") ? "First" : "Last",
                                      sqlserver_cell_or(t, i, "type_desc", ""));
    }
    buffer_release(&object);
    return rc;
}

static enum error_kind order_modules(struct order *o, struct error *err)
{
    size_t count = o->s->sets[SET_MODULES].count;
    void *state = NULL;
    void *early = NULL;
    void *rows = NULL;
    enum error_kind rc = memory_zeroed(count + 1, 1, &state, err);

    if (!rc)
        rc = memory_zeroed(count + 1, 1, &early, err);
    if (!rc)
        rc = memory_zeroed(count + 1, sizeof *o->rows, &rows, err);
    o->state = state;
    o->early = early;
    o->rows = rows;
    if (rc)
        return rc;
    mark_all_early(o);
    for (size_t i = 0; i < count; i++)
        visit(o, i, 0);
    return OK;
}

enum error_kind sqlserver_script_modules(const struct sqlserver_schema *s, struct sqlserver_script *out,
                                         struct error *err)
{
    struct order o = {.s = s};
    enum error_kind rc = order_modules(&o, err);

    for (size_t i = 0; !rc && i < o.count; i++)
        rc = script_module(&o, o.rows[i], out, err);
    if (!rc)
        rc = script_trigger_order(s, out, err);
    free(o.state);
    free(o.early);
    free(o.rows);
    return rc;
}
