/*
 * What comes over under another name: pictures and files of 3.x, robots files before 4.60. The transaction carries only what keeps its name.
 *
 *   U5  What the shop did until its stop is in the new tree: the list is made again then, and compared with what was copied while it was open.
 *       What looks the same, and had been at rest for a while when it was looked at first, is not copied again, so that a shop with many
 *       pictures is not closed for them.
 *   U6  While the shop is open nothing takes the place of what the new tree has, so that what goes until the stop leaves nothing missing; only a link to
 *       a folder does, of the release's: it stays what it is (L2). It comes first, since nothing else has a place where it leads away.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "thread.h"
#include "upgrade_internal.h"
#include "walk.h"

/* ---- the list ---- */

void renamed_release(struct renamed *r)
{
    for (size_t i = 0; i < r->count; i++) {
        free(r->items[i].from);
        free(r->items[i].to);
    }
    free(r->items);
    *r = (struct renamed){NULL, 0, 0};
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct renamed_item *)a)->from, ((const struct renamed_item *)b)->from);
}

static struct renamed_item *find(const struct renamed *r, const char *path, bool folder)
{
    const struct renamed_item key = {.from = (char *)(uintptr_t)path};
    struct renamed_item *item = r->count ? bsearch(&key, r->items, r->count, sizeof(*r->items), by_name)
                                         : NULL; /* a folder before what is in it */

    return item && item->folder == folder ? item : NULL;
}

static enum error_kind add(struct renamed *r, const char *from, const char *to, struct renamed_item **out,
                           struct error *err)
{
    struct renamed_item *grown;
    size_t cap = r->cap ? r->cap * 2 : 64;
    enum error_kind rc;

    if (r->count == r->cap) {
        grown = reallocarray(r->items, cap, sizeof(*grown));
        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory for a list of %zu files", cap);
        r->items = grown;
        r->cap = cap;
    }
    *out = &r->items[r->count];
    **out = (struct renamed_item){.from = NULL};
    rc = memory_string(from, &(*out)->from, err);
    if (!rc)
        rc = memory_string(to, &(*out)->to, err);
    if (rc)
        free((*out)->from);
    else
        r->count++;
    return rc;
}

/* The name that it gets; NULL where it comes over under its own, or not at all. What was asked once is not asked again. */
static enum error_kind new_name(const struct upgrade_context *c, const char *path, enum site_carry_kind kind, char **to,
                                bool *unknown, struct error *err)
{
    const struct renamed_item *known = find(&c->renamed, path, kind == SITE_CARRY_FOLDER);
    struct site_carry_decision d = SITE_CARRY_DECISION_INIT;
    enum error_kind rc;

    if (known) {
        *unknown = known->optional;
        return memory_string(known->to, to, err);
    }
    rc = carry_decide(c, path, kind, &d, err);
    if (!rc && carry_is_owners(&d) && strcmp(d.to, path) != 0)
        rc = memory_string(d.to, to, err);
    *unknown = d.unknown;
    site_carry_release(&d);
    return rc;
}

static enum error_kind list_one(const struct upgrade_context *c, const struct walk_item *item, int64_t began_ns,
                                struct renamed *out, struct error *err)
{
    enum site_carry_kind kind = links_kind(c, item->dirfd, item->name, item->st.st_mode, item->path);
    bool folder = kind == SITE_CARRY_FOLDER;
    struct renamed_item *added = NULL;
    char *to = NULL;
    bool unknown = false;
    enum error_kind rc;

    if (!folder && !S_ISREG(item->st.st_mode) && !S_ISLNK(item->st.st_mode))
        return OK; /* the plan has named it */
    rc = new_name(c, item->path, kind, &to, &unknown, err);
    if (!rc && to)
        rc = add(out, item->path, to, &added, err);
    if (!rc && added) {
        added->folder = folder;
        added->link = kind == SITE_CARRY_FOLDER_LINK;
        added->optional = folder && unknown;
        added->young = item->st.st_ctim.tv_sec * 1000000000 + item->st.st_ctim.tv_nsec > began_ns - STAT_CACHE_YOUNG_NS;
        stat_key_of(&item->st, &added->key);
    }
    free(to);
    return rc;
}

