/* Prune takes what nobody needs, nothing else, and can be killed at any moment (C6, P8). */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "maintain_support.h"
#include "tree.h"

static void prune__takes_what_only_a_forgotten_snapshot_needed(void **state)
{
    struct shop a = SHOP_SMALL, b = {.seed = 9, .folders = 3, .files = 9, .big = 2500000};
    struct snapshot_record ra, rb;
    struct prune_report report;
    struct catalog *cat = open_catalog(CATALOG_WRITE);
    uint64_t generation = catalog_generation(cat);
    size_t packs;

    (void)state;
    take(cat, &a, &ra);
    take(cat, &b, &rb);
    packs = count_files(".pack");
    prune(cat, 10, &report);
    assert_int_equal(report.packs_removed, 0);
    assert_int_equal(catalog_generation(cat), generation);
    forget(cat, &rb);
    prune(cat, 10, &report);
    assert_true(report.packs_removed >= 2);
    assert_true(report.bytes_freed > 2000000 / 4);
    assert_true(count_files(".pack") < packs);
    assert_true(catalog_generation(cat) > generation);
    assert_all_good(cat, &a, &ra);
    assert_verified(cat);
    snapshot_record_release(&ra);
    snapshot_record_release(&rb);
    catalog_close(cat);
}

static void prune__leaves_nothing_behind_when_all_is_forgotten(void **state)
{
    struct shop shop = {.seed = 9, .folders = 3, .files = 9, .dump = 500000};
    struct snapshot_record record;
    struct prune_report report;
    struct error err = ERROR_INIT;
    char hold[33];
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    assert_int_equal(snapshot_hold_add(cat, record.id, "mine", true, 0, hold, &err), OK);
    assert_int_equal(snapshot_hold_release(cat, record.id, true, &err), OK);
    assert_int_equal(snapshot_accept(cat, record.id, &err), OK);
    forget(cat, &record);
    prune(cat, 10, &report);
    /* Record, hold; then tombstone, release and acceptance, for there is nothing left to void. */
    assert_int_equal(count_files(".pack"), 0);
    assert_verified(cat);
    snapshot_record_release(&record);
    catalog_close(cat);
}

static void prune__a_tombstone_outlives_the_record_that_it_voids(void **state)
{
    struct shop a = {.seed = 1, .folders = 2, .files = 5}, b = {.seed = 2, .folders = 2, .files = 5};
    struct snapshot_record ra, rb, found = SNAPSHOT_RECORD_INIT;
    struct error err = ERROR_INIT;
    struct text_list report = TEXT_LIST_INIT;
    struct catalog *cat = open_catalog(CATALOG_WRITE);
    const char *ids[2];

    (void)state;
    take(cat, &a, &ra);
    take(cat, &b, &rb);
    forget(cat, &ra);
    catalog_close(cat);
    assert_int_equal(catalog_rebuild("cat", NULL, &report, &err), OK);
    cat = open_catalog(CATALOG_WRITE);
    assert_int_equal(snapshot_find(cat, NULL, ra.id, &found, &err), ERR_NOT_FOUND);
    ids[0] = rb.id;
    assert_int_equal(snapshot_forget(cat, ids, 1, &err), OK);
    snapshot_record_release(&ra);
    snapshot_record_release(&rb);
    text_list_release(&report);
    catalog_close(cat);
}

