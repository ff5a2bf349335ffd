#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "catalog_internal.h"
#include "text.h"

/* Writeback starts this often, so that the fsync at the end finds little left to do. */
#define WRITEBACK_STEP (8u << 20)

struct pack_draft {
    int dirfd; /* the catalogue's; borrowed */
    int fd;
    struct pack_header header;
    unsigned char raw_header[PACK_HEADER_LEN];
    char part[PACK_PATH_MAX];
    char path[PACK_PATH_MAX];
    uint64_t size;
    uint64_t written_back;
    uint32_t frames, chunks;
    struct buffer frame_table, chunk_table;
    bool sealed;
    struct error lost; /* why the first write or sync failed; kind OK: none did */
    bool published;
};

static enum error_kind make_folder(struct pack_draft *d, struct error *err)
{
    struct error ignored = ERROR_INIT;
    char folder[PACK_PATH_MAX];
    enum error_kind rc;

    memcpy(folder, d->part, sizeof(folder));
    *strrchr(folder, '/') = '\0';
    rc = directory_make(d->dirfd, folder, 0700, &ignored);
    if (rc && rc != ERR_EXISTS) {
        *err = ignored;
        return rc;
    }
    return OK; /* made by us or by another writer: pack_draft_publish() syncs packs/ either way */
}

enum error_kind pack_draft_begin(int dirfd, const struct catalog_format *format, enum pack_kind kind,
                                 struct pack_draft **out, struct error *err)
{
    struct pack_draft *d = NULL;
    enum error_kind rc;

    rc = memory_zeroed(1, sizeof(*d), (void **)&d, err);
    if (rc)
        return rc;
    d->dirfd = dirfd;
    d->fd = -1;
    d->frame_table.max = d->chunk_table.max = FOOTER_MAX / 2;
    d->header.format = *format;
    d->header.kind = kind;
    d->header.made_ns = clock_now();
    rc = random_bytes(d->header.name, PACK_NAME_LEN, err);
    if (rc)
        goto done;
    pack_path(d->header.name, true, d->part);
    pack_path(d->header.name, false, d->path);
    rc = make_folder(d, err);
    if (rc)
        goto done;
    rc = file_open(dirfd, d->part, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, &d->fd, err);
    if (rc)
        goto done;
    pack_header_encode(&d->header, d->raw_header);
    rc = file_write_at(d->fd, d->raw_header, PACK_HEADER_LEN, 0, d->part, err);
    if (rc)
        goto done;
    d->size = PACK_HEADER_LEN;
    *out = d;
    d = NULL;

done:
    if (rc == ERR_SPACE)
        error_hint(err, HINT_NO_ROOM);
    pack_draft_free(d);
    return rc;
}

const unsigned char *pack_draft_name(const struct pack_draft *d)
{
    return d->header.name;
}

int64_t pack_draft_made(const struct pack_draft *d)
{
    return d->header.made_ns;
}

uint64_t pack_draft_size(const struct pack_draft *d)
{
    return d->size;
}

uint32_t pack_draft_frames(const struct pack_draft *d)
{
    return d->frames;
}

bool pack_draft_published(const struct pack_draft *d)
{
    return d->published;
}

int pack_draft_fd(const struct pack_draft *d)
{
    return d->fd;
}

/* From here on nothing is written to it any more, and whoever tries is told why. */
static enum error_kind lose(struct pack_draft *d, struct error *err)
{
    if (err->kind == ERR_SPACE)
        error_hint(err, HINT_NO_ROOM);
    error_copy(&d->lost, err);
    return err->kind;
}

static enum error_kind told_why(const struct pack_draft *d, struct error *err)
{
    *err = d->lost;
    return err->kind;
}

static enum error_kind append(struct pack_draft *d, const void *bytes, size_t len, struct error *err)
{
    enum error_kind rc;

    if (d->lost.kind)
        return told_why(d, err);
    rc = file_write_at(d->fd, bytes, len, d->size, d->part, err);
    if (rc)
        return lose(d, err);
    d->size += len;
    return OK;
}

