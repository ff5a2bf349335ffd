/*
 * The connection goes first, then options, then plugins, then web.config:
 *   C1  What the shop uses now, by its files, is what the new tree's files say afterwards (site_settings_check() proves it, with the
 *       environment).
 *   C2  In a tree of 4.50 or later there is no Settings.txt and no dataSettings.json: one would win over appsettings.json.
 *   C3  Nothing is turned back: an older release does not read a newer one's files.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "open_below.h"
#include "settings_internal.h"

static const char settings_txt[] = "App_Data/Settings.txt";
static const char data_json[] = "App_Data/dataSettings.json";
static const char app_json[] = "App_Data/appsettings.json";

/* ---- the connection ---- */

static enum error_kind set_text(struct settings_file *f, const char *name, const char *text, struct error *err)
{
    struct json *holder = json_object();
    enum error_kind rc;

    json_put_text(holder, "v", text);
    if (!json_get(holder, "v")) {
        rc = error_set(err, ERR_MEMORY, 0, "out of memory for a setting");
    } else if (!json_text(json_get(holder, "v")) || strcmp(json_text(json_get(holder, "v")), text) != 0) {
        rc = error_set(err, ERR_REFUSED, 0,
                       "%s holds bytes that are no UTF-8: the shop reads others there than are written", name);
        error_hint(err, "write that settings file anew as UTF-8, then plan again");
    } else {
        rc = settings_file_set(f, name, json_get(holder, "v"), err);
    }
    json_free(holder);
    return rc;
}

static enum error_kind set_number(struct settings_file *f, const char *name, long number, struct error *err)
{
    struct json *holder = json_object();
    enum error_kind rc;

    json_put_number(holder, "v", number);
    rc = settings_file_set(f, name, json_get(holder, "v"), err);
    json_free(holder);
    return rc;
}

/* The wait time in seconds; false where there is none. */
static bool timeout_of(const char *text, long *out)
{
    char *end;

    errno = 0;
    *out = strtol(text, &end, 10);
    return end != text && *end == '\0' && errno == 0;
}

/* One line of Settings.txt beside the connection. A key that no release knows went into RawDataSettings until 4.40. */
static enum error_kind take_txt_line(struct conversion *c, struct settings_file *f, const char *key, const char *value,
                                     struct error *err)
{
    bool timeout = strcmp(key, "SQLCommandTimeout") == 0;
    char *name = NULL;
    long seconds;
    enum error_kind rc;

    if (strcmp(key, "DataProvider") == 0 || strcmp(key, "DataConnectionString") == 0 || *key == '\0')
        return OK;
    if (timeout && c->new_release >= 430 && timeout_of(value, &seconds))
        return set_number(f, c->new_release < 450 ? "SQLCommandTimeout" : "ConnectionStrings:SQLCommandTimeout",
                          seconds, err);
    if (c->new_release >= 450)
        return text_list_addf(&c->out->lost, err, "%s in Settings.txt: no release from 4.50 on reads it",
                              settings_key_shown(key));
    rc = memory_format(&name, err, "RawDataSettings:%s", key);
    if (!rc)
        rc = set_text(f, name, value, err);
    free(name);
    return rc;
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

static enum error_kind take_txt_rest(struct conversion *c, struct settings_file *f, struct error *err)
{
    struct buffer text = BUFFER_INIT(SITE_TEXT_MAX);
    char *rest = NULL;
    enum error_kind rc;

    rc = site_file_text(c->request->old_root, c->connection.file, SITE_TEXT_MAX, &text, err);
    for (char *line = rc || !text.data ? NULL : strtok_r((char *)text.data, "\n", &rest); line && !rc;
         line = strtok_r(NULL, "\n", &rest)) {
        char *colon = strchr(line, ':');

        if (!colon)
            continue;
        *colon = '\0';
        rc = take_txt_line(c, f, trimmed(line), trimmed(colon + 1), err);
    }
    buffer_release_secret(&text);
    return rc;
}

struct raw_walk {
    struct conversion *c;
    struct error *err;
    const char *below; /* "RawDataSettings:", or "" */
    enum error_kind rc;
};

static void lose_raw(const char *key, struct json *value, void *arg)
{
    static const char *const known[] = {"DataProvider", "DataConnectionString", "SQLCommandTimeout", "RawDataSettings"};
    struct raw_walk *w = arg;

    (void)value;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (w->below[0] == '\0' && strcasecmp(key, known[i]) == 0)
            return;
    }
    if (!w->rc)
        w->rc = text_list_addf(&w->c->out->lost, w->err, "%s%s in dataSettings.json: no release from 4.50 on reads it",
                               w->below, settings_key_shown(key));
}

