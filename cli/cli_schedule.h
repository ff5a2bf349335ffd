/* What `schedule` says; cli_schedule.c acts. */
#ifndef NOPSNAP_CLI_SCHEDULE_H
#define NOPSNAP_CLI_SCHEDULE_H

#include "cli.h"
#include "schedule.h"

/* Files that are (or would be) written and removed; with_text: what is in them, too. */
void cli_schedule_tell_plan(struct cli *cli, const struct schedule_plan *p, const char *site, bool dry_run);
/* All schedules, with the last run of each. Returns a status. */
int cli_schedule_list(struct cli *cli);

#endif
