/*
 * Files with several names.
 *
 * While a tree is written, only the first name of each group is made; the others follow as links when all is there. The table that
 * tells which name is which holds a 64-bit hash for each, under a seed of its own, so that nobody can choose names that meet; were two to
 * meet all the same, the reading back would miss the file. It is bounded: what does not fit is written as a file of its own first.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "restore_internal.h"

#define LINKED_MAX (1u << 19)   /* names in the table */
#define LEADERS_MAX (16u << 20) /* bytes of first names */
#define NO_LEADER UINT32_MAX

struct link_slot {
    uint64_t hash; /* 0: free */
    uint32_t group;
};

struct link_group {
    uint32_t leader; /* where its name begins in leaders; NO_LEADER: fewer than two of its names are wanted */
    uint8_t how;
};

struct link_table {
    uint64_t seed;
    struct link_slot *slots;
    size_t cap, count; /* cap: a power of two */
    struct link_group *groups;
    size_t group_count, group_cap;
    struct buffer leaders;
    bool full;
    /* while loading */
    unsigned root;
    const struct restore_options *options; /* NULL: everything */
    struct buffer first;                   /* the smallest name of the group that is being read */
    size_t members;
};

static uint64_t hash_path(const struct link_table *t, const char *path)
{
    uint64_t hash = hash64_of(t->seed, path, strlen(path));

    return hash ? hash : 1;
}

static struct link_slot *slot_of(struct link_slot *slots, size_t cap, uint64_t hash)
{
    size_t i = (size_t)hash & (cap - 1);

    while (slots[i].hash && slots[i].hash != hash)
        i = (i + 1) & (cap - 1);
    return &slots[i];
}

static enum error_kind grow_slots(struct link_table *t, struct error *err)
{
    size_t cap = t->cap ? t->cap * 2 : 1024;
    struct link_slot *grown = calloc(cap, sizeof(*grown));

    if (!grown)
        return error_set(err, ERR_MEMORY, 0, "out of memory for %zu hard links", cap);
    for (size_t i = 0; i < t->cap; i++) {
        if (t->slots[i].hash)
            *slot_of(grown, cap, t->slots[i].hash) = t->slots[i];
    }
    free(t->slots);
    t->slots = grown;
    t->cap = cap;
    return OK;
}

static enum error_kind begin_group(struct link_table *t, struct error *err)
{
    if (t->group_count == t->group_cap) {
        size_t cap = t->group_cap ? t->group_cap * 2 : 256;
        struct link_group *grown = reallocarray(t->groups, cap, sizeof(*grown));

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory for %zu groups of hard links", cap);
        t->groups = grown;
        t->group_cap = cap;
    }
    t->groups[t->group_count++] = (struct link_group){NO_LEADER, RESTORE_WRITTEN};
    buffer_clear(&t->first);
    t->members = 0;
    return OK;
}

static enum error_kind end_group(struct link_table *t, struct error *err)
{
    struct link_group *g = t->group_count ? &t->groups[t->group_count - 1] : NULL;
    size_t at = t->leaders.len;
    enum error_kind rc;

    if (!g || t->members < 2 || g->leader != NO_LEADER)
        return OK;
    if (at + t->first.len + 1 > LEADERS_MAX) {
        t->full = true;
        return OK;
    }
    rc = buffer_append(&t->leaders, t->first.data, t->first.len + 1, err);
    if (!rc)
        g->leader = (uint32_t)at;
    return rc;
}

static enum error_kind load_path(void *arg, bool first, unsigned root, const char *path, struct error *err)
{
    struct link_table *t = arg;
    struct link_slot *slot;
    enum error_kind rc = OK;

    if (first) {
        rc = end_group(t, err);
        if (!rc && !t->full)
            rc = begin_group(t, err);
    }
    if (rc || t->full || root != t->root || t->group_count == 0 ||
        (t->options && !restore_wanted(t->options, path, false)))
        return rc;
    if (t->count == LINKED_MAX) {
        rc = end_group(t, err);
        t->full = true;
        return rc;
    }
    if (2 * (t->count + 1) > t->cap)
        rc = grow_slots(t, err);
    if (rc)
        return rc;
    slot = slot_of(t->slots, t->cap, hash_path(t, path));
    if (slot->hash)
        return OK; /* a name that is said to be in two groups stays in the first */
    *slot = (struct link_slot){hash_path(t, path), (uint32_t)(t->group_count - 1)};
    t->count++;
    t->members++;
    if (t->members > 1 && descent_order(path, (const char *)t->first.data) >= 0)
        return OK;
    buffer_clear(&t->first);
    return buffer_append_text(&t->first, path, err);
}

