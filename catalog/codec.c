#include "codec_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

/* Less than this share saved is not worth decompressing for: 1/64. */
#define WORTH_SHIFT 6
/* Looked at by codec_is_dense(): pieces from all over the content. */
#define PROBE_PIECES 16
#define PROBE_PIECE 256
/* 4 KiB of random bytes measure 7.95 bits each; JPEG 7.8 and more; code, text and plain pictures stay below 7. */
#define DENSE_BITS 7.7
#define DENSE_VALUES 207 /* with no more different bytes than that, log2 of their number is below already */
/* Machine code and its tables hold many zero bytes, text none: one in 64 of those looked at. */
#define MACHINE_SHIFT 6

/* How content is compressed at CODEC_LEVEL_DEFAULT. */
enum profile {
    PROFILE_TEXT,
    PROFILE_MACHINE,
    PROFILE_PICTURE,
    PROFILE_STREAM,
    PROFILE_LEVEL, /* as the caller's level says */
};

struct compressor {
    ZSTD_CCtx *context;
    int level;
    bool swift;
    enum profile profile;
};

/* What a look at some of the content tells. */
struct probe {
    bool dense;   /* looks compressed already */
    bool machine; /* looks like programs */
};

struct parameter {
    ZSTD_cParameter parameter;
    int value;
};

/*
 * Measured on shop trees, in frames of 4 MiB, against level 3 as it is. Tables stay in a core's own cache; the window is the whole
 * frame; text and code go by the strategy of levels 1 and 2:
 * Text: a third less time and one part in twenty-five more bytes than level 3's own strategy on tables of half its size.
 * Machine code: a quarter less time, one part in fifty more bytes.
 * Pictures, archives: level 3 on smaller tables, quick since there is little to find.
 * Streams: level 1, which for the rows of a dump takes half the time and makes one part in fifty more.
 */
static const struct parameter text[] = {
    {ZSTD_c_strategy, ZSTD_fast}, {ZSTD_c_windowLog, 22}, {ZSTD_c_hashLog, 16}, {ZSTD_c_minMatch, 7}, {0, 0},
};
static const struct parameter machine[] = {
    {ZSTD_c_strategy, ZSTD_fast}, {ZSTD_c_windowLog, 22}, {ZSTD_c_hashLog, 17}, {ZSTD_c_minMatch, 5}, {0, 0},
};
static const struct parameter picture[] = {
    {ZSTD_c_strategy, ZSTD_dfast}, {ZSTD_c_windowLog, 22}, {ZSTD_c_chainLog, 15},
    {ZSTD_c_hashLog, 16},          {ZSTD_c_minMatch, 5},   {0, 0},
};
static const struct parameter none[] = {{0, 0}};
static const struct parameter *const parameters[] = {[PROFILE_TEXT] = text,
                                                     [PROFILE_MACHINE] = machine,
                                                     [PROFILE_PICTURE] = picture,
                                                     [PROFILE_STREAM] = none,
                                                     [PROFILE_LEVEL] = none};

static enum error_kind configure(struct compressor *c, enum profile profile, struct error *err)
{
    int level = profile == PROFILE_LEVEL ? c->level : profile == PROFILE_STREAM ? 1 : 3;
    const struct parameter *p = parameters[profile];
    size_t code = ZSTD_CCtx_reset(c->context, ZSTD_reset_session_and_parameters);

    if (!ZSTD_isError(code))
        code = ZSTD_CCtx_setParameter(c->context, ZSTD_c_checksumFlag, 0); /* the frame's own header has one */
    if (!ZSTD_isError(code))
        code = ZSTD_CCtx_setParameter(c->context, ZSTD_c_compressionLevel, level);
    for (; p->value && !ZSTD_isError(code); p++)
        code = ZSTD_CCtx_setParameter(c->context, p->parameter, p->value);
    if (ZSTD_isError(code))
        return error_set(err, ERR_USAGE, 0, "compression level %d: %s", level, ZSTD_getErrorName(code));
    c->profile = profile;
    return OK;
}

static enum profile profile_for(const struct compressor *c, const struct probe *probe)
{
    if (c->swift)
        return PROFILE_STREAM;
    if (probe->dense)
        return PROFILE_PICTURE;
    return probe->machine ? PROFILE_MACHINE : PROFILE_TEXT;
}

static enum error_kind adapt(struct compressor *c, const struct probe *probe, struct error *err)
{
    enum profile wanted = profile_for(c, probe);

    if (c->level != CODEC_LEVEL_DEFAULT || wanted == c->profile)
        return OK;
    return configure(c, wanted, err);
}

