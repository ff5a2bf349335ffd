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
    struct text_list damaged; /* paths of data packs that can't be read whole */
    uint64_t packs;
};

/* A row for a chunk; an id that stands twice keeps the younger copy. Inside a transaction of the new index. */
enum error_kind rebuild_add_chunk(struct rebuild *r, const struct footer_chunk *chunk, const struct pack_row *pack,
                                  struct error *err);
/*
 * Copy what can be proved of a damaged pack into a new one: chunks whose content agrees with the id, the length and the second hash that
 * the old index has for them (P5). Whatever else is in the pack stays where it is.
 */
enum error_kind rebuild_salvage(struct rebuild *r, const char *path, struct error *err);

#endif
