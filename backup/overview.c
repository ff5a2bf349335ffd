#include "overview.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "json.h"
#include "maintain.h"
#include "overview_internal.h"
#include "retention.h"
#include "run_log.h"
#include "schedule.h"

#define RHYTHM_GAPS 8 /* the newest ones: a rhythm that was changed is soon the new one */
#define DEFAULT_RHYTHM_NS NS_PER_DAY
#define SLACK_MIN_NS (NS_PER_HOUR / 2)

/* ---- sites and their snapshots ---- */

static void site_release_all(struct overview_site *s)
{
    for (size_t i = 0; i < s->problems.count; i++) {
        free(s->problems.items[i].text);
        free(s->problems.items[i].hint);
    }
    free(s->problems.items);
    kept_state_release(&s->kept);
    free(s->path);
    free(s->name);
    free(s->version);
    free(s->points);
    free(s->stopped_timer);
    free(s->run_failed);
}

void overview_release(struct overview *o)
{
    for (size_t i = 0; i < o->count; i++)
        site_release_all(&o->sites[i]);
    for (size_t i = 0; i < o->problems.count; i++) {
        free(o->problems.items[i].text);
        free(o->problems.items[i].hint);
    }
    free(o->problems.items);
    free(o->sites);
    *o = (struct overview)OVERVIEW_INIT;
}

static enum error_kind site_take(struct overview *o, const char *site_id, const char *path, struct overview_site **out,
                                 struct error *err)
{
    struct overview_site *s;
    enum error_kind rc;

    for (size_t i = 0; i < o->count; i++)
        if (!strcmp(o->sites[i].site_id, site_id)) {
            *out = &o->sites[i];
            return OK;
        }
    if (o->count == o->cap) {
        struct overview_site *grown = reallocarray(o->sites, o->cap * 2 + 8, sizeof(*grown));

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory: %zu sites", o->count);
        o->sites = grown;
        o->cap = o->cap * 2 + 8;
    }
    s = &o->sites[o->count];
    *s = (struct overview_site){.path = NULL};
    (void)snprintf(s->site_id, sizeof(s->site_id), "%s", site_id);
    rc = memory_string(path, &s->path, err);
    if (!rc) {
        o->count++;
        *out = s;
    }
    return rc;
}

static enum error_kind point_add(struct overview_site *s, const struct snapshot_row *r, int64_t now_ns,
                                 struct error *err)
{
    const struct snapshot_standing standing = snapshot_row_standing(r);
    struct overview_point *p;

    if (s->count == s->cap) {
        struct overview_point *grown = reallocarray(s->points, s->cap * 2 + 64, sizeof(*grown));

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory: %zu snapshots", s->count);
        s->points = grown;
        s->cap = s->cap * 2 + 64;
    }
    p = &s->points[s->count++];
    *p = (struct overview_point){.made_ns = r->made_ns,
                                 .files = r->files,
                                 .bytes = r->bytes,
                                 .dump_bytes = r->dump_bytes,
                                 .stored = r->bytes_stored,
                                 .kind = r->kind,
                                 .part = r->part,
                                 .held = r->held,
                                 .suspicious = r->suspicious,
                                 .good = snapshot_is_good(&standing, now_ns),
                                 .warned = r->warned};
    memcpy(p->id, r->id, sizeof(p->id));
    return OK;
}

/* Rows come newest first. */
static enum error_kind on_row(void *arg, const struct snapshot_row *r, struct error *err)
{
    struct overview *o = arg;
    struct overview_site *s = NULL;
    enum error_kind rc = site_take(o, r->site_id, r->site_path ? r->site_path : "?", &s, err);

    if (!rc && !s->count && r->nop_version)
        rc = memory_string(r->nop_version, &s->version, err);
    if (!rc)
        rc = point_add(s, r, o->now_ns, err);
    if (rc)
        return rc;
    s->stored += r->bytes_stored;
    if (o->now_ns - r->made_ns <= 7 * NS_PER_DAY)
        s->stored_week += r->bytes_stored;
    if (o->now_ns - r->made_ns <= 30 * NS_PER_DAY)
        s->stored_month += r->bytes_stored;
    return OK;
}

/* A site of the config whose folder is gone is still one, under its name. */
static enum error_kind take_path(struct catalog *cat, struct overview *o, const char *path, struct error *err)
{
    struct overview_site *s = NULL;
    struct error gone = ERROR_INIT;
    char *real = NULL;
    char site_id[17];
    enum error_kind rc = OK;

    if (path_real(path, &real, &gone) != OK)
        rc = memory_string(path, &real, err);
    if (!rc)
        rc = catalog_site_id(cat, real, site_id, err);
    if (!rc)
        rc = site_take(o, site_id, real, &s, err);
    free(real);
    return rc;
}

/* ---- the rhythm of scheduled snapshots ---- */

