/*
 * Retention against a model that is written the other way round: it asks of one snapshot at a time whether a rule keeps it, from the definition and with the
 * C library's words for the calendar.
 */
#include "retention.h"

#include <time.h>

#include "text.h"

#include "test_support.h"

#define NS INT64_C(1000000000)
#define HOUR (3600 * NS)
#define DAY (24 * HOUR)
#define ITEMS_MAX 60
#define HISTORIES 10000

static uint64_t seed = 20261127;

static uint64_t random_below(uint64_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % n;
}

/* ---- the model ---- */

static void period(enum keep_rule rule, int64_t made_ns, char out[32])
{
    static const char *const formats[KEEP_RULES] = {
        [KEEP_DAILY] = "%Y-%m-%d", [KEEP_WEEKLY] = "%G-%V", [KEEP_MONTHLY] = "%Y-%m", [KEEP_YEARLY] = "%Y"};
    time_t s = (time_t)(made_ns / NS);
    struct tm t;

    if (rule == KEEP_HOURLY)
        strftime(out, 32, "%Y-%m-%d %H", gmtime_r(&s, &t));
    else
        strftime(out, 32, formats[rule], localtime_r(&s, &t));
}

static int class_of(const struct retention_item *i)
{
    return i->kind == SNAPSHOT_BEFORE_UPGRADE ? 1 : i->kind == SNAPSHOT_SAFETY ? 2 : 0;
}

static bool is_newer(const struct retention_item *a, const struct retention_item *b)
{
    if (a->order != b->order)
        return a->order > b->order;
    return a->made_ns != b->made_ns ? a->made_ns > b->made_ns : strcmp(a->id, b->id) < 0;
}

static bool rivals(const struct retention_item *a, const struct retention_item *b, int64_t now)
{
    return class_of(a) == class_of(b) && a->part == b->part && a->suspicious == b->suspicious &&
           a->unreadable == b->unreadable && a->made_ns <= now + HOUR && b->made_ns <= now + HOUR;
}

static bool rule_keeps(enum keep_rule rule, unsigned n, const struct retention_item *items, size_t count, size_t at,
                       int64_t now)
{
    char mine[32];
    char seen[ITEMS_MAX][32];
    size_t different = 0;

    if (rule != KEEP_LAST)
        period(rule, items[at].made_ns, mine);
    for (size_t i = 0; i < count; i++) {
        char theirs[32];
        bool known = false;

        if (i == at || !rivals(&items[i], &items[at], now) || !is_newer(&items[i], &items[at]))
            continue;
        if (rule == KEEP_LAST) {
            different++;
            continue;
        }
        period(rule, items[i].made_ns, theirs);
        if (!strcmp(theirs, mine))
            return false; /* a newer one stands for this period */
        for (size_t k = 0; k < different; k++)
            known |= !strcmp(seen[k], theirs);
        if (!known)
            strcpy(seen[different++], theirs);
    }
    return different < n;
}

static bool is_good(const struct retention_item *i, int64_t now)
{
    return i->part == SNAPSHOT_WHOLE && !i->suspicious && !i->unreadable &&
           (i->accepted || i->kind != SNAPSHOT_SAFETY) && i->made_ns <= now + HOUR;
}

static bool is_newest_good(const struct retention_item *items, size_t count, size_t at, int64_t now)
{
    if (!is_good(&items[at], now))
        return false;
    for (size_t i = 0; i < count; i++)
        if (i != at && is_good(&items[i], now) && is_newer(&items[i], &items[at]))
            return false;
    return true;
}

static int newer_first(const void *a, const void *b)
{
    return is_newer(a, b) ? -1 : 1;
}

static int64_t later_by(const struct retention_item *a, const struct retention_item *b)
{
    return a->made_ns > b->made_ns ? a->made_ns - b->made_ns : 0;
}

