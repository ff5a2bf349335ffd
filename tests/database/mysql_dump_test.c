/* Dump and load against a real MariaDB: what goes in comes back. */
#include "mysql_support.h"

#include <signal.h>
#include <sys/wait.h>

static struct database *open_as(const char *user, const char *name, struct database_target *t)
{
    struct error err = ERROR_INIT;
    struct database *db = NULL;

    my_target(user, name, t);
    assert_ok(database_open(t, NULL, &db, &err));
    return db;
}

#define OPEN(user, name)                                  \
    struct error err = ERROR_INIT;                        \
    struct database_target target = DATABASE_TARGET_INIT; \
    struct database *db = open_as(user, name, &target)

#define CLOSE()                           \
    do {                                  \
        database_close(db);               \
        database_target_release(&target); \
        error_clear(&err);                \
    } while (0)

static void assert_counts(const struct database_counts *c, const char *table, uint64_t rows, int64_t max_id)
{
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->tables[i].name, table) == 0) {
            assert_int_equal(c->tables[i].rows, rows);
            assert_int_equal(c->tables[i].max_id, max_id);
            return;
        }
    fail_msg("%s was not counted", table);
}

static int list_mentions(const struct text_list *l, const char *text)
{
    for (size_t i = 0; i < l->count; i++)
        if (strstr(l->items[i], text))
            return 1;
    return 0;
}

static void dump__counts_every_row_and_highest_id(void **state)
{
    struct my_dumped d = MY_DUMPED_INIT;

    (void)state;
    OPEN(NULL, "shop");
    my_dump_it(db, &d);
    assert_counts(&d.facts.counts, "Order", 120, 120);
    assert_counts(&d.facts.counts, "Customer_CustomerRole_Mapping", 251, -1);
    assert_counts(&d.facts.counts, "texts", 5, 5);
    assert_counts(&d.facts.counts, "counted", 1, 5000);
    assert_counts(&d.facts.counts, "late_id", 2, 42);
    assert_counts(&d.facts.counts, "odd `name`, \"so\" (1)", 2, 7);
    assert_counts(&d.facts.counts, "no_key", 3, -1);
    assert_counts(&d.facts.counts, "empty_one", 0, -1);
    assert_counts(&d.facts.counts, "text_id", 1, -1);
    assert_int_equal(
        d.facts.counts.count,
        my_number("", "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'shop' AND TABLE_TYPE = "
                      "'BASE TABLE'"));
    assert_true(d.facts.is_nopcommerce);
    assert_false(d.facts.pictures_in_database);
    assert_true(list_mentions(&d.facts.warnings, "old_style"));
    assert_int_equal(d.facts.warnings.count, 1);
    assert_true(d.facts.moment_ns > 1700000000LL * 1000000000LL);
    assert_non_null(strstr(d.facts.properties, "utf8mb4_unicode_ci"));
    assert_null(strstr(d.facts.properties, "PASSWORD"));
    my_dumped_release(&d);
    CLOSE();
}

static void dump__view_is_open_when_begin_returns(void **state)
{
    struct my_dumped d = MY_DUMPED_INIT;
    struct database_dump *dump = NULL;

    (void)state;
    OPEN(NULL, "shop");
    /* More than the tool could hold in its buffers, so that it is still on its way. */
    my_sql(
        "shop",
        "INSERT INTO Log (ShortMessage, LogLevelId, FullMessage, CreatedOnUtc) WITH RECURSIVE n (n) AS (SELECT 1 UNION "
        "ALL SELECT n + 1 FROM n WHERE n < 900) SELECT 'x', 40, REPEAT('y', 20000), NOW() FROM n");
    assert_ok(database_dump_begin(db, &dump, &err));
    my_sql(
        "shop",
        "INSERT INTO `Order` SELECT 1000, `CustomOrderNumber`, `BillingAddressId`, `CustomerId`, `ShippingAddressId`, "
        "UUID(), `StoreId`, `OrderStatusId`, `PaymentStatusId`, `PaymentMethodSystemName`, `CustomerCurrencyCode`, "
        "`OrderTotal`, `CustomValuesXml`, `PaidDateUtc`, `Deleted`, `CreatedOnUtc` FROM `Order` WHERE Id = 1");
    my_sql("shop", "DELETE FROM QueuedEmail WHERE Id < 50");
    assert_ok(database_dump_run(dump, my_sink, &d, &err));
    assert_ok(database_dump_end(dump, &d.facts, &err));
    assert_counts(&d.facts.counts, "Order", 120, 120);
    assert_counts(&d.facts.counts, "QueuedEmail", 100, 100);
    my_dumped_release(&d);
    CLOSE();
}

