/* Before and around the exchange: who is who, the fence, and the end of what was kept. The exchange itself: mysql_swap.c. */
#include <stdlib.h>
#include <string.h>

#include "mysql_internal.h"

enum { SAVED_MAX = 4 * 1024 * 1024, OBSTACLES_MAX = 64 * 1024, E_CANNOT_USER = 1396 };

/* ---- what is journaled ---- */

static enum error_kind put_properties(struct database *db, struct json *saved, const char *key, const char *schema,
                                      struct error *err)
{
    struct json *own = json_object();
    char *charset = NULL;
    char *collation = NULL;
    enum error_kind rc = mysql_schema_collation(db, schema, &charset, &collation, err);

    if (!rc && collation)
        json_put_text(own, "collation", collation);
    json_put(saved, key, own);
    free(charset);
    free(collation);
    return rc;
}

/* Who the shop is to the server: "shop@%". A shop that can't log in needs no lock: *out stays NULL. */
static enum error_kind shop_account(struct database *db, char **out, struct error *err)
{
    struct mysql_client *client = NULL;
    struct error ignored = ERROR_INIT;
    struct mysql engine = *mysql_of(db);
    struct database shop = *db;
    enum error_kind rc = OK;

    if (!mysql_client_open(db->target, NULL, NULL, &client, &ignored)) {
        engine.client = client;
        shop.engine = &engine;
        rc = mysql_text(&shop, out, err, "SELECT CURRENT_USER()");
    }
    mysql_client_close(client);
    return rc;
}

/* Has the account any right outside of this database? Then locking it would stop somebody else, too. */
static enum error_kind serves_others(struct database *db, const char *user, const char *host, bool *out,
                                     struct error *err)
{
    int64_t elsewhere = 1;
    enum error_kind rc = mysql_number(
        db, 1, &elsewhere, err,
        "SELECT (SELECT COUNT(*) FROM information_schema.SCHEMA_PRIVILEGES WHERE GRANTEE = CONCAT(QUOTE(%t), '@', QUOTE(%t)) AND "
        "NOT %t LIKE TABLE_SCHEMA) + (SELECT COUNT(*) FROM information_schema.TABLE_PRIVILEGES WHERE GRANTEE = CONCAT(QUOTE(%t), "
        "'@', QUOTE(%t)) AND TABLE_SCHEMA <> %t) + (SELECT COUNT(*) FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = "
        "CONCAT(QUOTE(%t), '@', QUOTE(%t)) AND PRIVILEGE_TYPE <> 'USAGE')",
        user, host, db->name, user, host, db->name, user, host);

    if (!rc)
        *out = elsewhere != 0;
    return rc;
}

static enum error_kind may_lock(struct database *db, bool *out, struct error *err)
{
    const struct mysql *m = mysql_of(db);
    bool may_alter = false;
    bool may_see = false;
    enum error_kind rc = OK;

    *out = false;
    if (!db->admin || m->version < (m->mariadb ? 100402u : 50706u))
        return OK;
    rc = mysql_may(db, NULL, "CREATE USER", &may_alter, err);
    if (!rc)
        rc = mysql_may(db, "mysql", "SELECT", &may_see, err); /* without it other accounts' rights are invisible */
    *out = may_alter && may_see;
    return rc;
}

static enum error_kind put_account(struct database *db, struct json *saved, struct error *err)
{
    char *account = NULL;
    char *host = NULL;
    bool may = false;
    bool others = true;
    enum error_kind rc = may_lock(db, &may, err);

    if (!rc && may)
        rc = shop_account(db, &account, err);
    host = account ? strrchr(account, '@') : NULL;
    if (rc || !host || strcmp(account, mysql_of(db)->account) == 0)
        goto done;
    *host++ = '\0';
    rc = serves_others(db, account, host, &others, err);
    if (!rc && !others) {
        json_put_text(saved, "locked_user", account);
        json_put_text(saved, "locked_host", host);
    }

done:
    free(account);
    return rc;
}

