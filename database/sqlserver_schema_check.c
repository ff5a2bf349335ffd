/*
 * What a logical dump can't carry. What would be missing or wrong in the shop's rows is refused; what a shop can do without is listed as
 * lost. Both before anything is written.
 */
#include <string.h>

#include "sqlserver_schema_internal.h"

static enum error_kind name_object(struct text_list *list, const char *what, const struct sqlserver_rows *r, size_t row,
                                   const char *why, struct error *err)
{
    return text_list_addf(list, err, "%s %s.%s%s", what, sqlserver_cell_or(r, row, "schema_name", ""),
                          sqlserver_cell_or(r, row, "name", ""), why);
}

static enum error_kind check_tables(const struct sqlserver_schema *s, struct text_list *refused, struct text_list *lost,
                                    struct error *err)
{
    static const struct {
        const char *flag;
        const char *why;
    } kinds[] = {
        {"is_filetable", " is a file table"},  {"is_memory_optimized", " is memory-optimized"},
        {"is_external", " is external"},       {"is_node", " is a node of a graph"},
        {"is_edge", " is an edge of a graph"}, {"ledger_type", " belongs to a ledger"},
    };
    const struct sqlserver_rows *t = &s->sets[SET_TABLES];
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < t->count; i++) {
        for (size_t k = 0; !rc && k < sizeof kinds / sizeof kinds[0]; k++)
            if (sqlserver_cell_flag(t, i, kinds[k].flag))
                rc = name_object(refused, "table", t, i, kinds[k].why, err);
        if (!rc && sqlserver_cell_flag(t, i, "is_tracked_by_cdc"))
            rc = name_object(lost, "the change data capture of table", t, i, "", err);
    }
    return rc;
}

static const char *column_trouble(const struct sqlserver_rows *c, size_t row)
{
    if (sqlserver_cell_flag(c, row, "is_filestream"))
        return "keeps its values in files (FILESTREAM)";
    if (sqlserver_cell(c, row, "encryption_type"))
        return "is encrypted by its clients";
    if (sqlserver_cell_number(c, row, "generated_always_type", 0) > 2)
        return "belongs to a ledger";
    if (sqlserver_cell_flag(c, row, "is_assembly_type") && sqlserver_cell_flag(c, row, "type_is_user_defined"))
        return "has a type that an assembly defines";
    return NULL;
}

static enum error_kind check_columns(const struct sqlserver_schema *s, struct text_list *refused,
                                     struct text_list *lost, struct error *err)
{
    const struct sqlserver_rows *c = &s->sets[SET_COLUMNS];
    const struct sqlserver_rows *t = &s->sets[SET_TABLES];
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < c->count; i++) {
        const char *why = column_trouble(c, i);
        size_t table = sqlserver_set_find(t, "object_id", sqlserver_cell_or(c, i, "object_id", ""));

        if (table == SIZE_MAX)
            continue;
        if (why)
            rc = text_list_addf(refused, err, "column %s of table %s.%s %s", sqlserver_cell_or(c, i, "name", ""),
                                sqlserver_cell_or(t, table, "schema_name", ""), sqlserver_cell_or(t, table, "name", ""),
                                why);
        else if (strcmp(sqlserver_cell_or(c, i, "type_name", ""), "timestamp") == 0)
            rc = text_list_addf(lost, err,
                                "the values of rowversion column %s of table %s.%s: the server makes new ones",
                                sqlserver_cell_or(c, i, "name", ""), sqlserver_cell_or(t, table, "schema_name", ""),
                                sqlserver_cell_or(t, table, "name", ""));
    }
    return rc;
}

