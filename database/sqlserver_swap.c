/*
 * The fence, the exchange of two databases by name, and the end of kept ones.
 *
 *   S1  a database is known by its number and its first file's GUID (sqlserver_places), which a rename leaves alone
 *   S2  the server has no way to rename two databases at once: between the two renames nobody has the live name. From there as from
 *       everywhere else either side is reached by looking who is where
 *   S3  the fence is SINGLE_USER, the seat held by a session of ours that is inside: a site that reconnects is refused. Whoever has the
 *       live name after an exchange is as closed as the one before it was
 *   S4  a database under a private name is MULTI_USER, so that it can be dumped; the shop does not know that name
 *
 *   state   live name     beside name   kept name
 *   OLD     old           new           -
 *   (S2)    -             new           old          swap_side: ERR_PENDING
 *   NEW     new           -             old
 *
 * A server that has no SINGLE_USER (seen by trying it on the database beside) has no door to close: sessions are ended, and a rename is
 * tried until nobody is in the way.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "json.h"
#include "sqlserver_internal.h"

enum { SQL_MAX = 64 * 1024, EXCHANGE_MS = 60000, DOOR_MS = 10000, PAUSE_MS = 100, SAVED_MAX = 64 * 1024 };

static void pause_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&t, NULL);
}

static bool same(const char *a, const char *b)
{
    return a && b && strcasecmp(a, b) == 0;
}

/* ---- what stands in the way ---- */

static enum error_kind add_line(void *arg, const struct database_row *row, struct error *err)
{
    return row->values[0] ? text_list_add(arg, row->values[0], err) : OK;
}

/* The restore point of an upgrade in its trial goes with the trial, before anything is exchanged. */
static enum error_kind list_snapshots(struct sqlserver_link *master, const char *name, bool own, struct text_list *out,
                                      struct error *err)
{
    struct text_list names = TEXT_LIST_INIT;
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    enum error_kind rc =
        sqlserver_ddl(&sql, err,
                      "/* nopsnap: snapshots of it */ SELECT s.name FROM sys.databases s JOIN sys.databases d ON "
                      "s.source_database_id = d.database_id WHERE d.name = %t",
                      name);

    if (!rc)
        rc = sqlserver_link_run(master, (char *)sql.data, add_line, &names, err);
    for (size_t i = 0; !rc && i < names.count; i++)
        if (own || !database_is_private_name(names.items[i], name, DATABASE_INFIX_POINT, SQLSERVER_NAME_MAX))
            rc = text_list_addf(out, err, "database snapshot %s of it", names.items[i]);
    buffer_release(&sql);
    text_list_release(&names);
    return rc;
}

enum error_kind sqlserver_obstacles(struct sqlserver_link *master, const char *name, bool own, struct text_list *out,
                                    struct error *err)
{
    static const char *const queries[] = {
        "/* nopsnap: replication */ SELECT N'it is published or subscribed for replication' FROM sys.databases d WHERE d.name = %t "
        "AND (d.is_published = 1 OR d.is_subscribed = 1 OR d.is_merge_published = 1 OR d.is_distributor = 1)",
        "/* nopsnap: replicas */ SELECT N'it belongs to an availability group' FROM sys.databases d WHERE d.name = %t AND "
        "d.replica_id IS NOT NULL",
        "/* nopsnap: seat */ SELECT N'AUTO_UPDATE_STATISTICS_ASYNC is ON: the server itself could take the single seat' FROM "
        "sys.databases d WHERE d.name = %t AND d.is_auto_update_stats_async_on = 1",
    };
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < sizeof queries / sizeof queries[0]; i++) {
        struct buffer sql = BUFFER_INIT(SQL_MAX);

        rc = sqlserver_ddl(&sql, err, queries[i], name);
        if (!rc)
            rc = sqlserver_link_run(master, (char *)sql.data, add_line, out, err);
        buffer_release(&sql);
    }
    return rc ? rc : list_snapshots(master, name, own, out, err);
}

static enum error_kind refuse_obstacles(struct sqlserver_link *master, const char *name, struct error *err)
{
    struct text_list obstacles = TEXT_LIST_INIT;
    struct buffer all = BUFFER_INIT(SQL_MAX);
    enum error_kind rc = sqlserver_obstacles(master, name, true, &obstacles, err);

