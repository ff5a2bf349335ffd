/*
 * Definitions that belong to a schema and not to a table: routines, views, triggers, events. A rename leaves them behind (or is
 * refused because of them), so they are read, kept as JSON in the marker (mysql_marker.c), and made again.
 *
 *   O1  a definition is kept in the bytes and under the session settings it was made with
 *   O2  an event is kept DISABLED with its status apart, so that it never runs where it is only stored
 */
#include <stdlib.h>
#include <string.h>

#include "mysql_internal.h"

enum { OBJECTS_MAX = 100000, OBJECT_JSON_MAX = 64 * 1024 * 1024 };

static void object_release(struct mysql_object *o)
{
    free(o->word);
    free(o->name);
    free(o->create);
    free(o->sql_mode);
    free(o->charset);
    free(o->collation);
    free(o->schema_collation);
    free(o->time_zone);
    memset(o, 0, sizeof *o);
}

void mysql_objects_release(struct mysql_objects *o)
{
    for (size_t i = 0; i < o->count; i++)
        object_release(&o->items[i]);
    free(o->items);
    *o = (struct mysql_objects)MYSQL_OBJECTS_INIT;
}

/* Takes over what *o holds, also on failure. */
static enum error_kind objects_add(struct mysql_objects *list, struct mysql_object *o, struct error *err)
{
    struct mysql_object *grown = NULL;

    if (list->count < OBJECTS_MAX)
        grown = realloc(list->items, (list->count + 1) * sizeof *grown);
    if (!grown) {
        object_release(o);
        return error_set(err, ERR_MEMORY, 0, "out of memory for the database's definitions");
    }
    list->items = grown;
    list->items[list->count++] = *o;
    memset(o, 0, sizeof *o);
    return OK;
}

static enum mysql_object_kind kind_of(const char *word)
{
    return strcmp(word, "VIEW") == 0      ? MYSQL_VIEW
           : strcmp(word, "TRIGGER") == 0 ? MYSQL_TRIGGER
           : strcmp(word, "EVENT") == 0   ? MYSQL_EVENT
                                          : MYSQL_ROUTINE;
}

static bool same_object(const struct mysql_object *a, const struct mysql_object *b)
{
    return strcmp(a->word, b->word) == 0 && strcmp(a->name, b->name) == 0;
}

