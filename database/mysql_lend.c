/*
 * A database beside the live one, for the shop's own login to work in (a rehearsal's copy): an administrative login has made it, and
 * the shop's may do there what it may do with the live one. An exchange needs none of this: it moves tables into the live name.
 */
#include <stdlib.h>
#include <string.h>

#include "mysql_internal.h"

enum { LIST_MAX = 16 * 1024 };

static const char *const lent[] = {"SELECT",        "INSERT",     "UPDATE",      "DELETE",    "CREATE",
                                   "DROP",          "REFERENCES", "INDEX",       "ALTER",     "CREATE TEMPORARY TABLES",
                                   "LOCK TABLES",   "EXECUTE",    "CREATE VIEW", "SHOW VIEW", "CREATE ROUTINE",
                                   "ALTER ROUTINE", "EVENT",      "TRIGGER"};
enum { LENT = sizeof lent / sizeof lent[0] };

/* Who the shop is, and what it may: as it says itself, since only its own session knows of its roles. */
struct borrower {
    char *user, *host;
    struct text_list grants; /* never shown (P10) */
};

static void borrower_release(struct borrower *b)
{
    free(b->user);
    text_list_release(&b->grants);
}

static enum error_kind borrower_ask(struct database *db, struct borrower *out, struct error *err)
{
    struct mysql_client *client = NULL;
    struct mysql engine = *mysql_of(db);
    struct database shop = *db;
    enum error_kind rc = mysql_client_open(db->target, NULL, NULL, &client, err);

    engine.client = client;
    shop.engine = &engine;
    if (!rc)
        rc = mysql_text(&shop, &out->user, err, "SELECT CURRENT_USER()");
    if (!rc)
        rc = mysql_list(&shop, &out->grants, err, "SHOW GRANTS");
    mysql_client_close(client);
    if (!rc && !(out->host = strrchr(out->user, '@')))
        rc = error_set(err, ERR_CORRUPT, 0, "the server says that the shop's login is %s", out->user);
    if (rc)
        error_context(err, "asking what the shop's login may do");
    return rc;
}

static bool gives(const struct text_list *grants, const char *schema, const char *privilege)
{
    for (size_t i = 0; i < grants->count; i++)
        if (mysql_grant_gives(grants->items[i], schema, privilege))
            return true;
    return false;
}

/* "SELECT, INSERT": what it may on the live database and not on this one. Empty: nothing is missing. */
static enum error_kind list_missing(const struct borrower *b, const char *live, const char *name, struct buffer *out,
                                    struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < LENT; i++)
        if (gives(&b->grants, live, lent[i]) && !gives(&b->grants, name, lent[i]))
            rc = buffer_append_format(out, err, "%s%s", out->len ? ", " : "", lent[i]);
    return rc;
}

/* In a grant a name is a pattern. */
static enum error_kind as_pattern(const char *name, char **out, struct error *err)
{
    struct buffer b = BUFFER_INIT(1024);
    enum error_kind rc = OK;

    for (; !rc && *name; name++)
        rc = buffer_append_format(&b, err, "%s%c", strchr("_%\\", *name) ? "\\" : "", *name);
    if (!rc)
        *out = buffer_detach(&b);
    buffer_release(&b);
    return rc;
}

/* What is missing for the shop's login; *out stays empty where it works with the login that makes the database. */
static enum error_kind look(struct database *db, const char *name, struct borrower *b, struct buffer *out,
                            struct error *err)
{
    enum error_kind rc = db->admin ? borrower_ask(db, b, err) : OK;

    if (rc || !db->admin || !strcmp(b->user, mysql_of(db)->account))
        return rc;
    return list_missing(b, db->target->name, name, out, err);
}

enum error_kind mysql_lend(struct database *db, const char *name, struct error *err)
{
    struct borrower b = {NULL, NULL, TEXT_LIST_INIT};
    struct buffer missing = BUFFER_INIT(LIST_MAX);
    char *pattern = NULL;
    enum error_kind rc = look(db, name, &b, &missing, err);

