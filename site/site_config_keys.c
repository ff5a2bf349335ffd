#include "site_config_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "json.h"
#include "keep_rules.h"

#define DAY_MS ((int64_t)24 * 3600 * 1000)

static const struct config_key keys[] = {
    {"path", PATH, offsetof(struct site_config, path)},
    {"service", TEXT, offsetof(struct site_config, service)},
    {"stop", TEXT, offsetof(struct site_config, stop)},
    {"start", TEXT, offsetof(struct site_config, start)},
    {"open", TEXT, offsetof(struct site_config, open)},
    {"close", TEXT, offsetof(struct site_config, close)},
    {"url", URL, offsetof(struct site_config, url)},
    {"host-header", TEXT, offsetof(struct site_config, host_header)},
    {"ca-file", PATH, offsetof(struct site_config, ca_file)},
    {"health-timeout", DURATION, offsetof(struct site_config, health_timeout)},
    {"check", LINE, offsetof(struct site_config, check)},
    {"check-page", PAGE, offsetof(struct site_config, check_page)},
    {"database-admin", ADMIN, offsetof(struct site_config, database_admin)},
    {"sqlserver-backup-path", TEXT, offsetof(struct site_config, sqlserver_backup_path)},
    {"sqlserver-backup-local", PATH, offsetof(struct site_config, sqlserver_backup_local)},
    {"sqlserver-upgrade", WAY_BACK, offsetof(struct site_config, sqlserver_upgrade)},
    {"cache-flush", TEXT, offsetof(struct site_config, cache_flush)},
    {"keep", RULES, offsetof(struct site_config, keep)},
    {"keep-before-upgrade", RULES, offsetof(struct site_config, keep_before_upgrade)},
    {"keep-safety", RULES, offsetof(struct site_config, keep_safety)},
    {"verify-budget", DURATION, offsetof(struct site_config, verify_budget)},
    {"verify-within", DURATION, offsetof(struct site_config, verify_within)},
    {"drill", EVERY, offsetof(struct site_config, drill)},
    {"drill-folder", PATH, offsetof(struct site_config, drill_folder)},
    {"after-run", TEXT, offsetof(struct site_config, after_run)},
    {"expect-every", DURATION, offsetof(struct site_config, expect_every)},
    {"environment", TEXT, offsetof(struct site_config, environment)},
    {"rehearse-start", TEXT, offsetof(struct site_config, rehearse_start)},
    {"rehearse-allow", LINE, offsetof(struct site_config, rehearse_allow)},
    {"exclude", PATTERN, offsetof(struct site_config, exclude)},
    {"include", PATTERN, offsetof(struct site_config, include)},
};

#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))

/* These may stand in [nopsnap], too. */
static const struct config_key notify_keys[] = {
    {"notify-webhook", SECRET, offsetof(struct notify_config, webhook)},
    {"notify-webhook-template", TEMPLATE, offsetof(struct notify_config, webhook_template)},
    {"notify-ping", SECRET, offsetof(struct notify_config, ping)},
    {"notify-mail-to", MAILS, offsetof(struct notify_config, mail_to)},
    {"notify-mail-from", MAIL, offsetof(struct notify_config, mail_from)},
    {"notify-mail-server", MAIL_SERVER, offsetof(struct notify_config, mail_server)},
    {"notify-mail-login", SECRET, offsetof(struct notify_config, mail_login)},
    {"notify-ca-file", PATH, offsetof(struct notify_config, ca_file)},
    {"notify-timeout", DURATION, offsetof(struct notify_config, timeout)},
    {"notify-repeat", DURATION, offsetof(struct notify_config, repeat)},
};

#define NOTIFY_KEY_COUNT (sizeof(notify_keys) / sizeof(notify_keys[0]))

const struct config_key *config_key_find(const char *name, bool *shared)
{
    for (size_t i = 0; i < KEY_COUNT + NOTIFY_KEY_COUNT; i++) {
        const struct config_key *key = i < KEY_COUNT ? &keys[i] : &notify_keys[i - KEY_COUNT];

        if (strcmp(key->name, name) == 0) {
            *shared = i >= KEY_COUNT;
            return key;
        }
    }
    return NULL;
}

void config_key_hint(struct error *err)
{
    char known[sizeof(err->hint)];
    size_t len = 0;

    for (size_t i = 0; i < KEY_COUNT + NOTIFY_KEY_COUNT && len < sizeof(known); i++)
        len += (size_t)snprintf(known + len, sizeof(known) - len, "%s%s", i ? ", " : "",
                                i < KEY_COUNT ? keys[i].name : notify_keys[i - KEY_COUNT].name);
    error_hint(err, "known are %s", known);
}

bool config_kind_is_list(enum config_kind kind)
{
    return kind == PATTERN || kind == LINE || kind == PAGE;
}

static bool is_url(const char *value)
{
    return strncasecmp(value, "http://", 7) == 0 || strncasecmp(value, "https://", 8) == 0;
}

/* Where, a blank, and what has to be there. */
static bool is_page(const char *value)
{
    const char *text = value + strcspn(value, " \t");

    return (value[0] == '/' || is_url(value)) && text[strspn(text, " \t")] != '\0';
}

