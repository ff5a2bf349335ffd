/* The record of linked files: what was rewritten in place is noticed (T7). */
#include "test_support.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "transaction_internal.h"

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static struct stat look(const char *path)
{
    struct stat st;

    assert_int_equal(lstat(path, &st), 0);
    return st;
}

/* Times move in steps of the kernel's clock. */
static void a_tick(void)
{
    usleep(20000);
}

static struct linked *record_of(const char *const *files, size_t count)
{
    struct linked_writer *w = NULL;
    struct linked *l = NULL;
    struct error err = ERROR_INIT;

    assert_int_equal(linked_begin("linked", &w, &err), OK);
    for (size_t i = 0; i < count; i++) {
        struct stat st = look(files[i]);

        assert_int_equal(linked_add(w, files[i], &st, &err), OK);
    }
    assert_int_equal(linked_commit(w, &err), OK);
    assert_int_equal(linked_open("linked", &l, &err), OK);
    assert_non_null(l);
    return l;
}

static enum linked_state state_of(struct linked *l, const char *file)
{
    struct stat st = look(file);

    return linked_find(l, file, &st);
}

static void linked__tells_rewritten_touched_replaced_and_unknown_apart(void **state)
{
    static const char *const files[] = {"same", "rewritten", "touched", "chmodded", "replaced"};
    struct linked *l;

    (void)state;
    for (size_t i = 0; i < 5; i++)
        put(files[i], "1234");
    put("stranger", "1234");
    l = record_of(files, 5);
    a_tick();
    put("rewritten", "5678"); /* as long as before */
    assert_int_equal(utimensat(AT_FDCWD, "touched", NULL, 0), 0);
    assert_int_equal(chmod("chmodded", 0600), 0);
    put("fresh", "1234");
    assert_int_equal(rename("fresh", "replaced"), 0);
    assert_int_equal(state_of(l, "same"), LINKED_SAME);
    assert_int_equal(state_of(l, "rewritten"), LINKED_CHANGED);
    assert_int_equal(state_of(l, "touched"), LINKED_CHANGED);
    assert_int_equal(state_of(l, "chmodded"), LINKED_CHANGED);
    assert_int_equal(state_of(l, "replaced"), LINKED_NO);
    assert_int_equal(state_of(l, "stranger"), LINKED_NO);
    linked_close(l);
}

static void linked__a_rewrite_with_its_old_times_put_back_is_noticed(void **state)
{
    static const char *const files[] = {"f"};
    struct timespec times[2];
    struct stat before;
    struct linked *l;

    (void)state;
    put("f", "1234");
    before = look("f");
    l = record_of(files, 1);
    a_tick();
    put("f", "5678");
    times[0] = before.st_atim;
    times[1] = before.st_mtim;
    assert_int_equal(utimensat(AT_FDCWD, "f", times, 0), 0);
    assert_int_equal(state_of(l, "f"), LINKED_CHANGED);
    linked_close(l);
}

static void linked__forgotten_stays_forgotten(void **state)
{
    static const char *const files[] = {"a", "b"};
    struct error err = ERROR_INIT;
    struct linked *l;

    (void)state;
    put("a", "1");
    put("b", "1");
    l = record_of(files, 2);
    assert_int_equal(linked_forget(l, "a", &err), OK);
    assert_int_equal(linked_forget(l, "c", &err), ERR_NOT_FOUND);
    assert_int_equal(linked_sync(l, &err), OK);
    linked_close(l);
    error_clear(&err);
    assert_int_equal(linked_open("linked", &l, &err), OK);
    assert_int_equal(state_of(l, "a"), LINKED_NO);
    assert_int_equal(state_of(l, "b"), LINKED_SAME);
    linked_close(l);
}

static void linked__damage_at_any_byte_is_refused(void **state)
{
    static const char *const files[] = {"a", "b", "c"};
    struct buffer b = BUFFER_INIT(4096);
    struct error err = ERROR_INIT;
    struct linked *l = NULL;

    (void)state;
    for (size_t i = 0; i < 3; i++)
        put(files[i], "x");
    linked_close(record_of(files, 3));
    assert_int_equal(file_read_whole(AT_FDCWD, "linked", 4096, &b, &err), OK);
    for (size_t i = 0; i < b.len; i++) {
        b.data[i] ^= 0x10;
        assert_int_equal(file_replace("linked", b.data, b.len, 0600, &err), OK);
        assert_int_equal(linked_open("linked", &l, &err), ERR_CORRUPT);
        error_clear(&err);
        b.data[i] ^= 0x10;
        assert_int_equal(file_replace("linked", b.data, i, 0600, &err), OK);
        assert_int_equal(linked_open("linked", &l, &err), ERR_CORRUPT);
        error_clear(&err);
    }
    buffer_release(&b);
}

