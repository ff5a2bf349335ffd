/* The exchange against a real MariaDB: exact both ways, from every point at which it can be cut short. */
#include "mysql_support.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "mysql_internal.h"

#define TOKEN "0badcafe"
#define BESIDE "shop_nopsnap_" TOKEN
#define KEPT "shop_nopsnap_old_" TOKEN

/* An exchange that is ready: NEW is the shop as it was, OLD is live and has gone on. */
struct exchange {
    struct database_target target;
    struct database_target admin;
    struct database *db;
    struct my_dumped dump;
    struct database_swap swap;
    char *old_text; /* exactly what has to be live on each side */
    char *new_text;
    int crashed; /* the server: it may have forgotten numbers that AUTO_INCREMENT had skipped */
};

static void change_the_shop(void)
{
    my_sql(
        "shop",
        "INSERT INTO `Order` SELECT NULL, `CustomOrderNumber`, `BillingAddressId`, `CustomerId`, `ShippingAddressId`, "
        "'one more', `StoreId`, `OrderStatusId`, `PaymentStatusId`, `PaymentMethodSystemName`, "
        "`CustomerCurrencyCode`, `OrderTotal`, `CustomValuesXml`, `PaidDateUtc`, `Deleted`, `CreatedOnUtc` FROM `Order` "
        "WHERE Id = 1; UPDATE Setting SET Value = 'changed' WHERE Id = 7; CREATE TABLE PluginTable (Id int AUTO_INCREMENT "
        "PRIMARY KEY, o int, FOREIGN KEY (o) REFERENCES `Order` (Id)); DROP TABLE Log");
}

static void change_the_objects(void)
{
    my_sql(
        "shop",
        "DROP VIEW checked; CREATE OR REPLACE VIEW z_view AS SELECT ID, name FROM late_id; DROP TRIGGER counted_b; "
        "CREATE TRIGGER plugin_trigger AFTER INSERT ON PluginTable FOR EACH ROW SET @x = 1; DROP PROCEDURE refill; "
        "CREATE PROCEDURE refill() SELECT 'another'; CREATE FUNCTION plugin_function() RETURNS int DETERMINISTIC RETURN 1; "
        "DROP EVENT sleeping; CREATE EVENT plugin_event ON SCHEDULE EVERY 1 DAY STARTS '2031-01-01' DO SELECT 1; "
        "ALTER EVENT running DISABLE; SELECT NEXTVAL(numbers); ALTER DATABASE shop COLLATE utf8mb4_general_ci");
}

static void exchange_make(struct exchange *x, const char *user, int with_objects)
{
    struct error err = ERROR_INIT;
    struct text_list differences = TEXT_LIST_INIT;
    char *name = NULL;

    memset(x, 0, sizeof *x);
    x->dump = (struct my_dumped)MY_DUMPED_INIT;
    my_target(user, "shop", &x->target);
    assert_ok(database_open(&x->target, NULL, &x->db, &err));
    my_dump_it(x->db, &x->dump);
    x->new_text = my_text("shop");
    change_the_shop();
    if (with_objects)
        change_the_objects();
    x->old_text = my_text("shop");
    assert_ok(database_load_begin(x->db, &x->dump.facts, TOKEN, &name, &err));
    assert_string_equal(name, BESIDE);
    assert_ok(database_load_run(x->db, name, &x->dump.facts, my_source, &x->dump, &err));
    assert_ok(database_compare(x->db, name, &x->dump.facts.counts, &differences, &err));
    assert_int_equal(differences.count, 0);
    assert_ok(database_swap_prepare(x->db, name, TOKEN, &x->swap, &err));
    assert_string_equal(x->swap.kept, KEPT);
    free(name);
}

static void exchange_release(struct exchange *x)
{
    database_close(x->db);
    database_target_release(&x->target);
    database_target_release(&x->admin);
    database_swap_release(&x->swap);
    my_dumped_release(&x->dump);
    free(x->old_text);
    free(x->new_text);
}

static void forget_numbers(char *text)
{
    char *at = text;

    while ((at = strstr(at, "AUTO_INCREMENT=")) != NULL) {
        at += strlen("AUTO_INCREMENT=");
        memmove(at, at + strspn(at, "0123456789"), strlen(at + strspn(at, "0123456789")) + 1);
    }
}

