/* What an upgrade carries over: one table of paths for each move between eras. */
#include "site_test_support.h"

#include "carry.h"

/* What the new release, and the old one, have: a list of paths, ended by NULL. */
static bool listed(void *arg, const char *relative)
{
    const char *const *list = arg;

    for (; *list; list++) {
        size_t len = strlen(relative);

        if (strncasecmp(*list, relative, len) == 0 && ((*list)[len] == '\0' || (*list)[len] == '/'))
            return true;
    }
    return false;
}

static const char *const core_release[] = {
    "App_Data/DataProtectionKeys/Index.htm",
    "App_Data/Pdf/FreeSerif.ttf",
    "Nop.Web.dll",
    "Plugins/Payments.Manual/plugin.json",
    "Plugins/Uploaded/placeholder.txt",
    "Themes/DefaultClean/theme.json",
    "Views/Home/Index.cshtml",
    "web.config",
    "wwwroot/css/admin/styles.css",
    "wwwroot/ErrorPage.htm",
    "wwwroot/files/Index.htm",
    "wwwroot/images/default-image.png",
    "wwwroot/images/flags/de.png",
    NULL,
};

static const char *const old_release[] = {
    "Old.dll",
    "Plugins/Widgets.NivoSlider/plugin.json",
    "Views/Home/Old.cshtml",
    "wwwroot/old.htm",
    "wwwroot/css/old.css",
    "wwwroot/images/samples/old.jpg",
    "App_Data/Pdf/OldSerif.ttf",
    NULL,
};

struct expectation {
    const char *path; /* one with a slash behind it is a folder, with an "@" a link to one */
    enum site_carry_class class;
    const char *to; /* NULL: nowhere; "=": the same path */
    bool unknown;
};

static void expect(const struct site_carry_request *request, const struct expectation *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct site_carry_decision decision = SITE_CARRY_DECISION_INIT;
        struct error err = ERROR_INIT;
        const char *wanted;
        char path[256];
        char *line = NULL;
        size_t len = strlen(cases[i].path);
        char last = cases[i].path[len - 1];
        enum site_carry_kind kind = last == '/'   ? SITE_CARRY_FOLDER
                                    : last == '@' ? SITE_CARRY_FOLDER_LINK
                                                  : SITE_CARRY_FILE;

        snprintf(path, sizeof(path), "%.*s", (int)(kind ? len - 1 : len), cases[i].path);
        wanted = cases[i].to && strcmp(cases[i].to, "=") == 0 ? path : cases[i].to;
        assert_int_equal(site_carry_decide(request, path, kind, &decision, &err), OK);
        if (decision.class != cases[i].class || (wanted == NULL) != (decision.to == NULL) ||
            (wanted && strcmp(wanted, decision.to) != 0) || decision.unknown != cases[i].unknown)
            fail_msg("%s: class %d to %s%s", path, (int)decision.class, decision.to ? decision.to : "nowhere",
                     decision.unknown ? ", unknown" : "");
        assert_non_null(decision.reason);
        assert_int_equal(site_carry_describe(path, &decision, &line, &err), OK);
        assert_non_null(strstr(line, path));
        free(line);
        site_carry_release(&decision);
    }
}

#define EXPECT(request, ...)                                            \
    do {                                                                \
        static const struct expectation cases_[] = {__VA_ARGS__};       \
        expect(&(request), cases_, sizeof(cases_) / sizeof(cases_[0])); \
    } while (0)

static struct site_version version_of(const char *text)
{
    struct site_version v = {0, 0, -1, ""};
    struct error err = ERROR_INIT;

    assert_int_equal(site_version_parse(text, &v, &err), OK);
    return v;
}

static struct site_carry_request request_of(const struct site_version *old, const struct site_version *fresh)
{
    return (struct site_carry_request){
        old, fresh, old->major == 3 ? SITE_LEGACY : SITE_CORE, NULL, listed, (void *)core_release, NULL, NULL};
}

