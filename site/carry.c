/*
 * In order:
 *   K1  nopsnap's own folders are never touched.
 *   K2  The pictures' folder, where the shop's settings name one, is the owner's.
 *   K3  The first rule of the table that matches decides. What a rule calls code, but the old release is known not to have had and the new
 *       one has not, is the owner's all the same.
 *   K4  A folder of Plugins or Themes is the owner's if the new release has none of that name.
 *   K5  What no rule names is the new release's if it has it, is dropped if the old release is known to have had it, and else is the
 *       owner's, who is told.
 *   K6  Placeholders are the new release's.
 *   K7  A link to a folder is the owner's arrangement, and comes over as a link where its folder would come over, or hold the owner's files beside
 *       some of the release's: those have no place then. Thumbnails, logs and backups behind a link stay there, and the link goes with the tree.
 *       Where the new tree needs a folder of its own for the release's program or for settings, there is nothing right to do.
 * A shop of 3.x serves its root; 4.x serves wwwroot: what keeps its address there moves into it.
 */
#include "carry.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "file.h"
#include "site_internal.h"

enum layouts { LEGACY = 1, CORE = 2, BOTH = 3 };

enum row_kind {
    ROW_COPY,      /* the owner's, whatever the release ships there */
    ROW_ADDITIONS, /* the owner's unless the release ships it */
    ROW_MOVE,
    ROW_SETTINGS,
    ROW_MERGE,
    ROW_DROP,
    ROW_CODE,
};

struct row {
    const char *pattern; /* text_match(), without regard to case */
    int layouts;
    int from; /* the old release */
    int to;
    enum row_kind kind;
    const char *head;  /* the part of the path that is replaced; NULL: none is */
    const char *place; /* by this */
    int place_from;    /* from this new release on */
    const char *reason;
};

#define ANY 0, 9999
#define STAYS NULL, NULL, 0

static const char settings[] = "settings";
static const char keys[] = "keys; without them every login ends";
static const char tokens[] = "tokens for mail";
static const char robots[] = "the owner's rules for robots";
static const char pictures[] = "pictures";
static const char uploads[] = "uploads";
static const char downloads[] = "files of the shop";
static const char exports[] = "exports; they may hold customers' data";
static const char icons[] = "icons";
static const char proofs[] = "proofs of ownership";
static const char plugin_data[] = "settings and secrets of plugins";
static const char own_data[] = "the owner's data";
static const char code[] = "code";
static const char shipped_data[] = "data of the release";
static const char made_again[] = "the application makes it again";
static const char half_done[] = "half-done uploads";