enum error_kind pack_draft_frame(struct pack_draft *d, uint8_t codec, const void *stored, uint32_t stored_len,
                                 uint32_t raw_len, uint32_t *frame, struct footer_frame *where, struct error *err)
{
    struct frame_header header = {codec, 0, raw_len, stored_len, hash64_of(0, stored, stored_len)};
    struct footer_frame entry = {d->size, stored_len, raw_len, codec, 0};
    unsigned char raw[FRAME_HEADER_LEN], raw_entry[FOOTER_FRAME_LEN];
    enum error_kind rc;

    frame_header_encode(&header, raw);
    footer_frame_encode(&entry, raw_entry);
    rc = append(d, raw, sizeof(raw), err);
    if (!rc)
        rc = append(d, stored, stored_len, err);
    if (!rc)
        rc = buffer_append(&d->frame_table, raw_entry, sizeof(raw_entry), err);
    if (rc)
        return lose(d, err); /* its bytes may be there while the table does not know them */
    if (d->size - d->written_back >= WRITEBACK_STEP) {
        /* A hint only: an error here comes back from fsync. */
        (void)sync_file_range(d->fd, (off_t)d->written_back, (off_t)(d->size - d->written_back), SYNC_FILE_RANGE_WRITE);
        d->written_back = d->size;
    }
    *frame = d->frames++;
    *where = entry;
    return OK;
}

enum error_kind pack_draft_chunk(struct pack_draft *d, const struct footer_chunk *chunk, struct error *err)
{
    unsigned char raw[FOOTER_CHUNK_LEN];
    enum error_kind rc;

    footer_chunk_encode(chunk, raw);
    rc = buffer_append(&d->chunk_table, raw, sizeof(raw), err);
    if (!rc)
        d->chunks++;
    return rc;
}

enum error_kind pack_draft_seal(struct pack_draft *d, struct error *err)
{
    unsigned char head[FOOTER_HEAD_LEN], raw[PACK_TRAILER_LEN];
    struct hash_stream *stream = NULL;
    struct pack_trailer trailer = {.footer_at = d->size};
    enum error_kind rc;

    put_u32(head, d->frames);
    put_u32(head + 4, d->chunks);
    memcpy(trailer.name, d->header.name, PACK_NAME_LEN);
    trailer.footer_len = sizeof(head) + d->frame_table.len + d->chunk_table.len;
    rc = hash_stream_new(0, &stream, err);
    if (rc)
        goto done;
    hash_stream_update(stream, d->raw_header, PACK_HEADER_LEN);
    hash_stream_update(stream, head, sizeof(head));
    hash_stream_update(stream, d->frame_table.data, d->frame_table.len);
    hash_stream_update(stream, d->chunk_table.data, d->chunk_table.len);
    hash_stream_end(stream, &trailer.sum);
    pack_trailer_encode(&trailer, raw);
    rc = append(d, head, sizeof(head), err);
    if (!rc && d->frame_table.len > 0)
        rc = append(d, d->frame_table.data, d->frame_table.len, err);
    if (!rc && d->chunk_table.len > 0)
        rc = append(d, d->chunk_table.data, d->chunk_table.len, err);
    if (!rc)
        rc = append(d, raw, sizeof(raw), err);
    if (!rc)
        d->sealed = true;

done:
    hash_stream_free(stream);
    return rc;
}

enum error_kind pack_draft_publish(struct pack_draft *d, struct error *err)
{
    char folder[PACK_PATH_MAX];
    enum error_kind rc;

    if (d->lost.kind)
        return told_why(d, err);
    assert(d->sealed);
    memcpy(folder, d->path, sizeof(folder));
    *strrchr(folder, '/') = '\0';
    rc = file_sync(d->fd, d->part, err);
    if (!rc)
        rc = file_rename_new(d->dirfd, d->part, d->dirfd, d->path, err);
    if (rc)
        return lose(d, err);
    d->published = true; /* from here on the name is not ours to remove, whatever happens */
    rc = directory_sync(d->dirfd, folder, err);
    if (!rc)
        rc = directory_sync(d->dirfd, PACKS_NAME, err); /* cheap when nothing changed there */
    return rc ? lose(d, err) : OK;
}

void pack_draft_free(struct pack_draft *d)
{
    struct error ignored = ERROR_INIT;

    if (!d)
        return;
    if (d->fd >= 0 && !d->published)
        (void)file_unlink(d->dirfd, d->part, &ignored); /* else prune removes it */
    file_close(&d->fd);
    buffer_release(&d->frame_table);
    buffer_release(&d->chunk_table);
    free(d);
}
