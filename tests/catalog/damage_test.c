/* Damage to a pack, in every class of its bytes: reported, never other bytes; and repaired by the same content coming in again (P5, P6). */
#include "catalog_fixture.h"

#define CHUNKS 20
#define LEN 3000

static void content(unsigned char *out, unsigned i)
{
    fill_text(out, LEN, i + 1);
}

static void put_some(struct catalog *cat, struct chunk_id *ids, struct store_stats *stats)
{
    struct store *store = begin_store(cat);
    struct error err = ERROR_INIT;
    store_ticket tickets[CHUNKS];
    unsigned char bytes[LEN];

    for (unsigned i = 0; i < CHUNKS; i++) {
        content(bytes, i);
        assert_ok(store_put(store, CHUNK_DATA, 0, bytes, LEN, &tickets[i], &err));
    }
    assert_ok(store_flush(store, &err));
    for (unsigned i = 0; i < CHUNKS; i++)
        assert_ok(store_resolve(store, tickets[i], &ids[i], &err));
    store_stats(store, stats);
    store_free(store);
}

/* How many chunks are reported as damaged; any that come back must be right. */
static unsigned damaged_of(struct catalog *cat, const struct chunk_id *ids)
{
    struct buffer out = BUFFER_INIT(CHUNK_LEN_MAX);
    struct error err = ERROR_INIT;
    unsigned char bytes[LEN];
    unsigned damaged = 0;

    for (unsigned i = 0; i < CHUNKS; i++) {
        enum error_kind rc = chunk_read(cat, &ids[i], CHUNK_DATA, &out, &err);

        content(bytes, i);
        if (rc) {
            assert_int_equal(rc, ERR_CORRUPT);
            damaged++;
        } else {
            assert_int_equal(out.len, LEN);
            assert_memory_equal(out.data, bytes, LEN);
        }
    }
    buffer_release(&out);
    return damaged;
}

struct place {
    const char *what;
    int64_t from_start; /* or, below zero, from the end */
};

static void flip__is_reported_and_repaired(void **state)
{
    static const struct place places[] = {
        {"header's magic", 0},
        {"header's seed", 50},
        {"header's checksum", 125},
        {"frame header's magic", 128},
        {"frame header's codec", 132},
        {"frame header's raw length", 137},
        {"frame header's stored", 141},
        {"frame header's checksum", 147},
        {"frame body's begin", 160},
        {"frame body", 1000},
        {"footer's last entry", -70},
        {"footer's first counts", -64 - 8 - 20 - 49 * CHUNKS},
        {"footer's frame", -64 - 49 * CHUNKS - 10},
        {"trailer's footer offset", -64},
        {"trailer's sum", -40},
        {"trailer's name", -30},
        {"trailer's zero", -12},
        {"trailer's magic", -1},
    };
    struct chunk_id ids[CHUNKS], again[CHUNKS];
    struct store_stats stats;

    (void)state;
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
        struct catalog *cat = make_catalogue();
        struct found_pack pack;

        put_some(cat, ids, &stats);
        assert_int_equal(damaged_of(cat, ids), 0);
        assert_false(catalog_damaged(cat));
        catalog_close(cat);
        pack = find_packs();
        assert_int_equal(pack.packs, 1);
        flip_byte(pack.path,
                  places[i].from_start >= 0 ? (uint64_t)places[i].from_start
                                            : pack.size - (uint64_t)-places[i].from_start,
                  0x10);
        cat = open_catalogue(CATALOG_WRITE);
        if (damaged_of(cat, ids) != CHUNKS)
            fail_msg("flip in the %s went unnoticed", places[i].what);
        assert_true(catalog_damaged(cat));
        put_some(cat, again, &stats);
        assert_int_equal(stats.repaired, CHUNKS);
        assert_memory_equal(ids, again, sizeof(ids)); /* the same ids: whoever refers to them is whole again */
        assert_int_equal(damaged_of(cat, ids), 0);
        assert_false(catalog_damaged(cat));
        put_some(cat, again, &stats);
        assert_int_equal(stats.chunks_new, 0);
        catalog_close(cat);
        assert_int_equal(system("rm -r " CATALOGUE), 0);
    }
}

