#include <stdio.h>
#include <string.h>

#include "pack_internal.h"

/*
 * Fixed structures as byte arrays: members have alignment 1, so that the layout is the same everywhere.
 * docs/format.md, "Pack".
 */
struct raw_pack_header {
    unsigned char magic[8], format[2], kind[1], weak_hash_bits[1], zero[4], catalogue[16], name[16], seed[8], seed2[8];
    unsigned char whole_max[4], cut_min[4], cut_avg[4], cut_max[4], frame_size[4], made[8], zeros[28], sum[8];
};
_Static_assert(sizeof(struct raw_pack_header) == PACK_HEADER_LEN, "pack header");

struct raw_frame_header {
    unsigned char magic[4], codec[1], cipher[1], zero[2], raw[4], stored[4], checksum[8], sum[8];
};
_Static_assert(sizeof(struct raw_frame_header) == FRAME_HEADER_LEN, "frame header");

struct raw_pack_trailer {
    unsigned char footer_at[8], footer_len[8], sum[16], name[16], zero[8], magic[8];
};
_Static_assert(sizeof(struct raw_pack_trailer) == PACK_TRAILER_LEN, "pack trailer");

struct raw_footer_frame {
    unsigned char at[8], stored[4], raw[4], codec[1], cipher[1], zero[2];
};
_Static_assert(sizeof(struct raw_footer_frame) == FOOTER_FRAME_LEN, "footer's frame entry");

struct raw_footer_chunk {
    unsigned char hash[16], attempt[4], type[1], frame[4], offset[4], len[4], second[16];
};
_Static_assert(sizeof(struct raw_footer_chunk) == FOOTER_CHUNK_LEN, "footer's chunk entry");

static const char pack_magic[8] = {'N', 'O', 'P', 'S', 'P', 'A', 'C', 'K'};
static const char trailer_magic[8] = {'N', 'O', 'P', 'S', 'T', 'A', 'I', 'L'};
static const char frame_magic[4] = {'F', 'R', 'M', '1'};

static bool all_zero(const unsigned char *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (p[i] != 0)
            return false;
    }
    return true;
}

void pack_header_encode(const struct pack_header *h, unsigned char out[PACK_HEADER_LEN])
{
    struct raw_pack_header raw = {0};

    memcpy(raw.magic, pack_magic, sizeof(raw.magic));
    put_u16(raw.format, PACK_FORMAT);
    raw.kind[0] = (unsigned char)h->kind;
    raw.weak_hash_bits[0] = (unsigned char)h->format.weak_hash_bits;
    memcpy(raw.catalogue, h->format.catalogue, sizeof(raw.catalogue));
    memcpy(raw.name, h->name, sizeof(raw.name));
    put_u64(raw.seed, h->format.seed);
    put_u64(raw.seed2, h->format.seed2);
    put_u32(raw.whole_max, h->format.whole_max);
    put_u32(raw.cut_min, h->format.cut_min);
    put_u32(raw.cut_avg, h->format.cut_avg);
    put_u32(raw.cut_max, h->format.cut_max);
    put_u32(raw.frame_size, h->format.frame_size);
    put_u64(raw.made, (uint64_t)h->made_ns);
    put_u64(raw.sum, hash64_of(0, &raw, offsetof(struct raw_pack_header, sum)));
    memcpy(out, &raw, sizeof(raw));
}

enum error_kind pack_header_decode(const unsigned char in[PACK_HEADER_LEN], const char *shown, struct pack_header *out,
                                   struct error *err)
{
    struct raw_pack_header raw;
    struct pack_header h = {0};

