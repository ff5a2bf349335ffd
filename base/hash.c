#include "hash.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#if defined(__x86_64__)
/* Chooses AVX-512, AVX2 or SSE2 at run time; the results are the same. */
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

_Static_assert(sizeof(XXH128_canonical_t) == HASH_LEN, "the canonical form is what struct hash holds");

static void store(XXH128_hash_t value, struct hash *out)
{
    XXH128_canonicalFromHash((XXH128_canonical_t *)out->bytes, value);
}

void hash_of(uint64_t seed, const void *bytes, size_t len, struct hash *out)
{
    store(XXH3_128bits_withSeed(bytes, len, seed), out);
}

uint64_t hash64_of(uint64_t seed, const void *bytes, size_t len)
{
    return XXH3_64bits_withSeed(bytes, len, seed);
}

struct hash_stream {
    XXH3_state_t *state; /* xxHash knows its alignment */
};

enum error_kind hash_stream_new(uint64_t seed, struct hash_stream **out, struct error *err)
{
    struct hash_stream *s = malloc(sizeof(*s));

    if (s)
        s->state = XXH3_createState();
    if (!s || !s->state) {
        free(s);
        return error_set(err, ERR_MEMORY, 0, "out of memory for a hash");
    }
    hash_stream_reset(s, seed);
    *out = s;
    return OK;
}

void hash_stream_reset(struct hash_stream *s, uint64_t seed)
{
    (void)XXH3_128bits_reset_withSeed(s->state, seed); /* fails on NULL alone */
}

void hash_stream_update(struct hash_stream *s, const void *bytes, size_t len)
{
    if (len > 0)
        (void)XXH3_128bits_update(s->state, bytes, len);
}

void hash_stream_end(const struct hash_stream *s, struct hash *out)
{
    store(XXH3_128bits_digest(s->state), out);
}

void hash_stream_free(struct hash_stream *s)
{
    if (s)
        XXH3_freeState(s->state);
    free(s);
}

void hex_encode(const void *bytes, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = bytes;

    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * len] = '\0';
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int hex_decode(const char *text, size_t len, void *out)
{
    unsigned char *p = out;

    for (size_t i = 0; i < len; i++) {
        int high = digit_value(text[2 * i]);
        int low = high < 0 ? -1 : digit_value(text[2 * i + 1]); /* never reads past a NUL */

        if (low < 0)
            return -1;
        p[i] = (unsigned char)(high << 4 | low);
    }
    return text[2 * len] == '\0' ? 0 : -1;
}

enum error_kind random_bytes(void *out, size_t len, struct error *err)
{
    unsigned char *p = out;

    while (len > 0) {
        ssize_t got = getrandom(p, len, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set(err, ERR_IO, errno, "cannot read random bytes");
        p += got;
        len -= (size_t)got;
    }
    return OK;
}
