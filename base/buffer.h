/*
 * Buffers: a growing run of bytes with a ceiling.
 *
 *     struct buffer b = BUFFER_INIT(LIMIT);
 *     rc = buffer_append(&b, bytes, len, err);
 *     buffer_release(&b);
 *
 * The ceiling is set where the buffer is made, so that hostile input can't make the process run out of memory (P11).
 * What is appended is followed by a NUL byte that len does not count. Who reserves room and writes into it himself has room for one,
 * and writes it or does without.
 */
#ifndef NOPSNAP_BUFFER_H
#define NOPSNAP_BUFFER_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct buffer {
    unsigned char *data;
    size_t len; /* bytes in use */
    size_t cap; /* bytes allocated */
    size_t max; /* refuse to hold more than this many bytes */
};

#define BUFFER_INIT(limit) \
    {                      \
        .max = (limit)     \
    }

/* Make room for extra more bytes. ERR_MEMORY above the ceiling or when the allocator says no. */
enum error_kind buffer_reserve(struct buffer *b, size_t extra, struct error *err);
enum error_kind buffer_append(struct buffer *b, const void *bytes, size_t len, struct error *err);
enum error_kind buffer_append_text(struct buffer *b, const char *text, struct error *err);
enum error_kind buffer_append_format(struct buffer *b, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Little-endian integers, as the formats on disk have them. */
enum error_kind buffer_append_u8(struct buffer *b, uint8_t v, struct error *err);
enum error_kind buffer_append_u16(struct buffer *b, uint16_t v, struct error *err);
enum error_kind buffer_append_u32(struct buffer *b, uint32_t v, struct error *err);
enum error_kind buffer_append_u64(struct buffer *b, uint64_t v, struct error *err);
void buffer_clear(struct buffer *b);          /* empties, keeps the memory */
void buffer_release(struct buffer *b);        /* empties and frees; the ceiling stays */
void buffer_release_secret(struct buffer *b); /* overwrites first (P10) */
/* Take the bytes as a NUL-terminated string; the caller frees; the buffer is empty afterwards. */
char *buffer_detach(struct buffer *b);

/*
 * A cursor reads bytes that came from outside, never past their end. A read that does not fit returns zero (or
 * NULL) and sets `bad`, which sticks: decode everything, test once.
 */
struct cursor {
    const unsigned char *at;
    const unsigned char *end;
    int bad;
};

struct cursor cursor_over(const void *bytes, size_t len);
size_t cursor_left(const struct cursor *c);
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint32_t cursor_u32(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);
const unsigned char *cursor_bytes(struct cursor *c, size_t len); /* borrowed from the input */

/* The same integers in fixed places. */
uint16_t get_u16(const unsigned char *p);
uint32_t get_u32(const unsigned char *p);
uint64_t get_u64(const unsigned char *p);
void put_u16(unsigned char *p, uint16_t v);
void put_u32(unsigned char *p, uint32_t v);
void put_u64(unsigned char *p, uint64_t v);

/* malloc, calloc and strdup that report ERR_MEMORY; *out is untouched on failure. */
enum error_kind memory_allocate(size_t len, void **out, struct error *err);
/* As memory_allocate(), for some MiB of working memory: on huge pages where the system gives them, since each page costs a fault. */
enum error_kind memory_large(size_t len, void **out, struct error *err);
enum error_kind memory_zeroed(size_t count, size_t size, void **out, struct error *err);
enum error_kind memory_string(const char *text, char **out, struct error *err);
enum error_kind memory_format(char **out, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* free() for a string that held a secret: overwritten first. Accepts NULL. */
void memory_free_secret(char *text);

#endif
