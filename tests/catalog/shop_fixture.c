#include "shop_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "chunk.h"
#include "text.h"
#include "tree.h"

/* ---- content ---- */

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Half of all content compresses like text, half not at all. */
static void fill(unsigned char *out, size_t len, uint64_t seed)
{
    uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
    bool text = seed % 2;

    for (size_t i = 0; i < len; i++) {
        if (i % 8 == 0)
            next_random(&state);
        out[i] =
            text ? (unsigned char)("shop product order "[(state + i / 3) % 19]) : (unsigned char)(state >> (i % 8 * 8));
    }
}

static unsigned changed_version(const struct shop *shop, unsigned folder, unsigned file)
{
    return (folder * shop->files + file) % 7 == 0 ? shop->version : 0;
}

static size_t file_size(const struct shop *shop, unsigned folder, unsigned file)
{
    uint64_t state = (uint64_t)shop->seed * 7919 + folder * 131 + file + 1;

    next_random(&state);
    next_random(&state);
    return file % 11 == 10 ? 0 : (size_t)(state >> 20) % (file % 3 ? 900 : 40000);
}

static void file_content(const struct shop *shop, unsigned folder, unsigned file, struct buffer *out)
{
    struct error err = ERROR_INIT;
    size_t len = file_size(shop, folder, file);

    buffer_clear(out);
    if (buffer_reserve(out, len, &err))
        abort();
    fill(out->data, len,
         ((uint64_t)shop->seed << 40) + ((uint64_t)changed_version(shop, folder, file) << 20) + folder * 1000 + file);
    out->len = len;
}

static void stream_content(const struct shop *shop, bool dump, struct buffer *out)
{
    struct error err = ERROR_INIT;
    size_t len = dump ? shop->dump : shop->big;

    buffer_clear(out);
    if (buffer_reserve(out, len, &err))
        abort();
    fill(out->data, len, ((uint64_t)shop->seed << 32) + (dump ? 77 : 78));
    if (len > 1000)
        fill(out->data + len - 1000, 1000, ((uint64_t)shop->seed << 32) + shop->version + 100);
    out->len = len;
}

/* ---- storing ---- */

static enum error_kind put_stream(struct store *store, const struct buffer *content, struct chunk_id *list,
                                  struct error *err)
{
    struct store_stream *stream = NULL;
    struct list_builder *ids = NULL;
    uint64_t chunks = 0, bytes = 0;
    enum error_kind rc = store_stream_begin(store, 9, &stream, err);

    for (size_t at = 0; !rc && at < content->len; at += 70000)
        rc = store_stream_write(stream, content->data + at, content->len - at < 70000 ? content->len - at : 70000, err);
    if (!rc)
        rc = store_stream_end(stream, &chunks, &bytes, err);
    if (!rc)
        rc = store_flush(store, err);
    if (!rc)
        rc = list_builder_new(store, &ids, err);
    for (uint64_t i = 0; !rc && i < chunks; i++) {
        struct chunk_id id;

        rc = store_stream_id(stream, i, &id, err);
        if (!rc)
            rc = list_builder_add(ids, &id, err);
    }
    if (!rc)
        rc = list_builder_end(ids, list, err);
    list_builder_free(ids);
    store_stream_free(stream);
    return rc;
}

static struct tree_entry entry_of(const char *name, enum tree_type type)
{
    static const struct tree_xattr xattr = {"user.made", "by a test", 9};

    return (struct tree_entry){.name = (const unsigned char *)name,
                               .name_len = strlen(name),
                               .type = type,
                               .mode = type == TREE_DIRECTORY ? 0755 : 0644,
                               .uid = 33,
                               .gid = 33,
                               .owner = "www-data",
                               .group = "www-data",
                               .mtime_sec = 1700000000,
                               .mtime_nsec = 123456789,
                               .xattrs = &xattr,
                               .xattr_count = type == TREE_FILE};
}

static enum error_kind put_folder(struct store *store, const struct shop *shop, unsigned folder, store_ticket *tree,
                                  struct error *err)
{
    struct buffer content = BUFFER_INIT(1 << 20);
    struct tree_builder *b = NULL;
    store_ticket *tickets = calloc(shop->files, sizeof(*tickets));
    enum error_kind rc = tree_builder_new(store, &b, err);

    for (unsigned i = 0; !rc && i < shop->files; i++) {
        file_content(shop, folder, i, &content);
        if (content.len > 0)
            rc = store_put(store, CHUNK_DATA, i % 3, content.data, content.len, &tickets[i], err);
    }
    if (!rc)
        rc = store_claim(store, err);
    for (unsigned i = 0; !rc && i < shop->files; i++) {
        char name[32];
        struct tree_entry e;
        struct chunk_id id;

        snprintf(name, sizeof(name), "file%04u.txt", i);
        e = entry_of(name, TREE_FILE);
        e.size = file_size(shop, folder, i);
        if (e.size > 0)
            rc = store_resolve(store, tickets[i], &id, err);
        e.chunks = &id;
        e.chunk_count = e.size > 0;
        if (!rc)
            rc = tree_builder_add(b, &e, err);
    }
    if (!rc)
        rc = tree_builder_end(b, tree, err);
    tree_builder_free(b);
    free(tickets);
    buffer_release(&content);
    return rc;
}

