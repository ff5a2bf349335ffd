/* The health questions on MariaDB. */
#include "mysql_support.h"

#include "health_cases.h"

static struct database_target target = DATABASE_TARGET_INIT;

static struct database *shop_open(void)
{
    struct error err = ERROR_INIT;
    struct database *db = NULL;

    my_plain_shop_make(NULL);
    my_account("ALL ON `shop`.*");
    database_target_release(&target);
    my_target("shop", "shop", &target);
    assert_ok(database_open(&target, NULL, &db, &err));
    return db;
}

static void shop_sql(const char *sql)
{
    my_sql("shop", "SET sql_mode = 'ANSI_QUOTES'; %s", sql);
}

int main(void)
{
    const struct CMUnitTest tests[] = {HEALTH_CASES};
    int rc = cmocka_run_group_tests(tests, my_server_start, my_server_stop);

    database_target_release(&target);
    return rc;
}
