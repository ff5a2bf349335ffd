/* Which value wins, by version, and what becomes of settings that are broken. */
#include "site_test_support.h"

#define SECRET "s3cr3t-Pa55word"

static struct site_version version_of(const char *text)
{
    struct site_version v = {0, 0, -1, ""};
    struct error err = ERROR_INIT;

    if (text)
        assert_int_equal(site_version_parse(text, &v, &err), OK);
    return v;
}

static void expect(const char *version, enum site_settings_form form, const char *file, const char *provider,
                   const char *string)
{
    struct site_version v = version_of(version);
    struct site_connection c = {SITE_SETTINGS_NONE, NULL, NULL, NULL};
    struct error err = ERROR_INIT;

    assert_int_equal(site_connection_read("site", &v, false, &c, &err), OK);
    assert_int_equal(c.form, form);
    if (form == SITE_SETTINGS_NONE) {
        assert_null(c.string);
        assert_null(c.provider);
        assert_null(c.file);
    } else {
        assert_string_equal(c.file, file);
        assert_string_equal(c.provider, provider);
        assert_string_equal(c.string, string);
    }
    site_connection_release(&c);
}

static void expect_refused(const char *version, const char *mention)
{
    struct site_version v = version_of(version);
    struct site_connection c = {SITE_SETTINGS_NONE, NULL, NULL, NULL};
    struct error err = ERROR_INIT;

    assert_int_equal(site_connection_read("site", &v, false, &c, &err), ERR_REFUSED);
    assert_non_null(strstr(err.text, mention));
    assert_true(err.hint[0] != '\0');
    assert_null(strstr(err.text, SECRET));
    assert_null(strstr(err.hint, SECRET));
    assert_null(c.string);
}

static void txt__first_colon_splits_and_the_last_line_wins(void **state)
{
    (void)state;
    put("site/App_Data/Settings.txt",
        "no colon here\r\nDataProvider: SqlServer\r\nDataConnectionString: Data Source=a,1;x\r\n"
        "dataprovider: mysql\r\n DataConnectionString :  Data Source=tcp:b;y  \r\n");
    expect("3.90", SITE_SETTINGS_TXT, "App_Data/Settings.txt", "sqlserver", "Data Source=tcp:b;y");
}

static void txt__found_whatever_its_case(void **state)
{
    (void)state;
    put("site/app_data/settings.TXT",
        "DataProvider: sqlce\nDataConnectionString: Data Source=|DataDirectory|Nop.Db.sdf\n");
    expect("3.90", SITE_SETTINGS_TXT, "app_data/settings.TXT", "sqlce", "Data Source=|DataDirectory|Nop.Db.sdf");
}

static void data_json__wins_over_txt_from_400_to_440_and_is_unknown_to_3x(void **state)
{
    (void)state;
    put("site/App_Data/Settings.txt", "DataProvider: sqlserver\nDataConnectionString: from txt\n");
    put("site/App_Data/dataSettings.json",
        "\xef\xbb\xbf{\r\n // by hand\r\n \"dataConnectionString\": \"from json\", /* x */ \"DataProvider\": \"MySql\",\r\n}");
    expect("3.90", SITE_SETTINGS_TXT, "App_Data/Settings.txt", "sqlserver", "from txt");
    expect("4.00", SITE_SETTINGS_DATA_JSON, "App_Data/dataSettings.json", "mysql", "from json");
    expect("4.40.4", SITE_SETTINGS_DATA_JSON, "App_Data/dataSettings.json", "mysql", "from json");
    assert_int_equal(unlink("site/App_Data/dataSettings.json"), 0);
    expect("4.40.4", SITE_SETTINGS_TXT, "App_Data/Settings.txt", "sqlserver", "from txt");
}

