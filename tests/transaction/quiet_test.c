/* Proof of quiet (T5), with real processes. */
#include "test_support.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "transaction_internal.h"

enum presence { WORKS_IN, HAS_OPEN, MAPS, NOWHERE };

/* A child that is in the tree in one way only, and says when it is. */
static pid_t child(enum presence how)
{
    int ready[2];
    char c;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int fd = open("tree/sub/file", O_RDONLY);
        void *map = mmap(NULL, 4, PROT_READ, MAP_PRIVATE, fd, 0);

        if (how != MAPS)
            munmap(map, 4);
        if (how != HAS_OPEN)
            close(fd);
        if (chdir(how == WORKS_IN ? "tree/sub" : "/") != 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        pause();
        _exit(0);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &c, 1), 1);
    close(ready[0]);
    return pid;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void make_tree(void)
{
    struct error err = ERROR_INIT;

    assert_int_equal(directory_make_all("tree/sub", &err), OK);
    assert_int_equal(file_replace("tree/sub/file", "1234", 4, 0644, &err), OK);
    assert_int_equal(directory_make_all("treeside", &err), OK);
}

/* As a container sees it: the tree at another path, in a mount namespace of its own. -1 where that is not allowed. */
static pid_t child_elsewhere(enum presence how)
{
    int ready[2];
    char c = 0;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    assert_int_equal(mkdir("elsewhere", 0755), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        bool may = unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                   mount("tree", "elsewhere", NULL, MS_BIND, NULL) == 0;

        if (!may || (how == HAS_OPEN && open("elsewhere/sub/file", O_RDONLY) < 0) ||
            chdir(how == WORKS_IN ? "elsewhere/sub" : "/") != 0)
            _exit(write(ready[1], "-", 1) != 1);
        if (write(ready[1], "x", 1) != 1)
            _exit(1);
        pause();
        _exit(0);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &c, 1), 1);
    close(ready[0]);
    if (c == 'x')
        return pid;
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    return -1;
}

static void found_elsewhere(enum presence how, size_t expected)
{
    char root[PATH_MAX];
    const char *const roots[] = {root};
    struct text_list out = TEXT_LIST_INIT;
    struct error err = ERROR_INIT;
    pid_t pid;

    make_tree();
    assert_non_null(realpath("tree", root));
    pid = child_elsewhere(how);
    if (pid < 0) {
        print_message("no mount namespaces here\n");
        skip();
    }
    assert_int_equal(quiet_processes(roots, 1, &out, NULL, &err), OK);
    assert_int_equal(out.count, expected);
    if (expected)
        assert_non_null(strstr(out.items[0], "elsewhere/sub"));
    text_list_release(&out);
    end(pid);
}

static void quiet__a_container_has_the_tree_at_another_path(void **state)
{
    (void)state;
    found_elsewhere(WORKS_IN, 1);
}

static void quiet__a_file_that_is_open_in_a_container(void **state)
{
    (void)state;
    found_elsewhere(HAS_OPEN, 1);
}

static void quiet__a_container_that_is_not_in_the_tree(void **state)
{
    (void)state;
    found_elsewhere(NOWHERE, 0);
}

static void found(const char *folder, enum presence how, const char *word)
{
    char root[256];
    char pid_text[32];
    const char *const roots[] = {root};
    struct text_list out = TEXT_LIST_INIT;
    struct error err = ERROR_INIT;
    pid_t pid = child(how);

    snprintf(root, sizeof(root), "%s/tree", folder);
    snprintf(pid_text, sizeof(pid_text), "pid %d ", (int)pid);
    assert_int_equal(quiet_processes(roots, 1, &out, NULL, &err), OK);
    if (word) {
        assert_int_equal(out.count, 1);
        assert_non_null(strstr(out.items[0], pid_text));
        assert_non_null(strstr(out.items[0], word));
    } else {
        assert_int_equal(out.count, 0);
    }
    text_list_release(&out);
    end(pid);
}

static void quiet__a_working_directory_is_found(void **state)
{
    make_tree();
    found(*state, WORKS_IN, "works in");
}

static void quiet__an_open_file_is_found(void **state)
{
    make_tree();
    found(*state, HAS_OPEN, "has open");
}

