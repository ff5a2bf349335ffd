#include <fcntl.h>
#include <sys/stat.h>

#include "plant.h"
#include "plant_shell.h"
#include "restore.h"

static void cat_to(struct catalog *cat, const struct snapshot_record *s, const char *path, int fd)
{
    struct buffer encoded = BUFFER_INIT(1 << 20);
    struct tree_scratch *scratch = NULL;
    struct error err = ERROR_INIT;
    struct tree_entry e;

    assert_int_equal(tree_scratch_new(&scratch, &err), OK);
    if (tree_lookup(cat, &s->roots[0].tree, path, &encoded, &err) ||
        tree_entry_decode(scratch, encoded.data, encoded.len, &e, &err) || restore_file_content(cat, &e, fd, &err))
        fail_msg("%s", err.text);
    tree_scratch_free(scratch);
    buffer_release(&encoded);
}

static void content__comes_out_with_its_holes_as_zeros(void **state)
{
    static const char *const files[] = {"small", "empty", "large", "holes", "hollow"};
    struct snapshot_record s;
    struct catalog *cat = plant_catalog("cat");

    (void)state;
    assert_int_equal(
        shell(
            "mkdir tree; echo s >tree/small; : >tree/empty; head -c 18000000 /dev/urandom >tree/large; truncate -s 2M tree/hollow;"
            "truncate -s 3M tree/holes; echo middle >>tree/holes; truncate -s 9M tree/holes"),
        0);
    plant_snapshot(cat, "tree", &s);
    for (size_t i = 0; i < 5; i++) {
        char command[128];
        int fd = open("got", O_WRONLY | O_CREAT | O_TRUNC, 0600);

        assert_true(fd >= 0);
        cat_to(cat, &s, files[i], fd);
        close(fd);
        snprintf(command, sizeof(command), "cmp got tree/%s", files[i]);
        assert_int_equal(shell(command), 0);
    }
    snapshot_record_release(&s);
    catalog_close(cat);
}

/* As after a rewrite in place of a file that two trees share: one gets the old content back as an inode of its own. */
static void replaced_file__is_a_new_inode_and_the_folder_keeps_its_time(void **state)
{
    struct buffer encoded = BUFFER_INIT(1 << 20);
    struct snapshot_record s;
    struct catalog *cat = plant_catalog("cat");
    struct error err = ERROR_INIT;
    struct stat shared;
    struct stat now;
    int fd;

    (void)state;
    assert_int_equal(
        shell(
            "mkdir -p tree/d; echo old >tree/d/f; chmod 0640 tree/d/f; setfattr -n user.a -v b tree/d/f; truncate -s 1M tree/d/f;"
            "touch -d @5 tree/d/f tree/d tree; cp -a tree before"),
        0);
    plant_snapshot(cat, "tree", &s);
    assert_int_equal(shell("ln tree/d/f other; echo rewritten >tree/d/f; touch -d @5 tree/d"), 0);
    assert_int_equal(tree_lookup(cat, &s.roots[0].tree, "d/f", &encoded, &err), OK);
    fd = open("tree/d", O_PATH | O_DIRECTORY);
    if (restore_replace_file(cat, encoded.data, encoded.len, fd, "f", &err))
        fail_msg("%s", err.text);
    close(fd);
    assert_int_equal(stat("other", &shared), 0);
    assert_int_equal(stat("tree/d/f", &now), 0);
    assert_int_not_equal(shared.st_ino, now.st_ino);
    assert_int_equal(shell("python3 $S/compare_trees.py before tree >&2 && [ \"$(cat other)\" = rewritten ]"), 0);
    buffer_release(&encoded);
    snapshot_record_release(&s);
    catalog_close(cat);
}

static void replaced_device__that_cannot_be_made_is_an_error(void **state)
{
    struct tree_entry e = {.type = TREE_CHARACTER_DEVICE, .mode = 0600, .device_major = 1, .device_minor = 7};
    struct buffer encoded = BUFFER_INIT(4096);
    struct catalog *cat = plant_catalog("cat");
    struct error err = ERROR_INIT;
    uid_t user = geteuid();
    enum error_kind rc;
    int fd;

    (void)state;
    assert_int_equal(shell("mkdir d; echo mine >d/f; chmod 0777 . d"), 0);
    assert_int_equal(tree_entry_encode(&e, &encoded, &err), OK);
    fd = open("d", O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    if (user == 0)
        assert_int_equal(seteuid(65534), 0);
    rc = restore_replace_file(cat, encoded.data, encoded.len, fd, "f", &err);
    if (user == 0)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(rc, ERR_REFUSED);
    assert_int_equal(shell("[ \"$(ls -A d)\" = f ] && [ \"$(cat d/f)\" = mine ]"), 0);
    close(fd);
    buffer_release(&encoded);
    catalog_close(cat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(content__comes_out_with_its_holes_as_zeros),
        folder_test(replaced_file__is_a_new_inode_and_the_folder_keeps_its_time),
        folder_test(replaced_device__that_cannot_be_made_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
