/* What verify finds, names, remembers and forgets. */
#include "maintain_support.h"

static void verify__a_good_catalogue_is_good_and_everything_was_read(void **state)
{
    struct shop shop = SHOP_SMALL;
    struct snapshot_record record;
    struct verify_report report;
    struct error err = ERROR_INIT;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    assert_int_equal(verify(cat, true, &report, &err), OK);
    assert_int_equal(report.snapshots, 1);
    assert_int_equal(report.packs, report.packs_read);
    assert_true(report.bytes_read > shop.big + shop.dump);
    assert_true(report.chunks > shop.folders * shop.files / 2);
    verify_report_release(&report);
    snapshot_record_release(&record);
    catalog_close(cat);
}

static void verify__a_damaged_frame_is_named_with_snapshot_and_files(void **state)
{
    struct shop shop = {.seed = 1, .folders = 3, .files = 8};
    struct snapshot_record record;
    struct verify_report report;
    struct error err = ERROR_INIT;
    char path[128];
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    pack_file_of(cat, &record.roots[0].tree, path);
    catalog_close(cat);
    cat = open_catalog(CATALOG_READ);                        /* as the command opens it */
    flip(path, 128 + 32 + 40, 1);                            /* in the first frame's bytes */
    assert_int_equal(verify(cat, false, &report, &err), OK); /* the structure is whole */
    verify_report_release(&report);
    assert_int_equal(verify(cat, true, &report, &err), ERR_CORRUPT);
    assert_int_equal(report.damage.count, 1);
    assert_non_null(strstr(report.damage.items[0], "packs/"));
    assert_true(report.touched.count > 0);
    assert_non_null(strstr(report.touched.items[0], "site/"));
    assert_int_equal(strncmp(report.touched.items[0] + strlen("snapshot "), record.id, 12), 0);
    verify_report_release(&report);
    assert_true(catalog_damaged(cat));
    catalog_close(cat);

    /* The same bytes again: a passing fault, and forgotten. */
    flip(path, 128 + 32 + 40, 1);
    cat = open_catalog(CATALOG_READ);
    assert_verified(cat);
    assert_false(catalog_damaged(cat));
    catalog_close(cat);
    snapshot_record_release(&record);
}

static void snapshot_verify__reads_what_this_one_reaches(void **state)
{
    struct shop shop = {.seed = 1, .folders = 3, .files = 8};
    struct shop other = {.seed = 2, .folders = 3, .files = 8};
    struct snapshot_record record;
    struct snapshot_record apart;
    struct error err = ERROR_INIT;
    char path[128];
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    take(cat, &other, &apart);
    assert_int_equal(snapshot_verify(cat, &apart, NULL, &err), OK);
    pack_file_of(cat, &apart.roots[0].tree, path);
    flip(path, 128 + 32 + 40, 1);
    catalog_close(cat);
    cat = open_catalog(CATALOG_WRITE);
    assert_int_equal(snapshot_verify(cat, &apart, NULL, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "reading snapshot"));
    error_clear(&err);
    assert_int_equal(snapshot_verify(cat, &record, NULL, &err), OK);
    assert_true(catalog_damaged(cat)); /* remembered: the next snapshot stores it anew */
    snapshot_record_release(&record);
    snapshot_record_release(&apart);
    catalog_close(cat);
}

static void verify__a_new_snapshot_repairs_what_was_found_damaged(void **state)
{
    struct prune_report pruned = {0};
    struct shop shop = {.seed = 1, .folders = 3, .files = 8};
    struct snapshot_record record, again;
    struct verify_report report;
    struct error err = ERROR_INIT;
    char path[128];
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    pack_file_of(cat, &record.roots[0].tree, path);
    flip(path, 128 + 32 + 40, 1);
    assert_int_equal(verify(cat, true, &report, &err), ERR_CORRUPT);
    verify_report_release(&report);
    catalog_close(cat);
    cat = open_catalog(CATALOG_WRITE);
    take(cat, &shop, &again);
    assert_all_good(cat, &shop, &again);
    assert_all_good(cat, &shop, &record); /* the old one is whole again too: the same ids */
    /* What can't be read lies in its pack still, but is nobody's loss. */
    assert_false(catalog_damaged(cat));
    assert_int_equal(verify(cat, true, &report, &err), OK);
    assert_int_equal(report.healed, 1);
    assert_false(catalog_damaged(cat));
    verify_report_release(&report);
    /* The next prune gets rid of it, however little of the pack that is. */
    assert_int_equal(catalog_prune(cat, &(struct prune_options){.max_unused_percent = 100}, NULL, &pruned, &err), OK);
    assert_int_equal(pruned.packs_rewritten, 1);
    assert_int_equal(verify(cat, true, &report, &err), OK);
    assert_int_equal(report.healed, 0);
    verify_report_release(&report);
    assert_all_good(cat, &shop, &again);
    assert_all_good(cat, &shop, &record);
    snapshot_record_release(&record);
    snapshot_record_release(&again);
    catalog_close(cat);
}

