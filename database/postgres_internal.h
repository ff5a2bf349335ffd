/*
 * Inside the PostgreSQL engine.
 *
 *   postgres_client.c      connections and statements; the only file that sees libpq
 *   postgres_tools.c       pg_dump, pg_restore and psql: which one, with what environment
 *   postgres_properties.c  what belongs to the database itself and is in no dump
 *   postgres_counts.c      rows and highest Id of every table
 *   postgres_dump.c        consistent view, pg_dump, counts
 *   postgres_archive.c     a dump on its way into pg_restore
 *   postgres_load.c        a database beside from a dump
 *   postgres_in_place.c    the live database's content replaced in one transaction
 *   postgres_swap.c        fence, exchange, kept databases
 *   postgres_engine.c      the table of operations, connection, probe, sessions
 *
 * Invariants:
 *   G1  a database is its oid on its cluster (system identifier), whatever its name
 *   G2  whatever changes two databases together (both renames, their doors and grants) is one transaction
 *   G3  a door that is closed (ALLOW_CONNECTIONS false) stays closed for whatever takes the live name, until unfence
 *   G4  every session of nopsnap and of its children names its process and its shop's database as its application
 */
#ifndef NOPSNAP_POSTGRES_INTERNAL_H
#define NOPSNAP_POSTGRES_INTERNAL_H

#include "database_internal.h"
#include "process.h"

#define POSTGRES_NAME_MAX 63 /* bytes of an identifier */

/* ---- postgres_client.c ---- */

struct postgres; /* one connection */

/*
 * Connect to database `name` with this login. `fallback` gives host and port where the login is a service that has
 * none.
 *
 * Returns    ERR_REMOTE; the text tells a server that is down, a refused password and a refused certificate apart
 */
enum error_kind postgres_connect(const struct database_target *login, const struct database_target *fallback,
                                 const char *name, struct postgres **out, struct error *err);
void postgres_close(struct postgres *pg); /* accepts NULL */
/* Run statements and hand the rows over as they arrive; row may be NULL. */
enum error_kind postgres_query(struct postgres *pg, const char *sql, database_row_fn *row, void *arg,
                               struct error *err);
/* The same with text parameters $1..$n (one statement). */
enum error_kind postgres_query_with(struct postgres *pg, const char *sql, int count, const char *const *parameters,
                                    database_row_fn *row, void *arg, struct error *err);
/* First column of the first row; NULL when there is none. Caller frees. */
enum error_kind postgres_text(struct postgres *pg, const char *sql, int count, const char *const *parameters,
                              char **out, struct error *err);
enum error_kind postgres_number(struct postgres *pg, const char *sql, int count, const char *const *parameters,
                                int64_t fallback, int64_t *out, struct error *err);
