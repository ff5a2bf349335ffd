/*
 * The SELECT of a table. n-types and char types come as varbinary, because every other way would convert them; a sql_variant as seven
 * columns; a column that may hold large values as its length and, up to SQLSERVER_LARGE, its bytes. What is longer is read in pieces behind
 * the rows, so that memory stays the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sqlserver_logical_internal.h"
#include "thread.h"

enum { SQL_MAX = 16 * 1024 * 1024, VARIANT_RESULTS = 7 };

struct large {
    size_t column;
    uint64_t len;
    unsigned char *key; /* as sqlserver_key_append() wrote it */
    size_t key_len;
};

struct reading {
    struct sqlserver_link *link;
    const struct sqlserver_table *table;
    struct sqlserver_writer *writer;
    const struct sqlserver_column *id;
    database_id_fn *id_fn;
    void *id_arg;
    struct buffer sql;
    struct sqlserver_column *results;
    size_t result_count;
    const struct sqlserver_column **order;
    size_t order_count;
    size_t *result_of; /* of each column: its first result */
    struct buffer variant;
    struct large *larges;
    size_t large_count;
    size_t large_cap;
    uint64_t rows;
};

static bool is_unicode(enum sqlserver_kind kind)
{
    return kind == SQLSERVER_NCHAR || kind == SQLSERVER_NVARCHAR || kind == SQLSERVER_NTEXT || kind == SQLSERVER_XML;
}

/* ---- what may be large ---- */

static bool key_is_plain(const struct sqlserver_table *t)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->columns[i].order && t->columns[i].kind > SQLSERVER_BIGINT &&
            t->columns[i].kind != SQLSERVER_UNIQUEIDENTIFIER)
            return false;
    return t->keyed;
}

void sqlserver_choose_large(struct sqlserver_table *t, const struct sqlserver_ways *ways, unsigned code_page)
{
    bool plain =
        ways->write_clause && key_is_plain(t); /* what can't be put together piece by piece stands in its row */

    for (size_t i = 0; i < t->count; i++) {
        struct sqlserver_column *c = &t->columns[i];
        bool unbounded = c->max_length == -1 || (c->kind >= SQLSERVER_TEXT && c->kind <= SQLSERVER_XML);

        c->may_be_large = plain && unbounded && !c->order && c->kind != SQLSERVER_CLR && !sqlserver_column_size(c) &&
                          (!is_unicode(c->kind) || ways->utf16_as_bytes) &&
                          (!c->code_page || c->code_page == code_page);
    }
}

/* ---- the statement ---- */

/* The value as bytes, exactly. */
static enum error_kind append_value(const struct sqlserver_column *c, bool utf16, struct buffer *sql, struct error *err)
{
    bool unbounded = c->max_length == -1;

    if (is_unicode(c->kind) && !utf16) /* a peer that keeps text as UTF-8: converted as it comes */
        return sqlserver_ddl(sql, err, c->kind == SQLSERVER_XML ? "CONVERT(nvarchar(max), %n)" : "%n", c->name);
    switch (c->kind) {
    case SQLSERVER_CHAR:
    case SQLSERVER_VARCHAR:
    case SQLSERVER_NCHAR:
    case SQLSERVER_NVARCHAR:
        return sqlserver_ddl(sql, err, "CONVERT(varbinary(%s), %n)", unbounded ? "max" : "8000", c->name);
    case SQLSERVER_TEXT:
        return sqlserver_ddl(sql, err, "CONVERT(varbinary(max), CONVERT(varchar(max), %n))", c->name);
    case SQLSERVER_NTEXT:
    case SQLSERVER_XML:
        return sqlserver_ddl(sql, err, "CONVERT(varbinary(max), CONVERT(nvarchar(max), %n))", c->name);
    case SQLSERVER_IMAGE:
    case SQLSERVER_CLR:
        return sqlserver_ddl(sql, err, "CONVERT(varbinary(max), %n)", c->name);
    default:
        return sqlserver_ddl(sql, err, "%n", c->name);
    }
}

