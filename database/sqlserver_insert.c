/*
 * Rows into a table. What the bulk protocol of FreeTDS carries goes straight in; xml, CLR types, sql_variant and text of another code page
 * than the database's go into a staging table of types that it carries, and from there by INSERT ... SELECT. A large value is put together
 * in the staging table piece by piece and then set.
 */
#include <errno.h>
#include <iconv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sqlserver_logical_internal.h"

enum { SQL_MAX = 16 * 1024 * 1024, VARIANT_COLUMNS = 7, UTF8_CODE_PAGE = 65001 };

enum stage { STAGE_DIRECT, STAGE_XML, STAGE_CLR, STAGE_VARIANT, STAGE_CODE_PAGE };

struct sqlserver_insert {
    struct sqlserver_link *link;
    const struct sqlserver_table *table;
    unsigned code_page;
    bool staged;
    bool rows_open;
    struct buffer name; /* the table's, quoted */
    struct buffer sql;
    struct sqlserver_column *columns; /* of the bulk operation */
    struct sqlserver_value *values;
    size_t count;
    struct buffer *texts; /* one for each column: text in another form */
    size_t large_column;
    uint64_t large_left;
    int64_t pieces;
    struct buffer where;
};

#define STAGING "[dbo].[" SQLSERVER_STAGING "]"

static enum stage stage_of(const struct sqlserver_insert *in, const struct sqlserver_column *c)
{
    switch (c->kind) {
    case SQLSERVER_XML:
        return STAGE_XML;
    case SQLSERVER_CLR:
        return STAGE_CLR;
    case SQLSERVER_VARIANT:
        return STAGE_VARIANT;
    case SQLSERVER_CHAR:
    case SQLSERVER_VARCHAR:
    case SQLSERVER_TEXT:
        return c->code_page == in->code_page ? STAGE_DIRECT : STAGE_CODE_PAGE;
    default:
        return STAGE_DIRECT;
    }
}

/* ---- the bulk operation's columns ---- */

static void add_column(struct sqlserver_insert *in, enum sqlserver_kind kind, int16_t max_length,
                       const struct sqlserver_column *of)
{
    in->columns[in->count++] = (struct sqlserver_column){
        .name = of->name, .type = of->type, .kind = kind, .nullable = true, .max_length = max_length};
}

static void add_variant(struct sqlserver_insert *in, const struct sqlserver_column *c)
{
    add_column(in, SQLSERVER_VARCHAR, 128, c);
    add_column(in, SQLSERVER_INT, 4, c);
    add_column(in, SQLSERVER_INT, 4, c);
    add_column(in, SQLSERVER_INT, 4, c);
    add_column(in, SQLSERVER_VARCHAR, 128, c);
    add_column(in, SQLSERVER_VARBINARY, 8000, c);
    add_column(in, SQLSERVER_FLOAT, 8, c);
}

static void choose_columns(struct sqlserver_insert *in)
{
    for (size_t i = 0; i < in->table->count; i++) {
        const struct sqlserver_column *c = &in->table->columns[i];

        switch (stage_of(in, c)) {
        case STAGE_DIRECT:
            in->columns[in->count++] = *c;
            continue;
        case STAGE_XML:
        case STAGE_CODE_PAGE:
            add_column(in, SQLSERVER_NVARCHAR, -1, c);
            break;
        case STAGE_CLR:
            add_column(in, SQLSERVER_VARBINARY, -1, c);
            break;
        case STAGE_VARIANT:
            add_variant(in, c);
            break;
        }
        in->staged = true;
    }
    for (size_t i = 0; in->staged && i < in->count; i++)
        in->columns[i].name = NULL; /* the staging table's columns have names of their own, in the same order */
}

/* Columns are called c0, c1 and so on, those of a variant c0_1 to c0_7. */
static enum error_kind append_variant_columns(struct buffer *sql, size_t i, struct error *err)
{
    static const char *const types[VARIANT_COLUMNS] = {"varchar(128)",    "int",  "int", "int", "varchar(128)",
                                                       "varbinary(8000)", "float"};
    enum error_kind rc = OK;

