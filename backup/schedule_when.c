/*
 * When: what a person may say, how systemd and cron say it, and which moment comes next.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "process.h"
#include "schedule_internal.h"

#define NS_PER_S INT64_C(1000000000)
#define MS_PER_MINUTE INT64_C(60000)
#define DELAY_MAX_MS (10 * MS_PER_MINUTE)
#define EVERY_LEAST 5 /* minutes */
#define STARTS 2500   /* of a calendar expression that are looked at */
#define YEAR_DAYS 366

/* ---- what a person says ---- */

enum error_kind schedule_when_at(const char *text, struct schedule_when *out, struct error *err)
{
    struct schedule_when w = {.rule = SCHEDULE_AT};
    bool form = strlen(text) == 5 && isdigit((unsigned char)text[0]) && isdigit((unsigned char)text[1]) &&
                text[2] == ':' && isdigit((unsigned char)text[3]) && isdigit((unsigned char)text[4]);
    int hour = form ? (text[0] - '0') * 10 + text[1] - '0' : 24;
    int minute = form ? (text[3] - '0') * 10 + text[4] - '0' : 60;

    if (hour > 23 || minute > 59) {
        error_set(err, ERR_USAGE, 0, "--at %s: no time of day", text);
        error_hint(err, "write it as 03:00 or 22:30");
        return ERR_USAGE;
    }
    w.minute = hour * 60 + minute;
    *out = w;
    return OK;
}

/* Whatever does not divide the day, or the hour, would come at other times each day: neither systemd's calendar nor cron can say it. */
static bool is_even(int64_t minutes)
{
    if (minutes == MINUTES_PER_DAY || minutes == MINUTES_PER_WEEK)
        return true;
    return minutes >= EVERY_LEAST && minutes < MINUTES_PER_DAY &&
           (minutes < 60 ? 60 % minutes == 0 : minutes % 60 == 0 && 24 % (minutes / 60) == 0);
}

enum error_kind schedule_when_every(const char *text, struct schedule_when *out, struct error *err)
{
    int64_t ms = text_parse_duration(text);

    if (ms <= 0 || ms % MS_PER_MINUTE != 0 || !is_even(ms / MS_PER_MINUTE)) {
        error_set(err, ERR_USAGE, 0, "--every %s: no time that a day is divided by", text);
        error_hint(err, "5m, 10m, 15m, 20m, 30m, 1h, 2h, 3h, 4h, 6h, 8h, 12h, 1d or 1w; for others --on-calendar");
        return ERR_USAGE;
    }
    *out = (struct schedule_when){.rule = SCHEDULE_EVERY, .every = (int)(ms / MS_PER_MINUTE)};
    return OK;
}

/* Is it an expression, and how far apart are its starts? So many are looked at that a weekend is among those of every five minutes. */
static enum error_kind learn_pauses(struct schedule_when *w, struct error *err)
{
    size_t count = 0;
    int64_t *starts = NULL;
    enum error_kind rc = memory_zeroed(STARTS, sizeof(*starts), (void **)&starts, err);

    if (!rc)
        rc = schedule_calendar_ask(w->calendar, clock_now(), true, starts, STARTS, &count, err);
    if (!rc && !count && process_exists("systemd-analyze")) {
        rc = error_set(err, ERR_USAGE, 0, "--on-calendar %s: that will never be", w->calendar);
        error_hint(err, "systemd-analyze calendar tells when an expression comes");
    }
    for (size_t i = 1; i < count && !rc; i++) {
        int64_t pause = (starts[i] - starts[i - 1]) / NS_PER_S;

        w->shortest_s = i == 1 || pause < w->shortest_s ? pause : w->shortest_s;
        w->longest_s = pause > w->longest_s ? pause : w->longest_s;
    }
    free(starts);
    return rc;
}

enum error_kind schedule_when_calendar(const char *text, struct schedule_when *out, struct error *err)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 *,.:/~_+-"; /* zones have / _ + - */
    struct schedule_when w = {.rule = SCHEDULE_CALENDAR};
    size_t n = strlen(text);
    enum error_kind rc;

    if (n == 0 || n >= sizeof(w.calendar) || strspn(text, allowed) != n || text[0] == ' ' || text[n - 1] == ' ') {
        error_set(err, ERR_USAGE, 0, "--on-calendar %s: no expression that systemd knows", text);
        error_hint(err, "such as 'Mon..Fri 03:00'; man systemd.time has them all");
        return ERR_USAGE;
    }
    memcpy(w.calendar, text, n + 1);
    rc = learn_pauses(&w, err);
    if (rc)
        return rc;
    *out = w;
    return OK;
}

