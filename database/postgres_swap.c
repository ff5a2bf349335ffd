/*
 * The fence, the exchange of two databases by name, and the end of kept ones.
 *
 * A database is known by its oid (G1). One transaction renames both and sets what goes with it (G2):
 *
 *     state   live name     beside name   kept name       door of the live name
 *     OLD     old           new           -               as it was, or closed by the fence (G3)
 *     NEW     new           -             old, private    the same as before the exchange
 *
 * A database under a private name takes connections, so that it can be dumped, but not the shop's: PUBLIC and the
 * shop's role lose CONNECT, and if nopsnap logs in as a superuser (whom a limit does not bind) the connection limit
 * is 0. An owner who is no superuser is bound by that limit, so then there is none, and if nopsnap has only the
 * shop's own login that one keeps CONNECT: it does not know the private name. What was there before is in `saved` and
 * comes back in the transaction that gives the live name back.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "json.h"
#include "postgres_internal.h"

enum { EXCHANGE_MS = 60000, PAUSE_MS = 100, LEAVING_MS = 2000 };

static void pause_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&t, NULL);
}

/* ---- saved ---- */

struct access {
    int64_t limit;
    bool public_connects;
    bool shop_connects; /* by a grant of its own */
    bool shop_grants;   /* ... with grant option */
};

static enum error_kind keep_access(void *arg, const struct database_row *row, struct error *err)
{
    struct access *a = arg;

    (void)err;
    a->limit = row->values[0] ? strtoll(row->values[0], NULL, 10) : -1;
    a->public_connects = row->values[1] && *row->values[1] == 't';
    a->shop_connects = row->values[2] && *row->values[2] == 't';
    a->shop_grants = row->values[3] && *row->values[3] == 't';
    return OK;
}

static const char *shop_role(const struct database *db)
{
    return db->target->user ? db->target->user : "";
}

static enum error_kind read_access(struct database *db, struct postgres *pg, const char *name, struct access *out,
                                   struct error *err)
{
    static const char sql[] =
        "SELECT d.datconnlimit, "
        "EXISTS (SELECT 1 FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a "
        "  WHERE a.grantee = 0 AND a.privilege_type = 'CONNECT'), "
        "EXISTS (SELECT 1 FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a JOIN pg_roles r ON r.oid = a.grantee "
        "  WHERE r.rolname = $2 AND a.privilege_type = 'CONNECT'), "
        "EXISTS (SELECT 1 FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a JOIN pg_roles r ON r.oid = a.grantee "
        "  WHERE r.rolname = $2 AND a.privilege_type = 'CONNECT' AND a.is_grantable) "
        "FROM pg_database d WHERE d.datname = $1";
    const char *parameters[] = {name, shop_role(db)};

    return postgres_query_with(pg, sql, 2, parameters, keep_access, out, err);
}

static void put_access(struct json *root, const char *key, const struct access *a)
{
    struct json *object = json_object();

    json_put_number(object, "limit", a->limit);
    json_put_flag(object, "public_connects", a->public_connects);
    json_put_flag(object, "shop_connects", a->shop_connects);
    json_put_flag(object, "shop_grants", a->shop_grants);
    json_put(root, key, object);
}

static enum error_kind get_access(const struct database_swap *swap, const char *key, struct access *out,
                                  struct error *err)
{
    struct json *root = NULL;
    struct json *object = NULL;
    enum error_kind rc;

    rc = swap->saved ? json_parse(swap->saved, strlen(swap->saved), &root, err)
                     : error_set(err, ERR_CORRUPT, 0, "the journal does not say what the database's access was");
    if (rc)
        return rc;
    object = json_get(root, key);
    out->limit = json_number(json_get(object, "limit"), -1);
    out->public_connects = json_flag(json_get(object, "public_connects"), true);
    out->shop_connects = json_flag(json_get(object, "shop_connects"), false);
    out->shop_grants = json_flag(json_get(object, "shop_grants"), false);
    json_free(root);
    return OK;
}

