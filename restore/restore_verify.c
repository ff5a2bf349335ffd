/*
 * Reading back (P9, R3): the snapshot's tree is walked once more, and a crew of threads opens, compares and hashes what stands in the
 * target. Many small files come from the disk fastest when several are asked for at once.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "restore_internal.h"

#define BATCH_FILES 64
#define BATCH_BYTES (256u << 10)
#define READERS_MAX 8u
#define QUEUED_BATCHES 16
#define DIFFERENCES_SHOWN 10

/* Some entries, or (entries == 0) one directory whose names are to be counted. */
struct batch {
    struct buffer bytes; /* paths with their NUL, and encoded entries */
    unsigned entries;
    uint64_t names; /* of the directory; UINT64_MAX: not known */
    struct {
        size_t path_at, path_len, encoded_at, encoded_len;
        const char *leader; /* borrowed from the link table; NULL: none */
    } items[BATCH_FILES];
};

struct reader {
    struct verification *verification;
    struct tree_scratch *scratch;
    struct buffer chunk;
};

/* What the walk knows of the directories on its path. */
struct verified_folder {
    uint64_t names;
    bool made, unknown;
};

struct verification {
    struct catalog *cat;
    const struct restore_options *options;
    const struct progress *progress;
    struct target target;
    struct link_table *links;
    restore_linked_fn *skip_linked;
    void *skip_arg;
    struct crew *crew;
    struct reader readers[READERS_MAX];
    struct batch *filling;
    struct verified_folder *folders;
    size_t depth, cap;
    uint64_t total;
    atomic_ullong bytes;
    pthread_mutex_t lock; /* differences, skip_linked */
    struct text_list shown;
    uint64_t differences;
};

static void differs(struct verification *v, const char *path, const char *what)
{
    struct error ignored = ERROR_INIT;

    pthread_mutex_lock(&v->lock);
    if (v->differences++ < DIFFERENCES_SHOWN)
        text_list_addf(&v->shown, &ignored, "%s (%s)", path[0] ? path : ".", what);
    pthread_mutex_unlock(&v->lock);
}

/* ---- one entry ---- */

/* A file that is not there may be one that keep_going left out; then its content can't be read from the catalogue either. */
static enum error_kind drop_bytes(void *arg, uint64_t offset, const void *bytes, size_t len, struct error *err)
{
    (void)arg, (void)offset, (void)bytes, (void)len, (void)err;
    return OK;
}

static bool was_left_out(struct reader *r, const struct tree_entry *e)
{
    struct open_frame held = OPEN_FRAME_INIT;
    struct error reading = ERROR_INIT;

    if (!r->verification->options->keep_going || e->type != TREE_FILE)
        return false;
    content_each(r->verification->cat, e, &held, drop_bytes, NULL, &reading);
    open_frame_release(&held);
    return reading.kind == ERR_CORRUPT;
}

static bool is_linked(struct verification *v, const char *path, const struct stat *st)
{
    bool linked;

    if (!v->skip_linked)
        return false;
    pthread_mutex_lock(&v->lock);
    linked = v->skip_linked(v->skip_arg, path, st);
    pthread_mutex_unlock(&v->lock);
    return linked;
}

static bool is_name_of(struct verification *v, const char *leader, const struct stat *st)
{
    struct error ignored = ERROR_INIT;
    struct stat first;
    bool same = false;
    int fd = -1;

    if (!restore_open_below(v->target.fd, leader, strlen(leader), O_PATH, 0, &fd, &ignored))
        same = fstat(fd, &first) == 0 && first.st_dev == st->st_dev && first.st_ino == st->st_ino;
    file_close(&fd);
    return same;
}

static enum error_kind compare_symlink(struct verification *v, int fd, const struct tree_entry *e, const char *path,
                                       struct error *err)
{
    char target[65536];
    ssize_t len = readlinkat(fd, "", target, sizeof(target));

    if (len < 0)
        return error_set(err, ERR_IO, errno, "cannot read the symlink %s", path);
    if ((size_t)len != e->target_len || memcmp(target, e->target, e->target_len) != 0)
        differs(v, path, "target");
    return OK;
}

