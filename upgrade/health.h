/*
 * Is the upgraded shop well?
 *
 *     rc = health_baseline_take(&options, db, progress, &before, err);      while the old shop runs
 *     rc = health_baseline_renew(&before, db, err);                         when it has stopped
 *     rc = health_baseline_encode(&before, &json, err);                     kept with the transaction
 *     ...                                                                   stop, exchange, start
 *     rc = health_judge(&options, &before, db, progress, &result, err);     waits, then judges
 *
 * While migrations run the shop does not listen, so no answer (or a proxy's 502, 503, 504) means "wait": told apart from a broken shop by
 * its process, which must go on in one and the same run, and shown by the rows of MigrationVersionInfo, which grow. Broken at once:
 *   - the process is gone, or was started again
 *   - IIS's page for an application that did not start (500.3x, 502.5)
 *   - a redirect to /install: the configuration is lost, and that page lets any visitor install over the shop
 * Broken when it stays so for settle_ms after the shop began to answer:
 *   - `/` is not 200, is empty, redirects, or is the error page, with status 200 too
 *   - /login, a product's page, the first picture on it, or another page that answered before, does not answer; or the product's picture
 *     has become the stand-in for one that is missing
 *   - a migration that was recorded before is no longer; none of the target version's own is recorded; one of options.expected is not
 *   - table Log has a new row of level 50 (Fatal)
 *   - a check of the owner's own fails
 * A warning:
 *   - new rows of level 40 (Error) in Log whose kind was not there in the 30 days before
 *   - some, but not all, of the three kinds of update (Data, Localization, Settings) of the target version are recorded
 *   - a page does not answer, nor did it before (a shop that its owner has closed)
 * What is expected to be recorded is what the reference knows: from 4.40 on a version leaves rows by its name, whose dates change from minor
 * to minor; the exact list of a release is known only to one that ran it, which is what options.expected is for (a rehearsal). When the
 * number of rows grew while pages were asked, the shop is still migrating.
 */
#ifndef NOPSNAP_HEALTH_H
#define NOPSNAP_HEALTH_H

#include "database.h"
#include "json.h"
#include "site_config.h"
#include "text.h"

/* ---- what to ask ---- */

/* The shop's process, as whoever started it can tell. */
struct health_process {
    bool known; /* false: nobody can tell; then only the time limit ends the wait for an answer */
    bool alive;
    char run[64];    /* another text after each restart; "" where that can't be told */
    char ended[512]; /* how it did, and what it said last, without secrets; "" where that can't be told */
};

/* Asked before each question to the shop. A failure counts as not known, but for ERR_CANCELLED and ERR_MEMORY. */
typedef enum error_kind health_probe_fn(void *arg, struct health_process *out, struct error *err);
/* The probe for a shop that a transaction has started; arg is its struct shop_watch. */
enum error_kind health_probe_shop(void *watch, struct health_process *out, struct error *err);

/* Everything is borrowed. */
struct health_options {
    const char *url;                  /* the shop's first page; its path is the base path */
    const char *host;                 /* the name it is asked by, and its certificate's; or NULL: the URL's */
    const char *ca_file;              /* certificates trusted instead of the system's; or NULL */
    int netns;                        /* of netns_make(): where the shop listens; 0: in ours */
    const struct text_list *commands; /* of the owner's own: status 0 is well; may be run several times; or NULL */
    const struct text_list *pages;    /* of the owner's own: "/path text" or "URL text"; or NULL */
    const char *target;               /* the version that runs now, "4.80.4"; NULL: no rows by its name are expected */
    const int64_t *expected;          /* rows of MigrationVersionInfo that must be there; or NULL */
    size_t expected_count;
    health_probe_fn *probe; /* or NULL */
    void *probe_arg;
    int64_t timeout_ms;     /* until the shop answers well; 0: an hour */
    int poll_ms;            /* between two questions; 0: 1 s */
    int settle_ms;          /* so long a bad answer may still come right; 0: 10 s */
    int request_timeout_ms; /* of one answer; 0: 30 s */
    int command_timeout_ms; /* of one command; 0: 2 min */
};

