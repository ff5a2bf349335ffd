/* Taking snapshots of folders of every kind. Each test begins in an empty folder of its own. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "file.h"
#include "snapshot.h"
#include "snapshot_compare.h"
#include "test_support.h"
#include "thread.h"
#include "tree.h"
#include "walk.h"

/* ---- a shop, its catalogue, and what was said ---- */

struct fixture {
    struct catalog *cat;
    struct site site;
    struct snapshot_options options;
    struct snapshot_result result;
    struct progress progress;
    struct error err;
    unsigned warnings, notes;
};

static void count_warning(void *arg, const char *line)
{
    (void)line;
    ((struct fixture *)arg)->warnings++;
}

static void count_note(void *arg, const char *line)
{
    (void)line;
    ((struct fixture *)arg)->notes++;
}

static void open_fixture(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    (void)unsetenv("NOPSNAP_CLOCK");
    f->options = (struct snapshot_options)SNAPSHOT_OPTIONS_INIT;
    f->options.part = SNAPSHOT_FILES_ONLY;
    f->result.record = (struct snapshot_record)SNAPSHOT_RECORD_INIT;
    f->progress = (struct progress){.warn = count_warning, .note = count_note, .arg = f};
    f->site = (struct site)SITE_INIT;
    (void)mkdir("s", 0755);
    if (access("cat", F_OK) != 0)
        assert_int_equal(catalog_init("cat", &f->err), OK);
    assert_int_equal(catalog_open("cat", CATALOG_WRITE, 0, &f->cat, &f->err), OK);
    assert_int_equal(site_inspect("s", NULL, &f->site, &f->err), OK);
}

static void close_fixture(struct fixture *f)
{
    snapshot_result_release(&f->result);
    site_release(&f->site);
    catalog_close(f->cat);
}

static enum error_kind take(struct fixture *f)
{
    snapshot_result_release(&f->result);
    f->warnings = f->notes = 0;
    error_clear(&f->err);
    return snapshot_take(f->cat, &f->site, NULL, &f->options, &f->progress, &f->result, &f->err);
}

static void take_well(struct fixture *f)
{
    enum error_kind rc = take(f);

    if (rc)
        fail_msg("%s", f->err.text);
}

static const struct chunk_id *root_of(const struct fixture *f)
{
    return &f->result.record.roots[0].tree;
}

static void make_file(const char *path, const void *content, size_t len)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);

    assert_true(fd >= 0);
    for (size_t done = 0; done < len;) {
        ssize_t put = write(fd, (const char *)content + done, len - done);

        assert_true(put > 0);
        done += (size_t)put;
    }
    close(fd);
}

static void make_random(const char *path, size_t len, uint64_t seed)
{
    unsigned char *bytes = malloc(len + 8);

    for (size_t i = 0; i < len; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (unsigned char)(seed >> 56);
    }
    make_file(path, bytes, len);
    free(bytes);
}

/* A file is trusted by its stat only when that is older than a clock can be coarse: a clock that is ahead saves the wait. */
static void let_it_settle(void)
{
    char text[32];
    int len;

    (void)unsetenv("NOPSNAP_CLOCK");
    len = snprintf(text, sizeof text, "%lld\n", (long long)clock_now() + 10000000000LL);
    make_file("clock", text, (size_t)len);
    assert_int_equal(setenv("NOPSNAP_CLOCK", "clock", 1), 0);
}

/* ---- what a tree can hold ---- */

static void take__everything_a_tree_can_hold_is_in_the_snapshot(void **state)
{
    struct timespec times[2] = {{1, 2}, {1700000000, 987654321}};
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "s/socket"};
    struct fixture f;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    unsigned expected = 14;

    (void)state;
    mkdir("s", 0755);
    mkdir("s/empty", 01777);
    mkdir("s/sub", 0750);
    mkdir("s/sub/sub", 0700);
    make_file("s/zero", "", 0);
    make_file("s/sub/one", "1", 1);
    make_file("s/sub/sub/new\nline", "nl", 2);
    make_file("s/\xff\xfe not utf-8", "x", 1);
    make_file("s/ leading and trailing ", "x", 1);
    make_file("s/...", "dots", 4);
    make_file("s/script", "#!/bin/sh\n", 10);
    chmod("s/script", 04755);
    utimensat(AT_FDCWD, "s/zero", times, 0);
    assert_int_equal(symlink("../nowhere", "s/dangling"), 0);
    assert_int_equal(symlink("sub", "s/to-folder"), 0);
    assert_int_equal(mkfifo("s/fifo", 0640), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
    if (setxattr("s/script", "user.note", "kept", 4, 0) == 0)
        assert_int_equal(setxattr("s/sub", "user.folder", "\0\1\2", 3, 0), 0);
    if (getuid() == 0) {
        assert_int_equal(mknod("s/device", S_IFCHR | 0600, makedev(1, 3)), 0);
        assert_int_equal(lchown("s/dangling", 12345, 54321), 0);
        expected++;
    }
    utimensat(AT_FDCWD, "s/sub", times, 0);

    open_fixture(&f);
    take_well(&f);
    assert_int_equal(compare_snapshot(f.cat, root_of(&f), "s"), expected);
    assert_int_equal(f.result.record.unread.count, 0);
    assert_int_equal(f.warnings, 0);
    assert_int_equal(f.result.record.notes.count, 1); /* the socket */
    assert_string_equal(f.result.record.notes.items[0], "socket: a socket, left out");
    assert_int_equal(f.result.files, 7);
    close_fixture(&f);
}

