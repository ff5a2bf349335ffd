#include "stat_cache.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog_internal.h"
#include "codec_internal.h"
#include "file.h"
#include "stat_cache_internal.h"
#include "tree_internal.h"

/*
 * Why an entry may be believed without looking its ids up:
 *
 *   S1  a cache is put in place only after the snapshot was committed whose ids it holds: then all of them stood (C2). One that a transaction renews
 *       holds those of the snapshot that it went to, and what the cache before it was believed for
 *   S2  nothing is removed without raising the generation, and rebuild raises it too (C6): while the cache's generation is the
 *       catalogue's, all of them are still there
 *   S3  the shared lock, held since the catalogue was opened, keeps it so until it is closed
 *   S4  what stands may still be damaged: once any damage is known, or when the generation moved on, each id is looked up
 */
struct stat_cache_reader {
    struct catalog *cat;
    int fd;
    uint64_t number; /* of the next block */
    uint64_t generation;
    bool look_up; /* S4 */
    bool ended;
    struct buffer stored, block;
    struct cursor at;
    struct buffer path;
    struct stat_entry entry;
    bool have; /* path and entry are the next one in walk order */
    struct tree_scratch *scratch;
};

/* ---- the file's structures ---- */

void stat_key_of(const struct stat *st, struct stat_key *out)
{
    *out = (struct stat_key){
        .device = st->st_dev,
        .inode = st->st_ino,
        .size = (uint64_t)st->st_size,
        .ctime_sec = st->st_ctim.tv_sec,
        .mtime_sec = st->st_mtim.tv_sec,
        .ctime_nsec = (uint32_t)st->st_ctim.tv_nsec,
        .mtime_nsec = (uint32_t)st->st_mtim.tv_nsec,
        .mode = st->st_mode,
    };
}

bool stat_key_equal(const struct stat_key *a, const struct stat_key *b)
{
    return a->inode == b->inode && a->ctime_sec == b->ctime_sec && a->ctime_nsec == b->ctime_nsec &&
           a->mtime_sec == b->mtime_sec && a->mtime_nsec == b->mtime_nsec && a->size == b->size &&
           a->device == b->device && a->mode == b->mode;
}

void stat_key_encode(const struct stat_key *k, unsigned char out[STAT_KEY_LEN])
{
    put_u64(out, k->device);
    put_u64(out + 8, k->inode);
    put_u64(out + 16, k->size);
    put_u64(out + 24, (uint64_t)k->ctime_sec);
    put_u64(out + 32, (uint64_t)k->mtime_sec);
    put_u32(out + 40, k->ctime_nsec);
    put_u32(out + 44, k->mtime_nsec);
    put_u32(out + 48, k->mode);
}

static void stat_key_decode(const unsigned char in[STAT_KEY_LEN], struct stat_key *out)
{
    out->device = get_u64(in);
    out->inode = get_u64(in + 8);
    out->size = get_u64(in + 16);
    out->ctime_sec = (int64_t)get_u64(in + 24);
    out->mtime_sec = (int64_t)get_u64(in + 32);
    out->ctime_nsec = get_u32(in + 40);
    out->mtime_nsec = get_u32(in + 44);
    out->mode = get_u32(in + 48);
}

void stat_header_encode(const struct stat_header *h, unsigned char out[STAT_HEADER_LEN])
{
    memset(out, 0, STAT_HEADER_LEN);
    memcpy(out, STAT_MAGIC, 8);
    put_u16(out + 8, STAT_FORMAT);
    memcpy(out + 16, h->catalogue, 16);
    put_u64(out + 32, h->generation);
    put_u64(out + 40, (uint64_t)h->walk_started_ns);
    memcpy(out + 48, h->site_id, 16);
    put_u64(out + 64, h->root);
    put_u64(out + 80, hash64_of(0, out, 80));
}

bool stat_header_decode(const unsigned char in[STAT_HEADER_LEN], struct stat_header *out)
{
    if (memcmp(in, STAT_MAGIC, 8) != 0 || get_u16(in + 8) != STAT_FORMAT || get_u64(in + 80) != hash64_of(0, in, 80))
        return false;
    memcpy(out->catalogue, in + 16, 16);
    out->generation = get_u64(in + 32);
    out->walk_started_ns = (int64_t)get_u64(in + 40);
    memcpy(out->site_id, in + 48, 16);
    out->site_id[16] = '\0';
    out->root = get_u64(in + 64);
    return true;
}

uint64_t stat_root_hash(const char *root_name)
{
    return hash64_of(0, root_name, strlen(root_name));
}

