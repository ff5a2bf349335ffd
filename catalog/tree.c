#include "tree.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "file.h"
#include "tree_internal.h"

#define XATTR_MIN 5 /* encoded: name length, value length */
#define HOLE_LEN 16
#define NANOSECONDS 1000000000u
#define TEXT_FIRST 1024 /* room for the texts of one entry, to begin with */

struct tree_scratch {
    struct buffer text; /* names and targets, each with a NUL; never moved while an entry is being decoded */
    bool text_full;     /* it was too small: decode again with twice the room */
    struct tree_xattr *xattrs;
    size_t xattr_cap;
    struct tree_hole *holes;
    size_t hole_cap;
    struct chunk_id chunks[TREE_INLINE_IDS];
};

/* ---- encoding ---- */

static int compare_xattrs(const void *a, const void *b)
{
    const struct tree_xattr *x = *(const struct tree_xattr *const *)a;
    const struct tree_xattr *y = *(const struct tree_xattr *const *)b;

    return strcmp(x->name, y->name);
}

static enum error_kind append_short_text(struct buffer *out, const char *text, const char *what, struct error *err)
{
    size_t len = text ? strlen(text) : 0;
    enum error_kind rc;

    if (len > UINT8_MAX)
        return error_set(err, ERR_REFUSED, 0, "%s is longer than 255 bytes", what);
    rc = buffer_append_u8(out, (uint8_t)len, err);
    return rc ? rc : buffer_append(out, text, len, err);
}

static enum error_kind append_id(struct buffer *out, const struct chunk_id *id, struct error *err)
{
    unsigned char bytes[CHUNK_ID_LEN];

    chunk_id_encode(id, bytes);
    return buffer_append(out, bytes, sizeof(bytes), err);
}

static enum error_kind append_xattr(struct buffer *out, const struct tree_xattr *x, struct error *err)
{
    enum error_kind rc;

    if (!x->name[0])
        return error_set(err, ERR_REFUSED, 0, "an extended attribute has no name");
    rc = append_short_text(out, x->name, "an extended attribute's name", err);
    if (!rc)
        rc = buffer_append_u32(out, x->len, err);
    return rc ? rc : buffer_append(out, x->value, x->len, err);
}

/* Sorted here, because listxattr(2) promises no order and equal directories must have equal ids. */
static enum error_kind append_xattrs(struct buffer *out, const struct tree_entry *e, struct error *err)
{
    const struct tree_xattr **order = NULL;
    void *memory = NULL;
    enum error_kind rc;

    if (e->xattr_count > UINT16_MAX)
        return error_set(err, ERR_REFUSED, 0, "%zu extended attributes on one file", e->xattr_count);
    rc = buffer_append_u16(out, (uint16_t)e->xattr_count, err);
    if (rc || e->xattr_count == 0)
        return rc;
    rc = memory_zeroed(e->xattr_count, sizeof(*order), &memory, err);
    if (rc)
        return rc;
    order = memory;
    for (size_t i = 0; i < e->xattr_count; i++)
        order[i] = &e->xattrs[i];
    qsort(order, e->xattr_count, sizeof(*order), compare_xattrs);
    for (size_t i = 0; !rc && i < e->xattr_count; i++) {
        if (i > 0 && strcmp(order[i - 1]->name, order[i]->name) == 0)
            rc = error_set(err, ERR_REFUSED, 0, "extended attribute %s is there twice", order[i]->name);
        else
            rc = append_xattr(out, order[i], err);
    }
    free(order);
    return rc;
}

static enum error_kind append_file(struct buffer *out, const struct tree_entry *e, struct error *err)
{
    enum error_kind rc;

