#include "plant.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "stat_cache.h"
#include "store.h"
#include "test_support.h"
#include "text.h"
#include "tree.h"
#include "walk.h"

#define PIECE (256u << 10)
#define GROUPS_MAX 256

struct group { /* one inode with several names */
    dev_t dev;
    ino_t ino;
    char *paths[8];
    size_t count;
};

struct plant {
    struct store *store;
    struct walk_attributes *attributes;
    struct stat_cache_writer *cache;
    struct group groups[GROUPS_MAX];
    size_t group_count;
    uint64_t files, bytes;
    struct chunk_id chunks[TREE_INLINE_IDS];
    struct tree_hole holes[64];
};

#define must(call)                                                \
    do {                                                          \
        struct error must_error = ERROR_INIT, *err = &must_error; \
        if (call)                                                 \
            fail_msg("%s: %s", #call, must_error.text);           \
    } while (0)

struct catalog *plant_catalog(const char *path)
{
    struct catalog *cat = NULL;

    must(catalog_init(path, err));
    must(catalog_open(path, CATALOG_WRITE, 0, &cat, err));
    return cat;
}

static struct chunk_id put_piece(struct plant *p, const void *bytes, size_t len)
{
    store_ticket ticket = 0;
    struct chunk_id id;

    must(store_put(p->store, CHUNK_DATA, 1, bytes, len, &ticket, err));
    must(store_claim(p->store, err));
    must(store_resolve(p->store, ticket, &id, err));
    return id;
}

static void find_holes(struct plant *p, int fd, struct tree_entry *e)
{
    off_t at = 0;

    while (at < (off_t)e->size) {
        off_t hole = lseek(fd, at, SEEK_HOLE);
        off_t data = lseek(fd, hole, SEEK_DATA);

        if (hole < 0 || hole >= (off_t)e->size)
            break;
        if (data < 0)
            data = (off_t)e->size;
        assert_true(e->hole_count < 64);
        p->holes[e->hole_count++] = (struct tree_hole){(uint64_t)hole, (uint64_t)(data - hole)};
        at = data;
    }
    e->holes = p->holes;
}

/* All bytes outside holes, one behind the other, in pieces. */
static void put_content(struct plant *p, int fd, struct tree_entry *e)
{
    uint64_t total = e->size;
    uint64_t at = 0;
    size_t hole = 0;
    unsigned char *piece = malloc(PIECE);
    struct list_builder *list = NULL;

    find_holes(p, fd, e);
    for (size_t i = 0; i < e->hole_count; i++)
        total -= e->holes[i].len;
    if (total > (uint64_t)PIECE * TREE_INLINE_IDS)
        must(list_builder_new(p->store, &list, err));
    while (total > 0) {
        size_t want = total < PIECE ? (size_t)total : PIECE;
        struct chunk_id id;
        size_t got = 0;

        while (got < want) {
            uint64_t end = hole < e->hole_count ? e->holes[hole].offset : e->size;
            size_t run = end - at < want - got ? (size_t)(end - at) : want - got;

            assert_int_equal(pread(fd, piece + got, run, (off_t)at), run);
            got += run;
            at += run;
            if (hole < e->hole_count && at == e->holes[hole].offset)
                at += e->holes[hole++].len;
        }
        total -= want;
        id = put_piece(p, piece, want);
        if (list)
            must(list_builder_add(list, &id, err));
        else
            p->chunks[e->chunk_count++] = id;
    }
    e->chunks = p->chunks;
    e->has_list = list != NULL;
    if (list)
        must(list_builder_end(list, &e->list, err));
    list_builder_free(list);
    free(piece);
}

static void note_link(struct plant *p, const struct stat *st, const char *path)
{
    size_t i = 0;

    if (st->st_nlink < 2)
        return;
    while (i < p->group_count && (p->groups[i].ino != st->st_ino || p->groups[i].dev != st->st_dev))
        i++;
    assert_true(i < GROUPS_MAX);
    if (i == p->group_count)
        p->groups[p->group_count++] = (struct group){.dev = st->st_dev, .ino = st->st_ino};
    assert_true(p->groups[i].count < 8);
    p->groups[i].paths[p->groups[i].count++] = strdup(path);
}

static struct chunk_id put_folder(struct plant *p, int dirfd, const char *path);

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int no_dots(const struct dirent *e)
{
    return strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
}

static void cache_entry(struct plant *p, const char *path, const struct stat *st, const struct tree_entry *e)
{
    struct buffer encoded = BUFFER_INIT(1 << 20);
    struct stat_key key;

    stat_key_of(st, &key);
    must(tree_entry_encode(e, &encoded, err));
    must(stat_cache_add(p->cache, path, &key, encoded.data, encoded.len, err));
    buffer_release(&encoded);
}

/* Content first: what the attributes point to is good until the next entry's are read. */
static void put_entry(struct plant *p, struct tree_builder *b, int dirfd, const char *name, const char *path)
{
    struct walk_item item = {.path = path, .name = name, .dirfd = dirfd};
    struct chunk_id tree = {{0}, 0};
    struct tree_entry e;
    int fd;

    assert_int_equal(fstatat(dirfd, name, &item.st, AT_SYMLINK_NOFOLLOW), 0);
    if (S_ISSOCK(item.st.st_mode))
        return;
    if (S_ISDIR(item.st.st_mode)) {
        fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY);
        tree = put_folder(p, fd, path);
        close(fd);
    } else {
        p->files++;
        note_link(p, &item.st, path);
    }
    must(walk_attributes_read(p->attributes, &item, &e, err));
    e.name = (const unsigned char *)name;
    e.name_len = strlen(name);
    e.tree = tree;
    if (e.type == TREE_FILE) {
        fd = openat(dirfd, name, O_RDONLY);
        assert_true(fd >= 0);
        put_content(p, fd, &e);
        close(fd);
        p->bytes += e.size;
        cache_entry(p, path, &item.st, &e);
    }
    must(tree_builder_add(b, &e, err));
}

