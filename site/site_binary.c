/*
 * What Nop.Core.dll says of itself, found in one pass over its bytes in bounded memory, without trusting any offset in
 * it (P11).
 *
 * nopCommerce's version is a string literal. In a .NET assembly a literal stands in a metadata heap with its length
 * before it: 2n+1 and a closing 0 or 1 in #US, 2n in #Blob (constants). That tells it from the strings of the version
 * resource, which look alike but lack the minor number: 4.90.4 has "4.90.0" there, of the same length.
 */
#include <fcntl.h>
#include <string.h>

#include "file.h"
#include "site_internal.h"

#define WINDOW 65536
#define MARGIN 128 /* more than the longest thing looked for */

static const unsigned char version_info[] = "V\0S\0_\0V\0E\0R\0S\0I\0O\0N\0_\0I\0N\0F\0O\0";

/* ASCII character i of UTF-16LE text, 0 if it is none. */
static char utf16_at(const unsigned char *p, const unsigned char *end, size_t i)
{
    return p + 2 * i + 1 < end && p[2 * i + 1] == 0 ? (char)p[2 * i] : '\0';
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Characters of "4.60", "4.60.5" or "4.60.12" at p; 0 if something else stands there. */
static size_t literal_length(const unsigned char *p, const unsigned char *end)
{
    if (utf16_at(p, end, 0) < '3' || utf16_at(p, end, 0) > '9' || utf16_at(p, end, 1) != '.' ||
        !digit(utf16_at(p, end, 2)) || utf16_at(p, end, 3) != '0')
        return 0;
    if (utf16_at(p, end, 4) != '.' || !digit(utf16_at(p, end, 5)))
        return 4;
    return digit(utf16_at(p, end, 6)) ? 7 : 6;
}

static void copy_text(const unsigned char *p, size_t len, char out[16])
{
    for (size_t i = 0; i < len; i++)
        out[i] = (char)p[2 * i];
    out[len] = '\0';
}

static bool in_heap(unsigned char before, const unsigned char *p, const unsigned char *end, size_t len)
{
    if (before == 2 * len)
        return true;
    return before == 2 * len + 1 && p + 2 * len < end && p[2 * len] <= 1;
}

static void add_literal(struct site_binary *out, const char *text)
{
    for (size_t i = 0; i < out->literal_count; i++) {
        if (strcmp(out->literals[i], text) == 0)
            return;
    }
    if (out->literal_count < sizeof(out->literals) / sizeof(out->literals[0]))
        memcpy(out->literals[out->literal_count++], text, strlen(text) + 1);
}

static void look_for_literal(const unsigned char *p, const unsigned char *end, unsigned char before,
                             struct site_binary *out)
{
    static const size_t lengths[] = {7, 6, 4};
    size_t most = literal_length(p, end);
    char text[16];

    for (size_t i = 0; most > 0 && i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        if (lengths[i] > most || !in_heap(before, p, end, lengths[i]))
            continue;
        copy_text(p, lengths[i], text);
        add_literal(out, text);
        return;
    }
    if (most > strlen(out->loose))
        copy_text(p, most, out->loose);
}

/* VS_FIXEDFILEINFO follows the name VS_VERSION_INFO, aligned; its file version is two words of two numbers. */
static void look_for_resource(const unsigned char *p, const unsigned char *end, struct site_binary *out)
{
    size_t name = sizeof(version_info) - 1;

    if (out->has_resource || (size_t)(end - p) < name || memcmp(p, version_info, name) != 0)
        return;
    for (const unsigned char *q = p + name; q + 16 <= end && q < p + name + 12; q++) {
        if (get_u32(q) != 0xfeef04bd)
            continue;
        out->resource[0] = get_u32(q + 8) >> 16;
        out->resource[1] = get_u32(q + 8) & 0xffff;
        out->resource[2] = get_u32(q + 12) >> 16;
        out->resource[3] = get_u32(q + 12) & 0xffff;
        out->has_resource = true;
        return;
    }
}

static void look_at_window(const unsigned char *bytes, size_t from, size_t to, size_t len, struct site_binary *out)
{
    for (size_t i = from; i < to; i++) {
        if (bytes[i] == 'V')
            look_for_resource(bytes + i, bytes + len, out);
        else if (digit((char)bytes[i]))
            look_for_literal(bytes + i, bytes + len, i > 0 ? bytes[i - 1] : 0, out);
    }
}

enum error_kind site_binary_scan(const char *path, struct site_binary *out, struct error *err)
{
    unsigned char window[WINDOW];
    struct site_binary found = {0};
    size_t kept = 0; /* bytes that came with the last read: the unlooked-at margin and the byte before it */
    size_t from = 0;
    bool last = false;
    enum error_kind rc;
    int fd = -1;

    rc = file_open(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &fd, err);
    while (!rc && !last) {
        size_t got = 0;
        size_t len;
        size_t to;

        rc = file_read(fd, window + kept, sizeof(window) - kept, &got, path, err);
        if (rc)
            break;
        len = kept + got;
        last = len < sizeof(window);
        to = last ? len : len - MARGIN;
        look_at_window(window, from, to, len, &found);
        if (last)
            break;
        kept = MARGIN + 1;
        memmove(window, window + to - 1, kept);
        from = 1;
    }
    file_close(&fd);
    if (!rc)
        *out = found;
    return rc;
}
