/* What the server is, what this login may do there, and what stands in the way. */
#include <stdlib.h>
#include <string.h>

#include "sqlserver_internal.h"

enum { SQL_MAX = 64 * 1024, UNREADABLE_LISTED = 20 };

static enum error_kind ask_flag(struct sqlserver_link *l, bool *out, struct error *err, const char *format,
                                const char *name)
{
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    int64_t n = 0;
    enum error_kind rc = sqlserver_ddl(&sql, err, format, name);

    if (!rc)
        rc = sqlserver_link_number(l, (char *)sql.data, 0, &n, err);
    *out = n > 0;
    buffer_release(&sql);
    return rc;
}

/* ---- beside ---- */

enum error_kind sqlserver_may_create(struct sqlserver_link *master, int64_t *out, struct error *err)
{
    return sqlserver_link_number(
        master,
        "/* nopsnap: may create */ SELECT CASE WHEN IS_SRVROLEMEMBER('sysadmin') = 1 OR IS_SRVROLEMEMBER('dbcreator') = 1 OR "
        "HAS_PERMS_BY_NAME(NULL, NULL, 'CREATE ANY DATABASE') = 1 THEN 1 ELSE 0 END",
        0, out, err);
}

/* RESTORE over a database that is there asks for more than CREATE ANY DATABASE; each of these may close and open it, too. */
enum error_kind sqlserver_may_go_back(struct sqlserver_link *master, const char *name, bool *out, struct error *err)
{
    return ask_flag(
        master, out, err,
        "/* nopsnap: may go back */ SELECT COUNT(*) FROM sys.databases d WHERE d.database_id = DB_ID(%t) AND "
        "(IS_SRVROLEMEMBER('sysadmin') = 1 OR IS_SRVROLEMEMBER('dbcreator') = 1 OR d.owner_sid = SUSER_SID())",
        name);
}

static enum error_kind why_not_beside(struct sqlserver_link *master, const char *name, bool exists, char **out,
                                      struct error *err)
{
    int64_t creates = 0;
    bool renames = true;
    enum error_kind rc;

    rc = sqlserver_may_create(master, &creates, err);
    if (!rc && creates && exists)
        rc = ask_flag(
            master, &renames, err,
            "/* nopsnap: may rename */ SELECT CASE WHEN IS_SRVROLEMEMBER('sysadmin') = 1 OR "
            "IS_SRVROLEMEMBER('dbcreator') = 1 OR HAS_PERMS_BY_NAME(QUOTENAME(%t), 'DATABASE', 'ALTER') = 1 THEN 1 ELSE 0 END",
            name);
    if (!rc && !creates)
        rc = memory_string("this login may not create databases (server role dbcreator)", out, err);
    else if (!rc && !renames)
        rc = memory_format(out, err, "this login may not alter database %s", name);
    return rc;
}

/* ---- remarks ---- */

static enum error_kind remark_on_view(struct sqlserver_link *master, const char *name, struct text_list *out,
                                      struct error *err)
{
    bool versioned = false;
    enum error_kind rc =
        ask_flag(master, &versioned, err,
                 "/* nopsnap: row versions */ SELECT CASE WHEN d.snapshot_isolation_state = 1 OR d.is_read_only "
                 "= 1 THEN 1 ELSE 0 END FROM sys.databases d WHERE d.name = %t",
                 name);

    return rc || versioned
               ? rc
               : text_list_addf(
                     out, err,
                     "database %s does not allow SNAPSHOT isolation: while it is dumped nobody can write (ALTER "
                     "DATABASE ... SET ALLOW_SNAPSHOT_ISOLATION ON changes that)",
                     name);
}

static enum error_kind remark_on_sessions(struct sqlserver_link *master, struct text_list *out, struct error *err)
{
    bool sees = false;
    enum error_kind rc = ask_flag(
        master, &sees, err,
        "/* nopsnap: sees sessions */ SELECT CASE WHEN IS_SRVROLEMEMBER('sysadmin') = 1 OR HAS_PERMS_BY_NAME(NULL, "
        "NULL, 'VIEW SERVER STATE') = 1 THEN 1 ELSE 0 END",
        "");

    return rc || sees
               ? rc
               : text_list_add(out,
                               "this login does not see other logins' sessions (VIEW SERVER STATE): who else is in the "
                               "database is not known",
                               err);
}

/* ---- what can't be read ---- */

static enum error_kind add_unreadable(void *arg, const struct database_row *row, struct error *err)
{
    if (!row->values[0] || !row->values[1])
        return OK;
    return text_list_addf(arg, err, "this login may not read %s.%s", row->values[0], row->values[1]);
}

static enum error_kind find_unreadable(struct sqlserver_link *live, struct text_list *out, struct error *err)
{
    static const char sql[] =
        "/* nopsnap: unreadable */ SELECT TOP (20) SCHEMA_NAME(t.schema_id) AS schema_name, t.name FROM sys.tables t WHERE "
        "t.is_ms_shipped = 0 AND HAS_PERMS_BY_NAME(QUOTENAME(SCHEMA_NAME(t.schema_id)) + N'.' + QUOTENAME(t.name), "
        "'OBJECT', 'SELECT') = 0 ORDER BY 1, 2";
    bool defined = false;
    enum error_kind rc = sqlserver_link_run(live, sql, add_unreadable, out, err);

