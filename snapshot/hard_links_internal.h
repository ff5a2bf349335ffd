/*
 * Hard links: which paths are one file, and that its content is read once.
 *
 * Files with more than one link are noted in walk order; at the end those of which two or more paths were seen become groups. The
 * paths wait in a sorter; what was read lately waits in a table of bounded size (a file that it has forgotten is read again).
 */
#ifndef NOPSNAP_HARD_LINKS_INTERNAL_H
#define NOPSNAP_HARD_LINKS_INTERNAL_H

#include "record.h"
#include "spill_internal.h"

struct hard_links;
enum error_kind hard_links_new(struct hard_links **out, struct error *err);
void hard_links_free(struct hard_links *h); /* accepts NULL */

/* A path of a file with several links, root being its number in the record. */
enum error_kind hard_links_note(struct hard_links *h, unsigned root, const char *path, const struct stat_key *key,
                                struct error *err);

/* Was a file with this key put under another path, or will it be by the item given to hard_links_expect()? */
bool hard_links_expected(struct hard_links *h, const struct stat_key *key);
/* It is going to be read. False: the table is full. */
bool hard_links_expect(struct hard_links *h, const struct stat_key *key);
/* It was read: keep its entry (the content and `encoded` of it) for the other paths. */
void hard_links_keep(struct hard_links *h, const struct spill_entry *entry);
/* The entry that was kept, with its name empty; NULL if there is none. Borrowed. */
const struct spill_entry *hard_links_kept(struct hard_links *h, const struct stat_key *key);
/* Contents are tickets of one spill: forget them before the next root. */
void hard_links_forget(struct hard_links *h);

/* Write the groups and add them to the record. */
enum error_kind hard_links_store(struct hard_links *h, struct store *store, struct snapshot_record *record,
                                 struct error *err);

#endif
