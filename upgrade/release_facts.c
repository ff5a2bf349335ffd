/*
 * What a release is: which nopCommerce, for which system, with or without its runtime. The version is told by site/, from the same files as a
 * shop's; the rest by what .NET's own start reads, Nop.Web.runtimeconfig.json and Nop.Web.deps.json.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "file.h"
#include "json.h"
#include "release_internal.h"

#define CORE_DLL_MAX (64u << 20)
#define TEXT_FILE_MAX (16u << 20)

/* ---- the list ---- */

static const struct release_entry *find_nocase(const struct release_list *list, const char *path)
{
    for (size_t i = 0; i < list->count; i++) {
        if (!list->items[i].folder && strcasecmp(list->items[i].path, path) == 0)
            return &list->items[i];
    }
    return NULL;
}

/* The first file of this name in any folder. */
static const char *find_anywhere(const struct release_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (!list->items[i].folder && strcasecmp(path_base(list->items[i].path), name) == 0)
            return list->items[i].path;
    }
    return NULL;
}

static enum error_kind no_shop(const struct release *r, struct error *err)
{
    const char *deeper = find_anywhere(&r->list, "Nop.Web.dll");

    if (r->list.count == 0)
        return error_set(err, ERR_REFUSED, 0, "it holds nothing");
    if (find_anywhere(&r->list, "Nop.Web.csproj")) {
        error_set(err, ERR_REFUSED, 0, "it is nopCommerce's source code, in which no shop is built");
        error_hint(err, "take the package whose name says NoSource, or `dotnet publish` it and name that folder");
    } else if (find_anywhere(&r->list, "upgrade.sql") && !deeper) {
        error_set(err, ERR_REFUSED, 0, "it holds upgrade scripts and no shop");
        error_hint(err, "name the release, and the scripts by --scripts");
    } else {
        error_set(err, ERR_REFUSED, 0,
                  "it holds no nopCommerce shop: there is neither Nop.Web.dll nor bin/Nop.Web.dll");
        if (deeper)
            error_hint(err, "there is %.200s: unpack it yourself and name the folder of the shop", deeper);
        else
            error_hint(err, "releases are called like nopCommerce_4.80.9_NoSource_linux_x64.zip");
    }
    return ERR_REFUSED;
}

enum error_kind release_layout(struct release *r, struct error *err)
{
    const struct release_list *list = &r->list;

    if (find_nocase(list, "bin/Nop.Web.dll") && find_nocase(list, "bin/Nop.Core.dll"))
        r->facts.layout = SITE_LEGACY;
    else if (find_nocase(list, "Nop.Core.dll") &&
             (find_nocase(list, "Nop.Web.dll") || find_nocase(list, "Nop.Web.exe")))
        r->facts.layout = SITE_CORE;
    else
        return no_shop(r, err);
    return OK;
}

static bool is_plugin_descriptor(const char *path)
{
    const char *folder = strncasecmp(path, "Plugins/", 8) == 0 ? path + 8 : NULL;
    const char *name = folder ? strchr(folder, '/') : NULL;

    return name && (strcasecmp(name, "/plugin.json") == 0 || strcasecmp(name, "/Description.txt") == 0);
}

bool release_tells(const struct release_entry *e)
{
    if (strcasecmp(e->path, "Nop.Core.dll") == 0 || strcasecmp(e->path, "bin/Nop.Core.dll") == 0)
        return e->size <= CORE_DLL_MAX;
    return e->size <= TEXT_FILE_MAX &&
           (strcasecmp(e->path, "Nop.Web.deps.json") == 0 || strcasecmp(e->path, "Nop.Web.runtimeconfig.json") == 0 ||
            is_plugin_descriptor(e->path));
}

/* ---- what .NET is told ---- */

static struct json *read_json(const struct release *r, const char *root, const char *name)
{
    const struct release_entry *e = find_nocase(&r->list, name);
    struct buffer text = BUFFER_INIT(TEXT_FILE_MAX);
    struct error ignored = ERROR_INIT;
    struct json *json = NULL;
    char *path = NULL;

    if (e && !path_join(root, e->path, &path, &ignored) &&
        !file_read_whole(AT_FDCWD, path, TEXT_FILE_MAX, &text, &ignored))
        (void)json_parse(text.data, text.len, &json, &ignored);
    buffer_release(&text);
    free(path);
    return json;
}

static void take_framework(struct json *framework, struct release_facts *facts)
{
    const char *name = json_text(json_get(framework, "name"));
    const char *version = json_text(json_get(framework, "version"));

    if (name && version)
        (void)snprintf(facts->runtime, sizeof(facts->runtime), "%.40s %.20s", name, version);
}

