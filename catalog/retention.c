#include "retention.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "buffer.h"
#include "text.h"

#define NS_PER_S INT64_C(1000000000)
#define FUTURE_NS (3600 * NS_PER_S) /* clocks of two hosts may differ a little */

/* ---- the calendar ---- */

/* A number that is the same for two moments exactly if they are in the same hour, day, week...; later ones have higher ones. */
static int64_t period_of(enum keep_rule rule, int64_t made_ns)
{
    time_t s = (time_t)(made_ns / NS_PER_S);
    struct tm t;
    int week_day;

    if (rule == KEEP_HOURLY)
        return s / 3600;
    localtime_r(&s, &t);
    switch (rule) {
    case KEEP_DAILY:
        return (int64_t)t.tm_year * 366 + t.tm_yday;
    case KEEP_WEEKLY:
        /* The week's Monday, as a number of days: the same arithmetic on either side of New Year. */
        week_day = (t.tm_wday + 6) % 7;
        t.tm_mday -= week_day;
        t.tm_hour = 12; /* whatever daylight saving does */
        t.tm_min = t.tm_sec = 0;
        t.tm_isdst = -1;
        (void)mktime(&t);
        return (int64_t)t.tm_year * 366 + t.tm_yday;
    case KEEP_MONTHLY:
        return (int64_t)t.tm_year * 12 + t.tm_mon;
    case KEEP_YEARLY:
        return t.tm_year;
    default:
        return made_ns;
    }
}

/* ---- the decision ---- */

bool snapshot_is_of_future(int64_t made_ns, int64_t now_ns)
{
    return made_ns > now_ns + FUTURE_NS;
}

bool snapshot_is_good_part(const struct snapshot_standing *s, int64_t now_ns)
{
    return !s->suspicious && (s->kind != SNAPSHOT_SAFETY || s->accepted) && !snapshot_is_of_future(s->made_ns, now_ns);
}

bool snapshot_is_good(const struct snapshot_standing *s, int64_t now_ns)
{
    return s->part == SNAPSHOT_WHOLE && snapshot_is_good_part(s, now_ns);
}

struct snapshot_standing snapshot_row_standing(const struct snapshot_row *row)
{
    return (struct snapshot_standing){row->kind, row->part, row->suspicious, row->accepted, row->made_ns};
}

static enum retention_kind kind_of(const struct retention_item *i)
{
    if (i->kind == SNAPSHOT_BEFORE_UPGRADE)
        return RETENTION_BEFORE_UPGRADE;
    return i->kind == SNAPSHOT_SAFETY ? RETENTION_SAFETY : RETENTION_REGULAR;
}

static bool same_group(const struct retention_item *a, const struct retention_item *b)
{
    return kind_of(a) == kind_of(b) && a->part == b->part && a->suspicious == b->suspicious &&
           a->unreadable == b->unreadable;
}

