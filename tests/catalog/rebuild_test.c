/* The index can be lost (P7): rebuild brings back neither less nor more. */
#include "maintain_support.h"

static void rebuild(struct text_list *report)
{
    struct error err = ERROR_INIT;

    if (catalog_rebuild("cat", NULL, report, &err) != OK)
        fail_msg("%s", err.text);
}

static void assert_rebuilt_cleanly(void)
{
    struct text_list report = TEXT_LIST_INIT;

    rebuild(&report);
    if (report.count)
        fail_msg("%s", report.items[0]);
    text_list_release(&report);
}

static void lose_index(void)
{
    assert_int_equal(unlink("cat/catalog.sqlite"), 0);
    unlink("cat/catalog.sqlite-wal");
    unlink("cat/catalog.sqlite-shm");
}

static enum error_kind count_row(void *arg, const struct snapshot_row *row, struct error *err)
{
    (void)row;
    (void)err;
    ++*(size_t *)arg;
    return OK;
}

static size_t count_snapshots(struct catalog *cat)
{
    struct error err = ERROR_INIT;
    size_t count = 0;

    if (snapshot_row_each(cat, NULL, count_row, &count, &err) != OK)
        fail_msg("%s", err.text);
    return count;
}

static void rebuild__a_lost_index_comes_back_with_snapshots_holds_and_tombstones(void **state)
{
    struct shop a = SHOP_SMALL, b = {.seed = 2, .folders = 2, .files = 7}, c = {.seed = 3, .folders = 2, .files = 7};
    struct snapshot_record ra, rb, rc_, found = SNAPSHOT_RECORD_INIT;
    struct error err = ERROR_INIT;
    char hold[33];
    uint64_t generation;
    struct catalog *cat = open_catalog(CATALOG_WRITE);
    const char *held[1];

    (void)state;
    take(cat, &a, &ra);
    take(cat, &b, &rb);
    take(cat, &c, &rc_);
    forget(cat, &rb);
    assert_int_equal(snapshot_hold_add(cat, ra.id, "before upgrade 7", false, 0, hold, &err), OK);
    assert_int_equal(snapshot_hold_add(cat, rc_.id, "mine", true, 0, hold, &err), OK);
    assert_int_equal(snapshot_hold_release(cat, rc_.id, true, &err), OK);
    generation = catalog_generation(cat);
    catalog_close(cat);
    lose_index();
    assert_rebuilt_cleanly();

    cat = open_catalog(CATALOG_WRITE);
    assert_int_equal(count_snapshots(cat), 2);
    assert_true(catalog_generation(cat) >= generation);
    assert_int_equal(snapshot_find(cat, NULL, rb.id, &found, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "forgotten"));
    assert_all_good(cat, &a, &ra);
    assert_all_good(cat, &c, &rc_);
    held[0] = ra.id;
    assert_int_equal(snapshot_forget(cat, held, 1, &err), ERR_REFUSED);
    assert_non_null(strstr(err.text, "before upgrade 7"));
    held[0] = rc_.id;
    assert_int_equal(snapshot_forget(cat, held, 1, &err), OK); /* its hold was released */
    assert_verified(cat);
    catalog_close(cat);
    snapshot_record_release(&ra);
    snapshot_record_release(&rb);
    snapshot_record_release(&rc_);
}

static void rebuild__a_lost_format_json_is_made_again_from_a_pack(void **state)
{
    struct shop shop = SHOP_SMALL;
    struct snapshot_record record;
    struct error err = ERROR_INIT;
    struct text_list report = TEXT_LIST_INIT;
    struct catalog_format before;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    before = *catalog_format(cat);
    catalog_close(cat);
    lose_index();
    assert_int_equal(unlink("cat/format.json"), 0);
    assert_int_equal(catalog_open("cat", CATALOG_WRITE, 0, &cat, &err), ERR_CORRUPT);
    rebuild(&report);
    assert_int_equal(report.count, 1);
    assert_non_null(strstr(report.items[0], "format.json"));
    text_list_release(&report);
    cat = open_catalog(CATALOG_WRITE);
    assert_true(format_equal(&before, catalog_format(cat)));
    assert_all_good(cat, &shop, &record);
    snapshot_record_release(&record);
    catalog_close(cat);
}

