/*
 * How the sites are: one line each, what is wrong under it. The exit status is for scripts: 0 well, 3 look at it, 7 damage, 5 unfinished.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "metrics.h"
#include "overview.h"

static const char *grade_word(enum overview_grade grade)
{
    static const char *const words[] = {"well", "note", "warning", "damage", "pending"};

    return words[grade];
}

static int grade_status(enum overview_grade grade)
{
    return grade == OVERVIEW_PENDING   ? EXIT_HANDS
           : grade == OVERVIEW_DAMAGE  ? EXIT_DAMAGE
           : grade == OVERVIEW_WARNING ? EXIT_WARNED
                                       : EXIT_DONE;
}

/* ---- for programs ---- */

static struct json *problems_json(const struct overview_problems *problems)
{
    struct json *list = json_array();

    for (size_t i = 0; i < problems->count; i++) {
        struct json *v = json_object();

        json_put_text(v, "grade", grade_word(problems->items[i].grade));
        json_put_text(v, "code", problems->items[i].code);
        json_put_text(v, "text", problems->items[i].text);
        json_put_text(v, "hint", problems->items[i].hint ? problems->items[i].hint : "");
        json_push(list, v);
    }
    return list;
}

static void put_kept(struct json *v, const struct kept_state *kept)
{
    if (!kept->exists)
        return;
    json_put_number(v, "kept_bytes", (int64_t)kept->bytes);
    json_put_number(v, "kept_since_ns", kept->since_ns);
    if (!kept->trial_end_ns)
        return;
    json_put_number(v, "trial_end_ns", kept->trial_end_ns);
    json_put_text(v, "trial_from", kept->from_version);
    json_put_text(v, "trial_to", kept->to_version);
}

static void site_json(const struct overview *o, const struct overview_site *s)
{
    struct json *v = cli_json_new("site");
    const struct overview_point *good = s->good;

    json_put_bytes(v, "path", s->path, strlen(s->path));
    json_put_text(v, "name", s->name ? s->name : "");
    json_put_text(v, "version", s->version ? s->version : "");
    json_put_text(v, "state", grade_word(overview_site_grade(s)));
    json_put_flag(v, "here", s->here);
    json_put_number(v, "now_ns", o->now_ns);
    json_put_number(v, "snapshots", (int64_t)s->count);
    json_put_number(v, "stored_bytes", (int64_t)s->stored);
    json_put_number(v, "stored_bytes_week", (int64_t)s->stored_week);
    json_put_number(v, "stored_bytes_month", (int64_t)s->stored_month);
    json_put_number(v, "newest_ns", s->count ? s->points[0].made_ns : 0);
    json_put_number(v, "newest_whole_ns", good ? good->made_ns : 0);
    json_put_text(v, "newest_whole", good ? good->id : "");
    json_put_number(v, "files", good ? (int64_t)good->files : 0);
    json_put_number(v, "bytes", good ? (int64_t)good->bytes : 0);
    json_put_number(v, "dump_bytes", good ? (int64_t)good->dump_bytes : 0);
    json_put_number(v, "tables", (int64_t)s->tables);
    json_put_number(v, "rows", (int64_t)s->rows);
    json_put_flag(v, "scheduled", s->scheduled);
    json_put_number(v, "expect_ms", s->expect_ms);
    json_put_number(v, "next_run_ns", s->next_ns);
    json_put_flag(v, "next_is_expected", s->next_is_expected);
    json_put_number(v, "last_run_ns", s->run.ended_ns);
    json_put_number(v, "last_run_status", s->run.status);
    json_put_number(v, "last_drill_ns", s->drill.ended_ns);
    json_put_number(v, "last_drill_status", s->drill.status);
    json_put_number(v, "last_good_drill_ns", s->drill_good.ended_ns);
    json_put_number(v, "last_good_drill_ms", (s->drill_good.ended_ns - s->drill_good.started_ns) / 1000000);
    put_kept(v, &s->kept);
    json_put(v, "problems", problems_json(&s->problems));
    cli_json(v);
}

static void catalog_json(const struct overview *o)
{
    struct json *v = cli_json_new("catalog_status");

    json_put_bytes(v, "path", o->catalog, strlen(o->catalog));
    json_put_text(v, "state", grade_word(overview_grade(o)));
    json_put_number(v, "packs", (int64_t)o->packs);
    json_put_number(v, "stored_bytes", (int64_t)o->pack_bytes);
    json_put_number(v, "oldest_unread_ns", o->oldest_unread_ns);
    json_put_number(v, "last_verify_ns", o->verify.ended_ns);
    json_put_number(v, "last_verify_status", o->verify.status);
    json_put_flag(v, "damaged", o->damaged);
    json_put(v, "problems", problems_json(&o->problems));
    cli_json(v);
}

