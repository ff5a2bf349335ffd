/* The PostgreSQL engine: connecting, probing, dumping, loading, against a real server. */
#include "postgres_support.h"

#include <signal.h>
#include <sys/wait.h>

/* A struct database and its targets, as one piece of test state. */
struct session {
    struct database_target target;
    struct database_target admin;
    struct database *db;
};

static void session_open(struct session *s, const char *user, const char *admin)
{
    struct error err = ERROR_INIT;

    *s = (struct session){DATABASE_TARGET_INIT, DATABASE_TARGET_INIT, NULL};
    pg_target(user, "shop", &s->target);
    if (admin)
        pg_target(strcmp(admin, "nop") == 0 ? NULL : admin, "shop", &s->admin);
    assert_ok(database_open(&s->target, admin ? &s->admin : NULL, &s->db, &err));
}

static void session_close(struct session *s)
{
    database_close(s->db);
    database_target_release(&s->target);
    database_target_release(&s->admin);
}

static int fresh_shop(void **state)
{
    (void)state;
    pg_shop_make();
    return 0;
}

/* ---- connecting ---- */

static void database_open__tells_a_wrong_password(void **state)
{
    struct error err = ERROR_INIT;
    struct database_target t = DATABASE_TARGET_INIT;
    struct database *db = NULL;

    (void)state;
    pg_target("shop", "shop", &t);
    free(t.password);
    t.password = strdup("hunter2hunter2");
    assert_int_equal(database_open(&t, NULL, &db, &err), ERR_REMOTE);
    assert_null(db);
    assert_non_null(strstr(err.text, "password authentication failed"));
    assert_non_null(strstr(err.hint, "user and password"));
    assert_null(strstr(err.text, "hunter2"));
    database_target_release(&t);
}

static void database_open__tells_a_server_that_is_down(void **state)
{
    struct error err = ERROR_INIT;
    struct database_target t = DATABASE_TARGET_INIT;
    struct database *db = NULL;

    (void)state;
    assert_ok(
        database_target_parse("postgresql", "Host=/nonexistent;Database=shop;Username=shop;Password=s3cr3t", &t, &err));
    assert_int_equal(database_open(&t, NULL, &db, &err), ERR_REMOTE);
    assert_non_null(strstr(err.hint, "running"));
    assert_null(strstr(err.text, "s3cr3t"));
    database_target_release(&t);
}

static void database_open__missing_database_is_no_error(void **state)
{
    struct error err = ERROR_INIT;
    struct database_target t = DATABASE_TARGET_INIT;
    struct database_info info = DATABASE_INFO_INIT;
    struct database *db = NULL;

    (void)state;
    pg_target("shop", "no such shop", &t);
    assert_ok(database_open(&t, NULL, &db, &err));
    assert_ok(database_probe(db, &info, &err));
    assert_false(info.exists);
    assert_null(info.identity);
    assert_true(info.can_beside);
    database_info_release(&info);
    database_close(db);
    database_target_release(&t);
}

/* ---- probing ---- */

static void database_probe__knows_a_shop(void **state)
{
    struct error err = ERROR_INIT;
    struct database_info info = DATABASE_INFO_INIT;
    struct session s;

    (void)state;
    pg_sql(
        "shop",
        "INSERT INTO \"Setting\" (\"Name\", \"Value\", \"StoreId\") VALUES ('MediaSettings.PicturePath', '/srv/pictures', 0)");
    session_open(&s, "shop", NULL);
    assert_ok(database_probe(s.db, &info, &err));
    assert_true(info.exists);
    assert_true(info.is_nopcommerce);
    assert_string_equal(info.picture_path, "/srv/pictures");
    assert_false(info.pictures_in_database);
    assert_true(info.can_beside);
    assert_non_null(strchr(info.identity, '/'));
    assert_true(info.size > 1000000);
    assert_int_equal(info.obstacles.count, 0);
    database_info_release(&info);
    session_close(&s);
}

static void database_probe__names_the_missing_right(void **state)
{
    struct error err = ERROR_INIT;
    struct database_info info = DATABASE_INFO_INIT;
    struct session s;

    (void)state;
    pg_sql("postgres", "ALTER ROLE shop NOCREATEDB");
    session_open(&s, "shop", NULL);
    assert_ok(database_probe(s.db, &info, &err));
    assert_false(info.can_beside);
    assert_non_null(strstr(info.why_in_place, "may not create databases"));
    database_info_release(&info);
    session_close(&s);
    session_open(&s, "shop", "nop");
    assert_ok(database_probe(s.db, &info, &err));
    assert_true(info.can_beside);
    database_info_release(&info);
    session_close(&s);
}

