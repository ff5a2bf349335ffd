/*
 * Which systemd unit runs a site, and with what environment. Units are read as files, since nopsnap also runs where
 * systemd doesn't (a rescue system, a container's host): the folders in systemd's order, the first file of a name
 * wins, then the drop-ins by name, then the environment files.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "site_unit_internal.h"

#define UNITS_MAX 20000
#define SEARCH_DEFAULT \
    "/etc/systemd/system:/run/systemd/system:/usr/local/lib/systemd/system:/lib/systemd/system:/usr/lib/systemd/system"

struct search {
    struct text_list folders;
};

static enum error_kind search_make(struct search *s, struct error *err)
{
    const char *path = getenv("NOPSNAP_SYSTEMD_PATH");
    char *copy = NULL;
    char *rest = NULL;
    enum error_kind rc;

    rc = memory_string(path ? path : SEARCH_DEFAULT, &copy, err);
    for (char *f = rc ? NULL : strtok_r(copy, ":", &rest); f && !rc; f = strtok_r(NULL, ":", &rest))
        rc = text_list_add(&s->folders, f, err);
    free(copy);
    return rc;
}

/* A whole small text; an unreadable one is the caller's to judge. */
static enum error_kind read_text(const char *path, struct buffer *out, struct error *err)
{
    enum error_kind rc = file_read_whole(AT_FDCWD, path, SITE_TEXT_MAX, out, err);

    if (!rc && out->len > 0 && memchr(out->data, '\0', out->len))
        rc = error_set(err, ERR_REFUSED, 0, "%s holds a NUL byte", path);
    return rc;
}

static enum error_kind apply_file(struct unit *u, const char *path, struct error *err)
{
    struct buffer text = BUFFER_INIT(SITE_TEXT_MAX);
    enum error_kind rc;

    rc = read_text(path, &text, err);
    if (!rc && text.data)
        rc = unit_apply(u, (const char *)text.data, path, err);
    buffer_release_secret(&text);
    return rc;
}

/* Where a unit's file is: its own, or that of the template it is an instance of. */
static enum error_kind unit_locate(const struct search *s, const char *name, char **out, struct error *err)
{
    const char *at = strchr(name, '@');
    char *template = NULL;
    enum error_kind rc = OK;

    if (at && at[1] != '.')
        rc = memory_format(&template, err, "%.*s@.service", (int)(at - name), name);
    for (int pass = 0; pass < 2 && !rc; pass++) {
        const char *wanted = pass == 0 ? name : template;

        for (size_t i = 0; wanted && i < s->folders.count && !rc; i++) {
            char *path = NULL;

            rc = path_join(s->folders.items[i], wanted, &path, err);
            if (!rc && access(path, F_OK) == 0) {
                *out = path;
                free(template);
                return OK;
            }
            free(path);
        }
    }
    free(template);
    return rc ? rc : error_set(err, ERR_NOT_FOUND, 0, "there is no unit %s", name);
}

struct drop_in {
    char *name;
    char *path;
};

struct drop_ins {
    struct drop_in *items;
    size_t count;
};

static void drop_ins_release(struct drop_ins *d)
{
    for (size_t i = 0; i < d->count; i++) {
        free(d->items[i].name);
        free(d->items[i].path);
    }
    free(d->items);
}

static int drop_in_compare(const void *a, const void *b)
{
    return strcmp(((const struct drop_in *)a)->name, ((const struct drop_in *)b)->name);
}

/* A drop-in hides those of the same name in folders that come later. */
static enum error_kind drop_in_add(struct drop_ins *d, const char *folder, const char *name, struct error *err)
{
    struct drop_in *items;
    struct drop_in add = {NULL, NULL};
    enum error_kind rc;

    for (size_t i = 0; i < d->count; i++) {
        if (strcmp(d->items[i].name, name) == 0)
            return OK;
    }
    if (d->count >= UNITS_MAX)
        return error_set(err, ERR_REFUSED, 0, "%s holds too many drop-ins", folder);
    items = reallocarray(d->items, d->count + 1, sizeof(*items));
    if (!items)
        return error_set(err, ERR_MEMORY, 0, "out of memory for drop-ins");
    d->items = items;
    rc = memory_string(name, &add.name, err);
    if (!rc)
        rc = path_join(folder, name, &add.path, err);
    if (rc) {
        free(add.name);
        return rc;
    }
    d->items[d->count++] = add;
    return OK;
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text);
    size_t tail = strlen(end);

    return len > tail && strcmp(text + len - tail, end) == 0;
}

