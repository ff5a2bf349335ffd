/* Walking trees of every shape. Each test begins in an empty folder of its own. */
#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "file.h"
#include "test_support.h"

static void make_file(const char *path, const char *content)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    close(fd);
}

/* The walk as text: "+dir" for enter, "-dir" for leave, "name" for an entry, "!name" for what can't be read. */
static char *walked(const char *root)
{
    struct error err = ERROR_INIT;
    struct walk *w = NULL;
    struct walk_item item;
    struct buffer out = BUFFER_INIT(1 << 20);
    const char *marks[] = {[WALK_ENTRY] = "", [WALK_ENTER] = "+", [WALK_LEAVE] = "-", [WALK_UNREADABLE] = "!"};

    assert_int_equal(walk_open(root, NULL, &w, &err), OK);
    while (walk_next(w, &item, &err) == OK && item.event != WALK_END) {
        assert_int_equal(buffer_append_format(&out, &err, "%s%s ", marks[item.event], item.path), OK);
        assert_string_equal(item.name, *item.path ? path_base(item.path) : ".");
    }
    assert_int_equal(err.kind, OK);
    assert_int_equal(item.event, WALK_END);
    walk_close(w);
    return buffer_detach(&out);
}

static void expect_walk(const char *root, const char *expected)
{
    char *got = walked(root);

    assert_string_equal(got, expected);
    free(got);
}

static void walk__directories_come_before_their_content_names_bytewise(void **state)
{
    (void)state;
    mkdir("t", 0755);
    mkdir("t/a", 0755);
    make_file("t/a/z", "");
    make_file("t/a.b", "");
    make_file("t/a-b", "");
    mkdir("t/A", 0755);
    make_file("t/\xff", "");
    make_file("t/\n", "");
    expect_walk("t", "+ \n +A -A +a a/z -a a-b a.b \xff - ");
}

static void walk__of_names_only_finds_the_same_in_the_same_order(void **state)
{
    struct error err = ERROR_INIT;
    struct walk *whole = NULL;
    struct walk *names = NULL;
    struct walk_item a;
    struct walk_item b;

    (void)state;
    mkdir("t", 0755);
    mkdir("t/a", 0755);
    make_file("t/a/z", "12345");
    make_file("t/a.b", "");
    make_file("t/ab", "");
    make_file("t/a\x01", "");
    assert_int_equal(symlink("a", "t/aa"), 0);
    assert_int_equal(mkfifo("t/pipe", 0600), 0);
    assert_int_equal(walk_open("t", NULL, &whole, &err), OK);
    assert_int_equal(walk_open("t", NULL, &names, &err), OK);
    walk_names_only(names);
    do {
        assert_int_equal(walk_next(whole, &a, &err), OK);
        assert_int_equal(walk_next(names, &b, &err), OK);
        assert_int_equal(a.event, b.event);
        assert_string_equal(a.path, b.path);
        assert_string_equal(a.name, b.name);
        assert_int_equal(a.st.st_mode & S_IFMT, b.st.st_mode & S_IFMT);
        if (b.event == WALK_ENTRY)
            assert_int_equal(b.st.st_ino, 0); /* nobody looked */
    } while (a.event != WALK_END);
    walk_close(whole);
    walk_close(names);
}

static void walk__symlinks_are_entries_and_never_followed(void **state)
{
    (void)state;
    mkdir("t", 0755);
    mkdir("elsewhere", 0755);
    make_file("elsewhere/secret", "");
    assert_int_equal(symlink("../elsewhere", "t/link"), 0);
    assert_int_equal(symlink("nowhere", "t/dangling"), 0);
    expect_walk("t", "+ dangling link - ");
}

static void walk__a_root_that_is_a_file_or_missing_is_an_error(void **state)
{
    struct error err = ERROR_INIT;
    struct walk *w = NULL;

    (void)state;
    make_file("file", "");
    assert_int_equal(walk_open("absent", NULL, &w, &err), ERR_NOT_FOUND);
    error_clear(&err);
    assert_int_not_equal(walk_open("file", NULL, &w, &err), OK);
    assert_null(w);
}

static void walk__an_item_can_be_reached_through_its_directory(void **state)
{
    struct error err = ERROR_INIT;
    struct walk *w = NULL;
    struct walk_item item;
    struct stat st;
    unsigned seen = 0;

    (void)state;
    mkdir("t", 0755);
    mkdir("t/d", 0755);
    make_file("t/d/f", "12345");
    assert_int_equal(walk_open("t", NULL, &w, &err), OK);
    while (walk_next(w, &item, &err) == OK && item.event != WALK_END) {
        int fd = -1;

        assert_int_equal(fstatat(item.dirfd, item.name, &st, AT_SYMLINK_NOFOLLOW), 0);
        assert_int_equal(st.st_ino, item.st.st_ino);
        assert_int_equal(st.st_mode, item.st.st_mode);
        assert_int_equal(st.st_mtim.tv_nsec, item.st.st_mtim.tv_nsec);
        assert_int_equal(walk_open_below(walk_root(w), item.path, O_RDONLY, &fd, &err), OK);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_ino, item.st.st_ino);
        assert_true(st.st_dev == item.st.st_dev);
        close(fd);
        seen++;
    }
    assert_int_equal(seen, 5);
    walk_close(w);
}

