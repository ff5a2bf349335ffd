/*
 * Which state a rollback goes to (design, "rollback SITE"): what the last upgrade or rollback took away, unless the shop was saved since its end; else the
 * newest whole unflagged snapshot. In the "unless" case both are shown and the owner chooses. So they are where a newer one is of the future: that may
 * be the wrong one, or the clock of today.
 *
 * A flagged snapshot is no target, but it too says that the shop lived on: whoever goes back then means its breakage of today, and not to undo.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "retention.h"
#include "transaction_internal.h"

struct candidates {
    char taken[33]; /* the newest of what a transaction took away: a safety snapshot, an upgrade's restore point */
    int64_t taken_ns, taken_end_ns;
    enum snapshot_part taken_part;
    bool taken_by_upgrade;
    char taken_only[16];
    char whole[33]; /* the newest whole unflagged one that is no safety snapshot */
    int64_t whole_ns;
    char ahead[33]; /* one like it, but of the future (retention.h); the newest */
    int64_t ahead_ns;
    char flagged[33]; /* the newest that is, of any part */
    int64_t flagged_ns;
    int64_t now_ns;
};

static enum error_kind consider(void *arg, const struct snapshot_record *r, struct error *err)
{
    struct candidates *c = arg;

    (void)err;
    if ((r->kind == SNAPSHOT_SAFETY || r->kind == SNAPSHOT_BEFORE_UPGRADE) && r->transaction) {
        if (!c->taken[0] || r->to_ns > c->taken_end_ns) {
            memcpy(c->taken, r->id, sizeof(c->taken));
            c->taken_ns = r->made_ns;
            c->taken_end_ns = r->to_ns;
            c->taken_part = r->part;
            c->taken_by_upgrade = r->kind == SNAPSHOT_BEFORE_UPGRADE;
            (void)snprintf(c->taken_only, sizeof(c->taken_only), "%s", r->transaction_only ? r->transaction_only : "");
        }
    } else if (r->kind != SNAPSHOT_SAFETY && r->part == SNAPSHOT_WHOLE && !r->suspicious) {
        bool good = !snapshot_is_of_future(r->made_ns, c->now_ns);
        char *id = good ? c->whole : c->ahead;
        int64_t *ns = good ? &c->whole_ns : &c->ahead_ns;

        if (id[0] && r->made_ns <= *ns)
            return OK;
        memcpy(id, r->id, sizeof(c->whole));
        *ns = r->made_ns;
    } else if (r->kind != SNAPSHOT_SAFETY && r->suspicious && !snapshot_is_of_future(r->made_ns, c->now_ns) &&
               (!c->flagged[0] || r->made_ns > c->flagged_ns)) {
        memcpy(c->flagged, r->id, sizeof(c->flagged));
        c->flagged_ns = r->made_ns;
    }
    return OK;
}

static enum error_kind nothing_there(struct catalog *cat, const struct site *site, struct error *err)
{
    enum error_kind rc =
        error_set(err, ERR_NOT_FOUND, 0, "no whole snapshot of %s in %s", site->path, catalog_path(cat));

    error_hint(err, "nopsnap list shows what there is; a partial one needs --to ID --only files|database");
    return rc;
}

static enum error_kind name_one(const char *id, int64_t made_ns, const char *what, char **list, struct error *err)
{
    char *before = *list;
    char when[TEXT_MAX];
    enum error_kind rc;

    text_moment(made_ns, when);
    *list = NULL;
    rc = memory_format(list, err, "%s%s%.8s of %s: %s", before ? before : "", before ? "; " : "", id, when, what);
    free(before);
    return rc;
}

static const char *what_was_taken(const struct candidates *c)
{
    return c->taken_by_upgrade ? "before the last upgrade" : "what the last rollback took away";
}

/* Every other one that may be meant. */
static enum error_kind tell_others(const struct candidates *c, const char *chosen, struct rollback_plan *plan,
                                   struct error *err)
{
    char **list = &plan->other_candidate;
    enum error_kind rc = OK;

    if (c->taken[0] && chosen != c->taken)
        rc = name_one(c->taken, c->taken_ns, what_was_taken(c), list, err);
    if (!rc && c->ahead[0] && chosen != c->ahead)
        rc = name_one(c->ahead, c->ahead_ns, "its date lies in the future", list, err);
    if (!rc && c->flagged[0] && c->taken[0] && c->flagged_ns > c->taken_end_ns)
        rc = name_one(c->flagged, c->flagged_ns, "flagged", list, err);
    return rc;
}