static void assert_live(const struct exchange *x, enum database_side side)
{
    struct error err = ERROR_INIT;
    enum database_side found;
    char *text = my_text("shop");

    assert_ok(database_swap_side(x->db, &x->swap, &found, &err));
    assert_int_equal(found, side);
    if (x->crashed)
        forget_numbers(text);
    my_assert_same_text(side == DATABASE_OLD ? "old" : "new", text, side == DATABASE_OLD ? x->old_text : x->new_text);
    free(text);
}

static void all_events_off(const char *schema)
{
    assert_int_equal(
        my_number("", "SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '%s' AND STATUS = 'ENABLED'",
                  schema),
        0);
}

static void swap__to_new_and_back_is_exact(void **state)
{
    struct error err = ERROR_INIT;
    struct exchange x;

    (void)state;
    exchange_make(&x, NULL, 1);
    assert_live(&x, DATABASE_OLD);
    for (int round = 0; round < 2; round++) {
        assert_ok(database_swap_to(x.db, &x.swap, DATABASE_NEW, &err));
        all_events_off("shop"); /* until the decision */
        all_events_off(KEPT);
        assert_false(my_exists(BESIDE));
        assert_int_equal(
            my_number("", "SELECT DEFAULT_COLLATION_NAME = 'utf8mb4_unicode_ci' FROM information_schema.SCHEMATA WHERE "
                          "SCHEMA_NAME = 'shop'"),
            1);
        assert_ok(database_swap_to(x.db, &x.swap, DATABASE_NEW, &err)); /* twice is once */
        if (round) {
            assert_ok(database_swap_finish(x.db, &x.swap, &err));
            assert_ok(database_swap_finish(x.db, &x.swap, &err));
            assert_live(&x, DATABASE_NEW);
            assert_int_equal(my_number("",
                                       "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'shop' AND "
                                       "TABLE_NAME LIKE 'nopsnap%%'"),
                             0);
        }
        assert_ok(database_swap_to(x.db, &x.swap, DATABASE_OLD, &err));
        assert_live(&x, DATABASE_OLD); /* at once, events and all */
        assert_false(my_exists(KEPT));
        assert_true(my_exists(BESIDE));
        assert_int_equal(
            my_number("", "SELECT DEFAULT_COLLATION_NAME = 'utf8mb4_general_ci' FROM information_schema.SCHEMATA WHERE "
                          "SCHEMA_NAME = 'shop'"),
            1);
        all_events_off(BESIDE);
    }
    assert_int_equal(my_number("shop", "INSERT INTO counted (kind) VALUES ('a'); SELECT MAX(Id) FROM counted"), 5002);
    exchange_release(&x);
}

static void swap__what_happens_on_the_new_side_goes_with_it(void **state)
{
    struct error err = ERROR_INIT;
    struct exchange x;
    char *text = NULL;

    (void)state;
    exchange_make(&x, NULL, 1);
    assert_ok(database_swap_to(x.db, &x.swap, DATABASE_NEW, &err));
    assert_ok(database_swap_finish(x.db, &x.swap, &err));
    my_sql(
        "shop",
        "CREATE TABLE migrated (Id int PRIMARY KEY, o int, FOREIGN KEY (o) REFERENCES `Order` (Id)); CREATE TRIGGER migrated_t "
        "AFTER INSERT ON migrated FOR EACH ROW SET @y = 1; CREATE PROCEDURE migrated_p() SELECT 2; DROP TRIGGER counted_a; "
        "CREATE EVENT migrated_e ON SCHEDULE EVERY 1 DAY DO SELECT 3");
    text = my_text("shop");
    assert_ok(database_swap_to(x.db, &x.swap, DATABASE_OLD, &err));
    assert_live(&x, DATABASE_OLD);
    assert_ok(database_swap_finish(x.db, &x.swap, &err));
    assert_live(&x, DATABASE_OLD);
    free(x.new_text);
    x.new_text = text;
    assert_ok(database_swap_to(x.db, &x.swap, DATABASE_NEW, &err));
    assert_ok(database_swap_finish(x.db, &x.swap, &err));
    assert_live(&x, DATABASE_NEW);
    exchange_release(&x);
}

