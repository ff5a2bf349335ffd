/*
 * The logical mode of the SQL Server engine: one connection as it needs it, a table read into the row stream, rows loaded back.
 *
 *     sqlserver_link       exact values over one connection, in the form of docs/format.md
 *     sqlserver_select     the SELECT of a table and what its rows come to in the stream
 *     sqlserver_view       one consistent view for a dump
 *     sqlserver_readers    several tables at once from one view
 *     sqlserver_dump       dump_begin, dump_run, dump_end
 *     sqlserver_insert     rows of the stream into a table, through a staging table where they can't be bulk-loaded
 *     sqlserver_load       load_begin, load_run, load_in_place; every table read again and compared
 *     sqlserver_counts     rows and highest Id of every table
 */
#ifndef NOPSNAP_SQLSERVER_LOGICAL_INTERNAL_H
#define NOPSNAP_SQLSERVER_LOGICAL_INTERNAL_H

#include "sqlserver_schema_internal.h"

/* ---- sqlserver_link.c ---- */

struct sqlserver_link;

/* What this server does with values: seen by trying (reference: peers that are not SQL Server). */
struct sqlserver_ways {
    bool utf16_as_bytes; /* CONVERT(varbinary, nvarchar) gives UTF-16LE; else n-types are fetched as text */
    bool write_clause;   /* UPDATE ... SET column.WRITE() works */
};

/*
 * Connect to a database of db's server with SSMS's settings, TEXTSIZE without limit, times of locks limited.
 *
 * Returns    ERR_NOT_FOUND when the server has no such database or the login may not enter it, ERR_BUSY when somebody has its one seat
 */
enum error_kind sqlserver_link_open(struct database *db, const char *database, struct sqlserver_link **out,
                                    struct error *err);
void sqlserver_link_close(struct sqlserver_link *l); /* accepts NULL */
/* From another thread: give up what runs on it, soon; it is good for nothing afterwards but being closed. */
void sqlserver_link_quit(struct sqlserver_link *l);
const struct sqlserver_ways *sqlserver_link_ways(const struct sqlserver_link *l);
enum error_kind sqlserver_link_run(struct sqlserver_link *l, const char *sql, database_row_fn *row, void *arg,
                                   struct error *err);
/* The first column of the first row; *out NULL if there is none. Caller frees. */
enum error_kind sqlserver_link_text(struct sqlserver_link *l, const char *sql, char **out, struct error *err);
enum error_kind sqlserver_link_number(struct sqlserver_link *l, const char *sql, int64_t fallback, int64_t *out,
                                      struct error *err);

/* What the server says while a statement runs, handed over as it comes; severity 11 and more is a failure. */
struct sqlserver_message {
    int number;
    int severity;
    int line;              /* in the batch or procedure, from 1 */
    const char *text;      /* borrowed, like the next */
    const char *procedure; /* "" outside of one */
};
typedef void sqlserver_message_fn(void *arg, const struct sqlserver_message *m);
void sqlserver_link_listen(struct sqlserver_link *l, sqlserver_message_fn *fn, void *arg);
/*
 * Run a batch that may be anything, and hear it to its end: an error ends a statement, not always what stands behind it. Rows are passed over.
 *
 * Returns    ERR_REMOTE when anything in it failed; ERR_CANCELLED when a signal came, after the server was told to stop
 */
enum error_kind sqlserver_link_hear(struct sqlserver_link *l, const char *sql, struct error *err);

typedef enum error_kind sqlserver_values_fn(void *arg, const struct sqlserver_value *values, struct error *err);
/*
 * Run a SELECT and hand over its values in the stream's form.
 *
 * columns    one for each column of the answer: kind and precision say what is expected
 * fn         values are borrowed until it returns; it must not use the link
 */
enum error_kind sqlserver_link_read(struct sqlserver_link *l, const char *sql, const struct sqlserver_column *columns,
                                    size_t count, sqlserver_values_fn *fn, void *arg, struct error *err);

/*
 * Load rows into a table in one bulk operation, identities kept.
 *
 * table      quoted, with its schema
 * columns    the table's own, in order, without computed ones and rowversions; borrowed until the end
 */
enum error_kind sqlserver_bulk_begin(struct sqlserver_link *l, const char *table,
                                     const struct sqlserver_column *columns, size_t count, struct error *err);
enum error_kind sqlserver_bulk_row(struct sqlserver_link *l, const struct sqlserver_value *values, struct error *err);
enum error_kind sqlserver_bulk_end(struct sqlserver_link *l, struct error *err);

/* ---- sqlserver_select.c ---- */

/* Read a table in its ordering and write it down: begin, rows, large values, end. picture gets every Id, or is NULL. */
enum error_kind sqlserver_table_read(struct sqlserver_link *l, const struct sqlserver_table *t,
                                     struct sqlserver_writer *w, database_id_fn *id, void *id_arg,
                                     struct sqlserver_sum *out, struct error *err);
