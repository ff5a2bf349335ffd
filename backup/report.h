/*
 * The report: one page of HTML that needs nothing from elsewhere, no script, no font, no picture. Problems come first, then each shop with its
 * figures, its timeline, how it grew, what changed last, and what runs and drills said. Every name goes through one function that escapes it.
 */
#ifndef NOPSNAP_REPORT_H
#define NOPSNAP_REPORT_H

#include "buffer.h"
#include "overview.h"

/*
 * cat        the overview's
 * out        the page, UTF-8; its size is bounded whatever the number of snapshots
 * Errors     as overview_gather(); ERR_MEMORY when the page is over out's ceiling
 */
enum error_kind report_print(struct catalog *cat, const struct overview *o, struct buffer *out, struct error *err);

#endif
