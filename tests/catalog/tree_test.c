/* Trees: what goes in comes out, equal directories have equal ids, and nothing from outside is trusted (P11). */
#include "tree_internal.h"

#include "chunk.h"
#include "maintain_support.h"

static struct tree_entry file_entry(const char *name)
{
    return (struct tree_entry){.name = (const unsigned char *)name,
                               .name_len = strlen(name),
                               .type = TREE_FILE,
                               .mode = 04755,
                               .uid = 33,
                               .gid = 1000,
                               .owner = "www-data",
                               .group = "users",
                               .mtime_sec = -5,
                               .mtime_nsec = 999999999};
}

static void encode(const struct tree_entry *e, struct buffer *out)
{
    struct error err = ERROR_INIT;

    buffer_clear(out);
    if (tree_entry_encode(e, out, &err) != OK)
        fail_msg("%s", err.text);
}

static void assert_comes_back(const struct tree_entry *e)
{
    struct buffer bytes = BUFFER_INIT(TREE_ENTRY_MAX + 1000);
    struct tree_scratch *scratch = NULL;
    struct tree_entry back;
    struct error err = ERROR_INIT;

    encode(e, &bytes);
    assert_int_equal(tree_scratch_new(&scratch, &err), OK);
    if (tree_entry_decode(scratch, bytes.data, bytes.len, &back, &err) != OK)
        fail_msg("%s", err.text);
    assert_true(tree_entry_equal(e, &back));
    /* Every shorter piece of it is refused, and so is a longer one. */
    for (size_t len = 0; len < bytes.len; len += 1 + len / 200)
        assert_int_equal(tree_entry_decode(scratch, bytes.data, len, &back, &err), ERR_CORRUPT);
    assert_int_equal(buffer_append_u8(&bytes, 0, &err), OK);
    assert_int_equal(tree_entry_decode(scratch, bytes.data, bytes.len, &back, &err), ERR_CORRUPT);
    tree_scratch_free(scratch);
    buffer_release(&bytes);
}

static void entry__of_every_type_comes_back(void **state)
{
    struct tree_entry e = file_entry("a");
    struct chunk_id ids[TREE_INLINE_IDS];
    const struct tree_hole holes[] = {{0, 4096}, {8192, 100}, {1 << 20, 1}};
    const struct tree_xattr xattrs[] = {
        {"user.z", "zzz", 3}, {"security.selinux", "label\0x", 7}, {"user.empty", NULL, 0}};

    (void)state;
    for (size_t i = 0; i < TREE_INLINE_IDS; i++)
        memset(&ids[i], (int)i + 1, sizeof(ids[i]));
    assert_comes_back(&e); /* empty */
    e.size = 2 << 20;
    e.chunks = ids;
    e.chunk_count = TREE_INLINE_IDS;
    e.holes = holes;
    e.hole_count = 3;
    e.xattrs = xattrs;
    e.xattr_count = 3;
    assert_comes_back(&e);
    e.chunk_count = 0;
    e.chunks = NULL;
    e.has_list = true;
    e.list = ids[4];
    assert_comes_back(&e);
    e = file_entry("d");
    e.type = TREE_DIRECTORY;
    e.tree = ids[7];
    assert_comes_back(&e);
    e.type = TREE_SYMLINK;
    e.target = "../\xff\n elsewhere";
    e.target_len = strlen(e.target);
    assert_comes_back(&e);
    e.type = TREE_FIFO;
    assert_comes_back(&e);
    e.type = TREE_BLOCK_DEVICE;
    e.device_major = 8;
    e.device_minor = UINT32_MAX;
    assert_comes_back(&e);
    e.type = TREE_CHARACTER_DEVICE;
    e.owner = NULL;
    assert_comes_back(&e);
}

static void entry__xattrs_in_any_order_encode_alike(void **state)
{
    const struct tree_xattr one[] = {{"user.a", "1", 1}, {"user.b", "2", 1}};
    const struct tree_xattr two[] = {{"user.b", "2", 1}, {"user.a", "1", 1}};
    struct tree_entry e = file_entry("a");
    struct buffer x = BUFFER_INIT(4096), y = BUFFER_INIT(4096);

    (void)state;
    e.xattrs = one;
    e.xattr_count = 2;
    encode(&e, &x);
    e.xattrs = two;
    encode(&e, &y);
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len);
    buffer_release(&x);
    buffer_release(&y);
}