static void keep(struct retention_item *i, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void keep(struct retention_item *i, const char *format, ...)
{
    size_t len = i->keep ? strlen(i->why) : 0;
    va_list arguments;

    i->keep = true;
    if (len && len + 2 < sizeof i->why)
        len += (size_t)snprintf(i->why + len, sizeof i->why - len, ", ");
    va_start(arguments, format);
    (void)vsnprintf(i->why + len, sizeof i->why - len, format, arguments);
    va_end(arguments);
}

/* Where each rule stands as one group is gone through, newest first. */
struct tally {
    const struct keep_rules *rules;
    const struct retention_item *items; /* all of them, sorted */
    size_t first;                       /* of the group */
    int64_t now_ns;
    unsigned used[KEEP_RULES];
    int64_t last_ns, lowest_ns; /* of those that were judged before */
    int64_t age_ns;             /* the time since the newest, as R4 counts it */
    bool paused, any;
};

/* Of the group, and with a date that counts (R3)? */
static bool has_place(const struct tally *t, size_t at)
{
    return same_group(&t->items[at], &t->items[t->first]) && !snapshot_is_of_future(t->items[at].made_ns, t->now_ns);
}

/* Does a newer one stand for its period? Where the dates go down, as they do but for clocks that were set, it is that of the lowest so far. */
static bool period_is_taken(const struct tally *t, enum keep_rule rule, size_t at)
{
    int64_t made_ns = t->items[at].made_ns;
    int64_t period = period_of(rule, made_ns);

    if (!t->any)
        return false;
    if (made_ns <= t->lowest_ns)
        return period_of(rule, t->lowest_ns) == period;
    for (size_t i = t->first; i < at; i++)
        if (has_place(t, i) && period_of(rule, t->items[i].made_ns) == period)
            return true;
    return false;
}

/* From this one back to the one before it in the group; 0 where there is none, or a clock was set back. */
static int64_t time_before(const struct tally *t, size_t count, size_t at)
{
    for (size_t i = at + 1; i < count; i++)
        if (has_place(t, i))
            return t->items[at].made_ns > t->items[i].made_ns ? t->items[at].made_ns - t->items[i].made_ns : 0;
    return 0;
}

/* What the time between this one and the next newer one counts for (R4). */
static int64_t counted(struct tally *t, size_t count, size_t at)
{
    int64_t half = t->rules->within_ns / 2;
    int64_t gap = t->last_ns - t->items[at].made_ns;
    bool another = t->paused;

    if (gap <= half)
        return gap > 0 ? gap : 0;
    if (gap / 2 <= time_before(t, count, at))
        return gap;
    t->paused = true;
    return another ? half : 0;
}

static void judge_within(struct tally *t, struct retention_item *items, size_t count, size_t at)
{
    if (t->any && t->age_ns <= t->rules->within_ns)
        t->age_ns += counted(t, count, at);
    t->last_ns = items[at].made_ns;
    if (t->age_ns <= t->rules->within_ns)
        keep(&items[at], "within");
}

static void judge(struct tally *t, struct retention_item *i, size_t at)
{
    const struct keep_rules *rules = t->rules;

    for (int k = 0; k < KEEP_RULES; k++) {
        enum keep_rule rule = (enum keep_rule)k;

        if (t->used[k] >= rules->count[k] || (rule != KEEP_LAST && period_is_taken(t, rule, at)))
            continue;
        t->used[k]++;
        keep(i, "%s %u", keep_rule_name(rule), rules->count[k]);
    }
    if (!t->any || i->made_ns < t->lowest_ns)
        t->lowest_ns = i->made_ns;
    t->any = true;
}

static void decide_group(const struct keep_rules *rules, struct retention_item *items, size_t count, size_t first,
                         int64_t now_ns)
{
    struct tally t = {.rules = rules, .items = items, .first = first, .now_ns = now_ns};

    for (size_t i = first; i < count; i++) {
        if (!same_group(&items[i], &items[first]))
            continue;
        if (!rules)
            keep(&items[i], "no rules for its kind"); /* R5 */
        else if (snapshot_is_of_future(items[i].made_ns, now_ns))
            keep(&items[i], "its date lies in the future"); /* R3 */
        else {
            if (rules->within_ns)
                judge_within(&t, items, count, i);
            judge(&t, &items[i], i);
        }
    }
}

static int newest_first(const void *a, const void *b)
{
    const struct retention_item *x = a;
    const struct retention_item *y = b;

    if (x->order != y->order) /* R6 */
        return x->order < y->order ? 1 : -1;
    if (x->made_ns != y->made_ns)
        return x->made_ns < y->made_ns ? 1 : -1;
    return strcmp(x->id, y->id);
}

static bool is_first_of_group(const struct retention_item *items, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (same_group(&items[i], &items[at]))
            return false;
    return true;
}

static bool is_good(const struct retention_item *i, int64_t now_ns)
{
    const struct snapshot_standing s = {i->kind, i->part, i->suspicious, i->accepted, i->made_ns};

    return !i->unreadable && snapshot_is_good(&s, now_ns);
}

/* R1 */
static bool is_needed(const struct retention *r, const struct retention_item *i)
{
    return r->needed && text_list_has(r->needed, i->id);
}

/* R1 */
static void keep_newest_good(struct retention_item *items, size_t count, int64_t now_ns)
{
    for (size_t i = 0; i < count; i++)
        if (is_good(&items[i], now_ns)) {
            keep(&items[i], "the newest good one");
            return;
        }
}

void retention_decide(const struct retention *r, struct retention_item *items, size_t count, int64_t now_ns)
{
    size_t groups_left = (size_t)RETENTION_KINDS * 3 * 2 * 2;

    if (!count)
        return;
    qsort(items, count, sizeof(*items), newest_first);
    for (size_t i = 0; i < count; i++) {
        items[i].keep = false;
        items[i].why[0] = '\0';
    }
    for (size_t i = 0; i < count; i++) {
        if (items[i].held)
            keep(&items[i], "held");
        if (is_needed(r, &items[i]))
            keep(&items[i], "what a transaction kept needs it");
    }
    keep_newest_good(items, count, now_ns);
    for (size_t i = 0; i < count && groups_left; i++)
        if (is_first_of_group(items, i)) {
            decide_group(r->rules[kind_of(&items[i])], items, count, i, now_ns);
            groups_left--;
        }
    for (size_t i = 0; i < count; i++)
        if (!items[i].keep)
            strcpy(items[i].why, "no rule keeps it");
}

/* ---- on a catalogue ---- */

struct gathered {
    struct retention_item *items;
    size_t count, cap;
};

static enum error_kind gather(void *arg, const struct snapshot_row *row, struct error *err)
{
    struct gathered *g = arg;
    struct retention_item *i;

    if (g->count == g->cap) {
        size_t cap = g->cap ? 2 * g->cap : 256;
        struct retention_item *grown = reallocarray(g->items, cap, sizeof(*grown));

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory: %zu snapshots", cap);
        g->items = grown;
        g->cap = cap;
    }
    i = &g->items[g->count++];
    *i = (struct retention_item){.made_ns = row->made_ns,
                                 .order = row->order,
                                 .kind = row->kind,
                                 .part = row->part,
                                 .held = row->held,
                                 .suspicious = row->suspicious,
                                 .accepted = row->accepted};
    memcpy(i->id, row->id, sizeof i->id);
    return OK;
}

/* The rows are told by the index, which may know of snapshots that are lost. Only those are looked into that may be taken for the good one that stands. */
static enum error_kind look_for_good(struct catalog *cat, struct gathered *g, int64_t now_ns, struct error *err)
{
    if (g->count)
        qsort(g->items, g->count, sizeof(*g->items), newest_first);
    for (size_t i = 0; i < g->count; i++) {
        struct snapshot_record record = SNAPSHOT_RECORD_INIT;
        struct error why = ERROR_INIT;
        enum error_kind rc;

        if (!is_good(&g->items[i], now_ns))
            continue;
        rc = snapshot_read(cat, g->items[i].id, &record, &why);
        snapshot_record_release(&record);
        if (!rc)
            return OK;
        if (rc == ERR_CANCELLED || rc == ERR_MEMORY) {
            *err = why;
            return rc;
        }
        g->items[i].unreadable = true;
    }
    return OK;
}

static enum error_kind forget_dropped(struct catalog *cat, const struct gathered *g, size_t dropped, struct error *err)
{
    const char **ids = NULL;
    size_t n = 0;
    enum error_kind rc;

    if (!dropped)
        return OK;
    rc = memory_zeroed(dropped, sizeof(*ids), (void **)&ids, err);
    for (size_t i = 0; !rc && i < g->count; i++)
        if (!g->items[i].keep)
            ids[n++] = g->items[i].id;
    if (!rc)
        rc = snapshot_forget(cat, ids, n, err);
    free(ids);
    return rc;
}

enum error_kind retention_apply(struct catalog *cat, const char *site_id, const struct retention *r, bool dry_run,
                                retention_fn *fn, void *arg, struct retention_report *out, struct error *err)
{
    struct gathered g = {NULL, 0, 0};
    int64_t now_ns = clock_now();
    enum error_kind rc = snapshot_row_each(cat, site_id, gather, &g, err);

    *out = (struct retention_report){0, 0};
    if (!rc)
        rc = look_for_good(cat, &g, now_ns, err);
    if (rc)
        goto done;
    retention_decide(r, g.items, g.count, now_ns);
    for (size_t i = 0; i < g.count; i++) {
        if (g.items[i].keep)
            out->kept++;
        else
            out->dropped++;
        if (fn)
            fn(arg, &g.items[i]);
    }
    if (!dry_run)
        rc = forget_dropped(cat, &g, out->dropped, err);

done:
    free(g.items);
    return rc;
}