static void kept__can_be_dumped_as_it_was(void **state)
{
    struct error err = ERROR_INIT;
    struct my_dumped d = MY_DUMPED_INIT;
    struct database *kept = NULL;
    struct exchange x;
    char *text = NULL;

    (void)state;
    exchange_make(&x, NULL, 1);
    assert_ok(database_swap_to(x.db, &x.swap, DATABASE_NEW, &err));
    assert_ok(database_swap_finish(x.db, &x.swap, &err));
    assert_ok(database_open_beside(x.db, KEPT, &kept, &err));
    my_dump_it(kept, &d);
    assert_ok(database_load_run(x.db, "copy", &d.facts, my_source, &d, &err));
    text = my_text("copy");
    my_assert_same_text("copy", text, x.old_text); /* also the event that nopsnap holds back in the kept one */
    free(text);
    database_close(kept);
    my_dumped_release(&d);
    exchange_release(&x);
}

/* Killed between the end of an undo and the end of its journal: recovery comes a second time. */
static void swap__undone_and_ended_is_old_for_ever(void **state)
{
    struct error err = ERROR_INIT;
    struct exchange x;

    my_plain_shop_make(state);
    exchange_make(&x, NULL, 0);
    assert_ok(database_swap_to(x.db, &x.swap, DATABASE_NEW, &err));
    for (int time = 0; time < 2; time++) {
        enum database_side side = DATABASE_NEW;

        assert_ok(database_swap_to(x.db, &x.swap, DATABASE_OLD, &err));
        assert_ok(database_swap_finish(x.db, &x.swap, &err));
        assert_ok(database_kept_drop(x.db, BESIDE, x.swap.new_identity, &err));
        assert_ok(database_swap_side(x.db, &x.swap, &side, &err));
        assert_int_equal(side, DATABASE_OLD);
    }
    assert_live(&x, DATABASE_OLD);
    exchange_release(&x);
}

static void kept_drop__drops_what_was_recorded_and_nothing_else(void **state)
{
    struct error err = ERROR_INIT;
    struct exchange x;

    (void)state;
    exchange_make(&x, NULL, 0);
    assert_ok(database_swap_to(x.db, &x.swap, DATABASE_NEW, &err));
    assert_ok(database_swap_finish(x.db, &x.swap, &err));
    assert_int_equal(database_kept_drop(x.db, KEPT, x.swap.new_identity, &err), ERR_REFUSED);
    assert_int_equal(database_kept_drop(x.db, "shop", x.swap.old_identity, &err), ERR_REFUSED);
    my_sql("", "CREATE DATABASE shop_nopsnap_old_11111111; CREATE TABLE shop_nopsnap_old_11111111.t (a int)");
    assert_int_equal(database_kept_drop(x.db, "shop_nopsnap_old_11111111", x.swap.old_identity, &err), ERR_REFUSED);
    assert_true(my_exists("shop_nopsnap_old_11111111"));
    assert_true(my_exists(KEPT));
    error_clear(&err);
    assert_ok(database_kept_drop(x.db, KEPT, x.swap.old_identity, &err));
    assert_false(my_exists(KEPT));
    assert_ok(database_kept_drop(x.db, KEPT, x.swap.old_identity, &err));
    assert_ok(database_swap_finish(x.db, &x.swap, &err)); /* the end of an end */
    exchange_release(&x);
}

