/*
 * What a walk found, kept in unnamed files until ids are known: memory does not grow with the number of files.
 *
 *     spill_enter(s, entry)  spill_add(s, entry)...  spill_leave(s)       in walk order, nested
 *
 * Each directory's listing is a run of entries in segments of one file. Directories are numbered in walk order and chained by
 * height (0: holds no directory), so that encode.c can build all trees of one height, learn their ids with one claim, and go on with
 * the next: each listing is read once, whatever the tree's shape.
 *
 *   S1  an entry's name is greater than its predecessor's in the same listing (walk order)
 *   S2  a directory's height is above the height of every directory in its listing
 *   S3  directory 0 is the holder: its only entry is the root, named "."
 */
#ifndef NOPSNAP_SPILL_INTERNAL_H
#define NOPSNAP_SPILL_INTERNAL_H

#include "buffer.h"
#include "stat_cache.h"
#include "store.h"
#include "tree.h"

#define SPILL_NONE UINT64_MAX

enum spill_content {
    SPILL_READY,     /* encoded holds the ids */
    SPILL_TICKETS,   /* `count` tickets: one in `at`, more in the ticket file at `at` */
    SPILL_DIRECTORY, /* directory number `at`; encoded holds its attributes, and its id once it is known */
};

struct spill_entry {
    const void *name;
    size_t name_len;
    struct stat_key key;
    bool cacheable; /* may go into the stat cache */
    enum spill_content content;
    uint64_t at;
    uint32_t count;
    const void *encoded;
    size_t len;
};

struct spill_directory {
    uint64_t first; /* offset of its first segment, SPILL_NONE: empty */
    uint64_t next;  /* number of the next directory of the same height */
    uint64_t ticket;
    bool pending; /* something in its listing has no id yet */
};

struct spill;

/* folder: where the files go; see unnamed_file.h */
enum error_kind spill_new(const char *folder, struct spill **out, struct error *err);
void spill_free(struct spill *s); /* accepts NULL */

/* entry->content, at and count are set here. The root's name is ".". */
enum error_kind spill_enter(struct spill *s, struct spill_entry *entry, struct error *err);
enum error_kind spill_add(struct spill *s, const struct spill_entry *entry, struct error *err);
enum error_kind spill_leave(struct spill *s, struct error *err);

/* Tickets of one file, one after the other; the first one's place comes from spill_ticket_place(). */
uint64_t spill_ticket_place(const struct spill *s);
enum error_kind spill_ticket_add(struct spill *s, store_ticket ticket, struct error *err);
enum error_kind spill_ticket_get(struct spill *s, uint64_t place, uint32_t n, store_ticket *out, struct error *err);

/* After the last spill_leave(). */
unsigned spill_heights(const struct spill *s);
uint64_t spill_chain(const struct spill *s, unsigned height); /* first directory of a height */
enum error_kind spill_directory_get(struct spill *s, uint64_t number, struct spill_directory *out, struct error *err);
enum error_kind spill_directory_put(struct spill *s, uint64_t number, const struct spill_directory *d,
                                    struct error *err);

/* Reading a listing. */
struct spill_cursor {
    uint64_t at, end; /* unread part of the segment, beyond the window */
    uint64_t next;    /* segment after it */
    struct buffer window;
    size_t used;
};
void spill_cursor_open(struct spill_cursor *c, uint64_t first_segment);
/* *more false at the end; entry is borrowed until the next call. */
enum error_kind spill_cursor_next(struct spill *s, struct spill_cursor *c, struct spill_entry *out, bool *more,
                                  struct error *err);
/* Give the memory back and keep the place. */
void spill_cursor_rest(struct spill_cursor *c);

/* Writing a listing: of a directory being walked, or once more with the ids in it. */
struct spill_listing {
    struct buffer bytes;
    uint64_t first, last; /* segments */
    bool pending;
};
void spill_listing_begin(struct spill_listing *l);
/* room: bytes that may wait in memory */
enum error_kind spill_listing_add(struct spill *s, struct spill_listing *l, const struct spill_entry *entry,
                                  size_t room, struct error *err);
enum error_kind spill_listing_end(struct spill *s, struct spill_listing *l, struct error *err);

#endif
