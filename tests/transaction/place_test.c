/* Where the journal lives: beside the site's real path, found again by every name of it. */
#include "test_support.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "thread.h"
#include "transaction_internal.h"

static void folder_is(const char *site, const char *expected)
{
    struct place p = PLACE_INIT;
    struct error err = ERROR_INIT;

    assert_int_equal(place_choose(site, false, &p, &err), OK);
    assert_string_equal(p.folder, expected);
    assert_false(p.inside);
    place_release(&p);
}

static void place__is_beside_the_real_path_whatever_name_is_used(void **state)
{
    char expected[256];

    snprintf(expected, sizeof(expected), "%s/real/.nopsnap-shop", (char *)*state);
    assert_int_equal(system("mkdir -p real/shop names; ln -s ../real/shop names/one; ln -s one names/two"), 0);
    folder_is("real/shop", expected);
    folder_is("real/shop/", expected);
    folder_is("names/one", expected);
    folder_is("names/two", expected);
    assert_int_equal(system("rm -r real/shop"), 0); /* gone altogether: the links lead nowhere, but still somewhere */
    folder_is("names/two", expected);
    folder_is("real/shop", expected);
}

static void place__a_journal_in_both_places_needs_hands(void **state)
{
    struct place p = PLACE_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(system("mkdir -p shop/.nopsnap .nopsnap-shop; touch shop/.nopsnap/journal"), 0);
    assert_int_equal(place_find("shop", &p, &err), OK);
    assert_true(p.inside);
    place_release(&p);
    assert_int_equal(system("touch .nopsnap-shop/journal"), 0);
    assert_int_equal(place_find("shop", &p, &err), ERR_PENDING);
}

