/* Tables: as the row stream has them, and as CREATE TABLE without defaults, checks, indexes and foreign keys. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sqlserver_schema_internal.h"

enum { SQL_MAX = 16 * 1024 * 1024 };

enum error_kind sqlserver_ddl_object(struct buffer *sql, const char *schema, const char *name, struct error *err)
{
    return sqlserver_ddl(sql, err, "%n.%n", schema, name);
}

/* ---- types ---- */

static const struct {
    const char *name;
    enum sqlserver_kind kind;
} kinds[] = {
    {"bit", SQLSERVER_BIT},
    {"tinyint", SQLSERVER_TINYINT},
    {"smallint", SQLSERVER_SMALLINT},
    {"int", SQLSERVER_INT},
    {"bigint", SQLSERVER_BIGINT},
    {"real", SQLSERVER_REAL},
    {"float", SQLSERVER_FLOAT},
    {"smallmoney", SQLSERVER_SMALLMONEY},
    {"money", SQLSERVER_MONEY},
    {"decimal", SQLSERVER_DECIMAL},
    {"numeric", SQLSERVER_DECIMAL},
    {"date", SQLSERVER_DATE},
    {"time", SQLSERVER_TIME},
    {"datetime2", SQLSERVER_DATETIME2},
    {"datetimeoffset", SQLSERVER_DATETIMEOFFSET},
    {"datetime", SQLSERVER_DATETIME},
    {"smalldatetime", SQLSERVER_SMALLDATETIME},
    {"uniqueidentifier", SQLSERVER_UNIQUEIDENTIFIER},
    {"char", SQLSERVER_CHAR},
    {"varchar", SQLSERVER_VARCHAR},
    {"nchar", SQLSERVER_NCHAR},
    {"nvarchar", SQLSERVER_NVARCHAR},
    {"sysname", SQLSERVER_NVARCHAR},
    {"binary", SQLSERVER_BINARY},
    {"varbinary", SQLSERVER_VARBINARY},
    {"text", SQLSERVER_TEXT},
    {"ntext", SQLSERVER_NTEXT},
    {"image", SQLSERVER_IMAGE},
    {"xml", SQLSERVER_XML},
    {"sql_variant", SQLSERVER_VARIANT},
    {"geography", SQLSERVER_CLR},
    {"geometry", SQLSERVER_CLR},
    {"hierarchyid", SQLSERVER_CLR},
};

/* The built-in type that a column's values have, also where its own type is an alias. */
static const char *base_name(const struct sqlserver_rows *c, size_t row)
{
    const char *name = sqlserver_cell_or(c, row, "type_name", "");

    return sqlserver_cell_flag(c, row, "type_is_user_defined") ? sqlserver_cell_or(c, row, "base_name", name) : name;
}

static enum error_kind column_kind(const struct sqlserver_rows *c, size_t row, enum sqlserver_kind *out,
                                   struct error *err)
{
    const char *name = base_name(c, row);

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(name, kinds[i].name) == 0) {
            *out = kinds[i].kind;
            return OK;
        }
    return error_set(err, ERR_REFUSED, 0, "column %s has a type that is not understood: %s",
                     sqlserver_cell_or(c, row, "name", ""), name);
}

static enum error_kind append_length(struct buffer *out, int64_t bytes, int unit, struct error *err)
{
    return bytes < 0 ? buffer_append_text(out, "(max)", err) : sqlserver_ddl(out, err, "(%l)", bytes / unit);
}

static enum error_kind append_xml(const struct sqlserver_rows *c, size_t row, struct buffer *out, struct error *err)
{
    const char *collection = sqlserver_cell(c, row, "xml_name");

    if (!collection || !*collection)
        return OK;
    return sqlserver_ddl(out, err, "(%s %n.%n)",
                         sqlserver_cell_flag(c, row, "is_xml_document") ? "DOCUMENT" : "CONTENT",
                         sqlserver_cell_or(c, row, "xml_schema", "dbo"), collection);
}

enum error_kind sqlserver_type_text(const struct sqlserver_rows *c, size_t row, struct buffer *out, struct error *err)
{
    const char *name = sqlserver_cell_or(c, row, "type_name", "");
    int64_t length = sqlserver_cell_number(c, row, "max_length", 0);
    int64_t precision = sqlserver_cell_number(c, row, "precision", 0);
    int64_t scale = sqlserver_cell_number(c, row, "scale", 0);
    enum error_kind rc;

