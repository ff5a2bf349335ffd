#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "maintain.h"
#include "report_internal.h"
#include "run_log.h"

#define EVENTS_MAX 100
#define RUNS_SHOWN 60

void page_put(struct page *p, const char *format, ...)
{
    char text[2048];
    va_list args;

    if (p->rc)
        return;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    p->rc = buffer_append_text(p->out, text, p->err);
}

void page_words(struct page *p, const char *text)
{
    char shown[4096];

    text_name(text, strlen(text), shown, sizeof(shown));
    for (const char *at = shown; *at && !p->rc; at++) {
        const char *entity = *at == '&'    ? "&amp;"
                             : *at == '<'  ? "&lt;"
                             : *at == '>'  ? "&gt;"
                             : *at == '"'  ? "&quot;"
                             : *at == '\'' ? "&#39;"
                                           : NULL;

        p->rc = entity ? buffer_append_text(p->out, entity, p->err) : buffer_append(p->out, at, 1, p->err);
    }
}

static const char *grade_class(enum overview_grade grade)
{
    static const char *const classes[] = {"well", "note", "warning", "damage", "pending"};

    return classes[grade];
}

static void put_badge(struct page *p, enum overview_grade grade)
{
    static const char *const words[] = {"well", "well", "look at it", "damage", "unfinished"};

    page_put(p, "<span class='badge %s'>%s</span>", grade_class(grade), words[grade]);
}