/* ---- preparing ---- */

static enum error_kind refuse_obstacles(struct postgres *pg, const char *name, struct error *err)
{
    struct text_list obstacles = TEXT_LIST_INIT;
    struct buffer all = BUFFER_INIT(64 * 1024);
    int64_t deadline = clock_monotonic_ms() + LEAVING_MS;
    enum error_kind rc;

    rc = postgres_obstacles(pg, name, &obstacles, err);
    /* A session that is just leaving is none. */
    while (!rc && obstacles.count && clock_monotonic_ms() < deadline) {
        pause_ms(PAUSE_MS);
        text_list_release(&obstacles);
        rc = postgres_obstacles(pg, name, &obstacles, err);
    }
    for (size_t i = 0; !rc && i < obstacles.count; i++)
        rc = buffer_append_format(&all, err, "%s%s", i ? "; " : "", obstacles.items[i]);
    if (!rc && obstacles.count) {
        rc = error_set(err, ERR_REFUSED, 0, "database %s can't be exchanged: %s", name, (char *)all.data);
        error_hint(err, "remove what is named, or name a login with more rights with database-admin in the config");
    }
    text_list_release(&obstacles);
    buffer_release(&all);
    return rc;
}

static enum error_kind check_kept_name(struct postgres *pg, const char *kept, struct error *err)
{
    char *oid = NULL;
    enum error_kind rc = postgres_oid(pg, kept, &oid, err);

    if (!rc && oid)
        rc = error_set(err, ERR_REFUSED, 0, "the server has a database %s already", kept);
    free(oid);
    return rc;
}

/* For a dump of the side that is taken away: its private name changes who may connect (database_open_kept). */
static enum error_kind save_properties(struct database *db, const char *name, struct json *root, const char *key,
                                       struct error *err)
{
    struct postgres *pg = NULL;
    char *properties = NULL;
    enum error_kind rc = postgres_open_other(db, name, &pg, err);

    if (!rc)
        rc = postgres_properties_read(pg, &properties, err);
    if (!rc)
        json_put_text(root, key, properties);
    free(properties);
    postgres_close(pg);
    return rc;
}

static enum error_kind save_access(struct database *db, struct postgres *pg, const struct database_swap *swap,
                                   char **out, struct error *err)
{
    struct access old = {-1, true, false, false};
    struct access new = {-1, true, false, false};
    struct json *root = json_object();
    struct buffer text = BUFFER_INIT(4 << 20);
    enum error_kind rc = OK;

    if (swap->old_identity)
        rc = read_access(db, pg, swap->live, &old, err);
    if (!rc)
        rc = read_access(db, pg, swap->beside, &new, err);
    put_access(root, "old", &old);
    put_access(root, "new", &new);
    if (!rc && swap->old_identity)
        rc = save_properties(db, swap->live, root, "old_properties", err);
    if (!rc)
        rc = save_properties(db, swap->beside, root, "new_properties", err);
    if (!rc)
        rc = json_print(root, &text, err);
    if (!rc)
        *out = buffer_detach(&text);
    buffer_release(&text);
    json_free(root);
    return rc;
}

enum error_kind postgres_swap_prepare(struct database *db, const char *beside, const char *token,
                                      struct database_swap *out, struct error *err)
{
    struct database_swap swap = DATABASE_SWAP_INIT;
    struct postgres *pg = NULL;
    enum error_kind rc;

