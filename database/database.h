/*
 * The shop's database: one interface, three engines.
 *
 *     struct database_target t = DATABASE_TARGET_INIT;
 *     struct database *db = NULL;
 *     rc = database_target_parse("postgresql", connection_string, &t, err);
 *     rc = database_open(&t, NULL, &db, err);
 *
 *     a dump:     database_dump_begin(), ..._run(), ..._end()
 *     a load:     database_load_begin(), ..._run(), ..._end()      into a database beside the live one
 *     a change:   database_swap_prepare(), database_swap_to(NEW), perhaps database_swap_to(OLD), database_swap_finish()
 *
 * Invariants of every engine:
 *   D1  a dump is one consistent view, opened when database_dump_begin() returns; the row counts are of that view
 *   D2  a dump's byte order is stable: unchanged rows give unchanged runs of bytes
 *   D3  a load never touches the live database; until the swap, the live one is as it was
 *   D4  database_swap_to() may be called any number of times, with either side, after any crash: it reads who is where
 *       from identity (an oid, a marker table), never from what it was told happened
 *   D5  what the swap takes away is kept, whole and dumpable, until database_kept_drop()
 *   D6  nothing is dropped unless its identity is the one that was recorded (P8)
 *   D7  no password reaches an argument list, a log or an error text (P10)
 *   D8  marker tables of nopsnap are in no count, dump or comparison
 */
#ifndef NOPSNAP_DATABASE_H
#define NOPSNAP_DATABASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "error.h"
#include "text.h"

enum database_engine { DATABASE_NONE, DATABASE_POSTGRESQL, DATABASE_MYSQL, DATABASE_SQLSERVER };

const char *database_engine_name(enum database_engine engine); /* "PostgreSQL" */

/* ---- where ---- */

/* A parsed connection string: what is common to the engines by name, the rest as pairs in the order given. */
struct database_target {
    enum database_engine engine;
    char *host; /* host name, address or socket folder/file; NULL: the engine's default */
    int port;   /* 0: the engine's default */
    char *name; /* the database */
    char *user;
    char *password; /* secret */
    char *service;  /* libpq service or MySQL option file instead of the above, or NULL */
    char **keys;    /* further options, e.g. "SSL Mode" */
    char **values;
    size_t count;
};

#define DATABASE_TARGET_INIT                                          \
    {                                                                 \
        DATABASE_NONE, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, 0 \
    }

/*
 * Read a connection string in any spelling of the provider's .NET client (DbConnectionStringBuilder's quoting rules;
 * Host/Server/Data Source/Address, Username/User ID/Uid/User, Password/Pwd, Database/Initial Catalog, Port, SSL modes...).
 *
 * provider   "postgresql", "mysql", "sqlserver" (any case)
 * Returns    ERR_REFUSED naming an option that can't be honoured, or a missing host or database; never quoting the string
 */
enum error_kind database_target_parse(const char *provider, const char *connection_string, struct database_target *out,
                                      struct error *err);
/*
 * The administrative login of the config: "service:NAME" (libpq), a MySQL option file, or a file with a connection
 * string. What it leaves open (host, database) comes from the shop's own target.
 */
enum error_kind database_target_admin(const struct database_target *shop, const char *spec, struct database_target *out,
                                      struct error *err);
void database_target_release(struct database_target *t);
/* "PostgreSQL shop on db.example:5432": for people, no secret. Caller frees. */
enum error_kind database_target_shown(const struct database_target *t, char **out, struct error *err);
/* Do two targets name the same database of the same server? (sharing, P12) */
bool database_target_same(const struct database_target *a, const struct database_target *b);

/* ---- connection and facts ---- */

struct database; /* control connection(s); one thread at a time */

/* Before a second thread is started: puts the environment in order that the client libraries read. */
void database_prepare(void);
/*
 * Connect. A live database that does not exist (dropped) is no error: database_info.exists is false, and the engine
 * connects to its maintenance database.
 *
 * target, admin   borrowed for the life of out; admin may be NULL
 * Returns         ERR_REMOTE (down, wrong password, certificate: each told apart in the text, with a hint), ERR_NOT_FOUND when a
 *                 client tool (pg_dump, mariadb-dump...) is missing, with the package to install in the hint
 */
enum error_kind database_open(const struct database_target *target, const struct database_target *admin,
                              struct database **out, struct error *err);
