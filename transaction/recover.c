/*
 * Recovery: finish or undo what was interrupted, and nothing else. It reads the decision, then ensures that side (T2, T3, T4).
 *
 * The catalogue may be out of reach on the night that it matters: going back needs it only where a linked file was rewritten or
 * the database was being changed in place, so its absence is an error only then.
 */
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "thread.h"
#include "transaction_internal.h"

#define LOCK_TIMEOUT_MS 10000

struct recovery {
    struct transaction_context x;
    struct catalog *catalog;
    struct site site;
    const struct config *config;
};

static void recovery_release(struct recovery *r)
{
    transaction_context_release(&r->x);
    site_release(&r->site);
    catalog_close(r->catalog);
}

static enum error_kind open_catalog(struct recovery *r, const struct progress *progress, struct error *err)
{
    struct error why = ERROR_INIT;
    char id[33];

    if (catalog_open(r->x.txn.catalog, CATALOG_WRITE, LOCK_TIMEOUT_MS, &r->catalog, &why) == OK)
        r->x.cat = r->catalog;
    if (why.kind == ERR_BUSY) { /* it is there, and will be free: nothing has to be done without it */
        error_copy(err, &why);
        return ERR_BUSY;
    }
    if (!r->x.cat) {
        progress_warn(progress, "going on without the catalogue: %s", why.text);
        return OK;
    }
    hex_encode(catalog_format(r->x.cat)->catalogue, 16, id);
    if (r->x.txn.catalog_id && strcmp(id, r->x.txn.catalog_id) != 0)
        return error_set(err, ERR_PENDING, 0, "%s is not the catalogue of this transaction (%s)",
                         catalog_path(r->x.cat), r->x.txn.catalog);
    if (!r->x.txn.target || snapshot_find(r->x.cat, NULL, r->x.txn.target, &r->x.target, &why) == OK)
        return OK;
    if (why.kind == ERR_NOT_FOUND ||
        why.kind == ERR_CORRUPT) { /* going back may well not need it; what does, says so */
        progress_warn(progress, "snapshot %.8s, %s, is %s", r->x.txn.target,
                      txn_is_upgrade(&r->x.txn) ? "of before the upgrade" : "to which the rollback went",
                      why.kind == ERR_NOT_FOUND ? "gone" : "damaged");
        return OK;
    }
    error_copy(err, &why);
    return err->kind;
}

/*
 * The owner may have mended a command in the config since: today's count. The unit stays the journal's, since its drop-in does.
 */
static enum error_kind take_commands(struct txn *t, const struct site_config *c, struct error *err)
{
    const char *const from[] = {c->stop, c->start, c->open, c->close, c->url, c->database_admin};
    char **const to[] = {&t->stop, &t->start, &t->open, &t->close, &t->url, &t->database_admin};
    enum error_kind rc = OK;

    for (size_t i = 0; i < sizeof(from) / sizeof(from[0]) && !rc; i++) {
        char *copy = NULL;

        if (!from[i])
            continue;
        rc = memory_string(from[i], &copy, err);
        if (rc)
            break;
        free(*to[i]);
        *to[i] = copy;
    }
    return rc;
}

/*
 * What crossed the exchange goes back by the rules by which it crossed, which the journal has: today's config and command line,
 * or what is left of the tree, may say something else (P8).
 */
static enum error_kind inspect(struct recovery *r, struct error *err)
{
    const struct site_config *c = config_find(r->config, r->x.txn.site_path);
    enum error_kind rc = c ? take_commands(&r->x.txn, c, err) : OK;

    if (!rc)
        rc = site_inspect_loose(r->x.txn.site_path, c, &r->site, err);
    if (!rc && r->x.txn.rules.count)
        rc = site_rules_take(&r->site, &r->x.txn.rules, err);
    r->x.site = &r->site;
    return rc;
}

static enum error_kind reach(struct recovery *r, const struct progress *progress, struct error *err)
{
    struct txn *t = &r->x.txn;
    enum error_kind rc;

    if (!t->has_database || !(t->load_begun || t->has_swap || t->database_in_place))
        return OK;
    rc = reach_for_txn(&r->x.reach, r->x.cat, &r->site, t, &r->x.target, err);
    if (!rc && r->x.target.has_dump)
        rc = restore_database_facts(&r->x.target, &r->x.facts, err);
    r->x.has_facts = !rc;
    if (!rc && r->x.reach.without)
        progress_warn(progress, "%s", r->x.reach.without);
    if (!rc)
        rc = database_end_own_sessions(r->x.reach.db, err);
    return rc;
}

static enum error_kind open_linked(struct recovery *r, struct error *err)
{
    struct error why = ERROR_INIT;
    char *path = NULL;
    enum error_kind rc;

    if (!r->x.txn.stage)
        return OK;
    rc = path_join(r->x.txn.stage, "linked", &path, err);
    if (!rc && linked_open(path, &r->x.linked, &why) != OK && r->x.txn.switch_begun) {
        error_copy(err, &why); /* before the switch a torn record of links is the crash's own doing */
        rc = err->kind;
    }
    free(path);
    return rc;
}

static enum error_kind new_is_live(struct recovery *r, bool *out, struct error *err)
{
    enum database_side side = DATABASE_NEW;
    enum error_kind rc = units_are(&r->x.txn.units, true, out, err);

