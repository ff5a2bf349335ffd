/* A shop of 3.90 whose pictures get another name, while it is open and once it is stopped. Each test begins in an empty folder of its own. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "file.h"
#include "test_support.h"
#include "upgrade_internal.h"

static struct upgrade_context context(void)
{
    return (struct upgrade_context){.from = {.major = 3, .minor = 90, .text = "3.90"},
                                    .to = {.major = 4, .minor = 0, .text = "4.00"},
                                    .layout = SITE_LEGACY};
}

static void put(const char *path, const char *text)
{
    struct error err = ERROR_INIT;
    char *folder = NULL;
    int fd;

    assert_int_equal(path_parent(path, &folder, &err), OK);
    assert_int_equal(directory_make_all(folder, &err), OK);
    free(folder);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void expect(const char *path, const char *text)
{
    struct buffer is = BUFFER_INIT(1 << 20);
    struct error err = ERROR_INIT;

    if (!text) {
        assert_int_equal(access(path, F_OK), -1);
        return;
    }
    assert_int_equal(file_read_whole(AT_FDCWD, path, 1 << 20, &is, &err), OK);
    assert_int_equal(is.len, strlen(text));
    assert_memory_equal(is.data, text, is.len);
    buffer_release(&is);
}

static void settle(struct upgrade_context *c)
{
    struct progress silent = {.step = NULL};
    struct error err = ERROR_INIT;

    if (renamed_settle(c, "old", "new", &silent, &err))
        fail_msg("%s", err.text);
}

static void begin(struct upgrade_context *c)
{
    struct progress silent = {.step = NULL};
    struct error err = ERROR_INIT;

    if (renamed_begin(c, "old", "new", &silent, &err))
        fail_msg("%s", err.text);
}

static ino_t inode(const char *path)
{
    struct stat st;

    assert_int_equal(lstat(path, &st), 0);
    return st.st_ino;
}

static void renamed__is_what_it_was_at_the_stop(void **state)
{
    struct upgrade_context c = context();
    ino_t rested, young;
    int held; /* its inode's number is given to nobody else meanwhile */

    (void)state;
    put("old/Content/Images/0000001_0.jpeg", "rests");
    put("old/Content/Images/0000002_0.jpeg", "is changed");
    put("old/Content/Images/0000003_0.jpeg", "goes");
    put("old/Content/Images/uploaded/deep/goes.png", "with its folder");
    put("old/Content/files/becomes", "a folder");
    put("old/favicon.ico", "the shop's own");
    put("new/wwwroot/favicon.ico", "the release's");
    sleep(3); /* at rest: else all is copied again */
    put("old/Content/Images/0000004_0.jpeg", "has just come");
    begin(&c);
    expect("new/wwwroot/images/0000001_0.jpeg", "rests");
    expect("new/wwwroot/images/uploaded/deep/goes.png", "with its folder");
    expect("new/wwwroot/favicon.ico", "the release's"); /* U6 */
    rested = inode("new/wwwroot/images/0000001_0.jpeg");
    young = inode("new/wwwroot/images/0000004_0.jpeg");
    held = open("new/wwwroot/images/0000004_0.jpeg", O_RDONLY | O_CLOEXEC);
    assert_true(held >= 0);
    /* The shop goes on. */
    put("old/Content/Images/0000002_0.jpeg", "is CHANGED");
    put("old/Content/Images/0000005_0.jpeg", "is new");
    put("old/Content/Images/uploaded/new/page.png", "is new, too");
    put("old/Content/files/becomes2/file.txt", "in a folder");
    assert_int_equal(unlink("old/Content/Images/0000003_0.jpeg"), 0);
    assert_int_equal(unlink("old/Content/Images/uploaded/deep/goes.png"), 0);
    assert_int_equal(rmdir("old/Content/Images/uploaded/deep"), 0);
    assert_int_equal(unlink("old/Content/files/becomes"), 0);
    assert_int_equal(rename("old/Content/files/becomes2", "old/Content/files/becomes"), 0);
    settle(&c);
    expect("new/wwwroot/images/0000001_0.jpeg", "rests");
    expect("new/wwwroot/images/0000002_0.jpeg", "is CHANGED");
    expect("new/wwwroot/images/0000003_0.jpeg", NULL);
    expect("new/wwwroot/images/0000004_0.jpeg", "has just come");
    expect("new/wwwroot/images/0000005_0.jpeg", "is new");
    expect("new/wwwroot/images/uploaded/new/page.png", "is new, too");
    expect("new/wwwroot/images/uploaded/deep", NULL);
    expect("new/wwwroot/files/becomes/file.txt", "in a folder");
    expect("new/wwwroot/favicon.ico", "the shop's own");
    /* U5: what rests is not copied again, what may have changed without a sign is. */
    assert_int_equal(inode("new/wwwroot/images/0000001_0.jpeg"), rested);
    assert_int_not_equal(inode("new/wwwroot/images/0000004_0.jpeg"), young);
    assert_int_equal(close(held), 0);
    renamed_release(&c.renamed);
}

