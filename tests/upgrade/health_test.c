/*
 * The health checks against a web server that answers as it is told, and a shop's database on a real server. Nothing waits for a clock: the
 * probe of the shop's process, which is asked before each question, is where a test changes the world.
 */
#ifdef HEALTH_ON_MYSQL
#include "database/mysql_support.h"
#else
#include "database/postgres_support.h"
#endif

#include <signal.h>

#include "file.h"
#include "fixture/answers.h"
#include "health_internal.h"
#include "thread.h"
#include "transaction.h"

#define NEVER_MS 600000 /* a limit that a test does not reach */
#define SOON_MS 30      /* one that it does */

static struct answers plain;
static struct answers secure;
static struct database_target target = DATABASE_TARGET_INIT;
static struct database *db;
static char url[128];

/* ---- the shop ---- */

#ifdef HEALTH_ON_MYSQL
#define server_start my_server_start
#define server_stop my_server_stop

static void sql(const char *text)
{
    my_sql("shop", "SET sql_mode = 'ANSI_QUOTES'; %s", text);
}

static void shop_drop(void)
{
    my_sql("", "DROP DATABASE shop");
}

static void shop_make(void)
{
    my_plain_shop_make(NULL);
    my_account("ALL ON `shop`.*");
    my_target("shop", "shop", &target);
}

/* A command of the owner's that runs SQL. */
static void sql_command(const char *text, char *out, size_t out_len)
{
    snprintf(out, out_len, "echo \"SET sql_mode = 'ANSI_QUOTES'; %s\" | mariadb --no-defaults -u root -S %s shop", text,
             my_socket);
}
#else
#define server_start pg_server_start
#define server_stop pg_server_stop

static void sql(const char *text)
{
    pg_sql("shop", "%s", text);
}

static void shop_drop(void)
{
    pg_sql("postgres", "DROP DATABASE shop WITH (FORCE)");
}

static void shop_make(void)
{
    pg_shop_make();
    pg_target("shop", "shop", &target);
}

static void sql_command(const char *text, char *out, size_t out_len)
{
    snprintf(out, out_len, "echo \"%s\" | psql -X -q -h %s -U nop -d shop", text, pg_folder);
}
#endif

static void shop_open(void)
{
    struct error err = ERROR_INIT;

    shop_make();
    assert_ok(database_open(&target, NULL, &db, &err));
    sql("UPDATE \"Product\" SET \"Published\" = '1', \"Deleted\" = '0'; UPDATE \"Category\" SET \"Published\" = '1'");
    sql("INSERT INTO \"UrlRecord\" (\"EntityName\", \"Slug\", \"EntityId\", \"IsActive\", \"LanguageId\") VALUES ('Category', 'books', 1, '1', 0)");
}

static void shop_close(void)
{
    database_close(db);
    db = NULL;
    database_target_release(&target);
}

static int start_all(void **state)
{
    struct error err = ERROR_INIT;

    if (server_start(state) || cancel_install(&err))
        return 1;
    answers_start(&plain, 0);
    answers_start(&secure, 1);
    shop_open();
    return 0;
}

static int stop_all(void **state)
{
    shop_close();
    answers_stop(&plain);
    answers_stop(&secure);
    return server_stop(state);
}

#define PRODUCT_WITH(picture) "200\nContent-Type: text/html\n\n<html><h1>A product</h1>" picture "</html>"
#define PRODUCT PRODUCT_WITH("<img src=\"/images/thumbs/0000001_a-product_550.jpeg\">")

static void pages_well(const struct answers *a)
{
    answers_put(a, "all", NULL);
    answers_put(a, "/", "200\nContent-Type: text/html\n\n<html>welcome</html>");
    answers_put(a, "/login", "200\nContent-Type: text/html\n\n<html>log in</html>");
    answers_put(a, "/product-1", PRODUCT);
    answers_put(a, "/books", "200\nContent-Type: text/html\n\n<html>books</html>");
    answers_put(a, "/images/thumbs/0000001_a-product_550.jpeg", "200\nContent-Type: image/jpeg\n\nJFIF");
}

/* Each test begins with a shop that is well, and errors of an old kind in its log. */
static int scene(void **state)
{
    (void)state;
    pages_well(&plain);
    pages_well(&secure);
    answers_forget_requests(&plain);
    sql("DELETE FROM \"Log\" WHERE \"LogLevelId\" <> 40 OR \"ShortMessage\" NOT LIKE 'Error %'; UPDATE \"Log\" SET \"CreatedOnUtc\" = '2099-01-01'");
    sql("DELETE FROM \"MigrationVersionInfo\" WHERE \"Version\" > 637200411689037680");
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", plain.port);
    return 0;
}

#define scene_test(f) cmocka_unit_test_setup(f, scene)

/* ---- asking ---- */

/* What happens before the nth question: number, and a function. */
struct hook {
    int calls;
    int at;
    void (*then)(void);
    int gone_at;    /* the process has ended by then; 0: never */
    int restart_at; /* it is another run by then; 0: never */
    int fails_at;   /* systemd can't be asked; 0: never */
};

static enum error_kind probe(void *arg, struct health_process *out, struct error *err)
{
    struct hook *h = arg;

    h->calls++;
    if (h->then && h->calls == h->at)
        h->then();
    if (h->fails_at && h->calls >= h->fails_at)
        return error_set(err, ERR_REMOTE, 0, "no systemd");
    out->known = true;
    out->alive = !h->gone_at || h->calls < h->gone_at;
    snprintf(out->run, sizeof out->run, "%s", h->restart_at && h->calls >= h->restart_at ? "two" : "one");
    return OK;
}

static char steps[4096];

static void note_step(void *arg, const char *what)
{
    (void)arg;
    snprintf(steps + strlen(steps), sizeof steps - strlen(steps), "%s\n", what);
}

static const struct progress progress = {.step = note_step};

static struct health_options options_with(struct hook *h)
{
    return (struct health_options){.url = url,
                                   .probe = h ? probe : NULL,
                                   .probe_arg = h,
                                   .timeout_ms = NEVER_MS,
                                   .poll_ms = 5,
                                   .settle_ms = SOON_MS};
}

static struct health_baseline take(const struct health_options *o)
{
    struct health_baseline b = HEALTH_BASELINE_INIT;
    struct error err = ERROR_INIT;

