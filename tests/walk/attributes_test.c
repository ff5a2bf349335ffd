/* Attributes of entries of every type. Each test begins in an empty folder of its own. */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include "test_support.h"
#include "walk.h"

/* Walk to the one entry of the folder and read it. */
struct reading {
    struct walk *walk;
    struct walk_attributes *attributes;
    struct walk_item item;
    struct tree_entry entry;
    struct error err;
};

static enum error_kind read_one(struct reading *r)
{
    memset(r, 0, sizeof *r);
    assert_int_equal(walk_attributes_new(&r->attributes, &r->err), OK);
    assert_int_equal(walk_open(".", NULL, &r->walk, &r->err), OK);
    assert_int_equal(walk_next(r->walk, &r->item, &r->err), OK);
    assert_int_equal(walk_next(r->walk, &r->item, &r->err), OK);
    assert_string_equal(r->item.path, "it");
    return walk_attributes_read(r->attributes, &r->item, &r->entry, &r->err);
}

static void release(struct reading *r)
{
    walk_attributes_free(r->attributes);
    walk_close(r->walk);
}

static void make_it(mode_t mode)
{
    int fd = open("it", O_CREAT | O_WRONLY, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "12345", 5), 5);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void attributes__of_a_file_are_mode_owner_time_and_size(void **state)
{
    struct timespec times[2] = {{1, 2}, {-5, 123456789}};
    struct reading r;

    (void)state;
    make_it(04751);
    assert_int_equal(utimensat(AT_FDCWD, "it", times, 0), 0);
    assert_int_equal(read_one(&r), OK);
    assert_int_equal(r.entry.type, TREE_FILE);
    assert_int_equal(r.entry.mode, 04751);
    assert_int_equal(r.entry.uid, getuid());
    assert_int_equal(r.entry.size, 5);
    assert_int_equal(r.entry.mtime_sec, -5);
    assert_int_equal(r.entry.mtime_nsec, 123456789);
    if (getuid() == 0)
        assert_string_equal(r.entry.owner, "root");
    release(&r);
}

static void attributes__an_owner_without_a_name_has_none(void **state)
{
    struct reading r;

    (void)state;
    if (getuid() != 0)
        skip();
    make_it(0600);
    assert_int_equal(chown("it", 3123456789u, 3123456788u), 0);
    assert_int_equal(read_one(&r), OK);
    assert_true(r.entry.uid == 3123456789u && r.entry.gid == 3123456788u);
    assert_string_equal(r.entry.owner, "");
    assert_string_equal(r.entry.group, "");
    release(&r);
}

static void attributes__xattrs_come_sorted_and_whole(void **state)
{
    char big[3000];
    struct reading r;
    int fd;

    (void)state;
    make_it(0600);
    memset(big, 'x', sizeof big);
    if (setxattr("it", "user.zz", "last", 4, 0) != 0)
        skip(); /* the filesystem has none */
    assert_int_equal(setxattr("it", "user.big", big, sizeof big, 0), 0);
    assert_int_equal(setxattr("it", "user.aa", "\0\1", 2, 0), 0);
    assert_int_equal(setxattr("it", "user.empty", "", 0, 0), 0);
    assert_int_equal(read_one(&r), OK);
    assert_int_equal(r.entry.xattr_count, 4);
    assert_string_equal(r.entry.xattrs[0].name, "user.aa");
    assert_int_equal(r.entry.xattrs[0].len, 2);
    assert_memory_equal(r.entry.xattrs[0].value, "\0\1", 2);
    assert_string_equal(r.entry.xattrs[1].name, "user.big");
    assert_int_equal(r.entry.xattrs[1].len, sizeof big);
    assert_memory_equal(r.entry.xattrs[1].value, big, sizeof big);
    assert_string_equal(r.entry.xattrs[2].name, "user.empty");
    assert_int_equal(r.entry.xattrs[2].len, 0);
    assert_string_equal(r.entry.xattrs[3].name, "user.zz");
    assert_memory_equal(r.entry.xattrs[3].value, "last", 4);

    fd = open("it", O_RDONLY);
    assert_int_equal(walk_attributes_read_open(r.attributes, fd, &r.item.st, "it", &r.entry, &r.err), OK);
    assert_int_equal(r.entry.xattr_count, 4);
    assert_memory_equal(r.entry.xattrs[1].value, big, sizeof big);
    close(fd);
    release(&r);
}

