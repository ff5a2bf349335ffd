/*
 * The exchange. There are two sets of tables, OLD and NEW; each has a private schema (OLD: swap->kept, NEW: swap->beside), and
 * one of them is in the live schema. A set is known by the marker that moves with its tables.
 *
 *   W1  before anything is moved, one transaction notes in both markers that a move has begun, and what each set consists of:
 *       its tables and its definitions (triggers, views, routines, events)
 *   W2  while a move is noted, the notes alone say what belongs where; a table of a set is in the live schema exactly if it is
 *       not in the set's private one. So a crash between any two statements, also inside a rename of a server that renames
 *       table by table, leaves a state from which either side can be reached
 *   W3  the transaction that ends the move comes after all tables and definitions are in place and the foreign keys are counted
 *   W4  events of a set that is not live are DISABLED; those to be switched on again are noted in its marker. OLD's run again as
 *       soon as OLD is back; NEW's after mysql_swap_finish()
 *   W5  a schema is dropped only when it holds no table
 *
 *   state                         markers                              swap_side
 *   nothing has begun             OLD in live, NEW in beside           OLD
 *   a move is noted               anywhere, "moving"                   ERR_PENDING; swap_to() goes on, either way
 *   exchanged                     NEW in live, OLD in kept             NEW
 *   finished                      none in live, OLD in kept, noting    NEW
 *                                 that NEW is live
 *   undone, NEW dropped           none, and neither private schema     OLD
 */
#include <stdlib.h>
#include <string.h>

#include "mysql_internal.h"
#include "text.h"

enum { RENAME_MS = 60000, LOCK_WAIT_S = 5, SAVED_MAX = 4 * 1024 * 1024 };

/* ---- what stands in the way ---- */

static enum error_kind take_foreign_key(void *arg, const struct database_row *row, struct error *err)
{
    return text_list_addf(arg, err,
                          "table %s.%s has a foreign key to %s: it would follow that table when it is moved aside",
                          row->values[0], row->values[1], row->values[2]);
}

enum error_kind mysql_swap_obstacles(struct database *db, struct text_list *out, struct error *err)
{
    struct error ignored = ERROR_INIT;
    struct text_list prepared = TEXT_LIST_INIT;
    enum error_kind rc;

    rc = mysql_rows(
        db, take_foreign_key, out, err,
        "SELECT DISTINCT CONSTRAINT_SCHEMA, TABLE_NAME, REFERENCED_TABLE_NAME FROM "
        "information_schema.REFERENTIAL_CONSTRAINTS WHERE UNIQUE_CONSTRAINT_SCHEMA = %t AND CONSTRAINT_SCHEMA <> %t "
        "ORDER BY 1, 2",
        db->name, db->name);
    /* Prepared transactions belong to no schema; one of them may hold locks on our tables for ever. */
    if (!rc && !mysql_list(db, &prepared, &ignored, "XA RECOVER") && prepared.count)
        rc =
            text_list_addf(out, err, "%zu prepared XA transaction(s) on the server wait for their end", prepared.count);
    text_list_release(&prepared);
    return rc;
}

/* ---- where the two sets are ---- */

struct set {
    const char *identity; /* NULL: there was no such database */
    const char *private_name;
    bool has_private;    /* the private schema exists */
    bool marked_in_live; /* its marker was seen in the live schema */
    bool marked_in_private;
    struct mysql_marker marker;
};

struct state {
    const char *live;
    bool has_live;
    bool live_has_table; /* the marker itself, perhaps still without an identity */
    bool live_has_marker;
    bool stranger;      /* the live schema carries a marker of neither */
    struct set sets[2]; /* by enum database_side */
};

static void state_release(struct state *s)
{
    mysql_marker_release(&s->sets[DATABASE_OLD].marker);
    mysql_marker_release(&s->sets[DATABASE_NEW].marker);
}

