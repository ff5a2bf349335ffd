#include "test_support.h"

#include <errno.h>
#include <fcntl.h>

#include "file.h"

static void open__absent_is_not_found(void **state)
{
    struct error err = ERROR_INIT;
    int fd = -1;

    (void)state;
    assert_int_equal(file_open(AT_FDCWD, "absent", O_RDONLY, 0, &fd, &err), ERR_NOT_FOUND);
    assert_int_equal(fd, -1);
    assert_non_null(strstr(err.text, "absent"));
    assert_int_equal(file_open(AT_FDCWD, "f", O_CREAT | O_WRONLY, 0600, &fd, &err), OK);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    file_close(&fd);
    assert_int_equal(fd, -1);
    file_close(&fd);
    assert_int_equal(file_open(AT_FDCWD, "f/below", O_RDONLY, 0, &fd, &err), ERR_NOT_FOUND);
    assert_int_equal(file_open(AT_FDCWD, "f", O_CREAT | O_EXCL | O_WRONLY, 0600, &fd, &err), ERR_IO);
    assert_int_equal(err.sys, EEXIST);
}

static void read_at__short_file_is_corrupt(void **state)
{
    struct error err = ERROR_INIT;
    char bytes[16] = "";
    size_t got = 0;
    int fd = -1;

    (void)state;
    assert_int_equal(file_replace("f", "0123456789", 10, 0600, &err), OK);
    assert_int_equal(file_open(AT_FDCWD, "f", O_RDWR, 0, &fd, &err), OK);
    assert_int_equal(file_read_at(fd, bytes, 4, 6, "f", &err), OK);
    assert_memory_equal(bytes, "6789", 4);
    assert_int_equal(file_read_at(fd, bytes, 5, 6, "f", &err), ERR_CORRUPT);
    assert_int_equal(file_read_at(fd, bytes, 5, UINT64_MAX - 2, "f", &err), ERR_CORRUPT);
    assert_int_equal(file_read(fd, bytes, sizeof(bytes), &got, "f", &err), OK);
    assert_int_equal(got, 10);
    assert_int_equal(file_write_at(fd, "xy", 2, 3, "f", &err), OK);
    assert_int_equal(file_write_at(fd, "xy", 2, UINT64_MAX, "f", &err), ERR_IO);
    assert_int_equal(file_read_at(fd, bytes, 10, 0, "f", &err), OK);
    assert_memory_equal(bytes, "012xy56789", 10);
    assert_int_equal(file_sync(fd, "f", &err), OK);
    file_close(&fd);
}

static void write__full_device_is_space(void **state)
{
    struct error err = ERROR_INIT;
    int fd = -1;

    (void)state;
    assert_int_equal(file_open(AT_FDCWD, "/dev/full", O_WRONLY, 0, &fd, &err), OK);
    assert_int_equal(file_write(fd, "x", 1, "the device", &err), ERR_SPACE);
    assert_non_null(strstr(err.text, "the device"));
    file_close(&fd);
}

static void sync__failure_is_reported(void **state)
{
    struct error err = ERROR_INIT;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(file_sync(ends[1], "pipe", &err), ERR_IO); /* EINVAL: a pipe has no disk */
    close(ends[0]);
    close(ends[1]);
}

static void read_whole__limits_and_kinds(void **state)
{
    struct buffer b = BUFFER_INIT(100000);
    struct buffer small = BUFFER_INIT(20000);
    struct error err = ERROR_INIT;
    char *big = calloc(1, 50000);

    (void)state;
    assert_int_equal(file_replace("f", big, 50000, 0600, &err), OK);
    assert_int_equal(buffer_append_text(&b, "had", &err), OK);
    assert_int_equal(file_read_whole(AT_FDCWD, "f", 49999, &b, &err), ERR_MEMORY);
    assert_int_equal(b.len, 3);
    assert_string_equal((char *)b.data, "had");
    assert_int_equal(file_read_whole(AT_FDCWD, "f", 50000, &b, &err), OK);
    assert_int_equal(b.len, 50003);
    assert_int_equal(file_read_whole(AT_FDCWD, "f", 50000, &small, &err), ERR_MEMORY);
    assert_int_equal(file_read_whole(AT_FDCWD, "absent", 10, &b, &err), ERR_NOT_FOUND);
    assert_int_equal(file_read_whole(AT_FDCWD, ".", 10, &b, &err), ERR_IO);
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_int_equal(file_read_whole(AT_FDCWD, "fifo", 10, &b, &err), ERR_IO); /* and does not wait for a writer */
    buffer_release(&b);
    buffer_release(&small);
    free(big);
}

