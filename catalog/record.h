/*
 * Records: snapshots, tombstones, holds. A record is content in a pack of its own kind, written after all that it
 * depends on (P4); the index row is only its shadow (P7).
 */
#ifndef NOPSNAP_RECORD_H
#define NOPSNAP_RECORD_H

#include "catalog.h"
#include "store.h"

#define SNAPSHOT_ROOTS_MAX 8

enum snapshot_kind { SNAPSHOT_MANUAL, SNAPSHOT_SCHEDULED, SNAPSHOT_SAFETY, SNAPSHOT_BEFORE_UPGRADE };
enum snapshot_part { SNAPSHOT_WHOLE, SNAPSHOT_FILES_ONLY, SNAPSHOT_DATABASE_ONLY };

struct snapshot_root {
    char *name;           /* "site", "pictures" */
    char *path;           /* absolute, bytes */
    struct chunk_id tree; /* a tree with the single entry "." */
    uint64_t files, bytes;
};

struct snapshot_left_out {
    char *path;
    char *reason;
    uint64_t files, bytes;
};

struct snapshot_record {
    char id[33];     /* 32 hex digits; made by snapshot_commit() when empty */
    int64_t made_ns; /* the moment it stands for */
    char *site_id, *site_path, *site_name;
    char *host, *host_id, *tool;
    enum snapshot_kind kind;
    enum snapshot_part part;
    bool stopped;           /* mode: the shop was fenced */
    int64_t from_ns, to_ns; /* window */
    struct snapshot_root roots[SNAPSHOT_ROOTS_MAX];
    size_t root_count;
    struct chunk_id *links;
    size_t link_count;
    bool has_dump;
    struct chunk_id dump; /* a list */
    uint64_t dump_bytes;
    char *dump_facts; /* JSON text made by database/; no secret */
    char *nop_version, *nop_layout;
    struct snapshot_left_out *left_out;
    size_t left_out_count;
    struct text_list patterns; /* the owner's, as they applied: "exclude *.bak", "include /logs" */
    struct text_list unread;   /* "path: error": what could not be read */
    struct text_list notes;
    struct text_list tags;
    char *transaction;                /* id of the transaction that took this state away, or NULL */
    char *transaction_only;           /* "files", "database" or NULL */
    uint64_t bytes_new, bytes_stored; /* growth of the catalogue */
    bool suspicious;                  /* flagged: does not count as good until accepted */
    char *suspicion;
};

#define SNAPSHOT_RECORD_INIT \
    {                        \
        .id = ""             \
    }
void snapshot_record_release(struct snapshot_record *r);

/*
 * Make a snapshot visible: its record in a pack of its own, then one SQLite transaction that checks that every id it reaches
 * stands undamaged (C2).
 *
 * record     its id is filled in
 * Durable    on return OK the snapshot survives power loss; on failure it does not exist
 */
enum error_kind snapshot_commit(struct store *store, struct snapshot_record *record, struct error *err);

/*
 * Visible snapshots, newest first. The record handed to fn is read from its pack and checked; borrowed. One that can't be read is left out,
 * and after all others were handed over its error is returned: ERR_CORRUPT means that not all were seen.
 */
typedef enum error_kind snapshot_fn(void *arg, const struct snapshot_record *record, struct error *err);
enum error_kind snapshot_each(struct catalog *cat, const char *site_id, snapshot_fn *fn, void *arg, struct error *err);

/* One by the beginning of its id (at least 4 digits), or "latest". ERR_NOT_FOUND, ERR_USAGE if ambiguous. */
enum error_kind snapshot_find(struct catalog *cat, const char *site_id, const char *id, struct snapshot_record *out,
                              struct error *err);

/* One by its whole id, at the cost of one row and one pack however many there are. ERR_NOT_FOUND. */
enum error_kind snapshot_read(struct catalog *cat, const char *id, struct snapshot_record *out, struct error *err);

/* Cheap rows for `list` and `status`: from the index, row checksum verified, no pack read. ERR_CORRUPT as above. */
struct snapshot_row {
    char id[33];
    char *site_id, *site_path, *site_name, *nop_version;
    int64_t made_ns;
    enum snapshot_kind kind;
    enum snapshot_part part;
    uint64_t files, bytes, dump_bytes, bytes_stored;
    bool held, suspicious, warned;
    bool accepted; /* by a person, flagged or not */
    char *tags;    /* comma-separated */
    int64_t
        order; /* higher than that of all that were committed before, whatever their dates say; after a rebuild by date */
};
typedef enum error_kind snapshot_row_fn(void *arg, const struct snapshot_row *row, struct error *err);
enum error_kind snapshot_row_each(struct catalog *cat, const char *site_id, snapshot_row_fn *fn, void *arg,
                                  struct error *err);

/* Forget: a tombstone record, then the rows go. ERR_REFUSED naming a hold. */
enum error_kind snapshot_forget(struct catalog *cat, const char *const *ids, size_t count, struct error *err);

struct snapshot_hold {
    char id[33];
    char snapshot[33];
    char *reason;
    bool by_person;
    int64_t until_ns; /* 0: until released */
};
enum error_kind snapshot_hold_add(struct catalog *cat, const char *snapshot, const char *reason, bool by_person,
                                  int64_t until_ns, char id_out[33], struct error *err);
/* Release every hold on a snapshot; automatic ones only, unless by_person. ERR_NOT_FOUND if there was none. */
enum error_kind snapshot_hold_release(struct catalog *cat, const char *snapshot, bool by_person, struct error *err);
typedef enum error_kind snapshot_hold_fn(void *arg, const struct snapshot_hold *hold, struct error *err);
enum error_kind snapshot_hold_each(struct catalog *cat, const char *snapshot, snapshot_hold_fn *fn, void *arg,
                                   struct error *err);
enum error_kind snapshot_accept(struct catalog *cat, const char *snapshot, struct error *err);

/* Hard-link groups: written by a snapshot, read in order. */
struct links_builder;
enum error_kind links_builder_new(struct store *store, struct links_builder **out, struct error *err);
/* paths: relative to roots[root[i]] */
enum error_kind links_builder_group(struct links_builder *b, const unsigned char *root, const char *const *paths,
                                    size_t count, struct error *err);
/* Flushes; appends the ids to record->links. */
enum error_kind links_builder_end(struct links_builder *b, struct snapshot_record *record, struct error *err);
void links_builder_free(struct links_builder *b);
/* fn is called once a path; first is true for the first path of each group. */
typedef enum error_kind links_fn(void *arg, bool first, unsigned root, const char *path, struct error *err);
enum error_kind links_each(struct catalog *cat, const struct snapshot_record *record, links_fn *fn, void *arg,
                           struct error *err);

#endif
