#include "keep_policy.h"

enum error_kind keep_policy_of(const struct site_config *config, const char *given, struct keep_policy *out,
                               struct error *err)
{
    const char *all = given ? given : config ? config->keep : NULL;
    const char *const texts[RETENTION_KINDS] = {
        [RETENTION_REGULAR] = all,
        [RETENTION_BEFORE_UPGRADE] = config && config->keep_before_upgrade ? config->keep_before_upgrade : all,
        [RETENTION_SAFETY] = config && config->keep_safety ? config->keep_safety : all,
    };
    enum error_kind rc = OK;

    *out = (struct keep_policy){.any = false};
    for (int k = 0; k < RETENTION_KINDS && !rc; k++) {
        if (!texts[k])
            continue;
        rc = keep_rules_parse(texts[k], &out->rules[k], err);
        out->retention.rules[k] = &out->rules[k];
        out->any = true;
    }
    return rc;
}