static const struct row rows[] = {
    {"/app_offline.htm", BOTH, ANY, ROW_DROP, STAYS, "it stops the shop while it is there"},

    {"/App_Data/Settings.txt", BOTH, ANY, ROW_SETTINGS, STAYS, settings},
    {"/App_Data/InstalledPlugins.txt", BOTH, ANY, ROW_SETTINGS, STAYS, settings},
    {"/App_Data/dataSettings.json", BOTH, ANY, ROW_SETTINGS, STAYS, settings},
    {"/App_Data/installedPlugins.json", BOTH, ANY, ROW_SETTINGS, STAYS, settings},
    {"/App_Data/plugins.json", BOTH, ANY, ROW_SETTINGS, STAYS, settings},
    {"/App_Data/appsettings.json", BOTH, ANY, ROW_SETTINGS, STAYS, settings},
    {"/App_Data/appsettings.*.json", BOTH, ANY, ROW_SETTINGS, STAYS, settings},
    {"/appsettings.json", CORE, ANY, ROW_SETTINGS, STAYS, settings},
    {"/appsettings.*.json", CORE, ANY, ROW_SETTINGS, STAYS, settings},
    {"/web.config", BOTH, ANY, ROW_MERGE, STAYS, "settings of IIS"},

    {"/Plugins/bin", BOTH, 0, 459, ROW_DROP, STAYS, "shadow copies of plugins"},
    {"/Plugins/Uploaded", CORE, 460, 9999, ROW_DROP, STAYS, "plugins uploaded for the old release"},
    {"/App_Data/TempUploads", BOTH, ANY, ROW_DROP, STAYS, half_done},
    {"/wwwroot/bundles", CORE, ANY, ROW_DROP, STAYS, made_again},
    {"/wwwroot/sitemaps", CORE, 460, 9999, ROW_DROP, STAYS, made_again},
    {"/obj/WebOptimizerCache", CORE, 440, 9999, ROW_DROP, STAYS, made_again},
    {"/Content/Images/Thumbs", LEGACY, ANY, ROW_MOVE, "Content/Images/Thumbs", "wwwroot/images/thumbs", 400,
     "thumbnails"},
    {"/wwwroot/images/thumbs", CORE, ANY, ROW_MOVE, STAYS, "thumbnails"},
    {"/logs", BOTH, ANY, ROW_MOVE, STAYS, "logs"},
    {"/Administration/db_backups", LEGACY, ANY, ROW_MOVE, "Administration/db_backups", "wwwroot/db_backups", 400,
     "database backups made by the shop"},
    {"/wwwroot/db_backups", CORE, ANY, ROW_MOVE, STAYS, "database backups made by the shop"},

    {"/App_Data/DataProtectionKeys", CORE, ANY, ROW_COPY, STAYS, keys},
    {"/App_Data/Gmail", CORE, ANY, ROW_COPY, STAYS, tokens},
    {"/App_Data/additional.crawlers.xml", CORE, ANY, ROW_COPY, STAYS, robots},
    {"/App_Data/Install", BOTH, ANY, ROW_CODE, STAYS, shipped_data},
    {"/App_Data/Installation", BOTH, ANY, ROW_CODE, STAYS, shipped_data},
    {"/App_Data/Localization", BOTH, ANY, ROW_CODE, STAYS, shipped_data},
    {"/App_Data/browscap*.xml", BOTH, ANY, ROW_CODE, STAYS, shipped_data},
    {"/App_Data/GeoLite2-Country.mmdb", BOTH, ANY, ROW_CODE, STAYS, shipped_data},
    {"/App_Data/*.json", BOTH, ANY, ROW_COPY, STAYS, plugin_data},
    {"/App_Data", BOTH, ANY, ROW_ADDITIONS, STAYS, own_data},

    {"/robots.custom.txt", BOTH, 0, 459, ROW_COPY, "robots.custom.txt", "wwwroot/robots.custom.txt", 460, robots},
    {"/robots.additions.txt", BOTH, 0, 459, ROW_COPY, "robots.additions.txt", "wwwroot/robots.additions.txt", 460,
     robots},
    {"/wwwroot/robots.custom.txt", CORE, 460, 9999, ROW_COPY, STAYS, robots},
    {"/wwwroot/robots.additions.txt", CORE, 460, 9999, ROW_COPY, STAYS, robots},

    {"/Content/Images/samples", LEGACY, ANY, ROW_CODE, STAYS, shipped_data},
    {"/Content/Images/flags", LEGACY, ANY, ROW_CODE, STAYS, shipped_data},
    {"/Content/Images/uploaded", LEGACY, ANY, ROW_COPY, "Content/Images/uploaded", "wwwroot/images/uploaded", 400,
     uploads},
    {"/Content/Images/*_0.*", LEGACY, ANY, ROW_COPY, "Content/Images", "wwwroot/images", 400, pictures},
    {"/Content/Images", LEGACY, ANY, ROW_ADDITIONS, "Content/Images", "wwwroot/images", 400, pictures},
    {"/Content/files/ExportImport", LEGACY, ANY, ROW_COPY, "Content/files/ExportImport", "wwwroot/files/exportimport",
     400, exports},
    {"/Content/files", LEGACY, ANY, ROW_COPY, "Content/files", "wwwroot/files", 400, downloads},
    {"/favicon.ico", LEGACY, ANY, ROW_COPY, "favicon.ico", "wwwroot/favicon.ico", 400, icons},
    {"/.well-known", LEGACY, ANY, ROW_COPY, ".well-known", "wwwroot/.well-known", 400, proofs},

    {"/wwwroot/images/samples", CORE, ANY, ROW_CODE, STAYS, shipped_data},
    {"/wwwroot/images/flags", CORE, ANY, ROW_CODE, STAYS, shipped_data},
    {"/wwwroot/images/uploaded", CORE, ANY, ROW_COPY, STAYS, uploads},
    {"/wwwroot/images/*_0.*", CORE, ANY, ROW_COPY, STAYS, pictures},
    {"/wwwroot/images", CORE, ANY, ROW_ADDITIONS, STAYS, pictures},
    {"/wwwroot/files/exportimport", CORE, ANY, ROW_COPY, STAYS, exports},
    {"/wwwroot/files", CORE, ANY, ROW_COPY, STAYS, downloads},
    {"/wwwroot/icons/samples", CORE, ANY, ROW_CODE, STAYS, shipped_data},
    {"/wwwroot/icons", CORE, ANY, ROW_COPY, STAYS, icons},
    {"/wwwroot/favicon.ico*", CORE, ANY, ROW_COPY, STAYS, icons},
    {"/wwwroot/.well-known", CORE, ANY, ROW_COPY, STAYS, proofs},

    {"/bin", BOTH, ANY, ROW_CODE, STAYS, code},
    {"/refs", CORE, ANY, ROW_CODE, STAYS, code},
    {"/runtimes", CORE, ANY, ROW_CODE, STAYS, code},
    {"/Areas", CORE, ANY, ROW_CODE, STAYS, code},
    {"/Views", BOTH, ANY, ROW_CODE, STAYS, code},
    {"/wwwroot/css", CORE, ANY, ROW_CODE, STAYS, code},
    {"/wwwroot/js", CORE, ANY, ROW_CODE, STAYS, code},
    {"/wwwroot/lib", CORE, ANY, ROW_CODE, STAYS, code},
    {"/wwwroot/lib_npm", CORE, ANY, ROW_CODE, STAYS, code},
    {"/*/*.resources.dll", CORE, ANY, ROW_CODE, STAYS, code},
    {"/Nop.Web", CORE, ANY, ROW_CODE, STAYS, code},
    {"/Nop.Web.*", CORE, ANY, ROW_CODE, STAYS, code},
    {"/createdump", CORE, ANY, ROW_CODE, STAYS, code},
    {"/*.so", CORE, ANY, ROW_CODE, STAYS, code},
    {"/*.dll", CORE, ANY, ROW_CODE, STAYS, code},
    {"/*.pdb", CORE, ANY, ROW_CODE, STAYS, code},
    {"/*.exe", CORE, ANY, ROW_CODE, STAYS, code},
    {"/*.deps.json", CORE, ANY, ROW_CODE, STAYS, code},
    {"/*.runtimeconfig.json", CORE, ANY, ROW_CODE, STAYS, code},
    {"/App.config", CORE, ANY, ROW_CODE, STAYS, code},
    {"/Administration", LEGACY, ANY, ROW_CODE, STAYS, code},
    {"/Scripts", LEGACY, ANY, ROW_CODE, STAYS, code},
    {"/Content", LEGACY, ANY, ROW_CODE, STAYS, code},
    {"/Global.asax", LEGACY, ANY, ROW_CODE, STAYS, code},
    {"/ErrorPage.htm", LEGACY, ANY, ROW_CODE, STAYS, code},
    {"/FileNotFound.htm", LEGACY, ANY, ROW_CODE, STAYS, code},
};

