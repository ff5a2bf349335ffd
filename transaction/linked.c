/*
 * The record of linked files (T7): for each file that two trees share, what it looked like when the link was made. The stat cache's renewal keeps
 * others of the same form. Fixed-size records sorted by a hash of the path, mapped from the file, so that memory does not grow with the shop.
 *
 *     header   magic "NOPSLNK1", seed u64, count u64, zero u64
 *     record   path hash (16), inode u64, size u64, mtime s i64, ctime s i64, mtime ns u32, ctime ns u32: 56 bytes
 *     trailer  XXH3-64 of all before
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hash.h"
#include "transaction_internal.h"
#include "walk.h"

#define HEAD 32
#define RECORD 56
#define FORGOTTEN UINT64_MAX /* size of a record whose link was broken on purpose */

static const char magic[8] = {'N', 'O', 'P', 'S', 'L', 'N', 'K', '1'};

struct linked_writer {
    int fd;
    char *path;
    struct buffer pending;
    uint64_t seed, count, written;
};

struct linked {
    int fd;
    char *path;
    unsigned char *map;
    size_t len;
    uint64_t seed, count;
};

static void record_of(unsigned char out[RECORD], uint64_t seed, const char *file, const struct stat *st)
{
    struct hash h;

    hash_of(seed, file, strlen(file), &h);
    memcpy(out, h.bytes, HASH_LEN);
    put_u64(out + 16, st->st_ino);
    put_u64(out + 24, (uint64_t)st->st_size);
    put_u64(out + 32, (uint64_t)st->st_mtim.tv_sec);
    put_u64(out + 40, (uint64_t)st->st_ctim.tv_sec);
    put_u32(out + 48, (uint32_t)st->st_mtim.tv_nsec);
    put_u32(out + 52, (uint32_t)st->st_ctim.tv_nsec);
}

void linked_discard(struct linked_writer *w)
{
    if (!w)
        return;
    file_close(&w->fd);
    buffer_release(&w->pending);
    free(w->path);
    free(w);
}

enum error_kind linked_begin(const char *path, struct linked_writer **out, struct error *err)
{
    struct linked_writer *w = NULL;
    unsigned char head[HEAD] = {0};
    enum error_kind rc = memory_zeroed(1, sizeof(*w), (void **)&w, err);

    if (rc)
        return rc;
    w->fd = -1;
    w->pending = (struct buffer)BUFFER_INIT(1u << 20);
    rc = random_bytes(&w->seed, sizeof(w->seed), err);
    if (!rc)
        rc = memory_string(path, &w->path, err);
    if (!rc)
        rc = file_open(AT_FDCWD, path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600, &w->fd, err);
    if (!rc)
        rc = file_write_at(w->fd, head, HEAD, 0, path, err); /* without its magic until the commit */
    if (rc) {
        linked_discard(w);
        return rc;
    }
    w->written = HEAD;
    *out = w;
    return OK;
}

static enum error_kind drain(struct linked_writer *w, struct error *err)
{
    enum error_kind rc = file_write_at(w->fd, w->pending.data, w->pending.len, w->written, w->path, err);

    if (!rc)
        w->written += w->pending.len;
    buffer_clear(&w->pending);
    return rc;
}

enum error_kind linked_add(struct linked_writer *w, const char *file, const struct stat *st, struct error *err)
{
    unsigned char record[RECORD];
    enum error_kind rc;

    record_of(record, w->seed, file, st);
    rc = buffer_append(&w->pending, record, RECORD, err);
    if (!rc)
        w->count++;
    if (!rc && w->pending.len >= (256u << 10))
        rc = drain(w, err);
    return rc;
}

static int by_path(const void *a, const void *b)
{
    return memcmp(a, b, HASH_LEN);
}

static enum error_kind sort_and_seal(struct linked_writer *w, struct error *err)
{
    size_t len = HEAD + (size_t)w->count * RECORD;
    unsigned char *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, 0);
    unsigned char sum[8];

    if (map == MAP_FAILED)
        return error_set(err, ERR_IO, errno, "%s", w->path);
    if (w->count)
        qsort(map + HEAD, (size_t)w->count, RECORD, by_path);
    memcpy(map, magic, sizeof(magic));
    put_u64(map + 8, w->seed);
    put_u64(map + 16, w->count);
    put_u64(sum, hash64_of(0, map, len));
    (void)munmap(map, len);
    return file_write_at(w->fd, sum, sizeof(sum), len, w->path, err);
}

