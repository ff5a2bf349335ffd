#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "file.h"
#include "netns.h"
#include "pidns.h"
#include "text.h"
#include "thread.h"

#define STDERR_KEPT 8192
#define WAIT_MS 200      /* before a signal that interrupted another thread is seen */
#define WAIT_BLIND_MS 20 /* where only asking tells whether a child has ended */
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/*
 * What stands beside a running child: its name for messages, and the thread that keeps the end of its stderr.
 * The thread ends when told to, not at the end of the pipe: a service that the child left running may hold the
 * other end for as long as it lives.
 */
struct drain {
    pthread_t thread;
    bool running;
    int from; /* read end of stderr */
    int stop; /* eventfd */
    char *program;
    size_t len;
    unsigned char kept[2 * STDERR_KEPT];
};

/* Everything the child needs between fork and exec, made before: there only async-signal-safe calls are allowed. */
struct launch {
    char *program;
    char **environment;
    int in;
    int out;
    int err;
    int report; /* the child says here why it got nowhere; exec closes it */
};

/* What the child says of itself when there is no exec. */
struct obstacle {
    int sys;
    int kept_in; /* 1: it may have no namespace of its own */
};

/* PATH */

static enum error_kind find_program(const char *name, char **out, struct error *err)
{
    const char *path = getenv("PATH");
    enum error_kind rc;

    if (strchr(name, '/'))
        return access(name, X_OK) == 0 ? memory_string(name, out, err)
                                       : error_set(err, ERR_NOT_FOUND, errno, "cannot run %s", name);
    for (const char *p = path && *path ? path : DEFAULT_PATH; *p != '\0';) {
        size_t len = strcspn(p, ":");
        char *candidate = NULL;
        struct stat st;

        if (len > 0 && len < PATH_MAX) { /* an empty component means the working directory: not for us */
            rc = memory_format(&candidate, err, "%.*s/%s", (int)len, p, name);
            if (rc)
                return rc;
            if (stat(candidate, &st) == 0 && S_ISREG(st.st_mode) && access(candidate, X_OK) == 0) {
                *out = candidate;
                return OK;
            }
            free(candidate);
        }
        p += len + (p[len] == ':');
    }
    return error_set(err, ERR_NOT_FOUND, 0, "the program %s is in no folder of PATH", name);
}

bool process_exists(const char *program)
{
    struct error ignored = ERROR_INIT;
    char *found = NULL;
    bool there = find_program(program, &found, &ignored) == OK;

    free(found);
    return there;
}

/* Environment: pointers to our own strings and to the caller's; only the array is allocated. */

static bool same_variable(const char *a, const char *b)
{
    size_t len = strcspn(a, "=");

    return strncmp(a, b, len) == 0 && b[len] == '=';
}

static bool is_replaced(const char *variable, const char *const *changes)
{
    for (; changes && *changes; changes++) {
        if (same_variable(*changes, variable))
            return true;
    }
    return false;
}

static enum error_kind make_environment(const char *const *changes, bool clear, char ***out, struct error *err)
{
    size_t count = 0;
    void *array = NULL;
    enum error_kind rc;

    for (char **e = environ; e && *e; e++)
        count++;
    for (const char *const *c = changes; c && *c; c++)
        count++;
    rc = memory_zeroed(count + 1, sizeof(char *), &array, err);
    if (rc)
        return rc;
    *out = array;
    count = 0;
    for (char **e = environ; e && *e; e++) {
        if (!clear && !is_replaced(*e, changes))
            (*out)[count++] = *e;
    }
    for (const char *const *c = changes; c && *c; c++)
        (*out)[count++] = (char *)(uintptr_t)*c; /* execve(2) promises to leave it alone */
    return OK;
}

/* stderr */

static void drain_keep(struct drain *d, size_t got)
{
    d->len += got;
    if (d->len > STDERR_KEPT) {
        memmove(d->kept, d->kept + d->len - STDERR_KEPT, STDERR_KEPT);
        d->len = STDERR_KEPT;
    }
}

static void *drain_run(void *arg)
{
    struct drain *d = arg;
    struct pollfd ready[2] = {{d->from, POLLIN, 0}, {d->stop, POLLIN, 0}};

    for (;;) {
        ssize_t got;

        if (poll(ready, 2, -1) < 0 && errno != EINTR)
            return NULL;
        got = read(d->from, d->kept + d->len, sizeof(d->kept) - d->len);
        if (got > 0)
            drain_keep(d, (size_t)got);
        else if (got == 0 || (errno != EINTR && errno != EAGAIN))
            return NULL;
        else if (ready[1].revents)
            return NULL; /* told to stop, and there is no more to read at the moment */
    }
}

