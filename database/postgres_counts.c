/*
 * Rows and highest Id of every table that a dump carries: ordinary and partition tables, not those of extensions; large
 * objects count as one table.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "postgres_internal.h"

#define LARGE_OBJECTS "(large objects)"

struct table_ref {
    char *name;   /* "public.Order" */
    char *quoted; /* public."Order" */
    char *id;     /* quoted Id column, or NULL */
};

struct table_refs {
    struct table_ref *items;
    size_t count;
    size_t cap;
};

static const char list_tables[] =
    "SELECT n.nspname || '.' || c.relname, quote_ident(n.nspname) || '.' || quote_ident(c.relname), "
    "(SELECT quote_ident(a.attname) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
    "AND lower(a.attname) = 'id' AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) "
    "ORDER BY a.attname LIMIT 1) "
    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' "
    "AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') "
    "ORDER BY 1";

static void refs_release(struct table_refs *refs)
{
    for (size_t i = 0; i < refs->count; i++) {
        free(refs->items[i].name);
        free(refs->items[i].quoted);
        free(refs->items[i].id);
    }
    free(refs->items);
}

static enum error_kind add_ref(void *arg, const struct database_row *row, struct error *err)
{
    struct table_refs *refs = arg;
    struct table_ref *ref = NULL;
    enum error_kind rc;

    if (refs->count == refs->cap) {
        size_t cap = refs->cap ? refs->cap * 2 : 256;
        struct table_ref *grown = realloc(refs->items, cap * sizeof *grown);

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory for %zu tables", cap);
        refs->items = grown;
        refs->cap = cap;
    }
    ref = &refs->items[refs->count];
    *ref = (struct table_ref){NULL, NULL, NULL};
    refs->count++;
    rc = memory_string(row->values[0], &ref->name, err);
    if (!rc)
        rc = memory_string(row->values[1], &ref->quoted, err);
    if (!rc && row->values[2])
        rc = memory_string(row->values[2], &ref->id, err);
    return rc;
}

struct one_count {
    uint64_t rows;
    int64_t max_id;
};

static enum error_kind keep_count(void *arg, const struct database_row *row, struct error *err)
{
    struct one_count *c = arg;

    (void)err;
    c->rows = row->values[0] ? strtoull(row->values[0], NULL, 10) : 0;
    c->max_id = row->columns > 1 && row->values[1] ? strtoll(row->values[1], NULL, 10) : -1;
    return OK;
}

static enum error_kind count_one(struct postgres *pg, const struct table_ref *ref, struct database_counts *out,
                                 struct error *err)
{
    struct one_count c = {0, -1};
    char *sql = NULL;
    enum error_kind rc;

    rc = memory_format(&sql, err, "SELECT count(*)%s%s%s FROM ONLY %s", ref->id ? ", max(" : "", ref->id ? ref->id : "",
                       ref->id ? ")" : "", ref->quoted);
    if (!rc)
        rc = postgres_query(pg, sql, keep_count, &c, err);
    if (!rc)
        rc = database_counts_add(out, ref->name, c.rows, c.max_id, err);
    if (rc)
        error_context(err, "counting %s", ref->name);
    free(sql);
    return rc;
}

enum error_kind postgres_count_all(struct postgres *pg, const volatile bool *stop, struct database_counts *out,
                                   struct error *err)
{
    struct table_refs refs = {NULL, 0, 0};
    int64_t large_objects = 0;
    enum error_kind rc;

    /* A policy must make a count fail, not shorten it. One worker, so that counting does not take what the dump
     * needs. */
    rc = postgres_query(pg, "SET LOCAL row_security = off; SET LOCAL max_parallel_workers_per_gather = 0", NULL, NULL,
                        err);
    if (!rc)
        rc = postgres_query(pg, list_tables, add_ref, &refs, err);
    for (size_t i = 0; !rc && i < refs.count; i++) {
        if (stop && *stop) {
            rc = error_set(err, ERR_CANCELLED, 0, "counting was given up");
            break;
        }
        rc = count_one(pg, &refs.items[i], out, err);
    }
    if (!rc)
        rc = postgres_number(pg, "SELECT count(*) FROM pg_largeobject_metadata", 0, NULL, 0, &large_objects, err);
    if (!rc && large_objects > 0)
        rc = database_counts_add(out, LARGE_OBJECTS, (uint64_t)large_objects, -1, err);
    refs_release(&refs);
    return rc;
}

/* The live one through our own session, for which its door stays open. */
enum error_kind postgres_count(struct database *db, const char *name, struct database_counts *out, struct error *err)
{
    struct postgres *other = NULL;
    struct postgres *pg = NULL;
    struct error ignored = ERROR_INIT;
    enum error_kind rc;

    if (!strcmp(name, db->name)) {
        rc = postgres_live(db, &pg, err);
    } else {
        rc = postgres_open_other(db, name, &other, err);
        pg = other;
    }
    if (!rc)
        rc = postgres_query(pg, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", NULL, NULL, err);
    if (!rc) {
        rc = postgres_count_all(pg, NULL, out, err);
        (void)postgres_query(pg, "ROLLBACK", NULL, NULL, &ignored);
    }
    postgres_close(other);
    return rc;
}
