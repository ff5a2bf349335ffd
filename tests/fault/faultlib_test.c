#include "test_support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#include "file.h"
#include "process.h"

#define CALLS 14

/* Runs the probe with these settings; its lines, its status. */
static int probe(const char *folder, const char *settings, struct buffer *lines)
{
    struct error err = ERROR_INIT;
    char preload[4096];
    char fault[4096];
    const char *argv[] = {getenv("FAULTLIB_PROBE"), folder, NULL};
    const char *environment[] = {preload, fault, NULL};
    struct process_spec spec = {.argv = argv, .environment = environment, .directory = "/"};
    int status = -1;

    assert_non_null(argv[0]);
    assert_int_equal(system("rm -rf a c d e f of-the-fork log"), 0);
    snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", getenv("FAULTLIB"));
    snprintf(fault, sizeof(fault), "NOPSNAP_FAULT=log=%s/log;%s", folder, settings);
    buffer_clear(lines);
    assert_int_equal(process_run(&spec, lines, &status, &err), OK);
    return status;
}

static bool has_line(const struct buffer *lines, const char *line)
{
    const char *found = strstr((const char *)lines->data, line);

    return found && (found == (const char *)lines->data || found[-1] == '\n');
}

static void log_is(const char *expected)
{
    struct buffer log = BUFFER_INIT(10000);
    struct error err = ERROR_INIT;

    assert_int_equal(file_read_whole(AT_FDCWD, "log", 10000, &log, &err), OK);
    assert_string_equal((char *)log.data, expected);
    buffer_release(&log);
}

static void count__is_of_this_process_and_of_disks(void **state)
{
    struct buffer lines = BUFFER_INIT(10000);
    char settings[256];

    (void)state;
    assert_int_equal(probe(*state, "nth=0", &lines), 0); /* not 2: the settings are taken out of the environment */
    log_is("total 14\n");
    assert_null(strstr((char *)lines.data, "-1"));
    snprintf(settings, sizeof(settings), "nth=0;paths=/no/where:%s/d", (char *)*state);
    assert_int_equal(probe(*state, settings, &lines), 0);
    log_is("total 2\n"); /* mkdir d, rename to d/b */
    buffer_release(&lines);
}

static void nth__call_fails_and_no_other(void **state)
{
    static const char *const calls[CALLS] = {"open",      "write",     "pwrite",   "fsync",   "fdatasync",
                                             "ftruncate", "fallocate", "mkdir",    "rename",  "renameat2",
                                             "syscall",   "linkat",    "futimens", "unlinkat"};
    struct buffer lines = BUFFER_INIT(10000);

    for (int n = 1; n <= CALLS; n++) {
        char settings[64];
        char expected[64];

        snprintf(settings, sizeof(settings), "nth=%d;errno=EDQUOT", n);
        assert_int_equal(probe(*state, settings, &lines), 0);
        if (strcmp(calls[n - 1], "fallocate") == 0)
            snprintf(expected, sizeof(expected), "fallocate %d 0\n", EDQUOT);
        else
            snprintf(expected, sizeof(expected), "%s -1 %d\n", calls[n - 1], EDQUOT);
        if (!has_line(&lines, expected))
            fail_msg("call %d: %s is not in\n%s", n, expected, (char *)lines.data);
    }
    assert_int_equal(probe(*state, "nth=15;errno=EDQUOT", &lines), 0);
    assert_null(strstr((char *)lines.data, "-1"));
    buffer_release(&lines);
}

static void nth__sticky_fails_from_there_on(void **state)
{
    struct buffer lines = BUFFER_INIT(10000);

    assert_int_equal(probe(*state, "nth=4;errno=ENOSPC;sticky=1", &lines), 0);
    assert_true(has_line(&lines, "pwrite 4 0\nfsync -1 28\nfdatasync -1 28\nftruncate -1 28\n"));
    buffer_release(&lines);
}

static void when__after_makes_the_call_all_the_same(void **state)
{
    struct buffer lines = BUFFER_INIT(10000);
    struct stat st;

    assert_int_equal(probe(*state, "nth=8;errno=EIO;when=after", &lines), 0);
    assert_true(has_line(&lines, "mkdir -1 5\nrename 0 0\n")); /* the folder was made */
    assert_int_equal(stat("d", &st), 0);
    buffer_release(&lines);
}

static void short__writes_half(void **state)
{
    struct buffer lines = BUFFER_INIT(10000);

    assert_int_equal(probe(*state, "nth=2;errno=SHORT", &lines), 0);
    assert_true(has_line(&lines, "write 5 0\npwrite 4 0\n"));
    assert_int_equal(probe(*state, "nth=9;errno=SHORT", &lines), 0);
    assert_null(strstr((char *)lines.data, "-1")); /* half a rename does not exist */
    buffer_release(&lines);
}

static void kill__before_or_after_the_call(void **state)
{
    struct buffer lines = BUFFER_INIT(10000);
    struct stat st;

    assert_int_equal(probe(*state, "nth=8;errno=KILL", &lines), 128 + SIGKILL);
    assert_true(has_line(&lines, "fallocate 0 0\n"));
    assert_int_equal(stat("d", &st), -1);
    assert_int_equal(probe(*state, "nth=8;errno=KILL;when=after", &lines), 128 + SIGKILL);
    assert_false(has_line(&lines, "mkdir"));
    assert_int_equal(stat("d", &st), 0);
    buffer_release(&lines);
}

static void settings__unknown_ones_do_not_pass_for_a_run(void **state)
{
    struct buffer lines = BUFFER_INIT(10000);

    assert_int_equal(probe(*state, "nth=1;errno=EWHAT", &lines), 99);
    assert_int_equal(probe(*state, "nht=1", &lines), 99);
    buffer_release(&lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(count__is_of_this_process_and_of_disks),
        folder_test(nth__call_fails_and_no_other),
        folder_test(nth__sticky_fails_from_there_on),
        folder_test(when__after_makes_the_call_all_the_same),
        folder_test(short__writes_half),
        folder_test(kill__before_or_after_the_call),
        folder_test(settings__unknown_ones_do_not_pass_for_a_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
