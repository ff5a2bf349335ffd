/* The database's own options, principals, types, full-text, permissions, extended properties. */
#include <stdlib.h>
#include <string.h>

#include "sqlserver_schema_internal.h"

enum { SQL_MAX = 16 * 1024 * 1024, PLAIN = SQLSERVER_ANSI_NULLS | SQLSERVER_QUOTED_IDENTIFIER };
enum { MAY_FAIL = PLAIN | SQLSERVER_OPTIONAL };

/* ---- the database ---- */

/* Each is set only where it differs: the right to alter the database may be missing. */
static const struct {
    const char *column; /* of sys.databases */
    const char *on;
    const char *off;
} options[] = {
    {"is_auto_close_on", "AUTO_CLOSE ON", "AUTO_CLOSE OFF"},
    {"is_auto_shrink_on", "AUTO_SHRINK ON", "AUTO_SHRINK OFF"},
    {"is_auto_create_stats_on", "AUTO_CREATE_STATISTICS ON", "AUTO_CREATE_STATISTICS OFF"},
    {"is_auto_update_stats_on", "AUTO_UPDATE_STATISTICS ON", "AUTO_UPDATE_STATISTICS OFF"},
    {"is_auto_update_stats_async_on", "AUTO_UPDATE_STATISTICS_ASYNC ON", "AUTO_UPDATE_STATISTICS_ASYNC OFF"},
    {"is_recursive_triggers_on", "RECURSIVE_TRIGGERS ON", "RECURSIVE_TRIGGERS OFF"},
    {"is_parameterization_forced", "PARAMETERIZATION FORCED", "PARAMETERIZATION SIMPLE"},
    {"is_ansi_null_default_on", "ANSI_NULL_DEFAULT ON", "ANSI_NULL_DEFAULT OFF"},
    {"is_ansi_nulls_on", "ANSI_NULLS ON", "ANSI_NULLS OFF"},
    {"is_ansi_padding_on", "ANSI_PADDING ON", "ANSI_PADDING OFF"},
    {"is_ansi_warnings_on", "ANSI_WARNINGS ON", "ANSI_WARNINGS OFF"},
    {"is_arithabort_on", "ARITHABORT ON", "ARITHABORT OFF"},
    {"is_concat_null_yields_null_on", "CONCAT_NULL_YIELDS_NULL ON", "CONCAT_NULL_YIELDS_NULL OFF"},
    {"is_quoted_identifier_on", "QUOTED_IDENTIFIER ON", "QUOTED_IDENTIFIER OFF"},
    {"is_numeric_roundabort_on", "NUMERIC_ROUNDABORT ON", "NUMERIC_ROUNDABORT OFF"},
    {"is_cursor_close_on_commit_on", "CURSOR_CLOSE_ON_COMMIT ON", "CURSOR_CLOSE_ON_COMMIT OFF"},
    {"is_local_cursor_default", "CURSOR_DEFAULT LOCAL", "CURSOR_DEFAULT GLOBAL"},
    {"is_date_correlation_on", "DATE_CORRELATION_OPTIMIZATION ON", "DATE_CORRELATION_OPTIMIZATION OFF"},
    {"is_db_chaining_on", "DB_CHAINING ON", "DB_CHAINING OFF"},
    {"is_trustworthy_on", "TRUSTWORTHY ON", "TRUSTWORTHY OFF"},
    {"is_broker_enabled", "ENABLE_BROKER WITH ROLLBACK IMMEDIATE", "DISABLE_BROKER WITH ROLLBACK IMMEDIATE"},
    {"is_read_committed_snapshot_on", "READ_COMMITTED_SNAPSHOT ON WITH ROLLBACK IMMEDIATE",
     "READ_COMMITTED_SNAPSHOT OFF WITH ROLLBACK IMMEDIATE"},
};

static const char differs[] = "IF EXISTS (SELECT 1 FROM sys.databases WHERE database_id = DB_ID() AND %s <> %s) "
                              "EXEC (N'ALTER DATABASE CURRENT SET %s')";

