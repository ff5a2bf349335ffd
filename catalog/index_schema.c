#include "index_internal.h"

/*
 * No triggers, no views, no foreign keys: a file that has any is not ours (index_open() refuses it).
 * `sum` is the row's checksum, see struct row_sum.
 */
const char *const index_schema[] = {
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL, sum INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE packs (number INTEGER PRIMARY KEY AUTOINCREMENT, name BLOB NOT NULL UNIQUE, state INTEGER NOT NULL,"
    " kind INTEGER NOT NULL, size INTEGER NOT NULL, frames INTEGER NOT NULL, chunks INTEGER NOT NULL,"
    " generation INTEGER NOT NULL, made INTEGER NOT NULL, sum INTEGER NOT NULL)",
    /* pack 0: claimed by a running writer, place not yet decided; such a row never stands */
    "CREATE TABLE chunks (row INTEGER PRIMARY KEY, hash BLOB NOT NULL, attempt INTEGER NOT NULL, pack INTEGER NOT NULL,"
    " frame INTEGER NOT NULL, start INTEGER NOT NULL, len INTEGER NOT NULL, type INTEGER NOT NULL,"
    " second BLOB NOT NULL, generation INTEGER NOT NULL, sum INTEGER NOT NULL, UNIQUE (hash, attempt))",
    /* frame -1: the whole pack */
    "CREATE TABLE damage (pack INTEGER NOT NULL, frame INTEGER NOT NULL, what TEXT NOT NULL, moment INTEGER NOT NULL,"
    " sum INTEGER NOT NULL, PRIMARY KEY (pack, frame)) WITHOUT ROWID",
    "CREATE TABLE history (row INTEGER PRIMARY KEY AUTOINCREMENT, moment INTEGER NOT NULL, site TEXT NOT NULL,"
    " what TEXT NOT NULL, detail TEXT, status INTEGER NOT NULL, sum INTEGER NOT NULL)",
    /* Shadows of records (snapshot_index.c, hold.c); hash and attempt are the record's own address. */
    "CREATE TABLE snapshots (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, site TEXT NOT NULL, path TEXT NOT NULL,"
    " name TEXT, version TEXT, made INTEGER NOT NULL, kind INTEGER NOT NULL, part INTEGER NOT NULL,"
    " files INTEGER NOT NULL, bytes INTEGER NOT NULL, dump INTEGER NOT NULL, stored INTEGER NOT NULL,"
    " flags INTEGER NOT NULL, tags TEXT, hash BLOB NOT NULL, attempt INTEGER NOT NULL, sum INTEGER NOT NULL)",
    "CREATE TABLE holds (id TEXT PRIMARY KEY, snapshot TEXT NOT NULL, reason TEXT NOT NULL, person INTEGER NOT NULL,"
    " until INTEGER NOT NULL, sum INTEGER NOT NULL) WITHOUT ROWID",
    /* forgotten snapshots */
    "CREATE TABLE tombstones (snapshot TEXT PRIMARY KEY, sum INTEGER NOT NULL) WITHOUT ROWID",
    /* when each pack was last read whole */
    "CREATE TABLE checks (pack INTEGER PRIMARY KEY, moment INTEGER NOT NULL, sum INTEGER NOT NULL)",
    /* the newest of one kind and site, at one cost however long the history (an older index gets it with its next run) */
    INDEX_HISTORY,
    NULL,
};
