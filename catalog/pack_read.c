#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "catalog_internal.h"
#include "codec_internal.h"

struct pack {
    int fd;
    char path[PACK_PATH_MAX];
    struct pack_header header;
    uint64_t size;
    uint32_t frames, chunks;
    uint64_t footer_at;
    unsigned char
        *footer; /* as on disk: entries are decoded one by one, so that a footer takes no more than its bytes */
    size_t footer_len;
};

/*
 * A medium or a filesystem that has lost what it should hold is damage like any other (P6): named, gone round, repaired. Another
 * failure of the system says nothing about the pack.
 */
static enum error_kind medium_says(enum error_kind rc, struct error *err)
{
    static const int lost[] = {EIO, EILSEQ, ENODATA, EREMOTEIO, EBADMSG, EUCLEAN};

    for (size_t i = 0; rc == ERR_IO && i < sizeof(lost) / sizeof(*lost); i++) {
        if (err->sys == lost[i])
            rc = err->kind = ERR_CORRUPT;
    }
    return rc;
}

static enum error_kind read_at(int fd, void *bytes, size_t len, uint64_t offset, const char *shown, struct error *err)
{
    return medium_says(file_read_at(fd, bytes, len, offset, shown, err), err);
}

static const unsigned char *frame_entry(const struct pack *p, uint32_t i)
{
    return p->footer + FOOTER_HEAD_LEN + (size_t)i * FOOTER_FRAME_LEN;
}

static const unsigned char *chunk_entry(const struct pack *p, uint32_t i)
{
    return p->footer + FOOTER_HEAD_LEN + (size_t)p->frames * FOOTER_FRAME_LEN + (size_t)i * FOOTER_CHUNK_LEN;
}

void pack_frame_at(const struct pack *p, uint32_t i, struct footer_frame *out)
{
    footer_frame_decode(frame_entry(p, i), out);
}

void pack_chunk_at(const struct pack *p, uint32_t i, struct footer_chunk *out)
{
    footer_chunk_decode(chunk_entry(p, i), out);
}

const struct pack_header *pack_header_of(const struct pack *p)
{
    return &p->header;
}

uint64_t pack_size(const struct pack *p)
{
    return p->size;
}

size_t pack_memory(const struct pack *p)
{
    return sizeof(*p) + p->footer_len;
}

uint32_t pack_frame_count(const struct pack *p)
{
    return p->frames;
}

uint32_t pack_chunk_count(const struct pack *p)
{
    return p->chunks;
}

static enum error_kind footer_damaged(const struct pack *p, struct error *err)
{
    return error_set(err, ERR_CORRUPT, 0, "%s: footer is damaged", p->path);
}

/* Frames lie between header and footer, none over another; chunks inside their frames, in order (K3). */
static enum error_kind check_tables(const struct pack *p, struct error *err)
{
    struct footer_frame frame = {0};
    struct footer_chunk chunk;
    uint64_t end = PACK_HEADER_LEN;
    uint32_t last_frame = 0, last_end = 0;

    for (uint32_t i = 0; i < p->frames; i++) {
        pack_frame_at(p, i, &frame);
        if (frame.at != end || frame.raw > FRAME_RAW_MAX || frame.stored > FRAME_RAW_MAX ||
            p->footer_at - end < FRAME_HEADER_LEN + (uint64_t)frame.stored)
            return footer_damaged(p, err);
        end += FRAME_HEADER_LEN + (uint64_t)frame.stored;
    }
    if (end != p->footer_at)
        return footer_damaged(p, err);
    for (uint32_t i = 0; i < p->chunks; i++) {
        pack_chunk_at(p, i, &chunk);
        if (chunk.frame >= p->frames || chunk.frame < last_frame || chunk.len > CHUNK_LEN_MAX ||
            !chunk_type_is_known(chunk.type) || chunk_type_is_record(chunk.type) != (p->header.kind == PACK_RECORDS))
            return footer_damaged(p, err);
        if (chunk.frame != last_frame)
            last_end = 0;
        if (i == 0 || chunk.frame != last_frame)
            pack_frame_at(p, chunk.frame, &frame);
        if (chunk.offset < last_end || chunk.offset > frame.raw || chunk.len > frame.raw - chunk.offset)
            return footer_damaged(p, err);
        last_frame = chunk.frame;
        last_end = chunk.offset + chunk.len;
    }
    return OK;
}

