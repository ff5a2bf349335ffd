#include "spill_internal.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "unnamed_file.h"

#define SEGMENT_HEAD 16 /* next segment u64, length of this one u64 */
#define DIRECTORY_SIZE 32
#define ENTRY_MAX (9u << 20) /* an encoded entry is at most 8 MiB (catalog) */
#define WINDOW (16u << 10)
#define FIRST_READ (4u << 10)    /* most listings are shorter */
#define LISTING_ROOM (64u << 10) /* of an open directory, in memory */
#define LISTING_ROOM_DEEP (1u << 10)
#define DEEP 64
#define TICKETS_BATCH 1024
#define TAIL_SIZE (256u << 10)       /* of the entries: one write for many listings */
#define DIRECTORIES_KEPT (32u << 10) /* in memory: those of any but the largest sites */

struct level {
    struct spill_listing listing;
    uint64_t number;
    unsigned height;
};

struct spill {
    int entries; /* descriptors */
    int directories;
    int tickets;
    uint64_t entries_filed; /* in the file; what follows waits in tail */
    struct buffer tail;
    unsigned char *kept; /* the first directories */
    uint64_t directory_count;
    uint64_t ticket_count;
    store_ticket waiting[TICKETS_BATCH]; /* not in the file yet */
    size_t waiting_count;
    struct level *levels;
    size_t depth, cap;
    uint64_t *chains; /* first directory of each height */
    unsigned heights;
};

static const char shown[] = "a temporary file";

enum error_kind spill_new(const char *folder, struct spill **out, struct error *err)
{
    void *memory = NULL;
    struct spill *s;
    struct spill_entry none = {.name = NULL};
    enum error_kind rc = memory_zeroed(1, sizeof *s, &memory, err);

    if (rc)
        return rc;
    s = memory;
    s->entries = s->directories = s->tickets = -1;
    s->tail.max = TAIL_SIZE + 2 * ENTRY_MAX;
    memory = NULL;
    rc = memory_allocate((size_t)DIRECTORIES_KEPT * DIRECTORY_SIZE, &memory, err);
    s->kept = memory;
    if (!rc)
        rc = unnamed_file_open(AT_FDCWD, folder, &s->entries, err);
    if (!rc)
        rc = unnamed_file_open(AT_FDCWD, folder, &s->directories, err);
    if (!rc)
        rc = unnamed_file_open(AT_FDCWD, folder, &s->tickets, err);
    if (!rc)
        rc = spill_enter(s, &none, err); /* the holder (S3) */
    if (rc) {
        spill_free(s);
        return rc;
    }
    *out = s;
    return OK;
}

void spill_free(struct spill *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->cap; i++)
        buffer_release(&s->levels[i].listing.bytes);
    free(s->levels);
    free(s->chains);
    free(s->kept);
    buffer_release(&s->tail);
    file_close(&s->entries);
    file_close(&s->directories);
    file_close(&s->tickets);
    free(s);
}

/* ---- entries as bytes: they never leave this process, so they are in its own byte order ---- */

struct entry_head {
    struct stat_key key;
    uint64_t at;
    uint32_t count;
    uint32_t len;
    uint16_t name_len;
    uint8_t content;
    uint8_t cacheable;
};

static enum error_kind append_entry(struct buffer *out, const struct spill_entry *e, struct error *err)
{
    struct entry_head head;
    enum error_kind rc = buffer_reserve(out, sizeof head + e->name_len + e->len, err);

    if (rc)
        return rc;
    memset(&head, 0, sizeof head); /* no uninitialised padding in a file */
    head.key = e->key;
    head.at = e->at;
    head.count = e->count;
    head.len = (uint32_t)e->len;
    head.name_len = (uint16_t)e->name_len;
    head.content = (uint8_t)e->content;
    head.cacheable = e->cacheable;
    rc = buffer_append(out, &head, sizeof head, err);
    if (!rc)
        rc = buffer_append(out, e->name, e->name_len, err);
    if (!rc)
        rc = buffer_append(out, e->encoded, e->len, err);
    return rc;
}

/* ---- the entries' file, whose end waits in memory ---- */

static uint64_t entries_len(const struct spill *s)
{
    return s->entries_filed + s->tail.len;
}

