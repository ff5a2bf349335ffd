#include "test_support.h"

#include "buffer.h"

static void append__grows_and_ends_with_nul(void **state)
{
    struct buffer b = BUFFER_INIT(100000);
    struct error err = ERROR_INIT;

    (void)state;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buffer_append_format(&b, &err, "%04d", i), OK);
    assert_int_equal(b.len, 4000);
    assert_int_equal(b.data[b.len], 0);
    assert_memory_equal(b.data + 3996, "0999", 4);
    buffer_clear(&b);
    assert_int_equal(b.len, 0);
    assert_string_equal((char *)b.data, "");
    buffer_release(&b);
    assert_null(b.data);
}

static void append__ceiling_is_kept_to_the_byte(void **state)
{
    struct buffer b = BUFFER_INIT(10);
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(buffer_append(&b, "0123456789", 10, &err), OK);
    assert_int_equal(buffer_append(&b, "x", 1, &err), ERR_MEMORY);
    assert_int_equal(buffer_append_format(&b, &err, "%s", "x"), ERR_MEMORY);
    assert_int_equal(buffer_reserve(&b, SIZE_MAX, &err), ERR_MEMORY);
    assert_int_equal(b.len, 10);
    assert_string_equal((char *)b.data, "0123456789");
    buffer_release(&b);
    assert_int_equal(b.max, 10);
}

static void append__nothing_still_gives_a_string(void **state)
{
    struct buffer b = BUFFER_INIT(10);
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(buffer_append(&b, NULL, 0, &err), OK);
    assert_string_equal((char *)b.data, "");
    buffer_release_secret(&b);
}

static void reserve__without_limit_refuses_overflow(void **state)
{
    struct buffer b = BUFFER_INIT(SIZE_MAX);
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(buffer_append(&b, "x", 1, &err), OK);
    assert_int_equal(buffer_reserve(&b, SIZE_MAX, &err), ERR_MEMORY);
    assert_int_equal(buffer_reserve(&b, SIZE_MAX - 1, &err), ERR_MEMORY);
    assert_int_equal(b.len, 1);
    buffer_release(&b);
}

static void detach__empties(void **state)
{
    struct buffer b = BUFFER_INIT(10);
    struct error err = ERROR_INIT;
    char *text;

    (void)state;
    assert_int_equal(buffer_append_text(&b, "abc", &err), OK);
    text = buffer_detach(&b);
    assert_string_equal(text, "abc");
    assert_null(b.data);
    assert_int_equal(b.len, 0);
    free(text);
    text = buffer_detach(&b);
    assert_string_equal(text, "");
    free(text);
}

static void integers__are_little_endian_and_come_back(void **state)
{
    static const unsigned char expected[] = {0xab, 0x02, 0x01, 0x06, 0x05, 0x04, 0x83, 8, 7, 6, 5, 4, 3, 2, 0xf1};
    struct buffer b = BUFFER_INIT(100);
    struct error err = ERROR_INIT;
    struct cursor c;

    (void)state;
    assert_int_equal(buffer_append_u8(&b, 0xab, &err), OK);
    assert_int_equal(buffer_append_u16(&b, 0x0102, &err), OK);
    assert_int_equal(buffer_append_u32(&b, 0x83040506, &err), OK);
    assert_int_equal(buffer_append_u64(&b, 0xf102030405060708, &err), OK);
    assert_int_equal(b.len, sizeof(expected));
    assert_memory_equal(b.data, expected, sizeof(expected));
    c = cursor_over(b.data, b.len);
    assert_int_equal(cursor_u8(&c), 0xab);
    assert_int_equal(cursor_u16(&c), 0x0102);
    assert_int_equal(cursor_u32(&c), 0x83040506);
    assert_true(cursor_u64(&c) == 0xf102030405060708);
    assert_int_equal(cursor_left(&c), 0);
    assert_false(c.bad);
    buffer_release(&b);
}

static void cursor__reading_past_the_end_sticks(void **state)
{
    static const unsigned char bytes[] = {1, 2, 3};
    struct cursor c = cursor_over(bytes, sizeof(bytes));

    (void)state;
    assert_int_equal(cursor_u16(&c), 0x0201);
    assert_int_equal(cursor_u32(&c), 0);
    assert_true(c.bad);
    assert_int_equal(cursor_u8(&c), 0); /* one byte is left, but what came before failed */
    assert_null(cursor_bytes(&c, 0));
    c = cursor_over(bytes, sizeof(bytes));
    assert_null(cursor_bytes(&c, SIZE_MAX));
    assert_true(c.bad);
    c = cursor_over(NULL, 0);
    assert_non_null(cursor_bytes(&c, 0));
    assert_false(c.bad);
    assert_int_equal(cursor_u8(&c), 0);
    assert_true(c.bad);
}

static void memory__overflow_is_an_error(void **state)
{
    struct error err = ERROR_INIT;
    void *p = NULL;
    char *text = NULL;

    (void)state;
    assert_int_equal(memory_zeroed(SIZE_MAX / 2, 16, &p, &err), ERR_MEMORY);
    assert_null(p);
    assert_int_equal(memory_zeroed(0, 0, &p, &err), OK);
    assert_non_null(p);
    free(p);
    assert_int_equal(memory_format(&text, &err, "%d-%s", 5, "x"), OK);
    assert_string_equal(text, "5-x");
    memory_free_secret(text);
    memory_free_secret(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(append__grows_and_ends_with_nul),
        cmocka_unit_test(append__ceiling_is_kept_to_the_byte),
        cmocka_unit_test(append__nothing_still_gives_a_string),
        cmocka_unit_test(reserve__without_limit_refuses_overflow),
        cmocka_unit_test(detach__empties),
        cmocka_unit_test(integers__are_little_endian_and_come_back),
        cmocka_unit_test(cursor__reading_past_the_end_sticks),
        cmocka_unit_test(memory__overflow_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