static enum error_kind compare_content(struct reader *r, int fd, const struct tree_entry *e, const char *path,
                                       struct error *err)
{
    struct verification *v = r->verification;
    bool equal = true;
    enum error_kind rc;

    if (v->options->read_disk)
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    rc = content_compare(v->cat, e, fd, &r->chunk, path, &equal, err);
    if (!rc && !equal)
        differs(v, path, "content");
    atomic_fetch_add(&v->bytes, e->size);
    return rc;
}

static enum error_kind compare_open(struct reader *r, int fd, const struct tree_entry *e, const char *path,
                                    const char *leader, struct error *err)
{
    struct verification *v = r->verification;
    const char *what = NULL;
    struct stat st;
    enum error_kind rc;

    if (fstat(fd, &st))
        return error_set(err, ERR_IO, errno, "cannot look at %s", path);
    if (e->type == TREE_FILE && is_linked(v, path, &st))
        return OK;
    rc = target_compare(&v->target, fd, &st, e, &what, err);
    if (rc)
        return rc;
    if (what)
        differs(v, path, what);
    else if (leader && !is_name_of(v, leader, &st))
        differs(v, path, "hard link");
    if (what)
        return OK;
    if (e->type == TREE_FILE)
        return compare_content(r, fd, e, path, err);
    return e->type == TREE_SYMLINK ? compare_symlink(v, fd, e, path, err) : OK;
}

static enum error_kind compare_entry(struct reader *r, const char *path, size_t path_len, const void *encoded,
                                     size_t len, const char *leader, struct error *err)
{
    struct verification *v = r->verification;
    struct tree_entry e;
    int fd = -1;
    int flags;
    enum error_kind rc;

    rc = tree_entry_decode(r->scratch, encoded, len, &e, err);
    if (rc)
        return rc;
    flags = e.type == TREE_FILE        ? O_RDONLY | O_NONBLOCK | O_NOCTTY
            : e.type == TREE_DIRECTORY ? O_RDONLY | O_DIRECTORY
                                       : O_PATH;
    rc = restore_open_below(v->target.fd, path, path_len, flags, 0, &fd, err);
    if (rc == ERR_NOT_FOUND || rc == ERR_REFUSED) {
        error_clear(err);
        rc = OK;
        if (!was_left_out(r, &e))
            differs(v, path, "missing");
    } else if (!rc) {
        rc = compare_open(r, fd, &e, path, leader, err);
    }
    file_close(&fd);
    return rc;
}

/* Every name of the snapshot was found, so as many names as the snapshot has means: no other. */
static enum error_kind count_names(struct verification *v, const struct batch *b, struct error *err)
{
    const char *path = (const char *)b->bytes.data;
    struct dirent *e;
    uint64_t names = 0;
    int fd = -1;
    DIR *d;
    enum error_kind rc;

    rc = restore_open_below(v->target.fd, path, b->items[0].path_len, O_RDONLY | O_DIRECTORY, 0, &fd, err);
    if (rc == ERR_NOT_FOUND || rc == ERR_REFUSED) {
        error_clear(err);
        return OK; /* found missing already */
    }
    if (rc)
        return rc;
    d = fdopendir(fd);
    if (!d) {
        file_close(&fd);
        return error_set(err, ERR_IO, errno, "cannot list %s", path);
    }
    errno = 0;
    while ((e = readdir(d)))
        names += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    if (errno)
        rc = error_set(err, ERR_IO, errno, "cannot list %s", path);
    closedir(d);
    if (!rc && names > b->names)
        differs(v, path, "more names than the snapshot has");
    return rc;
}

static void batch_free(struct batch *b)
{
    if (!b)
        return;
    buffer_release(&b->bytes);
    free(b);
}

static enum error_kind run_batch(void *state, void *job, bool stopped, struct error *err)
{
    struct reader *r = state;
    struct batch *b = job;
    enum error_kind rc = OK;

    if (!stopped && b->entries == 0)
        rc = count_names(r->verification, b, err);
    for (unsigned i = 0; !stopped && !rc && i < b->entries; i++) {
        rc = cancel_check(err);
        if (!rc)
            rc =
                compare_entry(r, (const char *)b->bytes.data + b->items[i].path_at, b->items[i].path_len,
                              b->bytes.data + b->items[i].encoded_at, b->items[i].encoded_len, b->items[i].leader, err);
    }
    batch_free(b);
    return rc;
}