static void prune__rewrites_sparse_packs_and_keeps_every_byte(void **state)
{
    struct shop shop = {.seed = 4, .folders = 6, .files = 30, .big = 2000000, .dump = 1000000};
    struct snapshot_record old, new;
    struct prune_report report;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &old);
    shop.version = 1;
    shop.big = 0; /* most of the first pack is needed no more */
    take(cat, &shop, &new);
    forget(cat, &old);
    prune(cat, 0, &report);
    assert_true(report.packs_rewritten > 0);
    assert_true(report.bytes_freed > 1000000 / 4);
    assert_all_good(cat, &shop, &new);
    assert_verified(cat);
    prune(cat, 0, &report);
    assert_int_equal(report.packs_rewritten, 0); /* once is enough */
    snapshot_record_release(&old);
    snapshot_record_release(&new);
    catalog_close(cat);

    /* And the packs tell the same story without the index. */
    struct text_list told = TEXT_LIST_INIT;
    struct error err = ERROR_INIT;
    struct snapshot_record found = SNAPSHOT_RECORD_INIT;

    assert_int_equal(unlink("cat/catalog.sqlite"), 0);
    assert_int_equal(catalog_rebuild("cat", NULL, &told, &err), OK);
    assert_int_equal(told.count, 0);
    cat = open_catalog(CATALOG_WRITE);
    assert_int_equal(snapshot_find(cat, SITE, "latest", &found, &err), OK);
    assert_all_good(cat, &shop, &found);
    snapshot_record_release(&found);
    catalog_close(cat);
}

static void prune__many_small_packs_become_few(void **state)
{
    struct shop shop = {.seed = 5, .folders = 1, .files = 14};
    struct snapshot_record records[40];
    struct prune_report report;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    for (shop.version = 0; shop.version < 40; shop.version++)
        take(cat, &shop, &records[shop.version]);
    assert_true(count_files(".pack") >= 80);
    prune(cat, 100, &report);
    assert_true(count_files(".pack") <= 45); /* each record keeps a pack of its own */
    for (shop.version = 0; shop.version < 40; shop.version++) {
        assert_all_good(cat, &shop, &records[shop.version]);
        snapshot_record_release(&records[shop.version]);
    }
    assert_verified(cat);
    catalog_close(cat);
}

static void prune__dry_run_changes_nothing(void **state)
{
    struct shop shop = {.seed = 9, .folders = 3, .files = 9};
    struct prune_options options = {.max_unused_percent = 0, .dry_run = true};
    struct snapshot_record record;
    struct prune_report report, told;
    struct error err = ERROR_INIT;
    struct catalog *cat = open_catalog(CATALOG_WRITE);
    size_t packs;

    (void)state;
    take(cat, &shop, &record);
    forget(cat, &record);
    packs = count_files(".pack");
    assert_int_equal(catalog_prune(cat, &options, NULL, &report, &err), OK);
    assert_true(report.bytes_unused > 0);
    assert_true(report.bytes_freed > 0);
    assert_true(report.packs_removed > 0);
    assert_int_equal(count_files(".pack"), packs);
    told = report;
    options.dry_run = false;
    assert_int_equal(catalog_prune(cat, &options, NULL, &report, &err), OK);
    assert_true(told.bytes_freed <= report.bytes_freed);
    assert_in_range(report.packs_removed, told.packs_removed, told.packs_removed + 1); /* the tombstone's */
    snapshot_record_release(&record);
    catalog_close(cat);
}

static void prune__removal_waits_for_readers(void **state)
{
    struct shop shop = {.seed = 9, .folders = 3, .files = 9};
    struct prune_options options = {.max_unused_percent = 0, .lock_timeout_ms = 50};
    struct snapshot_record record;
    struct prune_report report;
    struct error err = ERROR_INIT;
    struct catalog *cat = open_catalog(CATALOG_WRITE);
    struct catalog *reader = open_catalog(CATALOG_READ);

    (void)state;
    take(cat, &shop, &record);
    forget(cat, &record);
    assert_int_equal(catalog_prune(cat, &options, NULL, &report, &err), OK);
    assert_true(report.removal_postponed);
    assert_int_equal(report.packs_removed, 0);
    assert_all_good(reader, &shop, &record);
    catalog_close(reader);
    assert_int_equal(catalog_prune(cat, &options, NULL, &report, &err), OK);
    assert_false(report.removal_postponed);
    assert_true(report.packs_removed > 0);
    snapshot_record_release(&record);
    catalog_close(cat);
}

