/* What the files of this room share. */
#ifndef NOPSNAP_UPGRADE_INTERNAL_H
#define NOPSNAP_UPGRADE_INTERNAL_H

#include <stdatomic.h>

#include "carry.h"
#include "health.h"
#include "settings_convert.h"
#include "stat_cache.h"
#include "upgrade.h"
#include "walk.h"

/* What a release has, sorted by path without regard to case; the entries are the release's. */
struct release_names {
    const struct release_entry **items;
    size_t count;
};

/* A symlink of the old tree that leads to a folder, or stands for one that is out of reach. */
struct folder_link {
    char *path, *target;
};

struct folder_links {
    struct folder_link *items; /* sorted by path */
    size_t count;
};

/* Of the shop's own, one that comes over under another name. */
struct renamed_item {
    char *from, *to;
    bool folder;
    bool link;           /* to a folder: it takes the place of the release's */
    bool optional;       /* a folder that is made only for what is in it */
    bool placed;         /* it stands in the new tree already */
    bool done;           /* and is there what it is here */
    bool young;          /* it may have changed again without a sign */
    struct stat_key key; /* when it was listed */
};

struct renamed {
    struct renamed_item *items; /* sorted by `from` */
    size_t count, cap;
};

struct upgrade_context {
    const struct site *site; /* borrowed */
    /* Of all stages: */
    const struct upgrade_path *path;              /* the plan's */
    struct release *releases[UPGRADE_STAGES_MAX]; /* one for each; borrowed */
    struct release *first_release;                /* that the shop was made from; borrowed, or NULL */
    /* Of the one that is under way, see stage_enter(): */
    size_t stage;
    struct release *release;     /* borrowed */
    struct release *old_release; /* that the old tree was made from; borrowed, or NULL */
    struct site_version from, to;
    enum site_layout layout;               /* of the old tree */
    struct release_names names, old_names; /* of both */
    struct renamed renamed;                /* what was copied under another name while the shop was open */
    struct folder_links links;             /* of the first stage's old tree, as the plan found them (L2) */
    atomic_bool failed;                    /* a decision could not be made */
    atomic_bool late_link;                 /* something has become a link to a folder since */
    const char *runs_at;                   /* of a rehearsal: where the new tree runs; NULL: in the old one's place */
    struct health_options health;
    struct health_baseline before;
};

#define UPGRADE_LINES_MAX 200 /* of each list of the plan */

/* upgrade_carry.c */
/* The names of both releases of the stage. */
enum error_kind carry_names_of(struct upgrade_context *c, struct error *err);
void carry_names_release(struct upgrade_context *c);
/* Ask site/carry.h about a path of the stage's old tree. */
enum error_kind carry_decide(const struct upgrade_context *c, const char *path, enum site_carry_kind kind,
                             struct site_carry_decision *out, struct error *err);
/* Has the stage's release a folder of this name? */
bool carry_ships_folder(const struct upgrade_context *c, const char *path);
bool carry_is_owners(const struct site_carry_decision *d);
bool carry_renames_below(const struct upgrade_context *c, const char *folder);
/* Is a path of the first stage's old tree the shop's own, to come over under its own name? */
bool carry_wants(void *context, const char *path, bool is_folder);
/* Was every question answered? Asked before what was staged by the answers is believed. */
enum error_kind carry_check(const struct upgrade_context *c, struct error *err);
/* Walk the old tree: how much comes over, and what of it is to be told, or stands in the way. Fills c->links. */
enum error_kind carry_count(struct upgrade_context *c, struct upgrade_plan *plan, struct text_list *problems,
                            struct error *err);
/* What the settings will be; fills plan->settings. */
enum error_kind carry_plan_settings(struct upgrade_context *c, struct upgrade_plan *plan, struct preflight *p,
                                    struct error *err);
struct site_settings_request carry_settings_request(const struct upgrade_context *c, const char *live,
                                                    const char *tree);
/* Settings and what else has another name or form in the new version; proves U3. */
enum error_kind carry_settle(void *context, const char *tree, const char *live, const struct progress *progress,
                             struct error *err);

/* upgrade_links.c: links to folders */
/* What a name in the open folder `dir` is, by its own mode and, if it is a link, by what that leads to. path: from the root. */
enum site_carry_kind links_kind(const struct upgrade_context *c, int dir, const char *name, mode_t mode,
                                const char *path);
/* Remember a link to a folder, and say what becomes of it. d: what was decided */
enum error_kind links_note(struct upgrade_context *c, const struct walk_item *item, const struct site_carry_decision *d,
                           struct text_list *told, struct text_list *problems, struct error *err);
