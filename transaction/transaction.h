/*
 * The transaction: between a snapshot and a restore point, with one way forward and one way back.
 *
 *     rc = rollback_plan(cat, &site, &options, &plan, err);        looks, writes nothing (--dry-run prints it)
 *     rc = rollback_run(plan, &progress, &result, err);            acts
 *     rc = recover_run("/var/www/shop", ..., err);                 finishes or undoes what was interrupted
 *
 * Invariants (code, asserts and tests cite them; states in docs/architecture.md):
 *   T1  a record is in the journal, synced, before the step that it announces
 *   T2  who is where is read from identity, never from the journal's progress
 *   T3  without a checksummed decision "commit" recovery undoes; with it recovery goes forward
 *   T4  every step may be repeated: it ensures a state instead of making a move
 *   T5  from the fence to the start no process of the shop runs in either tree
 *   T6  what was taken away is removed only when a verified snapshot has it (P3, P8)
 *   T7  a linked file is used again only if it is what its record says; else it comes from the catalogue
 *   T8  a restore point that the server keeps is named in the journal before it is made, gone back to once, and dropped only when the database is
 *       what it was again, or when the trial is over
 */
#ifndef NOPSNAP_TRANSACTION_H
#define NOPSNAP_TRANSACTION_H

#include "catalog.h"
#include "database.h"
#include "record.h"
#include "restore.h"
#include "site.h"
#include "snapshot.h"
#include "text.h"

/* ---- pending transactions ---- */

enum transaction_state {
    TRANSACTION_NONE,
    TRANSACTION_RUNNING, /* somebody holds the journal's lock */
    TRANSACTION_PENDING, /* a journal whose lock is free: `recover` */
};

/*
 * Is there a transaction at this site? Reads only.
 *
 * detail     one line for people ("rollback to 3f2a, interrupted while switching"), caller frees; may be NULL
 * Returns    ERR_PENDING when there is a journal in both places (needs hands)
 */
enum error_kind transaction_look(const char *site_path, enum transaction_state *out, char **detail, struct error *err);

/*
 * What every writing command calls first: OK, or ERR_PENDING with hint `nopsnap recover SITE`. One that runs is waited for, 10 s at
 * most: ERR_BUSY.
 */
enum error_kind transaction_refuse_pending(const char *site_path, struct error *err);
/* transaction_refuse_pending() for a snapshot of a site that may be gone altogether. */
enum error_kind transaction_refuse_mark(const char *site_path, struct error *err);
/*
 * The ids of all snapshots that a transaction of a site of this host still needs, whether it is pending or has things kept: the one whose files a tree shares,
 * those that a way back loads from. Whoever forgets asks.
 *
 * Returns    an error where what is kept can't be read: then nobody knows
 */
enum error_kind transaction_needed(struct catalog *cat, struct text_list *out, struct error *err);
/* ERR_REFUSED, naming the place, if this one is among them. */
enum error_kind transaction_refuse_needed(struct catalog *cat, const char *id, struct error *err);
/* When a transaction last changed anything beside this site; 0: never. Looked at before the site is. */
int64_t transaction_changed_ns(const char *site_path);
/*
 * Under the site's lock: transaction_refuse_pending(), and ERR_BUSY if one has begun and ended since seen_ns, because the site
 * was looked at before.
 */
enum error_kind transaction_refuse_since(const char *site_path, int64_t seen_ns, struct error *err);

/* ---- what every plan says ---- */

struct preflight {
    struct text_list problems;  /* P12: all of them at once; not empty: the run refuses */
    struct text_list remarks;   /* what is not protected, left out, shared... */
    struct text_list in_place;  /* what can't be exchanged, and why */
    char *stop_how, *start_how; /* "systemctl stop nop.service", or NULL: nothing to stop */
};
void preflight_release(struct preflight *p);

/* ---- rollback ---- */

struct rollback_options {
    const char *to;          /* snapshot id, or NULL: chosen as design says */
    enum snapshot_part only; /* SNAPSHOT_WHOLE, or one part */
    bool keep_connection;
    bool shared; /* other known sites share the database or the pictures: go on */
    bool other_host;
    const char *export_lost;     /* directory, or NULL */
    int health_timeout_ms;       /* 0: the default */
    const struct config *config; /* for sharing; may be NULL */
};

struct rollback_plan {
    struct snapshot_record target;
    char *why_target;      /* "the newest whole snapshot" */
    bool needs_choice;     /* two candidates: ask on a terminal, --yes needs --to */
    char *other_candidate; /* one line about the other one, or NULL */
    bool files, database;  /* what will change */
    uint64_t files_added, files_removed, files_changed, bytes_to_write;
    struct text_list changes; /* first 1,000 lines: "- path", "+ path", "~ path" */
    bool trial; /* an upgrade in its trial is taken back: what it took away comes again, nothing is loaded */
    struct database_losses losses;
    struct text_list mails;
    bool mails_marked; /* they will not be sent again; a database changed in place can't have that */
    struct preflight preflight;
    bool login_fails;                    /* the restored settings can't log in: --keep-connection */
    struct transaction_context *context; /* private */
};