/* ---- prepare ---- */

static enum error_kind refuse_obstacles(struct database *db, struct error *err)
{
    struct text_list obstacles = TEXT_LIST_INIT;
    struct buffer text = BUFFER_INIT(OBSTACLES_MAX);
    enum error_kind rc = mysql_swap_obstacles(db, &obstacles, err);

    for (size_t i = 0; !rc && i < obstacles.count; i++)
        rc = buffer_append_format(&text, err, "%s%s", i ? "; " : "", obstacles.items[i]);
    if (!rc && obstacles.count)
        rc = error_set(err, ERR_REFUSED, 0, "database %s can't be exchanged: %s", db->name, (char *)text.data);
    buffer_release(&text);
    text_list_release(&obstacles);
    return rc;
}

static enum error_kind loaded_identity(struct database *db, const char *beside, char **out, struct error *err)
{
    struct mysql_marker m = MYSQL_MARKER_INIT;
    enum error_kind rc = mysql_marker_read(db, beside, &m, err);

    if (!rc && !*m.identity) /* it may still be filled: mysql_swap_to() asks for that */
        rc = error_set(err, ERR_REFUSED, 0, "database %s is not one that nopsnap made", beside);
    if (!rc)
        rc = memory_string(m.identity, out, err);
    mysql_marker_release(&m);
    return rc;
}

/* The live one gets its marker here: an announced table that nothing else looks at. */
static enum error_kind live_identity(struct database *db, const char *live, char **out, struct error *err)
{
    struct mysql_marker m = MYSQL_MARKER_INIT;
    bool exists = false;
    enum error_kind rc = mysql_schema_exists(db, live, &exists, err);

    if (rc || !exists)
        return rc;
    rc = mysql_marker_make(db, live, NULL, err);
    if (!rc)
        rc = mysql_marker_read(db, live, &m, err);
    if (!rc && m.moving) {
        rc = error_set(err, ERR_PENDING, 0, "an exchange of database %s was cut short", live);
        error_hint(err, "nopsnap recover finishes or undoes it");
    }
    if (!rc)
        rc = memory_string(m.identity, out, err);
    mysql_marker_release(&m);
    return rc;
}

static enum error_kind check_free(struct database *db, const char *schema, struct error *err)
{
    struct mysql_marker m = MYSQL_MARKER_INIT;
    bool exists = false;
    bool empty = false;
    enum error_kind rc = mysql_schema_exists(db, schema, &exists, err);

    if (rc || !exists)
        return rc;
    rc = mysql_marker_read(db, schema, &m, err);
    if (!rc)
        rc = mysql_schema_is_empty(db, schema, &empty, err);
    if (!rc && (!empty || *m.identity))
        rc =
            error_set(err, ERR_EXISTS, 0, "database %s, where the present one is to be kept, is there already", schema);
    mysql_marker_release(&m);
    return rc;
}

static enum error_kind fill_swap(struct database *db, const char *beside, const char *token, struct json *saved,
                                 struct database_swap *swap, struct error *err)
{
    enum error_kind rc = memory_string(db->name, &swap->live, err);

    if (!rc)
        rc = memory_string(beside, &swap->beside, err);
    if (!rc)
        rc = database_private_name(db->name, DATABASE_INFIX_KEPT, token, MYSQL_NAME_MAX, &swap->kept, err);
    if (!rc)
        rc = check_free(db, swap->kept, err);
    if (!rc)
        rc = loaded_identity(db, beside, &swap->new_identity, err);
    if (!rc)
        rc = put_properties(db, saved, "new", beside, err);
    if (!rc)
        rc = put_account(db, saved, err);
    if (!rc)
        rc = live_identity(db, swap->live, &swap->old_identity, err);
    if (!rc && swap->old_identity)
        rc = put_properties(db, saved, "old", swap->live, err);
    return rc;
}

