/*
 * Restoring: catalogue -> a place beside. Nothing here writes into a live tree (P2).
 *
 *     plan:    difference_live() between a snapshot and a tree, difference_snapshots() between two snapshots
 *     act:     restore_files() into a new folder; restore_verify() proves it (P9); restore_database_load() fills a database beside
 *
 * R1  nothing is written outside the target: every step is openat() below a directory descriptor with O_NOFOLLOW (P11)
 * R2  no byte is written that was not checked (P6)
 * R3  what was written is read again after the sync and hashed, linked files are compared by their stat record (P9)
 */
#ifndef NOPSNAP_RESTORE_H
#define NOPSNAP_RESTORE_H

#include <sys/stat.h>

#include "catalog.h"
#include "chunk.h"
#include "database.h"
#include "record.h"
#include "site.h"
#include "text.h"
#include "tree.h"

/* ---- difference ---- */

enum difference_kind {
    DIFFERENCE_ADDED,
    DIFFERENCE_REMOVED,
    DIFFERENCE_CONTENT,
    DIFFERENCE_ATTRIBUTES,
    DIFFERENCE_TYPE
};

struct difference {
    enum difference_kind kind; /* seen from the first to the second: ADDED is only in the second */
    const char *root;          /* "site" */
    const char *path;
    enum tree_type type;
    uint64_t old_size, new_size;
};
typedef enum error_kind difference_fn(void *arg, const struct difference *d, struct error *err);

/* Two snapshots; equal subtrees are skipped by their ids. */
enum error_kind difference_snapshots(struct catalog *cat, const struct snapshot_record *a,
                                     const struct snapshot_record *b, difference_fn *fn, void *arg, struct error *err);
/*
 * A snapshot and a live tree; unchanged files are known by the stat cache, others are read and compared by content.
 * What snapshots leave out is not compared.
 */
enum error_kind difference_live(struct catalog *cat, const struct snapshot_record *a, const struct site *site,
                                difference_fn *fn, void *arg, struct error *err);

/* ---- files ---- */

/* What became of each file: for the transaction's record of linked files. Called in no particular order, from one thread. */
enum restore_how { RESTORE_WRITTEN, RESTORE_LINKED, RESTORE_REFLINKED };
typedef enum error_kind restore_placed_fn(void *arg, const char *path, enum restore_how how, const struct stat *st,
                                          const void *encoded, size_t len, struct error *err);

struct restore_options {
    const char *const *include;      /* patterns, NULL-terminated: only what matches; or NULL */
    const struct text_list *exclude; /* patterns: nothing that matches; or NULL */
    bool (*select)(void *arg, const char *path,
                   bool is_folder); /* beside the patterns: only what it wants, asked by several threads; or NULL */
    void *select_arg;
    bool keep_going; /* damaged files are named and left out, the rest is restored; result ERR_CORRUPT at the end */
    /* Staging for an exchange: unchanged files are linked from the live tree. */
    const struct site *link_site; /* its rules say what is rewritten (copied); NULL: no linking */
    const char *link_root;        /* the live tree */
    bool no_hard_links;           /* reflink or copy only */
    restore_placed_fn *placed;
    void *placed_arg;
    unsigned writers; /* 0: the default */
    bool no_sync;     /* the caller syncs the filesystem itself before it relies on it */
    bool
        read_disk; /* restore_verify(): ask the kernel to forget what it has in memory first, so that the disk is read; takes three times as long */
};

struct restore_result {
    uint64_t files, directories, bytes_written, linked, reflinked;
    struct text_list damaged; /* "path: error" with keep_going */
    struct text_list notes;   /* owners that could not be set, xattrs refused by the filesystem... */
};
void restore_result_release(struct restore_result *r);

/*
 * Write one root of a snapshot into `target`, a folder that does not exist or is empty (ERR_EXISTS otherwise).
 *
 * Modes, owners (when root), nanosecond times, xattrs and ACLs, hard links, holes, devices come back.
 * Linked files: only where the stat cache proves that the live file has the content and every attribute of the snapshot's entry; settings are copied.
 * Durable     on return OK without no_sync everything is synced, and the folder entry of target too
 */
enum error_kind restore_files(struct catalog *cat, const struct snapshot_record *snapshot, const char *root_name,
                              const char *target, const struct restore_options *options,
                              const struct progress *progress, struct restore_result *out, struct error *err);

/*
 * Read back a restored tree and compare it with the snapshot (P9): every written file's bytes are hashed against its chunks (and, by
 * chunk length, cut in the same places), every attribute compared; linked files by stat alone.
 *
 * skip_linked  a function that says that the file was linked and is unchanged since; or NULL
 * Returns      ERR_CORRUPT listing up to ten differences in the text
 */
typedef bool restore_linked_fn(void *arg, const char *path, const struct stat *st);
enum error_kind restore_verify(struct catalog *cat, const struct snapshot_record *snapshot, const char *root_name,
                               const char *target, const struct restore_options *options,
                               restore_linked_fn *skip_linked, void *skip_arg, const struct progress *progress,
                               struct error *err);

/* Content of one file of a snapshot to a descriptor (`cat`). path is relative to the root. */
enum error_kind restore_file_content(struct catalog *cat, const struct tree_entry *entry, int fd, struct error *err);
/*
 * Replace one file below an open directory by the snapshot's content and attributes, as a new inode (undoing an in-place rewrite).
 *
 * Returns    ERR_REFUSED for a device where we may make none
 */
enum error_kind restore_replace_file(struct catalog *cat, const void *encoded, size_t len, int dirfd, const char *name,
                                     struct error *err);

/* ---- database ---- */

/* Stream the snapshot's dump, checked, into database `name`. */
enum error_kind restore_database_load(struct catalog *cat, const struct snapshot_record *snapshot, struct database *db,
                                      const char *name, const struct progress *progress, struct error *err);
enum error_kind restore_database_in_place(struct catalog *cat, const struct snapshot_record *snapshot,
                                          struct database *db, const struct progress *progress, struct error *err);
/* The facts in the record, decoded; caller releases. */
enum error_kind restore_database_facts(const struct snapshot_record *snapshot, struct database_facts *out,
                                       struct error *err);

/* ---- export ---- */

/*
 * Write a snapshot as an archive by libarchive: .tar.zst or .zip by the name's ending; the dump is database.dump inside.
 * The file is a draft until it is complete; refuses to replace an existing file.
 */
enum error_kind restore_export(struct catalog *cat, const struct snapshot_record *snapshot, const char *file,
                               const struct progress *progress, struct error *err);

#endif
