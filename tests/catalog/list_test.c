/* Lists of ids: any length, equal sequences equal ids. */
#include "list_internal.h"

#include "maintain_support.h"

static void id_of(uint64_t n, struct chunk_id *out)
{
    memset(out, 0, sizeof(*out));
    memcpy(out->hash, &n, sizeof(n));
    out->hash[15] = 7;
    out->attempt = (uint32_t)(n % 3);
}

static void build(struct store *store, uint64_t count, struct chunk_id *out)
{
    struct list_builder *b = NULL;
    struct error err = ERROR_INIT;
    struct chunk_id id;

    assert_int_equal(list_builder_new(store, &b, &err), OK);
    for (uint64_t i = 0; i < count; i++) {
        id_of(i, &id);
        if (list_builder_add(b, &id, &err) != OK)
            fail_msg("%s", err.text);
    }
    if (list_builder_end(b, out, &err) != OK)
        fail_msg("%s", err.text);
    list_builder_free(b);
}

static void assert_lists(struct catalog *cat, const struct chunk_id *list, uint64_t count)
{
    struct list_reader *r = NULL;
    struct error err = ERROR_INIT;
    struct chunk_id id, expected;
    bool more = true;
    uint64_t n = 0;

    assert_int_equal(list_reader_open(cat, list, &r, &err), OK);
    for (;;) {
        if (list_reader_next(r, &id, &more, &err) != OK)
            fail_msg("%s", err.text);
        if (!more)
            break;
        id_of(n++, &expected);
        assert_true(chunk_id_equal(&id, &expected));
    }
    assert_int_equal(n, count);
    list_reader_close(r);
}

static void list__of_any_length_comes_back(void **state)
{
    static const uint64_t counts[] = {0, 1, 4095, 4096, 4097, 8192, 8193, 100000, 4096ull * 40 + 1};
    struct catalog *cat = open_catalog(CATALOG_WRITE);
    struct store *store = NULL;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(store_begin(cat, NULL, &store, &err), OK);
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        struct chunk_id list, again;

        build(store, counts[i], &list);
        build(store, counts[i], &again);
        assert_true(chunk_id_equal(&list, &again));
        assert_int_equal(store_flush(store, &err), OK);
        assert_lists(cat, &list, counts[i]);
    }
    store_free(store);
    catalog_close(cat);
}

static void put(struct store *store, unsigned level, uint32_t count, const struct chunk_id *ids, size_t id_count,
                struct chunk_id *out)
{
    struct buffer bytes = BUFFER_INIT(1 << 20);
    struct error err = ERROR_INIT;
    store_ticket ticket;

    buffer_append(&bytes, LIST_MAGIC, 4, &err);
    buffer_append_u8(&bytes, (uint8_t)level, &err);
    buffer_append_u32(&bytes, count, &err);
    for (size_t i = 0; i < id_count; i++) {
        unsigned char raw[CHUNK_ID_LEN];

        chunk_id_encode(&ids[i], raw);
        buffer_append(&bytes, raw, sizeof(raw), &err);
    }
    assert_int_equal(store_put(store, CHUNK_LIST, 0, bytes.data, bytes.len, &ticket, &err), OK);
    assert_int_equal(store_flush(store, &err), OK);
    assert_int_equal(store_resolve(store, ticket, out, &err), OK);
    buffer_release(&bytes);
}

static enum error_kind read_all(struct catalog *cat, const struct chunk_id *list)
{
    struct list_reader *r = NULL;
    struct error err = ERROR_INIT;
    struct chunk_id id;
    bool more = true;
    enum error_kind rc = list_reader_open(cat, list, &r, &err);

    while (!rc && more)
        rc = list_reader_next(r, &id, &more, &err);
    list_reader_close(r);
    return rc;
}

static void list__that_no_builder_would_make_is_refused(void **state)
{
    struct catalog *cat = open_catalog(CATALOG_WRITE);
    struct store *store = NULL;
    struct error err = ERROR_INIT;
    struct chunk_id ids[3], list, empty, leaf;

    (void)state;
    assert_int_equal(store_begin(cat, NULL, &store, &err), OK);
    for (uint64_t i = 0; i < 3; i++)
        id_of(i, &ids[i]);
    put(store, 0, 2, ids, 3, &list); /* bytes left over */
    assert_int_equal(read_all(cat, &list), ERR_CORRUPT);
    put(store, 0, UINT32_MAX, ids, 3, &list);
    assert_int_equal(read_all(cat, &list), ERR_CORRUPT);
    put(store, 200, 1, ids, 1, &list);
    assert_int_equal(read_all(cat, &list), ERR_CORRUPT);
    put(store, 0, 3, ids, 3, &leaf);
    assert_int_equal(read_all(cat, &leaf), OK);
    put(store, 2, 1, &leaf, 1, &list); /* a level is left out */
    assert_int_equal(read_all(cat, &list), ERR_CORRUPT);
    put(store, 0, 0, ids, 0, &empty);
    assert_int_equal(read_all(cat, &empty), OK);
    put(store, 1, 1, &empty, 1, &list);
    assert_int_equal(read_all(cat, &list), ERR_CORRUPT);
    put(store, 1, 0, ids, 0, &list);
    assert_int_equal(read_all(cat, &list), ERR_CORRUPT);
    store_free(store);
    catalog_close(cat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(list__of_any_length_comes_back),
        folder_test(list__that_no_builder_would_make_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