    if (sqlserver_cell_flag(c, row, "type_is_user_defined"))
        return sqlserver_ddl_object(out, sqlserver_cell_or(c, row, "type_schema", "dbo"), name, err);
    rc = buffer_append_text(out, strcmp(name, "timestamp") == 0 ? "rowversion" : name, err);
    if (rc)
        return rc;
    if (strcmp(name, "decimal") == 0 || strcmp(name, "numeric") == 0)
        return sqlserver_ddl(out, err, "(%l, %l)", precision, scale);
    if (strcmp(name, "time") == 0 || strcmp(name, "datetime2") == 0 || strcmp(name, "datetimeoffset") == 0)
        return sqlserver_ddl(out, err, "(%l)", scale);
    if (strcmp(name, "char") == 0 || strcmp(name, "varchar") == 0 || strcmp(name, "binary") == 0 ||
        strcmp(name, "varbinary") == 0)
        return append_length(out, length, 1, err);
    if (strcmp(name, "nchar") == 0 || strcmp(name, "nvarchar") == 0)
        return append_length(out, length, 2, err);
    return strcmp(name, "xml") == 0 ? append_xml(c, row, out, err) : OK;
}

/* ---- as the row stream has them ---- */

static bool is_written(const struct sqlserver_rows *c, size_t row)
{
    return !sqlserver_cell(c, row, "computed") && !sqlserver_cell_flag(c, row, "is_computed") &&
           strcmp(base_name(c, row), "timestamp") != 0 && !sqlserver_cell_flag(c, row, "is_column_set");
}

static enum error_kind fill_column(const struct sqlserver_rows *c, size_t row, struct sqlserver_column *out,
                                   struct error *err)
{
    struct buffer type = BUFFER_INIT(1024);
    enum error_kind rc = column_kind(c, row, &out->kind, err);

    if (!rc)
        rc = memory_string(sqlserver_cell_or(c, row, "name", ""), &out->name, err);
    if (!rc)
        rc = sqlserver_type_text(c, row, &type, err);
    if (!rc && sqlserver_cell(c, row, "collation_name"))
        rc = memory_string(sqlserver_cell(c, row, "collation_name"), &out->collation, err);
    if (rc) {
        buffer_release(&type);
        return rc;
    }
    out->type = buffer_detach(&type);
    out->nullable = sqlserver_cell_flag(c, row, "is_nullable");
    out->identity = sqlserver_cell_flag(c, row, "is_identity");
    out->max_length = (int16_t)sqlserver_cell_number(c, row, "max_length", 0);
    out->precision = (uint8_t)sqlserver_cell_number(c, row, "precision", 0);
    out->scale = (uint8_t)sqlserver_cell_number(c, row, "scale", 0);
    if (out->kind == SQLSERVER_CHAR || out->kind == SQLSERVER_VARCHAR || out->kind == SQLSERVER_TEXT)
        out->code_page = (uint16_t)sqlserver_cell_number(c, row, "code_page", 0);
    return OK;
}

static struct sqlserver_column *find_column(struct sqlserver_table *t, const char *name)
{
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->columns[i].name, name) == 0)
            return &t->columns[i];
    return NULL;
}

static bool is_comparable(const struct sqlserver_column *c)
{
    return c->kind < SQLSERVER_TEXT && c->max_length != -1;
}

/* Take the columns of an index for the ordering; false if it has one that is not in the stream, or no column. */
static bool order_by_index(const struct sqlserver_schema *s, const char *table, const char *index,
                           struct sqlserver_table *t, bool *without_null)
{
    const struct sqlserver_rows *x = &s->sets[SET_INDEX_COLUMNS];
    size_t at = 0;
    size_t row = 0;
    uint16_t place = 0;

    *without_null = true;
    for (size_t i = 0; i < t->count; i++)
        t->columns[i].order = 0;
    while (sqlserver_set_next(x, "object_id", table, &at, &row)) {
        struct sqlserver_column *c = NULL;

        if (strcmp(sqlserver_cell_or(x, row, "index_id", ""), index) != 0 ||
            !sqlserver_cell_number(x, row, "key_ordinal", 0))
            continue;
        c = find_column(t, sqlserver_cell_or(x, row, "name", ""));
        if (!c || !is_comparable(c) || c->order)
            return false;
        c->order = ++place;
        c->descending = sqlserver_cell_flag(x, row, "is_descending_key");
        *without_null = *without_null && !c->nullable;
    }
    return place > 0;
}

