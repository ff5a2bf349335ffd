/*
 * Files with named durability.
 *
 * Every call that writes, syncs, renames or links passes through here: EINTR is retried, short writes are
 * continued, failures become a struct error that names the path. A failed sync is never retried as success: after
 * it the file counts as lost (the kernel may have dropped the dirty pages and cleared the error).
 * Paths may be absolute or relative to dirfd (AT_FDCWD); `shown` is the name that an error message uses.
 */
#ifndef NOPSNAP_FILE_H
#define NOPSNAP_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "buffer.h"
#include "error.h"

/* What a file or directory *is*, whatever it is called now: survives rename and reboot, never a device number. */
struct file_identity {
    uint64_t inode;
    int64_t birth_sec; /* 0 where the filesystem has no birth time */
    uint32_t birth_nsec;
};

bool file_identity_equal(const struct file_identity *a, const struct file_identity *b);
/* Identity of a path (not following a final symlink). ERR_NOT_FOUND if absent. */
enum error_kind file_identity_at(int dirfd, const char *path, struct file_identity *out, struct error *err);
/* The mount a path lies on (statx STATX_MNT_ID). */
enum error_kind file_mount_id(int dirfd, const char *path, uint64_t *out, struct error *err);

/* open(2) with O_CLOEXEC; ERR_NOT_FOUND for ENOENT and ENOTDIR, else ERR_IO. */
enum error_kind file_open(int dirfd, const char *path, int flags, mode_t mode, int *out, struct error *err);
void file_close(int *fd); /* accepts -1; sets -1; for descriptors whose close can't lose data */
enum error_kind file_write(int fd, const void *bytes, size_t len, const char *shown, struct error *err);
enum error_kind file_write_at(int fd, const void *bytes, size_t len, uint64_t offset, const char *shown,
                              struct error *err);
/* Read up to len bytes, fewer only at the end of the file; *got says how many. */
enum error_kind file_read(int fd, void *bytes, size_t len, size_t *got, const char *shown, struct error *err);
/* Read exactly len bytes at offset; ERR_CORRUPT if the file ends before. */
enum error_kind file_read_at(int fd, void *bytes, size_t len, uint64_t offset, const char *shown, struct error *err);
enum error_kind file_sync(int fd, const char *shown, struct error *err);
enum error_kind file_sync_filesystem(int fd, const char *shown, struct error *err); /* syncfs */
enum error_kind file_read_whole(int dirfd, const char *path, size_t max, struct buffer *out, struct error *err);

enum error_kind directory_make(int dirfd, const char *path, mode_t mode, struct error *err); /* ERR_EXISTS if there */
/* Make path and its missing parents, each 0700, syncing every parent that gained an entry. */
enum error_kind directory_make_all(const char *path, struct error *err);
/* Bytes that this user may still write on the filesystem that path lies on. */
enum error_kind directory_room(const char *path, uint64_t *out, struct error *err);
enum error_kind directory_sync(int dirfd, const char *path, struct error *err); /* open, fsync, close */
enum error_kind directory_sync_parent(const char *path, struct error *err);     /* of the folder that it is in */

/* The next four do not sync; the caller names when. */
enum error_kind file_rename(int from_dirfd, const char *from, int to_dirfd, const char *to, struct error *err);
/* renameat2: ERR_EXISTS instead of replacing. */
enum error_kind file_rename_new(int from_dirfd, const char *from, int to_dirfd, const char *to, struct error *err);
/* renameat2(RENAME_EXCHANGE): both must exist. */
enum error_kind file_exchange(int a_dirfd, const char *a, int b_dirfd, const char *b, struct error *err);
enum error_kind file_link(int from_dirfd, const char *from, int to_dirfd, const char *to, struct error *err);
enum error_kind file_unlink(int dirfd, const char *path, struct error *err); /* ERR_NOT_FOUND if absent */
/* Remove a tree that nopsnap itself made. Never crosses a mount, never follows a symlink (P8). Absent is OK. */
enum error_kind directory_remove_tree(int dirfd, const char *path, struct error *err);