static enum error_kind drop_ins_of(const char *folder, struct drop_ins *d, struct error *err)
{
    struct dirent *entry;
    enum error_kind rc = OK;
    DIR *dir = opendir(folder);

    if (!dir)
        return OK;
    while (!rc && (entry = readdir(dir))) {
        if (ends_with(entry->d_name, ".conf"))
            rc = drop_in_add(d, folder, entry->d_name, err);
    }
    closedir(dir);
    return rc;
}

static enum error_kind unit_apply_drop_ins(const struct search *s, struct unit *u, struct error *err)
{
    struct drop_ins found = {NULL, 0};
    const char *at = strchr(u->name, '@');
    char *names[3] = {NULL, NULL, NULL};
    enum error_kind rc;

    rc = memory_format(&names[0], err, "%s.d", u->name);
    if (!rc && at)
        rc = memory_format(&names[1], err, "%.*s@.service.d", (int)(at - u->name), u->name);
    if (!rc)
        rc = memory_string("service.d", &names[2], err);
    for (size_t n = 0; n < 3 && !rc; n++) {
        for (size_t i = 0; names[n] && i < s->folders.count && !rc; i++) {
            char *folder = NULL;

            rc = path_join(s->folders.items[i], names[n], &folder, err);
            if (!rc)
                rc = drop_ins_of(folder, &found, err);
            free(folder);
        }
    }
    if (found.count > 0)
        qsort(found.items, found.count, sizeof(*found.items), drop_in_compare);
    for (size_t i = 0; i < found.count && !rc; i++)
        rc = apply_file(u, found.items[i].path, err);
    for (size_t n = 0; n < 3; n++)
        free(names[n]);
    drop_ins_release(&found);
    return rc;
}

static enum error_kind unit_load(const struct search *s, const char *name, struct unit *out, struct error *err)
{
    struct unit u = UNIT_INIT;
    enum error_kind rc;

    rc = unit_locate(s, name, &u.file, err);
    if (!rc)
        rc = memory_string(name, &u.name, err);
    if (!rc)
        rc = apply_file(&u, u.file, err);
    if (!rc)
        rc = unit_apply_drop_ins(s, &u, err);
    if (rc)
        unit_release(&u);
    else
        *out = u;
    return rc;
}

/* Does a path that a unit names lie in the site, once symlinks are resolved? */
static bool lies_in(const char *root, const char *path)
{
    char *real;
    bool in;

    if (path[0] != '/')
        return false;
    real = realpath(path, NULL);
    in = site_path_below(root, real ? real : path) != NULL;
    free(real);
    return in;
}

/* How surely a unit runs the site: its folder, a program or an assembly in it, and what the command looks like. */
static enum error_kind unit_score(const struct unit *u, const char *root, int *score, struct error *err)
{
    enum error_kind rc = OK;

    *score = u->working_directory && lies_in(root, u->working_directory) ? 2 : 0;
    for (size_t i = 0; i < u->commands.count && !rc; i++) {
        const char *at = u->commands.items[i] + strspn(u->commands.items[i], "-@:+!");
        bool inside = false;
        bool shop = false;
        char *word = NULL;

        while ((rc = unit_word(&at, &word, err)) == OK && word) {
            inside = inside || lies_in(root, word);
            shop = shop || strncmp(path_base(word), "Nop.Web", 7) == 0;
            free(word);
            word = NULL;
        }
        *score += (inside ? 2 : 0) + (shop && (inside || *score > 0) ? 3 : 0);
    }
    return rc;
}

static enum error_kind names_of(const char *folder, struct text_list *out, struct error *err)
{
    struct dirent *entry;
    enum error_kind rc = OK;
    DIR *dir = opendir(folder);

    if (!dir)
        return OK;
    while (!rc && (entry = readdir(dir)) && out->count < UNITS_MAX) {
        if (ends_with(entry->d_name, ".service") && !ends_with(entry->d_name, "@.service"))
            rc = text_list_add(out, entry->d_name, err);
    }
    closedir(dir);
    return rc;
}

