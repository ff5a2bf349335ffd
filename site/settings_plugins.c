/*
 * The list of installed plugins, in four forms, each read by its releases:
 *   3.x          InstalledPlugins.txt: a system name a line
 *   4.00 - 4.10  installedPlugins.json: an array of names
 *   4.20         plugins.json: InstalledPluginNames, and lists of what the next start shall do
 *   4.30 -       plugins.json: InstalledPlugins, with the version that each plugin had
 * A version is the one that the plugin's own descriptor in the old tree has, so that its update runs from there. Where it is the same in
 * the new tree, or not known, there is none, as when nopCommerce converts the list by itself: then the update runs all the same.
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "file.h"
#include "settings_internal.h"

#define PLUGINS_MAX 2000

static const char list_txt[] = "App_Data/InstalledPlugins.txt";
static const char list_json[] = "App_Data/installedPlugins.json";
static const char info_json[] = "App_Data/plugins.json";

enum list_form { LIST_TXT, LIST_JSON, LIST_NAMES, LIST_VERSIONS };

static enum list_form form_of(int release)
{
    return release < 400 ? LIST_TXT : release < 420 ? LIST_JSON : release < 430 ? LIST_NAMES : LIST_VERSIONS;
}

static const char *path_of(enum list_form form)
{
    return form == LIST_TXT ? list_txt : form == LIST_JSON ? list_json : info_json;
}

/* ---- descriptors ---- */

/* "Key: value" of Description.txt, 3.x. Caller frees. */
static char *description_value(const char *text, const char *key)
{
    size_t len = strlen(key);

    while (text && *text) {
        if (strncasecmp(text, key, len) == 0 && text[len] == ':') {
            const char *value = text + len + 1;
            size_t value_len;

            value += strspn(value, " \t");
            value_len = strcspn(value, "\r\n");
            while (value_len > 0 && strchr(" \t", value[value_len - 1]))
                value_len--;
            return strndup(value, value_len);
        }
        text = strchr(text, '\n');
        text += text != NULL;
    }
    return NULL;
}

/* System name and version as a plugin's folder tells them; NULL where it does not. Caller frees both. */
static void read_descriptor(const char *folder, char **name, char **version)
{
    struct buffer text = BUFFER_INIT(SITE_TEXT_MAX);
    struct error ignored = ERROR_INIT;
    struct json *plugin = NULL;
    char *found = NULL;
    bool modern = !site_file_find(folder, "plugin.json", &found, &ignored);

    *name = NULL;
    *version = NULL;
    if ((!modern && site_file_find(folder, "Description.txt", &found, &ignored)) ||
        site_file_text(folder, found, SITE_TEXT_MAX, &text, &ignored) || !text.data)
        goto done;
    if (!modern) {
        *name = description_value((const char *)text.data, "SystemName");
        *version = description_value((const char *)text.data, "Version");
    } else if (!json_parse(text.data, text.len, &plugin, &ignored)) {
        const char *n = json_text(json_get_nocase(plugin, "SystemName"));
        const char *v = json_text(json_get_nocase(plugin, "Version"));

        *name = n ? strdup(n) : NULL;
        *version = v ? strdup(v) : NULL;
    }

done:
    json_free(plugin);
    buffer_release(&text);
    free(found);
}

/* All plugins of a tree: "SystemName" to "Version". */
static struct json *read_versions(const char *root)
{
    struct json *out = json_object();
    struct error ignored = ERROR_INIT;
    struct dirent *entry;
    char *plugins = NULL;
    char *folder = NULL;
    unsigned looked = 0;
    DIR *dir = NULL;

    if (!site_file_find(root, "Plugins", &plugins, &ignored) && !path_join(root, plugins, &folder, &ignored))
        dir = opendir(folder);
    while (dir && (entry = readdir(dir)) && looked < PLUGINS_MAX) {
        char *path = NULL;
        char *name;
        char *version;

        if (entry->d_name[0] == '.' || path_join(folder, entry->d_name, &path, &ignored))
            continue;
        looked++;
        read_descriptor(path, &name, &version);
        if (name && version)
            json_put_text(out, name, version);
        free(name);
        free(version);
        free(path);
    }
    if (dir)
        closedir(dir);
    free(folder);
    free(plugins);
    return out;
}

