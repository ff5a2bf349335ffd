/*
 * The settings for an older release (--allow-downgrade). What the newer version wrote can't be turned back; an older one of the same form reads it as
 * it is, and one of another form finds no database in it, which the plan says.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "file.h"
#include "upgrade_internal.h"
#include "walk.h"

static const char *const folders[] = {"", "App_Data"}; /* settings lie nowhere else */

/* Of the same form, by whatever patch: those are converted as always, which changes nothing. */
bool carry_turns_back(const struct upgrade_context *c)
{
    return c->to.major < c->from.major || (c->to.major == c->from.major && c->to.minor < c->from.minor);
}

/* The settings files of a tree, each by its path. */
static enum error_kind list_folder(const struct upgrade_context *c, int tree, const char *folder, struct text_list *out,
                                   struct error *err)
{
    struct error why = ERROR_INIT;
    struct dirent *entry;
    DIR *dir = NULL;
    int fd = -1;
    enum error_kind rc = walk_open_below(tree, *folder ? folder : ".", O_RDONLY | O_DIRECTORY, &fd, &why);

    if (rc == ERR_NOT_FOUND)
        return OK;
    if (!rc && !(dir = fdopendir(fd)))
        rc = error_set(&why, ERR_IO, errno, "%s", folder);
    if (rc) {
        file_close(&fd);
        error_copy(err, &why);
        return rc;
    }
    while (!rc && (entry = readdir(dir))) {
        struct site_carry_decision d = SITE_CARRY_DECISION_INIT;
        char path[NAME_MAX + 16];

        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        (void)snprintf(path, sizeof(path), "%s%s%s", folder, *folder ? "/" : "", entry->d_name);
        rc = carry_decide(c, path, entry->d_type == DT_DIR ? SITE_CARRY_FOLDER : SITE_CARRY_FILE, &d, err);
        if (!rc && entry->d_type != DT_DIR && (d.class == SITE_CARRY_SETTINGS || d.class == SITE_CARRY_MERGE))
            rc = text_list_add(out, path, err);
        site_carry_release(&d);
    }
    closedir(dir);
    return rc;
}

static enum error_kind list(const struct upgrade_context *c, int tree, struct text_list *out, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]) && !rc; i++)
        rc = list_folder(c, tree, folders[i], out, err);
    return rc;
}

/*
 * A file of the release in App_Data that the shop has not would be read in place of the shop's, or over it. Not so the plain appsettings.json, which is
 * the first that is read, and those of the root, which name no database.
 */
static enum error_kind remove_strays(const struct upgrade_context *c, int tree, const struct text_list *own,
                                     struct error *err)
{
    struct text_list there = TEXT_LIST_INIT;
    enum error_kind rc = list_folder(c, tree, "App_Data", &there, err);

    for (size_t i = 0; i < there.count && !rc; i++)
        if (!text_list_has(own, there.items[i]) && strcasecmp(there.items[i], "App_Data/appsettings.json") != 0)
            rc = file_unlink(tree, there.items[i], err);
    text_list_release(&there);
    return rc;
}

enum error_kind turn_back_settings(const struct upgrade_context *c, int live, int tree, struct error *err)
{
    struct text_list own = TEXT_LIST_INIT;
    bool there;
    enum error_kind rc = list(c, live, &own, err);

    if (!rc)
        rc = remove_strays(c, tree, &own, err);
    for (size_t i = 0; i < own.count && !rc; i++)
        rc = copy_one(c, live, tree, own.items[i], own.items[i], &there, err);
    text_list_release(&own);
    return rc;
}

/* U3, before anything is changed: the shop's own files are what the older release will read. */
static enum error_kind check(const struct upgrade_context *c, struct preflight *p, struct error *err)
{
    struct error why = ERROR_INIT;
    enum error_kind rc = site_settings_check(c->site, c->site->path, &c->to, &why);

    if (rc == ERR_REFUSED)
        return text_list_add(&p->problems, why.text, err);
    if (rc)
        error_copy(err, &why);
    return rc;
}

enum error_kind turn_back_plan(struct upgrade_context *c, struct upgrade_plan *plan, struct preflight *p,
                               struct error *err)
{
    struct text_list own = TEXT_LIST_INIT;
    int live = -1;
    enum error_kind rc = check(c, p, err);

    if (!rc)
        rc = text_list_addf(&p->remarks, err,
                            "settings and database are not turned back: nopCommerce %s gets both as %s has left them",
                            c->to.text, c->from.text);
    if (!rc)
        rc = file_open(AT_FDCWD, c->site->path, O_RDONLY | O_DIRECTORY, 0, &live, err);
    if (!rc)
        rc = list(c, live, &own, err);
    for (size_t i = 0; i < own.count && !rc; i++)
        rc = text_list_addf(&plan->settings, err, "%s is copied as it is", own.items[i]);
    file_close(&live);
    text_list_release(&own);
    return rc;
}
