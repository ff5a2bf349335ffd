/* What the files about notifications share. */
#ifndef NOPSNAP_NOTIFY_INTERNAL_H
#define NOPSNAP_NOTIFY_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "error.h"
#include "notify.h"
#include "site_config.h"
#include "text.h"

/* ---- notify_settings.c: a site's endpoints, with their secrets ---- */

struct notify_settings {
    char *webhook;        /* URL, a secret; or NULL */
    const char *template; /* borrowed from the config, or NULL */
    char *ping[3];        /* by the first three of enum notify_outcome; secrets; or NULL */
    const char *mail_server;
    struct text_list mail_to;
    const char *mail_from;
    char *mail_user;
    char *mail_password; /* secret */
    const char *ca_file;
    int timeout_ms;
    int64_t repeat_ns; /* 0: never again */
};
/* All zero is a value that can be released. ERR_USAGE as notify_check(): the first fault; the endpoints without one are in out all the same. */
enum error_kind notify_settings_load(const struct config *config, const struct site_config *site,
                                     struct notify_settings *out, struct error *err);
void notify_settings_release(struct notify_settings *s);

/* ---- notify_message.c: what is said ---- */

enum notify_topic { TOPIC_FAILURE, TOPIC_DOUBTFUL, TOPIC_RECOVERY, TOPIC_OVERDUE, TOPIC_TEST };

struct notify_message {
    enum notify_topic topic;
    const char *site; /* as it may be shown: one line */
    char *host;
    int status;
    int64_t moment_ns;
    char *title; /* one line */
    char *text;  /* lines, each with "\n" behind */
};
const char *notify_topic_word(enum notify_topic topic);
/* first, facts: lines, or NULL. Names in them may hold anything. */
enum error_kind notify_message_make(enum notify_topic topic, const char *site, int status, const char *first,
                                    const struct text_list *facts, struct notify_message *out, struct error *err);
void notify_message_release(struct notify_message *m);
/* The template with its {words} filled in, or an object of our own. */
enum error_kind notify_message_json(const struct notify_message *m, const char *template, struct buffer *out,
                                    struct error *err);
/* RFC 5322: ASCII throughout, whatever the texts hold. */
enum error_kind notify_message_mail(const struct notify_message *m, const char *from, const struct text_list *to,
                                    struct buffer *out, struct error *err);

/* ---- notify_memory.c: what was said before ---- */

enum notify_endpoint { WEBHOOK, MAIL, ENDPOINTS };
const char *notify_endpoint_word(enum notify_endpoint e);

struct notify_memory {
    bool known;
    char topic[16];
    char cause[256];
    int64_t moment_ns;
};

/* What an endpoint was told last: of all, of runs alone, and of being overdue or well again. */
struct notify_memories {
    struct notify_memory any[ENDPOINTS];
    struct notify_memory run[ENDPOINTS];
    struct notify_memory late[ENDPOINTS];
};
enum error_kind notify_memories_load(struct catalog *cat, const char *site_id, struct notify_memories *out,
                                     struct error *err);
/* Invariant 2. Without any memory everything is news but that all is well. */
bool notify_is_news(const struct notify_settings *s, const struct notify_memories *all, enum notify_endpoint e,
                    enum notify_topic topic, const char *cause, int64_t now_ns);
/* Who took the message and who did not, by their words; takes both lists over. Durable as catalog_run_add(). */
struct json;
enum error_kind notify_remember(struct catalog *cat, const char *site_id, const struct notify_message *m,
                                const char *cause, struct json *told, struct json *missed, struct error *err);

/* ---- deliver.c: one attempt ---- */

enum delivered {
    DELIVERED,
    DELIVER_LATER, /* what may pass: no connection, a timeout, 429, 5xx */
    DELIVER_NEVER, /* what will not */
};
#define WHY_MAX 160

/* json: NULL for a GET. Only what libcurl calls the fault and the status are in why, never what was sent or answered. */
enum error_kind deliver_http(const struct notify_settings *s, const char *url, const struct buffer *json,
                             int timeout_ms, enum delivered *out, char why[WHY_MAX], struct error *err);
enum error_kind deliver_mail(const struct notify_settings *s, const struct buffer *mail, int timeout_ms,
                             enum delivered *out, char why[WHY_MAX], struct error *err);
/* The host of an URL, for people; "?" if there is none. Caller frees. */
enum error_kind deliver_host(const char *url, char **out, struct error *err);
/* Is this an http or https URL with a host? */
bool deliver_is_url(const char *url);

#endif
