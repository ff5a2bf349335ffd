#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "thread.h"
#include "upgrade.h"

struct upgrade_arguments {
    struct upgrade_options options;
    bool dry_run, yes;
};

static int duration(struct cli *cli, const struct command *me, const char *name, const char *text, int64_t most,
                    int64_t *out)
{
    *out = text_parse_duration(text);
    if (*out < 0 || *out > most)
        return cli_usage(cli, me, "%s takes a duration such as 10m or 1h30m", name);
    return -1;
}

static int parse(struct cli *cli, const struct command *me, int argc, char **argv, struct upgrade_arguments *a)
{
    static const struct option options[] = {
        {"sha256", required_argument, NULL, 's'},
        {"from-release", required_argument, NULL, 'F'},
        {"trial", required_argument, NULL, 't'},
        {"health-timeout", required_argument, NULL, 'H'},
        {"allow-same", no_argument, NULL, 'S'},
        {"allow-downgrade", no_argument, NULL, 'D'},
        {"shared", no_argument, NULL, 'W'},
        {"dry-run", no_argument, NULL, 'n'},
        {"yes", no_argument, NULL, 'y'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int64_t ms = 0;
    int status = -1;
    int c;

    while (status < 0 && (c = cli_option(cli, me, argc, argv, options)) != -1) {
        switch (c) {
        case 's':
            a->options.sha256 = optarg;
            break;
        case 'F':
            a->options.from_release = optarg;
            break;
        case 't':
            status = duration(cli, me, "--trial", optarg, 366LL * 24 * 3600 * 1000, &a->options.trial_ms);
            break;
        case 'H':
            status = duration(cli, me, "--health-timeout", optarg, 24LL * 3600 * 1000, &ms);
            a->options.health_timeout_ms = (int)ms;
            break;
        case 'S':
            a->options.allow_same = true;
            break;
        case 'D':
            a->options.allow_downgrade = true;
            break;
        case 'W':
            a->options.shared = true;
            break;
        case 'n':
            a->dry_run = true;
            break;
        case 'y':
            a->yes = true;
            break;
        case 'h':
            return EXIT_DONE;
        default:
            return EXIT_USAGE;
        }
    }
    if (status < 0 && argc - optind != 2)
        return cli_usage(cli, me, "upgrade takes a site and a release");
    return status;
}

/* ---- the plan ---- */

static void print_list(const char *title, const struct text_list *l)
{
    if (!l->count)
        return;
    printf("%s\n", title);
    for (size_t i = 0; i < l->count; i++)
        cli_line("  ", "%s", l->items[i]);
}

static void print_plan(const struct site *site, const struct upgrade_plan *plan)
{
    const struct release_facts *f = release_facts(plan->release);
    const struct preflight *p = &plan->forward->preflight;
    char flavour[128];
    char size[TEXT_MAX];
    char own[TEXT_MAX];
    char database[TEXT_MAX];
    char copy[TEXT_MAX];
    char other[TEXT_MAX];

    release_flavour(f, flavour, sizeof(flavour));
    text_size(f->bytes, size);
    text_size(plan->carried_bytes, own);
    text_size(plan->forward->database_bytes, database);
    cli_line("", "upgrading %s from nopCommerce %s to %s", site->path, plan->from, plan->to);
    cli_line("  ", "release   %s", f->name);
    printf("            %s; %llu files, %s\n", flavour, (unsigned long long)f->files, size);
    if (f->sha256[0])
        printf("            SHA-256 %s\n", f->sha256);
    printf("  comes over  %llu files of the shop's own, %s\n", (unsigned long long)plan->carried_files, own);
    if (plan->forward->database)
        printf("  database  %s, copied while the shop is closed; the copy is migrated, the original kept\n", database);
    text_duration(plan->forward->copy_ms, copy);
    text_duration(plan->forward->other_ms, other);
    printf("  closed    about %s for the copy and %s for the rest; then while the new version migrates\n", copy, other);
    print_list("own plugins", &plan->plugins);
    print_list("of what comes over, look at", &plan->carried);
    print_list("settings that have another name or place now", &plan->settings);
    print_list("files of the old release that you have changed, and the new one replaces", &plan->modified);
    if (p->stop_how)
        printf("the shop is stopped by: %s, and started by: %s\n", p->stop_how, p->start_how);
    print_list("what can't be exchanged in one step", &p->in_place);
    print_list("to know", &p->remarks);
    print_list("problems: nopsnap will not begin before these are solved", &p->problems);
    (void)fflush(stdout);
}

static void push_all(struct json *v, const char *key, const struct text_list *l)
{
    struct json *a = json_array();

    for (size_t i = 0; i < l->count; i++)
        json_push_text(a, l->items[i]);
    json_put(v, key, a);
}

static void json_plan(const struct site *site, const struct upgrade_plan *plan)
{
    const struct release_facts *f = release_facts(plan->release);
    const struct preflight *p = &plan->forward->preflight;
    struct json *v = cli_json_new("plan");

    json_put_bytes(v, "site", site->path, strlen(site->path));
    json_put_text(v, "from", plan->from);
    json_put_text(v, "to", plan->to);
    json_put_text(v, "release", f->name);
    json_put_text(v, "sha256", f->sha256);
    json_put_number(v, "release_files", (int64_t)f->files);
    json_put_number(v, "release_bytes", (int64_t)f->bytes);
    json_put_number(v, "carried_files", (int64_t)plan->carried_files);
    json_put_number(v, "carried_bytes", (int64_t)plan->carried_bytes);
    json_put_number(v, "database_bytes", (int64_t)plan->forward->database_bytes);
    json_put_number(v, "expected_copy_ms", (int64_t)plan->forward->copy_ms);
    json_put_number(v, "expected_other_ms", (int64_t)plan->forward->other_ms);
    push_all(v, "plugins", &plan->plugins);
    push_all(v, "carried", &plan->carried);
    push_all(v, "settings", &plan->settings);
    push_all(v, "modified", &plan->modified);
    push_all(v, "in_place", &p->in_place);
    push_all(v, "remarks", &p->remarks);
    push_all(v, "problems", &p->problems);
    cli_json(v);
}

/* ---- the end ---- */

static void put_steps(struct json *v, const struct forward_result *r)
{
    struct json *steps = json_array();

    for (size_t i = 0; i < r->step_count; i++) {
        struct json *step = json_object();

        json_put_text(step, "name", r->steps[i].name);
        json_put_number(step, "ms", (int64_t)r->steps[i].ms);
        json_push(steps, step);
    }
    json_put(v, "steps", steps);
}

static void json_result(const struct site *site, const struct upgrade_plan *plan, const struct forward_result *r)
{
    static const char *const words[] = {"nothing", "done", "undone", "hands"};
    const struct transaction_result *t = &r->transaction;
    struct json *v = cli_json_new("upgrade");

    json_put_bytes(v, "site", site->path, strlen(site->path));
    json_put_text(v, "outcome", words[t->outcome]);
    json_put_text(v, "from", plan->from);
    json_put_text(v, "to", plan->to);
    if (r->before)
        json_put_text(v, "before", r->before);
    if (t->safety_snapshot)
        json_put_text(v, "safety_snapshot", t->safety_snapshot);
    if (r->trial_end_ns)
        json_put_number(v, "trial_end_ns", r->trial_end_ns);
    json_put_number(v, "down_ms", (int64_t)t->down_ms);
    json_put_number(v, "took_ms", (int64_t)t->back_ms);
    put_steps(v, r);
    cli_json(v);
}

static void print_meantime(const struct database_losses *l)
{
    bool titled = false;

    for (size_t i = 0; i < l->count; i++) {
        if (!l->items[i].rows || l->items[i].group == GROUP_NOISE)
            continue;
        if (!titled)
            printf("while the new version ran these came in, and are in that snapshot\n");
        titled = true;
        printf("  %-10s %-32s %llu\n", database_group_name(l->items[i].group), l->items[i].table,
               (unsigned long long)l->items[i].rows);
    }
}

static void print_result(const struct cli *cli, const struct site *site, const struct upgrade_plan *plan,
                         const struct forward_result *r)
{
    const struct transaction_result *t = &r->transaction;
    char took[TEXT_MAX];
    char down[TEXT_MAX];
    char until[TEXT_MAX];

    if (cli->json) {
        json_result(site, plan, r);
        return;
    }
    text_duration(t->back_ms, took);
    text_duration(t->down_ms, down);
    text_moment(r->trial_end_ns, until);
    if (t->outcome == OUTCOME_UNDONE) {
        cli_line("", "undone: %s is nopCommerce %s again, as it was before", site->path, plan->from);
        if (t->safety_snapshot)
            printf("  what was taken away is snapshot %.8s\n", t->safety_snapshot);
        print_meantime(&r->meantime);
    }
    if (t->outcome != OUTCOME_DONE || cli->quiet)
        return;
    cli_line("", "%s is nopCommerce %s now", site->path, plan->to);
    printf("  took      %s; closed for %s\n", took, down);
    printf("  before    snapshot %.8s, held\n", r->before ? r->before : "?");
    if (r->trial_end_ns) {
        printf("  trial     until %s: going back takes seconds\n", until);
        cli_line("", "nopsnap rollback %s   takes it back", site->path);
        cli_line("", "nopsnap confirm %s    ends the trial and frees the room", site->path);
    }
}

static void remember(struct cli *cli, struct catalog *cat, const struct site *site, const struct upgrade_plan *plan,
                     const struct forward_result *r, int status)
{
    struct json *detail = json_object();
    struct error ignored = ERROR_INIT;
    char site_id[17];

    if (catalog_site_id(cat, site->path, site_id, &ignored) != OK) {
        json_free(detail);
        return;
    }
    json_put_text(detail, "from", plan->from);
    json_put_text(detail, "to", plan->to);
    if (r->before)
        json_put_text(detail, "before", r->before);
    if (r->transaction.safety_snapshot)
        json_put_text(detail, "safety_snapshot", r->transaction.safety_snapshot);
    json_put_number(detail, "down_ms", (int64_t)r->transaction.down_ms);
    json_put_number(detail, "took_ms", (int64_t)r->transaction.back_ms);
    put_steps(detail, r);
    cli_event(cli, cat, site_id, "upgrade", detail, status);
}

static int status_of(struct cli *cli, enum error_kind rc, const struct forward_result *r, const struct error *err)
{
    int status;

    if (!rc)
        return r->warned ? EXIT_WARNED : cli_done(cli);
    status = cli_fail(cli, err);
    if (r->transaction.outcome == OUTCOME_UNDONE)
        return EXIT_UNDONE;
    return r->transaction.outcome == OUTCOME_HANDS ? EXIT_HANDS : status;
}

static enum error_kind ask(const struct upgrade_arguments *a, struct error *err)
{
    char answer[16] = "";
    enum error_kind rc;

    if (a->yes)
        return OK;
    if (!isatty(STDIN_FILENO)) {
        rc = error_set(err, ERR_REFUSED, 0, "nobody to ask: nothing was changed");
        error_hint(err, "say --yes");
        return rc;
    }
    fputs("upgrade now? [y/N] ", stderr);
    (void)fflush(stderr);
    rc = cancel_wait_input(STDIN_FILENO, err);
    if (rc) {
        error_context(err, "nothing was changed");
        return rc;
    }
    if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
        return OK;
    return error_set(err, ERR_REFUSED, 0, "declined: nothing was changed");
}

static int act(struct cli *cli, struct catalog *cat, struct site *site, const struct upgrade_arguments *a,
               struct upgrade_plan *plan)
{
    struct forward_result result = {.before = NULL};
    struct error err = ERROR_INIT;
    enum error_kind rc = plan->forward->preflight.problems.count ? OK : ask(a, &err);
    int status;

    if (!rc)
        rc = upgrade_run(cat, site, plan, &cli->progress, &result, &err);
    cli_progress_end(cli);
    status = status_of(cli, rc, &result, &err);
    if (result.transaction.transaction)
        remember(cli, cat, site, plan, &result, status);
    print_result(cli, site, plan, &result);
    forward_result_release(&result);
    return status;
}

int cli_upgrade(struct cli *cli, int argc, char **argv)
{
    const struct command *me = cli_command_find("upgrade");
    struct upgrade_arguments a = {.options = {.trial_ms = -1, .config = &cli->config}};
    struct upgrade_plan *plan = NULL;
    struct site site = SITE_INIT;
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;
    int status = parse(cli, me, argc, argv, &a);
    enum error_kind rc;

    if (status >= 0)
        return status;
    a.options.release = argv[optind + 1];
    rc = cli_site_open(cli, argv[optind], false, &site, &err);
    if (!rc && !a.dry_run)
        rc = transaction_refuse_pending(site.path, &err);
    else if (!rc)
        cli_warn_pending(cli, site.path);
    if (!rc)
        rc = cli_catalog_open(cli, a.dry_run ? CATALOG_READ : CATALOG_WRITE, !a.dry_run, &cat, &err);
    if (!rc && !a.dry_run)
        rc = cli_catalog_check_place(cli, catalog_path(cat), &site, &err);
    if (!rc && !a.dry_run)
        rc = cli_kept_clear(cli, cat, &site, false, NULL, &err);
    if (!rc)
        rc = upgrade_plan(cat, &site, &a.options, &cli->progress, &plan, &err);
    if (rc) {
        status = cli_fail(cli, &err);
        goto done;
    }
    cli_progress_end(cli);
    if (cli->json)
        json_plan(&site, plan);
    else if (!cli->quiet || !a.yes)
        print_plan(&site, plan);
    if (a.dry_run)
        status = plan->forward->preflight.problems.count ? EXIT_FAILED : cli_done(cli);
    else
        status = act(cli, cat, &site, &a, plan);
done:
    upgrade_plan_free(plan);
    catalog_close(cat);
    site_release(&site);
    return status;
}

int cli_confirm(struct cli *cli, int argc, char **argv)
{
    struct kept_state kept = {.exists = false};
    struct site site = SITE_INIT;
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;
    int status = cli_arguments(cli, cli_command_find("confirm"), argc, argv, 1, 1, "one site");
    enum error_kind rc;

    if (status >= 0)
        return status;
    rc = cli_site_open(cli, argv[optind], true, &site, &err);
    if (!rc)
        rc = transaction_refuse_pending(site.path, &err);
    if (!rc)
        rc = kept_look(site.path, &kept, &err);
    if (!rc && !kept.exists) {
        rc = error_set(&err, ERR_NOT_FOUND, 0, "no upgrade of %s is in its trial", site.path);
        error_hint(&err, "nopsnap history %s tells what was done", site.path);
    }
    if (!rc)
        rc = cli_catalog_open(cli, CATALOG_WRITE, false, &cat, &err);
    if (!rc)
        rc = cli_kept_clear(cli, cat, &site, true, NULL, &err);
    cli_progress_end(cli);
    status = rc ? cli_fail(cli, &err) : cli_done(cli);
    if (!rc && !cli->quiet && !cli->json)
        cli_line("", "the upgrade of %s to %s is confirmed", site.path, kept.to_version ? kept.to_version : "?");
    kept_state_release(&kept);
    catalog_close(cat);
    site_release(&site);
    return status;
}
