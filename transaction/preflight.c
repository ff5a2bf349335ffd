/*
 * What every plan asks before the first change (P12), whatever it is a plan of: can the shop be stopped and kept stopped, is there room, does
 * another site share what is to be exchanged?
 */
#include <stdlib.h>
#include <string.h>

#include "transaction_internal.h"

void preflight_release(struct preflight *p)
{
    text_list_release(&p->problems);
    text_list_release(&p->remarks);
    text_list_release(&p->in_place);
    free(p->stop_how);
    free(p->start_how);
    p->stop_how = NULL;
    p->start_how = NULL;
}

enum error_kind need_space(const char *where, const char *what, uint64_t need, struct preflight *p, struct error *err)
{
    struct error unknown = ERROR_INIT;
    uint64_t have = 0;
    char n[TEXT_MAX];
    char h[TEXT_MAX];

    if (directory_room(where, &have, &unknown) != OK || have >= need)
        return OK;
    text_size(need, n);
    text_size(have, h);
    return text_list_addf(&p->problems, err, "not enough room at %s for %s: %s needed, %s free", where, what, n, h);
}

/* The exchange would take the catalogue away with the old tree. */
enum error_kind preflight_catalog(struct transaction_context *x, struct preflight *p, struct error *err)
{
    size_t n = strlen(x->site->path);

    if (!x->txn.has_files || strncmp(x->txn.catalog, x->site->path, n) != 0 ||
        (x->txn.catalog[n] && x->txn.catalog[n] != '/'))
        return OK;
    return text_list_addf(&p->problems, err,
                          "the catalogue %s lies inside the site: move it out (nopsnap --catalog names it)",
                          x->txn.catalog);
}

static enum error_kind say_unstoppable(const struct text_list *busy, struct preflight *p, struct error *err)
{
    if (!busy->count)
        return text_list_add(&p->remarks,
                             "nothing is running and nopsnap does not know how the shop is started: nothing keeps it "
                             "from starting meanwhile",
                             err);
    return text_list_addf(&p->problems, err,
                          "the shop is running and nopsnap does not know how to stop it (%s); name its `service`, or "
                          "`stop` and `start`, in the config",
                          busy->items[0]);
}

enum error_kind preflight_processes(struct transaction_context *x, struct preflight *p, struct error *err)
{
    const char *const roots[] = {x->site->path};
    struct text_list busy = TEXT_LIST_INIT;
    bool complete = true;
    enum error_kind rc = OK;

    if (x->site->exists)
        rc = quiet_processes(roots, 1, &busy, &complete, err);
    if (!rc && !fence_can_stop(&x->txn))
        rc = say_unstoppable(&busy, p, err);
    if (!rc && !complete && !x->txn.stop)
        rc =
            text_list_addf(&p->problems, err,
                           "not every process can be looked at: run as root, or name `stop` and `start` in the config");
    else if (!rc && !complete)
        rc = text_list_add(&p->remarks, "not every process can be looked at: that `stop` ends them all is believed",
                           err);
    text_list_release(&busy);
    return rc;
}

enum error_kind preflight_fence(struct transaction_context *x, struct preflight *p, struct error *err)
{
    const struct txn *t = &x->txn;
    enum error_kind rc = OK;

    if (t->stop) {
        rc = memory_string(t->stop, &p->stop_how, err);
        if (!rc && (t->start || !t->service))
            rc = memory_string(t->start ? t->start : "(nothing: no `start` in the config)", &p->start_how, err);
        else if (!rc)
            rc = memory_format(&p->start_how, err, "systemctl start %s", t->service);
        if (!rc && !t->service)
            rc = text_list_add(
                &p->remarks, "the shop is stopped by your own command: a reboot in between could start it again", err);
    } else if (t->service) {
        rc = memory_format(&p->stop_how, err, "systemctl stop %s", t->service);
        if (!rc)
            rc = memory_format(&p->start_how, err, "systemctl start %s", t->service);
    }
    if (!rc)
        rc = fence_problems(t, &p->problems, err);
    if (!rc && !t->url)
        rc =
            text_list_add(&p->remarks, "no `url` in the config: whether the shop answers afterwards is not asked", err);
    return rc;
}

/* ---- sharing: another known site with the same database ---- */

struct sharing {
    struct transaction_context *x;
    struct preflight *preflight;
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
        rc = text_list_addf(&s->preflight->problems, err, "%s uses the same database: say --shared if both may go back",
                            path);
    return rc;
}

static enum error_kind look_at_row(void *arg, const struct snapshot_row *row, struct error *err)
{
    return look_at_site(arg, row->site_path, err);
}

enum error_kind preflight_sharing(struct transaction_context *x, const struct config *config, struct preflight *p,
                                  struct error *err)
{
    struct sharing s = {x, p, TEXT_LIST_INIT};
    enum error_kind rc = OK;

    if (!x->txn.has_database)
        return OK;
    rc = snapshot_row_each(x->cat, NULL, look_at_row, &s, err);
    for (size_t i = 0; !rc && config && i < config->count; i++)
        rc = look_at_site(&s, config->sites[i].path, err);
    text_list_release(&s.seen);
    return rc;
}
