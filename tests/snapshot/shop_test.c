/* Snapshots of a shop with its database, on a real PostgreSQL server. Each test has a fresh shop and an empty folder. */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "chunk.h"
#include "file.h"
#include "postgres_support.h"
#include "snapshot.h"
#include "snapshot_compare.h"
#include "tree.h"

struct fixture {
    char *folder;
    struct catalog *cat;
    struct site site;
    struct database_target target;
    struct database *db;
    struct snapshot_options options;
    struct snapshot_result result;
    struct progress progress;
    unsigned warnings;
};

static struct fixture shop;

static void count_warning(void *arg, const char *line)
{
    (void)line;
    ++*(unsigned *)arg;
}

static void make_file(const char *path, const char *text)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static int shop_setup(void **state)
{
    static const char *const folders[] = {"s", "s/App_Data", "s/wwwroot", "s/wwwroot/images",
                                          "s/wwwroot/images/thumbs"};
    struct error err = ERROR_INIT;

    (void)state;
    memset(&shop, 0, sizeof shop);
    shop.folder = test_folder_make();
    assert_int_equal(chdir(shop.folder), 0);
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        assert_int_equal(mkdir(folders[i], 0755), 0);
    make_file("s/Nop.Web.dll", "MZ");
    make_file("s/wwwroot/images/0000001_0.jpeg", "a picture");
    make_file("s/wwwroot/images/thumbs/0000001_0_415.jpeg", "a thumbnail");
    pg_shop_make();
    pg_target("shop", "shop", &shop.target);
    shop.site = (struct site)SITE_INIT;
    shop.options = (struct snapshot_options)SNAPSHOT_OPTIONS_INIT;
    shop.result.record = (struct snapshot_record)SNAPSHOT_RECORD_INIT;
    shop.progress = (struct progress){.warn = count_warning, .arg = &shop.warnings};
    assert_ok(catalog_init("cat", &err));
    assert_ok(catalog_open("cat", CATALOG_WRITE, 0, &shop.cat, &err));
    assert_ok(site_inspect("s", NULL, &shop.site, &err));
    assert_int_equal(shop.site.layout, SITE_CORE);
    assert_ok(database_open(&shop.target, NULL, &shop.db, &err));
    return 0;
}

static int shop_teardown(void **state)
{
    (void)state;
    snapshot_result_release(&shop.result);
    database_close(shop.db);
    database_target_release(&shop.target);
    site_release(&shop.site);
    catalog_close(shop.cat);
    if (chdir("/") != 0)
        return 1;
    test_folder_remove(shop.folder);
    return 0;
}

static enum error_kind take(struct error *err)
{
    snapshot_result_release(&shop.result);
    shop.warnings = 0;
    return snapshot_take(shop.cat, &shop.site, shop.db, &shop.options, &shop.progress, &shop.result, err);
}

/* The dump, put together again from its list. */
static void read_dump(struct buffer *out)
{
    struct error err = ERROR_INIT;
    struct list_reader *list = NULL;
    struct buffer chunk = BUFFER_INIT(16 << 20);
    struct chunk_id id;
    bool more = true;

    assert_ok(list_reader_open(shop.cat, &shop.result.record.dump, &list, &err));
    for (;;) {
        assert_ok(list_reader_next(list, &id, &more, &err));
        if (!more)
            break;
        assert_ok(chunk_read(shop.cat, &id, CHUNK_DATA, &chunk, &err));
        assert_ok(buffer_append(out, chunk.data, chunk.len, &err));
    }
    list_reader_close(list);
    buffer_release(&chunk);
}

static void take__a_shop_is_its_files_and_its_database(void **state)
{
    struct error err = ERROR_INIT;
    struct buffer dump = BUFFER_INIT(256 << 20);
    struct database_facts facts = DATABASE_FACTS_INIT;
    uint64_t rows = 0;

    (void)state;
    assert_ok(take(&err));
    assert_int_equal(shop.result.record.part, SNAPSHOT_WHOLE);
    assert_true(shop.result.record.has_dump);
    read_dump(&dump);
    assert_int_equal(dump.len, shop.result.record.dump_bytes);
    assert_memory_equal(dump.data, "PGDMP", 5);
    assert_ok(
        database_facts_decode(shop.result.record.dump_facts, strlen(shop.result.record.dump_facts), &facts, &err));
    for (size_t i = 0; i < facts.counts.count; i++)
        if (strstr(facts.counts.tables[i].name, "Setting"))
            rows = facts.counts.tables[i].rows;
    assert_int_equal(rows, pg_number("shop", "SELECT count(*) FROM \"Setting\""));
    assert_null(strstr(shop.result.record.dump_facts, SHOP_PASSWORD));
    assert_int_equal(stored_bytes(shop.cat, &shop.result.record.roots[0].tree, "wwwroot/images/0000001_0.jpeg"), 9);
    buffer_release(&dump);
    database_facts_release(&facts);
}

