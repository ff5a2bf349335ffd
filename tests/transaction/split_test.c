/* Exchanging around mounts, in a mount namespace of our own: needs root, else the tests are skipped and say so. */
#include "test_support.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "transaction_internal.h"
#include "walk.h"

static bool may_mount;

static int namespace_setup(void **state)
{
    (void)state;
    may_mount =
        geteuid() == 0 && unshare(CLONE_NEWNS) == 0 && mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0;
    if (!may_mount)
        fprintf(stderr, "no mount namespace here (not root?): tests of mounts are skipped\n");
    return 0;
}

static void run(const char *command)
{
    assert_int_equal(system(command), 0);
}

static void describe(struct txn *t, struct place *p, const char *folder)
{
    struct error err = ERROR_INIT;

    *t = (struct txn)TXN_INIT;
    *p = (struct place)PLACE_INIT;
    memcpy(t->token, "0123abcd", 9);
    t->has_files = true;
    assert_int_equal(memory_format(&t->site_path, &err, "%s/shop", folder), OK);
    assert_int_equal(place_find(t->site_path, p, &err), OK);
    assert_int_equal(memory_format(&t->stage, &err, "%s/tx-0123abcd", p->folder), OK);
}

static void add_area(struct txn *t, const char *prefix)
{
    struct error err = ERROR_INIT;

    t->areas = calloc(1, sizeof(*t->areas));
    assert_non_null(t->areas);
    t->area_count = 1;
    assert_int_equal(memory_string("site", &t->areas[0].root_name, &err), OK);
    assert_int_equal(memory_string(prefix, &t->areas[0].prefix, &err), OK);
    assert_int_equal(memory_string(t->site_path, &t->areas[0].live, &err), OK);
    assert_int_equal(memory_format(&t->areas[0].folder, &err, "%s/%s/.nopsnap/tx-0123abcd", t->site_path, prefix), OK);
}

