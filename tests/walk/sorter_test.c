/* Sorting: the same answer from memory and from runs in a file. */
#include "sorter.h"

#include "test_support.h"

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sort `count` pseudo-random words with the given memory and compare with qsort(); each word is added twice. */
static void sort_words(size_t count, size_t memory)
{
    struct error err = ERROR_INIT;
    struct sorter *s = NULL;
    char **words = calloc(count, sizeof *words);
    uint64_t state = 42;
    const void *bytes;
    size_t len, n = 0;

    assert_int_equal(sorter_new(&s, &err), OK);
    sorter_begin(s, memory);
    for (size_t i = 0; i < count; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        assert_true(asprintf(&words[i], "%*s%zu", (int)(state >> 60), "", (size_t)(state >> 40) * 7 + i) > 0);
        assert_int_equal(sorter_add(s, words[i], strlen(words[i]), &err), OK);
        if (i % 3 == 0)
            assert_int_equal(sorter_add(s, words[i], strlen(words[i]), &err), OK);
    }
    qsort(words, count, sizeof *words, compare);
    assert_int_equal(sorter_sort(s, &err), OK);
    while (sorter_next(s, &bytes, &len, &err) == OK && bytes) {
        while (n && n < count && !strcmp(words[n], words[n - 1]))
            n++;
        assert_true(n < count);
        assert_int_equal(len, strlen(words[n]));
        assert_string_equal(bytes, words[n]);
        n++;
    }
    assert_int_equal(n, count);
    sorter_free(s);
    for (size_t i = 0; i < count; i++)
        free(words[i]);
    free(words);
}

static void sorter__in_memory_is_ordered_and_unique(void **state)
{
    (void)state;
    sort_words(20000, 64 << 20);
}

static void sorter__in_runs_gives_the_same(void **state)
{
    (void)state;
    sort_words(4000, 4 << 10);
}

static void sorter__strings_longer_than_the_window_survive_the_file(void **state)
{
    struct error err = ERROR_INIT;
    struct sorter *s = NULL;
    const void *bytes;
    size_t len;
    char *big = malloc(SORTER_STRING_MAX);

    (void)state;
    assert_int_equal(sorter_new(&s, &err), OK);
    sorter_begin(s, 1000);
    for (int i = 0; i < 5; i++) {
        memset(big, 'e' - i, SORTER_STRING_MAX);
        assert_int_equal(sorter_add(s, big, SORTER_STRING_MAX, &err), OK);
    }
    assert_int_equal(sorter_add(s, "", 0, &err), OK);
    assert_int_equal(sorter_sort(s, &err), OK);
    assert_int_equal(sorter_next(s, &bytes, &len, &err), OK);
    assert_int_equal(len, 0);
    for (int i = 0; i < 5; i++) {
        memset(big, 'a' + i, SORTER_STRING_MAX);
        assert_int_equal(sorter_next(s, &bytes, &len, &err), OK);
        assert_int_equal(len, SORTER_STRING_MAX);
        assert_memory_equal(bytes, big, len);
    }
    assert_int_equal(sorter_next(s, &bytes, &len, &err), OK);
    assert_null(bytes);
    free(big);
    sorter_free(s);
}

static void sorter__is_used_again(void **state)
{
    struct error err = ERROR_INIT;
    struct sorter *s = NULL;
    const void *bytes;
    size_t len;

    (void)state;
    assert_int_equal(sorter_new(&s, &err), OK);
    for (int round = 0; round < 3; round++) {
        sorter_begin(s, round ? 100 : 1 << 20);
        for (int i = 0; i < 100; i++)
            assert_int_equal(sorter_add(s, (char[]){(char)(99 - i)}, 1, &err), OK);
        assert_int_equal(sorter_sort(s, &err), OK);
        for (int i = 0; i < 100; i++) {
            assert_int_equal(sorter_next(s, &bytes, &len, &err), OK);
            assert_int_equal(*(const char *)bytes, i);
        }
        assert_int_equal(sorter_next(s, &bytes, &len, &err), OK);
        assert_null(bytes);
    }
    sorter_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorter__in_memory_is_ordered_and_unique),
        cmocka_unit_test(sorter__in_runs_gives_the_same),
        cmocka_unit_test(sorter__strings_longer_than_the_window_survive_the_file),
        cmocka_unit_test(sorter__is_used_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
