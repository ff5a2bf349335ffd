/*
 * Settings of every version turned into those of every later one. tests/site/data/settings has old trees, what a release brings, and
 * for each pair what comes out, byte for byte. With NOPSNAP_GOLDEN=write the last is written anew: look at the difference before it is
 * committed.
 */
#include "site_test_support.h"

#include <fcntl.h>

#include "file.h"
#include "settings_convert.h"

static const char *const versions[] = {"3.90", "4.00", "4.10", "4.20", "4.30", "4.40",
                                       "4.50", "4.60", "4.70", "4.80", "4.90"};

#define VERSION_COUNT (sizeof(versions) / sizeof(versions[0]))

/* What stands in the fixtures' values, and must stand nowhere in what is shown. */
static const char *const secrets[] = {"p:a", "s3cr3t", "r3dis", "SECRET", "own value"};

static struct site_version version_of(const char *text)
{
    struct site_version v = {0, 0, -1, ""};
    struct error err = ERROR_INIT;

    assert_int_equal(site_version_parse(text, &v, &err), OK);
    return v;
}

static void data_path(char out[512], const char *part, const char *name)
{
    snprintf(out, 512, "%s/tests/site/data/settings/%s/%s", getenv("NOPSNAP_SOURCE_DIR"), part, name);
}

static enum error_kind convert(const char *old_root, const char *old, const char *new_root, const char *fresh,
                               const char *runs_at, struct site_settings *out, struct error *err)
{
    struct site_version old_version = version_of(old);
    struct site_version new_version = version_of(fresh);
    struct site_settings_request request = {old_root, &old_version, new_root, &new_version, NULL, runs_at};

    return site_settings_convert(&request, out, err);
}

/* Line ends and marks as they can be seen. */
static void show_bytes(const struct buffer *bytes, struct buffer *out)
{
    struct error err = ERROR_INIT;
    const char *p = bytes->len ? (const char *)bytes->data : "";
    const char *end = p + bytes->len;

    if (bytes->len >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) {
        assert_int_equal(buffer_append_text(out, "<mark>", &err), OK);
        p += 3;
    }
    for (; p < end; p++)
        assert_int_equal(*p == '\r' ? buffer_append_text(out, "<cr>", &err) : buffer_append(out, p, 1, &err), OK);
    if (bytes->len == 0 || end[-1] != '\n')
        assert_int_equal(buffer_append_text(out, "<end>\n", &err), OK);
}

static void show_list(const char *title, const struct text_list *list, struct buffer *out)
{
    struct error err = ERROR_INIT;

    for (size_t i = 0; i < list->count; i++) {
        for (size_t k = 0; k < sizeof(secrets) / sizeof(secrets[0]); k++)
            assert_null(strstr(list->items[i], secrets[k]));
        assert_int_equal(buffer_append_format(out, &err, "%s: %s\n", title, list->items[i]), OK);
    }
}

static void show(const struct site_settings *s, struct buffer *out)
{
    struct error err = ERROR_INIT;

    show_list("moved", &s->moved, out);
    show_list("left", &s->left, out);
    show_list("lost", &s->lost, out);
    show_list("warning", &s->warnings, out);
    show_list("absent", &s->absent, out);
    for (size_t i = 0; i < s->count; i++) {
        assert_int_equal(buffer_append_format(out, &err, "\n==== %s from %s%s\n", s->files[i].path, s->files[i].from,
                                              s->files[i].changed ? "" : ", as it was"),
                         OK);
        if (s->files[i].changed)
            show_bytes(&s->files[i].bytes, out);
    }
}

static void compare_golden(const char *pair, const struct buffer *got)
{
    struct buffer wanted = BUFFER_INIT(1 << 20);
    struct error err = ERROR_INIT;
    char path[512];

    data_path(path, "golden", pair);
    if (getenv("NOPSNAP_GOLDEN")) {
        put_bytes(path, got->data, got->len);
        return;
    }
    if (file_read_whole(AT_FDCWD, path, 1 << 20, &wanted, &err))
        fail_msg("%s: %s", pair, err.text);
    if (wanted.len != got->len || memcmp(wanted.data, got->data, got->len) != 0)
        fail_msg("%s is no longer what comes out:\n%s", pair, (const char *)got->data);
    buffer_release(&wanted);
}