static void entry__many_holes_come_back_and_too_many_are_refused(void **state)
{
    enum { HOLES = 200000 };
    struct tree_hole *holes = calloc(HOLES * 3, sizeof(*holes));
    struct tree_entry e = file_entry("sparse");
    struct buffer bytes = BUFFER_INIT(64u << 20);
    struct error err = ERROR_INIT;

    (void)state;
    for (uint64_t i = 0; i < HOLES * 3; i++)
        holes[i] = (struct tree_hole){i * 8192, 4096};
    e.size = UINT64_C(1) << 50;
    e.holes = holes;
    e.hole_count = HOLES;
    assert_comes_back(&e);
    e.hole_count = HOLES * 3;
    assert_int_equal(tree_entry_encode(&e, &bytes, &err), ERR_REFUSED);
    buffer_release(&bytes);
    free(holes);
}

static void decode__nonsense_is_refused(void **state)
{
    struct tree_hole hole = {0, 100};
    struct tree_entry e = file_entry("a"), back;
    struct buffer bytes = BUFFER_INIT(4096);
    struct tree_scratch *scratch = NULL;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(tree_scratch_new(&scratch, &err), OK);
    e.size = 50; /* the hole lies outside */
    e.holes = &hole;
    e.hole_count = 1;
    encode(&e, &bytes);
    assert_int_equal(tree_entry_decode(scratch, bytes.data, bytes.len, &back, &err), ERR_CORRUPT);
    hole = (struct tree_hole){UINT64_MAX - 10, 100}; /* so that its end would wrap */
    e.size = UINT64_MAX;
    encode(&e, &bytes);
    assert_int_equal(tree_entry_decode(scratch, bytes.data, bytes.len, &back, &err), ERR_CORRUPT);
    e = file_entry("a");
    encode(&e, &bytes);
    bytes.data[0] = 77;
    assert_int_equal(tree_entry_decode(scratch, bytes.data, bytes.len, &back, &err), ERR_CORRUPT);
    bytes.data[0] = TREE_FILE;
    put_u32(bytes.data + 1, 0100644);
    assert_int_equal(tree_entry_decode(scratch, bytes.data, bytes.len, &back, &err), ERR_CORRUPT);
    tree_scratch_free(scratch);
    buffer_release(&bytes);
}

/* ---- directories ---- */

struct writing {
    struct catalog *cat;
    struct store *store;
    struct tree_builder *b;
};

static void begin(struct writing *w)
{
    struct error err = ERROR_INIT;

    w->cat = open_catalog(CATALOG_WRITE);
    assert_int_equal(store_begin(w->cat, NULL, &w->store, &err), OK);
    assert_int_equal(tree_builder_new(w->store, &w->b, &err), OK);
}

static void end(struct writing *w)
{
    tree_builder_free(w->b);
    store_free(w->store);
    catalog_close(w->cat);
}

static void finish(struct writing *w, struct chunk_id *out)
{
    struct error err = ERROR_INIT;
    store_ticket ticket;

    if (tree_builder_end(w->b, &ticket, &err) != OK || store_flush(w->store, &err) != OK ||
        store_resolve(w->store, ticket, out, &err) != OK)
        fail_msg("%s", err.text);
}

static void add(struct writing *w, const char *name)
{
    struct tree_entry e = file_entry(name);
    struct error err = ERROR_INIT;

    if (tree_builder_add(w->b, &e, &err) != OK)
        fail_msg("%s", err.text);
}

static void directory__of_100000_entries_comes_back_in_order(void **state)
{
    enum { FILES = 100000 };
    struct writing w;
    struct chunk_id id, again;
    struct tree_reader *r = NULL;
    struct tree_entry e;
    struct error err = ERROR_INIT;
    struct buffer encoded = BUFFER_INIT(4096);
    char name[64];
    bool more = true;
    unsigned count = 0;

    (void)state;
    begin(&w);
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "%07u_picture.jpeg", i);
        add(&w, name);
    }
    finish(&w, &id);
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "%07u_picture.jpeg", i);
        add(&w, name);
    }
    finish(&w, &again);
    assert_true(chunk_id_equal(&id, &again));
    assert_int_equal(tree_reader_open(w.cat, &id, &r, &err), OK);
    assert_true(tree_reader_parts(r) > 4);
    for (;;) {
        assert_int_equal(tree_reader_next(r, &e, &more, &err), OK);
        if (!more)
            break;
        snprintf(name, sizeof(name), "%07u_picture.jpeg", count++);
        assert_int_equal(e.name_len, strlen(name));
        assert_memory_equal(e.name, name, e.name_len);
    }
    assert_int_equal(count, FILES);
    tree_reader_close(r);
    buffer_release(&encoded);
    end(&w);
}

