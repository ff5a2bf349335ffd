#include "tree.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "tree_internal.h"

#define PARTS_MAX 400000u /* ids that fit into one chunk of 8 MiB */

/*
 * T1  entries come sorted by name, bytewise, none twice: equal directories have equal bytes
 * T2  whether a listing is cut, and where, depends on its bytes alone
 */
struct tree_builder {
    struct store *store;
    struct cutter *cutter;
    struct buffer pending; /* encoded entries that no part holds yet */
    bool cut;              /* the listing passed TREE_INLINE_MAX (T2) */
    store_ticket *parts;
    size_t part_count, part_cap;
    uint32_t count;
    unsigned char last[TREE_NAME_MAX];
    size_t last_len;
};

enum error_kind tree_builder_new(struct store *store, struct tree_builder **out, struct error *err)
{
    struct tree_builder *b = NULL;
    void *memory = NULL;
    enum error_kind rc = memory_zeroed(1, sizeof(*b), &memory, err);

    if (rc)
        return rc;
    b = memory;
    b->store = store;
    b->pending = (struct buffer)BUFFER_INIT(TREE_INLINE_MAX + TREE_ENTRY_MAX + 2 * TREE_NAME_MAX);
    rc = cutter_new(catalog_format(store_catalog(store)), &b->cutter, err);
    if (rc) {
        tree_builder_free(b);
        return rc;
    }
    *out = b;
    return OK;
}

void tree_builder_free(struct tree_builder *b)
{
    if (!b)
        return;
    cutter_free(b->cutter);
    buffer_release(&b->pending);
    free(b->parts);
    free(b);
}

static void empty(struct tree_builder *b)
{
    buffer_clear(&b->pending);
    b->cut = false;
    b->part_count = 0;
    b->count = 0;
    b->last_len = 0;
}

static enum error_kind put_part(struct tree_builder *b, size_t from, size_t len, struct error *err)
{
    enum error_kind rc;

    if (b->part_count == PARTS_MAX)
        return error_set(err, ERR_REFUSED, 0, "a directory's listing is too long");
    if (b->part_count == b->part_cap) {
        size_t cap = b->part_cap ? 2 * b->part_cap : 64;
        store_ticket *grown = reallocarray(b->parts, cap, sizeof(*grown));

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory: %zu parts of a listing", cap);
        b->parts = grown;
        b->part_cap = cap;
    }
    rc = store_put(b->store, CHUNK_PART, TREE_GROUP, b->pending.data + from, len, &b->parts[b->part_count], err);
    if (!rc)
        b->part_count++;
    return rc;
}

static enum error_kind put_parts(struct tree_builder *b, bool at_end, struct error *err)
{
    size_t from = 0;
    enum error_kind rc = OK;

    while (!rc && from < b->pending.len) {
        size_t len = cutter_next(b->cutter, b->pending.data + from, b->pending.len - from, at_end);

        if (len == 0)
            break;
        rc = put_part(b, from, len, err);
        from += len;
    }
    if (rc || from == 0)
        return rc;
    memmove(b->pending.data, b->pending.data + from, b->pending.len - from);
    b->pending.len -= from;
    return OK;
}

/* A name in its place (T1): the caller's order is part of the format, so a wrong one is refused, not sorted away. */
static enum error_kind append_name(struct tree_builder *b, const unsigned char *name, size_t len, struct error *err)
{
    bool dot = len == 1 && name[0] == '.';
    size_t common = len < b->last_len ? len : b->last_len;
    int order;
    enum error_kind rc;

    if (dot ? b->count > 0 : tree_name_check(name, len, err) != OK || (b->last_len == 1 && b->last[0] == '.'))
        return error_set(err, ERR_REFUSED, 0, "a name cannot be in a tree");
    order = b->count > 0 ? memcmp(b->last, name, common) : -1;
    if (order > 0 || (order == 0 && b->last_len >= len) || b->count == UINT32_MAX)
        return error_set(err, ERR_REFUSED, 0, "names of a directory do not come in order");
    rc = buffer_append_u16(&b->pending, (uint16_t)len, err);
    if (!rc)
        rc = buffer_append(&b->pending, name, len, err);
    if (!rc) {
        memcpy(b->last, name, len);
        b->last_len = len;
        b->count++;
    }
    return rc;
}

static enum error_kind after_entry(struct tree_builder *b, struct error *err)
{
    if (b->pending.len <= TREE_INLINE_MAX)
        return OK;
    b->cut = true;
    return put_parts(b, false, err);
}

enum error_kind tree_builder_add(struct tree_builder *b, const struct tree_entry *entry, struct error *err)
{
    enum error_kind rc = append_name(b, entry->name, entry->name_len, err);

    if (!rc)
        rc = tree_entry_encode(entry, &b->pending, err);
    return rc ? rc : after_entry(b, err);
}

enum error_kind tree_builder_add_encoded(struct tree_builder *b, const void *name, size_t name_len, const void *encoded,
                                         size_t len, struct error *err)
{
    enum error_kind rc;

    assert(len + 3 >= TREE_ENTRY_MIN && len <= TREE_ENTRY_MAX);
    rc = append_name(b, name, name_len, err);
    if (!rc)
        rc = buffer_append(&b->pending, encoded, len, err);
    return rc ? rc : after_entry(b, err);
}

static enum error_kind append_head(struct buffer *out, enum tree_form form, uint32_t count, struct error *err)
{
    enum error_kind rc = buffer_append(out, TREE_MAGIC, 4, err);

    if (!rc)
        rc = buffer_append_u8(out, (uint8_t)form, err);
    return rc ? rc : buffer_append_u32(out, count, err);
}

static enum error_kind append_parts(struct tree_builder *b, struct buffer *out, struct error *err)
{
    enum error_kind rc = store_claim(b->store, err); /* the parts' ids */

    for (size_t i = 0; !rc && i < b->part_count; i++) {
        unsigned char bytes[CHUNK_ID_LEN];
        struct chunk_id id;

        rc = store_resolve(b->store, b->parts[i], &id, err);
        if (rc)
            break;
        chunk_id_encode(&id, bytes);
        rc = buffer_append(out, bytes, sizeof(bytes), err);
    }
    return rc;
}

enum error_kind tree_builder_end(struct tree_builder *b, store_ticket *ticket, struct error *err)
{
    struct buffer tree = BUFFER_INIT(8u << 20);
    enum error_kind rc = OK;

    if (b->cut) {
        rc = put_parts(b, true, err);
        if (!rc)
            rc = append_head(&tree, TREE_FORM_PARTS, (uint32_t)b->part_count, err);
        if (!rc)
            rc = append_parts(b, &tree, err);
    } else {
        rc = append_head(&tree, TREE_FORM_INLINE, b->count, err);
        if (!rc)
            rc = buffer_append(&tree, b->pending.data, b->pending.len, err);
    }
    if (!rc)
        rc = store_put(b->store, CHUNK_TREE, TREE_GROUP, tree.data, tree.len, ticket, err);
    empty(b);
    buffer_release(&tree);
    return rc;
}
