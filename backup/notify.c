#include "notify.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "notify_internal.h"
#include "overview.h"
#include "thread.h"

#define ATTEMPTS 3
#define FIRST_PAUSE_MS 500
#define SHORTEST_MS 500 /* an attempt with less time than this makes no sense */

/* ---- attempts ---- */

/* What differs between the endpoints, for the attempts that are the same. */
struct letter {
    const struct notify_settings *settings;
    const char *url;              /* NULL: mail */
    const struct buffer *content; /* NULL: only asked */
};

static enum error_kind pause_ms(int ms, struct error *err)
{
    enum error_kind rc = cancel_check(err);

    for (; ms > 0 && !rc; ms -= 50) {
        (void)poll(NULL, 0, ms < 50 ? ms : 50);
        rc = cancel_check(err);
    }
    return rc;
}

static enum error_kind attempt(const struct letter *l, int timeout_ms, enum delivered *how, char why[WHY_MAX],
                               struct error *err)
{
    return l->url ? deliver_http(l->settings, l->url, l->content, timeout_ms, how, why, err)
                  : deliver_mail(l->settings, l->content, timeout_ms, how, why, err);
}

/* Up to three attempts, all within the time that one endpoint has; each gets a fair share of it. */
static enum error_kind deliver(const struct letter *l, bool *taken, char why[WHY_MAX], struct error *err)
{
    int64_t end_ms = clock_monotonic_ms() + l->settings->timeout_ms;
    enum delivered how = DELIVER_LATER;
    enum error_kind rc = OK;
    int wait_ms = FIRST_PAUSE_MS;

    for (int i = 0; i < ATTEMPTS && how == DELIVER_LATER && !rc; i++) {
        int64_t left_ms = end_ms - clock_monotonic_ms();

        if (i > 0 && left_ms > wait_ms + SHORTEST_MS) {
            rc = pause_ms(wait_ms, err);
            left_ms -= wait_ms;
            wait_ms *= 3;
        } else if (i > 0) {
            break;
        }
        if (!rc)
            rc = attempt(l, (int)(left_ms / (ATTEMPTS - i)) + 1, &how, why, err);
    }
    *taken = how == DELIVERED;
    return rc;
}

/* ---- telling ---- */

/* One message on its way to those who have not heard of it. */
struct telling {
    const struct notify_settings *settings;
    const struct progress *progress;
    const struct notify_message *message;
    struct json *told, *missed;
};

static bool has_endpoint(const struct notify_settings *s, enum notify_endpoint e)
{
    return e == WEBHOOK ? s->webhook != NULL : s->mail_to.count > 0;
}

static enum error_kind write_letter(const struct notify_settings *s, const struct notify_message *m,
                                    enum notify_endpoint e, struct buffer *out, struct error *err)
{
    return e == WEBHOOK ? notify_message_json(m, s->template, out, err)
                        : notify_message_mail(m, s->mail_from, &s->mail_to, out, err);
}

static enum error_kind tell(const struct notify_settings *s, const struct notify_message *m, enum notify_endpoint e,
                            bool *taken, char **host, char why[WHY_MAX], struct error *err)
{
    struct buffer content = BUFFER_INIT(4u << 20);
    struct letter l = {s, e == WEBHOOK ? s->webhook : NULL, &content};
    enum error_kind rc = deliver_host(e == WEBHOOK ? s->webhook : s->mail_server, host, err);

    if (!rc)
        rc = write_letter(s, m, e, &content, err);
    if (!rc)
        rc = deliver(&l, taken, why, err);
    buffer_release(&content);
    return rc;
}

static enum error_kind tell_one(struct telling *t, enum notify_endpoint e, struct error *err)
{
    char why[WHY_MAX] = "";
    char *host = NULL;
    bool taken = false;
    enum error_kind rc = tell(t->settings, t->message, e, &taken, &host, why, err);

    if (!rc && taken)
        json_push_text(t->told, notify_endpoint_word(e));
    if (!rc && !taken) {
        json_push_text(t->missed, notify_endpoint_word(e));
        progress_warn(t->progress, "%s at %s was not told: %s", notify_endpoint_word(e), host, why);
    }
    free(host);
    return rc;
}

/*
 * To every endpoint for which it is news; then what each took is remembered, also where a signal came between. Where nobody can say what was
 * told before (no catalogue, or its run log can't be read) a failure is told once too often rather than not at all.
 */