static enum error_kind script_options(const struct sqlserver_rows *d, struct sqlserver_script *out, struct error *err)
{
    const char *verify = sqlserver_cell(d, 0, "page_verify_option_desc");
    const char *recovery = sqlserver_cell(d, 0, "recovery_model_desc");
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < sizeof options / sizeof options[0]; i++) {
        const char *value = sqlserver_cell(d, 0, options[i].column);

        if (value)
            rc = sqlserver_script_add(out, SQLSERVER_PHASE_PROPERTIES, MAY_FAIL, options[i].on, err, differs,
                                      options[i].column, *value == '0' ? "0" : "1",
                                      *value == '0' ? options[i].off : options[i].on);
    }
    if (!rc && verify)
        rc = sqlserver_script_add(out, SQLSERVER_PHASE_PROPERTIES, MAY_FAIL, "PAGE_VERIFY", err,
                                  "IF EXISTS (SELECT 1 FROM sys.databases WHERE database_id = DB_ID() AND "
                                  "page_verify_option_desc <> %t) EXEC (N'ALTER DATABASE CURRENT SET PAGE_VERIFY %s')",
                                  verify, verify);
    /* 1 and 3 are on and on its way there. */
    if (!rc && sqlserver_cell_number(d, 0, "snapshot_isolation_state", 0) % 2 == 1)
        rc = sqlserver_script_add(out, SQLSERVER_PHASE_PROPERTIES, MAY_FAIL, "ALLOW_SNAPSHOT_ISOLATION", err, differs,
                                  "snapshot_isolation_state", "1", "ALLOW_SNAPSHOT_ISOLATION ON");
    if (!rc && recovery)
        rc = sqlserver_script_add(out, SQLSERVER_PHASE_PROPERTIES, MAY_FAIL, "RECOVERY", err,
                                  "IF EXISTS (SELECT 1 FROM sys.databases WHERE database_id = DB_ID() AND "
                                  "recovery_model_desc <> %t) EXEC (N'ALTER DATABASE CURRENT SET RECOVERY %s')",
                                  recovery, recovery);
    return rc;
}

/* A value that is a number stands as it is; "ON", "OFF", "AUTO" are words. Whatever else there may be is not guessed at. */
static enum error_kind script_scoped(const struct sqlserver_rows *g, struct sqlserver_script *out, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < g->count; i++) {
        const char *name = sqlserver_cell_or(g, i, "name", "");
        const char *value = sqlserver_cell_or(g, i, "value", "");

        if (strcmp(name, "MAXDOP") != 0)
            value = strcmp(value, "1") == 0 ? "ON" : strcmp(value, "0") == 0 ? "OFF" : value;
        rc = sqlserver_script_add(out, SQLSERVER_PHASE_PROPERTIES, MAY_FAIL, name, err,
                                  "ALTER DATABASE SCOPED CONFIGURATION SET %s = %s", name, value);
    }
    return rc;
}

enum error_kind sqlserver_script_database(const struct sqlserver_schema *s, struct sqlserver_script *out,
                                          struct error *err)
{
    const struct sqlserver_rows *d = &s->sets[SET_DATABASE];
    int64_t level = d->count ? sqlserver_cell_number(d, 0, "compatibility_level", 0) : 0;
    enum error_kind rc = OK;

    if (!d->count)
        return error_set(err, ERR_REMOTE, 0, "the server does not say what this database is");
    if (level)
        rc = sqlserver_script_add(
            out, SQLSERVER_PHASE_DATABASE, MAY_FAIL, "COMPATIBILITY_LEVEL", err,
            "IF EXISTS (SELECT 1 FROM sys.databases WHERE database_id = DB_ID() AND "
            "compatibility_level <> %l) EXEC (N'ALTER DATABASE CURRENT SET COMPATIBILITY_LEVEL = %l')",
            level, level);
    if (!rc)
        rc = script_scoped(&s->sets[SET_SCOPED_CONFIGURATION], out, err);
    return rc ? rc : script_options(d, out, err);
}

