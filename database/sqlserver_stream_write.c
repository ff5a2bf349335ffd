/* The row stream's writer. Bytes are gathered and handed on in pieces of about OUT_SIZE; where those end means nothing. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "sqlserver_stream_internal.h"

enum { OUT_SIZE = 256 * 1024, VARINT_MAX = 10 };

struct sqlserver_writer {
    database_sink_fn *sink;
    void *arg;
    struct buffer out;
    struct buffer row;
    const struct sqlserver_table *table;
    const struct sqlserver_column *id;
    size_t column; /* the next one of the row */
    struct sqlserver_sum sum;
    unsigned char shape[HASH_LEN]; /* of statements and tables */
    struct hash_stream *large;
    uint64_t large_left;
};

enum error_kind sqlserver_writer_new(database_sink_fn *sink, void *arg, struct sqlserver_writer **out,
                                     struct error *err)
{
    void *memory = NULL;
    struct sqlserver_writer *w;
    enum error_kind rc = memory_zeroed(1, sizeof *w, &memory, err);

    if (rc)
        return rc;
    w = memory;
    w->sink = sink;
    w->arg = arg;
    w->out = (struct buffer)BUFFER_INIT(2 * (size_t)SQLSERVER_ROW_MAX);
    w->row = (struct buffer)BUFFER_INIT(SQLSERVER_ROW_MAX);
    rc = hash_stream_new(0, &w->large, err);
    if (rc) {
        sqlserver_writer_free(w);
        return rc;
    }
    *out = w;
    return OK;
}

void sqlserver_writer_free(struct sqlserver_writer *w)
{
    if (!w)
        return;
    hash_stream_free(w->large);
    buffer_release(&w->out);
    buffer_release(&w->row);
    free(w);
}

/* ---- items ---- */

static size_t put_varint(unsigned char out[VARINT_MAX], uint64_t v)
{
    size_t n = 0;

    while (v > 0x7f) {
        out[n++] = (unsigned char)(v | 0x80);
        v >>= 7;
    }
    out[n++] = (unsigned char)v;
    return n;
}

enum error_kind sqlserver_writer_flush(struct sqlserver_writer *w, struct error *err)
{
    enum error_kind rc = w->out.len ? w->sink(w->arg, w->out.data, w->out.len, err) : OK;

    buffer_clear(&w->out);
    if (w->out.cap > 4 * OUT_SIZE) /* one large row must not hold its memory for the rest of the dump */
        buffer_release(&w->out);
    return rc;
}

enum error_kind sqlserver_writer_raw(struct sqlserver_writer *w, const void *bytes, size_t len, struct error *err)
{
    enum error_kind rc = sqlserver_writer_flush(w, err);

    return rc ? rc : w->sink(w->arg, bytes, len, err);
}

const unsigned char *sqlserver_writer_shape(const struct sqlserver_writer *w)
{
    return w->shape;
}

void sqlserver_writer_add_shape(struct sqlserver_writer *w, const unsigned char *shape)
{
    struct hash h;

    memcpy(h.bytes, shape, sizeof h.bytes);
    sqlserver_digest_add(w->shape, &h);
}

static enum error_kind item(struct sqlserver_writer *w, char kind, const void *bytes, size_t len, struct error *err)
{
    unsigned char head[1 + VARINT_MAX] = {(unsigned char)kind};
    size_t head_len = 1 + put_varint(head + 1, len);
    enum error_kind rc = OK;

    if (w->out.len && w->out.len + len > OUT_SIZE)
        rc = sqlserver_writer_flush(w, err);
    if (!rc)
        rc = buffer_append(&w->out, head, head_len, err);
    if (!rc && len > OUT_SIZE) { /* what is long need not be copied */
        rc = sqlserver_writer_flush(w, err);
        return rc ? rc : w->sink(w->arg, bytes, len, err);
    }
    return rc ? rc : buffer_append(&w->out, bytes, len, err);
}

/* What is no row is summed up for the trailer, each with its kind. */
static enum error_kind shape_item(struct sqlserver_writer *w, char kind, const struct buffer *b, struct error *err)
{
    struct hash h;

    hash_of((unsigned char)kind, b->data, b->len, &h);
    sqlserver_digest_add(w->shape, &h);
    return item(w, kind, b->data, b->len, err);
}

static enum error_kind append_text(struct buffer *b, const char *text, struct error *err)
{
    size_t len = text ? strlen(text) : 0;
    enum error_kind rc;

    if (len > UINT16_MAX)
        return error_set(err, ERR_REMOTE, 0, "a name of %zu bytes", len);
    rc = buffer_append_u16(b, (uint16_t)len, err);
    return rc || !len ? rc : buffer_append(b, text, len, err);
}

