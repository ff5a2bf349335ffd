/*
 * What the store asks of the disk, call by call: the order of syncs and renames (P4), and each write, sync or rename failing once.
 * The functions below stand before the C library's, for SQLite too.
 */
#undef _FORTIFY_SOURCE /* its inline functions stand where ours shall */

#include "catalog_fixture.h"
#include "store_internal.h"

#include <errno.h>
#include <sys/syscall.h>

#define EVENTS_MAX 4096
#define KEPT 30
#define LEN 3000
#define MANY_TICKETS 200000 /* more than the pages in memory hold */

struct event {
    char what; /* w write, s sync, r rename */
    char path[200];
};

static struct event events[EVENTS_MAX];
static unsigned event_count;
static unsigned fail_at; /* the nth event fails; 0: none */
static int fail_with;
static bool recording;
static pthread_mutex_t event_lock = PTHREAD_MUTEX_INITIALIZER;

/* Notes an event. True if it shall fail. */
static bool note(char what, int fd, const char *path)
{
    char link[64];
    ssize_t got;
    bool fails = false;

    if (!recording)
        return false;
    pthread_mutex_lock(&event_lock);
    if (event_count < EVENTS_MAX) {
        struct event *e = &events[event_count];

        memset(e, 0, sizeof(*e));
        e->what = what;
        if (path) {
            snprintf(e->path, sizeof(e->path), "%s", path);
        } else {
            snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
            got = readlink(link, e->path, sizeof(e->path) - 1);
            e->path[got > 0 ? got : 0] = '\0';
        }
    }
    event_count++;
    fails = event_count == fail_at;
    pthread_mutex_unlock(&event_lock);
    if (fails)
        errno = fail_with;
    return fails;
}

int fsync(int fd)
{
    return note('s', fd, NULL) ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fildes)
{
    return note('s', fildes, NULL) ? -1 : (int)syscall(SYS_fdatasync, fildes);
}

/* With 64-bit offsets its symbol is pwrite64. */
ssize_t pwrite(int fd, const void *buf, size_t nbytes, off_t offset)
{
    return note('w', fd, NULL) ? -1 : syscall(SYS_pwrite64, fd, buf, nbytes, offset);
}

static bool stuttering;

/* With 64-bit offsets its symbol is pread64. Every other call is interrupted, the others give a little. */
ssize_t pread(int fd, void *buf, size_t nbytes, off_t offset)
{
    static unsigned calls;

    if (stuttering && calls++ % 2) {
        errno = EINTR;
        return -1;
    }
    return syscall(SYS_pread64, fd, buf, stuttering && nbytes > 100 ? 100 : nbytes, offset);
}

int renameat2(int oldfd, const char *old, int newfd, const char *new, unsigned int flags)
{
    return note('r', -1, new) ? -1 : (int)syscall(SYS_renameat2, oldfd, old, newfd, new, flags);
}

static void record(unsigned nth, int with)
{
    event_count = 0;
    fail_at = nth;
    fail_with = with;
    recording = true;
}

static int find_event(char what, const char *part, int from)
{
    for (int i = from; i < (int)event_count; i++) {
        if (events[i].what == what && strstr(events[i].path, part))
            return i;
    }
    return -1;
}

static bool ends_with(const char *text, const char *end)
{
    size_t a = strlen(text), b = strlen(end);

    return a >= b && strcmp(text + a - b, end) == 0;
}

static int find_sync_of(const char *end, int from)
{
    for (int i = from; i < (int)event_count; i++) {
        if (events[i].what == 's' && ends_with(events[i].path, end))
            return i;
    }
    return -1;
}

static void tickets__survive_interrupted_and_short_reads(void **state)
{
    struct catalog *cat = make_catalogue();
    struct paged_file *f = NULL;
    struct error err = ERROR_INIT;
    unsigned char *record;
    unsigned char expected[24];

    (void)state;
    assert_ok(paged_file_new(cat, sizeof(expected), &f, &err));
    for (unsigned i = 0; i < MANY_TICKETS; i++) {
        assert_ok(paged_file_at(f, i, true, &record, &err));
        memset(record, (int)(i % 251 + 1), sizeof(expected));
    }
    stuttering = true;
    for (unsigned i = 0; i < MANY_TICKETS; i++) {
        assert_ok(paged_file_at(f, i, false, &record, &err));
        memset(expected, (int)(i % 251 + 1), sizeof(expected));
        assert_memory_equal(record, expected, sizeof(expected));
    }
    stuttering = false;
    paged_file_free(f);
    catalog_close(cat);
}

