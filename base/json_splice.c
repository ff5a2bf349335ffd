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

/* ---- any value, also one that is not there yet ---- */

/* Where an object's member stands, or would be added. */
struct place {
    const char *value; /* of the member, or NULL: there is none */
    const char *key;
    const char *value_end;
    const char *open;        /* the object's '{' */
    const char *close;       /* its '}' */
    const char *last_key;    /* of its last member, or NULL: it is empty */
    const char *last_value;  /* just behind it */
    bool comma;              /* one follows the last member */
    const char *const *rest; /* the keys that are missing, the wanted one last */
};

static const char *value_start(struct scan *s)
{
    skip_blank(s);
    return s->at;
}

/* Goes through the object that starts here: the member is found, or the place behind the last one. */
static bool search_object(struct scan *s, const char *name, struct place *out)
{
    struct token key;

    out->value = NULL;
    out->last_key = NULL;
    out->comma = false;
    if (!take(s, '{'))
        return false;
    out->open = s->at - 1;
    while (take_string(s, &key)) {
        const char *start;

        if (!take(s, ':'))
            return false;
        start = value_start(s);
        if (!skip_value(s))
            return false;
        if (key_is(&key, name)) {
            out->key = key.start;
            out->value = start;
            out->value_end = s->at;
            return true;
        }
        out->last_key = key.start;
        out->last_value = s->at;
        out->comma = take(s, ',');
        if (!out->comma)
            break;
    }
    skip_blank(s);
    out->close = s->at;
    return s->at < s->end && *s->at == '}';
}

/* ERR_REFUSED where something on the way is no object, or is written in a way that is not understood. */
static enum error_kind find_place(const char *text, size_t len, const char *const *path, struct place *out,
                                  struct error *err)
{
    struct scan s = {text, text + len};

    for (; *path; path++) {
        if (!search_object(&s, *path, out))
            return error_set(err, ERR_REFUSED, 0, "the settings hold no object where %s belongs", *path);
        out->rest = path;
        if (!out->value)
            return OK;
        s.at = out->value;
    }
    return OK;
}

/* How the lines of a text end; '\n' for a text of one line. */
static const char *line_end_of(const char *text, size_t len)
{
    const char *line = memchr(text, '\n', len);

    return line && line > text && line[-1] == '\r' ? "\r\n" : "\n";
}

/* The blanks at the beginning of the line in which `at` stands; *first tells whether nothing else is before it. */
static enum error_kind indent_of(const char *text, const char *at, bool *first, struct buffer *out, struct error *err)
{
    const char *line = at;
    const char *end;

    while (line > text && line[-1] != '\n')
        line--;
    for (end = line; end < at && (*end == ' ' || *end == '\t');)
        end++;
    *first = end == at;
    return buffer_append(out, line, (size_t)(end - line), err);
}

/* The value with the objects that are missing above it. */
static enum error_kind wrap(const char *const *keys, struct json *value, struct json **out, struct error *err)
{
    size_t depth = 0;
    struct json *inner = json_copy(value);

    if (value && !inner)
        return error_set(err, ERR_MEMORY, 0, "out of memory for a setting");
    while (keys[depth])
        depth++;
    while (depth > 1) {
        struct json *outer = json_object();

        depth--;
        json_set_nocase(outer, keys[depth], inner);
        json_free(inner);
        inner = outer;
    }
    *out = inner;
    return OK;
}

/* Over several lines with a line end, else in one. */
static enum error_kind print_value(struct json *value, const char *line_end, const char *indent, struct buffer *out,
                                   struct error *err)
{
    if (!value)
        return buffer_append_text(out, "null", err);
    return line_end ? json_print_indented(value, line_end, indent, out, err) : json_print(value, out, err);
}

static enum error_kind member(const char *const *keys, struct json *value, const char *line_end, const char *indent,
                              struct buffer *out, struct error *err)
{
    struct json *whole = NULL;
    enum error_kind rc = quote(keys[0], out, err);

    if (!rc)
        rc = buffer_append_text(out, ": ", err);
    if (!rc)
        rc = wrap(keys, value, &whole, err);
    if (!rc)
        rc = print_value(whole, line_end, indent, out, err);
    json_free(whole);
    return rc;
}

/* Behind the last member, in a line of its own unless the object stands in one line with its members. */
static enum error_kind add_member(const char *text, size_t len, const struct place *place, struct json *value,
                                  struct buffer *out, struct error *err)
{
    struct buffer indent = BUFFER_INIT(1 << 20);
    struct buffer outer = BUFFER_INIT(1 << 20);
    const char *line_end = line_end_of(text, len);
    const char *at = place->close;
    bool own_line = true;
    bool ignored;
    enum error_kind rc;