    assert(e->has_list || e->chunk_count <= TREE_INLINE_IDS);
    if (e->hole_count > TREE_ENTRY_MAX / HOLE_LEN)
        return error_set(err, ERR_REFUSED, 0, "%zu holes in one file", e->hole_count);
    rc = buffer_append_u64(out, e->size, err);
    if (!rc)
        rc = buffer_append_u32(out, (uint32_t)e->hole_count, err);
    for (size_t i = 0; !rc && i < e->hole_count; i++) {
        rc = buffer_append_u64(out, e->holes[i].offset, err);
        if (!rc)
            rc = buffer_append_u64(out, e->holes[i].len, err);
    }
    if (!rc)
        rc = buffer_append_u8(out, e->has_list ? 1 : 0, err);
    if (rc)
        return rc;
    if (e->has_list)
        return append_id(out, &e->list, err);
    rc = buffer_append_u32(out, (uint32_t)e->chunk_count, err);
    for (size_t i = 0; !rc && i < e->chunk_count; i++)
        rc = append_id(out, &e->chunks[i], err);
    return rc;
}

static enum error_kind append_symlink(struct buffer *out, const struct tree_entry *e, struct error *err)
{
    enum error_kind rc;

    if (e->target_len == 0 || e->target_len > UINT16_MAX)
        return error_set(err, ERR_REFUSED, 0, "a symlink's target has %zu bytes", e->target_len);
    rc = buffer_append_u16(out, (uint16_t)e->target_len, err);
    return rc ? rc : buffer_append(out, e->target, e->target_len, err);
}

static enum error_kind append_content(struct buffer *out, const struct tree_entry *e, struct error *err)
{
    enum error_kind rc;

    switch (e->type) {
    case TREE_FILE:
        return append_file(out, e, err);
    case TREE_DIRECTORY:
        return append_id(out, &e->tree, err);
    case TREE_SYMLINK:
        return append_symlink(out, e, err);
    case TREE_CHARACTER_DEVICE:
    case TREE_BLOCK_DEVICE:
        rc = buffer_append_u32(out, e->device_major, err);
        return rc ? rc : buffer_append_u32(out, e->device_minor, err);
    case TREE_FIFO:
        return OK;
    }
    return error_set(err, ERR_REFUSED, 0, "type %d of a file is unknown", (int)e->type);
}

enum error_kind tree_entry_encode(const struct tree_entry *entry, struct buffer *out, struct error *err)
{
    enum error_kind rc;
    size_t from = out->len;

    rc = buffer_append_u8(out, (uint8_t)entry->type, err);
    if (!rc)
        rc = buffer_append_u32(out, entry->mode & 07777, err);
    if (!rc)
        rc = buffer_append_u32(out, entry->uid, err);
    if (!rc)
        rc = buffer_append_u32(out, entry->gid, err);
    if (!rc)
        rc = append_short_text(out, entry->owner, "the owner's name", err);
    if (!rc)
        rc = append_short_text(out, entry->group, "the group's name", err);
    if (!rc)
        rc = buffer_append_u64(out, (uint64_t)entry->mtime_sec, err);
    if (!rc)
        rc = buffer_append_u32(out, entry->mtime_nsec, err);
    if (!rc)
        rc = append_xattrs(out, entry, err);
    if (!rc)
        rc = append_content(out, entry, err);
    if (!rc && out->len - from > TREE_ENTRY_MAX)
        rc =
            error_set(err, ERR_REFUSED, 0, "holes and extended attributes of one file take %zu bytes", out->len - from);
    return rc;
}

/* ---- decoding ---- */

enum error_kind tree_scratch_new(struct tree_scratch **out, struct error *err)
{
    void *memory = NULL;
    enum error_kind rc = memory_zeroed(1, sizeof(struct tree_scratch), &memory, err);

    if (rc)
        return rc;
    *out = memory;
    (*out)->text = (struct buffer)BUFFER_INIT(2 * TREE_ENTRY_MAX);
    return OK;
}

void tree_scratch_free(struct tree_scratch *s)
{
    if (!s)
        return;
    buffer_release(&s->text);
    free(s->xattrs);
    free(s->holes);
    free(s);
}

enum error_kind tree_name_check(const unsigned char *name, size_t len, struct error *err)
{
    if (len > TREE_NAME_MAX || !name_is_safe(name, len))
        return error_set(err, ERR_CORRUPT, 0, "a tree holds a name that is not one safe component");
    return OK;
}

/* A NUL-terminated copy. The buffer does not grow here, so that pointers into it stay good. */
static enum error_kind keep_text(struct tree_scratch *s, const unsigned char *bytes, size_t len, const char **out,
                                 struct error *err)
{
    char *to;

