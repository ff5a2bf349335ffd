#include "plant.h"
#include "plant_shell.h"
#include "restore.h"

static const char *const letters = "ARCMT"; /* added, removed, content, mode and other attributes, type */

/* The differences as text: "A path;C path;". */
static enum error_kind note(void *arg, const struct difference *d, struct error *err)
{
    struct buffer *out = arg;

    assert_string_equal(d->root, "site");
    return buffer_append_format(out, err, "%c %s;", letters[d->kind], d->path);
}

static void expect_live(struct catalog *cat, const struct snapshot_record *s, const char *folder, const char *expected)
{
    struct buffer out = BUFFER_INIT(1 << 20);
    struct site site = SITE_INIT;
    struct error err = ERROR_INIT;
    char *real = NULL;

    assert_true(asprintf(&real, "%s/%s", getcwd((char[256]){0}, 256), folder) > 0);
    if (site_inspect(real, NULL, &site, &err) || difference_live(cat, s, &site, note, &out, &err))
        fail_msg("%s", err.text);
    assert_string_equal(out.len ? (const char *)out.data : "", expected);
    free(real);
    site_release(&site);
    buffer_release(&out);
}

static void expect_snapshots(struct catalog *cat, const struct snapshot_record *a, const struct snapshot_record *b,
                             const char *expected)
{
    struct buffer out = BUFFER_INIT(1 << 20);
    struct error err = ERROR_INIT;

    if (difference_snapshots(cat, a, b, note, &out, &err))
        fail_msg("%s", err.text);
    assert_string_equal(out.len ? (const char *)out.data : "", expected);
    buffer_release(&out);
}

#define TREE                                                                                                                                                 \
    "mkdir -p tree/a tree/a-b tree/c/d; echo 1 >tree/a/1; echo 2 >tree/a/2; echo 3 >tree/a-b/3; echo 4 >tree/c/d/4; echo 5 >tree/c/d/5; echo 6 >tree/a.txt;" \
    "ln -s 1 tree/a/link; mkfifo tree/fifo; truncate -s 1M tree/sparse; echo s >>tree/sparse; head -c 700000 /dev/urandom >tree/big;"
#define CHANGES                                                                                                                                                  \
    "echo 9 >tree/a/1; chmod 0600 tree/a/2; rm -r tree/a-b; rm tree/c/d/4; mkdir tree/c/d/4; echo x >tree/c/d/4/x; touch -d @9 tree/c/d; ln -sfn 2 tree/a/link;" \
    "echo new >tree/c/new; touch -d @9 tree/a tree/c tree; printf X | dd of=tree/big conv=notrunc bs=1 seek=600000 status=none"
/* A folder whose names change changes its time. */
#define EXPECTED "M .;M a;C a/1;M a/2;C a/link;R a-b;R a-b/3;C big;M c;M c/d;T c/d/4;A c/d/4/x;A c/new;"

static void unchanged_tree__has_no_difference(void **state)
{
    struct snapshot_record s;
    struct catalog *cat = plant_catalog("cat");

    (void)state;
    assert_int_equal(shell("python3 $S/make_site.py tree --files 200 --odd >/dev/null"), 0);
    plant_snapshot(cat, "tree", &s);
    /* The plant knows no rules: it holds more than a snapshot would, and what they leave out is not compared. */
    expect_live(cat, &s, "tree", "");
    assert_int_equal(shell("rm -rf cat/cache; cp -a tree copy"), 0);
    expect_live(cat, &s, "copy", ""); /* every file is read: another inode */
    snapshot_record_release(&s);
    catalog_close(cat);
}

static void every_kind_of_change__is_found_live(void **state)
{
    struct snapshot_record s;
    struct catalog *cat = plant_catalog("cat");

    (void)state;
    assert_int_equal(shell(TREE), 0);
    plant_snapshot(cat, "tree", &s);
    expect_live(cat, &s, "tree", "");
    assert_int_equal(shell(CHANGES), 0);
    expect_live(cat, &s, "tree", EXPECTED);
    snapshot_record_release(&s);
    catalog_close(cat);
}

static void every_kind_of_change__is_found_between_snapshots(void **state)
{
    struct snapshot_record a;
    struct snapshot_record b;
    struct catalog *cat = plant_catalog("cat");

    (void)state;
    assert_int_equal(shell(TREE), 0);
    plant_snapshot(cat, "tree", &a);
    assert_int_equal(shell(CHANGES), 0);
    plant_snapshot(cat, "tree", &b);
    expect_snapshots(cat, &a, &b, EXPECTED);
    expect_snapshots(cat, &b, &b, "");
    expect_snapshots(cat, &a, &a, "");
    /* A file rewritten with the same bytes and attributes is no difference; a stat cache that is older is no evidence. */
    assert_int_equal(shell("cp -p tree/big tree/x; mv tree/x tree/big; touch -d @9 tree"), 0);
    expect_live(cat, &b, "tree", "");
    expect_live(cat, &a, "tree", EXPECTED);
    snapshot_record_release(&a);
    snapshot_record_release(&b);
    catalog_close(cat);
}

static void tree_that_is_gone__is_all_removed(void **state)
{
    struct snapshot_record s;
    struct catalog *cat = plant_catalog("cat");

    (void)state;
    assert_int_equal(shell("mkdir -p tree/a; echo 1 >tree/a/1"), 0);
    plant_snapshot(cat, "tree", &s);
    assert_int_equal(shell("rm -r tree"), 0);
    expect_live(cat, &s, "tree", "R .;R a;R a/1;");
    snapshot_record_release(&s);
    catalog_close(cat);
}

/* A rewrite that puts the old time back is found by its ctime. */
static void same_size_and_time__is_still_found(void **state)
{
    struct snapshot_record s;
    struct catalog *cat = plant_catalog("cat");

    (void)state;
    assert_int_equal(shell("mkdir tree; echo old >tree/f; touch -d @5 tree/f tree"), 0);
    plant_snapshot(cat, "tree", &s);
    assert_int_equal(shell("echo new >tree/f; touch -d @5 tree/f"), 0);
    expect_live(cat, &s, "tree", "C f;");
    snapshot_record_release(&s);
    catalog_close(cat);
}

/* Thumbnails come and go; a restore does not touch them. */
static void what_rules_leave_out__is_not_compared(void **state)
{
    struct snapshot_record s;
    struct catalog *cat = plant_catalog("cat");

    (void)state;
    assert_int_equal(shell("python3 $S/make_site.py tree --files 200 >/dev/null; mkdir -p tree/wwwroot/images/thumbs"),
                     0);
    plant_snapshot(cat, "tree", &s);
    assert_int_equal(
        shell(
            "for i in 1 2 3; do echo $i >tree/wwwroot/images/thumbs/000000${i}_x_415.jpeg; done; echo x >tree/wwwroot/kept"),
        0);
    expect_live(cat, &s, "tree", "M wwwroot;A wwwroot/kept;");
    assert_int_equal(shell("chmod 0711 tree/wwwroot/images/thumbs"), 0); /* the folder itself is in the snapshot */
    expect_live(cat, &s, "tree", "M wwwroot;M wwwroot/images/thumbs;A wwwroot/kept;");
    snapshot_record_release(&s);
    catalog_close(cat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(unchanged_tree__has_no_difference),
        folder_test(every_kind_of_change__is_found_live),
        folder_test(every_kind_of_change__is_found_between_snapshots),
        folder_test(tree_that_is_gone__is_all_removed),
        folder_test(same_size_and_time__is_still_found),
        folder_test(what_rules_leave_out__is_not_compared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
