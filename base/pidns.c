#include "pidns.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void close_all(int keep)
{
    struct rlimit limit;
    int top = 65536;

    if (keep > 0)
        (void)close_range(0, (unsigned)keep - 1, 0);
    if (close_range((unsigned)(keep + 1), ~0U, 0) == 0)
        return;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < (rlim_t)top)
        top = (int)limit.rlim_cur;
    for (int fd = 0; fd < top; fd++)
        if (fd != keep)
            (void)close(fd);
}

/* Locks and pipes of the parent end with the parent, not with this. As its child ends, so does it; an init reaps what is not its own, too. */
static void __attribute__((noreturn)) stay(pid_t child, int keep)
{
    int raw = 0;
    pid_t got;

    close_all(keep);
    while ((got = waitpid(-1, &raw, 0)) != child)
        if (got < 0 && errno != EINTR)
            _exit(127);
    _exit(WIFSIGNALED(raw) ? 128 + WTERMSIG(raw) : WEXITSTATUS(raw));
}

/* The keeper holds the other end until it dies, which may be before the line that asks to be told of it. */
static void end_with_keeper(int held)
{
    struct pollfd keeper = {held, 0, 0};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (poll(&keeper, 1, 0) != 0)
        _exit(127);
}

int pidns_enter(const struct process_cover *covers, size_t count)
{
    int ends[2] = {-1, -1};
    pid_t child;

    if (unshare(CLONE_NEWPID | CLONE_NEWNS) || mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL))
        return -1;
    for (size_t i = 0; i < count; i++)
        if (mount("overlay", covers[i].at, "overlay", MS_NOSUID | MS_NODEV, covers[i].options))
            return -1;
    if (pipe(ends))
        return -1;
    child = _Fork();
    if (child < 0)
        return -1;
    if (child > 0)
        stay(child, ends[0]);
    (void)close(ends[0]);
    end_with_keeper(ends[1]);
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
        return -1;
    child = _Fork();
    if (child < 0)
        return -1;
    if (child > 0)
        stay(child, -1);
    (void)close(ends[1]);
    return 0;
}
