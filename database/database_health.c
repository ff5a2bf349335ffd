/* What a shop's own tables say of how it fares: migrations, errors that it logged, addresses of its pages. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "database_internal.h"
#include "shop_table_internal.h"

enum { SQL_MAX = 16 * 1024, MIGRATIONS_MAX = 100000, LOG_ROWS_MAX = 20000 };

static bool has_all(const struct shop_table *t, const char *const *columns)
{
    if (!t->quoted)
        return false;
    for (; *columns; columns++)
        if (!shop_table_column(t, *columns))
            return false;
    return true;
}

/* "SELECT t.a, t.b FROM table t" */
static enum error_kind append_select(struct database *db, const struct shop_table *t, const char *const *columns,
                                     struct buffer *sql, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && columns[i]; i++) {
        rc = buffer_append_text(sql, i ? ", " : "SELECT ", err);
        if (!rc)
            rc = shop_sql_column(db, t, "t", columns[i], sql, err);
    }
    return rc ? rc : buffer_append_format(sql, err, " FROM %s t", t->quoted);
}

/* Text before, a column, text after. */
static enum error_kind append_around(struct database *db, const struct shop_table *t, const char *alias,
                                     const char *before, const char *column, const char *after, struct buffer *sql,
                                     struct error *err)
{
    enum error_kind rc = buffer_append_text(sql, before, err);

    if (!rc)
        rc = shop_sql_column(db, t, alias, column, sql, err);
    return rc ? rc : buffer_append_text(sql, after, err);
}

static enum error_kind append_first(struct database *db, int rows, struct buffer *sql, struct error *err)
{
    return buffer_append_format(sql, err, "%s%d%s", db->ops->dialect.first_open, rows, db->ops->dialect.first_close);
}

/* ---- migrations ---- */

struct migrations_read {
    struct database_migrations list;
    size_t cap;
};

static enum error_kind keep_migration(void *arg, const struct database_row *row, struct error *err)
{
    struct migrations_read *r = arg;
    struct database_migration m = {0, NULL};
    enum error_kind rc;

    if (!row->values[0])
        return OK;
    if (r->list.count >= MIGRATIONS_MAX)
        return error_set(err, ERR_REFUSED, 0, "MigrationVersionInfo has more than %d rows", MIGRATIONS_MAX);
    if (r->list.count == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 128;
        struct database_migration *items = reallocarray(r->list.items, cap, sizeof *items);

        if (!items)
            return error_set(err, ERR_MEMORY, 0, "out of memory for the shop's migrations");
        r->list.items = items;
        r->cap = cap;
    }
    m.version = strtoll(row->values[0], NULL, 10);
    rc = memory_string(row->values[1] ? row->values[1] : "", &m.description, err);
    if (!rc)
        r->list.items[r->list.count++] = m;
    return rc;
}

enum error_kind database_migrations(struct database *db, struct database_migrations *out, struct error *err)
{
    static const char *const columns[] = {"Version", "Description", NULL};
    struct migrations_read r = {{NULL, 0}, 0};
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    struct shop_table t = SHOP_TABLE_INIT;
    enum error_kind rc = shop_table_find(db, "MigrationVersionInfo", &t, err);

    if (!rc && has_all(&t, columns)) {
        rc = append_select(db, &t, columns, &sql, err);
        if (!rc)
            rc = append_around(db, &t, "t", " ORDER BY ", "Version", "", &sql, err);
        if (!rc)
            rc = db->ops->query(db, (char *)sql.data, keep_migration, &r, err);
    }
    if (rc) {
        error_context(err, "reading which migrations the shop has recorded");
    } else {
        *out = r.list;
        r.list = (struct database_migrations){NULL, 0};
    }
    database_migrations_release(&r.list);
    shop_table_release(&t);
    buffer_release(&sql);
    return rc;
}

void database_migrations_release(struct database_migrations *m)
{
    for (size_t i = 0; i < m->count; i++)
        free(m->items[i].description);
    free(m->items);
    *m = (struct database_migrations){NULL, 0};
}

enum error_kind database_has_column(struct database *db, const char *table, const char *column, bool *out,
                                    struct error *err)
{
    struct shop_table t = SHOP_TABLE_INIT;
    enum error_kind rc = shop_table_find(db, table, &t, err);

    if (!rc)
        *out = shop_table_column(&t, column) != NULL;
    shop_table_release(&t);
    return rc;
}

/* ---- the log ---- */

static const char *const log_columns[] = {"Id", "LogLevelId", "ShortMessage", "CreatedOnUtc", NULL};

enum error_kind database_log_last(struct database *db, int64_t *out, struct error *err)
{
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    struct shop_table t = SHOP_TABLE_INIT;
    int64_t last = -1;
    enum error_kind rc = shop_table_find(db, "Log", &t, err);

    if (!rc && has_all(&t, log_columns)) {
        rc = append_around(db, &t, "t", "SELECT MAX(", "Id", ") FROM ", &sql, err);
        if (!rc)
            rc = buffer_append_format(&sql, err, "%s t", t.quoted);
        if (!rc)
            rc = database_query_number(db, (char *)sql.data, -1, &last, err);
    }
    if (rc)
        error_context(err, "reading the shop's log");
    else
        *out = last;
    shop_table_release(&t);
    buffer_release(&sql);
    return rc;
}

struct log_reading {
    database_log_fn *fn;
    void *arg;
};

