/* What a rollback would lose, on MariaDB: counted, exported, mails; also where all table names are lower case. */
#include "mysql_support.h"

#include <fcntl.h>
#include <strings.h>
#include <sys/stat.h>

#include "file.h"

struct scene {
    struct database_target target;
    struct database *db;
    struct my_dumped dump;
    char *beside;
};

static void scene_begin(struct scene *s)
{
    struct error err = ERROR_INIT;

    memset(s, 0, sizeof *s);
    s->dump = (struct my_dumped)MY_DUMPED_INIT;
    my_account("ALL ON `shop`.*;ALL ON `shop\\_%`.*");
    my_target("shop", "shop", &s->target);
    assert_ok(database_open(&s->target, NULL, &s->db, &err));
    my_dump_it(s->db, &s->dump);
    assert_ok(database_load_begin(s->db, &s->dump.facts, "0badcafe", &s->beside, &err));
    assert_ok(database_load_run(s->db, s->beside, &s->dump.facts, my_source, &s->dump, &err));
}

static void scene_end(struct scene *s)
{
    database_close(s->db);
    database_target_release(&s->target);
    my_dumped_release(&s->dump);
    free(s->beside);
}

/* A database that was born on Windows: `order` instead of `Order`. */
static int lower_case_shop_make(void **state)
{
    char *statements = NULL;

    my_plain_shop_make(state);
    my_sql("", "CREATE DATABASE windows");
    statements = my_value(
        "", "SELECT CONCAT('RENAME TABLE shop.`', TABLE_NAME, '` TO windows.`', LOWER(TABLE_NAME), '`, windows.`', "
            "LOWER(TABLE_NAME), '` TO shop.`', LOWER(TABLE_NAME), '`;') FROM information_schema.TABLES WHERE "
            "TABLE_SCHEMA = 'shop'");
    my_sql("", "%s", statements);
    free(statements);
    return 0;
}

