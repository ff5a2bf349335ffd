#include "site.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "json.h"
#include "site_internal.h"

static struct site_notes notes_of(struct site *site)
{
    return (struct site_notes){&site->remarks, &site->warnings};
}

/* Where it is, or would be: the real path of what exists, with the missing components behind it. */
static enum error_kind locate(const char *given, struct site *site, struct error *err)
{
    char *here = NULL;
    char *full = NULL;
    struct error gone = ERROR_INIT;
    struct stat st;
    enum error_kind rc;

    rc = path_real(given, &site->path, &gone);
    if (!rc) {
        if (stat(site->path, &st))
            return error_set(err, ERR_IO, errno, "cannot look at %s", site->path);
        if (!S_ISDIR(st.st_mode)) {
            error_set(err, ERR_REFUSED, 0, "%s is not a directory", site->path);
            error_hint(err, "name the folder that the shop is in");
            return ERR_REFUSED;
        }
        site->exists = true;
        /* An unreadable shop must not pass for an empty folder that is none. */
        if (faccessat(AT_FDCWD, site->path, R_OK | X_OK, AT_EACCESS)) {
            error_set(err, ERR_IO, errno, "cannot read the folder %s", site->path);
            error_hint(err, "run nopsnap as root or as the shop's user");
            return err->kind;
        }
        return OK;
    }
    if (rc != ERR_NOT_FOUND) {
        error_copy(err, &gone);
        return rc;
    }
    here = getcwd(NULL, 0);
    rc = given[0] == '/' || !here ? memory_string(given, &full, err) : path_join(here, given, &full, err);
    if (!rc)
        rc = site_path_normalize(full, &site->path, err);
    free(here);
    free(full);
    return rc;
}

/* Of a folder that is gone, its parent's symlinks are resolved, so that it is known by the name it had. */
static enum error_kind resolve_parent(struct site *site, struct error *err)
{
    struct error gone = ERROR_INIT;
    char *parent = NULL;
    char *real = NULL;
    char *full = NULL;
    enum error_kind rc;

    rc = path_parent(site->path, &parent, err);
    if (!rc && !path_real(parent, &real, &gone)) {
        rc = path_join(real, path_base(site->path), &full, err);
        if (!rc) {
            free(site->path);
            site->path = full;
        }
    }
    free(parent);
    free(real);
    return rc;
}

static bool any_file(const char *root, const char *const *names)
{
    for (; *names; names++) {
        if (site_file_exists(root, *names))
            return true;
    }
    return false;
}

/* A shop that lost some of its parts is still one: two signs of an era are enough. */
static enum site_layout detect_layout(const char *root)
{
    static const char *const core[] = {"Nop.Web.dll",
                                       "Nop.Core.dll",
                                       "Nop.Web.deps.json",
                                       "Nop.Web.exe",
                                       "Nop.Web",
                                       "Nop.Web.csproj",
                                       "App_Data/dataSettings.json",
                                       "App_Data/appsettings.json",
                                       "App_Data/plugins.json",
                                       "App_Data/installedPlugins.json",
                                       NULL};
    static const char *const legacy[] = {"bin/Nop.Core.dll", "bin/Nop.Web.dll", "App_Data/Settings.txt",
                                         "App_Data/InstalledPlugins.txt", NULL};
    bool app_data = site_directory_exists(root, "App_Data");

    if (site_directory_exists(root, "wwwroot") && any_file(root, core) &&
        (app_data || site_directory_exists(root, "Plugins")))
        return SITE_CORE;
    if (app_data && (site_file_exists(root, "Global.asax") || site_directory_exists(root, "Administration")) &&
        (any_file(root, legacy) || (site_directory_exists(root, "Plugins") && site_directory_exists(root, "Views"))))
        return SITE_LEGACY;
    return SITE_PLAIN;
}

