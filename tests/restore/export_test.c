/* Archives are judged by tar and unzip, not by us. */
#include "plant.h"
#include "plant_shell.h"
#include "restore.h"

struct said {
    unsigned warnings;
    char text[4096];
};

static void warn(void *arg, const char *line)
{
    struct said *said = arg;

    said->warnings++;
    snprintf(said->text + strlen(said->text), sizeof(said->text) - strlen(said->text), "%s;", line);
}

/* Without paths beyond PATH_MAX, which tar can write but not read back. */
static void tar__brings_everything_back(void **state)
{
    struct said said = {0, ""};
    struct progress progress = {.warn = warn, .arg = &said};
    struct snapshot_record s;
    struct catalog *cat = plant_catalog("cat");
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(
        shell("python3 $S/make_site.py tree --files 200 --odd >/dev/null; head -c 17000000 /dev/urandom >tree/large;"
              "truncate -s 4M tree/hollow"),
        0);
    plant_snapshot(cat, "tree", &s);
    if (restore_export(cat, &s, "out.tar.zst", &progress, &err))
        fail_msg("%s", err.text);
    assert_string_equal(said.text, "");
    assert_int_equal(
        shell(
            "mkdir out && zstd -dqc out.tar.zst | tar -x --xattrs --xattrs-include='*' --acls --warning=no-unknown-keyword -C out"),
        0);
    assert_int_equal(shell("python3 $S/compare_trees.py tree out/site --ignore-sockets >&2"), 0);
    assert_int_equal(shell("[ $(stat -c %a out.tar.zst) = 600 ]"), 0);
    snapshot_record_release(&s);
    catalog_close(cat);
}

static void zip__brings_files_back_and_says_what_it_left_out(void **state)
{
    struct said said = {0, ""};
    struct progress progress = {.warn = warn, .arg = &said};
    struct snapshot_record s;
    struct catalog *cat = plant_catalog("cat");
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(
        shell(
            "mkdir -p tree/d/empty; echo 1 >tree/d/f; : >tree/none; ln -s f tree/d/link; mkfifo tree/fifo; ln tree/d/f tree/twin;"
            "setfattr -n user.a -v b tree/d/f; head -c 2000000 /dev/urandom >tree/b; truncate -s 1M tree/hollow; chmod 0750 tree/d; echo u >tree/ü;"
            "touch -h -d @1000000000 tree/* tree/d/* tree"),
        0);
    plant_snapshot(cat, "tree", &s);
    if (restore_export(cat, &s, "out.zip", &progress, &err))
        fail_msg("%s", err.text);
    assert_int_equal(said.warnings, 3);
    assert_non_null(strstr(said.text, "FIFOs and devices: 1 left out"));
    assert_non_null(strstr(said.text, "hard links: 1 became"));
    assert_non_null(strstr(said.text, "those of 2 entries"));
    assert_int_equal(
        shell(
            "unzip -q out.zip -d out && rm tree/fifo && touch -d @1000000000 tree && touch -h -d @1000000000 out/site/d/link"),
        0);
    assert_int_equal(
        shell("python3 $S/compare_trees.py tree out/site --no-links --no-xattrs --no-sparse --no-owner >&2"), 0);
    snapshot_record_release(&s);
    catalog_close(cat);
}

static void dump__is_inside(void **state)
{
    struct snapshot_record s;
    struct catalog *cat = plant_catalog("cat");
    struct list_builder *list = NULL;
    struct store *store = NULL;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(shell("mkdir tree; echo 1 >tree/1"), 0);
    plant_snapshot(cat, "tree", &s);
    assert_int_equal(store_begin(cat, NULL, &store, &err), OK);
    assert_int_equal(list_builder_new(store, &list, &err), OK);
    for (int i = 0; i < 3; i++) {
        store_ticket ticket = 0;
        struct chunk_id id;

        assert_int_equal(store_put(store, CHUNK_DATA, 1, &"one\ntwo\nsix\n"[4 * i], 4, &ticket, &err), OK);
        assert_int_equal(store_claim(store, &err), OK);
        assert_int_equal(store_resolve(store, ticket, &id, &err), OK);
        assert_int_equal(list_builder_add(list, &id, &err), OK);
    }
    assert_int_equal(list_builder_end(list, &s.dump, &err), OK);
    assert_int_equal(store_flush(store, &err), OK);
    s.has_dump = true;
    s.dump_bytes = 12;
    if (restore_export(cat, &s, "out.tar.zst", NULL, &err))
        fail_msg("%s", err.text);
    assert_int_equal(shell("[ \"$(zstd -dqc out.tar.zst | tar -xO database.dump | tr '\\n' ,)\" = one,two,six, ]"), 0);
    /* A dump that is shorter than the snapshot says makes no archive. */
    s.dump_bytes = 13;
    assert_int_equal(restore_export(cat, &s, "short.zip", NULL, &err), ERR_CORRUPT);
    assert_int_equal(shell("[ ! -e short.zip ] && [ -z \"$(find . -maxdepth 1 -name '.nopsnap*')\" ]"), 0);
    list_builder_free(list);
    store_free(store);
    snapshot_record_release(&s);
    catalog_close(cat);
}

static void existing_file__is_not_replaced(void **state)
{
    struct snapshot_record s;
    struct catalog *cat = plant_catalog("cat");
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(shell("mkdir tree; echo mine >out.zip; ln -s nowhere out.tar.zst"), 0);
    plant_snapshot(cat, "tree", &s);
    assert_int_equal(restore_export(cat, &s, "out.zip", NULL, &err), ERR_EXISTS);
    error_clear(&err);
    assert_int_equal(restore_export(cat, &s, "out.tar.zst", NULL, &err), ERR_EXISTS);
    error_clear(&err);
    assert_int_equal(restore_export(cat, &s, "out.rar", NULL, &err), ERR_USAGE);
    assert_int_equal(shell("[ \"$(cat out.zip)\" = mine ]"), 0);
    snapshot_record_release(&s);
    catalog_close(cat);
}

static void write_mine(void *arg, const char *what)
{
    (void)arg;
    (void)what;
    assert_int_equal(shell("echo mine >out.zip"), 0);
}

static void file_that_came_meanwhile__is_not_replaced(void **state)
{
    struct progress progress = {.step = write_mine};
    struct snapshot_record s;
    struct catalog *cat = plant_catalog("cat");
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(shell("mkdir tree; echo 1 >tree/1"), 0);
    plant_snapshot(cat, "tree", &s);
    assert_int_equal(restore_export(cat, &s, "out.zip", &progress, &err), ERR_EXISTS);
    assert_non_null(strstr(err.text, "out.zip is there already"));
    assert_int_equal(shell("[ \"$(cat out.zip)\" = mine ] && [ -z \"$(find . -maxdepth 1 -name '.nopsnap*')\" ]"), 0);
    snapshot_record_release(&s);
    catalog_close(cat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(tar__brings_everything_back),
        folder_test(zip__brings_files_back_and_says_what_it_left_out),
        folder_test(dump__is_inside),
        folder_test(existing_file__is_not_replaced),
        folder_test(file_that_came_meanwhile__is_not_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
