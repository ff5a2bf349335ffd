/* Rows and the highest Id of every table, counted and not estimated. */
#include <stdlib.h>
#include <string.h>

#include "sqlserver_internal.h"

enum { SQL_MAX = 64 * 1024 };

struct counting {
    struct database_counts *out;
    const char *name;
};

static enum error_kind take_count(void *arg, const struct database_row *row, struct error *err)
{
    struct counting *c = arg;
    const char *rows = row->values[0];
    const char *id = row->columns > 1 ? row->values[1] : NULL;

    return database_counts_add(c->out, c->name, rows ? strtoull(rows, NULL, 10) : 0, id ? strtoll(id, NULL, 10) : -1,
                               err);
}

static enum error_kind count_table(struct sqlserver_link *l, const struct sqlserver_rows *t, size_t row,
                                   struct database_counts *out, struct error *err)
{
    const char *schema = sqlserver_cell_or(t, row, "schema_name", "");
    const char *table = sqlserver_cell_or(t, row, "name", "");
    const char *id = sqlserver_cell(t, row, "id_name");
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    struct counting counting = {.out = out};
    char *name = NULL;
    enum error_kind rc = memory_format(&name, err, "%s.%s", schema, table);

    counting.name = name;
    if (!rc)
        rc = buffer_append_text(&sql, "SELECT COUNT_BIG(*)", err);
    if (!rc && id)
        rc = sqlserver_ddl(&sql, err, ", CAST(MAX(%n) AS bigint)", id);
    if (!rc)
        rc = sqlserver_ddl(&sql, err, " FROM %n.%n", schema, table);
    if (!rc)
        rc = sqlserver_link_run(l, (char *)sql.data, take_count, &counting, err);
    buffer_release(&sql);
    free(name);
    return rc;
}

enum error_kind sqlserver_count(struct database *db, const char *name, struct database_counts *out, struct error *err)
{
    static const char tables[] =
        "/* nopsnap: tables to count */ SELECT SCHEMA_NAME(t.schema_id) AS schema_name, t.name, c.name AS id_name "
        "FROM sys.tables t LEFT JOIN sys.columns c ON c.object_id = t.object_id AND LOWER(c.name) = N'id' AND "
        "TYPE_NAME(c.system_type_id) IN (N'tinyint', N'smallint', N'int', N'bigint') WHERE t.is_ms_shipped = 0 AND "
        "t.name NOT IN (N'" SQLSERVER_MARKER "', N'" SQLSERVER_STAGING "')";
    struct sqlserver_link *l = NULL;
    struct sqlserver_rows rows = {0};
    bool owned = false;
    enum error_kind rc = sqlserver_borrow(db, name, &l, &owned, err);

    if (!rc)
        rc = sqlserver_link_run(l, tables, sqlserver_rows_add, &rows, err);
    for (size_t i = 0; !rc && i < rows.count; i++)
        rc = count_table(l, &rows, i, out, err);
    sqlserver_rows_release(&rows);
    if (owned)
        sqlserver_link_close(l);
    return rc;
}
