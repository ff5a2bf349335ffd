/*
 * What a nopCommerce site is: its version, its layout, where its settings and its database connection are,
 * what the application regenerates and what it rewrites.
 *
 *     struct site site = SITE_INIT;
 *     rc = site_inspect("/var/www/shop", config, &site, err);
 *     ... site_classify(&site, "wwwroot/images/thumbs/0000001_x_415.jpeg", false, &reason) ...
 *     site_release(&site);
 *
 * Nothing here writes, opens a socket or knows a database: values that live in the database (the picture path,
 * whether pictures are stored in it) are handed in.
 */
#ifndef NOPSNAP_SITE_H
#define NOPSNAP_SITE_H

#include <stdbool.h>
#include <stddef.h>

#include "buffer.h"
#include "error.h"
#include "site_config.h"
#include "text.h"

enum site_layout {
    SITE_PLAIN,  /* no nopCommerce site: snapshotted as plain files */
    SITE_LEGACY, /* 3.x: Administration/, bin/, Content/, Global.asax */
    SITE_CORE,   /* 4.00 and later: wwwroot/, Nop.Web.dll */
};

struct site_version {
    int major; /* 4; 0 when unknown */
    int minor; /* 60 of 4.60 */
    int patch; /* 5 of 4.60.5; -1 when not known */
    char text[16];
};

/* Which file of the site holds the connection string that the application will use. */
enum site_settings_form {
    SITE_SETTINGS_NONE,
    SITE_SETTINGS_TXT,         /* App_Data/Settings.txt, 3.x */
    SITE_SETTINGS_DATA_JSON,   /* App_Data/dataSettings.json, 4.00 to 4.40 */
    SITE_SETTINGS_APP_JSON,    /* App_Data/appsettings.json, 4.50 and later (also appsettings.{Env}.json) */
    SITE_SETTINGS_ENVIRONMENT, /* a systemd unit's or web.config's environment overrides the file */
};

struct site_connection {
    enum site_settings_form form;
    char *file;     /* path relative to the root, or absolute (a unit file); NULL if none */
    char *provider; /* "postgresql", "mysql", "sqlserver", "sqlce", lower case; NULL if none */
    char *string;   /* the connection string: secret (P10); NULL if none */
};

struct site {
    char *given; /* as the user typed it */
    char *path;  /* real path (symlinks resolved); for a site whose folder is gone, the absolute path given */
    bool exists;
    enum site_layout layout;
    struct site_version version;
    char *version_source; /* "literal in Nop.Core.dll" */
    struct site_connection connection;
    const struct site_config *config; /* borrowed; may be NULL */
    struct text_list remarks;         /* facts worth showing: disagreements, risks (db_backups under the web root) */
    struct text_list warnings;        /* what makes the exit status 3 */
    struct site_rules *rules;
    char *unit; /* the systemd unit that runs the site ("shop.service"), or NULL: as configured, or found by itself */
};

#define SITE_INIT                                                                                          \
    {                                                                                                      \
        NULL, NULL, false, SITE_PLAIN, {0, 0, -1, ""}, NULL, {SITE_SETTINGS_NONE, NULL, NULL, NULL}, NULL, \
            TEXT_LIST_INIT, TEXT_LIST_INIT, NULL, NULL                                                     \
    }

/*
 * Look at a site's own files. A folder that is gone altogether is no error (exists is false, path is made absolute).
 * Settings that are broken (not JSON, empty, a provider without a connection string) are ERR_REFUSED naming the
 * file, with a hint; a site with no settings at all (never installed) has connection.form SITE_SETTINGS_NONE.
 *
 * config     borrowed for the life of out; may be NULL
 * out        SITE_INIT, or released. Release it whatever is returned. When the settings alone are at fault
 *            (ERR_REFUSED, or ERR_IO where they may not be read), out->rules is set and everything but the connection
 *            can be used: files without the database
 * Returns    ERR_NOT_FOUND never; ERR_USAGE for an empty path; ERR_REFUSED also for a path that is no directory
 */
enum error_kind site_inspect(const char *path, const struct site_config *config, struct site *out, struct error *err);
void site_release(struct site *site); /* overwrites the connection string */

/*
 * The same for a site that is to be brought back: broken or missing settings are a warning, not an error, and leave
 * connection.form at SITE_SETTINGS_NONE.
 */
enum error_kind site_inspect_loose(const char *path, const struct site_config *config, struct site *out,
                                   struct error *err);
/*
 * Take layout and version (and so the rules) from a snapshot's record instead of from what is left of the tree.
 *
 * layout     "plain", "legacy", "core", as site_layout_name() gives them; version may be NULL
 */
enum error_kind site_assume(struct site *site, const char *layout, const char *version, struct error *err);
const char *site_layout_name(enum site_layout layout);

/*
 * Inspect only the settings: the connection that a tree (a staged one, a kept one) will use, without the
 * environment overrides of the live site when with_environment is false.
 */
enum error_kind site_connection_read(const char *root, const struct site_version *version, bool with_environment,
                                     struct site_connection *out, struct error *err);
void site_connection_release(struct site_connection *c);

/*
 * The content of a settings file with another connection string spliced in, every other byte as it was.
 *
 * form       what kind of file `bytes` is
 * out        the new content; secret
 */
