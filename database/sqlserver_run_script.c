/*
 * A script as SQL Server Management Studio runs it (reference E), but that the first error ends it: a batch that fails leaves the ones behind
 * it without what they build on. No transaction is put around it: scripts begin and end their own, and much DDL refuses to run in one.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "sqlserver_batches_internal.h"
#include "sqlserver_internal.h"
#include "thread.h"

enum { CONTEXT_CHANGED = 5701, LANGUAGE_CHANGED = 5703 };

/* What differs from the settings of our own statements: a person's, with the month first, who waits for a lock for as long as it takes. */
static const char settings[] = "SET LANGUAGE us_english; SET DATEFORMAT mdy; SET LOCK_TIMEOUT -1; SET XACT_ABORT ON";

struct running {
    const char *shown; /* the file's name */
    const struct sqlserver_batch *batch;
    size_t number; /* of the batch, from 1 */
    database_say_fn *say;
    void *arg;
    bool failed;
    char failure[1024];
};

static void take_failure(struct running *r, const struct sqlserver_message *m)
{
    uint64_t line = r->batch->line + (m->line > 0 ? (uint64_t)m->line - 1 : 0);
    char where[300] = "";

    if (*m->procedure) { /* its line is the procedure's own */
        line = r->batch->line;
        snprintf(where, sizeof where, ", in %.128s line %d", m->procedure, m->line);
    }
    snprintf(r->failure, sizeof r->failure, "%s:%" PRIu64 ": %s (error %d, severity %d, batch %zu%s)", r->shown, line,
             m->text, m->number, m->severity, r->number, where);
    r->failed = true;
}

static void hear(void *arg, const struct sqlserver_message *m)
{
    struct running *r = arg;

    if (m->number == CONTEXT_CHANGED || m->number == LANGUAGE_CHANGED)
        return;
    if (m->severity > 10 && !r->failed)
        take_failure(r, m);
    if (r->say)
        r->say(r->arg, m->text);
}

static enum error_kind run_batch(struct sqlserver_link *l, struct running *r, const struct sqlserver_batches *b,
                                 struct error *err)
{
    char *text = NULL;
    enum error_kind rc = memory_format(&text, err, "%.*s", (int)r->batch->len, (char *)b->text.data + r->batch->begin);

    for (uint32_t i = 0; !rc && i < r->batch->repeat; i++) {
        rc = cancel_check(err);
        if (!rc)
            rc = sqlserver_link_run(l, text, NULL, NULL, err);
        if (rc == ERR_REMOTE && r->failed) {
            error_clear(err);
            error_set(err, ERR_REMOTE, 0, "%s", r->failure);
        } else if (rc == ERR_REMOTE)
            error_context(err, "%s:%" PRIu64 ": batch %zu", r->shown, r->batch->line, r->number);
    }
    free(text);
    return rc;
}

static enum error_kind check_transactions(struct sqlserver_link *l, const char *shown, struct error *err)
{
    int64_t open = 0;
    enum error_kind rc = sqlserver_link_number(l, "SELECT @@TRANCOUNT", 0, &open, err);

    if (rc || open == 0)
        return rc;
    error_set(err, ERR_REMOTE, 0, "%s: the script leaves a transaction open: what it did in there is undone", shown);
    error_hint(err, "it lacks a COMMIT; what it did before that transaction stays");
    return ERR_REMOTE;
}

static enum error_kind run_all(struct sqlserver_link *l, struct running *r, const struct sqlserver_batches *b,
                               uint64_t *batches, struct error *err)
{
    enum error_kind rc = sqlserver_link_run(l, settings, NULL, NULL, err);

    sqlserver_link_listen(l, hear, r);
    for (size_t i = 0; !rc && i < b->count; i++) {
        r->batch = &b->items[i];
        r->number = i + 1;
        rc = run_batch(l, r, b, err);
        *batches += !rc;
    }
    sqlserver_link_listen(l, NULL, NULL);
    return rc ? rc : check_transactions(l, r->shown, err);
}

enum error_kind sqlserver_run_script(struct database *db, const char *path, database_say_fn *say, void *arg,
                                     uint64_t *batches, struct error *err)
{
    const char *slash = strrchr(path, '/');
    struct running r = {.shown = slash ? slash + 1 : path, .say = say, .arg = arg};
    struct sqlserver_batches b = SQLSERVER_BATCHES_INIT;
    struct buffer bytes = BUFFER_INIT(SQLSERVER_SCRIPT_MAX);
    struct sqlserver_link *l = NULL;
    enum error_kind rc;

    *batches = 0;
    rc = file_read_whole(AT_FDCWD, path, SQLSERVER_SCRIPT_MAX, &bytes, err);
    if (!rc) {
        rc = sqlserver_batches_parse(bytes.data, bytes.len, &b, err);
        if (rc)
            error_context(err, "%s", r.shown);
    }
    buffer_release(&bytes);
    if (!rc)
        rc = sqlserver_link_open(db, db->name, &l, err);
    if (!rc)
        rc = run_all(l, &r, &b, batches, err);
    if (rc == ERR_REMOTE && *batches && !err->hint[0])
        error_hint(err, "%" PRIu64 " of its batches were run and stay; a snapshot from before leads back", *batches);
    sqlserver_link_close(l); /* an open transaction ends with it */
    sqlserver_batches_release(&b);
    return rc;
}