/* Set may_be_large where a long value can stand apart. */
void sqlserver_choose_large(struct sqlserver_table *t, const struct sqlserver_ways *ways, unsigned code_page);
/* Append a condition that finds the row of a key; key: one value for each column of the ordering. */
enum error_kind sqlserver_where_key(const struct sqlserver_table *t, const struct sqlserver_value *key,
                                    struct buffer *sql, struct error *err);

/* ---- sqlserver_view.c ---- */

enum sqlserver_view_kind {
    SQLSERVER_VIEW_SNAPSHOT,  /* SNAPSHOT isolation: writers go on */
    SQLSERVER_VIEW_READ_ONLY, /* nobody can write: any number of connections see the same */
    SQLSERVER_VIEW_LOCKED,    /* shared locks on every table: writers wait */
};

/*
 * Open one consistent view of everything on this connection, by the least harmful way that the server allows: seen by doing it.
 *
 * remark     what the user should know of that way, appended to; nothing where there is nothing to say
 * moment_ns  the server's UTC clock just before
 */
enum error_kind sqlserver_view_open(struct sqlserver_link *l, enum sqlserver_view_kind *kind, int64_t *moment_ns,
                                    struct text_list *remark, struct error *err);
enum error_kind sqlserver_view_close(struct sqlserver_link *l, struct error *err);

/* Is the view that other sessions see as well still held? ERR_REMOTE where it was lost. */
enum error_kind sqlserver_view_check(struct sqlserver_link *l, struct error *err);

/* ---- sqlserver_readers.c ---- */

struct sqlserver_readers;

/*
 * Begin to read tables, several at once, on connections of their own.
 *
 * sums       filled table by table; read after sqlserver_readers_take()
 * skip       one that the caller reads himself; SIZE_MAX: none
 * out        NULL where the server lets nobody else in: the caller reads all of them. To be ended also after a failure
 */
enum error_kind sqlserver_readers_start(struct database *db, const struct sqlserver_table *tables,
                                        struct sqlserver_sum *sums, size_t count, size_t skip,
                                        struct sqlserver_readers **out, struct error *err);
/* Write down table i, in the order of the tables. A failure is the first one of any reader. */
enum error_kind sqlserver_readers_take(struct sqlserver_readers *r, size_t i, struct sqlserver_writer *w,
                                       struct error *err);
void sqlserver_readers_end(struct sqlserver_readers *r); /* accepts NULL */

/* ---- sqlserver_dump.c, sqlserver_load.c, sqlserver_counts.c: as in database_internal.h ---- */

/*
 * What a dump records of the database itself: one line of JSON.
 *
 * row        of sys.databases
 * logins     users and their logins, where only their SIDs go with the dump; or NULL
 */
enum error_kind sqlserver_properties_text(const struct sqlserver_rows *row, const struct sqlserver_rows *logins,
                                          char **out, struct error *err);
enum error_kind sqlserver_logical_dump_begin(struct database_dump *dump, struct error *err);
enum error_kind sqlserver_logical_dump_run(struct database_dump *dump, database_sink_fn *sink, void *arg,
                                           struct error *err);
enum error_kind sqlserver_logical_dump_end(struct database_dump *dump, struct database_facts *out, struct error *err);
enum error_kind sqlserver_logical_load_begin(struct database *db, const struct database_facts *facts, const char *token,
                                             char **name, struct error *err);
enum error_kind sqlserver_logical_load_run(struct database *db, const char *name, const struct database_facts *facts,
                                           database_source_fn *source, void *arg, struct error *err);
enum error_kind sqlserver_logical_load_in_place(struct database *db, const struct database_facts *facts,
                                                database_source_fn *source, void *arg, struct error *err);
enum error_kind sqlserver_count(struct database *db, const char *name, struct database_counts *out, struct error *err);

/* Characters of a database's name: 128, of which logs and files that are named after it want some. */
#define SQLSERVER_NAME_MAX 120
#define SQLSERVER_FORMAT_ROWS "sqlserver rows" /* database_facts.format of a logical dump */

/* ---- sqlserver_insert.c ---- */

struct sqlserver_insert;

/*
 * Begin to fill a table. code_page: the database's own.
 */
enum error_kind sqlserver_insert_begin(struct sqlserver_link *l, const struct sqlserver_table *t, unsigned code_page,
                                       struct sqlserver_insert **out, struct error *err);
enum error_kind sqlserver_insert_row(struct sqlserver_insert *i, const struct sqlserver_value *values,
                                     struct error *err);
/* A large value, its pieces; the rows must have ended. */
enum error_kind sqlserver_insert_large(struct sqlserver_insert *i, size_t column, uint64_t total,
                                       const struct sqlserver_value *key, struct error *err);
enum error_kind sqlserver_insert_piece(struct sqlserver_insert *i, const void *bytes, size_t len, struct error *err);
/* Frees it in every case. */
enum error_kind sqlserver_insert_end(struct sqlserver_insert *i, struct error *err);
void sqlserver_insert_discard(struct sqlserver_insert *i); /* accepts NULL */

#endif