static const struct mysql_object *find(const struct mysql_objects *list, const struct mysql_object *o)
{
    for (size_t i = 0; i < list->count; i++)
        if (same_object(&list->items[i], o))
            return &list->items[i];
    return NULL;
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool same_definition(const struct mysql_object *a, const struct mysql_object *b)
{
    return a->create_len == b->create_len && memcmp(a->create, b->create, a->create_len) == 0 &&
           same_text(a->sql_mode, b->sql_mode) && same_text(a->charset, b->charset) &&
           same_text(a->collation, b->collation) && same_text(a->time_zone, b->time_zone);
}

/* ---- reading ---- */

static enum error_kind copy_bytes(const char *bytes, size_t len, char **out, size_t *out_len, struct error *err)
{
    void *copy = NULL;
    enum error_kind rc = memory_allocate(len + 1, &copy, err);

    if (rc)
        return rc;
    memcpy(copy, bytes, len);
    ((char *)copy)[len] = '\0';
    *out = copy;
    *out_len = len;
    return OK;
}

/* A row of any SHOW CREATE: the columns have the same names in all of them, but for the statement's own. */
static enum error_kind take_definition(void *arg, const struct database_row *row, struct error *err)
{
    struct mysql_object *o = arg;
    enum error_kind rc = OK;

    for (int i = 0; !rc && i < row->columns; i++) {
        const char *name = row->names[i];
        const char *value = row->values[i];
        char **place = strcmp(name, "sql_mode") == 0               ? &o->sql_mode
                       : strcmp(name, "time_zone") == 0            ? &o->time_zone
                       : strcmp(name, "character_set_client") == 0 ? &o->charset
                       : strcmp(name, "collation_connection") == 0 ? &o->collation
                       : strcmp(name, "Database Collation") == 0   ? &o->schema_collation
                                                                   : NULL;
        if (!value)
            continue;
        if (place && !*place)
            rc = memory_string(value, place, err);
        else if ((strncmp(name, "Create ", 7) == 0 || strcmp(name, "SQL Original Statement") == 0) && !o->create)
            rc = copy_bytes(value, row->lengths[i], &o->create, &o->create_len, err);
    }
    return rc;
}

/* O2: the text says DISABLE whatever the event does. */
static enum error_kind disable_text(struct mysql_object *o, struct error *err)
{
    static const char off[] = "DISABLE";
    size_t begin = 0;
    size_t end = 0;
    void *text = NULL;
    size_t rest;
    enum error_kind rc;

    if (!mysql_event_status(o->create, o->create_len, &begin, &end))
        return error_set(err, ERR_REMOTE, 0, "the server describes event %s in a form that is not known", o->name);
    if (end - begin != strlen("ENABLE"))
        return OK; /* DISABLE, or DISABLE ON SLAVE */
    rest = o->create_len - end;
    rc = memory_allocate(begin + sizeof off - 1 + rest + 1, &text, err);
    if (rc)
        return rc;
    memcpy(text, o->create, begin);
    memcpy((char *)text + begin, off, sizeof off - 1);
    memcpy((char *)text + begin + sizeof off - 1, o->create + end, rest + 1);
    free(o->create);
    o->create = text;
    o->create_len = begin + sizeof off - 1 + rest;
    o->enabled = true;
    return OK;
}

static enum error_kind read_one(struct database *db, const char *word, const char *name,
                                const struct text_list *held_back, struct mysql_objects *out, struct error *err)
{
    struct mysql_object o = {0};
    enum error_kind rc;

    o.kind = kind_of(word);
    rc = memory_string(word, &o.word, err);
    if (!rc)
        rc = memory_string(name, &o.name, err);
    if (!rc)
        rc = mysql_rows(db, take_definition, &o, err, "SHOW CREATE %s %n", word, name);
    if (!rc && !o.create) {
        rc = error_set(err, ERR_REMOTE, 0, "the login may not read the definition of %s %s", word, name);
        error_hint(err, "name an administrative login with database-admin in the config");
    }
    if (!rc && o.kind == MYSQL_EVENT) {
        rc = disable_text(&o, err);
        o.enabled = o.enabled || (held_back && text_list_has(held_back, name));
    }
    if (rc) {
        object_release(&o);
        return rc;
    }
    return objects_add(out, &o, err);
}

struct names {
    struct text_list words;
    struct text_list names;
};

static enum error_kind take_name(void *arg, const struct database_row *row, struct error *err)
{
    struct names *n = arg;
    enum error_kind rc = text_list_add(&n->words, row->values[0], err);

    return rc ? rc : text_list_add(&n->names, row->values[1], err);
}

/* Every definition by name, in the order in which they can be made again. */
static enum error_kind read_names(struct database *db, const char *schema, struct names *n, struct error *err)
{
    static const char *const queries[] = {
        "SELECT ROUTINE_TYPE, ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %t ORDER BY 1, 2",
        "SELECT 'VIEW', TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %t AND TABLE_TYPE = 'VIEW' ORDER BY 2",
        ("SELECT 'TRIGGER', TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %t "
         "ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER"),
        "SELECT 'EVENT', EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %t ORDER BY 2"};
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < sizeof queries / sizeof queries[0]; i++)
        rc = mysql_rows(db, take_name, n, err, queries[i], schema);
    return rc;
}

static void names_release(struct names *n)
{
    text_list_release(&n->words);
    text_list_release(&n->names);
}

enum error_kind mysql_objects_read(struct database *db, const char *schema, const struct text_list *held_back,
                                   struct mysql_objects *out, struct error *err)
{
    struct names n = {TEXT_LIST_INIT, TEXT_LIST_INIT};
    struct mysql_objects found = MYSQL_OBJECTS_INIT;
    struct error ignored = ERROR_INIT;
    enum error_kind rc;

