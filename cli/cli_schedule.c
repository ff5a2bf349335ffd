/*
 * schedule: the timers that start runs.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli_schedule.h"
#include "file.h"
#include "keep_rules.h"

struct schedule_arguments {
    bool has_when, remove, dry_run, force, cron, systemd;
    struct schedule_when when;
    int64_t delay_ms; /* -1: not given */
    const char *keep;
};

static int take(struct cli *cli, const struct command *me, int c, struct schedule_arguments *a)
{
    struct error err = ERROR_INIT;
    struct keep_rules rules;
    enum error_kind rc = OK;

    if ((c == 'a' || c == 'e' || c == 'o') && a->has_when)
        return cli_usage(cli, me, "one of --at, --every and --on-calendar, once");
    switch (c) {
    case 'a':
        rc = schedule_when_at(optarg, &a->when, &err);
        a->has_when = true;
        break;
    case 'e':
        rc = schedule_when_every(optarg, &a->when, &err);
        a->has_when = true;
        break;
    case 'o':
        rc = schedule_when_calendar(optarg, &a->when, &err);
        a->has_when = true;
        break;
    case 'd':
        a->delay_ms = !strcmp(optarg, "0") ? 0 : text_parse_duration(optarg);
        if (a->delay_ms < 0)
            return cli_usage(cli, me, "--delay takes a time such as 10m, or 0");
        break;
    case 'k':
        rc = *optarg ? keep_rules_parse(optarg, &rules, &err) : OK;
        a->keep = optarg;
        break;
    default:
        break;
    }
    return rc ? cli_fail(cli, &err) : -1;
}

/* -1 to go on, else a status. */
static int parse(struct cli *cli, const struct command *me, int argc, char **argv, struct schedule_arguments *a)
{
    enum { REMOVE = 'r', DRY_RUN = 'n', FORCE = 'f', CRON = 'c', SYSTEMD = 's' };
    static const struct option options[] = {{"at", required_argument, NULL, 'a'},
                                            {"every", required_argument, NULL, 'e'},
                                            {"on-calendar", required_argument, NULL, 'o'},
                                            {"delay", required_argument, NULL, 'd'},
                                            {"keep", required_argument, NULL, 'k'},
                                            {"remove", no_argument, NULL, REMOVE},
                                            {"dry-run", no_argument, NULL, DRY_RUN},
                                            {"force", no_argument, NULL, FORCE},
                                            {"cron", no_argument, NULL, CRON},
                                            {"systemd", no_argument, NULL, SYSTEMD},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int status;
    int c;

    while ((c = cli_option(cli, me, argc, argv, options)) != -1) {
        if (c == 'h' || c == '?' || c == ':')
            return c == 'h' ? EXIT_DONE : EXIT_USAGE;
        a->remove = a->remove || c == REMOVE;
        a->dry_run = a->dry_run || c == DRY_RUN;
        a->force = a->force || c == FORCE;
        a->cron = a->cron || c == CRON;
        a->systemd = a->systemd || c == SYSTEMD;
        status = take(cli, me, c, a);
        if (status >= 0)
            return status;
    }
    if (argc - optind > 1 || (argc == optind && (a->has_when || a->remove || a->keep || a->dry_run || a->force ||
                                                 a->cron || a->systemd || a->delay_ms >= 0)))
        return cli_usage(cli, me, "schedule takes one site, or nothing at all for the list");
    if (a->remove && (a->has_when || a->keep || a->cron || a->systemd || a->delay_ms >= 0))
        return cli_usage(cli, me, "--remove needs nothing but the site");
    if (a->cron && a->systemd)
        return cli_usage(cli, me, "one of --cron and --systemd");
    return -1;
}

/* ---- removing ---- */

/* The old timer goes on where the new one can't be written. */
static enum error_kind apply(const struct schedule_plan *plan, struct error *err)
{
    enum error_kind rc = schedule_plan_apply(plan, err);

    if (rc && schedule_has_systemd())
        schedule_reactivate(plan);
    return rc;
}

static int remove_schedule(struct cli *cli, const char *name, const struct schedule_arguments *a)
{
    struct schedule_plan plan = SCHEDULE_PLAN_INIT;
    struct site site = SITE_INIT;
    struct error err = ERROR_INIT;
    struct error deaf = ERROR_INIT;
    bool running = schedule_has_systemd();
    enum error_kind rc = cli_site_open(cli, name, true, &site, &err);

    if (!rc)
        rc = schedule_plan_removal(site.path, a->force, &plan, &err);
    if (rc == ERR_NOT_FOUND &&
        cli_site_known(cli, NULL, name, site.path, &deaf) != OK) /* a name that was mistyped has none */
        err = deaf;
    error_clear(&deaf);
    if (!rc && !a->dry_run) {
        if (running && plan.stop.count && schedule_deactivate(&plan, &deaf) != OK) /* S4 */
            cli_warn(cli, "%s; type: %s", deaf.text, deaf.hint);
        rc = apply(&plan, &err);
        error_clear(&deaf);
        if (!rc && running && plan.stop.count && schedule_activate(&plan, &deaf) != OK)
            cli_warn(cli, "%s; type: %s", deaf.text, deaf.hint);
    }
    if (!rc)
        cli_schedule_tell_plan(cli, &plan, site.path, a->dry_run);
    schedule_plan_release(&plan);
    site_release(&site);
    return rc ? cli_fail(cli, &err) : cli_done(cli);
}

/* ---- writing ---- */

/* This program's own file, as it is installed. */
static enum error_kind own_program(struct cli *cli, char **out, struct error *err)
{
    char path[PATH_MAX];
    struct stat st;
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    enum error_kind rc;

    if (n <= 0)
        return error_set(err, ERR_IO, 0, "cannot find this program's own file");
    path[n] = '\0';
    if (stat(path, &st) != 0)
        return error_set(err, ERR_REFUSED, 0, "%s is no longer this program", path);
    if (geteuid() == 0 && (st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH))))
        cli_warn(cli, "%s runs as root then, and others than root may change it: install it first", path);
    rc = memory_string(path, out, err);
    return rc;
}

