#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "site_internal.h"

/* Digits up to `most`, at least `least`; -1 if there are fewer or more. */
static int take_number(const char **p, int least, int most)
{
    int digits = 0;
    int value = 0;

    while (isdigit((unsigned char)**p)) {
        if (++digits > most)
            return -1;
        value = value * 10 + (**p - '0');
        (*p)++;
    }
    return digits < least ? -1 : value;
}

void site_version_print(struct site_version *v)
{
    unsigned major = (unsigned)v->major % 100; /* the compiler is shown that the text has room for all of it */
    unsigned minor = (unsigned)v->minor % 100;

    if (v->patch >= 0)
        snprintf(v->text, sizeof(v->text), "%u.%02u.%u", major, minor, (unsigned)v->patch % 1000);
    else
        snprintf(v->text, sizeof(v->text), "%u.%02u", major, minor);
}

enum error_kind site_version_parse(const char *text, struct site_version *out, struct error *err)
{
    struct site_version v = {0, 0, -1, ""};
    const char *p = text;
    bool good;

    v.major = take_number(&p, 1, 2);
    good = v.major > 0 && *p++ == '.';
    if (good) {
        v.minor = take_number(&p, 2, 2);
        good = v.minor >= 0;
    }
    if (good && *p == '.') {
        p++;
        v.patch = take_number(&p, 1, 3);
        good = v.patch >= 0;
    }
    if (!good || *p != '\0') {
        error_set(err, ERR_USAGE, 0, "'%.40s' is no version of nopCommerce", text);
        error_hint(err, "versions look like 4.60 or 4.60.5");
        return ERR_USAGE;
    }
    site_version_print(&v);
    *out = v;
    return OK;
}

int site_version_compare(const struct site_version *a, const struct site_version *b)
{
    if (a->major != b->major)
        return a->major < b->major ? -1 : 1;
    if (a->minor != b->minor)
        return a->minor < b->minor ? -1 : 1;
    return (a->patch > b->patch) - (a->patch < b->patch);
}

bool site_version_at_least(const struct site_version *v, int major, int minor)
{
    return v->major > major || (v->major == major && v->minor >= minor);
}

bool site_version_same_release(const struct site_version *a, const struct site_version *b)
{
    return a->major == b->major && a->minor == b->minor;
}

enum error_kind site_tree_version(const char *root, enum site_layout layout, struct site_version *out, char **source,
                                  struct text_list *remarks, struct error *err)
{
    const struct site_notes notes = {remarks, NULL};

    return site_version_detect(root, layout, out, source, &notes, err);
}