static enum error_kind read_footer(struct pack *p, const unsigned char raw_header[PACK_HEADER_LEN], struct error *err)
{
    unsigned char raw[PACK_TRAILER_LEN];
    struct hash_stream *stream = NULL;
    struct pack_trailer trailer;
    struct hash sum;
    enum error_kind rc;

    rc = read_at(p->fd, raw, sizeof(raw), p->size - PACK_TRAILER_LEN, p->path, err);
    if (rc)
        goto done;
    rc = pack_trailer_decode(raw, &trailer, err);
    if (rc) {
        error_context(err, "%s", p->path);
        goto done;
    }
    /* The footer ends where the trailer begins, so one number is enough and the other is checked against it. */
    if (memcmp(trailer.name, p->header.name, PACK_NAME_LEN) != 0 || trailer.footer_len < FOOTER_HEAD_LEN ||
        trailer.footer_len > FOOTER_HEAD_LEN + FOOTER_MAX ||
        trailer.footer_len > p->size - PACK_HEADER_LEN - PACK_TRAILER_LEN ||
        trailer.footer_at != p->size - PACK_TRAILER_LEN - trailer.footer_len) {
        rc = error_set(err, ERR_CORRUPT, 0, "%s: trailer is damaged", p->path);
        goto done;
    }
    rc = memory_allocate((size_t)trailer.footer_len, (void **)&p->footer, err);
    if (rc)
        goto done;
    p->footer_at = trailer.footer_at;
    p->footer_len = (size_t)trailer.footer_len;
    rc = read_at(p->fd, p->footer, p->footer_len, p->footer_at, p->path, err);
    if (rc)
        goto done;
    rc = hash_stream_new(0, &stream, err);
    if (rc)
        goto done;
    hash_stream_update(stream, raw_header, PACK_HEADER_LEN);
    hash_stream_update(stream, p->footer, p->footer_len);
    hash_stream_end(stream, &sum);
    if (memcmp(&sum, &trailer.sum, sizeof(sum)) != 0) {
        rc = footer_damaged(p, err);
        goto done;
    }
    p->frames = get_u32(p->footer);
    p->chunks = get_u32(p->footer + 4);
    if (p->footer_len !=
        FOOTER_HEAD_LEN + (uint64_t)p->frames * FOOTER_FRAME_LEN + (uint64_t)p->chunks * FOOTER_CHUNK_LEN) {
        rc = footer_damaged(p, err);
        goto done;
    }
    rc = check_tables(p, err);

done:
    hash_stream_free(stream);
    return rc;
}

static enum error_kind read_header(struct pack *p, const unsigned char name[PACK_NAME_LEN],
                                   const struct catalog_format *format, unsigned char raw[PACK_HEADER_LEN],
                                   struct error *err)
{
    struct stat st;
    enum error_kind rc;

    if (fstat(p->fd, &st) != 0 || !S_ISREG(st.st_mode))
        return error_set(err, ERR_CORRUPT, 0, "%s is not a regular file", p->path);
    p->size = (uint64_t)st.st_size;
    if (p->size < PACK_HEADER_LEN + FOOTER_HEAD_LEN + PACK_TRAILER_LEN)
        return error_set(err, ERR_CORRUPT, 0, "%s is cut short", p->path);
    rc = read_at(p->fd, raw, PACK_HEADER_LEN, 0, p->path, err);
    if (!rc)
        rc = pack_header_decode(raw, p->path, &p->header, err);
    if (rc)
        return rc;
    if (memcmp(p->header.name, name, PACK_NAME_LEN) != 0)
        return error_set(err, ERR_CORRUPT, 0, "%s holds another pack", p->path);
    if (format && !format_equal(format, &p->header.format))
        return error_set(err, ERR_CORRUPT, 0, "%s belongs to another catalogue", p->path);
    return OK;
}

enum error_kind pack_open(int dirfd, const unsigned char name[PACK_NAME_LEN], const struct catalog_format *format,
                          struct pack **out, struct error *err)
{
    unsigned char raw[PACK_HEADER_LEN];
    struct pack *p = NULL;
    enum error_kind rc;

