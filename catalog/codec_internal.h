/* Compression of frames: zstd, or nothing for content that does not compress. */
#ifndef NOPSNAP_CODEC_INTERNAL_H
#define NOPSNAP_CODEC_INTERNAL_H

#include <stdbool.h>

#include "buffer.h"

enum codec { CODEC_STORED = 0, CODEC_ZSTD = 1 };

#define CODEC_LEVEL_DEFAULT 0

struct compressor; /* a compressor's working memory; one a thread */
/* level: of zstd, or CODEC_LEVEL_DEFAULT: what was found best for shops */
enum error_kind compressor_new(int level, struct compressor **out, struct error *err);
void compressor_free(struct compressor *c); /* accepts NULL */
/*
 * From the next frame on: for content that comes as a stream somebody waits for (a dump), or for files. Means something at
 * CODEC_LEVEL_DEFAULT only.
 */
void compressor_set_swift(struct compressor *c, bool swift);
/*
 * Compress, unless it is not worth it.
 *
 * out        scratch memory, reused
 * stored     what to store: out's bytes, or raw itself when the codec is CODEC_STORED
 */
enum error_kind codec_compress(struct compressor *c, const void *raw, size_t len, struct buffer *out, uint8_t *codec,
                               const void **stored, size_t *stored_len, struct error *err);
/* Does a piece of content look as if it were compressed already? Cheap; an estimate. */
bool codec_is_dense(const void *bytes, size_t len);
/*
 * Decode into exactly raw_len bytes. Thread-safe.
 *
 * Returns    ERR_CORRUPT if the bytes do not decode to just that many
 */
enum error_kind codec_decompress(uint8_t codec, const void *stored, size_t stored_len, void *raw, size_t raw_len,
                                 struct error *err);

#endif
