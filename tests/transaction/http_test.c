/* One GET against a real listener. */
#include "test_support.h"

#include <signal.h>

#include "fixture/answers.h"
#include "http.h"
#include "thread.h"
#include "transaction_internal.h"

static struct answers plain;
static struct answers secure;

static int start(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    /* What the program must not use. */
    setenv("http_proxy", "http://127.0.0.1:1/", 1);
    setenv("https_proxy", "http://127.0.0.1:1/", 1);
    answers_start(&plain, 0);
    answers_start(&secure, 1);
    return cancel_install(&err) != OK;
}

static int stop(void **state)
{
    (void)state;
    answers_stop(&plain);
    answers_stop(&secure);
    return 0;
}

static enum error_kind get(const struct answers *from, const char *host, const char *ca, const char *path,
                           struct http_answer *a)
{
    const struct http_options options = {.host = host, .ca_file = ca};
    struct error err = ERROR_INIT;
    char url[256];
    enum error_kind rc;

    snprintf(url, sizeof(url), "%s://127.0.0.1:%d%s", from == &secure ? "https" : "http", from->port, path);
    rc = http_get(url, &options, a, &err);
    if (rc)
        fprintf(stderr, "%s (%s)\n", err.text, err.hint);
    return rc;
}

static void get__has_status_type_and_body(void **state)
{
    struct http_answer a = HTTP_ANSWER_INIT;

    (void)state;
    answers_put(&plain, "/picture", "203\nContent-Type: image/png\n\nnot really");
    assert_int_equal(get(&plain, NULL, NULL, "/picture", &a), OK);
    assert_int_equal(a.status, 203);
    assert_string_equal(a.content_type, "image/png");
    assert_string_equal((char *)a.body.data, "not really");
    assert_null(a.location);
    http_answer_release(&a);
}

static void get__follows_no_redirect(void **state)
{
    struct http_answer a = HTTP_ANSWER_INIT;

    (void)state;
    answers_forget_requests(&plain);
    answers_put(&plain, "/old", "302\nLocation: /new?a=b\n\n");
    assert_int_equal(get(&plain, NULL, NULL, "/old", &a), OK);
    assert_int_equal(a.status, 302);
    assert_string_equal(http_url_path(a.location), "/new?a=b");
    assert_int_equal(answers_asked(&plain, "/new?a=b"), 0);
    http_answer_release(&a);
}

static void get__comes_as_a_crawler_under_the_name_that_is_wanted(void **state)
{
    struct http_answer a = HTTP_ANSWER_INIT;
    char seen[1024];

    (void)state;
    answers_forget_requests(&plain);
    assert_int_equal(get(&plain, "shop.example", NULL, "/x", &a), OK);
    http_answer_release(&a);
    answers_read(&plain, "requests", seen, sizeof(seen));
    assert_non_null(strstr(seen, "/x shop.example nopsnap/"));
    assert_non_null(strstr(seen, "robots")); /* nopCommerce's list has "*robots*" */
    answers_forget_requests(&plain);
    assert_int_equal(get(&plain, "shop.example:8443", NULL, "/x", &a), OK);
    http_answer_release(&a);
    answers_read(&plain, "requests", seen, sizeof(seen));
    assert_non_null(strstr(seen, "/x shop.example:8443 "));
}

static void get__trusts_a_private_certificate_for_its_own_name_only(void **state)
{
    struct http_answer a = HTTP_ANSWER_INIT;
    char ca[256];

    (void)state;
    snprintf(ca, sizeof(ca), "%s/certificate.pem", secure.folder);
    answers_put(&secure, "/", "200\n\nhello");
    assert_int_equal(get(&secure, "shop.example", ca, "/", &a), OK);
    assert_int_equal(a.status, 200);
    http_answer_release(&a);
    assert_int_equal(get(&secure, "shop.example", NULL, "/", &a), OK);
    assert_int_equal(a.status, 0);
    assert_true(a.untrusted);
    http_answer_release(&a);
    assert_int_equal(get(&secure, "other.example", ca, "/", &a), OK);
    assert_int_equal(a.status, 0);
    assert_true(a.untrusted);
    http_answer_release(&a);
}

static void get__says_why_there_is_no_answer(void **state)
{
    const struct http_options options = {0};
    struct http_answer a = HTTP_ANSWER_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(http_get("http://127.0.0.1:1/", &options, &a, &err), OK);
    assert_int_equal(a.status, 0);
    assert_false(a.untrusted);
    assert_non_null(strstr(a.why, "127.0.0.1"));
    http_answer_release(&a);
}

static void get__keeps_the_beginning_of_what_does_not_end(void **state)
{
    struct http_answer a = HTTP_ANSWER_INIT;
    char *text = malloc(HTTP_BODY_MAX + 1000);

    (void)state;
    assert_non_null(text);
    memset(text, 'x', HTTP_BODY_MAX + 999);
    memcpy(text, "200\n\nbegin", 10);
    text[HTTP_BODY_MAX + 999] = '\0';
    answers_put(&plain, "/big", text);
    free(text);
    assert_int_equal(get(&plain, NULL, NULL, "/big", &a), OK);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body.len, HTTP_BODY_MAX);
    assert_memory_equal(a.body.data, "begin", 5);
    http_answer_release(&a);
    answers_put(&plain, "/big", NULL);
}

