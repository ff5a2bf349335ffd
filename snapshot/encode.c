#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "snapshot_internal.h"
#include "thread.h"

#define REWRITE_ROOM (64u << 10)

struct encoding {
    struct spill *spill;
    struct store *store;
    struct tree_builder *builder;
    struct tree_scratch *scratch;
    struct buffer encoded;
    struct spill_listing again; /* the listing with its ids, for the stat cache */
    struct chunk_id ids[TREE_INLINE_IDS];
};

static enum error_kind inline_ids(struct encoding *e, const struct spill_entry *from, struct error *err)
{
    enum error_kind rc = OK;

    for (uint32_t n = 0; !rc && n < from->count; n++) {
        store_ticket ticket = from->at;

        if (from->count > 1)
            rc = spill_ticket_get(e->spill, from->at, n, &ticket, err);
        if (!rc)
            rc = store_resolve(e->store, ticket, &e->ids[n], err);
    }
    return rc;
}

static enum error_kind listed_ids(struct encoding *e, const struct spill_entry *from, struct chunk_id *out,
                                  struct error *err)
{
    struct list_builder *list = NULL;
    struct chunk_id id;
    store_ticket ticket;
    enum error_kind rc = list_builder_new(e->store, &list, err);

    for (uint32_t n = 0; !rc && n < from->count; n++) {
        rc = spill_ticket_get(e->spill, from->at, n, &ticket, err);
        if (!rc)
            rc = store_resolve(e->store, ticket, &id, err);
        if (!rc)
            rc = list_builder_add(list, &id, err);
    }
    if (!rc)
        rc = list_builder_end(list, out, err);
    list_builder_free(list);
    return rc;
}

/* The entry with the ids that its tickets, or its directory's tree, got. */
static enum error_kind resolve(struct encoding *e, struct spill_entry *entry, struct error *err)
{
    struct tree_entry tree;
    struct spill_directory child;
    enum error_kind rc = tree_entry_decode(e->scratch, entry->encoded, entry->len, &tree, err);

    if (rc)
        return rc;
    if (entry->content == SPILL_DIRECTORY) {
        rc = spill_directory_get(e->spill, entry->at, &child, err);
        if (!rc)
            rc = store_resolve(e->store, child.ticket, &tree.tree, err);
    } else if (entry->count <= TREE_INLINE_IDS) {
        rc = inline_ids(e, entry, err);
        tree.chunks = e->ids;
        tree.chunk_count = entry->count;
    } else {
        rc = listed_ids(e, entry, &tree.list, err);
        tree.has_list = true;
    }
    buffer_clear(&e->encoded);
    if (!rc)
        rc = tree_entry_encode(&tree, &e->encoded, err);
    entry->encoded = e->encoded.data;
    entry->len = e->encoded.len;
    if (entry->content == SPILL_TICKETS)
        entry->content = SPILL_READY;
    return rc;
}

static enum error_kind encode_directory(struct encoding *e, uint64_t number, struct spill_directory *d,
                                        struct error *err)
{
    struct spill_cursor cursor = {.window = BUFFER_INIT(0)};
    struct spill_entry entry;
    bool more = true;
    enum error_kind rc = OK;

    spill_cursor_open(&cursor, d->first);
    spill_listing_begin(&e->again);
    while (!rc && !(rc = spill_cursor_next(e->spill, &cursor, &entry, &more, err)) && more) {
        if (entry.content != SPILL_READY)
            rc = resolve(e, &entry, err);
        if (!rc)
            rc = tree_builder_add_encoded(e->builder, entry.name, entry.name_len, entry.encoded, entry.len, err);
        if (!rc && d->pending)
            rc = spill_listing_add(e->spill, &e->again, &entry, REWRITE_ROOM, err);
    }
    if (!rc)
        rc = tree_builder_end(e->builder, &d->ticket, err);
    if (!rc && d->pending) {
        rc = spill_listing_end(e->spill, &e->again, err);
        d->first = e->again.first;
    }
    if (!rc)
        rc = spill_directory_put(e->spill, number, d, err);
    spill_cursor_rest(&cursor);
    return rc;
}

static enum error_kind encode_height(struct encoding *e, unsigned height, struct error *err)
{
    struct spill_directory d;
    enum error_kind rc = OK;

    for (uint64_t n = spill_chain(e->spill, height); !rc && n != SPILL_NONE; n = d.next) {
        rc = spill_directory_get(e->spill, n, &d, err);
        if (!rc)
            rc = encode_directory(e, n, &d, err);
        if (!rc)
            rc = cancel_check(err);
    }
    return rc ? rc : store_claim(e->store, err); /* S2: the next height needs these ids, and no others */
}

