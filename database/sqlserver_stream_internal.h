/*
 * The logical dump of a SQL Server database as a stream (docs/format.md): its writer, its reader, exact values.
 *
 *     sqlserver_writer_new(sink, arg, &w, err)            sqlserver_reader_new(source, arg, &r, err)
 *     sqlserver_write_header(w, err)                      while (!(rc = sqlserver_reader_next(r, &item, err)) &&
 *     sqlserver_write_statement(w, &statement, err)              item.kind != SQLSERVER_END) ...
 *     sqlserver_write_table(w, table, err)                sqlserver_reader_free(r)
 *     sqlserver_row_value(w, bytes, len, err)  each column
 *     sqlserver_row_end(w, err)
 *     sqlserver_write_table_end(w, &sum, err)
 *     sqlserver_write_trailer(w, tables, sums, count, err)
 *     sqlserver_writer_free(w)
 *
 * Neither knows of a server. What is read is checked in every length, kind and order before it is used (P11).
 */
#ifndef NOPSNAP_SQLSERVER_STREAM_INTERNAL_H
#define NOPSNAP_SQLSERVER_STREAM_INTERNAL_H

#include "database.h"
#include "hash.h"

enum sqlserver_kind {
    SQLSERVER_BIT = 1,
    SQLSERVER_TINYINT,
    SQLSERVER_SMALLINT,
    SQLSERVER_INT,
    SQLSERVER_BIGINT,
    SQLSERVER_REAL,
    SQLSERVER_FLOAT,
    SQLSERVER_SMALLMONEY,
    SQLSERVER_MONEY,
    SQLSERVER_DECIMAL,
    SQLSERVER_DATE,
    SQLSERVER_TIME,
    SQLSERVER_DATETIME2,
    SQLSERVER_DATETIMEOFFSET,
    SQLSERVER_DATETIME,
    SQLSERVER_SMALLDATETIME,
    SQLSERVER_UNIQUEIDENTIFIER,
    SQLSERVER_CHAR,
    SQLSERVER_VARCHAR,
    SQLSERVER_NCHAR,
    SQLSERVER_NVARCHAR,
    SQLSERVER_BINARY,
    SQLSERVER_VARBINARY,
    SQLSERVER_TEXT,
    SQLSERVER_NTEXT,
    SQLSERVER_IMAGE,
    SQLSERVER_XML,
    SQLSERVER_CLR,
    SQLSERVER_VARIANT,
};

enum {
    SQLSERVER_STREAM_FORMAT = 1,
    SQLSERVER_COLUMNS_MAX = 30000,               /* of a table with sparse columns */
    SQLSERVER_LARGE = 1024 * 1024,               /* a value above this is large; also the longest piece */
    SQLSERVER_ROW_MAX = 1024 * 1024 * 1024,      /* of a table without a key, whose values all stand in their rows */
    SQLSERVER_STATEMENT_MAX = 256 * 1024 * 1024, /* an assembly's bytes are in one */
    SQLSERVER_TABLE_MAX = 32 * 1024 * 1024,
};

struct sqlserver_column {
    char *name;
    char *type; /* as T-SQL has it, to convert to: "decimal(38, 10)", "[dbo].[Phone]" */
    enum sqlserver_kind kind;
    bool nullable;
    bool identity;
    bool descending;
    bool may_be_large; /* a long value stands behind the rows */
    uint8_t precision;
    uint8_t scale;
    int16_t max_length; /* bytes; -1: max */
    uint16_t code_page; /* of char, varchar, text; else 0 */
    char *collation;    /* or NULL */
    uint16_t order;     /* place in the ordering from 1, or 0 */
};

struct sqlserver_table {
    char *schema;
    char *name;
    bool keyed; /* the ordering columns find exactly one row */
    struct sqlserver_column *columns;
    size_t count;
};

struct sqlserver_sum { /* what the rows of a table come to */
    uint64_t rows;
    int64_t max_id;
    unsigned char digest[HASH_LEN];
};

void sqlserver_table_release(struct sqlserver_table *t);
/* The columns of the ordering, in its order: fills out (room for t->count) and returns how many. */
size_t sqlserver_table_order(const struct sqlserver_table *t, const struct sqlserver_column **out);
/* Bytes of every value of this column, or 0 if they differ. */
size_t sqlserver_column_size(const struct sqlserver_column *c);
/* The column Id whose highest value is noted; NULL if there is none. */
const struct sqlserver_column *sqlserver_table_id(const struct sqlserver_table *t);
/* The whole number that a value of bit, tinyint, smallint, int or bigint is. */
int64_t sqlserver_value_integer(enum sqlserver_kind kind, const void *bytes);

enum sqlserver_phase {
    SQLSERVER_PHASE_DATABASE = 1,
    SQLSERVER_PHASE_STORAGE,
    SQLSERVER_PHASE_PRINCIPALS,
    SQLSERVER_PHASE_TYPES,
    SQLSERVER_PHASE_FUNCTIONS,
    SQLSERVER_PHASE_TABLES,
    SQLSERVER_PHASE_POSITIONS, /* the first after the rows */
    SQLSERVER_PHASE_INDEXES,
    SQLSERVER_PHASE_CONSTRAINTS,
    SQLSERVER_PHASE_MODULES,
    SQLSERVER_PHASE_PROPERTIES,
};

enum {
    SQLSERVER_ANSI_NULLS = 1,
    SQLSERVER_QUOTED_IDENTIFIER = 2,
    SQLSERVER_OPTIONAL = 4, /* a load may go on without it, and says so */
    SQLSERVER_MODULE = 8,   /* tried again after the others while any pass makes progress */
    SQLSERVER_FLAGS = 15,
};

