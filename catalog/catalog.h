/*
 * The catalogue: a content-addressed store, its index, and its locks.
 *
 *     struct catalog *cat = NULL;
 *     rc = catalog_init("/var/lib/nopsnap", err);
 *     rc = catalog_open("/var/lib/nopsnap", CATALOG_WRITE, &cat, err);
 *     ...
 *     catalog_close(cat);
 *
 * Room map: store.h writes chunks, chunk.h reads them, tree.h and list.h are the shapes of directories and long
 * id lists, record.h snapshots and other records, maintain.h verify, prune, rebuild, stat_cache.h what was unchanged.
 * docs/format.md is the truth about bytes on disk.
 *
 * Invariants (tests and asserts cite them):
 *   C1  a pack's name is in the index as announced before its rename, as in place after its folder's fsync
 *   C2  a snapshot's row is committed only when every id it reaches stands in the index, undamaged, in packs in place (P4)
 *   C3  an address is reused only after its bytes were compared; against a claim not in place the next attempt is taken (P5)
 *   C4  no byte leaves the store unchecked: frame checksum, then place and id against the pack's own footer (P6, P7)
 *   C5  index rows are never evidence: a row that disagrees with its pack is damage, and reported as such (P7)
 *   C6  nothing is removed but under the exclusive lock, nothing that a standing snapshot reaches, nothing unknown (P8)
 */
#ifndef NOPSNAP_CATALOG_H
#define NOPSNAP_CATALOG_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "hash.h"
#include "text.h"

struct chunk_id {
    unsigned char hash[HASH_LEN];
    uint32_t attempt;
};
#define CHUNK_ID_LEN 20 /* encoded: hash, attempt little-endian */

enum chunk_type {
    CHUNK_DATA = 1,
    CHUNK_TREE = 2,
    CHUNK_LIST = 3,
    CHUNK_LINKS = 4,
    CHUNK_PART = 5,
    CHUNK_SNAPSHOT = 16,
    CHUNK_TOMBSTONE = 17,
    CHUNK_HOLD = 18,
    CHUNK_RELEASE = 19,
    CHUNK_ACCEPT = 20,
};

bool chunk_id_equal(const struct chunk_id *a, const struct chunk_id *b);
void chunk_id_encode(const struct chunk_id *id, unsigned char out[CHUNK_ID_LEN]);
void chunk_id_decode(const unsigned char in[CHUNK_ID_LEN], struct chunk_id *out);

struct catalog_format {
    unsigned char catalogue[16];
    uint64_t seed;
    uint64_t seed2;
    unsigned weak_hash_bits;
    uint32_t whole_max; /* files up to this size are one chunk */
    uint32_t cut_min, cut_avg, cut_max;
    uint32_t frame_size;
};

enum catalog_mode {
    CATALOG_READ,  /* works on a read-only mount too; takes the shared lock where it can */
    CATALOG_WRITE, /* shared lock; announced and real packs must agree: ERR_CORRUPT with hint: rebuild (C1) */
};

struct catalog;

/*
 * Make a catalogue in a new or empty folder (0700).
 *
 * Returns    ERR_EXISTS if there is one or the folder is not empty, ERR_REFUSED on a network filesystem
 * Durable    whole or absent: format.json comes last
 */
enum error_kind catalog_init(const char *path, struct error *err);

/*
 * Open.
 *
 * timeout_ms  how long to wait for the lock
 * Returns     ERR_NOT_FOUND (hint: nopsnap init), ERR_BUSY naming the holder, ERR_CORRUPT (damaged or missing format.json or index, older
 *             copy of the index put back; hint: nopsnap rebuild), ERR_REFUSED for a newer format or a weak-hash catalogue
 */
enum error_kind catalog_open(const char *path, enum catalog_mode mode, int timeout_ms, struct catalog **out,
                             struct error *err);
void catalog_close(struct catalog *cat); /* accepts NULL */

/*
 * Let go of the catalogue's lock while something runs for long that needs nothing of it, so that a prune or a rebuild need not wait for that;
 * between the two calls the catalogue is not used. Locks of sites and runs stay.
 *
 * Returns    catalog_come_back() waits for the lock: ERR_CANCELLED; ERR_CORRUPT as catalog_open() says. The catalogue can be closed, and
 *            what is said of this run can be noted in it, all the same
 */
void catalog_step_aside(struct catalog *cat);
enum error_kind catalog_come_back(struct catalog *cat, struct error *err);

const char *catalog_path(const struct catalog *cat);
const struct catalog_format *catalog_format(const struct catalog *cat);
/* Raised by every prune that removed and every rebuild. */
uint64_t catalog_generation(const struct catalog *cat);
/*
 * Could something be written to it, with the room and the rights that there are now? For who tells of it before a run fails.
 *
 * Returns    ERR_SPACE, or ERR_IO where its filesystem is read-only or its files are not ours to write
 */
enum error_kind catalog_writable(struct catalog *cat, struct error *err);
/* Is any damage known that no repair has cleared? */
bool catalog_damaged(struct catalog *cat);

/* Exclude others from one site: shared by snapshots, exclusive for transactions. */
struct catalog_site_lock;
enum error_kind catalog_site_lock(struct catalog *cat, const char *site_id, bool exclusive, int timeout_ms,
                                  struct catalog_site_lock **out, struct error *err);
/* Exclude other runs of the site, and nobody else. */
enum error_kind catalog_run_lock(struct catalog *cat, const char *site_id, int timeout_ms,
                                 struct catalog_site_lock **out, struct error *err);
/* Exclude other drills of the site, wherever they put it; does not wait. */
enum error_kind catalog_drill_lock(struct catalog *cat, const char *site_id, struct catalog_site_lock **out,
                                   struct error *err);
void catalog_site_unlock(struct catalog_site_lock *lock); /* accepts NULL */

/* The site id: 16 hex digits from catalogue id, host id (/etc/machine-id, else host name) and real path. out has 17 bytes. */
enum error_kind catalog_site_id(const struct catalog *cat, const char *real_path, char out[17], struct error *err);
/* This host's name for records, and its id. Owned by the caller. */
enum error_kind catalog_host(char **name, char **id, struct error *err);

/* Things that happened, for `history` and `status`. One row each; a crash loses at most the last one. */
struct catalog_event {
    int64_t moment_ns;
    char *site_id;
    char *what;   /* "snapshot", "rollback", "recover", "prune", "verify"... */
    char *detail; /* JSON text */
    int status;   /* exit status */
};
enum error_kind catalog_event_add(struct catalog *cat, const struct catalog_event *event, struct error *err);
typedef enum error_kind catalog_event_fn(void *arg, const struct catalog_event *event, struct error *err);
enum error_kind catalog_event_each(struct catalog *cat, const char *site_id, catalog_event_fn *fn, void *arg,
                                   struct error *err); /* newest first; site_id NULL: all */

#endif
