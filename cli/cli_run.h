/* Who is told of a run, and when. */
#ifndef NOPSNAP_CLI_RUN_H
#define NOPSNAP_CLI_RUN_H

#include "cli.h"
#include "run.h"

struct cli_run_told {
    struct cli *cli;
    struct catalog *cat;               /* NULL where there is none */
    const char *name;                  /* as it was typed */
    const struct site_config *section; /* or NULL: [nopsnap] counts */
    const char *path;                  /* the site's real path, or NULL */
    const char *cause;                 /* that stands for what the result makes of it, or NULL */
};

/* For run_options: arg is a struct cli_run_told. */
void cli_run_begun(void *arg);
/* refused: what kept the run from beginning, or ended it; NULL if its steps tell. What can't be told is a warning. */
void cli_run_ended(const struct cli_run_told *told, const struct run_result *r, const struct error *refused,
                   int status);
/* A run that did not come to its beginning: recorded, and told, as far as there is a catalogue and a site. cause: or NULL */
void cli_run_refused(struct cli *cli, const char *name, const char *cause, const struct error *why, int status);
/* In the place of cli_run() after a config that could not be loaded, which was printed: told by what of it can be read. Returns status. */
int cli_run_misconfigured(struct cli *cli, int argc, char **argv, int status);
/* That service of a site has failed: told unless its run has told (schedule_failure_of()). Returns an exit status. */
int cli_run_failed_unit(struct cli *cli, const char *name, const char *unit);

#endif
