/* What this server, this database and this login are like: for the plan, and for what a snapshot records (P12). */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "mysql_internal.h"

enum { PROPERTIES_MAX = 16 * 1024 * 1024 };

/* ---- the schema's own properties ---- */

enum error_kind mysql_schema_collation(struct database *db, const char *schema, char **charset, char **collation,
                                       struct error *err)
{
    enum error_kind rc;

    rc =
        mysql_text(db, charset, err,
                   "SELECT DEFAULT_CHARACTER_SET_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %t", schema);
    return rc ? rc
              : mysql_text(db, collation, err,
                           "SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %t",
                           schema);
}

static bool has_schema_comment(const struct database *db)
{
    return mysql_of(db)->mariadb && mysql_of(db)->version >= 100500;
}

static enum error_kind put_query(struct database *db, struct json *root, const char *key, struct error *err,
                                 const char *sql, const char *argument)
{
    char *text = NULL;
    enum error_kind rc = mysql_text(db, &text, err, sql, argument);

    if (!rc && text)
        json_put_text(root, key, text);
    free(text);
    return rc;
}

static enum error_kind take_grant(void *arg, const struct database_row *row, struct error *err)
{
    struct json *grant = json_object();

    (void)err;
    for (int i = 0; i < row->columns; i++)
        if (row->values[i])
            json_put_text(grant, row->names[i], row->values[i]);
    json_push(arg, grant);
    return OK;
}

/* Who may do what here: names and rights only. Logins without access to the server's own tables see their own alone. */
static enum error_kind put_grants(struct database *db, struct json *root, struct error *err)
{
    const char *live = db->target->name; /* rights go by the name: a kept database has those of the live one */
    struct json *grants = json_array();
    enum error_kind rc;

    json_put(root, "grants", grants);
    rc =
        mysql_rows(db, take_grant, grants, err,
                   "SELECT GRANTEE AS grantee, PRIVILEGE_TYPE AS privilege, IS_GRANTABLE AS grantable, NULL AS `table` "
                   "FROM information_schema.SCHEMA_PRIVILEGES WHERE %t LIKE TABLE_SCHEMA UNION ALL "
                   "SELECT GRANTEE, PRIVILEGE_TYPE, IS_GRANTABLE, TABLE_NAME FROM information_schema.TABLE_PRIVILEGES "
                   "WHERE TABLE_SCHEMA = %t ORDER BY 1, 4, 2",
                   live, live);
    return rc;
}

static enum error_kind put_definers(struct database *db, struct json *root, struct error *err)
{
    struct text_list definers = TEXT_LIST_INIT;
    struct json *list = json_array();
    enum error_kind rc = mysql_definers(db, db->name, &definers, err);

    json_put(root, "definers", list);
    for (size_t i = 0; i < definers.count; i++)
        json_push_text(list, definers.items[i]);
    text_list_release(&definers);
    return rc;
}

enum error_kind mysql_properties(struct database *db, uint64_t largest_statement, char **out, struct error *err)
{
    struct buffer text = BUFFER_INIT(PROPERTIES_MAX);
    struct json *root = json_object();
    enum error_kind rc;

    rc = put_query(db, root, "charset", err,
                   "SELECT DEFAULT_CHARACTER_SET_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %t",
                   db->name);
    if (!rc)
        rc = put_query(db, root, "collation", err,
                       "SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %t",
                       db->name);
    if (!rc && has_schema_comment(db))
        rc = put_query(db, root, "comment", err,
                       "SELECT NULLIF(SCHEMA_COMMENT, '') FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %t",
                       db->name);
    if (!rc)
        rc = put_query(db, root, "sql_mode", err, "SELECT @@GLOBAL.sql_mode", NULL);
    if (!rc)
        rc = put_grants(db, root, err);
    if (!rc)
        rc = put_definers(db, root, err);
    if (rc)
        goto done;
    json_put_number(root, "largest_statement", (int64_t)largest_statement);
    rc = json_print(root, &text, err);
    if (!rc)
        *out = buffer_detach(&text);

done:
    json_free(root);
    buffer_release(&text);
    return rc;
}