/* Night after night somebody reads: the copies stand beside what they are to replace, once. */
static void prune__removal_that_is_postponed_again_and_again_costs_one_copy(void **state)
{
    struct shop shop = {.seed = 4, .folders = 6, .files = 30, .big = 2000000, .dump = 1000000};
    struct prune_options options = {.max_unused_percent = 0, .lock_timeout_ms = 0};
    struct snapshot_record old, new;
    struct prune_report report;
    struct error err = ERROR_INIT;
    struct catalog *cat = open_catalog(CATALOG_WRITE);
    struct catalog *reader;
    bool due = true;
    size_t packs;

    (void)state;
    take(cat, &shop, &old);
    shop.version = 1;
    shop.big = 0;
    take(cat, &shop, &new);
    assert_int_equal(catalog_prune_due(cat, &due, &err), OK);
    assert_false(due);
    forget(cat, &old);
    reader = open_catalog(CATALOG_READ);
    assert_int_equal(catalog_prune(cat, &options, NULL, &report, &err), OK);
    assert_true(report.removal_postponed);
    assert_true(report.packs_rewritten > 0);
    packs = count_files(".pack");
    for (int night = 0; night < 3; night++) {
        assert_int_equal(catalog_prune(cat, &options, NULL, &report, &err), OK);
        assert_true(report.removal_postponed);
        assert_int_equal(report.packs_rewritten, 0);
        assert_int_equal(count_files(".pack"), packs);
        assert_int_equal(catalog_prune_due(cat, &due, &err), OK);
        assert_true(due);
    }
    catalog_close(reader);
    assert_int_equal(catalog_prune(cat, &options, NULL, &report, &err), OK);
    assert_false(report.removal_postponed);
    assert_true(report.packs_rewritten > 0);
    assert_true(report.bytes_freed > 1000000 / 4);
    assert_int_equal(catalog_prune_due(cat, &due, &err), OK);
    assert_false(due);
    assert_all_good(cat, &shop, &new);
    assert_verified(cat);
    snapshot_record_release(&old);
    snapshot_record_release(&new);
    catalog_close(cat);
}

/* What had the catalogue open and needed nothing of it: a prune has moved everything, then a rebuild has replaced the index. */
static void prune__need_not_wait_for_one_that_stepped_aside(void **state)
{
    struct shop shop = {.seed = 4, .folders = 3, .files = 20, .big = 1000000};
    struct prune_options options = {.max_unused_percent = 0, .lock_timeout_ms = 0};
    struct snapshot_record old, new, third;
    struct text_list told = TEXT_LIST_INIT;
    struct prune_report report;
    struct error err = ERROR_INIT;
    struct catalog *cat = open_catalog(CATALOG_WRITE);
    struct catalog *aside = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &old);
    shop.version = 1;
    shop.big = 0;
    take(cat, &shop, &new);
    assert_all_good(aside, &shop, &new);
    forget(cat, &old);
    catalog_step_aside(aside);
    assert_int_equal(catalog_prune(cat, &options, NULL, &report, &err), OK);
    assert_false(report.removal_postponed);
    assert_true(report.packs_rewritten > 0);
    assert_int_equal(catalog_come_back(aside, &err), OK);
    assert_all_good(aside, &shop, &new);
    assert_int_equal(catalog_generation(aside), catalog_generation(cat));
    catalog_close(cat);
    catalog_step_aside(aside);
    assert_int_equal(catalog_rebuild("cat", NULL, &told, &err), OK);
    assert_int_equal(catalog_come_back(aside, &err), OK);
    shop.version = 2;
    take(aside, &shop, &third); /* into the index that is there now */
    catalog_close(aside);
    cat = open_catalog(CATALOG_WRITE);
    assert_all_good(cat, &shop, &third);
    assert_verified(cat);
    text_list_release(&told);
    snapshot_record_release(&old);
    snapshot_record_release(&new);
    snapshot_record_release(&third);
    catalog_close(cat);
}

