/*
 * A snapshot of a stopped shop: the fence around a snapshot, under a journal of its own, so that a crash in between is undone by
 * `recover` as any other: lift the fence, start the shop.
 */
#include <stdlib.h>

#include "thread.h"
#include "transaction_internal.h"

#define LOCK_TIMEOUT_MS 10000
#define QUIET_TIMEOUT_MS 30000

static enum error_kind refuse_problems(const struct txn *t, struct error *err)
{
    struct text_list problems = TEXT_LIST_INIT;
    enum error_kind rc = fence_problems(t, &problems, err);

    if (!rc && problems.count) {
        rc = error_set(err, ERR_REFUSED, 0, "%s", problems.items[0]);
        error_hint(err, "without --mode stopped the snapshot is taken while the shop runs");
    }
    text_list_release(&problems);
    return rc;
}

static enum error_kind begin(struct transaction_context *x, struct error *err)
{
    struct json *record = NULL;
    enum error_kind rc = place_choose(x->site->path, x->site->layout == SITE_LEGACY, &x->place, err);

    if (!rc)
        rc = txn_describe(&x->txn, x->site, 0, err);
    if (!rc)
        rc = refuse_problems(&x->txn, err);
    if (!rc)
        rc = txn_describe_catalog(&x->txn, x->cat, err);
    if (!rc)
        rc = place_make(&x->place, err);
    if (!rc)
        rc = place_lock(&x->place, LOCK_TIMEOUT_MS, err);
    if (!rc && place_has(&x->place, "journal"))
        rc = error_set(err, ERR_PENDING, 0, "an unfinished transaction at %s", x->site->path);
    if (!rc)
        rc = fence_init(&x->fence, &x->place, &x->txn, err);
    if (!rc)
        rc = txn_begin_record(&x->txn, &record, err);
    if (!rc)
        rc = journal_create(&x->journal, &x->place, record, err);
    json_free(record);
    return rc;
}

/* Asked while the shop still runs: a dump that fails later would have stopped it for nothing (P12). */
static enum error_kind check_database(struct database *db, struct error *err)
{
    struct database_info info = DATABASE_INFO_INIT;
    enum error_kind rc = db ? database_probe(db, &info, err) : OK;

    if (!rc && info.unreadable.count) {
        rc = error_set(err, ERR_REFUSED, 0, "the database can't be saved whole: %s", info.unreadable.items[0]);
        error_hint(err, "grant that, or name one that may with `database-admin` in the config");
    }
    database_info_release(&info);
    return rc;
}

/* A program of the shop on another host is no process of this one, but writes all the same; other logins' sessions are only told. */
static enum error_kind prove_database_quiet(struct database *db, const struct progress *progress, struct error *err)
{
    struct text_list others = TEXT_LIST_INIT;
    enum error_kind rc = quiet_database_wait(db, true, QUIET_TIMEOUT_MS, err);

    if (!rc)
        rc = database_sessions(db, NULL, &others, err);
    for (size_t i = 0; i < others.count; i++)
        progress_note(progress, "in the database all the while: %s", others.items[i]);
    text_list_release(&others);
    return rc;
}

static enum error_kind stop(struct transaction_context *x, struct database *db, const struct progress *progress,
                            struct error *err)
{
    const char *const roots[] = {x->site->path};
    enum error_kind rc = txn_step(&x->journal, "fence_begun", err);

    x->txn.fence_begun = !rc;
    if (!rc)
        rc = switch_stop(x, false, progress, err);
    if (!rc)
        rc = quiet_wait(roots, 1, QUIET_TIMEOUT_MS, err); /* T5 */
    if (!rc && db)
        rc = prove_database_quiet(db, progress, err);
    return rc;
}

/* The shop starts again whatever became of the snapshot; the first failure is the one that is told. */
static enum error_kind start_again(struct transaction_context *x, enum error_kind rc, const struct progress *progress,
                                   struct error *err)
{
    struct error start = ERROR_INIT;
    enum error_kind started = OK;

    cancel_reset();
    cancel_defer(true);
    if (x->txn.fence_begun)
        started = switch_start(x, false, progress, &start);
    if (!started)
        started = switch_end(x, false, &start);
    cancel_defer(false);
    if (!started)
        return rc;
    if (rc)
        progress_warn(progress, "first: %s", err->text);
    error_clear(err);
    error_copy(err, &start);
    err->kind = ERR_PENDING;
    error_hint(err, "start the shop, then: nopsnap recover %s", x->site->path);
    return ERR_PENDING;
}

enum error_kind fenced_snapshot(struct catalog *cat, struct site *site, struct database *db,
                                const struct snapshot_options *options, const struct progress *progress,
                                struct snapshot_result *out, struct error *err)
{
    struct transaction_context x = {.cat = cat,
                                    .site = site,
                                    .place = PLACE_INIT,
                                    .journal = JOURNAL_INIT,
                                    .txn = TXN_INIT,
                                    .facts = DATABASE_FACTS_INIT,
                                    .reach = REACH_INIT};
    enum error_kind rc = check_database(db, err);

    if (!rc)
        rc = begin(&x, err);
    if (!rc)
        rc = stop(&x, db, progress, err);
    if (!rc)
        rc = snapshot_take(cat, site, db, options, progress, out, err);
    if (x.journal.fd >= 0)
        rc = start_again(&x, rc, progress, err);
    transaction_context_release(&x);
    return rc;
}
