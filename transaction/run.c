/*
 * What every transaction that builds a new state does, wherever that comes from: its beginning, the record of a step, its undoing when something
 * fails, and the end.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "thread.h"
#include "transaction_internal.h"

#define LOCK_TIMEOUT_MS 10000
#define RECONNECT_TIMEOUT_MS 60000

static enum error_kind add_area(struct txn *t, const char *root_name, const char *prefix, const char *live,
                                const char *folder_parent, const char *folder_name, struct error *err)
{
    struct area *grown = realloc(t->areas, (t->area_count + 1) * sizeof(*grown));
    struct area *a;
    enum error_kind rc;

    if (!grown)
        return error_set(err, ERR_MEMORY, 0, "out of memory");
    t->areas = grown;
    a = &t->areas[t->area_count++];
    *a = (struct area){NULL, NULL, NULL, NULL};
    rc = memory_string(root_name, &a->root_name, err);
    if (!rc)
        rc = memory_string(prefix, &a->prefix, err);
    if (!rc)
        rc = memory_string(live, &a->live, err);
    if (!rc)
        rc = memory_format(&a->folder, err, "%s/%s/tx-%s", folder_parent, folder_name, t->token);
    return rc;
}

/* Each mount below the root is staged on itself. */
static enum error_kind mount_areas(struct transaction_context *x, struct error *err)
{
    struct text_list mounts = TEXT_LIST_INIT;
    size_t n = strlen(x->txn.site_path);
    enum error_kind rc = mounts_below(x->txn.site_path, &mounts, err);

    for (size_t i = 0; i < mounts.count && !rc; i++)
        if (mounts.items[i][n] == '/' && !site_leaves_out_below(x->site, mounts.items[i] + n + 1))
            rc = add_area(&x->txn, "site", mounts.items[i] + n + 1, x->txn.site_path, mounts.items[i], ".nopsnap", err);
    text_list_release(&mounts);
    return rc;
}

/* Pictures at an absolute path outside the site are staged beside that path. */
static enum error_kind outside_areas(struct transaction_context *x, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 1; i < x->target.root_count && !rc; i++) {
        const struct snapshot_root *root = &x->target.roots[i];
        char *parent = NULL;
        char *name = NULL;

        rc = path_parent(root->path, &parent, err);
        if (!rc)
            rc = memory_format(&name, err, ".nopsnap-%s", path_base(root->path));
        if (!rc)
            rc = add_area(&x->txn, root->name, "", root->path, parent, name, err);
        x->txn.split = true;
        free(parent);
        free(name);
    }
    return rc;
}

/*
 * Another transaction between the plan and our lock: what was shown no longer holds, and the session with the database may have been
 * ended by that one's fence.
 */
static enum error_kind refuse_stale(const struct transaction_context *x, struct error *err)
{
    enum error_kind rc =
        error_set(err, ERR_BUSY, 0, "another transaction at %s went first: the plan no longer holds", x->txn.site_path);

    error_hint(err, "nothing was changed by this one; look again: nopsnap %s %s --dry-run",
               x->steps ? "upgrade" : "rollback", x->txn.site_path);
    return rc;
}

static enum error_kind lock_place(struct transaction_context *x, struct error *err)
{
    int64_t seen = x->place.seen_ns;
    bool changed = false;
    enum error_kind rc;

    rc = place_make(&x->place, err);
    if (!rc)
        rc = place_lock_since(&x->place, seen, LOCK_TIMEOUT_MS, &changed, err);
    if (!rc && (seen ? changed : !x->place.made) && !place_has(&x->place, "journal"))
        rc = refuse_stale(x, err);
    return rc;
}

enum error_kind run_begin(struct transaction_context *x, const struct progress *progress, struct error *err)
{
    struct json *record = NULL;
    char site_id[17];
    enum error_kind rc;

    progress_step(progress, "beginning");
    rc = lock_place(x, err);
    if (!rc && place_has(&x->place, "journal")) {
        rc = error_set(err, ERR_PENDING, 0, "an unfinished transaction at %s", x->txn.site_path);
        error_hint(err, "nopsnap recover %s", x->txn.site_path);
    }
    if (!rc && place_has(&x->place, "kept")) {
        rc = error_set(err, ERR_REFUSED, 0, "what the last transaction took away is not saved, in %s", x->place.folder);
        error_hint(err, "nopsnap snapshot %s saves it first", x->txn.site_path);
    }
    if (!rc)
        rc = catalog_site_id(x->cat, x->txn.site_path, site_id, err);
    if (!rc)
        rc = catalog_site_lock(x->cat, site_id, true, LOCK_TIMEOUT_MS, &x->site_lock, err);
    if (!rc)
        rc = memory_format(&x->txn.stage, err, "%s/tx-%s", x->place.folder, x->txn.token);
    if (!rc && x->txn.has_files)
        rc = mount_areas(x, err);
    if (!rc && x->txn.has_files && !x->steps) /* an upgrade leaves pictures outside the site where they are */
        rc = outside_areas(x, err);
    if (!rc && x->txn.has_files)
        rc = site_rules_list(x->site, &x->txn.rules, err);
    x->txn.began_ns = clock_now();
    if (!rc)
        rc = txn_begin_record(&x->txn, &record, err);
    if (!rc)
        rc = journal_create(&x->journal, &x->place, record, err);
    json_free(record);
    return rc;
}

