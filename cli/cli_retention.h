/* forget by rules: what cli_forget.c hands over. */
#ifndef NOPSNAP_CLI_RETENTION_H
#define NOPSNAP_CLI_RETENTION_H

#include "cli.h"

struct forget_options {
    const char *keep; /* rules instead of the config's, or NULL */
    bool dry_run, all;
};
/* The sites named, or with `all` those of the config that have rules. Returns the exit status. */
int cli_forget_sites(struct cli *cli, char **names, size_t count, const struct forget_options *o);

#endif
