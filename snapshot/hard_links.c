#include "hard_links_internal.h"

#include <stdlib.h>
#include <string.h>

#include "sorter.h"

#define TABLE_SIZE 32768u /* a power of two, half of it used */
#define TABLE_USED_MAX (TABLE_SIZE / 2)
#define KEPT_ENTRY_MAX 2048 /* bytes; larger ones (many attributes) are read again */
#define SORT_MEMORY (2u << 20)
#define NOTE_HEAD 25     /* device, inode, order: 8 bytes each, big-endian; root */
#define GROUP_MAX 131072 /* names of one file; most filesystems allow 65,000. Further ones become files of their own */

struct kept {
    bool used;
    struct stat_key key;
    struct spill_entry entry; /* encoded is NULL until it was read; owned */
};

struct hard_links {
    struct kept *table;
    size_t used;
    struct sorter *notes;
    uint64_t count;
    struct buffer note;
};

enum error_kind hard_links_new(struct hard_links **out, struct error *err)
{
    void *memory = NULL;
    struct hard_links *h;
    enum error_kind rc = memory_zeroed(1, sizeof *h, &memory, err);

    if (rc)
        return rc;
    h = memory;
    h->note = (struct buffer)BUFFER_INIT(SORTER_STRING_MAX);
    rc = sorter_new(&h->notes, err);
    if (rc) {
        hard_links_free(h);
        return rc;
    }
    sorter_begin(h->notes, SORT_MEMORY);
    *out = h;
    return OK;
}

void hard_links_forget(struct hard_links *h)
{
    for (size_t i = 0; h->table && i < TABLE_SIZE; i++)
        free((void *)(uintptr_t)h->table[i].entry.encoded);
    free(h->table);
    h->table = NULL;
    h->used = 0;
}

void hard_links_free(struct hard_links *h)
{
    if (!h)
        return;
    hard_links_forget(h);
    sorter_free(h->notes);
    buffer_release(&h->note);
    free(h);
}

/* ---- the table ---- */

static struct kept *find(struct hard_links *h, const struct stat_key *key, bool make)
{
    size_t at = (size_t)((key->inode * 0x9e3779b97f4a7c15u) ^ key->device) & (TABLE_SIZE - 1);

    if (!h->table && make)
        h->table = calloc(TABLE_SIZE, sizeof *h->table); /* without it files are read more than once, no more */
    if (!h->table)
        return NULL;
    while (h->table[at].used && !stat_key_equal(&h->table[at].key, key))
        at = (at + 1) & (TABLE_SIZE - 1);
    if (h->table[at].used)
        return &h->table[at];
    if (!make || h->used == TABLE_USED_MAX)
        return NULL;
    h->used++;
    h->table[at].used = true;
    h->table[at].key = *key;
    return &h->table[at];
}

bool hard_links_expected(struct hard_links *h, const struct stat_key *key)
{
    return find(h, key, false) != NULL;
}

bool hard_links_expect(struct hard_links *h, const struct stat_key *key)
{
    return find(h, key, true) != NULL;
}

void hard_links_keep(struct hard_links *h, const struct spill_entry *entry)
{
    struct kept *k = find(h, &entry->key, false);
    void *copy;

    if (!k || k->entry.encoded || entry->len > KEPT_ENTRY_MAX)
        return;
    copy = malloc(entry->len);
    if (!copy)
        return;
    memcpy(copy, entry->encoded, entry->len);
    k->entry = *entry;
    k->entry.name = NULL;
    k->entry.name_len = 0;
    k->entry.encoded = copy;
}

const struct spill_entry *hard_links_kept(struct hard_links *h, const struct stat_key *key)
{
    const struct kept *k = find(h, key, false);

    return k && k->entry.encoded ? &k->entry : NULL;
}

/* ---- the notes ---- */

static void put_big(unsigned char *p, uint64_t v)
{
    for (int i = 7; i >= 0; i--, v >>= 8)
        p[i] = (unsigned char)v;
}

enum error_kind hard_links_note(struct hard_links *h, unsigned root, const char *path, const struct stat_key *key,
                                struct error *err)
{
    unsigned char head[NOTE_HEAD];
    enum error_kind rc;

    put_big(head, key->device);
    put_big(head + 8, key->inode);
    put_big(head + 16, h->count++);
    head[24] = (unsigned char)root;
    buffer_clear(&h->note);
    rc = buffer_append(&h->note, head, sizeof head, err);
    if (!rc)
        rc = buffer_append_text(&h->note, path, err);
    return rc ? rc : sorter_add(h->notes, h->note.data, h->note.len, err);
}

struct group {
    unsigned char identity[16];
    char **paths;
    unsigned char *roots;
    size_t count, cap;
};

static void empty_group(struct group *g)
{
    while (g->count)
        free(g->paths[--g->count]);
}

static void release_group(struct group *g)
{
    empty_group(g);
    free(g->paths);
    free(g->roots);
}

static enum error_kind grow_group(struct group *g, struct error *err)
{
    size_t cap = g->cap ? 2 * g->cap : 64;
    char **paths;
    unsigned char *roots;

    if (g->count < g->cap)
        return OK;
    paths = realloc(g->paths, cap * sizeof *paths);
    if (paths)
        g->paths = paths;
    roots = realloc(g->roots, cap);
    if (roots)
        g->roots = roots;
    if (!paths || !roots)
        return error_set(err, ERR_MEMORY, 0, "no memory for the names of one file");
    g->cap = cap;
    return OK;
}

static enum error_kind store_group(struct group *g, struct links_builder *b, struct error *err)
{
    enum error_kind rc = OK;

    if (g->count > 1)
        rc = links_builder_group(b, g->roots, (const char *const *)g->paths, g->count, err);
    empty_group(g);
    return rc;
}

static enum error_kind add_to_group(struct group *g, const unsigned char *note, struct links_builder *b,
                                    struct error *err)
{
    enum error_kind rc = OK;

    if (g->count && (memcmp(g->identity, note, sizeof g->identity) || g->count == GROUP_MAX))
        rc = store_group(g, b, err);
    if (!rc)
        rc = grow_group(g, err);
    if (!rc)
        rc = memory_string((const char *)note + NOTE_HEAD, &g->paths[g->count], err);
    if (rc)
        return rc;
    memcpy(g->identity, note, sizeof g->identity);
    g->roots[g->count++] = note[24];
    return OK;
}

enum error_kind hard_links_store(struct hard_links *h, struct store *store, struct snapshot_record *record,
                                 struct error *err)
{
    struct links_builder *b = NULL;
    struct group group = {.count = 0};
    const void *note = NULL;
    size_t len;
    enum error_kind rc;

    if (!h->count)
        return OK;
    rc = links_builder_new(store, &b, err);
    if (!rc)
        rc = sorter_sort(h->notes, err);
    while (!rc && !(rc = sorter_next(h->notes, &note, &len, err)) && note)
        rc = add_to_group(&group, note, b, err);
    if (!rc)
        rc = store_group(&group, b, err);
    if (!rc)
        rc = links_builder_end(b, record, err);
    release_group(&group);
    links_builder_free(b);
    return rc;
}
