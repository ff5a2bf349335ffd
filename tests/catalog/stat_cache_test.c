/* The stat cache: what it answers, and above all what it does not. */
#undef _FORTIFY_SOURCE /* its inline functions stand where ours shall */

#include "stat_cache_internal.h"

#include "maintain_support.h"
#include "tree.h"

#include <errno.h>
#include <sys/syscall.h>

static int reads_left = -1; /* before every read fails; below 0: none does */

/* Stands before the C library's. */
ssize_t read(int fd, void *buf, size_t nbytes)
{
    if (reads_left == 0) {
        errno = EIO;
        return -1;
    }
    reads_left -= reads_left > 0;
    return syscall(SYS_read, fd, buf, nbytes);
}

#define STARTED INT64_C(1700000000000000000)

static const char *const walk[] = {"", "a", "a/b", "a/c", "a b", "a!b", "b", "b/\xff", "z"};
enum { WALK = sizeof(walk) / sizeof(*walk) };

static struct stat_key key_of(unsigned n)
{
    return (struct stat_key){.device = 1,
                             .inode = 100 + n,
                             .size = n,
                             .ctime_sec = 1699999000,
                             .mtime_sec = 1600000000,
                             .ctime_nsec = n,
                             .mtime_nsec = n,
                             .mode = 0100644};
}

static void encoded_file(const struct chunk_id *id, struct buffer *out)
{
    struct error err = ERROR_INIT;
    struct tree_entry e = {.type = TREE_FILE, .mode = 0644, .size = 3, .chunks = id, .chunk_count = id != NULL};

    buffer_clear(out);
    assert_int_equal(tree_entry_encode(&e, out, &err), OK);
}

/* A cache of the walk above, each entry naming the given id (or none). */
static void write_cache(struct catalog *cat, const struct chunk_id *id)
{
    struct stat_cache_writer *w = NULL;
    struct buffer encoded = BUFFER_INIT(4096);
    struct error err = ERROR_INIT;

    encoded_file(id, &encoded);
    assert_int_equal(stat_cache_begin(cat, SITE, "site", STARTED, &w, &err), OK);
    for (unsigned i = 0; i < WALK; i++) {
        struct stat_key key = key_of(i);

        assert_int_equal(stat_cache_add(w, walk[i], &key, encoded.data, encoded.len, &err), OK);
    }
    assert_int_equal(stat_cache_commit(w, &err), OK);
    buffer_release(&encoded);
}

static bool answers(struct stat_cache_reader *r, const char *path, const struct stat_key *key)
{
    const void *encoded = NULL;
    struct error err = ERROR_INIT;
    size_t len = 0;

    if (stat_cache_get(r, path, key, &encoded, &len, &err) != OK)
        fail_msg("%s", err.text);
    return encoded != NULL;
}

static unsigned count_answers(struct catalog *cat, const char *site, const char *root)
{
    struct stat_cache_reader *r = NULL;
    struct error err = ERROR_INIT;
    unsigned count = 0;

    assert_int_equal(stat_cache_open(cat, site, root, &r, &err), OK);
    for (unsigned i = 0; r && i < WALK; i++) {
        struct stat_key key = key_of(i);

        count += answers(r, walk[i], &key);
    }
    stat_cache_close(r);
    return count;
}

static void cache__answers_for_what_is_unchanged(void **state)
{
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    assert_int_equal(count_answers(cat, SITE, "site"), 0);
    write_cache(cat, NULL);
    assert_int_equal(count_answers(cat, SITE, "site"), WALK);
    assert_int_equal(count_answers(cat, SITE, "pictures"), 0);
    assert_int_equal(count_answers(cat, "ffffffffffffffff", "site"), 0);
    catalog_close(cat);
}

/* It is disposable: a bad block in it costs time, never a snapshot. */
static void cache__that_cannot_be_read_has_no_answers(void **state)
{
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    write_cache(cat, NULL);
    for (int left = 0; left < 3; left++) { /* its header, a block's header, the block */
        reads_left = left;
        assert_int_equal(count_answers(cat, SITE, "site"), 0);
        assert_int_equal(reads_left, 0);
    }
    reads_left = -1;
    assert_int_equal(count_answers(cat, SITE, "site"), WALK);
    catalog_close(cat);
}

static void cache__each_part_of_the_key_counts(void **state)
{
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    write_cache(cat, NULL);
    for (unsigned i = 0; i < 8; i++) {
        struct stat_key key = key_of(2);
        struct stat_cache_reader *r = NULL;
        struct error err = ERROR_INIT;

        key.device += i == 0;
        key.inode += i == 1;
        key.size += i == 2;
        key.ctime_sec += i == 3;
        key.mtime_sec += i == 4;
        key.ctime_nsec += i == 5;
        key.mtime_nsec += i == 6;
        key.mode ^= i == 7;
        assert_int_equal(stat_cache_open(cat, SITE, "site", &r, &err), OK);
        assert_false(answers(r, walk[2], &key));
        stat_cache_close(r);
    }
    catalog_close(cat);
}