static void app_json__is_only_read_from_450_on(void **state)
{
    (void)state;
    put("site/App_Data/appsettings.json",
        "\xef\xbb\xbf{\"connectionstrings\":{\"CONNECTIONSTRING\":\"Host=h\",\"DataProvider\":\"postgresql\"}}");
    expect("4.40", SITE_SETTINGS_NONE, NULL, NULL, NULL);
    expect("4.50", SITE_SETTINGS_APP_JSON, "App_Data/appsettings.json", "postgresql", "Host=h");
    expect("4.90.4", SITE_SETTINGS_APP_JSON, "App_Data/appsettings.json", "postgresql", "Host=h");
    expect(NULL, SITE_SETTINGS_APP_JSON, "App_Data/appsettings.json", "postgresql", "Host=h");
}

static void app_json__the_later_file_wins_key_by_key(void **state)
{
    (void)state;
    put("site/appsettings.json", "{\"ConnectionStrings\":{\"ConnectionString\":\"root\",\"DataProvider\":\"mysql\"}}");
    expect("4.60", SITE_SETTINGS_APP_JSON, "appsettings.json", "mysql", "root");
    put("site/App_Data/appsettings.json", "{\"ConnectionStrings\":{\"ConnectionString\":\"plain\"}}");
    expect("4.60", SITE_SETTINGS_APP_JSON, "App_Data/appsettings.json", "mysql", "plain");
    put("site/App_Data/appsettings.Production.json", "{\"ConnectionStrings:ConnectionString\":\"flat\"}");
    expect("4.60", SITE_SETTINGS_APP_JSON, "App_Data/appsettings.Production.json", "mysql", "flat");
    put("site/App_Data/appsettings.Staging.json", "{\"ConnectionStrings:ConnectionString\":\"other\"}");
    expect("4.60", SITE_SETTINGS_APP_JSON, "App_Data/appsettings.Production.json", "mysql", "flat");
}

static void app_json__provider_is_sqlserver_unless_told(void **state)
{
    (void)state;
    put("site/App_Data/appsettings.json", "{\"ConnectionStrings\":{\"ConnectionString\":\"Data Source=x\"}}");
    expect("4.60", SITE_SETTINGS_APP_JSON, "App_Data/appsettings.json", "sqlserver", "Data Source=x");
}

static void stray_data_json__wins_from_450_on(void **state)
{
    (void)state;
    put("site/App_Data/appsettings.json",
        "{\"ConnectionStrings\":{\"ConnectionString\":\"new\",\"DataProvider\":\"postgresql\"}}");
    put("site/App_Data/dataSettings.json", "{\"DataConnectionString\":\"old\",\"DataProvider\":\"mysql\"}");
    expect("4.60", SITE_SETTINGS_DATA_JSON, "App_Data/dataSettings.json", "mysql", "old");
    expect(NULL, SITE_SETTINGS_DATA_JSON, "App_Data/dataSettings.json", "mysql", "old");
}

static void utf16__is_read_as_dotnet_does(void **state)
{
    static const char ascii[] = "{\"DataConnectionString\":\"Host=\xe9\",\"DataProvider\":\"mysql\"}";
    unsigned char little[256] = {0xff, 0xfe};
    unsigned char big[256] = {0xfe, 0xff};
    size_t len = sizeof(ascii) - 1;

    (void)state;
    for (size_t i = 0; i < len; i++) {
        little[2 + 2 * i] = (unsigned char)ascii[i];
        big[3 + 2 * i] = (unsigned char)ascii[i];
    }
    put_bytes("site/App_Data/dataSettings.json", little, 2 + 2 * len);
    expect("4.30", SITE_SETTINGS_DATA_JSON, "App_Data/dataSettings.json", "mysql", "Host=\xc3\xa9");
    put_bytes("site/App_Data/dataSettings.json", big, 2 + 2 * len);
    expect("4.30", SITE_SETTINGS_DATA_JSON, "App_Data/dataSettings.json", "mysql", "Host=\xc3\xa9");
}

