/* R1: nothing is written outside the target, whatever is planted in it or in the catalogue. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "chunk.h"
#include "plant.h"
#include "plant_shell.h"
#include "restore.h"
#include "restore_internal.h"

static void restore_open_below__follows_no_symlink(void **state)
{
    struct error err = ERROR_INIT;
    int base;
    int fd = -1;

    (void)state;
    assert_int_equal(
        shell(
            "mkdir -p base/real outside; ln -s ../outside base/link; ln -s real base/inner; ln -s ../outside/f base/f"),
        0);
    base = open("base", O_PATH | O_DIRECTORY);
    assert_true(base >= 0);
    assert_int_equal(restore_open_below(base, "link/f", 6, O_WRONLY | O_CREAT | O_EXCL, 0600, &fd, &err), ERR_REFUSED);
    error_clear(&err);
    assert_int_equal(restore_open_below(base, "inner/f", 7, O_WRONLY | O_CREAT | O_EXCL, 0600, &fd, &err), ERR_REFUSED);
    error_clear(&err);
    assert_int_equal(restore_open_below(base, "f", 1, O_WRONLY | O_CREAT, 0600, &fd, &err), ERR_REFUSED);
    error_clear(&err);
    assert_int_equal(restore_open_below(base, "../outside/f", 12, O_WRONLY | O_CREAT, 0600, &fd, &err), ERR_REFUSED);
    error_clear(&err);
    assert_int_equal(restore_open_below(base, "real/f", 6, O_WRONLY | O_CREAT | O_EXCL, 0600, &fd, &err), OK);
    file_close(&fd);
    assert_int_equal(restore_open_below(base, "real/f", 6, O_WRONLY | O_CREAT | O_EXCL, 0600, &fd, &err), ERR_EXISTS);
    assert_int_equal(shell("[ -z \"$(ls outside)\" ]"), 0);
    close(base);
}

/* A thread that turns folders of the target into symlinks that lead outside, as fast as it can. */
struct planter {
    atomic_bool stop;
    atomic_uint planted;
};

static void *plant_links(void *arg)
{
    struct planter *p = arg;

    while (!atomic_load(&p->stop)) {
        for (int i = 0; i < 20; i++) {
            char folder[64];
            char aside[64];

            snprintf(folder, sizeof(folder), "out/d%02d", i);
            snprintf(aside, sizeof(aside), "aside/d%02d", i);
            if (rename(folder, aside) == 0 && symlink("../outside", folder) == 0)
                atomic_fetch_add(&p->planted, 1);
        }
    }
    return NULL;
}

static void planted_symlink__ends_the_restore_and_nothing_gets_outside(void **state)
{
    struct snapshot_record s;
    struct catalog *cat = plant_catalog("cat");
    unsigned planted = 0;

    (void)state;
    assert_int_equal(
        shell(
            "mkdir tree; for d in $(seq -w 0 19); do mkdir -p tree/d$d/sub; for f in 1 2 3 4 5 6 7 8 9; do echo $d$f >tree/d$d/$f;"
            "echo $d$f >tree/d$d/sub/$f; ln -s $f tree/d$d/link$f; done; mkfifo tree/d$d/fifo; ln tree/d$d/1 tree/d$d/again; done"),
        0);
    plant_snapshot(cat, "tree", &s);
    for (int round = 0; round < 12; round++) {
        struct planter p = {.stop = false};
        struct restore_result result;
        struct error err = ERROR_INIT;
        pthread_t thread;
        enum error_kind rc;

        assert_int_equal(shell("rm -rf out aside outside; mkdir aside outside"), 0);
        assert_int_equal(pthread_create(&thread, NULL, plant_links, &p), 0);
        rc = restore_files(cat, &s, "site", "out", NULL, NULL, &result, &err);
        atomic_store(&p.stop, true);
        pthread_join(thread, NULL);
        planted += atomic_load(&p.planted);
        if (atomic_load(&p.planted) == 0)
            assert_int_equal(rc, OK);
        assert_int_equal(shell("[ -z \"$(ls -A outside)\" ]"), 0);
        restore_result_release(&result);
    }
    assert_true(planted > 0);
    snapshot_record_release(&s);
    catalog_close(cat);
}

/* A catalogue from elsewhere: a hard link whose name leads through a symlink of the same snapshot. */
static void hard_link_through_a_symlink__is_refused(void **state)
{
    static const unsigned char root[2];
    static const char *const names[] = {"a", "link/b"};
    struct snapshot_record s;
    struct catalog *cat = plant_catalog("cat");
    struct store *store = NULL;
    struct links_builder *links = NULL;
    struct restore_result result;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(shell("mkdir tree outside; echo a >tree/a; ln -s ../outside tree/link"), 0);
    plant_snapshot(cat, "tree", &s);
    assert_int_equal(store_begin(cat, NULL, &store, &err), OK);
    assert_int_equal(links_builder_new(store, &links, &err), OK);
    assert_int_equal(links_builder_group(links, root, names, 2, &err), OK);
    assert_int_equal(links_builder_end(links, &s, &err), OK);
    assert_int_equal(store_flush(store, &err), OK);
    assert_int_equal(restore_files(cat, &s, "site", "out", NULL, NULL, &result, &err), ERR_REFUSED);
    restore_result_release(&result);
    assert_int_equal(shell("[ -z \"$(ls -A outside)\" ]"), 0);
    links_builder_free(links);
    store_free(store);
    snapshot_record_release(&s);
    catalog_close(cat);
}

