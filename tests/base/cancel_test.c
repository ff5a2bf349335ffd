#include "test_support.h"

#include <signal.h>

#include "thread.h"

static void cancel__first_signal_is_remembered(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(cancel_install(&err), OK);
    assert_int_equal(cancel_check(&err), OK);
    raise(SIGTERM);
    raise(SIGINT);
    assert_int_equal(cancel_signal(), SIGTERM);
    assert_int_equal(cancel_check(&err), ERR_CANCELLED);
    assert_non_null(strstr(err.text, "15"));
    cancel_reset();
    assert_int_equal(cancel_signal(), 0);
    raise(SIGHUP);
    assert_int_equal(cancel_signal(), SIGHUP);
    cancel_reset();
}

static void cancel__broken_pipe_is_an_error_not_an_end(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    assert_int_equal(write(ends[1], "x", 1), -1);
    close(ends[1]);
    assert_int_equal(cancel_signal(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cancel__first_signal_is_remembered),
        cmocka_unit_test(cancel__broken_pipe_is_an_error_not_an_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
