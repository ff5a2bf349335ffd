/*
 * Links in the copy's tree that lead out of it: whoever runs there would write into the live shop's folders, its thumbnails or its keys (H1). The
 * folders behind them are covered, so that the copy sees what is there, and what it writes goes with it. What can't be covered, a file for one, is
 * refused by name, until the owner allows it (H3).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "rehearse_internal.h"
#include "walk.h"

#define COVERS_MAX 64
#define NO_OPTION ",:\\\"" /* what stands for something in the options of a mount */

/* Where it leads, from the root of its tree; *out stays NULL where that is in the tree. Nothing in the settings of a shop knows of the copy's place. */
static enum error_kind way_out(const struct walk_item *item, char **out, struct error *err)
{
    char target[PATH_MAX];
    ssize_t len = readlinkat(item->dirfd, item->name, target, sizeof(target) - 1);
    char *led = NULL;
    enum error_kind rc;

    if (len < 0)
        return error_set(err, ERR_IO, errno, "%s: reading the symlink", item->path);
    target[len] = '\0';
    if (target[0] == '/')
        return memory_string(target, out, err);
    rc = copy_led_to(item->path, target, &led, err);
    if (!rc && strncmp(led, "..", 2) == 0 && (led[2] == '/' || !led[2])) {
        *out = led;
        led = NULL;
    }
    free(led);
    return rc;
}

/* A relative one would lead elsewhere from where the copy is. */
static enum error_kind lead_as_the_shops(const struct rehearsal *r, const struct walk_item *item, const char *led,
                                         struct error *err)
{
    char *target = NULL;
    enum error_kind rc;

    if (led[0] == '/')
        return OK;
    rc = path_join(r->site->path, led, &target, err);
    if (!rc && (unlinkat(item->dirfd, item->name, 0) || symlinkat(target, item->dirfd, item->name)))
        rc = error_set(err, ERR_IO, errno, "%s", item->path);
    free(target);
    return rc;
}

/* ---- a folder behind a link: seen as it is, and what is written there goes with the copy ---- */

static bool is_covered(const struct rehearsal *r, const char *folder)
{
    for (size_t i = 0; i < r->covers.count; i++)
        if (site_path_below(r->covers.items[i], folder))
            return true;
    return false;
}

/* Not over the copy itself, and with a name that overlayfs takes as it is. */
static bool may_be_covered(const struct rehearsal *r, const char *folder)
{
    struct stat st;

    return !r->host_network && stat(folder, &st) == 0 && S_ISDIR(st.st_mode) &&
           !site_path_below(folder, r->place.folder) && !strpbrk(folder, NO_OPTION) &&
           !strpbrk(r->place.folder, NO_OPTION) && r->covers.count < COVERS_MAX;
}

/* The upper folder gives the whole its owner and mode. */
static enum error_kind make_upper(const char *place, const char *folder, struct error *err)
{
    int lower = -1;
    int upper = -1;
    int dir = -1;
    enum error_kind rc = directory_make_all(place, err);

    if (!rc)
        rc = file_open(AT_FDCWD, place, O_RDONLY | O_DIRECTORY, 0, &dir, err);
    if (!rc)
        rc = directory_make(dir, "up", 0700, err);
    if (!rc)
        rc = directory_make(dir, "work", 0700, err);
    if (!rc)
        rc = file_open(dir, "up", O_RDONLY | O_DIRECTORY, 0, &upper, err);
    if (!rc)
        rc = file_open(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY, 0, &lower, err);
    if (!rc)
        rc = walk_attributes_copy(lower, upper, folder, err);
    file_close(&dir);
    file_close(&upper);
    file_close(&lower);
    return rc;
}

static enum error_kind cover_links_in(struct rehearsal *r, const char *folder, const char *shown,
                                      struct text_list *unknown, struct error *err);

/* folder: a real path; shown: the link's path in the tree */
static enum error_kind cover(struct rehearsal *r, const char *folder, const char *shown, struct text_list *unknown,
                             struct error *err)
{
    char *place = NULL;
    enum error_kind rc;

    if (is_covered(r, folder))
        return OK;
    if (!may_be_covered(r, folder))
        return text_list_add(unknown, shown, err);
    rc = memory_format(&place, err, "%s/cover-%zu", r->place.spare, r->covers.count);
    if (!rc)
        rc = make_upper(place, folder, err);
    if (!rc)
        rc = text_list_addf(&r->cover_options, err, "lowerdir=%s,upperdir=%s/up,workdir=%s/work,index=off", folder,
                            place, place);
    if (!rc)
        rc = text_list_add(&r->cover_names, shown, err);
    if (!rc)
        rc = text_list_add(&r->covers, folder, err);
    free(place);
    return rc ? rc : cover_links_in(r, folder, shown, unknown, err);
}

