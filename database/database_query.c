/* Small questions that every engine answers through its query interface, and names of databases. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "database_internal.h"
#include "shop_table_internal.h"

/* ---- one value ---- */

static enum error_kind keep_first(void *arg, const struct database_row *row, struct error *err)
{
    char **out = arg;

    if (*out || row->columns < 1 || !row->values[0])
        return OK;
    return memory_string(row->values[0], out, err);
}

enum error_kind database_query_text(struct database *db, const char *sql, char **out, struct error *err)
{
    char *text = NULL;
    enum error_kind rc = db->ops->query(db, sql, keep_first, &text, err);

    if (rc) {
        free(text);
        return rc;
    }
    *out = text;
    return OK;
}

enum error_kind database_query_number(struct database *db, const char *sql, int64_t fallback, int64_t *out,
                                      struct error *err)
{
    char *text = NULL;
    enum error_kind rc = database_query_text(db, sql, &text, err);

    if (rc)
        return rc;
    *out = text ? strtoll(text, NULL, 10) : fallback;
    free(text);
    return OK;
}

/* ---- a shop's table ---- */

enum error_kind shop_table_find(struct database *db, const char *name, struct shop_table *out, struct error *err)
{
    struct shop_table t = SHOP_TABLE_INIT;
    enum error_kind rc = db->ops->table(db, name, &t.quoted, &t.columns, err);

    if (rc) {
        shop_table_release(&t);
        return rc;
    }
    *out = t;
    return OK;
}

void shop_table_release(struct shop_table *t)
{
    free(t->quoted);
    text_list_release(&t->columns);
    *t = (struct shop_table)SHOP_TABLE_INIT;
}

const char *shop_table_column(const struct shop_table *t, const char *name)
{
    for (size_t i = 0; i < t->columns.count; i++)
        if (strcasecmp(t->columns.items[i], name) == 0)
            return t->columns.items[i];
    return NULL;
}

enum error_kind shop_sql_column(struct database *db, const struct shop_table *t, const char *alias, const char *name,
                                struct buffer *sql, struct error *err)
{
    const char *column = shop_table_column(t, name);
    enum error_kind rc = buffer_append_format(sql, err, "%s.", alias);

    return rc ? rc : db->ops->quote_name(db, column ? column : name, sql, err);
}

enum error_kind shop_sql_moment(struct database *db, const char *text, struct buffer *sql, struct error *err)
{
    enum error_kind rc = buffer_append_text(sql, db->ops->dialect.moment_open, err);

    if (!rc)
        rc = db->ops->quote_text(db, text, sql, err);
    return rc ? rc : buffer_append_text(sql, db->ops->dialect.moment_close, err);
}

/* ---- the shop's own settings ---- */

static enum error_kind read_setting(struct database *db, const struct shop_table *setting, const char *name, char **out,
                                    struct error *err)
{
    struct buffer sql = BUFFER_INIT(4096);
    enum error_kind rc;

    rc = buffer_append_text(&sql, "SELECT ", err);
    if (!rc)
        rc = shop_sql_column(db, setting, "s", "Value", &sql, err);
    if (!rc)
        rc = buffer_append_format(&sql, err, " FROM %s s WHERE lower(", setting->quoted);
    if (!rc)
        rc = shop_sql_column(db, setting, "s", "Name", &sql, err);
    if (!rc)
        rc = buffer_append_text(&sql, ") = ", err);
    if (!rc)
        rc = db->ops->quote_text(db, name, &sql, err);
    if (!rc)
        rc = buffer_append_text(&sql, " ORDER BY ", err);
    if (!rc) /* the setting for all stores comes first */
        rc = shop_sql_column(db, setting, "s", "StoreId", &sql, err);
    if (!rc)
        rc = database_query_text(db, (char *)sql.data, out, err);
    buffer_release(&sql);
    return rc;
}

static enum error_kind has_table(struct database *db, const char *name, bool *out, struct error *err)
{
    struct shop_table t = SHOP_TABLE_INIT;
    enum error_kind rc = shop_table_find(db, name, &t, err);

    if (rc)
        return rc;
    *out = t.quoted != NULL;
    shop_table_release(&t);
    return OK;
}

enum error_kind database_shop_facts(struct database *db, bool *is_nopcommerce, char **picture_path,
                                    bool *pictures_in_database, struct error *err)
{
    struct shop_table setting = SHOP_TABLE_INIT;
    bool has_customer = false;
    bool has_picture = false;
    char *path = NULL;
    char *in_database = NULL;
    enum error_kind rc;

    rc = shop_table_find(db, "Setting", &setting, err);
    if (!rc)
        rc = has_table(db, "Customer", &has_customer, err);
    if (!rc)
        rc = has_table(db, "Picture", &has_picture, err);
    if (rc)
        goto done;
    *is_nopcommerce = setting.quoted && has_customer && has_picture && shop_table_column(&setting, "Name") &&
                      shop_table_column(&setting, "Value") && shop_table_column(&setting, "StoreId");
    if (!*is_nopcommerce)
        goto done;
    rc = read_setting(db, &setting, "mediasettings.picturepath", &path, err);
    if (!rc)
        rc = read_setting(db, &setting, "media.images.storeindb", &in_database, err);
    if (rc)
        goto done;
    /* The application's own default: no row means "in the database". */
    *pictures_in_database = !in_database || strcasecmp(in_database, "false") != 0;
    if (path && *path) {
        *picture_path = path;
        path = NULL;
    }

done:
    shop_table_release(&setting);
    free(path);
    free(in_database);
    return rc;
}

/* ---- names of databases ---- */

/* The longest prefix of at most max bytes that does not cut a UTF-8 sequence. */
static size_t cut_at_character(const char *text, size_t max)
{
    size_t len = strlen(text);

    if (len <= max)
        return len;
    while (max && ((unsigned char)text[max] & 0xC0) == 0x80)
        max--;
    return max;
}

enum error_kind database_private_name(const char *live, const char *infix, const char *token, size_t max, char **out,
                                      struct error *err)
{
    size_t tail = strlen(infix) + strlen(token) + 2;

    if (strlen(token) != 8 || strspn(token, "0123456789abcdef") != 8)
        return error_set(err, ERR_USAGE, 0, "the token of a private database name is not 8 hex digits");
    return memory_format(out, err, "%.*s_%s_%s", (int)cut_at_character(live, max - tail), live, infix, token);
}

bool database_is_private_name(const char *name, const char *live, const char *infix, size_t max)
{
    size_t tail = strlen(infix) + 8 + 2;
    size_t head = cut_at_character(live, max - tail);
    size_t len = strlen(name);

    return len == head + tail && strncmp(name, live, head) == 0 && name[head] == '_' &&
           strncmp(name + head + 1, infix, strlen(infix)) == 0 && name[len - 9] == '_' &&
           strspn(name + len - 8, "0123456789abcdef") == 8;
}