/* What was said before stays where nothing is said now; the delay goes with its rhythm. */
static enum error_kind complete(struct schedule_arguments *a, const struct schedule_entry *before, struct error *err)
{
    if (!a->has_when && !before) {
        error_set(err, ERR_USAGE, 0, "when is it to run?");
        error_hint(err, "--at 03:00, --every 6h, or --on-calendar 'Mon..Fri 03:00'");
        return ERR_USAGE;
    }
    if (before) {
        a->cron = a->cron || (before->way == SCHEDULE_CRON && !a->systemd);
        a->systemd = a->systemd || (before->way == SCHEDULE_SYSTEMD && !a->cron);
        a->keep = a->keep ? a->keep : before->keep;
    }
    if (a->keep && !*a->keep)
        a->keep = NULL;
    if (!a->has_when) {
        a->when = before->when;
        if (a->delay_ms < 0 && before->way == SCHEDULE_SYSTEMD && !a->cron)
            a->delay_ms = before->delay_ms;
    }
    if (a->cron && a->delay_ms >= 0) {
        error_set(err, ERR_USAGE, 0, "cron knows no random delay");
        error_hint(err, "leave --delay out and choose a minute that others don't");
        return ERR_USAGE;
    }
    return OK;
}

/* What the texts are made of, and who owns it. */
struct ingredients {
    char *program;
    char *config;  /* or NULL */
    char *catalog; /* real path */
    struct text_list outside;
};

static void ingredients_release(struct ingredients *i)
{
    free(i->program);
    free(i->config);
    free(i->catalog);
    text_list_release(&i->outside);
}

/* Pictures outside the site: where they are says the database, and so does the newest snapshot. */
static enum error_kind find_outside(struct catalog *cat, const struct site *site, struct text_list *out,
                                    struct error *err)
{
    struct snapshot_record newest = SNAPSHOT_RECORD_INIT;
    struct error none = ERROR_INIT;
    char site_id[17];
    enum error_kind rc = catalog_site_id(cat, site->path, site_id, err);

    if (!rc && snapshot_find(cat, site_id, "latest", &newest, &none) != OK)
        return OK; /* none yet, or damaged, which others tell */
    for (size_t i = 0; i < newest.root_count && !rc; i++)
        if (newest.roots[i].path && newest.roots[i].path[0] == '/' && !site_holds(site->path, newest.roots[i].path))
            rc = text_list_add(out, newest.roots[i].path, err);
    snapshot_record_release(&newest);
    return rc;
}

/* The sandbox needs the catalogue's folder: a default one is made now. A dry run makes none and looks into none that is not there. */
static enum error_kind look_into_catalog(struct cli *cli, bool dry_run, const struct site *site, struct ingredients *i,
                                         struct error *err)
{
    struct catalog *cat = NULL;
    bool is_default = false;
    char *named = NULL;
    enum error_kind rc = cli_catalog_path(cli, &named, &is_default, err);

    if (!rc && dry_run && access(named, F_OK) != 0) {
        i->catalog = named;
        return OK;
    }
    if (!rc)
        rc = cli_catalog_open(cli, dry_run ? CATALOG_READ : CATALOG_WRITE, !dry_run, &cat, err);
    if (!rc)
        rc = cli_catalog_check_place(cli, catalog_path(cat), site, err);
    if (!rc)
        rc = path_real(named, &i->catalog, err);
    if (!rc)
        rc = find_outside(cat, site, &i->outside, err);
    catalog_close(cat);
    free(named);
    return rc;
}

