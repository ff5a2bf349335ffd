/*
 * Records inside this room: as JSON, in packs, and their shadows in the index.
 */
#ifndef NOPSNAP_RECORD_INTERNAL_H
#define NOPSNAP_RECORD_INTERNAL_H

#include "catalog_internal.h"
#include "record.h"
#include "text.h"

#define RECORD_LEN_MAX (2u << 20)     /* parsed JSON takes many times its length in memory */
#define RECORD_ID_LEN 32              /* hex digits */
#define RECORD_LINES_MAX (384u << 10) /* bytes that a record keeps of each of its lists of lines */

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
#define SMALL_RECORD_INIT \
    {                     \
        .reason = NULL    \
    }
enum error_kind small_record_encode(const struct small_record *r, struct buffer *out, struct error *err);
enum error_kind small_record_decode(enum chunk_type type, const void *bytes, size_t len, struct small_record *out,
                                    struct error *err);
void small_record_release(struct small_record *r);

bool record_id_valid(const char *id); /* 32 lower-case hex digits */
enum error_kind record_id_new(char out[RECORD_ID_LEN + 1], struct error *err);

/* ---- records in packs (record_pack.c) ---- */

/* Called inside the transaction that makes the record's pack stand: the rows go with it, or neither does. */
typedef enum error_kind record_rows_fn(void *arg, const struct chunk_id *chunk, struct error *err);
/*
 * Write one record into a pack of its own.
 *
 * rows       inserts what shadows the record
 * Durable    on return OK the record and its rows survive power loss; on failure neither exists. If power fails between the pack's
 *            rename and the transaction, the pack is announced and there: prune adopts the record, as rebuild would
 */
enum error_kind record_write(struct catalog *cat, enum chunk_type type, const void *bytes, size_t len,
                             record_rows_fn *rows, void *arg, struct error *err);

struct record_place {
    struct pack_row pack;
    struct footer_chunk chunk;
};
/*
 * Every record in the packs themselves (P7), in no particular order. bytes are checked and borrowed.
 *
 * damaged    called with the pack alone and the error when a pack or a record in it can't be read; NULL: that is an error
 */
typedef enum error_kind record_fn(void *arg, const struct record_place *place, const void *bytes, size_t len,
                                  struct error *err);
typedef enum error_kind record_damaged_fn(void *arg, const struct pack_row *pack, const struct error *why,
                                          struct error *err);
enum error_kind record_each(struct catalog *cat, record_fn *fn, record_damaged_fn *damaged, void *arg,
                            struct error *err);

/* ---- rows (snapshot_index.c, hold.c) ---- */

enum snapshot_flag {
    SNAPSHOT_FLAG_SUSPICIOUS = 1,
    SNAPSHOT_FLAG_WARNED = 2,   /* something could not be read */
    SNAPSHOT_FLAG_COMPLETE = 4, /* everything it reaches was seen to stand (C2) */
    SNAPSHOT_FLAG_ACCEPTED = 8,
};

/* Row and guard together. Inside a transaction. by_date: it is not committed just now, and nobody knows after which one it was. */
enum error_kind snapshot_row_add(struct index *ix, const struct snapshot_record *r, const struct chunk_id *chunk,
                                 unsigned flags, bool by_date, struct error *err);
/* Nothing happens if there is none. Inside a transaction. */
enum error_kind snapshot_row_remove(struct index *ix, const char *id, struct error *err);
enum error_kind snapshot_row_accept(struct index *ix, const char *id,
                                    struct error *err); /* no longer suspicious, and good */
enum error_kind snapshot_row_complete(struct index *ix, const char *id, struct error *err); /* seen to stand whole */

/* What a row says beyond struct snapshot_row. */
struct snapshot_shadow {
    struct snapshot_row row;
    struct chunk_id chunk; /* the record */
    unsigned flags;
};
struct snapshot_shadows {
    struct snapshot_shadow *items;
    size_t count, cap;
};
/* All rows (site_id NULL) or a site's, newest first. ERR_CORRUPT when any row was changed or is missing; what is good is in out all the same. */
enum error_kind snapshot_shadows_read(struct index *ix, const char *site_id, struct snapshot_shadows *out,
                                      struct error *err);
void snapshot_shadows_release(struct snapshot_shadows *s);
/* The record behind a row, checked against it (C5). */
enum error_kind snapshot_shadow_record(struct catalog *cat, const struct snapshot_shadow *s,
                                       struct snapshot_record *out, struct error *err);

enum error_kind hold_row_add(struct index *ix, const struct small_record *r, struct error *err);
enum error_kind hold_row_remove(struct index *ix, const char *id, struct error *err);
/* Every hold that stands (snapshot NULL) or one snapshot's, also those whose end has come. */
enum error_kind hold_rows_each(struct index *ix, const char *snapshot, snapshot_hold_fn *fn, void *arg,
                               struct error *err);
bool hold_is_over(const struct snapshot_hold *hold, int64_t now_ns);
enum error_kind tombstone_row_add(struct index *ix, const char *snapshot, struct error *err);
enum error_kind tombstone_row_remove(struct index *ix, const char *snapshot, struct error *err);
enum error_kind tombstone_row_find(struct index *ix, const char *snapshot, bool *found, struct error *err);

/*
 * A guard is the sum of a table's row checksums, kept in meta: a row that vanished from a damaged file is noticed, not only one that changed.
 */
enum error_kind table_guard_add(struct index *ix, const char *table, int64_t sum, struct error *err);
enum error_kind table_guard_subtract(struct index *ix, const char *table, int64_t sum, struct error *err);
enum error_kind table_guard_check(struct index *ix, const char *table, uint64_t total, struct error *err);

/* ---- reachability (reach.c) ---- */

/* One view of the index for many lookups: each alone would lock and unlock, which costs more than it finds. Ends with index_rollback(). */
#define INDEX_VIEW "BEGIN"

/*
 * All ids that stand, in memory, for when thousands have to be looked up: a first snapshot asks for each chunk there is.
 *
 * out        NULL on OK when there are too many for the memory that this may take, or damage is known: look each id up
 */
struct reach_set;
enum error_kind reach_set_load(struct catalog *cat, struct reach_set **out, struct error *err);
bool reach_set_has(const struct reach_set *s, const struct chunk_id *id, enum chunk_type type);
void reach_set_free(struct reach_set *s); /* accepts NULL */

/*
 * Does every id that a snapshot reaches stand, undamaged, in packs in place (C2)?
 *
 * base       a complete snapshot of the same site; what the two share is not looked at again. NULL: look at everything
 * Returns    ERR_CORRUPT naming the first id that does not, and where it is used
 */
enum error_kind reach_check(struct catalog *cat, const struct snapshot_record *record,
                            const struct snapshot_record *base, struct error *err);

#endif
