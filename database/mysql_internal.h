/*
 * Inside the MySQL and MariaDB engine: the parts and who calls whom.
 *
 *     mysql_client      the control connection; alone in including the client library's header
 *     mysql_sql         statements built with quoted names and texts
 *     mysql_tools       the client programs: which, how old, their option file
 *     mysql_rights      what the login may do
 *     mysql_scan        a dump read as a stream: rows counted, statements cut anew
 *     mysql_lines       a dump's events switched off or on as it passes, and its own name taken out
 *     mysql_objects     definitions of triggers, views, routines, events: read, kept as JSON, made again
 *     mysql_marker      nopsnap's own table in each set of tables: which set this is
 *     mysql_engine, mysql_probe, mysql_dump, mysql_load, mysql_prepare, mysql_swap     the engine's table of functions
 */
#ifndef NOPSNAP_MYSQL_INTERNAL_H
#define NOPSNAP_MYSQL_INTERNAL_H

#include "database_internal.h"
#include "json.h"

enum {
    MYSQL_NAME_MAX = 64,               /* characters in a name; taken as bytes where we make one up */
    MYSQL_SQL_MAX = 256 * 1024 * 1024, /* ceiling of a statement that we build (a rename of every table, a routine) */
    MYSQL_MARKER_MAX = 64,             /* an identity and its NUL */
};

#define MYSQL_MARKER "nopsnap_marker"

/* ---- mysql_client.c ---- */

struct mysql_client;

/* Server error numbers that are acted upon. */
enum {
    MYSQL_E_DB_DROP_RMDIR = 1010,
    MYSQL_E_DB_ACCESS_DENIED = 1044,
    MYSQL_E_ACCESS_DENIED = 1045,
    MYSQL_E_BAD_DB = 1049,
    MYSQL_E_NO_SUCH_THREAD = 1094,
    MYSQL_E_LOCK_WAIT_TIMEOUT = 1205,
};

/*
 * Connect. Sessions read and write UTF-8, keep times in UTC, have a plain SQL mode (backslash escapes), and hold two
 * named locks by which any process can tell them from the shop's (MYSQL_SESSION_LOCKS).
 *
 * login      whose name and password; with a `service` its option file is read as well, and says more than the rest
 * fallback   fills host and port where an option file names none; may be NULL
 * database   to start in, or NULL
 */
enum error_kind mysql_client_open(const struct database_target *login, const struct database_target *fallback,
                                  const char *database, struct mysql_client **out, struct error *err);
void mysql_client_close(struct mysql_client *c); /* accepts NULL */
/* Run one statement; rows as in database_engine_ops.query. Statements of any bytes. */
enum error_kind mysql_client_run(struct mysql_client *c, const void *sql, size_t len, database_row_fn *row, void *arg,
                                 struct error *err);
unsigned mysql_client_errno(const struct mysql_client *c); /* the server's number for the last failure, or 0 */
bool mysql_client_encrypted(const struct mysql_client *c);
const char *mysql_client_server(const struct mysql_client *c); /* "10.11.14-MariaDB-0+deb12u2", borrowed */

/* TLS as the connection string asks for it. */
enum mysql_tls { MYSQL_TLS_OFF, MYSQL_TLS_PREFERRED, MYSQL_TLS_REQUIRED, MYSQL_TLS_VERIFIED };
enum mysql_tls mysql_tls_wanted(const struct database_target *login);
const char *mysql_tls_file(const struct database_target *login, const char *what); /* "ca", "cert", "key"; or NULL */
/* Does the option file `path` say where the server is? */
enum error_kind mysql_option_file_has_host(const char *path, bool *out, struct error *err);

/* ---- mysql_tools.c ---- */

struct mysql_tool {
    const char *program; /* a name in PATH */
    bool mariadb;        /* MariaDB's, not Oracle's */
    unsigned version;    /* 101114 is 10.11.14 */
    char *version_text;
};
#define MYSQL_TOOL_INIT      \
    {                        \
        NULL, false, 0, NULL \
    }