static void directory__one_entry_more_leaves_most_parts_the_same(void **state)
{
    struct writing w;
    struct chunk_id id, other;
    struct tree_reader *a = NULL, *b = NULL;
    struct error err = ERROR_INIT;
    unsigned same = 0;
    char name[64];

    (void)state;
    begin(&w);
    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 60000; i++) {
            snprintf(name, sizeof(name), "%07u.jpeg", i);
            add(&w, name);
            if (round == 1 && i == 30000)
                add(&w, "0030000.jpeg2");
        }
        finish(&w, round == 0 ? &id : &other);
    }
    assert_int_equal(tree_reader_open(w.cat, &id, &a, &err), OK);
    assert_int_equal(tree_reader_open(w.cat, &other, &b, &err), OK);
    for (uint32_t i = 0; i < tree_reader_parts(a); i++) {
        for (uint32_t j = 0; j < tree_reader_parts(b); j++) {
            struct chunk_id x, y;

            tree_reader_part(a, i, &x);
            tree_reader_part(b, j, &y);
            same += chunk_id_equal(&x, &y);
        }
    }
    assert_true(tree_reader_parts(a) >= 6);
    assert_true(same + 4 >= tree_reader_parts(a));
    tree_reader_close(a);
    tree_reader_close(b);
    end(&w);
}

static void directory__entry_longer_than_many_parts_comes_back(void **state)
{
    enum { HOLES = 300000 };
    struct tree_hole *holes = calloc(HOLES, sizeof(*holes));
    struct tree_entry e = file_entry("b-sparse"), back;
    struct tree_reader *r = NULL;
    struct writing w;
    struct chunk_id id;
    struct error err = ERROR_INIT;
    bool more = false;

    (void)state;
    begin(&w);
    for (uint64_t i = 0; i < HOLES; i++)
        holes[i] = (struct tree_hole){i * i * 4096 + i, 1};
    e.size = UINT64_C(1) << 60;
    e.holes = holes;
    e.hole_count = HOLES;
    add(&w, "a");
    assert_int_equal(tree_builder_add(w.b, &e, &err), OK);
    add(&w, "c");
    finish(&w, &id);
    assert_int_equal(tree_reader_open(w.cat, &id, &r, &err), OK);
    assert_int_equal(tree_reader_next(r, &back, &more, &err), OK);
    assert_int_equal(tree_reader_next(r, &back, &more, &err), OK);
    assert_true(more && tree_entry_equal(&e, &back));
    assert_int_equal(tree_reader_next(r, &back, &more, &err), OK);
    assert_true(more && back.name[0] == 'c');
    assert_int_equal(tree_reader_next(r, &back, &more, &err), OK);
    assert_false(more);
    tree_reader_close(r);
    end(&w);
    free(holes);
}

static void builder__refuses_wrong_order_and_unsafe_names(void **state)
{
    static const char *const bad[] = {"", ".", "..", "a/b"};
    struct tree_entry e;
    struct writing w;
    struct error err = ERROR_INIT;

    (void)state;
    begin(&w);
    add(&w, "b");
    e = file_entry("a");
    assert_int_equal(tree_builder_add(w.b, &e, &err), ERR_REFUSED);
    e = file_entry("b");
    assert_int_equal(tree_builder_add(w.b, &e, &err), ERR_REFUSED);
    for (size_t i = 0; i < 4; i++) {
        e = file_entry(bad[i]);
        assert_int_equal(tree_builder_add(w.b, &e, &err), ERR_REFUSED);
    }
    add(&w, "b\x01"); /* and goes on with what is right */
    end(&w);
}

/* A tree made of bytes that no builder would make. */
static enum error_kind read_crafted(struct writing *w, const struct buffer *bytes, struct error *err)
{
    struct tree_reader *r = NULL;
    struct tree_entry e;
    struct chunk_id id;
    store_ticket ticket;
    bool more = true;
    enum error_kind rc = store_put(w->store, CHUNK_TREE, 0, bytes->data, bytes->len, &ticket, err);

    if (!rc)
        rc = store_flush(w->store, err);
    if (!rc)
        rc = store_resolve(w->store, ticket, &id, err);
    if (!rc)
        rc = tree_reader_open(w->cat, &id, &r, err);
    while (!rc && more)
        rc = tree_reader_next(r, &e, &more, err);
    tree_reader_close(r);
    return rc;
}