enum error_kind mysql_swap_prepare(struct database *db, const char *beside, const char *token,
                                   struct database_swap *out, struct error *err)
{
    struct database_swap swap = DATABASE_SWAP_INIT;
    struct buffer text = BUFFER_INIT(SAVED_MAX);
    struct json *saved = json_object();
    enum error_kind rc;

    rc = refuse_obstacles(db, err);
    if (!rc)
        rc = fill_swap(db, beside, token, saved, &swap, err);
    if (!rc)
        rc = json_print(saved, &text, err);
    if (rc)
        goto done;
    swap.saved = buffer_detach(&text);
    *out = swap;
    swap = (struct database_swap)DATABASE_SWAP_INIT;

done:
    if (rc)
        error_context(err, "preparing the exchange of database %s", db->name);
    json_free(saved);
    buffer_release(&text);
    database_swap_release(&swap);
    return rc;
}

/* ---- the fence ---- */

static enum error_kind lock_account(struct database *db, const struct database_swap *swap, bool lock, struct error *err)
{
    struct json *saved = NULL;
    const char *user = NULL;
    const char *host = NULL;
    enum error_kind rc = json_parse(swap->saved, strlen(swap->saved), &saved, err);

    if (rc)
        return rc;
    user = json_text(json_get(saved, "locked_user"));
    host = json_text(json_get(saved, "locked_host"));
    if (user && host) /* an account that was dropped meanwhile is locked out for good */
        rc = mysql_run_unless(db, E_CANNOT_USER, err, "ALTER USER %t@%t ACCOUNT %s", user, host,
                              lock ? "LOCK" : "UNLOCK");
    json_free(saved);
    return rc;
}

enum error_kind mysql_fence(struct database *db, const struct database_swap *swap, struct error *err)
{
    struct text_list schemas = TEXT_LIST_INIT;
    enum error_kind rc = lock_account(db, swap, true, err);

    if (!rc)
        rc = text_list_add(&schemas, swap->live, err);
    if (!rc)
        rc = mysql_end_sessions(db, &schemas, err);
    text_list_release(&schemas);
    return rc;
}

enum error_kind mysql_unfence(struct database *db, const struct database_swap *swap, struct error *err)
{
    return lock_account(db, swap, false, err);
}

/* ---- what was kept ---- */

static bool is_private_name(const struct database *db, const char *name)
{
    const char *live = db->target->name;

    return database_is_private_name(name, live, DATABASE_INFIX_BESIDE, MYSQL_NAME_MAX) ||
           database_is_private_name(name, live, DATABASE_INFIX_KEPT, MYSQL_NAME_MAX);
}

enum error_kind mysql_kept_drop(struct database *db, const char *name, const char *identity, struct error *err)
{
    struct text_list schemas = TEXT_LIST_INIT;
    struct mysql_marker m = MYSQL_MARKER_INIT;
    bool exists = false;
    bool empty = false;
    enum error_kind rc = mysql_schema_exists(db, name, &exists, err);

    if (rc || !exists)
        return rc;
    rc = mysql_marker_read(db, name, &m, err);
    if (!rc && !*m.identity)
        rc = mysql_schema_is_empty(db, name, &empty, err);
    if (rc)
        goto done;
    /* D6. A schema that lost its tables to the live one, or never got any, has no identity to show: the name and emptiness do. */
    if (strcmp(name, db->target->name) == 0 ||
        !(empty ? is_private_name(db, name) : strcmp(m.identity, identity) == 0)) {
        rc = error_set(err, ERR_REFUSED, 0, "database %s is not the one that was recorded, and stays", name);
        goto done;
    }
    rc = text_list_add(&schemas, name, err);
    if (!rc)
        rc = mysql_end_sessions(db, &schemas, err);
    if (!rc)
        rc = mysql_lend_end(db, name, err);
    if (!rc)
        rc = mysql_schema_drop(db, name, err);

done:
    text_list_release(&schemas);
    mysql_marker_release(&m);
    return rc;
}
