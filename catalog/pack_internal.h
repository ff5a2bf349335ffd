/*
 * Packs as docs/format.md has them: a header, frames, a footer that lists what is inside, a trailer.
 *
 * pack_format.c encodes and decodes the fixed structures, pack_read.c opens a pack and reads frames, checked; pack_write.c makes
 * one. None of them knows the index: who claims and announces is store_claim.c (and prune).
 *
 * Invariants
 *   K1  a name below packs/ ending in .pack is a whole, synced pack; anything unfinished ends in .part
 *   K2  a frame's bytes are handed out only if its header, its place in the footer's table and its checksum agree
 *   K3  no length from disk is used before it was found to lie inside what it measures
 */
#ifndef NOPSNAP_PACK_INTERNAL_H
#define NOPSNAP_PACK_INTERNAL_H

#include "buffer.h"
#include "catalog.h"
#include "index_internal.h"

#define PACK_HEADER_LEN 128
#define PACK_TRAILER_LEN 64
#define FRAME_HEADER_LEN 32
#define FOOTER_HEAD_LEN 8
#define FOOTER_FRAME_LEN 20
#define FOOTER_CHUNK_LEN 49
#define FRAME_RAW_MAX (16u << 20)
#define CHUNK_LEN_MAX (8u << 20)
/* Of the two tables together: what a pack of the full 20480 chunks needs is a tenth of it. */
#define FOOTER_MAX (16u << 20)
#define PACK_FORMAT 1

struct pack_header {
    struct catalog_format format;
    unsigned char name[PACK_NAME_LEN];
    enum pack_kind kind;
    int64_t made_ns;
};

struct frame_header {
    uint8_t codec;
    uint8_t cipher;
    uint32_t raw, stored;
    uint64_t checksum; /* of the stored bytes */
};

struct pack_trailer {
    uint64_t footer_at, footer_len;
    struct hash sum; /* of header and footer */
    unsigned char name[PACK_NAME_LEN];
};

/* The footer's tables, decoded. */
struct footer_frame {
    uint64_t at; /* of the frame's header */
    uint32_t stored, raw;
    uint8_t codec, cipher;
};
struct footer_chunk {
    struct chunk_id id;
    enum chunk_type type;
    uint32_t frame, offset, len;
    struct hash second;
};

void pack_header_encode(const struct pack_header *h, unsigned char out[PACK_HEADER_LEN]);
/* ERR_CORRUPT; ERR_REFUSED for a newer format. shown names the pack in the text. */
enum error_kind pack_header_decode(const unsigned char in[PACK_HEADER_LEN], const char *shown, struct pack_header *out,
                                   struct error *err);
void frame_header_encode(const struct frame_header *h, unsigned char out[FRAME_HEADER_LEN]);
/* Lengths are inside FRAME_RAW_MAX on OK. */
enum error_kind frame_header_decode(const unsigned char in[FRAME_HEADER_LEN], struct frame_header *out,
                                    struct error *err);
void pack_trailer_encode(const struct pack_trailer *t, unsigned char out[PACK_TRAILER_LEN]);
enum error_kind pack_trailer_decode(const unsigned char in[PACK_TRAILER_LEN], struct pack_trailer *out,
                                    struct error *err);
void footer_frame_encode(const struct footer_frame *f, unsigned char out[FOOTER_FRAME_LEN]);
void footer_frame_decode(const unsigned char in[FOOTER_FRAME_LEN], struct footer_frame *out);
void footer_chunk_encode(const struct footer_chunk *c, unsigned char out[FOOTER_CHUNK_LEN]);
void footer_chunk_decode(const unsigned char in[FOOTER_CHUNK_LEN], struct footer_chunk *out);
bool chunk_type_is_known(unsigned type);
bool chunk_type_is_record(unsigned type);

/* "packs/3f/3f….pack" relative to the catalogue's folder, or its ".part". */
#define PACK_PATH_MAX 64
void pack_path(const unsigned char name[PACK_NAME_LEN], bool part, char out[PACK_PATH_MAX]);
/* The name in "3f….pack" or "3f….part"; false if it is neither. */
bool pack_name_parse(const char *file_name, bool *part, unsigned char out[PACK_NAME_LEN]);

