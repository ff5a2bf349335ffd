#include "catalog_internal.h"

static int64_t event_sum(const struct catalog_event *e)
{
    struct row_sum s = row_sum_of("history");

    row_sum_number(&s, e->moment_ns);
    row_sum_text(&s, e->site_id);
    row_sum_text(&s, e->what);
    row_sum_text(&s, e->detail);
    row_sum_number(&s, e->status);
    return row_sum_end(&s);
}

enum error_kind catalog_event_add(struct catalog *cat, const struct catalog_event *event, struct error *err)
{
    struct catalog_event e = *event;
    struct index_statement *st = NULL;
    enum error_kind rc;

    if (cat->read_only)
        return error_set(err, ERR_REFUSED, 0, "the catalogue %s can't be written to", cat->path);
    e.site_id = e.site_id ? e.site_id : (char *)"";
    rc = index_prepare(cat->index,
                       "INSERT INTO history (moment, site, what, detail, status, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                       &st, err);
    if (rc)
        goto done;
    index_bind_number(st, 1, e.moment_ns);
    index_bind_text(st, 2, e.site_id);
    index_bind_text(st, 3, e.what);
    index_bind_text(st, 4, e.detail);
    index_bind_number(st, 5, e.status);
    index_bind_number(st, 6, event_sum(&e));
    rc = index_step(st, NULL, err);

done:
    index_finish(st);
    return rc;
}

/* The rows that st gives, each checked. */
static enum error_kind read_rows(struct index_statement *st, catalog_event_fn *fn, void *arg, struct error *err)
{
    struct catalog_event e;
    enum error_kind rc;
    bool row = true;

    while (!(rc = index_step(st, &row, err)) && row) {
        e = (struct catalog_event){index_number(st, 0), (char *)index_text(st, 1), (char *)index_text(st, 2),
                                   (char *)index_text(st, 3), (int)index_number(st, 4)};
        if (!e.site_id || !e.what || event_sum(&e) != index_number(st, 5))
            rc = index_row_damaged("history", err);
        else
            rc = fn(arg, &e, err);
        if (rc)
            break;
    }
    return rc;
}

enum error_kind catalog_event_each(struct catalog *cat, const char *site_id, catalog_event_fn *fn, void *arg,
                                   struct error *err)
{
    struct index_statement *st = NULL;
    enum error_kind rc;

    rc = index_prepare(cat->index,
                       "SELECT moment, site, what, detail, status, sum FROM history WHERE ?1 IS NULL OR site = ?1"
                       " ORDER BY row DESC",
                       &st, err);
    if (!rc) {
        index_bind_text(st, 1, site_id);
        rc = read_rows(st, fn, arg, err);
    }
    index_finish(st);
    return rc;
}

enum error_kind history_recent(struct catalog *cat, const char *site_id, const char *what, int64_t limit,
                               catalog_event_fn *fn, void *arg, struct error *err)
{
    struct index_statement *st = NULL;
    enum error_kind rc;

    /* Two texts, so that the first goes by the index. */
    rc = index_prepare(cat->index,
                       site_id
                           ? "SELECT moment, site, what, detail, status, sum FROM history WHERE what = ?1 AND site = ?2"
                             " ORDER BY row DESC LIMIT ?3"
                           : "SELECT moment, site, what, detail, status, sum FROM history WHERE what = ?1"
                             " ORDER BY row DESC LIMIT ?3",
                       &st, err);
    if (!rc) {
        index_bind_text(st, 1, what);
        if (site_id)
            index_bind_text(st, 2, site_id);
        index_bind_number(st, 3, limit);
        rc = read_rows(st, fn, arg, err);
    }
    index_finish(st);
    return rc;
}

enum error_kind history_good(struct catalog *cat, const char *site_id, const char *what, catalog_event_fn *fn,
                             void *arg, struct error *err)
{
    struct index_statement *st = NULL;
    enum error_kind rc =
        index_prepare(cat->index,
                      "SELECT moment, site, what, detail, status, sum FROM history WHERE what = ?1 AND site = ?2"
                      " AND status IN (0, 3) ORDER BY row DESC LIMIT 1",
                      &st, err);

    if (!rc) {
        index_bind_text(st, 1, what);
        index_bind_text(st, 2, site_id);
        rc = read_rows(st, fn, arg, err);
    }
    index_finish(st);
    return rc;
}
