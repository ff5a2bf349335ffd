/*
 * A site's endpoints: its own keys over those of [nopsnap], and the secrets from their files.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "credential.h"
#include "notify_internal.h"

#define TIMEOUT_MS 30000
#define TIMEOUT_MAX_MS 600000
#define NS_PER_MS INT64_C(1000000)

/* Every fault is the config's: the line that names the file is told. */
static enum error_kind blame(const struct config_secret *secret, struct error *err, const struct error *why)
{
    error_set(err, ERR_USAGE, 0, "%s: %s", secret->where, why->text);
    error_hint(err, "%s", why->hint[0] ? why->hint : "make it with mode 600, or name another file");
    return ERR_USAGE;
}

static enum error_kind wrong(const struct config_secret *secret, const char *what, const char *hint, struct error *err)
{
    error_set(err, ERR_USAGE, 0, "%s: %s %s", secret->where, secret->path, what);
    error_hint(err, "%s", hint);
    return ERR_USAGE;
}

/* The file's lines, without blanks around them. */
static enum error_kind read_lines(const struct config_secret *secret, struct text_list *lines, struct error *err)
{
    struct buffer text = BUFFER_INIT(8192);
    struct error why = ERROR_INIT;
    enum error_kind rc = credential_read(secret->path, &text, &why);
    char *rest = (char *)text.data;

    if (rc)
        rc = blame(secret, err, &why);
    while (!rc && rest) {
        char *line = strsep(&rest, "\n");
        size_t len;

        line += strspn(line, " \t\r");
        for (len = strlen(line); len > 0 && strchr(" \t\r", line[len - 1]); len--)
            line[len - 1] = '\0';
        if (len > 0)
            rc = text_list_add(lines, line, err);
    }
    buffer_release_secret(&text);
    return rc;
}

static void lines_release(struct text_list *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        explicit_bzero(lines->items[i], strlen(lines->items[i]));
    text_list_release(lines);
}

static enum error_kind load_webhook(const struct config_secret *secret, struct notify_settings *s, struct error *err)
{
    struct text_list lines = TEXT_LIST_INIT;
    enum error_kind rc = read_lines(secret, &lines, err);

    if (!rc && (lines.count != 1 || !deliver_is_url(lines.items[0])))
        rc = wrong(secret, "does not hold one http or https URL", "write the webhook's URL into it, and nothing else",
                   err);
    if (!rc)
        rc = memory_string(lines.items[0], &s->webhook, err);
    lines_release(&lines);
    return rc;
}

static enum error_kind take_ping(const struct config_secret *secret, struct notify_settings *s, const char *line,
                                 struct error *err)
{
    static const char *const words[] = {"start", "success", "failure"};
    size_t len = strcspn(line, " \t");
    const char *url = line + len + strspn(line + len, " \t");

    for (size_t i = 0; i < 3; i++) {
        if (strlen(words[i]) == len && strncmp(words[i], line, len) == 0 && !s->ping[i] && deliver_is_url(url))
            return memory_string(url, &s->ping[i], err);
    }
    return wrong(secret, "holds a line that is none of: start URL, success URL, failure URL",
                 "one line for each moment that is to be told, with an http or https URL", err);
}

static enum error_kind load_ping(const struct config_secret *secret, struct notify_settings *s, struct error *err)
{
    struct text_list lines = TEXT_LIST_INIT;
    enum error_kind rc = read_lines(secret, &lines, err);

    for (size_t i = 0; i < lines.count && !rc; i++)
        rc = take_ping(secret, s, lines.items[i], err);
    lines_release(&lines);
    return rc;
}

static enum error_kind load_login(const struct config_secret *secret, struct notify_settings *s, struct error *err)
{
    struct text_list lines = TEXT_LIST_INIT;
    enum error_kind rc = read_lines(secret, &lines, err);

    if (!rc && lines.count != 2)
        rc = wrong(secret, "does not hold two lines",
                   "write the user into its first line, the password into its second", err);
    if (!rc)
        rc = memory_string(lines.items[0], &s->mail_user, err);
    if (!rc)
        rc = memory_string(lines.items[1], &s->mail_password, err);
    lines_release(&lines);
    return rc;
}