static enum error_kind add_picture(void *arg, int64_t id, struct error *err)
{
    int64_t *sum = arg;

    (void)err;
    *sum += id;
    return OK;
}

static void dump__hands_over_the_pictures_of_its_view(void **state)
{
    struct my_dumped d = MY_DUMPED_INIT;
    struct database_dump *dump = NULL;
    int64_t sum = 0;

    (void)state;
    OPEN(NULL, "shop");
    /* Before the pictures come, more than the tool could hold in its buffers. */
    my_sql(
        "shop",
        "INSERT INTO Log (ShortMessage, LogLevelId, FullMessage, CreatedOnUtc) WITH RECURSIVE n (n) AS (SELECT 1 UNION "
        "ALL SELECT n + 1 FROM n WHERE n < 900) SELECT 'x', 40, REPEAT('y', 20000), NOW() FROM n");
    my_sql("shop", "INSERT INTO Picture (Id, MimeType, IsNew) VALUES (10000000, 'image/png', 0)");
    assert_ok(database_dump_begin(db, &dump, &err));
    my_sql("shop", "INSERT INTO Picture (Id, MimeType, IsNew) VALUES (5000, 'image/png', 0)");
    my_sql("shop", "DELETE FROM Picture WHERE Id = 60");
    database_dump_pictures(dump, add_picture, &sum);
    assert_ok(database_dump_run(dump, my_sink, &d, &err));
    assert_ok(database_dump_end(dump, &d.facts, &err));
    assert_int_equal(sum, 60 * 61 / 2 + 10000000);
    my_dumped_release(&d);
    CLOSE();
}

static void dump__unchanged_database_gives_equal_bytes(void **state)
{
    struct my_dumped a = MY_DUMPED_INIT;
    struct my_dumped b = MY_DUMPED_INIT;

    (void)state;
    OPEN(NULL, "shop");
    my_dump_it(db, &a);
    my_dump_it(db, &b);
    assert_int_equal(a.bytes.len, b.bytes.len);
    assert_memory_equal(a.bytes.data, b.bytes.data, a.bytes.len);
    my_dumped_release(&a);
    my_dumped_release(&b);
    CLOSE();
}

/* What the tool notices itself, and what the server lets pass. The long table is dumped first (its name sorts before all others), so that the tool is not past the other one yet. */
static void alter_while_dumping(const char *statement)
{
    struct my_dumped d = MY_DUMPED_INIT;
    struct database_dump *dump = NULL;
    enum error_kind rc;

    OPEN(NULL, "shop");
    my_sql(
        "shop",
        "CREATE OR REPLACE TABLE AAA (Id int PRIMARY KEY, t longtext); INSERT INTO AAA WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL "
        "SELECT n + 1 FROM n WHERE n < 900) SELECT n, REPEAT('y', 20000) FROM n");
    assert_ok(database_dump_begin(db, &dump, &err));
    my_sql("shop", "%s", statement);
    rc = database_dump_run(dump, my_sink, &d, &err);
    if (rc != ERR_REMOTE)
        print_error("%s: a dump of %zu bytes\n", statement, d.bytes.len);
    assert_int_equal(rc, ERR_REMOTE);
    assert_non_null(strstr(err.hint, "try again"));
    error_clear(&err);
    assert_int_equal(database_dump_end(dump, NULL, &err), OK);
    my_dumped_release(&d);
    CLOSE();
}

static void dump__table_altered_meanwhile_is_an_error(void **state)
{
    (void)state;
    alter_while_dumping("ALTER TABLE UrlRecord ADD COLUMN extra int");
    alter_while_dumping("ALTER TABLE UrlRecord MODIFY COLUMN Slug text");
    alter_while_dumping("TRUNCATE TABLE UrlRecord");
    alter_while_dumping("DROP TABLE UrlRecord");
}

static void dump__missing_database_is_not_found(void **state)
{
    struct database_dump *dump = NULL;

    (void)state;
    OPEN(NULL, "nowhere");
    assert_int_equal(database_dump_begin(db, &dump, &err), ERR_NOT_FOUND);
    CLOSE();
}