void compressor_set_swift(struct compressor *c, bool swift)
{
    c->swift = swift;
}

enum error_kind compressor_new(int level, struct compressor **out, struct error *err)
{
    struct compressor *c = NULL;
    enum error_kind rc;

    rc = memory_zeroed(1, sizeof(*c), (void **)&c, err);
    if (rc)
        return rc;
    c->context = ZSTD_createCCtx();
    if (!c->context) {
        compressor_free(c);
        return error_set(err, ERR_MEMORY, 0, "out of memory for a compressor");
    }
    c->level = level;
    rc = configure(c, level == CODEC_LEVEL_DEFAULT ? PROFILE_TEXT : PROFILE_LEVEL, err);
    if (rc) {
        compressor_free(c);
        return rc;
    }
    *out = c;
    return OK;
}

void compressor_free(struct compressor *c)
{
    if (!c)
        return;
    ZSTD_freeCCtx(c->context);
    free(c);
}

/* How often each value stands in the pieces. Two counts side by side: runs of one value would make a single one wait for itself. */
static void count_values(const unsigned char *p, size_t step, unsigned counts[256])
{
    unsigned odd[256] = {0};

    for (size_t i = 0; i < PROBE_PIECES; i++) {
        const unsigned char *piece = p + i * step;

        for (size_t k = 0; k < PROBE_PIECE; k += 2) {
            counts[piece[k]]++;
            odd[piece[k + 1]]++;
        }
    }
    for (int i = 0; i < 256; i++)
        counts[i] += odd[i];
}

static struct probe look(const unsigned char *p, size_t len)
{
    unsigned counts[256] = {0};
    size_t step = len / PROBE_PIECES;
    double information = 0;
    unsigned values = 0;
    const unsigned seen = PROBE_PIECES * PROBE_PIECE;

    if (step < PROBE_PIECE)
        return (struct probe){false, false}; /* too few bytes for a histogram to say anything: zstd decides */
    count_values(p, step, counts);
    for (int i = 0; i < 256; i++)
        values += counts[i] > 0;
    for (int i = 0; values > DENSE_VALUES && i < 256; i++) {
        if (counts[i] > 0)
            information -= counts[i] * log2((double)counts[i] / seen);
    }
    return (struct probe){.dense = information / seen > DENSE_BITS, .machine = counts[0] > seen >> MACHINE_SHIFT};
}

bool codec_is_dense(const void *bytes, size_t len)
{
    return look(bytes, len).dense;
}

enum error_kind codec_compress(struct compressor *c, const void *raw, size_t len, struct buffer *out, uint8_t *codec,
                               const void **stored, size_t *stored_len, struct error *err)
{
    struct probe probe = look(raw, len);
    size_t worth = len - (len >> WORTH_SHIFT), got;
    enum error_kind rc;

    buffer_clear(out);
    rc = buffer_reserve(out, worth, err);
    if (!rc)
        rc = adapt(c, &probe, err);
    if (rc)
        return rc;
    got = ZSTD_compress2(c->context, out->data, worth, raw, len);
    if (ZSTD_isError(got) && ZSTD_getErrorCode(got) == ZSTD_error_dstSize_tooSmall)
        goto as_it_is; /* no room for what is not worth it */
    if (ZSTD_isError(got))
        return error_set(err, ERR_MEMORY, 0, "compressing: %s", ZSTD_getErrorName(got));
    out->len = got;
    *codec = CODEC_ZSTD;
    *stored = out->data;
    *stored_len = got;
    return OK;

as_it_is:
    *codec = CODEC_STORED;
    *stored = raw;
    *stored_len = len;
    return OK;
}

enum error_kind codec_decompress(uint8_t codec, const void *stored, size_t stored_len, void *raw, size_t raw_len,
                                 struct error *err)
{
    size_t got;

    if (codec == CODEC_STORED) {
        if (stored_len != raw_len)
            return error_set(err, ERR_CORRUPT, 0, "stored and raw length differ");
        if (raw_len > 0)
            memcpy(raw, stored, raw_len);
        return OK;
    }
    if (codec != CODEC_ZSTD)
        return error_set(err, ERR_CORRUPT, 0, "unknown codec %u", codec);
    got = ZSTD_decompress(raw, raw_len, stored, stored_len);
    if (ZSTD_isError(got))
        return error_set(err, ERR_CORRUPT, 0, "does not decompress: %s", ZSTD_getErrorName(got));
    if (got != raw_len)
        return error_set(err, ERR_CORRUPT, 0, "decompresses to %zu bytes instead of %zu", got, raw_len);
    return OK;
}
