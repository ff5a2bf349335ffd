/*
 * What the files of this room share while one snapshot is taken.
 *
 *   snapshot_take.c  the order of things, and the record
 *   dump.c           database -> store
 *   take_root.c      walk -> windows; take_window.c  window -> files read in the best order -> spill, in walk order
 *   encode.c         spill -> trees; the stat cache
 *   pictures.c       rows of table Picture -> trees: which have no file
 *
 * Invariants:
 *   T1  an entry is in the tree exactly if its attributes and its whole content are; what is not in the tree is named in the record
 *       (unread, notes or left_out): never a silent hole
 *   T2  content and attributes of a file are of one inode, and the stat it is remembered under was the same before and after it was read
 *   T3  a file that never held still is not remembered: the next snapshot reads it again
 *   T4  nothing held in memory grows with the number of files
 */
#ifndef NOPSNAP_SNAPSHOT_INTERNAL_H
#define NOPSNAP_SNAPSHOT_INTERNAL_H

#include <pthread.h>

#include "hard_links_internal.h"
#include "reading_internal.h"
#include "snapshot.h"
#include "spill_internal.h"
#include "streaming_internal.h"
#include "walk.h"

#define READERS_DEFAULT 8
#define LINES_SHOWN 20  /* warnings of one kind that are shown one by one */
#define LINES_KEPT 5000 /* and that the record names */

enum taking_said { SAID_UNREAD, SAID_RESTLESS, SAID_GONE, SAID_SOCKET, SAID_KINDS };

struct window;

/* One root: a walk, what it found, and how it is remembered. */
struct root_taking {
    struct taking *t;
    const char *name;
    unsigned number;
    struct walk *walk;
    struct spill *spill;
    struct stat_cache_reader *cache; /* NULL: none */
    struct streaming *streaming;
    struct window *window;
    int64_t started_ns;
    bool all_known; /* everything was as the stat cache had it: no new one is needed */
    bool drop_leave;
    uint64_t files, bytes;
    struct stat_cache_writer
        *new_cache; /* written, to be put in place once the snapshot stands; or NULL with a fault */
    struct error cache_fault;
};

struct taking {
    struct catalog *cat;
    const struct site *site;
    struct database *db;
    const struct snapshot_options *options;
    const struct progress *progress;
    struct snapshot_result *result;
    struct store *store;
    struct walk_attributes *attributes;
    struct hard_links *links;
    struct store_stream *dump;
    uint64_t dump_chunks;
    char *pictures;                   /* folder of the pictures outside the root, or NULL */
    char *pictures_folder;            /* of their root, where they are files; NULL: they are none, or not known */
    char *scratch;                    /* the catalogue's folder for temporary files */
    struct stat catalog_st;           /* the catalogue's own folder is in no snapshot */
    struct sorter *pictures_expected; /* how the files of the dump's rows begin; NULL: nothing to compare */
    struct error pictures_fault;      /* why they are not known */
    struct root_taking roots[2];
    uint64_t bytes_done, bytes_expected; /* for the progress bar; expected 0: unknown */
    uint64_t said[SAID_KINDS];
    pthread_t remembering; /* writes the stat caches while the snapshot is committed */
    bool remembering_runs;
};

/* ---- say.c ---- */

/* Something that is not, or not surely, in the snapshot: shown, and kept in the record (T1). */
enum error_kind say_unread(struct taking *t, const char *path, const struct error *why, struct error *err);
enum error_kind say_restless(struct taking *t, const char *path, struct error *err);
enum error_kind say_gone(struct taking *t, const char *path, struct error *err);
enum error_kind say_socket(struct taking *t, const char *path, struct error *err);
/* What there were more of than shown. */
enum error_kind say_rest(struct taking *t, struct error *err);
/* Bytes were read or known: moves the bar; ERR_CANCELLED when a signal came. */
enum error_kind say_bytes(struct taking *t, uint64_t bytes, struct error *err);

/* ---- take_over.c ---- */

/* The files are those of this snapshot, with all that was said of them. */
enum error_kind take_over(struct taking *t, const struct snapshot_record *from, struct error *err);

/* ---- dump.c ---- */

enum error_kind dump_take(struct taking *t, struct error *err);
/* After a flush: the list of its chunks into the record. */
enum error_kind dump_list(struct taking *t, struct error *err);

/* ---- pictures.c ---- */

/* Before the dump is run: keep which files its rows of table Picture should have, if files are taken too. */
enum error_kind pictures_expect(struct taking *t, struct database_dump *dump, struct error *err);
/* There is nothing to compare. */
void pictures_forget(struct taking *t);
/* The site's rules leave this out. Where originals are left out, which the record tells, none is missed. */
void pictures_left_out(struct taking *t, const struct walk_item *item);
/* After the trees are in place: count what has no file, show and record it. */
enum error_kind pictures_compare(struct taking *t, struct error *err);

/* ---- suspicion.c ---- */

/* What has been lost since, on one line; *out NULL: nothing to speak of. Caller frees. */
enum error_kind suspicion_compare(const struct snapshot_record *now, const struct snapshot_record *then, char **out,
                                  struct error *err);
/* Right before the record is committed: flag it, if it has lost most of what the last good one had. */
enum error_kind suspicion_flag(struct taking *t, struct error *err);

/* ---- take_root.c ---- */

/* path: the folder; site: for its rules, or NULL. */
enum error_kind root_take(struct root_taking *r, const char *path, const struct site *site, struct error *err);
void root_release(struct root_taking *r);

/* ---- take_window.c ---- */

enum error_kind window_new(struct root_taking *r, struct window **out, struct error *err);
void window_free(struct window *w); /* accepts NULL */
/* A directory: its encoded attributes. */
enum error_kind window_enter(struct window *w, const struct walk_item *item, const void *encoded, size_t len,
                             bool cacheable, struct error *err);
enum error_kind window_leave(struct window *w, struct error *err);
/* An entry that needs no reading. */
enum error_kind window_known(struct window *w, const struct walk_item *item, const void *encoded, size_t len,
                             bool cacheable, struct error *err);
/* A file that has to be read. */
enum error_kind window_file(struct window *w, const struct walk_item *item, struct error *err);
/* Read what has to be read, hand everything over to the spill. */
enum error_kind window_finish(struct window *w, struct error *err);

/* ---- encode.c ---- */

/* Build the trees of a root whose tickets were all claimed; the root's tree is known afterwards. */
enum error_kind encode_trees(struct spill *spill, struct store *store, struct chunk_id *root, struct error *err);
/*
 * After the trees: write the root's stat cache, which the caller commits once the snapshot stands. May run beside what no longer uses
 * the spill. A failure costs time at the next snapshot, no more.
 */
enum error_kind encode_stat_cache(struct root_taking *r, const char *site_id, struct stat_cache_writer **out,
                                  struct error *err);

/* The store's group for a file's chunks, from its name: like lies by like. */
uint32_t content_group(const char *name);
/* What content_group() goes by: the name's ending, "" if it has none. */
const char *content_kind(const char *name);

#endif
