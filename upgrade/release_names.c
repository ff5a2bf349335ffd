/*
 * The names in a release (R2). All are looked at before the first is written: a list is read whole, sorted so that what clashes is side by
 * side, and only then used.
 */
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "release_internal.h"

#define DROPPED_MAX 4 /* folders around the shop */
#define CLASHES_SHOWN 10

/* ---- one name ---- */

static bool is_slash(char c)
{
    return c == '/' || c == '\\';
}

static bool has_drive(const char *raw)
{
    return ((raw[0] >= 'a' && raw[0] <= 'z') || (raw[0] >= 'A' && raw[0] <= 'Z')) && raw[1] == ':';
}

static enum error_kind component_check(const char *name, size_t len, const char *raw, struct error *err)
{
    if (len == 2 && name[0] == '.' && name[1] == '.')
        return error_set(err, ERR_REFUSED, 0, "the name %s leads out of the folder that it is unpacked to", raw);
    if (len > NAME_MAX)
        return error_set(err, ERR_REFUSED, 0, "the name %.200s... is too long for a file", raw);
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return error_set(err, ERR_REFUSED, 0, "the name %s has control characters", raw);
    }
    return OK;
}

enum error_kind release_name_clean(const char *raw, char out[PATH_MAX], struct error *err)
{
    const char *p = raw;
    size_t used = 0;

    if (is_slash(*p) || has_drive(p))
        return error_set(err, ERR_REFUSED, 0, "the name %s is absolute", raw);
    out[0] = '\0';
    while (*p != '\0') {
        size_t len = strcspn(p, "/\\");
        enum error_kind rc = component_check(p, len, raw, err);

        if (rc)
            return rc;
        if (len > 0 && !(len == 1 && *p == '.')) {
            if (used + len + 2 > PATH_MAX)
                return error_set(err, ERR_REFUSED, 0, "the name %.200s... is too long for a path", raw);
            if (used > 0)
                out[used++] = '/';
            memcpy(out + used, p, len);
            used += len;
            out[used] = '\0';
        }
        p += len;
        p += is_slash(*p);
    }
    return OK;
}

/* ---- order ---- */

static int rank(char c)
{
    return c == '\0' ? 0 : c == '/' ? 1 : (unsigned char)c + 2;
}

int release_path_compare(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return rank(*a) - rank(*b);
}

static int by_path(const void *a, const void *b)
{
    return release_path_compare(((const struct release_entry *)a)->path, ((const struct release_entry *)b)->path);
}

size_t release_list_place(const struct release_list *list, const char *path)
{
    const struct release_entry key = {.path = path};
    const struct release_entry *found =
        list->count ? bsearch(&key, list->items, list->count, sizeof(key), by_path) : NULL;

    return found ? (size_t)(found - list->items) : SIZE_MAX;
}

/* ---- the list ---- */

static enum error_kind list_push(struct release *r, const struct release_entry *e, struct error *err)
{
    if (r->list.count == r->cap) {
        size_t cap = r->cap ? 2 * r->cap : 1024;
        void *items = realloc(r->list.items, cap * sizeof(*r->list.items));

        if (!items)
            return error_set(err, ERR_MEMORY, 0, "out of memory for the list of a release");
        r->list.items = items;
        r->cap = cap;
    }
    r->list.items[r->list.count++] = *e;
    return OK;
}

static enum error_kind list_add_len(struct release *r, const char *path, size_t len, const struct release_entry *like,
                                    struct error *err)
{
    struct release_entry e = *like;
    char *copy = NULL;
    enum error_kind rc;

    if (r->list.count >= r->limits.max_entries)
        return error_set(err, ERR_REFUSED, 0, "it has more than %llu files and folders",
                         (unsigned long long)r->limits.max_entries);
    r->names += len;
    if (r->names > RELEASE_NAMES_MAX)
        return error_set(err, ERR_REFUSED, 0, "its names alone take more than %u MiB", RELEASE_NAMES_MAX >> 20);
    rc = memory_allocate(len + 1, (void **)&copy, err);
    if (rc)
        return rc;
    memcpy(copy, path, len);
    copy[len] = '\0';
    e.path = copy;
    rc = list_push(r, &e, err);
    if (rc)
        free(copy);
    return rc;
}

