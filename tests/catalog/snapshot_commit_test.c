/* What it takes for a snapshot to be there (P4, C2). */
#include "record_internal.h"
#include "shop_fixture.h"

#include "test_support.h"

#define SITE "00112233445566aa"

static struct catalog *open_catalog(enum catalog_mode mode)
{
    struct error err = ERROR_INIT;
    struct catalog *cat = NULL;

    if (access("cat/format.json", F_OK) != 0 && catalog_init("cat", &err) != OK)
        fail_msg("%s", err.text);
    if (catalog_open("cat", mode, 1000, &cat, &err) != OK)
        fail_msg("%s", err.text);
    return cat;
}

static void take(struct catalog *cat, const struct shop *shop, struct snapshot_record *record)
{
    struct error err = ERROR_INIT;

    if (shop_snapshot(cat, shop, SITE, record, &err) != OK)
        fail_msg("%s", err.text);
}

static void assert_all_good(struct catalog *cat, const struct shop *shop, const struct snapshot_record *record)
{
    struct shop_check check;
    struct error err = ERROR_INIT;

    if (shop_check(cat, shop, record, &check, &err) != OK)
        fail_msg("%s", err.text);
    if (check.damaged)
        fail_msg("%s", check.first);
    assert_int_equal(check.wrong, 0);
    assert_true(check.good >= shop->folders * shop->files);
}

static void snapshot__comes_back_byte_for_byte(void **state)
{
    struct shop shop = SHOP_SMALL;
    struct snapshot_record record, found = SNAPSHOT_RECORD_INIT;
    struct error err = ERROR_INIT;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    catalog_close(cat);
    cat = open_catalog(CATALOG_READ);
    assert_int_equal(snapshot_find(cat, SITE, "latest", &found, &err), OK);
    assert_string_equal(found.id, record.id);
    assert_string_equal(found.site_path, "/srv/shop");
    assert_all_good(cat, &shop, &found);
    catalog_close(cat);
    snapshot_record_release(&record);
    snapshot_record_release(&found);
}

static void snapshot__that_reaches_a_missing_chunk_is_not_committed(void **state)
{
    struct shop shop = SHOP_SMALL;
    struct snapshot_record record, other = SNAPSHOT_RECORD_INIT;
    struct error err = ERROR_INIT;
    struct store *store = NULL;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    assert_int_equal(store_begin(cat, NULL, &store, &err), OK);
    record.dump.hash[3] ^= 1;
    record.id[0] = '\0';
    assert_int_equal(snapshot_commit(store, &record, &err), ERR_CORRUPT);
    assert_string_equal(record.id, "");
    assert_non_null(strstr(err.text, "not in the catalogue"));
    store_free(store);
    error_clear(&err);
    assert_int_equal(snapshot_find(cat, SITE, "latest", &other, &err), OK); /* the first one alone */
    assert_int_not_equal(memcmp(&other.dump, &record.dump, sizeof(other.dump)), 0);
    catalog_close(cat);
    snapshot_record_release(&record);
    snapshot_record_release(&other);
}

static void snapshot__that_reaches_damage_is_not_committed(void **state)
{
    struct shop shop = SHOP_SMALL;
    struct snapshot_record record;
    struct error err = ERROR_INIT;
    struct store *store = NULL;
    struct catalog *cat = open_catalog(CATALOG_WRITE);
    struct chunk_row row;
    bool found = false;

    (void)state;
    take(cat, &shop, &record);
    assert_int_equal(index_chunk_find(cat->index, &record.roots[0].tree, &row, &found, &err), OK);
    assert_true(found);
    assert_int_equal(index_damage_add(cat->index, row.pack, row.frame, "a test", &err), OK);
    assert_int_equal(store_begin(cat, NULL, &store, &err), OK);
    record.id[0] = '\0';
    assert_int_equal(snapshot_commit(store, &record, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "damaged"));
    store_free(store);
    catalog_close(cat);
    snapshot_record_release(&record);
}

static enum error_kind remember(void *arg, const struct snapshot_row *row, struct error *err)
{
    char *order = arg;

    (void)err;
    memcpy(order + strlen(order), row->id, 4);
    return OK;
}

static void snapshot_rows__are_newest_first_and_of_the_site_asked_for(void **state)
{
    struct shop shop = {.seed = 3, .folders = 1, .files = 3};
    struct snapshot_record a, b, c;
    struct error err = ERROR_INIT;
    char order[64] = "", expected[64] = "";
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &a);
    shop.version = 1;
    take(cat, &shop, &b);
    assert_int_equal(shop_snapshot(cat, &shop, "ffffffffffffffff", &c, &err), OK);
    assert_int_equal(snapshot_row_each(cat, SITE, remember, order, &err), OK);
    memcpy(expected, b.id, 4);
    memcpy(expected + 4, a.id, 4);
    assert_string_equal(order, expected);
    snapshot_record_release(&a);
    snapshot_record_release(&b);
    snapshot_record_release(&c);
    catalog_close(cat);
}

