/*
 * What of a site's figures is a problem, how grave, and what to do about it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "overview_internal.h"
#include "retention.h"

#define UNREAD_DAYS 60

enum error_kind overview_problem_add(struct overview_problems *list, enum overview_grade grade, const char *code,
                                     const char *hint, struct error *err, const char *format, ...)
{
    struct overview_problem problem = {grade, code, NULL, NULL};
    char text[1024];
    size_t at = 0;
    va_list args;
    enum error_kind rc;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (list->count == list->cap) {
        struct overview_problem *grown = reallocarray(list->items, list->cap * 2 + 4, sizeof(*grown));

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory");
        list->items = grown;
        list->cap = list->cap * 2 + 4;
    }
    rc = memory_string(text, &problem.text, err);
    if (!rc && hint)
        rc = memory_string(hint, &problem.hint, err);
    if (rc) {
        free(problem.text);
        return rc;
    }
    while (at < list->count && list->items[at].grade >= grade)
        at++;
    memmove(list->items + at + 1, list->items + at, (list->count - at) * sizeof(*list->items));
    list->items[at] = problem;
    list->count++;
    return OK;
}

/* With a hint that names the site as its owner does. */
static enum error_kind say(struct overview_site *s, enum overview_grade grade, const char *code, const char *verb,
                           const char *text, struct error *err)
{
    char *hint = NULL;
    enum error_kind rc = memory_format(&hint, err, "nopsnap %s %s", verb, s->name ? s->name : s->path);

    if (!rc)
        rc = overview_problem_add(&s->problems, grade, code, hint, err, "%s", text);
    free(hint);
    return rc;
}

static enum error_kind judge_transaction(struct overview_site *s, struct error *err)
{
    struct error why = ERROR_INIT;
    char *detail = NULL;
    char *text = NULL;
    enum error_kind rc = transaction_look(s->path, &s->transaction, &detail, &why);

    if (rc == ERR_PENDING)
        rc = overview_problem_add(&s->problems, OVERVIEW_PENDING, "unfinished", why.hint[0] ? why.hint : NULL, err,
                                  "%s", why.text);
    else if (rc)
        rc = overview_problem_add(&s->problems, OVERVIEW_WARNING, "unknown", NULL, err, "%s", why.text);
    else if (s->transaction != TRANSACTION_NONE)
        rc = memory_format(&text, err, "%s at %s: %s",
                           s->transaction == TRANSACTION_PENDING ? "unfinished" : "under way", s->path,
                           detail ? detail : "?");
    if (!rc && text && s->transaction == TRANSACTION_PENDING)
        rc = say(s, OVERVIEW_PENDING, "unfinished", "recover", text, err);
    else if (!rc && text)
        rc = overview_problem_add(&s->problems, OVERVIEW_NOTE, "running", NULL, err, "%s", text);
    free(detail);
    free(text);
    return rc;
}

static enum error_kind judge_kept(struct overview_site *s, struct error *err)
{
    struct error why = ERROR_INIT;

    if (kept_look(s->path, &s->kept, &why) != OK)
        return overview_problem_add(&s->problems, OVERVIEW_WARNING, "kept", why.hint[0] ? why.hint : NULL, err, "%s",
                                    why.text);
    return OK;
}

static enum error_kind judge_age(const struct overview *o, struct overview_site *s, struct error *err)
{
    char age[TEXT_MAX];
    char may[TEXT_MAX];
    char text[256];
    bool ahead = s->count && snapshot_is_of_future(s->points[0].made_ns, o->now_ns);
    enum error_kind rc = OK;

