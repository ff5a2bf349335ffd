#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "catalog_internal.h"
#include "codec_internal.h"
#include "file.h"
#include "stat_cache_internal.h"

#define STAT_LEVEL 1 /* of zstd: a third of the size; the cache is written while somebody waits */

struct stat_cache_writer {
    struct catalog *cat;
    int fd;
    char name[STAT_NAME_MAX];
    char temporary[STAT_NAME_MAX + 32];
    int64_t walk_started_ns;
    struct buffer block; /* payload */
    struct buffer compressed;
    struct compressor *compressor;
    struct buffer last; /* path before; empty at the beginning of a block */
    uint64_t number;
};

static enum error_kind write_header(struct stat_cache_writer *w, const char *site_id, const char *root_name,
                                    struct error *err)
{
    unsigned char head[STAT_HEADER_LEN];
    struct stat_header h = {
        .generation = catalog_generation(w->cat),
        .walk_started_ns = w->walk_started_ns,
        .root = stat_root_hash(root_name),
    };

    memcpy(h.catalogue, catalog_format(w->cat)->catalogue, 16);
    memcpy(h.site_id, site_id, 16);
    stat_header_encode(&h, head);
    return file_write(w->fd, head, sizeof(head), "the stat cache", err);
}

enum error_kind stat_cache_begin(struct catalog *cat, const char *site_id, const char *root_name,
                                 int64_t walk_started_ns, struct stat_cache_writer **out, struct error *err)
{
    struct stat_cache_writer *w = NULL;
    void *memory = NULL;
    enum error_kind rc = catalog_require_write(cat, err);

    if (!rc)
        rc = memory_zeroed(1, sizeof(*w), &memory, err);
    if (rc)
        return rc;
    assert(strlen(site_id) == 16);
    w = memory;
    w->cat = cat;
    w->fd = -1;
    w->walk_started_ns = walk_started_ns;
    w->block = (struct buffer)BUFFER_INIT(STAT_BLOCK_MAX);
    w->compressed = (struct buffer)BUFFER_INIT(STAT_BLOCK_MAX);
    w->last = (struct buffer)BUFFER_INIT(STAT_PATH_MAX);
    stat_cache_name(site_id, root_name, w->name);
    snprintf(w->temporary, sizeof(w->temporary), "%s.%ld.part", w->name, (long)getpid());
    rc = compressor_new(STAT_LEVEL, &w->compressor, err);
    if (!rc)
        rc = file_open(cat->dirfd, w->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600, &w->fd, err);
    if (!rc)
        rc = write_header(w, site_id, root_name, err);
    if (rc) {
        stat_cache_discard(w);
        return rc;
    }
    *out = w;
    return OK;
}

void stat_cache_discard(struct stat_cache_writer *w)
{
    struct error ignored = ERROR_INIT;

    if (!w)
        return;
    if (w->fd >= 0)
        (void)file_unlink(w->cat->dirfd, w->temporary, &ignored);
    file_close(&w->fd);
    compressor_free(w->compressor);
    buffer_release(&w->compressed);
    buffer_release(&w->block);
    buffer_release(&w->last);
    free(w);
}

static enum error_kind write_block(struct stat_cache_writer *w, struct error *err)
{
    unsigned char head[STAT_BLOCK_HEADER_LEN];
    const void *stored = NULL;
    size_t stored_len = 0;
    uint8_t codec;
    enum error_kind rc =
        codec_compress(w->compressor, w->block.data, w->block.len, &w->compressed, &codec, &stored, &stored_len, err);

    if (rc)
        return rc;
    put_u32(head, (uint32_t)stored_len);
    put_u32(head + 4, (uint32_t)w->block.len);
    put_u64(head + 8, stat_block_sum(w->number++, stored, stored_len));
    rc = file_write(w->fd, head, sizeof(head), "the stat cache", err);
    if (!rc)
        rc = file_write(w->fd, stored, stored_len, "the stat cache", err);
    buffer_clear(&w->block);
    buffer_clear(&w->last);
    return rc;
}

static bool is_young(const struct stat_cache_writer *w, const struct stat_key *key)
{
    int64_t limit = w->walk_started_ns - STAT_CACHE_YOUNG_NS;
    int64_t limit_sec = limit / 1000000000;

    return key->ctime_sec > limit_sec ||
           (key->ctime_sec == limit_sec && (int64_t)key->ctime_nsec >= limit % 1000000000);
}

enum error_kind stat_cache_add(struct stat_cache_writer *w, const char *path, const struct stat_key *key,
                               const void *encoded, size_t len, struct error *err)
{
    size_t path_len = strlen(path);
    size_t shared = 0;
    unsigned char raw[STAT_KEY_LEN];
    enum error_kind rc = OK;

    if (is_young(w, key) || path_len > STAT_PATH_MAX || len > STAT_ENCODED_MAX)
        return OK;
    while (shared < w->last.len && path[shared] == (char)w->last.data[shared])
        shared++;
    stat_key_encode(key, raw);
    if (!rc)
        rc = buffer_append_u16(&w->block, (uint16_t)shared, err);
    if (!rc)
        rc = buffer_append_u16(&w->block, (uint16_t)(path_len - shared), err);
    if (!rc)
        rc = buffer_append(&w->block, path + shared, path_len - shared, err);
    if (!rc)
        rc = buffer_append(&w->block, raw, sizeof(raw), err);
    if (!rc)
        rc = buffer_append_u32(&w->block, (uint32_t)len, err);
    if (!rc)
        rc = buffer_append(&w->block, encoded, len, err);
    buffer_clear(&w->last);
    if (!rc)
        rc = buffer_append(&w->last, path, path_len, err);
    if (!rc && w->block.len >= STAT_BLOCK)
        rc = write_block(w, err);
    return rc;
}

enum error_kind stat_cache_commit(struct stat_cache_writer *w, struct error *err)
{
    enum error_kind rc = OK;

    if (w->block.len > 0)
        rc = write_block(w, err);
    if (!rc)
        rc = file_rename(w->cat->dirfd, w->temporary, w->cat->dirfd, w->name, err);
    if (!rc)
        file_close(&w->fd); /* nothing is left to unlink */
    stat_cache_discard(w);
    return rc;
}
