/*
 * A script as SQL Server Management Studio runs it (reference E), but that the first batch with an error is the last: it leaves the ones behind
 * it without what they build on. It is heard to its end, since one error often hides the next. No transaction is put around it: scripts begin and end their own, and much DDL refuses to run in one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    size_t count;  /* of batches */
    database_say_fn *say;
    void *arg;
    size_t failures; /* of this batch */
    struct error first;
};

/* An error's line counts from the batch's first; in a procedure it is the procedure's own, and says nothing of the script. */
static uint64_t line_of(const struct running *r, const struct sqlserver_message *m)
{
    return *m->procedure || m->line <= 0 ? r->batch->line : r->batch->line + (uint64_t)m->line - 1;
}

static enum error_kind say_failure(struct running *r, const struct sqlserver_message *m, struct database_saying *said,
                                   char **text, struct error *err)
{
    char where[300] = "";
    enum error_kind rc;

    if (*m->procedure)
        snprintf(where, sizeof where, ", in %.128s line %d", m->procedure, m->line);
    said->failure = true;
    said->line = line_of(r, m);
    rc = memory_format(text, err, "%s:%" PRIu64 ": %s (error %d, severity %d, batch %zu%s)", r->shown, said->line,
                       m->text, m->number, m->severity, r->number, where);
    if (!rc)
        said->text = *text;
    return rc;
}

static void hear(void *arg, const struct sqlserver_message *m)
{
    struct running *r = arg;
    struct database_saying said = {.text = m->text, .number = m->number, .severity = m->severity, .batch = r->number};
    struct error ignored = ERROR_INIT;
    char *text = NULL;

    if (m->number == CONTEXT_CHANGED || m->number == LANGUAGE_CHANGED)
        return;
    if (m->severity > 10) {
        (void)say_failure(r, m, &said, &text, &ignored);
        if (r->failures++ == 0)
            error_set(&r->first, ERR_REMOTE, 0, "%s", said.text);
    }
    if (r->say)
        r->say(r->arg, &said);
    free(text);
}

static void hint_rest(const struct running *r, struct error *err)
{
    static const char after[] = ", but for a transaction that was open; a snapshot from before leads back";

    if (r->number > 1)
        error_hint(err, "%zu of its batches %s run: what they and this one did stays%s", r->number - 1,
                   r->number == 2 ? "was" : "were", after);
    else
        error_hint(err, "what this batch did until then stays%s", after);
}

/* What the user is told of a batch that did not come to its end. */
static enum error_kind explain(const struct running *r, enum error_kind rc, struct error *err)
{
    if (rc == ERR_CANCELLED)
        error_context(err, "%s:%" PRIu64 ": batch %zu of %zu was interrupted", r->shown, r->batch->line, r->number,
                      r->count);
    else if (rc == ERR_REMOTE && r->failures) {
        error_clear(err);
        if (r->failures > 1)
            error_set(err, ERR_REMOTE, 0, "%s; %zu more error%s in that batch", r->first.text, r->failures - 1,
                      r->failures > 2 ? "s" : "");
        else
            error_copy(err, &r->first);
    } else if (rc == ERR_REMOTE)
        error_context(err, "%s:%" PRIu64 ": batch %zu", r->shown, r->batch->line, r->number);
    if (rc == ERR_CANCELLED || rc == ERR_REMOTE)
        hint_rest(r, err);
    return rc;
}

static enum error_kind run_batch(struct sqlserver_link *l, struct running *r, const struct sqlserver_batches *b,
                                 struct error *err)
{
    char *text = NULL;
    enum error_kind rc = memory_format(&text, err, "%.*s", (int)r->batch->len, (char *)b->text.data + r->batch->begin);

    for (uint32_t i = 0; !rc && i < r->batch->repeat; i++) {
        rc = cancel_check(err);
        if (!rc)
            rc = sqlserver_link_hear(l, text, err);
    }
    free(text);
    return explain(r, rc, err);
}

/* ---- how the script leaves its connection ---- */

/* *open -1: nothing is executed any more. Of a statement that is only explained the first column is the statement. */
static enum error_kind count_open(struct sqlserver_link *l, int64_t *open, struct error *err)
{
    static const char begin[] = "open ";
    char *text = NULL;
    enum error_kind rc =
        sqlserver_link_text(l, "SELECT 'open ' + CAST(@@TRANCOUNT AS varchar(11)) AS transactions", &text, err);

