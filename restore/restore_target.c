/*
 * Where files are put: opening below a directory without ever following a symlink (R1), and setting and comparing attributes.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "open_below.h"
#include "restore_internal.h"

/* ---- opening ---- */

static enum error_kind open_failed(int sys, const char *path, struct error *err)
{
    switch (sys) {
    case ENOENT:
        return error_set(err, ERR_NOT_FOUND, sys, "cannot open %s", path);
    case EEXIST:
        return error_set(err, ERR_EXISTS, sys, "cannot make %s", path);
    case ENOTDIR:
    case ELOOP:
    case EXDEV:
        return error_set(err, ERR_REFUSED, sys, "%s: a symlink or something else that is no directory is in its way",
                         path);
    default:
        return error_set(err, ERR_IO, sys, "cannot open %s", path);
    }
}

enum error_kind restore_open_below(int base, const char *path, size_t len, int flags, mode_t mode, int *out,
                                   struct error *err)
{
    int fd = open_below(base, path, len, flags, mode);

    if (fd < 0)
        return open_failed(errno, len ? path : ".", err);
    *out = fd;
    return OK;
}

/* ---- what could not be done ---- */

void target_init(struct target *t)
{
    memset(t, 0, sizeof(*t));
    t->fd = -1;
    t->privileged = geteuid() == 0;
    pthread_mutex_init(&t->lock, NULL);
}

void target_release(struct target *t)
{
    file_close(&t->fd);
    for (int i = 0; i < NOTE_COUNT; i++)
        free(t->first[i]);
    for (size_t i = 0; i < t->owner_count; i++)
        free(t->owners[i].name);
    pthread_mutex_destroy(&t->lock);
}

/* Counted, with the first one's name: a line for each of a million files would help nobody. */
static void note(struct target *t, enum target_note kind, int sys, const char *shown, const char *detail)
{
    struct error shaped = ERROR_INIT;

    pthread_mutex_lock(&t->lock);
    if (t->noted[kind]++ == 0) {
        error_set(&shaped, ERR_IO, sys, "%s%s%s", shown[0] ? shown : ".", detail ? ", " : "", detail ? detail : "");
        t->first[kind] = strdup(shaped.text);
    }
    pthread_mutex_unlock(&t->lock);
}

enum error_kind target_notes(struct target *t, struct text_list *out, struct error *err)
{
    static const char *const text[NOTE_COUNT] = {
        [NOTE_OWNER] = "owners that could not be set (run as root to keep them)",
        [NOTE_XATTR] = "extended attributes that the system refused",
        [NOTE_DEVICE] = "devices that were left out (they need root)",
    };
    enum error_kind rc = OK;

    for (int i = 0; !rc && i < NOTE_COUNT; i++) {
        if (t->noted[i] > 0)
            rc = text_list_addf(out, err, "%s: %llu, the first is %s", text[i], (unsigned long long)t->noted[i],
                                t->first[i] ? t->first[i] : "?");
    }
    return rc;
}

/* ---- owners ---- */

static bool look_up(const char *name, bool group, uint32_t *id)
{
    char room[16384];

    if (group) {
        struct group g;
        struct group *found = NULL;

        if (getgrnam_r(name, &g, room, sizeof(room), &found) || !found)
            return false;
        *id = found->gr_gid;
    } else {
        struct passwd p;
        struct passwd *found = NULL;

        if (getpwnam_r(name, &p, room, sizeof(room), &found) || !found)
            return false;
        *id = found->pw_uid;
    }
    return true;
}

/* A shop has a handful of owners; beyond the table's size each is simply looked up again. */
static uint32_t owner_id(struct target *t, const char *name, bool group, uint32_t recorded)
{
    uint32_t id = recorded;
    size_t i = 0;
    bool known;

    if (!name || !name[0])
        return recorded;
    pthread_mutex_lock(&t->lock);
    while (i < t->owner_count && (t->owners[i].group != group || strcmp(t->owners[i].name, name) != 0))
        i++;
    if (i < t->owner_count) {
        id = t->owners[i].known ? t->owners[i].id : recorded;
    } else {
        known = look_up(name, group, &id);
        if (i < sizeof(t->owners) / sizeof(t->owners[0]) && (t->owners[i].name = strdup(name))) {
            t->owners[i].group = group;
            t->owners[i].known = known;
            t->owners[i].id = id;
            t->owner_count++;
        }
    }
    pthread_mutex_unlock(&t->lock);
    return id;
}

