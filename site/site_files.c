#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "file.h"
#include "site_internal.h"

static enum error_kind note(struct text_list *list, struct error *err, const char *format, va_list args)
{
    char *text = NULL;
    enum error_kind rc;

    if (!list)
        return OK;
    if (vasprintf(&text, format, args) < 0)
        return error_set(err, ERR_MEMORY, 0, "out of memory while making a remark");
    rc = text_list_add(list, text, err);
    free(text);
    return rc;
}

enum error_kind site_remark(const struct site_notes *notes, struct error *err, const char *format, ...)
{
    enum error_kind rc;
    va_list args;

    va_start(args, format);
    rc = note(notes->remarks, err, format, args);
    va_end(args);
    return rc;
}

enum error_kind site_warn(const struct site_notes *notes, struct error *err, const char *format, ...)
{
    enum error_kind rc;
    va_list args;

    va_start(args, format);
    rc = note(notes->warnings, err, format, args);
    va_end(args);
    return rc;
}

/* The entry of a folder that equals name but for case; of several the first in byte order, whatever the disk's order. */
static enum error_kind entry_find(const char *folder, const char *name, char **out, struct error *err)
{
    char *best = NULL;
    struct dirent *entry;
    enum error_kind rc = OK;
    DIR *dir = opendir(folder);

    if (!dir)
        return error_set(err, errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_IO, errno, "cannot list %s",
                         folder);
    while (!rc && (entry = readdir(dir))) {
        if (strcasecmp(entry->d_name, name) != 0 || (best && strcmp(entry->d_name, best) >= 0))
            continue;
        free(best);
        best = NULL;
        rc = memory_string(entry->d_name, &best, err);
    }
    closedir(dir);
    if (!rc && !best)
        rc = error_set(err, ERR_NOT_FOUND, 0, "%s has no %s", folder, name);
    if (!rc)
        *out = best;
    else
        free(best);
    return rc;
}

static bool present(const char *folder, const char *name)
{
    char *path = NULL;
    struct stat st;
    struct error ignored = ERROR_INIT;
    bool there;

    if (path_join(folder, name, &path, &ignored))
        return false;
    there = lstat(path, &st) == 0;
    free(path);
    return there;
}

/* One component: the name as given where it exists, else its twin in another case. */
static enum error_kind component_find(const char *folder, const char *name, char **out, struct error *err)
{
    if (present(folder, name))
        return memory_string(name, out, err);
    return entry_find(folder, name, out, err);
}

enum error_kind site_file_find(const char *root, const char *relative, char **out, struct error *err)
{
    char *wanted = NULL;
    char *found = NULL;  /* below the root, as on the disk */
    char *folder = NULL; /* with the root before it */
    char *rest = NULL;
    enum error_kind rc;

    rc = memory_string(relative, &wanted, err);
    if (!rc)
        rc = memory_string(root, &folder, err);
    for (char *name = rc ? NULL : strtok_r(wanted, "/", &rest); name && !rc; name = strtok_r(NULL, "/", &rest)) {
        char *actual = NULL;
        char *longer = NULL;

        rc = component_find(folder, name, &actual, err);
        if (!rc)
            rc = found ? memory_format(&longer, err, "%s/%s", found, actual) : memory_string(actual, &longer, err);
        if (!rc) {
            free(found);
            found = longer;
            free(folder);
            folder = NULL;
            rc = path_join(root, found, &folder, err);
        }
        free(actual);
    }
    if (!rc && !found)
        rc = error_set(err, ERR_NOT_FOUND, 0, "no name below %s was given", root);
    if (!rc) {
        *out = found;
        found = NULL;
    }
    free(found);
    free(folder);
    free(wanted);
    return rc;
}

/* Look at what a name stands for, following symlinks as the shop does. */
static bool look(const char *root, const char *relative, struct stat *st)
{
    struct error ignored = ERROR_INIT;
    char *found = NULL;
    char *path = NULL;
    bool there = false;

    if (!site_file_find(root, relative, &found, &ignored) && !path_join(root, found, &path, &ignored))
        there = stat(path, st) == 0;
    free(found);
    free(path);
    return there;
}

bool site_file_exists(const char *root, const char *relative)
{
    struct stat st;

    return look(root, relative, &st);
}

bool site_directory_exists(const char *root, const char *relative)
{
    struct stat st;

    return look(root, relative, &st) && S_ISDIR(st.st_mode);
}

static enum error_kind append_code_point(struct buffer *out, uint32_t c, struct error *err)
{
    unsigned char b[4];
    size_t len = 0;