/* What is not changed is what the old tree has, byte for byte. */
static void compare_copies(const char *old_root, const struct site_settings *s)
{
    for (size_t i = 0; i < s->count; i++) {
        struct buffer old = BUFFER_INIT(1 << 20);
        struct error err = ERROR_INIT;
        char path[1024];

        if (s->files[i].changed)
            continue;
        snprintf(path, sizeof(path), "%s/%s", old_root, s->files[i].from);
        assert_int_equal(file_read_whole(AT_FDCWD, path, 1 << 20, &old, &err), OK);
        assert_int_equal(old.len, s->files[i].bytes.len);
        assert_memory_equal(old.data, s->files[i].bytes.data, old.len);
        buffer_release(&old);
    }
}

/* The old tree's connection and the new one's, each as its version reads it. */
static void compare_connections(const char *old_root, const char *old, const char *new_root, const char *fresh)
{
    struct site_version old_version = version_of(old);
    struct site_version new_version = version_of(fresh);
    struct site_connection was = {SITE_SETTINGS_NONE, NULL, NULL, NULL};
    struct site_connection is = {SITE_SETTINGS_NONE, NULL, NULL, NULL};
    struct error err = ERROR_INIT;

    assert_int_equal(site_connection_read(old_root, &old_version, false, &was, &err), OK);
    if (site_connection_read(new_root, &new_version, false, &is, &err))
        fail_msg("%s to %s: %s", old, fresh, err.text);
    assert_string_equal(was.string, is.string);
    assert_string_equal(was.provider, is.provider);
    site_connection_release(&was);
    site_connection_release(&is);
}