/* What dataSettings.json says beside the connection, for 4.50 and later. */
static enum error_kind take_data_rest(struct conversion *c, const struct settings_file *old, struct settings_file *f,
                                      struct error *err)
{
    struct raw_walk walk = {c, err, "", OK};
    struct json *root = NULL;
    struct json *timeout;
    long seconds = 0;
    enum error_kind rc;

    rc = settings_file_json(old, &root, err);
    if (rc)
        return rc;
    timeout = json_get_nocase(root, "SQLCommandTimeout");
    if (json_text(timeout) && timeout_of(json_text(timeout), &seconds))
        rc = set_number(f, "ConnectionStrings:SQLCommandTimeout", seconds, err);
    else if (timeout && !json_text(timeout))
        rc = settings_file_set(f, "ConnectionStrings:SQLCommandTimeout", timeout, err);
    json_each(root, lose_raw, &walk);
    walk.below = "RawDataSettings:";
    json_each(json_get_nocase(root, "RawDataSettings"), lose_raw, &walk);
    json_free(root);
    return rc ? rc : walk.rc;
}

static enum error_kind to_data_json(struct conversion *c, struct error *err)
{
    struct settings_file old = SETTINGS_FILE_INIT;
    struct settings_file f = SETTINGS_FILE_INIT;
    enum error_kind rc;

    rc = settings_file_read(c->request->old_root, c->connection.file, &old, err);
    if (!rc)
        rc = settings_file_new(&old, &f, err);
    if (!rc)
        rc = set_text(&f, "DataConnectionString", c->connection.string, err);
    if (!rc)
        rc = set_text(&f, "DataProvider", c->connection.provider, err);
    if (!rc)
        rc = take_txt_rest(c, &f, err);
    if (!rc)
        rc = settings_add(c, data_json, &f, err);
    if (!rc)
        rc = text_list_addf(&c->out->moved, err, "the connection of %s is now in %s", c->connection.file, data_json);
    settings_file_release(&f);
    settings_file_release(&old);
    return rc;
}

/* Into appsettings.json, which the old tree may have had (4.40, or a stray older file in a newer tree). */
static enum error_kind to_app_json(struct conversion *c, struct settings_file *app, struct error *err)
{
    struct settings_file old = SETTINGS_FILE_INIT;
    enum error_kind rc;

    rc = settings_file_read(c->request->old_root, c->connection.file, &old, err);
    if (!rc && !app->from)
        rc = settings_file_new(&old, app, err);
    if (!rc)
        rc = set_text(app, "ConnectionStrings:ConnectionString", c->connection.string, err);
    if (!rc)
        rc = set_text(app, "ConnectionStrings:DataProvider", c->connection.provider, err);
    if (!rc && c->connection.form == SITE_SETTINGS_TXT)
        rc = take_txt_rest(c, app, err);
    else if (!rc)
        rc = take_data_rest(c, &old, app, err);
    if (!rc)
        rc = text_list_addf(&c->out->moved, err, "the connection of %s is now in %s", c->connection.file, app_json);
    settings_file_release(&old);
    return rc;
}

static enum error_kind convert_connection(struct conversion *c, struct settings_file *app, struct error *err)
{
    if (c->connection.form == SITE_SETTINGS_NONE)
        return text_list_addf(&c->out->warnings, err,
                              "the shop's files name no database: the new release will ask for one on /install");
    if (c->new_release >= 450)
        return c->connection.form == SITE_SETTINGS_APP_JSON ? OK : to_app_json(c, app, err);
    if (c->new_release < 400 || c->connection.form == SITE_SETTINGS_DATA_JSON)
        return settings_copy(c, c->connection.file, c->new_release < 400 ? settings_txt : data_json, err);
    return to_data_json(c, err);
}

/* ---- what the plan should tell about the connection ---- */

