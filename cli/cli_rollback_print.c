/*
 * The plan of a rollback, printed: what changes, what is lost, what stands in the way.
 */
#include <string.h>

#include "cli_rollback.h"

static void print_list(const char *title, const struct text_list *l, size_t most)
{
    if (!l->count)
        return;
    printf("%s\n", title);
    for (size_t i = 0; i < l->count && i < most; i++)
        cli_line("  ", "%s", l->items[i]);
    if (l->count > most)
        printf("  ... and %zu more\n", l->count - most);
}

static void print_losses(const struct rollback_plan *plan)
{
    bool titled = false;

    for (int g = 0; g < GROUP_COUNT; g++)
        for (size_t i = 0; i < plan->losses.count; i++) {
            const struct database_loss *loss = &plan->losses.items[i];

            if ((int)loss->group != g || !loss->rows)
                continue;
            if (!titled)
                printf("the database loses what is newer than the snapshot\n");
            titled = true;
            printf("  %-10s %-32s %llu\n", database_group_name(loss->group), loss->table,
                   (unsigned long long)loss->rows);
        }
    if (!titled && plan->database)
        printf("the database loses nothing that is newer than the snapshot (changes to older rows are not counted)\n");
}

static void print_files(const struct cli *cli, const struct rollback_plan *plan)
{
    char bytes[TEXT_MAX];

    if (!plan->files)
        return;
    if (plan->trial) {
        printf("files: the tree that the upgrade took away comes back whole\n");
        return;
    }
    text_size(plan->bytes_to_write, bytes);
    printf("files: %llu come back, %llu change, %llu go; %s to write\n", (unsigned long long)plan->files_added,
           (unsigned long long)plan->files_changed, (unsigned long long)plan->files_removed, bytes);
    for (size_t i = 0; i < plan->changes.count && (cli->verbose || i < 12); i++)
        cli_line("  ", "%s", plan->changes.items[i]);
    if (plan->changes.count > 12 && !cli->verbose)
        printf("  ... and more (-v shows up to 1000)\n");
}

void cli_rollback_print_plan(const struct cli *cli, const struct site *site, const struct rollback_plan *plan)
{
    char when[TEXT_MAX];

    text_moment(plan->target.made_ns, when);
    printf("going back to snapshot %.8s of %s (%s)\n", plan->target.id, when, plan->why_target);
    if (plan->target.nop_version)
        printf("  nopCommerce %s at %s\n", plan->target.nop_version, site->path);
    if (plan->other_candidate)
        printf("  instead of %s (--to chooses)\n", plan->other_candidate);
    if (!plan->files || !plan->database)
        printf("  only the %s\n", plan->files ? "files" : "database");
    print_files(cli, plan);
    print_losses(plan);
    print_list(plan->mails_marked
                   ? "mails sent since, which will not be sent again"
                   : "mails sent since, which may be sent again: in a database changed in place they can't be marked",
               &plan->mails, 20);
    if (plan->preflight.stop_how)
        printf("the shop is stopped by: %s, and started by: %s\n", plan->preflight.stop_how, plan->preflight.start_how);
    print_list("what can't be exchanged in one step", &plan->preflight.in_place, 20);
    print_list("to know", &plan->preflight.remarks, 40);
    print_list("problems: nopsnap will not begin before these are solved", &plan->preflight.problems, 100);
    (void)fflush(stdout);
}

static void push_all(struct json *v, const char *key, const struct text_list *l)
{
    struct json *a = json_array();

    for (size_t i = 0; i < l->count; i++)
        json_push_text(a, l->items[i]);
    json_put(v, key, a);
}

void cli_rollback_json_plan(const struct site *site, const struct rollback_plan *plan)
{
    struct json *v = cli_json_new("plan");
    struct json *losses = json_array();

    json_put_bytes(v, "site", site->path, strlen(site->path));
    json_put_text(v, "target", plan->target.id);
    json_put_text(v, "why", plan->why_target);
    json_put_flag(v, "files", plan->files);
    json_put_flag(v, "database", plan->database);
    json_put_number(v, "files_added", (int64_t)plan->files_added);
    json_put_number(v, "files_changed", (int64_t)plan->files_changed);
    json_put_number(v, "files_removed", (int64_t)plan->files_removed);
    json_put_number(v, "bytes_to_write", (int64_t)plan->bytes_to_write);
    for (size_t i = 0; i < plan->losses.count; i++) {
        struct json *l = json_object();

        json_put_text(l, "group", database_group_name(plan->losses.items[i].group));
        json_put_text(l, "table", plan->losses.items[i].table);
        json_put_number(l, "rows", (int64_t)plan->losses.items[i].rows);
        json_push(losses, l);
    }
    json_put(v, "losses", losses);
    push_all(v, "changes", &plan->changes);
    push_all(v, "mails", &plan->mails);
    json_put_flag(v, "mails_marked", plan->mails_marked);
    push_all(v, "in_place", &plan->preflight.in_place);
    push_all(v, "remarks", &plan->preflight.remarks);
    push_all(v, "problems", &plan->preflight.problems);
    cli_json(v);
}

void cli_rollback_print_result(struct cli *cli, const struct site *site, const char *target,
                               const struct transaction_result *r)
{
    static const char *const words[] = {"nothing", "done", "undone", "hands"};
    char back[TEXT_MAX];
    char down[TEXT_MAX];

    if (cli->json) {
        struct json *v = cli_json_new("rollback");

        json_put_bytes(v, "site", site->path, strlen(site->path));
        json_put_text(v, "outcome", words[r->outcome]);
        json_put_text(v, "target", target);
        if (r->safety_snapshot)
            json_put_text(v, "safety_snapshot", r->safety_snapshot);
        if (r->unwell)
            json_put_text(v, "unwell", r->unwell);
        json_put_number(v, "down_ms", (int64_t)r->down_ms);
        json_put_number(v, "back_ms", (int64_t)r->back_ms);
        json_put_number(v, "files_written", (int64_t)r->files_written);
        json_put_number(v, "files_linked", (int64_t)r->files_linked);
        push_all(v, "left", &r->left);
        push_all(v, "exported", &r->exported);
        cli_json(v);
        return;
    }
    if (r->outcome == OUTCOME_UNDONE) {
        cli_line("", "undone: %s is as it was before", site->path);
        if (r->safety_snapshot)
            printf("  what did not work is snapshot %.8s (`--to` goes back to it)\n", r->safety_snapshot);
        return;
    }
    for (size_t i = 0; r->outcome == OUTCOME_DONE && cli->quiet && i < r->left.count; i++)
        cli_line("kept: ", "%s", r->left.items[i]); /* that did not go well */
    if (r->outcome != OUTCOME_DONE || cli->quiet)
        return;
    text_duration(r->back_ms, back);
    text_duration(r->down_ms, down);
    printf("%s is back at snapshot %.8s\n", site->path, target);
    if (r->files_written || r->files_linked) /* not where what was taken away came again as a whole */
        printf("  files     %llu written, %llu unchanged\n", (unsigned long long)r->files_written,
               (unsigned long long)r->files_linked);
    printf("  took      %s, of which the shop was down %s\n", back, down);
    if (r->safety_snapshot)
        printf("  undo      what was taken away is snapshot %.8s; nopsnap rollback %s goes back to it\n",
               r->safety_snapshot, site->path);
    for (size_t i = 0; i < r->exported.count; i++)
        cli_line("  exported  ", "%s", r->exported.items[i]);
    for (size_t i = 0; i < r->left.count; i++)
        cli_line("  kept      ", "%s", r->left.items[i]);
}