/*
 * A draft is a file that becomes visible whole or not at all: written under a temporary name in the same folder,
 * then fsync, rename, fsync of the folder.
 *
 *     struct draft d = DRAFT_INIT;
 *     rc = draft_open(&d, path, 0600, err);  ... draft_write() ...  rc = draft_commit(&d, err);
 *     draft_discard(&d);                                  does nothing once committed
 *
 * Durable    after draft_commit() returns OK the new content survives power loss; before, the old content does
 */
struct draft {
    int fd;
    char *path;      /* final name, owned */
    char *temporary; /* owned */
    uint64_t len;    /* bytes written */
    bool synced;     /* draft_sync() came after the last write */
    bool lost;       /* a write or a sync failed: can only be discarded */
};

#define DRAFT_INIT \
    {              \
        .fd = -1   \
    }
/* How a draft's temporary name begins, so that what a crash left behind can be told from everything else. */
#define DRAFT_PREFIX ".nopsnap-draft-"

enum error_kind draft_open(struct draft *d, const char *path, mode_t mode, struct error *err);
enum error_kind draft_write(struct draft *d, const void *bytes, size_t len, struct error *err);
/* Sync the content now, so that a later commit only renames. */
enum error_kind draft_sync(struct draft *d, struct error *err);
/* fsync (unless draft_sync() was the last call), close, rename, fsync of the folder. Replaces what is there. */
enum error_kind draft_commit(struct draft *d, struct error *err);
/* The same, but ERR_EXISTS instead of replacing, whenever the other file came. */
enum error_kind draft_commit_new(struct draft *d, struct error *err);
void draft_discard(struct draft *d);
enum error_kind file_replace(const char *path, const void *bytes, size_t len, mode_t mode, struct error *err);
/*
 * The same where one process at a time writes that file: the temporary name is always the same one, so that what a kill leaves goes with the
 * next, or by who knows the name.
 */
#define FILE_ALONE_SUFFIX ".new"
enum error_kind file_replace_alone(const char *path, const void *bytes, size_t len, mode_t mode, struct error *err);

/*
 * Advisory locks with flock(2): they die with their process, so there is no unlock command (close-on-exec).
 * A note in the lock file (pid, command, start time) names the holder; it is information, never evidence.
 */
enum lock_mode { LOCK_SHARED, LOCK_EXCLUSIVE };

struct file_lock {
    int fd;
    char *path;
};

#define FILE_LOCK_INIT \
    {                  \
        .fd = -1       \
    }

/*
 * Take a lock, waiting until the deadline.
 *
 * timeout_ms  0: try once; negative: wait for ever
 * what        what is locked, for the message ("the catalogue /var/lib/nopsnap")
 * Returns     ERR_BUSY with the holder's note in the text when the deadline passes
 */
enum error_kind file_lock_take(struct file_lock *lock, const char *path, enum lock_mode mode, int timeout_ms,
                               const char *what, struct error *err);
void file_lock_drop(struct file_lock *lock);
/* For the room that prints, set before the first lock is taken: called once for each lock that is not free soon, with who holds it. */
typedef void file_lock_waiting_fn(void *arg, const char *line);
void file_lock_on_wait(file_lock_waiting_fn *fn, void *arg);

/* Paths. Results are owned by the caller. */
enum error_kind path_join(const char *a, const char *b, char **out, struct error *err);
enum error_kind path_real(const char *path, char **out, struct error *err); /* realpath(3) */
const char *path_base(const char *path);
enum error_kind path_parent(const char *path, char **out, struct error *err);
/* Refuse "", absolute, "..", ".", empty components and NUL: names from archives and catalogues (P11). */
bool path_is_safe_relative(const char *path);
bool path_is_safe_absolute(const char *path);             /* the same below "/", which itself is refused */
bool name_is_safe(const unsigned char *name, size_t len); /* one component */

#endif
