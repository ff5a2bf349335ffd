#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog_internal.h"

enum error_kind folder_each(int dirfd, const char *path, folder_fn *fn, void *arg, struct error *err)
{
    enum error_kind rc;
    DIR *stream = NULL;
    struct dirent *entry;
    int fd = -1;

    rc = file_open(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &fd, err);
    if (rc)
        return rc;
    stream = fdopendir(fd);
    if (!stream) {
        rc = error_set(err, ERR_IO, errno, "%s", path);
        file_close(&fd);
        return rc;
    }
    for (;;) {
        errno = 0;
        entry = readdir(stream);
        if (!entry) {
            if (errno != 0)
                rc = error_set(err, ERR_IO, errno, "listing %s", path);
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        rc = fn(arg, entry->d_name, err);
        if (rc)
            break;
    }
    closedir(stream);
    return rc;
}

struct pack_walk {
    int dirfd;
    const char *folder; /* "3f" */
    pack_file_fn *fn;
    void *arg;
};

static enum error_kind walk_file(void *arg, const char *name, struct error *err)
{
    struct pack_walk *w = arg;
    unsigned char pack[PACK_NAME_LEN];
    char path[PACK_PATH_MAX];
    struct stat st;
    bool part;

    if (!pack_name_parse(name, &part, pack) || strncmp(name, w->folder, 2) != 0)
        return OK; /* not ours (P8) */
    pack_path(pack, part, path);
    if (fstatat(w->dirfd, path, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        /* A draft that was renamed or given up since. */
        return errno == ENOENT ? OK : error_set(err, ERR_IO, errno, "%s", path);
    }
    return w->fn(w->arg, pack, part, (uint64_t)st.st_size, err);
}

static enum error_kind walk_folder(void *arg, const char *name, struct error *err)
{
    struct pack_walk *w = arg;
    char path[sizeof(PACKS_NAME) + 3] = PACKS_NAME "/";
    struct error first = ERROR_INIT;
    unsigned char byte;
    enum error_kind rc;

    if (strlen(name) != 2 || hex_decode(name, 1, &byte) != 0)
        return OK;
    strcat(path, name);
    w->folder = name;
    rc = folder_each(w->dirfd, path, walk_file, w, &first);
    if (rc && first.sys == ENOTDIR)
        return OK; /* not ours */
    if (rc)
        *err = first;
    return rc;
}

enum error_kind pack_file_each(int dirfd, pack_file_fn *fn, void *arg, struct error *err)
{
    struct pack_walk w = {dirfd, NULL, fn, arg};

    return folder_each(dirfd, PACKS_NAME, walk_folder, &w, err);
}

static enum error_kind index_is_wrong(const unsigned char name[PACK_NAME_LEN], const char *how, struct error *err)
{
    char path[PACK_PATH_MAX];
    enum error_kind rc;

    pack_path(name, false, path);
    rc = error_set(err, ERR_CORRUPT, 0, "index and packs disagree: %s %s", path, how);
    error_hint(err, "the index is damaged or an older copy of it was put back; make it again: nopsnap rebuild");
    return rc;
}

static bool is_there(const struct catalog *cat, const unsigned char name[PACK_NAME_LEN])
{
    char path[PACK_PATH_MAX];

    pack_path(name, false, path);
    return faccessat(cat->dirfd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

/*
 * A pack's name is committed to the index before its rename (C1), and the folder is listed before the index is read. What was taken back
 * between the two, a record whose writer failed, is there no more: the file goes before its row does.
 */
static enum error_kind file_is_known(void *arg, const unsigned char name[PACK_NAME_LEN], bool part, uint64_t size,
                                     struct error *err)
{
    struct catalog *cat = arg;
    struct pack_row row;
    enum error_kind rc;
    bool found = false;

    (void)size;
    if (part)
        return OK;
    rc = index_pack_find_name(cat->index, name, &row, &found, err);
    if (rc)
        return rc;
    if (!found && is_there(cat, name))
        return index_is_wrong(name, "is not in the index", err);
    return OK; /* its length is not looked at: a pack cut short is damage to that pack, and read errors say so */
}

static enum error_kind row_has_file(void *arg, const struct pack_row *row, struct error *err)
{
    struct catalog *cat = arg;
    char path[PACK_PATH_MAX];

    if (row->state != PACK_IN_PLACE)
        return OK;
    pack_path(row->name, false, path);
    if (faccessat(cat->dirfd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return OK;
    if (errno != ENOENT && errno != ENOTDIR)
        return error_set(err, ERR_IO, errno, "%s", path);
    return index_is_wrong(row->name, "is missing", err);
}

enum error_kind catalog_check_packs(struct catalog *cat, struct error *err)
{
    enum error_kind rc;

    rc = pack_file_each(cat->dirfd, file_is_known, cat, err);
    if (!rc)
        rc = index_pack_each(cat->index, row_has_file, cat, err);
    return rc;
}

/*
 * Announced, renamed, and then the writer died: the pack is whole (K1), so what it holds may be used. The folder is
 * synced again, since the writer may have died before doing so.
 */
static enum error_kind finish_one(struct catalog *cat, struct pack_row *row, struct error *err)
{
    struct error why = ERROR_INIT;
    char path[PACK_PATH_MAX], folder[PACK_PATH_MAX];
    struct pack *pack = NULL;
    enum error_kind rc;

    pack_path(row->name, false, path);
    memcpy(folder, path, sizeof(folder));
    *strrchr(folder, '/') = '\0';
    rc = pack_open(cat->dirfd, row->name, &cat->format, &pack, &why);
    if (rc == ERR_CORRUPT)
        return OK; /* stays announced: nothing in it stands; verify and prune see to it */
    if (rc) {
        *err = why;
        return rc;
    }
    row->state = PACK_IN_PLACE;
    row->size = pack_size(pack);
    row->frames = pack_frame_count(pack);
    row->chunks = pack_chunk_count(pack);
    rc = directory_sync(cat->dirfd, folder, err);
    if (!rc)
        rc = directory_sync(cat->dirfd, PACKS_NAME, err);
    if (!rc)
        rc = index_begin(cat->index, err);
    if (!rc)
        rc = index_pack_update(cat->index, row, err);
    if (!rc)
        rc = index_commit(cat->index, err);
    index_rollback(cat->index);
    pack_close(pack);
    return rc;
}

struct announced {
    struct catalog *cat;
    struct pack_row *rows;
    size_t count, cap;
};

static enum error_kind collect_announced(void *arg, const struct pack_row *row, struct error *err)
{
    struct announced *a = arg;
    char path[PACK_PATH_MAX];
    struct pack_row *grown;

    pack_path(row->name, false, path);
    if (row->state != PACK_ANNOUNCED || faccessat(a->cat->dirfd, path, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        return OK;
    if (a->count == a->cap) {
        size_t cap = a->cap ? 2 * a->cap : 8;

        grown = realloc(a->rows, cap * sizeof(*grown));
        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory for %zu packs", cap);
        a->rows = grown;
        a->cap = cap;
    }
    a->rows[a->count++] = *row;
    return OK;
}

enum error_kind catalog_finish_announced(struct catalog *cat, struct error *err)
{
    struct announced a = {cat, NULL, 0, 0};
    enum error_kind rc;

    rc = index_pack_each(cat->index, collect_announced, &a, err);
    for (size_t i = 0; !rc && i < a.count; i++)
        rc = finish_one(cat, &a.rows[i], err);
    free(a.rows);
    return rc;
}
