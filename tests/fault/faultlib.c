/*
 * faultlib.so: makes the nth call that changes a disk fail, for programs that were not built for it.
 *
 *     LD_PRELOAD=$PWD/faultlib.so NOPSNAP_FAULT="nth=17;errno=ENOSPC;paths=/tmp/x;log=/tmp/x.log" nopsnap snapshot ...
 *
 * nth      which call, from 1, over all threads; 0 (the default) only counts
 * errno    ENOSPC, EIO, EINTR, EDQUOT, EROFS, EACCES: the call is not made and reports that;
 *          SHORT: a write writes half (at least one byte), any other call is made as usual;
 *          KILL: SIGKILL
 * when     before (default), or after: the call is made, then reported as failed, or the process killed
 * sticky   1: from the nth on every call fails, as on a disk that stays full
 * paths    only calls on these prefixes count, separated by ':'; without it every path but /dev, /proc and /sys
 * log      file to which a line is added for the fault, and at exit one with the total ("total 123")
 * trace    1: a line for every call that counts
 *
 * It counts what writes, syncs, renames, links, removes, truncates, makes folders, opens for creation, clones, copies,
 * reserves space or changes what is known of a file. Pipes, sockets and terminals never count. It acts on the process it
 * is loaded into: neither what that forks nor, unless NOPSNAP_FAULT_CHILDREN=1, what it starts. What the C library does
 * inside itself (stdio, mkstemp, remove) calls no function that could be replaced, and is not seen.
 */
#undef _FILE_OFFSET_BITS /* else the headers would give open() and its like the names of their 64-bit twins */
#undef _FORTIFY_SOURCE
#define _LARGEFILE64_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#define TEXT_MAX 4096
#define PREFIXES_MAX 16

enum outcome { PASS, FAIL_BEFORE, FAIL_AFTER, KILL_AFTER, CUT_SHORT };

static struct {
    bool active;
    pid_t owner;
    unsigned long nth;
    int error; /* errno, or one of the two below */
    bool after;
    bool sticky;
    bool trace;
    char text[TEXT_MAX]; /* the settings, cut into strings */
    const char *log;
    const char *prefixes[PREFIXES_MAX];
    size_t prefix_count;
} fault;

#define SHORT_WRITE (-1)
#define KILL_PROCESS (-2)

static atomic_ulong counted;

/* The function that ours stands before. */
#define NEXT(name) ((__typeof__(&(name)))(uintptr_t)next_function(#name))

static void *next_function(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);

    if (!found) {
        fprintf(stderr, "faultlib: there is no %s\n", name);
        abort();
    }
    return found;
}

/* Settings */

static int error_named(const char *name)
{
    static const struct {
        const char *name;
        int error;
    } known[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO},       {"EINTR", EINTR},       {"EDQUOT", EDQUOT},
                 {"EROFS", EROFS},   {"EACCES", EACCES}, {"SHORT", SHORT_WRITE}, {"KILL", KILL_PROCESS}};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].name, name) == 0)
            return known[i].error;
    }
    fprintf(stderr, "faultlib: errno=%s is unknown\n", name);
    _exit(99); /* a run without its fault must not pass for one with it */
}

static void take_prefixes(char *list)
{
    char *rest = NULL;

    for (char *p = strtok_r(list, ":", &rest); p; p = strtok_r(NULL, ":", &rest)) {
        if (fault.prefix_count == PREFIXES_MAX) {
            fprintf(stderr, "faultlib: too many paths\n");
            _exit(99);
        }
        fault.prefixes[fault.prefix_count++] = p;
    }
}