    rc = postgres_maintenance(db, &pg, err);
    if (!rc)
        rc = memory_string(db->name, &swap.live, err);
    if (!rc)
        rc = memory_string(beside, &swap.beside, err);
    if (!rc)
        rc = database_private_name(db->name, DATABASE_INFIX_KEPT, token, POSTGRES_NAME_MAX, &swap.kept, err);
    if (!rc)
        rc = postgres_identity(pg, swap.live, &swap.old_identity, err);
    if (!rc)
        rc = postgres_identity(pg, swap.beside, &swap.new_identity, err);
    if (!rc && !swap.new_identity)
        rc = error_set(err, ERR_NOT_FOUND, 0, "there is no database %s on the server", beside);
    if (!rc)
        rc = check_kept_name(pg, swap.kept, err);
    if (!rc && swap.old_identity)
        rc = refuse_obstacles(pg, swap.live, err);
    if (!rc)
        rc = save_access(db, pg, &swap, &swap.saved, err);
    if (rc)
        goto done;
    *out = swap;
    swap = (struct database_swap)DATABASE_SWAP_INIT;

done:
    if (rc)
        error_context(err, "preparing the exchange of database %s", db->name);
    database_swap_release(&swap);
    return rc;
}

enum error_kind postgres_swap_renew(struct database *db, struct database_swap *swap, struct error *err)
{
    struct access new = {-1, true, false, false};
    struct buffer text = BUFFER_INIT(4 << 20);
    struct postgres *pg = NULL;
    struct json *root = NULL;
    char *identity = NULL;
    enum error_kind rc = postgres_maintenance(db, &pg, err);

    if (!rc)
        rc = json_parse(swap->saved, strlen(swap->saved), &root, err);
    if (!rc)
        rc = postgres_identity(pg, swap->beside, &identity, err);
    if (!rc && !identity)
        rc = error_set(err, ERR_NOT_FOUND, 0, "there is no database %s on the server", swap->beside);
    if (!rc)
        rc = read_access(db, pg, swap->beside, &new, err);
    if (rc)
        goto done;
    put_access(root, "new", &new);
    rc = save_properties(db, swap->beside, root, "new_properties", err);
    if (!rc)
        rc = json_print(root, &text, err);
    if (rc)
        goto done;
    free(swap->saved);
    swap->saved = buffer_detach(&text);
    free(swap->new_identity);
    swap->new_identity = identity;
    identity = NULL;

done:
    free(identity);
    buffer_release(&text);
    json_free(root);
    return rc;
}

/* ---- who is where ---- */

struct places {
    char *old_name; /* NULL: not on the server */
    char *new_name;
};

static void places_release(struct places *p)
{
    free(p->old_name);
    free(p->new_name);
    *p = (struct places){NULL, NULL};
}

static enum error_kind find_places(struct postgres *pg, const struct database_swap *swap, struct places *out,
                                   struct error *err)
{
    enum error_kind rc = OK;

    places_release(out);
    if (swap->old_identity)
        rc = postgres_name_of(pg, swap->old_identity, &out->old_name, err);
    return rc ? rc : postgres_name_of(pg, swap->new_identity, &out->new_name, err);
}

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static enum error_kind neither(const struct database_swap *swap, struct error *err)
{
    error_set(err, ERR_PENDING, 0, "database %s is neither the one that was there nor the one that was loaded",
              swap->live);
    error_hint(err, "somebody else has created or renamed it; rename it away and run recover again");
    return ERR_PENDING;
}

enum error_kind postgres_swap_side(struct database *db, const struct database_swap *swap, enum database_side *out,
                                   struct error *err)
{
    struct places at = {NULL, NULL};
    struct postgres *pg = NULL;
    char *live = NULL;
    enum error_kind rc;

    rc = postgres_maintenance(db, &pg, err);
    if (!rc)
        rc = find_places(pg, swap, &at, err);
    if (!rc)
        rc = postgres_oid(pg, swap->live, &live, err);
    if (rc)
        goto done;
    if (same(at.new_name, swap->live))
        *out = DATABASE_NEW;
    else if (same(at.old_name, swap->live) || (!swap->old_identity && !live))
        *out = DATABASE_OLD;
    else
        rc = neither(swap, err);

done:
    places_release(&at);
    free(live);
    return rc;
}

/* ---- the fence ---- */

static enum error_kind set_door(struct postgres *pg, const char *name, bool open, struct error *err)
{
    char *quoted = NULL;
    enum error_kind rc = postgres_quoted_name(pg, name, &quoted, err);

