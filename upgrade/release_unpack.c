/*
 * Going through the content of a release: to write it, to take a few files out of it, or only to check it. Every name must be in the list
 * that was checked, once; what is written is hashed on its way.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "file.h"
#include "open_below.h"
#include "release_internal.h"
#include "thread.h"

#define PIECE (256u << 10)
#define ZEROS (64u << 10)
#define BLOCK 4096u                  /* what a file takes is a multiple of it, give or take */
#define LOOK_AT_SPACE (64u << 20)    /* bytes written between two looks */
#define MTIME_MAX ((int64_t)1 << 33) /* the year 2242: later is no time of a release */
#define ELF_MAGIC "\177ELF"
#define MAGIC_LEN 4

struct pass {
    struct release *r;
    int target; /* -1: nothing is written */
    enum release_sync sync;
    release_wanted_fn *wanted; /* NULL: everything */
    const struct progress *progress;
    unsigned char *seen; /* of the list's entries, those that came */
    struct hash_stream *hash;
    uint64_t bytes, looked; /* written in all; when the space was looked at last */
};

/* The file that comes in. */
struct incoming {
    struct release_entry *entry;
    int fd;
    uint64_t at;
    unsigned char magic[MAGIC_LEN];
    bool executable, sized, sparse;
};

/* ---- room ---- */

static enum error_kind free_space(int fd, uint64_t *out, struct error *err)
{
    struct statvfs st;

    if (fstatvfs(fd, &st))
        return error_set(err, ERR_IO, errno, "cannot tell how much room there is for the release");
    *out = (uint64_t)st.f_bavail * st.f_frsize;
    return OK;
}

static enum error_kind space_check(const struct pass *p, uint64_t need, struct error *err)
{
    char needed[TEXT_MAX];
    char reserved[TEXT_MAX];
    char have[TEXT_MAX];
    uint64_t available = 0;
    enum error_kind rc = free_space(p->target, &available, err);

    if (rc || (available >= need && available - need >= p->r->limits.reserve))
        return rc;
    text_size(need, needed);
    text_size(p->r->limits.reserve, reserved);
    text_size(available, have);
    rc = error_set(err, ERR_SPACE, 0, "there is no room to unpack it: %s more and %s to spare, but %s are free", needed,
                   reserved, have);
    error_hint(err, "make room on the disk that the shop is on");
    return rc;
}

static uint64_t space_needed(const struct release_list *list)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < list->count; i++)
        sum += list->items[i].folder ? BLOCK : (list->items[i].size + BLOCK - 1) / BLOCK * BLOCK;
    return sum;
}

/* ---- folders ---- */

static enum error_kind make_folder(int target, const char *path, size_t len, bool may_exist, struct error *err)
{
    const char *slash = memrchr(path, '/', len);
    char name[NAME_MAX + 1];
    size_t above = slash ? (size_t)(slash - path) : 0;
    size_t from = slash ? above + 1 : 0;
    int parent = open_below(target, path, above, O_PATH | O_DIRECTORY, 0);
    enum error_kind rc = OK;

    memcpy(name, path + from, len - from);
    name[len - from] = '\0';
    if (parent < 0)
        return error_set(err, ERR_IO, errno, "cannot open the folder of %s", path);
    if (mkdirat(parent, name, 0700) && !(errno == EEXIST && may_exist))
        rc = error_set(err, ERR_IO, errno, "cannot make the folder %s", path);
    (void)close(parent);
    return rc;
}

static enum error_kind make_folders(const struct pass *p, struct error *err)
{
    const struct release_list *list = &p->r->list;
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < list->count; i++) {
        const struct release_entry *e = &list->items[i];

        if (!p->wanted && e->folder)
            rc = make_folder(p->target, e->path, strlen(e->path), false, err);
        if (!p->wanted || e->folder || !p->wanted(e))
            continue;
        for (const char *slash = strchr(e->path, '/'); !rc && slash; slash = strchr(slash + 1, '/'))
            rc = make_folder(p->target, e->path, (size_t)(slash - e->path), true, err);
    }
    return rc;
}