enum error_kind release_list_add(struct release *r, const char *path, bool folder, uint64_t size, int64_t mtime,
                                 struct error *err)
{
    const struct release_entry e = {.folder = folder, .size = size, .mtime = mtime};
    enum error_kind rc = list_add_len(r, path, strlen(path), &e, err);

    if (rc)
        return rc;
    if (size > r->limits.max_bytes || r->facts.bytes > r->limits.max_bytes - size) {
        char limit[TEXT_MAX];

        text_size(r->limits.max_bytes, limit);
        return error_set(err, ERR_REFUSED, 0, "it would take more than %s unpacked", limit);
    }
    r->facts.bytes += size;
    return OK;
}

void release_list_release(struct release *r)
{
    for (size_t i = 0; i < r->list.count; i++)
        free((char *)r->list.items[i].path - r->skipped);
    free(r->list.items);
    r->list = (struct release_list){NULL, 0};
    r->cap = 0;
}

/* ---- the whole ---- */

/* Is the first len bytes' folder `other` itself, or above it? */
static bool holds(const char *path, size_t len, const char *other)
{
    return strncmp(path, other, len) == 0 && (other[len] == '/' || other[len] == '\0');
}

/* Folders above a path of which only it tells, behind what stands before it in order. */
static enum error_kind add_parents(struct release *r, const char *path, struct error *err)
{
    const struct release_entry folder = {.folder = true, .mtime = INT64_MIN};

    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        const struct release_entry *last = r->list.count ? &r->list.items[r->list.count - 1] : NULL;
        size_t len = (size_t)(slash - path);
        enum error_kind rc;

        if (last && holds(path, len, last->path)) {
            if (!last->folder && last->path[len] == '\0')
                return error_set(err, ERR_REFUSED, 0, "%s is a file, and %s is in it", last->path, path);
            continue;
        }
        rc = list_add_len(r, path, len, &folder, err);
        if (rc)
            return rc;
    }
    return OK;
}

static enum error_kind add_sorted(struct release *r, const struct release_entry *e, bool *taken, struct error *err)
{
    const struct release_entry *last = r->list.count ? &r->list.items[r->list.count - 1] : NULL;
    enum error_kind rc;

    *taken = false;
    if (last && strcmp(last->path, e->path) == 0)
        return last->folder && e->folder ? OK : error_set(err, ERR_REFUSED, 0, "it has %s twice", e->path);
    rc = add_parents(r, e->path, err);
    if (!rc)
        rc = list_push(r, e, err);
    *taken = !rc;
    return rc;
}

static enum error_kind sort_and_fill(struct release *r, struct error *err)
{
    struct release_list raw = r->list;
    enum error_kind rc = OK;

    if (raw.count)
        qsort(raw.items, raw.count, sizeof(*raw.items), by_path);
    r->list = (struct release_list){NULL, 0};
    r->cap = 0;
    for (size_t i = 0; i < raw.count; i++) {
        bool taken = false;

        if (!rc)
            rc = add_sorted(r, &raw.items[i], &taken, err);
        if (!taken)
            free((char *)raw.items[i].path);
    }
    if (!rc && r->list.count > r->limits.max_entries)
        rc = error_set(err, ERR_REFUSED, 0, "it has more than %llu files and folders",
                       (unsigned long long)r->limits.max_entries);
    free(raw.items);
    return rc;
}

/* Length of the first item's path where all others are below it, else 0. Sorted, the last one speaks for all. */
static size_t around_all(const struct release_list *list)
{
    size_t len;

    if (list->count < 2 || !list->items[0].folder)
        return 0;
    len = strlen(list->items[0].path);
    return holds(list->items[0].path, len, list->items[list->count - 1].path) ? len : 0;
}

