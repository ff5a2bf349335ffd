/*
 * One thing of the old tree into the new one, under another name or over what the release has there.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "upgrade_internal.h"
#include "walk.h"

#define BLOCK (256u << 10)

static enum error_kind copy_bytes(int in, int out, const char *shown, struct error *err)
{
    void *block = NULL;
    size_t got = 0;
    enum error_kind rc = memory_allocate(BLOCK, &block, err);

    while (!rc) {
        rc = file_read(in, block, BLOCK, &got, shown, err);
        if (rc || !got)
            break;
        rc = file_write(out, block, got, shown, err);
    }
    if (block)
        explicit_bzero(block, BLOCK); /* it may have held a secret */
    free(block);
    return rc;
}

static enum error_kind copy_attributes(int in, int out, const struct stat *st, const char *shown, struct error *err)
{
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
    enum error_kind rc = walk_attributes_copy(in, out, shown, err);

    if (!rc && futimens(out, times))
        rc = error_set(err, ERR_IO, errno, "cannot set the time of %s", shown);
    return rc;
}

static enum error_kind copy_file(int in, const struct stat *st, int tree, const char *to, struct error *err)
{
    const char *name;
    int dir = -1;
    int out = -1;
    enum error_kind rc = tree_clear(tree, to, &dir, &name, err);

    if (!rc)
        rc = file_open(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, &out, err);
    if (!rc)
        rc = copy_bytes(in, out, to, err);
    if (!rc)
        rc = copy_attributes(in, out, st, to, err);
    file_close(&out);
    file_close(&dir);
    return rc;
}

/* ---- symlinks ---- */

/* A path below the root without "." and ".."; leading ".." stay: they lead out of it. */
static enum error_kind tidy(const char *path, char **out, struct error *err)
{
    char *text = NULL;
    char *rest = NULL;
    size_t len = 0;
    size_t floor = 0; /* the end of the leading ".." */
    enum error_kind rc = memory_string(path, &text, err);

    if (rc)
        return rc;
    rc = memory_string(path, out, err); /* as long as it can get */
    for (char *name = rc ? NULL : strtok_r(text, "/", &rest); name; name = strtok_r(NULL, "/", &rest)) {
        char *to = *out;

        if (!strcmp(name, "."))
            continue;
        if (!strcmp(name, "..") && len > floor) {
            while (len > floor && to[len - 1] != '/')
                len--;
            len -= len > floor;
            continue;
        }
        if (len)
            to[len++] = '/';
        memmove(to + len, name, strlen(name));
        len += strlen(name);
        floor = strcmp(name, "..") ? floor : len;
    }
    if (!rc)
        (*out)[len] = '\0';
    free(text);
    return rc;
}

enum error_kind copy_led_to(const char *file, const char *target, char **out, struct error *err)
{
    const char *slash = strrchr(file, '/');
    char *joined = NULL;
    enum error_kind rc =
        memory_format(&joined, err, "%.*s/%s", slash ? (int)(slash - file) : 0, slash ? file : "", target);

    if (!rc)
        rc = tidy(joined, out, err);
    free(joined);
    return rc;
}

/* The name that a path of the old tree has in the new one. */
static enum error_kind new_name(const struct upgrade_context *c, int live, const char *path, char **out,
                                struct error *err)
{
    struct site_carry_decision d = SITE_CARRY_DECISION_INIT;
    struct stat st;
    bool folder = fstatat(live, path, &st, 0) == 0 && S_ISDIR(st.st_mode);
    enum error_kind rc = OK;

    if (path_is_safe_relative(path))
        rc = carry_decide(c, path, folder ? SITE_CARRY_FOLDER : SITE_CARRY_FILE, &d, err);
    if (!rc)
        rc = memory_string(d.to ? d.to : path, out, err);
    site_carry_release(&d);
    return rc;
}

