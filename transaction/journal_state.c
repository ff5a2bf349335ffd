/*
 * What a journal says: a struct txn, written as JSON records and replayed from them.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "transaction_internal.h"

/* The text members, by name, so that writing, reading and freeing can't disagree. */
struct text_member {
    const char *key;
    size_t offset;
};

#define MEMBER(name)                      \
    {                                     \
#name, offsetof(struct txn, name) \
    }
static const struct text_member text_members[] = {
    MEMBER(site_path),     MEMBER(site_given),    MEMBER(site_name),
    MEMBER(catalog),       MEMBER(catalog_id),    MEMBER(target),
    MEMBER(only),          MEMBER(service),       MEMBER(stop),
    MEMBER(start),         MEMBER(open),          MEMBER(close),
    MEMBER(url),           MEMBER(environment),   MEMBER(database_admin),
    MEMBER(cache_flush),   MEMBER(safety),        MEMBER(stage),
    MEMBER(beside),        MEMBER(taken),         MEMBER(database_engine),
    MEMBER(database_host), MEMBER(database_name), MEMBER(database_identity),
    MEMBER(from_version),  MEMBER(to_version),    MEMBER(host_header),
    MEMBER(ca_file),
};
#define TEXT_MEMBERS (sizeof(text_members) / sizeof(text_members[0]))

struct flag_member {
    const char *key;
    size_t offset;
};
static const struct flag_member flag_members[] = {
    MEMBER(has_files),  MEMBER(has_database),   MEMBER(split),      MEMBER(database_in_place),
    MEMBER(going_back), MEMBER(database_later), MEMBER(was_unwell),
};
static const struct flag_member step_members[] = {
    MEMBER(staged),     MEMBER(fence_begun), MEMBER(switch_begun), MEMBER(start_begun), MEMBER(load_begun),
    MEMBER(copy_begun), MEMBER(point_begun), MEMBER(point_spent),  MEMBER(point_lost),
};

static char **text_of(struct txn *t, const struct text_member *m)
{
    return (char **)(void *)((char *)t + m->offset);
}

static bool *flag_of(struct txn *t, const struct flag_member *m)
{
    return (bool *)(void *)((char *)t + m->offset);
}

void txn_release(struct txn *t)
{
    for (size_t i = 0; i < TEXT_MEMBERS; i++)
        free(*text_of(t, &text_members[i]));
    for (size_t i = 0; i < t->area_count; i++) {
        free(t->areas[i].root_name);
        free(t->areas[i].prefix);
        free(t->areas[i].live);
        free(t->areas[i].folder);
    }
    free(t->areas);
    units_release(&t->units);
    text_list_release(&t->rules);
    database_swap_release(&t->swap);
    database_point_release(&t->point);
    *t = (struct txn)TXN_INIT;
}

bool txn_is_upgrade(const struct txn *t)
{
    return t->to_version != NULL;
}

const struct area *area_outside(const struct txn *t)
{
    for (size_t i = 0; i < t->area_count; i++)
        if (!t->areas[i].prefix[0])
            return &t->areas[i];
    return NULL;
}

/* ---- writing ---- */

static void put_exact(struct json *v, const char *key, const char *text)
{
    if (text)
        json_put_bytes(v, key, text, strlen(text)); /* paths may hold any bytes */
}

static void put_rules(struct json *v, const struct txn *t)
{
    struct json *rules = json_array();

    for (size_t i = 0; i < t->rules.count; i++) {
        struct json *line = json_object();

        put_exact(line, "line", t->rules.items[i]);
        json_push(rules, line);
    }
    json_put(v, "rules", rules);
}

static void put_begin(struct json *v, const struct txn *t)
{
    struct json *areas = json_array();

    json_put_text(v, "token", t->token);
    json_put_number(v, "began_ns", t->began_ns);
    json_put_number(v, "old_until_ns", t->old_until_ns);
    json_put_number(v, "new_until_ns", t->new_until_ns);
    json_put_number(v, "health_timeout_ms", t->health_timeout_ms);
    json_put_number(v, "trial_ms", t->trial_ms);
    json_put_number(v, "database_port", t->database_port);
    for (size_t i = 0; i < TEXT_MEMBERS; i++)
        put_exact(v, text_members[i].key, *text_of((struct txn *)(uintptr_t)t, &text_members[i]));
    for (size_t i = 0; i < sizeof(flag_members) / sizeof(flag_members[0]); i++)
        json_put_flag(v, flag_members[i].key, *flag_of((struct txn *)(uintptr_t)t, &flag_members[i]));
    for (size_t i = 0; i < t->area_count; i++) {
        struct json *a = json_object();

        put_exact(a, "root", t->areas[i].root_name);
        put_exact(a, "prefix", t->areas[i].prefix);
        put_exact(a, "live", t->areas[i].live);
        put_exact(a, "folder", t->areas[i].folder);
        json_push(areas, a);
    }
    json_put(v, "areas", areas);
    put_rules(v, t);
}