static enum error_kind fill(struct cli *cli, const struct schedule_arguments *a, const struct site *site,
                            struct schedule_spec *s, struct ingredients *i, struct error *err)
{
    enum schedule_way way = a->cron || (!a->systemd && !schedule_has_systemd()) ? SCHEDULE_CRON : SCHEDULE_SYSTEMD;
    enum error_kind rc = a->dry_run ? OK : schedule_place_check(way, err);

    if (!rc)
        rc = own_program(cli, &i->program, err);
    if (!rc && cli->config_given)
        rc = path_real(cli->config_given, &i->config, err);
    if (!rc)
        rc = look_into_catalog(cli, a->dry_run, site, i, err);
    *s = (struct schedule_spec){.site = site,
                                .config = &cli->config,
                                .way = way,
                                .when = a->when,
                                .delay_ms = a->delay_ms,
                                .keep = a->keep,
                                .catalog = i->catalog,
                                .outside = &i->outside,
                                .catalog_named = cli->catalog_given != NULL,
                                .config_file = i->config,
                                .program = i->program};
    return rc;
}

/* After all is written: does anybody start it? */
static void put_in_force(struct cli *cli, const struct schedule_plan *p)
{
    struct error deaf = ERROR_INIT;
    bool units = p->way == SCHEDULE_SYSTEMD;

    if (p->way == SCHEDULE_CRON && access("/usr/sbin/cron", X_OK) != 0 && access("/usr/sbin/crond", X_OK) != 0)
        cli_warn(cli, "it is written, but there is no cron on this machine: apt install cron");
    else if (p->way == SCHEDULE_CRON && !schedule_has_cron())
        cli_warn(cli, "it is written, but cron does not run: service cron start");
    if (units && !schedule_has_systemd())
        cli_warn(
            cli,
            "it is written and enabled, but systemd does not run here: it counts from the next boot with systemd on");
    else if ((units || p->stop.count) && schedule_has_systemd() && schedule_activate(p, &deaf) != OK)
        cli_warn(cli, "it is written and enabled, but %s; type: %s", deaf.text, deaf.hint);
}

static void tell_risks(struct cli *cli, const struct schedule_spec *s, const struct schedule_arguments *a)
{
    char day[TEXT_MAX];

    if (s->way == SCHEDULE_CRON && !a->cron)
        cli_note(
            cli,
            "there is no systemd here: cron starts it, and what is missed while the machine is off is not caught up");
    if (schedule_when_skips(&s->when, s->way, clock_now(), day))
        cli_note(cli, "note: on %s the clock skips that time, and so does systemd: another hour has no such day", day);
    if (!s->keep && (!s->site->config || !s->site->config->keep))
        cli_note(cli, "note: nothing is ever forgotten without rules: --keep, or keep = ... in the config");
}

static int write_schedule(struct cli *cli, const char *name, struct schedule_arguments *a)
{
    struct schedule_list list = {NULL, 0};
    struct schedule_plan plan = SCHEDULE_PLAN_INIT;
    struct schedule_spec spec = {.site = NULL};
    struct site site = SITE_INIT;
    struct error err = ERROR_INIT;
    struct error deaf = ERROR_INIT;
    struct ingredients found = {.program = NULL};
    enum error_kind rc = cli_site_open(cli, name, true, &site, &err);

    if (!rc)
        rc = cli_site_known(cli, NULL, name, site.path, &err);
    if (!rc)
        rc = schedule_list_load(clock_now(), &list, &err);
    if (!rc)
        rc = complete(a, schedule_list_find(&list, site.path), &err);
    if (!rc)
        rc = fill(cli, a, &site, &spec, &found, &err);
    if (!rc)
        rc = schedule_plan_make(&spec, a->force, &plan, &err);
    if (!rc && !a->dry_run && plan.stop.count && schedule_has_systemd() && schedule_deactivate(&plan, &deaf) != OK)
        cli_warn(cli, "%s; type: %s", deaf.text, deaf.hint);
    if (!rc && !a->dry_run)
        rc = apply(&plan, &err);
    if (!rc) {
        cli_schedule_tell_plan(cli, &plan, site.path, a->dry_run);
        tell_risks(cli, &spec, a);
    }
    if (!rc && !a->dry_run && (plan.changed || a->force))
        put_in_force(cli, &plan);
    schedule_list_release(&list);
    schedule_plan_release(&plan);
    site_release(&site);
    ingredients_release(&found);
    return rc ? cli_fail(cli, &err) : cli_done(cli);
}

int cli_schedule(struct cli *cli, int argc, char **argv)
{
    const struct command *me = cli_command_find("schedule");
    struct schedule_arguments a = {.delay_ms = -1};
    int status = parse(cli, me, argc, argv, &a);

    if (status >= 0)
        return status;
    if (argc == optind)
        return cli_schedule_list(cli);
    return a.remove ? remove_schedule(cli, argv[optind], &a) : write_schedule(cli, argv[optind], &a);
}
