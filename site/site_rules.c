/*
 * What becomes of each path of a site. In order:
 *   R1  nopsnap's own folders are never touched, whatever is asked: .nopsnap at the root, and the journal folder
 *       .nopsnap-NAME of a site that lies inside this one (anywhere in a plain folder; in a shop beside its own folders
 *       or in wwwroot, where alone a second site could be).
 *   R2  The last of the owner's patterns that matches decides: exclude or include.
 *   R3  Else the built-in rules of the site's layout and version.
 *   R4  Folders that the application expects, and placeholders in them, are kept where the rest is regenerated; so is a link in the place of such
 *       a folder, which nobody makes again. (Whoever asks calls a link a folder.)
 *   R5  A folder under which an include could match is kept, so that a walk gets there.
 * Built-in rules disregard case, since trees that grew on Windows do (logs/ beside Logs/).
 */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "file.h"
#include "json.h"
#include "site_internal.h"

struct rule {
    const char *folder;
    enum site_class class;
    const char *reason;
    enum site_layout layout;
    int from; /* first release, as major * 100 + minor */
    int to;   /* last release */
};

#define ANY_FROM 0
#define ANY_TO 9999

static const struct rule built_in[] = {
    {"Content/Images/Thumbs", SITE_REGENERATED, "thumbnails", SITE_LEGACY, ANY_FROM, ANY_TO},
    {"Administration/db_backups", SITE_BACKUPS, "database backups made by the shop", SITE_LEGACY, ANY_FROM, ANY_TO},
    {"Plugins/bin", SITE_REGENERATED, "shadow copies of plugins", SITE_LEGACY, ANY_FROM, ANY_TO},
    {"App_Data/TempUploads", SITE_REGENERATED, "half-done uploads", SITE_LEGACY, ANY_FROM, ANY_TO},
    {"logs", SITE_REGENERATED, "logs", SITE_LEGACY, ANY_FROM, ANY_TO},
    {"wwwroot/images/thumbs", SITE_REGENERATED, "thumbnails", SITE_CORE, ANY_FROM, ANY_TO},
    {"wwwroot/bundles", SITE_REGENERATED, "bundles", SITE_CORE, ANY_FROM, ANY_TO},
    {"wwwroot/sitemaps", SITE_REGENERATED, "sitemaps", SITE_CORE, 460, ANY_TO},
    {"wwwroot/db_backups", SITE_BACKUPS, "database backups made by the shop", SITE_CORE, ANY_FROM, ANY_TO},
    {"Plugins/bin", SITE_REGENERATED, "shadow copies of plugins", SITE_CORE, ANY_FROM, 450},
    {"App_Data/TempUploads", SITE_REGENERATED, "half-done uploads", SITE_CORE, ANY_FROM, ANY_TO},
    {"obj/WebOptimizerCache", SITE_REGENERATED, "cache of the web optimizer", SITE_CORE, 440, ANY_TO},
    {"logs", SITE_REGENERATED, "logs", SITE_CORE, ANY_FROM, ANY_TO},
};

/* Folders that hold what nobody can make again: a cache folder set to one of these, above or below it is not believed. */
static const char *const precious[] = {
    "App_Data",       "Areas",
    "Plugins",        "Themes",
    "Views",          "bin",
    "refs",           "wwwroot/.well-known",
    "wwwroot/css",    "wwwroot/db_backups",
    "wwwroot/files",  "wwwroot/icons",
    "wwwroot/images", "wwwroot/js",
    "wwwroot/lib",    "wwwroot/lib_npm",
};

/* Rewritten in place by the application, by version at one time or another. */
static const char *const rewritten[] = {
    "/App_Data/*.json",
    "/App_Data/*.txt",
    "/App_Data/*.sdf",
    "/App_Data/DataProtectionKeys/**",
    "/App_Data/Gmail/**",
    "/appsettings*.json",
    "/web.config",
    "/Global.asax",
    "/robots.*",
    "/wwwroot/robots.*",
    "/wwwroot/icons/**",
    "/wwwroot/files/exportimport/**",
    "/Content/files/ExportImport/**",
    "/Plugins/*/plugin.json",
    "/Plugins/*/Description.txt",
};

struct wish {
    char *pattern;
    bool include;
};

/* Folders that the shop's own settings name. */
enum extra_kind { EXTRA_CACHE, EXTRA_THUMBS };