static bool index_fits(const struct sqlserver_rows *x, size_t row, int pass)
{
    bool rows = sqlserver_cell_number(x, row, "type", 0) == 1 || sqlserver_cell_number(x, row, "type", 0) == 2;

    if (!rows || sqlserver_cell_flag(x, row, "is_disabled") || sqlserver_cell_flag(x, row, "has_filter") ||
        sqlserver_cell_flag(x, row, "is_hypothetical"))
        return false;
    switch (pass) {
    case 0: /* clustered and unique: no sorting, and a key */
        return sqlserver_cell_number(x, row, "type", 0) == 1 && sqlserver_cell_flag(x, row, "is_unique");
    case 1:
        return sqlserver_cell_flag(x, row, "is_primary_key");
    default:
        return sqlserver_cell_flag(x, row, "is_unique");
    }
}

/* By a unique key if there is one: the clustered, the primary, any other without NULLs. Else by everything that compares. */
static void choose_order(const struct sqlserver_schema *s, const char *table, struct sqlserver_table *t)
{
    const struct sqlserver_rows *x = &s->sets[SET_INDEXES];
    uint16_t place = 0;
    bool without_null = false;

    for (int pass = 0; pass < 3; pass++) {
        size_t at = 0;
        size_t row = 0;

        while (sqlserver_set_next(x, "object_id", table, &at, &row))
            if (index_fits(x, row, pass) &&
                order_by_index(s, table, sqlserver_cell_or(x, row, "index_id", ""), t, &without_null) && without_null) {
                t->keyed = true;
                return;
            }
    }
    for (size_t i = 0; i < t->count; i++) {
        t->columns[i].descending = false;
        t->columns[i].order = is_comparable(&t->columns[i]) ? ++place : 0;
    }
}

static enum error_kind fill_table(const struct sqlserver_schema *s, size_t row, struct sqlserver_table *t,
                                  struct error *err)
{
    const struct sqlserver_rows *tables = &s->sets[SET_TABLES];
    const struct sqlserver_rows *c = &s->sets[SET_COLUMNS];
    const char *id = sqlserver_cell_or(tables, row, "object_id", "");
    void *memory = NULL;
    size_t at = 0;
    size_t column = 0;
    size_t count = 0;
    enum error_kind rc;

    rc = memory_string(sqlserver_cell_or(tables, row, "schema_name", ""), &t->schema, err);
    if (!rc)
        rc = memory_string(sqlserver_cell_or(tables, row, "name", ""), &t->name, err);
    while (sqlserver_set_next(c, "object_id", id, &at, &column))
        count++;
    if (!rc)
        rc = memory_zeroed(count + 1, sizeof *t->columns, &memory, err);
    if (rc)
        return rc;
    t->columns = memory;
    at = 0;
    while (!rc && sqlserver_set_next(c, "object_id", id, &at, &column))
        if (is_written(c, column))
            rc = fill_column(c, column, &t->columns[t->count++], err);
    if (!rc && !t->count)
        rc = error_set(err, ERR_REFUSED, 0, "it has no column that can be written");
    if (rc)
        error_context(err, "table %s.%s", t->schema, t->name);
    else
        choose_order(s, id, t);
    return rc;
}

static int by_name(const void *a, const void *b)
{
    const struct sqlserver_table *x = a;
    const struct sqlserver_table *y = b;
    int schema = strcmp(x->schema, y->schema);

    return schema ? schema : strcmp(x->name, y->name);
}

enum error_kind sqlserver_schema_tables(const struct sqlserver_schema *s, struct sqlserver_table **out, size_t *count,
                                        struct error *err)
{
    size_t n = s->sets[SET_TABLES].count;
    struct sqlserver_table *tables;
    void *memory = NULL;
    enum error_kind rc = memory_zeroed(n + 1, sizeof *tables, &memory, err);

