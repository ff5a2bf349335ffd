#include "test_support.h"

#include <fcntl.h>

#include <errno.h>
#include <sys/syscall.h>

#include "file.h"

static bool no_flags;

/* Stands before the C library's. */
int renameat2(int oldfd, const char *old, int newfd, const char *new, unsigned int flags)
{
    if (no_flags && flags) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_renameat2, oldfd, old, newfd, new, flags);
}

static int entries(void)
{
    FILE *f = popen("ls -A | wc -l", "r");
    int n = -1;

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%d", &n), 1);
    pclose(f);
    return n;
}

static void content_is(const char *path, const char *expected)
{
    struct buffer b = BUFFER_INIT(1000);
    struct error err = ERROR_INIT;

    assert_int_equal(file_read_whole(AT_FDCWD, path, 1000, &b, &err), OK);
    assert_string_equal((char *)b.data, expected);
    buffer_release(&b);
}

static void draft__is_invisible_until_committed(void **state)
{
    struct draft d = DRAFT_INIT;
    struct error err = ERROR_INIT;
    struct stat st;

    (void)state;
    assert_int_equal(file_replace("f", "old", 3, 0600, &err), OK);
    assert_int_equal(draft_open(&d, "f", 0600, &err), OK);
    assert_int_equal(strncmp(d.temporary, "./" DRAFT_PREFIX, strlen("./" DRAFT_PREFIX)), 0);
    assert_int_equal(draft_write(&d, "new ", 4, &err), OK);
    assert_int_equal(draft_sync(&d, &err), OK);
    assert_int_equal(draft_write(&d, "text", 4, &err), OK);
    content_is("f", "old");
    assert_true(d.len == 8);
    assert_int_equal(draft_commit(&d, &err), OK);
    draft_discard(&d);
    content_is("f", "new text");
    assert_int_equal(stat("f", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(entries(), 1);
}

static void draft__discarded_leaves_nothing(void **state)
{
    struct draft d = DRAFT_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    draft_discard(&d);
    assert_int_equal(draft_open(&d, "f", 0600, &err), OK);
    assert_int_equal(draft_write(&d, "x", 1, &err), OK);
    assert_int_equal(entries(), 1);
    draft_discard(&d);
    assert_int_equal(entries(), 0);
    assert_int_equal(draft_open(&d, "absent/f", 0600, &err), ERR_NOT_FOUND);
    assert_int_equal(d.fd, -1);
    draft_discard(&d);
}

/* What could not be written is lost: no later success may make it visible. */
static void draft__failed_write_can_never_be_committed(void **state)
{
    struct draft d = DRAFT_INIT;
    struct error err = ERROR_INIT;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    int kept;

    (void)state;
    assert_int_equal(draft_open(&d, "f", 0600, &err), OK);
    kept = d.fd;
    d.fd = full;
    assert_int_equal(draft_write(&d, "x", 1, &err), ERR_SPACE);
    d.fd = kept;
    assert_int_equal(draft_sync(&d, &err), ERR_IO);
    assert_int_equal(draft_commit(&d, &err), ERR_IO);
    draft_discard(&d);
    close(full);
    assert_int_equal(entries(), 0);
}

static void draft__committed_as_new_replaces_nothing(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct draft d = DRAFT_INIT;

        no_flags = i == 1; /* as on a filesystem that can only link */
        assert_int_equal(draft_open(&d, "f", 0600, &err), OK);
        assert_int_equal(draft_write(&d, "x", 1, &err), OK);
        assert_int_equal(draft_commit_new(&d, &err), OK);
        draft_discard(&d);
        assert_int_equal(entries(), 1);
        assert_int_equal(draft_open(&d, "f", 0600, &err), OK);
        assert_int_equal(draft_write(&d, "longer", 6, &err), OK);
        assert_int_equal(draft_commit_new(&d, &err), ERR_EXISTS);
        draft_discard(&d);
        assert_int_equal(entries(), 1);
        assert_int_equal(access("f", F_OK), 0);
        assert_int_equal(unlink("f"), 0);
    }
    no_flags = false;
}

static void replace_alone__takes_over_what_a_kill_left(void **state)
{
    struct error err = ERROR_INIT;
    struct buffer text = BUFFER_INIT(16);
    int left = open("f" FILE_ALONE_SUFFIX, O_WRONLY | O_CREAT, 0644);

    (void)state;
    assert_true(left >= 0);
    close(left);
    assert_int_equal(file_replace_alone("f", "x", 1, 0600, &err), OK);
    assert_int_equal(file_replace_alone("f", "new", 3, 0600, &err), OK);
    assert_int_equal(entries(), 1);
    assert_int_equal(file_read_whole(AT_FDCWD, "f", 16, &text, &err), OK);
    assert_int_equal(text.len, 3);
    buffer_release(&text);
    assert_int_equal(unlink("f"), 0);
    assert_int_equal(mkdir("f" FILE_ALONE_SUFFIX, 0700), 0);
    assert_int_not_equal(file_replace_alone("f", "x", 1, 0600, &err), OK);
    assert_int_equal(rmdir("f" FILE_ALONE_SUFFIX), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(draft__is_invisible_until_committed),        folder_test(draft__discarded_leaves_nothing),
        folder_test(draft__failed_write_can_never_be_committed), folder_test(draft__committed_as_new_replaces_nothing),
        folder_test(replace_alone__takes_over_what_a_kill_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
