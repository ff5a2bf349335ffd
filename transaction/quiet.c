/*
 * Proof of quiet (T5): no process has its working directory, its executable, a mapping or an open file in a tree. Such a
 * process would go on writing into the tree that was taken away (tried; proc(5) names the four places).
 *
 * A process in a mount namespace of its own (a container) may have the tree at another path: there the folders above each path
 * are compared by device and inode. One that has mounted only a part of the tree is not seen by that.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "transaction_internal.h"

#define MAPS_LINE_MAX 8192

#define ABOVE_MAX 1024        /* folders above a path that are looked at */
#define STAT_FIELDS_BEFORE 20 /* blanks in proc(5)'s stat between the command and the start */

struct scan {
    const char *const *roots;
    size_t count;
    int pid_fd;   /* of the process that is looked at */
    bool foreign; /* it has a mount namespace of its own */
    struct text_list *out;
    bool complete;
    bool end; /* who is found is ended */
};

static bool is_root(const struct scan *s, const struct stat *st)
{
    struct stat root;

    for (size_t i = 0; i < s->count; i++)
        if (stat(s->roots[i], &root) == 0 && root.st_dev == st->st_dev && root.st_ino == st->st_ino)
            return true;
    return false;
}

/* Is this folder, or one above it, one of the roots? Takes over fd. */
static bool climb(const struct scan *s, int fd)
{
    struct stat at;
    struct stat last = {.st_ino = 0};
    bool found = false;

    for (int i = 0; fd >= 0 && i < ABOVE_MAX && fstat(fd, &at) == 0; i++) {
        int up;

        found = is_root(s, &at);
        if (found || (at.st_dev == last.st_dev && at.st_ino == last.st_ino))
            break;
        last = at;
        up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        fd = up;
    }
    file_close(&fd);
    return found;
}

/* The path as the process itself sees it: the nearest folder at or above it that is there. */
static bool below_elsewhere(const struct scan *s, const char *path)
{
    char within[MAPS_LINE_MAX];
    int fd = -1;

    if (path[0] != '/' || snprintf(within, sizeof(within), "root%s", path) >= (int)sizeof(within))
        return false;
    while (fd < 0 && strchr(within, '/')) {
        fd = openat(s->pid_fd, within, O_PATH | O_DIRECTORY | O_CLOEXEC);
        *strrchr(within, '/') = '\0';
    }
    return climb(s, fd);
}

static bool below(const struct scan *s, const char *path)
{
    if (s->foreign && below_elsewhere(s, path))
        return true;
    for (size_t i = 0; i < s->count; i++) {
        size_t n = strlen(s->roots[i]);

        if (!strncmp(path, s->roots[i], n) && (path[n] == '\0' || path[n] == '/'))
            return true;
    }
    return false;
}

/* True if the link leads below a root; target is filled in. */
static bool link_below(struct scan *s, int dirfd, const char *name, char *target, size_t len)
{
    ssize_t n = readlinkat(dirfd, name, target, len - 1);

    if (n < 0) {
        if (errno == EACCES || errno == EPERM)
            s->complete = false;
        return false;
    }
    target[n] = '\0';
    return below(s, target);
}

