/*
 * The native mode of the SQL Server engine: the server's own BACKUP and RESTORE, by way of a file in a folder that both the server and
 * nopsnap see.
 *
 *   N1  native is chosen by trying: a small file that the server wrote was seen, read and removed here
 *   N2  every file has a fresh name, and is gone when the dump or load has ended, however it ended; what can't be removed is named
 *   N3  a backup is restored under a name that is free: REPLACE is never said
 *   N4  no database stays RESTORING: it is dropped, or the error says how
 *   N5  a backup's moment is its end. Rows are counted, and the Ids of pictures read, while nobody can write (D1)
 */
#ifndef NOPSNAP_SQLSERVER_NATIVE_INTERNAL_H
#define NOPSNAP_SQLSERVER_NATIVE_INTERNAL_H

#include "sqlserver_internal.h"

#define SQLSERVER_FORMAT_NATIVE "sqlserver backup" /* database_facts.format of a native dump */

bool sqlserver_is_native(const struct database_facts *facts);

/* ---- sqlserver_native.c ---- */

/* A folder that the server and nopsnap share, and a file in it under its two names. */
struct sqlserver_share {
    char *server;
    char *local;
};

/* A file is called by its token between these: that is how one that a kill left is known. */
#define SQLSERVER_FILE_PREFIX "nopsnap_"
#define SQLSERVER_FILE_SUFFIX ".bak"
#define SQLSERVER_TOKEN_LEN 32
#define SQLSERVER_TOKEN_FRESH 16 /* from here on it differs from file to file */

struct sqlserver_file {
    char *server;
    char *local;
    char token[SQLSERVER_TOKEN_LEN + 1]; /* what is fresh in its name, and whose it is */
};

void sqlserver_share_release(struct sqlserver_share *s);
/*
 * Which folder is it? *why: set, and the share empty, where there is none that could be seen from here.
 */
enum error_kind sqlserver_share_find(struct database *db, struct sqlserver_link *master, struct sqlserver_share *out,
                                     char **why, struct error *err);
/* A fresh name in it; nothing is made. */
enum error_kind sqlserver_file_name(const struct sqlserver_share *share, struct sqlserver_file *out, struct error *err);
void sqlserver_file_release(struct sqlserver_file *f);
/* Remove it; absent is OK. ERR_IO says what is left and how to clear it. */
enum error_kind sqlserver_file_remove(const struct sqlserver_file *f, struct error *err);
/* Make it, readable for the server and as few others as can be. */
enum error_kind sqlserver_file_make(const struct sqlserver_share *share, const struct sqlserver_file *f, int *fd,
                                    struct error *err);
/*
 * Run a statement of the form of sqlserver_ddl(), its progress told to whoever listens to db.
 *
 * number     of the first error, 0 if there was none; may be NULL
 */
enum error_kind sqlserver_native_run(struct database *db, struct sqlserver_link *l, int *number, struct error *err,
                                     const char *format, ...);

/* ---- sqlserver_sweep.c ---- */

/* A fresh token that says whose a file is. */
enum error_kind sqlserver_file_token(char out[SQLSERVER_TOKEN_LEN + 1], struct error *err);
/* Remove what killed runs of this host left there; notes: one line each, also of what can't be removed. */
enum error_kind sqlserver_sweep(const struct sqlserver_share *share, struct text_list *notes, struct error *err);

/* ---- dump and load of either kind: as in database_internal.h ---- */

enum error_kind sqlserver_dump_begin(struct database_dump *dump, struct error *err);
enum error_kind sqlserver_dump_run(struct database_dump *dump, database_sink_fn *sink, void *arg, struct error *err);
enum error_kind sqlserver_dump_end(struct database_dump *dump, struct database_facts *out, struct error *err);
enum error_kind sqlserver_load_check(struct database *db, const struct database_facts *facts, bool beside,
                                     struct error *err);
enum error_kind sqlserver_load_begin(struct database *db, const struct database_facts *facts, const char *token,
                                     char **name, struct error *err);
enum error_kind sqlserver_load_run(struct database *db, const char *name, const struct database_facts *facts,
                                   database_source_fn *source, void *arg, struct error *err);
enum error_kind sqlserver_load_in_place(struct database *db, const struct database_facts *facts,
                                        database_source_fn *source, void *arg, struct error *err);

/* ---- sqlserver_backup.c, sqlserver_restore.c ---- */

enum error_kind sqlserver_backup_begin(struct database_dump *dump, const struct sqlserver_share *share,
                                       struct error *err);
enum error_kind sqlserver_backup_run(struct database_dump *dump, database_sink_fn *sink, void *arg, struct error *err);
enum error_kind sqlserver_backup_end(struct database_dump *dump, struct database_facts *out, struct error *err);
enum error_kind sqlserver_restore(struct database *db, const struct sqlserver_share *share, const char *name,
                                  const struct database_facts *facts, database_source_fn *source, void *arg,
                                  struct error *err);

/* sqlserver_properties_text() of the database that l is in. */
enum error_kind sqlserver_properties_read(struct sqlserver_link *l, char **out, struct error *err);

/* ---- sqlserver_view.c ---- */

/* Have nobody write until sqlserver_view_close() (or the connection ends): shared locks on every table, in a transaction. */
enum error_kind sqlserver_view_lock(struct sqlserver_link *l, int64_t *moment_ns, struct error *err);

/* ---- sqlserver_load.c ---- */

enum error_kind sqlserver_exists(struct sqlserver_link *l, const char *name, bool *out, struct error *err);
/* The state that its marker says, or NULL; how many objects it has. */
enum error_kind sqlserver_look_into(struct database *db, const char *name, char **state, int64_t *objects,
                                    struct error *err);
/* Drop what a load of ours left under this name (L1). */
enum error_kind sqlserver_clear_leftover(struct database *db, struct sqlserver_link *master, const char *name,
                                         struct error *err);
enum error_kind sqlserver_set_marker(struct sqlserver_link *l, const char *name, const char *value, struct error *err);
enum error_kind sqlserver_make_marker(struct database *db, const char *name, const char *token, struct error *err);
enum error_kind sqlserver_give_back(struct database *db, struct sqlserver_link *l, const char *name,
                                    const struct database_facts *facts, struct error *err);

#endif
