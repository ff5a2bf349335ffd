/*
 * The fence against a model of systemd: a `systemctl` on PATH that reads drop-ins at daemon-reload and honours ConditionPathExists.
 * It logs every verb with what it saw, so that the order (F1 to F4) can be read.
 */
#include "test_support.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "transaction_internal.h"

static const char model[] =
    "#!/bin/sh\n"
    "cd \"$MODEL\" || exit 1\n"
    "fence=absent; [ -e .nopsnap-shop/fence ] && fence=there\n"
    "unit=$(cat unit)\n"
    "dropin=absent; [ -e units/$unit.d/zz-nopsnap-fence.conf ] && dropin=there\n"
    "echo \"$1 fence=$fence dropin=$dropin\" >>log\n"
    "case $1 in\n"
    "show) [ $4 = InvocationID ] && { cat run 2>/dev/null; exit 0; }\n"
    "      [ $4 = LoadState ] && { [ -e unasked ] && exit 1; cat state 2>/dev/null || echo loaded; exit 0; }\n"
    "      [ -e loaded ] && echo $MODEL/units/$unit.d/*.conf; exit 0 ;;\n"
    "daemon-reload) rm -f loaded; [ -e units/$unit.d ] && cat units/$unit.d/*.conf >loaded 2>/dev/null; exit 0 ;;\n"
    "start) path=$(sed -n 's/^ConditionPathExists=!//p' loaded 2>/dev/null)\n"
    "       [ -e refuse-start ] && exit 4\n"
    "       [ -n \"$path\" ] && [ -e \"$path\" ] && exit 0\n" /* a failed condition is no failure */
    "       touch active ;;\n"
    "stop) [ -e refuse-stop ] && exit 1; rm -f active ;;\n"
    "is-active) [ -e active ] ;;\n"
    "esac\n";

struct shop {
    struct place place;
    struct txn txn;
    struct fence fence;
};

/* The unit as systemd knows it, and as the config names it. */
static void shop_make_of(struct shop *s, const char *folder, const char *unit, const char *service)
{
    struct error err = ERROR_INIT;
    char path[512];

    *s = (struct shop){.place = PLACE_INIT, .txn = TXN_INIT};
    assert_int_equal(file_replace("systemctl", model, sizeof(model) - 1, 0755, &err), OK);
    assert_int_equal(mkdir("units", 0755), 0);
    snprintf(path, sizeof(path), "%s:%s", folder, "/usr/bin:/bin");
    setenv("PATH", path, 1);
    setenv("MODEL", folder, 1);
    snprintf(path, sizeof(path), "%s/units", folder);
    setenv("NOPSNAP_SYSTEMD_ETC", path, 1);
    assert_int_equal(memory_format(&s->place.root, &err, "%s/shop", folder), OK);
    assert_int_equal(memory_string(folder, &s->place.parent, &err), OK);
    assert_int_equal(memory_format(&s->place.folder, &err, "%s/.nopsnap-shop", folder), OK);
    assert_int_equal(place_make(&s->place, &err), OK);
    assert_int_equal(file_replace("unit", unit, strlen(unit), 0644, &err), OK);
    assert_int_equal(memory_string(service, &s->txn.service, &err), OK);
    assert_int_equal(fence_init(&s->fence, &s->place, &s->txn, &err), OK);
    assert_int_equal(system("touch active"), 0);
}

static void shop_make(struct shop *s, const char *folder)
{
    shop_make_of(s, folder, "nop.service", "nop.service");
}

static void shop_release(struct shop *s)
{
    fence_release(&s->fence);
    txn_release(&s->txn);
    place_release(&s->place);
}

static void log_is(const char *expected)
{
    struct buffer b = BUFFER_INIT(1 << 16);
    struct error err = ERROR_INIT;

    assert_int_equal(file_read_whole(AT_FDCWD, "log", 1 << 16, &b, &err), OK);
    assert_int_equal(buffer_append(&b, "", 1, &err), OK);
    assert_string_equal((char *)b.data, expected);
    buffer_release(&b);
    assert_int_equal(unlink("log"), 0);
}

