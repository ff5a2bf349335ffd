/*
 * A restore point that the database's server keeps: an upgrade then changes the database where it is, and going back is the server's work (T8).
 * Gone back to once means that nobody goes back from what the old shop has taken in since. Where the server has lost it, a dump of before is loaded.
 *
 * Whether a server keeps one is proved by making one and dropping it, while the shop is open and its name is in the journal.
 */
#include <stdlib.h>
#include <string.h>

#include "transaction_internal.h"

#define SAVED_AGAIN_MAX 3

static enum error_kind journal_point(struct transaction_context *x, struct error *err)
{
    struct json *record = NULL;
    enum error_kind rc = txn_point_record(&x->txn, &record, err);

    if (!rc)
        rc = journal_append(&x->journal, record, err);
    json_free(record);
    return rc;
}

static enum error_kind do_without(struct transaction_context *x, const char *why, const struct progress *progress,
                                  struct error *err)
{
    enum error_kind rc = database_point_drop(x->reach.db, &x->txn.point, err);

    if (!rc)
        rc = txn_step(&x->journal, "no_point", err);
    if (!rc) {
        txn_set_point(&x->txn, false);
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
    txn_set_point(&x->txn, true);
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

/* ---- going back ---- */

static void tell_notes(const struct database *db, const struct progress *progress)
{
    for (size_t i = 0; i < database_notes(db)->count; i++)
        progress_warn(progress, "%s", database_notes(db)->items[i]);
}

enum error_kind stage_point_dump(struct transaction_context *x, struct snapshot_record *out, struct error *err)
{
    const char *const ids[] = {x->txn.safety, x->txn.target};

    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        struct error why = ERROR_INIT;

        if (!ids[i])
            continue;
        if (snapshot_find(x->cat, NULL, ids[i], out, &why) == OK && out->has_dump)
            return OK;
        snapshot_record_release(out);
        *out = (struct snapshot_record)SNAPSHOT_RECORD_INIT;
        if (why.kind && why.kind != ERR_NOT_FOUND && why.kind != ERR_CORRUPT) {
            error_copy(err, &why);
            return why.kind;
        }
    }
    return error_set(err, ERR_PENDING, 0, "the catalogue %s has no dump of the database of before", x->txn.catalog);
}

/* Before anything is put in its place, what is there is saved: but only what is the shop's. */
static enum error_kind save_found(struct transaction_context *x, const struct progress *progress, struct error *err)
{
    struct database_info info = DATABASE_INFO_INIT;
    enum error_kind rc = database_probe(x->reach.db, &info, err);

    if (!rc && info.exists && database_identity_differs(x->txn.database_identity, info.identity)) {
        rc = error_set(err, ERR_REFUSED, 0, "database %s is not the one that was being changed", x->txn.database_name);
        error_hint(err, "bring that one back under this name, or drop this one: then the dump of before is loaded");
    }
    if (!rc && info.exists)
        rc = switch_save_now(x, progress, err);
    database_info_release(&info);
    return rc;
}

static void tell_loss(const struct transaction_context *x, const char *why, const struct snapshot_record *from,
                      const struct progress *progress)
{
    bool whole = x->txn.safety && !strcmp(from->id, x->txn.safety);
    char when[TEXT_MAX];

    text_moment(from->made_ns, when);
    progress_warn(progress, "%s: the database of before is loaded from snapshot %.8s of %s%s", why, from->id, when,
                  whole ? "" : "; what came into it between then and the stop of the shop is not in that");
    if (x->txn.taken)
        progress_warn(progress, "the database as it was found is snapshot %.8s", x->txn.taken);
}

/* The server has nothing to go back to: a dump does it. Journaled, since a second run finds in the database what this one has put there. */
static enum error_kind load_instead(struct transaction_context *x, const char *why, const struct progress *progress,
                                    struct error *err)
{
    struct snapshot_record from = SNAPSHOT_RECORD_INIT;
    enum error_kind rc;

