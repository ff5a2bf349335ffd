/*
 * The way from one version to another: stages, each of which ends with the start of a release. What brings the database forward in a stage are
 * SQL scripts, up to 4.30, and after them the release's own migrations, from 4.40 on.
 *
 *   W1  no script is left out, none is run twice, and their order is that of the versions
 *   W2  nopCommerce 3.90 and 4.00 run on Windows: a stage that begins or ends there needs the owner's own stop, start and url
 *   W3  from 3.90 the next release is 4.00: no other may start on that database first
 */
#ifndef NOPSNAP_UPGRADE_PATH_H
#define NOPSNAP_UPGRADE_PATH_H

#include "database.h"
#include "scripts.h"
#include "site.h"

#define UPGRADE_STAGES_MAX 8
#define UPGRADE_STAGE_SCRIPTS_MAX 4 /* from 3.90 to 4.30 */

struct upgrade_stage {
    struct site_version from, to;
    const struct upgrade_script *scripts[UPGRADE_STAGE_SCRIPTS_MAX]; /* in their order; borrowed */
    size_t script_count;
    bool migrates; /* the first start of `to` brings the database forward */
};

struct upgrade_path {
    struct upgrade_stage stages[UPGRADE_STAGES_MAX];
    size_t count;
};

struct path_question {
    struct site_version from;
    struct site_version to[UPGRADE_STAGES_MAX]; /* of the releases, one after the other; the last one stays */
    size_t to_count;
    const struct upgrade_scripts *scripts;
    enum database_engine engine;
    bool own_commands; /* the owner's config has stop, start and url */
};

/*
 * Plan.
 *
 * out        borrows the scripts; of no use where there are problems
 * problems   every one is told (P12)
 */
enum error_kind path_plan(const struct path_question *q, struct upgrade_path *out, struct text_list *problems,
                          struct error *err);

#endif
