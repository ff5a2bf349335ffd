#include "walk.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "file.h"
#include "sorter.h"

#define OPEN_LEVELS 100         /* descriptors of directories open at once, besides the root's */
#define NAMES_MEMORY (8u << 20) /* of all the directories on the path together */
#define NAMES_MEMORY_MIN (64u << 10)
#define LISTING_SIZE (64u << 10)
/* What lies deeper is named as unreadable: memory has to end somewhere, and trees are not read below 4096 levels (P11). */
#define PATH_LENGTH_MAX (64u << 10)
#define DEPTH_MAX 4000

struct level {
    int fd; /* -1: lent away, so that few are open; see level_reopen() */
    struct stat st;
    uint64_t mount_id;
    struct sorter *names; /* kept for the next directory at this depth */
    size_t names_memory;
    size_t path_len;
    bool ruled;  /* something below may be left out */
    bool failed; /* its names could not all be read: said once, before the first of them */
    struct error error;
};

enum walk_state { STATE_START, STATE_NAMES, STATE_ENTERED, STATE_PRUNED, STATE_FAILED, STATE_END };

struct walk {
    enum walk_state state;
    const struct site *site;
    struct level *levels;
    size_t depth; /* levels in use */
    size_t cap;   /* levels allocated */
    struct buffer path;
    size_t names_memory;
    int rootfd;
    struct stat entered; /* the directory that WALK_ENTER announced */
    uint64_t entered_mount;
    char *listing;   /* LISTING_SIZE bytes for getdents64 */
    bool names_only; /* behind each name in a sorter are a NUL and its d_type */
};

#define TYPE_BEHIND 2 /* bytes */

static void stat_from_statx(const struct statx *x, struct stat *st)
{
    memset(st, 0, sizeof *st);
    st->st_dev = makedev(x->stx_dev_major, x->stx_dev_minor);
    st->st_ino = x->stx_ino;
    st->st_mode = x->stx_mode;
    st->st_nlink = x->stx_nlink;
    st->st_uid = x->stx_uid;
    st->st_gid = x->stx_gid;
    st->st_rdev = makedev(x->stx_rdev_major, x->stx_rdev_minor);
    st->st_size = (off_t)x->stx_size;
    st->st_blksize = (blksize_t)x->stx_blksize;
    st->st_blocks = (blkcnt_t)x->stx_blocks;
    st->st_atim = (struct timespec){x->stx_atime.tv_sec, x->stx_atime.tv_nsec};
    st->st_mtim = (struct timespec){x->stx_mtime.tv_sec, x->stx_mtime.tv_nsec};
    st->st_ctim = (struct timespec){x->stx_ctime.tv_sec, x->stx_ctime.tv_nsec};
}

/* One system call for the stat and the mount. 0, or -1 with errno. */
static int stat_at(int dirfd, const char *name, struct stat *st, uint64_t *mount_id)
{
    struct statx x;

    if (statx(dirfd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name ? 0 : AT_EMPTY_PATH),
              STATX_BASIC_STATS | STATX_MNT_ID, &x))
        return -1;
    stat_from_statx(&x, st);
    *mount_id = x.stx_mask & STATX_MNT_ID ? x.stx_mnt_id : 0;
    return 0;
}

static enum error_kind walk_new(const struct site *site, struct walk **out, struct error *err)
{
    struct walk *w = NULL;
    void *memory = NULL;
    enum error_kind rc;

    rc = memory_zeroed(1, sizeof *w, &memory, err);
    if (rc)
        return rc;
    w = memory;
    w->rootfd = -1;
    w->site = site;
    w->path = (struct buffer)BUFFER_INIT(PATH_LENGTH_MAX + 1024);
    memory = NULL;
    rc = memory_allocate(LISTING_SIZE, &memory, err);
    w->listing = memory;
    if (!rc)
        rc = buffer_append(&w->path, "", 0, err);
    if (rc) {
        walk_close(w);
        return rc;
    }
    *out = w;
    return OK;
}

static enum error_kind open_root(int dirfd, const char *root, const struct site *site, int flags, struct walk **out,
                                 struct error *err)
{
    struct walk *w = NULL;
    enum error_kind rc = walk_new(site, &w, err);

    if (!rc)
        rc = file_open(dirfd, root, O_RDONLY | O_DIRECTORY | flags, 0, &w->rootfd, err);
    if (!rc && stat_at(w->rootfd, "", &w->entered, &w->entered_mount))
        rc = error_set(err, ERR_IO, errno, "%s", root);
    if (rc) {
        walk_close(w);
        return rc;
    }
    *out = w;
    return OK;
}

