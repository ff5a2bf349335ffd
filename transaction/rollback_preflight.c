/*
 * Preflight (P12): everything that can say no is asked before the first change, and all problems are listed at once.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "transaction_internal.h"

static enum error_kind free_bytes(const char *path, uint64_t *out)
{
    struct statvfs s;

    if (statvfs(path, &s) != 0)
        return ERR_IO;
    *out = (uint64_t)s.f_bavail * s.f_frsize;
    return OK;
}

enum error_kind need_space(const char *where, const char *what, uint64_t need, struct rollback_plan *plan,
                           struct error *err)
{
    uint64_t have = 0;
    char n[TEXT_MAX];
    char h[TEXT_MAX];

    if (free_bytes(where, &have) != OK || have >= need)
        return OK;
    text_size(need, n);
    text_size(have, h);
    return text_list_addf(&plan->problems, err, "not enough room at %s for %s: %s needed, %s free", where, what, n, h);
}

/* The worst case: nothing can be linked, and what is taken away is new to the catalogue. */
static enum error_kind check_space(struct transaction_context *x, struct rollback_plan *plan, struct error *err)
{
    const struct snapshot_root *root = &plan->target.roots[0];
    uint64_t stage = plan->files ? root->bytes + root->files * SPACE_PER_FILE : 0;
    enum error_kind rc = OK;

    if (plan->files && x->site->exists) /* linked files take no room: the difference does */
        stage = plan->bytes_to_write + root->files * 256;
    if (plan->files)
        rc = need_space(x->place.parent, "the new tree", stage + SPACE_MARGIN, plan, err);
    if (!rc)
        rc = need_space(catalog_path(x->cat), "the snapshot of what is taken away",
                        plan->bytes_to_write + plan->target.dump_bytes / 2 + SPACE_MARGIN, plan, err);
    return rc;
}

/* The exchange would take the catalogue away with the old tree. */
static enum error_kind check_catalog(struct transaction_context *x, struct rollback_plan *plan, struct error *err)
{
    size_t n = strlen(x->site->path);

    if (!plan->files || strncmp(x->txn.catalog, x->site->path, n) != 0 ||
        (x->txn.catalog[n] && x->txn.catalog[n] != '/'))
        return OK;
    return text_list_addf(&plan->problems, err,
                          "the catalogue %s lies inside the site: move it out (nopsnap --catalog names it)",
                          x->txn.catalog);
}

static enum error_kind check_processes(struct transaction_context *x, struct rollback_plan *plan, struct error *err)
{
    const char *const roots[] = {x->site->path};
    struct text_list busy = TEXT_LIST_INIT;
    bool complete = true;
    enum error_kind rc = OK;

    if (!x->site->exists)
        return OK;
    rc = quiet_processes(roots, 1, &busy, &complete, err);
    if (!rc && busy.count && !fence_can_stop(&x->txn))
        rc = text_list_addf(&plan->problems, err,
                            "the shop is running and nopsnap does not know how to stop it (%s); name its `service`, or "
                            "`stop` and `start`, in the config",
                            busy.items[0]);
    if (!rc && !complete && !x->txn.stop)
        rc =
            text_list_addf(&plan->problems, err,
                           "not every process can be looked at: run as root, or name `stop` and `start` in the config");
    else if (!rc && !complete)
        rc = text_list_add(&plan->remarks, "not every process can be looked at: that `stop` ends them all is believed",
                           err);
    text_list_release(&busy);
    return rc;
}

static enum error_kind say_fence(struct transaction_context *x, struct rollback_plan *plan, struct error *err)
{
    const struct txn *t = &x->txn;
    enum error_kind rc = OK;

    if (t->stop) {
        rc = memory_string(t->stop, &plan->stop_how, err);
        if (!rc && (t->start || !t->service))
            rc = memory_string(t->start ? t->start : "(nothing: no `start` in the config)", &plan->start_how, err);
        else if (!rc)
            rc = memory_format(&plan->start_how, err, "systemctl start %s", t->service);
        if (!rc && !t->service)
            rc =
                text_list_add(&plan->remarks,
                              "the shop is stopped by your own command: a reboot in between could start it again", err);
    } else if (t->service) {
        rc = memory_format(&plan->stop_how, err, "systemctl stop %s", t->service);
        if (!rc)
            rc = memory_format(&plan->start_how, err, "systemctl start %s", t->service);
    } else {
        rc =
            text_list_add(&plan->remarks,
                          "nothing is running and nopsnap does not know how the shop is started: nothing keeps it from "
                          "starting meanwhile",
                          err);
    }
    if (!rc)
        rc = fence_problems(t, &plan->problems, err);
    if (!rc && !t->url)
        rc = text_list_add(&plan->remarks, "no `url` in the config: whether the shop answers afterwards is not asked",
                           err);
    return rc;
}

