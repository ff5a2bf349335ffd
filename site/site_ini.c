/*
 * inih, with what it leaves out: the line of each entry, an error of our own, and lines that are too long refused
 * where inih would silently make two of one.
 */
#include <ini.h>
#include <stdio.h>
#include <string.h>

#include "site_internal.h"

#define LINE_MAX_BYTES 4096

struct parse {
    const char *at;
    unsigned line; /* of the entry that inih is looking at: it reads line by line and calls at once */
    const char *shown;
    site_ini_fn *fn;
    void *arg;
    struct error *err;
    enum error_kind rc;
};

/* fgets() over memory. */
static char *next_line(char *out, int size, void *stream)
{
    struct parse *p = stream;
    size_t len = strcspn(p->at, "\n");

    if (*p->at == '\0' || p->rc)
        return NULL;
    p->line++;
    len += p->at[len] == '\n';
    if (len + 1 > (size_t)size) {
        p->rc =
            error_set(p->err, ERR_REFUSED, 0, "%s line %u is longer than %d bytes", p->shown, p->line, LINE_MAX_BYTES);
        return NULL;
    }
    memcpy(out, p->at, len);
    out[len] = '\0';
    p->at += len;
    return out;
}

static int entry(void *user, const char *section, const char *name, const char *value)
{
    struct parse *p = user;

    if (!p->rc)
        p->rc = p->fn(p->arg, section, name, value, p->line, p->err);
    return !p->rc;
}

enum error_kind site_ini_parse(const char *text, const char *shown, site_ini_fn *fn, void *arg, struct error *err)
{
    struct parse p = {text, 0, shown, fn, arg, err, OK};
    int bad_line;

    ini_use_stack = false; /* its stack buffer has 200 bytes */
    ini_max_line = LINE_MAX_BYTES + 3;
    ini_initial_alloc = LINE_MAX_BYTES + 3;
    ini_stop_on_first_error = true;
    ini_allow_multiline = false; /* an indented line would be taken for more of the value above */
    bad_line = ini_parse_stream(next_line, &p, entry, &p);
    if (p.rc)
        return p.rc;
    if (bad_line == -2)
        return error_set(err, ERR_MEMORY, 0, "out of memory for reading %s", shown);
    if (bad_line != 0) {
        error_set(err, ERR_REFUSED, 0, "%s line %d is neither a [section] nor key = value", shown, bad_line);
        error_hint(err, "nopsnap --help shows a sample of the config file");
        return ERR_REFUSED;
    }
    return OK;
}
