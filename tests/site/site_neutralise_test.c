#include "neutralise.h"
#include "test_support.h"

static void judged(const char *name, const char *value, enum site_outside expected)
{
    if (site_outside_setting(name, value) != expected)
        print_error("%s = %s\n", name, value);
    assert_int_equal(site_outside_setting(name, value), expected);
}

static void setting__addresses_of_any_spelling_are_unknown(void **state)
{
    static const char *const values[] = {
        "https://erp.example/push",
        "//cdn.example",
        "\\\\server\\share",
        "C:\\pictures",
        "D:/pictures",
        "/var/lib/pictures",
        "/data",
        "erp.example",
        "erp.shop.example.",
        "ERP.EXAMPLE",
        "redis:6379",
        "localhost:6379",
        "10.0.0.7",
        "10.0.0.7:6379",
        "[::1]:6379",
        "fe80::1",
        "erp.example:8443",
        "sftp@erp.example",
        "user:word@erp",
        "user@erp:22",
        "user@erp",
        "a.example,b.example",
        "redis:6379,ssl=False",
        "Server=db.example;Database=shop",
        "Data Source=db.example;User=x",
        "host is 10.0.0.7",
        "xn--bcher-kva.xn--p1ai",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        judged("acme.target", values[i], SITE_OUTSIDE_UNKNOWN);
    judged("acmesettings.contactemail", "user@erp:25", SITE_OUTSIDE_UNKNOWN);
}

/* From the settings of new shops of 4.60 and 4.70, and what owners and plugins add. */
static void setting__what_only_looks_like_one_is_none(void **state)
{
    static const char *const values[] = {
        "1.55",
        "4.70.2",
        "0.5",
        "3.14159",
        "logo.png",
        "style.min.css",
        "export.xlsx",
        "2026.11.27",
        "27.11.2026",
        "12:30",
        "2026-11-27 12:30:45",
        "11/27/2026 12:30:00",
        "dd.MM.yyyy",
        "HH:mm",
        "Payments.CheckMoneyOrder,Payments.Manual",
        "CurrencyExchange.ECB",
        "Nop.Services.Tasks.Task, Nop.Services",
        "True",
        "/",
        ". ",
        "a/b",
        "wwwroot/images",
        "Read this.And that",
        "%Store.Name% order",
        "columns:3",
        "en-US",
        "#ff00aa",
        "e.g.",
        "8:00-17:00",
        "Public,max-age=31536000",
        "{\"a\":12}",
        "@",
        "50%",
        "18446744073709551615",
        "1,2,3",
        "Tax.FixedOrByCountryStateZip",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        judged("acme.target", values[i], SITE_OUTSIDE_NONE);
    judged("acmesettings.contactemail", "office@shop.example", SITE_OUTSIDE_NONE);
    judged("acmesettings.mailto", "a@shop.example, b@shop.example", SITE_OUTSIDE_NONE);
    judged("acmesettings.version", "1.2.3.4", SITE_OUTSIDE_NONE);
    judged("acmesettings.activesystemname", "payments.acme", SITE_OUTSIDE_NONE);
    judged("robotstxtsettings.disallowpaths", "/admin,/bin/", SITE_OUTSIDE_NONE);
    judged("HostingConfig.KnownProxies", "10.0.0.7", SITE_OUTSIDE_NONE);
}

static void setting__keys_are_emptied_and_policies_are_not(void **state)
{
    (void)state;
    judged("AcmeSettings.ApiKey", "sk_live", SITE_OUTSIDE_EMPTY);
    judged("acmesettings.apikey", "", SITE_OUTSIDE_NONE);
    judged("customersettings.passwordminlength", "6", SITE_OUTSIDE_NONE);
    judged("mediasettings.picturepath", "/mnt", SITE_OUTSIDE_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(setting__addresses_of_any_spelling_are_unknown),
        cmocka_unit_test(setting__what_only_looks_like_one_is_none),
        cmocka_unit_test(setting__keys_are_emptied_and_policies_are_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
