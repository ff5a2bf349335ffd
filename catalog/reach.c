#include <stdlib.h>
#include <string.h>

#include "list_internal.h"
#include "record_internal.h"
#include "tree_internal.h"

/*
 * Two trees are walked side by side, the new one and that of a snapshot that stands whole. Where they name the same id, all below it
 * is known to stand: it did when that snapshot was committed (C2), nothing that it reaches was removed since (C6), and no damage is
 * known, or the caller would have given no base. So a check costs what changed, not what there is.
 */
struct reach {
    struct catalog *cat;
    struct buffer path; /* where we are, for the message */
    size_t held;        /* bytes of the readers that are open above */
    unsigned lookups;
    struct reach_set *set; /* after many lookups; NULL: none, or not yet */
};

#define LOOKUPS_BEFORE_SET 2000 /* reading the whole table costs about as much */

static enum error_kind check_id(struct reach *r, const struct chunk_id *id, enum chunk_type type, struct error *err)
{
    struct chunk_row row;
    bool found = false;
    char hex[2 * HASH_LEN + 1];
    enum error_kind rc = OK;

    if (r->lookups++ == LOOKUPS_BEFORE_SET)
        rc = reach_set_load(r->cat, &r->set, err);
    if (rc || (r->set && reach_set_has(r->set, id, type)))
        return rc;
    rc = index_chunk_find(r->cat->index, id, &row, &found, err);
    if (rc || (found && chunk_row_stands(&row) && row.type == type))
        return rc;
    hex_encode(id->hash, HASH_LEN, hex);
    error_set(err, ERR_CORRUPT, 0, "%s: chunk %s.%u %s", r->path.len > 0 ? (const char *)r->path.data : "the snapshot",
              hex, id->attempt,
              !found             ? "is not in the catalogue"
              : row.damaged      ? "lies in a damaged place"
              : row.type != type ? "is of another type"
                                 : "lies in a pack that is not in place");
    error_hint(err, "take the snapshot again: what is damaged or missing is then stored anew");
    return ERR_CORRUPT;
}

static enum error_kind check_list(struct reach *r, const struct chunk_id *list, int level, struct error *err);

static enum error_kind check_list_below(struct reach *r, const struct list_view *view, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < view->count; i++) {
        struct chunk_id id;

        list_view_id(view, i, &id);
        rc = view->level > 0 ? check_list(r, &id, (int)view->level - 1, err) : check_id(r, &id, CHUNK_DATA, err);
    }
    return rc;
}

/* level: what it must be, so that recursion is bounded; -1: any. */
static enum error_kind check_list(struct reach *r, const struct chunk_id *list, int level, struct error *err)
{
    struct buffer bytes = BUFFER_INIT(LIST_LEN_MAX);
    struct list_view view;
    enum error_kind rc = check_id(r, list, CHUNK_LIST, err);

    if (!rc)
        rc = list_read(r->cat, list, &bytes, &view, err);
    if (!rc && level >= 0 && view.level != (unsigned)level)
        rc = error_set(err, ERR_CORRUPT, 0, "a list of ids has level %u where %d should be", view.level, level);
    if (!rc)
        rc = check_list_below(r, &view, err);
    buffer_release(&bytes);
    return rc;
}

static enum error_kind check_tree(struct reach *r, const struct chunk_id *tree, const struct chunk_id *base,
                                  unsigned depth, struct error *err);

static bool same_file(const struct tree_entry *e, const struct tree_entry *base)
{
    if (!base || base->type != TREE_FILE || e->has_list != base->has_list || e->chunk_count != base->chunk_count)
        return false;
    if (e->has_list)
        return chunk_id_equal(&e->list, &base->list);
    for (size_t i = 0; i < e->chunk_count; i++)
        if (!chunk_id_equal(&e->chunks[i], &base->chunks[i]))
            return false;
    return true;
}

static enum error_kind check_entry(struct reach *r, const struct tree_entry *e, const struct tree_entry *base,
                                   struct error *err)
{
    enum error_kind rc = OK;

    if (e->type != TREE_FILE || same_file(e, base))
        return OK;
    if (e->has_list)
        return check_list(r, &e->list, -1, err);
    for (size_t i = 0; !rc && i < e->chunk_count; i++)
        rc = check_id(r, &e->chunks[i], CHUNK_DATA, err);
    return rc;
}

static int compare_names(const struct tree_entry *a, const struct tree_entry *b)
{
    size_t common = a->name_len < b->name_len ? a->name_len : b->name_len;
    int order = memcmp(a->name, b->name, common);

    return order ? order : (a->name_len > b->name_len) - (a->name_len < b->name_len);
}

/* The base's entry of the same name, if there is one. *have says that `at` is one that was read and not passed yet. */
static enum error_kind catch_up(struct tree_reader *base, const struct tree_entry *e, struct tree_entry *at, bool *have,
                                const struct tree_entry **out, struct error *err)
{
    enum error_kind rc = OK;

    *out = NULL;
    while (!rc && *have && compare_names(at, e) < 0)
        rc = tree_reader_next(base, at, have, err);
    if (!rc && *have && compare_names(at, e) == 0)
        *out = at;
    return rc;
}

