/*
 * A snapshot against a live tree: the snapshot's entries and the walk come in the same order and are merged as two streams. Unchanged files
 * are known by the stat cache; a file that it does not know is read.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "restore_internal.h"
#include "walk.h"

struct comparing {
    struct catalog *cat;
    const struct snapshot_record *snapshot;
    const struct snapshot_root *root;
    const struct site *site; /* its rules; NULL for other roots */
    struct descent *descent;
    struct descent_item old;
    struct walk *walk; /* NULL: the tree is gone altogether */
    struct walk_item now;
    char *entered; /* the folder that the walk entered last */
    struct stat_cache_reader *cache;
    struct walk_attributes *attributes;
    struct tree_scratch *scratch;
    struct buffer encoded, chunk;
    difference_fn *fn;
    void *arg;
};

/* ---- two streams ---- */

static enum error_kind advance_old(struct comparing *c, struct error *err)
{
    enum error_kind rc;

    do
        rc = descent_next(c->descent, &c->old, err);
    while (!rc && c->old.event == DESCENT_LEAVE);
    if (!rc && c->old.event == DESCENT_DAMAGED) {
        *err = c->old.error;
        error_context(err, "reading the folder %s of the snapshot", c->old.path[0] ? c->old.path : ".");
        rc = err->kind;
    }
    return rc;
}

static bool has_path(const struct walk_item *item)
{
    switch (item->event) {
    case WALK_ENTRY:
        return !S_ISSOCK(item->st.st_mode); /* in no snapshot */
    case WALK_UNREADABLE:
        return item->error.kind != ERR_NOT_FOUND; /* it went away */
    case WALK_LEAVE:
        return false;
    case WALK_ENTER:
    case WALK_SKIPPED:
    case WALK_END:
        break;
    }
    return true;
}

static enum error_kind advance_now(struct comparing *c, struct error *err)
{
    enum error_kind rc = OK;

    if (!c->walk) {
        c->now.event = WALK_END;
        return OK;
    }
    do
        rc = walk_next(c->walk, &c->now, err);
    while (!rc && !has_path(&c->now));
    if (rc)
        return rc;
    if (c->now.event == WALK_ENTER) {
        free(c->entered);
        c->entered = NULL;
        rc = memory_string(c->now.path, &c->entered, err);
    } else if (c->now.event == WALK_UNREADABLE && c->entered && strcmp(c->entered, c->now.path) == 0) {
        /* A folder that can't be listed: whether what is in it changed can't be said. */
        *err = c->now.error;
        error_context(err, "comparing");
        rc = err->kind;
    }
    return rc;
}

/* ---- one path ---- */

static enum error_kind tell(struct comparing *c, enum difference_kind kind, const char *path, enum tree_type type,
                            uint64_t old_size, uint64_t new_size, struct error *err)
{
    struct difference d = {kind, c->root->name, path[0] ? path : ".", type, old_size, new_size};

    return c->fn(c->arg, &d, err);
}

static uint64_t old_size(const struct comparing *c)
{
    return c->old.entry.type == TREE_FILE ? c->old.entry.size : 0;
}

static uint64_t now_size(const struct comparing *c)
{
    return S_ISREG(c->now.st.st_mode) ? (uint64_t)c->now.st.st_size : 0;
}