/* ---- principals ---- */

static enum error_kind script_user(const struct sqlserver_rows *p, size_t row, struct sqlserver_script *out,
                                   struct error *err)
{
    const char *name = sqlserver_cell_or(p, row, "name", "");
    const char *login = sqlserver_cell(p, row, "login_name");
    const char *schema = sqlserver_cell(p, row, "default_schema_name");
    struct buffer with = BUFFER_INIT(4096);
    enum error_kind rc = OK;

    if (schema)
        rc = sqlserver_ddl(&with, err, "DEFAULT_SCHEMA = %n", schema);
    if (!rc && login && sqlserver_cell_number(p, row, "authentication_type", 1) != 2)
        rc = sqlserver_script_add(out, SQLSERVER_PHASE_PRINCIPALS, MAY_FAIL, name, err,
                                  "IF USER_ID(%t) IS NULL CREATE USER %n FOR LOGIN %n%s%s", name, name, login,
                                  with.len ? " WITH " : "", with.len ? (char *)with.data : "");
    /* Where this server has no such login, the user owns what he owned all the same. */
    if (!rc)
        rc = sqlserver_script_add(out, SQLSERVER_PHASE_PRINCIPALS, MAY_FAIL, name, err,
                                  "IF USER_ID(%t) IS NULL CREATE USER %n WITHOUT LOGIN%s%s", name, name,
                                  with.len ? " WITH " : "", with.len ? (char *)with.data : "");
    buffer_release(&with);
    return rc;
}

static enum error_kind script_role(const struct sqlserver_rows *p, size_t row, struct sqlserver_script *out,
                                   struct error *err)
{
    const char *name = sqlserver_cell_or(p, row, "name", "");
    const char *owner = sqlserver_cell_or(p, row, "owner_name", "dbo");
    enum error_kind rc;

    rc = sqlserver_script_add(out, SQLSERVER_PHASE_PRINCIPALS, MAY_FAIL, name, err,
                              "IF USER_ID(%t) IS NULL CREATE ROLE %n", name, name);
    if (!rc && strcmp(owner, "dbo") != 0)
        rc = sqlserver_script_add(out, SQLSERVER_PHASE_PROPERTIES, MAY_FAIL, name, err,
                                  "ALTER AUTHORIZATION ON ROLE::%n TO %n", name, owner);
    return rc;
}

static enum error_kind script_schemas(const struct sqlserver_rows *x, struct sqlserver_script *out, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < x->count; i++) {
        const char *name = sqlserver_cell_or(x, i, "name", "");
        const char *owner = sqlserver_cell_or(x, i, "owner_name", "dbo");

        rc = sqlserver_script_add(out, SQLSERVER_PHASE_PRINCIPALS, PLAIN, name, err,
                                  "IF SCHEMA_ID(%t) IS NULL EXEC (N'CREATE SCHEMA %n')", name, name);
        if (!rc && strcmp(owner, "dbo") != 0)
            rc = sqlserver_script_add(out, SQLSERVER_PHASE_PROPERTIES, MAY_FAIL, name, err,
                                      "ALTER AUTHORIZATION ON SCHEMA::%n TO %n", name, owner);
    }
    return rc;
}

static const char *state_word(const char *state)
{
    switch (*state) {
    case 'D':
        return "DENY";
    case 'R':
        return "REVOKE";
    default:
        return "GRANT";
    }
}

/* What it is about, as GRANT has it; false for a class that is not carried. */
static enum error_kind append_securable(const struct sqlserver_rows *x, size_t row, struct buffer *sql, bool *known,
                                        struct error *err)
{
    const char *schema = sqlserver_cell_or(x, row, "schema_name", "");
    const char *object = sqlserver_cell_or(x, row, "object_name", "");
    const char *column = sqlserver_cell(x, row, "column_name");
    enum error_kind rc;

