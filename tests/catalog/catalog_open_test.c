#include "catalog_fixture.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

static enum error_kind open_kind(enum catalog_mode mode, struct error *err)
{
    struct catalog *cat = NULL;
    enum error_kind rc;

    error_clear(err);
    rc = catalog_open(CATALOGUE, mode, 0, &cat, err);
    catalog_close(cat);
    return rc;
}

static void assert_needs_rebuild(enum catalog_mode mode)
{
    struct error err = ERROR_INIT;

    assert_int_equal(open_kind(mode, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.hint, "rebuild"));
}

static void replace_file(const char *name, const void *bytes, size_t len)
{
    struct error err = ERROR_INIT;

    assert_ok(file_replace(name, bytes, len, 0600, &err));
}

static void init__makes_private_files_and_only_once(void **state)
{
    struct error err = ERROR_INIT;
    struct stat st;

    (void)state;
    assert_ok(catalog_init(CATALOGUE, &err));
    assert_int_equal(stat(CATALOGUE, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(stat(CATALOGUE "/catalog.sqlite", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(CATALOGUE "/format.json", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(catalog_init(CATALOGUE, &err), ERR_EXISTS);
}

static void init__refuses_a_folder_that_is_not_empty(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(mkdir(CATALOGUE, 0755), 0);
    replace_file(CATALOGUE "/precious", "x", 1);
    assert_int_equal(catalog_init(CATALOGUE, &err), ERR_EXISTS);
    assert_non_null(strstr(err.text, "precious"));
    assert_int_equal(access(CATALOGUE "/packs", F_OK), -1);
}

static void open__absent_is_not_found(void **state)
{
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(open_kind(CATALOG_WRITE, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.hint, "init"));
    assert_int_equal(mkdir(CATALOGUE, 0700), 0);
    assert_int_equal(open_kind(CATALOG_WRITE, &err), ERR_NOT_FOUND);
}

/* What an init leaves that was killed before its last step. */
static void init__goes_on_after_one_that_was_cut_short(void **state)
{
    struct catalog *cat = make_catalogue();
    struct error err = ERROR_INIT;

    (void)state;
    catalog_close(cat);
    assert_int_equal(unlink(CATALOGUE "/format.json"), 0);
    assert_int_equal(open_kind(CATALOG_WRITE, &err), ERR_NOT_FOUND);
    assert_ok(catalog_init(CATALOGUE, &err));
    cat = open_catalogue(CATALOG_WRITE);
    put_one(cat, "one", 3);
    catalog_close(cat);
    assert_int_equal(unlink(CATALOGUE "/format.json"), 0);
    assert_int_equal(catalog_init(CATALOGUE, &err), ERR_EXISTS); /* now there is something to lose */
    assert_non_null(strstr(err.hint, "rebuild"));
}

static void open__format_file_is_checked(void **state)
{
    struct buffer text = BUFFER_INIT(4096);
    struct error err = ERROR_INIT;
    struct catalog *cat;
    char *number;

    (void)state;
    cat = make_catalogue();
    put_one(cat, "one", 3);
    catalog_close(cat);
    assert_ok(file_read_whole(AT_FDCWD, CATALOGUE "/format.json", 4096, &text, &err));
    for (size_t i = 0; i < text.len; i++) {
        unsigned char was = text.data[i];
        enum error_kind rc;

        text.data[i] ^= 0x04;
        replace_file(CATALOGUE "/format.json", text.data, text.len);
        rc = open_kind(CATALOG_READ, &err);
        /* A changed number may be a newer format; space in JSON may stay without meaning. */
        if (rc != ERR_CORRUPT && !(rc == ERR_REFUSED && strstr(err.text, "format")) && was != '\n' && was != ' ')
            fail_msg("flip at %zu ('%c'): kind %d", i, was, (int)rc);
        text.data[i] = was;
    }
    number = strstr((char *)text.data, "\"format\":1");
    assert_non_null(number);
    number[strlen("\"format\":")] = '2';
    replace_file(CATALOGUE "/format.json", text.data, text.len);
    assert_int_equal(open_kind(CATALOG_READ, &err), ERR_REFUSED);
    replace_file(CATALOGUE "/format.json", "", 0);
    assert_needs_rebuild(CATALOG_READ);
    assert_int_equal(unlink(CATALOGUE "/format.json"), 0);
    assert_needs_rebuild(CATALOG_WRITE);
    buffer_release(&text);
}

static void open__weak_hash_is_refused(void **state)
{
    struct catalog_format format;
    struct error err = ERROR_INIT;

    (void)state;
    if (NOPSNAP_WEAK_HASH_BITS != 0)
        skip();
    catalog_close(make_catalogue());
    assert_ok(format_make(&format, &err));
    format.weak_hash_bits = 6;
    assert_ok(format_write(CATALOGUE, &format, &err));
    assert_int_equal(open_kind(CATALOG_READ, &err), ERR_REFUSED);
    assert_non_null(strstr(err.text, "weak"));
}

static void open__index_missing_or_garbage(void **state)
{
    char garbage[8192];

    (void)state;
    catalog_close(make_catalogue());
    memset(garbage, 'g', sizeof(garbage));
    replace_file(CATALOGUE "/catalog.sqlite", garbage, sizeof(garbage));
    assert_needs_rebuild(CATALOG_READ);
    assert_needs_rebuild(CATALOG_WRITE);
    replace_file(CATALOGUE "/catalog.sqlite", "", 0);
    assert_needs_rebuild(CATALOG_WRITE);
    assert_int_equal(unlink(CATALOGUE "/catalog.sqlite"), 0);
    assert_needs_rebuild(CATALOG_READ);
    assert_int_equal(access(CATALOGUE "/catalog.sqlite", F_OK), -1); /* not made anew by the way */
}

static void open__index_with_a_trigger_is_not_ours(void **state)
{
    struct catalog *cat = make_catalogue();
    struct error err = ERROR_INIT;

    (void)state;
    assert_ok(index_run(cat->index, "CREATE TRIGGER t AFTER INSERT ON packs BEGIN DELETE FROM chunks; END", &err));
    catalog_close(cat);
    assert_needs_rebuild(CATALOG_WRITE);
}

static void open__index_of_another_catalogue(void **state)
{
    (void)state;
    catalog_close(make_catalogue());
    assert_int_equal(rename(CATALOGUE, "other"), 0);
    catalog_close(make_catalogue());
    assert_int_equal(system("cp other/catalog.sqlite " CATALOGUE "/catalog.sqlite"), 0);
    assert_needs_rebuild(CATALOG_WRITE);
    assert_needs_rebuild(CATALOG_READ);
}

static void open__old_copy_of_the_index_is_noticed(void **state)
{
    struct catalog *cat = make_catalogue();
    struct chunk_id one = put_one(cat, "one", 3);

    (void)state;
    catalog_close(cat);
    assert_int_equal(system("cp " CATALOGUE "/catalog.sqlite old.sqlite"), 0);
    cat = open_catalogue(CATALOG_WRITE);
    put_one(cat, "two", 3);
    catalog_close(cat);
    assert_int_equal(system("cp old.sqlite " CATALOGUE "/catalog.sqlite"), 0);
    assert_needs_rebuild(CATALOG_WRITE);
    cat = open_catalogue(CATALOG_READ); /* what it does know can be read */
    assert_reads(cat, &one, "one", 3);
    catalog_close(cat);
}

static void open__pack_that_is_missing_is_noticed(void **state)
{
    struct catalog *cat = make_catalogue();
    struct found_pack pack;

    (void)state;
    put_one(cat, "one", 3);
    catalog_close(cat);
    pack = find_packs();
    assert_int_equal(rename(pack.path, "aside"), 0);
    assert_needs_rebuild(CATALOG_WRITE);
    assert_int_equal(rename("aside", pack.path), 0);
    catalog_close(open_catalogue(CATALOG_WRITE));
}

/* C1: what a crash between the rename and the last commit leaves. */
static void open__announced_pack_is_finished_by_who_is_alone(void **state)
{
    struct catalog *cat = make_catalogue();
    struct chunk_id id = put_one(cat, "one", 3);
    struct error err = ERROR_INIT;
    struct chunk_row chunk;
    struct pack_row row;
    bool found = false;

    (void)state;
    assert_ok(index_chunk_find(cat->index, &id, &chunk, &found, &err));
    assert_ok(index_pack_find(cat->index, chunk.pack, &row, &found, &err));
    row.state = PACK_ANNOUNCED;
    row.size = 0;
    assert_ok(index_begin(cat->index, &err));
    assert_ok(index_pack_update(cat->index, &row, &err));
    assert_ok(index_commit(cat->index, &err));
    catalog_close(cat);
    cat = open_catalogue(CATALOG_WRITE); /* others may be at work: left as it is */
    assert_ok(index_chunk_find(cat->index, &id, &chunk, &found, &err));
    assert_false(chunk.in_place);
    catalog_close(cat);
    cat = open_catalogue(CATALOG_WRITE);
    assert_ok(catalog_lock_alone(cat, 0, &err));
    assert_ok(catalog_finish_announced(cat, &err));
    catalog_close(cat);
    cat = open_catalogue(CATALOG_WRITE);
    assert_reads(cat, &id, "one", 3);
    catalog_close(cat);
}

static void lock__one_alone_or_many_together(void **state)
{
    struct catalog *cat = make_catalogue(), *second = open_catalogue(CATALOG_WRITE);
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(catalog_lock_alone(cat, 0, &err), ERR_BUSY);
    assert_non_null(strstr(err.text, "process")); /* the holder is named */
    catalog_close(second);
    assert_ok(catalog_lock_alone(cat, 0, &err));
    assert_int_equal(open_kind(CATALOG_WRITE, &err), ERR_BUSY);
    assert_ok(catalog_lock_shared(cat, &err));
    second = open_catalogue(CATALOG_WRITE);
    assert_int_equal(catalog_lock_alone(cat, 0, &err), ERR_BUSY);
    catalog_close(second);
    catalog_close(cat);
}

static void site_lock__transactions_exclude_snapshots(void **state)
{
    struct catalog_site_lock *a = NULL, *b = NULL;
    struct catalog *cat = make_catalogue();
    struct error err = ERROR_INIT;
    char id[17];

    (void)state;
    assert_ok(catalog_site_id(cat, "/var/www/shop", id, &err));
    assert_ok(catalog_site_lock(cat, id, false, 0, &a, &err));
    assert_ok(catalog_site_lock(cat, id, false, 0, &b, &err));
    catalog_site_unlock(b);
    b = NULL;
    assert_int_equal(catalog_site_lock(cat, id, true, 0, &b, &err), ERR_BUSY);
    assert_null(b);
    catalog_site_unlock(a);
    assert_ok(catalog_site_lock(cat, id, true, 0, &b, &err));
    catalog_site_unlock(b);
    assert_int_equal(catalog_site_lock(cat, "../../etc/passwd", true, 0, &b, &err), ERR_USAGE);
    catalog_close(cat);
}

static void site_id__differs_by_path_host_and_catalogue(void **state)
{
    struct catalog *cat = make_catalogue();
    struct error err = ERROR_INIT;
    char a[17], b[17], c[17], again[17];

    (void)state;
    replace_file("machine", "0123456789abcdef0123456789abcdef\n", 33);
    assert_ok(catalog_site_id(cat, "/a", a, &err));
    assert_ok(catalog_site_id(cat, "/a", again, &err));
    assert_ok(catalog_site_id(cat, "/b", b, &err));
    assert_string_equal(a, again);
    assert_string_not_equal(a, b);
    assert_int_equal(setenv("NOPSNAP_MACHINE_ID", "machine", 1), 0);
    assert_ok(catalog_site_id(cat, "/a", c, &err));
    assert_int_equal(unsetenv("NOPSNAP_MACHINE_ID"), 0);
    assert_string_not_equal(a, c);
    assert_int_equal(strlen(a), 16);
    catalog_close(cat);
}

struct seen_events {
    unsigned count;
    int64_t last;
};

static enum error_kind see_event(void *arg, const struct catalog_event *event, struct error *err)
{
    struct seen_events *s = arg;

    (void)err;
    assert_true(s->count == 0 || event->moment_ns < s->last);
    assert_string_equal(event->what, "snapshot");
    s->last = event->moment_ns;
    s->count++;
    return OK;
}

static void events__newest_first_and_checked(void **state)
{
    struct catalog *cat = make_catalogue();
    struct error err = ERROR_INIT;
    struct seen_events all = {0}, one = {0};

    (void)state;
    for (int i = 0; i < 6; i++) {
        struct catalog_event e = {100 + i, (char *)(i % 2 ? "aaaaaaaaaaaaaaaa" : "bbbbbbbbbbbbbbbb"),
                                  (char *)"snapshot", (char *)"{}", 0};

        assert_ok(catalog_event_add(cat, &e, &err));
    }
    assert_ok(catalog_event_each(cat, NULL, see_event, &all, &err));
    assert_ok(catalog_event_each(cat, "aaaaaaaaaaaaaaaa", see_event, &one, &err));
    assert_int_equal(all.count, 6);
    assert_int_equal(one.count, 3);
    assert_ok(index_run(cat->index, "UPDATE history SET status = 3 WHERE row = 2", &err));
    all = (struct seen_events){0};
    assert_int_equal(catalog_event_each(cat, NULL, see_event, &all, &err), ERR_CORRUPT);
    catalog_close(cat);
}

/* In a child with mounts of its own: the folder read-only; with_wal: after a crash that left a WAL behind. */
static int read_on_read_only_mount(const struct chunk_id *id)
{
    struct buffer out = BUFFER_INIT(16);
    struct error err = ERROR_INIT;
    struct catalog *cat = NULL;
    struct chunk_id unused = *id;
    int rc = 0;

    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount(CATALOGUE, CATALOGUE, NULL, MS_BIND, NULL) != 0 ||
        mount(NULL, CATALOGUE, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) != 0)
        return 77;
    if (catalog_open(CATALOGUE, CATALOG_READ, 0, &cat, &err) || chunk_read(cat, &unused, CHUNK_DATA, &out, &err) ||
        out.len != 3 || memcmp(out.data, "one", 3) != 0) {
        fprintf(stderr, "%s\n", err.text);
        rc = 1;
    }
    catalog_close(cat);
    cat = NULL;
    if (catalog_open(CATALOGUE, CATALOG_WRITE, 0, &cat, &err) != ERR_IO)
        rc = 2;
    buffer_release(&out);
    return rc;
}

static int in_child(const struct chunk_id *id)
{
    pid_t pid = fork();
    int status = 0;

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(read_on_read_only_mount(id));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void open__read_only_mount_can_be_read(void **state)
{
    struct catalog *cat = make_catalogue();
    struct chunk_id id = put_one(cat, "one", 3);
    int rc;

    (void)state;
    catalog_close(cat);
    rc = in_child(&id);
    if (rc == 77)
        skip(); /* no right to mount here */
    assert_int_equal(rc, 0);
}

static void open__read_only_mount_after_a_crash_can_be_read(void **state)
{
    struct catalog *cat = make_catalogue();
    struct chunk_id id = put_one(cat, "one", 3);
    struct stat st;
    int rc;

    (void)state;
    /* While it is open the newest rows are in the WAL alone: a copy now is what a crash would leave. */
    assert_int_equal(system("cp -r " CATALOGUE " crashed"), 0);
    catalog_close(cat);
    assert_int_equal(rename(CATALOGUE, "closed"), 0);
    assert_int_equal(rename("crashed", CATALOGUE), 0);
    assert_int_equal(stat(CATALOGUE "/catalog.sqlite-wal", &st), 0);
    assert_true(st.st_size > 0);
    rc = in_child(&id);
    if (rc == 77)
        skip();
    assert_int_equal(rc, 0);
}

static void init__of_several_at_once_one_makes_it(void **state)
{
    enum { PROCESSES = 8, ROUNDS = 10 };

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct error err = ERROR_INIT;
        int made = 0, there = 0;
        int gate[2];
        char byte;

        assert_int_equal(pipe(gate), 0);
        for (int i = 0; i < PROCESSES; i++) {
            if (fork() == 0) {
                close(gate[1]);
                (void)!read(gate[0], &byte, 1); /* ends for all at once */
                _exit((int)catalog_init(CATALOGUE, &err));
            }
        }
        close(gate[0]);
        close(gate[1]);
        for (int i = 0; i < PROCESSES; i++) {
            int status = 0;

            assert_true(wait(&status) > 0 && WIFEXITED(status));
            made += WEXITSTATUS(status) == OK;
            there += WEXITSTATUS(status) == ERR_EXISTS;
        }
        assert_int_equal(made, 1);
        assert_int_equal(there, PROCESSES - 1);
        catalog_close(open_catalogue(CATALOG_WRITE));
        assert_int_equal(system("rm -r " CATALOGUE), 0);
    }
}

static bool vanishing;

/* Stands before the C library's. What is looked at below packs/ is taken away behind the look. */
int fstatat(int fd, const char *file, struct stat *buf, int flag)
{
    int found = openat(fd, file, O_PATH | O_CLOEXEC | (flag & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0));
    int failed = found < 0 || fstat(found, buf) ? -1 : 0;

    file_close(&found);
    if (vanishing && !failed && strstr(file, ".pack"))
        (void)unlinkat(fd, file, 0);
    return failed;
}

/* A record that was taken back between the listing of the folder and the look into the index. */
static void open__pack_that_went_while_it_was_looked_at_is_no_accusation(void **state)
{
    struct error err = ERROR_INIT;
    struct catalog *cat = make_catalogue();

    (void)state;
    assert_int_equal(
        system("mkdir -p " CATALOGUE "/packs/ab && touch " CATALOGUE "/packs/ab/ab00000000000000000000000000000f.pack"),
        0);
    assert_int_equal(catalog_check_packs(cat, &err), ERR_CORRUPT);
    error_clear(&err);
    vanishing = true;
    assert_ok(catalog_check_packs(cat, &err));
    vanishing = false;
    catalog_close(cat);
}

/* P11: nor can a single value of an index from elsewhere be as large as memory. */
static void index__value_beyond_all_measure_is_refused(void **state)
{
    struct catalog *cat = make_catalogue();
    struct error err = ERROR_INIT;

    (void)state;
    assert_ok(index_run(cat->index, "SELECT length(CAST(zeroblob(8 << 20) AS TEXT))", &err));
    assert_int_equal(index_run(cat->index, "SELECT length(CAST(zeroblob(17 << 20) AS TEXT))", &err), ERR_MEMORY);
    catalog_close(cat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(open__pack_that_went_while_it_was_looked_at_is_no_accusation),
        folder_test(index__value_beyond_all_measure_is_refused),
        folder_test(init__makes_private_files_and_only_once),
        folder_test(init__refuses_a_folder_that_is_not_empty),
        folder_test(init__of_several_at_once_one_makes_it),
        folder_test(init__goes_on_after_one_that_was_cut_short),
        folder_test(open__absent_is_not_found),
        folder_test(open__format_file_is_checked),
        folder_test(open__weak_hash_is_refused),
        folder_test(open__index_missing_or_garbage),
        folder_test(open__index_with_a_trigger_is_not_ours),
        folder_test(open__index_of_another_catalogue),
        folder_test(open__old_copy_of_the_index_is_noticed),
        folder_test(open__pack_that_is_missing_is_noticed),
        folder_test(open__announced_pack_is_finished_by_who_is_alone),
        folder_test(lock__one_alone_or_many_together),
        folder_test(site_lock__transactions_exclude_snapshots),
        folder_test(site_id__differs_by_path_host_and_catalogue),
        folder_test(events__newest_first_and_checked),
        folder_test(open__read_only_mount_can_be_read),
        folder_test(open__read_only_mount_after_a_crash_can_be_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