    assert_ok(health_baseline_take(o, db, NULL, &b, &err));
    return b;
}

static struct health_result judged(const struct health_options *o, const struct health_baseline *before)
{
    struct health_result r = HEALTH_RESULT_INIT;
    struct error err = ERROR_INIT;

    steps[0] = '\0';
    assert_ok(health_judge(o, before, db, &progress, &r, &err));
    return r;
}

static const char *verdict_name(enum health_verdict v)
{
    static const char *const names[] = {"good", "warned", "broken", "timed out"};

    return names[v];
}

/* `mention` is in the only reason, or the only warning, that there is; NULL: there is none at all. */
static void result_is(struct health_result *r, enum health_verdict verdict, const char *mention)
{
    const struct text_list *list = verdict == HEALTH_WARNED ? &r->warnings : &r->reasons;
    const char *line = list->count ? list->items[0] : r->warnings.count ? r->warnings.items[0] : "nothing";

    if (r->verdict != verdict)
        fail_msg("it is %s instead of %s: %s", verdict_name(r->verdict), verdict_name(verdict), line);
    if (mention) {
        assert_int_equal(list->count, 1);
        if (!strstr(list->items[0], mention))
            fail_msg("'%s' does not mention '%s'", list->items[0], mention);
    } else {
        assert_int_equal(r->reasons.count + r->warnings.count, 0);
    }
    health_result_release(r);
}

/* The shop as it is now, over what was there before. */
static void judged_is(const struct health_options *o, const struct health_baseline *before, enum health_verdict verdict,
                      const char *mention)
{
    struct health_result r = judged(o, before);

    result_is(&r, verdict, mention);
}

/* A change after the baseline was taken: one page. */
static void page_makes(const char *path, const char *answer, enum health_verdict verdict, const char *mention)
{
    const struct health_options o = options_with(NULL);
    struct health_baseline before = take(&o);

    answers_put(&plain, path, answer);
    judged_is(&o, &before, verdict, mention);
    health_baseline_release(&before);
    scene(NULL);
}

/* ... and SQL. */
static void sql_makes(const struct health_options *o, const char *text, enum health_verdict verdict,
                      const char *mention)
{
    struct health_baseline before = take(o);

    sql(text);
    judged_is(o, &before, verdict, mention);
    health_baseline_release(&before);
    scene(NULL);
}

/* ---- before ---- */

static void baseline__holds_pages_picture_log_and_migrations(void **state)
{
    const struct health_options o = options_with(NULL);
    struct health_baseline b;

    (void)state;
    sql("INSERT INTO \"Log\" (\"ShortMessage\", \"LogLevelId\", \"CreatedOnUtc\") VALUES ('long ago', 40, '2020-01-01'), ('told', 20, '2099-01-01')");
    b = take(&o);
    assert_int_equal(b.page_count, 4);
    assert_string_equal(b.pages[0].path, "/");
    assert_string_equal(b.pages[1].path, "/login");
    assert_string_equal(b.pages[2].path, "/product-1");
    assert_string_equal(b.pages[3].path, "/books");
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(b.pages[i].status, 200);
        assert_true(b.pages[i].answered);
    }
    assert_int_equal(b.product, 2);
    assert_string_equal(b.picture, "/images/thumbs/0000001_a-product_550.jpeg");
    assert_true(b.picture_ok);
    assert_true(b.log_last > 200);
    assert_int_equal(b.kind_count, 1); /* "Error 1" to "Error 200" are of one kind */
    assert_int_equal(b.migration_count, 3);
    assert_true(b.migrations[2] == 637200411689037680);
    assert_int_equal(b.remarks.count, 0);
    health_baseline_release(&b);
}

static void baseline__goes_through_json(void **state)
{
    const struct health_options o = options_with(NULL);
    struct health_baseline b = take(&o);
    struct health_baseline again = HEALTH_BASELINE_INIT;
    struct buffer first = BUFFER_INIT(1 << 20);
    struct buffer second = BUFFER_INIT(1 << 20);
    struct json *v = NULL;
    struct error err = ERROR_INIT;

    (void)state;
    assert_ok(health_baseline_encode(&b, &v, &err));
    assert_ok(json_print(v, &first, &err));
    json_free(v);
    assert_ok(json_parse(first.data, first.len, &v, &err));
    assert_ok(health_baseline_decode(v, &again, &err));
    json_free(v);
    assert_ok(health_baseline_encode(&again, &v, &err));
    assert_ok(json_print(v, &second, &err));
    json_free(v);
    assert_string_equal((char *)first.data, (char *)second.data);
    judged_is(&o, &again, HEALTH_GOOD, NULL);
    buffer_release(&first);
    buffer_release(&second);
    health_baseline_release(&b);
    health_baseline_release(&again);
}

static void baseline__spoilt_json_is_refused(void **state)
{
#define WELL "\"product\":1,\"picture\":\"/a\",\"log_kinds\":[\"0123456789abcdef\"],\"migrations\":[{\"version\":1}]"
#define PAGE "{\"what\":\"w\",\"path\":\"/\"}"
    static const char *const texts[] = {
        "{}",
        "[]",
        "{\"pages\":[]," WELL "}",
        "{\"pages\":[{\"what\":\"w\",\"path\":\"login\"}]," WELL "}",
        "{\"pages\":[{\"what\":\"w\",\"path\":\"/a\\r\\nHost: x\"}]," WELL "}",
        "{\"pages\":[{\"path\":\"/\"}]," WELL "}",
        "{\"pages\":[" PAGE "],\"product\":2}",
        "{\"pages\":[" PAGE "],\"product\":-1}",
        "{\"pages\":[" PAGE "],\"product\":0,\"picture\":\"x y\"}",
        "{\"pages\":[" PAGE "],\"product\":0,\"log_kinds\":[\"0123\"]}",
        "{\"pages\":[" PAGE "],\"product\":0,\"log_kinds\":[7]}",
        "{\"pages\":[" PAGE "],\"product\":0,\"migrations\":[{}]}",
        "{\"pages\":[" PAGE "," PAGE "," PAGE "," PAGE "," PAGE "," PAGE "," PAGE "," PAGE "," PAGE "," PAGE "," PAGE
        "," PAGE "," PAGE "," PAGE "," PAGE "," PAGE "," PAGE "]," WELL "}",
    };
    static const char well[] = "{\"pages\":[" PAGE "]," WELL "}";
    struct health_baseline b = HEALTH_BASELINE_INIT;
    struct error err = ERROR_INIT;
    struct json *v = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct error why = ERROR_INIT;

        assert_ok(json_parse(texts[i], strlen(texts[i]), &v, &err));
        if (health_baseline_decode(v, &b, &why) != ERR_CORRUPT)
            fail_msg("taken: %s", texts[i]);
        json_free(v);
    }
    assert_ok(json_parse(well, sizeof well - 1, &v, &err));
    assert_ok(health_baseline_decode(v, &b, &err));
    json_free(v);
    health_baseline_release(&b);
}

