/* The row stream of a SQL Server dump: every type to the byte, awkward pieces, truncation, hostile input. */
#include "test_support.h"

#include "sqlserver_stream_internal.h"

enum { STREAM_MAX = 64 * 1024 * 1024 };

static enum error_kind gather(void *arg, const void *bytes, size_t len, struct error *err)
{
    return buffer_append(arg, bytes, len, err);
}

struct input {
    const unsigned char *bytes;
    size_t len;
    size_t step;
};

static enum error_kind feed(void *arg, const void **bytes, size_t *len, struct error *err)
{
    struct input *in = arg;
    size_t n = in->len < in->step ? in->len : in->step;

    (void)err;
    *bytes = in->bytes;
    *len = n;
    in->bytes += n;
    in->len -= n;
    return OK;
}

/* ---- one table with every type ---- */

#define COLUMN(n, t, k, p, s, m)                                                                                 \
    {                                                                                                            \
        .name = (char[]){n}, .type = (char[]){t}, .kind = (k), .nullable = true, .precision = (p), .scale = (s), \
        .max_length = (m)                                                                                        \
    }

static struct sqlserver_column every_type[] = {
    {.name = (char[]){"Id"},
     .type = (char[]){"int"},
     .kind = SQLSERVER_INT,
     .identity = true,
     .max_length = 4,
     .order = 1},
    COLUMN("bit", "bit", SQLSERVER_BIT, 1, 0, 1),
    COLUMN("tinyint", "tinyint", SQLSERVER_TINYINT, 3, 0, 1),
    COLUMN("smallint", "smallint", SQLSERVER_SMALLINT, 5, 0, 2),
    COLUMN("bigint", "bigint", SQLSERVER_BIGINT, 19, 0, 8),
    COLUMN("real", "real", SQLSERVER_REAL, 24, 0, 4),
    COLUMN("float", "float", SQLSERVER_FLOAT, 53, 0, 8),
    COLUMN("smallmoney", "smallmoney", SQLSERVER_SMALLMONEY, 10, 4, 4),
    COLUMN("money", "money", SQLSERVER_MONEY, 19, 4, 8),
    COLUMN("decimal", "decimal(38, 10)", SQLSERVER_DECIMAL, 38, 10, 17),
    COLUMN("small decimal", "decimal(9, 2)", SQLSERVER_DECIMAL, 9, 2, 5),
    COLUMN("date", "date", SQLSERVER_DATE, 10, 0, 3),
    COLUMN("time", "time(7)", SQLSERVER_TIME, 16, 7, 5),
    COLUMN("datetime2", "datetime2(0)", SQLSERVER_DATETIME2, 19, 0, 6),
    COLUMN("datetimeoffset", "datetimeoffset(7)", SQLSERVER_DATETIMEOFFSET, 34, 7, 10),
    COLUMN("datetime", "datetime", SQLSERVER_DATETIME, 23, 3, 8),
    COLUMN("smalldatetime", "smalldatetime", SQLSERVER_SMALLDATETIME, 16, 0, 4),
    COLUMN("uniqueidentifier", "uniqueidentifier", SQLSERVER_UNIQUEIDENTIFIER, 0, 0, 16),
    {.name = (char[]){"varchar"},
     .type = (char[]){"varchar(40)"},
     .kind = SQLSERVER_VARCHAR,
     .nullable = true,
     .max_length = 40,
     .code_page = 1252,
     .collation = (char[]){"Latin1_General_CI_AS"}},
    COLUMN("nvarchar \xf0\x9f\x91\x8d", "nvarchar(max)", SQLSERVER_NVARCHAR, 0, 0, -1),
    {.name = (char[]){"varbinary"},
     .type = (char[]){"varbinary(max)"},
     .kind = SQLSERVER_VARBINARY,
     .nullable = true,
     .may_be_large = true,
     .max_length = -1},
    COLUMN("xml", "xml", SQLSERVER_XML, 0, 0, -1),
    COLUMN("geography", "geography", SQLSERVER_CLR, 0, 0, -1),
    COLUMN("variant", "sql_variant", SQLSERVER_VARIANT, 0, 0, 8016),
};
#define COLUMNS (sizeof every_type / sizeof every_type[0])

