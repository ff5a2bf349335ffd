/*
 * What belongs to the database itself: pg_dump leaves it out (without --create) and CREATE DATABASE ... TEMPLATE loses
 * it. It is read as one JSON object that the server builds, and applied statement by statement. It comes back from a
 * catalogue, so every word in it is quoted or checked against a list before it goes into a statement (P11).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "postgres_internal.h"

enum { SQL_MAX = 1024 * 1024 };

/* ---- reading ---- */

/* Columns that older servers don't have are taken through to_jsonb, which just does not find them. */
static const char read_query[] =
    "SELECT jsonb_build_object("
    "'owner', pg_get_userbyid(d.datdba), 'encoding', pg_encoding_to_char(d.encoding), 'collate', d.datcollate, "
    "'ctype', d.datctype, 'provider', coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'), "
    "'locale', coalesce(to_jsonb(d) ->> 'daticulocale', to_jsonb(d) ->> 'datlocale'), "
    "'tablespace', (SELECT t.spcname FROM pg_tablespace t WHERE t.oid = d.dattablespace), "
    "'limit', d.datconnlimit, 'template', d.datistemplate, 'comment', shobj_description(d.oid, 'pg_database'), "
    "'acl', CASE WHEN d.datacl IS NULL THEN NULL ELSE (SELECT jsonb_agg(jsonb_build_object("
    "  'grantee', CASE a.grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(a.grantee) END, "
    "  'privilege', a.privilege_type, 'grantable', a.is_grantable)) FROM aclexplode(d.datacl) a) END, "
    "'settings', (SELECT jsonb_agg(jsonb_build_object('role', CASE s.setrole WHEN 0 THEN NULL ELSE "
    "  pg_get_userbyid(s.setrole) END, 'setting', v) ORDER BY s.setrole, o) FROM pg_db_role_setting s, "
    "  unnest(s.setconfig) WITH ORDINALITY AS u(v, o) WHERE s.setdatabase = d.oid), "
    "'owners', (SELECT jsonb_agg(DISTINCT pg_get_userbyid(x.o)) FROM ("
    "  SELECT relowner o, oid, 'pg_class'::regclass::oid c, relnamespace n FROM pg_class UNION ALL "
    "  SELECT proowner, oid, 'pg_proc'::regclass::oid, pronamespace FROM pg_proc UNION ALL "
    "  SELECT typowner, oid, 'pg_type'::regclass::oid, typnamespace FROM pg_type WHERE typtype IN ('e', 'd', 'r') UNION ALL "
    "  SELECT nspowner, oid, 'pg_namespace'::regclass::oid, oid FROM pg_namespace UNION ALL "
    "  SELECT lomowner, oid, 0, 0 FROM pg_largeobject_metadata) x "
    "  LEFT JOIN pg_namespace n ON n.oid = x.n WHERE coalesce(n.nspname, '') NOT LIKE 'pg\\_%' "
    "  AND coalesce(n.nspname, '') <> 'information_schema' AND pg_get_userbyid(x.o) <> 'pg_database_owner' "
    "  AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.classid = x.c AND e.objid = x.oid AND e.deptype = 'e')), "
    "'grantees', (SELECT jsonb_agg(DISTINCT r.rolname) FROM pg_shdepend h JOIN pg_roles r ON r.oid = h.refobjid "
    "  WHERE h.refclassid = 'pg_authid'::regclass AND h.dbid = d.oid AND h.deptype IN ('a', 'r'))"
    ")::text FROM pg_database d WHERE d.datname = current_database()";

enum error_kind postgres_properties_read(struct postgres *pg, char **out, struct error *err)
{
    enum error_kind rc = postgres_text(pg, read_query, 0, NULL, out, err);

    if (!rc && !*out)
        rc = error_set(err, ERR_REMOTE, 0, "the database vanished while its properties were read");
    if (rc)
        error_context(err, "reading the properties of the database");
    return rc;
}

