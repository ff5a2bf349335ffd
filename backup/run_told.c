#include "run_told.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "retention.h"

static const char *kind_word(enum error_kind kind)
{
    switch (kind) {
    case OK:
        return "";
    case ERR_USAGE:
        return "usage";
    case ERR_NOT_FOUND:
        return "missing";
    case ERR_EXISTS:
        return "exists";
    case ERR_BUSY:
        return "busy";
    case ERR_PENDING:
        return "unfinished";
    case ERR_CORRUPT:
        return "damage";
    case ERR_REFUSED:
        return "refused";
    case ERR_REMOTE:
        return "remote";
    case ERR_IO:
        return "io";
    case ERR_SPACE:
        return "space";
    case ERR_MEMORY:
        return "memory";
    case ERR_CANCELLED:
        return "signal";
    }
    abort();
}

static void add_cause(struct run_told *t, const char *what, enum error_kind kind)
{
    size_t n = strlen(t->cause);

    (void)snprintf(t->cause + n, sizeof(t->cause) - n, "%s%s%s%s", n ? ", " : "", what, kind ? " " : "",
                   kind_word(kind));
}

/* The first trouble is the message, the others are lines under it. */
static enum error_kind add_trouble(struct run_told *t, const char *what, const char *text, const char *hint,
                                   struct error *err)
{
    enum error_kind rc = t->message ? text_list_addf(&t->facts, err, "%s: %s", what, text)
                                    : memory_format(&t->message, err, "%s: %s", what, text);

    if (!rc && hint && hint[0])
        rc = text_list_addf(&t->facts, err, "hint: %s", hint);
    return rc;
}

static enum error_kind add_failure(struct run_told *t, const char *what, const struct error *failure, struct error *err)
{
    t->outcome = NOTIFY_FAILED;
    add_cause(t, what, failure->kind);
    return add_trouble(t, what, failure->text, failure->hint, err);
}

static enum error_kind add_doubt(struct run_told *t, const struct run_result *r, struct error *err)
{
    char accept[64];

    if (t->outcome == NOTIFY_SUCCEEDED)
        t->outcome = NOTIFY_DOUBTFUL;
    if (r->suspicion) {
        add_cause(t, "flagged", OK);
        (void)snprintf(accept, sizeof(accept), "if that is how it should be: nopsnap accept %.8s", r->snapshot);
        return add_trouble(t, "the snapshot is flagged", r->suspicion, accept, err);
    }
    add_cause(t, "partial", OK);
    return add_trouble(t, "the snapshot does not count as good", "it has no database", NULL, err);
}

/* ---- facts ---- */

struct last_good {
    char id[33];
    int64_t made_ns, now_ns;
};

/* Rows come newest first. */
static enum error_kind note_good(void *arg, const struct snapshot_row *row, struct error *err)
{
    const struct snapshot_standing s = snapshot_row_standing(row);
    struct last_good *good = arg;

    (void)err;
    if (good->made_ns || !snapshot_is_good(&s, good->now_ns))
        return OK;
    memcpy(good->id, row->id, sizeof(good->id));
    good->made_ns = row->made_ns;
    return OK;
}

static enum error_kind add_last_good(struct run_told *t, struct catalog *cat, const char *site_id, struct error *err)
{
    struct last_good good = {"", 0, clock_now()};
    struct error unread = ERROR_INIT;
    char moment[TEXT_MAX];

    if (snapshot_row_each(cat, site_id, note_good, &good, &unread) != OK)
        return text_list_addf(&t->facts, err, "the last good snapshot is not known: %s", unread.text);
    if (!good.made_ns)
        return text_list_add(&t->facts, "there is no good snapshot", err);
    text_moment(good.made_ns, moment);
    return text_list_addf(&t->facts, err, "last good snapshot: %.8s of %s", good.id, moment);
}

static enum error_kind add_snapshot(struct run_told *t, const struct run_result *r, struct error *err)
{
    char size[TEXT_MAX];

    if (!r->snapshot[0])
        return OK;
    text_size(r->bytes_stored, size);
    return text_list_addf(&t->facts, err, "snapshot of this run: %.8s, %s new", r->snapshot, size);
}

enum error_kind run_told_make(struct catalog *cat, const char *site_id, const struct run_result *r,
                              const struct error *refused, struct run_told *out, struct error *err)
{
    struct run_told t = RUN_TOLD_INIT;
    enum error_kind rc = OK;

    t.outcome = NOTIFY_SUCCEEDED;
    if (refused)
        rc = add_failure(&t, "run", refused, err);
    for (unsigned i = 0; !refused && i < RUN_STEPS && !rc; i++) {
        if (r->steps[i].outcome == RUN_FAILED)
            rc = add_failure(&t, run_step_word((enum run_step_name)i), &r->steps[i].err, err);
    }
    if (!rc && !refused && r->drill_before.kind) /* the run that does not try it again is no recovery */
        rc = add_failure(&t, run_step_word(RUN_DRILL), &r->drill_before, err);
    if (!rc && (r->suspicion || r->partial))
        rc = add_doubt(&t, r, err);
    if (!rc)
        rc = add_snapshot(&t, r, err);
    if (!rc && cat)
        rc = add_last_good(&t, cat, site_id, err);
    if (rc)
        run_told_release(&t);
    else
        *out = t;
    return rc;
}

void run_told_release(struct run_told *t)
{
    free(t->message);
    text_list_release(&t->facts);
    *t = (struct run_told)RUN_TOLD_INIT;
}
