/*
 * The stat cache: what files looked like at the last snapshot, and which encoded tree entries they stood for, so that an unchanged file is
 * not opened. Disposable: a missing, damaged or foreign cache only costs time.
 *
 * One file a site and root, in walk order (a directory before what is in it; paths compared bytewise as if '/' sorted
 * below every other byte), merged with the walk as a stream: constant memory.
 *
 * An entry counts only if device, inode, ctime, mtime and size are the same, the ids it names stand undamaged and were claimed no later
 * than the cache's generation, and its ctime was at least 2 s older than the start of the walk that recorded it.
 */
#ifndef NOPSNAP_STAT_CACHE_H
#define NOPSNAP_STAT_CACHE_H

#include <sys/stat.h>

#include "buffer.h"
#include "catalog.h"

#define STAT_CACHE_YOUNG_NS 2000000000ll /* a file may change again without its ctime moving: clocks tick coarsely */

struct stat_key {
    uint64_t device, inode, size;
    int64_t ctime_sec, mtime_sec;
    uint32_t ctime_nsec, mtime_nsec;
    uint32_t mode;
};
void stat_key_of(const struct stat *st, struct stat_key *out);
bool stat_key_equal(const struct stat_key *a, const struct stat_key *b);

/* Reading: keys must be asked for in walk order. */
struct stat_cache_reader;
/* Never fails for want of a usable cache: *out may be NULL on OK. */
enum error_kind stat_cache_open(struct catalog *cat, const char *site_id, const char *root_name,
                                struct stat_cache_reader **out, struct error *err);
/*
 * The encoded tree entry (without name) that `path` (relative to the root; "" is the root itself) stood for, if it is unchanged.
 *
 * encoded    borrowed until the next call; NULL if there is no valid entry
 */
enum error_kind stat_cache_get(struct stat_cache_reader *r, const char *path, const struct stat_key *key,
                               const void **encoded, size_t *len, struct error *err);
void stat_cache_close(struct stat_cache_reader *r); /* accepts NULL */

/* Writing: a new cache replaces the old one whole (no fsync: losing it costs time only). */
struct stat_cache_writer;
enum error_kind stat_cache_begin(struct catalog *cat, const char *site_id, const char *root_name,
                                 int64_t walk_started_ns, struct stat_cache_writer **out, struct error *err);
/* In walk order. Entries too young to be trusted are skipped by themselves. */
enum error_kind stat_cache_add(struct stat_cache_writer *w, const char *path, const struct stat_key *key,
                               const void *encoded, size_t len, struct error *err);
enum error_kind stat_cache_commit(struct stat_cache_writer *w, struct error *err); /* frees w */
void stat_cache_discard(struct stat_cache_writer *w);                              /* accepts NULL */

#endif