static void dump__sink_that_fails_ends_it(void **state)
{
    struct my_dumped d = MY_DUMPED_INIT;
    struct database_dump *dump = NULL;

    (void)state;
    d.bytes.max = 10000;
    OPEN(NULL, "shop");
    assert_ok(database_dump_begin(db, &dump, &err));
    assert_int_equal(database_dump_run(dump, my_sink, &d, &err), ERR_MEMORY);
    error_clear(&err);
    assert_int_equal(database_dump_end(dump, NULL, &err), OK);
    my_dumped_release(&d);
    CLOSE();
}

/* ---- load ---- */

static char *load(struct database *db, struct my_dumped *d, const char *token)
{
    struct error err = ERROR_INIT;
    char *name = NULL;

    d->at = 0;
    assert_ok(database_load_begin(db, &d->facts, token, &name, &err));
    assert_ok(database_load_run(db, name, &d->facts, my_source, d, &err));
    return name;
}

static void assert_equal_counts(struct database *db, const char *name, const struct database_counts *expected)
{
    struct error err = ERROR_INIT;
    struct text_list differences = TEXT_LIST_INIT;

    assert_ok(database_compare(db, name, expected, &differences, &err));
    if (differences.count)
        fail_msg("%s: %s", name, differences.items[0]);
    text_list_release(&differences);
}

/* Replace every `from` by `to`. */
static char *with(const char *text, const char *from, const char *to)
{
    char *out = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&out, &len);
    const char *at = NULL;

    while ((at = strstr(text, from)) != NULL) {
        fprintf(f, "%.*s%s", (int)(at - text), text, to);
        text = at + strlen(from);
    }
    fputs(text, f);
    fclose(f);
    return out;
}

static void load_beside__everything_comes_back_and_the_live_one_is_untouched(void **state)
{
    struct my_dumped d = MY_DUMPED_INIT;
    char *before = my_text("shop");
    char *after = NULL;
    char *beside = NULL;
    char *expected = NULL;
    char *name = NULL;

    (void)state;
    OPEN(NULL, "shop");
    my_dump_it(db, &d);
    name = load(db, &d, "0badcafe");
    assert_string_equal(name, "shop_nopsnap_0badcafe");
    assert_equal_counts(db, name, &d.facts.counts);
    after = my_text("shop");
    assert_string_equal(before, after);
    beside = my_text(name);
    /* The one difference: the event that was on is held back. */
    expected = with(before, "ON COMPLETION PRESERVE ENABLE COMMENT", "ON COMPLETION PRESERVE DISABLE COMMENT");
    assert_string_not_equal(before, expected);
    assert_string_equal(beside, expected);
    /* The position of AUTO_INCREMENT and of the sequence, and bytes no text shows. */
    assert_int_equal(my_number(name, "INSERT INTO counted (kind) VALUES ('a'); SELECT MAX(Id) FROM counted"), 5002);
    assert_int_equal(my_number(name, "SELECT NEXTVAL(numbers)"), 105);
    assert_int_equal(my_number(name, "SELECT LENGTH(b) FROM texts WHERE Id = 5"), 70000);
    free(before);
    free(after);
    free(beside);
    free(expected);
    free(name);
    my_dumped_release(&d);
    CLOSE();
}

static void load_beside__a_repeated_load_replaces_the_half_done_one(void **state)
{
    struct my_dumped d = MY_DUMPED_INIT;
    char *name = NULL;
    char *again = NULL;

    (void)state;
    OPEN(NULL, "shop");
    my_dump_it(db, &d);
    assert_ok(database_load_begin(db, &d.facts, "0badcafe", &name, &err));
    d.at = 0;
    d.fail_after = d.bytes.len / 2;
    assert_int_equal(database_load_run(db, name, &d.facts, my_source, &d, &err), ERR_CORRUPT);
    error_clear(&err);
    d.fail_after = 0;
    again = load(db, &d, "0badcafe");
    assert_string_equal(name, again);
    assert_equal_counts(db, name, &d.facts.counts);
    free(name);
    free(again);
    my_dumped_release(&d);
    CLOSE();
}

static void load_beside__somebody_elses_database_is_not_replaced(void **state)
{
    struct my_dumped d = MY_DUMPED_INIT;
    char *name = NULL;

    (void)state;
    OPEN(NULL, "shop");
    my_dump_it(db, &d);
    my_sql("", "CREATE DATABASE shop_nopsnap_0badcafe; CREATE TABLE shop_nopsnap_0badcafe.precious (a int)");
    assert_int_equal(database_load_begin(db, &d.facts, "0badcafe", &name, &err), ERR_EXISTS);
    assert_int_equal(my_number("", "SELECT COUNT(*) FROM shop_nopsnap_0badcafe.precious"), 0);
    my_dumped_release(&d);
    CLOSE();
}