/* Damage in what only a forgotten snapshot needed goes with the next prune, whatever share of its pack that is; what is needed stays where it is. */
static void prune__rewrites_a_pack_whose_damage_nothing_needs(void **state)
{
    struct shop shop = SHOP_SMALL;
    struct snapshot_record record, again;
    struct error err = ERROR_INIT;
    struct stat st;
    const char *id;
    char path[128];
    unsigned rid = 0, kept = 0;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    pack_file_of(cat, &record.roots[0].tree, path);
    shop.version = 1;
    take(cat, &shop, &again);
    id = record.id;
    assert_int_equal(snapshot_forget(cat, &id, 1, &err), OK);
    catalog_close(cat);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(system("cp -r cat good"), 0);
    for (long at = 200; at < st.st_size - 65536; at += st.st_size / 24) {
        struct verify_report report;
        struct prune_report pruned = {0};

        flip(path, at, 1);
        cat = open_catalog(CATALOG_WRITE);
        assert_int_equal(verify(cat, true, &report, &err), ERR_CORRUPT);
        verify_report_release(&report);
        error_clear(&err);
        /* A tree that can't be read is a refusal: what it needs is not known. */
        if (catalog_prune(cat, &(struct prune_options){.max_unused_percent = 100}, NULL, &pruned, &err) == OK &&
            pruned.packs_rewritten == 1) {
            assert_verified(cat);
            assert_false(catalog_damaged(cat));
            assert_all_good(cat, &shop, &again);
            rid++;
        } else {
            assert_true(catalog_damaged(cat));
            assert_int_equal(access(path, F_OK), 0);
            kept++;
        }
        error_clear(&err);
        catalog_close(cat);
        assert_int_equal(system("rm -r cat && cp -r good cat"), 0);
    }
    assert_true(rid > 0 && kept > 0);
    snapshot_record_release(&record);
    snapshot_record_release(&again);
}

static void verify__each_part_of_a_pack_is_looked_at(void **state)
{
    static const long places[] = {20, -40, -80, -150}; /* header, trailer, footer */
    struct shop shop = {.seed = 1, .folders = 2, .files = 5};
    struct snapshot_record record;
    char path[128];
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    pack_file_of(cat, &record.roots[0].tree, path);
    catalog_close(cat);
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
        struct verify_report report;
        struct error err = ERROR_INIT;

        flip(path, places[i], 4);
        cat = open_catalog(CATALOG_WRITE);
        assert_int_equal(verify(cat, false, &report, &err), ERR_CORRUPT);
        assert_true(report.damage.count > 0 && report.touched.count > 0);
        verify_report_release(&report);
        catalog_close(cat);
        flip(path, places[i], 4);
    }
    cat = open_catalog(CATALOG_WRITE);
    assert_verified(cat);
    catalog_close(cat);
    snapshot_record_release(&record);
}

static int64_t packs_remembered(struct catalog *cat)
{
    struct index_statement *st = NULL;
    struct error err = ERROR_INIT;
    bool row = false;
    int64_t count;

    assert_int_equal(index_prepare(cat->index, "SELECT count(*) FROM checks", &st, &err), OK);
    assert_int_equal(index_step(st, &row, &err), OK);
    count = index_number(st, 0);
    index_finish(st);
    return count;
}