uint64_t stat_block_sum(uint64_t number, const void *stored, size_t len)
{
    return hash64_of(number, stored, len);
}

void stat_cache_name(const char *site_id, const char *root_name, char out[STAT_NAME_MAX])
{
    snprintf(out, STAT_NAME_MAX, CACHE_NAME "/%.16s-%016llx.stat", site_id,
             (unsigned long long)stat_root_hash(root_name));
}

int stat_path_compare(const char *a, const char *b)
{
    size_t i = 0;
    int x, y;

    while (a[i] && a[i] == b[i])
        i++;
    /* The end before '/', '/' before everything else: a directory, what is in it, then its next neighbour. */
    x = a[i] == '\0' ? -1 : a[i] == '/' ? 0 : (unsigned char)a[i];
    y = b[i] == '\0' ? -1 : b[i] == '/' ? 0 : (unsigned char)b[i];
    return (x > y) - (x < y);
}

bool stat_entry_parse(struct cursor *c, struct buffer *path, struct stat_entry *out)
{
    struct error ignored = ERROR_INIT;
    size_t shared = cursor_u16(c);
    size_t more = cursor_u16(c);
    const unsigned char *bytes = cursor_bytes(c, more);
    const unsigned char *key = cursor_bytes(c, STAT_KEY_LEN);
    size_t len = cursor_u32(c);
    const unsigned char *encoded = cursor_bytes(c, len);

    if (c->bad || shared > path->len || len > STAT_ENCODED_MAX || memchr(bytes, '\0', more))
        return false;
    path->len = shared;
    if (buffer_append(path, bytes, more, &ignored) != OK)
        return false;
    stat_key_decode(key, &out->key);
    out->encoded = encoded;
    out->len = len;
    return true;
}

/* ---- reading ---- */

static bool read_whole(struct stat_cache_reader *r, void *out, size_t len)
{
    struct error ignored = ERROR_INIT;
    size_t got = 0;

    return file_read(r->fd, out, len, &got, "the stat cache", &ignored) == OK && got == len;
}

/* The next block, or the end: a block that can't be read, or is not what it should be, ends the cache, which costs time only. */
static enum error_kind next_block(struct stat_cache_reader *r, struct error *err)
{
    unsigned char head[STAT_BLOCK_HEADER_LEN];
    struct error ignored = ERROR_INIT;
    size_t stored_len, len;
    enum error_kind rc;

    r->ended = true;
    if (!read_whole(r, head, sizeof(head)))
        return OK;
    stored_len = get_u32(head);
    len = get_u32(head + 4);
    if (stored_len == 0 || stored_len > len || len > STAT_BLOCK_MAX)
        return OK;
    buffer_clear(&r->stored);
    buffer_clear(&r->block);
    rc = buffer_reserve(&r->stored, stored_len, err);
    if (!rc)
        rc = buffer_reserve(&r->block, len, err);
    if (rc || !read_whole(r, r->stored.data, stored_len) ||
        stat_block_sum(r->number, r->stored.data, stored_len) != get_u64(head + 8))
        return rc;
    if (codec_decompress(stored_len < len ? CODEC_ZSTD : CODEC_STORED, r->stored.data, stored_len, r->block.data, len,
                         &ignored) != OK)
        return OK;
    r->number++;
    r->block.len = len;
    r->at = cursor_over(r->block.data, len);
    buffer_clear(&r->path);
    r->ended = false;
    return OK;
}

static enum error_kind advance(struct stat_cache_reader *r, struct error *err)
{
    enum error_kind rc = OK;

    r->have = false;
    if (!r->ended && cursor_left(&r->at) == 0)
        rc = next_block(r, err);
    if (rc || r->ended)
        return rc;
    r->have = stat_entry_parse(&r->at, &r->path, &r->entry);
    r->ended = !r->have;
    return OK;
}

static bool header_fits(const struct stat_header *h, const struct catalog *cat, const char *site_id, uint64_t root)
{
    return memcmp(h->catalogue, catalog_format(cat)->catalogue, 16) == 0 && strcmp(h->site_id, site_id) == 0 &&
           h->root == root && h->generation <= catalog_generation(cat);
}

enum error_kind stat_cache_open(struct catalog *cat, const char *site_id, const char *root_name,
                                struct stat_cache_reader **out, struct error *err)
{
    char name[STAT_NAME_MAX];
    unsigned char head[STAT_HEADER_LEN];
    struct stat_header h;
    struct stat_cache_reader *r = NULL;
    struct error ignored = ERROR_INIT;
    void *memory = NULL;
    size_t got = 0;
    int fd = -1;
    enum error_kind rc = OK;