static enum error_kind look_into(struct database *db, struct state *s, const char *schema, bool *exists,
                                 struct error *err)
{
    struct mysql_marker m = MYSQL_MARKER_INIT;
    bool is_live = strcmp(schema, s->live) == 0;
    bool known = false;
    enum error_kind rc = mysql_schema_exists(db, schema, exists, err);

    if (rc || !*exists)
        return rc;
    rc = mysql_marker_read(db, schema, &m, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < 2; i++) {
        struct set *set = &s->sets[i];

        if (!m.exists || !set->identity || strcmp(m.identity, set->identity) != 0)
            continue;
        known = true;
        if (is_live)
            set->marked_in_live = true;
        else
            set->marked_in_private = true;
        mysql_marker_release(&set->marker);
        set->marker = m;
        m = (struct mysql_marker)MYSQL_MARKER_INIT;
    }
    if (is_live) {
        s->live_has_table = known || m.exists;
        s->live_has_marker = known || *m.identity;
        s->stranger = *m.identity && !known;
    }
    mysql_marker_release(&m);
    return OK;
}

static enum error_kind state_read(struct database *db, const struct database_swap *swap, struct state *out,
                                  struct error *err)
{
    struct state s = {0};
    enum error_kind rc;

    s.live = swap->live;
    s.sets[DATABASE_OLD].identity = swap->old_identity;
    s.sets[DATABASE_OLD].private_name = swap->kept;
    s.sets[DATABASE_NEW].identity = swap->new_identity;
    s.sets[DATABASE_NEW].private_name = swap->beside;
    rc = look_into(db, &s, swap->live, &s.has_live, err);
    for (size_t i = 0; !rc && i < 2; i++)
        if (s.sets[i].private_name)
            rc = look_into(db, &s, s.sets[i].private_name, &s.sets[i].has_private, err);
    if (rc) {
        state_release(&s);
        return rc;
    }
    *out = s;
    return OK;
}

static bool is_moving(const struct state *s)
{
    return s->sets[0].marker.moving || s->sets[1].marker.moving;
}

static bool is_live(const struct state *s, enum database_side side)
{
    const struct set *set = &s->sets[side];
    const struct set *other = &s->sets[1 - side];

    if (set->marked_in_live)
        return true;
    if (!set->identity) /* no database before: that is the case again when there is none now */
        return !s->has_live;
    if (!s->has_live || s->live_has_marker || set->marked_in_private)
        return false;
    /* Undone and ended: the mark is gone, and so is what was to take its place. */
    if (side == DATABASE_OLD && !set->has_private && !other->has_private)
        return true;
    /* Finished: the live one's marker is gone, and the other one's, in its private place, tells who it was. */
    return !other->identity || (other->marked_in_private && strcmp(other->marker.live, set->identity) == 0);
}

static enum error_kind neither(const struct state *s, struct error *err)
{
    enum error_kind rc;

    if (s->stranger)
        rc = error_set(err, ERR_PENDING, 0, "database %s carries the mark of another exchange", s->live);
    else
        rc = error_set(err, ERR_PENDING, 0, "database %s is neither the old nor the new one", s->live);
    error_hint(err,
               "somebody has dropped, renamed or replaced a database meanwhile: put it back, then run recover again");
    return rc;
}

enum error_kind mysql_swap_side(struct database *db, const struct database_swap *swap, enum database_side *out,
                                struct error *err)
{
    struct state s = {0};
    enum error_kind rc = state_read(db, swap, &s, err);

    if (rc)
        return rc;
    if (is_moving(&s)) {
        rc = error_set(err, ERR_PENDING, 0, "the exchange of database %s was cut short", swap->live);
        error_hint(err, "nopsnap recover finishes or undoes it");
    } else if (is_live(&s, DATABASE_NEW))
        *out = DATABASE_NEW;
    else if (is_live(&s, DATABASE_OLD))
        *out = DATABASE_OLD;
    else
        rc = neither(&s, err);
    state_release(&s);
    return rc;
}

