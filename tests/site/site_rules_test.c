#include "site_test_support.h"

/* A site of this version, inspected; settings beside it are not needed for rules. */
static void inspect(struct site *site, const char *version, const struct site_config *config)
{
    struct error err = ERROR_INIT;

    if (version && version[0] == '3')
        put_legacy("site");
    else if (version)
        put_core("site", version);
    else
        put("site/file", "plain");
    assert_int_equal(site_inspect("site", config, site, &err), OK);
}

struct expectation {
    const char *path;
    bool directory;
    enum site_class class;
};

static void expect(const struct site *site, const struct expectation *e, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *reason = "unset";

        if (site_classify(site, e[i].path, e[i].directory, &reason) != e[i].class)
            fail_msg("%s is not of class %d", e[i].path, (int)e[i].class);
        assert_int_equal(reason != NULL, e[i].class != SITE_KEEP);
        assert_int_equal(site_classify(site, e[i].path, e[i].directory, NULL), e[i].class);
    }
}

#define EXPECT(site, table) expect(site, table, sizeof(table) / sizeof((table)[0]))

static void core__what_the_application_makes_again_is_left_out(void **state)
{
    static const struct expectation table[] = {
        {"", true, SITE_KEEP},
        {"wwwroot", true, SITE_KEEP},
        {"wwwroot/images", true, SITE_KEEP},
        {"wwwroot/images/0000001_0.jpeg", false, SITE_KEEP},
        {"wwwroot/images/thumbs", true, SITE_KEEP},
        {"wwwroot/images/thumbs/placeholder.txt", false, SITE_KEEP},
        {"wwwroot/images/thumbs/0000001_x_415.jpeg", false, SITE_REGENERATED},
        {"wwwroot/images/thumbs/000", true, SITE_REGENERATED},
        {"wwwroot/images/thumbs/000/placeholder.txt", false, SITE_REGENERATED},
        {"wwwroot/images/thumbsup/a.jpg", false, SITE_KEEP},
        {"wwwroot/images/uploaded/thumbs/a.jpg", false, SITE_KEEP},
        {"wwwroot/bundles/a.js", false, SITE_REGENERATED},
        {"wwwroot/bundles/Index.htm", false, SITE_KEEP},
        {"wwwroot/sitemaps/sitemap-1.xml", false, SITE_REGENERATED},
        {"wwwroot/db_backups/x.bak", false, SITE_BACKUPS},
        {"wwwroot/db_backups/placeholder.txt", false, SITE_KEEP},
        {"wwwroot/files/exportimport/order.pdf", false, SITE_KEEP},
        {"App_Data/TempUploads/x", false, SITE_REGENERATED},
        {"App_Data/appsettings.json", false, SITE_KEEP},
        {"App_Data/DataProtectionKeys/key-1.xml", false, SITE_KEEP},
        {"logs/stdout.log", false, SITE_REGENERATED},
        {"Logs/stdout.log", false, SITE_REGENERATED},
        {"Logs", true, SITE_KEEP},
        {"Plugins/Misc.Acme/logs/x.log", false, SITE_KEEP},
        {"Plugins/Uploaded/x", false, SITE_KEEP},
        {"obj/WebOptimizerCache/x", false, SITE_REGENERATED},
        {"Nop.Web.dll", false, SITE_KEEP},
        {"bin/x.dll", false, SITE_KEEP},
    };
    struct site site = SITE_INIT;

    (void)state;
    inspect(&site, "4.60", NULL);
    EXPECT(&site, table);
    site_release(&site);
}

static void core__rules_go_by_version(void **state)
{
    static const struct expectation of_450[] = {
        {"Plugins/bin/x.dll", false, SITE_REGENERATED},
        {"Plugins/bin/reserve_bin_1/x.dll", false, SITE_REGENERATED},
        {"Plugins/bin/placeholder.txt", false, SITE_KEEP},
        {"wwwroot/sitemaps/a.xml", false, SITE_KEEP},
    };
    static const struct expectation of_460[] = {
        {"Plugins/bin/x.dll", false, SITE_KEEP},
        {"wwwroot/sitemaps/a.xml", false, SITE_REGENERATED},
    };
    struct site site = SITE_INIT;

    (void)state;
    inspect(&site, "4.50", NULL);
    EXPECT(&site, of_450);
    site_release(&site);
    inspect(&site, "4.60", NULL);
    EXPECT(&site, of_460);
    site_release(&site);
}

