#include "maintain_internal.h"
#include "rebuild_internal.h"

struct carry {
    struct rebuild *r;
    struct error failure; /* of the new index; the old one's end the reading, no more */
};

/* The new row of a pack that the old index knows by this number. */
static bool pack_now(struct rebuild *r, uint64_t old_number, struct pack_row *out)
{
    struct error ignored = ERROR_INIT;
    struct pack_row old;
    bool found = false;

    return index_pack_find(r->old, old_number, &old, &found, &ignored) == OK && found &&
           index_pack_find_name(r->cat.index, old.name, out, &found, &ignored) == OK && found;
}

/* Where a repair lies in a newer pack, nothing leads to the damaged frame any more. */
static enum error_kind is_needed(struct index *ix, uint64_t pack, int64_t frame, bool *out, struct error *err)
{
    struct index_statement *st = NULL;
    enum error_kind rc = index_prepare(ix, "SELECT 1 FROM chunks WHERE pack = ?1 AND frame = ?2 LIMIT 1", &st, err);

    if (!rc) {
        index_bind_number(st, 1, (int64_t)pack);
        index_bind_number(st, 2, frame);
        rc = index_step(st, out, err);
    }
    index_finish(st);
    return rc;
}

/* A whole pack's damage was seen anew, or has passed. A frame's bytes were not looked at. */
static enum error_kind carry_damage(void *arg, uint64_t pack, int64_t frame, const char *what, int64_t moment_ns,
                                    struct error *err)
{
    struct carry *c = arg;
    struct pack_row now;
    bool needed = false;
    enum error_kind rc;

    (void)moment_ns;
    (void)err;
    if (frame < 0 || !pack_now(c->r, pack, &now))
        return OK;
    rc = is_needed(c->r->cat.index, now.number, frame, &needed, &c->failure);
    if (!rc && needed)
        rc = index_damage_add(c->r->cat.index, now.number, frame, what, &c->failure);
    return rc ? ERR_CANCELLED : OK;
}

static enum error_kind carry_check(void *arg, const struct pack_row *old, struct error *err)
{
    struct carry *c = arg;
    struct error ignored = ERROR_INIT;
    struct pack_row now;
    int64_t moment = 0;

    (void)err;
    if (check_row_read(c->r->old, old->number, &moment, &ignored) != OK || moment == 0 ||
        !pack_now(c->r, old->number, &now))
        return OK;
    return check_row_write(c->r->cat.index, now.number, moment, &c->failure) ? ERR_CANCELLED : OK;
}

enum error_kind rebuild_copy_notes(struct rebuild *r, struct error *err)
{
    struct carry c = {r, ERROR_INIT};
    struct error ignored = ERROR_INIT;
    enum error_kind rc;

    if (!r->old)
        return OK;
    rc = index_begin(r->cat.index, err);
    if (rc)
        return rc;
    (void)index_damage_each(r->old, carry_damage, &c, &ignored);
    if (!c.failure.kind)
        (void)index_pack_each(r->old, carry_check, &c, &ignored);
    if (c.failure.kind) {
        *err = c.failure;
        rc = c.failure.kind;
    }
    if (!rc)
        rc = index_commit(r->cat.index, err);
    index_rollback(r->cat.index);
    return rc;
}