static struct sqlserver_table every_type_table = {
    .schema = (char[]){"dbo"}, .name = (char[]){"Every"}, .keyed = true, .columns = every_type, .count = COLUMNS};

/* One value of each column. A lone surrogate, a NaN with a payload, a code page's own byte: nothing of it may change. */
static const struct {
    const char *bytes;
    size_t len;
} values[COLUMNS] = {
    {"\x07\x00\x00\x00", 4},
    {"\x01", 1},
    {"\xff", 1},
    {"\x00\x80", 2},
    {"\x00\x00\x00\x00\x00\x00\x00\x80", 8},
    {"\x01\x00\xc0\x7f", 4},
    {"\x01\x00\x00\x00\x00\x00\xf8\xff", 8},
    {"\xff\xff\xff\x7f", 4},
    {"\xff\xff\xff\xff\xff\xff\xff\xff", 8},
    {"\x00\xff\xff\xff\xff\x3f\x22\x8a\x09\x7a\xc4\x86\x5a\xa8\x4c\x3b\x4b", 17},
    {"\x01\xff\xc9\x9a\x3b", 5},
    {"\xda\xb9\x37", 3},
    {"\xff\xbf\x69\x2a\xc9", 5},
    {"\x00\x00\x00\x00\x00\x00\x00\x00", 8},
    {"\xff\xbf\x69\x2a\xc9\xda\xb9\x37\x48\x03", 10},
    {"\x46\x2e\xff\xff\x01\x00\x00\x00", 8},
    {"\xff\xff\x9f\x05", 4},
    {"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff", 16},
    {"gr\xfc\xdf \x80", 6},
    {"\x3d\xd8\x41\x00\x00\xdc", 6},
    {"\x00\x01\x00", 3},
    {"<\0a\0/\0>\0", 8},
    {"\xe6\x10\x00\x00\x01\x0c", 6},
    {"\x07nvarchar\x00\x00\x00\x08\x00\x00", 0}, /* written by a function of its own */
};

static void append_variant(struct buffer *out)
{
    struct sqlserver_variant v = {.base = "decimal",
                                  .collation = "Latin1_General_CI_AS",
                                  .precision = 38,
                                  .scale = 10,
                                  .max_length = 17,
                                  .bytes = (const unsigned char *)"\x26\x0a\x01",
                                  .len = 3};
    struct error err = ERROR_INIT;

    assert_int_equal(sqlserver_variant_append(out, &v, &err), OK);
}

static void write_value(struct sqlserver_writer *w, size_t i, const struct buffer *variant, struct error *err)
{
    if (i == COLUMNS - 1)
        assert_int_equal(sqlserver_row_value(w, variant->data, variant->len, err), OK);
    else
        assert_int_equal(sqlserver_row_value(w, values[i].bytes, values[i].len, err), OK);
}

/* Three rows: every value, every NULL, every empty value. */
static void write_rows(struct sqlserver_writer *w, struct error *err)
{
    struct buffer variant = BUFFER_INIT(1000);
    size_t i;

    append_variant(&variant);
    for (i = 0; i < COLUMNS; i++)
        write_value(w, i, &variant, err);
    assert_int_equal(sqlserver_row_end(w, err), OK);
    write_value(w, 0, &variant, err);
    for (i = 1; i < COLUMNS; i++)
        assert_int_equal(sqlserver_row_value(w, NULL, 0, err), OK);
    assert_int_equal(sqlserver_row_end(w, err), OK);
    for (i = 0; i < COLUMNS; i++)
        if (sqlserver_column_size(&every_type[i]) || i == COLUMNS - 1)
            write_value(w, i, &variant, err);
        else
            assert_int_equal(sqlserver_row_value(w, "", 0, err), OK);
    assert_int_equal(sqlserver_row_end(w, err), OK);
    buffer_release(&variant);
}