static void drain_stop(struct drain *d)
{
    uint64_t one = 1;

    if (!d)
        return;
    if (d->running) {
        while (write(d->stop, &one, sizeof(one)) < 0 && errno == EINTR)
            continue;
        pthread_join(d->thread, NULL);
        d->running = false;
    }
    file_close(&d->from);
    file_close(&d->stop);
}

static void drain_free(struct drain *d)
{
    if (!d)
        return;
    drain_stop(d);
    free(d->program);
    free(d);
}

static enum error_kind drain_new(const char *program, int *write_end, struct drain **out, struct error *err)
{
    struct drain *d = NULL;
    void *memory = NULL;
    int ends[2] = {-1, -1};
    enum error_kind rc;

    rc = memory_zeroed(1, sizeof(*d), &memory, err);
    if (rc)
        return rc;
    d = memory;
    d->from = -1;
    d->stop = -1;
    rc = memory_string(program, &d->program, err);
    if (rc)
        goto done;
    if (pipe2(ends, O_CLOEXEC) || (d->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0) {
        rc = error_set(err, ERR_IO, errno, "cannot make a pipe");
        goto done;
    }
    d->from = ends[0];
    ends[0] = -1;
    if (fcntl(d->from, F_SETFL, O_NONBLOCK) < 0) {
        rc = error_set(err, ERR_IO, errno, "cannot make a pipe");
        goto done;
    }
    rc = thread_start(&d->thread, drain_run, d, err);
    if (rc)
        goto done;
    d->running = true;
    *write_end = ends[1];
    *out = d;
    return OK;

done:
    file_close(&ends[0]);
    file_close(&ends[1]);
    drain_free(d);
    return rc;
}

/* The child's side */

static void close_all_on_exec(void)
{
    struct rlimit limit;
    int top = 65536;

    if (syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */) == 0)
        return;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < (rlim_t)top)
        top = (int)limit.rlim_cur;
    for (int fd = 3; fd < top; fd++)
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void reset_signals(void)
{
    struct sigaction action;
    sigset_t none;

    memset(&action, 0, sizeof(action));
    action.sa_handler = SIG_DFL;
    for (int number = 1; number < NSIG; number++)
        (void)sigaction(number, &action, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* First above 2, so that no dup2 overwrites a descriptor that another one still needs. */
static int place_descriptors(const struct launch *l)
{
    int from[3] = {l->in, l->out, l->err};

    for (int i = 0; i < 3; i++) {
        from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 3);
        if (from[i] < 0)
            return -1;
    }
    for (int i = 0; i < 3; i++) {
        if (dup2(from[i], i) < 0)
            return -1;
    }
    return 0;
}

static void __attribute__((noreturn)) child(const struct launch *l, const struct process_spec *spec, pid_t parent)
{
    int report = fcntl(l->report, F_DUPFD_CLOEXEC, 3);
    struct obstacle why = {0, 0};

    if (report >= 0 && place_descriptors(l) == 0) {
        setsid();
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(127); /* it died before the line above could take hold */
        close_all_on_exec();
        reset_signals();
        if ((spec->netns > 0 && netns_enter(spec->netns)) ||
            (spec->own_pids && pidns_enter(spec->covers, spec->cover_count)))
            why.kept_in = 1;
        else if (!spec->directory || chdir(spec->directory) == 0)
            execve(l->program, (char *const *)(uintptr_t)spec->argv, l->environment);
    }
    why.sys = errno;
    while (write(report >= 0 ? report : l->report, &why, sizeof(why)) < 0 && errno == EINTR)
        continue;
    _exit(127);
}

/* The parent's side */

static enum error_kind make_pipe(int *ours, int *theirs, bool ours_reads, struct error *err)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC))
        return error_set(err, ERR_IO, errno, "cannot make a pipe");
    *ours = ends[ours_reads ? 0 : 1];
    *theirs = ends[ours_reads ? 1 : 0];
    return OK;
}

static enum error_kind open_streams(struct launch *l, struct process *p, const struct process_spec *spec,
                                    struct error *err)
{
    enum error_kind rc = OK;

    if (spec->stdin_fd > 0) {
        l->in = fcntl(spec->stdin_fd, F_DUPFD_CLOEXEC, 3);
        if (l->in < 0)
            rc = error_set(err, ERR_IO, errno, "cannot pass on a file");
    } else if (spec->pipe_stdin) {
        rc = make_pipe(&p->stdin_fd, &l->in, false, err);
    } else {
        rc = file_open(AT_FDCWD, "/dev/null", O_RDONLY, 0, &l->in, err);
    }
    if (rc)
        return rc;
    if (spec->pipe_stdout)
        return make_pipe(&p->stdout_fd, &l->out, true, err);
    return file_open(AT_FDCWD, "/dev/null", O_WRONLY, 0, &l->out, err);
}