static void fence__goes_up_before_the_stop_and_down_last(void **state)
{
    struct shop s;
    struct error err = ERROR_INIT;

    shop_make(&s, *state);
    assert_int_equal(fence_up(&s.fence, &err), OK);
    log_is(
        "daemon-reload fence=absent dropin=there\nshow fence=absent dropin=there\nstop fence=there dropin=there\n"); /* F1 */
    assert_int_equal(access("active", F_OK), -1);
    assert_int_equal(fence_start(&s.fence, &err), OK);
    log_is("start fence=absent dropin=there\nis-active fence=absent dropin=there\n"); /* F2 */
    assert_int_equal(access("active", F_OK), 0);
    assert_int_equal(fence_again(&s.fence, &err), OK);
    log_is(
        "daemon-reload fence=there dropin=there\nshow fence=there dropin=there\nstop fence=there dropin=there\n"); /* F3 */
    assert_int_equal(fence_start(&s.fence, &err), OK);
    assert_int_equal(fence_down(&s.fence, &err), OK);
    log_is(
        "start fence=absent dropin=there\nis-active fence=absent dropin=there\ndaemon-reload fence=absent dropin=absent\n"); /* F4 */
    assert_int_equal(access("units/nop.service.d", F_OK), -1);
    assert_int_equal(access("active", F_OK), 0);
    shop_release(&s);
}

static void fence__keeps_the_unit_from_starting(void **state)
{
    struct shop s;
    struct error err = ERROR_INIT;

    shop_make(&s, *state);
    assert_int_equal(fence_up(&s.fence, &err), OK);
    assert_int_equal(system("systemctl start nop.service"), 0); /* as a reboot would */
    assert_int_equal(access("active", F_OK), -1);
    shop_release(&s);
}

static void fence__a_service_whose_name_has_dots_is_kept_from_starting(void **state)
{
    struct shop s;
    struct error err = ERROR_INIT;

    shop_make_of(&s, *state, "shop.example.com.service", "shop.example.com");
    assert_int_equal(fence_up(&s.fence, &err), OK);
    assert_int_equal(system("systemctl start shop.example.com"), 0);
    assert_int_equal(access("active", F_OK), -1);
    shop_release(&s);
}

static void fence__a_drop_in_that_systemd_does_not_apply_is_told_before_the_stop(void **state)
{
    struct shop s;
    struct error err = ERROR_INIT;

    shop_make_of(&s, *state, "other.service", "nop.service");
    assert_int_equal(fence_up(&s.fence, &err), ERR_REMOTE);
    assert_non_null(strstr(err.text, "does not apply"));
    assert_int_equal(access("active", F_OK), 0);
    shop_release(&s);
}

