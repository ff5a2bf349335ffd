/* The PostgreSQL engine: fence, exchange, kept databases, losses and mails, against a real server. */
#include "postgres_support.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "file.h"

/* A shop, its dump, and that dump loaded beside it, ready to be exchanged. */
struct scene {
    struct database_target target;
    struct database_target admin;
    struct database *db;
    struct pg_dumped dump;
    struct database_swap swap;
    char *beside;
};

static void scene_begin(struct scene *s, const char *user, const char *admin)
{
    struct error err = ERROR_INIT;

    *s = (struct scene){DATABASE_TARGET_INIT, DATABASE_TARGET_INIT, NULL, PG_DUMPED_INIT, DATABASE_SWAP_INIT, NULL};
    pg_target(user, "shop", &s->target);
    if (admin)
        pg_target(NULL, "shop", &s->admin);
    assert_ok(database_open(&s->target, admin ? &s->admin : NULL, &s->db, &err));
    pg_dump_it(s->db, &s->dump);
    assert_ok(database_load_begin(s->db, &s->dump.facts, "89abcdef", &s->beside, &err));
    assert_ok(database_load_run(s->db, s->beside, &s->dump.facts, pg_source, &s->dump, &err));
    /* so that the two can be told apart */
    pg_sql(s->beside, "UPDATE \"Setting\" SET \"Value\" = 'new' WHERE \"Id\" = 1");
    pg_sql("shop", "UPDATE \"Setting\" SET \"Value\" = 'old' WHERE \"Id\" = 1");
}

static void scene_prepare(struct scene *s)
{
    struct error err = ERROR_INIT;

    assert_ok(database_swap_prepare(s->db, s->beside, "89abcdef", &s->swap, &err));
}

static void scene_end(struct scene *s)
{
    database_swap_release(&s->swap);
    pg_dumped_release(&s->dump);
    database_close(s->db);
    database_target_release(&s->target);
    database_target_release(&s->admin);
    free(s->beside);
}

static int fresh_shop(void **state)
{
    (void)state;
    pg_shop_make();
    return 0;
}

static void assert_is(const char *database, const char *which)
{
    char *value = pg_value(database, "SELECT \"Value\" FROM \"Setting\" WHERE \"Id\" = 1");

    assert_string_equal(value, which);
    free(value);
}

static int database_exists(const char *name)
{
    return pg_number("postgres", "SELECT count(*) FROM pg_database WHERE datname = '%s'", name) == 1;
}

static void assert_side(struct scene *s, enum database_side wanted)
{
    struct error err = ERROR_INIT;
    enum database_side side = DATABASE_OLD;

    assert_ok(database_swap_side(s->db, &s->swap, &side, &err));
    assert_int_equal(side, wanted);
}

/* ---- the exchange ---- */

static void swap_to_and_fro(const char *user, const char *admin)
{
    static const char access[] =
        "SELECT datconnlimit || datallowconn::text || (SELECT string_agg(a.grantee || '/' || privilege_type || is_grantable, ',' "
        "ORDER BY a.grantee, privilege_type) FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) a) FROM pg_database WHERE datname = '%s'";
    struct error err = ERROR_INIT;
    struct scene s;
    char *before = NULL;
    char *after = NULL;
    char *text_before = NULL;
    char *text_after = NULL;

    pg_sql("postgres", "ALTER DATABASE shop CONNECTION LIMIT 33; GRANT CONNECT ON DATABASE shop TO reader");
    scene_begin(&s, user, admin);
    before = pg_value("postgres", access, "shop");
    text_before = pg_text("shop");
    scene_prepare(&s);
    assert_string_equal(s.swap.kept, "shop_nopsnap_old_89abcdef");
    assert_side(&s, DATABASE_OLD);
    for (int round = 0; round < 2; round++) {
        assert_ok(database_swap_to(s.db, &s.swap, DATABASE_NEW, &err));
        assert_side(&s, DATABASE_NEW);
        assert_is("shop", "new");
        assert_is(s.swap.kept, "old");
        assert_false(database_exists(s.beside));
        assert_true(pg_can_login("shop", "shop"));
        assert_false(pg_can_login("other", s.swap.kept));
        /* only its own login has to be let in, so that it can be dumped */
        assert_int_equal(pg_can_login("shop", s.swap.kept), !admin);
        assert_ok(database_swap_to(s.db, &s.swap, DATABASE_NEW, &err)); /* twice is once */
        assert_is("shop", "new");
        assert_ok(database_swap_to(s.db, &s.swap, DATABASE_OLD, &err));
        assert_side(&s, DATABASE_OLD);
        assert_is("shop", "old");
        assert_is(s.beside, "new");
        assert_true(pg_can_login("shop", "shop"));
    }
    after = pg_value("postgres", access, "shop");
    assert_string_equal(before, after);
    text_after = pg_text("shop");
    assert_string_equal(text_before, text_after);
    free(before);
    free(after);
    free(text_before);
    free(text_after);
    scene_end(&s);
}