/* Is this key, its blanks disregarded, among those of a SQL Server connection string? Quotes protect a value's semicolons. */
static bool string_has_key(const char *string, const char *key)
{
    while (*string) {
        const char *k = key;
        char quote = '\0';

        for (; *string && *string != '=' && *string != ';'; string++) {
            if (*string == ' ' || *string == '\t')
                continue;
            k = k && *k && (*string | 0x20) == *k ? k + 1 : NULL;
        }
        if (k && *k == '\0' && *string == '=')
            return true;
        for (; *string && (quote || *string != ';'); string++) {
            if (quote)
                quote = *string == quote ? '\0' : quote;
            else if (*string == '"' || *string == '\'')
                quote = *string;
        }
        string += *string == ';';
    }
    return false;
}

static enum error_kind note_encryption(struct conversion *c, struct error *err)
{
    if (c->old_release >= 450 || c->new_release < 450 || !c->connection.string ||
        strcmp(c->connection.provider, "sqlserver") != 0 || string_has_key(c->connection.string, "encrypt") ||
        string_has_key(c->connection.string, "trustservercertificate"))
        return OK;
    return text_list_addf(
        &c->out->warnings, err,
        "the connection string says neither Encrypt nor Trust Server Certificate: from 4.50 on the connection is encrypted and the "
        "server's certificate must be trusted, or the shop does not start; add Trust Server Certificate=True or Encrypt=False "
        "to it in the shop before the upgrade, unless the server has a trusted certificate");
}

static enum error_kind check_provider(const struct conversion *c, struct error *err)
{
    static const struct {
        const char *provider;
        const char *name;
        int from;
        int to;
    } known[] = {
        {"sqlce", "SQL Server Compact", 0, 399},
        {"mysql", "MySQL", 430, 9999},
        {"postgresql", "PostgreSQL", 440, 9999},
    };

    for (size_t i = 0; c->connection.provider && i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].provider, c->connection.provider) != 0 ||
            (known[i].from <= c->new_release && c->new_release <= known[i].to))
            continue;
        error_set(err, ERR_REFUSED, 0, "the shop's database is %s, which %s does not know", known[i].name,
                  c->request->new_version->text);
        error_hint(err, known[i].to < 9999 ? "move the shop to SQL Server first" : "take a newer release");
        return ERR_REFUSED;
    }
    return OK;
}

/* ---- the other files ---- */

static bool is_app_settings(const char *name)
{
    size_t len = strlen(name);

    return len >= 16 && strncasecmp(name, "appsettings.", 12) == 0 && strcasecmp(name + len - 5, ".json") == 0;
}

/* Does a root file of 4.00 to 4.30 hold more than the two sections that 4.40 left? */
struct section_walk {
    bool more;
};

static void other_section(const char *key, struct json *value, void *arg)
{
    struct section_walk *w = arg;

    (void)value;
    if (strcasecmp(key, "Hosting") != 0 && strcasecmp(key, "Nop") != 0)
        w->more = true;
}

/* The root's files: 4.40 and later read what is for the host (Kestrel, Logging) from them, as ASP.NET Core does. */
static enum error_kind carry_root_file(struct conversion *c, const char *name, struct error *err)
{
    struct settings_file f = SETTINGS_FILE_INIT;
    struct section_walk walk = {false};
    struct json *root = NULL;
    enum error_kind rc;

    rc = settings_file_read(c->request->old_root, name, &f, err);
    if (rc || !f.from)
        goto done;
    if (c->old_release < 440 && c->new_release >= 440) {
        rc = settings_file_json(&f, &root, err);
        if (!rc)
            json_each(root, other_section, &walk);
        if (!rc && !walk.more) {
            rc = text_list_addf(&c->out->left, err, "%s: from 4.40 on its settings are in %s", name, app_json);
            goto done;
        }
    }
    if (!rc)
        rc = settings_add(c, name, &f, err);

done:
    json_free(root);
    settings_file_release(&f);
    return rc;
}

/* appsettings.{Environment}.json of App_Data, which only 4.50 and later read. */
static enum error_kind carry_app_file(struct conversion *c, const char *name, struct error *err)
{
    char *path = NULL;
    enum error_kind rc;

