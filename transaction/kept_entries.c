/*
 * Reading a snapshot's entries in step with a walk: both go in walk order, so one reader a level is enough, whatever the size of the shop.
 */
#include <stdlib.h>
#include <string.h>

#include "transaction_internal.h"

#define DEPTH_MAX 4096

struct level {
    struct tree_reader *reader;
    struct tree_entry entry; /* the next one not yet passed; borrowed from the reader */
    bool more;
    size_t path_len; /* of the directory's path in `path` */
};

struct entry_steps {
    struct catalog *cat;
    struct level *levels;
    size_t depth, cap;
    struct buffer path; /* of the deepest open directory */
};

void entry_steps_close(struct entry_steps *s)
{
    if (!s)
        return;
    while (s->depth)
        tree_reader_close(s->levels[--s->depth].reader);
    free(s->levels);
    buffer_release(&s->path);
    free(s);
}

static enum error_kind push(struct entry_steps *s, const struct chunk_id *tree, struct error *err)
{
    struct level *l;
    enum error_kind rc;

    if (s->depth >= DEPTH_MAX)
        return error_set(err, ERR_CORRUPT, 0, "the snapshot's folders are nested too deep");
    if (s->depth == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 16;
        struct level *grown = realloc(s->levels, cap * sizeof(*grown));

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory");
        s->levels = grown;
        s->cap = cap;
    }
    l = &s->levels[s->depth];
    *l = (struct level){.path_len = s->path.len};
    rc = tree_reader_open(s->cat, tree, &l->reader, err);
    if (rc)
        return rc;
    s->depth++;
    return tree_reader_next(l->reader, &l->entry, &l->more, err);
}

enum error_kind entry_steps_open(struct catalog *cat, const struct snapshot_record *snapshot, const char *root_name,
                                 struct entry_steps **out, struct error *err)
{
    struct entry_steps *s = NULL;
    enum error_kind rc = memory_zeroed(1, sizeof(*s), (void **)&s, err);

    if (rc)
        return rc;
    s->cat = cat;
    s->path = (struct buffer)BUFFER_INIT(16u << 20);
    rc = error_set(err, ERR_NOT_FOUND, 0, "the snapshot has no root \"%s\"", root_name);
    for (size_t i = 0; i < snapshot->root_count; i++)
        if (!strcmp(snapshot->roots[i].name, root_name)) {
            error_clear(err);
            rc = push(s, &snapshot->roots[i].tree, err); /* the tree with the single entry "." */
        }
    if (rc) {
        entry_steps_close(s);
        return rc;
    }
    *out = s;
    return OK;
}

static int compare(const struct tree_entry *e, const char *name, size_t len)
{
    size_t n = e->name_len < len ? e->name_len : len;
    int order = memcmp(e->name, name, n);

    if (order)
        return order;
    return e->name_len < len ? -1 : e->name_len > len;
}

/* Pass over names that the walk did not have; stop at `name` or behind it. */
static enum error_kind advance(struct level *l, const char *name, size_t len, bool *found, struct error *err)
{
    enum error_kind rc = OK;

    while (!rc && l->more && compare(&l->entry, name, len) < 0)
        rc = tree_reader_next(l->reader, &l->entry, &l->more, err);
    *found = !rc && l->more && compare(&l->entry, name, len) == 0;
    return rc;
}

/* Is the open directory at depth d an ancestor of path, or the folder that holds it? */
static bool holds(const struct entry_steps *s, size_t d, const char *path)
{
    size_t n = s->levels[d].path_len;

    return n == 0 || (!strncmp(path, (const char *)s->path.data, n) && path[n] == '/');
}

