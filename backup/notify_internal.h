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
    char *ping[3];        /* by enum notify_outcome; secrets; or NULL */
    const char *mail_server;
    struct text_list mail_to;
    const char *mail_from;
    char *mail_user;
    char *mail_password; /* secret */
    const char *ca_file;
    int timeout_ms;
    int64_t repeat_ns; /* 0: never again */
};
/* All zero is a value that can be released. ERR_USAGE as notify_check(). */
enum error_kind notify_settings_load(const struct config *config, const struct site_config *site,
                                     struct notify_settings *out, struct error *err);
void notify_settings_release(struct notify_settings *s);

/* ---- notify_message.c: what is said ---- */

enum notify_topic { TOPIC_FAILURE, TOPIC_RECOVERY, TOPIC_OVERDUE, TOPIC_TEST };

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