enum error_kind rollback_plan(struct catalog *cat, struct site *site, const struct rollback_options *options,
                              const struct progress *progress, struct rollback_plan **out, struct error *err);
void rollback_plan_free(struct rollback_plan *plan);

enum transaction_outcome {
    OUTCOME_NOTHING, /* nothing was changed */
    OUTCOME_DONE,    /* the new state */
    OUTCOME_UNDONE,  /* failed, undone: exactly the old state: exit 4 */
    OUTCOME_HANDS,   /* could not finish: exit 5 */
};

struct transaction_result {
    enum transaction_outcome outcome;
    char *transaction;     /* its id (token) */
    char *safety_snapshot; /* what was taken away, or NULL when it is still kept */
    char *unwell;     /* why the shop that is back is not known to be well; NULL: it is, or no way to ask is known */
    uint64_t down_ms; /* from stop to start */
    uint64_t back_ms; /* from the beginning until the shop was back */
    uint64_t files_written, files_linked;
    struct text_list left;     /* entries of a kept tree that could not be proved to be in a snapshot: they stay */
    struct text_list exported; /* CSV files */
};
void transaction_result_release(struct transaction_result *r);

/*
 * Act.
 * Returns    OK with OUTCOME_DONE; otherwise the error that ended it, and the outcome says what is now
 * Durable    P1 at every instant
 */
enum error_kind rollback_run(struct catalog *cat, struct site *site, struct rollback_plan *plan,
                             const struct progress *progress, struct transaction_result *out, struct error *err);

/* ---- the shop that was started ---- */

struct shop_watch {
    const char *service; /* its unit, else... */
    const char *root;    /* ...the tree whose program is looked for; borrowed */
    bool expected;       /* the shop before it could be seen */
    bool held;
    int fd;              /* the process's folder in /proc, if held */
    int64_t began_ms;    /* since the boot */
    int64_t looked_ms;   /* first; 0: not yet */
    int64_t seen_ms;     /* at the last look at which it ran; 0: none */
    int64_t patience_ms; /* with one that was not seen yet */
    int handovers;       /* from a process that has gone to one that began after it was seen last */
    char run[64];
    char last[64]; /* process */
};

struct shop_life {
    bool known; /* false: it can't be seen, or it may yet come (again) */
    bool alive;
    char run[64];    /* another text after each restart; of a program, once it is more than handing over to the next */
    char ended[128]; /* when, and what to look at; "" where that can't be told */
};

/* Does it run? A program that a command of the owner's started is given a few seconds to be there again. ERR_IO of systemctl. */
enum error_kind shop_watch_look(struct shop_watch *w, struct shop_life *out, struct error *err);
/* The owner lets it take that long until it begins, since the start command may only queue it; never less than 20 s. */
void shop_watch_allow(struct shop_watch *w, int64_t ms);

/* ---- forward: an upgrade is the same transaction, to a state that is in no snapshot yet ---- */

/*
 * What the room above does at its moments. It writes into the staged tree only, never into the live one (P2); whatever it returns but OK
 * undoes the transaction.
 */
struct forward_steps {
    void *arg;
    /* The old shop still runs: what is it like? db is its database. */
    enum error_kind (*look)(void *arg, struct database *db, const struct progress *progress, struct error *err);
    /* Does this path of the old tree go into the new one, under its own name? Asked by several threads at once. */
    bool (*carries)(void *arg, const char *path, bool is_folder);
    /*
     * The shop is open. Put the rest into the staged tree.
     *
     * tree       holds what is carried
     * scratch    an empty folder on the same filesystem, which goes with the stage
     */
    enum error_kind (*build)(void *arg, const char *tree, const char *scratch, const struct progress *progress,
                             struct error *err);
    /* The shop is stopped, `live` and its database at rest; what is carried has caught up. The last touch: settings. */
    enum error_kind (*settle)(void *arg, struct database *db, const char *tree, const char *live,
                              const struct progress *progress, struct error *err);
    /*
     * The shop is stopped. Bring the database forward as far as the new shop does not do that itself; NULL: it does all.
     *
     * db         the copy, which is not live yet; or, where it is changed in place, the live one
     */
    enum error_kind (*scripts)(void *arg, struct database *db, const struct progress *progress, struct error *err);
    /*
     * The new shop was started: wait until it is well.
     *
     * db         the database that it works on
     * watch      whether it still runs
     * warned     set where it is well but something is to be told (exit status 3)
     */
    enum error_kind (*healthy)(void *arg, struct database *db, struct shop_watch *watch, bool *warned,
                               const struct progress *progress, struct error *err);
    /*
     * How many releases are started one after the other; 0: one. After the first, scripts() and healthy() are called again for each, and
     * before them advance():
     *
     * The stage before is well, its shop is stopped again. Make of its tree the one of the next stage, in place.
     *
     * stage      from 1: the second release
     * live       the tree; its root stays what it is
     * aside      an empty folder on the same filesystem, for what goes from it
     */
    size_t stages;
    enum error_kind (*advance)(void *arg, size_t stage, const char *live, const char *aside,
                               const struct progress *progress, struct error *err);
};