/* ---- names ---- */

/* A plugin that 4.10 replaced; its own Readme says to change the list by hand. */
static enum error_kind add_name(struct conversion *c, const char *name, struct text_list *names, struct error *err)
{
    static const char before[] = "Shipping.FixedOrByWeight";
    static const char after[] = "Shipping.FixedByWeightByTotal";
    enum error_kind rc;

    if (strcasecmp(name, before) != 0 || c->old_release >= 410 || c->new_release < 410)
        return text_list_add(names, name, err);
    rc = text_list_add(names, after, err);
    if (!rc)
        rc = text_list_addf(&c->out->moved, err, "the plugin %s is %s from 4.10 on", before, after);
    return rc;
}

static enum error_kind names_of_text(struct conversion *c, const struct settings_file *f, struct text_list *names,
                                     struct error *err)
{
    struct buffer text = BUFFER_INIT(SITE_TEXT_MAX);
    char *rest = NULL;
    enum error_kind rc = site_file_text(c->request->old_root, f->from, SITE_TEXT_MAX, &text, err);

    for (char *line = rc || !text.data ? NULL : strtok_r((char *)text.data, "\r\n", &rest); line && !rc;
         line = strtok_r(NULL, "\r\n", &rest)) {
        size_t len;

        line += strspn(line, " \t");
        len = strlen(line);
        while (len > 0 && strchr(" \t", line[len - 1]))
            line[--len] = '\0';
        if (len > 0)
            rc = add_name(c, line, names, err);
    }
    buffer_release(&text);
    return rc;
}

static enum error_kind names_of_array(struct conversion *c, struct json *array, struct text_list *names,
                                      struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; i < json_length(array) && !rc; i++) {
        const char *name = json_text(json_at(array, i));

        if (name && strncmp(name, "Obsolete field", 14) != 0)
            rc = add_name(c, name, names, err);
    }
    return rc;
}

static enum error_kind broken(const struct settings_file *f, const char *what, struct error *err)
{
    error_set(err, ERR_REFUSED, 0, "the list of plugins in %s can't be converted: %s", f->from, what);
    error_hint(err, "mend that file in the shop, then plan again");
    return ERR_REFUSED;
}

/* The old list, parsed; NULL for a text. An empty file is an empty list, as nopCommerce takes it. */
static enum error_kind parse_list(const struct settings_file *f, enum list_form form, struct json **out,
                                  struct error *err)
{
    struct error problem = ERROR_INIT;
    enum error_kind rc;

    if (form == LIST_TXT || f->bytes.len == 0)
        return OK;
    rc = json_parse(f->bytes.data, f->bytes.len, out, &problem);
    if (rc == ERR_CORRUPT)
        return broken(f, problem.text, err);
    if (rc)
        error_copy(err, &problem);
    return rc;
}

/* ---- writing ---- */

static struct json *array_of(const struct text_list *names)
{
    struct json *array = json_array();

    for (size_t i = 0; i < names->count; i++)
        json_push_text(array, names->items[i]);
    return array;
}

static struct json *with_versions(struct conversion *c, const struct text_list *names)
{
    struct json *was = read_versions(c->request->old_root);
    struct json *is = read_versions(c->request->new_root);
    struct json *array = json_array();

    for (size_t i = 0; i < names->count; i++) {
        const char *old = json_text(json_get_nocase(was, names->items[i]));
        const char *fresh = json_text(json_get_nocase(is, names->items[i]));
        struct json *entry = json_object();

        json_put_text(entry, "SystemName", names->items[i]);
        json_put_text(entry, "Version", old && fresh && strcmp(old, fresh) == 0 ? NULL : old);
        json_push(array, entry);
    }
    json_free(was);
    json_free(is);
    return array;
}

