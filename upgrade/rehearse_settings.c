/* The settings of a rehearsal's copy: whose database, and nothing that leads out (H2, H3). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "json.h"
#include "neutralise.h"
#include "rehearse_internal.h"
#include "walk.h"

#define FILE_MAX (4u << 20)
#define DEPTH_MAX 16
#define BETWEEN '\n' /* between two keys of a path: no key has it */

struct looking {
    const struct rehearsal *r;
    char path[512]; /* of the object or array that is looked at */
    int depth;
    int arrays;                          /* that we are in */
    struct text_list *emptied, *unknown; /* paths */
    struct error *err;
    enum error_kind rc;
};

bool rehearse_is_allowed(const struct rehearsal *r, const char *name)
{
    const struct text_list *l = &r->site->config->rehearse_allow;

    for (size_t i = 0; i < l->count; i++)
        if (text_match(l->items[i], name, 1))
            return true;
    return false;
}

static enum error_kind refuse(const struct text_list *unknown, struct error *err)
{
    struct buffer b = BUFFER_INIT(1024);
    struct error full = ERROR_INIT;
    enum error_kind rc;

    for (size_t i = 0; i < unknown->count; i++)
        if (buffer_append_format(&b, &full, "%s%s", i ? ", " : "", unknown->items[i]))
            break;
    rc = error_set(err, ERR_REFUSED, 0, "nopsnap does not know what these %zu settings reach outside of the shop: %s",
                   unknown->count, (char *)b.data);
    error_hint(err, "where the copy may use it too, say so in the config: rehearse-allow = %s", unknown->items[0]);
    buffer_release(&b);
    return rc;
}

/* ---- the database ---- */

static enum error_kind look_at_row(void *arg, const char *name, const char *value, struct error *err)
{
    struct looking *l = arg;
    enum site_outside kind = site_outside_setting(name, value);

    if (kind == SITE_OUTSIDE_NONE || rehearse_is_allowed(l->r, name))
        return OK;
    return text_list_add(kind == SITE_OUTSIDE_EMPTY ? l->emptied : l->unknown, name, err);
}

static enum error_kind settle_rows(struct rehearsal *r, struct text_list *emptied, struct error *err)
{
    struct text_list unknown = TEXT_LIST_INIT;
    struct looking l = {.r = r, .emptied = emptied, .unknown = &unknown};
    enum error_kind rc = database_setting_each(r->copy, look_at_row, &l, err);

    if (!rc && unknown.count)
        rc = refuse(&unknown, err);
    for (size_t i = 0; i < emptied->count && !rc; i++)
        rc = database_setting_clear(r->copy, emptied->items[i], err);
    if (!rc)
        rc = database_silence(r->copy, r->url, err);
    text_list_release(&unknown);
    return rc;
}

/* ---- files ---- */

/* The database is settled by settle_connection(), and the environment says it once more. */
static bool is_of_database(const struct looking *l, const char *name, const char *text)
{
    return !strcasecmp(name, "ConnectionStrings.ConnectionString") ||
           !strcasecmp(name, "ConnectionStrings.DataProvider") || !strcasecmp(name, "DataProvider") ||
           (!strcasecmp(name, "DataConnectionString") && !strcmp(text, l->r->string));
}

static enum site_outside judge_value(const struct looking *l, const char *name, const char *text)
{
    if (!text || !*text || is_of_database(l, name, text) || rehearse_is_allowed(l->r, name) ||
        !strncmp(text, l->r->place.tree, strlen(l->r->place.tree)))
        return SITE_OUTSIDE_NONE;
    if (!strcasecmp(name, "InstalledPluginNames") || strcasestr(name, "PluginNames."))
        return SITE_OUTSIDE_NONE;
    if (!strncasecmp(name, "AzureBlobConfig.", 16) || !strcasecmp(name, "DistributedCacheConfig.ConnectionString") ||
        !strcasecmp(name, "DataConnectionString"))
        return SITE_OUTSIDE_EMPTY;
    return site_outside_setting(name, text);
}