/* Where a symlink of another folder has to point at for leading to the same thing. What leads there already is kept as it is. */
static enum error_kind retarget(const struct upgrade_context *c, int live, const char *from, const char *to,
                                const char *target, char **out, struct error *err)
{
    char *old = NULL;
    char *there = NULL;
    char *now = NULL;
    char *up = NULL;
    enum error_kind rc;

    if (target[0] == '/')
        return memory_string(target, out, err);
    rc = copy_led_to(from, target, &old, err);
    if (!rc)
        rc = new_name(c, live, old, &there, err);
    if (!rc)
        rc = copy_led_to(to, target, &now, err);
    if (!rc)
        rc = memory_string("", &up, err);
    for (const char *at = strchr(to, '/'); at && !rc; at = strchr(at + 1, '/')) {
        char *longer = NULL;

        rc = memory_format(&longer, err, "../%s", up);
        free(up);
        up = longer;
    }
    if (!rc)
        rc = strcmp(now, there) ? memory_format(out, err, "%s%s", up, there) : memory_string(target, out, err);
    free(old);
    free(there);
    free(now);
    free(up);
    return rc;
}

static enum error_kind place_link(int in, const char *old, const struct stat *st, int tree, const char *to,
                                  const char *target, struct error *err)
{
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
    const char *name;
    int dir = -1;
    enum error_kind rc = tree_clear(tree, to, &dir, &name, err);

    if (!rc && symlinkat(target, dir, name))
        rc = error_set(err, ERR_IO, errno, "cannot make %s", to);
    if (!rc)
        rc = walk_attributes_copy_link(in, old, dir, name, to, err);
    if (!rc && utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW))
        rc = error_set(err, ERR_IO, errno, "cannot set the time of %s", to);
    file_close(&dir);
    return rc;
}

static enum error_kind copy_link(const struct upgrade_context *c, int live, int dir, const char *name, int tree,
                                 const char *from, const char *to, const struct stat *st, struct error *err)
{
    char target[PATH_MAX];
    char *anew = NULL;
    ssize_t len = readlinkat(dir, name, target, sizeof(target) - 1);
    enum error_kind rc;

    if (len < 0)
        return error_set(err, ERR_IO, errno, "%s: reading the symlink", from);
    target[len] = '\0';
    rc = retarget(c, live, from, to, target, &anew, err);
    if (!rc)
        rc = place_link(dir, name, st, tree, to, anew, err);
    free(anew);
    return rc;
}

/* ---- the whole ---- */

enum error_kind copy_one(const struct upgrade_context *c, int live, int tree, const char *from, const char *to,
                         bool *there, struct error *err)
{
    const char *name = path_base(from);
    struct error why = ERROR_INIT;
    struct stat st;
    int dir = -1;
    int in = -1;
    enum error_kind rc = tree_folder_of(live, from, &dir, &why);

    *there = false;
    if (!rc && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
        rc = error_set(&why, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "%s", from);
    if (!rc && S_ISREG(st.st_mode))
        rc = walk_open_below(dir, name, O_RDONLY | O_NONBLOCK, &in, &why);
    if (!rc && in >= 0 && fstat(in, &st))
        rc = error_set(&why, ERR_IO, errno, "%s", from);
    if (rc) {
        if (rc == ERR_NOT_FOUND)
            rc = OK;
        else
            error_copy(err, &why);
    } else if (S_ISLNK(st.st_mode) || (in >= 0 && S_ISREG(st.st_mode))) {
        rc = in >= 0 ? copy_file(in, &st, tree, to, err) : copy_link(c, live, dir, name, tree, from, to, &st, err);
        *there = !rc;
    }
    file_close(&in);
    file_close(&dir);
    return rc;
}

enum error_kind copy_folder(int live, int tree, const char *from, const char *to, struct error *err)
{
    struct error why = ERROR_INIT;
    struct stat st;
    int in = -1;
    int out = -1;
    enum error_kind rc = walk_open_below(live, from, O_RDONLY | O_DIRECTORY, &in, &why);

    if (!rc)
        rc = walk_open_below(tree, to, O_RDONLY | O_DIRECTORY, &out, &why);
    if (!rc && fstat(in, &st))
        rc = error_set(&why, ERR_IO, errno, "%s", from);
    if (!rc)
        rc = copy_attributes(in, out, &st, to, &why);
    file_close(&in);
    file_close(&out);
    if (rc == ERR_NOT_FOUND)
        return OK;
    if (rc)
        error_copy(err, &why);
    return rc;
}