    if (ahead) /* and whether one of today is missing is another question */
        rc = overview_problem_add(&s->problems, OVERVIEW_WARNING, "clock", "see whether this host's clock is right",
                                  err, "the newest snapshot is of the future");
    if (rc)
        return rc;
    if (!s->good && ahead)
        return say(s, OVERVIEW_WARNING, "none-good", "snapshot", "there is no good snapshot up to now", err);
    if (!s->good && s->count)
        return say(s, OVERVIEW_WARNING, "none-good", "snapshot",
                   "there is no good snapshot: whole, not flagged, and not of what a rollback took away", err);
    if (!s->good)
        return say(s, OVERVIEW_WARNING, "none", "snapshot", "there is no snapshot yet", err);
    if (!s->expect_ms || o->now_ns - s->good->made_ns <= s->expect_ms * NS_PER_MS)
        return OK;
    text_duration((uint64_t)((o->now_ns - s->good->made_ns) / NS_PER_MS), age);
    text_duration((uint64_t)s->expect_ms, may);
    (void)snprintf(text, sizeof(text), "the last good snapshot is %s old; expected is one every %s at most", age, may);
    return say(s, OVERVIEW_WARNING, "late", "history", text, err);
}

static enum error_kind judge_timer(struct overview_site *s, struct error *err)
{
    char *hint = NULL;
    enum error_kind rc = OK;

    if (!s->stopped_timer)
        return OK;
    rc = memory_format(&hint, err, "systemctl enable --now %s.timer", s->stopped_timer);
    if (!rc)
        rc = overview_problem_add(&s->problems, OVERVIEW_WARNING, "timer", hint, err,
                                  "the timer %s.timer is not running: nothing starts the next run", s->stopped_timer);
    free(hint);
    return rc;
}

static enum error_kind judge_newest(struct overview_site *s, struct error *err)
{
    const struct overview_point *p = s->points;
    char *hint = NULL;
    enum error_kind rc = OK;

    if (!s->count || (!p->suspicious && !p->warned))
        return OK;
    rc = memory_format(&hint, err, "nopsnap show %.8s%s%.8s", p->id, p->suspicious ? " tells why; nopsnap accept " : "",
                       p->suspicious ? p->id : "");
    if (!rc && p->suspicious)
        rc = overview_problem_add(&s->problems, OVERVIEW_WARNING, "flagged", hint, err,
                                  "the newest snapshot is flagged: it does not count as good");
    else if (!rc)
        rc = overview_problem_add(&s->problems, OVERVIEW_NOTE, "warned", hint, err,
                                  "the newest snapshot was made with warnings");
    free(hint);
    return rc;
}

/* Status 6: somebody else was at work, the next run does it. */
static enum error_kind judge_work(struct overview_site *s, const struct overview_work *w, const char *what,
                                  const char *verb, struct error *err)
{
    char when[TEXT_MAX];
    char text[128];

    if (!w->ended_ns || w->status == 0 || w->status == 3)
        return OK;
    text_moment(w->ended_ns, when);
    if (w->status == 6)
        (void)snprintf(text, sizeof(text), "the last %s met another command and is left to the next one: %s", what,
                       when);
    else
        (void)snprintf(text, sizeof(text), "the last %s failed: %s, exit status %d", what, when, w->status);
    return say(s, w->status == 6 ? OVERVIEW_NOTE : OVERVIEW_WARNING, what, verb, text, err);
}

/* The snapshot stands, so that the exit status is only 3, but a copy elsewhere, retention or the like did not come about. */
static enum error_kind judge_run(struct overview_site *s, struct error *err)
{
    char when[TEXT_MAX];
    char text[512];

    if (!s->run_failed || s->run.status == 6)
        return judge_work(s, &s->run, "run", "history", err);
    text_moment(s->run.ended_ns, when);
    if (s->run.status == 3)
        (void)snprintf(text, sizeof(text), "a step of the last run failed: %s, %s", when, s->run_failed);
    else
        (void)snprintf(text, sizeof(text), "the last run failed: %s, exit status %d, %s", when, s->run.status,
                       s->run_failed);
    return say(s, OVERVIEW_WARNING, s->run.status == 3 ? "step" : "run", "history", text, err);
}

