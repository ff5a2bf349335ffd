/*
 * Sorting byte strings that may be more than memory holds: sorted runs go to an unnamed file and are merged when read.
 *
 *     rc = sorter_new(&s, err);
 *     sorter_begin(s, 4 << 20);
 *     rc = sorter_add(s, bytes, len, err);                 many times
 *     rc = sorter_sort(s, err);
 *     while (!(rc = sorter_next(s, &bytes, &len, err)) && bytes) ...
 *     sorter_free(s);
 *
 * Order: bytewise, a prefix before what it begins. A string that was added twice comes once.
 */
#ifndef NOPSNAP_SORTER_H
#define NOPSNAP_SORTER_H

#include <stddef.h>

#include "error.h"

#define SORTER_STRING_MAX (128 * 1024)

struct sorter;

enum error_kind sorter_new(struct sorter **out, struct error *err);
/* Empty it for the next use. memory: bytes that may be held before a run is written out. */
void sorter_begin(struct sorter *s, size_t memory);
/* bytes are copied; ERR_MEMORY above SORTER_STRING_MAX. */
enum error_kind sorter_add(struct sorter *s, const void *bytes, size_t len, struct error *err);
enum error_kind sorter_sort(struct sorter *s, struct error *err);
/* The next string, borrowed until the next call and followed by a NUL byte; *bytes is NULL at the end. */
enum error_kind sorter_next(struct sorter *s, const void **bytes, size_t *len, struct error *err);
/* Bytes of memory in use. */
size_t sorter_memory(const struct sorter *s);
void sorter_free(struct sorter *s); /* accepts NULL */

#endif