static const struct {
    const char *word; /* in site_rules_list() */
    const char *reason;
} extra_kinds[] = {
    [EXTRA_CACHE] = {"cache", "cache of the web optimizer"},
    [EXTRA_THUMBS] = {"thumbs", "thumbnails"},
};

struct extra {
    char *folder;
    enum extra_kind kind;
};

struct site_rules {
    const struct rule *active[sizeof(built_in) / sizeof(built_in[0])];
    size_t active_count;
    struct extra *extras;
    size_t extra_count;
    struct wish *wishes;
    size_t wish_count;
    int nocase; /* of the owner's patterns: as the site's own filesystem */
};

static const char own_reason[] = "nopsnap's own";

/* The part of path behind folder, without regard to case; NULL if it is not in there. */
static const char *below_nocase(const char *folder, const char *path)
{
    size_t len = strlen(folder);

    if (strncasecmp(folder, path, len) != 0 || (path[len] != '/' && path[len] != '\0'))
        return NULL;
    return path + len + (path[len] == '/');
}

/* Is one of two folders in the other? */
static bool related(const char *a, const char *b)
{
    return below_nocase(a, b) || below_nocase(b, a);
}

static enum error_kind add_extra(struct site_rules *rules, const char *folder, enum extra_kind kind, struct error *err)
{
    struct extra *extras = reallocarray(rules->extras, rules->extra_count + 1, sizeof(*extras));
    enum error_kind rc;

    if (!extras)
        return error_set(err, ERR_MEMORY, 0, "out of memory for rules");
    rules->extras = extras;
    rc = memory_string(folder, &extras[rules->extra_count].folder, err);
    extras[rules->extra_count].kind = kind;
    rules->extra_count += rc ? 0 : 1;
    return rc;
}

static enum error_kind add_wish(struct site_rules *rules, const char *pattern, bool include, struct error *err)
{
    struct wish *wishes;
    enum error_kind rc;

    if (pattern[0] == '\0' || strcmp(pattern, "/") == 0 || strlen(pattern) >= 4096) {
        error_set(err, ERR_USAGE, 0, "'%.60s' is no pattern for %s", pattern, include ? "include" : "exclude");
        error_hint(err, "patterns look like *.log, /wwwroot/files/** or Plugins/Acme.*");
        return ERR_USAGE;
    }
    wishes = reallocarray(rules->wishes, rules->wish_count + 1, sizeof(*wishes));
    if (!wishes)
        return error_set(err, ERR_MEMORY, 0, "out of memory for patterns");
    rules->wishes = wishes;
    rc = memory_string(pattern, &wishes[rules->wish_count].pattern, err);
    wishes[rules->wish_count].include = include;
    rules->wish_count += rc ? 0 : 1;
    return rc;
}

/* The folder below the site that a cache setting names; NULL if it is elsewhere, or holds what can't be made again. */
static char *cache_folder(const struct site *site, const char *setting)
{
    struct error ignored = ERROR_INIT;
    char *joined = NULL;
    char *full = NULL;
    const char *below = NULL;
    char *out = NULL;

    if (setting[0] == '/' ? memory_string(setting, &joined, &ignored)
                          : path_join(site->path, setting, &joined, &ignored))
        return NULL;
    for (char *p = joined; *p; p++) {
        if (*p == '\\')
            *p = '/';
    }
    if (!site_path_normalize(joined, &full, &ignored))
        below = site_path_below(site->path, full);
    for (size_t i = 0; below && i < sizeof(precious) / sizeof(precious[0]); i++) {
        if (*below == '\0' || related(precious[i], below))
            below = NULL;
    }
    if (below && memory_string(below, &out, &ignored))
        out = NULL;
    free(joined);
    free(full);
    return out;
}

/* WebOptimizer's CacheDirectory (4.50+, sometimes written as an absolute path). Unreadable settings are told elsewhere. */
static enum error_kind add_cache(const struct site *site, struct site_rules *rules, struct error *err)
{
    struct buffer text = BUFFER_INIT(SITE_TEXT_MAX);
    struct error ignored = ERROR_INIT;
    struct json *settings = NULL;
    char *found = NULL;
    char *folder = NULL;
    const char *setting;
    enum error_kind rc = OK;