enum error_kind sqlserver_write_header(struct sqlserver_writer *w, struct error *err)
{
    static const unsigned char header[12] = {'N', 'S', 'S', 'Q', 'L', 'D', 'M', 'P', SQLSERVER_STREAM_FORMAT};

    return buffer_append(&w->out, header, sizeof header, err);
}

enum error_kind sqlserver_write_statement(struct sqlserver_writer *w, const struct sqlserver_statement *s,
                                          struct error *err)
{
    struct buffer b = BUFFER_INIT(SQLSERVER_STATEMENT_MAX);
    enum error_kind rc = buffer_append_u8(&b, (uint8_t)s->phase, err);

    if (!rc && (!s->len || memchr(s->sql, 0, s->len))) /* no reader would take it */
        rc = error_set(err, ERR_REMOTE, 0, "the server gives a definition that is empty or torn");
    if (!rc)
        rc = buffer_append_u8(&b, (uint8_t)s->flags, err);
    if (!rc)
        rc = append_text(&b, s->name, err);
    if (!rc)
        rc = buffer_append(&b, s->sql, s->len, err);
    if (!rc)
        rc = shape_item(w, 'S', &b, err);
    if (rc)
        error_context(err, "writing down %s", s->name);
    buffer_release(&b);
    return rc;
}

/* ---- a table ---- */

static enum error_kind append_column(struct buffer *b, const struct sqlserver_column *c, struct error *err)
{
    unsigned flags =
        (c->nullable ? 1U : 0) | (c->identity ? 2U : 0) | (c->descending ? 4U : 0) | (c->may_be_large ? 8U : 0);
    enum error_kind rc = append_text(b, c->name, err);

    if (!rc)
        rc = append_text(b, c->type, err);
    if (!rc)
        rc = buffer_append_u8(b, (uint8_t)c->kind, err);
    if (!rc)
        rc = buffer_append_u8(b, (uint8_t)flags, err);
    if (!rc)
        rc = buffer_append_u8(b, c->precision, err);
    if (!rc)
        rc = buffer_append_u8(b, c->scale, err);
    if (!rc)
        rc = buffer_append_u16(b, (uint16_t)c->max_length, err);
    if (!rc)
        rc = buffer_append_u16(b, c->code_page, err);
    if (!rc)
        rc = append_text(b, c->collation, err);
    return rc ? rc : buffer_append_u16(b, c->order, err);
}

static enum error_kind begin_row(struct sqlserver_writer *w, struct error *err)
{
    size_t bitmap = (w->table->count + 7) / 8;
    enum error_kind rc;

    w->column = 0;
    buffer_clear(&w->row);
    rc = buffer_reserve(&w->row, bitmap, err);
    if (!rc) {
        memset(w->row.data, 0, bitmap);
        w->row.len = bitmap;
    }
    return rc;
}

enum error_kind sqlserver_write_table(struct sqlserver_writer *w, const struct sqlserver_table *t, struct error *err)
{
    struct buffer b = BUFFER_INIT(SQLSERVER_TABLE_MAX);
    enum error_kind rc;

    assert(t->count && t->count <= SQLSERVER_COLUMNS_MAX);
    rc = append_text(&b, t->schema, err);
    if (!rc)
        rc = append_text(&b, t->name, err);
    if (!rc)
        rc = buffer_append_u8(&b, t->keyed, err);
    if (!rc)
        rc = buffer_append_u16(&b, (uint16_t)t->count, err);
    for (size_t i = 0; !rc && i < t->count; i++)
        rc = append_column(&b, &t->columns[i], err);
    if (!rc)
        rc = shape_item(w, 'T', &b, err);
    buffer_release(&b);
    w->table = t;
    w->id = sqlserver_table_id(t);
    w->sum = (struct sqlserver_sum){.max_id = -1};
    return rc ? rc : begin_row(w, err);
}

enum error_kind sqlserver_key_append(struct buffer *key, const struct sqlserver_column *c, const void *bytes,
                                     size_t len, struct error *err)
{
    size_t size = sqlserver_column_size(c);
    unsigned char head[VARINT_MAX];
    enum error_kind rc;

    if (size && len != size)
        return error_set(err, ERR_REMOTE, 0, "a value of column %s has %zu bytes instead of %zu", c->name, len, size);
    if (size)
        return buffer_append(key, bytes, len, err);
    rc = buffer_append(key, head, put_varint(head, (uint64_t)len << 1), err);
    return rc ? rc : buffer_append(key, bytes, len, err);
}

enum error_kind sqlserver_row_value(struct sqlserver_writer *w, const void *bytes, size_t len, struct error *err)
{
    const struct sqlserver_column *c;
    int64_t id;

