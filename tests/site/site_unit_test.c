/* systemd units, environment files and web.config as a source of the connection. */
#include "site_test_support.h"

#include "site_unit_internal.h"

static int unit_setup(void **state)
{
    int rc = folder_setup(state);
    char *here = getcwd(NULL, 0);
    char path[512];

    snprintf(path, sizeof(path), "%s/etc:%s/lib", here, here);
    setenv("NOPSNAP_SYSTEMD_PATH", path, 1);
    put("lib/unrelated.service",
        "[Service]\nExecStart=/bin/true\nEnvironment=ConnectionStrings__ConnectionString=unrelated\n");
    put_core("site", "4.60");
    put("site/App_Data/appsettings.json",
        "{\"ConnectionStrings\":{\"ConnectionString\":\"from file\",\"DataProvider\":\"mysql\"}}");
    free(here);
    return rc;
}

#define systemd_test(f) cmocka_unit_test_setup_teardown(f, unit_setup, folder_teardown)

/* A unit with this folder of the working directory and these lines. */
static void put_unit(const char *path, const char *folder, const char *lines)
{
    char *here = getcwd(NULL, 0);
    char text[4096];

    snprintf(text, sizeof(text), "[Unit]\nDescription=x\n[Service]\nWorkingDirectory=%s/%s\n%s\n", here, folder, lines);
    put(path, text);
    free(here);
}

static void expect(const struct site_config *config, const char *unit, const char *string, const char *warning)
{
    struct site site = SITE_INIT;
    struct error err = ERROR_INIT;

    assert_int_equal(site_inspect("site", config, &site, &err), OK);
    if (unit)
        assert_string_equal(site.unit, unit);
    else
        assert_null(site.unit);
    assert_string_equal(site.connection.string, string);
    assert_int_equal(site.connection.form,
                     strcmp(string, "from file") == 0 ? SITE_SETTINGS_APP_JSON : SITE_SETTINGS_ENVIRONMENT);
    assert_int_equal(list_mentions(&site.remarks, "comes from the environment"), strcmp(string, "from file") != 0);
    if (warning)
        assert_true(list_mentions(&site.warnings, warning));
    else
        assert_int_equal(site.warnings.count, 0);
    site_release(&site);
}

static void unit__of_another_site_has_no_say(void **state)
{
    (void)state;
    put_unit("etc/other.service", "site-of-another", "Environment=ConnectionStrings__ConnectionString=other");
    expect(NULL, NULL, "from file", NULL);
}

static void unit__found_by_working_directory_overrides_the_file(void **state)
{
    (void)state;
    put_unit(
        "lib/shop.service", "site",
        "Environment=ASPNETCORE_ENVIRONMENT=Staging \"ConnectionStrings__ConnectionString=Host=h;Password=a b%%c\"");
    expect(NULL, "shop.service", "Host=h;Password=a b%c", NULL);
}

static void unit__found_by_its_command_and_through_a_symlink(void **state)
{
    char *here = getcwd(NULL, 0);
    char text[1024];

    (void)state;
    assert_int_equal(symlink("site", "current"), 0);
    snprintf(text, sizeof(text),
             "[Service]\nExecStart=-/usr/bin/dotnet \\\n# between\n  %s/current/Nop.Web.dll --urls x\n"
             "Environment=connectionstrings__CONNECTIONSTRING=via-command\n",
             here);
    put("lib/run.service", text);
    expect(NULL, "run.service", "via-command", NULL);
    free(here);
}

static void unit__the_shops_own_wins_over_a_helper(void **state)
{
    (void)state;
    put_unit("lib/a-cleanup.service", "site",
             "ExecStart=/usr/bin/find . -name x\nEnvironment=ConnectionStrings__ConnectionString=helper");
    put_unit("lib/shop.service", "site",
             "ExecStart=/usr/bin/dotnet Nop.Web.dll\nEnvironment=ConnectionStrings__ConnectionString=shop");
    expect(NULL, "shop.service", "shop", NULL);
}