struct sqlserver_statement {
    enum sqlserver_phase phase;
    unsigned flags;
    const char *name; /* of the object, for people */
    const char *sql;  /* NUL-terminated */
    size_t len;
};

/* ---- sqlserver_stream_write.c ---- */

struct sqlserver_writer;

enum error_kind sqlserver_writer_new(database_sink_fn *sink, void *arg, struct sqlserver_writer **out,
                                     struct error *err);
void sqlserver_writer_free(struct sqlserver_writer *w); /* accepts NULL; what was not flushed is lost */
enum error_kind sqlserver_writer_flush(struct sqlserver_writer *w, struct error *err);
/* What another writer of the same stream has written, and what that summed up of its shape (HASH_LEN bytes). */
enum error_kind sqlserver_writer_raw(struct sqlserver_writer *w, const void *bytes, size_t len, struct error *err);
const unsigned char *sqlserver_writer_shape(const struct sqlserver_writer *w);
void sqlserver_writer_add_shape(struct sqlserver_writer *w, const unsigned char *shape);
enum error_kind sqlserver_write_header(struct sqlserver_writer *w, struct error *err);
enum error_kind sqlserver_write_statement(struct sqlserver_writer *w, const struct sqlserver_statement *s,
                                          struct error *err);
/* Begin a table, borrowed until its end. */
enum error_kind sqlserver_write_table(struct sqlserver_writer *w, const struct sqlserver_table *t, struct error *err);
/* The next column's value in the form of docs/format.md; bytes NULL: NULL. A length that is not the kind's is ERR_REMOTE. */
enum error_kind sqlserver_row_value(struct sqlserver_writer *w, const void *bytes, size_t len, struct error *err);
/* The next column's value is large and follows behind the rows. */
enum error_kind sqlserver_row_large(struct sqlserver_writer *w, uint64_t len, struct error *err);
enum error_kind sqlserver_row_end(struct sqlserver_writer *w, struct error *err);
/*
 * Behind the rows: a large value, its pieces, its end.
 *
 * key    the key columns' values encoded as in a row (sqlserver_key_append())
 */
enum error_kind sqlserver_large_begin(struct sqlserver_writer *w, size_t column, uint64_t len, const struct buffer *key,
                                      struct error *err);
enum error_kind sqlserver_large_piece(struct sqlserver_writer *w, const void *bytes, size_t len, struct error *err);
/* ERR_REMOTE when the pieces are not as long as was said. */
enum error_kind sqlserver_large_end(struct sqlserver_writer *w, struct error *err);
enum error_kind sqlserver_write_table_end(struct sqlserver_writer *w, struct sqlserver_sum *out, struct error *err);
enum error_kind sqlserver_write_trailer(struct sqlserver_writer *w, const struct sqlserver_table *const *tables,
                                        const struct sqlserver_sum *sums, size_t count, struct error *err);
/* Append one value, not NULL, as a row has it. */
enum error_kind sqlserver_key_append(struct buffer *key, const struct sqlserver_column *c, const void *bytes,
                                     size_t len, struct error *err);

/* ---- sqlserver_stream_read.c ---- */

enum sqlserver_item_kind {
    SQLSERVER_STATEMENT,
    SQLSERVER_TABLE,
    SQLSERVER_ROW,
    SQLSERVER_LARGE_BEGIN,
    SQLSERVER_PIECE,
    SQLSERVER_TABLE_END,
    SQLSERVER_END,
};

struct sqlserver_value {
    const unsigned char *bytes; /* NULL: NULL, or large */
    size_t len;
    bool large;
    uint64_t large_len;
};

struct sqlserver_item { /* everything borrowed until the next call */
    enum sqlserver_item_kind kind;
    struct sqlserver_statement statement;
    const struct sqlserver_table *table;  /* the current one; stays until the reader goes */
    const struct sqlserver_value *values; /* of a row: table->count; of LARGE_BEGIN: the key's */
    size_t count;
    size_t column; /* of a large value */
    uint64_t total;
    const unsigned char *bytes; /* of a piece */
    size_t len;
    struct sqlserver_sum sum; /* of TABLE_END */
};

struct sqlserver_reader;

enum error_kind sqlserver_reader_new(database_source_fn *source, void *arg, struct sqlserver_reader **out,
                                     struct error *err);
void sqlserver_reader_free(struct sqlserver_reader *r); /* accepts NULL */
/* ERR_CORRUPT for anything that is not as docs/format.md says, ERR_REFUSED for a newer format. */
enum error_kind sqlserver_reader_next(struct sqlserver_reader *r, struct sqlserver_item *out, struct error *err);
/* The tables read so far with their sums, for as long as the reader lives. */
size_t sqlserver_reader_tables(const struct sqlserver_reader *r);
const struct sqlserver_table *sqlserver_reader_table(const struct sqlserver_reader *r, size_t i,
                                                     const struct sqlserver_sum **sum);

struct sqlserver_variant { /* borrowed */
    char base[130];
    char collation[130];
    uint8_t precision;
    uint8_t scale;
    int16_t max_length;
    const unsigned char *bytes;
    size_t len;
};

enum error_kind sqlserver_variant_append(struct buffer *out, const struct sqlserver_variant *v, struct error *err);
enum error_kind sqlserver_variant_decode(const void *bytes, size_t len, struct sqlserver_variant *out,
                                         struct error *err);

/* Add a hash to a digest, modulo 2^128. */
void sqlserver_digest_add(unsigned char digest[HASH_LEN], const struct hash *h);

#endif