    if (rc)
        return rc;
    tables = memory;
    for (size_t i = 0; !rc && i < n; i++)
        rc = fill_table(s, i, &tables[i], err);
    if (rc) {
        for (size_t i = 0; i < n; i++)
            sqlserver_table_release(&tables[i]);
        free(tables);
        return rc;
    }
    qsort(tables, n, sizeof *tables, by_name); /* the same whatever the server's collation */
    *out = tables;
    *count = n;
    return OK;
}

/* ---- as CREATE TABLE ---- */

static enum error_kind append_computed(const struct sqlserver_rows *c, size_t row, struct buffer *sql,
                                       struct error *err)
{
    bool persisted = sqlserver_cell_flag(c, row, "is_persisted");

    return sqlserver_ddl(sql, err, "%n AS %s%s%s", sqlserver_cell_or(c, row, "name", ""),
                         sqlserver_cell_or(c, row, "computed", "(NULL)"), persisted ? " PERSISTED" : "",
                         persisted && !sqlserver_cell_flag(c, row, "is_nullable") ? " NOT NULL" : "");
}

static enum error_kind append_identity(const struct sqlserver_rows *c, size_t row, struct buffer *sql,
                                       struct error *err)
{
    if (!sqlserver_cell_flag(c, row, "is_identity"))
        return OK;
    return sqlserver_ddl(sql, err, " IDENTITY(%s, %s)%s", sqlserver_cell_or(c, row, "seed_value", "1"),
                         sqlserver_cell_or(c, row, "increment_value", "1"),
                         sqlserver_cell_flag(c, row, "is_not_for_replication") ? " NOT FOR REPLICATION" : "");
}

static enum error_kind append_column(const struct sqlserver_rows *c, size_t row, struct buffer *sql, struct error *err)
{
    const char *collation = sqlserver_cell(c, row, "collation_name");
    const char *mask = sqlserver_cell(c, row, "masking_function");
    enum error_kind rc;

    if (sqlserver_cell(c, row, "computed"))
        return append_computed(c, row, sql, err);
    rc = sqlserver_ddl(sql, err, "%n ", sqlserver_cell_or(c, row, "name", ""));
    if (!rc)
        rc = sqlserver_type_text(c, row, sql, err);
    if (!rc && sqlserver_cell_flag(c, row, "is_column_set"))
        return buffer_append_text(sql, " COLUMN_SET FOR ALL_SPARSE_COLUMNS", err);
    if (!rc && collation && !sqlserver_cell_flag(c, row, "type_is_user_defined"))
        rc = sqlserver_ddl(sql, err, " COLLATE %s", collation);
    if (!rc && sqlserver_cell_flag(c, row, "is_sparse"))
        rc = buffer_append_text(sql, " SPARSE", err);
    if (!rc && mask)
        rc = sqlserver_ddl(sql, err, " MASKED WITH (FUNCTION = %t)", mask);
    if (!rc)
        rc = append_identity(c, row, sql, err);
    if (!rc)
        rc = buffer_append_text(sql, sqlserver_cell_flag(c, row, "is_nullable") ? " NULL" : " NOT NULL", err);
    if (!rc && sqlserver_cell_flag(c, row, "is_rowguidcol"))
        rc = buffer_append_text(sql, " ROWGUIDCOL", err);
    return rc;
}

enum error_kind sqlserver_ddl_columns(const struct sqlserver_schema *s, const char *object_id, struct buffer *sql,
                                      struct error *err)
{
    const struct sqlserver_rows *c = &s->sets[SET_COLUMNS];
    const char *separator = "\n    ";
    size_t at = 0;
    size_t row = 0;
    enum error_kind rc = OK;

    while (!rc && sqlserver_set_next(c, "object_id", object_id, &at, &row)) {
        rc = buffer_append_text(sql, separator, err);
        if (!rc)
            rc = append_column(c, row, sql, err);
        separator = ",\n    ";
    }
    return rc;
}

static enum error_kind script_table(const struct sqlserver_schema *s, size_t row, struct sqlserver_script *out,
                                    struct error *err)
{
    const struct sqlserver_rows *t = &s->sets[SET_TABLES];
    const char *schema = sqlserver_cell_or(t, row, "schema_name", "");
    const char *name = sqlserver_cell_or(t, row, "name", "");
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    unsigned flags = SQLSERVER_QUOTED_IDENTIFIER;
    enum error_kind rc;

