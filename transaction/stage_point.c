/*
 * A restore point that the database's server keeps: an upgrade then changes the database where it is, and going back is the server's work (T8).
 * Gone back to once means that nobody goes back from what the old shop has taken in since.
 *
 * Whether a server keeps one is proved by making one and dropping it, while the shop is open and its name is in the journal.
 */
#include <stdlib.h>

#include "thread.h"
#include "transaction_internal.h"

static enum error_kind journal_point(struct transaction_context *x, struct error *err)
{
    struct json *record = NULL;
    enum error_kind rc = txn_point_record(&x->txn, &record, err);

    if (!rc)
        rc = journal_append(&x->journal, record, err);
    json_free(record);
    return rc;
}

static void set(struct txn *t, bool has)
{
    t->has_point = t->database_in_place = t->database_later = has;
}

static enum error_kind do_without(struct transaction_context *x, const char *why, const struct progress *progress,
                                  struct error *err)
{
    enum error_kind rc = database_point_drop(x->reach.db, &x->txn.point, err);

    if (!rc)
        rc = txn_step(&x->journal, "no_point", err);
    if (!rc) {
        set(&x->txn, false);
        progress_note(progress, "the server keeps no snapshot of the database, so that it is copied: %s", why);
    }
    return rc;
}

enum error_kind stage_point_try(struct transaction_context *x, const struct progress *progress, struct error *err)
{
    struct error why = ERROR_INIT;
    enum error_kind rc = database_point_name(x->reach.db, x->txn.token, &x->txn.point.name, err);

    if (rc)
        return rc;
    progress_step(progress, "trying whether the server keeps snapshots of databases");
    rc = journal_point(x, err);
    if (rc)
        return rc;
    set(&x->txn, true);
    if (database_point_make(x->reach.db, &x->txn.point, &why) == OK)
        return database_point_drop(x->reach.db, &x->txn.point, err);
    if (why.kind == ERR_CANCELLED) {
        error_copy(err, &why);
        return ERR_CANCELLED;
    }
    return do_without(x, why.text, progress, err);
}

enum error_kind stage_point_make(struct transaction_context *x, const struct progress *progress, struct error *err)
{
    enum error_kind rc;

    progress_step(progress, "having the server keep a snapshot of the database");
    rc = database_point_make(x->reach.db, &x->txn.point, err);
    return rc ? rc : journal_point(x, err);
}

enum error_kind stage_point_back(struct transaction_context *x, const struct progress *progress, struct error *err)
{
    enum error_kind rc;

    if (x->txn.point_spent)
        return OK;
    if (x->txn.start_begun && !x->txn.taken) { /* P3 */
        error_set(err, ERR_PENDING, 0,
                  "what the new shop wrote into the database is not saved yet, and the catalogue %s can't be opened",
                  x->txn.catalog);
        return ERR_PENDING;
    }
    progress_step(progress, "going back to the server's snapshot of the database");
    rc = database_point_revert(x->reach.db, &x->txn.point, err);
    for (size_t i = 0; !rc && i < database_notes(x->reach.db)->count; i++)
        progress_warn(progress, "%s", database_notes(x->reach.db)->items[i]);
    if (!rc)
        rc = txn_step(&x->journal, "point_spent", err);
    if (!rc)
        x->txn.point_spent = true;
    return rc;
}
