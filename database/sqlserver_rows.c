/* The rows of one catalog query, kept in memory: cells found by the name of their column. */
#include <stdlib.h>
#include <string.h>

#include "sqlserver_schema_internal.h"

enum { CELLS_MAX = 64 * 1024 * 1024 };

void sqlserver_rows_release(struct sqlserver_rows *r)
{
    for (size_t i = 0; i < r->columns; i++)
        free(r->names[i]);
    for (size_t i = 0; i < r->columns * r->count; i++)
        free(r->cells[i]);
    free(r->names);
    free(r->cells);
    *r = (struct sqlserver_rows){0};
}

static enum error_kind take_names(struct sqlserver_rows *r, const struct database_row *row, struct error *err)
{
    void *memory = NULL;
    enum error_kind rc;

    if (row->columns < 1)
        return error_set(err, ERR_REMOTE, 0, "a row without columns");
    rc = memory_zeroed((size_t)row->columns, sizeof *r->names, &memory, err);
    if (rc)
        return rc;
    r->names = memory;
    for (r->columns = 0; !rc && r->columns < (size_t)row->columns; r->columns++)
        rc = memory_string(row->names[r->columns], &r->names[r->columns], err);
    return rc;
}

static enum error_kind make_room(struct sqlserver_rows *r, struct error *err)
{
    size_t cap = r->cap ? 2 * r->cap : 16;
    char **grown;

    if (r->count < r->cap)
        return OK;
    if (!r->columns || cap > CELLS_MAX / r->columns)
        return error_set(err, ERR_MEMORY, 0, "the catalog of the database is too large");
    grown = realloc(r->cells, cap * r->columns * sizeof *grown);
    if (!grown)
        return error_set(err, ERR_MEMORY, 0, "out of memory");
    r->cells = grown;
    r->cap = cap;
    return OK;
}

enum error_kind sqlserver_rows_add(void *arg, const struct database_row *row, struct error *err)
{
    struct sqlserver_rows *r = arg;
    char **cells;
    enum error_kind rc = r->names ? OK : take_names(r, row, err);

    if (!rc && (size_t)row->columns != r->columns)
        rc = error_set(err, ERR_REMOTE, 0, "rows of one query have different columns");
    if (!rc)
        rc = make_room(r, err);
    if (rc)
        return rc;
    cells = r->cells + r->count * r->columns;
    memset(cells, 0, r->columns * sizeof *cells);
    r->count++;
    for (size_t i = 0; !rc && i < r->columns; i++)
        if (row->values[i])
            rc = memory_string(row->values[i], &cells[i], err);
    return rc;
}

const char *sqlserver_cell(const struct sqlserver_rows *r, size_t row, const char *name)
{
    for (size_t i = 0; i < r->columns; i++)
        if (strcmp(r->names[i], name) == 0)
            return r->cells[row * r->columns + i];
    return NULL;
}

const char *sqlserver_cell_or(const struct sqlserver_rows *r, size_t row, const char *name, const char *fallback)
{
    const char *text = sqlserver_cell(r, row, name);

    return text ? text : fallback;
}

int64_t sqlserver_cell_number(const struct sqlserver_rows *r, size_t row, const char *name, int64_t fallback)
{
    const char *text = sqlserver_cell(r, row, name);
    char *end = NULL;
    long long n;

    if (!text)
        return fallback;
    n = strtoll(text, &end, 10);
    return end == text ? fallback : n;
}

bool sqlserver_cell_flag(const struct sqlserver_rows *r, size_t row, const char *name)
{
    return sqlserver_cell_number(r, row, name, 0) != 0;
}

bool sqlserver_set_next(const struct sqlserver_rows *r, const char *key, const char *value, size_t *at, size_t *row)
{
    for (; *at < r->count; ++*at) {
        const char *cell = sqlserver_cell(r, *at, key);

        if (cell && strcmp(cell, value) == 0) {
            *row = (*at)++;
            return true;
        }
    }
    return false;
}

size_t sqlserver_set_find(const struct sqlserver_rows *r, const char *key, const char *value)
{
    size_t at = 0;
    size_t row = SIZE_MAX;

    return sqlserver_set_next(r, key, value, &at, &row) ? row : SIZE_MAX;
}
