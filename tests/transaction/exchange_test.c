/* Exchanging by identity: T2 and T4. */
#include "test_support.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "transaction_internal.h"

static void make(const char *tree, const char *word)
{
    char path[256];
    struct error err = ERROR_INIT;

    assert_int_equal(mkdir(tree, 0755), 0);
    snprintf(path, sizeof(path), "%s/word", tree);
    assert_int_equal(file_replace(path, word, strlen(word), 0644, &err), OK);
}

static const char *word_of(const char *tree)
{
    static char word[16];
    char path[256];
    int fd;
    ssize_t n;

    snprintf(path, sizeof(path), "%s/word", tree);
    fd = open(path, O_RDONLY);
    if (fd < 0)
        return "";
    n = read(fd, word, sizeof(word) - 1);
    close(fd);
    word[n > 0 ? n : 0] = '\0';
    return word;
}

static void units_here(struct units *u, const char *folder)
{
    struct error err = ERROR_INIT;
    char live[256];
    char slot[256];

    *u = (struct units)UNITS_INIT;
    snprintf(live, sizeof(live), "%s/live", folder);
    snprintf(slot, sizeof(slot), "%s/slot", folder);
    assert_int_equal(units_add(u, live, slot, &err), OK);
    assert_int_equal(units_identify(u, &err), OK);
}

static void ensure(const struct units *u, bool new_side)
{
    struct error err = ERROR_INIT;
    bool are = false;

    for (int i = 0; i < 3; i++) { /* T4: as often as one likes */
        assert_int_equal(units_ensure(u, new_side, &err), OK);
        assert_int_equal(units_are(u, new_side, &are, &err), OK);
        assert_true(are);
    }
}

static void units__go_to_and_fro_however_often_it_is_asked(void **state)
{
    struct units u;

    make("live", "old");
    make("slot", "new");
    units_here(&u, *state);
    ensure(&u, false);
    assert_string_equal(word_of("live"), "old");
    ensure(&u, true);
    assert_string_equal(word_of("live"), "new");
    assert_string_equal(word_of("slot"), "old");
    ensure(&u, false);
    assert_string_equal(word_of("live"), "old");
    assert_string_equal(word_of("slot"), "new");
    units_release(&u);
}

static void units__one_that_was_not_there_comes_and_goes(void **state)
{
    struct units u;

    make("slot", "new");
    units_here(&u, *state);
    ensure(&u, true);
    assert_string_equal(word_of("live"), "new");
    assert_int_not_equal(access("slot", F_OK), 0);
    ensure(&u, false);
    assert_int_not_equal(access("live", F_OK), 0);
    assert_string_equal(word_of("slot"), "new");
    units_release(&u);
}

static void units__one_that_is_to_go_waits_in_its_slot(void **state)
{
    struct units u;

    make("live", "old");
    units_here(&u, *state);
    ensure(&u, true);
    assert_int_not_equal(access("live", F_OK), 0);
    assert_string_equal(word_of("slot"), "old");
    ensure(&u, false);
    assert_string_equal(word_of("live"), "old");
    units_release(&u);
}

static void units__neither_side_is_refused_at_the_start(void **state)
{
    struct units u = UNITS_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(units_add(&u, "/nowhere/a", "/nowhere/b", &err), OK);
    assert_int_not_equal(units_identify(&u, &err), OK);
    units_release(&u);
}

static void units__a_stranger_in_the_live_place_needs_hands(void **state)
{
    struct units u;
    struct error err = ERROR_INIT;

    make("live", "old");
    make("slot", "new");
    units_here(&u, *state);
    assert_int_equal(rename("live", "elsewhere"), 0);
    make("live", "foreign");
    assert_int_equal(units_ensure(&u, true, &err), ERR_PENDING);
    assert_string_equal(word_of("live"), "foreign");
    assert_string_equal(word_of("slot"), "new");
    error_clear(&err);
    assert_int_equal(units_ensure(&u, false, &err), ERR_PENDING);
    assert_string_equal(word_of("live"), "foreign");
    units_release(&u);
}

static void units__a_wanted_tree_that_is_gone_needs_hands(void **state)
{
    struct units u;
    struct error err = ERROR_INIT;

    make("live", "old");
    make("slot", "new");
    units_here(&u, *state);
    assert_int_equal(rename("slot", "elsewhere"), 0);
    assert_int_equal(units_ensure(&u, true, &err), ERR_PENDING);
    assert_string_equal(word_of("live"), "old");
    assert_int_equal(rename("live", "lost"), 0);
    error_clear(&err);
    assert_int_equal(units_ensure(&u, false, &err), ERR_PENDING);
    units_release(&u);
}

static void units__a_copy_under_the_live_name_is_a_stranger(void **state)
{
    struct units u;
    struct error err = ERROR_INIT;

    make("live", "old");
    make("slot", "new");
    units_here(&u, *state);
    assert_int_equal(system("cp -a live copy && rm -r live && mv copy live"), 0);
    assert_int_equal(units_ensure(&u, true, &err), ERR_PENDING);
    units_release(&u);
}

static void units__half_exchanged_go_either_way(void **state)
{
    for (int new_side = 0; new_side < 2; new_side++) {
        struct units u = UNITS_INIT;
        struct error err = ERROR_INIT;
        char live[256];
        char slot[256];

        assert_int_equal(system("rm -rf l s; mkdir l s"), 0);
        for (int i = 0; i < 4; i++) {
            snprintf(live, sizeof(live), "%s/l/%d", (char *)*state, i);
            snprintf(slot, sizeof(slot), "%s/s/%d", (char *)*state, i);
            if (i != 1)
                make(live, "old");
            if (i != 2)
                make(slot, "new");
            assert_int_equal(units_add(&u, live, slot, &err), OK);
        }
        assert_int_equal(units_identify(&u, &err), OK);
        assert_int_equal(rename("l/2", "s/2"), 0); /* a crash came between two */
        ensure(&u, new_side);
        assert_string_equal(word_of("l/0"), new_side ? "new" : "old");
        assert_string_equal(word_of("l/1"), new_side ? "new" : "");
        assert_string_equal(word_of("l/2"), new_side ? "" : "old");
        assert_string_equal(word_of("l/3"), new_side ? "new" : "old");
        units_release(&u);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(units__go_to_and_fro_however_often_it_is_asked),
        folder_test(units__one_that_was_not_there_comes_and_goes),
        folder_test(units__one_that_is_to_go_waits_in_its_slot),
        folder_test(units__neither_side_is_refused_at_the_start),
        folder_test(units__a_stranger_in_the_live_place_needs_hands),
        folder_test(units__a_wanted_tree_that_is_gone_needs_hands),
        folder_test(units__a_copy_under_the_live_name_is_a_stranger),
        folder_test(units__half_exchanged_go_either_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