    rc = memory_format(&path, err, "App_Data/%s", name);
    if (!rc && c->old_release < 450 && c->new_release >= 450)
        rc = text_list_addf(&c->out->left, err, "%s: %s did not read it, and %s would", path,
                            c->request->old_version->text, c->request->new_version->text);
    else if (!rc)
        rc = settings_copy(c, path, path, err);
    free(path);
    return rc;
}

/* All appsettings*.json of a folder but the plain one. */
static enum error_kind carry_folder(struct conversion *c, const char *folder,
                                    enum error_kind (*carry)(struct conversion *, const char *, struct error *),
                                    struct error *err)
{
    struct error ignored = ERROR_INIT;
    struct text_list names = TEXT_LIST_INIT;
    struct dirent *entry;
    char *found = NULL;
    char *path = NULL;
    DIR *dir = NULL;
    enum error_kind rc = OK;

    if (folder[0] && site_file_find(c->request->old_root, folder, &found, &ignored))
        return OK;
    rc = found ? path_join(c->request->old_root, found, &path, err) : memory_string(c->request->old_root, &path, err);
    if (!rc)
        dir = opendir(path);
    while (dir && !rc && (entry = readdir(dir))) {
        if (is_app_settings(entry->d_name) && strcasecmp(entry->d_name, "appsettings.json") != 0)
            rc = text_list_add(&names, entry->d_name, err);
    }
    if (dir)
        closedir(dir);
    for (size_t i = 0; i < names.count && !rc; i++)
        rc = carry(c, names.items[i], err);
    text_list_release(&names);
    free(found);
    free(path);
    return rc;
}

/* From 4.40 on. Until 4.30 the root's own file is settings_convert_options()'s. */
static enum error_kind carry_host_files(struct conversion *c, struct error *err)
{
    enum error_kind rc = OK;

    if (c->old_release < 400 || c->new_release < 400)
        return OK;
    if (c->new_release >= 440)
        rc = carry_root_file(c, "appsettings.json", err);
    if (!rc)
        rc = carry_folder(c, "", carry_root_file, err);
    if (!rc)
        rc = carry_folder(c, "App_Data", carry_app_file, err);
    return rc;
}

/* An absolute folder below the old root would make a tree that runs elsewhere write into the shop's. */
static enum error_kind rebase_cache(struct conversion *c, struct settings_file *app, struct error *err)
{
    static const char name[] = "WebOptimizer:CacheDirectory";
    struct json *root = NULL;
    const char *below = NULL;
    char *moved = NULL;
    enum error_kind rc;

    if (!c->request->runs_at || !app->from)
        return OK;
    rc = settings_file_json(app, &root, err);
    if (!rc && json_text(settings_value(root, name)))
        below = site_path_below(c->request->old_root, json_text(settings_value(root, name)));
    if (below)
        rc = path_join(c->request->runs_at, below, &moved, err);
    if (below && !rc)
        rc = set_text(app, name, moved, err);
    if (below && !rc)
        rc = text_list_addf(&c->out->moved, err, "%s lies below %s now", name, c->request->runs_at);
    json_free(root);
    free(moved);
    return rc;
}

static enum error_kind merge_webconfig(struct conversion *c, struct error *err)
{
    struct settings_file old = SETTINGS_FILE_INIT;
    struct settings_file fresh = SETTINGS_FILE_INIT;
    struct settings_file made = SETTINGS_FILE_INIT;
    enum error_kind rc;

    rc = settings_file_read(c->request->old_root, "web.config", &old, err);
    if (!rc && old.from)
        rc = settings_file_read(c->request->new_root, "web.config", &fresh, err);
    if (rc || !old.from)
        goto done;
    if (c->old_release == c->new_release && c->new_release < 400) {
        rc = settings_add(c, fresh.from ? fresh.from : old.from, &old, err);
    } else if (!fresh.from) {
        rc = text_list_addf(&c->out->left, err, "%s: the new release has none; it is for IIS", old.from);
    } else if (c->old_release < 400) {
        rc = text_list_addf(&c->out->left, err,
                            "%s: that of 4.x is another file; what else was changed in it is to be done again",
                            old.from);
    } else {
        rc = site_webconfig_merge(&old.bytes, &fresh.bytes, &made.bytes, &c->out->moved, &c->out->lost, err);
        made.changed = true;
        made.from = old.from;
        old.from = NULL;
        if (!rc)
            rc = settings_add(c, fresh.from, &made, err);
    }

done:
    settings_file_release(&old);
    settings_file_release(&fresh);
    settings_file_release(&made);
    return rc;
}

