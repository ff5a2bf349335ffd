/*
 * Which connection string the application will use: its own precedence, version by version.
 *   3.x          App_Data/Settings.txt
 *   4.00 - 4.40  App_Data/dataSettings.json; if missing, Settings.txt. 4.40 lets the environment override the former.
 *   4.50 -       a stray dataSettings.json, or Settings.txt, wins over everything (it is read, copied into
 *                appsettings.json and deleted at the next start); without them, the last of appsettings.json and
 *                appsettings.{Env}.json at the root, the same two in App_Data, and the environment.
 * No text made here may hold a value: it may be a password (P10).
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "file.h"
#include "json.h"
#include "site_internal.h"

static const char data_json[] = "App_Data/dataSettings.json";
static const char settings_txt[] = "App_Data/Settings.txt";

/* What one place says; members are NULL where it is silent. */
struct said {
    char *provider;
    char *string;
    char *string_file;
    enum site_settings_form form;
};

#define SAID_INIT                            \
    {                                        \
        NULL, NULL, NULL, SITE_SETTINGS_NONE \
    }

static void said_release(struct said *s)
{
    free(s->provider);
    memory_free_secret(s->string);
    free(s->string_file);
    *s = (struct said)SAID_INIT;
}

static enum error_kind said_provider(struct said *s, const char *provider, struct error *err)
{
    char *copy = NULL;
    enum error_kind rc = memory_string(provider, &copy, err);

    if (rc)
        return rc;
    free(s->provider);
    s->provider = copy;
    return OK;
}

static enum error_kind said_string(struct said *s, const char *string, enum site_settings_form form, const char *file,
                                   struct error *err)
{
    char *copy = NULL;
    char *where = NULL;
    enum error_kind rc;

    rc = memory_string(string, &copy, err);
    if (!rc)
        rc = memory_string(file, &where, err);
    if (rc) {
        memory_free_secret(copy);
        return rc;
    }
    memory_free_secret(s->string);
    free(s->string_file);
    s->string = copy;
    s->string_file = where;
    s->form = form;
    return OK;
}

static enum error_kind broken(struct error *err, const char *root, const char *file, const char *what)
{
    error_set(err, ERR_REFUSED, 0, "the settings in %s/%s can't be used: %s", root, file, what);
    error_hint(err, "mend that file, or leave the database out with --files-only");
    return ERR_REFUSED;
}

/* Read a settings file. *there is false, and nothing else happens, if it does not exist. */
static enum error_kind load(const char *root, const char *file, bool *there, char **found, struct buffer *text,
                            struct error *err)
{
    struct error problem = ERROR_INIT;
    enum error_kind rc;

    *there = false;
    rc = site_file_find(root, file, found, &problem);
    if (rc == ERR_NOT_FOUND)
        return OK;
    if (!rc)
        rc = site_file_text(root, *found, SITE_TEXT_MAX, text, &problem);
    if (rc == ERR_NOT_FOUND) /* a symlink to nowhere: the application sees no file either */
        return OK;
    if (rc) {
        error_copy(err, &problem);
        error_hint(err, "run nopsnap as root or as the shop's user");
        return rc;
    }
    *there = true;
    if (text->data && memchr(text->data, '\0', text->len))
        return broken(err, root, *found, "it holds NUL bytes");
    return OK;
}

static char *trimmed(char *text)
{
    size_t len;

    text += strspn(text, " \t\r\v\f");
    len = strlen(text);
    while (len > 0 && strchr(" \t\r\v\f", text[len - 1]))
        text[--len] = '\0';
    return text;
}

/* "key: value" lines, split at the first colon, key case as it is; a later line wins (as nopCommerce reads it). */
static enum error_kind parse_txt(char *text, const char *file, struct said *out, struct error *err)
{
    enum error_kind rc = OK;
    char *rest = NULL;

    for (char *line = strtok_r(text, "\n", &rest); line && !rc; line = strtok_r(NULL, "\n", &rest)) {
        char *colon = strchr(line, ':');

        if (!colon)
            continue;
        *colon = '\0';
        if (strcmp(trimmed(line), "DataProvider") == 0)
            rc = said_provider(out, trimmed(colon + 1), err);
        else if (strcmp(trimmed(line), "DataConnectionString") == 0)
            rc = said_string(out, trimmed(colon + 1), SITE_SETTINGS_TXT, file, err);
    }
    return rc;
}

static enum error_kind read_txt(const char *root, bool *there, struct said *out, struct error *err)
{
    struct buffer text = BUFFER_INIT(SITE_TEXT_MAX);
    char *found = NULL;
    enum error_kind rc;

