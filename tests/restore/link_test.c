#include <sys/stat.h>

#include "file.h"
#include "plant.h"
#include "plant_shell.h"
#include "restore.h"

struct seen {
    uint64_t count[4];
    uint64_t wrong;
    const char *root;
};

/* Every file is told of once, with the stat that it has at the end. */
static enum error_kind placed(void *arg, const char *path, enum restore_how how, const struct stat *st,
                              const void *encoded, size_t len, struct error *err)
{
    struct seen *seen = arg;

    (void)err;
    seen->count[how]++;
    if (!encoded || len < 20 || !st->st_ino || !path[0])
        seen->wrong++;
    return OK;
}

static enum error_kind check_placed(void *arg, const char *path, enum restore_how how, const struct stat *st,
                                    const void *encoded, size_t len, struct error *err)
{
    struct seen *seen = arg;
    char *full = NULL;
    struct stat now;

    assert_int_equal(path_join(seen->root, path, &full, err), OK);
    if (lstat(full, &now) || now.st_ino != st->st_ino || now.st_ctim.tv_nsec != st->st_ctim.tv_nsec ||
        now.st_ctim.tv_sec != st->st_ctim.tv_sec)
        seen->wrong++;
    free(full);
    return placed(arg, path, how, st, encoded, len, err);
}

struct stage {
    struct catalog *cat;
    struct snapshot_record snapshot;
    struct site site;
    struct restore_options options;
    struct restore_result result;
    struct seen seen;
};

static void stage_begin(struct stage *s)
{
    struct error err = ERROR_INIT;
    char *real = realpath("tree", NULL);

    memset(s, 0, sizeof(*s));
    s->cat = plant_catalog("cat");
    plant_snapshot(s->cat, "tree", &s->snapshot);
    s->site = (struct site)SITE_INIT;
    if (site_inspect(real, NULL, &s->site, &err))
        fail_msg("%s", err.text);
    free(real);
    s->seen.root = "out";
    s->options.link_site = &s->site;
    s->options.link_root = "tree";
    s->options.placed = check_placed;
    s->options.placed_arg = &s->seen;
}

static void stage_run(struct stage *s)
{
    struct error err = ERROR_INIT;

    if (restore_files(s->cat, &s->snapshot, "site", "out", &s->options, NULL, &s->result, &err))
        fail_msg("%s", err.text);
    assert_int_equal(s->seen.wrong, 0);
    if (restore_verify(s->cat, &s->snapshot, "site", "out", &s->options, NULL, NULL, NULL, &err))
        fail_msg("%s", err.text);
}

static void stage_end(struct stage *s)
{
    restore_result_release(&s->result);
    snapshot_record_release(&s->snapshot);
    site_release(&s->site);
    catalog_close(s->cat);
}

static void unchanged_files__are_linked_and_changed_ones_written(void **state)
{
    struct stage s;

    (void)state;
    assert_int_equal(shell("python3 $S/make_site.py tree --files 400 --odd >/dev/null; cp -a tree before"), 0);
    stage_begin(&s);
    assert_int_equal(shell("cd tree; echo changed >odd/one; chmod 0640 odd/upper; rm -r Themes; echo more >wwwroot/new;"
                           "mv odd/UPPER odd/moved; touch odd/tab*; mv odd/links odd/links2; ln -s links2 odd/links"),
                     0);
    stage_run(&s);
    assert_int_equal(shell("python3 $S/compare_trees.py before out --ignore-sockets >&2"), 0);
    assert_true(s.result.linked + s.result.reflinked > 200);
    assert_int_equal(s.seen.count[RESTORE_LINKED] + s.seen.count[RESTORE_REFLINKED] + s.seen.count[RESTORE_WRITTEN],
                     s.result.files);
    assert_true(s.seen.count[RESTORE_WRITTEN] > 5);
    /* A second name of a linked file is linked too. */
    assert_true(s.seen.count[RESTORE_LINKED] >= s.result.linked);
    stage_end(&s);
}

