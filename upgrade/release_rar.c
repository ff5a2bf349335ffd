/*
 * What libarchive leaves unchecked of a rar: the checksum of a file that was stored as it is, and whether the archive has an end at all. The
 * blocks of both forms are walked in step with it, by their lengths alone; it is libarchive that looks into them. The one file that knows zlib.
 *
 * A block of the first form: checksum 2, type 1, flags 2, length 2, and length of what follows it 4 if the flags say so.
 * A block of the second: checksum 4, then numbers of seven bits a byte: length from behind itself, type, flags, length of an extra area and of
 * what follows if the flags say so.
 */
#include <string.h>
#include <zlib.h>

#include "file.h"
#include "release_internal.h"

#define HEAD_MAX 64u /* of a block, as far as it is looked at */

enum { FIRST_MAIN = 0x73, FIRST_FILE = 0x74, FIRST_END = 0x7b };
enum { SECOND_MAIN = 1, SECOND_FILE = 2, SECOND_ENCRYPTED = 4, SECOND_END = 5 };

/* A block's beginning. */
struct block {
    unsigned type, flags;
    uint64_t next;        /* where the next begins */
    struct cursor inside; /* behind the common part; of the second form */
    bool summed;          /* a file with its checksum */
    uint32_t sum;
};

static enum error_kind cut_short(struct error *err)
{
    return error_set(err, ERR_REFUSED, 0, "it is damaged or cut short: a rar without its end");
}

static enum error_kind of_several(struct error *err)
{
    error_set(err, ERR_REFUSED, 0, "it is one of several parts of a rar");
    error_hint(err, "unpack them yourself and name the folder");
    return ERR_REFUSED;
}

bool rar_walk_begin(int fd, uint64_t size, struct rar_walk *w)
{
    unsigned char head[8] = "";
    struct error ignored = ERROR_INIT;

    *w = (struct rar_walk){.fd = fd, .size = size};
    if (size < sizeof(head) || file_read_at(fd, head, sizeof(head), 0, "the archive", &ignored))
        return false;
    w->second = memcmp(head, "Rar!\x1a\x07\x01\x00", 8) == 0;
    w->at = w->second ? 8 : 7;
    return w->second || memcmp(head, "Rar!\x1a\x07\x00", 7) == 0;
}

/* Seven bits in a byte, the lowest first, at most ten bytes. */
static uint64_t take_number(struct cursor *c)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = cursor_u8(c);

        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
    c->bad = 1;
    return 0;
}

static bool add_lengths(uint64_t a, uint64_t b, uint64_t c, uint64_t *out)
{
    return !__builtin_add_overflow(a, b, out) && !__builtin_add_overflow(*out, c, out);
}

static bool first_block(struct cursor c, uint64_t at, struct block *out)
{
    uint64_t behind;
    uint16_t len;

    (void)cursor_u16(&c);
    out->type = cursor_u8(&c);
    out->flags = cursor_u16(&c);
    len = cursor_u16(&c);
    behind = out->flags & 0x8000 || out->type == FIRST_FILE ? cursor_u32(&c) : 0;
    if (out->type == FIRST_FILE) {
        (void)cursor_bytes(&c, 5); /* size unpacked, system */
        out->sum = cursor_u32(&c);
        out->summed = true;
        (void)cursor_bytes(&c, 12); /* time, version, method, length of the name, attributes */
        if (out->flags & 0x100)
            behind |= (uint64_t)cursor_u32(&c) << 32;
    }
    return !c.bad && len >= 7 && add_lengths(at, len, behind, &out->next);
}

static void second_file(struct cursor c, struct block *out)
{
    uint64_t flags = take_number(&c);

    (void)take_number(&c); /* size unpacked */
    (void)take_number(&c); /* attributes */
    if (flags & 2)
        (void)cursor_u32(&c); /* time */
    out->sum = flags & 4 ? cursor_u32(&c) : 0;
    /* A folder has none and needs none. */
    out->summed = !c.bad && (flags & 5) != 0;
}

static bool second_block(struct cursor c, uint64_t at, size_t head, struct block *out)
{
    uint64_t behind;
    uint64_t len;
    uint64_t start;

    (void)cursor_u32(&c);
    len = take_number(&c);
    start = at + (head - cursor_left(&c));
    out->type = (unsigned)take_number(&c);
    out->flags = (unsigned)take_number(&c);
    if (out->flags & 1)
        (void)take_number(&c);
    behind = out->flags & 2 ? take_number(&c) : 0;
    out->inside = c;
    if (out->type == SECOND_FILE)
        second_file(c, out);
    return !c.bad && len > 0 && add_lengths(start, len, behind, &out->next);
}

static enum error_kind read_block(struct rar_walk *w, struct block *out, struct error *err)
{
    unsigned char head[HEAD_MAX];
    size_t len = w->size - w->at < HEAD_MAX ? (size_t)(w->size - w->at) : HEAD_MAX;
    struct cursor c = cursor_over(head, len);
    enum error_kind rc = file_read_at(w->fd, head, len, w->at, "the archive", err);
    bool good;

    if (rc)
        return rc;
    *out = (struct block){.type = 0};
    good = w->second ? second_block(c, w->at, len, out) : first_block(c, w->at, out);
    if (!good || out->next <= w->at || out->next > w->size)
        return cut_short(err);
    w->at = out->next;
    if (out->type == (w->second ? SECOND_MAIN : FIRST_MAIN) && (w->second ? take_number(&out->inside) : out->flags) & 1)
        return of_several(err);
    return OK;
}

enum error_kind rar_walk_file(struct rar_walk *w, uint32_t *sum, bool *more, struct error *err)
{
    for (;;) {
        struct block block;
        enum error_kind rc = w->at < w->size ? read_block(w, &block, err) : cut_short(err);

        if (rc)
            return rc;
        if (w->second && block.type == SECOND_ENCRYPTED) {
            error_set(err, ERR_REFUSED, 0, "it is encrypted");
            error_hint(err, "unpack it yourself and name the folder");
            return ERR_REFUSED;
        }
        *more = block.type != (w->second ? SECOND_END : FIRST_END);
        if (!*more)
            return OK;
        if (block.type != (w->second ? SECOND_FILE : FIRST_FILE))
            continue;
        if (!block.summed) {
            error_set(err, ERR_REFUSED, 0, "it has no checksums, or some that nopsnap can't check");
            error_hint(err, "unpack it yourself and name the folder");
            return ERR_REFUSED;
        }
        *sum = block.sum;
        return OK;
    }
}

uint32_t rar_sum(uint32_t sum, const void *bytes, size_t len)
{
    return (uint32_t)crc32_z(sum, bytes, len);
}