static enum error_kind append_length(const struct sqlserver_column *c, struct buffer *sql, struct error *err)
{
    const char *format = c->kind == SQLSERVER_XML   ? "CAST(DATALENGTH(CONVERT(nvarchar(max), %n)) AS bigint)"
                         : c->kind == SQLSERVER_CLR ? "CAST(DATALENGTH(CONVERT(varbinary(max), %n)) AS bigint)"
                                                    : "CAST(DATALENGTH(%n) AS bigint)";

    return sqlserver_ddl(sql, err, format, c->name);
}

static void add_result(struct reading *r, enum sqlserver_kind kind, const struct sqlserver_column *of)
{
    r->results[r->result_count++] = (struct sqlserver_column){.name = of->name,
                                                              .kind = kind,
                                                              .precision = of->precision,
                                                              .scale = of->scale,
                                                              .max_length = of->max_length,
                                                              .nullable = true,
                                                              .collation = of->collation,
                                                              .code_page = of->code_page,
                                                              .type = of->type};
}

static enum error_kind append_variant(struct reading *r, const struct sqlserver_column *c, struct error *err)
{
    static const char property[] = "CAST(SQL_VARIANT_PROPERTY(%n, '%s') AS %s), ";
    enum error_kind rc = sqlserver_ddl(&r->sql, err, property, c->name, "BaseType", "varchar(128)");

    if (!rc)
        rc = sqlserver_ddl(&r->sql, err, property, c->name, "Precision", "int");
    if (!rc)
        rc = sqlserver_ddl(&r->sql, err, property, c->name, "Scale", "int");
    if (!rc)
        rc = sqlserver_ddl(&r->sql, err, property, c->name, "MaxLength", "int");
    if (!rc)
        rc = sqlserver_ddl(&r->sql, err, property, c->name, "Collation", "varchar(128)");
    /* The server converts no float to bytes. */
    if (!rc)
        rc = sqlserver_ddl(&r->sql, err,
                           "CASE WHEN SQL_VARIANT_PROPERTY(%n, 'BaseType') NOT IN (N'float', N'real') THEN "
                           "CONVERT(varbinary(8000), %n) END, CASE WHEN SQL_VARIANT_PROPERTY(%n, 'BaseType') IN "
                           "(N'float', N'real') THEN CONVERT(float, %n) END",
                           c->name, c->name, c->name, c->name);
    add_result(r, SQLSERVER_VARBINARY, c);
    add_result(r, SQLSERVER_INT, c);
    add_result(r, SQLSERVER_INT, c);
    add_result(r, SQLSERVER_INT, c);
    add_result(r, SQLSERVER_VARBINARY, c);
    add_result(r, SQLSERVER_VARBINARY, c);
    add_result(r, SQLSERVER_FLOAT, c);
    return rc;
}

/* What the answer's column is: bytes, unless it is to be converted or has a type of its own. */
static enum sqlserver_kind result_kind(const struct sqlserver_column *c, bool utf16)
{
    if (sqlserver_column_size(c))
        return c->kind;
    return is_unicode(c->kind) && !utf16 ? SQLSERVER_NVARCHAR : SQLSERVER_VARBINARY;
}

static enum error_kind append_column(struct reading *r, const struct sqlserver_column *c, struct error *err)
{
    bool utf16 = sqlserver_link_ways(r->link)->utf16_as_bytes;
    enum error_kind rc = OK;

    if (c->kind == SQLSERVER_VARIANT)
        return append_variant(r, c, err);
    if (!c->may_be_large) {
        add_result(r, result_kind(c, utf16), c);
        return append_value(c, utf16, &r->sql, err);
    }
    rc = append_length(c, &r->sql, err);
    add_result(r, SQLSERVER_BIGINT, c);
    if (!rc)
        rc = buffer_append_text(&r->sql, ", CASE WHEN ", err);
    if (!rc)
        rc = append_length(c, &r->sql, err);
    if (!rc)
        rc = sqlserver_ddl(&r->sql, err, " <= %d THEN ", (int)SQLSERVER_LARGE);
    if (!rc)
        rc = append_value(c, utf16, &r->sql, err);
    add_result(r, result_kind(c, utf16), c);
    return rc ? rc : buffer_append_text(&r->sql, " END", err);
}

static enum error_kind build(struct reading *r, struct error *err)
{
    const struct sqlserver_table *t = r->table;
    enum error_kind rc = buffer_append_text(&r->sql, "SELECT ", err);

