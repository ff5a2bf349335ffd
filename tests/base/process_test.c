#include "test_support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "file.h"
#include "pidns.h"
#include "process.h"
#include "text.h"
#include "thread.h"

static void run__collects_and_tells_the_status(void **state)
{
    struct buffer out = BUFFER_INIT(1000);
    struct error err = ERROR_INIT;
    int status = -1;

    (void)state;
    assert_int_equal(process_shell("echo hello; exit 7", &out, &status, &err), OK);
    assert_int_equal(status, 7);
    assert_string_equal((char *)out.data, "hello\n");
    assert_int_equal(process_shell("kill -TERM $$", NULL, &status, &err), OK);
    assert_int_equal(status, 128 + SIGTERM);
    buffer_release(&out);
}

static void run__failure_quotes_the_last_line(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(process_shell("echo first >&2; echo 'the reason' >&2; echo >&2; exit 1", NULL, NULL, &err),
                     ERR_REMOTE);
    assert_non_null(strstr(err.text, "the reason"));
    assert_null(strstr(err.text, "first"));
    assert_int_equal(process_shell("kill -9 $$", NULL, NULL, &err), ERR_REMOTE);
    assert_non_null(strstr(err.text, "signal 9"));
}

static void run__absent_program_is_not_found(void **state)
{
    static const char *const argv[] = {"nopsnap-no-such-program", NULL};
    static const char *const there[] = {"sh", "-c", "exit 0", NULL};
    struct process_spec spec = {.argv = argv};
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(process_run(&spec, NULL, NULL, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "nopsnap-no-such-program"));
    spec.argv = there;
    assert_int_equal(process_run(&spec, NULL, NULL, &err), OK);
    assert_true(process_exists("sh"));
    assert_false(process_exists("nopsnap-no-such-program"));
    spec.directory = "/no/such/folder";
    assert_int_equal(process_run(&spec, NULL, NULL, &err), ERR_NOT_FOUND);
}

static void run__more_output_than_allowed_is_an_error(void **state)
{
    struct buffer out = BUFFER_INIT(1000);
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(process_shell("yes", &out, NULL, &err), ERR_MEMORY); /* and yes(1) is ended */
    assert_true(out.len <= 1000);
    buffer_release(&out);
}

static void run__long_stderr_keeps_its_end(void **state)
{
    static const char *const argv[] = {"/bin/sh", "-c", "seq 1 100000 >&2; echo last >&2", NULL};
    struct process_spec spec = {.argv = argv};
    struct process p = PROCESS_INIT;
    struct buffer said = BUFFER_INIT(100000);
    struct error err = ERROR_INIT;
    int status = -1;

    (void)state;
    assert_int_equal(process_start(&p, &spec, &err), OK);
    assert_int_equal(process_wait(&p, &status, &said, &err), OK);
    assert_int_equal(status, 0);
    assert_int_equal(said.len, 8192);
    assert_string_equal((char *)said.data + said.len - strlen("100000\nlast\n"), "100000\nlast\n");
    assert_int_equal(p.pid, 0);
    buffer_release(&said);
}

static void start__pipes_both_ways(void **state)
{
    static const char *const argv[] = {"cat", NULL};
    struct process_spec spec = {.argv = argv, .pipe_stdin = true, .pipe_stdout = true};
    struct process p = PROCESS_INIT;
    struct error err = ERROR_INIT;
    char back[6] = "";
    size_t got = 0;

    (void)state;
    assert_int_equal(process_start(&p, &spec, &err), OK);
    assert_int_equal(file_write(p.stdin_fd, "hello", 5, "cat", &err), OK);
    file_close(&p.stdin_fd);
    assert_int_equal(file_read(p.stdout_fd, back, 6, &got, "cat", &err), OK);
    assert_int_equal(got, 5);
    assert_string_equal(back, "hello");
    assert_int_equal(process_wait(&p, NULL, NULL, &err), OK);
    process_kill(&p);
}