    for (size_t k = 0; !rc && k < VARIANT_COLUMNS; k++)
        rc = sqlserver_ddl(sql, err, "%sc%d_%d %s NULL", k ? ", " : "", (int)i, (int)k + 1, types[k]);
    return rc;
}

static enum error_kind create_staging(struct sqlserver_insert *in, struct error *err)
{
    enum error_kind rc = buffer_append_text(&in->sql, "CREATE TABLE " STAGING " (", err);

    for (size_t i = 0; !rc && i < in->table->count; i++) {
        const struct sqlserver_column *c = &in->table->columns[i];

        if (i)
            rc = buffer_append_text(&in->sql, ", ", err);
        if (rc)
            break;
        switch (stage_of(in, c)) {
        case STAGE_DIRECT:
            rc = sqlserver_ddl(&in->sql, err, "c%d %s NULL", (int)i, c->type);
            break;
        case STAGE_XML:
        case STAGE_CODE_PAGE:
            rc = sqlserver_ddl(&in->sql, err, "c%d nvarchar(max) NULL", (int)i);
            break;
        case STAGE_CLR:
            rc = sqlserver_ddl(&in->sql, err, "c%d varbinary(max) NULL", (int)i);
            break;
        case STAGE_VARIANT:
            rc = append_variant_columns(&in->sql, i, err);
            break;
        }
    }
    if (!rc)
        rc = buffer_append_text(&in->sql, ")", err);
    return rc ? rc : sqlserver_link_run(in->link, (char *)in->sql.data, NULL, NULL, err);
}

static enum error_kind allocate(struct sqlserver_insert *in, struct error *err)
{
    size_t most = in->table->count * VARIANT_COLUMNS;
    void *columns = NULL;
    void *values = NULL;
    void *texts = NULL;
    enum error_kind rc = memory_zeroed(most, sizeof *in->columns, &columns, err);

    if (!rc)
        rc = memory_zeroed(most, sizeof *in->values, &values, err);
    if (!rc)
        rc = memory_zeroed(in->table->count, sizeof *in->texts, &texts, err);
    in->columns = columns;
    in->values = values;
    in->texts = texts;
    for (size_t i = 0; !rc && i < in->table->count; i++)
        in->texts[i] = (struct buffer)BUFFER_INIT(2 * (size_t)SQLSERVER_ROW_MAX);
    return rc;
}

enum error_kind sqlserver_insert_begin(struct sqlserver_link *l, const struct sqlserver_table *t, unsigned code_page,
                                       struct sqlserver_insert **out, struct error *err)
{
    struct sqlserver_insert *in = NULL;
    void *memory = NULL;
    enum error_kind rc = memory_zeroed(1, sizeof *in, &memory, err);

    if (rc)
        return rc;
    in = memory;
    in->link = l;
    in->table = t;
    in->code_page = code_page;
    in->name = in->sql = in->where = (struct buffer)BUFFER_INIT(SQL_MAX);
    rc = allocate(in, err);
    if (!rc)
        rc = sqlserver_ddl_object(&in->name, t->schema, t->name, err);
    if (!rc)
        choose_columns(in);
    if (!rc && in->staged)
        rc = create_staging(in, err);
    if (!rc)
        rc = sqlserver_bulk_begin(l, in->staged ? STAGING : (char *)in->name.data, in->columns, in->count, err);
    if (rc) {
        error_context(err, "loading table %s.%s", t->schema, t->name);
        sqlserver_insert_discard(in);
        return rc;
    }
    in->rows_open = true;
    *out = in;
    return OK;
}

void sqlserver_insert_discard(struct sqlserver_insert *in)
{
    if (!in)
        return;
    for (size_t i = 0; in->texts && i < in->table->count; i++)
        buffer_release(&in->texts[i]);
    free(in->texts);
    free(in->columns);
    free(in->values);
    buffer_release(&in->name);
    buffer_release(&in->sql);
    buffer_release(&in->where);
    free(in);
}