static void walk__pruned_directories_are_left_at_once(void **state)
{
    struct error err = ERROR_INIT;
    struct walk *w = NULL;
    struct walk_item item;
    char seen[64] = "";

    (void)state;
    mkdir("t", 0755);
    mkdir("t/a", 0755);
    make_file("t/a/hidden", "");
    make_file("t/b", "");
    assert_int_equal(walk_open("t", NULL, &w, &err), OK);
    while (walk_next(w, &item, &err) == OK && item.event != WALK_END) {
        if (item.event == WALK_ENTER && !strcmp(item.path, "a"))
            walk_prune(w);
        snprintf(seen + strlen(seen), sizeof seen - strlen(seen), "%d%s ", item.event, item.path);
    }
    assert_string_equal(seen, "1 1a 2a 0b 2 ");
    walk_close(w);
}

static void walk__a_directory_as_wide_as_memory_allows_not_is_sorted_all_the_same(void **state)
{
    enum { COUNT = 30000 };
    struct error err = ERROR_INIT;
    struct walk *w = NULL;
    struct walk_item item;
    char last[300] = "", name[300];
    int count = 0, dirfd;

    (void)state;
    mkdir("t", 0755);
    dirfd = open("t", O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < COUNT; i++) {
        /* long names, so that they exceed the memory that one directory may use */
        snprintf(name, sizeof name, "%08x%0230d", (unsigned)i * 2654435761u, i);
        assert_int_equal(mknodat(dirfd, name, S_IFREG | 0600, 0), 0);
    }
    close(dirfd);
    assert_int_equal(walk_open("t", NULL, &w, &err), OK);
    while (walk_next(w, &item, &err) == OK && item.event != WALK_END) {
        if (item.event != WALK_ENTRY)
            continue;
        assert_true(strcmp(last, item.name) < 0);
        strcpy(last, item.name);
        count++;
    }
    assert_int_equal(err.kind, OK);
    assert_int_equal(count, COUNT);
    walk_close(w);
}

/* depth directories named by 200 bytes, below the working directory; a file in each, after the directory in order */
static void make_deep(int depth)
{
    char name[201];
    int at = open(".", O_RDONLY | O_DIRECTORY);

    memset(name, 'd', 200);
    name[200] = '\0';
    for (int i = 0; i < depth; i++) {
        int next, file;

        assert_int_equal(mkdirat(at, name, 0755), 0);
        file = openat(at, "file", O_CREAT | O_WRONLY, 0600);
        assert_int_equal(write(file, "x", 1), 1);
        close(file);
        next = openat(at, name, O_RDONLY | O_DIRECTORY);
        assert_true(next >= 0);
        close(at);
        at = next;
    }
    close(at);
}

static void walk__paths_beyond_path_max_are_walked_with_few_descriptors(void **state)
{
    enum { DEPTH = 260 }; /* 52 kB of path, more levels than descriptors are kept */
    struct error err = ERROR_INIT;
    struct walk *w = NULL;
    struct walk_item item;
    int files = 0, leaves = 0, fd = -1, most = 0;

    (void)state;
    make_deep(DEPTH);
    assert_int_equal(walk_open(".", NULL, &w, &err), OK);
    while (walk_next(w, &item, &err) == OK && item.event != WALK_END) {
        assert_int_not_equal(item.event, WALK_UNREADABLE);
        most = item.dirfd > most ? item.dirfd : most;
        leaves += item.event == WALK_LEAVE;
        if (item.event != WALK_ENTRY)
            continue;
        files++;
        assert_int_equal(walk_open_below(walk_root(w), item.path, O_RDONLY, &fd, &err), OK);
        close(fd);
    }
    assert_int_equal(err.kind, OK);
    assert_int_equal(files, DEPTH);
    assert_int_equal(leaves, DEPTH + 1);
    assert_true(most < 150);
    walk_close(w);
}

static void walk__too_deep_is_named_and_the_walk_goes_on(void **state)
{
    struct error err = ERROR_INIT;
    struct walk *w = NULL;
    struct walk_item item;
    int files = 0, unreadable = 0;

    (void)state;
    make_deep(400);
    assert_int_equal(walk_open(".", NULL, &w, &err), OK);
    while (walk_next(w, &item, &err) == OK && item.event != WALK_END) {
        files += item.event == WALK_ENTRY;
        unreadable += item.event == WALK_UNREADABLE;
    }
    assert_int_equal(err.kind, OK);
    assert_true(files > 300 && files < 400);
    assert_true(unreadable > 0);
    walk_close(w);
}

