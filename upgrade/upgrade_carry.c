/*
 * What comes over from the old tree: the shop's own things. Everything else is the old program's, and is replaced (U1).
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "upgrade_internal.h"
#include "walk.h"

/* Folders in which all is the shop's own but what the release ships. */
static const char *const own_folders[] = {
    "App_Data", "wwwroot/images", "wwwroot/files", "wwwroot/icons", "wwwroot/.well-known", "wwwroot/uploads",
};
/* Folders of folders: one that the release does not ship is the shop's own. */
static const char *const own_groups[] = {"Plugins", "Themes"};

static bool below(const char *path, const char *folder)
{
    size_t n = strlen(folder);

    return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* "Plugins/Acme.OrderExport/logo.png" to "Plugins/Acme.OrderExport" */
static bool group_is_shipped(const struct upgrade_context *c, const char *path, const char *group)
{
    const char *rest = path + strlen(group) + 1;
    char name[512];
    size_t n = (size_t)(rest - path) + strcspn(rest, "/");

    if (n >= sizeof(name))
        return false;
    memcpy(name, path, n);
    name[n] = '\0';
    return release_find(c->release, name) != NULL;
}

static bool is_settings(const char *path)
{
    static const char *const settings[] = {"App_Data/appsettings.json", "App_Data/dataSettings.json",
                                           "App_Data/Settings.txt", "App_Data/plugins.json"};

    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        if (!strcasecmp(path, settings[i]))
            return true;
    return false;
}

bool carry_wants(void *context, const char *path)
{
    const struct upgrade_context *c = context;

    if (!*path)
        return true;
    if (site_classify(c->site, path, false, NULL) == SITE_REGENERATED || is_settings(path))
        return false;
    for (size_t i = 0; i < sizeof(own_groups) / sizeof(own_groups[0]); i++)
        if (below(path, own_groups[i]) && path[strlen(own_groups[i])] == '/')
            return !group_is_shipped(c, path, own_groups[i]);
    if (release_find(c->release, path))
        return false;
    for (size_t i = 0; i < sizeof(own_folders) / sizeof(own_folders[0]); i++)
        if (below(path, own_folders[i]))
            return true;
    return false;
}

enum error_kind carry_count(struct upgrade_context *c, struct text_list *out, struct error *err)
{
    struct walk *walk = NULL;
    struct walk_item item;
    enum error_kind rc = walk_open(c->site->path, c->site, &walk, err);

    (void)out;
    while (!rc) {
        rc = walk_next(walk, &item, err);
        if (rc || item.event == WALK_END)
            break;
        if (item.event != WALK_ENTRY || !carry_wants(c, item.path))
            continue;
        c->carried_files++;
        c->carried_bytes += (uint64_t)item.st.st_size;
    }
    walk_close(walk);
    return rc;
}

static enum error_kind copy(const char *live, const char *tree, const char *name, struct error *err)
{
    struct buffer content = BUFFER_INIT(64u << 20);
    struct error why = ERROR_INIT;
    struct stat st;
    char *from = NULL;
    char *to = NULL;
    int fd = -1;
    enum error_kind rc = path_join(live, name, &from, err);

    if (!rc)
        rc = path_join(tree, name, &to, err);
    if (!rc && (lstat(from, &st) != 0 || !S_ISREG(st.st_mode)))
        goto done;
    if (!rc)
        rc = file_read_whole(AT_FDCWD, from, content.max, &content, err);
    if (!rc && file_unlink(AT_FDCWD, to, &why) && why.kind != ERR_NOT_FOUND) {
        error_copy(err, &why);
        rc = why.kind;
    }
    if (!rc)
        rc = file_open(AT_FDCWD, to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, &fd, err);
    if (!rc)
        rc = file_write(fd, content.data, content.len, name, err);
    if (!rc && ((geteuid() == 0 && fchown(fd, st.st_uid, st.st_gid)) || fchmod(fd, st.st_mode & 07777)))
        rc = error_set(err, ERR_IO, 0, "%s", to);
    if (!rc && futimens(fd, (const struct timespec[2]){st.st_atim, st.st_mtim}))
        rc = error_set(err, ERR_IO, 0, "%s", to);
    if (!rc)
        rc = file_sync(fd, to, err);
done:
    file_close(&fd);
    buffer_release_secret(&content);
    free(from);
    free(to);
    return rc;
}

enum error_kind carry_settle(void *context, const char *tree, const char *live, const struct progress *progress,
                             struct error *err)
{
    static const char *const settings[] = {"App_Data/appsettings.json", "App_Data/dataSettings.json",
                                           "App_Data/plugins.json"};
    enum error_kind rc = OK;

    (void)context;
    (void)progress;
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]) && !rc; i++)
        rc = copy(live, tree, settings[i], err);
    return rc;
}
