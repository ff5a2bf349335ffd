/*
 * The row stream's reader. An item is handed out where it lies in the source's bytes if it is whole there, and else gathered first: memory
 * grows with the bytes that really came, never with what a length says (P11).
 */
#include <stdlib.h>
#include <string.h>

#include "sqlserver_stream_internal.h"

enum { HEADER_SIZE = 12, TABLES_MAX = 1000000, END_SIZE = 16 + HASH_LEN };

struct table_read {
    struct sqlserver_table table;
    struct sqlserver_sum sum;
};

struct sqlserver_reader {
    database_source_fn *source;
    void *arg;
    const unsigned char *at; /* what is left of the source's last bytes */
    size_t left;
    bool ended;
    bool begun;    /* the header was read */
    bool complete; /* the trailer was read */
    struct buffer gathered;
    struct buffer text; /* a statement, with its NUL */
    char *name;
    struct table_read **tables; /* each stays where it is */
    size_t count;
    size_t cap;
    bool in_table;
    bool rows_over; /* a large value was begun: no more rows */
    enum sqlserver_phase phase;
    struct sqlserver_value *values;
    size_t values_cap;
    const struct sqlserver_column **order; /* of the current table */
    size_t order_count;
    uint64_t large_open; /* values that rows said are large and that have not come yet */
    uint64_t piece_left;
    struct hash_stream *hash;
    struct sqlserver_sum sum;
    unsigned char shape[HASH_LEN]; /* of statements and tables */
};

enum error_kind sqlserver_reader_new(database_source_fn *source, void *arg, struct sqlserver_reader **out,
                                     struct error *err)
{
    void *memory = NULL;
    struct sqlserver_reader *r;
    enum error_kind rc = memory_zeroed(1, sizeof *r, &memory, err);

    if (rc)
        return rc;
    r = memory;
    r->source = source;
    r->arg = arg;
    r->gathered = (struct buffer)BUFFER_INIT(SQLSERVER_ROW_MAX);
    r->text = (struct buffer)BUFFER_INIT(SQLSERVER_STATEMENT_MAX);
    rc = hash_stream_new(0, &r->hash, err);
    if (rc) {
        sqlserver_reader_free(r);
        return rc;
    }
    *out = r;
    return OK;
}

void sqlserver_reader_free(struct sqlserver_reader *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->count; i++) {
        sqlserver_table_release(&r->tables[i]->table);
        free(r->tables[i]);
    }
    free(r->tables);
    free(r->values);
    free(r->order);
    free(r->name);
    hash_stream_free(r->hash);
    buffer_release(&r->gathered);
    buffer_release(&r->text);
    free(r);
}

size_t sqlserver_reader_tables(const struct sqlserver_reader *r)
{
    return r->count;
}

const struct sqlserver_table *sqlserver_reader_table(const struct sqlserver_reader *r, size_t i,
                                                     const struct sqlserver_sum **sum)
{
    if (sum)
        *sum = &r->tables[i]->sum;
    return &r->tables[i]->table;
}

static enum error_kind corrupt(struct error *err, const char *what)
{
    return error_set(err, ERR_CORRUPT, 0, "the SQL Server dump is damaged: %s", what);
}

/* ---- bytes ---- */

static enum error_kind more(struct sqlserver_reader *r, struct error *err)
{
    const void *bytes = NULL;
    size_t len = 0;
    enum error_kind rc = OK;

    if (r->left || r->ended)
        return OK;
    rc = r->source(r->arg, &bytes, &len, err);
    if (rc)
        return rc;
    r->at = bytes;
    r->left = len;
    r->ended = len == 0;
    return OK;
}

static enum error_kind take(struct sqlserver_reader *r, size_t len, const unsigned char **out, struct error *err)
{
    enum error_kind rc = more(r, err);

    if (rc)
        return rc;
    if (r->left >= len) {
        *out = r->at;
        r->at += len;
        r->left -= len;
        return OK;
    }
    if (r->gathered.cap > 4 * SQLSERVER_LARGE)
        buffer_release(&r->gathered);
    buffer_clear(&r->gathered);
    while (!rc && r->gathered.len < len) {
        size_t piece = len - r->gathered.len;

        rc = more(r, err);
        if (!rc && r->ended)
            return corrupt(err, "it ends in the middle");
        if (piece > r->left)
            piece = r->left;
        if (!rc)
            rc = buffer_append(&r->gathered, r->at, piece, err);
        r->at += piece;
        r->left -= piece;
    }
    *out = r->gathered.data;
    return rc;
}

