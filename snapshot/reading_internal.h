/*
 * Reading many files at once, handed out in the order they were asked for: several threads read ahead into one ring of memory.
 *
 *     rc = reading_begin(rootfd, jobs, count, &options, &r, err);
 *     while (!(rc = reading_next(r, &result, err)) && result) ...
 *     reading_end(r);
 *
 * Files of moderate size come whole, with their encoded attributes, the places where they are to be cut and their chunks' digests. Large, sparse and changing
 * ones are left to streaming.h.
 *
 *   R1  at most RING_SIZE bytes are in flight; places are given and taken back in the order of the jobs, so a reader that waits
 *       for room waits for an earlier job only
 */
#ifndef NOPSNAP_READING_INTERNAL_H
#define NOPSNAP_READING_INTERNAL_H

#include <sys/stat.h>

#include "buffer.h"
#include "stat_cache.h"
#include "store.h"

#define READ_PIECES_MAX 128 /* chunks of a file that is read whole */

struct read_job {
    const char *path;          /* relative to rootfd */
    const char *name, *ending; /* parts of path: its last component, and that one's content_kind() */
    const struct stat_key *key;
    uint32_t item; /* the caller's */
};

enum read_outcome {
    READ_WHOLE,    /* bytes, and the entry without content in encoded */
    READ_STREAM,   /* too large, sparse, or not what the walk saw: has to be streamed */
    READ_RESTLESS, /* as READ_WHOLE, but it changed each time it was read */
    READ_GONE,
    READ_FAILED, /* error says why */
};

struct read_result {
    const struct read_job *job;
    enum read_outcome outcome;
    const void *bytes;
    size_t len;
    struct read_piece {
        uint32_t len;
        struct chunk_digest digest;
    } pieces[READ_PIECES_MAX]; /* its chunks, one after the other */
    unsigned piece_count;
    struct stat_key key; /* as it was while it was read */
    struct buffer encoded;
    struct error *error; /* READ_FAILED; else NULL */
};

struct reading_options {
    unsigned threads;
    const struct catalog_format *format; /* what is not longer than its whole_max is one chunk */
    const struct cutter *cutter;         /* for longer ones */
};

struct reading;

/* jobs, options and rootfd are borrowed until reading_end(). */
enum error_kind reading_begin(int rootfd, const struct read_job *jobs, size_t count,
                              const struct reading_options *options, struct reading **out, struct error *err);
/* The next job's result, borrowed until the next call; NULL at the end. */
enum error_kind reading_next(struct reading *r, const struct read_result **out, struct error *err);
void reading_end(struct reading *r); /* stops the threads; accepts NULL */

/* How often a file that changes is read before the last reading is kept. */
#define READ_ATTEMPTS 3
/* Wait a little before attempt n (from 1): a writer is at work. */
void reading_pause(unsigned attempt);
/* Does a hole hide in this open file? Its offset afterwards is undefined. */
bool file_is_sparse(int fd, const struct stat *st);

#endif
