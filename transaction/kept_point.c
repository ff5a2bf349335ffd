/*
 * The restore point of an upgrade whose database the server copied, or keeps what it was (T8): it has the stopped shop's files, and the database is
 * the kept original, or that. Once the shop runs again it is dumped beside it, and files and dump become one whole snapshot.
 *
 * Whoever comes by does it: the upgrade itself, or, after a crash, the next command that writes. What can't be done now is said, and done later: until then
 * the original stays (K2: it is not let go of without a dump), and so does the hold on the snapshot of before the stop.
 */
#include <stdlib.h>
#include <string.h>

#include "transaction_internal.h"

static enum error_kind take(struct catalog *cat, const struct site *site, const struct kept *k, struct database *db,
                            const struct snapshot_record *files, const struct progress *progress, char **id,
                            struct error *err)
{
    struct snapshot_options o = SNAPSHOT_OPTIONS_INIT;
    struct snapshot_result result = {.files = 0};
    enum error_kind rc;

    o.kind = SNAPSHOT_BEFORE_UPGRADE;
    o.stopped = true;
    o.files_of = files;
    o.transaction = k->txn.token;
    o.moment_ns = k->txn.old_until_ns;
    o.no_stat_cache = true;
    rc = snapshot_take(cat, site, db, &o, progress, &result, err);
    if (!rc)
        rc = memory_string(result.record.id, id, err);
    snapshot_result_release(&result);
    return rc;
}

/* The whole one takes the place of the one that has the files only. */
static enum error_kind put(struct catalog *cat, const struct place *p, struct kept *k, char *whole,
                           const struct progress *progress, struct error *err)
{
    const char *files = k->snapshot;
    struct error why = ERROR_INIT;
    enum error_kind rc;

    k->snapshot = whole;
    free(k->txn.safety);
    k->txn.safety = NULL;
    rc = memory_string(whole, &k->txn.safety, err);
    k->txn.database_later = false;
    if (!rc)
        rc = kept_write(p, &k->txn, k->kept_is_old, k->snapshot, k->since_ns, err);
    if (!rc) {
        marks_tidy(cat, &k->txn, false, progress);
        (void)snapshot_hold_release(cat, files, false, &why);
        error_clear(&why);
        if (snapshot_forget(cat, &files, 1, &why) != OK) /* a person holds it */
            progress_note(progress, "%s", why.text);
    }
    free((char *)files);
    return rc;
}

enum error_kind kept_complete(struct catalog *cat, const struct site *site, const struct place *p, struct kept *k,
                              const struct progress *progress, struct error *err)
{
    struct snapshot_record files = SNAPSHOT_RECORD_INIT;
    struct database *original = NULL;
    struct reach reach = REACH_INIT;
    struct error absent = ERROR_INIT;
    bool there = false;
    char *whole = NULL;
    enum error_kind rc;

    if (!k->kept_is_old || !k->txn.database_later || !kept_has_database(k) || !k->snapshot)
        return OK;
    rc = snapshot_find(cat, NULL, k->snapshot, &files, &absent);
    if (rc == ERR_NOT_FOUND || rc == ERR_CORRUPT) /* K4: the tree and the original are saved when they go */
        return OK;
    if (rc) {
        error_copy(err, &absent);
        return rc;
    }
    progress_step(progress, "saving the database of before");
    rc = reach_for_txn(&reach, cat, site, &k->txn, &files, err);
    if (!rc)
        rc = kept_database_open(reach.db, k, &original, err);
    if (!rc)
        rc = kept_database_is_there(original, k, &there, err);
    if (!rc && !there)
        progress_warn(progress,
                      "database %s, which the upgrade took away, is gone: what is left of it is snapshot %.8s",
                      kept_database(k), k->txn.target);
    else if (!rc)
        rc = take(cat, site, k, original, &files, progress, &whole, err);
    if (!rc && whole)
        rc = put(cat, p, k, whole, progress, err);
    database_close(original);
    reach_release(&reach);
    snapshot_record_release(&files);
    if (rc)
        error_context(err, "saving the database of before");
    return rc;
}