    rc = load(root, settings_txt, there, &found, &text, err);
    if (!rc && *there && text.data)
        rc = parse_txt((char *)text.data, found, out, err);
    buffer_release_secret(&text);
    free(found);
    return rc;
}

static enum error_kind load_json(const char *root, const char *file, bool *there, char **found, struct json **out,
                                 struct error *err)
{
    struct buffer text = BUFFER_INIT(SITE_TEXT_MAX);
    struct error problem = ERROR_INIT;
    enum error_kind rc;

    rc = load(root, file, there, found, &text, err);
    if (rc || !*there)
        goto done;
    if (text.len == 0) {
        rc = broken(err, root, *found, "it is empty");
        goto done;
    }
    rc = json_parse(text.data, text.len, out, &problem);
    if (rc == ERR_CORRUPT)
        rc = broken(err, root, *found, problem.text);
    else if (rc)
        error_copy(err, &problem);

done:
    buffer_release_secret(&text);
    return rc;
}

static enum error_kind read_data_json(const char *root, bool *there, struct said *out, struct error *err)
{
    struct json *settings = NULL;
    char *found = NULL;
    const char *provider;
    const char *string;
    enum error_kind rc;

    rc = load_json(root, data_json, there, &found, &settings, err);
    if (rc || !*there)
        goto done;
    provider = json_text(json_get_nocase(settings, "DataProvider"));
    string = json_text(json_get_nocase(settings, "DataConnectionString"));
    if (provider)
        rc = said_provider(out, provider, err);
    if (!rc)
        rc = said_string(out, string ? string : "", SITE_SETTINGS_DATA_JSON, found, err);

done:
    json_free(settings);
    free(found);
    return rc;
}

/* .NET's configuration also takes a key with a colon for a section's. */
static const char *app_value(struct json *settings, const char *key, const char *flat)
{
    const char *text = json_text(json_get_nocase(json_get_nocase(settings, "ConnectionStrings"), key));

    return text ? text : json_text(json_get_nocase(settings, flat));
}

/* Add what one appsettings file says over what came before it. */
static enum error_kind read_app_json(const char *root, const char *file, struct said *out, struct error *err)
{
    struct json *settings = NULL;
    char *found = NULL;
    bool there = false;
    const char *value;
    enum error_kind rc;

    rc = load_json(root, file, &there, &found, &settings, err);
    if (rc || !there)
        goto done;
    value = app_value(settings, "DataProvider", "ConnectionStrings:DataProvider");
    if (value)
        rc = said_provider(out, value, err);
    value = app_value(settings, "ConnectionString", "ConnectionStrings:ConnectionString");
    if (value && !rc)
        rc = said_string(out, value, SITE_SETTINGS_APP_JSON, found, err);

done:
    json_free(settings);
    free(found);
    return rc;
}

static enum error_kind read_app_chain(const char *root, const char *environment_name, struct said *out,
                                      struct error *err)
{
    static const char *const folders[] = {"", "App_Data/"};
    enum error_kind rc = OK;

    for (size_t i = 0; i < 2 && !rc; i++) {
        char *plain = NULL;
        char *named = NULL;

        rc = memory_format(&plain, err, "%sappsettings.json", folders[i]);
        if (!rc)
            rc = read_app_json(root, plain, out, err);
        /* A name with a slash could lead out of the site. */
        if (!rc && !strchr(environment_name, '/'))
            rc = memory_format(&named, err, "%sappsettings.%s.json", folders[i], environment_name);
        if (!rc && named)
            rc = read_app_json(root, named, out, err);
        free(plain);
        free(named);
    }
    return rc;
}

/* 4.40 parses the value as JSON, so it stands in quotes. */
static enum error_kind unquoted(const char *value, char **out, struct error *err)
{
    struct error problem = ERROR_INIT;
    struct json *parsed = NULL;
    enum error_kind rc;

    if (value[0] == '"' && !json_parse(value, strlen(value), &parsed, &problem) && json_text(parsed))
        rc = memory_string(json_text(parsed), out, err);
    else
        rc = memory_string(value, out, err);
    json_free(parsed);
    return rc;
}

static enum error_kind override(const struct site_environment *e, const char *provider_name, const char *string_name,
                                struct said *out, struct error *err)
{
    const struct site_variable *provider = site_environment_get(e, provider_name);
    const struct site_variable *string = site_environment_get(e, string_name);
    char *value = NULL;
    enum error_kind rc = OK;

    if (provider) {
        rc = unquoted(provider->value, &value, err);
        if (!rc)
            rc = said_provider(out, value, err);
        free(value);
        value = NULL;
    }
    if (string && !rc) {
        rc = unquoted(string->value, &value, err);
        if (!rc)
            rc = said_string(out, value, SITE_SETTINGS_ENVIRONMENT, string->file, err);
        memory_free_secret(value);
    }
    return rc;
}

