/*
 * What comes over from the old tree: site/carry.h decides path by path, by what the two versions are and what the releases ship.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "settings_convert.h"
#include "upgrade_internal.h"
#include "walk.h"

/* ---- what a release has, in whatever case ---- */

static int by_folded(const void *a, const void *b)
{
    const struct release_entry *const *x = a;
    const struct release_entry *const *y = b;

    return strcasecmp((*x)->path, (*y)->path);
}

static enum error_kind names_of(const struct release *r, struct release_names *out, struct error *err)
{
    const struct release_list *list = release_list(r);
    enum error_kind rc = memory_zeroed(list->count + 1, sizeof(*out->items), (void **)&out->items, err);

    if (rc)
        return rc;
    out->count = list->count;
    for (size_t i = 0; i < list->count; i++)
        out->items[i] = &list->items[i];
    qsort(out->items, out->count, sizeof(*out->items), by_folded);
    return OK;
}

enum error_kind carry_names_of(struct upgrade_context *c, struct error *err)
{
    enum error_kind rc = names_of(c->release, &c->names, err);

    return !rc && c->old_release ? names_of(c->old_release, &c->old_names, err) : rc;
}

void carry_names_release(struct upgrade_context *c)
{
    free(c->names.items);
    free(c->old_names.items);
    c->names = (struct release_names){NULL, 0};
    c->old_names = (struct release_names){NULL, 0};
}

static const struct release_entry *entry_of(const struct release_names *names, const char *path)
{
    const struct release_entry wanted = {.path = path};
    const struct release_entry *key = &wanted;
    const struct release_entry **found =
        names->count ? bsearch(&key, names->items, names->count, sizeof(*names->items), by_folded) : NULL;

    return found ? *found : NULL;
}

static bool ships(void *arg, const char *path)
{
    return entry_of(arg, path) != NULL;
}

bool carry_ships_folder(const struct upgrade_context *c, const char *path)
{
    const struct release_entry *e = entry_of(&c->names, path);

    return e && e->folder;
}

/* ---- decisions ---- */

static struct site_carry_request request_of(const struct upgrade_context *c)
{
    return (struct site_carry_request){.old_version = &c->from,
                                       .new_version = &c->to,
                                       .old_layout = c->layout,
                                       .ships = ships,
                                       .ships_arg = (void *)(uintptr_t)&c->names,
                                       .old_ships = c->old_release ? ships : NULL,
                                       .old_ships_arg = (void *)(uintptr_t)&c->old_names};
}

enum error_kind carry_decide(const struct upgrade_context *c, const char *path, enum site_carry_kind kind,
                             struct site_carry_decision *out, struct error *err)
{
    const struct site_carry_request request = request_of(c);

    return site_carry_decide(&request, path, kind, out, err);
}

bool carry_renames_below(const struct upgrade_context *c, const char *folder)
{
    const struct site_carry_request request = request_of(c);

    return site_carry_renames_below(&request, folder);
}

bool carry_is_owners(const struct site_carry_decision *d)
{
    return d->class == SITE_CARRY_COPY || d->class == SITE_CARRY_OWN_PLUGIN || d->class == SITE_CARRY_OWN_THEME;
}

bool carry_wants(void *context, const char *path, bool is_folder)
{
    struct upgrade_context *c = context;
    struct site_carry_decision d = SITE_CARRY_DECISION_INIT;
    struct error err = ERROR_INIT;
    bool wanted = false;

    if (!*path)
        return true;
    if (carry_decide(c, path, is_folder ? SITE_CARRY_FOLDER : SITE_CARRY_FILE, &d, &err) == OK && !is_folder &&
        !carry_is_owners(&d) && links_known(c, path) == SITE_CARRY_FOLDER_LINK) /* else all is said */
        (void)carry_decide(c, path, SITE_CARRY_FOLDER_LINK, &d, &err);
    if (!err.kind)
        /* A folder that both have comes with the owner and mode that it has here. */
        wanted = (carry_is_owners(&d) || d.class == SITE_CARRY_INSIDE) && d.to && !strcmp(d.to, path);
    else
        c->failed = true; /* carry_check(): nothing is left out because it could not be asked about */
    site_carry_release(&d);
    return wanted;
}

enum error_kind carry_check(const struct upgrade_context *c, struct error *err)
{
    if (c->failed)
        return error_set(err, ERR_MEMORY, 0, "what comes over could not be decided");
    if (!c->late_link)
        return OK;
    error_set(err, ERR_REFUSED, 0, "a folder of the shop has become a symlink since the upgrade was planned");
    error_hint(err, "leave the shop's folders alone while it is upgraded, and begin again");
    return ERR_REFUSED;
}

