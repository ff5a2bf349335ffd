#include "site_test_support.h"

static void expect_refused(const char *text, const char *mention)
{
    struct config c = CONFIG_INIT;
    struct error err = ERROR_INIT;

    put("nopsnap.conf", text);
    assert_int_equal(config_load("nopsnap.conf", &c, &err), ERR_REFUSED);
    if (!strstr(err.text, mention))
        fail_msg("'%s' does not mention '%s'", err.text, mention);
    assert_null(c.sites);
    assert_null(c.catalog);
}

static void load__every_key(void **state)
{
    struct config c = CONFIG_INIT;
    struct error err = ERROR_INIT;
    const struct site_config *s;

    (void)state;
    put("nopsnap.conf",
        "\xef\xbb\xbf; a comment\r\n[nopsnap]\r\ncatalog = /var/backups/shop\r\nnotify-timeout = 10s\r\n\r\n[shop]\r\npath = /var/www/shop\r\n"
        "service = nop.service ; inline\r\nstop = docker stop shop\r\nstart = docker start shop\r\nopen = a b\r\nclose = c\r\n"
        "url = http://127.0.0.1:5000/x;y\r\nhost-header = shop.example\r\nca-file = /etc/shop.pem\r\nhealth-timeout = 90m\r\n"
        "check = test -e /a\r\ncheck = b\r\ncheck-page = /about-us Our company\r\ncheck-page = https://h/x y\r\ndatabase-admin = service:shop_admin\r\ncache-flush = redis-cli flushall\r\n"
        "keep = last 3, daily 7\r\nenvironment = Staging\r\nexclude = *.tmp\r\nexclude = /a/**\r\ninclude = b.tmp\r\n"
        "notify-webhook = /etc/hook\nnotify-webhook-template = {\"text\": \"{message}\"}\n"
        "# another\n[second]\npath=/srv/b\ndatabase-admin=/etc/my.cnf\n");
    assert_int_equal(config_load("nopsnap.conf", &c, &err), OK);
    assert_string_equal(c.catalog, "/var/backups/shop");
    assert_int_equal(c.count, 2);
    s = config_find(&c, "shop");
    assert_non_null(s);
    assert_string_equal(s->path, "/var/www/shop");
    assert_string_equal(s->service, "nop.service");
    assert_string_equal(s->stop, "docker stop shop");
    assert_string_equal(s->start, "docker start shop");
    assert_string_equal(s->open, "a b");
    assert_string_equal(s->close, "c");
    assert_string_equal(s->url, "http://127.0.0.1:5000/x;y");
    assert_string_equal(s->host_header, "shop.example");
    assert_string_equal(s->ca_file, "/etc/shop.pem");
    assert_string_equal(s->health_timeout, "90m");
    assert_int_equal(s->check.count, 2);
    assert_string_equal(s->check.items[0], "test -e /a");
    assert_int_equal(s->check_page.count, 2);
    assert_string_equal(s->check_page.items[0], "/about-us Our company");
    assert_string_equal(s->database_admin, "service:shop_admin");
    assert_string_equal(s->cache_flush, "redis-cli flushall");
    assert_string_equal(s->keep, "last 3, daily 7");
    assert_string_equal(s->environment, "Staging");
    assert_int_equal(s->exclude.count, 2);
    assert_string_equal(s->exclude.items[1], "/a/**");
    assert_int_equal(s->include.count, 1);
    assert_string_equal(config_find(&c, "second")->database_admin, "/etc/my.cnf");
    assert_string_equal(c.notify.timeout, "10s");
    assert_null(s->notify.timeout);
    assert_string_equal(s->notify.webhook.path, "/etc/hook");
    assert_string_equal(s->notify.webhook.where, "nopsnap.conf line 28");
    assert_string_equal(s->notify.webhook_template, "{\"text\": \"{message}\"}");
    config_release(&c);
    assert_int_equal(c.count, 0);
}

static void load__faults_are_named_with_their_line(void **state)
{
    char long_line[6000];

    (void)state;
    expect_refused("[shop]\npath = /x\nservce = y\n", "line 3");
    expect_refused("[shop]\npath = /x\nservce = y\n", "servce");
    expect_refused("[shop]\nthis is nothing\n", "line 2");
    expect_refused("[shop\npath = /x\n", "line 1");
    expect_refused("path = /x\n", "no [section]");
    expect_refused("[shop]\npath = www/shop\n", "absolute path");
    expect_refused("[shop]\npath =\n", "no value");
    expect_refused("[shop]\npath = /x\npath = /y\n", "twice");
    expect_refused("[shop]\npath = /x\ndatabase-admin = Host=h;Password=p\n", "service:NAME");
    expect_refused("[shop]\npath = /x\nurl = 127.0.0.1:5000\n", "http://");
    expect_refused("[shop]\npath = /x\nhealth-timeout = soon\n", "30m");
    expect_refused("[shop]\npath = /x\nca-file = shop.pem\n", "absolute path");
    expect_refused("[shop]\npath = /x\ncheck-page = /about-us\n", "TEXT");
    expect_refused("[shop]\npath = /x\ncheck-page = about-us text\n", "TEXT");
    expect_refused("[nopsnap]\ncatalog = here\n", "line 2");
    expect_refused("[nopsnap]\nfoo = /x\n", "foo");
    expect_refused("[shop]\nstop = x\n", "no path");
    expect_refused("[/shop]\npath = /x\n", "slash");
    memset(long_line, 'a', sizeof(long_line));
    memcpy(long_line, "[shop]\npath = /", 15);
    long_line[sizeof(long_line) - 1] = '\0';
    expect_refused(long_line, "line 2 is longer");
    put_bytes("nul.conf", "[a]\0\npath=/x\n", 13);
    {
        struct config c = CONFIG_INIT;
        struct error err = ERROR_INIT;

        assert_int_equal(config_load("nul.conf", &c, &err), ERR_REFUSED);
    }
}

