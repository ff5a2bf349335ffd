/*
 * Exchanging trees. Nobody "exchanges" here: units_ensure() asks that a side be live, looks at identities, and renames only
 * where they differ (T2, T4). An exchange done twice would undo itself.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "transaction_internal.h"

void units_release(struct units *u)
{
    for (size_t i = 0; i < u->count; i++) {
        free(u->items[i].live);
        free(u->items[i].slot);
    }
    free(u->items);
    *u = (struct units)UNITS_INIT;
}

enum error_kind units_add(struct units *u, const char *live, const char *slot, struct error *err)
{
    struct unit unit = {NULL, NULL, false, false, {0, 0, 0}, {0, 0, 0}};
    struct unit *items = realloc(u->items, (u->count + 1) * sizeof(*items));
    enum error_kind rc;

    if (!items)
        return error_set(err, ERR_MEMORY, 0, "out of memory");
    u->items = items;
    rc = memory_string(live, &unit.live, err);
    if (!rc)
        rc = memory_string(slot, &unit.slot, err);
    if (rc) {
        free(unit.live);
        free(unit.slot);
        return rc;
    }
    u->items[u->count++] = unit;
    return OK;
}

static enum error_kind look(const char *path, bool *there, struct file_identity *id, struct error *err)
{
    struct error why = ERROR_INIT;
    enum error_kind rc = file_identity_at(AT_FDCWD, path, id, &why);

    *there = rc == OK;
    if (rc && rc != ERR_NOT_FOUND) {
        error_copy(err, &why);
        return rc;
    }
    return OK;
}

enum error_kind units_identify(struct units *u, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; i < u->count && !rc; i++) {
        struct unit *t = &u->items[i];

        rc = look(t->live, &t->has_old, &t->old_identity, err);
        if (!rc)
            rc = look(t->slot, &t->has_new, &t->new_identity, err);
        if (!rc && !t->has_old && !t->has_new)
            rc = error_set(err, ERR_IO, 0, "neither %s nor %s exists", t->live, t->slot);
    }
    return rc;
}

static bool stands(bool there, const struct file_identity *is, bool wanted, const struct file_identity *want)
{
    if (!wanted)
        return !there;
    return there && file_identity_equal(is, want);
}

static enum error_kind misplaced(const struct unit *t, struct error *err)
{
    enum error_kind rc =
        error_set(err, ERR_PENDING, 0, "%s is neither the old nor the new tree of this transaction", t->live);

    error_hint(err, "something else renamed it; put back what was there (or move it away) and run recover again");
    return rc;
}

static enum error_kind unit_ensure(const struct unit *t, bool new_side, struct error *err)
{
    bool want_it = new_side ? t->has_new : t->has_old;
    bool other_it = new_side ? t->has_old : t->has_new;
    const struct file_identity *want = new_side ? &t->new_identity : &t->old_identity;
    const struct file_identity *other = new_side ? &t->old_identity : &t->new_identity;
    struct file_identity live_id = {0, 0, 0};
    struct file_identity slot_id = {0, 0, 0};
    bool live = false;
    bool slot = false;
    enum error_kind rc = look(t->live, &live, &live_id, err);

    if (!rc)
        rc = look(t->slot, &slot, &slot_id, err);
    if (rc)
        return rc;
    if (stands(live, &live_id, want_it, want))
        goto sync; /* a crash may have come between the rename and the sync */
    if (!stands(live, &live_id, other_it, other) || !stands(slot, &slot_id, want_it, want))
        return misplaced(t, err);
    if (live && slot)
        rc = file_exchange(AT_FDCWD, t->live, AT_FDCWD, t->slot, err);
    else if (slot)
        rc = file_rename_new(AT_FDCWD, t->slot, AT_FDCWD, t->live, err);
    else
        rc = file_rename_new(AT_FDCWD, t->live, AT_FDCWD, t->slot, err);
sync:
    if (!rc)
        rc = directory_sync_parent(t->live, err);
    if (!rc)
        rc = directory_sync_parent(t->slot, err);
    return rc;
}

enum error_kind units_ensure(const struct units *u, bool new_side, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; i < u->count && !rc; i++) {
        rc = unit_ensure(&u->items[i], new_side, err);
        if (rc)
            error_context(err, "exchanging %s", u->items[i].live);
    }
    return rc;
}

enum error_kind units_are(const struct units *u, bool new_side, bool *out, struct error *err)
{
    *out = true;
    for (size_t i = 0; i < u->count; i++) {
        const struct unit *t = &u->items[i];
        struct file_identity id = {0, 0, 0};
        bool there = false;
        enum error_kind rc = look(t->live, &there, &id, err);

        if (rc)
            return rc;
        if (!stands(there, &id, new_side ? t->has_new : t->has_old, new_side ? &t->new_identity : &t->old_identity))
            *out = false;
    }
    return OK;
}

enum error_kind units_are_kept(const struct units *u, bool new_side, const char **missing, struct error *err)
{
    *missing = NULL;
    for (size_t i = 0; i < u->count && !*missing; i++) {
        const struct unit *t = &u->items[i];
        struct file_identity id = {0, 0, 0};
        bool there = false;
        enum error_kind rc = look(t->slot, &there, &id, err);

        if (rc)
            return rc;
        if (!stands(there, &id, new_side ? t->has_new : t->has_old, new_side ? &t->new_identity : &t->old_identity))
            *missing = t->slot;
    }
    return OK;
}