/*
 * By what the config says: with its administrative login, if it names one. Where that is of no use, but the shop's own works, with that.
 *
 * spec       as in database_target_admin(), or NULL
 * admin      filled in where that login works: borrowed for the life of out; caller releases
 * without    one line that says what is wrong with it, where it does not; caller frees; else NULL
 */
enum error_kind database_open_by(const struct database_target *target, const char *spec, struct database_target *admin,
                                 struct database **out, char **without, struct error *err);
/* Open another database of the same server with the same logins (a kept one, a loaded one). */
enum error_kind database_open_beside(struct database *db, const char *name, struct database **out, struct error *err);
void database_close(struct database *db); /* accepts NULL */

struct database_info {
    bool exists;
    enum database_engine engine;
    char *name;
    char *server_version; /* "15.20", "10.11.14-MariaDB" */
    char *
        identity; /* what this database is, whatever its name; NULL if it does not exist. With !exists: there, but half restored */
    uint64_t size;       /* bytes on the server, approximately */
    bool can_beside;     /* may create a database beside and exchange it: else the announced in-place way */
    char *why_in_place;  /* when !can_beside: the missing right, for the plan */
    bool is_nopcommerce; /* has the shop's tables */
    char *picture_path;  /* mediasettings.picturepath, or NULL */
    bool pictures_in_database;
    struct text_list
        obstacles; /* what preflight must refuse: replication slots, prepared transactions, foreign keys from elsewhere... */
    struct text_list remarks;
    struct text_list unreadable; /* what the login may not read, so that a dump would fail: one line each */
};

#define DATABASE_INFO_INIT                                                                                          \
    {                                                                                                               \
        false, DATABASE_NONE, NULL, NULL, NULL, 0, false, NULL, false, NULL, false, TEXT_LIST_INIT, TEXT_LIST_INIT, \
            TEXT_LIST_INIT                                                                                          \
    }

enum error_kind database_probe(struct database *db, struct database_info *out, struct error *err);
void database_info_release(struct database_info *info);
/* Do two identities prove two databases? Where either is missing, or a database is known by its name only, nothing is proved. */
bool database_identity_differs(const char *a, const char *b);

/* Sessions of others in the database `name` (NULL: the live one), one line each: "user shop from 10.0.0.7 (Npgsql), idle". */
enum error_kind database_sessions(struct database *db, const char *name, struct text_list *out, struct error *err);
/* Is this line of database_sessions() about the shop's own login? Yes also where it is not known which that is. */
bool database_session_is_shops(const struct database *db, const char *line);
/* End every session of nopsnap's own children left over by a killed process (application name "nopsnap"). */
enum error_kind database_end_own_sessions(struct database *db, struct error *err);

/* ---- dump ---- */

struct database_table {
    char *name; /* as the engine writes it: "public.Order", "order" */
    uint64_t rows;
    int64_t max_id; /* highest value of an integer column Id, -1 if there is none or no row */
};

struct database_counts {
    struct database_table *tables; /* sorted by name */
    size_t count;
};

struct database_facts { /* what a snapshot records about a dump */
    enum database_engine engine;
    char *database; /* name of the database dumped */
    char *server_version;
    char *tool_version;
    char *format; /* "pg_dump custom", "sql" */
    char *
        properties; /* JSON text: owner, grants, settings, limits, comment, collation...: what a dump leaves out; no secret */
    int64_t moment_ns; /* when the view was opened, server's UTC clock */
    struct database_counts counts;
    struct text_list warnings; /* tables that are not transactional... */
    char *picture_path;
    bool pictures_in_database;
    bool is_nopcommerce;
};

#define DATABASE_FACTS_INIT                                                                           \
    {                                                                                                 \
        DATABASE_NONE, NULL, NULL, NULL, NULL, NULL, 0, {NULL, 0}, TEXT_LIST_INIT, NULL, false, false \
    }
void database_facts_release(struct database_facts *f);
void database_counts_release(struct database_counts *c);
/* The facts as one line of JSON for the snapshot's record, and back. Decoding checks everything: ERR_CORRUPT (P11). */
enum error_kind database_facts_encode(const struct database_facts *facts, struct buffer *out, struct error *err);
enum error_kind database_facts_decode(const void *bytes, size_t len, struct database_facts *out, struct error *err);