static enum error_kind split_addresses(const char *text, struct text_list *out, struct error *err)
{
    enum error_kind rc = OK;

    while (*text != '\0' && !rc) {
        size_t len;

        text += strspn(text, ", \t");
        len = strcspn(text, ", \t");
        if (len > 0)
            rc = text_list_addf(out, err, "%.*s", (int)len, text);
        text += len;
    }
    return rc;
}

static enum error_kind load_mail(const char *to, const char *from, const char *server,
                                 const struct config_secret *login, struct notify_settings *s, struct error *err)
{
    enum error_kind rc;

    if (!server) {
        error_set(err, ERR_USAGE, 0, "the config has notify-mail-to, and no notify-mail-server");
        error_hint(err, "add notify-mail-server = smtp://host:587");
        return ERR_USAGE;
    }
    s->mail_server = server;
    rc = split_addresses(to, &s->mail_to, err);
    if (rc)
        return rc;
    s->mail_from = from ? from : s->mail_to.items[0];
    return login->path ? load_login(login, s, err) : OK;
}

static const char *pick(const char *own, const char *common)
{
    return own ? own : common;
}

static const struct config_secret *pick_secret(const struct config_secret *own, const struct config_secret *common)
{
    return own->path ? own : common;
}

/* The first fault is the one that is told. */
static void note_fault(enum error_kind found, struct error *why, enum error_kind *rc, struct error *err)
{
    if (found && !*rc) {
        *rc = found;
        error_copy(err, why);
    }
    error_clear(why);
}

enum error_kind notify_settings_load(const struct config *config, const struct site_config *site,
                                     struct notify_settings *out, struct error *err)
{
    const struct notify_config *all = &config->notify;
    const struct notify_config *own = site ? &site->notify : all;
    const struct config_secret *webhook = pick_secret(&own->webhook, &all->webhook);
    const struct config_secret *ping = pick_secret(&own->ping, &all->ping);
    const char *to = pick(own->mail_to, all->mail_to);
    const char *timeout = pick(own->timeout, all->timeout);
    const char *repeat = pick(own->repeat, all->repeat);
    struct notify_settings s = {.timeout_ms = TIMEOUT_MS};
    int64_t timeout_ms = timeout ? text_parse_duration(timeout) : TIMEOUT_MS;
    struct error why = ERROR_INIT;
    enum error_kind rc = OK;

    s.timeout_ms = timeout_ms > TIMEOUT_MAX_MS ? TIMEOUT_MAX_MS : (int)timeout_ms;
    s.template = pick(own->webhook_template, all->webhook_template);
    s.ca_file = pick(own->ca_file, all->ca_file);
    s.repeat_ns = repeat ? text_parse_duration(repeat) * NS_PER_MS : 0;
    if (webhook->path)
        note_fault(load_webhook(webhook, &s, &why), &why, &rc, err);
    if (ping->path)
        note_fault(load_ping(ping, &s, &why), &why, &rc, err);
    if (to && load_mail(to, pick(own->mail_from, all->mail_from), pick(own->mail_server, all->mail_server),
                        pick_secret(&own->mail_login, &all->mail_login), &s, &why) != OK) {
        text_list_release(&s.mail_to); /* without the login it is of no use */
        note_fault(why.kind, &why, &rc, err);
    }
    *out = s;
    return rc;
}

void notify_settings_release(struct notify_settings *s)
{
    memory_free_secret(s->webhook);
    for (size_t i = 0; i < 3; i++)
        memory_free_secret(s->ping[i]);
    text_list_release(&s->mail_to);
    free(s->mail_user);
    memory_free_secret(s->mail_password);
    *s = (struct notify_settings){.timeout_ms = TIMEOUT_MS};
}

bool notify_is_named(const struct notify_config *c)
{
    return c->webhook.path || c->ping.path || c->mail_login.path || c->webhook_template || c->mail_to || c->mail_from ||
           c->mail_server || c->ca_file || c->timeout;
}

enum error_kind notify_check(const struct config *config, const struct site_config *site, struct error *err)
{
    struct notify_settings s = {.timeout_ms = 0};
    enum error_kind rc = notify_settings_load(config, site, &s, err);

    notify_settings_release(&s);
    return rc;
}