void target_owner(struct target *t, const struct tree_entry *e, uid_t *uid, gid_t *gid)
{
    *uid = owner_id(t, e->owner, false, e->uid);
    *gid = owner_id(t, e->group, true, e->gid);
}

/* ---- setting ---- */

/*
 * Give a thing its owner. Who may not, keeps it, and the set-id bits go: they would lend the wrong identity.
 */
static enum error_kind set_owner(struct target *t, int fd, const char *name, int flags, const struct stat *st,
                                 const struct tree_entry *e, const char *shown, uint32_t *mode, struct error *err)
{
    uid_t uid;
    gid_t gid;

    target_owner(t, e, &uid, &gid);
    if (st->st_uid == uid && st->st_gid == gid)
        return OK;
    if (fchownat(fd, name, uid, gid, flags) == 0)
        return OK;
    if (errno != EPERM && errno != EINVAL) /* EINVAL: a number that this user namespace has no room for */
        return error_set(err, ERR_IO, errno, "cannot set the owner of %s", shown);
    note(t, NOTE_OWNER, errno, shown, NULL);
    /* The group alone may be one of ours. */
    if (st->st_gid != gid && fchownat(fd, name, (uid_t)-1, gid, flags) == 0 && st->st_uid == uid)
        return OK;
    *mode &= ~(uint32_t)06000;
    return OK;
}

bool target_xattr_expected(const struct target *t, const char *name)
{
    return t->privileged || (strncmp(name, "trusted.", 8) != 0 && strncmp(name, "security.", 9) != 0);
}

static bool xattr_refused(int sys)
{
    return sys == ENOTSUP || sys == EPERM || sys == EACCES || sys == E2BIG || sys == ENOSPC || sys == ERANGE ||
           sys == EINVAL;
}

/* path NULL: by descriptor */
static enum error_kind set_xattrs(struct target *t, int fd, const char *path, const struct tree_entry *e,
                                  const char *shown, struct error *err)
{
    for (size_t i = 0; i < e->xattr_count; i++) {
        const struct tree_xattr *x = &e->xattrs[i];
        int failed = path ? lsetxattr(path, x->name, x->value, x->len, 0) : fsetxattr(fd, x->name, x->value, x->len, 0);

        if (failed && !xattr_refused(errno))
            return error_set(err, ERR_IO, errno, "cannot set the attribute %s of %s", x->name, shown);
        if (failed)
            note(t, NOTE_XATTR, errno, shown, x->name);
    }
    return OK;
}

static bool has_acl(const struct tree_entry *e)
{
    for (size_t i = 0; i < e->xattr_count; i++) {
        if (strcmp(e->xattrs[i].name, "system.posix_acl_access") == 0)
            return true;
    }
    return false;
}

enum error_kind target_attributes(struct target *t, int fd, const struct tree_entry *e, const char *shown,
                                  struct error *err)
{
    struct timespec times[2] = {{0, UTIME_OMIT}, {e->mtime_sec, e->mtime_nsec}};
    uint32_t mode = e->mode;
    struct stat st;
    enum error_kind rc;

    if (fstat(fd, &st))
        return error_set(err, ERR_IO, errno, "cannot look at %s", shown);
    /* Owner first, since it clears set-id bits and capabilities; then attributes, since an ACL sets the mode; time last. */
    rc = set_owner(t, fd, "", AT_EMPTY_PATH, &st, e, shown, &mode, err);
    if (!rc)
        rc = set_xattrs(t, fd, NULL, e, shown, err);
    if (rc)
        return rc;
    if (((st.st_mode & 07777) != mode || (mode & 07000) || has_acl(e)) && fchmod(fd, mode))
        return error_set(err, ERR_IO, errno, "cannot set the mode of %s", shown);
    if (futimens(fd, times))
        return error_set(err, ERR_IO, errno, "cannot set the time of %s", shown);
    return OK;
}