static void database_probe__lists_obstacles(void **state)
{
    struct error err = ERROR_INIT;
    struct database_info info = DATABASE_INFO_INIT;
    struct session s;

    (void)state;
    pg_sql("shop", "SELECT pg_create_logical_replication_slot('a_slot', 'pgoutput')");
    pg_sql("shop", "BEGIN; CREATE TABLE t1 (a int); PREPARE TRANSACTION 'half done'");
    session_open(&s, "shop", NULL);
    assert_ok(database_probe(s.db, &info, &err));
    pg_sql("shop", "ROLLBACK PREPARED 'half done'");
    pg_sql("shop", "SELECT pg_drop_replication_slot('a_slot')");
    assert_int_equal(info.obstacles.count, 2);
    assert_non_null(strstr(info.obstacles.items[0], "a_slot"));
    assert_non_null(strstr(info.obstacles.items[1], "half done"));
    database_info_release(&info);
    session_close(&s);
}

/* ---- dumping ---- */

static enum error_kind discard(void *arg, const void *bytes, size_t len, struct error *err)
{
    (void)bytes;
    (void)err;
    *(size_t *)arg += len;
    return OK;
}

static void database_dump__is_the_view_at_begin(void **state)
{
    struct error err = ERROR_INIT;
    struct database_facts facts = DATABASE_FACTS_INIT;
    struct database_dump *dump = NULL;
    struct session s;
    size_t bytes = 0;
    int64_t before = pg_number("shop", "SELECT count(*) FROM \"Order\"");
    bool seen = false;

    (void)state;
    session_open(&s, "shop", NULL);
    assert_ok(database_dump_begin(s.db, &dump, &err));
    pg_sql(
        "shop",
        "INSERT INTO \"OrderNote\" (\"Note\", \"OrderId\", \"DownloadId\", \"DisplayToCustomer\", \"CreatedOnUtc\") "
        "SELECT 'later', 1, 0, false, now() FROM generate_series(1, 7); DELETE FROM \"OrderItem\" WHERE \"OrderId\" > 100");
    assert_ok(database_dump_run(dump, discard, &bytes, &err));
    assert_ok(database_dump_end(dump, &facts, &err));
    assert_true(bytes > 100000);
    for (size_t i = 0; i < facts.counts.count; i++) {
        const struct database_table *t = &facts.counts.tables[i];

        if (strcmp(t->name, "public.Order") == 0) {
            assert_int_equal(t->rows, before);
            assert_int_equal(t->max_id, 120);
            seen = true;
        }
        if (strcmp(t->name, "public.OrderNote") == 0)
            assert_int_equal(t->rows, 120);
        if (strcmp(t->name, "public.OrderItem") == 0)
            assert_int_equal(t->rows, 300);
        if (strcmp(t->name, "plugin.parent") == 0) /* its own row, not its children's */
            assert_int_equal(t->rows, 1);
        if (strcmp(t->name, "plugin.weird \"name\".dot") == 0)
            assert_true(t->max_id == 9007199254740993);
        if (i)
            assert_true(strcmp(facts.counts.tables[i - 1].name, t->name) < 0);
    }
    assert_true(seen);
    assert_true(facts.is_nopcommerce);
    assert_string_equal(facts.format, "pg_dump custom");
    assert_string_equal(facts.database, "shop");
    assert_true(facts.moment_ns > 1600000000000000000);
    database_facts_release(&facts);
    session_close(&s);
}

struct pictures {
    uint64_t count;
    int64_t sum;
    uint64_t fail_after; /* 0: never */
};

static enum error_kind add_picture(void *arg, int64_t id, struct error *err)
{
    struct pictures *p = arg;

    if (p->fail_after && p->count == p->fail_after)
        return error_set(err, ERR_SPACE, 0, "no more room for names");
    p->count++;
    p->sum += id;
    return OK;
}