static void flush__syncs_in_the_order_that_power_loss_needs(void **state)
{
    struct catalog *cat = make_catalogue();
    struct store *store = begin_store(cat);
    struct error err = ERROR_INIT;
    int announced, synced, renamed, folder, packs, in_place;
    unsigned syncs = 0;
    store_ticket ticket;
    char folder_name[16];

    (void)state;
    assert_ok(
        store_put(store, CHUNK_DATA, 0, "first", 5, &ticket, &err)); /* begins the WAL, which takes syncs of its own */
    assert_ok(store_flush(store, &err));
    record(0, 0);
    assert_ok(store_put(store, CHUNK_DATA, 0, "order", 5, &ticket, &err));
    assert_ok(store_flush(store, &err));
    recording = false;
    announced = find_sync_of("catalog.sqlite-wal", 0);
    synced = find_sync_of(".part", 0);
    renamed = find_event('r', ".pack", 0);
    assert_true(renamed >= 0);
    snprintf(folder_name, sizeof(folder_name), "%.8s", strstr(events[renamed].path, "packs/"));
    folder = find_sync_of(folder_name, renamed);
    packs = find_sync_of("/packs", renamed);
    in_place = find_sync_of("catalog.sqlite-wal", renamed);
    assert_true(announced >= 0 && announced < renamed); /* C1 */
    assert_true(synced >= 0 && synced < renamed);
    assert_true(find_event('w', ".part", synced) < 0); /* nothing is written behind the sync */
    assert_true(folder > renamed && packs > renamed);
    assert_true(in_place > folder && in_place > packs);
    for (unsigned i = 0; i < event_count; i++)
        syncs += events[i].what == 's';
    assert_int_equal(syncs, 5); /* the claim, the pack, its folder, packs/, in place: no more are needed */
    store_free(store);
    catalog_close(cat);
}

static enum error_kind put_kept(struct catalog *cat, unsigned from, struct chunk_id *ids, struct error *err)
{
    struct store *store = NULL;
    store_ticket tickets[KEPT];
    unsigned char bytes[LEN];
    enum error_kind rc;

    rc = store_begin(cat, NULL, &store, err);
    for (unsigned i = 0; !rc && i < KEPT; i++) {
        fill_text(bytes, LEN, from + i);
        rc = store_put(store, CHUNK_DATA, 0, bytes, LEN, &tickets[i], err);
        if (!rc && i == KEPT / 2)
            rc = store_claim(store, err);
    }
    if (!rc)
        rc = store_flush(store, err);
    for (unsigned i = 0; !rc && i < KEPT; i++)
        rc = store_resolve(store, tickets[i], &ids[i], err);
    store_free(store);
    return rc;
}

static void assert_kept(struct catalog *cat, unsigned from, const struct chunk_id *ids)
{
    unsigned char bytes[LEN];

    for (unsigned i = 0; i < KEPT; i++) {
        fill_text(bytes, LEN, from + i);
        assert_reads(cat, &ids[i], bytes, LEN);
    }
}

/* With EIO and ENOSPC in turn: the torture run has every kind for every call. */
static void flush__survives_each_call_failing_once(void **state)
{
    struct chunk_id first[KEPT], second[KEPT], third[KEPT];
    struct error err = ERROR_INIT;
    struct catalog *cat = make_catalogue();
    unsigned nth = 0, failures = 0;
    enum error_kind rc;

    (void)state;
    assert_ok(put_kept(cat, 1000, first, &err));
    catalog_close(cat);
    do {
        nth++;
        error_clear(&err);
        cat = open_catalogue(CATALOG_WRITE);
        record(nth, nth % 2 ? EIO : ENOSPC);
        rc = put_kept(cat, nth * 100000, second, &err);
        recording = false;
        if (rc) {
            assert_true(rc == ERR_IO || rc == ERR_SPACE);
            failures++;
        } else { /* also where SQLite can do without the call that failed */
            assert_kept(cat, nth * 100000, second);
        }
        assert_kept(cat, 1000, first); /* what was there before is untouched, in this process */
        catalog_close(cat);
        cat = open_catalogue(CATALOG_WRITE); /* and in the next, which finds nothing to complain of */
        assert_kept(cat, 1000, first);
        if (rc) { /* what failed can be done again */
            error_clear(&err);
            assert_ok(put_kept(cat, nth * 100000, third, &err));
            assert_kept(cat, nth * 100000, third);
        }
        catalog_close(cat);
        assert_int_equal(find_packs().parts, 0);
    } while (event_count >= nth);
    assert_true(failures > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(tickets__survive_interrupted_and_short_reads),
        folder_test(flush__syncs_in_the_order_that_power_loss_needs),
        folder_test(flush__survives_each_call_failing_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
