/*
 * Options beside the connection: where each release keeps them, and what they are called there.
 *   3.x          Web.config: <NopConfig>, <appSettings>
 *   4.00 - 4.30  appsettings.json at the root: sections Hosting and Nop; a release brings its own, with the comments of its time
 *   4.40 -       App_Data/appsettings.json: HostingConfig, DistributedCacheConfig, AzureBlobConfig, CommonConfig, ...
 * Between two releases of one place only what the owner had changed is put into the new file, or the old file goes over as it is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "settings_internal.h"

static const char root_json[] = "appsettings.json";

enum option_kind {
    OPTION_FLAG,
    OPTION_GRAVE_FLAG, /* without it the shop does not work as before unless the owner does something */
    OPTION_TEXT,
    OPTION_NUMBER,
};

/* A setting of 4.00 to 4.30, under its name in 4.30, and what becomes of it from 4.40 on. */
struct option {
    const char *name;
    const char *earlier; /* its name in 4.00 and 4.10, if it was another */
    const char *to;      /* from 4.40 on; NULL: none */
    const char *to_450;  /* from 4.50 on, where that is another */
    enum option_kind kind;
    const char *usual;  /* the value that stands for itself, and need not be written */
    const char *advice; /* where there is no counterpart */
};

static const char no_such[] = "there is no such setting any more";