static void attributes__an_acl_is_an_xattr(void **state)
{
    /* version 2; user::rw-, user:1234:r--, group::r--, mask::r--, other::--- as the kernel keeps them */
    static const unsigned char acl[] = {2, 0,    0,    0,    1,    0,    6,    0, 0xff, 0xff, 0xff, 0xff, 2,    0,    4,
                                        0, 0xd2, 4,    0,    0,    4,    0,    4, 0,    0xff, 0xff, 0xff, 0xff, 0x10, 0,
                                        4, 0,    0xff, 0xff, 0xff, 0xff, 0x20, 0, 0,    0,    0xff, 0xff, 0xff, 0xff};
    struct reading r;

    (void)state;
    make_it(0600);
    if (setxattr("it", "system.posix_acl_access", acl, sizeof acl, 0) != 0)
        skip(); /* the filesystem has none */
    assert_int_equal(read_one(&r), OK);
    assert_int_equal(r.entry.xattr_count, 1);
    assert_string_equal(r.entry.xattrs[0].name, "system.posix_acl_access");
    assert_int_equal(r.entry.xattrs[0].len, sizeof acl);
    assert_memory_equal(r.entry.xattrs[0].value, acl, sizeof acl);
    release(&r);
}

static void attributes__a_symlink_gives_its_target_whole(void **state)
{
    char target[4000];
    struct reading r;

    (void)state;
    memset(target, 'a', sizeof target - 1);
    target[sizeof target - 1] = '\0';
    assert_int_equal(symlink(target, "it"), 0);
    assert_int_equal(read_one(&r), OK);
    assert_int_equal(r.entry.type, TREE_SYMLINK);
    assert_int_equal(r.entry.target_len, sizeof target - 1);
    assert_memory_equal(r.entry.target, target, sizeof target - 1);
    release(&r);
}

static void attributes__fifos_and_devices_are_known_and_not_opened(void **state)
{
    struct reading r;

    (void)state;
    assert_int_equal(mkfifo("it", 0640), 0);
    assert_int_equal(read_one(&r), OK); /* opening it would wait for ever */
    assert_int_equal(r.entry.type, TREE_FIFO);
    release(&r);
    if (getuid() != 0)
        return;
    unlink("it");
    assert_int_equal(mknod("it", S_IFBLK | 0600, makedev(7, 300)), 0);
    assert_int_equal(read_one(&r), OK);
    assert_int_equal(r.entry.type, TREE_BLOCK_DEVICE);
    assert_int_equal(r.entry.device_major, 7);
    assert_int_equal(r.entry.device_minor, 300);
    release(&r);
}

static void attributes__a_socket_is_refused(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "it"};
    struct reading r;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)state;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
    assert_int_equal(read_one(&r), ERR_REFUSED);
    release(&r);
}

static void attributes__what_went_away_is_not_found(void **state)
{
    struct reading r;

    (void)state;
    make_it(0600);
    assert_int_equal(read_one(&r), OK);
    unlink("it");
    assert_int_equal(walk_attributes_read(r.attributes, &r.item, &r.entry, &r.err), ERR_NOT_FOUND);
    release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(attributes__of_a_file_are_mode_owner_time_and_size),
        folder_test(attributes__an_owner_without_a_name_has_none),
        folder_test(attributes__xattrs_come_sorted_and_whole),
        folder_test(attributes__an_acl_is_an_xattr),
        folder_test(attributes__a_symlink_gives_its_target_whole),
        folder_test(attributes__fifos_and_devices_are_known_and_not_opened),
        folder_test(attributes__a_socket_is_refused),
        folder_test(attributes__what_went_away_is_not_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