    if (sqlserver_cell_number(t, row, "uses_ansi_nulls", 1))
        flags |= SQLSERVER_ANSI_NULLS;
    rc = sqlserver_ddl(&sql, err, "CREATE TABLE %n.%n (", schema, name);
    if (!rc)
        rc = sqlserver_ddl_columns(s, sqlserver_cell_or(t, row, "object_id", ""), &sql, err);
    if (!rc)
        rc = buffer_append_text(&sql, "\n)", err);
    if (!rc)
        rc = sqlserver_script_take(out, SQLSERVER_PHASE_TABLES, flags, name, &sql, err);
    if (!rc && strcmp(sqlserver_cell_or(t, row, "lock_escalation_desc", "TABLE"), "TABLE") != 0)
        rc = sqlserver_script_add(out, SQLSERVER_PHASE_PROPERTIES, flags | SQLSERVER_OPTIONAL, name, err,
                                  "ALTER TABLE %n.%n SET (LOCK_ESCALATION = %s)", schema, name,
                                  sqlserver_cell_or(t, row, "lock_escalation_desc", "TABLE"));
    if (!rc && sqlserver_cell_flag(t, row, "large_value_types_out_of_row"))
        rc = sqlserver_script_add(out, SQLSERVER_PHASE_TABLES, flags | SQLSERVER_OPTIONAL, name, err,
                                  "EXEC sys.sp_tableoption N'%n.%n', N'large value types out of row', N'ON'", schema,
                                  name);
    buffer_release(&sql);
    return rc;
}

/* History is loaded as rows like any others; then the period and the versioning make of two tables one again. */
static enum error_kind script_temporal(const struct sqlserver_schema *s, size_t row, struct sqlserver_script *out,
                                       struct error *err)
{
    const struct sqlserver_rows *t = &s->sets[SET_TABLES];
    const struct sqlserver_rows *c = &s->sets[SET_COLUMNS];
    const char *schema = sqlserver_cell_or(t, row, "schema_name", "");
    const char *name = sqlserver_cell_or(t, row, "name", "");
    size_t at = 0;
    size_t column = 0;
    enum error_kind rc = OK;

    if (!sqlserver_cell(t, row, "period_start"))
        return OK;
    rc = sqlserver_script_add(out, SQLSERVER_PHASE_MODULES, SQLSERVER_QUOTED_IDENTIFIER | SQLSERVER_ANSI_NULLS, name,
                              err, "ALTER TABLE %n.%n ADD PERIOD FOR SYSTEM_TIME (%n, %n)", schema, name,
                              sqlserver_cell_or(t, row, "period_start", ""),
                              sqlserver_cell_or(t, row, "period_end", ""));
    while (!rc && sqlserver_set_next(c, "object_id", sqlserver_cell_or(t, row, "object_id", ""), &at, &column))
        if (sqlserver_cell_flag(c, column, "is_hidden"))
            rc = sqlserver_script_add(out, SQLSERVER_PHASE_MODULES, SQLSERVER_QUOTED_IDENTIFIER | SQLSERVER_ANSI_NULLS,
                                      name, err, "ALTER TABLE %n.%n ALTER COLUMN %n ADD HIDDEN", schema, name,
                                      sqlserver_cell_or(c, column, "name", ""));
    if (!rc && sqlserver_cell(t, row, "history_name"))
        rc = sqlserver_script_add(out, SQLSERVER_PHASE_MODULES, SQLSERVER_QUOTED_IDENTIFIER | SQLSERVER_ANSI_NULLS,
                                  name, err,
                                  "ALTER TABLE %n.%n SET (SYSTEM_VERSIONING = ON (HISTORY_TABLE = %n.%n, "
                                  "DATA_CONSISTENCY_CHECK = OFF))",
                                  schema, name, sqlserver_cell_or(t, row, "history_schema", ""),
                                  sqlserver_cell_or(t, row, "history_name", ""));
    return rc;
}

enum error_kind sqlserver_script_tables(const struct sqlserver_schema *s, struct sqlserver_script *out,
                                        struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < s->sets[SET_TABLES].count; i++)
        rc = script_table(s, i, out, err);
    for (size_t i = 0; !rc && i < s->sets[SET_TABLES].count; i++)
        rc = script_temporal(s, i, out, err);
    return rc;
}

/* ---- identities ---- */