static int text_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Look through all units; among equals the first by name is taken and the others are named. */
static enum error_kind unit_search(const struct search *s, const char *root, struct unit *out,
                                   const struct site_notes *notes, struct error *err)
{
    struct text_list names = TEXT_LIST_INIT;
    enum error_kind rc = OK;
    int best = 0;

    for (size_t i = 0; i < s->folders.count && !rc; i++)
        rc = names_of(s->folders.items[i], &names, err);
    if (names.count > 0)
        qsort(names.items, names.count, sizeof(*names.items), text_compare);
    for (size_t i = 0; i < names.count && !rc; i++) {
        struct unit u = UNIT_INIT;
        struct error unreadable = ERROR_INIT;
        int score = 0;

        if ((i > 0 && strcmp(names.items[i], names.items[i - 1]) == 0) || unit_load(s, names.items[i], &u, &unreadable))
            continue;
        rc = unit_score(&u, root, &score, err);
        if (!rc && score >= 2 && score == best)
            rc = site_remark(notes, err, "%s also runs from this site; %s is taken for the shop's unit", u.name,
                             out->name);
        if (!rc && score >= 2 && score > best) {
            unit_release(out);
            *out = u;
            u = (struct unit)UNIT_INIT;
            best = score;
        }
        unit_release(&u);
    }
    text_list_release(&names);
    return rc;
}

static enum error_kind apply_environment_file(struct unit *u, const char *path, bool optional,
                                              const struct site_notes *notes, struct error *err)
{
    struct buffer text = BUFFER_INIT(SITE_TEXT_MAX);
    struct error problem = ERROR_INIT;
    enum error_kind rc;

    rc = read_text(path, &text, &problem);
    if (!rc && text.data)
        rc = unit_environment_apply(&u->environment, (const char *)text.data, path, err);
    else if (rc && !(optional && rc == ERR_NOT_FOUND))
        rc = site_warn(notes, err, "%s: %s; what the shop's environment says of its database is not known", u->name,
                       problem.text);
    else
        rc = OK;
    buffer_release_secret(&text);
    return rc;
}

/* systemd takes a pattern there, and lets these files override Environment=. */
static enum error_kind unit_apply_environment_files(struct unit *u, const struct site_notes *notes, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; i < u->environment_files.count && !rc; i++) {
        const char *path = u->environment_files.items[i];
        bool optional = *path == '-';
        glob_t found = {0};

        path += optional;
        if (glob(path, 0, NULL, &found) == 0) {
            for (size_t k = 0; k < found.gl_pathc && !rc; k++)
                rc = apply_environment_file(u, found.gl_pathv[k], optional, notes, err);
        } else {
            rc = apply_environment_file(u, path, optional, notes, err);
        }
        globfree(&found);
    }
    for (size_t i = 0; i < u->unset.count; i++)
        site_environment_unset(&u->environment, u->unset.items[i]);
    return rc;
}

enum error_kind site_unit_full_name(const char *service, char **out, struct error *err)
{
    static const char *const suffixes[] = {".service", ".socket", ".target", ".device", ".mount", ".automount",
                                           ".swap",    ".timer",  ".path",   ".slice",  ".scope"};
    size_t n = strlen(service);
    bool whole = false;

    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]) && !whole; i++) {
        size_t s = strlen(suffixes[i]);

        whole = n > s && !strcmp(service + n - s, suffixes[i]);
    }
    return memory_format(out, err, "%s%s", service, whole ? "" : ".service");
}

static enum error_kind unit_find(const struct search *s, const char *root, const char *service, struct unit *out,
                                 const struct site_notes *notes, struct error *err)
{
    struct error problem = ERROR_INIT;
    char *name = NULL;
    enum error_kind rc;

    if (!service)
        return unit_search(s, root, out, notes, err);
    rc = site_unit_full_name(service, &name, err);
    if (!rc && unit_load(s, name, out, &problem))
        rc = site_warn(notes, err, "the config names the unit %s, but: %s", service, problem.text);
    free(name);
    return rc;
}

enum error_kind site_unit_collect(const char *root, const char *service, struct site_environment *out,
                                  const struct site_notes *notes, struct error *err)
{
    struct search search = {TEXT_LIST_INIT};
    struct unit unit = UNIT_INIT;
    enum error_kind rc;

    rc = search_make(&search, err);
    if (!rc)
        rc = unit_find(&search, root, service, &unit, notes, err);
    if (!rc && unit.name)
        rc = unit_apply_environment_files(&unit, notes, err);
    if (!rc && unit.name) {
        *out = unit.environment;
        unit.environment = (struct site_environment)SITE_ENVIRONMENT_INIT;
        out->unit = unit.name;
        unit.name = NULL;
    }
    unit_release(&unit);
    text_list_release(&search.folders);
    return rc;
}
