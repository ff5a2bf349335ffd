#include <string.h>

#include "restore_internal.h"

/* One side of a comparison: its entries in walk order, the ends of directories left out. */
struct side {
    struct descent *descent; /* NULL: this snapshot has no such root */
    struct descent_item item;
};

static enum error_kind advance(struct side *s, struct error *err)
{
    enum error_kind rc = OK;

    if (!s->descent) {
        s->item.event = DESCENT_END;
        return OK;
    }
    do
        rc = descent_next(s->descent, &s->item, err);
    while (!rc && s->item.event == DESCENT_LEAVE);
    if (!rc && s->item.event == DESCENT_DAMAGED) {
        *err = s->item.error;
        error_context(err, "reading the folder %s", s->item.path[0] ? s->item.path : ".");
        rc = err->kind;
    }
    return rc;
}

static uint64_t size_of(const struct tree_entry *e)
{
    return e->type == TREE_FILE ? e->size : 0;
}

/* What differs between two entries of the same path; false: nothing. */
static bool judge(const struct tree_entry *a, const struct tree_entry *b, enum difference_kind *out)
{
    if (a->type != b->type)
        *out = DIFFERENCE_TYPE;
    else if (a->type != TREE_DIRECTORY && !tree_content_equal(a, b))
        *out = DIFFERENCE_CONTENT;
    else if (!tree_attributes_equal(a, b))
        *out = DIFFERENCE_ATTRIBUTES;
    else
        return false;
    return true;
}

static enum error_kind compare_both(struct side *a, struct side *b, struct difference *d, difference_fn *fn, void *arg,
                                    struct error *err)
{
    const struct tree_entry *x = &a->item.entry;
    const struct tree_entry *y = &b->item.entry;

    if (x->type == TREE_DIRECTORY && y->type == TREE_DIRECTORY && chunk_id_equal(&x->tree, &y->tree)) {
        descent_prune(a->descent);
        descent_prune(b->descent);
    }
    if (!judge(x, y, &d->kind))
        return OK;
    d->path = a->item.path[0] ? a->item.path : ".";
    d->type = y->type;
    d->old_size = size_of(x);
    d->new_size = size_of(y);
    return fn(arg, d, err);
}

static enum error_kind only_one(const struct side *s, enum difference_kind kind, struct difference *d,
                                difference_fn *fn, void *arg, struct error *err)
{
    uint64_t size = size_of(&s->item.entry);

    d->kind = kind;
    d->path = s->item.path[0] ? s->item.path : ".";
    d->type = s->item.entry.type;
    d->old_size = kind == DIFFERENCE_REMOVED ? size : 0;
    d->new_size = kind == DIFFERENCE_ADDED ? size : 0;
    return fn(arg, d, err);
}

static enum error_kind compare_root(struct catalog *cat, const struct snapshot_root *a, const struct snapshot_root *b,
                                    difference_fn *fn, void *arg, struct error *err)
{
    struct side x = {.item = {.event = DESCENT_END}};
    struct side y = {.item = {.event = DESCENT_END}};
    enum error_kind rc = OK;

    if (a && b && chunk_id_equal(&a->tree, &b->tree))
        return OK;
    if (a)
        rc = descent_open(cat, &a->tree, &x.descent, err);
    if (!rc && b)
        rc = descent_open(cat, &b->tree, &y.descent, err);
    if (!rc)
        rc = advance(&x, err);
    if (!rc)
        rc = advance(&y, err);
    while (!rc && (x.item.event != DESCENT_END || y.item.event != DESCENT_END)) {
        struct difference d = {.root = a ? a->name : b->name};
        int order = x.item.event == DESCENT_END   ? 1
                    : y.item.event == DESCENT_END ? -1
                                                  : descent_order(x.item.path, y.item.path);

        rc = cancel_check(err);
        if (!rc && order == 0)
            rc = compare_both(&x, &y, &d, fn, arg, err);
        else if (!rc)
            rc = order < 0 ? only_one(&x, DIFFERENCE_REMOVED, &d, fn, arg, err)
                           : only_one(&y, DIFFERENCE_ADDED, &d, fn, arg, err);
        if (!rc && order <= 0)
            rc = advance(&x, err);
        if (!rc && order >= 0)
            rc = advance(&y, err);
    }
    descent_close(x.descent);
    descent_close(y.descent);
    return rc;
}

static const struct snapshot_root *root_named(const struct snapshot_record *s, const char *name)
{
    for (size_t i = 0; i < s->root_count; i++) {
        if (strcmp(s->roots[i].name, name) == 0)
            return &s->roots[i];
    }
    return NULL;
}

enum error_kind difference_snapshots(struct catalog *cat, const struct snapshot_record *a,
                                     const struct snapshot_record *b, difference_fn *fn, void *arg, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < a->root_count; i++)
        rc = compare_root(cat, &a->roots[i], root_named(b, a->roots[i].name), fn, arg, err);
    for (size_t i = 0; !rc && i < b->root_count; i++) {
        if (!root_named(a, b->roots[i].name))
            rc = compare_root(cat, NULL, &b->roots[i], fn, arg, err);
    }
    return rc;
}