static enum error_kind check_database(struct transaction_context *x, struct rollback_plan *plan, struct error *err)
{
    struct text_list sessions = TEXT_LIST_INIT;
    enum error_kind rc = OK;

    if (!plan->database)
        return OK;
    rc = database_sessions(x->reach.db, NULL, &sessions, err);
    for (size_t i = 0; i < sessions.count && !rc; i++)
        rc = text_list_addf(&plan->remarks, err, "in the database now: %s", sessions.items[i]);
    if (!rc && plan->login_fails && !x->keep_string)
        rc = text_list_addf(&plan->problems, err,
                            "the restored settings can't log in to the database (a password changed since?): say "
                            "--keep-connection to carry today's connection over");
    text_list_release(&sessions);
    return rc;
}

/* ---- sharing: another known site with the same database ---- */

struct sharing {
    struct transaction_context *x;
    struct rollback_plan *plan;
    struct text_list seen; /* site paths already looked at */
};

static bool seen_before(struct sharing *s, const char *path)
{
    for (size_t i = 0; i < s->seen.count; i++)
        if (!strcmp(s->seen.items[i], path))
            return true;
    return false;
}

static bool shares(struct sharing *s, const char *path)
{
    struct error ignored = ERROR_INIT;
    struct site other = SITE_INIT;
    struct database_target t = DATABASE_TARGET_INIT;
    bool same = false;

    if (site_inspect(path, NULL, &other, &ignored) == OK && other.connection.string && other.connection.provider &&
        database_target_parse(other.connection.provider, other.connection.string, &t, &ignored) == OK)
        same = database_target_same(&t, &s->x->reach.target);
    database_target_release(&t);
    site_release(&other);
    return same;
}

static enum error_kind look_at_site(struct sharing *s, const char *path, struct error *err)
{
    enum error_kind rc;

    if (!path || !strcmp(path, s->x->site->path) || seen_before(s, path))
        return OK;
    rc = text_list_add(&s->seen, path, err);
    if (!rc && s->x->has_facts && shares(s, path))
        rc = text_list_addf(&s->plan->problems, err, "%s uses the same database: say --shared if both may go back",
                            path);
    return rc;
}

static enum error_kind look_at_row(void *arg, const struct snapshot_row *row, struct error *err)
{
    return look_at_site(arg, row->site_path, err);
}

static enum error_kind check_sharing(struct transaction_context *x, const struct rollback_options *o,
                                     struct rollback_plan *plan, struct error *err)
{
    struct sharing s = {x, plan, TEXT_LIST_INIT};
    enum error_kind rc = OK;

    if (o->shared || !plan->database)
        return OK;
    rc = snapshot_row_each(x->cat, NULL, look_at_row, &s, err);
    for (size_t i = 0; !rc && o->config && i < o->config->count; i++)
        rc = look_at_site(&s, o->config->sites[i].path, err);
    text_list_release(&s.seen);
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
    enum error_kind rc =
        text_list_addf(&plan->in_place, err, "%s is a mount point: the tree is exchanged in parts around it", mount);

    if (rc || mount[n] != '/' || folder_is_left_out(x->site, mount + n + 1))
        return rc;
    rc = text_list_addf(&plan->in_place, err, "what lies on it is staged in %s/.nopsnap, which nobody else may enter",
                        mount);
    if (!rc && geteuid() != 0 && site_serves(mount))
        rc = text_list_addf(
            &plan->problems, err,
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
        rc = text_list_addf(&plan->in_place, err,
                            "the journal is inside the site, in %s, and the tree is exchanged in parts",
                            x->place.folder);
    for (size_t i = 1; i < plan->target.root_count && !rc; i++)
        rc = text_list_addf(&plan->in_place, err, "%s lies outside the site: it is exchanged by itself",
                            plan->target.roots[i].path);
    if (!rc && x->txn.split)
        rc = text_list_add(&plan->in_place, "the present state is saved first, while the shop is stopped", err);
    text_list_release(&mounts);
    return rc;
}

enum error_kind rollback_preflight(struct transaction_context *x, const struct rollback_options *o,
                                   struct rollback_plan *plan, struct error *err)
{
    enum error_kind rc = check_mounts(x, plan, err);

    if (!rc)
        rc = check_catalog(x, plan, err);
    if (!rc)
        rc = check_space(x, plan, err);
    if (!rc && plan->files)
        rc = check_pictures(x, o, plan, err);
    if (!rc)
        rc = say_fence(x, plan, err);
    if (!rc)
        rc = check_processes(x, plan, err);
    if (!rc)
        rc = check_database(x, plan, err);
    if (!rc)
        rc = check_sharing(x, o, plan, err);
    return rc;
}