static void walk__a_directory_that_goes_away_is_said_between_enter_and_leave(void **state)
{
    struct error err = ERROR_INIT;
    struct walk *w = NULL;
    struct walk_item item;
    char seen[64] = "";

    (void)state;
    mkdir("t", 0755);
    mkdir("t/a", 0755);
    make_file("t/b", "");
    assert_int_equal(walk_open("t", NULL, &w, &err), OK);
    while (walk_next(w, &item, &err) == OK && item.event != WALK_END) {
        if (item.event == WALK_ENTER && !strcmp(item.path, "a"))
            assert_int_equal(rmdir("t/a"), 0);
        if (item.event == WALK_UNREADABLE)
            assert_int_equal(item.error.kind, ERR_NOT_FOUND);
        snprintf(seen + strlen(seen), sizeof seen - strlen(seen), "%d%s ", item.event, item.path);
    }
    assert_string_equal(seen, "1 1a 4a 2a 0b 2 ");
    walk_close(w);
}

static void walk__a_directory_replaced_by_a_symlink_is_not_entered(void **state)
{
    struct error err = ERROR_INIT;
    struct walk *w = NULL;
    struct walk_item item;

    (void)state;
    mkdir("t", 0755);
    mkdir("t/a", 0755);
    mkdir("outside", 0755);
    make_file("outside/secret", "");
    assert_int_equal(walk_open("t", NULL, &w, &err), OK);
    while (walk_next(w, &item, &err) == OK && item.event != WALK_END) {
        assert_null(strstr(item.path, "secret"));
        if (item.event == WALK_ENTER && !strcmp(item.path, "a")) {
            assert_int_equal(rmdir("t/a"), 0);
            assert_int_equal(symlink("../outside", "t/a"), 0);
        }
    }
    assert_int_equal(err.kind, OK);
    walk_close(w);
}

static void walk__a_closed_directory_is_named(void **state)
{
    char *got;

    (void)state;
    mkdir("t", 0755);
    mkdir("t/a", 0755);
    make_file("t/b", "");
    assert_int_equal(chmod(".", 0755), 0);
    assert_int_equal(chmod("t/a", 0), 0);
    if (getuid() == 0) /* root reads everything */
        assert_int_equal(seteuid(65534), 0);
    got = walked("t");
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
    assert_string_equal(got, "+ +a !a -a b - ");
    free(got);
}

static void open_below__refuses_symlinks_on_the_way_and_at_the_end(void **state)
{
    struct error err = ERROR_INIT;
    int root, fd = -1;

    (void)state;
    mkdir("t", 0755);
    mkdir("t/d", 0755);
    mkdir("outside", 0755);
    make_file("outside/f", "");
    make_file("t/d/f", "");
    assert_int_equal(symlink("../outside", "t/l"), 0);
    assert_int_equal(symlink("d/f", "t/m"), 0);
    root = open("t", O_RDONLY | O_DIRECTORY);
    assert_int_equal(walk_open_below(root, "l/f", O_RDONLY, &fd, &err), ERR_NOT_FOUND);
    error_clear(&err);
    assert_int_equal(walk_open_below(root, "m", O_RDONLY, &fd, &err), ERR_NOT_FOUND);
    error_clear(&err);
    assert_int_equal(walk_open_below(root, "../outside/f", O_RDONLY, &fd, &err), ERR_NOT_FOUND);
    error_clear(&err);
    assert_int_equal(walk_open_below(root, "d/f", O_RDONLY, &fd, &err), OK);
    close(fd);
    close(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(walk__directories_come_before_their_content_names_bytewise),
        folder_test(walk__of_names_only_finds_the_same_in_the_same_order),
        folder_test(walk__symlinks_are_entries_and_never_followed),
        folder_test(walk__a_root_that_is_a_file_or_missing_is_an_error),
        folder_test(walk__an_item_can_be_reached_through_its_directory),
        folder_test(walk__pruned_directories_are_left_at_once),
        folder_test(walk__a_directory_as_wide_as_memory_allows_not_is_sorted_all_the_same),
        folder_test(walk__paths_beyond_path_max_are_walked_with_few_descriptors),
        folder_test(walk__too_deep_is_named_and_the_walk_goes_on),
        folder_test(walk__a_directory_that_goes_away_is_said_between_enter_and_leave),
        folder_test(walk__a_directory_replaced_by_a_symlink_is_not_entered),
        folder_test(walk__a_closed_directory_is_named),
        folder_test(open_below__refuses_symlinks_on_the_way_and_at_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