static void identity__survives_rename_and_tells_apart(void **state)
{
    struct error err = ERROR_INIT;
    struct file_identity a;
    struct file_identity b;
    uint64_t mount = 0;
    uint64_t again = 1;

    (void)state;
    assert_int_equal(file_replace("a", "", 0, 0600, &err), OK);
    assert_int_equal(file_identity_at(AT_FDCWD, "a", &a, &err), OK);
    assert_int_equal(file_rename(AT_FDCWD, "a", AT_FDCWD, "b", &err), OK);
    assert_int_equal(file_identity_at(AT_FDCWD, "b", &b, &err), OK);
    assert_true(file_identity_equal(&a, &b));
    assert_int_equal(file_replace("c", "", 0, 0600, &err), OK);
    assert_int_equal(file_identity_at(AT_FDCWD, "c", &b, &err), OK);
    assert_false(file_identity_equal(&a, &b));
    assert_int_equal(file_identity_at(AT_FDCWD, "a", &a, &err), ERR_NOT_FOUND);
    assert_int_equal(symlink("nowhere", "link"), 0);
    assert_int_equal(file_identity_at(AT_FDCWD, "link", &a, &err), OK);
    assert_int_equal(file_mount_id(AT_FDCWD, "b", &mount, &err), OK);
    assert_int_equal(file_mount_id(AT_FDCWD, ".", &again, &err), OK);
    assert_true(mount == again);
    assert_int_equal(file_mount_id(AT_FDCWD, "/proc", &again, &err), OK);
    assert_true(mount != again);
}

static void rename_new__never_replaces(void **state)
{
    struct error err = ERROR_INIT;
    struct buffer b = BUFFER_INIT(10);

    (void)state;
    assert_int_equal(file_replace("a", "A", 1, 0600, &err), OK);
    assert_int_equal(file_replace("b", "B", 1, 0600, &err), OK);
    assert_int_equal(file_rename_new(AT_FDCWD, "a", AT_FDCWD, "b", &err), ERR_EXISTS);
    assert_int_equal(file_rename_new(AT_FDCWD, "absent", AT_FDCWD, "c", &err), ERR_NOT_FOUND);
    assert_int_equal(file_exchange(AT_FDCWD, "a", AT_FDCWD, "b", &err), OK);
    assert_int_equal(file_read_whole(AT_FDCWD, "a", 10, &b, &err), OK);
    assert_string_equal((char *)b.data, "B");
    assert_int_equal(file_exchange(AT_FDCWD, "a", AT_FDCWD, "c", &err), ERR_NOT_FOUND);
    assert_int_equal(file_link(AT_FDCWD, "a", AT_FDCWD, "b", &err), ERR_EXISTS);
    assert_int_equal(file_link(AT_FDCWD, "a", AT_FDCWD, "c", &err), OK);
    assert_int_equal(file_unlink(AT_FDCWD, "c", &err), OK);
    assert_int_equal(file_unlink(AT_FDCWD, "c", &err), ERR_NOT_FOUND);
    buffer_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(open__absent_is_not_found),    folder_test(read_at__short_file_is_corrupt),
        folder_test(write__full_device_is_space),  folder_test(sync__failure_is_reported),
        folder_test(read_whole__limits_and_kinds), folder_test(identity__survives_rename_and_tells_apart),
        folder_test(rename_new__never_replaces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
