/*
 * The lost orders and who placed them, as CSV (RFC 4180): what the owner needs to honour payments that the provider has
 * taken. NULL is an empty field, the empty string a quoted one, so that they can be told apart.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "database_internal.h"
#include "file.h"
#include "shop_table_internal.h"

enum { SQL_MAX = 16 * 1024, ROW_MAX = 256 * 1024 * 1024, FLUSH_AT = 64 * 1024 };

/* ---- writing ---- */

struct csv_file {
    struct draft draft;
    struct buffer pending;
    bool has_header;
};

static enum error_kind append_field(struct buffer *out, const char *text, size_t len, struct error *err)
{
    bool plain = len > 0;
    enum error_kind rc;

    if (!text)
        return OK;
    for (size_t i = 0; plain && i < len; i++)
        plain = text[i] != '"' && text[i] != ',' && text[i] != '\r' && text[i] != '\n';
    if (plain)
        return buffer_append(out, text, len, err);
    rc = buffer_append(out, "\"", 1, err);
    for (size_t i = 0; !rc && i < len; i++) {
        if (text[i] == '"')
            rc = buffer_append(out, "\"", 1, err);
        if (!rc)
            rc = buffer_append(out, &text[i], 1, err);
    }
    return rc ? rc : buffer_append(out, "\"", 1, err);
}

static enum error_kind append_line(struct buffer *out, const char *const *fields, const size_t *lengths, int count,
                                   struct error *err)
{
    enum error_kind rc = OK;

    for (int i = 0; !rc && i < count; i++) {
        if (i)
            rc = buffer_append(out, ",", 1, err);
        if (!rc && fields[i])
            rc = append_field(out, fields[i], lengths ? lengths[i] : strlen(fields[i]), err);
    }
    return rc ? rc : buffer_append(out, "\r\n", 2, err);
}

static enum error_kind flush(struct csv_file *csv, struct error *err)
{
    enum error_kind rc = draft_write(&csv->draft, csv->pending.data, csv->pending.len, err);

    buffer_clear(&csv->pending);
    return rc;
}

static enum error_kind write_row(void *arg, const struct database_row *row, struct error *err)
{
    struct csv_file *csv = arg;
    enum error_kind rc = OK;

    if (!csv->has_header) {
        rc = append_line(&csv->pending, row->names, NULL, row->columns, err);
        csv->has_header = true;
    }
    if (!rc)
        rc = append_line(&csv->pending, row->values, row->lengths, row->columns, err);
    if (!rc && csv->pending.len >= FLUSH_AT)
        rc = flush(csv, err);
    return rc;
}

/* ---- which rows ---- */

static const char *const order_links[][3] = {
    /* table, its column, the order's column */
    {"OrderItem", "OrderId", "Id"},        {"OrderNote", "OrderId", "Id"},         {"Customer", "Id", "CustomerId"},
    {"Address", "Id", "BillingAddressId"}, {"Address", "Id", "ShippingAddressId"}, {"Address", "Id", "PickupAddressId"},
};

/* New itself, or of a new order. */
static enum error_kind append_condition(struct database *db, const char *table, const struct shop_table *t,
                                        const struct shop_table *order, const struct database_facts *since,
                                        struct buffer *sql, struct error *err)
{
    enum error_kind rc = shop_sql_newer(db, t, "t", table, "CreatedOnUtc", since, sql, err);

    for (size_t i = 0; !rc && i < sizeof order_links / sizeof order_links[0]; i++) {
        const char *const *link = order_links[i];

        if (strcmp(link[0], table) != 0 || !order->quoted || !shop_table_column(t, link[1]) ||
            !shop_table_column(order, link[2]))
            continue;
        rc = buffer_append_text(sql, " OR ", err);
        if (!rc)
            rc = shop_sql_of_orders(db, t, link[1], order, link[2], since, sql, err);
    }
    return rc;
}

/* ---- one table ---- */

static enum error_kind build_query(struct database *db, const char *table, const struct shop_table *t,
                                   const struct shop_table *order, const struct database_facts *since,
                                   struct buffer *sql, struct error *err)
{
    enum error_kind rc = buffer_append_format(sql, err, "SELECT t.* FROM %s t WHERE ", t->quoted);

    if (!rc)
        rc = append_condition(db, table, t, order, since, sql, err);
    if (!rc)
        rc = buffer_append_text(sql, " ORDER BY ", err);
    if (!rc)
        rc = shop_sql_column(db, t, "t", "Id", sql, err);
    return rc;
}

static enum error_kind export_table(struct database *db, const char *table, const struct shop_table *order,
                                    const struct database_facts *since, const char *directory, struct text_list *files,
                                    struct error *err)
{
    struct csv_file csv = {DRAFT_INIT, BUFFER_INIT(ROW_MAX), false};
    struct shop_table t = SHOP_TABLE_INIT;
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    char *path = NULL;
    enum error_kind rc;

    rc = shop_table_find(db, table, &t, err);
    if (rc || !t.quoted || !shop_table_column(&t, "Id"))
        goto done;
    rc = build_query(db, table, &t, order, since, &sql, err);
    if (!rc)
        rc = memory_format(&path, err, "%s/%s.csv", directory, table);
    if (!rc)
        rc = draft_open(&csv.draft, path, 0600, err);
    if (!rc)
        rc = db->ops->query(db, (char *)sql.data, write_row, &csv, err);
    if (!rc && !csv.has_header) /* no row: the header alone, so that the file says what it looked for */
        rc = append_line(&csv.pending, (const char *const *)t.columns.items, NULL, (int)t.columns.count, err);
    if (!rc)
        rc = flush(&csv, err);
    if (!rc)
        rc = draft_commit(&csv.draft, err);
    if (!rc)
        rc = text_list_add(files, path, err);

done:
    if (rc)
        error_context(err, "exporting %s", table);
    draft_discard(&csv.draft);
    buffer_release(&csv.pending);
    buffer_release(&sql);
    shop_table_release(&t);
    free(path);
    return rc;
}

enum error_kind database_export_newer(struct database *db, const struct database_facts *since, const char *directory,
                                      struct text_list *files, struct error *err)
{
    static const char *const tables[] = {"Order", "OrderItem", "OrderNote", "Customer", "Address"};
    struct shop_table order = SHOP_TABLE_INIT;
    enum error_kind rc;

    rc = shop_table_find(db, "Order", &order, err);
    for (size_t i = 0; !rc && i < sizeof tables / sizeof tables[0]; i++)
        rc = export_table(db, tables[i], &order, since, directory, files, err);
    shop_table_release(&order);
    return rc;
}
