/* What a run comes to for whoever is told, a step that somebody is in the way of, and figures of two sites with one path. */
#include "test_support.h"

#include "metrics.h"
#include "run.h"
#include "run_told.h"
#include "thread.h"

#define CATALOGUE "c"

static void failing(struct run_result *r, enum run_step_name name, enum error_kind kind, const char *text,
                    const char *hint)
{
    r->steps[name].outcome = RUN_FAILED;
    (void)error_set(&r->steps[name].err, kind, 0, "%s", text);
    if (hint)
        error_hint(&r->steps[name].err, "%s", hint);
}

static struct run_told told_of(const struct run_result *r, const struct error *refused)
{
    struct run_told told = RUN_TOLD_INIT;
    struct error err = ERROR_INIT;

    assert_int_equal(run_told_make(NULL, "", r, refused, &told, &err), OK);
    return told;
}

static void told__has_a_cause_of_words_and_every_trouble_in_a_line(void **state)
{
    struct run_result r = {
        .snapshot = "3f2a00000123", .suspicion = (char *)"table Order is gone", .bytes_stored = 2048};
    struct run_told told;

    (void)state;
    failing(&r, RUN_VERIFY, ERR_CORRUPT, "pack 7 is damaged", "nopsnap verify");
    failing(&r, RUN_AFTER, ERR_REMOTE, "it ended with status 9", NULL);
    r.steps[RUN_PRUNE].outcome = RUN_SKIPPED;
    told = told_of(&r, NULL);
    assert_int_equal(told.outcome, NOTIFY_FAILED);
    assert_string_equal(told.cause, "verify damage, after-run remote, flagged");
    assert_string_equal(told.message, "verify: pack 7 is damaged");
    assert_int_equal(told.facts.count, 5);
    assert_string_equal(told.facts.items[0], "hint: nopsnap verify");
    assert_string_equal(told.facts.items[1], "after-run: it ended with status 9");
    assert_string_equal(told.facts.items[2], "the snapshot is flagged: table Order is gone");
    assert_string_equal(told.facts.items[3], "hint: if that is how it should be: nopsnap accept 3f2a0000");
    assert_string_equal(told.facts.items[4], "snapshot of this run: 3f2a0000, 2.0 KiB new");
    run_told_release(&told);
}

static void told__is_a_success_only_where_the_snapshot_counts_as_good(void **state)
{
    struct run_result r = {.snapshot = "3f2a00000123"};
    struct error refused = ERROR_INIT;
    struct run_told told = told_of(&r, NULL);

    (void)state;
    assert_int_equal(told.outcome, NOTIFY_SUCCEEDED);
    assert_string_equal(told.cause, "");
    assert_null(told.message);
    run_told_release(&told);
    r.partial = true;
    told = told_of(&r, NULL);
    assert_int_equal(told.outcome, NOTIFY_DOUBTFUL);
    assert_string_equal(told.cause, "partial");
    run_told_release(&told);
    /* What ended the run counts before its steps, which have the same error. */
    (void)error_set(&refused, ERR_PENDING, 0, "an upgrade is unfinished");
    error_hint(&refused, "nopsnap recover shop");
    r = (struct run_result){.started_ns = 1};
    failing(&r, RUN_KEPT, ERR_PENDING, "an upgrade is unfinished", NULL);
    told = told_of(&r, &refused);
    assert_int_equal(told.outcome, NOTIFY_FAILED);
    assert_string_equal(told.cause, "run unfinished");
    assert_string_equal(told.message, "run: an upgrade is unfinished");
    assert_int_equal(told.facts.count, 1);
    run_told_release(&told);
}

/* ---- a step that somebody is in the way of ---- */

struct seen {
    bool replace; /* the index, as a rebuild beside the prune would */
    int begun;
    char warned[512];
};

static enum error_kind no_database(void *arg, const struct site *site, struct database **out, struct error *err)
{
    (void)arg, (void)site, (void)err;
    *out = NULL;
    return OK;
}

static void on_begun(void *arg)
{
    ((struct seen *)arg)->begun++;
}

static void on_step(void *arg, const char *what)
{
    struct seen *s = arg;

    if (s->replace && strcmp(what, "removing what nobody needs") == 0)
        assert_int_equal(system("cp " CATALOGUE "/catalog.sqlite new && mv new " CATALOGUE "/catalog.sqlite"), 0);
}

static void on_warn(void *arg, const char *line)
{
    (void)snprintf(((struct seen *)arg)->warned, sizeof(((struct seen *)arg)->warned), "%s", line);
}

static void run__leaves_a_later_step_to_the_next_run_when_somebody_is_in_the_way(void **state)
{
    struct seen seen = {.replace = false};
    const struct progress progress = {.step = on_step, .warn = on_warn, .arg = &seen};
    const struct run_options o = {.keep = "last 1", .connect = no_database, .begun = on_begun, .begun_arg = &seen};
    struct run_result r = {.started_ns = 0};
    struct site site = SITE_INIT;
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(system("mkdir shop && echo one > shop/one"), 0);
    assert_int_equal(catalog_init(CATALOGUE, &err), OK);
    assert_int_equal(catalog_open(CATALOGUE, CATALOG_WRITE, 0, &cat, &err), OK);
    assert_int_equal(site_inspect_loose("shop", NULL, &site, &err), OK);
    assert_int_equal(run_site(cat, &site, &o, &progress, &r, &err), OK);
    assert_int_equal(seen.begun, 1);
    run_result_release(&r);
    assert_int_equal(system("echo two > shop/one"), 0);
    seen.replace = true;
    assert_int_equal(run_site(cat, &site, &o, &progress, &r, &err), OK);
    assert_int_equal(r.steps[RUN_RETENTION].outcome, RUN_DONE);
    assert_int_equal(r.retention.dropped, 1);
    assert_int_equal(r.steps[RUN_PRUNE].outcome, RUN_SKIPPED);
    assert_int_equal(r.steps[RUN_PRUNE].err.kind, OK);
    assert_non_null(r.steps[RUN_PRUNE].why);
    assert_non_null(strstr(seen.warned, "prune is left to the next run: "));
    assert_int_equal(seen.begun, 2);
    run_result_release(&r);
    site_release(&site);
    catalog_close(cat);
}

/* ---- figures ---- */

static void metrics__are_of_this_host_alone(void **state)
{
    struct overview_site sites[] = {{.path = (char *)"/srv/shop", .here = true, .count = 0},
                                    {.path = (char *)"/srv/shop", .here = false, .count = 0}};
    const struct overview o = {.sites = sites, .count = 2};
    struct buffer out = BUFFER_INIT(1u << 20);
    struct error err = ERROR_INIT;
    const char *first;

    (void)state;
    assert_int_equal(metrics_print(&o, &out, &err), OK);
    first = strstr((const char *)out.data, "nopsnap_site_snapshots{site=\"\",path=\"/srv/shop\"} 0\n");
    assert_non_null(first);
    assert_null(strstr(first + 1, "nopsnap_site_snapshots{"));
    assert_null(strstr((const char *)out.data, "_duration_seconds{")); /* of what never was */
    buffer_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(told__has_a_cause_of_words_and_every_trouble_in_a_line),
        cmocka_unit_test(told__is_a_success_only_where_the_snapshot_counts_as_good),
        folder_test(run__leaves_a_later_step_to_the_next_run_when_somebody_is_in_the_way),
        cmocka_unit_test(metrics__are_of_this_host_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