static void load_named__fills_an_empty_database_exactly(void **state)
{
    struct my_dumped d = MY_DUMPED_INIT;
    char *before = my_text("shop");
    char *after = NULL;

    (void)state;
    OPEN(NULL, "shop");
    my_dump_it(db, &d);
    my_sql("", "CREATE DATABASE other CHARACTER SET latin1");
    d.at = 0;
    assert_ok(database_load_run(db, "other", &d.facts, my_source, &d, &err));
    after = my_text("other");
    assert_string_equal(before, after); /* events as they were, no marker */
    assert_int_equal(
        my_number("", "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'other' AND TABLE_NAME LIKE "
                      "'nopsnap%%'"),
        0);
    d.at = 0;
    assert_int_equal(database_load_run(db, "other", &d.facts, my_source, &d, &err), ERR_EXISTS);
    free(before);
    free(after);
    my_dumped_release(&d);
    CLOSE();
}

static void load__row_larger_than_the_server_takes_is_refused_beforehand(void **state)
{
    struct my_dumped d = MY_DUMPED_INIT;
    char *name = NULL;

    (void)state;
    my_sql("shop", "INSERT INTO texts (Id, b) VALUES (100, REPEAT(0xFF, 3000000))");
    OPEN(NULL, "shop");
    my_dump_it(db, &d);
    my_sql("", "SET GLOBAL max_allowed_packet = 4194304");
    assert_int_equal(database_load_begin(db, &d.facts, "0badcafe", &name, &err), ERR_REFUSED);
    assert_non_null(strstr(err.hint, "max_allowed_packet"));
    assert_false(my_exists("shop_nopsnap_0badcafe"));
    my_sql("", "SET GLOBAL max_allowed_packet = 16777216");
    error_clear(&err);
    name = load(db, &d, "0badcafe");
    assert_int_equal(my_number(name, "SELECT LENGTH(b) FROM texts WHERE Id = 100"), 3000000);
    free(name);
    my_dumped_release(&d);
    CLOSE();
}

static void load__broken_sql_says_what_the_server_said(void **state)
{
    struct my_dumped d = MY_DUMPED_INIT;
    struct my_dumped bad = MY_DUMPED_INIT;
    char *name = NULL;

    (void)state;
    OPEN(NULL, "shop");
    my_dump_it(db, &d);
    assert_ok(buffer_append_text(&bad.bytes, "CREATE TABLE ok (a int);\nCREATE NONSENSE;\n", &err));
    for (int i = 0; i < 20000; i++) /* much more than the pipe holds: the client is gone while we write */
        assert_ok(buffer_append_text(&bad.bytes, "INSERT INTO ok VALUES (1);\n", &err));
    assert_ok(database_load_begin(db, &d.facts, "0badcafe", &name, &err));
    assert_int_equal(database_load_run(db, name, &d.facts, my_source, &bad, &err), ERR_REMOTE);
    assert_non_null(strstr(err.text, "NONSENSE"));
    free(name);
    my_dumped_release(&d);
    my_dumped_release(&bad);
    CLOSE();
}

static void load__commands_of_the_client_are_not_obeyed(void **state)
{
    struct my_dumped d = MY_DUMPED_INIT;
    struct my_dumped bad = MY_DUMPED_INIT;
    char command[256];
    char path[64];
    char *name = NULL;

    (void)state;
    OPEN(NULL, "shop");
    my_dump_it(db, &d);
    snprintf(path, sizeof path, "%s/planted", my_folder);
    snprintf(command, sizeof command, "\\! touch %s\nsystem touch %s\n", path, path);
    assert_ok(buffer_append_text(&bad.bytes, command, &err));
    assert_ok(database_load_begin(db, &d.facts, "0badcafe", &name, &err));
    (void)database_load_run(db, name, &d.facts, my_source, &bad, &err);
    assert_int_not_equal(access(path, F_OK), 0);
    free(name);
    my_dumped_release(&d);
    my_dumped_release(&bad);
    CLOSE();
}

/* ---- the shop's own login ---- */