static void fence__every_step_may_be_repeated(void **state)
{
    struct shop s;
    struct error err = ERROR_INIT;

    shop_make(&s, *state);
    for (int i = 0; i < 2; i++)
        assert_int_equal(fence_up(&s.fence, &err), OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(fence_again(&s.fence, &err), OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(fence_start(&s.fence, &err), OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(fence_down(&s.fence, &err), OK);
    shop_release(&s);
}

static void fence__leaves_the_owners_own_drop_ins(void **state)
{
    struct shop s;
    struct error err = ERROR_INIT;

    shop_make(&s, *state);
    assert_int_equal(mkdir("units/nop.service.d", 0755), 0);
    assert_int_equal(file_replace("units/nop.service.d/own.conf", "[Service]\n", 10, 0644, &err), OK);
    assert_int_equal(fence_up(&s.fence, &err), OK);
    assert_int_equal(fence_down(&s.fence, &err), OK);
    assert_int_equal(access("units/nop.service.d/own.conf", F_OK), 0);
    shop_release(&s);
}

static void fence__a_stop_that_fails_is_told(void **state)
{
    struct shop s;
    struct error err = ERROR_INIT;

    shop_make(&s, *state);
    assert_int_equal(system("touch refuse-stop"), 0);
    assert_int_not_equal(fence_up(&s.fence, &err), OK);
    assert_non_null(strstr(err.text, "stopping the shop"));
    shop_release(&s);
}

static void fence__a_start_that_is_refused_counts_only_if_the_unit_does_not_run(void **state)
{
    struct shop s;
    struct error err = ERROR_INIT;

    shop_make(&s, *state);
    assert_int_equal(system("touch refuse-start"), 0);
    assert_int_equal(fence_start(&s.fence, &err), OK);
    assert_int_equal(unlink("active"), 0);
    assert_int_equal(fence_start(&s.fence, &err), ERR_REMOTE);
    assert_non_null(strstr(err.text, "systemctl"));
    shop_release(&s);
}

static size_t problems_of(bool service, bool stop, bool start, const char *word)
{
    static char text[] = "nop";
    const struct txn t = {.service = service ? text : NULL, .stop = stop ? text : NULL, .start = start ? text : NULL};
    struct text_list problems = TEXT_LIST_INIT;
    struct error err = ERROR_INIT;
    size_t n;

    assert_int_equal(fence_problems(&t, &problems, &err), OK);
    n = problems.count;
    if (n)
        assert_non_null(strstr(problems.items[0], word));
    text_list_release(&problems);
    return n;
}

static void problems__are_a_stop_without_a_start_and_a_unit_that_needs_root(void **state)
{
    bool root = geteuid() == 0;
    struct shop s;

    shop_make(&s, *state); /* systemd, who knows the unit */
    assert_int_equal(chmod(*state, 0755), 0);
    assert_int_equal(problems_of(false, false, false, ""), 0);
    assert_int_equal(problems_of(false, true, true, ""), 0);
    assert_int_equal(problems_of(false, true, false, "stay stopped"), 1);
    if (root) {
        assert_int_equal(problems_of(true, true, false, ""), 0);
        assert_int_equal(seteuid(65534), 0);
    }
    assert_int_equal(problems_of(true, false, false, "needs root"), 1);
    assert_int_equal(problems_of(true, true, true, "needs root"), 1);
    if (root)
        assert_int_equal(seteuid(0), 0);
    shop_release(&s);
}

static void problems__are_a_unit_that_systemd_would_not_start(void **state)
{
    static const struct {
        const char *state, *word;
    } cases[] = {{"echo not-found >state", "there is no unit nop"},
                 {"echo masked >state", "masked"},
                 {"touch unasked", "can't be asked"}};
    size_t others = geteuid() == 0 ? 0 : 1; /* "needs root" */
    struct error err = ERROR_INIT;
    struct shop s;

    shop_make(&s, *state);
    assert_int_equal(unlink("active"), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct text_list problems = TEXT_LIST_INIT;

        assert_int_equal(system(cases[i].state), 0);
        assert_int_equal(fence_problems(&s.txn, &problems, &err), OK);
        assert_int_equal(problems.count, others + 1);
        assert_non_null(strstr(problems.items[others], cases[i].word));
        text_list_release(&problems);
    }
    shop_release(&s);
}

static void fence__the_owners_commands_are_run_and_their_failure_told(void **state)
{
    struct shop s;
    struct error err = ERROR_INIT;

    shop_make(&s, *state);
    free(s.txn.service);
    s.txn.service = NULL;
    fence_release(&s.fence);
    assert_int_equal(memory_string("touch stopped; echo secret >&2", &s.txn.stop, &err), OK);
    assert_int_equal(memory_string("echo secret >&2; exit 3", &s.txn.start, &err), OK);
    assert_int_equal(fence_init(&s.fence, &s.place, &s.txn, &err), OK);
    assert_int_equal(fence_up(&s.fence, &err), OK);
    assert_int_equal(access("stopped", F_OK), 0);
    assert_int_equal(access("log", F_OK), -1);
    assert_int_equal(fence_start(&s.fence, &err), ERR_REMOTE);
    assert_non_null(strstr(err.text, "status 3"));
    assert_null(strstr(err.text, "secret")); /* P10 */
    shop_release(&s);
}

static void health__a_unit_that_falls_over_after_its_start_is_unhealthy(void **state)
{
    struct shop s;
    struct shop_watch watch = {.held = false};
    struct error err = ERROR_INIT;

    shop_make(&s, *state);
    assert_int_equal(system("(sleep 1; rm active) &"), 0);
    assert_int_equal(health_wait(&s.txn, &watch, NULL, &err), ERR_REMOTE);
    assert_non_null(strstr(err.text, "does not stay active"));
    shop_release(&s);
}

static void health__a_unit_that_is_started_again_and_again_is_unhealthy(void **state)
{
    struct shop s;
    struct shop_watch watch = {.held = false};
    struct error err = ERROR_INIT;

    shop_make(&s, *state);
    assert_int_equal(system("echo one >run; (sleep 1; echo two >run) &"), 0);
    assert_int_equal(health_wait(&s.txn, &watch, NULL, &err), ERR_REMOTE);
    error_clear(&err);
    assert_int_equal(health_wait(&s.txn, &watch, NULL, &err), OK);
    shop_release(&s);
}

static void health__an_error_shows_no_password_of_the_url(void **state)
{
    struct shop_watch watch = {.held = false};
    static char url[] = "http://owner:sec%40ret@127.0.0.1:1/health?a=b@c";
    const struct txn t = {.url = url, .health_timeout_ms = 1};
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(health_wait(&t, &watch, NULL, &err), ERR_REMOTE);
    assert_non_null(strstr(err.text, "http://127.0.0.1:1/health?a=b@c"));
    assert_null(strstr(err.text, "owner"));
    assert_null(strstr(err.text, "sec"));
}

static void fence__a_unit_with_a_slash_is_refused(void **state)
{
    char *path = NULL;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(fence_unit_path("../evil", &path, &err), ERR_REFUSED);
    error_clear(&err);
    assert_int_equal(fence_unit_path("-H", &path, &err), ERR_REFUSED);
}

/* systemd's own word on what we write, paths with its special characters included. */
static void fence__its_drop_in_pleases_systemd(void **state)
{
    static const char unit[] = "[Service]\nExecStart=/bin/true\n";
    struct error err = ERROR_INIT;
    char command[512];
    char folder[256];
    char fence[300];

    setenv("PATH", "/usr/bin:/bin:/usr/sbin:/sbin", 1);
    if (system("systemd-analyze --version >/dev/null 2>&1") != 0) {
        fprintf(stderr, "no systemd-analyze here\n");
        skip();
    }
    assert_int_equal(mkdir("units", 0755), 0);
    assert_int_equal(mkdir("units/nop.service.d", 0755), 0);
    assert_int_equal(file_replace("units/nop.service", unit, sizeof(unit) - 1, 0644, &err), OK);
    assert_int_equal(file_replace("systemctl", "#!/bin/sh\necho /zz-nopsnap-fence.conf\n", 38, 0755, &err), OK);
    snprintf(command, sizeof(command), "%s:/usr/bin:/bin:/usr/sbin:/sbin", (char *)*state);
    setenv("PATH", command, 1);
    snprintf(folder, sizeof(folder), "%s/a 100%% \"shop\"", (char *)*state);
    snprintf(fence, sizeof(fence), "%s/fence", folder);
    assert_int_equal(fence_unit_write("nop.service", "units/nop.service.d/zz-nopsnap-fence.conf", fence, folder, &err),
                     OK);
    snprintf(command, sizeof(command),
             "SYSTEMD_UNIT_PATH=%s/units: systemd-analyze verify %s/units/nop.service >said 2>&1", (char *)*state,
             (char *)*state);
    (void)!system(command); /* its status also speaks of other units: only words about ours count */
    assert_int_not_equal(system("grep -E 'zz-nopsnap-fence|ConditionPathExists|RequiresMountsFor' said >&2"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(fence__goes_up_before_the_stop_and_down_last),
        folder_test(fence__keeps_the_unit_from_starting),
        folder_test(fence__a_service_whose_name_has_dots_is_kept_from_starting),
        folder_test(fence__a_drop_in_that_systemd_does_not_apply_is_told_before_the_stop),
        folder_test(fence__every_step_may_be_repeated),
        folder_test(fence__leaves_the_owners_own_drop_ins),
        folder_test(fence__a_stop_that_fails_is_told),
        folder_test(fence__a_start_that_is_refused_counts_only_if_the_unit_does_not_run),
        folder_test(problems__are_a_stop_without_a_start_and_a_unit_that_needs_root),
        folder_test(problems__are_a_unit_that_systemd_would_not_start),
        folder_test(fence__the_owners_commands_are_run_and_their_failure_told),
        folder_test(health__a_unit_that_falls_over_after_its_start_is_unhealthy),
        folder_test(health__a_unit_that_is_started_again_and_again_is_unhealthy),
        folder_test(health__an_error_shows_no_password_of_the_url),
        folder_test(fence__a_unit_with_a_slash_is_refused),
        folder_test(fence__its_drop_in_pleases_systemd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
