/*
 * Reading chunks, each one checked (P6, C4): the frame's checksum, then the place against the pack's own footer, then the content
 * against the id.
 *
 * Thread-safe: several threads may read through one catalogue. Frames lately read are kept in a small cache.
 */
#ifndef NOPSNAP_CHUNK_H
#define NOPSNAP_CHUNK_H

#include "buffer.h"
#include "catalog.h"

/* Where a chunk lies. Sorting places by (pack, frame, offset) makes a restore read each frame once. */
struct chunk_place {
    uint64_t pack; /* the index's number of the pack */
    uint32_t frame;
    uint32_t offset; /* in the raw frame */
    uint32_t len;    /* bytes, raw */
    enum chunk_type type;
};

/* ERR_CORRUPT when the id is unknown: a snapshot reaches something that the index does not have. */
enum error_kind chunk_find(struct catalog *cat, const struct chunk_id *id, struct chunk_place *out, struct error *err);

/*
 * Read a chunk whole.
 *
 * type       what it must be
 * out        replaced; its ceiling is respected
 * Returns    ERR_CORRUPT naming the pack and frame, and recording the damage where the catalogue is writable
 */
enum error_kind chunk_read(struct catalog *cat, const struct chunk_id *id, enum chunk_type type, struct buffer *out,
                           struct error *err);

/* Many chunks of one frame: read the frame once, then look into it. */
struct chunk_frame;
enum error_kind chunk_frame_open(struct catalog *cat, uint64_t pack, uint32_t frame, struct chunk_frame **out,
                                 struct error *err);
/* Borrowed bytes of one chunk in it, checked against footer and id. */
enum error_kind chunk_frame_get(struct chunk_frame *f, const struct chunk_id *id, const struct chunk_place *place,
                                const void **bytes, struct error *err);
void chunk_frame_close(struct chunk_frame *f); /* accepts NULL */

#endif
