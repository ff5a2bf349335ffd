/*
 * Which snapshots transactions still need: what is pending, or kept, refers to them, and can be gone on with or gone back to only while they are there. They
 * may be of another site than the one whose transaction it is, so that who forgets asks at all sites of this host.
 */
#include <string.h>

#include "transaction_internal.h"

typedef enum error_kind needed_fn(void *arg, const struct place *p, const char *id, struct error *err);

static enum error_kind tell_all(const struct place *p, const struct txn *t, const char *kept_as, needed_fn *fn,
                                void *arg, struct error *err)
{
    const char *const ids[] = {kept_as, t->target, t->safety, t->taken};
    enum error_kind rc = OK;

    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]) && !rc; i++)
        if (ids[i])
            rc = fn(arg, p, ids[i], err);
    return rc;
}

static enum error_kind of_journal(const struct place *p, needed_fn *fn, void *arg, struct error *err)
{
    struct error why = ERROR_INIT;
    struct txn t = TXN_INIT;
    enum error_kind rc = journal_look(p, &t, &why);

    if (!rc)
        rc = tell_all(p, &t, NULL, fn, arg, err);
    else if (rc == ERR_NOT_FOUND)
        rc = OK;
    else
        error_copy(err, &why);
    txn_release(&t);
    return rc;
}

static enum error_kind of_kept(const struct place *p, needed_fn *fn, void *arg, struct error *err)
{
    struct error why = ERROR_INIT;
    struct kept k = {.txn = TXN_INIT};
    enum error_kind rc = kept_read(p, &k, &why);

    if (!rc)
        rc = tell_all(p, &k.txn, k.snapshot, fn, arg, err);
    else if (rc == ERR_NOT_FOUND)
        rc = OK;
    else
        error_copy(err, &why);
    kept_release(&k);
    return rc;
}

/* The journal first: `kept` is written before it ends (K1), so that what passes from the one to the other is seen. */
static enum error_kind of_site(const char *site_path, needed_fn *fn, void *arg, struct error *err)
{
    struct error why = ERROR_INIT;
    struct place p = PLACE_INIT;
    enum error_kind rc = place_find(site_path, &p, &why);

    if (rc == ERR_NOT_FOUND)
        return OK; /* not even its parent is there */
    if (rc)
        error_copy(err, &why);
    if (!rc)
        rc = of_journal(&p, fn, arg, err);
    if (!rc)
        rc = of_kept(&p, fn, arg, err);
    place_release(&p);
    return rc;
}

/* ---- all sites of this host ---- */

struct sites {
    struct catalog *cat;
    char last[17]; /* the id of the site that was met last: many snapshots in a row are of one */
    struct text_list paths;
};

static enum error_kind note_site(void *arg, const struct snapshot_row *row, struct error *err)
{
    struct sites *s = arg;
    char here[17];
    enum error_kind rc;

    if (!row->site_path || !strcmp(row->site_id, s->last))
        return OK;
    memcpy(s->last, row->site_id, strlen(row->site_id) + 1);
    if (text_list_has(&s->paths, row->site_path))
        return OK;
    rc = catalog_site_id(s->cat, row->site_path, here, err);
    if (rc || strcmp(here, row->site_id) != 0) /* another host's */
        return rc;
    return text_list_add(&s->paths, row->site_path, err);
}

static enum error_kind needed_each(struct catalog *cat, needed_fn *fn, void *arg, struct error *err)
{
    struct sites s = {.cat = cat, .paths = TEXT_LIST_INIT};
    enum error_kind rc = snapshot_row_each(cat, NULL, note_site, &s, err);

    for (size_t i = 0; i < s.paths.count && !rc; i++) {
        rc = of_site(s.paths.items[i], fn, arg, err);
        if (rc)
            error_context(err, "which snapshots %s still needs", s.paths.items[i]);
    }
    text_list_release(&s.paths);
    return rc;
}

static enum error_kind list_id(void *list, const struct place *p, const char *id, struct error *err)
{
    (void)p;
    return text_list_add(list, id, err);
}

enum error_kind transaction_needed(struct catalog *cat, struct text_list *out, struct error *err)
{
    return needed_each(cat, list_id, out, err);
}

static enum error_kind refuse_id(void *wanted, const struct place *p, const char *id, struct error *err)
{
    enum error_kind rc;

    if (strcmp(id, wanted) != 0)
        return OK;
    rc = error_set(err, ERR_REFUSED, 0, "snapshot %.8s is needed by what is still kept in %s", id, p->folder);
    if (place_has(p, "journal"))
        error_hint(err, "nopsnap recover %s", p->root);
    else
        error_hint(err, "nopsnap snapshot %s clears that first, and of an upgrade in its trial nopsnap confirm %s",
                   p->root, p->root);
    return rc;
}

enum error_kind transaction_refuse_needed(struct catalog *cat, const char *id, struct error *err)
{
    char wanted[33];

    (void)memcpy(wanted, id, sizeof(wanted));
    return needed_each(cat, refuse_id, wanted, err);
}