/* An open pack, its footer checked (every entry inside bounds, in order). Immutable, so threads may share it. */
struct pack;

/*
 * Open and check header, trailer and footer.
 *
 * dirfd      the catalogue's folder
 * format     what the header must repeat; NULL: whatever it says (rebuild)
 * Returns    ERR_NOT_FOUND, ERR_CORRUPT naming the pack and the part of it that is damaged
 */
enum error_kind pack_open(int dirfd, const unsigned char name[PACK_NAME_LEN], const struct catalog_format *format,
                          struct pack **out, struct error *err);
void pack_close(struct pack *p); /* accepts NULL */
const struct pack_header *pack_header_of(const struct pack *p);
uint64_t pack_size(const struct pack *p); /* of the file */
size_t pack_memory(const struct pack *p); /* what the open pack takes in memory */
uint32_t pack_frame_count(const struct pack *p);
uint32_t pack_chunk_count(const struct pack *p);
void pack_frame_at(const struct pack *p, uint32_t i, struct footer_frame *out); /* i < pack_frame_count() */
void pack_chunk_at(const struct pack *p, uint32_t i, struct footer_chunk *out); /* i < pack_chunk_count() */
/* The first entry whose (frame, offset) is not below this one; pack_chunk_count() if there is none. */
uint32_t pack_chunk_search(const struct pack *p, uint32_t frame, uint32_t offset);
/*
 * Read one frame: header, place, checksum (K2), decode.
 *
 * out        replaced; needs a ceiling of FRAME_RAW_MAX at least
 */
enum error_kind pack_frame_read(const struct pack *p, uint32_t frame, struct buffer *out, struct error *err);
/* The same without decoding: header and stored bytes, checked, for a copy as it is. */
enum error_kind pack_frame_read_stored(const struct pack *p, uint32_t frame, struct frame_header *header,
                                       struct buffer *out, struct error *err);

/*
 * Frames that can be told by themselves, for a pack whose footer or trailer is lost: the header's place is *at; on OK *at is behind the
 * frame. ERR_NOT_FOUND at the end or where no valid frame begins.
 */
enum error_kind pack_scan_frame(int fd, uint64_t *at, struct frame_header *header, struct error *err);

/*
 * A pack being written.
 *
 *     pack_draft_begin   packs/xx/….part with its header
 *     pack_draft_frame   any number; start of writeback
 *     pack_draft_chunk   what is in the frames, in the order of (frame, offset)
 *                        (the caller claims ids in the index and announces the name here)
 *     pack_draft_seal    footer and trailer
 *     pack_draft_publish fsync, rename, fsync of the folder (and of packs/)
 *                        (the caller marks the pack as in place)
 *     pack_draft_free    removes the .part unless it was published
 *
 * After a failed write or sync the draft can only be freed (a failed sync is never retried as success).
 */
struct pack_draft;
enum error_kind pack_draft_begin(int dirfd, const struct catalog_format *format, enum pack_kind kind,
                                 struct pack_draft **out, struct error *err);
const unsigned char *pack_draft_name(const struct pack_draft *d);
int64_t pack_draft_made(const struct pack_draft *d);
uint64_t pack_draft_size(const struct pack_draft *d); /* bytes so far; of the whole file once sealed */
uint32_t pack_draft_frames(const struct pack_draft *d);
/* Has it got its final name? True also when a sync after the rename failed. */
bool pack_draft_published(const struct pack_draft *d);
int pack_draft_fd(const struct pack_draft *d); /* for reading frames back; borrowed */
enum error_kind pack_draft_frame(struct pack_draft *d, uint8_t codec, const void *stored, uint32_t stored_len,
                                 uint32_t raw_len, uint32_t *frame, struct footer_frame *where, struct error *err);
enum error_kind pack_draft_chunk(struct pack_draft *d, const struct footer_chunk *chunk, struct error *err);
enum error_kind pack_draft_seal(struct pack_draft *d, struct error *err);
enum error_kind pack_draft_publish(struct pack_draft *d, struct error *err);
void pack_draft_free(struct pack_draft *d); /* accepts NULL */
/* Read back a frame of a draft (or of the pack that it became), by descriptor. */
enum error_kind frame_read(int fd, const struct footer_frame *where, const char *shown, struct buffer *out,
                           struct error *err);

#endif