static enum error_kind parse(const char *properties, struct json **out, struct error *err)
{
    enum error_kind rc = properties ? json_parse(properties, strlen(properties), out, err)
                                    : error_set(err, ERR_CORRUPT, 0, "the snapshot has none");

    if (rc)
        error_context(err, "properties of the database");
    return rc;
}

/* ---- statements ---- */

/* Run what is in sql. A right, a role or a parameter that is not there becomes a note; anything else is a failure. */
static enum error_kind run_or_note(struct postgres *pg, const char *sql, const char *what, struct text_list *notes,
                                   struct error *err)
{
    struct error failure = ERROR_INIT;
    enum error_kind rc = postgres_query(pg, sql, NULL, NULL, &failure);
    const char *class = postgres_state(pg);

    if (!rc)
        return OK;
    /* No right, no such role or parameter, a value that this server does not take, not supported, not changeable
     * now. */
    if (strcmp(class, "42501") == 0 || strcmp(class, "42704") == 0 || strncmp(class, "22", 2) == 0 ||
        strcmp(class, "0A000") == 0 || strcmp(class, "55P02") == 0)
        return text_list_addf(notes, err, "%s was not set: %s", what, failure.text);
    error_copy(err, &failure);
    error_context(err, "setting %s", what);
    return rc;
}

/* A GUC's name: each part an identifier of its own ("my.option"). */
static enum error_kind append_setting_name(struct postgres *pg, const char *name, struct buffer *sql, struct error *err)
{
    enum error_kind rc = OK;

    for (const char *part = name; !rc && part; part = strchr(part, '.') ? strchr(part, '.') + 1 : NULL) {
        char piece[POSTGRES_NAME_MAX + 1];
        size_t len = strcspn(part, ".");

        if (len == 0 || len > POSTGRES_NAME_MAX)
            return error_set(err, ERR_CORRUPT, 0, "the properties hold a setting without a proper name");
        memcpy(piece, part, len);
        piece[len] = '\0';
        if (part != name)
            rc = buffer_append(sql, ".", 1, err);
        if (!rc)
            rc = postgres_append_name(pg, piece, sql, err);
    }
    return rc;
}

static enum error_kind append_target(struct postgres *pg, const char *database, const char *role, struct buffer *sql,
                                     struct error *err)
{
    enum error_kind rc = OK;

    if (role) {
        rc = buffer_append_text(sql, "ALTER ROLE ", err);
        if (!rc)
            rc = postgres_append_name(pg, role, sql, err);
        if (!rc)
            rc = buffer_append_text(sql, " IN DATABASE ", err);
    } else
        rc = buffer_append_text(sql, "ALTER DATABASE ", err);
    if (!rc)
        rc = postgres_append_name(pg, database, sql, err);
    return rc ? rc : buffer_append_text(sql, " SET ", err);
}

/* Settings that are lists of names are stored as a quoted list, which no literal can stand for: they go by way of this
 * session's own value. */
static bool is_list_setting(const char *name)
{
    static const char *const lists[] = {"search_path", "temp_tablespaces", "session_preload_libraries",
                                        "local_preload_libraries"};

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        if (strcmp(name, lists[i]) == 0)
            return true;
    return false;
}

static enum error_kind apply_list_setting(struct postgres *pg, const char *name, const char *value, struct buffer *sql,
                                          struct text_list *notes, struct error *err)
{
    const char *parameters[] = {name, value};
    struct error failure = ERROR_INIT;
    enum error_kind rc;

    if (postgres_query_with(pg, "SELECT set_config($1, $2, false)", 2, parameters, NULL, NULL, &failure))
        return text_list_addf(notes, err, "the setting %s was not set: %s", name, failure.text);
    rc = buffer_append_text(sql, " FROM CURRENT", err);
    if (!rc)
        rc = run_or_note(pg, (char *)sql->data, name, notes, err);
    if (!rc)
        rc = postgres_query(pg, "SET search_path = ''", NULL, NULL, err);
    return rc;
}