/* Folders that hold both the release's and the owner's. */
static const char *const mixed[] = {
    "App_Data", "Plugins",        "Themes",        "wwwroot",        "wwwroot/images", "wwwroot/files",
    "Content",  "Content/Images", "Content/files", "Administration", "wwwroot/icons",  "wwwroot/.well-known",
};

static int release_of(const struct site_version *v)
{
    return v->major * 100 + v->minor;
}

bool site_carry_is_placeholder(const char *relative)
{
    const char *name = path_base(relative);

    return strcasecmp(name, "placeholder.txt") == 0 || strncasecmp(name, "index.htm", 9) == 0;
}

/* The part of path behind folder, without regard to case; NULL if it is not in there. */
static const char *below(const char *folder, const char *path)
{
    size_t len = strlen(folder);

    if (strncasecmp(folder, path, len) != 0 || (path[len] != '/' && path[len] != '\0'))
        return NULL;
    return path + len + (path[len] == '/');
}

static bool new_has(const struct site_carry_request *r, const char *path)
{
    return r->ships && r->ships(r->ships_arg, path);
}

static bool old_had(const struct site_carry_request *r, const char *path)
{
    return r->old_ships && r->old_ships(r->old_ships_arg, path);
}

static enum error_kind decide(struct site_carry_decision *out, enum site_carry_class class, const char *to,
                              const char *reason, struct error *err)
{
    enum error_kind rc = to ? memory_string(to, &out->to, err) : OK;

    if (rc)
        return rc;
    out->class = class;
    out->reason = reason;
    return OK;
}

/* ---- where it goes ---- */

