#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog_internal.h"
#include "json.h"

#define FORMAT_MAGIC "nopsnap catalogue"
#define FORMAT_FILE_MAX 65536

/* Chosen by measurement on shop trees and dumps, see bench/README.md. */
#define DEFAULT_WHOLE_MAX (512u << 10)
#define DEFAULT_CUT_MIN (32u << 10)
#define DEFAULT_CUT_AVG (128u << 10)
#define DEFAULT_CUT_MAX (512u << 10)
#define DEFAULT_FRAME_SIZE (4u << 20)

#ifndef NOPSNAP_WEAK_HASH_BITS
#define NOPSNAP_WEAK_HASH_BITS 0
#endif

enum error_kind format_make(struct catalog_format *out, struct error *err)
{
    struct catalog_format f = {
        .weak_hash_bits = NOPSNAP_WEAK_HASH_BITS,
        .whole_max = DEFAULT_WHOLE_MAX,
        .cut_min = DEFAULT_CUT_MIN,
        .cut_avg = DEFAULT_CUT_AVG,
        .cut_max = DEFAULT_CUT_MAX,
        .frame_size = DEFAULT_FRAME_SIZE,
    };
    enum error_kind rc;

    rc = random_bytes(f.catalogue, sizeof(f.catalogue), err);
    if (!rc)
        rc = random_bytes(&f.seed, sizeof(f.seed), err);
    if (!rc)
        rc = random_bytes(&f.seed2, sizeof(f.seed2), err);
    if (!rc)
        *out = f;
    return rc;
}

bool format_equal(const struct catalog_format *a, const struct catalog_format *b)
{
    return memcmp(a->catalogue, b->catalogue, sizeof(a->catalogue)) == 0 && a->seed == b->seed &&
           a->seed2 == b->seed2 && a->weak_hash_bits == b->weak_hash_bits && a->whole_max == b->whole_max &&
           a->cut_min == b->cut_min && a->cut_avg == b->cut_avg && a->cut_max == b->cut_max &&
           a->frame_size == b->frame_size;
}

enum error_kind format_check(const struct catalog_format *f, struct error *err)
{
    bool sane = f->whole_max >= 1 && f->whole_max <= CHUNK_LEN_MAX && f->cut_min >= 64 && f->cut_min <= f->cut_avg &&
                f->cut_avg <= f->cut_max && f->cut_max <= CHUNK_LEN_MAX && f->frame_size >= 4096 &&
                f->frame_size <= FRAME_RAW_MAX / 2;

    if (!sane)
        return error_set(err, ERR_CORRUPT, 0, "the catalogue's cutting parameters are out of range");
    if (f->weak_hash_bits != 0 && NOPSNAP_WEAK_HASH_BITS == 0) {
        return error_set(err, ERR_REFUSED, 0,
                         "this catalogue was made by a test build with a weak hash; it is not safe to use");
    }
    if (f->weak_hash_bits > 8 * HASH_LEN)
        return error_set(err, ERR_CORRUPT, 0, "the catalogue's hash parameters are out of range");
    return OK;
}

/* The checksum's input: every value on a line of its own, in the order of docs/format.md. */
static enum error_kind checksum_of(const struct catalog_format *f, int64_t format, char out[17], struct error *err)
{
    struct buffer text = BUFFER_INIT(1024);
    char id[33];
    unsigned char sum[8];
    enum error_kind rc;

    hex_encode(f->catalogue, sizeof(f->catalogue), id);
    rc = buffer_append_format(
        &text, err, FORMAT_MAGIC "\n%" PRId64 "\n%s\n%016" PRIx64 "\n%016" PRIx64 "\n%u\n%u\n%u\n%u\n%u\n%u", format,
        id, f->seed, f->seed2, f->weak_hash_bits, (unsigned)f->whole_max, (unsigned)f->cut_min, (unsigned)f->cut_avg,
        (unsigned)f->cut_max, (unsigned)f->frame_size);
    if (!rc) {
        uint64_t value = hash64_of(0, text.data, text.len);

        for (int i = 0; i < 8; i++)
            sum[i] = (unsigned char)(value >> (56 - 8 * i));
        hex_encode(sum, sizeof(sum), out);
    }
    buffer_release(&text);
    return rc;
}

enum error_kind format_write(const char *catalog_path, const struct catalog_format *f, struct error *err)
{
    struct buffer text = BUFFER_INIT(FORMAT_FILE_MAX);
    struct json *root = json_object();
    char id[33], seed[17], seed2[17], sum[17];
    char *path = NULL;
    enum error_kind rc;