    *known = true;
    switch (sqlserver_cell_number(x, row, "class", -1)) {
    case 0:
        return OK;
    case 1:
        rc = sqlserver_ddl(sql, err, " ON OBJECT::%n.%n", schema, object);
        return rc || !column ? rc : sqlserver_ddl(sql, err, " (%n)", column);
    case 3:
        return sqlserver_ddl(sql, err, " ON SCHEMA::%n", schema);
    case 6:
        return sqlserver_ddl(sql, err, " ON TYPE::%n.%n", schema, object);
    default:
        *known = false;
        return OK;
    }
}

static enum error_kind script_permissions(const struct sqlserver_rows *x, struct sqlserver_script *out,
                                          struct error *err)
{
    struct buffer on = BUFFER_INIT(8192);
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < x->count; i++) {
        const char *state = sqlserver_cell_or(x, i, "state", "G");
        const char *grantee = sqlserver_cell_or(x, i, "grantee_name", "");
        bool known = false;

        buffer_clear(&on);
        rc = append_securable(x, i, &on, &known, err);
        if (!rc && known)
            rc =
                sqlserver_script_add(out, SQLSERVER_PHASE_PROPERTIES, MAY_FAIL, grantee, err, "%s %s%s TO %n%s",
                                     state_word(state), sqlserver_cell_or(x, i, "permission_name", ""),
                                     on.len ? (char *)on.data : "", grantee, *state == 'W' ? " WITH GRANT OPTION" : "");
    }
    buffer_release(&on);
    return rc;
}

enum error_kind sqlserver_script_principals(const struct sqlserver_schema *s, struct sqlserver_script *out,
                                            struct error *err)
{
    const struct sqlserver_rows *p = &s->sets[SET_PRINCIPALS];
    const struct sqlserver_rows *m = &s->sets[SET_ROLE_MEMBERS];
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < p->count; i++) {
        char type = *sqlserver_cell_or(p, i, "type", "");

        if (type == 'R')
            rc = script_role(p, i, out, err);
        else if (type && strchr("SUGEX", type))
            rc = script_user(p, i, out, err);
    }
    if (!rc)
        rc = script_schemas(&s->sets[SET_SCHEMAS], out, err);
    for (size_t i = 0; !rc && i < m->count; i++)
        rc = sqlserver_script_add(out, SQLSERVER_PHASE_PROPERTIES, MAY_FAIL, sqlserver_cell_or(m, i, "role_name", ""),
                                  err, "ALTER ROLE %n ADD MEMBER %n", sqlserver_cell_or(m, i, "role_name", ""),
                                  sqlserver_cell_or(m, i, "member_name", ""));
    return rc ? rc : script_permissions(&s->sets[SET_PERMISSIONS], out, err);
}

/* ---- types ---- */

static enum error_kind script_alias(const struct sqlserver_rows *t, size_t row, struct sqlserver_script *out,
                                    struct error *err)
{
    struct buffer base = BUFFER_INIT(4096);
    const char *name = sqlserver_cell_or(t, row, "name", "");
    enum error_kind rc;

    if (sqlserver_cell_flag(t, row, "is_assembly_type"))
        return OK; /* comes with its assembly, which is listed as lost; a column of it was refused */
    rc = sqlserver_type_text(t, row, &base, err);
    if (!rc)
        rc = sqlserver_script_add(out, SQLSERVER_PHASE_TYPES, PLAIN, name, err, "CREATE TYPE %n.%n FROM %s %s",
                                  sqlserver_cell_or(t, row, "schema_name", ""), name, (char *)base.data,
                                  sqlserver_cell_flag(t, row, "is_nullable") ? "NULL" : "NOT NULL");
    buffer_release(&base);
    return rc;
}

