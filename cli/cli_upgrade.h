/* What the verbs upgrade and rehearse share, and print. */
#ifndef NOPSNAP_CLI_UPGRADE_H
#define NOPSNAP_CLI_UPGRADE_H

#include "cli.h"
#include "upgrade.h"

/* What an upgrade and its rehearsal both take: for a parser's table, and one of them taken. */
#define CLI_UPGRADE_OPTIONS                                                                       \
    {"sha256", required_argument, NULL, 's'}, {"from-release", required_argument, NULL, 'F'},     \
        {"scripts", required_argument, NULL, 'X'}, {"via", required_argument, NULL, 'V'},         \
        {"health-timeout", required_argument, NULL, 'H'}, {"allow-same", no_argument, NULL, 'S'}, \
        {"allow-downgrade", no_argument, NULL, 'D'}, {"shared", no_argument, NULL, 'W'},          \
    {                                                                                             \
        "help", no_argument, NULL, 'h'                                                            \
    }
/* -1, or the exit status; c: what cli_option() returned */
int cli_upgrade_option(struct cli *cli, const struct command *me, int c, struct upgrade_options *o);

/* How many scripts run on the way. */
size_t cli_upgrade_scripts(const struct upgrade_plan *plan);
void cli_upgrade_print_plan(const struct site *site, const struct upgrade_plan *plan);
void cli_upgrade_json_plan(const struct site *site, const struct upgrade_plan *plan);
/* The steps with how long they took, into `v`. */
void cli_upgrade_json_steps(struct json *v, const struct forward_result *r);
void cli_upgrade_print_result(const struct cli *cli, const struct site *site, const struct upgrade_plan *plan,
                              const struct forward_result *r);

#endif
