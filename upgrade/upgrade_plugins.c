/*
 * The shop's own plugins: nopCommerce loads none that does not name its version in SupportedVersions, and says nothing about it. What it is about to do
 * with plugins at its next start would happen amid the upgrade.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "file.h"
#include "json.h"
#include "upgrade_internal.h"

#define DESCRIPTOR_MAX (1u << 20)

/* "4.70" in a list that names "4.70"; some makers write "4.70.2". */
static bool supports(struct json *versions, const struct site_version *v)
{
    char wanted[32];
    size_t n;

    (void)snprintf(wanted, sizeof(wanted), "%d.%02d", v->major, v->minor);
    n = strlen(wanted);
    for (size_t i = 0; i < json_length(versions); i++) {
        const char *text = json_text(json_at(versions, i));

        if (text && strncmp(text, wanted, n) == 0 && (text[n] == '\0' || text[n] == '.'))
            return true;
    }
    return false;
}

static void list_versions(struct json *versions, char *out, size_t len)
{
    size_t at = 0;

    out[0] = '\0';
    for (size_t i = 0; i < json_length(versions) && at + 1 < len; i++) {
        const char *text = json_text(json_at(versions, i));
        char shown[32];

        text_name(text ? text : "?", text ? strlen(text) : 1, shown, sizeof(shown));
        at += (size_t)snprintf(out + at, len - at, "%s%s", i ? ", " : "", shown);
    }
}

/* OK and *out NULL where the folder has no descriptor that can be read: it is no plugin. */
static enum error_kind read_descriptor(int plugins, const char *folder, struct json **out, struct error *err)
{
    struct buffer content = BUFFER_INIT(DESCRIPTOR_MAX);
    struct error ignored = ERROR_INIT;
    char *path = NULL;
    enum error_kind rc = path_join(folder, "plugin.json", &path, err);

    *out = NULL;
    if (!rc && file_read_whole(plugins, path, DESCRIPTOR_MAX, &content, &ignored) == OK)
        (void)json_parse(content.data, content.len, out, &ignored);
    buffer_release(&content);
    free(path);
    return rc;
}

static enum error_kind look_at(struct upgrade_context *c, int plugins, const char *folder, struct text_list *out,
                               struct text_list *remarks, struct error *err)
{
    struct json *v = NULL;
    struct json *versions;
    const char *name;
    char shown[128];
    char listed[128];
    enum error_kind rc = read_descriptor(plugins, folder, &v, err);

    if (rc || !v)
        return rc;
    name = json_text(json_get_nocase(v, "SystemName"));
    versions = json_get_nocase(v, "SupportedVersions");
    text_name(name ? name : folder, strlen(name ? name : folder), shown, sizeof(shown));
    list_versions(versions, listed, sizeof(listed));
    if (supports(versions, &c->to)) {
        rc = text_list_addf(out, err, "%s: made for %s", shown, listed);
    } else {
        rc = text_list_addf(out, err, "%s: made for %s, NOT for %s: nopCommerce will not load it", shown,
                            listed[0] ? listed : "no version that it names", c->to.text);
        if (!rc)
            rc = text_list_addf(remarks, err, "the plugin %s does not support %s: put a build for it into Plugins/%s",
                                shown, c->to.text, folder);
    }
    json_free(v);
    return rc;
}

static enum error_kind look_at_all(struct upgrade_context *c, int plugins, struct text_list *out,
                                   struct text_list *remarks, struct error *err)
{
    int copy = openat(plugins, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    struct dirent *e;
    enum error_kind rc = OK;

    if (!dir) {
        rc = error_set(err, ERR_IO, errno, "%s/Plugins", c->site->path);
        file_close(&copy);
        return rc;
    }
    while (!rc && (e = readdir(dir))) {
        char *path = NULL;

        if (e->d_name[0] == '.' || !strcmp(e->d_name, "bin") || !strcmp(e->d_name, "Uploaded"))
            continue;
        rc = memory_format(&path, err, "Plugins/%s", e->d_name);
        if (!rc && !release_find(c->release, path))
            rc = look_at(c, plugins, e->d_name, out, remarks, err);
        free(path);
    }
    closedir(dir);
    return rc;
}

/* ---- what waits for the next start ---- */

static enum error_kind check_pending(struct upgrade_context *c, struct text_list *problems, struct error *err)
{
    static const char *const lists[] = {"PluginNamesToInstall", "PluginNamesToUninstall", "PluginNamesToDelete"};
    static const char *const words[] = {"install", "uninstall", "delete"};
    struct buffer content = BUFFER_INIT(DESCRIPTOR_MAX);
    struct error ignored = ERROR_INIT;
    struct json *v = NULL;
    char *path = NULL;
    enum error_kind rc = path_join(c->site->path, "App_Data/plugins.json", &path, err);

    if (!rc && file_read_whole(AT_FDCWD, path, DESCRIPTOR_MAX, &content, &ignored) == OK)
        (void)json_parse(content.data, content.len, &v, &ignored);
    for (size_t i = 0; i < 3 && !rc; i++)
        if (json_length(json_get_nocase(v, lists[i])))
            rc = text_list_addf(problems, err,
                                "the shop is about to %s plugins at its next start: restart it and look at it before "
                                "the upgrade",
                                words[i]);
    json_free(v);
    buffer_release(&content);
    free(path);
    return rc;
}

static enum error_kind check_uploaded(struct upgrade_context *c, int plugins, struct text_list *problems,
                                      struct error *err)
{
    int fd = openat(plugins, "Uploaded", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *e;
    enum error_kind rc = OK;

    while (dir && !rc && (e = readdir(dir)))
        if (e->d_name[0] != '.' && strcasecmp(e->d_name, "placeholder.txt") != 0 &&
            strcasecmp(e->d_name, "Index.htm") != 0) {
            rc = text_list_addf(problems, err,
                                "%s/Plugins/Uploaded is not empty: what is in it replaces plugins at the next start; "
                                "restart the shop, or empty it, before the upgrade",
                                c->site->path);
            break;
        }
    if (dir)
        closedir(dir);
    return rc;
}

enum error_kind plugins_check(struct upgrade_context *c, struct text_list *out, struct preflight *p, struct error *err)
{
    struct error why = ERROR_INIT;
    char *path = NULL;
    int fd = -1;
    enum error_kind rc = path_join(c->site->path, "Plugins", &path, err);

    if (!rc && file_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, &fd, &why) != OK)
        rc = why.kind == ERR_NOT_FOUND ? OK : (error_copy(err, &why), why.kind);
    if (!rc && fd >= 0)
        rc = look_at_all(c, fd, out, &p->remarks, err);
    if (!rc && fd >= 0)
        rc = check_uploaded(c, fd, &p->problems, err);
    if (!rc)
        rc = check_pending(c, &p->problems, err);
    file_close(&fd);
    free(path);
    return rc;
}
