/* The two halves of the rollback verb. */
#ifndef NOPSNAP_CLI_ROLLBACK_H
#define NOPSNAP_CLI_ROLLBACK_H

#include "cli.h"

void cli_rollback_print_plan(const struct cli *cli, const struct site *site, const struct rollback_plan *plan);
void cli_rollback_json_plan(const struct site *site, const struct rollback_plan *plan);
void cli_rollback_print_result(struct cli *cli, const struct site *site, const char *target,
                               const struct transaction_result *r);

#endif