static enum error_kind add_big(struct store *store, const struct shop *shop, struct tree_builder *b, struct error *err)
{
    struct tree_entry e = entry_of("zz-big.bin", TREE_FILE);
    struct buffer content = BUFFER_INIT(shop->big + 1);
    enum error_kind rc;

    if (shop->big == 0)
        return OK;
    stream_content(shop, false, &content);
    e.size = content.len;
    e.has_list = true;
    rc = put_stream(store, &content, &e.list, err);
    if (!rc)
        rc = tree_builder_add(b, &e, err);
    buffer_release(&content);
    return rc;
}

static enum error_kind put_root(struct store *store, const struct shop *shop, struct chunk_id *root, struct error *err)
{
    struct tree_builder *b = NULL;
    store_ticket *trees = calloc(shop->folders, sizeof(*trees));
    store_ticket ticket = 0;
    struct tree_entry e;
    enum error_kind rc = tree_builder_new(store, &b, err);

    for (unsigned i = 0; !rc && i < shop->folders; i++)
        rc = put_folder(store, shop, i, &trees[i], err);
    if (!rc)
        rc = store_claim(store, err);
    for (unsigned i = 0; !rc && i < shop->folders; i++) {
        char name[32];

        snprintf(name, sizeof(name), "folder%03u", i);
        e = entry_of(name, TREE_DIRECTORY);
        rc = store_resolve(store, trees[i], &e.tree, err);
        if (!rc)
            rc = tree_builder_add(b, &e, err);
    }
    if (!rc)
        rc = add_big(store, shop, b, err);
    if (!rc)
        rc = tree_builder_end(b, &ticket, err);
    if (!rc)
        rc = store_claim(store, err);
    e = entry_of(".", TREE_DIRECTORY);
    if (!rc)
        rc = store_resolve(store, ticket, &e.tree, err);
    if (!rc)
        rc = tree_builder_add(b, &e, err);
    if (!rc)
        rc = tree_builder_end(b, &ticket, err);
    if (!rc)
        rc = store_claim(store, err);
    if (!rc)
        rc = store_resolve(store, ticket, root, err);
    tree_builder_free(b);
    free(trees);
    return rc;
}

static enum error_kind put_links(struct store *store, struct snapshot_record *record, struct error *err)
{
    static const unsigned char roots[] = {0, 0};
    static const char *const paths[] = {"folder000/file0001.txt", "folder001/file0002.txt"};
    struct links_builder *links = NULL;
    enum error_kind rc = links_builder_new(store, &links, err);

    if (!rc)
        rc = links_builder_group(links, roots, paths, 2, err);
    if (!rc)
        rc = links_builder_end(links, record, err);
    links_builder_free(links);
    return rc;
}

static enum error_kind put_all(struct store *store, const struct shop *shop, struct snapshot_record *record,
                               struct error *err)
{
    struct buffer dump = BUFFER_INIT(shop->dump + 1);
    enum error_kind rc;

    record->root_count = 1;
    record->roots[0].name = strdup("site");
    record->roots[0].path = strdup("/srv/shop");
    record->roots[0].files = shop->folders * shop->files;
    rc = put_root(store, shop, &record->roots[0].tree, err);
    if (!rc)
        rc = put_links(store, record, err);
    if (!rc && shop->dump > 0) {
        stream_content(shop, true, &dump);
        record->has_dump = true;
        record->dump_bytes = dump.len;
        rc = put_stream(store, &dump, &record->dump, err);
    }
    buffer_release(&dump);
    return rc;
}

enum error_kind shop_store(struct catalog *cat, const struct shop *shop, struct error *err)
{
    struct snapshot_record record = SNAPSHOT_RECORD_INIT;
    struct store *store = NULL;
    enum error_kind rc = store_begin(cat, NULL, &store, err);

    if (!rc)
        rc = put_all(store, shop, &record, err);
    if (!rc)
        rc = store_flush(store, err);
    store_free(store);
    snapshot_record_release(&record);
    return rc;
}

enum error_kind shop_snapshot(struct catalog *cat, const struct shop *shop, const char *site_id,
                              struct snapshot_record *record, struct error *err)
{
    struct store *store = NULL;
    enum error_kind rc = store_begin(cat, NULL, &store, err);

