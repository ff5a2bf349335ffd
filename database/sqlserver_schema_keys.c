/* Keys, indexes, statistics; defaults, checks and foreign keys with the trust and the state that they have. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sqlserver_schema_internal.h"

enum { SQL_MAX = 1024 * 1024, PLAIN = SQLSERVER_ANSI_NULLS | SQLSERVER_QUOTED_IDENTIFIER };

enum { INDEX_HEAP, INDEX_CLUSTERED, INDEX_ROWS, INDEX_XML, INDEX_SPATIAL, INDEX_CLUSTERED_COLUMNS, INDEX_COLUMNS };

/* ---- indexes ---- */

static bool of_index(const struct sqlserver_rows *r, size_t row, const char *index)
{
    return strcmp(sqlserver_cell_or(r, row, "index_id", ""), index) == 0;
}

static enum error_kind append_columns(const struct sqlserver_schema *s, const char *object, const char *index,
                                      bool included, struct buffer *sql, size_t *count, struct error *err)
{
    const struct sqlserver_rows *x = &s->sets[SET_INDEX_COLUMNS];
    size_t at = 0;
    size_t row = 0;
    enum error_kind rc = OK;

    *count = 0;
    while (!rc && sqlserver_set_next(x, "object_id", object, &at, &row)) {
        bool key = sqlserver_cell_number(x, row, "key_ordinal", 0) > 0;

        /* A column that only the partitioning added is neither. */
        if (!of_index(x, row, index) || sqlserver_cell_flag(x, row, "is_included_column") != included ||
            (!included && !key))
            continue;
        rc = sqlserver_ddl(sql, err, "%s%n%s", *count ? ", " : "", sqlserver_cell_or(x, row, "name", ""),
                           sqlserver_cell_flag(x, row, "is_descending_key") ? " DESC" : "");
        ++*count;
    }
    return rc;
}

static enum error_kind append_option(struct buffer *sql, bool *any, const char *text, struct error *err)
{
    enum error_kind rc = sqlserver_ddl(sql, err, "%s%s", *any ? ", " : " WITH (", text);

    *any = true;
    return rc;
}

static enum error_kind append_options(const struct sqlserver_rows *x, size_t row, struct buffer *sql, struct error *err)
{
    int64_t fill = sqlserver_cell_number(x, row, "fill_factor", 0);
    const char *compression = sqlserver_cell_or(x, row, "data_compression", "NONE");
    char text[64];
    bool any = false;
    enum error_kind rc = OK;

    if (sqlserver_cell_flag(x, row, "is_padded"))
        rc = append_option(sql, &any, "PAD_INDEX = ON", err);
    if (!rc && fill > 0 && fill < 100) {
        snprintf(text, sizeof text, "FILLFACTOR = %d", (int)fill);
        rc = append_option(sql, &any, text, err);
    }
    if (!rc && sqlserver_cell_flag(x, row, "ignore_dup_key"))
        rc = append_option(sql, &any, "IGNORE_DUP_KEY = ON", err);
    if (!rc && sqlserver_cell_flag(x, row, "no_recompute"))
        rc = append_option(sql, &any, "STATISTICS_NORECOMPUTE = ON", err);
    if (!rc && !sqlserver_cell_number(x, row, "allow_row_locks", 1))
        rc = append_option(sql, &any, "ALLOW_ROW_LOCKS = OFF", err);
    if (!rc && !sqlserver_cell_number(x, row, "allow_page_locks", 1))
        rc = append_option(sql, &any, "ALLOW_PAGE_LOCKS = OFF", err);
    if (!rc && (strcmp(compression, "ROW") == 0 || strcmp(compression, "PAGE") == 0)) {
        snprintf(text, sizeof text, "DATA_COMPRESSION = %s", compression);
        rc = append_option(sql, &any, text, err);
    }
    return rc || !any ? rc : buffer_append_text(sql, ")", err);
}

