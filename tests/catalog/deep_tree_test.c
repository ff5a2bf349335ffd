/* Trees that are deeper, or longer on the way down, than anybody expects: bounded stack and bounded memory (P11). */
#include <sys/resource.h>

#include "chunk.h"
#include "maintain_support.h"
#include "tree_internal.h"

static struct tree_entry entry_of(const char *name, enum tree_type type)
{
    return (struct tree_entry){.name = (const unsigned char *)name,
                               .name_len = strlen(name),
                               .type = type,
                               .mode = 0755,
                               .owner = "www-data",
                               .group = "www-data"};
}

/* `depth` directories one in the other, the last one first; each holds `files` empty files beside. */
static void put_chain(struct store *store, unsigned depth, unsigned files, struct chunk_id *root)
{
    struct tree_builder *b = NULL;
    struct error err = ERROR_INIT;
    struct chunk_id below;
    store_ticket ticket;

    assert_int_equal(tree_builder_new(store, &b, &err), OK);
    for (unsigned i = 0; i <= depth; i++) {
        struct tree_entry e = entry_of(i == depth ? "." : "d", TREE_DIRECTORY);

        if (i > 0) {
            e.tree = below;
            assert_int_equal(tree_builder_add(b, &e, &err), OK);
        }
        for (unsigned f = 0; i < depth && f < files; f++) {
            char name[128];

            snprintf(name, sizeof(name), "file-with-a-long-name-which-takes-room-in-the-listing-%06u", f);
            e = entry_of(name, TREE_FILE);
            assert_int_equal(tree_builder_add(b, &e, &err), OK);
        }
        if (tree_builder_end(b, &ticket, &err) != OK || store_claim(store, &err) != OK ||
            store_resolve(store, ticket, &below, &err) != OK)
            fail_msg("%s", err.text);
    }
    *root = below;
    tree_builder_free(b);
}

static void commit_chain(struct catalog *cat, unsigned depth, unsigned files, struct snapshot_record *record,
                         enum error_kind expected)
{
    struct store *store = NULL;
    struct error err = ERROR_INIT;

    *record = (struct snapshot_record)SNAPSHOT_RECORD_INIT;
    record->site_id = strdup(SITE);
    record->site_path = strdup("/srv/deep");
    record->root_count = 1;
    record->roots[0].name = strdup("site");
    record->roots[0].path = strdup("/srv/deep");
    assert_int_equal(store_begin(cat, NULL, &store, &err), OK);
    put_chain(store, depth, files, &record->roots[0].tree);
    if (snapshot_commit(store, record, &err) != expected)
        fail_msg("%s", err.text);
    store_free(store);
}

static void chain__far_below_path_max_is_committed_verified_and_pruned(void **state)
{
    struct snapshot_record record;
    struct prune_report report;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    commit_chain(cat, 3000, 0, &record, OK);
    assert_verified(cat);
    prune(cat, 0, &report);
    assert_verified(cat);
    snapshot_record_release(&record);
    catalog_close(cat);
}

static void chain__deeper_than_any_is_refused_not_followed(void **state)
{
    struct snapshot_record record;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    commit_chain(cat, TREE_DEPTH_MAX + 10, 0, &record, ERR_CORRUPT);
    snapshot_record_release(&record);
    catalog_close(cat);
}

static void chain__of_long_listings_takes_bounded_memory(void **state)
{
    struct snapshot_record record, base;
    struct error err = ERROR_INIT;
    struct rusage before, after;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    commit_chain(cat, 150, 8000, &record, OK); /* 150 listings of 0.9 MiB; twice that when compared with a base */
    commit_chain(cat, 150, 7999, &base, OK);
    getrusage(RUSAGE_SELF, &before);
    assert_verified(cat);
    assert_int_equal(reach_check(cat, &record, NULL, &err), OK);
    assert_int_equal(reach_check(cat, &record, &base, &err), OK);
    getrusage(RUSAGE_SELF, &after);
    print_message("%ld KiB more\n", after.ru_maxrss - before.ru_maxrss);
    assert_true(after.ru_maxrss - before.ru_maxrss < 80 * 1024);
    snapshot_record_release(&record);
    snapshot_record_release(&base);
    catalog_close(cat);
}

static void reader__goes_on_after_it_was_parked(void **state)
{
    static const unsigned files[] = {5, 30000};
    struct snapshot_record record;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct tree_reader *r = NULL, *parked = NULL;
        struct error err = ERROR_INIT;
        struct tree_entry a, b;
        struct buffer encoded = BUFFER_INIT(4096);
        struct tree_scratch *scratch = NULL;
        bool more = true, too = true;
        unsigned n = 0;

        commit_chain(cat, 1, files[i], &record, OK);
        assert_int_equal(tree_lookup(cat, &record.roots[0].tree, "", &encoded, &err), OK);
        assert_int_equal(tree_scratch_new(&scratch, &err), OK);
        assert_int_equal(tree_entry_decode(scratch, encoded.data, encoded.len, &a, &err), OK);
        assert_int_equal(tree_reader_open(cat, &a.tree, &r, &err), OK);
        assert_int_equal(tree_reader_open(cat, &a.tree, &parked, &err), OK);
        for (;;) {
            assert_int_equal(tree_reader_next(r, &a, &more, &err), OK);
            if (n == 0 || n == 3 || n % 5000 == 4999)
                tree_reader_park(parked);
            assert_int_equal(tree_reader_next(parked, &b, &too, &err), OK);
            assert_true(more == too);
            if (!more)
                break;
            assert_int_equal(a.name_len, b.name_len);
            assert_memory_equal(a.name, b.name, a.name_len);
            n++;
        }
        assert_int_equal(n, files[i]);
        tree_reader_close(r);
        tree_reader_close(parked);
        tree_scratch_free(scratch);
        buffer_release(&encoded);
        snapshot_record_release(&record);
    }
    catalog_close(cat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        memory_folder_test(chain__far_below_path_max_is_committed_verified_and_pruned),
        memory_folder_test(chain__deeper_than_any_is_refused_not_followed),
        memory_folder_test(chain__of_long_listings_takes_bounded_memory),
        memory_folder_test(reader__goes_on_after_it_was_parked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
