/*
 * nopsnap: snapshots of a nopCommerce shop, and the way back with one command.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "thread.h"

static void usage(FILE *to)
{
    fputs("nopsnap [--catalog DIR] [--config FILE] [--json] [-q|--quiet] [-v] COMMAND ...\n\n", to);
    for (const struct command *c = cli_commands; c->name; c++)
        fprintf(to, "  %-10s %s\n", c->name, c->summary);
    fputs("\nnopsnap COMMAND --help tells the options of each, with examples.\n", to);
}

/* The known verb that shares the longest beginning with the word. */
static const char *nearest(const char *word)
{
    const char *best = NULL;
    size_t best_len = 0;

    for (const struct command *c = cli_commands; c->name; c++) {
        size_t n = 0;

        while (word[n] && word[n] == c->name[n])
            n++;
        if (n > best_len) {
            best_len = n;
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
        {"catalog", required_argument, NULL, 'c'}, {"config", required_argument, NULL, 'f'},
        {"json", no_argument, NULL, 'j'},          {"quiet", no_argument, NULL, 'q'},
        {"verbose", no_argument, NULL, 'v'},       {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},       {NULL, 0, NULL, 0},
    };
    struct error err = ERROR_INIT;
    int c;

    opterr = 0;
    while ((c = getopt_long(argc, argv, "+:qvh", options, NULL)) != -1) {
        switch (c) {
        case 'c':
            cli->catalog_given = optarg;
            break;
        case 'f':
            cli->config_given = optarg;
            break;
        case 'j':
            cli->json = true;
            break;
        case 'q':
            cli->quiet = true;
            break;
        case 'v':
            cli->verbose = true;
            break;
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
    struct error err = ERROR_INIT;
    const struct command *command;
    char **rest = argv + optind;
    int left = argc - optind;

    if (!left) {
        usage(stderr);
        return EXIT_USAGE;
    }
    command = cli_command_find(rest[0]);
    if (!command)
        return unknown(cli, rest[0]);
    if (config_load(cli->config_given, &cli->config, &err) != OK)
        return cli_fail(cli, &err);
    optind = 0; /* getopt(3): a new vector begins */
    return command->run(cli, left, rest);
}

int main(int argc, char **argv)
{
    struct cli cli = {.config = CONFIG_INIT};
    struct error err = ERROR_INIT;
    int status;

    (void)umask(077); /* P10: what nopsnap makes is private; what it restores gets its modes set */
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