/* ---- for people ---- */

static void print_problems(const struct overview_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct overview_problem *p = &problems->items[i];

        cli_line(p->grade == OVERVIEW_NOTE ? "  - " : "  ! ", "%s", p->text);
        if (p->hint)
            cli_line("      ", "%s", p->hint);
    }
}

static void print_kept(const struct kept_state *kept)
{
    const char *what = kept->tree ? kept->tree : kept->database ? kept->database : "";
    char size[TEXT_MAX];
    char when[TEXT_MAX];

    text_size(kept->bytes, size);
    text_moment(kept->trial_end_ns ? kept->trial_end_ns : kept->since_ns, when);
    if (kept->trial_end_ns) {
        cli_line("  trial     ",
                 "of the upgrade from %s to %s, until %s: nopsnap rollback takes it back, nopsnap confirm ends it",
                 kept->from_version ? kept->from_version : "?", kept->to_version ? kept->to_version : "?", when);
        cli_line("  kept      ", "%s for that: %s", size, what);
    } else if (kept->exists) {
        cli_line("  kept      ", "%s since %s (the next snapshot or rollback clears it): %s", size, when, what);
    }
}

static void weekday(int64_t ns, char out[TEXT_MAX])
{
    time_t seconds = (time_t)(ns / 1000000000);
    struct tm tm;

    if (!localtime_r(&seconds, &tm) || strftime(out, TEXT_MAX, "%A", &tm) == 0)
        (void)snprintf(out, TEXT_MAX, "?");
}

/* -v: what the line has no room for. */
static void print_more(const struct overview_site *s)
{
    const struct overview_point *good = s->good;
    char day[TEXT_MAX];
    char a[TEXT_MAX];
    char b[TEXT_MAX];

    text_size(s->stored, a);
    cli_line("  path      ", "%s", s->path);
    cli_line("  snapshots ", "%zu, nopCommerce %s, %s stored", s->count, s->version ? s->version : "?", a);
    if (good) {
        text_moment(good->made_ns, b);
        cli_line("  last good ", "%s, %.8s", b, good->id);
        text_size(good->bytes, a);
        text_size(good->dump_bytes, b);
        cli_line("  holds     ", "%llu files, %s; dump %s, %llu rows in %llu tables", (unsigned long long)good->files,
                 a, b, (unsigned long long)s->rows, (unsigned long long)s->tables);
    }
    if (s->run.ended_ns) {
        text_moment(s->run.ended_ns, a);
        cli_line("  last run  ", "%s, exit status %d", a, s->run.status);
    }
    if (s->drill_good.ended_ns) {
        weekday(s->drill_good.ended_ns, day);
        text_moment(s->drill_good.ended_ns, a);
        text_duration((uint64_t)((s->drill_good.ended_ns - s->drill_good.started_ns) / 1000000), b);
        cli_line("  drill     ", "last proved restorable: %s, %s, %s", day, a, b);
    }
}

static void next_column(const struct overview *o, const struct overview_site *s, char out[TEXT_MAX])
{
    char in[TEXT_MAX];

    if (s->next_ns > o->now_ns)
        overview_age(s->next_ns, o->now_ns, in);
    else
        (void)snprintf(in, sizeof(in), "%s", s->next_ns ? "due" : "-");
    (void)snprintf(out, TEXT_MAX, "%s%.16s", s->next_is_expected ? "~" : "", in);
}

/* site 18, last good 9, size 10, week 10, drill 6, next 5, state 7: 71 with the gaps. */
static void print_site(struct cli *cli, const struct overview *o, const struct overview_site *s)
{
    char site[64];
    char age[TEXT_MAX];
    char size[TEXT_MAX] = "-";
    char week[TEXT_MAX] = "-";
    char drill[TEXT_MAX];
    char next[TEXT_MAX];

    cli_site_column(s->name ? s->name : s->path, site, 19);
    overview_age(o->now_ns, s->good ? s->good->made_ns : 0, age);
    if (s->good)
        text_size(s->good->bytes + s->good->dump_bytes, size);
    if (s->count)
        text_size(s->stored_week, week);
    overview_age(o->now_ns, s->drill_good.ended_ns, drill);
    next_column(o, s, next);
    printf("%-18s %9.9s %10.10s %10.10s %6.6s %5.5s  %s\n", site, age, size, week, drill, next,
           grade_word(overview_site_grade(s)));
    if (cli->verbose)
        print_more(s);
    print_problems(&s->problems);
    print_kept(&s->kept);
}

