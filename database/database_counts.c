/* Row counts per table: kept sorted by name, so that two of them compare in one pass. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "database_internal.h"

enum { TABLES_MAX = 1000000 };

enum error_kind database_counts_add(struct database_counts *counts, const char *name, uint64_t rows, int64_t max_id,
                                    struct error *err)
{
    struct database_table *grown = NULL;
    char *copy = NULL;
    enum error_kind rc;

    if (counts->count >= TABLES_MAX)
        return error_set(err, ERR_MEMORY, 0, "the database has more than %d tables", TABLES_MAX);
    rc = memory_string(name, &copy, err);
    if (rc)
        return rc;
    if ((counts->count & (counts->count - 1)) == 0) { /* a power of two: full */
        size_t room = counts->count ? counts->count * 2 : 1;
        grown = realloc(counts->tables, room * sizeof *grown);
        if (!grown) {
            free(copy);
            return error_set(err, ERR_MEMORY, 0, "out of memory for %zu tables", room);
        }
        counts->tables = grown;
    }
    counts->tables[counts->count].name = copy;
    counts->tables[counts->count].rows = rows;
    counts->tables[counts->count].max_id = max_id;
    counts->count++;
    return OK;
}

static int by_name(const void *a, const void *b)
{
    const struct database_table *x = a;
    const struct database_table *y = b;

    return strcmp(x->name, y->name);
}

void database_counts_sort(struct database_counts *counts)
{
    if (counts->count > 1)
        qsort(counts->tables, counts->count, sizeof *counts->tables, by_name);
}

void database_counts_release(struct database_counts *c)
{
    for (size_t i = 0; i < c->count; i++)
        free(c->tables[i].name);
    free(c->tables);
    c->tables = NULL;
    c->count = 0;
}

/* "public.Order" is the table Order of its schema; a bare name is itself. */
static bool names_table(const char *full, const char *table, int (*compare)(const char *, const char *))
{
    size_t full_len = strlen(full);
    size_t len = strlen(table);

    if (compare(full, table) == 0)
        return true;
    return full_len > len + 1 && full[full_len - len - 1] == '.' && compare(full + full_len - len, table) == 0;
}

const struct database_table *database_counts_find(const struct database_counts *counts, const char *table)
{
    for (size_t i = 0; i < counts->count; i++)
        if (names_table(counts->tables[i].name, table, strcmp))
            return &counts->tables[i];
    for (size_t i = 0; i < counts->count; i++)
        if (names_table(counts->tables[i].name, table, strcasecmp))
            return &counts->tables[i];
    return NULL;
}

enum error_kind database_counts_compare(const struct database_counts *expected, const struct database_counts *found,
                                        struct text_list *differences, struct error *err)
{
    size_t e = 0;
    size_t f = 0;
    enum error_kind rc = OK;

    while (!rc && (e < expected->count || f < found->count)) {
        const struct database_table *x = e < expected->count ? &expected->tables[e] : NULL;
        const struct database_table *y = f < found->count ? &found->tables[f] : NULL;
        int order = !x ? 1 : !y ? -1 : strcmp(x->name, y->name);

        if (x && order < 0)
            rc = text_list_addf(differences, err, "%s: missing, expected %" PRIu64 " rows", x->name, x->rows);
        else if (y && order > 0)
            rc = text_list_addf(differences, err, "%s: not expected, has %" PRIu64 " rows", y->name, y->rows);
        else if (x && y && x->rows != y->rows)
            rc = text_list_addf(differences, err, "%s: %" PRIu64 " rows, expected %" PRIu64, x->name, y->rows, x->rows);
        e += order <= 0;
        f += order >= 0;
    }
    return rc;
}
