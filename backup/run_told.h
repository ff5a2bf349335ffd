/*
 * What whoever is told hears of a run: how it went, a cause that stays the same while the trouble does, and the lines of the message.
 *
 *     rc = run_told_make(cat, site_id, &result, rc ? &refusal : NULL, &told, err);
 *     event = (struct notify_event){.outcome = told.outcome, .cause = told.cause, .message = told.message, .facts = &told.facts, ...};
 *
 * Invariants
 *   1  A step that failed makes it a failure, whatever exit status the run came to: an off-site copy that fails every night is no success.
 *   2  A run is a success only if its snapshot counts as good: else "works again" would be said of a site that is overdue.
 *   3  The cause is made of the words of steps and of the kinds of their errors alone: no figure, moment or name changes it from night to night.
 */
#ifndef NOPSNAP_RUN_TOLD_H
#define NOPSNAP_RUN_TOLD_H

#include "notify.h"
#include "run.h"

struct run_told {
    enum notify_outcome outcome;
    char cause[256]; /* "snapshot io, after-run remote" */
    char *message;   /* the first line; NULL for a success */
    struct text_list facts;
};

#define RUN_TOLD_INIT                             \
    {                                             \
        .message = NULL, .facts = TEXT_LIST_INIT, \
    }

/*
 * cat        NULL where there is none: then nothing is said of the last good snapshot
 * refused    what kept the run from beginning, or ended it; NULL if its steps tell
 * Errors     ERR_MEMORY. A catalogue that can't be read costs a line, no more
 */
enum error_kind run_told_make(struct catalog *cat, const char *site_id, const struct run_result *r,
                              const struct error *refused, struct run_told *out, struct error *err);
void run_told_release(struct run_told *t);

#endif
