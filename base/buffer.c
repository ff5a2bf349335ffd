#include "buffer.h"

#include <assert.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SMALLEST 64
#define HUGE_PAGE ((size_t)2 << 20) /* of x86-64 and most others */

enum error_kind buffer_reserve(struct buffer *b, size_t extra, struct error *err)
{
    size_t ceiling = b->max < SIZE_MAX ? b->max + 1 : SIZE_MAX; /* with the closing NUL */
    size_t need;
    size_t cap;
    unsigned char *grown;

    if (b->len >= ceiling || extra >= ceiling - b->len)
        return error_set(err, ERR_MEMORY, 0, "%zu more bytes would pass the limit of %zu bytes", extra, b->max);
    need = b->len + extra + 1;
    if (need <= b->cap)
        return OK;
    cap = b->cap > SMALLEST ? b->cap : SMALLEST;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? SIZE_MAX : cap * 2;
    if (cap > ceiling)
        cap = ceiling;
    grown = realloc(b->data, cap);
    if (!grown)
        return error_set(err, ERR_MEMORY, 0, "out of memory: %zu bytes wanted", cap);
    b->data = grown;
    b->cap = cap;
    b->data[b->len] = '\0';
    return OK;
}

enum error_kind buffer_append(struct buffer *b, const void *bytes, size_t len, struct error *err)
{
    enum error_kind rc = buffer_reserve(b, len, err);

    if (rc)
        return rc;
    if (len > 0)
        memcpy(b->data + b->len, bytes, len);
    b->len += len;
    b->data[b->len] = '\0';
    return OK;
}

enum error_kind buffer_append_text(struct buffer *b, const char *text, struct error *err)
{
    return buffer_append(b, text, strlen(text), err);
}

enum error_kind buffer_append_format(struct buffer *b, struct error *err, const char *format, ...)
{
    va_list args;
    enum error_kind rc;
    int len;

    va_start(args, format);
    len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0)
        return error_set(err, ERR_MEMORY, 0, "text cannot be formatted");
    rc = buffer_reserve(b, (size_t)len, err);
    if (rc)
        return rc;
    va_start(args, format);
    vsnprintf((char *)b->data + b->len, (size_t)len + 1, format, args);
    va_end(args);
    b->len += (size_t)len;
    return OK;
}

enum error_kind buffer_append_u8(struct buffer *b, uint8_t v, struct error *err)
{
    return buffer_append(b, &v, 1, err);
}

enum error_kind buffer_append_u16(struct buffer *b, uint16_t v, struct error *err)
{
    unsigned char bytes[2];

    put_u16(bytes, v);
    return buffer_append(b, bytes, sizeof(bytes), err);
}

enum error_kind buffer_append_u32(struct buffer *b, uint32_t v, struct error *err)
{
    unsigned char bytes[4];

    put_u32(bytes, v);
    return buffer_append(b, bytes, sizeof(bytes), err);
}

enum error_kind buffer_append_u64(struct buffer *b, uint64_t v, struct error *err)
{
    unsigned char bytes[8];

    put_u64(bytes, v);
    return buffer_append(b, bytes, sizeof(bytes), err);
}

void buffer_clear(struct buffer *b)
{
    b->len = 0;
    if (b->data)
        b->data[0] = '\0';
}

void buffer_release(struct buffer *b)
{
    free(b->data);
    b->data = NULL;
    b->len = 0;
    b->cap = 0;
}

void buffer_release_secret(struct buffer *b)
{
    if (b->data)
        explicit_bzero(b->data, b->cap);
    buffer_release(b);
}

char *buffer_detach(struct buffer *b)
{
    char *text = (char *)b->data;

    b->data = NULL;
    b->len = 0;
    b->cap = 0;
    return text ? text : calloc(1, 1);
}

struct cursor cursor_over(const void *bytes, size_t len)
{
    static const unsigned char nothing[1];
    const unsigned char *at = bytes ? bytes : nothing;

    assert(bytes || len == 0);
    return (struct cursor){at, at + len, 0};
}

size_t cursor_left(const struct cursor *c)
{
    return (size_t)(c->end - c->at);
}

const unsigned char *cursor_bytes(struct cursor *c, size_t len)
{
    const unsigned char *p = c->at;

    if (c->bad || len > cursor_left(c)) {
        c->bad = 1;
        return NULL;
    }
    c->at += len;
    return p;
}

uint8_t cursor_u8(struct cursor *c)
{
    const unsigned char *p = cursor_bytes(c, 1);

    return p ? *p : 0;
}

uint16_t cursor_u16(struct cursor *c)
{
    const unsigned char *p = cursor_bytes(c, 2);

    return p ? get_u16(p) : 0;
}

uint32_t cursor_u32(struct cursor *c)
{
    const unsigned char *p = cursor_bytes(c, 4);

    return p ? get_u32(p) : 0;
}

uint64_t cursor_u64(struct cursor *c)
{
    const unsigned char *p = cursor_bytes(c, 8);

    return p ? get_u64(p) : 0;
}

uint16_t get_u16(const unsigned char *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

uint32_t get_u32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint64_t get_u64(const unsigned char *p)
{
    return (uint64_t)get_u32(p) | (uint64_t)get_u32(p + 4) << 32;
}

void put_u16(unsigned char *p, uint16_t v)
{
    p[0] = (unsigned char)v;
    p[1] = (unsigned char)(v >> 8);
}

void put_u32(unsigned char *p, uint32_t v)
{
    put_u16(p, (uint16_t)v);
    put_u16(p + 2, (uint16_t)(v >> 16));
}

void put_u64(unsigned char *p, uint64_t v)
{
    put_u32(p, (uint32_t)v);
    put_u32(p + 4, (uint32_t)(v >> 32));
}

enum error_kind memory_allocate(size_t len, void **out, struct error *err)
{
    void *p = malloc(len > 0 ? len : 1);

    if (!p)
        return error_set(err, ERR_MEMORY, 0, "out of memory: %zu bytes wanted", len);
    *out = p;
    return OK;
}

enum error_kind memory_large(size_t len, void **out, struct error *err)
{
    size_t whole = (len + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    void *p = whole >= len ? aligned_alloc(HUGE_PAGE, whole) : NULL;

    if (!p)
        return error_set(err, ERR_MEMORY, 0, "out of memory: %zu bytes wanted", len);
    (void)madvise(p, whole, MADV_HUGEPAGE); /* a wish */
    *out = p;
    return OK;
}

enum error_kind memory_zeroed(size_t count, size_t size, void **out, struct error *err)
{
    void *p = NULL;

    if (size == 0 || count <= SIZE_MAX / size)
        p = calloc(count > 0 ? count : 1, size > 0 ? size : 1);
    if (!p)
        return error_set(err, ERR_MEMORY, 0, "out of memory: %zu times %zu bytes wanted", count, size);
    *out = p;
    return OK;
}

enum error_kind memory_string(const char *text, char **out, struct error *err)
{
    char *copy = strdup(text);

    if (!copy)
        return error_set(err, ERR_MEMORY, 0, "out of memory: %zu bytes wanted", strlen(text) + 1);
    *out = copy;
    return OK;
}

enum error_kind memory_format(char **out, struct error *err, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    int len;

    va_start(args, format);
    len = vasprintf(&text, format, args);
    va_end(args);
    if (len < 0)
        return error_set(err, ERR_MEMORY, 0, "out of memory while making a text");
    *out = text;
    return OK;
}

void memory_free_secret(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}