/* Whether a member of a section is a text that is not empty. */
static bool has_text(const char *root, const char *file, const char *section, const char *member)
{
    struct buffer text = BUFFER_INIT(SITE_TEXT_MAX);
    struct error ignored = ERROR_INIT;
    struct json *settings = NULL;
    char *found = NULL;
    const char *value = NULL;

    if (!site_file_find(root, file, &found, &ignored) && !site_file_text(root, found, SITE_TEXT_MAX, &text, &ignored) &&
        !json_parse(text.data, text.len, &settings, &ignored))
        value = json_text(json_get_nocase(json_get_nocase(settings, section), member));
    value = value && value[0] != '\0' ? "" : NULL;
    json_free(settings);
    buffer_release_secret(&text);
    free(found);
    return value != NULL;
}

static enum error_kind note_azure(struct site *site, const struct site_notes *notes, struct error *err)
{
    struct error ignored = ERROR_INIT;
    bool azure = false;

    if (site->layout == SITE_LEGACY)
        (void)site_webconfig_azure(site->path, &azure, &ignored);
    else if (!site_version_at_least(&site->version, 4, 40))
        azure = has_text(site->path, "appsettings.json", "Nop", "AzureBlobStorageConnectionString");
    else if (!site_version_at_least(&site->version, 4, 90))
        azure = has_text(site->path, "App_Data/appsettings.json", "AzureBlobConfig", "ConnectionString");
    if (!azure)
        return OK;
    return site_warn(notes, err, "this shop keeps its pictures in Azure: they are in no snapshot");
}

/* How many entries a folder has that are no placeholders, and their bytes. */
static size_t count_files(const char *root, const char *relative, uint64_t *bytes)
{
    struct error ignored = ERROR_INIT;
    struct dirent *entry;
    size_t count = 0;
    char *found = NULL;
    char *folder = NULL;
    DIR *dir = NULL;

    *bytes = 0;
    if (site_file_find(root, relative, &found, &ignored) || path_join(root, found, &folder, &ignored))
        goto done;
    dir = opendir(folder);
    while (dir && (entry = readdir(dir))) {
        struct stat st;

        if (entry->d_name[0] == '.' || strcasecmp(entry->d_name, "placeholder.txt") == 0 ||
            strncasecmp(entry->d_name, "index.htm", 9) == 0)
            continue;
        count++;
        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
            *bytes += (uint64_t)st.st_size;
    }

done:
    if (dir)
        closedir(dir);
    free(folder);
    free(found);
    return count;
}

static enum error_kind note_backups(struct site *site, const struct site_notes *notes, struct error *err)
{
    const char *folder = site->layout == SITE_LEGACY ? "Administration/db_backups" : "wwwroot/db_backups";
    char size[TEXT_MAX];
    uint64_t bytes;
    size_t count = count_files(site->path, folder, &bytes);

    if (count == 0)
        return OK;
    text_size(bytes, size);
    return site_remark(notes, err,
                       "%s holds %zu file%s (%s) below the folder that the web server hands out: they are left out of "
                       "snapshots, and should be moved elsewhere",
                       folder, count, count == 1 ? "" : "s", size);
}

/* What the next start of the shop will do by itself. */
static enum error_kind note_pending(struct site *site, const struct site_notes *notes, struct error *err)
{
    static const char *const lists[] = {"PluginNamesToInstall", "PluginNamesToUninstall", "PluginNamesToDelete"};
    struct buffer text = BUFFER_INIT(SITE_TEXT_MAX);
    struct error ignored = ERROR_INIT;
    struct json *plugins = NULL;
    size_t pending = 0;
    uint64_t bytes;
    char *found = NULL;
    enum error_kind rc = OK;

    if (!site_file_find(site->path, "App_Data/plugins.json", &found, &ignored) &&
        !site_file_text(site->path, found, SITE_TEXT_MAX, &text, &ignored) &&
        !json_parse(text.data, text.len, &plugins, &ignored)) {
        for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
            pending += json_length(json_get_nocase(plugins, lists[i]));
    }
    if (pending > 0)
        rc = site_remark(notes, err, "the shop's next start installs or removes %zu plugin%s", pending,
                         pending == 1 ? "" : "s");
    if (!rc && site_version_at_least(&site->version, 4, 60) && count_files(site->path, "Plugins/Uploaded", &bytes) > 0)
        rc = site_remark(notes, err, "Plugins/Uploaded is not empty: the shop's next start replaces plugins");
    json_free(plugins);
    buffer_release(&text);
    free(found);
    return rc;
}