static void unit__etc_hides_lib_and_drop_ins_add_in_order(void **state)
{
    (void)state;
    put_unit("lib/shop.service", "site", "Environment=ConnectionStrings__ConnectionString=hidden");
    put_unit("etc/shop.service", "site", "Environment=ConnectionStrings__ConnectionString=main");
    put("lib/shop.service.d/10-a.conf", "[Service]\nEnvironment=ConnectionStrings__ConnectionString=ten\n");
    put("lib/shop.service.d/20-b.conf", "[Service]\nEnvironment=ConnectionStrings__ConnectionString=twenty\n");
    expect(NULL, "shop.service", "twenty", NULL);
    put("etc/shop.service.d/20-b.conf", "[Service]\n");
    expect(NULL, "shop.service", "ten", NULL);
    put("etc/shop.service.d/90-reset.conf", "[Service]\nEnvironment=\n");
    expect(NULL, "shop.service", "from file", NULL);
}

static void unit__environment_files_win_over_environment(void **state)
{
    char *here = getcwd(NULL, 0);
    char lines[1024];

    (void)state;
    put("secret.env",
        "# a comment\n\n; another\nConnectionStrings__ConnectionString=\"Host=h;Password=p\\\"q\" \nOTHER='x y'\n");
    snprintf(lines, sizeof(lines),
             "EnvironmentFile=%s/secret.env\nEnvironmentFile=-%s/absent.env\n"
             "Environment=ConnectionStrings__ConnectionString=direct",
             here, here);
    put_unit("etc/shop.service", "site", lines);
    expect(NULL, "shop.service", "Host=h;Password=p\"q", NULL);
    put("etc/shop.service.d/x.conf", "[Service]\nUnsetEnvironment=ConnectionStrings__ConnectionString\n");
    expect(NULL, "shop.service", "from file", NULL);
    free(here);
}

static void unit__an_environment_file_that_is_missing_is_a_warning(void **state)
{
    char *here = getcwd(NULL, 0);
    char lines[1024];

    (void)state;
    snprintf(lines, sizeof(lines), "EnvironmentFile=%s/gone.env", here);
    put_unit("etc/shop.service", "site", lines);
    expect(NULL, "shop.service", "from file", "gone.env");
    free(here);
}

static void unit__named_by_the_config(void **state)
{
    struct site_config config = {.service = (char *)"web@shop"};

    (void)state;
    put("lib/web@.service", "[Service]\nEnvironment=ConnectionStrings__ConnectionString=instance-%i\n");
    put("etc/web@shop.service.d/a.conf", "[Service]\nEnvironment=UNUSED=%n\n");
    expect(&config, "web@shop.service", "instance-shop", NULL);
    config.service = (char *)"absent.service";
    expect(&config, "absent.service", "from file", "absent.service");
}

static void unit__its_environment_name_chooses_the_file(void **state)
{
    struct site_config config = {.environment = (char *)"Config"};

    (void)state;
    put("site/App_Data/appsettings.Staging.json", "{\"ConnectionStrings\":{\"ConnectionString\":\"staging\"}}");
    put("site/App_Data/appsettings.Config.json", "{\"ConnectionStrings\":{\"ConnectionString\":\"config\"}}");
    for (int i = 0; i < 2; i++) {
        struct site site = SITE_INIT;
        struct error err = ERROR_INIT;

        if (i == 1)
            put_unit("etc/shop.service", "site", "Environment=ASPNETCORE_ENVIRONMENT=Staging");
        assert_int_equal(site_inspect("site", &config, &site, &err), OK);
        assert_string_equal(site.connection.string, i == 0 ? "config" : "staging");
        assert_string_equal(site.connection.file,
                            i == 0 ? "App_Data/appsettings.Config.json" : "App_Data/appsettings.Staging.json");
        site_release(&site);
    }
}

static void unit__of_440_quotes_its_value_and_needs_the_file(void **state)
{
    struct site_version v = {4, 40, -1, "4.40"};
    struct site_connection c = {SITE_SETTINGS_NONE, NULL, NULL, NULL};
    struct error err = ERROR_INIT;

    (void)state;
    put_unit("etc/shop.service", "site",
             "Environment='dataSettings__DataConnectionString=\"Host=e\"' 'dataSettings__DataProvider=\"postgresql\"'");
    assert_int_equal(site_connection_read("site", &v, true, &c, &err), OK);
    assert_int_equal(c.form, SITE_SETTINGS_NONE);
    put("site/App_Data/dataSettings.json", "{\"DataConnectionString\":\"x\",\"DataProvider\":\"mysql\"}");
    /* site_connection_read() wants the real path, as a site has it. */
    {
        char *real = realpath("site", NULL);

        assert_int_equal(site_connection_read(real, &v, true, &c, &err), OK);
        assert_int_equal(c.form, SITE_SETTINGS_ENVIRONMENT);
        assert_string_equal(c.string, "Host=e");
        assert_string_equal(c.provider, "postgresql");
        site_connection_release(&c);
        assert_int_equal(site_connection_read(real, &v, false, &c, &err), OK);
        assert_int_equal(c.form, SITE_SETTINGS_DATA_JSON);
        site_connection_release(&c);
        free(real);
    }
}

