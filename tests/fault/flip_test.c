/*
 * One flipped bit, anywhere in a pack or in catalog.sqlite: harmless or reported, never wrong bytes (P6, P7).
 *
 * NOPSNAP_FLIPS says how many of each (60); the seed is fixed, so what fails once fails every time.
 */
#include <dirent.h>
#include <sys/stat.h>

#include "maintain_support.h"

struct tally {
    unsigned harmless, reported;
    unsigned long things; /* files and dumps read */
};

static uint64_t state = 0x2545f4914f6cdd1d;

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static unsigned flips_wanted(void)
{
    const char *text = getenv("NOPSNAP_FLIPS");

    return text ? (unsigned)atoi(text) : 60;
}

static const struct shop old_shop = {.seed = 1, .folders = 3, .files = 10, .big = 1500000, .dump = 700000};
static const struct shop new_shop = {
    .seed = 1, .version = 1, .folders = 3, .files = 10, .big = 1500000, .dump = 700000};
static char old_id[33], new_id[33];

/* Two snapshots, a hold and a tombstone, closed, with a copy of the index beside. */
static void make_catalogue(void)
{
    struct shop gone = {.seed = 5, .folders = 1, .files = 4};
    struct snapshot_record record;
    struct error err = ERROR_INIT;
    char hold[33];
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    take(cat, &old_shop, &record);
    memcpy(old_id, record.id, sizeof(old_id));
    assert_int_equal(snapshot_hold_add(cat, record.id, "a hold", true, 0, hold, &err), OK);
    snapshot_record_release(&record);
    take(cat, &gone, &record);
    forget(cat, &record);
    snapshot_record_release(&record);
    take(cat, &new_shop, &record);
    memcpy(new_id, record.id, sizeof(new_id));
    snapshot_record_release(&record);
    catalog_close(cat);
    assert_int_equal(
        system("rm -f cat/catalog.sqlite-shm; test ! -s cat/catalog.sqlite-wal; cp cat/catalog.sqlite pristine"), 0);
}

static void restore_index(void)
{
    assert_int_equal(system("rm -f cat/catalog.sqlite*; cp pristine cat/catalog.sqlite"), 0);
}

static enum error_kind count_row(void *arg, const struct snapshot_row *row, struct error *err)
{
    (void)row;
    (void)err;
    ++*(unsigned *)arg;
    return OK;
}

/* Everything a person would ask of the catalogue. True if something was reported; fails if anything is wrong in silence. */
static bool ask_everything(struct tally *t, const char *what)
{
    const struct shop *shops[] = {&old_shop, &new_shop};
    const char *ids[] = {old_id, new_id};
    struct catalog *cat = NULL;
    struct error err = ERROR_INIT;
    unsigned rows = 0;
    bool reported = false;

    if (catalog_open("cat", CATALOG_READ, 5000, &cat, &err) != OK)
        return true;
    reported = snapshot_row_each(cat, NULL, count_row, &rows, &err) != OK;
    if (!reported && rows != 2)
        fail_msg("%s: %u snapshots, and nobody says why", what, rows);
    for (size_t i = 0; i < 2; i++) {
        struct snapshot_record record = SNAPSHOT_RECORD_INIT;
        struct shop_check check;

        if (snapshot_find(cat, NULL, ids[i], &record, &err) != OK) {
            reported = true;
            continue;
        }
        if (shop_check(cat, shops[i], &record, &check, &err) != OK)
            reported = true;
        else if (check.wrong)
            fail_msg("%s: %u files came back wrong", what, check.wrong);
        reported = reported || check.damaged;
        t->things += check.good;
        snapshot_record_release(&record);
    }
    catalog_close(cat);
    return reported;
}

/* Does verify see it too? */
static bool verify_reports(void)
{
    struct verify_report report;
    struct error err = ERROR_INIT;
    struct catalog *cat = NULL;
    bool reported = true;

    if (catalog_open("cat", CATALOG_WRITE, 5000, &cat, &err) != OK)
        return true;
    memset(&report, 0, sizeof(report));
    reported = verify(cat, true, &report, &err) != OK;
    verify_report_release(&report);
    catalog_close(cat);
    return reported;
}

/* A snapshot taken into the damaged catalogue is whole, or it is refused. */
static void snapshot_into_it(const char *what)
{
    struct shop shop = {.seed = 1, .version = 2, .folders = 3, .files = 10, .big = 1500000, .dump = 700000};
    struct snapshot_record record = SNAPSHOT_RECORD_INIT;
    struct shop_check check;
    struct error err = ERROR_INIT;
    struct catalog *cat = NULL;

    if (catalog_open("cat", CATALOG_WRITE, 5000, &cat, &err) != OK)
        return;
    if (shop_snapshot(cat, &shop, SITE, &record, &err) == OK && shop_check(cat, &shop, &record, &check, &err) == OK &&
        check.wrong)
        fail_msg("%s: %u files of a new snapshot came back wrong", what, check.wrong);
    snapshot_record_release(&record);
    catalog_close(cat);
}

