/*
 * What a rollback would lose: rows newer than the snapshot, counted table by table.
 *
 * A row is newer if its Id is above the highest at the snapshot or, where the table keeps one, its time is later than
 * the snapshot: after a rollback Ids begin again where they once were, so that a new row may carry an old number. A
 * table without a time goes by its parent's (the items of a lost order); pictures and downloads have neither, and one
 * that took an old number is not seen. Nor are deletions. Tables that this version does not have are skipped.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "database_internal.h"
#include "shop_table_internal.h"

enum { SQL_MAX = 16 * 1024 };

const char *database_group_name(enum database_group g)
{
    static const char *const names[GROUP_COUNT] = {"orders and money", "customers", "content", "catalogue", "noise"};

    return g < GROUP_COUNT ? names[g] : "?";
}

void database_losses_release(struct database_losses *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->items[i].table);
    free(l->items);
    l->items = NULL;
    l->count = 0;
}

/* ---- what to count ---- */

enum loss_rule {
    LOSS_NEW,        /* Id above the old maximum, or made or changed since by the time column */
    LOSS_OF_ORDERS,  /* ... or, for want of a time, of an order that is newer */
    LOSS_CHANGED,    /* old rows changed since, by the time column; those that are new count elsewhere */
    LOSS_REGISTERED, /* customers who have the role Registered */
    LOSS_GUESTS,     /* customers who do not */
};

struct loss_kind {
    enum database_group group;
    const char *table;
    const char *label; /* NULL: the table's name */
    const char *column;
    enum loss_rule rule;
};

static const struct loss_kind kinds[] = {
    {GROUP_MONEY, "Order", NULL, "CreatedOnUtc", LOSS_NEW},
    {GROUP_MONEY, "Order", "Order (older, paid since)", "PaidDateUtc", LOSS_CHANGED},
    {GROUP_MONEY, "OrderItem", NULL, NULL, LOSS_OF_ORDERS},
    {GROUP_MONEY, "OrderNote", NULL, "CreatedOnUtc", LOSS_NEW},
    {GROUP_MONEY, "Shipment", NULL, "CreatedOnUtc", LOSS_NEW},
    {GROUP_MONEY, "ReturnRequest", NULL, "CreatedOnUtc", LOSS_NEW},
    {GROUP_MONEY, "RecurringPayment", NULL, "CreatedOnUtc", LOSS_NEW},
    {GROUP_MONEY, "RecurringPaymentHistory", NULL, "CreatedOnUtc", LOSS_NEW},
    {GROUP_MONEY, "GiftCard", NULL, "CreatedOnUtc", LOSS_NEW},
    {GROUP_MONEY, "GiftCardUsageHistory", NULL, "CreatedOnUtc", LOSS_NEW},
    {GROUP_MONEY, "RewardPointsHistory", NULL, "CreatedOnUtc", LOSS_NEW},
    {GROUP_MONEY, "DiscountUsageHistory", NULL, "CreatedOnUtc", LOSS_NEW},
    {GROUP_PEOPLE, "Customer", "Customer (registered)", "CreatedOnUtc", LOSS_REGISTERED},
    {GROUP_PEOPLE, "CustomerPassword", NULL, "CreatedOnUtc", LOSS_NEW},
    {GROUP_PEOPLE, "Address", NULL, "CreatedOnUtc", LOSS_NEW},
    {GROUP_PEOPLE, "NewsLetterSubscription", NULL, "CreatedOnUtc", LOSS_NEW},
    {GROUP_PEOPLE, "GdprLog", NULL, "CreatedOnUtc", LOSS_NEW},
    {GROUP_PEOPLE, "GenericAttribute", NULL, "CreatedOrUpdatedDateUTC", LOSS_NEW},
    {GROUP_PEOPLE, "ShoppingCartItem", NULL, "UpdatedOnUtc", LOSS_NEW},
    {GROUP_CONTENT, "ProductReview", NULL, "CreatedOnUtc", LOSS_NEW},
    {GROUP_CONTENT, "BlogComment", NULL, "CreatedOnUtc", LOSS_NEW},
    {GROUP_CONTENT, "NewsComment", NULL, "CreatedOnUtc", LOSS_NEW},
    {GROUP_CONTENT, "Forums_Topic", NULL, "UpdatedOnUtc", LOSS_NEW},
    {GROUP_CONTENT, "Forums_Post", NULL, "UpdatedOnUtc", LOSS_NEW},
    {GROUP_CONTENT, "Forums_PrivateMessage", NULL, "CreatedOnUtc", LOSS_NEW},
    {GROUP_CONTENT, "PollVotingRecord", NULL, "CreatedOnUtc", LOSS_NEW},
    {GROUP_CONTENT, "BackInStockSubscription", NULL, "CreatedOnUtc", LOSS_NEW},
    {GROUP_CATALOGUE, "Product", NULL, "UpdatedOnUtc", LOSS_NEW},
    {GROUP_CATALOGUE, "Category", NULL, "UpdatedOnUtc", LOSS_NEW},
    {GROUP_CATALOGUE, "Manufacturer", NULL, "UpdatedOnUtc", LOSS_NEW},
    {GROUP_CATALOGUE, "StockQuantityHistory", NULL, "CreatedOnUtc", LOSS_NEW},
    {GROUP_CATALOGUE, "Picture", NULL, NULL, LOSS_NEW},
    {GROUP_CATALOGUE, "Download", NULL, NULL, LOSS_NEW},
    {GROUP_NOISE, "Customer", "Customer (guests)", "CreatedOnUtc", LOSS_GUESTS},
    {GROUP_NOISE, "Log", NULL, "CreatedOnUtc", LOSS_NEW},
    {GROUP_NOISE, "ActivityLog", NULL, "CreatedOnUtc", LOSS_NEW},
    {GROUP_NOISE, "QueuedEmail", NULL, "CreatedOnUtc", LOSS_NEW},
};