static void look_at_member(const char *key, struct json *value, void *arg);

/* An element has its number for a key; one that would have to be emptied is refused, since only members are put in anew. */
static void look_into(struct looking *l, struct json *value)
{
    char number[24];

    l->depth++;
    json_each(value, look_at_member, l);
    l->arrays++;
    for (size_t i = 0; i < json_length(value) && !l->rc; i++) {
        (void)snprintf(number, sizeof(number), "%zu", i);
        look_at_member(number, json_at(value, i), l);
    }
    l->arrays--;
    l->depth--;
}

static void look_at_member(const char *key, struct json *value, void *arg)
{
    struct looking *l = arg;
    const char *text = json_text(value);
    size_t n = strlen(l->path);
    bool is_deep = json_is_object(value) || json_length(value);
    enum site_outside kind;
    char name[sizeof(l->path)];

    if (l->rc)
        return;
    if (n + strlen(key) + 2 > sizeof(l->path) || (is_deep && l->depth >= DEPTH_MAX)) {
        l->rc = error_set(l->err, ERR_REFUSED, 0, "its settings are nested too deep to be looked at: %.64s...", key);
        return;
    }
    if (n)
        l->path[n] = BETWEEN;
    memcpy(l->path + n + (n > 0), key, strlen(key) + 1);
    if (is_deep)
        look_into(l, value);
    (void)snprintf(name, sizeof(name), "%s", l->path);
    for (char *dot = name; (dot = strchr(dot, BETWEEN));)
        *dot = '.';
    kind = l->rc ? SITE_OUTSIDE_NONE : judge_value(l, name, text);
    if (kind == SITE_OUTSIDE_EMPTY && !l->arrays)
        l->rc = text_list_add(l->emptied, l->path, l->err);
    else if (kind != SITE_OUTSIDE_NONE)
        l->rc = text_list_add(l->unknown, name, l->err);
    l->path[n] = '\0';
}

static enum error_kind put_value(struct buffer *bytes, const char *path, struct json *value, struct error *err)
{
    struct buffer out = BUFFER_INIT(FILE_MAX);
    const char *keys[DEPTH_MAX + 2] = {NULL};
    char *copy = NULL;
    char *rest = NULL;
    size_t n = 0;
    enum error_kind rc = memory_string(path, &copy, err);

    for (char *key = rc ? NULL : strtok_r(copy, "\n", &rest); key && n < DEPTH_MAX + 1;
         key = strtok_r(NULL, "\n", &rest))
        keys[n++] = key;
    if (!rc)
        rc = json_splice_value(bytes->data, bytes->len, keys, value, &out, err);
    if (!rc) {
        buffer_release_secret(bytes);
        *bytes = out; /* moved */
        out = (struct buffer)BUFFER_INIT(FILE_MAX);
    }
    buffer_release_secret(&out);
    free(copy);
    return rc;
}

/* .NET's configuration takes "true" for true. */
static bool is_on(struct json *v)
{
    const char *text = json_text(v);

    return text ? strcasecmp(text, "true") == 0 : json_flag(v, false);
}