static void take__large_files_are_cut_and_whole(void **state)
{
    struct fixture f;

    (void)state;
    open_fixture(&f);
    make_random("s/limit", catalog_format(f.cat)->whole_max, 1);
    make_random("s/above", catalog_format(f.cat)->whole_max + 1, 2);
    make_random("s/listed", 80 * (size_t)catalog_format(f.cat)->cut_max, 3); /* more ids than an entry holds */
    take_well(&f);
    assert_int_equal(compare_snapshot(f.cat, root_of(&f), "s"), 4);
    close_fixture(&f);
}

static void make_sparse(const char *path, off_t size, const off_t *data, size_t count)
{
    int fd = open(path, O_CREAT | O_WRONLY, 0644);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, size), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(pwrite(fd, "data", 4, data[i]), 4);
    close(fd);
}

static void take__holes_are_recorded_and_not_read(void **state)
{
    struct fixture f;

    (void)state;
    open_fixture(&f);
    make_sparse("s/middle", 3 << 20, (off_t[]){0, 2 << 20}, 2);
    make_sparse("s/tail", 1 << 20, (off_t[]){4096 * 3}, 1);
    make_sparse("s/all", 5 << 20, NULL, 0);
    make_sparse("s/huge", (off_t)64 << 30, (off_t[]){(off_t)63 << 30}, 1);
    take_well(&f);
    assert_true(f.result.bytes_read < 1 << 20);
    assert_int_equal(unlink("s/huge"), 0);
    take_well(&f);
    assert_int_equal(compare_snapshot(f.cat, root_of(&f), "s"), 4);
    close_fixture(&f);
}

static void take__a_wide_folder_and_a_deep_one(void **state)
{
    enum { WIDE = 20000, DEEP = 60 };
    char name[256];
    struct fixture f;
    int at, next;

    (void)state;
    mkdir("s", 0755);
    mkdir("s/wide", 0755);
    at = open("s/wide", O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < WIDE; i++) {
        snprintf(name, sizeof name, "%08x-picture_0.jpeg", (unsigned)i * 2654435761u);
        assert_int_equal(mknodat(at, name, S_IFREG | 0644, 0), 0);
    }
    close(at);
    at = open("s", O_RDONLY | O_DIRECTORY);
    memset(name, 'd', 200);
    name[200] = '\0';
    for (int i = 0; i < DEEP; i++) { /* 12,000 bytes of path */
        int file;

        assert_int_equal(mkdirat(at, name, 0755), 0);
        next = openat(at, name, O_RDONLY | O_DIRECTORY);
        close(at);
        at = next;
        file = openat(at, "file", O_CREAT | O_WRONLY, 0600);
        assert_int_equal(write(file, &i, sizeof i), sizeof i);
        close(file);
    }
    close(at);
    open_fixture(&f);
    take_well(&f);
    assert_int_equal(compare_snapshot(f.cat, root_of(&f), "s"), 2 + WIDE + 2 * DEEP);
    assert_int_equal(f.result.files, WIDE + DEEP);
    take_well(&f);
    assert_int_equal(compare_snapshot(f.cat, root_of(&f), "s"), 2 + WIDE + 2 * DEEP);
    close_fixture(&f);
}

/* ---- hard links ---- */

struct seen_links {
    unsigned groups, paths;
    char text[256];
};

static enum error_kind see_link(void *arg, bool first, unsigned root, const char *path, struct error *err)
{
    struct seen_links *seen = arg;