static void verify__a_part_each_time_reaches_everything_oldest_first(void **state)
{
    struct shop shop = {.seed = 1, .folders = 1, .files = 4, .dump = 300000};
    struct verify_options options = {.read_data = true, .per_million = 300000};
    struct snapshot_record record;
    struct verify_report report;
    struct error err = ERROR_INIT;
    struct catalog *cat = open_catalog(CATALOG_WRITE);
    uint64_t read = 0, packs = 0;
    unsigned rounds = 0;
    int64_t oldest = 0;

    (void)state;
    for (shop.seed = 1; shop.seed <= 8; shop.seed++) {
        take(cat, &shop, &record);
        snapshot_record_release(&record);
    }
    catalog_close(cat);
    do {
        cat = open_catalog(CATALOG_READ); /* as the command opens it */
        assert_int_equal(catalog_verify(cat, &options, NULL, &report, &err), OK);
        assert_true(report.packs_read > 0 && report.packs_read < report.packs);
        read += report.packs_read;
        packs = report.packs;
        oldest = report.oldest_unread_ns;
        verify_report_release(&report);
        rounds++;
        assert_int_equal(packs_remembered(cat), read < packs ? read : packs); /* none twice before all were read */
        catalog_close(cat);
    } while (read < packs && rounds < 20);
    assert_in_range(rounds, 3, 8);
    assert_true(oldest > 0);
    /* By time: after a round nothing is due, and all of it once the time is over. */
    options = (struct verify_options){.read_data = true, .within_ms = 3600000, .interval_ms = 10000};
    cat = open_catalog(CATALOG_READ);
    assert_int_equal(catalog_verify(cat, &options, NULL, &report, &err), OK);
    assert_int_equal(report.packs_read, 0);
    verify_report_release(&report);
    options.interval_ms = options.within_ms;
    assert_int_equal(catalog_verify(cat, &options, NULL, &report, &err), OK);
    assert_int_equal(report.packs_read, packs);
    assert_false(report.out_of_time);
    verify_report_release(&report);
    catalog_close(cat);
}

/* P11: marks take memory by a row's number, so one of an enormous number is refused and not believed. */
static void verify__an_enormous_row_number_costs_no_memory(void **state)
{
    struct shop shop = {.seed = 1, .folders = 2, .files = 5};
    struct snapshot_record record;
    struct verify_report report;
    struct error err = ERROR_INIT;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    assert_int_equal(index_run(cat->index, "UPDATE chunks SET row = 800000000 + row", &err), OK);
    assert_int_equal(verify(cat, false, &report, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "table chunks is damaged"));
    verify_report_release(&report);
    snapshot_record_release(&record);
    catalog_close(cat);
}

static void verify__a_budget_of_time_is_kept(void **state)
{
    struct shop shop = {.seed = 1, .folders = 1, .files = 4, .big = 20000000};
    struct verify_options options = {.read_data = true, .budget_ms = 1};
    struct snapshot_record record;
    struct verify_report report;
    struct error err = ERROR_INIT;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    assert_int_equal(catalog_verify(cat, &options, NULL, &report, &err), OK);
    assert_true(report.bytes_read < shop.big);
    assert_true(report.out_of_time);
    verify_report_release(&report);
    snapshot_record_release(&record);
    catalog_close(cat);
}

static void verify__a_pack_that_is_gone_is_damage_with_the_hint_to_rebuild(void **state)
{
    struct shop shop = {.seed = 1, .folders = 2, .files = 5};
    struct snapshot_record record;
    struct verify_report report;
    struct error err = ERROR_INIT;
    char path[128];
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    pack_file_of(cat, &record.roots[0].tree, path);
    catalog_close(cat);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(catalog_open("cat", CATALOG_WRITE, 0, &cat, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.hint, "rebuild"));
    cat = open_catalog(CATALOG_READ);
    error_clear(&err);
    assert_int_equal(verify(cat, false, &report, &err), ERR_CORRUPT);
    assert_true(report.touched.count > 0);
    verify_report_release(&report);
    catalog_close(cat);
    snapshot_record_release(&record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(verify__a_good_catalogue_is_good_and_everything_was_read),
        folder_test(verify__a_damaged_frame_is_named_with_snapshot_and_files),
        folder_test(snapshot_verify__reads_what_this_one_reaches),
        folder_test(verify__a_new_snapshot_repairs_what_was_found_damaged),
        folder_test(prune__rewrites_a_pack_whose_damage_nothing_needs),
        folder_test(verify__each_part_of_a_pack_is_looked_at),
        folder_test(verify__a_part_each_time_reaches_everything_oldest_first),
        folder_test(verify__an_enormous_row_number_costs_no_memory),
        folder_test(verify__a_budget_of_time_is_kept),
        folder_test(verify__a_pack_that_is_gone_is_damage_with_the_hint_to_rebuild),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