/* Of several the web's own, which has the other beneath it. */
static void take_frameworks(struct json *list, struct release_facts *facts)
{
    take_framework(json_at(list, 0), facts);
    for (size_t i = 1; i < json_length(list); i++) {
        const char *name = json_text(json_get(json_at(list, i), "name"));

        if (name && strcmp(name, "Microsoft.AspNetCore.App") == 0)
            take_framework(json_at(list, i), facts);
    }
}

static void read_runtime(const struct release *r, const char *root, struct release_facts *facts)
{
    struct json *config = read_json(r, root, "Nop.Web.runtimeconfig.json");
    struct json *options = json_get(config, "runtimeOptions");
    struct json *included = json_get(options, "includedFrameworks");

    facts->self_contained = json_length(included) > 0;
    if (facts->self_contained)
        take_frameworks(included, facts);
    else if (json_length(json_get(options, "frameworks")) > 0)
        take_frameworks(json_get(options, "frameworks"), facts);
    else
        take_framework(json_get(options, "framework"), facts);
    json_free(config);
}

/* ".NETCoreApp,Version=v9.0/linux-x64" */
static void read_rid(const struct release *r, const char *root, struct release_facts *facts)
{
    struct json *deps = read_json(r, root, "Nop.Web.deps.json");
    const char *target = json_text(json_get(json_get(deps, "runtimeTarget"), "name"));
    const char *slash = target ? strchr(target, '/') : NULL;

    if (slash && strlen(slash + 1) < sizeof(facts->rid))
        (void)snprintf(facts->rid, sizeof(facts->rid), "%s", slash + 1);
    json_free(deps);
}

static enum release_system system_of(const struct release *r, const struct release_facts *facts)
{
    if (facts->layout == SITE_LEGACY || (!facts->runtime[0] && find_nocase(&r->list, "Nop.Web.exe.config")))
        return RELEASE_WINDOWS;
    if (strncmp(facts->rid, "linux", 5) == 0)
        return RELEASE_LINUX;
    if (strncmp(facts->rid, "win", 3) == 0)
        return RELEASE_WINDOWS;
    if (facts->rid[0])
        return RELEASE_OTHER;
    if (!facts->self_contained)
        return RELEASE_ANY;
    if (find_nocase(&r->list, "Nop.Web.exe"))
        return RELEASE_WINDOWS;
    return find_nocase(&r->list, "Nop.Web") ? RELEASE_LINUX : RELEASE_OTHER;
}

/* ---- whose it is ---- */

static bool is_setting(const char *path)
{
    const char *name = strncasecmp(path, "App_Data/", 9) == 0 ? path + 9 : NULL;
    size_t len = name ? strlen(name) : 0;

    if (!name)
        return false;
    if (strncasecmp(name, "DataProtectionKeys/", 19) == 0)
        return len > 4 && strcasecmp(name + len - 4, ".xml") == 0;
    if (strchr(name, '/'))
        return false;
    return (len > 5 && strcasecmp(name + len - 5, ".json") == 0) || strcasecmp(name, "Settings.txt") == 0 ||
           strcasecmp(name, "InstalledPlugins.txt") == 0;
}

/* nopCommerce's makers ship neither settings nor keys. */
static enum error_kind note_settings(struct release *r, struct error *err)
{
    for (size_t i = 0; i < r->list.count; i++) {
        if (!r->list.items[i].folder && is_setting(r->list.items[i].path))
            return text_list_addf(
                &r->facts.remarks, err,
                "it has settings of a shop in it (%s): it is not as nopCommerce's makers handed it out",
                r->list.items[i].path);
    }
    return OK;
}

enum error_kind release_look(struct release *r, const char *root, struct error *err)
{
    struct release_facts *facts = &r->facts;
    enum error_kind rc = site_tree_version(root, facts->layout, &facts->version, &r->source, &facts->remarks, err);

    if (rc)
        return rc;
    facts->version_source = r->source;
    if (facts->layout == SITE_CORE) {
        read_runtime(r, root, facts);
        read_rid(r, root, facts);
    }
    facts->system = system_of(r, facts);
    if (facts->system == RELEASE_WINDOWS && !facts->self_contained && !facts->runtime[0])
        (void)snprintf(facts->runtime, sizeof(facts->runtime), ".NET Framework");
    return note_settings(r, err);
}

void release_flavour(const struct release_facts *facts, char *out, size_t out_len)
{
    static const char *const systems[] = {"any system", "Linux", "Windows", "another system"};
    const char *system = facts->rid[0] ? facts->rid : systems[facts->system];

    if (facts->self_contained)
        (void)snprintf(out, out_len, "%s, self-contained", system);
    else
        (void)snprintf(out, out_len, "%s with %s", system, facts->runtime[0] ? facts->runtime : "a .NET runtime");
}
