#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "json_internal.h"

/*
 * json-c tells what a text means but not where it stands. This finds the place; json-c then judges the result,
 * so that a text which the two understand differently is refused and never written.
 */

struct scan {
    const char *at;
    const char *end;
};

/* From quote to quote, in the raw text. */
struct token {
    const char *start;
    size_t len;
};

static void skip_blank(struct scan *s)
{
    for (;;) {
        while (s->at < s->end && strchr(" \t\r\n", *s->at) && *s->at != '\0')
            s->at++;
        if (s->end - s->at < 2 || s->at[0] != '/' || (s->at[1] != '/' && s->at[1] != '*'))
            return;
        if (s->at[1] == '/') {
            const char *line = memchr(s->at, '\n', (size_t)(s->end - s->at));

            s->at = line ? line : s->end;
        } else {
            const char *close = memmem(s->at + 2, (size_t)(s->end - s->at - 2), "*/", 2);

            s->at = close ? close + 2 : s->end;
        }
    }
}

static bool take(struct scan *s, char c)
{
    skip_blank(s);
    if (s->at >= s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

static bool take_string(struct scan *s, struct token *out)
{
    char quote;

    skip_blank(s);
    if (s->at >= s->end || (*s->at != '"' && *s->at != '\''))
        return false;
    quote = *s->at;
    out->start = s->at++;
    while (s->at < s->end && *s->at != quote)
        s->at += *s->at == '\\' && s->end - s->at > 1 ? 2 : 1;
    if (s->at >= s->end)
        return false;
    s->at++;
    out->len = (size_t)(s->at - out->start);
    return true;
}

/* Passes over one value of any kind; brackets inside strings and comments do not count. */
static bool skip_value(struct scan *s)
{
    struct token ignored;
    size_t depth = 0;

    do {
        skip_blank(s);
        if (s->at >= s->end)
            return false;
        if (*s->at == '"' || *s->at == '\'') {
            if (!take_string(s, &ignored))
                return false;
        } else if (*s->at == '{' || *s->at == '[') {
            depth++;
            s->at++;
        } else if (*s->at == '}' || *s->at == ']') {
            if (depth == 0)
                return false;
            depth--;
            s->at++;
        } else if (depth > 0 && (*s->at == ',' || *s->at == ':')) {
            s->at++;
        } else {
            const char *start = s->at;

            while (s->at < s->end && !strchr(",:]}[{\"'/ \t\r\n", *s->at))
                s->at++;
            if (s->at == start)
                return false;
        }
    } while (depth > 0);
    return true;
}

/* Does the raw key mean this name? .NET's configuration ignores case. */
static bool key_is(const struct token *raw, const char *name)
{
    struct error ignored = ERROR_INIT;
    struct json *decoded = NULL;
    const char *text;
    bool same;

    if (json_parse(raw->start, raw->len, &decoded, &ignored))
        return false;
    text = json_text(decoded);
    same = text && strcasecmp(text, name) == 0;
    json_free(decoded);
    return same;
}

/* Moves to the value of a member of the object that starts here. */
static bool enter_member(struct scan *s, const char *name)
{
    struct token key;

    if (!take(s, '{'))
        return false;
    while (take_string(s, &key)) {
        if (!take(s, ':'))
            return false;
        if (key_is(&key, name))
            return true;
        if (!skip_value(s) || !take(s, ','))
            return false;
    }
    return false;
}

static bool find_value(const void *bytes, size_t len, const char *const *path, struct token *out)
{
    struct scan s = {bytes, (const char *)bytes + len};

    if (len >= 3 && memcmp(s.at, "\xef\xbb\xbf", 3) == 0)
        s.at += 3;
    for (; *path; path++) {
        if (!enter_member(&s, *path))
            return false;
    }
    return take_string(&s, out);
}

/* The value as a JSON string with its quotes. */
static enum error_kind quote(const char *value, struct buffer *out, struct error *err)
{
    static const char prefix[] = "{\"v\":";
    struct buffer line = BUFFER_INIT(1 << 20);
    struct json *object = json_object();
    enum error_kind rc;

    json_put_text(object, "v", value);
    rc = json_print(object, &line, err);
    if (!rc)
        rc = buffer_append(out, line.data + strlen(prefix), line.len - strlen(prefix) - 1, err);
    json_free(object);
    buffer_release_secret(&line);
    return rc;
}

/* Do both texts mean the same but for the value at the path, which in the new one is what was asked for? */
static enum error_kind prove(const void *old, size_t old_len, const struct buffer *made, const char *const *path,
                             const char *value, struct error *err)
{
    struct buffer before = BUFFER_INIT(64 << 20);
    struct buffer after = BUFFER_INIT(64 << 20);
    struct json *old_root = NULL;
    struct json *new_root = NULL;
    struct json *parent;
    struct json *now;
    const char *text;
    enum error_kind rc;

    rc = json_parse(old, old_len, &old_root, err);
    if (!rc)
        rc = json_parse(made->data, made->len, &new_root, err);
    if (rc)
        goto done;
    parent = old_root;
    now = new_root;
    for (; *path; path++) {
        now = json_get_nocase(now, *path);
        if (path[1])
            parent = json_get_nocase(parent, *path);
        else
            json_replace_text(parent, *path, value);
    }
    text = json_text(now);
    rc = json_print(old_root, &before, err);
    if (!rc)
        rc = json_print(new_root, &after, err);
    if (!rc && (!text || strcmp(text, value) != 0 || before.len != after.len ||
                memcmp(before.data, after.data, after.len) != 0))
        rc = error_set(err, ERR_REFUSED, 0, "the settings are written in a way that does not allow changing one value");

done:
    json_free(old_root);
    json_free(new_root);
    buffer_release_secret(&before);
    buffer_release_secret(&after);
    return rc;
}

enum error_kind json_splice_text(const void *bytes, size_t len, const char *const *path, const char *value,
                                 struct buffer *out, struct error *err)
{
    struct buffer made = BUFFER_INIT(64 << 20);
    struct json *root = NULL;
    struct token old;
    const char *start = bytes;
    enum error_kind rc;

    rc = json_parse(bytes, len, &root, err); /* limits depth, and tells broken from absent */
    if (rc)
        return rc;
    json_free(root);
    if (!path[0] || !find_value(bytes, len, path, &old))
        return error_set(err, ERR_NOT_FOUND, 0, "the settings hold no string %s", path[0] ? path[0] : "");
    rc = buffer_append(&made, start, (size_t)(old.start - start), err);
    if (!rc)
        rc = quote(value, &made, err);
    if (!rc)
        rc = buffer_append(&made, old.start + old.len, len - (size_t)(old.start + old.len - start), err);
    if (!rc)
        rc = prove(bytes, len, &made, path, value, err);
    if (!rc)
        rc = buffer_append(out, made.data, made.len, err);
    buffer_release_secret(&made);
    return rc;
}