static void in_place__own_rights_are_enough(void **state)
{
    struct my_dumped d = MY_DUMPED_INIT;
    struct database_info info = DATABASE_INFO_INIT;
    char *before = NULL;
    char *after = NULL;

    my_plain_shop_make(state);
    my_account("ALL ON `shop`.*");
    before = my_text("shop");
    OPEN("shop", "shop");
    assert_ok(database_probe(db, &info, &err));
    assert_false(info.can_beside);
    assert_non_null(info.why_in_place);
    assert_int_equal(info.obstacles.count, 0);
    my_dump_it(db, &d);
    my_sql(
        "shop",
        "DROP TABLE OrderNote; DELETE FROM OrderItem; UPDATE Setting SET Value = 'broken'; CREATE TABLE newer (Id int); "
        "CREATE VIEW newer_view AS SELECT * FROM newer; CREATE PROCEDURE newer_procedure() SELECT 1");
    for (int i = 0; i < 2; i++) { /* and once more: repeating is safe */
        d.at = 0;
        assert_ok(database_load_in_place(db, &d.facts, my_source, &d, &err));
        after = my_text("shop");
        assert_string_equal(before, after);
        free(after);
    }
    assert_equal_counts(db, "shop", &d.facts.counts);
    /* A load that ends half way, then a whole one. */
    d.at = 0;
    d.fail_after = d.bytes.len / 3;
    assert_int_equal(database_load_in_place(db, &d.facts, my_source, &d, &err), ERR_CORRUPT);
    error_clear(&err);
    d.at = d.fail_after = 0;
    assert_ok(database_load_in_place(db, &d.facts, my_source, &d, &err));
    after = my_text("shop");
    assert_string_equal(before, after);
    free(before);
    free(after);
    database_info_release(&info);
    my_dumped_release(&d);
    CLOSE();
}

static void in_place__a_dropped_database_is_made_again(void **state)
{
    struct my_dumped d = MY_DUMPED_INIT;
    struct database_info info = DATABASE_INFO_INIT;
    char *before = NULL;
    char *after = NULL;

    my_plain_shop_make(state);
    my_account("ALL ON `shop`.*");
    before = my_text("shop");
    {
        OPEN("shop", "shop");
        my_dump_it(db, &d);
        CLOSE();
    }
    my_sql("", "DROP DATABASE shop");
    {
        OPEN("shop", "shop");
        assert_ok(database_probe(db, &info, &err));
        assert_false(info.exists);
        assert_ok(database_load_in_place(db, &d.facts, my_source, &d, &err));
        assert_equal_counts(db, "shop", &d.facts.counts);
        CLOSE();
    }
    after = my_text("shop");
    my_assert_same_text("shop", after, before);
    free(before);
    free(after);
    database_info_release(&info);
    my_dumped_release(&d);
}

static void dump__by_the_shops_own_login_is_as_roots(void **state)
{
    struct my_dumped a = MY_DUMPED_INIT;
    struct my_dumped b = MY_DUMPED_INIT;

    my_plain_shop_make(state);
    my_account("ALL ON `shop`.*");
    {
        OPEN(NULL, "shop");
        my_dump_it(db, &a);
        CLOSE();
    }
    {
        OPEN("shop", "shop");
        my_dump_it(db, &b);
        CLOSE();
    }
    assert_int_equal(a.bytes.len, b.bytes.len);
    assert_memory_equal(a.bytes.data, b.bytes.data, a.bytes.len);
    assert_null(strstr(b.facts.properties, "se;cret"));
    my_dumped_release(&a);
    my_dumped_release(&b);
}

static void dump__without_the_right_to_see_events_says_so(void **state)
{
    struct my_dumped d = MY_DUMPED_INIT;

    my_plain_shop_make(state);
    my_account("SELECT, SHOW VIEW, LOCK TABLES ON `shop`.*");
    OPEN("shop", "shop");
    my_dump_it(db, &d);
    assert_true(list_mentions(&d.facts.warnings, "events"));
    assert_true(list_mentions(&d.facts.warnings, "triggers"));
    my_dumped_release(&d);
    CLOSE();
}

static void open__each_failure_is_told_apart_without_the_password(void **state)
{
    struct error err = ERROR_INIT;
    struct database_target t = DATABASE_TARGET_INIT;
    struct database *db = NULL;

    (void)state;
    my_account("ALL ON `shop`.*");
    my_target("shop", "shop", &t);
    assert_ok(database_login_works(&t, &err));
    my_sql("", "SET PASSWORD FOR shop@localhost = PASSWORD('another')");
    assert_int_equal(database_login_works(&t, &err), ERR_REMOTE);
    assert_non_null(strstr(err.hint, "password"));
    assert_null(strstr(err.text, "se;cret"));
    free(t.host);
    t.host = strdup("/tmp/no/such/socket");
    error_clear(&err);
    assert_int_equal(database_open(&t, NULL, &db, &err), ERR_REMOTE);
    assert_non_null(strstr(err.hint, "running"));
    assert_null(strstr(err.text, "se;cret"));
    database_target_release(&t);
}

