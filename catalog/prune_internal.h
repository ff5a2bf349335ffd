/* What the files of prune share. */
#ifndef NOPSNAP_PRUNE_INTERNAL_H
#define NOPSNAP_PRUNE_INTERNAL_H

#include "maintain_internal.h"

enum prune_fate {
    FATE_KEEP,
    FATE_REWRITE,      /* keep what is used of it in a new pack */
    FATE_REMOVE,       /* nothing of it is reached */
    FATE_REMOVE_LATER, /* a record that voids others: only once they are gone for good */
};

struct prune_pack {
    struct pack_row row;
    uint64_t raw;                                 /* bytes of all chunks that the index places in it */
    uint64_t records, removable, removable_later; /* packs of records: how many, and how many may go when */
    bool is_copied;                               /* all that was marked stands in new packs too */
    bool
        is_damaged; /* something that is needed can't be read: it stays as it is, for a repair may need what surrounds the damage */
    bool
        is_healed; /* something can't be read that nothing needs any more, for it was stored again: a rewrite gets rid of it */
    enum prune_fate fate;
};

struct prune_packs {
    struct prune_pack *items; /* by number */
    size_t count, cap;
};

struct prune {
    struct catalog *cat;
    const struct prune_options *options;
    const struct progress *progress;
    struct prune_report *report;
    struct book book;
    struct mark *mark;
    struct mark *first_mark; /* of the survey by which packs were copied */
    struct prune_packs packs;
    uint64_t *copies; /* numbers of the packs that this run made */
    size_t copy_count;
    bool no_copies;     /* only remove: there is no room for more */
    bool short_of_room; /* for the copies of some there was room, not of all */
};

/* ---- prune_plan.c ---- */

/* Records, marks of all that standing snapshots reach, packs. ERR_CORRUPT when anything can't be read: then nothing may be removed. */
enum error_kind prune_survey(struct prune *p, struct error *err);
void prune_survey_release(struct prune *p); /* the marks stay: they belong to the caller */
/* Choose each pack's fate, and what is to be rewritten. */
void prune_decide(struct prune *p);
struct prune_pack *prune_pack_find(struct prune *p, uint64_t number); /* NULL: none */
/* Bytes of the file that nothing needs: an estimate by the chunks' share. */
uint64_t prune_pack_unused(const struct prune *p, const struct prune_pack *pack);

/* ---- prune_rewrite.c ---- */

/*
 * Copy what is marked in the packs to be rewritten into new ones. Works under the shared lock: the new packs are in place and no row points
 * into them, so a kill leaves two packs that nothing needs.
 *
 * Returns    ERR_SPACE only where not one pack could be copied; where some could, those are rewritten and the others kept (short_of_room)
 */
enum error_kind prune_rewrite(struct prune *p, struct error *err);
/* Let the rows point into the copies of packs that are to be removed. Inside the transaction that gives the old ones up. */
enum error_kind prune_switch(struct prune *p, struct error *err);

#endif