/* A symlink can't be opened for this, so its name below its directory is used, never followed. */
static enum error_kind symlink_attributes(struct target *t, int dirfd, const char *name, const struct tree_entry *e,
                                          const char *shown, struct error *err)
{
    struct timespec times[2] = {{0, UTIME_OMIT}, {e->mtime_sec, e->mtime_nsec}};
    char path[64 + 1025];
    uint32_t mode = 0;
    struct stat st;
    enum error_kind rc;

    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW))
        return error_set(err, ERR_IO, errno, "cannot look at %s", shown);
    rc = set_owner(t, dirfd, name, AT_SYMLINK_NOFOLLOW, &st, e, shown, &mode, err);
    if (rc)
        return rc;
    if (e->xattr_count > 0) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dirfd, name);
        rc = set_xattrs(t, -1, path, e, shown, err);
    }
    if (!rc && utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW))
        rc = error_set(err, ERR_IO, errno, "cannot set the time of %s", shown);
    return rc;
}

/* FIFOs and devices are pinned by an O_PATH descriptor: opening them would wait, or wake a driver. */
static enum error_kind node_attributes(struct target *t, int dirfd, const char *name, const struct tree_entry *e,
                                       const char *shown, struct error *err)
{
    struct timespec times[2] = {{0, UTIME_OMIT}, {e->mtime_sec, e->mtime_nsec}};
    uint32_t mode = e->mode;
    char link[64];
    struct stat st;
    enum error_kind rc;
    int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st)) {
        rc = error_set(err, ERR_IO, errno, "cannot look at %s", shown);
        goto done;
    }
    if (tree_type_of(st.st_mode) != e->type) {
        rc = error_set(err, ERR_REFUSED, 0, "%s was replaced while it was being made", shown);
        goto done;
    }
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    rc = set_owner(t, fd, "", AT_EMPTY_PATH, &st, e, shown, &mode, err);
    if (!rc && e->xattr_count > 0) {
        /* The link leads to this very inode; lsetxattr() would stop at the link itself. */
        for (size_t i = 0; i < e->xattr_count; i++) {
            if (setxattr(link, e->xattrs[i].name, e->xattrs[i].value, e->xattrs[i].len, 0))
                note(t, NOTE_XATTR, errno, shown, e->xattrs[i].name);
        }
    }
    if (!rc && chmod(link, mode))
        rc = error_set(err, ERR_IO, errno, "cannot set the mode of %s", shown);
    if (!rc && utimensat(AT_FDCWD, link, times, 0))
        rc = error_set(err, ERR_IO, errno, "cannot set the time of %s", shown);

done:
    file_close(&fd);
    return rc;
}

static enum error_kind made_failed(int sys, const char *shown, struct error *err)
{
    return error_set(err, sys == EEXIST ? ERR_EXISTS : ERR_IO, sys, "cannot make %s", shown);
}

enum error_kind target_special(struct target *t, int dirfd, const char *name, const struct tree_entry *e,
                               const char *shown, bool *made, struct error *err)
{
    mode_t type = e->type == TREE_FIFO ? S_IFIFO : e->type == TREE_BLOCK_DEVICE ? S_IFBLK : S_IFCHR;

    *made = true;
    if (e->type == TREE_SYMLINK) {
        if (symlinkat(e->target, dirfd, name))
            return made_failed(errno, shown, err);
        return symlink_attributes(t, dirfd, name, e, shown, err);
    }
    if (mknodat(dirfd, name, type | 0600, type == S_IFIFO ? 0 : makedev(e->device_major, e->device_minor))) {
        if (errno != EPERM || type == S_IFIFO)
            return made_failed(errno, shown, err);
        note(t, NOTE_DEVICE, errno, shown, NULL);
        *made = false;
        return OK;
    }
    return node_attributes(t, dirfd, name, e, shown, err);
}

/* ---- comparing ---- */

