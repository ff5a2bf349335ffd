/*
 * From what the user typed to a site and its database.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "file.h"
#include "shops.h"

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

struct known {
    const struct config *config;
    const char *path;
    char names[384]; /* for the hint */
    bool found;
};

static void add_name(struct known *k, const char *name)
{
    char shown[128];
    size_t n = strlen(k->names);

    text_name(name, strlen(name), shown, sizeof(shown));
    if (n + strlen(shown) + 3 <= sizeof(k->names))
        (void)snprintf(k->names + n, sizeof(k->names) - n, "%s%s", n ? ", " : "", shown);
}

static bool is_named(const struct known *k, const char *path)
{
    size_t n = strlen(path);

    for (const char *at = strstr(k->names, path); at; at = strstr(at + 1, path))
        if ((at == k->names || at[-1] == ' ') && (at[n] == ',' || at[n] == '\0'))
            return true;
    return false;
}

/* Its snapshots are forgotten, what happened is not. */
static enum error_kind known_event(void *arg, const struct catalog_event *event, struct error *err)
{
    struct known *k = arg;

    (void)event;
    (void)err;
    k->found = true;
    return OK;
}

static enum error_kind known_row(void *arg, const struct snapshot_row *row, struct error *err)
{
    struct known *k = arg;
    const char *path = row->site_path;

    (void)err;
    if (!path)
        return OK;
    k->found = k->found || !strcmp(path, k->path);
    if (!config_find(k->config, path) && !is_named(k, path))
        add_name(k, path);
    return OK;
}

/* Those that the catalogue knows, and is this one of them? */
static enum error_kind ask_catalog(struct catalog *cat, struct known *k, struct error *err)
{
    char site_id[17];
    enum error_kind rc = snapshot_row_each(cat, NULL, known_row, k, err);

    if (!rc)
        rc = catalog_site_id(cat, k->path, site_id, err);
    return rc ? rc : catalog_event_each(cat, site_id, known_event, k, err);
}

enum error_kind cli_site_known(struct cli *cli, struct catalog *cat, const char *name, const char *path,
                               struct error *err)
{
    struct known k = {.config = &cli->config, .path = path, .names = ""};
    struct catalog *own = NULL;
    struct error ignored = ERROR_INIT;
    enum error_kind rc = OK;

    if (config_find(&cli->config, name) || access(path, F_OK) == 0)
        return OK;
    for (size_t i = 0; i < cli->config.count; i++)
        add_name(&k, cli->config.sites[i].name);
    if (!cat)
        (void)cli_catalog_open(cli, CATALOG_READ, false, &own, &ignored);
    if (cat || own)
        rc = ask_catalog(cat ? cat : own, &k, err);
    catalog_close(own);
    if (rc || k.found)
        return rc;
    rc = error_set(err, ERR_NOT_FOUND, 0, "%s is no site: neither in the config, nor a folder, nor in the catalogue",
                   name);
    if (k.names[0])
        error_hint(err, "known are: %s", k.names);
    else
        error_hint(err, "none is known yet: nopsnap snapshot SITE");
    return rc;
}

enum error_kind cli_refuse_in_site(const struct cli *cli, struct catalog *cat, const char *file, struct error *err)
{
    char *parent = NULL;
    bool inside = false;
    enum error_kind rc = path_parent(file, &parent, err);

    if (!rc)
        rc = shops_hold(cat, &cli->config, parent, &inside, err);
    if (!rc && inside) {
        rc = error_set(err, ERR_REFUSED, 0, "%s is inside a site: visitors could read it", file);
        error_hint(err, "name a file elsewhere");
    }
    free(parent);
    return rc;
}

void cli_database_release(struct cli_database *d)
{
    struct cli *cli = d->cli;

    database_close(d->db);
    database_target_release(&d->target);
    database_target_release(&d->admin);
    *d = (struct cli_database)CLI_DATABASE_INIT;
    d->cli = cli; /* it may be opened again */
}

enum error_kind cli_database_open(const struct site *site, struct cli_database *out, struct error *err)
{
    const char *admin = site->config ? site->config->database_admin : NULL;
    char *without = NULL;
    enum error_kind rc;

    if (!site->connection.string || !site->connection.provider)
        return OK;
    rc = database_target_parse(site->connection.provider, site->connection.string, &out->target, err);
    if (!rc)
        rc = database_open_by(&out->target, admin, &out->admin, &out->db, &without, err);
    if (!rc && without && out->cli) {
        cli_warn(out->cli, "%s", without);
    } else if (!rc && without) {
        rc = error_set(err, ERR_REFUSED, 0, "%s", without);
        error_hint(err, "mend that login or its file, or take it out of the config");
    }
    free(without);
    return rc;
}

void cli_native_use(const struct site_config *config, struct database *db, enum database_way way)
{
    struct database_native native = {.way = way,
                                     .server_folder = config ? config->sqlserver_backup_path : NULL,
                                     .local_folder = config ? config->sqlserver_backup_local : NULL};

    database_native_use(db, &native);
}

enum error_kind cli_kept_clear(struct cli *cli, struct catalog *cat, struct site *site, bool end_trial,
                               int64_t *seen_ns, struct error *err)
{
    struct transaction_result cleared = {.outcome = OUTCOME_NOTHING};
    enum error_kind rc = kept_clear(cat, site, end_trial, &cli->progress, seen_ns, &cleared, err);

    if (!rc && cleared.safety_snapshot)
        cli_note(cli, "what the last transaction took away is snapshot %.8s", cleared.safety_snapshot);
    for (size_t i = 0; i < cleared.left.count; i++)
        cli_warn(cli, "still kept: %s", cleared.left.items[i]);
    transaction_result_release(&cleared);
    return rc;
}

enum error_kind cli_refuse_pending_of(const struct snapshot_record *record, struct error *err)
{
    char *name = NULL;
    char *id = NULL;
    enum error_kind rc = catalog_host(&name, &id, err);

    if (!rc && record->site_path && record->host_id && !strcmp(id, record->host_id))
        rc = transaction_refuse_mark(record->site_path, err);
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
