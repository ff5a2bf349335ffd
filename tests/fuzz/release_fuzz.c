/*
 * The bytes of an archive: opened, looked at and unpacked into a folder, with small limits. Besides memory faults, what is watched for is P11:
 * nothing is written beside the target, and what is written is what the list says.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "fuzz.h"
#include "release.h"

#define ENTRIES_MAX 64
#define BYTES_MAX (1u << 20)

/* A place of this process' own, made once: the archive, work/ and, while something is unpacked, tree/. */
static const char *root(void)
{
    static char path[64];
    char folder[128];

    if (path[0])
        return path;
    snprintf(path, sizeof(path), "/tmp/nsfuzz%ld", (long)getpid());
    snprintf(folder, sizeof(folder), "%s/work", path);
    if (mkdir(path, 0700) || mkdir(folder, 0700))
        abort();
    return path;
}

static void remove_root(void)
{
    struct error ignored = ERROR_INIT;

    (void)directory_remove_tree(AT_FDCWD, root(), &ignored);
}

/* How many names a folder has. */
static size_t names_in(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    size_t count = 0;

    if (!dir)
        abort();
    while ((entry = readdir(dir)))
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    return count;
}

static void check_list(const struct release *r)
{
    const struct release_list *list = release_list(r);

    if (list->count > ENTRIES_MAX)
        abort();
    for (size_t i = 0; i < list->count; i++) {
        if (!path_is_safe_relative(list->items[i].path) ||
            (i > 0 && release_path_compare(list->items[i - 1].path, list->items[i].path) >= 0))
            abort();
    }
}

static void check_tree(const struct release *r, int target)
{
    const struct release_list *list = release_list(r);

    for (size_t i = 0; i < list->count; i++) {
        const struct release_entry *e = &list->items[i];
        struct stat st;

        if (fstatat(target, e->path, &st, AT_SYMLINK_NOFOLLOW) || (S_ISDIR(st.st_mode) != 0) != e->folder ||
            (!e->folder && (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != e->size || st.st_mode & 07022)))
            abort();
    }
}

static void unpack(struct release *r)
{
    struct error err = ERROR_INIT;
    char tree[128];
    int fd;

    snprintf(tree, sizeof(tree), "%s/tree", root());
    if (mkdir(tree, 0700))
        abort();
    fd = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        abort();
    if (!release_unpack(r, fd, RELEASE_SYNC_NONE, NULL, &err)) {
        check_tree(r, fd);
        if (release_verify(r, fd, NULL, &err))
            abort();
    }
    close(fd);
    if (names_in(root()) != 3 || directory_remove_tree(AT_FDCWD, tree, &err))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static int ready;
    char archive[128];
    char work[128];
    struct release_options options = {
        .work = work,
        .limits = {.max_entries = ENTRIES_MAX, .max_bytes = BYTES_MAX, .max_archive = BYTES_MAX, .reserve = 1}};
    struct error err = ERROR_INIT;
    struct release *r = NULL;
    int fd;

    if (!ready) {
        (void)root();
        ready = atexit(remove_root) == 0;
    }
    snprintf(archive, sizeof(archive), "%s/archive", root());
    snprintf(work, sizeof(work), "%s/work", root());
    fd = open(archive, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len || close(fd))
        abort();
    if (!release_open(archive, &options, NULL, &r, &err)) {
        check_list(r);
        unpack(r);
    } else if (err.text[0] == '\0' || strchr(err.text, '\n')) {
        abort();
    }
    release_free(r);
    if (names_in(work) != 0)
        abort();
    return 0;
}