static bool owner_differs(struct target *t, const struct stat *st, const struct tree_entry *e)
{
    uid_t uid;
    gid_t gid;

    target_owner(t, e, &uid, &gid);
    if (st->st_uid == uid && st->st_gid == gid)
        return false;
    /* What only root can set is no difference where root did not set it. */
    return t->privileged || st->st_uid != geteuid();
}

static bool mode_differs(struct target *t, const struct stat *st, const struct tree_entry *e)
{
    uint32_t mode = e->mode;
    uid_t uid;
    gid_t gid;

    if (S_ISLNK(st->st_mode))
        return false;
    target_owner(t, e, &uid, &gid);
    if (!t->privileged && (st->st_uid != uid || st->st_gid != gid))
        mode &= ~(uint32_t)06000;
    return (st->st_mode & 07777) != mode;
}

/* One recorded attribute against what is there. A filesystem without such attributes can't be blamed for lacking them. */
static enum error_kind xattr_differs(struct target *t, int fd, const char *path, const struct tree_xattr *x,
                                     struct buffer *room, bool *differs, struct error *err)
{
    enum error_kind rc;
    ssize_t n;

    buffer_clear(room);
    rc = buffer_reserve(room, (size_t)x->len + 1, err);
    if (rc)
        return rc;
    n = path ? getxattr(path, x->name, room->data, (size_t)x->len + 1)
             : fgetxattr(fd, x->name, room->data, (size_t)x->len + 1);
    if (n >= 0)
        *differs = (size_t)n != x->len || memcmp(room->data, x->value, x->len) != 0;
    else if (errno == ENODATA)
        *differs = target_xattr_expected(t, x->name);
    else
        *differs = errno == ERANGE || (errno != ENOTSUP && t->privileged);
    return OK;
}

/* Attributes of ours that nobody recorded: security labels come by themselves, the rest has to be in the record. */
static bool xattr_extra(int fd, const char *path, const struct tree_entry *e)
{
    char names[65536];
    ssize_t len = path ? listxattr(path, names, sizeof(names)) : flistxattr(fd, names, sizeof(names));

    for (ssize_t at = 0; at < len; at += (ssize_t)strlen(names + at) + 1) {
        size_t i = 0;

        if (strncmp(names + at, "security.", 9) == 0 && strcmp(names + at, "security.capability") != 0)
            continue;
        while (i < e->xattr_count && strcmp(e->xattrs[i].name, names + at) != 0)
            i++;
        if (i == e->xattr_count)
            return true;
    }
    return false;
}

static enum error_kind compare_xattrs(struct target *t, int fd, const struct stat *st, const struct tree_entry *e,
                                      bool *differs, struct error *err)
{
    struct buffer room = BUFFER_INIT(RESTORE_ENTRY_MAX);
    char link[64];
    const char *path = NULL;
    enum error_kind rc = OK;

    if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode)) {
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        path = link;
    }
    *differs = xattr_extra(fd, path, e);
    for (size_t i = 0; !rc && !*differs && i < e->xattr_count; i++)
        rc = xattr_differs(t, fd, path, &e->xattrs[i], &room, differs, err);
    buffer_release(&room);
    return rc;
}

enum error_kind target_compare(struct target *t, int fd, const struct stat *st, const struct tree_entry *e,
                               const char **what, struct error *err)
{
    bool differs = false;
    enum error_kind rc;

    *what = NULL;
    if (tree_type_of(st->st_mode) != e->type)
        *what = "type";
    else if (e->type == TREE_FILE && (uint64_t)st->st_size != e->size)
        *what = "size";
    else if (owner_differs(t, st, e))
        *what = "owner";
    else if (mode_differs(t, st, e))
        *what = "mode";
    else if (st->st_mtim.tv_sec != e->mtime_sec || (uint32_t)st->st_mtim.tv_nsec != e->mtime_nsec)
        *what = "time";
    else if ((e->type == TREE_CHARACTER_DEVICE || e->type == TREE_BLOCK_DEVICE) &&
             st->st_rdev != makedev(e->device_major, e->device_minor))
        *what = "device number";
    if (*what)
        return OK;
    rc = compare_xattrs(t, fd, st, e, &differs, err);
    if (!rc && differs)
        *what = "extended attributes";
    return rc;
}