static bool is_rules(const char *value)
{
    struct keep_rules rules;
    struct error ignored = ERROR_INIT;

    return keep_rules_parse(value, &rules, &ignored) == OK;
}

/* A JSON object: what is sent is made from it, so that no text can break it. */
static bool is_template(const char *value)
{
    struct error ignored = ERROR_INIT;
    struct json *v = NULL;
    bool object = json_parse(value, strlen(value), &v, &ignored) == OK && json_is_object(v);

    json_free(v);
    return object;
}

/* An address that can stand in a header and in RCPT TO as it is. */
static bool is_mail(const char *value, size_t len)
{
    const char *at = memchr(value, '@', len);

    if (!at || at == value || at == value + len - 1 || len > 254 || memchr(at + 1, '@', (size_t)(value + len - at - 1)))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (value[i] <= ' ' || value[i] > '~' || strchr("<>()[],;:\\\"", value[i]))
            return false;
    }
    return true;
}

static bool are_mails(const char *value)
{
    for (const char *p = value;; p++) {
        size_t len;
        size_t used;

        p += strspn(p, " \t");
        used = strcspn(p, ",");
        for (len = used; len > 0 && strchr(" \t", p[len - 1]); len--)
            ;
        if (!is_mail(p, len))
            return false;
        p += used;
        if (*p == '\0')
            return true;
    }
}

/* smtp://host[:port] or smtps://host[:port]; a login is a secret and has a file. */
static bool is_mail_server(const char *value)
{
    size_t scheme = strncasecmp(value, "smtp://", 7) == 0 ? 7 : strncasecmp(value, "smtps://", 8) == 0 ? 8 : 0;

    return scheme > 0 && value[scheme] != '\0' && !strpbrk(value + scheme, "/@?# \t");
}

int64_t config_every_ms(const char *value)
{
    static const struct {
        const char *word;
        int64_t ms;
    } words[] = {{"never", 0}, {"daily", DAY_MS}, {"weekly", 7 * DAY_MS}, {"monthly", 30 * DAY_MS}};
    int64_t ms = text_parse_duration(value);

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(words[i].word, value) == 0)
            return words[i].ms;
    return ms > 0 ? ms : -1;
}

bool config_value_allowed(enum config_kind kind, const char *value)
{
    if (value[0] == '\0')
        return false;
    if (kind == URL)
        return is_url(value);
    if (kind == DURATION)
        return text_parse_duration(value) > 0;
    if (kind == EVERY)
        return config_every_ms(value) >= 0;
    if (kind == WAY_BACK)
        return strcmp(value, "snapshot") == 0 || strcmp(value, "copy") == 0;
    if (kind == PAGE)
        return is_page(value);
    if (kind == RULES)
        return is_rules(value);
    if (kind == TEMPLATE)
        return is_template(value);
    if (kind == MAIL)
        return is_mail(value, strlen(value));
    if (kind == MAILS)
        return are_mails(value);
    if (kind == MAIL_SERVER)
        return is_mail_server(value);
    if (kind == PATH || kind == SECRET)
        return value[0] == '/';
    if (kind == ADMIN)
        return value[0] == '/' || (strncmp(value, "service:", 8) == 0 && value[8] != '\0');
    return true;
}

const char *config_value_expected(enum config_kind kind, const char *value)
{
    if (value[0] == '\0')
        return "there is no value for";
    if (kind == ADMIN)
        return "only service:NAME or an absolute path will do for";
    if (kind == URL)
        return "only http://... or https://... will do for";
    if (kind == DURATION)
        return "only a time such as 90s, 30m or 2h will do for";
    if (kind == EVERY)
        return "only daily, weekly, monthly, never or a time such as 10d will do for";
    if (kind == WAY_BACK)
        return "only snapshot or copy will do for";
    if (kind == PAGE)
        return "only /path TEXT or http://... TEXT will do for";
    if (kind == RULES)
        return "only rules such as last 3, daily 7, weekly 5 will do for";
    if (kind == TEMPLATE)
        return "only a JSON object such as {\"text\": \"{message}\"} will do for";
    if (kind == MAIL || kind == MAILS)
        return "only addresses such as admin@shop.example will do for";
    if (kind == MAIL_SERVER)
        return "only smtp://host:587 or smtps://host will do (a login has notify-mail-login) for";
    return "only an absolute path will do for";
}

static void values_release(const struct config_key *list, size_t count, void *base)
{
    for (size_t i = 0; i < count; i++) {
        void *place = (char *)base + list[i].offset;

        if (config_kind_is_list(list[i].kind))
            text_list_release(place);
        else
            free(*(char **)place);
        if (list[i].kind == SECRET)
            free(((struct config_secret *)place)->where);
    }
}

void config_site_values_release(struct site_config *s)
{
    free(s->name);
    values_release(keys, KEY_COUNT, s);
    config_notify_values_release(&s->notify);
}

void config_notify_values_release(struct notify_config *n)
{
    values_release(notify_keys, NOTIFY_KEY_COUNT, n);
}