    (void)root;
    (void)err;
    seen->groups += first;
    seen->paths++;
    snprintf(seen->text + strlen(seen->text), sizeof seen->text - strlen(seen->text), "%s%s", first ? "|" : " ", path);
    return OK;
}

/* Groups come in the order of their inodes, which is the filesystem's affair. */
static void expect_links(struct fixture *f, const char *text, const char *or_text)
{
    struct seen_links seen = {0};

    assert_int_equal(links_each(f->cat, &f->result.record, see_link, &seen, &f->err), OK);
    if (!or_text || strcmp(seen.text, or_text))
        assert_string_equal(seen.text, text);
}

static void take__hard_links_are_groups_and_read_once(void **state)
{
    struct fixture f;

    (void)state;
    mkdir("s", 0755);
    mkdir("s/d", 0755);
    make_file("s/d/b", "shared", 6);
    assert_int_equal(link("s/d/b", "s/a"), 0);
    assert_int_equal(link("s/d/b", "s/z"), 0);
    make_file("s/alone", "outside", 7);
    assert_int_equal(link("s/alone", "elsewhere"), 0); /* its other name is not in the shop */
    make_random("s/big", 3 << 20, 4);
    assert_int_equal(link("s/big", "s/big2"), 0);
    open_fixture(&f);
    take_well(&f);
    assert_int_equal(f.result.files, 6);
    assert_int_equal(f.result.files_read, 3);
    assert_int_equal(compare_snapshot(f.cat, root_of(&f), "s"), 8);
    assert_int_equal(f.result.record.link_count, 1);
    expect_links(&f, "|a d/b z|big big2", "|big big2|a d/b z");

    let_it_settle();
    take_well(&f); /* remembers */
    take_well(&f); /* knows */
    assert_int_equal(f.result.files_read, 0);
    expect_links(&f, "|a d/b z|big big2", "|big big2|a d/b z");
    close_fixture(&f);
}

static void take__a_new_link_to_a_known_file_joins_its_group(void **state)
{
    struct fixture f;

    (void)state;
    mkdir("s", 0755);
    make_file("s/a", "content", 7);
    open_fixture(&f);
    let_it_settle();
    take_well(&f);
    expect_links(&f, "", NULL);
    assert_int_equal(link("s/a", "s/b"), 0);
    take_well(&f);
    expect_links(&f, "|a b", NULL);
    assert_int_equal(compare_snapshot(f.cat, root_of(&f), "s"), 3);
    close_fixture(&f);
}

static void take__a_file_of_many_names_is_one_group(void **state)
{
    enum { NAMES = 9000 };
    struct seen_links seen = {0};
    struct fixture f;
    char path[64];

    (void)state;
    mkdir("s", 0755);
    make_file("s/00000", "one", 3);
    for (int i = 1; i < NAMES; i++) {
        snprintf(path, sizeof path, "s/%05d", i);
        assert_int_equal(link("s/00000", path), 0);
    }
    open_fixture(&f);
    take_well(&f);
    assert_int_equal(f.result.files, NAMES);
    assert_int_equal(f.result.files_read, 1);
    assert_int_equal(links_each(f.cat, &f.result.record, see_link, &seen, &f.err), OK);
    assert_int_equal(seen.groups, 1);
    assert_int_equal(seen.paths, NAMES);
    close_fixture(&f);
}

/* ---- what is unchanged ---- */

static unsigned opened_since(int inotify)
{
    char events[64 << 10] __attribute__((aligned(8)));
    unsigned count = 0;
    ssize_t got;

    while ((got = read(inotify, events, sizeof events)) > 0)
        for (ssize_t at = 0; at < got;) {
            const struct inotify_event *event = (const void *)(events + at);

            count += !(event->mask & IN_ISDIR);
            at += (ssize_t)(sizeof *event + event->len);
        }
    return count;
}

static void take__unchanged_files_are_not_opened(void **state)
{
    struct fixture f;
    int inotify = inotify_init1(IN_NONBLOCK);

    (void)state;
    mkdir("s", 0755);
    mkdir("s/d", 0755);
    for (int i = 0; i < 100; i++) {
        char path[32];

        snprintf(path, sizeof path, "s/d/%d", i);
        make_file(path, path, strlen(path));
    }
    make_random("s/d/big", 2 << 20, 5);
    open_fixture(&f);
    let_it_settle();
    assert_true(inotify_add_watch(inotify, "s/d", IN_OPEN) >= 0);
    take_well(&f);
    assert_true(opened_since(inotify) >= 101);
    assert_int_equal(f.result.files_read, 101);

    take_well(&f);
    assert_int_equal(opened_since(inotify), 0);
    assert_int_equal(f.result.files_read, 0);
    assert_int_equal(f.result.files, 101);
    assert_int_equal(f.result.record.bytes_new, 0);
    assert_int_equal(compare_snapshot(f.cat, root_of(&f), "s"), 103);
    opened_since(inotify);

    make_file("s/d/7", "changed", 7);
    opened_since(inotify);
    take_well(&f);
    assert_int_equal(opened_since(inotify), 1);
    assert_int_equal(f.result.files_read, 1);
    assert_int_equal(compare_snapshot(f.cat, root_of(&f), "s"), 103);
    close(inotify);
    close_fixture(&f);
}