enum error_kind run_step(struct transaction_context *x, const char *name, bool *flag, struct error *err)
{
    enum error_kind rc = cancel_check(err);

    if (!rc)
        rc = txn_step(&x->journal, name, err);
    if (!rc)
        *flag = true;
    return rc;
}

enum error_kind run_note_units(struct transaction_context *x, struct error *err)
{
    struct json *record = NULL;
    enum error_kind rc;

    if (!x->txn.has_files)
        return OK;
    rc = units_build(&x->txn, &x->place, x->site, &x->txn.units, err); /* mounts are looked at again, just before */
    if (!rc)
        rc = units_identify(&x->txn.units, err);
    if (!rc)
        rc = txn_units_record(&x->txn, &record, err);
    if (!rc)
        rc = journal_append(&x->journal, record, err);
    json_free(record);
    return rc;
}

static bool session_lives(struct transaction_context *x)
{
    struct text_list sessions = TEXT_LIST_INIT;
    struct error ignored = ERROR_INIT;
    bool lives = x->reach.db && database_sessions(x->reach.db, NULL, &sessions, &ignored) == OK;

    text_list_release(&sessions);
    return lives;
}

/*
 * A database server that was restarted has ended our session, and without one there is no undoing. The shop is down meanwhile, so the server
 * is waited for; false when the session was not what the undo failed for, or the server does not come back in time.
 */
static bool reached_again(struct transaction_context *x, const struct progress *progress)
{
    int64_t deadline = clock_monotonic_ms() + RECONNECT_TIMEOUT_MS;

    if (!x->txn.has_database || session_lives(x))
        return false;
    progress_step(progress, "waiting for the database's server");
    do {
        struct error why = ERROR_INIT;

        reach_release(&x->reach);
        if (reach_for_txn(&x->reach, x->cat, x->site, &x->txn, &x->target, &why) == OK)
            return true;
        nanosleep(&(struct timespec){0, 500000000}, NULL);
    } while (clock_monotonic_ms() < deadline);
    return false;
}

static enum error_kind undo_and_again(struct transaction_context *x, const struct progress *progress, struct error *err)
{
    struct error why = ERROR_INIT;
    enum error_kind rc = switch_undo(x, progress, &why);

    if (rc && reached_again(x, progress)) {
        error_clear(&why);
        rc = database_end_own_sessions(x->reach.db, &why);
        if (!rc)
            rc = switch_undo(x, progress, &why);
    }
    if (rc)
        error_copy(err, &why);
    return rc;
}

/* Undo, and say in `err` why: the first failure, with what became of it. */
enum error_kind run_give_up(struct transaction_context *x, const struct progress *progress,
                            struct transaction_result *out, struct error *err)
{
    struct error undo = ERROR_INIT;
    enum error_kind why = err->kind;
    enum error_kind undone;

    cancel_defer(true); /* a second Ctrl-C must not leave the shop down */
    undone = undo_and_again(x, progress, &undo);
    cancel_defer(false);
    if (undone == OK) {
        out->outcome = OUTCOME_UNDONE;
        if (x->txn.fence_begun)
            health_tell(x, progress, out);
        return why;
    }
    out->outcome = OUTCOME_HANDS;
    progress_warn(progress, "first: %s", err->text);
    error_clear(err);
    error_copy(err, &undo);
    err->kind = ERR_PENDING;
    error_hint(err, "mend what the message names, then: nopsnap recover %s", x->txn.site_path);
    return ERR_PENDING;
}

void run_note_times(struct transaction_context *x, struct transaction_result *out)
{
    int64_t now = clock_monotonic_ms();

    out->back_ms = (uint64_t)(now - x->began_ms);
    if (x->stopped_ms && x->started_ms > x->stopped_ms)
        out->down_ms = (uint64_t)(x->started_ms - x->stopped_ms);
}

/* The lock on the journal is held until here; saving what was taken away takes it again. */
void run_save_taken(struct transaction_context *x, const struct progress *progress, struct transaction_result *out)
{
    struct error err = ERROR_INIT;

    file_lock_drop(&x->place.lock);
    if (kept_clear(x->cat, x->site, false, progress, NULL, out, &err) != OK)
        progress_warn(progress, "%s", err.text);
}
