#include "site_test_support.h"

#include "buffer.h"

#define FILE_LEN 200000u

static unsigned char bytes[FILE_LEN];

static size_t utf16(unsigned char *at, const char *text)
{
    for (size_t i = 0; text[i]; i++) {
        at[2 * i] = (unsigned char)text[i];
        at[2 * i + 1] = 0;
    }
    return 2 * strlen(text);
}

/* As a metadata heap holds it: the length before, and in #US one byte behind. */
static void put_literal(size_t offset, const char *text, int user_string)
{
    bytes[offset - 1] = (unsigned char)(2 * strlen(text) + (user_string ? 1 : 0));
    utf16(bytes + offset, text);
    if (user_string)
        bytes[offset + 2 * strlen(text)] = 0;
}

static void put_resource(size_t offset, unsigned a, unsigned b)
{
    size_t len = utf16(bytes + offset, "VS_VERSION_INFO");

    memset(bytes + offset + len, 0, 4);
    put_u32(bytes + offset + len + 4, 0xfeef04bd);
    put_u32(bytes + offset + len + 8, 0x10000);
    put_u32(bytes + offset + len + 12, a << 16 | b);
    put_u32(bytes + offset + len + 16, 0);
}

static void clear(void)
{
    for (size_t i = 0; i < FILE_LEN; i++)
        bytes[i] = (unsigned char)(i * 7 + 200);
}

static struct site_binary scanned(size_t len)
{
    struct site_binary out;
    struct error err = ERROR_INIT;

    put_bytes("Nop.Core.dll", bytes, len);
    assert_int_equal(site_binary_scan("Nop.Core.dll", &out, &err), OK);
    return out;
}

static void scan__finds_a_literal_at_every_place_near_a_window_edge(void **state)
{
    (void)state;
    for (size_t offset = 65536 - 180; offset < 65536 + 20; offset++) {
        struct site_binary out;

        clear();
        put_literal(offset, "4.60.5", 1);
        out = scanned(70000);
        assert_int_equal(out.literal_count, 1);
        assert_string_equal(out.literals[0], "4.60.5");
    }
}

static void scan__finds_a_resource_at_every_place_near_a_window_edge(void **state)
{
    (void)state;
    for (size_t offset = 65536 - 180; offset < 65536 + 20; offset++) {
        struct site_binary out;

        clear();
        put_resource(offset, 4, 5);
        out = scanned(70000);
        assert_true(out.has_resource);
        assert_int_equal(out.resource[0], 4);
        assert_int_equal(out.resource[1], 5);
    }
}

static void scan__heap_literals_count_and_look_alikes_do_not(void **state)
{
    struct site_binary out;

    (void)state;
    clear();
    put_literal(1000, "4.90", 0);
    put_literal(5000, "4.90.4", 0);
    bytes[150000 - 1] = 0;
    utf16(bytes + 150000, "4.90.0"); /* as in the version resource */
    out = scanned(FILE_LEN);
    assert_int_equal(out.literal_count, 2);
    assert_string_equal(out.literals[0], "4.90");
    assert_string_equal(out.literals[1], "4.90.4");
    assert_string_equal(out.loose, "4.90.0");
}

static void scan__other_numbers_are_no_versions(void **state)
{
    static const char *const not_versions[] = {"1.00", "4.95", "2.90", "4.6", "4,60", "10.0"};
    struct site_binary out;

    (void)state;
    clear();
    for (size_t i = 0; i < sizeof(not_versions) / sizeof(not_versions[0]); i++)
        put_literal(1000 + 100 * i, not_versions[i], 1);
    out = scanned(FILE_LEN);
    assert_int_equal(out.literal_count, 0);
    assert_string_equal(out.loose, "");
    assert_false(out.has_resource);
}

static void scan__cut_and_hostile_files_do_no_harm(void **state)
{
    struct site_binary out;
    struct error err = ERROR_INIT;

    (void)state;
    clear();
    put_resource(100, 4, 70);
    put_literal(300, "4.70.5", 0);
    for (size_t len = 0; len < 330; len++) {
        out = scanned(len);
        assert_int_equal(out.literal_count, len >= 312 ? 1 : len >= 308 ? 0 : 0);
    }
    for (size_t i = 0; i < FILE_LEN - 16; i += 16) /* more literals than are kept */
        put_literal(i + 2, i % 32 ? "4.60" : i % 64 ? "4.70" : "5.10", 0);
    out = scanned(FILE_LEN);
    assert_true(out.literal_count <= 8);
    assert_int_equal(mkfifo("pipe", 0600), 0);
    assert_int_not_equal(site_binary_scan("absent", &out, &err), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        site_test(scan__finds_a_literal_at_every_place_near_a_window_edge),
        site_test(scan__finds_a_resource_at_every_place_near_a_window_edge),
        site_test(scan__heap_literals_count_and_look_alikes_do_not),
        site_test(scan__other_numbers_are_no_versions),
        site_test(scan__cut_and_hostile_files_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
