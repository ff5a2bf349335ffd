/*
 * Walking a tree in walk order (a directory before what is in it, names bytewise), one entry at a time, also below PATH_MAX, without
 * following symlinks, never crossing into nopsnap's own journal folder. Used by snapshots, by differences and by transactions.
 *
 *     rc = walk_open(root, site, &w, err);
 *     while (!(rc = walk_next(w, &item, err)) && item.event != WALK_END) ...
 *     walk_close(w);
 *
 * Memory: the names of the directories on the path, nothing else; huge directories are sorted in bounded runs. Few descriptors are open
 * at once, however deep the tree.
 */
#ifndef NOPSNAP_WALK_H
#define NOPSNAP_WALK_H

#include <sys/stat.h>

#include "site.h"
#include "tree.h"

struct walk;

enum walk_event {
    WALK_ENTRY,      /* a file, symlink, device, fifo, socket */
    WALK_ENTER,      /* a directory; its content follows */
    WALK_LEAVE,      /* the directory is done; one for each WALK_ENTER, also after walk_prune() */
    WALK_SKIPPED,    /* left out by a rule; class and reason say why. For a directory nothing below follows */
    WALK_UNREADABLE, /* could not be read; error says why. The walk goes on. Between its WALK_ENTER and WALK_LEAVE: a directory whose names could
                        not be listed (or not all of them). An entry that went away meanwhile: error.kind is ERR_NOT_FOUND */
    WALK_END,
};

struct walk_item {
    enum walk_event event;
    const char *path; /* relative to the root, "" for the root itself; borrowed until the next call */
    const char *name; /* last component */
    int dirfd; /* open directory that holds it: use with name for openat, fstatat, readlinkat. For the root: itself, and name is "." */
    struct stat st;
    uint64_t
        mount_id; /* what it is mounted on: differs from its parent's at a mount point; 0 where the kernel does not tell */
    enum site_class class;
    const char *reason;
    struct error error; /* WALK_UNREADABLE */
};

/*
 * site       for the rules; NULL: nothing is left out. With rules .nopsnap at the root of a mount is SITE_OWN, too
 */
enum error_kind walk_open(const char *root, const struct site *site, struct walk **out, struct error *err);
/* The same below an open directory. root: one name in it, or "." ; nothing is left out. */
enum error_kind walk_open_at(int dirfd, const char *root, struct walk **out, struct error *err);
/*
 * Before the first walk_next(): what is no directory comes with its type in st.st_mode and nothing else, and costs no system call. For whoever
 * asks for names only; it may be gone by then.
 */
void walk_names_only(struct walk *w);
/* The root's descriptor, borrowed: for walk_open_below() with the paths of items. */
int walk_root(const struct walk *w);
/*
 * Open a path below a walk's root, or any directory: never through a symlink, also beyond PATH_MAX, and so that reading it leaves its access time
 * alone where that is allowed.
 *
 * Returns    ERR_NOT_FOUND when it is not there (or a component has become something else), else ERR_IO
 */
enum error_kind walk_open_below(int rootfd, const char *path, int flags, int *out, struct error *err);
enum error_kind walk_next(struct walk *w, struct walk_item *out, struct error *err);
/* After WALK_ENTER: do not descend. */
void walk_prune(struct walk *w);
void walk_close(struct walk *w);

/*
 * All of an entry's attributes but its content: owner names (cached), xattrs, symlink target, device numbers; size of files.
 * Memory belongs to the attributes struct and is reused by the next call. One thread at a time.
 *
 * Returns    ERR_NOT_FOUND when the entry went away, ERR_REFUSED for a socket (no tree holds one), ERR_IO
 */
struct walk_attributes;
enum error_kind walk_attributes_new(struct walk_attributes **out, struct error *err);
enum error_kind walk_attributes_read(struct walk_attributes *a, const struct walk_item *item, struct tree_entry *out,
                                     struct error *err);
/* The same for a file or directory that is open. shown: for messages. */
enum error_kind walk_attributes_read_open(struct walk_attributes *a, int fd, const struct stat *st, const char *shown,
                                          struct tree_entry *out, struct error *err);
void walk_attributes_free(struct walk_attributes *a);

/*
 * Give an open file or folder the owner, the extended attributes (ACLs and labels are such) and the mode of another; not its times, which whatever is
 * done to it next changes. What this user may not set is left as it is.
 *
 * shown      for messages
 * Returns    ERR_IO, ERR_MEMORY
 */
enum error_kind walk_attributes_copy(int from, int to, const char *shown, struct error *err);
/* The same for a symlink, which has no mode; from and to are one name each in an open directory. ERR_NOT_FOUND: it went away. */
enum error_kind walk_attributes_copy_link(int from_dir, const char *from, int to_dir, const char *to, const char *shown,
                                          struct error *err);

#endif
