/*
 * Preflight (P12): everything that can say no is asked before the first change, and all problems are listed at once.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "transaction_internal.h"

/* The worst case: nothing can be linked, and what is taken away is new to the catalogue. */
static enum error_kind check_space(struct transaction_context *x, struct rollback_plan *plan, struct error *err)
{
    const struct snapshot_root *root = &plan->target.roots[0];
    uint64_t stage = plan->files ? root->bytes + root->files * SPACE_PER_FILE : 0;
    enum error_kind rc = OK;

    if (plan->files && x->site->exists) /* linked files take no room: the difference does */
        stage = plan->bytes_to_write + root->files * 256;
    if (plan->files)
        rc = need_space(x->place.parent, "the new tree", stage + SPACE_MARGIN, &plan->preflight, err);
    if (!rc)
        rc = need_space(catalog_path(x->cat), "the snapshot of what is taken away",
                        plan->bytes_to_write + plan->target.dump_bytes / 2 + SPACE_MARGIN, &plan->preflight, err);
    return rc;
}

static bool same_but_for_time(const char *a, const char *b)
{
    const char *end = strstr(a, ", idle for ");
    size_t n = end ? (size_t)(end - a) + strlen(", idle for ") : strlen(a) + 1;

    return !strncmp(a, b, n);
}

/* A pool's sessions are alike: one line for all of them. */
static enum error_kind say_sessions(const struct text_list *sessions, struct preflight *p, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; i < sessions->count && !rc; i++) {
        size_t first = 0;
        size_t alike = 0;

        while (!same_but_for_time(sessions->items[i], sessions->items[first]))
            first++;
        for (size_t j = first; j < sessions->count; j++)
            alike += same_but_for_time(sessions->items[i], sessions->items[j]);
        if (first < i)
            continue;
        rc = alike > 1 ? text_list_addf(&p->remarks, err, "in the database now: %s, and %zu like it",
                                        sessions->items[i], alike - 1)
                       : text_list_addf(&p->remarks, err, "in the database now: %s", sessions->items[i]);
    }
    return rc;
}

static enum error_kind check_database(struct transaction_context *x, struct rollback_plan *plan, struct error *err)
{
    struct text_list sessions = TEXT_LIST_INIT;
    enum error_kind rc = OK;

    if (!plan->database)
        return OK;
    rc = database_sessions(x->reach.db, NULL, &sessions, err);
    if (!rc)
        rc = say_sessions(&sessions, &plan->preflight, err);
    if (!rc && plan->login_fails && !x->keep_string)
        rc = text_list_addf(&plan->preflight.problems, err,
                            "the restored settings can't log in to the database (a password changed since?): say "
                            "--keep-connection to carry today's connection over");
    text_list_release(&sessions);
    return rc;
}

/* ---- mounts ---- */

/*
 * What lies on a mount can be staged nowhere else, also where it is served: an announced exception to P10, closed to everybody but us. That
 * keeps the web server out only if it is somebody else.
 */
static enum error_kind say_mount(struct transaction_context *x, const char *mount, struct rollback_plan *plan,
                                 struct error *err)
{
    size_t n = strlen(x->site->path);
    enum error_kind rc = text_list_addf(&plan->preflight.in_place, err,
                                        "%s is a mount point: the tree is exchanged in parts around it", mount);

    if (rc || mount[n] != '/' || site_leaves_out_below(x->site, mount + n + 1))
        return rc;
    rc = text_list_addf(&plan->preflight.in_place, err,
                        "what lies on it is staged in %s/.nopsnap, which nobody else may enter", mount);
    if (!rc && geteuid() != 0 && site_serves(mount))
        rc = text_list_addf(
            &plan->preflight.problems, err,
            "%s is served to visitors, perhaps by the user that nopsnap runs as: what is staged there is "
            "closed to them only if nopsnap runs as root",
            mount);
    return rc;
}

static enum error_kind check_mounts(struct transaction_context *x, struct rollback_plan *plan, struct error *err)
{
    struct text_list mounts = TEXT_LIST_INIT;
    enum error_kind rc;

    if (!plan->files || !x->site->exists)
        return OK;
    rc = mounts_below(x->site->path, &mounts, err);
    x->txn.split = x->place.inside || mounts.count > 0 || plan->target.root_count > 1;
    for (size_t i = 0; i < mounts.count && !rc; i++)
        rc = say_mount(x, mounts.items[i], plan, err);
    if (!rc && x->place.inside)
        rc = text_list_addf(&plan->preflight.in_place, err,
                            "the journal is inside the site, in %s, and the tree is exchanged in parts",
                            x->place.folder);
    for (size_t i = 1; i < plan->target.root_count && !rc; i++)
        rc = text_list_addf(&plan->preflight.in_place, err, "%s lies outside the site: it is exchanged by itself",
                            plan->target.roots[i].path);
    if (!rc && x->txn.split)
        rc = text_list_add(&plan->preflight.in_place, "the present state is saved first, while the shop is stopped",
                           err);
    text_list_release(&mounts);
    return rc;
}

enum error_kind rollback_preflight(struct transaction_context *x, const struct rollback_options *o,
                                   struct rollback_plan *plan, struct error *err)
{
    enum error_kind rc = check_mounts(x, plan, err);

    if (!rc)
        rc = preflight_catalog(x, &plan->preflight, err);
    if (!rc)
        rc = check_space(x, plan, err);
    if (!rc && plan->files)
        rc = check_pictures(x, o, plan, err);
    if (!rc)
        rc = preflight_fence(x, &plan->preflight, err);
    if (!rc)
        rc = preflight_processes(x, &plan->preflight, err);
    if (!rc)
        rc = check_database(x, plan, err);
    if (!rc && x->txn.url && health_was_unwell(&plan->target))
        rc = text_list_add(&plan->preflight.remarks,
                           "the shop did not answer well when this was taken away: it need not do so now, and whether "
                           "it does is told at the end",
                           err);
    if (!rc && !o->shared)
        rc = preflight_sharing(x, o->config, &plan->preflight, err);
    return rc;
}
