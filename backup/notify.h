/*
 * Notifications: who is told how scheduled work went, and how. Endpoints are a webhook (JSON by POST), mail (SMTP with TLS) and a dead man's
 * switch (an URL that is asked when a run begins, succeeds and fails, and that complains by itself when nobody asks). site_config.h has the keys.
 *
 *     rc = notify_check(&config, site, err);                 before a run: what is wrong with the config is told then
 *     rc = notify_ping(&config, site, NOTIFY_STARTED, &progress, err);
 *     ...
 *     event.outcome = NOTIFY_FAILED;    event.cause = "snapshot io"; event.message = error.text;
 *     rc = notify_run(cat, &config, site, &event, &progress, err);
 *     rc = notify_overdue(cat, &config, &progress, err);     after a run: of all sites of the config
 *
 * Invariants
 *  1. Nothing that an endpoint does or leaves undone fails the caller: a dead one is a warning, after few attempts within notify-timeout.
 *  2. Webhook and mail are told of a failure or a doubt once as long as its cause stays the same (or again after notify-repeat), of the first
 *     success after it, and once of a site that is overdue. What each was told is what the run log says that it took: one that was dead is told
 *     later. Without a catalogue nothing is remembered: a failure is told each time.
 *  3. No URL, login or answer of an endpoint is in a message, an error or the run log: only its host (P10).
 *  4. What is wrong with one endpoint's settings keeps no other from being told of a failure.
 */
#ifndef NOPSNAP_NOTIFY_H
#define NOPSNAP_NOTIFY_H

#include "catalog.h"
#include "site_config.h"
#include "text.h"

enum notify_outcome {
    NOTIFY_STARTED,
    NOTIFY_SUCCEEDED,
    NOTIFY_FAILED,
    NOTIFY_DOUBTFUL, /* the run went well, but its snapshot does not count as good */
};

struct notify_event {
    enum notify_outcome outcome;
    const char *site_name; /* as its owner calls it: the config's name, or the path */
    const char *site_id;   /* "" where there is no catalogue */
    int64_t started_ns;    /* of the run, by the clock on the wall */
    int status;            /* exit status */
    const char *cause;     /* of a failure or a doubt: a few words that stay the same while it does ("snapshot io") */
    const char *message;   /* one line of what happened; NULL for none */
    const struct text_list *facts; /* more lines, or NULL */
};

/*
 * Is what the config says of notifications of use: do files with secrets exist, with the right owner and mode, and hold what they should?
 *
 * site       NULL: what is in [nopsnap] alone
 * Returns    ERR_USAGE with the config's file and line
 */
enum error_kind notify_check(const struct config *config, const struct site_config *site, struct error *err);

/* Ask the dead man's switch alone; a doubt is a failure there. As notify_run() in all else. */
enum error_kind notify_ping(const struct config *config, const struct site_config *site, enum notify_outcome outcome,
                            const struct progress *progress, struct error *err);

/*
 * Tell whom it concerns.
 *
 * cat        NULL where there is none: nothing is known of what was told before, and nothing remembered
 * site       NULL for a site that is not in the config: [nopsnap] counts
 * progress   warned of endpoints that did not take it
 * Returns    OK also if nobody could be told; ERR_USAGE as notify_check(), after the others were told; ERR_CANCELLED once a signal came; the catalogue's errors
 */
enum error_kind notify_run(struct catalog *cat, const struct config *config, const struct site_config *site,
                           const struct notify_event *event, const struct progress *progress, struct error *err);

/*
 * Tell of every site of this host whose newest good snapshot is older than it should be, as overview.h judges it; for one that is not in the
 * config [nopsnap] counts. A site whose config is wrong is warned of.
 */
enum error_kind notify_overdue(struct catalog *cat, const struct config *config, const struct progress *progress,
                               struct error *err);

/* How one endpoint answered. */
struct notify_answer {
    const char *endpoint; /* "webhook", "mail", "ping" */
    const char *host;
    bool taken;
    const char *why; /* if it was not */
};
typedef void notify_answer_fn(void *arg, const struct notify_answer *answer);

/* Does this say who is told, or how? */
bool notify_is_named(const struct notify_config *c);
/* Send a message to every endpoint and hand over each answer. *count: how many endpoints there are. Errors as notify_run(). */
enum error_kind notify_test(const struct config *config, const struct site_config *site, notify_answer_fn *fn,
                            void *arg, size_t *count, struct error *err);

#endif