/* Whatever the umask is; and only now, so that nobody looks into a folder that is being filled. */
static enum error_kind finish_folders(const struct pass *p, struct error *err)
{
    const struct release_list *list = &p->r->list;
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < list->count; i++) {
        const struct release_entry *e = &list->items[i];
        int fd;

        if (!e->folder)
            continue;
        fd = open_below(p->target, e->path, strlen(e->path), O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0 || fchmod(fd, 0755))
            rc = error_set(err, ERR_IO, errno, "cannot finish the folder %s", e->path);
        else if (p->sync == RELEASE_SYNC_FILES)
            rc = file_sync(fd, e->path, err);
        file_close(&fd);
    }
    return rc;
}

/* ---- one file ---- */

static enum error_kind file_begin(struct pass *p, size_t place, struct incoming *in, struct error *err)
{
    struct release_entry *e = &p->r->list.items[place];

    in->entry = e;
    in->fd = -1;
    in->at = 0;
    memset(in->magic, 0, sizeof(in->magic));
    p->seen[place] = 1;
    hash_stream_reset(p->hash, 0);
    if (p->target < 0)
        return OK;
    in->fd = open_below(p->target, e->path, strlen(e->path), O_WRONLY | O_CREAT | O_EXCL, 0600);
    return in->fd >= 0 ? OK : error_set(err, ERR_IO, errno, "cannot make %s", e->path);
}

static enum error_kind too_much(const struct pass *p, const struct incoming *in, uint64_t len, struct error *err)
{
    char limit[TEXT_MAX];

    if (in->sized && (len > in->entry->size || in->at > in->entry->size - len))
        return error_set(err, ERR_REFUSED, 0, "%s is longer than announced", in->entry->path);
    text_size(p->r->limits.max_bytes, limit);
    if (len > p->r->limits.max_bytes || p->bytes > p->r->limits.max_bytes - len)
        return error_set(err, ERR_REFUSED, 0, "it takes more than %s unpacked", limit);
    return OK;
}

static enum error_kind file_append(struct pass *p, struct incoming *in, const void *bytes, size_t len,
                                   struct error *err)
{
    enum error_kind rc = too_much(p, in, len, err);

    if (rc)
        return rc;
    for (size_t i = 0; i < len && in->at + i < MAGIC_LEN; i++)
        in->magic[in->at + i] = ((const unsigned char *)bytes)[i];
    hash_stream_update(p->hash, bytes, len);
    if (in->fd >= 0)
        rc = file_write(in->fd, bytes, len, in->entry->path, err);
    in->at += len;
    p->bytes += len;
    if (!rc && p->target >= 0 && p->bytes - p->looked >= LOOK_AT_SPACE) {
        p->looked = p->bytes;
        rc = space_check(p, 0, err);
    }
    return rc;
}

/* Zeros up to an offset. */
static enum error_kind file_fill(struct pass *p, struct incoming *in, uint64_t to, struct error *err)
{
    static const unsigned char zeros[ZEROS];
    enum error_kind rc = OK;

    while (!rc && in->at < to) {
        rc = cancel_check(err);
        if (!rc)
            rc = file_append(p, in, zeros, to - in->at < ZEROS ? (size_t)(to - in->at) : ZEROS, err);
    }
    return rc;
}

/* A program, and no library: "Nop.Web", "createdump", but not "libcoreclr.so" nor "libz.so.1". */
static bool is_program(const struct incoming *in)
{
    const char *name = path_base(in->entry->path);
    const char *so = strstr(name, ".so");

    return memcmp(in->magic, ELF_MAGIC, MAGIC_LEN) == 0 && !(so && (so[3] == '\0' || so[3] == '.'));
}

static enum error_kind file_seal(const struct pass *p, const struct incoming *in, struct error *err)
{
    struct release_entry *e = in->entry;
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = (time_t)e->mtime}};

    if (fchmod(in->fd, e->executable ? 0755 : 0644))
        return error_set(err, ERR_IO, errno, "cannot set the mode of %s", e->path);
    if (e->mtime >= 0 && e->mtime < MTIME_MAX && futimens(in->fd, times))
        return error_set(err, ERR_IO, errno, "cannot set the time of %s", e->path);
    return p->sync == RELEASE_SYNC_FILES ? file_sync(in->fd, e->path, err) : OK;
}