static void take__the_same_tree_has_the_same_id(void **state)
{
    struct fixture f;
    struct chunk_id first;

    (void)state;
    mkdir("s", 0755);
    mkdir("s/d", 0755);
    make_file("s/d/f", "content", 7);
    open_fixture(&f);
    take_well(&f);
    first = *root_of(&f);
    f.options.no_stat_cache = true;
    take_well(&f);
    assert_true(chunk_id_equal(&first, root_of(&f)));
    assert_int_equal(f.result.files_read, 1);
    assert_int_equal(chmod("s/d/f", 0600), 0);
    take_well(&f);
    assert_false(chunk_id_equal(&first, root_of(&f)));
    close_fixture(&f);
}

static void take__changes_of_every_kind_are_seen_through_the_cache(void **state)
{
    struct timespec times[2];
    struct stat st;
    struct fixture f;

    (void)state;
    mkdir("s", 0755);
    mkdir("s/kept", 0755);
    make_file("s/kept/content", "before", 6);
    make_file("s/kept/attributes", "same", 4);
    make_file("s/kept/removed", "x", 1);
    make_file("s/kept/same-size-and-mtime", "before", 6);
    make_file("s/kept/becomes-a-folder", "x", 1);
    assert_int_equal(symlink("before", "s/kept/link"), 0);
    open_fixture(&f);
    let_it_settle();
    take_well(&f);
    take_well(&f);
    assert_int_equal(f.result.files_read, 0);

    make_file("s/kept/content", "after.", 6);
    assert_int_equal(stat("s/kept/same-size-and-mtime", &st), 0);
    times[0] = st.st_atim;
    times[1] = st.st_mtim;
    make_file("s/kept/same-size-and-mtime", "after.", 6);
    assert_int_equal(utimensat(AT_FDCWD, "s/kept/same-size-and-mtime", times, 0), 0);
    assert_int_equal(chmod("s/kept/attributes", 0600), 0);
    assert_int_equal(unlink("s/kept/removed"), 0);
    assert_int_equal(unlink("s/kept/becomes-a-folder"), 0);
    assert_int_equal(mkdir("s/kept/becomes-a-folder", 0700), 0);
    assert_int_equal(unlink("s/kept/link"), 0);
    assert_int_equal(symlink("after", "s/kept/link"), 0);
    make_file("s/kept/added", "new", 3);
    take_well(&f);
    assert_int_equal(compare_snapshot(f.cat, root_of(&f), "s"), 8);
    assert_int_equal(f.result.files_read, 4);
    close_fixture(&f);
}

/* ---- what does not hold still ---- */

static atomic_bool touching;

static void *keep_touching(void *path)
{
    while (touching) {
        utimensat(AT_FDCWD, path, NULL, 0);
        usleep(200);
    }
    return NULL;
}

static void take__a_file_that_never_holds_still_is_kept_told_and_read_again(void **state)
{
    struct fixture f;
    pthread_t thread;

    (void)state;
    mkdir("s", 0755);
    make_random("s/restless", 12 << 20, 6);
    make_file("s/still", "x", 1);
    open_fixture(&f);
    let_it_settle();
    touching = true;
    assert_int_equal(pthread_create(&thread, NULL, keep_touching, (void *)(uintptr_t) "s/restless"), 0);
    take_well(&f);
    touching = false;
    pthread_join(thread, NULL);
    assert_int_equal(f.result.changed_while_read, 1);
    assert_true(f.warnings > 0);
    assert_int_equal(f.result.record.unread.count, 0);
    assert_true(f.result.files == 2);
    take_well(&f); /* not remembered: read again */
    assert_int_equal(f.result.files_read, 1);
    assert_int_equal(compare_snapshot(f.cat, root_of(&f), "s"), 3);
    close_fixture(&f);
}