    if (!rc)
        rc = postgres_run(pg, err, "ALTER DATABASE %s ALLOW_CONNECTIONS %s", quoted, open ? "true" : "false");
    free(quoted);
    return rc;
}

/* Is it one of the two that carries the live name? A stranger under that name is left alone. */
static enum error_kind live_is_known(struct postgres *pg, const struct database_swap *swap, bool *out,
                                     struct error *err)
{
    struct places at = {NULL, NULL};
    enum error_kind rc = find_places(pg, swap, &at, err);

    *out = same(at.old_name, swap->live) || same(at.new_name, swap->live);
    places_release(&at);
    return rc;
}

enum error_kind postgres_fence(struct database *db, const struct database_swap *swap, struct error *err)
{
    struct postgres *maintenance = NULL;
    struct postgres *live = NULL;
    bool known = false;
    enum error_kind rc;

    rc = postgres_maintenance(db, &maintenance, err);
    if (!rc)
        rc = live_is_known(maintenance, swap, &known, err);
    if (rc || !known)
        return rc;
    /* Our own session has to be inside before the door closes, to look at what the shop did last. */
    if (same(db->name, swap->live))
        rc = postgres_live(db, &live, err);
    if (!rc)
        rc = set_door(maintenance, swap->live, false, err);
    return rc ? rc : postgres_end_sessions(maintenance, swap->live, true, err);
}

enum error_kind postgres_unfence(struct database *db, const struct database_swap *swap, struct error *err)
{
    struct postgres *pg = NULL;
    bool known = false;
    enum error_kind rc;

    rc = postgres_maintenance(db, &pg, err);
    if (!rc)
        rc = live_is_known(pg, swap, &known, err);
    return rc || !known ? rc : set_door(pg, swap->live, true, err);
}

/* ---- the exchange ---- */

struct role_names {
    char *shop;     /* quoted; NULL if it does not exist or is our own login */
    bool superuser; /* our login is one */
};

static enum error_kind read_roles(struct database *db, struct postgres *pg, struct role_names *out, struct error *err)
{
    const char *parameters[] = {shop_role(db)};

    out->superuser = postgres_is_superuser(pg);
    return postgres_text(pg, "SELECT quote_ident(rolname) FROM pg_roles WHERE rolname = $1 AND rolname <> current_user",
                         1, parameters, &out->shop, err);
}

/* To a private name: the door opens for us alone. */
static enum error_kind make_private(struct postgres *pg, const struct role_names *roles, const char *quoted,
                                    struct error *err)
{
    enum error_kind rc;

    rc = postgres_run(pg, err, "ALTER DATABASE %s WITH ALLOW_CONNECTIONS true CONNECTION LIMIT %d", quoted,
                      roles->superuser ? 0 : -1);
    if (!rc)
        rc = postgres_run(pg, err, "REVOKE CONNECT ON DATABASE %s FROM PUBLIC", quoted);
    if (!rc && roles->shop)
        rc = postgres_run(pg, err, "REVOKE CONNECT ON DATABASE %s FROM %s", quoted, roles->shop);
    return rc;
}

/* To the live name: as it was, the door as the one that makes room had it. */
static enum error_kind make_public(struct postgres *pg, const struct role_names *roles, const char *quoted,
                                   const struct access *was, bool open, struct error *err)
{
    enum error_kind rc;

    rc = postgres_run(pg, err, "ALTER DATABASE %s WITH ALLOW_CONNECTIONS %s CONNECTION LIMIT %" PRId64, quoted,
                      open ? "true" : "false", was->limit);
    if (!rc && was->public_connects)
        rc = postgres_run(pg, err, "GRANT CONNECT ON DATABASE %s TO PUBLIC", quoted);
    if (!rc && was->shop_connects && roles->shop)
        rc = postgres_run(pg, err, "GRANT CONNECT ON DATABASE %s TO %s%s", quoted, roles->shop,
                          was->shop_grants ? " WITH GRANT OPTION" : "");
    return rc;
}