static const struct option options[] = {
    {"Hosting:UseHttpClusterHttps", NULL, "HostingConfig:UseHttpClusterHttps", "", OPTION_FLAG, "false",
     "HostingConfig:UseProxy with ForwardedProtoHeaderName takes its place"},
    {"Hosting:UseHttpXForwardedProto", NULL, "HostingConfig:UseHttpXForwardedProto", "HostingConfig:UseProxy",
     OPTION_FLAG, "false", NULL},
    {"Hosting:ForwardedHttpHeader", NULL, "HostingConfig:ForwardedHttpHeader", "HostingConfig:ForwardedForHeaderName",
     OPTION_TEXT, "", NULL},
    {"Nop:DisplayFullErrorStack", NULL, "CommonConfig:DisplayFullErrorStack", NULL, OPTION_FLAG, "false", NULL},
    {"Nop:StaticFilesCacheControl", NULL, "CommonConfig:StaticFilesCacheControl", NULL, OPTION_TEXT,
     "public,max-age=604800", NULL},
    {"Nop:UseSessionStateTempDataProvider", NULL, "CommonConfig:UseSessionStateTempDataProvider", NULL, OPTION_FLAG,
     "false", NULL},
    {"Nop:UserAgentStringsPath", NULL, "CommonConfig:UserAgentStringsPath", NULL, OPTION_TEXT,
     "~/App_Data/browscap.xml", NULL},
    {"Nop:CrawlerOnlyUserAgentStringsPath", NULL, "CommonConfig:CrawlerOnlyUserAgentStringsPath", NULL, OPTION_TEXT,
     "~/App_Data/browscap.crawlersonly.xml", NULL},
    {"Nop:AzureBlobStorageConnectionString", NULL, "AzureBlobConfig:ConnectionString", NULL, OPTION_TEXT, "", NULL},
    {"Nop:AzureBlobStorageContainerName", NULL, "AzureBlobConfig:ContainerName", NULL, OPTION_TEXT, "", NULL},
    {"Nop:AzureBlobStorageEndPoint", NULL, "AzureBlobConfig:EndPoint", NULL, OPTION_TEXT, "", NULL},
    {"Nop:AzureBlobStorageAppendContainerName", NULL, "AzureBlobConfig:AppendContainerName", NULL, OPTION_FLAG, "true",
     NULL},
    {"Nop:UseAzureBlobStorageToStoreDataProtectionKeys", NULL, "AzureBlobConfig:StoreDataProtectionKeys", NULL,
     OPTION_FLAG, "false", NULL},
    {"Nop:AzureBlobStorageContainerNameForDataProtectionKeys", NULL, "AzureBlobConfig:DataProtectionKeysContainerName",
     NULL, OPTION_TEXT, "", NULL},
    {"Nop:AzureKeyVaultIdForDataProtectionKeys", NULL, "AzureBlobConfig:DataProtectionKeysVaultId", NULL, OPTION_TEXT,
     "", NULL},
    {"Nop:RedisDatabaseId", NULL, NULL, NULL, OPTION_NUMBER, "",
     "defaultDatabase=N in DistributedCacheConfig:ConnectionString takes its place"},
    {"Nop:UseRedisToStoreDataProtectionKeys", "Nop:PersistDataProtectionKeysToRedis", NULL, NULL, OPTION_FLAG, "false",
     "the keys are in App_Data/DataProtectionKeys from 4.40 on, so every visitor is logged out once"},
    {"Nop:UseRedisToStorePluginsInfo", NULL, NULL, NULL, OPTION_GRAVE_FLAG, "false",
     "the list of plugins is App_Data/plugins.json alone; write it from the list in Redis before the upgrade"},
    {"Nop:IgnoreRedisTimeoutException", NULL, NULL, NULL, OPTION_FLAG, "false", no_such},
    {"Nop:UseRowNumberForPaging", NULL, NULL, NULL, OPTION_FLAG, "false",
     "SQL Server 2008 is no longer served; take a newer server"},
    {"Nop:UseResponseCompression", NULL, NULL, NULL, OPTION_FLAG, "false",
     "it is a setting in the shop's administration"},
    {"Nop:IgnoreStartupTasks", NULL, NULL, NULL, OPTION_FLAG, "false", no_such},
    {"Nop:DisableSampleDataDuringInstallation", NULL, "InstallationConfig:DisableSampleData", NULL, OPTION_FLAG,
     "false", NULL},
    {"Nop:PluginsIgnoredDuringInstallation", NULL, "InstallationConfig:DisabledPlugins", NULL, OPTION_TEXT, "", NULL},
    {"Nop:UseUnsafeLoadAssembly", NULL, "PluginConfig:UseUnsafeLoadAssembly", NULL, OPTION_FLAG, "true", NULL},
    /* What concerns the shadow copies went with them at 4.60, and nobody misses it. */
    {"Nop:ClearPluginShadowDirectoryOnStartup", NULL, "PluginConfig:ClearPluginShadowDirectoryOnStartup", NULL,
     OPTION_FLAG, "true", NULL},
    {"Nop:CopyLockedPluginAssembilesToSubdirectoriesOnStartup", NULL,
     "PluginConfig:CopyLockedPluginAssembilesToSubdirectoriesOnStartup", NULL, OPTION_FLAG, "false", NULL},
    {"Nop:UsePluginsShadowCopy", NULL, "PluginConfig:UsePluginsShadowCopy", NULL, OPTION_FLAG, "true", NULL},
    {"Nop:SupportPreviousNopcommerceVersions", NULL, "CommonConfig:SupportPreviousNopcommerceVersions", NULL,
     OPTION_FLAG, "true", NULL},
    {"Nop:UseFastInstallationService", NULL, NULL, NULL, OPTION_FLAG, NULL, NULL},
    /* Redis for caching: several switches became one, see convert_redis(). */
    {"Nop:RedisEnabled", "Nop:RedisCachingEnabled", NULL, NULL, OPTION_FLAG, NULL, NULL},
    {"Nop:UseRedisForCaching", "Nop:RedisCachingEnabled", NULL, NULL, OPTION_FLAG, NULL, NULL},
    {"Nop:RedisConnectionString", "Nop:RedisCachingConnectionString", NULL, NULL, OPTION_TEXT, NULL, NULL},
};

#define OPTION_COUNT (sizeof(options) / sizeof(options[0]))