static void baseline__of_a_shop_that_is_down_says_so_and_asks_once(void **state)
{
    const struct health_options o = options_with(NULL);
    struct health_baseline b;

    (void)state;
    answers_put(&plain, "all", "silent");
    b = take(&o);
    assert_int_equal(b.page_count, 1);
    assert_false(b.pages[0].answered);
    assert_int_equal(b.remarks.count, 1);
    assert_non_null(strstr(b.remarks.items[0], "does not answer"));
    assert_int_equal(answers_asked(&plain, "/login"), 0);
    assert_int_equal(b.product, b.page_count);
    health_baseline_release(&b);
}

static void baseline__remembers_where_a_language_is_in_the_address(void **state)
{
    const struct health_options o = options_with(NULL);
    struct health_baseline b;
    char location[256];

    (void)state;
    snprintf(location, sizeof location, "302\nLocation: http://127.0.0.1:%d/en/\n\n", plain.port);
    answers_put(&plain, "/", location);
    answers_put(&plain, "/en/", "200\n\nwelcome");
    answers_put(&plain, "/product-1", "301\nLocation: /en/product-1\n\n");
    answers_put(&plain, "/en/product-1", PRODUCT);
    b = take(&o);
    assert_string_equal(b.pages[0].path, "/en/");
    assert_string_equal(b.pages[2].path, "/en/product-1");
    assert_int_equal(b.remarks.count, 0);
    judged_is(&o, &b, HEALTH_GOOD, NULL);
    answers_put(&plain, "/en/", "500\n\nno");
    judged_is(&o, &b, HEALTH_BROKEN, "/en/");
    health_baseline_release(&b);
}

static void baseline__tries_some_products(void **state)
{
    const struct health_options o = options_with(NULL);
    struct health_baseline b;

    (void)state;
    answers_put(&plain, "/product-1", "404\n\nno");
    answers_put(&plain, "/product-3", PRODUCT_WITH("no picture"));
    b = take(&o);
    assert_string_equal(b.pages[b.product].path, "/product-3");
    assert_string_equal(b.picture, "");
    assert_false(b.picture_ok);
    assert_int_equal(b.remarks.count, 0);
    health_baseline_release(&b);
    answers_put(&plain, "/product-3", NULL);
}

static void baseline__of_a_slug_in_another_script_asks_it_encoded(void **state)
{
    const struct health_options o = options_with(NULL);
    struct health_baseline b;

    (void)state;
    sql("UPDATE \"UrlRecord\" SET \"Slug\" = 'b\xc3\xbc"
        "cher 1' WHERE \"EntityName\" = 'Category'");
    answers_put(&plain, "/b%C3%BCcher%201", "200\n\nbooks");
    b = take(&o);
    assert_string_equal(b.pages[3].path, "/b%C3%BCcher%201");
    assert_true(b.pages[3].answered);
    health_baseline_release(&b);
    sql("UPDATE \"UrlRecord\" SET \"Slug\" = 'books' WHERE \"EntityName\" = 'Category'");
}

static void baseline__renewed_forgives_what_the_old_shop_logged_since(void **state)
{
    const struct health_options o = options_with(NULL);
    struct health_baseline b = take(&o);
    struct error err = ERROR_INIT;

    (void)state;
    sql("INSERT INTO \"Log\" (\"ShortMessage\", \"LogLevelId\", \"CreatedOnUtc\") VALUES ('The old one fell over', 50, '2026-04-01'), ('New here', 40, '2099-01-01')");
    sql("INSERT INTO \"MigrationVersionInfo\" VALUES (638000000000000000, NULL, 'of a plugin')");
    assert_ok(health_baseline_renew(&b, db, &err));
    assert_int_equal(b.migration_count, 4);
    assert_int_equal(b.page_count, 4);
    judged_is(&o, &b, HEALTH_GOOD, NULL);
    sql("INSERT INTO \"Log\" (\"ShortMessage\", \"LogLevelId\", \"CreatedOnUtc\") VALUES ('New here', 40, '2026-04-01')");
    judged_is(&o, &b, HEALTH_GOOD, NULL);
    health_baseline_release(&b);
}

/* ---- waiting ---- */

static void judge__a_shop_that_is_well_is_good(void **state)
{
    const struct health_options o = options_with(NULL);
    struct health_baseline before = take(&o);

    (void)state;
    answers_forget_requests(&plain);
    judged_is(&o, &before, HEALTH_GOOD, NULL);
    for (size_t i = 0; i < before.page_count; i++)
        assert_true(answers_asked(&plain, before.pages[i].path) > 0);
    assert_int_equal(answers_asked(&plain, before.picture), 1);
    health_baseline_release(&before);
}

static void migrate(void)
{
    sql("INSERT INTO \"MigrationVersionInfo\" VALUES (638342640000000005, NULL, 'nopCommerce version 4.80. Update Data'), "
        "(638580672010000010, NULL, 'nopCommerce version 4.80. Update Localization'), "
        "(638660160000000015, NULL, 'nopCommerce version 4.80. Update Settings')");
}

static void answer_now(void)
{
    answers_put(&plain, "all", NULL);
}