/* A definition is NULL (or, on a peer, empty) when the module is encrypted, or when the login may not see it: then it can't be made again. */
static enum error_kind check_modules(const struct sqlserver_schema *s, struct text_list *refused, struct error *err)
{
    const struct sqlserver_rows *m = &s->sets[SET_MODULES];
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < m->count; i++)
        if (!*sqlserver_cell_or(m, i, "definition", ""))
            rc = text_list_addf(refused, err, "the text of %s.%s is encrypted or hidden from this login",
                                sqlserver_cell_or(m, i, "schema_name", "(database)"),
                                sqlserver_cell_or(m, i, "name", ""));
    return rc;
}

/* What of the objects that are not written down at all would leave a shop incomplete rather than poorer. */
static bool must_refuse(const char *kind)
{
    static const char *const kinds[] = {"EXTERNAL_TABLE", "EDGE_CONSTRAINT", "NUMBERED_PROCEDURE"};

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kind, kinds[i]) == 0)
            return true;
    return false;
}

static enum error_kind check_others(const struct sqlserver_schema *s, struct text_list *refused, struct text_list *lost,
                                    struct error *err)
{
    const struct sqlserver_rows *o = &s->sets[SET_OTHERS];
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < o->count; i++) {
        const char *kind = sqlserver_cell_or(o, i, "kind", "");
        const char *schema = sqlserver_cell(o, i, "schema_name");

        rc = text_list_addf(must_refuse(kind) ? refused : lost, err, "%s %s%s%s", kind, schema ? schema : "",
                            schema ? "." : "", sqlserver_cell_or(o, i, "name", ""));
    }
    return rc;
}

static enum error_kind check_principals(const struct sqlserver_schema *s, struct text_list *lost, struct error *err)
{
    const struct sqlserver_rows *p = &s->sets[SET_PRINCIPALS];
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < p->count; i++) {
        const char *type = sqlserver_cell_or(p, i, "type", "");
        const char *name = sqlserver_cell_or(p, i, "name", "");

        if (*type == 'A')
            rc = text_list_addf(lost, err, "application role %s", name);
        else if (*type == 'C' || *type == 'K')
            rc = text_list_addf(lost, err, "user %s, who is known by a certificate or key", name);
        else if (*type == 'S' && sqlserver_cell_number(p, i, "authentication_type", 1) == 2)
            rc = text_list_addf(lost, err, "the password of user %s, who has no login", name);
    }
    return rc;
}

static enum error_kind check_database(const struct sqlserver_schema *s, struct text_list *lost, struct error *err)
{
    static const struct {
        const char *flag;
        const char *what;
    } kinds[] = {
        {"is_encrypted", "the encryption of the database's files"},
        {"is_cdc_enabled", "change data capture"},
        {"is_published", "the database's part in replication"},
        {"is_read_only", "READ_ONLY of the database"},
    };
    const struct sqlserver_rows *d = &s->sets[SET_DATABASE];
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && d->count && i < sizeof kinds / sizeof kinds[0]; i++)
        if (sqlserver_cell_flag(d, 0, kinds[i].flag))
            rc = text_list_add(lost, kinds[i].what, err);
    return rc;
}

static enum error_kind check_table_types(const struct sqlserver_schema *s, struct text_list *lost, struct error *err)
{
    const struct sqlserver_rows *t = &s->sets[SET_TABLE_TYPES];
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < t->count; i++)
        if (sqlserver_cell_flag(t, i, "is_memory_optimized"))
            rc = name_object(lost, "MEMORY_OPTIMIZED of table type", t, i, "", err);
    return rc;
}

enum error_kind sqlserver_schema_check(const struct sqlserver_schema *s, struct text_list *refused,
                                       struct text_list *lost, struct error *err)
{
    enum error_kind rc = check_tables(s, refused, lost, err);

    if (!rc)
        rc = check_columns(s, refused, lost, err);
    if (!rc)
        rc = check_modules(s, refused, err);
    if (!rc)
        rc = check_others(s, refused, lost, err);
    if (!rc)
        rc = check_principals(s, lost, err);
    if (!rc)
        rc = check_table_types(s, lost, err);
    return rc ? rc : check_database(s, lost, err);
}
