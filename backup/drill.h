/*
 * A restore drill: a snapshot is restored in full beside the shop, compared with what it says, timed and taken away again. The proof that
 * a backup is one.
 *
 * Invariants
 *   L1  the live tree and the live database are only read; the shop runs on
 *   L2  what is proved is what a restore does: the same code writes the files and loads the dump. Every file is read back and hashed, every
 *       attribute compared, the rows of every table counted (P9)
 *   L3  nothing stays: neither after a failure nor after a signal. What a kill leaves is marked and noted, and goes with the next drill or run, wherever it is (scratch.h)
 *   L4  two drills of a site never overlap; none begins while a transaction runs or is pending, and a transaction waits for it
 */
#ifndef NOPSNAP_DRILL_H
#define NOPSNAP_DRILL_H

#include "restore.h"

struct json;

struct drill_options {
    const char *snapshot; /* the beginning of an id; NULL: the newest good one (retention.h) */
    const char
        *folder; /* an existing one, for what is restored; NULL: drill-folder of the config, else the catalogue's own */
    const struct config
        *config; /* whose shops the copy must not be put into, besides those of the catalogue; or NULL */
    /* Connect to the site's database; *out NULL when its settings name none. The caller closes it. */
    enum error_kind (*connect)(void *arg, const struct site *site, struct database **out, struct error *err);
    void *arg;
};

struct drill_result {
    int64_t started_ns,
        ended_ns; /* 0: it did not begin, or was refused before anything was tried. Without the removal; of the same clock, however that was set meanwhile */
    char snapshot[33];
    int64_t snapshot_ns; /* the moment that it stands for */
    bool has_files, has_database;
    uint64_t files, bytes, tables, rows;
    uint64_t files_ms, database_ms; /* written and compared; loaded and counted */
};

/*
 * Is a drill due by `drill = ...` of the config?
 *
 * why        why not, constant text; NULL: it is
 * before     what the last one failed with, where that is why: one that fails is not tried again by every run, but counts as failed by then
 */
enum error_kind drill_due(struct catalog *cat, const struct site *site, int64_t now_ns, const char **why,
                          struct error *before, struct error *err);
/*
 * Drill. Damaged files are warned of by name.
 *
 * Returns    OK: proved. ERR_CORRUPT: damage, or what was restored is not what was saved; ERR_NOT_FOUND: no such snapshot; ERR_SPACE;
 *            ERR_REFUSED: the place, a missing right on the server; ERR_BUSY, ERR_PENDING (L4): it did not begin
 */
enum error_kind drill_site(struct catalog *cat, struct site *site, const struct drill_options *options,
                           const struct progress *progress, struct drill_result *out, struct error *err);
/* Has a drill that was killed left anything that can be removed now? */
bool drill_is_left(struct catalog *cat, const struct site *site);
/* Remove that. ERR_BUSY when it is under way. */
enum error_kind drill_clear(struct catalog *cat, struct site *site, const struct drill_options *options,
                            const struct progress *progress, struct error *err);

/* The figures, for the record and for `--json`. Caller frees. */
struct json *drill_json(const struct drill_result *r);
/*
 * Remember a drill that came to an end: one that did not begin, or that a signal ended, says nothing of the snapshot.
 *
 * failure    or NULL
 */
enum error_kind drill_record(struct catalog *cat, const struct site *site, const struct drill_result *r,
                             const struct error *failure, int status, struct error *err);

#endif