static void prune__an_unknown_pack_stops_it(void **state)
{
    struct shop shop = {.seed = 9, .folders = 2, .files = 5};
    struct prune_options options = {.max_unused_percent = 0};
    struct snapshot_record record;
    struct prune_report report;
    struct error err = ERROR_INIT;
    struct catalog *cat = open_catalog(CATALOG_WRITE);
    FILE *f;

    (void)state;
    take(cat, &shop, &record);
    forget(cat, &record);
    mkdir("cat/packs/ab", 0700);
    f = fopen("cat/packs/ab/abababababababababababababababab.pack", "w");
    assert_non_null(f);
    fclose(f);
    assert_int_equal(catalog_prune(cat, &options, NULL, &report, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.hint, "rebuild"));
    assert_int_equal(access("cat/packs/ab/abababababababababababababababab.pack", F_OK), 0);
    snapshot_record_release(&record);
    catalog_close(cat);
}

static void prune__a_record_that_cannot_be_read_stops_it(void **state)
{
    struct shop shop = {.seed = 9, .folders = 2, .files = 5};
    struct prune_options options = {.max_unused_percent = 0, .lock_timeout_ms = 1000};
    struct snapshot_record record, other;
    struct snapshot_shadows rows = {NULL, 0, 0};
    struct prune_report report;
    struct error err = ERROR_INIT;
    char path[128];
    struct catalog *cat = open_catalog(CATALOG_WRITE);
    size_t packs;

    (void)state;
    take(cat, &shop, &record);
    shop.seed = 10;
    take(cat, &shop, &other);
    forget(cat, &other);
    assert_int_equal(snapshot_shadows_read(cat->index, NULL, &rows, &err), OK);
    pack_file_of(cat, &rows.items[0].chunk, path);
    flip(path, 128 + 32 + 5, 1);
    packs = count_files(".pack");
    assert_int_equal(catalog_prune(cat, &options, NULL, &report, &err), ERR_CORRUPT);
    assert_int_equal(count_files(".pack"), packs);
    snapshot_shadows_release(&rows);
    snapshot_record_release(&record);
    snapshot_record_release(&other);
    catalog_close(cat);
}

/* File and offset of the stored bytes of a frame in the middle of the dump, which holds nothing else. */
static long middle_of_dump(struct catalog *cat, const struct snapshot_record *record, char *path)
{
    struct list_reader *r = NULL;
    struct error err = ERROR_INIT;
    struct chunk_id id;
    struct chunk_row row;
    struct pack_row pack_row;
    struct footer_frame frame;
    struct pack *pack = NULL;
    bool more = false, found = false;

    assert_int_equal(list_reader_open(cat, &record->dump, &r, &err), OK);
    for (int i = 0; i < 45; i++)
        assert_int_equal(list_reader_next(r, &id, &more, &err), OK);
    assert_int_equal(index_chunk_find(cat->index, &id, &row, &found, &err), OK);
    assert_int_equal(index_pack_find(cat->index, row.pack, &pack_row, &found, &err), OK);
    assert_int_equal(pack_open(cat->dirfd, pack_row.name, NULL, &pack, &err), OK);
    pack_frame_at(pack, row.frame, &frame);
    pack_close(pack);
    list_reader_close(r);
    pack_file_of(cat, &id, path);
    return (long)frame.at + FRAME_HEADER_LEN;
}

static void prune__keeps_damaged_data_and_still_takes_what_nobody_needs(void **state)
{
    struct shop shop = {.seed = 9, .folders = 2, .files = 9, .dump = 12000000},
                gone = {.seed = 3, .folders = 2, .files = 9};
    struct snapshot_record record, other;
    struct verify_report verified;
    struct prune_report report;
    struct error err = ERROR_INIT;
    struct shop_check check;
    char path[128];
    long at;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    take(cat, &gone, &other);
    at = middle_of_dump(cat, &record, path) + 9;
    flip(path, at, 1);
    assert_int_equal(verify(cat, true, &verified, &err), ERR_CORRUPT);
    verify_report_release(&verified);
    forget(cat, &other);
    prune(cat, 0, &report);
    assert_true(report.packs_removed >= 2);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(shop_check(cat, &shop, &record, &check, &err), OK);
    assert_true(check.damaged > 0 && check.good > 0);
    flip(path, at, 1);
    catalog_close(cat);
    cat = open_catalog(CATALOG_WRITE);
    assert_all_good(cat, &shop, &record); /* nothing of it had been given up */
    snapshot_record_release(&record);
    snapshot_record_release(&other);
    catalog_close(cat);
}