/* PRIMARY KEY and UNIQUE of a table type; they have no names there. */
static enum error_kind append_type_keys(const struct sqlserver_schema *s, const char *object, struct buffer *sql,
                                        struct error *err)
{
    const struct sqlserver_rows *x = &s->sets[SET_INDEXES];
    const struct sqlserver_rows *c = &s->sets[SET_INDEX_COLUMNS];
    size_t at = 0;
    size_t row = 0;
    enum error_kind rc = OK;

    while (!rc && sqlserver_set_next(x, "object_id", object, &at, &row)) {
        const char *separator = "";
        size_t column_at = 0;
        size_t column = 0;
        bool primary = sqlserver_cell_flag(x, row, "is_primary_key");

        if (!primary && !sqlserver_cell_flag(x, row, "is_unique_constraint"))
            continue;
        rc = sqlserver_ddl(sql, err, ",\n    %s %s (", primary ? "PRIMARY KEY" : "UNIQUE",
                           sqlserver_cell_number(x, row, "type", 0) == 1 ? "CLUSTERED" : "NONCLUSTERED");
        while (!rc && sqlserver_set_next(c, "object_id", object, &column_at, &column))
            if (strcmp(sqlserver_cell_or(c, column, "index_id", ""), sqlserver_cell_or(x, row, "index_id", "-")) == 0) {
                rc = sqlserver_ddl(sql, err, "%s%n%s", separator, sqlserver_cell_or(c, column, "name", ""),
                                   sqlserver_cell_flag(c, column, "is_descending_key") ? " DESC" : "");
                separator = ", ";
            }
        if (!rc)
            rc = buffer_append_text(sql, ")", err);
    }
    return rc;
}

static enum error_kind append_type_constraints(const struct sqlserver_schema *s, const char *object, struct buffer *sql,
                                               struct error *err)
{
    const struct sqlserver_rows *k = &s->sets[SET_CHECKS];
    size_t at = 0;
    size_t row = 0;
    enum error_kind rc = OK;

    while (!rc && sqlserver_set_next(k, "parent", object, &at, &row))
        rc = sqlserver_ddl(sql, err, ",\n    CHECK %s", sqlserver_cell_or(k, row, "definition", "(1 = 1)"));
    return rc;
}

static enum error_kind script_table_type(const struct sqlserver_schema *s, size_t row, struct sqlserver_script *out,
                                         struct error *err)
{
    const struct sqlserver_rows *t = &s->sets[SET_TABLE_TYPES];
    const char *name = sqlserver_cell_or(t, row, "name", "");
    const char *object = sqlserver_cell_or(t, row, "object_id", "");
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    enum error_kind rc;

    rc = sqlserver_ddl(&sql, err, "CREATE TYPE %n.%n AS TABLE (", sqlserver_cell_or(t, row, "schema_name", ""), name);
    if (!rc)
        rc = sqlserver_ddl_columns(s, object, &sql, err);
    if (!rc)
        rc = append_type_keys(s, object, &sql, err);
    if (!rc)
        rc = append_type_constraints(s, object, &sql, err);
    if (!rc)
        rc = buffer_append_text(&sql, "\n)", err);
    if (!rc)
        rc = sqlserver_script_take(out, SQLSERVER_PHASE_TYPES, PLAIN, name, &sql, err);
    buffer_release(&sql);
    return rc;
}

/*
 * The current value is START WITH both before and after the first use, so where the server does not say which, one that stands at its
 * start counts as unused: at worst one number is given out a second time, which a unique key then refuses.
 */
static enum error_kind script_sequence(const struct sqlserver_rows *q, size_t row, struct sqlserver_script *out,
                                       struct error *err)
{
    const char *schema = sqlserver_cell_or(q, row, "schema_name", "");
    const char *name = sqlserver_cell_or(q, row, "name", "");
    struct buffer sql = BUFFER_INIT(8192);
    enum error_kind rc;