static void every_text(int minutes, char out[TEXT_MAX])
{
    if (minutes == MINUTES_PER_WEEK)
        (void)snprintf(out, TEXT_MAX, "1w");
    else if (minutes == MINUTES_PER_DAY)
        (void)snprintf(out, TEXT_MAX, "1d");
    else
        (void)snprintf(out, TEXT_MAX, "%d%s", minutes % 60 ? minutes : minutes / 60, minutes % 60 ? "m" : "h");
}

void schedule_when_text(const struct schedule_when *w, char out[SCHEDULE_WHEN_MAX])
{
    char every[TEXT_MAX];

    every_text(w->every, every);
    if (w->rule == SCHEDULE_AT)
        (void)snprintf(out, SCHEDULE_WHEN_MAX, "at %02d:%02d", w->minute / 60, w->minute % 60);
    else if (w->rule == SCHEDULE_EVERY)
        (void)snprintf(out, SCHEDULE_WHEN_MAX, "every %s", every);
    else
        (void)snprintf(out, SCHEDULE_WHEN_MAX, "calendar %s", w->calendar);
}

/* Without asking systemd: it was asked when this was written. */
enum error_kind schedule_when_parse(const char *text, struct schedule_when *out, struct error *err)
{
    struct schedule_when w = {.rule = SCHEDULE_CALENDAR};
    struct error ignored = ERROR_INIT;
    enum error_kind rc = ERR_CORRUPT;

    if (!strncmp(text, "at ", 3)) {
        rc = schedule_when_at(text + 3, &w, &ignored);
    } else if (!strncmp(text, "every ", 6)) {
        rc = schedule_when_every(text + 6, &w, &ignored);
    } else if (!strncmp(text, "calendar ", 9) && strlen(text + 9) < sizeof(w.calendar)) {
        memcpy(w.calendar, text + 9, strlen(text + 9) + 1);
        rc = OK;
    }
    if (rc)
        return error_set(err, ERR_CORRUPT, 0, "no schedule: %s", text);
    *out = w;
    return OK;
}

/* ---- how systemd and cron say it ---- */

void schedule_when_calendar_of(const struct schedule_when *w, char out[SCHEDULE_CALENDAR_MAX])
{
    if (w->rule == SCHEDULE_CALENDAR)
        (void)snprintf(out, SCHEDULE_CALENDAR_MAX, "%s", w->calendar);
    else if (w->rule == SCHEDULE_AT)
        (void)snprintf(out, SCHEDULE_CALENDAR_MAX, "*-*-* %02d:%02d:00", w->minute / 60, w->minute % 60);
    else if (w->every >= MINUTES_PER_DAY)
        (void)snprintf(out, SCHEDULE_CALENDAR_MAX, "%s*-*-* 00:00:00", w->every == MINUTES_PER_WEEK ? "Mon " : "");
    else if (w->every < 60)
        (void)snprintf(out, SCHEDULE_CALENDAR_MAX, "*-*-* *:00/%d:00", w->every);
    else
        (void)snprintf(out, SCHEDULE_CALENDAR_MAX, "*-*-* 00/%d:00:00", w->every / 60);
}

enum error_kind schedule_when_cron(const struct schedule_when *w, char out[TEXT_MAX], struct error *err)
{
    if (w->rule == SCHEDULE_CALENDAR) {
        error_set(err, ERR_REFUSED, 0, "cron knows no expressions of systemd: %s", w->calendar);
        error_hint(err, "--at 03:00 or --every 6h can be said to cron");
        return ERR_REFUSED;
    }
    if (w->rule == SCHEDULE_AT)
        (void)snprintf(out, TEXT_MAX, "%d %d * * *", w->minute % 60, w->minute / 60);
    else if (w->every >= MINUTES_PER_DAY)
        (void)snprintf(out, TEXT_MAX, "0 0 * * %s", w->every == MINUTES_PER_WEEK ? "1" : "*");
    else if (w->every < 60)
        (void)snprintf(out, TEXT_MAX, "*/%d * * * *", w->every);
    else if (w->every == 60)
        (void)snprintf(out, TEXT_MAX, "0 * * * *");
    else
        (void)snprintf(out, TEXT_MAX, "0 */%d * * *", w->every / 60);
    return OK;
}

int64_t schedule_when_delay_ms(const struct schedule_when *w)
{
    int64_t pause_ms = w->rule == SCHEDULE_AT      ? MINUTES_PER_DAY * MS_PER_MINUTE
                       : w->rule == SCHEDULE_EVERY ? w->every * MS_PER_MINUTE
                                                   : w->shortest_s * 1000;

    return pause_ms / 12 < DELAY_MAX_MS ? pause_ms / 12 : DELAY_MAX_MS;
}

