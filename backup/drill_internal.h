/* What the files about drills share. */
#ifndef NOPSNAP_DRILL_INTERNAL_H
#define NOPSNAP_DRILL_INTERNAL_H

#include "drill.h"
#include "drill_note.h"
#include "scratch.h"

struct drill {
    struct catalog *cat;
    struct site *site;
    const struct drill_options *options;
    const struct progress *progress;
    struct drill_result *result;
    struct snapshot_record snapshot;
    struct database *db; /* borrowed, or NULL */
    struct scratch place;
    struct drill_notes notes;
    char token[SCRATCH_TOKEN_LEN + 1]; /* of the note of this one; "": none */
    char site_id[17];
};

/* ---- drill.c ---- */

/* The folder that is a drill's, and the existing one that it is made in. folder: of the owner's choice for this drill, or NULL. Caller frees both. */
enum error_kind drill_place_of(struct catalog *cat, const struct site *site, const char *folder, const char *site_id,
                               char **parent, char **out, struct error *err);
/* Act with the locks of a drill (L4). */
enum error_kind drill_locked(struct drill *d, enum error_kind (*act)(struct drill *d, struct error *err),
                             struct error *err);

/* ---- drill_left.c ---- */

/* Before a drill: remove what the notes of others name. What can't be removed, or read, is warned of: it is no reason not to drill. */
enum error_kind drill_noted_clear(struct drill *d, struct error *err);
/* Before anything is made: note it, under a new token. */
enum error_kind drill_noted_add(struct drill *d, const char *folder, struct error *err);
/* After all has gone. A note that can't be dropped names what is not there: the next drill finds that. */
void drill_noted_end(struct drill *d);

#endif
