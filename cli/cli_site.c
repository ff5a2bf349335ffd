/*
 * From what the user typed to a site and its database.
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static void tell(struct cli *cli, const struct site *site)
{
    for (size_t i = 0; i < site->remarks.count; i++)
        cli_note(cli, "note: %s", site->remarks.items[i]);
    for (size_t i = 0; i < site->warnings.count; i++)
        cli_warn(cli, "%s", site->warnings.items[i]);
}

enum error_kind cli_site_open(struct cli *cli, const char *name, bool loose, struct site *out, struct error *err)
{
    const struct site_config *config = config_find(&cli->config, name);
    const char *path = config && config->path ? config->path : name;
    enum error_kind rc;

    rc = loose ? site_inspect_loose(path, config, out, err) : site_inspect(path, config, out, err);
    if (!rc)
        tell(cli, out);
    return rc;
}

void cli_database_release(struct cli_database *d)
{
    database_close(d->db);
    database_target_release(&d->target);
    database_target_release(&d->admin);
    *d = (struct cli_database)CLI_DATABASE_INIT;
}

enum error_kind cli_database_open(const struct site *site, struct cli_database *out, struct error *err)
{
    const char *admin = site->config ? site->config->database_admin : NULL;
    enum error_kind rc;

    if (!site->connection.string || !site->connection.provider)
        return OK;
    rc = database_target_parse(site->connection.provider, site->connection.string, &out->target, err);
    if (!rc && admin) {
        rc = database_target_admin(&out->target, admin, &out->admin, err);
        out->has_admin = !rc;
    }
    if (!rc)
        rc = database_open(&out->target, out->has_admin ? &out->admin : NULL, &out->db, err);
    return rc;
}

enum error_kind cli_kept_clear(struct cli *cli, struct catalog *cat, struct site *site, int64_t *seen_ns,
                               struct error *err)
{
    struct transaction_result cleared = {.outcome = OUTCOME_NOTHING};
    enum error_kind rc = kept_clear(cat, site, &cli->progress, seen_ns, &cleared, err);

    if (!rc && cleared.safety_snapshot)
        cli_note(cli, "what the last rollback took away is snapshot %.8s", cleared.safety_snapshot);
    for (size_t i = 0; i < cleared.left.count; i++)
        cli_warn(cli, "still kept: %s", cleared.left.items[i]);
    transaction_result_release(&cleared);
    return rc;
}

enum error_kind cli_refuse_pending_of(const struct snapshot_record *record, bool going, struct error *err)
{
    char *name = NULL;
    char *id = NULL;
    enum error_kind rc = catalog_host(&name, &id, err);

    if (!rc && record->site_path && record->host_id && !strcmp(id, record->host_id))
        rc = transaction_refuse_mark(record->site_path, record->id, going, err);
    free(name);
    free(id);
    return rc;
}

void cli_warn_pending(struct cli *cli, const char *site_path)
{
    struct error err = ERROR_INIT;
    enum transaction_state state = TRANSACTION_NONE;
    char *detail = NULL;

    if (transaction_look(site_path, &state, &detail, &err) != OK)
        cli_warn(cli, "%s", err.text);
    else if (state == TRANSACTION_PENDING)
        cli_warn(cli, "unfinished at %s: %s; nopsnap recover %s", site_path, detail ? detail : "?", site_path);
    free(detail);
}
