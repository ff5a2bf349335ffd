#include "tree.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "chunk.h"
#include "list_internal.h"

#define LIST_GROUP 0xffffff02u

/* ---- writing ---- */

/*
 * L1  a list is full (LIST_IDS_MAX) unless it is the last of its level: equal sequences have equal ids
 *
 * Level 0 collects ids. A full list is put, and its ticket waits on the level above until that one is full, or all ends: then the
 * tickets are claimed together and become ids.
 */
struct list_level {
    store_ticket tickets[LIST_IDS_MAX];
    size_t count;
};

struct list_builder {
    struct store *store;
    struct buffer ids; /* level 0, encoded */
    size_t id_count;
    struct list_level *levels[LIST_LEVELS]; /* [n] waits to become a list of level n; [0] is unused */
};

enum error_kind list_builder_new(struct store *store, struct list_builder **out, struct error *err)
{
    void *memory = NULL;
    enum error_kind rc = memory_zeroed(1, sizeof(struct list_builder), &memory, err);

    if (rc)
        return rc;
    *out = memory;
    (*out)->store = store;
    (*out)->ids = (struct buffer)BUFFER_INIT(LIST_IDS_MAX * CHUNK_ID_LEN);
    return OK;
}

void list_builder_free(struct list_builder *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < LIST_LEVELS; i++)
        free(b->levels[i]);
    buffer_release(&b->ids);
    free(b);
}

static enum error_kind put_list(struct list_builder *b, unsigned level, const struct buffer *ids, store_ticket *ticket,
                                struct error *err)
{
    struct buffer list = BUFFER_INIT(LIST_LEN_MAX);
    enum error_kind rc = buffer_append(&list, LIST_MAGIC, 4, err);

    if (!rc)
        rc = buffer_append_u8(&list, (uint8_t)level, err);
    if (!rc)
        rc = buffer_append_u32(&list, (uint32_t)(ids->len / CHUNK_ID_LEN), err);
    if (!rc)
        rc = buffer_append(&list, ids->data, ids->len, err);
    if (!rc)
        rc = store_put(b->store, CHUNK_LIST, LIST_GROUP, list.data, list.len, ticket, err);
    buffer_release(&list);
    return rc;
}

static enum error_kind put_level(struct list_builder *b, unsigned level, store_ticket *ticket, struct error *err)
{
    struct buffer ids = BUFFER_INIT(LIST_IDS_MAX * CHUNK_ID_LEN);
    struct list_level *l = b->levels[level];
    enum error_kind rc = store_claim(b->store, err);

    for (size_t i = 0; !rc && i < l->count; i++) {
        unsigned char bytes[CHUNK_ID_LEN];
        struct chunk_id id;

        rc = store_resolve(b->store, l->tickets[i], &id, err);
        if (rc)
            break;
        chunk_id_encode(&id, bytes);
        rc = buffer_append(&ids, bytes, sizeof(bytes), err);
    }
    if (!rc)
        rc = put_list(b, level, &ids, ticket, err);
    l->count = 0;
    buffer_release(&ids);
    return rc;
}

/* Hand a finished list to the level above, which may be full with it, and so on. */
static enum error_kind hand_up(struct list_builder *b, unsigned level, store_ticket ticket, struct error *err)
{
    enum error_kind rc = OK;

    for (; level < LIST_LEVELS; level++) {
        struct list_level *l = b->levels[level];
        void *memory = l;

        if (!l) {
            rc = memory_zeroed(1, sizeof(*l), &memory, err);
            if (rc)
                return rc;
            b->levels[level] = l = memory;
        }
        if (l->count < LIST_IDS_MAX) {
            l->tickets[l->count++] = ticket;
            return OK;
        }
        /* Full, and one more is to come: only now is it known that this list is not the last (L1). */
        store_ticket full;

        rc = put_level(b, level, &full, err);
        if (rc)
            return rc;
        l->tickets[l->count++] = ticket;
        ticket = full;
    }
    return error_set(err, ERR_REFUSED, 0, "a list of ids is too long");
}

static enum error_kind put_ids(struct list_builder *b, store_ticket *ticket, struct error *err)
{
    enum error_kind rc = put_list(b, 0, &b->ids, ticket, err);

    buffer_clear(&b->ids);
    b->id_count = 0;
    return rc;
}

enum error_kind list_builder_add(struct list_builder *b, const struct chunk_id *id, struct error *err)
{
    unsigned char bytes[CHUNK_ID_LEN];
    enum error_kind rc = OK;

    if (b->id_count == LIST_IDS_MAX) {
        store_ticket ticket;

        rc = put_ids(b, &ticket, err);
        if (!rc)
            rc = hand_up(b, 1, ticket, err);
        if (rc)
            return rc;
    }
    chunk_id_encode(id, bytes);
    rc = buffer_append(&b->ids, bytes, sizeof(bytes), err);
    if (!rc)
        b->id_count++;
    return rc;
}

