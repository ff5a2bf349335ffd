/* Groups of hard links as bytes: for the reader and for fuzzing. */
#ifndef NOPSNAP_LINKS_INTERNAL_H
#define NOPSNAP_LINKS_INTERNAL_H

#include "record.h"

#define LINKS_MAGIC "LNK1"
#define LINKS_CONTINUES 1u /* flag: the first group goes on with the last one of the chunk before */

/* first_chunk: nothing comes before it. roots: how many there are; a higher number is ERR_CORRUPT. */
enum error_kind links_parse(const void *bytes, size_t len, bool first_chunk, unsigned roots, links_fn *fn, void *arg,
                            struct error *err);

#endif
