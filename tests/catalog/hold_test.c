/* Holds, releases, forgets, acceptances: records that shadow rows. */
#include "maintain_internal.h"
#include "maintain_support.h"

static struct catalog *with_snapshot(struct snapshot_record *record)
{
    struct shop shop = {.seed = 1, .folders = 1, .files = 3};
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    take(cat, &shop, record);
    return cat;
}

static enum error_kind try_forget(struct catalog *cat, const char *id, struct error *err)
{
    const char *const ids[] = {id};

    error_clear(err);
    return snapshot_forget(cat, ids, 1, err);
}

static void hold__keeps_a_snapshot_from_being_forgotten(void **state)
{
    struct snapshot_record record;
    struct error err = ERROR_INIT;
    char id[33];
    struct catalog *cat = with_snapshot(&record);

    (void)state;
    assert_int_equal(snapshot_hold_add(cat, record.id, "audit 2026", true, 0, id, &err), OK);
    assert_true(record_id_valid(id));
    assert_int_equal(try_forget(cat, record.id, &err), ERR_REFUSED);
    assert_non_null(strstr(err.text, "audit 2026"));
    assert_non_null(strstr(err.hint, "release"));
    assert_int_equal(snapshot_hold_release(cat, record.id, true, &err), OK);
    assert_int_equal(try_forget(cat, record.id, &err), OK);
    snapshot_record_release(&record);
    catalog_close(cat);
}

static void hold__of_a_person_is_released_by_persons_only(void **state)
{
    struct snapshot_record record;
    struct error err = ERROR_INIT;
    char id[33];
    struct catalog *cat = with_snapshot(&record);

    (void)state;
    assert_int_equal(snapshot_hold_add(cat, record.id, "mine", true, 0, id, &err), OK);
    assert_int_equal(snapshot_hold_add(cat, record.id, "before upgrade", false, 0, id, &err), OK);
    assert_int_equal(snapshot_hold_release(cat, record.id, false, &err), OK); /* the automatic one */
    assert_int_equal(snapshot_hold_release(cat, record.id, false, &err), ERR_NOT_FOUND);
    assert_int_equal(try_forget(cat, record.id, &err), ERR_REFUSED);
    assert_non_null(strstr(err.text, "mine"));
    snapshot_record_release(&record);
    catalog_close(cat);
}

static void hold__whose_end_has_come_holds_nothing(void **state)
{
    struct snapshot_record record;
    struct error err = ERROR_INIT;
    char id[33];
    struct catalog *cat = with_snapshot(&record);

    (void)state;
    assert_int_equal(snapshot_hold_add(cat, record.id, "for a moment", false, clock_now() - 1, id, &err), OK);
    assert_int_equal(try_forget(cat, record.id, &err), OK);
    snapshot_record_release(&record);
    catalog_close(cat);
}

static enum error_kind is_held(void *arg, const struct snapshot_row *row, struct error *err)
{
    (void)err;
    *(bool *)arg = row->held;
    return OK;
}

static void hold__shows_in_the_row(void **state)
{
    struct snapshot_record record;
    struct error err = ERROR_INIT;
    bool held = true;
    char id[33];
    struct catalog *cat = with_snapshot(&record);

    (void)state;
    assert_int_equal(snapshot_row_each(cat, SITE, is_held, &held, &err), OK);
    assert_false(held);
    assert_int_equal(snapshot_hold_add(cat, record.id, "x", true, 0, id, &err), OK);
    assert_int_equal(snapshot_row_each(cat, SITE, is_held, &held, &err), OK);
    assert_true(held);
    snapshot_record_release(&record);
    catalog_close(cat);
}

static void hold__on_no_snapshot_is_not_found_and_leaves_nothing(void **state)
{
    struct snapshot_record record;
    struct error err = ERROR_INIT;
    char id[33];
    struct catalog *cat = with_snapshot(&record);
    size_t packs = count_files(".pack");

    (void)state;
    assert_int_equal(snapshot_hold_add(cat, "0123456789abcdef0123456789abcdef", "x", true, 0, id, &err), ERR_NOT_FOUND);
    assert_int_equal(count_files(".pack"), packs);
    assert_int_equal(count_files(".part"), 0);
    snapshot_record_release(&record);
    catalog_close(cat);
}