struct sparse {
    struct shop shop;
    struct snapshot_record kept;
    int64_t unneeded; /* row of a chunk that nobody needs any more */
    char path[128];   /* of the pack that holds it, and the middle of the dump, which is needed */
    long at;
};

/* A pack of which a forgotten snapshot needed a part, so that prune rewrites it. */
static struct catalog *make_sparse(struct sparse *s)
{
    struct shop first = {.seed = 4, .folders = 2, .files = 9, .big = 2000000, .dump = 12000000};
    struct snapshot_record forgotten;
    struct error err = ERROR_INIT;
    struct chunk_row row;
    bool found = false;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    take(cat, &first, &forgotten);
    s->shop = first;
    s->shop.version = 1;
    s->shop.big = 0;
    take(cat, &s->shop, &s->kept);
    s->at = middle_of_dump(cat, &s->kept, s->path);
    assert_int_equal(index_chunk_find(cat->index, &forgotten.roots[0].tree, &row, &found, &err), OK);
    s->unneeded = row.row;
    forget(cat, &forgotten);
    snapshot_record_release(&forgotten);
    return cat;
}

static int64_t damage_count(struct catalog *cat, const char *sql)
{
    struct index_statement *st = NULL;
    struct error err = ERROR_INIT;
    bool row = false;
    int64_t count;

    assert_int_equal(index_prepare(cat->index, sql, &st, &err), OK);
    assert_int_equal(index_step(st, &row, &err), OK);
    count = index_number(st, 0);
    index_finish(st);
    return count;
}

static void prune__damage_it_meets_is_the_frames_and_not_the_packs(void **state)
{
    struct sparse s;
    struct prune_report report;
    struct catalog *cat = make_sparse(&s);

    (void)state;
    flip(s.path, s.at + 9, 1);
    chunk_cache_drop(cat, 0);
    prune(cat, 0, &report);
    assert_int_equal(access(s.path, F_OK), 0);
    assert_int_equal(damage_count(cat, "SELECT count(*) FROM damage WHERE frame >= 0"), 1);
    assert_int_equal(damage_count(cat, "SELECT count(*) FROM damage WHERE frame < 0"), 0);
    snapshot_record_release(&s.kept);
    catalog_close(cat);
}

static void prune__fault_of_the_index_is_not_blamed_on_a_pack(void **state)
{
    struct prune_options options = {.max_unused_percent = 0, .lock_timeout_ms = 1000};
    struct sparse s;
    struct prune_report report;
    struct error err = ERROR_INIT;
    struct catalog *cat = make_sparse(&s);

    (void)state;
    /* Finding what is needed does not look at it, copying does. */
    assert_int_equal(index_execute(cat->index, "UPDATE chunks SET sum = sum + 1 WHERE row = ?1", &s.unneeded, 1, &err),
                     OK);
    assert_int_equal(catalog_prune(cat, &options, NULL, &report, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.hint, "rebuild"));
    assert_false(catalog_damaged(cat));
    snapshot_record_release(&s.kept);
    catalog_close(cat);
}

static void exchange_index(void *arg, const char *what)
{
    (void)arg;
    if (strstr(what, "removing"))
        assert_int_equal(system("cp cat/catalog.sqlite new && mv new cat/catalog.sqlite"), 0);
}