/* ---- the plan ---- */

struct counting {
    struct upgrade_context *c;
    struct upgrade_plan *plan;
    struct text_list *problems;
};

/* By folder of the first two names, so that the plan stays short. */
static enum error_kind note(struct counting *n, const char *path, const struct site_carry_decision *d,
                            const struct stat *st, struct error *err)
{
    char *line = NULL;
    enum error_kind rc = OK;

    if (carry_is_owners(d)) {
        n->plan->carried_files++;
        n->plan->carried_bytes += (uint64_t)st->st_size;
    }
    if (!rc && carry_is_owners(d) && (d->unknown || strcmp(d->to, path) != 0) &&
        n->plan->carried.count < UPGRADE_LINES_MAX) {
        rc = site_carry_describe(path, d, &line, err);
        if (!rc)
            rc = text_list_add(&n->plan->carried, line, err);
        free(line);
    }
    return rc;
}

/* What can't get the name that the new version has for it. */
static enum error_kind note_left(struct counting *n, const struct walk_item *item, const struct site_carry_decision *d,
                                 struct error *err)
{
    char from[1024];
    char to[1024];

    text_name(item->path, strlen(item->path), from, sizeof(from));
    text_name(d->to, strlen(d->to), to, sizeof(to));
    if (item->event == WALK_SKIPPED)
        return text_list_addf(&n->plan->carried, err,
                              "%s: left out of snapshots, so it keeps its name; the new version looks for it at %s",
                              from, to);
    return text_list_addf(&n->plan->carried, err, "%s: not carried over to %s (neither a file nor a symlink)", from,
                          to);
}

/* What `exclude` leaves out as a whole goes across by rename once the shop is stopped, if nothing else has its name. */
static enum error_kind note_excluded(struct counting *n, const struct walk_item *item,
                                     const struct site_carry_decision *d, enum site_carry_kind kind, struct error *err)
{
    const char *to = d->to ? d->to : item->path;
    char shown[1024];

    if (!carry_is_owners(d) && d->class != SITE_CARRY_INSIDE)
        return OK;
    text_name(item->path, strlen(item->path), shown, sizeof(shown));
    if (kind == SITE_CARRY_FILE)
        return ships(&n->c->names, to) && n->plan->carried.count < UPGRADE_LINES_MAX
                   ? text_list_addf(&n->plan->carried, err,
                                    "%s: left out of snapshots, so the release's own takes its place", shown)
                   : OK;
    if (!carry_ships_folder(n->c, to))
        return OK;
    if (kind == SITE_CARRY_FOLDER_LINK)
        return text_list_addf(
            n->problems, err,
            "%s is a link, left out of snapshots by `exclude`, and the new version has a folder of that "
            "name: do not exclude it, what is behind it is in no snapshot anyway",
            shown);
    return text_list_addf(
        n->problems, err,
        "%s is left out of snapshots as a whole by `exclude`, and the new version has a folder of that "
        "name: with `exclude = /%s/**` and `include = /%s` what is in it goes across",
        shown, shown, shown);
}

static enum error_kind count(struct counting *n, const struct walk_item *item, struct error *err)
{
    struct site_carry_decision d = SITE_CARRY_DECISION_INIT;
    mode_t type = item->st.st_mode & S_IFMT;
    enum site_carry_kind kind = links_kind(n->c, item->dirfd, item->name, type, item->path);
    enum error_kind rc = carry_decide(n->c, item->path, kind, &d, err);
    bool renamed = !rc && carry_is_owners(&d) && strcmp(d.to, item->path) != 0;

    if (renamed && (item->event == WALK_SKIPPED || (type != S_IFREG && type != S_IFLNK)) &&
        n->plan->carried.count < UPGRADE_LINES_MAX)
        rc = note_left(n, item, &d, err);
    else if (!rc && item->event == WALK_SKIPPED && item->class == SITE_EXCLUDED && !renamed)
        rc = note_excluded(n, item, &d, kind, err);
    else if (!rc && item->event == WALK_ENTRY && kind == SITE_CARRY_FOLDER_LINK)
        rc = links_note(n->c, item, &d, &n->plan->carried, n->problems, err);
    else if (!rc && item->event == WALK_ENTRY && type == S_IFLNK &&
             (d.class == SITE_CARRY_SETTINGS || d.class == SITE_CARRY_MERGE))
        rc = links_note_settings(item, &n->plan->carried, err);
    else if (!rc && item->event == WALK_ENTRY)
        rc = note(n, item->path, &d, &item->st, err);
    site_carry_release(&d);
    return rc;
}