    rc = read_names(db, schema, &n, err);
    if (rc || n.names.count == 0)
        goto done;
    /* Seen from inside the schema, definitions don't name it; without a result character set they come in their own bytes (O1). */
    rc = mysql_run(db, err, "USE %n", schema);
    if (!rc)
        rc = mysql_run(db, err, "SET SESSION character_set_results = NULL");
    for (size_t i = 0; !rc && i < n.names.count; i++)
        rc = read_one(db, n.words.items[i], n.names.items[i], held_back, &found, err);
    (void)mysql_run(db, rc ? &ignored : err, "SET NAMES utf8mb4");
    if (rc)
        goto done;
    *out = found;
    found = (struct mysql_objects)MYSQL_OBJECTS_INIT;

done:
    mysql_objects_release(&found);
    names_release(&n);
    return rc;
}

/* ---- as JSON ---- */

static void put_text(struct json *object, const char *key, const char *text)
{
    if (text)
        json_put_text(object, key, text);
}

enum error_kind mysql_object_encode(const struct mysql_object *o, struct buffer *out, struct error *err)
{
    struct json *root = json_object();
    enum error_kind rc;

    json_put_text(root, "word", o->word);
    json_put_text(root, "name", o->name);
    json_put_bytes(root, "create", o->create, o->create_len);
    put_text(root, "sql_mode", o->sql_mode);
    put_text(root, "charset", o->charset);
    put_text(root, "collation", o->collation);
    put_text(root, "schema_collation", o->schema_collation);
    put_text(root, "time_zone", o->time_zone);
    json_put_flag(root, "enabled", o->enabled);
    rc = json_print(root, out, err);
    json_free(root);
    return rc;
}

static enum error_kind get_text(struct json *root, const char *key, char **out, struct error *err)
{
    const char *text = json_text(json_get(root, key));

    return text ? memory_string(text, out, err) : OK;
}

enum error_kind mysql_object_decode(const void *bytes, size_t len, struct mysql_objects *into, struct error *err)
{
    struct buffer create = BUFFER_INIT(OBJECT_JSON_MAX);
    struct mysql_object o = {0};
    struct json *root = NULL;
    enum error_kind rc;

    rc = json_parse(bytes, len, &root, err);
    if (!rc)
        rc = get_text(root, "word", &o.word, err);
    if (!rc)
        rc = get_text(root, "name", &o.name, err);
    if (!rc)
        rc = json_bytes(json_get(root, "create"), &create, err);
    if (!rc)
        rc = get_text(root, "sql_mode", &o.sql_mode, err);
    if (!rc)
        rc = get_text(root, "charset", &o.charset, err);
    if (!rc)
        rc = get_text(root, "collation", &o.collation, err);
    if (!rc)
        rc = get_text(root, "schema_collation", &o.schema_collation, err);
    if (!rc)
        rc = get_text(root, "time_zone", &o.time_zone, err);
    if (!rc && (!o.word || !o.name || create.len == 0))
        rc = error_set(err, ERR_CORRUPT, 0, "a definition noted in %s is incomplete", MYSQL_MARKER);
    if (rc)
        goto done;
    o.kind = kind_of(o.word);
    o.enabled = json_flag(json_get(root, "enabled"), false);
    o.create_len = create.len;
    o.create = buffer_detach(&create);
    rc = objects_add(into, &o, err);

done:
    object_release(&o);
    buffer_release(&create);
    json_free(root);
    return rc;
}

/* ---- making ---- */

static enum error_kind drop(struct database *db, const char *schema, const struct mysql_object *o, struct error *err)
{
    return mysql_run(db, err, "DROP %s IF EXISTS %n.%n", o->word, schema, o->name);
}

/* Names in their own character set's bytes: only the statement itself; everything around it is ASCII. */
static enum error_kind create_in_session(struct database *db, const struct mysql_object *o, bool enable,
                                         struct error *err)
{
    struct mysql_client *c = mysql_of(db)->client;
    struct buffer sql = BUFFER_INIT(MYSQL_SQL_MAX);
    size_t begin = 0;
    size_t end = 0;
    enum error_kind rc;