static void split__exchanges_around_a_mount_and_back(void **state)
{
    struct site rules = SITE_INIT;
    struct error err = ERROR_INIT;
    struct txn t;
    struct place p;
    bool are = false;

    if (!may_mount)
        skip();
    assert_int_equal(site_assume(&rules, "core", "4.60", &err), OK);
    run("mkdir -p shop/a/data shop/a/sub shop/b && echo old >shop/a/sub/f && echo old >shop/b/f && echo old >shop/gone");
    assert_int_equal(mount("none", "shop/a/data", "tmpfs", 0, ""), 0);
    run("mkdir shop/a/data/d && echo old >shop/a/data/d/f && echo old >shop/a/data/gone");
    describe(&t, &p, *state);
    add_area(&t, "a/data");
    run("N=.nopsnap-shop/tx-0123abcd/site; mkdir -p $N/a/sub $N/b $N/a/data && echo new >$N/a/sub/f && echo new >$N/b/f && echo new >$N/come;"
        "M=shop/a/data/.nopsnap/tx-0123abcd/site/a/data; mkdir -p $M/d && echo new >$M/d/f && echo new >$M/come");
    assert_int_equal(units_build(&t, &p, &rules, &t.units, &err), OK);
    assert_int_equal(units_identify(&t.units, &err), OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(units_ensure(&t.units, true, &err), OK);
    run("grep -q new shop/a/sub/f && grep -q new shop/b/f && grep -q new shop/a/data/d/f && test -e shop/come -a ! -e shop/gone "
        "-a -e shop/a/data/come -a ! -e shop/a/data/gone && mountpoint -q shop/a/data");
    assert_int_equal(units_are(&t.units, true, &are, &err), OK);
    assert_true(are);
    for (int i = 0; i < 2; i++)
        assert_int_equal(units_ensure(&t.units, false, &err), OK);
    run("grep -q old shop/a/sub/f && grep -q old shop/b/f && grep -q old shop/a/data/d/f && test ! -e shop/come -a -e shop/gone "
        "-a ! -e shop/a/data/come -a -e shop/a/data/gone && mountpoint -q shop/a/data");
    assert_int_equal(umount("shop/a/data"), 0);
    txn_release(&t);
    place_release(&p);
    site_release(&rules);
}

static void split__a_mount_that_came_after_staging_is_refused(void **state)
{
    struct site rules = SITE_INIT;
    struct error err = ERROR_INIT;
    struct txn t;
    struct place p;

    if (!may_mount)
        skip();
    assert_int_equal(site_assume(&rules, "core", "4.60", &err), OK);
    run("mkdir -p shop/a .nopsnap-shop/tx-0123abcd/site/a");
    describe(&t, &p, *state);
    assert_int_equal(mount("none", "shop/a", "tmpfs", 0, ""), 0);
    assert_int_equal(units_build(&t, &p, &rules, &t.units, &err), ERR_REFUSED);
    assert_int_equal(umount("shop/a"), 0);
    txn_release(&t);
    place_release(&p);
    site_release(&rules);
}

static void split__a_mount_of_thumbs_stays_as_it_is(void **state)
{
    struct site rules = SITE_INIT;
    struct error err = ERROR_INIT;
    struct txn t;
    struct place p;

    if (!may_mount)
        skip();
    assert_int_equal(site_assume(&rules, "core", "4.60", &err), OK);
    run("mkdir -p shop/wwwroot/images/thumbs && echo old >shop/f");
    assert_int_equal(mount("none", "shop/wwwroot/images/thumbs", "tmpfs", 0, ""), 0);
    run("touch shop/wwwroot/images/thumbs/1.jpg; N=.nopsnap-shop/tx-0123abcd/site; mkdir -p $N/wwwroot/images/thumbs; echo new >$N/f");
    describe(&t, &p, *state);
    assert_int_equal(units_build(&t, &p, &rules, &t.units, &err), OK);
    assert_int_equal(units_identify(&t.units, &err), OK);
    assert_int_equal(units_ensure(&t.units, true, &err), OK);
    run("grep -q new shop/f && test -e shop/wwwroot/images/thumbs/1.jpg && mountpoint -q shop/wwwroot/images/thumbs");
    assert_int_equal(umount("shop/wwwroot/images/thumbs"), 0);
    txn_release(&t);
    place_release(&p);
    site_release(&rules);
}

static void walk__leaves_out_what_is_staged_on_a_mount(void **state)
{
    struct site rules = SITE_INIT;
    struct error err = ERROR_INIT;
    struct walk *walk = NULL;
    struct walk_item item;
    size_t own = 0;
    size_t kept = 0;

    (void)state;
    if (!may_mount)
        skip();
    assert_int_equal(site_assume(&rules, "core", "4.60", &err), OK);
    run("mkdir -p shop/wwwroot/files/data shop/wwwroot/files/owner/.nopsnap");
    assert_int_equal(mount("none", "shop/wwwroot/files/data", "tmpfs", 0, ""), 0);
    run("mkdir -p shop/wwwroot/files/data/.nopsnap/tx-0123abcd/site shop/wwwroot/files/data/d/.nopsnap");
    assert_int_equal(walk_open("shop", &rules, &walk, &err), OK);
    while (walk_next(walk, &item, &err) == OK && item.event != WALK_END) {
        own += item.event == WALK_SKIPPED && item.class == SITE_OWN;
        kept += item.event == WALK_ENTER && !strcmp(item.name, ".nopsnap");
        if (item.event == WALK_SKIPPED)
            assert_string_equal(item.path, "wwwroot/files/data/.nopsnap");
    }
    walk_close(walk);
    assert_int_equal(own, 1);
    assert_int_equal(kept, 2); /* these are the owner's */
    assert_int_equal(umount("shop/wwwroot/files/data"), 0);
    site_release(&rules);
}

static void stage__on_a_mount_is_closed_to_others(void **state)
{
    struct error err = ERROR_INIT;
    bool made = true;

    (void)state;
    run("mkdir -m 0777 shared");
    assert_int_equal(place_make_private("shared", &made, &err), OK);
    assert_false(made);
    run("test $(stat -c %a shared) = 700");
    run("ln -s shared link");
    assert_int_equal(place_make_private("link", &made, &err), ERR_REFUSED);
}

static void place__of_a_mounted_root_is_inside_it(void **state)
{
    struct error err = ERROR_INIT;
    struct place p = PLACE_INIT;

    (void)state;
    if (!may_mount)
        skip();
    run("mkdir shop");
    assert_int_equal(mount("none", "shop", "tmpfs", 0, ""), 0);
    assert_int_equal(place_choose("shop", false, &p, &err), OK);
    assert_true(p.inside);
    place_release(&p);
    assert_int_equal(place_choose("shop", true, &p, &err), ERR_REFUSED);
    assert_int_equal(umount("shop"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(split__exchanges_around_a_mount_and_back),
        folder_test(split__a_mount_that_came_after_staging_is_refused),
        folder_test(split__a_mount_of_thumbs_stays_as_it_is),
        folder_test(walk__leaves_out_what_is_staged_on_a_mount),
        folder_test(stage__on_a_mount_is_closed_to_others),
        folder_test(place__of_a_mounted_root_is_inside_it),
    };
    return cmocka_run_group_tests(tests, namespace_setup, NULL);
}
