/*
 * The stat cache's file, shared by its reader, its writer and fuzzing.
 *
 *   header   88 bytes: magic `NOPSSTAT`, format u16, six zero bytes, catalogue (16), generation u64, start of the walk i64, site id (16),
 *            XXH3-64 of the root's name u64, zeros to byte 80, XXH3-64 of bytes 0 to 79
 *   block*   stored length u32, length of the payload u32, XXH3-64 of the stored bytes seeded with the block's number u64, the payload
 *            compressed by zstd; equal lengths: as it is
 *   entry*   in a payload: bytes shared with the path before u16 (0 at the beginning of a block), further bytes u16 and they, key 52
 *            bytes, length u32 and the encoded tree entry without its name
 */
#ifndef NOPSNAP_STAT_CACHE_INTERNAL_H
#define NOPSNAP_STAT_CACHE_INTERNAL_H

#include "stat_cache.h"

#define STAT_MAGIC "NOPSSTAT"
#define STAT_FORMAT 2
#define STAT_HEADER_LEN 88
#define STAT_BLOCK_HEADER_LEN 16
#define STAT_KEY_LEN 52
#define STAT_ENTRY_FIXED (2 + 2 + STAT_KEY_LEN + 4)
#define STAT_PATH_MAX 65535u
#define STAT_ENCODED_MAX (256u << 10) /* more holes and attributes than that: such a file is read every time */
#define STAT_BLOCK (256u << 10)       /* a block is closed when it is longer */
#define STAT_BLOCK_MAX (STAT_BLOCK + STAT_PATH_MAX + STAT_ENCODED_MAX + 4096u)

struct stat_header {
    unsigned char catalogue[16];
    uint64_t generation;
    int64_t walk_started_ns;
    char site_id[17];
    uint64_t root; /* hash of its name */
};
void stat_header_encode(const struct stat_header *h, unsigned char out[STAT_HEADER_LEN]);
bool stat_header_decode(const unsigned char in[STAT_HEADER_LEN], struct stat_header *out); /* false: unusable */
uint64_t stat_root_hash(const char *root_name);
uint64_t stat_block_sum(uint64_t number, const void *stored, size_t len);
/* "cache/<site>-<hash of the root's name>.stat" */
#define STAT_NAME_MAX 96
void stat_cache_name(const char *site_id, const char *root_name, char out[STAT_NAME_MAX]);

/* One entry of a payload. path holds the one before and becomes this one's; key and encoded are borrowed. */
struct stat_entry {
    struct stat_key key;
    const unsigned char *encoded;
    size_t len;
};
bool stat_entry_parse(struct cursor *c, struct buffer *path, struct stat_entry *out);
void stat_key_encode(const struct stat_key *k, unsigned char out[STAT_KEY_LEN]);
/* Walk order: below, equal, above zero. */
int stat_path_compare(const char *a, const char *b);

#endif