static void print_all(struct cli *cli, const struct overview *o)
{
    char size[TEXT_MAX];
    char unread[TEXT_MAX];

    if (!o->count)
        printf("no site is known: nopsnap snapshot SITE\n");
    else
        printf("%-18s %9s %10s %10s %6s %5s  %s\n", "SITE", "LAST GOOD", "SIZE", "WEEK ADDED", "DRILL", "NEXT",
               "STATE");
    for (size_t i = 0; i < o->count; i++)
        print_site(cli, o, &o->sites[i]);
    if (!o->packs)
        return;
    text_size(o->pack_bytes, size);
    overview_age(o->now_ns, o->oldest_unread_ns, unread);
    cli_line("catalogue ", "%s, %s in %llu packs, none unread for more than %s", o->catalog, size,
             (unsigned long long)o->packs, strcmp(unread, "now") != 0 ? unread : "1 m");
}

/* Catalogue-wide problems are errors and warnings like everybody's. */
static int tell_catalog(struct cli *cli, const struct overview *o)
{
    struct error err = ERROR_INIT;
    int status = EXIT_DONE;

    for (size_t i = 0; i < o->problems.count; i++) {
        const struct overview_problem *p = &o->problems.items[i];

        if (p->grade == OVERVIEW_DAMAGE) {
            error_set(&err, ERR_CORRUPT, 0, "%s", p->text);
            error_hint(&err, "%s", p->hint);
            status = cli_status_worse(status, cli_fail(cli, &err));
        } else {
            cli_warn(cli, "%s: %s", p->text, p->hint);
        }
    }
    return status;
}

/* -1 to go on, else a status. */
static int parse(struct cli *cli, int argc, char **argv, const char **metrics)
{
    static const struct option options[] = {
        {"metrics", required_argument, NULL, 'm'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    const struct command *command = cli_command_find("status");
    int c;

    while ((c = cli_option(cli, command, argc, argv, options)) != -1) {
        if (c == 'h')
            return EXIT_DONE;
        if (c != 'm')
            return EXIT_USAGE;
        *metrics = optarg;
    }
    if (argc - optind > 1)
        return cli_usage(cli, command, "status takes one site, or none for all");
    if (*metrics && argc - optind == 1)
        return cli_usage(cli, command, "the metrics are of all sites");
    return -1;
}

enum error_kind cli_metrics_write(struct cli *cli, struct catalog *cat, const struct overview *o, const char *file,
                                  struct error *err)
{
    enum error_kind rc = cli_refuse_in_site(cli, cat, file, err);

    return rc ? rc : metrics_write(o, file, err);
}

/* The file that the command line names is what was asked for; the config's is written beside, and what fails there is warned of, as by a run. */
static enum error_kind write_metrics(struct cli *cli, struct catalog *cat, const struct overview *o, const char *file,
                                     struct error *err)
{
    struct error why = ERROR_INIT;

    if (file)
        return cli_metrics_write(cli, cat, o, file, err);
    if (cli->config.metrics_file && cli_metrics_write(cli, cat, o, cli->config.metrics_file, &why) != OK)
        cli_warn(cli, "%s", why.text);
    return OK;
}

int cli_status(struct cli *cli, int argc, char **argv)
{
    const char *metrics = NULL;
    struct overview o = OVERVIEW_INIT;
    struct site site = SITE_INIT;
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;
    int status = parse(cli, argc, argv, &metrics);
    bool one;
    enum error_kind rc;

    if (status >= 0)
        return status;
    one = argc - optind == 1;
    rc = cli_catalog_open(cli, CATALOG_READ, false, &cat, &err);
    if (!rc && one)
        rc = cli_site_open(cli, argv[optind], true, &site, &err);
    if (!rc && one)
        rc = cli_site_known(cli, cat, argv[optind], site.path, &err);
    if (!rc)
        rc = overview_gather(cat, &cli->config, one ? site.path : NULL, &o, &err);
    if (!rc && !one)
        rc = write_metrics(cli, cat, &o, metrics, &err);
    if (rc) {
        status = cli_fail(cli, &err);
        goto done;
    }
    for (size_t i = 0; i < o.count && cli->json; i++)
        site_json(&o, &o.sites[i]);
    if (cli->json)
        catalog_json(&o);
    else
        print_all(cli, &o);
    status = tell_catalog(cli, &o);
    status = cli_status_worse(cli_status_worse(status, grade_status(overview_grade(&o))), cli_done(cli));

done:
    overview_release(&o);
    site_release(&site);
    catalog_close(cat);
    return status;
}