static void place(const struct site_settings *s, const char *old_root, const char *new_root)
{
    struct error err = ERROR_INIT;
    int old_fd = open(old_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int new_fd = open(new_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_true(old_fd >= 0 && new_fd >= 0);
    if (site_settings_place(s, old_fd, new_fd, &err))
        fail_msg("%s", err.text);
    close(old_fd);
    close(new_fd);
}

static void convert_pair(const char *old, const char *fresh)
{
    struct site_settings settings = SITE_SETTINGS_INIT;
    struct buffer shown = BUFFER_INIT(1 << 20);
    struct error err = ERROR_INIT;
    char old_root[512];
    char new_root[512];
    char staged[64];
    char pair[32];

    data_path(old_root, "old", old);
    data_path(new_root, "new", fresh);
    snprintf(pair, sizeof(pair), "%s-%s.txt", old, fresh);
    snprintf(staged, sizeof(staged), "%s-%s/App_Data/placeholder.txt", old, fresh);
    put(staged, "");
    snprintf(staged, sizeof(staged), "%s-%s", old, fresh);
    if (convert(old_root, old, new_root, fresh, NULL, &settings, &err))
        fail_msg("%s: %s", pair, err.text);
    show(&settings, &shown);
    compare_golden(pair, &shown);
    compare_copies(old_root, &settings);
    place(&settings, old_root, staged);
    compare_connections(old_root, old, staged, fresh);
    buffer_release_secret(&shown);
    site_settings_release(&settings);
}

/* MySQL came with 4.30, PostgreSQL with 4.40; the fixtures have each where it can be. */
static void convert__every_pair_gives_its_golden_file_and_the_same_connection(void **state)
{
    (void)state;
    for (size_t i = 0; i < VERSION_COUNT; i++) {
        for (size_t k = i; k < VERSION_COUNT; k++)
            convert_pair(versions[i], versions[k]);
    }
}

/* ---- single cases ---- */

static void put_fresh(const char *root)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/App_Data/placeholder.txt", root);
    put(path, "");
}

static struct site_settings converted(const char *old, const char *fresh, const char *runs_at)
{
    struct site_settings settings = SITE_SETTINGS_INIT;
    struct error err = ERROR_INIT;

    if (convert("old", old, "new", fresh, runs_at, &settings, &err))
        fail_msg("%s", err.text);
    return settings;
}

static const char *bytes_of(const struct site_settings *s, const char *path)
{
    for (size_t i = 0; i < s->count; i++) {
        if (strcmp(s->files[i].path, path) == 0)
            return (const char *)s->files[i].bytes.data;
    }
    return NULL;
}

static void refused(const char *old, const char *fresh, const char *mention)
{
    struct site_settings settings = SITE_SETTINGS_INIT;
    struct error err = ERROR_INIT;

    assert_int_equal(convert("old", old, "new", fresh, NULL, &settings, &err), ERR_REFUSED);
    if (!strstr(err.text, mention))
        fail_msg("%s: does not say %s", err.text, mention);
    assert_true(err.hint[0] != '\0');
    assert_null(strstr(err.text, "s3cr3t"));
    site_settings_release(&settings);
}

static void convert__what_the_new_release_cannot_use_is_refused(void **state)
{
    (void)state;
    put_fresh("new");
    put("old/App_Data/Settings.txt", "DataProvider: sqlce\nDataConnectionString: Data Source=s3cr3t\n");
    refused("3.90", "4.00", "SQL Server Compact");
    put("old/App_Data/Settings.txt", "DataProvider: sqlserver\nDataConnectionString: Password=s3cr3t\xe4\n");
    refused("3.90", "4.60", "no UTF-8");
    put("old/App_Data/dataSettings.json", "{\"DataProvider\": \"mysql\", \"DataConnectionString\": \"s3cr3t\"}");
    refused("4.20", "4.20", "MySQL");
    refused("4.40", "4.30", "turned back");
    put("old/App_Data/dataSettings.json", "{\"DataProvider\": \"mysql\", \"DataConnectionString\": \"s3cr3t\"");
    refused("4.40", "4.60", "dataSettings.json");
    put("old/App_Data/dataSettings.json", "{\"DataProvider\": \"mysql\", \"DataConnectionString\": \"s3cr3t\"}");
    put("old/App_Data/appsettings.json", "{\"HostingConfig\": [\"s3cr3t\", ]");
    refused("4.40", "4.60", "appsettings.json");
    put("old/App_Data/appsettings.json", "{\"ConnectionStrings\": \"s3cr3t\"}");
    refused("4.40", "4.60", "appsettings.json");
    put("old/App_Data/appsettings.json", "{}");
    put("old/App_Data/plugins.json", "{\"InstalledPluginNames\": ");
    refused("4.40", "4.60", "plugins.json");
}

static void convert__a_stray_file_of_an_older_version_is_what_the_shop_uses(void **state)
{
    struct site_settings s;

    (void)state;
    put_fresh("new");
    put("old/App_Data/appsettings.json",
        "{ \"ConnectionStrings\": { \"ConnectionString\": \"Host=other\", \"DataProvider\": \"mysql\" } } // end\n");
    put("old/App_Data/dataSettings.json",
        "{\"DataConnectionString\": \"Host=stray\", \"DataProvider\": \"postgresql\", \"SQLCommandTimeout\": \"30\"}");
    s = converted("4.60", "4.80", NULL);
    assert_string_equal(
        bytes_of(&s, "App_Data/appsettings.json"),
        "{ \"ConnectionStrings\": { \"ConnectionString\": \"Host=stray\", \"DataProvider\": \"postgresql\", "
        "\"SQLCommandTimeout\": 30 } } // end\n");
    assert_null(bytes_of(&s, "App_Data/dataSettings.json"));
    site_settings_release(&s);
}

static void convert__a_line_that_is_no_setting_is_not_shown(void **state)
{
    struct site_settings s;

    (void)state;
    put_fresh("new");
    put("old/App_Data/Settings.txt",
        "DataProvider: sqlserver\nDataConnectionString: Data Source=x\n;Password=s3cr3t;Server=tcp:y\n");
    s = converted("3.90", "4.60", NULL);
    assert_true(list_mentions(&s.lost, "a line that is no setting"));
    assert_false(list_mentions(&s.lost, "s3cr3t"));
    site_settings_release(&s);
}

static void convert__sql_server_from_450_on_is_told_about_certificates(void **state)
{
    static const struct {
        const char *string;
        bool told;
    } cases[] = {
        {"Data Source=x;Password=encrypt", true},
        {"Data Source=x;Password=\"a;Encrypt=False\"", true},
        {"Data Source=x; Trust Server Certificate = True", false},
        {"Data Source=x;TRUSTSERVERCERTIFICATE=true", false},
        {"Encrypt=False;Data Source=x", false},
    };

    (void)state;
    put_fresh("new");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct site_settings s;
        char text[256];

        snprintf(text, sizeof(text), "DataProvider: sqlserver\nDataConnectionString: %s\n", cases[i].string);
        put("old/App_Data/Settings.txt", text);
        s = converted("4.30", "4.60", NULL);
        assert_int_equal(list_mentions(&s.warnings, "certificate"), cases[i].told);
        site_settings_release(&s);
    }
}