static enum error_kind file_end(struct pass *p, struct incoming *in, struct error *err)
{
    struct release_entry *e = in->entry;
    enum error_kind rc = OK;

    if (in->sparse && in->sized)
        rc = file_fill(p, in, e->size, err);
    if (!rc && in->sized && in->at != e->size)
        rc = error_set(err, ERR_REFUSED, 0, "%s is shorter than announced", e->path);
    if (rc)
        return rc;
    e->executable = in->executable || is_program(in);
    if (in->fd >= 0 && !p->wanted)
        rc = file_seal(p, in, err);
    if (rc)
        return rc;
    e->size = in->at;
    hash_stream_end(p->hash, &e->hash);
    e->hashed = true;
    return OK;
}

/* ---- from an archive ---- */

static enum error_kind changed(struct error *err)
{
    error_set(err, ERR_REFUSED, 0, "it changed while it was read");
    error_hint(err, "start again once nothing writes to it");
    return ERR_REFUSED;
}

static enum error_kind archive_file(struct pass *p, struct archive_reader *a, size_t place,
                                    const struct archive_item *item, struct error *err)
{
    struct incoming in = {.fd = -1, .executable = item->executable, .sized = item->sized, .sparse = item->sparse};
    const void *bytes = NULL;
    uint64_t offset = 0;
    size_t len = 0;
    bool more = true;
    enum error_kind rc = file_begin(p, place, &in, err);

    while (!rc && more) {
        rc = archive_reader_data(a, &bytes, &len, &offset, &more, err);
        if (rc || !more)
            break;
        if (offset < in.at)
            rc = error_set(err, ERR_REFUSED, 0, "%s has content that overlaps", in.entry->path);
        if (!rc && offset > in.at && !item->sparse)
            rc = error_set(err, ERR_REFUSED, 0, "%s lacks a part", in.entry->path);
        if (!rc)
            rc = file_fill(p, &in, offset, err);
        if (!rc)
            rc = file_append(p, &in, bytes, len, err);
    }
    if (!rc)
        rc = file_end(p, &in, err);
    file_close(&in.fd);
    return rc;
}

static enum error_kind archive_item(struct pass *p, struct archive_reader *a, const struct archive_item *item,
                                    struct error *err)
{
    char name[PATH_MAX];
    size_t dropped = strlen(p->r->dropped);
    size_t place;
    enum error_kind rc;

    if (item->folder) /* they are made from the list */
        return OK;
    rc = release_name_clean(item->name, name, err);
    if (rc)
        return rc;
    place = strncmp(name, p->r->dropped, dropped) == 0 ? release_list_place(&p->r->list, name + dropped) : SIZE_MAX;
    if (place == SIZE_MAX || p->seen[place] || p->r->list.items[place].folder ||
        (item->sized && item->size != p->r->list.items[place].size))
        return changed(err);
    if (p->wanted && !p->wanted(&p->r->list.items[place]))
        return OK;
    return archive_file(p, a, place, item, err);
}

static enum error_kind unchanged(const struct release *r, struct error *err)
{
    struct stat now;

    if (fstat(r->fd, &now))
        return error_set(err, ERR_IO, errno, "cannot look at the archive");
    if (now.st_size != r->was.st_size || now.st_mtim.tv_sec != r->was.st_mtim.tv_sec ||
        now.st_mtim.tv_nsec != r->was.st_mtim.tv_nsec || now.st_ctim.tv_sec != r->was.st_ctim.tv_sec ||
        now.st_ctim.tv_nsec != r->was.st_ctim.tv_nsec)
        return changed(err);
    return OK;
}

static enum error_kind pass_archive(struct pass *p, struct error *err)
{
    struct archive_reader *a = NULL;
    struct archive_item item;
    bool more = true;
    enum error_kind rc = unchanged(p->r, err);