static void database_dump__hands_over_the_pictures_of_its_view(void **state)
{
    struct error err = ERROR_INIT;
    struct database_facts facts = DATABASE_FACTS_INIT;
    struct database_dump *dump = NULL;
    struct pictures pictures = {0, 0, 0};
    struct session s;
    size_t bytes = 0;

    (void)state;
    pg_sql("shop", "INSERT INTO \"Picture\" (\"Id\", \"MimeType\", \"IsNew\") VALUES (10000000, 'image/png', false)");
    session_open(&s, "shop", NULL);
    assert_ok(database_dump_begin(s.db, &dump, &err));
    pg_sql("shop", "INSERT INTO \"Picture\" (\"Id\", \"MimeType\", \"IsNew\") VALUES (5000, 'image/png', false); "
                   "DELETE FROM \"Picture\" WHERE \"Id\" = 60");
    database_dump_pictures(dump, add_picture, &pictures);
    assert_ok(database_dump_run(dump, discard, &bytes, &err));
    assert_ok(database_dump_end(dump, &facts, &err));
    assert_int_equal(pictures.count, 61);
    assert_int_equal(pictures.sum, 60 * 61 / 2 + 10000000);
    database_facts_release(&facts);

    pictures = (struct pictures){0, 0, 7};
    assert_ok(database_dump_begin(s.db, &dump, &err));
    database_dump_pictures(dump, add_picture, &pictures);
    assert_int_equal(database_dump_run(dump, discard, &bytes, &err), ERR_SPACE);
    assert_non_null(strstr(err.text, "no more room for names"));
    assert_int_equal(pictures.count, 7);
    error_clear(&err);
    assert_ok(database_dump_end(dump, NULL, &err));

    pg_sql("shop", "DROP TABLE \"Picture\" CASCADE");
    pictures = (struct pictures){0, 0, 0};
    assert_ok(database_dump_begin(s.db, &dump, &err));
    database_dump_pictures(dump, add_picture, &pictures);
    assert_ok(database_dump_run(dump, discard, &bytes, &err));
    assert_ok(database_dump_end(dump, NULL, &err));
    assert_int_equal(pictures.count, 0);
    session_close(&s);
}

static void database_dump__is_stable(void **state)
{
    struct pg_dumped a = PG_DUMPED_INIT;
    struct pg_dumped b = PG_DUMPED_INIT;
    struct session s;
    size_t differ = 0;

    (void)state;
    session_open(&s, "shop", NULL);
    pg_dump_it(s.db, &a);
    pg_dump_it(s.db, &b);
    assert_int_equal(a.bytes.len, b.bytes.len);
    for (size_t i = 0; i < a.bytes.len; i++)
        differ += a.bytes.data[i] != b.bytes.data[i];
    assert_true(differ < 16); /* the time stamp in the header */
    pg_dumped_release(&a);
    pg_dumped_release(&b);
    session_close(&s);
}

/* 0 if no argument list and no environment of our running pg_dump holds the password. */
static int look_at_children(void)
{
    char command[512];

    snprintf(command, sizeof command,
             "p=$(pgrep -P %d pg_dump) && [ -n \"$p\" ] && grep -q PGPASSFILE /proc/$p/environ && "
             "! grep -q 'secret of' /proc/$p/cmdline /proc/$p/environ",
             (int)getpid());
    return system(command);
}

static void database_dump__shows_no_password(void **state)
{
    struct error err = ERROR_INIT;
    struct database_dump *dump = NULL;
    struct session s;
    size_t bytes = 0;

    (void)state;
    /* more than the pipe holds, so that pg_dump is there to be looked at */
    pg_sql("shop", "SET ROLE shop; CREATE TABLE filler AS SELECT n, repeat('x', 1000) FROM generate_series(1, 5000) n");
    session_open(&s, "shop", NULL);
    assert_ok(database_dump_begin(s.db, &dump, &err));
    assert_int_equal(look_at_children(), 0);
    assert_ok(database_dump_run(dump, discard, &bytes, &err));
    assert_ok(database_dump_end(dump, NULL, &err));
    session_close(&s);
}

static enum error_kind refuse(void *arg, const void *bytes, size_t len, struct error *err)
{
    (void)arg;
    (void)bytes;
    (void)len;
    return error_set(err, ERR_SPACE, 0, "no room");
}

static void database_dump__given_up_leaves_nothing_behind(void **state)
{
    struct error err = ERROR_INIT;
    struct error after = ERROR_INIT;
    struct database_dump *dump = NULL;
    struct session s;

    (void)state;
    session_open(&s, "shop", NULL);
    assert_ok(database_dump_begin(s.db, &dump, &err));
    assert_int_equal(database_dump_run(dump, refuse, NULL, &err), ERR_SPACE);
    assert_int_equal(database_dump_end(dump, NULL, &after), OK);
    session_close(&s);
    usleep(300000);
    assert_int_equal(
        pg_number("postgres", "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'nopsnap%%'"), 0);
}