static void database_swap__goes_to_and_fro_with_an_administrator(void **state)
{
    (void)state;
    swap_to_and_fro("shop", "nop");
}

static void database_swap__goes_to_and_fro_with_the_shops_login(void **state)
{
    (void)state;
    swap_to_and_fro("shop", NULL);
}

static void kept_is_dumpable(const char *admin)
{
    struct error err = ERROR_INIT;
    struct scene s;
    struct pg_dumped again = PG_DUMPED_INIT;
    struct text_list differences = TEXT_LIST_INIT;
    struct database *kept = NULL;

    scene_begin(&s, "shop", admin);
    scene_prepare(&s);
    assert_ok(database_swap_to(s.db, &s.swap, DATABASE_NEW, &err));
    assert_ok(database_open_beside(s.db, s.swap.kept, &kept, &err));
    pg_dump_it(kept, &again);
    assert_true(again.bytes.len > 100000);
    assert_ok(database_compare(s.db, s.swap.kept, &s.dump.facts.counts, &differences, &err));
    assert_int_equal(differences.count, 0);
    database_close(kept);
    assert_int_equal(database_kept_drop(s.db, s.swap.kept, s.swap.new_identity, &err), ERR_REFUSED);
    assert_true(database_exists(s.swap.kept));
    assert_int_equal(database_kept_drop(s.db, "shop", s.swap.new_identity, &err), ERR_REFUSED);
    error_clear(&err);
    assert_ok(database_kept_drop(s.db, s.swap.kept, s.swap.old_identity, &err));
    assert_false(database_exists(s.swap.kept));
    assert_ok(database_kept_drop(s.db, s.swap.kept, s.swap.old_identity, &err)); /* absent is fine */
    assert_is("shop", "new");
    /* the way back is gone, and that is said */
    assert_int_equal(database_swap_to(s.db, &s.swap, DATABASE_OLD, &err), ERR_PENDING);
    assert_is("shop", "new");
    pg_dumped_release(&again);
    scene_end(&s);
}

/* The power went in the midst of its DROP DATABASE: nobody can log in to it any more. */
static void database_kept__half_dropped_counts_as_gone_and_can_be_dropped(void **state)
{
    struct scene s;
    struct error err = ERROR_INIT;
    struct database_info info = DATABASE_INFO_INIT;
    struct database *kept = NULL;

    (void)state;
    scene_begin(&s, "shop", "nop");
    scene_prepare(&s);
    assert_ok(database_swap_to(s.db, &s.swap, DATABASE_NEW, &err));
    pg_sql("postgres", "UPDATE pg_database SET datconnlimit = -2 WHERE datname = '%s'", s.swap.kept);
    assert_ok(database_open_kept(s.db, &s.swap, DATABASE_OLD, &kept, &err));
    assert_ok(database_probe(kept, &info, &err));
    assert_false(info.exists);
    database_info_release(&info);
    database_close(kept);
    assert_ok(database_kept_drop(s.db, s.swap.kept, s.swap.old_identity, &err));
    assert_false(database_exists(s.swap.kept));
    scene_end(&s);
}

