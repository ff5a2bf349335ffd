/*
 * The upgrade: a release takes the place of a shop's program, and the shop's own things come over.
 *
 *     rc = upgrade_plan(cat, &site, &options, &progress, &plan, err);     looks, and fetches the release; --dry-run prints it
 *     rc = upgrade_run(cat, &site, plan, &progress, &result, err);        acts
 *
 * The transaction is transaction/'s (forward_run()); here are the release, what is carried over, the settings and the questions whether the
 * new shop is well.
 *
 *   U1  the old program's files are replaced, not overlaid: nothing of the old version that the new one does not have stays in the way
 *   U2  what is the shop's own is in the new tree, in the place where the new version looks for it
 *   U3  the connection that the new tree's settings name is the one that the old tree's named
 *   U4  every script is found, read and looked through before the shop is stopped; they run on the copy of its database
 */
#ifndef NOPSNAP_UPGRADE_H
#define NOPSNAP_UPGRADE_H

#include "release.h"
#include "scripts.h"
#include "transaction.h"
#include "upgrade_path.h"

#define UPGRADE_TRIAL_MS (7LL * 24 * 3600 * 1000)

struct upgrade_options {
    const char *release;      /* file, folder or URL */
    const char *sha256;       /* expected, or NULL */
    const char *from_release; /* the release that the shop was made from, or NULL: tells its files from the owner's */
    const char
        *via[UPGRADE_STAGES_MAX - 1]; /* releases to be started on the way, in their order; NULL behind the last */
    const char *scripts;              /* folder with the packages of upgrade scripts, or NULL; see scripts_open() */
    const char *work;                 /* where a download stays, see release_options */
    bool allow_same, allow_downgrade;
    bool shared;           /* see forward_options */
    int64_t trial_ms;      /* < 0: UPGRADE_TRIAL_MS */
    int health_timeout_ms; /* 0: the default */
    const struct config *config;
};

struct upgrade_plan {
    struct forward_plan *forward; /* its preflight holds all problems and remarks, also of this room */
    struct release *release;
    struct release *via[UPGRADE_STAGES_MAX - 1]; /* as the options name them */
    struct release *old_release;                 /* or NULL */
    char from[16], to[16];
    struct upgrade_scripts scripts;
    struct upgrade_path path;              /* its scripts are those of `scripts` */
    uint64_t carried_files, carried_bytes; /* of the shop's own */
    struct text_list
        carried; /* of that, what has another name now, and what no rule knows: the owner should look at it */
    struct text_list modified; /* files of the old release that the owner has changed: the new ones take their place */
    struct text_list settings; /* settings that have another name or place now */
    struct text_list plugins;  /* own plugins, and which of them do not support the new version */
    struct upgrade_context *context; /* private */
};

enum error_kind upgrade_plan(struct catalog *cat, struct site *site, const struct upgrade_options *options,
                             const struct progress *progress, struct upgrade_plan **out, struct error *err);
void upgrade_plan_free(struct upgrade_plan *plan);

/* As forward_run(). */
enum error_kind upgrade_run(struct catalog *cat, struct site *site, struct upgrade_plan *plan,
                            const struct progress *progress, struct forward_result *out, struct error *err);

#endif