static int by_length(const void *a, const void *b)
{
    const int64_t *x = a;
    const int64_t *y = b;

    return (*x > *y) - (*x < *y);
}

/* Does this snapshot say when runs come? One of the future says when the clock was wrong. */
static bool is_of_rhythm(const struct overview_point *p, int64_t now_ns)
{
    return p->kind == SNAPSHOT_SCHEDULED && !snapshot_is_of_future(p->made_ns, now_ns);
}

/* The usual time between the newest scheduled snapshots; 0 where there are too few to tell. A clock that was set back makes no gap. */
static int64_t rhythm(const struct overview_site *s, int64_t now_ns)
{
    int64_t gaps[RHYTHM_GAPS];
    int64_t later = 0;
    size_t n = 0;

    for (size_t i = 0; i < s->count && n < RHYTHM_GAPS; i++) {
        const struct overview_point *p = &s->points[i];

        if (!is_of_rhythm(p, now_ns))
            continue;
        if (later > p->made_ns)
            gaps[n++] = later - p->made_ns;
        later = p->made_ns;
    }
    if (n < 2)
        return 0;
    qsort(gaps, n, sizeof(*gaps), by_length);
    return gaps[n / 2];
}

static int64_t newest_scheduled(const struct overview_site *s, int64_t now_ns)
{
    for (size_t i = 0; i < s->count; i++)
        if (is_of_rhythm(&s->points[i], now_ns))
            return s->points[i].made_ns;
    return 0;
}

/*
 * What the config says counts before the timer's longest pause, and that before the rhythm so far. A run begins with a random delay and
 * takes its time: a twelfth more, half an hour at least (26 h for a nightly one).
 */
static void expect(struct overview_site *s, const struct site_config *config, const struct schedule_entry *timer,
                   int64_t now_ns)
{
    int64_t given = config && config->expect_every ? text_parse_duration(config->expect_every) : 0;
    int64_t seen = timer && timer->times.longest_ns ? timer->times.longest_ns : rhythm(s, now_ns);
    int64_t last = newest_scheduled(s, now_ns);
    int64_t every = given > 0 ? given * NS_PER_MS : seen ? seen : DEFAULT_RHYTHM_NS;
    int64_t slack = every / 12 > SLACK_MIN_NS ? every / 12 : SLACK_MIN_NS;

    s->scheduled = given > 0 || timer || s->stopped_timer;
    if (!s->scheduled && !seen) /* one by hand is no rhythm */
        return;
    if (timer && timer->delay_ms * NS_PER_MS > slack)
        slack = timer->delay_ms * NS_PER_MS;
    s->expect_ms = (every + slack) / NS_PER_MS;
    if (s->run.started_ns > last && !snapshot_is_of_future(s->run.started_ns, now_ns))
        last = s->run.started_ns;
    s->next_is_expected = !timer && !s->stopped_timer && given > 0 && last;
    s->next_ns = timer ? timer->times.next_ns : s->next_is_expected ? last + every : 0;
}

/* ---- what was done ---- */

struct work_seen {
    struct overview_work *last;
    char **failed; /* or NULL: nobody asks */
};

/* What a run came to by its record, as run_json() writes it; the first failed step tells. Facts of another shape tell nothing. */
static enum error_kind take_failed(const char *text, char **out, struct error *err)
{
    struct error ignored = ERROR_INIT;
    struct json *facts = NULL;
    struct json *steps;
    const char *refused;
    enum error_kind rc = OK;

    if (!text || json_parse(text, strlen(text), &facts, &ignored) != OK)
        return OK;
    steps = json_get(facts, "steps");
    refused = json_text(json_get(facts, "refused"));
    if (refused)
        rc = memory_string(refused, out, err);
    for (size_t i = 0; i < json_length(steps) && !rc && !*out; i++) {
        const char *name = json_text(json_get(json_at(steps, i), "name"));
        const char *outcome = json_text(json_get(json_at(steps, i), "outcome"));
        const char *why = json_text(json_get(json_at(steps, i), "text"));

        if (name && outcome && !strcmp(outcome, "failed"))
            rc = memory_format(out, err, "%s: %s", name, why ? why : "?");
    }
    json_free(facts);
    return rc;
}

static enum error_kind on_work(void *arg, const struct run_entry *e, struct error *err)
{
    struct work_seen *seen = arg;
    struct overview_work work = {e->started_ns, e->ended_ns, e->status};

    if (!seen->last->ended_ns)
        *seen->last = work;
    return seen->failed && !*seen->failed ? take_failed(e->facts, seen->failed, err) : OK;
}

static enum error_kind take_work(struct catalog *cat, struct overview_site *s, struct error *err)
{
    struct work_seen run = {&s->run, &s->run_failed};
    struct work_seen drill = {&s->drill, NULL};
    struct work_seen good = {&s->drill_good, NULL};
    enum error_kind rc = catalog_run_each(cat, s->site_id, "run", 1, on_work, &run, err);

