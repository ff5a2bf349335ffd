/*
 * What the verbs share: options, the catalogue, the site, output, the exit status.
 *
 * Only this room prints, and only cli_exit.c picks an exit status. Primary output goes to stdout, talk to stderr.
 */
#ifndef NOPSNAP_CLI_H
#define NOPSNAP_CLI_H

#include <getopt.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

#include "catalog.h"
#include "database.h"
#include "json.h"
#include "record.h"
#include "site.h"
#include "text.h"
#include "transaction.h"
#include "tree.h"

enum exit_status {
    EXIT_DONE = 0,
    EXIT_FAILED = 1, /* failed or declined, nothing changed */
    EXIT_USAGE = 2,
    EXIT_WARNED = 3,   /* done with warnings; diff: different */
    EXIT_UNDONE = 4,   /* an upgrade or rollback failed and was undone cleanly */
    EXIT_HANDS = 5,    /* needs hands, or recover */
    EXIT_BUSY = 6,     /* someone else holds the lock */
    EXIT_DAMAGE = 7,   /* damage found */
    EXIT_SIGNAL = 128, /* plus the signal's number */
};

struct cli {
    const char *catalog_given; /* --catalog, or NULL */
    const char *config_given;  /* --config, or NULL */
    bool json, quiet, verbose;
    atomic_bool warned; /* something made the status 3; workers warn too */
    struct config config;
    struct error config_fault; /* why that could not be loaded; kind OK: it was */
    struct progress progress;
    struct cli_bar *bar;
};

struct command {
    const char *name;
    const char *arguments;                              /* after the name: "SITE [--tag T]" */
    const char *summary;                                /* one line */
    const char *help;                                   /* options and examples */
    int (*run)(struct cli *cli, int argc, char **argv); /* argv[0] is the verb; returns an exit status */
};

extern const struct command cli_commands[];
const struct command *cli_command_find(const char *name);

/* ---- cli_exit.c ---- */