static void take__what_the_shop_regenerates_is_left_out_its_folder_stays(void **state)
{
    const struct chunk_id *root = &shop.result.record.roots[0].tree;
    struct error err = ERROR_INIT;

    (void)state;
    assert_ok(take(&err));
    assert_int_equal(stored_bytes(shop.cat, root, "wwwroot/images/thumbs/0000001_0_415.jpeg"), -1);
    assert_int_equal(stored_bytes(shop.cat, root, "wwwroot/images/thumbs"), 0);
    assert_int_equal(shop.result.record.left_out_count, 1);
    assert_string_equal(shop.result.record.left_out[0].path, "wwwroot/images/thumbs");
    assert_int_equal(shop.result.record.left_out[0].files, 1);
    assert_int_equal(shop.result.record.left_out[0].bytes, 11);
}

static void take__the_database_alone_has_no_root(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    shop.options.part = SNAPSHOT_DATABASE_ONLY;
    assert_ok(take(&err));
    assert_true(shop.result.record.has_dump);
    assert_int_equal(shop.result.record.root_count, 0);
    shop.options.part = SNAPSHOT_FILES_ONLY;
    assert_ok(take(&err));
    assert_false(shop.result.record.has_dump);
    assert_int_equal(shop.result.record.root_count, 1);
}

static void take__pictures_outside_the_site_are_a_root_of_their_own(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(mkdir("pictures", 0755), 0);
    make_file("pictures/0000002_0.jpeg", "far away");
    pg_sql(
        "shop",
        "INSERT INTO \"Setting\" (\"Name\", \"Value\", \"StoreId\") VALUES ('mediasettings.picturepath', '%s/pictures', 0)",
        shop.folder);
    assert_ok(take(&err));
    assert_int_equal(shop.warnings, 0);
    assert_int_equal(shop.result.record.root_count, 2);
    assert_string_equal(shop.result.record.roots[1].name, "pictures");
    assert_int_equal(compare_snapshot(shop.cat, &shop.result.record.roots[1].tree, "pictures"), 2);
}

static void take__a_picture_folder_that_is_not_there_is_a_warning(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    pg_sql(
        "shop",
        "INSERT INTO \"Setting\" (\"Name\", \"Value\", \"StoreId\") VALUES ('mediasettings.picturepath', '/nonexistent/pictures', 0)");
    assert_ok(take(&err));
    assert_int_equal(shop.warnings, 1);
    assert_int_equal(shop.result.record.root_count, 1);
    assert_int_equal(shop.result.record.unread.count, 1);

    pg_sql("shop", "UPDATE \"Setting\" SET \"Value\" = 'C:\\pictures' WHERE \"Name\" = 'mediasettings.picturepath'");
    assert_ok(take(&err));
    assert_int_equal(shop.warnings, 1);
    assert_int_equal(shop.result.record.unread.count, 1);
}

/* ---- rows of table Picture without a file ---- */

static void make_pictures(const char *folder, unsigned count)
{
    char path[128];

    for (unsigned i = 1; i <= count; i++) {
        snprintf(path, sizeof path, "%s/%07u_0.%s", folder, i, i % 2 ? "jpeg" : "png");
        make_file(path, "a picture");
    }
}

static void take__every_row_has_its_file(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    make_pictures("s/wwwroot/images", 60);
    assert_ok(take(&err));
    assert_true(shop.result.pictures_compared);
    assert_int_equal(shop.result.pictures_missing, 0);
    assert_int_equal(shop.result.record.notes.count, 0);
}

/* The shop goes on: it takes away a picture that the view has. */
static void delete_a_picture(void *arg, const char *what)
{
    (void)arg;
    if (strcmp(what, "reading files") != 0)
        return;
    pg_sql("shop", "DELETE FROM \"Picture\" WHERE \"Id\" = 17");
    assert_int_equal(unlink("s/wwwroot/images/0000017_0.jpeg"), 0);
}

static void take__a_picture_that_goes_after_the_view_is_told(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    make_pictures("s/wwwroot/images", 60);
    shop.progress.step = delete_a_picture;
    assert_ok(take(&err));
    assert_int_equal(shop.warnings, 0);
    assert_int_equal(shop.result.pictures_missing, 1);
    assert_int_equal(shop.result.record.notes.count, 1);
    assert_string_equal(shop.result.record.notes.items[0],
                        "1 row of table Picture has no file in wwwroot/images of the snapshot: 0000017_0.*");
    shop.progress.step = NULL;
    assert_ok(take(&err));
    assert_int_equal(shop.result.pictures_missing, 0);
    assert_int_equal(shop.result.record.notes.count, 0);
}