static void snapshot_rows__a_row_that_vanished_is_damage(void **state)
{
    struct shop shop = {.seed = 3, .folders = 1, .files = 3};
    struct snapshot_record record;
    struct error err = ERROR_INIT;
    char order[64] = "";
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    assert_int_equal(index_run(cat->index, "DELETE FROM snapshots", &err), OK);
    assert_int_equal(snapshot_row_each(cat, SITE, remember, order, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.hint, "rebuild"));
    snapshot_record_release(&record);
    catalog_close(cat);
}

static void snapshot_rows__a_changed_row_is_damage(void **state)
{
    struct shop shop = {.seed = 3, .folders = 1, .files = 3};
    struct snapshot_record record, found = SNAPSHOT_RECORD_INIT;
    struct error err = ERROR_INIT;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    assert_int_equal(index_run(cat->index, "UPDATE snapshots SET files = files + 1", &err), OK);
    assert_int_equal(snapshot_find(cat, SITE, "latest", &found, &err), ERR_CORRUPT);
    snapshot_record_release(&record);
    catalog_close(cat);
}

static void snapshot_find__takes_a_prefix_and_refuses_nonsense(void **state)
{
    struct shop shop = {.seed = 3, .folders = 1, .files = 3};
    struct snapshot_record record, found = SNAPSHOT_RECORD_INIT;
    struct error err = ERROR_INIT;
    char prefix[9] = "";
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    assert_int_equal(snapshot_find(cat, SITE, "latest", &found, &err), ERR_NOT_FOUND);
    take(cat, &shop, &record);
    memcpy(prefix, record.id, 8);
    assert_int_equal(snapshot_find(cat, NULL, prefix, &found, &err), OK);
    snapshot_record_release(&found);
    assert_int_equal(snapshot_find(cat, NULL, "abc", &found, &err), ERR_USAGE);
    assert_int_equal(snapshot_find(cat, NULL, "../../etc", &found, &err), ERR_USAGE);
    prefix[7] = prefix[7] == '0' ? '1' : '0';
    assert_int_equal(snapshot_find(cat, NULL, prefix, &found, &err), ERR_NOT_FOUND);
    snapshot_record_release(&record);
    catalog_close(cat);
}

static enum error_kind add_up(void *arg, bool first, unsigned root, const char *path, struct error *err)
{
    char *all = arg;

    (void)err;
    sprintf(all + strlen(all), "%s%u:%s ", first ? "|" : "", root, path);
    return OK;
}

static void links__come_back_in_groups(void **state)
{
    struct shop shop = {.seed = 3, .folders = 2, .files = 3};
    struct snapshot_record record;
    struct error err = ERROR_INIT;
    char all[256] = "";
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    assert_int_equal(links_each(cat, &record, add_up, all, &err), OK);
    assert_string_equal(all, "|0:folder000/file0001.txt 0:folder001/file0002.txt ");
    snapshot_record_release(&record);
    catalog_close(cat);
}

static enum error_kind count_links(void *arg, bool first, unsigned root, const char *path, struct error *err)
{
    size_t *counts = arg;

    (void)root;
    (void)path;
    (void)err;
    counts[0] += first;
    counts[1]++;
    return OK;
}

static void links__a_group_longer_than_a_chunk_stays_one_group(void **state)
{
    enum { PATHS = 30000 };
    struct snapshot_record record = SNAPSHOT_RECORD_INIT;
    struct links_builder *b = NULL;
    struct store *store = NULL;
    struct error err = ERROR_INIT;
    unsigned char *roots = calloc(PATHS, 1);
    char **paths = calloc(PATHS, sizeof(*paths));
    size_t counts[2] = {0, 0};
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    for (size_t i = 0; i < PATHS; i++)
        assert_true(asprintf(&paths[i], "some/long/enough/path/to/a/linked/file/which/counts/bytes/%06zu", i) > 0);
    record.root_count = 1;
    assert_int_equal(store_begin(cat, NULL, &store, &err), OK);
    assert_int_equal(links_builder_new(store, &b, &err), OK);
    assert_int_equal(links_builder_group(b, roots, (const char *const *)paths, PATHS, &err), OK);
    assert_int_equal(links_builder_group(b, roots, (const char *const *)paths, 2, &err), OK);
    assert_int_equal(links_builder_end(b, &record, &err), OK);
    assert_int_equal(store_flush(store, &err), OK);
    assert_true(record.link_count > 1);
    assert_int_equal(links_each(cat, &record, count_links, counts, &err), OK);
    assert_int_equal(counts[0], 2);
    assert_int_equal(counts[1], PATHS + 2);
    links_builder_free(b);
    store_free(store);
    catalog_close(cat);
    snapshot_record_release(&record);
    for (size_t i = 0; i < PATHS; i++)
        free(paths[i]);
    free(paths);
    free(roots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(snapshot__comes_back_byte_for_byte),
        folder_test(snapshot__that_reaches_a_missing_chunk_is_not_committed),
        folder_test(snapshot__that_reaches_damage_is_not_committed),
        folder_test(snapshot_rows__are_newest_first_and_of_the_site_asked_for),
        folder_test(snapshot_rows__a_row_that_vanished_is_damage),
        folder_test(snapshot_rows__a_changed_row_is_damage),
        folder_test(snapshot_find__takes_a_prefix_and_refuses_nonsense),
        folder_test(links__come_back_in_groups),
        folder_test(links__a_group_longer_than_a_chunk_stays_one_group),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