static void cache__new_and_vanished_files_do_not_confuse_it(void **state)
{
    struct catalog *cat = open_catalog(CATALOG_WRITE);
    struct stat_cache_reader *r = NULL;
    struct error err = ERROR_INIT;
    struct stat_key key = key_of(0);

    (void)state;
    write_cache(cat, NULL);
    assert_int_equal(stat_cache_open(cat, SITE, "site", &r, &err), OK);
    assert_true(answers(r, "", &key));
    assert_false(answers(r, "a/aa", &key)); /* new; "a" has gone */
    key = key_of(3);
    assert_true(answers(r, "a/c", &key));
    assert_false(answers(r, "a/d", &key));
    key = key_of(6);
    assert_true(answers(r, "b", &key));
    assert_false(answers(r, "zz", &key));
    stat_cache_close(r);
    catalog_close(cat);
}

static void cache__young_entries_are_not_kept(void **state)
{
    struct catalog *cat = open_catalog(CATALOG_WRITE);
    struct stat_cache_writer *w = NULL;
    struct stat_cache_reader *r = NULL;
    struct buffer encoded = BUFFER_INIT(4096);
    struct error err = ERROR_INIT;
    struct stat_key old = key_of(1), young = key_of(2), future = key_of(3);

    (void)state;
    old.ctime_sec = STARTED / 1000000000 - 2;
    old.ctime_nsec = 0;
    young.ctime_sec = STARTED / 1000000000 - 2; /* exactly 2 s before is too young, a nanosecond more is not */
    young.ctime_nsec = 1;
    old.ctime_sec--;
    old.ctime_nsec = 999999999;
    future.ctime_sec = STARTED / 1000000000 + 1000;
    encoded_file(NULL, &encoded);
    assert_int_equal(stat_cache_begin(cat, SITE, "site", STARTED, &w, &err), OK);
    assert_int_equal(stat_cache_add(w, "a", &old, encoded.data, encoded.len, &err), OK);
    assert_int_equal(stat_cache_add(w, "b", &young, encoded.data, encoded.len, &err), OK);
    assert_int_equal(stat_cache_add(w, "c", &future, encoded.data, encoded.len, &err), OK);
    assert_int_equal(stat_cache_commit(w, &err), OK);
    assert_int_equal(stat_cache_open(cat, SITE, "site", &r, &err), OK);
    assert_true(answers(r, "a", &old));
    assert_false(answers(r, "b", &young));
    assert_false(answers(r, "c", &future));
    stat_cache_close(r);
    buffer_release(&encoded);
    catalog_close(cat);
}

static struct catalog *raised(struct catalog *cat)
{
    struct error err = ERROR_INIT;

    assert_int_equal(index_begin(cat->index, &err), OK);
    assert_int_equal(catalog_raise_generation(cat, &err), OK);
    assert_int_equal(index_commit(cat->index, &err), OK);
    catalog_close(cat);
    return open_catalog(CATALOG_WRITE);
}

static void cache__of_an_earlier_generation_counts_only_for_ids_that_stand(void **state)
{
    struct shop shop = {.seed = 1, .folders = 1, .files = 4};
    struct snapshot_record record;
    struct buffer encoded = BUFFER_INIT(1 << 16);
    struct tree_scratch *scratch = NULL;
    struct tree_entry e;
    struct chunk_id good, gone;
    struct error err = ERROR_INIT;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    assert_int_equal(tree_lookup(cat, &record.roots[0].tree, "folder000/file0001.txt", &encoded, &err), OK);
    assert_int_equal(tree_scratch_new(&scratch, &err), OK);
    assert_int_equal(tree_entry_decode(scratch, encoded.data, encoded.len, &e, &err), OK);
    assert_true(e.chunk_count > 0);
    good = gone = e.chunks[0];
    gone.hash[0] ^= 1;
    write_cache(cat, &gone);
    assert_int_equal(count_answers(cat, SITE, "site"), WALK); /* S1, S2: believed */
    cat = raised(cat);
    assert_int_equal(count_answers(cat, SITE, "site"), 0);
    write_cache(cat, &good);
    assert_int_equal(count_answers(cat, SITE, "site"), WALK);
    cat = raised(cat);
    assert_int_equal(count_answers(cat, SITE, "site"), WALK);
    tree_scratch_free(scratch);
    buffer_release(&encoded);
    snapshot_record_release(&record);
    catalog_close(cat);
}

static void cache__ids_known_to_be_damaged_do_not_count(void **state)
{
    struct shop shop = {.seed = 1, .folders = 1, .files = 4};
    struct snapshot_record record;
    struct chunk_row row;
    struct error err = ERROR_INIT;
    bool found = false;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    write_cache(cat, &record.roots[0].tree);
    assert_int_equal(count_answers(cat, SITE, "site"), WALK);
    assert_int_equal(index_chunk_find(cat->index, &record.roots[0].tree, &row, &found, &err), OK);
    assert_int_equal(index_damage_add(cat->index, row.pack, row.frame, "a test", &err), OK);
    assert_int_equal(count_answers(cat, SITE, "site"), 0);
    snapshot_record_release(&record);
    catalog_close(cat);
}