static enum error_kind apply_setting(struct postgres *pg, const char *database, const char *role, const char *setting,
                                     struct text_list *notes, struct error *err)
{
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    const char *equals = strchr(setting, '=');
    char *name = NULL;
    enum error_kind rc;

    if (!equals || equals == setting)
        return error_set(err, ERR_CORRUPT, 0, "the properties hold a setting without a name");
    rc = memory_format(&name, err, "%.*s", (int)(equals - setting), setting);
    if (!rc)
        rc = append_target(pg, database, role, &sql, err);
    if (!rc)
        rc = append_setting_name(pg, name, &sql, err);
    if (rc)
        goto done;
    if (is_list_setting(name)) {
        rc = apply_list_setting(pg, name, equals + 1, &sql, notes, err);
        goto done;
    }
    rc = buffer_append_text(&sql, " TO ", err);
    if (!rc)
        rc = postgres_append_text(pg, equals + 1, &sql, err);
    if (!rc)
        rc = run_or_note(pg, (char *)sql.data, name, notes, err);

done:
    buffer_release(&sql);
    free(name);
    return rc;
}

static enum error_kind apply_settings(struct postgres *pg, const char *database, struct json *root,
                                      struct text_list *notes, struct error *err)
{
    struct json *settings = json_get(root, "settings");
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < json_length(settings); i++) {
        struct json *item = json_at(settings, i);
        const char *setting = json_text(json_get(item, "setting"));

        if (setting)
            rc = apply_setting(pg, database, json_text(json_get(item, "role")), setting, notes, err);
    }
    return rc;
}

static enum error_kind apply_comment(struct postgres *pg, const char *quoted, struct json *root,
                                     struct text_list *notes, struct error *err)
{
    const char *comment = json_text(json_get(root, "comment"));
    char *text = NULL;
    char *sql = NULL;
    enum error_kind rc = OK;

    if (!comment)
        return OK;
    rc = postgres_quoted_text(pg, comment, &text, err);
    if (!rc)
        rc = memory_format(&sql, err, "COMMENT ON DATABASE %s IS %s", quoted, text);
    if (!rc)
        rc = run_or_note(pg, sql, "the database's comment", notes, err);
    free(text);
    free(sql);
    return rc;
}

static enum error_kind apply_limit(struct postgres *pg, const char *quoted, struct json *root, struct text_list *notes,
                                   struct error *err)
{
    char *sql = NULL;
    enum error_kind rc;

    rc = memory_format(&sql, err, "ALTER DATABASE %s CONNECTION LIMIT %" PRId64, quoted,
                       json_number(json_get(root, "limit"), -1));
    if (!rc)
        rc = run_or_note(pg, sql, "the database's connection limit", notes, err);
    free(sql);
    return rc;
}

static enum error_kind apply_owner(struct postgres *pg, const char *name, const char *quoted, struct json *root,
                                   struct text_list *notes, struct error *err)
{
    const char *owner = json_text(json_get(root, "owner"));
    const char *parameters[] = {name, owner};
    char *text = NULL;
    char *sql = NULL;
    int64_t same = 0;
    enum error_kind rc = OK;

    if (!owner)
        return OK;
    rc = postgres_number(pg, "SELECT 1 FROM pg_database WHERE datname = $1 AND pg_get_userbyid(datdba) = $2", 2,
                         parameters, 0, &same, err);
    if (rc || same)
        return rc;
    rc = postgres_quoted_name(pg, owner, &text, err);
    if (!rc)
        rc = memory_format(&sql, err, "ALTER DATABASE %s OWNER TO %s", quoted, text);
    if (!rc)
        rc = run_or_note(pg, sql, "the database's owner", notes, err);
    free(text);
    free(sql);
    return rc;
}

