#include "site_config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "keep_rules.h"
#include "site_internal.h"

#define SYSTEM_FILE "/etc/nopsnap.conf"
#define CONFIG_MAX (1u << 20)
#define SITES_MAX 10000

struct load {
    struct config *config;
    const char *file;
    struct text_list seen; /* "section\nkey": no single key twice in one file */
};

/* How a key's value is checked. */
enum kind { TEXT, PATH, ADMIN, URL, DURATION, PATTERN, LINE, PAGE, RULES };

struct key {
    const char *name;
    enum kind kind;
    size_t offset;
};

static const struct key keys[] = {
    {"path", PATH, offsetof(struct site_config, path)},
    {"service", TEXT, offsetof(struct site_config, service)},
    {"stop", TEXT, offsetof(struct site_config, stop)},
    {"start", TEXT, offsetof(struct site_config, start)},
    {"open", TEXT, offsetof(struct site_config, open)},
    {"close", TEXT, offsetof(struct site_config, close)},
    {"url", URL, offsetof(struct site_config, url)},
    {"host-header", TEXT, offsetof(struct site_config, host_header)},
    {"ca-file", PATH, offsetof(struct site_config, ca_file)},
    {"health-timeout", DURATION, offsetof(struct site_config, health_timeout)},
    {"check", LINE, offsetof(struct site_config, check)},
    {"check-page", PAGE, offsetof(struct site_config, check_page)},
    {"database-admin", ADMIN, offsetof(struct site_config, database_admin)},
    {"sqlserver-backup-path", TEXT, offsetof(struct site_config, sqlserver_backup_path)},
    {"sqlserver-backup-local", PATH, offsetof(struct site_config, sqlserver_backup_local)},
    {"cache-flush", TEXT, offsetof(struct site_config, cache_flush)},
    {"keep", RULES, offsetof(struct site_config, keep)},
    {"expect-every", DURATION, offsetof(struct site_config, expect_every)},
    {"keep-before-upgrade", RULES, offsetof(struct site_config, keep_before_upgrade)},
    {"keep-safety", RULES, offsetof(struct site_config, keep_safety)},
    {"verify-budget", DURATION, offsetof(struct site_config, verify_budget)},
    {"verify-within", DURATION, offsetof(struct site_config, verify_within)},
    {"after-run", TEXT, offsetof(struct site_config, after_run)},
    {"environment", TEXT, offsetof(struct site_config, environment)},
    {"exclude", PATTERN, offsetof(struct site_config, exclude)},
    {"include", PATTERN, offsetof(struct site_config, include)},
};

#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))

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

/* These may be there several times. */
static bool is_list(enum kind kind)
{
    return kind == PATTERN || kind == LINE || kind == PAGE;
}

static bool is_url(const char *value)
{
    return strncasecmp(value, "http://", 7) == 0 || strncasecmp(value, "https://", 8) == 0;
}

/* Where, a blank, and what has to be there. */
static bool is_page(const char *value)
{
    const char *text = value + strcspn(value, " \t");

    return (value[0] == '/' || is_url(value)) && text[strspn(text, " \t")] != '\0';
}

static bool is_rules(const char *value)
{
    struct keep_rules rules;
    struct error ignored = ERROR_INIT;

    return keep_rules_parse(value, &rules, &ignored) == OK;
}

static bool value_allowed(enum kind kind, const char *value)
{
    if (value[0] == '\0')
        return false;
    if (kind == URL)
        return is_url(value);
    if (kind == DURATION)
        return text_parse_duration(value) > 0;
    if (kind == PAGE)
        return is_page(value);
    if (kind == RULES)
        return is_rules(value);
    if (kind == PATH)
        return value[0] == '/';
    if (kind == ADMIN)
        return value[0] == '/' || (strncmp(value, "service:", 8) == 0 && value[8] != '\0');
    return true;
}

static const char *value_expected(enum kind kind, const char *value)
{
    if (value[0] == '\0')
        return "there is no value for";
    if (kind == ADMIN)
        return "only service:NAME or an absolute path will do for";
    if (kind == URL)
        return "only http://... or https://... will do for";
    if (kind == DURATION)
        return "only a time such as 90s, 30m or 2h will do for";
    if (kind == RULES)
        return "only rules such as last 3, daily 7, weekly 5 will do for";
    if (kind == PAGE)
        return "only /path TEXT or http://... TEXT will do for";
    return "only an absolute path will do for";
}

static enum error_kind set_key(struct load *load, const struct key *key, const char *section, const char *value,
                               unsigned line, struct error *err)
{
    struct site_config *site = NULL;
    enum error_kind rc;

    if (!value_allowed(key->kind, value))
        return refuse(load, line, err, value_expected(key->kind, value), key->name);
    if (!is_list(key->kind) && (rc = note_seen(load, section, key->name, line, err)) != OK)
        return rc;
    rc = section_take(load->config, section, &site, err);
    if (rc)
        return rc;
    if (is_list(key->kind))
        return text_list_add((struct text_list *)((char *)site + key->offset), value, err);
    return replace_text((char **)((char *)site + key->offset), value, err);
}

static enum error_kind take_entry(void *arg, const char *section, const char *name, const char *value, unsigned line,
                                  struct error *err)
{
    struct load *load = arg;

    if (section[0] == '\0')
        return refuse(load, line, err, "no [section] stands before", name);
    if (section[0] == '/' || strchr(section, '\n'))
        return refuse(load, line, err, "a site's name can't begin with a slash:", section);
    if (strcmp(section, "nopsnap") == 0) {
        enum error_kind rc;

        char **where = strcmp(name, "catalog") == 0        ? &load->config->catalog
                       : strcmp(name, "metrics-file") == 0 ? &load->config->metrics_file
                                                           : NULL;

        if (!where)
            return refuse(load, line, err, "[nopsnap] knows no key", name);
        if (!value_allowed(PATH, value))
            return refuse(load, line, err, value_expected(PATH, value), name);
        rc = note_seen(load, section, name, line, err);
        return rc ? rc : replace_text(where, value, err);
    }
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (strcmp(keys[i].name, name) == 0)
            return set_key(load, &keys[i], section, value, line, err);
    }
    refuse(load, line, err, "unknown key", name);
    error_hint(
        err,
        "known are path, service, stop, start, open, close, url, host-header, ca-file, "
        "health-timeout, check, check-page, database-admin, sqlserver-backup-path, sqlserver-backup-local, cache-flush, keep, keep-before-upgrade, keep-safety, expect-every, verify-budget, verify-within, after-run, environment, exclude, include");
    return ERR_REFUSED;
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

static enum error_kind load_file(const char *file, struct config *config, struct error *err)
{
    struct buffer text = BUFFER_INIT(CONFIG_MAX);
    struct load load = {config, file, TEXT_LIST_INIT};
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
    enum error_kind rc = load_file(file, config, &problem);

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
        rc = load_file(file, &config, err);
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

void config_release(struct config *c)
{
    for (size_t i = 0; i < c->count; i++) {
        struct site_config *s = &c->sites[i];

        free(s->name);
        for (size_t k = 0; k < KEY_COUNT; k++) {
            if (is_list(keys[k].kind))
                text_list_release((struct text_list *)((char *)s + keys[k].offset));
            else
                free(*(char **)((char *)s + keys[k].offset));
        }
    }
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
