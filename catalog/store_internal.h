/*
 * The inside of a store. Chunks that are new travel like this:
 *
 *     put ──> open frame ──seal──> queue ──> worker: compress, append to the draft pack ──full──> finisher: claim, footer,
 *             (producer)                     (one or more threads)                              fsync, rename, in place
 *
 * An entry is a chunk in flight: from its put until the pack that holds it is in place and the index answers for it.
 *
 * Who may touch what
 *     lock        the map of entries, frames' states and raw bytes' ownership, counters, tickets, the failure
 *     pack_lock   the draft pack that is being filled; taken before lock
 *     index_lock  the store's own connection, and every entry's claim; taken before lock
 * An open frame's raw bytes are the producer's; once sealed they do not change any more, and anybody who pinned the frame may read them.
 */
#ifndef NOPSNAP_STORE_INTERNAL_H
#define NOPSNAP_STORE_INTERNAL_H

#include "catalog_internal.h"
#include "chunk.h"
#include "codec_internal.h"
#include "store.h"
#include "thread.h"

#define OPEN_SLOTS 3           /* frames being filled at once, one a group */
#define RAW_BUDGET (28u << 20) /* raw bytes of frames in memory, of which those not yet written can't be dropped */
#define SEALED_MAX 3           /* frames that wait for a worker */
#define GROUP_DENSE \
    UINT32_MAX /* content that looks compressed already, of whatever kind: its frames are stored as they are */
#define PACK_SIZE_DEFAULT (64u << 20)
#define PACK_CHUNKS_MAX 16384 /* entries take memory until their pack is in place */
#define FRAME_CHUNKS_MAX 4096
#define MAP_BUCKETS 32768 /* a power of two */
#define LOOKUPS_A_VIEW 512
#define FRESH_BITS 20 /* of a first hash */
#define ENTRY_BLOCK 32
#define WORKERS_MAX 8

/* Records of a fixed length in an unnamed file, a few pages of it in memory: one thread at a time. */
struct paged_file;
enum error_kind paged_file_new(struct catalog *cat, size_t record_len, struct paged_file **out, struct error *err);
void paged_file_free(struct paged_file *f); /* accepts NULL */
/* Borrowed until the next call. Records that were never written are zero. */
enum error_kind paged_file_at(struct paged_file *f, uint64_t n, bool write, unsigned char **record, struct error *err);

enum claim_state {
    CLAIM_NONE,   /* the attempt is not decided */
    CLAIM_EARLY,  /* by store_claim(): a row without a place */
    CLAIM_PLACED, /* a row with the place in an announced pack */
    CLAIM_REPAIR, /* takes the place of a damaged copy: the row is there, and moves when the pack is in place */
};

struct entry {
    struct entry *next;          /* in its bucket */
    struct entry *newer, *older; /* among those whose claim is CLAIM_NONE */
    struct store_frame *frame;
    struct hash first, second;
    store_ticket ticket;
    int64_t row;
    uint64_t damaged_pack; /* CLAIM_REPAIR: where the copy lies that was found damaged */
    uint32_t attempt;
    uint32_t offset, len;
    uint8_t type;
    uint8_t claim; /* enum claim_state */
};

struct entry_block {
    struct entry_block *next;
    unsigned used;
    struct entry entries[ENTRY_BLOCK];
};

enum frame_state { FRAME_OPEN, FRAME_SEALED, FRAME_WRITTEN };

struct store_frame {
    struct store_frame *next;          /* in its pack */
    struct store_frame *newer, *older; /* among written frames whose raw bytes are still in memory */
    enum frame_state state;
    uint32_t group;
    bool swift;        /* it comes from a stream, see compressor_set_swift() */
    uint64_t used;     /* for finding the slot least recently used */
    struct buffer raw; /* cap 0: dropped */
    bool cached;
    unsigned pins; /* readers of raw, or of the pack's descriptor */
    struct store_pack *pack;
    uint32_t number;
    struct footer_frame where;
    struct entry_block *first_block, *last_block;
    uint32_t entries;
};

struct store_pack {
    struct store_pack *next; /* among the lost */
    struct pack_draft *draft;
    struct store_frame *first, *last;
    uint32_t entries;
    struct pack_row row; /* once announced */
    bool announced;
};