static bool is_database_privilege(const char *word)
{
    return strcmp(word, "CREATE") == 0 || strcmp(word, "CONNECT") == 0 || strcmp(word, "TEMPORARY") == 0;
}

static enum error_kind apply_grant(struct postgres *pg, const char *quoted, struct json *item, struct text_list *notes,
                                   struct error *err)
{
    const char *privilege = json_text(json_get(item, "privilege"));
    const char *grantee = json_text(json_get(item, "grantee"));
    char *role = NULL;
    char *sql = NULL;
    enum error_kind rc;

    if (!privilege || !is_database_privilege(privilege))
        return error_set(err, ERR_CORRUPT, 0, "the properties grant a privilege that databases don't have");
    rc = grantee ? postgres_quoted_name(pg, grantee, &role, err) : memory_string("PUBLIC", &role, err);
    if (!rc)
        rc = memory_format(&sql, err, "GRANT %s ON DATABASE %s TO %s%s", privilege, quoted, role,
                           json_flag(json_get(item, "grantable"), false) ? " WITH GRANT OPTION" : "");
    if (!rc)
        rc = run_or_note(pg, sql, "a grant on the database", notes, err);
    free(role);
    free(sql);
    return rc;
}

/* A new database has no list of grants; only where the old one had its own is anything to be done. */
static enum error_kind apply_grants(struct postgres *pg, const char *quoted, struct json *root, struct text_list *notes,
                                    struct error *err)
{
    struct json *acl = json_get(root, "acl");
    const char *owner = json_text(json_get(root, "owner"));
    char *role = NULL;
    char *sql = NULL;
    enum error_kind rc = OK;

    if (!acl)
        return OK;
    if (owner)
        rc = postgres_quoted_name(pg, owner, &role, err);
    if (!rc)
        rc = memory_format(&sql, err, "REVOKE ALL ON DATABASE %s FROM PUBLIC%s%s", quoted, role ? ", " : "",
                           role ? role : "");
    if (!rc)
        rc = run_or_note(pg, sql, "the database's grants", notes, err);
    for (size_t i = 0; !rc && i < json_length(acl); i++)
        rc = apply_grant(pg, quoted, json_at(acl, i), notes, err);
    free(role);
    free(sql);
    return rc;
}

enum error_kind postgres_properties_apply(struct postgres *pg, const char *name, const char *properties,
                                          enum properties_scope scope, struct text_list *notes, struct error *err)
{
    struct json *root = NULL;
    char *quoted = NULL;
    enum error_kind rc;

    rc = parse(properties, &root, err);
    if (!rc)
        rc = postgres_quoted_name(pg, name, &quoted, err);
    if (!rc)
        rc = apply_comment(pg, quoted, root, notes, err);
    if (!rc)
        rc = apply_settings(pg, name, root, notes, err);
    if (!rc && scope == PROPERTIES_ALL) {
        rc = apply_limit(pg, quoted, root, notes, err);
        if (!rc)
            rc = apply_owner(pg, name, quoted, root, notes, err);
        if (!rc)
            rc = apply_grants(pg, quoted, root, notes, err);
    }
    if (rc)
        error_context(err, "applying the properties of database %s", name);
    free(quoted);
    json_free(root);
    return rc;
}

/* ---- for CREATE DATABASE ---- */

static enum error_kind append_option(struct postgres *pg, const char *word, struct json *value, struct buffer *sql,
                                     struct error *err)
{
    const char *text = json_text(value);
    enum error_kind rc;

    if (!text)
        return OK;
    rc = buffer_append_format(sql, err, " %s ", word);
    return rc ? rc : postgres_append_text(pg, text, sql, err);
}

/* The tablespace only where this server has one of that name and lets us use it. */
static enum error_kind append_tablespace(struct postgres *pg, struct json *root, struct buffer *sql, struct error *err)
{
    const char *name = json_text(json_get(root, "tablespace"));
    const char *parameters[] = {name};
    int64_t there = 0;
    enum error_kind rc;

