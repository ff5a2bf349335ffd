/* Is a snapshot's root what the folder is? Every entry's attributes and every byte, both ways. */
#ifndef NOPSNAP_SNAPSHOT_COMPARE_H
#define NOPSNAP_SNAPSHOT_COMPARE_H

#include "catalog.h"

/* Stops the test at the first difference. Returns the number of entries compared, the root's own included. */
unsigned compare_snapshot(struct catalog *cat, const struct chunk_id *root, const char *folder);
/* How many bytes below `path` of a root the file has in data chunks; -1: no such entry. */
int64_t stored_bytes(struct catalog *cat, const struct chunk_id *root, const char *path);

#endif