/* ---- noting a move (W1) ---- */

struct content {
    struct text_list tables;
    struct mysql_objects objects;
    int64_t keys; /* foreign keys */
};
#define CONTENT_INIT                          \
    {                                         \
        TEXT_LIST_INIT, MYSQL_OBJECTS_INIT, 0 \
    }

static void content_release(struct content *c)
{
    text_list_release(&c->tables);
    mysql_objects_release(&c->objects);
}

static enum error_kind count_keys(struct database *db, const char *schema, int64_t *out, struct error *err)
{
    return mysql_number(db, 0, out, err,
                        "SELECT COUNT(*) FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = %t",
                        schema);
}

static enum error_kind content_read(struct database *db, const char *schema, const struct set *set, struct content *out,
                                    struct error *err)
{
    enum error_kind rc = mysql_tables(db, schema, true, &out->tables, err);

    if (!rc)
        rc = count_keys(db, schema, &out->keys, err);
    return rc ? rc : mysql_objects_read(db, schema, &set->marker.events, &out->objects, err);
}

static enum error_kind note_set(struct database *db, const char *schema, const struct content *c, struct error *err)
{
    return mysql_marker_begin_move(db, schema, &c->tables, &c->objects, c->keys, err);
}

static enum error_kind note_move(struct database *db, const char *out_schema, const struct content *out,
                                 const char *in_schema, const struct content *in, struct error *err)
{
    struct error ignored = ERROR_INIT;
    enum error_kind rc = mysql_run(db, err, "START TRANSACTION");

    if (!rc && out_schema)
        rc = note_set(db, out_schema, out, err);
    if (!rc && in_schema)
        rc = note_set(db, in_schema, in, err);
    if (!rc)
        rc = mysql_run(db, err, "COMMIT");
    if (rc)
        (void)mysql_run(db, &ignored, "ROLLBACK");
    return rc;
}

static enum error_kind begin_move(struct database *db, const struct state *s, enum database_side side,
                                  struct error *err)
{
    const struct set *in = &s->sets[side];
    const struct set *out = &s->sets[1 - side];
    struct content coming = CONTENT_INIT;
    struct content going = CONTENT_INIT;
    enum error_kind rc = OK;

    /* After a finished exchange the live one has lost its marker; who it is follows from where the other one is. */
    if (out->identity && !out->marked_in_live)
        rc = mysql_marker_make(db, s->live, out->identity, err);
    if (!rc && in->identity)
        rc = content_read(db, in->private_name, in, &coming, err);
    if (!rc && out->identity)
        rc = content_read(db, s->live, out, &going, err);
    if (!rc)
        rc =
            note_move(db, out->identity ? s->live : NULL, &going, in->identity ? in->private_name : NULL, &coming, err);
    content_release(&coming);
    content_release(&going);
    return rc;
}

/* ---- the rename ---- */

static enum error_kind append_rename(struct buffer *sql, const char *from, const char *to, const char *table,
                                     struct error *err)
{
    enum error_kind rc = buffer_append_text(sql, sql->len ? ", " : "RENAME TABLE ", err);

    return rc ? rc : mysql_sql(sql, err, "%n.%n TO %n.%n", from, table, to, table);
}

/* The marker goes last of its set: on a server that renames table by table, it arrives when the set is complete. */
static enum error_kind append_set(struct buffer *sql, const char *from, const char *to, const struct text_list *tables,
                                  bool marker, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < tables->count; i++)
        rc = append_rename(sql, from, to, tables->items[i], err);
    if (!rc && marker)
        rc = append_rename(sql, from, to, MYSQL_MARKER, err);
    return rc;
}

/* W2: of the tables noted for a set, those that are not in its private schema. */
static enum error_kind still_live(struct database *db, const struct set *set, struct text_list *out, struct error *err)
{
    struct text_list there = TEXT_LIST_INIT;
    enum error_kind rc = mysql_tables(db, set->private_name, true, &there, err);