static void database_kept__can_be_dumped_by_an_administrator(void **state)
{
    (void)state;
    kept_is_dumpable("nop");
}

static void database_kept__can_be_dumped_by_the_shops_login(void **state)
{
    (void)state;
    kept_is_dumpable(NULL);
}

static void database_swap__ends_sessions_that_come_back(void **state)
{
    struct error err = ERROR_INIT;
    struct scene s;
    char command[512];

    (void)state;
    scene_begin(&s, "shop", NULL);
    scene_prepare(&s);
    /* a shop that connects again whenever it is thrown out */
    snprintf(
        command, sizeof command,
        "for i in 1 2 3; do (while [ ! -e %s/enough ]; do psql -X -q -h %s -U shop -d shop -c 'SELECT pg_sleep(30)' >/dev/null 2>&1; done) & done",
        pg_folder, pg_folder);
    assert_int_equal(pg_shell(SHOP_PASSWORD, command), 0);
    usleep(300000);
    assert_ok(database_swap_to(s.db, &s.swap, DATABASE_NEW, &err));
    assert_is("shop", "new");
    assert_ok(database_swap_to(s.db, &s.swap, DATABASE_OLD, &err));
    assert_is("shop", "old");
    snprintf(command, sizeof command, "touch %s/enough", pg_folder);
    assert_int_equal(system(command), 0);
    pg_sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'shop'");
    scene_end(&s);
}

static void database_swap__is_not_stopped_by_autovacuum(void **state)
{
    struct error err = ERROR_INIT;
    struct scene s;
    int64_t workers = 0;

    (void)state;
    scene_begin(&s, "shop", NULL);
    scene_prepare(&s);
    /* a worker that stays in the database for as long as the test looks */
    pg_sql("shop",
           "CREATE TABLE busy WITH (autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1, "
           "autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0) AS SELECT n, repeat('x', 500) t FROM "
           "generate_series(1, 20000) n");
    pg_sql("shop", "UPDATE busy SET n = -n");
    pg_sql("postgres", "ALTER SYSTEM SET autovacuum_naptime = '1s'");
    pg_sql("postgres", "SELECT pg_reload_conf()");
    for (int i = 0; i < 200 && !workers; i++) {
        usleep(100000);
        workers =
            pg_number("postgres", "SELECT count(*) FROM pg_stat_activity WHERE datname = 'shop' AND backend_type = "
                                  "'autovacuum worker'");
    }
    pg_sql("postgres", "ALTER SYSTEM RESET autovacuum_naptime");
    pg_sql("postgres", "SELECT pg_reload_conf()");
    assert_true(workers > 0);
    assert_ok(database_fence(s.db, &s.swap, &err));
    assert_ok(database_swap_to(s.db, &s.swap, DATABASE_NEW, &err));
    assert_ok(database_unfence(s.db, &s.swap, &err));
    assert_is("shop", "new");
    scene_end(&s);
}

static void database_swap__killed_anywhere_is_old_or_new(void **state)
{
    struct error err = ERROR_INIT;
    struct scene s;
    enum database_side side = DATABASE_OLD;

    (void)state;
    scene_begin(&s, "shop", NULL);
    scene_prepare(&s);
    for (int i = 0; i < 40; i++) {
        enum database_side wanted = i % 2 ? DATABASE_OLD : DATABASE_NEW;
        pid_t child = fork();

        if (child == 0) {
            struct database *own = NULL;
            struct error ignored = ERROR_INIT;

            if (!database_open(&s.target, NULL, &own, &ignored) && !database_fence(own, &s.swap, &ignored))
                database_swap_to(own, &s.swap, wanted, &ignored);
            _exit(0);
        }
        usleep((useconds_t)(i * 4000));
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        assert_ok(database_end_own_sessions(s.db, &err));
        assert_ok(database_swap_side(s.db, &s.swap, &side, &err));
        assert_ok(database_swap_to(s.db, &s.swap, wanted, &err));
        assert_ok(database_unfence(s.db, &s.swap, &err));
        assert_is("shop", wanted == DATABASE_NEW ? "new" : "old");
        assert_true(pg_can_login("shop", "shop"));
    }
    scene_end(&s);
}

