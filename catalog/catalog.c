#include "catalog.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "catalog_internal.h"

#define GENERATION "generation"
#define INDEX_COPY_MAX (16ull << 30)
#define INIT_WAIT_MS 10000

/* Not in every linux/magic.h. */
#define CIFS_MAGIC 0xff534d42
#define SMB2_MAGIC 0xfe534d42
#define FUSE_MAGIC 0x65735546
#define CEPH_MAGIC 0x00c36400
#define LUSTRE_MAGIC 0x0bd00bd0
#define GFS2_MAGIC 0x01161970

bool chunk_id_equal(const struct chunk_id *a, const struct chunk_id *b)
{
    return a->attempt == b->attempt && memcmp(a->hash, b->hash, HASH_LEN) == 0;
}

void chunk_id_encode(const struct chunk_id *id, unsigned char out[CHUNK_ID_LEN])
{
    memcpy(out, id->hash, HASH_LEN);
    put_u32(out + HASH_LEN, id->attempt);
}

void chunk_id_decode(const unsigned char in[CHUNK_ID_LEN], struct chunk_id *out)
{
    memcpy(out->hash, in, HASH_LEN);
    out->attempt = get_u32(in + HASH_LEN);
}

/* Locks, renames and syncs mean less on a network filesystem than the promises need. */
static enum error_kind refuse_network(int dirfd, const char *path, struct error *err)
{
    static const unsigned long network[] = {NFS_SUPER_MAGIC, SMB_SUPER_MAGIC,  CIFS_MAGIC,     SMB2_MAGIC,
                                            FUSE_MAGIC,      CEPH_MAGIC,       LUSTRE_MAGIC,   GFS2_MAGIC,
                                            AFS_SUPER_MAGIC, CODA_SUPER_MAGIC, NCP_SUPER_MAGIC};
    enum error_kind rc;
    struct statfs fs;

    if (fstatfs(dirfd, &fs) != 0)
        return error_set(err, ERR_IO, errno, "%s", path);
    for (size_t i = 0; i < sizeof(network) / sizeof(*network); i++) {
        if ((unsigned long)fs.f_type != network[i])
            continue;
        rc = error_set(err, ERR_REFUSED, 0, "%s is on a network or FUSE filesystem", path);
        error_hint(err, "keep the catalogue on a local disk, and copy it elsewhere");
        return rc;
    }
    return OK;
}

/* init */

/* A name that catalog_init() itself makes, before format.json makes it a catalogue, or that comes with what it makes. */
static bool name_is_ours(const char *name)
{
    static const char *const ours[] = {PACKS_NAME,        CACHE_NAME,        LOCKS_NAME,   INDEX_NAME,
                                       INDEX_NAME "-wal", INDEX_NAME "-shm", RESERVE_NAME, "lost+found"};

    for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++) {
        if (strcmp(name, ours[i]) == 0)
            return true;
    }
    return strncmp(name, DRAFT_PREFIX, strlen(DRAFT_PREFIX)) == 0;
}

static enum error_kind refuse_stranger(void *arg, const char *name, struct error *err)
{
    enum error_kind rc;

    if (name_is_ours(name))
        return OK;
    rc = error_set(err, ERR_EXISTS, 0, "%s is not empty (it holds %s)", (const char *)arg, name);
    error_hint(err, "name a new or empty folder");
    return rc;
}

static enum error_kind refuse_any(void *arg, const char *name, struct error *err)
{
    (void)arg;
    return error_set(err, ERR_EXISTS, 0, "%s", name);
}

/* Is there anything below packs/? */
static bool packs_hold_anything(int dirfd)
{
    struct error why = ERROR_INIT;
    enum error_kind rc = folder_each(dirfd, PACKS_NAME, refuse_any, NULL, &why);

    return rc != OK && rc != ERR_NOT_FOUND;
}

/* New, empty, or what an init that was cut short left behind. */
static enum error_kind require_empty(const char *path, int dirfd, struct error *err)
{
    enum error_kind rc;