    assert(w->table && w->column < w->table->count);
    c = &w->table->columns[w->column++];
    if (!bytes) {
        w->row.data[(w->column - 1) / 8] |= (unsigned char)(1U << ((w->column - 1) % 8));
        return OK;
    }
    if (c == w->id && len == sqlserver_column_size(c)) {
        id = sqlserver_value_integer(c->kind, bytes);
        if (!w->sum.rows || id > w->sum.max_id)
            w->sum.max_id = id;
    }
    return sqlserver_key_append(&w->row, c, bytes, len, err);
}

enum error_kind sqlserver_row_large(struct sqlserver_writer *w, uint64_t len, struct error *err)
{
    unsigned char head[VARINT_MAX];

    assert(w->table->keyed && w->column < w->table->count && !sqlserver_column_size(&w->table->columns[w->column]));
    w->column++;
    return buffer_append(&w->row, head, put_varint(head, len << 1 | 1), err);
}

enum error_kind sqlserver_row_end(struct sqlserver_writer *w, struct error *err)
{
    struct hash h;
    enum error_kind rc;

    assert(w->column == w->table->count);
    hash_of(0, w->row.data, w->row.len, &h);
    sqlserver_digest_add(w->sum.digest, &h);
    w->sum.rows++;
    rc = item(w, 'R', w->row.data, w->row.len, err);
    if (w->row.cap > 4 * OUT_SIZE)
        buffer_release(&w->row);
    return rc ? rc : begin_row(w, err);
}

/* ---- large values ---- */

enum error_kind sqlserver_large_begin(struct sqlserver_writer *w, size_t column, uint64_t len, const struct buffer *key,
                                      struct error *err)
{
    struct buffer b = BUFFER_INIT(SQLSERVER_TABLE_MAX);
    enum error_kind rc = buffer_append_u16(&b, (uint16_t)column, err);

    if (!rc)
        rc = buffer_append_u64(&b, len, err);
    if (!rc)
        rc = buffer_append(&b, key->data, key->len, err);
    if (!rc) {
        hash_stream_reset(w->large, 0);
        hash_stream_update(w->large, b.data, b.len);
        w->large_left = len;
        rc = item(w, 'L', b.data, b.len, err);
    }
    buffer_release(&b);
    return rc;
}

enum error_kind sqlserver_large_piece(struct sqlserver_writer *w, const void *bytes, size_t len, struct error *err)
{
    assert(len && len <= SQLSERVER_LARGE);
    if (len > w->large_left)
        return error_set(err, ERR_REMOTE, 0, "a large value of table %s is longer than it was", w->table->name);
    w->large_left -= len;
    hash_stream_update(w->large, bytes, len);
    return item(w, 'P', bytes, len, err);
}

enum error_kind sqlserver_large_end(struct sqlserver_writer *w, struct error *err)
{
    struct hash h;

    if (w->large_left)
        return error_set(err, ERR_REMOTE, 0, "a large value of table %s is shorter than it was", w->table->name);
    hash_stream_end(w->large, &h);
    sqlserver_digest_add(w->sum.digest, &h);
    return OK;
}

/* ---- ends ---- */

enum error_kind sqlserver_write_table_end(struct sqlserver_writer *w, struct sqlserver_sum *out, struct error *err)
{
    unsigned char end[16 + HASH_LEN];

    put_u64(end, w->sum.rows);
    put_u64(end + 8, (uint64_t)w->sum.max_id);
    memcpy(end + 16, w->sum.digest, HASH_LEN);
    *out = w->sum;
    w->table = NULL;
    return item(w, 'E', end, sizeof end, err);
}

enum error_kind sqlserver_write_trailer(struct sqlserver_writer *w, const struct sqlserver_table *const *tables,
                                        const struct sqlserver_sum *sums, size_t count, struct error *err)
{
    struct buffer b = BUFFER_INIT(SQLSERVER_STATEMENT_MAX);
    enum error_kind rc = buffer_append(&b, w->shape, HASH_LEN, err);

    if (!rc)
        rc = buffer_append_u32(&b, (uint32_t)count, err);
    for (size_t i = 0; !rc && i < count; i++) {
        rc = append_text(&b, tables[i]->schema, err);
        if (!rc)
            rc = append_text(&b, tables[i]->name, err);
        if (!rc)
            rc = buffer_append_u64(&b, sums[i].rows, err);
        if (!rc)
            rc = buffer_append(&b, sums[i].digest, HASH_LEN, err);
    }
    if (!rc)
        rc = item(w, 'Z', b.data, b.len, err);
    buffer_release(&b);
    return rc ? rc : sqlserver_writer_flush(w, err);
}
