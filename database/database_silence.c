/*
 * A copy of a shop's database in which nothing leads out any more: no mail, no scheduled task, no address of the store.
 *
 *   L1  only a database opened beside the live one is written to: the live one is refused, whoever asks
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "database_internal.h"
#include "shop_table_internal.h"

enum { SQL_MAX = 256 * 1024 };

static enum error_kind refuse_live(const struct database *db, struct error *err)
{
    if (db->name && db->target->name && strcasecmp(db->name, db->target->name) != 0)
        return OK;
    return error_set(err, ERR_REFUSED, 0, "%s is the live database: it is not made silent",
                     db->name ? db->name : "what is open");
}

/* UPDATE table SET column = value. A table or column that this version does not have is no error. */
static enum error_kind put_all(struct database *db, const struct shop_table *t, const char *column, const char *value,
                               struct error *err)
{
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    enum error_kind rc;

    if (!t->quoted || !shop_table_column(t, column))
        return OK;
    rc = buffer_append_format(&sql, err, "UPDATE %s SET ", t->quoted);
    if (!rc)
        rc = db->ops->quote_name(db, shop_table_column(t, column), &sql, err);
    if (!rc)
        rc = buffer_append_text(&sql, " = ", err);
    if (!rc)
        rc = db->ops->quote_text(db, value, &sql, err);
    if (!rc)
        rc = db->ops->query(db, (char *)sql.data, NULL, NULL, err);
    buffer_release(&sql);
    return rc;
}

static enum error_kind empty_table(struct database *db, const char *table, struct error *err)
{
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    struct shop_table t = SHOP_TABLE_INIT;
    enum error_kind rc = shop_table_find(db, table, &t, err);

    if (!rc && t.quoted)
        rc = buffer_append_format(&sql, err, "DELETE FROM %s", t.quoted);
    if (!rc && t.quoted)
        rc = db->ops->query(db, (char *)sql.data, NULL, NULL, err);
    shop_table_release(&t);
    buffer_release(&sql);
    return rc;
}

enum error_kind database_silence(struct database *db, const char *store_url, struct error *err)
{
    const struct {
        const char *table, *column, *value;
    } puts[] = {
        {"EmailAccount", "Host", "127.0.0.1"}, /* port 9: nobody takes a mail there */
        {"EmailAccount", "Port", "9"},         {"EmailAccount", "Username", ""},     {"EmailAccount", "Password", ""},
        {"EmailAccount", "ClientId", ""},      {"EmailAccount", "ClientSecret", ""}, {"ScheduleTask", "Enabled", "0"},
        {"Store", "Url", store_url},           {"Store", "SslEnabled", "0"},         {"Store", "Hosts", ""},
    };
    enum error_kind rc = refuse_live(db, err); /* L1 */

    for (size_t i = 0; i < sizeof(puts) / sizeof(puts[0]) && !rc; i++) {
        struct shop_table t = SHOP_TABLE_INIT;

        rc = shop_table_find(db, puts[i].table, &t, err);
        if (!rc)
            rc = put_all(db, &t, puts[i].column, puts[i].value, err);
        shop_table_release(&t);
    }
    if (!rc)
        rc = empty_table(db, "QueuedEmail", err);
    if (rc)
        error_context(err, "making the copy of the database silent");
    return rc;
}

/* ---- settings ---- */

struct each {
    database_setting_fn *fn;
    void *arg;
};

static enum error_kind hand_over(void *arg, const struct database_row *row, struct error *err)
{
    const struct each *e = arg;

    return row->values[0] && row->values[1] ? e->fn(e->arg, row->values[0], row->values[1], err) : OK;
}

enum error_kind database_setting_each(struct database *db, database_setting_fn *fn, void *arg, struct error *err)
{
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    struct shop_table t = SHOP_TABLE_INIT;
    struct each e = {fn, arg};
    enum error_kind rc = shop_table_find(db, "Setting", &t, err);

    if (!rc && t.quoted) {
        rc = buffer_append_text(&sql, "SELECT ", err);
        if (!rc)
            rc = shop_sql_column(db, &t, "t", "Name", &sql, err);
        if (!rc)
            rc = buffer_append_text(&sql, ", ", err);
        if (!rc)
            rc = shop_sql_column(db, &t, "t", "Value", &sql, err);
        if (!rc)
            rc = buffer_append_format(&sql, err, " FROM %s t", t.quoted);
        if (!rc)
            rc = db->ops->query(db, (char *)sql.data, hand_over, &e, err);
    }
    shop_table_release(&t);
    buffer_release(&sql);
    return rc;
}

enum error_kind database_setting_clear(struct database *db, const char *name, struct error *err)
{
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    struct shop_table t = SHOP_TABLE_INIT;
    enum error_kind rc = refuse_live(db, err); /* L1 */

    if (!rc)
        rc = shop_table_find(db, "Setting", &t, err);
    if (!rc && t.quoted) {
        rc = buffer_append_format(&sql, err, "UPDATE %s SET ", t.quoted);
        if (!rc)
            rc = db->ops->quote_name(db, shop_table_column(&t, "Value"), &sql, err);
        if (!rc)
            rc = buffer_append_text(&sql, " = '' WHERE ", err);
        if (!rc)
            rc = db->ops->quote_name(db, shop_table_column(&t, "Name"), &sql, err);
        if (!rc)
            rc = buffer_append_text(&sql, " = ", err);
        if (!rc)
            rc = db->ops->quote_text(db, name, &sql, err);
        if (!rc)
            rc = db->ops->query(db, (char *)sql.data, NULL, NULL, err);
    }
    shop_table_release(&t);
    buffer_release(&sql);
    return rc;
}