/* ---- rows ---- */

/* Bytes of a code page as UTF-16LE. What the code page does not define can't have come from it. */
static enum error_kind to_utf16(struct buffer *out, unsigned code_page, const struct sqlserver_value *v,
                                struct error *err)
{
    char name[24];
    char *from = (char *)(uintptr_t)v->bytes;
    size_t left = v->len;
    iconv_t convert;
    enum error_kind rc;

    snprintf(name, sizeof name, code_page == UTF8_CODE_PAGE ? "UTF-8" : "CP%u", code_page);
    convert = iconv_open("UTF-16LE", name);
    if (convert == (iconv_t)-1)
        return error_set(err, ERR_REFUSED, errno, "text of code page %u is not understood here", code_page);
    buffer_clear(out);
    rc = buffer_reserve(out, 2 * v->len + 16, err);
    if (!rc) {
        char *to = (char *)out->data;
        size_t room = out->cap;

        if (iconv(convert, &from, &left, &to, &room) == (size_t)-1)
            rc = error_set(err, ERR_REFUSED, errno, "bytes that code page %u does not define", code_page);
        out->len = (size_t)(to - (char *)out->data);
    }
    iconv_close(convert);
    return rc;
}

static void put_number(struct buffer *room, size_t k, uint32_t n, struct sqlserver_value *out)
{
    put_u32(room->data + 4 * k, n);
    *out = (struct sqlserver_value){.bytes = room->data + 4 * k, .len = 4};
}

/* v: the value as in the row; out: seven values. The variant's names and bytes are borrowed from `room`. */
static enum error_kind split_variant(const struct sqlserver_value *v, struct buffer *room, struct sqlserver_value *out,
                                     struct error *err)
{
    struct sqlserver_variant variant;
    size_t base_len;
    size_t collation_len;
    bool is_float;
    enum error_kind rc;

    memset(out, 0, VARIANT_COLUMNS * sizeof *out);
    if (!v->bytes)
        return OK;
    rc = sqlserver_variant_decode(v->bytes, v->len, &variant, err);
    if (rc)
        return rc;
    base_len = strlen(variant.base);
    collation_len = strlen(variant.collation);
    buffer_clear(room);
    rc = buffer_reserve(room, 12 + base_len + collation_len, err);
    if (rc)
        return rc;
    put_number(room, 0, variant.precision, &out[1]);
    put_number(room, 1, variant.scale, &out[2]);
    put_number(room, 2, (uint32_t)(int32_t)variant.max_length, &out[3]);
    memcpy(room->data + 12, variant.base, base_len);
    memcpy(room->data + 12 + base_len, variant.collation, collation_len);
    out[0] = (struct sqlserver_value){.bytes = room->data + 12, .len = base_len};
    if (collation_len)
        out[4] = (struct sqlserver_value){.bytes = room->data + 12 + base_len, .len = collation_len};
    is_float = strcmp(variant.base, "float") == 0 || strcmp(variant.base, "real") == 0;
    if (is_float && variant.len != 8)
        return error_set(err, ERR_CORRUPT, 0, "a sql_variant of type %s has %zu bytes", variant.base, variant.len);
    out[is_float ? 6 : 5] = (struct sqlserver_value){.bytes = variant.bytes, .len = variant.len};
    return OK;
}

enum error_kind sqlserver_insert_row(struct sqlserver_insert *in, const struct sqlserver_value *values,
                                     struct error *err)
{
    size_t n = 0;
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < in->table->count; i++) {
        const struct sqlserver_column *c = &in->table->columns[i];
        enum stage stage = stage_of(in, c);

        if (stage == STAGE_VARIANT) {
            rc = split_variant(&values[i], &in->texts[i], &in->values[n], err);
            n += VARIANT_COLUMNS;
            continue;
        }
        in->values[n] = values[i];
        if (values[i].large) /* set behind the rows; until then it is there and empty */
            in->values[n] = (struct sqlserver_value){.bytes = (const unsigned char *)"", .len = 0};
        else if (stage == STAGE_CODE_PAGE && values[i].bytes) {
            rc = to_utf16(&in->texts[i], c->code_page, &values[i], err);
            in->values[n] = (struct sqlserver_value){.bytes = in->texts[i].data, .len = in->texts[i].len};
        }
        n++;
    }
    if (!rc)
        rc = sqlserver_bulk_row(in->link, in->values, err);
    if (rc)
        error_context(err, "loading table %s.%s", in->table->schema, in->table->name);
    return rc;
}

