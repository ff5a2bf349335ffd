/* What scheduled work did: newest first, bounded, through a rebuild. */
#include "run_log.h"

#include "maintain_internal.h"
#include "maintain_support.h"

#define OTHER "bbbbbbbbbbbbbbbb"

struct seen {
    int count, status;
    int64_t started;
    char facts[128];
};

static enum error_kind see(void *arg, const struct run_entry *entry, struct error *err)
{
    struct seen *s = arg;

    (void)err;
    if (s->count++ == 0) { /* the newest */
        s->status = entry->status;
        s->started = entry->started_ns;
        snprintf(s->facts, sizeof(s->facts), "%s", entry->facts);
    }
    return OK;
}

static struct seen look(struct catalog *cat, const char *site, const char *kind, int64_t limit)
{
    struct seen s = {0};
    struct error err = ERROR_INIT;

    assert_int_equal(catalog_run_each(cat, site, kind, limit, see, &s, &err), OK);
    return s;
}

static void add(struct catalog *cat, const char *site, const char *kind, int64_t started, int status, const char *facts)
{
    struct run_entry entry = {started, started + 5, site, kind, status, facts};
    struct error err = ERROR_INIT;

    assert_int_equal(catalog_run_add(cat, &entry, &err), OK);
}

static void run_log__newest_first_by_site_and_kind(void **state)
{
    struct catalog *cat = open_catalog(CATALOG_WRITE);
    struct seen good = {0};
    struct error err = ERROR_INIT;

    (void)state;
    add(cat, SITE, "run", 100, 0, "{\"steps\":1}");
    add(cat, SITE, "drill", 200, 7, NULL);
    add(cat, OTHER, "run", 300, 1, NULL);
    add(cat, SITE, "run", 50, 3, "{\"steps\":2}"); /* the clock was set back: still the newest */
    assert_int_equal(look(cat, SITE, "run", 10).count, 2);
    assert_int_equal(look(cat, SITE, "run", 1).count, 1);
    assert_int_equal(look(cat, SITE, "run", 10).status, 3);
    assert_int_equal(look(cat, SITE, "run", 10).started, 50);
    assert_non_null(strstr(look(cat, SITE, "run", 10).facts, "\"steps\":2"));
    assert_int_equal(look(cat, NULL, "run", 10).count, 3);
    assert_int_equal(look(cat, SITE, "drill", 10).status, 7);
    /* However often it failed since. */
    assert_int_equal(catalog_run_good(cat, SITE, "drill", see, &good, &err), OK);
    assert_int_equal(good.count, 0);
    add(cat, SITE, "drill", 400, 3, NULL);
    add(cat, OTHER, "drill", 450, 0, NULL);
    for (int i = 0; i < 60; i++)
        add(cat, SITE, "drill", 500 + i, 1, NULL);
    assert_int_equal(catalog_run_good(cat, SITE, "drill", see, &good, &err), OK);
    assert_int_equal(good.count, 1);
    assert_int_equal(good.started, 400);
    catalog_close(cat);
}

static void run_log__facts_must_be_an_object(void **state)
{
    struct run_entry entry = {1, 2, SITE, "run", 0, "[1]"};
    struct error err = ERROR_INIT;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    assert_int_equal(catalog_run_add(cat, &entry, &err), ERR_CORRUPT);
    assert_int_equal(look(cat, SITE, "run", 10).count, 0);
    catalog_close(cat);
}

static void run_log__keeps_a_bounded_number_of_each(void **state)
{
    struct error err = ERROR_INIT;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    add(cat, SITE, "drill", 1, 0, NULL);
    add(cat, OTHER, "run", 1, 0, NULL);
    /* Each of these rows is damaged, which nobody sees once it is trimmed. */
    assert_int_equal(index_run(cat->index,
                               "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
                               " INSERT INTO history (moment, site, what, status, sum) SELECT i, '" SITE
                               "', 'run', 0, 1 FROM n",
                               &err),
                     OK);
    assert_int_equal(index_sync_commits(cat->index, false, &err), OK);
    add(cat, SITE, "run", 7, 0, NULL);
    assert_int_equal(look(cat, SITE, "run", 1).started, 7);
    assert_int_equal(look(cat, SITE, "drill", 10).count, 1);
    assert_int_equal(look(cat, OTHER, "run", 10).count, 1);
    assert_int_equal(index_run(cat->index, "DELETE FROM history WHERE moment <= 20000 - 9998 AND sum = 1", &err), OK);
    assert_int_equal(index_changes(cat->index), 1); /* of 20,001 rows 10,000 were left: the new one and 9,999 */
    catalog_close(cat);
}

static void run_log__survives_a_rebuild(void **state)
{
    struct shop shop = {.seed = 2, .folders = 1, .files = 2};
    struct snapshot_record record;
    struct text_list report = TEXT_LIST_INIT;
    struct error err = ERROR_INIT;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    add(cat, SITE, "run", 100, 3, "{\"steps\":4}");
    catalog_close(cat);
    assert_int_equal(catalog_rebuild("cat", NULL, &report, &err), OK);
    text_list_release(&report);
    cat = open_catalog(CATALOG_WRITE);
    assert_int_equal(look(cat, SITE, "run", 10).started, 100);
    assert_int_equal(look(cat, SITE, "run", 10).status, 3);
    snapshot_record_release(&record);
    catalog_close(cat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(run_log__newest_first_by_site_and_kind),
        folder_test(run_log__facts_must_be_an_object),
        folder_test(run_log__keeps_a_bounded_number_of_each),
        folder_test(run_log__survives_a_rebuild),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