static void quiet__a_mapping_of_a_closed_file_is_found(void **state)
{
    make_tree();
    found(*state, MAPS, "maps");
}

static void quiet__a_process_elsewhere_is_not(void **state)
{
    make_tree();
    found(*state, NOWHERE, NULL);
}

static void quiet__a_program_run_from_the_tree_is_found(void **state)
{
    char root[256];
    const char *const roots[] = {root};
    struct text_list out = TEXT_LIST_INIT;
    struct error err = ERROR_INIT;
    pid_t pid;

    make_tree();
    snprintf(root, sizeof(root), "%s/tree", (char *)*state);
    assert_int_equal(system("cp /bin/sleep tree/program"), 0);
    pid = fork();
    if (pid == 0) {
        char program[300];

        snprintf(program, sizeof(program), "%s/program", root);
        if (chdir("/") == 0)
            execl(program, program, "60", (char *)NULL);
        _exit(1);
    }
    for (int i = 0; i < 100 && !out.count; i++) {
        usleep(20000);
        assert_int_equal(quiet_processes(roots, 1, &out, NULL, &err), OK);
    }
    assert_int_equal(out.count, 1);
    text_list_release(&out);
    end(pid);
}

static void quiet__a_neighbour_whose_name_begins_alike_is_not(void **state)
{
    char root[256];
    const char *const roots[] = {root};
    struct text_list out = TEXT_LIST_INIT;
    struct error err = ERROR_INIT;
    int fd;

    make_tree();
    snprintf(root, sizeof(root), "%s/tre", (char *)*state);
    fd = (int)child(HAS_OPEN);
    assert_int_equal(quiet_processes(roots, 1, &out, NULL, &err), OK);
    assert_int_equal(out.count, 0);
    end((pid_t)fd);
}

static void quiet__waiting_ends_with_the_process(void **state)
{
    char root[256];
    const char *const roots[] = {root};
    struct error err = ERROR_INIT;
    pid_t pid;

    make_tree();
    snprintf(root, sizeof(root), "%s/tree", (char *)*state);
    pid = child(HAS_OPEN);
    assert_int_equal(quiet_wait(roots, 1, 300, &err), ERR_REFUSED);
    assert_non_null(strstr(err.text, "has open"));
    error_clear(&err);
    end(pid);
    assert_int_equal(quiet_wait(roots, 1, 300, &err), OK);
}

static void quiet__who_is_there_is_ended_and_nobody_else(void **state)
{
    char root[256];
    struct error err = ERROR_INIT;
    pid_t inside, mapping, beside;
    int status = 0;

    make_tree();
    snprintf(root, sizeof(root), "%s/tree", (char *)*state);
    inside = child(WORKS_IN);
    mapping = child(MAPS);
    assert_int_equal(chdir("treeside"), 0);
    beside = fork();
    if (beside == 0) {
        pause();
        _exit(0);
    }
    assert_int_equal(quiet_end(root, 5000, &err), OK);
    assert_int_equal(waitpid(inside, &status, 0), inside);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(waitpid(mapping, &status, 0), mapping);
    assert_int_equal(waitpid(beside, &status, WNOHANG), 0);
    end(beside);
}

/* ---- the shop that was started ---- */

static struct shop_life looked(struct shop_watch *w)
{
    struct shop_life life = {.known = false};
    struct error err = ERROR_INIT;

    assert_int_equal(shop_watch_look(w, &life, &err), OK);
    return life;
}

static void watch__a_program_of_the_tree_that_was_seen_is_missed_when_it_has_gone(void **state)
{
    char root[256];
    struct txn t = {.site_path = root};
    struct shop_watch w = {.held = false};
    struct shop_life life;
    char first[sizeof(w.run)];
    pid_t visitor, shop;

    make_tree();
    snprintf(root, sizeof(root), "%s/tree", (char *)*state);
    shop_watch_begin(&w, &t);
    visitor = child(WORKS_IN);
    assert_false(looked(&w).known);
    shop = child(MAPS);
    life = looked(&w);
    assert_true(life.known && life.alive);
    memcpy(first, life.run, sizeof(first));
    end(shop);
    assert_false(looked(&w).known); /* another may come at once */
    shop = child(MAPS);
    life = looked(&w);
    assert_true(life.known && life.alive);
    assert_string_equal(life.run, first); /* it took over */
    end(shop);
    assert_false(looked(&w).known);
    w.seen_ms -= 5000;
    w.began_ms -= 7000;
    life = looked(&w);
    assert_true(life.known && !life.alive);
    assert_non_null(strstr(life.ended, "s after its start"));
    end(visitor);
    shop_watch_release(&w);
}