enum error_kind walk_open(const char *root, const struct site *site, struct walk **out, struct error *err)
{
    return open_root(AT_FDCWD, root, site, 0, out, err);
}

enum error_kind walk_open_at(int dirfd, const char *root, struct walk **out, struct error *err)
{
    return open_root(dirfd, root, NULL, O_NOFOLLOW, out, err);
}

void walk_names_only(struct walk *w)
{
    assert(w->state == STATE_START);
    w->names_only = true;
}

int walk_root(const struct walk *w)
{
    return w->rootfd;
}

static void close_level(struct walk *w, struct level *l)
{
    if (l->fd != w->rootfd)
        file_close(&l->fd);
    l->fd = -1;
}

void walk_close(struct walk *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->depth; i++)
        close_level(w, &w->levels[i]);
    for (size_t i = 0; i < w->cap; i++)
        sorter_free(w->levels[i].names);
    free(w->levels);
    file_close(&w->rootfd);
    buffer_release(&w->path);
    free(w->listing);
    free(w);
}

static const char *path_text(const struct walk *w)
{
    return (const char *)w->path.data;
}

static void path_cut(struct walk *w, size_t len)
{
    w->path.len = len;
    w->path.data[len] = '\0';
}

/* Put "/name" behind the path of the innermost directory. */
static enum error_kind path_push(struct walk *w, const char *name, size_t len, struct error *err)
{
    enum error_kind rc = OK;

    path_cut(w, w->levels[w->depth - 1].path_len);
    if (w->path.len)
        rc = buffer_append_u8(&w->path, '/', err);
    if (!rc)
        rc = buffer_append(&w->path, name, len, err);
    return rc;
}

static bool same_place(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && S_ISDIR(a->st_mode);
}

/* ---- a directory's names ---- */

