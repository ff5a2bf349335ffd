/* The wait for a shop that may be migrating, and the verdict. */
#include "health.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "health_internal.h"
#include "thread.h"

#define TIMEOUT_MS (60 * 60000LL)
#define POLL_MS 1000
#define SETTLE_MS 10000

struct watch {
    const struct health_options *o;
    const struct health_baseline *before;
    struct database *db;
    const struct progress *progress;
    struct health_result *result;
    int64_t began_ms;
    int64_t bad_since_ms;            /* 0: it is not known to be bad */
    int64_t grew_ms;                 /* when the last migration was seen; 0: none since the start */
    struct database_migrations seen; /* at the last look */
    bool counted;
    bool answered;
    char run[64];
    char *silence; /* what the last question met, while there was no answer */
};

void health_options_from(const struct site_config *config, struct health_options *out)
{
    out->url = config->url;
    out->host = config->host_header;
    out->ca_file = config->ca_file;
    out->commands = &config->check;
    out->pages = &config->check_page;
    if (config->health_timeout)
        out->timeout_ms = text_parse_duration(config->health_timeout);
}

void health_result_release(struct health_result *r)
{
    text_list_release(&r->reasons);
    text_list_release(&r->warnings);
    *r = (struct health_result)HEALTH_RESULT_INIT;
}

static bool is_ours(enum error_kind rc)
{
    return rc == ERR_CANCELLED || rc == ERR_MEMORY;
}

/* ---- migrations ---- */

static bool was_seen(const struct watch *w, int64_t version)
{
    for (size_t i = 0; i < w->seen.count; i++)
        if (w->seen.items[i].version == version)
            return true;
    return false;
}

/* The newest in number of those that were recorded since the last look: they are not made in the order of their numbers alone. */
static const char *newest(const struct watch *w, const struct database_migrations *now)
{
    size_t i = now->count;

    while (i > 1 && was_seen(w, now->items[i - 1].version))
        i--;
    return now->items[i - 1].description;
}

/* What can't be read now is read the next time: a running migration may hold locks. */
static enum error_kind look_at_migrations(struct watch *w, bool *grew, struct error *err)
{
    struct database_migrations now = {NULL, 0};
    struct error why = ERROR_INIT;
    enum error_kind rc = w->db ? database_migrations(w->db, &now, &why) : OK;

    *grew = false;
    if (is_ours(rc)) {
        error_copy(err, &why);
        return rc;
    }
    if (rc || !w->db)
        return OK;
    if (!w->counted) {
        w->counted = true;
        w->result->migrations_before = w->before ? w->before->migration_count : now.count;
        w->result->migrations_now = w->result->migrations_before;
    }
    if (now.count > w->result->migrations_now) {
        const char *last = newest(w, &now);
        char shown[120];

        *grew = true;
        w->grew_ms = clock_monotonic_ms();
        w->result->migrations_now = now.count;
        text_name(last, strlen(last), shown, sizeof(shown));
        progress_step(w->progress, "the shop migrates its database: %zu done, %s",
                      now.count - w->result->migrations_before, *shown ? shown : "the last without a name");
    }
    database_migrations_release(&w->seen);
    w->seen = now;
    return OK;
}

/* ---- the process ---- */

/* How far it came is looked at once more: the last migrations may be younger than the last look. */
static enum error_kind process_broke(struct watch *w, const char *reason, bool *done, struct error *err)
{
    bool grew = false;
    enum error_kind rc = look_at_migrations(w, &grew, err);
    size_t steps = w->result->migrations_now - w->result->migrations_before;

    if (rc)
        return rc;
    text_list_release(&w->result->reasons);
    text_list_release(&w->result->warnings);
    w->result->verdict = HEALTH_BROKEN;
    *done = true;
    if (!w->counted || w->answered)
        return text_list_add(&w->result->reasons, reason, err);
    return text_list_addf(&w->result->reasons, err, "%s; until then it recorded %zu migration%s", reason, steps,
                          steps == 1 ? "" : "s");
}