static struct chunk_id end_tree(struct plant *p, struct tree_builder *b)
{
    store_ticket ticket = 0;
    struct chunk_id id;

    must(tree_builder_end(b, &ticket, err));
    must(store_claim(p->store, err));
    must(store_resolve(p->store, ticket, &id, err));
    tree_builder_free(b);
    return id;
}

static struct chunk_id put_folder(struct plant *p, int dirfd, const char *path)
{
    struct tree_builder *b = NULL;
    struct dirent **names = NULL;
    int count = scandirat(dirfd, ".", &names, no_dots, by_bytes);

    assert_true(count >= 0);
    must(tree_builder_new(p->store, &b, err));
    for (int i = 0; i < count; i++) {
        char *full = NULL;

        assert_true(asprintf(&full, "%s%s%s", path, path[0] ? "/" : "", names[i]->d_name) > 0);
        put_entry(p, b, dirfd, names[i]->d_name, full);
        free(full);
        free(names[i]);
    }
    free(names);
    return end_tree(p, b);
}

static struct chunk_id put_root(struct plant *p, const char *folder)
{
    struct walk_item item = {.path = "", .name = "."};
    struct tree_builder *b = NULL;
    struct chunk_id tree;
    struct tree_entry e;
    int fd = open(folder, O_RDONLY | O_DIRECTORY);

    assert_true(fd >= 0);
    item.dirfd = fd;
    assert_int_equal(fstat(fd, &item.st), 0);
    tree = put_folder(p, fd, "");
    must(walk_attributes_read(p->attributes, &item, &e, err));
    e.name = (const unsigned char *)".";
    e.name_len = 1;
    e.tree = tree;
    must(tree_builder_new(p->store, &b, err));
    must(tree_builder_add(b, &e, err));
    close(fd);
    return end_tree(p, b);
}

void plant_record(struct store *store, const struct chunk_id *tree, struct snapshot_record *out)
{
    *out = (struct snapshot_record)SNAPSHOT_RECORD_INIT;
    out->made_ns = clock_now();
    out->from_ns = out->to_ns = out->made_ns;
    out->site_id = strdup("0123456789abcdef");
    out->site_path = strdup("/srv/shop");
    out->site_name = strdup("shop");
    out->host = strdup("host");
    out->host_id = strdup("id");
    out->tool = strdup("test");
    out->part = SNAPSHOT_FILES_ONLY;
    out->roots[0] = (struct snapshot_root){.name = strdup("site"), .path = strdup("/srv/shop"), .tree = *tree};
    out->root_count = 1;
    must(store_flush(store, err));
}

static void put_links(struct plant *p, struct snapshot_record *out)
{
    static const unsigned char root[8];
    struct links_builder *links = NULL;

    must(links_builder_new(p->store, &links, err));
    for (size_t i = 0; i < p->group_count; i++) {
        struct group *g = &p->groups[i];

        if (g->count > 1)
            must(links_builder_group(links, root, (const char *const *)g->paths, g->count, err));
        for (size_t j = 0; j < g->count; j++)
            free(g->paths[j]);
    }
    must(links_builder_end(links, out, err));
    links_builder_free(links);
}

void plant_snapshot(struct catalog *cat, const char *folder, struct snapshot_record *out)
{
    struct plant *p = calloc(1, sizeof(*p));
    struct chunk_id tree;

    assert_non_null(p);
    must(store_begin(cat, NULL, &p->store, err));
    must(walk_attributes_new(&p->attributes, err));
    must(stat_cache_begin(cat, "0123456789abcdef", "site", clock_now() + 10000000000, &p->cache, err));
    tree = put_root(p, folder);
    plant_record(p->store, &tree, out);
    put_links(p, out);
    must(store_flush(p->store, err));
    out->roots[0].files = p->files;
    out->roots[0].bytes = p->bytes;
    must(snapshot_commit(p->store, out, err));
    must(stat_cache_commit(p->cache, err));
    walk_attributes_free(p->attributes);
    store_free(p->store);
    free(p);
}
