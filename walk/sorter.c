#include "sorter.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "file.h"
#include "unnamed_file.h"

#define READ_SIZE 4096
#define LENGTH_SIZE 4

/* A sorted run in the file: its strings as length and bytes, read through a small window. */
struct run {
    uint64_t at, end; /* what of the file is not in the window yet */
    struct buffer window;
    size_t used;               /* bytes of the window already handed out */
    const unsigned char *head; /* the run's first string, or NULL when it is spent */
    size_t head_len;
};

struct sorter {
    struct buffer arena; /* length, bytes, NUL, for each string */
    uint32_t *order;     /* offsets into the arena */
    size_t count, cap;
    size_t next;
    size_t memory;
    int fd;
    uint64_t file_len;
    struct run *runs;
    size_t run_count;
    struct run *last; /* whose head was handed out */
};

enum error_kind sorter_new(struct sorter **out, struct error *err)
{
    struct sorter *s = NULL;
    enum error_kind rc = memory_zeroed(1, sizeof *s, (void **)&s, err);

    if (rc)
        return rc;
    s->fd = -1;
    s->arena.max = UINT32_MAX / 2;
    s->memory = 64 * 1024;
    *out = s;
    return OK;
}

static void drop_runs(struct sorter *s)
{
    for (size_t i = 0; i < s->run_count; i++)
        buffer_release(&s->runs[i].window);
    free(s->runs);
    s->runs = NULL;
    s->run_count = 0;
    s->last = NULL;
    s->file_len = 0;
    file_close(&s->fd);
}

void sorter_begin(struct sorter *s, size_t memory)
{
    drop_runs(s);
    buffer_clear(&s->arena);
    s->count = s->next = 0;
    s->memory = memory;
}

static int compare_strings(const unsigned char *a, size_t a_len, const unsigned char *b, size_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

    return order ? order : (a_len > b_len) - (a_len < b_len);
}

static int compare_offsets(const void *a, const void *b, void *arena)
{
    const unsigned char *p = (const unsigned char *)arena + *(const uint32_t *)a;
    const unsigned char *q = (const unsigned char *)arena + *(const uint32_t *)b;

    return compare_strings(p + LENGTH_SIZE, get_u32(p), q + LENGTH_SIZE, get_u32(q));
}

static void sort_arena(struct sorter *s)
{
    if (s->count > 1)
        qsort_r(s->order, s->count, sizeof *s->order, compare_offsets, s->arena.data);
}

/* The arena, sorted, becomes a run in the file. */
static enum error_kind write_run(struct sorter *s, struct error *err)
{
    struct buffer out = BUFFER_INIT(1 << 20);
    struct run *runs;
    uint64_t begin = s->file_len;
    enum error_kind rc = OK;

    sort_arena(s);
    if (s->fd < 0)
        rc = unnamed_file_open(AT_FDCWD, NULL, &s->fd, err);
    for (size_t i = 0; !rc && i < s->count; i++) {
        const unsigned char *p = s->arena.data + s->order[i];

        rc = buffer_append(&out, p, LENGTH_SIZE + get_u32(p), err);
        if (!rc && (out.len > 256 * 1024 || i + 1 == s->count)) {
            rc = file_write_at(s->fd, out.data, out.len, s->file_len, "a temporary file", err);
            s->file_len += out.len;
            buffer_clear(&out);
        }
    }
    if (rc)
        goto done;
    runs = realloc(s->runs, (s->run_count + 1) * sizeof *runs);
    if (!runs) {
        rc = error_set(err, ERR_MEMORY, 0, "no memory to sort");
        goto done;
    }
    s->runs = runs;
    s->runs[s->run_count++] =
        (struct run){.at = begin, .end = s->file_len, .window = BUFFER_INIT(READ_SIZE + SORTER_STRING_MAX)};
    buffer_clear(&s->arena);
    s->count = 0;

done:
    buffer_release(&out);
    return rc;
}

enum error_kind sorter_add(struct sorter *s, const void *bytes, size_t len, struct error *err)
{
    uint32_t offset;
    enum error_kind rc;

    if (len > SORTER_STRING_MAX)
        return error_set(err, ERR_MEMORY, 0, "a string of %zu bytes is too long to sort", len);
    if (s->count && sorter_memory(s) + len > s->memory) {
        rc = write_run(s, err);
        if (rc)
            return rc;
    }
    if (s->count == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 16;
        uint32_t *order = realloc(s->order, cap * sizeof *order);

        if (!order)
            return error_set(err, ERR_MEMORY, 0, "no memory to sort");
        s->order = order;
        s->cap = cap;
    }
    offset = (uint32_t)s->arena.len;
    rc = buffer_append_u32(&s->arena, (uint32_t)len, err);
    if (!rc)
        rc = buffer_append(&s->arena, bytes, len, err);
    if (!rc)
        rc = buffer_append_u8(&s->arena, 0, err);
    if (!rc)
        s->order[s->count++] = offset;
    return rc;
}