static bool is_dots(const char *name)
{
    return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

static enum error_kind add_name(struct walk *w, struct level *l, const struct dirent64 *entry, struct error *err)
{
    char typed[sizeof(entry->d_name) + TYPE_BEHIND];
    size_t len = strlen(entry->d_name);

    if (!w->names_only)
        return sorter_add(l->names, entry->d_name, len, err);
    memcpy(typed, entry->d_name, len + 1);
    typed[len + 1] = (char)entry->d_type;
    return sorter_add(l->names, typed, len + TYPE_BEHIND, err);
}

static enum error_kind add_names(struct walk *w, struct level *l, ssize_t len, struct error *err)
{
    enum error_kind rc = OK;

    for (ssize_t at = 0; !rc && at < len;) {
        const struct dirent64 *entry = (const struct dirent64 *)(void *)(w->listing + at);

        if (!is_dots(entry->d_name))
            rc = add_name(w, l, entry, err);
        at += entry->d_reclen;
    }
    return rc;
}

/* A listing that breaks off is told of, and what came before it is walked all the same. */
static enum error_kind read_names(struct walk *w, struct level *l, struct error *err)
{
    size_t free_memory = w->names_memory < NAMES_MEMORY ? NAMES_MEMORY - w->names_memory : 0;
    enum error_kind rc = OK;
    ssize_t got;

    if (!l->names)
        rc = sorter_new(&l->names, err);
    if (rc)
        return rc;
    sorter_begin(l->names, free_memory / 2 > NAMES_MEMORY_MIN ? free_memory / 2 : NAMES_MEMORY_MIN);
    while (!rc && !l->failed && (got = getdents64(l->fd, w->listing, LISTING_SIZE)) != 0) {
        if (got > 0) {
            rc = add_names(w, l, got, err);
        } else if (errno != EINTR) {
            l->failed = true;
            error_set(&l->error, ERR_IO, errno, "listing it");
        }
    }
    if (!rc)
        rc = sorter_sort(l->names, err);
    l->names_memory = sorter_memory(l->names);
    w->names_memory += l->names_memory;
    return rc;
}

/* ---- levels ---- */

static enum error_kind add_level(struct walk *w, struct error *err)
{
    if (w->depth == w->cap) {
        size_t cap = w->cap ? w->cap * 2 : 16;
        struct level *levels = realloc(w->levels, cap * sizeof *levels);

        if (!levels)
            return error_set(err, ERR_MEMORY, 0, "no memory to walk so deep");
        memset(levels + w->cap, 0, (cap - w->cap) * sizeof *levels);
        w->levels = levels;
        w->cap = cap;
    }
    return OK;
}

/* Directories far up are closed while the walk is deep down; the root stays open. */
static void lend_descriptor(struct walk *w)
{
    if (w->depth > OPEN_LEVELS)
        close_level(w, &w->levels[w->depth - OPEN_LEVELS]);
}

/* Open what WALK_ENTER announced. A directory that can't be opened becomes a level without names that says so. */
static enum error_kind descend(struct walk *w, struct error *err)
{
    struct level *l;
    struct stat st;
    uint64_t mount_id;
    struct error fault = ERROR_INIT;
    enum error_kind rc = add_level(w, err);

    if (rc)
        return rc;
    l = &w->levels[w->depth];
    l->fd = -1;
    l->failed = false;
    error_clear(&l->error);
    l->path_len = w->path.len;
    l->st = w->entered;
    l->mount_id = w->entered_mount;
    l->names_memory = 0;
    l->ruled = w->site && (!w->depth || w->levels[w->depth - 1].ruled) && site_has_rules_below(w->site, path_text(w));
    if (!w->depth) {
        l->fd = w->rootfd;
    } else if (walk_open_below(w->levels[w->depth - 1].fd, path_base(path_text(w)), O_RDONLY | O_DIRECTORY, &l->fd,
                               &fault)) {
        error_set(&l->error, fault.kind, fault.sys, "opening it");
    } else if (stat_at(l->fd, "", &st, &mount_id) || !same_place(&st, &l->st)) {
        close_level(w, l);
        error_set(&l->error, ERR_NOT_FOUND, 0, "it was replaced while the tree was walked");
    }
    w->depth++;
    l->failed = l->fd < 0;
    if (l->fd >= 0) {
        rc = read_names(w, l, err);
        lend_descriptor(w);
    } else if (l->names) {
        sorter_begin(l->names, NAMES_MEMORY_MIN);
    }
    return rc;
}

/* Back in a directory whose descriptor was lent away: by "..", else by its path; only the same directory counts. */
static void level_reopen(struct walk *w, struct level *l, int childfd)
{
    struct error fault = ERROR_INIT;
    struct stat st;
    char last = (char)w->path.data[l->path_len];

    if (childfd >= 0) {
        l->fd = openat(childfd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (l->fd >= 0 && (fstat(l->fd, &st) || !same_place(&st, &l->st)))
            file_close(&l->fd);
    }
    if (l->fd < 0) {
        w->path.data[l->path_len] = '\0';
        if (!walk_open_below(w->rootfd, path_text(w), O_RDONLY | O_DIRECTORY, &l->fd, &fault) &&
            (fstat(l->fd, &st) || !same_place(&st, &l->st)))
            file_close(&l->fd);
        w->path.data[l->path_len] = (unsigned char)last;
    }
    if (l->fd < 0) {
        l->failed = true;
        error_set(&l->error, ERR_NOT_FOUND, 0, "it was moved while the tree was walked");
        sorter_begin(l->names, NAMES_MEMORY_MIN);
    }
}

static void ascend(struct walk *w)
{
    struct level *l = &w->levels[--w->depth];
    struct level *parent = w->depth ? &w->levels[w->depth - 1] : NULL;

    w->names_memory -= l->names_memory;
    if (l->names_memory > NAMES_MEMORY_MIN || w->depth > OPEN_LEVELS) {
        sorter_free(l->names);
        l->names = NULL;
    }
    if (parent && parent->fd < 0)
        level_reopen(w, parent, l->fd);
    close_level(w, l);
}

/* ---- items ---- */

static void fill_item(const struct walk *w, enum walk_event event, int dirfd, const struct stat *st, uint64_t mount_id,
                      struct walk_item *out)
{
    out->event = event;
    out->path = path_text(w);
    out->name = w->path.len ? path_base(out->path) : ".";
    out->dirfd = dirfd;
    out->st = *st;
    out->mount_id = mount_id;
    out->class = SITE_KEEP;
    out->reason = NULL;
    out->error.kind = OK;
}

static void leave(struct walk *w, struct walk_item *out)
{
    struct level *l = &w->levels[w->depth - 1];
    struct stat st = l->st;
    uint64_t mount_id = l->mount_id;

    path_cut(w, l->path_len);
    ascend(w);
    fill_item(w, WALK_LEAVE, w->depth ? w->levels[w->depth - 1].fd : w->rootfd, &st, mount_id, out);
    w->state = w->depth ? STATE_NAMES : STATE_END;
}

static void unreadable(struct walk *w, const struct level *l, const struct error *error, struct walk_item *out)
{
    struct stat none = {0};

    fill_item(w, WALK_UNREADABLE, l->fd, &none, 0, out);
    out->error = *error;
}

/* The failure of a directory itself, between its ENTER and its LEAVE. */
static void unreadable_directory(struct walk *w, struct level *l, struct walk_item *out)
{
    l->failed = false;
    path_cut(w, l->path_len);
    fill_item(w, WALK_UNREADABLE, l->fd, &l->st, l->mount_id, out);
    out->error = l->error;
}

/* At the root of a mount nopsnap stages what lies on it. Anywhere else a folder of that name is the owner's. */
static bool is_stage_of_mount(const struct walk *w, const char *name)
{
    return w->site && w->depth > 1 && strcmp(name, ".nopsnap") == 0 &&
           w->levels[w->depth - 1].mount_id != w->levels[w->depth - 2].mount_id;
}

/* type: of the listing; it spares the stat of what is no directory. DT_UNKNOWN where nobody knows. */
static int look(const struct walk *w, const struct level *l, const char *name, unsigned char type, struct stat *st,
                uint64_t *mount_id)
{
    if (!w->names_only || type == DT_UNKNOWN || type == DT_DIR)
        return stat_at(l->fd, name, st, mount_id);
    memset(st, 0, sizeof *st);
    st->st_mode = DTTOIF(type);
    *mount_id = 0;
    return 0;
}

static enum error_kind visit(struct walk *w, const char *name, size_t len, struct walk_item *out, struct error *err)
{
    struct level *l = &w->levels[w->depth - 1];
    struct error fault = ERROR_INIT;
    struct stat st;
    uint64_t mount_id;
    unsigned char type = DT_UNKNOWN;
    bool directory;
    enum error_kind rc;

    if (w->names_only) {
        type = (unsigned char)name[len - 1];
        len -= TYPE_BEHIND;
    }
    rc = path_push(w, name, len, err);
    if (rc)
        return rc;
    if (w->path.len > PATH_LENGTH_MAX || w->depth > DEPTH_MAX) {
        error_set(&fault, ERR_REFUSED, 0, "too deep: more than %d directories or %u bytes", DEPTH_MAX, PATH_LENGTH_MAX);
        unreadable(w, l, &fault, out);
        return OK;
    }
    if (look(w, l, name, type, &st, &mount_id)) {
        error_set(&fault, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "looking at it");
        unreadable(w, l, &fault, out);
        return OK;
    }
    directory = S_ISDIR(st.st_mode);
    fill_item(w, directory ? WALK_ENTER : WALK_ENTRY, l->fd, &st, mount_id, out);
    if (l->ruled) /* R4 of site_rules.c: a link in the place of a folder that is regenerated is the owner's arrangement */
        out->class = site_classify(w->site, out->path, directory || S_ISLNK(st.st_mode), &out->reason);
    if (directory && is_stage_of_mount(w, out->name)) {
        out->class = SITE_OWN;
        out->reason = "nopsnap's own";
    }
    if (out->class != SITE_KEEP) {
        out->event = WALK_SKIPPED;
    } else if (directory) {
        w->entered = st;
        w->entered_mount = mount_id;
        w->state = STATE_ENTERED;
    }
    return OK;
}

static enum error_kind next_name(struct walk *w, struct walk_item *out, struct error *err)
{
    struct level *l = &w->levels[w->depth - 1];
    const void *name = NULL;
    size_t len = 0;
    enum error_kind rc = OK;

    if (l->failed) {
        unreadable_directory(w, l, out);
        return OK;
    }
    if (l->names && l->fd >= 0)
        rc = sorter_next(l->names, &name, &len, err);
    if (rc)
        return rc;
    if (name)
        return visit(w, name, len, out, err);
    leave(w, out);
    return OK;
}

enum error_kind walk_next(struct walk *w, struct walk_item *out, struct error *err)
{
    enum error_kind rc = OK;

    switch (w->state) {
    case STATE_START:
        w->state = STATE_ENTERED;
        fill_item(w, WALK_ENTER, w->rootfd, &w->entered, w->entered_mount, out);
        return OK;
    case STATE_ENTERED:
        w->state = STATE_NAMES;
        rc = descend(w, err);
        break;
    case STATE_PRUNED: {
        struct stat st = w->entered;

        w->state = w->depth ? STATE_NAMES : STATE_END;
        fill_item(w, WALK_LEAVE, w->depth ? w->levels[w->depth - 1].fd : w->rootfd, &st, w->entered_mount, out);
        return OK;
    }
    case STATE_NAMES:
        break;
    case STATE_FAILED:
    case STATE_END:
        fill_item(w, WALK_END, w->rootfd, &w->entered, 0, out);
        return OK;
    }
    if (!rc)
        rc = next_name(w, out, err);
    if (rc)
        w->state = STATE_FAILED;
    return rc;
}

void walk_prune(struct walk *w)
{
    assert(w->state == STATE_ENTERED);
    w->state = STATE_PRUNED;
}