static void start__file_as_stdin_and_environment(void **state)
{
    static const char *const argv[] = {"/bin/sh", "-c", "cat; echo \"$GIVEN-$HOME\"; pwd", NULL};
    static const char *const environment[] = {"GIVEN=x", "HOME=/changed", NULL};
    struct process_spec spec = {.argv = argv, .environment = environment, .directory = "/", .pipe_stdout = true};
    struct process p = PROCESS_INIT;
    struct error err = ERROR_INIT;
    char back[100] = "";
    size_t got = 0;

    (void)state;
    assert_int_equal(file_replace("in", "from file\n", 10, 0600, &err), OK);
    assert_int_equal(file_open(AT_FDCWD, "in", O_RDONLY, 0, &spec.stdin_fd, &err), OK);
    assert_int_equal(process_start(&p, &spec, &err), OK);
    assert_int_equal(file_read(p.stdout_fd, back, 99, &got, "sh", &err), OK);
    assert_string_equal(back, "from file\nx-/changed\n/\n");
    assert_int_equal(process_wait(&p, NULL, NULL, &err), OK);
    assert_true(fcntl(spec.stdin_fd, F_GETFD) >= 0); /* borrowed: still open */
    file_close(&spec.stdin_fd);
}

static void child__inherits_no_descriptors_and_no_handlers(void **state)
{
    struct buffer out = BUFFER_INIT(1000);
    struct error err = ERROR_INIT;
    int leaky = open("/dev/null", O_RDONLY);
    sigset_t block;

    (void)state;
    sigemptyset(&block);
    sigaddset(&block, SIGTERM);
    sigprocmask(SIG_BLOCK, &block, NULL);
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(process_shell("ls /proc/$$/fd; exec grep -E '^Sig(Blk|Ign)' /proc/self/status", &out, NULL, &err),
                     OK);
    sigprocmask(SIG_UNBLOCK, &block, NULL);
    signal(SIGPIPE, SIG_DFL);
    close(leaky);
    assert_string_equal((char *)out.data, "0\n1\n2\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    buffer_release(&out);
}

static void run__service_left_behind_does_not_hold_us(void **state)
{
    struct buffer out = BUFFER_INIT(1000);
    struct error err = ERROR_INIT;
    int64_t start = clock_monotonic_ms();
    long pid;

    (void)state;
    assert_int_equal(process_shell("sleep 60 & echo $!", &out, NULL, &err), OK); /* it has our pipes still */
    assert_true(clock_monotonic_ms() - start < 20000);
    pid = strtol((char *)out.data, NULL, 10);
    assert_int_equal(kill((pid_t)pid, SIGKILL), 0); /* and it was left alone */
    buffer_release(&out);
}

static void kill__ends_what_a_shell_started_too(void **state)
{
    static const char *const argv[] = {"/bin/sh", "-c", "sleep 60 & echo $!; wait", NULL};
    struct process_spec spec = {.argv = argv, .pipe_stdout = true};
    struct process p = PROCESS_INIT;
    struct error err = ERROR_INIT;
    char line[32] = "";
    pid_t pid;

    (void)state;
    assert_int_equal(process_start(&p, &spec, &err), OK);
    assert_true(read(p.stdout_fd, line, sizeof(line) - 1) > 0);
    pid = (pid_t)strtol(line, NULL, 10);
    process_kill(&p);
    for (int i = 0; i < 200 && kill(pid, 0) == 0; i++) {
        char path[64];
        struct buffer stat = BUFFER_INIT(4096);

        snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        if (file_read_whole(AT_FDCWD, path, 4096, &stat, &err) || strstr((char *)stat.data, ") Z ")) {
            buffer_release(&stat); /* gone, or dead and waiting for a lazy init */
            return;
        }
        buffer_release(&stat);
        usleep(10000);
    }
    assert_int_equal(kill(pid, 0), -1);
}

/* A child of ours dies with us, by whatever end. */
static void child__dies_with_its_parent(void **state)
{
    int ends[2];
    char line[32] = "";
    char path[64];
    pid_t parent;
    pid_t child;
    ssize_t got;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    parent = fork();
    if (parent == 0) {
        static const char *const argv[] = {"sleep", "60", NULL};
        struct process_spec spec = {.argv = argv};
        struct process p = PROCESS_INIT;
        struct error err = ERROR_INIT;

        if (process_start(&p, &spec, &err))
            _exit(1);
        dprintf(ends[1], "%d", (int)p.pid);
        raise(SIGKILL);
    }
    assert_true(parent > 0);
    close(ends[1]);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    got = read(ends[0], line, sizeof(line) - 1);
    assert_true(got > 0);
    close(ends[0]);
    child = (pid_t)strtol(line, NULL, 10);
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)child);
    for (int i = 0; i < 200; i++) {
        struct buffer stat = BUFFER_INIT(4096);
        struct error err = ERROR_INIT;
        bool ended = file_read_whole(AT_FDCWD, path, 4096, &stat, &err) || strstr((char *)stat.data, ") Z ");

        buffer_release(&stat);
        if (ended)
            return;
        usleep(10000);
    }
    fail_msg("process %d is still running", (int)child);
}

