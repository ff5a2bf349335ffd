/* The row stream of a SQL Server dump: whatever the bytes, a reader stays in bounds; what it accepts has one way to be written. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "sqlserver_stream_internal.h"

struct input {
    const uint8_t *bytes;
    size_t len;
    size_t step;
};

static void must(int condition)
{
    if (!condition)
        abort();
}

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

static enum error_kind gather(void *arg, const void *bytes, size_t len, struct error *err)
{
    return buffer_append(arg, bytes, len, err);
}

static void write_row(struct sqlserver_writer *w, const struct sqlserver_item *item, struct error *err)
{
    for (size_t i = 0; i < item->count; i++) {
        const struct sqlserver_value *v = &item->values[i];

        must(v->large || !v->bytes || v->len <= SQLSERVER_ROW_MAX);
        must((v->large ? sqlserver_row_large(w, v->large_len, err) : sqlserver_row_value(w, v->bytes, v->len, err)) ==
             OK);
    }
    must(sqlserver_row_end(w, err) == OK);
}

static void begin_large(struct sqlserver_writer *w, const struct sqlserver_item *item, struct error *err)
{
    const struct sqlserver_column **order = calloc(item->table->count, sizeof *order);
    struct buffer key = BUFFER_INIT(SQLSERVER_TABLE_MAX);
    size_t n;

    must(order != NULL);
    n = sqlserver_table_order(item->table, order);
    must(n == item->count);
    for (size_t i = 0; i < n; i++)
        must(sqlserver_key_append(&key, order[i], item->values[i].bytes, item->values[i].len, err) == OK);
    must(sqlserver_large_begin(w, item->column, item->total, &key, err) == OK);
    buffer_release(&key);
    free(order);
}

/* Write down what was read. left: of the current large value. */
static void write_again(struct sqlserver_writer *w, const struct sqlserver_item *item, uint64_t *left,
                        struct error *err)
{
    struct sqlserver_sum sum;

    switch (item->kind) {
    case SQLSERVER_STATEMENT:
        must(sqlserver_write_statement(w, &item->statement, err) == OK);
        break;
    case SQLSERVER_TABLE:
        must(sqlserver_write_table(w, item->table, err) == OK);
        break;
    case SQLSERVER_ROW:
        write_row(w, item, err);
        break;
    case SQLSERVER_LARGE_BEGIN:
        begin_large(w, item, err);
        *left = item->total;
        break;
    case SQLSERVER_PIECE:
        must(sqlserver_large_piece(w, item->bytes, item->len, err) == OK);
        *left -= item->len;
        if (!*left)
            must(sqlserver_large_end(w, err) == OK);
        break;
    case SQLSERVER_TABLE_END:
        must(sqlserver_write_table_end(w, &sum, err) == OK);
        must(sum.rows == item->sum.rows && sum.max_id == item->sum.max_id &&
             memcmp(sum.digest, item->sum.digest, HASH_LEN) == 0);
        break;
    case SQLSERVER_END:
        break;
    }
}

static void write_trailer(struct sqlserver_writer *w, const struct sqlserver_reader *r, struct error *err)
{
    size_t count = sqlserver_reader_tables(r);
    const struct sqlserver_table **tables = calloc(count + 1, sizeof *tables);
    struct sqlserver_sum *sums = calloc(count + 1, sizeof *sums);

    must(tables && sums);
    for (size_t i = 0; i < count; i++) {
        const struct sqlserver_sum *sum = NULL;

        tables[i] = sqlserver_reader_table(r, i, &sum);
        sums[i] = *sum;
    }
    must(sqlserver_write_trailer(w, tables, sums, count, err) == OK);
    free(tables);
    free(sums);
}

static void read_whole(const uint8_t *bytes, size_t len, size_t step)
{
    struct input in = {bytes, len, step};
    struct buffer again = BUFFER_INIT((size_t)1 << 30);
    struct sqlserver_reader *r = NULL;
    struct sqlserver_writer *w = NULL;
    struct error err = ERROR_INIT;
    struct sqlserver_item item = {.kind = SQLSERVER_STATEMENT};
    uint64_t left = 0;
    enum error_kind rc;

    must(sqlserver_reader_new(feed, &in, &r, &err) == OK);
    must(sqlserver_writer_new(gather, &again, &w, &err) == OK);
    must(sqlserver_write_header(w, &err) == OK);
    do {
        rc = sqlserver_reader_next(r, &item, &err);
        if (!rc)
            write_again(w, &item, &left, &err);
    } while (!rc && item.kind != SQLSERVER_END);
    if (!rc) {
        write_trailer(w, r, &err);
        must(again.len == len && memcmp(again.data, bytes, len) == 0);
    }
    sqlserver_writer_free(w);
    sqlserver_reader_free(r);
    buffer_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    read_whole(bytes, len, len ? len : 1);
    if (len < 4096)
        read_whole(bytes, len, 1);
    return 0;
}