static void database_dump__unreadable_table_is_named(void **state)
{
    struct error err = ERROR_INIT;
    struct database_dump *dump = NULL;
    struct session s;
    size_t bytes = 0;
    enum error_kind rc;

    (void)state;
    pg_sql("shop", "CREATE TABLE of_another (a int); REVOKE ALL ON of_another FROM PUBLIC");
    session_open(&s, "shop", NULL);
    rc = database_dump_begin(s.db, &dump, &err);
    if (!rc) {
        rc = database_dump_run(dump, discard, &bytes, &err);
        database_dump_end(dump, NULL, &err);
    }
    assert_int_equal(rc, ERR_REMOTE);
    if (!strstr(err.text, "of_another"))
        fail_msg("%s", err.text);
    session_close(&s);
}

/* ---- loading ---- */

static void load_and_compare(const char *user, const char *admin)
{
    struct error err = ERROR_INIT;
    struct pg_dumped d = PG_DUMPED_INIT;
    struct text_list differences = TEXT_LIST_INIT;
    struct session s;
    char *name = NULL;
    char *again = NULL;
    char *before = NULL;
    char *after = NULL;

    pg_sql("shop", "SELECT setval('\"Order_Id_seq\"', 5000)");
    session_open(&s, user, admin);
    pg_dump_it(s.db, &d);
    before = pg_text("shop");
    assert_ok(database_load_begin(s.db, &d.facts, "0123abcd", &name, &err));
    assert_string_equal(name, "shop_nopsnap_0123abcd");
    /* a repeated call removes the half-loaded one */
    pg_sql(name, "CREATE TABLE half (a int)");
    assert_ok(database_load_begin(s.db, &d.facts, "0123abcd", &again, &err));
    assert_string_equal(name, again);
    assert_ok(database_load_run(s.db, name, &d.facts, pg_source, &d, &err));
    if (database_notes(s.db)->count)
        fail_msg("%s", database_notes(s.db)->items[0]);
    assert_ok(database_compare(s.db, name, &d.facts.counts, &differences, &err));
    assert_int_equal(differences.count, 0);
    after = pg_text(name);
    assert_string_equal(before, after);
    assert_int_equal(pg_number(name, "SELECT nextval('\"Order_Id_seq\"')"), 5001);
    pg_sql(name, "SET ROLE shop; DELETE FROM plugin.\"Kinds\" WHERE \"Id\" = 1; CREATE TABLE plugin.extra (a int)");
    assert_ok(database_compare(s.db, name, &d.facts.counts, &differences, &err));
    assert_int_equal(differences.count, 2);
    text_list_release(&differences);
    pg_dumped_release(&d);
    free(before);
    free(after);
    free(name);
    free(again);
    session_close(&s);
}

static void database_load__brings_everything_back_as_superuser(void **state)
{
    (void)state;
    load_and_compare(NULL, NULL);
}

static void database_load__brings_everything_back_as_owner(void **state)
{
    (void)state;
    load_and_compare("shop", NULL);
}

static void database_load__brings_everything_back_with_an_administrator(void **state)
{
    (void)state;
    load_and_compare("shop", "nop");
}

static void database_load__brings_properties_back(void **state)
{
    static const char properties[] =
        "SELECT jsonb_build_object('o', pg_get_userbyid(datdba), 'l', datconnlimit, 'c', shobj_description(d.oid, 'pg_database'), "
        "'a', (SELECT jsonb_agg(x ORDER BY x) FROM (SELECT a.grantee::regrole::text || a.privilege_type || a.is_grantable x FROM "
        "aclexplode(d.datacl) a) y), 's', (SELECT jsonb_agg(pg_get_userbyid(setrole) || array_to_string(setconfig, '|') ORDER BY setrole) "
        "FROM pg_db_role_setting WHERE setdatabase = d.oid), 'e', encoding, 'k', datcollate, 't', datctype) FROM pg_database d "
        "WHERE datname = '%s'";
    struct error err = ERROR_INIT;
    struct pg_dumped d = PG_DUMPED_INIT;
    struct session s;
    char *name = NULL;
    char *before = NULL;
    char *after = NULL;

    (void)state;
    pg_sql(
        "postgres",
        "ALTER DATABASE shop CONNECTION LIMIT 42; COMMENT ON DATABASE shop IS 'the ''shop'' \\ 👍'; "
        "ALTER DATABASE shop SET work_mem = '12MB'; ALTER DATABASE shop SET search_path = \"$user\", public, plugin; "
        "ALTER DATABASE shop SET default_transaction_read_only = on; ALTER DATABASE shop SET my.option = 'it''s'; "
        "ALTER ROLE reader IN DATABASE shop SET statement_timeout = '5s'; REVOKE TEMP ON DATABASE shop FROM PUBLIC; "
        "GRANT CREATE ON DATABASE shop TO reader WITH GRANT OPTION;");
    session_open(&s, "shop", "nop");
    pg_dump_it(s.db, &d);
    assert_ok(database_load_begin(s.db, &d.facts, "0123abcd", &name, &err));
    assert_ok(database_load_run(s.db, name, &d.facts, pg_source, &d, &err));
    before = pg_value("postgres", properties, "shop");
    after = pg_value("postgres", properties, name);
    assert_string_equal(before, after);
    assert_non_null(strstr(before, "the 'shop'"));
    assert_non_null(strstr(before, "plugin"));
    assert_int_equal(database_notes(s.db)->count, 0);
    pg_dumped_release(&d);
    free(before);
    free(after);
    free(name);
    session_close(&s);
}