    if (!enable || !mysql_event_status(o->create, o->create_len, &begin, &end))
        return mysql_client_run(c, o->create, o->create_len, NULL, NULL, err);
    rc = buffer_append(&sql, o->create, begin, err);
    if (!rc)
        rc = buffer_append_text(&sql, "ENABLE", err);
    if (!rc)
        rc = buffer_append(&sql, o->create + end, o->create_len - end, err);
    if (!rc)
        rc = mysql_client_run(c, sql.data, sql.len, NULL, NULL, err);
    buffer_release(&sql);
    return rc;
}

static enum error_kind create(struct database *db, const char *schema, const struct mysql_object *o, bool enable,
                              struct error *err)
{
    struct error second = ERROR_INIT;
    char *collation = NULL;
    char *charset = NULL;
    bool moved = false;
    enum error_kind rc;
    enum error_kind back;

    rc = mysql_schema_collation(db, schema, &charset, &collation, err);
    if (!rc && o->schema_collation && !same_text(o->schema_collation, collation)) {
        rc = mysql_run(db, err, "ALTER DATABASE %n COLLATE %t", schema, o->schema_collation);
        moved = !rc;
    }
    if (!rc)
        rc = mysql_run(db, err, "USE %n", schema);
    if (!rc && o->time_zone)
        rc = mysql_run(db, err, "SET SESSION time_zone = %t", o->time_zone);
    if (!rc && o->sql_mode)
        rc = mysql_run(db, err, "SET SESSION sql_mode = %t", o->sql_mode);
    if (!rc && o->charset && o->collation)
        rc = mysql_run(db, err, "SET SESSION character_set_client = %t, collation_connection = %t", o->charset,
                       o->collation);
    if (!rc)
        rc = create_in_session(db, o, enable, err);
    back = mysql_run(db, &second, "SET NAMES utf8mb4");
    if (!back)
        back = mysql_run(db, &second, "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00'");
    if (!back && moved)
        back = mysql_run(db, &second, "ALTER DATABASE %n COLLATE %t", schema, collation);
    if (rc)
        error_context(err, "making %s %s in %s", o->word, o->name, schema);
    else if (back) {
        error_copy(err, &second);
        rc = back;
    }
    free(charset);
    free(collation);
    return rc;
}

/* An event keeps its definer only if it is named again. */
static enum error_kind switch_event(struct database *db, const char *schema, const struct mysql_object *o, bool on,
                                    struct error *err)
{
    const char *definer = strstr(o->create, "DEFINER=");
    const char *end = definer ? strstr(definer, " EVENT ") : NULL;
    char *text = NULL;
    enum error_kind rc;

    if (!end)
        return error_set(err, ERR_REMOTE, 0, "the server describes event %s in a form that is not known", o->name);
    rc = memory_format(&text, err, "%.*s", (int)(end - definer), definer);
    if (!rc)
        rc = mysql_run(db, err, "ALTER %s EVENT %n.%n %s", text, schema, o->name, on ? "ENABLE" : "DISABLE");
    free(text);
    return rc;
}

static enum error_kind make_one(struct database *db, const char *schema, const struct mysql_object *o,
                                const struct mysql_objects *there, bool events_on, struct error *err)
{
    const struct mysql_object *old = find(there, o);
    bool on = o->kind == MYSQL_EVENT && o->enabled && events_on;
    enum error_kind rc = OK;

    if (old && same_definition(old, o))
        return o->kind == MYSQL_EVENT && old->enabled != on ? switch_event(db, schema, o, on, err) : OK;
    /* A server that died while it made or dropped a trigger may have left half of it: not listed, and yet in the way. */
    if (old || o->kind == MYSQL_TRIGGER)
        rc = drop(db, schema, o, err);
    return rc ? rc : create(db, schema, o, on, err);
}

