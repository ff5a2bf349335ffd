/*
 * XXH3-128 with a seed (xxHash 0.8, https://github.com/Cyan4973/xxHash, whose output is frozen for all 0.8.x).
 * It is fast and not cryptographic; nothing here trusts it to tell two contents apart (P5).
 */
#ifndef NOPSNAP_HASH_H
#define NOPSNAP_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

#define HASH_LEN 16

struct hash {
    unsigned char bytes[HASH_LEN]; /* canonical (big-endian) form */
};

void hash_of(uint64_t seed, const void *bytes, size_t len, struct hash *out);
uint64_t hash64_of(uint64_t seed, const void *bytes, size_t len); /* XXH3-64: checksums of small records */

struct hash_stream; /* incremental form */
enum error_kind hash_stream_new(uint64_t seed, struct hash_stream **out, struct error *err);
void hash_stream_reset(struct hash_stream *s, uint64_t seed);
void hash_stream_update(struct hash_stream *s, const void *bytes, size_t len);
void hash_stream_end(const struct hash_stream *s, struct hash *out);
void hash_stream_free(struct hash_stream *s);

/* Lower-case hexadecimal; out has 2*len+1 bytes. */
void hex_encode(const void *bytes, size_t len, char *out);
/* 0, or -1 if text is not exactly 2*len hex digits and a NUL; out may be half written then. */
int hex_decode(const char *text, size_t len, void *out);
/* Bytes from the kernel's generator. */
enum error_kind random_bytes(void *out, size_t len, struct error *err);

#endif