    for (size_t i = 0; !rc && i < set->marker.tables.count; i++)
        if (!text_list_has(&there, set->marker.tables.items[i]))
            rc = text_list_add(out, set->marker.tables.items[i], err);
    text_list_release(&there);
    return rc;
}

static enum error_kind plan_rename(struct database *db, const struct state *s, enum database_side side,
                                   struct buffer *sql, struct error *err)
{
    const struct set *in = &s->sets[side];
    const struct set *out = &s->sets[1 - side];
    struct text_list leaving = TEXT_LIST_INIT;
    struct text_list coming = TEXT_LIST_INIT;
    enum error_kind rc = OK;

    if (out->identity)
        rc = still_live(db, out, &leaving, err);
    if (!rc && in->identity && in->has_private)
        rc = mysql_tables(db, in->private_name, true, &coming, err);
    if (!rc)
        rc = append_set(sql, s->live, out->private_name, &leaving, out->identity && out->marked_in_live, err);
    if (!rc)
        rc = append_set(sql, in->private_name, s->live, &coming, in->identity && in->marked_in_private, err);
    text_list_release(&leaving);
    text_list_release(&coming);
    return rc;
}

static enum error_kind end_all_sessions(struct database *db, const struct state *s, struct error *err)
{
    struct text_list schemas = TEXT_LIST_INIT;
    enum error_kind rc = text_list_add(&schemas, s->live, err);

    for (size_t i = 0; !rc && i < 2; i++)
        if (s->sets[i].private_name)
            rc = text_list_add(&schemas, s->sets[i].private_name, err);
    if (!rc)
        rc = mysql_end_sessions(db, &schemas, err);
    text_list_release(&schemas);
    return rc;
}

/* Somebody may come back between the end of his session and the lock: he is thrown out again, to a deadline. */
static enum error_kind rename_tables(struct database *db, const struct state *s, const struct buffer *sql,
                                     struct error *err)
{
    int64_t deadline = clock_monotonic_ms() + RENAME_MS;
    enum error_kind rc;

    rc = mysql_run(db, err, "SET SESSION lock_wait_timeout = %d", (int)LOCK_WAIT_S);
    if (rc)
        return rc;
    for (;;) {
        rc = mysql_client_run(mysql_of(db)->client, sql->data, sql->len, NULL, NULL, err);
        if (!rc || mysql_client_errno(mysql_of(db)->client) != MYSQL_E_LOCK_WAIT_TIMEOUT ||
            clock_monotonic_ms() > deadline)
            return rc;
        error_clear(err);
        rc = end_all_sessions(db, s, err);
        if (rc)
            return rc;
    }
}

/* ---- foreign keys ---- */

/* A foreign key moves with its table, and so does what it points to: as many as before, none into the other set. */
static enum error_kind check_keys(struct database *db, const char *schema, const char *other,
                                  const struct mysql_marker *noted, struct error *err)
{
    int64_t found = 0;
    int64_t astray = 0;
    enum error_kind rc = count_keys(db, schema, &found, err);

    if (!rc && other)
        rc = mysql_number(
            db, 0, &astray, err,
            "SELECT COUNT(*) FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = %t AND "
            "UNIQUE_CONSTRAINT_SCHEMA = %t",
            schema, other);
    if (!rc && (astray || found != noted->keys)) {
        rc =
            error_set(err, ERR_PENDING, 0, "the foreign keys of %s are not what they were before the exchange", schema);
        error_hint(err, "nopsnap recover undoes the exchange");
    }
    return rc;
}

/* ---- the way from one side to the other ---- */