/* A consumer of bytes: OK to go on. */
typedef enum error_kind database_sink_fn(void *arg, const void *bytes, size_t len, struct error *err);
/* A producer of bytes: *len 0 at the end; bytes stay valid until the next call. */
typedef enum error_kind database_source_fn(void *arg, const void **bytes, size_t *len, struct error *err);

/* How SQL Server's databases are dumped; the other engines have one way. */
enum database_way {
    DATABASE_LOGICAL, /* rows and schema over the connection */
    DATABASE_AUTO,    /* natively where that is proved to work, else logically; database_notes() says which and why */
    DATABASE_NATIVE,  /* the server's own BACKUP, or ERR_REFUSED */
};

/* Where the server's backups are and how that folder is called here; NULL: the server's own folder, under the same name. */
struct database_native {
    enum database_way way;
    const char *server_folder;
    const char *local_folder;
};

/* For what is dumped and loaded from now on; without it dumps are logical. The folders are borrowed for the life of db. */
void database_native_use(struct database *db, const struct database_native *native);
/* "auto", "native" or "logical"; false for anything else. */
bool database_way_parse(const char *text, enum database_way *out);
/* Called from within a dump or load with how far the server says that it is; NULL: nobody wants to know. */
typedef void database_percent_fn(void *arg, unsigned percent);
void database_on_percent(struct database *db, database_percent_fn *fn, void *arg);

struct database_dump;

/* Open the consistent view (D1). On return OK everything committed before is in it. */
enum error_kind database_dump_begin(struct database *db, struct database_dump **out, struct error *err);
/*
 * Before the run: have it hand over, by its own thread and before it returns, the Id of every row of the shop's table Picture in the dump's
 * own view (D1): each once, in no order, none where there is no such table. A failure of fn is the run's.
 */
typedef enum error_kind database_id_fn(void *arg, int64_t id, struct error *err);
void database_dump_pictures(struct database_dump *dump, database_id_fn *fn, void *arg);
/* Stream it, in constant memory. */
enum error_kind database_dump_run(struct database_dump *dump, database_sink_fn *sink, void *arg, struct error *err);
/* Close the view and hand over what is to be recorded. Call exactly once, also after a failure (out may be NULL then). */
enum error_kind database_dump_end(struct database_dump *dump, struct database_facts *out, struct error *err);

/* ---- load ---- */

/*
 * Create an empty database beside the live one, named by nopsnap from the live name and token.
 *
 * token      8 hex digits of the transaction; the name is always the same for the same token, so that a repeated call
 *            after a crash first removes the half-loaded one (after checking that it is nopsnap's: D6)
 * name       the name chosen; caller frees
 */
enum error_kind database_load_begin(struct database *db, const struct database_facts *facts, const char *token,
                                    char **name, struct error *err);
/*
 * Can a dump of this kind be loaded by this handle? What only trying can prove is tried, and leaves nothing.
 *
 * beside     into a database that is to be made beside the live one; else into one that the user named
 * Returns    ERR_REFUSED with what is missing and a hint
 */
enum error_kind database_load_check(struct database *db, const struct database_facts *facts, bool beside,
                                    struct error *err);
/* The name that database_load_begin() chooses for this token; the server is not asked. */
enum error_kind database_beside_name(const struct database *db, const char *token, char **name, struct error *err);
/*
 * Let the shop's own login work in the database of database_load_begin() as in the live one, where an administrative login made it. What is
 * given goes with database_kept_drop().
 */
enum error_kind database_lend(struct database *db, const char *name, struct error *err);
/* Before anything is made: can one be made, and lent, as far as grants tell? ERR_REFUSED with what is missing, and a hint. */
enum error_kind database_lend_check(struct database *db, struct error *err);
/*
 * Load a dump into it and re-apply the properties. Events and scheduled jobs stay disabled until the swap.
 * When `name` is a database that the user named (restore --database), it must be empty: ERR_EXISTS otherwise.
 */
enum error_kind database_load_run(struct database *db, const char *name, const struct database_facts *facts,
                                  database_source_fn *source, void *arg, struct error *err);
/*
 * What the last database_load_run() or database_load_in_place() on this handle could not bring back for lack of a right, a
 * role or a setting on this server (owners, grants), or what the last database_dump_begin() has to say of how it reads: one line each, for
 * the user. Borrowed until the next of these.
 */