enum error_kind mysql_tool_find_dump(struct mysql_tool *out, struct error *err);   /* ERR_NOT_FOUND with the package */
enum error_kind mysql_tool_find_client(struct mysql_tool *out, struct error *err); /* the same */
void mysql_tool_release(struct mysql_tool *t);
/* "10.11.14-MariaDB" to 101114; 0 if it does not begin with numbers. */
unsigned mysql_version_number(const char *text);
/* Where to connect and the password, for the tool's eyes only (P10): name it with --defaults-file. */
enum error_kind mysql_tool_options(struct database *db, const struct mysql_tool *t, struct secret_file *out,
                                   struct error *err);

/* ---- the engine's state ---- */

struct mysql {
    struct mysql_client *client;
    bool mariadb;
    unsigned version;        /* the server's */
    char *account;           /* who we are to the server: "shop@%" */
    struct text_list grants; /* SHOW GRANTS, read once; never shown: they may carry a password's hash (P10) */
};

struct mysql *mysql_of(const struct database *db);
/* A multi-table RENAME survives a crash whole (MariaDB 10.6, MySQL 8.0). */
bool mysql_renames_atomically(const struct database *db);

/* ---- mysql_sql.c ---- */

/*
 * Append a statement. In the format %n is a name (quoted), %t a text (quoted; NULL gives NULL), %s is raw, %d an int, %u an
 * uint64_t, %% a percent sign.
 */
enum error_kind mysql_sql(struct buffer *sql, struct error *err, const char *format, ...);
enum error_kind mysql_run(struct database *db, struct error *err, const char *format, ...);
enum error_kind mysql_rows(struct database *db, database_row_fn *row, void *arg, struct error *err, const char *format,
                           ...);
/* First column of the first row; *out NULL when there is none. Caller frees. */
enum error_kind mysql_text(struct database *db, char **out, struct error *err, const char *format, ...);
enum error_kind mysql_number(struct database *db, int64_t fallback, int64_t *out, struct error *err, const char *format,
                             ...);
/* Every first column, added to the list. */
enum error_kind mysql_list(struct database *db, struct text_list *out, struct error *err, const char *format, ...);
/* As mysql_run(), but a failure whose number is `number` is no failure. */
enum error_kind mysql_run_unless(struct database *db, unsigned number, struct error *err, const char *format, ...);
enum error_kind mysql_schema_exists(struct database *db, const char *schema, bool *out, struct error *err);
/* DROP DATABASE. What the server itself can't remove of an otherwise empty one may stay. */
enum error_kind mysql_schema_drop(struct database *db, const char *schema, struct error *err);
/* Every table of a schema but the marker: base tables, system-versioned ones; with_sequences: sequences too. */
enum error_kind mysql_tables(struct database *db, const char *schema, bool with_sequences, struct text_list *out,
                             struct error *err);

/* ---- mysql_rights.c ---- */

/* May our login do `privilege` ("CREATE VIEW") in schema, by all its grants? schema NULL: everywhere. */
enum error_kind mysql_may(struct database *db, const char *schema, const char *privilege, bool *out, struct error *err);
/* One line of SHOW GRANTS: does it give `privilege` in schema? Pure, for tests. */
bool mysql_grant_gives(const char *grant, const char *schema, const char *privilege);
/* Make objects in somebody else's name (SUPER, SET USER...). */
enum error_kind mysql_may_define_as_others(struct database *db, bool *out, struct error *err);

/* ---- mysql_lend.c ---- */

