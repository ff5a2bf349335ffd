/* What writer and reader of the row stream share: sizes of values, the digest, sql_variant. */
#include "sqlserver_stream_internal.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void sqlserver_table_release(struct sqlserver_table *t)
{
    for (size_t i = 0; i < t->count; i++) {
        free(t->columns[i].name);
        free(t->columns[i].type);
        free(t->columns[i].collation);
    }
    free(t->columns);
    free(t->schema);
    free(t->name);
    *t = (struct sqlserver_table){0};
}

size_t sqlserver_table_order(const struct sqlserver_table *t, const struct sqlserver_column **out)
{
    size_t n = 0;

    for (size_t i = 0; i < t->count; i++)
        if (t->columns[i].order) {
            out[t->columns[i].order - 1] = &t->columns[i];
            n++;
        }
    return n;
}

static size_t decimal_size(uint8_t precision)
{
    if (precision <= 9)
        return 5;
    if (precision <= 19)
        return 9;
    return precision <= 28 ? 13 : 17;
}

size_t sqlserver_column_size(const struct sqlserver_column *c)
{
    switch (c->kind) {
    case SQLSERVER_BIT:
    case SQLSERVER_TINYINT:
        return 1;
    case SQLSERVER_SMALLINT:
        return 2;
    case SQLSERVER_DATE:
        return 3;
    case SQLSERVER_INT:
    case SQLSERVER_REAL:
    case SQLSERVER_SMALLMONEY:
    case SQLSERVER_SMALLDATETIME:
        return 4;
    case SQLSERVER_TIME:
        return 5;
    case SQLSERVER_BIGINT:
    case SQLSERVER_FLOAT:
    case SQLSERVER_MONEY:
    case SQLSERVER_DATETIME2:
    case SQLSERVER_DATETIME:
        return 8;
    case SQLSERVER_DATETIMEOFFSET:
        return 10;
    case SQLSERVER_UNIQUEIDENTIFIER:
        return 16;
    case SQLSERVER_DECIMAL:
        return decimal_size(c->precision);
    default:
        return 0;
    }
}

const struct sqlserver_column *sqlserver_table_id(const struct sqlserver_table *t)
{
    for (size_t i = 0; i < t->count; i++)
        if (strcasecmp(t->columns[i].name, "Id") == 0)
            return t->columns[i].kind <= SQLSERVER_BIGINT && t->columns[i].kind != SQLSERVER_BIT ? &t->columns[i]
                                                                                                 : NULL;
    return NULL;
}

int64_t sqlserver_value_integer(enum sqlserver_kind kind, const void *bytes)
{
    switch (kind) {
    case SQLSERVER_BIT:
    case SQLSERVER_TINYINT:
        return *(const unsigned char *)bytes;
    case SQLSERVER_SMALLINT:
        return (int16_t)get_u16(bytes);
    case SQLSERVER_INT:
        return (int32_t)get_u32(bytes);
    default:
        return (int64_t)get_u64(bytes);
    }
}

void sqlserver_digest_add(unsigned char digest[HASH_LEN], const struct hash *h)
{
    unsigned carry = 0;

    for (size_t i = HASH_LEN; i-- > 0;) {
        carry += (unsigned)digest[i] + h->bytes[i];
        digest[i] = (unsigned char)carry;
        carry >>= 8;
    }
}

/* ---- sql_variant ---- */

static enum error_kind append_short(struct buffer *out, const char *text, struct error *err)
{
    size_t len = strlen(text);
    enum error_kind rc = buffer_append_u8(out, (uint8_t)len, err);

    return rc ? rc : buffer_append(out, text, len, err);
}

enum error_kind sqlserver_variant_append(struct buffer *out, const struct sqlserver_variant *v, struct error *err)
{
    enum error_kind rc = append_short(out, v->base, err);

    if (!rc)
        rc = buffer_append_u8(out, v->precision, err);
    if (!rc)
        rc = buffer_append_u8(out, v->scale, err);
    if (!rc)
        rc = buffer_append_u16(out, (uint16_t)v->max_length, err);
    if (!rc)
        rc = append_short(out, v->collation, err);
    return rc ? rc : buffer_append(out, v->bytes, v->len, err);
}

static void take_short(struct cursor *c, char *out, size_t room)
{
    size_t len = cursor_u8(c);
    const unsigned char *bytes = cursor_bytes(c, len);

    if (!bytes || len >= room || memchr(bytes, 0, len)) {
        c->bad = 1;
        return;
    }
    memcpy(out, bytes, len);
    out[len] = '\0';
}

enum error_kind sqlserver_variant_decode(const void *bytes, size_t len, struct sqlserver_variant *out,
                                         struct error *err)
{
    struct cursor c = cursor_over(bytes, len);

    take_short(&c, out->base, sizeof out->base);
    out->precision = cursor_u8(&c);
    out->scale = cursor_u8(&c);
    out->max_length = (int16_t)cursor_u16(&c);
    take_short(&c, out->collation, sizeof out->collation);
    if (c.bad || !out->base[0])
        return error_set(err, ERR_CORRUPT, 0, "a sql_variant in the dump is malformed");
    out->len = cursor_left(&c);
    out->bytes = c.at;
    return OK;
}