/* Have at least `want` bytes of the run in its window, behind what was handed out. */
static enum error_kind run_fill(struct sorter *s, struct run *r, size_t want, struct error *err)
{
    size_t left = r->window.len - r->used, more;
    enum error_kind rc;

    if (left >= want)
        return OK;
    if (left)
        memmove(r->window.data, r->window.data + r->used, left);
    r->window.len = left;
    r->used = 0;
    more = want - left > READ_SIZE ? want - left : READ_SIZE;
    if (more > r->end - r->at)
        more = (size_t)(r->end - r->at);
    if (left + more < want)
        return error_set(err, ERR_CORRUPT, 0, "a temporary file is shorter than what was written");
    rc = buffer_reserve(&r->window, more + 1, err);
    if (!rc)
        rc = file_read_at(s->fd, r->window.data + left, more, r->at, "a temporary file", err);
    if (!rc) {
        r->window.len += more;
        r->at += more;
    }
    return rc;
}

static enum error_kind run_advance(struct sorter *s, struct run *r, struct error *err)
{
    enum error_kind rc;

    r->head = NULL;
    if (r->used == r->window.len && r->at == r->end)
        return OK;
    rc = run_fill(s, r, LENGTH_SIZE, err);
    if (rc)
        return rc;
    r->head_len = get_u32(r->window.data + r->used);
    rc = run_fill(s, r, LENGTH_SIZE + r->head_len, err);
    if (rc)
        return rc;
    r->head = r->window.data + r->used + LENGTH_SIZE;
    r->used += LENGTH_SIZE + r->head_len;
    return OK;
}

enum error_kind sorter_sort(struct sorter *s, struct error *err)
{
    enum error_kind rc = OK;

    s->next = 0;
    if (!s->run_count) {
        sort_arena(s);
        return OK;
    }
    if (s->count)
        rc = write_run(s, err);
    buffer_release(&s->arena);
    free(s->order);
    s->order = NULL;
    s->cap = 0;
    for (size_t i = 0; !rc && i < s->run_count; i++)
        rc = run_advance(s, &s->runs[i], err);
    return rc;
}

/* The runs are few (one for each `memory` bytes), so the least head is simply looked for. */
static struct run *least_run(struct sorter *s)
{
    struct run *least = NULL;

    for (size_t i = 0; i < s->run_count; i++) {
        struct run *r = &s->runs[i];

        if (r->head && (!least || compare_strings(r->head, r->head_len, least->head, least->head_len) < 0))
            least = r;
    }
    return least;
}

/* The string handed out last lies in the arena, which merging has no other use for. */
static enum error_kind next_of_runs(struct sorter *s, const void **bytes, size_t *len, struct error *err)
{
    struct run *least;
    enum error_kind rc = OK;

    *bytes = NULL;
    do {
        if (s->last)
            rc = run_advance(s, s->last, err);
        if (rc)
            return rc;
        s->last = least = least_run(s);
        if (!least)
            return OK;
    } while (s->count && !compare_strings(s->arena.data, s->arena.len - 1, least->head, least->head_len));
    s->count = 1;
    buffer_clear(&s->arena);
    rc = buffer_append(&s->arena, least->head, least->head_len, err);
    if (!rc)
        rc = buffer_append_u8(&s->arena, 0, err);
    if (rc)
        return rc;
    *bytes = s->arena.data;
    *len = least->head_len;
    return OK;
}

static const unsigned char *string_at(const struct sorter *s, size_t i, size_t *len)
{
    const unsigned char *p = s->arena.data + s->order[i];

    *len = get_u32(p);
    return p + LENGTH_SIZE;
}

enum error_kind sorter_next(struct sorter *s, const void **bytes, size_t *len, struct error *err)
{
    const unsigned char *last;
    size_t last_len;

    if (s->run_count)
        return next_of_runs(s, bytes, len, err);
    *bytes = NULL;
    if (s->next == s->count)
        return OK;
    *bytes = last = string_at(s, s->next++, &last_len);
    *len = last_len;
    while (s->next < s->count) {
        size_t next_len;
        const unsigned char *next = string_at(s, s->next, &next_len);

        if (compare_strings(last, last_len, next, next_len))
            break;
        s->next++;
    }
    return OK;
}

size_t sorter_memory(const struct sorter *s)
{
    return s->arena.len + s->count * sizeof *s->order + s->run_count * READ_SIZE;
}

void sorter_free(struct sorter *s)
{
    if (!s)
        return;
    drop_runs(s);
    buffer_release(&s->arena);
    free(s->order);
    free(s);
}