/* The old file wins from 4.50 on; where it says something else than appsettings.json, the owner should know. */
static enum error_kind warn_of_stray(const char *root, const char *environment_name, const struct said *stray,
                                     const struct site_version *version, const struct site_notes *notes,
                                     struct error *err)
{
    struct said modern = SAID_INIT;
    struct error problem = ERROR_INIT;
    enum error_kind rc;

    if (!site_version_at_least(version, 4, 50) || !notes->warnings)
        return OK;
    if (read_app_chain(root, environment_name, &modern, &problem) || !modern.string || modern.string[0] == '\0' ||
        (stray->string && strcmp(modern.string, stray->string) == 0))
        rc = site_remark(notes, err, "%s is of an older version; %s reads it once and deletes it at its next start",
                         stray->string_file, version->text);
    else
        rc = site_warn(notes, err,
                       "%s, left by an older version, names another database than %s and wins over it: "
                       "%s turns to that database at its next start",
                       stray->string_file, modern.string_file, version->text);
    said_release(&modern);
    return rc;
}

static bool known_provider(const char *provider)
{
    return strcmp(provider, "sqlserver") == 0 || strcmp(provider, "mysql") == 0 ||
           strcmp(provider, "postgresql") == 0 || strcmp(provider, "sqlce") == 0;
}

static void lower(char *text)
{
    for (; *text != '\0'; text++) {
        if (*text >= 'A' && *text <= 'Z')
            *text = (char)(*text - 'A' + 'a');
    }
}

/* An installed shop has both. Neither, or what 4.50 writes before it is installed, is a shop without a database. */
static enum error_kind judge(const char *root, struct said *s, bool modern, struct site_connection *out,
                             const struct site_notes *notes, struct error *err)
{
    bool has_string = s->string && s->string[0] != '\0';
    enum error_kind rc;

    if (!s->provider && modern && has_string) { /* the default of 4.50 and later */
        rc = said_provider(s, "sqlserver", err);
        if (rc)
            return rc;
    }
    if (s->provider)
        lower(s->provider);
    if (!has_string) {
        if (s->provider && s->provider[0] != '\0' && !(modern && strcmp(s->provider, "sqlserver") == 0))
            return broken(err, root, s->string_file ? s->string_file : settings_txt,
                          "they name a data provider and no connection string");
        return s->string_file ? site_warn(notes, err,
                                          "%s names no database: this shop was never installed, or has lost "
                                          "its settings",
                                          s->string_file)
                              : OK;
    }
    if (!s->provider || s->provider[0] == '\0')
        return broken(err, root, s->string_file, "they name no data provider");
    if (!known_provider(s->provider))
        return broken(err, root, s->string_file, "the data provider is none that nopCommerce knows");
    out->form = s->form;
    out->file = s->string_file;
    out->provider = s->provider;
    out->string = s->string;
    *s = (struct said)SAID_INIT;
    return OK;
}

/* The two old files. *there tells whether one was found. */
static enum error_kind read_old(const char *root, const struct site_version *version, bool *there, struct said *out,
                                struct error *err)
{
    enum error_kind rc = OK;

    *there = false;
    if (version->major != 3)
        rc = read_data_json(root, there, out, err);
    if (!rc && !*there)
        rc = read_txt(root, there, out, err);
    if (!rc && *there && !out->string)
        rc = said_string(out, "", SITE_SETTINGS_TXT, settings_txt, err);
    return rc;
}

enum error_kind site_settings_resolve(const char *root, const struct site_version *version,
                                      const struct site_environment *environment, const char *environment_name,
                                      struct site_connection *out, const struct site_notes *notes, struct error *err)
{
    bool modern = version->major == 0 || site_version_at_least(version, 4, 50);
    struct said said = SAID_INIT;
    bool old = false;
    enum error_kind rc;

    rc = read_old(root, version, &old, &said, err);
    if (!rc && old && modern)
        rc = warn_of_stray(root, environment_name, &said, version, notes, err);
    else if (!rc && old && version->major == 4 && version->minor == 40)
        rc = override(environment, "dataSettings__DataProvider", "dataSettings__DataConnectionString", &said, err);
    if (!rc && !old && modern)
        rc = read_app_chain(root, environment_name, &said, err);
    if (!rc && !old && modern)
        rc =
            override(environment, "ConnectionStrings__DataProvider", "ConnectionStrings__ConnectionString", &said, err);
    if (!rc)
        rc = judge(root, &said, modern && !old, out, notes, err);
    said_release(&said);
    return rc;
}