/* Nobody may go on with an index that a rebuild has replaced while no lock was held. */
static void prune__notices_an_exchanged_index_also_when_it_could_not_remove(void **state)
{
    struct prune_options options = {.max_unused_percent = 0, .lock_timeout_ms = 200};
    struct progress progress = {.step = exchange_index};
    struct shop shop = {.seed = 1, .folders = 2, .files = 5};
    struct snapshot_record record;
    struct prune_report report;
    struct error err = ERROR_INIT;
    struct catalog *cat = open_catalog(CATALOG_WRITE), *other;

    (void)state;
    take(cat, &shop, &record);
    other = open_catalog(CATALOG_READ); /* its shared lock keeps the exclusive one away */
    assert_int_equal(catalog_prune(cat, &options, &progress, &report, &err), ERR_BUSY);
    assert_non_null(strstr(err.text, "made again in the meantime"));
    catalog_close(other);
    catalog_close(cat);
    snapshot_record_release(&record);
}

static void prune__what_a_dead_writer_left_goes(void **state)
{
    struct shop a = {.seed = 1, .folders = 2, .files = 5}, b = {.seed = 2, .folders = 2, .files = 9};
    struct snapshot_record record;
    struct prune_report report;
    struct error err = ERROR_INIT;
    struct catalog *cat = open_catalog(CATALOG_WRITE);
    size_t packs;
    FILE *f;

    (void)state;
    take(cat, &a, &record);
    packs = count_files(".pack");
    assert_int_equal(shop_store(cat, &b, &err), OK); /* in place, and never committed */
    assert_true(count_files(".pack") > packs);
    mkdir("cat/packs/cd", 0700);
    f = fopen("cat/packs/cd/cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd.part", "w");
    assert_non_null(f);
    fputs("half a pack", f);
    fclose(f);
    prune(cat, 10, &report);
    assert_int_equal(report.parts_removed, 1);
    assert_int_equal(count_files(".pack"), packs);
    assert_int_equal(count_files(".part"), 0);
    assert_all_good(cat, &a, &record);
    snapshot_record_release(&record);
    catalog_close(cat);
}

/* ---- killing ---- */

/* A child that forgets and prunes until it is killed. */
static void child_prunes(unsigned round)
{
    struct prune_options options = {.max_unused_percent = 0, .lock_timeout_ms = 5000};
    struct shop shop = {.seed = 100 + round, .folders = 3, .files = 20, .big = 700000};
    struct snapshot_record record;
    struct prune_report report;
    struct error err = ERROR_INIT;
    struct catalog *cat = NULL;

    if (catalog_open("cat", CATALOG_WRITE, 5000, &cat, &err) != OK)
        _exit(10);
    for (;;) {
        const char *ids[1];

        if (shop_snapshot(cat, &shop, SITE, &record, &err) != OK)
            _exit(11);
        ids[0] = record.id;
        shop.version++;
        if (snapshot_forget(cat, ids, 1, &err) != OK || catalog_prune(cat, &options, NULL, &report, &err) != OK)
            _exit(12);
        snapshot_record_release(&record);
    }
}

static void prune__killed_at_any_moment_costs_nothing_but_space(void **state)
{
    struct shop shop = {.seed = 7, .folders = 3, .files = 20, .dump = 300000};
    struct snapshot_record record;
    struct prune_report report;
    const char *rounds_text = getenv("NOPSNAP_KILLS");
    unsigned rounds = rounds_text ? (unsigned)atoi(rounds_text) : 12;
    uint64_t random = 88172645463325252u;
    struct catalog *cat = open_catalog(CATALOG_WRITE);

    (void)state;
    take(cat, &shop, &record);
    catalog_close(cat);
    for (unsigned i = 0; i < rounds; i++) {
        struct timespec pause = {0};
        pid_t child = fork();
        int status = 0;

        assert_true(child >= 0);
        if (child == 0)
            child_prunes(i);
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        pause.tv_nsec = (long)(random % 120) * 1000000;
        nanosleep(&pause, NULL);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        if (WIFEXITED(status))
            fail_msg("the child ended by itself with %d in round %u", WEXITSTATUS(status), i);
        cat = open_catalog(CATALOG_WRITE);
        assert_all_good(cat, &shop, &record);
        assert_verified(cat);
        catalog_close(cat);
    }
    cat = open_catalog(CATALOG_WRITE);
    prune(cat, 0, &report);
    prune(cat, 0, &report);
    assert_all_good(cat, &shop, &record);
    assert_int_equal(count_files(".part"), 0);
    snapshot_record_release(&record);
    catalog_close(cat);
}