/* Twice the time: one drill may fail, or come late, and that has its own word. Never drilled counts from the oldest snapshot. */
static enum error_kind judge_drills(const struct overview *o, struct overview_site *s, struct error *err)
{
    int64_t since = s->drill_good.ended_ns ? s->drill_good.ended_ns : s->count ? s->points[s->count - 1].made_ns : 0;
    char age[TEXT_MAX];
    char text[128];

    if (s->drill_ms <= 0 || !since || o->now_ns - since <= 2 * s->drill_ms * NS_PER_MS)
        return OK;
    text_duration((uint64_t)((o->now_ns - since) / NS_PER_MS), age);
    (void)snprintf(text, sizeof(text), "no restore was proved for %s", age);
    return say(s, OVERVIEW_WARNING, "undrilled", "drill", text, err);
}

enum error_kind overview_judge_site(const struct overview *o, struct overview_site *s, struct error *err)
{
    enum error_kind rc = OK;

    if (s->here)
        rc = judge_transaction(s, err);
    if (!rc && s->here)
        rc = judge_kept(s, err);
    if (!rc && s->here)
        rc = judge_age(o, s, err);
    if (!rc)
        rc = judge_timer(s, err);
    if (!rc)
        rc = judge_newest(s, err);
    if (!rc)
        rc = judge_run(s, err);
    if (!rc)
        rc = judge_work(s, &s->drill, "drill", "drill", err);
    return rc || !s->here ? rc : judge_drills(o, s, err);
}

enum error_kind overview_judge_catalog(struct overview *o, struct error *err)
{
    bool expected = false;
    bool here = false;
    enum error_kind rc = OK;

    for (size_t i = 0; i < o->count; i++) {
        expected = expected || o->sites[i].expect_ms > 0;
        here = here || o->sites[i].here;
    }
    if (o->damaged)
        rc = overview_problem_add(&o->problems, OVERVIEW_DAMAGE, "damage", "nopsnap verify names it", err,
                                  "the catalogue %s has damage that no repair has cleared", o->catalog);
    if (!rc && here && o->unwritable.kind) /* a copy of another host's is only looked at */
        rc =
            overview_problem_add(&o->problems, OVERVIEW_WARNING, o->unwritable.kind == ERR_SPACE ? "full" : "read-only",
                                 o->unwritable.hint, err, "%s", o->unwritable.text);
    if (!rc && expected && o->oldest_unread_ns && o->now_ns - o->oldest_unread_ns > UNREAD_DAYS * NS_PER_DAY)
        rc = overview_problem_add(&o->problems, OVERVIEW_WARNING, "unverified", "nopsnap verify --read-data=10m", err,
                                  "some of the stored data was not read for %lld days",
                                  (long long)((o->now_ns - o->oldest_unread_ns) / NS_PER_DAY));
    return rc;
}

enum overview_grade overview_site_grade(const struct overview_site *s)
{
    return s->problems.count ? s->problems.items[0].grade : OVERVIEW_WELL;
}

enum overview_grade overview_grade(const struct overview *o)
{
    enum overview_grade worst = o->problems.count ? o->problems.items[0].grade : OVERVIEW_WELL;

    for (size_t i = 0; i < o->count; i++)
        if (overview_site_grade(&o->sites[i]) > worst)
            worst = overview_site_grade(&o->sites[i]);
    return worst;
}

void overview_age(int64_t now_ns, int64_t then_ns, char out[TEXT_MAX])
{
    int64_t s = (now_ns - then_ns) / NS_PER_S;

    if (!then_ns)
        (void)snprintf(out, TEXT_MAX, "never");
    else if (s < 60)
        (void)snprintf(out, TEXT_MAX, "now");
    else if (s < 3600)
        (void)snprintf(out, TEXT_MAX, "%lld m", (long long)(s / 60));
    else if (s < 48 * 3600)
        (void)snprintf(out, TEXT_MAX, "%lld h", (long long)(s / 3600));
    else
        (void)snprintf(out, TEXT_MAX, "%lld d", (long long)(s / 86400));
}
