/* The health questions on PostgreSQL. */
#include "postgres_support.h"

#include "health_cases.h"

static struct database_target target = DATABASE_TARGET_INIT;

static struct database *shop_open(void)
{
    struct error err = ERROR_INIT;
    struct database *db = NULL;

    pg_shop_make();
    database_target_release(&target);
    pg_target("shop", "shop", &target);
    assert_ok(database_open(&target, NULL, &db, &err));
    return db;
}

static void shop_sql(const char *sql)
{
    pg_sql("shop", "%s", sql);
}

int main(void)
{
    const struct CMUnitTest tests[] = {HEALTH_CASES};
    int rc = cmocka_run_group_tests(tests, pg_server_start, pg_server_stop);

    database_target_release(&target);
    return rc;
}
