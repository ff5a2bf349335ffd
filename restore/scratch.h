/*
 * A place for a copy of a shop: a folder, and under a name of nopsnap's own a database on the shop's server. For what tries something on
 * a copy and takes it away again.
 *
 *     rc = scratch_begin(&s, &spec, &progress, err);       what an earlier one left goes first
 *     rc = scratch_load(&s, cat, &record, &rows, &progress, err);
 *     ...                                                  files in s.tree
 *     if (scratch_end(&s, &last) != OK) ...                in any case, also after a failure of scratch_begin()
 *
 * Whoever has it in a place that he would not look at again notes folder and token before, durably, and has what a kill left removed by that:
 *
 *     rc = scratch_token(token, err);         ...          spec.token = token
 *     rc = scratch_remove(&spec, &progress, err);
 *
 *   X1  the live tree and the live database are only read
 *   X2  what is made is marked before: the mark in the folder holds the token that the database's name has. Nothing is removed but what a mark
 *       in a folder of this user's own names, so that what a kill left goes with the next one, and nothing else does (P8). By a note the folder
 *       goes only if its mark has the token of the note, whatever is in that place now; the database also without the folder
 *   X3  one process at a time has the folder
 */
#ifndef NOPSNAP_SCRATCH_H
#define NOPSNAP_SCRATCH_H

#include <sys/types.h>

#include "file.h"
#include "restore.h"

#define SCRATCH_TOKEN_LEN 8

struct scratch_spec {
    const char *what;    /* "rehearsal": in the mark, and in what is told */
    const char *folder;  /* its parent is there; refused where visitors could read it (P10) */
    mode_t mode;         /* of the folder */
    struct database *db; /* the shop's, borrowed; NULL: no database will be made */
    /* Ends what was started in the tree, before anything is removed, also of an earlier one; NULL: nothing is ever started there. */
    enum error_kind (*vacate)(const char *tree, struct error *err);
    const char *token; /* that the caller has noted; NULL: one is made here */
};

struct scratch {
    const char *what;
    char *folder;
    char *tree;  /* in it; not made yet */
    char *spare; /* in it, too: for whoever needs one more */
    struct database *db;
    enum error_kind (*vacate)(const char *tree, struct error *err);
    char token[SCRATCH_TOKEN_LEN + 1]; /* "": nothing was marked */
    char *name;                        /* the copy's, once it is made */
    bool refused;                      /* the server did not let it be made */
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
enum error_kind scratch_token(char out[SCRATCH_TOKEN_LEN + 1], struct error *err);
/*
 * Remove what a kill left of the one with this token: the database, and the folder if it is that one's (X2). Absent is OK.
 *
 * Returns    ERR_BUSY when a process has the folder
 */
enum error_kind scratch_remove(const struct scratch_spec *spec, const struct progress *progress, struct error *err);
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