static const char create_table[] = "CREATE TABLE [dbo].[Every] ([Id] int)";
static const char create_view[] = "CREATE VIEW [dbo].[v] AS SELECT 1 AS [\xc3\xa9]";

static void write_statement(struct sqlserver_writer *w, enum sqlserver_phase phase, unsigned flags, const char *sql,
                            struct error *err)
{
    struct sqlserver_statement s = {phase, flags, "dbo.x", sql, strlen(sql)};

    assert_int_equal(sqlserver_write_statement(w, &s, err), OK);
}

enum { LARGE_LEN = 3 * SQLSERVER_LARGE + 1, SHORT_LEN = 10 };

static uint64_t large_len = LARGE_LEN;

static void write_large(struct sqlserver_writer *w, struct error *err)
{
    struct buffer key = BUFFER_INIT(100);
    unsigned char *piece = malloc(SQLSERVER_LARGE);
    size_t i;

    assert_non_null(piece);
    assert_int_equal(sqlserver_key_append(&key, &every_type[0], "\x08\0\0\0", 4, err), OK);
    assert_int_equal(sqlserver_large_begin(w, 20, large_len, &key, err), OK);
    for (i = 0; large_len > SHORT_LEN && i < 3; i++) {
        memset(piece, (int)i, SQLSERVER_LARGE);
        assert_int_equal(sqlserver_large_piece(w, piece, SQLSERVER_LARGE, err), OK);
    }
    assert_int_equal(sqlserver_large_piece(w, "xxxxxxxxxx", large_len > SHORT_LEN ? 1 : SHORT_LEN, err), OK);
    assert_int_equal(sqlserver_large_end(w, err), OK);
    free(piece);
    buffer_release(&key);
}

static void write_large_row(struct sqlserver_writer *w, struct error *err)
{
    size_t i;

    assert_int_equal(sqlserver_row_value(w, "\x08\0\0\0", 4, err), OK);
    for (i = 1; i < COLUMNS; i++)
        assert_int_equal(i == 20 ? sqlserver_row_large(w, large_len, err) : sqlserver_row_value(w, NULL, 0, err), OK);
    assert_int_equal(sqlserver_row_end(w, err), OK);
}

static void write_stream(bool large, struct buffer *out)
{
    const struct sqlserver_table *tables[] = {&every_type_table};
    struct sqlserver_writer *w = NULL;
    struct sqlserver_sum sum;
    struct error err = ERROR_INIT;

    assert_int_equal(sqlserver_writer_new(gather, out, &w, &err), OK);
    assert_int_equal(sqlserver_write_header(w, &err), OK);
    write_statement(w, SQLSERVER_PHASE_TABLES, 3, create_table, &err);
    assert_int_equal(sqlserver_write_table(w, &every_type_table, &err), OK);
    write_rows(w, &err);
    if (large) {
        write_large_row(w, &err);
        write_large(w, &err);
    }
    assert_int_equal(sqlserver_write_table_end(w, &sum, &err), OK);
    assert_true(sum.rows == (large ? 4 : 3));
    assert_true(sum.max_id == (large ? 8 : 7));
    write_statement(w, SQLSERVER_PHASE_MODULES, SQLSERVER_MODULE, create_view, &err);
    assert_int_equal(sqlserver_write_trailer(w, tables, &sum, 1, &err), OK);
    sqlserver_writer_free(w);
}

/* ---- reading ---- */

static enum error_kind read_all(const void *bytes, size_t len, size_t step, struct error *err)
{
    struct input in = {bytes, len, step};
    struct sqlserver_reader *r = NULL;
    struct sqlserver_item item;
    enum error_kind rc;