static enum error_kind append_rows_index(const struct sqlserver_schema *s, size_t row, struct buffer *sql,
                                         struct error *err)
{
    const struct sqlserver_rows *x = &s->sets[SET_INDEXES];
    const char *object = sqlserver_cell_or(x, row, "object_id", "");
    const char *index = sqlserver_cell_or(x, row, "index_id", "");
    const char *name = sqlserver_cell_or(x, row, "name", "");
    const char *schema = sqlserver_cell_or(x, row, "schema_name", "");
    const char *table = sqlserver_cell_or(x, row, "table_name", "");
    const char *kind = sqlserver_cell_number(x, row, "type", 0) == INDEX_CLUSTERED ? "CLUSTERED" : "NONCLUSTERED";
    bool primary = sqlserver_cell_flag(x, row, "is_primary_key");
    struct buffer included = BUFFER_INIT(SQL_MAX);
    size_t count = 0;
    enum error_kind rc;

    if (primary || sqlserver_cell_flag(x, row, "is_unique_constraint"))
        rc = sqlserver_ddl(sql, err, "ALTER TABLE %n.%n ADD CONSTRAINT %n %s %s (", schema, table, name,
                           primary ? "PRIMARY KEY" : "UNIQUE", kind);
    else
        rc = sqlserver_ddl(sql, err, "CREATE %s%s INDEX %n ON %n.%n (",
                           sqlserver_cell_flag(x, row, "is_unique") ? "UNIQUE " : "", kind, name, schema, table);
    if (!rc)
        rc = append_columns(s, object, index, false, sql, &count, err);
    if (!rc && !count)
        rc = error_set(err, ERR_REMOTE, 0, "index %s of %s.%s has no columns in the catalog", name, schema, table);
    if (!rc)
        rc = buffer_append_text(sql, ")", err);
    if (!rc)
        rc = append_columns(s, object, index, true, &included, &count, err);
    if (!rc && count)
        rc = sqlserver_ddl(sql, err, " INCLUDE (%s)", (char *)included.data);
    if (!rc && sqlserver_cell_flag(x, row, "has_filter"))
        rc = sqlserver_ddl(sql, err, " WHERE %s", sqlserver_cell_or(x, row, "filter_definition", ""));
    if (!rc)
        rc = append_options(x, row, sql, err);
    buffer_release(&included);
    return rc;
}

static enum error_kind append_column_store(const struct sqlserver_schema *s, size_t row, struct buffer *sql,
                                           struct error *err)
{
    const struct sqlserver_rows *x = &s->sets[SET_INDEXES];
    bool clustered = sqlserver_cell_number(x, row, "type", 0) == INDEX_CLUSTERED_COLUMNS;
    const char *compression = sqlserver_cell_or(x, row, "data_compression", "");
    struct buffer columns = BUFFER_INIT(SQL_MAX);
    size_t count = 0;
    enum error_kind rc;

    rc = append_columns(s, sqlserver_cell_or(x, row, "object_id", ""), sqlserver_cell_or(x, row, "index_id", ""), true,
                        &columns, &count, err);
    if (!rc)
        rc = sqlserver_ddl(sql, err, "CREATE %s COLUMNSTORE INDEX %n ON %n.%n",
                           clustered ? "CLUSTERED" : "NONCLUSTERED", sqlserver_cell_or(x, row, "name", ""),
                           sqlserver_cell_or(x, row, "schema_name", ""), sqlserver_cell_or(x, row, "table_name", ""));
    if (!rc && !clustered && count)
        rc = sqlserver_ddl(sql, err, " (%s)", (char *)columns.data);
    if (!rc && sqlserver_cell_flag(x, row, "has_filter"))
        rc = sqlserver_ddl(sql, err, " WHERE %s", sqlserver_cell_or(x, row, "filter_definition", ""));
    if (!rc && strcmp(compression, "COLUMNSTORE_ARCHIVE") == 0)
        rc = buffer_append_text(sql, " WITH (DATA_COMPRESSION = COLUMNSTORE_ARCHIVE)", err);
    buffer_release(&columns);
    return rc;
}

/* The first index column's name; NULL if the catalog has none. */
static const char *only_column(const struct sqlserver_schema *s, const char *object, const char *index)
{
    const struct sqlserver_rows *x = &s->sets[SET_INDEX_COLUMNS];
    size_t at = 0;
    size_t row = 0;

    while (sqlserver_set_next(x, "object_id", object, &at, &row))
        if (of_index(x, row, index))
            return sqlserver_cell(x, row, "name");
    return NULL;
}

static size_t find_of_index(const struct sqlserver_rows *r, const char *object, const char *index)
{
    size_t at = 0;
    size_t row = 0;

    while (sqlserver_set_next(r, "object_id", object, &at, &row))
        if (of_index(r, row, index))
            return row;
    return SIZE_MAX;
}

