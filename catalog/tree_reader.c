#include "tree.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "chunk.h"
#include "file.h"
#include "tree_internal.h"

/*
 * A listing is read through a window: the whole of it when it is inline, as many parts as the next entry needs when it is
 * cut. Nothing in it is trusted (P11).
 */
struct tree_reader {
    struct catalog *cat;
    struct chunk_id id;
    uint64_t passed; /* entries handed out */
    bool parked;
    struct tree_scratch *scratch;
    struct buffer tree;   /* the object; with parts, their ids */
    struct buffer window; /* with parts: what was read and not yet handed out */
    struct buffer part;
    bool has_parts;
    uint32_t parts, next_part;
    uint32_t entries; /* inline: how many are to come */
    struct cursor at;
    unsigned char last[TREE_NAME_MAX];
    size_t last_len;
    bool first;
    bool only; /* "." was there: nothing may follow */
};

static enum error_kind damaged(struct error *err, const char *what)
{
    return error_set(err, ERR_CORRUPT, 0, "a tree %s", what);
}

static enum error_kind parse_head(struct tree_reader *r, struct error *err)
{
    struct cursor c = cursor_over(r->tree.data, r->tree.len);
    const unsigned char *magic = cursor_bytes(&c, 4);
    unsigned form = cursor_u8(&c);
    uint32_t count = cursor_u32(&c);

    if (c.bad || memcmp(magic, TREE_MAGIC, 4) != 0 || form > TREE_FORM_PARTS)
        return damaged(err, "has no head that this version knows");
    r->has_parts = form == TREE_FORM_PARTS;
    if (r->has_parts) {
        if (count == 0 || cursor_left(&c) != (size_t)count * CHUNK_ID_LEN)
            return damaged(err, "and the number of its parts disagree");
        r->parts = count;
    } else {
        if (count > cursor_left(&c) / TREE_ENTRY_MIN)
            return damaged(err, "tells of more entries than it has bytes for");
        r->entries = count;
        r->at = c;
    }
    return OK;
}

static enum error_kind reader_new(struct tree_reader **out, struct error *err)
{
    void *memory = NULL;
    enum error_kind rc = memory_zeroed(1, sizeof(struct tree_reader), &memory, err);

    if (!rc)
        *out = memory;
    return rc;
}

/* From the beginning, with nothing passed. */
static enum error_kind set_up(struct tree_reader *r, struct error *err)
{
    r->first = true;
    r->only = false;
    r->passed = 0;
    r->next_part = 0;
    r->last_len = 0;
    r->tree = (struct buffer)BUFFER_INIT(16u << 20);
    r->part = (struct buffer)BUFFER_INIT(16u << 20);
    r->window = (struct buffer)BUFFER_INIT(2 * TREE_ENTRY_MAX + (16u << 20));
    r->at = cursor_over(NULL, 0);
    return tree_scratch_new(&r->scratch, err);
}

static enum error_kind load(struct tree_reader *r, struct error *err)
{
    enum error_kind rc = set_up(r, err);

    if (!rc)
        rc = chunk_read(r->cat, &r->id, CHUNK_TREE, &r->tree, err);
    return rc ? rc : parse_head(r, err);
}

enum error_kind tree_reader_open(struct catalog *cat, const struct chunk_id *tree, struct tree_reader **out,
                                 struct error *err)
{
    struct tree_reader *r = NULL;
    enum error_kind rc = reader_new(&r, err);

    if (rc)
        return rc;
    r->cat = cat;
    r->id = *tree;
    rc = load(r, err);
    if (rc) {
        tree_reader_close(r);
        return rc;
    }
    *out = r;
    return OK;
}

enum error_kind tree_reader_over(const void *bytes, size_t len, struct tree_reader **out, struct error *err)
{
    struct tree_reader *r = NULL;
    enum error_kind rc = reader_new(&r, err);

