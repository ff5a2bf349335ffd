/*
 * What tree.c shares with the builder, the reader and whoever walks trees inside this room.
 */
#ifndef NOPSNAP_TREE_INTERNAL_H
#define NOPSNAP_TREE_INTERNAL_H

#include "tree.h"

#define TREE_MAGIC "TRE1"
#define TREE_HEAD_LEN 9 /* magic, form u8, count u32 */
enum tree_form { TREE_FORM_INLINE = 0, TREE_FORM_PARTS = 1 };

#define TREE_NAME_MAX 1024u        /* Linux stops at 255; some filesystems in user space do not */
#define TREE_INLINE_MAX (1u << 20) /* a longer listing is cut into parts */
#define TREE_ENTRY_MAX (8u << 20)  /* half a million holes; what a decoder will hold of one entry */
#define TREE_ENTRY_MIN 32          /* the shortest: a fifo without names and attributes, with its name's length */
#define TREE_DEPTH_MAX 4096        /* P11: damage or malice must not become endless recursion */
#define TREE_GROUP 0xffffff01u     /* trees lie by trees (store_put) */

/* ERR_CORRUPT unless the name is one that a tree may hold. "." is the caller's to allow. */
enum error_kind tree_name_check(const unsigned char *name, size_t len, struct error *err);

/*
 * Decode one entry at the cursor, which is left behind it.
 *
 * Returns    ERR_CORRUPT for what can never be right; OK with c->bad when the bytes end too early
 */
enum error_kind tree_entry_parse(struct tree_scratch *s, struct cursor *c, struct tree_entry *out, struct error *err);

/* Read a tree from memory instead of a catalogue: for fuzzing. A listing in parts is refused. bytes are copied. */
enum error_kind tree_reader_over(const void *bytes, size_t len, struct tree_reader **out, struct error *err);
/* As tree_reader_next(), and the encoded entry (without name) that it was decoded from; borrowed likewise. */
enum error_kind tree_reader_next_encoded(struct tree_reader *r, struct tree_entry *out, const void **encoded,
                                         size_t *len, bool *more, struct error *err);
/*
 * What an open reader holds in memory, and letting it go while a walk is below: the reader then knows only how far it had come, and reads
 * its tree again when it goes on. So a walk holds no more than TREE_HELD_MAX, however deep a tree and however long its listings (P11).
 */
#define TREE_HELD_MAX (32u << 20)
size_t tree_reader_memory(const struct tree_reader *r);
void tree_reader_park(struct tree_reader *r);
/* How many parts a listing has (0: it is inline), and their ids: for those who mark what is reached. */
uint32_t tree_reader_parts(const struct tree_reader *r);
void tree_reader_part(const struct tree_reader *r, uint32_t i, struct chunk_id *out);

#endif