    for (size_t i = 0; !rc && i < obstacles.count; i++)
        rc = buffer_append_format(&all, err, "%s%s", i ? "; " : "", obstacles.items[i]);
    if (!rc && obstacles.count) {
        rc = error_set(err, ERR_REFUSED, 0, "database %s can't be exchanged: %s", name, (char *)all.data);
        error_hint(err, "remove what is named, then try again");
    }
    text_list_release(&obstacles);
    buffer_release(&all);
    return rc;
}

/* ---- preparing ---- */

static enum error_kind put_saved(bool door, char **out, struct error *err)
{
    struct buffer text = BUFFER_INIT(SAVED_MAX);
    struct json *root = json_object();
    enum error_kind rc;

    json_put_flag(root, "door", door);
    rc = json_print(root, &text, err);
    if (!rc)
        *out = buffer_detach(&text);
    json_free(root);
    buffer_release(&text);
    return rc;
}

static enum error_kind get_saved(const struct database_swap *swap, bool *door, struct error *err)
{
    struct json *root = NULL;
    enum error_kind rc;

    rc = swap->saved ? json_parse(swap->saved, strlen(swap->saved), &root, err)
                     : error_set(err, ERR_CORRUPT, 0, "the journal does not say how the database is closed");
    if (!rc)
        *door = json_flag(json_get(root, "door"), true);
    json_free(root);
    return rc;
}

static enum error_kind identify(const struct sqlserver_places *places, struct database_swap *swap, struct error *err)
{
    enum error_kind rc = sqlserver_identity(places, swap->live, &swap->old_identity, err);

    if (!rc)
        rc = sqlserver_identity(places, swap->beside, &swap->new_identity, err);
    if (!rc && !swap->new_identity)
        rc = error_set(err, ERR_NOT_FOUND, 0, "there is no database %s on the server", swap->beside);
    if (!rc && sqlserver_place_name(places, swap->kept))
        rc = error_set(err, ERR_REFUSED, 0, "the server has a database %s already", swap->kept);
    return rc;
}

enum error_kind sqlserver_swap_prepare(struct database *db, const char *beside, const char *token,
                                       struct database_swap *out, struct error *err)
{
    struct database_swap swap = DATABASE_SWAP_INIT;
    struct sqlserver_places places = {{0}};
    struct sqlserver_link *master = NULL;
    struct error ignored = ERROR_INIT;
    bool door;
    enum error_kind rc;

    rc = sqlserver_master(db, &master, err);
    if (!rc)
        rc = sqlserver_places_read(master, &places, err);
    if (!rc)
        rc = memory_string(db->name, &swap.live, err);
    if (!rc)
        rc = memory_string(beside, &swap.beside, err);
    if (!rc)
        rc = database_private_name(db->name, DATABASE_INFIX_KEPT, token, SQLSERVER_NAME_MAX, &swap.kept, err);
    if (!rc)
        rc = identify(&places, &swap, err);
    if (!rc && swap.old_identity)
        rc = refuse_obstacles(master, swap.live, err);
    if (rc)
        goto done;
    door = sqlserver_run(master, &ignored, "ALTER DATABASE %n SET MULTI_USER", beside) == OK; /* which it is already */
    rc = put_saved(door, &swap.saved, err);
    if (rc)
        goto done;
    *out = swap;
    swap = (struct database_swap)DATABASE_SWAP_INIT;

done:
    if (rc)
        error_context(err, "preparing the exchange of database %s", db->name);
    sqlserver_places_release(&places);
    database_swap_release(&swap);
    return rc;
}

/* ---- who is where ---- */

struct whereabouts {
    struct sqlserver_places places;
    const char *old_name; /* NULL: not on the server */
    const char *new_name;
    const char *live_taken; /* what has the live name, as the server spells it */
};

static enum error_kind look(struct sqlserver_link *master, const struct database_swap *swap, struct whereabouts *out,
                            struct error *err)
{
    enum error_kind rc = sqlserver_places_read(master, &out->places, err);

    if (rc)
        return rc;
    out->old_name = sqlserver_place_of(&out->places, swap->old_identity);
    out->new_name = sqlserver_place_of(&out->places, swap->new_identity);
    out->live_taken = sqlserver_place_name(&out->places, swap->live);
    return OK;
}