const struct text_list *database_notes(const struct database *db);
/* P9: count every table of database `name` and compare. differences: one line a table; empty when equal. */
enum error_kind database_compare(struct database *db, const char *name, const struct database_counts *expected,
                                 struct text_list *differences, struct error *err);

struct database_swap;
/* Can the server itself copy a database whole, faster than a dump and a load? */
bool database_copies(const struct database *db);
/*
 * Copy the live database into the beside one, by the server. Nobody may be in the live one: it is fenced (D3: it is read only).
 *
 * swap       in: of database_swap_prepare(), with the empty database of database_load_begin() as the new side; out: with the copy. Until the
 *            caller has journaled that, the copy is known by the token in its name alone
 * counts     of the copy, equal to those of the live one (P9), sorted; caller releases
 * Returns    ERR_CORRUPT naming the first table that differs
 */
enum error_kind database_copy(struct database *db, struct database_swap *swap, struct database_counts *counts,
                              struct error *err);

/*
 * The announced fallback where no database can be made beside (P2): replace the content of the live database.
 * PostgreSQL: one transaction, old or new. MySQL: table by table; the caller has journaled it and holds a snapshot.
 * Repeating it after a crash is safe.
 */
enum error_kind database_load_in_place(struct database *db, const struct database_facts *facts,
                                       database_source_fn *source, void *arg, struct error *err);

/* ---- swap ---- */

/*
 * Who is to be exchanged for whom. The caller writes this into its journal (all members are text) before the first
 * database_swap_to(); recovery hands the same struct in again.
 */
struct database_swap {
    char *live;         /* the name the shop uses */
    char *beside;       /* the loaded database */
    char *kept;         /* the name the old one gets */
    char *old_identity; /* NULL when there was no live database */
    char *new_identity;
    char
        *saved; /* JSON: former connection limit, grants...: what the fence changes and the way back restores exactly */
};

#define DATABASE_SWAP_INIT                 \
    {                                      \
        NULL, NULL, NULL, NULL, NULL, NULL \
    }
void database_swap_release(struct database_swap *s);

enum database_side { DATABASE_OLD, DATABASE_NEW };

/* Fill out without changing anything. Refuses (ERR_REFUSED, all obstacles in one text) what can't be exchanged. */
enum error_kind database_swap_prepare(struct database *db, const char *beside, const char *token,
                                      struct database_swap *out, struct error *err);
/* Keep new logins out and end the shop's sessions; journaled by the caller before. Repeatable. */
enum error_kind database_fence(struct database *db, const struct database_swap *swap, struct error *err);
/* Allow logins again to whatever carries the live name, with the values in `saved`. Repeatable. */
enum error_kind database_unfence(struct database *db, const struct database_swap *swap, struct error *err);
/* Bring the wanted one under the live name, the other under its private name (D4). Ends sessions in both. */
enum error_kind database_swap_to(struct database *db, const struct database_swap *swap, enum database_side side,
                                 struct error *err);
/* Which one is live now? ERR_PENDING when it is neither. */
enum error_kind database_swap_side(struct database *db, const struct database_swap *swap, enum database_side *out,
                                   struct error *err);
/* After the decision: what must be switched on again in the live one (events, triggers). Repeatable. */
enum error_kind database_swap_finish(struct database *db, const struct database_swap *swap, struct error *err);
/*
 * Open the side of a swap that is not live, to dump it: what the dump records of owner, grants and limits is what the database had
 * under the live name, not what its private name made of it.
 */
enum error_kind database_open_kept(struct database *db, const struct database_swap *swap, enum database_side side,
                                   struct database **out, struct error *err);
/* Drop a kept or a beside database if its identity is the recorded one; absent is OK (D6). */
enum error_kind database_kept_drop(struct database *db, const char *name, const char *identity, struct error *err);

/* ---- a restore point that the server keeps ---- */

/*
 * The live database as it was at one moment, kept by the server (SQL Server: a database snapshot), so that it may be changed where it is. All members
 * are text: the caller writes them into its journal, the name before the point is made.
 */
