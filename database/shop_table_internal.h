/* A shop's table as it really is called in this database, for the statements of the common part. */
#ifndef NOPSNAP_SHOP_TABLE_INTERNAL_H
#define NOPSNAP_SHOP_TABLE_INTERNAL_H

#include "database_internal.h"

struct shop_table {
    char *quoted; /* NULL: this database has no such table */
    struct text_list columns;
};

#define SHOP_TABLE_INIT      \
    {                        \
        NULL, TEXT_LIST_INIT \
    }

/* By nopCommerce's name for it. A missing table is no error. */
enum error_kind shop_table_find(struct database *db, const char *name, struct shop_table *out, struct error *err);
void shop_table_release(struct shop_table *t);
/* The column's own spelling, or NULL. */
const char *shop_table_column(const struct shop_table *t, const char *name);
/* Append alias."Column" in the engine's quoting. */
enum error_kind shop_sql_column(struct database *db, const struct shop_table *t, const char *alias, const char *name,
                                struct buffer *sql, struct error *err);

/* The highest Id of a table at the snapshot; -1 when it had no rows or did not exist. */
int64_t shop_old_maximum(const struct database_facts *since, const char *table);

#define SHOP_MOMENT_MAX 40
/* A moment as a literal of a UTC column: "2026-11-20 10:11:12.345678". */
void shop_moment(int64_t unix_ns, char out[SHOP_MOMENT_MAX]);

/* Append a moment as the engine's literal: text as shop_moment() or a query gives it. */
enum error_kind shop_sql_moment(struct database *db, const char *text, struct buffer *sql, struct error *err);

/*
 * Append, in brackets, that a row of t is newer than the snapshot: its Id is above the highest of then, or its time is
 * later. The time counts for itself because Ids begin again after a rollback.
 *
 * table, column   nopCommerce's name of t; its time column, or NULL. What t does not have is left out
 */
enum error_kind shop_sql_newer(struct database *db, const struct shop_table *t, const char *alias, const char *table,
                               const char *column, const struct database_facts *since, struct buffer *sql,
                               struct error *err);
/* Append that t.column is what a newer order has in order_column; both columns exist. */
enum error_kind shop_sql_of_orders(struct database *db, const struct shop_table *t, const char *column,
                                   const struct shop_table *order, const char *order_column,
                                   const struct database_facts *since, struct buffer *sql, struct error *err);

#endif
