/*
 * A SQL Server database's schema: read from its catalog views, written down as T-SQL in the order in which it can be made again.
 *
 *     rc = sqlserver_schema_read(ask, arg, &schema, err);
 *     rc = sqlserver_schema_check(schema, &refused, &lost, err);        what a logical dump can't carry: before anything is written
 *     rc = sqlserver_schema_tables(schema, &tables, &count, err);       what the row stream says of each table
 *     rc = sqlserver_schema_script(schema, &script, err);
 *
 * What a catalog view or column is missing on this server is seen, not derived from a version: an older server, or a peer that is not
 * SQL Server, simply has less.
 */
#ifndef NOPSNAP_SQLSERVER_SCHEMA_INTERNAL_H
#define NOPSNAP_SQLSERVER_SCHEMA_INTERNAL_H

#include "database_internal.h"
#include <stdarg.h>

#include "sqlserver_stream_internal.h"

#define SQLSERVER_MARKER "nopsnap_marker"   /* nopsnap's own table in a database that it made */
#define SQLSERVER_STAGING "nopsnap_staging" /* where values stand that can't be bulk-loaded as they are */

/* ---- sqlserver_rows.c: the rows of one query, in memory ---- */

struct sqlserver_rows {
    char **names;
    size_t columns;
    char **cells; /* row by row; NULL: NULL */
    size_t count; /* rows */
    size_t cap;
};

void sqlserver_rows_release(struct sqlserver_rows *r);
/* A database_row_fn: adds the row; arg is a struct sqlserver_rows. */
enum error_kind sqlserver_rows_add(void *arg, const struct database_row *row, struct error *err);
/* The cell of a column by name; NULL if it is NULL or there is no such column. */
const char *sqlserver_cell(const struct sqlserver_rows *r, size_t row, const char *name);
const char *sqlserver_cell_or(const struct sqlserver_rows *r, size_t row, const char *name, const char *fallback);
int64_t sqlserver_cell_number(const struct sqlserver_rows *r, size_t row, const char *name, int64_t fallback);
bool sqlserver_cell_flag(const struct sqlserver_rows *r, size_t row, const char *name);

/* ---- sqlserver_script.c: statements ---- */

struct sqlserver_script {
    struct sqlserver_statement *items; /* name and sql are the script's own */
    size_t count;
    size_t cap;
};
#define SQLSERVER_SCRIPT_INIT \
    {                         \
        NULL, 0, 0            \
    }

void sqlserver_script_release(struct sqlserver_script *s);
/*
 * Append to a statement. In the format %n is a name (in brackets), %t a text (N'...'; NULL gives NULL), %a is a text that is N'...' only where it must be, %s is raw, %d an int, %l an
 * int64_t, %% a percent sign.
 */
enum error_kind sqlserver_ddl(struct buffer *sql, struct error *err, const char *format, ...);
enum error_kind sqlserver_ddl_list(struct buffer *sql, struct error *err, const char *format, va_list *args);
/* Add a statement of the form of sqlserver_ddl(). */
enum error_kind sqlserver_script_add(struct sqlserver_script *s, enum sqlserver_phase phase, unsigned flags,
                                     const char *name, struct error *err, const char *format, ...);
/* Add what is in `sql`, which is emptied. */
enum error_kind sqlserver_script_take(struct sqlserver_script *s, enum sqlserver_phase phase, unsigned flags,
                                      const char *name, struct buffer *sql, struct error *err);
/* Bring the phases into ascending order; within one the order stays. */
enum error_kind sqlserver_script_sort(struct sqlserver_script *s, struct error *err);

/* ---- sqlserver_schema.c ---- */

enum sqlserver_set {
    SET_DATABASE,
    SET_SCHEMAS,
    SET_PRINCIPALS,
    SET_ROLE_MEMBERS,
    SET_PERMISSIONS,
    SET_TYPES,
    SET_TABLE_TYPES,
    SET_SEQUENCES,
    SET_SYNONYMS,
    SET_XML_COLLECTIONS,
    SET_TABLES,
    SET_COLUMNS,
    SET_DEFAULTS,
    SET_CHECKS,
    SET_INDEXES,
    SET_INDEX_COLUMNS,
    SET_XML_INDEXES,
    SET_SPATIAL_INDEXES,
    SET_STATISTICS,
    SET_STATISTICS_COLUMNS,
    SET_FOREIGN_KEYS,
    SET_FOREIGN_KEY_COLUMNS,
    SET_MODULES,
    SET_DEPENDENCIES,
    SET_TRIGGER_ORDER,
    SET_FULLTEXT_CATALOGS,
    SET_FULLTEXT_INDEXES,
    SET_FULLTEXT_COLUMNS,
    SET_PROPERTIES,
    SET_SCOPED_CONFIGURATION,
    SET_OTHERS,
    SET_COUNT,
};