struct database_point {
    char *name;     /* on the server, where a point is read like a database */
    char *identity; /* NULL: not made yet, as far as the journal knows */
    char *saved;    /* JSON: what going back loses, and is put back then */
};
void database_point_release(struct database_point *p);
/* Is it an engine whose servers keep such points? */
bool database_has_points(const struct database *db);
/* Could the server make one? Nothing is changed: only making one proves it. *why: NULL, or why not; caller frees. */
enum error_kind database_point_possible(struct database *db, char **why, struct error *err);
/* The name that belongs to a token; the server is not asked. */
enum error_kind database_point_name(const struct database *db, const char *token, char **name, struct error *err);
/*
 * Make it, and read it. One of this name that a crash has left goes first.
 *
 * point      name is set; identity and saved are filled
 * Returns    whatever the server says; it is gone again then, or the hint says how to clear it
 */
enum error_kind database_point_make(struct database *db, struct database_point *point, struct error *err);
/* Could it be gone back to now? Else as database_point_revert(); nothing is changed. */
enum error_kind database_point_look(struct database *db, const struct database_point *point, struct error *err);
/*
 * Make the live database what it was. Sessions in it are ended. It may be repeated, as long as the point is there; what can't be put back is in
 * database_notes().
 *
 * Returns    ERR_PENDING when the point is gone, ERR_REFUSED where a second one is in the way
 */
enum error_kind database_point_revert(struct database *db, const struct database_point *point, struct error *err);
/* Absent is OK; of another database or identity: ERR_REFUSED (D6). The hint says how to clear what stays. */
enum error_kind database_point_drop(struct database *db, const struct database_point *point, struct error *err);
/* End the sessions of others in the live database, which is about to be changed where it is. */
enum error_kind database_point_clear(struct database *db, struct error *err);
/* Open it, to dump it: what the dump records of owner and options is the live database's, of the moment at which the point was made. */
enum error_kind database_open_point(struct database *db, const struct database_point *point, struct database **out,
                                    struct error *err);

/* ---- what a rollback would lose (reference: rows by Id above the maximum at the snapshot, or by UTC column) ---- */

enum database_group { GROUP_MONEY, GROUP_PEOPLE, GROUP_CONTENT, GROUP_CATALOGUE, GROUP_NOISE, GROUP_COUNT };
const char *database_group_name(enum database_group g);

struct database_loss {
    enum database_group group;
    char *table;
    uint64_t rows; /* newer than the snapshot */
};

struct database_losses {
    struct database_loss *items; /* orders first */
    size_t count;
};

void database_losses_release(struct database_losses *l);
enum error_kind database_newer(struct database *db, const struct database_facts *since, struct database_losses *out,
                               struct error *err);
/*
 * Write the lost orders, their items, notes, customers and addresses as CSV (RFC 4180, UTF-8, header line), one file a table,
 * 0600, into directory, which must exist.
 */
enum error_kind database_export_newer(struct database *db, const struct database_facts *since, const char *directory,
                                      struct text_list *files, struct error *err);

/*
 * Mails that were queued at the snapshot and have been sent since: they would go out a second time.
 *
 * present    the database as it is (or the kept original)
 * restored   name of the loaded database on the same server, or NULL: only list what `since` (max Id) allows
 * apply      copy SentOnUtc onto exactly those rows of `restored`; otherwise only list them
 * out        one line a mail: "#4711 to a@b.example, \"Order receipt\", sent 2026-11-20 10:11"
 */
enum error_kind database_mails(struct database *present, const char *restored, const struct database_facts *since,
                               bool apply, struct text_list *out, struct error *err);

/* ---- health: what a shop's own tables say of how it fares ---- */

/* Each is content with a table that this version of nopCommerce does not have, or has not made yet: there is nothing in it. */

struct database_migration {
    int64_t version;
    char *description; /* "" where it has none */
};

struct database_migrations {
    struct database_migration *items; /* by version */
    size_t count;
};

/* What is recorded in MigrationVersionInfo (4.30 and later). */
enum error_kind database_migrations(struct database *db, struct database_migrations *out, struct error *err);
void database_migrations_release(struct database_migrations *m);

/* Has the shop's database this table with this column? */
enum error_kind database_has_column(struct database *db, const char *table, const char *column, bool *out,
                                    struct error *err);