/* Shortest form only: there is one way to write a number. */
static enum error_kind take_varint(struct sqlserver_reader *r, uint64_t *out, struct error *err)
{
    const unsigned char *p = NULL;
    uint64_t v = 0;
    enum error_kind rc;

    for (unsigned shift = 0;; shift += 7) {
        rc = take(r, 1, &p, err);
        if (rc)
            return rc;
        if (shift > 63 || (shift == 63 && *p > 1) || (shift && !*p))
            return corrupt(err, "a malformed length");
        v |= (uint64_t)(*p & 0x7f) << shift;
        if (!(*p & 0x80))
            break;
    }
    *out = v;
    return OK;
}

static uint64_t cursor_varint(struct cursor *c)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift <= 63; shift += 7) {
        uint8_t byte = cursor_u8(c);

        if (c->bad || (shift == 63 && byte > 1) || (shift && !byte))
            break;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return v;
    }
    c->bad = 1;
    return 0;
}

static enum error_kind cursor_text(struct cursor *c, char **out, struct error *err)
{
    size_t len = cursor_u16(c);
    const unsigned char *bytes = cursor_bytes(c, len);
    void *memory = NULL;
    enum error_kind rc;

    if (!bytes || (len && memchr(bytes, 0, len)))
        return corrupt(err, "a malformed name");
    rc = memory_allocate(len + 1, &memory, err);
    if (rc)
        return rc;
    if (len)
        memcpy(memory, bytes, len);
    ((char *)memory)[len] = '\0';
    *out = memory;
    return OK;
}

/* ---- tables ---- */

static bool column_is_sound(const struct sqlserver_column *c)
{
    if (c->kind < SQLSERVER_BIT || c->kind > SQLSERVER_VARIANT || !c->name[0] || !c->type[0])
        return false;
    if (c->kind == SQLSERVER_DECIMAL && (c->precision < 1 || c->precision > 38 || c->scale > c->precision))
        return false;
    if (c->kind >= SQLSERVER_TIME && c->kind <= SQLSERVER_DATETIMEOFFSET && c->scale > 7)
        return false;
    return c->max_length >= -1 && !(c->may_be_large && sqlserver_column_size(c));
}

static enum error_kind read_column(struct cursor *c, struct sqlserver_column *out, struct error *err)
{
    unsigned flags;
    enum error_kind rc = cursor_text(c, &out->name, err);

    if (!rc)
        rc = cursor_text(c, &out->type, err);
    if (rc)
        return rc;
    out->kind = (enum sqlserver_kind)cursor_u8(c);
    flags = cursor_u8(c);
    out->nullable = flags & 1;
    out->identity = flags & 2;
    out->descending = flags & 4;
    out->may_be_large = flags & 8;
    out->precision = cursor_u8(c);
    out->scale = cursor_u8(c);
    out->max_length = (int16_t)cursor_u16(c);
    out->code_page = cursor_u16(c);
    rc = cursor_text(c, &out->collation, err);
    if (rc)
        return rc;
    out->order = cursor_u16(c);
    if (!out->collation[0]) {
        free(out->collation);
        out->collation = NULL;
    }
    return c->bad || flags > 15 || !column_is_sound(out) ? corrupt(err, "a malformed column") : OK;
}

/* Every position from 1 stands at one column; values of a key are small. */
static enum error_kind check_order(struct sqlserver_reader *r, const struct sqlserver_table *t, struct error *err)
{
    void *memory = NULL;
    enum error_kind rc = memory_zeroed(t->count, sizeof *r->order, &memory, err);