enum error_kind list_builder_end(struct list_builder *b, struct chunk_id *out, struct error *err)
{
    store_ticket ticket;
    enum error_kind rc = put_ids(b, &ticket, err);

    /* Whatever waits above becomes one list a level, until a level holds nothing but what came from below. */
    for (unsigned level = 1; !rc && level < LIST_LEVELS; level++) {
        bool waiting = false;

        for (unsigned above = level; above < LIST_LEVELS; above++)
            waiting = waiting || (b->levels[above] && b->levels[above]->count > 0);
        if (!waiting)
            break;
        rc = hand_up(b, level, ticket, err);
        if (!rc)
            rc = put_level(b, level, &ticket, err);
    }
    if (!rc)
        rc = store_claim(b->store, err);
    return rc ? rc : store_resolve(b->store, ticket, out, err);
}

/* ---- reading ---- */

enum error_kind list_parse(const void *bytes, size_t len, struct list_view *out, struct error *err)
{
    struct cursor c = cursor_over(bytes, len);
    const unsigned char *magic = cursor_bytes(&c, 4);
    unsigned level = cursor_u8(&c);
    uint32_t count = cursor_u32(&c);

    if (c.bad || memcmp(magic, LIST_MAGIC, 4) != 0 || level >= LIST_LEVELS)
        return error_set(err, ERR_CORRUPT, 0, "a list of ids has no head that this version knows");
    if (count > LIST_IDS_MAX || cursor_left(&c) != (size_t)count * CHUNK_ID_LEN || (count == 0 && level > 0))
        return error_set(err, ERR_CORRUPT, 0, "a list of ids and its length disagree");
    *out = (struct list_view){.level = level, .count = count, .ids = c.at};
    return OK;
}

void list_view_id(const struct list_view *v, size_t i, struct chunk_id *out)
{
    assert(i < v->count);
    chunk_id_decode(v->ids + i * CHUNK_ID_LEN, out);
}

enum error_kind list_read(struct catalog *cat, const struct chunk_id *id, struct buffer *bytes, struct list_view *out,
                          struct error *err)
{
    enum error_kind rc = chunk_read(cat, id, CHUNK_LIST, bytes, err);

    return rc ? rc : list_parse(bytes->data, bytes->len, out, err);
}

/* One list a level is held: 80 KiB each, LIST_LEVELS at most. */
struct list_reader {
    struct catalog *cat;
    struct {
        struct buffer bytes;
        struct list_view view;
        size_t next;
    } open[LIST_LEVELS]; /* [n]: a list of level n */
    unsigned top;
};

static enum error_kind open_list(struct list_reader *r, const struct chunk_id *id, int level, struct error *err)
{
    struct buffer bytes = BUFFER_INIT(LIST_LEN_MAX);
    struct list_view view;
    enum error_kind rc = list_read(r->cat, id, &bytes, &view, err);

    if (!rc && level >= 0 && view.level != (unsigned)level)
        rc =
            error_set(err, ERR_CORRUPT, 0, "a list of ids of level %u stands where level %d should", view.level, level);
    if (rc) {
        buffer_release(&bytes);
        return rc;
    }
    buffer_release(&r->open[view.level].bytes);
    r->open[view.level].bytes = bytes;
    r->open[view.level].view = view;
    r->open[view.level].next = 0;
    if (level < 0)
        r->top = view.level;
    return OK;
}

enum error_kind list_reader_open(struct catalog *cat, const struct chunk_id *list, struct list_reader **out,
                                 struct error *err)
{
    void *memory = NULL;
    enum error_kind rc = memory_zeroed(1, sizeof(struct list_reader), &memory, err);
    struct list_reader *r = memory;

    if (rc)
        return rc;
    r->cat = cat;
    rc = open_list(r, list, -1, err);
    if (rc) {
        list_reader_close(r);
        return rc;
    }
    *out = r;
    return OK;
}

enum error_kind list_reader_next(struct list_reader *r, struct chunk_id *out, bool *more, struct error *err)
{
    unsigned level = 0;
    struct chunk_id id;

    *more = false;
    while (level <= r->top && r->open[level].next == r->open[level].view.count)
        level++;
    if (level > r->top)
        return OK;
    for (;;) {
        enum error_kind rc;

        list_view_id(&r->open[level].view, r->open[level].next++, &id);
        if (level == 0)
            break;
        rc = open_list(r, &id, (int)--level, err);
        if (rc)
            return rc;
        /* Only the topmost list may be empty, and then it is the only one. */
        if (r->open[level].view.count == 0)
            return error_set(err, ERR_CORRUPT, 0, "a list of ids holds an empty list");
    }
    *out = id;
    *more = true;
    return OK;
}

void list_reader_close(struct list_reader *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < LIST_LEVELS; i++)
        buffer_release(&r->open[i].bytes);
    free(r);
}
