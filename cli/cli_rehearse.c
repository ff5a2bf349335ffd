/*
 * nopsnap rehearse SITE RELEASE: the plan of the upgrade, then the same on a copy, then what it told.
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "cli_upgrade.h"
#include "rehearse.h"

struct rehearse_arguments {
    struct upgrade_options options;
    bool dry_run, host_network;
};

static int parse(struct cli *cli, const struct command *me, int argc, char **argv, struct rehearse_arguments *a)
{
    static const struct option options[] = {
        CLI_UPGRADE_OPTIONS,
        {"dry-run", no_argument, NULL, 'n'},
        {"host-network", no_argument, NULL, 'N'},
        {NULL, 0, NULL, 0},
    };
    int status = -1;
    int c;

    while (status < 0 && (c = cli_option(cli, me, argc, argv, options)) != -1) {
        switch (c) {
        case 'N':
            a->host_network = true;
            break;
        case 'n':
            a->dry_run = true;
            break;
        default:
            status = cli_upgrade_option(cli, me, c, &a->options);
        }
    }
    if (status < 0 && argc - optind != 2)
        return cli_usage(cli, me, "rehearse takes a site and a release");
    return status;
}

static void put_list(struct json *v, const char *key, const struct text_list *l)
{
    struct json *a = json_array();

    for (size_t i = 0; i < l->count; i++)
        json_push_text(a, l->items[i]);
    json_put(v, key, a);
}

static void put_seen(struct json *v, const char *key, const struct rehearse_seen *seen)
{
    struct json *o = json_object();

    json_put_number(o, "status", seen->status);
    json_put_number(o, "bytes", (int64_t)seen->bytes);
    json_put_text(o, "title", seen->title ? seen->title : "");
    json_put(v, key, o);
}

static void put_pages(struct json *v, const struct rehearse_result *r)
{
    struct json *a = json_array();

    for (size_t i = 0; i < r->page_count; i++) {
        struct json *o = json_object();

        json_put_text(o, "path", r->pages[i].path);
        json_put_flag(o, "differs", r->pages[i].differs);
        put_seen(o, "live", &r->pages[i].live);
        put_seen(o, "copy", &r->pages[i].copy);
        json_push(a, o);
    }
    json_put(v, "pages", a);
}

static void put_result(struct json *v, const struct upgrade_plan *plan, const struct rehearse_result *r)
{
    json_put_text(v, "from", plan->from);
    json_put_text(v, "to", plan->to);
    json_put_flag(v, "well", r->well);
    json_put_number(v, "snapshot_ms", (int64_t)r->snapshot_ms);
    json_put_number(v, "load_ms", (int64_t)r->load_ms);
    json_put_number(v, "build_ms", (int64_t)r->build_ms);
    json_put_number(v, "stages_ms", (int64_t)r->stages_ms);
    json_put_number(v, "migrate_ms", (int64_t)r->migrate_ms);
    json_put_number(v, "expected_closed_ms", (int64_t)r->closed_ms);
}

static size_t differing(const struct rehearse_result *r)
{
    size_t n = 0;

    for (size_t i = 0; i < r->page_count; i++)
        n += r->pages[i].differs;
    return n;
}

static void print_result(const struct cli *cli, const struct site *site, const struct upgrade_plan *plan,
                         const struct rehearse_result *r)
{
    const char *between = plan->path.count > 1 ? "scripts and trees of later releases" : "scripts";
    bool has_between = plan->path.count > 1 || cli_upgrade_scripts(plan);
    char ms[5][TEXT_MAX];
    char closed[TEXT_MAX];

    if (cli->json) {
        struct json *v = cli_json_new("rehearsal");

        json_put_bytes(v, "site", site->path, strlen(site->path));
        put_result(v, plan, r);
        json_put_text(v, "snapshot", r->snapshot);
        put_list(v, "reasons", &r->reasons);
        put_list(v, "warnings", &r->warnings);
        put_list(v, "emptied", &r->emptied);
        put_list(v, "covered", &r->covered);
        put_pages(v, r);
        if (r->network_why[0])
            json_put_text(v, "host_network", r->network_why);
        cli_json(v);
        return;
    }
    text_duration(r->snapshot_ms, ms[0]);
    text_duration(r->load_ms, ms[1]);
    text_duration(r->build_ms, ms[2]);
    text_duration(r->migrate_ms, ms[3]);
    text_duration(r->stages_ms, ms[4]);
    text_duration(r->closed_ms, closed);
    for (size_t i = 0; i < r->reasons.count; i++)
        cli_line("", "broken: %s", r->reasons.items[i]);
    if (cli->quiet)
        return;
    cli_line("", "%s on a copy of %s: %s", plan->to, site->path, r->well ? "it works" : "it does not work");
    printf("  took      snapshot %s, database's copy %s, tree %s, %s%s%s%sstart and migrations %s\n", ms[0], ms[1],
           ms[2], has_between ? between : "", has_between ? " " : "", has_between ? ms[4] : "", has_between ? ", " : "",
           ms[3]);
    if (r->well)
        printf("  closed    the upgrade will keep the shop closed for about %s\n", closed);
    if (r->page_count)
        printf("  pages     %zu asked of both shops: %zu differ\n", r->page_count, differing(r));
    printf("  network   %s%s\n",
           r->network_why[0]
               ? "the copy had this machine's: "
               : "the copy reached its database's server and nothing else, but for sockets in the filesystem",
           r->network_why);
    printf("  emptied   %zu settings that lead outside led nowhere in the copy, and so did mail and tasks\n",
           r->emptied.count);
    if (r->covered.count)
        printf("  behind    %zu link%s out of the copy: it saw what is there, and what it wrote there is removed\n",
               r->covered.count, r->covered.count == 1 ? " leads" : "s lead");
    printf("  the copy is removed; it was made from snapshot %.8s\n", r->snapshot);
}

static void remember(struct cli *cli, struct catalog *cat, const struct site *site, const struct upgrade_plan *plan,
                     const struct rehearse_result *r, int status)
{
    struct json *detail = json_object();
    struct error ignored = ERROR_INIT;
    char site_id[17];

    put_result(detail, plan, r);
    if (catalog_site_id(cat, site->path, site_id, &ignored) == OK)
        cli_event(cli, cat, site_id, "rehearse", detail, status);
    else
        json_free(detail);
}

static int act(struct cli *cli, struct catalog *cat, struct site *site, struct upgrade_plan *plan, bool host_network)
{
    struct rehearse_result result = {.well = false};
    struct error err = ERROR_INIT;
    enum error_kind rc = rehearse_run(cat, site, plan, host_network, &cli->progress, &result, &err);
    int status;

    cli_progress_end(cli);
    for (size_t i = 0; i < result.warnings.count; i++)
        cli_warn(cli, "%s", result.warnings.items[i]);
    if (rc)
        status = cli_fail(cli, &err);
    else
        status = !result.well ? EXIT_FAILED : result.warned ? EXIT_WARNED : cli_done(cli);
    remember(cli, cat, site, plan, &result, status);
    if (!rc)
        print_result(cli, site, plan, &result);
    rehearse_result_release(&result);
    return status;
}

int cli_rehearse(struct cli *cli, int argc, char **argv)
{
    const struct command *me = cli_command_find("rehearse");
    struct rehearse_arguments a = {.options = {.trial_ms = -1, .config = &cli->config}};
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
    if (!rc)
        rc = transaction_refuse_pending(site.path, &err);
    if (!rc)
        rc = cli_site_known(cli, NULL, argv[optind], site.path, &err);
    if (!rc)
        rc = cli_catalog_open(cli, a.dry_run ? CATALOG_READ : CATALOG_WRITE, !a.dry_run, &cat, &err);
    if (!rc && !a.dry_run)
        rc = cli_catalog_check_place(cli, catalog_path(cat), &site, &err);
    if (!rc)
        rc = upgrade_plan(cat, &site, &a.options, &cli->progress, &plan, &err);
    if (rc) {
        status = cli_fail(cli, &err);
        goto done;
    }
    cli_progress_end(cli);
    if (a.dry_run || plan->forward->preflight.problems.count) {
        if (cli->json)
            cli_upgrade_json_plan(&site, plan);
        else
            cli_upgrade_print_plan(&site, plan);
        status = plan->forward->preflight.problems.count ? EXIT_FAILED : cli_done(cli);
    } else {
        status = act(cli, cat, &site, plan, a.host_network);
    }
done:
    upgrade_plan_free(plan);
    catalog_close(cat);
    site_release(&site);
    return status;
}