/* Without its pauses, of which all but one are half a window each, is the time since the newest one no longer than the window? */
static bool is_within(int64_t window, const struct retention_item *items, size_t count, size_t at, int64_t now)
{
    struct retention_item line[ITEMS_MAX];
    size_t n = 0;
    size_t pauses = 0;
    int64_t age = 0;

    for (size_t i = 0; i < count; i++)
        if (rivals(&items[i], &items[at], now))
            line[n++] = items[i];
    qsort(line, n, sizeof *line, newer_first);
    for (size_t i = 1; i < n && strcmp(line[i - 1].id, items[at].id); i++) {
        int64_t gap = later_by(&line[i - 1], &line[i]);
        bool pause = gap > window / 2 && (i + 1 == n || gap / 2 > later_by(&line[i], &line[i + 1]));

        pauses += pause;
        age += pause ? 0 : gap;
    }
    return age + (pauses ? (int64_t)(pauses - 1) * (window / 2) : 0) <= window;
}

static bool model_keeps(const struct retention *r, const struct retention_item *items, size_t count, size_t at,
                        int64_t now)
{
    const struct keep_rules *rules = r->rules[class_of(&items[at])];

    if (items[at].held || (r->needed && !strcmp(r->needed->items[0], items[at].id)) || !rules ||
        items[at].made_ns > now + HOUR || is_newest_good(items, count, at, now))
        return true;
    if (rules->within_ns && is_within(rules->within_ns, items, count, at, now))
        return true;
    for (int k = 0; k < KEEP_RULES; k++)
        if (rules->count[k] && rule_keeps((enum keep_rule)k, rules->count[k], items, count, at, now))
            return true;
    return false;
}

/* ---- histories ---- */

static void random_rules(struct keep_rules *out)
{
    *out = (struct keep_rules){.within_ns = random_below(4) ? 0 : (int64_t)random_below(5) * DAY};
    for (int k = 0; k < KEEP_RULES; k++)
        out->count[k] = random_below(2) ? (unsigned)random_below(6) : 0;
}

/* Around the nights in which the clocks change, and around New Year, at steps from minutes to months; some of the future; some at the same moment. */
static size_t random_history(struct retention_item *items, int64_t *now)
{
    static const int64_t starts[] = {1774742400, 1792886400, 1767222000, 1798758000, 1709164800};
    size_t count = 1 + random_below(ITEMS_MAX);
    int64_t moment = starts[random_below(5)] * NS + (int64_t)random_below(48) * HOUR / 2;

    *now = moment;
    for (size_t i = 0; i < count; i++) {
        static const int64_t steps[] = {0, 1800, 3600, 7200, 43200, 86400, 7 * 86400, 31 * 86400, 200 * 86400};

        items[i] =
            (struct retention_item){.made_ns = random_below(30) ? moment : moment + 900 * DAY,
                                    .kind = (enum snapshot_kind)random_below(4),
                                    .part = random_below(4) ? SNAPSHOT_WHOLE : (enum snapshot_part)random_below(3),
                                    .held = !random_below(15),
                                    .suspicious = !random_below(8),
                                    .unreadable = !random_below(12),
                                    .accepted = !random_below(4)};
        if (!random_below(12)) /* a clock that was set */
            items[i].made_ns += ((int64_t)random_below(200) - 100) * HOUR / 2;
        items[i].order = random_below(20) ? (int64_t)(count - i) : 0;
        snprintf(items[i].id, sizeof items[i].id, "%032llx", (unsigned long long)(random_below(1u << 30) * 64 + i));
        moment -= steps[random_below(9)] * NS * (int64_t)(1 + random_below(2));
    }
    return count;
}

static void check_history(const struct retention *r, struct retention_item *items, size_t count, int64_t now)
{
    bool good_before = false;
    bool good_after = false;

    retention_decide(r, items, count, now);
    for (size_t i = 0; i < count; i++) {
        bool good = is_good(&items[i], now);

        assert_int_equal(items[i].keep, model_keeps(r, items, count, i, now));
        assert_true(items[i].keep || !items[i].held);
        assert_true(items[i].why[0] != '\0');
        good_before |= good;
        good_after |= good && items[i].keep;
    }
    assert_int_equal(good_before, good_after);
}