static void swap__no_live_database_before(void **state)
{
    struct error err = ERROR_INIT;
    struct database_info info = DATABASE_INFO_INIT;
    struct exchange x;
    enum database_side side;
    char *name = NULL;
    char *text = NULL;

    (void)state;
    exchange_make(&x, NULL, 1);
    database_close(x.db);
    database_swap_release(&x.swap);
    my_sql("", "DROP DATABASE shop; DROP DATABASE " BESIDE);
    assert_ok(database_open(&x.target, NULL, &x.db, &err));
    assert_ok(database_probe(x.db, &info, &err));
    assert_false(info.exists);
    assert_null(info.identity);
    assert_true(info.can_beside);
    x.dump.at = 0;
    assert_ok(database_load_begin(x.db, &x.dump.facts, TOKEN, &name, &err));
    assert_ok(database_load_run(x.db, name, &x.dump.facts, my_source, &x.dump, &err));
    assert_ok(database_swap_prepare(x.db, name, TOKEN, &x.swap, &err));
    assert_null(x.swap.old_identity);
    assert_ok(database_fence(x.db, &x.swap, &err));
    for (int round = 0; round < 2; round++) {
        assert_ok(database_swap_side(x.db, &x.swap, &side, &err));
        assert_int_equal(side, DATABASE_OLD);
        assert_false(my_exists("shop"));
        assert_ok(database_swap_to(x.db, &x.swap, DATABASE_NEW, &err));
        if (round)
            assert_ok(database_swap_finish(x.db, &x.swap, &err));
        assert_ok(database_swap_side(x.db, &x.swap, &side, &err));
        assert_int_equal(side, DATABASE_NEW);
        assert_false(my_exists(BESIDE));
        if (!round)
            assert_ok(database_swap_to(x.db, &x.swap, DATABASE_OLD, &err));
    }
    assert_ok(database_unfence(x.db, &x.swap, &err));
    text = my_text("shop");
    assert_string_equal(text, x.new_text);
    free(text);
    free(name);
    database_info_release(&info);
    exchange_release(&x);
}

static void swap__by_the_shops_own_login(void **state)
{
    struct error err = ERROR_INIT;
    struct exchange x;

    my_plain_shop_make(state);
    my_account("ALL ON `shop`.*;ALL ON `shop\\_%`.*");
    exchange_make(&x, "shop", 0);
    assert_ok(database_fence(x.db, &x.swap, &err));
    assert_ok(database_swap_to(x.db, &x.swap, DATABASE_NEW, &err));
    assert_ok(database_swap_finish(x.db, &x.swap, &err));
    assert_ok(database_unfence(x.db, &x.swap, &err));
    assert_live(&x, DATABASE_NEW);
    assert_ok(database_login_works(&x.target, &err));
    assert_ok(database_swap_to(x.db, &x.swap, DATABASE_OLD, &err));
    assert_live(&x, DATABASE_OLD);
    exchange_release(&x);
}

static void prepare__obstacles_are_refused_and_change_nothing(void **state)
{
    struct error err = ERROR_INIT;
    struct database_swap again = DATABASE_SWAP_INIT;
    struct exchange x;

    (void)state;
    exchange_make(&x, NULL, 0);
    my_sql(
        "",
        "CREATE DATABASE elsewhere; CREATE TABLE elsewhere.child (a int, FOREIGN KEY (a) REFERENCES shop.`Order` (Id))");
    assert_int_equal(database_swap_prepare(x.db, BESIDE, TOKEN, &again, &err), ERR_REFUSED);
    assert_non_null(strstr(err.text, "elsewhere.child"));
    my_sql("", "DROP DATABASE elsewhere");
    assert_int_equal(database_swap_prepare(x.db, "mysql", TOKEN, &again, &err),
                     ERR_REFUSED); /* nothing that nopsnap loaded */
    error_clear(&err);
    assert_ok(database_swap_prepare(x.db, BESIDE, TOKEN, &again, &err));
    assert_string_equal(again.old_identity, x.swap.old_identity);
    assert_live(&x, DATABASE_OLD);
    database_swap_release(&again);
    exchange_release(&x);
}

static void swap__a_replaced_live_database_is_noticed(void **state)
{
    struct error err = ERROR_INIT;
    enum database_side side;
    struct exchange x;

    (void)state;
    exchange_make(&x, NULL, 0);
    my_sql("", "DROP DATABASE shop; CREATE DATABASE shop; CREATE TABLE shop.other (a int)");
    assert_int_equal(database_swap_side(x.db, &x.swap, &side, &err), ERR_PENDING);
    assert_int_equal(database_swap_to(x.db, &x.swap, DATABASE_NEW, &err), ERR_PENDING);
    assert_int_equal(database_swap_to(x.db, &x.swap, DATABASE_OLD, &err), ERR_PENDING);
    assert_int_equal(my_number("", "SELECT COUNT(*) FROM shop.other"), 0);
    exchange_release(&x);
}

