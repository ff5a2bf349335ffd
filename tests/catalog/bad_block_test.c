/*
 * A block of a pack that the disk can't read any more is damage (P6, P7): named, gone round, repaired. The function below stands before
 * the C library's.
 */
#undef _FORTIFY_SOURCE /* its inline functions stand where ours shall */

#include "maintain_support.h"

#include <errno.h>
#include <sys/syscall.h>

#define BLOCK 4096

/* Reads that touch the block at this offset of this file fail. */
static struct {
    dev_t device;
    ino_t inode;
    off_t at;
    int error; /* 0: none */
} bad;

static bool hits_bad_block(int fd, size_t len, off_t offset)
{
    struct stat st;

    return bad.error != 0 && offset < bad.at + BLOCK && bad.at < offset + (off_t)len && fstat(fd, &st) == 0 &&
           st.st_ino == bad.inode && st.st_dev == bad.device;
}

/* With 64-bit offsets its symbol is pread64. */
ssize_t pread(int fd, void *buf, size_t nbytes, off_t offset)
{
    if (hits_bad_block(fd, nbytes, offset)) {
        errno = bad.error;
        return -1;
    }
    return syscall(SYS_pread64, fd, buf, nbytes, offset);
}

static void spoil(const char *path, off_t at, int error)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    bad.device = st.st_dev;
    bad.inode = st.st_ino;
    bad.at = at < 0 ? st.st_size + at : at;
    bad.error = error;
}

static int no_bad_block(void **state)
{
    bad.error = 0;
    return folder_teardown(state);
}

/* One snapshot, and the pack that holds its tree. */
static void take_one(const struct shop *shop, struct snapshot_record *record, char path[128])
{
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    take(cat, shop, record);
    pack_file_of(cat, &record->roots[0].tree, path);
    catalog_close(cat);
}

static void bad_block__in_a_frame_is_named_and_repaired(void **state)
{
    static const int errors[] = {EIO, EILSEQ, ENODATA, EREMOTEIO, EBADMSG, EUCLEAN};
    struct shop shop = {.seed = 1, .folders = 3, .files = 8};
    struct snapshot_record record, again;
    struct verify_report report;
    struct error err = ERROR_INIT;
    char path[128];
    struct catalog *cat;

    (void)state;
    for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
        take_one(&shop, &record, path);
        spoil(path, 200, errors[i]); /* past the header, within the first frame */
        cat = open_catalog(CATALOG_READ);
        assert_int_equal(verify(cat, true, &report, &err), ERR_CORRUPT);
        assert_true(report.damage.count > 0 && report.touched.count > 0);
        assert_non_null(strstr(report.damage.items[0], strerror(errors[i])));
        assert_int_equal(report.packs, report.packs_read); /* it went on behind the block */
        verify_report_release(&report);
        catalog_close(cat);
        cat = open_catalog(CATALOG_WRITE);
        take(cat, &shop, &again);
        assert_all_good(cat, &shop, &again);
        assert_all_good(cat, &shop, &record);
        catalog_close(cat);
        snapshot_record_release(&record);
        snapshot_record_release(&again);
        bad.error = 0;
        assert_int_equal(system("rm -r cat"), 0);
    }
}

/* Nobody has looked before: the store itself meets the block while it compares. */
static void bad_block__met_while_comparing_does_not_stop_a_snapshot(void **state)
{
    struct shop shop = {.seed = 1, .folders = 3, .files = 8};
    struct snapshot_record record, again;
    char path[128];
    struct catalog *cat;

    (void)state;
    take_one(&shop, &record, path);
    spoil(path, 200, EIO);
    cat = open_catalog(CATALOG_WRITE);
    take(cat, &shop, &again);
    assert_all_good(cat, &shop, &again);
    catalog_close(cat);
    snapshot_record_release(&record);
    snapshot_record_release(&again);
}

static void bad_block__in_a_footer_does_not_stop_a_rebuild(void **state)
{
    struct shop shop = {.seed = 1, .folders = 3, .files = 8};
    struct text_list report = TEXT_LIST_INIT;
    struct error err = ERROR_INIT;
    struct snapshot_record record;
    char path[128];
    struct catalog *cat;

    (void)state;
    take_one(&shop, &record, path);
    spoil(path, -BLOCK, EIO);
    if (catalog_rebuild("cat", NULL, &report, &err) != OK)
        fail_msg("%s", err.text);
    assert_true(report.count > 0);
    text_list_release(&report);
    cat = open_catalog(CATALOG_WRITE);
    assert_true(catalog_damaged(cat));
    catalog_close(cat);
    snapshot_record_release(&record);
}

/* What is no fault of the medium says nothing about the pack. */
static void bad_block__another_failure_is_no_damage(void **state)
{
    struct shop shop = {.seed = 1, .folders = 3, .files = 8};
    struct verify_report report;
    struct error err = ERROR_INIT;
    struct snapshot_record record;
    char path[128];
    struct catalog *cat;

    (void)state;
    take_one(&shop, &record, path);
    spoil(path, 200, ENOMEM);
    cat = open_catalog(CATALOG_READ);
    assert_int_equal(verify(cat, true, &report, &err), ERR_IO);
    assert_false(catalog_damaged(cat));
    verify_report_release(&report);
    catalog_close(cat);
    snapshot_record_release(&record);
}

#define block_test(name) cmocka_unit_test_setup_teardown(name, folder_setup, no_bad_block)

int main(void)
{
    const struct CMUnitTest tests[] = {
        block_test(bad_block__in_a_frame_is_named_and_repaired),
        block_test(bad_block__met_while_comparing_does_not_stop_a_snapshot),
        block_test(bad_block__in_a_footer_does_not_stop_a_rebuild),
        block_test(bad_block__another_failure_is_no_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
