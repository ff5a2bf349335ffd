/*
 * Links to folders in the old tree: pictures, uploads or secrets that lie on another disk. The link comes over, what is behind it is nobody's but the
 * shop's: it is not read, not written, in no snapshot (L1). So the release's own files of that folder have no place, which the plan says.
 *
 *   L2  what was a link when the plan was made has to be the same link when the shop is stopped, and nothing else may have become one: else the
 *       upgrade is given up, since what is carried was decided by that
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "upgrade_internal.h"
#include "walk.h"

#define NAMES_SHOWN 5

/* ---- what is one ---- */

/* Does a dead link stand where the new release has a folder? Then it is the way to a folder that is out of reach. */
static enum site_carry_kind kind_of_dead(const struct upgrade_context *c, const char *path)
{
    struct site_carry_decision d = SITE_CARRY_DECISION_INIT;
    struct error ignored = ERROR_INIT;
    bool folder = carry_decide(c, path, SITE_CARRY_FOLDER_LINK, &d, &ignored) == OK &&
                  (d.to ? carry_ships_folder(c, d.to) : d.class == SITE_CARRY_BLOCKED);

    site_carry_release(&d);
    return folder ? SITE_CARRY_FOLDER_LINK : SITE_CARRY_FILE;
}

enum site_carry_kind links_kind(const struct upgrade_context *c, int dir, const char *name, mode_t mode,
                                const char *path)
{
    struct stat st;

    if (S_ISDIR(mode))
        return SITE_CARRY_FOLDER;
    if (!S_ISLNK(mode))
        return SITE_CARRY_FILE;
    if (fstatat(dir, name, &st, 0) != 0)
        return kind_of_dead(c, path);
    return S_ISDIR(st.st_mode) ? SITE_CARRY_FOLDER_LINK : SITE_CARRY_FILE;
}

/* ---- what was found for the plan ---- */

void links_release(struct folder_links *l)
{
    for (size_t i = 0; i < l->count; i++) {
        free(l->items[i].path);
        free(l->items[i].target);
    }
    free(l->items);
    *l = (struct folder_links){NULL, 0};
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct folder_link *)a)->path, ((const struct folder_link *)b)->path);
}

static const struct folder_link *find(const struct folder_links *l, const char *path)
{
    const struct folder_link key = {.path = (char *)(uintptr_t)path};

    return l->count ? bsearch(&key, l->items, l->count, sizeof(*l->items), by_path) : NULL;
}

static enum error_kind target_of(int dir, const char *name, char **out, struct error *err)
{
    char target[PATH_MAX];
    ssize_t len = readlinkat(dir, name, target, sizeof(target) - 1);

    if (len < 0)
        return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "%s: reading the symlink", name);
    target[len] = '\0';
    return memory_string(target, out, err);
}

static enum error_kind remember(struct folder_links *l, const struct walk_item *item, const struct folder_link **out,
                                struct error *err)
{
    struct folder_link *grown = reallocarray(l->items, l->count + 1, sizeof(*grown));
    struct folder_link *link;
    enum error_kind rc;

    if (!grown)
        return error_set(err, ERR_MEMORY, 0, "out of memory for a list of links");
    l->items = grown;
    link = &grown[l->count];
    *link = (struct folder_link){NULL, NULL};
    rc = memory_string(item->path, &link->path, err);
    if (!rc)
        rc = target_of(item->dirfd, item->name, &link->target, err);
    if (rc) {
        free(link->path);
        return rc;
    }
    l->count++;
    *out = link;
    return OK;
}

void links_sort(struct folder_links *l)
{
    if (l->count)
        qsort(l->items, l->count, sizeof(*l->items), by_path);
}

/* ---- what the plan says ---- */

struct saying {
    const struct upgrade_context *c;
    const struct folder_link *link;
    const struct site_carry_decision *d;
    const char *inside; /* the folder of the shop that it leads to; NULL: elsewhere */
    char shown[1024], target[1024];
};