/* ---- out of the staging table ---- */

struct variants {
    struct buffer *sql;
    size_t column;
};

static bool is_one_of(const char *base, const char *list)
{
    size_t len = strlen(base);

    while (*list) {
        size_t word = strcspn(list, " ");

        if (word == len && memcmp(list, base, len) == 0)
            return true;
        list += word + (list[word] == ' ');
    }
    return false;
}

/* The type that a variant's bytes are turned into. Names come out of a dump: only what is known goes into a statement (P11). */
static enum error_kind append_variant_type(struct buffer *sql, const char *base, int64_t precision, int64_t scale,
                                           int64_t max_length, struct error *err)
{
    if (is_one_of(base, "decimal numeric"))
        return sqlserver_ddl(sql, err, "%s(%l, %l)", base, precision, scale);
    if (is_one_of(base, "time datetime2 datetimeoffset"))
        return sqlserver_ddl(sql, err, "%s(%l)", base, scale);
    if (is_one_of(base, "nchar nvarchar"))
        return sqlserver_ddl(sql, err, "%s(%l)", base, max_length / 2 > 0 ? max_length / 2 : 1);
    if (is_one_of(base, "char varchar binary varbinary"))
        return sqlserver_ddl(sql, err, "%s(%l)", base, max_length > 0 ? max_length : 1);
    if (is_one_of(base, "bit tinyint smallint int bigint real float smallmoney money date datetime smalldatetime "
                        "uniqueidentifier"))
        return buffer_append_text(sql, base, err);
    return error_set(err, ERR_REFUSED, 0, "a sql_variant of a type that is not understood: %s", base);
}

static bool is_plain_word(const char *text)
{
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == strlen(text);
}

static enum error_kind take_variant(void *arg, const struct database_row *row, struct error *err)
{
    struct variants *v = arg;
    const char *base = row->values[0] ? row->values[0] : "";
    const char *collation = row->values[4];
    int c = (int)v->column;
    int64_t numbers[3];
    bool is_float = is_one_of(base, "float real");
    enum error_kind rc;

    if (!row->values[0])
        return OK;
    for (size_t i = 0; i < 3; i++)
        numbers[i] = row->values[i + 1] ? strtoll(row->values[i + 1], NULL, 10) : 0;
    if (collation && !is_plain_word(collation))
        return error_set(err, ERR_CORRUPT, 0, "a collation that can't be: %s", collation);
    rc = sqlserver_ddl(v->sql, err,
                       " WHEN c%d_1 = %t AND c%d_2 = %l AND c%d_3 = %l AND c%d_4 = %l AND ISNULL(c%d_5, N'') = %t THEN "
                       "CAST(CAST(c%d_%d AS ",
                       c, base, c, numbers[0], c, numbers[1], c, numbers[2], c, collation ? collation : "", c,
                       is_float ? 7 : 6);
    if (!rc)
        rc = append_variant_type(v->sql, base, numbers[0], numbers[1], numbers[2], err);
    if (!rc)
        rc = buffer_append_text(v->sql, ")", err);
    if (!rc && collation)
        rc = sqlserver_ddl(v->sql, err, " COLLATE %s", collation);
    return rc ? rc : buffer_append_text(v->sql, " AS sql_variant)", err);
}

