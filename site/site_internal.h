/* What the files of this room share. */
#ifndef NOPSNAP_SITE_INTERNAL_H
#define NOPSNAP_SITE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "error.h"
#include "site.h"
#include "text.h"

/* Ceilings on what a site's own small files may hold (P11); real ones are far below. */
#define SITE_TEXT_MAX (1u << 20)  /* settings, units, descriptors */
#define SITE_DEPS_MAX (16u << 20) /* Nop.Web.deps.json */

/* Where remarks and warnings go; either may be NULL. */
struct site_notes {
    struct text_list *remarks;
    struct text_list *warnings;
};

enum error_kind site_remark(const struct site_notes *notes, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
enum error_kind site_warn(const struct site_notes *notes, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Find a path below a root without regard to case, as Windows would: trees that grew there are hosted with names
 * like bin/ and Bin/. An exact match wins.
 *
 * out        the path below the root as it is on the disk; caller frees
 * Returns    ERR_NOT_FOUND if there is none
 */
enum error_kind site_file_find(const char *root, const char *relative, char **out, struct error *err);
bool site_file_exists(const char *root, const char *relative); /* of any type, without regard to case */
bool site_directory_exists(const char *root, const char *relative);
/* A text file's content as UTF-8 (.NET also reads UTF-16 with a byte order mark). Symlinks are followed, as the shop does. */
enum error_kind site_file_text(const char *root, const char *relative, size_t max, struct buffer *out,
                               struct error *err);

/* "a/./b/../c//d" to "a/c/d"; an absolute path stays absolute. ".." that climbs out of a relative path is kept. */
enum error_kind site_path_normalize(const char *path, char **out, struct error *err);

/* What a look into Nop.Core.dll gives. */
struct site_binary {
    char literals[8][16]; /* version literals that stand in a metadata heap with their length before them */
    size_t literal_count;
    char loose[16]; /* the longest look-alike elsewhere, "" if none */
    bool has_resource;
    unsigned resource[4]; /* the four numbers of the PE version resource */
};

enum error_kind site_binary_scan(const char *path, struct site_binary *out, struct error *err);

void site_version_print(struct site_version *v);                                /* fill v->text from the numbers */
bool site_version_at_least(const struct site_version *v, int major, int minor); /* false if unknown */
bool site_version_same_release(const struct site_version *a, const struct site_version *b); /* major and minor */

/* Weigh all evidence of a site's version. Disagreement becomes a remark. An unknown version is no error. */
enum error_kind site_version_detect(const char *root, enum site_layout layout, struct site_version *out, char **source,
                                    const struct site_notes *notes, struct error *err);

/* Environment variables that the shop's process will see. Values may be secret. */
struct site_variable {
    char *name;
    char *value;
    char *file; /* where it is set */
};

struct site_environment {
    struct site_variable *items;
    size_t count;
    size_t cap;
    char *unit; /* name of the systemd unit that runs the site, or NULL */
};

#define SITE_ENVIRONMENT_INIT \
    {                         \
        NULL, 0, 0, NULL      \
    }

/* Set or replace. */
enum error_kind site_environment_set(struct site_environment *e, const char *name, const char *value, const char *file,
                                     struct error *err);
void site_environment_unset(struct site_environment *e, const char *name);
void site_environment_clear(struct site_environment *e);
/* .NET's configuration ignores case. NULL if it is not set. */
const struct site_variable *site_environment_get(const struct site_environment *e, const char *name);
void site_environment_release(struct site_environment *e);

/* The unit that runs the site: the one named, or the one whose WorkingDirectory or ExecStart is in the site. */
enum error_kind site_unit_collect(const char *root, const char *service, struct site_environment *out,
                                  const struct site_notes *notes, struct error *err);
/* web.config's <environmentVariables>; nothing if there is no such file. */
enum error_kind site_webconfig_environment(const char *root, struct site_environment *out, struct error *err);
/* Is pictures' storage in Azure named by a 3.x Web.config? */
enum error_kind site_webconfig_azure(const char *root, bool *out, struct error *err);

/* What the shop's process sees: the unit of `root`, else web.config of `tree`. */
enum error_kind site_environment_collect(const char *root, const char *tree, const struct site_config *config,
                                         struct site_environment *out, const struct site_notes *notes,
                                         struct error *err);
const char *site_environment_name(const struct site_environment *e, const struct site_config *config);

/* Where the connection comes from: a site's files, by its version, and the environment. */
enum error_kind site_settings_resolve(const char *root, const struct site_version *version,
                                      const struct site_environment *environment, const char *environment_name,
                                      struct site_connection *out, const struct site_notes *notes, struct error *err);

/* One "key = value" of an INI text, with its line; a returned error ends the parse. */
typedef enum error_kind site_ini_fn(void *arg, const char *section, const char *key, const char *value, unsigned line,
                                    struct error *err);
enum error_kind site_ini_parse(const char *text, const char *shown, site_ini_fn *fn, void *arg, struct error *err);

/* Rules: made for a site once its layout and version are known. */
enum error_kind site_rules_new(const struct site *site, struct site_rules **out, struct error *err);
void site_rules_free(struct site_rules *rules);

#endif
