/*
 * The index, catalog.sqlite: the only way to SQLite. index_sqlite.c alone knows the library; the rest of the room speaks SQL
 * through the statements here, and to chunks and packs through the typed rows below.
 *
 *     rc = index_prepare(ix, "SELECT made FROM snapshots WHERE site = ?1", &st, err);
 *     if (rc)
 *         goto done;
 *     index_bind_text(st, 1, site);
 *     while (!(rc = index_step(st, &row, err)) && row)
 *         use(index_number(st, 0));
 *   done:
 *     index_finish(st);                                    accepts NULL
 *
 * A connection is used by one thread at a time. Prepared statements are kept for the next use of the same text. A statement that was not
 * finished keeps a read transaction open: finish it.
 * Whatever SQLite says about a damaged file becomes ERR_CORRUPT with the hint to rebuild; a full disk ERR_SPACE.
 */
#ifndef NOPSNAP_INDEX_INTERNAL_H
#define NOPSNAP_INDEX_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "catalog.h"

struct index;
struct index_statement;

enum index_mode {
    INDEX_CREATE,    /* make the file and the schema */
    INDEX_WRITE,     /* the file must be there */
    INDEX_IMMUTABLE, /* on read-only media: no locks, no WAL */
};

/* How long a writer waits for another writer's transaction. */
#define INDEX_BUSY_MS 60000
#define HINT_NO_ROOM "make room on the catalogue's disk: nopsnap forget SITE, then nopsnap prune; or give it more"

/* Returns    ERR_SPACE also where there is no room for the memory that a WAL's readers share (INDEX_WRITE) */
enum error_kind index_open(const char *path, enum index_mode mode, struct index **out, struct error *err);
void index_close(struct index *ix); /* accepts NULL; rolls back what is open */
void index_busy_timeout(struct index *ix, int timeout_ms);

/*
 * Whether what is committed from now on survives power loss at once (so it does from index_open() on), or only together with the next commit
 * that does: order is kept either way. Outside transactions.
 */
enum error_kind index_sync_commits(struct index *ix, bool sync, struct error *err);
/* BEGIN IMMEDIATE: the write lock is taken now, so that nothing read inside can be overtaken. */
enum error_kind index_begin(struct index *ix, struct error *err);
/* Durable    on return OK the transaction survives power loss (WAL, synchronous=FULL), unless index_sync_commits() says otherwise */
enum error_kind index_commit(struct index *ix, struct error *err);
void index_rollback(struct index *ix); /* does nothing when no transaction is open; accepts NULL */
bool index_in_transaction(const struct index *ix);
/* One or more statements without parameters or results. */
enum error_kind index_run(struct index *ix, const char *sql, struct error *err);

enum error_kind index_prepare(struct index *ix, const char *sql, struct index_statement **out, struct error *err);
void index_finish(struct index_statement *st); /* accepts NULL */
/* Parameters count from 1. A failed binding is reported by the next step. Bytes and text are copied. */
void index_bind_number(struct index_statement *st, int at, int64_t n);
void index_bind_text(struct index_statement *st, int at, const char *text); /* NULL: NULL */
void index_bind_bytes(struct index_statement *st, int at, const void *bytes, size_t len);
/* *row false: no more. */
enum error_kind index_step(struct index_statement *st, bool *row, struct error *err);
/* prepare, bind numbers only, step to the end. */
enum error_kind index_execute(struct index *ix, const char *sql, const int64_t *numbers, int count, struct error *err);
/* Columns count from 0. Borrowed until the next step. */
int64_t index_number(const struct index_statement *st, int column);
const char *index_text(const struct index_statement *st, int column); /* NULL for NULL */
const void *index_bytes(const struct index_statement *st, int column, size_t *len);
int64_t index_changes(const struct index *ix);  /* rows changed by the last statement */
int64_t index_last_row(const struct index *ix); /* rowid of the last insert */

/* Tables and indexes, in the order in which they are made. NULL at the end. */
extern const char *const index_schema[];
#define INDEX_HISTORY "CREATE INDEX IF NOT EXISTS history_by_kind ON history (what, site)"

/*
 * Row checksums (P7): XXH3-64 of the row's fields one after the other, with the table's tag, so that a row is neither changed nor moved to
 * another table unnoticed. Text counts with its length; NULL differs from "".
 */
struct row_sum {
    uint64_t value;
};
struct row_sum row_sum_of(const char *table);
void row_sum_number(struct row_sum *s, int64_t n);
void row_sum_text(struct row_sum *s, const char *text);
void row_sum_bytes(struct row_sum *s, const void *bytes, size_t len);
int64_t row_sum_end(const struct row_sum *s);
/* ERR_CORRUPT with the hint to rebuild: a row of this table is damaged. */
enum error_kind index_row_damaged(const char *table, struct error *err);