static void convert__a_tree_that_runs_elsewhere_has_its_own_cache_folder(void **state)
{
    struct site_settings s;

    (void)state;
    put_fresh("new");
    put("old/App_Data/appsettings.json",
        "{\"ConnectionStrings\": {\"ConnectionString\": \"Host=h\", \"DataProvider\": \"mysql\"},"
        " \"WebOptimizer\": {\"CacheDirectory\": \"old/wwwroot/bundles\"}}");
    s = converted("4.60", "4.80", "/srv/rehearsal");
    assert_non_null(strstr(bytes_of(&s, "App_Data/appsettings.json"), "\"/srv/rehearsal/wwwroot/bundles\""));
    site_settings_release(&s);
    s = converted("4.60", "4.80", NULL);
    assert_non_null(strstr(bytes_of(&s, "App_Data/appsettings.json"), "\"old/wwwroot/bundles\""));
    assert_false(s.files[0].changed);
    site_settings_release(&s);
}

static void convert__a_plugin_whose_version_stays_runs_its_update_all_the_same(void **state)
{
    struct site_settings s;

    (void)state;
    put("new/Plugins/A/plugin.json", "{\"SystemName\": \"Misc.A\", \"Version\": \"1.0\"}");
    put("old/Plugins/A/plugin.json", "{\"SystemName\": \"Misc.A\", \"Version\": \"1.0\"}");
    put("old/Plugins/Uploaded/Misc.B/plugin.json", "{}");
    put("old/App_Data/plugins.json", "{\"InstalledPluginNames\": [\"Misc.A\"]}");
    s = converted("4.20", "4.30", NULL);
    assert_non_null(strstr(bytes_of(&s, "App_Data/plugins.json"), "{\"SystemName\":\"Misc.A\",\"Version\":null}"));
    assert_true(list_mentions(&s.warnings, "Plugins/Uploaded/Misc.B"));
    assert_true(list_mentions(&s.warnings, "/install"));
    site_settings_release(&s);
}

/* ---- web.config ---- */

static enum error_kind merged(const char *old, const char *fresh, struct buffer *out, struct text_list *kept,
                              struct text_list *lost)
{
    struct buffer a = BUFFER_INIT(65536);
    struct buffer b = BUFFER_INIT(65536);
    struct error err = ERROR_INIT;
    enum error_kind rc;

    assert_int_equal(buffer_append_text(&a, old, &err), OK);
    assert_int_equal(buffer_append_text(&b, fresh, &err), OK);
    rc = site_webconfig_merge(&a, &b, out, kept, lost, &err);
    buffer_release(&a);
    buffer_release(&b);
    return rc;
}

static void webconfig__without_additions_the_release_has_its_bytes(void **state)
{
    static const char fresh[] =
        "<?xml version='1.0'?>\r\n<configuration>\r\n <system.webServer><aspNetCore processPath='new'/>"
        "</system.webServer></configuration>";
    struct buffer out = BUFFER_INIT(65536);
    struct text_list kept = TEXT_LIST_INIT;
    struct text_list lost = TEXT_LIST_INIT;

    (void)state;
    assert_int_equal(merged("<configuration><location path='.'><system.webServer><aspNetCore processPath='old'>"
                            "<environmentVariables/></aspNetCore></system.webServer></location></configuration>",
                            fresh, &out, &kept, &lost),
                     OK);
    assert_string_equal((char *)out.data, fresh);
    assert_int_equal(kept.count + lost.count, 0);
    buffer_release(&out);
}

