#include <stdbool.h>
#include <string.h>

#include "buffer.h"
#include "text.h"
#include "utf8_internal.h"

/* A place in the pattern behind a star, and the place in the path up to which the star has eaten. */
struct retry {
    const char *pattern; /* NULL: there was no such star yet */
    const char *path;
};

static size_t character_length(const char *s)
{
    uint32_t v;
    size_t len = utf8_length((const unsigned char *)s, strnlen(s, 4), &v);

    return len > 0 ? len : 1;
}

static char folded(char c, int nocase)
{
    return nocase && c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Remember a star and return the pattern behind it. A "**" between slashes also stands for no folder at all. */
static const char *take_star(const char *p, const char *start, const char *s, struct retry *one, struct retry *many)
{
    bool whole_component;

    if (p[1] != '*') {
        *one = (struct retry){p + 1, s};
        return p + 1;
    }
    whole_component = p == start || p[-1] == '/';
    while (*p == '*')
        p++;
    if (whole_component && *p == '/')
        p++;
    *many = (struct retry){p, s};
    *one = (struct retry){NULL, NULL};
    return p;
}

/*
 * Does the pattern match the path, or a folder that holds it? On a mismatch the newest '*' eats one character more,
 * and when it has come to a '/', the newest '**' does: older stars need no second try, since what is
 * between them and the newer one was matched at the earliest place. So time is bounded by a product of lengths.
 */
static bool match_from(const char *pattern, const char *path, int nocase)
{
    struct retry one = {NULL, NULL};
    struct retry many = {NULL, NULL};
    const char *p = pattern;
    const char *s = path;

    for (;;) {
        if (*p == '\0' && (*s == '\0' || *s == '/'))
            return true;
        if (*p == '*') {
            p = take_star(p, pattern, s, &one, &many);
            continue;
        }
        if (*p == '?' && *s != '\0' && *s != '/') {
            p++;
            s += character_length(s);
            continue;
        }
        if (*p != '\0' && *p != '?') {
            const char *literal = *p == '\\' && p[1] != '\0' ? p + 1 : p;

            if (folded(*literal, nocase) == folded(*s, nocase)) {
                p = literal + 1;
                s++;
                continue;
            }
        }
        if (one.pattern && *one.path != '\0' && *one.path != '/') {
            p = one.pattern;
            s = ++one.path;
        } else if (many.pattern && *many.path != '\0') {
            const char *behind = many.pattern;

            /* Behind a slash the rest begins a component. */
            do
                many.path++;
            while (behind > pattern && behind[-1] == '/' && *many.path != '\0' && many.path[-1] != '/');
            p = behind;
            s = many.path;
            one = (struct retry){NULL, NULL};
        } else {
            return false;
        }
    }
}

enum error_kind text_pattern_of(const char *path, char **out, struct error *err)
{
    void *memory = NULL;
    enum error_kind rc = memory_zeroed(2 * strlen(path) + 2, 1, &memory, err);
    char *to = memory;

    if (rc)
        return rc;
    *out = to;
    *to++ = '/';
    for (const char *p = path; *p; p++) {
        if (strchr("*?\\", *p))
            *to++ = '\\';
        *to++ = *p;
    }
    return OK;
}

int text_match(const char *pattern, const char *path, int nocase)
{
    char trimmed[4096];
    size_t len = strlen(pattern);

    while (len > 1 && pattern[len - 1] == '/')
        len--;
    if (len == 0 || len >= sizeof(trimmed))
        return 0;
    memcpy(trimmed, pattern, len);
    trimmed[len] = '\0';
    if (trimmed[0] == '/')
        return match_from(trimmed + 1, path, nocase);
    if (strchr(trimmed, '/'))
        return match_from(trimmed, path, nocase);
    for (const char *s = path; s; s = strchr(s, '/')) {
        if (*s == '/')
            s++;
        if (match_from(trimmed, s, nocase))
            return 1;
    }
    return 0;
}