static void watch__a_tool_and_a_launcher_hand_over_but_who_falls_over_again_and_again_is_started_again(void **state)
{
    char root[256];
    struct txn t = {.site_path = root};
    struct shop_watch w = {.held = false};
    char first[sizeof(w.run)];

    make_tree();
    snprintf(root, sizeof(root), "%s/tree", (char *)*state);
    shop_watch_begin(&w, &t);
    for (int i = 0; i < 4; i++) {
        pid_t program = child(MAPS);
        struct shop_life life = looked(&w);

        end(program);
        assert_true(life.known && life.alive);
        if (!i)
            memcpy(first, life.run, sizeof(first));
        assert_int_equal(strcmp(life.run, first) == 0, i < 3);
        usleep(60000); /* later than the kernel's tick of the last look */
    }
    shop_watch_release(&w);
}

static void watch__a_helper_that_ends_is_not_the_shop(void **state)
{
    char root[256];
    struct txn t = {.site_path = root};
    struct shop_watch w = {.held = false};
    char first[sizeof(w.run)];
    pid_t a, b;

    make_tree();
    snprintf(root, sizeof(root), "%s/tree", (char *)*state);
    shop_watch_begin(&w, &t);
    a = child(MAPS);
    b = child(MAPS);
    usleep(100000);
    assert_true(looked(&w).alive);
    memcpy(first, w.run, sizeof(first));
    end(a);
    assert_true(looked(&w).alive);
    assert_string_equal(w.run, first);
    end(b);
    shop_watch_release(&w);
}

static void watch__one_that_never_came_is_missed_only_where_the_one_before_was_seen(void **state)
{
    char root[256];
    struct txn t = {.site_path = root};
    struct shop_watch w = {.held = false};
    pid_t before;

    make_tree();
    snprintf(root, sizeof(root), "%s/tree", (char *)*state);
    shop_watch_begin(&w, &t);
    assert_false(looked(&w).known);
    w.looked_ms -= 100000;
    assert_false(looked(&w).known);
    before = child(MAPS);
    shop_watch_expect(&w, &t);
    end(before);
    shop_watch_begin(&w, &t);
    assert_false(looked(&w).known);
    w.looked_ms -= 100000;
    assert_true(looked(&w).known && !looked(&w).alive);
    shop_watch_begin(&w, &t);
    shop_watch_allow(&w, 200000); /* the owner's word: a start command may queue */
    assert_false(looked(&w).known);
    w.looked_ms -= 100000;
    assert_false(looked(&w).known);
    w.looked_ms -= 101000;
    assert_true(looked(&w).known && !looked(&w).alive);
    shop_watch_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(quiet__a_container_has_the_tree_at_another_path),
        folder_test(quiet__a_file_that_is_open_in_a_container),
        folder_test(quiet__a_container_that_is_not_in_the_tree),
        folder_test(quiet__a_working_directory_is_found),
        folder_test(quiet__an_open_file_is_found),
        folder_test(quiet__a_mapping_of_a_closed_file_is_found),
        folder_test(quiet__a_process_elsewhere_is_not),
        folder_test(quiet__a_program_run_from_the_tree_is_found),
        folder_test(quiet__a_neighbour_whose_name_begins_alike_is_not),
        folder_test(quiet__waiting_ends_with_the_process),
        folder_test(quiet__who_is_there_is_ended_and_nobody_else),
        folder_test(watch__a_program_of_the_tree_that_was_seen_is_missed_when_it_has_gone),
        folder_test(watch__a_tool_and_a_launcher_hand_over_but_who_falls_over_again_and_again_is_started_again),
        folder_test(watch__a_helper_that_ends_is_not_the_shop),
        folder_test(watch__one_that_never_came_is_missed_only_where_the_one_before_was_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