static enum error_kind move(struct postgres *pg, const char *from, const char *to, char **quoted_to, struct error *err)
{
    char *quoted_from = NULL;
    enum error_kind rc;

    rc = postgres_quoted_name(pg, from, &quoted_from, err);
    if (!rc)
        rc = postgres_quoted_name(pg, to, quoted_to, err);
    if (!rc)
        rc = postgres_run(pg, err, "ALTER DATABASE %s RENAME TO %s", quoted_from, *quoted_to);
    free(quoted_from);
    return rc;
}

struct exchange {
    const char *leaving; /* name of the one that leaves the live name; NULL if there is none */
    const char *leaving_to;
    const char *coming; /* name of the one that takes it; NULL: the live name stays free */
    const char *live;
    const struct access *was; /* of the one that comes */
};

/* In use, locked, changed by somebody else at the same time, a deadlock: another try may do. */
static bool is_passing(const char *sqlstate)
{
    static const char *const states[] = {"55006", "55P03", "XX000", "40001", "40P01"};

    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (strcmp(sqlstate, states[i]) == 0)
            return true;
    return false;
}

/* G2: one transaction. Off synchronous_commit would let a crash forget it after we have said that it happened. */
static enum error_kind exchange_once(struct postgres *pg, const struct role_names *roles, const struct exchange *x,
                                     bool *again, struct error *err)
{
    const char *parameters[] = {x->live};
    char *leaving = NULL;
    char *coming = NULL;
    int64_t open = 1;
    enum error_kind rc;

    rc = postgres_query(
        pg,
        "BEGIN; SET LOCAL lock_timeout = '10s'; "
        "SELECT set_config('synchronous_commit', 'local', true) WHERE current_setting('synchronous_commit') = 'off'",
        NULL, NULL, err);
    if (!rc && x->leaving)
        rc = postgres_number(pg, "SELECT datallowconn::int FROM pg_database WHERE datname = $1", 1, parameters, 1,
                             &open, err);
    if (!rc && x->leaving)
        rc = move(pg, x->leaving, x->leaving_to, &leaving, err);
    if (!rc && x->leaving)
        rc = make_private(pg, roles, leaving, err);
    if (!rc && x->coming)
        rc = move(pg, x->coming, x->live, &coming, err);
    if (!rc && x->coming)
        rc = make_public(pg, roles, coming, x->was, open != 0, err);
    if (!rc)
        rc = postgres_query(pg, "COMMIT", NULL, NULL, err);
    if (rc) {
        struct error ignored = ERROR_INIT;

        *again = is_passing(postgres_state(pg));
        (void)postgres_query(pg, "ROLLBACK", NULL, NULL, &ignored);
    }
    free(leaving);
    free(coming);
    return rc;
}

/* Sessions come back until the rename holds its locks: they are ended again, up to a deadline. */
static enum error_kind exchange_until_done(struct postgres *pg, const struct role_names *roles,
                                           const struct exchange *x, struct error *err)
{
    int64_t deadline = clock_monotonic_ms() + EXCHANGE_MS;
    enum error_kind rc;

    for (;;) {
        struct error busy = ERROR_INIT;
        bool again = false;

        rc = x->leaving ? postgres_end_sessions(pg, x->leaving, false, err) : OK;
        if (!rc && x->coming)
            rc = postgres_end_sessions(pg, x->coming, false, err);
        if (rc)
            return rc;
        rc = exchange_once(pg, roles, x, &again, &busy);
        if (!rc)
            return OK;
        if (!again || clock_monotonic_ms() >= deadline) {
            *err = busy;
            return rc;
        }
        pause_ms(PAUSE_MS);
    }
}

static enum error_kind gone(const char *which, struct error *err)
{
    error_set(err, ERR_PENDING, 0, "the %s database is not on the server any more", which);
    error_hint(err, "restore it from its snapshot");
    return ERR_PENDING;
}