/* Exactly database_lend() and database_lend_check(). */
enum error_kind mysql_lend(struct database *db, const char *name, struct error *err);
enum error_kind mysql_lend_check(struct database *db, struct error *err);
/* Before it is dropped: grants outlive a database. */
enum error_kind mysql_lend_end(struct database *db, const char *name, struct error *err);
/* What gives our login its rights beside the live database; name: with MYSQL_NO_TOKEN. Caller frees. */
enum error_kind mysql_lend_hint(struct database *db, const char *name, char **out, struct error *err);
#define MYSQL_NO_TOKEN "00000000"

/* ---- mysql_probe.c ---- */

/* "SELECT, INSERT": what our login lacks to fill a database of this name with what the live one holds; NULL: nothing. Caller frees. */
enum error_kind mysql_lacks_beside(struct database *db, const char *name, char **out, struct error *err);

/* ---- mysql_scan.c ---- */

/*
 * A dump of mariadb-dump or mysqldump, read as it streams by.
 *
 * Rows are counted per table, the highest Id is noted, and the rows are gathered into INSERT statements anew: the tool
 * cuts statements by size, so that one more row shifts every later cut; here a row's own bytes decide whether a
 * statement ends after it, so that unchanged rows give unchanged bytes (D2).
 */
struct mysql_scan;

enum error_kind mysql_scan_new(database_sink_fn *sink, void *arg, struct mysql_scan **out, struct error *err);
/* Before the first feed: hand over the Id of every row of `table` (ignoring case; borrowed) as it passes. A failure of fn is the feed's. */
void mysql_scan_ids(struct mysql_scan *s, const char *table, database_id_fn *fn, void *arg);
enum error_kind mysql_scan_feed(struct mysql_scan *s, const void *bytes, size_t len, struct error *err);
/* End of the dump: hands over what is left. ERR_REMOTE when the dump stops within a statement. */
enum error_kind mysql_scan_end(struct mysql_scan *s, struct error *err);
/* Move the counts out. */
void mysql_scan_counts(struct mysql_scan *s, struct database_counts *out);
uint64_t mysql_scan_largest(const struct mysql_scan *s); /* bytes of the longest INSERT statement handed out */
void mysql_scan_free(struct mysql_scan *s);              /* accepts NULL */

/* ---- mysql_lines.c ---- */

/*
 * Lines of a dump rewritten as it streams by: every event comes out DISABLED (a load), or those named come out ENABLED (the dump
 * of a kept database, whose events nopsnap holds back); no statement names the database that was dumped.
 */
struct mysql_lines;

/*
 * enable     names of the events that come out ENABLED; NULL: all come out disabled. Borrowed
 * found      gets "name" of each event that was ENABLED in the input; may be NULL
 */
enum error_kind mysql_lines_new(const struct text_list *enable, struct text_list *found, database_sink_fn *sink,
                                void *arg, struct mysql_lines **out, struct error *err);
enum error_kind mysql_lines_feed(struct mysql_lines *l, const void *bytes, size_t len, struct error *err);
enum error_kind mysql_lines_end(struct mysql_lines *l, struct error *err);
void mysql_lines_free(struct mysql_lines *l);
/*
 * Find the status word (ENABLE, DISABLE, DISABLE ON SLAVE) of a CREATE EVENT statement as the server writes it.
 *
 * begin, end  where the word or words lie
 * Returns     false if there is none
 */
bool mysql_event_status(const char *sql, size_t len, size_t *begin, size_t *end);

/* ---- mysql_objects.c ---- */

enum mysql_object_kind { MYSQL_ROUTINE, MYSQL_VIEW, MYSQL_TRIGGER, MYSQL_EVENT };

/* One definition, exactly as the server gives it. */
struct mysql_object {
    enum mysql_object_kind kind;
    char *word; /* "PROCEDURE", "FUNCTION", "PACKAGE", "PACKAGE BODY", "VIEW", "TRIGGER", "EVENT" */
    char *name;
    char *create; /* the statement, without the schema's name; in the character set `charset` */
    size_t create_len;
    char *sql_mode;
    char *charset;          /* character_set_client */
    char *collation;        /* collation_connection */
    char *schema_collation; /* the schema's default when it was made: decides the type of its parameters */
    char *time_zone;        /* of an event */
    bool enabled;           /* of an event */
};