/* A row's new place for a path; the path itself where it has none. Caller frees. */
static enum error_kind place_by_row(const struct site_carry_request *r, const struct row *row, const char *relative,
                                    char **out, struct error *err)
{
    const char *rest;

    if (!row->head || release_of(r->new_version) < row->place_from)
        return memory_string(relative, out, err);
    rest = below(row->head, relative);
    return memory_format(out, err, "%s%s%s", row->place, rest && *rest ? "/" : "", rest ? rest : "");
}

/* A served path of 3.x has the same address below wwwroot. */
static enum error_kind place_by_address(const struct site_carry_request *r, const char *relative, char **out,
                                        struct error *err)
{
    bool moves = r->old_layout == SITE_LEGACY && release_of(r->new_version) >= 400;

    return memory_format(out, err, "%s%s", moves ? "wwwroot/" : "", relative);
}

/* ---- K3 ---- */

static const struct row *find_row(const struct site_carry_request *r, const char *relative)
{
    int layout = r->old_layout == SITE_LEGACY ? LEGACY : CORE;
    int release = release_of(r->old_version);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if ((rows[i].layouts & layout) && rows[i].from <= release && release <= rows[i].to &&
            text_match(rows[i].pattern, relative, 1))
            return &rows[i];
    }
    return NULL;
}

/* Not of the old release, whose list is known, and not of the new one. */
static bool is_addition(const struct site_carry_request *r, const char *relative, const char *to)
{
    return r->old_ships && !old_had(r, relative) && !new_has(r, to);
}

static enum error_kind by_code(const struct site_carry_request *r, const char *relative, bool is_directory,
                               const char *reason, struct site_carry_decision *out, struct error *err)
{
    char *to = NULL;
    enum error_kind rc = place_by_address(r, relative, &to, err);

    if (rc)
        return rc;
    if (!is_directory && is_addition(r, relative, to)) {
        rc = decide(out, SITE_CARRY_COPY, to, "the owner's: neither release has it", err);
        out->unknown = true;
    } else {
        rc = decide(out, SITE_CARRY_FROM_PACKAGE, NULL, reason, err);
    }
    free(to);
    return rc;
}

static enum error_kind by_row(const struct site_carry_request *r, const struct row *row, const char *relative,
                              bool is_directory, struct site_carry_decision *out, struct error *err)
{
    char *to = NULL;
    enum error_kind rc;

    switch (row->kind) {
    case ROW_CODE:
        return by_code(r, relative, is_directory, row->reason, out, err);
    case ROW_DROP:
        return decide(out, SITE_CARRY_DROP, NULL, row->reason, err);
    case ROW_SETTINGS:
        return decide(out, SITE_CARRY_SETTINGS, NULL, row->reason, err);
    case ROW_MERGE:
        if (!new_has(r, relative))
            return decide(out, SITE_CARRY_DROP, NULL, "it is for IIS, and the new release has none", err);
        return decide(out, SITE_CARRY_MERGE, NULL, row->reason, err);
    case ROW_COPY:
    case ROW_ADDITIONS:
    case ROW_MOVE:
        break;
    }
    rc = place_by_row(r, row, relative, &to, err);
    if (rc)
        return rc;
    if (row->kind == ROW_MOVE)
        rc = decide(out, SITE_CARRY_MOVE, to, row->reason, err);
    else if (row->kind == ROW_COPY || is_directory)
        rc = decide(out, SITE_CARRY_COPY, to, row->reason, err);
    else if (new_has(r, to))
        rc = decide(out, SITE_CARRY_FROM_PACKAGE, NULL, shipped_data, err);
    else if (old_had(r, relative))
        rc = decide(out, SITE_CARRY_DROP, NULL, "the new release no longer has it", err);
    else
        rc = decide(out, SITE_CARRY_COPY, to, row->reason, err);
    free(to);
    return rc;
}

/* ---- K4 ---- */