static void take_setting(char *setting)
{
    char *value = strchr(setting, '=');

    if (value)
        *value++ = '\0';
    if (!value) {
        fprintf(stderr, "faultlib: %s has no value\n", setting);
        _exit(99);
    } else if (strcmp(setting, "nth") == 0) {
        fault.nth = strtoul(value, NULL, 10);
    } else if (strcmp(setting, "errno") == 0) {
        fault.error = error_named(value);
    } else if (strcmp(setting, "when") == 0) {
        fault.after = strcmp(value, "after") == 0;
    } else if (strcmp(setting, "sticky") == 0) {
        fault.sticky = *value == '1';
    } else if (strcmp(setting, "trace") == 0) {
        fault.trace = *value == '1';
    } else if (strcmp(setting, "log") == 0) {
        fault.log = value;
    } else if (strcmp(setting, "paths") == 0) {
        take_prefixes(value);
    } else {
        fprintf(stderr, "faultlib: %s is unknown\n", setting);
        _exit(99);
    }
}

static void __attribute__((constructor)) start(void)
{
    const char *settings = getenv("NOPSNAP_FAULT");
    const char *children = getenv("NOPSNAP_FAULT_CHILDREN");
    char *rest = NULL;

    if (!settings || strlen(settings) >= sizeof(fault.text))
        return;
    strcpy(fault.text, settings);
    fault.error = EIO;
    for (char *p = strtok_r(fault.text, ";", &rest); p; p = strtok_r(NULL, ";", &rest))
        take_setting(p);
    if (!children || strcmp(children, "1") != 0) {
        unsetenv("LD_PRELOAD");
        unsetenv("NOPSNAP_FAULT");
    }
    fault.owner = getpid();
    fault.active = true;
}

/* Log lines go past our own functions. */
static void __attribute__((format(printf, 1, 2))) log_line(const char *format, ...)
{
    char line[TEXT_MAX + 256];
    int saved = errno;
    va_list args;
    int len;
    int fd;

    if (!fault.log)
        return;
    va_start(args, format);
    len = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    fd = NEXT(open)(fault.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0 && NEXT(write)(fd, line, (size_t)len) < 0)
        fprintf(stderr, "faultlib: %s cannot be written\n", fault.log);
    if (fd >= 0)
        close(fd);
    errno = saved;
}

static void __attribute__((destructor)) end(void)
{
    if (fault.active && getpid() == fault.owner)
        log_line("total %lu\n", atomic_load(&counted));
}

/* Does it count? */

static bool path_counts(const char *path)
{
    static const char *const never[] = {"/dev/", "/proc/", "/sys/", "/memfd:"};

    if (path[0] != '/' || (fault.log && strcmp(path, fault.log) == 0))
        return false;
    for (size_t i = 0; i < fault.prefix_count; i++) {
        if (strncmp(path, fault.prefixes[i], strlen(fault.prefixes[i])) == 0)
            return true;
    }
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        if (strncmp(path, never[i], strlen(never[i])) == 0)
            return false;
    }
    return fault.prefix_count == 0;
}

static void path_of_fd(int fd, char out[TEXT_MAX])
{
    char link[64];
    ssize_t len;

    if (fd == AT_FDCWD)
        snprintf(link, sizeof(link), "/proc/self/cwd");
    else
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    len = readlink(link, out, TEXT_MAX - 1);
    out[len > 0 ? len : 0] = '\0';
}

static void path_at(int dirfd, const char *path, char out[TEXT_MAX])
{
    size_t len;

    if (path[0] == '/') {
        snprintf(out, TEXT_MAX, "%s", path);
        return;
    }
    path_of_fd(dirfd, out);
    if (path[0] == '\0' || strcmp(path, ".") == 0)
        return;
    len = strlen(out);
    while (path[0] == '.' && path[1] == '/')
        path += 2;
    snprintf(out + len, TEXT_MAX - len, "/%s", path);
}

/* Counts one call, and says what is to become of it. On FAIL_BEFORE errno is set. */
static enum outcome judge(const char *call, int dirfd, const char *path)
{
    char full[TEXT_MAX];
    unsigned long n;
    int saved = errno;