    memcpy(&raw, in, sizeof(raw));
    if (memcmp(raw.magic, pack_magic, sizeof(raw.magic)) != 0 ||
        get_u64(raw.sum) != hash64_of(0, &raw, offsetof(struct raw_pack_header, sum))) {
        return error_set(err, ERR_CORRUPT, 0, "%s: header is damaged", shown);
    }
    if (get_u16(raw.format) > PACK_FORMAT) {
        return error_set(err, ERR_REFUSED, 0, "%s has format %u, this nopsnap knows up to %d", shown,
                         get_u16(raw.format), PACK_FORMAT);
    }
    h.kind = (enum pack_kind)raw.kind[0];
    memcpy(h.format.catalogue, raw.catalogue, sizeof(raw.catalogue));
    memcpy(h.name, raw.name, sizeof(raw.name));
    h.format.seed = get_u64(raw.seed);
    h.format.seed2 = get_u64(raw.seed2);
    h.format.weak_hash_bits = raw.weak_hash_bits[0];
    h.format.whole_max = get_u32(raw.whole_max);
    h.format.cut_min = get_u32(raw.cut_min);
    h.format.cut_avg = get_u32(raw.cut_avg);
    h.format.cut_max = get_u32(raw.cut_max);
    h.format.frame_size = get_u32(raw.frame_size);
    h.made_ns = (int64_t)get_u64(raw.made);
    if ((h.kind != PACK_DATA && h.kind != PACK_RECORDS) || !all_zero(raw.zero, sizeof(raw.zero)) ||
        !all_zero(raw.zeros, sizeof(raw.zeros))) {
        return error_set(err, ERR_CORRUPT, 0, "%s: header has values out of range", shown);
    }
    *out = h;
    return OK;
}

void frame_header_encode(const struct frame_header *h, unsigned char out[FRAME_HEADER_LEN])
{
    struct raw_frame_header raw = {0};

    memcpy(raw.magic, frame_magic, sizeof(raw.magic));
    raw.codec[0] = h->codec;
    raw.cipher[0] = h->cipher;
    put_u32(raw.raw, h->raw);
    put_u32(raw.stored, h->stored);
    put_u64(raw.checksum, h->checksum);
    put_u64(raw.sum, hash64_of(0, &raw, offsetof(struct raw_frame_header, sum)));
    memcpy(out, &raw, sizeof(raw));
}

enum error_kind frame_header_decode(const unsigned char in[FRAME_HEADER_LEN], struct frame_header *out,
                                    struct error *err)
{
    struct raw_frame_header raw;
    struct frame_header h;

    memcpy(&raw, in, sizeof(raw));
    h = (struct frame_header){raw.codec[0], raw.cipher[0], get_u32(raw.raw), get_u32(raw.stored),
                              get_u64(raw.checksum)};
    if (memcmp(raw.magic, frame_magic, sizeof(raw.magic)) != 0 ||
        get_u64(raw.sum) != hash64_of(0, &raw, offsetof(struct raw_frame_header, sum)) || h.raw > FRAME_RAW_MAX ||
        h.stored > FRAME_RAW_MAX || h.cipher != 0 || !all_zero(raw.zero, sizeof(raw.zero))) {
        return error_set(err, ERR_CORRUPT, 0, "frame header is damaged");
    }
    *out = h;
    return OK;
}

void pack_trailer_encode(const struct pack_trailer *t, unsigned char out[PACK_TRAILER_LEN])
{
    struct raw_pack_trailer raw = {0};

    put_u64(raw.footer_at, t->footer_at);
    put_u64(raw.footer_len, t->footer_len);
    memcpy(raw.sum, t->sum.bytes, sizeof(raw.sum));
    memcpy(raw.name, t->name, sizeof(raw.name));
    memcpy(raw.magic, trailer_magic, sizeof(raw.magic));
    memcpy(out, &raw, sizeof(raw));
}

enum error_kind pack_trailer_decode(const unsigned char in[PACK_TRAILER_LEN], struct pack_trailer *out,
                                    struct error *err)
{
    struct raw_pack_trailer raw;