    if (len > 0 && memchr(bytes, '\0', len))
        return error_set(err, ERR_CORRUPT, 0, "a text in a tree holds a NUL");
    if (s->text.cap - s->text.len <= len) {
        s->text_full = true;
        return OK;
    }
    to = (char *)s->text.data + s->text.len;
    memcpy(to, bytes, len);
    to[len] = '\0';
    s->text.len += len + 1;
    *out = to;
    return OK;
}

static enum error_kind parse_short_text(struct tree_scratch *s, struct cursor *c, const char **out, struct error *err)
{
    size_t len = cursor_u8(c);
    const unsigned char *bytes = cursor_bytes(c, len);

    return bytes ? keep_text(s, bytes, len, out, err) : OK;
}

/* Room for count elements, once it is known that their bytes are there: a count alone never allocates (P11). */
static enum error_kind make_room(void **array, size_t *cap, size_t count, size_t size, struct error *err)
{
    void *grown;

    if (count <= *cap)
        return OK;
    grown = reallocarray(*array, count, size);
    if (!grown)
        return error_set(err, ERR_MEMORY, 0, "out of memory: %zu elements wanted", count);
    *array = grown;
    *cap = count;
    return OK;
}

static enum error_kind parse_xattrs(struct tree_scratch *s, struct cursor *c, struct tree_entry *out, struct error *err)
{
    size_t count = cursor_u16(c);
    void *memory = s->xattrs;
    enum error_kind rc;

    if (c->bad || count * XATTR_MIN > cursor_left(c)) {
        c->bad = 1;
        return OK;
    }
    rc = make_room(&memory, &s->xattr_cap, count, sizeof(*s->xattrs), err);
    if (rc)
        return rc;
    s->xattrs = memory;
    for (size_t i = 0; i < count; i++) {
        struct tree_xattr *x = &s->xattrs[i];

        x->name = "";
        rc = parse_short_text(s, c, &x->name, err);
        x->len = cursor_u32(c);
        x->value = cursor_bytes(c, x->len);
        if (rc || c->bad)
            return rc;
        if (!x->name[0] || (i > 0 && strcmp(s->xattrs[i - 1].name, x->name) >= 0))
            return error_set(err, ERR_CORRUPT, 0, "extended attributes in a tree are not in order");
    }
    out->xattrs = s->xattrs;
    out->xattr_count = count;
    return OK;
}

static enum error_kind parse_holes(struct tree_scratch *s, struct cursor *c, struct tree_entry *out, struct error *err)
{
    size_t count = cursor_u32(c);
    void *memory = s->holes;
    uint64_t at = 0;
    enum error_kind rc;

    if (count > TREE_ENTRY_MAX / HOLE_LEN)
        return error_set(err, ERR_CORRUPT, 0, "a tree tells of %zu holes in one file", count);
    if (c->bad || count * HOLE_LEN > cursor_left(c)) {
        c->bad = 1;
        return OK;
    }
    rc = make_room(&memory, &s->hole_cap, count, sizeof(*s->holes), err);
    if (rc)
        return rc;
    s->holes = memory;
    for (size_t i = 0; i < count; i++) {
        struct tree_hole *h = &s->holes[i];

        h->offset = cursor_u64(c);
        h->len = cursor_u64(c);
        if (h->len == 0 || h->offset < at || h->offset > out->size || h->len > out->size - h->offset)
            return error_set(err, ERR_CORRUPT, 0, "holes in a tree lie outside their file or overlap");
        at = h->offset + h->len;
    }
    out->holes = s->holes;
    out->hole_count = count;
    return OK;
}

static void parse_id(struct cursor *c, struct chunk_id *out)
{
    const unsigned char *bytes = cursor_bytes(c, CHUNK_ID_LEN);

    if (bytes)
        chunk_id_decode(bytes, out);
}

static enum error_kind parse_file(struct tree_scratch *s, struct cursor *c, struct tree_entry *out, struct error *err)
{
    enum error_kind rc;
    unsigned form;
    size_t count;

