#ifndef NOPSNAP_REPORT_INTERNAL_H
#define NOPSNAP_REPORT_INTERNAL_H

#include "overview_internal.h"
#include "report.h"

/* A page in the making: the first error sticks, and is reported at the end. */
struct page {
    struct buffer *out;
    struct error *err;
    enum error_kind rc;
};

/* Markup of ours, with figures in it. */
void page_put(struct page *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Words from elsewhere: made printable, then escaped. */
void page_words(struct page *p, const char *text);

extern const char report_style[];

/* The plots of one site. `events`: moments of upgrades. */
void report_timeline(struct page *p, const struct overview *o, const struct overview_site *s, const int64_t *events,
                     size_t event_count);
void report_growth(struct page *p, const struct overview *o, const struct overview_site *s);
/* What differs between the two newest good snapshots. */
void report_changes(struct page *p, struct catalog *cat, const struct overview_site *s);

#endif
