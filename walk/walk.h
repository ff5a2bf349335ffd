/*
 * Walking a tree in walk order (a directory before what is in it, names bytewise), one entry at a time, also below PATH_MAX, without
 * following symlinks, never crossing into nopsnap's own journal folder. Used by snapshots, by differences and by transactions.
 *
 * Memory: the names of the directories on the path, nothing else; huge directories are sorted in bounded runs.
 */
#ifndef NOPSNAP_WALK_H
#define NOPSNAP_WALK_H

#include <sys/stat.h>

#include "site.h"
#include "tree.h"

struct walk;

enum walk_event {
    WALK_ENTRY, /* a file, symlink, device, fifo, socket */
    WALK_ENTER, /* a directory; its content follows */
    WALK_LEAVE, /* the directory is done */
    WALK_SKIPPED, /* left out by a rule; class and reason say why. For a directory nothing below follows */
    WALK_UNREADABLE, /* could not be read; error says why. The walk goes on */
    WALK_END,
};

struct walk_item {
    enum walk_event event;
    const char *path; /* relative to the root, "" for the root itself; borrowed until the next call */
    const char *name; /* last component */
    int dirfd;        /* open directory that holds it: use with name for openat, fstatat, readlinkat */
    struct stat st;
    uint64_t mount_id; /* of directories (WALK_ENTER) */
    enum site_class class;
    const char *reason;
    struct error error; /* WALK_UNREADABLE */
};

/*
 * site       for the rules; NULL: nothing is left out
 */
enum error_kind walk_open(const char *root, const struct site *site, struct walk **out, struct error *err);
enum error_kind walk_next(struct walk *w, struct walk_item *out, struct error *err);
/* After WALK_ENTER: do not descend. */
void walk_prune(struct walk *w);
void walk_close(struct walk *w);

/*
 * All of an entry's attributes but its content: owner names (cached), xattrs, symlink target, device numbers.
 * Memory belongs to the attributes struct and is reused by the next call.
 */
struct walk_attributes;
enum error_kind walk_attributes_new(struct walk_attributes **out, struct error *err);
enum error_kind walk_attributes_read(struct walk_attributes *a, const struct walk_item *item, struct tree_entry *out,
                                     struct error *err);
void walk_attributes_free(struct walk_attributes *a);

#endif