/* Two who snapshot and one who prunes, at once. */
static void child_snapshots(unsigned seed)
{
    struct shop shop = {.seed = seed, .folders = 2, .files = 15, .dump = 200000};

    for (shop.version = 0; shop.version < 6; shop.version++) {
        struct snapshot_record record;
        struct shop_check check;
        struct error err = ERROR_INIT;
        struct catalog *cat = NULL;
        const char *ids[1];

        if (catalog_open("cat", CATALOG_WRITE, 20000, &cat, &err) != OK)
            fprintf(stderr, "%s\n", err.text), _exit(20);
        if (shop_snapshot(cat, &shop, SITE, &record, &err) != OK)
            fprintf(stderr, "%s\n", err.text), _exit(21);
        if (shop_check(cat, &shop, &record, &check, &err) != OK || check.damaged || check.wrong)
            fprintf(stderr, "%s %s\n", err.text, check.first), _exit(22);
        ids[0] = record.id;
        if (shop.version % 2 == 0 && snapshot_forget(cat, ids, 1, &err) != OK)
            fprintf(stderr, "%s\n", err.text), _exit(23);
        snapshot_record_release(&record);
        catalog_close(cat);
    }
    _exit(0);
}

static void prune__beside_two_writers_loses_nothing(void **state)
{
    struct prune_options options = {.max_unused_percent = 0, .lock_timeout_ms = 200};
    struct prune_report report;
    struct error err = ERROR_INIT;
    pid_t children[2];
    struct catalog *cat = open_catalog(CATALOG_WRITE);
    int left = 2;

    (void)state;
    catalog_close(cat);
    for (unsigned i = 0; i < 2; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0)
            child_snapshots(50 + i);
    }
    while (left > 0) {
        int status = 0;

        cat = open_catalog(CATALOG_WRITE);
        if (catalog_prune(cat, &options, NULL, &report, &err) != OK)
            fail_msg("%s", err.text);
        catalog_close(cat);
        while (waitpid(-1, &status, WNOHANG) > 0) {
            assert_true(WIFEXITED(status));
            assert_int_equal(WEXITSTATUS(status), 0);
            left--;
        }
    }
    cat = open_catalog(CATALOG_WRITE);
    prune(cat, 0, &report);
    assert_verified(cat);
    catalog_close(cat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(prune__takes_what_only_a_forgotten_snapshot_needed),
        folder_test(prune__leaves_nothing_behind_when_all_is_forgotten),
        folder_test(prune__a_tombstone_outlives_the_record_that_it_voids),
        folder_test(prune__rewrites_sparse_packs_and_keeps_every_byte),
        folder_test(prune__many_small_packs_become_few),
        folder_test(prune__dry_run_changes_nothing),
        folder_test(prune__removal_waits_for_readers),
        folder_test(prune__removal_that_is_postponed_again_and_again_costs_one_copy),
        folder_test(prune__need_not_wait_for_one_that_stepped_aside),
        folder_test(prune__an_unknown_pack_stops_it),
        folder_test(prune__a_record_that_cannot_be_read_stops_it),
        folder_test(prune__keeps_damaged_data_and_still_takes_what_nobody_needs),
        folder_test(prune__damage_it_meets_is_the_frames_and_not_the_packs),
        folder_test(prune__fault_of_the_index_is_not_blamed_on_a_pack),
        folder_test(prune__notices_an_exchanged_index_also_when_it_could_not_remove),
        folder_test(prune__what_a_dead_writer_left_goes),
        folder_test(prune__killed_at_any_moment_costs_nothing_but_space),
        folder_test(prune__beside_two_writers_loses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