static void database_load__notes_roles_that_are_not_there(void **state)
{
    struct error err = ERROR_INIT;
    struct pg_dumped d = PG_DUMPED_INIT;
    struct text_list differences = TEXT_LIST_INIT;
    struct session s;
    char *name = NULL;

    (void)state;
    session_open(&s, "shop", NULL);
    pg_dump_it(s.db, &d);
    pg_template_drop();
    pg_sql("shop", "DROP OWNED BY reader");
    pg_sql("postgres", "DROP ROLE reader");
    assert_ok(database_load_begin(s.db, &d.facts, "0123abcd", &name, &err));
    /* A policy for a role that does not exist can't be made: the load says so and the live one stays. */
    assert_int_equal(database_load_run(s.db, name, &d.facts, pg_source, &d, &err), ERR_REMOTE);
    assert_non_null(strstr(err.text, "reader"));
    assert_int_equal(database_notes(s.db)->count, 1);
    assert_int_equal(pg_number("shop", "SELECT count(*) FROM \"Order\""), 120);
    text_list_release(&differences);
    pg_dumped_release(&d);
    free(name);
    session_close(&s);
}

static void database_load__damaged_stream_is_an_error(void **state)
{
    struct error err = ERROR_INIT;
    struct pg_dumped d = PG_DUMPED_INIT;
    struct session s;
    char *name = NULL;

    (void)state;
    session_open(&s, "shop", NULL);
    pg_dump_it(s.db, &d);
    assert_ok(database_load_begin(s.db, &d.facts, "0123abcd", &name, &err));
    d.fail_after = d.bytes.len / 2;
    assert_int_equal(database_load_run(s.db, name, &d.facts, pg_source, &d, &err), ERR_CORRUPT);
    d.fail_after = 0;
    d.at = 0;
    d.bytes.len = d.bytes.len / 2; /* cut off: the tool has to notice */
    error_clear(&err);
    free(name);
    name = NULL;
    assert_ok(database_load_begin(s.db, &d.facts, "0123abcd", &name, &err));
    assert_int_equal(database_load_run(s.db, name, &d.facts, pg_source, &d, &err), ERR_REMOTE);
    pg_dumped_release(&d);
    free(name);
    session_close(&s);
}

static void database_load__into_a_database_of_the_users(void **state)
{
    struct error err = ERROR_INIT;
    struct pg_dumped d = PG_DUMPED_INIT;
    struct database_target t = DATABASE_TARGET_INIT;
    struct database *db = NULL;
    struct session s;

    (void)state;
    session_open(&s, "shop", NULL);
    pg_dump_it(s.db, &d);
    pg_sql("postgres", "CREATE DATABASE copy OWNER shop TEMPLATE template0");
    pg_target("shop", "copy", &t);
    assert_ok(database_open(&t, NULL, &db, &err));
    assert_ok(database_load_run(db, "copy", &d.facts, pg_source, &d, &err));
    assert_int_equal(pg_number("copy", "SELECT count(*) FROM \"Order\""), 120);
    d.at = 0;
    assert_int_equal(database_load_run(db, "copy", &d.facts, pg_source, &d, &err), ERR_EXISTS);
    assert_int_equal(pg_number("copy", "SELECT count(*) FROM \"Order\""), 120);
    database_close(db);
    database_target_release(&t);
    pg_dumped_release(&d);
    session_close(&s);
}

/* ---- in place ---- */