    rc = sqlserver_ddl(&sql, err, "CREATE SEQUENCE %n.%n AS %s", schema, name,
                       sqlserver_cell_or(q, row, "type_name", "bigint"));
    if (!rc && strcmp(sqlserver_cell_or(q, row, "type_name", ""), "decimal") == 0)
        rc = sqlserver_ddl(&sql, err, "(%s, 0)", sqlserver_cell_or(q, row, "precision", "38"));
    if (!rc)
        rc = sqlserver_ddl(
            &sql, err, " START WITH %s INCREMENT BY %s MINVALUE %s MAXVALUE %s %s",
            sqlserver_cell_or(q, row, "start_value", "1"), sqlserver_cell_or(q, row, "increment_value", "1"),
            sqlserver_cell_or(q, row, "minimum_value", "1"), sqlserver_cell_or(q, row, "maximum_value", "1"),
            sqlserver_cell_flag(q, row, "is_cycling") ? "CYCLE" : "NO CYCLE");
    if (!rc && !sqlserver_cell_flag(q, row, "is_cached"))
        rc = buffer_append_text(&sql, " NO CACHE", err);
    else if (!rc && sqlserver_cell_number(q, row, "cache_size", 0) > 0)
        rc = sqlserver_ddl(&sql, err, " CACHE %s", sqlserver_cell_or(q, row, "cache_size", "50"));
    if (!rc)
        rc = sqlserver_script_take(out, SQLSERVER_PHASE_TYPES, PLAIN, name, &sql, err);
    if (!rc && sqlserver_cell_flag(q, row, "is_used") && sqlserver_cell(q, row, "next_value"))
        rc = sqlserver_script_add(out, SQLSERVER_PHASE_POSITIONS, MAY_FAIL, name, err,
                                  "ALTER SEQUENCE %n.%n RESTART WITH %s", schema, name,
                                  sqlserver_cell_or(q, row, "next_value", "1"));
    buffer_release(&sql);
    return rc;
}

enum error_kind sqlserver_script_types(const struct sqlserver_schema *s, struct sqlserver_script *out,
                                       struct error *err)
{
    const struct sqlserver_rows *x = &s->sets[SET_XML_COLLECTIONS];
    const struct sqlserver_rows *y = &s->sets[SET_SYNONYMS];
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < x->count; i++)
        rc =
            sqlserver_script_add(out, SQLSERVER_PHASE_TYPES, PLAIN, sqlserver_cell_or(x, i, "name", ""), err,
                                 "CREATE XML SCHEMA COLLECTION %n.%n AS %t", sqlserver_cell_or(x, i, "schema_name", ""),
                                 sqlserver_cell_or(x, i, "name", ""), sqlserver_cell_or(x, i, "definition", ""));
    for (size_t i = 0; !rc && i < s->sets[SET_TYPES].count; i++)
        rc = script_alias(&s->sets[SET_TYPES], i, out, err);
    for (size_t i = 0; !rc && i < s->sets[SET_TABLE_TYPES].count; i++)
        rc = script_table_type(s, i, out, err);
    for (size_t i = 0; !rc && i < s->sets[SET_SEQUENCES].count; i++)
        rc = script_sequence(&s->sets[SET_SEQUENCES], i, out, err);
    for (size_t i = 0; !rc && i < y->count; i++)
        rc = sqlserver_script_add(out, SQLSERVER_PHASE_TYPES, PLAIN, sqlserver_cell_or(y, i, "name", ""), err,
                                  "CREATE SYNONYM %n.%n FOR %s", sqlserver_cell_or(y, i, "schema_name", ""),
                                  sqlserver_cell_or(y, i, "name", ""), sqlserver_cell_or(y, i, "base_object_name", ""));
    return rc;
}

/* ---- full-text ---- */

static enum error_kind append_fulltext_columns(const struct sqlserver_schema *s, const char *object, struct buffer *sql,
                                               struct error *err)
{
    const struct sqlserver_rows *c = &s->sets[SET_FULLTEXT_COLUMNS];
    const char *separator = "";
    size_t at = 0;
    size_t row = 0;
    enum error_kind rc = OK;