static enum error_kind tail_flush(struct spill *s, struct error *err)
{
    enum error_kind rc = file_write_at(s->entries, s->tail.data, s->tail.len, s->entries_filed, shown, err);

    if (rc)
        return rc;
    s->entries_filed += s->tail.len;
    buffer_clear(&s->tail);
    if (s->tail.cap > 4 * TAIL_SIZE) /* an entry with many holes has passed */
        buffer_release(&s->tail);
    return OK;
}

/* Change what was appended. It lies on one side of the border as a whole, since the border is between two segments. */
static enum error_kind entries_patch(struct spill *s, const void *bytes, size_t len, uint64_t place, struct error *err)
{
    if (place < s->entries_filed)
        return file_write_at(s->entries, bytes, len, place, shown, err);
    memcpy(s->tail.data + (place - s->entries_filed), bytes, len);
    return OK;
}

/* Up to len bytes, which lie within one segment and perhaps beyond: *got says how many there were on this side of the border. */
static enum error_kind entries_read(struct spill *s, void *bytes, size_t len, uint64_t place, size_t *got,
                                    struct error *err)
{
    uint64_t end = place < s->entries_filed ? s->entries_filed : entries_len(s);

    if (place >= end)
        return error_set(err, ERR_CORRUPT, 0, "%s is shorter than what was written", shown);
    if (len > end - place)
        len = (size_t)(end - place);
    *got = len;
    if (place < s->entries_filed)
        return file_read_at(s->entries, bytes, len, place, shown, err);
    memcpy(bytes, s->tail.data + (place - s->entries_filed), len);
    return OK;
}

/* ---- listings ---- */

void spill_listing_begin(struct spill_listing *l)
{
    l->bytes.max = 2 * ENTRY_MAX;
    buffer_clear(&l->bytes);
    l->first = l->last = SPILL_NONE;
    l->pending = false;
}

/* What waits becomes a segment, and the one before it learns where it is. */
static enum error_kind write_segment(struct spill *s, struct spill_listing *l, struct error *err)
{
    unsigned char head[SEGMENT_HEAD], link[8];
    uint64_t place = entries_len(s);
    enum error_kind rc;

    if (!l->bytes.len)
        return OK;
    put_u64(head, SPILL_NONE);
    put_u64(head + 8, l->bytes.len);
    rc = buffer_append(&s->tail, head, sizeof head, err);
    if (!rc)
        rc = buffer_append(&s->tail, l->bytes.data, l->bytes.len, err);
    if (!rc && l->last != SPILL_NONE) {
        put_u64(link, place);
        rc = entries_patch(s, link, sizeof link, l->last, err);
    }
    if (!rc && s->tail.len >= TAIL_SIZE)
        rc = tail_flush(s, err);
    if (rc)
        return rc;
    l->first = l->first == SPILL_NONE ? place : l->first;
    l->last = place;
    buffer_clear(&l->bytes);
    return OK;
}

enum error_kind spill_listing_add(struct spill *s, struct spill_listing *l, const struct spill_entry *entry,
                                  size_t room, struct error *err)
{
    enum error_kind rc = append_entry(&l->bytes, entry, err);

    l->pending |= entry->content != SPILL_READY;
    if (!rc && l->bytes.len > room)
        rc = write_segment(s, l, err);
    return rc;
}

enum error_kind spill_listing_end(struct spill *s, struct spill_listing *l, struct error *err)
{
    return write_segment(s, l, err);
}

void spill_cursor_open(struct spill_cursor *c, uint64_t first_segment)
{
    c->at = c->end = 0;
    c->next = first_segment;
    c->window.max = ENTRY_MAX + WINDOW;
    buffer_clear(&c->window);
    c->used = 0;
}

void spill_cursor_rest(struct spill_cursor *c)
{
    c->at -= c->window.len - c->used;
    c->used = 0;
    buffer_release(&c->window);
}

/* Have `want` bytes in the window, behind what was used. They are there: entries never straddle segments. */
static enum error_kind cursor_fill(struct spill *s, struct spill_cursor *c, size_t want, struct error *err)
{
    size_t left = c->window.len - c->used, more, got = 0;
    enum error_kind rc;