/* C2, and lists of plugins that an older release left: in the new tree they would be read once and deleted. */
static enum error_kind name_absent(struct conversion *c, struct error *err)
{
    static const struct {
        const char *path;
        int from; /* releases in whose tree it must not be */
    } stray[] = {
        {settings_txt, 400},
        {data_json, 450},
        {"App_Data/InstalledPlugins.txt", 400},
        {"App_Data/installedPlugins.json", 420},
    };
    enum error_kind rc = OK;

    for (size_t i = 0; i < sizeof(stray) / sizeof(stray[0]) && !rc; i++) {
        if (c->new_release < stray[i].from)
            continue;
        rc = text_list_add(&c->out->absent, stray[i].path, err);
        if (!rc && site_file_exists(c->request->old_root, stray[i].path))
            rc = text_list_addf(&c->out->left, err, "%s: is of an older release", stray[i].path);
    }
    return rc;
}

static enum error_kind check_versions(const struct conversion *c, struct error *err)
{
    const struct site_version *old_version = c->request->old_version;
    const struct site_version *new_version = c->request->new_version;

    if (old_version->major == 0 || new_version->major == 0) {
        error_set(err, ERR_REFUSED, 0, "the version of the %s is not known", old_version->major ? "release" : "shop");
        error_hint(err, "settings are read differently by each version; see what nopsnap status says of the shop");
        return ERR_REFUSED;
    }
    if (c->new_release >= c->old_release)
        return OK;
    error_set(err, ERR_REFUSED, 0, "the settings of %s can't be turned back to those of %s", old_version->text,
              new_version->text);
    error_hint(err, "go back with nopsnap rollback: it brings the old settings with the old database");
    return ERR_REFUSED;
}

static enum error_kind read_connection(struct conversion *c, struct error *err)
{
    struct site_environment nothing = SITE_ENVIRONMENT_INIT;
    struct site_notes nowhere = {NULL, NULL};
    const char *name = c->request->environment_name ? c->request->environment_name : "Production";

    return site_settings_resolve(c->request->old_root, c->request->old_version, &nothing, name, &c->connection,
                                 &nowhere, err);
}

enum error_kind site_settings_convert(const struct site_settings_request *request, struct site_settings *out,
                                      struct error *err)
{
    struct conversion c = {request,
                           settings_release(request->old_version),
                           settings_release(request->new_version),
                           {SITE_SETTINGS_NONE, NULL, NULL, NULL},
                           out};
    struct settings_file app = SETTINGS_FILE_INIT;
    enum error_kind rc;

    rc = check_versions(&c, err);
    if (!rc)
        rc = read_connection(&c, err);
    if (!rc)
        rc = check_provider(&c, err);
    if (!rc && c.old_release >= 440)
        rc = settings_file_read(request->old_root, app_json, &app, err);
    if (!rc)
        rc = convert_connection(&c, &app, err);
    if (!rc)
        rc = note_encryption(&c, err);
    if (!rc)
        rc = settings_convert_options(&c, &app, err);
    if (!rc)
        rc = rebase_cache(&c, &app, err);
    if (!rc && app.from)
        rc = settings_add(&c, app_json, &app, err);
    if (!rc)
        rc = carry_host_files(&c, err);
    if (!rc)
        rc = settings_convert_plugins(&c, err);
    if (!rc)
        rc = merge_webconfig(&c, err);
    if (!rc)
        rc = name_absent(&c, err);
    if (rc)
        error_context(err, "converting the settings of %s", request->old_root);
    settings_file_release(&app);
    site_connection_release(&c.connection);
    return rc;
}

void site_settings_release(struct site_settings *settings)
{
    for (size_t i = 0; i < settings->count; i++) {
        free(settings->files[i].path);
        free(settings->files[i].from);
        buffer_release_secret(&settings->files[i].bytes);
    }
    free(settings->files);
    text_list_release(&settings->absent);
    text_list_release(&settings->moved);
    text_list_release(&settings->left);
    text_list_release(&settings->lost);
    text_list_release(&settings->warnings);
    *settings = (struct site_settings)SITE_SETTINGS_INIT;
}

/* ---- into the new tree ---- */

