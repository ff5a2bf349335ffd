/*
 * Where the journal lives (docs/architecture.md, 1).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "transaction_internal.h"

#define SYMLINKS_MAX 40 /* as the kernel's own limit */

void place_release(struct place *p)
{
    file_lock_drop(&p->lock);
    free(p->root);
    free(p->parent);
    free(p->folder);
    *p = (struct place)PLACE_INIT;
}

/* The target of a symlink whose end does not exist, as a path. ERR_NOT_FOUND if path is no symlink. */
static enum error_kind follow_once(const char *path, char **out, struct error *err)
{
    char target[4096];
    char *parent = NULL;
    enum error_kind rc;
    ssize_t n = readlink(path, target, sizeof(target) - 1);

    if (n < 0)
        return error_set(err, ERR_NOT_FOUND, errno, "%s", path);
    target[n] = '\0';
    if (target[0] == '/')
        return memory_string(target, out, err);
    rc = path_parent(path, &parent, err);
    if (!rc)
        rc = path_join(parent, target, out, err);
    free(parent);
    return rc;
}

enum error_kind place_resolve(const char *site_path, char **out, struct error *err)
{
    struct error ignored = ERROR_INIT;
    char *path = NULL;
    char *next = NULL;
    char *parent = NULL;
    char *real = NULL;
    enum error_kind rc;

    rc = memory_string(site_path, &path, err);
    for (int i = 0; !rc && i < SYMLINKS_MAX; i++) {
        error_clear(&ignored);
        if (path_real(path, out, &ignored) == OK)
            goto done;
        error_clear(&ignored);
        if (follow_once(path, &next, &ignored) != OK)
            break;
        free(path);
        path = next;
        next = NULL;
    }
    if (rc)
        goto done;
    while (strlen(path) > 1 && path[strlen(path) - 1] == '/')
        path[strlen(path) - 1] = '\0';
    rc = path_parent(path, &parent, err);
    if (rc)
        goto done;
    rc = path_real(parent, &real, err);
    if (rc)
        goto done;
    rc = path_join(real, path_base(path), out, err);
done:
    free(path);
    free(parent);
    free(real);
    return rc;
}

static enum error_kind folder_beside(const struct place *p, char **out, struct error *err)
{
    return memory_format(out, err, "%s%s.nopsnap-%s", p->parent, strcmp(p->parent, "/") ? "/" : "", path_base(p->root));
}

static enum error_kind place_start(const char *site_path, struct place *out, struct error *err)
{
    enum error_kind rc = place_resolve(site_path, &out->root, err);

    if (!rc && !strcmp(out->root, "/"))
        rc = error_set(err, ERR_REFUSED, 0, "/ is no site");
    if (!rc)
        rc = path_parent(out->root, &out->parent, err);
    return rc;
}

static bool has_state(const char *folder)
{
    static const char *const names[] = {"journal", "kept"};
    char path[8192];
    struct stat st;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        int n = snprintf(path, sizeof(path), "%s/%s", folder, names[i]);

        if (n > 0 && (size_t)n < sizeof(path) && lstat(path, &st) == 0)
            return true;
    }
    return false;
}

enum error_kind place_find(const char *site_path, struct place *out, struct error *err)
{
    struct place p = PLACE_INIT;
    char *beside = NULL;
    char *within = NULL;
    enum error_kind rc = place_start(site_path, &p, err);

    if (rc)
        goto done;
    rc = folder_beside(&p, &beside, err);
    if (!rc)
        rc = path_join(p.root, ".nopsnap", &within, err);
    if (rc)
        goto done;
    if (has_state(beside) && has_state(within)) {
        rc = error_set(err, ERR_PENDING, 0, "two journals for one site: %s and %s", beside, within);
        error_hint(err, "look into both, move the one away that is not this site's, then run recover again");
        goto done;
    }
    p.inside = has_state(within);
    p.folder = p.inside ? within : beside;
    *(p.inside ? &within : &beside) = NULL;
    *out = p;
    p = (struct place)PLACE_INIT;
done:
    free(beside);
    free(within);
    place_release(&p);
    return rc;
}

