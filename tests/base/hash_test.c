#include "test_support.h"

#include "hash.h"

static void hash__is_the_published_function(void **state)
{
    struct hash h;
    char hex[2 * HASH_LEN + 1];

    (void)state;
    hash_of(0, "", 0, &h); /* from xxHash's own sanity checks */
    hex_encode(h.bytes, HASH_LEN, hex);
    assert_string_equal(hex, "99aa06d3014798d86001c324468d497f");
    assert_true(hash64_of(0, "", 0) == 0x2d06800538d394c2);
}

static void hash__seed_changes_everything(void **state)
{
    struct hash a;
    struct hash b;

    (void)state;
    hash_of(1, "abc", 3, &a);
    hash_of(2, "abc", 3, &b);
    assert_memory_not_equal(a.bytes, b.bytes, HASH_LEN);
    assert_true(hash64_of(1, "abc", 3) != hash64_of(2, "abc", 3));
}

static void stream__equals_one_call_for_every_split(void **state)
{
    unsigned char bytes[3000];
    struct error err = ERROR_INIT;
    struct hash_stream *s = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * 31 >> 3);
    assert_int_equal(hash_stream_new(99, &s, &err), OK);
    for (size_t split = 0; split <= sizeof(bytes); split += 37) {
        struct hash whole;
        struct hash parts;

        hash_of(7, bytes, sizeof(bytes), &whole);
        hash_stream_reset(s, 7);
        hash_stream_update(s, bytes, split);
        hash_stream_update(s, NULL, 0);
        hash_stream_update(s, bytes + split, sizeof(bytes) - split);
        hash_stream_end(s, &parts);
        assert_memory_equal(whole.bytes, parts.bytes, HASH_LEN);
    }
    hash_stream_free(s);
    hash_stream_free(NULL);
}

static void hex__round_trip_and_refusals(void **state)
{
    static const unsigned char bytes[] = {0x00, 0x9f, 0xff};
    unsigned char back[3];
    char hex[7];

    (void)state;
    hex_encode(bytes, 3, hex);
    assert_string_equal(hex, "009fff");
    assert_int_equal(hex_decode("009FfF", 3, back), 0);
    assert_memory_equal(back, bytes, 3);
    assert_int_equal(hex_decode("009ff", 3, back), -1);
    assert_int_equal(hex_decode("009fff0", 3, back), -1);
    assert_int_equal(hex_decode("009fg0", 3, back), -1);
    assert_int_equal(hex_decode("", 0, back), 0);
}

static void random__differs(void **state)
{
    unsigned char a[32] = {0};
    unsigned char b[32] = {0};
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(random_bytes(a, sizeof(a), &err), OK);
    assert_int_equal(random_bytes(b, sizeof(b), &err), OK);
    assert_memory_not_equal(a, b, sizeof(a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash__is_the_published_function),
        cmocka_unit_test(hash__seed_changes_everything),
        cmocka_unit_test(stream__equals_one_call_for_every_split),
        cmocka_unit_test(hex__round_trip_and_refusals),
        cmocka_unit_test(random__differs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