static void database_swap__without_a_live_database(void **state)
{
    struct error err = ERROR_INIT;
    struct scene s;

    (void)state;
    scene_begin(&s, "shop", NULL);
    pg_sql("postgres", "DROP DATABASE shop WITH (FORCE)");
    database_close(s.db);
    assert_ok(database_open(&s.target, NULL, &s.db, &err));
    scene_prepare(&s);
    assert_null(s.swap.old_identity);
    assert_side(&s, DATABASE_OLD);
    assert_ok(database_fence(s.db, &s.swap, &err));
    assert_ok(database_swap_to(s.db, &s.swap, DATABASE_NEW, &err));
    assert_side(&s, DATABASE_NEW);
    assert_is("shop", "new");
    assert_ok(database_swap_to(s.db, &s.swap, DATABASE_OLD, &err));
    assert_side(&s, DATABASE_OLD);
    assert_false(database_exists("shop"));
    assert_is(s.beside, "new");
    assert_ok(database_swap_to(s.db, &s.swap, DATABASE_NEW, &err));
    assert_ok(database_unfence(s.db, &s.swap, &err));
    assert_true(pg_can_login("shop", "shop"));
    scene_end(&s);
}

static void database_swap__a_stranger_under_the_live_name_is_left_alone(void **state)
{
    struct error err = ERROR_INIT;
    struct scene s;
    enum database_side side = DATABASE_OLD;

    (void)state;
    scene_begin(&s, "shop", NULL);
    scene_prepare(&s);
    database_close(s.db);
    pg_sql("postgres", "ALTER DATABASE shop RENAME TO moved_by_hand");
    pg_sql("postgres", "CREATE DATABASE shop OWNER shop");
    assert_ok(database_open(&s.target, NULL, &s.db, &err));
    assert_int_equal(database_swap_side(s.db, &s.swap, &side, &err), ERR_PENDING);
    assert_int_equal(database_swap_to(s.db, &s.swap, DATABASE_NEW, &err), ERR_PENDING);
    assert_true(database_exists(s.beside));
    assert_true(database_exists("shop"));
    assert_is("moved_by_hand", "old");
    error_clear(&err);
    assert_ok(database_fence(s.db, &s.swap, &err)); /* not our database to close */
    assert_true(pg_can_login("shop", "shop"));
    scene_end(&s);
}

static void database_swap__another_cluster_is_refused(void **state)
{
    struct error err = ERROR_INIT;
    struct scene s;
    enum database_side side = DATABASE_OLD;

    (void)state;
    scene_begin(&s, "shop", NULL);
    scene_prepare(&s);
    s.swap.new_identity[0] = s.swap.new_identity[0] == '7' ? '6' : '7';
    assert_int_equal(database_swap_side(s.db, &s.swap, &side, &err), ERR_REFUSED);
    assert_int_equal(database_swap_to(s.db, &s.swap, DATABASE_NEW, &err), ERR_REFUSED);
    scene_end(&s);
}

static void database_swap_prepare__refuses_all_obstacles_at_once(void **state)
{
    struct error err = ERROR_INIT;
    struct scene s;

    (void)state;
    scene_begin(&s, "shop", NULL);
    pg_sql("shop", "SELECT pg_create_logical_replication_slot('a_slot', 'pgoutput')");
    pg_sql("shop", "BEGIN; CREATE TABLE t1 (a int); PREPARE TRANSACTION 'half done'");
    assert_int_equal(database_swap_prepare(s.db, s.beside, "89abcdef", &s.swap, &err), ERR_REFUSED);
    pg_sql("shop", "ROLLBACK PREPARED 'half done'");
    pg_sql("shop", "SELECT pg_drop_replication_slot('a_slot')");
    assert_non_null(strstr(err.text, "a_slot"));
    assert_non_null(strstr(err.text, "half done"));
    scene_end(&s);
}

/* ---- the fence ---- */