/* ---- one count ---- */

void shop_moment(int64_t unix_ns, char out[SHOP_MOMENT_MAX])
{
    int64_t ns = unix_ns % 1000000000;
    time_t seconds = (time_t)(unix_ns / 1000000000);
    struct tm utc;

    if (ns < 0) {
        ns += 1000000000;
        seconds--;
    }
    if (!gmtime_r(&seconds, &utc) || utc.tm_year + 1900 > 9999 || utc.tm_year + 1900 < 1000) {
        snprintf(out, SHOP_MOMENT_MAX, "1970-01-01 00:00:00");
        return;
    }
    size_t len = strftime(out, SHOP_MOMENT_MAX, "%Y-%m-%d %H:%M:%S", &utc);
    snprintf(out + len, SHOP_MOMENT_MAX - len, ".%06" PRId64, ns / 1000);
}

int64_t shop_old_maximum(const struct database_facts *since, const char *table)
{
    const struct database_table *t = database_counts_find(&since->counts, table);

    return t ? t->max_id : -1;
}

static enum error_kind append_time(struct database *db, const struct shop_table *t, const char *alias,
                                   const char *column, const char *comparison, const struct database_facts *since,
                                   struct buffer *sql, struct error *err)
{
    char moment[SHOP_MOMENT_MAX];
    enum error_kind rc;

    shop_moment(since->moment_ns, moment);
    rc = shop_sql_column(db, t, alias, column, sql, err);
    if (!rc)
        rc = buffer_append_format(sql, err, " %s ", comparison);
    return rc ? rc : shop_sql_moment(db, moment, sql, err);
}

static enum error_kind append_id(struct database *db, const struct shop_table *t, const char *alias,
                                 const char *comparison, int64_t id, struct buffer *sql, struct error *err)
{
    enum error_kind rc = shop_sql_column(db, t, alias, "Id", sql, err);

    return rc ? rc : buffer_append_format(sql, err, " %s %" PRId64, comparison, id);
}

enum error_kind shop_sql_newer(struct database *db, const struct shop_table *t, const char *alias, const char *table,
                               const char *column, const struct database_facts *since, struct buffer *sql,
                               struct error *err)
{
    bool has_id = shop_table_column(t, "Id") != NULL;
    bool has_time = column && shop_table_column(t, column);
    enum error_kind rc = buffer_append_text(sql, has_id || has_time ? "(" : "(1 = 0", err);

