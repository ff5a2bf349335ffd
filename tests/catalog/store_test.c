#include "catalog_fixture.h"

#define MANY 1500

static size_t length_of(unsigned i)
{
    static const size_t odd[] = {0,      1, 2, 15, 16, 17, 240, 241, 4095, 4096, 65536, 524288, 2 << 20, (2 << 20) + 1,
                                 8 << 20};

    return i < sizeof(odd) / sizeof(*odd) ? odd[i] : mix(i) % 20000;
}

static unsigned char *content_of(unsigned i)
{
    unsigned char *bytes = malloc(length_of(i) + 1);

    assert_non_null(bytes);
    if (i % 5 == 0)
        fill_random(bytes, length_of(i), i);
    else
        fill_text(bytes, length_of(i), i);
    return bytes;
}

static void put_all(struct store *store, store_ticket *tickets)
{
    struct error err = ERROR_INIT;

    for (unsigned i = 0; i < MANY; i++) {
        unsigned char *bytes = content_of(i);

        assert_ok(store_put(store, CHUNK_DATA, i / 200, bytes, length_of(i), &tickets[i], &err));
        free(bytes);
    }
}

static void read_all(struct store *store, const store_ticket *tickets)
{
    struct error err = ERROR_INIT;
    struct chunk_id id;

    for (unsigned i = 0; i < MANY; i++) {
        unsigned char *bytes = content_of(i);

        assert_ok(store_resolve(store, tickets[i], &id, &err));
        assert_reads(store_catalog(store), &id, bytes, length_of(i));
        free(bytes);
    }
}

static void put__comes_back_after_the_flush(void **state)
{
    static store_ticket tickets[MANY];
    struct catalog *cat = make_catalogue();
    struct store *store = begin_store(cat);
    struct store_stats stats;
    struct error err = ERROR_INIT;

    (void)state;
    put_all(store, tickets);
    assert_ok(store_flush(store, &err));
    read_all(store, tickets);
    store_stats(store, &stats);
    assert_int_equal(stats.chunks_put, MANY);
    assert_int_equal(stats.packs, find_packs().packs);
    assert_int_equal(find_packs().parts, 0);
    store_free(store);
    catalog_close(cat);
    cat = open_catalogue(CATALOG_WRITE);
    store = begin_store(cat);
    put_all(store, tickets); /* a second time: all of it stands */
    assert_ok(store_flush(store, &err));
    store_stats(store, &stats);
    assert_int_equal(stats.chunks_new, 0);
    assert_int_equal(stats.packs, 0);
    read_all(store, tickets);
    store_free(store);
    catalog_close(cat);
}

static void put__small_packs_come_back_too(void **state)
{
    static store_ticket tickets[MANY];
    const struct store_options options = {.pack_size = 16 << 10, .workers = 3, .level = 1};
    struct catalog *cat = make_catalogue();
    struct store *store = NULL;
    struct error err = ERROR_INIT;

    (void)state;
    assert_ok(store_begin(cat, &options, &store, &err));
    put_all(store, tickets);
    assert_ok(store_claim(store, &err));
    put_all(store, tickets); /* duplicates of what is open, sealed, written, claimed and in place */
    assert_ok(store_flush(store, &err));
    assert_true(find_packs().packs > 3);
    read_all(store, tickets);
    store_free(store);
    catalog_close(cat);
}

static void put__same_content_is_stored_once(void **state)
{
    struct catalog *cat = make_catalogue();
    struct store *store = begin_store(cat);
    struct error err = ERROR_INIT;
    struct chunk_id first, second, third;
    struct store_stats stats;
    store_ticket a, b, c;

    (void)state;
    assert_ok(store_put(store, CHUNK_DATA, 1, "basket", 6, &a, &err));
    assert_ok(store_put(store, CHUNK_DATA, 2, "basket", 6, &b, &err));
    assert_ok(store_put(store, CHUNK_TREE, 1, "basket", 6, &c, &err));
    assert_ok(store_flush(store, &err));
    assert_ok(store_resolve(store, a, &first, &err));
    assert_ok(store_resolve(store, b, &second, &err));
    assert_ok(store_resolve(store, c, &third, &err));
    assert_true(chunk_id_equal(&first, &second));
    assert_false(chunk_id_equal(&first, &third)); /* the type is part of an id */
    store_stats(store, &stats);
    assert_int_equal(stats.chunks_put, 3);
    assert_int_equal(stats.chunks_new, 2);
    store_free(store);
    catalog_close(cat);
}

