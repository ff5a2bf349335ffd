/* What the plan of an upgrade says, and what its end. */
#include <string.h>

#include "cli_upgrade.h"

/* ---- the plan ---- */

static void print_list(const char *title, const struct text_list *l)
{
    if (!l->count)
        return;
    printf("%s\n", title);
    for (size_t i = 0; i < l->count; i++)
        cli_line("  ", "%s", l->items[i]);
}

size_t cli_upgrade_scripts(const struct upgrade_plan *plan)
{
    size_t n = 0;

    for (size_t i = 0; i < plan->path.count; i++)
        n += plan->path.stages[i].script_count;
    return n;
}

static void print_script(const struct upgrade_script *s)
{
    cli_line("            ", "script %d.%02d-%d.%02d, %s: %llu batches", s->from / 100, s->from % 100, s->to / 100,
             s->to % 100, s->name, (unsigned long long)s->batches);
    for (size_t i = 0; i < s->notes.count; i++)
        cli_line("              its Readme.txt: ", "%s", s->notes.items[i]);
}

/* Where the database comes forward by migrations alone there is nothing to say that "migrates" does not. */
static void print_path(const struct upgrade_plan *plan)
{
    if (plan->path.count < 2 && !cli_upgrade_scripts(plan))
        return;
    for (size_t i = 0; i < plan->path.count; i++) {
        const struct upgrade_stage *s = &plan->path.stages[i];

        const char *by = i + 1 < plan->path.count ? release_facts(plan->via[i])->name : NULL;

        cli_line(i ? "            " : "  path      ", "from %s to %s%s%s%s", s->from.text, s->to.text,
                 s->migrates ? ", which migrates at its first start" : "", by ? ": " : "", by ? by : "");
        for (size_t k = 0; k < s->script_count; k++)
            print_script(s->scripts[k]);
    }
}

void cli_upgrade_print_plan(const struct site *site, const struct upgrade_plan *plan)
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
    print_path(plan);
    printf("  comes over  %llu files of the shop's own, %s\n", (unsigned long long)plan->carried_files, own);
    if (plan->forward->database)
        printf("  database  %s, copied while the shop is closed; the copy is migrated, the original kept\n", database);
    text_duration(plan->forward->copy_ms, copy);
    text_duration(plan->forward->other_ms, other);
    printf("  closed    about %s for the copy and %s for the rest; then while %s\n", copy, other,
           cli_upgrade_scripts(plan) ? "the scripts run and the new version starts" : "the new version migrates");
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

static struct json *json_script(const struct upgrade_script *s)
{
    struct json *v = json_object();

    json_put_text(v, "name", s->name);
    json_put_number(v, "from", s->from);
    json_put_number(v, "to", s->to);
    json_put_number(v, "batches", (int64_t)s->batches);
    push_all(v, "notes", &s->notes);
    return v;
}

static void json_path(struct json *v, const struct upgrade_plan *plan)
{
    struct json *stages = json_array();

    for (size_t i = 0; i < plan->path.count; i++) {
        const struct upgrade_stage *s = &plan->path.stages[i];
        struct json *stage = json_object();
        struct json *scripts = json_array();

        for (size_t k = 0; k < s->script_count; k++)
            json_push(scripts, json_script(s->scripts[k]));
        json_put_text(stage, "from", s->from.text);
        json_put_text(stage, "to", s->to.text);
        json_put_flag(stage, "migrates", s->migrates);
        json_put(stage, "scripts", scripts);
        json_push(stages, stage);
    }
    json_put(v, "stages", stages);
}

void cli_upgrade_json_plan(const struct site *site, const struct upgrade_plan *plan)
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
    json_path(v, plan);
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

void cli_upgrade_json_steps(struct json *v, const struct forward_result *r)
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
    if (t->unwell)
        json_put_text(v, "unwell", t->unwell);
    if (r->trial_end_ns)
        json_put_number(v, "trial_end_ns", r->trial_end_ns);
    json_put_number(v, "down_ms", (int64_t)t->down_ms);
    json_put_number(v, "took_ms", (int64_t)t->back_ms);
    cli_upgrade_json_steps(v, r);
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

void cli_upgrade_print_result(const struct cli *cli, const struct site *site, const struct upgrade_plan *plan,
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
