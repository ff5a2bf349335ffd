/*
 * A dump on its way into pg_restore. The stream can be read once only, but what is to be left out (extensions that are
 * there, what the login has no right to) has to be known before: so the head of the stream goes to `pg_restore --list`
 * first and is kept, as far as the table of contents reaches, to be fed again.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "postgres_internal.h"
#include "thread.h"

enum { HEAD_MAX = 64 * 1024 * 1024, CONTENTS_MAX = 64 * 1024 * 1024, PIECE = 64 * 1024 };

/* ---- writing to a child ---- */

/* *gone: the child has closed its end. */
static enum error_kind write_all(int fd, const unsigned char *bytes, size_t len, bool *gone, struct error *err)
{
    while (len && !*gone) {
        ssize_t n = write(fd, bytes, len);

        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        } else if (n < 0 && errno == EPIPE)
            *gone = true;
        else if (n < 0 && errno != EINTR)
            return error_set(err, ERR_IO, errno, "writing to a database tool");
        else {
            enum error_kind rc = cancel_check(err);

            if (rc)
                return rc;
        }
    }
    return OK;
}

enum error_kind postgres_archive_feed(struct postgres_archive *a, int fd, struct error *err)
{
    const void *bytes = NULL;
    size_t len = 0;
    bool gone = false;
    enum error_kind rc;

    rc = write_all(fd, a->head.data, a->head.len, &gone, err);
    while (!rc && !gone) {
        rc = cancel_check(err);
        if (!rc)
            rc = a->source(a->arg, &bytes, &len, err);
        if (rc || len == 0)
            break;
        rc = write_all(fd, bytes, len, &gone, err);
    }
    return rc;
}

/* ---- the table of contents ---- */

struct reader {
    int fd;
    struct buffer *out;
    struct error error;
};

static void *read_contents(void *arg)
{
    struct reader *r = arg;
    unsigned char piece[PIECE];
    size_t got = 0;

    do {
        if (file_read(r->fd, piece, sizeof piece, &got, "the output of pg_restore", &r->error))
            break;
        /* Past the ceiling the rest is still read, so that the tool ends. */
        if (got && !r->error.kind)
            buffer_append(r->out, piece, got, &r->error);
    } while (got);
    return NULL;
}

static enum error_kind read_ahead(struct postgres_archive *a, int fd, struct error *err)
{
    const void *bytes = NULL;
    size_t len = 0;
    bool gone = false;
    enum error_kind rc = OK;

    while (!rc && !gone) {
        rc = a->source(a->arg, &bytes, &len, err);
        if (rc || len == 0)
            break;
        rc = buffer_append(&a->head, bytes, len, err);
        if (!rc)
            rc = write_all(fd, bytes, len, &gone, err);
    }
    return rc;
}

enum error_kind postgres_archive_open(const char *pg_restore, database_source_fn *source, void *arg,
                                      struct postgres_archive *out, struct error *err)
{
    const char *argv[] = {pg_restore, "--list", NULL};
    const char *environment[] = {"LC_ALL=C.UTF-8", NULL};
    struct process_spec spec = {.argv = argv, .environment = environment, .pipe_stdin = true, .pipe_stdout = true};
    struct postgres_archive a = {source, arg, BUFFER_INIT(HEAD_MAX), BUFFER_INIT(CONTENTS_MAX)};
    struct process tool = PROCESS_INIT;
    struct reader reader = {-1, &a.contents, ERROR_INIT};
    pthread_t thread;
    enum error_kind rc;

    rc = process_start(&tool, &spec, err);
    if (rc)
        goto done;
    reader.fd = tool.stdout_fd;
    rc = thread_start(&thread, read_contents, &reader, err);
    if (rc)
        goto done;
    rc = read_ahead(&a, tool.stdin_fd, err);
    file_close(&tool.stdin_fd);
    if (rc) /* only the signal: the thread still reads from the pipe */
        kill(tool.pid, SIGKILL);
    pthread_join(thread, NULL);
    if (!rc)
        rc = postgres_tool_wait(&tool, "pg_restore", err);
    if (!rc && reader.error.kind) {
        error_copy(err, &reader.error);
        rc = err->kind;
    }
    if (rc)
        goto done;
    *out = a;
    a.head = (struct buffer)BUFFER_INIT(0);
    a.contents = (struct buffer)BUFFER_INIT(0);

done:
    if (rc)
        error_context(err, "reading the table of contents of the dump");
    process_kill(&tool);
    postgres_archive_release(&a);
    return rc;
}

void postgres_archive_release(struct postgres_archive *a)
{
    buffer_release(&a->head);
    buffer_release(&a->contents);
}

/* "215; 1259 16418 TABLE public Order shop": after the third number comes the kind. NULL for a comment line. */
static const char *entry_kind(const char *line)
{
    const char *at = line;

    if (*at == ';' || *at == '\n' || !*at)
        return NULL;
    at += strspn(at, "0123456789");
    if (*at++ != ';')
        return NULL;
    for (int numbers = 0; numbers < 2; numbers++) {
        at += strspn(at, " ");
        at += strspn(at, "0123456789");
    }
    return *at == ' ' ? at + 1 : NULL;
}

enum error_kind postgres_archive_list(const struct postgres_archive *a, postgres_entry_fn *keep, void *arg,
                                      struct buffer *out, struct error *err)
{
    const char *line = (const char *)a->contents.data;
    enum error_kind rc = OK;

    while (!rc && line && *line) {
        size_t len = strcspn(line, "\n");
        size_t whole = line[len] ? len + 1 : len;
        char *copy = NULL;
        const char *kind = NULL;

        rc = memory_format(&copy, err, "%.*s", (int)len, line);
        if (rc)
            break;
        kind = entry_kind(copy);
        if (!kind || keep(arg, kind, copy))
            rc = buffer_append(out, line, whole, err);
        free(copy);
        line += whole;
    }
    return rc;
}
