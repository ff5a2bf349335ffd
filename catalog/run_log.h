/*
 * What scheduled work did: one row of the history for each run, drill or notification, which survives a rebuild like the rest of it (as far as
 * the old index can be read). It is told and counted, never relied upon for keeping data.
 *
 * Invariants
 *  1. A row is added when the work has ended, in one commit. Work that was killed leaves none: what is missing counts as not done.
 *  2. At most RUN_LOG_ROWS rows of one kind and site are kept, the newest ones; asking for the newest few costs the same however many there are.
 */
#ifndef NOPSNAP_RUN_LOG_H
#define NOPSNAP_RUN_LOG_H

#include "catalog.h"

/* More than a year of hourly runs. */
#define RUN_LOG_ROWS 10000

struct run_entry {
    int64_t started_ns, ended_ns; /* by the clock on the wall; a clock that was set back may give ended < started */
    const char *site_id;          /* "" for what concerns the whole catalogue */
    const char *kind;             /* "run", "drill", "notify" */
    int status;                   /* exit status */
    const char *facts;            /* a JSON object; NULL for none. No secrets (P10) */
};

/*
 * Durable    on return OK the row survives power loss
 * Errors     ERR_REFUSED  the catalogue can't be written to
 *            ERR_CORRUPT  facts is not a JSON object
 */
enum error_kind catalog_run_add(struct catalog *cat, const struct run_entry *entry, struct error *err);

/* What entry points to is borrowed until the function returns. What it returns, if not OK, ends the walk and is returned. */
typedef enum error_kind catalog_run_fn(void *arg, const struct run_entry *entry, struct error *err);

/*
 * The newest ones first, in the order in which they were added (not by their clock).
 * site_id    NULL: of every site
 * limit      at most so many
 */
enum error_kind catalog_run_each(struct catalog *cat, const char *site_id, const char *kind, int64_t limit,
                                 catalog_run_fn *fn, void *arg, struct error *err);
/* The newest one of a site that went well (status 0 or 3), however many have failed since; fn is not called where there is none. */
enum error_kind catalog_run_good(struct catalog *cat, const char *site_id, const char *kind, catalog_run_fn *fn,
                                 void *arg, struct error *err);

#endif
