/*
 * What the files of this room share. The public side is restore.h.
 */
#ifndef NOPSNAP_RESTORE_INTERNAL_H
#define NOPSNAP_RESTORE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "file.h"
#include "restore.h"
#include "stat_cache.h"
#include "thread.h"

#define RESTORE_DEPTH_MAX 4096        /* P11: as deep as a tree may be written */
#define RESTORE_PATH_MAX (2u << 20)   /* a path of that depth */
#define RESTORE_ENTRY_MAX (9u << 20)  /* one encoded entry */
#define RESTORE_CHUNK_MAX (16u << 20) /* a chunk is never longer than a frame */

/* ---- restore_descent.c: a snapshot's tree, in walk order ---- */

enum descent_event {
    DESCENT_ENTER,   /* a directory; its content follows */
    DESCENT_ENTRY,   /* anything else */
    DESCENT_LEAVE,   /* the directory is done */
    DESCENT_DAMAGED, /* the rest of this directory's listing can't be read (error says why); LEAVE follows */
    DESCENT_END,
};

struct descent_item {
    enum descent_event event;
    const char *path; /* relative to the root, "" for the root itself; borrowed until the next call */
    size_t path_len;
    const char *name;        /* last component of path */
    struct tree_entry entry; /* ENTER and ENTRY: what it points to is borrowed until the next call */
    struct error error;      /* DAMAGED */
};

struct descent;

/* root: a tree with the single entry ".", which must be a directory (ERR_CORRUPT otherwise). */
enum error_kind descent_open(struct catalog *cat, const struct chunk_id *root, struct descent **out, struct error *err);
enum error_kind descent_next(struct descent *d, struct descent_item *out, struct error *err);
void descent_prune(struct descent *d); /* after ENTER: only LEAVE follows */
void descent_close(struct descent *d); /* accepts NULL */

/* Walk order of two paths: bytewise, a slash below every other byte. Below, at or above 0. */
int descent_order(const char *a, const char *b);

/* The number of a snapshot's root by name. ERR_NOT_FOUND. */
enum error_kind restore_root_find(const struct snapshot_record *snapshot, const char *name, unsigned *out,
                                  struct error *err);
/* Is a path among what was asked for? No patterns: everything is. */
bool restore_wanted(const struct restore_options *options, const char *path, bool is_folder);

/* ---- restore_content.c: a file's bytes ---- */

/* How many bytes lie outside holes. */
uint64_t content_data_size(const struct tree_entry *e);

/* The runs of data between a file's holes, in order. */
struct extents {
    const struct tree_entry *entry;
    size_t hole;
    uint64_t at;
};
struct extents extents_of(const struct tree_entry *e);
/* The next run, at most want bytes of it; 0 at the end of the file. */
size_t extents_next(struct extents *x, size_t want, uint64_t *offset);

/* The ids of a file's chunks, in order. */
struct content {
    const struct tree_entry *entry;
    struct list_reader *list;
    size_t at;
};
enum error_kind content_open(struct content *c, struct catalog *cat, const struct tree_entry *e, struct error *err);
enum error_kind content_next(struct content *c, struct chunk_id *id, bool *more, struct error *err);
void content_close(struct content *c);

/* Takes one run of checked bytes that belongs at offset. */
typedef enum error_kind content_fn(void *arg, uint64_t offset, const void *bytes, size_t len, struct error *err);

/* Lay the bytes of one chunk out between the holes. ERR_CORRUPT when they are more than the file has room for. */
enum error_kind content_spread(struct extents *x, const void *bytes, size_t len, content_fn *fn, void *arg,
                               struct error *err);
/*
 * The frame that was read from last, held until another one is needed: neighbours share frames, and the catalogue's own cache is for all
 * threads together. Beginning empty: OPEN_FRAME_INIT.
 */
struct open_frame {
    struct chunk_frame *frame;
    uint64_t pack;
    uint32_t number;
};
#define OPEN_FRAME_INIT \
    {                   \
        NULL, 0, 0      \
    }
enum error_kind open_frame_get(struct open_frame *f, struct catalog *cat, const struct chunk_id *id,
                               const struct chunk_place *place, const void **bytes, struct error *err);
/* Hold the frame of a place, without looking into it. */
enum error_kind open_frame_hold(struct open_frame *f, struct catalog *cat, const struct chunk_place *place,
                                struct error *err);
void open_frame_release(struct open_frame *f);