    while (!rc && sqlserver_set_next(c, "object_id", object, &at, &row)) {
        const char *type = sqlserver_cell(c, row, "type_column");

        rc = sqlserver_ddl(sql, err, "%s%n", separator, sqlserver_cell_or(c, row, "name", ""));
        if (!rc && type)
            rc = sqlserver_ddl(sql, err, " TYPE COLUMN %n", type);
        if (!rc)
            rc = sqlserver_ddl(sql, err, " LANGUAGE %l", sqlserver_cell_number(c, row, "language_id", 0));
        separator = ", ";
    }
    return rc;
}

/* A search index holds no content of its own: one that this server can't make (the feature is missing) is a note. */
static enum error_kind script_fulltext_index(const struct sqlserver_schema *s, size_t row, struct sqlserver_script *out,
                                             struct error *err)
{
    const struct sqlserver_rows *x = &s->sets[SET_FULLTEXT_INDEXES];
    const char *schema = sqlserver_cell_or(x, row, "schema_name", "");
    const char *name = sqlserver_cell_or(x, row, "name", "");
    const char *stoplist = sqlserver_cell_or(x, row, "stoplist", "SYSTEM");
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    enum error_kind rc;

    rc = sqlserver_ddl(&sql, err, "CREATE FULLTEXT INDEX ON %n.%n (", schema, name);
    if (!rc)
        rc = append_fulltext_columns(s, sqlserver_cell_or(x, row, "object_id", ""), &sql, err);
    if (!rc)
        rc = sqlserver_ddl(&sql, err, ") KEY INDEX %n ON %n WITH (CHANGE_TRACKING = %s, STOPLIST = %s)",
                           sqlserver_cell_or(x, row, "key_name", ""), sqlserver_cell_or(x, row, "catalog_name", ""),
                           sqlserver_cell_or(x, row, "change_tracking_state_desc", "AUTO"),
                           *stoplist ? stoplist : "SYSTEM");
    if (!rc)
        rc = sqlserver_script_take(out, SQLSERVER_PHASE_PROPERTIES, MAY_FAIL, name, &sql, err);
    if (!rc && !sqlserver_cell_number(x, row, "is_enabled", 1))
        rc = sqlserver_script_add(out, SQLSERVER_PHASE_PROPERTIES, MAY_FAIL, name, err,
                                  "ALTER FULLTEXT INDEX ON %n.%n DISABLE", schema, name);
    buffer_release(&sql);
    return rc;
}

enum error_kind sqlserver_script_fulltext(const struct sqlserver_schema *s, struct sqlserver_script *out,
                                          struct error *err)
{
    const struct sqlserver_rows *f = &s->sets[SET_FULLTEXT_CATALOGS];
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < f->count; i++)
        rc = sqlserver_script_add(out, SQLSERVER_PHASE_PROPERTIES, MAY_FAIL, sqlserver_cell_or(f, i, "name", ""), err,
                                  "CREATE FULLTEXT CATALOG %n WITH ACCENT_SENSITIVITY = %s%s",
                                  sqlserver_cell_or(f, i, "name", ""),
                                  sqlserver_cell_flag(f, i, "is_accent_sensitivity_on") ? "ON" : "OFF",
                                  sqlserver_cell_flag(f, i, "is_default") ? " AS DEFAULT" : "");
    for (size_t i = 0; !rc && i < s->sets[SET_FULLTEXT_INDEXES].count; i++)
        rc = script_fulltext_index(s, i, out, err);
    return rc;
}

/* ---- extended properties ---- */

