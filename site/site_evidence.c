/*
 * A site's version, by the evidence of its own files, best first:
 *   1. the literal in Nop.Core.dll (from 4.40 on with the minor number);
 *   2. Nop.Web.deps.json; 4.60 still calls itself 4.5.0, so the runtime in Nop.Web.runtimeconfig.json decides;
 *   3. the version resource of Nop.Core.dll, where 4.60 also says 4.5.0.0;
 *   4. the plugins' SupportedVersions, by majority.
 * The first that speaks is taken; another that says something else becomes a remark.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "file.h"
#include "json.h"
#include "site_internal.h"

#define PLUGINS_MAX 2000 /* folders looked into for the vote */
#define CANDIDATES_MAX 32

enum { FROM_LITERAL, FROM_DEPS, FROM_RESOURCE, FROM_PLUGINS, EVIDENCE_COUNT };

static const char *const evidence_names[EVIDENCE_COUNT] = {
    "literal in Nop.Core.dll",
    "Nop.Web.deps.json",
    "version resource of Nop.Core.dll",
    "SupportedVersions of the plugins",
};

struct evidence {
    struct site_version says[EVIDENCE_COUNT]; /* major 0: says nothing */
};

/* The release that assembly numbers stand for: 4.70.0 is 4.70, 4.3.0 is 4.30, 4.5.0 is 4.50 or 4.60. */
static struct site_version from_numbers(unsigned major, unsigned minor)
{
    struct site_version v = {0, 0, -1, ""};

    if (major < 3 || major > 99 || minor > 99)
        return v;
    v.major = (int)major;
    v.minor = (int)(minor < 10 ? minor * 10 : minor);
    site_version_print(&v);
    return v;
}

/* 4.5.0 on .NET 7 is 4.60. */
static void settle_450(struct site_version *v, const char *framework)
{
    if (v->major == 4 && v->minor == 50 && framework && strcmp(framework, "net7.0") == 0)
        *v = from_numbers(4, 60);
}

/* Of several literals the longest: the full version beside the major one. */
static void weigh_literals(const struct site_binary *binary, struct site_version *out)
{
    const char *best = "";
    struct error ignored = ERROR_INIT;

    for (size_t i = 0; i < binary->literal_count; i++) {
        if (strlen(binary->literals[i]) > strlen(best))
            best = binary->literals[i];
    }
    if (best[0] == '\0')
        best = binary->loose;
    if (best[0] != '\0' && site_version_parse(best, out, &ignored))
        *out = (struct site_version){0, 0, -1, ""};
}

static enum error_kind read_json(const char *root, const char *name, size_t max, struct json **out, struct error *err)
{
    struct buffer text = BUFFER_INIT(max);
    char *found = NULL;
    enum error_kind rc;

    rc = site_file_find(root, name, &found, err);
    if (!rc)
        rc = site_file_text(root, found, max, &text, err);
    if (!rc)
        rc = json_parse(text.data, text.len, out, err);
    buffer_release(&text);
    free(found);
    return rc;
}

/* A key like "Nop.Core/4.70.0" or "Nop.Web/4.90". */
static void deps_member(const char *key, struct json *value, void *arg)
{
    struct site_version *out = arg;
    unsigned major;
    unsigned minor;

    (void)value;
    if (out->major == 0 && strncmp(key, "Nop.Core/", 9) == 0 && sscanf(key + 9, "%3u.%3u", &major, &minor) == 2)
        *out = from_numbers(major, minor);
}

static void weigh_deps(const char *root, struct site_version *out)
{
    struct error ignored = ERROR_INIT;
    struct json *deps = NULL;

    if (!read_json(root, "Nop.Web.deps.json", SITE_DEPS_MAX, &deps, &ignored))
        json_each(json_get(deps, "libraries"), deps_member, out);
    json_free(deps);
}

static void read_framework(const char *root, char out[32])
{
    struct error ignored = ERROR_INIT;
    struct json *config = NULL;
    const char *framework;

    if (!read_json(root, "Nop.Web.runtimeconfig.json", SITE_TEXT_MAX, &config, &ignored)) {
        framework = json_text(json_get(json_get(config, "runtimeOptions"), "tfm"));
        snprintf(out, 32, "%s", framework ? framework : "");
    }
    json_free(config);
}

struct vote {
    struct site_version candidates[CANDIDATES_MAX];
    unsigned votes[CANDIDATES_MAX];
    size_t count;
};

static void vote_for(struct vote *vote, const char *text)
{
    struct error ignored = ERROR_INIT;
    struct site_version v;

    if (site_version_parse(text, &v, &ignored))
        return;
    for (size_t i = 0; i < vote->count; i++) {
        if (site_version_same_release(&vote->candidates[i], &v)) {
            vote->votes[i]++;
            return;
        }
    }
    if (vote->count < CANDIDATES_MAX) {
        vote->candidates[vote->count] = v;
        vote->votes[vote->count++] = 1;
    }
}

/* 3.x: "SupportedVersions: 3.80, 3.90" among the lines of Description.txt. */
static void vote_of_description(struct vote *vote, char *text)
{
    static const char key[] = "SupportedVersions:";
    char *rest = NULL;

    for (char *line = strtok_r(text, "\r\n", &rest); line; line = strtok_r(NULL, "\r\n", &rest)) {
        char *inner = NULL;

        if (strncasecmp(line, key, sizeof(key) - 1) != 0)
            continue;
        for (char *v = strtok_r(line + sizeof(key) - 1, ", \t", &inner); v; v = strtok_r(NULL, ", \t", &inner))
            vote_for(vote, v);
    }
}