static void put__what_does_not_belong_is_refused(void **state)
{
    unsigned char *bytes = calloc(1, CHUNK_LEN_MAX + 1);
    struct catalog *cat = make_catalogue();
    struct store *store = begin_store(cat), *records = NULL;
    struct error err = ERROR_INIT;
    struct catalog *reader;
    store_ticket ticket;

    (void)state;
    assert_non_null(bytes);
    assert_int_equal(store_put(store, CHUNK_DATA, 0, bytes, CHUNK_LEN_MAX + 1, &ticket, &err), ERR_USAGE);
    assert_int_equal(store_put(store, CHUNK_SNAPSHOT, 0, bytes, 10, &ticket, &err), ERR_USAGE);
    assert_ok(store_put(store, CHUNK_DATA, 0, bytes, 10, &ticket, &err)); /* the store is not broken by that */
    store_free(store);
    assert_ok(store_begin_records(cat, &records, &err));
    assert_int_equal(store_put(records, CHUNK_DATA, 0, bytes, 10, &ticket, &err), ERR_USAGE);
    assert_ok(store_put(records, CHUNK_SNAPSHOT, 0, bytes, 10, &ticket, &err));
    assert_ok(store_flush(records, &err));
    store_free(records);
    reader = open_catalogue(CATALOG_READ);
    assert_int_equal(store_begin(reader, NULL, &store, &err), ERR_REFUSED);
    catalog_close(reader);
    catalog_close(cat);
    free(bytes);
}

static void resolve__needs_a_claim_first(void **state)
{
    struct catalog *cat = make_catalogue();
    struct store *store = begin_store(cat);
    struct error err = ERROR_INIT;
    struct chunk_id early, late;
    store_ticket ticket;
    struct chunk_row row;
    bool found = false;

    (void)state;
    assert_ok(store_put(store, CHUNK_DATA, 0, "tax", 3, &ticket, &err));
    assert_int_equal(store_resolve(store, ticket, &early, &err), ERR_USAGE);
    assert_ok(store_claim(store, &err));
    assert_ok(store_resolve(store, ticket, &early, &err));
    assert_ok(catalog_chunk_find(cat, &early, &row, &found, &err));
    assert_false(found && chunk_row_stands(&row));
    assert_ok(store_claim(store, &err)); /* nothing to do */
    assert_ok(store_flush(store, &err));
    assert_ok(store_resolve(store, ticket, &late, &err));
    assert_true(chunk_id_equal(&early, &late));
    assert_ok(catalog_chunk_find(cat, &early, &row, &found, &err));
    assert_true(found && chunk_row_stands(&row));
    assert_reads(cat, &early, "tax", 3);
    store_free(store);
    catalog_close(cat);
}

static void free__without_flush_leaves_nothing(void **state)
{
    static store_ticket tickets[MANY];
    struct catalog *cat = make_catalogue();
    struct store *store = begin_store(cat);
    struct error err = ERROR_INIT;
    struct chunk_row row;
    struct chunk_id id;
    store_ticket ticket;
    bool found = true;

    (void)state;
    put_all(store, tickets);
    assert_ok(store_claim(store, &err));
    assert_ok(store_put(store, CHUNK_DATA, 0, "late", 4, &ticket, &err));
    assert_ok(store_resolve(store, tickets[100], &id, &err));
    store_free(store);
    assert_int_equal(find_packs().packs, 0);
    assert_int_equal(find_packs().parts, 0);
    assert_ok(index_chunk_find(cat->index, &id, &row, &found, &err));
    assert_false(found); /* the claim was withdrawn */
    catalog_close(cat);
    catalog_close(open_catalogue(CATALOG_WRITE));
}

static void flush__of_nothing_makes_no_pack(void **state)
{
    struct catalog *cat = make_catalogue();
    struct store *store = begin_store(cat);
    struct error err = ERROR_INIT;

    (void)state;
    assert_ok(store_flush(store, &err));
    assert_ok(store_flush(store, &err));
    assert_int_equal(find_packs().packs, 0);
    store_free(store);
    catalog_close(cat);
}