/* Folders within folders, deeper than any tree may be: an error, no endless recursion. */
static void depth__is_bounded(void **state)
{
    struct catalog *cat = plant_catalog("cat");
    struct tree_builder *builder = NULL;
    struct snapshot_record s;
    struct store *store = NULL;
    struct restore_result result;
    struct error err = ERROR_INIT;
    struct tree_entry e = {.type = TREE_DIRECTORY, .mode = 0755, .owner = "", .group = "", .target = ""};

    (void)state;
    assert_int_equal(store_begin(cat, NULL, &store, &err), OK);
    assert_int_equal(tree_builder_new(store, &builder, &err), OK);
    for (int level = 0; level <= RESTORE_DEPTH_MAX + 1; level++) {
        store_ticket ticket = 0;

        e.name = (const unsigned char *)(level == RESTORE_DEPTH_MAX + 1 ? "." : "d");
        e.name_len = 1;
        if (level > 0)
            assert_int_equal(tree_builder_add(builder, &e, &err), OK);
        assert_int_equal(tree_builder_end(builder, &ticket, &err), OK);
        assert_int_equal(store_claim(store, &err), OK);
        assert_int_equal(store_resolve(store, ticket, &e.tree, &err), OK);
    }
    plant_record(store, &e.tree, &s);
    assert_int_equal(restore_files(cat, &s, "site", "out", NULL, NULL, &result, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "levels deep"));
    restore_result_release(&result);
    tree_builder_free(builder);
    store_free(store);
    snapshot_record_release(&s);
    catalog_close(cat);
}

/* A name that is no single component never gets out of the decoder. */
static void unsafe_names__are_damage(void **state)
{
    static const char *const names[] = {"..", "a/b", "/etc", "", "a\0b"};
    static const size_t lengths[] = {2, 3, 4, 0, 3};
    struct catalog *cat = plant_catalog("cat");

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        struct buffer tree = BUFFER_INIT(4096);
        struct tree_entry fifo = {.type = TREE_FIFO, .mode = 0644, .owner = "", .group = "", .target = ""};
        struct tree_entry e = {.name = (const unsigned char *)".",
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

        assert_int_equal(store_begin(cat, NULL, &store, &err), OK);
        assert_int_equal(buffer_append(&tree, "TRE1", 4, &err), OK);
        assert_int_equal(buffer_append_u8(&tree, 0, &err), OK);
        assert_int_equal(buffer_append_u32(&tree, 1, &err), OK);
        assert_int_equal(buffer_append_u16(&tree, (uint16_t)lengths[i], &err), OK);
        assert_int_equal(buffer_append(&tree, names[i], lengths[i], &err), OK);
        assert_int_equal(tree_entry_encode(&fifo, &tree, &err), OK);
        assert_int_equal(store_put(store, CHUNK_TREE, 1, tree.data, tree.len, &ticket, &err), OK);
        assert_int_equal(store_claim(store, &err), OK);
        assert_int_equal(store_resolve(store, ticket, &e.tree, &err), OK);
        assert_int_equal(tree_builder_new(store, &builder, &err), OK);
        assert_int_equal(tree_builder_add(builder, &e, &err), OK);
        assert_int_equal(tree_builder_end(builder, &ticket, &err), OK);
        assert_int_equal(store_claim(store, &err), OK);
        assert_int_equal(store_resolve(store, ticket, &e.tree, &err), OK);
        plant_record(store, &e.tree, &s);
        assert_int_equal(shell("rm -rf out"), 0);
        assert_int_equal(restore_files(cat, &s, "site", "out", NULL, NULL, &result, &err), ERR_CORRUPT);
        restore_result_release(&result);
        tree_builder_free(builder);
        store_free(store);
        snapshot_record_release(&s);
        buffer_release(&tree);
    }
    catalog_close(cat);
}

/* As a plain user: what only root may do is noted, and set-id bits do not lend us to others. */
static void plain_user__keeps_what_it_may(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(
        shell(
            "mkdir -m 0755 tree; echo x >tree/mine; chown nobody tree/mine; echo s >tree/setuid; chmod 4755 tree/setuid;"
            "mknod tree/null c 1 3 && mkdir -m 0555 tree/closed && echo c >tree/closed/c && ln tree/closed/c tree/closed/d && chmod 0755 ."),
        0);
    struct snapshot_record s;
    struct catalog *cat = plant_catalog("cat");
    struct restore_result result;
    struct error err = ERROR_INIT;

    plant_snapshot(cat, "tree", &s);
    assert_int_equal(shell("mkdir -m 0777 there; chown -R nobody cat"), 0);
    assert_int_equal(seteuid(65534), 0);
    if (restore_files(cat, &s, "site", "there/out", NULL, NULL, &result, &err))
        fail_msg("%s", err.text);
    if (restore_verify(cat, &s, "site", "there/out", NULL, NULL, NULL, NULL, &err))
        fail_msg("%s", err.text);
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(result.notes.count, 2); /* owners, devices */
    assert_int_equal(shell("[ \"$(stat -c '%U %a' there/out/setuid)\" = 'nobody 755' ] && [ ! -e there/out/null ]"), 0);
    assert_int_equal(shell("[ $(stat -c %h there/out/closed/d) = 2 ] && [ $(stat -c %a there/out/closed) = 555 ]"), 0);
    restore_result_release(&result);
    snapshot_record_release(&s);
    catalog_close(cat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(restore_open_below__follows_no_symlink),
        folder_test(planted_symlink__ends_the_restore_and_nothing_gets_outside),
        folder_test(hard_link_through_a_symlink__is_refused),
        folder_test(depth__is_bounded),
        folder_test(unsafe_names__are_damage),
        folder_test(plain_user__keeps_what_it_may),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
