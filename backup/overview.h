/*
 * How the shops of a catalogue are: what `status` prints, what the metrics tell, what the report draws. It looks at everything and changes nothing.
 *
 *     struct overview o = OVERVIEW_INIT;
 *     rc = overview_gather(cat, config, NULL, &o, err);    ...    overview_release(&o);
 *
 * Invariants
 *   1  The cost grows with the snapshots and packs that there are, never with the runs that ever were: of what was done only the newest few are read.
 *   2  What never happened is 0 (moments, durations), never a guess.
 *   3  Problems are in the order of their weight, the gravest first.
 */
#ifndef NOPSNAP_OVERVIEW_H
#define NOPSNAP_OVERVIEW_H

#include "catalog.h"
#include "record.h"
#include "site_config.h"
#include "transaction.h"

/* The weight of a problem. */
enum overview_grade {
    OVERVIEW_WELL,
    OVERVIEW_NOTE,    /* worth knowing, nothing to do */
    OVERVIEW_WARNING, /* somebody should look */
    OVERVIEW_DAMAGE,  /* stored data is damaged */
    OVERVIEW_PENDING, /* something unfinished waits for `recover` or for hands */
};

struct overview_problem {
    enum overview_grade grade;
    const char *code; /* one word that stays the same: "late" */
    char *text;
    char *hint; /* what to do, or NULL */
};

struct overview_problems {
    struct overview_problem *items;
    size_t count, cap;
};

/* The figures of one snapshot. */
struct overview_point {
    char id[33];
    int64_t made_ns;
    uint64_t files, bytes, dump_bytes;
    uint64_t stored; /* what it added to the catalogue */
    enum snapshot_kind kind;
    enum snapshot_part part;
    bool held, suspicious, warned;
    bool good; /* retention.h */
};

/* The last time that some regular work was done. */
struct overview_work {
    int64_t started_ns, ended_ns; /* 0: never */
    int status;                   /* exit status */
};

struct overview_site {
    char site_id[17];
    char *path;
    char *name;                    /* in the config, or NULL */
    char *version;                 /* of the newest snapshot, or NULL */
    bool here;                     /* a site of this host: others can't be looked at */
    struct overview_point *points; /* newest first */
    size_t count, cap;
    const struct overview_point *good; /* the newest good one (retention.h), or NULL; one of points */
    uint64_t stored, stored_week, stored_month;
    uint64_t rows, tables; /* of the newest good one's dump; 0 without */

    bool scheduled;        /* there is a schedule, or the config expects snapshots */
    int64_t expect_ms;     /* a good snapshot may be so old; 0: nobody expects one */
    int64_t next_ns;       /* when the timer starts the next run, or else the next is due by expect-every; 0: neither */
    bool next_is_expected; /* it is the latter */
    struct overview_work run, drill, drill_good;
    char *run_failed;    /* what failed in the newest run, "after-run: ...", or NULL */
    int64_t drill_ms;    /* a restore is to be proved so often; 0: nobody asks for it */
    char *stopped_timer; /* the timer that is there and will start nothing, or NULL */

    enum transaction_state transaction;
    struct kept_state kept;
    struct overview_problems problems;
};

struct overview {
    int64_t now_ns;
    const char *catalog; /* its path, borrowed */
    struct overview_site *sites;
    size_t count, cap;
    uint64_t packs, pack_bytes;
    int64_t
        oldest_unread_ns; /* the byte that nobody read for the longest time was read (or written) then; 0: no bytes */
    bool damaged;         /* damage is known that no repair has cleared */
    struct error unwritable; /* why nothing can be written to the catalogue; kind OK: something can */
    struct overview_work verify;
    struct overview_problems problems; /* of the catalogue */
};

#define OVERVIEW_INIT \
    {                 \
        .now_ns = 0   \
    }

/*
 * cat        borrowed, as long as out is used
 * config     its sites are there also without snapshots
 * only       real path of the one site that is asked for; NULL: all
 * Errors     ERR_CORRUPT when rows of the index are damaged; a record that can't be read is a problem of its site, not an error
 */
enum error_kind overview_gather(struct catalog *cat, const struct config *config, const char *only,
                                struct overview *out, struct error *err);
void overview_release(struct overview *o);

/* The gravest of a site's problems, and of all: WELL without. */
enum overview_grade overview_site_grade(const struct overview_site *s);
enum overview_grade overview_grade(const struct overview *o);

/* "5 h", "12 d": how long before `now` something was, in at most 5 columns; "never" for 0. */
void overview_age(int64_t now_ns, int64_t then_ns, char out[TEXT_MAX]);

#endif