static enum error_kind set_list(struct settings_file *f, const char *name, struct json *list, struct error *err)
{
    enum error_kind rc = list ? settings_file_set(f, name, list, err)
                              : error_set(err, ERR_MEMORY, 0, "out of memory for the list of plugins");

    json_free(list);
    return rc;
}

/* plugins.json with all its members, from a list that had names alone. */
static enum error_kind write_info(struct conversion *c, const struct text_list *names, struct settings_file *f,
                                  struct error *err)
{
    static const char *const pending[] = {"PluginNamesToUninstall", "PluginNamesToDelete", "PluginNamesToInstall"};
    bool versions = form_of(c->new_release) == LIST_VERSIONS;
    struct text_list none = TEXT_LIST_INIT;
    enum error_kind rc;

    rc = set_list(f, "InstalledPluginNames", array_of(names), err);
    if (!rc && versions)
        rc = set_list(f, "InstalledPlugins", with_versions(c, names), err);
    for (size_t i = 0; i < 3 && !rc; i++)
        rc = set_list(f, pending[i], array_of(&none), err);
    return rc;
}

/* An array is no object that a member could be set in: installedPlugins.json is written anew. */
static enum error_kind write_array(const struct settings_file *old, const struct text_list *names,
                                   struct settings_file *f, struct error *err)
{
    struct json *array = array_of(names);
    const char *line_end;
    enum error_kind rc;

    rc = settings_file_new(old, f, err);
    line_end = !rc && strchr((const char *)f->bytes.data, '\r') ? "\r\n" : "\n";
    f->bytes.len = 3; /* the mark */
    if (!rc)
        rc = json_print_indented(array, line_end, "", &f->bytes, err);
    json_free(array);
    return rc;
}

/* From 4.20 to later: the lists of what is pending stay where they are, the versions are added. */
static enum error_kind add_versions(struct conversion *c, struct settings_file *f, struct json *root, struct error *err)
{
    struct text_list names = TEXT_LIST_INIT;
    enum error_kind rc = OK;

    if (json_length(json_get_nocase(root, "InstalledPlugins")) == 0)
        rc = names_of_array(c, json_get_nocase(root, "InstalledPluginNames"), &names, err);
    if (!rc && names.count > 0)
        rc = set_list(f, "InstalledPlugins", with_versions(c, &names), err);
    text_list_release(&names);
    return rc;
}

/* ---- what the next start would do ---- */

static const char *pending_name(struct json *entry)
{
    const char *name = json_text(entry);

    if (!name)
        name = json_text(json_get_nocase(entry, "Item1"));
    return name ? name : json_text(json_get_nocase(entry, "SystemName"));
}

static enum error_kind note_pending(struct conversion *c, struct json *root, const char *from, struct error *err)
{
    static const struct {
        const char *list;
        const char *what;
    } lists[] = {
        {"PluginNamesToInstall", "installs"},
        {"PluginNamesToUninstall", "uninstalls"},
        {"PluginNamesToDelete", "deletes"},
    };
    enum error_kind rc = OK;

    for (size_t i = 0; i < 3; i++) {
        struct json *list = json_get_nocase(root, lists[i].list);

        for (size_t k = 0; k < json_length(list) && !rc; k++) {
            const char *name = pending_name(json_at(list, k));
            char shown[128] = "without a name";

            if (name)
                text_name(name, strlen(name), shown, sizeof(shown));
            rc = text_list_addf(&c->out->warnings, err,
                                "%s: the next start %s the plugin %s; let the shop do that before the upgrade", from,
                                lists[i].what, shown);
        }
    }
    return rc;
}

static enum error_kind note_uploaded(struct conversion *c, struct error *err)
{
    struct error ignored = ERROR_INIT;
    struct dirent *entry;
    char *found = NULL;
    char *path = NULL;
    DIR *dir = NULL;
    enum error_kind rc = OK;

