/* What the files of the rehearsal share. */
#ifndef NOPSNAP_REHEARSE_INTERNAL_H
#define NOPSNAP_REHEARSE_INTERNAL_H

#include "process.h"
#include "rehearse.h"
#include "relay.h"
#include "scratch.h"
#include "upgrade_internal.h"

struct rehearsal {
    struct catalog *cat;
    struct site *site;
    struct upgrade_plan *plan;
    struct upgrade_context *context;
    struct database *db;   /* the shop's; borrowed */
    struct scratch place;  /* beside the site (H4) */
    struct database *copy; /* open, or NULL */
    char *string;          /* connection string of the copy; secret; NULL: its settings do not name it yet */
    char *password;        /* that is in it, or NULL; secret */
    struct site_connection connection; /* of the stage's tree: the copy's; secret */
    int port;
    bool host_network;
    int netns; /* the copy's network; -1: the machine's, and why */
    char network_why[256];
    struct relay *relay; /* to the database */
    char url[96];
    struct text_list covers, cover_options,
        cover_names; /* folders behind links, see rehearse_links.c: the link's path is its name */
    struct snapshot_record snapshot;
    struct process process;
};

/* rehearse_links.c: cover what links of the copy's tree lead to. ERR_REFUSED names one that can't be, and is not allowed (H1, H3) */
enum error_kind rehearse_links(struct rehearsal *r, struct error *err);

/* rehearse_settings.c */
/* Does `rehearse-allow` of the config have it: a setting's name, or a path of the tree? */
bool rehearse_is_allowed(const struct rehearsal *r, const char *name);
/* The copy's settings: in its tree and in its database nothing leads out (H2); ERR_REFUSED names what nobody knows (H3). */
enum error_kind rehearse_settings(struct rehearsal *r, struct rehearse_result *out, struct error *err);

/* rehearse_stages.c */
uint64_t rehearse_lap(int64_t *since); /* milliseconds since then, which is now from here on */
/*
 * Releases and scripts of the way, one after the other: the first release's tree is there. Each is started and judged, until one is not well; the
 * pages of the last are compared.
 */
enum error_kind rehearse_stages(struct rehearsal *r, const struct progress *progress, struct rehearse_result *out,
                                struct error *err);

/* rehearse.c: ends who was started in a tree */
enum error_kind rehearse_vacate(const char *tree, struct error *err);

/* rehearse_network.c */
/* A network without a way out but to the database, where that can be; else r says why not. target: the copy's. */
enum error_kind rehearse_network(struct rehearsal *r, const struct database_target *target, struct error *err);
void rehearse_network_end(struct rehearsal *r);

/* rehearse_pages.c */
/* Every page that was asked before, of both; what differs is a warning. copy: how the copy is asked. */
enum error_kind rehearse_pages(const struct rehearsal *r, const struct health_options *copy,
                               struct rehearse_result *out, struct error *err);

/* rehearse_shop.c */
enum error_kind rehearse_port(int *out, struct error *err); /* one that is free now, on 127.0.0.1 */
enum error_kind rehearse_start(struct rehearsal *r, struct error *err);
/* A health_probe_fn; arg is the rehearsal. */
enum error_kind rehearse_probe(void *arg, struct health_process *out, struct error *err);

#endif