static void take__pictures_of_3x_are_looked_for_in_their_folder(void **state)
{
    static const char *const folders[] = {"old",     "old/Administration", "old/App_Data",
                                          "old/bin", "old/Content",        "old/Content/Images"};
    struct error err = ERROR_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        assert_int_equal(mkdir(folders[i], 0755), 0);
    make_file("old/Global.asax", "");
    make_file("old/bin/Nop.Core.dll", "MZ");
    make_pictures("old/Content/Images", 58);
    site_release(&shop.site);
    assert_ok(site_inspect("old", NULL, &shop.site, &err));
    assert_int_equal(shop.site.layout, SITE_LEGACY);
    assert_ok(take(&err));
    assert_int_equal(shop.result.pictures_missing, 2);
    assert_int_equal(shop.result.record.notes.count, 1);
    assert_string_equal(
        shop.result.record.notes.items[0],
        "2 rows of table Picture have no file in Content/Images of the snapshot: 0000059_0.*, 0000060_0.*");
}

/* More names than are sorted in memory, and a folder whose listing is in parts. */
static void take__no_number_of_pictures_is_too_many(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    make_pictures("s/wwwroot/images", 20000);
    pg_sql("shop", "INSERT INTO \"Picture\" (\"Id\", \"MimeType\", \"IsNew\") SELECT n, 'image/png', false "
                   "FROM generate_series(61, 600000) n");
    assert_ok(take(&err));
    assert_int_equal(shop.result.pictures_missing, 580000);
    assert_string_equal(shop.result.record.notes.items[0],
                        "580000 rows of table Picture have no file in wwwroot/images of the snapshot: 0020001_0.*, "
                        "0020002_0.*, 0020003_0.*, 0020004_0.*, 0020005_0.* and 579995 more");
}

/* The names' temporary file is the one file of this snapshot that passes the limit. */
static void take__names_that_find_no_room_cost_the_count_alone(void **state)
{
    struct error err = ERROR_INIT;
    struct rlimit before, limit;

    (void)state;
    pg_sql("shop", "INSERT INTO \"Picture\" (\"Id\", \"MimeType\", \"IsNew\") SELECT n, 'image/png', false "
                   "FROM generate_series(61, 600000) n");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 5 << 20;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_ok(take(&err));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(shop.warnings, 1);
    assert_false(shop.result.pictures_compared);
    assert_int_equal(shop.result.record.notes.count, 1);
    assert_non_null(strstr(shop.result.record.notes.items[0], "was not found out: "));
    assert_true(shop.result.record.has_dump);
}

static void take__an_unchanged_database_costs_next_to_nothing(void **state)
{
    struct error err = ERROR_INIT;
    uint64_t first;

    (void)state;
    /* enough for many chunks: those with the moment of the dump in them are always new */
    pg_sql(
        "shop",
        "INSERT INTO \"Setting\" (\"Name\", \"Value\", \"StoreId\") SELECT 'filler.' || n, md5(n::text) || md5((n + 1)::text), 0 "
        "FROM generate_series(1, 60000) n");
    assert_ok(take(&err));
    first = shop.result.record.bytes_new;
    assert_ok(take(&err));
    assert_true(shop.result.record.dump_bytes > 5 << 20);
    assert_true(shop.result.record.bytes_new < first / 4);
}

static enum error_kind no_row(void *arg, const struct snapshot_row *row, struct error *err)
{
    (void)row;
    (void)err;
    ++*(unsigned *)arg;
    return OK;
}

static void take__a_dump_that_fails_leaves_no_snapshot(void **state)
{
    struct error err = ERROR_INIT;
    unsigned rows = 0;

    (void)state;
    pg_sql("shop", "CREATE TABLE secret (id int); REVOKE ALL ON secret FROM PUBLIC");
    assert_int_not_equal(take(&err), OK);
    assert_null(strstr(err.text, SHOP_PASSWORD));
    error_clear(&err);
    assert_ok(snapshot_row_each(shop.cat, NULL, no_row, &rows, &err));
    assert_int_equal(rows, 0);
    pg_sql("shop", "DROP TABLE secret");
    assert_ok(take(&err));
}

#define shop_test(f) cmocka_unit_test_setup_teardown(f, shop_setup, shop_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        shop_test(take__a_shop_is_its_files_and_its_database),
        shop_test(take__what_the_shop_regenerates_is_left_out_its_folder_stays),
        shop_test(take__the_database_alone_has_no_root),
        shop_test(take__pictures_outside_the_site_are_a_root_of_their_own),
        shop_test(take__a_picture_folder_that_is_not_there_is_a_warning),
        shop_test(take__every_row_has_its_file),
        shop_test(take__a_picture_that_goes_after_the_view_is_told),
        shop_test(take__pictures_of_3x_are_looked_for_in_their_folder),
        shop_test(take__no_number_of_pictures_is_too_many),
        shop_test(take__names_that_find_no_room_cost_the_count_alone),
        shop_test(take__an_unchanged_database_costs_next_to_nothing),
        shop_test(take__a_dump_that_fails_leaves_no_snapshot),
    };

    return cmocka_run_group_tests(tests, pg_server_start, pg_server_stop);
}