/* A settings file that is a link: the new tree's is made by conversion, and the old version still reads what is behind it. */
enum error_kind links_note_settings(const struct walk_item *item, struct text_list *told, struct error *err);
void links_sort(struct folder_links *l);
void links_release(struct folder_links *l);
/* Is a path that is no folder one of those that were noted? One that has become one since is noticed (L2); several threads may ask. */
enum site_carry_kind links_known(struct upgrade_context *c, const char *path);
/* The shop is stopped, or will not be. ERR_REFUSED: one of those that were noted is no more what it was. */
enum error_kind links_check(const struct upgrade_context *c, const char *live, struct error *err);

/* upgrade_tree.c: unpack the release, and put it around what is carried (U1) */
/* A folder of the tree with those above it, made where they are not there. */
enum error_kind tree_folder(int tree, const char *path, struct error *err);
/* The folder that holds a path: open it, never through a symlink. */
enum error_kind tree_folder_of(int tree, const char *path, int *dir, struct error *err);
/* Make room for a file at `path`: its folders are made, what has its name there goes. dir: caller closes; name: borrowed from path. */
enum error_kind tree_clear(int tree, const char *path, int *dir, const char **name, struct error *err);
/* Unpack the stage's release into `scratch`, and move it into a tree that has what is carried. Owners and modes are those of the old tree. */
enum error_kind tree_plant(struct upgrade_context *c, const char *tree, const char *old, const char *scratch,
                           const struct progress *progress, struct error *err);
enum error_kind tree_build(void *context, const char *tree, const char *scratch, const struct progress *progress,
                           struct error *err);

/* upgrade_back.c: to an older release. Settings are not turned back: those of the shop are copied as they are (U3 says whether they are read) */
bool carry_turns_back(const struct upgrade_context *c);
enum error_kind turn_back_plan(struct upgrade_context *c, struct upgrade_plan *plan, struct preflight *p,
                               struct error *err);
enum error_kind turn_back_settings(const struct upgrade_context *c, int live, int tree, struct error *err);

/* upgrade_copy.c */
/*
 * A file or a symlink from the old tree into the new one, in place of what is there. Owner, mode, extended attributes and times go with it; a symlink
 * leads where it led.
 *
 * Returns    OK also where it is gone since, or is neither: then *there is false
 */
enum error_kind copy_one(const struct upgrade_context *c, int live, int tree, const char *from, const char *to,
                         bool *there, struct error *err);
/* What a relative target of a symlink leads to, from the root; "../x" is beside it. By the names alone. */
enum error_kind copy_led_to(const char *file, const char *target, char **out, struct error *err);
/* A folder's attributes and times, once all that is in it is there. */
enum error_kind copy_folder(int live, int tree, const char *from, const char *to, struct error *err);

/* upgrade_renamed.c: what comes over under another name (U5) */
/* While the shop is open: copy what the new tree has nothing for. */
enum error_kind renamed_begin(struct upgrade_context *c, const char *live, const char *tree,
                              const struct progress *progress, struct error *err);
/* The shop is stopped, or will not be: what came, changed or went since renamed_begin(), if that was called. */
enum error_kind renamed_settle(struct upgrade_context *c, const char *live, const char *tree,
                               const struct progress *progress, struct error *err);
void renamed_release(struct renamed *r);

/* upgrade_schema.c: does the database look like one that the first script of a stage begins with, and like the one that a script leads to? */
enum error_kind schema_check_before(struct database *db, const struct upgrade_stage *stage, struct text_list *problems,
                                    struct error *err);
/* ERR_REFUSED: it does not. */
enum error_kind schema_check_after(struct database *db, const struct upgrade_script *s, struct error *err);

/* upgrade_stage.c */
/* From here on the context is about this stage. */
enum error_kind stage_enter(struct upgrade_context *c, size_t stage, struct error *err);
enum error_kind stage_advance(void *context, size_t stage, const char *live, const char *aside,
                              const struct progress *progress, struct error *err);

/* upgrade_run.c: run those of the stage on what becomes its database */
enum error_kind stage_scripts(void *context, struct database *db, const struct progress *progress, struct error *err);

/* upgrade_plan_way.c: the stages with their scripts, and what stands in their way. Fills plan->path; enters the first stage. */
enum error_kind plan_way(const struct site *site, const struct upgrade_options *o, struct upgrade_plan *plan,
                         struct text_list *problems, struct text_list *remarks, struct error *err);
/* Where the owner's config has stop, start and url, nopsnap need not know what the shop runs on. */
bool plan_has_own_commands(const struct site *site);

/* upgrade_modified.c: files of the old release that are not as it ships them; at most UPGRADE_LINES_MAX */
enum error_kind modified_list(struct upgrade_context *c, const struct progress *progress, struct text_list *out,
                              struct error *err);

/* upgrade_plugins.c: the shop's own plugins, one line each, and what waits for the next start. */
enum error_kind plugins_check(struct upgrade_context *c, struct text_list *out, struct preflight *p, struct error *err);

#endif