/* A value as text: the settings of 4.00 to 4.30 hold flags with and without quotes. NULL for what is no scalar. */
static const char *text_of(struct json *v, char space[32])
{
    if (json_text(v))
        return json_text(v);
    if (json_flag(v, false) != json_flag(v, true)) {
        int64_t n = json_number(v, INT64_MIN);

        if (n == INT64_MIN)
            return NULL;
        (void)snprintf(space, 32, "%lld", (long long)n);
        return space;
    }
    return json_flag(v, false) ? "true" : "false";
}

static bool is_on(struct json *v)
{
    char space[32];
    const char *text = text_of(v, space);

    return text && strcasecmp(text, "true") == 0;
}

/* A scalar the way its kind is written in 4.40 and later. */
static enum error_kind set_as(struct settings_file *f, const char *name, enum option_kind kind, const char *text,
                              struct error *err)
{
    struct json *holder = json_object();
    char *end = NULL;
    long long n = strtoll(text, &end, 10);
    enum error_kind rc;

    if (kind == OPTION_FLAG)
        json_put_flag(holder, "v", strcasecmp(text, "true") == 0);
    else if (kind == OPTION_NUMBER && *text != '\0' && *end == '\0')
        json_put_number(holder, "v", n);
    else
        json_put_text(holder, "v", text);
    if (!json_get(holder, "v"))
        rc = error_set(err, ERR_MEMORY, 0, "out of memory for a setting");
    else
        rc = settings_file_set(f, name, json_get(holder, "v"), err);
    json_free(holder);
    return rc;
}

static struct json *find_option(struct json *source, const struct option *o)
{
    struct json *v = settings_value(source, o->name);

    return v || !o->earlier ? v : settings_value(source, o->earlier);
}

static const char *target_of(const struct conversion *c, const struct option *o)
{
    const char *to = c->new_release >= 450 && o->to_450 ? o->to_450 : o->to;

    return to && *to ? to : NULL;
}

static enum error_kind make_app(struct settings_file *app, const struct settings_file *like, struct error *err)
{
    return app->from ? OK : settings_file_new(like, app, err);
}

static enum error_kind note_proxy(struct conversion *c, struct error *err)
{
    return text_list_addf(
        &c->out->warnings, err,
        "from 4.50 on headers of a proxy count only if it runs on the shop's own machine, or its address is in "
        "HostingConfig:KnownProxies of App_Data/appsettings.json");
}

static enum error_kind convert_option(struct conversion *c, const struct option *o, struct json *source,
                                      const struct settings_file *from, struct settings_file *app, struct error *err)
{
    const char *to = target_of(c, o);
    char space[32];
    const char *text = text_of(find_option(source, o), space);
    enum error_kind rc;

    if (!text || !o->usual || strcasecmp(text, o->usual) == 0 || (*text == '\0' && o->kind != OPTION_TEXT))
        return OK;
    if (!to)
        return text_list_addf(o->kind == OPTION_GRAVE_FLAG ? &c->out->warnings : &c->out->lost, err, "%s in %s: %s",
                              o->name, from->from, o->advice ? o->advice : no_such);
    rc = make_app(app, from, err);
    if (!rc)
        rc = set_as(app, to, o->kind, text, err);
    if (!rc)
        rc = text_list_addf(&c->out->moved, err, "%s of %s is now %s in App_Data/appsettings.json", o->name, from->from,
                            to);
    if (!rc && strcmp(to, "HostingConfig:UseProxy") == 0)
        rc = note_proxy(c, err);
    return rc;
}

/* Until 4.30 Redis had a switch of its own and one for caching; 4.40 has one distributed cache of several kinds. */
static enum error_kind convert_redis(struct conversion *c, struct json *source, const struct settings_file *from,
                                     struct settings_file *app, struct error *err)
{
    struct json *string = settings_value(source, "Nop:RedisConnectionString");
    bool on =
        is_on(settings_value(source, "Nop:RedisCachingEnabled")) ||
        (is_on(settings_value(source, "Nop:RedisEnabled")) && is_on(settings_value(source, "Nop:UseRedisForCaching")));
    enum error_kind rc;

