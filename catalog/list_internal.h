/* A list of ids as bytes: for those who mark what is reached, and for fuzzing. */
#ifndef NOPSNAP_LIST_INTERNAL_H
#define NOPSNAP_LIST_INTERNAL_H

#include "tree.h"

#define LIST_MAGIC "LST1"
#define LIST_IDS_MAX 4096u
#define LIST_LEVELS 5 /* 4096 to the fifth: more chunks than a disk can hold */

struct list_view {
    unsigned level;
    size_t count;
    const unsigned char *ids; /* borrowed */
};
#define LIST_LEN_MAX (9u + LIST_IDS_MAX * CHUNK_ID_LEN)
/* Read one list; the view is into bytes. */
enum error_kind list_read(struct catalog *cat, const struct chunk_id *id, struct buffer *bytes, struct list_view *out,
                          struct error *err);
enum error_kind list_parse(const void *bytes, size_t len, struct list_view *out, struct error *err);
void list_view_id(const struct list_view *v, size_t i, struct chunk_id *out);

#endif
