/*
 * Where the drills of a site have put what they make: noted in the catalogue before anything is made, until it is removed (L3). What a kill leaves
 * is found by its note, wherever it was.
 *
 *     rc = drill_notes_load(cat, site_id, &notes, err);
 *     rc = drill_notes_add(&notes, folder, token, true, err);
 *     rc = drill_notes_save(cat, site_id, &notes, err);
 *
 * All under the lock of the site's drills. A note is no proof of what is in that place now: scratch_remove() looks.
 */
#ifndef NOPSNAP_DRILL_NOTE_H
#define NOPSNAP_DRILL_NOTE_H

#include "catalog.h"
#include "file.h"
#include "scratch.h"

struct drill_note {
    char *folder; /* absolute */
    char token[SCRATCH_TOKEN_LEN + 1];
    bool has_database;           /* one may have been made, and is not seen to be gone */
    struct file_identity parent; /* of what the folder was made in */
};

struct drill_notes {
    struct drill_note *items;
    size_t count;
};

#define DRILL_NOTES_INIT \
    {                    \
        .items = NULL    \
    }

/* None is no error. ERR_CORRUPT for a file that nopsnap has not written so. */
enum error_kind drill_notes_load(const struct catalog *cat, const char *site_id, struct drill_notes *out,
                                 struct error *err);
/* One that can't be read goes to another name beside it: *aside, the caller's. */
enum error_kind drill_notes_set_aside(const struct catalog *cat, const char *site_id, char **aside, struct error *err);
/* Durable    whole or not at all; without any note the file goes */
enum error_kind drill_notes_save(const struct catalog *cat, const char *site_id, const struct drill_notes *notes,
                                 struct error *err);
/* The folder's parent is there. */
enum error_kind drill_notes_add(struct drill_notes *notes, const char *folder, const char *token, bool has_database,
                                struct error *err);
void drill_notes_drop(struct drill_notes *notes, size_t which);
/* Of that token; count where there is none. */
size_t drill_notes_find(const struct drill_notes *notes, const char *token);
void drill_notes_release(struct drill_notes *notes);

/*
 * Is what the folder was made in there? Not while another disk is mounted there, or a service has a /tmp of its own: only of one that is in reach a
 * folder that is missing has gone.
 */
bool drill_note_in_reach(const struct drill_note *note);

#endif