    if (!x->cat) {
        error_set(err, ERR_PENDING, 0, "%s, and the catalogue %s can't be opened", why, x->txn.catalog);
        error_hint(err, "the database of before is loaded from the catalogue: bring that back, then run recover again");
        return ERR_PENDING;
    }
    rc = stage_point_dump(x, &from, err);
    if (!rc && !x->txn.point_lost)
        rc = save_found(x, progress, err);
    if (!rc && !x->txn.point_lost)
        rc = txn_step(&x->journal, "point_lost", err);
    if (!rc) {
        x->txn.point_lost = true;
        tell_loss(x, why, &from, progress);
        rc = database_point_clear(x->reach.db, err);
    }
    if (!rc)
        rc = switch_load_in_place(x, &from, progress, err);
    snapshot_record_release(&from);
    return rc;
}

static enum error_kind go_back(struct transaction_context *x, const struct progress *progress, struct error *err)
{
    struct error why = ERROR_INIT;
    enum error_kind rc;

    if (x->txn.point_lost)
        return load_instead(x, "the server's snapshot of the database is lost", progress, err);
    rc = database_point_revert(x->reach.db, &x->txn.point, &why);
    if (rc == ERR_PENDING)
        return load_instead(x, why.text, progress, err);
    if (rc)
        error_copy(err, &why);
    else
        progress_note(progress,
                      "where the database has log backups their chain is broken by this: a full backup is due");
    return rc;
}

/* Is what the database holds now in the snapshot of it, as far as the numbers of rows tell? What is not there any more is. */
static enum error_kind taken_is_all(struct transaction_context *x, bool *out, struct error *err)
{
    struct snapshot_record taken = SNAPSHOT_RECORD_INIT;
    struct database_facts facts = DATABASE_FACTS_INIT;
    struct text_list differences = TEXT_LIST_INIT;
    struct error why = ERROR_INIT;
    enum error_kind rc = snapshot_find(x->cat, NULL, x->txn.taken, &taken, &why);

    if (!rc)
        rc = restore_database_facts(&taken, &facts, &why);
    *out = false;
    if (rc == ERR_NOT_FOUND || rc == ERR_CORRUPT) {
        rc = OK;
        goto done;
    }
    if (!rc)
        rc = database_point_clear(x->reach.db, &why);
    if (!rc)
        rc = database_compare(x->reach.db, NULL, &facts.counts, &differences, &why);
    *out = rc == ERR_NOT_FOUND || !differences.count;
    if (rc == ERR_NOT_FOUND)
        rc = OK;
done:
    if (rc)
        error_copy(err, &why);
    text_list_release(&differences);
    database_facts_release(&facts);
    snapshot_record_release(&taken);
    return rc;
}

/* P3. The one seat is taken only for going back: until then others, whom a stopped shop does not stop, may have written into it. */
static enum error_kind save_the_rest(struct transaction_context *x, const struct progress *progress, struct error *err)
{
    bool all = !x->cat || !x->txn.taken;
    enum error_kind rc = OK;

    for (int tries = 0; !rc && !all && tries <= SAVED_AGAIN_MAX; tries++) {
        rc = taken_is_all(x, &all, err);
        if (rc || all || tries == SAVED_AGAIN_MAX)
            break;
        progress_note(progress, "somebody has written into the database since it was saved: it is saved again");
        free(x->txn.taken);
        x->txn.taken = NULL;
        rc = switch_save_now(x, progress, err);
    }
    if (!rc && !all) {
        rc = error_set(err, ERR_PENDING, 0, "somebody goes on writing into the database: not all of it could be saved");
        error_hint(err, "end what writes there besides the shop, then run recover again");
    }
    return rc;
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
    if (!x->txn.point_begun) { /* else what is in it may be the old state by now, which is not what was taken away */
        rc = save_the_rest(x, progress, err);
        if (!rc)
            rc = txn_step(&x->journal, "point_begun", err);
        if (rc)
            return rc;
        x->txn.point_begun = true;
    }
    progress_step(progress, "going back to the server's snapshot of the database");
    rc = go_back(x, progress, err);
    if (!rc) {
        tell_notes(x->reach.db, progress);
        rc = txn_step(&x->journal, "point_spent", err);
    }
    if (!rc)
        x->txn.point_spent = true;
    return rc;
}
