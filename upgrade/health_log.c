/* The shop's own log: what is new in it, and new in kind. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "health_internal.h"

enum {
    LEVEL_ERROR = 40,
    LEVEL_FATAL = 50,
    KIND_LENGTH = 200, /* of a message, once reduced */
    KINDS_MAX = 10000,
    LINES_MAX = 10,
};
#define DAYS_30_NS (30LL * 24 * 3600 * 1000000000)

/* Where what begins here with a quote or a bracket ends; 0: it begins with neither, or does not end. */
static size_t quoted_length(const char *at)
{
    static const char pairs[] = "\"\"''()[]{}";
    const char *pair = *at ? strchr(pairs, *at) : NULL;
    const char *end = NULL;

    if (!pair || (pair - pairs) % 2 != 0)
        return 0;
    end = strchr(at + 1, pair[1]);
    return end ? (size_t)(end - at) + 1 : 0;
}

uint64_t log_kind(const char *message)
{
    char reduced[KIND_LENGTH];
    size_t len = 0;

    while (*message && len < sizeof(reduced)) {
        size_t quoted = quoted_length(message);

        if (quoted) {
            message += quoted;
            reduced[len++] = '?';
        } else if (isdigit((unsigned char)*message)) {
            message += strspn(message, "0123456789");
            reduced[len++] = '#';
        } else {
            reduced[len++] = (char)tolower((unsigned char)*message++);
        }
    }
    return hash64_of(0, reduced, len);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static bool has_kind(const struct health_baseline *b, uint64_t kind)
{
    return b && b->kind_count && bsearch(&kind, b->kinds, b->kind_count, sizeof(kind), by_value) != NULL;
}

/* ---- before ---- */

static enum error_kind keep_kind(void *arg, int64_t id, int level, const char *message, struct error *err)
{
    struct health_baseline *b = arg;
    uint64_t kind = log_kind(message);

    (void)id, (void)level, (void)err;
    for (size_t i = 0; i < b->kind_count; i++)
        if (b->kinds[i] == kind)
            return OK;
    if (b->kind_count < KINDS_MAX)
        b->kinds[b->kind_count++] = kind;
    return OK;
}

enum error_kind log_baseline(struct database *db, struct health_baseline *out, struct error *err)
{
    void *memory = NULL;
    enum error_kind rc = database_log_last(db, &out->log_last, err);

    if (!rc)
        rc = memory_zeroed(KINDS_MAX, sizeof(*out->kinds), &memory, err);
    if (rc)
        return rc;
    out->kinds = memory;
    out->kind_count = 0;
    rc = database_log(db, -1, clock_now() - DAYS_30_NS, LEVEL_ERROR, keep_kind, out, err);
    qsort(out->kinds, out->kind_count, sizeof(*out->kinds), by_value);
    return rc;
}

/* ---- after ---- */

struct log_new {
    const struct health_baseline *before;
    struct text_list *reasons;
    struct text_list *warnings;
    uint64_t told[LINES_MAX]; /* kinds of errors in warnings */
    size_t told_count;
    size_t fatal;
};

static bool told_already(const struct log_new *n, uint64_t kind)
{
    for (size_t i = 0; i < n->told_count; i++)
        if (n->told[i] == kind)
            return true;
    return n->told_count == LINES_MAX;
}

static enum error_kind judge_row(void *arg, int64_t id, int level, const char *message, struct error *err)
{
    struct log_new *n = arg;
    uint64_t kind = log_kind(message);
    char shown[200];

    (void)id;
    text_name(message, strlen(message), shown, sizeof(shown));
    if (level >= LEVEL_FATAL)
        return n->fatal++ < LINES_MAX ? text_list_addf(n->reasons, err, "the shop logged as fatal: %s", shown) : OK;
    if (has_kind(n->before, kind) || told_already(n, kind))
        return OK;
    n->told[n->told_count++] = kind;
    return text_list_addf(n->warnings, err, "the shop logged an error of a kind that was not there before: %s", shown);
}

enum error_kind log_check(struct database *db, const struct health_baseline *before, struct text_list *reasons,
                          struct text_list *warnings, struct error *err)
{
    struct log_new n = {.before = before, .reasons = reasons, .warnings = warnings};

    return before ? database_log(db, before->log_last, 0, LEVEL_ERROR, judge_row, &n, err) : OK;
}