static void database_fence__keeps_the_shop_out_and_lets_us_look(void **state)
{
    struct error err = ERROR_INIT;
    struct database_losses losses = {NULL, 0};
    struct text_list sessions = TEXT_LIST_INIT;
    struct database *again = NULL;
    struct scene s;
    char command[512];

    (void)state;
    scene_begin(&s, "shop", NULL);
    scene_prepare(&s);
    snprintf(command, sizeof command,
             "PGAPPNAME=Npgsql psql -X -q -h %s -U shop -d shop -c 'SELECT pg_sleep(60)' >/dev/null 2>&1 &", pg_folder);
    assert_int_equal(pg_shell(SHOP_PASSWORD, command), 0);
    for (int i = 0; i < 300; i++) { /* it takes a client as long as the machine is busy to come in and begin */
        text_list_release(&sessions);
        assert_ok(database_sessions(s.db, NULL, &sessions, &err));
        if (sessions.count && strstr(sessions.items[0], "active"))
            break;
        usleep(100000);
    }
    assert_int_equal(sessions.count, 1);
    assert_string_equal(sessions.items[0], "user shop from this host (Npgsql), active");
    text_list_release(&sessions);
    assert_ok(database_fence(s.db, &s.swap, &err));
    assert_ok(database_fence(s.db, &s.swap, &err));
    assert_ok(database_sessions(s.db, NULL, &sessions, &err));
    assert_int_equal(sessions.count, 0);
    assert_false(pg_can_login("shop", "shop"));
    assert_ok(database_newer(s.db, &s.dump.facts, &losses, &err));
    database_losses_release(&losses);
    /* after a crash a new process has no session inside yet */
    assert_ok(database_open(&s.target, NULL, &again, &err));
    assert_ok(database_newer(again, &s.dump.facts, &losses, &err));
    database_losses_release(&losses);
    assert_false(pg_can_login("shop", "shop"));
    /* closed stays closed across the exchange (G3) */
    assert_ok(database_swap_to(again, &s.swap, DATABASE_NEW, &err));
    assert_false(pg_can_login("shop", "shop"));
    assert_ok(database_unfence(again, &s.swap, &err));
    assert_true(pg_can_login("shop", "shop"));
    database_close(again);
    text_list_release(&sessions);
    scene_end(&s);
}

static int64_t left_over(void)
{
    return pg_number("postgres",
                     "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'nopsnap-99999999-%%'");
}

static void database_end_own_sessions__ends_those_of_a_killed_process(void **state)
{
    struct error err = ERROR_INIT;
    struct scene s;
    char command[1024];
    char *application = NULL;

    (void)state;
    scene_begin(&s, "shop", NULL);
    application = pg_value("postgres", "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE "
                                       "'nopsnap-%%' LIMIT 1");
    assert_non_null(strrchr(application, '-'));
    /* one at work for this shop in another database, and one for another shop */
    snprintf(command, sizeof command,
             "for n in %s -00000000; do PGAPPNAME=nopsnap-99999999$n "
             "psql -X -q -U shop -d postgres -c 'SELECT pg_sleep(60)' >/dev/null 2>&1 & done",
             strrchr(application, '-'));
    assert_int_equal(pg_shell(SHOP_PASSWORD, command), 0);
    for (int i = 0; i < 100 && left_over() < 2; i++)
        usleep(50000);
    assert_int_equal(left_over(), 2);
    assert_ok(database_end_own_sessions(s.db, &err));
    assert_int_equal(left_over(), 1);
    pg_sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE "
                       "'nopsnap-99999999-%%'");
    free(application);
    scene_end(&s);
}

/* ---- losses, export, mails ---- */

static uint64_t lost(const struct database_losses *l, const char *table)
{
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->items[i].table, table) == 0)
            return l->items[i].rows;
    return 0;
}