static void legacy__rules_disregard_case(void **state)
{
    static const struct expectation table[] = {
        {"Content/Images/Thumbs/0000001_415.jpeg", false, SITE_REGENERATED},
        {"content/images/thumbs/0000001_415.jpeg", false, SITE_REGENERATED},
        {"Content/Images/0000001_0.jpeg", false, SITE_KEEP},
        {"administration/DB_Backups/a.bak", false, SITE_BACKUPS},
        {"Plugins/bin/a.dll", false, SITE_REGENERATED},
        {"bin/Nop.Core.dll", false, SITE_KEEP},
        {"wwwroot/bundles/x", false, SITE_KEEP},
    };
    struct site site = SITE_INIT;

    (void)state;
    inspect(&site, "3.90", NULL);
    assert_int_equal(site.layout, SITE_LEGACY);
    EXPECT(&site, table);
    site_release(&site);
}

static void plain__nothing_is_left_out_but_our_own(void **state)
{
    static const struct expectation table[] = {
        {"wwwroot/images/thumbs/a.jpg", false, SITE_KEEP},
        {"logs/a.log", false, SITE_KEEP},
        {".nopsnap", true, SITE_OWN},
        {".nopsnap/journal", false, SITE_OWN},
        {"a/.nopsnap-shop/journal", false, SITE_OWN},
        {"a/.nopsnap", true, SITE_KEEP},
        {".nopsnapshot", false, SITE_KEEP},
    };
    struct site site = SITE_INIT;

    (void)state;
    inspect(&site, NULL, NULL);
    assert_int_equal(site.layout, SITE_PLAIN);
    EXPECT(&site, table);
    site_release(&site);
}

static void wishes__the_last_that_matches_decides(void **state)
{
    static const struct expectation table[] = {
        {"wwwroot/files/exportimport/order.pdf", false, SITE_EXCLUDED},
        {"wwwroot/files/exportimport", true, SITE_KEEP}, /* there could be a keep.tmp in it */
        {"a/b/x.tmp", false, SITE_EXCLUDED},
        {"a/b/keep.tmp", false, SITE_KEEP},
        {"wwwroot/images/thumbs/0000001.jpeg", false, SITE_KEEP},
        {"wwwroot/images/thumbs/000", true, SITE_KEEP},
        {"wwwroot/bundles/a.js", false, SITE_REGENERATED},
        {".nopsnap/journal", false, SITE_OWN},
    };
    struct site site = SITE_INIT;
    struct error err = ERROR_INIT;
    const char *reason = NULL;

    (void)state;
    inspect(&site, "4.60", NULL);
    assert_int_equal(site_exclude(&site, "wwwroot/files/exportimport", &err), OK);
    assert_int_equal(site_exclude(&site, "*.tmp", &err), OK);
    assert_int_equal(site_include(&site, "keep.tmp", &err), OK);
    assert_int_equal(site_include(&site, "/wwwroot/images/thumbs/**", &err), OK);
    assert_int_equal(site_include(&site, ".nopsnap/**", &err), OK);
    EXPECT(&site, table);
    assert_int_equal(site_classify(&site, "a/b/x.tmp", false, &reason), SITE_EXCLUDED);
    assert_string_equal(reason, "*.tmp");
    site_release(&site);
}

static void wishes__a_folder_above_an_include_is_walked(void **state)
{
    struct site site = SITE_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    inspect(&site, "4.60", NULL);
    assert_int_equal(site_exclude(&site, "/Plugins", &err), OK);
    assert_int_equal(site_classify(&site, "Plugins", true, NULL), SITE_EXCLUDED);
    assert_int_equal(site_include(&site, "/Plugins/Acme.Tax", &err), OK);
    assert_int_equal(site_classify(&site, "Plugins", true, NULL), SITE_KEEP);
    assert_int_equal(site_classify(&site, "Plugins/Acme.Tax", true, NULL), SITE_KEEP);
    assert_int_equal(site_classify(&site, "Plugins/Acme.Tax/x.dll", false, NULL), SITE_KEEP);
    assert_int_equal(site_classify(&site, "Plugins/Other", true, NULL), SITE_EXCLUDED);
    assert_int_equal(site_classify(&site, "Plugins/Other/x.dll", false, NULL), SITE_EXCLUDED);
    site_release(&site);
}

