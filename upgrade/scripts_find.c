/*
 * Looking for scripts in a folder of packages: in the folder itself, however deep, and in the archives that lie in it. An archive is read as a
 * release is (S3); what is neither a script nor an archive is nobody's business.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "database.h"
#include "file.h"
#include "release_internal.h"
#include "scripts.h"

#define README_MAX (1u << 20)

struct finding {
    struct upgrade_scripts *out;
    const char *work;
    const struct progress *progress;
};

/* One package whose scripts lie unpacked in a folder of ours. */
struct package {
    const struct release *r;
    const char *label; /* "nopCommerce_4.20_UpgradeScripts.rar/" */
    int folder;
};

/* ---- what counts ---- */

static bool ends_in(const char *path, const char *end)
{
    size_t len = strlen(path);
    size_t n = strlen(end);

    return len >= n && strcasecmp(path + len - n, end) == 0;
}

static bool is_script(const struct release_entry *e)
{
    return !e->folder && ends_in(e->path, ".sql");
}

static bool is_readme(const struct release_entry *e)
{
    return !e->folder && strcasecmp(path_base(e->path), "Readme.txt") == 0;
}

/* Larger ones are of another sort: a database's dump, a log. */
static bool is_wanted(const struct release_entry *e)
{
    return (is_script(e) && e->size <= SCRIPT_BYTES_MAX) || (is_readme(e) && e->size <= README_MAX);
}

static bool is_archive(const struct release_entry *e)
{
    static const char *const ends[] = {".zip", ".rar", ".7z", ".tar", ".tgz", ".txz", ".gz", ".bz2", ".xz", ".zst"};

    for (size_t i = 0; !e->folder && i < sizeof(ends) / sizeof(ends[0]); i++)
        if (ends_in(e->path, ends[i]))
            return true;
    return false;
}

/* ---- one script ---- */

/* S1: the step, and what speaks against it. False where nothing tells of a step of ours. */
static bool tell_step(struct upgrade_script *s, bool named, char problem[200])
{
    int from = 0;
    int to = 0;
    bool said = scripts_header(s->text.data, s->text.len, &s->from, &s->to);
    bool around = scripts_path_step(s->name, &from, &to);

    problem[0] = '\0';
    if (!said && !(named && around))
        return false;
    if (!said) {
        s->from = from;
        s->to = to;
    }
    if (!scripts_next(s->from))
        return false;
    if (said && around && (from != s->from || to != s->to))
        (void)snprintf(problem, 200, "says that it goes from %d.%02d to %d.%02d, which its name does not",
                       s->from / 100, s->from % 100, s->to / 100, s->to % 100);
    else if (s->to != scripts_next(s->from))
        (void)snprintf(problem, 200, "goes from %d.%02d to %d.%02d: a script goes one version", s->from / 100,
                       s->from % 100, s->to / 100, s->to % 100);
    return true;
}

static enum error_kind look_through(struct upgrade_script *s, const char *problem, struct error *err)
{
    const struct database_script script = {s->name, s->text.data, s->text.len};
    struct error why = ERROR_INIT;
    enum error_kind rc;

    if (problem[0])
        return memory_format(&s->problem, err, "%s %s", s->name, problem);
    rc = database_check_script(DATABASE_SQLSERVER, &script, &s->batches, &why);
    if (rc == ERR_REFUSED)
        return memory_string(why.text, &s->problem, err);
    if (rc)
        error_copy(err, &why);
    else if (!s->batches)
        rc = memory_format(&s->problem, err, "%s is empty", s->name);
    return rc;
}

static enum error_kind read_notes(const struct package *p, const char *path, struct upgrade_script *s,
                                  struct error *err)
{
    size_t folder = (size_t)(path_base(path) - path);
    struct buffer text = BUFFER_INIT(README_MAX);
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < p->r->list.count; i++) {
        const struct release_entry *e = &p->r->list.items[i];

        if (!is_wanted(e) || !is_readme(e) || (size_t)(path_base(e->path) - e->path) != folder ||
            strncmp(e->path, path, folder) != 0)
            continue;
        rc = file_read_whole(p->folder, e->path, README_MAX, &text, err);
        if (!rc)
            rc = scripts_notes(text.data, text.len, &s->notes, err);
        break;
    }
    buffer_release(&text);
    return rc;
}

static bool same_text(const struct upgrade_script *a, const struct upgrade_script *b)
{
    return a->text.len == b->text.len && memcmp(a->text.data, b->text.data, a->text.len) == 0;
}

/* The same script in two packages is one; two that differ can't both be right, nor two whose names do not agree. */
static enum error_kind add_twin(struct upgrade_script *first, struct upgrade_script *s, struct error *err)
{
    if (first->problem)
        return OK;
    if (!same_text(first, s))
        return memory_format(&first->problem, err, "%s and %s both go from %d.%02d, and differ", first->name, s->name,
                             s->from / 100, s->from % 100);
    first->problem = s->problem;
    s->problem = NULL;
    return OK;
}

static enum error_kind add(struct upgrade_scripts *all, struct upgrade_script *s, struct error *err)
{
    void *grown;

    for (size_t i = 0; i < all->count; i++)
        if (all->items[i].from == s->from)
            return add_twin(&all->items[i], s, err);
    grown = realloc(all->items, (all->count + 1) * sizeof(*all->items)); /* one for each step: there are four */
    if (!grown)
        return error_set(err, ERR_MEMORY, 0, "out of memory for the scripts");
    all->items = grown;
    all->items[all->count++] = *s; /* moved */
    *s = (struct upgrade_script){.name = NULL};
    return OK;
}