static void database_load_in_place__is_old_or_new(void **state)
{
    struct error err = ERROR_INIT;
    struct pg_dumped d = PG_DUMPED_INIT;
    struct text_list differences = TEXT_LIST_INIT;
    struct session s;
    char *before = NULL;
    char *changed = NULL;
    char *after = NULL;

    (void)state;
    pg_sql("postgres", "ALTER ROLE shop NOCREATEDB");
    session_open(&s, "shop", NULL);
    pg_dump_it(s.db, &d);
    before = pg_text("shop");
    pg_sql("shop",
           "DROP VIEW plugin.orders; ALTER TABLE \"Order\" ADD COLUMN new_column int; CREATE TABLE later (a int); "
           "ALTER TABLE later OWNER TO shop; DELETE FROM \"QueuedEmail\"; SELECT setval('\"Order_Id_seq\"', 9999);");
    pg_sql("shop",
           "SET ROLE shop; CREATE SCHEMA later_schema CREATE TABLE x (a int); SELECT lo_unlink(4243); "
           "CREATE FUNCTION later() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TYPE later_type AS ENUM ('a')");
    changed = pg_text("shop");
    /* half-way, and after the last byte, when every statement has been made from it */
    for (size_t part = 1; part <= 2; part++) {
        d.at = 0;
        d.fail_after = d.bytes.len / 2 * part + d.bytes.len % 2 * (part - 1);
        error_clear(&err);
        assert_int_equal(database_load_in_place(s.db, &d.facts, pg_source, &d, &err), ERR_CORRUPT);
        after = pg_text("shop");
        assert_string_equal(changed, after);
        free(after);
    }
    d.fail_after = 0;
    d.at = 0;
    error_clear(&err);
    assert_ok(database_load_in_place(s.db, &d.facts, pg_source, &d, &err));
    after = pg_text("shop");
    assert_string_equal(before, after);
    assert_ok(database_compare(s.db, NULL, &d.facts.counts, &differences, &err));
    assert_int_equal(differences.count, 0);
    d.at = 0;
    assert_ok(database_load_in_place(s.db, &d.facts, pg_source, &d, &err));
    free(after);
    after = pg_text("shop");
    assert_string_equal(before, after);
    free(before);
    free(changed);
    free(after);
    pg_dumped_release(&d);
    session_close(&s);
}

static void database_load_in_place__cut_stream_rolls_back(void **state)
{
    struct error err = ERROR_INIT;
    struct pg_dumped d = PG_DUMPED_INIT;
    struct session s;
    char *before = NULL;
    char *after = NULL;
    size_t whole;

    (void)state;
    session_open(&s, "shop", NULL);
    pg_dump_it(s.db, &d);
    before = pg_text("shop");
    whole = d.bytes.len;
    for (size_t part = 1; part < 8; part++) {
        d.at = 0;
        d.bytes.len = whole * part / 8;
        error_clear(&err);
        assert_int_equal(database_load_in_place(s.db, &d.facts, pg_source, &d, &err), ERR_REMOTE);
    }
    d.bytes.len = whole;
    after = pg_text("shop");
    assert_string_equal(before, after);
    free(before);
    free(after);
    pg_dumped_release(&d);
    session_close(&s);
}

