/* Our json_object() and json-c's type of that name cannot both be seen in one file: here the type has another name. */
#define json_object json_c_object
#include <json-c/json_object.h>
#include <json-c/json_object_iterator.h>
#include <json-c/json_tokener.h>
#include <json-c/json_visit.h>
#undef json_object

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "json_internal.h"
#include "utf8_internal.h"

#define DEPTH_MAX 64

/* A struct json is json-c's own object under another name; null is NULL for both. */
static struct json_c_object *inner(struct json *v)
{
    return (struct json_c_object *)(void *)v;
}

static struct json *outer(struct json_c_object *v)
{
    return (struct json *)(void *)v;
}

/* Parsing */

/* Is nothing but white space and comments left? */
static bool only_blank(const char *p, size_t len)
{
    const char *end = p + len;

    while (p < end) {
        if (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n') {
            p++;
        } else if (end - p >= 2 && p[0] == '/' && p[1] == '/') {
            const char *line = memchr(p, '\n', (size_t)(end - p));

            p = line ? line : end;
        } else if (end - p >= 4 && p[0] == '/' && p[1] == '*') {
            const char *close = memmem(p + 2, (size_t)(end - p - 2), "*/", 2);

            if (!close)
                return false;
            p = close + 2;
        } else {
            return false;
        }
    }
    return true;
}

enum error_kind json_parse(const void *bytes, size_t len, struct json **out, struct error *err)
{
    static const char bom[] = "\xef\xbb\xbf";
    const char *text = bytes;
    struct json_tokener *tokener = NULL;
    struct json_c_object *root = NULL;
    enum json_tokener_error state;
    enum error_kind rc = OK;
    size_t used;

    if (len >= 3 && memcmp(text, bom, 3) == 0) {
        text += 3;
        len -= 3;
    }
    if (len >= INT_MAX)
        return error_set(err, ERR_CORRUPT, 0, "a JSON text of %zu bytes is too long", len);
    /* In a comment json-c takes a NUL for the end, and the value that is open there for the whole. */
    if (len > 0 && memchr(text, '\0', len))
        return error_set(err, ERR_CORRUPT, 0, "no valid JSON: it holds a NUL byte");
    tokener = json_tokener_new_ex(DEPTH_MAX);
    if (!tokener)
        return error_set(err, ERR_MEMORY, 0, "out of memory for reading JSON");
    root = json_tokener_parse_ex(tokener, text, (int)len);
    state = json_tokener_get_error(tokener);
    used = json_tokener_get_parse_end(tokener);
    if (state == json_tokener_continue) { /* a number, or a comment at the end, may go on until something else comes */
        root = json_tokener_parse_ex(tokener, "", 1);
        state = json_tokener_get_error(tokener);
        used = len;
        /* In a comment it takes the end for that of whatever value is open, and gives that one out as the whole. */
        if (state == json_tokener_success && tokener->depth > 0)
            state = json_tokener_continue;
    }
    if (state == json_tokener_continue)
        rc = error_set(err, ERR_CORRUPT, 0, "the JSON text ends in the middle of a value");
    else if (state != json_tokener_success)
        rc = error_set(err, ERR_CORRUPT, 0, "no valid JSON at byte %zu: %s", used, json_tokener_error_desc(state));
    else if (!only_blank(text + used, len - used))
        rc = error_set(err, ERR_CORRUPT, 0, "there is more text after the JSON value, at byte %zu", used);
    json_tokener_free(tokener);
    if (rc)
        json_object_put(root);
    else
        *out = outer(root);
    return rc;
}

void json_free(struct json *root)
{
    json_object_put(inner(root));
}

/* Reading */

struct json *json_get(struct json *v, const char *key)
{
    struct json_c_object *found = NULL;

    if (!json_object_is_type(inner(v), json_type_object))
        return NULL;
    return json_object_object_get_ex(inner(v), key, &found) ? outer(found) : NULL;
}

struct json *json_get_nocase(struct json *v, const char *key)
{
    struct json_object_iterator i;
    struct json_object_iterator end;
    struct json_c_object *exact = NULL;

    if (!json_object_is_type(inner(v), json_type_object))
        return NULL;
    if (json_object_object_get_ex(inner(v), key, &exact))
        return outer(exact);
    end = json_object_iter_end(inner(v));
    for (i = json_object_iter_begin(inner(v)); !json_object_iter_equal(&i, &end); json_object_iter_next(&i)) {
        if (strcasecmp(json_object_iter_peek_name(&i), key) == 0)
            return outer(json_object_iter_peek_value(&i));
    }
    return NULL;
}

const char *json_text(struct json *v)
{
    const char *text;

    if (!json_object_is_type(inner(v), json_type_string))
        return NULL;
    text = json_object_get_string(inner(v));
    /* A NUL inside would show every reader less than is there. */
    return text && strlen(text) == (size_t)json_object_get_string_len(inner(v)) ? text : NULL;
}

