#include "test_support.h"

#include <time.h>

#include "text.h"

static void size__picks_the_unit(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},           {1023, "1023 B"},        {1024, "1.0 KiB"},       {1536, "1.5 KiB"},
        {1048575, "1.0 MiB"}, {1503238554, "1.4 GiB"}, {1ULL << 40, "1.0 TiB"}, {UINT64_MAX, "16.0 EiB"},
    };
    char out[TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        text_size(cases[i].bytes, out);
        assert_string_equal(out, cases[i].text);
    }
}

static void duration__has_two_units_at_most(void **state)
{
    static const struct {
        uint64_t ms;
        const char *text;
    } cases[] = {
        {0, "0 ms"},           {999, "999 ms"},        {1500, "1.5 s"},
        {59999, "59 s"},       {252000, "4 min 12 s"}, {7500000, "2 h 5 min"},
        {90000000, "1 d 1 h"},
    };
    char out[TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        text_duration(cases[i].ms, out);
        assert_string_equal(out, cases[i].text);
    }
    text_duration(UINT64_MAX, out);
    assert_true(strlen(out) < TEXT_MAX);
}

static void moment__is_local(void **state)
{
    char out[TEXT_MAX];

    (void)state;
    setenv("TZ", "UTC-2", 1);
    tzset();
    text_moment(1795402807999999999, out);
    assert_string_equal(out, "2026-11-23 05:00:07");
    text_moment(-1, out);
    assert_string_equal(out, "1970-01-01 01:59:59");
    text_moment(INT64_MAX, out);
    text_moment(INT64_MIN, out);
    assert_true(strlen(out) < TEXT_MAX);
}

static void name__hostile_bytes_are_shown_not_obeyed(void **state)
{
    char out[128];

    (void)state;
    text_name("plain \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 15, out, sizeof(out));
    assert_string_equal(out, "plain \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
    text_name("a\n\t\r\0\x7f\x1b[2J", 10, out, sizeof(out));
    assert_string_equal(out, "a\\n\\t\\r\\x00\\x7f\\x1b[2J");
    text_name("\xc3\x28\xed\xa0\x80\xc0\xaf\xf4\x90\x80\x80", 11, out, sizeof(out));
    assert_string_equal(out, "\\xc3(\\xed\\xa0\\x80\\xc0\\xaf\\xf4\\x90\\x80\\x80");
    text_name("\xe2\x80\xae"
              "abc",
              6, out, sizeof(out));
    assert_string_equal(out, "\\xe2\\x80\\xae"
                             "abc");
    text_name("cut \xe2\x82", 6, out, sizeof(out));
    assert_string_equal(out, "cut \\xe2\\x82");
}

static void name__is_cut_between_characters(void **state)
{
    char out[10];

    (void)state;
    text_name("123456789", 9, out, sizeof(out));
    assert_string_equal(out, "123456789");
    text_name("1234567890", 10, out, sizeof(out));
    assert_string_equal(out, "123456...");
    text_name("12345\xe2\x82\xac\xe2\x82\xac", 11, out, sizeof(out));
    assert_string_equal(out, "12345...");
    text_name("", 0, out, sizeof(out));
    assert_string_equal(out, "");
}

static void parse_duration__takes_units_and_nothing_else(void **state)
{
    static const char *const bad[] = {
        "",    "5", "m", "5x", "-5m", "5m ", " 5m", "5 m", "1.5h", "99999999999999999999d", "9223372036854775807s",
        "1h30"};

    (void)state;
    assert_int_equal(text_parse_duration("10m"), 600000);
    assert_int_equal(text_parse_duration("7d"), 604800000);
    assert_int_equal(text_parse_duration("1h30m"), 5400000);
    assert_int_equal(text_parse_duration("45s"), 45000);
    assert_int_equal(text_parse_duration("0s"), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(text_parse_duration(bad[i]), -1);
}

static void list__owns_its_strings(void **state)
{
    struct text_list l = TEXT_LIST_INIT;
    struct error err = ERROR_INIT;
    char text[] = "one";

    (void)state;
    assert_int_equal(text_list_add(&l, text, &err), OK);
    text[0] = 'X';
    for (int i = 0; i < 100; i++)
        assert_int_equal(text_list_addf(&l, &err, "line %d", i), OK);
    assert_int_equal(l.count, 101);
    assert_string_equal(l.items[0], "one");
    assert_string_equal(l.items[100], "line 99");
    text_list_release(&l);
    assert_int_equal(l.count, 0);
    text_list_release(&l);
}

static void clock__can_be_told_for_tests(void **state)
{
    FILE *f = fopen("clock", "w");
    int64_t before;

    (void)state;
    assert_non_null(f);
    fputs("1795402807000000000\n", f);
    fclose(f);
    setenv("NOPSNAP_CLOCK", "clock", 1);
    assert_int_equal(clock_now(), 1795402807000000000);
    setenv("NOPSNAP_CLOCK", "absent", 1);
    assert_int_not_equal(clock_now(), 1795402807000000000);
    unsetenv("NOPSNAP_CLOCK");
    before = time(NULL);
    assert_true(clock_now() / 1000000000 - before <= 2 && clock_now() / 1000000000 >= before);
    assert_true(clock_monotonic_ms() >= 0);
}

static void remember(void *arg, const char *line)
{
    snprintf(arg, 64, "%s", line);
}

static void progress__absent_listeners_are_fine(void **state)
{
    char line[64] = "";
    struct progress p = {NULL, NULL, remember, NULL, line};

    (void)state;
    progress_step(NULL, "x");
    progress_step(&p, "x");
    progress_warn(&p, "x");
    progress_advance(&p, 1, 2, "files");
    progress_advance(NULL, 1, 2, "files");
    assert_string_equal(line, "");
    progress_note(&p, "%d files", 7);
    assert_string_equal(line, "7 files");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(size__picks_the_unit),
        cmocka_unit_test(duration__has_two_units_at_most),
        cmocka_unit_test(moment__is_local),
        cmocka_unit_test(name__hostile_bytes_are_shown_not_obeyed),
        cmocka_unit_test(name__is_cut_between_characters),
        cmocka_unit_test(parse_duration__takes_units_and_nothing_else),
        cmocka_unit_test(list__owns_its_strings),
        folder_test(clock__can_be_told_for_tests),
        cmocka_unit_test(progress__absent_listeners_are_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