    out->size = cursor_u64(c);
    rc = parse_holes(s, c, out, err);
    if (rc)
        return rc;
    form = cursor_u8(c);
    if (form > 1)
        return error_set(err, ERR_CORRUPT, 0, "a file in a tree has the unknown form %u", form);
    if (form == 1) {
        out->has_list = true;
        parse_id(c, &out->list);
        return OK;
    }
    count = cursor_u32(c);
    if (count > TREE_INLINE_IDS)
        return error_set(err, ERR_CORRUPT, 0, "a file in a tree names %zu chunks in place", count);
    for (size_t i = 0; i < count; i++)
        parse_id(c, &s->chunks[i]);
    out->chunks = count > 0 ? s->chunks : NULL;
    out->chunk_count = count;
    return OK;
}

static enum error_kind parse_content(struct tree_scratch *s, struct cursor *c, struct tree_entry *out,
                                     struct error *err)
{
    const unsigned char *bytes;

    switch (out->type) {
    case TREE_FILE:
        return parse_file(s, c, out, err);
    case TREE_DIRECTORY:
        parse_id(c, &out->tree);
        return OK;
    case TREE_SYMLINK:
        out->target_len = cursor_u16(c);
        bytes = cursor_bytes(c, out->target_len);
        if (!bytes)
            return OK;
        if (out->target_len == 0)
            return error_set(err, ERR_CORRUPT, 0, "a symlink in a tree has no target");
        return keep_text(s, bytes, out->target_len, &out->target, err);
    case TREE_CHARACTER_DEVICE:
    case TREE_BLOCK_DEVICE:
        out->device_major = cursor_u32(c);
        out->device_minor = cursor_u32(c);
        return OK;
    case TREE_FIFO:
        return OK;
    }
    return error_set(err, ERR_CORRUPT, 0, "an entry of a tree has the unknown type %d", (int)out->type);
}

static enum error_kind parse_entry(struct tree_scratch *s, struct cursor *c, struct tree_entry *out, struct error *err)
{
    struct tree_entry e = {.owner = "", .group = "", .target = ""};
    enum error_kind rc;

    e.type = (enum tree_type)cursor_u8(c);
    e.mode = cursor_u32(c);
    e.uid = cursor_u32(c);
    e.gid = cursor_u32(c);
    if (e.mode > 07777)
        return error_set(err, ERR_CORRUPT, 0, "an entry of a tree has the mode %o", e.mode);
    rc = parse_short_text(s, c, &e.owner, err);
    if (!rc)
        rc = parse_short_text(s, c, &e.group, err);
    if (rc)
        return rc;
    e.mtime_sec = (int64_t)cursor_u64(c);
    e.mtime_nsec = cursor_u32(c);
    if (e.mtime_nsec >= NANOSECONDS)
        return error_set(err, ERR_CORRUPT, 0, "an entry of a tree has %u nanoseconds", e.mtime_nsec);
    rc = parse_xattrs(s, c, &e, err);
    if (!rc && !c->bad)
        rc = parse_content(s, c, &e, err);
    if (!rc)
        *out = e;
    return rc;
}

enum error_kind tree_entry_parse(struct tree_scratch *s, struct cursor *c, struct tree_entry *out, struct error *err)
{
    size_t bound = cursor_left(c) < TREE_ENTRY_MAX ? cursor_left(c) : TREE_ENTRY_MAX;
    size_t room = s->text.cap > TEXT_FIRST ? s->text.cap - 1 : TEXT_FIRST;
    struct cursor window;
    enum error_kind rc;

    do {
        buffer_clear(&s->text);
        rc = buffer_reserve(&s->text, room, err);
        if (rc)
            return rc;
        s->text_full = false;
        window = (struct cursor){c->at, c->at + bound, c->bad};
        rc = parse_entry(s, &window, out, err);
        if (rc)
            return rc;
        room *= 2;
    } while (s->text_full);
    if (window.bad && bound == TREE_ENTRY_MAX)
        return error_set(err, ERR_CORRUPT, 0, "an entry of a tree is longer than %u bytes", TREE_ENTRY_MAX);
    c->bad = window.bad;
    if (!c->bad)
        c->at = window.at;
    return OK;
}

