/* What every test program uses: cmocka with the headers it wants before it, and private folders. */
#ifndef NOPSNAP_TEST_SUPPORT_H
#define NOPSNAP_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

/* A new folder with a short path; test_folder_remove() takes it away with everything in it. */
static inline char *test_folder_make_in(const char *parent)
{
    char path[64];
    char *copy = NULL;

    snprintf(path, sizeof(path), "%s/nsXXXXXX", parent);
    assert_non_null(mkdtemp(path));
    copy = strdup(path);
    assert_non_null(copy);
    return copy;
}

static inline char *test_folder_make(void)
{
    return test_folder_make_in("/tmp");
}

/* For a database server: in memory where there is room, as tests/fixture/scratch.py has it. */
static inline char *test_server_folder_make(void)
{
    struct statvfs fs;
    unsigned long long room = 2ULL << 30;
    bool in_memory = access("/dev/shm", W_OK) == 0 && statvfs("/dev/shm", &fs) == 0 &&
                     (unsigned long long)fs.f_bavail * fs.f_frsize > room;

    return test_folder_make_in(in_memory ? "/dev/shm" : "/tmp");
}

static inline void test_folder_remove(char *path)
{
    char command[256];

    snprintf(command, sizeof(command), "chmod -R u+rwx %s; rm -rf %s", path, path);
    if (system(command) != 0)
        fprintf(stderr, "%s is still there\n", path);
    free(path);
}

/* cmocka fixtures: *state is the folder, and the working directory. */
static inline int folder_setup(void **state)
{
    *state = test_folder_make();
    return chdir(*state);
}

static inline int folder_teardown(void **state)
{
    int rc = chdir("/");

    test_folder_remove(*state);
    return rc;
}

#define folder_test(f) cmocka_unit_test_setup_teardown(f, folder_setup, folder_teardown)

#endif