bool json_is_object(struct json *v)
{
    return json_object_is_type(inner(v), json_type_object);
}

int64_t json_number(struct json *v, int64_t fallback)
{
    return json_object_is_type(inner(v), json_type_int) ? json_object_get_int64(inner(v)) : fallback;
}

bool json_flag(struct json *v, bool fallback)
{
    return json_object_is_type(inner(v), json_type_boolean) ? json_object_get_boolean(inner(v)) : fallback;
}

size_t json_length(struct json *array)
{
    return json_object_is_type(inner(array), json_type_array) ? json_object_array_length(inner(array)) : 0;
}

struct json *json_at(struct json *array, size_t i)
{
    return i < json_length(array) ? outer(json_object_array_get_idx(inner(array), i)) : NULL;
}

void json_each(struct json *object, json_member_fn *fn, void *arg)
{
    struct json_object_iterator i;
    struct json_object_iterator end;

    if (!json_object_is_type(inner(object), json_type_object))
        return;
    end = json_object_iter_end(inner(object));
    for (i = json_object_iter_begin(inner(object)); !json_object_iter_equal(&i, &end); json_object_iter_next(&i))
        fn(json_object_iter_peek_name(&i), outer(json_object_iter_peek_value(&i)), arg);
}

/* Building: a container that could not take a member carries this mark, which json_print() looks for. */
static char incomplete;

static void mark(struct json *v)
{
    if (v)
        json_object_set_userdata(inner(v), &incomplete, NULL);
}

static int find_mark(struct json_c_object *v, int flags, struct json_c_object *parent, const char *key, size_t *index,
                     void *found)
{
    (void)flags;
    (void)parent;
    (void)key;
    (void)index;
    if (v && (json_object_is_type(v, json_type_object) || json_object_is_type(v, json_type_array)) &&
        json_object_get_userdata(v) == &incomplete) {
        *(bool *)found = true;
        return JSON_C_VISIT_RETURN_STOP;
    }
    return JSON_C_VISIT_RETURN_CONTINUE;
}

struct json *json_object(void)
{
    return outer(json_object_new_object());
}

struct json *json_array(void)
{
    return outer(json_object_new_array());
}

void json_put(struct json *object, const char *key, struct json *value)
{
    if (!object || !value || json_object_object_add(inner(object), key, inner(value))) {
        json_object_put(inner(value));
        mark(object);
    }
}

void json_push(struct json *array, struct json *value)
{
    if (!array || !value || json_object_array_add(inner(array), inner(value))) {
        json_object_put(inner(value));
        mark(array);
    }
}

/* A string value of any bytes; NULL if there is no memory. */
static struct json *new_text(const char *text, size_t len)
{
    static const char replacement[] = "\xef\xbf\xbd";
    struct buffer clean = BUFFER_INIT(INT_MAX / 4);
    struct error ignored = ERROR_INIT;
    struct json_c_object *value = NULL;
    enum error_kind rc = OK;

    rc = buffer_reserve(&clean, len, &ignored);
    for (size_t i = 0; i < len && !rc;) {
        uint32_t v;
        size_t n = utf8_length((const unsigned char *)text + i, len - i, &v);

        rc = n > 0 ? buffer_append(&clean, text + i, n, &ignored) : buffer_append_text(&clean, replacement, &ignored);
        i += n > 0 ? n : 1;
    }
    if (!rc)
        value = json_object_new_string_len((const char *)clean.data, (int)clean.len);
    buffer_release_secret(&clean);
    return outer(value);
}

void json_put_text(struct json *object, const char *key, const char *text)
{
    if (text)
        json_put(object, key, new_text(text, strlen(text)));
    else if (!object || json_object_object_add(inner(object), key, NULL))
        mark(object);
}

void json_replace_text(struct json *object, const char *key, const char *text)
{
    struct json *member = json_get_nocase(object, key);

    if (json_object_is_type(inner(member), json_type_string) && !json_object_set_string(inner(member), text))
        mark(object);
}

void json_push_text(struct json *array, const char *text)
{
    json_push(array, new_text(text, strlen(text)));
}

void json_push_null(struct json *array)
{
    if (!array || json_object_array_add(inner(array), NULL))
        mark(array);
}

struct json *json_copy(struct json *v)
{
    struct json_c_object *copy = NULL;

    if (v && json_object_deep_copy(inner(v), &copy, NULL))
        return NULL;
    return outer(copy);
}

void json_set_nocase(struct json *object, const char *key, struct json *value)
{
    struct json_object_iterator i;
    struct json_object_iterator end;
    struct json *copy = json_copy(value);

    if (!json_is_object(object) || (value && !copy)) {
        json_free(copy);
        mark(object);
        return;
    }
    end = json_object_iter_end(inner(object));
    for (i = json_object_iter_begin(inner(object)); !json_object_iter_equal(&i, &end); json_object_iter_next(&i)) {
        if (strcasecmp(json_object_iter_peek_name(&i), key) == 0) {
            key = json_object_iter_peek_name(&i);
            break;
        }
    }
    if (json_object_object_add(inner(object), key, inner(copy))) {
        json_free(copy);
        mark(object);
    }
}