/* Else the commit, which refuses a damaged place, would refuse every snapshot from then on. */
static void damage__that_reads_well_again_is_stored_anew_all_the_same(void **state)
{
    struct catalog *cat = make_catalogue();
    struct error err = ERROR_INIT;
    struct chunk_id ids[CHUNKS], again[CHUNKS];
    struct chunk_row row;
    struct store_stats stats;
    bool found = false;

    (void)state;
    put_some(cat, ids, &stats);
    assert_ok(index_chunk_find(cat->index, &ids[0], &row, &found, &err));
    catalog_note_damage(cat, row.pack, row.frame, "a fault that passed");
    put_some(cat, again, &stats);
    assert_int_equal(stats.repaired, CHUNKS); /* they share the frame */
    assert_memory_equal(ids, again, sizeof(ids));
    for (unsigned i = 0; i < CHUNKS; i++) {
        assert_ok(index_chunk_find(cat->index, &ids[i], &row, &found, &err));
        assert_true(found && chunk_row_stands(&row));
    }
    assert_false(catalog_damaged(cat));
    catalog_close(cat);
}

/* Another writer's transaction keeps the damage from being noted: the repair counts all the same. */
static void repair__is_not_lost_when_the_damage_could_not_be_noted(void **state)
{
    struct catalog *cat = make_catalogue();
    struct error err = ERROR_INIT;
    struct chunk_id ids[CHUNKS], again;
    struct index *other = NULL;
    struct store *store;
    struct store_stats stats;
    struct found_pack pack;
    unsigned char bytes[LEN];
    store_ticket ticket;

    (void)state;
    put_some(cat, ids, &stats);
    catalog_close(cat);
    pack = find_packs();
    flip_byte(pack.path, 1000, 0x10);
    cat = open_catalogue(CATALOG_WRITE);
    store = begin_store(cat);
    assert_ok(index_open(CATALOGUE "/" INDEX_NAME, INDEX_WRITE, &other, &err));
    assert_ok(index_begin(other, &err));
    content(bytes, 0);
    assert_ok(store_put(store, CHUNK_DATA, 0, bytes, LEN, &ticket, &err));
    index_close(other);
    assert_false(catalog_damaged(cat));
    assert_ok(store_flush(store, &err));
    assert_ok(store_resolve(store, ticket, &again, &err));
    store_stats(store, &stats);
    store_free(store);
    assert_int_equal(stats.repaired, 1);
    assert_true(chunk_id_equal(&ids[0], &again));
    assert_reads(cat, &again, bytes, LEN);
    catalog_close(cat);
}

static void cut__at_any_length_is_reported(void **state)
{
    struct catalog *cat = make_catalogue();
    struct chunk_id ids[CHUNKS];
    struct store_stats stats;
    struct found_pack pack;

    (void)state;
    put_some(cat, ids, &stats);
    catalog_close(cat);
    pack = find_packs();
    for (uint64_t len = pack.size; len-- > 0; len -= len > 300 ? mix(len) % 97 : 0) {
        assert_int_equal(truncate(pack.path, (off_t)len), 0);
        cat = open_catalogue(CATALOG_WRITE);
        assert_int_equal(damaged_of(cat, ids), CHUNKS);
        catalog_close(cat);
    }
}

/* P7: what is read through the index is checked against the pack. */
static void index__row_that_disagrees_is_damage(void **state)
{
    struct catalog *cat = make_catalogue();
    struct error err = ERROR_INIT;
    struct buffer out = BUFFER_INIT(CHUNK_LEN_MAX);
    struct chunk_row good, bad;
    struct chunk_id ids[CHUNKS];
    struct store_stats stats;
    bool found = false;

    (void)state;
    put_some(cat, ids, &stats);
    assert_ok(index_chunk_find(cat->index, &ids[5], &good, &found, &err));
    assert_true(found && good.in_place);
    for (int i = 0; i < 6; i++) {
        bad = good;
        bad.offset += i == 0 ? LEN : 0;
        bad.len -= i == 1;
        bad.frame += i == 2;
        bad.type = i == 3 ? CHUNK_TREE : bad.type;
        bad.pack += i == 4;
        bad.offset -= i == 5;
        assert_ok(index_begin(cat->index, &err));
        assert_ok(index_chunk_update(cat->index, &bad, &err));
        assert_ok(index_commit(cat->index, &err));
        assert_int_equal(chunk_read(cat, &ids[5], CHUNK_DATA, &out, &err), ERR_CORRUPT);
        assert_true(err.hint[0] != '\0');
    }
    buffer_release(&out);
    catalog_close(cat);
}

