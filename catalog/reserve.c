#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "catalog_internal.h"

/*
 * Room that is kept for the day on which the disk is full: even taking something out of the catalogue has to write a record and a part of the index.
 *
 *   opening         takes a small piece where SQLite has no room for the memory that its connections share
 *   forget, prune   take all of it, where there is not as much room without it
 *   closing         gives back what of it is free again; after a writing command it is made anew, where the disk then has as much again
 *
 * It may be missing: then a full disk needs room from elsewhere, and errors say so.
 */

#define RESERVE_MIN (1 << 20)
#define RESERVE_MAX (64 << 20) /* what a prune writes into the WAL grows with the index */
#define OPENING_PIECE (128 << 10)

/* Without what a filesystem keeps for root and for itself, of which nobody tells how much is whose. */
static uint64_t room(int dirfd)
{
    struct statvfs fs;

    return fstatvfs(dirfd, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : 0;
}

/* A file of ours, or nothing: 0. */
static int64_t reserved(int dirfd)
{
    struct stat st;

    return fstatat(dirfd, RESERVE_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) ? st.st_size : 0;
}

static int64_t reserve_wanted(int dirfd)
{
    struct stat st;
    int64_t size = fstatat(dirfd, INDEX_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_size : 0;

    return size < RESERVE_MIN ? RESERVE_MIN : size > RESERVE_MAX ? RESERVE_MAX : size;
}

static bool cut(int dirfd, int64_t size)
{
    struct error ignored = ERROR_INIT;
    int fd = -1;
    bool done;

    if (file_open(dirfd, RESERVE_NAME, O_WRONLY | O_NOFOLLOW, 0, &fd, &ignored) != OK)
        return false;
    done = ftruncate(fd, size) == 0 && fsync(fd) == 0; /* what a journal still holds is nobody's room yet */
    file_close(&fd);
    return done;
}

bool reserve_take_piece(struct catalog *cat)
{
    int64_t size = reserved(cat->dirfd);

    if (size == 0 || !cut(cat->dirfd, size > OPENING_PIECE ? size - OPENING_PIECE : 0))
        return false;
    cat->reserve_before = size;
    return true;
}

bool reserve_is_needed(const struct catalog *cat)
{
    return room(cat->dirfd) < (uint64_t)reserve_wanted(cat->dirfd);
}

bool reserve_is_whole(const struct catalog *cat)
{
    return !cat->reserve_before && room(cat->dirfd) >= OPENING_PIECE &&
           reserved(cat->dirfd) >= reserve_wanted(cat->dirfd);
}

void reserve_take_all(struct catalog *cat)
{
    int64_t size = reserved(cat->dirfd);

    if (size > 0 && reserve_is_needed(cat) && cut(cat->dirfd, 0) && cat->reserve_before < size)
        cat->reserve_before = size;
}

/* A quota, or a filesystem that can't: better none than one of holes. */
static void grow(int dirfd, int64_t size)
{
    struct error ignored = ERROR_INIT;
    int fd = -1;

    if (file_open(dirfd, RESERVE_NAME, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600, &fd, &ignored) != OK)
        return;
    if (fallocate(fd, 0, 0, size) != 0)
        (void)file_unlink(dirfd, RESERVE_NAME, &ignored);
    file_close(&fd);
}

void reserve_give_back(struct catalog *cat)
{
    int64_t wanted = cat->mode == CATALOG_WRITE ? reserve_wanted(cat->dirfd) : 0;
    int64_t size = reserved(cat->dirfd);
    int64_t free_bytes = (int64_t)room(cat->dirfd);
    int64_t most = size + free_bytes - free_bytes / 16; /* blocks that lead to blocks take some */

    if (size < wanted && free_bytes >= 2 * wanted)
        grow(cat->dirfd, wanted);
    else if (size < cat->reserve_before && size < most)
        grow(cat->dirfd, most < cat->reserve_before ? most : cat->reserve_before);
    cat->reserve_before = 0;
}
