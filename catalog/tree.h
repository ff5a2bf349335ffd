/*
 * Trees: one directory's listing as content, and lists of ids.
 *
 * Writing: entries are added in bytewise order of their names, tree_builder_end() stores the tree.
 * Reading: tree_reader_next() hands out one entry at a time, in constant memory, also for directories of any size.
 * A decoder trusts nothing (P11): names are one safe component, sorted, unique; every length is checked.
 */
#ifndef NOPSNAP_TREE_H
#define NOPSNAP_TREE_H

#include <sys/types.h>

#include "buffer.h"
#include "catalog.h"
#include "store.h"

enum tree_type {
    TREE_FILE = 1,
    TREE_DIRECTORY = 2,
    TREE_SYMLINK = 3,
    TREE_FIFO = 4,
    TREE_CHARACTER_DEVICE = 5,
    TREE_BLOCK_DEVICE = 6,
};

struct tree_xattr {
    const char *name;
    const void *value;
    uint32_t len;
};

struct tree_hole {
    uint64_t offset;
    uint64_t len;
};

#define TREE_INLINE_IDS 64 /* a file with more chunks has a list */

struct tree_entry {
    const unsigned char *name;
    size_t name_len;
    enum tree_type type;
    uint32_t mode; /* 07777 */
    uint32_t uid, gid;
    const char *owner, *group; /* names, "" when the system has none */
    int64_t mtime_sec;
    uint32_t mtime_nsec;
    const struct tree_xattr *xattrs;
    size_t xattr_count;
    /* file */
    uint64_t size;
    const struct tree_hole *holes;
    size_t hole_count;
    const struct chunk_id *chunks; /* up to TREE_INLINE_IDS of them, or NULL and `list` */
    size_t chunk_count;
    bool has_list;
    struct chunk_id list;
    /* directory */
    struct chunk_id tree;
    /* symlink */
    const char *target;
    size_t target_len;
    /* device */
    uint32_t device_major, device_minor;
};

/* The encoded entry without its name: what stat caches keep and tree_builder_add_encoded() takes back. */
enum error_kind tree_entry_encode(const struct tree_entry *entry, struct buffer *out, struct error *err);

struct tree_builder;
enum error_kind tree_builder_new(struct store *store, struct tree_builder **out, struct error *err);
enum error_kind tree_builder_add(struct tree_builder *b, const struct tree_entry *entry, struct error *err);
enum error_kind tree_builder_add_encoded(struct tree_builder *b, const void *name, size_t name_len, const void *encoded,
                                         size_t len, struct error *err);
/*
 * Store the directory; the builder is empty again. The ids it names must have been resolved. The ticket resolves after the next
 * store_claim() (a parent needs its children's ids: claim once a level, not once a directory; see snapshot/).
 */
enum error_kind tree_builder_end(struct tree_builder *b, store_ticket *ticket, struct error *err);
void tree_builder_free(struct tree_builder *b);

struct tree_reader;
enum error_kind tree_reader_open(struct catalog *cat, const struct chunk_id *tree, struct tree_reader **out,
                                 struct error *err);
/*
 * Next entry; everything in it is borrowed until the next call. *more false at the end. A name is one safe component, or, as the only
 * entry, ".": that is for roots, and whoever descends refuses it anywhere below.
 */
enum error_kind tree_reader_next(struct tree_reader *r, struct tree_entry *out, bool *more, struct error *err);
void tree_reader_close(struct tree_reader *r);

/* Decode one entry (what tree_entry_encode() made, without name) in memory owned by the caller's scratch. For fuzzing and caches. */
struct tree_scratch;
enum error_kind tree_scratch_new(struct tree_scratch **out, struct error *err);
enum error_kind tree_entry_decode(struct tree_scratch *s, const void *encoded, size_t len, struct tree_entry *out,
                                  struct error *err);
void tree_scratch_free(struct tree_scratch *s);

/* Are two entries equal in all that a restore would make (name apart)? */
bool tree_entry_equal(const struct tree_entry *a, const struct tree_entry *b);
/* Of one type and one catalogue: do they hold the same, as far as their ids tell? Are they equal in all but that? */
bool tree_content_equal(const struct tree_entry *a, const struct tree_entry *b);
bool tree_attributes_equal(const struct tree_entry *a, const struct tree_entry *b);

enum tree_type tree_type_of(mode_t mode); /* 0 for sockets */

/*
 * Find the entry for a path ("wwwroot/images/0000001_0.jpeg"; "" is the root's own entry ".") below a root's tree.
 * out        encoded entry without name. ERR_NOT_FOUND.
 */
enum error_kind tree_lookup(struct catalog *cat, const struct chunk_id *root, const char *path, struct buffer *out,
                            struct error *err);

/* Lists of ids, of any length. */
struct list_builder;
enum error_kind list_builder_new(struct store *store, struct list_builder **out, struct error *err);
enum error_kind list_builder_add(struct list_builder *b, const struct chunk_id *id, struct error *err);
/* Store; the id is valid at once (claims). */
enum error_kind list_builder_end(struct list_builder *b, struct chunk_id *out, struct error *err);
void list_builder_free(struct list_builder *b);

struct list_reader;
enum error_kind list_reader_open(struct catalog *cat, const struct chunk_id *list, struct list_reader **out,
                                 struct error *err);
enum error_kind list_reader_next(struct list_reader *r, struct chunk_id *out, bool *more, struct error *err);
void list_reader_close(struct list_reader *r);

#endif
