#include "streaming_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"

#define READ_PIECE (1u << 20)
#define HOLES_MAX 16384 /* what follows the last of so many is stored as data: memory has to end somewhere */

struct streaming {
    struct store *store;
    struct spill *spill;
    struct walk_attributes *attributes;
    streaming_tick_fn *tick;
    void *tick_arg;
    struct cutter *cutter;
    size_t whole_max, cut_max;
    struct buffer bytes; /* read and not cut yet */
    struct buffer encoded;
    struct tree_hole *holes;
    size_t hole_count;
    /* the file at hand */
    uint32_t group;
    bool whole;
    store_ticket first;
    uint64_t place;
    uint32_t count;
};

enum error_kind streaming_new(struct store *store, struct spill *spill, struct walk_attributes *attributes,
                              streaming_tick_fn *tick, void *tick_arg, struct streaming **out, struct error *err)
{
    const struct catalog_format *format = catalog_format(store_catalog(store));
    void *memory = NULL;
    struct streaming *s;
    enum error_kind rc = memory_zeroed(1, sizeof *s, &memory, err);

    if (rc)
        return rc;
    s = memory;
    s->store = store;
    s->spill = spill;
    s->attributes = attributes;
    s->tick = tick;
    s->tick_arg = tick_arg;
    s->whole_max = format->whole_max;
    s->cut_max = format->cut_max;
    s->bytes = (struct buffer)BUFFER_INIT(2 * ((size_t)format->whole_max + format->cut_max + READ_PIECE));
    s->encoded = (struct buffer)BUFFER_INIT(16 << 20);
    rc = cutter_new(format, &s->cutter, err);
    memory = NULL;
    if (!rc)
        rc = memory_allocate(HOLES_MAX * sizeof *s->holes, &memory, err);
    s->holes = memory;
    if (rc) {
        streaming_free(s);
        return rc;
    }
    *out = s;
    return OK;
}

void streaming_free(struct streaming *s)
{
    if (!s)
        return;
    cutter_free(s->cutter);
    buffer_release(&s->bytes);
    buffer_release(&s->encoded);
    free(s->holes);
    free(s);
}

/* ---- holes ---- */

static void add_hole(struct streaming *s, off_t from, off_t to)
{
    if (to > from)
        s->holes[s->hole_count++] = (struct tree_hole){(uint64_t)from, (uint64_t)(to - from)};
}

/* Where the filesystem can't tell (or the file changes underneath), everything is data. */
static void find_holes(struct streaming *s, int fd, off_t size)
{
    off_t at = 0, data;

    s->hole_count = 0;
    while (at < size && s->hole_count < HOLES_MAX) {
        data = lseek(fd, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            data = size;
        if (data < at)
            return;
        add_hole(s, at, data < size ? data : size);
        at = data < size ? lseek(fd, data, SEEK_HOLE) : size;
        if (at <= data)
            return;
    }
}

/* The file turned out to end at `size`. */
static void clip_holes(struct streaming *s, uint64_t size)
{
    while (s->hole_count && s->holes[s->hole_count - 1].offset >= size)
        s->hole_count--;
    if (s->hole_count) {
        struct tree_hole *last = &s->holes[s->hole_count - 1];

        if (last->offset + last->len > size)
            last->len = size - last->offset;
    }
}

static uint64_t data_bytes(const struct streaming *s, uint64_t size)
{
    for (size_t i = 0; i < s->hole_count; i++)
        size -= s->holes[i].len;
    return size;
}

/* ---- cutting and putting ---- */

static enum error_kind put(struct streaming *s, size_t from, size_t len, struct error *err)
{
    store_ticket ticket;
    enum error_kind rc = store_put(s->store, CHUNK_DATA, s->group, s->bytes.data + from, len, &ticket, err);

    if (!rc)
        rc = spill_ticket_add(s->spill, ticket, err);
    if (!rc && !s->count++)
        s->first = ticket;
    return rc;
}

static enum error_kind put_cut(struct streaming *s, bool at_end, struct error *err)
{
    size_t from = 0, len;
    enum error_kind rc = OK;

    if (s->whole && !at_end)
        return OK;
    if (s->whole && s->bytes.len <= s->whole_max) {
        rc = s->bytes.len ? put(s, 0, s->bytes.len, err) : OK;
        buffer_clear(&s->bytes);
        return rc;
    }
    while (!rc && from < s->bytes.len) {
        len = cutter_next(s->cutter, s->bytes.data + from, s->bytes.len - from, at_end);
        if (!len)
            break;
        rc = put(s, from, len, err);
        from += len;
    }
    if (from)
        memmove(s->bytes.data, s->bytes.data + from, s->bytes.len - from);
    s->bytes.len -= from;
    return rc;
}

/* Read the data between `at` and `to`. *end is set where the file ends early. */
static enum error_kind read_run(struct streaming *s, int fd, uint64_t at, uint64_t to, uint64_t *end,
                                struct error *read_error, struct error *err)
{
    enum error_kind rc = OK;

    while (!rc && at < to) {
        size_t want = to - at < READ_PIECE ? (size_t)(to - at) : READ_PIECE;
        ssize_t got;

        rc = buffer_reserve(&s->bytes, want, err);
        if (rc)
            break;
        got = pread(fd, s->bytes.data + s->bytes.len, want, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            error_set(read_error, ERR_IO, errno, "reading it");
            return OK;
        }
        if (got == 0) {
            *end = at;
            return OK;
        }
        at += (uint64_t)got;
        s->bytes.len += (size_t)got;
        if (s->bytes.len >= s->cut_max)
            rc = put_cut(s, false, err);
        if (!rc)
            rc = s->tick(s->tick_arg, (size_t)got, err);
    }
    return rc;
}

/* All data outside holes. *size becomes what the file really had. */
static enum error_kind read_data(struct streaming *s, int fd, uint64_t *size, struct error *read_error,
                                 struct error *err)
{
    uint64_t at = 0, end = SPILL_NONE, until = *size;
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && end == SPILL_NONE && !read_error->kind && i <= s->hole_count; i++) {
        uint64_t to = i < s->hole_count ? s->holes[i].offset : until;

        rc = read_run(s, fd, at, to, &end, read_error, err);
        at = i < s->hole_count ? to + s->holes[i].len : to;
    }
    if (end != SPILL_NONE) {
        *size = end;
        clip_holes(s, end);
    }
    return rc || read_error->kind ? rc : put_cut(s, true, err);
}

