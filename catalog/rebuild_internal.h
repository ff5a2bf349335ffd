/* What rebuild.c shares with the salvage of damaged packs. */
#ifndef NOPSNAP_REBUILD_INTERNAL_H
#define NOPSNAP_REBUILD_INTERNAL_H

#include "catalog_internal.h"
#include "text.h"

struct rebuild {
    struct catalog cat; /* the new index behind an open catalogue's face, so that chunks can be read through it */
    struct index *old;  /* NULL when it can't be opened; nothing in it is evidence */
    uint64_t generation;
    const struct progress *progress;
    struct text_list *report;
    struct text_list damaged;   /* paths of data packs that can't be read whole */
    struct rebuild_pack *packs; /* oldest first */
    size_t pack_count, pack_cap;
    struct buffer frame; /* the last frame that was read to choose between two copies */
    uint64_t frame_pack; /* its pack and number */
    uint32_t frame_number;
    bool frame_good;
};

struct rebuild_pack {
    unsigned char name[PACK_NAME_LEN];
    uint64_t size;
    int64_t made_ns;
};

/*
 * A row for a chunk. Packs come oldest first: an id that stands already moves here if this copy can be read. Inside a transaction of
 * the new index.
 */
enum error_kind rebuild_add_chunk(struct rebuild *r, const struct pack *pack, const struct footer_chunk *chunk,
                                  uint64_t number, struct error *err);
/*
 * Copy what can be proved of a damaged pack into a new one: chunks whose content agrees with the id, the length and the second hash that
 * the old index has for them (P5). Whatever else is in the pack stays where it is.
 */
enum error_kind rebuild_salvage(struct rebuild *r, const char *path, struct error *err);
/*
 * Bring over what the old index notes about packs that are still there: which frames are damaged, when each was last read. Neither is
 * evidence, and a wrong note costs time only: verify forgets it, or reads the pack again.
 */
enum error_kind rebuild_copy_notes(struct rebuild *r, struct error *err);

#endif