static void tickets__of_a_large_shop_are_all_remembered(void **state)
{
    enum { PUTS = 120000, CONTENTS = 40000 }; /* more than a pack takes, and more than fits in memory */
    static store_ticket tickets[PUTS];
    static struct chunk_id ids[CONTENTS];
    struct catalog *cat = make_catalogue();
    struct store *store = begin_store(cat);
    struct error err = ERROR_INIT;
    struct chunk_id id;

    (void)state;
    for (unsigned i = 0; i < PUTS; i++) {
        uint32_t content = i % CONTENTS;

        assert_ok(store_put(store, CHUNK_DATA, 0, &content, sizeof(content), &tickets[i], &err));
    }
    assert_ok(store_flush(store, &err));
    assert_true(find_packs().packs > 1);
    for (unsigned i = 0; i < CONTENTS; i++)
        assert_ok(store_resolve(store, tickets[i], &ids[i], &err));
    for (unsigned i = PUTS; i-- > 0;) {
        assert_ok(store_resolve(store, tickets[i], &id, &err));
        assert_true(chunk_id_equal(&id, &ids[i % CONTENTS]));
    }
    store_free(store);
    catalog_close(cat);
}

static void frames__dense_content_is_stored_as_it_is(void **state)
{
    enum { LEN = 1 << 20 };
    unsigned char *random = malloc(LEN), *ramp = malloc(LEN);
    struct catalog *cat = make_catalogue();
    struct chunk_id id;
    uint64_t size;

    (void)state;
    assert_true(random && ramp);
    fill_random(random, LEN, 5);
    for (size_t i = 0; i < LEN; i++)
        ramp[i] = (unsigned char)(i * 7); /* every byte as often as any other, and yet it compresses */
    id = put_one(cat, random, LEN);
    size = find_packs().size;
    assert_in_range(size, LEN, LEN + 1024);
    assert_reads(cat, &id, random, LEN);
    id = put_one(cat, ramp, LEN);
    assert_reads(cat, &id, ramp, LEN);
    catalog_close(cat);
    assert_int_equal(system("test $(du -sb " CATALOGUE "/packs | cut -f1) -lt 1100000"), 0);
    free(random);
    free(ramp);
}

static void stream__comes_back_in_order(void **state)
{
    enum { LEN = 5000000 };
    unsigned char *bytes = malloc(LEN);
    struct buffer back = BUFFER_INIT(CHUNK_LEN_MAX);
    struct catalog *cat = make_catalogue();
    struct store *store = begin_store(cat);
    struct store_stream *stream = NULL;
    struct error err = ERROR_INIT;
    uint64_t chunks = 0, total = 0;
    struct chunk_id id;
    size_t at = 0;

    (void)state;
    assert_non_null(bytes);
    fill_text(bytes, LEN, 9);
    assert_ok(store_stream_begin(store, 3, &stream, &err));
    for (size_t step = 1; at < LEN; step = step * 3 % 70001) {
        size_t piece = step < LEN - at ? step : LEN - at;

        assert_ok(store_stream_write(stream, bytes + at, piece, &err));
        at += piece;
    }
    assert_ok(store_stream_end(stream, &chunks, &total, &err));
    assert_int_equal(total, LEN);
    assert_true(chunks > 5);
    assert_ok(store_flush(store, &err));
    at = 0;
    for (uint64_t i = 0; i < chunks; i++) {
        assert_ok(store_stream_id(stream, i, &id, &err));
        assert_ok(chunk_read(cat, &id, CHUNK_DATA, &back, &err));
        assert_memory_equal(bytes + at, back.data, back.len);
        at += back.len;
    }
    assert_int_equal(at, LEN);
    assert_int_equal(store_stream_id(stream, chunks, &id, &err), ERR_USAGE);
    store_stream_free(stream);
    store_free(store);
    catalog_close(cat);
    buffer_release(&back);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(put__comes_back_after_the_flush),
        folder_test(put__small_packs_come_back_too),
        folder_test(put__same_content_is_stored_once),
        folder_test(put__what_does_not_belong_is_refused),
        folder_test(resolve__needs_a_claim_first),
        folder_test(free__without_flush_leaves_nothing),
        folder_test(flush__of_nothing_makes_no_pack),
        folder_test(tickets__of_a_large_shop_are_all_remembered),
        folder_test(frames__dense_content_is_stored_as_it_is),
        folder_test(stream__comes_back_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