/* A schema for a set, with the collation and comment that the set's own had. */
static enum error_kind make_place(struct database *db, const struct database_swap *swap, enum database_side side,
                                  const char *schema, struct error *err)
{
    struct buffer properties = BUFFER_INIT(SAVED_MAX);
    struct json *saved = NULL;
    struct json *own = NULL;
    enum error_kind rc = json_parse(swap->saved, strlen(swap->saved), &saved, err);

    if (rc)
        return rc;
    own = json_get(saved, side == DATABASE_OLD ? "old" : "new");
    if (own)
        rc = json_print(own, &properties, err);
    if (!rc)
        rc = mysql_schema_create(db, schema, own ? (char *)properties.data : NULL, err);
    buffer_release(&properties);
    json_free(saved);
    return rc;
}

/* What would refuse the rename, or run in its midst: noted in the markers, so it can go (W1). */
static enum error_kind clear_way(struct database *db, const struct state *s, struct error *err)
{
    const struct mysql_objects *a = &s->sets[0].marker.objects;
    const struct mysql_objects *b = &s->sets[1].marker.objects;
    enum error_kind rc = mysql_objects_clear(db, s->live, a, b, err);

    for (size_t i = 0; !rc && i < 2; i++)
        if (s->sets[i].private_name)
            rc = mysql_objects_clear(db, s->sets[i].private_name, a, b, err);
    return rc;
}

static enum error_kind move_tables(struct database *db, const struct database_swap *swap, const struct state *s,
                                   enum database_side side, struct error *err)
{
    const struct set *out = &s->sets[1 - side];
    struct buffer sql = BUFFER_INIT(MYSQL_SQL_MAX);
    enum error_kind rc = OK;

    if (out->identity)
        rc = make_place(db, swap, 1 - side, out->private_name, err);
    if (!rc)
        rc = make_place(db, swap, side, s->live, err);
    if (!rc)
        rc = clear_way(db, s, err);
    if (!rc)
        rc = plan_rename(db, s, side, &sql, err);
    if (!rc && sql.len)
        rc = rename_tables(db, s, &sql, err);
    buffer_release(&sql);
    return rc;
}

static enum error_kind place_definitions(struct database *db, const struct state *s, enum database_side side,
                                         struct error *err)
{
    const struct set *in = &s->sets[side];
    const struct set *out = &s->sets[1 - side];
    enum error_kind rc = OK;

    if (in->identity)
        rc = mysql_objects_apply(db, s->live, &in->marker.objects, &out->marker.objects, side == DATABASE_OLD, err);
    if (!rc && out->identity)
        rc = mysql_objects_apply(db, out->private_name, &out->marker.objects, &in->marker.objects, false, err);
    if (!rc && in->identity)
        rc = check_keys(db, s->live, out->private_name, &in->marker, err);
    if (!rc && out->identity)
        rc = check_keys(db, out->private_name, s->live, &out->marker, err);
    return rc;
}

/* W5 */
static enum error_kind drop_if_no_table(struct database *db, const char *schema, struct error *err)
{
    int64_t tables = 1;
    enum error_kind rc = mysql_number(
        db, 1, &tables, err,
        "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = %t AND TABLE_TYPE <> 'VIEW'", schema);

    return rc || tables ? rc : mysql_schema_drop(db, schema, err);
}

/* W3 */
static enum error_kind end_move(struct database *db, const struct state *s, enum database_side side, struct error *err)
{
    const struct set *in = &s->sets[side];
    const struct set *out = &s->sets[1 - side];
    struct error ignored = ERROR_INIT;
    enum error_kind rc = OK;

    /* The place that the live one came from holds views and routines that are in the live schema now. */
    if (in->identity && in->private_name)
        rc = drop_if_no_table(db, in->private_name, err);
    if (!rc && !in->identity)
        rc = drop_if_no_table(db, s->live, err);
    if (!rc)
        rc = mysql_run(db, err, "START TRANSACTION");
    if (!rc && in->identity)
        rc = mysql_marker_end_move(db, s->live, err);
    if (!rc && out->identity)
        rc = mysql_marker_end_move(db, out->private_name, err);
    if (!rc)
        rc = mysql_run(db, err, "COMMIT");
    if (rc)
        (void)mysql_run(db, &ignored, "ROLLBACK");
    return rc;
}