    while (at > place->open + 1 && at[-1] != '\0' && strchr(" \t\r\n", at[-1]))
        at--;
    rc = indent_of(text, place->open, &ignored, &outer, err);
    if (!rc && place->last_key)
        rc = indent_of(text, place->last_key, &own_line, &indent, err);
    else if (!rc)
        rc = buffer_append_format(&indent, err, "%s  ", (const char *)outer.data);
    if (!rc && place->last_key && !place->comma) {
        rc = buffer_append(out, text, (size_t)(place->last_value - text), err);
        if (!rc)
            rc = buffer_append_text(out, ",", err);
        if (!rc)
            rc = buffer_append(out, place->last_value, (size_t)(at - place->last_value), err);
    } else if (!rc) {
        rc = buffer_append(out, text, (size_t)(at - text), err);
    }
    if (!rc)
        rc = buffer_append_format(out, err, "%s%s", own_line ? line_end : " ",
                                  own_line ? (const char *)indent.data : "");
    if (!rc)
        rc = member(place->rest, value, own_line ? line_end : NULL, (const char *)indent.data, out, err);
    if (!rc && own_line && !memchr(at, '\n', (size_t)(place->close - at)))
        rc = buffer_append_format(out, err, "%s%s", line_end, (const char *)outer.data);
    if (!rc && (!own_line || memchr(at, '\n', (size_t)(place->close - at))))
        rc = buffer_append(out, at, (size_t)(place->close - at), err);
    if (!rc)
        rc = buffer_append(out, place->close, len - (size_t)(place->close - text), err);
    buffer_release(&indent);
    buffer_release(&outer);
    return rc;
}

static enum error_kind replace_value(const char *text, size_t len, const struct place *place, struct json *value,
                                     struct buffer *out, struct error *err)
{
    struct buffer indent = BUFFER_INIT(1 << 20);
    bool own_line;
    enum error_kind rc = indent_of(text, place->key, &own_line, &indent, err);

    if (!rc)
        rc = buffer_append(out, text, (size_t)(place->value - text), err);
    if (!rc)
        rc = print_value(value, own_line ? line_end_of(text, len) : NULL, (const char *)indent.data, out, err);
    if (!rc)
        rc = buffer_append(out, place->value_end, len - (size_t)(place->value_end - text), err);
    buffer_release(&indent);
    return rc;
}

/* Set the value in a parsed text, as the splice does in the written one. */
static void set_parsed(struct json *root, const char *const *path, struct json *value)
{
    for (; path[1]; path++) {
        struct json *below = json_get_nocase(root, *path);

        if (!below) {
            struct json *fresh = json_object();

            json_set_nocase(root, *path, fresh);
            json_free(fresh);
            below = json_get_nocase(root, *path);
        }
        root = below;
    }
    json_set_nocase(root, *path, value);
}

static enum error_kind prove_value(const char *text, size_t len, const struct buffer *made, const char *const *path,
                                   struct json *value, struct error *err)
{
    struct buffer before = BUFFER_INIT(64 << 20);
    struct buffer after = BUFFER_INIT(64 << 20);
    struct json *wanted = NULL;
    struct json *got = NULL;
    enum error_kind rc;

    rc = json_parse(text, len, &wanted, err);
    if (!rc)
        rc = json_parse(made->data, made->len, &got, err);
    if (rc)
        goto done;
    if (!json_is_object(wanted) || !json_is_object(got)) {
        rc = error_set(err, ERR_REFUSED, 0, "the settings are no JSON object");
        goto done;
    }
    set_parsed(wanted, path, value);
    rc = json_print(wanted, &before, err);
    if (!rc)
        rc = json_print(got, &after, err);
    if (!rc && (before.len != after.len || memcmp(before.data, after.data, after.len) != 0))
        rc = error_set(err, ERR_REFUSED, 0, "the settings are written in a way that does not allow changing one value");

done:
    json_free(wanted);
    json_free(got);
    buffer_release_secret(&before);
    buffer_release_secret(&after);
    return rc;
}

enum error_kind json_splice_value(const void *bytes, size_t len, const char *const *path, struct json *value,
                                  struct buffer *out, struct error *err)
{
    static const char bom[] = "\xef\xbb\xbf";
    struct buffer made = BUFFER_INIT(64 << 20);
    struct json *root = NULL;
    struct place place = {NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL};
    const char *text = bytes;
    size_t mark = len >= 3 && memcmp(bytes, bom, 3) == 0 ? 3 : 0;
    enum error_kind rc;

    if (len == mark) {
        text = mark ? "\xef\xbb\xbf{}" : "{}";
        len += 2;
    }
    rc = json_parse(text, len, &root, err);
    if (rc)
        return rc;
    json_free(root);
    if (!path[0])
        return error_set(err, ERR_NOT_FOUND, 0, "no setting was named");
    rc = find_place(text + mark, len - mark, path, &place, err);
    if (!rc)
        rc = buffer_append(&made, text, mark, err);
    if (!rc && place.value)
        rc = replace_value(text + mark, len - mark, &place, value, &made, err);
    else if (!rc)
        rc = add_member(text + mark, len - mark, &place, value, &made, err);
    if (!rc)
        rc = prove_value(text, len, &made, path, value, err);
    if (!rc)
        rc = buffer_append(out, made.data, made.len, err);
    buffer_release_secret(&made);
    return rc;
}
