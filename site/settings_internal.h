/* What the files that convert settings share. */
#ifndef NOPSNAP_SETTINGS_INTERNAL_H
#define NOPSNAP_SETTINGS_INTERNAL_H

#include "json.h"
#include "settings_convert.h"
#include "site_internal.h"

#define SETTINGS_MAX (4u << 20) /* a settings file with what is added to it */

/* Releases as one number, 460 of 4.60.5. */
static inline int settings_release(const struct site_version *v)
{
    return v->major * 100 + v->minor;
}

/* A file of settings on its way. */
struct settings_file {
    char *from; /* as it is called in its tree; NULL if there is none */
    struct buffer bytes;
    bool changed;
};

#define SETTINGS_FILE_INIT                     \
    {                                          \
        NULL, BUFFER_INIT(SETTINGS_MAX), false \
    }

/* One conversion. */
struct conversion {
    const struct site_settings_request *request;
    int old_release;
    int new_release;
    struct site_connection connection; /* of the old tree's files */
    struct site_settings *out;
};

/* Read a file as it is; from stays NULL where there is none. */
enum error_kind settings_file_read(const char *root, const char *path, struct settings_file *out, struct error *err);
/* An empty object with .NET's mark, its lines ended as those of `like`; in the plan it comes from `like` too. */
enum error_kind settings_file_new(const struct settings_file *like, struct settings_file *out, struct error *err);
/* ERR_REFUSED, naming the file, for what is no JSON. */
enum error_kind settings_file_json(const struct settings_file *f, struct json **out, struct error *err);
/* Set "Section:Key" (or "Key"), unless it has this value already. value is borrowed. */
enum error_kind settings_file_set(struct settings_file *f, const char *name, struct json *value, struct error *err);
void settings_file_release(struct settings_file *f);
/* A key as it may be shown: one that looks like none (a connection string gone astray) could hold a secret. */
const char *settings_key_shown(const char *key);
/* The value of "Section:Key" in a parsed file; NULL if there is none. */
struct json *settings_value(struct json *root, const char *name);

/* Into the plan. The file is empty afterwards. */
enum error_kind settings_add(struct conversion *c, const char *path, struct settings_file *f, struct error *err);
/* Byte for byte, if it is there. */
enum error_kind settings_copy(struct conversion *c, const char *from, const char *to, struct error *err);

/*
 * Options: proxy, Redis, Azure and the like.
 *
 * app        App_Data/appsettings.json as the new tree will have it; made if the old one had none and something goes in
 */
enum error_kind settings_convert_options(struct conversion *c, struct settings_file *app, struct error *err);
enum error_kind settings_convert_plugins(struct conversion *c, struct error *err);

/* The options of a 3.x Web.config under the names that 4.30 gives them; an empty object if there is no such file. */
enum error_kind site_webconfig_options(const char *root, struct json **out, struct text_list *lost, struct error *err);

#endif
