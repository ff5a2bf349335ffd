/* The way of an upgrade: the releases that are started, one after the other, and the scripts that run before each. */
#include "upgrade_internal.h"

#define PICTURES_MOVE 410 /* to a table of their own */

bool plan_has_own_commands(const struct site *site)
{
    return site->config && site->config->stop && site->config->start && site->config->url;
}

static enum error_kind ask_engine(const struct site *site, enum database_engine *out, struct error *err)
{
    struct database_target target = DATABASE_TARGET_INIT;
    enum error_kind rc = OK;

    *out = DATABASE_NONE;
    if (site->connection.string && site->connection.provider)
        rc = database_target_parse(site->connection.provider, site->connection.string, &target, err);
    if (!rc)
        *out = target.engine;
    database_target_release(&target);
    return rc;
}

/* What has to be known of the scripts beside that they are there. */
static enum error_kind say_scripts(const struct upgrade_plan *plan, bool troubled, struct text_list *problems,
                                   struct text_list *remarks, struct error *err)
{
    size_t needed = 0;
    enum error_kind rc = OK;

    for (size_t i = 0; i < plan->path.count; i++)
        needed += plan->path.stages[i].script_count;
    for (size_t i = 0; i < plan->scripts.problems.count && !rc; i++)
        rc = text_list_add(problems, plan->scripts.problems.items[i], err);
    if (!rc && plan->scripts.place && !needed && !troubled)
        rc = text_list_addf(remarks, err, "none of the scripts in %s is run: the way from %s to %s has none",
                            plan->scripts.place, plan->from, plan->to);
    for (size_t i = 0; i < plan->path.count && !rc; i++)
        for (size_t k = 0; k < plan->path.stages[i].script_count && !rc; k++)
            if (plan->path.stages[i].scripts[k]->to == PICTURES_MOVE)
                rc = text_list_add(remarks,
                                   "the script to 4.10 moves the pictures that are in the database to a table of their "
                                   "own: the server needs room for each a second time",
                                   err);
    return rc;
}

/* The versions of the releases, each of which ends a stage. */
static void take_releases(const struct upgrade_plan *plan, struct path_question *q)
{
    struct upgrade_context *c = plan->context;

    for (size_t i = 0; i < UPGRADE_STAGES_MAX - 1 && plan->via[i]; i++)
        c->releases[q->to_count++] = plan->via[i];
    c->releases[q->to_count++] = plan->release;
    for (size_t i = 0; i < q->to_count; i++)
        q->to[i] = release_facts(c->releases[i])->version;
}

static enum error_kind check_versions(const struct site *site, const struct upgrade_options *o,
                                      const struct path_question *q, struct text_list *problems, struct error *err)
{
    const struct site_version *to = &q->to[q->to_count - 1];
    int order = site_version_compare(to, &q->from);
    enum error_kind rc = OK;

    if (!q->from.major)
        rc = text_list_addf(problems, err, "the version of the shop at %s is not known", site->path);
    for (size_t i = 0; i < q->to_count && !rc; i++)
        if (!q->to[i].major)
            rc = text_list_addf(problems, err, "%s does not say which version it is",
                                i + 1 < q->to_count ? o->via[i] : "the release");
    if (rc || problems->count)
        return rc;
    if (order == 0 && !o->allow_same)
        rc = text_list_addf(problems, err, "the shop is nopCommerce %s already: say --allow-same to put it in again",
                            q->from.text);
    if (order < 0 && !o->allow_downgrade)
        rc = text_list_addf(problems, err,
                            "nopCommerce %s is older than the shop's %s, and its database can't go back: nopsnap "
                            "rollback does that; --allow-downgrade for the files alone",
                            to->text, q->from.text);
    return rc;
}

/* Stages without scripts, for the rest of a plan that will not be carried out. */
static void bare(const struct path_question *q, struct upgrade_path *out)
{
    *out = (struct upgrade_path){.count = q->to_count};
    for (size_t i = 0; i < q->to_count; i++) {
        out->stages[i].from = i ? q->to[i - 1] : q->from;
        out->stages[i].to = q->to[i];
    }
}

enum error_kind plan_way(const struct site *site, const struct upgrade_options *o, struct upgrade_plan *plan,
                         struct text_list *problems, struct text_list *remarks, struct error *err)
{
    struct path_question q = {
        .from = site->version, .scripts = &plan->scripts, .own_commands = plan_has_own_commands(site)};
    enum error_kind rc = ask_engine(site, &q.engine, err);

    take_releases(plan, &q);
    if (!rc)
        rc = check_versions(site, o, &q, problems, err);
    if (!rc && problems->count)
        bare(&q, &plan->path);
    else if (!rc)
        rc = path_plan(&q, &plan->path, problems, err);
    if (!rc)
        rc = say_scripts(plan, problems->count > 0, problems, remarks, err);
    return rc ? rc : stage_enter(plan->context, 0, err);
}
