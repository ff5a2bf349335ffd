/*
 * How much there is, from the index: figures for people, never evidence.
 */
#include <stdlib.h>

#include "catalog_internal.h"
#include "maintain_internal.h"

struct check {
    uint64_t pack;
    int64_t moment_ns;
};

struct tally {
    struct check *checks; /* in the order of their packs, as packs come */
    size_t count, cap, at;
    struct catalog_figures figures;
};

static enum error_kind check_add(struct tally *t, const struct index_statement *st, struct error *err)
{
    struct check c = {(uint64_t)index_number(st, 0), index_number(st, 1)};

    if (check_row_sum(c.pack, c.moment_ns) != index_number(st, 2))
        return index_row_damaged("checks", err);
    if (t->count == t->cap) {
        struct check *grown = reallocarray(t->checks, t->cap * 2 + 64, sizeof(*grown));

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory: %zu packs", t->count);
        t->checks = grown;
        t->cap = t->cap * 2 + 64;
    }
    t->checks[t->count++] = c;
    return OK;
}

static enum error_kind read_checks(struct catalog *cat, struct tally *t, struct error *err)
{
    struct index_statement *st = NULL;
    bool row = true;
    enum error_kind rc = index_prepare(cat->index, "SELECT pack, moment, sum FROM checks ORDER BY pack", &st, err);

    while (!rc && !(rc = index_step(st, &row, err)) && row)
        rc = check_add(t, st, err);
    index_finish(st);
    return rc;
}

static enum error_kind on_pack(void *arg, const struct pack_row *row, struct error *err)
{
    struct tally *t = arg;
    int64_t read_ns = row->made_ns;

    (void)err;
    if (row->state != PACK_IN_PLACE)
        return OK;
    while (t->at < t->count && t->checks[t->at].pack < row->number)
        t->at++;
    if (t->at < t->count && t->checks[t->at].pack == row->number)
        read_ns = t->checks[t->at].moment_ns;
    t->figures.packs++;
    t->figures.bytes += row->size;
    if (!t->figures.oldest_unread_ns || read_ns < t->figures.oldest_unread_ns)
        t->figures.oldest_unread_ns = read_ns;
    return OK;
}

enum error_kind catalog_figures(struct catalog *cat, struct catalog_figures *out, struct error *err)
{
    struct tally t = {.count = 0};
    enum error_kind rc = read_checks(cat, &t, err);

    if (!rc)
        rc = index_pack_each(cat->index, on_pack, &t, err);
    free(t.checks);
    if (!rc)
        *out = t.figures;
    return rc;
}

enum error_kind catalog_content_bytes(struct catalog *cat, uint64_t *out, struct error *err)
{
    struct index_statement *st = NULL;
    bool row = false;
    enum error_kind rc = index_prepare(cat->index, "SELECT SUM(len) FROM chunks WHERE pack > 0", &st, err);

    if (!rc)
        rc = index_step(st, &row, err);
    if (!rc && row)
        *out = (uint64_t)index_number(st, 0);
    index_finish(st);
    return rc;
}
