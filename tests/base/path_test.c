#include "test_support.h"

#include "file.h"

static void joined(const char *a, const char *b, const char *expected)
{
    struct error err = ERROR_INIT;
    char *out = NULL;

    assert_int_equal(path_join(a, b, &out, &err), OK);
    assert_string_equal(out, expected);
    free(out);
}

static void parent_is(const char *path, const char *expected)
{
    struct error err = ERROR_INIT;
    char *out = NULL;

    assert_int_equal(path_parent(path, &out, &err), OK);
    assert_string_equal(out, expected);
    free(out);
}

static void join__has_one_slash(void **state)
{
    (void)state;
    joined("a", "b", "a/b");
    joined("a/", "b", "a/b");
    joined("/", "b", "/b");
    joined("a", "/b", "a/b");
    joined("", "b", "b");
}

static void parent__of_every_shape(void **state)
{
    (void)state;
    parent_is("a/b", "a");
    parent_is("a//b/", "a");
    parent_is("a", ".");
    parent_is("/a", "/");
    parent_is("/", "/");
    parent_is("", ".");
    assert_string_equal(path_base("/x/y.z"), "y.z");
    assert_string_equal(path_base("y"), "y");
}

static void safe__refuses_every_way_out(void **state)
{
    static const char *const bad[] = {"", "/", "/a", "..", "../a", "a/..", "a/../b", ".", "./a", "a/.", "a//b", "a/"};
    static const char *const good[] = {"a", "a/b", "...", "..a", "a..", ".a", "a/...", "a\nb", "\xff"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (path_is_safe_relative(bad[i]))
            fail_msg("\"%s\" was accepted", bad[i]);
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (!path_is_safe_relative(good[i]))
            fail_msg("\"%s\" was refused", good[i]);
    }
    assert_true(path_is_safe_absolute("/a/b"));
    assert_false(path_is_safe_absolute("a/b"));
    assert_false(path_is_safe_absolute("/"));
    assert_false(path_is_safe_absolute("/a/../b"));
    assert_false(path_is_safe_absolute("//a"));
    assert_true(name_is_safe((const unsigned char *)"a", 1));
    assert_false(name_is_safe((const unsigned char *)"a\0b", 3));
    assert_false(name_is_safe((const unsigned char *)"a/b", 3));
    assert_false(name_is_safe((const unsigned char *)"..", 2));
    assert_true(name_is_safe((const unsigned char *)"..x", 3));
    assert_false(name_is_safe((const unsigned char *)"", 0));
}

static void real__resolves_links(void **state)
{
    struct error err = ERROR_INIT;
    char *a = NULL;
    char *b = NULL;

    (void)state;
    assert_int_equal(directory_make_all("d", &err), OK);
    assert_int_equal(symlink("d", "l"), 0);
    assert_int_equal(path_real("d", &a, &err), OK);
    assert_int_equal(path_real("l/.", &b, &err), OK);
    assert_string_equal(a, b);
    free(a);
    free(b);
    b = NULL;
    assert_int_equal(path_real("absent", &b, &err), ERR_NOT_FOUND);
    assert_null(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(join__has_one_slash),
        cmocka_unit_test(parent__of_every_shape),
        cmocka_unit_test(safe__refuses_every_way_out),
        folder_test(real__resolves_links),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