/* Forks, and waits until the child runs the program or says why not. */
static enum error_kind launch_child(struct launch *l, const struct process_spec *spec, pid_t *pid, struct error *err)
{
    pid_t parent = getpid();
    struct obstacle why = {0, 0};
    int report = -1;
    int sys;
    size_t got = 0;
    pid_t born;
    enum error_kind rc;

    rc = make_pipe(&report, &l->report, true, err);
    if (rc)
        return rc;
    born = fork();
    if (born == 0)
        child(l, spec, parent);
    sys = errno;
    file_close(&l->report);
    if (born < 0) {
        rc = error_set(err, ERR_MEMORY, sys, "cannot start %s", spec->argv[0]);
        goto done;
    }
    rc = file_read(report, &why, sizeof(why), &got, spec->argv[0], err);
    if (!rc && got == sizeof(why))
        rc = error_set(err,
                       why.kept_in                               ? ERR_REFUSED
                       : why.sys == ENOENT || why.sys == ENOTDIR ? ERR_NOT_FOUND
                                                                 : ERR_IO,
                       why.sys, "cannot start %s", spec->argv[0]);
    if (rc) {
        kill(born, SIGKILL);
        while (waitpid(born, NULL, 0) < 0 && errno == EINTR)
            continue;
        goto done;
    }
    *pid = born;

done:
    file_close(&report);
    return rc;
}

enum error_kind process_start(struct process *p, const struct process_spec *spec, struct error *err)
{
    struct launch l = {NULL, NULL, -1, -1, -1, -1};
    struct process started = PROCESS_INIT;
    struct drain *drain = NULL;
    enum error_kind rc;

    rc = find_program(spec->argv[0], &l.program, err);
    if (rc)
        goto done;
    rc = make_environment(spec->environment, spec->clear, &l.environment, err);
    if (rc)
        goto done;
    rc = open_streams(&l, &started, spec, err);
    if (rc)
        goto done;
    rc = drain_new(spec->argv[0], &l.err, &drain, err);
    if (rc)
        goto done;
    rc = launch_child(&l, spec, &started.pid, err);
    if (rc)
        goto done;
    started.stderr_drain = drain;
    drain = NULL;
    if (spec->timeout_ms > 0)
        started.deadline_ms = clock_monotonic_ms() + spec->timeout_ms;
    *p = started;
    started = (struct process)PROCESS_INIT;

done:
    file_close(&started.stdin_fd);
    file_close(&started.stdout_fd);
    file_close(&l.in);
    file_close(&l.out);
    file_close(&l.err);
    drain_free(drain);
    free(l.environment);
    free(l.program);
    return rc;
}

/* The last line with anything on it. */
static void last_line(const struct drain *d, char *out, size_t out_len)
{
    size_t end = d->len;
    size_t start;

    while (end > 0 && (d->kept[end - 1] == '\n' || d->kept[end - 1] == '\r' || d->kept[end - 1] == ' '))
        end--;
    start = end;
    while (start > 0 && d->kept[start - 1] != '\n')
        start--;
    text_name(d->kept + start, end - start, out, out_len);
}

enum error_kind process_said(struct process *p, struct buffer *out, struct error *err)
{
    const struct drain *d = p->stderr_drain;

    drain_stop(p->stderr_drain);
    return d ? buffer_append(out, d->kept, d->len, err) : OK;
}

static enum error_kind blame(const struct drain *d, int status, struct error *err)
{
    char said[1024];

    last_line(d, said, sizeof(said));
    if (status > 128)
        return error_set(err, ERR_REMOTE, 0, "%s was ended by signal %d%s%s", d->program, status - 128,
                         *said ? ": " : "", said);
    return error_set(err, ERR_REMOTE, 0, "%s failed with status %d%s%s", d->program, status, *said ? ": " : "", said);
}

static int pidfd_of(const struct process *p)
{
    return (int)syscall(SYS_pidfd_open, p->pid, 0); /* -1 before Linux 5.3 */
}

static enum error_kind check_deadline(const struct process *p, struct error *err)
{
    const struct drain *d = p->stderr_drain;

    if (!p->deadline_ms || clock_monotonic_ms() < p->deadline_ms)
        return OK;
    return error_set(err, ERR_REMOTE, 0, "%s did not end in time", d->program);
}

/*
 * Until the child has ended, or its time is over, or a signal asks us to stop. The signal may have reached another thread and then interrupts nothing
 * here, hence the timeouts.
 */
static enum error_kind await(const struct process *p, int *raw, struct error *err)
{
    const struct drain *d = p->stderr_drain;
    struct pollfd ended = {pidfd_of(p), POLLIN, 0};
    enum error_kind rc = OK;
    pid_t got;