/* The child sends us the signal, as Ctrl-C would, and goes on. */
static void run__hanging_child_ends_with_a_signal(void **state)
{
    static const char *const commands[] = {"kill -INT $PPID; sleep 60", "kill -INT $PPID; sleep 60 & wait"};
    struct buffer out = BUFFER_INIT(1000);
    struct error err = ERROR_INIT;
    int64_t began = clock_monotonic_ms();

    (void)state;
    assert_int_equal(cancel_install(&err), OK);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(process_shell(commands[i / 2], i % 2 ? &out : NULL, NULL, &err), ERR_CANCELLED);
        assert_int_equal(cancel_signal(), SIGINT);
        cancel_reset();
    }
    assert_true(clock_monotonic_ms() - began < 30000);
    buffer_release(&out);
}

static void run__what_takes_too_long_is_ended_with_its_children(void **state)
{
    struct error err = ERROR_INIT;
    int64_t began = clock_monotonic_ms();
    int status = -1;

    (void)state;
    assert_int_equal(process_shell_within("exit 3", 60000, &status, &err), OK);
    assert_int_equal(status, 3);
    assert_int_equal(process_shell_within("sleep 60 & echo $! >child; wait", 300, &status, &err), ERR_REMOTE);
    assert_non_null(strstr(err.text, "in time"));
    assert_true(clock_monotonic_ms() - began < 30000);
    assert_int_not_equal(system("kill -0 $(cat child) 2>/dev/null && ! grep -q ') Z ' /proc/$(cat child)/stat"), 0);
    assert_int_equal(unlink("child"), 0);
}

static void run__what_must_finish_is_not_ended_by_a_signal(void **state)
{
    struct error err = ERROR_INIT;
    int status = 0;

    (void)state;
    assert_int_equal(cancel_install(&err), OK);
    cancel_defer(true);
    assert_int_equal(process_shell("kill -INT $PPID; sleep 1; exit 3", NULL, &status, &err), OK);
    cancel_defer(false);
    assert_int_equal(status, 3);
    assert_int_equal(cancel_check(&err), ERR_CANCELLED); /* it was not forgotten */
    assert_int_equal(process_shell("sleep 60", NULL, &status, &err), ERR_CANCELLED);
    cancel_reset();
}

static pid_t parent_of_a_family(int out)
{
    static const char *const argv[] = {
        "sh", "-c", "exec 3>&0; setsid sh -c 'echo ready >&3; sleep 100' & exec setsid sleep 100", NULL};
    struct process_spec spec = {.argv = argv, .stdin_fd = out, .own_pids = true};
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        struct process p = PROCESS_INIT;
        struct error err = ERROR_INIT;

        _exit(process_start(&p, &spec, &err) != OK || pause());
    }
    return pid;
}

/* Whatever it forks and whoever leads a session of his own: the pipe that they all hold ends with the parent. */
static void pids__all_end_with_the_parent(void **state)
{
    char line[16] = "";
    int ends[2];
    pid_t pid;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    pid = parent_of_a_family(ends[1]);
    close(ends[1]);
    assert_int_equal(read(ends[0], line, sizeof(line)), 6);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(read(ends[0], line, sizeof(line)), 0);
    close(ends[0]);
}