/* A root that is a mount point can't be exchanged: its name belongs to the filesystem above. */
static bool is_mount(const struct place *p)
{
    struct error ignored = ERROR_INIT;
    uint64_t root = 0;
    uint64_t parent = 0;

    if (file_mount_id(AT_FDCWD, p->root, &root, &ignored) || file_mount_id(AT_FDCWD, p->parent, &parent, &ignored))
        return false;
    return root != parent;
}

enum error_kind place_choose(const char *site_path, bool root_is_served, struct place *out, struct error *err)
{
    struct place p = PLACE_INIT;
    enum error_kind rc = place_find(site_path, &p, err);

    if (rc || has_state(p.folder))
        goto done;
    p.inside = is_mount(&p) || faccessat(AT_FDCWD, p.parent, W_OK | X_OK, AT_EACCESS) != 0;
    if (!p.inside && site_serves(p.parent)) {
        rc = error_set(err, ERR_REFUSED, 0, "%s is served to visitors: no place for a journal beside %s", p.parent,
                       p.root);
        error_hint(err, "move the site out of the other site's web root");
        goto done;
    }
    if (!p.inside)
        goto done;
    if (root_is_served) {
        rc = error_set(err, ERR_REFUSED, 0, "no place for a journal: %s is %s, and %s itself is served to visitors",
                       p.parent, is_mount(&p) ? "above a mount point" : "not writable", p.root);
        error_hint(err, "run as a user who may write to %s", p.parent);
        goto done;
    }
    free(p.folder);
    p.folder = NULL;
    rc = path_join(p.root, ".nopsnap", &p.folder, err);
done:
    if (rc) {
        place_release(&p);
        return rc;
    }
    *out = p;
    return OK;
}

enum error_kind place_make_private(const char *folder, bool *made, struct error *err)
{
    struct error why = ERROR_INIT;
    struct stat st;
    char *parent = NULL;
    enum error_kind rc = directory_make(AT_FDCWD, folder, 0700, &why);

    if (rc && rc != ERR_EXISTS) {
        error_copy(err, &why);
        return rc;
    }
    *made = !rc;
    if (lstat(folder, &st) != 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid())
        return error_set(err, ERR_REFUSED, 0, "%s is there, but is not a folder of ours", folder);
    if ((st.st_mode & 077) && chmod(folder, 0700) != 0)
        return error_set(err, ERR_IO, errno, "making %s private", folder);
    rc = path_parent(folder, &parent, err);
    if (!rc)
        rc = directory_sync(AT_FDCWD, parent, err);
    free(parent);
    return rc;
}

enum error_kind place_make(struct place *p, struct error *err)
{
    return place_make_private(p->folder, &p->made, err);
}

int64_t place_changed_ns(const struct place *p)
{
    struct stat st;

    if (lstat(p->folder, &st) != 0)
        return 0;
    return (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
}

enum error_kind place_refuse_stale(const struct place *p, struct error *err)
{
    enum error_kind rc = error_set(err, ERR_BUSY, 0,
                                   "another transaction at %s went first: what was looked at no longer holds", p->root);

    error_hint(err, "nothing was changed by this one; try again");
    return rc;
}

enum error_kind place_lock(struct place *p, int timeout_ms, struct error *err)
{
    char *path = NULL;
    enum error_kind rc = place_path(p, "lock", &path, err);

    if (!rc)
        rc = file_lock_take(&p->lock, path, LOCK_EXCLUSIVE, timeout_ms, p->root, err);
    free(path);
    return rc;
}

enum error_kind place_lock_since(struct place *p, int64_t seen_ns, int timeout_ms, bool *changed, struct error *err)
{
    bool before = place_changed_ns(p) != seen_ns;
    bool first = !place_has(p, "lock");
    enum error_kind rc = place_lock(p, timeout_ms, err);

    *changed = first ? before : place_changed_ns(p) != seen_ns;
    return rc;
}

enum error_kind place_path(const struct place *p, const char *name, char **out, struct error *err)
{
    return path_join(p->folder, name, out, err);
}

bool place_has(const struct place *p, const char *name)
{
    struct error ignored = ERROR_INIT;
    struct stat st;
    char *path = NULL;
    bool has;

    if (place_path(p, name, &path, &ignored))
        return false;
    has = lstat(path, &st) == 0;
    free(path);
    return has;
}