/* A child that does one step of a load and is killed after a while. */
static void kill_while(struct pg_dumped *d, const char *name, useconds_t after)
{
    pid_t child = fork();

    if (child == 0) {
        struct error err = ERROR_INIT;
        struct session s;
        char *chosen = NULL;

        session_open(&s, "shop", NULL);
        if (!name)
            (void)database_load_in_place(s.db, &d->facts, pg_source, d, &err);
        else if (!database_load_begin(s.db, &d->facts, "0123abcd", &chosen, &err))
            (void)database_load_run(s.db, chosen, &d->facts, pg_source, d, &err);
        _exit(0);
    }
    usleep(after);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void database_load__killed_anywhere_can_be_repeated(void **state)
{
    struct error err = ERROR_INIT;
    struct pg_dumped d = PG_DUMPED_INIT;
    struct text_list differences = TEXT_LIST_INIT;
    struct session s;
    char *name = NULL;

    (void)state;
    session_open(&s, "shop", NULL);
    pg_dump_it(s.db, &d);
    for (useconds_t i = 0; i < 6; i++) {
        d.at = 0;
        kill_while(&d, "beside", i * 120000);
        assert_ok(database_end_own_sessions(s.db, &err));
    }
    assert_ok(database_load_begin(s.db, &d.facts, "0123abcd", &name, &err));
    assert_ok(database_load_run(s.db, name, &d.facts, pg_source, &d, &err));
    assert_ok(database_compare(s.db, name, &d.facts.counts, &differences, &err));
    assert_int_equal(differences.count, 0);
    free(name);
    pg_dumped_release(&d);
    session_close(&s);
}

static void database_load_in_place__killed_anywhere_is_old_or_new(void **state)
{
    struct error err = ERROR_INIT;
    struct pg_dumped d = PG_DUMPED_INIT;
    struct session s;
    char *new = NULL;
    char *old = NULL;

    (void)state;
    session_open(&s, "shop", NULL);
    pg_dump_it(s.db, &d);
    new = pg_text("shop");
    pg_sql("shop", "UPDATE \"Setting\" SET \"Value\" = 'changed' WHERE \"Id\" = 1");
    old = pg_text("shop");
    for (useconds_t i = 0; i < 8; i++) {
        char *now = NULL;

        d.at = 0;
        kill_while(&d, NULL, i * 100000);
        assert_ok(database_end_own_sessions(s.db, &err));
        now = pg_text("shop");
        assert_true(strcmp(now, old) == 0 || strcmp(now, new) == 0);
        free(now);
    }
    assert_ok(database_load_in_place(s.db, &d.facts, pg_source, &d, &err));
    free(old);
    old = pg_text("shop");
    assert_string_equal(old, new);
    free(old);
    free(new);
    pg_dumped_release(&d);
    session_close(&s);
}

/* ---- logins ---- */

static void database_load_in_place__without_the_right_leaves_the_old(void **state)
{
    struct error err = ERROR_INIT;
    struct database_info info = DATABASE_INFO_INIT;
    struct pg_dumped d = PG_DUMPED_INIT;
    struct session s;
    char *before = NULL;
    char *after = NULL;

    (void)state;
    pg_sql(
        "shop",
        "GRANT pg_read_all_data TO poor; ALTER ROLE poor BYPASSRLS; GRANT SELECT ON LARGE OBJECT 4242, 4243 TO poor");
    session_open(&s, "poor", NULL);
    assert_ok(database_probe(s.db, &info, &err));
    assert_false(info.can_beside);
    assert_int_equal(info.remarks.count, 1);
    assert_non_null(strstr(info.remarks.items[0], "objects of role shop"));
    pg_dump_it(s.db, &d);
    before = pg_text("shop");
    assert_int_equal(database_load_in_place(s.db, &d.facts, pg_source, &d, &err), ERR_REMOTE);
    assert_non_null(strstr(err.text, "must be owner"));
    assert_non_null(strstr(err.hint, "database-admin"));
    after = pg_text("shop");
    assert_string_equal(before, after);
    free(before);
    free(after);
    database_info_release(&info);
    pg_dumped_release(&d);
    session_close(&s);
}

static void database__takes_names_and_passwords_of_any_characters(void **state)
{
    static const char name[] = "shop='x' \\ \"q\" \xf0\x9f\x91\x8d";
    static const char role[] = "role 'r' \"q\" \\";
    static const char password[] = "a:b\\c'\"; d=e";
    struct error err = ERROR_INIT;
    struct database_target t = DATABASE_TARGET_INIT;
    struct database *db = NULL;
    struct pg_dumped d = PG_DUMPED_INIT;
    struct text_list differences = TEXT_LIST_INIT;
    struct database_swap swap = DATABASE_SWAP_INIT;
    enum database_side side = DATABASE_OLD;
    char *beside = NULL;

    (void)state;
    pg_sql("postgres",
           "CREATE ROLE \"role 'r' \"\"q\"\" \\\" LOGIN CREATEDB PASSWORD 'a:b\\c''\"; d=e'; "
           "CREATE DATABASE \"shop='x' \\ \"\"q\"\" 👍\" OWNER \"role 'r' \"\"q\"\" \\\" TEMPLATE template0");
    t.engine = DATABASE_POSTGRESQL;
    t.host = strdup(pg_folder);
    t.name = strdup(name);
    t.user = strdup(role);
    t.password = strdup(password);
    assert_ok(database_open(&t, NULL, &db, &err));
    pg_dump_it(db, &d);
    assert_ok(database_load_begin(db, &d.facts, "0123abcd", &beside, &err));
    assert_ok(database_load_run(db, beside, &d.facts, pg_source, &d, &err));
    assert_ok(database_compare(db, beside, &d.facts.counts, &differences, &err));
    assert_int_equal(differences.count, 0);
    assert_ok(database_swap_prepare(db, beside, "0123abcd", &swap, &err));
    assert_ok(database_fence(db, &swap, &err));
    assert_ok(database_swap_to(db, &swap, DATABASE_NEW, &err));
    assert_ok(database_unfence(db, &swap, &err));
    assert_ok(database_swap_side(db, &swap, &side, &err));
    assert_int_equal(side, DATABASE_NEW);
    assert_ok(database_kept_drop(db, swap.kept, swap.old_identity, &err));
    d.at = 0;
    assert_ok(database_load_in_place(db, &d.facts, pg_source, &d, &err));
    database_close(db);
    pg_sql("postgres", "DROP DATABASE \"shop='x' \\ \"\"q\"\" 👍\"");
    pg_sql("postgres", "DROP ROLE \"role 'r' \"\"q\"\" \\\"");
    database_swap_release(&swap);
    database_target_release(&t);
    pg_dumped_release(&d);
    free(beside);
}

static void database_open__takes_a_service_with_and_without_a_host(void **state)
{
    static const char *const hosts[] = {"", "host=%s\n"};
    struct error err = ERROR_INIT;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct database_target shop = DATABASE_TARGET_INIT;
        struct database_target admin = DATABASE_TARGET_INIT;
        struct database *db = NULL;
        struct pg_dumped d = PG_DUMPED_INIT;
        char path[256];
        FILE *f = NULL;

        snprintf(path, sizeof path, "%s/services", pg_folder);
        f = fopen(path, "w");
        assert_non_null(f);
        fputs("[main]\nuser=nop\n", f);
        fprintf(f, hosts[i], pg_folder);
        fclose(f);
        setenv("PGSERVICEFILE", path, 1);
        unsetenv("PGHOST"); /* only the shop's own target or the service says where */
        pg_target("shop", "shop", &shop);
        if (i == 1) {
            free(shop.host);
            shop.host = strdup("/nonexistent");
        }
        assert_ok(database_target_admin(&shop, "service:main", &admin, &err));
        assert_ok(database_open(&shop, &admin, &db, &err));
        pg_dump_it(db, &d);
        assert_true(d.bytes.len > 100000);
        setenv("PGHOST", pg_folder, 1);
        unsetenv("PGSERVICEFILE");
        pg_dumped_release(&d);
        database_close(db);
        database_target_release(&shop);
        database_target_release(&admin);
    }
}