    if (!site_file_find(c->request->old_root, "Plugins/Uploaded", &found, &ignored) &&
        !path_join(c->request->old_root, found, &path, &ignored))
        dir = opendir(path);
    while (dir && !rc && (entry = readdir(dir))) {
        char shown[256];

        if (entry->d_name[0] == '.' || strcasecmp(entry->d_name, "placeholder.txt") == 0)
            continue;
        text_name(entry->d_name, strlen(entry->d_name), shown, sizeof(shown));
        rc = text_list_addf(
            &c->out->warnings, err,
            "Plugins/Uploaded/%s waits to replace a plugin at the next start; let the shop do that before "
            "the upgrade",
            shown);
    }
    if (dir)
        closedir(dir);
    free(found);
    free(path);
    return rc;
}

/* The list that the old release reads; else an older one that it would have converted at its next start. */
static enum error_kind find_list(struct conversion *c, enum list_form *form, struct settings_file *out,
                                 struct error *err)
{
    enum error_kind rc;

    *form = form_of(c->old_release);
    rc = settings_file_read(c->request->old_root, path_of(*form), out, err);
    while (!rc && !out->from && *form != LIST_TXT) {
        *form = *form == LIST_VERSIONS || *form == LIST_NAMES ? LIST_JSON : LIST_TXT;
        rc = settings_file_read(c->request->old_root, path_of(*form), out, err);
    }
    return rc;
}

static enum error_kind convert_list(struct conversion *c, enum list_form form, struct settings_file *old,
                                    struct json *root, struct error *err)
{
    enum list_form wanted = form_of(c->new_release);
    struct settings_file made = SETTINGS_FILE_INIT;
    struct text_list names = TEXT_LIST_INIT;
    enum error_kind rc = OK;

    if (form >= LIST_NAMES) {
        rc = wanted == LIST_VERSIONS && form == LIST_NAMES ? add_versions(c, old, root, err) : OK;
        if (!rc)
            rc = settings_add(c, info_json, old, err);
        return rc;
    }
    if (form == LIST_TXT)
        rc = names_of_text(c, old, &names, err);
    else
        rc = names_of_array(c, root, &names, err);
    if (!rc && wanted == LIST_JSON)
        rc = write_array(old, &names, &made, err);
    else if (!rc) {
        rc = settings_file_new(old, &made, err);
        if (!rc)
            rc = write_info(c, &names, &made, err);
    }
    if (!rc)
        rc = text_list_addf(&c->out->moved, err, "the list of plugins of %s is now in %s", old->from, path_of(wanted));
    if (!rc)
        rc = settings_add(c, path_of(wanted), &made, err);
    text_list_release(&names);
    settings_file_release(&made);
    return rc;
}

/* Does the list name a plugin that has another name in the new release? Then it can't go over as it is. */
static bool renames(const struct conversion *c, enum list_form form, const struct settings_file *f)
{
    return form == LIST_JSON && c->old_release < 410 && c->new_release >= 410 && f->bytes.data &&
           strcasestr((const char *)f->bytes.data, "\"Shipping.FixedOrByWeight\"");
}

enum error_kind settings_convert_plugins(struct conversion *c, struct error *err)
{
    struct settings_file old = SETTINGS_FILE_INIT;
    enum list_form form = LIST_TXT;
    struct json *root = NULL;
    enum error_kind rc;

    rc = find_list(c, &form, &old, err);
    if (!rc && old.from)
        rc = parse_list(&old, form, &root, err);
    if (!rc && root && form >= LIST_NAMES)
        rc = note_pending(c, root, old.from, err);
    if (!rc && c->new_release >= 430)
        rc = note_uploaded(c, err);
    if (!rc && old.from) {
        if (form == form_of(c->new_release) && !renames(c, form, &old))
            rc = settings_add(c, path_of(form), &old, err);
        else
            rc = convert_list(c, form, &old, root, err);
    }
    json_free(root);
    settings_file_release(&old);
    return rc;
}
