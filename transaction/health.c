/*
 * Does the shop answer? Healthy is a status of 200 to 399 that does not lead to /install.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "http.h"
#include "thread.h"
#include "transaction_internal.h"

#define HEALTH_TIMEOUT_MS 120000
#define STEADY_MS 5000
#define ONCE_MS 2000

static enum error_kind unhealthy_at(const char *url, const struct http_answer *a, bool install, struct error *err)
{
    enum error_kind rc;

    if (install) {
        rc = error_set(err, ERR_REMOTE, 0, "%s leads to /install: the shop has lost its configuration", url);
    } else if (a->status) {
        rc = error_set(err, ERR_REMOTE, 0, "%s answers with status %ld", url, a->status);
    } else {
        rc = error_set(err, ERR_REMOTE, 0, "%s does not answer: %s", url, a->why);
    }
    error_hint(err, a->untrusted
                        ? "`ca-file` in the config names the certificate to trust, `host-header` the name it is for"
                        : "see the shop's own log; `url` in the config says what is asked, and without it nothing is");
    return rc;
}

static enum error_kind unhealthy(const char *url, const struct http_answer *a, bool install, struct error *err)
{
    char *shown = NULL;
    enum error_kind rc = http_url_shown(url, &shown, err);

    if (!rc)
        rc = unhealthy_at(shown, a, install, err);
    free(shown);
    return rc;
}

/* A shop that falls over right after its start was active for a moment, and with Restart= is so again and again. */
static enum error_kind stays_active(const char *unit, struct error *err)
{
    int64_t deadline = clock_monotonic_ms() + STEADY_MS;
    char first[FENCE_RUN_MAX];
    char now[FENCE_RUN_MAX];
    bool active = true;
    enum error_kind rc = fence_unit_run(unit, first, err);

    while (!rc) {
        rc = fence_unit_active(unit, &active, err);
        if (!rc)
            rc = fence_unit_run(unit, now, err);
        if (!rc && (!active || strcmp(first, now) != 0)) {
            rc = error_set(err, ERR_REMOTE, 0, "%s does not stay active", unit);
            error_hint(err, "see `journalctl -u %s`", unit);
        }
        if (!rc)
            rc = cancel_check(err);
        if (clock_monotonic_ms() >= deadline)
            break;
        nanosleep(&(struct timespec){0, 250000000}, NULL);
    }
    return rc;
}

/* One question. *again: it may still come right. */
static enum error_kind answers_now(const struct txn *t, bool *again, struct error *err)
{
    const struct http_options options = {.host = t->host_header, .ca_file = t->ca_file};
    struct http_answer a = HTTP_ANSWER_INIT;
    bool install = false;
    enum error_kind rc = http_get(t->url, &options, &a, err);

    *again = false;
    if (rc)
        return rc;
    install = http_leads_to_install(t->url, a.location);
    if (install || a.status < 200 || a.status >= 400) {
        *again = !install && !a.untrusted; /* waiting would only leave the door open */
        rc = unhealthy(t->url, &a, install, err);
    }
    http_answer_release(&a);
    return rc;
}

/* A shop that has ended will not answer: it is not waited for. */
static enum error_kind still_runs(struct shop_watch *w, char first[FENCE_RUN_MAX], struct error *err)
{
    struct error unknown = ERROR_INIT;
    struct shop_life life = {.known = false};

    if (shop_watch_look(w, &life, &unknown) || !life.known)
        return OK;
    if (!life.alive || (first[0] && strcmp(first, life.run) != 0)) {
        error_set(err, ERR_REMOTE, 0,
                  life.alive ? "the shop's process ended and was started again" : "the shop's process has ended %s",
                  life.ended);
        error_hint(err, "see the shop's own log; without `url` in the config it is not asked");
        return ERR_REMOTE;
    }
    memcpy(first, life.run, FENCE_RUN_MAX);
    return OK;
}

static enum error_kind answers(const struct txn *t, struct shop_watch *w, int limit_ms, struct error *err)
{
    char run[FENCE_RUN_MAX] = "";
    int64_t deadline = clock_monotonic_ms() + limit_ms;

    for (;;) {
        struct error why = ERROR_INIT;
        bool again = false;
        enum error_kind rc = answers_now(t, &again, &why);

        if (!rc)
            return OK;
        if (!again || clock_monotonic_ms() >= deadline) {
            error_copy(err, &why);
            return rc;
        }
        rc = still_runs(w, run, err);
        if (!rc)
            rc = cancel_check(err);
        if (rc)
            return rc;
        nanosleep(&(struct timespec){0, 500000000}, NULL);
    }
}

static enum error_kind wait_within(const struct txn *t, struct shop_watch *w, int limit_ms,
                                   const struct progress *progress, struct error *err)
{
    if (t->url) {
        progress_step(progress, "waiting for the shop to answer");
        return answers(t, w, limit_ms, err);
    }
    if (!t->service)
        return OK;
    progress_step(progress, "looking whether the shop stays up");
    return stays_active(t->service, err);
}

enum error_kind health_wait(const struct txn *t, struct shop_watch *w, const struct progress *progress,
                            struct error *err)
{
    return wait_within(t, w, t->health_timeout_ms > 0 ? t->health_timeout_ms : HEALTH_TIMEOUT_MS, progress, err);
}

bool health_is_well(const struct txn *t)
{
    struct error ignored = ERROR_INIT;
    struct shop_watch nobody = {.held = false};

    return !t->url || answers(t, &nobody, ONCE_MS, &ignored) == OK;
}

bool health_was_unwell(const struct snapshot_record *r)
{
    return text_list_has(&r->tags, TAG_UNWELL) || text_list_has(&r->tags, "undone");
}

void health_tell(struct transaction_context *x, const struct progress *progress, struct transaction_result *out)
{
    struct error why = ERROR_INIT;
    struct error ignored = ERROR_INIT;
    /* A limit for migrations, which may be an hour, is none for a shop that has nothing to migrate. */
    enum error_kind rc = wait_within(&x->txn, &x->watch, HEALTH_TIMEOUT_MS, progress, &why);

    x->started_ms = clock_monotonic_ms();
    if (!rc)
        return;
    error_context(&why, rc == ERR_CANCELLED ? "nobody waited for the shop that is back to answer"
                                            : "the shop that is back is not well");
    progress_warn(progress, "%s%s%s", why.text, why.hint[0] ? "; " : "", why.hint);
    (void)memory_string(why.text, &out->unwell, &ignored);
}