    memcpy(&raw, in, sizeof(raw));
    if (memcmp(raw.magic, trailer_magic, sizeof(raw.magic)) != 0 || !all_zero(raw.zero, sizeof(raw.zero)))
        return error_set(err, ERR_CORRUPT, 0, "trailer is damaged");
    out->footer_at = get_u64(raw.footer_at);
    out->footer_len = get_u64(raw.footer_len);
    memcpy(out->sum.bytes, raw.sum, sizeof(raw.sum));
    memcpy(out->name, raw.name, sizeof(raw.name));
    return OK;
}

void footer_frame_encode(const struct footer_frame *f, unsigned char out[FOOTER_FRAME_LEN])
{
    struct raw_footer_frame raw = {0};

    put_u64(raw.at, f->at);
    put_u32(raw.stored, f->stored);
    put_u32(raw.raw, f->raw);
    raw.codec[0] = f->codec;
    raw.cipher[0] = f->cipher;
    memcpy(out, &raw, sizeof(raw));
}

void footer_frame_decode(const unsigned char in[FOOTER_FRAME_LEN], struct footer_frame *out)
{
    struct raw_footer_frame raw;

    memcpy(&raw, in, sizeof(raw));
    *out = (struct footer_frame){get_u64(raw.at), get_u32(raw.stored), get_u32(raw.raw), raw.codec[0], raw.cipher[0]};
}

void footer_chunk_encode(const struct footer_chunk *c, unsigned char out[FOOTER_CHUNK_LEN])
{
    struct raw_footer_chunk raw;

    memcpy(raw.hash, c->id.hash, sizeof(raw.hash));
    put_u32(raw.attempt, c->id.attempt);
    raw.type[0] = (unsigned char)c->type;
    put_u32(raw.frame, c->frame);
    put_u32(raw.offset, c->offset);
    put_u32(raw.len, c->len);
    memcpy(raw.second, c->second.bytes, sizeof(raw.second));
    memcpy(out, &raw, sizeof(raw));
}

void footer_chunk_decode(const unsigned char in[FOOTER_CHUNK_LEN], struct footer_chunk *out)
{
    struct raw_footer_chunk raw;

    memcpy(&raw, in, sizeof(raw));
    memcpy(out->id.hash, raw.hash, sizeof(raw.hash));
    out->id.attempt = get_u32(raw.attempt);
    out->type = (enum chunk_type)raw.type[0];
    out->frame = get_u32(raw.frame);
    out->offset = get_u32(raw.offset);
    out->len = get_u32(raw.len);
    memcpy(out->second.bytes, raw.second, sizeof(raw.second));
}

bool chunk_type_is_known(unsigned type)
{
    return (type >= CHUNK_DATA && type <= CHUNK_PART) || chunk_type_is_record(type);
}

bool chunk_type_is_record(unsigned type)
{
    return type >= CHUNK_SNAPSHOT && type <= CHUNK_ACCEPT;
}

void pack_path(const unsigned char name[PACK_NAME_LEN], bool part, char out[PACK_PATH_MAX])
{
    char hex[2 * PACK_NAME_LEN + 1];

    hex_encode(name, PACK_NAME_LEN, hex);
    snprintf(out, PACK_PATH_MAX, "packs/%.2s/%s.%s", hex, hex, part ? "part" : "pack");
}

bool pack_name_parse(const char *file_name, bool *part, unsigned char out[PACK_NAME_LEN])
{
    char hex[2 * PACK_NAME_LEN + 1];

    if (strlen(file_name) != 2 * PACK_NAME_LEN + 5)
        return false;
    memcpy(hex, file_name, 2 * PACK_NAME_LEN);
    hex[2 * PACK_NAME_LEN] = '\0';
    for (const char *p = hex; *p; p++) {
        if (*p >= 'A' && *p <= 'F')
            return false; /* we write lower case: anything else is not ours */
    }
    if (hex_decode(hex, PACK_NAME_LEN, out) != 0)
        return false;
    *part = strcmp(file_name + 2 * PACK_NAME_LEN, ".part") == 0;
    return *part || strcmp(file_name + 2 * PACK_NAME_LEN, ".pack") == 0;
}
