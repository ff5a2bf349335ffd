#include <stdlib.h>
#include <string.h>

#include "chunk.h"
#include "file.h"
#include "links_internal.h"
#include "record.h"

#define LINKS_GROUP 0xffffff03u
#define LINKS_HEAD_LEN 9 /* magic, flags u8, group count u32 */
#define LINKS_CHUNK (1u << 20)
#define LINK_PATH_MAX (1u << 20)

struct links_builder {
    struct store *store;
    struct buffer body;
    uint32_t groups; /* in body */
    bool continues;  /* body's first group belongs to the group before */
    store_ticket *tickets;
    size_t count, cap;
};

enum error_kind links_builder_new(struct store *store, struct links_builder **out, struct error *err)
{
    void *memory = NULL;
    enum error_kind rc = memory_zeroed(1, sizeof(struct links_builder), &memory, err);

    if (rc)
        return rc;
    *out = memory;
    (*out)->store = store;
    (*out)->body = (struct buffer)BUFFER_INIT(2 * LINKS_CHUNK + LINK_PATH_MAX);
    return OK;
}

void links_builder_free(struct links_builder *b)
{
    if (!b)
        return;
    buffer_release(&b->body);
    free(b->tickets);
    free(b);
}

static enum error_kind put_links(struct links_builder *b, struct error *err)
{
    struct buffer chunk = BUFFER_INIT(4 * LINKS_CHUNK);
    enum error_kind rc;

    if (b->count == b->cap) {
        size_t cap = b->cap ? 2 * b->cap : 8;
        store_ticket *grown = reallocarray(b->tickets, cap, sizeof(*grown));

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory: %zu chunks of links", cap);
        b->tickets = grown;
        b->cap = cap;
    }
    rc = buffer_append(&chunk, LINKS_MAGIC, 4, err);
    if (!rc)
        rc = buffer_append_u8(&chunk, b->continues ? LINKS_CONTINUES : 0, err);
    if (!rc)
        rc = buffer_append_u32(&chunk, b->groups, err);
    if (!rc)
        rc = buffer_append(&chunk, b->body.data, b->body.len, err);
    if (!rc)
        rc = store_put(b->store, CHUNK_LINKS, LINKS_GROUP, chunk.data, chunk.len, &b->tickets[b->count], err);
    if (!rc)
        b->count++;
    buffer_clear(&b->body);
    b->groups = 0;
    buffer_release(&chunk);
    return rc;
}

enum error_kind links_builder_group(struct links_builder *b, const unsigned char *root, const char *const *paths,
                                    size_t count, struct error *err)
{
    size_t head = b->body.len;
    uint32_t here = 0;
    enum error_kind rc = buffer_append_u32(&b->body, 0, err);

    b->groups++;
    for (size_t i = 0; !rc && i < count; i++) {
        size_t len = strlen(paths[i]);

        if (len > LINK_PATH_MAX)
            return error_set(err, ERR_REFUSED, 0, "a path has %zu bytes", len);
        rc = buffer_append_u8(&b->body, root[i], err);
        if (!rc)
            rc = buffer_append_u32(&b->body, (uint32_t)len, err);
        if (!rc)
            rc = buffer_append(&b->body, paths[i], len, err);
        if (rc)
            break;
        put_u32(b->body.data + head, ++here);
        if (b->body.len < LINKS_CHUNK)
            continue;
        rc = put_links(b, err);
        b->continues = i + 1 < count; /* the rest of this group opens the next chunk */
        if (rc || !b->continues)
            return rc;
        head = 0;
        here = 0;
        b->groups = 1;
        rc = buffer_append_u32(&b->body, 0, err);
    }
    return rc;
}

enum error_kind links_builder_end(struct links_builder *b, struct snapshot_record *record, struct error *err)
{
    struct chunk_id *grown;
    enum error_kind rc = OK;

    if (b->groups > 0)
        rc = put_links(b, err);
    if (rc || b->count == 0)
        return rc;
    rc = store_claim(b->store, err);
    if (rc)
        return rc;
    grown = reallocarray(record->links, record->link_count + b->count, sizeof(*grown));
    if (!grown)
        return error_set(err, ERR_MEMORY, 0, "out of memory: %zu chunks of links", b->count);
    record->links = grown;
    for (size_t i = 0; !rc && i < b->count; i++) {
        rc = store_resolve(b->store, b->tickets[i], &record->links[record->link_count], err);
        if (!rc)
            record->link_count++;
    }
    b->count = 0;
    b->continues = false;
    return rc;
}

/* ---- reading ---- */

static enum error_kind damaged(struct error *err)
{
    return error_set(err, ERR_CORRUPT, 0, "a list of hard links is damaged");
}

/* One group. first: whether its first path begins a group. */
static enum error_kind parse_group(struct cursor *c, bool first, unsigned roots, struct buffer *path, links_fn *fn,
                                   void *arg, struct error *err)
{
    uint32_t count = cursor_u32(c);
    enum error_kind rc = OK;

    if (c->bad || count == 0)
        return damaged(err);
    for (uint32_t i = 0; !rc && i < count; i++) {
        unsigned root = cursor_u8(c);
        size_t len = cursor_u32(c);
        const unsigned char *bytes = cursor_bytes(c, len);

        if (!bytes || len > LINK_PATH_MAX || root >= roots || memchr(bytes, '\0', len))
            return damaged(err);
        buffer_clear(path);
        rc = buffer_append(path, bytes, len, err);
        if (rc)
            return rc;
        if (!path_is_safe_relative((const char *)path->data))
            return damaged(err);
        rc = fn(arg, first && i == 0, root, (const char *)path->data, err);
    }
    return rc;
}

enum error_kind links_parse(const void *bytes, size_t len, bool first_chunk, unsigned roots, links_fn *fn, void *arg,
                            struct error *err)
{
    struct buffer path = BUFFER_INIT(LINK_PATH_MAX);
    struct cursor c = cursor_over(bytes, len);
    const unsigned char *magic = cursor_bytes(&c, 4);
    unsigned flags = cursor_u8(&c);
    uint32_t groups = cursor_u32(&c);
    enum error_kind rc = OK;

    if (c.bad || memcmp(magic, LINKS_MAGIC, 4) != 0 || flags > LINKS_CONTINUES ||
        (first_chunk && (flags & LINKS_CONTINUES)))
        return damaged(err);
    for (uint32_t i = 0; !rc && i < groups; i++)
        rc = parse_group(&c, i > 0 || !(flags & LINKS_CONTINUES), roots, &path, fn, arg, err);
    if (!rc && cursor_left(&c) > 0)
        rc = damaged(err);
    buffer_release(&path);
    return rc;
}

enum error_kind links_each(struct catalog *cat, const struct snapshot_record *record, links_fn *fn, void *arg,
                           struct error *err)
{
    struct buffer bytes = BUFFER_INIT(16u << 20);
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < record->link_count; i++) {
        rc = chunk_read(cat, &record->links[i], CHUNK_LINKS, &bytes, err);
        if (!rc)
            rc = links_parse(bytes.data, bytes.len, i == 0, (unsigned)record->root_count, fn, arg, err);
    }
    buffer_release(&bytes);
    return rc;
}
