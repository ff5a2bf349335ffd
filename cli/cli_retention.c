/* forget SITE: by rules. forget ID is in cli_forget.c. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "cli_retention.h"
#include "keep_policy.h"

#define SITE_LOCK_TIMEOUT_MS 60000

struct telling {
    struct cli *cli;
    bool dry_run;
};

static void tell_one(void *arg, const struct retention_item *i)
{
    const struct telling *t = arg;
    char moment[TEXT_MAX];

    text_moment(i->made_ns, moment);
    if (t->cli->json) {
        struct json *v = cli_json_new("retention");

        json_put_text(v, "id", i->id);
        json_put_number(v, "made_ns", i->made_ns);
        json_put_text(v, "kind", cli_kind_word(i->kind));
        json_put_text(v, "part", cli_part_word(i->part));
        json_put_flag(v, "suspicious", i->suspicious);
        json_put_flag(v, "keep", i->keep);
        json_put_text(v, "why", i->why);
        cli_json(v);
    } else if ((t->dry_run || !i->keep) && !t->cli->quiet) {
        printf("%-6s %.8s  %s  %-14s %s%s\n",
               i->keep      ? "keep"
               : t->dry_run ? "forget"
                            : "forgot",
               i->id, moment, cli_kind_word(i->kind), i->suspicious ? "flagged; " : "", i->why);
    }
}

static void tell_all(struct cli *cli, const char *path, bool dry_run, const struct retention_report *r)
{
    if (cli->json) {
        struct json *v = cli_json_new("retention-sum");

        json_put_bytes(v, "site", path, strlen(path));
        json_put_flag(v, "dry_run", dry_run);
        json_put_number(v, "kept", (int64_t)r->kept);
        json_put_number(v, "forgotten", (int64_t)r->dropped);
        cli_json(v);
    } else if (!cli->quiet) {
        cli_line("", "%s: %llu kept, %llu %s", path, (unsigned long long)r->kept, (unsigned long long)r->dropped,
                 dry_run ? "would be forgotten" : "forgotten");
    }
}

static enum error_kind no_rules(const struct site *site, struct error *err)
{
    error_set(err, ERR_USAGE, 0, "%s has no rules of what is kept", site->path);
    error_hint(err, "give them: --keep 'last 3, daily 7, weekly 5, monthly 12', or as keep = ... in the config");
    return ERR_USAGE;
}

/* As a run does it: what a transaction took away refers to snapshots, and none begins while some go. */
static enum error_kind exclude_transactions(struct cli *cli, struct catalog *cat, struct site *site,
                                            const char *site_id, struct catalog_site_lock **lock, struct error *err)
{
    int64_t seen_ns = transaction_changed_ns(site->path);
    enum error_kind rc = transaction_refuse_pending(site->path, err);

    if (!rc)
        rc = cli_kept_clear(cli, cat, site, false, &seen_ns, err);
    if (!rc)
        rc = catalog_site_lock(cat, site_id, false, SITE_LOCK_TIMEOUT_MS, lock, err);
    if (!rc) /* one may have begun, and been killed, since */
        rc = transaction_refuse_since(site->path, seen_ns, err);
    return rc;
}

static enum error_kind apply(struct cli *cli, struct catalog *cat, struct site *site, const struct keep_policy *policy,
                             bool dry_run, struct error *err)
{
    struct telling t = {cli, dry_run};
    struct retention_report report = {0, 0};
    struct text_list needed = TEXT_LIST_INIT;
    struct retention rules = policy->retention;
    struct catalog_site_lock *lock = NULL;
    struct json *detail = NULL;
    char site_id[17];
    enum error_kind rc = catalog_site_id(cat, site->path, site_id, err);

    if (!rc && !dry_run)
        rc = exclude_transactions(cli, cat, site, site_id, &lock, err);
    if (!rc)
        rc = transaction_needed(cat, &needed, err);
    rules.needed = &needed;
    if (!rc)
        rc = retention_apply(cat, site_id, &rules, dry_run, tell_one, &t, &report, err);
    catalog_site_unlock(lock);
    text_list_release(&needed);
    if (rc)
        return rc;
    tell_all(cli, site->path, dry_run, &report);
    if (!dry_run && report.dropped) {
        detail = json_object();
        json_put_number(detail, "kept", (int64_t)report.kept);
        json_put_number(detail, "forgotten", (int64_t)report.dropped);
        cli_event(cli, cat, site_id, "forget", detail, EXIT_DONE);
    }
    return OK;
}

static int forget_site(struct cli *cli, struct catalog *cat, const char *name, const struct forget_options *o)
{
    struct site site = SITE_INIT;
    struct keep_policy policy;
    struct error err = ERROR_INIT;
    enum error_kind rc = cli_site_open(cli, name, true, &site, &err);

    if (!rc)
        rc = cli_site_known(cli, cat, name, site.path, &err);
    if (!rc)
        rc = keep_policy_of(site.config, o->keep, &policy, &err);
    if (!rc && !policy.any)
        rc = no_rules(&site, &err);
    if (!rc && o->dry_run)
        cli_warn_pending(cli, site.path);
    if (!rc)
        rc = apply(cli, cat, &site, &policy, o->dry_run, &err);
    site_release(&site);
    return rc ? cli_fail(cli, &err) : EXIT_DONE;
}

int cli_forget_sites(struct cli *cli, char **names, size_t count, const struct forget_options *o)
{
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;
    int status = EXIT_DONE;

    if (cli_catalog_open(cli, o->dry_run ? CATALOG_READ : CATALOG_WRITE, false, &cat, &err) != OK)
        return cli_fail(cli, &err);
    for (size_t i = 0; i < count; i++)
        status = cli_status_worse(status, forget_site(cli, cat, names[i], o));
    for (size_t i = 0; o->all && i < cli->config.count; i++)
        if (cli->config.sites[i].keep || cli->config.sites[i].keep_before_upgrade || cli->config.sites[i].keep_safety ||
            o->keep)
            status = cli_status_worse(status, forget_site(cli, cat, cli->config.sites[i].name, o));
    catalog_close(cat);
    return cli_status_worse(status, cli_done(cli));
}
