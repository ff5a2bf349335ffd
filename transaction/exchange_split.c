/*
 * Where a mount lies inside the tree, the exchange works on the highest entries that hold no mount: directories from the root
 * down to a mount stay, their other children are exchanged one by one. What lies on a mount has its own staging place there, since a
 * rename never crosses a mount.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "transaction_internal.h"

#define DEPTH_MAX 256 /* nobody nests mounts deeper; bounds the recursion */

struct split {
    const struct txn *txn;
    const struct site *rules;
    const struct place *place;
    struct text_list mounts;
    struct units *units;
};

static bool is_mount(const struct split *s, const char *path)
{
    for (size_t i = 0; i < s->mounts.count; i++)
        if (!strcmp(s->mounts.items[i], path))
            return true;
    return false;
}

static bool holds_mount(const struct split *s, const char *path)
{
    size_t n = strlen(path);

    for (size_t i = 0; i < s->mounts.count; i++)
        if (!strncmp(s->mounts.items[i], path, n) && (s->mounts.items[i][n] == '/' || s->mounts.items[i][n] == '\0'))
            return true;
    return false;
}

/* Names in one directory; an absent directory has none. */
static enum error_kind list_names(const char *path, struct text_list *out, struct error *err)
{
    DIR *dir = opendir(path);
    struct dirent *e;
    enum error_kind rc = OK;

    if (!dir)
        return errno == ENOENT || errno == ENOTDIR ? OK : error_set(err, ERR_IO, errno, "%s", path);
    while (!rc && (e = readdir(dir)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            rc = text_list_add(out, e->d_name, err);
    closedir(dir);
    return rc;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum error_kind union_of_names(const char *live, const char *slot, struct text_list *out, struct error *err)
{
    enum error_kind rc = list_names(live, out, err);

    if (!rc)
        rc = list_names(slot, out, err);
    if (!rc && out->count)
        qsort(out->items, out->count, sizeof(*out->items), by_name);
    return rc;
}

/* The staging place on the mount at `path`. */
static enum error_kind slot_on_mount(const struct split *s, const char *path, char **out, struct error *err)
{
    for (size_t i = 0; i < s->txn->area_count; i++) {
        const struct area *a = &s->txn->areas[i];
        size_t n = strlen(a->live);

        if (a->prefix[0] && !strncmp(path, a->live, n) && path[n] == '/' && !strcmp(path + n + 1, a->prefix))
            return memory_format(out, err, "%s/%s/%s", a->folder, a->root_name, a->prefix);
    }
    return error_set(err, ERR_REFUSED, 0, "%s was mounted after the new tree was staged", path);
}

static enum error_kind split_folder(struct split *s, const char *live, const char *slot, unsigned depth,
                                    struct error *err);

static enum error_kind split_entry(struct split *s, const char *live, const char *slot, unsigned depth,
                                   struct error *err)
{
    char *elsewhere = NULL;
    enum error_kind rc;

    if (!strcmp(live, s->place->folder) || !strcmp(path_base(live), ".nopsnap"))
        return OK;
    if (is_mount(s, live) && site_leaves_out_below(s->rules, live + strlen(s->txn->site_path) + 1))
        return OK;
    if (is_mount(s, live)) {
        rc = slot_on_mount(s, live, &elsewhere, err);
        if (!rc)
            rc = split_folder(s, live, elsewhere, depth + 1, err);
        free(elsewhere);
        return rc;
    }
    if (holds_mount(s, live))
        return split_folder(s, live, slot, depth + 1, err);
    return units_add(s->units, live, slot, err);
}

static enum error_kind split_folder(struct split *s, const char *live, const char *slot, unsigned depth,
                                    struct error *err)
{
    struct text_list names = TEXT_LIST_INIT;
    struct stat st;
    enum error_kind rc;

    if (depth > DEPTH_MAX)
        return error_set(err, ERR_REFUSED, 0, "mounts nested too deep below %s", live);
    if (lstat(slot, &st) != 0) /* the folder stays because a mount is in it: what is exchanged needs a place to go */
        rc = directory_make_all(slot, err);
    else if (!S_ISDIR(st.st_mode))
        return error_set(err, ERR_REFUSED, 0, "%s holds a mount, but is no folder in the snapshot", live);
    else
        rc = OK;
    if (!rc)
        rc = union_of_names(live, slot, &names, err);
    for (size_t i = 0; i < names.count && !rc; i++) {
        char *live_child = NULL;
        char *slot_child = NULL;

        if (i && !strcmp(names.items[i], names.items[i - 1]))
            continue;
        rc = path_join(live, names.items[i], &live_child, err);
        if (!rc)
            rc = path_join(slot, names.items[i], &slot_child, err);
        if (!rc)
            rc = split_entry(s, live_child, slot_child, depth, err);
        free(live_child);
        free(slot_child);
    }
    text_list_release(&names);
    return rc;
}

enum error_kind units_build(const struct txn *t, const struct place *p, const struct site *rules, struct units *out,
                            struct error *err)
{
    struct split s = {t, rules, p, TEXT_LIST_INIT, out};
    char *slot = NULL;
    enum error_kind rc = stage_tree_path(t, &slot, err);

    if (!rc)
        rc = mounts_below(t->site_path, &s.mounts, err);
    if (!rc && !p->inside && !s.mounts.count)
        rc = units_add(out, t->site_path, slot, err);
    else if (!rc)
        rc = split_folder(&s, t->site_path, slot, 0, err);
    for (size_t i = 0; i < t->area_count && !rc; i++) {
        const struct area *a = &t->areas[i];
        char *tree = NULL;

        if (a->prefix[0])
            continue; /* reached through its mount above */
        rc = mounts_refuse(a->live, err);
        if (rc)
            break;
        rc = memory_format(&tree, err, "%s/%s", a->folder, a->root_name);
        if (!rc)
            rc = units_add(out, a->live, tree, err);
        free(tree);
    }
    text_list_release(&s.mounts);
    free(slot);
    return rc;
}