static void core__what_is_the_owners_goes_over(void **state)
{
    struct site_version old = version_of("4.60.5");
    struct site_version fresh = version_of("4.90");
    struct site_carry_request r = request_of(&old, &fresh);

    (void)state;
    EXPECT(r, {"App_Data/DataProtectionKeys/key-1.xml", SITE_CARRY_COPY, "=", false},
           {"App_Data/DataProtectionKeys/", SITE_CARRY_COPY, "=", false},
           {"App_Data/Gmail/AuthStore/token", SITE_CARRY_COPY, "=", false},
           {"App_Data/api-token-signing-key.json", SITE_CARRY_COPY, "=", false},
           {"App_Data/additional.crawlers.xml", SITE_CARRY_COPY, "=", false},
           {"App_Data/Pdf/Own.ttf", SITE_CARRY_COPY, "=", false},
           {"wwwroot/images/0000001_0.jpeg", SITE_CARRY_COPY, "=", false},
           {"wwwroot/images/uploaded/banner.png", SITE_CARRY_COPY, "=", false},
           {"wwwroot/images/own.svg", SITE_CARRY_COPY, "=", false},
           {"wwwroot/files/price.pdf", SITE_CARRY_COPY, "=", false},
           {"wwwroot/files/exportimport/orders.xlsx", SITE_CARRY_COPY, "=", false},
           {"wwwroot/icons/icons_0/favicon.ico", SITE_CARRY_COPY, "=", false},
           {"wwwroot/favicon.ico", SITE_CARRY_COPY, "=", false},
           {"wwwroot/.well-known/acme-challenge/x", SITE_CARRY_COPY, "=", false},
           {"wwwroot/robots.custom.txt", SITE_CARRY_COPY, "=", false},
           {"wwwroot/google123.html", SITE_CARRY_COPY, "=", true}, {"wwwroot/own/a.css", SITE_CARRY_COPY, "=", true},
           {".htaccess", SITE_CARRY_COPY, "=", true}, {"certs/", SITE_CARRY_COPY, "=", true},
           {"Plugins/Acme.Pay/", SITE_CARRY_OWN_PLUGIN, "=", false},
           {"Plugins/Acme.Pay/Acme.dll", SITE_CARRY_OWN_PLUGIN, "=", false},
           {"Themes/Acme/theme.json", SITE_CARRY_OWN_THEME, "=", false},
           {"Themes/Acme.7z", SITE_CARRY_COPY, "=", true});
}

static void core__what_is_the_releases_comes_from_the_package(void **state)
{
    struct site_version old = version_of("4.60.5");
    struct site_version fresh = version_of("4.90");
    struct site_carry_request r = request_of(&old, &fresh);

    (void)state;
    EXPECT(r, {"Nop.Core.dll", SITE_CARRY_FROM_PACKAGE, NULL, false},
           {"Nop.Web.runtimeconfig.json", SITE_CARRY_FROM_PACKAGE, NULL, false},
           {"refs/System.dll", SITE_CARRY_FROM_PACKAGE, NULL, false}, {"de/", SITE_CARRY_FROM_PACKAGE, NULL, false},
           {"zh-Hans/Humanizer.resources.dll", SITE_CARRY_FROM_PACKAGE, NULL, false},
           {"Views/Home/Old.cshtml", SITE_CARRY_FROM_PACKAGE, NULL, false},
           {"Plugins/Payments.Manual/own.txt", SITE_CARRY_FROM_PACKAGE, NULL, false},
           {"plugins/payments.manual/", SITE_CARRY_FROM_PACKAGE, NULL, false},
           {"Themes/DefaultClean/Content/css/styles.css", SITE_CARRY_FROM_PACKAGE, NULL, false},
           {"App_Data/Localization/defaultResources.nopres.xml", SITE_CARRY_FROM_PACKAGE, NULL, false},
           {"App_Data/browscap.crawlersonly.xml", SITE_CARRY_FROM_PACKAGE, NULL, false},
           {"App_Data/Pdf/FreeSerif.ttf", SITE_CARRY_FROM_PACKAGE, NULL, false},
           {"App_Data/DataProtectionKeys/Index.htm", SITE_CARRY_FROM_PACKAGE, NULL, false},
           {"wwwroot/images/default-image.png", SITE_CARRY_FROM_PACKAGE, NULL, false},
           {"wwwroot/images/flags/xx.png", SITE_CARRY_FROM_PACKAGE, NULL, false},
           {"wwwroot/files/Index.htm", SITE_CARRY_FROM_PACKAGE, NULL, false},
           {"wwwroot/bundles/Index.htm", SITE_CARRY_FROM_PACKAGE, NULL, false},
           {"wwwroot/lib_npm/jquery/jquery.js", SITE_CARRY_FROM_PACKAGE, NULL, false},
           {"wwwroot/ErrorPage.htm", SITE_CARRY_FROM_PACKAGE, NULL, false});
}

