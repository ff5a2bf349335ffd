#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "file.h"
#include "site_internal.h"

/* A folder below the site as it is on the disk, or as it should be where it does not exist yet. */
static enum error_kind as_on_disk(const struct site *site, const char *relative, char **out, struct error *err)
{
    struct error absent = ERROR_INIT;

    if (!site_file_find(site->path, relative, out, &absent))
        return OK;
    return memory_string(relative, out, err);
}

static bool is_windows_path(const char *path)
{
    bool drive = ((path[0] | 32) >= 'a' && (path[0] | 32) <= 'z') && path[1] == ':' && strchr("\\/", path[2]);

    return drive || strncmp(path, "\\\\", 2) == 0;
}

/* 4.90: relative to wwwroot, or absolute. */
static enum error_kind configured(const struct site *site, const char *setting, char **out, struct error *err)
{
    char *joined = NULL;
    char *full = NULL;
    const char *below;
    enum error_kind rc;

    if (is_windows_path(setting)) {
        error_set(err, ERR_REFUSED, 0, "the pictures are at a Windows path, which is not on this machine");
        error_hint(err, "correct the setting mediasettings.picturepath in the shop's database");
        return ERR_REFUSED;
    }
    if (setting[0] == '/')
        rc = memory_string(setting, &joined, err);
    else
        rc = memory_format(&joined, err, "%s/wwwroot/%s", site->path, setting + (strncmp(setting, "~/", 2) ? 0 : 2));
    for (char *p = joined; p && *p; p++) {
        if (*p == '\\')
            *p = '/';
    }
    if (!rc)
        rc = site_path_normalize(joined, &full, err);
    if (!rc) {
        below = site_path_below(site->path, full);
        if (below && *below != '\0')
            rc = as_on_disk(site, below, out, err);
        else
            rc = memory_string(full, out, err);
    }
    free(joined);
    free(full);
    return rc;
}

enum error_kind site_picture_path(const struct site *site, const char *picture_path, char **out, struct error *err)
{
    bool has_setting = site->version.major == 0 || site_version_at_least(&site->version, 4, 90);

    if (site->layout == SITE_PLAIN)
        return error_set(err, ERR_NOT_FOUND, 0, "%s is no nopCommerce site: it has no picture folder", site->path);
    if (site->layout == SITE_LEGACY)
        return as_on_disk(site, "Content/Images", out, err);
    if (!has_setting || !picture_path || picture_path[strspn(picture_path, " \t")] == '\0')
        return as_on_disk(site, "wwwroot/images", out, err);
    return configured(site, picture_path, out, err);
}

static bool any_exists(const char *folder, const char *const *names)
{
    for (; *names; names++) {
        if (site_file_exists(folder, *names))
            return true;
    }
    return false;
}

/* Is this folder one whose content the web server hands out? */
static bool is_served_root(const char *path)
{
    static const char *const core[] = {"Nop.Web.dll",       "Nop.Web",        "Nop.Web.exe", "Nop.Core.dll",
                                       "Nop.Web.deps.json", "Nop.Web.csproj", "App_Data",    NULL};
    static const char *const legacy[] = {"bin/Nop.Core.dll", "Administration", "App_Data/Settings.txt",
                                         "App_Data/InstalledPlugins.txt", NULL};
    struct error ignored = ERROR_INIT;
    char *parent = NULL;
    bool served = false;

    if (strcasecmp(path_base(path), "wwwroot") == 0 && !path_parent(path, &parent, &ignored))
        served = any_exists(parent, core);
    free(parent);
    return served || (site_file_exists(path, "Global.asax") && any_exists(path, legacy));
}

/* The folder, or the nearest one above it that exists, as a real path. */
static enum error_kind nearest_real(const char *directory, char **out, struct error *err)
{
    char *path = NULL;
    enum error_kind rc;

    rc = memory_string(directory[0] ? directory : ".", &path, err);
    while (!rc) {
        char *parent = NULL;
        struct error gone = ERROR_INIT;

        rc = path_real(path, out, &gone);
        if (rc != ERR_NOT_FOUND || strcmp(path, "/") == 0 || strcmp(path, ".") == 0) {
            if (rc)
                error_copy(err, &gone);
            break;
        }
        rc = path_parent(path, &parent, err);
        free(path);
        path = parent;
    }
    free(path);
    return rc;
}

bool site_serves(const char *directory)
{
    struct error ignored = ERROR_INIT;
    char *path = NULL;
    bool served = false;

    if (nearest_real(directory, &path, &ignored))
        return false;
    while (!served) {
        char *parent = NULL;

        served = is_served_root(path);
        if (strcmp(path, "/") == 0 || path_parent(path, &parent, &ignored))
            break;
        free(path);
        path = parent;
    }
    free(path);
    return served;
}

bool site_holds(const char *root, const char *directory)
{
    struct error ignored = ERROR_INIT;
    char *real = NULL;
    char *path = NULL;
    bool held;

    if (path_real(root, &real, &ignored) != OK) /* gone: there is only its name */
        held = site_path_below(root, directory) != NULL;
    else
        held = nearest_real(directory, &path, &ignored) == OK && site_path_below(real, path) != NULL;
    free(real);
    free(path);
    return held;
}