static void database_query__connects_again_after_a_restart(void **state)
{
    struct error err = ERROR_INIT;
    struct database_info info = DATABASE_INFO_INIT;
    struct session s;

    (void)state;
    session_open(&s, "shop", NULL);
    assert_ok(database_probe(s.db, &info, &err));
    database_info_release(&info);
    pg_sql("postgres",
           "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'nopsnap%%'");
    usleep(200000);
    assert_ok(database_probe(s.db, &info, &err));
    assert_true(info.is_nopcommerce);
    database_info_release(&info);
    session_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(database_open__tells_a_wrong_password, fresh_shop),
        cmocka_unit_test(database_open__tells_a_server_that_is_down),
        cmocka_unit_test(database_open__missing_database_is_no_error),
        cmocka_unit_test(database_probe__knows_a_shop),
        cmocka_unit_test(database_probe__names_the_missing_right),
        cmocka_unit_test_setup(database_probe__lists_obstacles, fresh_shop),
        cmocka_unit_test_setup(database_dump__is_the_view_at_begin, fresh_shop),
        cmocka_unit_test_setup(database_dump__hands_over_the_pictures_of_its_view, fresh_shop),
        cmocka_unit_test_setup(database_dump__is_stable, fresh_shop),
        cmocka_unit_test(database_dump__shows_no_password),
        cmocka_unit_test(database_dump__given_up_leaves_nothing_behind),
        cmocka_unit_test(database_dump__unreadable_table_is_named),
        cmocka_unit_test_setup(database_load__brings_everything_back_as_superuser, fresh_shop),
        cmocka_unit_test_setup(database_load__brings_everything_back_as_owner, fresh_shop),
        cmocka_unit_test_setup(database_load__brings_everything_back_with_an_administrator, fresh_shop),
        cmocka_unit_test_setup(database_load__brings_properties_back, fresh_shop),
        cmocka_unit_test_setup(database_load__damaged_stream_is_an_error, fresh_shop),
        cmocka_unit_test_setup(database_load__into_a_database_of_the_users, fresh_shop),
        cmocka_unit_test_setup(database_load_in_place__is_old_or_new, fresh_shop),
        cmocka_unit_test_setup(database_load_in_place__cut_stream_rolls_back, fresh_shop),
        cmocka_unit_test_setup(database_load__killed_anywhere_can_be_repeated, fresh_shop),
        cmocka_unit_test_setup(database_load_in_place__killed_anywhere_is_old_or_new, fresh_shop),
        cmocka_unit_test_setup(database_load__notes_roles_that_are_not_there, fresh_shop),
        cmocka_unit_test_setup(database_load_in_place__without_the_right_leaves_the_old, fresh_shop),
        cmocka_unit_test_setup(database__takes_names_and_passwords_of_any_characters, fresh_shop),
        cmocka_unit_test(database_open__takes_a_service_with_and_without_a_host),
        cmocka_unit_test(database_query__connects_again_after_a_restart),
    };

    return cmocka_run_group_tests(tests, pg_server_start, pg_server_stop);
}
