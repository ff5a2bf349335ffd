/*
 * The SQL Server engine: its connections, who is who among the databases of a server, the door of a database, the exchange.
 *
 *     sqlserver_engine     connections, sessions, the query interface, the table of operations
 *     sqlserver_probe      what the server and the login allow
 *     sqlserver_places     databases by their identity
 *     sqlserver_run_script scripts with GO
 *     sqlserver_native     which way a dump goes, the folder that server and nopsnap share
 *     sqlserver_backup     a dump by BACKUP
 *     sqlserver_restore    a load by RESTORE
 *     sqlserver_sweep      what killed runs left in that folder
 *     sqlserver_swap       the fence, the exchange of two databases by name, the end of kept ones
 *     sqlserver_point      a database snapshot as the restore point of an upgrade
 */
#ifndef NOPSNAP_SQLSERVER_INTERNAL_H
#define NOPSNAP_SQLSERVER_INTERNAL_H

#include "sqlserver_logical_internal.h"

/* ---- sqlserver_engine.c ---- */

/* The connection in the database master: made when it is first wanted, and again when it was lost. Borrowed. */
enum error_kind sqlserver_master(struct database *db, struct sqlserver_link **out, struct error *err);
/* The connection in the database that db is about. ERR_NOT_FOUND if the server has none of that name, ERR_BUSY if somebody has its one seat. Borrowed. */
enum error_kind sqlserver_live(struct database *db, struct sqlserver_link **out, struct error *err);
void sqlserver_close_live(struct database *db);
/* Have `link`, which is in the database that has the live name now, be the live connection; it is the engine's. */
void sqlserver_set_live(struct database *db, struct sqlserver_link *link);
/*
 * A connection in database `name`: the live one where it is in there, since a closed database has one seat; else one that the caller
 * closes (*owned).
 */
enum error_kind sqlserver_borrow(struct database *db, const char *name, struct sqlserver_link **out, bool *owned,
                                 struct error *err);
/* Run one statement of the form of sqlserver_ddl(). */
enum error_kind sqlserver_run(struct sqlserver_link *l, struct error *err, const char *format, ...);
/* End every session in database `name` that this login may end, whoever's but this process's connection `l` itself. */
enum error_kind sqlserver_end_sessions(struct sqlserver_link *l, const char *name, struct error *err);

/* ---- sqlserver_probe.c ---- */

enum error_kind sqlserver_probe(struct database *db, struct database_info *out, struct error *err);
/* 1 or 0: may this login make databases? */
enum error_kind sqlserver_may_create(struct sqlserver_link *master, int64_t *out, struct error *err);
/* May it restore over database `name`, as going back to a database snapshot does? */
enum error_kind sqlserver_may_go_back(struct sqlserver_link *master, const char *name, bool *out, struct error *err);

/* ---- sqlserver_places.c ---- */

/*
 * The databases of a server. A database is known by its number and the GUID of its first file, which a rename leaves alone:
 * "db:7 5EED0001-0007-4E4F-5053-4E4150545354". Where the server does not show that, by the moment of its making, which a rename does not.
 */
struct sqlserver_places {
    struct sqlserver_rows rows;
};

enum error_kind sqlserver_places_read(struct sqlserver_link *master, struct sqlserver_places *out, struct error *err);
void sqlserver_places_release(struct sqlserver_places *p);
/* The name as the server has it, exactly or else ignoring case; NULL if there is none. Borrowed from p. */
const char *sqlserver_place_name(const struct sqlserver_places *p, const char *name);
/* Where the database of this identity is; NULL: not on this server, or identity NULL. Borrowed from p. */
const char *sqlserver_place_of(const struct sqlserver_places *p, const char *identity);
/* What has this name; *out NULL if nothing has. Caller frees. */
enum error_kind sqlserver_identity(const struct sqlserver_places *p, const char *name, char **out, struct error *err);
/* Is one person's seat all that the database of this name has (SINGLE_USER)? */
bool sqlserver_place_is_closed(const struct sqlserver_places *p, const char *name);
/* Was its restore begun and not ended? Nobody can enter it. */
bool sqlserver_place_is_restoring(const struct sqlserver_places *p, const char *name);
/* Has it lost what it needs? A database snapshot whose volume was full has, for good. */
bool sqlserver_place_is_suspect(const struct sqlserver_places *p, const char *name);

/* Is the database of this name a database snapshot of the other? */
bool sqlserver_place_is_snapshot_of(const struct sqlserver_places *p, const char *name, const char *of);
/* The name of a database snapshot of `of` that is not `but`; NULL: there is none. Borrowed from p. */
const char *sqlserver_place_other_snapshot(const struct sqlserver_places *p, const char *of, const char *but);

/* ---- sqlserver_run_script.c ---- */

enum error_kind sqlserver_check_script(const struct database_script *script, uint64_t *batches, struct error *err);
enum error_kind sqlserver_run_script(struct database *db, const struct database_script *script, database_say_fn *say,
                                     void *arg, uint64_t *batches, struct error *err);

/* ---- sqlserver_swap.c ---- */

/* What keeps the database from being exchanged by name, one line each; own: also nopsnap's restore point of it. */
enum error_kind sqlserver_obstacles(struct sqlserver_link *master, const char *name, bool own, struct text_list *out,
                                    struct error *err);
enum error_kind sqlserver_swap_prepare(struct database *db, const char *beside, const char *token,
                                       struct database_swap *out, struct error *err);
enum error_kind sqlserver_fence(struct database *db, const struct database_swap *swap, struct error *err);
enum error_kind sqlserver_unfence(struct database *db, const struct database_swap *swap, struct error *err);
enum error_kind sqlserver_swap_to(struct database *db, const struct database_swap *swap, enum database_side side,
                                  struct error *err);
enum error_kind sqlserver_swap_side(struct database *db, const struct database_swap *swap, enum database_side *out,
                                    struct error *err);
enum error_kind sqlserver_swap_finish(struct database *db, const struct database_swap *swap, struct error *err);
enum error_kind sqlserver_kept_drop(struct database *db, const char *name, const char *identity, struct error *err);
/* Have everybody in again, whoever has the one seat now. */
enum error_kind sqlserver_open_door(struct sqlserver_link *l, const char *name, struct error *err);
/* Take the one seat of a database; *out is a session in it, which the caller closes. */
enum error_kind sqlserver_take_seat(struct database *db, struct sqlserver_link *master, const char *name,
                                    struct sqlserver_link **out, struct error *err);

/* ---- sqlserver_point.c: as in database_internal.h ---- */

enum error_kind sqlserver_point_possible(struct database *db, char **why, struct error *err);
enum error_kind sqlserver_point_make(struct database *db, struct database_point *point, struct error *err);
enum error_kind sqlserver_point_look(struct database *db, const struct database_point *point, struct error *err);
enum error_kind sqlserver_point_revert(struct database *db, const struct database_point *point, struct error *err);
enum error_kind sqlserver_point_drop(struct database *db, const struct database_point *point, struct error *err);
enum error_kind sqlserver_point_clear(struct database *db, struct error *err);

#endif