    hex_encode(f->catalogue, sizeof(f->catalogue), id);
    snprintf(seed, sizeof(seed), "%016" PRIx64, f->seed);
    snprintf(seed2, sizeof(seed2), "%016" PRIx64, f->seed2);
    rc = checksum_of(f, PACK_FORMAT, sum, err);
    if (rc)
        goto done;
    json_put_text(root, "magic", FORMAT_MAGIC);
    json_put_number(root, "format", PACK_FORMAT);
    json_put_text(root, "catalogue", id);
    json_put_text(root, "seed", seed);
    json_put_text(root, "seed2", seed2);
    json_put_number(root, "weak_hash_bits", f->weak_hash_bits);
    json_put_number(root, "whole_max", f->whole_max);
    json_put_number(root, "cut_min", f->cut_min);
    json_put_number(root, "cut_avg", f->cut_avg);
    json_put_number(root, "cut_max", f->cut_max);
    json_put_number(root, "frame_size", f->frame_size);
    json_put_text(root, "checksum", sum);
    rc = json_print(root, &text, err);
    if (!rc)
        rc = buffer_append_text(&text, "\n", err);
    if (!rc)
        rc = path_join(catalog_path, FORMAT_NAME, &path, err);
    if (!rc)
        rc = file_replace(path, text.data, text.len, 0600, err);

done:
    json_free(root);
    free(path);
    buffer_release(&text);
    return rc;
}

static bool read_seed(struct json *root, const char *key, uint64_t *out)
{
    const char *text = json_text(json_get(root, key));
    unsigned char raw[8];

    if (!text || hex_decode(text, sizeof(raw), raw) != 0)
        return false;
    *out = 0;
    for (int i = 0; i < 8; i++)
        *out = *out << 8 | raw[i];
    return true;
}

static bool read_u32(struct json *root, const char *key, uint32_t *out)
{
    int64_t n = json_number(json_get(root, key), -1);

    *out = (uint32_t)n;
    return n >= 0 && n <= UINT32_MAX;
}

static enum error_kind damaged(struct error *err)
{
    enum error_kind rc = error_set(err, ERR_CORRUPT, 0, "%s is damaged", FORMAT_NAME);

    error_hint(err, "make it again from the packs: nopsnap rebuild");
    return rc;
}

static enum error_kind decode(struct json *root, struct catalog_format *f, struct error *err)
{
    const char *magic = json_text(json_get(root, "magic"));
    const char *id = json_text(json_get(root, "catalogue"));
    const char *sum = json_text(json_get(root, "checksum"));
    int64_t format = json_number(json_get(root, "format"), -1);
    char expected[17];
    enum error_kind rc;

    if (!magic || strcmp(magic, FORMAT_MAGIC) != 0 || format < 1)
        return damaged(err);
    if (format > PACK_FORMAT) {
        rc = error_set(err, ERR_REFUSED, 0, "the catalogue has format %" PRId64 ", this nopsnap knows up to %d", format,
                       PACK_FORMAT);
        error_hint(err, "use the nopsnap that wrote it, or a newer one");
        return rc;
    }
    if (!id || hex_decode(id, sizeof(f->catalogue), f->catalogue) != 0 || !read_seed(root, "seed", &f->seed) ||
        !read_seed(root, "seed2", &f->seed2) || !read_u32(root, "weak_hash_bits", &f->weak_hash_bits) ||
        !read_u32(root, "whole_max", &f->whole_max) || !read_u32(root, "cut_min", &f->cut_min) ||
        !read_u32(root, "cut_avg", &f->cut_avg) || !read_u32(root, "cut_max", &f->cut_max) ||
        !read_u32(root, "frame_size", &f->frame_size)) {
        return damaged(err);
    }
    rc = checksum_of(f, format, expected, err);
    if (rc)
        return rc;
    if (!sum || strcmp(sum, expected) != 0)
        return damaged(err);
    return format_check(f, err);
}

enum error_kind format_read(int dirfd, struct catalog_format *out, struct error *err)
{
    struct buffer text = BUFFER_INIT(FORMAT_FILE_MAX);
    struct catalog_format f = {0};
    struct error parse = ERROR_INIT;
    struct json *root = NULL;
    enum error_kind rc;

    rc = file_read_whole(dirfd, FORMAT_NAME, FORMAT_FILE_MAX, &text, err);
    if (rc == ERR_MEMORY)
        rc = damaged(err);
    if (rc)
        goto done;
    if (json_parse(text.data, text.len, &root, &parse)) {
        rc = damaged(err);
        goto done;
    }
    rc = decode(root, &f, err);
    if (!rc)
        *out = f;

done:
    json_free(root);
    buffer_release(&text);
    return rc;
}

static void weaken(unsigned bits, struct hash *h)
{
    for (unsigned i = 0; i < HASH_LEN; i++) {
        unsigned left = bits > 8 * i ? bits - 8 * i : 0; /* bits to keep from this byte on, counted from the last */

        if (left < 8)
            h->bytes[HASH_LEN - 1 - i] &= (unsigned char)((1u << left) - 1);
    }
}

void content_hash(const struct catalog_format *f, enum chunk_type type, const void *bytes, size_t len,
                  struct hash *first, struct hash *second)
{
    hash_of(f->seed ^ (uint64_t)type, bytes, len, first);
    if (f->weak_hash_bits != 0)
        weaken(f->weak_hash_bits, first);
    if (second)
        hash_of(f->seed2, bytes, len, second);
}