enum error_kind link_table_load(struct catalog *cat, const struct snapshot_record *snapshot, unsigned root,
                                const struct restore_options *options, struct link_table **out, struct error *err)
{
    struct link_table *t = calloc(1, sizeof(*t));
    enum error_kind rc;

    if (!t)
        return error_set(err, ERR_MEMORY, 0, "out of memory for hard links");
    t->leaders = (struct buffer)BUFFER_INIT(LEADERS_MAX + 1);
    t->first = (struct buffer)BUFFER_INIT(RESTORE_PATH_MAX);
    t->root = root;
    t->options = options;
    rc = random_bytes(&t->seed, sizeof(t->seed), err);
    if (!rc)
        rc = links_each(cat, snapshot, load_path, t, err);
    if (!rc)
        rc = end_group(t, err);
    buffer_release(&t->first);
    if (rc) {
        error_context(err, "reading the snapshot's hard links");
        link_table_free(t);
        return rc;
    }
    *out = t;
    return OK;
}

void link_table_free(struct link_table *t)
{
    if (!t)
        return;
    free(t->slots);
    free(t->groups);
    buffer_release(&t->leaders);
    buffer_release(&t->first);
    free(t);
}

static struct link_group *group_of(const struct link_table *t, const char *path)
{
    struct link_slot *slot;

    if (t->count == 0)
        return NULL;
    slot = slot_of(t->slots, t->cap, hash_path(t, path));
    return slot->hash && t->groups[slot->group].leader != NO_LEADER ? &t->groups[slot->group] : NULL;
}

const char *link_table_leader(const struct link_table *t, const char *path)
{
    const struct link_group *g = group_of(t, path);

    return g ? (const char *)t->leaders.data + g->leader : NULL;
}

void link_table_set_how(struct link_table *t, const char *leader, enum restore_how how)
{
    struct link_group *g = group_of(t, leader);

    if (g)
        g->how = (uint8_t)how;
}

enum restore_how link_table_how(const struct link_table *t, const char *leader)
{
    const struct link_group *g = group_of(t, leader);

    return g ? (enum restore_how)g->how : RESTORE_WRITTEN;
}

/* ---- making the links ---- */

/* An open directory of the target whose time is put back when the next one is opened. */
struct link_folder {
    char *path;
    int fd;
    struct stat before;
    bool changed;
};

struct placing {
    const struct links_place_job *job;
    struct link_folder to;
    struct buffer first; /* first name of a group that the table had no room for */
};

static enum error_kind folder_close(struct link_folder *f, struct error *err)
{
    struct timespec times[2] = {{0, UTIME_OMIT}, f->before.st_mtim};
    enum error_kind rc = OK;

    if (f->changed && futimens(f->fd, times))
        rc = error_set(err, ERR_IO, errno, "cannot set the time of %s", f->path);
    if (f->changed && !(f->before.st_mode & 0200) && fchmod(f->fd, f->before.st_mode & 07777) && !rc)
        rc = error_set(err, ERR_IO, errno, "cannot set the mode of %s", f->path);
    file_close(&f->fd);
    free(f->path);
    f->path = NULL;
    f->changed = false;
    return rc;
}

/* Open the directory that holds path; name is set to the rest of it. */
static enum error_kind open_parent(int target, const char *path, int *fd, const char **name, struct error *err)
{
    const char *slash = strrchr(path, '/');

    *name = slash ? slash + 1 : path;
    return restore_open_below(target, path, slash ? (size_t)(slash - path) : 0, O_RDONLY | O_DIRECTORY, 0, fd, err);
}

static enum error_kind folder_open(struct placing *p, const char *path, const char **name, struct error *err)
{
    struct link_folder *f = &p->to;
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    enum error_kind rc;

    *name = slash ? slash + 1 : path;
    if (f->path && strlen(f->path) == len && memcmp(f->path, path, len) == 0)
        return OK;
    rc = folder_close(f, err);
    if (!rc)
        rc = open_parent(p->job->target, path, &f->fd, name, err);
    if (rc)
        return rc;
    if (fstat(f->fd, &f->before))
        return error_set(err, ERR_IO, errno, "cannot look at the folder of %s", path);
    f->path = strndup(path, len);
    return f->path ? OK : error_set(err, ERR_MEMORY, 0, "out of memory while linking %s", path);
}