    if (!name || strcmp(name, "pg_default") == 0)
        return OK;
    rc = postgres_number(pg,
                         "SELECT 1 FROM pg_tablespace WHERE spcname = $1 AND has_tablespace_privilege(oid, 'CREATE')",
                         1, parameters, 0, &there, err);
    if (rc || !there)
        return rc;
    rc = buffer_append_text(sql, " TABLESPACE ", err);
    return rc ? rc : postgres_append_name(pg, name, sql, err);
}

enum error_kind postgres_properties_create(struct postgres *pg, const char *properties, struct buffer *sql,
                                           struct error *err)
{
    struct json *root = NULL;
    const char *provider = NULL;
    enum error_kind rc;

    rc = parse(properties, &root, err);
    if (rc)
        return rc;
    provider = json_text(json_get(root, "provider"));
    rc = append_option(pg, "ENCODING", json_get(root, "encoding"), sql, err);
    if (!rc)
        rc = append_option(pg, "LC_COLLATE", json_get(root, "collate"), sql, err);
    if (!rc)
        rc = append_option(pg, "LC_CTYPE", json_get(root, "ctype"), sql, err);
    if (!rc && provider && strcmp(provider, "i") == 0) {
        rc = buffer_append_text(sql, " LOCALE_PROVIDER icu", err);
        if (!rc)
            rc = append_option(pg, "ICU_LOCALE", json_get(root, "locale"), sql, err);
    } else if (!rc && provider && strcmp(provider, "b") == 0) {
        rc = buffer_append_text(sql, " LOCALE_PROVIDER builtin", err);
        if (!rc)
            rc = append_option(pg, "BUILTIN_LOCALE", json_get(root, "locale"), sql, err);
    }
    if (!rc)
        rc = append_tablespace(pg, root, sql, err);
    json_free(root);
    return rc;
}

/* ---- roles that a dump names ---- */

static enum error_kind role_is_usable(struct postgres *pg, const char *role, bool as_owner, bool *out,
                                      struct error *err)
{
    const char *parameters[] = {role};
    int64_t usable = 0;
    enum error_kind rc;

    rc = postgres_number(pg,
                         as_owner ? "SELECT 1 FROM pg_roles r WHERE r.rolname = $1 AND pg_has_role(r.oid, 'MEMBER')"
                                  : "SELECT 1 FROM pg_roles r WHERE r.rolname = $1",
                         1, parameters, 0, &usable, err);
    *out = usable == 1;
    return rc;
}

static enum error_kind check_roles(struct postgres *pg, struct json *roles, bool as_owner, bool *all,
                                   struct text_list *notes, struct error *err)
{
    enum error_kind rc = OK;

    *all = true;
    for (size_t i = 0; !rc && i < json_length(roles); i++) {
        const char *role = json_text(json_at(roles, i));
        bool usable = true;

        if (role)
            rc = role_is_usable(pg, role, as_owner, &usable, err);
        if (rc || usable)
            continue;
        *all = false;
        rc = as_owner
                 ? text_list_addf(notes, err,
                                  "objects come back as the login's own, because it may not make role %s their owner",
                                  role)
                 : text_list_addf(notes, err, "grants are left out, because there is no role %s here", role);
    }
    return rc;
}

enum error_kind postgres_properties_roles(struct postgres *pg, const char *properties, bool *owners, bool *grants,
                                          struct text_list *notes, struct error *err)
{
    struct json *root = NULL;
    enum error_kind rc;

    rc = parse(properties, &root, err);
    if (!rc)
        rc = check_roles(pg, json_get(root, "owners"), true, owners, notes, err);
    if (!rc)
        rc = check_roles(pg, json_get(root, "grantees"), false, grants, notes, err);
    json_free(root);
    return rc;
}