void json_put_bytes(struct json *object, const char *key, const void *bytes, size_t len)
{
    const unsigned char *p = bytes;
    struct buffer shown = BUFFER_INIT(INT_MAX / 4);
    struct error ignored = ERROR_INIT;
    struct json_c_object *value = NULL;
    enum error_kind rc = buffer_reserve(&shown, len, &ignored);

    for (size_t i = 0; i < len && !rc;) {
        uint32_t v = 0;
        size_t n = utf8_length(p + i, len - i, &v);

        if (n == 0 || v == 0)
            rc = buffer_append_format(&shown, &ignored, "\\x%02x", p[i]);
        else if (v == '\\')
            rc = buffer_append_text(&shown, "\\\\", &ignored);
        else
            rc = buffer_append(&shown, p + i, n, &ignored);
        i += n > 0 ? n : 1;
    }
    if (!rc)
        value = json_object_new_string_len((const char *)shown.data, (int)shown.len);
    buffer_release(&shown);
    json_put(object, key, outer(value));
}

void json_put_number(struct json *object, const char *key, int64_t n)
{
    json_put(object, key, outer(json_object_new_int64(n)));
}

void json_put_flag(struct json *object, const char *key, bool on)
{
    json_put(object, key, outer(json_object_new_boolean(on)));
}

/* The byte that two hexadecimal digits stand for, or -1. */
static int hex_byte(const char *p)
{
    static const char digits[] = "0123456789abcdef";
    const char *high = *p != '\0' ? strchr(digits, p[0]) : NULL;
    const char *low = high && p[1] != '\0' ? strchr(digits, p[1]) : NULL;

    return low ? (int)(16 * (high - digits) + (low - digits)) : -1;
}

enum error_kind json_bytes(struct json *v, struct buffer *out, struct error *err)
{
    const char *p;
    enum error_kind rc = OK;
    size_t had = out->len;

    if (!json_text(v))
        return error_set(err, ERR_CORRUPT, 0, "a JSON string was expected");
    for (p = json_text(v); *p != '\0' && !rc;) {
        size_t plain = strcspn(p, "\\");
        unsigned char byte;

        rc = buffer_append(out, p, plain, err);
        p += plain;
        if (rc || *p == '\0')
            break;
        if (p[1] == '\\') {
            byte = '\\';
            p += 2;
        } else if (p[1] == 'x' && hex_byte(p + 2) >= 0) {
            byte = (unsigned char)hex_byte(p + 2);
            p += 4;
        } else {
            rc = error_set(err, ERR_CORRUPT, 0, "a name holds a malformed escape");
            break;
        }
        rc = buffer_append(out, &byte, 1, err);
    }
    if (rc)
        out->len = had;
    return rc;
}

enum error_kind json_print(struct json *root, struct buffer *out, struct error *err)
{
    bool broken = false;
    const char *line = NULL;
    size_t len = 0;

    if (root)
        json_c_visit(inner(root), 0, find_mark, &broken);
    if (root && !broken)
        line = json_object_to_json_string_length(inner(root), JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE,
                                                 &len);
    if (!line)
        return error_set(err, ERR_MEMORY, 0, "out of memory while writing JSON");
    return buffer_append(out, line, len, err);
}

/* Does the next line only close what this one opened? json-c gives an empty container two lines, .NET one. */
static bool is_empty_container(const char *line, size_t len, const char *next)
{
    next += strspn(next, " ");
    return len > 0 && ((line[len - 1] == '{' && *next == '}') || (line[len - 1] == '[' && *next == ']'));
}

/* json-c ends its lines with '\n', which no string holds unescaped. */
enum error_kind json_print_indented(struct json *root, const char *line_end, const char *indent, struct buffer *out,
                                    struct error *err)
{
    bool broken = false;
    const char *text = NULL;
    size_t len = 0;
    enum error_kind rc = OK;

    if (!root)
        return buffer_append_text(out, "null", err);
    json_c_visit(inner(root), 0, find_mark, &broken);
    if (!broken)
        text = json_object_to_json_string_length(
            inner(root), JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
    if (!text)
        return error_set(err, ERR_MEMORY, 0, "out of memory while writing JSON");
    while (!rc) {
        size_t line = strcspn(text, "\n");
        const char *start = text;

        rc = buffer_append(out, text, line, err);
        text += line;
        if (*text == '\0')
            break;
        text++;
        if (is_empty_container(start, line, text)) {
            text += strspn(text, " ");
            continue;
        }
        if (!rc)
            rc = buffer_append_text(out, line_end, err);
        if (!rc)
            rc = buffer_append_text(out, indent, err);
    }
    return rc;
}
