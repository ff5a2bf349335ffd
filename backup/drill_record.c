/* When the next drill is due, and what is remembered of one: JSON facts, without secrets (P10). */
#include "drill.h"
#include "json.h"
#include "run_log.h"

#define NS_PER_MS 1000000
#define DRILLS_LOOKED_AT 50
#define SLACK_MAX_MS ((int64_t)2 * 3600 * 1000)

static enum error_kind note_good(void *arg, const struct run_entry *e, struct error *err)
{
    int64_t *last_ns = arg;

    (void)err;
    if (!*last_ns && (e->status == 0 || e->status == 3))
        *last_ns = e->started_ns;
    return OK;
}

/*
 * A little before the time is up, because runs begin with a random delay: a weekly drill would wander through the week otherwise. One of the
 * future, by a clock that was set back, proves nothing.
 */
enum error_kind drill_due(struct catalog *cat, const struct site *site, int64_t now_ns, const char **why,
                          struct error *err)
{
    int64_t every_ms = site->config && site->config->drill ? config_every_ms(site->config->drill) : -1;
    int64_t slack_ms = every_ms / 12 < SLACK_MAX_MS ? every_ms / 12 : SLACK_MAX_MS;
    int64_t last_ns = 0;
    char site_id[17];
    enum error_kind rc = OK;

    *why = every_ms < 0 ? "no drill = ... in the config" : every_ms == 0 ? "drill = never in the config" : NULL;
    if (*why)
        return OK;
    rc = catalog_site_id(cat, site->path, site_id, err);
    if (!rc)
        rc = catalog_run_each(cat, site_id, "drill", DRILLS_LOOKED_AT, note_good, &last_ns, err);
    if (!rc && last_ns && last_ns <= now_ns && now_ns - last_ns < (every_ms - slack_ms) * NS_PER_MS)
        *why = "the last good one is recent enough";
    return rc;
}

struct json *drill_json(const struct drill_result *r)
{
    struct json *v = json_object();

    json_put_text(v, "snapshot", r->snapshot);
    json_put_number(v, "files", (int64_t)r->files);
    json_put_number(v, "bytes", (int64_t)r->bytes);
    json_put_number(v, "tables", (int64_t)r->tables);
    json_put_number(v, "rows", (int64_t)r->rows);
    json_put_number(v, "files_ms", (int64_t)r->files_ms);
    json_put_number(v, "database_ms", (int64_t)r->database_ms);
    json_put_number(v, "took_ms", (r->ended_ns - r->started_ns) / NS_PER_MS);
    return v;
}

enum error_kind drill_record(struct catalog *cat, const struct site *site, const struct drill_result *r,
                             const struct error *failure, int status, struct error *err)
{
    struct buffer text = BUFFER_INIT(1u << 20);
    char site_id[17];
    struct run_entry e = {r->started_ns, r->ended_ns, site_id, "drill", status, NULL};
    struct json *v = NULL;
    enum error_kind rc = OK;

    if (!r->started_ns || (failure && failure->kind == ERR_CANCELLED))
        return OK;
    rc = catalog_site_id(cat, site->path, site_id, err);
    if (rc)
        return rc;
    v = drill_json(r);
    if (failure)
        json_put_text(v, "text", failure->text);
    rc = json_print(v, &text, err);
    e.facts = (const char *)text.data;
    if (!rc)
        rc = catalog_run_add(cat, &e, err);
    json_free(v);
    buffer_release(&text);
    return rc;
}