static void load__a_secret_is_not_repeated_in_the_error(void **state)
{
    struct config c = CONFIG_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    put("nopsnap.conf", "[shop]\npath = /x\ndatabase-admin = Host=h;Password=hunter2\n");
    assert_int_equal(config_load("nopsnap.conf", &c, &err), ERR_REFUSED);
    assert_null(strstr(err.text, "hunter2"));
}

static void load__a_file_that_others_may_write_is_refused(void **state)
{
    struct config c = CONFIG_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    put("nopsnap.conf", "[shop]\npath = /x\n");
    assert_int_equal(chmod("nopsnap.conf", 0666), 0);
    assert_int_equal(config_load("nopsnap.conf", &c, &err), ERR_REFUSED);
    assert_true(err.hint[0] != '\0');
    assert_int_equal(chmod("nopsnap.conf", 0640), 0);
    error_clear(&err);
    assert_int_equal(config_load("nopsnap.conf", &c, &err), OK);
    config_release(&c);
    if (geteuid() == 0) {
        assert_int_equal(chown("nopsnap.conf", 65534, 0), 0);
        assert_int_equal(config_load("nopsnap.conf", &c, &err), ERR_REFUSED);
    }
}

static void load__a_named_file_must_exist_and_a_folder_is_none(void **state)
{
    struct config c = CONFIG_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(config_load("absent.conf", &c, &err), ERR_NOT_FOUND);
    assert_int_equal(mkdir("folder", 0700), 0);
    assert_int_equal(config_load("folder", &c, &err), ERR_REFUSED);
}

static void load__the_users_file_lies_over_the_systems(void **state)
{
    struct config c = CONFIG_INIT;
    struct error err = ERROR_INIT;
    char *here = getcwd(NULL, 0);

    (void)state;
    setenv("XDG_CONFIG_HOME", here, 1);
    put("nopsnap.conf", "[unit-test-shop]\npath = /x\n");
    assert_int_equal(config_load(NULL, &c, &err), OK);
    assert_non_null(config_find(&c, "unit-test-shop"));
    config_release(&c);
    put("nopsnap.conf", "[unit-test-shop]\npat = /x\n");
    assert_int_equal(config_load(NULL, &c, &err), ERR_REFUSED);
    assert_int_equal(unlink("nopsnap.conf"), 0);
    error_clear(&err);
    assert_int_equal(config_load(NULL, &c, &err), OK);
    config_release(&c);
    unsetenv("XDG_CONFIG_HOME");
    free(here);
}

static void find__by_name_path_or_symlink_and_also_when_gone(void **state)
{
    struct config c = CONFIG_INIT;
    struct error err = ERROR_INIT;
    char *here = getcwd(NULL, 0);
    char text[512];
    char path[512];

    (void)state;
    assert_int_equal(mkdir("shop", 0755), 0);
    assert_int_equal(symlink("shop", "link"), 0);
    snprintf(text, sizeof(text), "[a]\npath = %s/link\n[b]\npath = %s/gone\n", here, here);
    put("nopsnap.conf", text);
    assert_int_equal(config_load("nopsnap.conf", &c, &err), OK);
    assert_ptr_equal(config_find(&c, "a"), &c.sites[0]);
    assert_ptr_equal(config_find(&c, "shop"), &c.sites[0]);
    assert_ptr_equal(config_find(&c, "link/"), &c.sites[0]);
    snprintf(path, sizeof(path), "%s/x/../gone/", here);
    assert_ptr_equal(config_find(&c, path), &c.sites[1]);
    assert_null(config_find(&c, "c"));
    assert_null(config_find(&c, "/"));
    config_release(&c);
    free(here);
}

static void readable__is_what_stands_before_a_fault_and_between_them(void **state)
{
    struct config c = CONFIG_INIT;

    (void)state;
    put("nopsnap.conf", "[nopsnap]\nnotify-webhook = /etc/hook\nnotify-webhook = /etc/other\nno-such-key = 1\n"
                        "[nameless]\nurl = http://127.0.0.1/\n[/slash]\npath = /x\n[shop]\npath = relative\n"
                        "path = /srv/a\nkeep = dayly\n[b]\npath = /srv/b\nno line\n[c]\npath = /srv/c\n");
    config_load_readable("nopsnap.conf", &c);
    assert_string_equal(c.notify.webhook.path, "/etc/hook");
    assert_int_equal(c.count, 2);
    assert_string_equal(c.sites[0].path, "/srv/a");
    assert_null(c.sites[0].keep);
    assert_string_equal(c.sites[1].path, "/srv/b");
    config_release(&c);
    assert_int_equal(chmod("nopsnap.conf", 0666), 0);
    config_load_readable("nopsnap.conf", &c);
    assert_int_equal(c.count, 0);
    assert_null(c.notify.webhook.path);
    config_load_readable("not-there.conf", &c);
    config_release(&c);
    assert_int_equal(unlink("nopsnap.conf"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        site_test(readable__is_what_stands_before_a_fault_and_between_them),
        site_test(load__every_key),
        site_test(load__faults_are_named_with_their_line),
        site_test(load__a_secret_is_not_repeated_in_the_error),
        site_test(load__a_file_that_others_may_write_is_refused),
        site_test(load__a_named_file_must_exist_and_a_folder_is_none),
        site_test(load__the_users_file_lies_over_the_systems),
        site_test(find__by_name_path_or_symlink_and_also_when_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