static void shop_goes_on(void)
{
    pg_sql(
        "shop",
        "INSERT INTO \"Address\" (\"FirstName\", \"CreatedOnUtc\") VALUES ('New', now());\n"
        "INSERT INTO \"Customer\" (\"Email\", \"CustomerGuid\", \"Active\", \"Deleted\", \"IsSystemAccount\", \"CreatedOnUtc\", "
        "\"LastActivityDateUtc\") SELECT 'n' || n, gen_random_uuid(), true, false, false, now(), now() FROM generate_series(1, 5) n;\n"
        "INSERT INTO \"Customer_CustomerRole_Mapping\" VALUES (251, 3), (252, 3), (253, 4), (254, 4);\n"
        "INSERT INTO \"Order\" (\"CustomOrderNumber\", \"BillingAddressId\", \"CustomerId\", \"OrderGuid\", \"StoreId\", "
        "\"OrderStatusId\", \"PaymentStatusId\", \"OrderTotal\", \"Deleted\", \"CreatedOnUtc\", \"CustomValuesXml\") VALUES "
        "('121', 7, 12, gen_random_uuid(), 1, 10, 10, 9.99, false, now() AT TIME ZONE 'utc', 'a \"quoted\", comma'), "
        "('122', 151, 251, gen_random_uuid(), 1, 10, 10, 9.99, false, now() AT TIME ZONE 'utc', E'two\\nlines'), "
        "('123', 151, 251, gen_random_uuid(), 1, 10, 10, 9.99, false, now() AT TIME ZONE 'utc', '');\n"
        "UPDATE \"Order\" SET \"PaidDateUtc\" = clock_timestamp() AT TIME ZONE 'utc' WHERE \"Id\" = 5;\n"
        "INSERT INTO \"OrderItem\" (\"OrderId\", \"ProductId\", \"OrderItemGuid\", \"Quantity\", \"UnitPriceInclTax\", \"PriceInclTax\") "
        "VALUES (121, 1, gen_random_uuid(), 1, 1, 1), (122, 1, gen_random_uuid(), 1, 1, 1);\n"
        "UPDATE \"Product\" SET \"UpdatedOnUtc\" = clock_timestamp() AT TIME ZONE 'utc' WHERE \"Id\" IN (1, 2, 3);\n"
        "INSERT INTO \"Log\" (\"ShortMessage\", \"LogLevelId\", \"CreatedOnUtc\") SELECT 'x', 10, now() FROM generate_series(1, 11);\n");
}

static void database_newer__counts_by_group(void **state)
{
    struct error err = ERROR_INIT;
    struct database_losses losses = {NULL, 0};
    struct scene s;

    (void)state;
    scene_begin(&s, "shop", NULL);
    assert_ok(database_newer(s.db, &s.dump.facts, &losses, &err));
    assert_int_equal(losses.count, 0);
    database_losses_release(&losses);
    shop_goes_on();
    assert_ok(database_newer(s.db, &s.dump.facts, &losses, &err));
    assert_string_equal(losses.items[0].table, "Order");
    assert_int_equal(losses.items[0].group, GROUP_MONEY);
    assert_int_equal(lost(&losses, "Order"), 3);
    assert_int_equal(lost(&losses, "Order (older, paid since)"), 1);
    assert_int_equal(lost(&losses, "OrderItem"), 2);
    assert_int_equal(lost(&losses, "Customer (registered)"), 2);
    assert_int_equal(lost(&losses, "Customer (guests)"), 3);
    assert_int_equal(lost(&losses, "Product"), 3);
    assert_int_equal(lost(&losses, "Log"), 11);
    assert_int_equal(lost(&losses, "Category"), 0);
    database_losses_release(&losses);
    scene_end(&s);
}

