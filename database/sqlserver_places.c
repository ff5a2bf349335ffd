/* Databases of a server by name and by identity. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sqlserver_internal.h"

enum error_kind sqlserver_places_read(struct sqlserver_link *master, struct sqlserver_places *out, struct error *err)
{
    struct sqlserver_places p = {{0}};
    enum error_kind rc = sqlserver_link_run(
        master,
        "/* nopsnap: databases */ SELECT d.name, CAST(d.database_id AS int) AS id, "
        "d.create_date, CAST(f.file_guid AS nvarchar(36)) AS file_guid, "
        "CAST(d.source_database_id AS int) AS source, CAST(d.user_access AS int) AS access, "
        "CAST(d.state AS int) AS state FROM sys.databases d LEFT JOIN sys.master_files f ON f.database_id = "
        "d.database_id AND f.file_id = 1",
        sqlserver_rows_add, &p.rows, err);

    if (rc) {
        sqlserver_places_release(&p);
        return rc;
    }
    *out = p;
    return OK;
}

void sqlserver_places_release(struct sqlserver_places *p)
{
    sqlserver_rows_release(&p->rows);
}

static size_t find_name(const struct sqlserver_places *p, const char *name)
{
    size_t loose = SIZE_MAX;

    for (size_t i = 0; i < p->rows.count; i++) {
        const char *one = sqlserver_cell_or(&p->rows, i, "name", "");

        if (strcmp(one, name) == 0)
            return i;
        if (strcasecmp(one, name) == 0)
            loose = i;
    }
    return loose;
}

const char *sqlserver_place_name(const struct sqlserver_places *p, const char *name)
{
    size_t i = find_name(p, name);

    return i == SIZE_MAX ? NULL : sqlserver_cell(&p->rows, i, "name");
}

/*
 * What is fresh in it, besides its number, which the server gives away again: its first file's GUID. The moment of its making is second best,
 * because a rename sets it anew; whoever may not look at the files of databases may not rename them either.
 */
static const char *proof_of(const struct sqlserver_places *p, size_t i)
{
    const char *guid = sqlserver_cell(&p->rows, i, "file_guid");

    return guid ? guid : sqlserver_cell_or(&p->rows, i, "create_date", "");
}

static enum error_kind identity_of(const struct sqlserver_places *p, size_t i, char **out, struct error *err)
{
    return memory_format(out, err, "db:%s %s", sqlserver_cell_or(&p->rows, i, "id", ""), proof_of(p, i));
}

static bool is_identity_of(const struct sqlserver_places *p, size_t i, const char *identity)
{
    const char *id = sqlserver_cell_or(&p->rows, i, "id", "");
    size_t len = strlen(id);

    return strncmp(identity, "db:", 3) == 0 && strncmp(identity + 3, id, len) == 0 && identity[3 + len] == ' ' &&
           strcmp(identity + 3 + len + 1, proof_of(p, i)) == 0;
}

const char *sqlserver_place_of(const struct sqlserver_places *p, const char *identity)
{
    for (size_t i = 0; identity && i < p->rows.count; i++)
        if (is_identity_of(p, i, identity))
            return sqlserver_cell(&p->rows, i, "name");
    return NULL;
}

enum error_kind sqlserver_identity(const struct sqlserver_places *p, const char *name, char **out, struct error *err)
{
    size_t i = find_name(p, name);

    *out = NULL;
    return i == SIZE_MAX ? OK : identity_of(p, i, out, err);
}

bool sqlserver_place_is_closed(const struct sqlserver_places *p, const char *name)
{
    size_t i = find_name(p, name);

    return i != SIZE_MAX && sqlserver_cell_number(&p->rows, i, "access", 0) == 1;
}

bool sqlserver_place_is_restoring(const struct sqlserver_places *p, const char *name)
{
    size_t i = find_name(p, name);

    return i != SIZE_MAX && sqlserver_cell_number(&p->rows, i, "state", 0) == 1;
}

bool sqlserver_place_is_suspect(const struct sqlserver_places *p, const char *name)
{
    size_t i = find_name(p, name);

    return i != SIZE_MAX && sqlserver_cell_number(&p->rows, i, "state", 0) == 4;
}

/* Is entry i a database snapshot of the database of this name? */
static bool is_snapshot_of(const struct sqlserver_places *p, size_t i, const char *of)
{
    size_t source = find_name(p, of);

    return source != SIZE_MAX && sqlserver_cell_number(&p->rows, i, "source", 0) != 0 &&
           sqlserver_cell_number(&p->rows, i, "source", 0) == sqlserver_cell_number(&p->rows, source, "id", -1);
}

bool sqlserver_place_is_snapshot_of(const struct sqlserver_places *p, const char *name, const char *of)
{
    size_t i = find_name(p, name);

    return i != SIZE_MAX && is_snapshot_of(p, i, of);
}

const char *sqlserver_place_other_snapshot(const struct sqlserver_places *p, const char *of, const char *but)
{
    for (size_t i = 0; i < p->rows.count; i++) {
        const char *name = sqlserver_cell_or(&p->rows, i, "name", "");

        if (is_snapshot_of(p, i, of) && strcmp(name, but) != 0)
            return name;
    }
    return NULL;
}