/* What stands in the way of a link: the same file already, or (not in the table) the copy that was written first. */
static enum error_kind clear_way(struct placing *p, int from, const char *from_name, const char *name, const char *path,
                                 bool *done, struct error *err)
{
    struct stat a;
    struct stat b;

    if (fstatat(from, from_name, &a, AT_SYMLINK_NOFOLLOW) || fstatat(p->to.fd, name, &b, AT_SYMLINK_NOFOLLOW))
        return error_set(err, ERR_IO, errno, "cannot look at %s", path);
    *done = a.st_dev == b.st_dev && a.st_ino == b.st_ino;
    if (*done)
        return OK;
    if (S_ISDIR(b.st_mode) || link_table_leader(p->job->table, path))
        return error_set(err, ERR_REFUSED, EEXIST, "%s can't become a hard link", path);
    return file_unlink(p->to.fd, name, err);
}

static enum error_kind link_to(struct placing *p, const char *leader, const char *path, struct error *err)
{
    const char *from_name = NULL;
    const char *name = NULL;
    bool done = false;
    int from = -1;
    enum error_kind rc;

    rc = open_parent(p->job->target, leader, &from, &from_name, err);
    if (!rc)
        rc = folder_open(p, path, &name, err);
    if (rc)
        goto done;
    /* A plain user's folder may forbid writing by now. */
    if (!(p->to.before.st_mode & 0200) && fchmod(p->to.fd, (p->to.before.st_mode & 07777) | 0200)) {
        rc = error_set(err, ERR_IO, errno, "cannot write into the folder of %s", path);
        goto done;
    }
    p->to.changed = true;
    rc = file_link(from, from_name, p->to.fd, name, err);
    if (rc == ERR_EXISTS) {
        error_clear(err);
        rc = clear_way(p, from, from_name, name, path, &done, err);
        if (!rc && !done)
            rc = file_link(from, from_name, p->to.fd, name, err);
    } else if (!rc) {
        p->job->result->files++;
    }

done:
    file_close(&from);
    return rc;
}

static enum error_kind place_path(void *arg, bool first, unsigned root, const char *path, struct error *err)
{
    struct placing *p = arg;
    const char *leader;
    enum error_kind rc = cancel_check(err);

    if (first)
        buffer_clear(&p->first);
    if (rc || root != p->job->root || !restore_wanted(p->job->options, path, false))
        return rc;
    leader = link_table_leader(p->job->table, path);
    if (!leader && p->first.len > 0)
        leader = (const char *)p->first.data;
    if (!leader || strcmp(leader, path) == 0) {
        buffer_clear(&p->first);
        return buffer_append_text(&p->first, path, err);
    }
    rc = link_to(p, leader, path, err);
    if (rc)
        error_context(err, "linking %s to %s", path, leader);
    if (rc == ERR_NOT_FOUND && p->job->options->keep_going) {
        rc = text_list_addf(&p->job->result->damaged, err, "%s: %s", path, err->text);
        error_clear(err);
    }
    return rc;
}

/* The links have moved every name's ctime: only now its stat is what it will be. */
static enum error_kind report_path(void *arg, bool first, unsigned root, const char *path, struct error *err)
{
    struct placing *p = arg;
    const struct links_place_job *job = p->job;
    struct buffer encoded = BUFFER_INIT(RESTORE_ENTRY_MAX);
    const char *leader = link_table_leader(job->table, path);
    const char *name = NULL;
    struct stat st;
    int fd = -1;
    enum error_kind rc;

    (void)first;
    if (root != job->root || !restore_wanted(job->options, path, false) || (!leader && !job->table->full))
        return OK;
    rc = open_parent(job->target, path, &fd, &name, err);
    if (!rc && fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW))
        rc = error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "cannot look at %s", path);
    if (!rc)
        rc = tree_lookup(job->cat, &job->snapshot->roots[root].tree, path, &encoded, err);
    if (!rc)
        rc = job->options->placed(job->options->placed_arg, path,
                                  leader ? link_table_how(job->table, leader) : RESTORE_WRITTEN, &st, encoded.data,
                                  encoded.len, err);
    if (rc == ERR_NOT_FOUND && job->options->keep_going) {
        error_clear(err);
        rc = OK;
    }
    file_close(&fd);
    buffer_release(&encoded);
    return rc;
}

enum error_kind links_place(const struct links_place_job *job, struct error *err)
{
    struct placing p = {.job = job, .to = {.fd = -1}, .first = BUFFER_INIT(RESTORE_PATH_MAX)};
    struct error closing = ERROR_INIT;
    enum error_kind rc;

    rc = links_each(job->cat, job->snapshot, place_path, &p, err);
    if (folder_close(&p.to, &closing) && !rc) {
        rc = closing.kind;
        error_copy(err, &closing);
    }
    if (!rc && job->options->placed)
        rc = links_each(job->cat, job->snapshot, report_path, &p, err);
    buffer_release(&p.first);
    return rc;
}