static enum error_kind append_xml_index(const struct sqlserver_schema *s, size_t row, struct buffer *sql,
                                        struct error *err)
{
    const struct sqlserver_rows *x = &s->sets[SET_INDEXES];
    const struct sqlserver_rows *more = &s->sets[SET_XML_INDEXES];
    const char *object = sqlserver_cell_or(x, row, "object_id", "");
    const char *index = sqlserver_cell_or(x, row, "index_id", "");
    const char *column = only_column(s, object, index);
    size_t at = find_of_index(more, object, index);
    const char *primary = at == SIZE_MAX ? NULL : sqlserver_cell(more, at, "primary_name");
    enum error_kind rc;

    rc = sqlserver_ddl(sql, err, "CREATE %sXML INDEX %n ON %n.%n (%n)", primary ? "" : "PRIMARY ",
                       sqlserver_cell_or(x, row, "name", ""), sqlserver_cell_or(x, row, "schema_name", ""),
                       sqlserver_cell_or(x, row, "table_name", ""), column ? column : "");
    if (!rc && primary)
        rc = sqlserver_ddl(sql, err, " USING XML INDEX %n FOR %s", primary,
                           sqlserver_cell_or(more, at, "secondary_type_desc", "PATH"));
    return rc;
}

static enum error_kind append_spatial_index(const struct sqlserver_schema *s, size_t row, struct buffer *sql,
                                            struct error *err)
{
    const struct sqlserver_rows *x = &s->sets[SET_INDEXES];
    const struct sqlserver_rows *more = &s->sets[SET_SPATIAL_INDEXES];
    const char *object = sqlserver_cell_or(x, row, "object_id", "");
    const char *index = sqlserver_cell_or(x, row, "index_id", "");
    const char *column = only_column(s, object, index);
    size_t at = find_of_index(more, object, index);
    enum error_kind rc;

    rc = sqlserver_ddl(sql, err, "CREATE SPATIAL INDEX %n ON %n.%n (%n)", sqlserver_cell_or(x, row, "name", ""),
                       sqlserver_cell_or(x, row, "schema_name", ""), sqlserver_cell_or(x, row, "table_name", ""),
                       column ? column : "");
    if (rc || at == SIZE_MAX)
        return rc;
    rc = sqlserver_ddl(sql, err, " USING %s WITH (", sqlserver_cell_or(more, at, "tessellation_scheme", ""));
    if (!rc && sqlserver_cell(more, at, "xmin"))
        rc = sqlserver_ddl(sql, err, "BOUNDING_BOX = (%s, %s, %s, %s), ", sqlserver_cell_or(more, at, "xmin", "0"),
                           sqlserver_cell_or(more, at, "ymin", "0"), sqlserver_cell_or(more, at, "xmax", "0"),
                           sqlserver_cell_or(more, at, "ymax", "0"));
    if (!rc && sqlserver_cell(more, at, "level_1_grid_desc"))
        rc = sqlserver_ddl(sql, err, "GRIDS = (%s, %s, %s, %s), ", sqlserver_cell_or(more, at, "level_1_grid_desc", ""),
                           sqlserver_cell_or(more, at, "level_2_grid_desc", ""),
                           sqlserver_cell_or(more, at, "level_3_grid_desc", ""),
                           sqlserver_cell_or(more, at, "level_4_grid_desc", ""));
    return rc ? rc
              : sqlserver_ddl(sql, err, "CELLS_PER_OBJECT = %s)",
                              sqlserver_cell_or(more, at, "cells_per_object", "16"));
}

static enum error_kind script_index(const struct sqlserver_schema *s, size_t row, struct sqlserver_script *out,
                                    struct error *err)
{
    const struct sqlserver_rows *x = &s->sets[SET_INDEXES];
    int64_t type = sqlserver_cell_number(x, row, "type", 0);
    const char *name = sqlserver_cell_or(x, row, "name", "");
    /* Indexes of views come behind the views; those of table types are in the types themselves. */
    enum sqlserver_phase phase =
        *sqlserver_cell_or(x, row, "table_type", "U") == 'V' ? SQLSERVER_PHASE_MODULES : SQLSERVER_PHASE_INDEXES;
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    enum error_kind rc = OK;