    if (c < 0x80) {
        b[len++] = (unsigned char)c;
    } else if (c < 0x800) {
        b[len++] = (unsigned char)(0xc0 | c >> 6);
        b[len++] = (unsigned char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        b[len++] = (unsigned char)(0xe0 | c >> 12);
        b[len++] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
        b[len++] = (unsigned char)(0x80 | (c & 0x3f));
    } else {
        b[len++] = (unsigned char)(0xf0 | c >> 18);
        b[len++] = (unsigned char)(0x80 | (c >> 12 & 0x3f));
        b[len++] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
        b[len++] = (unsigned char)(0x80 | (c & 0x3f));
    }
    return buffer_append(out, b, len, err);
}

/* UTF-16 as Windows' Notepad saves "Unicode". A lone surrogate becomes U+FFFD, as .NET reads it. */
static enum error_kind append_utf16(struct buffer *out, const unsigned char *p, size_t len, bool big, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; i + 1 < len && !rc; i += 2) {
        uint32_t c = big ? (uint32_t)p[i] << 8 | p[i + 1] : (uint32_t)p[i + 1] << 8 | p[i];

        if (c >= 0xd800 && c < 0xdc00 && i + 3 < len) {
            uint32_t low = big ? (uint32_t)p[i + 2] << 8 | p[i + 3] : (uint32_t)p[i + 3] << 8 | p[i + 2];

            if (low >= 0xdc00 && low < 0xe000) {
                c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
                i += 2;
            }
        }
        rc = append_code_point(out, c >= 0xd800 && c < 0xe000 ? 0xfffd : c, err);
    }
    return rc;
}

enum error_kind site_file_text(const char *root, const char *relative, size_t max, struct buffer *out,
                               struct error *err)
{
    struct buffer raw = BUFFER_INIT(max);
    char *path = NULL;
    enum error_kind rc;

    rc = path_join(root, relative, &path, err);
    if (!rc)
        rc = file_read_whole(AT_FDCWD, path, max, &raw, err);
    if (rc)
        goto done;
    if (raw.len >= 2 && ((raw.data[0] == 0xff && raw.data[1] == 0xfe) || (raw.data[0] == 0xfe && raw.data[1] == 0xff)))
        rc = append_utf16(out, raw.data + 2, raw.len - 2, raw.data[0] == 0xfe, err);
    else if (raw.len >= 3 && memcmp(raw.data, "\xef\xbb\xbf", 3) == 0)
        rc = buffer_append(out, raw.data + 3, raw.len - 3, err);
    else
        rc = buffer_append(out, raw.len ? raw.data : (const unsigned char *)"", raw.len, err);

done:
    buffer_release_secret(&raw);
    free(path);
    return rc;
}

const char *site_path_below(const char *root, const char *path)
{
    size_t len = strlen(root);

    while (len > 0 && root[len - 1] == '/')
        len--;
    if (strncmp(root, path, len) != 0 || (path[len] != '/' && path[len] != '\0'))
        return NULL;
    path += len;
    while (*path == '/')
        path++;
    return path;
}

/* Take the last component off; false where it is ".." itself, or nothing is left. */
static bool climb(struct buffer *b, size_t floor)
{
    size_t at = b->len;

    while (at > floor && b->data[at - 1] != '/')
        at--;
    if (b->len == floor || (b->len - at == 2 && memcmp(b->data + at, "..", 2) == 0))
        return false;
    b->len = at > floor ? at - 1 : floor;
    b->data[b->len] = '\0';
    return true;
}

enum error_kind site_path_normalize(const char *path, char **out, struct error *err)
{
    struct buffer b = BUFFER_INIT(SITE_TEXT_MAX);
    size_t floor = path[0] == '/' ? 1 : 0;
    enum error_kind rc;

    rc = buffer_append(&b, path, floor, err);
    while (!rc && *path != '\0') {
        size_t len = strcspn(path, "/");

        if (len == 2 && memcmp(path, "..", 2) == 0) {
            if (!climb(&b, floor) && floor == 0)
                rc = buffer_append_text(&b, b.len > 0 ? "/.." : "..", err);
        } else if (len > 0 && !(len == 1 && *path == '.')) {
            if (b.len > floor)
                rc = buffer_append_text(&b, "/", err);
            if (!rc)
                rc = buffer_append(&b, path, len, err);
        }
        path += len;
        path += *path == '/';
    }
    if (!rc)
        rc = buffer_append_text(&b, "", err);
    if (!rc && !b.data)
        rc = memory_string("", out, err);
    else if (!rc)
        *out = buffer_detach(&b);
    buffer_release(&b);
    return rc;
}