enum error_kind linked_commit(struct linked_writer *w, struct error *err)
{
    char *parent = NULL;
    enum error_kind rc = drain(w, err);

    if (!rc)
        rc = sort_and_seal(w, err);
    if (!rc)
        rc = file_sync(w->fd, w->path, err);
    if (!rc)
        rc = path_parent(w->path, &parent, err);
    if (!rc)
        rc = directory_sync(AT_FDCWD, parent, err);
    free(parent);
    linked_discard(w);
    return rc;
}

static bool sealed(const unsigned char *map, size_t len)
{
    uint64_t count;

    if (len < HEAD + 8 || memcmp(map, magic, sizeof(magic)) != 0)
        return false;
    count = get_u64(map + 16);
    return count <= len / RECORD && HEAD + count * RECORD + 8 == len &&
           hash64_of(0, map, len - 8) == get_u64(map + len - 8);
}

enum error_kind linked_open(const char *path, struct linked **out, struct error *err)
{
    struct error why = ERROR_INIT;
    struct linked *l = NULL;
    struct stat st;
    enum error_kind rc = memory_zeroed(1, sizeof(*l), (void **)&l, err);

    if (rc)
        return rc;
    l->fd = -1;
    rc = file_open(AT_FDCWD, path, O_RDWR | O_NOFOLLOW, 0, &l->fd, &why);
    if (rc == ERR_NOT_FOUND) {
        free(l);
        *out = NULL;
        return OK;
    }
    if (rc)
        error_copy(err, &why);
    if (!rc)
        rc = memory_string(path, &l->path, err);
    if (!rc && (fstat(l->fd, &st) != 0 || st.st_size < HEAD + 8))
        rc = error_set(err, ERR_CORRUPT, 0, "%s is damaged", path);
    if (!rc) {
        l->len = (size_t)st.st_size;
        l->map = mmap(NULL, l->len, PROT_READ | PROT_WRITE, MAP_SHARED, l->fd, 0);
        if (l->map == MAP_FAILED) {
            l->map = NULL;
            rc = error_set(err, ERR_IO, errno, "%s", path);
        } else if (!sealed(l->map, l->len)) {
            rc = error_set(err, ERR_CORRUPT, 0, "%s is damaged", path);
        }
    }
    if (rc) {
        linked_close(l);
        return rc;
    }
    l->seed = get_u64(l->map + 8);
    l->count = get_u64(l->map + 16);
    *out = l;
    return OK;
}

static unsigned char *find(const struct linked *l, const char *file)
{
    struct hash h;

    if (!l->count)
        return NULL;
    hash_of(l->seed, file, strlen(file), &h);
    return bsearch(h.bytes, l->map + HEAD, (size_t)l->count, RECORD, by_path);
}

uint64_t linked_count(const struct linked *l)
{
    return l ? l->count : 0;
}

enum linked_state linked_find(const struct linked *l, const char *file, const struct stat *st)
{
    unsigned char now[RECORD];
    const unsigned char *was = l ? find(l, file) : NULL;

    if (!was || get_u64(was + 24) == FORGOTTEN || get_u64(was + 16) != st->st_ino)
        return LINKED_NO; /* another inode: replaced, not rewritten; it is not the shared file */
    record_of(now, l->seed, file, st);
    return memcmp(was, now, RECORD) == 0 ? LINKED_SAME : LINKED_CHANGED;
}

int64_t linked_newest_ns(const struct linked *l)
{
    int64_t newest = 0;

    for (uint64_t i = 0; l && i < l->count; i++) {
        const unsigned char *record = l->map + HEAD + i * RECORD;
        int64_t ns = (int64_t)get_u64(record + 40) * 1000000000 + get_u32(record + 52);

        if (ns > newest)
            newest = ns;
    }
    return newest;
}

enum error_kind linked_forget(struct linked *l, const char *file, struct error *err)
{
    unsigned char *was = find(l, file);