    if (type == INDEX_CLUSTERED || type == INDEX_ROWS)
        rc = append_rows_index(s, row, &sql, err);
    else if (type == INDEX_CLUSTERED_COLUMNS || type == INDEX_COLUMNS)
        rc = append_column_store(s, row, &sql, err);
    else if (type == INDEX_XML)
        rc = append_xml_index(s, row, &sql, err);
    else if (type == INDEX_SPATIAL)
        rc = append_spatial_index(s, row, &sql, err);
    else
        rc = error_set(err, ERR_REFUSED, 0, "index %s is of a kind that is not understood (%d)", name, (int)type);
    if (!rc)
        rc = sqlserver_script_take(out, phase, PLAIN | (phase == SQLSERVER_PHASE_MODULES ? SQLSERVER_MODULE : 0), name,
                                   &sql, err);
    if (!rc && sqlserver_cell_flag(x, row, "is_disabled"))
        rc = sqlserver_script_add(out, SQLSERVER_PHASE_PROPERTIES, PLAIN, name, err, "ALTER INDEX %n ON %n.%n DISABLE",
                                  name, sqlserver_cell_or(x, row, "schema_name", ""),
                                  sqlserver_cell_or(x, row, "table_name", ""));
    buffer_release(&sql);
    return rc;
}

static enum error_kind script_heap(const struct sqlserver_rows *x, size_t row, struct sqlserver_script *out,
                                   struct error *err)
{
    const char *compression = sqlserver_cell_or(x, row, "data_compression", "NONE");
    const char *table = sqlserver_cell_or(x, row, "table_name", "");

    if (strcmp(compression, "ROW") != 0 && strcmp(compression, "PAGE") != 0)
        return OK;
    return sqlserver_script_add(out, SQLSERVER_PHASE_INDEXES, PLAIN | SQLSERVER_OPTIONAL, table, err,
                                "ALTER TABLE %n.%n REBUILD WITH (DATA_COMPRESSION = %s)",
                                sqlserver_cell_or(x, row, "schema_name", ""), table, compression);
}

static enum error_kind script_statistics(const struct sqlserver_schema *s, struct sqlserver_script *out,
                                         struct error *err)
{
    const struct sqlserver_rows *t = &s->sets[SET_STATISTICS];
    const struct sqlserver_rows *c = &s->sets[SET_STATISTICS_COLUMNS];
    struct buffer columns = BUFFER_INIT(SQL_MAX);
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < t->count; i++) {
        size_t at = 0;
        size_t row = 0;
        const char *filter = sqlserver_cell(t, i, "filter_definition");

        buffer_clear(&columns);
        while (!rc && sqlserver_set_next(c, "object_id", sqlserver_cell_or(t, i, "object_id", ""), &at, &row))
            if (strcmp(sqlserver_cell_or(c, row, "stats_id", ""), sqlserver_cell_or(t, i, "stats_id", "-")) == 0)
                rc = sqlserver_ddl(&columns, err, "%s%n", columns.len ? ", " : "",
                                   sqlserver_cell_or(c, row, "name", ""));
        if (!rc && columns.len)
            rc = sqlserver_script_add(
                out, SQLSERVER_PHASE_PROPERTIES, PLAIN | SQLSERVER_OPTIONAL, sqlserver_cell_or(t, i, "name", ""), err,
                "CREATE STATISTICS %n ON %n.%n (%s)%s%s%s", sqlserver_cell_or(t, i, "name", ""),
                sqlserver_cell_or(t, i, "schema_name", ""), sqlserver_cell_or(t, i, "table_name", ""),
                (char *)columns.data, filter ? " WHERE " : "", filter ? filter : "",
                sqlserver_cell_flag(t, i, "no_recompute") ? " WITH NORECOMPUTE" : "");
    }
    buffer_release(&columns);
    return rc;
}

enum error_kind sqlserver_script_indexes(const struct sqlserver_schema *s, struct sqlserver_script *out,
                                         struct error *err)
{
    const struct sqlserver_rows *x = &s->sets[SET_INDEXES];
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < x->count; i++) {
        const char *object = sqlserver_cell_or(x, i, "object_id", "");

        /* Names of nopsnap's own tables are in no set of tables. */
        if (sqlserver_set_find(&s->sets[SET_TABLES], "object_id", object) == SIZE_MAX &&
            sqlserver_set_find(&s->sets[SET_MODULES], "object_id", object) == SIZE_MAX)
            continue;
        if (sqlserver_cell_number(x, i, "type", 0) == INDEX_HEAP)
            rc = script_heap(x, i, out, err);
        else if (!sqlserver_cell_flag(x, i, "is_hypothetical"))
            rc = script_index(s, i, out, err);
    }
    return rc ? rc : script_statistics(s, out, err);
}

