/*
 * Preflight of pictures outside the site (P12): their folder is exchanged as a whole, with one that is staged beside it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "transaction_internal.h"

static bool holds(const char *folder, const char *path)
{
    size_t n = strlen(folder);

    return !strncmp(folder, path, n) && (path[n] == '\0' || path[n] == '/');
}

static enum error_kind check_parent(const char *path, struct rollback_plan *plan, struct error *err)
{
    char *parent = NULL;
    enum error_kind rc = path_parent(path, &parent, err);

    if (rc)
        return rc;
    if (faccessat(AT_FDCWD, parent, W_OK | X_OK, AT_EACCESS) != 0)
        rc = text_list_addf(&plan->preflight.problems, err,
                            "the pictures in %s are staged beside it, and %s can't be written to: %s", path, parent,
                            strerror(errno));
    else if (site_serves(parent)) /* P10 */
        rc = text_list_addf(&plan->preflight.problems, err,
                            "%s is served to visitors: no place to stage the pictures of %s", parent, path);
    free(parent);
    return rc;
}

static enum error_kind check_folder(struct transaction_context *x, const struct snapshot_root *root,
                                    struct rollback_plan *plan, struct error *err)
{
    struct error why = ERROR_INIT;
    struct stat st;
    enum error_kind rc = OK;

    if (lstat(root->path, &st) == 0 && !S_ISDIR(st.st_mode))
        return text_list_addf(&plan->preflight.problems, err,
                              "%s is no folder itself: the setting mediasettings.picturepath has to name the real one",
                              root->path);
    if (holds(root->path, x->site->path) || holds(root->path, x->txn.catalog))
        rc = text_list_addf(&plan->preflight.problems, err, "the pictures' folder %s holds the site or the catalogue",
                            root->path);
    if (!rc && mounts_refuse(root->path, &why) != OK)
        rc = text_list_add(&plan->preflight.problems, why.text, err);
    return rc ? rc : check_parent(root->path, plan, err);
}

/* Nothing of them is linked. */
static enum error_kind check_room(const struct snapshot_root *root, struct rollback_plan *plan, struct error *err)
{
    char *parent = NULL;
    enum error_kind rc = path_parent(root->path, &parent, err);

    if (!rc)
        rc = need_space(parent, "the pictures", root->bytes + root->files * SPACE_PER_FILE + SPACE_MARGIN,
                        &plan->preflight, err);
    free(parent);
    return rc;
}

/* ---- sharing: another known site with the same pictures ---- */

struct sharing {
    const struct site *site;
    struct rollback_plan *plan;
    struct text_list seen; /* sites already looked at: the newest snapshot of each counts */
};

static bool shares(const struct rollback_plan *plan, const struct snapshot_record *other)
{
    for (size_t i = 1; i < plan->target.root_count; i++)
        for (size_t j = 0; j < other->root_count; j++)
            if (holds(plan->target.roots[i].path, other->roots[j].path) ||
                holds(other->roots[j].path, plan->target.roots[i].path))
                return true;
    return false;
}

static enum error_kind look_at_snapshot(void *arg, const struct snapshot_record *r, struct error *err)
{
    struct sharing *s = arg;
    enum error_kind rc;

    if (!r->root_count || !strcmp(r->site_path, s->site->path) ||
        (r->host_id && s->plan->target.host_id && strcmp(r->host_id, s->plan->target.host_id) != 0))
        return OK;
    for (size_t i = 0; i < s->seen.count; i++)
        if (!strcmp(s->seen.items[i], r->site_path))
            return OK;
    rc = text_list_add(&s->seen, r->site_path, err);
    if (!rc && shares(s->plan, r))
        rc = text_list_addf(&s->plan->preflight.problems, err,
                            "%s uses the same pictures: say --shared if both may go back", r->site_path);
    return rc;
}

/* Where another site's pictures are only its database tells: its newest snapshot is asked instead. */
static enum error_kind check_sharing(struct transaction_context *x, struct rollback_plan *plan, struct error *err)
{
    struct sharing s = {x->site, plan, TEXT_LIST_INIT};
    struct error why = ERROR_INIT;
    enum error_kind rc = snapshot_each(x->cat, NULL, look_at_snapshot, &s, &why);

    text_list_release(&s.seen);
    if (rc == ERR_CORRUPT)
        return text_list_addf(&plan->preflight.remarks, err,
                              "whether another site shares the pictures was not fully seen: %s", why.text);
    if (rc)
        error_copy(err, &why);
    return rc;
}

enum error_kind check_pictures(struct transaction_context *x, const struct rollback_options *o,
                               struct rollback_plan *plan, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 1; i < plan->target.root_count && !rc; i++) {
        rc = check_folder(x, &plan->target.roots[i], plan, err);
        if (!rc)
            rc = check_room(&plan->target.roots[i], plan, err);
    }
    if (!rc && plan->target.root_count > 1 && !o->shared)
        rc = check_sharing(x, plan, err);
    return rc;
}