static struct json *identity_json(const struct file_identity *id)
{
    struct json *v = json_object();

    json_put_number(v, "inode", (int64_t)id->inode);
    json_put_number(v, "birth_sec", id->birth_sec);
    json_put_number(v, "birth_nsec", id->birth_nsec);
    return v;
}

static void put_units(struct json *v, const struct txn *t)
{
    struct json *units = json_array();

    for (size_t i = 0; i < t->units.count; i++) {
        const struct unit *u = &t->units.items[i];
        struct json *o = json_object();

        put_exact(o, "live", u->live);
        put_exact(o, "slot", u->slot);
        if (u->has_old)
            json_put(o, "old", identity_json(&u->old_identity));
        if (u->has_new)
            json_put(o, "new", identity_json(&u->new_identity));
        json_push(units, o);
    }
    json_put(v, "units", units);
}

static void put_swap(struct json *v, const struct txn *t)
{
    struct json *s = json_object();

    put_exact(s, "live", t->swap.live);
    put_exact(s, "beside", t->swap.beside);
    put_exact(s, "kept", t->swap.kept);
    put_exact(s, "old_identity", t->swap.old_identity);
    put_exact(s, "new_identity", t->swap.new_identity);
    put_exact(s, "saved", t->swap.saved);
    json_put(v, "swap", s);
}

static void put_point(struct json *v, const struct txn *t)
{
    struct json *p = json_object();

    put_exact(p, "name", t->point.name);
    put_exact(p, "identity", t->point.identity);
    put_exact(p, "saved", t->point.saved);
    json_put(v, "point", p);
}

static enum error_kind made(struct json *v, struct json **out, struct error *err)
{
    if (!v)
        return error_set(err, ERR_MEMORY, 0, "out of memory");
    *out = v;
    return OK;
}

enum error_kind txn_begin_record(const struct txn *t, struct json **out, struct error *err)
{
    struct json *v = json_object();

    json_put_text(v, "step", "begin");
    put_begin(v, t);
    return made(v, out, err);
}

enum error_kind txn_swap_record(const struct txn *t, struct json **out, struct error *err)
{
    struct json *v = json_object();

    json_put_text(v, "step", "swap");
    put_swap(v, t);
    return made(v, out, err);
}

enum error_kind txn_point_record(const struct txn *t, struct json **out, struct error *err)
{
    struct json *v = json_object();

    json_put_text(v, "step", "point");
    put_point(v, t);
    return made(v, out, err);
}

enum error_kind txn_units_record(const struct txn *t, struct json **out, struct error *err)
{
    struct json *v = json_object();

    json_put_text(v, "step", "units");
    put_units(v, t);
    return made(v, out, err);
}

enum error_kind txn_encode(const struct txn *t, struct json **out, struct error *err)
{
    struct json *v = json_object();

    put_begin(v, t);
    put_units(v, t);
    if (t->has_swap)
        put_swap(v, t);
    if (t->has_point)
        put_point(v, t);
    return made(v, out, err);
}

enum error_kind txn_step(struct journal *j, const char *step, struct error *err)
{
    struct json *v = json_object();
    enum error_kind rc;

    json_put_text(v, "step", step);
    rc = journal_append(j, v, err);
    json_free(v);
    return rc;
}

enum error_kind txn_note_rest(struct journal *j, struct txn *t, bool old_side, struct error *err)
{
    int64_t *until = old_side ? &t->old_until_ns : &t->new_until_ns;
    struct json *v;
    enum error_kind rc;

    if (*until)
        return OK;
    *until = clock_now();
    v = json_object();
    json_put_text(v, "step", "rest");
    json_put_number(v, old_side ? "old_until_ns" : "new_until_ns", *until);
    rc = journal_append(j, v, err);
    json_free(v);
    return rc;
}

/* ---- reading ---- */

static void get_rest(struct json *v, struct txn *t)
{
    t->old_until_ns = json_number(json_get(v, "old_until_ns"), t->old_until_ns);
    t->new_until_ns = json_number(json_get(v, "new_until_ns"), t->new_until_ns);
}

static enum error_kind get_exact(struct json *v, const char *key, char **out, struct error *err)
{
    struct buffer b = BUFFER_INIT(1u << 20);
    struct json *member = json_get(v, key);
    enum error_kind rc;

