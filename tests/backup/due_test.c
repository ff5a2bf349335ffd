#include "due.h"

#include "test_support.h"

#define NS INT64_C(1000000000)
#define DAY INT64_C(86400)

static void due__keeps_the_rhythm_of_its_timer(void **state)
{
    int64_t last = 1000 * DAY * NS;

    (void)state;
    assert_false(due(last, last + DAY * NS, 7 * DAY));
    assert_false(due(last, last + 6 * DAY * NS, 7 * DAY));
    assert_true(due(last, last + 7 * DAY * NS - 1800 * NS, 7 * DAY)); /* this week half an hour earlier */
    assert_true(due(last, last + 30 * DAY * NS, 7 * DAY));
    assert_true(due(last, last + 23 * 3600 * NS, DAY)); /* the day that has 23 hours */
}

static void due__what_was_never_done_or_done_in_the_future(void **state)
{
    int64_t now = 1000 * DAY * NS;

    (void)state;
    assert_true(due(DUE_NEVER_DONE, now, DAY));
    assert_true(due(now + 400 * DAY * NS, now, DAY));
    assert_false(due(now, now, DAY));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(due__keeps_the_rhythm_of_its_timer),
        cmocka_unit_test(due__what_was_never_done_or_done_in_the_future),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
