/*
 * Packs. Checksums would keep nearly every mutation out, so those of header and trailer are made right first: what is looked at is
 * what a person who means harm could write.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog_internal.h"
#include "fuzz.h"

#define NAME_AT 32 /* in the header, and in the trailer */
#define SUM_AT 16  /* in the trailer */
#define HEADER_SUM_AT 120

static const unsigned char name[PACK_NAME_LEN] = {0xab, 1, 2, 3};

static void must(int condition)
{
    if (!condition)
        abort();
}

static void make_right(unsigned char *bytes, size_t len)
{
    unsigned char *trailer = bytes + len - PACK_TRAILER_LEN;
    uint64_t at = get_u64(trailer), footer_len = get_u64(trailer + 8);
    struct hash_stream *sum = NULL;
    struct error err = ERROR_INIT;
    struct hash hash;

    memcpy(bytes + NAME_AT, name, sizeof(name));
    put_u64(bytes + HEADER_SUM_AT, hash64_of(0, bytes, HEADER_SUM_AT));
    memcpy(trailer + NAME_AT, name, sizeof(name));
    if (at > len || footer_len > len - at)
        return;
    must(hash_stream_new(0, &sum, &err) == OK);
    hash_stream_update(sum, bytes, PACK_HEADER_LEN);
    hash_stream_update(sum, bytes + at, footer_len);
    hash_stream_end(sum, &hash);
    hash_stream_free(sum);
    memcpy(trailer + SUM_AT, hash.bytes, HASH_LEN);
}

static char path[] = "/dev/shm/nsfuzzXXXXXX"; /* in memory: a file is made for each input */

static void remove_folder(void)
{
    struct error ignored = ERROR_INIT;

    (void)directory_remove_tree(AT_FDCWD, path, &ignored);
}

/* A folder that holds packs/ab/…; made once, the file written anew each time. */
static int folder(void)
{
    static int dirfd = -1;

    if (dirfd >= 0)
        return dirfd;
    must(mkdtemp(path) != NULL);
    atexit(remove_folder);
    dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(dirfd >= 0 && mkdirat(dirfd, "packs", 0700) == 0 && mkdirat(dirfd, "packs/ab", 0700) == 0);
    return dirfd;
}

static void read_all(const struct pack *pack)
{
    struct buffer raw = BUFFER_INIT(FRAME_RAW_MAX + 1);
    struct error err = ERROR_INIT;

    for (uint32_t i = 0; i < pack_frame_count(pack); i++)
        (void)pack_frame_read(pack, i, &raw, &err);
    for (uint32_t i = 0; i < pack_chunk_count(pack); i++) {
        struct footer_chunk c;
        struct footer_frame f;

        pack_chunk_at(pack, i, &c);
        must(c.frame < pack_frame_count(pack));
        pack_frame_at(pack, c.frame, &f);
        must(c.offset <= f.raw && c.len <= f.raw - c.offset);
        must(pack_chunk_search(pack, c.frame, c.offset) <= i);
    }
    buffer_release(&raw);
}

static void scan(int fd, size_t len)
{
    struct error err = ERROR_INIT;
    struct frame_header h;
    uint64_t at = PACK_HEADER_LEN;
    unsigned count = 0;

    while (pack_scan_frame(fd, &at, &h, &err) == OK)
        must(++count <= len / FRAME_HEADER_LEN + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    unsigned char *copy = malloc(len + 1);
    char file[PACK_PATH_MAX];
    struct error err = ERROR_INIT;
    struct pack *pack = NULL;
    int fd;

    must(copy != NULL);
    memcpy(copy, bytes, len);
    if (len >= PACK_HEADER_LEN + PACK_TRAILER_LEN)
        make_right(copy, len);
    pack_path(name, false, file);
    fd = openat(folder(), file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(fd >= 0 && write(fd, copy, len) == (ssize_t)len);
    if (pack_open(folder(), name, NULL, &pack, &err) == OK)
        read_all(pack);
    pack_close(pack);
    scan(fd, len);
    close(fd);
    unlinkat(folder(), file, 0);
    free(copy);
    return 0;
}
