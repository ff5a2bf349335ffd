/* What is noted of a linked file whose other name goes (N3), and above all what is not. */
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

/* A live tree, a kept one that shares its files, and the record of the links. */
static struct linked *shared(const char *const *files, size_t count)
{
    struct linked_writer *w = NULL;
    struct linked *l = NULL;
    struct error err = ERROR_INIT;
    char live[64], kept[64];

    assert_int_equal(mkdir("live", 0755), 0);
    assert_int_equal(mkdir("kept", 0755), 0);
    assert_int_equal(linked_begin("linked", &w, &err), OK);
    for (size_t i = 0; i < count; i++) {
        struct stat st;

        snprintf(live, sizeof(live), "live/%s", files[i]);
        snprintf(kept, sizeof(kept), "kept/%s", files[i]);
        put(live, "1234");
        assert_int_equal(link(live, kept), 0);
        st = look(kept);
        assert_int_equal(linked_add(w, files[i], &st, &err), OK);
    }
    assert_int_equal(linked_commit(w, &err), OK);
    assert_int_equal(linked_open("linked", &l, &err), OK);
    a_tick();
    return l;
}

/* The kept tree's linked files go. Returns what was noted. */
static struct linked *unlinked(const struct linked *l)
{
    struct place p = PLACE_INIT;
    struct linked_writer *w = NULL;
    struct linked *noted = NULL;
    struct error err = ERROR_INIT;

    p.folder = (char *)".";
    renewal_unlink_begin(&p, &w);
    assert_non_null(w);
    assert_int_equal(renewal_unlink_tree(l, "kept", &w, &err), OK);
    renewal_unlink_end(w);
    assert_int_equal(linked_open(RENEWAL_UNLINKED, &noted, &err), OK);
    assert_non_null(noted);
    return noted;
}

static enum linked_state state_of(const struct linked *noted, const char *file)
{
    char live[64];
    struct stat st;

    snprintf(live, sizeof(live), "live/%s", file);
    st = look(live);
    return linked_find(noted, file, &st);
}

static void unlink__notes_what_the_file_looks_like_since(void **state)
{
    static const char *const files[] = {"a", "b"};
    struct linked *l = shared(files, 2);
    struct linked *noted = unlinked(l);
    struct stat st = look("live/b");

    (void)state;
    assert_int_equal(access("kept/a", F_OK), -1);
    assert_int_equal(state_of(noted, "a"), LINKED_SAME);
    assert_int_equal(state_of(noted, "b"), LINKED_SAME);
    assert_true(linked_newest_ns(noted) >= (int64_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec);
    a_tick();
    put("live/a", "5678");
    assert_int_equal(state_of(noted, "a"), LINKED_CHANGED);
    linked_close(noted);
    linked_close(l);
}

static void unlink__does_not_hide_what_was_rewritten_under_its_old_time(void **state)
{
    static const char *const files[] = {"a", "b"};
    struct linked *l = shared(files, 2);
    struct linked *noted;
    struct timespec times[2];
    struct stat was = look("live/a");

    (void)state;
    put("live/a", "5678");
    times[0] = was.st_atim;
    times[1] = was.st_mtim;
    assert_int_equal(utimensat(AT_FDCWD, "live/a", times, 0), 0);
    noted = unlinked(l);
    assert_int_equal(state_of(noted, "a"), LINKED_NO);
    assert_int_equal(access("kept/a", F_OK),
                     0); /* not the linked file any more: its end is somebody else's to decide */
    assert_int_equal(state_of(noted, "b"), LINKED_SAME);
    linked_close(noted);
    linked_close(l);
}

/* The second name's end moves what was noted at the first's: such files are read. */
static void unlink__of_two_names_of_one_file_is_not_believed(void **state)
{
    static const char *const files[] = {"a"};
    struct linked_writer *w = NULL;
    struct linked *l = shared(files, 1);
    struct linked *noted;
    struct error err = ERROR_INIT;
    struct stat st;

    (void)state;
    linked_close(l);
    assert_int_equal(link("live/a", "live/z"), 0);
    assert_int_equal(link("kept/a", "kept/z"), 0);
    st = look("kept/a");
    assert_int_equal(linked_begin("linked", &w, &err), OK);
    assert_int_equal(linked_add(w, "a", &st, &err), OK);
    assert_int_equal(linked_add(w, "z", &st, &err), OK);
    assert_int_equal(linked_commit(w, &err), OK);
    assert_int_equal(linked_open("linked", &l, &err), OK);
    a_tick();
    noted = unlinked(l);
    assert_int_equal(access("kept/z", F_OK), 0); /* since the end of the first name it is not what its record says */
    a_tick();
    assert_int_equal(unlink("kept/z"), 0);
    assert_int_equal(state_of(noted, "a"), LINKED_CHANGED);
    assert_int_equal(state_of(noted, "z"), LINKED_NO);
    linked_close(noted);
    linked_close(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(unlink__notes_what_the_file_looks_like_since),
        folder_test(unlink__does_not_hide_what_was_rewritten_under_its_old_time),
        folder_test(unlink__of_two_names_of_one_file_is_not_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