    if (!fault.active || getpid() != fault.owner)
        return PASS;
    if (path)
        path_at(dirfd, path, full);
    else
        path_of_fd(dirfd, full);
    errno = saved;
    if (!path_counts(full))
        return PASS;
    n = atomic_fetch_add(&counted, 1) + 1;
    if (fault.trace)
        log_line("call %lu %s %s\n", n, call, full);
    if (fault.nth == 0 || n < fault.nth || (n > fault.nth && !fault.sticky))
        return PASS;
    log_line("fault %lu %s %s\n", n, call, full);
    if (fault.error == SHORT_WRITE)
        return CUT_SHORT;
    if (fault.error == KILL_PROCESS) {
        if (fault.after)
            return KILL_AFTER;
        kill(fault.owner, SIGKILL);
        pause();
    }
    errno = fault.error;
    return fault.after ? FAIL_AFTER : FAIL_BEFORE;
}

/* What the caller gets to see of a call that was made. */
static long settle(enum outcome outcome, long result)
{
    if (outcome == KILL_AFTER) {
        kill(fault.owner, SIGKILL);
        pause();
    }
    if (outcome == FAIL_AFTER) {
        errno = fault.error;
        return -1;
    }
    return result;
}

/* A call that names its file by a path: result type, name, parameters, arguments, folder, path. */
#define FAULTY(type, name, parameters, arguments, dirfd, path)    \
    type name parameters                                          \
    {                                                             \
        enum outcome outcome = judge(#name, dirfd, path);         \
                                                                  \
        if (outcome == FAIL_BEFORE)                               \
            return -1;                                            \
        return (type)settle(outcome, (long)NEXT(name) arguments); \
    }

/* A call that moves len bytes, which can be cut in half. */
#define FAULTY_TRANSFER(name, parameters, arguments, fd, len)        \
    ssize_t name parameters                                          \
    {                                                                \
        enum outcome outcome = judge(#name, fd, NULL);               \
                                                                     \
        if (outcome == FAIL_BEFORE)                                  \
            return -1;                                               \
        if (outcome == CUT_SHORT && (len) > 1)                       \
            (len) /= 2;                                              \
        return (ssize_t)settle(outcome, (long)NEXT(name) arguments); \
    }

FAULTY_TRANSFER(write, (int fd, const void *p, size_t len), (fd, p, len), fd, len)
FAULTY_TRANSFER(pwrite, (int fd, const void *p, size_t len, off_t at), (fd, p, len, at), fd, len)
FAULTY_TRANSFER(pwrite64, (int fd, const void *p, size_t len, off64_t at), (fd, p, len, at), fd, len)
/* Of a gathered write the first half of its pieces; one of a single piece is not cut. */
FAULTY_TRANSFER(pwritev, (int fd, const struct iovec *v, int count, off_t at), (fd, v, count, at), fd, count)
FAULTY_TRANSFER(pwritev64, (int fd, const struct iovec *v, int count, off64_t at), (fd, v, count, at), fd, count)
FAULTY_TRANSFER(writev, (int fd, const struct iovec *v, int count), (fd, v, count), fd, count)
FAULTY_TRANSFER(sendfile, (int to, int from, off_t *at, size_t len), (to, from, at, len), to, len)
FAULTY_TRANSFER(sendfile64, (int to, int from, off64_t *at, size_t len), (to, from, at, len), to, len)
FAULTY_TRANSFER(copy_file_range, (int from, off64_t *from_at, int to, off64_t *to_at, size_t len, unsigned flags),
                (from, from_at, to, to_at, len, flags), to, len)

FAULTY(int, fsync, (int fd), (fd), fd, NULL)
FAULTY(int, fdatasync, (int fd), (fd), fd, NULL)
FAULTY(int, syncfs, (int fd), (fd), fd, NULL)
FAULTY(int, sync_file_range, (int fd, off64_t at, off64_t len, unsigned flags), (fd, at, len, flags), fd, NULL)

FAULTY(int, rename, (const char *from, const char *to), (from, to), AT_FDCWD, to)
FAULTY(int, renameat, (int from_fd, const char *from, int to_fd, const char *to), (from_fd, from, to_fd, to), to_fd, to)
FAULTY(int, renameat2, (int from_fd, const char *from, int to_fd, const char *to, unsigned flags),
       (from_fd, from, to_fd, to, flags), to_fd, to)
FAULTY(int, link, (const char *from, const char *to), (from, to), AT_FDCWD, to)
FAULTY(int, linkat, (int from_fd, const char *from, int to_fd, const char *to, int flags),
       (from_fd, from, to_fd, to, flags), to_fd, to)
FAULTY(int, symlink, (const char *target, const char *path), (target, path), AT_FDCWD, path)
FAULTY(int, symlinkat, (const char *target, int fd, const char *path), (target, fd, path), fd, path)
FAULTY(int, unlink, (const char *path), (path), AT_FDCWD, path)
FAULTY(int, unlinkat, (int fd, const char *path, int flags), (fd, path, flags), fd, path)
FAULTY(int, rmdir, (const char *path), (path), AT_FDCWD, path)
FAULTY(int, mkdir, (const char *path, mode_t mode), (path, mode), AT_FDCWD, path)
FAULTY(int, mkdirat, (int fd, const char *path, mode_t mode), (fd, path, mode), fd, path)
FAULTY(int, mknod, (const char *path, mode_t mode, dev_t dev), (path, mode, dev), AT_FDCWD, path)
FAULTY(int, mknodat, (int fd, const char *path, mode_t mode, dev_t dev), (fd, path, mode, dev), fd, path)
FAULTY(int, mkfifo, (const char *path, mode_t mode), (path, mode), AT_FDCWD, path)
FAULTY(int, mkfifoat, (int fd, const char *path, mode_t mode), (fd, path, mode), fd, path)

FAULTY(int, truncate, (const char *path, off_t len), (path, len), AT_FDCWD, path)
FAULTY(int, truncate64, (const char *path, off64_t len), (path, len), AT_FDCWD, path)
FAULTY(int, ftruncate, (int fd, off_t len), (fd, len), fd, NULL)
FAULTY(int, ftruncate64, (int fd, off64_t len), (fd, len), fd, NULL)
FAULTY(int, fallocate, (int fd, int mode, off_t at, off_t len), (fd, mode, at, len), fd, NULL)
FAULTY(int, fallocate64, (int fd, int mode, off64_t at, off64_t len), (fd, mode, at, len), fd, NULL)

FAULTY(int, chmod, (const char *path, mode_t mode), (path, mode), AT_FDCWD, path)
FAULTY(int, fchmod, (int fd, mode_t mode), (fd, mode), fd, NULL)
FAULTY(int, fchmodat, (int fd, const char *path, mode_t mode, int flags), (fd, path, mode, flags), fd, path)
FAULTY(int, chown, (const char *path, uid_t uid, gid_t gid), (path, uid, gid), AT_FDCWD, path)
FAULTY(int, lchown, (const char *path, uid_t uid, gid_t gid), (path, uid, gid), AT_FDCWD, path)
FAULTY(int, fchown, (int fd, uid_t uid, gid_t gid), (fd, uid, gid), fd, NULL)
FAULTY(int, fchownat, (int fd, const char *path, uid_t uid, gid_t gid, int flags), (fd, path, uid, gid, flags), fd,
       path)
FAULTY(int, setxattr, (const char *path, const char *name, const void *v, size_t len, int flags),
       (path, name, v, len, flags), AT_FDCWD, path)
FAULTY(int, lsetxattr, (const char *path, const char *name, const void *v, size_t len, int flags),
       (path, name, v, len, flags), AT_FDCWD, path)
FAULTY(int, fsetxattr, (int fd, const char *name, const void *v, size_t len, int flags), (fd, name, v, len, flags), fd,
       NULL)
FAULTY(int, futimens, (int fd, const struct timespec times[2]), (fd, times), fd, NULL)
FAULTY(int, utimensat, (int fd, const char *path, const struct timespec times[2], int flags), (fd, path, times, flags),
       fd, path)

FAULTY(int, creat, (const char *path, mode_t mode), (path, mode), AT_FDCWD, path)
FAULTY(int, creat64, (const char *path, mode_t mode), (path, mode), AT_FDCWD, path)

/* These two give the error number instead of setting it. */
#define FAULTY_RESERVATION(name, offset)                \
    int name(int fd, offset at, offset len)             \
    {                                                   \
        enum outcome outcome = judge(#name, fd, NULL);  \
        int result;                                     \
                                                        \
        if (outcome == FAIL_BEFORE)                     \
            return errno;                               \
        result = NEXT(name)(fd, at, len);               \
        return settle(outcome, 0) < 0 ? errno : result; \
    }

FAULTY_RESERVATION(posix_fallocate, off_t)
FAULTY_RESERVATION(posix_fallocate64, off64_t)

/* Opening counts where it may create or empty a file. A descriptor that was opened all the same is closed again. */
static bool opening_counts(int flags)
{
    return (flags & (O_CREAT | O_TRUNC)) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
}

static mode_t mode_argument(int flags, va_list args)
{
    return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(args, mode_t) : 0;
}

static int settle_open(enum outcome outcome, int fd)
{
    int result = (int)settle(outcome, fd);

    if (result < 0 && fd >= 0) {
        int saved = errno;

        close(fd);
        errno = saved;
    }
    return result;
}

#define FAULTY_OPEN(name)                                                                         \
    int name(const char *path, int flags, ...)                                                    \
    {                                                                                             \
        enum outcome outcome = PASS;                                                              \
        va_list args;                                                                             \
        mode_t mode;                                                                              \
                                                                                                  \
        va_start(args, flags);                                                                    \
        mode = mode_argument(flags, args);                                                        \
        va_end(args);                                                                             \
        if (opening_counts(flags))                                                                \
            outcome = judge(#name, AT_FDCWD, path);                                               \
        return outcome == FAIL_BEFORE ? -1 : settle_open(outcome, NEXT(name)(path, flags, mode)); \
    }

#define FAULTY_OPENAT(name)                                                                           \
    int name(int fd, const char *path, int flags, ...)                                                \
    {                                                                                                 \
        enum outcome outcome = PASS;                                                                  \
        va_list args;                                                                                 \
        mode_t mode;                                                                                  \
                                                                                                      \
        va_start(args, flags);                                                                        \
        mode = mode_argument(flags, args);                                                            \
        va_end(args);                                                                                 \
        if (opening_counts(flags))                                                                    \
            outcome = judge(#name, fd, path);                                                         \
        return outcome == FAIL_BEFORE ? -1 : settle_open(outcome, NEXT(name)(fd, path, flags, mode)); \
    }

FAULTY_OPEN(open)
FAULTY_OPEN(open64)
FAULTY_OPENAT(openat)
FAULTY_OPENAT(openat64)

int ioctl(int fd, unsigned long request, ...)
{
    enum outcome outcome = PASS;
    va_list args;
    void *argument;

    va_start(args, request);
    argument = va_arg(args, void *);
    va_end(args);
    if (request == FICLONE || request == FICLONERANGE)
        outcome = judge("ioctl(FICLONE)", fd, NULL);
    return outcome == FAIL_BEFORE ? -1 : (int)settle(outcome, NEXT(ioctl)(fd, request, argument));
}

/* Calls made by number; of those only the ones that C libraries of old had no function for are looked at. */
static enum outcome judge_number(long number, const long a[6])
{
    switch (number) {
    case SYS_renameat2:
        return judge("syscall(renameat2)", (int)a[2], (const char *)a[3]);
    case SYS_copy_file_range:
        return judge("syscall(copy_file_range)", (int)a[2], NULL);
    case SYS_syncfs:
        return judge("syscall(syncfs)", (int)a[0], NULL);
    case SYS_openat2: { /* struct open_how begins with the flags */
        unsigned long long flags = *(const unsigned long long *)a[2];

        return opening_counts((int)flags) ? judge("syscall(openat2)", (int)a[0], (const char *)a[1]) : PASS;
    }
    default:
        return PASS;
    }
}

long syscall(long number, ...)
{
    enum outcome outcome;
    va_list args;
    long a[6];
    long result;

    va_start(args, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    outcome = judge_number(number, a);
    if (outcome == FAIL_BEFORE)
        return -1;
    result = NEXT(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    return number == SYS_openat2 ? settle_open(outcome, (int)result) : settle(outcome, result);
}