    if (faccessat(dirfd, FORMAT_NAME, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return error_set(err, ERR_EXISTS, 0, "%s is a catalogue already", path);
    if (packs_hold_anything(dirfd)) {
        rc = error_set(err, ERR_EXISTS, 0, "%s holds packs, though its " FORMAT_NAME " is missing", path);
        error_hint(err, "bring the catalogue back from its packs: nopsnap rebuild");
        return rc;
    }
    return folder_each(dirfd, ".", refuse_stranger, (void *)path, err);
}

static enum error_kind make_folders(int dirfd, struct error *err)
{
    static const char *const folders[] = {PACKS_NAME, CACHE_NAME, LOCKS_NAME};
    static const char *const stale[] = {INDEX_NAME "-wal", INDEX_NAME "-shm", INDEX_NAME};
    struct error why = ERROR_INIT;
    enum error_kind rc = OK;

    for (size_t i = 0; (!rc || rc == ERR_NOT_FOUND) && i < sizeof(stale) / sizeof(*stale); i++)
        rc = file_unlink(dirfd, stale[i], &why);
    if (rc == ERR_NOT_FOUND)
        rc = OK;
    for (size_t i = 0; !rc && i < sizeof(folders) / sizeof(*folders); i++) {
        rc = directory_make(dirfd, folders[i], 0700, &why);
        if (rc == ERR_EXISTS)
            rc = OK;
    }
    if (rc)
        *err = why;
    return rc;
}

enum error_kind catalog_make_index(const char *index_path, const struct catalog_format *format, int64_t generation,
                                   struct index **out, struct error *err)
{
    struct index *ix = NULL;
    enum error_kind rc;
    int old_mask = umask(077);

    rc = index_open(index_path, INDEX_CREATE, &ix, err);
    umask((mode_t)old_mask);
    if (rc)
        goto done;
    rc = index_begin(ix, err);
    if (!rc)
        rc = index_meta_set(ix, GENERATION, generation, err);
    if (!rc)
        rc = index_meta_set(ix, "catalogue", (int64_t)get_u64(format->catalogue), err);
    if (!rc)
        rc = index_commit(ix, err);
    if (rc)
        goto done;
    *out = ix;
    ix = NULL;

done:
    index_close(ix);
    return rc;
}

/*
 * One init at a time: each begins by removing what another that was cut short left, which one that is running would not survive.
 * Rebuild takes the same lock, so format.json has one writer.
 */
static enum error_kind lock_init(struct file_lock *lock, const char *path, int dirfd, struct error *err)
{
    struct error why = ERROR_INIT;
    char *file = NULL;
    enum error_kind rc = directory_make(dirfd, LOCKS_NAME, 0700, &why);

    if (rc && rc != ERR_EXISTS) {
        *err = why;
        return rc;
    }
    rc = memory_format(&file, err, "%s/" LOCKS_NAME "/catalog.lock", path);
    if (!rc)
        rc = file_lock_take(lock, file, LOCK_EXCLUSIVE, INIT_WAIT_MS, path, err);
    free(file);
    return rc;
}

/* format.json last: what has none is no catalogue yet. */
static enum error_kind make_catalogue(const char *path, int dirfd, struct error *err)
{
    struct catalog_format format;
    struct index *ix = NULL;
    char *index_path = NULL;
    enum error_kind rc = make_folders(dirfd, err);

    if (!rc)
        rc = path_join(path, INDEX_NAME, &index_path, err);
    if (!rc)
        rc = format_make(&format, err);
    if (!rc)
        rc = catalog_make_index(index_path, &format, 1, &ix, err);
    index_close(ix);
    free(index_path);
    if (!rc)
        rc = directory_sync(AT_FDCWD, path, err);
    return rc ? rc : format_write(path, &format, err);
}

enum error_kind catalog_init(const char *path, struct error *err)
{
    struct file_lock lock = FILE_LOCK_INIT;
    enum error_kind rc;
    int dirfd = -1;

    rc = directory_make_all(path, err);
    if (rc)
        goto done;
    rc = file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, &dirfd, err);
    if (rc)
        goto done;
    rc = refuse_network(dirfd, path, err);
    if (!rc) /* before anything is put there */
        rc = require_empty(path, dirfd, err);
    if (!rc)
        rc = lock_init(&lock, path, dirfd, err);
    if (!rc) /* and with nobody else at it */
        rc = require_empty(path, dirfd, err);
    if (!rc)
        rc = make_catalogue(path, dirfd, err);

done:
    if (rc)
        error_context(err, "making a catalogue");
    file_lock_drop(&lock);
    file_close(&dirfd);
    return rc;
}

/* open */

static enum error_kind take_lock(struct catalog *cat, bool exclusive, int timeout_ms, struct error *err)
{
    char *path = NULL, *what = NULL;
    enum error_kind rc;

