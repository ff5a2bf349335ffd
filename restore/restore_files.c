#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "restore_internal.h"

/* One restore under way: the walk over the snapshot's tree, and in step with it the live tree's stat cache. */
struct restoring {
    struct catalog *cat;
    const struct snapshot_record *snapshot;
    const struct snapshot_root *root;
    const struct restore_options *options;
    struct target target;
    struct writer *writer;
    struct descent *descent;
    struct link_table *links;
    struct stat_cache_reader *cache;
    struct folder *here; /* the folder that the walk is in */
    struct buffer encoded;
    struct buffer live_path;
    int live;     /* live root, or -1 */
    int live_dir; /* the live folder that live_serial's folder stands for */
    uint64_t live_serial;
};

/* ---- the target ---- */

static enum error_kind require_empty(int fd, const char *path, struct error *err)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy >= 0 ? fdopendir(copy) : NULL;
    struct dirent *e;
    enum error_kind rc = OK;
    bool empty;

    if (!d) {
        rc = error_set(err, ERR_IO, errno, "cannot look into the folder %s", path);
        file_close(&copy);
        return rc;
    }
    do {
        errno = 0;
        e = readdir(d);
        empty = !e || strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    } while (e && empty);
    if (!empty) {
        rc = error_set(err, ERR_EXISTS, 0, "the folder %s is not empty", path);
        error_hint(err, "name a folder that does not exist, or an empty one");
    } else if (errno) {
        rc = error_set(err, ERR_IO, errno, "cannot look into the folder %s", path);
    }
    closedir(d);
    return rc;
}

/*
 * Make the target, or take one that is empty. It is ours alone while it fills, and inherits no ACL to what is put into it.
 */
static enum error_kind open_target(struct restoring *r, const char *path, struct error *err)
{
    struct error making = ERROR_INIT;
    enum error_kind rc;

    rc = directory_make(AT_FDCWD, path, 0700, &making);
    if (rc && rc != ERR_EXISTS) {
        *err = making;
        return rc;
    }
    rc = file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &r->target.fd, err);
    if (rc && making.kind == ERR_EXISTS)
        return error_set(err, ERR_EXISTS, err->sys, "%s is there and is no folder", path);
    if (rc)
        return rc;
    rc = require_empty(r->target.fd, path, err);
    if (rc)
        return rc;
    fremovexattr(r->target.fd, "system.posix_acl_default"); /* mostly there is none */
    fremovexattr(r->target.fd, "system.posix_acl_access");
    if (fchmod(r->target.fd, 0700))
        return error_set(err, ERR_IO, errno, "cannot set the mode of %s", path);
    return OK;
}

/* ---- the live tree ---- */

/* Linking is a convenience: without a live tree or a stat cache everything is written. */
static enum error_kind open_live(struct restoring *r, struct error *err)
{
    struct error ignored = ERROR_INIT;
    enum error_kind rc;

    if (!r->options->link_root || !r->options->link_site)
        return OK;
    rc = stat_cache_open(r->cat, r->snapshot->site_id, r->root->name, &r->cache, err);
    if (rc || !r->cache)
        return rc;
    file_open(AT_FDCWD, r->options->link_root, O_PATH | O_DIRECTORY, 0, &r->live, &ignored);
    return OK;
}

static bool enter_live(struct restoring *r)
{
    struct folder *f = r->here;
    struct error ignored = ERROR_INIT;

    if (f->live_gone || r->live_serial == f->serial)
        return !f->live_gone;
    file_close(&r->live_dir);
    r->live_serial = 0;
    f->live_gone = folder_path(f, &r->live_path, &ignored) ||
                   restore_open_below(r->live, (const char *)r->live_path.data, r->live_path.len, O_PATH | O_DIRECTORY,
                                      0, &r->live_dir, &ignored);
    if (!f->live_gone)
        r->live_serial = f->serial;
    return !f->live_gone;
}

/*
 * Is the live file, as it is now, the snapshot's entry? Proved by the stat cache alone: nothing is read.
 *
 * st         filled when it is
 */
static enum error_kind find_live(struct restoring *r, const struct descent_item *item, struct stat *st, bool *found,
                                 struct error *err)
{
    const void *cached = NULL;
    struct stat_key key;
    size_t len = 0;
    enum error_kind rc;

    *found = false;
    if (r->live < 0 || item->entry.type != TREE_FILE || site_is_rewritten(r->options->link_site, item->path))
        return OK;
    if (!enter_live(r) || fstatat(r->live_dir, item->name, st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st->st_mode))
        return OK;
    stat_key_of(st, &key);
    rc = stat_cache_get(r->cache, item->path, &key, &cached, &len, err);
    /* Entries are encoded in one way only, so equal entries are equal bytes. */
    *found = !rc && cached && len == r->encoded.len && memcmp(cached, r->encoded.data, len) == 0;
    return rc;
}

/* ---- the walk ---- */

static enum error_kind put_entry(struct restoring *r, const struct descent_item *item, struct error *err)
{
    const char *leader = link_table_leader(r->links, item->path);
    struct stat live;
    bool found = false;
    enum error_kind rc;

    if (!restore_wanted(r->options, item->path, false))
        return OK;
    if (leader && strcmp(leader, item->path) != 0)
        return OK; /* made by links_place() */
    buffer_clear(&r->encoded);
    rc = tree_entry_encode(&item->entry, &r->encoded, err);
    if (!rc)
        rc = find_live(r, item, &live, &found, err);
    if (!rc)
        rc = writer_put(r->writer, r->here, item->name, r->encoded.data, r->encoded.len, &item->entry,
                        found ? &live : NULL, leader != NULL, err);
    return rc;
}

