/*
 * Does the shop answer? The only file of this room that includes curl.h.
 *
 * Healthy is a status of 200 to 399 that does not lead to /install: with its configuration lost, every URL of nopCommerce redirects there,
 * and that page lets any visitor install over the shop.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "thread.h"
#include "transaction_internal.h"

#define REQUEST_TIMEOUT_S 30L
#define HEALTH_TIMEOUT_MS 120000
#define BODY_MAX (4u << 20)
#define STEADY_MS 5000

static size_t discard(char *data, size_t size, size_t n, void *arg)
{
    size_t *seen = arg;

    (void)data;
    *seen += size * n;
    return *seen > BODY_MAX ? 0 : size * n;
}

struct answer {
    long status;
    bool leads_to_install;
    char why[CURL_ERROR_SIZE];
};

static enum error_kind ask(const char *url, struct answer *a, struct error *err)
{
    CURL *c = curl_easy_init();
    size_t seen = 0;
    char *to = NULL;
    CURLcode rc;

    if (!c)
        return error_set(err, ERR_MEMORY, 0, "out of memory");
    *a = (struct answer){0, false, ""};
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_USERAGENT,
                     "nopsnap/" NOPSNAP_VERSION " (bot)"); /* a crawler's name: no guest customer is made */
    curl_easy_setopt(c, CURLOPT_TIMEOUT, REQUEST_TIMEOUT_S);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, discard);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &seen);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, a->why);
    rc = curl_easy_perform(c);
    if (rc && !a->why[0])
        (void)snprintf(a->why, sizeof(a->why), "%s", curl_easy_strerror(rc));
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &a->status);
    if (curl_easy_getinfo(c, CURLINFO_REDIRECT_URL, &to) == CURLE_OK && to)
        a->leads_to_install = strstr(to, "/install") != NULL;
    curl_easy_cleanup(c);
    return OK;
}

/* Without the "user:password@" that it may have (P10). */
static enum error_kind url_shown(const char *url, char **out, struct error *err)
{
    const char *scheme = strstr(url, "://");
    const char *host = scheme ? scheme + 3 : url;
    const char *end = host + strcspn(host, "/?#");
    const char *at = memrchr(host, '@', (size_t)(end - host));

    return memory_format(out, err, "%.*s%s", (int)(host - url), url, at ? at + 1 : host);
}

static enum error_kind unhealthy_at(const char *url, const struct answer *a, struct error *err)
{
    enum error_kind rc;

    if (a->leads_to_install) {
        rc = error_set(err, ERR_REMOTE, 0, "%s leads to /install: the shop has lost its configuration", url);
    } else if (a->status) {
        rc = error_set(err, ERR_REMOTE, 0, "%s answers with status %ld", url, a->status);
    } else {
        rc = error_set(err, ERR_REMOTE, 0, "%s does not answer: %s", url, a->why);
    }
    error_hint(err, "see the shop's own log; `url` in the config says what is asked");
    return rc;
}

static enum error_kind unhealthy(const char *url, const struct answer *a, struct error *err)
{
    char *shown = NULL;
    enum error_kind rc = url_shown(url, &shown, err);

    if (!rc)
        rc = unhealthy_at(shown, a, err);
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

static enum error_kind answers(const struct txn *t, struct error *err)
{
    int64_t limit = t->health_timeout_ms > 0 ? t->health_timeout_ms : HEALTH_TIMEOUT_MS;
    int64_t deadline = clock_monotonic_ms() + limit;
    enum error_kind rc;

    for (;;) {
        struct answer a;

        rc = ask(t->url, &a, err);
        if (rc)
            return rc;
        if (a.leads_to_install)
            return unhealthy(t->url, &a, err); /* waiting would only leave the door open */
        if (a.status >= 200 && a.status < 400)
            return OK;
        if (clock_monotonic_ms() >= deadline)
            return unhealthy(t->url, &a, err);
        rc = cancel_check(err);
        if (rc)
            return rc;
        nanosleep(&(struct timespec){0, 500000000}, NULL);
    }
}

enum error_kind health_wait(const struct txn *t, const struct progress *progress, struct error *err)
{
    if (t->url) {
        progress_step(progress, "waiting for the shop to answer");
        return answers(t, err);
    }
    if (!t->service)
        return OK;
    progress_step(progress, "looking whether the shop stays up");
    return stays_active(t->service, err);
}