struct forward_options {
    const char *from, *to; /* versions, for people: "4.60.2" */
    int64_t trial_ms;      /* 0: none */
    int health_timeout_ms; /* 0: the default */
    uint64_t new_bytes;    /* what the new tree needs beside what is carried */
    uint64_t new_files;
    bool shared;                 /* other known sites share the database: go on */
    const struct config *config; /* may be NULL */
};

struct forward_plan {
    struct preflight preflight;
    bool database; /* there is one, and it goes with the files */
    uint64_t database_bytes;
    uint64_t copy_ms;                    /* roughly, how long the database's copy will keep the shop closed */
    uint64_t other_ms;                   /* and all else until the new shop is started */
    struct transaction_context *context; /* private */
};

/* Looks, writes nothing. The site's settings must have been readable. */
enum error_kind forward_plan(struct catalog *cat, struct site *site, const struct forward_options *options,
                             const struct progress *progress, struct forward_plan **out, struct error *err);
void forward_plan_free(struct forward_plan *plan);
/* The connection with the shop's database that was looked over; borrowed. NULL where there is none. */
struct database *forward_plan_database(const struct forward_plan *plan);

#define TRANSACTION_STEPS_MAX 64
struct transaction_step {
    char name[64]; /* as it was told while it ran */
    uint64_t ms;
};

struct forward_result {
    struct transaction_result transaction;
    char *before; /* the held snapshot "before the upgrade"; NULL when it was undone before there was one */
    bool warned;  /* by steps->healthy() */
    struct database_losses
        meantime; /* undone after the start: rows that came in while the new shop ran; they are in the safety snapshot */
    int64_t trial_end_ns;                                 /* 0: no trial */
    struct transaction_step steps[TRANSACTION_STEPS_MAX]; /* in their order */
    size_t step_count;
};
void forward_result_release(struct forward_result *r);

/*
 * Snapshot and hold it, stage, fence, restore point, exchange, start, health, commit; any failure before the commit is undone.
 *
 * Returns    as rollback_run()
 * Durable    P1 at every instant
 */
enum error_kind forward_run(struct catalog *cat, struct site *site, struct forward_plan *plan,
                            const struct forward_steps *steps, const struct progress *progress,
                            struct forward_result *out, struct error *err);

/* ---- recover ---- */

/*
 * Finish or undo. The catalogue is the one that the journal names.
 *
 * config     may be NULL; the journal has what it needs of it
 * Returns    OK with OUTCOME_NOTHING when nothing was pending, OUTCOME_DONE when it went forward, OUTCOME_UNDONE when it went
 *            back; ERR_PENDING (OUTCOME_HANDS) with what to do when it can't
 */
enum error_kind recover_run(const char *site_path, const struct config *config, const struct progress *progress,
                            struct transaction_result *out, struct error *err);

/* ---- a snapshot of a stopped shop ---- */

/*
 * Stop the shop, prove it quiet, take the snapshot, start it again. Journaled, so that `recover` starts a shop that a crash left stopped.
 *
 * Returns    ERR_REFUSED when nopsnap does not know how to stop the shop and something is running
 */
enum error_kind fenced_snapshot(struct catalog *cat, struct site *site, struct database *db,
                                const struct snapshot_options *options, const struct progress *progress,
                                struct snapshot_result *out, struct error *err);

/* ---- kept things ---- */

struct kept_state {
    bool exists;
    char *tree;     /* path of the kept tree, or NULL */
    char *database; /* name of the kept database, or NULL */
    char *snapshot; /* the safety snapshot, once it is one; else NULL */
    int64_t since_ns;
    int64_t trial_end_ns;            /* of an upgrade in its trial; else 0 */
    char *from_version, *to_version; /* of that upgrade, or NULL */
    uint64_t
        bytes; /* that come free when the kept tree goes: what it shares with the live one does not count, nor does the database */
};
void kept_state_release(struct kept_state *k);
enum error_kind kept_look(const char *site_path, struct kept_state *out, struct error *err);

/*
 * Turn what is kept into a verified snapshot and then let it go (T6). Nothing kept, or an upgrade in its trial: OK.
 *
 * end_trial  an open trial ends too: its restore point is the held snapshot "before the upgrade"
 * seen_ns    what transaction_changed_ns() said: ERR_BUSY if a transaction went since; then what it says now. Or NULL
 */
enum error_kind kept_clear(struct catalog *cat, struct site *site, bool end_trial, const struct progress *progress,
                           int64_t *seen_ns, struct transaction_result *out, struct error *err);

#endif