    rc = memory_zeroed(1, sizeof(*p), (void **)&p, err);
    if (rc)
        return rc;
    p->fd = -1;
    pack_path(name, false, p->path);
    rc = file_open(dirfd, p->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0, &p->fd, err);
    rc = medium_says(rc, err);
    if (!rc)
        rc = read_header(p, name, format, raw, err);
    if (!rc)
        rc = read_footer(p, raw, err);
    if (rc) {
        pack_close(p);
        return rc;
    }
    *out = p;
    return OK;
}

void pack_close(struct pack *p)
{
    if (!p)
        return;
    file_close(&p->fd);
    free(p->footer);
    free(p);
}

uint32_t pack_chunk_search(const struct pack *p, uint32_t frame, uint32_t offset)
{
    uint32_t low = 0, high = p->chunks;
    struct footer_chunk c;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        pack_chunk_at(p, middle, &c);
        if (c.frame < frame || (c.frame == frame && c.offset < offset))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Header and stored bytes in one read, checked (K2). The stored bytes begin FRAME_HEADER_LEN into *out. */
static enum error_kind read_checked(int fd, const struct footer_frame *where, const char *shown, struct buffer *out,
                                    struct frame_header *header, struct error *err)
{
    size_t len = FRAME_HEADER_LEN + (size_t)where->stored;
    enum error_kind rc;

    buffer_clear(out);
    rc = buffer_reserve(out, len, err);
    if (!rc)
        rc = read_at(fd, out->data, len, where->at, shown, err);
    if (rc)
        return rc;
    out->len = len;
    rc = frame_header_decode(out->data, header, err);
    if (rc)
        return rc;
    if (header->raw != where->raw || header->stored != where->stored || header->codec != where->codec ||
        header->cipher != where->cipher)
        return error_set(err, ERR_CORRUPT, 0, "frame header and footer disagree");
    if (hash64_of(0, out->data + FRAME_HEADER_LEN, where->stored) != header->checksum)
        return error_set(err, ERR_CORRUPT, 0, "frame does not match its checksum");
    return OK;
}

enum error_kind frame_read(int fd, const struct footer_frame *where, const char *shown, struct buffer *out,
                           struct error *err)
{
    struct buffer stored = BUFFER_INIT(FRAME_RAW_MAX + FRAME_HEADER_LEN);
    struct frame_header header;
    enum error_kind rc;

    rc = read_checked(fd, where, shown, &stored, &header, err);
    if (rc)
        goto done;
    buffer_clear(out);
    rc = buffer_reserve(out, header.raw, err);
    if (rc)
        goto done;
    rc = codec_decompress(header.codec, stored.data + FRAME_HEADER_LEN, header.stored, out->data, header.raw, err);
    if (rc)
        goto done;
    out->len = header.raw;

done:
    buffer_release(&stored);
    return rc;
}

enum error_kind pack_frame_read(const struct pack *p, uint32_t frame, struct buffer *out, struct error *err)
{
    struct footer_frame where;
    enum error_kind rc;

    if (frame >= p->frames)
        return error_set(err, ERR_CORRUPT, 0, "%s has no frame %u", p->path, frame);
    pack_frame_at(p, frame, &where);
    rc = frame_read(p->fd, &where, p->path, out, err);
    if (rc)
        error_context(err, "%s, frame %u", p->path, frame);
    return rc;
}

enum error_kind pack_frame_read_stored(const struct pack *p, uint32_t frame, struct frame_header *header,
                                       struct buffer *out, struct error *err)
{
    struct footer_frame where;
    enum error_kind rc;

    if (frame >= p->frames)
        return error_set(err, ERR_CORRUPT, 0, "%s has no frame %u", p->path, frame);
    pack_frame_at(p, frame, &where);
    rc = read_checked(p->fd, &where, p->path, out, header, err);
    if (rc) {
        error_context(err, "%s, frame %u", p->path, frame);
        return rc;
    }
    memmove(out->data, out->data + FRAME_HEADER_LEN, header->stored);
    out->len = header->stored;
    return OK;
}

enum error_kind pack_scan_frame(int fd, uint64_t *at, struct frame_header *header, struct error *err)
{
    unsigned char raw[FRAME_HEADER_LEN];
    struct error ignored = ERROR_INIT;

    if (file_read_at(fd, raw, sizeof(raw), *at, "pack", &ignored) || frame_header_decode(raw, header, &ignored))
        return error_set(err, ERR_NOT_FOUND, 0, "no frame at %llu", (unsigned long long)*at);
    *at += FRAME_HEADER_LEN + (uint64_t)header->stored;
    return OK;
}
