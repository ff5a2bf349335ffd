#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "file.h"
#include "walk.h"

#define NAMES_KEPT 64 /* owner names remembered, by id modulo this */
#define NAME_ROOM 256
#define XATTR_COUNT_MAX 1024
#define XATTR_BYTES_MAX (4u << 20) /* of one entry; Linux allows 64 KiB a value */
#define TARGET_MAX 65535

struct kept_name {
    bool used;
    uint32_t id;
    char name[NAME_ROOM];
};

struct walk_attributes {
    struct kept_name users[NAMES_KEPT];
    struct kept_name groups[NAMES_KEPT];
    struct buffer names;  /* what listxattr says */
    struct buffer values; /* one behind the other */
    struct tree_xattr xattrs[XATTR_COUNT_MAX];
    struct buffer target;
    struct buffer lookup; /* for getpwuid_r, getgrgid_r */
};

enum error_kind walk_attributes_new(struct walk_attributes **out, struct error *err)
{
    void *memory = NULL;
    struct walk_attributes *a;
    enum error_kind rc = memory_zeroed(1, sizeof *a, &memory, err);

    if (rc)
        return rc;
    a = memory;
    a->names = (struct buffer)BUFFER_INIT(1 << 20);
    a->values = (struct buffer)BUFFER_INIT(XATTR_BYTES_MAX);
    a->target = (struct buffer)BUFFER_INIT(TARGET_MAX + 2);
    a->lookup = (struct buffer)BUFFER_INIT(1 << 20);
    *out = a;
    return OK;
}

void walk_attributes_free(struct walk_attributes *a)
{
    if (!a)
        return;
    buffer_release(&a->names);
    buffer_release(&a->values);
    buffer_release(&a->target);
    buffer_release(&a->lookup);
    free(a);
}

/* ---- owner names ---- */

static const char *user_name(uint32_t id, char *room, size_t len)
{
    struct passwd entry, *found = NULL;

    return getpwuid_r(id, &entry, room, len, &found) == 0 && found ? found->pw_name : "";
}

static const char *group_name(uint32_t id, char *room, size_t len)
{
    struct group entry, *found = NULL;

    return getgrgid_r(id, &entry, room, len, &found) == 0 && found ? found->gr_name : "";
}

/* An id without a name, or with one that does not fit, has "": the number alone is recorded. */
static enum error_kind owner_name(struct walk_attributes *a, struct kept_name *table, uint32_t id,
                                  const char *(*look_up)(uint32_t, char *, size_t), const char **out, struct error *err)
{
    struct kept_name *kept = &table[id % NAMES_KEPT];
    const char *name;
    enum error_kind rc;

    if (!kept->used || kept->id != id) {
        rc = buffer_reserve(&a->lookup, 64 * 1024, err);
        if (rc)
            return rc;
        name = look_up(id, (char *)a->lookup.data, 64 * 1024);
        snprintf(kept->name, sizeof kept->name, "%s", strlen(name) < NAME_ROOM ? name : "");
        kept->id = id;
        kept->used = true;
    }
    *out = kept->name;
    return OK;
}

/* ---- extended attributes ---- */

/* An open file, or a path: symlinks, fifos and unreadable files can't be opened, but have attributes. */
struct source {
    int fd;
    const char *path; /* used if fd is -1 */
    const char *shown;
};

static ssize_t list_names(const struct source *s, void *out, size_t room)
{
    return s->fd >= 0 ? flistxattr(s->fd, out, room) : llistxattr(s->path, out, room);
}

static ssize_t get_value(const struct source *s, const char *name, void *out, size_t room)
{
    return s->fd >= 0 ? fgetxattr(s->fd, name, out, room) : lgetxattr(s->path, name, out, room);
}

static enum error_kind read_names(struct walk_attributes *a, const struct source *s, struct error *err)
{
    size_t room = 1024;
    ssize_t got;
    enum error_kind rc;

    for (;;) {
        buffer_clear(&a->names);
        rc = buffer_reserve(&a->names, room, err);
        if (rc)
            return rc;
        got = list_names(s, a->names.data, room);
        if (got >= 0)
            break;
        if (errno == ENOTSUP)
            return OK;
        if (errno != ERANGE)
            return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                             "%s: listing its extended attributes", s->shown);
        room *= 4;
    }
    a->names.len = (size_t)got;
    return OK;
}

