/*
 * Timers that start `nopsnap run`: units of systemd, or a file for cron. Nothing here runs by itself.
 *
 *     rc = schedule_plan_make(&spec, force, &plan, err);      looks, writes nothing (--dry-run prints it)
 *     rc = schedule_plan_apply(&plan, err);                   writes and removes files
 *     rc = schedule_activate(&plan, err);                     tells systemd
 *
 * Invariants
 *   S1  a file begins with a sum of what follows; one whose sum is wrong, or that has none, was written by hand and is neither replaced nor
 *       removed unless that is forced, and then its text stays beside it as .bak
 *   S2  a site has at most one schedule: what an earlier one left under another name, or for the other kind of timer, goes
 *   S3  no two sites share a file: where names are alike the path's hash is in it, and a file says whose it is
 *   S4  a timer is enabled only after its service is on the disk, and is disabled before that goes
 *   S5  secrets are named by the path of their file, never by what is in it (P10)
 *   S6  a start that systemd refuses, or a run that ends without a word of its own, is told by a second service that shares neither sandbox nor
 *       credentials with the first
 */
#ifndef NOPSNAP_SCHEDULE_H
#define NOPSNAP_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "site.h"
#include "text.h"

enum schedule_way { SCHEDULE_SYSTEMD, SCHEDULE_CRON };

enum schedule_rule {
    SCHEDULE_AT,       /* every day */
    SCHEDULE_EVERY,    /* so many minutes, counted from midnight; a day; a week, from Monday on */
    SCHEDULE_CALENDAR, /* as systemd says it */
};

#define SCHEDULE_CALENDAR_MAX 200

struct schedule_when {
    enum schedule_rule rule;
    int minute; /* AT: of the day */
    int every;  /* EVERY: minutes */
    char calendar[SCHEDULE_CALENDAR_MAX];
    int64_t shortest_s,
        longest_s; /* CALENDAR: pauses between two starts, as systemd told when it was written; 0: not known */
};

/* Is this machine run by systemd? */
bool schedule_has_systemd(void);

/* "03:00"; "6h", a time that divides the day, a day or a week; an expression that systemd understands. ERR_USAGE with a hint. */
enum error_kind schedule_when_at(const char *text, struct schedule_when *out, struct error *err);
enum error_kind schedule_when_every(const char *text, struct schedule_when *out, struct error *err);
enum error_kind schedule_when_calendar(const char *text, struct schedule_when *out, struct error *err);
/* "at 03:00", "every 6h", "calendar Mon 03:00", and back, without the pauses (ERR_CORRUPT). */
#define SCHEDULE_WHEN_MAX (SCHEDULE_CALENDAR_MAX + 16)
void schedule_when_text(const struct schedule_when *w, char out[SCHEDULE_WHEN_MAX]);
enum error_kind schedule_when_parse(const char *text, struct schedule_when *out, struct error *err);

struct schedule_times {
    int64_t next_ns;    /* the next start after now, without the random delay; 0: never, or not known */
    int64_t longest_ns; /* pause between two starts; 0: not known */
};
/*
 * When a schedule starts next, by the local time zone. An hour that the clock skips in spring has no start for systemd, and one right
 * after it for cron; in an hour that comes twice in autumn both start once, but for cron's "every".
 */
void schedule_when_times(const struct schedule_when *w, enum schedule_way way, int64_t now_ns,
                         struct schedule_times *out);
/* Will systemd skip a day of the next year, because of the clock? out: that day, "2027-03-28". */
bool schedule_when_skips(const struct schedule_when *w, enum schedule_way way, int64_t now_ns, char out[TEXT_MAX]);

/* Does a cron run that would start it? True also where the file is for another machine (NOPSNAP_CRON_ETC). */
bool schedule_has_cron(void);

/* Can this user write there at all? ERR_REFUSED with a hint, before anything else is done. */
enum error_kind schedule_place_check(enum schedule_way way, struct error *err);

