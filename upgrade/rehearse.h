/*
 * The rehearsal of an upgrade, on a copy, while the shop stays open.
 *
 *     rc = upgrade_plan(cat, &site, &options, &progress, &plan, err);
 *     rc = rehearse_run(cat, &site, plan, &progress, &result, err);
 *
 *   H1  the live tree and the live database are only read
 *   H2  nothing is started before the copy's settings and environment name the copy's database, and nothing in it leads out that is known;
 *       where the machine lets us, its network has no way out but to the database
 *   H3  what leads out and is not known is refused by name
 *   H4  what the rehearsal made goes, also after a failure; what a kill leaves is marked, and goes with the next rehearsal (P8)
 */
#ifndef NOPSNAP_REHEARSE_H
#define NOPSNAP_REHEARSE_H

#include "upgrade.h"

struct rehearse_seen {
    long status; /* 0: no answer */
    size_t bytes;
    char *title;    /* as shown */
    char *location; /* of a redirect, without the shop's address; "": none */
};

struct rehearse_page {
    char *path;
    struct rehearse_seen live, copy;
    bool differs; /* in status, title or where it leads, or twice as long or half */
};

struct rehearse_result {
    bool well, warned;
    struct text_list reasons;  /* what broke */
    struct text_list warnings; /* of the new shop's health */
    struct text_list emptied;  /* settings that lead nowhere in the copy */
    struct text_list covered;  /* links that lead out of it: what the copy wrote behind them is removed */
    struct rehearse_page *pages;
    size_t page_count;
    char network_why
        [256]; /* why the copy had the machine's network; "": it had its own, without a way out but to the database */
    uint64_t snapshot_ms, load_ms, build_ms;
    uint64_t stages_ms; /* scripts, and the trees of later releases, for which the shop is closed */
    uint64_t migrate_ms;
    uint64_t closed_ms; /* for how long the upgrade will keep the shop closed, roughly */
    char snapshot[65];  /* that the copy was made from; stays in the catalogue */
};
void rehearse_result_release(struct rehearse_result *r);

/*
 * Rehearse.
 *
 * host_network  the copy shares this machine's network
 * Returns    OK with a verdict in out; ERR_REFUSED where it can't be rehearsed, with all in one text, and nothing was started
 * Durable    nothing of it lasts but the snapshot
 */
enum error_kind rehearse_run(struct catalog *cat, struct site *site, struct upgrade_plan *plan, bool host_network,
                             const struct progress *progress, struct rehearse_result *out, struct error *err);

#endif