    rc = memory_format(&path, err, "%s/" LOCKS_NAME "/catalog.lock", cat->path);
    if (!rc)
        rc = memory_format(&what, err, "the catalogue %s", cat->path);
    if (!rc)
        rc = file_lock_take(&cat->lock, path, exclusive ? LOCK_EXCLUSIVE : LOCK_SHARED, timeout_ms, what, err);
    free(path);
    free(what);
    return rc;
}

enum error_kind catalog_lock_alone(struct catalog *cat, int timeout_ms, struct error *err)
{
    struct error ignored = ERROR_INIT;
    enum error_kind rc;

    file_lock_drop(&cat->lock);
    rc = take_lock(cat, true, timeout_ms, err);
    if (rc && take_lock(cat, false, -1, &ignored))
        error_context(err, "and the shared lock could not be taken again");
    return rc;
}

enum error_kind catalog_lock_shared(struct catalog *cat, struct error *err)
{
    file_lock_drop(&cat->lock);
    return take_lock(cat, false, -1, err);
}

enum error_kind catalog_require_write(const struct catalog *cat, struct error *err)
{
    if (cat->mode == CATALOG_READ || cat->read_only)
        return error_set(err, ERR_REFUSED, 0, "the catalogue %s is open for reading only", cat->path);
    return OK;
}

/* Nobody can write here: a read-only mount, or not our files. */
static bool cannot_write(int dirfd)
{
    struct statvfs fs;

    if (fstatvfs(dirfd, &fs) == 0 && (fs.f_flag & ST_RDONLY))
        return true;
    return faccessat(dirfd, ".", W_OK, AT_EACCESS) != 0 || faccessat(dirfd, INDEX_NAME, W_OK, AT_EACCESS) != 0;
}

static enum error_kind copy_file(int from_dirfd, const char *name, const char *to_folder, struct error *err)
{
    unsigned char bytes[65536];
    char *to = NULL;
    enum error_kind rc;
    int in = -1, out = -1;
    uint64_t total = 0;
    size_t got = 1;