    if (!member)
        return OK;
    rc = json_bytes(member, &b, err);
    if (!rc && b.len && memchr(b.data, '\0', b.len))
        rc = error_set(err, ERR_CORRUPT, 0, "the journal's \"%s\" holds a NUL byte", key);
    if (!rc)
        rc = buffer_append(&b, "", 0, err);
    if (!rc) {
        free(*out);
        *out = b.data ? buffer_detach(&b) : NULL;
        if (!*out)
            rc = memory_string("", out, err);
    }
    buffer_release(&b);
    return rc;
}

static bool get_identity(struct json *v, struct file_identity *out)
{
    if (!v)
        return false;
    out->inode = (uint64_t)json_number(json_get(v, "inode"), 0);
    out->birth_sec = json_number(json_get(v, "birth_sec"), 0);
    out->birth_nsec = (uint32_t)json_number(json_get(v, "birth_nsec"), 0);
    return true;
}

static enum error_kind get_units(struct json *v, struct txn *t, struct error *err)
{
    struct json *units = json_get(v, "units");
    enum error_kind rc = OK;

    if (!units)
        return OK;
    units_release(&t->units);
    for (size_t i = 0; i < json_length(units) && !rc; i++) {
        struct json *o = json_at(units, i);
        char *live = NULL;
        char *slot = NULL;

        rc = get_exact(o, "live", &live, err);
        if (!rc)
            rc = get_exact(o, "slot", &slot, err);
        if (!rc && (!live || live[0] != '/' || !slot || slot[0] != '/'))
            rc = error_set(err, ERR_CORRUPT, 0, "the journal names a part without its places");
        if (!rc)
            rc = units_add(&t->units, live, slot, err);
        if (!rc) {
            struct unit *u = &t->units.items[t->units.count - 1];

            u->has_old = get_identity(json_get(o, "old"), &u->old_identity);
            u->has_new = get_identity(json_get(o, "new"), &u->new_identity);
        }
        free(live);
        free(slot);
    }
    return rc;
}

static enum error_kind get_swap(struct json *v, struct txn *t, struct error *err)
{
    struct json *s = json_get(v, "swap");
    enum error_kind rc = OK;

    if (!s)
        return OK;
    database_swap_release(&t->swap);
    rc = get_exact(s, "live", &t->swap.live, err);
    if (!rc)
        rc = get_exact(s, "beside", &t->swap.beside, err);
    if (!rc)
        rc = get_exact(s, "kept", &t->swap.kept, err);
    if (!rc)
        rc = get_exact(s, "old_identity", &t->swap.old_identity, err);
    if (!rc)
        rc = get_exact(s, "new_identity", &t->swap.new_identity, err);
    if (!rc)
        rc = get_exact(s, "saved", &t->swap.saved, err);
    if (!rc && (!t->swap.live || !t->swap.beside || !t->swap.kept || !t->swap.new_identity))
        rc = error_set(err, ERR_CORRUPT, 0, "the journal names a database exchange without its parts");
    t->has_swap = !rc;
    return rc;
}

void txn_set_point(struct txn *t, bool has)
{
    t->has_point = t->database_in_place = t->database_later = has;
}

static enum error_kind get_point(struct json *v, struct txn *t, struct error *err)
{
    struct json *p = json_get(v, "point");
    enum error_kind rc = OK;

    if (!p)
        return OK;
    database_point_release(&t->point);
    rc = get_exact(p, "name", &t->point.name, err);
    if (!rc)
        rc = get_exact(p, "identity", &t->point.identity, err);
    if (!rc)
        rc = get_exact(p, "saved", &t->point.saved, err);
    if (!rc && !t->point.name)
        rc = error_set(err, ERR_CORRUPT, 0, "the journal has a restore point without a name");
    t->has_point = !rc;
    return rc;
}

static enum error_kind get_areas(struct json *v, struct txn *t, struct error *err)
{
    struct json *areas = json_get(v, "areas");
    size_t n = json_length(areas);
    enum error_kind rc = OK;

    if (!n)
        return OK;
    if (t->areas)
        return error_set(err, ERR_CORRUPT, 0, "the journal begins twice");
    rc = memory_zeroed(n, sizeof(*t->areas), (void **)&t->areas, err);
    for (size_t i = 0; i < n && !rc; i++) {
        t->area_count = i + 1;
        rc = get_exact(json_at(areas, i), "root", &t->areas[i].root_name, err);
        if (!rc)
            rc = get_exact(json_at(areas, i), "prefix", &t->areas[i].prefix, err);
        if (!rc)
            rc = get_exact(json_at(areas, i), "live", &t->areas[i].live, err);
        if (!rc)
            rc = get_exact(json_at(areas, i), "folder", &t->areas[i].folder, err);
        if (!rc && (!t->areas[i].root_name || !t->areas[i].prefix || !t->areas[i].live || !t->areas[i].folder))
            rc = error_set(err, ERR_CORRUPT, 0, "the journal names a staging place without its parts");
    }
    return rc;
}