    if (rc || !missing.len)
        goto done;
    *b.host++ = '\0';
    rc = as_pattern(name, &pattern, err);
    if (!rc)
        rc = mysql_run(db, err, "GRANT %s ON %n.* TO %t@%t", (char *)missing.data, pattern, b.user, b.host);
    if (rc)
        error_context(err, "giving the shop's login its rights on the copy");

done:
    free(pattern);
    buffer_release(&missing);
    borrower_release(&b);
    return rc;
}

enum error_kind mysql_lend_end(struct database *db, const char *name, struct error *err)
{
    struct text_list grantees = TEXT_LIST_INIT; /* quoted as a statement wants them */
    char *pattern = NULL;
    enum error_kind rc = db->admin ? as_pattern(name, &pattern, err) : OK;

    if (!rc && db->admin)
        rc = mysql_list(db, &grantees, err,
                        "SELECT DISTINCT GRANTEE FROM information_schema.SCHEMA_PRIVILEGES WHERE TABLE_SCHEMA = %t",
                        pattern);
    for (size_t i = 0; !rc && i < grantees.count; i++)
        rc = mysql_run(db, err, "REVOKE ALL PRIVILEGES ON %n.* FROM %s", pattern, grantees.items[i]);
    if (rc)
        error_context(err, "taking back the rights on %s", name);
    free(pattern);
    text_list_release(&grantees);
    return rc;
}

/* ---- before anything is made ---- */

enum error_kind mysql_lend_hint(struct database *db, const char *name, char **out, struct error *err)
{
    const char *account = mysql_of(db)->account;
    const char *host = strrchr(account, '@');
    struct buffer sql = BUFFER_INIT(LIST_MAX);
    char *pattern = NULL;
    char *user = NULL;
    enum error_kind rc = as_pattern(name, &pattern, err);

    if (!rc)
        pattern[strlen(pattern) - strlen(MYSQL_NO_TOKEN)] = '\0';
    if (!rc)
        rc = memory_format(&user, err, "%.*s", host ? (int)(host - account) : (int)strlen(account), account);
    if (!rc)
        rc = mysql_sql(
            &sql, err, "%sGRANT ALL PRIVILEGES ON `%s%%`.* TO %t@%t%s",
            db->admin ? "" : "name a login that may with database-admin in the config, or say to the server: ", pattern,
            user, host ? host + 1 : "%", db->admin ? " WITH GRANT OPTION" : "");
    if (!rc)
        *out = buffer_detach(&sql);
    free(pattern);
    free(user);
    buffer_release(&sql);
    return rc;
}

static enum error_kind refuse(struct database *db, const char *what, const char *name, struct error *err)
{
    struct error ignored = ERROR_INIT;
    char *hint = NULL;

    error_set(err, ERR_REFUSED, 0, "the login %s lacks %s on databases named like %s", mysql_of(db)->account, what,
              name);
    if (mysql_lend_hint(db, name, &hint, &ignored) == OK)
        error_hint(err, "%s", hint);
    free(hint);
    return ERR_REFUSED;
}

enum error_kind mysql_lend_check(struct database *db, struct error *err)
{
    struct borrower b = {NULL, NULL, TEXT_LIST_INIT};
    struct buffer missing = BUFFER_INIT(LIST_MAX);
    char *name = NULL;
    char *lacks = NULL;
    bool may = true;
    enum error_kind rc = database_beside_name(db, MYSQL_NO_TOKEN, &name, err);

    if (!rc)
        rc = mysql_lacks_beside(db, name, &lacks, err);
    if (!rc && lacks)
        rc = refuse(db, lacks, name, err);
    if (!rc)
        rc = look(db, name, &b, &missing, err);
    if (!rc && missing.len)
        rc = mysql_may(db, name, "GRANT OPTION", &may, err);
    if (!rc && !may)
        rc = refuse(db, "GRANT OPTION (to give the shop's login its rights on the copy)", name, err);
    free(name);
    free(lacks);
    buffer_release(&missing);
    borrower_release(&b);
    return rc;
}