static void put_card(struct page *p, const char *what, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void put_card(struct page *p, const char *what, const char *format, ...)
{
    char value[128];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(value, sizeof(value), format, args);
    va_end(args);
    page_put(p, "<div class=card><b>");
    page_words(p, value);
    page_put(p, "</b><span>%s</span></div>", what);
}

static void put_problems(struct page *p, const struct overview_problems *list)
{
    for (size_t i = 0; i < list->count; i++) {
        page_put(p, "<div class='problem %s'>", grade_class(list->items[i].grade));
        page_words(p, list->items[i].text);
        if (list->items[i].hint) {
            page_put(p, "<br><code>");
            page_words(p, list->items[i].hint);
            page_put(p, "</code>");
        }
        page_put(p, "</div>");
    }
}

static const char *ago(const struct overview *o, int64_t then_ns, char out[TEXT_MAX])
{
    char age[TEXT_MAX];

    overview_age(o->now_ns, then_ns, age);
    (void)snprintf(out, TEXT_MAX, then_ns && strcmp(age, "now") != 0 ? "%.20s ago" : "%.20s", age);
    return out;
}

/* ---- the catalogue ---- */

static void put_catalog(struct page *p, struct catalog *cat, const struct overview *o)
{
    uint64_t content = 0;
    double logical = 0;
    char size[TEXT_MAX];
    char when[TEXT_MAX];

    if (!p->rc)
        p->rc = catalog_content_bytes(cat, &content, p->err);
    for (size_t i = 0; i < o->count; i++)
        for (size_t k = 0; k < o->sites[i].count; k++)
            logical += (double)(o->sites[i].points[k].bytes + o->sites[i].points[k].dump_bytes);
    text_size(o->pack_bytes, size);
    page_put(p, "<section><h2>Catalogue</h2><div class=mute>");
    page_words(p, o->catalog);
    page_put(p, "</div>");
    page_put(p, "<div class=cards>");
    put_card(p, "stored", "%s", size);
    text_size((uint64_t)logical, size);
    put_card(p, "in all snapshots", "%s", size);
    if (content)
        put_card(p, "by deduplication", "%.1f\xc3\x97", logical / (double)content);
    if (o->pack_bytes)
        put_card(p, "by compression", "%.1f\xc3\x97", (double)content / (double)o->pack_bytes);
    put_card(p, "all data was read since", "%s", ago(o, o->oldest_unread_ns, when));
    put_card(p, o->verify.ended_ns && o->verify.status ? "last check, with problems" : "last check", "%s",
             ago(o, o->verify.ended_ns, when));
    page_put(p, "</div></section>");
}

/* ---- one site ---- */

static void put_figures(struct page *p, const struct overview *o, const struct overview_site *s)
{
    char text[TEXT_MAX];
    char took[TEXT_MAX];

    page_put(p, "<div class=cards>");
    put_card(p, "last good snapshot", "%s", ago(o, s->good ? s->good->made_ns : 0, text));
    if (s->good) {
        text_size(s->good->bytes + s->good->dump_bytes, text);
        put_card(p, "files and database", "%s", text);
        put_card(p, "files", "%llu", (unsigned long long)s->good->files);
    }
    if (s->tables)
        put_card(p, "rows in the database", "%llu", (unsigned long long)s->rows);
    put_card(p, "snapshots", "%zu", s->count);
    text_size(s->stored_week, text);
    put_card(p, "added in a week", "%s", text);
    text_size(s->stored_month, text);
    put_card(p, "added in a month", "%s", text);
    text_duration((uint64_t)((s->drill_good.ended_ns - s->drill_good.started_ns) / 1000000), took);
    put_card(p, "last proved restorable", "%s%s%s", ago(o, s->drill_good.ended_ns, text),
             s->drill_good.ended_ns ? ", in " : "", s->drill_good.ended_ns ? took : "");
    if (s->next_ns) {
        overview_age(s->next_ns, o->now_ns, text);
        put_card(p, s->next_is_expected ? "next expected" : "next run", "%s%s", s->next_ns <= o->now_ns ? "due" : "in ",
                 s->next_ns <= o->now_ns ? "" : text);
    }
    page_put(p, "</div>");
}

static void put_kept(struct page *p, const struct overview_site *s)
{
    char when[TEXT_MAX];
    char size[TEXT_MAX];

    if (!s->kept.exists)
        return;
    text_size(s->kept.bytes, size);
    text_moment(s->kept.trial_end_ns ? s->kept.trial_end_ns : s->kept.since_ns, when);
    page_put(p, "<div class=problem>");
    if (s->kept.trial_end_ns) {
        page_put(p, "The upgrade from ");
        page_words(p, s->kept.from_version ? s->kept.from_version : "?");
        page_put(p, " to ");
        page_words(p, s->kept.to_version ? s->kept.to_version : "?");
        page_put(p, " is in its trial until %s; %s are kept for the way back.", when, size);
    } else {
        page_put(p, "Kept from the last transaction since %s: %s.", when, size);
    }
    page_put(p, "</div>");
}

struct events {
    int64_t moments[EVENTS_MAX];
    size_t count;
};

static enum error_kind on_upgrade(void *arg, const struct run_entry *e, struct error *err)
{
    struct events *events = arg;

    (void)err;
    if (events->count < EVENTS_MAX && (e->status == 0 || e->status == 3))
        events->moments[events->count++] = e->ended_ns;
    return OK;
}

static enum error_kind on_run(void *arg, const struct run_entry *e, struct error *err)
{
    struct page *p = arg;
    char when[TEXT_MAX];
    char took[TEXT_MAX];

    (void)err;
    text_moment(e->ended_ns, when);
    text_duration(e->ended_ns > e->started_ns ? (uint64_t)((e->ended_ns - e->started_ns) / NS_PER_MS) : 0, took);
    page_put(p, "<i%s title='%s, took %s, exit status %d'></i>",
             e->status == 0                     ? ""
             : e->status == 3 || e->status == 6 ? " class=w"
                                                : " class=b",
             when, took, e->status);
    return p->rc;
}

static void put_work(struct page *p, struct catalog *cat, const struct overview_site *s, const char *kind,
                     const char *title)
{
    page_put(p, "<div><h3>%s, the newest first</h3><div class=runs>", title);
    if (!p->rc)
        p->rc = catalog_run_each(cat, s->site_id, kind, RUNS_SHOWN, on_run, p, p->err);
    page_put(p, "</div></div>");
}

static void put_site(struct page *p, struct catalog *cat, const struct overview *o, const struct overview_site *s)
{
    struct events events = {.count = 0};

    if (!p->rc)
        p->rc = catalog_run_each(cat, s->site_id, "upgrade", EVENTS_MAX, on_upgrade, &events, p->err);
    page_put(p, "<section><div class=top><h2>");
    page_words(p, s->name ? s->name : s->path);
    page_put(p, "</h2>");
    put_badge(p, overview_site_grade(s));
    page_put(p, "</div><div class=mute>");
    page_words(p, s->path);
    if (s->version) {
        page_put(p, " \xc2\xb7 nopCommerce ");
        page_words(p, s->version);
    }
    page_put(p, "%s</div>", s->here ? "" : " \xc2\xb7 of another host");
    put_problems(p, &s->problems);
    put_kept(p, s);
    put_figures(p, o, s);
    if (s->count) {
        report_timeline(p, o, s, events.moments, events.count);
        report_growth(p, o, s);
        report_changes(p, cat, s);
    }
    if (s->run.ended_ns || s->drill.ended_ns) {
        page_put(p, "<div class=two>");
        if (s->run.ended_ns)
            put_work(p, cat, s, "run", "Scheduled runs");
        if (s->drill.ended_ns)
            put_work(p, cat, s, "drill", "Restore drills");
        page_put(p, "</div>");
    }
    page_put(p, "</section>");
}

enum error_kind report_print(struct catalog *cat, const struct overview *o, struct buffer *out, struct error *err)
{
    struct page p = {out, err, OK};
    char when[TEXT_MAX];

    text_moment(o->now_ns, when);
    page_put(&p,
             "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8>"
             "<meta name=viewport content='width=device-width,initial-scale=1'><title>nopsnap report</title><style>");
    if (!p.rc)
        p.rc = buffer_append_text(out, report_style, err);
    page_put(&p, "</style></head><body><main><header><div><h1>nopsnap report</h1><div class=mute>%s</div></div>", when);
    put_badge(&p, overview_grade(o));
    page_put(&p, "</header>");
    if (o->problems.count) { /* what is wrong with all of it comes before any site */
        page_put(&p, "<section>");
        put_problems(&p, &o->problems);
        page_put(&p, "</section>");
    }
    if (!o->count)
        page_put(&p, "<section>No shop is known yet: <code>nopsnap snapshot SITE</code></section>");
    for (int grade = OVERVIEW_PENDING; grade >= OVERVIEW_WELL; grade--) /* who needs somebody comes first */
        for (size_t i = 0; i < o->count; i++)
            if ((int)overview_site_grade(&o->sites[i]) == grade)
                put_site(&p, cat, o, &o->sites[i]);
    put_catalog(&p, cat, o);
    page_put(&p, "<footer class=mute>nopsnap " NOPSNAP_VERSION "</footer></main></body></html>\n");
    return p.rc;
}