/* Called for each file between its being seen and its being read. */
static enum error_kind change_files(void *arg, const char *path, const struct stat *st, const void **encoded,
                                    size_t *len, struct error *err)
{
    (void)arg;
    (void)st;
    (void)len;
    (void)err;
    *encoded = NULL;
    if (!strcmp(path, "vanishes"))
        unlink("s/vanishes");
    if (!strcmp(path, "grows"))
        make_random("s/grows", 2 << 20, 7);
    if (!strcmp(path, "shrinks"))
        assert_int_equal(truncate("s/shrinks", 10), 0);
    if (!strcmp(path, "becomes-a-symlink")) {
        unlink("s/becomes-a-symlink");
        assert_int_equal(symlink("../outside", "s/becomes-a-symlink"), 0);
    }
    if (!strcmp(path, "becomes-a-fifo")) {
        unlink("s/becomes-a-fifo");
        assert_int_equal(mkfifo("s/becomes-a-fifo", 0600), 0);
    }
    if (!strcmp(path, "replaced")) {
        make_file("s/other", "another file", 12);
        assert_int_equal(rename("s/other", "s/replaced"), 0);
    }
    return OK;
}

static void take__what_changes_between_seeing_and_reading_is_never_mixed(void **state)
{
    static const char *const names[] = {"vanishes",       "grows",    "shrinks", "becomes-a-symlink",
                                        "becomes-a-fifo", "replaced", "stays"};
    struct fixture f;

    (void)state;
    mkdir("s", 0755);
    make_file("outside", "secret", 6);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[64];

        snprintf(path, sizeof path, "s/%s", names[i]);
        make_random(path, 1000, i);
    }
    open_fixture(&f);
    f.options.entry = change_files;
    take_well(&f);
    assert_int_equal(stored_bytes(f.cat, root_of(&f), "vanishes"), -1);
    assert_int_equal(stored_bytes(f.cat, root_of(&f), "becomes-a-symlink"), -1);
    assert_int_equal(stored_bytes(f.cat, root_of(&f), "becomes-a-fifo"), -1);
    assert_int_equal(stored_bytes(f.cat, root_of(&f), "grows"), 2 << 20);
    assert_int_equal(stored_bytes(f.cat, root_of(&f), "shrinks"), 10);
    assert_int_equal(stored_bytes(f.cat, root_of(&f), "replaced"), 12);
    assert_int_equal(stored_bytes(f.cat, root_of(&f), "stays"), 1000);
    assert_int_equal(f.result.record.notes.count, 3);
    assert_int_equal(f.result.record.unread.count, 0);
    assert_int_equal(f.result.files, 4);

    f.options.entry = NULL; /* and what is remembered is what was read */
    take_well(&f);
    assert_int_equal(compare_snapshot(f.cat, root_of(&f), "s"), 7);
    close_fixture(&f);
}

static enum error_kind grow_second(void *arg, const char *path, const struct stat *st, const void **encoded,
                                   size_t *len, struct error *err)
{
    (void)arg;
    (void)st;
    (void)len;
    (void)err;
    *encoded = NULL;
    if (!strcmp(path, "second"))
        make_random("s/second", 1800000, 77);
    return OK;
}

static void take__a_file_is_cut_alike_however_it_is_read(void **state)
{
    struct fixture f;

    (void)state;
    mkdir("s", 0755);
    make_random("s/first", 1800000, 77);
    make_file("s/second", "small when it was seen", 22);
    open_fixture(&f);
    f.options.entry = grow_second; /* so it is streamed */
    take_well(&f);
    assert_int_equal(compare_snapshot(f.cat, root_of(&f), "s"), 3);
    assert_true(f.result.record.bytes_new < 1800000 + 10000); /* one copy, and the trees */
    close_fixture(&f);
}

/* ---- what can't be read, or is not wanted ---- */

/* 0, or which of the checks failed: runs in a child of its own where we are root. */
static int take_unreadable(void)
{
    struct fixture f;
    int failed = 0;

    open_fixture(&f);
    if (take(&f) != OK)
        failed = 1;
    else if (f.result.record.unread.count != 2 || f.warnings != 2)
        failed = 2;
    else if (!strstr(f.result.record.unread.items[0], "closed-folder: "))
        failed = 3;
    else if (!strstr(f.result.record.unread.items[1], "closed-file: "))
        failed = 4;
    else if (stored_bytes(f.cat, root_of(&f), "open") != 4)
        failed = 5;
    else if (stored_bytes(f.cat, root_of(&f), "closed-file") != -1)
        failed = 6;
    else if (stored_bytes(f.cat, root_of(&f), "closed-folder") != 0) /* the folder itself is known */
        failed = 7;
    else if (take(&f) != OK || f.result.record.unread.count != 2) /* told each time */
        failed = 8;
    close_fixture(&f);
    return failed;
}