#define HEALTH_OPTIONS_INIT \
    {                       \
        .url = NULL         \
    }

/* url, host-header, ca-file, check, check-page and health-timeout of the config; the rest stays. */
void health_options_from(const struct site_config *config, struct health_options *out);

/* ---- before ---- */

struct health_page {
    char *what; /* "the first page", "a product's page"... */
    char
        *path; /* below the base path, with a slash; where a redirect inside the shop led (a language's prefix), that */
    long status;    /* 0: none */
    char *location; /* path of a redirect, or NULL */
    bool answered;  /* 200, and not the error page */
};

struct health_baseline {
    struct health_page *pages; /* first `/`, then /login, a product's page, categories; at most 16 */
    size_t page_count;
    size_t product;   /* index of the product's page; page_count: there is none */
    char *picture;    /* path of the first picture on it, "" if there is none, NULL where it did not answer */
    bool picture_ok;  /* it answered, and was not the stand-in for a missing one */
    int64_t log_last; /* highest Id in Log; -1: none */
    uint64_t *kinds;  /* of errors in the last 30 days, sorted */
    size_t kind_count;
    int64_t *migrations; /* recorded versions, sorted */
    size_t migration_count;
    struct text_list remarks; /* for the plan: what could not be asked, or does not answer already now; one line each */
};

#define HEALTH_BASELINE_INIT                                          \
    {                                                                 \
        NULL, 0, 0, NULL, false, -1, NULL, 0, NULL, 0, TEXT_LIST_INIT \
    }

/*
 * What answers now, what is in the log, which migrations are recorded. Changes nothing in the shop.
 *
 * db         the shop's database; NULL: nothing of it is looked at
 * Returns    OK also when the shop is down (the remarks say so); ERR_USAGE for a url that is none, ERR_REMOTE when the database
 *            can't be read, ERR_CANCELLED, ERR_MEMORY
 */
enum error_kind health_baseline_take(const struct health_options *options, struct database *db,
                                     const struct progress *progress, struct health_baseline *out, struct error *err);
/*
 * Once the old shop is stopped: read log and migrations again, so that what it did since does not count as the new one's. On failure b is
 * as it was.
 */
enum error_kind health_baseline_renew(struct health_baseline *b, struct database *db, struct error *err);
void health_baseline_release(struct health_baseline *b);
/* As JSON for the journal's folder, and back; decoding checks everything: ERR_CORRUPT (P11). Caller frees with json_free(). */
enum error_kind health_baseline_encode(const struct health_baseline *b, struct json **out, struct error *err);
enum error_kind health_baseline_decode(struct json *v, struct health_baseline *out, struct error *err);

/* ---- after ---- */

enum health_verdict {
    HEALTH_GOOD,
    HEALTH_WARNED,    /* well, with warnings: exit status 3 */
    HEALTH_BROKEN,    /* undo */
    HEALTH_TIMED_OUT, /* it never answered, its process goes on: perhaps it still migrates */
};

struct health_result {
    enum health_verdict verdict;
    struct text_list reasons;  /* of BROKEN and TIMED_OUT, one line each */
    struct text_list warnings; /* one line each */
    size_t migrations_before;  /* rows of MigrationVersionInfo at the first look */
    size_t migrations_now;
    int64_t waited_ms;
};

#define HEALTH_RESULT_INIT                                     \
    {                                                          \
        HEALTH_BROKEN, TEXT_LIST_INIT, TEXT_LIST_INIT, 0, 0, 0 \
    }

/*
 * Wait until the shop answers, then judge it. Says through `progress` what it waits for.
 *
 * before     NULL: every page must answer, and nothing is compared
 * db         the shop's database; NULL: nothing of it is looked at
 * Returns    OK with a verdict; ERR_USAGE for a url that is none, ERR_CANCELLED, ERR_MEMORY
 */
enum error_kind health_judge(const struct health_options *options, const struct health_baseline *before,
                             struct database *db, const struct progress *progress, struct health_result *out,
                             struct error *err);
void health_result_release(struct health_result *r);

#endif
