/*
 * What rules leave out, gathered for the record: not one line a file, but one for each topmost folder and reason.
 */
#ifndef NOPSNAP_LEFT_OUT_INTERNAL_H
#define NOPSNAP_LEFT_OUT_INTERNAL_H

#include "record.h"
#include "walk.h"

/* A WALK_SKIPPED item. What lies in a skipped directory is counted (by names and sizes, nothing is opened but directories). */
enum error_kind left_out_add(struct snapshot_record *record, const struct walk_item *item, struct error *err);
/* Something else that is in no snapshot, in its own words. */
enum error_kind left_out_add_path(struct snapshot_record *record, const char *path, const char *reason, uint64_t files,
                                  uint64_t bytes, struct error *err);

#endif