/* What a shop, or the server before it, answers while the shop does not listen. */
static void judge__waits_while_migrations_run_and_says_how_far_they_are(void **state)
{
    static const char *const silences[] = {"silent", "502\n\nBad Gateway", "503\n\n", "504\n\n"};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct hook h = {.at = 3, .then = migrate};
        struct hook later = {.at = 3, .then = answer_now};
        struct health_options o = options_with(&h);
        struct health_baseline before = take(&o);
        struct health_result r;

        answers_put(&plain, "all", silences[i]);
        o.timeout_ms = 500;
        r = judged(&o, &before);
        assert_int_equal(r.migrations_before, 3);
        assert_int_equal(r.migrations_now, 6);
        assert_non_null(strstr(steps, "migrates its database: 3 done, nopCommerce version 4.80. Update Settings"));
        result_is(&r, HEALTH_TIMED_OUT, "still migrating");
        o = options_with(&later);
        o.target = "4.80.4";
        judged_is(&o, &before, HEALTH_GOOD, NULL);
        assert_true(later.calls >= 3);
        health_baseline_release(&before);
        scene(NULL);
    }
}

static void judge__no_answer_and_no_migration_is_told_apart_from_migrating(void **state)
{
    struct hook h = {0};
    struct health_options o = options_with(&h);
    struct health_baseline before = take(&o);

    (void)state;
    o.timeout_ms = SOON_MS;
    answers_put(&plain, "all", "502\n\nBad Gateway");
    judged_is(&o, &before, HEALTH_TIMED_OUT, "recorded no migration, and its first page answers with status 502");
    health_baseline_release(&before);
}

static void judge__a_process_that_ended_is_broken_at_once(void **state)
{
    struct hook h = {.gone_at = 3};
    struct health_options o = options_with(&h);
    struct health_baseline before = take(&o);

    (void)state;
    answers_put(&plain, "all", "silent");
    judged_is(&o, &before, HEALTH_BROKEN, "process has ended");
    assert_int_equal(h.calls, 3);
    health_baseline_release(&before);
}

static void judge__a_process_that_was_started_again_is_broken_at_once(void **state)
{
    struct hook h = {.restart_at = 2};
    struct health_options o = options_with(&h);
    struct health_baseline before = take(&o);

    (void)state;
    answers_put(&plain, "all", "silent");
    judged_is(&o, &before, HEALTH_BROKEN, "started again");
    health_baseline_release(&before);
}

static void judge__a_process_that_ends_when_it_was_asked_is_broken(void **state)
{
    struct hook h = {.gone_at = 2};
    struct health_options o = options_with(&h);
    struct health_baseline before = take(&o);

    (void)state;
    judged_is(&o, &before, HEALTH_BROKEN, "process has ended");
    health_baseline_release(&before);
}

static void judge__a_process_that_nobody_can_tell_of_is_waited_for(void **state)
{
    struct hook h = {.fails_at = 1, .at = 3, .then = answer_now};
    struct health_options o = options_with(&h);
    struct health_baseline before = take(&o);

    (void)state;
    answers_put(&plain, "all", "silent");
    judged_is(&o, &before, HEALTH_GOOD, NULL);
    health_baseline_release(&before);
}

static void judge__an_application_that_did_not_start_is_broken_at_once(void **state)
{
    static const char *const pages[][2] = {
        {"500\n\n<h1>HTTP Error 500.30 - ASP.NET Core app failed to start</h1>", "500.3"},
        {"500\n\n<h1>HTTP Error 500.31 - Failed to load ASP.NET Core runtime</h1>", "500.3"},
        {"502\n\n<h1>HTTP Error 502.5 - Process Failure</h1>", "502.5"},
    };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct health_options o = options_with(NULL);
        struct health_baseline before = take(&o);

        o.settle_ms = NEVER_MS;
        answers_put(&plain, "all", pages[i][0]);
        judged_is(&o, &before, HEALTH_BROKEN, pages[i][1]);
        health_baseline_release(&before);
        scene(NULL);
    }
}

static void judge__the_install_page_is_broken_at_once_and_says_what_it_is(void **state)
{
    struct health_options o = options_with(NULL);
    struct health_baseline before = take(&o);

    (void)state;
    o.settle_ms = NEVER_MS;
    answers_forget_requests(&plain);
    answers_put(&plain, "all", "302\nLocation: /install\n\n");
    judged_is(&o, &before, HEALTH_BROKEN, "lets any visitor install over it");
    assert_int_equal(answers_asked(&plain, "/"), 1);
    health_baseline_release(&before);
}