static void hold__a_row_that_vanished_is_damage_and_does_not_free_the_snapshot(void **state)
{
    struct snapshot_record record;
    struct error err = ERROR_INIT;
    char id[33];
    struct catalog *cat = with_snapshot(&record);

    (void)state;
    assert_int_equal(snapshot_hold_add(cat, record.id, "x", true, 0, id, &err), OK);
    assert_int_equal(index_run(cat->index, "DELETE FROM holds", &err), OK);
    assert_int_equal(try_forget(cat, record.id, &err), ERR_CORRUPT);
    snapshot_record_release(&record);
    catalog_close(cat);
}

static void forget__of_several_is_all_or_nothing(void **state)
{
    struct shop shop = {.seed = 2, .folders = 1, .files = 3};
    struct snapshot_record a, b, found = SNAPSHOT_RECORD_INIT;
    struct error err = ERROR_INIT;
    char id[33];
    struct catalog *cat = with_snapshot(&a);
    const char *ids[2];

    (void)state;
    take(cat, &shop, &b);
    assert_int_equal(snapshot_hold_add(cat, b.id, "x", true, 0, id, &err), OK);
    ids[0] = a.id;
    ids[1] = b.id;
    assert_int_equal(snapshot_forget(cat, ids, 2, &err), ERR_REFUSED);
    assert_int_equal(snapshot_find(cat, NULL, a.id, &found, &err), OK);
    snapshot_record_release(&found);
    snapshot_record_release(&a);
    snapshot_record_release(&b);
    catalog_close(cat);
}

static enum error_kind is_suspicious(void *arg, const struct snapshot_record *record, struct error *err)
{
    (void)err;
    *(bool *)arg = record->suspicious;
    return OK;
}

static void accept__clears_a_suspicion_in_row_and_record_and_through_a_rebuild(void **state)
{
    struct snapshot_record record;
    struct store *store = NULL;
    struct text_list report = TEXT_LIST_INIT;
    struct error err = ERROR_INIT;
    bool suspicious = false;
    struct catalog *cat = with_snapshot(&record);

    (void)state;
    record.suspicious = true;
    record.suspicion = strdup("half the products are gone");
    record.id[0] = '\0';
    record.made_ns++;
    assert_int_equal(store_begin(cat, NULL, &store, &err), OK);
    assert_int_equal(snapshot_commit(store, &record, &err), OK);
    store_free(store);
    for (int round = 0; round < 2; round++) {
        struct snapshot_record found = SNAPSHOT_RECORD_INIT;

        assert_int_equal(snapshot_find(cat, NULL, record.id, &found, &err), OK);
        assert_int_equal(is_suspicious(&suspicious, &found, &err), OK);
        assert_true(suspicious == (round == 0));
        snapshot_record_release(&found);
        if (round == 0)
            assert_int_equal(snapshot_accept(cat, record.id, &err), OK);
    }
    catalog_close(cat);
    assert_int_equal(unlink("cat/catalog.sqlite"), 0);
    assert_int_equal(catalog_rebuild("cat", NULL, &report, &err), OK);
    cat = open_catalog(CATALOG_READ);
    suspicious = true;
    assert_int_equal(snapshot_each(cat, SITE, is_suspicious, &suspicious, &err), OK);
    assert_false(suspicious);
    text_list_release(&report);
    snapshot_record_release(&record);
    catalog_close(cat);
}

struct orders {
    const char *first, *second;
    int64_t of_first, of_second;
};

static enum error_kind note_order(void *arg, const struct snapshot_row *row, struct error *err)
{
    struct orders *o = arg;

    (void)err;
    if (!strcmp(row->id, o->first))
        o->of_first = row->order;
    if (!strcmp(row->id, o->second))
        o->of_second = row->order;
    return OK;
}

