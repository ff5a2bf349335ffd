/*
 * run: what a timer starts. Every step is told as it ends; the exit status is the gravest of them.
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "cli_drill.h"
#include "cli_run.h"
#include "notify.h"
#include "overview.h"
#include "run.h"

#define WAIT_MS (10 * 60 * 1000)

struct run_arguments {
    int wait_ms;
    const char *keep; /* or NULL */
    bool all, dry_run;
};

static int parse(struct cli *cli, const struct command *me, int argc, char **argv, struct run_arguments *a)
{
    static const struct option options[] = {{"all", no_argument, NULL, 'a'},
                                            {"wait", required_argument, NULL, 'w'},
                                            {"skip", no_argument, NULL, 's'},
                                            {"dry-run", no_argument, NULL, 'n'},
                                            {"keep", required_argument, NULL, 'k'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct keep_rules rules;
    struct error err = ERROR_INIT;
    int64_t ms;
    int c;

    while ((c = cli_option(cli, me, argc, argv, options)) != -1) {
        switch (c) {
        case 'a':
            a->all = true;
            break;
        case 'n':
            a->dry_run = true;
            break;
        case 'k':
            if (keep_rules_parse(optarg, &rules, &err) != OK)
                return cli_fail(cli, &err);
            a->keep = optarg;
            break;
        case 's':
            a->wait_ms = 0;
            break;
        case 'w':
            ms = text_parse_duration(optarg);
            if (ms <= 0 || ms > INT32_MAX)
                return cli_usage(cli, me, "--wait takes a time such as 30m");
            a->wait_ms = (int)ms;
            break;
        default:
            return c == 'h' ? EXIT_DONE : EXIT_USAGE;
        }
    }
    if (a->all ? argc != optind : argc - optind != 1)
        return cli_usage(cli, me, "run takes one site, or --all");
    return -1;
}

/* A run whose snapshot failed has failed (1), whatever else went well; a step's own warning is 3. */
static int status_of(struct cli *cli, const struct run_result *r)
{
    int status = cli_done(cli);

    for (unsigned i = 0; i < RUN_STEPS; i++) {
        const struct run_step *s = &r->steps[i];
        int own = s->outcome == RUN_FAILED ? cli_status_of(s->err.kind) : EXIT_DONE;

        if (own == EXIT_FAILED && i != RUN_SNAPSHOT)
            own = EXIT_WARNED;
        if (i == RUN_SNAPSHOT && own != EXIT_DONE)
            own = cli_status_worse(own, EXIT_FAILED);
        status = cli_status_worse(status, own);
    }
    return status;
}

static void tell_step(struct cli *cli, const struct run_result *r, enum run_step_name name, char *out, size_t room)
{
    char size[TEXT_MAX];

    (void)cli;
    out[0] = '\0';
    switch (name) {
    case RUN_SNAPSHOT:
        text_size(r->bytes_stored, size);
        (void)snprintf(out, room, "%.8s, %s new%s", r->snapshot, size, r->suspicion ? ", flagged" : "");
        break;
    case RUN_RETENTION:
        (void)snprintf(out, room, "%llu kept, %llu forgotten", (unsigned long long)r->retention.kept,
                       (unsigned long long)r->retention.dropped);
        break;
    case RUN_PRUNE:
        text_size(r->prune.bytes_freed, size);
        (void)snprintf(out, room, "%s freed%s", size,
                       r->prune.removal_postponed ? "; removal postponed: others are reading" : "");
        break;
    case RUN_VERIFY:
        text_size(r->verify.bytes_read, size);
        (void)snprintf(out, room, "%s read, no damage", size);
        break;
    case RUN_DRILL:
        if (r->drill.started_ns)
            cli_drill_words(&r->drill, out, room);
        else
            (void)snprintf(out, room, "what was left of a drill that was ended is removed");
        break;
    default:
        (void)snprintf(out, room, "done");
    }
}

static void tell(struct cli *cli, const struct site *site, const struct run_result *r, int status)
{
    char text[256];

    for (unsigned i = 0; i < RUN_STEPS; i++)
        if (r->steps[i].outcome == RUN_FAILED)
            (void)cli_fail(cli, &r->steps[i].err);
    if (r->repaired)
        cli_note(cli, "%llu damaged pieces were stored anew from the shop", (unsigned long long)r->repaired);
    if (r->suspicion)
        cli_note(cli, "if that is how it should be: nopsnap accept %.8s", r->snapshot);
    if (cli->json) {
        struct json *v = run_json(r);

        json_put_text(v, "type", "run");
        json_put_bytes(v, "site", site->path, strlen(site->path));
        json_put_number(v, "status", status);
        cli_json(v);
        return;
    }
    if (cli->quiet)
        return;
    cli_line("", "run of %s", site->path);
    for (unsigned i = 0; i < RUN_STEPS; i++) {
        const struct run_step *s = &r->steps[i];

        if (s->outcome == RUN_DONE)
            tell_step(cli, r, (enum run_step_name)i, text, sizeof(text));
        else
            (void)snprintf(text, sizeof(text), "%s%s",
                           s->outcome == RUN_FAILED ? "failed" : "not done: ", s->outcome == RUN_SKIPPED ? s->why : "");
        printf("  %-10s %s\n", run_step_word((enum run_step_name)i), text);
    }
}

static void plan_json(const struct site *site, const struct keep_policy *policy)
{
    const struct site_config *c = site->config;
    struct json *v = cli_json_new("run_plan");

    json_put_bytes(v, "site", site->path, strlen(site->path));
    json_put_flag(v, "forgets", policy->any);
    json_put_text(v, "verify_budget", c && c->verify_budget ? c->verify_budget : "10m");
    json_put_text(v, "verify_within", c && c->verify_within ? c->verify_within : "30d");
    json_put_text(v, "drill", c && c->drill ? c->drill : "never");
    json_put_flag(v, "after_run", c && c->after_run);
    cli_json(v);
}

static void tell_plan(struct cli *cli, const struct site *site, const struct keep_policy *policy)
{
    const struct site_config *c = site->config;

    if (cli->json) {
        plan_json(site, policy);
        cli_warn_pending(cli, site->path);
        return;
    }
    cli_line("", "a run of %s would", site->path);
    printf("  clear what a transaction kept, if its time has come\n");
    printf("  take a snapshot\n");
    printf("  %s\n", policy->any
                         ? "apply the rules of `keep` (nopsnap forget SITE --dry-run tells what goes), then prune"
                         : "forget nothing: there is no `keep` in the config");
    cli_line("  ", "read data for at most %s, so that all is read once in %s",
             c && c->verify_budget ? c->verify_budget : "10m", c && c->verify_within ? c->verify_within : "30d");
    if (c && c->drill && config_every_ms(c->drill) > 0)
        cli_line("  ",
                 "try to restore the newest snapshot, if the last time that went well is too long ago for drill = %s",
                 c->drill);
    if (c && c->after_run)
        cli_line("  run ", "%s", c->after_run);
    cli_warn_pending(cli, site->path);
}

static int dry_run(struct cli *cli, const char *name, const char *keep)
{
    struct keep_policy policy;
    struct site site = SITE_INIT;
    struct error err = ERROR_INIT;
    enum error_kind rc = cli_site_open(cli, name, true, &site, &err);

    if (!rc)
        rc = cli_site_known(cli, NULL, name, site.path, &err);
    if (!rc)
        rc = keep_policy_of(site.config, keep, &policy, &err);
    if (!rc)
        tell_plan(cli, &site, &policy);
    site_release(&site);
    return rc ? cli_fail(cli, &err) : cli_done(cli);
}

static enum error_kind look(struct cli *cli, struct catalog *cat, const char *name, struct site *site,
                            struct error *err)
{
    enum error_kind rc = cli_site_open(cli, name, true, site, err);

    if (!rc)
        rc = cli_site_known(cli, cat, name, site->path, err);
    if (rc) {
        site_release(site); /* a record would make a site of a name that was mistyped */
        return rc;
    }
    rc = cli_catalog_check_place(cli, catalog_path(cat), site, err);
    return rc ? rc : notify_check(&cli->config, site->config, err);
}

static void record(struct cli *cli, struct catalog *cat, const struct site *site, const struct run_result *r,
                   int status)
{
    const struct run_step *drill = &r->steps[RUN_DRILL];
    int drill_status = drill->outcome == RUN_FAILED ? cli_status_of(drill->err.kind) : EXIT_DONE;
    struct error err = ERROR_INIT;

    if (run_record(cat, site, r, status, drill_status, &err) != OK)
        cli_warn(cli, "this run is not in the record: %s", err.text);
}

static int run_one(struct cli *cli, struct catalog *cat, const char *name, const struct run_arguments *a)
{
    struct cli_database database = CLI_DATABASE_INIT;
    struct cli_run_told told = {.cli = cli, .cat = cat, .name = name, .section = config_find(&cli->config, name)};
    struct run_options o = {.wait_ms = a->wait_ms,
                            .keep = a->keep,
                            .config = &cli->config,
                            .connect = cli_connect,
                            .arg = &database,
                            .begun = cli_run_begun,
                            .begun_arg = &told};
    struct run_result result = {.started_ns = clock_now()};
    struct site site = SITE_INIT;
    struct error err = ERROR_INIT;
    bool in_the_way = false;
    int status;
    enum error_kind rc = look(cli, cat, name, &site, &err);

    told.path = site.path;
    database.cli = cli;
    if (rc) {
        result.ended_ns = clock_now();
        (void)snprintf(result.refused, sizeof(result.refused), "%.255s", err.text);
    } else {
        rc = run_site(cat, &site, &o, &cli->progress, &result, &err);
        in_the_way = rc == ERR_BUSY; /* what goes first tells of itself */
    }
    cli_progress_end(cli);
    status = rc ? cli_fail(cli, &err) : status_of(cli, &result);
    if (!rc)
        tell(cli, &site, &result, status);
    if (site.path)
        record(cli, cat, &site, &result, status);
    if (!in_the_way)
        cli_run_ended(&told, &result, rc ? &err : NULL, status);
    run_result_release(&result);
    cli_database_release(&database);
    site_release(&site);
    return cli_status_worse(status, cli_done(cli)); /* what its notifications warned of, too */
}

/* Nothing can be remembered, but whoever waits for these runs has to hear of it. */
static int run_none(struct cli *cli, char **names, size_t count, const struct error *why)
{
    int status = cli_fail(cli, why);

    for (size_t i = 0; i < count; i++) {
        const char *name = names ? names[i] : cli->config.sites[i].name;
        struct cli_run_told told = {.cli = cli, .name = name, .section = config_find(&cli->config, name)};
        struct run_result none = {.started_ns = clock_now()};

        cli_run_ended(&told, &none, why, status);
    }
    return cli_status_worse(status, cli_done(cli));
}

/* What is of all sites: those that are overdue, and the file for the monitoring system. Neither fails a run. */
static void look_around(struct cli *cli, struct catalog *cat)
{
    struct overview o = OVERVIEW_INIT;
    struct error err = ERROR_INIT;

    if (notify_overdue(cat, &cli->config, &cli->progress, &err) != OK)
        cli_warn(cli, "%s", err.text);
    error_clear(&err);
    if (!cli->config.metrics_file)
        return;
    if (overview_gather(cat, &cli->config, NULL, &o, &err) != OK ||
        cli_metrics_write(cli, cat, &o, cli->config.metrics_file, &err) != OK)
        cli_warn(cli, "%s", err.text);
    overview_release(&o);
}

int cli_run_misconfigured(struct cli *cli, int argc, char **argv, int status)
{
    struct run_arguments a = {.wait_ms = WAIT_MS};
    struct error fault = cli->config_fault;
    int wrong = parse(cli, cli_command_find("run"), argc, argv, &a);

    if (wrong >= 0 || a.dry_run)
        return status;
    config_load_readable(cli->config_given, &cli->config);
    for (size_t i = 0; i < (a.all ? cli->config.count : 1); i++)
        cli_run_refused(cli, a.all ? cli->config.sites[i].name : argv[optind], NULL, &fault, status);
    return status;
}

int cli_run(struct cli *cli, int argc, char **argv)
{
    const struct command *me = cli_command_find("run");
    struct run_arguments a = {.wait_ms = WAIT_MS};
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;
    int status = parse(cli, me, argc, argv, &a);
    size_t count;

    if (status >= 0)
        return status;
    status = EXIT_DONE;
    count = a.all ? cli->config.count : 1;
    if (!count)
        return cli_usage(cli, me, "the config has no site");
    if (!a.dry_run && cli_catalog_open(cli, CATALOG_WRITE, true, &cat, &err) != OK)
        return run_none(cli, a.all ? NULL : argv + optind, count, &err);
    for (size_t i = 0; i < count && status < EXIT_SIGNAL; i++) {
        const char *name = a.all ? cli->config.sites[i].name : argv[optind];
        int own;

        cli->warned = false;
        own = a.dry_run ? dry_run(cli, name, a.keep) : run_one(cli, cat, name, &a);
        status = own >= EXIT_SIGNAL ? own : cli_status_worse(status, own);
    }
    if (cat && status < EXIT_SIGNAL)
        look_around(cli, cat);
    catalog_close(cat);
    return cli_status_worse(status, cli_done(cli));
}
