/*
 * Looking without touching: is a transaction pending, what is kept?
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "thread.h"
#include "transaction_internal.h"
#include "walk.h"

#define JOURNAL_MAX (64u << 20)

#define WAIT_MS 10000
#define PAUSE_MS 100

/*
 * A free lock is taken and dropped at once: a journal under a free lock is pending. It is shared, so that two who look at
 * the same time don't take each other for a transaction.
 */
static enum error_kind lock_is_held(const struct place *p, bool *held, struct error *err)
{
    struct error why = ERROR_INIT;
    char *path = NULL;
    int fd = -1;
    enum error_kind rc = place_path(p, "lock", &path, err);

    *held = false;
    if (rc)
        return rc;
    rc = file_open(AT_FDCWD, path, O_RDONLY | O_NOFOLLOW, 0, &fd, &why);
    if (!rc) {
        *held = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
        file_close(&fd);
    } else if (rc != ERR_NOT_FOUND) {
        error_copy(err, &why);
    }
    free(path);
    return rc == ERR_NOT_FOUND ? OK : rc;
}

enum error_kind journal_look(const struct place *p, struct txn *out, struct error *err)
{
    struct buffer b = BUFFER_INIT(JOURNAL_MAX);
    char *path = NULL;
    uint64_t good = 0;
    enum error_kind rc = place_path(p, "journal", &path, err);

    if (!rc)
        rc = file_read_whole(AT_FDCWD, path, JOURNAL_MAX, &b, err);
    if (!rc)
        rc = journal_replay(b.data, b.len, txn_replay, out, &good, err);
    buffer_release(&b);
    free(path);
    return rc;
}

static const char *where_it_is(const struct txn *t)
{
    return t->start_begun    ? "starting the shop"
           : t->switch_begun ? "exchanging files or database"
           : t->fence_begun  ? "with the shop stopped"
                             : "preparing; the shop is not touched yet";
}

/* runs: somebody is at it */
static enum error_kind describe(const struct place *p, bool runs, char **out, struct error *err)
{
    struct txn t = TXN_INIT;
    char when[TEXT_MAX];
    enum error_kind rc = journal_look(p, &t, err);

    if (!rc) {
        text_moment(t.began_ns, when);
        rc = memory_format(out, err, "%s %.8s, begun %s, %s%s",
                           t.going_back         ? "rollback of the upgrade to"
                           : txn_is_upgrade(&t) ? "upgrade to"
                           : t.target           ? "rollback to snapshot"
                                                : "snapshot of the stopped shop",
                           txn_is_upgrade(&t) ? t.to_version
                           : t.target         ? t.target
                                              : "",
                           when,
                           runs                               ? "now "
                           : t.fence_begun && !t.switch_begun ? "interrupted "
                                                              : "interrupted while ",
                           where_it_is(&t));
    }
    txn_release(&t);
    return rc;
}

enum error_kind transaction_look(const char *site_path, enum transaction_state *out, char **detail, struct error *err)
{
    struct place p = PLACE_INIT;
    struct error why = ERROR_INIT;
    bool held = false;
    enum error_kind rc = place_find(site_path, &p, err);

    if (rc)
        return rc;
    if (detail)
        *detail = NULL;
    *out = TRANSACTION_NONE;
    if (place_has(&p, "journal")) {
        rc = lock_is_held(&p, &held, err);
        *out = held ? TRANSACTION_RUNNING : TRANSACTION_PENDING;
        if (!rc && detail)
            rc = describe(&p, held, detail, &why);
        if (why.kind == ERR_NOT_FOUND) { /* it has ended since */
            *out = TRANSACTION_NONE;
            rc = OK;
        } else if (why.kind) {
            error_copy(err, &why);
        }
    }
    place_release(&p);
    return rc;
}

/* A transaction that runs is waited for to a deadline (design, "Running or dead?"). */
static enum error_kind look_until_still(const char *site_path, enum transaction_state *state, char **detail,
                                        struct error *err)
{
    int64_t deadline = clock_monotonic_ms() + WAIT_MS;
    enum error_kind rc;

    for (;;) {
        rc = transaction_look(site_path, state, detail, err);
        if (rc || *state != TRANSACTION_RUNNING || clock_monotonic_ms() >= deadline)
            return rc;
        free(*detail);
        *detail = NULL;
        nanosleep(&(struct timespec){0, PAUSE_MS * 1000000L}, NULL);
        rc = cancel_check(err);
        if (rc)
            return rc;
    }
}