static void linked__none_and_an_absent_record_are_fine(void **state)
{
    struct error err = ERROR_INIT;
    struct linked *l = NULL;

    (void)state;
    assert_int_equal(linked_open("linked", &l, &err), OK);
    assert_null(l);
    put("f", "1");
    assert_int_equal(state_of(NULL, "f"), LINKED_NO);
    l = record_of(NULL, 0);
    assert_int_equal(state_of(l, "f"), LINKED_NO);
    linked_close(l);
}

static void linked__thousands_are_found(void **state)
{
    struct linked_writer *w = NULL;
    struct error err = ERROR_INIT;
    struct linked *l = NULL;
    struct stat st;
    char name[32];

    (void)state;
    put("f", "1");
    st = look("f");
    assert_int_equal(linked_begin("linked", &w, &err), OK);
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(name, sizeof(name), "d%u/f%u", i % 97, i);
        st.st_ino = 1000 + i;
        assert_int_equal(linked_add(w, name, &st, &err), OK);
    }
    assert_int_equal(linked_commit(w, &err), OK);
    assert_int_equal(linked_open("linked", &l, &err), OK);
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(name, sizeof(name), "d%u/f%u", i % 97, i);
        st.st_ino = 1000 + i;
        assert_int_equal(linked_find(l, name, &st), LINKED_SAME);
    }
    linked_close(l);
}

static void linked__discarded_is_no_record(void **state)
{
    struct linked_writer *w = NULL;
    struct error err = ERROR_INIT;
    struct linked *l = NULL;

    (void)state;
    assert_int_equal(linked_begin("linked", &w, &err), OK);
    linked_discard(w);
    assert_int_equal(linked_open("linked", &l, &err), ERR_CORRUPT); /* torn: never taken for an empty one */
}

static void linked__repair_without_the_snapshot_says_what_a_person_can_do(void **state)
{
    static const char *const files[] = {"tree/f"};
    struct snapshot_record gone = SNAPSHOT_RECORD_INIT;
    struct error err = ERROR_INIT;
    struct catalog *not_looked_into = (struct catalog *)&gone;
    struct linked_writer *w = NULL;
    struct linked *l = NULL;
    uint64_t repaired = 0;
    struct stat st;

    (void)state;
    assert_int_equal(mkdir("tree", 0700), 0);
    put(files[0], "1234");
    st = look(files[0]);
    assert_int_equal(linked_begin("linked", &w, &err), OK);
    assert_int_equal(linked_add(w, "f", &st, &err), OK);
    assert_int_equal(linked_commit(w, &err), OK);
    assert_int_equal(linked_open("linked", &l, &err), OK);
    assert_int_equal(linked_repair(not_looked_into, &gone, l, "tree", false, &repaired, &err), OK);
    a_tick();
    put(files[0], "5678");
    assert_int_equal(linked_repair(not_looked_into, &gone, l, "tree", false, &repaired, &err), ERR_PENDING);
    assert_non_null(strstr(err.text, "f was rewritten through a link"));
    assert_non_null(strstr(err.text, "under a new inode"));
    error_clear(&err);
    put("right", "1234"); /* and that is what helps */
    assert_int_equal(rename("right", files[0]), 0);
    assert_int_equal(linked_repair(not_looked_into, &gone, l, "tree", false, &repaired, &err), OK);
    linked_close(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(linked__tells_rewritten_touched_replaced_and_unknown_apart),
        folder_test(linked__a_rewrite_with_its_old_times_put_back_is_noticed),
        folder_test(linked__forgotten_stays_forgotten),
        folder_test(linked__damage_at_any_byte_is_refused),
        folder_test(linked__none_and_an_absent_record_are_fine),
        folder_test(linked__thousands_are_found),
        folder_test(linked__discarded_is_no_record),
        folder_test(linked__repair_without_the_snapshot_says_what_a_person_can_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