/* The second is committed later, by a clock that was set back. After a rebuild nothing but the dates is known. */
static void order__is_that_of_commits_through_an_acceptance_and_of_dates_after_a_rebuild(void **state)
{
    struct snapshot_record record;
    struct store *store = NULL;
    struct text_list report = TEXT_LIST_INIT;
    struct error err = ERROR_INIT;
    char first[33];
    struct orders o = {.first = first, .second = record.id};
    struct catalog *cat = with_snapshot(&record);

    (void)state;
    memcpy(first, record.id, sizeof(first));
    for (int64_t back = 0; back < 2; back++) {
        record.suspicious = back == 0;
        memcpy(first, record.id, sizeof(first));
        record.id[0] = '\0';
        record.made_ns += 1000 - 1500 * back;
        assert_int_equal(store_begin(cat, NULL, &store, &err), OK);
        assert_int_equal(snapshot_commit(store, &record, &err), OK);
        store_free(store);
    }
    assert_int_equal(snapshot_accept(cat, first, &err), OK);
    assert_int_equal(snapshot_row_each(cat, NULL, note_order, &o, &err), OK);
    assert_true(o.of_first < o.of_second);
    catalog_close(cat);
    assert_int_equal(unlink("cat/catalog.sqlite"), 0);
    assert_int_equal(catalog_rebuild("cat", NULL, &report, &err), OK);
    cat = open_catalog(CATALOG_READ);
    assert_int_equal(snapshot_row_each(cat, NULL, note_order, &o, &err), OK);
    assert_true(o.of_first > o.of_second);
    text_list_release(&report);
    snapshot_record_release(&record);
    catalog_close(cat);
}

/* An acceptance that a crash left announced, and that was finished later: its record is there, its row's change is not. */
static void accept__record_without_its_row_is_applied(void **state)
{
    static const char save[] = "CREATE TEMP TABLE saved AS SELECT * FROM snapshots;"
                               "CREATE TEMP TABLE saved_meta AS SELECT * FROM meta";
    static const char back[] = "DELETE FROM snapshots; INSERT INTO snapshots SELECT * FROM saved;"
                               "INSERT OR REPLACE INTO meta SELECT * FROM saved_meta";
    struct snapshot_shadows rows = {NULL, 0, 0};
    struct snapshot_record record;
    struct store *store = NULL;
    struct book book = BOOK_INIT;
    struct error err = ERROR_INIT;
    struct catalog *cat = with_snapshot(&record);

    (void)state;
    record.suspicious = true;
    record.suspicion = strdup("half the products are gone");
    record.id[0] = '\0';
    record.made_ns++;
    assert_int_equal(store_begin(cat, NULL, &store, &err), OK);
    assert_int_equal(snapshot_commit(store, &record, &err), OK);
    store_free(store);
    assert_int_equal(index_run(cat->index, save, &err), OK);
    assert_int_equal(snapshot_accept(cat, record.id, &err), OK);
    assert_int_equal(index_run(cat->index, back, &err), OK);
    assert_int_equal(book_read(cat, &book, &err), OK);
    assert_int_equal(book_apply(cat, &book, &err), OK);
    book_release(&book);
    assert_int_equal(snapshot_shadows_read(cat->index, NULL, &rows, &err), OK);
    for (size_t i = 0; i < rows.count; i++)
        assert_false(rows.items[i].flags & SNAPSHOT_FLAG_SUSPICIOUS);
    snapshot_shadows_release(&rows);
    snapshot_record_release(&record);
    catalog_close(cat);
}

static void forget__row_with_a_wrong_checksum_is_damage(void **state)
{
    struct snapshot_record record;
    struct error err = ERROR_INIT;
    bool found = false;
    struct catalog *cat = with_snapshot(&record);

    (void)state;
    forget(cat, &record);
    assert_int_equal(tombstone_row_find(cat->index, record.id, &found, &err), OK);
    assert_true(found);
    assert_int_equal(index_run(cat->index, "UPDATE tombstones SET sum = sum + 1", &err), OK);
    assert_int_equal(tombstone_row_find(cat->index, record.id, &found, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.hint, "rebuild"));
    snapshot_record_release(&record);
    catalog_close(cat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(hold__keeps_a_snapshot_from_being_forgotten),
        folder_test(hold__of_a_person_is_released_by_persons_only),
        folder_test(hold__whose_end_has_come_holds_nothing),
        folder_test(hold__shows_in_the_row),
        folder_test(hold__on_no_snapshot_is_not_found_and_leaves_nothing),
        folder_test(hold__a_row_that_vanished_is_damage_and_does_not_free_the_snapshot),
        folder_test(forget__of_several_is_all_or_nothing),
        folder_test(accept__clears_a_suspicion_in_row_and_record_and_through_a_rebuild),
        folder_test(order__is_that_of_commits_through_an_acceptance_and_of_dates_after_a_rebuild),
        folder_test(accept__record_without_its_row_is_applied),
        folder_test(forget__row_with_a_wrong_checksum_is_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