enum error_kind transaction_refuse_pending(const char *site_path, struct error *err)
{
    enum transaction_state state = TRANSACTION_NONE;
    char *detail = NULL;
    enum error_kind rc = look_until_still(site_path, &state, &detail, err);

    if (!rc && state == TRANSACTION_RUNNING) {
        rc = error_set(err, ERR_BUSY, 0, "a transaction is running at %s", site_path);
        error_hint(err, "wait for it to end, then try again");
    } else if (!rc && state == TRANSACTION_PENDING) {
        rc = error_set(err, ERR_PENDING, 0, "an unfinished transaction at %s: %s", site_path, detail ? detail : "?");
        error_hint(err, "nopsnap recover %s", site_path);
    }
    free(detail);
    return rc;
}

enum error_kind transaction_refuse_mark(const char *site_path, struct error *err)
{
    struct error why = ERROR_INIT;
    struct place p = PLACE_INIT;
    enum error_kind rc = place_find(site_path, &p, &why);

    if (rc == ERR_NOT_FOUND)
        return OK; /* not even its parent is there */
    if (rc)
        error_copy(err, &why);
    else
        rc = transaction_refuse_pending(site_path, err);
    place_release(&p);
    return rc;
}

int64_t transaction_changed_ns(const char *site_path)
{
    struct error ignored = ERROR_INIT;
    struct place p = PLACE_INIT;
    int64_t changed = 0;

    if (place_choose(site_path, false, &p, &ignored) == OK)
        changed = place_changed_ns(&p);
    place_release(&p);
    return changed;
}

enum error_kind transaction_refuse_since(const char *site_path, int64_t seen_ns, struct error *err)
{
    struct place p = PLACE_INIT;
    enum error_kind rc = transaction_refuse_pending(site_path, err);

    if (rc || transaction_changed_ns(site_path) == seen_ns)
        return rc;
    rc = place_find(site_path, &p, err);
    if (!rc)
        rc = place_refuse_stale(&p, err);
    place_release(&p);
    return rc;
}

void kept_state_release(struct kept_state *k)
{
    free(k->tree);
    free(k->database);
    free(k->snapshot);
    free(k->from_version);
    free(k->to_version);
    *k = (struct kept_state){.exists = false};
}

/* What comes free when a folder goes. It may be going just now: what can't be seen does not count. */
static uint64_t room_of(const char *folder)
{
    struct error ignored = ERROR_INIT;
    struct walk *walk = NULL;
    struct walk_item item;
    uint64_t blocks = 0;

    if (walk_open(folder, NULL, &walk, &ignored))
        return 0;
    while (!walk_next(walk, &item, &ignored) && item.event != WALK_END)
        if (item.event == WALK_ENTER || (item.event == WALK_ENTRY && item.st.st_nlink == 1))
            blocks += (uint64_t)item.st.st_blocks;
    walk_close(walk);
    return blocks * 512;
}

enum error_kind kept_look(const char *site_path, struct kept_state *out, struct error *err)
{
    struct error why = ERROR_INIT;
    struct place p = PLACE_INIT;
    struct kept k = {.txn = TXN_INIT};
    enum error_kind rc = place_find(site_path, &p, err);

    *out = (struct kept_state){.exists = false};
    if (rc)
        return rc;
    rc = kept_read(&p, &k, &why);
    if (rc == ERR_NOT_FOUND) {
        rc = OK;
        goto done;
    }
    if (rc) {
        error_copy(err, &why);
        goto done;
    }
    out->exists = true;
    out->since_ns = k.since_ns;
    if (kept_in_trial(&k))
        out->trial_end_ns = kept_trial_end_ns(&k);
    if (txn_is_upgrade(&k.txn))
        rc = memory_string(k.txn.to_version, &out->to_version, err);
    if (!rc && k.txn.from_version)
        rc = memory_string(k.txn.from_version, &out->from_version, err);
    if (!rc && k.txn.has_files && k.txn.stage) {
        rc = memory_string(k.txn.stage, &out->tree, err);
        out->bytes = room_of(k.txn.stage);
        for (size_t i = 0; i < k.txn.area_count; i++)
            out->bytes += room_of(k.txn.areas[i].folder);
    }
    if (!rc && (k.txn.has_swap || k.txn.has_point))
        rc = memory_string(kept_database(&k), &out->database, err);
    if (!rc && k.snapshot)
        rc = memory_string(k.snapshot, &out->snapshot, err);
done:
    kept_release(&k);
    place_release(&p);
    return rc;
}