/* The environment that the shop runs with, from its unit, or else from web.config under IIS. */
enum error_kind site_environment_collect(const char *root, const char *tree, const struct site_config *config,
                                         struct site_environment *out, const struct site_notes *notes,
                                         struct error *err)
{
    struct error problem = ERROR_INIT;
    enum error_kind rc;

    rc = site_unit_collect(root, config ? config->service : NULL, out, notes, err);
    if (rc || out->unit)
        return rc;
    rc = site_webconfig_environment(tree, out, &problem);
    if (rc == ERR_REFUSED)
        return site_warn(notes, err, "%s: what it may set for the shop is not known", problem.text);
    if (rc)
        error_copy(err, &problem);
    return rc;
}

const char *site_environment_name(const struct site_environment *e, const struct site_config *config)
{
    const struct site_variable *v = site_environment_get(e, "ASPNETCORE_ENVIRONMENT");

    if (!v)
        v = site_environment_get(e, "DOTNET_ENVIRONMENT");
    if (v && v->value[0] != '\0')
        return v->value;
    return config && config->environment ? config->environment : "Production";
}

/* No snapshot holds a unit, and a settings file that is put back changes nothing where the environment has the say. */
static enum error_kind note_override(struct site *site, const struct site_notes *notes, struct error *err)
{
    if (site->connection.form != SITE_SETTINGS_ENVIRONMENT)
        return OK;
    return site_remark(notes, err,
                       "the connection string comes from the environment set in %s, not from a settings file",
                       site->connection.file);
}

static enum error_kind read_connection(struct site *site, const struct site_notes *notes, struct error *err)
{
    struct site_environment environment = SITE_ENVIRONMENT_INIT;
    enum error_kind rc;

    rc = site_environment_collect(site->path, site->path, site->config, &environment, notes, err);
    if (!rc && environment.unit)
        rc = memory_string(environment.unit, &site->unit, err);
    else if (!rc && site->config && site->config->service)
        rc = memory_string(site->config->service, &site->unit, err);
    if (!rc)
        rc = site_settings_resolve(site->path, &site->version, &environment,
                                   site_environment_name(&environment, site->config), &site->connection, notes, err);
    if (!rc)
        rc = note_override(site, notes, err);
    site_environment_release(&environment);
    return rc;
}

/* A folder that is gone, or is no shop, may have a unit all the same; of one that is there only the config can say so. */
static enum error_kind name_unit(struct site *site, struct error *err)
{
    struct site_environment environment = SITE_ENVIRONMENT_INIT;
    struct site_notes nowhere = {NULL, NULL};
    enum error_kind rc = OK;

    if (site->config && site->config->service)
        return memory_string(site->config->service, &site->unit, err);
    if (!site->exists)
        rc = site_unit_collect(site->path, NULL, &environment, &nowhere, err);
    site->unit = environment.unit;
    environment.unit = NULL;
    site_environment_release(&environment);
    return rc;
}

static enum error_kind describe(struct site *site, struct error *err)
{
    struct site_notes notes = notes_of(site);
    enum error_kind rc;

    site->layout = detect_layout(site->path);
    if (site->layout == SITE_PLAIN)
        return site_remark(&notes, err, "%s is no nopCommerce site: it is treated as plain files", site->path);
    rc = site_version_detect(site->path, site->layout, &site->version, &site->version_source, &notes, err);
    /* A 3.x layout whose version is not told is 3.x all the same: its settings are in one place only. */
    if (!rc && site->layout == SITE_LEGACY && site->version.major == 0)
        site->version.major = 3;
    if (!rc)
        rc = note_azure(site, &notes, err);
    if (!rc)
        rc = note_backups(site, &notes, err);
    if (!rc)
        rc = note_pending(site, &notes, err);
    return rc;
}

