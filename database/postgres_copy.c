/*
 * The server's own copy of a database: its files, in a time that does not depend on rows and indexes. Nobody may be in the original meanwhile, and
 * what belongs to a database itself (owner, grants, limit, settings) does not come with it: it is read before and applied after.
 */
#include <stdlib.h>

#include "postgres_internal.h"

static enum error_kind describe(struct database *db, char **properties, struct error *err)
{
    struct postgres *pg = NULL;
    enum error_kind rc = postgres_live(db, &pg, err);

    return rc ? rc : postgres_properties_read(pg, properties, err);
}

static enum error_kind apply(struct database *db, const char *name, const char *properties, struct error *err)
{
    struct postgres *pg = NULL;
    enum error_kind rc = postgres_open_other(db, name, &pg, err);

    if (!rc)
        rc = postgres_properties_apply(pg, name, properties, PROPERTIES_ALL, &db->notes, err);
    postgres_close(pg);
    return rc;
}

enum error_kind postgres_copy(struct database *db, struct database_swap *swap, struct database_counts *counts,
                              struct error *err)
{
    struct postgres *maintenance = NULL;
    char *properties = NULL;
    enum error_kind rc = describe(db, &properties, err);

    if (!rc)
        rc = postgres_kept_drop(db, swap->beside, swap->new_identity, err); /* D6: the empty one */
    if (!rc)
        rc = postgres_maintenance(db, &maintenance, err);
    postgres_close_live(db); /* our own session would be in the way */
    if (!rc)
        rc = postgres_create_beside(maintenance, swap->beside, swap->live, properties, err);
    if (!rc)
        rc = apply(db, swap->beside, properties, err);
    if (!rc)
        rc = postgres_swap_renew(db, swap, err);
    if (!rc)
        rc = postgres_count(db, swap->beside, counts, err);
    free(properties);
    return rc;
}