/* The table's name in the shop at hand. */
static const char *named(const char *table)
{
    static char lower[64];

    if (my_number(
            "",
            "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'shop' AND BINARY TABLE_NAME = '%s'",
            table))
        return table;
    snprintf(lower, sizeof lower, "%s", table);
    for (char *c = lower; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    return lower;
}

static int64_t new_customer(const char *email, int role)
{
    int64_t id = my_number(
        "shop",
        "INSERT INTO `%s` (Email, CustomerGuid, Active, Deleted, IsSystemAccount, CreatedOnUtc, LastActivityDateUtc) "
        "VALUES ('%s', UUID(), 1, 0, 0, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6)); SELECT LAST_INSERT_ID()",
        named("Customer"), email);

    if (role)
        my_sql("shop", "INSERT INTO `%s` VALUES (%d, %d)", named("Customer_CustomerRole_Mapping"), (int)id, role);
    return id;
}

static void new_order(int64_t customer, const char *values)
{
    my_sql(
        "shop",
        "INSERT INTO `%s` (CustomOrderNumber, BillingAddressId, CustomerId, OrderGuid, StoreId, OrderStatusId, PaymentStatusId, "
        "OrderTotal, Deleted, CreatedOnUtc, CustomValuesXml) VALUES ('n', 7, %d, UUID(), 1, 10, 10, 9.99, 0, UTC_TIMESTAMP(6), %s)",
        named("Order"), (int)customer, values);
}

static void shop_goes_on(void)
{
    my_sql("shop", "INSERT INTO `%s` (FirstName, CreatedOnUtc) VALUES ('New', UTC_TIMESTAMP(6))", named("Address"));
    new_order(12, "'a \"quoted\", comma'");
    new_order(new_customer("n1", 3), "'two\\nlines'");
    new_order(new_customer("n2", 3), "''");
    new_customer("n3", 4);
    new_customer("n4", 0);
    my_sql("shop", "UPDATE `%s` SET PaidDateUtc = UTC_TIMESTAMP(6) WHERE Id = 5", named("Order"));
    my_sql("shop", "UPDATE `%s` SET UpdatedOnUtc = UTC_TIMESTAMP(6) WHERE Id IN (1, 2, 3)", named("Product"));
    my_sql("shop",
           "INSERT INTO `%s` (ShortMessage, LogLevelId, CreatedOnUtc) VALUES ('x', 10, NOW()), ('y', 10, NOW())",
           named("Log"));
}

static uint64_t lost(const struct database_losses *l, const char *table)
{
    for (size_t i = 0; i < l->count; i++)
        if (strcasecmp(l->items[i].table, table) == 0)
            return l->items[i].rows;
    return 0;
}

static void database_newer__counts_by_group(void **state)
{
    struct error err = ERROR_INIT;
    struct database_losses losses = {NULL, 0};
    struct scene s;

    (void)state;
    scene_begin(&s);
    assert_ok(database_newer(s.db, &s.dump.facts, &losses, &err));
    assert_int_equal(losses.count, 0);
    database_losses_release(&losses);
    shop_goes_on();
    assert_ok(database_newer(s.db, &s.dump.facts, &losses, &err));
    assert_int_equal(losses.items[0].group, GROUP_MONEY);
    assert_int_equal(lost(&losses, "Order"), 3);
    assert_int_equal(lost(&losses, "Order (older, paid since)"), 1);
    assert_int_equal(lost(&losses, "Customer (registered)"), 2);
    assert_int_equal(lost(&losses, "Customer (guests)"), 2);
    assert_int_equal(lost(&losses, "Product"), 3);
    assert_int_equal(lost(&losses, "Log"), 2);
    assert_int_equal(lost(&losses, "Category"), 0);
    database_losses_release(&losses);
    scene_end(&s);
}

static char *file_text(const char *path)
{
    struct error err = ERROR_INIT;
    struct buffer b = BUFFER_INIT(1 << 20);
    struct stat st;

    assert_ok(file_read_whole(AT_FDCWD, path, 1 << 20, &b, &err));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    return buffer_detach(&b);
}

static void database_export__writes_what_is_lost(void **state)
{
    struct error err = ERROR_INIT;
    struct text_list files = TEXT_LIST_INIT;
    struct scene s;
    char *text = NULL;

    (void)state;
    scene_begin(&s);
    shop_goes_on();
    assert_ok(database_export_newer(s.db, &s.dump.facts, my_folder, &files, &err));
    assert_int_equal(files.count, 5);
    text = file_text(files.items[0]);
    assert_int_equal(strncmp(text, "Id,CustomOrderNumber,BillingAddressId,CustomerId,", 49), 0);
    assert_non_null(strstr(text, ",n,7,12,,")); /* NULL is nothing */
    assert_non_null(strstr(text, ",\"a \"\"quoted\"\", comma\","));
    assert_non_null(strstr(text, ",\"two\nlines\","));
    assert_non_null(strstr(text, ",9.9900,\"\",,")); /* the empty string is quoted */
    assert_null(strstr(text, "\r\n120,"));
    free(text);
    text = file_text(files.items[3]); /* customers: the new ones and whoever placed a lost order */
    assert_non_null(strstr(text, "\r\n12,customer12,"));
    assert_null(strstr(text, "\r\n13,"));
    free(text);
    text = file_text(files.items[4]);
    assert_non_null(strstr(text, "Zoë 7,Müller 🛒 7,"));
    assert_non_null(strstr(text, ",New,"));
    free(text);
    text_list_release(&files);
    scene_end(&s);
}

/* As after a rollback: what is kept had numbers that the restored shop gives once more. */
static void numbers_begin_again(struct database_facts *since)
{
    for (size_t i = 0; i < since->counts.count; i++)
        since->counts.tables[i].max_id += 1000;
}

static void database_newer__a_number_given_again_is_new_by_its_time(void **state)
{
    struct error err = ERROR_INIT;
    struct database_losses losses = {NULL, 0};
    struct text_list files = TEXT_LIST_INIT;
    struct text_list mails = TEXT_LIST_INIT;
    struct scene s;
    char order[64];
    char *text = NULL;

    (void)state;
    scene_begin(&s);
    snprintf(order, sizeof order, "%s", named("Order"));
    numbers_begin_again(&s.dump.facts);
    shop_goes_on();
    my_sql("shop",
           "INSERT INTO `%s` (OrderId, ProductId, OrderItemGuid, Quantity, UnitPriceInclTax, PriceInclTax) "
           "SELECT Id, 1, UUID(), 1, 1, 1 FROM `%s` WHERE Id = 5 OR CustomValuesXml = ''",
           named("OrderItem"), order);
    my_sql("shop",
           "INSERT INTO `%s` (`From`, `To`, Subject, EmailAccountId, PriorityId, SentTries, CreatedOnUtc, SentOnUtc) "
           "VALUES ('s', 't', 'made and sent since', 1, 5, 1, UTC_TIMESTAMP(6), '2099-01-01')",
           named("QueuedEmail"));
    assert_ok(database_newer(s.db, &s.dump.facts, &losses, &err));
    assert_int_equal(lost(&losses, "Order"), 3);
    assert_int_equal(lost(&losses, "Order (older, paid since)"), 1);
    assert_int_equal(lost(&losses, "OrderItem"), 1);
    assert_int_equal(lost(&losses, "Customer (registered)"), 2);
    assert_int_equal(lost(&losses, "Customer (guests)"), 2);
    assert_ok(database_mails(s.db, NULL, &s.dump.facts, false, &mails, &err));
    assert_int_equal(mails.count, 0);
    assert_ok(database_export_newer(s.db, &s.dump.facts, my_folder, &files, &err));
    text = file_text(files.items[0]);
    assert_non_null(strstr(text, ",n,7,12,,"));
    assert_null(strstr(text, "\r\n120,"));
    free(text);
    text = file_text(files.items[3]);
    assert_non_null(strstr(text, "\r\n12,customer12,"));
    assert_null(strstr(text, "\r\n13,"));
    free(text);
    text_list_release(&files);
    database_losses_release(&losses);
    scene_end(&s);
}

static void database_mails__marks_exactly_those_sent_since(void **state)
{
    struct error err = ERROR_INIT;
    struct text_list lines = TEXT_LIST_INIT;
    struct scene s;
    char table[64];
    char *sent = NULL;

    (void)state;
    scene_begin(&s);
    snprintf(table, sizeof table, "%s", named("QueuedEmail"));
    /* 91 to 100 are queued. Two are sent, one is replaced by another mail of the same number. */
    my_sql("shop", "UPDATE `%s` SET SentOnUtc = '2099-01-01 00:00:00.123456', SentTries = 1 WHERE Id IN (91, 95, 97)",
           table);
    my_sql("shop", "UPDATE `%s` SET `To` = 'somebody@else.example' WHERE Id = 97", table);
    assert_ok(database_mails(s.db, NULL, &s.dump.facts, false, &lines, &err));
    assert_int_equal(lines.count, 3);
    text_list_release(&lines);
    assert_ok(database_mails(s.db, s.beside, &s.dump.facts, false, &lines, &err));
    assert_int_equal(lines.count, 2);
    assert_string_equal(lines.items[0], "#91 to customer91@shop.example, \"Order receipt 91\", sent 2099-01-01 00:00");
    text_list_release(&lines);
    assert_int_equal(my_number(s.beside, "SELECT COUNT(*) FROM `%s` WHERE SentOnUtc IS NULL", table), 10);
    assert_ok(database_mails(s.db, s.beside, &s.dump.facts, true, &lines, &err));
    assert_int_equal(lines.count, 2);
    text_list_release(&lines);
    assert_int_equal(my_number(s.beside, "SELECT COUNT(*) FROM `%s` WHERE SentOnUtc IS NULL", table), 8);
    sent = my_value(s.beside, "SELECT SentOnUtc FROM `%s` WHERE Id = 91", table);
    assert_string_equal(sent, "2099-01-01 00:00:00.123456");
    free(sent);
    assert_ok(database_mails(s.db, s.beside, &s.dump.facts, true, &lines, &err)); /* repeatable */
    assert_int_equal(lines.count, 0);
    scene_end(&s);
}

static void database_newer__survives_a_database_that_is_no_shop(void **state)
{
    struct error err = ERROR_INIT;
    struct database_losses losses = {NULL, 0};
    struct text_list lines = TEXT_LIST_INIT;
    struct database *other = NULL;
    struct scene s;

    (void)state;
    scene_begin(&s);
    my_sql("", "CREATE DATABASE shop_empty");
    assert_ok(database_open_beside(s.db, "shop_empty", &other, &err));
    assert_ok(database_newer(other, &s.dump.facts, &losses, &err));
    assert_int_equal(losses.count, 0);
    assert_ok(database_mails(other, NULL, &s.dump.facts, false, &lines, &err));
    assert_int_equal(lines.count, 0);
    database_losses_release(&losses);
    database_close(other);
    scene_end(&s);
}

#define both(f) cmocka_unit_test_setup(f, my_plain_shop_make), cmocka_unit_test_setup(f, lower_case_shop_make)

int main(void)
{
    const struct CMUnitTest tests[] = {
        both(database_newer__counts_by_group),
        both(database_newer__a_number_given_again_is_new_by_its_time),
        both(database_export__writes_what_is_lost),
        both(database_mails__marks_exactly_those_sent_since),
        cmocka_unit_test_setup(database_newer__survives_a_database_that_is_no_shop, my_plain_shop_make),
    };

    return cmocka_run_group_tests(tests, my_server_start, my_server_stop);
}