static int64_t real_ns(void)
{
    struct timespec now = {0, 0};

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static enum error_kind list(const struct upgrade_context *c, const char *root, struct renamed *out, struct error *err)
{
    int64_t began_ns = real_ns();
    struct walk *walk = NULL;
    struct walk_item item;
    enum error_kind rc = OK;

    if (!carry_renames_below(c, ""))
        return OK;
    rc = walk_open(root, c->site, &walk, err);
    while (!rc) {
        rc = walk_next(walk, &item, err);
        if (rc || item.event == WALK_END)
            break;
        if (item.event == WALK_UNREADABLE && item.error.kind != ERR_NOT_FOUND) {
            *err = item.error;
            rc = err->kind;
        } else if (item.event == WALK_ENTER && *item.path && !carry_renames_below(c, item.path)) {
            walk_prune(walk);
        } else if (item.event == WALK_ENTRY || (item.event == WALK_ENTER && *item.path)) {
            rc = list_one(c, &item, began_ns, out, err);
        }
    }
    walk_close(walk);
    if (!rc && out->count)
        qsort(out->items, out->count, sizeof(*out->items), by_name);
    return rc;
}

/* ---- while the shop is open ---- */

static enum error_kind is_absent(int tree, const char *path, bool *absent, struct error *err)
{
    struct error why = ERROR_INIT;
    int fd = -1;
    enum error_kind rc = walk_open_below(tree, path, O_PATH, &fd, &why);

    file_close(&fd);
    *absent = rc == ERR_NOT_FOUND;
    if (rc && !*absent)
        error_copy(err, &why);
    return *absent ? OK : rc;
}

/* The release's folder in whose place a link comes: nothing else has been put there yet. */
static enum error_kind clear_folder(int tree, const char *to, struct error *err)
{
    struct error why = ERROR_INIT;
    struct stat st;
    int dir = -1;
    enum error_kind rc = tree_folder_of(tree, to, &dir, &why);

    if (!rc && fstatat(dir, path_base(to), &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
        rc = directory_remove_tree(dir, path_base(to), &why);
    file_close(&dir);
    if (rc == ERR_NOT_FOUND)
        return OK;
    if (rc)
        error_copy(err, &why);
    return rc;
}

/* U6 */
static enum error_kind begin_one(const struct upgrade_context *c, int live, int tree, struct renamed_item *item,
                                 struct error *err)
{
    bool absent = false;
    enum error_kind rc = is_absent(tree, item->to, &absent, err);

    if (rc || (!absent && !item->link) || item->optional)
        return rc;
    if (item->link)
        rc = clear_folder(tree, item->to, err);
    if (!rc && !item->folder)
        return copy_one(c, live, tree, item->from, item->to, &item->placed, err);
    if (!rc)
        rc = tree_folder(tree, item->to, err);
    item->placed = !rc;
    return rc;
}

static enum error_kind begin_all(const struct upgrade_context *c, int live, int tree, struct renamed *r,
                                 const struct progress *progress, struct error *err)
{
    size_t done = 0;
    enum error_kind rc = OK;

    for (int links = 1; links >= 0; links--) {
        for (size_t i = 0; i < r->count && !rc; i++) {
            if (r->items[i].link != (bool)links)
                continue;
            rc = begin_one(c, live, tree, &r->items[i], err);
            progress_advance(progress, ++done, r->count, "files");
            if (!rc)
                rc = cancel_check(err);
        }
    }
    return rc;
}

struct both {
    int live, tree;
};

static void both_close(struct both *b)
{
    file_close(&b->live);
    file_close(&b->tree);
}

static enum error_kind both_open(const char *live, const char *tree, struct both *b, struct error *err)
{
    enum error_kind rc = file_open(AT_FDCWD, live, O_RDONLY | O_DIRECTORY, 0, &b->live, err);

    return rc ? rc : file_open(AT_FDCWD, tree, O_RDONLY | O_DIRECTORY, 0, &b->tree, err);
}

enum error_kind renamed_begin(struct upgrade_context *c, const char *live, const char *tree,
                              const struct progress *progress, struct error *err)
{
    struct both b = {-1, -1};
    struct renamed now = {NULL, 0, 0};
    enum error_kind rc = list(c, live, &now, err);

    renamed_release(&c->renamed);
    c->renamed = now; /* moved */
    if (rc || !now.count)
        return rc;
    progress_step(progress, "copying what gets another name");
    rc = both_open(live, tree, &b, err);
    if (!rc)
        rc = begin_all(c, b.live, b.tree, &c->renamed, progress, err);
    both_close(&b);
    return rc;
}

/* ---- once it is stopped ---- */

/* What is as it was is done; what is not found is gone. */
static void compare(struct renamed *before, struct renamed *now)
{
    for (size_t i = 0; i < now->count; i++) {
        struct renamed_item *item = &now->items[i];
        struct renamed_item *was = find(before, item->from, item->folder);

        if (was && was->placed && (item->folder || (!was->young && stat_key_equal(&was->key, &item->key))))
            item->done = true;
        if (was)
            was->done = true;
    }
}

/* Folders go when they are empty: a name below one sorts behind it, so the last comes first. */
static enum error_kind remove_gone(int tree, const struct renamed *before, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = before->count; i-- && !rc;) {
        const struct renamed_item *item = &before->items[i];
        struct error why = ERROR_INIT;
        int dir = -1;
        char *folder = NULL;

        if (item->done || !item->placed)
            continue;
        rc = strchr(item->to, '/') ? path_parent(item->to, &folder, err) : memory_string(".", &folder, err);
        if (!rc)
            rc = walk_open_below(tree, folder, O_RDONLY | O_DIRECTORY, &dir, &why);
        if (rc == ERR_NOT_FOUND)
            rc = OK;
        else if (rc)
            error_copy(err, &why);
        else if (unlinkat(dir, path_base(item->to), item->folder ? AT_REMOVEDIR : 0) && errno != ENOENT &&
                 errno != ENOTEMPTY && errno != EEXIST)
            rc = error_set(err, ERR_IO, errno, "%s", item->to);
        file_close(&dir);
        free(folder);
    }
    return rc;
}

static enum error_kind bring_one(const struct upgrade_context *c, const struct both *b, const struct renamed_item *item,
                                 struct error *err)
{
    bool there;
    enum error_kind rc = OK;

    if (item->link && !item->done)
        rc = clear_folder(b->tree, item->to, err);
    if (item->folder && !item->optional)
        rc = tree_folder(b->tree, item->to, err);
    else if (!rc && !item->folder && !item->done)
        rc = copy_one(c, b->live, b->tree, item->from, item->to, &there, err);
    return rc ? rc : cancel_check(err);
}

static enum error_kind bring(const struct upgrade_context *c, const struct both *b, const struct renamed *now,
                             struct error *err)
{
    enum error_kind rc = OK;

    for (int links = 1; links >= 0; links--)
        for (size_t i = 0; i < now->count && !rc; i++)
            if (now->items[i].link == (bool)links)
                rc = bring_one(c, b, &now->items[i], err);
    for (size_t i = now->count; i-- && !rc;) /* so that their times stay */
        if (now->items[i].folder)
            rc = copy_folder(b->live, b->tree, now->items[i].from, now->items[i].to, err);
    return rc;
}

enum error_kind renamed_settle(struct upgrade_context *c, const char *live, const char *tree,
                               const struct progress *progress, struct error *err)
{
    struct both b = {-1, -1};
    struct renamed now = {NULL, 0, 0};
    enum error_kind rc = list(c, live, &now, err);

    if (rc || (!now.count && !c->renamed.count)) {
        renamed_release(&now);
        return rc;
    }
    progress_step(progress, "copying what gets another name");
    compare(&c->renamed, &now);
    rc = both_open(live, tree, &b, err);
    if (!rc)
        rc = remove_gone(b.tree, &c->renamed, err);
    if (!rc)
        rc = bring(c, &b, &now, err);
    both_close(&b);
    renamed_release(&now);
    if (rc)
        error_context(err, "bringing over what gets another name");
    return rc;
}