static enum error_kind look_at_process(struct watch *w, bool *done, struct error *err)
{
    struct health_process p = {.known = false};
    struct error why = ERROR_INIT;
    char reason[sizeof(p.ended) + 64];
    enum error_kind rc = w->o->probe ? w->o->probe(w->o->probe_arg, &p, &why) : OK;

    if (is_ours(rc)) {
        error_copy(err, &why);
        return rc;
    }
    if (rc || !p.known)
        return OK;
    p.ended[sizeof(p.ended) - 1] = '\0';
    if (!p.alive && p.ended[0])
        (void)snprintf(reason, sizeof(reason), "the shop's process has ended %s", p.ended);
    if (!p.alive)
        return process_broke(w, p.ended[0] ? reason : "the shop's process has ended; its own log says why", done, err);
    p.run[sizeof(p.run) - 1] = '\0';
    if (w->run[0] && strcmp(w->run, p.run) != 0)
        return process_broke(w, "the shop's process ended and was started again; its own log says why", done, err);
    memcpy(w->run, p.run, sizeof(w->run));
    return OK;
}

/* ---- answers ---- */

/* The page that is asked while waiting, and whether what it says now is what it said before. */
static const char *first_path(const struct watch *w)
{
    return w->before && w->before->page_count ? w->before->pages[0].path : HEALTH_FIRST_PAGE;
}

static bool as_before(const struct watch *w, const struct page_seen *seen)
{
    const struct health_page *p = w->before && w->before->page_count ? &w->before->pages[0] : NULL;

    return p && !p->answered && p->status != 0 && p->status == seen->status && !p->location == !seen->location &&
           (!p->location || strcmp(p->location, seen->location) == 0);
}

static bool has_settled(const struct watch *w)
{
    int64_t settle = w->o->settle_ms > 0 ? w->o->settle_ms : SETTLE_MS;

    return clock_monotonic_ms() - w->bad_since_ms >= settle;
}

static void note_bad(struct watch *w)
{
    if (!w->bad_since_ms)
        w->bad_since_ms = clock_monotonic_ms();
}

/* The shop answers: everything is asked. *done: there is a verdict. */
static enum error_kind check_all(struct watch *w, bool *done, struct error *err)
{
    struct health_result *r = w->result;
    bool grew = false;
    enum error_kind rc;

    text_list_release(&r->reasons);
    text_list_release(&r->warnings);
    rc = health_check(w->o, w->before, w->db, &r->reasons, &r->warnings, err);
    if (!rc)
        rc = look_at_migrations(w, &grew, err);
    if (rc)
        return rc;
    if (grew) {
        w->bad_since_ms = 0;
        return OK;
    }
    if (r->reasons.count == 0) {
        r->verdict = r->warnings.count ? HEALTH_WARNED : HEALTH_GOOD;
        *done = true;
        return OK;
    }
    note_bad(w);
    if (has_settled(w)) {
        r->verdict = HEALTH_BROKEN;
        *done = true;
    }
    return OK;
}

static enum error_kind add_first_page(struct watch *w, const struct page_seen *seen, struct error *err)
{
    text_list_release(&w->result->reasons);
    text_list_release(&w->result->warnings);
    return text_list_addf(&w->result->reasons, err, "the first page, %s, %s", first_path(w), seen->says);
}

static enum error_kind judge_answer(struct watch *w, struct page_seen *seen, bool *done, struct error *err)
{
    switch (seen->state) {
    case PAGE_INSTALL:
    case PAGE_CRASHED:
        w->result->verdict = HEALTH_BROKEN;
        *done = true;
        return add_first_page(w, seen, err);
    case PAGE_SILENT:
        w->bad_since_ms = 0;
        w->answered = false;
        free(w->silence);
        w->silence = seen->says;
        seen->says = NULL;
        text_list_release(&w->result->reasons);
        return OK;
    case PAGE_BAD:
        if (as_before(w, seen))
            break;
        note_bad(w);
        if (has_settled(w)) {
            w->result->verdict = HEALTH_BROKEN;
            *done = true;
        }
        return add_first_page(w, seen, err);
    case PAGE_FINE:
        break;
    }
    if (!w->answered)
        progress_step(w->progress, "the shop answers: asking its pages");
    w->answered = true;
    return check_all(w, done, err);
}

