/*
 * Mounts that a unit waits for, but does without: what RequiresMountsFor= would do, as Wants= and After=. Where the disk is not there the run
 * starts all the same, and tells whom it concerns that there is no catalogue; a unit that systemd does not start tells nobody.
 */
#include <stdio.h>
#include <string.h>

#include "schedule_internal.h"

#define UNIT_NAME_MAX 255 /* systemd.unit(5) */

/* systemd.unit(5), as systemd-escape --path does it: a path's first so many bytes. */
static enum error_kind escape(const char *path, size_t len, struct buffer *out, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 1; i < len && !rc; i++) {
        unsigned char c = (unsigned char)path[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ':' ||
                     c == '_' || (c == '.' && i > 1);

        rc = buffer_append_format(out, err, c == '/' ? "-" : plain ? "%c" : "\\x%02x", c);
    }
    return rc;
}

static enum error_kind add_unit(const char *path, size_t len, struct buffer *out, struct error *err)
{
    struct buffer name = BUFFER_INIT(1u << 20);
    enum error_kind rc = escape(path, len, &name, err);

    if (!rc)
        rc = buffer_append_text(&name, ".mount", err);
    if (!rc && name.len <= UNIT_NAME_MAX) /* no mount can be there else: systemd has no name for it */
        rc = buffer_append_format(out, err, "%s%s", out->len ? " " : "", (const char *)name.data);
    buffer_release(&name);
    return rc;
}

static enum error_kind add_units(const char *path, struct buffer *out, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t len = 2; path[1] && !rc; len++) {
        if (path[len] == '/' || path[len] == '\0')
            rc = add_unit(path, len, out, err);
        if (path[len] == '\0')
            break;
    }
    return rc;
}

enum error_kind schedule_mount_lines(const char *path, struct buffer *out, struct error *err)
{
    struct buffer units = BUFFER_INIT(1u << 20);
    enum error_kind rc = add_units(path, &units, err);

    if (!rc && units.len)
        rc = buffer_append_format(out, err, "Wants=%s\nAfter=%s\n", (const char *)units.data, (const char *)units.data);
    buffer_release(&units);
    return rc;
}