    while (!rc && (got = waitpid(p->pid, raw, WNOHANG)) != p->pid) {
        if (got < 0 && errno != EINTR)
            rc = error_set(err, ERR_IO, errno, "cannot wait for %s", d->program);
        else
            rc = cancel_check(err);
        if (!rc)
            rc = check_deadline(p, err);
        if (!rc)
            (void)poll(&ended, 1, ended.fd < 0 ? WAIT_BLIND_MS : WAIT_MS);
    }
    file_close(&ended.fd);
    return rc;
}

enum error_kind process_wait(struct process *p, int *status, struct buffer *stderr_out, struct error *err)
{
    struct drain *d = p->stderr_drain;
    enum error_kind rc = OK;
    int raw = 0;
    int value;

    file_close(&p->stdin_fd);
    file_close(&p->stdout_fd);
    if (p->pid == 0)
        return error_set(err, ERR_USAGE, 0, "no process is running");
    rc = await(p, &raw, err);
    if (rc == ERR_CANCELLED || rc == ERR_REMOTE) {
        process_kill(p);
        return rc;
    }
    p->pid = 0;
    p->stderr_drain = NULL;
    drain_stop(d);
    if (!rc && stderr_out)
        rc = buffer_append(stderr_out, d->kept, d->len, err);
    value = WIFSIGNALED(raw) ? 128 + WTERMSIG(raw) : WEXITSTATUS(raw);
    if (!rc && status)
        *status = value;
    else if (!rc && value != 0)
        rc = blame(d, value, err);
    drain_free(d);
    return rc;
}

void process_kill(struct process *p)
{
    file_close(&p->stdin_fd);
    file_close(&p->stdout_fd);
    if (p->pid > 0) {
        kill(-p->pid, SIGKILL); /* its session's first group: also what a shell started */
        kill(p->pid, SIGKILL);
        while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    p->pid = 0;
    drain_free(p->stderr_drain);
    p->stderr_drain = NULL;
}

/*
 * Collects stdout until its end, or until the child has ended and nothing more is there: a service that it left
 * running may hold the pipe. Without pidfd (Linux before 5.3) the end of the pipe decides alone.
 */
static enum error_kind collect(struct process *p, struct buffer *out, struct error *err)
{
    struct drain *d = p->stderr_drain;
    unsigned char piece[16384];
    enum error_kind rc = OK;
    struct pollfd ready[2] = {{p->stdout_fd, POLLIN, 0}, {-1, POLLIN, 0}};

    if (fcntl(p->stdout_fd, F_SETFL, O_NONBLOCK) < 0)
        return error_set(err, ERR_IO, errno, "cannot read from %s", d->program);
    ready[1].fd = pidfd_of(p);
    for (;;) {
        ssize_t got;

        rc = cancel_check(err);
        if (rc)
            break;
        if (poll(ready, 2, WAIT_MS) < 0 && errno != EINTR) {
            rc = error_set(err, ERR_IO, errno, "cannot wait for %s", d->program);
            break;
        }
        got = read(p->stdout_fd, piece, sizeof(piece));
        if (got > 0) {
            rc = buffer_append(out, piece, (size_t)got, err);
            if (rc)
                break;
        } else if (got == 0 || (errno == EAGAIN && ready[1].revents)) {
            break;
        } else if (errno != EAGAIN && errno != EINTR) {
            rc = error_set(err, ERR_IO, errno, "cannot read from %s", d->program);
            break;
        }
    }
    if (rc)
        error_context(err, "reading what %s prints", d->program);
    file_close(&ready[1].fd);
    return rc;
}

enum error_kind process_run(const struct process_spec *spec, struct buffer *out, int *status, struct error *err)
{
    struct process_spec own = *spec;
    struct process p = PROCESS_INIT;
    enum error_kind rc;

    own.pipe_stdin = false;
    own.pipe_stdout = out != NULL;
    rc = process_start(&p, &own, err);
    if (rc)
        goto done;
    if (out)
        rc = collect(&p, out, err);
    if (!rc)
        rc = process_wait(&p, status, NULL, err);

done:
    process_kill(&p);
    return rc;
}

enum error_kind process_shell(const char *command, struct buffer *out, int *status, struct error *err)
{
    const char *argv[] = {"/bin/sh", "-c", command, NULL};
    struct process_spec spec = {.argv = argv};

    return process_run(&spec, out, status, err);
}

enum error_kind process_shell_within(const char *command, int timeout_ms, int *status, struct error *err)
{
    const char *argv[] = {"/bin/sh", "-c", command, NULL};
    struct process_spec spec = {.argv = argv, .timeout_ms = timeout_ms};

    return process_run(&spec, NULL, status, err);
}