static void core__settings_caches_and_what_no_snapshot_holds(void **state)
{
    struct site_version old = version_of("4.60.5");
    struct site_version fresh = version_of("4.90");
    struct site_carry_request r = request_of(&old, &fresh);

    (void)state;
    EXPECT(r, {"App_Data/appsettings.json", SITE_CARRY_SETTINGS, NULL, false},
           {"App_Data/appsettings.Production.json", SITE_CARRY_SETTINGS, NULL, false},
           {"App_Data/dataSettings.json", SITE_CARRY_SETTINGS, NULL, false},
           {"App_Data/plugins.json", SITE_CARRY_SETTINGS, NULL, false},
           {"appsettings.Development.json", SITE_CARRY_SETTINGS, NULL, false},
           {"web.config", SITE_CARRY_MERGE, NULL, false}, {"app_offline.htm", SITE_CARRY_DROP, NULL, false},
           {"App_Data/TempUploads/x.zip", SITE_CARRY_DROP, NULL, false},
           {"wwwroot/bundles/a.css", SITE_CARRY_DROP, NULL, false}, {"wwwroot/sitemaps/", SITE_CARRY_DROP, NULL, false},
           {"Plugins/Uploaded/Acme/plugin.json", SITE_CARRY_DROP, NULL, false},
           {"wwwroot/images/thumbs/", SITE_CARRY_MOVE, "=", false},
           {"wwwroot/images/thumbs/0000001_x.jpeg", SITE_CARRY_MOVE, "=", false},
           {"Logs/", SITE_CARRY_MOVE, "=", false}, {"wwwroot/db_backups/database_1.bak", SITE_CARRY_MOVE, "=", false},
           {".nopsnap/journal", SITE_CARRY_OURS, NULL, false}, {"App_Data/", SITE_CARRY_INSIDE, NULL, false},
           {"wwwroot/", SITE_CARRY_INSIDE, NULL, false}, {"Plugins/", SITE_CARRY_INSIDE, NULL, false});
}

static void core__robots_move_at_460_and_web_config_goes_with_iis(void **state)
{
    static const char *const linux_release[] = {"Nop.Web", "Nop.Web.dll", NULL};
    struct site_version old = version_of("4.50");
    struct site_version same = version_of("4.50.4");
    struct site_version fresh = version_of("4.60");
    struct site_carry_request r = request_of(&old, &fresh);

    (void)state;
    EXPECT(r, {"robots.custom.txt", SITE_CARRY_COPY, "wwwroot/robots.custom.txt", false},
           {"robots.additions.txt", SITE_CARRY_COPY, "wwwroot/robots.additions.txt", false},
           {"Plugins/bin/Acme.dll", SITE_CARRY_DROP, NULL, false},
           {"wwwroot/sitemaps/own.xml", SITE_CARRY_COPY, "=", true});
    r.new_version = &same;
    EXPECT(r, {"robots.custom.txt", SITE_CARRY_COPY, "=", false});
    r.ships_arg = (void *)linux_release;
    EXPECT(r, {"web.config", SITE_CARRY_DROP, NULL, false});
}

static void core__the_list_of_the_old_release_tells_the_owners_files_from_its_own(void **state)
{
    struct site_version old = version_of("4.60");
    struct site_version fresh = version_of("4.90");
    struct site_carry_request r = request_of(&old, &fresh);

    (void)state;
    r.old_ships = listed;
    r.old_ships_arg = (void *)old_release;
    EXPECT(r, {"Old.dll", SITE_CARRY_FROM_PACKAGE, NULL, false}, {"Own.dll", SITE_CARRY_COPY, "=", true},
           {"Views/Home/Old.cshtml", SITE_CARRY_FROM_PACKAGE, NULL, false},
           {"Views/Home/Own.cshtml", SITE_CARRY_COPY, "=", true},
           {"wwwroot/css/old.css", SITE_CARRY_FROM_PACKAGE, NULL, false},
           {"wwwroot/css/own.css", SITE_CARRY_COPY, "=", true}, {"wwwroot/old.htm", SITE_CARRY_DROP, NULL, false},
           {"wwwroot/own.htm", SITE_CARRY_COPY, "=", true}, {"App_Data/Pdf/OldSerif.ttf", SITE_CARRY_DROP, NULL, false},
           {"Plugins/Widgets.NivoSlider/plugin.json", SITE_CARRY_DROP, NULL, false},
           {"Plugins/Acme/plugin.json", SITE_CARRY_OWN_PLUGIN, "=", false});
}