/* What the application rewrites in place must never be one file in two trees. */
static void settings__are_copied_not_linked(void **state)
{
    struct stage s;

    (void)state;
    assert_int_equal(shell("python3 $S/make_site.py tree --files 300 >/dev/null"), 0);
    stage_begin(&s);
    stage_run(&s);
    assert_true(s.result.linked > 100);
    assert_true(site_is_rewritten(&s.site, "App_Data/appsettings.json"));
    assert_int_equal(shell("[ $(stat -c %h out/App_Data/appsettings.json) = 1 ]"), 0);
    assert_int_equal(shell("cmp tree/App_Data/appsettings.json out/App_Data/appsettings.json"), 0);
    stage_end(&s);
}

/* Two files that were two at the snapshot stay two, though the live tree has made them one since. */
static void files_joined_since__are_not_joined_in_the_target(void **state)
{
    struct stage s;

    (void)state;
    assert_int_equal(
        shell("mkdir tree; echo same >tree/a; cp -p tree/a tree/b; touch -d @5 tree/a tree/b; cp -a tree before"), 0);
    stage_begin(&s);
    assert_int_equal(shell("ln -f tree/a tree/b"), 0);
    stage_run(&s);
    assert_int_equal(shell("python3 $S/compare_trees.py before out >&2"), 0);
    assert_int_equal(shell("[ $(stat -c %i out/a) != $(stat -c %i out/b) ]"), 0);
    stage_end(&s);
}

/* Hard links that kept trees hold already are no reason to copy. */
static void files_with_links_elsewhere__are_still_linked(void **state)
{
    struct stage s;

    (void)state;
    assert_int_equal(
        shell("mkdir tree kept; for i in 1 2 3 4 5 6 7 8 9; do echo $i >tree/$i; ln tree/$i kept/$i; done"), 0);
    stage_begin(&s);
    s.options.placed = NULL;
    stage_run(&s);
    /* The plant made no group, since each inode has one name in the tree. */
    assert_int_equal(s.result.linked + s.result.reflinked, 9);
    stage_end(&s);
}

static void without_hard_links__everything_is_a_file_of_its_own(void **state)
{
    struct stage s;

    (void)state;
    assert_int_equal(shell("mkdir tree; echo 1 >tree/1; echo 2 >tree/2"), 0);
    stage_begin(&s);
    s.options.no_hard_links = true;
    stage_run(&s);
    assert_int_equal(s.result.linked, 0);
    assert_int_equal(shell("[ $(stat -c %h out/1) = 1 ] && cmp tree/1 out/1"), 0);
    stage_end(&s);
}

/* Where there is no live tree any more, all is written. */
static void missing_live_tree__costs_only_time(void **state)
{
    struct stage s;

    (void)state;
    assert_int_equal(shell("mkdir -p tree/d; echo 1 >tree/1; echo 2 >tree/d/2; cp -a tree before"), 0);
    stage_begin(&s);
    assert_int_equal(shell("rm -r tree"), 0);
    stage_run(&s);
    assert_int_equal(s.result.linked, 0);
    assert_int_equal(shell("python3 $S/compare_trees.py before out >&2"), 0);
    stage_end(&s);
}

static bool always(void *arg, const char *path, const struct stat *st)
{
    (void)arg, (void)path, (void)st;
    return true;
}

static void verify__believes_the_caller_about_linked_files(void **state)
{
    struct stage s;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(shell("mkdir tree; echo 1 >tree/1"), 0);
    stage_begin(&s);
    stage_run(&s);
    assert_int_equal(shell("echo 2 >>out/1"), 0);
    assert_int_equal(restore_verify(s.cat, &s.snapshot, "site", "out", NULL, always, NULL, NULL, &err), OK);
    assert_int_equal(restore_verify(s.cat, &s.snapshot, "site", "out", NULL, NULL, NULL, NULL, &err), ERR_CORRUPT);
    stage_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(unchanged_files__are_linked_and_changed_ones_written),
        folder_test(settings__are_copied_not_linked),
        folder_test(files_joined_since__are_not_joined_in_the_target),
        folder_test(files_with_links_elsewhere__are_still_linked),
        folder_test(without_hard_links__everything_is_a_file_of_its_own),
        folder_test(missing_live_tree__costs_only_time),
        folder_test(verify__believes_the_caller_about_linked_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
