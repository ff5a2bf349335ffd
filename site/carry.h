/*
 * What an upgrade takes from the old site's tree into the new release's, path by path, and under which name.
 *
 *     struct site_carry_request request = {...};
 *     for each path of the old tree:
 *         rc = site_carry_decide(&request, path, kind, &decision, err);
 *         rc = site_carry_describe(path, &decision, &line, err);       for the plan
 *         site_carry_release(&decision);
 *
 * Pure: no file is looked at. What a release ships is asked of the caller. Ask for every path: a folder's answer says nothing of what is
 * in it, unless its class says so.
 */
#ifndef NOPSNAP_CARRY_H
#define NOPSNAP_CARRY_H

#include <stdbool.h>

#include "error.h"
#include "site.h"

enum site_carry_class {
    SITE_CARRY_INSIDE,     /* a folder that the new release has too: what is in it decides */
    SITE_CARRY_COPY,       /* the owner's: goes into the new tree at `to` */
    SITE_CARRY_OWN_PLUGIN, /* the same, of a plugin that the new release does not ship */
    SITE_CARRY_OWN_THEME,  /* the same, of a theme */
    SITE_CARRY_MOVE, /* thumbs, logs, db_backups: in no snapshot; moves to `to` by rename, as a whole, while the shop is stopped */
    SITE_CARRY_SETTINGS,     /* settings_convert.h makes the new tree's */
    SITE_CARRY_MERGE,        /* web.config: settings_convert.h merges it */
    SITE_CARRY_DROP,         /* made again by the application, or of no use to the new release */
    SITE_CARRY_FROM_PACKAGE, /* code: the new release's own takes its place */
    SITE_CARRY_OURS,         /* nopsnap's folder: never touched */
    SITE_CARRY_BLOCKED, /* a link to a folder in the place of one that both releases fill, or in which settings are made: neither way is right */
};

/* What a path of the old tree is. A link to a file is judged as the file. */
enum site_carry_kind { SITE_CARRY_FILE, SITE_CARRY_FOLDER, SITE_CARRY_FOLDER_LINK };

/* Does a release have this path, a file or a folder? As its package spells it, or in another case. */
typedef bool site_carry_ships_fn(void *arg, const char *relative);

struct site_carry_request {
    const struct site_version *old_version;
    const struct site_version *new_version;
    enum site_layout old_layout; /* SITE_LEGACY or SITE_CORE */
    const char *pictures; /* site_picture_path(), or NULL for the usual place; one outside the tree changes nothing */
    site_carry_ships_fn *ships; /* the new release */
    void *ships_arg;
    site_carry_ships_fn *old_ships; /* the old release, where its list is at hand; else NULL */
    void *old_ships_arg;
};

struct site_carry_decision {
    enum site_carry_class class;
    char *to;           /* below the new root; NULL where nothing goes over */
    const char *reason; /* static text */
    bool unknown;       /* neither release is known to have it, and no rule names it: the owner should look at it */
};

#define SITE_CARRY_DECISION_INIT             \
    {                                        \
        SITE_CARRY_INSIDE, NULL, NULL, false \
    }

/*
 * Decide.
 *
 * relative   below the old root, as on the disk
 * out        SITE_CARRY_DECISION_INIT, or released
 * Returns    ERR_REFUSED for a path that is no safe relative one (P11), or a layout that is no shop's; ERR_MEMORY
 */
enum error_kind site_carry_decide(const struct site_carry_request *request, const char *relative,
                                  enum site_carry_kind kind, struct site_carry_decision *out, struct error *err);
void site_carry_release(struct site_carry_decision *decision);
/* "placeholder.txt", "Index.htm": only there so that a folder is. */
bool site_carry_is_placeholder(const char *relative);
/* Can anything in this folder ("": the root) come over under another name than its own? Where not, nobody needs to look into it. */
bool site_carry_renames_below(const struct site_carry_request *request, const char *folder);

/* One line: "robots.custom.txt: moved to wwwroot/robots.custom.txt (the owner's rules for robots)". Caller frees. */
enum error_kind site_carry_describe(const char *relative, const struct site_carry_decision *decision, char **out,
                                    struct error *err);

#endif
