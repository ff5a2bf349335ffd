/*
 * A release by the library's own functions, for the script that plays the server:
 *
 *     release_tool SOURCE [work=DIR] [sha256=HEX] [stall=MS] [max-archive=N] [target=DIR]
 *
 * One line for each fact, note, warning; at the end "kind N", "error ..." and "hint ...".
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "release.h"
#include "thread.h"

struct asked {
    struct release_options options;
    const char *target;
};

static void note(void *arg, const char *line)
{
    (void)arg;
    printf("note %s\n", line);
}

static void warn(void *arg, const char *line)
{
    (void)arg;
    printf("warning %s\n", line);
}

static const char *value_of(const char *arg, const char *name)
{
    size_t len = strlen(name);

    return strncmp(arg, name, len) == 0 && arg[len] == '=' ? arg + len + 1 : NULL;
}

static void take(const char *arg, struct asked *out)
{
    const char *value;

    if ((value = value_of(arg, "work")))
        out->options.work = value;
    if ((value = value_of(arg, "sha256")))
        out->options.sha256 = value;
    if ((value = value_of(arg, "stall")))
        out->options.stall_ms = (int)strtol(value, NULL, 10);
    if ((value = value_of(arg, "max-archive")))
        out->options.limits.max_archive = strtoull(value, NULL, 10);
    if ((value = value_of(arg, "target")))
        out->target = value;
}

static enum error_kind unpack(struct release *r, const char *target, const struct progress *progress, struct error *err)
{
    int fd = -1;
    enum error_kind rc = directory_make(AT_FDCWD, target, 0700, err);

    if (!rc)
        rc = file_open(AT_FDCWD, target, O_RDONLY | O_DIRECTORY, 0, &fd, err);
    if (!rc)
        rc = release_unpack(r, fd, RELEASE_SYNC_NONE, progress, err);
    if (!rc)
        rc = release_verify(r, fd, progress, err);
    file_close(&fd);
    return rc;
}

int main(int argc, char **argv)
{
    const struct progress progress = {.note = note, .warn = warn};
    struct asked asked = {.options = {.limits = {.reserve = 1}}};
    struct error err = ERROR_INIT;
    struct release *r = NULL;
    enum error_kind rc;

    for (int i = 2; i < argc; i++)
        take(argv[i], &asked);
    rc = cancel_install(&err);
    if (!rc)
        rc = release_open(argc > 1 ? argv[1] : "", &asked.options, &progress, &r, &err);
    if (!rc) {
        printf("name %s\nsha256 %s\nversion %s\n", release_facts(r)->name, release_facts(r)->sha256,
               release_facts(r)->version.text);
        if (asked.target)
            rc = unpack(r, asked.target, &progress, &err);
    }
    printf("kind %d\nerror %s\nhint %s\n", (int)rc, err.text, err.hint);
    release_free(r);
    return rc != OK;
}