/* ---- sessions ---- */

static pid_t session(const char *sql)
{
    char command[512];
    pid_t pid = fork();

    if (pid == 0) {
        snprintf(command, sizeof command, "exec mariadb --no-defaults -u root -S %s shop -e '%s' >/dev/null 2>&1",
                 my_socket, sql);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 250; i++) {
        if (my_number(
                "",
                "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = 'shop' AND INFO LIKE '%%SLEEP%%' AND ID <> "
                "CONNECTION_ID()"))
            return pid;
        usleep(20000);
    }
    fail_msg("the session did not start");
    return pid;
}

static void swap__ends_sessions_that_hold_locks(void **state)
{
    struct error err = ERROR_INIT;
    struct exchange x;
    int status = 0;
    pid_t pid;

    (void)state;
    exchange_make(&x, NULL, 0);
    pid = session("BEGIN; UPDATE Setting SET Value = 1 WHERE Id = 1; SELECT SLEEP(100)");
    assert_ok(database_swap_to(x.db, &x.swap, DATABASE_NEW, &err));
    assert_ok(database_swap_finish(x.db, &x.swap, &err));
    assert_live(&x, DATABASE_NEW);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 0);
    exchange_release(&x);
}

static void fence__locks_the_shops_account_and_gives_it_back(void **state)
{
    struct error err = ERROR_INIT;
    struct exchange x;
    struct database *shop = NULL;
    char path[64];
    FILE *f = NULL;

    (void)state;
    my_account("ALL ON `shop`.*");
    exchange_make(&x, NULL, 0);
    database_close(x.db);
    x.db = NULL;
    database_swap_release(&x.swap);
    database_target_release(&x.target);
    my_target("shop", "shop", &x.target);
    snprintf(path, sizeof path, "%s/admin.cnf", my_folder);
    f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "[client]\nuser = root\n");
    fclose(f);
    assert_int_equal(chmod(path, 0600), 0);
    assert_ok(database_target_admin(&x.target, path, &x.admin, &err));
    assert_ok(database_open(&x.target, &x.admin, &x.db, &err));
    assert_ok(database_swap_prepare(x.db, BESIDE, TOKEN, &x.swap, &err));
    assert_ok(database_open(&x.target, NULL, &shop, &err));
    assert_ok(database_fence(x.db, &x.swap, &err));
    assert_ok(database_fence(x.db, &x.swap, &err));
    assert_int_equal(database_login_works(&x.target, &err), ERR_REMOTE);
    assert_non_null(strstr(err.hint, "locked"));
    error_clear(&err);
    assert_ok(database_swap_to(x.db, &x.swap, DATABASE_NEW, &err));
    assert_ok(database_unfence(x.db, &x.swap, &err));
    assert_ok(database_unfence(x.db, &x.swap, &err));
    assert_ok(database_login_works(&x.target, &err));
    assert_ok(database_swap_finish(x.db, &x.swap, &err));
    assert_live(&x, DATABASE_NEW);
    database_close(shop);
    exchange_release(&x);
}

static void fence__spares_an_account_that_serves_others_too(void **state)
{
    struct error err = ERROR_INIT;
    struct exchange x;

    (void)state;
    my_sql("", "CREATE DATABASE blog");
    my_account("ALL ON `shop`.*;ALL ON `blog`.*");
    exchange_make(&x, NULL, 0);
    database_close(x.db);
    x.db = NULL;
    database_swap_release(&x.swap);
    my_target(NULL, "shop", &x.admin);
    database_target_release(&x.target);
    my_target("shop", "shop", &x.target);
    assert_ok(database_open(&x.target, &x.admin, &x.db, &err));
    assert_ok(database_swap_prepare(x.db, BESIDE, TOKEN, &x.swap, &err));
    assert_ok(database_fence(x.db, &x.swap, &err));
    assert_ok(database_login_works(&x.target, &err));
    exchange_release(&x);
}

/* ---- cut short ---- */