static void wishes__come_from_the_config_and_bad_ones_are_usage(void **state)
{
    struct site_config config = {0};
    struct site site = SITE_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(text_list_add(&config.exclude, "*.log", &err), OK);
    assert_int_equal(text_list_add(&config.include, "important.log", &err), OK);
    inspect(&site, "4.60", &config);
    assert_int_equal(site_classify(&site, "x/a.log", false, NULL), SITE_EXCLUDED);
    assert_int_equal(site_classify(&site, "logs/important.log", false, NULL), SITE_KEEP);
    assert_int_equal(site_include(&site, "x/a.log", &err), OK);
    assert_int_equal(site_classify(&site, "x/a.log", false, NULL), SITE_KEEP);
    assert_int_equal(site_exclude(&site, "", &err), ERR_USAGE);
    assert_int_equal(site_exclude(&site, "/", &err), ERR_USAGE);
    site_release(&site);
    text_list_release(&config.exclude);
    text_list_release(&config.include);
}

/* The shortcut may only be taken where classifying would say "keep" all the way down. */
static void rules_below__is_false_only_where_nothing_can_differ(void **state)
{
    struct site site = SITE_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    inspect(&site, "4.60", NULL);
    assert_true(site_has_rules_below(&site, ""));
    assert_true(site_has_rules_below(&site, "wwwroot"));
    assert_true(site_has_rules_below(&site, "wwwroot/images"));
    assert_true(site_has_rules_below(&site, "wwwroot/images/thumbs/000"));
    assert_true(site_has_rules_below(&site, "LOGS"));
    assert_false(site_has_rules_below(&site, "Views"));
    assert_false(site_has_rules_below(&site, "wwwroot/lib_npm"));
    assert_false(site_has_rules_below(&site, "Plugins/Misc.Acme"));
    assert_int_equal(site_exclude(&site, "/Views/Shared/*.cshtml", &err), OK);
    assert_true(site_has_rules_below(&site, "Views"));
    assert_true(site_has_rules_below(&site, "Views/Shared"));
    assert_false(site_has_rules_below(&site, "Views/Home"));
    assert_int_equal(site_exclude(&site, "**/x", &err), OK);
    assert_true(site_has_rules_below(&site, "Views/Home"));
    site_release(&site);
}

static void cache_folder__is_believed_only_where_it_can_do_no_harm(void **state)
{
    static const struct {
        const char *setting; /* %s is the site's real path */
        const char *path;
        enum site_class class;
    } cases[] = {
        {"%s/wwwroot/cache", "wwwroot/cache/x.js", SITE_REGENERATED},
        {"wwwroot\\\\optimized", "wwwroot/optimized/x.js", SITE_REGENERATED},
        {"%s", "Views/x", SITE_KEEP},
        {"/", "Views/x", SITE_KEEP},
        {"%s/wwwroot", "wwwroot/x.js", SITE_KEEP},
        {"%s/wwwroot/images", "wwwroot/images/1.jpeg", SITE_KEEP},
        {"%s/WWWROOT/IMAGES/sub", "wwwroot/images/sub/1.jpeg", SITE_KEEP},
        {"%s/x/../App_Data", "App_Data/x", SITE_KEEP},
        {"..", "Views/x", SITE_KEEP},
        {"/app/wwwroot/cache", "wwwroot/cache/x", SITE_KEEP},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct site site = SITE_INIT;
        char setting[512];
        char text[1024];
        char *real;

        put_core("site", "4.60");
        real = realpath("site", NULL);
        snprintf(setting, sizeof(setting), cases[i].setting, real);
        snprintf(text, sizeof(text), "{\"WebOptimizer\":{\"EnableDiskCache\":true,\"CacheDirectory\":\"%s\"}}",
                 setting);
        put("site/App_Data/appsettings.json", text);
        inspect(&site, "4.60", NULL);
        if (site_classify(&site, cases[i].path, false, NULL) != cases[i].class)
            fail_msg("with %s, %s is not of class %d", setting, cases[i].path, (int)cases[i].class);
        site_release(&site);
        free(real);
    }
}

static void pictures__thumbs_of_another_folder_are_regenerable(void **state)
{
    struct site site = SITE_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    inspect(&site, "4.90", NULL);
    assert_int_equal(site_classify(&site, "wwwroot/pics/thumbs/1.jpeg", false, NULL), SITE_KEEP);
    assert_int_equal(site_note_pictures(&site, "wwwroot/pics", &err), OK);
    assert_int_equal(site_classify(&site, "wwwroot/pics/thumbs/1.jpeg", false, NULL), SITE_REGENERATED);
    assert_int_equal(site_classify(&site, "wwwroot/pics/1.jpeg", false, NULL), SITE_KEEP);
    assert_int_equal(site_note_pictures(&site, "/srv/pics", &err), OK);
    site_release(&site);
}