/* One value, behind those that are there. *found false: it went away since the names were listed. */
static enum error_kind read_value(struct walk_attributes *a, const struct source *s, const char *name, bool *found,
                                  uint32_t *len, struct error *err)
{
    size_t room = 256;
    ssize_t got;
    enum error_kind rc;

    for (;;) {
        rc = buffer_reserve(&a->values, room, err);
        if (rc)
            return rc;
        got = get_value(s, name, a->values.data + a->values.len, room);
        if (got >= 0)
            break;
        if (errno == ENODATA) {
            *found = false;
            return OK;
        }
        if (errno != ERANGE)
            return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "%s: reading its attribute %s",
                             s->shown, name);
        room *= 4;
    }
    a->values.len += (size_t)got;
    *len = (uint32_t)got;
    *found = true;
    return OK;
}

static int compare_xattrs(const void *a, const void *b)
{
    return strcmp(((const struct tree_xattr *)a)->name, ((const struct tree_xattr *)b)->name);
}

/* Sorted by name, so that equal entries have equal bytes whatever order the filesystem lists them in. */
static enum error_kind read_xattrs(struct walk_attributes *a, const struct source *s, size_t *count, struct error *err)
{
    size_t n = 0, at = 0;
    enum error_kind rc = read_names(a, s, err);

    buffer_clear(&a->values);
    while (!rc && at < a->names.len) {
        const char *name = (const char *)a->names.data + at;
        bool found = false;

        if (n == XATTR_COUNT_MAX)
            return error_set(err, ERR_REFUSED, 0, "%s: more than %d extended attributes", s->shown, XATTR_COUNT_MAX);
        rc = read_value(a, s, name, &found, &a->xattrs[n].len, err);
        a->xattrs[n].name = name;
        n += !rc && found;
        at += strlen(name) + 1;
    }
    /* Only now: the buffer may have moved while it grew. */
    for (size_t i = 0, offset = 0; i < n; i++) {
        a->xattrs[i].value = a->values.data + offset;
        offset += a->xattrs[i].len;
    }
    qsort(a->xattrs, n, sizeof a->xattrs[0], compare_xattrs);
    *count = n;
    return rc;
}

/* ---- the rest ---- */

static enum error_kind read_target(struct walk_attributes *a, const struct walk_item *item, struct tree_entry *out,
                                   struct error *err)
{
    size_t room = 256;
    ssize_t got;
    enum error_kind rc;

    do {
        room *= 2;
        buffer_clear(&a->target);
        rc = buffer_reserve(&a->target, room, err);
        if (rc)
            return rc;
        got = readlinkat(item->dirfd, item->name, (char *)a->target.data, room);
        if (got < 0)
            return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "%s: reading the symlink",
                             item->path);
    } while ((size_t)got == room);
    a->target.data[got] = '\0';
    out->target = (const char *)a->target.data;
    out->target_len = (size_t)got;
    return OK;
}

static enum error_kind read_common(struct walk_attributes *a, const struct source *s, const struct stat *st,
                                   struct tree_entry *out, struct error *err)
{
    enum error_kind rc;

    memset(out, 0, sizeof *out);
    out->type = tree_type_of(st->st_mode);
    if (!out->type)
        return error_set(err, ERR_REFUSED, 0, "%s: a socket", s->shown);
    out->mode = st->st_mode & 07777;
    out->uid = st->st_uid;
    out->gid = st->st_gid;
    out->mtime_sec = st->st_mtim.tv_sec;
    out->mtime_nsec = (uint32_t)st->st_mtim.tv_nsec;
    if (out->type == TREE_FILE)
        out->size = (uint64_t)st->st_size;
    if (out->type == TREE_CHARACTER_DEVICE || out->type == TREE_BLOCK_DEVICE) {
        out->device_major = major(st->st_rdev);
        out->device_minor = minor(st->st_rdev);
    }
    rc = owner_name(a, a->users, out->uid, user_name, &out->owner, err);
    if (!rc)
        rc = owner_name(a, a->groups, out->gid, group_name, &out->group, err);
    if (!rc)
        rc = read_xattrs(a, s, &out->xattr_count, err);
    out->xattrs = a->xattrs;
    return rc;
}

enum error_kind walk_attributes_read(struct walk_attributes *a, const struct walk_item *item, struct tree_entry *out,
                                     struct error *err)
{
    char *path = NULL;
    struct source s = {-1, NULL, item->path};
    enum error_kind rc;

    /* The only way to the attributes of what can't be opened, relative to a directory. */
    rc = memory_format(&path, err, "/proc/self/fd/%d/%s", item->dirfd, item->name);
    if (rc)
        return rc;
    s.path = path;
    rc = read_common(a, &s, &item->st, out, err);
    if (!rc && out->type == TREE_SYMLINK)
        rc = read_target(a, item, out, err);
    free(path);
    return rc;
}

enum error_kind walk_attributes_read_open(struct walk_attributes *a, int fd, const struct stat *st, const char *shown,
                                          struct tree_entry *out, struct error *err)
{
    struct source s = {fd, NULL, shown};

    return read_common(a, &s, st, out, err);
}