static enum error_kind tell_all(struct catalog *cat, const char *site_id, const char *cause, struct telling *t,
                                struct error *err)
{
    struct notify_memories memories = {.any = {{.known = false}}};
    struct error unsaid = ERROR_INIT;
    enum error_kind rc = OK;

    if (cat && notify_memories_load(cat, site_id, &memories, &unsaid) != OK)
        progress_warn(t->progress, "what was told before is not known: %s", unsaid.text);
    error_clear(&unsaid);
    t->told = json_array();
    t->missed = json_array();
    for (int e = 0; e < ENDPOINTS && !rc; e++) {
        if (has_endpoint(t->settings, e) &&
            notify_is_news(t->settings, &memories, e, t->message->topic, cause, t->message->moment_ns))
            rc = tell_one(t, e, err);
    }
    if (!cat || json_length(t->told) + json_length(t->missed) == 0) {
        json_free(t->told);
        json_free(t->missed);
    } else if (notify_remember(cat, site_id, t->message, cause, t->told, t->missed, &unsaid) != OK) {
        progress_warn(t->progress, "what was told could not be remembered: %s", unsaid.text);
    }
    return rc;
}

static enum error_kind ping(const struct notify_settings *s, enum notify_outcome outcome,
                            const struct progress *progress, struct error *err)
{
    struct letter l = {s, s->ping[outcome == NOTIFY_DOUBTFUL ? NOTIFY_FAILED : outcome], NULL};
    char why[WHY_MAX] = "";
    char *host = NULL;
    bool taken = false;
    enum error_kind rc;

    if (!l.url)
        return OK;
    rc = deliver_host(l.url, &host, err);
    if (!rc)
        rc = deliver(&l, &taken, why, err);
    if (!rc && !taken)
        progress_warn(progress, "ping at %s was not taken: %s", host, why);
    free(host);
    return rc;
}

enum error_kind notify_ping(const struct config *config, const struct site_config *site, enum notify_outcome outcome,
                            const struct progress *progress, struct error *err)
{
    struct notify_settings s = {.timeout_ms = 0};
    struct error wrong = ERROR_INIT;
    enum error_kind rc = notify_settings_load(config, site, &s, &wrong);

    if (!rc || rc == ERR_USAGE)
        rc = ping(&s, outcome, progress, err);
    if (!rc)
        rc = wrong.kind;
    error_copy(err, &wrong);
    notify_settings_release(&s);
    return rc;
}

static enum error_kind tell_run(struct catalog *cat, const struct notify_settings *s, const struct notify_event *event,
                                const struct progress *progress, struct error *err)
{
    struct notify_message m = {.title = NULL};
    struct telling t = {s, progress, &m, NULL, NULL};
    enum notify_topic topic = event->outcome == NOTIFY_FAILED     ? TOPIC_FAILURE
                              : event->outcome == NOTIFY_DOUBTFUL ? TOPIC_DOUBTFUL
                                                                  : TOPIC_RECOVERY;
    enum error_kind rc = OK;

    if (!s->webhook && s->mail_to.count == 0)
        return OK;
    rc = notify_message_make(topic, event->site_name, event->status, event->message, event->facts, &m, err);
    if (!rc)
        rc = tell_all(cat, event->site_id, event->cause ? event->cause : "", &t, err);
    notify_message_release(&m);
    return rc;
}

/* Invariant 4: of the endpoints, those that can be read are told whatever is wrong with the others. */
enum error_kind notify_run(struct catalog *cat, const struct config *config, const struct site_config *site,
                           const struct notify_event *event, const struct progress *progress, struct error *err)
{
    struct notify_settings s = {.timeout_ms = 0};
    struct error wrong = ERROR_INIT;
    enum error_kind rc = notify_settings_load(config, site, &s, &wrong);

    if (!rc || rc == ERR_USAGE)
        rc = ping(&s, event->outcome, progress, err);
    if (!rc && event->outcome != NOTIFY_STARTED)
        rc = tell_run(cat, &s, event, progress, err);
    if (!rc)
        rc = wrong.kind;
    error_copy(err, &wrong);
    notify_settings_release(&s);
    return rc;
}

/* ---- what is overdue ---- */

/* site: NULL for one that is not in the config: [nopsnap] counts. */
static enum error_kind tell_overdue(struct catalog *cat, const struct config *config, const struct site_config *site,
                                    const struct overview_site *s, const char *what, const struct progress *progress,
                                    struct error *err)
{
    struct notify_settings settings = {.timeout_ms = 0};
    struct notify_message m = {.title = NULL};
    struct telling t = {&settings, progress, &m, NULL, NULL};
    struct error wrong = ERROR_INIT;
    enum error_kind rc = notify_settings_load(config, site, &settings, &wrong);