    if (site_file_find(site->path, "App_Data/appsettings.json", &found, &ignored) ||
        site_file_text(site->path, found, SITE_TEXT_MAX, &text, &ignored) ||
        json_parse(text.data, text.len, &settings, &ignored))
        goto done;
    setting = json_text(json_get_nocase(json_get_nocase(settings, "WebOptimizer"), "CacheDirectory"));
    folder = setting && setting[0] ? cache_folder(site, setting) : NULL;
    if (folder)
        rc = add_extra(rules, folder, EXTRA_CACHE, err);

done:
    json_free(settings);
    buffer_release_secret(&text);
    free(found);
    free(folder);
    return rc;
}

static void choose(const struct site *site, struct site_rules *rules)
{
    int release = site->version.major * 100 + site->version.minor;

    for (size_t i = 0; i < sizeof(built_in) / sizeof(built_in[0]); i++) {
        const struct rule *r = &built_in[i];

        /* Of an unknown version only what holds for all of them is left out. */
        if (r->layout == site->layout && r->from <= release && release <= r->to &&
            (release > 0 || (r->from == ANY_FROM && r->to == ANY_TO)))
            rules->active[rules->active_count++] = r;
    }
}

enum error_kind site_rules_new(const struct site *site, struct site_rules **out, struct error *err)
{
    struct site_rules *rules = NULL;
    void *memory = NULL;
    enum error_kind rc;

    rc = memory_zeroed(1, sizeof(*rules), &memory, err);
    if (rc)
        return rc;
    rules = memory;
    rules->nocase = site->layout == SITE_LEGACY;
    choose(site, rules);
    if (site->layout == SITE_CORE && site->exists)
        rc = add_cache(site, rules, err);
    for (size_t i = 0; !rc && site->config && i < site->config->exclude.count; i++)
        rc = add_wish(rules, site->config->exclude.items[i], false, err);
    for (size_t i = 0; !rc && site->config && i < site->config->include.count; i++)
        rc = add_wish(rules, site->config->include.items[i], true, err);
    if (rc)
        site_rules_free(rules);
    else
        *out = rules;
    return rc;
}

void site_rules_free(struct site_rules *rules)
{
    if (!rules)
        return;
    for (size_t i = 0; i < rules->wish_count; i++)
        free(rules->wishes[i].pattern);
    for (size_t i = 0; i < rules->extra_count; i++)
        free(rules->extras[i].folder);
    free(rules->wishes);
    free(rules->extras);
    free(rules);
}

enum error_kind site_exclude(struct site *site, const char *pattern, struct error *err)
{
    return add_wish(site->rules, pattern, false, err);
}

enum error_kind site_include(struct site *site, const char *pattern, struct error *err)
{
    return add_wish(site->rules, pattern, true, err);
}

/* ---- rules as text ---- */

static const char *word_of(const struct wish *wish)
{
    return wish->include ? "include" : "exclude";
}

/* What stands behind "WORD " in a line; NULL if the line begins otherwise. */
static const char *behind_word(const char *line, const char *word)
{
    size_t len = strlen(word);

    return strncmp(line, word, len) == 0 && line[len] == ' ' ? line + len + 1 : NULL;
}

static enum error_kind no_rule(const char *line, struct error *err)
{
    return error_set(err, ERR_CORRUPT, 0, "'%.60s' is no rule of a site", line);
}

static enum error_kind take_pattern(struct site_rules *rules, const char *line, struct error *err)
{
    const char *exclude = behind_word(line, "exclude");
    const char *include = behind_word(line, "include");

    if (!exclude && !include)
        return no_rule(line, err);
    return add_wish(rules, exclude ? exclude : include, include != NULL, err);
}

enum error_kind site_patterns_list(const struct site *site, struct text_list *out, struct error *err)
{
    const struct site_rules *rules = site->rules;
    enum error_kind rc = OK;

    for (size_t i = 0; i < rules->wish_count && !rc; i++)
        rc = text_list_addf(out, err, "%s %s", word_of(&rules->wishes[i]), rules->wishes[i].pattern);
    return rc;
}

enum error_kind site_patterns_add(struct site *site, const struct text_list *lines, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; i < lines->count && !rc; i++)
        rc = take_pattern(site->rules, lines->items[i], err);
    return rc;
}

enum error_kind site_rules_list(const struct site *site, struct text_list *out, struct error *err)
{
    const struct site_rules *rules = site->rules;
    enum error_kind rc = text_list_addf(out, err, "layout %s", site_layout_name(site->layout));