enum error_kind tree_entry_decode(struct tree_scratch *s, const void *encoded, size_t len, struct tree_entry *out,
                                  struct error *err)
{
    struct cursor c = cursor_over(encoded, len);
    struct tree_entry e;
    enum error_kind rc = tree_entry_parse(s, &c, &e, err);

    if (rc)
        return rc;
    if (c.bad || cursor_left(&c) > 0)
        return error_set(err, ERR_CORRUPT, 0, "an entry of a tree does not end where it should");
    *out = e;
    return OK;
}

/* ---- comparing ---- */

static bool xattrs_equal(const struct tree_entry *a, const struct tree_entry *b)
{
    if (a->xattr_count != b->xattr_count)
        return false;
    for (size_t i = 0; i < a->xattr_count; i++) {
        const struct tree_xattr *x = &a->xattrs[i];
        const struct tree_xattr *y = NULL;

        for (size_t j = 0; j < b->xattr_count && !y; j++) /* a caller's own entry need not be sorted */
            y = strcmp(x->name, b->xattrs[j].name) == 0 ? &b->xattrs[j] : NULL;
        if (!y || x->len != y->len || (x->len > 0 && memcmp(x->value, y->value, x->len) != 0))
            return false;
    }
    return true;
}

static bool files_equal(const struct tree_entry *a, const struct tree_entry *b)
{
    if (a->size != b->size || a->hole_count != b->hole_count || a->has_list != b->has_list)
        return false;
    for (size_t i = 0; i < a->hole_count; i++)
        if (a->holes[i].offset != b->holes[i].offset || a->holes[i].len != b->holes[i].len)
            return false;
    if (a->has_list)
        return chunk_id_equal(&a->list, &b->list);
    if (a->chunk_count != b->chunk_count)
        return false;
    for (size_t i = 0; i < a->chunk_count; i++)
        if (!chunk_id_equal(&a->chunks[i], &b->chunks[i]))
            return false;
    return true;
}

bool tree_content_equal(const struct tree_entry *a, const struct tree_entry *b)
{
    switch (a->type) {
    case TREE_FILE:
        return files_equal(a, b);
    case TREE_DIRECTORY:
        return chunk_id_equal(&a->tree, &b->tree);
    case TREE_SYMLINK:
        return a->target_len == b->target_len && memcmp(a->target, b->target, a->target_len) == 0;
    case TREE_CHARACTER_DEVICE:
    case TREE_BLOCK_DEVICE:
        return a->device_major == b->device_major && a->device_minor == b->device_minor;
    case TREE_FIFO:
        return true;
    }
    return false;
}

bool tree_entry_equal(const struct tree_entry *a, const struct tree_entry *b)
{
    return a->type == b->type && a->mode == b->mode && a->uid == b->uid && a->gid == b->gid &&
           strcmp(a->owner ? a->owner : "", b->owner ? b->owner : "") == 0 &&
           strcmp(a->group ? a->group : "", b->group ? b->group : "") == 0 && a->mtime_sec == b->mtime_sec &&
           a->mtime_nsec == b->mtime_nsec && xattrs_equal(a, b) && tree_content_equal(a, b);
}

bool tree_attributes_equal(const struct tree_entry *a, const struct tree_entry *b)
{
    /* The same content on both sides leaves only attributes to differ. */
    struct tree_entry other = *b;

    other.size = a->size;
    other.holes = a->holes;
    other.hole_count = a->hole_count;
    other.chunks = a->chunks;
    other.chunk_count = a->chunk_count;
    other.has_list = a->has_list;
    other.list = a->list;
    other.tree = a->tree;
    other.target = a->target;
    other.target_len = a->target_len;
    other.device_major = a->device_major;
    other.device_minor = a->device_minor;
    return tree_entry_equal(a, &other);
}

enum tree_type tree_type_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return TREE_FILE;
    case S_IFDIR:
        return TREE_DIRECTORY;
    case S_IFLNK:
        return TREE_SYMLINK;
    case S_IFIFO:
        return TREE_FIFO;
    case S_IFCHR:
        return TREE_CHARACTER_DEVICE;
    case S_IFBLK:
        return TREE_BLOCK_DEVICE;
    default:
        return (enum tree_type)0;
    }
}
