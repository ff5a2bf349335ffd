#include "site_test_support.h"

static void expect_path(const char *version, const char *setting, const char *expected)
{
    struct site site = SITE_INIT;
    struct error err = ERROR_INIT;
    char *out = NULL;

    if (version[0] == '3')
        put_legacy("site");
    else
        put_core("site", version);
    assert_int_equal(site_inspect("site", NULL, &site, &err), OK);
    assert_int_equal(site_picture_path(&site, setting, &out, &err), OK);
    if (strcmp(out, expected) != 0)
        fail_msg("%s and %s give %s", version, setting ? setting : "no setting", out);
    free(out);
    site_release(&site);
}

static void path__by_version_and_setting(void **state)
{
    char inside[512];
    char *here = getcwd(NULL, 0);

    (void)state;
    expect_path("4.60", NULL, "wwwroot/images");
    expect_path("4.60", "elsewhere", "wwwroot/images"); /* the setting is unknown to 4.60 */
    expect_path("4.90", NULL, "wwwroot/images");
    expect_path("4.90", "", "wwwroot/images");
    expect_path("4.90", "images", "wwwroot/images");
    expect_path("4.90", "media\\pictures/", "wwwroot/media/pictures");
    expect_path("4.90", "../pictures", "pictures");
    expect_path("4.90", "/srv/./pictures/", "/srv/pictures");
    snprintf(inside, sizeof(inside), "%s/site/wwwroot/pics", here);
    expect_path("4.90", inside, "wwwroot/pics");
    snprintf(inside, sizeof(inside), "%s/pics", here);
    expect_path("4.90", "../../pics", inside);
    free(here);
}

static void path__of_3x_as_it_is_on_the_disk(void **state)
{
    (void)state;
    expect_path("3.90", "ignored", "Content/Images");
    assert_int_equal(rename("site/Content", "site/content"), 0);
    assert_int_equal(rename("site/content/Images", "site/content/images"), 0);
    put("site/content/images/x", "");
    {
        struct site site = SITE_INIT;
        struct error err = ERROR_INIT;
        char *out = NULL;

        assert_int_equal(site_inspect("site", NULL, &site, &err), OK);
        assert_int_equal(site_picture_path(&site, NULL, &out, &err), OK);
        assert_string_equal(out, "content/images");
        free(out);
        site_release(&site);
    }
}

static void path__of_windows_or_of_a_plain_folder_is_an_error(void **state)
{
    struct site site = SITE_INIT;
    struct error err = ERROR_INIT;
    char *out = NULL;

    (void)state;
    put_core("site", "4.90");
    assert_int_equal(site_inspect("site", NULL, &site, &err), OK);
    assert_int_equal(site_picture_path(&site, "D:\\pictures", &out, &err), ERR_REFUSED);
    assert_int_equal(site_picture_path(&site, "\\\\server\\share", &out, &err), ERR_REFUSED);
    site_release(&site);
    put("plain/x", "");
    assert_int_equal(site_inspect("plain", NULL, &site, &err), OK);
    assert_int_equal(site_picture_path(&site, NULL, &out, &err), ERR_NOT_FOUND);
    assert_null(out);
    site_release(&site);
}

static void serves__wwwroot_and_all_of_3x(void **state)
{
    (void)state;
    put_core("site", "4.60");
    put_legacy("old");
    put("plain/wwwroot/x", "");
    assert_true(site_serves("site/wwwroot"));
    assert_true(site_serves("site/wwwroot/files/not/there/yet"));
    assert_false(site_serves("site"));
    assert_false(site_serves("site/App_Data"));
    assert_false(site_serves("."));
    assert_true(site_serves("old"));
    assert_true(site_serves("old/App_Data/backups"));
    assert_false(site_serves("plain/wwwroot"));
    assert_int_equal(symlink("site/wwwroot/css", "looks-harmless"), 0);
    assert_true(site_serves("looks-harmless/catalog"));
    assert_false(site_serves("/nonexistent/at/all"));
    assert_true(site_holds("site", "site"));
    assert_true(site_holds("site", "site/App_Data/not/there/yet"));
    assert_true(site_holds("site", "looks-harmless/catalog"));
    assert_false(site_holds("site", "."));
    assert_false(site_holds("site", "site/../old"));
    assert_false(site_holds("site", "site2/not/there"));
    assert_true(site_holds("/nonexistent/shop", "/nonexistent/shop/lost"));
    assert_false(site_holds("/nonexistent/shop", "/nonexistent/shop2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        site_test(path__by_version_and_setting),
        site_test(path__of_3x_as_it_is_on_the_disk),
        site_test(path__of_windows_or_of_a_plain_folder_is_an_error),
        site_test(serves__wwwroot_and_all_of_3x),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
