#include "site_test_support.h"

static const char fresh[] = "Host=db;Password=a\\b\"c;Database=shop";

static void expect(enum site_settings_form form, const char *before, const char *after)
{
    struct buffer out = BUFFER_INIT(65536);
    struct error err = ERROR_INIT;

    assert_int_equal(site_connection_splice(form, before, strlen(before), fresh, &out, &err), OK);
    assert_string_equal((char *)out.data, after);
    buffer_release_secret(&out);
}

static void expect_refusal(enum site_settings_form form, const void *before, size_t len, const char *value,
                           enum error_kind kind)
{
    struct buffer out = BUFFER_INIT(65536);
    struct error err = ERROR_INIT;

    assert_int_equal(buffer_append_text(&out, "kept", &err), OK);
    assert_int_equal(site_connection_splice(form, before, len, value, &out, &err), kind);
    assert_string_equal((char *)out.data, "kept");
    assert_null(strstr(err.text, "Password"));
    assert_true(err.hint[0] != '\0');
    buffer_release_secret(&out);
}

static void splice_txt__only_the_value_changes(void **state)
{
    (void)state;
    expect(SITE_SETTINGS_TXT,
           "\xef\xbb\xbf"
           "DataProvider: sqlserver\r\nDataConnectionString: Data Source=x:1\r\nMore: 1\r\n",
           "\xef\xbb\xbf"
           "DataProvider: sqlserver\r\nDataConnectionString: Host=db;Password=a\\b\"c;Database=shop\r\nMore: 1\r\n");
    expect(SITE_SETTINGS_TXT, "DataConnectionString:old",
           "DataConnectionString:Host=db;Password=a\\b\"c;Database=shop");
    expect(SITE_SETTINGS_TXT, "DataConnectionString:\nDataProvider: mysql",
           "DataConnectionString:Host=db;Password=a\\b\"c;Database=shop\nDataProvider: mysql");
}

static void splice_txt__last_line_counts_as_nopcommerce_reads_it(void **state)
{
    (void)state;
    expect(SITE_SETTINGS_TXT, "DataConnectionString: one\n  DataConnectionString : two \n",
           "DataConnectionString: one\n  DataConnectionString : Host=db;Password=a\\b\"c;Database=shop \n");
}

static void splice_json__layout_comments_and_bom_stay(void **state)
{
    (void)state;
    expect(
        SITE_SETTINGS_DATA_JSON,
        "\xef\xbb\xbf{\r\n  \"DataProvider\": \"mysql\", // ours\r\n  \"DataConnectionString\" : \"old\",\r\n  \"RawDataSettings\": {}\r\n}",
        "\xef\xbb\xbf{\r\n  \"DataProvider\": \"mysql\", // ours\r\n  \"DataConnectionString\" : "
        "\"Host=db;Password=a\\\\b\\\"c;Database=shop\",\r\n  \"RawDataSettings\": {}\r\n}");
    expect(
        SITE_SETTINGS_APP_JSON,
        "{ \"AzureBlobConfig\": { \"ConnectionString\": \"azure\" }, \"ConnectionStrings\": { \"ConnectionString\": \"old\" } }",
        "{ \"AzureBlobConfig\": { \"ConnectionString\": \"azure\" }, \"ConnectionStrings\": { \"ConnectionString\": "
        "\"Host=db;Password=a\\\\b\\\"c;Database=shop\" } }");
    expect(SITE_SETTINGS_APP_JSON, "{ \"ConnectionStrings:ConnectionString\": \"old\" }",
           "{ \"ConnectionStrings:ConnectionString\": \"Host=db;Password=a\\\\b\\\"c;Database=shop\" }");
}

static void splice__what_cannot_be_done_is_refused(void **state)
{
    (void)state;
    expect_refusal(SITE_SETTINGS_TXT, "DataProvider: x\n", 16, fresh, ERR_NOT_FOUND);
    expect_refusal(SITE_SETTINGS_TXT, "DataConnectionString: x\n", 24, "a\nDataProvider: mysql", ERR_REFUSED);
    expect_refusal(SITE_SETTINGS_TXT, "DataConnectionString: x\n", 24, " Password=x", ERR_REFUSED);
    expect_refusal(SITE_SETTINGS_DATA_JSON, "{}", 2, fresh, ERR_NOT_FOUND);
    expect_refusal(SITE_SETTINGS_APP_JSON, "{\"ConnectionStrings\":{}}", 24, fresh, ERR_NOT_FOUND);
    expect_refusal(SITE_SETTINGS_DATA_JSON, "\xff\xfe{\0}\0", 6, fresh, ERR_REFUSED);
    expect_refusal(SITE_SETTINGS_ENVIRONMENT, "Environment=A=b", 15, fresh, ERR_REFUSED);
    expect_refusal(SITE_SETTINGS_NONE, "", 0, fresh, ERR_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splice_txt__only_the_value_changes),
        cmocka_unit_test(splice_txt__last_line_counts_as_nopcommerce_reads_it),
        cmocka_unit_test(splice_json__layout_comments_and_bom_stay),
        cmocka_unit_test(splice__what_cannot_be_done_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