    rc = path_join(to_folder, name, &to, err);
    if (!rc)
        rc = file_open(from_dirfd, name, O_RDONLY | O_NOFOLLOW, 0, &in, err);
    if (!rc)
        rc = file_open(AT_FDCWD, to, O_WRONLY | O_CREAT | O_EXCL, 0600, &out, err);
    while (!rc && got > 0) {
        rc = file_read(in, bytes, sizeof(bytes), &got, name, err);
        total += got;
        if (!rc && total > INDEX_COPY_MAX)
            rc = error_set(err, ERR_SPACE, 0, "%s is too large to be copied", name);
        if (!rc && got > 0)
            rc = file_write(out, bytes, got, to, err);
    }
    file_close(&in);
    file_close(&out);
    free(to);
    return rc;
}

static bool has_wal(const struct catalog *cat)
{
    struct stat st;

    return fstatat(cat->dirfd, INDEX_NAME "-wal", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size > 0;
}

/*
 * On read-only media SQLite can't replay a WAL that a crash left behind, and ignoring it would show an old state. So the
 * index is read from a private copy, which can be recovered.
 */
static enum error_kind copy_index(struct catalog *cat, char **path, struct error *err)
{
    const char *base = getenv("TMPDIR");
    char *folder = NULL;
    enum error_kind rc;

    rc = path_join(base && *base ? base : "/tmp", "nopsnap-index-XXXXXX", &folder, err);
    if (rc)
        return rc;
    if (!mkdtemp(folder)) {
        rc = error_set(err, ERR_IO, errno, "cannot make a folder for a copy of the index (%s)", folder);
        free(folder);
        return rc;
    }
    cat->index_copy = folder;
    rc = copy_file(cat->dirfd, INDEX_NAME, folder, err);
    if (!rc)
        rc = has_wal(cat) ? copy_file(cat->dirfd, INDEX_NAME "-wal", folder, err) : OK;
    if (!rc)
        rc = path_join(folder, INDEX_NAME, path, err);
    return rc;
}

static enum error_kind check_identity(struct catalog *cat, struct error *err)
{
    int64_t catalogue = 0, generation = 0;
    enum error_kind rc;

    rc = index_meta_get(cat->index, "catalogue", &catalogue, err);
    if (!rc)
        rc = index_meta_get(cat->index, GENERATION, &generation, err);
    if (rc)
        return rc;
    if ((uint64_t)catalogue != get_u64(cat->format.catalogue)) {
        rc = error_set(err, ERR_CORRUPT, 0, "index: " INDEX_NAME " belongs to another catalogue");
        error_hint(err, "make the index again from the packs: nopsnap rebuild");
        return rc;
    }
    cat->generation = (uint64_t)generation;
    return OK;
}

static void close_index(struct catalog *cat)
{
    struct error ignored = ERROR_INIT;

    index_close(cat->lookup);
    index_close(cat->index);
    cat->lookup = cat->index = NULL;
    if (cat->index_copy)
        (void)directory_remove_tree(AT_FDCWD, cat->index_copy, &ignored);
    free(cat->index_copy);
    cat->index_copy = NULL;
}

static enum error_kind open_both(struct catalog *cat, const char *path, enum index_mode mode, struct error *err)
{
    enum error_kind rc = index_open(path, mode, &cat->index, err);

    if (!rc)
        rc = index_open(path, mode, &cat->lookup, err);
    if (rc)
        close_index(cat);
    return rc;
}

static enum error_kind open_read_only(struct catalog *cat, struct error *err)
{
    bool wal = has_wal(cat);
    char *path = NULL;
    enum error_kind rc = wal ? copy_index(cat, &path, err) : path_join(cat->path, INDEX_NAME, &path, err);

    if (!rc)
        rc = open_both(cat, path, wal ? INDEX_WRITE : INDEX_IMMUTABLE, err);
    free(path);
    return rc;
}

/*
 * Not even a reader can open an index of which the disk has no room for what readers share. While nobody else is there it stands still, and a copy elsewhere
 * tells all that is in it; with the shared lock, taken again, nothing that it leads to is removed. Between the two somebody may come: then there is room again.
 */
static enum error_kind open_copy(struct catalog *cat, struct error *err)
{
    struct stat before, after;
    char *path = NULL;
    enum error_kind rc = catalog_lock_alone(cat, 0, err);

    if (rc)
        return rc;
    rc = fstatat(cat->dirfd, INDEX_NAME, &before, AT_SYMLINK_NOFOLLOW) == 0
             ? copy_index(cat, &path, err)
             : error_set(err, ERR_IO, errno, "%s/" INDEX_NAME, cat->path);
    if (!rc)
        rc = catalog_lock_shared(cat, err);
    if (!rc && (fstatat(cat->dirfd, INDEX_NAME, &after, AT_SYMLINK_NOFOLLOW) != 0 || after.st_ino != before.st_ino ||
                after.st_mtim.tv_sec != before.st_mtim.tv_sec || after.st_mtim.tv_nsec != before.st_mtim.tv_nsec))
        rc = error_set(err, ERR_BUSY, 0, "the catalogue's index was written to in the meantime");
    if (!rc)
        rc = open_both(cat, path, INDEX_WRITE, err);
    free(path);
    return rc;
}

static enum error_kind open_index(struct catalog *cat, struct error *err)
{
    struct error first = ERROR_INIT;
    struct error ignored = ERROR_INIT;
    char *path = NULL;
    enum error_kind rc;
    struct stat st;

    if (fstatat(cat->dirfd, INDEX_NAME, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode)) {
        rc = error_set(err, ERR_CORRUPT, 0, "the catalogue's index, %s/" INDEX_NAME ", is missing", cat->path);
        error_hint(err, "make it again from the packs: nopsnap rebuild");
        return rc;
    }
    if (cat->read_only) {
        rc = open_read_only(cat, err);
        return rc ? rc : check_identity(cat, err);
    }
    rc = path_join(cat->path, INDEX_NAME, &path, err);
    if (rc)
        return rc;
    rc = open_both(cat, path, INDEX_WRITE, &first);
    if (rc == ERR_SPACE && reserve_take_piece(cat))
        rc = open_both(cat, path, INDEX_WRITE, &ignored);
    free(path);
    if (rc == ERR_SPACE && cat->mode == CATALOG_READ && open_copy(cat, &ignored) == OK) {
        cat->read_only = true;
        rc = OK;
    }
    if (rc)
        *err = first;
    return rc ? rc : check_identity(cat, err);
}

void catalog_hint_none(struct error *err)
{
    error_hint(err, "if it has a disk of its own, see that this is mounted; if there never was one: nopsnap init");
}

static enum error_kind open_folder(struct catalog *cat, const char *path, struct error *err)
{
    enum error_kind rc;

    rc = path_real(path, &cat->path, err);
    if (!rc)
        rc = file_open(AT_FDCWD, cat->path, O_RDONLY | O_DIRECTORY, 0, &cat->dirfd, err);
    if (rc == ERR_NOT_FOUND) {
        rc = error_set(err, ERR_NOT_FOUND, 0, "there is no catalogue at %s", path);
        catalog_hint_none(err);
    }
    return rc;
}

/* Without format.json it is a damaged catalogue where there are packs, and no catalogue otherwise. */
static enum error_kind open_format(struct catalog *cat, struct error *err)
{
    struct error first = ERROR_INIT;
    enum error_kind rc = format_read(cat->dirfd, &cat->format, &first);

    if (!rc)
        return OK;
    if (rc != ERR_NOT_FOUND) {
        *err = first;
        error_context(err, "%s", cat->path);
        return rc;
    }
    if (packs_hold_anything(cat->dirfd)) {
        rc = error_set(err, ERR_CORRUPT, 0, "%s: " FORMAT_NAME " is missing", cat->path);
        error_hint(err, "make it again from the packs: nopsnap rebuild");
    } else {
        rc = error_set(err, ERR_NOT_FOUND, 0, "there is no catalogue at %s", cat->path);
        catalog_hint_none(err);
    }
    return rc;
}

static enum error_kind lock_for(struct catalog *cat, int timeout_ms, struct error *err)
{
    struct error first = ERROR_INIT;
    struct error ignored = ERROR_INIT;
    enum error_kind rc = take_lock(cat, false, timeout_ms, &first);

    /* A copy without locks/, which nobody needs elsewhere. */
    if (rc == ERR_NOT_FOUND && directory_make(cat->dirfd, LOCKS_NAME, 0700, &ignored) == OK) {
        error_clear(&first);
        rc = take_lock(cat, false, timeout_ms, &first);
    }
    /* On read-only media nobody can change anything: what can't be locked need not be. */
    if (rc && rc != ERR_BUSY && cat->read_only && cat->mode == CATALOG_READ)
        return OK;
    if (rc)
        *err = first;
    return rc;
}

static enum error_kind open_all(struct catalog *cat, const char *path, int timeout_ms, struct error *err)
{
    enum error_kind rc;

    rc = open_folder(cat, path, err);
    if (!rc)
        rc = open_format(cat, err);
    if (rc)
        return rc;
    cat->read_only = cannot_write(cat->dirfd) && faccessat(cat->dirfd, INDEX_NAME, F_OK, 0) == 0;
    if (cat->mode != CATALOG_READ) {
        if (cat->read_only)
            return error_set(err, ERR_IO, EROFS, "the catalogue %s can't be written to", cat->path);
        rc = refuse_network(cat->dirfd, cat->path, err);
        if (rc)
            return rc;
    }
    rc = lock_for(cat, timeout_ms, err);
    if (!rc)
        rc = open_index(cat, err);
    if (!rc)
        rc = chunk_cache_new(&cat->cache, err);
    if (!rc && cat->mode != CATALOG_READ)
        rc = catalog_check_packs(cat, err);
    return rc;
}

enum error_kind catalog_open(const char *path, enum catalog_mode mode, int timeout_ms, struct catalog **out,
                             struct error *err)
{
    struct catalog *cat = NULL;
    enum error_kind rc;

    rc = memory_zeroed(1, sizeof(*cat), (void **)&cat, err);
    if (rc)
        return rc;
    pthread_mutex_init(&cat->lookup_lock, NULL);
    cat->dirfd = -1;
    cat->lock = (struct file_lock)FILE_LOCK_INIT;
    cat->mode = mode;
    rc = open_all(cat, path, timeout_ms, err);
    if (rc) {
        catalog_close(cat);
        return rc;
    }
    *out = cat;
    return OK;
}

void catalog_close(struct catalog *cat)
{
    bool opened;

    if (!cat)
        return;
    chunk_cache_free(cat->cache);
    opened = cat->index && !cat->read_only;
    close_index(cat);
    if (opened || cat->reserve_before)
        reserve_give_back(cat);
    file_lock_drop(&cat->lock);
    file_close(&cat->dirfd);
    pthread_mutex_destroy(&cat->lookup_lock);
    free(cat->path);
    free(cat);
}

/* ---- aside ---- */

static bool index_file(const struct catalog *cat, struct stat *out)
{
    return fstatat(cat->dirfd, INDEX_NAME, out, AT_SYMLINK_NOFOLLOW) == 0;
}

void catalog_step_aside(struct catalog *cat)
{
    struct stat st;

    cat->index_inode = index_file(cat, &st) ? st.st_ino : 0;
    file_lock_drop(&cat->lock);
}

/* A rebuild has put another file in the index's place: what is open leads to what was removed. */
static enum error_kind open_index_again(struct catalog *cat, struct error *err)
{
    struct index *index = cat->index;
    struct index *lookup = cat->lookup;
    enum error_kind rc;

    cat->index = cat->lookup = NULL;
    rc = open_index(cat, err);
    if (rc) {
        index_close(cat->lookup);
        index_close(cat->index);
        cat->index = index;
        cat->lookup = lookup;
        return rc;
    }
    index_close(lookup);
    index_close(index);
    return OK;
}

enum error_kind catalog_come_back(struct catalog *cat, struct error *err)
{
    struct stat st;
    enum error_kind rc = lock_for(cat, -1, err);

    if (!rc)
        rc = index_file(cat, &st) && st.st_ino == cat->index_inode ? check_identity(cat, err)
                                                                   : open_index_again(cat, err);
    chunk_cache_drop(cat, 0); /* a prune may have moved what it knows */
    if (!rc && cat->mode != CATALOG_READ)
        rc = catalog_check_packs(cat, err);
    return rc;
}

const char *catalog_path(const struct catalog *cat)
{
    return cat->path;
}

const struct catalog_format *catalog_format(const struct catalog *cat)
{
    return &cat->format;
}

uint64_t catalog_generation(const struct catalog *cat)
{
    return cat->generation;
}

enum error_kind catalog_raise_generation(struct catalog *cat, struct error *err)
{
    int64_t generation = 0;
    enum error_kind rc;

    rc = index_meta_get(cat->index, GENERATION, &generation, err);
    if (!rc)
        rc = index_meta_set(cat->index, GENERATION, generation + 1, err);
    if (!rc)
        cat->generation = (uint64_t)generation + 1;
    return rc;
}

enum error_kind catalog_writable(struct catalog *cat, struct error *err)
{
    struct statvfs fs;

    if (cat->read_only && cannot_write(cat->dirfd)) {
        bool mounted_so = fstatvfs(cat->dirfd, &fs) == 0 && (fs.f_flag & ST_RDONLY);

        error_set(err, ERR_IO, mounted_so ? EROFS : EACCES, "nothing can be written to the catalogue %s", cat->path);
        error_hint(err, mounted_so ? "see why its disk is mounted read-only (dmesg): until it is not, every run fails"
                                   : "see whose its files are: until they can be written, every run fails");
        return ERR_IO;
    }
    if (!cat->read_only && !reserve_is_needed(cat))
        return OK;
    error_set(err, ERR_SPACE, 0, "the disk of the catalogue %s is %s", cat->path,
              !cat->read_only && reserve_is_whole(cat) ? "nearly full" : "full");
    error_hint(err, HINT_NO_ROOM);
    return ERR_SPACE;
}

bool catalog_damaged(struct catalog *cat)
{
    struct error ignored = ERROR_INIT;
    bool any = false;

    /* An index that can't answer is damage too. */
    return index_damage_any(cat->index, &any, &ignored) != OK || any;
}

void catalog_note_damage(struct catalog *cat, uint64_t pack, int64_t frame, const char *what)
{
    struct error ignored = ERROR_INIT;

    if (cat->read_only)
        return;
    pthread_mutex_lock(&cat->lookup_lock);
    /* Soon or not at all: the thread that reads may itself hold the index's write lock on another connection. */
    index_busy_timeout(cat->lookup, 200);
    (void)index_damage_add(cat->lookup, pack, frame, what, &ignored);
    index_busy_timeout(cat->lookup, INDEX_BUSY_MS);
    pthread_mutex_unlock(&cat->lookup_lock);
}

enum error_kind catalog_chunk_find(struct catalog *cat, const struct chunk_id *id, struct chunk_row *out, bool *found,
                                   struct error *err)
{
    enum error_kind rc;

    pthread_mutex_lock(&cat->lookup_lock);
    rc = index_chunk_find(cat->lookup, id, out, found, err);
    pthread_mutex_unlock(&cat->lookup_lock);
    return rc;
}
