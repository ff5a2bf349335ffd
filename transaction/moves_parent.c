/*
 * The folder in the other tree into which something crosses. Where that tree has none it is made as it is here: owner, xattrs
 * (ACLs and labels are xattrs), mode; not its time, which the crossing changes anyway.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "transaction_internal.h"

/* One folder whose parent is there. ERR_NOT_FOUND where something else has its name. */
static enum error_kind make_like(int from, int parent, const char *path, struct error *err)
{
    const char *name = path_base(path);
    int here = -1;
    int there = -1;
    enum error_kind rc = walk_open_below(from, path, O_RDONLY | O_DIRECTORY, &here, err);

    if (!rc)
        rc = directory_make(parent, name, 0700, err);
    if (rc == ERR_EXISTS)
        rc = error_set(err, ERR_NOT_FOUND, 0, "%s is no folder in the other tree", path);
    if (!rc)
        rc = file_open(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &there, err);
    if (!rc)
        rc = walk_attributes_copy(here, there, path, err);
    file_close(&here);
    file_close(&there);
    return rc;
}

enum error_kind moves_parent_open(int from, int to, const char *folder, bool make, int *out, struct error *err)
{
    struct error why = ERROR_INIT;
    char *above = NULL;
    int parent = -1;
    enum error_kind rc = walk_open_below(to, folder, O_RDONLY | O_DIRECTORY, out, &why);

    if (rc != ERR_NOT_FOUND || !make || !*folder) {
        if (rc)
            error_copy(err, &why);
        return rc;
    }
    rc = strchr(folder, '/') ? path_parent(folder, &above, err) : memory_string("", &above, err);
    if (!rc)
        rc = moves_parent_open(from, to, above, true, &parent, err);
    if (!rc)
        rc = make_like(from, parent, folder, err);
    if (!rc)
        rc = walk_open_below(to, folder, O_RDONLY | O_DIRECTORY, out, err);
    file_close(&parent);
    free(above);
    return rc;
}