enum error_kind site_connection_splice(enum site_settings_form form, const void *bytes, size_t len,
                                       const char *connection_string, struct buffer *out, struct error *err);

/* What is to be done with one path, relative to the root, by the site's version and the owner's wishes. */
enum site_class {
    SITE_KEEP,        /* part of every snapshot */
    SITE_REGENERATED, /* the application makes it again: thumbs, bundles, caches, logs, TempUploads, Plugins/bin */
    SITE_BACKUPS,     /* db_backups: left out, and reported as a risk under the web root */
    SITE_OWN,         /* nopsnap's own journal folder inside the root (.nopsnap): in no snapshot, never touched */
    SITE_EXCLUDED,    /* the owner's --exclude or `exclude =` */
};

/*
 * Classify. Placeholders (placeholder.txt, Index.htm) and the directories themselves are SITE_KEEP even where their other content
 * is regenerated, so that a restored tree has the folders that the application expects. So are symlinks in the place of such a directory.
 *
 * is_directory  true also for a symlink
 * reason     static text such as "thumbnails", or the matching pattern; may be NULL
 */
enum site_class site_classify(const struct site *site, const char *relative, bool is_directory, const char **reason);
/* Does everything below this folder, relative to the root, stay out of snapshots? The folder itself is kept. */
bool site_leaves_out_below(const struct site *site, const char *relative);

/*
 * Of what is SITE_REGENERATED, by the reason that site_classify() gave: does a new version of the shop begin without it? Thumbnails and
 * logs go over; caches, bundles, sitemaps, shadow copies and half-done uploads are of the version that made them.
 */
bool site_begins_empty(const char *reason);

/*
 * Can anything below this directory be anything but SITE_KEEP? False lets a walk skip classification for a subtree.
 * True is always a correct answer.
 */
bool site_has_rules_below(const struct site *site, const char *relative);

/* Add the command line's patterns. include overrides the defaults and earlier excludes. */
enum error_kind site_exclude(struct site *site, const char *pattern, struct error *err);
enum error_kind site_include(struct site *site, const char *pattern, struct error *err);

/*
 * The owner's patterns in the order in which they apply, a line each: "exclude *.bak", "include /logs"; and added again, behind those
 * that are there.
 *
 * Returns    ERR_CORRUPT for a line that is none of these
 */
enum error_kind site_patterns_list(const struct site *site, struct text_list *out, struct error *err);
enum error_kind site_patterns_add(struct site *site, const struct text_list *lines, struct error *err);

/*
 * The rules as they stand, and put back exactly, whatever became of the tree and of the config since: lines "layout core", "version
 * 4.60", "cache FOLDER" and "thumbs FOLDER" for folders that the shop's settings named, then the owner's patterns.
 */
enum error_kind site_rules_list(const struct site *site, struct text_list *out, struct error *err);
enum error_kind site_rules_take(struct site *site, const struct text_list *lines, struct error *err); /* ERR_CORRUPT */

/*
 * Once the database has told where the pictures are (site_picture_path()): their thumbs are regenerable there too.
 *
 * pictures   relative to the root; one outside changes nothing
 */
enum error_kind site_note_pictures(struct site *site, const char *pictures, struct error *err);

/* Files that the application rewrites in place: settings, plugin lists, keys. Never linked between two trees. */
bool site_is_rewritten(const struct site *site, const char *relative);

/*
 * Where the original pictures are when they are files.
 *
 * picture_path  the setting mediasettings.picturepath from the database, or NULL
 * out           relative to the root ("wwwroot/images"), or absolute when it lies outside; caller frees
 * Returns       ERR_NOT_FOUND for SITE_PLAIN, ERR_REFUSED for a Windows path
 */
enum error_kind site_picture_path(const struct site *site, const char *picture_path, char **out, struct error *err);

/*
 * The version that a tree's own files tell, of one that nobody runs yet (an unpacked release, a staged tree): no settings and no units are
 * read.
 *
 * layout     SITE_CORE or SITE_LEGACY
 * out        major 0 when no file tells it, which is no error
 * source     "literal in Nop.Core.dll", caller frees; untouched when there is no version
 * remarks    evidence that disagrees is appended
 */
enum error_kind site_tree_version(const char *root, enum site_layout layout, struct site_version *out, char **source,
                                  struct text_list *remarks, struct error *err);

/* Is a directory below a served root (wwwroot, or the root itself in 3.x) of this or any nopCommerce site? (P10) */
bool site_serves(const char *directory);

/* Is a directory, or what of its path exists already, this root or below it? Links are followed. */
bool site_holds(const char *root, const char *directory);
/* A path below another, lexically: the part after "root/", "" for the root itself, NULL if it is elsewhere. */
const char *site_path_below(const char *root, const char *path);

/* "4.60", "4.60.5", "3.90" and nothing else. ERR_USAGE. Where the patch is not known it compares as the lowest. */
enum error_kind site_version_parse(const char *text, struct site_version *out, struct error *err);
int site_version_compare(const struct site_version *a, const struct site_version *b);

/*
 * The unit that systemctl means by `service`: with .service behind it unless it ends as units do. "shop.example.com" has dots
 * and is no whole name. Caller frees.
 */
enum error_kind site_unit_full_name(const char *service, char **out, struct error *err);

#endif
