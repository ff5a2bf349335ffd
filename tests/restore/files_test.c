#include "plant.h"
#include "plant_shell.h"
#include "restore.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>

static bool readdir_fails;

/* Stands before the C library's: with 64-bit offsets readdir() is this symbol. */
struct dirent *failing_readdir(DIR *dir) __asm__("readdir64");
struct dirent *failing_readdir(DIR *dir)
{
    struct dirent *(*next)(DIR *) = NULL;
    void *found = dlsym(RTLD_NEXT, "readdir64");

    if (readdir_fails) {
        errno = EIO;
        return NULL;
    }
    memcpy(&next, &found, sizeof(next));
    return next(dir);
}

static void write_all(struct catalog *cat, const struct snapshot_record *s, const char *target,
                      const struct restore_options *options)
{
    struct restore_result result;
    struct error err = ERROR_INIT;

    if (restore_files(cat, s, "site", target, options, NULL, &result, &err))
        fail_msg("restoring: %s", err.text);
    restore_result_release(&result);
}

static void odd_tree__comes_back_in_every_attribute(void **state)
{
    struct snapshot_record s;
    struct catalog *cat = plant_catalog("cat");
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(shell("python3 $S/make_site.py tree --files 300 --odd --deep --many 300 >/dev/null"), 0);
    /* more chunks than an entry names in place, and a hole at each end of a file */
    assert_int_equal(
        shell("head -c 20000000 /dev/urandom >tree/large; truncate -s 30M tree/large; touch -d @77 tree/large"), 0);
    assert_int_equal(shell("truncate -s 5M tree/begins; echo end >>tree/begins; truncate -s 3M tree/hollow"), 0);
    plant_snapshot(cat, "tree", &s);
    write_all(cat, &s, "out", NULL);
    assert_int_equal(shell("python3 $S/compare_trees.py tree out --ignore-sockets >&2"), 0);
    if (restore_verify(cat, &s, "site", "out", NULL, NULL, NULL, NULL, &err))
        fail_msg("reading back: %s", err.text);
    snapshot_record_release(&s);
    catalog_close(cat);
}

static void target_that_cannot_be_looked_into__is_not_taken_for_empty(void **state)
{
    struct snapshot_record s;
    struct catalog *cat = plant_catalog("cat");
    struct restore_result result;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(shell("mkdir tree out; echo a >tree/a; echo mine >out/mine"), 0);
    plant_snapshot(cat, "tree", &s);
    readdir_fails = true;
    assert_int_equal(restore_files(cat, &s, "site", "out", NULL, NULL, &result, &err), ERR_IO);
    readdir_fails = false;
    restore_result_release(&result);
    assert_int_equal(shell("[ \"$(ls -A out)\" = mine ]"), 0);
    snapshot_record_release(&s);
    catalog_close(cat);
}

static void target_that_is_not_empty__is_refused_untouched(void **state)
{
    struct snapshot_record s;
    struct catalog *cat = plant_catalog("cat");
    struct restore_result result;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(shell("mkdir tree out full link.d; echo a >tree/a; echo mine >full/mine; ln -s link.d link"), 0);
    plant_snapshot(cat, "tree", &s);
    assert_int_equal(restore_files(cat, &s, "site", "full", NULL, NULL, &result, &err), ERR_EXISTS);
    restore_result_release(&result);
    assert_int_equal(shell("[ \"$(ls full)\" = mine ]"), 0);
    error_clear(&err);
    assert_int_equal(restore_files(cat, &s, "site", "full/mine", NULL, NULL, &result, &err), ERR_EXISTS);
    restore_result_release(&result);
    error_clear(&err);
    assert_int_equal(restore_files(cat, &s, "site", "link", NULL, NULL, &result, &err), ERR_EXISTS);
    restore_result_release(&result);
    assert_int_equal(shell("[ -z \"$(ls link.d)\" ]"), 0);
    error_clear(&err);
    assert_int_equal(restore_files(cat, &s, "site", "no/such/parent", NULL, NULL, &result, &err), ERR_NOT_FOUND);
    restore_result_release(&result);
    error_clear(&err);
    assert_int_equal(restore_files(cat, &s, "pictures", "new", NULL, NULL, &result, &err), ERR_NOT_FOUND);
    restore_result_release(&result);
    write_all(cat, &s, "out", NULL); /* an empty one is taken */
    assert_int_equal(shell("cmp tree/a out/a"), 0);
    snapshot_record_release(&s);
    catalog_close(cat);
}