static void craft(struct buffer *out, uint32_t count, const char *const *names)
{
    struct error err = ERROR_INIT;
    struct tree_entry e = file_entry("x");

    buffer_clear(out);
    buffer_append(out, TREE_MAGIC, 4, &err);
    buffer_append_u8(out, TREE_FORM_INLINE, &err);
    buffer_append_u32(out, count, &err);
    for (; *names; names++) {
        buffer_append_u16(out, (uint16_t)strlen(*names), &err);
        buffer_append(out, *names, strlen(*names), &err);
        assert_int_equal(tree_entry_encode(&e, out, &err), OK);
    }
}

static void reader__refuses_names_that_leave_the_directory(void **state)
{
    static const char *const good[] = {"a", "b", NULL}, *const root[] = {".", NULL};
    static const char *const bad[][3] = {{"..", NULL},     {"a/../../etc", NULL}, {"", NULL},        {"b", "a", NULL},
                                         {"a", "a", NULL}, {".", "a", NULL},      {"a", "..", NULL}, {"/etc", NULL}};
    struct buffer bytes = BUFFER_INIT(1 << 16);
    struct writing w;
    struct error err = ERROR_INIT;

    (void)state;
    begin(&w);
    craft(&bytes, 2, good);
    assert_int_equal(read_crafted(&w, &bytes, &err), OK);
    craft(&bytes, 1, root);
    assert_int_equal(read_crafted(&w, &bytes, &err), OK);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        craft(&bytes, bad[i][1] ? 2 : 1, bad[i]);
        assert_int_equal(read_crafted(&w, &bytes, &err), ERR_CORRUPT);
    }
    buffer_release(&bytes);
    end(&w);
}

static void reader__refuses_wrong_counts(void **state)
{
    static const char *const names[] = {"a", "b", NULL};
    static const uint32_t counts[] = {0, 1, 3, 1000, UINT32_MAX};
    struct buffer bytes = BUFFER_INIT(1 << 16);
    struct writing w;
    struct error err = ERROR_INIT;

    (void)state;
    begin(&w);
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        craft(&bytes, counts[i], names);
        assert_int_equal(read_crafted(&w, &bytes, &err), ERR_CORRUPT);
    }
    craft(&bytes, 2, names);
    bytes.data[4] = 9;
    assert_int_equal(read_crafted(&w, &bytes, &err), ERR_CORRUPT);
    buffer_release(&bytes);
    end(&w);
}

static void lookup__finds_paths_and_the_root(void **state)
{
    struct shop shop = {.seed = 1, .folders = 2, .files = 3};
    struct buffer encoded = BUFFER_INIT(1 << 16);
    struct snapshot_record record;
    struct error err = ERROR_INIT;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    assert_int_equal(tree_lookup(cat, &record.roots[0].tree, "", &encoded, &err), OK);
    assert_int_equal(encoded.data[0], TREE_DIRECTORY);
    assert_int_equal(tree_lookup(cat, &record.roots[0].tree, "folder001/file0002.txt", &encoded, &err), OK);
    assert_int_equal(encoded.data[0], TREE_FILE);
    assert_int_equal(tree_lookup(cat, &record.roots[0].tree, "folder001", &encoded, &err), OK);
    assert_int_equal(encoded.data[0], TREE_DIRECTORY);
    assert_int_equal(tree_lookup(cat, &record.roots[0].tree, "folder001/none", &encoded, &err), ERR_NOT_FOUND);
    assert_int_equal(tree_lookup(cat, &record.roots[0].tree, "folder001/file0002.txt/x", &encoded, &err),
                     ERR_NOT_FOUND);
    buffer_release(&encoded);
    snapshot_record_release(&record);
    catalog_close(cat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(entry__of_every_type_comes_back),
        folder_test(entry__xattrs_in_any_order_encode_alike),
        folder_test(entry__many_holes_come_back_and_too_many_are_refused),
        folder_test(decode__nonsense_is_refused),
        folder_test(directory__of_100000_entries_comes_back_in_order),
        folder_test(directory__one_entry_more_leaves_most_parts_the_same),
        folder_test(directory__entry_longer_than_many_parts_comes_back),
        folder_test(builder__refuses_wrong_order_and_unsafe_names),
        folder_test(reader__refuses_names_that_leave_the_directory),
        folder_test(reader__refuses_wrong_counts),
        folder_test(lookup__finds_paths_and_the_root),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
