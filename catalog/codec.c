#include "codec_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

/* Less than this share saved is not worth decompressing for: 1/64. */
#define WORTH_SHIFT 6
/* Pieces looked at by codec_is_dense(). */
#define SAMPLE_PIECES 8
#define SAMPLE_PIECE 2048

struct compressor {
    ZSTD_CCtx *context;
};

enum error_kind compressor_new(int level, struct compressor **out, struct error *err)
{
    struct compressor *c = NULL;
    enum error_kind rc;
    size_t code;

    rc = memory_zeroed(1, sizeof(*c), (void **)&c, err);
    if (rc)
        return rc;
    c->context = ZSTD_createCCtx();
    if (!c->context) {
        compressor_free(c);
        return error_set(err, ERR_MEMORY, 0, "out of memory for a compressor");
    }
    code = ZSTD_CCtx_setParameter(c->context, ZSTD_c_compressionLevel, level ? level : CODEC_LEVEL_DEFAULT);
    if (!ZSTD_isError(code)) /* the frame's own header has the lengths and a checksum */
        code = ZSTD_CCtx_setParameter(c->context, ZSTD_c_checksumFlag, 0);
    if (ZSTD_isError(code)) {
        compressor_free(c);
        return error_set(err, ERR_USAGE, 0, "compression level %d: %s", level, ZSTD_getErrorName(code));
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

bool codec_is_dense(const void *bytes, size_t len)
{
    const unsigned char *p = bytes;
    unsigned counts[256] = {0};
    size_t step = len / SAMPLE_PIECES;
    double bits = 0;
    size_t seen = 0;

    if (len < (size_t)SAMPLE_PIECES * SAMPLE_PIECE)
        return false; /* too few bytes for a histogram to say anything: zstd decides */
    for (size_t i = 0; i < SAMPLE_PIECES; i++) {
        for (size_t k = 0; k < SAMPLE_PIECE; k++)
            counts[p[i * step + k]]++;
        seen += SAMPLE_PIECE;
    }
    for (int i = 0; i < 256; i++) {
        if (counts[i] > 0)
            bits -= counts[i] * log2((double)counts[i] / (double)seen);
    }
    /* 16 KiB of random bytes measure 7.989; JPEG 7.9 and more; code, text and pictures without compression stay below 7. */
    return bits / (double)seen > 7.85;
}

enum error_kind codec_compress(struct compressor *c, const void *raw, size_t len, struct buffer *out, uint8_t *codec,
                               const void **stored, size_t *stored_len, struct error *err)
{
    enum error_kind rc;
    size_t got;

    if (codec_is_dense(raw, len))
        goto as_it_is;
    buffer_clear(out);
    rc = buffer_reserve(out, ZSTD_compressBound(len), err);
    if (rc)
        return rc;
    got = ZSTD_compress2(c->context, out->data, out->cap, raw, len);
    if (ZSTD_isError(got))
        return error_set(err, ERR_MEMORY, 0, "compressing: %s", ZSTD_getErrorName(got));
    if (got + (len >> WORTH_SHIFT) >= len)
        goto as_it_is;
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
