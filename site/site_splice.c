#include <string.h>

#include "json.h"
#include "site_internal.h"

/* Settings.txt: the value of the last DataConnectionString line, which is the one that counts. */
struct place {
    size_t start;
    size_t end;
    bool found;
};

static bool blank(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static bool is_key(const unsigned char *p, size_t len)
{
    static const char key[] = "DataConnectionString";

    while (len > 0 && blank(*p)) {
        p++;
        len--;
    }
    while (len > 0 && blank(p[len - 1]))
        len--;
    return len == sizeof(key) - 1 && memcmp(p, key, len) == 0;
}

static struct place find_value(const unsigned char *bytes, size_t len)
{
    struct place place = {0, 0, false};
    size_t at = len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;

    while (at < len) {
        const unsigned char *newline = memchr(bytes + at, '\n', len - at);
        size_t end = newline ? (size_t)(newline - bytes) : len;
        const unsigned char *colon = memchr(bytes + at, ':', end - at);

        if (colon && is_key(bytes + at, (size_t)(colon - bytes) - at)) {
            place.start = (size_t)(colon - bytes) + 1;
            place.end = end;
            while (place.start < place.end && blank(bytes[place.start]))
                place.start++;
            while (place.end > place.start && blank(bytes[place.end - 1]))
                place.end--;
            place.found = true;
        }
        at = end + 1;
    }
    return place;
}

static enum error_kind splice_txt(const unsigned char *bytes, size_t len, const char *value, struct buffer *out,
                                  struct error *err)
{
    struct place place = find_value(bytes, len);
    size_t value_len = strlen(value);
    enum error_kind rc;

    if (!place.found)
        return error_set(err, ERR_NOT_FOUND, 0, "Settings.txt has no DataConnectionString line");
    if (strpbrk(value, "\r\n") ||
        (value_len > 0 && (blank((unsigned char)value[0]) || blank((unsigned char)value[value_len - 1]))))
        return error_set(err, ERR_REFUSED, 0, "this connection string can't stand on one line of Settings.txt");
    rc = buffer_append(out, bytes, place.start, err);
    if (!rc)
        rc = buffer_append(out, value, value_len, err);
    if (!rc)
        rc = buffer_append(out, bytes + place.end, len - place.end, err);
    return rc;
}

static enum error_kind splice_app(const void *bytes, size_t len, const char *value, struct buffer *out,
                                  struct error *err)
{
    static const char *const section[] = {"ConnectionStrings", "ConnectionString", NULL};
    static const char *const flat[] = {"ConnectionStrings:ConnectionString", NULL};
    enum error_kind rc;

    rc = json_splice_text(bytes, len, section, value, out, err);
    if (rc == ERR_NOT_FOUND) {
        struct error other = ERROR_INIT;

        if (!json_splice_text(bytes, len, flat, value, out, &other))
            return OK;
    }
    return rc;
}

enum error_kind site_connection_splice(enum site_settings_form form, const void *bytes, size_t len,
                                       const char *connection_string, struct buffer *out, struct error *err)
{
    static const char *const data[] = {"DataConnectionString", NULL};
    const unsigned char *p = bytes;
    size_t before = out->len;
    enum error_kind rc;

    if (len >= 2 && ((p[0] == 0xff && p[1] == 0xfe) || (p[0] == 0xfe && p[1] == 0xff)))
        rc = error_set(err, ERR_REFUSED, 0, "the settings file is UTF-16 and can't be changed in place");
    else if (form == SITE_SETTINGS_TXT)
        rc = splice_txt(p, len, connection_string, out, err);
    else if (form == SITE_SETTINGS_DATA_JSON)
        rc = json_splice_text(bytes, len, data, connection_string, out, err);
    else if (form == SITE_SETTINGS_APP_JSON)
        rc = splice_app(bytes, len, connection_string, out, err);
    else
        rc = error_set(err, ERR_REFUSED, 0, "the connection string is not in a settings file");
    if (rc) {
        error_hint(err, "put the connection string into the restored settings by hand");
        if (out->data) {
            out->len = before;
            out->data[before] = '\0';
        }
    }
    return rc;
}
