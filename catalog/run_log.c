#include "run_log.h"

#include <stdlib.h>
#include <string.h>

#include "catalog_internal.h"
#include "json.h"

/* A row's text is this long at most: facts are figures, not listings. */
#define DETAIL_MAX ((size_t)1 << 20)

/* The row's text is the facts with the moment of the beginning among them. */
static enum error_kind detail_of(const struct run_entry *e, char **out, struct error *err)
{
    struct buffer text = BUFFER_INIT(DETAIL_MAX);
    struct json *facts = NULL;
    enum error_kind rc = OK;

    if (e->facts)
        rc = json_parse(e->facts, strlen(e->facts), &facts, err);
    else
        facts = json_object();
    if (!rc && !json_is_object(facts))
        rc = error_set(err, ERR_CORRUPT, 0, "the record of a %s is not a JSON object", e->kind);
    if (rc)
        goto done;
    json_put_number(facts, "started_ns", e->started_ns);
    rc = json_print(facts, &text, err);
    if (!rc)
        *out = buffer_detach(&text);

done:
    json_free(facts);
    buffer_release(&text);
    return rc;
}

static enum error_kind trim(struct catalog *cat, const struct run_entry *e, struct error *err)
{
    struct index_statement *st = NULL;
    bool row = true;
    enum error_kind rc =
        index_prepare(cat->index,
                      "DELETE FROM history WHERE row IN (SELECT row FROM history WHERE what = ?1 AND site = ?2"
                      " ORDER BY row DESC LIMIT -1 OFFSET ?3)",
                      &st, err);

    if (!rc) {
        index_bind_text(st, 1, e->kind);
        index_bind_text(st, 2, e->site_id);
        index_bind_number(st, 3, RUN_LOG_ROWS);
        while (row && !rc)
            rc = index_step(st, &row, err);
    }
    index_finish(st);
    return rc;
}

enum error_kind catalog_run_add(struct catalog *cat, const struct run_entry *entry, struct error *err)
{
    struct catalog_event event = {entry->ended_ns, (char *)entry->site_id, (char *)entry->kind, NULL, entry->status};
    enum error_kind rc;

    if (cat->read_only)
        return error_set(err, ERR_REFUSED, 0, "the catalogue %s can't be written to", cat->path);
    rc = detail_of(entry, &event.detail, err);
    if (!rc)
        rc = index_begin(cat->index, err);
    if (!rc)
        rc = index_run(cat->index, INDEX_HISTORY, err);
    if (!rc)
        rc = catalog_event_add(cat, &event, err);
    if (!rc)
        rc = trim(cat, entry, err);
    if (!rc)
        rc = index_commit(cat->index, err);
    index_rollback(cat->index);
    free(event.detail);
    return rc;
}

struct log_reader {
    catalog_run_fn *fn;
    void *arg;
};

static enum error_kind read_row(void *arg, const struct catalog_event *event, struct error *err)
{
    const struct log_reader *reader = arg;
    struct run_entry entry = {event->moment_ns, event->moment_ns, event->site_id,
                              event->what,      event->status,    event->detail};
    struct json *facts = NULL;
    struct error ignored = ERROR_INIT;

    if (event->detail && !json_parse(event->detail, strlen(event->detail), &facts, &ignored))
        entry.started_ns = json_number(json_get(facts, "started_ns"), event->moment_ns);
    json_free(facts);
    return reader->fn(reader->arg, &entry, err);
}

enum error_kind catalog_run_each(struct catalog *cat, const char *site_id, const char *kind, int64_t limit,
                                 catalog_run_fn *fn, void *arg, struct error *err)
{
    struct log_reader reader = {fn, arg};

    return history_recent(cat, site_id, kind, limit, read_row, &reader, err);
}

enum error_kind catalog_run_good(struct catalog *cat, const char *site_id, const char *kind, catalog_run_fn *fn,
                                 void *arg, struct error *err)
{
    struct log_reader reader = {fn, arg};

    return history_good(cat, site_id, kind, read_row, &reader, err);
}