    for (size_t i = 0; !rc && i < t->count; i++) {
        r->result_of[i] = r->result_count;
        if (i)
            rc = buffer_append_text(&r->sql, ", ", err);
        if (!rc)
            rc = append_column(r, &t->columns[i], err);
    }
    if (!rc)
        rc = sqlserver_ddl(&r->sql, err, " FROM %n.%n", t->schema, t->name);
    for (size_t i = 0; !rc && i < r->order_count; i++)
        rc = sqlserver_ddl(&r->sql, err, "%s%n%s", i ? ", " : " ORDER BY ", r->order[i]->name,
                           r->order[i]->descending ? " DESC" : "");
    return rc;
}

/* ---- rows ---- */

static enum error_kind note_large(struct reading *r, size_t column, uint64_t len, const struct sqlserver_value *values,
                                  struct error *err)
{
    struct buffer key = BUFFER_INIT(64 * 1024);
    enum error_kind rc = OK;

    if (r->large_count == r->large_cap) {
        size_t cap = r->large_cap ? 2 * r->large_cap : 64;
        void *grown = realloc(r->larges, cap * sizeof *r->larges);

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory");
        r->larges = grown;
        r->large_cap = cap;
    }
    for (size_t i = 0; !rc && i < r->order_count; i++) {
        const struct sqlserver_value *v = &values[r->result_of[r->order[i] - r->table->columns]];

        rc = sqlserver_key_append(&key, r->order[i], v->bytes, v->len, err);
    }
    if (rc) {
        buffer_release(&key);
        return rc;
    }
    r->larges[r->large_count] = (struct large){.column = column, .len = len, .key_len = key.len};
    r->larges[r->large_count++].key = (unsigned char *)buffer_detach(&key);
    return OK;
}

static void copy_short(char *out, size_t room, const struct sqlserver_value *v)
{
    size_t len = v->len < room - 1 ? v->len : room - 1;

    if (v->bytes && len)
        memcpy(out, v->bytes, len);
    out[v->bytes ? len : 0] = '\0';
}

static uint32_t number_of(const struct sqlserver_value *v)
{
    return v->bytes ? get_u32(v->bytes) : 0;
}

static enum error_kind write_variant(struct reading *r, const struct sqlserver_value *v, struct error *err)
{
    struct sqlserver_variant variant = {.precision = (uint8_t)number_of(&v[1]),
                                        .scale = (uint8_t)number_of(&v[2]),
                                        .max_length = (int16_t)number_of(&v[3])};
    const struct sqlserver_value *bytes = v[5].bytes ? &v[5] : &v[6];
    enum error_kind rc;

    if (!v[0].bytes)
        return sqlserver_row_value(r->writer, NULL, 0, err);
    if (!bytes->bytes)
        return error_set(err, ERR_REMOTE, 0, "a sql_variant whose value the server does not give");
    copy_short(variant.base, sizeof variant.base, &v[0]);
    copy_short(variant.collation, sizeof variant.collation, &v[4]);
    variant.bytes = bytes->bytes;
    variant.len = bytes->len;
    buffer_clear(&r->variant);
    rc = sqlserver_variant_append(&r->variant, &variant, err);
    return rc ? rc : sqlserver_row_value(r->writer, r->variant.data, r->variant.len, err);
}

static enum error_kind write_value(struct reading *r, size_t i, const struct sqlserver_value *values, struct error *err)
{
    const struct sqlserver_column *c = &r->table->columns[i];
    const struct sqlserver_value *v = &values[r->result_of[i]];
    uint64_t len;
    enum error_kind rc;

    if (c->kind == SQLSERVER_VARIANT)
        return write_variant(r, v, err);
    if (!c->may_be_large)
        return sqlserver_row_value(r->writer, v->bytes, v->len, err);
    if (!v->bytes)
        return sqlserver_row_value(r->writer, NULL, 0, err);
    len = get_u64(v->bytes);
    if (len <= SQLSERVER_LARGE)
        return sqlserver_row_value(r->writer, v[1].bytes, v[1].len, err);
    rc = note_large(r, i, len, values, err);
    return rc ? rc : sqlserver_row_large(r->writer, len, err);
}