/* Settings that can't be read are what the snapshot will bring back: a warning, and no connection. */
static enum error_kind read_connection_loosely(struct site *site, const struct site_notes *notes, struct error *err)
{
    struct error problem = ERROR_INIT;
    enum error_kind rc = read_connection(site, notes, &problem);

    if (!rc)
        return OK;
    site_connection_release(&site->connection);
    if (rc == ERR_REFUSED || rc == ERR_NOT_FOUND || rc == ERR_CORRUPT)
        return site_warn(notes, err, "%s", problem.text);
    error_copy(err, &problem);
    return rc;
}

static enum error_kind inspect(const char *path, const struct site_config *config, bool loose, struct site *out,
                               struct error *err)
{
    struct site_notes notes = notes_of(out);
    enum error_kind rc;

    out->config = config;
    if (path[0] == '\0')
        return error_set(err, ERR_USAGE, 0, "no site was named");
    rc = memory_string(path, &out->given, err);
    if (!rc)
        rc = locate(path, out, err);
    if (!rc && !out->exists)
        rc = resolve_parent(out, err);
    if (!rc && out->exists)
        rc = describe(out, err);
    if (!rc)
        rc = site_rules_new(out, &out->rules, err);
    if (rc)
        return rc;
    if (out->layout == SITE_PLAIN)
        return name_unit(out, err);
    return loose ? read_connection_loosely(out, &notes, err) : read_connection(out, &notes, err);
}

enum error_kind site_inspect(const char *path, const struct site_config *config, struct site *out, struct error *err)
{
    return inspect(path, config, false, out, err);
}

enum error_kind site_inspect_loose(const char *path, const struct site_config *config, struct site *out,
                                   struct error *err)
{
    return inspect(path, config, true, out, err);
}

const char *site_layout_name(enum site_layout layout)
{
    return layout == SITE_CORE ? "core" : layout == SITE_LEGACY ? "legacy" : "plain";
}

enum error_kind site_assume(struct site *site, const char *layout, const char *version, struct error *err)
{
    struct error unknown = ERROR_INIT;
    struct site_version parsed = {0, 0, -1, ""};
    struct site_rules *rules = NULL;
    enum error_kind rc;

    site->layout = !strcmp(layout, "core") ? SITE_CORE : !strcmp(layout, "legacy") ? SITE_LEGACY : SITE_PLAIN;
    if (version && site_version_parse(version, &parsed, &unknown) == OK)
        site->version = parsed;
    rc = site_rules_new(site, &rules, err);
    if (rc)
        return rc;
    site_rules_free(site->rules);
    site->rules = rules;
    return OK;
}

void site_release(struct site *site)
{
    free(site->given);
    free(site->path);
    free(site->version_source);
    free(site->unit);
    site_connection_release(&site->connection);
    text_list_release(&site->remarks);
    text_list_release(&site->warnings);
    site_rules_free(site->rules);
    *site = (struct site)SITE_INIT;
}

enum error_kind site_connection_read(const char *root, const struct site_version *version, bool with_environment,
                                     struct site_connection *out, struct error *err)
{
    struct site_environment environment = SITE_ENVIRONMENT_INIT;
    struct site_notes nowhere = {NULL, NULL};
    enum error_kind rc = OK;

    if (with_environment)
        rc = site_environment_collect(root, root, NULL, &environment, &nowhere, err);
    if (!rc)
        rc = site_settings_resolve(root, version, &environment, site_environment_name(&environment, NULL), out,
                                   &nowhere, err);
    site_environment_release(&environment);
    return rc;
}

void site_connection_release(struct site_connection *c)
{
    free(c->file);
    free(c->provider);
    memory_free_secret(c->string);
    *c = (struct site_connection){SITE_SETTINGS_NONE, NULL, NULL, NULL};
}