static void retention__agrees_with_the_model_on_random_histories(void **state)
{
    (void)state;
    setenv("TZ", "Europe/Berlin", 1);
    tzset();
    for (int h = 0; h < HISTORIES; h++) {
        struct retention_item items[ITEMS_MAX];
        struct keep_rules rules[RETENTION_KINDS];
        char *of_upgrade[1];
        struct text_list needed = {of_upgrade, 1, 1};
        struct retention r = {.needed = &needed};
        int64_t now = 0;
        size_t count = random_history(items, &now);
        char id[33];

        of_upgrade[0] = strcpy(id, items[random_below(count)].id);

        for (int k = 0; k < RETENTION_KINDS; k++) {
            random_rules(&rules[k]);
            r.rules[k] = random_below(8) ? &rules[k] : NULL;
        }
        check_history(&r, items, count, now);
    }
}

/* R2: whether flagged ones are there or not, of the good ones the same are kept. */
static void retention__flagged_snapshots_push_nothing_out(void **state)
{
    (void)state;
    for (int h = 0; h < 1000; h++) {
        struct retention_item all[ITEMS_MAX];
        struct retention_item good[ITEMS_MAX];
        struct keep_rules rules;
        struct retention r = {.rules = {&rules, &rules, &rules}};
        int64_t now = 0;
        size_t count = random_history(all, &now);
        size_t n = 0;
        size_t at = 0;

        random_rules(&rules);
        for (size_t i = 0; i < count; i++)
            if (!all[i].suspicious)
                good[n++] = all[i];
        retention_decide(&r, all, count, now);
        retention_decide(&r, good, n, now);
        for (size_t i = 0; i < count; i++)
            if (!all[i].suspicious)
                assert_int_equal(all[i].keep, good[at++].keep);
    }
}

/* ---- two years ---- */

struct life {
    struct retention_item items[400];
    size_t count;
    int64_t commits;
};

static void live(struct life *l, const struct retention *r, int64_t now)
{
    struct retention_item *i = &l->items[l->count++];
    size_t kept = 0;

    *i = (struct retention_item){.made_ns = now, .order = ++l->commits, .kind = SNAPSHOT_SCHEDULED};
    snprintf(i->id, sizeof i->id, "%032llx", (unsigned long long)now);
    retention_decide(r, l->items, l->count, now);
    for (size_t k = 0; k < l->count; k++)
        if (l->items[k].keep)
            l->items[kept++] = l->items[k];
    l->count = kept;
}

static bool has_day(const struct life *l, int64_t moment)
{
    char wanted[32];
    char has[32];

    period(KEEP_DAILY, moment, wanted);
    for (size_t i = 0; i < l->count; i++) {
        period(KEEP_DAILY, l->items[i].made_ns, has);
        if (!strcmp(has, wanted))
            return true;
    }
    return false;
}

/* R4: a machine that was off for longer than the window, and a clock a year ahead that is put right again. */
static void retention__a_pause_or_a_clock_ahead_empties_no_window(void **state)
{
    static struct life l;
    struct keep_rules rules = {.within_ns = 30 * DAY};
    struct retention r = {.rules = {&rules, NULL, NULL}};
    int64_t now = INT64_C(1767225600) * NS;

    (void)state;
    memset(&l, 0, sizeof l);
    for (int night = 0; night < 40; night++)
        live(&l, &r, now += DAY);
    assert_int_equal(l.count, 31);
    live(&l, &r, now + 365 * DAY);
    assert_int_equal(l.count, 32);
    live(&l, &r, now += DAY);
    assert_int_equal(l.count, 32); /* 31 and the one that is of the future now */
    now += 31 * DAY;
    for (int night = 0; night < 31; night++) {
        live(&l, &r, now += DAY);
        assert_int_equal(l.count, 33); /* one goes for each that comes: both ends of the pause stand in the window */
    }
    live(&l, &r, now += DAY);
    assert_int_equal(l.count, 32);
    assert_true(l.items[l.count - 2].made_ns == now - 30 * DAY && l.items[l.count - 1].made_ns > now);
}

/* Its price is bounded: of what comes in bursts, seconds long and months apart, the last few stay. */
static void retention__bursts_months_apart_leave_the_window_again(void **state)
{
    static struct life l;
    struct keep_rules rules = {.within_ns = 90 * DAY};
    struct retention r = {.rules = {&rules, NULL, NULL}};
    int64_t now = INT64_C(1767225600) * NS;

    (void)state;
    memset(&l, 0, sizeof l);
    for (int burst = 0; burst < 30; burst++, now += 120 * DAY)
        for (int n = 0; n < 2; n++) {
            live(&l, &r, now += 60 * NS);
            assert_true(l.count <= 2 * 4);
        }
}