static void core__pictures_elsewhere_are_the_owners(void **state)
{
    struct site_version old = version_of("4.90");
    struct site_version fresh = version_of("4.90.3");
    struct site_carry_request r = request_of(&old, &fresh);

    (void)state;
    r.pictures = "wwwroot/css/pics";
    EXPECT(r, {"wwwroot/css/pics/0000001_0.jpeg", SITE_CARRY_COPY, "=", false},
           {"wwwroot/css/pics/thumbs/0000001.jpeg", SITE_CARRY_MOVE, "=", false},
           {"wwwroot/css/pictures.css", SITE_CARRY_FROM_PACKAGE, NULL, false});
    r.pictures = "/srv/pictures";
    EXPECT(r, {"wwwroot/images/0000001_0.jpeg", SITE_CARRY_COPY, "=", false});
}

static void legacy__what_was_served_moves_into_wwwroot(void **state)
{
    struct site_version old = version_of("3.90");
    struct site_version fresh = version_of("4.00");
    struct site_version last = version_of("4.90");
    struct site_carry_request r = request_of(&old, &fresh);

    (void)state;
    EXPECT(r, {"Content/Images/0000001_0.jpeg", SITE_CARRY_COPY, "wwwroot/images/0000001_0.jpeg", false},
           {"content/images/uploaded/a/b.png", SITE_CARRY_COPY, "wwwroot/images/uploaded/a/b.png", false},
           {"Content/Images/own.png", SITE_CARRY_COPY, "wwwroot/images/own.png", false},
           {"Content/Images/default-image.png", SITE_CARRY_FROM_PACKAGE, NULL, false},
           {"Content/Images/Thumbs/", SITE_CARRY_MOVE, "wwwroot/images/thumbs", false},
           {"Content/files/ExportImport/o.xlsx", SITE_CARRY_COPY, "wwwroot/files/exportimport/o.xlsx", false},
           {"Content/files/a.pdf", SITE_CARRY_COPY, "wwwroot/files/a.pdf", false},
           {"Administration/db_backups/x.bak", SITE_CARRY_MOVE, "wwwroot/db_backups/x.bak", false},
           {"favicon.ico", SITE_CARRY_COPY, "wwwroot/favicon.ico", false},
           {".well-known/x", SITE_CARRY_COPY, "wwwroot/.well-known/x", false},
           {"google123.html", SITE_CARRY_COPY, "wwwroot/google123.html", true},
           {"robots.custom.txt", SITE_CARRY_COPY, "=", false},
           {"bin/Nop.Core.dll", SITE_CARRY_FROM_PACKAGE, NULL, false},
           {"Content/jquery.css", SITE_CARRY_FROM_PACKAGE, NULL, false},
           {"Administration/Web.config", SITE_CARRY_FROM_PACKAGE, NULL, false},
           {"Web.config", SITE_CARRY_MERGE, NULL, false}, {"App_Data/Settings.txt", SITE_CARRY_SETTINGS, NULL, false},
           {"App_Data/InstalledPlugins.txt", SITE_CARRY_SETTINGS, NULL, false},
           {"Plugins/Misc.Acme/Description.txt", SITE_CARRY_OWN_PLUGIN, "=", false});
    r.new_version = &last;
    EXPECT(r, {"robots.custom.txt", SITE_CARRY_COPY, "wwwroot/robots.custom.txt", false});
    r.new_version = &old;
    EXPECT(r, {"Content/Images/0000001_0.jpeg", SITE_CARRY_COPY, "=", false},
           {"google123.html", SITE_CARRY_COPY, "=", true}, {"Content/Images/Thumbs/", SITE_CARRY_MOVE, "=", false});
}