/* Owner and mode as before. Who may not give files away leaves them his own, never more readable. */
static enum error_kind dress(int fd, const struct stat *st, const char *shown, struct error *err)
{
    mode_t mode = st->st_mode & 0777;

    if (fchown(fd, st->st_uid, st->st_gid) && errno != EPERM)
        return error_set(err, ERR_IO, errno, "cannot set the owner of %s", shown);
    if (fchmod(fd, mode))
        return error_set(err, ERR_IO, errno, "cannot set the mode of %s", shown);
    return OK;
}

static enum error_kind place_file(const struct site_settings_file *f, int old_fd, int new_fd, struct error *err)
{
    struct stat st;
    int fd = -1;
    enum error_kind rc;

    if (fstatat(old_fd, f->from, &st, 0))
        return error_set(err, ERR_IO, errno, "cannot look at %s", f->from);
    /* Unlinked first: a file of the release may be linked into other trees, and must not be written into. */
    fd = open_below(new_fd, f->path, strlen(f->path), O_RDONLY, 0);
    if (fd >= 0) {
        file_close(&fd);
        rc = file_unlink(new_fd, f->path, err);
        if (rc)
            return rc;
    }
    fd = open_below(new_fd, f->path, strlen(f->path), O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "cannot make %s in the new tree", f->path);
    rc = file_write(fd, f->bytes.data, f->bytes.len, f->path, err);
    if (!rc)
        rc = dress(fd, &st, f->path, err);
    file_close(&fd);
    return rc;
}

enum error_kind site_settings_place(const struct site_settings *settings, int old_fd, int new_fd, struct error *err)
{
    struct error problem = ERROR_INIT;
    enum error_kind rc = OK;

    for (size_t i = 0; i < settings->count && !rc; i++)
        rc = place_file(&settings->files[i], old_fd, new_fd, err);
    for (size_t i = 0; i < settings->absent.count && !rc; i++) {
        rc = file_unlink(new_fd, settings->absent.items[i], &problem);
        if (rc == ERR_NOT_FOUND) {
            error_clear(&problem);
            rc = OK;
        } else if (rc) {
            error_copy(err, &problem);
        }
    }
    return rc;
}

/* ---- the proof ---- */

static enum error_kind other_database(const struct site_connection *was, const struct site_connection *is,
                                      const struct site_version *version, struct error *err)
{
    error_set(err, ERR_REFUSED, 0,
              "%s would not use the shop's database: now the connection comes from %s, then from %s", version->text,
              was->file ? was->file : "nowhere", is->file ? is->file : "nowhere");
    if (was->form == SITE_SETTINGS_ENVIRONMENT && settings_release(version) >= 450)
        error_hint(
            err,
            "set ConnectionStrings__ConnectionString and ConnectionStrings__DataProvider in %s, beside what is there",
            was->file);
    else
        error_hint(err, "see that the shop's settings files and its environment agree, then plan again");
    return ERR_REFUSED;
}

enum error_kind site_settings_check(const struct site *site, const char *new_root,
                                    const struct site_version *new_version, struct error *err)
{
    struct site_environment environment = SITE_ENVIRONMENT_INIT;
    struct site_notes nowhere = {NULL, NULL};
    struct site_connection is = {SITE_SETTINGS_NONE, NULL, NULL, NULL};
    const struct site_connection *was = &site->connection;
    enum error_kind rc;

    rc = site_environment_collect(site->path, new_root, site->config, &environment, &nowhere, err);
    if (!rc)
        rc = site_settings_resolve(new_root, new_version, &environment,
                                   site_environment_name(&environment, site->config), &is, &nowhere, err);
    if (rc)
        goto done;
    if (settings_release(new_version) >= 450 && (is.form == SITE_SETTINGS_TXT || is.form == SITE_SETTINGS_DATA_JSON)) {
        rc = error_set(err, ERR_REFUSED, 0, "%s lies in the new tree and would win over its own settings", is.file);
        error_hint(err, "remove it from the release's folder");
    } else if ((was->string == NULL) != (is.string == NULL) ||
               (was->string && (strcmp(was->string, is.string) != 0 || strcmp(was->provider, is.provider) != 0))) {
        rc = other_database(was, &is, new_version, err);
    }

done:
    site_connection_release(&is);
    site_environment_release(&environment);
    return rc;
}