static void database_newer__survives_a_database_that_is_no_shop(void **state)
{
    struct error err = ERROR_INIT;
    struct database_losses losses = {NULL, 0};
    struct text_list lines = TEXT_LIST_INIT;
    struct database_target t = DATABASE_TARGET_INIT;
    struct database *db = NULL;
    struct scene s;

    (void)state;
    scene_begin(&s, "shop", NULL);
    pg_sql("postgres", "CREATE DATABASE empty OWNER shop");
    pg_target("shop", "empty", &t);
    assert_ok(database_open(&t, NULL, &db, &err));
    assert_ok(database_newer(db, &s.dump.facts, &losses, &err));
    assert_int_equal(losses.count, 0);
    assert_ok(database_export_newer(db, &s.dump.facts, pg_folder, &lines, &err));
    assert_ok(database_mails(db, NULL, &s.dump.facts, false, &lines, &err));
    assert_int_equal(lines.count, 0);
    database_losses_release(&losses);
    database_close(db);
    database_target_release(&t);
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
    struct scene s;
    char *text = NULL;

    (void)state;
    scene_begin(&s, "shop", NULL);
    numbers_begin_again(&s.dump.facts);
    shop_goes_on();
    assert_ok(database_newer(s.db, &s.dump.facts, &losses, &err));
    assert_int_equal(lost(&losses, "Order"), 3);
    assert_int_equal(lost(&losses, "Order (older, paid since)"), 1);
    assert_int_equal(lost(&losses, "OrderItem"), 2);
    assert_int_equal(lost(&losses, "Customer (registered)"), 2);
    assert_int_equal(lost(&losses, "Customer (guests)"), 3);
    assert_ok(database_export_newer(s.db, &s.dump.facts, pg_folder, &files, &err));
    text = file_text(files.items[0]);
    assert_non_null(strstr(text, "\r\n121,"));
    assert_null(strstr(text, "\r\n120,"));
    free(text);
    text_list_release(&files);
    database_losses_release(&losses);
    scene_end(&s);
}

static void database_export__writes_what_is_lost(void **state)
{
    struct error err = ERROR_INIT;
    struct text_list files = TEXT_LIST_INIT;
    struct scene s;
    char *text = NULL;

    (void)state;
    scene_begin(&s, "shop", NULL);
    shop_goes_on();
    assert_ok(database_export_newer(s.db, &s.dump.facts, pg_folder, &files, &err));
    assert_int_equal(files.count, 5);
    text = file_text(files.items[0]);
    assert_int_equal(strncmp(text, "Id,CustomOrderNumber,BillingAddressId,CustomerId,", 49), 0);
    assert_non_null(strstr(text, "\r\n121,121,7,12,,")); /* NULL is nothing */
    assert_non_null(strstr(text, ",\"a \"\"quoted\"\", comma\","));
    assert_non_null(strstr(text, ",\"two\nlines\","));
    assert_non_null(strstr(text, ",9.9900,\"\",,")); /* the empty string is quoted */
    assert_null(strstr(text, "\r\n120,"));
    free(text);
    text = file_text(files.items[3]); /* customers: the new ones and whoever placed a lost order */
    assert_non_null(strstr(text, "\r\n12,customer12,"));
    assert_non_null(strstr(text, "\r\n255,"));
    assert_null(strstr(text, "\r\n13,"));
    free(text);
    text = file_text(files.items[4]);
    assert_non_null(strstr(text, "\r\n7,Zoë 7,Müller 🛒 7,"));
    assert_non_null(strstr(text, "\r\n151,New,"));
    free(text);
    text_list_release(&files);
    scene_end(&s);
}

