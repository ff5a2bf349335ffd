/* What drills have left that were killed: found by their notes, or in the place of today's config by its mark (L3). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drill_internal.h"

/* ---- by their notes ---- */

/* Out of reach only the database can go: the folder is left to the day on which it is there again. */
static enum error_kind remove_noted(struct drill *d, size_t which, bool *gone, struct error *err)
{
    struct drill_note *n = &d->notes.items[which];
    bool in_reach = drill_note_in_reach(n);
    struct scratch_spec spec = {.what = "drill", .folder = n->folder, .db = d->db, .token = n->token};
    enum error_kind rc;

    *gone = false;
    if (!in_reach && !n->has_database)
        return OK;
    if (n->has_database && !d->db) {
        error_set(err, ERR_REFUSED, 0, "a drill that was ended has left a database, and there is no server now");
        error_hint(err, "the settings of %s have to name its database again", d->site->path);
        return ERR_REFUSED;
    }
    rc = scratch_remove(&spec, d->progress, err);
    if (rc && (err->sys == EROFS || err->sys == EACCES || err->sys == EPERM)) /* a timer's run may not write there */
        error_hint(err, "started by hand, nopsnap drill %s removes it", d->site->path);
    if (!rc)
        n->has_database = false;
    *gone = !rc && in_reach;
    return rc;
}

/* Whatever can't be removed keeps nothing else from going; the first failure is told. */
static enum error_kind remove_all_noted(struct drill *d, struct error *err)
{
    struct error first = ERROR_INIT;
    struct error why = ERROR_INIT;
    enum error_kind rc;

    for (size_t i = 0; i < d->notes.count && first.kind != ERR_CANCELLED;) {
        bool gone = false;

        error_clear(&why);
        if (remove_noted(d, i, &gone, &why) != OK && !first.kind)
            first = why;
        if (gone)
            drill_notes_drop(&d->notes, i);
        else
            i++;
    }
    rc = drill_notes_save(d->cat, d->site_id, &d->notes, &why);
    if (first.kind)
        *err = first;
    else if (rc)
        *err = why;
    return first.kind ? first.kind : rc;
}

/* They may name a copy of the customers' database, and this drill's own are written over them: what damage leaves of them is kept. */
static enum error_kind load_or_set_aside(struct drill *d, struct error *err)
{
    struct error why = ERROR_INIT;
    char *aside = NULL;
    enum error_kind rc = drill_notes_load(d->cat, d->site_id, &d->notes, &why);

    if (rc != ERR_CORRUPT) {
        error_copy(err, &why);
        if (rc && rc != ERR_CANCELLED && rc != ERR_MEMORY)
            error_hint(err, "it may name what earlier drills have left: no drill is made until it can be read");
        return rc;
    }
    rc = drill_notes_set_aside(d->cat, d->site_id, &aside, err);
    if (!rc)
        progress_warn(d->progress, "%s; it is set aside as %s: what it names may still be there, a database too",
                      why.text, aside);
    free(aside);
    return rc;
}

enum error_kind drill_noted_clear(struct drill *d, struct error *err)
{
    struct error why = ERROR_INIT;
    enum error_kind rc = load_or_set_aside(d, err);

    if (rc)
        return rc;
    if (d->notes.count)
        rc = remove_all_noted(d, &why);
    if (rc == ERR_CANCELLED || rc == ERR_MEMORY) {
        *err = why;
        return rc;
    }
    if (rc)
        progress_warn(d->progress, "%s%s%s", why.text, why.hint[0] ? "; " : "", why.hint);
    return OK;
}

enum error_kind drill_noted_add(struct drill *d, const char *folder, struct error *err)
{
    char token[SCRATCH_TOKEN_LEN + 1];
    enum error_kind rc = scratch_token(token, err);

    if (!rc)
        rc = drill_notes_add(&d->notes, folder, token, d->db != NULL, err);
    if (!rc)
        rc = drill_notes_save(d->cat, d->site_id, &d->notes, err);
    if (!rc)
        memcpy(d->token, token, sizeof(d->token));
    return rc;
}

void drill_noted_end(struct drill *d)
{
    struct error why = ERROR_INIT;
    size_t mine = drill_notes_find(&d->notes, d->token);

    if (mine == d->notes.count)
        return;
    drill_notes_drop(&d->notes, mine);
    if (drill_notes_save(d->cat, d->site_id, &d->notes, &why) != OK)
        progress_warn(d->progress, "%s", why.text);
}

/* ---- without a drill ---- */

static bool is_left_by_note(struct catalog *cat, const char *site_id)
{
    struct drill_notes notes = DRILL_NOTES_INIT;
    struct error ignored = ERROR_INIT;
    bool left = false;

    if (drill_notes_load(cat, site_id, &notes, &ignored) != OK) /* the next drill warns of it */
        return false;
    for (size_t i = 0; i < notes.count; i++)
        left = left || notes.items[i].has_database || drill_note_in_reach(&notes.items[i]);
    drill_notes_release(&notes);
    return left;
}

bool drill_is_left(struct catalog *cat, const struct site *site)
{
    struct error ignored = ERROR_INIT;
    char site_id[17];
    char *parent = NULL;
    char *folder = NULL;
    bool left =
        catalog_site_id(cat, site->path, site_id, &ignored) == OK &&
        (is_left_by_note(cat, site_id) ||
         (drill_place_of(cat, site, NULL, site_id, &parent, &folder, &ignored) == OK && scratch_is_left(folder)));

    free(parent);
    free(folder);
    return left;
}

/* What has no note: its mark alone tells. In a place that is not there nothing is. */
static enum error_kind clear_place(struct drill *d, struct error *err)
{
    char *parent = NULL;
    char *folder = NULL;
    struct error last = ERROR_INIT;
    struct scratch_spec spec = {.what = "drill", .mode = 0700, .db = d->db};
    enum error_kind rc = OK;

    if (drill_place_of(d->cat, d->site, d->options->folder, d->site_id, &parent, &folder, &last) == OK &&
        scratch_is_left(folder)) {
        spec.folder = folder;
        rc = scratch_begin(&d->place, &spec, d->progress, err);
        if (scratch_end(&d->place, &last) != OK && !rc) {
            *err = last;
            rc = last.kind;
        }
    }
    free(parent);
    free(folder);
    return rc;
}

static enum error_kind clear(struct drill *d, struct error *err)
{
    enum error_kind rc = d->options->connect(d->options->arg, d->site, &d->db, err);

    if (!rc)
        rc = drill_notes_load(d->cat, d->site_id, &d->notes, err);
    if (!rc && d->notes.count)
        rc = remove_all_noted(d, err);
    return rc ? rc : clear_place(d, err);
}

enum error_kind drill_clear(struct catalog *cat, struct site *site, const struct drill_options *options,
                            const struct progress *progress, struct error *err)
{
    struct drill d = {.cat = cat, .site = site, .options = options, .progress = progress, .place = SCRATCH_INIT};
    enum error_kind rc = drill_locked(&d, clear, err);

    drill_notes_release(&d.notes);
    return rc;
}
