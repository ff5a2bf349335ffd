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

/* Sets "A" "b" to {"x": 1} or, for NULL, to null. */
static enum error_kind set(const char *text, const char *json, struct buffer *out)
{
    static const char *const keys[] = {"A", "b", NULL};
    struct error err = ERROR_INIT;
    struct json *value = NULL;
    enum error_kind rc;

    buffer_clear(out);
    if (json)
        assert_int_equal(json_parse(json, strlen(json), &value, &err), OK);
    rc = json_splice_value(text, strlen(text), keys, value, out, &err);
    json_free(value);
    return rc;
}

static void splice_value__replaced_in_place_or_added_like_its_neighbours(void **state)
{
    static const struct {
        const char *before;
        const char *value;
        const char *after;
    } cases[] = {
        {"", "1", "{\n  \"A\": {\n    \"b\": 1\n  }\n}"},
        {"\xef\xbb\xbf", "1", "\xef\xbb\xbf{\n  \"A\": {\n    \"b\": 1\n  }\n}"},
        {"{ }", "[]", "{\n  \"A\": {\n    \"b\": []\n  }\n}"},
        {"{\"c\":0}", "1", "{\"c\":0, \"A\": {\"b\":1}}"},
        {"{ \"A\": { \"c\": 0 } }", "true", "{ \"A\": { \"c\": 0, \"b\": true } }"},
        {"{\"a\": {\"B\": \"old\"} /* x */ }", "\"new\"", "{\"a\": {\"B\": \"new\"} /* x */ }"},
        {"{\"A\": {\"b\": {\"y\": [1, 2]}, \"z\": 1}}", NULL, "{\"A\": {\"b\": null, \"z\": 1}}"},
        {"\xef\xbb\xbf{\r\n\t\"A\": {\r\n\t\t\"c\": 0 // last\r\n\t}\r\n}\r\n", "{\"x\": {}}",
         "\xef\xbb\xbf{\r\n\t\"A\": {\r\n\t\t\"c\": 0, // last\r\n\t\t\"b\": {\r\n\t\t  \"x\": {}\r\n\t\t}\r\n\t}\r\n}\r\n"},
        {"{\n  \"A\": {\n    \"c\": 0,\n  },\n}", "1", "{\n  \"A\": {\n    \"c\": 0,\n    \"b\": 1\n  },\n}"},
        {"{\n  \"A\": {\n    // nothing yet\n  }\n}", "1", "{\n  \"A\": {\n    // nothing yet\n    \"b\": 1\n  }\n}"},
    };
    struct buffer out = BUFFER_INIT(10000);

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(set(cases[i].before, cases[i].value, &out), OK);
        assert_string_equal((char *)out.data, cases[i].after);
    }
    buffer_release(&out);
}

static void splice_value__what_is_no_object_or_ambiguous_is_refused(void **state)
{
    static const char *const texts[] = {"[]", "5", "{\"A\": 1}", "{\"A\": null}", "{\"A\": {\"b\": 1, \"b\": 2}}"};
    struct buffer out = BUFFER_INIT(10000);

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (set(texts[i], "1", &out) != ERR_REFUSED)
            fail_msg("%s: not refused", texts[i]);
        assert_int_equal(out.len, 0);
    }
    assert_int_equal(set("{\"A\": ", "1", &out), ERR_CORRUPT);
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
        cmocka_unit_test(splice_value__replaced_in_place_or_added_like_its_neighbours),
        cmocka_unit_test(splice_value__what_is_no_object_or_ambiguous_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