static enum error_kind choose(struct catalog *cat, const struct site *site, const char *site_id,
                              struct rollback_plan *plan, struct error *err)
{
    struct candidates c = {.taken = "", .now_ns = clock_now()};
    bool lived_on;
    const char *id;
    enum error_kind rc = snapshot_each(cat, site_id, consider, &c, err);

    if (rc)
        return rc;
    if (!c.taken[0] && !c.whole[0] && !c.ahead[0])
        return nothing_there(cat, site, err);
    lived_on =
        c.taken[0] && ((c.whole[0] && c.whole_ns > c.taken_end_ns) || (c.flagged[0] && c.flagged_ns > c.taken_end_ns));
    id = c.whole[0] && (lived_on || !c.taken[0]) ? c.whole : c.taken[0] ? c.taken : c.ahead;
    plan->needs_choice = lived_on || (c.ahead[0] && id != c.ahead);
    rc = snapshot_find(cat, site_id, id, &plan->target, err);
    if (!rc && plan->needs_choice)
        rc = tell_others(&c, id, plan, err);
    if (!rc)
        rc = memory_string(id == c.taken ? what_was_taken(&c) : "the newest whole snapshot", &plan->why_target, err);
    return rc;
}

/*
 * The rules of the state that is gone back to, whatever is left of the tree: what the target left out for the owner's patterns of that day
 * is not in it, so it moves across as what today's patterns name does (P8). That day's come last: where the two disagree, whether the target has
 * a path decides.
 */
enum error_kind target_rules(struct site *site, const struct snapshot_record *target, struct error *err)
{
    enum error_kind rc = OK;

    if (target->nop_layout)
        rc = site_assume(site, target->nop_layout, target->nop_version, err);
    return rc ? rc : site_patterns_add(site, &target->patterns, err);
}

static enum error_kind refuse_partial(const struct snapshot_record *r, struct error *err)
{
    const char *part = r->part == SNAPSHOT_FILES_ONLY ? "files" : "database";
    enum error_kind rc = error_set(err, ERR_REFUSED, 0, "snapshot %.8s is partial: it holds only the %s", r->id, part);

    error_hint(err, "go back to that part alone with --only %s", part);
    return rc;
}

static enum error_kind check_host(const struct site *site, const char *site_id, const struct rollback_options *o,
                                  const struct snapshot_record *r, struct error *err)
{
    enum error_kind rc;

    if (r->site_id && !strcmp(r->site_id, site_id))
        return OK;
    if (o->other_host)
        return OK;
    rc = error_set(err, ERR_REFUSED, 0, "snapshot %.8s is of %s on %s, not of %s on this host", r->id,
                   r->site_path ? r->site_path : "?", r->host ? r->host : "?", site->path);
    error_hint(err, "say --other-host if that is meant");
    return rc;
}

enum error_kind rollback_target(struct catalog *cat, const struct site *site, const char *site_id,
                                const struct rollback_options *o, struct rollback_plan *plan, struct error *err)
{
    enum snapshot_part only = o->only;
    enum error_kind rc;

    if (o->to) {
        /* by its id any other may be meant, by "latest" this site's own */
        rc = snapshot_find(cat, strcmp(o->to, "latest") ? NULL : site_id, o->to, &plan->target, err);
        if (!rc)
            rc = memory_string("named by --to", &plan->why_target, err);
    } else {
        rc = choose(cat, site, site_id, plan, err);
        if (!rc && only == SNAPSHOT_WHOLE && plan->target.kind == SNAPSHOT_SAFETY)
            only = plan->target.part; /* what was taken away in part comes back in part */
    }
    if (!rc)
        rc = check_host(site, site_id, o, &plan->target, err);
    if (!rc && plan->target.part != SNAPSHOT_WHOLE && only != plan->target.part)
        rc = refuse_partial(&plan->target, err);
    if (rc)
        return rc;
    plan->files = only != SNAPSHOT_DATABASE_ONLY && plan->target.root_count > 0;
    plan->database = only != SNAPSHOT_FILES_ONLY && plan->target.has_dump;
    if (!plan->files && !plan->database) {
        rc = error_set(err, ERR_REFUSED, 0, "snapshot %.8s holds nothing of what --only asks for", plan->target.id);
        error_hint(err, "nopsnap show %.8s", plan->target.id);
    }
    return rc;
}