static bool descriptor_below(struct scan *s, int pid_fd, char *target, size_t len)
{
    int fd = openat(pid_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    bool found = false;
    struct dirent *e;

    if (!dir) {
        if (errno == EACCES || errno == EPERM)
            s->complete = false;
        if (fd >= 0)
            close(fd);
        return false;
    }
    while (!found && (e = readdir(dir)))
        if (isdigit((unsigned char)e->d_name[0]))
            found = link_below(s, dirfd(dir), e->d_name, target, len);
    closedir(dir);
    return found;
}

/* Does the process see other mounts than we do? */
static bool is_foreign(int pid_fd)
{
    char ours[64];
    char theirs[64];
    ssize_t a = readlink("/proc/self/ns/mnt", ours, sizeof(ours));
    ssize_t b = readlinkat(pid_fd, "ns/mnt", theirs, sizeof(theirs));

    return a > 0 && b > 0 && (a != b || memcmp(ours, theirs, (size_t)a) != 0);
}

/* .NET maps its assemblies and closes the descriptors: the maps tell. */
static bool mapping_below(struct scan *s, int pid_fd, char *target, size_t len)
{
    int fd = openat(pid_fd, "maps", O_RDONLY | O_CLOEXEC);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
    char line[MAPS_LINE_MAX];
    bool found = false;

    if (!f) {
        if (errno == EACCES || errno == EPERM)
            s->complete = false;
        if (fd >= 0)
            close(fd);
        return false;
    }
    while (!found && fgets(line, sizeof(line), f)) {
        char *path = strchr(line, '/');

        if (!path)
            continue;
        path[strcspn(path, "\n")] = '\0';
        found = below(s, path);
        if (found)
            (void)snprintf(target, len, "%s", path);
    }
    (void)fclose(f);
    return found;
}

static enum error_kind report(struct scan *s, int pid_fd, const char *pid, const char *how, const char *target,
                              struct error *err)
{
    char command[64] = "?";
    struct stat st;
    struct passwd *pw = NULL;
    int fd = openat(pid_fd, "comm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, command, sizeof(command) - 1);

    /* By the folder in /proc, not by the number: that may be another's by now. */
    if (s->end)
        (void)syscall(SYS_pidfd_send_signal, pid_fd, SIGKILL, NULL, 0);
    file_close(&fd);
    if (n > 0) {
        command[n] = '\0';
        command[strcspn(command, "\n")] = '\0';
    }
    if (fstat(pid_fd, &st) == 0)
        pw = getpwuid(st.st_uid);
    return text_list_addf(s->out, err, "pid %s %s (%s): %s %s", pid, command, pw ? pw->pw_name : "?", how, target);
}

/*
 * An init that holds capabilities which root here lacks (containers, sandboxes) can't be looked at; it is not the shop, since the
 * shop was started with no more rights than nopsnap has.
 */
static bool may_be_unreadable(const char *pid)
{
    return !strcmp(pid, "1") && geteuid() == 0;
}

static enum error_kind look_at(struct scan *s, int proc_fd, const char *pid, struct error *err)
{
    char target[MAPS_LINE_MAX];
    bool complete = s->complete;
    int pid_fd = openat(proc_fd, pid, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum error_kind rc = OK;

    if (pid_fd < 0)
        return OK; /* it has ended */
    s->pid_fd = pid_fd;
    s->foreign = is_foreign(pid_fd);
    if (link_below(s, pid_fd, "cwd", target, sizeof(target)))
        rc = report(s, pid_fd, pid, "works in", target, err);
    else if (link_below(s, pid_fd, "exe", target, sizeof(target)))
        rc = report(s, pid_fd, pid, "runs", target, err);
    else if (descriptor_below(s, pid_fd, target, sizeof(target)))
        rc = report(s, pid_fd, pid, "has open", target, err);
    else if (mapping_below(s, pid_fd, target, sizeof(target)))
        rc = report(s, pid_fd, pid, "maps", target, err);
    if (may_be_unreadable(pid))
        s->complete = complete;
    close(pid_fd);
    return rc;
}

static enum error_kind look_at_all(struct scan *s, struct error *err)
{
    DIR *proc = opendir("/proc");
    struct dirent *e;
    enum error_kind rc = OK;

    if (!proc)
        return error_set(err, ERR_IO, errno, "/proc");
    while (!rc && (e = readdir(proc))) {
        if (!isdigit((unsigned char)e->d_name[0]) || strtol(e->d_name, NULL, 10) == (long)getpid())
            continue;
        rc = look_at(s, dirfd(proc), e->d_name, err);
    }
    closedir(proc);
    return rc;
}

enum error_kind quiet_processes(const char *const *roots, size_t count, struct text_list *out, bool *complete,
                                struct error *err)
{
    struct scan s = {.roots = roots, .count = count, .pid_fd = -1, .out = out, .complete = true};
    enum error_kind rc = look_at_all(&s, err);

    if (complete)
        *complete = s.complete;
    return rc;
}

/* Until a look finds nobody, or the time is over: busy then says who. */
static enum error_kind look_until_quiet(struct scan *s, int timeout_ms, struct error *err)
{
    int64_t deadline = clock_monotonic_ms() + timeout_ms;
    enum error_kind rc;

    for (;;) {
        text_list_release(s->out);
        rc = look_at_all(s, err);
        if (rc || !s->out->count || clock_monotonic_ms() >= deadline)
            return rc;
        nanosleep(&(struct timespec){0, 100000000}, NULL);
    }
}

enum error_kind quiet_wait(const char *const *roots, size_t count, int timeout_ms, struct error *err)
{
    struct text_list busy = TEXT_LIST_INIT;
    struct scan s = {.roots = roots, .count = count, .pid_fd = -1, .out = &busy};
    enum error_kind rc = look_until_quiet(&s, timeout_ms, err);

    if (!rc && busy.count) {
        rc = error_set(err, ERR_REFUSED, 0, "%zu process%s still at work in the shop's folder, first: %s", busy.count,
                       busy.count == 1 ? " is" : "es are", busy.items[0]);
        error_hint(err, "end them, or name the shop's `service` (or `stop` and `start`) in the config");
    }
    text_list_release(&busy);
    return rc;
}

enum error_kind quiet_end(const char *root, int timeout_ms, struct error *err)
{
    struct text_list busy = TEXT_LIST_INIT;
    struct scan s = {.roots = &root, .count = 1, .pid_fd = -1, .out = &busy, .end = true};
    enum error_kind rc = look_until_quiet(&s, timeout_ms, err);

    if (!rc && busy.count) {
        rc = error_set(err, ERR_REFUSED, 0, "%zu process%s in %s and can't be ended, first: %s", busy.count,
                       busy.count == 1 ? " is" : "es are", root, busy.items[0]);
        error_hint(err, "end them by hand");
    }
    text_list_release(&busy);
    return rc;
}

/* ---- the shop's program ---- */

int64_t quiet_start_ms(int pid_fd, long *pid)
{
    char line[1024];
    int fd = openat(pid_fd, "stat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
    const char *p = NULL;

    file_close(&fd);
    if (n > 0) {
        line[n] = '\0';
        *pid = strtol(line, NULL, 10);
        p = strrchr(line, ')'); /* a command may have blanks and brackets in its name */
    }
    for (int i = 0; p && i < STAT_FIELDS_BEFORE; i++)
        p = strchr(p + 1, ' ');
    return p ? (int64_t)(strtoll(p, NULL, 10) * 1000 / sysconf(_SC_CLK_TCK)) : 0;
}

bool quiet_runs_program(const char *root, int pid_fd)
{
    struct scan s = {.roots = &root, .count = 1, .pid_fd = pid_fd, .foreign = is_foreign(pid_fd)};
    char target[MAPS_LINE_MAX];

    return link_below(&s, pid_fd, "exe", target, sizeof(target)) || mapping_below(&s, pid_fd, target, sizeof(target));
}

int quiet_program(const char *root, int64_t not_before_ms)
{
    DIR *proc = opendir("/proc");
    struct dirent *e;
    int found = -1;
    long pid = 0;

    while (proc && found < 0 && (e = readdir(proc))) {
        if (!isdigit((unsigned char)e->d_name[0]) || strtol(e->d_name, NULL, 10) == (long)getpid())
            continue;
        found = openat(dirfd(proc), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (found >= 0 && (quiet_start_ms(found, &pid) < not_before_ms || !quiet_runs_program(root, found)))
            file_close(&found);
    }
    if (proc)
        closedir(proc);
    return found;
}
