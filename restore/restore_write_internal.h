/*
 * Writing files: what the parts of a writer share. Its public side is in restore_internal.h.
 *
 * The walking thread collects entries in windows. A full window is sorted so that every frame is read and decompressed once, is cut into
 * jobs, and a crew of threads does them while the next window is being filled. What comes from frames has wide windows, what has no
 * content (links above all) small ones of its own, which go out early. Two windows of each are in flight, which bounds memory
 * whatever the size of the shop.
 *
 *   restore_write.c          beginning and end; damage
 *   restore_write_windows.c  filling, launching and emptying windows
 *   restore_write_jobs.c     what a thread does with a job
 *   restore_write_put.c      one entry; restore_write_link.c: one that the live tree has already
 *   restore_write_folders.c  the folders that they are put into
 *
 * Invariants:
 *   W1  a folder gets its attributes after everything in it is done, so that its time stays
 *   W2  every file is made with O_EXCL below the target's descriptor, by a path in which no symlink is followed (R1)
 *   W3  a file that could not be completed is removed again
 *   W4  a link counts only after the new name was seen to be the very inode, unchanged since it was compared
 */
#ifndef NOPSNAP_RESTORE_WRITE_INTERNAL_H
#define NOPSNAP_RESTORE_WRITE_INTERNAL_H

#include "restore_internal.h"

#define WINDOW_FILES 49152u /* entries of a window that are written from frames */
#define WINDOW_PLAIN 2048u  /* entries without content: no frame to share, so they needn't wait */

enum put_kind { PUT_FRAME, PUT_STREAM, PUT_PLAIN, PUT_LINK };

struct put {
    struct folder *folder;
    uint32_t name_at, encoded_at, encoded_len; /* in the window's bytes; the name is NUL-terminated */
    uint8_t kind, how;
    bool done, grouped;
    union {
        struct {
            struct chunk_place place;
            struct chunk_id id;
        } chunk;              /* PUT_FRAME, PUT_STREAM: the first one; place.len 0: a list, of any length */
        struct stat_key live; /* PUT_LINK */
    } by;
};

struct window;

struct put_job {
    struct window *window;
    uint32_t from, to;
};

struct window {
    struct put *puts;
    struct put_job *jobs;
    struct stat *stats; /* of each put, when somebody wants to know */
    uint32_t count, job_count, cap;
    struct buffer bytes;
    unsigned pending; /* jobs; under the writer's lock */
    bool launched;
};

/* Two windows in turn: one is being filled while the other is being worked on. */
struct lane {
    struct window windows[2];
    unsigned filling;
};

enum { LANE_FRAMES, LANE_PLAIN, LANES };

/* What each thread has for itself. */
struct hand {
    struct writer *writer;
    struct tree_scratch *scratch;
    struct buffer path;
    struct open_frame held;
    uint64_t target_serial, live_serial; /* which folders these descriptors are of; 0: none */
    int target_fd, live_fd;
};

struct writer {
    struct writer_spec spec;
    const struct restore_options *options;
    struct crew *crew;
    struct hand *hands;
    unsigned hand_count;
    struct hand walker; /* the walking thread's */
    struct lane lanes[LANES];
    pthread_mutex_t lock; /* windows' pending, the result's lists */
    pthread_cond_t over;
    uint64_t serial;
    atomic_ullong files, directories, bytes, linked, reflinked;
    atomic_bool no_reflink; /* the filesystem said so once */
    unsigned char *seen;    /* inodes already linked, by hash: a second name must be a file of its own */
};

/* ---- restore_write.c ---- */

/*
 * A file that can't be restored. It is always named in the result; with keep_going that is all.
 *
 * Returns    OK with keep_going, else the failure
 */
enum error_kind writer_file_damaged(struct writer *w, const char *path, struct error *err);

/* ---- restore_write_windows.c ---- */

enum error_kind write_window_init(struct window *win, uint32_t cap, bool stats, struct error *err);
void write_window_release(struct window *win);
/* Sort it, cut it into jobs and hand these to the threads. */
void write_window_launch(struct writer *w, struct window *win);
/* Wait until a launched window is done; tell about its files; make it empty. */
enum error_kind write_window_settle(struct writer *w, struct window *win, struct error *err);

/* ---- restore_write_jobs.c ---- */

enum error_kind put_job_run(void *state, void *arg, bool stopped, struct error *err); /* a crew_fn of hands */
/* Does it begin in a known frame? */
bool put_has_place(const struct put *p);

/* ---- restore_write_put.c ---- */

const char *put_name(const struct window *win, const struct put *p);
const unsigned char *put_encoded(const struct window *win, const struct put *p);
/* W2. The target is ours alone while it fills, so a file may have its permissions from the beginning: a system call less. */
enum error_kind put_create(struct hand *h, const struct put *p, const char *name, mode_t mode, int *fd,
                           struct error *err);
/* The attributes; st, unless it is NULL: what it looks like then. */
enum error_kind put_finish(struct hand *h, int fd, const struct tree_entry *e, struct stat *st, struct error *err);
void put_remove_again(struct hand *h, const struct put *p, const char *name); /* W3 */
/* A file, from the bytes of its only chunk, or (bytes NULL) chunk by chunk. */
enum error_kind put_file(struct hand *h, struct window *win, struct put *p, const void *bytes, size_t len,
                         struct stat *st, struct error *err);
/* *made false when it could only be noted. */
enum error_kind put_special(struct hand *h, struct window *win, struct put *p, const struct tree_entry *e,
                            struct stat *st, bool *made, struct error *err);

/* ---- restore_write_link.c ---- */

/* A file that the live tree has, in the cheapest way that works. */
enum error_kind put_link(struct hand *h, struct window *win, struct put *p, struct stat *st, struct error *err);

/* ---- restore_write_folders.c ---- */

enum error_kind folder_child_path(const struct folder *f, const char *name, struct buffer *out, struct error *err);
/* The folder's descriptor in the target and in the live tree; it stays the hand's. */
enum error_kind hand_target_fd(struct hand *h, const struct folder *f, struct error *err);
enum error_kind hand_live_fd(struct hand *h, const struct folder *f, struct error *err);
/* Make a folder, and those above it that nothing had asked for so far. */
enum error_kind folder_make(struct writer *w, struct folder *f, struct error *err);
/* Let go of a folder; whoever is last gives it its attributes, and lets go of the one above (W1). */
enum error_kind folder_leave(struct hand *h, struct folder *f, bool stopped, struct error *err);

#endif
