/* A release that somebody has unpacked already: it is listed like an archive, and copied like one. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "open_below.h"
#include "release_internal.h"
#include "thread.h"

static enum error_kind add_entry(struct release *r, int folder, const char *above, const char *name, struct error *err)
{
    char raw[PATH_MAX + NAME_MAX + 2];
    char path[PATH_MAX];
    struct stat st;
    enum error_kind rc;

    (void)snprintf(raw, sizeof(raw), "%s%s%s", above, above[0] ? "/" : "", name);
    if (strchr(name, '\\'))
        return error_set(err, ERR_REFUSED, 0, "the name %s has a backslash", raw);
    rc = release_name_clean(raw, path, err);
    if (rc)
        return rc;
    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW))
        return error_set(err, ERR_IO, errno, "cannot look at %s", raw);
    if (S_ISDIR(st.st_mode))
        return release_list_add(r, path, true, 0, INT64_MIN, err);
    if (!S_ISREG(st.st_mode))
        return error_set(err, ERR_REFUSED, 0, "%s is %s, which no release has", raw,
                         S_ISLNK(st.st_mode) ? "a symbolic link" : "neither a file nor a folder");
    return release_list_add(r, path, false, (uint64_t)st.st_size, st.st_mtim.tv_sec, err);
}

static enum error_kind list_folder(struct release *r, const char *path, struct error *err)
{
    int fd = open_below(r->fd, path, strlen(path), O_RDONLY | O_DIRECTORY, 0);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    enum error_kind rc = OK;

    if (!dir) {
        error_set(err, ERR_IO, errno, "cannot list %s", path[0] ? path : "the folder");
        file_close(&fd);
        return err->kind;
    }
    while (!rc) {
        struct dirent *entry;

        errno = 0;
        entry = readdir(dir);
        if (!entry) {
            if (errno)
                rc = error_set(err, ERR_IO, errno, "cannot list %s", path[0] ? path : "the folder");
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = add_entry(r, dirfd(dir), path, entry->d_name, err);
    }
    closedir(dir);
    return rc;
}

/* The list is its own queue: folders that are found are appended, and come by later. */
enum error_kind release_folder_list(struct release *r, const struct progress *progress, struct error *err)
{
    enum error_kind rc = list_folder(r, "", err);

    for (size_t i = 0; !rc && i < r->list.count; i++) {
        rc = cancel_check(err);
        if (!rc && r->list.items[i].folder)
            rc = list_folder(r, r->list.items[i].path, err);
        progress_advance(progress, r->list.count, 0, "entries");
    }
    return rc;
}
