/* A catalogue in the working directory (folder_setup), and content that follows from a number. */
#ifndef NOPSNAP_CATALOG_FIXTURE_H
#define NOPSNAP_CATALOG_FIXTURE_H

#include "test_support.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "catalog_internal.h"
#include "chunk.h"
#include "store.h"

#define CATALOGUE "c"

#define assert_ok(call)                                             \
    do {                                                            \
        enum error_kind rc_ = (call);                               \
        if (rc_ != OK)                                              \
            fail_msg("%s: kind %d: %s", #call, (int)rc_, err.text); \
    } while (0)

static inline uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/* Bytes that do not compress. */
static inline void fill_random(unsigned char *out, size_t len, uint64_t seed)
{
    uint64_t state = mix(seed + 1);

    for (size_t i = 0; i < len; i += 8) {
        state += 0x9e3779b97f4a7c15ull;
        uint64_t word = mix(state);

        memcpy(out + i, &word, len - i < 8 ? len - i : 8);
    }
}

/* Bytes that compress, different for every seed. */
static inline void fill_text(unsigned char *out, size_t len, uint64_t seed)
{
    static const char words[8][11] = {"order ", "customer ", "price ", "picture ",
                                      "shop ",  "basket ",   "tax ",   "rebate\n"};
    uint64_t state = mix(seed + 1), choice = 0;
    size_t at = 0;

    for (unsigned n = 0; at < len; n++, choice >>= 3) {
        const char *word;
        size_t piece;

        if (n % 20 == 0)
            choice = mix(state += 0x9e3779b97f4a7c15ull);
        word = words[choice & 7];
        piece = strlen(word) < len - at ? strlen(word) : len - at;
        memcpy(out + at, word, piece);
        at += piece;
    }
    for (size_t i = 0; i < 8 && i < len; i++)
        out[i] = (unsigned char)('a' + (seed >> 4 * i) % 16);
}

static inline struct catalog *open_catalogue(enum catalog_mode mode)
{
    struct error err = ERROR_INIT;
    struct catalog *cat = NULL;

    assert_ok(catalog_open(CATALOGUE, mode, 0, &cat, &err));
    return cat;
}

static inline struct catalog *make_catalogue(void)
{
    struct error err = ERROR_INIT;

    assert_ok(catalog_init(CATALOGUE, &err));
    return open_catalogue(CATALOG_WRITE);
}

static inline struct store *begin_store(struct catalog *cat)
{
    struct error err = ERROR_INIT;
    struct store *store = NULL;

    assert_ok(store_begin(cat, NULL, &store, &err));
    return store;
}

/* Put one chunk, flush, give its id. */
static inline struct chunk_id put_one(struct catalog *cat, const void *bytes, size_t len)
{
    struct error err = ERROR_INIT;
    struct store *store = begin_store(cat);
    struct chunk_id id;
    store_ticket ticket;

    assert_ok(store_put(store, CHUNK_DATA, 0, bytes, len, &ticket, &err));
    assert_ok(store_flush(store, &err));
    assert_ok(store_resolve(store, ticket, &id, &err));
    store_free(store);
    return id;
}

static inline void assert_reads(struct catalog *cat, const struct chunk_id *id, const void *bytes, size_t len)
{
    struct buffer out = BUFFER_INIT(CHUNK_LEN_MAX);
    struct error err = ERROR_INIT;

    assert_ok(chunk_read(cat, id, CHUNK_DATA, &out, &err));
    assert_int_equal(out.len, len);
    if (len > 0)
        assert_memory_equal(out.data, bytes, len);
    buffer_release(&out);
}

/* The only (or some) pack's path, below the working directory. */
struct found_pack {
    char path[PACK_PATH_MAX + 8];
    uint64_t size;
    unsigned packs, parts;
};

static inline enum error_kind found_pack_note(void *arg, const unsigned char name[PACK_NAME_LEN], bool part,
                                              uint64_t size, struct error *err)
{
    struct found_pack *f = arg;
    char path[PACK_PATH_MAX];

    (void)err;
    if (part) {
        f->parts++;
        return OK;
    }
    pack_path(name, false, path);
    snprintf(f->path, sizeof(f->path), CATALOGUE "/%s", path);
    f->size = size;
    f->packs++;
    return OK;
}

static inline struct found_pack find_packs(void)
{
    struct error err = ERROR_INIT;
    struct found_pack f = {.packs = 0};
    int dirfd = open(CATALOGUE, O_RDONLY | O_DIRECTORY);

    assert_true(dirfd >= 0);
    assert_ok(pack_file_each(dirfd, found_pack_note, &f, &err));
    close(dirfd);
    return f;
}

static inline void flip_byte(const char *path, uint64_t at, unsigned char with)
{
    int fd = open(path, O_RDWR);
    unsigned char byte;

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= with;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

#endif
