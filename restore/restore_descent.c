/*
 * A snapshot's tree as a stream of events.
 *
 * Memory is one tree reader for each level of the path that is being looked at; a directory of any size is a stream too. Depth is
 * bounded, because nothing proves that a catalogue from elsewhere has no tree that holds itself (P11).
 */
#include <stdlib.h>
#include <string.h>

#include "restore_internal.h"

struct level {
    struct tree_reader *reader; /* NULL until its first entry is asked for, and again once it is at its end */
    struct chunk_id tree;
    size_t path_len; /* of the directory itself */
    bool opened, over;
};

/*
 * Frames with trees in them, held while the walk is near them: a frame holds thousands of trees, and the catalogue's own cache belongs to the
 * threads that read content at the same time.
 */
#define PINNED_MAX 3

struct descent {
    struct catalog *cat;
    struct open_frame pinned[PINNED_MAX]; /* the first is the one used last */
    struct tree_reader *root;             /* of the tree that holds the single entry "." */
    bool begun;
    struct level *levels;
    size_t depth, cap;
    struct buffer path;
};

static void close_reader(struct tree_reader *r)
{
    if (r)
        tree_reader_close(r);
}

/* A convenience: whatever is wrong here is found, and said, when the tree itself is read. */
static void pin(struct descent *d, const struct chunk_id *tree)
{
    struct error ignored = ERROR_INIT;
    struct chunk_place place;
    struct open_frame found;
    size_t i = 0;

    if (chunk_find(d->cat, tree, &place, &ignored))
        return;
    while (i < PINNED_MAX - 1 && (d->pinned[i].pack != place.pack || d->pinned[i].number != place.frame))
        i++;
    found = d->pinned[i];
    memmove(&d->pinned[1], &d->pinned[0], i * sizeof(found));
    if (open_frame_hold(&found, d->cat, &place, &ignored))
        found = (struct open_frame)OPEN_FRAME_INIT;
    d->pinned[0] = found;
}

static enum error_kind descend(struct descent *d, const struct chunk_id *tree, struct error *err)
{
    if (d->depth == RESTORE_DEPTH_MAX)
        return error_set(err, ERR_CORRUPT, 0, "directories in the snapshot are more than %d levels deep",
                         RESTORE_DEPTH_MAX);
    if (d->depth == d->cap) {
        size_t cap = d->cap ? d->cap * 2 : 32;
        struct level *grown = reallocarray(d->levels, cap, sizeof(*grown));

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory at %zu levels of a tree", cap);
        d->levels = grown;
        d->cap = cap;
    }
    d->levels[d->depth++] = (struct level){.tree = *tree, .path_len = d->path.len};
    return OK;
}

enum error_kind descent_open(struct catalog *cat, const struct chunk_id *root, struct descent **out, struct error *err)
{
    struct descent *d = calloc(1, sizeof(*d));
    enum error_kind rc;

    if (!d)
        return error_set(err, ERR_MEMORY, 0, "out of memory for walking a tree");
    d->cat = cat;
    d->path = (struct buffer)BUFFER_INIT(RESTORE_PATH_MAX);
    rc = buffer_append(&d->path, "", 0, err);
    if (!rc)
        rc = buffer_reserve(&d->path, 1, err);
    if (!rc)
        rc = tree_reader_open(cat, root, &d->root, err);
    if (rc) {
        descent_close(d);
        return rc;
    }
    d->path.data[0] = '\0';
    *out = d;
    return OK;
}

void descent_close(struct descent *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->depth; i++)
        close_reader(d->levels[i].reader);
    close_reader(d->root);
    for (size_t i = 0; i < PINNED_MAX; i++)
        open_frame_release(&d->pinned[i]);
    free(d->levels);
    buffer_release(&d->path);
    free(d);
}

void descent_prune(struct descent *d)
{
    if (d->depth > 0)
        d->levels[d->depth - 1].over = true;
}

static void path_cut(struct descent *d, size_t len)
{
    d->path.len = len;
    d->path.data[len] = '\0';
}

static enum error_kind path_add(struct descent *d, const struct tree_entry *e, struct error *err)
{
    enum error_kind rc = OK;

    if (!name_is_safe(e->name, e->name_len))
        return error_set(err, ERR_CORRUPT, 0, "a tree holds a name that is not one safe component");
    if (d->path.len > 0)
        rc = buffer_append_u8(&d->path, '/', err);
    return rc ? rc : buffer_append(&d->path, e->name, e->name_len, err);
}