/* The name that somebody is to move to must be free. */
static enum error_kind check_free(struct postgres *pg, const char *name, struct error *err)
{
    char *oid = NULL;
    enum error_kind rc = postgres_oid(pg, name, &oid, err);

    if (!rc && oid) {
        rc = error_set(err, ERR_PENDING, 0, "the name %s is taken by a database that is not nopsnap's", name);
        error_hint(err, "rename that database, then run recover again");
    }
    free(oid);
    return rc;
}

static enum error_kind plan_exchange(struct postgres *pg, const struct database_swap *swap, enum database_side side,
                                     const struct places *at, struct exchange *x, bool *nothing, struct error *err)
{
    const char *wanted = side == DATABASE_NEW ? at->new_name : at->old_name;
    const char *other = side == DATABASE_NEW ? at->old_name : at->new_name;
    char *stranger = NULL;
    enum error_kind rc;

    x->live = swap->live;
    x->coming = same(wanted, swap->live) ? NULL : wanted;
    x->leaving = same(other, swap->live) ? other : NULL;
    x->leaving_to = side == DATABASE_NEW ? swap->kept : swap->beside;
    if (!wanted && (side == DATABASE_NEW || swap->old_identity))
        return gone(side == DATABASE_NEW ? "loaded" : "former", err);
    *nothing = !x->coming && !x->leaving;
    if (*nothing)
        return OK;
    if (x->leaving)
        return check_free(pg, x->leaving_to, err);
    rc = postgres_oid(pg, x->live, &stranger, err);
    if (!rc && stranger)
        rc = neither(swap, err);
    free(stranger);
    return rc;
}

enum error_kind postgres_swap_to(struct database *db, const struct database_swap *swap, enum database_side side,
                                 struct error *err)
{
    struct role_names roles = {NULL, false};
    struct places at = {NULL, NULL};
    struct exchange x = {NULL, NULL, NULL, NULL, NULL};
    struct access was = {-1, true, false, false};
    struct postgres *pg = NULL;
    bool nothing = false;
    enum error_kind rc;

    rc = postgres_maintenance(db, &pg, err);
    if (!rc)
        rc = find_places(pg, swap, &at, err);
    if (!rc)
        rc = plan_exchange(pg, swap, side, &at, &x, &nothing, err);
    if (rc || nothing)
        goto done;
    rc = get_access(swap, side == DATABASE_NEW ? "new" : "old", &was, err);
    if (!rc)
        rc = read_roles(db, pg, &roles, err);
    if (rc)
        goto done;
    x.was = &was;
    postgres_close_live(db);
    rc = exchange_until_done(pg, &roles, &x, err);

done:
    free(roles.shop);
    places_release(&at);
    return rc;
}

/* ---- the end of a kept database ---- */

enum error_kind postgres_kept_drop(struct database *db, const char *name, const char *identity, struct error *err)
{
    struct postgres *pg = NULL;
    char *found = NULL;
    char *quoted = NULL;
    enum error_kind rc;

    if (same(name, db->target->name))
        return error_set(err, ERR_REFUSED, 0, "%s is the live database", name);
    rc = postgres_maintenance(db, &pg, err);
    if (!rc)
        rc = postgres_identity(pg, name, &found, err);
    if (rc || !found)
        goto done;
    if (strcmp(found, identity) != 0) {
        rc = error_set(err, ERR_REFUSED, 0, "database %s is not the one that nopsnap kept", name);
        error_hint(err, "somebody has put another database in its place; it is left alone");
        goto done;
    }
    if (same(name, db->name))
        postgres_close_live(db);
    rc = postgres_quoted_name(pg, name, &quoted, err);
    if (!rc)
        rc = postgres_end_sessions(pg, name, false, err);
    if (!rc)
        rc = postgres_run(pg, err, "DROP DATABASE IF EXISTS %s", quoted);

done:
    free(found);
    free(quoted);
    return rc;
}