/* ---- the walk ---- */

static enum error_kind batch_new(struct batch **out, struct error *err)
{
    *out = calloc(1, sizeof(**out));
    if (!*out)
        return error_set(err, ERR_MEMORY, 0, "out of memory for reading back");
    (*out)->bytes = (struct buffer)BUFFER_INIT(BATCH_BYTES + RESTORE_PATH_MAX + RESTORE_ENTRY_MAX);
    return OK;
}

static void push_batch(struct verification *v)
{
    if (v->filling)
        crew_push(v->crew, v->filling);
    v->filling = NULL;
    progress_advance(v->progress, atomic_load(&v->bytes), v->total, "bytes");
}

static enum error_kind add_entry(struct verification *v, const struct descent_item *item, struct error *err)
{
    const char *leader = link_table_leader(v->links, item->path);
    struct batch *b = v->filling;
    unsigned i;
    enum error_kind rc = OK;

    if (!b)
        rc = batch_new(&v->filling, err);
    if (rc)
        return rc;
    b = v->filling;
    i = b->entries;
    b->items[i].path_at = b->bytes.len;
    b->items[i].path_len = item->path_len;
    b->items[i].leader = leader && strcmp(leader, item->path) != 0 ? leader : NULL;
    rc = buffer_append(&b->bytes, item->path, item->path_len + 1, err);
    b->items[i].encoded_at = b->bytes.len;
    if (!rc)
        rc = tree_entry_encode(&item->entry, &b->bytes, err);
    if (rc)
        return rc;
    b->items[i].encoded_len = b->bytes.len - b->items[i].encoded_at;
    b->entries++;
    if (b->entries == BATCH_FILES || b->bytes.len >= BATCH_BYTES)
        push_batch(v);
    return OK;
}

static enum error_kind enter(struct verification *v, const struct descent_item *item, struct error *err)
{
    if (v->depth == v->cap) {
        size_t cap = v->cap ? v->cap * 2 : 64;
        struct verified_folder *grown = reallocarray(v->folders, cap, sizeof(*grown));

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory for reading back");
        v->folders = grown;
        v->cap = cap;
    }
    v->folders[v->depth] = (struct verified_folder){0, false, false};
    v->folders[v->depth].made = v->depth == 0 || restore_wanted(v->options, item->path, true);
    v->depth++;
    /* With patterns a folder may be there only for what is in it: its attributes are compared if it was asked for. */
    return v->folders[v->depth - 1].made ? add_entry(v, item, err) : OK;
}

static enum error_kind leave(struct verification *v, const struct descent_item *item, struct error *err)
{
    struct verified_folder f = v->folders[--v->depth];
    struct batch *b = NULL;
    enum error_kind rc;

    if (v->depth > 0) {
        v->folders[v->depth - 1].names += f.made;
        v->folders[v->depth - 1].made |= f.made;
    }
    if (!f.made || f.unknown)
        return OK;
    rc = batch_new(&b, err);
    if (rc)
        return rc;
    rc = buffer_append(&b->bytes, item->path, item->path_len + 1, err);
    if (rc) {
        batch_free(b);
        return rc;
    }
    b->items[0].path_len = item->path_len;
    b->names = f.names;
    crew_push(v->crew, b);
    return OK;
}

static enum error_kind take(struct verification *v, const struct descent_item *item, struct error *err)
{
    bool device = item->entry.type == TREE_CHARACTER_DEVICE || item->entry.type == TREE_BLOCK_DEVICE;

    switch (item->event) {
    case DESCENT_ENTER:
        return enter(v, item, err);
    case DESCENT_ENTRY:
        if (!restore_wanted(v->options, item->path, false) || (device && !v->target.privileged))
            return OK;
        v->folders[v->depth - 1].names++;
        v->folders[v->depth - 1].made = true;
        return add_entry(v, item, err);
    case DESCENT_LEAVE:
        return leave(v, item, err);
    case DESCENT_DAMAGED:
        v->folders[v->depth - 1].unknown = true;
        if (v->options->keep_going)
            return OK;
        *err = item->error;
        error_context(err, "reading back %s", item->path[0] ? item->path : ".");
        return err->kind;
    case DESCENT_END:
        break;
    }
    return OK;
}

