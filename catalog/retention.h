/*
 * Retention: which snapshots of a site are kept. The arithmetic is apart from the catalogue and from the clock, so that it can be lived through in tests.
 *
 * Invariants
 *   R1  a held snapshot is kept, and so are one that a transaction still needs and the newest good one (below) of the site, whatever the rules say
 *   R2  each kind by itself (scheduled and by hand together; before an upgrade; safety), each part by itself, and flagged ones by themselves: none of these
 *       takes a place that another would have had. A flagged snapshot never pushes out a good one, nor does one whose record can't be read
 *   R3  a snapshot of the future is kept and takes no place: a clock that was wrong once pushes nothing out
 *   R4  time is counted from the newest snapshot that is there, not from now, and only days (hours, weeks...) count that have a snapshot: a gap, or a machine
 *       that was off, empties nothing. For `within` a pause does not count: what stood in the window before it stays until as much history has grown again.
 *       A pause is more than half of the window, and more than twice the time between the last snapshot before it and the one before that. The newest one
 *       counts for nothing, each one before it for half a window, so that bursts with months between them don't stay for ever
 *   R5  a kind without rules is kept altogether
 *   R6  newer is what was committed later, whatever the dates say; where that is not known, what has the later date. What comes last is never the one that goes
 *
 * Days, weeks (ISO 8601), months and years are those of the local calendar, hours those of UTC, so that the hour that daylight saving repeats is two.
 * Of each the newest snapshot is kept. That is how restic's and borg's rules read, too.
 */
#ifndef NOPSNAP_RETENTION_H
#define NOPSNAP_RETENTION_H

#include "keep_rules.h"
#include "record.h"
#include "text.h"

/* Is this moment so far ahead that a clock must have been wrong (R3)? Those of two hosts may differ by an hour. */
bool snapshot_is_of_future(int64_t made_ns, int64_t now_ns);
/*
 * R1's "good", for everything that watches, compares or proves: whole, not flagged, and not of the future, for that is no proof that
 * there is one of today, and would stay the newest until its day has come. And of a shop as somebody wanted it: what a rollback, or an upgrade that
 * was undone, took away is that only once it is accepted.
 */
struct snapshot_standing {
    enum snapshot_kind kind;
    enum snapshot_part part;
    bool suspicious, accepted;
    int64_t made_ns;
};
bool snapshot_is_good(const struct snapshot_standing *s, int64_t now_ns);
/* But for the part: a site without a database has none that is whole. */
bool snapshot_is_good_part(const struct snapshot_standing *s, int64_t now_ns);
struct snapshot_standing snapshot_row_standing(const struct snapshot_row *row);

enum retention_kind { RETENTION_REGULAR, RETENTION_BEFORE_UPGRADE, RETENTION_SAFETY, RETENTION_KINDS };

struct retention {
    const struct keep_rules *rules[RETENTION_KINDS]; /* NULL: R5 */
    const struct text_list *needed;                  /* ids of those that a transaction needs (R1); or NULL */
};

struct retention_item {
    char id[33];
    int64_t made_ns;
    int64_t order; /* of commit (struct snapshot_row) */
    enum snapshot_kind kind;
    enum snapshot_part part;
    bool held, suspicious, accepted;
    bool unreadable; /* its record, and so all of it: no good one that stands */
    /* the decision */
    bool keep;
    char why[160]; /* "last 3, daily 7", "held", "no rule keeps it" */
};

/* Decide on all snapshots of one site. items are sorted, newest first. now_ns: for R3 only. */
void retention_decide(const struct retention *r, struct retention_item *items, size_t count, int64_t now_ns);

struct retention_report {
    uint64_t kept, dropped;
};

/* Called for each snapshot, newest first, after the decision and before anything goes; may be NULL. */
typedef void retention_fn(void *arg, const struct retention_item *item);

/*
 * Apply the rules to one site of the catalogue: what they drop is forgotten (prune gives the room back).
 *
 * dry_run    decide and tell only
 * Returns    ERR_CORRUPT, with nothing forgotten, when not every snapshot's row could be read: who is the newest would not be known
 * Durable    on return OK what is forgotten stays so; each goes whole or not at all
 */
enum error_kind retention_apply(struct catalog *cat, const char *site_id, const struct retention *r, bool dry_run,
                                retention_fn *fn, void *arg, struct retention_report *out, struct error *err);

#endif
