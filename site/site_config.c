#include "site_config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "site_config_internal.h"
#include "site_internal.h"

#define SYSTEM_FILE "/etc/nopsnap.conf"
#define CONFIG_MAX (1u << 20)
#define SITES_MAX 10000

struct load {
    struct config *config;
    const char *file;
    struct text_list seen; /* "section\nkey": no single key twice in one file */
    bool lenient;          /* an entry that is wrong is as if it were not there */
};

static enum error_kind refuse(const struct load *load, unsigned line, struct error *err, const char *what,
                              const char *name)
{
    return error_set(err, ERR_REFUSED, 0, "%s line %u: %s '%.100s'", load->file, line, what, name);
}

static struct site_config *section_find(struct config *c, const char *name)
{
    for (size_t i = 0; i < c->count; i++) {
        if (strcmp(c->sites[i].name, name) == 0)
            return &c->sites[i];
    }
    return NULL;
}

static enum error_kind section_take(struct config *c, const char *name, struct site_config **out, struct error *err)
{
    struct site_config *sites;
    struct site_config *s = section_find(c, name);
    enum error_kind rc;

    if (s) {
        *out = s;
        return OK;
    }
    if (c->count >= SITES_MAX)
        return error_set(err, ERR_REFUSED, 0, "more than %d sites in one config", SITES_MAX);
    sites = reallocarray(c->sites, c->count + 1, sizeof(*sites));
    if (!sites)
        return error_set(err, ERR_MEMORY, 0, "out of memory for the config");
    c->sites = sites;
    s = &sites[c->count];
    memset(s, 0, sizeof(*s));
    rc = memory_string(name, &s->name, err);
    if (!rc) {
        c->count++;
        *out = s;
    }
    return rc;
}

static enum error_kind note_seen(struct load *load, const char *section, const char *key, unsigned line,
                                 struct error *err)
{
    char *mark = NULL;
    enum error_kind rc;

    rc = memory_format(&mark, err, "%s\n%s", section, key);
    for (size_t i = 0; i < load->seen.count && !rc; i++) {
        if (strcmp(load->seen.items[i], mark) == 0)
            rc = refuse(load, line, err, "this key is there twice:", key);
    }
    if (!rc)
        rc = text_list_add(&load->seen, mark, err);
    free(mark);
    return rc;
}

static enum error_kind replace_text(char **where, const char *value, struct error *err)
{
    char *copy = NULL;
    enum error_kind rc = memory_string(value, &copy, err);

    if (rc)
        return rc;
    free(*where);
    *where = copy;
    return OK;
}

/* base: the struct that the key's offset is of. */
static enum error_kind set_value(struct load *load, const struct config_key *key, void *base, const char *section,
                                 const char *value, unsigned line, struct error *err)
{
    void *place = (char *)base + key->offset;
    struct config_secret *secret = place;
    char *where = NULL;
    enum error_kind rc;

    if (config_kind_is_list(key->kind))
        return text_list_add(place, value, err);
    rc = note_seen(load, section, key->name, line, err);
    if (rc || key->kind != SECRET)
        return rc ? rc : replace_text(place, value, err);
    rc = memory_format(&where, err, "%s line %u", load->file, line);
    if (!rc)
        rc = replace_text(&secret->path, value, err);
    if (!rc) {
        free(secret->where);
        secret->where = where;
        where = NULL;
    }
    free(where);
    return rc;
}

static enum error_kind set_site_key(struct load *load, const char *section, const char *name, const char *value,
                                    unsigned line, struct error *err)
{
    bool shared = false;
    const struct config_key *key = config_key_find(name, &shared);
    struct site_config *site = NULL;
    enum error_kind rc;

    if (!key) {
        refuse(load, line, err, "unknown key", name);
        config_key_hint(err);
        return ERR_REFUSED;
    }
    if (!config_value_allowed(key->kind, value))
        return refuse(load, line, err, config_value_expected(key->kind, value), name);
    rc = section_take(load->config, section, &site, err);
    if (rc)
        return rc;
    return set_value(load, key, shared ? (void *)&site->notify : (void *)site, section, value, line, err);
}

static enum error_kind set_global_key(struct load *load, const char *section, const char *name, const char *value,
                                      unsigned line, struct error *err)
{
    static const struct config_key own[] = {{"catalog", PATH, offsetof(struct config, catalog)},
                                            {"metrics-file", PATH, offsetof(struct config, metrics_file)}};
    bool shared = false;
    const struct config_key *key = config_key_find(name, &shared);

    if (!shared)
        key = NULL;
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (strcmp(own[i].name, name) == 0)
            key = &own[i];
    }
    if (!key)
        return refuse(load, line, err, "[nopsnap] knows no key", name);
    if (!config_value_allowed(key->kind, value))
        return refuse(load, line, err, config_value_expected(key->kind, value), name);
    return set_value(load, key, shared ? (void *)&load->config->notify : (void *)load->config, section, value, line,
                     err);
}

static enum error_kind check_entry(struct load *load, const char *section, const char *name, const char *value,
                                   unsigned line, struct error *err)
{
    if (section[0] == '\0')
        return refuse(load, line, err, "no [section] stands before", name);
    if (section[0] == '/' || strchr(section, '\n'))
        return refuse(load, line, err, "a site's name can't begin with a slash:", section);
    if (strcmp(section, "nopsnap") == 0)
        return set_global_key(load, section, name, value, line, err);
    return set_site_key(load, section, name, value, line, err);
}

static enum error_kind take_entry(void *arg, const char *section, const char *name, const char *value, unsigned line,
                                  struct error *err)
{
    struct load *load = arg;
    struct error fault = ERROR_INIT;
    enum error_kind rc = check_entry(load, section, name, value, line, &fault);