/* meta: named numbers, each with its checksum. ERR_CORRUPT when absent. */
enum error_kind index_meta_get(struct index *ix, const char *key, int64_t *out, struct error *err);
enum error_kind index_meta_set(struct index *ix, const char *key, int64_t value, struct error *err);

/* packs */
enum pack_kind { PACK_DATA = 1, PACK_RECORDS = 2 };
enum pack_state { PACK_ANNOUNCED = 1, PACK_IN_PLACE = 2, PACK_TO_REMOVE = 3 };
#define PACK_NAME_LEN 16

struct pack_row {
    uint64_t number; /* never used again for another pack */
    unsigned char name[PACK_NAME_LEN];
    enum pack_state state;
    enum pack_kind kind;
    uint64_t size; /* of the file */
    uint32_t frames, chunks;
    uint64_t generation;
    int64_t made_ns;
};

/* Insert a row (its number is filled in) in whatever state it has. Inside a transaction. */
enum error_kind index_pack_add(struct index *ix, struct pack_row *row, struct error *err);
/* Rewrite the row with this number. Inside a transaction. */
enum error_kind index_pack_update(struct index *ix, const struct pack_row *row, struct error *err);
enum error_kind index_pack_remove(struct index *ix, uint64_t number, struct error *err);
enum error_kind index_pack_find(struct index *ix, uint64_t number, struct pack_row *out, bool *found,
                                struct error *err);
enum error_kind index_pack_find_name(struct index *ix, const unsigned char name[PACK_NAME_LEN], struct pack_row *out,
                                     bool *found, struct error *err);
typedef enum error_kind index_pack_fn(void *arg, const struct pack_row *row, struct error *err);
/* In the order of their numbers. */
enum error_kind index_pack_each(struct index *ix, index_pack_fn *fn, void *arg, struct error *err);

/* chunks */
struct chunk_row {
    int64_t row; /* rowid */
    struct chunk_id id;
    uint64_t pack; /* 0: claimed by a running writer, its place not yet decided */
    uint32_t frame, offset, len;
    enum chunk_type type;
    struct hash second;
    uint64_t generation; /* in which it was claimed */
    bool in_place;       /* its pack is in place */
    bool damaged;        /* its frame, or its whole pack, is known to be damaged */
};
/* Does the chunk stand: in place and undamaged? */
#define chunk_row_stands(r) ((r)->in_place && !(r)->damaged)

enum error_kind index_chunk_find(struct index *ix, const struct chunk_id *id, struct chunk_row *out, bool *found,
                                 struct error *err);
enum error_kind index_chunk_any(struct index *ix, bool *out, struct error *err); /* is there any row? */
/* Every row, checked, in no particular order. in_place and damaged are not looked up: they are false. */
typedef enum error_kind index_chunk_fn(void *arg, const struct chunk_row *row, struct error *err);
enum error_kind index_chunk_each(struct index *ix, index_chunk_fn *fn, void *arg, struct error *err);
/* *added false when the id is taken. Fills row->row. Inside a transaction. */
enum error_kind index_chunk_add(struct index *ix, struct chunk_row *row, bool *added, struct error *err);
/* Give the row (by row->row) all the values in *row. Inside a transaction. */
enum error_kind index_chunk_update(struct index *ix, const struct chunk_row *row, struct error *err);
enum error_kind index_chunk_remove(struct index *ix, int64_t row, struct error *err);

/* damage */
#define DAMAGE_WHOLE_PACK (-1)
/* Remember damage (a short transaction unless one is open). frame: DAMAGE_WHOLE_PACK or its number. */
enum error_kind index_damage_add(struct index *ix, uint64_t pack, int64_t frame, const char *what, struct error *err);
enum error_kind index_damage_clear(struct index *ix, uint64_t pack, int64_t frame, struct error *err);
/* What of a frame that nothing leads to any more begins with this: it is a note for prune, and no loss. */
#define DAMAGE_SUPERSEDED "superseded: "
/* Any that is a loss? */
enum error_kind index_damage_any(struct index *ix, bool *out, struct error *err);
typedef enum error_kind index_damage_fn(void *arg, uint64_t pack, int64_t frame, const char *what, int64_t moment_ns,
                                        struct error *err);
enum error_kind index_damage_each(struct index *ix, index_damage_fn *fn, void *arg, struct error *err);

#endif
