/* The keys of the config: names, where their values go, and what a value may be. */
#ifndef NOPSNAP_SITE_CONFIG_INTERNAL_H
#define NOPSNAP_SITE_CONFIG_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "site_config.h"

/* How a key's value is checked. */
enum config_kind {
    TEXT,
    PATH,
    ADMIN,
    URL,
    DURATION,
    EVERY,
    WAY_BACK,
    PATTERN,
    LINE,
    PAGE,
    SECRET,
    TEMPLATE,
    MAIL,
    MAILS,
    MAIL_SERVER,
    RULES
};

struct config_key {
    const char *name;
    enum config_kind kind;
    size_t offset;
};

/* A key of a site's section; *shared: it is one of struct notify_config, and may stand in [nopsnap], too. NULL if unknown. */
const struct config_key *config_key_find(const char *name, bool *shared);
/* The hint that lists all keys. */
void config_key_hint(struct error *err);
/* May a key of this kind be there several times? Its place is a struct text_list then. */
bool config_kind_is_list(enum config_kind kind);
bool config_value_allowed(enum config_kind kind, const char *value);
/* What is wrong with a value that is not allowed, to stand before the key's name. */
const char *config_value_expected(enum config_kind kind, const char *value);
void config_site_values_release(struct site_config *s);
void config_notify_values_release(struct notify_config *n);

#endif