/* Runs one query in the view of the dump. */
typedef enum error_kind sqlserver_ask_fn(void *arg, const char *sql, database_row_fn *row, void *row_arg,
                                         struct error *err);

struct sqlserver_schema {
    struct sqlserver_rows views; /* view, column: which there are */
    struct sqlserver_rows sets[SET_COUNT];
};

enum error_kind sqlserver_schema_read(sqlserver_ask_fn *ask, void *arg, struct sqlserver_schema **out,
                                      struct error *err);
void sqlserver_schema_free(struct sqlserver_schema *s); /* accepts NULL */
/* The rows of one set that belong to an object: walks from *at, which the caller sets to 0. False when there is none left. */
bool sqlserver_set_next(const struct sqlserver_rows *r, const char *key, const char *value, size_t *at, size_t *row);
/* The first row whose column `key` is `value`; SIZE_MAX if there is none. */
size_t sqlserver_set_find(const struct sqlserver_rows *r, const char *key, const char *value);

/* ---- sqlserver_schema_check.c ---- */

enum error_kind sqlserver_schema_check(const struct sqlserver_schema *s, struct text_list *refused,
                                       struct text_list *lost, struct error *err);

/* ---- sqlserver_schema_tables.c ---- */

/* Every table as the row stream has it, sorted by schema and name. Caller releases each and frees. */
enum error_kind sqlserver_schema_tables(const struct sqlserver_schema *s, struct sqlserver_table **out, size_t *count,
                                        struct error *err);
/* A column's type as T-SQL has it. */
enum error_kind sqlserver_type_text(const struct sqlserver_rows *columns, size_t row, struct buffer *out,
                                    struct error *err);
enum error_kind sqlserver_script_tables(const struct sqlserver_schema *s, struct sqlserver_script *out,
                                        struct error *err);
/* After the rows: identities. sums[i] is of tables[i]. */
enum error_kind sqlserver_script_positions(const struct sqlserver_schema *s, const struct sqlserver_table *tables,
                                           const struct sqlserver_sum *sums, size_t count, struct sqlserver_script *out,
                                           struct error *err);

/* Append the name of a table or another object with its schema, in brackets. */
enum error_kind sqlserver_ddl_object(struct buffer *sql, const char *schema, const char *name, struct error *err);

/* The columns of a table or table type, as CREATE TABLE has them between its brackets. */
enum error_kind sqlserver_ddl_columns(const struct sqlserver_schema *s, const char *object_id, struct buffer *sql,
                                      struct error *err);

/* ---- sqlserver_schema_keys.c, _modules.c, _rest.c ---- */

enum error_kind sqlserver_script_indexes(const struct sqlserver_schema *s, struct sqlserver_script *out,
                                         struct error *err);
enum error_kind sqlserver_script_constraints(const struct sqlserver_schema *s, struct sqlserver_script *out,
                                             struct error *err);
enum error_kind sqlserver_script_modules(const struct sqlserver_schema *s, struct sqlserver_script *out,
                                         struct error *err);
/* Where the name of what a module's text makes lies: "CREATE VIEW dbo.v": the span of "dbo.v". False if it is not understood. */
bool sqlserver_module_name(const char *text, size_t *begin, size_t *end);
enum error_kind sqlserver_script_principals(const struct sqlserver_schema *s, struct sqlserver_script *out,
                                            struct error *err);
enum error_kind sqlserver_script_types(const struct sqlserver_schema *s, struct sqlserver_script *out,
                                       struct error *err);
enum error_kind sqlserver_script_database(const struct sqlserver_schema *s, struct sqlserver_script *out,
                                          struct error *err);
enum error_kind sqlserver_script_fulltext(const struct sqlserver_schema *s, struct sqlserver_script *out,
                                          struct error *err);
enum error_kind sqlserver_script_properties(const struct sqlserver_schema *s, struct sqlserver_script *out,
                                            struct error *err);
/* Everything but the positions, sorted by phase. */
enum error_kind sqlserver_schema_script(const struct sqlserver_schema *s, struct sqlserver_script *out,
                                        struct error *err);

#endif
