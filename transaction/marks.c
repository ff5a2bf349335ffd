/*
 * The marks of an upgrade in the catalogue: what is held, for how long, and what goes when it was undone. By whoever comes to the end of it: the
 * run, recovery, or the command that lets go of what was kept. What can't be done here costs room in the catalogue, no more.
 *
 * F4  a restore point whose upgrade was undone is forgotten: nothing was taken away, so nothing is to be gone back to
 */
#include <stdio.h>
#include <string.h>

#include "transaction_internal.h"

#define DAY_NS (24LL * 3600 * 1000000000)
#define HOLD_NS (400 * DAY_NS)      /* "before the upgrade": more than a year */
#define FIRST_HOLD_NS (40 * DAY_NS) /* of the first snapshot, should nobody live to end it */

static enum error_kind hold(struct catalog *cat, const struct txn *t, const char *snapshot, int64_t for_ns,
                            struct error *err)
{
    char reason[96];
    char id[33];

    (void)snprintf(reason, sizeof(reason), "before the upgrade to %.40s", t->to_version);
    return snapshot_hold_add(cat, snapshot, reason, false, clock_now() + for_ns, id, err);
}

enum error_kind marks_hold_first(struct catalog *cat, const struct txn *t, const char *snapshot, struct error *err)
{
    return hold(cat, t, snapshot, FIRST_HOLD_NS, err);
}

static enum error_kind is_held(void *arg, const struct snapshot_hold *h, struct error *err)
{
    bool *held = arg;

    (void)err;
    *held = *held || !h->by_person;
    return OK;
}

static enum error_kind hold_once(struct catalog *cat, const struct txn *t, struct error *err)
{
    bool held = false;
    enum error_kind rc = snapshot_hold_each(cat, t->safety, is_held, &held, err);

    return rc || held ? rc : hold(cat, t, t->safety, HOLD_NS, err);
}

void marks_tidy(struct catalog *cat, const struct txn *t, bool undone, const struct progress *progress)
{
    struct error why = ERROR_INIT;
    const char *point = t->safety;
    enum error_kind rc = OK;

    if (!cat || !txn_is_upgrade(t) || t->going_back)
        return;
    if (point && undone) /* F4 */
        rc = snapshot_forget(cat, &point, 1, &why);
    else if (point)
        rc = hold_once(cat, t, &why);
    if (rc == ERR_NOT_FOUND) { /* done before */
        error_clear(&why);
        rc = OK;
    }
    /* Until the restore point has its dump, the first snapshot is the only whole one. */
    if (!rc && t->target && (undone || (point && !t->database_later)))
        rc = snapshot_hold_release(cat, t->target, false, &why);
    if (rc && rc != ERR_NOT_FOUND)
        progress_warn(progress, "%s", why.text);
}