/* What a schedule is made of; everything is borrowed. */
struct schedule_spec {
    const struct site *site;
    const struct config *config;
    enum schedule_way way;
    struct schedule_when when;
    int64_t delay_ms;    /* of systemd's timers; -1: as the rhythm allows */
    const char *keep;    /* rules that count instead of the config's, or NULL */
    const char *catalog; /* its real path */
    const struct text_list
        *outside;            /* folders of pictures outside the site, as its newest snapshot has them; or NULL */
    bool catalog_named;      /* on the command line: the config does not tell it */
    const char *config_file; /* real path of the one that --config named, or NULL */
    const char *program;     /* this program's file */
};

enum schedule_change { SCHEDULE_NEW, SCHEDULE_CHANGED, SCHEDULE_SAME, SCHEDULE_GOES };

struct schedule_file {
    char *path;
    char *text;   /* NULL for a link, and for what goes */
    char *target; /* of a link */
    enum schedule_change change;
    bool edited; /* and it is forced: what is there stays as .bak */
};

#define SCHEDULE_FILES_MAX 16

struct schedule_plan {
    enum schedule_way way;
    char *name;                                     /* "nopsnap-shop" */
    struct schedule_file files[SCHEDULE_FILES_MAX]; /* in the order in which they are written */
    size_t count;
    struct text_list stop;     /* timers to stop before their files go: "nopsnap-shop.timer" */
    struct text_list drop_ins; /* the owner's own, of timers that go: they stay */
    bool changed;              /* anything is to be done */
};

#define SCHEDULE_PLAN_INIT \
    {                      \
        .name = NULL       \
    }

/*
 * What has to be written, and what goes, for this schedule to be the site's only one.
 *
 * force      replace what was changed by hand (S1)
 * Returns    ERR_REFUSED for such a file without it, for another site's, for a path or a rhythm that units or cron can't express
 */
enum error_kind schedule_plan_make(const struct schedule_spec *spec, bool force, struct schedule_plan *out,
                                   struct error *err);
/* What goes, for the site to have none. ERR_NOT_FOUND when it has none. */
enum error_kind schedule_plan_removal(const char *site_path, bool force, struct schedule_plan *out, struct error *err);
/* Durable    each file by itself, whole or not at all, in an order that leaves no timer without its service (S4) */
enum error_kind schedule_plan_apply(const struct schedule_plan *p, struct error *err);
/* Let systemd read its units again, stop what goes and start what is new. ERR_REMOTE with what to type as its hint. */
enum error_kind schedule_deactivate(const struct schedule_plan *p, struct error *err);
enum error_kind schedule_activate(const struct schedule_plan *p, struct error *err);
/* After a plan that could not be applied: start what was stopped for it, as far as its files are still there. Whether that went well is not said. */
void schedule_reactivate(const struct schedule_plan *p);
void schedule_plan_release(struct schedule_plan *p);

/* One schedule that there is. */
struct schedule_entry {
    char *name;
    char *site; /* real path */
    char *catalog;
    char *keep; /* or NULL */
    enum schedule_way way;
    struct schedule_when when;
    int64_t delay_ms; /* 0 for cron */
    struct schedule_times times;
    bool enabled; /* will be started at boot */
    bool idle;    /* enabled, but systemd says that it does not run now */
    bool edited;
    bool own_command; /* its sandbox leaves room for the config's after-run */
};

struct schedule_list {
    struct schedule_entry *items;
    size_t count;
};

/* Those of this machine, by name, with when they start next. Files of others in the same folders are passed by. */
enum error_kind schedule_list_load(int64_t now_ns, struct schedule_list *out, struct error *err);
void schedule_list_release(struct schedule_list *l);
/* The site's, an enabled one first; or NULL. Borrowed. */
const struct schedule_entry *schedule_list_find(const struct schedule_list *l, const char *site_path);

/* ---- a service that has failed ---- */

struct schedule_failure {
    bool known; /* whom it concerns has heard of it, or knows: the run has ended by itself, somebody has stopped it */
    char cause[64]; /* a few words that stay the same: "exit-code 226" */
    char text[320]; /* one line */
};
/* What does systemd know of it? Asked right after it has failed; where it can't be asked, that is the text. */
void schedule_failure_of(const char *unit, struct schedule_failure *out);

#endif
