#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

#undef error_set

/* Formats into one escaped line. The text is made apart first, so that an argument may point into the target. */
static void format_line(char *out, size_t out_len, const char *format, va_list args)
{
    char raw[2048];
    int len = vsnprintf(raw, sizeof(raw), format, args);

    if (len < 0)
        raw[0] = '\0';
    text_name(raw, strlen(raw), out, out_len);
}

enum error_kind error_set(struct error *err, enum error_kind kind, int sys, const char *format, ...)
{
    char line[sizeof(err->text)];
    va_list args;

    va_start(args, format);
    format_line(line, sizeof(line), format, args);
    va_end(args);
    if (kind == ERR_IO && (sys == ENOSPC || sys == EDQUOT))
        kind = ERR_SPACE;
    err->kind = kind;
    err->sys = sys;
    err->hint[0] = '\0';
    if (sys == 0) {
        memcpy(err->text, line, sizeof(line));
    } else {
        char words[128];
        const char *reason = strerror_r(sys, words, sizeof(words));
        size_t keep = sizeof(err->text) - strlen(reason) - sizeof(": ");

        snprintf(err->text, sizeof(err->text), "%.*s: %s", (int)keep, line, reason);
    }
    return kind;
}

void error_context(struct error *err, const char *format, ...)
{
    char line[sizeof(err->text)];
    size_t had = strlen(err->text);
    size_t room = sizeof(err->text) - 1;
    size_t len;
    va_list args;

    va_start(args, format);
    format_line(line, sizeof(line), format, args);
    va_end(args);
    len = strlen(line);
    if (len > room - 2)
        len = room - 2;
    if (had > room - 2 - len)
        had = room - 2 - len;
    memmove(err->text + len + 2, err->text, had);
    memcpy(err->text, line, len);
    memcpy(err->text + len, ": ", 2);
    err->text[len + 2 + had] = '\0';
}

void error_hint(struct error *err, const char *format, ...)
{
    va_list args;

    if (err->hint[0] != '\0')
        return;
    va_start(args, format);
    format_line(err->hint, sizeof(err->hint), format, args);
    va_end(args);
}

void error_copy(struct error *dst, const struct error *src)
{
    if (dst->kind == OK && src->kind != OK)
        *dst = *src;
}

void error_clear(struct error *err)
{
    *err = (struct error)ERROR_INIT;
}