struct mysql_objects {
    struct mysql_object *items; /* in the order in which they can be made */
    size_t count;
};
#define MYSQL_OBJECTS_INIT \
    {                      \
        NULL, 0            \
    }

/* Read every definition of a schema. An event named in `held_back` counts as enabled (see mysql_marker). */
enum error_kind mysql_objects_read(struct database *db, const char *schema, const struct text_list *held_back,
                                   struct mysql_objects *out, struct error *err);
void mysql_objects_release(struct mysql_objects *o);
enum error_kind mysql_object_encode(const struct mysql_object *o, struct buffer *out, struct error *err);
enum error_kind mysql_object_decode(const void *bytes, size_t len, struct mysql_objects *into, struct error *err);
/*
 * Make the definitions of a schema those of `wanted`. What is there already, equal, is left alone; what belongs to
 * `other` and not to `wanted` is dropped; what belongs to neither is somebody else's and stays (P8).
 *
 * events_on  whether events come out as they were, or all disabled
 */
enum error_kind mysql_objects_apply(struct database *db, const char *schema, const struct mysql_objects *wanted,
                                    const struct mysql_objects *other, bool events_on, struct error *err);
/* Drop the triggers (they would refuse the rename) and events (they would run during it) of both sets in `schema`. */
enum error_kind mysql_objects_clear(struct database *db, const char *schema, const struct mysql_objects *a,
                                    const struct mysql_objects *b, struct error *err);
/* Drop every view, routine and event of a schema (in-place loading). */
enum error_kind mysql_objects_drop_all(struct database *db, const char *schema, struct error *err);
/* Accounts in whose name something in the schema runs, other than ours: "root@localhost". */
enum error_kind mysql_definers(struct database *db, const char *schema, struct text_list *out, struct error *err);

/* ---- mysql_marker.c ---- */

/*
 * The marker is a small table of nopsnap's in a set of tables. It moves with them, so that it says which set this is,
 * whatever the schema is called (D4, D6). Rows: name, value.
 *
 *     id             the identity
 *     token          of the transaction that loaded it
 *     state          "loading" while it is filled
 *     event:NAME     an event that is to run, held back for now
 *     live           who is live, when that one's marker has been taken away
 *     moving         a move has begun; then also:
 *     table:NAME     a table of this set
 *     keys           how many foreign keys it has
 *     object:NNN     a definition of this set, as JSON
 */
struct mysql_marker {
    bool exists;
    char identity[MYSQL_MARKER_MAX]; /* empty if there is none */
    char live[MYSQL_MARKER_MAX];     /* the identity of the other set, when that is live without a marker */
    bool loading;
    bool moving;
    struct text_list events; /* held back */
    struct text_list tables; /* while moving */
    struct mysql_objects objects;
    int64_t keys; /* foreign keys */
};
#define MYSQL_MARKER_INIT                                                                  \
    {                                                                                      \
        false, "", "", false, false, TEXT_LIST_INIT, TEXT_LIST_INIT, MYSQL_OBJECTS_INIT, 0 \
    }

enum error_kind mysql_marker_read(struct database *db, const char *schema, struct mysql_marker *out, struct error *err);
void mysql_marker_release(struct mysql_marker *m);
/* Make the table if it isn't there and set its identity (a new one if identity is NULL, unless it has one). */
enum error_kind mysql_marker_make(struct database *db, const char *schema, const char *identity, struct error *err);
enum error_kind mysql_marker_set(struct database *db, const char *schema, const char *name, const char *value,
                                 struct error *err);
