/* A run as it is remembered: JSON facts, without secrets (P10). */
#include "json.h"
#include "run.h"
#include "run_log.h"

static const char *outcome_word(enum run_outcome o)
{
    static const char *const words[] = {"not reached", "done", "failed", "skipped"};

    return words[o];
}

static struct json *steps_json(const struct run_result *r)
{
    struct json *steps = json_array();

    for (unsigned i = 0; i < RUN_STEPS; i++) {
        const struct run_step *s = &r->steps[i];
        struct json *v = json_object();

        json_put_text(v, "name", run_step_word((enum run_step_name)i));
        json_put_text(v, "outcome", outcome_word(s->outcome));
        json_put_number(v, "took_ms", s->took_ms);
        if (s->outcome == RUN_FAILED)
            json_put_text(v, "text", s->err.text);
        if (s->outcome == RUN_SKIPPED)
            json_put_text(v, "text", s->why);
        json_push(steps, v);
    }
    return steps;
}

struct json *run_json(const struct run_result *r)
{
    struct json *v = json_object();

    if (r->refused[0])
        json_put_text(v, "refused", r->refused);
    if (r->snapshot[0])
        json_put_text(v, "snapshot", r->snapshot);
    if (r->saved)
        json_put_text(v, "safety_snapshot", r->saved);
    if (r->suspicion)
        json_put_text(v, "suspicion", r->suspicion);
    json_put_number(v, "stored_bytes", (int64_t)r->bytes_stored);
    json_put_number(v, "repaired", (int64_t)r->repaired);
    json_put_number(v, "forgotten", (int64_t)r->retention.dropped);
    json_put_number(v, "freed_bytes", (int64_t)r->prune.bytes_freed);
    json_put_flag(v, "removal_postponed", r->prune.removal_postponed);
    json_put_number(v, "verified_bytes", (int64_t)r->verify.bytes_read);
    json_put_number(v, "damaged", (int64_t)r->verify.damage.count);
    json_put_number(v, "oldest_unread_ns", r->verify.oldest_unread_ns);
    json_put(v, "steps", steps_json(r));
    if (r->drill.started_ns)
        json_put(v, "drill", drill_json(&r->drill));
    return v;
}

static enum error_kind add(struct catalog *cat, struct run_entry *e, struct json *facts, struct error *err)
{
    struct buffer text = BUFFER_INIT(1u << 20);
    enum error_kind rc = json_print(facts, &text, err);

    e->facts = (const char *)text.data;
    if (!rc)
        rc = catalog_run_add(cat, e, err);
    buffer_release(&text);
    return rc;
}

/* What was read is of use to every site. */
static enum error_kind add_verify(struct catalog *cat, const struct run_result *r, struct error *err)
{
    bool damaged = r->steps[RUN_VERIFY].err.kind == ERR_CORRUPT;
    struct run_entry e = {r->started_ns, r->ended_ns, "", "verify", damaged ? 7 : 0, NULL};
    struct json *v = json_object();
    enum error_kind rc;

    json_put_number(v, "read_bytes", (int64_t)r->verify.bytes_read);
    json_put_number(v, "damaged", (int64_t)r->verify.damage.count);
    rc = add(cat, &e, v, err);
    json_free(v);
    return rc;
}

enum error_kind run_record(struct catalog *cat, const struct site *site, const struct run_result *r, int status,
                           int drill_status, struct error *err)
{
    char site_id[17];
    struct run_entry e = {r->started_ns, r->ended_ns, site_id, "run", status, NULL};
    struct json *v = NULL;
    struct error why = ERROR_INIT;
    enum error_kind own;
    const struct run_step *s = &r->steps[RUN_VERIFY];
    const struct run_step *drilled = &r->steps[RUN_DRILL];
    enum error_kind rc = catalog_site_id(cat, site->path, site_id, err);

    if (rc)
        return rc;
    /* In the order of what came to an end: the run last. It is remembered whatever came of the others. */
    if (drilled->outcome != RUN_SKIPPED)
        rc = drill_record(cat, site, &r->drill, drilled->outcome == RUN_FAILED ? &drilled->err : NULL, drill_status,
                          err);
    if (!rc && (s->outcome == RUN_DONE || (s->outcome == RUN_FAILED && s->err.kind == ERR_CORRUPT)))
        rc = add_verify(cat, r, err);
    v = run_json(r);
    own = add(cat, &e, v, &why);
    json_free(v);
    if (own && !rc)
        error_copy(err, &why);
    return rc ? rc : own;
}