/* A type in CAST is part of the statement's text: one branch for each that there is. */
static enum error_kind append_variant(struct sqlserver_insert *in, size_t i, struct error *err)
{
    struct buffer query = BUFFER_INIT(4096);
    struct buffer branches = BUFFER_INIT(SQL_MAX);
    struct variants v = {.sql = &branches, .column = i};
    int c = (int)i;
    enum error_kind rc;

    rc = sqlserver_ddl(&query, err,
                       "SELECT DISTINCT c%d_1, c%d_2, c%d_3, c%d_4, c%d_5 FROM " STAGING " ORDER BY 1, 2, 3, 4, 5", c,
                       c, c, c, c);
    if (!rc)
        rc = sqlserver_link_run(in->link, (char *)query.data, take_variant, &v, err);
    if (!rc && branches.len)
        rc = sqlserver_ddl(&in->sql, err, "CASE%s END", (char *)branches.data);
    else if (!rc)
        rc = buffer_append_text(&in->sql, "CAST(NULL AS sql_variant)", err);
    buffer_release(&query);
    buffer_release(&branches);
    return rc;
}

static enum error_kind append_out(struct sqlserver_insert *in, size_t i, struct error *err)
{
    const struct sqlserver_column *c = &in->table->columns[i];

    switch (stage_of(in, c)) {
    case STAGE_XML: /* style 1 keeps the white space that the server kept */
        return sqlserver_ddl(&in->sql, err, "CONVERT(%s, c%d, 1)", c->type, (int)i);
    case STAGE_CLR:
        return sqlserver_ddl(&in->sql, err, "CONVERT(%s, c%d)", c->type, (int)i);
    case STAGE_VARIANT:
        return append_variant(in, i, err);
    default:
        return sqlserver_ddl(&in->sql, err, "c%d", (int)i);
    }
}

static bool has_identity(const struct sqlserver_table *t)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->columns[i].identity)
            return true;
    return false;
}

static enum error_kind drop_staging(struct sqlserver_insert *in, struct error *err)
{
    return sqlserver_link_run(in->link, "DROP TABLE " STAGING, NULL, NULL, err);
}

static enum error_kind move_out(struct sqlserver_insert *in, struct error *err)
{
    const struct sqlserver_table *t = in->table;
    bool identity = has_identity(t);
    enum error_kind rc = OK;

    buffer_clear(&in->sql);
    if (identity)
        rc = sqlserver_ddl(&in->sql, err, "SET IDENTITY_INSERT %s ON; ", (char *)in->name.data);
    if (!rc)
        rc = sqlserver_ddl(&in->sql, err, "INSERT INTO %s (", (char *)in->name.data);
    for (size_t i = 0; !rc && i < t->count; i++)
        rc = sqlserver_ddl(&in->sql, err, "%s%n", i ? ", " : "", t->columns[i].name);
    if (!rc)
        rc = buffer_append_text(&in->sql, ") SELECT ", err);
    for (size_t i = 0; !rc && i < t->count; i++) {
        if (i)
            rc = buffer_append_text(&in->sql, ", ", err);
        if (!rc)
            rc = append_out(in, i, err);
    }
    if (!rc)
        rc = buffer_append_text(&in->sql, " FROM " STAGING, err);
    if (!rc && identity)
        rc = sqlserver_ddl(&in->sql, err, "; SET IDENTITY_INSERT %s OFF", (char *)in->name.data);
    if (!rc)
        rc = sqlserver_link_run(in->link, (char *)in->sql.data, NULL, NULL, err);
    return rc ? rc : drop_staging(in, err);
}

static enum error_kind end_rows(struct sqlserver_insert *in, struct error *err)
{
    enum error_kind rc;

    if (!in->rows_open)
        return OK;
    in->rows_open = false;
    rc = sqlserver_bulk_end(in->link, err);
    return rc || !in->staged ? rc : move_out(in, err);
}

/* ---- large values ---- */

