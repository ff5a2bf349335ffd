#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "site_internal.h"

#define VARIABLES_MAX 10000

static void variable_release(struct site_variable *v)
{
    free(v->name);
    memory_free_secret(v->value);
    free(v->file);
    *v = (struct site_variable){NULL, NULL, NULL};
}

static enum error_kind variable_make(const char *name, const char *value, const char *file, struct site_variable *out,
                                     struct error *err)
{
    struct site_variable v = {NULL, NULL, NULL};
    enum error_kind rc;

    rc = memory_string(name, &v.name, err);
    if (!rc)
        rc = memory_string(value, &v.value, err);
    if (!rc)
        rc = memory_string(file, &v.file, err);
    if (rc)
        variable_release(&v);
    else
        *out = v;
    return rc;
}

static enum error_kind grow(struct site_environment *e, struct error *err)
{
    size_t cap = e->cap ? 2 * e->cap : 16;
    struct site_variable *items;

    if (e->count < e->cap)
        return OK;
    if (e->count >= VARIABLES_MAX)
        return error_set(err, ERR_REFUSED, 0, "more than %d environment variables are set for one unit", VARIABLES_MAX);
    items = reallocarray(e->items, cap, sizeof(*items));
    if (!items)
        return error_set(err, ERR_MEMORY, 0, "out of memory for %zu variables", cap);
    e->items = items;
    e->cap = cap;
    return OK;
}

enum error_kind site_environment_set(struct site_environment *e, const char *name, const char *value, const char *file,
                                     struct error *err)
{
    struct site_variable v = {NULL, NULL, NULL};
    enum error_kind rc;

    rc = grow(e, err);
    if (!rc)
        rc = variable_make(name, value, file, &v, err);
    if (rc)
        return rc;
    site_environment_unset(e, name);
    e->items[e->count++] = v;
    return OK;
}

void site_environment_unset(struct site_environment *e, const char *name)
{
    for (size_t i = 0; i < e->count; i++) {
        if (strcmp(e->items[i].name, name) != 0)
            continue;
        variable_release(&e->items[i]);
        e->items[i] = e->items[--e->count];
        return;
    }
}

void site_environment_clear(struct site_environment *e)
{
    while (e->count > 0)
        variable_release(&e->items[--e->count]);
}

const struct site_variable *site_environment_get(const struct site_environment *e, const char *name)
{
    const struct site_variable *found = NULL;

    for (size_t i = 0; i < e->count; i++) {
        if (strcmp(e->items[i].name, name) == 0)
            return &e->items[i];
        if (strcasecmp(e->items[i].name, name) == 0)
            found = &e->items[i];
    }
    return found;
}

void site_environment_release(struct site_environment *e)
{
    site_environment_clear(e);
    free(e->items);
    free(e->unit);
    *e = (struct site_environment)SITE_ENVIRONMENT_INIT;
}