static void renamed__what_goes_until_the_stop_leaves_the_releases_own(void **state)
{
    struct upgrade_context c = context();

    (void)state;
    put("old/favicon.ico", "the shop's own");
    put("new/wwwroot/favicon.ico", "the release's");
    begin(&c);
    assert_int_equal(unlink("old/favicon.ico"), 0);
    settle(&c);
    expect("new/wwwroot/favicon.ico", "the release's");
    renamed_release(&c.renamed);
}

static void expect_link(const char *path, const char *target)
{
    char is[4096] = "";

    assert_int_equal(readlink(path, is, sizeof(is) - 1), (ssize_t)strlen(target));
    assert_string_equal(is, target);
}

static void renamed__keeps_attributes_and_links(void **state)
{
    struct upgrade_context c = context();
    struct timespec times[2] = {{1, 2}, {-5, 123456789}};
    struct stat st;
    char value[16];

    (void)state;
    put("old/Content/Images/0000001_0.jpeg", "a picture");
    put("old/Content/Images/uploaded/a/b.png", "a file");
    put("old/robots.custom.txt", "at the root");
    put("new/Nop.Web.dll", "the release's");
    assert_int_equal(symlink("0000001_0.jpeg", "old/Content/Images/0000002_0.jpeg"), 0);
    assert_int_equal(symlink("../../../shared/3.jpeg", "old/Content/Images/0000003_0.jpeg"), 0);
    assert_int_equal(symlink("/srv/4.jpeg", "old/Content/Images/0000004_0.jpeg"), 0);
    assert_int_equal(symlink("./Content/Images/0000001_0.jpeg", "old/favicon.ico"), 0);
    assert_int_equal(symlink("../shared", "old/.well-known"), 0);
    assert_int_equal(mkfifo("old/Content/Images/0000005_0.jpeg", 0600), 0);
    assert_int_equal(setxattr("old/Content/Images/0000001_0.jpeg", "user.note", "the owner's", 11, 0), 0);
    assert_int_equal(setxattr("old/Content/Images/uploaded/a", "user.note", "a folder's", 10, 0), 0);
    assert_int_equal(chmod("old/Content/Images/0000001_0.jpeg", 0640), 0);
    assert_int_equal(chmod("old/Content/Images/uploaded/a", 02775), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown("old/Content/Images/0000001_0.jpeg", 33, 34), 0);
        assert_int_equal(chown("old/Content/Images/uploaded/a", 33, 34), 0);
        assert_int_equal(chmod("old/Content/Images/uploaded/a", 02775), 0);
        assert_int_equal(lchown("old/Content/Images/0000002_0.jpeg", 33, 34), 0);
    }
    assert_int_equal(utimensat(AT_FDCWD, "old/Content/Images/0000001_0.jpeg", times, 0), 0);
    assert_int_equal(utimensat(AT_FDCWD, "old/Content/Images/0000002_0.jpeg", times, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(utimensat(AT_FDCWD, "old/Content/Images/uploaded/a", times, 0), 0);
    begin(&c);
    settle(&c);
    assert_int_equal(stat("new/wwwroot/images/0000001_0.jpeg", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(st.st_mtim.tv_nsec, 123456789);
    assert_int_equal(st.st_uid, geteuid() == 0 ? 33 : geteuid());
    assert_int_equal(getxattr("new/wwwroot/images/0000001_0.jpeg", "user.note", value, sizeof(value)), 11);
    assert_memory_equal(value, "the owner's", 11);
    assert_int_equal(stat("new/wwwroot/images/uploaded/a", &st), 0);
    assert_int_equal(st.st_mode & 07777, 02775);
    assert_int_equal(st.st_mtim.tv_nsec, 123456789);
    assert_int_equal(st.st_uid, geteuid() == 0 ? 33 : geteuid());
    assert_int_equal(getxattr("new/wwwroot/images/uploaded/a", "user.note", value, sizeof(value)), 10);
    /* A symlink leads where it led. */
    expect_link("new/wwwroot/images/0000002_0.jpeg", "0000001_0.jpeg");
    expect_link("new/wwwroot/images/0000003_0.jpeg", "../../../shared/3.jpeg");
    expect_link("new/wwwroot/images/0000004_0.jpeg", "/srv/4.jpeg");
    expect_link("new/wwwroot/favicon.ico", "../wwwroot/images/0000001_0.jpeg");
    expect_link("new/wwwroot/.well-known", "../../shared");
    assert_int_equal(lstat("new/wwwroot/images/0000002_0.jpeg", &st), 0);
    assert_int_equal(st.st_mtim.tv_nsec, 123456789);
    assert_int_equal(st.st_uid, geteuid() == 0 ? 33 : geteuid());
    expect("new/wwwroot/images/0000005_0.jpeg", NULL);
    renamed_release(&c.renamed);
}

/* A link takes the place of the release's folder while the shop is open; what is behind it is not touched. */
static void renamed__a_link_to_a_folder_comes_in_place_of_the_releases_folder(void **state)
{
    struct upgrade_context c = context();

    (void)state;
    put("disk/pictures/0000001_0.jpeg", "a picture");
    put("disk/uploads/b.png", "an upload");
    put("old/pages/uploads/c.png", "of the shop");
    put("old/Content/files/own.pdf", "the owner's");
    put("new/wwwroot/images/default-image.png", "the release's");
    put("new/wwwroot/images/thumbs/placeholder.txt", "");
    put("new/wwwroot/files/exportimport/index.htm", "");
    assert_int_equal(symlink("../../disk/pictures", "old/Content/Images"), 0);
    assert_int_equal(symlink("../../pages/uploads", "old/Content/files/ExportImport"), 0);
    begin(&c);
    expect_link("new/wwwroot/images", "../../disk/pictures");
    expect_link("new/wwwroot/files/exportimport", "../../wwwroot/pages/uploads");
    expect("new/wwwroot/images/0000001_0.jpeg", "a picture");
    expect("new/wwwroot/files/own.pdf", "the owner's");
    settle(&c);
    expect_link("new/wwwroot/images", "../../disk/pictures");
    expect_link("new/wwwroot/files/exportimport", "../../wwwroot/pages/uploads");
    expect("new/wwwroot/files/exportimport/c.png", "of the shop");
    expect("disk/pictures/0000001_0.jpeg", "a picture");
    expect("disk/pictures/default-image.png", NULL);
    renamed_release(&c.renamed);
}

/* Without a beginning, as in a later stage; and what has no other place than behind the link is refused, not written there. */
static void renamed__nothing_is_written_behind_a_link(void **state)
{
    struct upgrade_context c = context();
    struct progress silent = {.step = NULL};
    struct error err = ERROR_INIT;

    (void)state;
    put("disk/pictures/0000001_0.jpeg", "a picture");
    put("old/images/more/of.png", "at the root, served as /images");
    put("new/wwwroot/images/default-image.png", "the release's");
    assert_int_equal(mkdir("old/Content", 0755), 0);
    assert_int_equal(symlink("../../disk/pictures", "old/Content/Images"), 0);
    assert_int_not_equal(renamed_settle(&c, "old", "new", &silent, &err), OK);
    expect_link("new/wwwroot/images", "../../disk/pictures");
    expect("disk/pictures/more", NULL);
    renamed_release(&c.renamed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(renamed__is_what_it_was_at_the_stop),
        folder_test(renamed__what_goes_until_the_stop_leaves_the_releases_own),
        folder_test(renamed__keeps_attributes_and_links),
        folder_test(renamed__a_link_to_a_folder_comes_in_place_of_the_releases_folder),
        folder_test(renamed__nothing_is_written_behind_a_link),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