    if (!rc)
        rc = catalog_run_each(cat, s->site_id, "drill", 1, on_work, &drill, err);
    return rc ? rc : catalog_run_good(cat, s->site_id, "drill", on_work, &good, err);
}

/* Rows are in the record alone. One that can't be read costs the count, and is told. */
static enum error_kind take_rows(struct catalog *cat, struct overview_site *s, struct error *err)
{
    struct snapshot_record record = SNAPSHOT_RECORD_INIT;
    struct database_facts facts = DATABASE_FACTS_INIT;
    struct error why = ERROR_INIT;
    enum error_kind rc = snapshot_read(cat, s->good->id, &record, &why);

    if (!rc && record.has_dump && record.dump_facts)
        rc = database_facts_decode(record.dump_facts, strlen(record.dump_facts), &facts, &why);
    for (size_t i = 0; !rc && i < facts.counts.count; i++)
        s->rows += facts.counts.tables[i].rows;
    s->tables = facts.counts.count;
    if (rc)
        rc = overview_problem_add(&s->problems, OVERVIEW_DAMAGE, "record", "nopsnap verify", err, "%s", why.text);
    database_facts_release(&facts);
    snapshot_record_release(&record);
    return rc;
}

/* A timer whose runs go to another catalogue is not about this one. */
static bool runs_into(const struct schedule_entry *timer, const char *catalog)
{
    char *real = realpath(catalog, NULL);
    bool same = timer->catalog && real && !strcmp(timer->catalog, real);

    free(real);
    return same;
}

static enum error_kind complete_site(struct catalog *cat, const struct config *config,
                                     const struct schedule_list *timers, struct overview *o, struct overview_site *s,
                                     struct error *err)
{
    const struct site_config *section = NULL;
    const struct schedule_entry *timer = NULL;
    char site_id[17];
    enum error_kind rc = catalog_site_id(cat, s->path, site_id, err);

    if (rc)
        return rc;
    s->here = !strcmp(site_id, s->site_id);
    section = s->here ? config_find(config, s->path) : NULL;
    timer = s->here ? schedule_list_find(timers, s->path) : NULL;
    if (timer && !runs_into(timer, o->catalog))
        timer = NULL;
    if (timer && (!timer->enabled || timer->idle)) {
        rc = memory_string(timer->name, &s->stopped_timer, err);
        timer = NULL;
    }
    if (!rc && section)
        rc = memory_string(section->name, &s->name, err);
    for (size_t i = 0; i < s->count && !s->good; i++)
        if (s->points[i].good)
            s->good = &s->points[i];
    if (!rc && s->good)
        rc = take_rows(cat, s, err);
    if (!rc)
        rc = take_work(cat, s, err);
    if (rc)
        return rc;
    expect(s, section, timer, o->now_ns);
    s->drill_ms = section && section->drill ? config_every_ms(section->drill) : 0;
    return overview_judge_site(o, s, err);
}

static enum error_kind take_catalog(struct catalog *cat, struct overview *o, struct error *err)
{
    struct work_seen verify = {&o->verify, NULL};
    struct catalog_figures figures = {0, 0, 0};
    enum error_kind rc = catalog_figures(cat, &figures, err);

    if (rc)
        return rc;
    o->packs = figures.packs;
    o->pack_bytes = figures.bytes;
    o->oldest_unread_ns = figures.oldest_unread_ns;
    o->damaged = catalog_damaged(cat);
    (void)catalog_writable(cat, &o->unwritable);
    rc = catalog_run_each(cat, "", "verify", 1, on_work, &verify, err);
    return rc ? rc : overview_judge_catalog(o, err);
}

enum error_kind overview_gather(struct catalog *cat, const struct config *config, const char *only,
                                struct overview *out, struct error *err)
{
    struct overview o = {.now_ns = clock_now(), .catalog = catalog_path(cat)};
    struct schedule_list timers = {NULL, 0};
    struct error unread = ERROR_INIT;
    char site_id[17];
    enum error_kind rc = only ? catalog_site_id(cat, only, site_id, err) : OK;

    if (!rc)
        rc = snapshot_row_each(cat, only ? site_id : NULL, on_row, &o, err);
    if (!rc && only)
        rc = take_path(cat, &o, only, err);
    for (size_t i = 0; !only && i < config->count && !rc; i++)
        rc = take_path(cat, &o, config->sites[i].path, err);
    if (!rc && schedule_list_load(o.now_ns, &timers, &unread) != OK) /* then the rhythm tells */
        timers = (struct schedule_list){NULL, 0};
    for (size_t i = 0; i < o.count && !rc; i++)
        rc = complete_site(cat, config, &timers, &o, &o.sites[i], err);
    if (!rc)
        rc = take_catalog(cat, &o, err);
    schedule_list_release(&timers);
    if (rc)
        overview_release(&o);
    else
        *out = o;
    return rc;
}