/* ---- constraints ---- */

/* The table that a constraint belongs to; SIZE_MAX if it is none of ours (a table type's). */
static size_t parent_of(const struct sqlserver_schema *s, const struct sqlserver_rows *r, size_t row)
{
    return sqlserver_set_find(&s->sets[SET_TABLES], "object_id", sqlserver_cell_or(r, row, "parent", ""));
}

static const char *column_name(const struct sqlserver_schema *s, const char *object, const char *column)
{
    const struct sqlserver_rows *c = &s->sets[SET_COLUMNS];
    size_t at = 0;
    size_t row = 0;

    while (sqlserver_set_next(c, "object_id", object, &at, &row))
        if (strcmp(sqlserver_cell_or(c, row, "column_id", ""), column) == 0)
            return sqlserver_cell_or(c, row, "name", "");
    return "";
}

static enum error_kind script_defaults(const struct sqlserver_schema *s, struct sqlserver_script *out,
                                       struct error *err)
{
    const struct sqlserver_rows *t = &s->sets[SET_TABLES];
    const struct sqlserver_rows *d = &s->sets[SET_DEFAULTS];
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < d->count; i++) {
        size_t table = parent_of(s, d, i);
        const char *name = sqlserver_cell(d, i, "name");
        const char *column =
            column_name(s, sqlserver_cell_or(d, i, "parent", ""), sqlserver_cell_or(d, i, "parent_column_id", ""));

        if (table == SIZE_MAX)
            continue;
        if (name && *name)
            rc = sqlserver_script_add(
                out, SQLSERVER_PHASE_CONSTRAINTS, PLAIN, name, err,
                "ALTER TABLE %n.%n ADD CONSTRAINT %n DEFAULT %s FOR %n", sqlserver_cell_or(t, table, "schema_name", ""),
                sqlserver_cell_or(t, table, "name", ""), name, sqlserver_cell_or(d, i, "definition", "NULL"), column);
        else
            rc = sqlserver_script_add(
                out, SQLSERVER_PHASE_CONSTRAINTS, PLAIN, column, err, "ALTER TABLE %n.%n ADD DEFAULT %s FOR %n",
                sqlserver_cell_or(t, table, "schema_name", ""), sqlserver_cell_or(t, table, "name", ""),
                sqlserver_cell_or(d, i, "definition", "NULL"), column);
    }
    return rc;
}

/* WITH CHECK would make a constraint trusted that was not, or fail on rows that it never looked at. */
static const char *trust(const struct sqlserver_rows *r, size_t row)
{
    return sqlserver_cell_flag(r, row, "is_not_trusted") || sqlserver_cell_flag(r, row, "is_disabled")
               ? "WITH NOCHECK ADD"
               : "ADD"; /* which checks */
}

static enum error_kind script_disabled(const struct sqlserver_schema *s, const struct sqlserver_rows *r, size_t row,
                                       size_t table, struct sqlserver_script *out, struct error *err)
{
    const struct sqlserver_rows *t = &s->sets[SET_TABLES];
    const char *name = sqlserver_cell_or(r, row, "name", "");

    if (!sqlserver_cell_flag(r, row, "is_disabled"))
        return OK;
    return sqlserver_script_add(
        out, SQLSERVER_PHASE_CONSTRAINTS, PLAIN, name, err, "ALTER TABLE %n.%n NOCHECK CONSTRAINT %n",
        sqlserver_cell_or(t, table, "schema_name", ""), sqlserver_cell_or(t, table, "name", ""), name);
}