/* A folder of its own below Plugins or Themes; one that lies there as a file is nobody's plugin. */
static enum error_kind by_collection(const struct site_carry_request *r, const char *relative, const char *rest,
                                     bool is_directory, bool plugin, struct site_carry_decision *out, struct error *err)
{
    size_t head = (size_t)(rest - relative) + strcspn(rest, "/");
    bool is_own;
    char *folder;
    enum error_kind rc;

    if (relative[head] == '\0' && !is_directory) {
        rc = decide(out, new_has(r, relative) ? SITE_CARRY_FROM_PACKAGE : SITE_CARRY_COPY,
                    new_has(r, relative) ? NULL : relative, own_data, err);
        out->unknown = out->class == SITE_CARRY_COPY;
        return rc;
    }
    folder = strndup(relative, head);
    if (!folder)
        return error_set(err, ERR_MEMORY, 0, "out of memory for a path");
    is_own = !new_has(r, folder);
    if (is_own && old_had(r, folder))
        rc = decide(out, SITE_CARRY_DROP, NULL, "the new release no longer has it", err);
    else if (is_own)
        rc = decide(out, plugin ? SITE_CARRY_OWN_PLUGIN : SITE_CARRY_OWN_THEME, relative,
                    r->old_layout == SITE_LEGACY && release_of(r->new_version) >= 400
                        ? "written for 3.x, which 4.x does not load: it needs a build for the new release"
                    : plugin ? "an own plugin"
                             : "an own theme",
                    err);
    else
        rc = decide(out, SITE_CARRY_FROM_PACKAGE, NULL, plugin ? "a plugin of the release" : "a theme of the release",
                    err);
    free(folder);
    return rc;
}

/* ---- K5 ---- */

/* "de", "zh-Hans", "pt-BR": folders of translated libraries at the root. */
static bool is_culture(const char *name)
{
    size_t letters = strspn(name, "abcdefghijklmnopqrstuvwxyz");

    if (letters < 2 || letters > 3)
        return false;
    name += letters;
    while (*name == '-') {
        letters = 0;
        while (isalnum((unsigned char)name[1 + letters]))
            letters++;
        if (letters < 2 || letters > 8)
            return false;
        name += 1 + letters;
    }
    return *name == '\0';
}

static enum error_kind by_default(const struct site_carry_request *r, const char *relative, enum site_carry_kind kind,
                                  struct site_carry_decision *out, struct error *err)
{
    bool is_directory = kind != SITE_CARRY_FILE;
    char *to = NULL;
    enum error_kind rc = place_by_address(r, relative, &to, err);

    if (rc)
        return rc;
    if (new_has(r, relative) || new_has(r, to))
        rc = decide(out, is_directory ? SITE_CARRY_INSIDE : SITE_CARRY_FROM_PACKAGE, is_directory ? to : NULL, code,
                    err);
    else if (old_had(r, relative))
        rc = decide(out, SITE_CARRY_DROP, NULL, "the new release no longer has it", err);
    else if (kind == SITE_CARRY_FOLDER && r->old_layout == SITE_CORE && is_culture(relative) && !r->old_ships)
        rc = decide(out, SITE_CARRY_FROM_PACKAGE, NULL, code, err);
    else {
        rc = decide(out, SITE_CARRY_COPY, to, "the owner's: no release is known to have it", err);
        out->unknown = true;
    }
    free(to);
    return rc;
}

/* ---- all together ---- */

static bool is_ours(const char *relative)
{
    return strncmp(relative, ".nopsnap", 8) == 0 && (relative[8] == '/' || relative[8] == '\0' || relative[8] == '-');
}

static bool is_mixed(const char *relative)
{
    for (size_t i = 0; i < sizeof(mixed) / sizeof(mixed[0]); i++) {
        if (strcasecmp(mixed[i], relative) == 0)
            return true;
    }
    return false;
}

/* K2: pictures in another folder than the usual one, and their thumbs. */
static enum error_kind by_pictures(const struct site_carry_request *r, const char *relative, bool *decided,
                                   struct site_carry_decision *out, struct error *err)
{
    const char *rest = r->pictures && r->pictures[0] != '/' ? below(r->pictures, relative) : NULL;

    *decided = rest && strcasecmp(r->pictures, "wwwroot/images") != 0 && strcasecmp(r->pictures, "Content/Images") != 0;
    if (!*decided)
        return OK;
    if (below("thumbs", rest))
        return decide(out, SITE_CARRY_MOVE, relative, "thumbnails", err);
    return decide(out, SITE_CARRY_COPY, relative, pictures, err);
}

static enum error_kind by_rules(const struct site_carry_request *r, const char *relative, enum site_carry_kind kind,
                                struct site_carry_decision *out, struct error *err)
{
    bool is_directory = kind != SITE_CARRY_FILE;
    const struct row *row = find_row(r, relative);
    const char *in_plugins = below("Plugins", relative);
    const char *in_themes = below("Themes", relative);