/* As text: an identity may be decimal(38, 0). NULL: the counter was never used, and a fresh one is right. */
static const char *last_identity(const struct sqlserver_schema *s, const struct sqlserver_table *t,
                                 const char **increment, const char **seed, const char **column)
{
    const struct sqlserver_rows *tables = &s->sets[SET_TABLES];
    const struct sqlserver_rows *c = &s->sets[SET_COLUMNS];

    for (size_t i = 0; i < tables->count; i++) {
        size_t at = 0;
        size_t row = 0;

        if (strcmp(sqlserver_cell_or(tables, i, "name", ""), t->name) != 0 ||
            strcmp(sqlserver_cell_or(tables, i, "schema_name", ""), t->schema) != 0)
            continue;
        while (sqlserver_set_next(c, "object_id", sqlserver_cell_or(tables, i, "object_id", ""), &at, &row))
            if (sqlserver_cell_flag(c, row, "is_identity")) {
                *increment = sqlserver_cell_or(c, row, "increment_value", "1");
                *seed = sqlserver_cell_or(c, row, "seed_value", "1");
                *column = sqlserver_cell_or(c, row, "name", "");
                return sqlserver_cell(c, row, "last_value");
            }
    }
    return NULL;
}

/* Does the server say that nothing ever came from this identity, though there is more than its first value? */
static bool is_forgotten(const char *last, const struct sqlserver_table *t, const struct sqlserver_sum *sum,
                         const char *column, const char *seed, const char *increment)
{
    const struct sqlserver_column *id = sqlserver_table_id(t);

    if (!sum->rows || !id || strcasecmp(id->name, column) != 0 || *increment == '-')
        return false;
    return !last || (strcmp(last, seed) == 0 && strtoll(last, NULL, 10) < sum->max_id);
}

/*
 * A fresh empty table hands out the reseed value itself, one with rows the next: so an empty one is told what comes next. The sum is the
 * server's, which has numbers of 38 digits. A peer that does not say the last value (or, after a
 * bulk load, says the first) has at least the highest one that is there.
 */
enum error_kind sqlserver_script_positions(const struct sqlserver_schema *s, const struct sqlserver_table *tables,
                                           const struct sqlserver_sum *sums, size_t count, struct sqlserver_script *out,
                                           struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < count; i++) {
        const char *increment = "1";
        const char *seed = "1";
        const char *column = NULL;
        const char *last = last_identity(s, &tables[i], &increment, &seed, &column);
        struct buffer object = BUFFER_INIT(4096);
        struct buffer head = BUFFER_INIT(4096);
        char highest[24];

        if (!column || (!last && !sums[i].rows))
            continue;
        if (is_forgotten(last, &tables[i], &sums[i], column, seed, increment)) {
            snprintf(highest, sizeof highest, "%lld", (long long)sums[i].max_id);
            last = highest;
        }
        rc = sqlserver_ddl_object(&object, tables[i].schema, tables[i].name, err);
        if (!rc)
            rc = sqlserver_ddl(&head, err, "DBCC CHECKIDENT (%a, RESEED, ", (char *)object.data);
        if (!rc && last && sums[i].rows)
            rc = sqlserver_script_add(out, SQLSERVER_PHASE_POSITIONS, 3, tables[i].name, err, "%s%s)",
                                      (char *)head.data, last);
        else if (!rc && last)
            rc = sqlserver_script_add(out, SQLSERVER_PHASE_POSITIONS, 3, tables[i].name, err,
                                      "DECLARE @sql nvarchar(1000); SET @sql = %t + CAST(CAST(%s AS decimal(38, 0)) + "
                                      "CAST(%s AS decimal(38, 0)) AS nvarchar(40)) + N')'; EXEC (@sql)",
                                      (char *)head.data, last, increment);
        else if (!rc)
            rc = sqlserver_script_add(out, SQLSERVER_PHASE_POSITIONS, 3, tables[i].name, err,
                                      "DECLARE @last decimal(38, 0), @sql nvarchar(1000); SELECT @last = MAX(%n) FROM "
                                      "%s; SET @sql = %t + CAST(@last AS nvarchar(40)) + N')'; EXEC (@sql)",
                                      column, (char *)object.data, (char *)head.data);
        buffer_release(&head);
        buffer_release(&object);
    }
    return rc;
}