static void rebuild__a_lost_format_json_is_not_guessed_from_a_stranger(void **state)
{
    struct shop shop = {.seed = 1, .folders = 2, .files = 5};
    struct snapshot_record record;
    struct error err = ERROR_INIT;
    struct text_list report = TEXT_LIST_INIT;
    struct catalog_format ours, theirs;
    char hex[33];
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    ours = *catalog_format(cat);
    catalog_close(cat);
    assert_int_equal(system("mv cat mine"), 0);
    cat = open_catalog(CATALOG_WRITE);
    snapshot_record_release(&record);
    take(cat, &shop, &record);
    theirs = *catalog_format(cat);
    catalog_close(cat);
    snapshot_record_release(&record);
    assert_int_equal(system("cp -r cat/packs/* mine/packs/ && mv cat theirs && mv mine cat && rm cat/format.json"), 0);
    assert_int_equal(catalog_rebuild("cat", NULL, &report, &err), ERR_REFUSED);
    hex_encode(ours.catalogue, sizeof(ours.catalogue), hex);
    assert_non_null(strstr(err.text, hex));
    hex_encode(theirs.catalogue, sizeof(theirs.catalogue), hex);
    assert_non_null(strstr(err.text, hex));
    assert_int_equal(access("cat/format.json", F_OK), -1);
    text_list_release(&report);

    assert_int_equal(system("(cd theirs/packs && find . -type f) | while read f; do rm cat/packs/$f; done"), 0);
    rebuild(&report);
    text_list_release(&report);
    cat = open_catalog(CATALOG_WRITE);
    assert_true(format_equal(&ours, catalog_format(cat)));
    assert_verified(cat);
    catalog_close(cat);
}

static int64_t ask(struct catalog *cat, const char *sql)
{
    struct index_statement *st = NULL;
    struct error err = ERROR_INIT;
    bool row = false;
    int64_t answer;

    assert_int_equal(index_prepare(cat->index, sql, &st, &err), OK);
    assert_int_equal(index_step(st, &row, &err), OK);
    answer = row ? index_number(st, 0) : -1;
    index_finish(st);
    return answer;
}

static void rebuild__damage_and_what_was_read_when_are_not_forgotten(void **state)
{
    struct shop shop = {.seed = 1, .folders = 2, .files = 5};
    struct snapshot_record record;
    struct verify_report verified;
    struct error err = ERROR_INIT;
    struct text_list report = TEXT_LIST_INIT;
    char path[128];
    int64_t newest;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    pack_file_of(cat, &record.roots[0].tree, path);
    flip(path, 128 + 32 + 40, 1);
    assert_int_equal(verify(cat, true, &verified, &err), ERR_CORRUPT);
    verify_report_release(&verified);
    newest = ask(cat, "SELECT max(moment) FROM checks");
    catalog_close(cat);
    rebuild(&report);
    text_list_release(&report);
    cat = open_catalog(CATALOG_WRITE);
    assert_int_equal(ask(cat, "SELECT count(*) FROM damage WHERE frame = 0"), 1);
    assert_int_equal(ask(cat, "SELECT max(moment) FROM checks"), newest);
    assert_int_equal(ask(cat, "SELECT count(*) FROM checks"), ask(cat, "SELECT count(*) FROM packs"));
    flip(path, 128 + 32 + 40, 1);
    assert_verified(cat); /* each note in order, and the damage forgotten as any other */
    assert_false(catalog_damaged(cat));
    snapshot_record_release(&record);
    catalog_close(cat);
}