enum error_kind carry_count(struct upgrade_context *c, struct upgrade_plan *plan, struct text_list *problems,
                            struct error *err)
{
    struct counting n = {c, plan, problems};
    struct walk *walk = NULL;
    struct walk_item item;
    enum error_kind rc = walk_open(c->site->path, c->site, &walk, err);

    while (!rc) {
        rc = walk_next(walk, &item, err);
        if (rc || item.event == WALK_END)
            break;
        if (item.event == WALK_ENTRY || (item.event == WALK_SKIPPED && *item.path))
            rc = count(&n, &item, err);
    }
    walk_close(walk);
    links_sort(&c->links);
    return rc;
}

/* Looked at with an empty folder in the new tree's place: the release is not unpacked yet. */
static enum error_kind plan_conversion(struct upgrade_context *c, const char *empty, struct upgrade_plan *plan,
                                       struct preflight *p, struct error *err)
{
    struct site_settings_request request = carry_settings_request(c, c->site->path, empty);
    struct site_settings settings = SITE_SETTINGS_INIT;
    struct error why = ERROR_INIT;
    enum error_kind rc = site_settings_convert(&request, &settings, &why);

    if (rc == ERR_REFUSED) {
        rc = text_list_add(&p->problems, why.text, err);
    } else if (rc) {
        error_copy(err, &why);
    } else {
        rc = text_list_add_all(&plan->settings, &settings.moved, err);
        if (!rc)
            rc = text_list_add_all(&p->remarks, &settings.lost, err);
        if (!rc)
            rc = text_list_add_all(&p->remarks, &settings.warnings, err);
    }
    site_settings_release(&settings);
    return rc;
}

enum error_kind carry_plan_settings(struct upgrade_context *c, struct upgrade_plan *plan, struct preflight *p,
                                    struct error *err)
{
    const char *tmp = getenv("TMPDIR");
    char *empty = NULL;
    enum error_kind rc = memory_format(&empty, err, "%s/nopsnap-XXXXXX", tmp && *tmp ? tmp : "/tmp");

    if (!rc && carry_turns_back(c))
        rc = turn_back_plan(c, plan, p, err);
    if (rc || carry_turns_back(c)) {
        free(empty);
        return rc;
    }
    if (!mkdtemp(empty)) {
        rc = error_set(err, ERR_IO, errno, "%s", empty);
    } else {
        rc = plan_conversion(c, empty, plan, p, err);
        (void)rmdir(empty);
    }
    free(empty);
    return rc;
}

/* ---- what has another name or form, once the shop is stopped ---- */

struct site_settings_request carry_settings_request(const struct upgrade_context *c, const char *live, const char *tree)
{
    return (struct site_settings_request){.old_root = live,
                                          .old_version = &c->from,
                                          .new_root = tree,
                                          .new_version = &c->to,
                                          .runs_at = c->runs_at,
                                          .environment_name = c->site->config ? c->site->config->environment : NULL};
}

static enum error_kind convert(struct upgrade_context *c, const char *live_path, const char *tree_path, int live,
                               int tree, struct error *err)
{
    struct site_settings_request request = carry_settings_request(c, live_path, tree_path);
    struct site_settings settings = SITE_SETTINGS_INIT;
    enum error_kind rc = site_settings_convert(&request, &settings, err);

    if (!rc)
        rc = site_settings_place(&settings, live, tree, err);
    site_settings_release(&settings);
    return rc;
}

enum error_kind carry_settle(void *context, const char *tree, const char *live, const struct progress *progress,
                             struct error *err)
{
    struct upgrade_context *c = context;
    int from = -1;
    int to = -1;
    enum error_kind rc = carry_check(c, err);

    progress_step(progress, "bringing the settings over");
    if (!rc)
        rc = file_open(AT_FDCWD, live, O_RDONLY | O_DIRECTORY, 0, &from, err);
    if (!rc)
        rc = file_open(AT_FDCWD, tree, O_RDONLY | O_DIRECTORY, 0, &to, err);
    if (!rc)
        rc = renamed_settle(c, live, tree, progress, err);
    if (!rc)
        rc = carry_turns_back(c) ? turn_back_settings(c, from, to, err) : convert(c, live, tree, from, to, err);
    if (!rc)
        rc = site_settings_check(c->site, tree, &c->to, err); /* U3 */
    file_close(&from);
    file_close(&to);
    if (rc)
        error_context(err, "bringing the settings over");
    return rc;
}