    if (!rc && site->version.text[0])
        rc = text_list_addf(out, err, "version %s", site->version.text);
    for (size_t i = 0; i < rules->extra_count && !rc; i++)
        rc = text_list_addf(out, err, "%s %s", extra_kinds[rules->extras[i].kind].word, rules->extras[i].folder);
    return rc ? rc : site_patterns_list(site, out, err);
}

static enum error_kind take_line(struct site_rules *rules, const char *line, struct error *err)
{
    for (size_t i = 0; i < sizeof(extra_kinds) / sizeof(extra_kinds[0]); i++) {
        const char *folder = behind_word(line, extra_kinds[i].word);

        if (folder)
            return add_extra(rules, folder, (enum extra_kind)i, err);
    }
    return take_pattern(rules, line, err);
}

static bool take_layout(const char *name, enum site_layout *out)
{
    static const enum site_layout all[] = {SITE_PLAIN, SITE_LEGACY, SITE_CORE};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (strcmp(name, site_layout_name(all[i])) != 0)
            continue;
        *out = all[i];
        return true;
    }
    return false;
}

enum error_kind site_rules_take(struct site *site, const struct text_list *lines, struct error *err)
{
    struct site bare = SITE_INIT; /* neither its config nor its tree has a say */
    const char *layout = lines->count ? behind_word(lines->items[0], "layout") : NULL;
    const char *version = lines->count > 1 ? behind_word(lines->items[1], "version") : NULL;
    enum error_kind rc = OK;

    if (!layout || !take_layout(layout, &bare.layout))
        return no_rule(lines->count ? lines->items[0] : "", err);
    if (version && site_version_parse(version, &bare.version, err))
        return err->kind = ERR_CORRUPT;
    rc = site_rules_new(&bare, &bare.rules, err);
    for (size_t i = version ? 2 : 1; i < lines->count && !rc; i++)
        rc = take_line(bare.rules, lines->items[i], err);
    if (rc) {
        site_rules_free(bare.rules);
        return rc;
    }
    site_rules_free(site->rules);
    site->rules = bare.rules;
    site->layout = bare.layout;
    site->version = bare.version;
    return OK;
}

enum error_kind site_note_pictures(struct site *site, const char *pictures, struct error *err)
{
    char *thumbs = NULL;
    enum error_kind rc;

    if (site->layout != SITE_CORE || pictures[0] == '/')
        return OK;
    rc = memory_format(&thumbs, err, "%s/thumbs", pictures);
    if (!rc)
        rc = add_extra(site->rules, thumbs, EXTRA_THUMBS, err);
    free(thumbs);
    return rc;
}

static bool is_placeholder(const char *name)
{
    return strcasecmp(name, "placeholder.txt") == 0 || strcasecmp(name, "index.htm") == 0 ||
           strcasecmp(name, "index.html") == 0;
}

/* R4: what of a regenerated folder stays. `below` is the path behind the folder's name. */
static bool stays(const char *below, bool is_directory)
{
    if (*below == '\0')
        return is_directory;
    return !is_directory && is_placeholder(below);
}

static enum site_class classify_built_in(const struct site_rules *rules, const char *relative, bool is_directory,
                                         const char **reason)
{
    const char *below;

    for (size_t i = 0; i < rules->active_count; i++) {
        below = below_nocase(rules->active[i]->folder, relative);
        if (!below || stays(below, is_directory))
            continue;
        *reason = rules->active[i]->reason;
        return rules->active[i]->class;
    }
    for (size_t i = 0; i < rules->extra_count; i++) {
        below = below_nocase(rules->extras[i].folder, relative);
        if (!below || stays(below, is_directory))
            continue;
        *reason = extra_kinds[rules->extras[i].kind].reason;
        return SITE_REGENERATED;
    }
    return SITE_KEEP;
}

/*
 * Could a pattern match something below this folder? A pattern without '/' can anywhere; another one where the part
 * before its first wildcard, up to a '/', and the folder are on one line. Yes is always a correct answer.
 */