static void rebuild_brings_all_back(const char *what)
{
    struct text_list report = TEXT_LIST_INIT;
    struct error err = ERROR_INIT;
    struct tally ignored = {0};

    if (catalog_rebuild("cat", NULL, &report, &err) != OK)
        fail_msg("%s: rebuild: %s", what, err.text);
    if (report.count)
        fail_msg("%s: rebuild: %s", what, report.items[0]);
    if (ask_everything(&ignored, what))
        fail_msg("%s: a rebuilt index still finds damage", what);
    text_list_release(&report);
}

static void flips_in_the_index__are_harmless_or_reported(void **unused)
{
    struct tally t = {0};
    struct stat st;

    (void)unused;
    make_catalogue();
    assert_int_equal(stat("pristine", &st), 0);
    for (unsigned i = 0; i < flips_wanted(); i++) {
        long at = (long)(next_random() % (uint64_t)st.st_size);
        unsigned char bit = (unsigned char)(1u << next_random() % 8);
        char what[64];

        snprintf(what, sizeof(what), "index, byte %ld, mask %02x", at, bit);
        restore_index();
        flip("cat/catalog.sqlite", at, bit);
        *(ask_everything(&t, what) ? &t.reported : &t.harmless) += 1;
        if (i % 10 == 3) {
            (void)verify_reports();
            rebuild_brings_all_back(what);
        } else if (i % 10 == 7) {
            /* Packs that it makes stay behind and are unknown to the next copy of the index: so it works on a copy. */
            assert_int_equal(system("cp -a cat saved"), 0);
            snapshot_into_it(what);
            assert_int_equal(system("rm -rf cat; mv saved cat"), 0);
        }
    }
    print_message("index: %u harmless, %u reported, %lu things read\n", t.harmless, t.reported, t.things);
    assert_true(t.reported > 0 && t.harmless > 0);
}

struct pack_files {
    char paths[64][128];
    long sizes[64];
    size_t count;
    long total;
};

static void list_packs(struct pack_files *out)
{
    DIR *packs = opendir("cat/packs");
    struct dirent *folder, *file;

    out->count = 0;
    out->total = 0;
    assert_non_null(packs);
    while ((folder = readdir(packs))) {
        char path[300];
        DIR *inside;

        snprintf(path, sizeof(path), "cat/packs/%.200s", folder->d_name);
        inside = folder->d_name[0] == '.' ? NULL : opendir(path);
        while (inside && (file = readdir(inside)) && out->count < 64) {
            struct stat st;

            if (!strstr(file->d_name, ".pack"))
                continue;
            snprintf(out->paths[out->count], 128, "cat/packs/%.2s/%.60s", folder->d_name, file->d_name);
            assert_int_equal(stat(out->paths[out->count], &st), 0);
            out->sizes[out->count] = st.st_size;
            out->total += st.st_size;
            out->count++;
        }
        if (inside)
            closedir(inside);
    }
    closedir(packs);
}

/* Half of them anywhere by size, half near an end of any pack, where header, footer and trailer are. */
static void choose(const struct pack_files *packs, const char **path, long *at)
{
    size_t i = packs->count ? next_random() % packs->count : 0;
    long where = packs->total ? (long)(next_random() % (uint64_t)packs->total) : 0;

    if (next_random() % 2) {
        long edge = packs->sizes[i] < 600 ? packs->sizes[i] : 600;

        *at = (long)(next_random() % (uint64_t)edge);
        *at = next_random() % 2 ? *at : packs->sizes[i] - 1 - *at;
    } else {
        for (i = 0; where >= packs->sizes[i]; i++)
            where -= packs->sizes[i];
        *at = where;
    }
    *path = packs->paths[i];
}

static void flips_in_packs__are_harmless_or_reported(void **unused)
{
    static struct pack_files packs;
    struct tally t = {0};

    (void)unused;
    make_catalogue();
    list_packs(&packs);
    assert_true(packs.count > 0 && packs.total > 0);
    for (unsigned i = 0; i < flips_wanted(); i++) {
        unsigned char bit = (unsigned char)(1u << next_random() % 8);
        const char *path;
        char what[256];
        bool reported;
        long at;

        choose(&packs, &path, &at);
        snprintf(what, sizeof(what), "%s, byte %ld, mask %02x", path, at, bit);
        restore_index();
        flip(path, at, bit);
        reported = ask_everything(&t, what);
        *(reported ? &t.reported : &t.harmless) += 1;
        if (!verify_reports() && reported)
            fail_msg("%s: seen when reading, but not by verify", what);
        flip(path, at, bit);
    }
    print_message("packs: %u harmless, %u reported, %lu things read\n", t.harmless, t.reported, t.things);
    assert_true(t.reported > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        memory_folder_test(flips_in_the_index__are_harmless_or_reported),
        memory_folder_test(flips_in_packs__are_harmless_or_reported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
