#include "test_support.h"

#include "json.h"

static struct json *parsed(const char *text)
{
    struct error err = ERROR_INIT;
    struct json *root = NULL;

    if (json_parse(text, strlen(text), &root, &err))
        fail_msg("%s: %s", text, err.text);
    return root;
}

static void printed(struct json *root, const char *expected)
{
    struct buffer b = BUFFER_INIT(1 << 20);
    struct error err = ERROR_INIT;

    assert_int_equal(json_print(root, &b, &err), OK);
    assert_string_equal((char *)b.data, expected);
    buffer_release(&b);
}

static void parse__settings_as_shops_write_them(void **state)
{
    struct json *root = parsed("\xef\xbb\xbf// head\r\n{ /* c */ \"DataConnectionString\": \"Server=x\", // tail\n"
                               "\"n\": 42, \"list\": [1, \"two\", true,], \"o\": {\"Key\": null}, }\n/* end */ // x");

    (void)state;
    assert_string_equal(json_text(json_get_nocase(root, "dataconnectionstring")), "Server=x");
    assert_null(json_get(root, "dataconnectionstring"));
    assert_int_equal(json_number(json_get(root, "n"), -1), 42);
    assert_int_equal(json_length(json_get(root, "list")), 3);
    assert_string_equal(json_text(json_at(json_get(root, "list"), 1)), "two");
    assert_true(json_flag(json_at(json_get(root, "list"), 2), false));
    assert_null(json_at(json_get(root, "list"), 3));
    assert_null(json_get(json_get(root, "o"), "Key"));
    json_free(root);
}

static void parse__wrong_types_give_the_fallback(void **state)
{
    struct json *root = parsed("{\"s\":\"5\",\"d\":1.5,\"b\":true,\"z\":\"a\\u0000b\",\"big\":123}");

    (void)state;
    assert_int_equal(json_number(json_get(root, "s"), -7), -7);
    assert_int_equal(json_number(json_get(root, "d"), -7), -7);
    assert_int_equal(json_number(NULL, -7), -7);
    assert_null(json_text(json_get(root, "b")));
    assert_null(json_text(json_get(root, "z"))); /* a NUL inside: nobody may see half of it */
    assert_true(json_flag(json_get(root, "s"), true));
    assert_int_equal(json_length(root), 0);
    assert_null(json_get(json_get(root, "s"), "x"));
    assert_null(json_get_nocase(NULL, "x"));
    json_free(root);
    json_free(NULL);
}

static void parse__broken_text_is_corrupt(void **state)
{
    static const char *const bad[] = {"",      "{",       "{\"a\":}", "{} {}", "{}x",       "{\"a\"}",      "[1,2",
                                      "\"abc", "/* open", "/ ",       "nul",   "{\"a\":1]", "\xef\xbb\xbf", "[1] \x01"};
    struct error err = ERROR_INIT;
    struct json *root = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (json_parse(bad[i], strlen(bad[i]), &root, &err) != ERR_CORRUPT)
            fail_msg("\"%s\" was accepted", bad[i]);
        assert_null(root);
    }
    assert_int_equal(json_parse("{}\0{}", 5, &root, &err), ERR_CORRUPT);
}

static void parse__end_inside_a_comment_is_corrupt(void **state)
{
    static const char *const texts[] = {"{\"a\": {\"b\": 0 /* x", "{\"a\": {\"b\": 0 /**/*}} x", "{\"a\": [1 // x"};
    struct error err = ERROR_INIT;
    struct json *root = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(json_parse(texts[i], strlen(texts[i]), &root, &err), ERR_CORRUPT);
    assert_null(root);
}

static void parse__nul_is_corrupt_wherever_it_stands(void **state)
{
    static const char text[] = "{\"a\": 0 /* \0// */ }";
    struct error err = ERROR_INIT;
    struct json *root = NULL;

    (void)state;
    assert_int_equal(json_parse(text, sizeof(text) - 1, &root, &err), ERR_CORRUPT);
    assert_int_equal(json_parse("5\0", 2, &root, &err), ERR_CORRUPT);
    assert_null(root);
}

static void parse__depth_is_limited(void **state)
{
    char text[20001];
    struct error err = ERROR_INIT;
    struct json *root = NULL;

    (void)state;
    memset(text, '[', 10000);
    memset(text + 10000, ']', 10000);
    assert_int_equal(json_parse(text, 20000, &root, &err), ERR_CORRUPT);
}

