#include "snapshot_compare.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "chunk.h"
#include "file.h"
#include "test_support.h"
#include "tree.h"
#include "walk.h"

struct comparing {
    struct catalog *cat;
    struct walk *walk;
    struct walk_attributes *attributes;
    struct buffer chunk;
    unsigned count;
};

/* The file's bytes [*at, *at + chunk) are those of the chunk. */
static void compare_chunk(struct comparing *c, const struct chunk_id *id, int fd, uint64_t *at, uint64_t end)
{
    struct error err = ERROR_INIT;
    struct buffer bytes = BUFFER_INIT(8 << 20);
    size_t done = 0;

    assert_int_equal(chunk_read(c->cat, id, CHUNK_DATA, &c->chunk, &err), OK);
    assert_int_equal(buffer_reserve(&bytes, c->chunk.len + 1, &err), OK);
    while (done < c->chunk.len) {
        ssize_t got = pread(fd, bytes.data + done, c->chunk.len - done, (off_t)(*at + done));

        assert_true(got > 0);
        done += (size_t)got;
    }
    assert_true(*at + c->chunk.len <= end);
    assert_memory_equal(bytes.data, c->chunk.data, c->chunk.len);
    *at += c->chunk.len;
    buffer_release(&bytes);
}

/* Without holes: straight on. With holes: chunks cover the data as one stream, so the file's data is gathered first. */
static void compare_content(struct comparing *c, const struct tree_entry *e, int fd)
{
    struct error err = ERROR_INIT;
    struct list_reader *list = NULL;
    struct chunk_id id;
    uint64_t at = 0, end = e->size;
    bool more = true;
    char name[] = "/tmp/nscmpXXXXXX";
    int data = fd;

    if (e->hole_count) {
        uint64_t from = 0;

        data = mkstemp(name);
        unlink(name);
        end = 0;
        for (size_t i = 0; i <= e->hole_count; i++) {
            uint64_t to = i < e->hole_count ? e->holes[i].offset : e->size;

            for (; from < to; from++, end++) {
                char byte;

                assert_int_equal(pread(fd, &byte, 1, (off_t)from), 1);
                assert_int_equal(write(data, &byte, 1), 1);
            }
            from = i < e->hole_count ? to + e->holes[i].len : to;
        }
    }
    for (size_t i = 0; i < e->chunk_count; i++)
        compare_chunk(c, &e->chunks[i], data, &at, end);
    if (e->has_list) {
        assert_int_equal(list_reader_open(c->cat, &e->list, &list, &err), OK);
        while (list_reader_next(list, &id, &more, &err) == OK && more)
            compare_chunk(c, &id, data, &at, end);
        list_reader_close(list);
    }
    assert_int_equal(err.kind, OK);
    assert_int_equal(at, end);
    if (data != fd)
        close(data);
}

static void compare_holes(const struct tree_entry *e, int fd)
{
    for (size_t i = 0; i < e->hole_count; i++)
        for (uint64_t at = e->holes[i].offset; at < e->holes[i].offset + e->holes[i].len; at += 4096) {
            char byte = 1;

            assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
            assert_int_equal(byte, 0);
        }
}

static void compare_entry(struct comparing *c, const struct tree_entry *e, const struct walk_item *item)
{
    struct error err = ERROR_INIT;
    struct tree_entry now;
    int fd;

    assert_int_equal(walk_attributes_read(c->attributes, item, &now, &err), OK);
    /* what attributes don't say: the content */
    now.tree = e->tree;
    now.chunks = e->chunks;
    now.chunk_count = e->chunk_count;
    now.has_list = e->has_list;
    now.list = e->list;
    now.holes = e->holes;
    now.hole_count = e->hole_count;
    if (!tree_entry_equal(e, &now))
        fail_msg("%s is not what it was", item->path);
    c->count++;
    if (e->type != TREE_FILE)
        return;
    fd = openat(item->dirfd, item->name, O_RDONLY | O_NOFOLLOW);
    assert_true(fd >= 0);
    compare_holes(e, fd);
    compare_content(c, e, fd);
    close(fd);
}

static void next(struct comparing *c, struct walk_item *item)
{
    struct error err = ERROR_INIT;

    do {
        assert_int_equal(walk_next(c->walk, item, &err), OK);
        assert_int_not_equal(item->event, WALK_UNREADABLE);
    } while (item->event == WALK_ENTRY && S_ISSOCK(item->st.st_mode));
}

static void compare_tree(struct comparing *c, const struct chunk_id *tree)
{
    struct error err = ERROR_INIT;
    struct tree_reader *r = NULL;
    struct tree_entry e;
    struct walk_item item;
    bool more = true;

    assert_int_equal(tree_reader_open(c->cat, tree, &r, &err), OK);
    while (tree_reader_next(r, &e, &more, &err) == OK && more) {
        struct chunk_id below = e.tree;

        next(c, &item);
        assert_int_equal(item.event, e.type == TREE_DIRECTORY ? WALK_ENTER : WALK_ENTRY);
        assert_int_equal(strlen(item.name), e.name_len);
        assert_memory_equal(item.name, e.name, e.name_len);
        compare_entry(c, &e, &item);
        if (e.type == TREE_DIRECTORY) {
            compare_tree(c, &below);
            next(c, &item);
            assert_int_equal(item.event, WALK_LEAVE);
        }
    }
    assert_int_equal(err.kind, OK);
    tree_reader_close(r);
}

unsigned compare_snapshot(struct catalog *cat, const struct chunk_id *root, const char *folder)
{
    struct comparing c = {.cat = cat, .chunk = BUFFER_INIT(16 << 20)};
    struct error err = ERROR_INIT;
    struct walk_item item;

    assert_int_equal(walk_open(folder, NULL, &c.walk, &err), OK);
    assert_int_equal(walk_attributes_new(&c.attributes, &err), OK);
    compare_tree(&c, root);
    next(&c, &item);
    assert_int_equal(item.event, WALK_END);
    walk_attributes_free(c.attributes);
    walk_close(c.walk);
    buffer_release(&c.chunk);
    return c.count;
}

int64_t stored_bytes(struct catalog *cat, const struct chunk_id *root, const char *path)
{
    struct error err = ERROR_INIT;
    struct buffer encoded = BUFFER_INIT(16 << 20), chunk = BUFFER_INIT(16 << 20);
    struct tree_scratch *scratch = NULL;
    struct tree_entry e;
    int64_t total = 0;

    if (tree_lookup(cat, root, path, &encoded, &err) != OK) {
        assert_int_equal(err.kind, ERR_NOT_FOUND);
        buffer_release(&encoded);
        return -1;
    }
    assert_int_equal(tree_scratch_new(&scratch, &err), OK);
    assert_int_equal(tree_entry_decode(scratch, encoded.data, encoded.len, &e, &err), OK);
    for (size_t i = 0; i < e.chunk_count; i++) {
        assert_int_equal(chunk_read(cat, &e.chunks[i], CHUNK_DATA, &chunk, &err), OK);
        total += (int64_t)chunk.len;
    }
    tree_scratch_free(scratch);
    buffer_release(&encoded);
    buffer_release(&chunk);
    return total;
}