    if (rc == ERR_USAGE) /* invariant 4 */
        rc = OK;
    if (!rc && (settings.webhook || settings.mail_to.count > 0)) {
        rc = notify_message_make(TOPIC_OVERDUE, s->name ? s->name : s->path, 0, what, NULL, &m, err);
        if (!rc)
            rc = tell_all(cat, s->site_id, "", &t, err);
    }
    if (!rc)
        rc = wrong.kind;
    error_copy(err, &wrong);
    notify_message_release(&m);
    notify_settings_release(&settings);
    return rc;
}

/* Does this problem mean that a good snapshot is expected and not there? */
static bool is_overdue(const struct overview_site *s, const char *code)
{
    return strcmp(code, "late") == 0 || (s->expect_ms && (strcmp(code, "none") == 0 || strcmp(code, "none-good") == 0));
}

/* What is said of a site that is overdue; NULL of others. */
static const char *find_late(const struct overview_site *s)
{
    for (size_t i = 0; i < s->problems.count; i++) {
        if (is_overdue(s, s->problems.items[i].code))
            return s->problems.items[i].text;
    }
    return NULL;
}

enum error_kind notify_overdue(struct catalog *cat, const struct config *config, const struct progress *progress,
                               struct error *err)
{
    struct overview o = OVERVIEW_INIT;
    enum error_kind rc = overview_gather(cat, config, NULL, &o, err);

    for (size_t i = 0; i < o.count && !rc; i++) {
        const struct overview_site *s = &o.sites[i];
        const struct site_config *site = s->name ? config_find(config, s->name) : NULL;
        const char *late = s->here ? find_late(s) : NULL;
        struct error why = ERROR_INIT;

        if (late)
            rc = tell_overdue(cat, config, site, s, late, progress, &why);
        if (rc == ERR_USAGE) {
            progress_warn(progress, "%s", why.text);
            rc = OK;
        } else if (rc) {
            error_copy(err, &why);
        }
    }
    overview_release(&o);
    return rc;
}

/* ---- a test ---- */

static enum error_kind test_pings(const struct notify_settings *s, notify_answer_fn *fn, void *arg, size_t *count,
                                  struct error *err)
{
    enum error_kind rc = OK;

    /* Success last, so that the service doesn't take the test for a failure. */
    static const enum notify_outcome order[] = {NOTIFY_STARTED, NOTIFY_FAILED, NOTIFY_SUCCEEDED};

    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]) && !rc; i++) {
        struct letter l = {s, s->ping[order[i]], NULL};
        struct notify_answer a = {"ping", NULL, false, NULL};
        char why[WHY_MAX] = "";
        char *host = NULL;

        if (!l.url)
            continue;
        rc = deliver_host(l.url, &host, err);
        if (!rc)
            rc = deliver(&l, &a.taken, why, err);
        a.host = host;
        a.why = why;
        ++*count;
        if (!rc)
            fn(arg, &a);
        free(host);
    }
    return rc;
}

enum error_kind notify_test(const struct config *config, const struct site_config *site, notify_answer_fn *fn,
                            void *arg, size_t *count, struct error *err)
{
    struct notify_settings s = {.timeout_ms = 0};
    struct notify_message m = {.title = NULL};
    enum error_kind rc = notify_settings_load(config, site, &s, err);

    *count = 0;
    if (!rc)
        rc = notify_message_make(TOPIC_TEST, site ? site->name : "all sites", 0,
                                 "Nothing is wrong: somebody wanted to see that messages arrive.", NULL, &m, err);
    for (int e = 0; e < ENDPOINTS && !rc; e++) {
        struct notify_answer a = {notify_endpoint_word(e), NULL, false, NULL};
        char why[WHY_MAX] = "";
        char *host = NULL;

        if (!has_endpoint(&s, e))
            continue;
        rc = tell(&s, &m, e, &a.taken, &host, why, err);
        a.host = host;
        a.why = why;
        ++*count;
        if (!rc)
            fn(arg, &a);
        free(host);
    }
    if (!rc)
        rc = test_pings(&s, fn, arg, count, err);
    notify_message_release(&m);
    notify_settings_release(&s);
    return rc;
}
