#include <stdlib.h>

#include "buffer.h"
#include "store.h"

/*
 * FastCDC (Xia et al., USENIX ATC 2016) with normalised chunking: below the average a stricter mask, above it a looser one, so that
 * lengths gather around the average. The table comes from the catalogue's seed: cuts say nothing about content to somebody
 * who has not got it.
 */
#define NORMAL_BITS 2 /* how much stricter, and looser, than the average's own mask */

struct cutter {
    uint64_t gear[256];
    uint64_t strict, loose;
    size_t min, avg, max;
};

/* splitmix64, Steele, Lea and Flood 2014: frozen here, since cuts must stay where they were. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/* The topmost bits of the hash depend on the last 64 bytes, the lower ones on fewer: masks take from the top. */
static uint64_t mask_of(unsigned bits)
{
    return ~0ull << (64 - bits);
}

enum error_kind cutter_new(const struct catalog_format *format, struct cutter **out, struct error *err)
{
    uint64_t state = format->seed;
    struct cutter *c = NULL;
    unsigned bits = 0;
    enum error_kind rc;

    rc = memory_zeroed(1, sizeof(*c), (void **)&c, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < 256; i++)
        c->gear[i] = next_random(&state);
    c->min = format->cut_min;
    c->avg = format->cut_avg;
    c->max = format->cut_max;
    while (((size_t)2 << bits) <= c->avg)
        bits++;
    c->strict = mask_of(bits + NORMAL_BITS);
    c->loose = mask_of(bits > NORMAL_BITS ? bits - NORMAL_BITS : 1);
    *out = c;
    return OK;
}

void cutter_free(struct cutter *c)
{
    free(c);
}

size_t cutter_next(const struct cutter *c, const unsigned char *bytes, size_t len, bool at_end)
{
    size_t end = len < c->max ? len : c->max;
    size_t middle = end < c->avg ? end : c->avg;
    uint64_t hash = 0;
    size_t i = c->min;

    if (end <= c->min)
        return at_end || end == c->max ? end : 0;
    for (; i < middle; i++) {
        hash = (hash << 1) + c->gear[bytes[i]];
        if ((hash & c->strict) == 0)
            return i + 1;
    }
    for (; i < end; i++) {
        hash = (hash << 1) + c->gear[bytes[i]];
        if ((hash & c->loose) == 0)
            return i + 1;
    }
    return at_end || end == c->max ? end : 0;
}
