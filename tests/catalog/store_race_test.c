/*
 * Several writers at once on one catalogue, with contents that partly are the same. In a build with a weak hash (NOPSNAP_WEAK_HASH_BITS)
 * nearly every content collides, within a writer and between writers, and everything must come back right all the same (P5).
 */
#include "catalog_fixture.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#define WRITERS 3
#define CHUNKS 1500
#define LEN_MAX 700

/* Two thirds of what a writer has, the others have too. */
static size_t content(unsigned char *out, unsigned writer, unsigned i)
{
    uint64_t seed = i % 3 == 0 ? 1000000 + writer * CHUNKS + i : i;
    size_t len = 1 + mix(seed + 17) % LEN_MAX;

    if (mix(seed) % 4 == 0)
        fill_random(out, len, seed);
    else
        fill_text(out, len, seed);
    if (len > 8) /* different for certain */
        memcpy(out + len - 8, &seed, 8);
    return len;
}

static void write_ids(unsigned writer, const struct chunk_id *ids)
{
    struct error err = ERROR_INIT;
    char name[32];

    snprintf(name, sizeof(name), "ids-%u", writer);
    assert_ok(file_replace(name, ids, CHUNKS * sizeof(*ids), 0600, &err));
}

static void read_ids(unsigned writer, struct chunk_id *ids)
{
    struct buffer bytes = BUFFER_INIT(CHUNKS * sizeof(*ids));
    struct error err = ERROR_INIT;
    char name[32];

    snprintf(name, sizeof(name), "ids-%u", writer);
    assert_ok(file_read_whole(AT_FDCWD, name, CHUNKS * sizeof(*ids), &bytes, &err));
    assert_int_equal(bytes.len, CHUNKS * sizeof(*ids));
    memcpy(ids, bytes.data, bytes.len);
    buffer_release(&bytes);
}

/* Small packs, claims now and then, flushes now and then: every interleaving gets its chance. */
static void write_all(unsigned writer)
{
    const struct store_options options = {.pack_size = 60000, .workers = 2};
    static store_ticket tickets[CHUNKS];
    static struct chunk_id ids[CHUNKS];
    struct catalog *cat = open_catalogue(CATALOG_WRITE);
    struct store *store = NULL;
    struct error err = ERROR_INIT;
    unsigned char bytes[LEN_MAX];

    assert_ok(store_begin(cat, &options, &store, &err));
    for (unsigned i = 0; i < CHUNKS; i++) {
        size_t len = content(bytes, writer, i);

        assert_ok(store_put(store, CHUNK_DATA, i % 3, bytes, len, &tickets[i], &err));
        if (i % 211 == writer)
            assert_ok(store_claim(store, &err));
        if (i % 307 == writer)
            assert_ok(store_flush(store, &err));
    }
    assert_ok(store_flush(store, &err));
    for (unsigned i = 0; i < CHUNKS; i++)
        assert_ok(store_resolve(store, tickets[i], &ids[i], &err));
    write_ids(writer, ids);
    store_free(store);
    catalog_close(cat);
}

static void read_all(struct catalog *cat, unsigned writer)
{
    static struct chunk_id ids[CHUNKS];
    unsigned char bytes[LEN_MAX];

    read_ids(writer, ids);
    for (unsigned i = 0; i < CHUNKS; i++) {
        size_t len = content(bytes, writer, i);

        assert_reads(cat, &ids[i], bytes, len);
    }
}

/* One id names one byte string: no footer may claim an id that another footer has for other content. */
struct all_ids {
    struct catalog *cat;
    unsigned entries;
};

static enum error_kind see_pack(void *arg, const struct pack_row *row, struct error *err)
{
    struct all_ids *all = arg;
    struct pack *pack = NULL;
    struct footer_chunk c;

    assert_int_equal(row->state, PACK_IN_PLACE);
    assert_int_equal(pack_open(all->cat->dirfd, row->name, &all->cat->format, &pack, err), OK);
    for (uint32_t i = 0; i < pack_chunk_count(pack); i++) {
        struct chunk_row found;
        bool there = false;

        pack_chunk_at(pack, i, &c);
        assert_int_equal(index_chunk_find(all->cat->index, &c.id, &found, &there, err), OK);
        assert_true(there && found.pack == row->number && found.frame == c.frame && found.offset == c.offset);
        all->entries++;
    }
    pack_close(pack);
    return OK;
}

