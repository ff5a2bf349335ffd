/*
 * Taking a snapshot: site -> catalogue.
 *
 *     struct snapshot_options o = SNAPSHOT_OPTIONS_INIT;
 *     rc = snapshot_take(cat, &site, db, &o, &progress, &result, err);
 *
 * Order (design, "Snapshots"): the database's consistent view is opened first and dumped, then the files are walked, so that every
 * picture that the view knows is there. Then the trees are encoded and everything is flushed, rows of table Picture without a file are counted,
 * and the record is committed (P4).
 */
#ifndef NOPSNAP_SNAPSHOT_H
#define NOPSNAP_SNAPSHOT_H

#include <sys/stat.h>

#include "catalog.h"
#include "database.h"
#include "record.h"
#include "site.h"
#include "text.h"

/*
 * How a kept tree's linked files are read: by what they were when they were linked, not by what they are now (design,
 * "Staging"): asked for each file in walk order.
 *
 * path       relative to the root
 * st         what lstat says now
 * encoded    set to the tree entry (without name) that the file stands for, borrowed until the next call; left NULL: read the file
 */
typedef enum error_kind snapshot_entry_fn(void *arg, const char *path, const struct stat *st, const void **encoded,
                                          size_t *len, struct error *err);

struct snapshot_options {
    enum snapshot_kind kind;
    enum snapshot_part part;
    bool stopped;            /* the shop is fenced now */
    const char *const *tags; /* NULL-terminated, or NULL */
    const char *read_root;   /* walk this folder instead of site->path (a kept tree), or NULL */
    const char
        *pictures; /* their folder outside the site, for whoever knows it without a dump; it may be gone. Or NULL */
    const char *read_pictures; /* walk this folder instead of `pictures` (kept ones; absent: there are none), or NULL */
    const struct snapshot_record *
        files_of; /* no tree is read: the files are those of this snapshot, which must stand until the commit. Or NULL */
    snapshot_entry_fn *entry; /* or NULL */
    void *entry_arg;
    const char *transaction; /* for safety snapshots, or NULL */
    const char *transaction_only;
    int64_t
        moment_ns; /* what the database holds is of this moment, not of the dump's (a kept database); 0: the dump's */
    const char *
        suspicion; /* why it does not count as good, from whoever knows already; NULL: it is compared with the last good one */
    bool no_stat_cache; /* read every file (and leave the stat cache as it is) */
    unsigned readers;   /* 0: the default (8) */
};

#define SNAPSHOT_OPTIONS_INIT   \
    {                           \
        .kind = SNAPSHOT_MANUAL \
    }

struct snapshot_result {
    struct snapshot_record record;
    uint64_t files, files_read, bytes, bytes_read;
    uint64_t changed_while_read; /* files that never held still */
    bool pictures_compared;      /* they lie on disk, and rows and files are both in the snapshot */
    uint64_t pictures_missing;   /* then: rows of table Picture without a file in it */
    uint64_t damaged, repaired;  /* pieces of the catalogue that could not be read, and that were stored anew */
};
void snapshot_result_release(struct snapshot_result *r);

/*
 * Take one snapshot.
 *
 * site       inspected; its rules decide what is left out
 * db         open connection, or NULL for no database (then options->part must be files only, or the site has none)
 * progress   progress_warn() is called for what makes the exit status 3: unreadable or restless files, tables not transactional
 * Returns    OK with result->record.unread possibly not empty
 * Durable    on return OK the snapshot survives power loss; else it does not exist
 */
enum error_kind snapshot_take(struct catalog *cat, const struct site *site, struct database *db,
                              const struct snapshot_options *options, const struct progress *progress,
                              struct snapshot_result *out, struct error *err);

#endif
