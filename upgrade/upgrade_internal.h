/* What the files of this room share. */
#ifndef NOPSNAP_UPGRADE_INTERNAL_H
#define NOPSNAP_UPGRADE_INTERNAL_H

#include "health.h"
#include "upgrade.h"

struct upgrade_context {
    const struct site *site; /* borrowed */
    struct release *release; /* borrowed */
    struct site_version from, to;
    uint64_t carried_files, carried_bytes;
    struct health_options health;
    struct health_baseline before;
};

/* upgrade_carry.c: is a path of the old tree the shop's own, to come over under its own name? */
bool carry_wants(void *context, const char *path);
/* Walk the old tree: how much comes over, by folder. */
enum error_kind carry_count(struct upgrade_context *c, struct text_list *out, struct error *err);
/* Settings and what else has another name or form in the new version. */
enum error_kind carry_settle(void *context, const char *tree, const char *live, const struct progress *progress,
                             struct error *err);

/* upgrade_tree.c: unpack the release, and put it around what is carried (U1) */
enum error_kind tree_build(void *context, const char *tree, const char *scratch, const struct progress *progress,
                           struct error *err);

/* upgrade_plugins.c: the shop's own plugins, one line each, and what waits for the next start. */
enum error_kind plugins_check(struct upgrade_context *c, struct text_list *out, struct preflight *p, struct error *err);

#endif