    if (!on)
        return OK;
    if (!string)
        string = settings_value(source, "Nop:RedisCachingConnectionString");
    rc = make_app(app, from, err);
    if (!rc)
        rc = set_as(app, "DistributedCacheConfig:DistributedCacheType", OPTION_TEXT, "redis", err);
    if (!rc)
        rc = set_as(app, "DistributedCacheConfig:Enabled", OPTION_FLAG, "true", err);
    if (!rc && json_text(string))
        rc = set_as(app, "DistributedCacheConfig:ConnectionString", OPTION_TEXT, json_text(string), err);
    if (!rc)
        rc = text_list_addf(&c->out->moved, err,
                            "Redis of %s is now DistributedCacheConfig in App_Data/appsettings.json", from->from);
    return rc;
}

/* The sections of 4.30 and older into App_Data/appsettings.json. */
static enum error_kind into_app(struct conversion *c, struct json *source, const struct settings_file *from,
                                struct settings_file *app, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; i < OPTION_COUNT && !rc; i++)
        rc = convert_option(c, &options[i], source, from, app, err);
    return rc ? rc : convert_redis(c, source, from, app, err);
}

/* 4.40 to 4.50: the proxy's keys have other names, in the same file. */
static enum error_kind rename_proxy(struct conversion *c, struct settings_file *app, struct error *err)
{
    struct json *root = NULL;
    enum error_kind rc;

    if (!app->from)
        return OK;
    rc = settings_file_json(app, &root, err);
    for (size_t i = 0; i < OPTION_COUNT && !rc; i++) {
        const struct option *o = &options[i];
        const char *to = o->to_450;
        char space[32];
        const char *text = to ? text_of(settings_value(root, o->to), space) : NULL;

        if (!text || strcasecmp(text, o->usual) == 0)
            continue;
        if (*to == '\0') {
            rc = text_list_addf(&c->out->lost, err, "%s in %s: %s", o->to, app->from, o->advice);
            continue;
        }
        rc = set_as(app, to, o->kind, text, err);
        if (!rc)
            rc = text_list_addf(&c->out->moved, err, "%s of %s is now %s", o->to, app->from, to);
        if (!rc && strcmp(to, "HostingConfig:UseProxy") == 0)
            rc = note_proxy(c, err);
    }
    json_free(root);
    return rc;
}

/* The plugin that took Azure's place reads the section when it is installed. */
static enum error_kind note_azure(struct conversion *c, const struct settings_file *app, struct error *err)
{
    struct json *root = NULL;
    const char *string;
    enum error_kind rc;

    if (c->old_release >= 490 || c->new_release < 490 || !app->from)
        return OK;
    rc = settings_file_json(app, &root, err);
    string = rc ? NULL : json_text(settings_value(root, "AzureBlobConfig:ConnectionString"));
    if (string && *string)
        rc = text_list_addf(
            &c->out->warnings, err,
            "pictures in Azure need the plugin Misc.AzureBlob from 4.90 on; it takes AzureBlobConfig over when it "
            "is installed");
    json_free(root);
    return rc;
}

/* ---- from one root file into the other ---- */

struct member_walk {
    struct conversion *c;
    struct settings_file *f;
    struct json *fresh;  /* the new file, parsed */
    const char *section; /* NULL at the top */
    struct error *err;
    enum error_kind rc;
};

/* What a key is called in the new file: as it was, or as 4.20 renamed it. Several new switches may have been one. */
static bool renamed_to(const struct option *o, const char *name, struct json *fresh)
{
    return o->earlier && strcasecmp(o->earlier, name) == 0 && settings_value(fresh, o->name);
}

