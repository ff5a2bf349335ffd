/* What every test program uses: cmocka with the headers it wants before it, and private folders. */
#ifndef NOPSNAP_TEST_SUPPORT_H
#define NOPSNAP_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A new folder with a short path; test_folder_remove() takes it away with everything in it. */
static inline char *test_folder_make(void)
{
    char *path = strdup("/tmp/nsXXXXXX");

    assert_non_null(path);
    assert_non_null(mkdtemp(path));
    return path;
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