/* ---- one file ---- */

/* What fails here is this file's matter: it is named as unread (T1). */
static void encode(struct streaming *s, int fd, const struct stat *st, const char *path, uint64_t size,
                   struct error *fault)
{
    struct tree_entry entry;

    if (walk_attributes_read_open(s->attributes, fd, st, path, &entry, fault))
        return;
    entry.size = size;
    entry.holes = s->holes;
    entry.hole_count = s->hole_count;
    buffer_clear(&s->encoded);
    (void)tree_entry_encode(&entry, &s->encoded, fault);
}

static enum error_kind stream_once(struct streaming *s, int fd, const char *path, struct streamed *out,
                                   struct error *err)
{
    struct stat st, after;
    struct stat_key key;
    uint64_t size;
    enum error_kind rc;

    if (fstat(fd, &st)) {
        error_set(&out->error, ERR_IO, errno, "looking at it");
        return OK;
    }
    size = (uint64_t)st.st_size;
    s->hole_count = 0;
    if (file_is_sparse(fd, &st))
        find_holes(s, fd, st.st_size);
    buffer_clear(&s->bytes);
    s->whole = data_bytes(s, size) <= s->whole_max;
    s->place = spill_ticket_place(s->spill);
    s->count = 0;
    rc = read_data(s, fd, &size, &out->error, err);
    if (!rc && !out->error.kind)
        encode(s, fd, &st, path, size, &out->error);
    if (rc || out->error.kind)
        return rc;
    stat_key_of(&st, &out->key);
    stat_key_of(fstat(fd, &after) ? &st : &after, &key);
    out->bytes = data_bytes(s, size);
    out->outcome = stat_key_equal(&key, &out->key) && size == (uint64_t)st.st_size ? READ_WHOLE : READ_RESTLESS;
    return OK;
}

static enum error_kind open_regular(int rootfd, const char *path, int *fd, struct error *err)
{
    struct stat st;
    enum error_kind rc = walk_open_below(rootfd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, fd, err);

    if (!rc && (fstat(*fd, &st) || !S_ISREG(st.st_mode)))
        rc = error_set(err, ERR_NOT_FOUND, 0, "it is no file any more");
    return rc;
}

enum error_kind streaming_file(struct streaming *s, int rootfd, const char *path, uint32_t group, struct streamed *out,
                               struct error *err)
{
    int fd = -1;
    enum error_kind rc = OK;

    memset(out, 0, sizeof *out);
    s->group = group;
    out->outcome = READ_STREAM;
    if (open_regular(rootfd, path, &fd, &out->error) == OK) {
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
        for (unsigned attempt = 0; !rc && attempt < READ_ATTEMPTS && out->outcome != READ_WHOLE && !out->error.kind;
             attempt++) {
            if (attempt)
                reading_pause(attempt);
            rc = stream_once(s, fd, path, out, err);
        }
    }
    file_close(&fd);
    if (out->error.kind)
        out->outcome = out->error.kind == ERR_NOT_FOUND ? READ_GONE : READ_FAILED;
    out->encoded = &s->encoded;
    out->content = s->count ? SPILL_TICKETS : SPILL_READY;
    out->count = s->count;
    out->at = s->count == 1 ? s->first : s->place;
    return rc;
}