int cli_status_of(enum error_kind kind);
/* Load the config again, as the options say. What is wrong with it was printed, as a matter of usage: the status; 0 if nothing is. */
int cli_config_load(struct cli *cli);
/* The graver of two: 5 > 7 > 4 > 1 > 6 > 3 > 0. */
int cli_status_worse(int a, int b);
/* Print an error and its hint; returns its status. */
int cli_fail(struct cli *cli, const struct error *err);
int cli_usage(struct cli *cli, const struct command *command, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* 0, or 3 when something was warned of. */
int cli_done(const struct cli *cli);

/* ---- cli_options.c ---- */

/* Next option before the verb that is not one of the global ones, which are taken. */
int cli_option_before(struct cli *cli, int argc, char **argv, const struct option *options);
/* Next option of a verb by getopt_long(); global ones are taken here too; --help is handled: prints and returns 'h'. '?' was reported. -1 at the end. */
int cli_option(struct cli *cli, const struct command *command, int argc, char **argv, const struct option *options);
void cli_help(const struct command *command, FILE *to);

/* ---- cli_reference.c ---- */

/* For verbs without options: --help, and from least to most arguments (most -1: any number). -1 to go on, else a status. */
int cli_arguments(struct cli *cli, const struct command *command, int argc, char **argv, int least, int most,
                  const char *takes);
enum error_kind cli_snapshot_open(struct catalog *cat, const char *id, struct snapshot_record *out, struct error *err);
/* The same where a site is named: "latest" is that one's, or of all where it has none (a copy in another place). */
enum error_kind cli_snapshot_open_of(struct catalog *cat, const char *site_id, const char *id,
                                     struct snapshot_record *out, struct error *err);
/* Refuse another host's snapshot unless other_host. */
enum error_kind cli_snapshot_own(const struct snapshot_record *record, bool other_host, struct error *err);
/* "ID[:PATH]". Caller frees both, whatever is returned. */
enum error_kind cli_reference_parse(const char *given, char **id, char **path, struct error *err);

struct cli_entry {
    struct tree_entry entry; /* borrows from the rest */
    struct buffer encoded;
    struct tree_scratch *scratch;
};
#define CLI_ENTRY_INIT                    \
    {                                     \
        .encoded = BUFFER_INIT(64u << 20) \
    }
enum error_kind cli_entry_open(struct catalog *cat, const struct snapshot_record *record, const char *root_name,
                               const char *path, struct cli_entry *out, struct error *err);
void cli_entry_release(struct cli_entry *e);

/* ---- cli_catalog.c ---- */

/* The catalogue's folder: --catalog, the config's, or the default. Caller frees. is_default: nobody named it. */
enum error_kind cli_catalog_path(struct cli *cli, char **out, bool *is_default, struct error *err);
/* make: a missing default catalogue is made, and said. */
enum error_kind cli_catalog_open(struct cli *cli, enum catalog_mode mode, bool make, struct catalog **out,
                                 struct error *err);
/* Refuse or warn about where the catalogue lies against a site (P10). */
enum error_kind cli_catalog_check_place(struct cli *cli, const char *catalog, const struct site *site,
                                        struct error *err);

/* ---- cli_site.c ---- */

/* A path, or a name of the config. loose: settings may be broken. */
enum error_kind cli_site_open(struct cli *cli, const char *name, bool loose, struct site *out, struct error *err);
/*
 * Is a site with this path and name known: in the config, on the disk, or in the catalogue (NULL: it is opened for this, if it can be)?
 * ERR_NOT_FOUND with a hint that names those that are: most likely a typo.
 */
enum error_kind cli_site_known(struct cli *cli, struct catalog *cat, const char *name, const char *path,
                               struct error *err);
/* ERR_REFUSED for a file to be written whose folder is in a shop, or handed out by one (shops_hold()); cat NULL: there is none. */
enum error_kind cli_refuse_in_site(const struct cli *cli, struct catalog *cat, const char *file, struct error *err);
/* Connect to the site's database; *out NULL when it has none. The targets live in r. */
struct cli_database {
    struct database_target target, admin;
    struct database *db;
    struct cli *cli; /* who is warned of a database-admin that is of no use; NULL: then that is an error */
};
#define CLI_DATABASE_INIT                                      \
    {                                                          \
        DATABASE_TARGET_INIT, DATABASE_TARGET_INIT, NULL, NULL \
    }
enum error_kind cli_database_open(const struct site *site, struct cli_database *out, struct error *err);
/* Dump in this way from now on, by the folder that the config names, if it does (config may be NULL). */
void cli_native_use(const struct site_config *config, struct database *db, enum database_way way);
void cli_database_release(struct cli_database *d);
/* What the last transaction took away becomes a snapshot before anything new is written (P3). seen_ns: see kept_clear(). */
enum error_kind cli_kept_clear(struct cli *cli, struct catalog *cat, struct site *site, bool end_trial,
                               int64_t *seen_ns, struct error *err);
/* Before a snapshot is marked, or goes: its site must have nothing unfinished. Another host's site can't be asked. */
enum error_kind cli_refuse_pending_of(const struct snapshot_record *record, struct error *err);
/* One warning line when a transaction is pending; for commands that only read. */
void cli_warn_pending(struct cli *cli, const char *site_path);

/* ---- cli_status.c ---- */

struct overview;
/* Write the metrics to the file that somebody named, unless it is in a shop. */
enum error_kind cli_metrics_write(struct cli *cli, struct catalog *cat, const struct overview *o, const char *file,
                                  struct error *err);

/* ---- cli_progress.c ---- */

enum error_kind cli_progress_init(struct cli *cli, struct error *err);
void cli_progress_end(struct cli *cli); /* clears the bar */
void cli_progress_free(struct cli *cli);

/* ---- cli_print.c ---- */

void cli_warn(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cli_note(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* One line on stdout, whatever the names in it hold; prefix as it is. */
void cli_line(const char *prefix, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A site's name, or the end of its path, which tells more than its beginning: fewer than room bytes. */
void cli_site_column(const char *shown, char *out, size_t room);
const char *cli_kind_word(enum snapshot_kind kind);
const char *cli_part_word(enum snapshot_part part);
/* One object as one line on stdout; frees it. */
void cli_json(struct json *object);
struct json *cli_json_new(const char *type);
/* Remember what happened, for `history` and `status`; a failure to do so is only a warning. */
void cli_event(struct cli *cli, struct catalog *cat, const char *site_id, const char *what, struct json *detail,
               int status);

/* ---- cli_recover.c ---- */

/* What a recovery came to, in words or as an object. */
void cli_recover_tell(struct cli *cli, const char *path, const struct transaction_result *r);

/* ---- the verbs ---- */

int cli_init(struct cli *cli, int argc, char **argv);
int cli_snapshot(struct cli *cli, int argc, char **argv);
int cli_list(struct cli *cli, int argc, char **argv);
int cli_show(struct cli *cli, int argc, char **argv);
int cli_ls(struct cli *cli, int argc, char **argv);
int cli_cat(struct cli *cli, int argc, char **argv);
int cli_diff(struct cli *cli, int argc, char **argv);
int cli_sql(struct cli *cli, int argc, char **argv);
int cli_upgrade(struct cli *cli, int argc, char **argv);
int cli_rehearse(struct cli *cli, int argc, char **argv);
int cli_confirm(struct cli *cli, int argc, char **argv);
int cli_status(struct cli *cli, int argc, char **argv);
int cli_report(struct cli *cli, int argc, char **argv);
int cli_history(struct cli *cli, int argc, char **argv);
int cli_rollback(struct cli *cli, int argc, char **argv);
int cli_recover(struct cli *cli, int argc, char **argv);
int cli_restore(struct cli *cli, int argc, char **argv);
int cli_export(struct cli *cli, int argc, char **argv);
int cli_hold(struct cli *cli, int argc, char **argv);
int cli_release(struct cli *cli, int argc, char **argv);
int cli_accept(struct cli *cli, int argc, char **argv);
int cli_forget(struct cli *cli, int argc, char **argv);
int cli_prune(struct cli *cli, int argc, char **argv);
int cli_verify(struct cli *cli, int argc, char **argv);
int cli_drill(struct cli *cli, int argc, char **argv);
int cli_run(struct cli *cli, int argc, char **argv);
int cli_schedule(struct cli *cli, int argc, char **argv);
int cli_rebuild(struct cli *cli, int argc, char **argv);
int cli_notify(struct cli *cli, int argc, char **argv);

#endif
