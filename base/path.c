#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"

enum error_kind path_join(const char *a, const char *b, char **out, struct error *err)
{
    size_t len = strlen(a);

    while (*b == '/')
        b++;
    if (len == 0)
        return memory_string(b, out, err);
    return memory_format(out, err, a[len - 1] == '/' ? "%s%s" : "%s/%s", a, b);
}

enum error_kind path_real(const char *path, char **out, struct error *err)
{
    char *real = realpath(path, NULL);

    if (!real)
        return error_set(err, errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_IO, errno, "cannot find %s",
                         path);
    *out = real;
    return OK;
}

const char *path_base(const char *path)
{
    size_t len = strlen(path);

    while (len > 0 && path[len - 1] == '/')
        len--;
    while (len > 0 && path[len - 1] != '/')
        len--;
    return path + len;
}

enum error_kind path_parent(const char *path, char **out, struct error *err)
{
    size_t len = (size_t)(path_base(path) - path);

    if (len == 0)
        return memory_string(*path == '/' ? "/" : ".", out, err);
    while (len > 1 && path[len - 1] == '/')
        len--;
    if (len > INT_MAX)
        return error_set(err, ERR_MEMORY, 0, "a path of %zu bytes is too long", len);
    return memory_format(out, err, "%.*s", (int)len, path);
}

bool name_is_safe(const unsigned char *name, size_t len)
{
    if (len == 0 || (len == 1 && name[0] == '.') || (len == 2 && name[0] == '.' && name[1] == '.'))
        return false;
    return !memchr(name, '/', len) && !memchr(name, '\0', len);
}

bool path_is_safe_relative(const char *path)
{
    for (;;) {
        size_t len = strcspn(path, "/");

        if (!name_is_safe((const unsigned char *)path, len))
            return false;
        if (path[len] == '\0')
            return true;
        path += len + 1;
    }
}

bool path_is_safe_absolute(const char *path)
{
    return path[0] == '/' && path_is_safe_relative(path + 1);
}
