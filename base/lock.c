#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "file.h"
#include "text.h"
#include "thread.h"

#define NOTE_MAX 512
#define PAUSE_MS 50
#define TELL_AFTER_MS 300

/* The command of this process on one line. Arguments hold no secrets (P10). */
static void own_command(char *out, size_t out_len)
{
    struct error ignored = ERROR_INIT;
    char raw[256];
    size_t got = 0;
    int fd = -1;

    if (!file_open(AT_FDCWD, "/proc/self/cmdline", O_RDONLY, 0, &fd, &ignored))
        (void)file_read(fd, raw, sizeof(raw), &got, "cmdline", &ignored);
    file_close(&fd);
    while (got > 0 && raw[got - 1] == '\0')
        got--;
    for (size_t i = 0; i < got; i++) {
        if (raw[i] == '\0')
            raw[i] = ' ';
    }
    text_name(raw, got, out, out_len);
}

/* Leaves word of who holds the lock. Best effort: the lock holds without it, and the disk may be read-only. */
static void write_note(int fd)
{
    struct error ignored = ERROR_INIT;
    char command[NOTE_MAX / 2];
    char since[TEXT_MAX];
    char note[NOTE_MAX];
    int len;

    own_command(command, sizeof(command));
    text_moment(clock_now(), since);
    len = snprintf(note, sizeof(note), "process %ld (%s) since %s\n", (long)getpid(), command, since);
    if (ftruncate(fd, 0) == 0)
        (void)file_write_at(fd, note, (size_t)len, 0, "lock", &ignored);
}

/* The holder's note, or words for a holder that left none. A note of a process that is gone names nobody. */
static void read_note(int fd, char out[NOTE_MAX])
{
    char raw[NOTE_MAX];
    ssize_t got = pread(fd, raw, sizeof(raw) - 1, 0);
    long pid = 0;
    char *end;

    raw[got > 0 ? got : 0] = '\0';
    end = strchr(raw, '\n');
    if (end)
        *end = '\0';
    if (sscanf(raw, "process %ld (", &pid) == 1 && pid > 0 && (kill((pid_t)pid, 0) == 0 || errno != ESRCH))
        text_name(raw, strlen(raw), out, NOTE_MAX);
    else
        snprintf(out, NOTE_MAX, "another process");
}

/* Opens the lock file, making it if it is absent. One that may only be read can be locked all the same. */
static enum error_kind open_lock(const char *path, int *fd, struct error *err)
{
    struct error first = ERROR_INIT;
    enum error_kind rc = file_open(AT_FDCWD, path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NOCTTY, 0600, fd, &first);

    if (rc == ERR_IO && (first.sys == EROFS || first.sys == EACCES) &&
        !file_open(AT_FDCWD, path, O_RDONLY | O_NOFOLLOW | O_NOCTTY, 0, fd, err)) {
        return OK;
    }
    if (rc)
        *err = first;
    return rc;
}

/* Does the name still lead to the file that was locked? Its folder may have been cleared away while we waited. */
static bool still_there(int fd, const char *path)
{
    struct stat locked;
    struct stat named;

    return fstat(fd, &locked) == 0 && stat(path, &named) == 0 && locked.st_dev == named.st_dev &&
           locked.st_ino == named.st_ino;
}

/* One attempt. OK with *fd >= 0: taken. OK with *fd < 0: the file was replaced, try again. ERR_BUSY: held. */
static enum error_kind try_once(const char *path, int operation, const char *what, int *fd, struct error *err)
{
    char holder[NOTE_MAX];
    enum error_kind rc;

    rc = open_lock(path, fd, err);
    if (rc)
        return rc;
    if (flock(*fd, operation | LOCK_NB) == 0) {
        if (!still_there(*fd, path))
            file_close(fd);
        return OK;
    }
    if (errno == EWOULDBLOCK) {
        read_note(*fd, holder);
        rc = error_set(err, ERR_BUSY, 0, "%s is in use by %s", what, holder);
        error_hint(err, "wait until it has ended, then try again");
    } else if (errno != EINTR) {
        rc = error_set(err, ERR_IO, errno, "cannot lock %s", path);
    }
    file_close(fd);
    return rc;
}

static file_lock_waiting_fn *on_wait;
static void *on_wait_arg;

void file_lock_on_wait(file_lock_waiting_fn *fn, void *arg)
{
    on_wait = fn;
    on_wait_arg = arg;
}

/* Most locks are held for a moment: that is not worth a word. */
static void say_waiting(int64_t since_ms, bool *said, const struct error *busy)
{
    if (*said || !on_wait || clock_monotonic_ms() - since_ms < TELL_AFTER_MS)
        return;
    *said = true;
    on_wait(on_wait_arg, busy->text);
}

enum error_kind file_lock_take(struct file_lock *lock, const char *path, enum lock_mode mode, int timeout_ms,
                               const char *what, struct error *err)
{
    static const struct timespec pause = {0, PAUSE_MS * 1000000L};
    int64_t since = clock_monotonic_ms();
    int64_t deadline = since + timeout_ms;
    bool said = false;
    struct error attempt = ERROR_INIT;
    char *name = NULL;
    enum error_kind rc;
    int fd = -1;

    rc = memory_string(path, &name, err);
    if (rc)
        return rc;
    for (;;) {
        rc = try_once(path, mode == LOCK_EXCLUSIVE ? LOCK_EX : LOCK_SH, what, &fd, &attempt);
        if (!rc && fd >= 0)
            break;
        if (rc && (rc != ERR_BUSY || (timeout_ms >= 0 && clock_monotonic_ms() >= deadline))) {
            *err = attempt;
            goto done;
        }
        if (!rc)
            continue;
        say_waiting(since, &said, &attempt);
        error_clear(&attempt);
        rc = cancel_check(err);
        if (rc)
            goto done;
        nanosleep(&pause, NULL);
    }
    write_note(fd);
    *lock = (struct file_lock){fd, name};
    name = NULL;

done:
    free(name);
    return rc;
}

void file_lock_drop(struct file_lock *lock)
{
    if (lock->fd >= 0)
        flock(lock->fd, LOCK_UN); /* also if a child that has not reached exec yet still shares the open file */
    file_close(&lock->fd);
    free(lock->path);
    *lock = (struct file_lock)FILE_LOCK_INIT;
}
