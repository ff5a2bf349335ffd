/*
 * A shop's settings as a newer release reads them: Settings.txt (3.x), dataSettings.json (4.00 to 4.40), App_Data/appsettings.json
 * (4.50 on); the options in Web.config, the root's appsettings.json (4.00 to 4.30) and App_Data/appsettings.json (4.40 on); the list of
 * plugins in its four forms; web.config.
 *
 *     struct site_settings settings = SITE_SETTINGS_INIT;
 *     rc = site_settings_convert(&request, &settings, err);     reads both trees, writes nothing
 *     ... show settings.moved, .left, .lost, .warnings ...
 *     rc = site_settings_place(&settings, old_fd, new_fd, err);  writes into the new tree
 *     rc = site_settings_check(&site, new_root, &version, err);  does the new tree use the shop's database?
 *     site_settings_release(&settings);
 *
 * A file whose values do not change is copied byte for byte. A value that changes is spliced in at its place: mark, comments, line ends
 * and layout stay the owner's. No line made here holds a value (P10).
 */
#ifndef NOPSNAP_SETTINGS_CONVERT_H
#define NOPSNAP_SETTINGS_CONVERT_H

#include <stdbool.h>
#include <stddef.h>

#include "buffer.h"
#include "error.h"
#include "site.h"
#include "text.h"

struct site_settings_request {
    const char *old_root;
    const struct site_version *old_version;
    const char *new_root; /* a release, unpacked; it may hold what the shop needs already */
    const struct site_version *new_version;
    const char *environment_name; /* ASPNETCORE_ENVIRONMENT; NULL is Production */
    const char *runs_at; /* where the new tree will run, if not where the old one does (a rehearsal); NULL: there */
};

struct site_settings_file {
    char *path;          /* below the new root */
    char *from;          /* below the old root: whose owner and mode it takes */
    struct buffer bytes; /* secret */
    bool changed;        /* false: byte for byte what `from` holds */
};

/* Each line of the lists is one fact for the plan: "App_Data/dataSettings.json: its values are now in App_Data/appsettings.json". */
struct site_settings {
    struct site_settings_file *files;
    size_t count;
    struct text_list absent;   /* paths that must not be in the new tree: they would redirect the shop */
    struct text_list moved;    /* settings that have another name or place now */
    struct text_list left;     /* files that do not go over, and why */
    struct text_list lost;     /* settings that the new release does not have */
    struct text_list warnings; /* what the owner must look at before the new release starts */
};

#define SITE_SETTINGS_INIT \
    {                      \
        .files = NULL      \
    }

/*
 * Plan the settings of the new tree.
 *
 * out        SITE_SETTINGS_INIT; release it whatever is returned
 * Returns    ERR_REFUSED with a hint: a version is not known, the new one is older, the new one does not know the shop's database
 *            (SQL Server Compact after 3.x, MySQL before 4.30, PostgreSQL before 4.40), a file is broken
 */
enum error_kind site_settings_convert(const struct site_settings_request *request, struct site_settings *out,
                                      struct error *err);
void site_settings_release(struct site_settings *settings); /* overwrites what it held */

/*
 * Write the files into the new tree and take away what must not be there. Files take owner and mode of the old ones (who is not root
 * keeps what he is given); no symlink is followed.
 *
 * Durable    not by itself: the tree is staged and synced as a whole
 */
enum error_kind site_settings_place(const struct site_settings *settings, int old_fd, int new_fd, struct error *err);

/*
 * Would the new tree, run in the old one's place by the same unit, use the database that the shop uses now? Read as each version reads
 * it, with the environment.
 *
 * site       the shop, inspected
 * Returns    ERR_REFUSED with a hint if not, or if an old settings file is left in a tree of 4.50 or later
 */
enum error_kind site_settings_check(const struct site *site, const char *new_root,
                                    const struct site_version *new_version, struct error *err);

/*
 * web.config of a new release with the owner's additions of the old one: <environmentVariables>, sections and entries of
 * <system.webServer> that the new file does not have, sections beside it. What differs in both is the package's, and told.
 *
 * old, fresh borrowed texts
 * out        the new text
 * kept, lost lines for the plan: what of the owner's is in it, and what is not; names only, no value (P10)
 * Returns    ERR_REFUSED if one of them is no XML
 */
enum error_kind site_webconfig_merge(const struct buffer *old, const struct buffer *fresh, struct buffer *out,
                                     struct text_list *kept, struct text_list *lost, struct error *err);

#endif