/* The properties come out of a catalogue (P11): a collation is used only if this server lists it. */
static enum error_kind known_collation(struct database *db, const char *wanted, char **out, struct error *err)
{
    if (!wanted)
        return OK;
    return mysql_text(db, out, err,
                      "SELECT COLLATION_NAME FROM information_schema.COLLATIONS WHERE COLLATION_NAME = %t "
                      "AND CHARACTER_SET_NAME IS NOT NULL",
                      wanted);
}

enum error_kind mysql_schema_create(struct database *db, const char *schema, const char *properties, struct error *err)
{
    struct json *root = NULL;
    const char *comment = NULL;
    char *collation = NULL;
    enum error_kind rc = OK;

    if (properties)
        rc = json_parse(properties, strlen(properties), &root, err);
    if (!rc)
        rc = known_collation(db, json_text(json_get(root, "collation")), &collation, err);
    if (!rc)
        rc = mysql_run(db, err, "CREATE DATABASE IF NOT EXISTS %n", schema);
    if (!rc && collation)
        rc = mysql_run(db, err, "ALTER DATABASE %n COLLATE %t", schema, collation);
    comment = json_text(json_get(root, "comment"));
    if (!rc && comment && has_schema_comment(db))
        rc = mysql_run(db, err, "ALTER DATABASE %n COMMENT %t", schema, comment);
    if (rc)
        error_context(err, "creating database %s", schema);
    free(collation);
    json_free(root);
    return rc;
}

/* ---- rights ---- */

/* Add each privilege that the login lacks in schema to `missing`. */
static enum error_kind missing_rights(struct database *db, const char *schema, const char *const *privileges,
                                      size_t count, struct text_list *missing, struct error *err)
{
    bool may = false;
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < count; i++) {
        rc = mysql_may(db, schema, privileges[i], &may, err);
        if (!rc && !may && !text_list_has(missing, privileges[i]))
            rc = text_list_add(missing, privileges[i], err);
    }
    return rc;
}

static enum error_kind has_definitions(struct database *db, bool *out, struct error *err)
{
    int64_t count = 0;
    enum error_kind rc =
        mysql_number(db, 0, &count, err,
                     "SELECT (SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %t) + "
                     "(SELECT COUNT(*) FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %t) + "
                     "(SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %t) + "
                     "(SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %t)",
                     db->name, db->name, db->name, db->name);

    if (!rc)
        *out = count > 0;
    return rc;
}

static enum error_kind join(const struct text_list *words, char **out, struct error *err)
{
    struct buffer b = BUFFER_INIT(4096);
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < words->count; i++)
        rc = buffer_append_format(&b, err, "%s%s", i ? ", " : "", words->items[i]);
    if (!rc)
        *out = buffer_detach(&b);
    buffer_release(&b);
    return rc;
}

static const char *const table_rights[] = {"SELECT", "INSERT", "UPDATE", "DELETE",    "CREATE",
                                           "DROP",   "ALTER",  "INDEX",  "REFERENCES"};
static const char *const definition_rights[] = {"CREATE VIEW",   "SHOW VIEW", "CREATE ROUTINE",
                                                "ALTER ROUTINE", "TRIGGER",   "EVENT"};
enum {
    TABLE_RIGHTS = sizeof table_rights / sizeof table_rights[0],
    DEFINITION_RIGHTS = sizeof definition_rights / sizeof definition_rights[0],
};

static enum error_kind probe_place(struct database *db, const char *schema, bool definitions, struct text_list *missing,
                                   struct error *err)
{
    enum error_kind rc = missing_rights(db, schema, table_rights, TABLE_RIGHTS, missing, err);

    if (!rc && definitions)
        rc = missing_rights(db, schema, definition_rights, DEFINITION_RIGHTS, missing, err);
    return rc;
}

enum error_kind mysql_lacks_beside(struct database *db, const char *name, char **out, struct error *err)
{
    struct text_list missing = TEXT_LIST_INIT;
    bool definitions = false;
    enum error_kind rc = has_definitions(db, &definitions, err);

    if (!rc)
        rc = probe_place(db, name, definitions, &missing, err);
    if (!rc && missing.count)
        rc = join(&missing, out, err);
    text_list_release(&missing);
    return rc;
}