/* printf-like statement; the arguments are already quoted. */
enum error_kind postgres_run(struct postgres *pg, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
enum error_kind postgres_append_name(struct postgres *pg, const char *name, struct buffer *sql, struct error *err);
enum error_kind postgres_append_text(struct postgres *pg, const char *text, struct buffer *sql, struct error *err);
enum error_kind postgres_quoted_name(struct postgres *pg, const char *name, char **out, struct error *err);
enum error_kind postgres_quoted_text(struct postgres *pg, const char *text, char **out, struct error *err);
/* SQLSTATE of the last failed statement, "" if none. */
const char *postgres_state(const struct postgres *pg);
int postgres_server_major(const struct postgres *pg);
const char *postgres_server_version(const struct postgres *pg); /* "15.20 (Debian ...)" */
/* Has the server not hung up? Costs no round trip. */
bool postgres_alive(struct postgres *pg);
/* End the statement that another thread is running on this connection. */
void postgres_cancel(struct postgres *pg);
#define APPLICATION_MAX 40
/* "nopsnap-<pid>-<hash>": whose session it is, and for which live database it works (G4). */
void postgres_application(const struct database_target *shop, char out[APPLICATION_MAX]);
/* Where the login leads: host (socket folder), port and user as libpq resolved them; caller frees each. */
enum error_kind postgres_resolved(struct postgres *pg, char **host, char **port, char **user, struct error *err);

/* ---- postgres_tools.c ---- */

/* The environment of a child that connects as `db` does. */
struct postgres_environment {
    struct text_list pairs;
    const char **list; /* NULL-terminated, for process_spec */
    struct secret_file password;
};
#define POSTGRES_ENVIRONMENT_INIT              \
    {                                          \
        TEXT_LIST_INIT, NULL, SECRET_FILE_INIT \
    }
enum error_kind postgres_environment_make(struct database *db, struct postgres *pg, struct postgres_environment *out,
                                          struct error *err);
void postgres_environment_release(struct postgres_environment *e);
/* Wait for a tool's end. ERR_REMOTE with the line of its stderr that says what went wrong. */
enum error_kind postgres_tool_wait(struct process *p, const char *program, struct error *err);
/* "dbname='...'": a bare name that holds "=" would be read as a connection string. Caller frees. */
enum error_kind postgres_conninfo_name(const char *name, char **out, struct error *err);

/*
 * A client tool that is at least of this major version, the oldest of those.
 *
 * program    "pg_dump"
 * path       caller frees
 * version    "15.20"; may be NULL; caller frees
 * Returns    ERR_NOT_FOUND with the package to install in the hint
 */
enum error_kind postgres_tool(const char *program, int major, char **path, char **version, struct error *err);

/* ---- postgres_archive.c ---- */

/* A dump on its way in: what was read ahead to see its table of contents, then the rest of the stream. */
struct postgres_archive {
    database_source_fn *source;
    void *arg;
    struct buffer head;     /* handed out again before the stream goes on */
    struct buffer contents; /* what `pg_restore --list` says */
};

/* Read ahead until pg_restore knows the table of contents. */
enum error_kind postgres_archive_open(const char *pg_restore, database_source_fn *source, void *arg,
                                      struct postgres_archive *out, struct error *err);
void postgres_archive_release(struct postgres_archive *a);
/* Feed the whole dump into a child's stdin. A child that stops reading is no failure here: its exit status tells. */
enum error_kind postgres_archive_feed(struct postgres_archive *a, int fd, struct error *err);
/* One entry of the contents: should it be restored? */
typedef bool postgres_entry_fn(void *arg, const char *kind, const char *rest);
/* The list for `pg_restore --use-list`, without the entries that `keep` refuses. */
enum error_kind postgres_archive_list(const struct postgres_archive *a, postgres_entry_fn *keep, void *arg,
                                      struct buffer *out, struct error *err);

/* ---- postgres_engine.c ---- */

struct postgres_engine {
    struct postgres *live;        /* to db->name; NULL until needed, while fenced off, or when there is none */
    struct postgres *maintenance; /* to another database of the server, for CREATE, DROP and RENAME */
    int major;
};

/* The connection to db->name, opened if need be, through a closed door too. ERR_NOT_FOUND when it does not exist. */
enum error_kind postgres_live(struct database *db, struct postgres **out, struct error *err);
enum error_kind postgres_maintenance(struct database *db, struct postgres **out, struct error *err);
/* A connection of its own to any database of the server. */
enum error_kind postgres_open_other(struct database *db, const char *name, struct postgres **out, struct error *err);
void postgres_close_live(struct database *db);
/* oid of a database as text; *out NULL when there is none. Caller frees. */
enum error_kind postgres_oid(struct postgres *pg, const char *name, char **out, struct error *err);
/* Identity (G1), or NULL. Caller frees. */
enum error_kind postgres_identity(struct postgres *pg, const char *name, char **out, struct error *err);
/* Name of the database with this identity; *out NULL when there is none here. ERR_REFUSED: another cluster's. */
enum error_kind postgres_name_of(struct postgres *pg, const char *identity, char **out, struct error *err);
bool postgres_is_superuser(struct postgres *pg);
/* End the sessions in database `name` and wait for their end. spare_own: leave nopsnap's own sessions alone. */
enum error_kind postgres_end_sessions(struct postgres *pg, const char *name, bool spare_own, struct error *err);
enum error_kind postgres_obstacles(struct postgres *pg, const char *name, struct text_list *out, struct error *err);

/* ---- the operations ---- */

enum error_kind postgres_count_all(struct postgres *pg, const volatile bool *stop, struct database_counts *out,
                                   struct error *err);
enum error_kind postgres_count(struct database *db, const char *name, struct database_counts *out, struct error *err);

enum error_kind postgres_properties_read(struct postgres *pg, char **out, struct error *err);

/* How much of the properties is applied. */
enum properties_scope {
    PROPERTIES_ALL,      /* a database that nopsnap made: it becomes what the dumped one was */
    PROPERTIES_SETTINGS, /* a database of the user's: settings and comment, not its owner, grants and limit */
};
/* What can't be applied for lack of rights or roles is a line in notes. */
enum error_kind postgres_properties_apply(struct postgres *pg, const char *name, const char *properties,
                                          enum properties_scope scope, struct text_list *notes, struct error *err);
/* " ENCODING ... LC_COLLATE ..." for CREATE DATABASE. */
enum error_kind postgres_properties_create(struct postgres *pg, const char *properties, struct buffer *sql,
                                           struct error *err);
/* May this login set the owners and grants that the dump names? Lines in notes say why not. */
enum error_kind postgres_properties_roles(struct postgres *pg, const char *properties, bool *owners, bool *grants,
                                          struct text_list *notes, struct error *err);

enum error_kind postgres_dump_begin(struct database_dump *dump, struct error *err);
enum error_kind postgres_dump_run(struct database_dump *dump, database_sink_fn *sink, void *arg, struct error *err);
enum error_kind postgres_dump_end(struct database_dump *dump, struct database_facts *out, struct error *err);

/* Path of a pg_restore that can read the dump and suits the server; caller frees. */
enum error_kind postgres_restore_tool(struct postgres *pg, const struct database_facts *facts, char **path,
                                      struct error *err);
/*
 * Create a database under a private name, after an earlier try under that name is dropped.
 *
 * template   copied with all that is in it, whoever is in it is put out; NULL: an empty one
 */
enum error_kind postgres_create_beside(struct postgres *pg, const char *name, const char *template,
                                       const char *properties, struct error *err);
enum error_kind postgres_copy(struct database *db, struct database_swap *swap, struct database_counts *counts,
                              struct error *err);
/* The new side is another database now, under the same name: its identity, and who may connect to it, are read again. */
enum error_kind postgres_swap_renew(struct database *db, struct database_swap *swap, struct error *err);
enum error_kind postgres_load_begin(struct database *db, const struct database_facts *facts, const char *token,
                                    char **name, struct error *err);
enum error_kind postgres_load_run(struct database *db, const char *name, const struct database_facts *facts,
                                  database_source_fn *source, void *arg, struct error *err);
enum error_kind postgres_load_in_place(struct database *db, const struct database_facts *facts,
                                       database_source_fn *source, void *arg, struct error *err);

enum error_kind postgres_swap_prepare(struct database *db, const char *beside, const char *token,
                                      struct database_swap *out, struct error *err);
enum error_kind postgres_fence(struct database *db, const struct database_swap *swap, struct error *err);
enum error_kind postgres_unfence(struct database *db, const struct database_swap *swap, struct error *err);
enum error_kind postgres_swap_to(struct database *db, const struct database_swap *swap, enum database_side side,
                                 struct error *err);
enum error_kind postgres_swap_side(struct database *db, const struct database_swap *swap, enum database_side *out,
                                   struct error *err);
enum error_kind postgres_kept_drop(struct database *db, const char *name, const char *identity, struct error *err);

#endif