    if (left >= want)
        return OK;
    if (left)
        memmove(c->window.data, c->window.data + c->used, left);
    c->window.len = left;
    c->used = 0;
    more = want - left > WINDOW ? want - left : WINDOW;
    if (more > c->end - c->at)
        more = (size_t)(c->end - c->at);
    if (left + more < want)
        return error_set(err, ERR_CORRUPT, 0, "%s is shorter than what was written", shown);
    rc = buffer_reserve(&c->window, more, err);
    if (!rc)
        rc = entries_read(s, c->window.data + left, more, c->at, &got, err);
    if (!rc && got < more)
        rc = error_set(err, ERR_CORRUPT, 0, "%s is shorter than what was written", shown);
    if (!rc) {
        c->window.len += more;
        c->at += more;
    }
    return rc;
}

/* A segment's head, and with the same read what follows of it, up to the window. */
static enum error_kind next_segment(struct spill *s, struct spill_cursor *c, struct error *err)
{
    uint64_t place = c->next, len;
    size_t got = 0;
    enum error_kind rc;

    c->used = 0;
    buffer_clear(&c->window);
    rc = buffer_reserve(&c->window, SEGMENT_HEAD + FIRST_READ, err);
    if (!rc)
        rc = entries_read(s, c->window.data, SEGMENT_HEAD + FIRST_READ, place, &got, err);
    if (!rc && got < SEGMENT_HEAD)
        rc = error_set(err, ERR_CORRUPT, 0, "%s is shorter than what was written", shown);
    if (rc)
        return rc;
    c->next = get_u64(c->window.data);
    len = get_u64(c->window.data + 8);
    c->end = place + SEGMENT_HEAD + len;
    c->used = SEGMENT_HEAD;
    c->window.len = got - SEGMENT_HEAD < len ? got : SEGMENT_HEAD + (size_t)len;
    c->at = place + c->window.len;
    return OK;
}

enum error_kind spill_cursor_next(struct spill *s, struct spill_cursor *c, struct spill_entry *out, bool *more,
                                  struct error *err)
{
    struct entry_head head;
    enum error_kind rc = OK;

    *more = false;
    if (c->used == c->window.len && c->at == c->end) {
        if (c->next == SPILL_NONE)
            return OK;
        rc = next_segment(s, c, err);
    }
    if (!rc)
        rc = cursor_fill(s, c, sizeof head, err);
    if (rc)
        return rc;
    memcpy(&head, c->window.data + c->used, sizeof head);
    rc = cursor_fill(s, c, sizeof head + head.name_len + head.len, err);
    if (rc)
        return rc;
    out->name = c->window.data + c->used + sizeof head;
    out->name_len = head.name_len;
    out->key = head.key;
    out->cacheable = head.cacheable;
    out->content = head.content;
    out->at = head.at;
    out->count = head.count;
    out->encoded = (const unsigned char *)out->name + head.name_len;
    out->len = head.len;
    c->used += sizeof head + head.name_len + head.len;
    *more = true;
    return OK;
}

/* ---- directories ---- */

enum error_kind spill_directory_get(struct spill *s, uint64_t number, struct spill_directory *out, struct error *err)
{
    unsigned char filed[DIRECTORY_SIZE];
    const unsigned char *bytes = filed;
    enum error_kind rc = OK;

    if (number < DIRECTORIES_KEPT)
        bytes = s->kept + number * DIRECTORY_SIZE;
    else
        rc = file_read_at(s->directories, filed, sizeof filed, number * DIRECTORY_SIZE, shown, err);
    if (rc)
        return rc;
    out->first = get_u64(bytes);
    out->next = get_u64(bytes + 8);
    out->ticket = get_u64(bytes + 16);
    out->pending = get_u64(bytes + 24);
    return OK;
}

enum error_kind spill_directory_put(struct spill *s, uint64_t number, const struct spill_directory *d,
                                    struct error *err)
{
    unsigned char filed[DIRECTORY_SIZE];
    unsigned char *bytes = number < DIRECTORIES_KEPT ? s->kept + number * DIRECTORY_SIZE : filed;

    put_u64(bytes, d->first);
    put_u64(bytes + 8, d->next);
    put_u64(bytes + 16, d->ticket);
    put_u64(bytes + 24, d->pending);
    if (bytes != filed)
        return OK;
    return file_write_at(s->directories, filed, sizeof filed, number * DIRECTORY_SIZE, shown, err);
}