static void show(const struct descent *d, enum descent_event event, size_t name_at, struct descent_item *out)
{
    out->event = event;
    out->path = (const char *)d->path.data;
    out->path_len = d->path.len;
    out->name = out->path + name_at;
}

/* The root's tree holds the root's own attributes, under the name ".", and nothing else. */
static enum error_kind enter_root(struct descent *d, struct descent_item *out, struct error *err)
{
    bool more = false;
    enum error_kind rc = tree_reader_next(d->root, &out->entry, &more, err);

    if (rc)
        return rc;
    if (!more || out->entry.name_len != 1 || out->entry.name[0] != '.' || out->entry.type != TREE_DIRECTORY)
        return error_set(err, ERR_CORRUPT, 0, "the root of the snapshot's tree is no directory");
    d->begun = true;
    show(d, DESCENT_ENTER, 0, out);
    return descend(d, &out->entry.tree, err);
}

static enum error_kind leave(struct descent *d, struct descent_item *out)
{
    struct level *l = &d->levels[d->depth - 1];
    const char *slash;

    close_reader(l->reader);
    path_cut(d, l->path_len);
    d->depth--;
    slash = memrchr(d->path.data, '/', d->path.len);
    show(d, DESCENT_LEAVE, slash ? (size_t)(slash + 1 - (const char *)d->path.data) : 0, out);
    return OK;
}

/* The next entry of the directory that is being read; a listing that can't be read is an event, not an end. */
static enum error_kind next_entry(struct descent *d, struct level *l, struct descent_item *out, bool *more,
                                  struct error *err)
{
    enum error_kind rc = OK;

    *more = false;
    path_cut(d, l->path_len);
    if (!l->opened) {
        l->opened = true;
        pin(d, &l->tree);
        rc = tree_reader_open(d->cat, &l->tree, &l->reader, err);
    }
    if (!rc)
        rc = tree_reader_next(l->reader, &out->entry, more, err);
    if (!rc && *more)
        rc = path_add(d, &out->entry, err);
    return rc;
}

enum error_kind descent_next(struct descent *d, struct descent_item *out, struct error *err)
{
    struct level *l;
    bool more = false;
    enum error_kind rc;

    if (!d->begun)
        return enter_root(d, out, err);
    if (d->depth == 0) {
        out->event = DESCENT_END;
        return OK;
    }
    l = &d->levels[d->depth - 1];
    if (l->over)
        return leave(d, out);
    rc = next_entry(d, l, out, &more, err);
    if (rc == ERR_CORRUPT) {
        l->over = true;
        path_cut(d, l->path_len);
        show(d, DESCENT_DAMAGED, 0, out);
        out->error = *err;
        error_clear(err);
        return OK;
    }
    if (rc)
        return rc;
    if (!more)
        return leave(d, out);
    show(d, out->entry.type == TREE_DIRECTORY ? DESCENT_ENTER : DESCENT_ENTRY, l->path_len ? l->path_len + 1 : 0, out);
    return out->entry.type == TREE_DIRECTORY ? descend(d, &out->entry.tree, err) : OK;
}

int descent_order(const char *a, const char *b)
{
    int x;
    int y;

    while (*a && *a == *b) {
        a++;
        b++;
    }
    x = *a == '/' ? 1 : *a ? (unsigned char)*a + 1 : 0;
    y = *b == '/' ? 1 : *b ? (unsigned char)*b + 1 : 0;
    return x - y;
}

enum error_kind restore_root_find(const struct snapshot_record *snapshot, const char *name, unsigned *out,
                                  struct error *err)
{
    for (size_t i = 0; i < snapshot->root_count; i++) {
        if (strcmp(snapshot->roots[i].name, name) == 0) {
            *out = (unsigned)i;
            return OK;
        }
    }
    return error_set(err, ERR_NOT_FOUND, 0, "snapshot %.12s holds no files of \"%s\"", snapshot->id, name);
}

bool restore_wanted(const struct restore_options *options, const char *path, bool is_folder)
{
    const char *const *include = options->include;

    if (options->select && !options->select(options->select_arg, path, is_folder))
        return false;
    for (size_t i = 0; options->exclude && i < options->exclude->count; i++) {
        if (text_match(options->exclude->items[i], path, 0))
            return false;
    }
    if (!include || !include[0])
        return true;
    for (size_t i = 0; include[i]; i++) {
        if (text_match(include[i], path, 0))
            return true;
    }
    return false;
}