/* ---- which moment comes next ---- */

/* The wall clock at a minute. */
static struct tm wall(int64_t minute)
{
    time_t seconds = (time_t)(minute * 60);
    struct tm tm = {.tm_mday = 0};

    (void)localtime_r(&seconds, &tm); /* an impossible year gives day 0, which is nobody's */
    return tm;
}

static int minute_of(const struct tm *tm)
{
    return tm->tm_hour * 60 + tm->tm_min;
}

static bool same_reading(const struct tm *a, const struct tm *b)
{
    return a->tm_yday == b->tm_yday && a->tm_hour == b->tm_hour && a->tm_min == b->tm_min;
}

/* Did the clock show the same before, because it was put back since? */
static bool is_second_time(int64_t minute, const struct tm *now)
{
    static const int backs[] = {30, 60, 120};

    for (size_t i = 0; i < sizeof(backs) / sizeof(backs[0]); i++) {
        struct tm before = wall(minute - backs[i]);

        if (same_reading(&before, now))
            return true;
    }
    return false;
}

static bool is_slot(const struct schedule_when *w, const struct tm *tm)
{
    if (w->rule == SCHEDULE_AT)
        return minute_of(tm) == w->minute;
    if (w->every == MINUTES_PER_WEEK && tm->tm_wday != 1)
        return false;
    return minute_of(tm) % (w->every < MINUTES_PER_DAY ? w->every : MINUTES_PER_DAY) == 0;
}

/* Was a slot skipped right before this minute, because the clock was put forward? */
static bool is_after_skipped(const struct schedule_when *w, int64_t minute, const struct tm *now)
{
    struct tm t = wall(minute - 1);
    int from = t.tm_yday == now->tm_yday ? minute_of(&t) : -1; /* midnight itself may be skipped */

    t = *now;
    for (int m = from + 1; m < minute_of(now); m++) {
        t.tm_hour = m / 60;
        t.tm_min = m % 60;
        if (is_slot(w, &t))
            return true;
    }
    return false;
}

static bool starts_at(const struct schedule_when *w, enum schedule_way way, int64_t minute)
{
    bool by_clock = way == SCHEDULE_CRON && w->rule == SCHEDULE_EVERY && w->every < MINUTES_PER_DAY;
    struct tm now = wall(minute);

    if (is_slot(w, &now))
        return by_clock || !is_second_time(minute, &now);
    return way == SCHEDULE_CRON && !by_clock && is_after_skipped(w, minute, &now);
}

/* Minute by minute, so that nothing has to be known of the zone's rules: a fraction of a millisecond for a day. 0 if there is none. */
static int64_t next_start(const struct schedule_when *w, enum schedule_way way, int64_t after_ns)
{
    int64_t first = after_ns / NS_PER_S / 60 + 1;

    for (int64_t m = first; m < first + 2 * MINUTES_PER_WEEK; m++)
        if (starts_at(w, way, m))
            return m * 60 * NS_PER_S;
    return 0;
}

void schedule_when_times(const struct schedule_when *w, enum schedule_way way, int64_t now_ns,
                         struct schedule_times *out)
{
    struct error ignored = ERROR_INIT;
    int64_t next = 0;
    size_t count = 0;

    if (w->rule != SCHEDULE_CALENDAR) {
        out->next_ns = next_start(w, way, now_ns);
        out->longest_ns = (w->rule == SCHEDULE_AT ? MINUTES_PER_DAY : w->every) * 60 * NS_PER_S;
        return;
    }
    if (schedule_calendar_ask(w->calendar, now_ns, false, &next, 1, &count, &ignored))
        next = 0;
    *out = (struct schedule_times){next, w->longest_s * NS_PER_S};
}

bool schedule_when_skips(const struct schedule_when *w, enum schedule_way way, int64_t now_ns, char out[TEXT_MAX])
{
    int64_t minute = now_ns / NS_PER_S / 60;

    if (way != SCHEDULE_SYSTEMD || w->rule != SCHEDULE_AT)
        return false;
    for (int day = 0; day < YEAR_DAYS; day++) {
        struct tm there = wall(minute + (int64_t)day * MINUTES_PER_DAY);
        struct tm wanted = there;

        wanted.tm_hour = w->minute / 60;
        wanted.tm_min = w->minute % 60;
        wanted.tm_isdst = -1;
        (void)mktime(&wanted); /* what is not there becomes another reading */
        if (minute_of(&wanted) != w->minute)
            return strftime(out, TEXT_MAX, "%Y-%m-%d", &there) > 0;
    }
    return false;
}