static void rebuild__an_older_index_put_back_is_noticed_and_does_no_harm(void **state)
{
    struct shop shop = {.seed = 2, .folders = 2, .files = 7};
    struct snapshot_record first, second;
    struct error err = ERROR_INIT;
    uint64_t generation;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &first);
    catalog_close(cat);
    assert_int_equal(system("cp cat/catalog.sqlite old.sqlite"), 0);
    cat = open_catalog(CATALOG_WRITE);
    shop.version = 1;
    take(cat, &shop, &second);
    generation = catalog_generation(cat);
    catalog_close(cat);
    lose_index();
    assert_int_equal(system("cp old.sqlite cat/catalog.sqlite"), 0);
    assert_int_equal(catalog_open("cat", CATALOG_WRITE, 0, &cat, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.hint, "rebuild"));
    assert_rebuilt_cleanly();
    cat = open_catalog(CATALOG_WRITE);
    assert_int_equal(count_snapshots(cat), 2);
    assert_true(catalog_generation(cat) > generation);
    assert_all_good(cat, &shop, &second);
    shop.version = 0;
    assert_all_good(cat, &shop, &first);
    catalog_close(cat);
    snapshot_record_release(&first);
    snapshot_record_release(&second);
}

static void rebuild__a_record_that_is_gone_is_said(void **state)
{
    struct shop shop = SHOP_SMALL;
    struct snapshot_record record;
    struct error err = ERROR_INIT;
    struct text_list report = TEXT_LIST_INIT;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    assert_int_equal(system("find cat/packs -name '*.pack' | sort >before"), 0);
    forget(cat, &record);
    catalog_close(cat);
    assert_int_equal(system("find cat/packs -name '*.pack' | sort | comm -13 before - | xargs rm"), 0);
    assert_int_equal(catalog_rebuild("cat", NULL, &report, &err), OK);
    assert_int_equal(report.count, 1);
    assert_non_null(strstr(report.items[0], "is gone"));
    text_list_release(&report);
    snapshot_record_release(&record);
}

static void rebuild__frames_of_a_pack_without_footer_are_saved_by_what_the_old_index_proves(void **state)
{
    struct shop shop = SHOP_SMALL;
    struct snapshot_record record;
    struct text_list report = TEXT_LIST_INIT;
    char path[128];
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    pack_file_of(cat, &record.roots[0].tree, path);
    catalog_close(cat);
    flip(path, -20, 1); /* trailer: no footer to trust */
    rebuild(&report);
    assert_true(report.count >= 2);
    text_list_release(&report);
    cat = open_catalog(CATALOG_WRITE);
    assert_int_equal(count_snapshots(cat), 1);
    assert_all_good(cat, &shop, &record);
    snapshot_record_release(&record);
    catalog_close(cat);
}

static void rebuild__a_lost_data_pack_leaves_a_snapshot_that_says_so(void **state)
{
    struct shop shop = {.seed = 2, .folders = 2, .files = 7};
    struct snapshot_record record, again;
    struct text_list report = TEXT_LIST_INIT;
    struct verify_report verified;
    struct error err = ERROR_INIT;
    char path[128];
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    pack_file_of(cat, &record.roots[0].tree, path);
    catalog_close(cat);
    assert_int_equal(unlink(path), 0);
    rebuild(&report);
    assert_int_equal(report.count, 1);
    assert_non_null(strstr(report.items[0], "not whole"));
    text_list_release(&report);
    cat = open_catalog(CATALOG_WRITE);
    assert_int_equal(count_snapshots(cat), 1);
    assert_int_equal(verify(cat, false, &verified, &err), ERR_CORRUPT);
    assert_true(verified.touched.count > 0);
    verify_report_release(&verified);
    take(cat, &shop, &again); /* what is missing is stored anew, under the same ids */
    assert_all_good(cat, &shop, &record);
    assert_verified(cat);
    snapshot_record_release(&record);
    snapshot_record_release(&again);
    catalog_close(cat);
}

static enum error_kind last_data_pack(void *arg, const struct pack_row *row, struct error *err)
{
    char path[PACK_PATH_MAX];

