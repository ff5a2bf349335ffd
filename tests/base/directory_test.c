#include "test_support.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "file.h"

static bool exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

static void make__existing_is_told_apart(void **state)
{
    struct error err = ERROR_INIT;
    struct stat st;

    (void)state;
    assert_int_equal(directory_make(AT_FDCWD, "d", 0700, &err), OK);
    assert_int_equal(directory_make(AT_FDCWD, "d", 0700, &err), ERR_EXISTS);
    assert_int_equal(directory_make(AT_FDCWD, "x/y", 0700, &err), ERR_NOT_FOUND);
    assert_int_equal(directory_make_all("d/e//f/", &err), OK);
    assert_int_equal(directory_make_all("d/e/f", &err), OK);
    assert_int_equal(stat("d/e/f", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(directory_make_all("/tmp", &err), OK);
    assert_int_equal(directory_make_all("/", &err), OK);
    assert_int_equal(file_replace("file", "", 0, 0600, &err), OK);
    assert_int_equal(directory_make_all("file/x", &err), ERR_EXISTS);
    assert_int_equal(directory_sync(AT_FDCWD, "d", &err), OK);
    assert_int_equal(directory_sync(AT_FDCWD, "absent", &err), ERR_NOT_FOUND);
}

static void remove_tree__everything_but_what_links_lead_to(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(
        system("mkdir -p t/a/b t/c keep && touch t/a/1 t/a/b/2 t/c/3 keep/precious && ln -s ../keep t/link && "
               "ln -s ../../keep/precious t/a/l && mkfifo t/fifo && chmod 0 t/a/b && chmod 0500 t/c"),
        0);
    assert_int_equal(directory_remove_tree(AT_FDCWD, "t/", &err), OK);
    assert_false(exists("t"));
    assert_true(exists("keep/precious"));
    assert_int_equal(directory_remove_tree(AT_FDCWD, "t", &err), OK);
    assert_int_equal(directory_remove_tree(AT_FDCWD, "no/such/place", &err), OK);
    assert_int_equal(symlink("keep", "outer"), 0);
    assert_int_equal(directory_remove_tree(AT_FDCWD, "outer", &err), OK);
    assert_false(exists("outer"));
    assert_true(exists("keep/precious"));
}

static void remove_tree__places_that_are_no_names_are_refused(void **state)
{
    static const char *const bad[] = {"/", ".", "..", "keep/..", "keep/.", "", "//"};
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(directory_make(AT_FDCWD, "keep", 0700, &err), OK);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(directory_remove_tree(AT_FDCWD, bad[i], &err), ERR_REFUSED);
    assert_true(exists("keep"));
}

static void remove_tree__many_entries_and_subfolders(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(system("mkdir t && cd t && seq -f d%g 1 500 | xargs mkdir && seq -f f%g 1 3000 | xargs touch && "
                            "for i in 1 7 99 500; do touch d$i/x; done"),
                     0);
    assert_int_equal(directory_remove_tree(AT_FDCWD, "t", &err), OK);
    assert_false(exists("t"));
}

static void remove_tree__deeper_than_any_path(void **state)
{
    struct error err = ERROR_INIT;
    char name[101];
    int base = open(".", O_RDONLY | O_DIRECTORY);

    (void)state;
    memset(name, 'n', 100);
    name[100] = '\0';
    assert_int_equal(mkdir("t", 0700), 0);
    assert_int_equal(chdir("t"), 0);
    for (int i = 0; i < 2000; i++) { /* 200 kB of path */
        assert_int_equal(mkdir(name, 0700), 0);
        assert_int_equal(chdir(name), 0);
    }
    assert_int_equal(fchdir(base), 0);
    assert_int_equal(directory_remove_tree(base, "t", &err), OK);
    assert_false(exists("t"));
    close(base);
}

/* Exit status of a child that removes "t" with a mount below it: 77 if mounting is not allowed here. */
static int removal_across_mount(const char *mount_at, const char *remove)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        struct error err = ERROR_INIT;

        if (unshare(CLONE_NEWNS | (geteuid() ? CLONE_NEWUSER : 0)) ||
            mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("keep", mount_at, NULL, MS_BIND, NULL))
            _exit(77);
        _exit(directory_remove_tree(AT_FDCWD, remove, &err) == ERR_REFUSED && exists("keep/precious") ? 0 : 1);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* P8 */
static void remove_tree__stops_before_a_mount(void **state)
{
    int below;
    int root;

    (void)state;
    assert_int_equal(system("mkdir -p t/a/m keep && touch keep/precious"), 0);
    below = removal_across_mount("t/a/m", "t");
    assert_int_equal(system("mkdir -p t/a/m"), 0);
    root = removal_across_mount("t", "t");
    if (below == 77 || root == 77)
        skip();
    assert_int_equal(below, 0);
    assert_int_equal(root, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(make__existing_is_told_apart),
        folder_test(remove_tree__everything_but_what_links_lead_to),
        folder_test(remove_tree__places_that_are_no_names_are_refused),
        folder_test(remove_tree__many_entries_and_subfolders),
        folder_test(remove_tree__deeper_than_any_path),
        folder_test(remove_tree__stops_before_a_mount),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