/* Views may stand on views in any order: what fails is tried again as long as another one succeeds. */
static enum error_kind make_views(struct database *db, const char *schema, const struct mysql_objects *wanted,
                                  const struct mysql_objects *there, struct error *err)
{
    struct error last = ERROR_INIT;
    bool *made = NULL;
    void *memory = NULL;
    bool progress = true;
    size_t missing = 1;
    enum error_kind rc = memory_zeroed(wanted->count + 1, sizeof *made, &memory, err);

    if (rc)
        return rc;
    made = memory;
    while (progress && missing) {
        progress = false;
        missing = 0;
        for (size_t i = 0; i < wanted->count; i++) {
            if (made[i] || wanted->items[i].kind != MYSQL_VIEW)
                continue;
            error_clear(&last);
            if (make_one(db, schema, &wanted->items[i], there, false, &last))
                missing++;
            else
                made[i] = progress = true;
        }
    }
    if (missing) {
        error_copy(err, &last);
        rc = err->kind;
    }
    free(made);
    return rc;
}

static enum error_kind make_kind(struct database *db, const char *schema, enum mysql_object_kind kind,
                                 const struct mysql_objects *wanted, const struct mysql_objects *there, bool events_on,
                                 struct error *err)
{
    enum error_kind rc = OK;

    if (kind == MYSQL_VIEW)
        return make_views(db, schema, wanted, there, err);
    for (size_t i = 0; !rc && i < wanted->count; i++)
        if (wanted->items[i].kind == kind)
            rc = make_one(db, schema, &wanted->items[i], there, events_on, err);
    return rc;
}

enum error_kind mysql_objects_apply(struct database *db, const char *schema, const struct mysql_objects *wanted,
                                    const struct mysql_objects *other, bool events_on, struct error *err)
{
    static const enum mysql_object_kind order[] = {MYSQL_ROUTINE, MYSQL_VIEW, MYSQL_TRIGGER, MYSQL_EVENT};
    struct mysql_objects there = MYSQL_OBJECTS_INIT;
    enum error_kind rc;

    if (wanted->count == 0 && other->count == 0)
        return OK;
    rc = mysql_objects_read(db, schema, NULL, &there, err);
    for (size_t i = 0; !rc && i < there.count; i++)
        if (!find(wanted, &there.items[i]) && find(other, &there.items[i]))
            rc = drop(db, schema, &there.items[i], err);
    for (size_t i = 0; !rc && i < sizeof order / sizeof order[0]; i++)
        rc = make_kind(db, schema, order[i], wanted, &there, events_on, err);
    mysql_objects_release(&there);
    return rc;
}

enum error_kind mysql_objects_clear(struct database *db, const char *schema, const struct mysql_objects *a,
                                    const struct mysql_objects *b, struct error *err)
{
    struct text_list there = TEXT_LIST_INIT;
    char *key = NULL;
    enum error_kind rc;

    rc = mysql_list(
        db, &there, err,
        "SELECT CONCAT('TRIGGER ', TRIGGER_NAME) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %t UNION ALL "
        "SELECT CONCAT('EVENT ', EVENT_NAME) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %t",
        schema, schema);
    for (size_t i = 0; !rc && i < a->count + b->count; i++) {
        const struct mysql_object *o = i < a->count ? &a->items[i] : &b->items[i - a->count];

        rc = memory_format(&key, err, "%s %s", o->word, o->name);
        if (!rc && text_list_has(&there, key))
            rc = drop(db, schema, o, err);
        free(key);
        key = NULL;
    }
    text_list_release(&there);
    return rc;
}

enum error_kind mysql_objects_drop_all(struct database *db, const char *schema, struct error *err)
{
    struct names n = {TEXT_LIST_INIT, TEXT_LIST_INIT};
    enum error_kind rc = read_names(db, schema, &n, err);

    for (size_t i = 0; !rc && i < n.names.count; i++)
        rc = mysql_run(db, err, "DROP %s IF EXISTS %n.%n", n.words.items[i], schema, n.names.items[i]);
    names_release(&n);
    return rc;
}

enum error_kind mysql_definers(struct database *db, const char *schema, struct text_list *out, struct error *err)
{
    return mysql_list(db, out, err,
                      "SELECT DISTINCT DEFINER FROM ("
                      "SELECT DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %t UNION ALL "
                      "SELECT DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %t UNION ALL "
                      "SELECT DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %t UNION ALL "
                      "SELECT DEFINER FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %t) d "
                      "WHERE DEFINER <> CURRENT_USER() AND DEFINER <> '' ORDER BY 1",
                      schema, schema, schema, schema);
}