static void judge__a_first_page_that_stays_bad_is_broken(void **state)
{
    static const char *const pages[][2] = {
        {"200\n\n<p>We're sorry, an internal error occurred.</p>", "error page with status 200"},
        {"500\n\n<p>We're sorry, an internal error occurred.</p>", "error page with status 500"},
        {"302\nLocation: /errorpage.htm?aspxerrorpath=/\n\n", "redirects to /errorpage.htm"},
        {"302\nLocation: /storeclosed\n\n", "redirects to /storeclosed"},
        {"301\nLocation: https://www.shop.example/\n\n", "redirects to https://www.shop.example/"},
        {"404\n\nnot here", "status 404"},
        {"500\n\nno", "status 500"},
        {"200\n\n", "is empty"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
        page_makes("/", pages[i][0], HEALTH_BROKEN, pages[i][1]);
}

static void recover_first_page(void)
{
    pages_well(&plain);
}

static void judge__a_bad_answer_may_come_right(void **state)
{
    struct hook h = {.at = 3, .then = recover_first_page};
    struct health_options o = options_with(&h);
    struct health_baseline before = take(&o);

    (void)state;
    o.settle_ms = NEVER_MS;
    answers_put(&plain, "/", "500\n\nwarming up");
    judged_is(&o, &before, HEALTH_GOOD, NULL);
    h = (struct hook){.at = 3, .then = recover_first_page};
    answers_put(&plain, "/login", "500\n\nwarming up");
    judged_is(&o, &before, HEALTH_GOOD, NULL);
    health_baseline_release(&before);
}

static void judge__a_bad_answer_at_the_limit_is_broken(void **state)
{
    struct health_options o = options_with(NULL);
    struct health_baseline before = take(&o);

    (void)state;
    o.settle_ms = NEVER_MS;
    o.timeout_ms = SOON_MS;
    answers_put(&plain, "/login", "500\n\nno");
    judged_is(&o, &before, HEALTH_BROKEN, "/login");
    health_baseline_release(&before);
}

static void ask_to_stop(void)
{
    raise(SIGTERM);
}

static void judge__ends_with_a_signal(void **state)
{
    struct hook h = {.at = 2, .then = ask_to_stop};
    struct health_options o = options_with(&h);
    struct health_result r = HEALTH_RESULT_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    answers_put(&plain, "all", "silent");
    assert_int_equal(health_judge(&o, NULL, db, NULL, &r, &err), ERR_CANCELLED);
    cancel_reset();
    health_result_release(&r);
}

/* A row that comes while pages are asked: the verdict waits for another round. */
static void judge__a_shop_that_migrates_while_it_answers_is_asked_again(void **state)
{
    struct text_list commands = TEXT_LIST_INIT;
    struct health_options o = options_with(NULL);
    struct health_baseline before = take(&o);
    struct error err = ERROR_INIT;
    char insert[512];
    char command[2048];
    char runs[256];

    (void)state;
    sql_command("INSERT INTO \\\"MigrationVersionInfo\\\" VALUES (638900000000000000, NULL, 'late')", insert,
                sizeof insert);
    snprintf(command, sizeof command, "echo run >>%s/runs; test $(wc -l <%s/runs) -gt 1 || { %s; }", plain.folder,
             plain.folder, insert);
    assert_ok(text_list_add(&commands, command, &err));
    o.commands = &commands;
    judged_is(&o, &before, HEALTH_GOOD, NULL);
    answers_read(&plain, "runs", runs, sizeof runs);
    assert_string_equal(runs, "run\nrun\n");
    text_list_release(&commands);
    health_baseline_release(&before);
}

static void migrate_backwards(void)
{
    sql("INSERT INTO \"MigrationVersionInfo\" VALUES (638000000000000000, NULL, 'an older number')");
}

static void judge__names_the_migration_that_came_last_not_the_highest(void **state)
{
    struct hook h = {.at = 3, .then = migrate_backwards};
    struct health_options o = options_with(&h);
    struct health_baseline before;

    (void)state;
    migrate();
    before = take(&o);
    o.timeout_ms = 500;
    answers_put(&plain, "all", "silent");
    judged_is(&o, &before, HEALTH_TIMED_OUT, "still migrating");
    assert_non_null(strstr(steps, "1 done, an older number"));
    health_baseline_release(&before);
}

/* ---- pages ---- */

static void judge__a_page_that_answered_before_must_answer(void **state)
{
    (void)state;
    page_makes("/login", "500\n\nno", HEALTH_BROKEN, "the login page, /login, answers with status 500");
    page_makes("/login", "silent", HEALTH_BROKEN, "/login, does not answer");
    page_makes("/product-1", "200\n\nan internal error occurred", HEALTH_BROKEN,
               "a product's page, /product-1, shows the error page");
    page_makes("/product-1", "302\nLocation: /page-not-found\n\n", HEALTH_BROKEN, "/page-not-found");
    page_makes("/books", "404\n\nno", HEALTH_BROKEN, "a category's page, /books, answers with status 404");
}

static void judge__the_products_picture_must_be_there(void **state)
{
    static const char picture[] = "/images/thumbs/0000001_a-product_550.jpeg";

    (void)state;
    page_makes(picture, "404\n\nno", HEALTH_BROKEN,
               "a product's picture, /images/thumbs/0000001_a-product_550.jpeg, answers with status 404");
    page_makes(picture, "200\nContent-Type: text/html\n\n<html>not found</html>", HEALTH_BROKEN, "is no picture");
    page_makes(picture, "200\nContent-Type: image/jpeg\n\n", HEALTH_BROKEN, "is empty");
    page_makes("/product-1", PRODUCT_WITH("nothing"), HEALTH_BROKEN, "no picture any more");
    page_makes("/product-1", PRODUCT_WITH("<img src='/images/thumbs/default-image_550.png'>"), HEALTH_BROKEN,
               "stand-in");
    page_makes("/product-1", PRODUCT_WITH("<a style=\"background:url(&quot;/images/thumbs/none.png&quot;)\">"),
               HEALTH_BROKEN, "a product's picture, /images/thumbs/none.png, answers");
    /* Another name for it is well: thumbnails are made anew. */
    answers_put(&plain, "/images/thumbs/000/0000001_550.webp", "200\nContent-Type: image/webp\n\nRIFF");
    page_makes("/product-1", PRODUCT_WITH("<img data-src=https://shop.example/images/thumbs/000/0000001_550.webp />"),
               HEALTH_GOOD, NULL);
}

static void judge__a_picture_that_was_missing_before_may_be_missing(void **state)
{
    const struct health_options o = options_with(NULL);
    struct health_baseline before;

    (void)state;
    answers_put(&plain, "/images/thumbs/default-image_550.png", "200\nContent-Type: image/png\n\nPNG");
    answers_put(&plain, "/product-1", PRODUCT_WITH("<img src='/images/thumbs/default-image_550.png'>"));
    before = take(&o);
    assert_false(before.picture_ok);
    judged_is(&o, &before, HEALTH_GOOD, NULL);
    health_baseline_release(&before);
}

static void judge__a_page_that_did_not_answer_before_is_a_warning(void **state)
{
    const struct health_options o = options_with(NULL);
    struct health_baseline before;

    (void)state;
    answers_put(&plain, "/login", "404\n\nno");
    before = take(&o);
    assert_int_equal(before.remarks.count, 1);
    assert_non_null(strstr(before.remarks.items[0], "/login, answers with status 404 already now"));
    judged_is(&o, &before, HEALTH_WARNED, "nor did it answer before");
    pages_well(&plain);
    judged_is(&o, &before, HEALTH_GOOD, NULL);
    health_baseline_release(&before);
}

static void judge__a_shop_that_its_owner_had_closed_is_a_warning(void **state)
{
    const struct health_options o = options_with(NULL);
    struct health_baseline before;

    (void)state;
    answers_put(&plain, "/", "302\nLocation: /storeclosed\n\n");
    answers_put(&plain, "/storeclosed", "200\n\nclosed");
    before = take(&o);
    assert_string_equal(before.pages[0].path, "/");
    judged_is(&o, &before, HEALTH_WARNED, "redirects to /storeclosed");
    answers_put(&plain, "/", "302\nLocation: /elsewhere\n\n");
    judged_is(&o, &before, HEALTH_BROKEN, "redirects to /elsewhere");
    health_baseline_release(&before);
}

static void judge__without_a_baseline_the_usual_pages_must_answer(void **state)
{
    const struct health_options o = options_with(NULL);

    (void)state;
    judged_is(&o, NULL, HEALTH_GOOD, NULL);
    answers_put(&plain, "/product-1", "500\n\nno");
    judged_is(&o, NULL, HEALTH_BROKEN, "/product-1");
    pages_well(&plain);
    answers_put(&plain, "/login", "500\n\nno");
    judged_is(&o, NULL, HEALTH_BROKEN, "/login");
}

static void judge__after_a_baseline_of_a_shop_that_was_down_the_usual_pages_must_answer(void **state)
{
    const struct health_options o = options_with(NULL);
    struct health_baseline before;

    (void)state;
    answers_put(&plain, "all", "silent");
    before = take(&o);
    answers_put(&plain, "all", NULL);
    judged_is(&o, &before, HEALTH_GOOD, NULL);
    answers_put(&plain, "/login", "500\n\nno");
    judged_is(&o, &before, HEALTH_BROKEN, "/login");
    health_baseline_release(&before);
}

static void judge__knows_a_base_path(void **state)
{
    struct health_options o = options_with(NULL);
    struct health_baseline before;

    (void)state;
    snprintf(url, sizeof url, "http://me:secret@127.0.0.1:%d/shop/", plain.port);
    answers_put(&plain, "/shop/", "302\nLocation: /shop/en/\n\n");
    answers_put(&plain, "/shop/en/", "200\n\nwelcome");
    answers_put(&plain, "/shop/login", "200\n\nlog in");
    answers_put(&plain, "/shop/books", "200\n\nbooks");
    answers_put(&plain, "/shop/product-1", "200\n\n<img src='/shop/images/thumbs/1.png'>");
    answers_put(&plain, "/shop/images/thumbs/1.png", "200\nContent-Type: image/png\n\nPNG");
    before = take(&o);
    assert_string_equal(before.pages[0].path, "/en/");
    assert_string_equal(before.picture, "/images/thumbs/1.png");
    assert_int_equal(before.remarks.count, 0);
    judged_is(&o, &before, HEALTH_GOOD, NULL);
    answers_put(&plain, "/shop/en/", "302\nLocation: /shop/install\n\n");
    judged_is(&o, &before, HEALTH_BROKEN, "/install");
    health_baseline_release(&before);
}

static void judge__asks_the_first_page_as_the_owner_wrote_it(void **state)
{
    const struct health_options o = options_with(NULL);
    struct health_baseline before;

    (void)state;
    snprintf(url, sizeof url, "http://127.0.0.1:%d/portal", plain.port);
    answers_put(&plain, "/portal", "200\n\nwelcome");
    before = take(&o);
    assert_true(before.pages[0].answered);
    assert_int_equal(answers_asked(&plain, "/portal"), 1);
    assert_int_equal(answers_asked(&plain, "/portal/"), 0);
    health_baseline_release(&before);
}

static void judge__asks_over_https_under_the_shops_name(void **state)
{
    struct health_options o = options_with(NULL);
    struct health_baseline before;
    char ca[256];

    (void)state;
    snprintf(url, sizeof url, "https://127.0.0.1:%d/", secure.port);
    snprintf(ca, sizeof ca, "%s/certificate.pem", secure.folder);
    o.host = "shop.example";
    o.ca_file = ca;
    answers_put(&secure, "/", "302\nLocation: https://shop.example/en/\n\n");
    answers_put(&secure, "/en/", "200\n\nwelcome");
    before = take(&o);
    assert_string_equal(before.pages[0].path, "/en/");
    assert_int_equal(before.remarks.count, 0);
    judged_is(&o, &before, HEALTH_GOOD, NULL);
    o.ca_file = NULL;
    judged_is(&o, &before, HEALTH_BROKEN, "ca-file");
    health_baseline_release(&before);
}

/* ---- the log ---- */

#define LOG "INSERT INTO \"Log\" (\"ShortMessage\", \"LogLevelId\", \"CreatedOnUtc\") VALUES "

static void judge__what_is_new_in_the_log_counts_by_level_and_kind(void **state)
{
    const struct health_options o = options_with(NULL);

    (void)state;
    sql_makes(&o, LOG "('The database is gone', 50, '2026-04-01')", HEALTH_BROKEN, "fatal: The database is gone");
    sql_makes(&o, LOG "('Column ''X'' does not exist', 40, '2026-04-01')", HEALTH_WARNED, "Column 'X' does not exist");
    sql_makes(&o,
              LOG "('A plugin failed (order 7)', 40, '2026-04-01'), ('A plugin failed (order 8)', 40, '2026-04-01')",
              HEALTH_WARNED, "A plugin failed (order 8)");
    sql_makes(&o, LOG "('Error 4711', 40, '2026-04-01')", HEALTH_GOOD, NULL);
    sql_makes(&o, LOG "('Application started', 20, '2026-04-01'), ('Slow', 30, '2026-04-01')", HEALTH_GOOD, NULL);
}

static void kind__is_a_message_without_what_names_the_single_case(void **state)
{
    static const char *const same[][2] = {
        {"Error 404. The page (/a/b) was not found", "Error 404. The page (/c) was not found"},
        {"Order #12 of 3 failed", "order #7 of 1234 failed"},
        {"Column 'X' is gone", "Column 'Y and Z' is gone"},
        {"Task \"a\" [1]", "Task \"b\" [22]"},
    };
    static const char *const different[][2] = {
        {"Object reference not set", "Sequence contains no elements"}, {"it's gone", "it's here"}, {"", "x"}};

    (void)state;
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
        assert_true(log_kind(same[i][0]) == log_kind(same[i][1]));
    for (size_t i = 0; i < sizeof(different) / sizeof(different[0]); i++)
        assert_false(log_kind(different[i][0]) == log_kind(different[i][1]));
}

/* ---- migrations ---- */

#define RECORD "INSERT INTO \"MigrationVersionInfo\" VALUES "

static void judge__what_was_recorded_stays_recorded(void **state)
{
    const struct health_options o = options_with(NULL);
    struct health_baseline before = take(&o);

    (void)state;
    sql("DELETE FROM \"MigrationVersionInfo\" WHERE \"Version\" = 637196889689037677");
    judged_is(&o, &before, HEALTH_BROKEN, "637196889689037677, recorded before the upgrade, is not recorded");
    sql(RECORD "(637196889689037677, NULL, 'Nop.Data base indexes')");
    judged_is(&o, &before, HEALTH_GOOD, NULL);
    health_baseline_release(&before);
}

static void judge__the_versions_own_migrations_must_be_recorded(void **state)
{
    static const char *const all_480 =
        RECORD "(1, NULL, 'nopCommerce version 4.80. Update Data'), (2, NULL, 'nopCommerce version 4.80. Update "
               "Localization'), (3, NULL, 'nopCommerce version 4.80. Update Settings')";
    struct health_options o = options_with(NULL);

    (void)state;
    o.target = "4.80.4";
    sql_makes(&o, "SELECT 1", HEALTH_BROKEN, "no migration of nopCommerce 4.80");
    sql_makes(
        &o,
        RECORD
        "(638491680000000000, NULL, 'SchemaMigration for 4.70.0'), (638491680000000001, NULL, 'Tax.Avalara 4.80')",
        HEALTH_BROKEN, "no migration of nopCommerce 4.80");
    sql_makes(&o, RECORD "(638674848000000000, NULL, 'SchemaMigration for 4.80.0')", HEALTH_GOOD,
              NULL); /* a build made in Debug */
    sql_makes(
        &o,
        RECORD
        "(638674848000000000, NULL, 'SchemaMigration for 4.80.0'), (638674848000000005, NULL, 'nopCommerce version 4.80. Update Data')",
        HEALTH_WARNED, "not recorded: Localization Settings");
    sql_makes(&o, all_480, HEALTH_GOOD, NULL);
    sql("DELETE FROM \"MigrationVersionInfo\" WHERE \"Version\" < 10");
    o.target = "4.40";
    sql_makes(
        &o,
        RECORD
        "(637273440000000005, NULL, 'nopCommerce version 4.40.0. Update Data'), (637273440000000010, NULL, 'nopCommerce version "
        "4.40.0. Update Localization'), (637273440000000015, NULL, 'nopCommerce version 4.40.0. Update Settings')",
        HEALTH_GOOD, NULL);
    o.target = "4.50.3";
    sql_makes(&o, RECORD "(637691616000000000, NULL, 'Pseudo-migration to update appSettings.json file')", HEALTH_GOOD,
              NULL);
    o.target = "4.30";
    sql_makes(&o, "SELECT 1", HEALTH_GOOD, NULL);
}

static void judge__what_a_rehearsal_recorded_must_be_recorded(void **state)
{
    static const int64_t expected[] = {637160666562551771, 638934912000000000};
    struct health_options o = options_with(NULL);

    (void)state;
    o.expected = expected;
    o.expected_count = 2;
    sql_makes(&o, "SELECT 1", HEALTH_BROKEN, "638934912000000000, which this release makes, is not recorded");
    sql_makes(&o, RECORD "(638934912000000000, NULL, NULL)", HEALTH_GOOD, NULL);
}

static void judge__a_database_that_cannot_be_read_is_broken(void **state)
{
    const struct health_options o = options_with(NULL);
    struct health_baseline before = take(&o);
    struct health_result r;

    (void)state;
    shop_drop();
    r = judged(&o, &before);
    assert_int_equal(r.verdict, HEALTH_BROKEN);
#ifdef HEALTH_ON_MYSQL
    assert_int_equal(r.reasons.count, 3); /* a database that is gone is one without tables there */
#else
    assert_int_equal(r.reasons.count, 1);
    assert_non_null(strstr(r.reasons.items[0], "reading which migrations the shop has recorded"));
#endif
    health_result_release(&r);
    health_baseline_release(&before);
    shop_close();
    shop_open();
}

/* ---- the owner's own checks ---- */

static void owners_checks_are(const char *command, const char *page, enum health_verdict verdict, const char *mention)
{
    struct health_options o = options_with(NULL);
    struct text_list commands = TEXT_LIST_INIT;
    struct text_list pages = TEXT_LIST_INIT;
    struct error err = ERROR_INIT;

    o.command_timeout_ms = 2000;
    o.commands = &commands;
    o.pages = &pages;
    if (command)
        assert_ok(text_list_add(&commands, command, &err));
    if (page)
        assert_ok(text_list_add(&pages, page, &err));
    judged_is(&o, NULL, verdict, mention);
    text_list_release(&commands);
    text_list_release(&pages);
}

static void owners_check__a_command_must_succeed_in_time(void **state)
{
    (void)state;
    owners_checks_are("exit 0", NULL, HEALTH_GOOD, NULL);
    owners_checks_are("echo secret >&2; exit 3", NULL, HEALTH_BROKEN, "`echo secret >&2; exit 3` ended with status 3");
    owners_checks_are("sleep 100", NULL, HEALTH_BROKEN, "did not end within 2");
    owners_checks_are("no-such-program-anywhere", NULL, HEALTH_BROKEN, "status 127");
}

static void owners_check__a_command_is_not_run_where_the_shop_is_broken(void **state)
{
    char command[256];
    char runs[64];

    (void)state;
    snprintf(command, sizeof command, "touch %s/ran", plain.folder);
    answers_put(&plain, "/login", "500\n\nno");
    owners_checks_are(command, NULL, HEALTH_BROKEN, "/login");
    snprintf(runs, sizeof runs, "%s/ran", plain.folder);
    assert_int_equal(access(runs, F_OK), -1);
}

static void owners_check__a_page_must_hold_its_text(void **state)
{
    char elsewhere[256];

    (void)state;
    answers_put(&plain, "/about-us", "200\n\n<h1>Our company</h1>");
    answers_put(&plain, "/status", "201\n\nOur company");
    owners_checks_are(NULL, "/about-us Our company", HEALTH_GOOD, NULL);
    owners_checks_are(NULL, "/about-us  Their company", HEALTH_BROKEN, "/about-us, does not hold \"Their company\"");
    owners_checks_are(NULL, "/status Our company", HEALTH_BROKEN, "/status, answers with status 201");
    snprintf(elsewhere, sizeof elsewhere, "http://me:secret@127.0.0.1:%d/about-us\tOur company", plain.port);
    owners_checks_are(NULL, elsewhere, HEALTH_GOOD, NULL);
    owners_checks_are(NULL, "http://me:secret@127.0.0.1:1/x y", HEALTH_BROKEN,
                      "the page to check, http://127.0.0.1:1/x, does not answer");
}

/* ---- options, and the unit ---- */

static void options__come_from_the_config(void **state)
{
    static char text[] = "90m";
    const struct site_config config = {.url = url, .host_header = text, .ca_file = text, .health_timeout = text};
    struct health_options o = HEALTH_OPTIONS_INIT;

    (void)state;
    health_options_from(&config, &o);
    assert_ptr_equal(o.url, url);
    assert_ptr_equal(o.host, text);
    assert_ptr_equal(o.ca_file, text);
    assert_int_equal(o.timeout_ms, 90 * 60000);
    assert_ptr_equal(o.commands, &config.check);
    assert_ptr_equal(o.pages, &config.check_page);
}

static void options__a_url_that_is_none_is_told(void **state)
{
    const struct health_options o = {.url = "nowhere", .poll_ms = 5};
    struct health_baseline b = HEALTH_BASELINE_INIT;
    struct health_result r = HEALTH_RESULT_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(health_baseline_take(&o, NULL, NULL, &b, &err), ERR_USAGE);
    error_clear(&err);
    assert_int_equal(health_judge(&o, NULL, NULL, NULL, &r, &err), ERR_USAGE);
}

static void probe__tells_a_units_state_and_run(void **state)
{
    static const char model[] =
        "#!/bin/sh\nfolder=${0%/*}\n"
        "case $1 in\nis-active) [ -e \"$folder/active\" ] ;;\nshow) cat \"$folder/run\" ;;\nesac\n";
    struct health_process p = {.known = false};
    struct shop_watch watch = {.service = "nop.service"};
    struct error err = ERROR_INIT;
    char *folder = test_folder_make();
    char old[4096];
    char path[4200];

    (void)state;
    snprintf(old, sizeof old, "%s", getenv("PATH"));
    snprintf(path, sizeof path, "%s/systemctl", folder);
    assert_ok(file_replace(path, model, sizeof model - 1, 0755, &err));
    snprintf(path, sizeof path, "%s/run", folder);
    assert_ok(file_replace(path, "abc\n", 4, 0644, &err));
    snprintf(path, sizeof path, "%s/active", folder);
    assert_ok(file_replace(path, "", 0, 0644, &err));
    snprintf(path, sizeof path, "%s:%s", folder, old);
    setenv("PATH", path, 1);
    assert_ok(health_probe_shop(&watch, &p, &err));
    assert_true(p.known && p.alive);
    assert_non_null(strstr(p.run, "abc"));
    snprintf(path, sizeof path, "%s/active", folder);
    assert_int_equal(unlink(path), 0);
    assert_ok(health_probe_shop(&watch, &p, &err));
    assert_true(p.known);
    assert_false(p.alive);
    setenv("PATH", old, 1);
    test_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scene_test(baseline__holds_pages_picture_log_and_migrations),
        scene_test(baseline__goes_through_json),
        scene_test(baseline__spoilt_json_is_refused),
        scene_test(baseline__of_a_shop_that_is_down_says_so_and_asks_once),
        scene_test(baseline__remembers_where_a_language_is_in_the_address),
        scene_test(baseline__tries_some_products),
        scene_test(baseline__of_a_slug_in_another_script_asks_it_encoded),
        scene_test(baseline__renewed_forgives_what_the_old_shop_logged_since),
        scene_test(judge__a_shop_that_is_well_is_good),
        scene_test(judge__waits_while_migrations_run_and_says_how_far_they_are),
        scene_test(judge__no_answer_and_no_migration_is_told_apart_from_migrating),
        scene_test(judge__a_process_that_ended_is_broken_at_once),
        scene_test(judge__a_process_that_was_started_again_is_broken_at_once),
        scene_test(judge__a_process_that_ends_when_it_was_asked_is_broken),
        scene_test(judge__a_process_that_nobody_can_tell_of_is_waited_for),
        scene_test(judge__an_application_that_did_not_start_is_broken_at_once),
        scene_test(judge__the_install_page_is_broken_at_once_and_says_what_it_is),
        scene_test(judge__a_first_page_that_stays_bad_is_broken),
        scene_test(judge__a_bad_answer_may_come_right),
        scene_test(judge__a_bad_answer_at_the_limit_is_broken),
        scene_test(judge__ends_with_a_signal),
        scene_test(judge__a_shop_that_migrates_while_it_answers_is_asked_again),
        scene_test(judge__names_the_migration_that_came_last_not_the_highest),
        scene_test(judge__a_page_that_answered_before_must_answer),
        scene_test(judge__the_products_picture_must_be_there),
        scene_test(judge__a_picture_that_was_missing_before_may_be_missing),
        scene_test(judge__a_page_that_did_not_answer_before_is_a_warning),
        scene_test(judge__a_shop_that_its_owner_had_closed_is_a_warning),
        scene_test(judge__without_a_baseline_the_usual_pages_must_answer),
        scene_test(judge__after_a_baseline_of_a_shop_that_was_down_the_usual_pages_must_answer),
        scene_test(judge__knows_a_base_path),
        scene_test(judge__asks_the_first_page_as_the_owner_wrote_it),
        scene_test(judge__asks_over_https_under_the_shops_name),
        scene_test(judge__what_is_new_in_the_log_counts_by_level_and_kind),
        cmocka_unit_test(kind__is_a_message_without_what_names_the_single_case),
        scene_test(judge__what_was_recorded_stays_recorded),
        scene_test(judge__the_versions_own_migrations_must_be_recorded),
        scene_test(judge__what_a_rehearsal_recorded_must_be_recorded),
        scene_test(judge__a_database_that_cannot_be_read_is_broken),
        scene_test(owners_check__a_command_must_succeed_in_time),
        scene_test(owners_check__a_command_is_not_run_where_the_shop_is_broken),
        scene_test(owners_check__a_page_must_hold_its_text),
        scene_test(options__come_from_the_config),
        scene_test(options__a_url_that_is_none_is_told),
        scene_test(probe__tells_a_units_state_and_run),
    };
    return cmocka_run_group_tests(tests, start_all, stop_all);
}