static enum error_kind cover_link(struct rehearsal *r, const char *link, const char *shown, struct text_list *unknown,
                                  struct error *err)
{
    struct error ignored = ERROR_INIT;
    char *real = NULL;
    enum error_kind rc;

    if (rehearse_is_allowed(r, shown))
        return OK;
    rc = path_real(link, &real, &ignored) == OK ? cover(r, real, shown, unknown, err)
                                                : text_list_add(unknown, shown, err);
    free(real);
    return rc;
}

/* Thumbnails may lie on another disk once more. */
static enum error_kind cover_links_in(struct rehearsal *r, const char *folder, const char *shown,
                                      struct text_list *unknown, struct error *err)
{
    struct walk *walk = NULL;
    struct walk_item item;
    enum error_kind rc = walk_open(folder, NULL, &walk, err);

    if (!rc)
        walk_names_only(walk);
    while (!rc) {
        char *link = NULL;
        char *name = NULL;

        rc = walk_next(walk, &item, err);
        if (rc || item.event == WALK_END)
            break;
        if (item.event != WALK_ENTRY || !S_ISLNK(item.st.st_mode))
            continue;
        rc = path_join(folder, item.path, &link, err);
        if (!rc)
            rc = path_join(shown, item.path, &name, err);
        if (!rc)
            rc = cover_link(r, link, name, unknown, err);
        free(link);
        free(name);
    }
    walk_close(walk);
    return rc;
}

/* ---- the copy's tree ---- */

static enum error_kind look_at(struct rehearsal *r, const struct walk_item *item, struct text_list *unknown,
                               struct error *err)
{
    char *led = NULL;
    char *link = NULL;
    enum error_kind rc = way_out(item, &led, err);

    if (!rc && led)
        rc = lead_as_the_shops(r, item, led, err);
    if (!rc && led)
        rc = path_join(r->place.tree, item->path, &link, err);
    if (!rc && led)
        rc = cover_link(r, link, item->path, unknown, err);
    free(link);
    free(led);
    return rc;
}

/* By its name in the tree; but `..` behind another link is the folder above that one's: then the real path tells. */
static enum error_kind look_through(struct rehearsal *r, const struct walk_item *item, struct text_list *unknown,
                                    struct error *err)
{
    struct error ignored = ERROR_INIT;
    char *led = NULL;
    char *link = NULL;
    char *tree = NULL;
    char *real = NULL;
    enum error_kind rc = way_out(item, &led, err);

    if (!rc && !led)
        rc = path_join(r->place.tree, item->path, &link, err);
    if (!rc && !led)
        rc = path_real(r->place.tree, &tree, err);
    if (!rc && !led && path_real(link, &real, &ignored) == OK && !site_path_below(tree, real))
        rc = cover_link(r, link, item->path, unknown, err);
    free(led);
    free(link);
    free(tree);
    free(real);
    return rc;
}

static enum error_kind refuse(const struct text_list *unknown, struct error *err)
{
    char first[1024];
    enum error_kind rc;

    text_name(unknown->items[0], strlen(unknown->items[0]), first, sizeof(first));
    rc = error_set(err, ERR_REFUSED, 0, "the copy would write behind %zu link%s that lead%s out of it: %s%s",
                   unknown->count, unknown->count == 1 ? "" : "s", unknown->count == 1 ? "s" : "", first,
                   unknown->count > 1 ? ", ..." : "");
    error_hint(err, "where it may do so in the shop's own folder, say so in the config: rehearse-allow = %s", first);
    return rc;
}

typedef enum error_kind link_fn(struct rehearsal *r, const struct walk_item *item, struct text_list *unknown,
                                struct error *err);

static enum error_kind each_link(struct rehearsal *r, link_fn *fn, struct text_list *unknown, struct error *err)
{
    struct walk *walk = NULL;
    struct walk_item item;
    enum error_kind rc = walk_open(r->place.tree, NULL, &walk, err);

    while (!rc) {
        rc = walk_next(walk, &item, err);
        if (rc || item.event == WALK_END)
            break;
        if (item.event == WALK_UNREADABLE) {
            *err = item.error;
            rc = err->kind;
        } else if (item.event == WALK_ENTRY && S_ISLNK(item.st.st_mode)) {
            rc = fn(r, &item, unknown, err);
        }
    }
    walk_close(walk);
    return rc;
}

enum error_kind rehearse_links(struct rehearsal *r, struct error *err)
{
    struct text_list unknown = TEXT_LIST_INIT;
    enum error_kind rc = each_link(r, look_at, &unknown, err);

    if (!rc) /* all lead as the shop's do now */
        rc = each_link(r, look_through, &unknown, err);
    if (!rc && unknown.count)
        rc = refuse(&unknown, err);
    text_list_release(&unknown);
    return rc;
}