static enum error_kind check_marked(const struct state *s, struct error *err)
{
    for (size_t i = 0; i < 2; i++)
        if (s->sets[i].identity && !s->sets[i].marked_in_live && !s->sets[i].marked_in_private)
            return neither(s, err);
    return s->stranger ? neither(s, err) : OK;
}

enum error_kind mysql_swap_to(struct database *db, const struct database_swap *swap, enum database_side side,
                              struct error *err)
{
    struct state s = {0};
    enum error_kind rc =
        mysql_end_own_sessions(db, err); /* else a killed one's last statement may still be on its way */

    if (!rc)
        rc = state_read(db, swap, &s, err);
    if (rc || (!is_moving(&s) && is_live(&s, side)))
        goto done;
    if (!is_moving(&s) && !is_live(&s, 1 - side)) {
        rc = neither(&s, err);
        goto done;
    }
    if (side == DATABASE_NEW && s.sets[DATABASE_NEW].marker.loading) {
        rc = error_set(err, ERR_REFUSED, 0, "database %s is not completely loaded", swap->beside);
        goto done;
    }
    rc = end_all_sessions(db, &s, err);
    if (!rc && !is_moving(&s)) {
        rc = begin_move(db, &s, side, err);
        state_release(&s);
        if (!rc)
            rc = state_read(db, swap, &s, err);
    }
    if (!rc)
        rc = check_marked(&s, err);
    if (!rc)
        rc = move_tables(db, swap, &s, side, err);
    if (!rc)
        rc = place_definitions(db, &s, side, err);
    if (!rc)
        rc = end_move(db, &s, side, err);

done:
    state_release(&s);
    return rc;
}

/* ---- the end ---- */

static enum error_kind events_on(struct database *db, const char *live, const struct mysql_marker *marker,
                                 struct error *err)
{
    static const struct mysql_objects none = MYSQL_OBJECTS_INIT;
    struct mysql_objects objects = MYSQL_OBJECTS_INIT;
    enum error_kind rc = OK;

    if (marker->events.count == 0)
        return OK;
    rc = mysql_objects_read(db, live, &marker->events, &objects, err);
    if (!rc)
        rc = mysql_objects_apply(db, live, &objects, &none, true, err);
    mysql_objects_release(&objects);
    return rc;
}

/* From now on the live one is known by what the other one's marker says; then its own can go. */
static enum error_kind unmark_live(struct database *db, const struct state *s, enum database_side side,
                                   struct error *err)
{
    const struct set *other = &s->sets[1 - side];
    enum error_kind rc = OK;

    if (other->marked_in_private)
        rc = mysql_marker_set(db, other->private_name, "live", s->sets[side].identity, err);
    return rc ? rc : mysql_marker_remove(db, s->live, err);
}

enum error_kind mysql_swap_finish(struct database *db, const struct database_swap *swap, struct error *err)
{
    struct state s = {0};
    enum database_side side = DATABASE_OLD;
    enum error_kind rc = state_read(db, swap, &s, err);

    if (rc || !s.has_live)
        goto done;
    if (!s.live_has_marker) { /* finished before, but perhaps not swept */
        rc = s.live_has_table ? mysql_marker_remove(db, s.live, err) : OK;
        goto done;
    }
    if (is_moving(&s) || s.stranger) {
        rc = neither(&s, err);
        goto done;
    }
    side = is_live(&s, DATABASE_NEW) ? DATABASE_NEW : DATABASE_OLD;
    rc = events_on(db, s.live, &s.sets[side].marker, err);
    if (!rc)
        rc = unmark_live(db, &s, side, err);

done:
    state_release(&s);
    if (rc)
        error_context(err, "finishing the exchange of database %s", swap->live);
    return rc;
}