static void include__brings_only_what_matches_and_the_folders_above(void **state)
{
    static const char *const wanted[] = {"wwwroot/images/**", "*.json", NULL};
    struct restore_options options = {.include = wanted};
    struct snapshot_record s;
    struct catalog *cat = plant_catalog("cat");
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(shell("mkdir -p tree/wwwroot/images/deep tree/wwwroot/css tree/Plugins/A tree/none/below;"
                           "echo 1 >tree/wwwroot/images/deep/a.jpeg; echo 2 >tree/wwwroot/css/a.css;"
                           "echo 3 >tree/Plugins/A/plugin.json; echo 4 >tree/none/below/x;"
                           "ln tree/wwwroot/css/a.css tree/wwwroot/images/same;"
                           "chmod 0711 tree/Plugins/A; touch -d @1000 tree/Plugins/A"),
                     0);
    plant_snapshot(cat, "tree", &s);
    write_all(cat, &s, "out", &options);
    assert_int_equal(
        shell(
            "[ \"$(cd out; find . | sort | tr '\\n' ' ')\" = '. ./Plugins ./Plugins/A ./Plugins/A/plugin.json ./wwwroot ./wwwroot/images"
            " ./wwwroot/images/deep ./wwwroot/images/deep/a.jpeg ./wwwroot/images/same ' ]"),
        0);
    assert_int_equal(shell("[ \"$(stat -c '%a %Y' out/Plugins/A)\" = '711 1000' ]"), 0);
    if (restore_verify(cat, &s, "site", "out", &options, NULL, NULL, NULL, &err))
        fail_msg("reading back: %s", err.text);
    snapshot_record_release(&s);
    catalog_close(cat);
}

static void exclude__leaves_that_out_and_links_the_rest(void **state)
{
    char pattern[] = "/data/**";
    char *patterns[] = {pattern};
    struct text_list unwanted = {patterns, 1, 1};
    struct restore_options options = {.exclude = &unwanted};
    struct snapshot_record s;
    struct catalog *cat = plant_catalog("cat");
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(
        shell("mkdir -p tree/data/deep tree/more; echo 1 >tree/data/deep/a; ln tree/data/deep/a tree/more/a;"
              "ln tree/data/deep/a tree/more/b; chmod 0711 tree/data"),
        0);
    plant_snapshot(cat, "tree", &s);
    write_all(cat, &s, "out", &options);
    assert_int_equal(shell("[ \"$(cd out; find . | sort | tr '\\n' ' ')\" = '. ./data ./more ./more/a ./more/b ' ]"),
                     0);
    assert_int_equal(shell("[ \"$(stat -c %a out/data) $(stat -c %h out/more/a)\" = '711 2' ]"), 0);
    if (restore_verify(cat, &s, "site", "out", &options, NULL, NULL, NULL, &err))
        fail_msg("reading back: %s", err.text);
    snapshot_record_release(&s);
    catalog_close(cat);
}