static enum error_kind ask(struct watch *w, bool *done, struct error *err)
{
    struct page_seen seen = PAGE_SEEN_INIT;
    enum error_kind rc = page_look(w->o, first_path(w), &seen, err);

    if (!rc)
        rc = judge_answer(w, &seen, done, err);
    page_seen_release(&seen);
    return rc;
}

/* ---- the end of patience ---- */

/* Still bad is broken; never an answer is something else, as long as the process goes on. */
static enum error_kind time_out(struct watch *w, struct error *err)
{
    struct health_result *r = w->result;
    size_t steps = r->migrations_now - r->migrations_before;
    int64_t now = clock_monotonic_ms();
    char waited[TEXT_MAX];
    char since[TEXT_MAX];

    if (r->reasons.count) {
        r->verdict = HEALTH_BROKEN;
        return OK;
    }
    r->verdict = HEALTH_TIMED_OUT;
    text_duration((uint64_t)(now - w->began_ms), waited);
    text_duration((uint64_t)(now - w->grew_ms), since);
    if (w->grew_ms)
        return text_list_addf(
            &r->reasons, err,
            "the shop is still migrating after %s: %zu migrations are done, the last was recorded %s ago; it needs more "
            "time, or hangs",
            waited, steps, since);
    return text_list_addf(&r->reasons, err, "in %s the shop recorded no migration, and its first page %s", waited,
                          w->silence ? w->silence : "did not answer");
}

static enum error_kind sleep_until_next(const struct watch *w, struct error *err)
{
    int poll = w->o->poll_ms > 0 ? w->o->poll_ms : POLL_MS;

    (void)nanosleep(&(struct timespec){poll / 1000, (poll % 1000) * 1000000L}, NULL);
    return cancel_check(err);
}

/* One look at everything. A shop that falls over when it is asked is seen by looking at its process once more. */
static enum error_kind look(struct watch *w, bool *done, struct error *err)
{
    bool grew = false;
    enum error_kind rc = look_at_process(w, done, err);

    if (!rc && !*done)
        rc = look_at_migrations(w, &grew, err);
    if (!rc && !*done)
        rc = ask(w, done, err);
    return rc || !*done || w->result->verdict == HEALTH_BROKEN ? rc : look_at_process(w, done, err);
}

static enum error_kind run(struct watch *w, struct error *err)
{
    int64_t limit = w->o->timeout_ms > 0 ? w->o->timeout_ms : TIMEOUT_MS;
    bool done = false;
    enum error_kind rc = cancel_check(err);

    progress_step(w->progress, "waiting for the shop to answer");
    while (!rc && !done) {
        rc = look(w, &done, err);
        if (rc || done)
            break;
        if (clock_monotonic_ms() - w->began_ms >= limit)
            return time_out(w, err);
        rc = sleep_until_next(w, err);
    }
    return rc;
}

enum error_kind health_judge(const struct health_options *options, const struct health_baseline *before,
                             struct database *db, const struct progress *progress, struct health_result *out,
                             struct error *err)
{
    struct health_result result = HEALTH_RESULT_INIT;
    struct watch w = {.o = options,
                      .before = before,
                      .db = db,
                      .progress = progress,
                      .result = &result,
                      .began_ms = clock_monotonic_ms()};
    enum error_kind rc = run(&w, err);

    result.waited_ms = clock_monotonic_ms() - w.began_ms;
    if (rc) {
        error_context(err, "judging whether the shop is well");
    } else {
        *out = result;
        result = (struct health_result)HEALTH_RESULT_INIT;
    }
    health_result_release(&result);
    database_migrations_release(&w.seen);
    free(w.silence);
    return rc;
}
