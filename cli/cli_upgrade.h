/* What the verb upgrade prints. */
#ifndef NOPSNAP_CLI_UPGRADE_H
#define NOPSNAP_CLI_UPGRADE_H

#include "cli.h"
#include "upgrade.h"

void cli_upgrade_print_plan(const struct site *site, const struct upgrade_plan *plan);
void cli_upgrade_json_plan(const struct site *site, const struct upgrade_plan *plan);
/* The steps with how long they took, into `v`. */
void cli_upgrade_json_steps(struct json *v, const struct forward_result *r);
void cli_upgrade_print_result(const struct cli *cli, const struct site *site, const struct upgrade_plan *plan,
                              const struct forward_result *r);

#endif