/* A process of its own does the exchange; it is killed after so many microseconds. True if it was done before. */
static int killed_swap(const struct exchange *x, enum database_side side, long us)
{
    struct timespec t = {us / 1000000, us % 1000000 * 1000};
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        struct error err = ERROR_INIT;
        struct database *db = NULL;

        if (database_open(&x->target, NULL, &db, &err) || database_swap_to(db, &x->swap, side, &err)) {
            fprintf(stderr, "swap: %s\n", err.text);
            _exit(1);
        }
        if (side == DATABASE_NEW && database_swap_finish(db, &x->swap, &err)) {
            fprintf(stderr, "finish: %s\n", err.text);
            _exit(1);
        }
        _exit(0);
    }
    nanosleep(&t, NULL);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return !WIFSIGNALED(status);
}

/* As another nopsnap does, later: its sessions are not those of the one that was killed. */
static void recover_to(struct exchange *x, enum database_side side)
{
    struct error err = ERROR_INIT;

    database_close(x->db);
    x->db = NULL;
    assert_ok(database_open(&x->target, NULL, &x->db, &err));
    assert_ok(database_end_own_sessions(x->db, &err));
    assert_ok(database_swap_to(x->db, &x->swap, side, &err));
    if (side == DATABASE_NEW)
        assert_ok(database_swap_finish(x->db, &x->swap, &err));
    assert_live(x, side);
}

/* Rounds can be raised for a long run: NOPSNAP_TEST_ROUNDS. */
static int rounds(int usual)
{
    const char *wanted = getenv("NOPSNAP_TEST_ROUNDS");

    return wanted ? atoi(wanted) : usual;
}

static void swap__killed_at_any_moment_reaches_either_side(void **state)
{
    struct exchange x;
    int cut = 0;
    long span = 1000000;

    (void)state;
    exchange_make(&x, NULL, 1);
    srand(7);
    for (int i = 0; i < rounds(16); i++) {
        enum database_side from;
        enum database_side way;
        struct error err = ERROR_INIT;

        assert_ok(database_swap_side(x.db, &x.swap, &from, &err));
        if (!killed_swap(&x, 1 - from, rand() % span)) {
            cut++;
            if (rand() % 3 == 0) /* and the recovery, too */
                (void)killed_swap(&x, rand() % 2 ? DATABASE_OLD : DATABASE_NEW, rand() % span);
        } else
            span = span > 40000 ? span * 2 / 3 : span; /* shorter, so that most rounds are cut */
        way = rand() % 2 ? DATABASE_OLD : DATABASE_NEW;
        recover_to(&x, way);
    }
    assert_true(cut >= rounds(16) / 4);
    exchange_release(&x);
}

