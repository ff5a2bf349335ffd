/*
 * Options by getopt_long(3): the global ones are taken before the verb and behind it.
 */
#include <assert.h>
#include <string.h>

#include "cli.h"

void cli_help(const struct command *command, FILE *to)
{
    fprintf(to, "nopsnap %s%s%s\n\n%s.\n\n%s", command->name, command->arguments[0] ? " " : "", command->arguments,
            command->summary, command->help);
}

/* Values beyond those of characters: no verb's own option can be one of them. */
enum { GLOBAL_CATALOG = 1000, GLOBAL_CONFIG, GLOBAL_JSON, GLOBAL_QUIET, GLOBAL_VERBOSE };

static const struct option global_options[] = {
    {"catalog", required_argument, NULL, GLOBAL_CATALOG},
    {"config", required_argument, NULL, GLOBAL_CONFIG},
    {"json", no_argument, NULL, GLOBAL_JSON},
    {"quiet", no_argument, NULL, GLOBAL_QUIET},
    {"verbose", no_argument, NULL, GLOBAL_VERBOSE},
};
#define GLOBAL_COUNT (sizeof(global_options) / sizeof(global_options[0]))
#define OPTIONS_MAX 32

/* True if it was one. */
static bool take_global(struct cli *cli, int c)
{
    switch (c) {
    case GLOBAL_CATALOG:
        cli->catalog_given = optarg;
        return true;
    case GLOBAL_CONFIG:
        cli->config_given = optarg;
        return true;
    case GLOBAL_JSON:
        cli->json = true;
        return true;
    case 'q':
    case GLOBAL_QUIET:
        cli->quiet = true;
        return true;
    case 'v':
    case GLOBAL_VERBOSE:
        cli->verbose = true;
        return true;
    default:
        return false;
    }
}

/* The next option that is not a global one. */
static int next_option(struct cli *cli, int argc, char **argv, const char *letters, const struct option *own)
{
    struct option all[OPTIONS_MAX + GLOBAL_COUNT + 1] = {{NULL, 0, NULL, 0}};
    size_t n = 0;
    int c;

    for (; own[n].name; n++) {
        assert(n < OPTIONS_MAX);
        all[n] = own[n];
    }
    memcpy(all + n, global_options, sizeof(global_options));
    opterr = 0; /* the messages are ours */
    do
        c = getopt_long(argc, argv, letters, all, NULL);
    while (take_global(cli, c));
    return c;
}

int cli_option_before(struct cli *cli, int argc, char **argv, const struct option *options)
{
    return next_option(cli, argc, argv, "+:qvh", options);
}

int cli_config_load(struct cli *cli)
{
    enum error_kind rc;

    config_release(&cli->config);
    error_clear(&cli->config_fault);
    rc = config_load(cli->config_given, &cli->config, &cli->config_fault);
    if (rc != ERR_MEMORY)
        cli->config_fault.kind = rc ? ERR_USAGE : OK;
    return rc ? cli_fail(cli, &cli->config_fault) : EXIT_DONE;
}

int cli_option(struct cli *cli, const struct command *command, int argc, char **argv, const struct option *options)
{
    const char *config = cli->config_given;
    int c = next_option(cli, argc, argv, ":qvh", options);

    if (config != cli->config_given && cli_config_load(cli) != EXIT_DONE)
        return '?';
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