static enum error_kind push_name(struct reach *r, const struct tree_entry *e, struct error *err)
{
    enum error_kind rc = OK;

    if (e->name_len == 1 && e->name[0] == '.')
        return OK;
    if (r->path.len > 0)
        rc = buffer_append_u8(&r->path, '/', err);
    return rc ? rc : buffer_append(&r->path, e->name, e->name_len, err);
}

/*
 * Down into a directory. When the readers that are open take too much, the new tree's is parked; the base's is given up, which leaves
 * more to look at and nothing out.
 */
static enum error_kind check_below(struct reach *r, struct tree_reader *new, struct tree_reader **base,
                                   const struct tree_entry *e, const struct tree_entry *same, unsigned depth,
                                   struct error *err)
{
    struct chunk_id tree = e->tree;
    struct chunk_id other = {.attempt = 0};
    bool both = same && same->type == TREE_DIRECTORY;
    size_t held = r->held;
    size_t more = tree_reader_memory(new) + (*base ? tree_reader_memory(*base) : 0);
    enum error_kind rc;

    if (both)
        other = same->tree;
    if (both && chunk_id_equal(&tree, &other))
        return OK;
    if (held + more > TREE_HELD_MAX) {
        tree_reader_park(new);
        tree_reader_close(*base);
        *base = NULL;
    } else {
        r->held += more;
    }
    rc = check_tree(r, &tree, both ? &other : NULL, depth + 1, err);
    r->held = held;
    return rc;
}

/* base: given up on the way when memory is short; NULL: none */
static enum error_kind check_entries(struct reach *r, struct tree_reader *new, struct tree_reader **base,
                                     unsigned depth, struct error *err)
{
    struct tree_entry e, at;
    const struct tree_entry *same = NULL;
    bool more = true, have = false;
    size_t mark = r->path.len;
    enum error_kind rc = *base ? tree_reader_next(*base, &at, &have, err) : OK;

    while (!rc) {
        rc = tree_reader_next(new, &e, &more, err);
        if (rc || !more)
            break;
        rc = catch_up(*base, &e, &at, &have, &same, err);
        if (!rc)
            rc = push_name(r, &e, err);
        if (!rc)
            rc = e.type == TREE_DIRECTORY ? check_below(r, new, base, &e, same, depth, err)
                                          : check_entry(r, &e, same, err);
        have = have && *base;
        r->path.len = mark;
    }
    return rc;
}

static enum error_kind check_tree(struct reach *r, const struct chunk_id *tree, const struct chunk_id *base,
                                  unsigned depth, struct error *err)
{
    struct tree_reader *new = NULL;
    struct tree_reader *old = NULL;
    enum error_kind rc = OK;

    if (base && chunk_id_equal(tree, base))
        return OK;
    if (depth > TREE_DEPTH_MAX)
        return error_set(err, ERR_CORRUPT, 0, "directories lie deeper than %d levels", TREE_DEPTH_MAX);
    rc = check_id(r, tree, CHUNK_TREE, err);
    if (!rc)
        rc = tree_reader_open(r->cat, tree, &new, err);
    for (uint32_t i = 0; !rc && i < tree_reader_parts(new); i++) {
        struct chunk_id part;

        tree_reader_part(new, i, &part);
        rc = check_id(r, &part, CHUNK_PART, err);
    }
    if (!rc && base)
        rc = tree_reader_open(r->cat, base, &old, err);
    if (!rc)
        rc = check_entries(r, new, &old, depth, err);
    tree_reader_close(old);
    tree_reader_close(new);
    return rc;
}

static const struct chunk_id *base_root(const struct snapshot_record *base, const char *name)
{
    for (size_t i = 0; base && i < base->root_count; i++)
        if (strcmp(base->roots[i].name, name) == 0)
            return &base->roots[i].tree;
    return NULL;
}

static enum error_kind check_all(struct reach *r, const struct snapshot_record *record,
                                 const struct snapshot_record *base, struct error *err)
{
    bool same_dump = base && base->has_dump && record->has_dump && chunk_id_equal(&base->dump, &record->dump);
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < record->root_count; i++)
        rc = check_tree(r, &record->roots[i].tree, base_root(base, record->roots[i].name), 0, err);
    buffer_clear(&r->path);
    for (size_t i = 0; !rc && i < record->link_count; i++)
        rc = check_id(r, &record->links[i], CHUNK_LINKS, err);
    if (!rc && record->has_dump && !same_dump)
        rc = check_list(r, &record->dump, -1, err);
    return rc;
}

enum error_kind reach_check(struct catalog *cat, const struct snapshot_record *record,
                            const struct snapshot_record *base, struct error *err)
{
    struct reach r = {.cat = cat, .path = BUFFER_INIT(64u << 20)};
    enum error_kind rc = index_run(cat->index, INDEX_VIEW, err);

    if (!rc)
        rc = check_all(&r, record, base, err);
    index_rollback(cat->index);
    reach_set_free(r.set);
    buffer_release(&r.path);
    return rc;
}