static enum error_kind neither(const struct database_swap *swap, struct error *err)
{
    error_set(err, ERR_PENDING, 0, "database %s is neither the one that was there nor the one that was loaded",
              swap->live);
    error_hint(err, "if somebody else has created or renamed it, rename it away; then run recover again");
    return ERR_PENDING;
}

enum error_kind sqlserver_swap_side(struct database *db, const struct database_swap *swap, enum database_side *out,
                                    struct error *err)
{
    struct whereabouts at = {.old_name = NULL};
    struct sqlserver_link *master = NULL;
    enum error_kind rc = sqlserver_master(db, &master, err);

    if (!rc)
        rc = look(master, swap, &at, err);
    if (!rc && same(at.new_name, swap->live))
        *out = DATABASE_NEW;
    else if (!rc && (same(at.old_name, swap->live) || (!swap->old_identity && !at.live_taken)))
        *out = DATABASE_OLD;
    else if (!rc)
        rc = neither(swap, err);
    sqlserver_places_release(&at.places);
    return rc;
}

/* ---- the door ---- */

/*
 * ROLLBACK IMMEDIATE does not help against whoever has the single seat (error 5064): his session has to end first. Ours may be one that
 * was closed a moment ago.
 */
enum error_kind sqlserver_open_door(struct sqlserver_link *l, const char *name, struct error *err)
{
    int64_t deadline = clock_monotonic_ms() + DOOR_MS;
    enum error_kind rc;

    for (;;) {
        struct error failure = ERROR_INIT;
        struct error ignored = ERROR_INIT;

        rc = sqlserver_run(l, &failure, "ALTER DATABASE %n SET MULTI_USER WITH ROLLBACK IMMEDIATE", name);
        if (!rc)
            return OK;
        if (clock_monotonic_ms() > deadline || failure.kind == ERR_CANCELLED) {
            error_copy(err, &failure);
            return rc;
        }
        (void)sqlserver_end_sessions(l, name, &ignored);
        pause_ms(PAUSE_MS);
    }
}

/*
 * Take the single seat with a connection of ours that is inside (S3). If somebody else has it already, the door is opened for the
 * instant of our own login; whoever slips in with us is put out again by the closing.
 */
enum error_kind sqlserver_take_seat(struct database *db, struct sqlserver_link *master, const char *name,
                                    struct sqlserver_link **out, struct error *err)
{
    int64_t deadline = clock_monotonic_ms() + EXCHANGE_MS;
    enum error_kind rc;

    for (;;) {
        struct error failure = ERROR_INIT;
        struct error ignored = ERROR_INIT;
        struct sqlserver_link *l = NULL;

        rc = sqlserver_link_open(db, name, &l, &failure);
        if (!rc)
            rc = sqlserver_run(l, &failure, "ALTER DATABASE %n SET SINGLE_USER WITH ROLLBACK IMMEDIATE", name);
        if (!rc) {
            *out = l;
            return OK;
        }
        sqlserver_link_close(l);
        if (clock_monotonic_ms() > deadline || failure.kind == ERR_CANCELLED) {
            error_copy(err, &failure);
            return rc;
        }
        (void)sqlserver_open_door(master, name, &ignored);
        pause_ms(PAUSE_MS);
    }
}

/* Is it one of the two that has the live name? A stranger there is left alone. */
static const char *known_live(const struct whereabouts *at, const struct database_swap *swap)
{
    if (same(at->old_name, swap->live))
        return at->old_name;
    return same(at->new_name, swap->live) ? at->new_name : NULL;
}

/* Does our live connection sit in the closed database `name` already? */
static bool has_seat(struct database *db, const struct whereabouts *at, const char *name)
{
    struct sqlserver_link *live = NULL;
    struct error ignored = ERROR_INIT;

    return same(db->name, name) && sqlserver_place_is_closed(&at->places, name) && !sqlserver_live(db, &live, &ignored);
}

enum error_kind sqlserver_fence(struct database *db, const struct database_swap *swap, struct error *err)
{
    struct whereabouts at = {.old_name = NULL};
    struct sqlserver_link *master = NULL;
    struct sqlserver_link *seat = NULL;
    const char *name = NULL;
    bool door = true;
    enum error_kind rc = get_saved(swap, &door, err);