/* Each change after the restore is found, and named. */
static void verify__names_every_kind_of_difference(void **state)
{
    static const struct {
        const char *change;
        const char *named;
    } cases[] = {
        {"printf X | dd of=out/f conv=notrunc bs=1 seek=5 status=none; touch -d @5 out/f", "f (content)"},
        {"truncate -s 3 out/f", "f (size)"},
        {"chmod 0600 out/f", "f (mode)"},
        {"touch -d @6 out/f", "f (time)"},
        {"rm out/f; touch -d @5 out", "f (missing)"},
        {"rm out/f; ln -s g out/f; touch -d @5 out", "f (missing)"},
        {"rm out/f; mkdir out/f; touch -d @5 out", "f (type)"},
        {"setfattr -n user.note -v other out/f", "f (extended attributes)"},
        {"setfattr -n user.more -v more out/f", "f (extended attributes)"},
        {"setfattr -x user.note out/f", "f (extended attributes)"},
        {"ln -sfn elsewhere out/link; touch -h -d @5 out/link; touch -d @5 out", "link (target)"},
        {"echo x >out/extra; touch -d @5 out", ". (more names than the snapshot has)"},
        {"cp -p --remove-destination out/name2 out/name3; mv out/name3 out/name2; touch -d @5 out", "(hard link)"},
        {"printf X | dd of=out/sparse conv=notrunc bs=1 seek=100000 status=none; touch -d @5 out/sparse",
         "sparse (content)"},
    };
    struct snapshot_record s;
    struct catalog *cat = plant_catalog("cat");

    (void)state;
    assert_int_equal(
        shell(
            "mkdir tree; echo some bytes >tree/f; setfattr -n user.note -v note tree/f; ln -s f tree/link; echo g >tree/g;"
            "echo two >tree/name1; ln tree/name1 tree/name2; truncate -s 1M tree/sparse; echo z >>tree/sparse;"
            "touch -h -d @5 tree/* tree"),
        0);
    plant_snapshot(cat, "tree", &s);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct error err = ERROR_INIT;

        write_all(cat, &s, "out", NULL);
        if (restore_verify(cat, &s, "site", "out", NULL, NULL, NULL, NULL, &err))
            fail_msg("before: %s", err.text);
        assert_int_equal(shell(cases[i].change), 0);
        assert_int_equal(restore_verify(cat, &s, "site", "out", NULL, NULL, NULL, NULL, &err), ERR_CORRUPT);
        if (!strstr(err.text, cases[i].named))
            fail_msg("%s: %s", cases[i].change, err.text);
        assert_int_equal(shell("rm -rf out"), 0);
    }
    snapshot_record_release(&s);
    catalog_close(cat);
}

static void empty_tree__comes_back(void **state)
{
    struct snapshot_record s;
    struct catalog *cat = plant_catalog("cat");
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(shell("mkdir -m 0750 tree; touch -d @9 tree"), 0);
    plant_snapshot(cat, "tree", &s);
    write_all(cat, &s, "out/", NULL);
    assert_int_equal(shell("python3 $S/compare_trees.py tree out >&2"), 0);
    assert_int_equal(restore_verify(cat, &s, "site", "out", NULL, NULL, NULL, NULL, &err), OK);
    snapshot_record_release(&s);
    catalog_close(cat);
}

/* A folder whose parent gives ACLs to all that is made in it gives none to what is restored. */
static void inherited_acl__is_not_taken_over(void **state)
{
    struct snapshot_record s;
    struct catalog *cat = plant_catalog("cat");

    (void)state;
    assert_int_equal(shell("mkdir -p tree/a above; echo x >tree/a/f; chmod 2775 above"), 0);
    if (shell("setfacl -d -m u:33:rwx above 2>/dev/null"))
        skip();
    plant_snapshot(cat, "tree", &s);
    write_all(cat, &s, "above/out", NULL);
    assert_int_equal(shell("python3 $S/compare_trees.py tree above/out >&2"), 0);
    snapshot_record_release(&s);
    catalog_close(cat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(odd_tree__comes_back_in_every_attribute),
        folder_test(target_that_is_not_empty__is_refused_untouched),
        folder_test(target_that_cannot_be_looked_into__is_not_taken_for_empty),
        folder_test(include__brings_only_what_matches_and_the_folders_above),
        folder_test(exclude__leaves_that_out_and_links_the_rest),
        folder_test(verify__names_every_kind_of_difference),
        folder_test(empty_tree__comes_back),
        folder_test(inherited_acl__is_not_taken_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
