/*
 * nopsnap: snapshots of a nopCommerce shop, and the way back with one command.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "cli_run.h"
#include "thread.h"

static void usage(FILE *to)
{
    fputs("nopsnap [--catalog DIR] [--config FILE] [--json] [-q|--quiet] [-v] COMMAND ...\n\n", to);
    for (const struct command *c = cli_commands; c->name; c++)
        fprintf(to, "  %-10s %s\n", c->name, c->summary);
    fputs(
        "\nBefore the command or behind it:\n"
        "  --catalog DIR   the catalogue (the config's, else /var/lib/nopsnap, or ~/.local/state/nopsnap of another user\n"
        "                  than root)\n"
        "  --config FILE   read this instead of /etc/nopsnap.conf and ~/.config/nopsnap.conf\n"
        "  --json          one JSON object a line on standard output\n"
        "  -q, --quiet     no progress, no report of what went well\n"
        "  -v, --verbose   whole lists instead of their beginnings\n"
        "  --version       which nopsnap this is\n",
        to);
    fputs("\nnopsnap COMMAND --help tells the options of each, with examples.\n", to);
}

#define WORD_MAX 32

/* Edits that make one word of the other: letters put in, left out, replaced, or two swapped. */
static unsigned distance(const char *a, const char *b)
{
    unsigned d[WORD_MAX + 1][WORD_MAX + 1];
    size_t n = strlen(a);
    size_t m = strlen(b);

    if (n > WORD_MAX || m > WORD_MAX)
        return WORD_MAX;
    for (size_t i = 0; i <= n; i++)
        for (size_t j = 0; j <= m; j++) {
            unsigned least = (unsigned)(i + j); /* right for the first row and column */

            if (i && j) {
                least = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
                least = d[i - 1][j] + 1 < least ? d[i - 1][j] + 1 : least;
                least = d[i][j - 1] + 1 < least ? d[i][j - 1] + 1 : least;
            }
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < least)
                least = d[i - 2][j - 2] + 1;
            d[i][j] = least;
        }
    return d[n][m];
}

/* The verb that is meant, or NULL: half of the word at most may be wrong. */
static const char *nearest(const char *word)
{
    const char *best = NULL;
    unsigned least = (unsigned)strlen(word) / 2 + 1;

    for (const struct command *c = cli_commands; c->name; c++) {
        unsigned d = distance(word, c->name);

        if (d < least) {
            least = d;
            best = c->name;
        }
    }
    return best;
}

static int unknown(struct cli *cli, const char *word)
{
    struct error err = ERROR_INIT;
    const char *best = nearest(word);

    error_set(&err, ERR_USAGE, 0, "%s: no such command", word);
    if (best)
        error_hint(&err, "did you mean nopsnap %s?", best);
    else
        error_hint(&err, "nopsnap --help lists the commands");
    return cli_fail(cli, &err);
}

/* Options before the command. Returns -1 to go on, else an exit status. */
static int global_options(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {
        {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}};
    struct error err = ERROR_INIT;
    int c;

    while ((c = cli_option_before(cli, argc, argv, options)) != -1) {
        switch (c) {
        case 'h':
            usage(stdout);
            return EXIT_DONE;
        case 'V':
            puts("nopsnap " NOPSNAP_VERSION);
            return EXIT_DONE;
        default:
            error_set(&err, ERR_USAGE, 0, c == ':' ? "%s needs a value" : "%s: no such option", argv[optind - 1]);
            error_hint(&err, "nopsnap --help");
            return cli_fail(cli, &err);
        }
    }
    return -1;
}

static int run(struct cli *cli, int argc, char **argv)
{
    const struct command *command;
    int status;
    char **rest = argv + optind;
    int left = argc - optind;

    if (!left) {
        usage(stderr);
        return EXIT_USAGE;
    }
    command = cli_command_find(rest[0]);
    if (!command)
        return unknown(cli, rest[0]);
    status = cli_config_load(cli);
    optind = 0; /* getopt(3): a new vector begins */
    if (status != EXIT_DONE)
        return command->run == cli_run ? cli_run_misconfigured(cli, left, rest, status) : status;
    return command->run(cli, left, rest);
}

int main(int argc, char **argv)
{
    struct cli cli = {.config = CONFIG_INIT};
    struct error err = ERROR_INIT;
    int status;

    (void)umask(077); /* P10: what nopsnap makes is private; what it restores gets its modes set */
    database_prepare();
    if (cancel_install(&err) != OK || cli_progress_init(&cli, &err) != OK)
        return cli_fail(&cli, &err);
    status = global_options(&cli, argc, argv);
    if (status < 0)
        status = run(&cli, argc, argv);
    cli_progress_free(&cli);
    config_release(&cli.config);
    if (fflush(stdout) != 0 && status == EXIT_DONE)
        status = EXIT_FAILED;
    return status;
}