static void broken__json_is_refused_without_showing_it(void **state)
{
    static const char *const texts[] = {
        ("{\"DataConnectionString\":\"" SECRET "\""),
        ("{\"DataConnectionString\":" SECRET "}"),
        "",
        "\xef\xbb\xbf",
        SECRET,
        ("{\"DataConnectionString\":\"x\",\"DataProvider\":\"mysql\"} " SECRET),
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        put("site/App_Data/dataSettings.json", texts[i]);
        expect_refused("4.30", "App_Data/dataSettings.json");
        expect_refused("4.60", "App_Data/dataSettings.json");
    }
    put_bytes("site/App_Data/dataSettings.json", "{}\0" SECRET, 10);
    expect_refused("4.60", "NUL");
}

static void broken__half_of_a_connection_is_refused(void **state)
{
    (void)state;
    put("site/App_Data/dataSettings.json", "{\"DataConnectionString\":\"\",\"DataProvider\":\"sqlserver\"}");
    expect_refused("4.30", "no connection string");
    put("site/App_Data/dataSettings.json", "{\"DataConnectionString\":\"Password=" SECRET "\"}");
    expect_refused("4.30", "no data provider");
    put("site/App_Data/dataSettings.json",
        "{\"DataConnectionString\":\"Password=" SECRET "\",\"DataProvider\":\"" SECRET "\"}");
    expect_refused("4.30", "none that nopCommerce knows");
    assert_int_equal(unlink("site/App_Data/dataSettings.json"), 0);
    put("site/App_Data/appsettings.json",
        "{\"ConnectionStrings\":{\"ConnectionString\":\"\",\"DataProvider\":\"mysql\"}}");
    expect_refused("4.60", "no connection string");
}

static void broken__a_fifo_or_a_huge_file_is_no_trap(void **state)
{
    struct site_version v = version_of("4.30");
    struct site_connection c = {SITE_SETTINGS_NONE, NULL, NULL, NULL};
    struct error err = ERROR_INIT;

    (void)state;
    put("site/App_Data/x", "");
    assert_int_equal(mkfifo("site/App_Data/dataSettings.json", 0600), 0);
    assert_int_not_equal(site_connection_read("site", &v, false, &c, &err), OK);
    assert_int_equal(unlink("site/App_Data/dataSettings.json"), 0);
    put("site/App_Data/dataSettings.json", "");
    assert_int_equal(truncate("site/App_Data/dataSettings.json", 1LL << 40), 0);
    error_clear(&err);
    assert_int_not_equal(site_connection_read("site", &v, false, &c, &err), OK);
    assert_null(c.string);
}

static void none__never_installed_is_no_error(void **state)
{
    (void)state;
    put("site/App_Data/x", "");
    expect("3.90", SITE_SETTINGS_NONE, NULL, NULL, NULL);
    expect("4.30", SITE_SETTINGS_NONE, NULL, NULL, NULL);
    expect("4.60", SITE_SETTINGS_NONE, NULL, NULL, NULL);
    put("site/App_Data/appsettings.json",
        "{\"ConnectionStrings\":{\"ConnectionString\":\"\",\"DataProvider\":\"sqlserver\"}}");
    expect("4.60", SITE_SETTINGS_NONE, NULL, NULL, NULL);
    put("site/App_Data/appsettings.json", "{\"CommonConfig\":{}}");
    expect("4.60", SITE_SETTINGS_NONE, NULL, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        site_test(txt__first_colon_splits_and_the_last_line_wins),
        site_test(txt__found_whatever_its_case),
        site_test(data_json__wins_over_txt_from_400_to_440_and_is_unknown_to_3x),
        site_test(app_json__is_only_read_from_450_on),
        site_test(app_json__the_later_file_wins_key_by_key),
        site_test(app_json__provider_is_sqlserver_unless_told),
        site_test(stray_data_json__wins_from_450_on),
        site_test(utf16__is_read_as_dotnet_does),
        site_test(broken__json_is_refused_without_showing_it),
        site_test(broken__half_of_a_connection_is_refused),
        site_test(broken__a_fifo_or_a_huge_file_is_no_trap),
        site_test(none__never_installed_is_no_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