static enum error_kind walk_snapshot(struct verification *v, const struct snapshot_root *root, struct error *err)
{
    struct descent_item item = {.event = DESCENT_ENTER};
    struct descent *d = NULL;
    enum error_kind rc = descent_open(v->cat, &root->tree, &d, err);

    while (!rc && !crew_failed(v->crew)) {
        rc = cancel_check(err);
        if (!rc)
            rc = descent_next(d, &item, err);
        if (rc || item.event == DESCENT_END)
            break;
        rc = take(v, &item, err);
    }
    if (!rc)
        push_batch(v);
    descent_close(d);
    return rc;
}

/* ---- beginning and end ---- */

static enum error_kind start(struct verification *v, struct error *err)
{
    unsigned count = 2 * (unsigned)thread_processors() + 2;
    void *states[READERS_MAX];
    enum error_kind rc = OK;

    if (count > READERS_MAX)
        count = READERS_MAX;
    for (unsigned i = 0; !rc && i < count; i++) {
        v->readers[i].verification = v;
        v->readers[i].chunk = (struct buffer)BUFFER_INIT(RESTORE_CHUNK_MAX);
        rc = tree_scratch_new(&v->readers[i].scratch, err);
        states[i] = &v->readers[i];
    }
    return rc ? rc : crew_start(count, QUEUED_BATCHES, run_batch, states, &v->crew, err);
}

static enum error_kind verdict(struct verification *v, const char *target, struct error *err)
{
    struct buffer text = BUFFER_INIT(8192);
    struct error ignored = ERROR_INIT;

    if (v->differences == 0)
        return OK;
    for (size_t i = 0; i < v->shown.count; i++)
        buffer_append_format(&text, &ignored, "%s%s", i ? ", " : "", v->shown.items[i]);
    error_set(err, ERR_CORRUPT, 0, "%s differs from the snapshot in %llu places: %s%s", target,
              (unsigned long long)v->differences, text.len ? (const char *)text.data : "",
              v->differences > v->shown.count ? ", ..." : "");
    buffer_release(&text);
    return ERR_CORRUPT;
}

static void verification_release(struct verification *v)
{
    for (unsigned i = 0; i < READERS_MAX; i++) {
        tree_scratch_free(v->readers[i].scratch);
        buffer_release(&v->readers[i].chunk);
    }
    batch_free(v->filling);
    free(v->folders);
    link_table_free(v->links);
    text_list_release(&v->shown);
    pthread_mutex_destroy(&v->lock);
    target_release(&v->target);
}

enum error_kind restore_verify(struct catalog *cat, const struct snapshot_record *snapshot, const char *root_name,
                               const char *target, const struct restore_options *options,
                               restore_linked_fn *skip_linked, void *skip_arg, const struct progress *progress,
                               struct error *err)
{
    static const struct restore_options defaults;
    struct verification v = {.cat = cat,
                             .options = options ? options : &defaults,
                             .progress = progress,
                             .skip_linked = skip_linked,
                             .skip_arg = skip_arg};
    struct error ending = ERROR_INIT;
    unsigned root = 0;
    enum error_kind rc;

    target_init(&v.target);
    pthread_mutex_init(&v.lock, NULL);
    rc = restore_root_find(snapshot, root_name, &root, err);
    if (!rc)
        rc = file_open(AT_FDCWD, target, O_RDONLY | O_DIRECTORY, 0, &v.target.fd, err);
    if (!rc)
        rc = link_table_load(cat, snapshot, root, v.options, &v.links, err);
    if (!rc)
        rc = start(&v, err);
    if (rc)
        goto done;
    v.total = snapshot->roots[root].bytes;
    progress_step(progress, "reading back");
    rc = walk_snapshot(&v, &snapshot->roots[root], err);
    if (crew_end(v.crew, &ending)) {
        rc = ending.kind;
        *err = ending;
    }
    if (!rc)
        rc = verdict(&v, target, err);

done:
    verification_release(&v);
    return rc;
}
