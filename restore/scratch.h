/*
 * A place for a copy of a shop: a folder, and under a name of nopsnap's own a database on the shop's server. For what tries something on
 * a copy and takes it away again.
 *
 *     rc = scratch_begin(&s, &spec, &progress, err);       what an earlier one left goes first
 *     rc = scratch_load(&s, cat, &record, &rows, &progress, err);
 *     ...                                                  files in s.tree
 *     if (scratch_end(&s, &last) != OK) ...                in any case, also after a failure of scratch_begin()
 *
 *   X1  the live tree and the live database are only read
 *   X2  what is made is marked before: the mark in the folder holds the token that the database's name has. Nothing is removed but what a mark
 *       in a folder of this user's own names, so that what a kill left goes with the next one, and nothing else does (P8)
 *   X3  one process at a time has the folder
 */
#ifndef NOPSNAP_SCRATCH_H
#define NOPSNAP_SCRATCH_H

#include <sys/types.h>

#include "file.h"
#include "restore.h"

struct scratch_spec {
    const char *what;    /* "rehearsal": in the mark, and in what is told */
    const char *folder;  /* its parent is there; refused where visitors could read it (P10) */
    mode_t mode;         /* of the folder */
    struct database *db; /* the shop's, borrowed; NULL: no database will be made */
    /* Ends what was started in the tree, before anything is removed, also of an earlier one; NULL: nothing is ever started there. */
    enum error_kind (*vacate)(const char *tree, struct error *err);
};

struct scratch {
    const char *what;
    char *folder;
    char *tree;  /* in it; not made yet */
    char *spare; /* in it, too: for whoever needs one more */
    struct database *db;
    enum error_kind (*vacate)(const char *tree, struct error *err);
    char token[9]; /* "": nothing was marked */
    char *name;    /* the copy's, once it is made */
    bool refused;  /* the server did not let it be made */
    struct file_lock lock;
};

#define SCRATCH_INIT           \
    {                          \
        .lock = FILE_LOCK_INIT \
    }

/*
 * Make and mark the folder.
 *
 * Returns    ERR_BUSY when another process has it; ERR_REFUSED for a folder that is not this user's own, or has no mark and holds a tree
 */
enum error_kind scratch_begin(struct scratch *s, const struct scratch_spec *spec, const struct progress *progress,
                              struct error *err);
/* Is anything there: what one has left that was ended, or one that is at it now? */
bool scratch_is_left(const char *folder);
/*
 * Make the empty database for a snapshot's dump, before anything else is done that would be for nothing where the login may not: only trying
 * tells. scratch_load() makes it where this was not called.
 */
enum error_kind scratch_make_database(struct scratch *s, const struct snapshot_record *snapshot, struct error *err);
/*
 * Load a snapshot's dump into a new database beside the live one, and count the rows of every table (P9).
 *
 * facts      what the snapshot says of the dump; caller releases, whatever is returned
 * Returns    ERR_CORRUPT where the rows are not those of the dump, with up to ten tables in the text
 */
enum error_kind scratch_load(struct scratch *s, struct catalog *cat, const struct snapshot_record *snapshot,
                             struct database_facts *facts, const struct progress *progress, struct error *err);
/* Remove it all; a signal does not cut this short. What could not be removed stays marked, and is the error. */
enum error_kind scratch_end(struct scratch *s, struct error *err);

#endif