static void links__to_folders_come_over_as_what_they_stand_for(void **state)
{
    struct site_version old = version_of("4.60");
    struct site_version fresh = version_of("4.90");
    struct site_carry_request r = request_of(&old, &fresh);

    (void)state;
    EXPECT(
        r, {"wwwroot/images@", SITE_CARRY_COPY, "=", false}, {"wwwroot/images/uploaded@", SITE_CARRY_COPY, "=", false},
        {"wwwroot/images/thumbs@", SITE_CARRY_COPY, "=", false}, {"wwwroot/images/own@", SITE_CARRY_COPY, "=", false},
        {"wwwroot/files@", SITE_CARRY_COPY, "=", false}, {"wwwroot/icons@", SITE_CARRY_COPY, "=", false},
        {"wwwroot/.well-known@", SITE_CARRY_COPY, "=", false}, {"wwwroot/db_backups@", SITE_CARRY_COPY, "=", false},
        {"logs@", SITE_CARRY_COPY, "=", false}, {"App_Data/DataProtectionKeys@", SITE_CARRY_COPY, "=", false},
        {"App_Data/Pdf@", SITE_CARRY_COPY, "=", false}, {"own@", SITE_CARRY_COPY, "=", true},
        {"Plugins/Acme.Pay@", SITE_CARRY_OWN_PLUGIN, "=", false}, {"Themes/Acme@", SITE_CARRY_OWN_THEME, "=", false},
        {"Plugins/Payments.Manual@", SITE_CARRY_FROM_PACKAGE, NULL, false},
        {"Views@", SITE_CARRY_FROM_PACKAGE, NULL, false},
        {"wwwroot/images/flags@", SITE_CARRY_FROM_PACKAGE, NULL, false},
        {"wwwroot/bundles@", SITE_CARRY_DROP, NULL, false}, {"App_Data/TempUploads@", SITE_CARRY_DROP, NULL, false},
        {"App_Data@", SITE_CARRY_BLOCKED, NULL, false}, {"Plugins@", SITE_CARRY_BLOCKED, NULL, false},
        {"Themes@", SITE_CARRY_BLOCKED, NULL, false}, {"wwwroot@", SITE_CARRY_BLOCKED, NULL, false});
    old = version_of("3.90");
    r = request_of(&old, &fresh);
    EXPECT(r, {"Content/Images@", SITE_CARRY_COPY, "wwwroot/images", false},
           {"Content/Images/Thumbs@", SITE_CARRY_COPY, "wwwroot/images/thumbs", false},
           {"Content/Images/uploaded@", SITE_CARRY_COPY, "wwwroot/images/uploaded", false},
           {"Content/files@", SITE_CARRY_COPY, "wwwroot/files", false}, {"Content@", SITE_CARRY_BLOCKED, NULL, false},
           {"Administration/db_backups@", SITE_CARRY_COPY, "wwwroot/db_backups", false});
}

static void decide__hostile_paths_and_plain_folders_are_refused(void **state)
{
    static const char *const paths[] = {"", "/etc/passwd", "../x", "wwwroot/../../x", "a//b", "./a"};
    struct site_version old = version_of("4.60");
    struct site_carry_request r = request_of(&old, &old);
    struct site_carry_decision decision = SITE_CARRY_DECISION_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        error_clear(&err);
        assert_int_equal(site_carry_decide(&r, paths[i], SITE_CARRY_FILE, &decision, &err), ERR_REFUSED);
    }
    r.old_layout = SITE_PLAIN;
    error_clear(&err);
    assert_int_equal(site_carry_decide(&r, "a", SITE_CARRY_FILE, &decision, &err), ERR_REFUSED);
}

static void describe__one_line_whatever_the_name(void **state)
{
    struct site_carry_decision decision = {SITE_CARRY_COPY, (char *)"wwwroot/a\nb", "the owner's", false};
    struct error err = ERROR_INIT;
    char *line = NULL;

    (void)state;
    assert_int_equal(site_carry_describe("a\nb", &decision, &line, &err), OK);
    assert_string_equal(line, "a\\nb: moved to wwwroot/a\\nb (the owner's)");
    free(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(core__what_is_the_owners_goes_over),
        cmocka_unit_test(core__what_is_the_releases_comes_from_the_package),
        cmocka_unit_test(core__settings_caches_and_what_no_snapshot_holds),
        cmocka_unit_test(core__robots_move_at_460_and_web_config_goes_with_iis),
        cmocka_unit_test(core__the_list_of_the_old_release_tells_the_owners_files_from_its_own),
        cmocka_unit_test(core__pictures_elsewhere_are_the_owners),
        cmocka_unit_test(legacy__what_was_served_moves_into_wwwroot),
        cmocka_unit_test(links__to_folders_come_over_as_what_they_stand_for),
        cmocka_unit_test(decide__hostile_paths_and_plain_folders_are_refused),
        cmocka_unit_test(describe__one_line_whatever_the_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