static void database_mails__marks_exactly_those_sent_since(void **state)
{
    struct error err = ERROR_INIT;
    struct text_list lines = TEXT_LIST_INIT;
    struct scene s;
    char *sent = NULL;

    (void)state;
    scene_begin(&s, "shop", NULL);
    /* 91 to 100 are queued. Two are sent, one is replaced by another mail of the same number, one is new. */
    pg_sql(
        "shop",
        "UPDATE \"QueuedEmail\" SET \"SentOnUtc\" = '2099-01-01 00:00:00.123456', \"SentTries\" = 1 WHERE \"Id\" IN (91, 95, 97);"
        "UPDATE \"QueuedEmail\" SET \"To\" = 'somebody@else.example' WHERE \"Id\" = 97;"
        "UPDATE \"QueuedEmail\" SET \"Subject\" = E'bad\\n\\x1bsubject' WHERE \"Id\" = 95;");
    assert_ok(database_mails(s.db, NULL, &s.dump.facts, false, &lines, &err));
    assert_int_equal(lines.count, 3);
    text_list_release(&lines);
    assert_ok(database_mails(s.db, s.beside, &s.dump.facts, false, &lines, &err));
    assert_int_equal(lines.count, 2);
    assert_string_equal(lines.items[0], "#91 to customer91@shop.example, \"Order receipt 91\", sent 2099-01-01 00:00");
    assert_null(strchr(lines.items[1], '\n'));
    text_list_release(&lines);
    assert_int_equal(pg_number(s.beside, "SELECT count(*) FROM \"QueuedEmail\" WHERE \"SentOnUtc\" IS NULL"), 10);
    /* behind the fence, as a rollback does it */
    scene_prepare(&s);
    assert_ok(database_fence(s.db, &s.swap, &err));
    assert_ok(database_mails(s.db, s.beside, &s.dump.facts, true, &lines, &err));
    assert_int_equal(lines.count, 2);
    text_list_release(&lines);
    assert_int_equal(pg_number(s.beside, "SELECT count(*) FROM \"QueuedEmail\" WHERE \"SentOnUtc\" IS NULL"), 8);
    sent = pg_value(s.beside, "SELECT \"SentOnUtc\" FROM \"QueuedEmail\" WHERE \"Id\" = 91");
    assert_string_equal(sent, "2099-01-01 00:00:00.123456");
    free(sent);
    assert_ok(database_mails(s.db, s.beside, &s.dump.facts, true, &lines, &err)); /* repeatable */
    assert_int_equal(lines.count, 0);
    scene_end(&s);
}

static void database_login_works__tells(void **state)
{
    struct error err = ERROR_INIT;
    struct database_target t = DATABASE_TARGET_INIT;

    (void)state;
    pg_target("shop", "shop", &t);
    assert_ok(database_login_works(&t, &err));
    t.password[0] = 'X';
    assert_int_equal(database_login_works(&t, &err), ERR_REMOTE);
    database_target_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(database_swap__goes_to_and_fro_with_an_administrator, fresh_shop),
        cmocka_unit_test_setup(database_swap__goes_to_and_fro_with_the_shops_login, fresh_shop),
        cmocka_unit_test_setup(database_kept__can_be_dumped_by_an_administrator, fresh_shop),
        cmocka_unit_test_setup(database_kept__can_be_dumped_by_the_shops_login, fresh_shop),
        cmocka_unit_test_setup(database_kept__half_dropped_counts_as_gone_and_can_be_dropped, fresh_shop),
        cmocka_unit_test_setup(database_swap__ends_sessions_that_come_back, fresh_shop),
        cmocka_unit_test_setup(database_swap__is_not_stopped_by_autovacuum, fresh_shop),
        cmocka_unit_test_setup(database_swap__killed_anywhere_is_old_or_new, fresh_shop),
        cmocka_unit_test_setup(database_swap__without_a_live_database, fresh_shop),
        cmocka_unit_test_setup(database_swap__a_stranger_under_the_live_name_is_left_alone, fresh_shop),
        cmocka_unit_test_setup(database_swap__another_cluster_is_refused, fresh_shop),
        cmocka_unit_test_setup(database_swap_prepare__refuses_all_obstacles_at_once, fresh_shop),
        cmocka_unit_test_setup(database_fence__keeps_the_shop_out_and_lets_us_look, fresh_shop),
        cmocka_unit_test_setup(database_end_own_sessions__ends_those_of_a_killed_process, fresh_shop),
        cmocka_unit_test_setup(database_newer__counts_by_group, fresh_shop),
        cmocka_unit_test_setup(database_newer__a_number_given_again_is_new_by_its_time, fresh_shop),
        cmocka_unit_test_setup(database_newer__survives_a_database_that_is_no_shop, fresh_shop),
        cmocka_unit_test_setup(database_export__writes_what_is_lost, fresh_shop),
        cmocka_unit_test_setup(database_mails__marks_exactly_those_sent_since, fresh_shop),
        cmocka_unit_test_setup(database_login_works__tells, fresh_shop),
    };

    return cmocka_run_group_tests(tests, pg_server_start, pg_server_stop);
}