/* R6: by a clock that is set back by less than an hour nothing is of the future. */
static void retention__what_came_last_stays_when_the_clock_was_set_back(void **state)
{
    static const char *const texts[] = {"last 1", "hourly 1", "daily 1", "within 10m", "yearly 1"};
    struct error err = ERROR_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        static struct life l;
        struct keep_rules rules;
        struct retention r = {.rules = {&rules, NULL, NULL}};
        int64_t now = INT64_C(1767225600) * NS;

        memset(&l, 0, sizeof l);
        assert_int_equal(keep_rules_parse(texts[i], &rules, &err), OK);
        live(&l, &r, now);
        live(&l, &r, now - 50 * 60 * NS);
        assert_int_equal(l.items[0].made_ns, now - 50 * 60 * NS);
        assert_int_equal(l.count, 1 + (rules.within_ns > 0));
    }
}

/* Hourly and nightly, three weeks off, the clock set back by a day, both changes of daylight saving. */
static void retention__two_years_stay_bounded_and_leave_no_hole(void **state)
{
    static struct life lives[2];
    struct keep_rules rules;
    struct retention r = {.rules = {&rules, NULL, NULL}};
    struct error err = ERROR_INIT;
    int64_t begin = INT64_C(1767225600) * NS;

    (void)state;
    assert_int_equal(keep_rules_parse("last 3, hourly 24, daily 7, weekly 5, monthly 12, yearly 3", &rules, &err), OK);
    memset(lives, 0, sizeof lives);
    for (int64_t hour = 0; hour < 2 * 365 * 24; hour++) {
        int64_t now = begin + hour * HOUR - (hour >= 9000 && hour < 9024 ? DAY : 0);

        if (hour >= 5000 && hour < 5000 + 21 * 24)
            continue;
        live(&lives[0], &r, now);
        if (hour % 24 == 3)
            live(&lives[1], &r, now);
        for (int k = 0; k < 2; k++)
            assert_true(lives[k].count <=
                        3 + 24 + 7 + 5 + 12 + 3 + 24); /* the last: what a clock set back leaves in the future */
        if (hour > 200 && (hour < 5000 || hour > 5000 + 28 * 24) && (hour < 8900 || hour > 9300))
            for (int day = 0; day < 6;
                 day++) /* the seventh may be the eighth by the calendar, when the clocks change */
                assert_true(has_day(&lives[0], now - day * DAY));
    }
    assert_true(lives[1].count >= 7 + 4 + 10); /* the twelve months go further back than weeks and days */
    assert_true(lives[0].items[lives[0].count - 1].made_ns < begin + 365 * DAY);
}

static void retention__rules_that_are_none_are_refused(void **state)
{
    static const char *const bad[] = {"",        "daily",    "daily x", "daily 0",     "daily -1", "daily 7, daily 8",
                                      "often 3", "within 3", "last 3,", "daily 99999", "last +3",  "daily 7 weekly 5"};
    struct keep_rules rules;
    struct error err = ERROR_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        error_clear(&err);
        assert_int_equal(keep_rules_parse(bad[i], &rules, &err), ERR_USAGE);
        assert_non_null(strstr(err.hint, "weekly 5"));
    }
    error_clear(&err);
    assert_int_equal(keep_rules_parse(" last  3 ,within 2d,yearly 1", &rules, &err), OK);
    assert_int_equal(rules.count[KEEP_LAST], 3);
    assert_int_equal(rules.within_ns / DAY, 2);
    assert_int_equal(rules.count[KEEP_YEARLY], 1);
    assert_int_equal(rules.count[KEEP_DAILY], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(retention__rules_that_are_none_are_refused),
        cmocka_unit_test(retention__agrees_with_the_model_on_random_histories),
        cmocka_unit_test(retention__flagged_snapshots_push_nothing_out),
        cmocka_unit_test(retention__a_pause_or_a_clock_ahead_empties_no_window),
        cmocka_unit_test(retention__bursts_months_apart_leave_the_window_again),
        cmocka_unit_test(retention__what_came_last_stays_when_the_clock_was_set_back),
        cmocka_unit_test(retention__two_years_stay_bounded_and_leave_no_hole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
