/*
 * How much of a history is kept, as people write it: "last 3, within 2d, hourly 24, daily 7, weekly 5, monthly 12, yearly 3".
 */
#ifndef NOPSNAP_KEEP_RULES_H
#define NOPSNAP_KEEP_RULES_H

#include <stdint.h>

#include "error.h"

enum keep_rule { KEEP_LAST, KEEP_HOURLY, KEEP_DAILY, KEEP_WEEKLY, KEEP_MONTHLY, KEEP_YEARLY, KEEP_RULES };

struct keep_rules {
    unsigned count[KEEP_RULES]; /* 0: the rule is not there */
    int64_t within_ns;          /* 0: likewise */
};

const char *keep_rule_name(enum keep_rule rule); /* "daily" */
/*
 * Returns    ERR_USAGE naming the word that is wrong: an unknown rule, a number that is none, is 0 or above 10,000, a rule that is there twice, or none
 *            at all (nothing would be kept)
 */
enum error_kind keep_rules_parse(const char *text, struct keep_rules *out, struct error *err);

#endif