    if (rc)
        return rc;
    rc = set_up(r, err);
    if (!rc)
        rc = buffer_append(&r->tree, bytes, len, err);
    if (!rc)
        rc = parse_head(r, err);
    if (!rc && r->has_parts)
        rc = damaged(err, "in parts cannot be read from memory");
    if (rc) {
        tree_reader_close(r);
        return rc;
    }
    *out = r;
    return OK;
}

static void let_go(struct tree_reader *r)
{
    tree_scratch_free(r->scratch);
    r->scratch = NULL;
    buffer_release(&r->tree);
    buffer_release(&r->window);
    buffer_release(&r->part);
}

void tree_reader_close(struct tree_reader *r)
{
    if (!r)
        return;
    let_go(r);
    free(r);
}

size_t tree_reader_memory(const struct tree_reader *r)
{
    return sizeof(*r) + r->tree.cap + r->window.cap + r->part.cap;
}

void tree_reader_park(struct tree_reader *r)
{
    assert(r->cat);
    let_go(r);
    r->parked = true;
}

uint32_t tree_reader_parts(const struct tree_reader *r)
{
    return r->parts;
}

void tree_reader_part(const struct tree_reader *r, uint32_t i, struct chunk_id *out)
{
    assert(i < r->parts);
    chunk_id_decode(r->tree.data + TREE_HEAD_LEN + (size_t)i * CHUNK_ID_LEN, out);
}

/* Make the window longer: at least double what is in it, so that an entry over many small parts is not decoded once a part. */
static enum error_kind widen(struct tree_reader *r, struct error *err)
{
    size_t left = cursor_left(&r->at);
    size_t want = 2 * left + 1;
    enum error_kind rc = OK;

    if (left > 0)
        memmove(r->window.data, r->at.at, left);
    r->window.len = left;
    while (!rc && r->next_part < r->parts && r->window.len < want) {
        struct chunk_id id;

        tree_reader_part(r, r->next_part, &id);
        rc = chunk_read(r->cat, &id, CHUNK_PART, &r->part, err);
        if (!rc)
            rc = buffer_append(&r->window, r->part.data, r->part.len, err);
        r->next_part++;
    }
    r->at = cursor_over(r->window.data, r->window.len);
    return rc;
}

/* The name, and a cursor behind it; the name stays in the window. */
static enum error_kind parse_name(struct tree_reader *r, struct cursor *c, const unsigned char **name, size_t *len,
                                  struct error *err)
{
    size_t name_len = cursor_u16(c);
    const unsigned char *bytes = cursor_bytes(c, name_len);
    size_t common = name_len < r->last_len ? name_len : r->last_len;
    int order;

    if (!bytes)
        return OK;
    if (r->only)
        return damaged(err, "holds more than the entry of a root");
    if (!(r->first && name_len == 1 && bytes[0] == '.') && tree_name_check(bytes, name_len, err) != OK)
        return ERR_CORRUPT;
    order = r->first ? -1 : memcmp(r->last, bytes, common);
    if (order > 0 || (order == 0 && r->last_len >= name_len))
        return damaged(err, "holds names that are not in order");
    *name = bytes;
    *len = name_len;
    return OK;
}

static enum error_kind parse_next(struct tree_reader *r, struct tree_entry *out, const void **encoded, size_t *len,
                                  bool *short_of_bytes, struct error *err)
{
    struct cursor c = r->at;
    const unsigned char *name = NULL;
    const unsigned char *from;
    size_t name_len = 0;
    enum error_kind rc = parse_name(r, &c, &name, &name_len, err);

    *short_of_bytes = true;
    if (rc || c.bad)
        return rc;
    from = c.at;
    rc = tree_entry_parse(r->scratch, &c, out, err);
    if (rc || c.bad)
        return rc;
    *short_of_bytes = false;
    *encoded = from;
    *len = (size_t)(c.at - from);
    out->name = name;
    out->name_len = name_len;
    memcpy(r->last, name, name_len);
    r->last_len = name_len;
    r->only = r->first && name_len == 1 && name[0] == '.';
    r->first = false;
    r->at = c;
    return OK;
}

