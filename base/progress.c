#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "text.h"

/* Formats and hands on one line. Without memory for it the format itself is better than silence. */
static void tell(void (*fn)(void *arg, const char *line), void *arg, const char *format, va_list args)
{
    char *line = NULL;

    if (!fn)
        return;
    if (vasprintf(&line, format, args) < 0)
        line = NULL;
    fn(arg, line ? line : format);
    free(line);
}

void progress_step(const struct progress *p, const char *format, ...)
{
    va_list args;

    if (!p)
        return;
    va_start(args, format);
    tell(p->step, p->arg, format, args);
    va_end(args);
}

void progress_advance(const struct progress *p, uint64_t done, uint64_t total, const char *unit)
{
    if (p && p->advance)
        p->advance(p->arg, done, total, unit);
}

void progress_note(const struct progress *p, const char *format, ...)
{
    va_list args;

    if (!p)
        return;
    va_start(args, format);
    tell(p->note, p->arg, format, args);
    va_end(args);
}

void progress_warn(const struct progress *p, const char *format, ...)
{
    va_list args;

    if (!p)
        return;
    va_start(args, format);
    tell(p->warn, p->arg, format, args);
    va_end(args);
}