static void get__refuses_what_is_no_web_address_without_its_password(void **state)
{
    static const char *const urls[] = {"file:///etc/passwd", "127.0.0.1:5000", "ftp://me:secret@host/",
                                       "http://me:secret@ho st/"};
    const struct http_options options = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct http_answer a = HTTP_ANSWER_INIT;
        struct error err = ERROR_INIT;
        enum error_kind rc = http_get(urls[i], &options, &a, &err);

        assert_true(rc == ERR_USAGE || (rc == OK && a.status == 0 && a.body.len == 0));
        assert_null(strstr(err.text, "secret"));
        assert_null(strstr(a.why, "secret"));
        http_answer_release(&a);
    }
}

static void get__ends_with_a_signal(void **state)
{
    const struct http_options options = {0};
    struct http_answer a = HTTP_ANSWER_INIT;
    struct error err = ERROR_INIT;
    char url[64];

    (void)state;
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", plain.port);
    assert_int_equal(raise(SIGTERM), 0);
    assert_int_equal(http_get(url, &options, &a, &err), ERR_CANCELLED);
    cancel_reset();
}

/* What a rollback asks, with the config's keys for it. */
static void health__asks_under_the_name_and_with_the_certificate_of_the_config(void **state)
{
    struct shop_watch watch = {.held = false};
    static char host[] = "shop.example";
    struct txn t = {.health_timeout_ms = 1};
    struct error err = ERROR_INIT;

    (void)state;
    answers_put(&secure, "/", "200\n\nhello");
    assert_int_equal(memory_format(&t.url, &err, "https://127.0.0.1:%d/", secure.port), OK);
    assert_int_equal(memory_format(&t.ca_file, &err, "%s/certificate.pem", secure.folder), OK);
    t.host_header = host;
    assert_int_equal(health_wait(&t, &watch, NULL, &err), OK);
    t.host_header = NULL;
    t.health_timeout_ms = 600000; /* waiting would not help */
    assert_int_equal(health_wait(&t, &watch, NULL, &err), ERR_REMOTE);
    assert_non_null(strstr(err.hint, "ca-file"));
    error_clear(&err);
    t.host_header = host;
    answers_put(&secure, "/", "302\nLocation: /install\n\n");
    assert_int_equal(health_wait(&t, &watch, NULL, &err), ERR_REMOTE);
    assert_non_null(strstr(err.text, "/install"));
    free(t.url);
    free(t.ca_file);
}

static void join__keeps_the_base_path(void **state)
{
    static const char *const cases[][3] = {
        {"http://h:1", "/login", "http://h:1/login"},          {"http://h:1/", "/login", "http://h:1/login"},
        {"https://h/shop/", "/login", "https://h/shop/login"}, {"https://h/shop", "/", "https://h/shop/"},
        {"http://h/a?b=c", "/x?y", "http://h/a/x?y"},          {"http://h//", "/", "http://h/"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct error err = ERROR_INIT;
        char *url = NULL;

        assert_int_equal(http_url_join(cases[i][0], cases[i][1], &url, &err), OK);
        assert_string_equal(url, cases[i][2]);
        free(url);
    }
}

static void install__is_that_page_and_no_other(void **state)
{
    (void)state;
    assert_true(http_leads_to_install("http://h/", "http://h/install"));
    assert_true(http_leads_to_install("http://h/", "http://h/Install?returnUrl=/"));
    assert_true(http_leads_to_install("http://h/shop/", "http://h/shop/install"));
    assert_true(http_leads_to_install("http://h/shop", "https://other/install"));
    assert_false(http_leads_to_install("http://h/", "http://h/installation-service"));
    assert_false(http_leads_to_install("http://h/", "http://h/login?ReturnUrl=/install"));
    assert_false(http_leads_to_install("http://h/", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get__has_status_type_and_body),
        cmocka_unit_test(get__follows_no_redirect),
        cmocka_unit_test(get__comes_as_a_crawler_under_the_name_that_is_wanted),
        cmocka_unit_test(get__trusts_a_private_certificate_for_its_own_name_only),
        cmocka_unit_test(get__says_why_there_is_no_answer),
        cmocka_unit_test(get__keeps_the_beginning_of_what_does_not_end),
        cmocka_unit_test(get__refuses_what_is_no_web_address_without_its_password),
        cmocka_unit_test(get__ends_with_a_signal),
        cmocka_unit_test(health__asks_under_the_name_and_with_the_certificate_of_the_config),
        cmocka_unit_test(join__keeps_the_base_path),
        cmocka_unit_test(install__is_that_page_and_no_other),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