    assert_int_equal(sqlserver_reader_new(feed, &in, &r, err), OK);
    do
        rc = sqlserver_reader_next(r, &item, err);
    while (!rc && item.kind != SQLSERVER_END);
    sqlserver_reader_free(r);
    return rc;
}

static void next(struct sqlserver_reader *r, enum sqlserver_item_kind kind, struct sqlserver_item *item)
{
    struct error err = ERROR_INIT;

    if (sqlserver_reader_next(r, item, &err) != OK)
        fail_msg("%s", err.text);
    assert_int_equal(item->kind, kind);
}

static void check_value(const struct sqlserver_value *v, const void *bytes, size_t len)
{
    assert_non_null(v->bytes);
    assert_int_equal(v->len, len);
    assert_memory_equal(v->bytes, bytes, len);
}

static void check_columns(const struct sqlserver_table *t)
{
    assert_string_equal(t->schema, "dbo");
    assert_string_equal(t->name, "Every");
    assert_true(t->keyed);
    assert_int_equal(t->count, COLUMNS);
    for (size_t i = 0; i < COLUMNS; i++) {
        const struct sqlserver_column *a = &t->columns[i];
        const struct sqlserver_column *b = &every_type[i];

        assert_string_equal(a->name, b->name);
        assert_string_equal(a->type, b->type);
        assert_int_equal(a->kind, b->kind);
        assert_int_equal(a->nullable, b->nullable);
        assert_int_equal(a->identity, b->identity);
        assert_int_equal(a->precision, b->precision);
        assert_int_equal(a->scale, b->scale);
        assert_int_equal(a->max_length, b->max_length);
        assert_int_equal(a->code_page, b->code_page);
        assert_int_equal(a->order, b->order);
        assert_true(b->collation ? a->collation && strcmp(a->collation, b->collation) == 0 : !a->collation);
    }
}

static void check_rows(struct sqlserver_reader *r, struct sqlserver_item *item)
{
    struct buffer variant = BUFFER_INIT(1000);

    append_variant(&variant);
    next(r, SQLSERVER_ROW, item);
    for (size_t i = 0; i + 1 < COLUMNS; i++)
        check_value(&item->values[i], values[i].bytes, values[i].len);
    check_value(&item->values[COLUMNS - 1], variant.data, variant.len);
    next(r, SQLSERVER_ROW, item);
    for (size_t i = 1; i < COLUMNS; i++)
        assert_null(item->values[i].bytes);
    next(r, SQLSERVER_ROW, item);
    for (size_t i = 18; i + 1 < COLUMNS; i++)
        check_value(&item->values[i], "", 0);
    buffer_release(&variant);
}

static void stream__brings_every_type_back_to_the_byte(void **state)
{
    static const size_t steps[] = {1, 2, 3, 7, 64, 4096, STREAM_MAX};

    (void)state;
    for (size_t s = 0; s < sizeof steps / sizeof steps[0]; s++) {
        struct buffer stream = BUFFER_INIT(STREAM_MAX);
        struct input in = {NULL, 0, steps[s]};
        struct sqlserver_reader *r = NULL;
        struct sqlserver_item item;
        struct error err = ERROR_INIT;

        write_stream(false, &stream);
        in.bytes = stream.data;
        in.len = stream.len;
        assert_int_equal(sqlserver_reader_new(feed, &in, &r, &err), OK);
        next(r, SQLSERVER_STATEMENT, &item);
        assert_int_equal(item.statement.phase, SQLSERVER_PHASE_TABLES);
        assert_int_equal(item.statement.flags, SQLSERVER_ANSI_NULLS | SQLSERVER_QUOTED_IDENTIFIER);
        assert_string_equal(item.statement.sql, create_table);
        next(r, SQLSERVER_TABLE, &item);
        check_columns(item.table);
        check_rows(r, &item);
        next(r, SQLSERVER_TABLE_END, &item);
        assert_true(item.sum.rows == 3 && item.sum.max_id == 7);
        next(r, SQLSERVER_STATEMENT, &item);
        assert_string_equal(item.statement.sql, create_view);
        assert_int_equal(item.statement.flags, SQLSERVER_MODULE);
        next(r, SQLSERVER_END, &item);
        next(r, SQLSERVER_END, &item);
        sqlserver_reader_free(r);
        buffer_release(&stream);
    }
}