enum error_kind encode_trees(struct spill *spill, struct store *store, struct chunk_id *root, struct error *err)
{
    struct encoding e = {.spill = spill, .store = store, .encoded = BUFFER_INIT(16 << 20)};
    struct spill_directory holder;
    enum error_kind rc = tree_builder_new(store, &e.builder, err);

    if (!rc)
        rc = tree_scratch_new(&e.scratch, err);
    for (unsigned height = 0; !rc && height < spill_heights(spill); height++)
        rc = encode_height(&e, height, err);
    if (!rc)
        rc = spill_directory_get(spill, 0, &holder, err); /* S3 */
    if (!rc)
        rc = store_resolve(store, holder.ticket, root, err);
    tree_builder_free(e.builder);
    tree_scratch_free(e.scratch);
    buffer_release(&e.encoded);
    buffer_release(&e.again.bytes);
    return rc;
}

/* ---- the stat cache: every listing once more, in walk order ---- */

#define WINDOWS_KEPT 16 /* levels whose cursors keep their window of the file while a directory below is read */

struct remembering {
    struct spill *spill;
    struct stat_cache_writer *writer;
    struct buffer path;
    struct place {
        struct spill_cursor cursor;
        size_t path_len;
    } * places;
    size_t depth, cap;
};

static enum error_kind push(struct remembering *m, uint64_t first_segment, size_t path_len, struct error *err)
{
    if (m->depth == m->cap) {
        size_t cap = m->cap ? 2 * m->cap : 32;
        struct place *places = realloc(m->places, cap * sizeof *places);

        if (!places)
            return error_set(err, ERR_MEMORY, 0, "no memory for a tree so deep");
        memset(places + m->cap, 0, (cap - m->cap) * sizeof *places);
        m->places = places;
        m->cap = cap;
    }
    if (m->depth > WINDOWS_KEPT)
        spill_cursor_rest(&m->places[m->depth - 1].cursor);
    spill_cursor_open(&m->places[m->depth].cursor, first_segment);
    m->places[m->depth++].path_len = path_len;
    return OK;
}

static enum error_kind remember(struct remembering *m, const struct spill_entry *entry, struct error *err)
{
    bool root = entry->name_len == 1 && *(const char *)entry->name == '.';
    enum error_kind rc = OK;

    m->path.len = m->places[m->depth - 1].path_len;
    if (m->path.len)
        rc = buffer_append_u8(&m->path, '/', err);
    if (!rc)
        rc = buffer_append(&m->path, entry->name, root ? 0 : entry->name_len, err);
    if (!rc && entry->cacheable)
        rc = stat_cache_add(m->writer, (const char *)m->path.data, &entry->key, entry->encoded, entry->len, err);
    return rc;
}

static enum error_kind remember_all(struct remembering *m, struct error *err)
{
    struct spill_directory d;
    struct spill_entry entry;
    bool more = false;
    enum error_kind rc = spill_directory_get(m->spill, 0, &d, err);

    if (!rc)
        rc = push(m, d.first, 0, err);
    while (!rc && m->depth) {
        rc = spill_cursor_next(m->spill, &m->places[m->depth - 1].cursor, &entry, &more, err);
        if (rc)
            break;
        if (!more) {
            m->depth--;
            continue;
        }
        rc = remember(m, &entry, err);
        if (!rc && entry.content == SPILL_DIRECTORY) {
            rc = spill_directory_get(m->spill, entry.at, &d, err);
            if (!rc)
                rc = push(m, d.first, m->path.len, err);
        }
    }
    return rc;
}

enum error_kind encode_stat_cache(struct root_taking *r, const char *site_id, struct stat_cache_writer **out,
                                  struct error *err)
{
    struct remembering m = {.spill = r->spill, .path = BUFFER_INIT(1 << 20)};
    enum error_kind rc = stat_cache_begin(r->t->cat, site_id, r->name, r->started_ns, &m.writer, err);

    if (!rc)
        rc = buffer_append(&m.path, "", 0, err);
    if (!rc)
        rc = remember_all(&m, err);
    if (rc)
        stat_cache_discard(m.writer);
    else
        *out = m.writer;
    for (size_t i = 0; i < m.cap; i++)
        buffer_release(&m.places[i].cursor.window);
    free(m.places);
    buffer_release(&m.path);
    return rc;
}
