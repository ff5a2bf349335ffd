/* The run of a rehearsal, and its end. */
#include "rehearse.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "rehearse_internal.h"
#include "thread.h"
#include "transaction_internal.h"

#define SITE_LOCK_TIMEOUT_MS 60000
#define VACATE_TIMEOUT_MS 10000

void rehearse_result_release(struct rehearse_result *r)
{
    text_list_release(&r->reasons);
    text_list_release(&r->warnings);
    text_list_release(&r->emptied);
    text_list_release(&r->covered);
    for (size_t i = 0; i < r->page_count; i++) {
        free(r->pages[i].path);
        free(r->pages[i].live.title);
        free(r->pages[i].live.location);
        free(r->pages[i].copy.title);
        free(r->pages[i].copy.location);
    }
    free(r->pages);
    *r = (struct rehearse_result){.well = false};
}

/* ---- the place, and how it goes (H4) ---- */

/* A copy that was started by way of something that forks outlives a kill of nopsnap where it could have no PID namespace. */
enum error_kind rehearse_vacate(const char *tree, struct error *err)
{
    return quiet_end(tree, VACATE_TIMEOUT_MS, err);
}

static enum error_kind begin(struct rehearsal *r, const struct progress *progress, struct error *err)
{
    char *parent = NULL;
    char *folder = NULL;
    struct scratch_spec spec = {.what = "rehearsal",
                                .mode = 0711,
                                .db = r->db,
                                .vacate = rehearse_vacate}; /* the shop's own user has to get through */
    enum error_kind rc = path_parent(r->site->path, &parent, err);

    if (!rc)
        rc = memory_format(&folder, err, "%s/.nopsnap-rehearse-%s", parent, path_base(r->site->path));
    spec.folder = folder;
    if (!rc)
        rc = scratch_begin(&r->place, &spec, progress, err);
    if (rc && parent && site_serves(parent))
        error_hint(err, "move the shop out of the served folder");
    free(parent);
    free(folder);
    return rc;
}

static enum error_kind end(struct rehearsal *r, struct error *err)
{
    enum error_kind rc;

    cancel_defer(true); /* a signal that ended the rehearsal must not end this */
    process_kill(&r->process);
    rehearse_network_end(r);
    database_close(r->copy);
    r->copy = NULL;
    rc = scratch_end(&r->place, err);
    memory_free_secret(r->string);
    memory_free_secret(r->password);
    site_connection_release(&r->connection);
    text_list_release(&r->covers);
    text_list_release(&r->cover_options);
    text_list_release(&r->cover_names);
    snapshot_record_release(&r->snapshot);
    return rc;
}

/* ---- the copy ---- */

static enum error_kind take(struct rehearsal *r, const struct progress *progress, struct error *err)
{
    static const char *const tags[] = {"rehearsal", NULL};
    struct snapshot_options o = SNAPSHOT_OPTIONS_INIT;
    struct snapshot_result result = {.files = 0};
    struct catalog_site_lock *lock = NULL;
    char site_id[17];
    enum error_kind rc = catalog_site_id(r->cat, r->site->path, site_id, err);

    progress_step(progress, "taking a snapshot of the shop");
    o.tags = tags;
    if (!rc)
        rc = catalog_site_lock(r->cat, site_id, false, SITE_LOCK_TIMEOUT_MS, &lock, err);
    if (!rc)
        rc = transaction_refuse_pending(r->site->path, err); /* one may have begun since the plan */
    if (!rc)
        rc = snapshot_take(r->cat, r->site, r->db, &o, progress, &result, err);
    catalog_site_unlock(lock);
    if (!rc && result.record.unread.count)
        rc = error_set(err, ERR_REFUSED, 0, "the shop could not be read whole: %s", result.record.unread.items[0]);
    if (!rc) {
        r->snapshot = result.record; /* moved */
        result.record = (struct snapshot_record)SNAPSHOT_RECORD_INIT;
    }
    snapshot_result_release(&result);
    return rc;
}

static enum error_kind load(struct rehearsal *r, const struct progress *progress, struct error *err)
{
    struct database_facts facts = DATABASE_FACTS_INIT;
    enum error_kind rc = scratch_load(&r->place, r->cat, &r->snapshot, &facts, progress, err);

    if (!rc)
        rc = database_lend(r->db, r->place.name, err);
    if (!rc)
        rc = database_open_beside(r->db, r->place.name, &r->copy, err);
    database_facts_release(&facts);
    return rc;
}

static enum error_kind build(struct rehearsal *r, const struct progress *progress, struct error *err)
{
    struct restore_options o = {
        .select = carry_wants, .select_arg = r->context, .no_hard_links = true, .no_sync = true};
    struct restore_result restored = {.files = 0};
    enum error_kind rc;

