/* Running the fixture scripts. */
#ifndef NOPSNAP_TEST_PLANT_SHELL_H
#define NOPSNAP_TEST_PLANT_SHELL_H

#include "test_support.h"

/* A shell command with $S for the source's tests/fixture; its exit status. */
static inline int shell(const char *command)
{
    char *line = NULL;
    const char *source = getenv("NOPSNAP_SOURCE_DIR");
    int status;

    if (asprintf(&line, "S=%s/tests/fixture; %s", source ? source : ".", command) < 0)
        return -1;
    status = system(line);
    free(line);
    return status;
}

#endif
