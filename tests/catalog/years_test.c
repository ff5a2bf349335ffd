/*
 * Three shops are saved every night in one catalogue, their rules applied and the catalogue pruned after each. In the long run it holds what the rules keep,
 * and is as large as that: neither its packs nor its index grow with the number of nights that there were, but for what is remembered of the runs, which is bounded. NOPSNAP_NIGHTS says how
 * many (60).
 */
#include <ftw.h>

#include "maintain_support.h"
#include "retention.h"
#include "run_log.h"

#define SHOPS 3
#define DAY (24 * 3600 * INT64_C(1000000000))
#define CLOCK "clock"
#define KEEP_MOST (5 + 2) /* of what the rules below can keep */
#define RUN_BYTES 200     /* of the index, for what is remembered of a run */

static const char *const site_ids[SHOPS] = {"0000000000000001", "0000000000000002", "0000000000000003"};

static struct {
    uint64_t bytes, files, index;
} found;

static int add_up(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)at;
    if (kind != FTW_F)
        return 0;
    found.bytes += (uint64_t)st->st_size;
    found.files++;
    found.index += strstr(path, "catalog.sqlite") ? (uint64_t)st->st_size : 0;
    return 0;
}

static void measure(void)
{
    memset(&found, 0, sizeof(found));
    assert_int_equal(nftw("cat", add_up, 16, FTW_PHYS), 0);
}

static void set_clock(int64_t now_ns)
{
    char text[32];
    FILE *f = fopen(CLOCK, "w");

    (void)snprintf(text, sizeof(text), "%lld", (long long)now_ns);
    assert_true(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void one_night(int64_t now_ns, unsigned night, const struct retention *rules)
{
    struct catalog *cat = open_catalog(CATALOG_WRITE);
    struct error err = ERROR_INIT;

    for (unsigned i = 0; i < SHOPS; i++) {
        /* A third of the files are new each night, and none of the night before last is left. */
        struct shop shop = {.seed = i + 1, .version = night, .folders = 2, .files = 6, .big = 0, .dump = 30000};
        struct retention_report dropped = {0};
        struct prune_report pruned = {0};
        struct snapshot_record record;

        set_clock(now_ns + (int64_t)i);
        assert_int_equal(shop_snapshot(cat, &shop, site_ids[i], &record, &err), OK);
        snapshot_record_release(&record);
        assert_int_equal(retention_apply(cat, site_ids[i], rules, false, NULL, NULL, &dropped, &err), OK);
        assert_true(dropped.kept <= KEEP_MOST);
        assert_int_equal(catalog_prune(cat, &(struct prune_options){.max_unused_percent = 10}, NULL, &pruned, &err),
                         OK);
        assert_false(pruned.removal_postponed);
        assert_int_equal(
            catalog_run_add(cat, &(struct run_entry){now_ns, now_ns + 1, site_ids[i], "run", 0, NULL}, &err), OK);
    }
    catalog_close(cat);
}

static void catalogue__is_as_large_as_what_is_kept(void **state)
{
    const char *text = getenv("NOPSNAP_NIGHTS");
    unsigned nights = text ? (unsigned)atoi(text) : 60;
    struct keep_rules rules;
    struct retention all = {.rules = {&rules, &rules, &rules}};
    struct error err = ERROR_INIT;
    struct verify_report report;
    struct catalog *cat;
    uint64_t bytes = 0, files = 0, index = 0;

    (void)state;
    assert_int_equal(setenv("NOPSNAP_CLOCK", CLOCK, 1), 0);
    assert_int_equal(keep_rules_parse("daily 5, weekly 2", &rules, &err), OK);
    for (unsigned night = 0; night < nights; night++) {
        one_night(INT64_C(1767225600000000000) + night * DAY, night, &all);
        if (night != nights / 2)
            continue;
        measure();
        bytes = found.bytes;
        files = found.files;
        index = found.index;
    }
    measure();
    print_message("after %u nights %lu bytes in %lu files, index %lu; after %u: %lu in %lu, %lu\n", nights / 2, bytes,
                  files, index, nights, found.bytes, found.files, found.index);
    assert_true(found.bytes < bytes + bytes / 4);
    assert_true(found.files < files + files / 4 + 4);
    assert_true(found.index < index + index / 8 + (uint64_t)SHOPS * (nights - nights / 2) * RUN_BYTES);
    cat = open_catalog(CATALOG_WRITE);
    assert_int_equal(verify(cat, true, &report, &err), OK);
    assert_true(report.snapshots <= SHOPS * KEEP_MOST);
    verify_report_release(&report);
    catalog_close(cat);
    unsetenv("NOPSNAP_CLOCK");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(catalogue__is_as_large_as_what_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