static enum error_kind descend(struct entry_steps *s, const char *path, size_t *at, bool *lost, struct error *err)
{
    for (;;) {
        const char *rest = path + *at;
        const char *slash = strchr(rest, '/');
        struct level *l = &s->levels[s->depth - 1];
        struct chunk_id tree;
        bool found = false;
        enum error_kind rc;

        if (!slash)
            return OK;
        rc = advance(l, rest, (size_t)(slash - rest), &found, err);
        if (rc)
            return rc;
        if (!found || l->entry.type != TREE_DIRECTORY) {
            *lost = true;
            return OK;
        }
        tree = l->entry.tree;
        if (s->path.len)
            rc = buffer_append_text(&s->path, "/", err);
        if (!rc)
            rc = buffer_append(&s->path, rest, (size_t)(slash - rest), err);
        if (!rc)
            rc = push(s, &tree, err);
        if (rc)
            return rc;
        *at = (size_t)(slash - path) + 1;
    }
}

enum error_kind entry_steps_get(struct entry_steps *s, const char *path, const struct tree_entry **out,
                                struct error *err)
{
    size_t at = 0;
    bool found = false;
    bool lost = false;
    enum error_kind rc = OK;

    *out = NULL;
    if (!*path) {
        *out = s->depth == 1 && s->levels[0].more ? &s->levels[0].entry : NULL;
        return OK;
    }
    if (s->depth == 1) { /* below the root: its entry "." has been seen */
        struct chunk_id tree = s->levels[0].entry.tree;

        if (!s->levels[0].more || s->levels[0].entry.type != TREE_DIRECTORY)
            return OK;
        rc = push(s, &tree, err);
    }
    while (!rc && s->depth > 2 && !holds(s, s->depth - 1, path)) {
        tree_reader_close(s->levels[--s->depth].reader);
        s->path.len = s->levels[s->depth - 1].path_len;
    }
    if (rc)
        return rc;
    at = s->levels[s->depth - 1].path_len;
    at += at > 0;
    rc = descend(s, path, &at, &lost, err);
    if (rc || lost)
        return rc;
    rc = advance(&s->levels[s->depth - 1], path + at, strlen(path + at), &found, err);
    if (!rc && found)
        *out = &s->levels[s->depth - 1].entry;
    return rc;
}

/* ---- linked files ---- */

/* Does the live tree still have this very file under the same name? */
static bool still_shared(const struct linked_entries *l, const char *path, const struct stat *st)
{
    struct error ignored = ERROR_INIT;
    struct stat there;
    char *live = NULL;
    bool shared;

    if (path_join(l->live, path, &live, &ignored))
        return true;
    shared = lstat(live, &there) == 0 && there.st_ino == st->st_ino && there.st_dev == st->st_dev;
    free(live);
    return shared;
}

/*
 * Which side wrote through the link? The old tree that was taken away never did: whatever differs came from the new shop. A new
 * tree that an undo took away did so while it ran; the undo then gave the old tree a file of its own, so that a
 * file which is no longer shared is the new shop's, and one that still is was written by the old shop since. And the live tree, read while
 * another stands beside it that nobody runs in, did all of it itself.
 */
static bool stands_for_entry(const struct linked_entries *l, const char *path, const struct stat *st)
{
    enum linked_state state = linked_find(l->linked, path, st);

    if (state == LINKED_NO || !l->steps)
        return false;
    if (state == LINKED_SAME)
        return !catalog_damaged(l->cat); /* the file has the same content: what may be damaged is stored anew */
    return !l->own_writes && (l->kept_is_old || still_shared(l, path, st));
}

enum error_kind linked_entries_ask(void *entries, const char *path, const struct stat *st, const void **encoded,
                                   size_t *len, struct error *err)
{
    struct linked_entries *l = entries;
    const struct tree_entry *entry = NULL;
    enum error_kind rc;

    *encoded = NULL;
    if (!stands_for_entry(l, path, st))
        return OK;
    rc = entry_steps_get(l->steps, path, &entry, err);
    if (rc || !entry)
        return rc;
    buffer_clear(&l->encoded);
    rc = tree_entry_encode(entry, &l->encoded, err);
    *encoded = l->encoded.data;
    *len = l->encoded.len;
    return rc;
}

void linked_entries_release(struct linked_entries *l)
{
    entry_steps_close(l->steps);
    l->steps = NULL;
    buffer_release(&l->encoded);
}