static enum error_kind take(const struct finding *f, const struct package *p, const char *path, struct error *err)
{
    struct upgrade_script s = {.text = BUFFER_INIT(SCRIPT_BYTES_MAX)};
    char problem[200];
    enum error_kind rc = memory_format(&s.name, err, "%s%s", p->label, path);

    if (!rc)
        rc = file_read_whole(p->folder, path, SCRIPT_BYTES_MAX, &s.text, err);
    if (!rc && tell_step(&s, strcasecmp(path_base(path), "upgrade.sql") == 0, problem)) {
        rc = look_through(&s, problem, err);
        if (!rc)
            rc = read_notes(p, path, &s, err);
        if (!rc)
            rc = add(f->out, &s, err);
    }
    upgrade_script_release(&s);
    return rc;
}

/* ---- packages ---- */

static enum error_kind take_unpacked(const struct finding *f, struct release *r, const char *label, const char *folder,
                                     struct error *err)
{
    struct package p = {.r = r, .label = label, .folder = -1};
    enum error_kind rc = file_open(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY, 0, &p.folder, err);

    if (!rc)
        rc = release_take_out(r, p.folder, is_wanted, err);
    for (size_t i = 0; !rc && i < r->list.count; i++)
        if (is_wanted(&r->list.items[i]) && is_script(&r->list.items[i]))
            rc = take(f, &p, r->list.items[i].path, err);
    file_close(&p.folder);
    return rc;
}

static enum error_kind take_all(const struct finding *f, struct release *r, const char *label, struct error *err)
{
    struct error trouble = ERROR_INIT;
    char *folder = NULL;
    bool any = false;
    enum error_kind rc;

    for (size_t i = 0; i < r->list.count; i++)
        any = any || is_script(&r->list.items[i]);
    if (!any) /* a release in the same folder */
        return OK;
    rc = release_temporary_folder(f->work, &folder, err);
    if (rc)
        return rc;
    rc = take_unpacked(f, r, label, folder, err);
    if (directory_remove_tree(AT_FDCWD, folder, &trouble) && !rc) {
        error_copy(err, &trouble);
        rc = err->kind;
    }
    free(folder);
    return rc;
}

static enum error_kind open_archive(const struct finding *f, const char *path, const char *name, struct error *err)
{
    struct release_options o = {.work = f->work};
    struct release *r = NULL;
    struct error why = ERROR_INIT;
    char *label = NULL;
    enum error_kind rc = memory_format(&label, err, "%s/", name);

    if (rc)
        return rc;
    rc = release_open_package(path, &o, f->progress, &r, &why);
    if (!rc && r->path) /* a folder now */
        rc = error_set(&why, ERR_REFUSED, 0, "it changed while it was read");
    if (!rc)
        rc = take_all(f, r, label, &why);
    if (rc == ERR_REFUSED)
        rc = text_list_addf(&f->out->problems, err, "%s: %s", name, why.text);
    else if (rc)
        error_copy(err, &why);
    release_free(r);
    free(label);
    return rc;
}

/* The archives of a folder; r->dropped is a folder that all is in, whose name may tell the step. */
static enum error_kind open_folder(const struct finding *f, struct release *r, struct error *err)
{
    const char *label = r->dropped[0] ? r->dropped : NULL;
    char *own = NULL;
    enum error_kind rc = label ? OK : memory_format(&own, err, "%s/", path_base(r->path));
    bool top = false;

    for (size_t i = 0; i < r->list.count; i++)
        top = top || (is_script(&r->list.items[i]) && !strchr(r->list.items[i].path, '/'));
    if (!rc)
        rc = take_all(f, r, label ? label : top ? own : "", err);
    free(own);
    for (size_t i = 0; !rc && i < r->list.count; i++) {
        const struct release_entry *e = &r->list.items[i];
        char *path = NULL;

        if (!is_archive(e))
            continue;
        rc = memory_format(&path, err, "%s/%s%s", r->path, r->dropped, e->path);
        if (!rc)
            rc = open_archive(f, path, e->path, err);
        free(path);
    }
    return rc;
}

enum error_kind scripts_open(const char *place, const char *work, const struct progress *progress,
                             struct upgrade_scripts *out, struct error *err)
{
    struct upgrade_scripts all = UPGRADE_SCRIPTS_INIT;
    struct finding f = {&all, work, progress};
    struct release_options o = {.work = work};
    struct release *r = NULL;
    struct error why = ERROR_INIT;
    enum error_kind rc = memory_string(place, &all.place, err);

    progress_step(progress, "looking for upgrade scripts");
    if (rc)
        return rc;
    rc = release_open_package(place, &o, progress, &r, &why);
    if (!rc && r->path) {
        rc = open_folder(&f, r, &why);
    } else if (!rc) {
        char *label = NULL;

        rc = memory_format(&label, &why, "%s/", r->name);
        if (!rc)
            rc = take_all(&f, r, label, &why);
        free(label);
    }
    if (rc == ERR_REFUSED)
        rc = text_list_addf(&all.problems, err, "%s: %s", place, why.text);
    else if (rc)
        error_copy(err, &why);
    release_free(r);
    if (rc) {
        error_context(err, "--scripts");
        scripts_release(&all);
        return rc;
    }
    *out = all;
    return OK;
}