static void webconfig__the_owners_variable_wins_and_no_value_is_told(void **state)
{
    struct buffer out = BUFFER_INIT(65536);
    struct text_list kept = TEXT_LIST_INIT;
    struct text_list lost = TEXT_LIST_INIT;

    (void)state;
    assert_int_equal(
        merged(
            "<configuration><appSettings><add key='k' value='s3cr3t'/></appSettings><runtime x='s3cr3t'/><system.webServer>"
            "<aspNetCore requestTimeout='s3cr3t'><environmentVariables><environmentVariable name='A' value='s3cr3t'/>"
            "<environmentVariable name='B' value='s3cr3t'/></environmentVariables></aspNetCore></system.webServer>"
            "</configuration>",
            "<configuration><system.webServer><aspNetCore requestTimeout='1'><environmentVariables>"
            "<environmentVariable name='A' value='release'/></environmentVariables></aspNetCore></system.webServer>"
            "</configuration>",
            &out, &kept, &lost),
        OK);
    assert_non_null(strstr((char *)out.data, "<environmentVariable name=\"A\" value=\"s3cr3t\"/><environmentVariable "
                                             "name=\"B\" value=\"s3cr3t\"/>"));
    assert_non_null(strstr((char *)out.data, "<appSettings><add key=\"k\" value=\"s3cr3t\"/></appSettings>"));
    assert_null(strstr((char *)out.data, "runtime"));
    assert_true(list_mentions(&kept, "<appSettings>"));
    assert_true(list_mentions(&lost, "<runtime>"));
    assert_true(list_mentions(&lost, "requestTimeout"));
    assert_false(list_mentions(&kept, "s3cr3t"));
    assert_false(list_mentions(&lost, "s3cr3t"));
    assert_int_equal(merged("<configuration>", "<configuration/>", &out, &kept, &lost), ERR_REFUSED);
    text_list_release(&kept);
    text_list_release(&lost);
    buffer_release(&out);
}

/* ---- into the tree, and the proof ---- */