/* The highest Id in table Log; -1 where there is none. */
enum error_kind database_log_last(struct database *db, int64_t *out, struct error *err);
/*
 * Rows of table Log, the newest first, 20,000 at most.
 *
 * after_id   only those with a higher Id
 * after_ns   only those made after this moment (UTC)
 * level      only those of this LogLevelId or a higher one: 40 is Error, 50 Fatal
 * fn         message is ShortMessage, which may hold anything that a visitor sent; borrowed
 */
typedef enum error_kind database_log_fn(void *arg, int64_t id, int level, const char *message, struct error *err);
enum error_kind database_log(struct database *db, int64_t after_id, int64_t after_ns, int level, database_log_fn *fn,
                             void *arg, struct error *err);
/*
 * Addresses of pages, without their slash: active slugs of the default language (UrlRecord) of things that are published.
 *
 * entity     "Product" or "Category"
 * limit      how many at most, the oldest first
 */
enum error_kind database_slugs(struct database *db, const char *entity, int limit, struct text_list *out,
                               struct error *err);

/* ---- a copy that nothing leads out of ---- */

/*
 * In a database opened beside the live one: mail accounts lead nowhere, no mail is queued, no task is scheduled, the store's address is
 * another. What this version does not have is passed over.
 *
 * store_url  where the copy of the shop will answer
 * Returns    ERR_REFUSED for the live database, ERR_REMOTE
 */
enum error_kind database_silence(struct database *db, const char *store_url, struct error *err);
/* Every row of table Setting. value may be secret; both are borrowed. fn must not use db. */
typedef enum error_kind database_setting_fn(void *arg, const char *name, const char *value, struct error *err);
enum error_kind database_setting_each(struct database *db, database_setting_fn *fn, void *arg, struct error *err);
/* Empty the value of a setting, for all stores. ERR_REFUSED for the live database. */
enum error_kind database_setting_clear(struct database *db, const char *name, struct error *err);

/* ---- scripts ---- */

/* What a server says while it runs a script. Borrowed. */
struct database_saying {
    const char *text; /* may have several lines; an error's begins with "file:line: ", and says in which batch it was */
    bool failure;     /* an error: the script ends with this batch */
    int number;       /* the server's own, 0 for what the script prints */
    int severity;
    uint64_t line; /* of the script, from 1; 0 for what is no error */
    size_t batch;  /* from 1 */
};
typedef void database_say_fn(void *arg, const struct database_saying *said);
/*
 * Run a script of the engine's own kind (SQL Server: T-SQL with GO, as SQL Server Management Studio would) on one connection in the database.
 * It stops behind the first batch with an error, which is heard to its end, and is not wrapped in a transaction: what came before stays.
 *
 * path      the script; all of it is checked before anything is run (ERR_REFUSED)
 * say       called with the server's messages as they come, each error among them; may be NULL
 * batches   how many were run to their end
 * Returns   ERR_REMOTE with "file:line" and the batch when the server reports an error; also when the script leaves a transaction open, or
 *           the connection so that nothing is executed (SET NOEXEC ON); ERR_CANCELLED, with the batch, when a signal came: the server was
 *           told to stop; ERR_REFUSED where the engine has no such scripts
 */
enum error_kind database_run_script(struct database *db, const char *path, database_say_fn *say, void *arg,
                                    uint64_t *batches, struct error *err);

#define DATABASE_SCRIPT_MAX (512u << 20)

/* A script in memory, as its file has it. Borrowed. */
struct database_script {
    const char *name; /* as the server's messages and errors call it */
    const void *bytes;
    size_t len;
};
/* As database_run_script(), of bytes that were read before: what was looked through is what is run. */
enum error_kind database_run_script_text(struct database *db, const struct database_script *script,
                                         database_say_fn *say, void *arg, uint64_t *batches, struct error *err);
/*
 * Look a script through as database_run_script() does before it runs anything, without a connection.
 *
 * batches    how many it has
 * Returns    ERR_REFUSED, with the line, for what would be refused there
 */
enum error_kind database_check_script(enum database_engine engine, const struct database_script *script,
                                      uint64_t *batches, struct error *err);

/* OK, or ERR_REFUSED with what to use instead: without a connection. */
enum error_kind database_takes_scripts(enum database_engine engine, struct error *err);

/* Does the connection string in `target` log in now? OK, or ERR_REMOTE. */
enum error_kind database_login_works(const struct database_target *target, struct error *err);

#endif