/*
 * All runs of a file, chunk by chunk.
 *
 * held       the caller's, who releases it
 * Returns    ERR_CORRUPT when a chunk is damaged, or all of them are more or fewer bytes than the entry says
 */
enum error_kind content_each(struct catalog *cat, const struct tree_entry *e, struct open_frame *held, content_fn *fn,
                             void *arg, struct error *err);
/* All of a file's bytes one behind the other, for what knows no holes: they become zeros. */
typedef enum error_kind content_bytes_fn(void *arg, const void *bytes, size_t len, struct error *err);
enum error_kind content_pour(struct catalog *cat, const struct tree_entry *e, struct open_frame *held,
                             content_bytes_fn *fn, void *arg, struct error *err);
/* A content_fn that writes; arg is a struct content_sink. */
struct content_sink {
    int fd;
    const char *shown;
    atomic_ullong *bytes; /* counted here; or NULL */
};
enum error_kind content_write(void *arg, uint64_t offset, const void *bytes, size_t len, struct error *err);

/*
 * Does an open file hold exactly what the entry says? Read chunk by chunk and hashed as the catalogue hashes (P9); where a file
 * is no longer than its record, only bytes outside holes are read and holes must read as zeros.
 *
 * fd         open for reading, at any position
 * equal      false when length or content differ
 * Returns    ERR_CORRUPT when an id that has to be looked up for its chunk's length is not in the index
 */
enum error_kind content_compare(struct catalog *cat, const struct tree_entry *e, int fd, struct buffer *buffer,
                                const char *shown, bool *equal, struct error *err);

/* ---- restore_target.c: below the target, and nowhere else (R1) ---- */

/*
 * Open a path below a directory, never through a symlink, at any depth.
 *
 * base       directory; path is relative to it ("" is base itself), len its length
 * Returns    ERR_NOT_FOUND, ERR_EXISTS (O_EXCL), ERR_REFUSED when a component is a symlink or leads outside, else ERR_IO
 */
enum error_kind restore_open_below(int base, const char *path, size_t len, int flags, mode_t mode, int *out,
                                   struct error *err);

enum target_note { NOTE_OWNER, NOTE_XATTR, NOTE_DEVICE, NOTE_COUNT };

/* Where files are put, as whom, and what could not be done there. */
struct target {
    int fd;
    bool privileged; /* root: owners, devices and all attributes are expected to work */
    uint64_t noted[NOTE_COUNT];
    char *first[NOTE_COUNT];
    struct { /* user and group names looked up so far */
        char *name;
        bool group, known;
        uint32_t id;
    } owners[64];
    size_t owner_count;
    pthread_mutex_t lock;
};
void target_init(struct target *t);
void target_release(struct target *t);
/* One line for each kind of note, with how many and the first. */
enum error_kind target_notes(struct target *t, struct text_list *out, struct error *err);

/* Whom a thing will belong to: the recorded names where this system has them, else the recorded numbers. */
void target_owner(struct target *t, const struct tree_entry *e, uid_t *uid, gid_t *gid);
/* Can a recorded attribute not be expected here (trusted.*, security.* for others than root)? */
bool target_xattr_expected(const struct target *t, const char *name);

/* Owner, extended attributes, mode, time, in the order in which none undoes another; fd: an open file or directory. */
enum error_kind target_attributes(struct target *t, int fd, const struct tree_entry *e, const char *shown,
                                  struct error *err);
/* Make a symlink, FIFO or device with its attributes; *made false when a device could only be noted. */
enum error_kind target_special(struct target *t, int dirfd, const char *name, const struct tree_entry *e,
                               const char *shown, bool *made, struct error *err);
/*
 * Compare one thing's attributes with its entry, as target_attributes() would have set them.
 *
 * fd         open for reading, or O_PATH (symlinks and devices: their attributes are read by /proc)
 * what       set to a word for the first difference; NULL when there is none
 */
enum error_kind target_compare(struct target *t, int fd, const struct stat *st, const struct tree_entry *e,
                               const char **what, struct error *err);

/* ---- restore_crew.c: some threads, and the first failure of any ---- */

struct crew;
/* One job. Called also after a failure (stopped), so that the job can be marked as over. */
typedef enum error_kind crew_fn(void *state, void *job, bool stopped, struct error *err);

/* states: one for each thread, borrowed. */
enum error_kind crew_start(unsigned threads, size_t places, crew_fn *run, void *const *states, struct crew **out,
                           struct error *err);
