/* What snapshots leave out crosses the exchange, and comes back. */
#include "test_support.h"

#include "site.h"
#include "transaction_internal.h"

static void rules_make(struct site *site)
{
    struct error err = ERROR_INIT;

    *site = (struct site)SITE_INIT;
    assert_int_equal(site_assume(site, "core", "4.60", &err), OK);
    assert_int_equal(site_exclude(site, "/own", &err), OK);
}

static void same_after(const char *command)
{
    assert_int_equal(system(command), 0);
}

static void moves__cross_and_come_back_however_often(void **state)
{
    struct site site;
    struct error err = ERROR_INIT;
    uint64_t moved = 0;

    (void)state;
    rules_make(&site);
    same_after("mkdir -p old/wwwroot/images/thumbs old/logs old/own old/wwwroot/db_backups old/App_Data "
               "new/wwwroot/images/thumbs new/App_Data; touch old/wwwroot/images/thumbs/1.jpg old/logs/today "
               "old/own/x old/wwwroot/db_backups/b.bak old/App_Data/keep; "
               "touch old/wwwroot/images/thumbs/placeholder.txt new/wwwroot/images/thumbs/placeholder.txt");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(moves_left_out(&site, "old", "new", true, false, &moved, &err), OK);
        assert_int_equal(moved > 0, i == 0);
        same_after("test -e new/wwwroot/images/thumbs/1.jpg -a -e new/own/x -a -e old/App_Data/keep "
                   "-a ! -e new/App_Data/keep -a -e old/wwwroot/images/thumbs/placeholder.txt -a ! -e old/own");
    }
    assert_int_equal(moves_left_out(&site, "new", "old", false, false, &moved, &err), OK);
    same_after(
        "test -e old/wwwroot/images/thumbs/1.jpg -a -e old/own/x -a ! -e new/own -a ! -e new/wwwroot/images/thumbs/1.jpg");
    site_release(&site);
}

static void moves__what_the_other_tree_has_stays(void **state)
{
    struct site site;
    struct error err = ERROR_INIT;
    uint64_t moved = 0;

    (void)state;
    rules_make(&site);
    same_after("mkdir -p old/own new/own; echo old >old/own/x; echo new >new/own/x");
    assert_int_equal(moves_left_out(&site, "old", "new", true, false, &moved, &err), OK);
    assert_int_equal(moved, 0);
    same_after("grep -q new new/own/x && grep -q old old/own/x");
    site_release(&site);
}

static void moves__make_the_folder_that_is_missing(void **state)
{
    struct site site;
    struct error err = ERROR_INIT;
    uint64_t moved = 0;

    (void)state;
    rules_make(&site);
    assert_int_equal(site_exclude(&site, "*.bak", &err), OK);
    same_after(
        "mkdir -p old/a/b/c old/gone/obj new; chmod 2750 old/a/b; touch old/a/b/c/x.bak old/a/b/keep old/gone/keep; "
        "setfattr -n user.note -v mine old/a/b 2>/dev/null; true");
    assert_int_equal(moves_left_out(&site, "old", "new", true, false, &moved, &err), OK);
    assert_int_equal(moved, 1);
    same_after("test -e new/a/b/c/x.bak -a ! -e new/a/b/keep -a ! -e new/gone -a $(stat -c %a new/a/b) = 2750");
    same_after("test $(getfattr --only-values -n user.note new/a/b 2>/dev/null)x = "
               "$(getfattr --only-values -n user.note old/a/b 2>/dev/null)x");
    assert_int_equal(moves_left_out(&site, "new", "old", false, false, &moved, &err), OK);
    same_after("test -e old/a/b/c/x.bak -a ! -e new/a/b/c/x.bak");
    site_release(&site);
}

static void moves__never_lead_through_a_symlink(void **state)
{
    struct site site;
    struct error err = ERROR_INIT;
    uint64_t moved = 0;

    (void)state;
    rules_make(&site);
    assert_int_equal(site_exclude(&site, "*.bak", &err), OK);
    same_after("mkdir -p old/a/b new outside/b; ln -s ../outside new/a; touch old/a/x.bak old/a/b/x.bak");
    assert_int_equal(moves_left_out(&site, "old", "new", true, false, &moved, &err), OK);
    assert_int_equal(moved, 0);
    same_after("test -e old/a/x.bak -a -e old/a/b/x.bak -a ! -e outside/x.bak -a ! -e outside/b/x.bak");
    site_release(&site);
}

/* As an undo finds it when what crossed has not come back. */
static void stage__with_the_only_copy_of_something_is_not_removed(void **state)
{
    struct site site;
    struct error err = ERROR_INIT;
    struct transaction_context x = {.site = &site, .txn = TXN_INIT, .place = PLACE_INIT};

    rules_make(&site);
    same_after("mkdir -p shop tx/site/own tx/site/logs; touch tx/site/own/x tx/site/logs/today");
    assert_int_equal(memory_format(&x.txn.site_path, &err, "%s/shop", (char *)*state), OK);
    assert_int_equal(memory_format(&x.txn.stage, &err, "%s/tx", (char *)*state), OK);
    x.txn.has_files = true;
    x.txn.switch_begun = true;
    assert_int_equal(stage_remove(&x, &err), ERR_PENDING);
    same_after("test -e tx/site/own/x");
    same_after("mv tx/site/own shop/own; mkdir tx/site/own"); /* the live tree has it: this one is not the only one */
    error_clear(&err);
    assert_int_equal(stage_remove(&x, &err), OK);
    same_after("test ! -e tx -a -e shop/own/x");
    txn_release(&x.txn);
    site_release(&site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(moves__cross_and_come_back_however_often),
        folder_test(moves__what_the_other_tree_has_stays),
        folder_test(moves__make_the_folder_that_is_missing),
        folder_test(moves__never_lead_through_a_symlink),
        folder_test(stage__with_the_only_copy_of_something_is_not_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