/* Behind the link, as the owner sees it now. -1 where nobody can look. */
static bool is_behind(int folder, const char *path)
{
    struct stat st;

    return folder >= 0 && fstatat(folder, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Files that the release has in that folder, and the folder behind the link has not. */
static enum error_kind say_missing(const struct saying *s, int folder, struct text_list *out, struct error *err)
{
    const struct release_list *list = release_list(s->c->release);
    struct buffer names = BUFFER_INIT(64u << 10);
    size_t len = strlen(s->d->to);
    size_t count = 0;
    enum error_kind rc = OK;

    for (size_t i = 0; i < list->count && !rc; i++) {
        const struct release_entry *e = &list->items[i];
        char name[256];

        if (e->folder || strncasecmp(e->path, s->d->to, len) != 0 || e->path[len] != '/' ||
            site_carry_is_placeholder(e->path) || is_behind(folder, e->path + len + 1))
            continue;
        text_name(e->path + len + 1, strlen(e->path + len + 1), name, sizeof(name));
        if (count++ < NAMES_SHOWN)
            rc = buffer_append_format(&names, err, "%s%s", count > 1 ? ", " : "", name);
    }
    if (!rc && count)
        rc = text_list_addf(
            out, err,
            "%s: %zu file%s of the release %s no place there, since it is a link: %s%s; put what you need behind it "
            "yourself",
            s->shown, count, count == 1 ? "" : "s", count == 1 ? "has" : "have", (char *)names.data,
            count > NAMES_SHOWN ? ", ..." : "");
    buffer_release(&names);
    return rc;
}

static enum error_kind say_kept(const struct saying *s, int folder, struct text_list *out, struct error *err)
{
    bool moves = strcmp(s->d->to, s->link->path) != 0;
    char to[1024];
    enum error_kind rc;

    text_name(s->d->to, strlen(s->d->to), to, sizeof(to));
    rc = text_list_addf(
        out, err, "%s%s%s: stays a link to %s (%s)%s", s->shown, moves ? ", as " : "", moves ? to : "", s->target,
        s->d->reason,
        s->inside ? "" : "; what is behind it is left as it is, in no snapshot, and not brought back by a rollback");
    return rc ? rc : say_missing(s, folder, out, err);
}

/*
 * Where a link that comes over leads into the shop itself: is it there in the new tree too? One that gets another name is made anew (upgrade_copy.c),
 * if it is a relative one.
 */
static enum error_kind check_inside(const struct saying *s, struct text_list *problems, struct error *err)
{
    struct site_carry_decision d = SITE_CARRY_DECISION_INIT;
    bool made_anew = s->link->target[0] != '/' && strcmp(s->d->to, s->link->path) != 0;
    bool there;
    enum error_kind rc;

    if (!s->inside || !*s->inside)
        return OK;
    rc = carry_decide(s->c, s->inside, SITE_CARRY_FOLDER, &d, err);
    there = carry_is_owners(&d) || d.class == SITE_CARRY_INSIDE || d.class == SITE_CARRY_MOVE ||
            (d.class == SITE_CARRY_FROM_PACKAGE && carry_ships_folder(s->c, s->inside));
    if (!rc && (!there || (d.to && strcmp(d.to, s->inside) != 0 && !made_anew)))
        rc = text_list_addf(problems, err, "%s is a link to %s, a folder of the shop that %s: let it lead elsewhere",
                            s->shown, s->target, there ? "gets another name" : "does not come over");
    site_carry_release(&d);
    return rc;
}

static enum error_kind say(const struct saying *s, int folder, struct text_list *told, struct text_list *problems,
                           struct error *err)
{
    enum error_kind rc;

    if (s->d->class == SITE_CARRY_BLOCKED)
        return text_list_addf(problems, err, "%s is a link to %s, and %s: make it a folder for the upgrade", s->shown,
                              s->target, s->d->reason);
    if (!carry_is_owners(s->d))
        return text_list_addf(told, err, "%s: the link to %s does not come over (%s)", s->shown, s->target,
                              s->d->reason);
    if (folder < 0)
        return text_list_addf(problems, err, "%s is a link to %s, which can't be reached: is a disk not mounted?",
                              s->shown, s->target);
    rc = check_inside(s, problems, err);
    return rc ? rc : say_kept(s, folder, told, err);
}

enum error_kind links_note(struct upgrade_context *c, const struct walk_item *item, const struct site_carry_decision *d,
                           struct text_list *told, struct text_list *problems, struct error *err)
{
    struct saying s = {.c = c, .d = d};
    struct error ignored = ERROR_INIT;
    char *full = NULL;
    char *real = NULL;
    int folder = -1;
    enum error_kind rc = remember(&c->links, item, &s.link, err);

    if (!rc)
        rc = path_join(c->site->path, item->path, &full, err);
    if (!rc) {
        text_name(item->path, strlen(item->path), s.shown, sizeof(s.shown));
        text_name(s.link->target, strlen(s.link->target), s.target, sizeof(s.target));
        if (path_real(full, &real, &ignored) == OK) {
            s.inside = site_path_below(c->site->path, real);
            (void)file_open(AT_FDCWD, real, O_PATH | O_DIRECTORY, 0, &folder, &ignored);
        }
        rc = say(&s, folder, told, problems, err);
    }
    file_close(&folder);
    free(real);
    free(full);
    return rc;
}

enum error_kind links_note_settings(const struct walk_item *item, struct text_list *told, struct error *err)
{
    char shown[1024];
    char target[1024];
    char *to = NULL;
    enum error_kind rc = target_of(item->dirfd, item->name, &to, err);

    if (rc)
        return rc;
    text_name(item->path, strlen(item->path), shown, sizeof(shown));
    text_name(to, strlen(to), target, sizeof(target));
    free(to);
    return text_list_addf(told, err,
                          "%s: a link to %s; the new version gets a file of its own in its place, and what the link "
                          "leads to stays as it is",
                          shown, target);
}

/* ---- L2 ---- */

enum site_carry_kind links_known(struct upgrade_context *c, const char *path)
{
    struct error ignored = ERROR_INIT;
    enum site_carry_kind kind = SITE_CARRY_FILE;
    struct stat st;
    int tree = -1;
    int dir = -1;

    if (find(&c->links, path))
        return SITE_CARRY_FOLDER_LINK;
    if (file_open(AT_FDCWD, c->site->path, O_PATH | O_DIRECTORY, 0, &tree, &ignored) == OK &&
        tree_folder_of(tree, path, &dir, &ignored) == OK &&
        fstatat(dir, path_base(path), &st, AT_SYMLINK_NOFOLLOW) == 0)
        kind = links_kind(c, dir, path_base(path), st.st_mode, path);
    file_close(&dir);
    file_close(&tree);
    if (kind == SITE_CARRY_FOLDER_LINK)
        c->late_link = true;
    return kind;
}

static enum error_kind refuse_change(const char *path, struct error *err)
{
    char shown[1024];
    enum error_kind rc;

    text_name(path, strlen(path), shown, sizeof(shown));
    rc =
        error_set(err, ERR_REFUSED, 0, "%s is another link than when the upgrade was planned, or none any more", shown);
    error_hint(err, "leave it alone while the shop is upgraded, and begin again");
    return rc;
}

enum error_kind links_check(const struct upgrade_context *c, const char *live, struct error *err)
{
    int tree = -1;
    enum error_kind rc = c->links.count ? file_open(AT_FDCWD, live, O_PATH | O_DIRECTORY, 0, &tree, err) : OK;

    for (size_t i = 0; i < c->links.count && !rc; i++) {
        const struct folder_link *link = &c->links.items[i];
        struct error ignored = ERROR_INIT;
        char *now = NULL;
        int dir = -1;

        if (tree_folder_of(tree, link->path, &dir, &ignored) != OK ||
            target_of(dir, path_base(link->path), &now, &ignored) != OK || strcmp(now, link->target) != 0)
            rc = refuse_change(link->path, err);
        free(now);
        file_close(&dir);
    }
    file_close(&tree);
    return rc;
}