    progress_step(progress, "building the new version's tree");
    r->context->runs_at = r->place.tree;
    rc = restore_files(r->cat, &r->snapshot, "site", r->place.tree, &o, progress, &restored, err);
    if (!rc)
        rc = carry_check(r->context, err);
    if (!rc)
        rc = directory_make(AT_FDCWD, r->place.spare, 0700, err);
    if (!rc)
        rc = tree_plant(r->context, r->place.tree, r->site->path, r->place.spare, progress, err);
    if (!rc)
        rc = carry_settle(r->context, r->place.tree, r->site->path, progress, err);
    restore_result_release(&restored);
    return rc;
}

/* ---- the whole ---- */

static enum error_kind check(const struct site *site, struct error *err)
{
    enum error_kind rc = OK;

    if (!site->config || !site->config->rehearse_start) {
        rc = error_set(err, ERR_REFUSED, 0, "how to start a copy of the shop is not known");
        error_hint(err, "say it in the config, such as: rehearse-start = runuser -u www-data -- {dir}/Nop.Web --urls "
                        "http://127.0.0.1:{port}");
    } else if (!strstr(site->config->rehearse_start, "{port}") || !strstr(site->config->rehearse_start, "{dir}")) {
        rc = error_set(err, ERR_REFUSED, 0, "`rehearse-start` of the config has no {dir} or no {port}");
        error_hint(err, "without them it would start the shop itself, not a copy");
    } else if (site->connection.form == SITE_SETTINGS_ENVIRONMENT) {
        rc = error_set(err, ERR_REFUSED, 0,
                       "the shop's database is named by its environment (%s): a copy can't be told from it",
                       site->connection.file ? site->connection.file : "its unit");
        error_hint(err, "name the database in App_Data instead");
    }
    return rc;
}

/* Where the server can't copy a database, the upgrade dumps and loads it while the shop is closed: that was measured here. */
static uint64_t closed_for(const struct rehearsal *r, const struct rehearse_result *out)
{
    const struct forward_plan *plan = r->plan->forward;
    uint64_t copy = database_copies(r->db) ? plan->copy_ms : out->snapshot_ms + out->load_ms;

    return copy + plan->other_ms + out->stages_ms + out->migrate_ms;
}

static enum error_kind rehearse(struct rehearsal *r, const struct progress *progress, struct rehearse_result *out,
                                struct error *err)
{
    int64_t since = clock_monotonic_ms();
    enum error_kind rc = health_baseline_take(&r->context->health, r->db, progress, &r->context->before, err);

    if (!rc)
        rc = rehearse_port(&r->port, err);
    (void)snprintf(r->url, sizeof(r->url), "http://127.0.0.1:%d/", r->port);
    (void)rehearse_lap(&since);
    if (!rc)
        rc = take(r, progress, err);
    out->snapshot_ms = rehearse_lap(&since);
    if (!rc)
        rc = load(r, progress, err);
    out->load_ms = rehearse_lap(&since);
    if (!rc)
        rc = build(r, progress, err);
    out->build_ms = rehearse_lap(&since);
    if (!rc)
        rc = rehearse_stages(r, progress, out, err);
    r->context->runs_at = NULL;
    out->covered = r->cover_names; /* moved */
    r->cover_names = (struct text_list)TEXT_LIST_INIT;
    out->closed_ms = closed_for(r, out);
    if (!rc)
        (void)snprintf(out->snapshot, sizeof(out->snapshot), "%s", r->snapshot.id);
    return rc;
}

enum error_kind rehearse_run(struct catalog *cat, struct site *site, struct upgrade_plan *plan, bool host_network,
                             const struct progress *progress, struct rehearse_result *out, struct error *err)
{
    struct rehearsal r = {.cat = cat,
                          .site = site,
                          .plan = plan,
                          .context = plan->context,
                          .db = forward_plan_database(plan->forward),
                          .snapshot = SNAPSHOT_RECORD_INIT,
                          .process = PROCESS_INIT,
                          .place = SCRATCH_INIT,
                          .host_network = host_network,
                          .netns = -1};
    struct error last = ERROR_INIT;
    enum error_kind rc = check(site, err);

    if (!rc)
        rc = database_lend_check(r.db, err);
    if (rc)
        return rc;
    rc = begin(&r, progress, err);
    if (!rc)
        rc = rehearse(&r, progress, out, err);
    if (end(&r, &last) == OK)
        return rc;
    if (rc) { /* customers' data stays behind: that is told as well */
        progress_warn(progress, "%s; %s", last.text, last.hint);
        return rc;
    }
    error_copy(err, &last);
    return last.kind;
}
