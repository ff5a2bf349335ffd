/*
 * What of a shop's settings leads out of it, so that a rehearsal on a copy reaches nobody: which are emptied, which are harmless, and which
 * nobody knows. Pure: nothing is read or written here.
 */
#ifndef NOPSNAP_NEUTRALISE_H
#define NOPSNAP_NEUTRALISE_H

enum site_outside {
    SITE_OUTSIDE_NONE,    /* leads nowhere, or is only shown to visitors */
    SITE_OUTSIDE_EMPTY,   /* keys, tokens, addresses of services: emptied in the copy */
    SITE_OUTSIDE_UNKNOWN, /* an address or an absolute folder that no rule knows */
};

/* Judge one row of table Setting by its name, in any case, and its value. */
enum site_outside site_outside_setting(const char *name, const char *value);

#endif
