/*
 * What a shop's tables say of how it fares, the same for each engine. The file that includes this has shop_open(), which makes a fresh shop
 * and opens it, and shop_sql(), which runs standard SQL in it.
 */
#ifndef NOPSNAP_HEALTH_CASES_H
#define NOPSNAP_HEALTH_CASES_H

static struct database *shop_open(void);
static void shop_sql(const char *sql);

static void migrations__are_read_by_version_with_or_without_a_description(void **state)
{
    struct database *db = shop_open();
    struct database_migrations m = {NULL, 0};
    struct error err = ERROR_INIT;

    (void)state;
    shop_sql("INSERT INTO \"MigrationVersionInfo\" VALUES (637100000000000000, NULL, 'an older one')");
    assert_ok(database_migrations(db, &m, &err));
    assert_int_equal(m.count, 4);
    assert_true(m.items[0].version == 637100000000000000);
    assert_string_equal(m.items[1].description, "Nop.Data base schema");
    assert_string_equal(m.items[3].description, "");
    database_migrations_release(&m);
    database_close(db);
}

struct log_seen {
    int count;
    int64_t newest;
    int level;
    char message[64];
};

static enum error_kind see_row(void *arg, int64_t id, int level, const char *message, struct error *err)
{
    struct log_seen *s = arg;

    (void)err;
    if (s->count++ == 0) {
        s->newest = id;
        s->level = level;
        snprintf(s->message, sizeof s->message, "%s", message);
    }
    return OK;
}

static void log__is_read_above_a_number_a_moment_and_a_level(void **state)
{
    const int64_t march_2026 = 1772409600000000000; /* 2026-03-02 */
    struct database *db = shop_open();
    struct log_seen seen = {0, 0, 0, ""};
    struct error err = ERROR_INIT;
    int64_t last = 0;
    int64_t newest = 0;

    (void)state;
    assert_ok(database_log_last(db, &last, &err));
    assert_int_equal(last, 200);
    shop_sql(
        "INSERT INTO \"Log\" (\"ShortMessage\", \"LogLevelId\", \"CreatedOnUtc\") VALUES ('told', 20, '2026-04-01'), "
        "('fell over', 50, '2026-04-01'), ('went wrong', 40, '2026-04-01 00:00:01')");
    assert_ok(database_log(db, last, 0, 40, see_row, &seen, &err));
    assert_int_equal(seen.count, 2);
    assert_ok(database_log_last(db, &newest, &err));
    assert_true(seen.newest == newest && newest > last);
    assert_int_equal(seen.level, 40);
    assert_string_equal(seen.message, "went wrong");
    seen.count = 0;
    assert_ok(database_log(db, last, 0, 50, see_row, &seen, &err));
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.message, "fell over");
    seen.count = 0;
    assert_ok(database_log(db, -1, march_2026, 0, see_row, &seen, &err));
    assert_int_equal(seen.count, 3);
    seen.count = 0;
    assert_ok(database_log(db, -1, 0, 0, see_row, &seen, &err));
    assert_int_equal(seen.count, 203);
    database_close(db);
}

static enum error_kind fail_row(void *arg, int64_t id, int level, const char *message, struct error *err)
{
    (void)arg, (void)id, (void)level, (void)message;
    return error_set(err, ERR_REFUSED, 0, "enough");
}

static void log__a_failure_of_the_reader_ends_the_reading(void **state)
{
    struct database *db = shop_open();
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(database_log(db, -1, 0, 0, fail_row, NULL, &err), ERR_REFUSED);
    assert_non_null(strstr(err.text, "enough"));
    database_close(db);
}

static void slugs__are_active_of_the_default_language_and_published(void **state)
{
    struct database *db = shop_open();
    struct text_list slugs = TEXT_LIST_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    shop_sql(
        "UPDATE \"UrlRecord\" SET \"IsActive\" = '0' WHERE \"EntityId\" = 1; UPDATE \"UrlRecord\" SET \"LanguageId\" = 2 WHERE \"EntityId\" = 2; "
        "UPDATE \"Product\" SET \"Published\" = '1', \"Deleted\" = '0'; UPDATE \"Product\" SET \"Published\" = '0' WHERE \"Id\" = 3; "
        "UPDATE \"Product\" SET \"Deleted\" = '1' WHERE \"Id\" = 4; UPDATE \"UrlRecord\" SET \"EntityName\" = 'Topic' WHERE \"EntityId\" = 5");
    assert_ok(database_slugs(db, "Product", 2, &slugs, &err));
    assert_int_equal(slugs.count, 2);
    assert_string_equal(slugs.items[0], "product-6");
    assert_string_equal(slugs.items[1], "product-7");
    text_list_release(&slugs);
    /* A table of the shop's that knows no Deleted. */
    shop_sql(
        "UPDATE \"UrlRecord\" SET \"EntityName\" = 'Category' WHERE \"EntityId\" = 5; UPDATE \"Category\" SET \"Published\" = '1'");
    assert_ok(database_slugs(db, "Category", 9, &slugs, &err));
    assert_int_equal(slugs.count, 1);
    assert_string_equal(slugs.items[0], "product-5");
    text_list_release(&slugs);
    database_close(db);
}

static void old_versions__lack_tables_and_that_is_no_error(void **state)
{
    struct database *db = shop_open();
    struct database_migrations m = {NULL, 0};
    struct text_list slugs = TEXT_LIST_INIT;
    struct log_seen seen = {0, 0, 0, ""};
    struct error err = ERROR_INIT;
    int64_t last = 7;

    (void)state;
    shop_sql("DROP TABLE \"MigrationVersionInfo\"; DROP TABLE \"Log\"; DROP TABLE \"UrlRecord\"");
    assert_ok(database_migrations(db, &m, &err));
    assert_int_equal(m.count, 0);
    assert_ok(database_log_last(db, &last, &err));
    assert_int_equal(last, -1);
    assert_ok(database_log(db, -1, 0, 0, see_row, &seen, &err));
    assert_int_equal(seen.count, 0);
    assert_ok(database_slugs(db, "Product", 5, &slugs, &err));
    assert_ok(database_slugs(db, "NoSuchThing", 5, &slugs, &err));
    assert_int_equal(slugs.count, 0);
    database_close(db);
}

#define HEALTH_CASES                                                                 \
    cmocka_unit_test(migrations__are_read_by_version_with_or_without_a_description), \
        cmocka_unit_test(log__is_read_above_a_number_a_moment_and_a_level),          \
        cmocka_unit_test(log__a_failure_of_the_reader_ends_the_reading),             \
        cmocka_unit_test(slugs__are_active_of_the_default_language_and_published),   \
        cmocka_unit_test(old_versions__lack_tables_and_that_is_no_error)

#endif