    (void)err;
    pack_path(row->name, false, path);
    if (row->kind == PACK_DATA)
        snprintf(arg, 128, "cat/%s", path);
    return OK;
}

static void rebuild__of_two_copies_the_one_that_can_be_read_counts(void **state)
{
    struct shop shop = {.seed = 2, .folders = 2, .files = 7};
    struct snapshot_record record, again;
    struct verify_report verified;
    struct text_list report = TEXT_LIST_INIT;
    struct error err = ERROR_INIT;
    char old[128], young[128];
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    pack_file_of(cat, &record.roots[0].tree, old);
    flip(old, 128 + 32 + 40, 1);
    assert_int_equal(verify(cat, true, &verified, &err), ERR_CORRUPT);
    verify_report_release(&verified);
    catalog_close(cat);
    cat = open_catalog(CATALOG_WRITE);
    take(cat, &shop, &again); /* repairs: the same ids in a younger pack */
    assert_int_equal(index_pack_each(cat->index, last_data_pack, young, &err), OK);
    assert_string_not_equal(old, young);
    catalog_close(cat);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(unlink("cat/catalog.sqlite"), 0);
        assert_int_equal(catalog_rebuild("cat", NULL, &report, &err), OK);
        text_list_release(&report);
        cat = open_catalog(CATALOG_READ);
        assert_all_good(cat, &shop, &record);
        catalog_close(cat);
        flip(old, 128 + 32 + 40, 1); /* then the old one is good and the young one is not */
        flip(young, 128 + 32 + 40, 1);
    }
    snapshot_record_release(&record);
    snapshot_record_release(&again);
}

static void rebuild__history_survives(void **state)
{
    struct shop shop = {.seed = 2, .folders = 1, .files = 2};
    struct snapshot_record record;
    struct catalog_event event = {1, (char *)SITE, (char *)"snapshot", NULL, 0};
    struct error err = ERROR_INIT;
    struct index_statement *st = NULL;
    bool row = false;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    assert_int_equal(catalog_event_add(cat, &event, &err), OK);
    event.what = (char *)"prune";
    assert_int_equal(catalog_event_add(cat, &event, &err), OK);
    catalog_close(cat);
    assert_rebuilt_cleanly();
    cat = open_catalog(CATALOG_WRITE);
    assert_int_equal(
        index_prepare(cat->index, "SELECT group_concat(what) FROM (SELECT what FROM history ORDER BY row)", &st, &err),
        OK);
    assert_int_equal(index_step(st, &row, &err), OK);
    assert_string_equal(index_text(st, 0), "snapshot,prune");
    index_finish(st);
    snapshot_record_release(&record);
    catalog_close(cat);
}

static void rebuild__no_catalogue_is_not_found(void **state)
{
    struct text_list report = TEXT_LIST_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(catalog_rebuild("nothing", NULL, &report, &err), ERR_NOT_FOUND);
    assert_int_equal(mkdir("empty", 0700), 0);
    assert_int_equal(catalog_rebuild("empty", NULL, &report, &err), ERR_NOT_FOUND);
    assert_int_not_equal(access("empty/packs", F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(rebuild__a_lost_index_comes_back_with_snapshots_holds_and_tombstones),
        folder_test(rebuild__a_lost_format_json_is_made_again_from_a_pack),
        folder_test(rebuild__a_lost_format_json_is_not_guessed_from_a_stranger),
        folder_test(rebuild__damage_and_what_was_read_when_are_not_forgotten),
        folder_test(rebuild__an_older_index_put_back_is_noticed_and_does_no_harm),
        folder_test(rebuild__a_record_that_is_gone_is_said),
        folder_test(rebuild__frames_of_a_pack_without_footer_are_saved_by_what_the_old_index_proves),
        folder_test(rebuild__a_lost_data_pack_leaves_a_snapshot_that_says_so),
        folder_test(rebuild__of_two_copies_the_one_that_can_be_read_counts),
        folder_test(rebuild__history_survives),
        folder_test(rebuild__no_catalogue_is_not_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