static void parse__bare_values(void **state)
{
    struct json *root = parsed("42");

    (void)state;
    assert_int_equal(json_number(root, 0), 42);
    json_free(root);
    root = parsed(" \"x\" ");
    assert_string_equal(json_text(root), "x");
    json_free(root);
}

static void collect(const char *key, struct json *value, void *arg)
{
    char *all = arg;

    (void)value;
    strcat(all, key);
}

static void each__keeps_file_order(void **state)
{
    struct json *root = parsed("{\"z\":1,\"a\":2,\"m\":3}");
    char all[16] = "";

    (void)state;
    json_each(root, collect, all);
    assert_string_equal(all, "zam");
    json_each(NULL, collect, all);
    json_free(root);
}

static void print__is_one_line(void **state)
{
    struct json *root = json_object();
    struct json *list = json_array();

    (void)state;
    json_put_text(root, "type", "note/1");
    json_put_number(root, "big", INT64_MAX);
    json_put_flag(root, "on", true);
    json_push_text(list, "a\nb");
    json_push(list, json_object());
    json_put(root, "list", list);
    json_put_text(root, "bad", "x\xff\xc3y");
    printed(root, "{\"type\":\"note/1\",\"big\":9223372036854775807,\"on\":true,\"list\":[\"a\\nb\",{}],"
                  "\"bad\":\"x\xef\xbf\xbd\xef\xbf\xbdy\"}");
    json_free(root);
}

static void print__lost_member_is_reported(void **state)
{
    struct json *root = json_object();
    struct json *child = json_object();
    struct buffer b = BUFFER_INIT(1000);
    struct error err = ERROR_INIT;

    (void)state;
    json_put(child, "x", NULL); /* what an allocation that failed looks like */
    json_put(root, "child", child);
    assert_int_equal(json_print(root, &b, &err), ERR_MEMORY);
    json_free(root);
    assert_int_equal(json_print(NULL, &b, &err), ERR_MEMORY);
    json_put_text(NULL, "a", "b");
    assert_int_equal(b.len, 0);
    buffer_release(&b);
}

static void bytes__any_name_comes_back(void **state)
{
    unsigned char all[300];
    struct buffer line = BUFFER_INIT(10000);
    struct buffer back = BUFFER_INIT(10000);
    struct json *root = json_object();
    struct error err = ERROR_INIT;
    struct json *again = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (unsigned char)i;
    memcpy(all + 256, "\\x41 \\\\ \xc3\xa4 \xe2\x82", 13);
    json_put_bytes(root, "name", all, sizeof(all));
    assert_int_equal(json_print(root, &line, &err), OK);
    assert_int_equal(json_parse(line.data, line.len, &again, &err), OK);
    assert_int_equal(json_bytes(json_get(again, "name"), &back, &err), OK);
    assert_int_equal(back.len, sizeof(all));
    assert_memory_equal(back.data, all, sizeof(all));
    json_free(root);
    json_free(again);
    buffer_release(&line);
    buffer_release(&back);
}

static void bytes__malformed_escape_is_corrupt(void **state)
{
    static const char *const bad[] = {"\"a\\\\\"", "\"\\\\x4\"", "\"\\\\xzz\"", "\"\\\\q\"", "5", "\"\\\\x\""};
    struct buffer out = BUFFER_INIT(100);
    struct error err = ERROR_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct json *v = parsed(bad[i]);

        assert_int_equal(json_bytes(v, &out, &err), ERR_CORRUPT);
        assert_int_equal(out.len, 0);
        json_free(v);
    }
    buffer_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse__settings_as_shops_write_them),
        cmocka_unit_test(parse__wrong_types_give_the_fallback),
        cmocka_unit_test(parse__broken_text_is_corrupt),
        cmocka_unit_test(parse__end_inside_a_comment_is_corrupt),
        cmocka_unit_test(parse__nul_is_corrupt_wherever_it_stands),
        cmocka_unit_test(parse__depth_is_limited),
        cmocka_unit_test(parse__bare_values),
        cmocka_unit_test(each__keeps_file_order),
        cmocka_unit_test(print__is_one_line),
        cmocka_unit_test(print__lost_member_is_reported),
        cmocka_unit_test(bytes__any_name_comes_back),
        cmocka_unit_test(bytes__malformed_escape_is_corrupt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
