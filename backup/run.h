/*
 * One scheduled run for one site: what was kept goes when its time has come, a snapshot, retention, prune, verification, a restore drill when one
 * is due, the owner's own command.
 *
 * Invariants
 *   N1  two runs of a site never overlap; a snapshot and retention exclude transactions by the site's lock
 *   N2  with a transaction running or pending nothing is done at all: no snapshot, nothing dropped
 *   N3  nothing is forgotten unless this run's snapshot stands and what was kept is in order, so that failures never use up what is there
 *   N4  a failed step does not stop those that make sense without it: verification and drill always go on; prune comes as long as anything
 *       that was forgotten is not removed, or a snapshot found no room; the owner's command follows a snapshot
 *   N5  once there is a snapshot, a step that somebody else is in the way of is skipped with a warning: the run is not "busy"
 *   N6  no run keeps others waiting for the owner's command: while that is at work the catalogue is not locked
 */
#ifndef NOPSNAP_RUN_H
#define NOPSNAP_RUN_H

#include "drill.h"
#include "keep_policy.h"
#include "maintain.h"
#include "snapshot.h"
#include "transaction.h"

enum run_step_name { RUN_KEPT, RUN_SNAPSHOT, RUN_RETENTION, RUN_PRUNE, RUN_VERIFY, RUN_DRILL, RUN_AFTER, RUN_STEPS };

enum run_outcome { RUN_NOT_DONE, RUN_DONE, RUN_FAILED, RUN_SKIPPED };

struct run_step {
    enum run_outcome outcome;
    struct error err; /* of one that failed */
    const char *why;  /* one that was skipped: constant text */
    int64_t took_ms;
};

struct run_options {
    int wait_ms;                 /* for another run of this site; 0: not at all */
    const char *keep;            /* rules that stand for `keep` of the config, or NULL */
    const struct config *config; /* whose shops a drill's copy is not put into */
    /* Connect to the site's database anew; *out NULL when its settings name none. The caller closes it. */
    enum error_kind (*connect)(void *arg, const struct site *site, struct database **out, struct error *err);
    void *arg;
    /* Told once nobody else is in the way, just before the snapshot; or NULL. */
    void (*begun)(void *arg);
    void *begun_arg;
};

struct run_result {
    int64_t started_ns, ended_ns;
    struct run_step steps[RUN_STEPS];
    char *saved;       /* the snapshot that what was kept has become, or NULL */
    char snapshot[33]; /* this run's; "": none */
    char *suspicion;   /* why it is flagged, or NULL */
    bool partial;      /* it is not whole */
    bool begun;        /* nobody else was in the way */
    uint64_t bytes_stored, repaired;
    struct retention_report retention;
    struct prune_report prune;
    struct verify_report verify;
    struct drill_result drill;
    struct error drill_before; /* of the last drill, which failed, while it is not yet tried again; kind OK: none */
    char refused[256];         /* not empty: the run did not begin, and why */
};
void run_result_release(struct run_result *r);

/* "snapshot", "verify"... */
const char *run_step_word(enum run_step_name name);

/*
 * Run all steps.
 *
 * site       inspected, its settings may be broken
 * Returns    ERR_BUSY (another run, or a transaction), ERR_PENDING: nothing was done (N2); ERR_CANCELLED: a signal ended it; ERR_REFUSED
 *            for a wrong config; else OK, and the steps say what came of each
 * Durable    each step by itself; a run that was killed leaves what its steps had finished, and the next one goes on from there
 */
enum error_kind run_site(struct catalog *cat, struct site *site, const struct run_options *options,
                         const struct progress *progress, struct run_result *out, struct error *err);

/* The facts of a run, for the record and for `--json`. Caller frees. */
struct json;
struct json *run_json(const struct run_result *r);

/*
 * Remember a run, its drill, and its verification for the whole catalogue.
 *
 * status     the exit status that it came to; drill_status: that its drill would have come to by itself
 */
enum error_kind run_record(struct catalog *cat, const struct site *site, const struct run_result *r, int status,
                           int drill_status, struct error *err);

#endif
