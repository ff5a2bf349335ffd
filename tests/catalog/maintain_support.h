/* Steps that the tests of verify, prune and rebuild share. */
#ifndef NOPSNAP_MAINTAIN_SUPPORT_H
#define NOPSNAP_MAINTAIN_SUPPORT_H

#include <dirent.h>
#include <sys/stat.h>

#include "maintain.h"
#include "record_internal.h"
#include "shop_fixture.h"

#include "test_support.h"

#define SITE "00112233445566aa"

static inline struct catalog *open_catalog(enum catalog_mode mode)
{
    struct error err = ERROR_INIT;
    struct catalog *cat = NULL;

    if (access("cat", F_OK) != 0 && catalog_init("cat", &err) != OK)
        fail_msg("%s", err.text);
    if (catalog_open("cat", mode, 5000, &cat, &err) != OK)
        fail_msg("%s", err.text);
    return cat;
}

static inline void take(struct catalog *cat, const struct shop *shop, struct snapshot_record *record)
{
    struct error err = ERROR_INIT;

    if (shop_snapshot(cat, shop, SITE, record, &err) != OK)
        fail_msg("%s", err.text);
}

static inline void forget(struct catalog *cat, const struct snapshot_record *record)
{
    struct error err = ERROR_INIT;
    const char *const ids[] = {record->id};

    if (snapshot_forget(cat, ids, 1, &err) != OK)
        fail_msg("%s", err.text);
}

static inline void assert_all_good(struct catalog *cat, const struct shop *shop, const struct snapshot_record *record)
{
    struct shop_check check;
    struct error err = ERROR_INIT;

    if (shop_check(cat, shop, record, &check, &err) != OK)
        fail_msg("%s", err.text);
    if (check.damaged)
        fail_msg("%s", check.first);
    assert_int_equal(check.wrong, 0);
    assert_true(check.good >= shop->folders * shop->files);
}

static inline enum error_kind verify(struct catalog *cat, bool read_data, struct verify_report *report,
                                     struct error *err)
{
    struct verify_options options = {.read_data = read_data};

    return catalog_verify(cat, &options, NULL, report, err);
}

static inline void assert_verified(struct catalog *cat)
{
    struct verify_report report;
    struct error err = ERROR_INIT;

    if (verify(cat, true, &report, &err) != OK)
        fail_msg("%s; %s; %s", err.text, report.damage.count ? report.damage.items[0] : "",
                 report.touched.count ? report.touched.items[0] : "");
    verify_report_release(&report);
}

static inline void prune(struct catalog *cat, int percent, struct prune_report *report)
{
    struct prune_options options = {.max_unused_percent = percent, .lock_timeout_ms = 5000};
    struct error err = ERROR_INIT;

    if (catalog_prune(cat, &options, NULL, report, &err) != OK)
        fail_msg("%s", err.text);
}

/* Files below packs/ whose names end so. */
static inline size_t count_files(const char *ending)
{
    DIR *packs = opendir("cat/packs");
    struct dirent *folder, *file;
    size_t count = 0;

    assert_non_null(packs);
    while ((folder = readdir(packs))) {
        char path[512];
        DIR *inside;

        snprintf(path, sizeof(path), "cat/packs/%.255s", folder->d_name);
        inside = folder->d_name[0] == '.' ? NULL : opendir(path);
        while (inside && (file = readdir(inside))) {
            size_t len = strlen(file->d_name), end = strlen(ending);

            count += len > end && strcmp(file->d_name + len - end, ending) == 0;
        }
        if (inside)
            closedir(inside);
    }
    closedir(packs);
    return count;
}

/* Change one byte of a file. */
static inline void flip(const char *path, long at, unsigned char mask)
{
    FILE *f = fopen(path, "r+b");
    int c;

    assert_non_null(f);
    assert_int_equal(fseek(f, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    c = fgetc(f);
    assert_true(c != EOF);
    assert_int_equal(fseek(f, -1, SEEK_CUR), 0);
    fputc(c ^ mask, f);
    fclose(f);
}

/* The file of the pack that holds a chunk; out has 128 bytes. */
static inline void pack_file_of(struct catalog *cat, const struct chunk_id *id, char *out)
{
    struct error err = ERROR_INIT;
    struct chunk_row row;
    struct pack_row pack;
    char path[PACK_PATH_MAX];
    bool found = false;

    assert_int_equal(index_chunk_find(cat->index, id, &row, &found, &err), OK);
    assert_true(found);
    assert_int_equal(index_pack_find(cat->index, row.pack, &pack, &found, &err), OK);
    assert_true(found);
    pack_path(pack.name, false, path);
    snprintf(out, 128, "cat/%s", path);
}

/* A folder in memory where there is room for one: for tests that make thousands of commits, each of which a disk would sync. */
static inline int memory_folder_setup(void **state)
{
    char *path = strdup(access("/dev/shm", W_OK) == 0 ? "/dev/shm/nsXXXXXX" : "/tmp/nsXXXXXX");

    assert_non_null(path);
    assert_non_null(mkdtemp(path));
    *state = path;
    return chdir(path);
}

#define memory_folder_test(f) cmocka_unit_test_setup_teardown(f, memory_folder_setup, folder_teardown)

#endif