static void stream__a_large_value_comes_in_pieces_behind_the_rows(void **state)
{
    struct buffer stream = BUFFER_INIT(STREAM_MAX);
    struct input in = {NULL, 0, 100000};
    struct sqlserver_reader *r = NULL;
    struct sqlserver_item item;
    struct error err = ERROR_INIT;
    size_t got = 0;

    (void)state;
    write_stream(true, &stream);
    in.bytes = stream.data;
    in.len = stream.len;
    assert_int_equal(sqlserver_reader_new(feed, &in, &r, &err), OK);
    next(r, SQLSERVER_STATEMENT, &item);
    next(r, SQLSERVER_TABLE, &item);
    check_rows(r, &item);
    next(r, SQLSERVER_ROW, &item);
    assert_true(item.values[20].large);
    assert_true(item.values[20].large_len == LARGE_LEN);
    next(r, SQLSERVER_LARGE_BEGIN, &item);
    assert_int_equal(item.column, 20);
    assert_true(item.total == LARGE_LEN);
    assert_int_equal(item.count, 1);
    check_value(&item.values[0], "\x08\0\0\0", 4);
    while (got < LARGE_LEN) {
        next(r, SQLSERVER_PIECE, &item);
        assert_int_equal(item.bytes[item.len - 1], got + item.len == LARGE_LEN ? 'x' : (int)(got / SQLSERVER_LARGE));
        got += item.len;
    }
    next(r, SQLSERVER_TABLE_END, &item);
    sqlserver_reader_free(r);
    buffer_release(&stream);
}

static void reader__every_truncation_is_damage(void **state)
{
    struct buffer stream = BUFFER_INIT(STREAM_MAX);

    (void)state;
    write_stream(false, &stream);
    for (size_t len = 0; len < stream.len; len++) {
        struct error err = ERROR_INIT;

        assert_int_equal(read_all(stream.data, len, 100, &err), ERR_CORRUPT);
    }
    buffer_release(&stream);
}

static void reader__a_changed_byte_never_passes(void **state)
{
    struct buffer stream = BUFFER_INIT(STREAM_MAX);

    (void)state;
    write_stream(false, &stream);
    for (size_t i = 0; i < stream.len; i++) {
        struct error err = ERROR_INIT;

        stream.data[i] ^= 0x55;
        if (read_all(stream.data, stream.len, 100, &err) == OK)
            fail_msg("byte %zu of %zu", i, stream.len);
        stream.data[i] ^= 0x55;
    }
    buffer_release(&stream);
}

static void reader__a_claimed_length_takes_no_memory(void **state)
{
    static const unsigned char lie[] = "NSSQLDMP\x01\x00\x00\x00R\xff\xff\xff\xff\x03";
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(read_all(lie, sizeof lie - 1, 5, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "ends in the middle"));
}

static void reader__refuses_another_format(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(read_all("NSSQLDMP\x02\x00\x00\x00", 12, 12, &err), ERR_REFUSED);
    error_clear(&err);
    assert_int_equal(read_all("NSSQLDUMP\x01\x00\x00", 12, 12, &err), ERR_CORRUPT);
}

static void reader__bytes_behind_the_trailer_are_damage(void **state)
{
    struct buffer stream = BUFFER_INIT(STREAM_MAX);
    struct error err = ERROR_INIT;

    (void)state;
    write_stream(false, &stream);
    assert_int_equal(buffer_append(&stream, "x", 1, &err), OK);
    assert_int_equal(read_all(stream.data, stream.len, 100, &err), ERR_CORRUPT);
    buffer_release(&stream);
}

