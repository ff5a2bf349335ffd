#include "test_support.h"

#include <signal.h>

#include "thread.h"

#define ITEMS 20000

static int numbers[ITEMS];

static void *produce(void *arg)
{
    struct queue *q = arg;

    for (int i = 0; i < ITEMS; i++) {
        numbers[i] = i;
        if (!queue_push(q, &numbers[i]))
            return q;
    }
    return NULL;
}

static void queue__gives_everything_in_order(void **state)
{
    struct error err = ERROR_INIT;
    struct queue *q = NULL;
    pthread_t thread;
    void *item = NULL;
    void *result = NULL;

    (void)state;
    assert_int_equal(queue_new(3, &q, &err), OK);
    assert_int_equal(thread_start(&thread, produce, q, &err), OK);
    for (int i = 0; i < ITEMS; i++) {
        assert_true(queue_pop(q, &item));
        assert_int_equal(*(int *)item, i);
    }
    pthread_join(thread, &result);
    assert_null(result);
    queue_close(q);
    assert_false(queue_pop(q, &item));
    queue_free(q);
}

static void queue__closed_takes_nothing_and_drains(void **state)
{
    struct error err = ERROR_INIT;
    struct queue *q = NULL;
    void *item = NULL;
    int one = 1;

    (void)state;
    assert_int_equal(queue_new(2, &q, &err), OK);
    assert_true(queue_push(q, &one));
    queue_close(q);
    assert_false(queue_push(q, &one));
    assert_true(queue_pop(q, &item));
    assert_ptr_equal(item, &one);
    assert_false(queue_pop(q, &item));
    queue_free(q);
    queue_free(NULL);
}

static void queue__closing_frees_a_waiting_producer(void **state)
{
    struct error err = ERROR_INIT;
    struct queue *q = NULL;
    pthread_t thread;
    void *result = NULL;

    (void)state;
    assert_int_equal(queue_new(1, &q, &err), OK);
    assert_int_equal(thread_start(&thread, produce, q, &err), OK);
    usleep(20000);
    queue_close(q);
    pthread_join(thread, &result);
    assert_ptr_equal(result, q); /* refused */
    queue_free(q);
}

static void *blocked_signals(void *arg)
{
    sigset_t *set = arg;

    pthread_sigmask(SIG_SETMASK, NULL, set);
    return NULL;
}

static void thread__leaves_signals_to_the_main_thread(void **state)
{
    struct error err = ERROR_INIT;
    sigset_t inside;
    sigset_t here;
    pthread_t thread;

    (void)state;
    assert_int_equal(thread_start(&thread, blocked_signals, &inside, &err), OK);
    pthread_join(thread, NULL);
    pthread_sigmask(SIG_SETMASK, NULL, &here);
    assert_true(sigismember(&inside, SIGTERM));
    assert_false(sigismember(&inside, SIGSEGV));
    assert_false(sigismember(&here, SIGTERM));
    assert_true(thread_processors() >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queue__gives_everything_in_order),
        cmocka_unit_test(queue__closed_takes_nothing_and_drains),
        cmocka_unit_test(queue__closing_frees_a_waiting_producer),
        cmocka_unit_test(thread__leaves_signals_to_the_main_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
