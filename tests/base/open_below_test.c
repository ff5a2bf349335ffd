/* Paths that must stay below their directory, with openat2() and without it. */
#include "test_support.h"

#include "open_below.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* openat2() answers this from here on. */
static bool openat2_answers(int sys)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)sys),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof(code) / sizeof(code[0]), code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

/* 0, or the error's number. */
static int opened(int base, const char *path, int flags)
{
    int fd = open_below(base, path, strlen(path), flags, 0600);

    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

static int deepest(int base, char *path)
{
    static const char name[] = "a-folder-with-a-rather-long-name-that-fills-a-path-quickly/";
    int at = dup(base);

    path[0] = '\0';
    while (at >= 0 && strlen(path) < 2 * PATH_MAX) {
        int next;

        if (mkdirat(at, "a-folder-with-a-rather-long-name-that-fills-a-path-quickly", 0700) && errno != EEXIST)
            return -1;
        next = openat(at, "a-folder-with-a-rather-long-name-that-fills-a-path-quickly", O_RDONLY | O_DIRECTORY);
        close(at);
        at = next;
        strcat(path, name);
    }
    close(at);
    strcat(path, "file");
    return 0;
}

/* The number of the first expectation that is not met; 0: all are. */
static int first_wrong(int base)
{
    static char path[3 * PATH_MAX];
    char long_name[NAME_MAX + 10];
    int n = 0;

#define EXPECT(wanted, path, flags)                \
    do {                                           \
        n++;                                       \
        if (opened(base, path, flags) != (wanted)) \
            return n;                              \
    } while (0)
    EXPECT(0, "", O_RDONLY | O_DIRECTORY);
    EXPECT(0, "real/f", O_RDONLY);
    EXPECT(0, "real/made", O_WRONLY | O_CREAT | O_EXCL);
    EXPECT(EEXIST, "real/made", O_WRONLY | O_CREAT | O_EXCL);
    EXPECT(0, "real/made", O_WRONLY | O_TRUNC);
    EXPECT(ENOENT, "real/none", O_RDONLY);
    EXPECT(ELOOP, "real/link", O_RDONLY);
    EXPECT(ENOTDIR, "real/f/g", O_RDONLY);
    n++;
    if (opened(base, "folder-link/f", O_RDONLY) == 0 || opened(base, "folder-link/new", O_WRONLY | O_CREAT) == 0)
        return n;
    EXPECT(EXDEV, "../outside", O_RDONLY);
    EXPECT(EXDEV, "..", O_RDONLY | O_DIRECTORY);
    n++;
    if (opened(base, "/etc/passwd", O_RDONLY) == 0)
        return n;
    memset(long_name, 'x', sizeof(long_name));
    long_name[sizeof(long_name) - 1] = '\0';
    EXPECT(ENAMETOOLONG, long_name, O_RDONLY);
    n++;
    if (deepest(base, path))
        return n;
    EXPECT(ENOENT, path, O_RDONLY);
    EXPECT(0, path, O_WRONLY | O_CREAT | O_EXCL);
    EXPECT(0, path, O_RDONLY);
    return 0;
#undef EXPECT
}

/* sys: what openat2() answers; 0: what it would. */
static void stays_below(int sys)
{
    int status = 0;
    pid_t child;

    assert_int_equal(
        system(
            "mkdir -p base/real && echo 1 >base/real/f && echo 2 >outside && ln -s f base/real/link && ln -s real base/folder-link"),
        0);
    child = fork();
    if (child == 0) {
        int base = open("base", O_PATH | O_DIRECTORY);

        alarm(20);
        if (sys && !openat2_answers(sys))
            _exit(77);
        _exit(first_wrong(base));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip(); /* no filters here */
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void open_below__stays_below(void **state)
{
    (void)state;
    stays_below(0);
}

static void open_below__without_openat2(void **state)
{
    (void)state;
    stays_below(ENOSYS);
}

static void open_below__while_somebody_renames_without_pause(void **state)
{
    (void)state;
    stays_below(EAGAIN);
}

static void open_below__in_a_container_that_forbids_openat2(void **state)
{
    (void)state;
    stays_below(EPERM);
}

static void open_below__takes_only_so_many_bytes_of_the_path(void **state)
{
    int base;
    int fd;

    (void)state;
    assert_int_equal(system("mkdir -p base/real && echo 1 >base/real/f"), 0);
    base = open("base", O_PATH | O_DIRECTORY);
    fd = open_below(base, "real/f", 4, O_RDONLY | O_DIRECTORY, 0);
    assert_true(fd >= 0);
    close(fd);
    fd = open_below(base, "real/f", 0, O_RDONLY | O_DIRECTORY, 0);
    assert_true(fd >= 0);
    assert_int_equal(opened(fd, "real/f", O_RDONLY), 0);
    close(fd);
    close(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(open_below__stays_below),
        folder_test(open_below__without_openat2),
        folder_test(open_below__while_somebody_renames_without_pause),
        folder_test(open_below__in_a_container_that_forbids_openat2),
        folder_test(open_below__takes_only_so_many_bytes_of_the_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
