/* Which rules of retention count for a site: those of the command line, or of its section of the config. */
#ifndef NOPSNAP_KEEP_POLICY_H
#define NOPSNAP_KEEP_POLICY_H

#include "retention.h"
#include "site_config.h"

struct keep_policy {
    struct keep_rules rules[RETENTION_KINDS];
    struct retention retention; /* points into rules: do not copy */
    bool any;                   /* false: nothing is ever forgotten */
};

/*
 * `keep` counts for each kind of snapshots by itself; `keep-before-upgrade` and `keep-safety` for theirs instead.
 *
 * config     of the site, or NULL
 * given      rules that count instead of `keep`, or NULL; what the config says for other kinds counts all the same
 * Returns    ERR_USAGE
 */
enum error_kind keep_policy_of(const struct site_config *config, const char *given, struct keep_policy *out,
                               struct error *err);

#endif
