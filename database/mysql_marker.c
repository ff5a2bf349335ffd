/* nopsnap's own table in each set of tables; see mysql_internal.h for what its rows say. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "mysql_internal.h"

enum { IDENTITY_BYTES = 16, ROW_MAX = 64 * 1024 * 1024 };

void mysql_marker_release(struct mysql_marker *m)
{
    text_list_release(&m->events);
    text_list_release(&m->tables);
    mysql_objects_release(&m->objects);
    *m = (struct mysql_marker)MYSQL_MARKER_INIT;
}

/* ---- reading ---- */

static const char *after(const char *text, const char *prefix)
{
    size_t len = strlen(prefix);

    return strncmp(text, prefix, len) == 0 ? text + len : NULL;
}

static enum error_kind take_row(void *arg, const struct database_row *row, struct error *err)
{
    struct mysql_marker *m = arg;
    const char *name = row->values[0] ? row->values[0] : "";
    const char *value = row->values[1] ? row->values[1] : "";
    const char *rest = NULL;

    if (strcmp(name, "id") == 0)
        snprintf(m->identity, sizeof m->identity, "%s", value);
    else if (strcmp(name, "live") == 0)
        snprintf(m->live, sizeof m->live, "%s", value);
    else if (strcmp(name, "state") == 0)
        m->loading = strcmp(value, "loading") == 0;
    else if (strcmp(name, "moving") == 0)
        m->moving = true;
    else if (strcmp(name, "keys") == 0)
        m->keys = strtoll(value, NULL, 10);
    else if ((rest = after(name, "event:")))
        return text_list_add(&m->events, rest, err);
    else if ((rest = after(name, "table:")))
        return text_list_add(&m->tables, rest, err);
    else if (after(name, "object:"))
        return mysql_object_decode(value, row->values[1] ? row->lengths[1] : 0, &m->objects, err);
    return OK;
}

enum error_kind mysql_marker_read(struct database *db, const char *schema, struct mysql_marker *out, struct error *err)
{
    struct mysql_marker m = MYSQL_MARKER_INIT;
    int64_t there = 0;
    enum error_kind rc;

    rc = mysql_number(db, 0, &there, err,
                      "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = %t AND TABLE_NAME = %t",
                      schema, MYSQL_MARKER);
    if (!rc && there)
        rc = mysql_rows(db, take_row, &m, err, "SELECT name, value FROM %n.%n ORDER BY name", schema, MYSQL_MARKER);
    if (rc) {
        mysql_marker_release(&m);
        error_context(err, "reading %s in %s", MYSQL_MARKER, schema);
        return rc;
    }
    m.exists = there != 0;
    *out = m;
    return OK;
}

/* ---- writing ---- */

static enum error_kind new_identity(char out[MYSQL_MARKER_MAX], struct error *err)
{
    unsigned char bytes[IDENTITY_BYTES];

    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return error_set(err, ERR_IO, 0, "the system gave no random bytes");
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    return OK;
}

enum error_kind mysql_marker_set(struct database *db, const char *schema, const char *name, const char *value,
                                 struct error *err)
{
    return mysql_run(db, err, "REPLACE INTO %n.%n (name, value) VALUES (%t, %t)", schema, MYSQL_MARKER, name, value);
}

enum error_kind mysql_marker_make(struct database *db, const char *schema, const char *identity, struct error *err)
{
    char fresh[MYSQL_MARKER_MAX] = "";
    enum error_kind rc;

    /* InnoDB whatever the default: begin_move() below relies on transactions. A binary name: tables differ by case. */
    rc = mysql_run(
        db, err,
        "CREATE TABLE IF NOT EXISTS %n.%n (name varchar(180) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, "
        "value longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, PRIMARY KEY (name)) ENGINE=InnoDB "
        "COMMENT='nopsnap: which set of tables this is'",
        schema, MYSQL_MARKER);
    if (rc)
        return rc;
    if (identity)
        return mysql_marker_set(db, schema, "id", identity, err);
    rc = new_identity(fresh, err);
    return rc ? rc
              : mysql_run(db, err, "INSERT IGNORE INTO %n.%n (name, value) VALUES ('id', %t)", schema, MYSQL_MARKER,
                          fresh);
}

enum error_kind mysql_marker_remove(struct database *db, const char *schema, struct error *err)
{
    return mysql_run(db, err, "DROP TABLE IF EXISTS %n.%n", schema, MYSQL_MARKER);
}

static enum error_kind note(struct database *db, const char *schema, const char *kind, const char *name,
                            const char *value, struct error *err)
{
    char *row = NULL;
    enum error_kind rc = memory_format(&row, err, "%s:%s", kind, name);

    if (!rc)
        rc = mysql_marker_set(db, schema, row, value, err);
    free(row);
    return rc;
}

static enum error_kind note_objects(struct database *db, const char *schema, const struct mysql_objects *objects,
                                    struct error *err)
{
    struct buffer text = BUFFER_INIT(ROW_MAX);
    char number[24];
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < objects->count; i++) {
        buffer_clear(&text);
        snprintf(number, sizeof number, "%08zu", i);
        rc = mysql_object_encode(&objects->items[i], &text, err);
        if (!rc)
            rc = note(db, schema, "object", number, (char *)text.data, err);
        if (!rc && objects->items[i].kind == MYSQL_EVENT && objects->items[i].enabled)
            rc = note(db, schema, "event", objects->items[i].name, "", err);
    }
    buffer_release(&text);
    return rc;
}

enum error_kind mysql_marker_begin_move(struct database *db, const char *schema, const struct text_list *tables,
                                        const struct mysql_objects *objects, int64_t keys, struct error *err)
{
    char number[24];
    enum error_kind rc =
        mysql_run(db, err,
                  "DELETE FROM %n.%n WHERE name = 'live' OR name LIKE 'table:%%' OR name LIKE 'object:%%' "
                  "OR name LIKE 'event:%%'",
                  schema, MYSQL_MARKER);

    for (size_t i = 0; !rc && i < tables->count; i++)
        rc = note(db, schema, "table", tables->items[i], "", err);
    if (!rc)
        rc = note_objects(db, schema, objects, err);
    snprintf(number, sizeof number, "%" PRId64, keys);
    if (!rc)
        rc = mysql_marker_set(db, schema, "keys", number, err);
    return rc ? rc : mysql_marker_set(db, schema, "moving", "", err);
}

enum error_kind mysql_marker_end_move(struct database *db, const char *schema, struct error *err)
{
    return mysql_run(
        db, err, "DELETE FROM %n.%n WHERE name IN ('moving', 'keys') OR name LIKE 'table:%%' OR name LIKE 'object:%%'",
        schema, MYSQL_MARKER);
}

enum error_kind mysql_schema_is_empty(struct database *db, const char *schema, bool *out, struct error *err)
{
    int64_t count = 0;
    enum error_kind rc = mysql_number(
        db, 1, &count, err,
        "SELECT (SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = %t AND TABLE_NAME <> %t) + "
        "(SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %t) + "
        "(SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %t)",
        schema, MYSQL_MARKER, schema, schema);

    if (!rc)
        *out = count == 0;
    return rc;
}
