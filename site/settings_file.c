/* One settings file between two trees: read, changed by splicing, handed to the plan. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "settings_internal.h"

#define NAME_MAX_LEN 256 /* "Section:Key" */

static const char mark[] = "\xef\xbb\xbf";

enum error_kind settings_file_read(const char *root, const char *path, struct settings_file *out, struct error *err)
{
    struct error problem = ERROR_INIT;
    char *found = NULL;
    char *full = NULL;
    enum error_kind rc;

    rc = site_file_find(root, path, &found, &problem);
    if (rc == ERR_NOT_FOUND)
        return OK;
    if (!rc)
        rc = path_join(root, found, &full, &problem);
    if (!rc)
        rc = file_read_whole(AT_FDCWD, full, SITE_TEXT_MAX, &out->bytes, &problem);
    if (!rc)
        rc = buffer_append_text(&out->bytes, "", &problem); /* an empty file has data too */
    free(full);
    if (rc) {
        free(found);
        if (rc == ERR_NOT_FOUND) /* a symlink to nowhere: the application sees no file either */
            return OK;
        error_copy(err, &problem);
        error_hint(err, "run nopsnap as root or as the shop's user");
        return rc;
    }
    out->from = found;
    return OK;
}

enum error_kind settings_file_new(const struct settings_file *like, struct settings_file *out, struct error *err)
{
    const char *line = like->bytes.data ? memchr(like->bytes.data, '\n', like->bytes.len) : NULL;
    bool windows = line && line > (const char *)like->bytes.data && line[-1] == '\r';
    enum error_kind rc;

    rc = memory_string(like->from, &out->from, err);
    if (!rc)
        rc = buffer_append_format(&out->bytes, err, "%s{%s}", mark, windows ? "\r\n" : "\n");
    out->changed = true;
    return rc;
}

static bool is_utf16(const struct buffer *b)
{
    return b->len >= 2 && ((b->data[0] == 0xff && b->data[1] == 0xfe) || (b->data[0] == 0xfe && b->data[1] == 0xff));
}

static enum error_kind unusable(const struct settings_file *f, const char *what, struct error *err)
{
    error_set(err, ERR_REFUSED, 0, "the settings in %s can't be converted: %s", f->from, what);
    error_hint(err, "mend that file in the shop, then plan again");
    return ERR_REFUSED;
}

enum error_kind settings_file_json(const struct settings_file *f, struct json **out, struct error *err)
{
    struct error problem = ERROR_INIT;
    struct json *root = NULL;
    enum error_kind rc;

    if (is_utf16(&f->bytes))
        return unusable(f, "it is written in UTF-16", err);
    rc = json_parse(f->bytes.data, f->bytes.len, &root, &problem);
    if (rc == ERR_CORRUPT)
        return unusable(f, problem.text, err);
    if (rc) {
        error_copy(err, &problem);
        return rc;
    }
    if (!json_is_object(root)) {
        json_free(root);
        return unusable(f, "it holds no JSON object", err);
    }
    *out = root;
    return OK;
}

/* "Section:Key" as a path of keys, in `space`. */
static void split(const char *name, char space[NAME_MAX_LEN], const char *path[3])
{
    char *colon;

    strncpy(space, name, NAME_MAX_LEN - 1);
    space[NAME_MAX_LEN - 1] = '\0';
    colon = strchr(space, ':');
    path[0] = space;
    path[1] = NULL;
    path[2] = NULL;
    if (colon) {
        *colon = '\0';
        path[1] = colon + 1;
    }
}

const char *settings_key_shown(const char *key)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t len = strlen(key);

    return len > 0 && len <= 60 && strspn(key, plain) == len ? key : "a line that is no setting";
}

struct json *settings_value(struct json *root, const char *name)
{
    char space[NAME_MAX_LEN];
    const char *path[3];
    struct json *v;

    split(name, space, path);
    v = json_get_nocase(root, path[0]);
    return path[1] ? json_get_nocase(v, path[1]) : v;
}

static bool same_value(struct json *a, struct json *b)
{
    struct buffer left = BUFFER_INIT(SETTINGS_MAX);
    struct buffer right = BUFFER_INIT(SETTINGS_MAX);
    struct error ignored = ERROR_INIT;
    bool same = a && b && !json_print(a, &left, &ignored) && !json_print(b, &right, &ignored) &&
                left.len == right.len && memcmp(left.data, right.data, left.len) == 0;

    buffer_release_secret(&left);
    buffer_release_secret(&right);
    return same;
}

enum error_kind settings_file_set(struct settings_file *f, const char *name, struct json *value, struct error *err)
{
    struct buffer made = BUFFER_INIT(SETTINGS_MAX);
    struct error problem = ERROR_INIT;
    struct json *root = NULL;
    char space[NAME_MAX_LEN];
    const char *path[3];
    enum error_kind rc = OK;

    split(name, space, path);
    if (f->bytes.len > 0)
        rc = settings_file_json(f, &root, err);
    if (rc || same_value(settings_value(root, name), value))
        goto done;
    rc = json_splice_value(f->bytes.data, f->bytes.len, path, value, &made, &problem);
    if (rc == ERR_REFUSED || rc == ERR_CORRUPT)
        rc = unusable(f, problem.text, err);
    else if (rc)
        error_copy(err, &problem);
    if (rc)
        goto done;
    buffer_release_secret(&f->bytes);
    f->bytes = made;
    made = (struct buffer)BUFFER_INIT(SETTINGS_MAX);
    f->changed = true;

done:
    json_free(root);
    buffer_release_secret(&made);
    return rc;
}

void settings_file_release(struct settings_file *f)
{
    free(f->from);
    buffer_release_secret(&f->bytes);
    *f = (struct settings_file)SETTINGS_FILE_INIT;
}

enum error_kind settings_add(struct conversion *c, const char *path, struct settings_file *f, struct error *err)
{
    struct site_settings *out = c->out;
    struct site_settings_file *files = reallocarray(out->files, out->count + 1, sizeof(*files));
    char *copy = NULL;
    enum error_kind rc;

    if (!files)
        return error_set(err, ERR_MEMORY, 0, "out of memory for settings");
    out->files = files;
    rc = memory_string(path, &copy, err);
    if (rc)
        return rc;
    files[out->count++] = (struct site_settings_file){copy, f->from, f->bytes, f->changed};
    *f = (struct settings_file)SETTINGS_FILE_INIT;
    return OK;
}

enum error_kind settings_copy(struct conversion *c, const char *from, const char *to, struct error *err)
{
    struct settings_file f = SETTINGS_FILE_INIT;
    enum error_kind rc = settings_file_read(c->request->old_root, from, &f, err);

    if (!rc && f.from)
        rc = settings_add(c, to, &f, err);
    settings_file_release(&f);
    return rc;
}