static enum error_kind script_checks(const struct sqlserver_schema *s, struct sqlserver_script *out, struct error *err)
{
    const struct sqlserver_rows *t = &s->sets[SET_TABLES];
    const struct sqlserver_rows *k = &s->sets[SET_CHECKS];
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < k->count; i++) {
        size_t table = parent_of(s, k, i);
        const char *name = sqlserver_cell_or(k, i, "name", "");

        if (table == SIZE_MAX)
            continue;
        rc = sqlserver_script_add(
            out, SQLSERVER_PHASE_CONSTRAINTS, PLAIN, name, err, "ALTER TABLE %n.%n %s CONSTRAINT %n CHECK %s%s",
            sqlserver_cell_or(t, table, "schema_name", ""), sqlserver_cell_or(t, table, "name", ""), trust(k, i), name,
            sqlserver_cell_flag(k, i, "is_not_for_replication") ? "NOT FOR REPLICATION " : "",
            sqlserver_cell_or(k, i, "definition", ""));
        if (!rc)
            rc = script_disabled(s, k, i, table, out, err);
    }
    return rc;
}

static enum error_kind append_key_columns(const struct sqlserver_schema *s, const char *object, const char *which,
                                          struct buffer *sql, struct error *err)
{
    const struct sqlserver_rows *c = &s->sets[SET_FOREIGN_KEY_COLUMNS];
    const char *separator = "(";
    size_t at = 0;
    size_t row = 0;
    enum error_kind rc = OK;

    while (!rc && sqlserver_set_next(c, "object_id", object, &at, &row)) {
        rc = sqlserver_ddl(sql, err, "%s%n", separator, sqlserver_cell_or(c, row, which, ""));
        separator = ", ";
    }
    return rc ? rc : buffer_append_text(sql, ")", err);
}

/* "SET_NULL" as the statement has it. */
static enum error_kind append_action(struct buffer *sql, const char *event, const char *action, struct error *err)
{
    if (strcmp(action, "NO_ACTION") == 0)
        return OK;
    return sqlserver_ddl(sql, err, " ON %s %s", event,
                         strcmp(action, "SET_NULL") == 0      ? "SET NULL"
                         : strcmp(action, "SET_DEFAULT") == 0 ? "SET DEFAULT"
                                                              : "CASCADE");
}

static enum error_kind script_foreign_key(const struct sqlserver_schema *s, size_t i, struct sqlserver_script *out,
                                          struct error *err)
{
    const struct sqlserver_rows *t = &s->sets[SET_TABLES];
    const struct sqlserver_rows *f = &s->sets[SET_FOREIGN_KEYS];
    const char *object = sqlserver_cell_or(f, i, "object_id", "");
    const char *name = sqlserver_cell_or(f, i, "name", "");
    size_t table = parent_of(s, f, i);
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    enum error_kind rc;

    if (table == SIZE_MAX)
        return OK;
    rc = sqlserver_ddl(&sql, err, "ALTER TABLE %n.%n %s CONSTRAINT %n FOREIGN KEY ",
                       sqlserver_cell_or(t, table, "schema_name", ""), sqlserver_cell_or(t, table, "name", ""),
                       trust(f, i), name);
    if (!rc)
        rc = append_key_columns(s, object, "name", &sql, err);
    if (!rc)
        rc = sqlserver_ddl(&sql, err, " REFERENCES %n.%n ", sqlserver_cell_or(f, i, "referenced_schema", ""),
                           sqlserver_cell_or(f, i, "referenced_name", ""));
    if (!rc)
        rc = append_key_columns(s, object, "referenced_name", &sql, err);
    if (!rc)
        rc = append_action(&sql, "DELETE", sqlserver_cell_or(f, i, "on_delete", "NO_ACTION"), err);
    if (!rc)
        rc = append_action(&sql, "UPDATE", sqlserver_cell_or(f, i, "on_update", "NO_ACTION"), err);
    if (!rc && sqlserver_cell_flag(f, i, "is_not_for_replication"))
        rc = buffer_append_text(&sql, " NOT FOR REPLICATION", err);
    if (!rc)
        rc = sqlserver_script_take(out, SQLSERVER_PHASE_CONSTRAINTS, PLAIN, name, &sql, err);
    if (!rc)
        rc = script_disabled(s, f, i, table, out, err);
    buffer_release(&sql);
    return rc;
}

enum error_kind sqlserver_script_constraints(const struct sqlserver_schema *s, struct sqlserver_script *out,
                                             struct error *err)
{
    enum error_kind rc = script_defaults(s, out, err);

    if (!rc)
        rc = script_checks(s, out, err);
    for (size_t i = 0; !rc && i < s->sets[SET_FOREIGN_KEYS].count; i++)
        rc = script_foreign_key(s, i, out, err);
    return rc;
}