static void cache__a_damaged_file_costs_time_only(void **state)
{
    struct catalog *cat = open_catalog(CATALOG_WRITE);
    char name[STAT_NAME_MAX], path[STAT_NAME_MAX + 8];
    struct stat st;

    (void)state;
    write_cache(cat, NULL);
    stat_cache_name(SITE, "site", name);
    snprintf(path, sizeof(path), "cat/%s", name);
    assert_int_equal(stat(path, &st), 0);
    for (long at = 0; at < st.st_size; at++) {
        unsigned count;

        flip(path, at, 0x10);
        count = count_answers(cat, SITE, "site");
        /* Bytes 10 to 15 mean nothing; all others are under a checksum, or say how long what it covers is. */
        assert_true(count == 0 || count == WALK);
        if (count == WALK)
            assert_true(at >= 10 && at < 16);
        flip(path, at, 0x10);
    }
    assert_int_equal(count_answers(cat, SITE, "site"), WALK);
    for (off_t len = 0; len < st.st_size; len += 13) {
        assert_int_equal(truncate(path, len), 0);
        assert_int_equal(count_answers(cat, SITE, "site"), 0);
        write_cache(cat, NULL);
    }
    catalog_close(cat);
}

static void cache__a_discarded_one_leaves_the_old_one(void **state)
{
    struct catalog *cat = open_catalog(CATALOG_WRITE);
    struct stat_cache_writer *w = NULL;
    struct error err = ERROR_INIT;

    (void)state;
    write_cache(cat, NULL);
    assert_int_equal(stat_cache_begin(cat, SITE, "site", STARTED, &w, &err), OK);
    stat_cache_discard(w);
    assert_int_equal(count_answers(cat, SITE, "site"), WALK);
    assert_int_equal(system("test -z \"$(find cat/cache -name '*.part')\""), 0);
    catalog_close(cat);
}

static void order__is_that_of_a_walk(void **state)
{
    (void)state;
    for (unsigned i = 0; i + 1 < WALK; i++) {
        if (strcmp(walk[i], "a b") == 0)
            assert_true(stat_path_compare(walk[i], walk[i + 1]) < 0);
        assert_true(stat_path_compare(walk[i], walk[i + 1]) < 0);
        assert_true(stat_path_compare(walk[i + 1], walk[i]) > 0);
        assert_int_equal(stat_path_compare(walk[i], walk[i]), 0);
    }
    assert_true(stat_path_compare("a/z/z", "a b") < 0);
    assert_true(stat_path_compare("a", "a/b") < 0);
}

static void cache__of_many_blocks_is_read_through(void **state)
{
    enum { FILES = 41000 };
    struct catalog *cat = open_catalog(CATALOG_WRITE);
    struct stat_cache_writer *w = NULL;
    struct stat_cache_reader *r = NULL;
    struct buffer encoded = BUFFER_INIT(4096);
    struct error err = ERROR_INIT;
    struct chunk_id id;
    char path[128];
    int64_t began;
    unsigned found = 0;

    (void)state;
    memset(&id, 5, sizeof(id));
    encoded_file(&id, &encoded);
    assert_int_equal(stat_cache_begin(cat, SITE, "site", STARTED, &w, &err), OK);
    for (unsigned i = 0; i < FILES; i++) {
        struct stat_key key = key_of(i);

        snprintf(path, sizeof(path), "Presentation/Nop.Web/node_modules/package%03u/lib/file%05u.js", i / 100, i);
        assert_int_equal(stat_cache_add(w, path, &key, encoded.data, encoded.len, &err), OK);
    }
    assert_int_equal(stat_cache_commit(w, &err), OK);
    began = clock_monotonic_ms();
    assert_int_equal(stat_cache_open(cat, SITE, "site", &r, &err), OK);
    for (unsigned i = 0; i < FILES; i++) {
        struct stat_key key = key_of(i);

        snprintf(path, sizeof(path), "Presentation/Nop.Web/node_modules/package%03u/lib/file%05u.js", i / 100, i);
        found += answers(r, path, &key);
    }
    assert_int_equal(found, FILES);
    print_message("%u files answered in %d ms\n", FILES, (int)(clock_monotonic_ms() - began));
    stat_cache_close(r);
    buffer_release(&encoded);
    catalog_close(cat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(cache__answers_for_what_is_unchanged),
        folder_test(cache__that_cannot_be_read_has_no_answers),
        folder_test(cache__each_part_of_the_key_counts),
        folder_test(cache__new_and_vanished_files_do_not_confuse_it),
        folder_test(cache__young_entries_are_not_kept),
        folder_test(cache__of_an_earlier_generation_counts_only_for_ids_that_stand),
        folder_test(cache__ids_known_to_be_damaged_do_not_count),
        folder_test(cache__a_damaged_file_costs_time_only),
        folder_test(cache__a_discarded_one_leaves_the_old_one),
        folder_test(order__is_that_of_a_walk),
        folder_test(cache__of_many_blocks_is_read_through),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
