/* P6: damage is an error that names files; with keep_going the good ones are restored all the same. */
#include "chunk.h"
#include "plant.h"
#include "plant_shell.h"
#include "restore.h"

/* Incompressible files of 100 KiB, each in its own place in the packs. */
static struct catalog *make(struct snapshot_record *s)
{
    struct catalog *cat = plant_catalog("cat");

    assert_int_equal(
        shell(
            "mkdir -p tree/sub; for i in $(seq 10 39); do head -c 100000 /dev/urandom >tree/sub/$i; done; echo good >tree/good;"
            "head -c 3000000 /dev/urandom >tree/large; ln tree/sub/39 tree/twin; chmod 0640 tree/sub/10"),
        0);
    plant_snapshot(cat, "tree", s);
    catalog_close(cat);
    return NULL;
}

/* Overwrite bytes of one file's content where a pack holds them as they are. */
static void damage(const char *file)
{
    char command[512];

    snprintf(command, sizeof(command),
             "python3 - <<'E'\n"
             "import glob, sys\n"
             "want = open('%s', 'rb').read()[5000:5064]\n"
             "for p in glob.glob('cat/packs/*/*.pack'):\n"
             "    b = bytearray(open(p, 'rb').read()); at = b.find(want)\n"
             "    if at >= 0:\n"
             "        b[at + 9] ^= 0x40; open(p, 'wb').write(b); sys.exit(0)\n"
             "sys.exit('not found')\n"
             "E",
             file);
    assert_int_equal(shell(command), 0);
}

static struct catalog *open_again(void)
{
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;

    if (catalog_open("cat", CATALOG_READ, 1000, &cat, &err))
        fail_msg("%s", err.text);
    return cat;
}

static bool names(const struct text_list *damaged, const char *path)
{
    for (size_t i = 0; i < damaged->count; i++) {
        if (strncmp(damaged->items[i], path, strlen(path)) == 0 && damaged->items[i][strlen(path)] == ':')
            return true;
    }
    return false;
}

static void damaged_frame__is_an_error_that_names_its_files(void **state)
{
    struct snapshot_record s;
    struct catalog *cat = make(&s);
    struct restore_result result;
    struct error err = ERROR_INIT;

    (void)state;
    damage("tree/sub/20");
    cat = open_again();
    assert_int_equal(restore_files(cat, &s, "site", "out", NULL, NULL, &result, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "restoring "));
    assert_true(names(&result.damaged, "sub/20"));
    restore_result_release(&result);
    snapshot_record_release(&s);
    catalog_close(cat);
}

static void keep_going__brings_every_good_file(void **state)
{
    struct restore_options options = {.keep_going = true};
    struct snapshot_record s;
    struct catalog *cat = make(&s);
    struct restore_result result;
    struct error err = ERROR_INIT;
    char *missing = NULL;

    (void)state;
    damage("tree/sub/20");
    damage("tree/large");
    damage("tree/twin");
    cat = open_again();
    assert_int_equal(restore_files(cat, &s, "site", "out", &options, NULL, &result, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "were left out"));
    assert_true(names(&result.damaged, "sub/20") && names(&result.damaged, "large"));
    assert_true(names(&result.damaged, "sub/39") && names(&result.damaged, "twin"));
    /* What is there is right, what is not there is named, and nothing else is missing. */
    assert_int_equal(
        shell("cd tree && find . -type f | sort >../all && cd ../out && find . -type f | sort >../got && cd .. &&"
              "while read f; do cmp tree/$f out/$f || exit 1; done <got"),
        0);
    assert_true(
        asprintf(&missing, "[ $(comm -23 all got | wc -l) = %zu ] && [ ! -e out/sub/20 ]", result.damaged.count) > 0);
    assert_int_equal(shell(missing), 0);
    assert_int_equal(shell("[ -e out/good ]"), 0);
    error_clear(&err);
    if (restore_verify(cat, &s, "site", "out", &options, NULL, NULL, NULL, &err))
        fail_msg("%s", err.text);
    /* Without keep_going the same tree is not what the snapshot holds. */
    assert_int_equal(restore_verify(cat, &s, "site", "out", NULL, NULL, NULL, NULL, &err), ERR_CORRUPT);
    free(missing);
    restore_result_release(&result);
    snapshot_record_release(&s);
    catalog_close(cat);
}

/* A file whose record and content disagree in length is damage, though every byte is sound. */
static void content_of_another_length__is_damage(void **state)
{
    static const uint64_t sizes[] = {4, 6};
    struct catalog *cat = plant_catalog("cat");

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct chunk_id chunk;
        struct tree_entry e = {.name = (const unsigned char *)"f",
                               .name_len = 1,
                               .type = TREE_FILE,
                               .mode = 0644,
                               .owner = "",
                               .group = "",
                               .target = "",
                               .size = sizes[i],
                               .chunks = &chunk,
                               .chunk_count = 1};
        struct tree_entry root = {.name = (const unsigned char *)".",
                                  .name_len = 1,
                                  .type = TREE_DIRECTORY,
                                  .mode = 0755,
                                  .owner = "",
                                  .group = "",
                                  .target = ""};
        struct tree_builder *builder = NULL;
        struct snapshot_record s;
        struct store *store = NULL;
        struct restore_result result;
        struct error err = ERROR_INIT;
        store_ticket ticket = 0;
        char target[8];

        assert_int_equal(store_begin(cat, NULL, &store, &err), OK);
        assert_int_equal(store_put(store, CHUNK_DATA, 1, "12345", 5, &ticket, &err), OK);
        assert_int_equal(store_claim(store, &err), OK);
        assert_int_equal(store_resolve(store, ticket, &chunk, &err), OK);
        assert_int_equal(tree_builder_new(store, &builder, &err), OK);
        assert_int_equal(tree_builder_add(builder, &e, &err), OK);
        assert_int_equal(tree_builder_end(builder, &ticket, &err), OK);
        assert_int_equal(store_claim(store, &err), OK);
        assert_int_equal(store_resolve(store, ticket, &root.tree, &err), OK);
        assert_int_equal(tree_builder_add(builder, &root, &err), OK);
        assert_int_equal(tree_builder_end(builder, &ticket, &err), OK);
        assert_int_equal(store_claim(store, &err), OK);
        assert_int_equal(store_resolve(store, ticket, &root.tree, &err), OK);
        plant_record(store, &root.tree, &s);
        snprintf(target, sizeof(target), "out%zu", i);
        assert_int_equal(restore_files(cat, &s, "site", target, NULL, NULL, &result, &err), ERR_CORRUPT);
        assert_int_equal(result.damaged.count, 1);
        restore_result_release(&result);
        tree_builder_free(builder);
        store_free(store);
        snapshot_record_release(&s);
    }
    assert_int_equal(shell("[ ! -e out0/f ] && [ ! -e out1/f ]"), 0);
    catalog_close(cat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(damaged_frame__is_an_error_that_names_its_files),
        folder_test(keep_going__brings_every_good_file),
        folder_test(content_of_another_length__is_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