    if (rc)
        return rc;
    free(r->order);
    r->order = memory;
    r->order_count = 0;
    for (size_t i = 0; i < t->count; i++) {
        const struct sqlserver_column *c = &t->columns[i];

        if (!c->order)
            continue;
        if (c->order > t->count || r->order[c->order - 1])
            return corrupt(err, "a malformed ordering");
        r->order[c->order - 1] = c;
        r->order_count++;
    }
    for (size_t i = 0; i < r->order_count; i++)
        if (!r->order[i])
            return corrupt(err, "a gap in an ordering");
    return t->keyed && !r->order_count ? corrupt(err, "a key without columns") : OK;
}

static enum error_kind decode_table(struct sqlserver_reader *r, struct cursor *c, struct sqlserver_table *t,
                                    struct error *err)
{
    unsigned keyed = 0;
    size_t count = 0;
    void *memory = NULL;
    enum error_kind rc = cursor_text(c, &t->schema, err);

    if (!rc)
        rc = cursor_text(c, &t->name, err);
    if (rc)
        return rc;
    keyed = cursor_u8(c);
    count = cursor_u16(c);
    if (c->bad || keyed > 1 || !count || count > SQLSERVER_COLUMNS_MAX || !t->schema[0] || !t->name[0])
        return corrupt(err, "a malformed table");
    t->keyed = keyed;
    rc = memory_zeroed(count, sizeof *t->columns, &memory, err);
    if (rc)
        return rc;
    t->columns = memory;
    for (t->count = 0; !rc && t->count < count;) /* also a column that failed is released */
        rc = read_column(c, &t->columns[t->count++], err);
    if (!rc && cursor_left(c))
        rc = corrupt(err, "bytes behind a table's columns");
    return rc ? rc : check_order(r, t, err);
}

static enum error_kind add_table(struct sqlserver_reader *r, struct table_read *read, struct error *err)
{
    void *grown;

    if (r->count == TABLES_MAX)
        return corrupt(err, "too many tables");
    if (r->count == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 64;

        grown = realloc(r->tables, cap * sizeof *r->tables);
        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory");
        r->tables = grown;
        r->cap = cap;
    }
    r->tables[r->count++] = read;
    return OK;
}

static enum error_kind read_table(struct sqlserver_reader *r, struct cursor *c, struct sqlserver_item *out,
                                  struct error *err)
{
    struct table_read *read = NULL;
    void *memory = NULL;
    enum error_kind rc;

    if (r->in_table || r->phase > SQLSERVER_PHASE_TABLES)
        return corrupt(err, "a table in the wrong place");
    rc = memory_zeroed(1, sizeof *read, &memory, err);
    if (rc)
        return rc;
    read = memory;
    rc = decode_table(r, c, &read->table, err);
    if (!rc && read->table.count > r->values_cap) {
        void *grown = realloc(r->values, read->table.count * sizeof *r->values);

        if (!grown)
            rc = error_set(err, ERR_MEMORY, 0, "out of memory");
        else {
            r->values = grown;
            r->values_cap = read->table.count;
        }
    }
    if (!rc)
        rc = add_table(r, read, err);
    if (rc) {
        sqlserver_table_release(&read->table);
        free(read);
        return rc;
    }
    r->in_table = true;
    r->rows_over = false;
    r->large_open = 0;
    r->sum = (struct sqlserver_sum){.max_id = -1};
    out->kind = SQLSERVER_TABLE;
    return OK;
}

/* ---- values ---- */

enum { DAYS_MAX = 3652058, OFFSET_MAX = 14 * 60 };
#define TICKS_MAX 864000000000ULL /* a peer that rounds 23:59:59.9999999 up says 24:00:00 */

static uint32_t get_u24(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
}

static bool time_is_sound(const unsigned char *p)
{
    return (get_u32(p) | (uint64_t)p[4] << 32) <= TICKS_MAX;
}

static bool value_is_sound(const struct sqlserver_column *c, const unsigned char *p, size_t len)
{
    int offset;

    switch (c->kind) {
    case SQLSERVER_BIT:
    case SQLSERVER_DECIMAL:
        return p[0] <= 1;
    case SQLSERVER_DATE:
        return get_u24(p) <= DAYS_MAX;
    case SQLSERVER_TIME:
        return time_is_sound(p);
    case SQLSERVER_DATETIME2:
        return time_is_sound(p) && get_u24(p + 5) <= DAYS_MAX;
    case SQLSERVER_DATETIMEOFFSET:
        offset = (int16_t)get_u16(p + 8);
        return time_is_sound(p) && get_u24(p + 5) <= DAYS_MAX && offset <= OFFSET_MAX && offset >= -OFFSET_MAX;
    case SQLSERVER_NCHAR:
    case SQLSERVER_NVARCHAR:
    case SQLSERVER_NTEXT:
    case SQLSERVER_XML:
        return len % 2 == 0;
    default:
        return true;
    }
}