static enum error_kind hand_over(void *arg, const struct database_row *row, struct error *err)
{
    const struct log_reading *r = arg;

    if (!row->values[0] || !row->values[1])
        return OK;
    return r->fn(r->arg, strtoll(row->values[0], NULL, 10), (int)strtol(row->values[1], NULL, 10),
                 row->values[2] ? row->values[2] : "", err);
}

static enum error_kind append_log(struct database *db, const struct shop_table *t, int64_t after_id, int64_t after_ns,
                                  int level, struct buffer *sql, struct error *err)
{
    char moment[SHOP_MOMENT_MAX];
    enum error_kind rc = append_select(db, t, log_columns, sql, err);

    shop_moment(after_ns, moment);
    if (!rc)
        rc = append_around(db, t, "t", " WHERE ", "Id", "", sql, err);
    if (!rc)
        rc = buffer_append_format(sql, err, " > %" PRId64, after_id);
    if (!rc)
        rc = append_around(db, t, "t", " AND ", "LogLevelId", "", sql, err);
    if (!rc)
        rc = buffer_append_format(sql, err, " >= %d", level);
    if (!rc)
        rc = append_around(db, t, "t", " AND ", "CreatedOnUtc", " > ", sql, err);
    if (!rc)
        rc = shop_sql_moment(db, moment, sql, err);
    if (!rc)
        rc = append_around(db, t, "t", " ORDER BY ", "Id", " DESC", sql, err);
    return rc ? rc : append_first(db, LOG_ROWS_MAX, sql, err);
}

enum error_kind database_log(struct database *db, int64_t after_id, int64_t after_ns, int level, database_log_fn *fn,
                             void *arg, struct error *err)
{
    struct log_reading reading = {fn, arg};
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    struct shop_table t = SHOP_TABLE_INIT;
    enum error_kind rc = shop_table_find(db, "Log", &t, err);

    if (!rc && has_all(&t, log_columns)) {
        rc = append_log(db, &t, after_id, after_ns, level, &sql, err);
        if (!rc)
            rc = db->ops->query(db, (char *)sql.data, hand_over, &reading, err);
    }
    if (rc)
        error_context(err, "reading the shop's log");
    shop_table_release(&t);
    buffer_release(&sql);
    return rc;
}

/* ---- addresses ---- */

static enum error_kind keep_slug(void *arg, const struct database_row *row, struct error *err)
{
    struct text_list *out = arg;

    return row->values[0] && row->values[0][0] ? text_list_add(out, row->values[0], err) : OK;
}

/* Only what visitors may see. '1' and '0' are a bit, a tinyint and a boolean, whichever the engine has. */
static enum error_kind append_published(struct database *db, const struct shop_table *entity, struct buffer *sql,
                                        struct error *err)
{
    enum error_kind rc = OK;

    if (shop_table_column(entity, "Published"))
        rc = append_around(db, entity, "e", " AND ", "Published", " = '1'", sql, err);
    if (!rc && shop_table_column(entity, "Deleted"))
        rc = append_around(db, entity, "e", " AND ", "Deleted", " = '0'", sql, err);
    return rc;
}

static enum error_kind append_slugs(struct database *db, const struct shop_table *t, const struct shop_table *entity,
                                    const char *name, int limit, struct buffer *sql, struct error *err)
{
    static const char *const slug[] = {"Slug", NULL};
    enum error_kind rc = append_select(db, t, slug, sql, err);

    if (!rc)
        rc = buffer_append_format(sql, err, " JOIN %s e ON ", entity->quoted);
    if (!rc)
        rc = append_around(db, entity, "e", "", "Id", " = ", sql, err);
    if (!rc)
        rc = append_around(db, t, "t", "", "EntityId", " WHERE ", sql, err);
    if (!rc)
        rc = append_around(db, t, "t", "", "EntityName", " = ", sql, err);
    if (!rc)
        rc = db->ops->quote_text(db, name, sql, err);
    if (!rc)
        rc = append_around(db, t, "t", " AND ", "IsActive", " = '1'", sql, err);
    if (!rc)
        rc = append_around(db, t, "t", " AND ", "LanguageId", " = 0", sql, err);
    if (!rc)
        rc = append_published(db, entity, sql, err);
    if (!rc)
        rc = append_around(db, t, "t", " ORDER BY ", "Id", "", sql, err);
    return rc ? rc : append_first(db, limit, sql, err);
}

enum error_kind database_slugs(struct database *db, const char *entity, int limit, struct text_list *out,
                               struct error *err)
{
    static const char *const columns[] = {"Id", "Slug", "EntityName", "EntityId", "IsActive", "LanguageId", NULL};
    static const char *const id[] = {"Id", NULL};
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    struct shop_table t = SHOP_TABLE_INIT;
    struct shop_table of = SHOP_TABLE_INIT;
    enum error_kind rc = shop_table_find(db, "UrlRecord", &t, err);

    if (!rc)
        rc = shop_table_find(db, entity, &of, err);
    if (!rc && has_all(&t, columns) && has_all(&of, id)) {
        rc = append_slugs(db, &t, &of, entity, limit, &sql, err);
        if (!rc)
            rc = db->ops->query(db, (char *)sql.data, keep_slug, out, err);
    }
    if (rc)
        error_context(err, "looking for a page of a %s", entity);
    shop_table_release(&t);
    shop_table_release(&of);
    buffer_release(&sql);
    return rc;
}