static int64_t number_of(struct index *ix, const char *sql)
{
    struct index_statement *st = NULL;
    struct error err = ERROR_INIT;
    bool row = false;
    int64_t n;

    assert_ok(index_prepare(ix, sql, &st, &err));
    assert_ok(index_step(st, &row, &err));
    assert_true(row);
    n = index_number(st, 0);
    index_finish(st);
    return n;
}

static void writers__at_once_all_come_back(void **state)
{
    struct error err = ERROR_INIT;
    struct all_ids all = {0};
    struct catalog *cat;
    pid_t children[WRITERS];
    int status = 0;

    (void)state;
    catalog_close(make_catalogue());
    for (unsigned i = 0; i < WRITERS; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            write_all(i); /* a failed assertion ends in cmocka's own exit, which is not 0 */
            _exit(0);
        }
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    cat = open_catalogue(CATALOG_WRITE);
    for (unsigned i = 0; i < WRITERS; i++)
        read_all(cat, i);
    all.cat = cat;
    assert_ok(index_pack_each(cat->index, see_pack, &all, &err));
    assert_int_equal(all.entries, number_of(cat->index, "SELECT count(*) FROM chunks"));
    if (NOPSNAP_WEAK_HASH_BITS != 0 && NOPSNAP_WEAK_HASH_BITS <= 10)
        assert_true(number_of(cat->index, "SELECT max(attempt) FROM chunks") > 1); /* collisions there were */
    catalog_close(cat);
}

/* What stands is found again by content, attempt by attempt. */
static void writer__finds_its_own_again(void **state)
{
    struct store_stats stats;
    struct error err = ERROR_INIT;
    unsigned char bytes[LEN_MAX];
    struct catalog *cat;
    struct store *store;
    store_ticket ticket;

    (void)state;
    catalog_close(make_catalogue());
    write_all(0);
    cat = open_catalogue(CATALOG_WRITE);
    read_all(cat, 0);
    store = begin_store(cat);
    for (unsigned i = 0; i < CHUNKS; i++) {
        size_t len = content(bytes, 0, i);

        assert_ok(store_put(store, CHUNK_DATA, 0, bytes, len, &ticket, &err));
    }
    assert_ok(store_flush(store, &err));
    store_stats(store, &stats);
    assert_int_equal(stats.chunks_new, 0);
    store_free(store);
    catalog_close(cat);
}

/*
 * kill -9 at any moment: what was in place before stays readable, the next writer is not hindered, and who is alone finds index and packs in
 * agreement (P4, C1).
 */
static void writer__killed_at_any_moment_does_no_harm(void **state)
{
    static const struct timespec moment = {0, 1000};
    struct error err = ERROR_INIT;
    struct catalog *cat;
    int status = 0;

    (void)state;
    catalog_close(make_catalogue());
    write_all(0);
    for (unsigned round = 1; round <= 25; round++) {
        pid_t child = fork();

        assert_true(child >= 0);
        if (child == 0) {
            write_all(round); /* other contents, for the most part, than any round before */
            _exit(0);
        }
        for (uint64_t i = mix(round) % 900; i > 0; i--)
            nanosleep(&moment, NULL);
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        cat = open_catalogue(CATALOG_WRITE);
        if (round % 2 == 0) {
            assert_ok(catalog_lock_alone(cat, 0, &err));
            assert_ok(catalog_finish_announced(cat, &err));
        }
        read_all(cat, 0);
        catalog_close(cat);
    }
    write_all(1);
    cat = open_catalogue(CATALOG_WRITE);
    read_all(cat, 0);
    read_all(cat, 1);
    catalog_close(cat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(writer__finds_its_own_again),
        folder_test(writers__at_once_all_come_back),
        folder_test(writer__killed_at_any_moment_does_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
