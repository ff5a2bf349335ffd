/*
 * When regular work is due. The timers of systemd and cron start nopsnap; what of its work a run does each time and what only now and
 * then is decided here, from when it was last done.
 */
#ifndef NOPSNAP_DUE_H
#define NOPSNAP_DUE_H

#include <stdbool.h>
#include <stdint.h>

/* Of work that was never done. */
#define DUE_NEVER_DONE INT64_MIN

/*
 * Is work due that is done every so often?
 *
 * A tenth of the time between is forgiven, so that nightly runs that begin a little earlier or later keep their rhythm. Work that was done "in the
 * future" (the clock was set back) is due: nothing may wait for years because a clock was wrong once.
 *
 * last_ns, now_ns    by the clock on the wall, in ns since 1970
 * every_s            > 0
 */
bool due(int64_t last_ns, int64_t now_ns, int64_t every_s);

#endif
