/*
 * The owner's config: /etc/nopsnap.conf and ~/.config/nopsnap.conf, INI by inih. One section a site; a section [nopsnap]
 * holds what is not a site's (catalog = DIR), and what is for all of them (notify-... =).
 */
#ifndef NOPSNAP_SITE_CONFIG_H
#define NOPSNAP_SITE_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "text.h"

/* A file with a secret in it, and where the config names it ("/etc/nopsnap.conf line 7"): read and checked by who needs it. */
struct config_secret {
    char *path;
    char *where;
};

/* Who is told how scheduled work went. In [nopsnap] for all sites; what a site says itself counts there instead, key by key. */
struct notify_config {
    struct config_secret webhook;    /* a file with the URL */
    struct config_secret ping;       /* a file with lines "start URL", "success URL", "failure URL" */
    struct config_secret mail_login; /* a file with a line for the user and one for the password */
    char *webhook_template;          /* a JSON object with {message} and the like in its texts */
    char *mail_to;                   /* addresses with commas between */
    char *mail_from;
    char *mail_server; /* smtp://host:587, smtps://host */
    char *ca_file;     /* certificates to trust there, or NULL: the system's */
    char *timeout;     /* how long one of them may take, with all attempts */
    char *repeat;      /* tell of the same failure again after this time; NULL: once */
};

struct site_config {
    char *name;
    char *path;
    char *service; /* systemd unit, or NULL */
    char *stop;    /* command lines, or NULL */
    char *start;
    char *open;
    char *close;
    char *url;                    /* the shop's first page, for health checks; or NULL */
    char *host_header;            /* the name it is asked by there, or NULL: url's own */
    char *ca_file;                /* certificates to trust there, or NULL: the system's */
    char *health_timeout;         /* how long an upgraded shop may take to answer, or NULL */
    char *database_admin;         /* service:NAME, a MySQL option file, a file with a connection string; or NULL */
    char *sqlserver_backup_path;  /* a folder as SQL Server names it, for its backups; or NULL */
    char *sqlserver_backup_local; /* the same folder as it is called here, or NULL: by the same name */
    char *sqlserver_upgrade;      /* "copy": no database snapshot leads back from an upgrade; else "snapshot" or NULL */
    char *cache_flush;            /* command run after going back, or NULL */
    char *keep;                   /* retention (keep_rules.h), or NULL: nothing is forgotten */
    char *keep_before_upgrade;    /* of these kinds, or NULL: as keep */
    char *keep_safety;
    char *
        expect_every; /* how often a good snapshot is expected ("24h"), or NULL: from the rhythm of the scheduled ones */
    char *verify_budget;             /* how long a run reads data, or NULL */
    char *verify_within;             /* the time in which all data is read once, or NULL */
    char *drill;                     /* how often a restore is tried: config_every_ms(); or NULL */
    char *drill_folder;              /* where, or NULL: in the catalogue's folder */
    char *after_run;                 /* command line run after a scheduled snapshot, or NULL */
    char *environment;               /* ASPNETCORE_ENVIRONMENT when the unit does not tell, or NULL */
    char *rehearse_start;            /* what starts a rehearsal's copy, with {dir} and {port}; or NULL */
    struct text_list rehearse_allow; /* patterns: settings that may lead out of a rehearsal */
    struct text_list exclude;
    struct text_list include;
    struct text_list check;      /* command lines that have to succeed after an upgrade */
    struct text_list check_page; /* "/path text" or "URL text": pages that have to hold it */
    struct notify_config notify;
};

struct config {
    char *catalog;               /* or NULL */
    char *metrics_file;          /* for the collector of a monitoring system, or NULL */
    struct notify_config notify; /* for sites that say nothing else */
    struct site_config *sites;
    size_t count;
};

#define CONFIG_INIT     \
    {                   \
        .catalog = NULL \
    }

/*
 * Read the config.
 *
 * file       one file that must exist; or NULL: /etc/nopsnap.conf, then ~/.config/nopsnap.conf over it, both optional
 * Returns    ERR_REFUSED with file and line for an unknown key, a malformed line, a relative path, a file others may write (P11)
 */
enum error_kind config_load(const char *file, struct config *out, struct error *err);
/*
 * What can be read of a config that config_load() refuses, so that somebody can be told: entries that are wrong, and what stands behind a line that is
 * no entry, are left out, and so is a file that others may write.
 *
 * out        empty
 */
void config_load_readable(const char *file, struct config *out);
void config_release(struct config *c);

/* "daily", "weekly", "monthly" (30 days) or a time such as 10d in milliseconds; 0: "never"; -1: something else. */
int64_t config_every_ms(const char *value);

/* The section with this name, or whose path is this path (compared as real paths); NULL if none. Borrowed. */
const struct site_config *config_find(const struct config *c, const char *name_or_path);

#endif