/* Numbers and switches that only mean something with what was emptied. */
static enum error_kind put_all(const struct rehearsal *r, struct buffer *bytes, struct json *root,
                               const struct text_list *emptied, struct text_list *told, struct error *err)
{
    struct json *none = NULL;
    struct json *box = json_object();
    struct json *cache = json_get_nocase(root, "DistributedCacheConfig");
    enum error_kind rc = OK;

    json_put_text(box, "none", "");
    json_put_flag(box, "off", false);
    none = json_get(box, "none");
    for (size_t i = 0; i < emptied->count && !rc; i++) {
        rc = put_value(bytes, emptied->items[i], none, err);
        if (!rc)
            rc = text_list_add(told, emptied->items[i], err);
        for (char *at = told->count ? told->items[told->count - 1] : NULL; !rc && at && (at = strchr(at, BETWEEN));)
            *at = '.';
    }
    if (!rc && is_on(json_get_nocase(cache, "Enabled")) && !rehearse_is_allowed(r, "DistributedCacheConfig.Enabled") &&
        !rehearse_is_allowed(r, "DistributedCacheConfig.ConnectionString")) {
        rc = put_value(bytes, "DistributedCacheConfig\nEnabled", json_get(box, "off"), err);
        if (!rc)
            rc = text_list_add(told, "DistributedCacheConfig.Enabled", err);
    }
    json_free(box);
    return rc;
}

/* The tree is the copy's own: no file in it is linked, so that it may be written in place (H1). */
static enum error_kind write_back(int tree, const char *path, const struct buffer *bytes, struct error *err)
{
    int fd = -1;
    enum error_kind rc = walk_open_below(tree, path, O_WRONLY | O_TRUNC, &fd, err);

    if (!rc)
        rc = file_write(fd, bytes->data, bytes->len, path, err);
    file_close(&fd);
    return rc;
}

static enum error_kind read_file(int tree, const char *path, struct buffer *out, struct error *err)
{
    int fd = -1;
    size_t got = 0;
    unsigned char block[8192];
    enum error_kind rc = walk_open_below(tree, path, O_RDONLY | O_NONBLOCK, &fd, err);

    do {
        if (!rc)
            rc = file_read(fd, block, sizeof(block), &got, path, err);
        if (!rc)
            rc = buffer_append(out, block, got, err);
    } while (!rc && got);
    explicit_bzero(block, sizeof(block));
    file_close(&fd);
    return rc;
}

static enum error_kind settle_file(struct rehearsal *r, int tree, const char *path, struct text_list *told,
                                   struct error *err)
{
    struct text_list emptied = TEXT_LIST_INIT;
    struct text_list unknown = TEXT_LIST_INIT;
    struct buffer bytes = BUFFER_INIT(FILE_MAX);
    struct json *root = NULL;
    struct looking l = {.r = r, .emptied = &emptied, .unknown = &unknown, .err = err};
    size_t before = told->count;
    enum error_kind rc = read_file(tree, path, &bytes, err);

    if (!rc)
        rc = json_parse(bytes.data, bytes.len, &root, err);
    if (!rc) {
        look_into(&l, root);
        rc = l.rc;
    }
    if (!rc && unknown.count)
        rc = refuse(&unknown, err);
    if (!rc)
        rc = put_all(r, &bytes, root, &emptied, told, err);
    if (!rc && told->count > before)
        rc = write_back(tree, path, &bytes, err);
    if (rc)
        error_context(err, "%s", path);
    json_free(root);
    buffer_release_secret(&bytes);
    text_list_release(&emptied);
    text_list_release(&unknown);
    return rc;
}

/* In App_Data also what plugins keep there. */
static bool is_settings(const char *folder, const char *name)
{
    size_t n = strlen(name);

    return n > 5 && !strcasecmp(name + n - 5, ".json") && (*folder != '.' || !strncasecmp(name, "appsettings", 11));
}

static enum error_kind settle_entry(struct rehearsal *r, int tree, const char *folder, const char *name,
                                    struct text_list *told, struct error *err)
{
    char *path = NULL;
    enum error_kind rc = *folder == '.' ? memory_string(name, &path, err) : path_join(folder, name, &path, err);

    if (!rc && !rehearse_is_allowed(r, path)) {
        rc = settle_file(r, tree, path, told, err);
        if (rc == ERR_CORRUPT)
            error_hint(err, "where it is no settings of the shop, say so in the config: rehearse-allow = %s", path);
    }
    free(path);
    return rc;
}

