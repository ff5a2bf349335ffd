#include "keep_rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

#define COUNT_MAX 10000
#define WORDS_MAX 64 /* bytes of one rule */

static const char *const names[KEEP_RULES] = {"last", "hourly", "daily", "weekly", "monthly", "yearly"};

const char *keep_rule_name(enum keep_rule rule)
{
    return names[rule];
}

static enum error_kind refuse(const char *rule, struct error *err)
{
    error_set(err, ERR_USAGE, 0, "'%.60s' is no rule of what is kept", rule);
    error_hint(err, "rules are such as: last 3, within 2d, hourly 24, daily 7, weekly 5, monthly 12, yearly 3");
    return ERR_USAGE;
}

static enum error_kind take_count(const char *rule, const char *word, const char *number, struct keep_rules *out,
                                  struct error *err)
{
    char *end = NULL;
    long n;

    errno = 0;
    n = strtol(number, &end, 10);
    if (errno || *end || n < 1 || n > COUNT_MAX || number[0] < '0' || number[0] > '9')
        return refuse(rule, err);
    for (int i = 0; i < KEEP_RULES; i++) {
        if (strcmp(word, names[i]) != 0)
            continue;
        if (out->count[i])
            return refuse(rule, err);
        out->count[i] = (unsigned)n;
        return OK;
    }
    return refuse(rule, err);
}

/* "daily 7", without blanks around it. */
static enum error_kind take_rule(char *rule, struct keep_rules *out, struct error *err)
{
    char shown[WORDS_MAX];
    char *number = rule + strcspn(rule, " \t");
    int64_t ms;

    strcpy(shown, rule); /* it fits: keep_rules_parse() looked */
    if (!*number)
        return refuse(shown, err);
    *number++ = '\0';
    number += strspn(number, " \t");
    if (strcmp(rule, "within") != 0)
        return take_count(shown, rule, number, out, err);
    ms = text_parse_duration(number);
    if (ms <= 0 || out->within_ns || ms > INT64_MAX / 1000000)
        return refuse(shown, err);
    out->within_ns = ms * 1000000;
    return OK;
}

enum error_kind keep_rules_parse(const char *text, struct keep_rules *out, struct error *err)
{
    struct keep_rules rules = {.within_ns = 0};
    enum error_kind rc = OK;

    do {
        char rule[WORDS_MAX];
        size_t len;

        text += strspn(text, " \t");
        len = strcspn(text, ",");
        if (len >= sizeof rule)
            return refuse(text, err);
        memcpy(rule, text, len);
        rule[len] = '\0';
        while (len && (rule[len - 1] == ' ' || rule[len - 1] == '\t'))
            rule[--len] = '\0';
        rc = take_rule(rule, &rules, err);
        text += strcspn(text, ",");
    } while (!rc && *text++ == ',');
    if (!rc)
        *out = rules;
    return rc;
}
