#include "test_support.h"

#include <errno.h>

#include "error.h"

static void set__tells_what_and_the_systems_reason(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(error_set(&err, ERR_IO, EACCES, "cannot open %s", "x"), ERR_IO);
    assert_int_equal(err.sys, EACCES);
    assert_string_equal(err.text, "cannot open x: Permission denied");
    assert_string_equal(err.hint, "");
}

static void set__full_device_is_its_own_kind(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(error_set(&err, ERR_IO, ENOSPC, "w"), ERR_SPACE);
    assert_int_equal(err.kind, ERR_SPACE);
    assert_int_equal(error_set(&err, ERR_IO, EDQUOT, "w"), ERR_SPACE);
    assert_int_equal(error_set(&err, ERR_REMOTE, ENOSPC, "w"), ERR_REMOTE);
}

static void set__control_characters_stay_on_one_line(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    error_set(&err, ERR_IO, 0, "bad name %s", "a\nb\033[31m\xff\xc2\x9b");
    assert_string_equal(err.text, "bad name a\\nb\\x1b[31m\\xff\\xc2\\x9b");
}

static void set__own_text_may_be_an_argument(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    error_set(&err, ERR_IO, 0, "inner");
    error_set(&err, ERR_CORRUPT, 0, "outer (%s)", err.text);
    assert_string_equal(err.text, "outer (inner)");
}

static void set__endless_text_keeps_the_reason(void **state)
{
    struct error err = ERROR_INIT;
    char *name = malloc(10001);

    (void)state;
    memset(name, 'n', 10000);
    name[10000] = '\0';
    error_set(&err, ERR_IO, EIO, "cannot read %s", name);
    assert_true(strlen(err.text) < sizeof(err.text));
    assert_string_equal(err.text + strlen(err.text) - strlen(": Input/output error"), ": Input/output error");
    error_context(&err, "ctx %s", name);
    assert_true(strlen(err.text) < sizeof(err.text));
    assert_memory_equal(err.text, "ctx nnn", 7);
    free(name);
}

static void context__goes_before(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    error_set(&err, ERR_IO, 0, "inner");
    error_context(&err, "storing %d", 7);
    assert_string_equal(err.text, "storing 7: inner");
    assert_int_equal(err.kind, ERR_IO);
}

static void hint__lower_layer_wins(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    error_set(&err, ERR_IO, 0, "x");
    error_hint(&err, "first");
    error_hint(&err, "second");
    assert_string_equal(err.hint, "first");
    error_set(&err, ERR_IO, 0, "another failure");
    assert_string_equal(err.hint, "");
}

static void copy__first_failure_stays(void **state)
{
    struct error a = ERROR_INIT;
    struct error b = ERROR_INIT;
    struct error none = ERROR_INIT;

    (void)state;
    error_set(&b, ERR_CORRUPT, 0, "b");
    error_copy(&a, &none);
    assert_int_equal(a.kind, OK);
    error_copy(&a, &b);
    assert_string_equal(a.text, "b");
    error_set(&b, ERR_IO, 0, "later");
    error_copy(&a, &b);
    assert_string_equal(a.text, "b");
    error_clear(&a);
    assert_int_equal(a.kind, OK);
    assert_string_equal(a.text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set__tells_what_and_the_systems_reason),
        cmocka_unit_test(set__full_device_is_its_own_kind),
        cmocka_unit_test(set__control_characters_stay_on_one_line),
        cmocka_unit_test(set__own_text_may_be_an_argument),
        cmocka_unit_test(set__endless_text_keeps_the_reason),
        cmocka_unit_test(context__goes_before),
        cmocka_unit_test(hint__lower_layer_wins),
        cmocka_unit_test(copy__first_failure_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