    *out = NULL;
    stat_cache_name(site_id, root_name, name);
    if (file_open(cat->dirfd, name, O_RDONLY | O_NOFOLLOW, 0, &fd, &ignored) != OK)
        return OK;
    if (file_read(fd, head, sizeof(head), &got, "the stat cache", &ignored) != OK || got < sizeof(head) ||
        !stat_header_decode(head, &h) || !header_fits(&h, cat, site_id, stat_root_hash(root_name)))
        goto done;
    rc = memory_zeroed(1, sizeof(*r), &memory, err);
    if (rc)
        goto done;
    r = memory;
    r->cat = cat;
    r->fd = fd;
    fd = -1;
    r->generation = h.generation;
    r->look_up = h.generation != catalog_generation(cat) || catalog_damaged(cat);
    r->stored = (struct buffer)BUFFER_INIT(STAT_BLOCK_MAX);
    r->block = (struct buffer)BUFFER_INIT(STAT_BLOCK_MAX);
    r->path = (struct buffer)BUFFER_INIT(2 * STAT_PATH_MAX);
    r->at = cursor_over(NULL, 0);
    rc = tree_scratch_new(&r->scratch, err);
    if (!rc)
        rc = advance(r, err);
    if (rc)
        goto done;
    *out = r;
    r = NULL;

done:
    stat_cache_close(r);
    file_close(&fd);
    return rc;
}

void stat_cache_close(struct stat_cache_reader *r)
{
    if (!r)
        return;
    file_close(&r->fd);
    buffer_release(&r->stored);
    buffer_release(&r->block);
    buffer_release(&r->path);
    tree_scratch_free(r->scratch);
    free(r);
}

/* Does this id stand, undamaged, and did it when the cache was made? */
static enum error_kind id_counts(struct stat_cache_reader *r, const struct chunk_id *id, bool *out, struct error *err)
{
    struct chunk_row row;
    bool found = false;
    enum error_kind rc = catalog_chunk_find(r->cat, id, &row, &found, err);

    if (!rc)
        *out = found && chunk_row_stands(&row) && row.generation <= r->generation;
    return rc;
}

/* A list may stand while what it names was pruned (they lie in different packs). One that can't be read doesn't count. */
static enum error_kind list_counts(struct stat_cache_reader *r, const struct chunk_id *list, bool *out,
                                   struct error *err)
{
    struct list_reader *ids = NULL;
    struct error unread = ERROR_INIT;
    struct chunk_id id;
    bool more = true;
    enum error_kind rc = id_counts(r, list, out, err);

    if (rc || !*out)
        return rc;
    if (list_reader_open(r->cat, list, &ids, &unread) != OK) {
        *out = false;
        return OK;
    }
    while (!rc && *out) {
        if (list_reader_next(ids, &id, &more, &unread) != OK)
            *out = false;
        else if (!more)
            break;
        else
            rc = id_counts(r, &id, out, err);
    }
    list_reader_close(ids);
    return rc;
}

static enum error_kind entry_counts(struct stat_cache_reader *r, const struct tree_entry *e, bool *out,
                                    struct error *err)
{
    enum error_kind rc = OK;

    *out = true;
    if (!r->look_up)
        return OK;
    if (e->type == TREE_DIRECTORY) {
        *out = false; /* all that is below would have to be looked at: the walk does that anyway */
        return OK;
    }
    if (e->has_list)
        return list_counts(r, &e->list, out, err);
    for (size_t i = 0; !rc && *out && i < e->chunk_count; i++)
        rc = id_counts(r, &e->chunks[i], out, err);
    return rc;
}

enum error_kind stat_cache_get(struct stat_cache_reader *r, const char *path, const struct stat_key *key,
                               const void **encoded, size_t *len, struct error *err)
{
    struct tree_entry e;
    struct error ignored = ERROR_INIT;
    bool counts = false;
    enum error_kind rc = OK;

    *encoded = NULL;
    *len = 0;
    while (!rc && r->have && stat_path_compare((const char *)r->path.data, path) < 0)
        rc = advance(r, err);
    if (rc || !r->have || strcmp((const char *)r->path.data, path) != 0 || !stat_key_equal(&r->entry.key, key))
        return rc;
    if (tree_entry_decode(r->scratch, r->entry.encoded, r->entry.len, &e, &ignored) != OK)
        return OK;
    rc = entry_counts(r, &e, &counts, err);
    if (!rc && counts) {
        *encoded = r->entry.encoded;
        *len = r->entry.len;
    }
    return rc;
}