    *open = -1;
    if (!rc && text && strncmp(text, begin, strlen(begin)) == 0)
        *open = strtoll(text + strlen(begin), NULL, 10);
    free(text);
    return rc;
}

/* Which setting is it that keeps statements from being executed? The one without which they are again. */
static enum error_kind find_idle(struct sqlserver_link *l, const char **name, int64_t *open, struct error *err)
{
    static const char *const names[] = {"NOEXEC",       "PARSEONLY",    "FMTONLY",
                                        "SHOWPLAN_ALL", "SHOWPLAN_XML", "SHOWPLAN_TEXT"};
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && *open < 0 && i < sizeof names / sizeof names[0]; i++) {
        struct error ignored = ERROR_INIT;

        *name = names[i];
        (void)sqlserver_run(l, &ignored, "SET %s OFF", names[i]);
        rc = count_open(l, open, err);
    }
    if (!rc && *open < 0)
        rc = error_set(err, ERR_REMOTE, 0, "after the script the server executes nothing any more");
    return rc;
}

static enum error_kind check_end(struct sqlserver_link *l, const char *shown, struct error *err)
{
    const char *idle = NULL;
    int64_t open = 0;
    enum error_kind rc = count_open(l, &open, err);

    if (!rc && open < 0)
        rc = find_idle(l, &idle, &open, err);
    if (rc || (!idle && open == 0))
        return rc;
    if (idle) {
        error_set(err, ERR_REMOTE, 0, "%s: the script ends with SET %s ON: what stands behind that was not executed%s",
                  shown, idle, open > 0 ? ", and an open transaction is undone" : "");
        error_hint(err, "it lacks a SET %s OFF, or has found something that it does not go on with: see what it said",
                   idle);
        return ERR_REMOTE;
    }
    error_set(err, ERR_REMOTE, 0, "%s: the script leaves a transaction open: what it did in there is undone", shown);
    error_hint(err, "it lacks a COMMIT; what it did before that transaction stays");
    return ERR_REMOTE;
}

static enum error_kind run_all(struct sqlserver_link *l, struct running *r, const struct sqlserver_batches *b,
                               uint64_t *batches, struct error *err)
{
    enum error_kind rc = sqlserver_link_run(l, settings, NULL, NULL, err);

    sqlserver_link_listen(l, hear, r);
    r->count = b->count;
    for (size_t i = 0; !rc && i < b->count; i++) {
        r->batch = &b->items[i];
        r->number = i + 1;
        rc = run_batch(l, r, b, err);
        *batches += !rc;
    }
    sqlserver_link_listen(l, NULL, NULL);
    return rc ? rc : check_end(l, r->shown, err);
}

static enum error_kind parse(const struct database_script *script, struct sqlserver_batches *out, struct error *err)
{
    enum error_kind rc = sqlserver_batches_parse(script->bytes, script->len, out, err);

    if (rc)
        error_context(err, "%s", script->name);
    return rc;
}

enum error_kind sqlserver_check_script(const struct database_script *script, uint64_t *batches, struct error *err)
{
    struct sqlserver_batches b = SQLSERVER_BATCHES_INIT;
    enum error_kind rc = parse(script, &b, err);

    if (!rc)
        *batches = b.count;
    sqlserver_batches_release(&b);
    return rc;
}

enum error_kind sqlserver_run_script(struct database *db, const struct database_script *script, database_say_fn *say,
                                     void *arg, uint64_t *batches, struct error *err)
{
    struct running r = {.shown = script->name, .say = say, .arg = arg};
    struct sqlserver_batches b = SQLSERVER_BATCHES_INIT;
    struct sqlserver_link *l = NULL;
    enum error_kind rc = parse(script, &b, err);

    *batches = 0;
    if (!rc)
        rc = sqlserver_link_open(db, db->name, &l, err);
    if (!rc)
        rc = run_all(l, &r, &b, batches, err);
    sqlserver_link_close(l); /* an open transaction ends with it */
    sqlserver_batches_release(&b);
    return rc;
}