static void unit__of_a_folder_that_is_gone_is_still_found(void **state)
{
    struct site site = SITE_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    put_unit("etc/lost.service", "lost", "ExecStart=/usr/bin/dotnet Nop.Web.dll");
    assert_int_equal(site_inspect("lost", NULL, &site, &err), OK);
    assert_false(site.exists);
    assert_string_equal(site.unit, "lost.service");
    site_release(&site);
}

static void webconfig__environment_counts_where_no_unit_does(void **state)
{
    static const char text[] =
        "\xef\xbb\xbf<?xml version=\"1.0\"?>\n<configuration><!-- <environmentVariable name=\"ConnectionStrings__ConnectionString\" "
        "value=\"comment\"/> --><location path=\".\"><system.webServer><aspNetCore processPath=\".\\Nop.Web.exe\">\n"
        "<environmentVariables>\n<environmentVariable name='ConnectionStrings__ConnectionString' value='Host=h;Password=&lt;&amp;&gt;' />"
        "</environmentVariables></aspNetCore></system.webServer></location></configuration>";

    (void)state;
    put("site/web.config", text);
    expect(NULL, NULL, "Host=h;Password=<&>", NULL);
    put_unit("etc/shop.service", "site", "");
    expect(NULL, "shop.service", "from file", NULL);
}

static void webconfig__broken_xml_is_a_warning(void **state)
{
    (void)state;
    put("site/Web.config", "<configuration><environmentVariables>");
    expect(NULL, NULL, "from file", "Web.config");
    put("site/Web.config", "");
    expect(NULL, NULL, "from file", "Web.config");
    put("site/Web.config",
        "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/hostname\">]><configuration><environmentVariables>"
        "<environmentVariable name=\"A\" value=\"&x;\"/></environmentVariables></configuration>");
    expect(NULL, NULL, "from file", "Web.config");
}

static void word__quotes_and_escapes_as_systemd_has_them(void **state)
{
    static const struct {
        const char *text;
        const char *words[4];
    } cases[] = {
        {"a b  c", {"a", "b", "c", NULL}},
        {"\"A=b c\" 'd e'", {"A=b c", "d e", NULL}},
        {"A=\"b c\"d", {"A=b cd", NULL}},
        {"a\\x41\\101\\n\\\\\\q", {"aAA\n\\\\q", NULL}},
        {"\"a'b\" 'c\"d'", {"a'b", "c\"d", NULL}},
        {"\"\" x", {"", "x", NULL}},
        {"\"open", {"open", NULL}},
        {"a\\", {"a\\", NULL}},
        {"\\x4", {"\\x4", NULL}},
        {"  ", {NULL}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *at = cases[i].text;
        struct error err = ERROR_INIT;
        char *word = NULL;

        for (size_t k = 0; cases[i].words[k]; k++) {
            assert_int_equal(unit_word(&at, &word, &err), OK);
            assert_string_equal(word, cases[i].words[k]);
            free(word);
        }
        assert_int_equal(unit_word(&at, &word, &err), OK);
        assert_null(word);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        systemd_test(unit__of_another_site_has_no_say),
        systemd_test(unit__found_by_working_directory_overrides_the_file),
        systemd_test(unit__found_by_its_command_and_through_a_symlink),
        systemd_test(unit__the_shops_own_wins_over_a_helper),
        systemd_test(unit__etc_hides_lib_and_drop_ins_add_in_order),
        systemd_test(unit__environment_files_win_over_environment),
        systemd_test(unit__an_environment_file_that_is_missing_is_a_warning),
        systemd_test(unit__named_by_the_config),
        systemd_test(unit__its_environment_name_chooses_the_file),
        systemd_test(unit__of_440_quotes_its_value_and_needs_the_file),
        systemd_test(unit__of_a_folder_that_is_gone_is_still_found),
        systemd_test(webconfig__environment_counts_where_no_unit_does),
        systemd_test(webconfig__broken_xml_is_a_warning),
        cmocka_unit_test(word__quotes_and_escapes_as_systemd_has_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