static enum error_kind why_not_beside(struct database *db, const char *words, const char *name,
                                      struct database_info *out, struct error *err)
{
    char *hint = NULL;
    enum error_kind rc = mysql_lend_hint(db, name, &hint, err);

    if (!rc)
        rc = memory_format(&out->why_in_place, err, "the login %s lacks %s on databases named like %s (%s)",
                           mysql_of(db)->account, words, name, hint);
    free(hint);
    return rc;
}

static enum error_kind probe_rights(struct database *db, struct database_info *out, struct error *err)
{
    struct text_list beside = TEXT_LIST_INIT;
    struct text_list here = TEXT_LIST_INIT;
    bool definitions = false;
    char *names[2] = {NULL, NULL};
    char *words = NULL;
    enum error_kind rc;

    rc = has_definitions(db, &definitions, err);
    if (!rc)
        rc = database_private_name(db->name, DATABASE_INFIX_BESIDE, MYSQL_NO_TOKEN, MYSQL_NAME_MAX, &names[0], err);
    if (!rc)
        rc = database_private_name(db->name, DATABASE_INFIX_KEPT, MYSQL_NO_TOKEN, MYSQL_NAME_MAX, &names[1], err);
    for (size_t i = 0; !rc && i < 2; i++)
        rc = probe_place(db, names[i], definitions, &beside, err);
    if (!rc)
        rc = probe_place(db, db->name, definitions, &here, err);
    if (rc)
        goto done;
    out->can_beside = beside.count == 0 && here.count == 0;
    if (!out->can_beside) {
        rc = join(beside.count ? &beside : &here, &words, err);
        if (!rc && beside.count)
            rc = why_not_beside(db, words, names[0], out, err);
        else if (!rc)
            rc = memory_format(&out->why_in_place, err, "the login %s lacks %s on database %s", mysql_of(db)->account,
                               words, db->name);
    }
    free(words);
    words = NULL;
    if (!rc && here.count) {
        rc = join(&here, &words, err);
        if (!rc)
            rc = text_list_addf(&out->obstacles, err, "the login %s lacks %s on database %s", mysql_of(db)->account,
                                words, db->name);
    }

done:
    free(words);
    free(names[0]);
    free(names[1]);
    text_list_release(&beside);
    text_list_release(&here);
    return rc;
}

/* ---- what forbids a restore ---- */

static enum error_kind probe_definers(struct database *db, struct database_info *out, struct error *err)
{
    struct text_list definers = TEXT_LIST_INIT;
    bool may = false;
    enum error_kind rc = mysql_may_define_as_others(db, &may, err);

    if (!rc && !may)
        rc = mysql_definers(db, db->name, &definers, err);
    for (size_t i = 0; !rc && i < definers.count; i++)
        rc = text_list_addf(
            &out->obstacles, err,
            "views, triggers, routines or events run in the name of %s, and the login %s may not make them so again "
            "(it lacks SUPER or SET USER)",
            definers.items[i], mysql_of(db)->account);
    text_list_release(&definers);
    return rc;
}

static enum error_kind probe_server(struct database *db, struct database_info *out, struct error *err)
{
    int64_t read_only = 0;
    int64_t binlog = 0;
    int64_t functions = 0;
    bool super = false;
    enum error_kind rc;

    rc = mysql_may(db, NULL, "SUPER", &super, err);
    if (!rc)
        rc = mysql_number(db, 0, &read_only, err, "SELECT @@GLOBAL.read_only");
    if (!rc && read_only && !super)
        rc = text_list_add(&out->obstacles, "the server is read-only (a replica?)", err);
    if (!rc)
        rc = mysql_number(db, 0, &binlog, err,
                          "SELECT @@GLOBAL.log_bin AND NOT @@GLOBAL.log_bin_trust_function_creators");
    if (!rc && binlog && !super)
        rc = mysql_number(db, 0, &functions, err,
                          "SELECT (SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %t) + "
                          "(SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %t)",
                          db->name, db->name);
    if (!rc && functions)
        rc = text_list_add(&out->obstacles,
                           "the server writes a binary log and lets only administrators make triggers and functions",
                           err);
    return rc;
}