static void index__row_with_a_wrong_checksum_is_damage(void **state)
{
    struct catalog *cat = make_catalogue();
    struct error err = ERROR_INIT;
    struct chunk_id ids[CHUNKS];
    struct chunk_place place;
    struct store_stats stats;

    (void)state;
    put_some(cat, ids, &stats);
    assert_ok(index_run(cat->index, "UPDATE chunks SET len = len + 1", &err));
    assert_int_equal(chunk_find(cat, &ids[0], &place, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.hint, "rebuild"));
    catalog_close(cat);
}

/* What the index gets wrong is not mended by storing everything once more. */
static void put__damaged_row_of_a_pack_is_no_damage_to_its_chunks(void **state)
{
    struct catalog *cat = make_catalogue();
    struct store *store;
    struct error err = ERROR_INIT;
    struct chunk_id ids[CHUNKS];
    struct store_stats stats;
    unsigned char bytes[LEN];
    store_ticket ticket;

    (void)state;
    put_some(cat, ids, &stats);
    chunk_cache_drop(cat, 0);
    assert_ok(index_run(cat->index, "UPDATE packs SET sum = sum + 1", &err));
    store = begin_store(cat);
    content(bytes, 0);
    assert_int_equal(store_put(store, CHUNK_DATA, 0, bytes, LEN, &ticket, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.hint, "rebuild"));
    store_stats(store, &stats);
    assert_int_equal(stats.damaged, 0);
    store_free(store);
    assert_false(catalog_damaged(cat));
    catalog_close(cat);
}

static void read__unknown_or_of_another_type(void **state)
{
    struct catalog *cat = make_catalogue();
    struct buffer out = BUFFER_INIT(CHUNK_LEN_MAX), small = BUFFER_INIT(2);
    struct chunk_id id = put_one(cat, "four", 4), unknown = id;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(chunk_read(cat, &id, CHUNK_TREE, &out, &err), ERR_CORRUPT);
    assert_int_equal(chunk_read(cat, &id, CHUNK_DATA, &small, &err), ERR_MEMORY);
    unknown.attempt = 1;
    assert_int_equal(chunk_read(cat, &unknown, CHUNK_DATA, &out, &err), ERR_CORRUPT);
    assert_ok(chunk_read(cat, &id, CHUNK_DATA, &out, &err));
    buffer_release(&out);
    buffer_release(&small);
    catalog_close(cat);
}

struct reading {
    struct catalog *cat;
    const struct chunk_id *ids;
    unsigned failures;
};

static void *read_around(void *arg)
{
    struct reading *r = arg;
    struct buffer out = BUFFER_INIT(CHUNK_LEN_MAX);
    struct error err = ERROR_INIT;
    unsigned char bytes[LEN];

    for (unsigned i = 0; i < 2000; i++) {
        unsigned k = (unsigned)(mix(i * 31 + (uintptr_t)arg) % CHUNKS);

        content(bytes, k);
        if (chunk_read(r->cat, &r->ids[k], CHUNK_DATA, &out, &err) || out.len != LEN ||
            memcmp(out.data, bytes, LEN) != 0)
            r->failures++;
    }
    buffer_release(&out);
    return NULL;
}

static void read__from_many_threads(void **state)
{
    struct catalog *cat = make_catalogue();
    struct reading readings[4];
    pthread_t threads[4];
    struct chunk_id ids[CHUNKS];
    struct store_stats stats;

    (void)state;
    put_some(cat, ids, &stats);
    for (int i = 0; i < 4; i++) {
        readings[i] = (struct reading){cat, ids, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, read_around, &readings[i]), 0);
    }
    for (int i = 0; i < 20; i++)
        chunk_cache_drop(cat, 0); /* as prune does */
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(readings[i].failures, 0);
    }
    catalog_close(cat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(flip__is_reported_and_repaired),
        folder_test(damage__that_reads_well_again_is_stored_anew_all_the_same),
        folder_test(flip__is_reported_and_repaired),
        folder_test(repair__is_not_lost_when_the_damage_could_not_be_noted),
        folder_test(cut__at_any_length_is_reported),
        folder_test(index__row_that_disagrees_is_damage),
        folder_test(index__row_with_a_wrong_checksum_is_damage),
        folder_test(put__damaged_row_of_a_pack_is_no_damage_to_its_chunks),
        folder_test(read__unknown_or_of_another_type),
        folder_test(read__from_many_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