static void put_member(const char *key, struct json *value, void *arg)
{
    struct member_walk *w = arg;
    bool renamed = false;
    char *name = NULL;
    char a[32];
    char b[32];
    const char *was;
    const char *is;

    if (w->rc)
        return;
    w->rc = memory_format(&name, w->err, "%s%s%s", w->section ? w->section : "", w->section ? ":" : "", key);
    for (size_t i = 0; i < OPTION_COUNT && !w->rc; i++) {
        if (settings_value(w->fresh, name) || !renamed_to(&options[i], name, w->fresh))
            continue;
        renamed = true;
        w->rc = settings_file_set(w->f, options[i].name, value, w->err);
    }
    if (!w->rc && !renamed) {
        was = text_of(value, a);
        is = text_of(settings_value(w->fresh, name), b);
        if (!was || !is || strcasecmp(was, is) != 0) /* "true" and true are the same to .NET */
            w->rc = settings_file_set(w->f, name, value, w->err);
    }
    free(name);
}

static void put_section(const char *key, struct json *value, void *arg)
{
    struct member_walk *w = arg;

    if (json_is_object(value) && json_is_object(json_get_nocase(w->fresh, key))) {
        w->section = key;
        json_each(value, put_member, w);
        w->section = NULL;
    } else {
        put_member(key, value, w);
    }
}

/* What the owner had, into the new release's own file, which knows its new keys and their usual values. */
static enum error_kind into_root(struct conversion *c, struct json *source, const struct settings_file *from,
                                 struct error *err)
{
    struct settings_file fresh = SETTINGS_FILE_INIT;
    struct member_walk walk = {c, &fresh, NULL, NULL, err, OK};
    char *name = NULL;
    enum error_kind rc;

    rc = settings_file_read(c->request->new_root, root_json, &fresh, err);
    if (!rc && !fresh.from)
        rc = settings_file_new(from, &fresh, err);
    if (!rc)
        rc = settings_file_json(&fresh, &walk.fresh, err);
    if (!rc)
        json_each(source, put_section, &walk);
    if (!rc)
        rc = walk.rc;
    if (!rc)
        rc = memory_string(from->from, &name, err);
    if (!rc) {
        free(fresh.from);
        fresh.from = name;
        name = NULL;
        rc = settings_add(c, root_json, &fresh, err);
    }
    json_free(walk.fresh);
    free(name);
    settings_file_release(&fresh);
    return rc;
}

/* The source's options, by era, as a tree with the sections Hosting and Nop. */
static enum error_kind read_source(struct conversion *c, struct settings_file *from, struct json **out,
                                   struct error *err)
{
    bool legacy = c->old_release < 400;
    enum error_kind rc;

    rc = settings_file_read(c->request->old_root, legacy ? "Web.config" : root_json, from, err);
    if (rc || !from->from)
        return rc;
    return legacy ? site_webconfig_options(c->request->old_root, out, &c->out->lost, err)
                  : settings_file_json(from, out, err);
}

enum error_kind settings_convert_options(struct conversion *c, struct settings_file *app, struct error *err)
{
    struct settings_file from = SETTINGS_FILE_INIT;
    struct json *source = NULL;
    enum error_kind rc = OK;

    if (c->new_release < 400)
        return OK;
    if (c->old_release >= 440) {
        if (c->old_release < 450 && c->new_release >= 450)
            rc = rename_proxy(c, app, err);
        return rc ? rc : note_azure(c, app, err);
    }
    if (c->old_release == c->new_release)
        return settings_copy(c, root_json, root_json, err);
    rc = read_source(c, &from, &source, err);
    if (!rc && source && c->new_release >= 440)
        rc = into_app(c, source, &from, app, err);
    else if (!rc && source)
        rc = into_root(c, source, &from, err);
    if (!rc)
        rc = note_azure(c, app, err);
    json_free(source);
    settings_file_release(&from);
    return rc;
}