static void rewritten__settings_lists_and_keys(void **state)
{
    static const char *const yes[] = {"App_Data/appsettings.json",
                                      "App_Data/plugins.json",
                                      "App_Data/Nop.Db.sdf",
                                      "App_Data/DataProtectionKeys/key-1.xml",
                                      "App_Data/Gmail/AuthStore/token",
                                      "app_data/dataSettings.json",
                                      "web.config",
                                      "appsettings.json",
                                      "robots.custom.txt",
                                      "wwwroot/robots.additions.txt",
                                      "Plugins/Misc.Acme/plugin.json"};
    static const char *const no[] = {"Nop.Web.dll", "wwwroot/images/0000001_0.jpeg", "Views/web.config",
                                     "App_Data/Localization/x.xml", "Plugins/Misc.Acme/x.dll"};
    struct site site = SITE_INIT;

    (void)state;
    inspect(&site, "4.60", NULL);
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
        assert_true(site_is_rewritten(&site, yes[i]));
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        assert_false(site_is_rewritten(&site, no[i]));
    site_release(&site);
}

static void rules__come_back_from_their_lines(void **state)
{
    static const struct expectation table[] = {
        {"Content/Images/Thumbs/1.jpg", false, SITE_KEEP},
        {"wwwroot/sitemaps/a.xml", false, SITE_KEEP},
        {"wwwroot/images/thumbs/1.jpg", false, SITE_REGENERATED},
        {"wwwroot/own/x", false, SITE_EXCLUDED},
        {"wwwroot/own/keep", false, SITE_KEEP},
        {"wwwroot/cache/x", false, SITE_REGENERATED},
        {"wwwroot/pics/thumbs/x", false, SITE_REGENERATED},
        {"elsewhere/x", false, SITE_KEEP},
    };
    static const char *const lines[] = {"layout core",          "version 4.50",
                                        "cache wwwroot/cache",  "thumbs wwwroot/pics/thumbs",
                                        "exclude /wwwroot/own", "include /wwwroot/own/keep"};
    struct text_list in = TEXT_LIST_INIT;
    struct text_list out = TEXT_LIST_INIT;
    struct site site = SITE_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    inspect(&site, "3.90", NULL); /* what the tree says now does not count */
    assert_int_equal(site_exclude(&site, "/elsewhere", &err), OK);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        assert_int_equal(text_list_add(&in, lines[i], &err), OK);
    assert_int_equal(site_rules_take(&site, &in, &err), OK);
    EXPECT(&site, table);
    assert_int_equal(site_rules_list(&site, &out, &err), OK);
    assert_int_equal(out.count, in.count);
    for (size_t i = 0; i < in.count; i++)
        assert_string_equal(out.items[i], in.items[i]);
    text_list_release(&in);
    text_list_release(&out);
    site_release(&site);
}

static void rules__other_lines_are_refused(void **state)
{
    static const char *const bad[][2] = {
        {"layout other", "exclude a"}, {"exclude a", "layout core"}, {"layout core", "version 4.x"},
        {"layout core", "leave a"},    {"layout core", "exclude "},  {"layout core", "excludea"},
    };
    struct error err = ERROR_INIT;
    struct site site = SITE_INIT;

    (void)state;
    inspect(&site, "4.60", NULL);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct text_list lines = TEXT_LIST_INIT;

        for (size_t j = 0; j < 2; j++)
            assert_int_equal(text_list_add(&lines, bad[i][j], &err), OK);
        error_clear(&err);
        assert_true(site_rules_take(&site, &lines, &err) != OK);
        assert_int_equal(site_classify(&site, "logs/x", false, NULL), SITE_REGENERATED); /* as before */
        text_list_release(&lines);
    }
    site_release(&site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        site_test(core__what_the_application_makes_again_is_left_out),
        site_test(core__rules_go_by_version),
        site_test(legacy__rules_disregard_case),
        site_test(plain__nothing_is_left_out_but_our_own),
        site_test(wishes__the_last_that_matches_decides),
        site_test(wishes__a_folder_above_an_include_is_walked),
        site_test(wishes__come_from_the_config_and_bad_ones_are_usage),
        site_test(rules_below__is_false_only_where_nothing_can_differ),
        site_test(cache_folder__is_believed_only_where_it_can_do_no_harm),
        site_test(pictures__thumbs_of_another_folder_are_regenerable),
        site_test(rewritten__settings_lists_and_keys),
        site_test(rules__come_back_from_their_lines),
        site_test(rules__other_lines_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