static enum error_kind read_value(struct sqlserver_reader *r, struct cursor *c, const struct sqlserver_column *column,
                                  bool may_be_large, struct sqlserver_value *out, struct error *err)
{
    size_t len = sqlserver_column_size(column);
    struct sqlserver_variant variant;

    *out = (struct sqlserver_value){0};
    if (!len) {
        uint64_t head = cursor_varint(c);

        if (head & 1) {
            out->large = true;
            out->large_len = head >> 1;
            r->large_open++;
            return !may_be_large || column->order ? corrupt(err, "a large value where none can be") : OK;
        }
        if (head >> 1 > cursor_left(c))
            return corrupt(err, "a value that is longer than its row");
        len = (size_t)(head >> 1);
    }
    out->bytes = cursor_bytes(c, len);
    out->len = len;
    if (!out->bytes || !value_is_sound(column, out->bytes, len))
        return corrupt(err, "a malformed value");
    return column->kind == SQLSERVER_VARIANT ? sqlserver_variant_decode(out->bytes, len, &variant, err) : OK;
}

static bool bits_behind_are_zero(const unsigned char *bitmap, size_t count)
{
    return count % 8 == 0 || bitmap[count / 8] >> (count % 8) == 0;
}

static enum error_kind read_row(struct sqlserver_reader *r, struct cursor *c, struct sqlserver_item *out,
                                struct error *err)
{
    const struct sqlserver_table *t = out->table;
    const struct sqlserver_column *id;
    const unsigned char *bitmap;
    struct hash h;
    enum error_kind rc = OK;

    if (!r->in_table || !t || r->rows_over)
        return corrupt(err, "a row in the wrong place");
    id = sqlserver_table_id(t);
    hash_of(0, c->at, cursor_left(c), &h);
    bitmap = cursor_bytes(c, (t->count + 7) / 8);
    if (!bitmap || !bits_behind_are_zero(bitmap, t->count))
        return corrupt(err, "a malformed row");
    for (size_t i = 0; !rc && i < t->count; i++) {
        bool null = bitmap[i / 8] >> (i % 8) & 1;

        r->values[i] = (struct sqlserver_value){0};
        if (null && !t->columns[i].nullable)
            return corrupt(err, "a NULL where none can be");
        if (!null)
            rc = read_value(r, c, &t->columns[i], t->keyed && t->columns[i].may_be_large, &r->values[i], err);
        if (!rc && !null && &t->columns[i] == id) {
            int64_t value = sqlserver_value_integer(id->kind, r->values[i].bytes);

            if (!r->sum.rows || value > r->sum.max_id)
                r->sum.max_id = value;
        }
    }
    if (rc)
        return rc;
    if (cursor_left(c))
        return corrupt(err, "bytes behind a row");
    sqlserver_digest_add(r->sum.digest, &h);
    r->sum.rows++;
    out->kind = SQLSERVER_ROW;
    out->values = r->values;
    out->count = t->count;
    return OK;
}

/* ---- large values ---- */

static enum error_kind read_large(struct sqlserver_reader *r, struct cursor *c, struct sqlserver_item *out,
                                  struct error *err)
{
    const struct sqlserver_table *t = out->table;
    enum error_kind rc = OK;

    if (!r->in_table || !t || r->piece_left || !r->large_open || !t->keyed)
        return corrupt(err, "a large value in the wrong place");
    hash_stream_reset(r->hash, 0);
    hash_stream_update(r->hash, c->at, cursor_left(c));
    out->column = cursor_u16(c);
    out->total = cursor_u64(c);
    if (c->bad || !out->total || out->column >= t->count || !t->columns[out->column].may_be_large)
        return corrupt(err, "a malformed large value");
    for (size_t i = 0; !rc && i < r->order_count; i++)
        rc = read_value(r, c, r->order[i], false, &r->values[i], err);
    if (!rc && cursor_left(c))
        rc = corrupt(err, "bytes behind a key");
    r->large_open--;
    r->piece_left = out->total;
    r->rows_over = true;
    out->kind = SQLSERVER_LARGE_BEGIN;
    out->values = r->values;
    out->count = r->order_count;
    return rc;
}