/* ---- what a person should know ---- */

/* Atomic renames end at partitions: each is a file of its own. */
static enum error_kind probe_partitions(struct database *db, struct database_info *out, struct error *err)
{
    int64_t count = 0;
    enum error_kind rc = mysql_number(db, 0, &count, err,
                                      "SELECT COUNT(DISTINCT TABLE_NAME) FROM information_schema.PARTITIONS WHERE "
                                      "TABLE_SCHEMA = %t AND PARTITION_NAME IS NOT NULL",
                                      db->name);

    if (!rc && count > 0)
        rc = text_list_addf(&out->remarks, err,
                            "%lld partitioned table(s): if the server itself dies in the moment of the exchange, their "
                            "files may need the hands of a database administrator",
                            (long long)count);
    return rc;
}

static enum error_kind probe_remarks(struct database *db, struct database_info *out, struct error *err)
{
    int64_t flush = 1;
    bool sees_all = false;
    enum error_kind rc;

    rc = text_list_add(
        &out->remarks,
        db->admin
            ? "while the databases are exchanged the shop's sessions are ended, and its account is locked if it "
              "serves this database alone"
            : "while the databases are exchanged the shop's sessions are ended; MySQL has no lock by which its own "
              "login could keep it out, so that it has to be stopped",
        err);
    if (!rc && out->can_beside)
        rc = text_list_add(&out->remarks, "a small table " MYSQL_MARKER " stands in the database during the exchange",
                           err);
    if (!rc && out->can_beside && !mysql_renames_atomically(db))
        rc = text_list_add(&out->remarks,
                           "this server renames table by table: after a crash `recover` finishes or undoes that", err);
    if (!rc && out->can_beside)
        rc = probe_partitions(db, out, err);
    if (!rc)
        rc = mysql_may(db, NULL, "PROCESS", &sees_all, err);
    if (!rc && !sees_all)
        rc = text_list_addf(&out->remarks, err,
                            "the login %s sees its own sessions only (it lacks PROCESS): those of other accounts "
                            "are neither listed nor ended",
                            mysql_of(db)->account);
    if (!rc)
        rc = mysql_number(db, 1, &flush, err, "SELECT @@GLOBAL.innodb_flush_log_at_trx_commit");
    if (!rc && flush != 1)
        rc = text_list_add(
            &out->remarks,
            "the server may lose its last second in a power cut (innodb_flush_log_at_trx_commit is not 1)", err);
    return rc;
}

static enum error_kind probe_identity(struct database *db, struct database_info *out, struct error *err)
{
    struct mysql_marker m = MYSQL_MARKER_INIT;
    enum error_kind rc = mysql_marker_read(db, db->name, &m, err);

    /* A database that nopsnap has never exchanged has no mark: it is known by its name only, which drops nothing (D6). */
    if (!rc && *m.identity)
        rc = memory_string(m.identity, &out->identity, err);
    else if (!rc)
        rc = memory_format(&out->identity, err, "name:%s", db->name);
    mysql_marker_release(&m);
    return rc;
}

enum error_kind mysql_probe(struct database *db, struct database_info *out, struct error *err)
{
    int64_t size = 0;
    enum error_kind rc;

    rc = mysql_schema_exists(db, db->name, &out->exists, err);
    if (!rc)
        rc = memory_string(mysql_client_server(mysql_of(db)->client), &out->server_version, err);
    if (!rc)
        rc = probe_rights(db, out, err);
    if (!rc)
        rc = probe_server(db, out, err);
    if (!rc && out->exists)
        rc = probe_identity(db, out, err);
    if (!rc && out->exists)
        rc = probe_definers(db, out, err);
    if (!rc && out->exists)
        rc = mysql_swap_obstacles(db, &out->obstacles, err);
    if (!rc)
        rc = mysql_number(
            db, 0, &size, err,
            "SELECT CAST(COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) AS UNSIGNED) FROM information_schema.TABLES "
            "WHERE TABLE_SCHEMA = %t",
            db->name);
    if (!rc)
        rc = probe_remarks(db, out, err);
    out->size = (uint64_t)size;
    return rc;
}