static enum error_kind take(struct restoring *r, const struct descent_item *item, struct error *err)
{
    struct folder *f = r->here;

    switch (item->event) {
    case DESCENT_ENTER:
        return writer_enter(r->writer, f, item->name, &item->entry, restore_wanted(r->options, item->path, true) && f,
                            &r->here, err);
    case DESCENT_ENTRY:
        return put_entry(r, item, err);
    case DESCENT_LEAVE:
        r->here = f->parent;
        return writer_leave(r->writer, f, err);
    case DESCENT_DAMAGED:
        return writer_damaged(r->writer, item->path, &item->error, err);
    case DESCENT_END:
        break;
    }
    return OK;
}

static enum error_kind walk_snapshot(struct restoring *r, struct error *err)
{
    struct descent_item item = {.event = DESCENT_ENTER};
    struct error leaving = ERROR_INIT;
    enum error_kind rc = OK;

    while (!rc) {
        rc = cancel_check(err);
        if (!rc)
            rc = descent_next(r->descent, &item, err);
        if (rc || item.event == DESCENT_END)
            break;
        rc = take(r, &item, err);
    }
    while (r->here) { /* only after a failure */
        struct folder *f = r->here;

        r->here = f->parent;
        writer_leave(r->writer, f, &leaving);
    }
    return rc;
}

static enum error_kind write_all(struct restoring *r, const struct progress *progress, struct restore_result *out,
                                 struct error *err)
{
    struct writer_spec spec = {r->cat, &r->target, r->options, progress, r->root->bytes, r->live, r->links, out};
    struct error ending = ERROR_INIT;
    enum error_kind rc;

    rc = writer_new(&spec, &r->writer, err);
    if (!rc)
        rc = descent_open(r->cat, &r->root->tree, &r->descent, err);
    if (rc)
        return rc;
    rc = walk_snapshot(r, err);
    if (writer_end(r->writer, &ending)) { /* the threads' failure is why the walk was stopped */
        rc = ending.kind;
        *err = ending;
    }
    return rc;
}

static enum error_kind settle_result(struct restoring *r, struct restore_result *out, struct error *err)
{
    enum error_kind rc = target_notes(&r->target, &out->notes, err);

    if (rc || out->damaged.count == 0)
        return rc;
    rc =
        error_set(err, ERR_CORRUPT, 0, "%zu damaged files and folders of snapshot %.12s were left out, the first is %s",
                  out->damaged.count, r->snapshot->id, out->damaged.items[0]);
    error_hint(err, "the rest is restored; `nopsnap verify --read-data` lists all damage");
    return rc;
}

/*
 * From Linux 5.8 on syncfs() tells of every failed write since the descriptor was opened, which was before the first one. Before, it tells
 * of none: there the reading back (P9) is the only witness.
 */
static enum error_kind sync_all(struct restoring *r, const char *path, const struct progress *progress,
                                struct error *err)
{
    char *parent = NULL;
    enum error_kind rc;

    progress_step(progress, "bringing everything safely to disk");
    rc = file_sync_filesystem(r->target.fd, path, err);
    if (!rc)
        rc = path_parent(path, &parent, err);
    if (!rc)
        rc = directory_sync(AT_FDCWD, parent, err);
    free(parent);
    return rc;
}

enum error_kind restore_files(struct catalog *cat, const struct snapshot_record *snapshot, const char *root_name,
                              const char *target, const struct restore_options *options,
                              const struct progress *progress, struct restore_result *out, struct error *err)
{
    static const struct restore_options defaults;
    struct restoring r = {.cat = cat,
                          .snapshot = snapshot,
                          .options = options ? options : &defaults,
                          .encoded = BUFFER_INIT(RESTORE_ENTRY_MAX),
                          .live_path = BUFFER_INIT(RESTORE_PATH_MAX),
                          .live = -1,
                          .live_dir = -1};
    struct links_place_job links;
    unsigned root = 0;
    enum error_kind rc;

    *out = (struct restore_result){0};
    target_init(&r.target);
    rc = restore_root_find(snapshot, root_name, &root, err);
    if (rc)
        goto done;
    r.root = &snapshot->roots[root];
    rc = open_target(&r, target, err);
    if (!rc)
        rc = link_table_load(cat, snapshot, root, r.options, &r.links, err);
    if (!rc)
        rc = open_live(&r, err);
    if (rc)
        goto done;
    progress_step(progress, "writing files");
    rc = write_all(&r, progress, out, err);
    if (rc)
        goto done;
    links = (struct links_place_job){cat, snapshot, root, r.options, r.links, r.target.fd, out};
    rc = links_place(&links, err);
    if (!rc && !r.options->no_sync)
        rc = sync_all(&r, target, progress, err);
    if (!rc)
        rc = settle_result(&r, out, err);

done:
    writer_free(r.writer);
    descent_close(r.descent);
    link_table_free(r.links);
    stat_cache_close(r.cache);
    file_close(&r.live);
    file_close(&r.live_dir);
    buffer_release(&r.encoded);
    buffer_release(&r.live_path);
    target_release(&r.target);
    return rc;
}

void restore_result_release(struct restore_result *r)
{
    text_list_release(&r->damaged);
    text_list_release(&r->notes);
}