static void place__mode_stays_and_a_linked_file_is_not_written_into(void **state)
{
    struct site_settings s;
    struct buffer text = BUFFER_INIT(1000);
    struct error err = ERROR_INIT;
    struct stat st;

    (void)state;
    put_fresh("new");
    put("release.json", "the release's");
    put("old/App_Data/dataSettings.json", "{\"DataConnectionString\": \"Host=h\", \"DataProvider\": \"mysql\"}");
    assert_int_equal(chmod("old/App_Data/dataSettings.json", 0640), 0);
    assert_int_equal(link("release.json", "new/App_Data/appsettings.json"), 0);
    put("new/App_Data/dataSettings.json", "left");
    s = converted("4.40", "4.60", NULL);
    place(&s, "old", "new");
    assert_int_equal(stat("new/App_Data/appsettings.json", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(access("new/App_Data/dataSettings.json", F_OK), -1);
    assert_int_equal(file_read_whole(AT_FDCWD, "release.json", 1000, &text, &err), OK);
    assert_string_equal((char *)text.data, "the release's");
    buffer_release(&text);
    site_settings_release(&s);
}

static void place__a_symlink_in_the_new_tree_is_refused(void **state)
{
    struct site_settings s;
    struct error err = ERROR_INIT;
    int old_fd;
    int new_fd;

    (void)state;
    put_fresh("new");
    put("outside", "stays");
    put("old/App_Data/dataSettings.json", "{\"DataConnectionString\": \"Host=h\", \"DataProvider\": \"mysql\"}");
    assert_int_equal(symlink("../../outside", "new/App_Data/appsettings.json"), 0);
    s = converted("4.40", "4.60", NULL);
    old_fd = open("old", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    new_fd = open("new", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(site_settings_place(&s, old_fd, new_fd, &err), ERR_IO);
    close(old_fd);
    close(new_fd);
    site_settings_release(&s);
}

static enum error_kind checked(const char *old, const char *fresh, struct error *err)
{
    struct site_version new_version = version_of(fresh);
    struct site site = SITE_INIT;
    enum error_kind rc;

    put_core("old", old);
    assert_int_equal(site_inspect("old", NULL, &site, err), OK);
    assert_string_equal(site.version.text, old);
    rc = site_settings_check(&site, "new", &new_version, err);
    site_release(&site);
    return rc;
}

static void check__a_converted_tree_passes_and_a_stray_file_does_not(void **state)
{
    struct site_settings s;
    struct error err = ERROR_INIT;

    (void)state;
    put_fresh("new");
    put("old/App_Data/dataSettings.json", "{\"DataConnectionString\": \"Host=h\", \"DataProvider\": \"MySql\"}");
    assert_int_equal(checked("4.40", "4.60", &err), ERR_REFUSED); /* nothing is there yet */
    error_clear(&err);
    s = converted("4.40", "4.60", NULL);
    place(&s, "old", "new");
    assert_int_equal(checked("4.40", "4.60", &err), OK);
    put("new/App_Data/appsettings.Production.json", "{\"ConnectionStrings\": {\"ConnectionString\": \"Host=other\"}}");
    assert_int_equal(checked("4.40", "4.60", &err), ERR_REFUSED);
    assert_null(strstr(err.text, "Host="));
    assert_true(err.hint[0] != '\0');
    error_clear(&err);
    assert_int_equal(unlink("new/App_Data/appsettings.Production.json"), 0);
    put("new/App_Data/dataSettings.json", "{\"DataConnectionString\": \"Host=h\", \"DataProvider\": \"MySql\"}");
    assert_int_equal(checked("4.40", "4.60", &err), ERR_REFUSED);
    assert_non_null(strstr(err.text, "would win"));
    site_settings_release(&s);
}

static void check__a_variable_that_only_the_old_version_reads_is_found(void **state)
{
    struct site_settings s;
    struct error err = ERROR_INIT;

    (void)state;
    put_fresh("new");
    put("old/App_Data/dataSettings.json", "{\"DataConnectionString\": \"Host=file\", \"DataProvider\": \"mysql\"}");
    put("old/web.config",
        "<configuration><system.webServer><aspNetCore><environmentVariables><environmentVariable "
        "name='dataSettings__DataConnectionString' value='&quot;Host=variable&quot;'/></environmentVariables>"
        "</aspNetCore></system.webServer></configuration>");
    put("new/web.config", "<configuration><system.webServer><aspNetCore/></system.webServer></configuration>");
    s = converted("4.40", "4.60", NULL);
    place(&s, "old", "new");
    assert_int_equal(checked("4.40", "4.60", &err), ERR_REFUSED);
    assert_non_null(strstr(err.hint, "ConnectionStrings__ConnectionString"));
    assert_null(strstr(err.text, "Host="));
    site_settings_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        site_test(convert__every_pair_gives_its_golden_file_and_the_same_connection),
        site_test(convert__what_the_new_release_cannot_use_is_refused),
        site_test(convert__a_stray_file_of_an_older_version_is_what_the_shop_uses),
        site_test(convert__a_line_that_is_no_setting_is_not_shown),
        site_test(convert__sql_server_from_450_on_is_told_about_certificates),
        site_test(convert__a_tree_that_runs_elsewhere_has_its_own_cache_folder),
        site_test(convert__a_plugin_whose_version_stays_runs_its_update_all_the_same),
        site_test(webconfig__without_additions_the_release_has_its_bytes),
        site_test(webconfig__the_owners_variable_wins_and_no_value_is_told),
        site_test(place__mode_stays_and_a_linked_file_is_not_written_into),
        site_test(place__a_symlink_in_the_new_tree_is_refused),
        site_test(check__a_converted_tree_passes_and_a_stray_file_does_not),
        site_test(check__a_variable_that_only_the_old_version_reads_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
