/*
 * From one release to the next within one upgrade. What the stage before has in its tree and carries over under its own name stays where it is;
 * everything else goes aside, so that the next release is planted as if beside an old tree (U1), and its settings are made from there (U2, U3).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "carry.h"
#include "file.h"
#include "upgrade_internal.h"
#include "walk.h"

enum error_kind stage_enter(struct upgrade_context *c, size_t stage, struct error *err)
{
    const struct upgrade_stage *s = &c->path->stages[stage];

    c->stage = stage;
    c->from = s->from;
    c->to = s->to;
    c->release = c->releases[stage];
    c->old_release = stage ? c->releases[stage - 1] : c->first_release;
    c->layout = stage ? release_facts(c->old_release)->layout : c->site->layout;
    c->health.target = s->to.text;
    renamed_release(&c->renamed);
    carry_names_release(c);
    return carry_names_of(c, err);
}

/* ---- what goes aside ---- */

struct clearing {
    struct upgrade_context *c;
    int aside;
};

static enum error_kind same_owner(int fd, const struct stat *st, const char *shown, struct error *err)
{
    if ((geteuid() == 0 && fchown(fd, st->st_uid, st->st_gid)) || fchmod(fd, st->st_mode & 07777))
        return error_set(err, ERR_IO, errno, "%s", shown);
    return OK;
}

/* Each folder is there too, with its owner: the next release's take theirs from it. */
static enum error_kind make_folder(const struct clearing *k, const struct walk_item *item, struct error *err)
{
    int fd = -1;
    enum error_kind rc = *item->path ? directory_make(k->aside, item->path, 0700, err) : OK;

    if (!rc)
        rc = file_open(k->aside, *item->path ? item->path : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, &fd, err);
    if (!rc)
        rc = same_owner(fd, &item->st, item->path, err);
    file_close(&fd);
    return rc;
}

/* Thumbnails, logs and backups are looked for in this tree by an undo; caches are of the version that made them. */
static bool stays_left_out(const struct walk_item *item)
{
    return item->class != SITE_REGENERATED || !site_begins_empty(item->reason);
}

static enum error_kind decide(const struct clearing *k, const struct walk_item *item, bool *stays, bool *whole,
                              struct error *err)
{
    struct site_carry_decision d = SITE_CARRY_DECISION_INIT;
    enum site_carry_kind kind = links_kind(k->c, item->dirfd, item->name, item->st.st_mode, item->path);
    enum error_kind rc = carry_decide(k->c, item->path, kind, &d, err);

    if (!rc && d.class == SITE_CARRY_BLOCKED)
        rc = error_set(err, ERR_REFUSED, 0, "%s is a link to a folder, and %s", item->path, d.reason);
    *whole = !rc && (d.class == SITE_CARRY_MOVE || d.class == SITE_CARRY_OURS);
    *stays = *whole || (!rc && carry_is_owners(&d) && !strcmp(d.to, item->path));
    site_carry_release(&d);
    return rc;
}

static enum error_kind clear_one(const struct clearing *k, struct walk *walk, const struct walk_item *item,
                                 struct error *err)
{
    bool folder = item->event == WALK_ENTER;
    bool stays = false;
    bool whole = false;
    enum error_kind rc = OK;

    if (folder && !*item->path)
        return make_folder(k, item, err);
    if (item->event == WALK_SKIPPED) {
        stays = stays_left_out(item);
        return stays ? OK : file_rename(item->dirfd, item->name, k->aside, item->path, err);
    }
    rc = decide(k, item, &stays, &whole, err);
    if (!rc && folder)
        rc = make_folder(k, item, err);
    if (!rc && folder && whole)
        walk_prune(walk);
    if (!rc && !folder && !stays)
        rc = file_rename(item->dirfd, item->name, k->aside, item->path, err);
    return rc;
}

/* A folder that is empty now was the old program's, unless the owner's. */
static enum error_kind leave_folder(const struct clearing *k, const struct walk_item *item, struct error *err)
{
    bool stays = false;
    bool whole = false;
    enum error_kind rc = *item->path ? decide(k, item, &stays, &whole, err) : OK;

    if (rc || stays || !*item->path)
        return rc;
    if (unlinkat(item->dirfd, item->name, AT_REMOVEDIR) && errno != ENOTEMPTY && errno != EEXIST)
        return error_set(err, ERR_IO, errno, "%s", item->path);
    return OK;
}

static enum error_kind clear_all(const struct clearing *k, const char *live, struct error *err)
{
    struct walk *walk = NULL;
    struct walk_item item;
    enum error_kind rc = walk_open(live, k->c->site, &walk, err);

    while (!rc) {
        rc = walk_next(walk, &item, err);
        if (rc || item.event == WALK_END)
            break;
        if (item.event == WALK_UNREADABLE) {
            *err = item.error;
            rc = err->kind;
        } else if (item.event == WALK_LEAVE) {
            rc = leave_folder(k, &item, err);
        } else {
            rc = clear_one(k, walk, &item, err);
        }
    }
    walk_close(walk);
    return rc;
}

static enum error_kind clear(struct upgrade_context *c, const char *live, const char *aside, struct error *err)
{
    struct clearing k = {c, -1};
    enum error_kind rc = file_open(AT_FDCWD, aside, O_RDONLY | O_DIRECTORY, 0, &k.aside, err);

    if (!rc)
        rc = clear_all(&k, live, err);
    file_close(&k.aside);
    if (rc)
        error_context(err, "clearing away nopCommerce %s", c->from.text);
    return rc;
}

/* ---- the whole ---- */

enum error_kind stage_advance(void *context, size_t stage, const char *live, const char *aside,
                              const struct progress *progress, struct error *err)
{
    struct upgrade_context *c = context;
    char *scratch = NULL;
    char *old = NULL;
    enum error_kind rc = stage_enter(c, stage, err);

    progress_step(progress, "from %s to %s", c->from.text, c->to.text);
    if (!rc)
        rc = path_join(aside, "old", &old, err);
    if (!rc)
        rc = path_join(aside, "new", &scratch, err);
    if (!rc)
        rc = directory_make(AT_FDCWD, old, 0700, err);
    if (!rc)
        rc = directory_make(AT_FDCWD, scratch, 0700, err);
    if (!rc)
        rc = clear(c, live, old, err);
    if (!rc)
        rc = tree_plant(c, live, old, scratch, progress, err);
    if (!rc)
        rc = carry_settle(c, live, old, progress, err);
    free(scratch);
    free(old);
    return rc;
}
