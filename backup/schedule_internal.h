#ifndef NOPSNAP_SCHEDULE_INTERNAL_H
#define NOPSNAP_SCHEDULE_INTERNAL_H

#include "buffer.h"
#include "schedule.h"

#define SCHEDULE_TEXT_MAX (256u << 10)
#define MINUTES_PER_DAY (24 * 60)
#define MINUTES_PER_WEEK (7 * MINUTES_PER_DAY)

/* ---- schedule_when.c ---- */

/* OnCalendar= of a rule. */
void schedule_when_calendar_of(const struct schedule_when *w, char out[SCHEDULE_CALENDAR_MAX]);
/* The five fields of a crontab. ERR_REFUSED for what cron can't say. */
enum error_kind schedule_when_cron(const struct schedule_when *w, char out[TEXT_MAX], struct error *err);
/* How long systemd may put off a start where nobody says: a twelfth of the rhythm, ten minutes at most. */
int64_t schedule_when_delay_ms(const struct schedule_when *w);

/* ---- schedule_calendar.c ---- */

/* "Sat 2026-11-28 03:00:00 UTC"; -1 for anything else. */
int64_t schedule_moment_parse(const char *text);
/*
 * The next starts, as `systemd-analyze calendar` tells them.
 *
 * by_utc     as if the clock were that of UTC: no day has 23 or 25 hours
 * count      0 when it can't be asked, or when there is none
 * Returns    ERR_USAGE: it does not understand the expression
 */
enum error_kind schedule_calendar_ask(const char *expression, int64_t now_ns, bool by_utc, int64_t *starts_ns,
                                      size_t room, size_t *count, struct error *err);

/* ---- schedule_units.c, schedule_cron.c: texts without the first line ---- */

/* Behind the name of the service that tells of a failure (S6). Of two "-" in a name the hash of a path follows, or this: S3. */
#define SCHEDULE_FAILED "--failed"

enum error_kind schedule_service_text(const struct schedule_spec *s, const char *name, struct buffer *out,
                                      struct error *err);
enum error_kind schedule_failed_text(const struct schedule_spec *s, const char *name, struct buffer *out,
                                     struct error *err);
enum error_kind schedule_timer_text(const struct schedule_spec *s, const char *name, struct buffer *out,
                                    struct error *err);
enum error_kind schedule_cron_text(const struct schedule_spec *s, const char *name, struct buffer *out,
                                   struct error *err);
/* Lines that only nopsnap reads: "# site: /var/www/shop". */
enum error_kind schedule_note(struct buffer *b, const char *key, const char *value, struct error *err);

/* ---- schedule_file.c ---- */

/* For who may not write there. */
void schedule_hint_root(struct error *err);
/* Where units and crontabs are. */
const char *schedule_units_folder(void);
const char *schedule_cron_folder(void);

/* What a file of ours is. */
struct schedule_head {
    bool there;
    bool ours;              /* it has our first line */
    bool edited;            /* and the sum is wrong; also: not ours */
    struct text_list notes; /* "site: /var/www/shop" */
};
#define SCHEDULE_HEAD_INIT \
    {                      \
        .there = false     \
    }
/* Read it. One that is not there is no error. */
enum error_kind schedule_head_read(const char *path, struct schedule_head *out, struct buffer *text, struct error *err);
const char *schedule_head_note(const struct schedule_head *h, const char *key); /* or NULL */
void schedule_head_release(struct schedule_head *h);
/* Put the first line before a text. Caller frees. */
enum error_kind schedule_seal(const struct buffer *text, char **out, struct error *err);

/*
 * The name of a site's files without what ends it: "nopsnap-shop". A name of the config that has letters, digits, "_" and single "-" is
 * taken as it is; of everything else the readable part is, with "--" and the hash of the path, so that none is like another (S3).
 */
enum error_kind schedule_name_of(const struct site *site, char **out, struct error *err);

/* ---- schedule_list.c ---- */

/* Where enabled timers are linked, below the folder of the units. */
#define SCHEDULE_WANTS "timers.target.wants"

/* A file of ours that says whose it is: a timer, or cron's. */
struct schedule_found {
    char *name; /* "nopsnap-shop" */
    char *path;
    enum schedule_way way;
    struct schedule_head head;
};

struct schedule_founds {
    struct schedule_found *items;
    size_t count;
};

enum error_kind schedule_founds_all(struct schedule_founds *f, struct error *err);
void schedule_founds_release(struct schedule_founds *f);

/* ---- schedule_mounts.c ---- */

/* Wait for what is mounted at this absolute path (not "/") and above it, and do without what can't be. Appended to a unit's text. */
enum error_kind schedule_mount_lines(const char *path, struct buffer *out, struct error *err);

#endif