static enum error_kind take_row(void *arg, const struct sqlserver_value *values, struct error *err)
{
    struct reading *r = arg;
    const struct sqlserver_table *t = r->table;
    enum error_kind rc = (r->rows++ & 255) == 0 ? cancel_check(err) : OK;

    for (size_t i = 0; !rc && i < t->count; i++) {
        rc = write_value(r, i, values, err);
        if (rc)
            error_context(err, "column %s", t->columns[i].name);
    }
    if (!rc && r->id && r->id_fn && values[r->result_of[r->id - t->columns]].bytes)
        rc = r->id_fn(r->id_arg, sqlserver_value_integer(r->id->kind, values[r->result_of[r->id - t->columns]].bytes),
                      err);
    return rc ? rc : sqlserver_row_end(r->writer, err);
}

/* ---- large values ---- */

static enum error_kind append_guid(struct buffer *sql, const unsigned char *bytes, struct error *err)
{
    char hex[33];

    hex_encode(bytes, 16, hex);
    return sqlserver_ddl(sql, err, "CONVERT(uniqueidentifier, 0x%s)", hex);
}

enum error_kind sqlserver_where_key(const struct sqlserver_table *t, const struct sqlserver_value *key,
                                    struct buffer *sql, struct error *err)
{
    const struct sqlserver_column **order = NULL;
    void *memory = NULL;
    size_t count = 0;
    enum error_kind rc = memory_zeroed(t->count, sizeof *order, &memory, err);

    if (rc)
        return rc;
    order = memory;
    count = sqlserver_table_order(t, order);
    for (size_t i = 0; !rc && i < count; i++) {
        rc = sqlserver_ddl(sql, err, "%s%n = ", i ? " AND " : " WHERE ", order[i]->name);
        if (!rc && order[i]->kind == SQLSERVER_UNIQUEIDENTIFIER)
            rc = append_guid(sql, key[i].bytes, err);
        else if (!rc && order[i]->kind <= SQLSERVER_BIGINT)
            rc = sqlserver_ddl(sql, err, "%l", sqlserver_value_integer(order[i]->kind, key[i].bytes));
        else if (!rc)
            rc =
                error_set(err, ERR_CORRUPT, 0, "table %s.%s has a large value without a plain key", t->schema, t->name);
    }
    free(memory);
    return rc;
}

/* The n-th megabyte of a value, by the cheapest way that its type has. */
static enum error_kind append_piece(const struct sqlserver_column *c, uint64_t offset, struct buffer *sql,
                                    struct error *err)
{
    int64_t half = (int64_t)(offset / 2) + 1;
    int64_t from = (int64_t)offset + 1;

    switch (c->kind) {
    case SQLSERVER_NVARCHAR:
        return sqlserver_ddl(sql, err, "CONVERT(varbinary(max), SUBSTRING(%n, %l, %d))", c->name, half,
                             (int)SQLSERVER_LARGE / 2);
    case SQLSERVER_NTEXT:
    case SQLSERVER_XML:
        return sqlserver_ddl(sql, err, "CONVERT(varbinary(max), SUBSTRING(CONVERT(nvarchar(max), %n), %l, %d))",
                             c->name, half, (int)SQLSERVER_LARGE / 2);
    case SQLSERVER_VARCHAR:
    case SQLSERVER_TEXT:
        return sqlserver_ddl(sql, err, "SUBSTRING(CONVERT(varbinary(max), CONVERT(varchar(max), %n)), %l, %d)", c->name,
                             from, (int)SQLSERVER_LARGE);
    case SQLSERVER_VARBINARY:
        return sqlserver_ddl(sql, err, "SUBSTRING(%n, %l, %d)", c->name, from, (int)SQLSERVER_LARGE);
    default:
        return sqlserver_ddl(sql, err, "SUBSTRING(CONVERT(varbinary(max), %n), %l, %d)", c->name, from,
                             (int)SQLSERVER_LARGE);
    }
}

static enum error_kind take_piece(void *arg, const struct sqlserver_value *values, struct error *err)
{
    struct reading *r = arg;

    if (!values[0].bytes || !values[0].len || values[0].len > SQLSERVER_LARGE)
        return error_set(err, ERR_REMOTE, 0, "a large value ended before its end");
    return sqlserver_large_piece(r->writer, values[0].bytes, values[0].len, err);
}

