/*
 * Mount points below a tree, from /proc/self/mountinfo (proc(5)): an exchange would take a mount away with the old tree, so the
 * tree is split there.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "transaction_internal.h"

#define MOUNTINFO_MAX (16u << 20)

/* Spaces, tabs, newlines and backslashes are octal escapes there. */
static void unescape(char *s)
{
    char *to = s;

    while (*s) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
            *to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
            s += 4;
        } else {
            *to++ = *s++;
        }
    }
    *to = '\0';
}

enum error_kind mounts_below(const char *root, struct text_list *out, struct error *err)
{
    struct buffer b = BUFFER_INIT(MOUNTINFO_MAX);
    size_t len = strlen(root);
    char *line_state = NULL;
    enum error_kind rc = file_read_whole(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &b, err);

    if (rc)
        return rc;
    for (char *line = strtok_r((char *)b.data, "\n", &line_state); line && !rc;
         line = strtok_r(NULL, "\n", &line_state)) {
        char *field_state = NULL;
        char *field = strtok_r(line, " ", &field_state);

        for (int i = 0; field && i < 4; i++) /* the fifth field is the mount point */
            field = strtok_r(NULL, " ", &field_state);
        if (!field)
            continue;
        unescape(field);
        if (!strncmp(field, root, len) && (field[len] == '\0' || field[len] == '/'))
            rc = text_list_add(out, field, err);
    }
    buffer_release(&b);
    return rc;
}

enum error_kind mounts_refuse(const char *root, struct error *err)
{
    struct text_list mounts = TEXT_LIST_INIT;
    enum error_kind rc = mounts_below(root, &mounts, err);

    if (!rc && mounts.count) {
        rc =
            error_set(err, ERR_REFUSED, 0, "%s is a mount point: %s can't be exchanged with it", mounts.items[0], root);
        error_hint(err, "put the pictures into a folder below the mount point, or go back with --only database");
    }
    text_list_release(&mounts);
    return rc;
}