static void pids__status_output_and_proc_are_its_own(void **state)
{
    static const char *const argv[] = {
        "sh", "-c", "test -e /proc/$$/stat && echo $$ $A $SECRET; echo why >&2; kill -TERM $$", NULL};
    static const char *const environment[] = {"A=1", "PATH=/usr/bin:/bin", NULL};
    struct process_spec spec = {.argv = argv, .environment = environment, .clear = true, .own_pids = true};
    struct buffer out = BUFFER_INIT(1000);
    struct error err = ERROR_INIT;
    int status = -1;

    (void)state;
    assert_int_equal(setenv("SECRET", "shown", 1), 0);
    assert_int_equal(process_run(&spec, &out, &status, &err), OK);
    assert_string_equal((char *)out.data, "2 1\n");
    assert_int_equal(status, 128 + SIGTERM);
    spec.directory = "/no/such/folder";
    assert_int_equal(process_run(&spec, NULL, NULL, &err), ERR_NOT_FOUND);
    buffer_release(&out);
}

/* What it writes into a covered folder is not in it afterwards, and it saw what was there. */
static void pids__a_cover_keeps_apart_what_is_written(void **state)
{
    static const char *const argv[] = {"sh", "-c", "cat low/there && echo new >low/made && rm low/there && ls low",
                                       NULL};
    char *folder = test_folder_make();
    char options[512];
    struct process_cover cover = {"low", options};
    struct process_spec spec = {
        .argv = argv, .directory = folder, .own_pids = true, .covers = &cover, .cover_count = 1};
    struct buffer out = BUFFER_INIT(1000);
    struct error err = ERROR_INIT;
    enum error_kind rc;

    (void)state;
    (void)snprintf(options, sizeof(options), "lowerdir=low,upperdir=up,workdir=work");
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(system("mkdir low up work; echo is >low/there"), 0);
    rc = process_run(&spec, &out, NULL, &err);
    if (rc == ERR_REFUSED) { /* not every filesystem can be the upper one */
        print_message("no overlay here: %s\n", err.text);
    } else {
        assert_int_equal(rc, OK);
        assert_string_equal((char *)out.data, "is\nmade\n");
        assert_int_equal(system("test -e low/there -a ! -e low/made -a -e up/made"), 0);
    }
    assert_int_equal(chdir("/"), 0);
    buffer_release(&out);
    test_folder_remove(folder);
}

static bool may_have_pids(void)
{
    static const char *const argv[] = {"true", NULL};
    struct process_spec spec = {.argv = argv, .own_pids = true};
    struct error err = ERROR_INIT;

    return process_run(&spec, NULL, NULL, &err) != ERR_REFUSED;
}

int main(void)
{
    const struct CMUnitTest apart[] = {
        cmocka_unit_test(pids__all_end_with_the_parent),
        cmocka_unit_test(pids__status_output_and_proc_are_its_own),
        cmocka_unit_test(pids__a_cover_keeps_apart_what_is_written),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(run__collects_and_tells_the_status),
        cmocka_unit_test(run__failure_quotes_the_last_line),
        cmocka_unit_test(run__absent_program_is_not_found),
        cmocka_unit_test(run__more_output_than_allowed_is_an_error),
        cmocka_unit_test(run__long_stderr_keeps_its_end),
        cmocka_unit_test(start__pipes_both_ways),
        folder_test(start__file_as_stdin_and_environment),
        cmocka_unit_test(child__inherits_no_descriptors_and_no_handlers),
        cmocka_unit_test(run__service_left_behind_does_not_hold_us),
        cmocka_unit_test(kill__ends_what_a_shell_started_too),
        cmocka_unit_test(child__dies_with_its_parent),
        cmocka_unit_test(run__hanging_child_ends_with_a_signal),
        folder_test(run__what_takes_too_long_is_ended_with_its_children),
        cmocka_unit_test(run__what_must_finish_is_not_ended_by_a_signal),
    };

    if (may_have_pids() && cmocka_run_group_tests(apart, NULL, NULL))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