static bool below(const char *path, const char *folder)
{
    size_t len = strlen(folder);

    while (len > 0 && folder[len - 1] == '/')
        len--;
    return len > 0 && strncmp(path, folder, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

/* What the snapshot left out is no addition to it. */
static bool was_left_out(const struct comparing *c, const char *path)
{
    for (size_t i = 0; c->site && i < c->snapshot->left_out_count; i++) {
        if (below(path, c->snapshot->left_out[i].path))
            return true;
    }
    return false;
}

static enum error_kind only_old(struct comparing *c, struct error *err)
{
    bool directory = c->old.entry.type == TREE_DIRECTORY;
    bool folder_or_link = directory || c->old.entry.type == TREE_SYMLINK; /* as a walk asks */

    if (c->site && site_classify(c->site, c->old.path, folder_or_link, NULL) != SITE_KEEP) {
        if (directory)
            descent_prune(c->descent);
        return OK;
    }
    return tell(c, DIFFERENCE_REMOVED, c->old.path, c->old.entry.type, old_size(c), 0, err);
}

static enum error_kind only_now(struct comparing *c, struct error *err)
{
    if (c->now.event == WALK_SKIPPED)
        return OK;
    if (was_left_out(c, c->now.path)) {
        if (c->now.event == WALK_ENTER)
            walk_prune(c->walk);
        return OK;
    }
    return tell(c, DIFFERENCE_ADDED, c->now.path, tree_type_of(c->now.st.st_mode), 0, now_size(c), err);
}

/* Attributes as they are now, against the snapshot's. */
static enum error_kind attributes_differ(struct comparing *c, bool *differ, struct tree_entry *now, struct error *err)
{
    enum error_kind rc = walk_attributes_read(c->attributes, &c->now, now, err);

    if (!rc && now->type == TREE_DIRECTORY && c->site && c->old.path[0] &&
        site_leaves_out_below(c->site, c->old.path)) {
        now->mtime_sec = c->old.entry.mtime_sec; /* of what comes and goes in it, which is in no snapshot */
        now->mtime_nsec = c->old.entry.mtime_nsec;
    }
    if (!rc)
        *differ = !tree_attributes_equal(&c->old.entry, now);
    return rc;
}

static enum error_kind bytes_differ(struct comparing *c, bool *differ, struct error *err)
{
    bool equal = false;
    int fd = -1;
    enum error_kind rc;

    rc = walk_open_below(walk_root(c->walk), c->now.path, O_RDONLY | O_NONBLOCK | O_NOCTTY, &fd, err);
    if (!rc)
        rc = content_compare(c->cat, &c->old.entry, fd, &c->chunk, c->now.path, &equal, err);
    file_close(&fd);
    if (rc && rc != ERR_CANCELLED && rc != ERR_MEMORY && rc != ERR_CORRUPT) {
        error_clear(err); /* what can't be read can't be said to be equal */
        rc = OK;
    }
    *differ = !equal;
    return rc;
}

/* What the stat cache says of a file. *known false: nothing, or nothing that decides. */
static enum error_kind ask_cache(struct comparing *c, bool *known, bool *content, bool *attributes, struct error *err)
{
    const void *cached = NULL;
    struct stat_key key;
    struct tree_entry now;
    size_t len = 0;
    enum error_kind rc = OK;

    *known = false;
    if (!c->cache)
        return OK;
    stat_key_of(&c->now.st, &key);
    rc = stat_cache_get(c->cache, c->now.path, &key, &cached, &len, err);
    if (rc || !cached)
        return rc;
    buffer_clear(&c->encoded);
    rc = tree_entry_encode(&c->old.entry, &c->encoded, err);
    if (rc)
        return rc;
    if (len == c->encoded.len && memcmp(cached, c->encoded.data, len) == 0) {
        *known = true;
        *content = *attributes = false;
        return OK;
    }
    rc = tree_entry_decode(c->scratch, cached, len, &now, err);
    /* Holes may lie otherwise around the same bytes. */
    if (rc || now.type != TREE_FILE || (now.size == c->old.entry.size && now.hole_count + c->old.entry.hole_count > 0))
        return rc;
    *known = true;
    *content = !tree_content_equal(&c->old.entry, &now);
    *attributes = !tree_attributes_equal(&c->old.entry, &now);
    return OK;
}

static enum error_kind compare_file(struct comparing *c, bool *content, bool *attributes, struct error *err)
{
    struct tree_entry now;
    bool known = false;
    enum error_kind rc = ask_cache(c, &known, content, attributes, err);

    if (rc || known)
        return rc;
    rc = attributes_differ(c, attributes, &now, err);
    if (!rc && c->old.entry.size != (uint64_t)c->now.st.st_size)
        *content = true;
    else if (!rc)
        rc = bytes_differ(c, content, err);
    return rc;
}

static enum error_kind compare_both(struct comparing *c, struct error *err)
{
    enum tree_type type = c->now.event == WALK_UNREADABLE ? c->old.entry.type : tree_type_of(c->now.st.st_mode);
    bool content = c->now.event == WALK_UNREADABLE;
    bool attributes = false;
    struct tree_entry now;
    enum error_kind rc = OK;

    if (c->now.event == WALK_SKIPPED) {
        if (c->old.entry.type == TREE_DIRECTORY)
            descent_prune(c->descent);
        return OK;
    }
    if (type != c->old.entry.type)
        return tell(c, DIFFERENCE_TYPE, c->old.path, type, old_size(c), now_size(c), err);
    if (!content && type == TREE_FILE) {
        rc = compare_file(c, &content, &attributes, err);
    } else if (!content) {
        rc = attributes_differ(c, &attributes, &now, err);
        content = !rc && type != TREE_DIRECTORY && !tree_content_equal(&c->old.entry, &now);
    }
    if (rc == ERR_NOT_FOUND) { /* it went away between the walk and the look */
        error_clear(err);
        return tell(c, DIFFERENCE_REMOVED, c->old.path, c->old.entry.type, old_size(c), 0, err);
    }
    if (rc || (!content && !attributes))
        return rc;
    return tell(c, content ? DIFFERENCE_CONTENT : DIFFERENCE_ATTRIBUTES, c->old.path, type, old_size(c), now_size(c),
                err);
}

/* ---- one root ---- */

static enum error_kind merge(struct comparing *c, struct error *err)
{
    enum error_kind rc = advance_old(c, err);

    if (!rc)
        rc = advance_now(c, err);
    while (!rc && (c->old.event != DESCENT_END || c->now.event != WALK_END)) {
        int order = c->old.event == DESCENT_END ? 1
                    : c->now.event == WALK_END  ? -1
                                                : descent_order(c->old.path, c->now.path);

        rc = cancel_check(err);
        if (!rc)
            rc = order == 0 ? compare_both(c, err) : order < 0 ? only_old(c, err) : only_now(c, err);
        if (!rc && order <= 0)
            rc = advance_old(c, err);
        if (!rc && order >= 0)
            rc = advance_now(c, err);
    }
    return rc;
}

static enum error_kind compare_root(struct comparing *c, const char *path, struct error *err)
{
    struct stat st;
    enum error_kind rc;

    rc = descent_open(c->cat, &c->root->tree, &c->descent, err);
    if (!rc)
        rc = stat_cache_open(c->cat, c->snapshot->site_id, c->root->name, &c->cache, err);
    if (!rc && (lstat(path, &st) == 0 || (errno != ENOENT && errno != ENOTDIR)))
        rc = walk_open(path, c->site, &c->walk, err);
    if (!rc)
        rc = merge(c, err);
    descent_close(c->descent);
    stat_cache_close(c->cache);
    if (c->walk)
        walk_close(c->walk);
    free(c->entered);
    return rc;
}

enum error_kind difference_live(struct catalog *cat, const struct snapshot_record *a, const struct site *site,
                                difference_fn *fn, void *arg, struct error *err)
{
    struct comparing shared = {.cat = cat,
                               .snapshot = a,
                               .encoded = BUFFER_INIT(RESTORE_ENTRY_MAX),
                               .chunk = BUFFER_INIT(RESTORE_CHUNK_MAX),
                               .fn = fn,
                               .arg = arg};
    enum error_kind rc;

    rc = walk_attributes_new(&shared.attributes, err);
    if (!rc)
        rc = tree_scratch_new(&shared.scratch, err);
    for (size_t i = 0; !rc && i < a->root_count; i++) {
        struct comparing c = shared;
        bool main_root = strcmp(a->roots[i].name, "site") == 0;

        c.root = &a->roots[i];
        c.site = main_root ? site : NULL;
        rc = compare_root(&c, main_root ? site->path : a->roots[i].path, err);
        shared.encoded = c.encoded; /* they may have grown */
        shared.chunk = c.chunk;
    }
    walk_attributes_free(shared.attributes);
    tree_scratch_free(shared.scratch);
    buffer_release(&shared.encoded);
    buffer_release(&shared.chunk);
    return rc;
}