static void vote_of_plugin(const char *folder, struct vote *vote)
{
    struct buffer text = BUFFER_INIT(SITE_TEXT_MAX);
    struct error ignored = ERROR_INIT;
    struct json *plugin = NULL;
    char *found = NULL;

    if (!read_json(folder, "plugin.json", SITE_TEXT_MAX, &plugin, &ignored)) {
        struct json *versions = json_get_nocase(plugin, "SupportedVersions");

        for (size_t i = 0; i < json_length(versions); i++) {
            if (json_text(json_at(versions, i)))
                vote_for(vote, json_text(json_at(versions, i)));
        }
    } else if (!site_file_find(folder, "Description.txt", &found, &ignored) &&
               !site_file_text(folder, found, SITE_TEXT_MAX, &text, &ignored) && text.data) {
        vote_of_description(vote, (char *)text.data);
    }
    json_free(plugin);
    buffer_release(&text);
    free(found);
}

static void weigh_plugins(const char *root, struct site_version *out)
{
    struct vote vote = {0};
    struct error ignored = ERROR_INIT;
    struct dirent *entry;
    char *plugins = NULL;
    char *folder = NULL;
    unsigned looked = 0;
    size_t best = 0;
    DIR *dir = NULL;

    if (site_file_find(root, "Plugins", &plugins, &ignored) || path_join(root, plugins, &folder, &ignored))
        goto done;
    dir = opendir(folder);
    while (dir && (entry = readdir(dir)) && looked < PLUGINS_MAX) {
        char *plugin = NULL;

        if (entry->d_name[0] == '.' || path_join(folder, entry->d_name, &plugin, &ignored))
            continue;
        looked++;
        vote_of_plugin(plugin, &vote);
        free(plugin);
    }
    for (size_t i = 1; i < vote.count; i++) {
        if (vote.votes[i] > vote.votes[best] || (vote.votes[i] == vote.votes[best] &&
                                                 site_version_compare(&vote.candidates[i], &vote.candidates[best]) > 0))
            best = i;
    }
    if (vote.count > 0)
        *out = vote.candidates[best];

done:
    if (dir)
        closedir(dir);
    free(folder);
    free(plugins);
}

static enum error_kind weigh_core(const char *root, enum site_layout layout, struct evidence *e,
                                  const struct site_notes *notes, struct error *err)
{
    const char *name = layout == SITE_LEGACY ? "bin/Nop.Core.dll" : "Nop.Core.dll";
    struct site_binary binary = {0};
    struct error problem = ERROR_INIT;
    char *found = NULL;
    char *path = NULL;
    enum error_kind rc;

    if (site_file_find(root, name, &found, &problem)) {
        rc = site_remark(notes, err, "%s is not there: the version is told by less certain signs", name);
    } else if ((rc = path_join(root, found, &path, err)) == OK) {
        if (site_binary_scan(path, &binary, &problem))
            rc = site_remark(notes, err, "%s could not be read for its version: %s", found, problem.text);
        weigh_literals(&binary, &e->says[FROM_LITERAL]);
        if (binary.has_resource)
            e->says[FROM_RESOURCE] = from_numbers(binary.resource[0], binary.resource[1]);
    }
    free(path);
    free(found);
    return rc;
}

/* 4.60 calls itself 4.5 in its numbers: that is no disagreement. */
static bool agree(int which, const struct site_version *says, const struct site_version *taken)
{
    if (says->major == 0 || site_version_same_release(says, taken))
        return true;
    return (which == FROM_DEPS || which == FROM_RESOURCE) && says->major == 4 && says->minor == 50 &&
           taken->major == 4 && taken->minor == 60;
}

static enum error_kind decide(const struct evidence *e, struct site_version *out, char **source,
                              const struct site_notes *notes, struct error *err)
{
    enum error_kind rc = OK;
    int taken = 0;

    while (taken < EVIDENCE_COUNT && e->says[taken].major == 0)
        taken++;
    if (taken == EVIDENCE_COUNT)
        return site_remark(notes, err, "no file tells which version of nopCommerce this is");
    for (int i = taken + 1; i < EVIDENCE_COUNT && !rc; i++) {
        if (!agree(i, &e->says[i], &e->says[taken]))
            rc = site_remark(notes, err, "%s: %s, but %s: %s; the first is believed", evidence_names[taken],
                             e->says[taken].text, evidence_names[i], e->says[i].text);
    }
    if (!rc)
        rc = memory_string(evidence_names[taken], source, err);
    if (!rc)
        *out = e->says[taken];
    return rc;
}

enum error_kind site_version_detect(const char *root, enum site_layout layout, struct site_version *out, char **source,
                                    const struct site_notes *notes, struct error *err)
{
    struct evidence e;
    char framework[32] = "";
    enum error_kind rc;

    for (int i = 0; i < EVIDENCE_COUNT; i++)
        e.says[i] = (struct site_version){0, 0, -1, ""};
    rc = weigh_core(root, layout, &e, notes, err);
    if (rc)
        return rc;
    if (layout == SITE_CORE) {
        read_framework(root, framework);
        weigh_deps(root, &e.says[FROM_DEPS]);
        settle_450(&e.says[FROM_DEPS], framework);
        settle_450(&e.says[FROM_RESOURCE], framework);
    }
    weigh_plugins(root, &e.says[FROM_PLUGINS]);
    return decide(&e, out, source, notes, err);
}