static void place__is_private_and_ours(void **state)
{
    struct place p = PLACE_INIT;
    struct error err = ERROR_INIT;
    struct stat st;

    (void)state;
    assert_int_equal(system("mkdir shop; mkdir -m 777 .nopsnap-shop"), 0);
    assert_int_equal(place_choose("shop", false, &p, &err), OK);
    assert_int_equal(place_make(&p, &err), OK);
    assert_false(p.made); /* who finds it there comes second */
    assert_int_equal(stat(p.folder, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(system("rm -r .nopsnap-shop; mkdir elsewhere; ln -s elsewhere .nopsnap-shop"), 0);
    assert_int_equal(place_make(&p, &err), ERR_REFUSED); /* somebody else's link would lead our files elsewhere */
    place_release(&p);
}

static void place__the_lock_tells_running_from_pending(void **state)
{
    enum transaction_state was = TRANSACTION_NONE;
    struct place p = PLACE_INIT;
    struct place other = PLACE_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(mkdir("shop", 0755), 0);
    assert_int_equal(transaction_look("shop", &was, NULL, &err), OK);
    assert_int_equal(was, TRANSACTION_NONE);
    assert_int_equal(transaction_refuse_pending("shop", &err), OK);
    assert_int_equal(place_choose("shop", false, &p, &err), OK);
    assert_int_equal(place_make(&p, &err), OK);
    assert_true(p.made);
    assert_int_equal(place_lock(&p, 100, &err), OK);
    assert_int_equal(file_replace(".nopsnap-shop/journal", "", 0, 0600, &err), OK);
    assert_int_equal(transaction_look("shop", &was, NULL, &err), OK);
    assert_int_equal(was, TRANSACTION_RUNNING);
    assert_int_equal(place_find("shop", &other, &err), OK);
    assert_int_equal(place_lock(&other, 100, &err), ERR_BUSY);
    error_clear(&err);
    place_release(&other);
    place_release(&p);
    assert_int_equal(transaction_look("shop", &was, NULL, &err), OK);
    assert_int_equal(was, TRANSACTION_PENDING);
    assert_int_equal(transaction_refuse_pending("shop", &err), ERR_PENDING);
}

static void place__who_looks_is_not_taken_for_who_runs(void **state)
{
    enum transaction_state was = TRANSACTION_NONE;
    struct error err = ERROR_INIT;
    int looking;

    (void)state;
    assert_int_equal(system("mkdir shop .nopsnap-shop; touch .nopsnap-shop/journal .nopsnap-shop/lock"), 0);
    looking = open(".nopsnap-shop/lock", O_RDONLY);
    assert_int_equal(flock(looking, LOCK_SH), 0);
    assert_int_equal(transaction_look("shop", &was, NULL, &err), OK);
    assert_int_equal(was, TRANSACTION_PENDING);
    close(looking);
}

static void place__one_that_runs_is_waited_for(void **state)
{
    struct place p = PLACE_INIT;
    struct error err = ERROR_INIT;
    int64_t began = clock_monotonic_ms();
    pid_t child;

    (void)state;
    assert_int_equal(mkdir("shop", 0755), 0);
    assert_int_equal(place_choose("shop", false, &p, &err), OK);
    assert_int_equal(place_make(&p, &err), OK);
    assert_int_equal(place_lock(&p, 100, &err), OK);
    assert_int_equal(file_replace(".nopsnap-shop/journal", "", 0, 0600, &err), OK);
    child = fork(); /* it holds the same lock */
    if (child == 0) {
        usleep(700000);
        _exit(unlink(".nopsnap-shop/journal"));
    }
    file_close(&p.lock.fd); /* without giving it up: the child has it */
    assert_int_equal(transaction_refuse_pending("shop", &err), OK);
    assert_in_range(clock_monotonic_ms() - began, 600, 9000);
    assert_int_equal(waitpid(child, NULL, 0), child);
    place_release(&p);
}

static void place__the_root_directory_is_no_site(void **state)
{
    struct place p = PLACE_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(place_find("/", &p, &err), ERR_REFUSED);
}

static void kept__its_room_is_what_would_come_free(void **state)
{
    static unsigned char content[1 << 20];
    struct kept_state kept;
    struct place p = PLACE_INIT;
    struct txn t = TXN_INIT;
    struct error err = ERROR_INIT;

    (void)state;
    memset(content, 'x', sizeof(content));
    assert_int_equal(mkdir("shop", 0755), 0);
    assert_int_equal(kept_look("shop", &kept, &err), OK);
    assert_false(kept.exists);
    assert_int_equal(place_choose("shop", false, &p, &err), OK);
    assert_int_equal(place_make(&p, &err), OK);
    assert_int_equal(system("mkdir -p .nopsnap-shop/tx-01234567/site"), 0);
    assert_int_equal(file_replace(".nopsnap-shop/tx-01234567/site/own", content, sizeof(content), 0644, &err), OK);
    assert_int_equal(file_replace("shop/shared", content, sizeof(content), 0644, &err), OK);
    assert_int_equal(link("shop/shared", ".nopsnap-shop/tx-01234567/site/shared"), 0);
    strcpy(t.token, "01234567");
    t.has_files = true;
    assert_int_equal(text_list_add(&t.rules, "layout core", &err), OK);
    assert_int_equal(memory_string(p.root, &t.site_path, &err), OK);
    assert_int_equal(memory_string("/srv/catalog", &t.catalog, &err), OK);
    assert_int_equal(memory_string("11111111111111111111111111111111", &t.target, &err), OK);
    assert_int_equal(memory_format(&t.stage, &err, "%s/tx-01234567", p.folder), OK);
    assert_int_equal(kept_write(&p, &t, true, NULL, 1, &err), OK);
    assert_int_equal(kept_look("shop", &kept, &err), OK);
    assert_true(kept.exists);
    assert_in_range(kept.bytes, 1 << 20, (1 << 20) + (64 << 10));
    kept_state_release(&kept);
    txn_release(&t);
    place_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(place__is_beside_the_real_path_whatever_name_is_used),
        folder_test(place__a_journal_in_both_places_needs_hands),
        folder_test(place__is_private_and_ours),
        folder_test(place__the_lock_tells_running_from_pending),
        folder_test(place__who_looks_is_not_taken_for_who_runs),
        folder_test(place__one_that_runs_is_waited_for),
        folder_test(place__the_root_directory_is_no_site),
        folder_test(kept__its_room_is_what_would_come_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
