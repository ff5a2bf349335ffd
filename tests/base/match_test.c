#include "test_support.h"

#include <time.h>

#include "text.h"

struct match_case {
    const char *pattern;
    const char *path;
    int expected;
};

static void match__follows_its_rules(void **state)
{
    static const struct match_case cases[] = {
        /* a pattern without a slash: a name at any depth, and what is below it */
        {"*.log", "a.log", 1},
        {"*.log", "x/y/a.log", 1},
        {"*.log", "a.log.gz", 0},
        {"thumbs", "wwwroot/images/thumbs", 1},
        {"thumbs", "wwwroot/images/thumbs/1.jpg", 1},
        {"thumbs", "wwwroot/images/thumbs2/1.jpg", 0},
        {"thumbs", "mythumbs", 0},
        /* anchored */
        {"/a", "a", 1},
        {"/a", "x/a", 0},
        {"/a", "a/b/c", 1},
        {"a/b", "a/b", 1},
        {"a/b", "x/a/b", 0},
        {"a/b", "a/b/c", 1},
        {"a/b/", "a/b/c", 1},
        {"a/b", "a/bc", 0},
        /* stars stop at slashes */
        {"a/*", "a/b", 1},
        {"a/*/c", "a/b/c", 1},
        {"a/*/c", "a/b/d/c", 0},
        {"a/*b*c", "a/xbyc", 1},
        {"a/*b*c", "a/xbyd", 0},
        {"a?c", "abc", 1},
        {"a?c", "a/c", 0},
        {"a?c",
         "a\xc3\xa4"
         "c",
         1},
        {"?", "", 0},
        /* double stars don't */
        {"a/**/c", "a/c", 1},
        {"a/**/c", "a/b/c", 1},
        {"a/**/c", "a/b/d/c", 1},
        {"a/**/c", "a/b/dc", 0},
        {"**/c", "c", 1},
        {"**/c", "a/b/c", 1},
        {"**/c", "a/b/bc", 0},
        {"a/**", "a/b/c", 1},
        {"a/**", "b/a", 0},
        {"a/**b", "a/x/y/zb", 1},
        {"**/a*b/**/c", "x/a1/a1b/y/z/c", 1},
        {"**/a*b/**/c", "x/a1/a1b/y/z/d", 0},
        {"**.dll", "x/y.dll", 1},
        /* escapes and literals */
        {"a\\*", "a*", 1},
        {"a\\*", "ab", 0},
        {"[ab]", "[ab]", 1},
        {"[ab]", "a", 0},
        {"", "a", 0},
        {"*", "a/b", 1},
        {"A.txt", "a.txt", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (text_match(cases[i].pattern, cases[i].path, 0) != cases[i].expected)
            fail_msg("pattern \"%s\", path \"%s\": expected %d", cases[i].pattern, cases[i].path, cases[i].expected);
    }
}

static void match__case_can_be_ignored(void **state)
{
    (void)state;
    assert_true(text_match("/App_Data/*.JSON", "app_data/Settings.json", 1));
    assert_false(text_match("/App_Data/*.JSON", "app_data/Settings.json", 0));
}

static void match__hostile_pattern_takes_no_time(void **state)
{
    char pattern[2048] = "";
    char path[4096];
    clock_t start = clock();

    (void)state;
    for (int i = 0; i < 200; i++)
        strcat(pattern, i % 2 ? "**a" : "*a/");
    strcat(pattern, "b");
    memset(path, 'a', sizeof(path) - 1);
    for (size_t i = 7; i < sizeof(path); i += 13)
        path[i] = '/';
    path[sizeof(path) - 1] = '\0';
    assert_false(text_match(pattern, path, 0));
    assert_true((clock() - start) / CLOCKS_PER_SEC < 5);
}

static void pattern_of__matches_that_path_alone(void **state)
{
    static const char *const paths[][2] = {{"a*b", "axb"}, {"a?b", "axb"},     {"a\\*b", "a*b"},
                                           {"a\\b", "ab"}, {"**", "anything"}, {"d/e", "x/d/e"}};

    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct error err = ERROR_INIT;
        char below[64];
        char *pattern = NULL;

        assert_int_equal(text_pattern_of(paths[i][0], &pattern, &err), OK);
        (void)snprintf(below, sizeof(below), "%s/below", paths[i][0]);
        assert_true(text_match(pattern, paths[i][0], 0));
        assert_true(text_match(pattern, below, 0));
        assert_false(text_match(pattern, paths[i][1], 0));
        free(pattern);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(match__follows_its_rules),
        cmocka_unit_test(match__case_can_be_ignored),
        cmocka_unit_test(match__hostile_pattern_takes_no_time),
        cmocka_unit_test(pattern_of__matches_that_path_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
