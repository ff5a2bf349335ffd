/*
 * Options of the verbs, by getopt_long(3).
 */
#include <string.h>

#include "cli.h"

void cli_help(const struct command *command, FILE *to)
{
    fprintf(to, "nopsnap %s%s%s\n\n%s.\n\n%s", command->name, command->arguments[0] ? " " : "", command->arguments,
            command->summary, command->help);
}

int cli_option(struct cli *cli, const struct command *command, int argc, char **argv, const struct option *options)
{
    int c;

    opterr = 0; /* the message is ours */
    c = getopt_long(argc, argv, ":h", options, NULL);
    if (c == 'h') {
        cli_help(command, stdout);
    } else if (c == ':') {
        cli_usage(cli, command, "%s needs a value", argv[optind - 1]);
        return '?';
    } else if (c == '?') {
        cli_usage(cli, command, "%s: no such option of %s", argv[optind - 1], command->name);
    }
    return c;
}