    if (!rc && *out && r->x.txn.has_swap)
        rc = database_swap_side(r->x.reach.db, &r->x.txn.swap, &side, err);
    *out = *out && side == DATABASE_NEW;
    return rc;
}

/* An owner's start command may not bear being run twice; a unit's start does. */
static bool shop_runs(struct recovery *r)
{
    const char *const roots[] = {r->x.txn.site_path};
    struct text_list busy = TEXT_LIST_INIT;
    struct error ignored = ERROR_INIT;
    bool runs;

    if (!r->x.txn.start || r->x.txn.service)
        return false;
    runs = quiet_processes(roots, 1, &busy, NULL, &ignored) == OK && busy.count;
    text_list_release(&busy);
    return runs;
}

/*
 * The decision came after the start, so the new side is live; but a server that lies about its syncs may have lost the exchange,
 * so that is looked at, not believed.
 */
static enum error_kind forward(struct recovery *r, const struct progress *progress, struct error *err)
{
    bool there = false;
    enum error_kind rc = new_is_live(r, &there, err);

    if (!rc && !there)
        rc = switch_stop(&r->x, true, progress, err);
    if (!rc && !there)
        rc = switch_to(&r->x, true, progress, err);
    if (!rc && there && shop_runs(r))
        rc = r->x.txn.has_swap ? database_unfence(r->x.reach.db, &r->x.txn.swap, err) : OK;
    else if (!rc)
        rc = switch_start(&r->x, false, progress, err);
    if (!rc)
        rc = switch_end(&r->x, true, err);
    return rc;
}

static enum error_kind go(struct recovery *r, const struct progress *progress, struct transaction_result *out,
                          struct error *err)
{
    enum decision d = DECISION_NONE;
    enum error_kind rc = decision_read(&r->x.place, r->x.txn.token, &d, err);

    if (!rc)
        rc = fence_init(&r->x.fence, &r->x.place, &r->x.txn, err);
    if (!rc)
        rc = open_linked(r, err);
    if (rc)
        return rc;
    rc = d == DECISION_COMMIT ? forward(r, progress, err) : switch_undo(&r->x, progress, err);
    if (rc)
        return rc;
    out->outcome = d == DECISION_COMMIT ? OUTCOME_DONE : OUTCOME_UNDONE;
    if (d == DECISION_COMMIT || !place_has(&r->x.place, "kept")) /* else when that goes */
        marks_tidy(r->x.cat, &r->x.txn, d != DECISION_COMMIT, progress);
    if (r->x.txn.fence_begun)
        health_tell(&r->x, progress, out);
    return OK;
}

static enum error_kind take_site_lock(struct recovery *r, struct error *err)
{
    char site_id[17];
    enum error_kind rc;

    if (!r->x.cat)
        return OK;
    rc = catalog_site_id(r->x.cat, r->x.txn.site_path, site_id, err);
    if (!rc)
        rc = catalog_site_lock(r->x.cat, site_id, true, LOCK_TIMEOUT_MS, &r->x.site_lock, err);
    return rc;
}

static enum error_kind recover_locked(struct recovery *r, const struct progress *progress,
                                      struct transaction_result *out, struct error *err)
{
    enum error_kind rc = journal_open(&r->x.journal, &r->x.place, txn_replay, &r->x.txn, err);

    if (!rc)
        rc = memory_string(r->x.txn.token, &out->transaction, err);
    if (!rc)
        rc = open_catalog(r, progress, err);
    if (!rc)
        rc = take_site_lock(r, err);
    if (!rc)
        rc = inspect(r, err);
    if (!rc)
        rc = reach(r, progress, err);
    if (!rc)
        rc = go(r, progress, out, err);
    return rc;
}

static enum error_kind needs_hands(const char *site_path, struct transaction_result *out, struct error *err)
{
    out->outcome = OUTCOME_HANDS;
    error_context(err, "recovering %s", site_path);
    if (err->kind == ERR_BUSY)
        return ERR_BUSY; /* somebody is at it */
    err->kind = ERR_PENDING;
    error_hint(err, "mend what the message names, then run nopsnap recover %s again; it may be run any number of times",
               site_path);
    return ERR_PENDING;
}

enum error_kind recover_run(const char *site_path, const struct config *config, const struct progress *progress,
                            struct transaction_result *out, struct error *err)
{
    struct recovery r = {.x = {.place = PLACE_INIT,
                               .journal = JOURNAL_INIT,
                               .txn = TXN_INIT,
                               .facts = DATABASE_FACTS_INIT,
                               .reach = REACH_INIT},
                         .site = SITE_INIT,
                         .config = config};
    enum error_kind rc;

    *out = (struct transaction_result){.outcome = OUTCOME_NOTHING};
    rc = place_find(site_path, &r.x.place, err);
    if (rc || !place_has(&r.x.place, "journal"))
        goto done;
    rc = place_lock(&r.x.place, LOCK_TIMEOUT_MS, err);
    if (!rc && !place_has(&r.x.place, "journal")) {
        rc = journal_tidy(&r.x.place, err); /* whoever held the lock has finished */
        goto done;
    }
    if (!rc)
        rc = recover_locked(&r, progress, out, err);
    if (rc)
        rc = needs_hands(site_path, out, err);
done:
    recovery_release(&r);
    return rc;
}
