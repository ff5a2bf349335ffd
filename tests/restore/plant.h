/* A snapshot of a folder made with nothing but the catalogue, so that tests of this room do without the room that takes snapshots. */
#ifndef NOPSNAP_TEST_PLANT_H
#define NOPSNAP_TEST_PLANT_H

#include "catalog.h"
#include "record.h"

/* A catalogue in the working directory. */
struct catalog *plant_catalog(const char *path);

/*
 * Store `folder` as the root "site" of a snapshot and commit it; with it a stat cache. Files above 256 KiB become several chunks, those with more
 * than 64 of them a list; hard links are found by inode. Fails the test on any error.
 */
void plant_snapshot(struct catalog *cat, const char *folder, struct snapshot_record *out);

/* A snapshot whose only root is this tree (of the entry "."). */
void plant_record(struct store *store, const struct chunk_id *tree, struct snapshot_record *out);

#endif
