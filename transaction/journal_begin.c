/*
 * What a transaction is about, before its first record: token, site, how to stop and start it, catalogue.
 */
#include <stdlib.h>

#include "hash.h"
#include "transaction_internal.h"

static enum error_kind copy_text(const char *from, char **to, struct error *err)
{
    return from ? memory_string(from, to, err) : OK;
}

static enum error_kind copy_config(struct txn *t, const struct site_config *c, struct error *err)
{
    const char *const from[] = {c->name, c->service,     c->stop,           c->start,       c->open,        c->close,
                                c->url,  c->environment, c->database_admin, c->cache_flush, c->host_header, c->ca_file};
    char **const to[] = {&t->site_name,      &t->service,     &t->stop,        &t->start,
                         &t->open,           &t->close,       &t->url,         &t->environment,
                         &t->database_admin, &t->cache_flush, &t->host_header, &t->ca_file};
    enum error_kind rc = OK;

    for (size_t i = 0; i < sizeof(from) / sizeof(from[0]) && !rc; i++)
        rc = copy_text(from[i], to[i], err);
    return rc;
}

enum error_kind txn_describe(struct txn *t, const struct site *site, int health_timeout_ms, struct error *err)
{
    unsigned char token[4];
    enum error_kind rc = random_bytes(token, sizeof(token), err);

    if (rc)
        return rc;
    hex_encode(token, sizeof(token), t->token);
    t->health_timeout_ms = health_timeout_ms;
    t->began_ns = clock_now();
    rc = memory_string(site->path, &t->site_path, err);
    if (!rc)
        rc = copy_text(site->given, &t->site_given, err);
    if (!rc && site->config)
        rc = copy_config(t, site->config, err);
    if (!rc && !t->service && !t->stop)
        rc = copy_text(site->unit, &t->service, err); /* found by its working directory: nothing to configure */
    return rc;
}

enum error_kind txn_describe_database(struct txn *t, const struct database_target *target, const char *identity,
                                      struct error *err)
{
    enum error_kind rc = memory_string(database_engine_name(target->engine), &t->database_engine, err);

    t->database_port = target->port;
    if (!rc)
        rc = copy_text(target->host, &t->database_host, err);
    if (!rc)
        rc = copy_text(target->name, &t->database_name, err);
    if (!rc)
        rc = copy_text(identity, &t->database_identity, err);
    return rc;
}

enum error_kind txn_describe_catalog(struct txn *t, struct catalog *cat, struct error *err)
{
    char id[33];
    enum error_kind rc = path_real(catalog_path(cat), &t->catalog, err);

    hex_encode(catalog_format(cat)->catalogue, 16, id);
    if (!rc)
        rc = memory_string(id, &t->catalog_id, err);
    return rc;
}