    if (is_directory && is_mixed(relative))
        return decide(out, SITE_CARRY_INSIDE, NULL, "some of it is the owner's", err);
    if (row)
        return by_row(r, row, relative, is_directory, out, err);
    if (in_plugins)
        return by_collection(r, relative, in_plugins, is_directory, true, out, err);
    if (in_themes)
        return by_collection(r, relative, in_themes, is_directory, false, out, err);
    return by_default(r, relative, kind, out, err);
}

/* K7 */
static enum error_kind by_link(const struct site_carry_request *r, const char *relative,
                               struct site_carry_decision *out, struct error *err)
{
    const struct row *row = find_row(r, relative);

    if (out->class == SITE_CARRY_MOVE)
        out->class = SITE_CARRY_COPY;
    if (out->class != SITE_CARRY_INSIDE)
        return OK;
    if (row && (row->kind == ROW_COPY || row->kind == ROW_ADDITIONS) && strcasecmp(relative, "App_Data") != 0) {
        site_carry_release(out);
        return by_row(r, row, relative, true, out, err);
    }
    out->class = SITE_CARRY_BLOCKED;
    out->reason = "the new version needs a folder of its own there";
    return OK;
}

enum error_kind site_carry_decide(const struct site_carry_request *request, const char *relative,
                                  enum site_carry_kind kind, struct site_carry_decision *out, struct error *err)
{
    bool decided = false;
    enum error_kind rc;

    if (!path_is_safe_relative(relative))
        return error_set(err, ERR_REFUSED, 0, "'%.200s' is no path below a site", relative);
    if (request->old_layout == SITE_PLAIN)
        return error_set(err, ERR_REFUSED, 0, "a plain folder is no shop that could be upgraded");
    site_carry_release(out);
    if (is_ours(relative)) /* K1 */
        return decide(out, SITE_CARRY_OURS, NULL, "nopsnap's own", err);
    rc = by_pictures(request, relative, &decided, out, err);
    if (!rc && !decided)
        rc = by_rules(request, relative, kind, out, err);
    if (!rc && kind == SITE_CARRY_FOLDER_LINK)
        rc = by_link(request, relative, out, err);
    if (rc)
        return rc;
    if (kind == SITE_CARRY_FILE && site_carry_is_placeholder(relative) &&
        (out->class == SITE_CARRY_MOVE || out->class == SITE_CARRY_DROP ||
         (out->to && new_has(request, out->to)))) { /* K6 */
        site_carry_release(out);
        return decide(out, SITE_CARRY_FROM_PACKAGE, NULL, "a placeholder", err);
    }
    return OK;
}

bool site_carry_renames_below(const struct site_carry_request *request, const char *folder)
{
    int old = release_of(request->old_version);
    int new = release_of(request->new_version);

    if (request->old_layout == SITE_LEGACY && new >= 400)
        return true;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];

        if (row->head && (row->layouts & (request->old_layout == SITE_LEGACY ? LEGACY : CORE)) && row->from <= old &&
            old <= row->to && new >= row->place_from && (strcmp(row->head, row->place) != 0) &&
            (*folder == '\0' || below(folder, row->head) || below(row->head, folder)))
            return true;
    }
    return false;
}

void site_carry_release(struct site_carry_decision *decision)
{
    free(decision->to);
    *decision = (struct site_carry_decision)SITE_CARRY_DECISION_INIT;
}

enum error_kind site_carry_describe(const char *relative, const struct site_carry_decision *decision, char **out,
                                    struct error *err)
{
    static const char *const words[] = {
        [SITE_CARRY_INSIDE] = "looked into",
        [SITE_CARRY_COPY] = "kept",
        [SITE_CARRY_OWN_PLUGIN] = "kept",
        [SITE_CARRY_OWN_THEME] = "kept",
        [SITE_CARRY_MOVE] = "stays where it is",
        [SITE_CARRY_SETTINGS] = "converted",
        [SITE_CARRY_MERGE] = "merged",
        [SITE_CARRY_DROP] = "dropped",
        [SITE_CARRY_FROM_PACKAGE] = "from the package",
        [SITE_CARRY_OURS] = "not touched",
        [SITE_CARRY_BLOCKED] = "in the way",
    };
    char shown[1024];

    text_name(relative, strlen(relative), shown, sizeof(shown));
    if (decision->to && strcmp(decision->to, relative) != 0) {
        char to[1024];

        text_name(decision->to, strlen(decision->to), to, sizeof(to));
        return memory_format(out, err, "%s: moved to %s (%s)", shown, to, decision->reason);
    }
    return memory_format(out, err, "%s: %s (%s)", shown, words[decision->class], decision->reason);
}