static void sum_of(const int *ids, size_t count, struct sqlserver_sum *out)
{
    struct sqlserver_column column = {
        .name = (char[]){"Id"}, .type = (char[]){"int"}, .kind = SQLSERVER_INT, .max_length = 4};
    struct sqlserver_table t = {.schema = (char[]){"dbo"}, .name = (char[]){"t"}, .columns = &column, .count = 1};
    struct buffer stream = BUFFER_INIT(STREAM_MAX);
    struct sqlserver_writer *w = NULL;
    struct error err = ERROR_INIT;

    assert_int_equal(sqlserver_writer_new(gather, &stream, &w, &err), OK);
    assert_int_equal(sqlserver_write_table(w, &t, &err), OK);
    for (size_t i = 0; i < count; i++) {
        unsigned char bytes[4];

        put_u32(bytes, (uint32_t)ids[i]);
        assert_int_equal(sqlserver_row_value(w, bytes, 4, &err), OK);
        assert_int_equal(sqlserver_row_end(w, &err), OK);
    }
    assert_int_equal(sqlserver_write_table_end(w, out, &err), OK);
    sqlserver_writer_free(w);
    buffer_release(&stream);
}

static void digest__is_of_the_rows_not_of_their_order(void **state)
{
    struct sqlserver_sum a;
    struct sqlserver_sum b;
    struct sqlserver_sum c;

    (void)state;
    sum_of((int[]){1, -2, 3, 3}, 4, &a);
    sum_of((int[]){3, 1, 3, -2}, 4, &b);
    sum_of((int[]){3, 1, 1, -2}, 4, &c);
    assert_memory_equal(a.digest, b.digest, HASH_LEN);
    assert_true(memcmp(a.digest, c.digest, HASH_LEN) != 0);
    assert_true(a.max_id == 3 && b.max_id == 3);
    sum_of((int[]){-5}, 1, &a);
    assert_true(a.max_id == -5);
    sum_of(NULL, 0, &a);
    assert_true(a.max_id == -1 && a.rows == 0);
}

static void writer__a_value_of_the_wrong_length_is_refused(void **state)
{
    struct buffer stream = BUFFER_INIT(STREAM_MAX);
    struct sqlserver_writer *w = NULL;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(sqlserver_writer_new(gather, &stream, &w, &err), OK);
    assert_int_equal(sqlserver_write_table(w, &every_type_table, &err), OK);
    assert_int_equal(sqlserver_row_value(w, "\x01", 1, &err), ERR_REMOTE);
    assert_non_null(strstr(err.text, "column Id has 1 bytes instead of 4"));
    sqlserver_writer_free(w);
    buffer_release(&stream);
}

/* With a file's name: write down a stream to begin the fuzzer's corpus with. */
static int write_seed(const char *path)
{
    struct buffer stream = BUFFER_INIT(STREAM_MAX);
    FILE *f = fopen(path, "we");
    bool done;

    if (!f)
        return 1;
    large_len = SHORT_LEN;
    write_stream(true, &stream);
    done = fwrite(stream.data, 1, stream.len, f) == stream.len;
    buffer_release(&stream);
    return fclose(f) == 0 && done ? 0 : 1;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream__brings_every_type_back_to_the_byte),
        cmocka_unit_test(stream__a_large_value_comes_in_pieces_behind_the_rows),
        cmocka_unit_test(reader__every_truncation_is_damage),
        cmocka_unit_test(reader__a_changed_byte_never_passes),
        cmocka_unit_test(reader__a_claimed_length_takes_no_memory),
        cmocka_unit_test(reader__refuses_another_format),
        cmocka_unit_test(reader__bytes_behind_the_trailer_are_damage),
        cmocka_unit_test(digest__is_of_the_rows_not_of_their_order),
        cmocka_unit_test(writer__a_value_of_the_wrong_length_is_refused),
    };

    if (argc == 2)
        return write_seed(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