static void probe__tells_what_the_plan_needs(void **state)
{
    struct database_info info = DATABASE_INFO_INIT;
    bool partitions = false;

    (void)state;
    my_sql(
        "",
        "CREATE DATABASE elsewhere; CREATE TABLE elsewhere.child (a bigint, FOREIGN KEY (a) REFERENCES shop.counted (Id))");
    OPEN(NULL, "shop");
    assert_ok(database_probe(db, &info, &err));
    assert_true(info.exists);
    assert_true(info.can_beside);
    assert_true(info.is_nopcommerce);
    assert_true(info.size > 100000);
    assert_non_null(strstr(info.server_version, "MariaDB"));
    assert_int_equal(info.obstacles.count, 1);
    assert_non_null(strstr(info.obstacles.items[0], "elsewhere.child"));
    for (size_t i = 0; i < info.remarks.count; i++)
        partitions |= strstr(info.remarks.items[i], "1 partitioned table") != NULL;
    assert_true(partitions);
    database_info_release(&info);
    CLOSE();
}

static void probe__definers_that_cannot_be_kept_are_an_obstacle(void **state)
{
    struct database_info info = DATABASE_INFO_INIT;

    (void)state;
    my_account("ALL ON `shop`.*;ALL ON `shop\\_%`.*");
    OPEN("shop", "shop");
    assert_ok(database_probe(db, &info, &err));
    assert_true(info.can_beside);
    assert_true(list_mentions(&info.obstacles, "root@localhost"));
    database_info_release(&info);
    CLOSE();
}

static void sessions__others_are_listed_ours_are_not(void **state)
{
    struct text_list found = TEXT_LIST_INIT;
    struct database *second = NULL;
    char command[512];
    pid_t pid;

    (void)state;
    OPEN(NULL, "shop");
    assert_ok(database_open_beside(db, "shop", &second, &err));
    assert_ok(database_sessions(db, NULL, &found, &err));
    assert_int_equal(found.count, 0);
    pid = fork();
    if (pid == 0) {
        snprintf(command, sizeof command,
                 "exec mariadb --no-defaults -u root -S %s shop -e 'SELECT SLEEP(60)' >/dev/null 2>&1", my_socket);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 200 && found.count == 0; i++) {
        usleep(20000);
        text_list_release(&found);
        assert_ok(database_sessions(db, NULL, &found, &err));
    }
    assert_int_equal(found.count, 1);
    assert_non_null(strstr(found.items[0], "user root"));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    database_close(second);
    text_list_release(&found);
    CLOSE();
}

#define shop_test(f) cmocka_unit_test_setup(f, my_shop_make)

int main(void)
{
    const struct CMUnitTest tests[] = {
        shop_test(dump__counts_every_row_and_highest_id),
        shop_test(dump__view_is_open_when_begin_returns),
        shop_test(dump__hands_over_the_pictures_of_its_view),
        shop_test(dump__unchanged_database_gives_equal_bytes),
        shop_test(dump__table_altered_meanwhile_is_an_error),
        shop_test(dump__missing_database_is_not_found),
        shop_test(dump__sink_that_fails_ends_it),
        shop_test(load_beside__everything_comes_back_and_the_live_one_is_untouched),
        shop_test(load_beside__a_repeated_load_replaces_the_half_done_one),
        shop_test(load_beside__somebody_elses_database_is_not_replaced),
        shop_test(load_named__fills_an_empty_database_exactly),
        shop_test(load__row_larger_than_the_server_takes_is_refused_beforehand),
        shop_test(load__broken_sql_says_what_the_server_said),
        shop_test(load__commands_of_the_client_are_not_obeyed),
        cmocka_unit_test(in_place__own_rights_are_enough),
        cmocka_unit_test(in_place__a_dropped_database_is_made_again),
        cmocka_unit_test(dump__by_the_shops_own_login_is_as_roots),
        cmocka_unit_test(dump__without_the_right_to_see_events_says_so),
        shop_test(open__each_failure_is_told_apart_without_the_password),
        shop_test(probe__tells_what_the_plan_needs),
        shop_test(probe__definers_that_cannot_be_kept_are_an_obstacle),
        shop_test(sessions__others_are_listed_ours_are_not),
    };

    return cmocka_run_group_tests(tests, my_server_start, my_server_stop);
}
