/*
 * What faultlib_test runs under faultlib.so: fourteen calls that count, some that don't, and one line on stdout for each,
 * "<call> <result> <errno>". The folder to work in is the argument.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void tell(const char *call, long result)
{
    printf("%s %ld %d\n", call, result, result < 0 ? errno : 0);
    fflush(stdout);
    errno = 0;
}

static void in_child(void)
{
    pid_t pid = fork();

    if (pid == 0) /* a fork's calls are not counted */
        _exit(mkdir("of-the-fork", 0700) == 0 ? 0 : 1);
    if (pid < 0 || waitpid(pid, NULL, 0) != pid)
        exit(1);
}

int main(int argc, char **argv)
{
    int fd;

    if (argc != 2 || chdir(argv[1]))
        return 1;
    in_child();
    fd = open("a", O_WRONLY | O_CREAT, 0600); /* 1 */
    tell("open", fd < 0 ? -1 : 0);
    if (fd < 0)
        fd = open("a", O_WRONLY);
    tell("write", write(fd, "0123456789", 10));                               /* 2 */
    tell("pwrite", pwrite(fd, "abcd", 4, 2));                                 /* 3 */
    tell("fsync", fsync(fd));                                                 /* 4 */
    tell("fdatasync", fdatasync(fd));                                         /* 5 */
    tell("ftruncate", ftruncate(fd, 5));                                      /* 6 */
    tell("fallocate", posix_fallocate(fd, 0, 4096));                          /* 7 */
    tell("mkdir", mkdir("d", 0700));                                          /* 8 */
    tell("rename", rename("a", "d/b"));                                       /* 9 */
    tell("renameat2", renameat2(AT_FDCWD, "d/b", AT_FDCWD, "c", 0));          /* 10 */
    tell("syscall", syscall(SYS_renameat2, AT_FDCWD, "c", AT_FDCWD, "e", 0)); /* 11 */
    tell("linkat", linkat(AT_FDCWD, "e", AT_FDCWD, "f", 0));                  /* 12 */
    tell("futimens", futimens(fd, NULL));                                     /* 13 */
    tell("unlinkat", unlinkat(AT_FDCWD, "f", 0));                             /* 14 */
    close(fd);
    fd = open("/dev/null", O_WRONLY | O_CREAT, 0600);
    if (write(fd, "x", 1) != 1)
        return 1;
    close(fd);
    return getenv("LD_PRELOAD") ? 2 : 0;
}