    if (!was)
        return error_set(err, ERR_NOT_FOUND, 0, "%s was not linked", file);
    put_u64(was + 24, FORGOTTEN);
    return OK;
}

enum error_kind linked_sync(struct linked *l, struct error *err)
{
    put_u64(l->map + l->len - 8, hash64_of(0, l->map, l->len - 8));
    if (msync(l->map, l->len, MS_SYNC) != 0)
        return error_set(err, ERR_IO, errno, "%s", l->path);
    return file_sync(l->fd, l->path, err);
}

void linked_close(struct linked *l)
{
    if (!l)
        return;
    if (l->map)
        (void)munmap(l->map, l->len);
    file_close(&l->fd);
    free(l->path);
    free(l);
}

enum error_kind linked_stand_in(struct catalog *cat, const struct txn *t, struct snapshot_record *out,
                                struct error *err)
{
    struct error why = ERROR_INIT;
    enum error_kind rc;

    if (!cat || !t->safety)
        return OK;
    rc = snapshot_find(cat, NULL, t->safety, out, &why);
    if (rc && rc != ERR_NOT_FOUND && rc != ERR_CORRUPT) {
        error_copy(err, &why);
        return rc;
    }
    if (!rc && out->part == SNAPSHOT_DATABASE_ONLY)
        snapshot_record_release(out);
    return OK;
}

struct repair {
    struct catalog *cat; /* needed only where something was rewritten: it may be out of reach */
    const struct snapshot_record *snapshot;
    struct entry_steps *steps;
};

static enum error_kind open_steps(struct repair *r, const char *path, struct error *err)
{
    if (r->steps)
        return OK;
    if (!r->cat)
        return error_set(err, ERR_PENDING, 0,
                         "%s was rewritten through a link, and its content is in a catalogue that can't be opened",
                         path);
    if (!r->snapshot->root_count)
        return error_set(
            err, ERR_PENDING, 0,
            "%s was rewritten through a link, and the snapshot that has its content is gone: put the right "
            "file there under a new inode (cp beside it, then mv over it)",
            path);
    return entry_steps_open(r->cat, r->snapshot, "site", &r->steps, err);
}

static enum error_kind repair_one(struct repair *r, const struct walk_item *item, struct error *err)
{
    struct buffer encoded = BUFFER_INIT(16u << 20);
    const struct tree_entry *entry = NULL;
    enum error_kind rc = open_steps(r, item->path, err);

    if (!rc)
        rc = entry_steps_get(r->steps, item->path, &entry, err);
    if (!rc && !entry)
        rc = error_set(err, ERR_CORRUPT, 0, "the snapshot has no %s, to which it was linked", item->path);
    if (!rc)
        rc = tree_entry_encode(entry, &encoded, err);
    if (!rc)
        rc = restore_replace_file(r->cat, encoded.data, encoded.len, item->dirfd, item->name, err);
    buffer_release(&encoded);
    return rc;
}

enum error_kind linked_repair(struct catalog *cat, const struct snapshot_record *snapshot, struct linked *l,
                              const char *tree, bool forget, uint64_t *repaired, struct error *err)
{
    struct repair r = {cat, snapshot, NULL};
    struct walk *walk = NULL;
    struct walk_item item;
    enum error_kind rc;

    *repaired = 0;
    if (!l)
        return OK;
    rc = walk_open(tree, NULL, &walk, err);
    while (!rc) {
        rc = walk_next(walk, &item, err);
        if (rc || item.event == WALK_END)
            break;
        if (item.event == WALK_UNREADABLE) {
            rc = error_set(err, ERR_IO, item.error.sys, "%s", item.error.text);
            break;
        }
        if (item.event != WALK_ENTRY || !S_ISREG(item.st.st_mode) ||
            linked_find(l, item.path, &item.st) != LINKED_CHANGED)
            continue;
        rc = repair_one(&r, &item, err);
        if (!rc && forget)
            rc = linked_forget(l, item.path, err);
        if (!rc)
            (*repaired)++;
    }
    if (!rc && forget && *repaired)
        rc = linked_sync(l, err);
    walk_close(walk);
    entry_steps_close(r.steps);
    return rc;
}
