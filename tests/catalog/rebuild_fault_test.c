/* A rebuild whose new index can't be written whole changes nothing. The function below stands before the C library's, for SQLite too. */
#include "maintain_support.h"

#include <errno.h>
#include <sys/syscall.h>

static bool failing;

/* What goes from the log into the new index, behind its first page, which is there from the beginning. */
static bool is_new_index(int fd, off_t offset)
{
    static const char name[] = "catalog.sqlite.new";
    char link[64], path[512];
    ssize_t got;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    got = readlink(link, path, sizeof(path) - 1);
    path[got > 0 ? got : 0] = '\0';
    return offset >= 4096 && strlen(path) > strlen(name) && strcmp(path + strlen(path) - strlen(name), name) == 0;
}

/* With 64-bit offsets its symbol is pwrite64. */
ssize_t pwrite(int fd, const void *buf, size_t nbytes, off_t offset)
{
    if (failing && is_new_index(fd, offset)) {
        errno = EIO;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, buf, nbytes, offset);
}

static void rebuild__that_cannot_write_its_index_leaves_the_old_one(void **state)
{
    struct shop shop = {.seed = 1, .folders = 3, .files = 8};
    struct text_list report = TEXT_LIST_INIT;
    struct error err = ERROR_INIT;
    struct snapshot_record record;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    catalog_close(cat);
    failing = true;
    assert_int_equal(catalog_rebuild("cat", NULL, &report, &err), ERR_IO);
    failing = false;
    cat = open_catalog(CATALOG_WRITE);
    assert_verified(cat);
    assert_all_good(cat, &shop, &record);
    catalog_close(cat);
    error_clear(&err);
    if (catalog_rebuild("cat", NULL, &report, &err) != OK)
        fail_msg("%s", err.text);
    assert_int_equal(access("cat/catalog.sqlite.new-wal", F_OK), -1);
    cat = open_catalog(CATALOG_WRITE);
    assert_verified(cat);
    assert_all_good(cat, &shop, &record);
    catalog_close(cat);
    text_list_release(&report);
    snapshot_record_release(&record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(rebuild__that_cannot_write_its_index_leaves_the_old_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