static enum error_kind push_level(struct spill *s, struct error *err)
{
    struct level *l;

    if (s->depth == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 16;
        struct level *levels = realloc(s->levels, cap * sizeof *levels);

        if (!levels)
            return error_set(err, ERR_MEMORY, 0, "no memory for a tree so deep");
        memset(levels + s->cap, 0, (cap - s->cap) * sizeof *levels);
        s->levels = levels;
        s->cap = cap;
    }
    l = &s->levels[s->depth++];
    spill_listing_begin(&l->listing);
    l->number = s->directory_count++;
    l->height = 0;
    return OK;
}

static enum error_kind add_to_level(struct spill *s, const struct spill_entry *entry, struct error *err)
{
    size_t room = s->depth > DEEP ? LISTING_ROOM_DEEP : LISTING_ROOM;

    assert(s->depth);
    return spill_listing_add(s, &s->levels[s->depth - 1].listing, entry, room, err);
}

enum error_kind spill_enter(struct spill *s, struct spill_entry *entry, struct error *err)
{
    enum error_kind rc = OK;

    if (s->depth) {
        entry->content = SPILL_DIRECTORY;
        entry->at = s->directory_count;
        entry->count = 0;
        rc = add_to_level(s, entry, err);
    }
    return rc ? rc : push_level(s, err);
}

enum error_kind spill_add(struct spill *s, const struct spill_entry *entry, struct error *err)
{
    return add_to_level(s, entry, err);
}

static enum error_kind chain(struct spill *s, unsigned height, uint64_t number, uint64_t *next, struct error *err)
{
    if (height >= s->heights) {
        uint64_t *chains = realloc(s->chains, (height + 1) * sizeof *chains);

        if (!chains)
            return error_set(err, ERR_MEMORY, 0, "no memory for a tree so deep");
        s->chains = chains;
        while (s->heights <= height)
            s->chains[s->heights++] = SPILL_NONE;
    }
    *next = s->chains[height];
    s->chains[height] = number;
    return OK;
}

static enum error_kind close_level(struct spill *s, struct error *err)
{
    struct level *l = &s->levels[s->depth - 1];
    struct spill_directory d = {.ticket = SPILL_NONE};
    enum error_kind rc = spill_listing_end(s, &l->listing, err);

    if (!rc)
        rc = chain(s, l->height, l->number, &d.next, err);
    d.first = l->listing.first;
    d.pending = l->listing.pending;
    if (!rc)
        rc = spill_directory_put(s, l->number, &d, err);
    if (s->depth > DEEP)
        buffer_release(&l->listing.bytes);
    s->depth--;
    if (s->depth && s->levels[s->depth - 1].height <= l->height)
        s->levels[s->depth - 1].height = l->height + 1; /* S2 */
    return rc;
}

enum error_kind spill_leave(struct spill *s, struct error *err)
{
    enum error_kind rc = close_level(s, err);

    if (!rc && s->depth == 1) /* the root is done, and with it the holder */
        rc = close_level(s, err);
    return rc;
}

unsigned spill_heights(const struct spill *s)
{
    return s->heights;
}

uint64_t spill_chain(const struct spill *s, unsigned height)
{
    return s->chains[height];
}

/* ---- tickets ---- */

uint64_t spill_ticket_place(const struct spill *s)
{
    return s->ticket_count;
}

enum error_kind spill_ticket_add(struct spill *s, store_ticket ticket, struct error *err)
{
    enum error_kind rc = OK;

    s->waiting[s->waiting_count++] = ticket;
    s->ticket_count++;
    if (s->waiting_count == TICKETS_BATCH) {
        rc = file_write_at(s->tickets, s->waiting, sizeof s->waiting, (s->ticket_count - TICKETS_BATCH) * sizeof ticket,
                           shown, err);
        s->waiting_count = 0;
    }
    return rc;
}

enum error_kind spill_ticket_get(struct spill *s, uint64_t place, uint32_t n, store_ticket *out, struct error *err)
{
    uint64_t filed = s->ticket_count - s->waiting_count;

    place += n;
    assert(place < s->ticket_count);
    if (place >= filed) {
        *out = s->waiting[place - filed];
        return OK;
    }
    return file_read_at(s->tickets, out, sizeof *out, place * sizeof *out, shown, err);
}