    if (!rc)
        rc = archive_reader_open(p->r->fd, p->progress, &a, err);
    while (!rc && more) {
        rc = archive_reader_next(a, &item, &more, err);
        if (!rc && more)
            rc = archive_item(p, a, &item, err);
    }
    archive_reader_close(a);
    if (!rc)
        rc = unchanged(p->r, err);
    return rc;
}

/* ---- from a folder ---- */

static enum error_kind folder_file(struct pass *p, size_t place, unsigned char *piece, struct error *err)
{
    struct incoming in = {.fd = -1, .sized = true};
    const char *path = p->r->list.items[place].path;
    char whole[PATH_MAX + PATH_MAX];
    struct stat st;
    size_t got = 1;
    enum error_kind rc;
    int from;

    (void)snprintf(whole, sizeof(whole), "%s%s", p->r->dropped, path);
    from = open_below(p->r->fd, whole, strlen(whole), O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (from < 0)
        return error_set(err, ERR_IO, errno, "cannot open %s", path);
    if (fstat(from, &st) || !S_ISREG(st.st_mode)) {
        (void)close(from);
        return changed(err);
    }
    in.executable = (st.st_mode & 0111) != 0;
    rc = file_begin(p, place, &in, err);
    while (!rc && got > 0) {
        rc = cancel_check(err);
        if (!rc)
            rc = file_read(from, piece, PIECE, &got, path, err);
        if (!rc && got > 0)
            rc = file_append(p, &in, piece, got, err);
        if (!rc)
            progress_advance(p->progress, p->bytes, p->r->facts.bytes, "bytes");
    }
    if (!rc)
        rc = file_end(p, &in, err);
    file_close(&in.fd);
    (void)close(from);
    return rc;
}

static enum error_kind pass_folder(struct pass *p, struct error *err)
{
    unsigned char *piece = NULL;
    enum error_kind rc = memory_allocate(PIECE, (void **)&piece, err);

    for (size_t i = 0; !rc && i < p->r->list.count; i++) {
        if (!p->r->list.items[i].folder)
            rc = folder_file(p, i, piece, err);
    }
    free(piece);
    return rc;
}

/* ---- the pass ---- */

static enum error_kind all_came(const struct pass *p, struct error *err)
{
    for (size_t i = 0; i < p->r->list.count; i++) {
        const struct release_entry *e = &p->r->list.items[i];

        if (!e->folder && !p->seen[i] && (!p->wanted || p->wanted(e)))
            return changed(err);
    }
    return OK;
}

static enum error_kind pass_run(struct pass *p, struct error *err)
{
    enum error_kind rc = memory_zeroed(p->r->list.count + 1, 1, (void **)&p->seen, err);

    if (!rc)
        rc = hash_stream_new(0, &p->hash, err);
    if (!rc && p->target >= 0)
        rc = make_folders(p, err);
    if (!rc)
        rc = p->r->path ? pass_folder(p, err) : pass_archive(p, err);
    if (!rc)
        rc = all_came(p, err);
    hash_stream_free(p->hash);
    free(p->seen);
    return rc;
}

static enum error_kind refuse_filled(int target, struct error *err)
{
    int fd = open_below(target, "", 0, O_RDONLY | O_DIRECTORY, 0); /* of its own: readdir() moves a shared offset */
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    bool filled = false;

    if (!dir) {
        error_set(err, ERR_IO, errno, "cannot list the folder to unpack to");
        file_close(&fd);
        return err->kind;
    }
    while ((entry = readdir(dir)))
        filled = filled || (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0);
    closedir(dir);
    return filled ? error_set(err, ERR_EXISTS, 0, "the folder to unpack to is not empty") : OK;
}

static enum error_kind unpack(struct pass *p, struct error *err)
{
    enum error_kind rc = refuse_filled(p->target, err);

