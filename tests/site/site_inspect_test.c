/* Whole sites, made by tests/fixture/make_site.py, of every version. */
#include "site_test_support.h"

#include <sys/wait.h>

#define SECRET "s3cr3t;with \"quotes\" \\ and 1=1"

static void make(const char *version, const char *more)
{
    const char *source = getenv("NOPSNAP_SOURCE_DIR");
    char command[1024];

    if (!source)
        skip();
    snprintf(command, sizeof(command),
             "rm -rf site && printf '%%s' 'Host=h;Password=" SECRET
             "' | python3 %s/tests/fixture/make_site.py site --files 60 "
             "--weight 0.1 --pictures 5 --connection - --version %s %s >/dev/null",
             source, version, more);
    assert_int_equal(system(command), 0);
}

static void inspect__tells_every_version_and_finds_its_settings(void **state)
{
    static const struct {
        const char *version;
        const char *text;
        enum site_layout layout;
        enum site_settings_form form;
        const char *file;
        const char *provider;
    } cases[] = {
        {"3.90", "3.90", SITE_LEGACY, SITE_SETTINGS_TXT, "App_Data/Settings.txt", "sqlserver"},
        {"4.00", "4.00", SITE_CORE, SITE_SETTINGS_DATA_JSON, "App_Data/dataSettings.json", "sqlserver"},
        {"4.10", "4.10", SITE_CORE, SITE_SETTINGS_DATA_JSON, "App_Data/dataSettings.json", "sqlserver"},
        {"4.20", "4.20", SITE_CORE, SITE_SETTINGS_DATA_JSON, "App_Data/dataSettings.json", "sqlserver"},
        {"4.30 --provider mysql", "4.30", SITE_CORE, SITE_SETTINGS_DATA_JSON, "App_Data/dataSettings.json", "mysql"},
        {"4.40 --patch 4", "4.40.4", SITE_CORE, SITE_SETTINGS_DATA_JSON, "App_Data/dataSettings.json", "postgresql"},
        {"4.50 --patch 1", "4.50.1", SITE_CORE, SITE_SETTINGS_APP_JSON, "App_Data/appsettings.json", "postgresql"},
        {"4.60 --patch 12", "4.60.12", SITE_CORE, SITE_SETTINGS_APP_JSON, "App_Data/appsettings.json", "postgresql"},
        {"4.70 --platform windows", "4.70.3", SITE_CORE, SITE_SETTINGS_APP_JSON, "App_Data/appsettings.json",
         "postgresql"},
        {"4.80 --provider mysql", "4.80.3", SITE_CORE, SITE_SETTINGS_APP_JSON, "App_Data/appsettings.json", "mysql"},
        {"4.90 --patch 0", "4.90.0", SITE_CORE, SITE_SETTINGS_APP_JSON, "App_Data/appsettings.json", "postgresql"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct site site = SITE_INIT;
        struct error err = ERROR_INIT;

        make(cases[i].version, "");
        assert_int_equal(site_inspect("site", NULL, &site, &err), OK);
        assert_string_equal(site.version.text, cases[i].text);
        assert_string_equal(site.version_source, "literal in Nop.Core.dll");
        assert_int_equal(site.layout, cases[i].layout);
        assert_int_equal(site.connection.form, cases[i].form);
        assert_string_equal(site.connection.file, cases[i].file);
        assert_string_equal(site.connection.provider, cases[i].provider);
        assert_string_equal(site.connection.string, "Host=h;Password=" SECRET);
        assert_int_equal(site.warnings.count, 0);
        assert_false(list_mentions(&site.remarks, "believed"));
        assert_false(list_mentions(&site.remarks, SECRET));
        site_release(&site);
        assert_null(site.path);
    }
}

static void inspect__falls_back_on_lesser_evidence(void **state)
{
    static const struct {
        const char *version;
        const char *spoil;
        const char *text;
        const char *source;
    } cases[] = {
        {"4.60", "rm site/Nop.Core.dll", "4.60", "Nop.Web.deps.json"},
        {"4.50", "rm site/Nop.Core.dll", "4.50", "Nop.Web.deps.json"},
        {"4.30", "rm site/Nop.Core.dll site/Nop.Web.deps.json", "4.30", "SupportedVersions of the plugins"},
        {"4.90", "printf x > site/Nop.Core.dll; printf '{' > site/Nop.Web.deps.json", "4.90",
         "SupportedVersions of the plugins"},
        {"3.90", "rm -r site/bin", "3.90", "SupportedVersions of the plugins"},
        {"3.90", "mv site/bin site/Bin; mv site/App_Data site/app_data", "3.90", "literal in Nop.Core.dll"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct site site = SITE_INIT;
        struct error err = ERROR_INIT;

        make(cases[i].version, "");
        assert_int_equal(system(cases[i].spoil), 0);
        assert_int_equal(site_inspect("site", NULL, &site, &err), OK);
        assert_string_equal(site.version.text, cases[i].text);
        assert_string_equal(site.version_source, cases[i].source);
        assert_non_null(site.connection.string);
        site_release(&site);
    }
}

static void inspect__disagreement_is_a_remark(void **state)
{
    struct site site = SITE_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    make("4.30", "");
    assert_int_equal(system("sed -i 's/4\\.3\\.0/4.2.0/g' site/Nop.Web.deps.json"), 0);
    assert_int_equal(site_inspect("site", NULL, &site, &err), OK);
    assert_string_equal(site.version.text, "4.30");
    assert_true(list_mentions(&site.remarks, "4.20"));
    site_release(&site);
}

static void inspect__stray_settings_of_an_old_version_are_a_warning(void **state)
{
    struct site site = SITE_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    make("4.60", "");
    put("site/App_Data/dataSettings.json", "{\"DataConnectionString\":\"Password="
                                           "other-secret"
                                           "\",\"DataProvider\":\"mysql\"}");
    assert_int_equal(site_inspect("site", NULL, &site, &err), OK);
    assert_int_equal(site.connection.form, SITE_SETTINGS_DATA_JSON);
    assert_true(list_mentions(&site.warnings, "dataSettings.json"));
    assert_false(list_mentions(&site.warnings, "secret"));
    site_release(&site);
}

static void inspect__risks_are_remarked(void **state)
{
    struct site site = SITE_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    make("4.60", "");
    put("site/wwwroot/db_backups/database.bak", "0123456789");
    put("site/Plugins/Uploaded/Acme/plugin.json", "{}");
    put("site/App_Data/plugins.json", "{\"PluginNamesToInstall\":[{\"Item1\":\"a\"}],\"PluginNamesToDelete\":[\"b\"]}");
    assert_int_equal(site_inspect("site", NULL, &site, &err), OK);
    assert_true(list_mentions(&site.remarks, "wwwroot/db_backups holds 1 file (10 B"));
    assert_true(list_mentions(&site.remarks, "Plugins/Uploaded"));
    assert_true(list_mentions(&site.remarks, "2 plugins"));
    site_release(&site);
    put("site/App_Data/appsettings.json", "{\"AzureBlobConfig\":{\"ConnectionString\":\"AccountKey=hidden\"},"
                                          "\"ConnectionStrings\":{\"ConnectionString\":\"x\"}}");
    assert_int_equal(site_inspect("site", NULL, &site, &err), OK);
    assert_true(list_mentions(&site.warnings, "Azure"));
    assert_false(list_mentions(&site.warnings, "hidden"));
    site_release(&site);
}

static void inspect__uninstalled_shop_has_no_database_and_broken_one_keeps_its_rules(void **state)
{
    struct site site = SITE_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    make("4.60", "--empty-settings --provider sqlserver");
    assert_int_equal(site_inspect("site", NULL, &site, &err), OK);
    assert_int_equal(site.connection.form, SITE_SETTINGS_NONE);
    assert_true(list_mentions(&site.warnings, "names no database"));
    site_release(&site);
    put("site/App_Data/appsettings.json", "{\"ConnectionStrings\":{");
    assert_int_equal(site_inspect("site", NULL, &site, &err), ERR_REFUSED);
    assert_non_null(site.rules);
    assert_int_equal(site_classify(&site, "wwwroot/bundles/x.js", false, NULL), SITE_REGENERATED);
    assert_string_equal(site.version.text, "4.60.3");
    site_release(&site);
}

static void inspect__a_folder_that_may_not_be_read_is_an_error(void **state)
{
    struct site site = SITE_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    if (geteuid() == 0) { /* root may read all: in a child, not to lose the right for good */
        pid_t child;
        int status = 1;

        assert_int_equal(chmod(".", 0755), 0);
        assert_int_equal(mkdir("shut", 0711), 0);
        child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            int bad = setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534);

            _exit(bad || site_inspect("shut", NULL, &site, &err) != ERR_IO || err.hint[0] == '\0');
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        return;
    }
    assert_int_equal(mkdir("shut", 0311), 0);
    assert_int_equal(site_inspect("shut", NULL, &site, &err), ERR_IO);
    assert_true(err.hint[0] != '\0');
    site_release(&site);
}

static void inspect__plain_gone_and_impossible_paths(void **state)
{
    struct site site = SITE_INIT;
    struct error err = ERROR_INIT;
    char *here = getcwd(NULL, 0);
    char path[512];

    (void)state;
    put("plain/a/b", "x");
    assert_int_equal(site_inspect("plain/a/..", NULL, &site, &err), OK);
    assert_true(site.exists);
    assert_int_equal(site.layout, SITE_PLAIN);
    assert_true(list_mentions(&site.remarks, "plain files"));
    snprintf(path, sizeof(path), "%s/plain", here);
    assert_string_equal(site.path, path);
    assert_string_equal(site.given, "plain/a/..");
    site_release(&site);
    assert_int_equal(symlink("plain", "link"), 0);
    assert_int_equal(site_inspect("link/gone/", NULL, &site, &err), OK);
    assert_false(site.exists);
    snprintf(path, sizeof(path), "%s/plain/gone", here);
    assert_string_equal(site.path, path);
    assert_non_null(site.rules);
    site_release(&site);
    assert_int_equal(site_inspect("plain/a/b", NULL, &site, &err), ERR_REFUSED);
    site_release(&site);
    assert_int_equal(site_inspect("", NULL, &site, &err), ERR_USAGE);
    site_release(&site);
    free(here);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        site_test(inspect__tells_every_version_and_finds_its_settings),
        site_test(inspect__falls_back_on_lesser_evidence),
        site_test(inspect__disagreement_is_a_remark),
        site_test(inspect__stray_settings_of_an_old_version_are_a_warning),
        site_test(inspect__risks_are_remarked),
        site_test(inspect__uninstalled_shop_has_no_database_and_broken_one_keeps_its_rules),
        site_test(inspect__a_folder_that_may_not_be_read_is_an_error),
        site_test(inspect__plain_gone_and_impossible_paths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
