#include <stdlib.h>
#include <string.h>

#include "cli_schedule.h"
#include "file.h"
#include "overview.h"
#include "run_log.h"

/* ---- what was written ---- */

static const char *change_word(enum schedule_change change)
{
    static const char *const words[] = {"new", "changed", "unchanged", "removed"};

    return words[change];
}

static void plan_json(const struct schedule_plan *p, const char *site, bool dry_run)
{
    struct json *v = cli_json_new("schedule_written");
    struct json *files = json_array();

    json_put_bytes(v, "site", site, strlen(site));
    json_put_flag(v, "dry_run", dry_run);
    json_put_flag(v, "changed", p->changed);
    for (size_t i = 0; i < p->count; i++) {
        struct json *f = json_object();

        json_put_bytes(f, "path", p->files[i].path, strlen(p->files[i].path));
        json_put_text(f, "change", change_word(p->files[i].change));
        if (dry_run && p->files[i].text)
            json_put_text(f, "text", p->files[i].text);
        json_push(files, f);
    }
    json_put(v, "files", files);
    cli_json(v);
}

void cli_schedule_tell_plan(struct cli *cli, const struct schedule_plan *p, const char *site, bool dry_run)
{
    for (size_t i = 0; i < p->drop_ins.count; i++)
        cli_note(cli, "note: %s is your own and stays", p->drop_ins.items[i]);
    if (cli->json) {
        plan_json(p, site, dry_run);
        return;
    }
    if (cli->quiet && !dry_run)
        return;
    for (size_t i = 0; i < p->count; i++) {
        const struct schedule_file *f = &p->files[i];
        char head[32];

        if (f->change == SCHEDULE_SAME && !f->text && !f->target)
            continue; /* what would go is not there */
        (void)snprintf(head, sizeof(head), "%-9s ", change_word(f->change));
        cli_line(head, "%s%s", f->path, f->edited && f->change != SCHEDULE_SAME ? " (the old one stays as .bak)" : "");
        if (dry_run && f->text && f->change != SCHEDULE_SAME)
            printf("%s\n", f->text);
    }
}

/* ---- the list ---- */

struct last_run {
    int64_t ended_ns; /* 0: never */
    int status;
    bool known; /* the catalogue could be asked */
};

static enum error_kind on_run(void *arg, const struct run_entry *e, struct error *err)
{
    struct last_run *last = arg;

    (void)err;
    last->ended_ns = e->ended_ns;
    last->status = e->status;
    return OK;
}

static void ask_catalog(struct cli *cli, const struct schedule_entry *e, struct last_run *out)
{
    struct error err = ERROR_INIT;
    struct catalog *cat = NULL;
    char site_id[17];
    enum error_kind rc = e->catalog ? catalog_open(e->catalog, CATALOG_READ, 10000, &cat, &err)
                                    : cli_catalog_open(cli, CATALOG_READ, false, &cat, &err);

    if (!rc)
        rc = catalog_site_id(cat, e->site, site_id, &err);
    if (!rc)
        rc = catalog_run_each(cat, site_id, "run", 1, on_run, out, &err);
    if (rc)
        cli_warn(cli, "%s", err.text);
    out->known = !rc;
    catalog_close(cat);
}

static const char *outcome_of(const struct last_run *r)
{
    if (!r->known || !r->ended_ns)
        return "";
    switch (r->status) {
    case EXIT_DONE:
        return "well";
    case EXIT_WARNED:
        return "with warnings";
    case EXIT_BUSY:
        return "let another go first";
    case EXIT_DAMAGE:
        return "damage found";
    default:
        return "failed";
    }
}

static void entry_json(const struct schedule_entry *e, const struct last_run *r)
{
    struct json *v = cli_json_new("schedule");
    char when[SCHEDULE_WHEN_MAX];

    schedule_when_text(&e->when, when);
    json_put_bytes(v, "site", e->site, strlen(e->site));
    json_put_text(v, "unit", e->name);
    json_put_text(v, "by", e->way == SCHEDULE_SYSTEMD ? "systemd" : "cron");
    json_put_text(v, "when", when);
    json_put_text(v, "keep", e->keep ? e->keep : "");
    json_put_bytes(v, "catalog", e->catalog ? e->catalog : "", e->catalog ? strlen(e->catalog) : 0);
    json_put_number(v, "delay_ms", e->delay_ms);
    json_put_flag(v, "enabled", e->enabled);
    json_put_flag(v, "running", e->enabled && !e->idle);
    json_put_flag(v, "edited", e->edited);
    json_put_number(v, "next_run_ns", e->times.next_ns);
    json_put_number(v, "last_run_ns", r->ended_ns);
    if (r->ended_ns)
        json_put_number(v, "last_run_status", r->status);
    cli_json(v);
}

/* "2026-11-28 03:00", or what there is instead. */
static void moment(int64_t ns, const char *otherwise, char out[TEXT_MAX])
{
    if (ns)
        text_moment(ns, out);
    else
        (void)snprintf(out, TEXT_MAX, "%s", otherwise);
    if (ns)
        out[16] = '\0'; /* without seconds */
}

/* site 20, when 14, next 16, last 16, outcome: 80 with the gaps, unless an expression is long. */
static void entry_line(struct cli *cli, const struct schedule_entry *e, const struct last_run *r)
{
    const struct site_config *c = config_find(&cli->config, e->site);
    char site[64];
    char when[SCHEDULE_WHEN_MAX];
    char next[TEXT_MAX];
    char last[TEXT_MAX];

    cli_site_column(c ? c->name : e->site, site, 19);
    schedule_when_text(&e->when, when);
    moment(e->times.next_ns, e->enabled ? "-" : "not enabled", next);
    if (e->idle)
        moment(0, "not running", next);
    moment(r->ended_ns, r->known ? "never" : "?", last);
    cli_line("", "%-18s %-12s  %-16s  %-16s  %s", site, !strncmp(when, "calendar ", 9) ? when + 9 : when, next, last,
             outcome_of(r));
    if (e->edited)
        cli_line("  - ", "%s was changed by hand", e->name);
    if (c && c->after_run && !e->own_command)
        cli_line("  ! ", "the config has after-run now, and the sandbox no room for it: nopsnap schedule %s", site);
    if (cli->verbose)
        cli_line("  ", "%s, by %s; %s%s", e->name, e->way == SCHEDULE_SYSTEMD ? "systemd" : "cron",
                 e->keep ? "keep " : "keep as in the config", e->keep ? e->keep : "");
}

int cli_schedule_list(struct cli *cli)
{
    struct schedule_list list = {NULL, 0};
    struct error err = ERROR_INIT;

    if (schedule_list_load(clock_now(), &list, &err) != OK)
        return cli_fail(cli, &err);
    if (!cli->json && list.count)
        printf("%-18s %-12s  %-16s  %-16s  %s\n", "SITE", "WHEN", "NEXT", "LAST RUN", "OUTCOME");
    else if (!cli->json)
        printf("nothing is scheduled: nopsnap schedule SITE --at 03:00\n");
    for (size_t i = 0; i < list.count; i++) {
        struct last_run last = {0, 0, false};

        ask_catalog(cli, &list.items[i], &last);
        if (cli->json)
            entry_json(&list.items[i], &last);
        else
            entry_line(cli, &list.items[i], &last);
    }
    schedule_list_release(&list);
    return cli_done(cli);
}