static enum error_kind settle_folder(struct rehearsal *r, int tree, const char *folder, struct text_list *told,
                                     struct error *err)
{
    int fd = openat(tree, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    enum error_kind rc = OK;

    if (!dir && errno != ENOENT)
        rc = error_set(err, ERR_IO, errno, "%s/%s", r->place.tree, folder);
    if (!dir && fd >= 0)
        (void)close(fd);
    for (struct dirent *e = dir ? readdir(dir) : NULL; e && !rc; e = readdir(dir))
        if (is_settings(folder, e->d_name))
            rc = settle_entry(r, tree, folder, e->d_name, told, err);
    if (dir)
        closedir(dir);
    return rc;
}

/* ---- whose database ---- */

static enum error_kind lead_to_copy(struct rehearsal *r, int tree, const struct site_connection *c, struct error *err)
{
    struct buffer bytes = BUFFER_INIT(FILE_MAX);
    struct buffer spliced = BUFFER_INIT(FILE_MAX);
    enum error_kind rc = read_file(tree, c->file, &bytes, err);

    if (!rc)
        rc = memory_format(&r->string, err, "%s;Database=%s", c->string, r->place.name);
    if (!rc)
        rc = site_connection_splice(c->form, bytes.data, bytes.len, r->string, &spliced, err);
    if (!rc)
        rc = write_back(tree, c->file, &spliced, err);
    buffer_release_secret(&bytes);
    buffer_release_secret(&spliced);
    return rc;
}

/* Of the first stage: later ones get the copy's settings from it. */
static enum error_kind settle_first(struct rehearsal *r, int tree, struct error *err)
{
    struct site_connection c = {SITE_SETTINGS_NONE, NULL, NULL, NULL};
    enum error_kind rc = site_connection_read(r->place.tree, &r->context->to, false, &c, err);

    if (!rc && (!c.file || !c.string || !c.provider))
        rc = error_set(err, ERR_REFUSED, 0, "the new version's settings name no database");
    if (!rc)
        rc = lead_to_copy(r, tree, &c, err);
    site_connection_release(&c);
    return rc;
}

/* What the tree's own files say has to be the copy's: the environment that wins over them is not the only thing that keeps it away. */
static enum error_kind settle_connection(struct rehearsal *r, int tree, struct error *err)
{
    bool first = !r->string;
    struct database_target target = DATABASE_TARGET_INIT;
    enum error_kind rc = first ? settle_first(r, tree, err) : OK;

    site_connection_release(&r->connection);
    if (!rc)
        rc = site_connection_read(r->place.tree, &r->context->to, false, &r->connection, err);
    if (!rc && (!r->connection.string || !r->connection.provider))
        rc = error_set(err, ERR_REFUSED, 0, "the copy's settings name no database");
    if (!rc)
        rc = database_target_parse(r->connection.provider, r->connection.string, &target, err);
    if (!rc && (!target.name || strcmp(target.name, r->place.name) != 0))
        rc = error_set(err, ERR_REFUSED, 0, "the settings of the copy do not lead to its own database");
    if (!rc && first && target.password && *target.password)
        rc = memory_string(target.password, &r->password, err);
    if (!rc && first)
        rc = rehearse_network(r, &target, err);
    database_target_release(&target);
    return rc;
}

enum error_kind rehearse_settings(struct rehearsal *r, struct rehearse_result *out, struct error *err)
{
    int tree = -1;
    enum error_kind rc = file_open(AT_FDCWD, r->place.tree, O_RDONLY | O_DIRECTORY, 0, &tree, err);

    if (!rc)
        rc = settle_connection(r, tree, err);
    if (!rc)
        rc = settle_rows(r, &out->emptied, err);
    if (!rc)
        rc = settle_folder(r, tree, "App_Data", &out->emptied, err);
    if (!rc)
        rc = settle_folder(r, tree, ".", &out->emptied, err);
    file_close(&tree);
    return rc;
}