static void take__what_cannot_be_read_is_named(void **state)
{
    int status = 1;
    pid_t pid;

    mkdir("s", 0755);
    make_file("s/open", "open", 4);
    make_file("s/closed-file", "x", 1);
    mkdir("s/closed-folder", 0);
    chmod("s/closed-file", 0);
    if (getuid() != 0) {
        assert_int_equal(take_unreadable(), 0);
        return;
    }
    assert_int_equal(chown(*state, 65534, 65534), 0);
    pid = fork();
    if (pid == 0) { /* root reads everything: be someone else */
        if (setgid(65534) || setuid(65534) || prctl(PR_SET_DUMPABLE, 1))
            _exit(100);
        _exit(take_unreadable());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void take__what_the_owner_excludes_is_left_out_and_said(void **state)
{
    struct fixture f;

    (void)state;
    mkdir("s", 0755);
    mkdir("s/logs", 0755);
    mkdir("s/logs/old", 0755);
    mkdir("s/src", 0755);
    make_file("s/logs/a", "12345", 5);
    make_file("s/logs/old/b", "12345", 5);
    make_file("s/src/keep", "x", 1);
    make_file("s/src/a.bak", "123", 3);
    make_file("s/src/b.bak", "1234", 4);
    open_fixture(&f);
    assert_int_equal(site_exclude(&f.site, "/logs", &f.err), OK);
    assert_int_equal(site_exclude(&f.site, "*.bak", &f.err), OK);
    take_well(&f);
    assert_int_equal(stored_bytes(f.cat, root_of(&f), "logs/a"), -1);
    assert_int_equal(stored_bytes(f.cat, root_of(&f), "src/a.bak"), -1);
    assert_int_equal(stored_bytes(f.cat, root_of(&f), "src/keep"), 1);
    assert_int_equal(f.result.record.left_out_count, 2);
    assert_string_equal(f.result.record.left_out[0].path, "logs");
    assert_int_equal(f.result.record.left_out[0].files, 2);
    assert_int_equal(f.result.record.left_out[0].bytes, 10);
    assert_string_equal(f.result.record.left_out[1].path, "src");
    assert_int_equal(f.result.record.left_out[1].files, 2);
    assert_int_equal(f.result.record.left_out[1].bytes, 7);
    close_fixture(&f);

    open_fixture(&f); /* wanted again: it is there, whatever was remembered meanwhile */
    take_well(&f);
    assert_int_equal(compare_snapshot(f.cat, root_of(&f), "s"), 9);
    close_fixture(&f);
}

static void take__a_catalogue_inside_the_folder_is_not_in_its_snapshot(void **state)
{
    struct fixture f;

    (void)state;
    mkdir("s", 0755);
    make_file("s/f", "x", 1);
    assert_int_equal(symlink("s/cat", "cat"), 0);
    assert_int_equal(mkdir("s/cat", 0700), 0);
    memset(&f, 0, sizeof f);
    assert_int_equal(catalog_init("s/cat", &f.err), OK);
    open_fixture(&f);
    take_well(&f);
    assert_int_equal(stored_bytes(f.cat, root_of(&f), "cat/format.json"), -1);
    assert_int_equal(stored_bytes(f.cat, root_of(&f), "f"), 1);
    assert_int_equal(f.result.record.left_out_count, 1);
    assert_string_equal(f.result.record.left_out[0].path, "cat");
    close_fixture(&f);
}

/* ---- other trees than the site's own ---- */

static enum error_kind remember_one(void *arg, const char *path, const struct stat *st, const void **encoded,
                                    size_t *len, struct error *err)
{
    const struct buffer *known = arg;

    (void)st;
    (void)err;
    *encoded = strcmp(path, "linked") ? NULL : known->data;
    *len = known->len;
    return OK;
}

static void take__a_kept_tree_is_taken_by_what_its_linked_files_were(void **state)
{
    struct buffer known = BUFFER_INIT(1 << 20);
    struct fixture f;

    (void)state;
    mkdir("s", 0755);
    make_file("s/linked", "as it was", 9);
    make_file("s/own", "own", 3);
    open_fixture(&f);
    let_it_settle();
    take_well(&f);
    assert_int_equal(tree_lookup(f.cat, root_of(&f), "linked", &known, &f.err), OK);

    mkdir("kept", 0755);
    make_file("kept/linked", "rewritten through the other name", 32);
    make_file("kept/own", "kept", 4);
    f.options.read_root = "kept";
    f.options.entry = remember_one;
    f.options.entry_arg = &known;
    take_well(&f);
    assert_int_equal(stored_bytes(f.cat, root_of(&f), "linked"), 9);
    assert_int_equal(stored_bytes(f.cat, root_of(&f), "own"), 4);
    assert_string_equal(f.result.record.roots[0].path, f.site.path);

    f.options.read_root = NULL; /* the site's own stat cache is as it was */
    f.options.entry = NULL;
    take_well(&f);
    assert_int_equal(f.result.files_read, 0);
    buffer_release(&known);
    close_fixture(&f);
}

/* ---- ends ---- */

static enum error_kind no_row(void *arg, const struct snapshot_row *row, struct error *err)
{
    (void)row;
    (void)err;
    ++*(unsigned *)arg;
    return OK;
}

static void interrupt(void *arg, uint64_t done, uint64_t total, const char *unit)
{
    (void)arg;
    (void)total;
    (void)unit;
    if (done > 1 << 20)
        raise(SIGTERM);
}

static void take__a_signal_ends_it_and_nothing_is_visible(void **state)
{
    struct fixture f;
    unsigned rows = 0;

    (void)state;
    mkdir("s", 0755);
    make_random("s/a", 3 << 20, 8);
    make_random("s/b", 3 << 20, 9);
    open_fixture(&f);
    assert_int_equal(cancel_install(&f.err), OK);
    f.progress.advance = interrupt;
    assert_int_equal(take(&f), ERR_CANCELLED);
    cancel_reset();
    assert_int_equal(snapshot_row_each(f.cat, NULL, no_row, &rows, &f.err), OK);
    assert_int_equal(rows, 0);
    f.progress.advance = NULL;
    take_well(&f);
    assert_int_equal(compare_snapshot(f.cat, root_of(&f), "s"), 3);
    close_fixture(&f);
}

static void take__without_a_folder_or_a_database_it_is_refused(void **state)
{
    struct fixture f;

    (void)state;
    open_fixture(&f);
    f.options.part = SNAPSHOT_DATABASE_ONLY;
    assert_int_equal(take(&f), ERR_USAGE);
    f.options.part = SNAPSHOT_FILES_ONLY;
    site_release(&f.site);
    f.site = (struct site)SITE_INIT;
    assert_int_equal(site_inspect("absent", NULL, &f.site, &f.err), OK);
    assert_int_equal(take(&f), ERR_NOT_FOUND);
    close_fixture(&f);
}

static void take__the_record_says_what_it_is(void **state)
{
    static const char *const tags[] = {"before", "monday", NULL};
    struct snapshot_record found = SNAPSHOT_RECORD_INIT;
    struct fixture f;

    (void)state;
    mkdir("s", 0755);
    make_file("s/f", "12345", 5);
    open_fixture(&f);
    f.options.tags = tags;
    f.options.kind = SNAPSHOT_SCHEDULED;
    take_well(&f);
    assert_int_equal(snapshot_find(f.cat, f.result.record.site_id, "latest", &found, &f.err), OK);
    assert_string_equal(found.id, f.result.record.id);
    assert_string_equal(found.site_path, f.site.path);
    assert_string_equal(found.roots[0].name, "site");
    assert_int_equal(found.roots[0].files, 1);
    assert_int_equal(found.roots[0].bytes, 5);
    assert_int_equal(found.part, SNAPSHOT_FILES_ONLY);
    assert_int_equal(found.kind, SNAPSHOT_SCHEDULED);
    assert_int_equal(found.tags.count, 2);
    assert_string_equal(found.nop_layout, "plain");
    assert_false(found.has_dump);
    assert_true(found.from_ns <= found.to_ns);
    snapshot_record_release(&found);
    close_fixture(&f);
}

static void take__damage_met_and_repaired_is_told(void **state)
{
    struct fixture f;

    (void)state;
    open_fixture(&f);
    make_random("s/file", 100000, 1);
    take_well(&f);
    assert_int_equal(f.warnings, 0);
    close_fixture(&f);
    assert_int_equal(system("f=$(find cat/packs -name '*.pack' -size +90k) && "
                            "printf '\\0\\0\\0\\0\\0\\0\\0\\0' | dd of=\"$f\" bs=1 seek=5000 conv=notrunc status=none"),
                     0);
    open_fixture(&f);
    f.options.no_stat_cache = true;
    take_well(&f);
    assert_int_equal(f.warnings, 1);
    take_well(&f);
    assert_int_equal(f.warnings, 0);
    close_fixture(&f);
}

/* ---- an entry with more attributes than one may have ---- */

static bool huge_attributes;

static bool is_huge(const char *path)
{
    return huge_attributes && strstr(path, "huge") != NULL;
}

static bool is_huge_file(int fd)
{
    char link[64], path[512];
    ssize_t got;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    got = readlink(link, path, sizeof path - 1);
    path[got > 0 ? got : 0] = '\0';
    return is_huge(path);
}

/* 90 of 60 KiB each: few filesystems hold so much. */
static ssize_t huge_list(char *list, size_t size)
{
    enum { NAME = 8, COUNT = 90 };

    if (size < (size_t)NAME * COUNT)
        return errno = ERANGE, -1;
    for (int i = 0; i < COUNT; i++)
        snprintf(list + (size_t)NAME * (size_t)i, NAME, "user.%02d", i);
    return NAME * COUNT;
}

static ssize_t huge_value(void *value, size_t size)
{
    if (size < 60000)
        return errno = ERANGE, -1;
    memset(value, 'v', 60000);
    return 60000;
}

/* These stand before the C library's. */
ssize_t llistxattr(const char *path, char *list, size_t size)
{
    return is_huge(path) ? huge_list(list, size) : syscall(SYS_llistxattr, path, list, size);
}

ssize_t flistxattr(int fd, char *list, size_t size)
{
    return is_huge_file(fd) ? huge_list(list, size) : syscall(SYS_flistxattr, fd, list, size);
}

ssize_t lgetxattr(const char *path, const char *name, void *value, size_t size)
{
    return is_huge(path) ? huge_value(value, size) : syscall(SYS_lgetxattr, path, name, value, size);
}

ssize_t fgetxattr(int fd, const char *name, void *value, size_t size)
{
    return is_huge_file(fd) ? huge_value(value, size) : syscall(SYS_fgetxattr, fd, name, value, size);
}

static void take__entry_with_too_many_attributes_is_named_and_the_rest_taken(void **state)
{
    struct fixture f;

    (void)state;
    open_fixture(&f);
    make_file("s/open", "open", 4);
    make_file("s/huge-small", "x", 1);
    make_random("s/huge-large", 40000000, 1);
    assert_int_equal(mkfifo("s/huge-fifo", 0600), 0);
    assert_int_equal(mkdir("s/huge-folder", 0755), 0);
    huge_attributes = true;
    take_well(&f);
    huge_attributes = false;
    assert_int_equal(f.result.record.unread.count, 4);
    assert_int_equal(f.warnings, 4);
    assert_int_equal(stored_bytes(f.cat, root_of(&f), "open"), 4);
    assert_int_equal(stored_bytes(f.cat, root_of(&f), "huge-large"), -1);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(take__entry_with_too_many_attributes_is_named_and_the_rest_taken),
        folder_test(take__damage_met_and_repaired_is_told),
        folder_test(take__everything_a_tree_can_hold_is_in_the_snapshot),
        folder_test(take__large_files_are_cut_and_whole),
        folder_test(take__holes_are_recorded_and_not_read),
        folder_test(take__a_wide_folder_and_a_deep_one),
        folder_test(take__hard_links_are_groups_and_read_once),
        folder_test(take__a_new_link_to_a_known_file_joins_its_group),
        folder_test(take__a_file_of_many_names_is_one_group),
        folder_test(take__unchanged_files_are_not_opened),
        folder_test(take__the_same_tree_has_the_same_id),
        folder_test(take__changes_of_every_kind_are_seen_through_the_cache),
        folder_test(take__a_file_that_never_holds_still_is_kept_told_and_read_again),
        folder_test(take__what_changes_between_seeing_and_reading_is_never_mixed),
        folder_test(take__a_file_is_cut_alike_however_it_is_read),
        folder_test(take__what_cannot_be_read_is_named),
        folder_test(take__what_the_owner_excludes_is_left_out_and_said),
        folder_test(take__a_catalogue_inside_the_folder_is_not_in_its_snapshot),
        folder_test(take__a_kept_tree_is_taken_by_what_its_linked_files_were),
        folder_test(take__a_signal_ends_it_and_nothing_is_visible),
        folder_test(take__without_a_folder_or_a_database_it_is_refused),
        folder_test(take__the_record_says_what_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
