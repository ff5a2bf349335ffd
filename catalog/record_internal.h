/*
 * Records inside this room: as JSON, in packs, and their shadows in the index.
 */
#ifndef NOPSNAP_RECORD_INTERNAL_H
#define NOPSNAP_RECORD_INTERNAL_H

#include "catalog_internal.h"
#include "record.h"
#include "text.h"

#define RECORD_LEN_MAX (2u << 20)      /* parsed JSON takes many times its length in memory */
#define RECORD_ID_LEN 32               /* hex digits */
#define RECORD_LINES_MAX (384u << 10)  /* bytes that a record keeps of each of its lists of lines */

/* ---- snapshots as JSON (record_json.c) ---- */

/* Appends. The facts of a dump must be JSON themselves. */
enum error_kind snapshot_record_encode(const struct snapshot_record *r, struct buffer *out, struct error *err);
/* ERR_CORRUPT for anything that snapshot_record_encode() would not have made (P11). out is filled on OK only. */
enum error_kind snapshot_record_decode(const void *bytes, size_t len, struct snapshot_record *out, struct error *err);

/* ---- the small ones ---- */

struct small_record {
    enum chunk_type type; /* CHUNK_TOMBSTONE, CHUNK_HOLD, CHUNK_RELEASE, CHUNK_ACCEPT */
    char id[RECORD_ID_LEN + 1];
    int64_t made_ns;
    struct text_list targets; /* tombstone: snapshots; hold, accept: one snapshot; release: holds */
    char *reason;             /* hold */
    bool by_person;
    int64_t until_ns;
};
#define SMALL_RECORD_INIT {.reason = NULL}
enum error_kind small_record_encode(const struct small_record *r, struct buffer *out, struct error *err);
enum error_kind small_record_decode(enum chunk_type type, const void *bytes, size_t len, struct small_record *out,
                                    struct error *err);
void small_record_release(struct small_record *r);

bool record_id_valid(const char *id); /* 32 lower-case hex digits */
enum error_kind record_id_new(char out[RECORD_ID_LEN + 1], struct error *err);

/* ---- records in packs (record_pack.c) ---- */

/* Called inside the transaction that makes the record's pack stand: the row goes with it, or neither does. */
typedef enum error_kind record_rows_fn(void *arg, const struct chunk_id *chunk, struct error *err);
/*
 * Write one record into a pack of its own.
 *
 * rows       inserts what shadows the record
 * Durable    on return OK the record and its rows survive power loss; on failure neither exists, unless power fails
 *            just after the rename: then the next exclusive lock finds the pack announced and there, and adopts it
 */
enum error_kind record_write(struct catalog *cat, enum chunk_type type, const void *bytes, size_t len,
                             record_rows_fn *rows, void *arg, struct error *err);

/* Every record in packs in place, in the order in which they were written. bytes are checked and borrowed. */
typedef enum error_kind record_fn(void *arg, const struct chunk_row *row, const void *bytes, size_t len,
                                  struct error *err);
/* damaged: called for records that can't be read, with len 0 and bytes NULL; NULL: such a one is an error */
enum error_kind record_each(struct catalog *cat, record_fn *fn, record_fn *damaged, void *arg, struct error *err);

#endif
