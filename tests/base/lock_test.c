#include "test_support.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "file.h"
#include "text.h"

/* A child that takes the lock, says so, and keeps it until it is told or killed. */
struct holder {
    pid_t pid;
    int tell;
};

static struct holder holder_start(enum lock_mode mode)
{
    struct holder h;
    int ready[2];
    int tell[2];
    char byte;

    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(tell), 0);
    h.pid = fork();
    if (h.pid == 0) {
        struct file_lock lock = FILE_LOCK_INIT;
        struct error err = ERROR_INIT;

        close(tell[1]);
        if (file_lock_take(&lock, "lock", mode, 0, "the lock", &err) || write(ready[1], "x", 1) != 1)
            _exit(1);
        if (read(tell[0], &byte, 1) < 0)
            _exit(1);
        usleep(200000);
        file_lock_drop(&lock);
        free(lock.path);
        _exit(0);
    }
    assert_true(h.pid > 0);
    close(ready[1]);
    close(tell[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    h.tell = tell[1];
    return h;
}

static void holder_wait(struct holder *h)
{
    close(h->tell);
    assert_int_equal(waitpid(h->pid, NULL, 0), h->pid);
}

static void lock__held_is_busy_and_names_the_holder(void **state)
{
    struct file_lock lock = FILE_LOCK_INIT;
    struct error err = ERROR_INIT;
    struct holder h = holder_start(LOCK_EXCLUSIVE);
    char pid[32];

    (void)state;
    assert_int_equal(file_lock_take(&lock, "lock", LOCK_SHARED, 0, "the catalogue x", &err), ERR_BUSY);
    snprintf(pid, sizeof(pid), "process %d (", (int)h.pid);
    assert_non_null(strstr(err.text, pid));
    assert_non_null(strstr(err.text, "the catalogue x"));
    assert_true(err.hint[0] != '\0');
    assert_int_equal(lock.fd, -1);
    kill(h.pid, SIGKILL);
    holder_wait(&h);
    error_clear(&err);
    assert_int_equal(file_lock_take(&lock, "lock", LOCK_EXCLUSIVE, 0, "x", &err), OK); /* it died with its process */
    file_lock_drop(&lock);
    file_lock_drop(&lock);
}

static void lock__shared_with_shared(void **state)
{
    struct file_lock lock = FILE_LOCK_INIT;
    struct error err = ERROR_INIT;
    struct holder h = holder_start(LOCK_SHARED);

    (void)state;
    assert_int_equal(file_lock_take(&lock, "lock", LOCK_SHARED, 0, "x", &err), OK);
    file_lock_drop(&lock);
    assert_int_equal(file_lock_take(&lock, "lock", LOCK_EXCLUSIVE, 0, "x", &err), ERR_BUSY);
    holder_wait(&h);
}

static void lock__waits_until_its_deadline(void **state)
{
    struct file_lock lock = FILE_LOCK_INIT;
    struct error err = ERROR_INIT;
    struct holder h = holder_start(LOCK_EXCLUSIVE);
    int64_t start = clock_monotonic_ms();

    (void)state;
    assert_int_equal(file_lock_take(&lock, "lock", LOCK_EXCLUSIVE, 150, "x", &err), ERR_BUSY);
    assert_in_range(clock_monotonic_ms() - start, 150, 5000);
    error_clear(&err);
    close(h.tell); /* it drops the lock 200 ms later */
    assert_int_equal(file_lock_take(&lock, "lock", LOCK_EXCLUSIVE, 20000, "x", &err), OK);
    file_lock_drop(&lock);
    assert_int_equal(waitpid(h.pid, NULL, 0), h.pid);
}

struct told {
    unsigned times;
    char line[256];
};

static void note_waiting(void *arg, const char *line)
{
    struct told *t = arg;

    t->times++;
    snprintf(t->line, sizeof(t->line), "%s", line);
}

static void lock__that_is_waited_for_is_told_once(void **state)
{
    struct told t = {0, ""};
    struct file_lock lock = FILE_LOCK_INIT;
    struct error err = ERROR_INIT;
    struct holder h = holder_start(LOCK_EXCLUSIVE);
    char pid[32];

    (void)state;
    file_lock_on_wait(note_waiting, &t);
    assert_int_equal(file_lock_take(&lock, "lock", LOCK_SHARED, 0, "x", &err), ERR_BUSY);
    assert_int_equal(t.times, 0); /* that was no waiting */
    error_clear(&err);
    assert_int_equal(file_lock_take(&lock, "lock", LOCK_SHARED, 800, "the catalogue x", &err), ERR_BUSY);
    assert_int_equal(t.times, 1);
    snprintf(pid, sizeof(pid), "process %d (", (int)h.pid);
    assert_non_null(strstr(t.line, pid));
    assert_non_null(strstr(t.line, "the catalogue x"));
    file_lock_on_wait(NULL, NULL);
    holder_wait(&h);
}

static void lock__file_cleared_away_meanwhile_does_not_count(void **state)
{
    struct file_lock lock = FILE_LOCK_INIT;
    struct file_lock other = FILE_LOCK_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(file_lock_take(&lock, "lock", LOCK_EXCLUSIVE, 0, "x", &err), OK);
    assert_int_equal(unlink("lock"), 0);
    assert_int_equal(file_lock_take(&other, "lock", LOCK_EXCLUSIVE, 0, "x", &err), OK); /* a new file, a new lock */
    file_lock_drop(&other);
    file_lock_drop(&lock);
    assert_int_equal(file_lock_take(&lock, "absent/lock", LOCK_SHARED, 0, "x", &err), ERR_NOT_FOUND);
}

static void lock__planted_symlink_is_refused(void **state)
{
    struct file_lock lock = FILE_LOCK_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(file_replace("precious", "data", 4, 0600, &err), OK);
    assert_int_equal(symlink("precious", "lock"), 0);
    assert_int_equal(file_lock_take(&lock, "lock", LOCK_EXCLUSIVE, 0, "x", &err), ERR_IO);
    assert_int_equal(lock.fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(lock__held_is_busy_and_names_the_holder),
        folder_test(lock__shared_with_shared),
        folder_test(lock__waits_until_its_deadline),
        folder_test(lock__that_is_waited_for_is_told_once),
        folder_test(lock__file_cleared_away_meanwhile_does_not_count),
        folder_test(lock__planted_symlink_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