    if (!rc)
        rc = sqlserver_master(db, &master, err);
    if (!rc)
        rc = look(master, swap, &at, err);
    name = rc ? NULL : known_live(&at, swap);
    if (!name)
        goto done;
    if (!door) {
        sqlserver_close_live(db);
        rc = sqlserver_end_sessions(master, name, err);
    } else if (!has_seat(db, &at, name)) {
        sqlserver_close_live(db);
        rc = sqlserver_take_seat(db, master, name, &seat, err);
        if (!rc)
            sqlserver_set_live(db, seat);
    }

done:
    sqlserver_places_release(&at.places);
    return rc;
}

enum error_kind sqlserver_unfence(struct database *db, const struct database_swap *swap, struct error *err)
{
    struct whereabouts at = {.old_name = NULL};
    struct sqlserver_link *master = NULL;
    const char *name = NULL;
    bool door = true;
    enum error_kind rc = get_saved(swap, &door, err);

    if (!rc)
        rc = sqlserver_master(db, &master, err);
    if (!rc)
        rc = look(master, swap, &at, err);
    name = rc ? NULL : known_live(&at, swap);
    if (name && door && sqlserver_place_is_closed(&at.places, name)) {
        sqlserver_close_live(db); /* its seat is not to be taken from it by the opening */
        rc = sqlserver_open_door(master, name, err);
    }
    sqlserver_places_release(&at.places);
    return rc;
}

/* ---- the exchange ---- */

/* Without a door: whoever comes back is ended again until the rename finds nobody. */
static enum error_kind rename_open(struct sqlserver_link *master, const char *from, const char *to, struct error *err)
{
    int64_t deadline = clock_monotonic_ms() + EXCHANGE_MS;
    enum error_kind rc;

    for (;;) {
        struct error busy = ERROR_INIT;

        rc = sqlserver_end_sessions(master, from, err);
        if (rc)
            return rc;
        rc = sqlserver_run(master, &busy, "ALTER DATABASE %n MODIFY NAME = %n", from, to);
        if (!rc)
            return OK;
        if (clock_monotonic_ms() > deadline || busy.kind == ERR_CANCELLED) {
            error_copy(err, &busy);
            return rc;
        }
        pause_ms(PAUSE_MS);
    }
}

/* By the one who is inside and has the only seat; *seat is then a session in the renamed database. */
static enum error_kind rename_closed(struct database *db, struct sqlserver_link *master, const char *from,
                                     const char *to, struct sqlserver_link **seat, struct error *err)
{
    enum error_kind rc = sqlserver_take_seat(db, master, from, seat, err);

    return rc ? rc : sqlserver_run(*seat, err, "ALTER DATABASE %n MODIFY NAME = %n", from, to);
}

struct exchange {
    const char *leaving; /* name of the one that leaves the live name; NULL if there is none */
    const char *leaving_to;
    const char *coming; /* name of the one that takes it; NULL: the live name stays free */
    const char *live;
    bool door;
    bool closed; /* whoever comes is to be closed (S3) */
};

static enum error_kind leave(struct database *db, struct sqlserver_link *master, const struct exchange *x,
                             struct error *err)
{
    struct sqlserver_link *seat = NULL;
    enum error_kind rc;

    if (!x->leaving)
        return OK;
    if (!x->door)
        return rename_open(master, x->leaving, x->leaving_to, err);
    rc = rename_closed(db, master, x->leaving, x->leaving_to, &seat, err);
    sqlserver_link_close(seat);
    return rc ? rc : sqlserver_open_door(master, x->leaving_to, err);
}

static enum error_kind come(struct database *db, struct sqlserver_link *master, const struct exchange *x,
                            struct error *err)
{
    struct sqlserver_link *seat = NULL;
    enum error_kind rc;

    if (!x->coming)
        return OK;
    if (!x->door)
        return rename_open(master, x->coming, x->live, err);
    rc = rename_closed(db, master, x->coming, x->live, &seat, err);
    if (!rc && x->closed && same(db->name, x->live)) {
        sqlserver_set_live(db, seat);
        return OK;
    }
    sqlserver_link_close(seat);
    return rc || x->closed ? rc : sqlserver_open_door(master, x->live, err);
}

static enum error_kind gone(const char *which, struct error *err)
{
    error_set(err, ERR_PENDING, 0, "the %s database is not on the server any more", which);
    error_hint(err, "restore it from its snapshot");
    return ERR_PENDING;
}