struct store {
    struct catalog *cat;
    enum pack_kind kind;
    int level;
    uint64_t pack_size;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* anything that somebody may wait for */
    struct entry *map[MAP_BUCKETS];
    struct entry *newest_unclaimed, *oldest_unclaimed;
    struct store_frame *newest_cached, *oldest_cached;
    size_t raw_bytes;      /* of all frames, by capacity */
    size_t cached_bytes;   /* of those that may be dropped */
    unsigned frames_ahead; /* sealed, not yet written */
    unsigned packs_ahead;  /* handed to the finisher, not yet in place */
    struct paged_file *tickets;
    struct store_stats stats;
    bool broken;
    struct error failure;
    bool abandoned; /* store_free(): threads drop what they find */

    unsigned char *
        fresh; /* producer's; NULL: the index knew chunks when the store began. Else a bit for each that was put since */
    struct index *lookup;                 /* producer's: a view of the index, kept for some searches */
    unsigned lookups;                     /* since the view was opened */
    uint64_t lookup_packs;                /* packs of ours that it knows */
    struct store_frame *open[OPEN_SLOTS]; /* producer's */
    uint64_t clock;                       /* producer's */
    store_ticket next_ticket;             /* producer's */

    pthread_mutex_t pack_lock;
    struct store_pack *filling;

    pthread_mutex_t index_lock;
    struct index *index;

    /* What will never be written or put in place, since the store is broken or given up. */
    struct store_frame *lost_frames;
    struct store_pack *lost_packs;

    struct queue *sealed; /* of struct store_frame */
    struct queue *full;   /* of struct store_pack */
    pthread_t workers[WORKERS_MAX];
    unsigned worker_count;
    pthread_t finisher;
    bool finisher_runs;
};

/* store.c */
void store_break(struct store *s, const struct error *why); /* the first failure stays */
enum error_kind store_check(struct store *s, struct error *err);
bool store_abandoned(struct store *s);
/* Tickets: with s->lock held. */
enum error_kind ticket_set_id(struct store *s, store_ticket ticket, const struct chunk_id *id, struct error *err);
enum error_kind ticket_set_alias(struct store *s, store_ticket ticket, store_ticket of, struct error *err);

/* A piece of a stream: as store_put() of data, but somebody waits for the stream, so it is compressed fast. */
enum error_kind store_put_stream(struct store *s, uint32_t group, const void *bytes, size_t len, store_ticket *ticket,
                                 struct error *err);

/* store_frame.c */
/* A new entry in an open frame, in the map. */
enum error_kind frame_append(struct store *s, uint32_t group, bool swift, const void *bytes, const struct entry *proto,
                             struct error *err);
enum error_kind frame_seal_all(struct store *s, struct error *err);
void frame_free(struct store_frame *f);
/* With s->lock held: note that a written frame's raw bytes were used; drop the longest unused above the budget. */
void frame_cache_use(struct store *s, struct store_frame *f);
void frame_cache_forget(struct store *s, struct store_frame *f);
void frame_cache_shrink(struct store *s, size_t wanted);
void *store_worker(void *arg);
/* Hand the pack that is being filled to the finisher. With s->pack_lock held. */
void store_rotate(struct store *s);

/* store_dedup.c */
/* Before the first put: does the index know anything at all? */
enum error_kind dedup_begin(struct store *s, struct error *err);
/* A new entry: what is searched for from now on may be this one. */
void dedup_note(struct store *s, const struct entry *e);
struct entry **map_bucket(struct store *s, const struct hash *first);
void map_remove(struct store *s, struct entry *e); /* with s->lock held */
enum dedup_result {
    DEDUP_NEW,       /* row.id.attempt is the first that was free */
    DEDUP_IN_FLIGHT, /* entry's ticket will tell: *ticket */
    DEDUP_STANDS,    /* *id */
    DEDUP_DAMAGED,   /* *id stands nowhere undamaged, but length and second hash agree: *row is to be repaired */
};
struct dedup {
    enum dedup_result result;
    store_ticket ticket;
    struct chunk_row row;
};
/* Let go of the view of the index, so that its WAL can be cleared. */
void dedup_rest(struct store *s);
enum error_kind dedup_search(struct store *s, const struct entry *wanted, const void *bytes, struct dedup *out,
                             struct error *err);

/* store_claim.c */
void *store_finisher(void *arg);
/* Take back the claims of what never got in place. Best effort: prune does it otherwise. */
void claim_withdraw(struct store *s);
void store_pack_free(struct store_pack *p);              /* and its frames; accepts NULL */
void unclaimed_add(struct store *s, struct entry *e);    /* with s->lock held */
void unclaimed_remove(struct store *s, struct entry *e); /* with s->lock held */

#endif