    *record = (struct snapshot_record)SNAPSHOT_RECORD_INIT;
    record->site_id = strdup(site_id);
    record->site_path = strdup("/srv/shop");
    record->site_name = strdup("shop");
    record->host = strdup("testhost");
    record->host_id = strdup("0123456789abcdef");
    record->tool = strdup("nopsnap test");
    record->made_ns = record->from_ns = record->to_ns = clock_now();
    if (!rc)
        rc = put_all(store, shop, record, err);
    if (!rc)
        rc = snapshot_commit(store, record, err);
    store_free(store);
    return rc;
}

/* ---- reading back ---- */

struct checking {
    struct catalog *cat;
    struct shop_check *out;
};

/* Count one thing read; true if the run may go on. */
static enum error_kind count(struct checking *c, enum error_kind rc, const struct error *why, bool same,
                             struct error *err)
{
    if (rc && rc != ERR_CORRUPT) {
        *err = *why;
        return rc;
    }
    if (rc) {
        if (c->out->damaged++ == 0)
            snprintf(c->out->first, sizeof(c->out->first), "%s", why->text);
    } else if (same) {
        c->out->good++;
    } else {
        c->out->wrong++;
    }
    return OK;
}

static enum error_kind read_list(struct catalog *cat, const struct chunk_id *list, struct buffer *out,
                                 struct error *err)
{
    struct list_reader *r = NULL;
    struct buffer chunk = BUFFER_INIT(16u << 20);
    struct chunk_id id;
    bool more = true;
    enum error_kind rc = list_reader_open(cat, list, &r, err);

    while (!rc) {
        rc = list_reader_next(r, &id, &more, err);
        if (rc || !more)
            break;
        rc = chunk_read(cat, &id, CHUNK_DATA, &chunk, err);
        if (!rc)
            rc = buffer_append(out, chunk.data, chunk.len, err);
    }
    list_reader_close(r);
    buffer_release(&chunk);
    return rc;
}

static enum error_kind read_file(struct catalog *cat, const struct chunk_id *root, const char *path, struct buffer *out,
                                 struct error *err)
{
    struct buffer encoded = BUFFER_INIT(1u << 20);
    struct buffer chunk = BUFFER_INIT(16u << 20);
    struct tree_scratch *scratch = NULL;
    struct tree_entry e;
    enum error_kind rc = tree_lookup(cat, root, path, &encoded, err);

    buffer_clear(out);
    if (rc == ERR_NOT_FOUND) /* a whole tree cannot lack it: counted as wrong */
        rc = OK;
    else if (!rc)
        rc = tree_scratch_new(&scratch, err);
    if (!rc && scratch)
        rc = tree_entry_decode(scratch, encoded.data, encoded.len, &e, err);
    if (!rc && scratch && e.has_list)
        rc = read_list(cat, &e.list, out, err);
    for (size_t i = 0; !rc && scratch && i < e.chunk_count; i++) {
        rc = chunk_read(cat, &e.chunks[i], CHUNK_DATA, &chunk, err);
        if (!rc)
            rc = buffer_append(out, chunk.data, chunk.len, err);
    }
    tree_scratch_free(scratch);
    buffer_release(&chunk);
    buffer_release(&encoded);
    return rc;
}

static bool same_bytes(const struct buffer *a, const struct buffer *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

enum error_kind shop_check(struct catalog *cat, const struct shop *shop, const struct snapshot_record *record,
                           struct shop_check *out, struct error *err)
{
    struct checking c = {cat, out};
    struct buffer expected = BUFFER_INIT(64u << 20);
    struct buffer got = BUFFER_INIT(64u << 20);
    enum error_kind rc = OK;

    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; !rc && i < shop->folders * shop->files; i++) {
        struct error why = ERROR_INIT;
        char path[64];
        enum error_kind read;

        snprintf(path, sizeof(path), "folder%03u/file%04u.txt", i / shop->files, i % shop->files);
        file_content(shop, i / shop->files, i % shop->files, &expected);
        read = read_file(cat, &record->roots[0].tree, path, &got, &why);
        rc = count(&c, read, &why, same_bytes(&got, &expected), err);
    }
    if (!rc && shop->big > 0) {
        struct error why = ERROR_INIT;
        enum error_kind read = read_file(cat, &record->roots[0].tree, "zz-big.bin", &got, &why);

        stream_content(shop, false, &expected);
        rc = count(&c, read, &why, same_bytes(&got, &expected), err);
    }
    if (!rc && shop->dump > 0) {
        struct error why = ERROR_INIT;
        enum error_kind read;

        buffer_clear(&got);
        read = read_list(cat, &record->dump, &got, &why);
        stream_content(shop, true, &expected);
        rc = count(&c, read, &why, same_bytes(&got, &expected), err);
    }
    buffer_release(&expected);
    buffer_release(&got);
    return rc;
}