static enum error_kind drop_folders(struct release *r, struct error *err)
{
    struct buffer dropped = BUFFER_INIT((size_t)DROPPED_MAX * PATH_MAX);
    enum error_kind rc = buffer_append_text(&dropped, "", err);
    size_t len;

    for (unsigned i = 0; !rc && i < DROPPED_MAX && (len = around_all(&r->list)) > 0; i++) {
        char *top = (char *)r->list.items[0].path - r->skipped;

        rc = buffer_append(&dropped, r->list.items[0].path, len, err);
        if (!rc)
            rc = buffer_append_u8(&dropped, '/', err);
        if (rc)
            break;
        free(top);
        memmove(r->list.items, r->list.items + 1, (r->list.count - 1) * sizeof(*r->list.items));
        r->list.count--;
        for (size_t k = 0; k < r->list.count; k++)
            r->list.items[k].path += len + 1;
        r->skipped += len + 1;
    }
    if (!rc && !dropped.data)
        rc = memory_string("", &r->dropped, err);
    else if (!rc)
        r->dropped = buffer_detach(&dropped);
    buffer_release(&dropped);
    return rc;
}

/* A journal that came with a release would be taken for the site's own. */
static enum error_kind refuse_own(const struct release_list *list, struct error *err)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strncmp(list->items[i].path, ".nopsnap", 8) == 0)
            return error_set(err, ERR_REFUSED, 0, "it has %s, a name that only nopsnap itself may use",
                             list->items[i].path);
    }
    return OK;
}

static int fold(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : (unsigned char)c;
}

static int compare_folded(const char *a, const char *b)
{
    while (*a != '\0' && fold(*a) == fold(*b)) {
        a++;
        b++;
    }
    return fold(*a) - fold(*b);
}

static int by_folded(const void *a, const void *b)
{
    const char *const *x = a;
    const char *const *y = b;
    int order = compare_folded(*x, *y);

    return order ? order : strcmp(*x, *y);
}

static bool same_parent(const char *a, const char *b)
{
    size_t len = (size_t)(path_base(a) - a);

    return len == (size_t)(path_base(b) - b) && memcmp(a, b, len) == 0;
}

/* Two names that Windows takes for one: the shop may be looking for either. */
static enum error_kind note_clashes(struct release *r, struct error *err)
{
    const char **paths = NULL;
    size_t clashes = 0;
    enum error_kind rc;

    rc = memory_zeroed(r->list.count + 1, sizeof(*paths), (void **)&paths, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < r->list.count; i++)
        paths[i] = r->list.items[i].path;
    qsort(paths, r->list.count, sizeof(*paths), by_folded);
    for (size_t i = 1; !rc && i < r->list.count; i++) {
        if (compare_folded(paths[i - 1], paths[i]) != 0 || !same_parent(paths[i - 1], paths[i]))
            continue;
        if (++clashes <= CLASHES_SHOWN)
            rc = text_list_addf(&r->facts.remarks, err, "%s and %s differ in upper and lower case alone", paths[i - 1],
                                paths[i]);
    }
    if (!rc && clashes > CLASHES_SHOWN)
        rc = text_list_addf(&r->facts.remarks, err, "%zu more pairs of names differ in upper and lower case alone",
                            clashes - CLASHES_SHOWN);
    free(paths);
    return rc;
}

enum error_kind release_list_finish(struct release *r, struct error *err)
{
    enum error_kind rc = sort_and_fill(r, err);

    if (!rc)
        rc = drop_folders(r, err);
    if (!rc)
        rc = refuse_own(&r->list, err);
    if (!rc)
        rc = note_clashes(r, err);
    for (size_t i = 0; !rc && i < r->list.count; i++) {
        r->facts.files += !r->list.items[i].folder;
        r->facts.folders += r->list.items[i].folder;
    }
    return rc;
}