enum error_kind mysql_marker_remove(struct database *db, const char *schema, struct error *err); /* the whole table */
/* Note in the marker what the set consists of; part of the caller's transaction. */
enum error_kind mysql_marker_begin_move(struct database *db, const char *schema, const struct text_list *tables,
                                        const struct mysql_objects *objects, int64_t keys, struct error *err);
/* The move is over; part of the caller's transaction. */
enum error_kind mysql_marker_end_move(struct database *db, const char *schema, struct error *err);
/* Does the schema hold nothing, the marker apart? */
enum error_kind mysql_schema_is_empty(struct database *db, const char *schema, bool *out, struct error *err);

/* ---- mysql_engine.c ---- */

/*
 * Every session that nopsnap opens takes the named locks "nopsnap.<id>" and "nopsnap.<id>.<pid>", id being its own number on
 * the server: so any process can tell nopsnap's sessions from the shop's, and its own from another nopsnap's.
 */
#define MYSQL_SESSION_LOCKS \
    "SELECT GET_LOCK(CONCAT('nopsnap.', CONNECTION_ID()), 0), GET_LOCK(CONCAT('nopsnap.', CONNECTION_ID(), '.%ld'), 0)"
/* End every session in any of the schemas but our own, to a deadline. ERR_BUSY names who is left. */
enum error_kind mysql_end_sessions(struct database *db, const struct text_list *schemas, struct error *err);

/* End what a killed nopsnap left running in the live database and its private ones. */
enum error_kind mysql_end_own_sessions(struct database *db, struct error *err);

/* ---- mysql_probe.c ---- */

enum error_kind mysql_probe(struct database *db, struct database_info *out, struct error *err);
/* What a dump leaves out, as JSON (facts.properties). */
enum error_kind mysql_properties(struct database *db, uint64_t largest_statement, char **out, struct error *err);
/* Default character set and collation of a schema. */
enum error_kind mysql_schema_collation(struct database *db, const char *schema, char **charset, char **collation,
                                       struct error *err);
/* CREATE DATABASE with the collation that properties name, if this server has it. */
enum error_kind mysql_schema_create(struct database *db, const char *schema, const char *properties, struct error *err);

/* ---- mysql_dump.c, mysql_load.c, mysql_prepare.c, mysql_swap.c: the engine's functions of these names ---- */

enum error_kind mysql_dump_begin(struct database_dump *dump, struct error *err);
enum error_kind mysql_dump_run(struct database_dump *dump, database_sink_fn *sink, void *arg, struct error *err);
enum error_kind mysql_dump_end(struct database_dump *dump, struct database_facts *out, struct error *err);
enum error_kind mysql_load_begin(struct database *db, const struct database_facts *facts, const char *token,
                                 char **name, struct error *err);
enum error_kind mysql_load_run(struct database *db, const char *name, const struct database_facts *facts,
                               database_source_fn *source, void *arg, struct error *err);
enum error_kind mysql_load_in_place(struct database *db, const struct database_facts *facts, database_source_fn *source,
                                    void *arg, struct error *err);
enum error_kind mysql_swap_prepare(struct database *db, const char *beside, const char *token,
                                   struct database_swap *out, struct error *err);
enum error_kind mysql_fence(struct database *db, const struct database_swap *swap, struct error *err);
enum error_kind mysql_unfence(struct database *db, const struct database_swap *swap, struct error *err);
enum error_kind mysql_swap_to(struct database *db, const struct database_swap *swap, enum database_side side,
                              struct error *err);
enum error_kind mysql_swap_side(struct database *db, const struct database_swap *swap, enum database_side *out,
                                struct error *err);
enum error_kind mysql_swap_finish(struct database *db, const struct database_swap *swap, struct error *err);
enum error_kind mysql_kept_drop(struct database *db, const char *name, const char *identity, struct error *err);
/* Why the live database can't be exchanged by a rename, one line each (foreign keys from elsewhere...). */
enum error_kind mysql_swap_obstacles(struct database *db, struct text_list *out, struct error *err);

#endif