static void decode_key(struct reading *r, const struct large *large, struct sqlserver_value *key)
{
    struct cursor c = cursor_over(large->key, large->key_len);

    for (size_t i = 0; i < r->order_count; i++) {
        key[i].len = sqlserver_column_size(r->order[i]);
        key[i].bytes = cursor_bytes(&c, key[i].len);
    }
}

static enum error_kind read_large(struct reading *r, const struct large *large, struct error *err)
{
    static const struct sqlserver_column piece = {.kind = SQLSERVER_VARBINARY, .max_length = -1, .nullable = true};
    const struct sqlserver_column *c = &r->table->columns[large->column];
    struct buffer key = BUFFER_INIT(64 * 1024);
    struct sqlserver_value *values = NULL;
    void *memory = NULL;
    enum error_kind rc = memory_zeroed(r->order_count, sizeof *values, &memory, err);

    if (rc)
        return rc;
    values = memory;
    decode_key(r, large, values);
    rc = buffer_append(&key, large->key, large->key_len, err);
    if (!rc)
        rc = sqlserver_large_begin(r->writer, large->column, large->len, &key, err);
    for (uint64_t offset = 0; !rc && offset < large->len; offset += SQLSERVER_LARGE) {
        buffer_clear(&r->sql);
        rc = cancel_check(err);
        if (!rc)
            rc = buffer_append_text(&r->sql, "SELECT ", err);
        if (!rc)
            rc = append_piece(c, offset, &r->sql, err);
        if (!rc)
            rc = sqlserver_ddl(&r->sql, err, " FROM %n.%n", r->table->schema, r->table->name);
        if (!rc)
            rc = sqlserver_where_key(r->table, values, &r->sql, err);
        if (!rc)
            rc = sqlserver_link_read(r->link, (char *)r->sql.data, &piece, 1, take_piece, r, err);
    }
    if (!rc)
        rc = sqlserver_large_end(r->writer, err);
    buffer_release(&key);
    free(memory);
    return rc;
}

/* ---- a table ---- */

static enum error_kind prepare(struct reading *r, struct error *err)
{
    void *results = NULL;
    void *result_of = NULL;
    void *order = NULL;
    enum error_kind rc = memory_zeroed(r->table->count * VARIANT_RESULTS, sizeof *r->results, &results, err);

    if (!rc)
        rc = memory_zeroed(r->table->count, sizeof *r->result_of, &result_of, err);
    if (!rc)
        rc = memory_zeroed(r->table->count, sizeof *r->order, &order, err);
    r->results = results;
    r->result_of = result_of;
    r->order = order;
    if (rc)
        return rc;
    r->order_count = sqlserver_table_order(r->table, r->order);
    r->id = sqlserver_table_id(r->table);
    return build(r, err);
}

static void release(struct reading *r)
{
    for (size_t i = 0; i < r->large_count; i++)
        free(r->larges[i].key);
    free(r->larges);
    free(r->results);
    free(r->result_of);
    free(r->order);
    buffer_release(&r->sql);
    buffer_release(&r->variant);
}

enum error_kind sqlserver_table_read(struct sqlserver_link *l, const struct sqlserver_table *t,
                                     struct sqlserver_writer *w, database_id_fn *id, void *id_arg,
                                     struct sqlserver_sum *out, struct error *err)
{
    struct reading r = {.link = l, .table = t, .writer = w, .id_fn = id, .id_arg = id_arg};
    enum error_kind rc;

    r.sql = (struct buffer)BUFFER_INIT(SQL_MAX);
    r.variant = (struct buffer)BUFFER_INIT(SQL_MAX);
    rc = prepare(&r, err);
    if (!rc)
        rc = sqlserver_write_table(w, t, err);
    if (!rc)
        rc = sqlserver_link_read(l, (char *)r.sql.data, r.results, r.result_count, take_row, &r, err);
    for (size_t i = 0; !rc && i < r.large_count; i++)
        rc = read_large(&r, &r.larges[i], err);
    if (!rc)
        rc = sqlserver_write_table_end(w, out, err);
    if (rc)
        error_context(err, "reading table %s.%s", t->schema, t->name);
    release(&r);
    return rc;
}
