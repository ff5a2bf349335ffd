/*
 * Reading one file as a stream, in constant memory: what is large, sparse, or was not what the walk had seen.
 */
#ifndef NOPSNAP_STREAMING_INTERNAL_H
#define NOPSNAP_STREAMING_INTERNAL_H

#include "reading_internal.h"
#include "spill_internal.h"
#include "text.h"
#include "walk.h"

struct streaming;

/* Called with the bytes of each piece read: progress. ERR_CANCELLED stops the stream. */
typedef enum error_kind streaming_tick_fn(void *arg, size_t bytes, struct error *err);

/* spill takes the tickets. All are borrowed. */
enum error_kind streaming_new(struct store *store, struct spill *spill, struct walk_attributes *attributes,
                              streaming_tick_fn *tick, void *tick_arg, struct streaming **out, struct error *err);
void streaming_free(struct streaming *s); /* accepts NULL */

struct streamed {
    enum read_outcome outcome; /* never READ_STREAM */
    struct stat_key key;
    const struct buffer *encoded; /* borrowed until the next call */
    enum spill_content content;
    uint64_t at;
    uint32_t count;
    uint64_t bytes;
    struct error error; /* READ_FAILED */
};

/*
 * Store the content of `path` below rootfd.
 *
 * group      of its chunks
 * Returns    OK also for a file that can't be read (out->outcome says so); an error when the store, memory or the user says stop
 */
enum error_kind streaming_file(struct streaming *s, int rootfd, const char *path, uint32_t group, struct streamed *out,
                               struct error *err);

#endif
