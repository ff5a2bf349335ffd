/*
 * Putting one file that the live tree has already: its blocks under a new inode, or the very inode under a second name (W4); else it is written.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "restore_write_internal.h"

static bool same_but_ctime(const struct stat_key *key, const struct stat *st)
{
    struct stat_key now;

    stat_key_of(st, &now);
    now.ctime_sec = key->ctime_sec;
    now.ctime_nsec = key->ctime_nsec;
    return stat_key_equal(key, &now);
}

static bool same_owner(const struct stat *a, const struct stat *b)
{
    return a->st_uid == b->st_uid && a->st_gid == b->st_gid;
}

/* Is the live file still what was compared with the stat cache? Its own stat is handed out for later. */
static bool still_same(struct hand *h, const struct put *p, const char *name, struct stat *st)
{
    struct stat_key now;

    if (fstatat(h->live_fd, name, st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st->st_mode))
        return false;
    stat_key_of(st, &now);
    return stat_key_equal(&now, &p->by.live);
}

/*
 * Share the live file's blocks under a new inode. *done false when that did not work for any reason but a full disk: then it is
 * linked or written.
 */
static enum error_kind try_reflink(struct hand *h, struct window *win, struct put *p, struct stat *st, bool *done,
                                   struct error *err)
{
    struct writer *w = h->writer;
    const char *name = put_name(win, p);
    struct error ignored = ERROR_INIT;
    struct stat_key now;
    struct tree_entry e;
    struct stat after;
    int from = -1;
    int to = -1;
    enum error_kind rc = OK;

    if (atomic_load(&w->no_reflink))
        return OK;
    if (file_open(h->live_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0, &from, &ignored))
        return OK;
    rc = put_create(h, p, name, 0600, &to, err);
    if (rc)
        goto done;
    if (ioctl(to, FICLONE, from)) {
        if (errno == EOPNOTSUPP || errno == ENOTTY || errno == ENOSYS)
            atomic_store(&w->no_reflink, true);
        goto done;
    }
    /* What was cloned must be what was compared: same inode, and nothing about it changed meanwhile. */
    if (fstat(from, &after))
        goto done;
    stat_key_of(&after, &now);
    if (!stat_key_equal(&now, &p->by.live))
        goto done;
    rc = tree_entry_decode(h->scratch, put_encoded(win, p), p->encoded_len, &e, err);
    if (!rc)
        rc = put_finish(h, to, &e, st, err);
    *done = !rc;

done:
    file_close(&from);
    if (to >= 0 && !*done)
        put_remove_again(h, p, name);
    file_close(&to);
    return rc;
}

/* W4 */
static enum error_kind try_link(struct hand *h, struct window *win, struct put *p, struct stat *st, bool *done,
                                struct error *err)
{
    const char *name = put_name(win, p);
    struct stat before;
    struct stat after;
    enum error_kind rc;

    if (h->writer->options->no_hard_links || !still_same(h, p, name, &before))
        return OK;
    rc = hand_target_fd(h, p->folder, err);
    if (rc)
        return rc;
    if (linkat(h->live_fd, name, h->target_fd, name, 0)) {
        if (errno == EEXIST)
            rc = error_set(err, ERR_EXISTS, errno, "cannot make %s", name);
        return rc; /* another mount, a full link count, a forbidden link: it is written instead */
    }
    if (fstatat(h->target_fd, name, &after, AT_SYMLINK_NOFOLLOW))
        return error_set(err, ERR_IO, errno, "cannot look at %s", name);
    if (!same_but_ctime(&p->by.live, &after) || !same_owner(&before, &after))
        return file_unlink(h->target_fd, name, err);
    if (st)
        *st = after;
    *done = true;
    return OK;
}

enum error_kind put_link(struct hand *h, struct window *win, struct put *p, struct stat *st, struct error *err)
{
    struct error opening = ERROR_INIT;
    bool done = false;
    enum error_kind rc = OK;

    if (hand_live_fd(h, p->folder, &opening))
        return put_file(h, win, p, NULL, 0, st, err);
    rc = try_reflink(h, win, p, st, &done, err);
    if (!rc && done) {
        p->how = RESTORE_REFLINKED;
        atomic_fetch_add(&h->writer->reflinked, 1);
        return OK;
    }
    if (!rc)
        rc = try_link(h, win, p, st, &done, err);
    if (!rc && done) {
        p->how = RESTORE_LINKED;
        atomic_fetch_add(&h->writer->linked, 1);
        return OK;
    }
    return rc ? rc : put_file(h, win, p, NULL, 0, st, err);
}