void crew_push(struct crew *c, void *job);
bool crew_failed(struct crew *c);
/* Finish what was pushed, stop the threads, hand over the first failure; frees. Accepts NULL. */
enum error_kind crew_end(struct crew *c, struct error *err);

/* ---- restore_links.c: files with several names ---- */

/*
 * Which paths of one root are the second or later name of a file. Kept as hashes, in bounded memory: what does not fit is treated as a
 * file of its own first and becomes a link in links_place().
 */
struct link_table;
enum error_kind link_table_load(struct catalog *cat, const struct snapshot_record *snapshot, unsigned root,
                                const struct restore_options *options, struct link_table **out, struct error *err);
void link_table_free(struct link_table *t); /* accepts NULL */
/* The first path of the group that path belongs to (path itself if it is the first); NULL if it is in no group. */
const char *link_table_leader(const struct link_table *t, const char *path);
void link_table_set_how(struct link_table *t, const char *leader, enum restore_how how);
enum restore_how link_table_how(const struct link_table *t, const char *leader);

/* One group's names below the target, after their first one was written. */
struct links_place_job {
    struct catalog *cat;
    const struct snapshot_record *snapshot;
    unsigned root;
    const struct restore_options *options;
    struct link_table *table;
    int target;
    struct restore_result *result;
};
enum error_kind links_place(const struct links_place_job *job, struct error *err);

/* ---- export_archive.c: libarchive ---- */

struct export_archive;
enum export_form { EXPORT_TAR_ZST, EXPORT_ZIP };

/* draft: where the bytes go, borrowed until export_archive_free(). */
enum error_kind export_archive_open(struct draft *draft, enum export_form form, struct export_archive **out,
                                    struct error *err);
/* Begin an entry; a file's bytes follow, holes as zeros. hardlink: the earlier name of the same file, or NULL. */
enum error_kind export_archive_entry(struct export_archive *a, const char *path, const struct tree_entry *e,
                                     const char *hardlink, struct error *err);
enum error_kind export_archive_data(struct export_archive *a, const void *bytes, size_t len, struct error *err);
/* Write the archive's end. */
enum error_kind export_archive_end(struct export_archive *a, struct error *err);
/* How many entries the form could not take exactly, and what was said of the first (borrowed; "" when there was none). */
uint64_t export_archive_warnings(const struct export_archive *a, const char **first);
void export_archive_free(struct export_archive *a); /* accepts NULL */

/* ---- restore_write*.c: windows of files, written by several threads ---- */

/* One directory being filled: it gets its attributes when the last thing in it is done, deepest first. */
struct folder {
    struct folder *parent;
    atomic_uint users;
    uint64_t serial;
    bool made;      /* by the walking thread alone */
    bool live_gone; /* likewise: there is nothing to link from */
    void *encoded;
    size_t encoded_len;
    size_t name_len;
    char name[];
};

struct writer;
struct writer_spec {
    struct catalog *cat;
    struct target *target;
    const struct restore_options *options;
    const struct progress *progress;
    uint64_t total_bytes;
    int live; /* directory to link from, or -1 */
    struct link_table *links;
    struct restore_result *result;
};
enum error_kind writer_new(const struct writer_spec *spec, struct writer **out, struct error *err);
/* Folders: enter makes one (in the target only when wanted is true or something is put into it), leave lets go of it. */
enum error_kind writer_enter(struct writer *w, struct folder *parent, const char *name, const struct tree_entry *e,
                             bool wanted, struct folder **out, struct error *err);
enum error_kind writer_leave(struct writer *w, struct folder *f, struct error *err);
/*
 * Put one entry that is no directory.
 *
 * live       what lstat says of the live file that may be linked instead of writing; or NULL
 * grouped    one of several names: its `placed` comes from links_place()
 */
enum error_kind writer_put(struct writer *w, struct folder *f, const char *name, const void *encoded, size_t len,
                           const struct tree_entry *e, const struct stat *live, bool grouped, struct error *err);
/* A damaged listing. OK with keep_going. */
enum error_kind writer_damaged(struct writer *w, const char *path, const struct error *why, struct error *err);
/* Finish everything that was put. */
enum error_kind writer_end(struct writer *w, struct error *err);
void writer_free(struct writer *w); /* accepts NULL */
/* Its path below the target, and below the live tree; "" is the target itself. */
enum error_kind folder_path(const struct folder *f, struct buffer *out, struct error *err);

#endif
