#include "test_support.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

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

static void *ask(void *asked)
{
    *(bool *)asked = cancel_is_asked();
    return NULL;
}

static void cancel__what_must_finish_hears_of_a_signal_only_after(void **state)
{
    struct error err = ERROR_INIT;
    bool elsewhere = true;
    pthread_t thread;

    (void)state;
    assert_int_equal(cancel_install(&err), OK);
    assert_false(cancel_is_asked());
    raise(SIGTERM); /* it came before, and waits as well */
    assert_true(cancel_is_asked());
    cancel_defer(true);
    assert_int_equal(cancel_check(&err), OK);
    raise(SIGINT);
    assert_int_equal(cancel_check(&err), OK);
    assert_int_equal(pthread_create(&thread, NULL, ask, &elsewhere), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(elsewhere);
    assert_int_equal(cancel_signal(), SIGTERM); /* which one it was is still known */
    cancel_defer(false);
    assert_true(cancel_is_asked());
    assert_int_equal(cancel_check(&err), ERR_CANCELLED);
    cancel_reset();
    assert_false(cancel_is_asked());
}

struct late {
    pthread_t whom;
    int fd; /* written to instead of a signal, if not -1 */
};

static void *later(void *arg)
{
    const struct late *late = arg;
    struct timespec pause = {0, 50 * 1000 * 1000};

    nanosleep(&pause, NULL);
    if (late->fd >= 0)
        assert_int_equal(write(late->fd, "y", 1), 1);
    else
        raise(SIGINT); /* this thread gets it, not the one that waits */
    return NULL;
}

static void cancel__wait_for_input_sees_a_signal_of_any_thread(void **state)
{
    struct error err = ERROR_INIT;
    struct late late = {.fd = -1};
    pthread_t thread;
    int ends[2];

    (void)state;
    assert_int_equal(cancel_install(&err), OK);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(pthread_create(&thread, NULL, later, &late), 0);
    assert_int_equal(cancel_wait_input(ends[0], &err), ERR_CANCELLED);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(cancel_wait_input(ends[0], &err), ERR_CANCELLED); /* it came before the wait */
    cancel_reset();

    late.fd = ends[1];
    assert_int_equal(pthread_create(&thread, NULL, later, &late), 0);
    assert_int_equal(cancel_wait_input(ends[0], &err), OK); /* and the bell was silenced */
    assert_int_equal(pthread_join(thread, NULL), 0);
    close(ends[1]);
    assert_int_equal(cancel_wait_input(ends[0], &err), OK); /* an end is for read(2) to see */
    close(ends[0]);
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
        cmocka_unit_test(cancel__what_must_finish_hears_of_a_signal_only_after),
        cmocka_unit_test(cancel__wait_for_input_sees_a_signal_of_any_thread),
        cmocka_unit_test(cancel__broken_pipe_is_an_error_not_an_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
