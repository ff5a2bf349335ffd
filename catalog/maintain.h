/*
 * Keeping a catalogue in order: verify, rebuild, prune.
 */
#ifndef NOPSNAP_MAINTAIN_H
#define NOPSNAP_MAINTAIN_H

#include "catalog.h"
#include "record.h"
#include "text.h"

struct verify_options {
    bool read_data;      /* read and check every frame, not only structure */
    int32_t per_million; /* of the stored bytes, longest unread first; 0: all */
    /* As the share what is due, so that everything is read once in within_ms by runs that are interval_ms apart; within_ms 0: per_million says */
    int64_t within_ms, interval_ms;
    int64_t
        budget_ms; /* read no longer than this; 0: none. It bounds the reading of data, not the check of structure */
};

struct verify_report {
    uint64_t packs, packs_read, frames_read, bytes_read;
    uint64_t snapshots, chunks;
    uint64_t healed;         /* frames that can't be read and that nothing needs, for what they held was stored again */
    struct text_list damage; /* one line each: pack, what, where */
    struct text_list touched; /* "snapshot 3f2a… path/of/file": what the damage hits */
    bool out_of_time;         /* the budget was used up before the share was read */
    int64_t oldest_unread_ns; /* when the longest unread pack was last read (or made) */
};
void verify_report_release(struct verify_report *r);
/* ERR_CORRUPT if any damage was found (the report is filled all the same). */
enum error_kind catalog_verify(struct catalog *cat, const struct verify_options *options,
                               const struct progress *progress, struct verify_report *out, struct error *err);

/*
 * Read all that one snapshot reaches and check every chunk of it against its id: what must be known before the shop's own
 * copy goes. Damage is remembered, so that the next snapshot stores it anew.
 *
 * Returns    ERR_CORRUPT naming the first frame that is damaged
 */
enum error_kind snapshot_verify(struct catalog *cat, const struct snapshot_record *record,
                                const struct progress *progress, struct error *err);

/*
 * Make catalog.sqlite again from packs alone (P7). The old file is kept aside until the new one is in place (then removed).
 * Forgotten snapshots stay forgotten, holds stay held. Packs that can't be read whole are reported, their readable frames used.
 * path       the catalogue's folder; takes the exclusive lock itself
 */
enum error_kind catalog_rebuild(const char *path, const struct progress *progress, struct text_list *report,
                                struct error *err);

/* How much there is, and since when the part that nobody read for the longest time is unread. */
struct catalog_figures {
    uint64_t packs, bytes;    /* in place; bytes of their files */
    int64_t oldest_unread_ns; /* 0: no packs */
};
/* From the index alone, in two passes: costs some microseconds a pack. */
enum error_kind catalog_figures(struct catalog *cat, struct catalog_figures *out, struct error *err);
/* Bytes of content before compression, each piece once, of data that is in place. Reads every row: for reports. */
enum error_kind catalog_content_bytes(struct catalog *cat, uint64_t *out, struct error *err);

struct prune_options {
    int max_unused_percent; /* rewrite packs until at most this share of the stored bytes is unused; default 10 */
    bool dry_run;           /* the report tells what a run would come to, about */
    int lock_timeout_ms; /* for the exclusive lock of the removal; when readers stay, removal is left to the next run */
};
struct prune_report {
    uint64_t bytes_before, bytes_unused, bytes_freed;
    uint64_t packs_removed, packs_rewritten, parts_removed;
    bool removal_postponed;
};
/*
 * Remove what no snapshot needs. A removal that was postponed costs one copy of what was rewritten at most, until a later prune removes.
 */
enum error_kind catalog_prune(struct catalog *cat, const struct prune_options *options, const struct progress *progress,
                              struct prune_report *out, struct error *err);
/*
 * Has anything been forgotten that no prune has finished removing: because there was none since, or because it was postponed, failed or was
 * killed? Tombstones go last of all, so one that stands says so. From the index: a hint, never a reason to remove anything.
 */
enum error_kind catalog_prune_due(struct catalog *cat, bool *out, struct error *err);

#endif