static enum error_kind read_piece(struct sqlserver_reader *r, struct cursor *c, struct sqlserver_item *out,
                                  struct error *err)
{
    struct hash h;

    out->kind = SQLSERVER_PIECE;
    out->len = cursor_left(c);
    out->bytes = c->at;
    if (!out->len || out->len > r->piece_left)
        return corrupt(err, "a piece that belongs to nothing");
    r->piece_left -= out->len;
    hash_stream_update(r->hash, out->bytes, out->len);
    if (r->piece_left)
        return OK;
    hash_stream_end(r->hash, &h);
    sqlserver_digest_add(r->sum.digest, &h);
    return OK;
}

/* ---- ends ---- */

static enum error_kind read_table_end(struct sqlserver_reader *r, struct cursor *c, struct sqlserver_item *out,
                                      struct error *err)
{
    const unsigned char *digest;

    if (!r->in_table || !out->table || r->piece_left || r->large_open)
        return corrupt(err, "a table that ends too early");
    out->sum.rows = cursor_u64(c);
    out->sum.max_id = (int64_t)cursor_u64(c);
    digest = cursor_bytes(c, HASH_LEN);
    if (!digest || cursor_left(c))
        return corrupt(err, "a malformed end of a table");
    memcpy(out->sum.digest, digest, HASH_LEN);
    if (out->sum.rows != r->sum.rows || out->sum.max_id != r->sum.max_id ||
        memcmp(digest, r->sum.digest, HASH_LEN) != 0)
        return error_set(err, ERR_CORRUPT, 0, "the SQL Server dump is damaged: table %s.%s is not what its digest says",
                         out->table->schema, out->table->name);
    r->in_table = false;
    r->tables[r->count - 1]->sum = r->sum;
    out->kind = SQLSERVER_TABLE_END;
    return OK;
}

static bool trailer_names(struct cursor *c, const char *text)
{
    size_t len = cursor_u16(c);
    const unsigned char *bytes = cursor_bytes(c, len);

    return bytes && len == strlen(text) && memcmp(bytes, text, len) == 0;
}

static enum error_kind read_trailer(struct sqlserver_reader *r, struct cursor *c, struct sqlserver_item *out,
                                    struct error *err)
{
    const unsigned char *shape = cursor_bytes(c, HASH_LEN);
    enum error_kind rc;

    if (!shape || memcmp(shape, r->shape, HASH_LEN) != 0)
        return corrupt(err, "its statements or tables are not what its trailer says");
    if (r->in_table || cursor_u32(c) != r->count)
        return corrupt(err, "its trailer speaks of other tables");
    for (size_t i = 0; i < r->count; i++) {
        const struct table_read *t = r->tables[i];
        bool same = trailer_names(c, t->table.schema) && trailer_names(c, t->table.name);
        uint64_t rows = cursor_u64(c);
        const unsigned char *digest = cursor_bytes(c, HASH_LEN);

        if (!same || !digest || rows != t->sum.rows || memcmp(digest, t->sum.digest, HASH_LEN) != 0)
            return corrupt(err, "its trailer does not fit its tables");
    }
    if (cursor_left(c))
        return corrupt(err, "bytes within its trailer");
    rc = more(r, err);
    if (!rc && !r->ended)
        rc = corrupt(err, "bytes behind its trailer");
    r->complete = !rc;
    out->kind = SQLSERVER_END;
    return rc;
}

static enum error_kind read_statement(struct sqlserver_reader *r, struct cursor *c, struct sqlserver_item *out,
                                      struct error *err)
{
    struct sqlserver_statement *s = &out->statement;
    enum error_kind rc;

