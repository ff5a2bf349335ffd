/* When the next drill is due, and what is remembered of one: JSON facts, without secrets (P10). */
#include <string.h>

#include "drill.h"
#include "json.h"
#include "run_log.h"

#define NS_PER_MS 1000000
#define DAY_MS ((int64_t)24 * 3600 * 1000)
#define SLACK_MAX_MS ((int64_t)2 * 3600 * 1000)

static enum error_kind note_good(void *arg, const struct run_entry *e, struct error *err)
{
    (void)err;
    *(int64_t *)arg = e->started_ns;
    return OK;
}

/* ---- what failed, and when it is tried again ---- */

struct last {
    int64_t ns;
    struct error failure; /* kind OK: it went well */
};

static enum error_kind note_last(void *arg, const struct run_entry *e, struct error *err)
{
    struct last *last = arg;
    struct json *facts = NULL;
    struct error ignored = ERROR_INIT;
    const char *text;
    int64_t kind;

    (void)err;
    last->ns = e->started_ns;
    if (e->status == 0 || e->status == 3)
        return OK;
    if (!e->facts || json_parse(e->facts, strlen(e->facts), &facts, &ignored) != OK)
        facts = NULL;
    kind = json_number(json_get(facts, "kind"), ERR_REMOTE);
    text = json_text(json_get(facts, "text"));
    (void)error_set(&last->failure, kind > OK && kind <= ERR_CANCELLED ? (enum error_kind)kind : ERR_REMOTE, 0, "%s",
                    text ? text : "the last drill failed");
    json_free(facts);
    return OK;
}

/* A twelfth of the period, and a day at least where that is a week or more: each try is a whole restore. */
static int64_t retry_ms(int64_t every_ms)
{
    return every_ms >= 7 * DAY_MS && every_ms / 12 < DAY_MS ? DAY_MS : every_ms / 12;
}

/* A little before the time is up, because runs begin with a random delay: a weekly drill would wander through the week otherwise. */
static int64_t with_slack(int64_t ms)
{
    return ms - (ms / 12 < SLACK_MAX_MS ? ms / 12 : SLACK_MAX_MS);
}

/* Is that so little ago? One of the future, by a clock that was set back, proves nothing. */
static bool is_recent(int64_t then_ns, int64_t now_ns, int64_t ms)
{
    return then_ns && then_ns <= now_ns && now_ns - then_ns < with_slack(ms) * NS_PER_MS;
}

enum error_kind drill_due(struct catalog *cat, const struct site *site, int64_t now_ns, const char **why,
                          struct error *before, struct error *err)
{
    int64_t every_ms = site->config && site->config->drill ? config_every_ms(site->config->drill) : -1;
    struct last last = {0, ERROR_INIT};
    int64_t good_ns = 0;
    char site_id[17];
    enum error_kind rc = OK;

    *why = every_ms < 0 ? "no drill = ... in the config" : every_ms == 0 ? "drill = never in the config" : NULL;
    if (*why)
        return OK;
    rc = catalog_site_id(cat, site->path, site_id, err);
    if (!rc)
        rc = catalog_run_good(cat, site_id, "drill", note_good, &good_ns, err);
    if (!rc)
        rc = catalog_run_each(cat, site_id, "drill", 1, note_last, &last, err);
    if (rc)
        return rc;
    if (last.failure.kind && is_recent(last.ns, now_ns, retry_ms(every_ms))) {
        *why = "the last one failed, and is tried again later";
        error_copy(before, &last.failure);
    } else if (!last.failure.kind && is_recent(good_ns, now_ns, every_ms)) {
        *why = "the last good one is recent enough";
    }
    return OK;
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
    if (failure) {
        json_put_text(v, "text", failure->text);
        json_put_number(v, "kind", failure->kind);
    }
    rc = json_print(v, &text, err);
    e.facts = (const char *)text.data;
    if (!rc)
        rc = catalog_run_add(cat, &e, err);
    json_free(v);
    buffer_release(&text);
    return rc;
}
