#include "text.h"

#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "buffer.h"
#include "utf8_internal.h"

void text_size(uint64_t bytes, char out[TEXT_MAX])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double v = (double)bytes / 1024;
    size_t unit = 0;

    if (bytes < 1024) {
        snprintf(out, TEXT_MAX, "%u B", (unsigned)bytes);
        return;
    }
    /* 1023.95 would be printed as 1024.0 of the smaller unit. */
    while (v >= 1023.95 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        v /= 1024;
        unit++;
    }
    snprintf(out, TEXT_MAX, "%.1f %s", v, units[unit]);
}

void text_duration(uint64_t ms, char out[TEXT_MAX])
{
    uint64_t s = ms / 1000;

    if (ms < 1000)
        snprintf(out, TEXT_MAX, "%u ms", (unsigned)ms);
    else if (ms < 10000)
        snprintf(out, TEXT_MAX, "%u.%u s", (unsigned)s, (unsigned)(ms % 1000 / 100));
    else if (s < 60)
        snprintf(out, TEXT_MAX, "%u s", (unsigned)s);
    else if (s < 3600)
        snprintf(out, TEXT_MAX, "%u min %u s", (unsigned)(s / 60), (unsigned)(s % 60));
    else if (s < 86400)
        snprintf(out, TEXT_MAX, "%u h %u min", (unsigned)(s / 3600), (unsigned)(s % 3600 / 60));
    else
        snprintf(out, TEXT_MAX, "%llu d %u h", (unsigned long long)(s / 86400), (unsigned)(s % 86400 / 3600));
}

/* Whole seconds, rounded towards the past also before 1970. */
static time_t seconds_of(int64_t unix_ns)
{
    return unix_ns / 1000000000 - (unix_ns % 1000000000 < 0);
}

void text_moment(int64_t unix_ns, char out[TEXT_MAX])
{
    time_t seconds = seconds_of(unix_ns);
    struct tm tm;

    if (!localtime_r(&seconds, &tm) || strftime(out, TEXT_MAX, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        snprintf(out, TEXT_MAX, "@%lld", (long long)seconds);
}

size_t utf8_length(const unsigned char *p, size_t left, uint32_t *out)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len;
    uint32_t v;

    if (left == 0)
        return 0;
    if (p[0] < 0x80) {
        *out = p[0];
        return 1;
    }
    len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc0 ? 2 : 0;
    if (len == 0 || p[0] > 0xf4 || len > left)
        return 0;
    v = p[0] & (0x7fU >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        v = v << 6 | (p[i] & 0x3f);
    }
    if (v < smallest[len] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
        return 0;
    *out = v;
    return len;
}

/* What a terminal would act on instead of showing it: C0, DEL, C1, line separators and writing-direction marks. */
static bool acts_on_terminal(uint32_t v)
{
    return v < 0x20 || (v >= 0x7f && v < 0xa0) || v == 0x2028 || v == 0x2029 || (v >= 0x202a && v <= 0x202e) ||
           (v >= 0x2066 && v <= 0x2069);
}

/* Writes the shown form of the next character to out (at most 12 bytes); returns how many bytes it consumed. */
static size_t show_character(const unsigned char *p, size_t left, char *out, size_t *out_len)
{
    uint32_t v = 0;
    size_t len = utf8_length(p, left, &v);
    size_t n = 0;

    if (len > 0 && !acts_on_terminal(v)) {
        memcpy(out, p, len);
        *out_len = len;
        return len;
    }
    if (len == 1 && (v == '\n' || v == '\t' || v == '\r')) {
        out[0] = '\\';
        out[1] = v == '\n' ? 'n' : v == '\t' ? 't' : 'r';
        *out_len = 2;
        return 1;
    }
    if (len == 0)
        len = 1;
    for (size_t i = 0; i < len; i++)
        n += (size_t)sprintf(out + n, "\\x%02x", p[i]);
    *out_len = n;
    return len;
}

void text_name(const void *bytes, size_t len, char *out, size_t out_len)
{
    static const char dots[] = "...";
    const unsigned char *p = bytes;
    size_t used = 0;
    size_t fits = 0; /* how much of out stays if the dots are needed */

    assert(out_len > sizeof(dots));
    for (size_t i = 0; i < len;) {
        char shown[4 * 4 + 1];
        size_t shown_len;

        i += show_character(p + i, len - i, shown, &shown_len);
        if (used + shown_len >= out_len) {
            memcpy(out + fits, dots, sizeof(dots));
            return;
        }
        memcpy(out + used, shown, shown_len);
        used += shown_len;
        if (used + sizeof(dots) <= out_len)
            fits = used;
    }
    out[used] = '\0';
}

static int64_t unit_ms(char c)
{
    switch (c) {
    case 's':
        return 1000;
    case 'm':
        return 60 * 1000;
    case 'h':
        return 3600 * 1000;
    case 'd':
        return 24LL * 3600 * 1000;
    case 'w':
        return 7 * 24LL * 3600 * 1000;
    default:
        return 0;
    }
}

int64_t text_parse_duration(const char *text)
{
    int64_t total = 0;

    if (*text == '\0')
        return -1;
    while (*text != '\0') {
        int64_t n = 0;
        int64_t part;

        if (!isdigit((unsigned char)*text))
            return -1;
        for (; isdigit((unsigned char)*text); text++) {
            if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *text - '0', &n))
                return -1;
        }
        part = unit_ms(*text);
        if (part == 0 || __builtin_mul_overflow(part, n, &part) || __builtin_add_overflow(total, part, &total))
            return -1;
        text++;
    }
    return total;
}

enum error_kind text_list_add(struct text_list *l, const char *text, struct error *err)
{
    char *copy = NULL;
    enum error_kind rc;

    if (l->count == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 8;
        char **grown = reallocarray(l->items, cap, sizeof(*grown));

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory for a list of %zu lines", cap);
        l->items = grown;
        l->cap = cap;
    }
    rc = memory_string(text, &copy, err);
    if (rc)
        return rc;
    l->items[l->count++] = copy;
    return OK;
}

enum error_kind text_list_addf(struct text_list *l, struct error *err, const char *format, ...)
{
    char *text = NULL;
    enum error_kind rc;
    va_list args;
    int len;

    va_start(args, format);
    len = vasprintf(&text, format, args);
    va_end(args);
    if (len < 0)
        return error_set(err, ERR_MEMORY, 0, "out of memory while making a text");
    rc = text_list_add(l, text, err);
    free(text);
    return rc;
}

bool text_list_has(const struct text_list *l, const char *text)
{
    for (size_t i = 0; i < l->count; i++)
        if (!strcmp(l->items[i], text))
            return true;
    return false;
}

enum error_kind text_list_add_all(struct text_list *l, const struct text_list *more, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; i < more->count && !rc; i++)
        rc = text_list_add(l, more->items[i], err);
    return rc;
}

void text_list_release(struct text_list *l)
{
    for (size_t i = 0; i < l->count; i++)
        free(l->items[i]);
    free(l->items);
    *l = (struct text_list)TEXT_LIST_INIT;
}
