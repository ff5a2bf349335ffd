#include "shops.h"

#include <stdio.h>
#include <string.h>

#include "record.h"
#include "site.h"

struct asked {
    struct catalog *cat;
    const char *folder;
    char site_id[17]; /* of the shop that was asked last: a shop's rows mostly follow each other */
    bool held;
};

/* A path that another host had says nothing here. */
static enum error_kind ask_row(void *arg, const struct snapshot_row *row, struct error *err)
{
    struct asked *a = arg;
    char here[17];
    enum error_kind rc;

    if (a->held || !row->site_path || !row->site_id || !strcmp(a->site_id, row->site_id))
        return OK;
    rc = catalog_site_id(a->cat, row->site_path, here, err);
    if (rc)
        return rc;
    (void)snprintf(a->site_id, sizeof(a->site_id), "%s", row->site_id);
    a->held = !strcmp(here, row->site_id) && site_holds(row->site_path, a->folder);
    return OK;
}

enum error_kind shops_hold(struct catalog *cat, const struct config *config, const char *folder, bool *out,
                           struct error *err)
{
    struct asked a = {.cat = cat, .folder = folder, .held = site_serves(folder)};
    enum error_kind rc = OK;

    for (size_t i = 0; config && i < config->count && !a.held; i++)
        a.held = config->sites[i].path && site_holds(config->sites[i].path, folder);
    if (cat && !a.held)
        rc = snapshot_row_each(cat, NULL, ask_row, &a, err);
    if (!rc)
        *out = a.held;
    return rc;
}
