#include "site_test_support.h"

static struct site_version parsed(const char *text)
{
    struct site_version v;
    struct error err = ERROR_INIT;

    assert_int_equal(site_version_parse(text, &v, &err), OK);
    return v;
}

static void parse__releases_and_patches(void **state)
{
    struct site_version v = parsed("4.60.5");

    (void)state;
    assert_int_equal(v.major, 4);
    assert_int_equal(v.minor, 60);
    assert_int_equal(v.patch, 5);
    assert_string_equal(v.text, "4.60.5");
    v = parsed("3.90");
    assert_int_equal(v.patch, -1);
    assert_string_equal(v.text, "3.90");
    assert_string_equal(parsed("4.00").text, "4.00");
    assert_string_equal(parsed("4.80.12").text, "4.80.12");
}

static void parse__anything_else_is_usage(void **state)
{
    static const char *const bad[] = {"",        "4",     "4.",     "4.6",       "4.600",   "4.60.",  "v4.60",
                                      "4.60 ",   " 4.60", "4.60.x", "-4.60",     "4.60.-1", "0.60",   "123.60",
                                      "4.60.1.", "4,60",  "+4.60",  "4.60.1234", "4.60\n",  "4.60.5b"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct site_version v = {9, 9, 9, "as it was"};
        struct error err = ERROR_INIT;

        assert_int_equal(site_version_parse(bad[i], &v, &err), ERR_USAGE);
        assert_string_equal(v.text, "as it was");
        assert_true(err.hint[0] != '\0');
    }
}

static void compare__orders_by_number_not_by_text(void **state)
{
    static const char *const order[] = {"3.70",   "3.90",    "4.00", "4.10.1", "4.60",
                                        "4.60.2", "4.60.10", "4.90", "5.00",   "10.00"};

    (void)state;
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        for (size_t k = 0; k < sizeof(order) / sizeof(order[0]); k++) {
            struct site_version a = parsed(order[i]);
            struct site_version b = parsed(order[k]);

            assert_int_equal(site_version_compare(&a, &b), (i > k) - (i < k));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse__releases_and_patches),
        cmocka_unit_test(parse__anything_else_is_usage),
        cmocka_unit_test(compare__orders_by_number_not_by_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