static bool may_match_below(const struct wish *wish, const char *folder, int nocase)
{
    const char *pattern = wish->pattern;
    size_t fixed;
    char head[4096];

    if (!strchr(pattern, '/') || folder[0] == '\0')
        return true;
    pattern += *pattern == '/';
    fixed = strcspn(pattern, "*?\\");
    if (pattern[fixed] != '\0') {
        while (fixed > 0 && pattern[fixed - 1] != '/')
            fixed--;
    }
    while (fixed > 0 && pattern[fixed - 1] == '/')
        fixed--;
    if (fixed == 0 || fixed >= sizeof(head))
        return true;
    memcpy(head, pattern, fixed);
    head[fixed] = '\0';
    if (nocase)
        return related(head, folder);
    return site_path_below(head, folder) || site_path_below(folder, head);
}

/* R5 */
static bool include_may_match_below(const struct site_rules *rules, size_t from, const char *folder)
{
    for (size_t i = from; i < rules->wish_count; i++) {
        if (rules->wishes[i].include && may_match_below(&rules->wishes[i], folder, rules->nocase))
            return true;
    }
    return false;
}

/* R1 */
static bool is_own(enum site_layout layout, const char *relative)
{
    const char *name = relative;
    int depth = layout == SITE_PLAIN ? -1 : below_nocase("wwwroot", relative) ? 2 : 1;

    if (strncmp(relative, ".nopsnap", 8) == 0 && (relative[8] == '/' || relative[8] == '\0'))
        return true;
    for (; name && depth != 0; name = strchr(name, '/'), depth--) {
        name += *name == '/';
        if (strncmp(name, ".nopsnap-", 9) == 0)
            return true;
    }
    return false;
}

enum site_class site_classify(const struct site *site, const char *relative, bool is_directory, const char **reason)
{
    const struct site_rules *rules = site->rules;
    enum site_class class = SITE_KEEP;
    const char *why = NULL;
    size_t decided = 0; /* wishes up to here are settled */

    assert(relative[0] != '/');
    if (reason)
        *reason = NULL;
    if (relative[0] == '\0')
        return SITE_KEEP;
    if (is_own(site->layout, relative)) {
        if (reason)
            *reason = own_reason;
        return SITE_OWN;
    }
    for (decided = rules->wish_count; decided > 0; decided--) {
        const struct wish *wish = &rules->wishes[decided - 1];

        if (!text_match(wish->pattern, relative, rules->nocase))
            continue;
        if (wish->include)
            return SITE_KEEP;
        class = SITE_EXCLUDED;
        why = wish->pattern;
        break;
    }
    if (decided == 0)
        class = classify_built_in(rules, relative, is_directory, &why);
    if (class != SITE_KEEP && is_directory && include_may_match_below(rules, decided, relative))
        return SITE_KEEP;
    if (reason)
        *reason = why;
    return class;
}

bool site_leaves_out_below(const struct site *site, const char *relative)
{
    struct error ignored = ERROR_INIT;
    char *inside = NULL;
    bool out;

    /* Ask for a name in it that no rule knows. */
    if (path_join(relative, "nopsnap-asks", &inside, &ignored))
        return false;
    out = site_classify(site, inside, true, NULL) != SITE_KEEP;
    free(inside);
    return out;
}

bool site_begins_empty(const char *reason)
{
    return reason && strcmp(reason, "thumbnails") != 0 && strcmp(reason, "logs") != 0;
}

static bool built_in_rules_below(const struct site_rules *rules, const char *folder)
{
    for (size_t i = 0; i < rules->active_count; i++) {
        if (related(rules->active[i]->folder, folder))
            return true;
    }
    for (size_t i = 0; i < rules->extra_count; i++) {
        if (related(rules->extras[i].folder, folder))
            return true;
    }
    return false;
}

bool site_has_rules_below(const struct site *site, const char *relative)
{
    const struct site_rules *rules = site->rules;

    if (relative[0] == '\0' || site->layout == SITE_PLAIN || built_in_rules_below(rules, relative))
        return true;
    for (size_t i = 0; i < rules->wish_count; i++) {
        if (!rules->wishes[i].include && may_match_below(&rules->wishes[i], relative, rules->nocase))
            return true;
    }
    return false;
}

bool site_is_rewritten(const struct site *site, const char *relative)
{
    if (site->layout == SITE_PLAIN)
        return false;
    for (size_t i = 0; i < sizeof(rewritten) / sizeof(rewritten[0]); i++) {
        if (text_match(rewritten[i], relative, 1))
            return true;
    }
    return false;
}