/* The server dies, too: what it has committed must be enough. */
static void swap__server_killed_reaches_either_side(void **state)
{
    struct exchange x;
    char command[768];

    (void)state;
    my_sql("shop",
           "DROP TABLE parted"); /* the server's own renames of partitions do not survive this: the probe says so */
    exchange_make(&x, NULL, 1);
    x.crashed = 1;
    forget_numbers(x.old_text);
    forget_numbers(x.new_text);
    my_sql(
        "",
        "SET GLOBAL innodb_flush_log_at_trx_commit = 1"); /* what is committed is there: the default outside of tests */
    srand(11);
    for (int i = 0; i < rounds(16) / 4; i++) {
        struct error err = ERROR_INIT;
        enum database_side from;
        pid_t pid;

        assert_ok(database_swap_side(x.db, &x.swap, &from, &err));
        database_close(x.db);
        x.db = NULL;
        pid = fork();
        if (pid == 0) {
            struct database *db = NULL;

            if (!database_open(&x.target, NULL, &db, &err))
                (void)database_swap_to(db, &x.swap, 1 - from, &err);
            _exit(0);
        }
        usleep((useconds_t)(20000 + rand() % 200000));
        snprintf(
            command, sizeof command,
            "kill -9 $(cat %s/pid); while kill -0 $(cat %s/pid) 2>/dev/null; do sleep 0.05; done; "
            "NOPSNAP_MARIADB_OPTIONS=--innodb-flush-log-at-trx-commit=1 %s/tests/fixture/mariadb.sh start %s >/dev/null",
            my_folder, my_folder, getenv("NOPSNAP_SOURCE_DIR"), my_folder);
        assert_int_equal(system(command), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_ok(database_open(&x.target, NULL, &x.db, &err));
        recover_to(&x, i % 2 ? DATABASE_OLD : DATABASE_NEW);
    }
    exchange_release(&x);
}

/* What a server leaves behind that renames table by table: some of one set moved, none or some of the other. */
static void swap__half_a_rename_reaches_either_side(void **state)
{
    struct error err = ERROR_INIT;
    struct text_list old_tables = TEXT_LIST_INIT;
    struct text_list new_tables = TEXT_LIST_INIT;
    struct mysql_objects none = MYSQL_OBJECTS_INIT;
    struct exchange x;
    int64_t old_keys;
    int64_t new_keys;

    my_plain_shop_make(state);
    exchange_make(&x, NULL, 0);
    assert_ok(mysql_tables(x.db, "shop", true, &old_tables, &err));
    assert_ok(mysql_tables(x.db, BESIDE, true, &new_tables, &err));
    old_keys = my_number(
        "", "SELECT COUNT(*) FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = 'shop'");
    new_keys = my_number(
        "", "SELECT COUNT(*) FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = '" BESIDE "'");
    assert_true(new_keys > 5);
    assert_true(old_keys > 5);
    for (size_t cut = 0; cut < old_tables.count + new_tables.count; cut += 6) {
        enum database_side found;
        FILE *statements = NULL;
        char *text = NULL;
        size_t len = 0;

        assert_ok(mysql_marker_begin_move(x.db, "shop", &old_tables, &none, old_keys, &err));
        assert_ok(mysql_marker_begin_move(x.db, BESIDE, &new_tables, &none, new_keys, &err));
        statements = open_memstream(&text, &len);
        assert_non_null(statements);
        fprintf(statements, "CREATE DATABASE " KEPT ";\n");
        for (size_t i = 0; i < cut && i < old_tables.count; i++)
            fprintf(statements, "RENAME TABLE shop.`%s` TO " KEPT ".`%s`;\n", old_tables.items[i], old_tables.items[i]);
        if (cut > old_tables.count)
            fprintf(statements, "RENAME TABLE shop.nopsnap_marker TO " KEPT ".nopsnap_marker;\n");
        for (size_t i = 0; i + old_tables.count < cut; i++)
            fprintf(statements, "RENAME TABLE " BESIDE ".`%s` TO shop.`%s`;\n", new_tables.items[i],
                    new_tables.items[i]);
        fclose(statements);
        my_sql("", "%s", text);
        free(text);
        assert_int_equal(database_swap_side(x.db, &x.swap, &found, &err), ERR_PENDING);
        error_clear(&err);
        if (cut % 12) {
            assert_ok(database_swap_to(x.db, &x.swap, DATABASE_NEW, &err));
            assert_live(&x, DATABASE_NEW);
        }
        assert_ok(database_swap_to(x.db, &x.swap, DATABASE_OLD, &err));
        assert_live(&x, DATABASE_OLD);
    }
    text_list_release(&old_tables);
    text_list_release(&new_tables);
    exchange_release(&x);
}

#define shop_test(f) cmocka_unit_test_setup(f, my_shop_make)

int main(void)
{
    const struct CMUnitTest tests[] = {
        shop_test(swap__to_new_and_back_is_exact),
        shop_test(swap__what_happens_on_the_new_side_goes_with_it),
        shop_test(kept__can_be_dumped_as_it_was),
        shop_test(swap__undone_and_ended_is_old_for_ever),
        shop_test(kept_drop__drops_what_was_recorded_and_nothing_else),
        shop_test(swap__no_live_database_before),
        cmocka_unit_test(swap__by_the_shops_own_login),
        shop_test(prepare__obstacles_are_refused_and_change_nothing),
        shop_test(swap__a_replaced_live_database_is_noticed),
        shop_test(swap__ends_sessions_that_hold_locks),
        shop_test(fence__locks_the_shops_account_and_gives_it_back),
        shop_test(fence__spares_an_account_that_serves_others_too),
        cmocka_unit_test(swap__half_a_rename_reaches_either_side),
        shop_test(swap__killed_at_any_moment_reaches_either_side),
        shop_test(swap__server_killed_reaches_either_side),
    };

    return cmocka_run_group_tests(tests, my_server_start, my_server_stop);
}