    if (!rc && has_id)
        rc = append_id(db, t, alias, ">", shop_old_maximum(since, table), sql, err);
    if (!rc && has_id && has_time)
        rc = buffer_append_text(sql, " OR ", err);
    if (!rc && has_time)
        rc = append_time(db, t, alias, column, ">", since, sql, err);
    return rc ? rc : buffer_append_text(sql, ")", err);
}

enum error_kind shop_sql_of_orders(struct database *db, const struct shop_table *t, const char *column,
                                   const struct shop_table *order, const char *order_column,
                                   const struct database_facts *since, struct buffer *sql, struct error *err)
{
    enum error_kind rc = shop_sql_column(db, t, "t", column, sql, err);

    if (!rc)
        rc = buffer_append_text(sql, " IN (SELECT ", err);
    if (!rc)
        rc = shop_sql_column(db, order, "o", order_column, sql, err);
    if (!rc)
        rc = buffer_append_format(sql, err, " FROM %s o WHERE ", order->quoted);
    if (!rc)
        rc = shop_sql_newer(db, order, "o", "Order", "CreatedOnUtc", since, sql, err);
    return rc ? rc : buffer_append_text(sql, ")", err);
}

/* The customer has the role Registered. False in *known where the role tables are missing. */
static enum error_kind append_registered(struct database *db, const struct shop_table *customer, struct buffer *sql,
                                         bool *known, struct error *err)
{
    struct shop_table mapping = SHOP_TABLE_INIT;
    struct shop_table role = SHOP_TABLE_INIT;
    enum error_kind rc;

    rc = shop_table_find(db, "Customer_CustomerRole_Mapping", &mapping, err);
    if (!rc)
        rc = shop_table_find(db, "CustomerRole", &role, err);
    if (rc)
        goto done;
    *known = mapping.quoted && role.quoted && shop_table_column(&mapping, "Customer_Id") &&
             shop_table_column(&mapping, "CustomerRole_Id") && shop_table_column(&role, "SystemName");
    if (!*known)
        goto done;
    rc = buffer_append_format(sql, err, "EXISTS (SELECT 1 FROM %s m JOIN %s r ON ", mapping.quoted, role.quoted);
    if (!rc)
        rc = shop_sql_column(db, &role, "r", "Id", sql, err);
    if (!rc)
        rc = buffer_append_text(sql, " = ", err);
    if (!rc)
        rc = shop_sql_column(db, &mapping, "m", "CustomerRole_Id", sql, err);
    if (!rc)
        rc = buffer_append_text(sql, " WHERE ", err);
    if (!rc)
        rc = shop_sql_column(db, &mapping, "m", "Customer_Id", sql, err);
    if (!rc)
        rc = buffer_append_text(sql, " = ", err);
    if (!rc)
        rc = shop_sql_column(db, customer, "t", "Id", sql, err);
    if (!rc)
        rc = buffer_append_text(sql, " AND ", err);
    if (!rc)
        rc = shop_sql_column(db, &role, "r", "SystemName", sql, err);
    if (!rc)
        rc = buffer_append_text(sql, " = 'Registered')", err);

done:
    shop_table_release(&mapping);
    shop_table_release(&role);
    return rc;
}

/* Rows that were there, changed since; one that took an old number since is new, not changed. */
static enum error_kind append_changed(struct database *db, const struct loss_kind *kind, const struct shop_table *t,
                                      const struct database_facts *since, struct buffer *sql, struct error *err)
{
    int64_t old = shop_old_maximum(since, kind->table);
    enum error_kind rc;

    if (!shop_table_column(t, "Id") || !shop_table_column(t, kind->column) || old < 0)
        return OK;
    rc = append_id(db, t, "t", "<=", old, sql, err);
    if (!rc)
        rc = buffer_append_text(sql, " AND ", err);
    if (!rc)
        rc = append_time(db, t, "t", kind->column, ">", since, sql, err);
    if (rc || !shop_table_column(t, "CreatedOnUtc"))
        return rc;
    rc = buffer_append_text(sql, " AND ", err);
    return rc ? rc : append_time(db, t, "t", "CreatedOnUtc", "<=", since, sql, err);
}

