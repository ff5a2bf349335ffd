/*
 * notify: a test message to every endpoint, a look at what is overdue, or what a timer's run could not tell.
 */
#include "notify.h"

#include "cli.h"
#include "cli_run.h"

struct telling {
    struct cli *cli;
    const char *site; /* "" for [nopsnap] */
};

static void told(void *arg, const struct notify_answer *answer)
{
    const struct telling *t = arg;
    struct cli *cli = t->cli;
    const char *gap = t->site[0] ? ": " : "";

    if (cli->json) {
        struct json *v = cli_json_new("notify");

        json_put_text(v, "site", t->site);
        json_put_text(v, "endpoint", answer->endpoint);
        json_put_text(v, "host", answer->host);
        json_put_flag(v, "taken", answer->taken);
        json_put_text(v, "why", answer->taken ? NULL : answer->why);
        cli_json(v);
    } else if (answer->taken && !cli->quiet) {
        cli_line("", "%s%s%s at %s: taken", t->site, gap, answer->endpoint, answer->host);
    }
    if (!answer->taken)
        cli_warn(cli, "%s%s%s at %s: %s", t->site, gap, answer->endpoint, answer->host, answer->why);
}

static int test_one(struct cli *cli, const struct site_config *site, size_t *total)
{
    struct telling t = {cli, site ? site->name : ""};
    struct error err = ERROR_INIT;
    size_t count = 0;
    enum error_kind rc = notify_test(&cli->config, site, told, &t, &count, &err);

    *total += count;
    return rc ? cli_fail(cli, &err) : EXIT_DONE;
}

/* Of one site, or of [nopsnap] and every section that says something of its own. */
static int send_test(struct cli *cli, const struct site_config *site)
{
    struct error err = ERROR_INIT;
    size_t total = 0;
    int status = test_one(cli, site, &total);

    for (size_t i = 0; !site && i < cli->config.count && status < EXIT_SIGNAL; i++)
        if (notify_is_named(&cli->config.sites[i].notify))
            status = cli_status_worse(status, test_one(cli, &cli->config.sites[i], &total));
    if (status == EXIT_DONE && total == 0) {
        error_set(&err, ERR_USAGE, 0, "the config names nobody who would be told");
        error_hint(&err, "add notify-webhook, notify-mail-to or notify-ping to %s[nopsnap]",
                   site ? "its section, or to " : "a site's section, or to ");
        return cli_fail(cli, &err);
    }
    return cli_status_worse(status, cli_done(cli));
}

static int look_for_overdue(struct cli *cli)
{
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;
    enum error_kind rc = cli_catalog_open(cli, CATALOG_WRITE, false, &cat, &err);

    if (!rc)
        rc = notify_overdue(cat, &cli->config, &cli->progress, &err);
    catalog_close(cat);
    return rc ? cli_fail(cli, &err) : cli_done(cli);
}

struct notify_arguments {
    bool test;
    const char *failed; /* a unit, or NULL */
};

/* -1 to go on, else a status. */
static int parse(struct cli *cli, const struct command *me, int argc, char **argv, struct notify_arguments *a)
{
    static const struct option options[] = {{"test", no_argument, NULL, 't'},
                                            {"failed", required_argument, NULL, 'f'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int c;

    while ((c = cli_option(cli, me, argc, argv, options)) != -1) {
        if (c == 't')
            a->test = true;
        else if (c == 'f')
            a->failed = optarg;
        else
            return c == 'h' ? EXIT_DONE : EXIT_USAGE;
    }
    if (a->failed && (a->test || argc - optind != 1))
        return cli_usage(cli, me, "--failed takes a unit and its site");
    if (!a->failed && argc - optind > (a->test ? 1 : 0))
        return cli_usage(cli, me, "notify takes at most one site, and that only with --test");
    return -1;
}

int cli_notify(struct cli *cli, int argc, char **argv)
{
    const struct command *me = cli_command_find("notify");
    const struct site_config *site = NULL;
    struct notify_arguments a = {.test = false};
    int status = parse(cli, me, argc, argv, &a);

    if (status >= 0)
        return status;
    if (a.failed)
        return cli_run_failed_unit(cli, argv[optind], a.failed);
    if (optind < argc) {
        site = config_find(&cli->config, argv[optind]);
        if (!site)
            return cli_usage(cli, me, "%s is no site of the config", argv[optind]);
    }
    return a.test ? send_test(cli, site) : look_for_overdue(cli);
}