enum error_kind sqlserver_insert_large(struct sqlserver_insert *in, size_t column, uint64_t total,
                                       const struct sqlserver_value *key, struct error *err)
{
    enum error_kind rc = end_rows(in, err);

    in->large_column = column;
    in->large_left = total;
    in->pieces = 0;
    buffer_clear(&in->where);
    if (!rc)
        rc = sqlserver_where_key(in->table, key, &in->where, err);
    if (!rc)
        rc = sqlserver_link_run(in->link,
                                "CREATE TABLE " STAGING
                                " (n int NOT NULL, data varbinary(max) NOT NULL); INSERT INTO " STAGING
                                " (n, data) VALUES (0, 0x)",
                                NULL, NULL, err);
    if (rc)
        error_context(err, "loading a large value of table %s.%s", in->table->schema, in->table->name);
    return rc;
}

/* Every piece is appended to row 0 at once, so that what lies in the database twice is one piece and not the whole. */
static enum error_kind append_to_whole(struct sqlserver_insert *in, struct error *err)
{
    return sqlserver_link_run(in->link,
                              "UPDATE " STAGING " SET data.WRITE((SELECT p.data FROM " STAGING
                              " p WHERE p.n = 1), NULL, NULL) WHERE n = 0; DELETE FROM " STAGING " WHERE n = 1",
                              NULL, NULL, err);
}

static enum error_kind set_value(struct sqlserver_insert *in, struct error *err)
{
    const struct sqlserver_column *c = &in->table->columns[in->large_column];
    const char *value = "data";
    enum error_kind rc;

    if (c->kind == SQLSERVER_XML || c->kind == SQLSERVER_NTEXT || c->kind == SQLSERVER_NVARCHAR)
        value = "CONVERT(nvarchar(max), data)";
    else if (c->kind == SQLSERVER_TEXT || c->kind == SQLSERVER_VARCHAR)
        value = "CONVERT(varchar(max), data)";
    buffer_clear(&in->sql);
    rc = sqlserver_ddl(&in->sql, err, "UPDATE %s SET %n = (SELECT CONVERT(%s, %s%s) FROM " STAGING " WHERE n = 0)%s",
                       (char *)in->name.data, c->name,
                       c->kind == SQLSERVER_TEXT    ? "varchar(max)"
                       : c->kind == SQLSERVER_NTEXT ? "nvarchar(max)"
                       : c->kind == SQLSERVER_IMAGE ? "varbinary(max)"
                                                    : c->type,
                       value, c->kind == SQLSERVER_XML ? ", 1" : "", (char *)in->where.data);
    if (!rc)
        rc = sqlserver_link_run(in->link, (char *)in->sql.data, NULL, NULL, err);
    return rc ? rc : drop_staging(in, err);
}

enum error_kind sqlserver_insert_piece(struct sqlserver_insert *in, const void *bytes, size_t len, struct error *err)
{
    const struct sqlserver_column columns[] = {
        {.name = (char[]){"n"}, .type = (char[]){"int"}, .kind = SQLSERVER_INT, .max_length = 4},
        {.name = (char[]){"data"}, .type = (char[]){"varbinary(max)"}, .kind = SQLSERVER_VARBINARY, .max_length = -1}};
    unsigned char one[4] = {1};
    struct sqlserver_value values[] = {{.bytes = one, .len = 4}, {.bytes = bytes, .len = len}};
    enum error_kind rc;

    rc = sqlserver_bulk_begin(in->link, STAGING, columns, 2, err);
    if (!rc)
        rc = sqlserver_bulk_row(in->link, values, err);
    if (!rc)
        rc = sqlserver_bulk_end(in->link, err);
    if (!rc)
        rc = append_to_whole(in, err);
    in->large_left -= len;
    if (!rc && !in->large_left)
        rc = set_value(in, err);
    if (rc)
        error_context(err, "loading a large value of table %s.%s", in->table->schema, in->table->name);
    return rc;
}

enum error_kind sqlserver_insert_end(struct sqlserver_insert *in, struct error *err)
{
    enum error_kind rc = end_rows(in, err);

    if (rc)
        error_context(err, "loading table %s.%s", in->table->schema, in->table->name);
    sqlserver_insert_discard(in);
    return rc;
}