static enum error_kind append_or_of_orders(struct database *db, const struct shop_table *t,
                                           const struct database_facts *since, struct buffer *sql, struct error *err)
{
    struct shop_table order = SHOP_TABLE_INIT;
    enum error_kind rc = shop_table_find(db, "Order", &order, err);

    if (!rc && order.quoted && shop_table_column(t, "OrderId")) {
        rc = buffer_append_text(sql, " OR ", err);
        if (!rc)
            rc = shop_sql_of_orders(db, t, "OrderId", &order, "Id", since, sql, err);
    }
    shop_table_release(&order);
    return rc;
}

static enum error_kind append_and_role(struct database *db, bool guests, const struct shop_table *t, struct buffer *sql,
                                       struct error *err)
{
    bool known = true;
    enum error_kind rc = buffer_append_text(sql, guests ? " AND NOT " : " AND ", err);

    if (!rc)
        rc = append_registered(db, t, sql, &known, err);
    if (!rc && !known) /* without role tables nobody is a guest */
        rc = buffer_append_text(sql, "(1 = 1)", err);
    return rc;
}

/* The condition for one kind; empty when this table can't answer. */
static enum error_kind append_condition(struct database *db, const struct loss_kind *kind, const struct shop_table *t,
                                        const struct database_facts *since, struct buffer *sql, struct error *err)
{
    enum error_kind rc;

    if (kind->rule == LOSS_CHANGED)
        return append_changed(db, kind, t, since, sql, err);
    rc = shop_sql_newer(db, t, "t", kind->table, kind->column, since, sql, err);
    if (!rc && kind->rule == LOSS_OF_ORDERS)
        rc = append_or_of_orders(db, t, since, sql, err);
    if (!rc && (kind->rule == LOSS_REGISTERED || kind->rule == LOSS_GUESTS))
        rc = append_and_role(db, kind->rule == LOSS_GUESTS, t, sql, err);
    return rc;
}

static enum error_kind count_kind(struct database *db, const struct loss_kind *kind, const struct database_facts *since,
                                  uint64_t *rows, struct error *err)
{
    struct shop_table t = SHOP_TABLE_INIT;
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    size_t before = 0;
    int64_t n = 0;
    enum error_kind rc;

    *rows = 0;
    rc = shop_table_find(db, kind->table, &t, err);
    if (rc || !t.quoted)
        goto done;
    rc = buffer_append_format(&sql, err, "SELECT COUNT(*) FROM %s t WHERE ", t.quoted);
    if (rc)
        goto done;
    before = sql.len;
    rc = append_condition(db, kind, &t, since, &sql, err);
    if (rc || sql.len == before)
        goto done;
    rc = database_query_number(db, (char *)sql.data, 0, &n, err);
    *rows = n > 0 ? (uint64_t)n : 0;

done:
    if (rc)
        error_context(err, "counting what is newer than the snapshot in %s", kind->table);
    shop_table_release(&t);
    buffer_release(&sql);
    return rc;
}

enum error_kind database_newer(struct database *db, const struct database_facts *since, struct database_losses *out,
                               struct error *err)
{
    struct database_losses losses = {NULL, 0};
    void *memory = NULL;
    enum error_kind rc;

    rc = memory_zeroed(sizeof kinds / sizeof kinds[0], sizeof *losses.items, &memory, err);
    if (rc)
        return rc;
    losses.items = memory;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct database_loss *loss = &losses.items[losses.count];

        rc = count_kind(db, &kinds[i], since, &loss->rows, err);
        if (rc)
            goto done;
        if (loss->rows == 0)
            continue;
        loss->group = kinds[i].group;
        rc = memory_string(kinds[i].label ? kinds[i].label : kinds[i].table, &loss->table, err);
        if (rc)
            goto done;
        losses.count++;
    }
    *out = losses;
    losses = (struct database_losses){NULL, 0};

done:
    database_losses_release(&losses);
    return rc;
}
