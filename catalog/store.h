/*
 * Writing chunks.
 *
 *     rc = store_begin(cat, NULL, &store, err);
 *     rc = store_put(store, CHUNK_DATA, group, bytes, len, &ticket, err);     many times
 *     rc = store_flush(store, err);                                           now everything is in place, on disk
 *     rc = store_resolve(store, ticket, &id, err);
 *     rc = snapshot_commit(store, ...) (record.h)
 *     store_free(store);
 *
 * A put hands out a ticket, because an id is known only when its pack's claim was decided (P5). Compression runs in
 * worker threads, one thread writes packs; queues are bounded, so memory is too. One thread at a time calls in.
 * Nothing that was put is visible to anybody until a snapshot that reaches it is committed; an abandoned store leaves only
 * unreferenced bytes for the next prune (P4).
 */
#ifndef NOPSNAP_STORE_H
#define NOPSNAP_STORE_H

#include "catalog.h"

struct store;
typedef uint64_t store_ticket;

struct store_options {
    int level;          /* zstd level; 0: the default */
    int workers;        /* 0: one a processor */
    uint64_t pack_size; /* stored bytes after which a pack is closed; 0: the default */
};

struct store_stats {
    uint64_t chunks_put, bytes_put; /* everything that came in */
    uint64_t chunks_new, bytes_new; /* what was not there */
    uint64_t bytes_stored;          /* what it takes on disk */
    uint64_t packs;
    uint64_t damaged;  /* copies that could not be read when they were compared (P6) */
    uint64_t repaired; /* damaged copies replaced by good ones */
};

enum error_kind store_begin(struct catalog *cat, const struct store_options *options, struct store **out,
                            struct error *err);
/*
 * Store one chunk, or find it stored.
 *
 * group      small chunks of the same group share frames (a number made from the kind of file: like lies by like)
 * bytes      copied before the call returns; at most 8 MiB
 * Returns    ERR_SPACE, ERR_IO: the store is then broken, every later call returns the same error
 */
enum error_kind store_put(struct store *store, enum chunk_type type, uint32_t group, const void *bytes, size_t len,
                          store_ticket *ticket, struct error *err);
/* What is computed from a chunk's bytes alone, so by any thread. */
struct chunk_digest {
    struct hash first, second;
    bool dense; /* looks compressed already */
};
void chunk_digest_of(const struct catalog_format *format, enum chunk_type type, const void *bytes, size_t len,
                     struct chunk_digest *out);
/* store_put() of data whose digest is known. */
enum error_kind store_put_digested(struct store *store, uint32_t group, const void *bytes, size_t len,
                                   const struct chunk_digest *digest, store_ticket *ticket, struct error *err);
/*
 * Decide the ids of everything put so far (a short index transaction), without closing the pack: store_resolve() works for them from now
 * on, so that a parent directory can be encoded. Not durable, not visible; until its pack is in place nobody else compares with such a claim.
 */
enum error_kind store_claim(struct store *store, struct error *err);
/*
 * Finish all that was put: claim, footer, fsync, rename, fsync of the folder, index.
 * Durable    on return OK every chunk put so far survives power loss
 */
enum error_kind store_flush(struct store *store, struct error *err);
/* The id behind a ticket; only after a claim or flush that came after its put. */
enum error_kind store_resolve(struct store *store, store_ticket ticket, struct chunk_id *out, struct error *err);
struct catalog *store_catalog(struct store *store);
void store_stats(const struct store *store, struct store_stats *out);
void store_free(struct store *store); /* abandons what was not flushed; accepts NULL */

/*
 * Cutting by content (FastCDC, Xia et al., USENIX ATC 2016): feed a stream, get chunks.
 */
struct cutter;
enum error_kind cutter_new(const struct catalog_format *format, struct cutter **out, struct error *err);
void cutter_free(struct cutter *c);
/*
 * How many of the first len bytes form the next chunk. at_end: no more bytes follow.
 * Returns    0 when more bytes are needed first (never when at_end and len > 0)
 */
size_t cutter_next(const struct cutter *c, const unsigned char *bytes, size_t len, bool at_end);

/* A stream (a dump, a huge file) put as cut chunks; the result is a list. Constant memory: tickets wait in an unnamed file. */
struct store_stream;
enum error_kind store_stream_begin(struct store *store, uint32_t group, struct store_stream **out, struct error *err);
enum error_kind store_stream_write(struct store_stream *s, const void *bytes, size_t len, struct error *err);
/* Put the rest; the number of chunks and bytes are known now. */
enum error_kind store_stream_end(struct store_stream *s, uint64_t *chunks, uint64_t *bytes, struct error *err);
/* After a store_flush(): the n-th chunk's id. */
enum error_kind store_stream_id(struct store_stream *s, uint64_t n, struct chunk_id *out, struct error *err);
void store_stream_free(struct store_stream *s);

#endif