static bool at_end(const struct tree_reader *r)
{
    return r->has_parts ? r->next_part == r->parts && cursor_left(&r->at) == 0 : r->entries == 0;
}

static enum error_kind next_entry(struct tree_reader *r, struct tree_entry *out, const void **encoded, size_t *len,
                                  bool *more, struct error *err)
{
    bool short_of_bytes = false;
    enum error_kind rc;

    *more = false;
    if (at_end(r))
        return cursor_left(&r->at) > 0 ? damaged(err, "has bytes after its last entry") : OK;
    for (;;) {
        rc = parse_next(r, out, encoded, len, &short_of_bytes, err);
        if (rc)
            return rc;
        if (!short_of_bytes)
            break;
        if (r->next_part == r->parts)
            return damaged(err, "ends in the middle of an entry");
        rc = widen(r, err);
        if (rc)
            return rc;
    }
    if (!r->has_parts)
        r->entries--;
    r->passed++;
    *more = true;
    return OK;
}

/* Read the tree again, and pass what was passed before. */
static enum error_kind come_back(struct tree_reader *r, struct error *err)
{
    uint64_t passed = r->passed;
    const void *encoded = NULL;
    struct tree_entry e;
    size_t len = 0;
    bool more = true;
    enum error_kind rc;

    let_go(r);
    rc = load(r, err);
    while (!rc && more && r->passed < passed)
        rc = next_entry(r, &e, &encoded, &len, &more, err);
    if (!rc)
        r->parked = false;
    return rc;
}

enum error_kind tree_reader_next_encoded(struct tree_reader *r, struct tree_entry *out, const void **encoded,
                                         size_t *len, bool *more, struct error *err)
{
    enum error_kind rc = r->parked ? come_back(r, err) : OK;

    return rc ? rc : next_entry(r, out, encoded, len, more, err);
}

enum error_kind tree_reader_next(struct tree_reader *r, struct tree_entry *out, bool *more, struct error *err)
{
    const void *encoded = NULL;
    size_t len = 0;

    return tree_reader_next_encoded(r, out, &encoded, &len, more, err);
}

/* ---- looking up one path ---- */

/*
 * Find `name` in a tree.
 *
 * id     the tree; replaced by the subtree when the entry is a directory
 * out    the encoded entry
 */
static enum error_kind look_into(struct catalog *cat, struct chunk_id *id, const char *name, size_t len,
                                 struct buffer *out, bool *directory, struct error *err)
{
    struct tree_reader *r = NULL;
    struct tree_entry e;
    const void *encoded = NULL;
    size_t encoded_len = 0;
    bool more = false;
    enum error_kind rc = tree_reader_open(cat, id, &r, err);

    if (rc)
        return rc;
    do {
        rc = tree_reader_next_encoded(r, &e, &encoded, &encoded_len, &more, err);
    } while (!rc && more && !(e.name_len == len && memcmp(e.name, name, len) == 0));
    if (!rc && !more)
        rc = error_set(err, ERR_NOT_FOUND, 0, "no entry of that name");
    if (!rc) {
        buffer_clear(out);
        *directory = e.type == TREE_DIRECTORY;
        *id = e.tree;
        rc = buffer_append(out, encoded, encoded_len, err);
    }
    tree_reader_close(r);
    return rc;
}

enum error_kind tree_lookup(struct catalog *cat, const struct chunk_id *root, const char *path, struct buffer *out,
                            struct error *err)
{
    struct chunk_id id = *root;
    const char *at = path;
    bool directory = false;
    enum error_kind rc = look_into(cat, &id, ".", 1, out, &directory, err);

    while (!rc && *at) {
        size_t len = strcspn(at, "/");

        if (!directory)
            rc = error_set(err, ERR_NOT_FOUND, 0, "no entry of that name");
        else if (len > 0)
            rc = look_into(cat, &id, at, len, out, &directory, err);
        at += len;
        at += *at == '/';
    }
    if (rc)
        error_context(err, "%s", path[0] ? path : "the root");
    return rc;
}
