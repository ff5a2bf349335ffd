/* What the files of this room share about an open catalogue. */
#ifndef NOPSNAP_CATALOG_INTERNAL_H
#define NOPSNAP_CATALOG_INTERNAL_H

#include <pthread.h>

#include "buffer.h"
#include "catalog.h"
#include "file.h"
#include "index_internal.h"
#include "pack_internal.h"
#include "store.h"

#define FORMAT_NAME "format.json"
#define INDEX_NAME "catalog.sqlite"
#define PACKS_NAME "packs"
#define CACHE_NAME "cache"
#define LOCKS_NAME "locks"
#define RESERVE_NAME "reserve"

struct chunk_cache; /* chunk.c */

struct catalog {
    char *path;
    int dirfd;
    enum catalog_mode mode;
    bool
        read_only; /* the mount, our rights or a full disk allow no writing: the index is immutable or a copy, nothing is recorded */
    struct catalog_format format;
    struct file_lock lock;
    ino_t index_inode;   /* while the lock is let go of: the index file that is open */
    struct index *index; /* the calling thread's connection: records, prune, history */
    /* Lookups from any thread: one at a time. Never inside a transaction. */
    pthread_mutex_t lookup_lock;
    struct index *lookup;
    uint64_t generation; /* as of the opening, or of this process's own prune */
    struct chunk_cache *cache;
    int64_t reserve_before; /* bytes that the reserve had before something was taken of it; 0: nothing was */
    char *
        index_copy; /* folder of a private copy of the index, for read-only media with an unfinished WAL and for a full disk; or NULL */
};

/* The newest events of one kind first, at most limit of them; site_id NULL: of every site. See catalog_event_each(). */
enum error_kind history_recent(struct catalog *cat, const char *site_id, const char *what, int64_t limit,
                               catalog_event_fn *fn, void *arg, struct error *err);
/* The newest one of a site that went well. */
enum error_kind history_good(struct catalog *cat, const char *site_id, const char *what, catalog_event_fn *fn,
                             void *arg, struct error *err);

/* ERR_REFUSED when this catalogue is open for reading only. */
enum error_kind catalog_require_write(const struct catalog *cat, struct error *err);
/*
 * Change the lock that this process holds: drop, then take (others may come between: look again at everything).
 *
 * When alone() fails the shared lock is held again (waiting for it without a deadline is safe: an exclusive holder ends), unless the
 * text says that it could not be taken: a signal ends that wait, too.
 */
enum error_kind catalog_lock_alone(struct catalog *cat, int timeout_ms, struct error *err);
enum error_kind catalog_lock_shared(struct catalog *cat, struct error *err);
/* Raise the generation (inside a transaction of cat->index); cat->generation follows. */
enum error_kind catalog_raise_generation(struct catalog *cat, struct error *err);

/* There is none: a new one in the folder where its disk is not mounted would hide what was saved, and fill the wrong disk. */
void catalog_hint_none(struct error *err);

/* Room for a full disk (reserve.c) */
bool reserve_take_piece(struct catalog *cat);      /* enough to open the index; false: there is none */
bool reserve_is_needed(const struct catalog *cat); /* is less room left than a reserve should have? */
bool reserve_is_whole(const struct catalog *cat);  /* it is as it should be, and a little room beside it */
void reserve_take_all(struct catalog *cat);        /* where it is needed, by who makes room or leads to it */
void reserve_give_back(struct catalog *cat);       /* at the end, with the index closed */

/* format.json */
enum error_kind format_make(struct catalog_format *out, struct error *err); /* a new catalogue's: random id and seeds */
bool format_equal(const struct catalog_format *a, const struct catalog_format *b);
/* Are the numbers usable? ERR_CORRUPT; ERR_REFUSED for a weak hash in a normal build. */
enum error_kind format_check(const struct catalog_format *f, struct error *err);
/* ERR_NOT_FOUND, ERR_CORRUPT, ERR_REFUSED (newer). */
enum error_kind format_read(int dirfd, struct catalog_format *out, struct error *err);
/* Durable    whole or absent */
enum error_kind format_write(const char *catalog_path, const struct catalog_format *f, struct error *err);

/* Both hashes of a content (P5). */
void content_hash(const struct catalog_format *f, enum chunk_type type, const void *bytes, size_t len,
                  struct hash *first, struct hash *second);

/* Both ways between packs/ and the index (C1). ERR_CORRUPT with hint: rebuild. */
enum error_kind catalog_check_packs(struct catalog *cat, struct error *err);
/* Announced packs whose file is there: check each and mark it as in place. Only under the exclusive lock. */
enum error_kind catalog_finish_announced(struct catalog *cat, struct error *err);
/* Every file below packs/ that bears a pack's name. Others are left alone. */
typedef enum error_kind pack_file_fn(void *arg, const unsigned char name[PACK_NAME_LEN], bool part, uint64_t size,
                                     struct error *err);
enum error_kind pack_file_each(int dirfd, pack_file_fn *fn, void *arg, struct error *err);

/* The names in a folder, without "." and "..", in no order. */
typedef enum error_kind folder_fn(void *arg, const char *name, struct error *err);
enum error_kind folder_each(int dirfd, const char *path, folder_fn *fn, void *arg, struct error *err);

/* A new, empty index for this catalogue, at a path where there is none. */
enum error_kind catalog_make_index(const char *index_path, const struct catalog_format *format, int64_t generation,
                                   struct index **out, struct error *err);

/* A store whose packs hold records only (kind 2). Put, flush, resolve as always. */
enum error_kind store_begin_records(struct catalog *cat, struct store **out, struct error *err);

/* Caches of chunk.c. */
enum error_kind chunk_cache_new(struct chunk_cache **out, struct error *err);
void chunk_cache_free(struct chunk_cache *c);              /* accepts NULL */
void chunk_cache_drop(struct catalog *cat, uint64_t pack); /* 0: everything; after prune removed packs */
/* Thread-safe lookup through cat->lookup. */
enum error_kind catalog_chunk_find(struct catalog *cat, const struct chunk_id *id, struct chunk_row *out, bool *found,
                                   struct error *err);
/* Remember damage if the catalogue can be written; never fails. */
void catalog_note_damage(struct catalog *cat, uint64_t pack, int64_t frame, const char *what);

#endif