    if (!rc) /* without it definitions are NULL, and tables that may not be read are not even listed */
        rc = ask_flag(
            live, &defined, err,
            "/* nopsnap: sees definitions */ SELECT CASE WHEN IS_SRVROLEMEMBER('sysadmin') = 1 OR IS_MEMBER('db_owner') "
            "= 1 OR HAS_PERMS_BY_NAME(DB_NAME(), 'DATABASE', 'VIEW DEFINITION') = 1 THEN 1 ELSE 0 END",
            "");
    if (!rc && !defined)
        rc = text_list_add(out, "this login may not see the definitions in the database (VIEW DEFINITION)", err);
    return rc;
}

/* ---- all of it ---- */

static enum error_kind probe_live(struct sqlserver_link *live, struct database_info *out, struct error *err)
{
    int64_t pages = 0;
    enum error_kind rc;

    rc = sqlserver_link_number(live,
                               "/* nopsnap: size */ SELECT CAST(SUM(CAST(f.size AS bigint)) AS bigint) FROM "
                               "sys.database_files f WHERE f.type = 0",
                               0, &pages, err);
    out->size = pages > 0 ? (uint64_t)pages * 8192 : 0;
    return rc ? rc : find_unreadable(live, &out->unreadable, err);
}

static enum error_kind probe_server(struct database *db, struct sqlserver_link *master, struct database_info *out,
                                    struct error *err)
{
    struct sqlserver_places places = {{0}};
    const char *name = NULL;
    enum error_kind rc = sqlserver_places_read(master, &places, err);

    if (!rc)
        rc = sqlserver_link_text(
            master, "/* nopsnap: version */ SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128))",
            &out->server_version, err);
    if (!rc && out->exists)
        rc = sqlserver_identity(&places, db->name, &out->identity, err);
    name = sqlserver_place_name(&places, db->name);
    if (!rc)
        rc = why_not_beside(master, name ? name : db->name, out->exists, &out->why_in_place, err);
    out->can_beside = !rc && !out->why_in_place;
    if (!rc && !out->exists && !out->can_beside)
        rc = text_list_addf(
            &out->obstacles, err,
            "there is no database %s, and %s: make an empty one, or name a login that may with database-admin in "
            "the config",
            db->name, out->why_in_place);
    if (!rc && out->exists)
        rc = sqlserver_obstacles(master, name ? name : db->name, false, &out->obstacles, err);
    if (!rc && out->exists)
        rc = remark_on_view(master, name ? name : db->name, &out->remarks, err);
    if (!rc)
        rc = remark_on_sessions(master, &out->remarks, err);
    sqlserver_places_release(&places);
    return rc;
}

/* A load of ours that a kill cut short: it can't be entered, yet it has an identity by which it can be dropped. */
static bool half_restored(struct database *db, struct database_info *out, struct error *err)
{
    struct sqlserver_places places = {{0}};
    struct sqlserver_link *master = NULL;
    const char *name = NULL;
    bool found = false;

    if (!database_is_private_name(db->name, db->target->name, DATABASE_INFIX_BESIDE, SQLSERVER_NAME_MAX))
        return false;
    if (!sqlserver_master(db, &master, err) && !sqlserver_places_read(master, &places, err)) {
        name = sqlserver_place_name(&places, db->name);
        found = name && sqlserver_place_is_restoring(&places, name) &&
                !sqlserver_identity(&places, name, &out->identity, err);
    }
    sqlserver_places_release(&places);
    return found;
}

/* A database snapshot whose volume was full: its name is there, and what it kept is not. */
static enum error_kind is_lost_point(struct database *db, bool *out, struct error *err)
{
    struct sqlserver_places places = {{0}};
    struct sqlserver_link *master = NULL;
    enum error_kind rc;

    *out = false;
    if (!database_is_private_name(db->name, db->target->name, DATABASE_INFIX_POINT, SQLSERVER_NAME_MAX))
        return OK;
    rc = sqlserver_master(db, &master, err);
    if (!rc)
        rc = sqlserver_places_read(master, &places, err);
    *out = !rc && sqlserver_place_is_suspect(&places, db->name);
    sqlserver_places_release(&places);
    return rc;
}

enum error_kind sqlserver_probe(struct database *db, struct database_info *out, struct error *err)
{
    struct sqlserver_link *live = NULL;
    struct sqlserver_link *master = NULL;
    struct error missing = ERROR_INIT;
    bool lost = false;
    enum error_kind rc = is_lost_point(db, &lost, err);

    if (rc || lost)
        return rc;
    rc = sqlserver_live(db, &live, &missing);

    out->exists = !rc;
    if (rc == ERR_BUSY && half_restored(db, out, err))
        return OK;
    if (rc && rc != ERR_NOT_FOUND) {
        error_copy(err, &missing);
        return rc;
    }
    rc = sqlserver_master(db, &master, err);
    if (!rc)
        rc = probe_server(db, master, out, err);
    if (!rc && out->exists)
        rc = probe_live(live, out, err);
    return rc;
}