static const char *object_level(const char *type)
{
    static const struct {
        const char *type;
        const char *level;
    } levels[] = {
        {"U", "TABLE"},     {"V", "VIEW"},      {"P", "PROCEDURE"}, {"FN", "FUNCTION"}, {"IF", "FUNCTION"},
        {"TF", "FUNCTION"}, {"SO", "SEQUENCE"}, {"SN", "SYNONYM"},  {"R", "RULE"},      {"D", "DEFAULT"},
    };
    size_t len = strcspn(type, " ");

    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        if (strlen(levels[i].type) == len && strncmp(type, levels[i].type, len) == 0)
            return levels[i].level;
    return NULL;
}

static enum error_kind append_level(struct buffer *sql, int level, const char *type, const char *name,
                                    struct error *err)
{
    return sqlserver_ddl(sql, err, ", @level%dtype = N'%s', @level%dname = %t", level, type, level, name);
}

/* Where a property hangs; false where that is nothing that a dump carries. */
static enum error_kind append_place(const struct sqlserver_rows *e, size_t row, struct buffer *sql, bool *known,
                                    struct error *err)
{
    int64_t class = sqlserver_cell_number(e, row, "class", -1);
    const char *schema = sqlserver_cell(e, row, "schema_name");
    const char *object = sqlserver_cell(e, row, "object_name");
    const char *parent = sqlserver_cell(e, row, "parent_name");
    const char *minor = sqlserver_cell(e, row, "minor_name");
    const char *level = object_level(sqlserver_cell_or(e, row, "type", ""));
    const char *parent_level = object_level(sqlserver_cell_or(e, row, "parent_type", ""));
    enum error_kind rc;

    *known = true;
    if (class == 0)
        return OK;
    if (class == 4 && object)
        return append_level(sql, 0, "USER", object, err);
    *known = schema && (class == 3 || object);
    rc = *known ? append_level(sql, 0, "SCHEMA", schema, err) : OK;
    if (rc || !*known || class == 3)
        return rc;
    if (class == 6)
        return append_level(sql, 1, "TYPE", object, err);
    if (parent && parent_level) { /* a constraint or a trigger */
        rc = append_level(sql, 1, parent_level, parent, err);
        return rc ? rc
                  : append_level(
                        sql, 2, strncmp(sqlserver_cell_or(e, row, "type", ""), "TR", 2) == 0 ? "TRIGGER" : "CONSTRAINT",
                        object, err);
    }
    *known = level != NULL;
    rc = level ? append_level(sql, 1, level, object, err) : OK;
    if (rc || !level || !minor)
        return rc;
    return append_level(sql, 2, class == 7 ? "INDEX" : "COLUMN", minor, err);
}

/* Only a value's type as the server itself names it goes into the statement. */
static const char *value_type(const char *base)
{
    static const char *const types[] = {"int",  "bigint",   "smallint", "tinyint",   "bit",   "decimal", "numeric",
                                        "date", "datetime", "float",    "datetime2", "money", "varchar"};

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(base, types[i]) == 0)
            return strcmp(base, "varchar") == 0 ? "varchar(7500)" : types[i];
    return "nvarchar(3750)";
}

enum error_kind sqlserver_script_properties(const struct sqlserver_schema *s, struct sqlserver_script *out,
                                            struct error *err)
{
    const struct sqlserver_rows *e = &s->sets[SET_PROPERTIES];
    struct buffer place = BUFFER_INIT(8192);
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < e->count; i++) {
        const char *name = sqlserver_cell_or(e, i, "name", "");
        const char *type = value_type(sqlserver_cell_or(e, i, "base_type", ""));
        bool known = false;

        buffer_clear(&place);
        rc = append_place(e, i, &place, &known, err);
        if (!rc && known)
            rc = sqlserver_script_add(out, SQLSERVER_PHASE_PROPERTIES, MAY_FAIL, name, err,
                                      "DECLARE @value %s; SET @value = CAST(%t AS %s); EXEC sys.sp_addextendedproperty "
                                      "@name = %t, @value = @value%s",
                                      type, sqlserver_cell(e, i, "value"), type, name,
                                      place.len ? (char *)place.data : "");
    }
    buffer_release(&place);
    return rc;
}