    if (!rc)
        rc = space_check(p, space_needed(&p->r->list), err);
    if (!rc)
        rc = pass_run(p, err);
    if (!rc)
        rc = finish_folders(p, err);
    if (!rc && p->sync == RELEASE_SYNC_FILES)
        rc = file_sync(p->target, "the unpacked release", err);
    if (!rc && p->sync == RELEASE_SYNC_FILESYSTEM)
        rc = file_sync_filesystem(p->target, "the unpacked release", err);
    return rc;
}

enum error_kind release_unpack(struct release *r, int target, enum release_sync sync, const struct progress *progress,
                               struct error *err)
{
    struct pass p = {.r = r, .target = target, .sync = sync, .progress = progress};
    enum error_kind rc;

    progress_step(progress, "unpacking %s", r->name);
    rc = unpack(&p, err);
    if (rc)
        error_context(err, "unpacking %s", r->name);
    return rc;
}

enum error_kind release_check(struct release *r, const struct progress *progress, struct error *err)
{
    struct pass p = {.r = r, .target = -1, .progress = progress};
    enum error_kind rc;

    progress_step(progress, "checking %s", r->name);
    rc = pass_run(&p, err);
    if (rc)
        error_context(err, "checking %s", r->name);
    return rc;
}

enum error_kind release_take_out(struct release *r, int target, release_wanted_fn *wanted, struct error *err)
{
    struct pass p = {.r = r, .target = target, .wanted = wanted};

    return pass_run(&p, err);
}

/* ---- reading back ---- */

static enum error_kind verify_file(const struct release_entry *e, int target, unsigned char *piece,
                                   struct hash_stream *hash, struct error *err)
{
    int fd = open_below(target, e->path, strlen(e->path), O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    struct hash found;
    struct stat st;
    size_t got = 1;
    enum error_kind rc = OK;

    if (fd < 0)
        return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "cannot open %s", e->path);
    if (fstat(fd, &st))
        rc = error_set(err, ERR_IO, errno, "cannot look at %s", e->path);
    else if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != e->size || ((st.st_mode & 0111) != 0) != e->executable)
        rc = error_set(err, ERR_CORRUPT, 0, "%s is not what was written", e->path);
    hash_stream_reset(hash, 0);
    while (!rc && got > 0) {
        rc = cancel_check(err);
        if (!rc)
            rc = file_read(fd, piece, PIECE, &got, e->path, err);
        if (!rc)
            hash_stream_update(hash, piece, got);
    }
    hash_stream_end(hash, &found);
    if (!rc && memcmp(&found, &e->hash, sizeof(found)) != 0)
        rc = error_set(err, ERR_CORRUPT, 0, "%s is not what was written", e->path);
    file_close(&fd);
    return rc;
}

static enum error_kind verify_folder(const struct release_entry *e, int target, struct error *err)
{
    int fd = open_below(target, e->path, strlen(e->path), O_PATH | O_DIRECTORY, 0);

    if (fd < 0)
        return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_CORRUPT, errno, "cannot open the folder %s",
                         e->path);
    (void)close(fd);
    return OK;
}

static bool all_hashed(const struct release *r)
{
    for (size_t i = 0; i < r->list.count; i++) {
        if (!r->list.items[i].folder && !r->list.items[i].hashed)
            return false;
    }
    return true;
}

enum error_kind release_verify(const struct release *r, int target, const struct progress *progress, struct error *err)
{
    struct hash_stream *hash = NULL;
    unsigned char *piece = NULL;
    uint64_t done = 0;
    enum error_kind rc;

    assert(all_hashed(r));
    progress_step(progress, "reading the unpacked release back");
    rc = memory_allocate(PIECE, (void **)&piece, err);
    if (!rc)
        rc = hash_stream_new(0, &hash, err);
    for (size_t i = 0; !rc && i < r->list.count; i++) {
        const struct release_entry *e = &r->list.items[i];

        if (e->folder) {
            rc = verify_folder(e, target, err);
        } else {
            rc = verify_file(e, target, piece, hash, err);
            done += e->size;
            progress_advance(progress, done, r->facts.bytes, "bytes");
        }
    }
    hash_stream_free(hash);
    free(piece);
    if (rc)
        error_context(err, "checking what was unpacked of %s", r->name);
    return rc;
}