static enum error_kind plan_exchange(const struct whereabouts *at, const struct database_swap *swap,
                                     enum database_side side, struct exchange *x, struct error *err)
{
    const char *wanted = side == DATABASE_NEW ? at->new_name : at->old_name;
    const char *other = side == DATABASE_NEW ? at->old_name : at->new_name;

    x->live = swap->live;
    x->coming = same(wanted, swap->live) ? NULL : wanted;
    x->leaving = same(other, swap->live) ? other : NULL;
    x->leaving_to = side == DATABASE_NEW ? swap->kept : swap->beside;
    if (!wanted && (side == DATABASE_NEW || swap->old_identity))
        return gone(side == DATABASE_NEW ? "loaded" : "former", err);
    if (x->coming && !x->leaving && at->live_taken)
        return neither(swap, err);
    if (x->leaving && sqlserver_place_name(&at->places, x->leaving_to)) {
        error_set(err, ERR_PENDING, 0, "the name %s is taken by a database that is not nopsnap's", x->leaving_to);
        error_hint(err, "rename that database, then run recover again");
        return ERR_PENDING;
    }
    /* In between the live name is nobody's (S2): the fence was up then, or it is an undo that brings it up. */
    x->closed = x->door && (!x->leaving || sqlserver_place_is_closed(&at->places, x->leaving));
    return OK;
}

enum error_kind sqlserver_swap_to(struct database *db, const struct database_swap *swap, enum database_side side,
                                  struct error *err)
{
    struct whereabouts at = {.old_name = NULL};
    struct exchange x = {.live = NULL};
    struct sqlserver_link *master = NULL;
    enum error_kind rc = get_saved(swap, &x.door, err);

    if (!rc)
        rc = sqlserver_master(db, &master, err);
    if (!rc)
        rc = look(master, swap, &at, err);
    if (!rc)
        rc = plan_exchange(&at, swap, side, &x, err);
    if (!rc && (x.leaving || x.coming)) {
        sqlserver_close_live(db);
        rc = leave(db, master, &x, err);
        if (!rc)
            rc = come(db, master, &x, err);
    }
    sqlserver_places_release(&at.places);
    return rc;
}

/* The table by which a load recognised its own has done its work. */
enum error_kind sqlserver_swap_finish(struct database *db, const struct database_swap *swap, struct error *err)
{
    enum database_side side = DATABASE_OLD;
    struct sqlserver_link *live = NULL;
    enum error_kind rc = sqlserver_swap_side(db, swap, &side, err);

    if (rc || side == DATABASE_OLD)
        return rc;
    rc = sqlserver_live(db, &live, err);
    return rc ? rc
              : sqlserver_link_run(live,
                                   "IF OBJECT_ID(N'[dbo].[" SQLSERVER_MARKER
                                   "]') IS NOT NULL DROP TABLE [dbo].[" SQLSERVER_MARKER "]",
                                   NULL, NULL, err);
}

/* ---- the end of a kept database ---- */

static enum error_kind drop(struct sqlserver_link *master, const char *name, struct error *err)
{
    struct error ignored = ERROR_INIT;

    if (sqlserver_run(master, &ignored, "ALTER DATABASE %n SET SINGLE_USER WITH ROLLBACK IMMEDIATE", name)) {
        enum error_kind rc = sqlserver_end_sessions(master, name, err);

        if (rc)
            return rc;
    }
    return sqlserver_run(master, err, "DROP DATABASE %n", name);
}

enum error_kind sqlserver_kept_drop(struct database *db, const char *name, const char *identity, struct error *err)
{
    struct sqlserver_places places = {{0}};
    struct sqlserver_link *master = NULL;
    const char *there = NULL;
    enum error_kind rc;

    if (same(name, db->target->name))
        return error_set(err, ERR_REFUSED, 0, "%s is the live database", name);
    rc = sqlserver_master(db, &master, err);
    if (!rc)
        rc = sqlserver_places_read(master, &places, err);
    there = rc ? NULL : sqlserver_place_name(&places, name);
    if (!there)
        goto done;
    if (!same(sqlserver_place_of(&places, identity), there)) {
        rc = error_set(err, ERR_REFUSED, 0, "database %s is not the one that nopsnap kept", name);
        error_hint(err, "somebody has put another database in its place; it is left alone");
        goto done;
    }
    if (same(name, db->name))
        sqlserver_close_live(db);
    rc = drop(master, there, err);

done:
    sqlserver_places_release(&places);
    return rc;
}
