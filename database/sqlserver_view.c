/*
 * One consistent view (D1). A SNAPSHOT transaction begins at its first access to data, so a table is touched before anybody believes in
 * it. READ COMMITTED SNAPSHOT is per statement and no help. Nothing of the database is changed for the sake of a view: whoever wants
 * writers to go on sets ALLOW_SNAPSHOT_ISOLATION once.
 */
#include <stdlib.h>
#include <string.h>

#include "sqlserver_native_internal.h"

enum { SQL_MAX = 64 * 1024 };

static enum error_kind add_name(void *arg, const struct database_row *row, struct error *err)
{
    struct buffer name = BUFFER_INIT(4096);
    enum error_kind rc;

    if (!row->values[0] || !row->values[1])
        return OK;
    rc = sqlserver_ddl_object(&name, row->values[0], row->values[1], err);
    if (!rc)
        rc = text_list_add(arg, (char *)name.data, err);
    buffer_release(&name);
    return rc;
}

static enum error_kind list_tables(struct sqlserver_link *l, struct text_list *out, struct error *err)
{
    return sqlserver_link_run(l,
                              "/* nopsnap: table names */ SELECT SCHEMA_NAME(t.schema_id) AS schema_name, t.name FROM "
                              "sys.tables t WHERE t.is_ms_shipped = 0 ORDER BY 1, 2",
                              add_name, out, err);
}

static enum error_kind touch(struct sqlserver_link *l, const char *table, const char *hint, struct error *err)
{
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    enum error_kind rc =
        sqlserver_ddl(&sql, err, "SELECT COUNT(*) FROM (SELECT TOP (1) 1 AS x FROM %s%s) AS touched", table, hint);

    if (!rc)
        rc = sqlserver_link_run(l, (char *)sql.data, NULL, NULL, err);
    buffer_release(&sql);
    return rc;
}

static void roll_back(struct sqlserver_link *l)
{
    struct error ignored = ERROR_INIT;

    (void)sqlserver_link_run(l, "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION", NULL, NULL, &ignored);
    error_clear(&ignored);
    (void)sqlserver_link_run(l, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED", NULL, NULL, &ignored);
}

static enum error_kind try_snapshot(struct sqlserver_link *l, const struct text_list *tables, struct error *err)
{
    enum error_kind rc = sqlserver_link_run(l, "SET TRANSACTION ISOLATION LEVEL SNAPSHOT", NULL, NULL, err);

    if (!rc)
        rc = sqlserver_link_run(l, "BEGIN TRANSACTION", NULL, NULL, err);
    if (!rc)
        rc = touch(l, tables->count ? tables->items[0] : "sys.objects", "", err);
    if (rc)
        roll_back(l);
    return rc;
}

/* In the order of their names: two that lock everything don't wait for each other in a circle. */
static enum error_kind lock_everything(struct sqlserver_link *l, const struct text_list *tables, struct error *err)
{
    enum error_kind rc = sqlserver_link_run(l, "BEGIN TRANSACTION", NULL, NULL, err);

    for (size_t i = 0; !rc && i < tables->count; i++) {
        rc = touch(l, tables->items[i], " WITH (TABLOCK, HOLDLOCK)", err);
        if (rc)
            error_context(err, "locking table %s for reading", tables->items[i]);
    }
    if (rc)
        roll_back(l);
    return rc;
}

static enum error_kind server_clock(struct sqlserver_link *l, int64_t *out, struct error *err)
{
    static const char now[] =
        "/* nopsnap: clock */ SELECT CAST(DATEDIFF(second, '19700101', SYSUTCDATETIME()) AS bigint) * "
        "1000000 + DATEPART(microsecond, SYSUTCDATETIME())";
    int64_t us = 0;
    enum error_kind rc = sqlserver_link_number(l, now, 0, &us, err);

    *out = us * 1000;
    return rc;
}

enum error_kind sqlserver_view_open(struct sqlserver_link *l, enum sqlserver_view_kind *kind, int64_t *moment_ns,
                                    struct text_list *remark, struct error *err)
{
    struct text_list tables = TEXT_LIST_INIT;
    struct error refused = ERROR_INIT;
    int64_t read_only = 0;
    enum error_kind rc;

    rc = list_tables(l, &tables, err);
    if (!rc)
        rc = server_clock(l, moment_ns, err);
    if (!rc)
        rc = sqlserver_link_number(l,
                                   "/* nopsnap: read only */ SELECT CAST(d.is_read_only AS int) FROM sys.databases d "
                                   "WHERE d.database_id = DB_ID()",
                                   0, &read_only, err);
    if (rc)
        goto done;
    if (read_only) {
        *kind = SQLSERVER_VIEW_READ_ONLY;
        rc = sqlserver_link_run(l, "BEGIN TRANSACTION", NULL, NULL, err);
        goto done;
    }
    *kind = SQLSERVER_VIEW_SNAPSHOT;
    if (!try_snapshot(l, &tables, &refused))
        goto done;
    *kind = SQLSERVER_VIEW_LOCKED;
    rc = text_list_addf(remark, err,
                        "SNAPSHOT isolation is not to be had (%s): while the database is read, nobody can write",
                        refused.text);
    if (!rc)
        rc = lock_everything(l, &tables, err);
    if (rc)
        error_hint(err, "let snapshots read without locks: ALTER DATABASE ... SET ALLOW_SNAPSHOT_ISOLATION ON");

done:
    text_list_release(&tables);
    return rc;
}

enum error_kind sqlserver_view_lock(struct sqlserver_link *l, int64_t *moment_ns, struct error *err)
{
    struct text_list tables = TEXT_LIST_INIT;
    enum error_kind rc = list_tables(l, &tables, err);

    if (!rc)
        rc = lock_everything(l, &tables, err);
    if (!rc)
        rc = server_clock(l, moment_ns, err);
    text_list_release(&tables);
    return rc;
}

enum error_kind sqlserver_view_check(struct sqlserver_link *l, struct error *err)
{
    int64_t open = 0;
    enum error_kind rc = sqlserver_link_number(l, "/* nopsnap: view */ SELECT @@TRANCOUNT", 0, &open, err);

    if (!rc && open < 1) {
        rc = error_set(err, ERR_REMOTE, 0, "the server has let go of the tables while they were read");
        error_hint(err, "try again; something ended nopsnap's transaction");
    }
    return rc;
}

enum error_kind sqlserver_view_close(struct sqlserver_link *l, struct error *err)
{
    return sqlserver_link_run(l, "IF @@TRANCOUNT > 0 COMMIT TRANSACTION", NULL, NULL, err);
}