/* Without them nobody could say what crossed: going on with other rules might remove the only copy of it. */
static enum error_kind get_rules(struct json *v, struct txn *t, struct error *err)
{
    struct json *rules = json_get(v, "rules");
    enum error_kind rc = OK;

    for (size_t i = 0; i < json_length(rules) && !rc; i++) {
        char *line = NULL;

        rc = get_exact(json_at(rules, i), "line", &line, err);
        if (!rc && !line)
            rc = error_set(err, ERR_CORRUPT, 0, "the journal has a rule without words");
        if (!rc)
            rc = text_list_add(&t->rules, line, err);
        free(line);
    }
    if (!rc && t->has_files && !t->rules.count)
        rc = error_set(err, ERR_CORRUPT, 0, "the journal does not say what snapshots leave out");
    return rc;
}

enum error_kind txn_decode(struct json *v, struct txn *out, struct error *err)
{
    const char *token = json_text(json_get(v, "token"));
    unsigned char bytes[4];
    enum error_kind rc = OK;

    if (!token || strlen(token) != 8 || hex_decode(token, 4, bytes) != 0)
        return error_set(err, ERR_CORRUPT, 0, "the journal has no token");
    memcpy(out->token, token, sizeof(out->token));
    out->began_ns = json_number(json_get(v, "began_ns"), 0);
    get_rest(v, out);
    out->health_timeout_ms = (int)json_number(json_get(v, "health_timeout_ms"), 0);
    out->trial_ms = json_number(json_get(v, "trial_ms"), 0);
    out->database_port = (int)json_number(json_get(v, "database_port"), 0);
    for (size_t i = 0; i < TEXT_MEMBERS && !rc; i++)
        rc = get_exact(v, text_members[i].key, text_of(out, &text_members[i]), err);
    for (size_t i = 0; i < sizeof(flag_members) / sizeof(flag_members[0]); i++)
        *flag_of(out, &flag_members[i]) = json_flag(json_get(v, flag_members[i].key), false);
    if (out->going_back) /* it begins where the upgrade had ended */
        out->staged = out->fence_begun = out->switch_begun = out->start_begun = true;
    if (!rc)
        rc = get_areas(v, out, err);
    if (!rc)
        rc = get_rules(v, out, err);
    if (!rc)
        rc = get_units(v, out, err);
    if (!rc)
        rc = get_swap(v, out, err);
    if (!rc)
        rc = get_point(v, out, err);
    if (!rc && (!out->site_path || !out->catalog || ((out->has_files || out->has_database) && !out->target)))
        rc = error_set(err, ERR_CORRUPT, 0, "the journal does not name its site, catalogue and snapshot");
    if (!rc && out->has_database && (!out->database_engine || !out->database_name))
        rc = error_set(err, ERR_CORRUPT, 0, "the journal does not name its database");
    return rc;
}

enum error_kind txn_replay(void *txn, struct json *record, struct error *err)
{
    struct txn *t = txn;
    const char *step = json_text(json_get(record, "step"));
    enum error_kind rc = OK;

    if (!step)
        return error_set(err, ERR_CORRUPT, 0, "the journal has a record without a step");
    if (!strcmp(step, "begin"))
        return txn_decode(record, t, err);
    if (!t->token[0])
        return error_set(err, ERR_CORRUPT, 0, "the journal does not begin at its beginning");
    if (!strcmp(step, "swap")) {
        t->copy_begun = false;
        return get_swap(record, t, err);
    }
    if (!strcmp(step, "units"))
        return get_units(record, t, err);
    if (!strcmp(step, "point") || !strcmp(step, "no_point")) {
        txn_set_point(t, !strcmp(step, "point"));
        return get_point(record, t, err);
    }
    if (!strcmp(step, "rest"))
        get_rest(record, t);
    if (!strcmp(step, "beside"))
        rc = get_exact(record, "beside", &t->beside, err);
    if (!rc && !strcmp(step, "safety"))
        rc = get_exact(record, "safety", &t->safety, err);
    if (!rc && !strcmp(step, "taken"))
        rc = get_exact(record, "taken", &t->taken, err);
    for (size_t i = 0; i < sizeof(step_members) / sizeof(step_members[0]); i++)
        if (!strcmp(step, step_members[i].key))
            *flag_of(t, &step_members[i]) = true;
    return rc;
}