    if (!rc || (load->lenient && rc != ERR_MEMORY))
        return OK;
    error_copy(err, &fault);
    return rc;
}

/* The file names commands that run as this user: nobody else may have written it (P11). */
static enum error_kind check_owner(const char *file, struct error *err)
{
    struct stat st;

    if (stat(file, &st))
        return error_set(err, errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_IO, errno,
                         "cannot look at the config %s", file);
    if (!S_ISREG(st.st_mode))
        return error_set(err, ERR_REFUSED, 0, "the config %s is no regular file", file);
    if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & S_IWOTH) ||
        ((st.st_mode & S_IWGRP) && st.st_gid != 0 && st.st_gid != getegid())) {
        error_set(err, ERR_REFUSED, 0, "the config %s can be written by others, and it names commands to run", file);
        error_hint(err, "chown it to yourself or root, and chmod go-w it");
        return ERR_REFUSED;
    }
    return OK;
}

static enum error_kind load_file(const char *file, bool lenient, struct config *config, struct error *err)
{
    struct buffer text = BUFFER_INIT(CONFIG_MAX);
    struct load load = {config, file, TEXT_LIST_INIT, lenient};
    enum error_kind rc;

    rc = check_owner(file, err);
    if (!rc)
        rc = file_read_whole(AT_FDCWD, file, CONFIG_MAX, &text, err);
    if (!rc && text.len > 0 && memchr(text.data, '\0', text.len))
        rc = error_set(err, ERR_REFUSED, 0, "the config %s holds a NUL byte", file);
    if (!rc && text.len > 0)
        rc = site_ini_parse((const char *)text.data, file, take_entry, &load, err);
    text_list_release(&load.seen);
    buffer_release(&text);
    return rc;
}

static enum error_kind user_file(char **out, struct error *err)
{
    const char *base = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");

    if (base && base[0] == '/')
        return path_join(base, "nopsnap.conf", out, err);
    if (home && home[0] == '/')
        return path_join(home, ".config/nopsnap.conf", out, err);
    return OK;
}

/* Every section has to say which site it is about. */
static enum error_kind check_complete(const struct config *c, struct error *err)
{
    for (size_t i = 0; i < c->count; i++) {
        if (c->sites[i].path)
            continue;
        error_set(err, ERR_REFUSED, 0, "the config's section [%.100s] has no path", c->sites[i].name);
        error_hint(err, "add path = /the/folder/of/the/shop to it");
        return ERR_REFUSED;
    }
    return OK;
}

static enum error_kind load_optional(const char *file, struct config *config, struct error *err)
{
    struct error problem = ERROR_INIT;
    enum error_kind rc = load_file(file, false, config, &problem);

    if (rc == ERR_NOT_FOUND)
        return OK;
    if (rc)
        error_copy(err, &problem);
    return rc;
}

enum error_kind config_load(const char *file, struct config *out, struct error *err)
{
    struct config config = CONFIG_INIT;
    char *user = NULL;
    enum error_kind rc;

    if (file) {
        rc = load_file(file, false, &config, err);
        if (rc == ERR_NOT_FOUND)
            error_hint(err,
                       "without --config " SYSTEM_FILE " and ~/.config/nopsnap.conf are read, where they are there");
    } else {
        rc = load_optional(SYSTEM_FILE, &config, err);
        if (!rc)
            rc = user_file(&user, err);
        if (!rc && user)
            rc = load_optional(user, &config, err);
    }
    if (!rc)
        rc = check_complete(&config, err);
    if (rc)
        config_release(&config);
    else
        *out = config;
    free(user);
    return rc;
}

static void drop_incomplete(struct config *c)
{
    size_t kept = 0;

    for (size_t i = 0; i < c->count; i++) {
        if (c->sites[i].path)
            c->sites[kept++] = c->sites[i];
        else
            config_site_values_release(&c->sites[i]);
    }
    c->count = kept;
}

void config_load_readable(const char *file, struct config *out)
{
    struct error ignored = ERROR_INIT;
    char *user = NULL;

    if (file) {
        (void)load_file(file, true, out, &ignored);
    } else {
        (void)load_file(SYSTEM_FILE, true, out, &ignored);
        if (user_file(&user, &ignored) == OK && user)
            (void)load_file(user, true, out, &ignored);
    }
    drop_incomplete(out);
    free(user);
}

void config_release(struct config *c)
{
    for (size_t i = 0; i < c->count; i++)
        config_site_values_release(&c->sites[i]);
    config_notify_values_release(&c->notify);
    free(c->sites);
    free(c->catalog);
    free(c->metrics_file);
    *c = (struct config)CONFIG_INIT;
}

/* The real path; for a folder that is gone, what its name amounts to. */
static char *canonical(const char *path)
{
    struct error ignored = ERROR_INIT;
    char *real = realpath(path, NULL);

    if (!real && site_path_normalize(path, &real, &ignored))
        real = NULL;
    return real;
}

const struct site_config *config_find(const struct config *c, const char *name_or_path)
{
    const struct site_config *found = NULL;
    char *wanted;

    for (size_t i = 0; i < c->count; i++) {
        if (strcmp(c->sites[i].name, name_or_path) == 0)
            return &c->sites[i];
    }
    wanted = canonical(name_or_path);
    for (size_t i = 0; wanted && i < c->count && !found; i++) {
        char *path = canonical(c->sites[i].path);

        if (path && strcmp(path, wanted) == 0)
            found = &c->sites[i];
        free(path);
    }
    free(wanted);
    return found;
}