    s->phase = (enum sqlserver_phase)cursor_u8(c);
    s->flags = cursor_u8(c);
    if (c->bad || r->in_table || s->phase < SQLSERVER_PHASE_DATABASE || s->phase > SQLSERVER_PHASE_PROPERTIES ||
        s->phase < r->phase || s->flags > SQLSERVER_FLAGS || (r->count && s->phase <= SQLSERVER_PHASE_TABLES))
        return corrupt(err, "a statement in the wrong place");
    r->phase = s->phase;
    free(r->name);
    r->name = NULL;
    rc = cursor_text(c, &r->name, err);
    if (rc)
        return rc;
    s->len = cursor_left(c);
    if (!s->len || memchr(c->at, 0, s->len))
        return corrupt(err, "a malformed statement");
    if (r->text.cap > 4 * SQLSERVER_LARGE)
        buffer_release(&r->text);
    buffer_clear(&r->text);
    rc = buffer_append(&r->text, c->at, s->len, err);
    s->name = r->name;
    s->sql = (char *)r->text.data;
    out->kind = SQLSERVER_STATEMENT;
    return rc;
}

/* ---- items ---- */

static enum error_kind read_header(struct sqlserver_reader *r, struct error *err)
{
    const unsigned char *p = NULL;
    enum error_kind rc = take(r, HEADER_SIZE, &p, err);

    if (rc)
        return rc;
    if (memcmp(p, "NSSQLDMP", 8) != 0 || get_u16(p + 10) != 0)
        return corrupt(err, "it does not begin like one");
    if (get_u16(p + 8) != SQLSERVER_STREAM_FORMAT) {
        rc = error_set(err, ERR_REFUSED, 0, "the SQL Server dump has format %u", get_u16(p + 8));
        error_hint(err, "a newer nopsnap reads it");
        return rc;
    }
    r->begun = true;
    return OK;
}

static uint64_t longest(unsigned kind)
{
    switch (kind) {
    case 'S':
    case 'Z':
        return SQLSERVER_STATEMENT_MAX;
    case 'T':
    case 'L':
        return SQLSERVER_TABLE_MAX;
    case 'R':
        return SQLSERVER_ROW_MAX;
    case 'P':
        return SQLSERVER_LARGE;
    case 'E':
        return END_SIZE;
    default:
        return 0;
    }
}

static enum error_kind read_item(struct sqlserver_reader *r, unsigned kind, struct cursor *c,
                                 struct sqlserver_item *out, struct error *err)
{
    if (r->piece_left && kind != 'P')
        return corrupt(err, "a large value that is not whole");
    switch (kind) {
    case 'S':
        return read_statement(r, c, out, err);
    case 'T':
        return read_table(r, c, out, err);
    case 'R':
        return read_row(r, c, out, err);
    case 'L':
        return read_large(r, c, out, err);
    case 'P':
        return read_piece(r, c, out, err);
    case 'E':
        return read_table_end(r, c, out, err);
    default:
        return read_trailer(r, c, out, err);
    }
}

enum error_kind sqlserver_reader_next(struct sqlserver_reader *r, struct sqlserver_item *out, struct error *err)
{
    const unsigned char *p = NULL;
    struct cursor c;
    struct hash h;
    uint64_t len = 0;
    unsigned kind = 0;
    enum error_kind rc = OK;

    *out = (struct sqlserver_item){.kind = SQLSERVER_END};
    if (r->complete)
        return OK;
    if (!r->begun)
        rc = read_header(r, err);
    if (!rc)
        rc = take(r, 1, &p, err);
    if (rc)
        return rc;
    kind = *p;
    rc = take_varint(r, &len, err);
    if (!rc && (len > longest(kind) || !len))
        rc = corrupt(err, "an item that can't be");
    if (!rc)
        rc = take(r, (size_t)len, &p, err);
    if (rc)
        return rc;
    c = cursor_over(p, (size_t)len);
    if (kind == 'S' || kind == 'T') {
        hash_of(kind, p, (size_t)len, &h);
        sqlserver_digest_add(r->shape, &h);
    }
    out->table = r->count ? &r->tables[r->count - 1]->table : NULL;
    rc = read_item(r, kind, &c, out, err);
    if (!rc && kind == 'T')
        out->table = &r->tables[r->count - 1]->table;
    return rc;
}
