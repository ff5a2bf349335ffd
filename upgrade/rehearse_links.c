/*
 * Links in the copy's tree that lead out of it: whoever runs there would write into the live shop's folders, its thumbnails or its keys (H1). They are
 * refused by name, until the owner allows them (H3).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "rehearse_internal.h"
#include "walk.h"

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

static enum error_kind look_at(struct rehearsal *r, const struct walk_item *item, struct text_list *unknown,
                               struct error *err)
{
    char *led = NULL;
    enum error_kind rc = way_out(item, &led, err);

    if (!rc && led)
        rc = rehearse_is_allowed(r, item->path) ? lead_as_the_shops(r, item, led, err)
                                                : text_list_add(unknown, item->path, err);
    free(led);
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

enum error_kind rehearse_links(struct rehearsal *r, struct error *err)
{
    struct text_list unknown = TEXT_LIST_INIT;
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
            rc = look_at(r, &item, &unknown, err);
        }
    }
    walk_close(walk);
    if (!rc && unknown.count)
        rc = refuse(&unknown, err);
    text_list_release(&unknown);
    return rc;
}
