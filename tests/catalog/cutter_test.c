#include "catalog_fixture.h"

#define LEN (16u << 20)

static struct catalog_format parameters(void)
{
    return (struct catalog_format){.seed = 42, .cut_min = 32 << 10, .cut_avg = 128 << 10, .cut_max = 512 << 10};
}

static unsigned char *content(uint64_t seed)
{
    unsigned char *bytes = malloc(LEN);

    assert_non_null(bytes);
    fill_random(bytes, LEN, seed);
    return bytes;
}

static struct cutter *make_cutter(void)
{
    struct catalog_format format = parameters();
    struct error err = ERROR_INIT;
    struct cutter *cutter = NULL;

    assert_ok(cutter_new(&format, &cutter, &err));
    return cutter;
}

static size_t cut_all(const struct cutter *cutter, const unsigned char *bytes, size_t len, size_t *ends, size_t max)
{
    size_t count = 0, at = 0;

    while (at < len) {
        at += cutter_next(cutter, bytes + at, len - at, true);
        assert_true(count < max);
        ends[count++] = at;
    }
    assert_int_equal(at, len);
    return count;
}

static void cuts__keep_their_bounds_and_gather_around_the_average(void **state)
{
    struct catalog_format format = parameters();
    struct cutter *cutter = make_cutter();
    unsigned char *bytes = content(1);
    size_t ends[LEN / (32 << 10) + 1], count, start = 0;

    (void)state;
    count = cut_all(cutter, bytes, LEN, ends, sizeof(ends) / sizeof(*ends));
    for (size_t i = 0; i < count; i++) {
        assert_true(ends[i] - start <= format.cut_max);
        assert_true(i + 1 == count || ends[i] - start > format.cut_min);
        start = ends[i];
    }
    assert_in_range(count, LEN / format.cut_avg / 2, LEN / format.cut_avg * 2);
    free(bytes);
    cutter_free(cutter);
}

static void cuts__meet_again_behind_an_insertion(void **state)
{
    struct cutter *cutter = make_cutter();
    unsigned char *before = content(2), *after = malloc(LEN + 777);
    size_t a[1024], b[1024], count_a, count_b, common = 0;

    (void)state;
    assert_non_null(after);
    memcpy(after, before, 3 << 20);
    memset(after + (3 << 20), 'x', 777);
    memcpy(after + (3 << 20) + 777, before + (3 << 20), LEN - (3 << 20));
    count_a = cut_all(cutter, before, LEN, a, 1024);
    count_b = cut_all(cutter, after, LEN + 777, b, 1024);
    for (size_t i = 0; i < count_a; i++) {
        for (size_t k = 0; k < count_b; k++)
            common += b[k] == a[i] || b[k] == a[i] + 777;
    }
    assert_true(common + 6 >= count_a);
    free(before);
    free(after);
    cutter_free(cutter);
}

static void next__is_the_same_however_much_follows(void **state)
{
    struct catalog_format format = parameters();
    struct cutter *cutter = make_cutter();
    unsigned char *bytes = content(3);
    size_t at = 0, cut;

    (void)state;
    for (int i = 0; i < 30; i++) {
        cut = cutter_next(cutter, bytes + at, LEN - at, true);
        assert_int_equal(cutter_next(cutter, bytes + at, format.cut_max, false), cut);
        assert_int_equal(cutter_next(cutter, bytes + at, cut, true), cut);
        at += cut;
    }
    free(bytes);
    cutter_free(cutter);
}

static void next__wants_more_or_takes_the_rest(void **state)
{
    struct cutter *cutter = make_cutter();
    unsigned char few[1000] = {0};

    (void)state;
    assert_int_equal(cutter_next(cutter, few, sizeof(few), false), 0);
    assert_int_equal(cutter_next(cutter, few, sizeof(few), true), sizeof(few));
    assert_int_equal(cutter_next(cutter, few, 1, true), 1);
    cutter_free(cutter);
}

static void next__cuts_monotonous_content_at_the_maximum(void **state)
{
    struct catalog_format format = parameters();
    struct cutter *cutter = make_cutter();
    unsigned char *zeros = calloc(1, LEN);

    (void)state;
    assert_non_null(zeros);
    assert_int_equal(cutter_next(cutter, zeros, LEN, false), format.cut_max);
    free(zeros);
    cutter_free(cutter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts__keep_their_bounds_and_gather_around_the_average),
        cmocka_unit_test(cuts__meet_again_behind_an_insertion),
        cmocka_unit_test(next__is_the_same_however_much_follows),
        cmocka_unit_test(next__wants_more_or_takes_the_rest),
        cmocka_unit_test(next__cuts_monotonous_content_at_the_maximum),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
