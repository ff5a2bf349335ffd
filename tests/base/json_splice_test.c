#include "test_support.h"

#include "json.h"

static const char *const path[] = {"ConnectionStrings", "ConnectionString", NULL};

static enum error_kind spliced(const char *text, const char *value, struct buffer *out)
{
    struct error err = ERROR_INIT;

    buffer_clear(out);
    return json_splice_text(text, strlen(text), path, value, out, &err);
}

static void splice__every_other_byte_stays(void **state)
{
    struct buffer out = BUFFER_INIT(10000);

    (void)state;
    assert_int_equal(
        spliced(
            "\xef\xbb\xbf{\r\n  // \"ConnectionString\": \"no\"\r\n  \"Other\": {\"ConnectionString\":\"keep }\"},\r\n"
            "  \"connectionstrings\" : /* { */ {\r\n\t\"x\": [1,{\"y\":\"]\"}],\r\n\t\"ConnectionString\"  :  "
            "\"Server=a;Password=p\\\"q\" ,\r\n  \"z\": 1.50,},\r\n}\r\n",
            "Server=b/c;Password=\"\\x", &out),
        OK);
    assert_string_equal(
        (char *)out.data,
        "\xef\xbb\xbf{\r\n  // \"ConnectionString\": \"no\"\r\n  \"Other\": {\"ConnectionString\":\"keep }\"},\r\n"
        "  \"connectionstrings\" : /* { */ {\r\n\t\"x\": [1,{\"y\":\"]\"}],\r\n\t\"ConnectionString\"  :  "
        "\"Server=b/c;Password=\\\"\\\\x\" ,\r\n  \"z\": 1.50,},\r\n}\r\n");
    buffer_release(&out);
}

static void splice__escaped_key_is_found(void **state)
{
    struct buffer out = BUFFER_INIT(10000);

    (void)state;
    assert_int_equal(spliced("{\"Connection\\u0053trings\":{'ConnectionString':'old'}}", "new", &out), OK);
    assert_string_equal((char *)out.data, "{\"Connection\\u0053trings\":{'ConnectionString':\"new\"}}");
    buffer_release(&out);
}

static void splice__missing_or_not_a_string_is_not_found(void **state)
{
    static const char *const texts[] = {"{}",
                                        "[]",
                                        "5",
                                        "{\"ConnectionStrings\":{}}",
                                        "{\"ConnectionStrings\":\"x\"}",
                                        "{\"ConnectionStrings\":{\"ConnectionString\":null}}",
                                        "{\"ConnectionStrings\":{\"ConnectionString\":{\"a\":\"b\"}}}",
                                        "{\"ConnectionString\":\"x\"}"};
    struct buffer out = BUFFER_INIT(10000);

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (spliced(texts[i], "new", &out) != ERR_NOT_FOUND)
            fail_msg("%s: a place was found", texts[i]);
        assert_int_equal(out.len, 0);
    }
    buffer_release(&out);
}

static void splice__key_given_twice_is_refused(void **state)
{
    struct buffer out = BUFFER_INIT(10000);

    (void)state;
    assert_int_equal(
        spliced("{\"ConnectionStrings\":{\"ConnectionString\":\"a\",\"ConnectionString\":\"b\"}}", "new", &out),
        ERR_REFUSED);
    assert_int_equal(out.len, 0);
    buffer_release(&out);
}

static void splice__broken_text_is_corrupt(void **state)
{
    struct buffer out = BUFFER_INIT(10000);

    (void)state;
    assert_int_equal(spliced("{\"ConnectionStrings\":{\"ConnectionString\":\"a\"}", "new", &out), ERR_CORRUPT);
    assert_int_equal(out.len, 0);
    buffer_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splice__every_other_byte_stays),
        cmocka_unit_test(splice__escaped_key_is_found),
        cmocka_unit_test(splice__missing_or_not_a_string_is_not_found),
        cmocka_unit_test(splice__key_given_twice_is_refused),
        cmocka_unit_test(splice__broken_text_is_corrupt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
