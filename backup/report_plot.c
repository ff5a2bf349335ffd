/*
 * Plots as SVG that stretches with the page: no text inside, so that a phone need not read small print. A plot has at most PLOT_COLUMNS columns.
 */
#include <stdio.h>

#include "report_internal.h"

#define PLOT_COLUMNS 240
#define WIDTH 720

static int64_t first_ns(const struct overview_site *s)
{
    int64_t first = s->points[0].made_ns;

    for (size_t i = 0; i < s->count; i++)
        if (s->points[i].made_ns < first)
            first = s->points[i].made_ns;
    return first;
}

/* Where a moment lies between the first snapshot and now: 0 to WIDTH. */
static double across(const struct overview *o, int64_t first, int64_t at)
{
    double whole = (double)(o->now_ns - first);
    double x = whole > 0 ? (double)(at - first) / whole * WIDTH : WIDTH / 2.0;

    return x < 0 ? 0 : x > WIDTH ? WIDTH : x;
}

static size_t column_of(const struct overview *o, int64_t first, int64_t at)
{
    size_t n = (size_t)(across(o, first, at) / WIDTH * PLOT_COLUMNS);

    return n < PLOT_COLUMNS ? n : PLOT_COLUMNS - 1;
}

static void put_axis(struct page *p, const struct overview *o, int64_t first, const char *middle)
{
    char from[TEXT_MAX];
    char to[TEXT_MAX];

    text_moment(first, from);
    text_moment(o->now_ns, to);
    page_put(p, "<div class=axis><span>%.10s</span><span>%s%s</span><span>%.10s</span></div>", from,
             middle[0] ? "at most " : "", middle, to);
}

static const char *kind_class(const struct overview_point *point)
{
    return point->suspicious                        ? "k-f"
           : point->kind == SNAPSHOT_SCHEDULED      ? "k-s"
           : point->kind == SNAPSHOT_BEFORE_UPGRADE ? "k-u"
                                                    : "k-m";
}

/* Of snapshots in one column the one that matters most is drawn. */
static int weight(const struct overview_point *point)
{
    return point->suspicious ? 3 : point->kind == SNAPSHOT_BEFORE_UPGRADE ? 2 : point->kind != SNAPSHOT_SCHEDULED;
}

void report_timeline(struct page *p, const struct overview *o, const struct overview_site *s, const int64_t *events,
                     size_t event_count)
{
    const struct overview_point *shown[PLOT_COLUMNS] = {NULL};
    int64_t first = first_ns(s);

    for (size_t i = 0; i < s->count; i++) {
        size_t at = column_of(o, first, s->points[i].made_ns);

        if (!shown[at] || weight(&s->points[i]) > weight(shown[at]))
            shown[at] = &s->points[i];
    }
    page_put(p,
             "<h3>Snapshots and upgrades</h3><svg class=strip viewBox='0 0 %d 40' preserveAspectRatio='none' role='img'"
             " aria-label='%zu snapshots'><line class=base x1='0' y1='39' x2='%d' y2='39'/>",
             WIDTH, s->count, WIDTH);
    for (size_t i = 0; i < PLOT_COLUMNS; i++)
        if (shown[i]) {
            double x = across(o, first, shown[i]->made_ns);

            page_put(p, "<line class='tick %s' x1='%.1f' y1='%d' x2='%.1f' y2='39'/>", kind_class(shown[i]), x,
                     weight(shown[i]) ? 6 : 16, x);
        }
    for (size_t i = 0; i < event_count; i++) {
        double x = across(o, first, events[i]);

        page_put(p, "<line class='tick up' x1='%.1f' y1='0' x2='%.1f' y2='39'/>", x, x);
    }
    page_put(p, "</svg>");
    put_axis(p, o, first, "");
    page_put(p, "<div class=legend><span><i style='background:var(--blue)'></i>scheduled</span>"
                "<span><i style='background:var(--mute)'></i>by hand, safety</span>"
                "<span><i style='background:var(--good)'></i>before an upgrade</span>"
                "<span><i style='background:var(--warn)'></i>flagged</span>"
                "<span><i style='background:var(--bad)'></i>upgrade</span></div>");
}

struct columns {
    double value[PLOT_COLUMNS];
    bool is[PLOT_COLUMNS];
    double max;
};

/* The size of the shop: the newest whole snapshot of each column. */
static void put_size(struct page *p, const struct overview *o, const struct overview_site *s, int64_t first)
{
    struct columns c = {.max = 1};
    char size[TEXT_MAX];
    double last = 0;

    for (size_t i = 0; i < s->count; i++) {
        const struct overview_point *point = &s->points[i];
        size_t at = column_of(o, first, point->made_ns);

        if (c.is[at] || point->part != SNAPSHOT_WHOLE)
            continue;
        c.is[at] = true;
        c.value[at] = (double)(point->bytes + point->dump_bytes);
        c.max = c.value[at] > c.max ? c.value[at] : c.max;
    }
    text_size((uint64_t)c.max, size);
    page_put(p,
             "<div><h3>Size of the shop</h3><svg viewBox='0 0 %d 100' preserveAspectRatio='none' role='img'"
             " aria-label='at most %s'><path class=area d='",
             WIDTH, size);
    for (int pass = 0; pass < 2; pass++) {
        bool begun = false;

        for (size_t i = 0; i < PLOT_COLUMNS; i++) {
            double x = ((double)i + 0.5) * WIDTH / PLOT_COLUMNS;

            if (!c.is[i])
                continue;
            if (!begun && pass == 0)
                page_put(p, "M%.1f 100", x);
            page_put(p, "%c%.1f %.1f", begun || pass == 0 ? 'L' : 'M', x, 96 - c.value[i] / c.max * 90);
            last = x;
            begun = true;
        }
        if (pass == 0 && begun)
            page_put(p, "L%.1f 100Z", last);
        if (pass == 0)
            page_put(p, "'/><path class=curve d='");
    }
    page_put(p, "'/></svg>");
    put_axis(p, o, first, size);
    page_put(p, "</div>");
}

static void put_added(struct page *p, const struct overview *o, const struct overview_site *s, int64_t first)
{
    enum { BARS = 60 };
    double added[BARS] = {0};
    double max = 1;
    char size[TEXT_MAX];

    for (size_t i = 0; i < s->count; i++)
        added[column_of(o, first, s->points[i].made_ns) * BARS / PLOT_COLUMNS] += (double)s->points[i].stored;
    for (size_t i = 0; i < BARS; i++)
        max = added[i] > max ? added[i] : max;
    text_size((uint64_t)max, size);
    page_put(p,
             "<div><h3>Added to the catalogue</h3><svg viewBox='0 0 %d 100' preserveAspectRatio='none' role='img'"
             " aria-label='at most %s in one bar'>",
             WIDTH, size);
    for (size_t i = 0; i < BARS; i++)
        if (added[i] > 0)
            page_put(p, "<rect class=bar x='%zu' y='%.1f' width='9' height='%.1f' rx='1'/>", i * WIDTH / BARS,
                     99 - added[i] / max * 92, added[i] / max * 92 + 1);
    page_put(p, "</svg>");
    put_axis(p, o, first, size);
    page_put(p, "</div>");
}

void report_growth(struct page *p, const struct overview *o, const struct overview_site *s)
{
    int64_t first = first_ns(s);

    page_put(p, "<div class=two>");
    put_size(p, o, s, first);
    put_added(p, o, s, first);
    page_put(p, "</div>");
}
