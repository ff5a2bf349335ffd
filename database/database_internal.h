/*
 * Inside the room: what an engine gives to the common part, and what the common part gives to an engine.
 *
 * database.c checks arguments and calls through `ops`; what is the same for every engine (losses, exports, mails,
 * comparison, facts as JSON, the shop's own settings) is written once over the small query interface at the end of
 * the table. Each engine is one struct database_engine_ops, defined in <engine>_engine.c; its client library's header
 * is included by <engine>_client.c alone.
 */
#ifndef NOPSNAP_DATABASE_INTERNAL_H
#define NOPSNAP_DATABASE_INTERNAL_H

#include "database.h"

/* ---- handles ---- */

struct database_engine_ops;

struct database {
    const struct database_engine_ops *ops;
    const struct database_target *target; /* the shop's own login, borrowed */
    const struct database_target *admin;  /* borrowed, or NULL */
    char *name;             /* the database this handle is about; differs from target->name when opened beside */
    void *engine;           /* the engine's own state, set by ops->open, freed by ops->close */
    struct text_list notes; /* what the last load could not do, one line each */
    struct database_native native;
    database_percent_fn *percent; /* or NULL */
    void *percent_arg;
    char *properties; /* of a kept database: what it had under the live name; NULL: as the server says */
};

struct database_dump {
    struct database *db;
    void *engine;            /* set by ops->dump_begin, freed by ops->dump_end */
    bool native;             /* SQL Server's: which of its two kinds engine is */
    database_id_fn *picture; /* what ops->dump_run hands the Ids of table Picture to, or NULL */
    void *picture_arg;
};

/* The login to work with: the administrative one if there is one. */
const struct database_target *database_login(const struct database *db);

/* ---- rows ---- */

/* One row of a result; everything in it is borrowed until the callback returns. */
struct database_row {
    int columns;
    const char *const *names;
    const char *const
        *values; /* text form, NUL-terminated; NULL is SQL's NULL; UTF-8; timestamps "2026-11-20 10:11:12.345" */
    const size_t *lengths;
};

typedef enum error_kind database_row_fn(void *arg, const struct database_row *row, struct error *err);

/* ---- an engine ---- */

/* Where the engines' SQL differs in what the common part says. */
struct database_dialect {
    const char *begin;        /* a transaction */
    const char *first_open;   /* behind ORDER BY, before a number: that many rows */
    const char *first_close;  /* ... after it */
    const char *moment_open;  /* before a text that is a time in UTC, to compare with a column of time */
    const char *moment_close; /* ... after it */
};

struct database_engine_ops {
    enum database_engine engine;
    size_t name_max; /* bytes of a database name */
    struct database_dialect dialect;

    /* Connection and facts. `db` comes with everything but `engine` filled; on failure close() is called all the
     * same. */
    enum error_kind (*open)(struct database *db, struct error *err);
    void (*close)(struct database *db); /* accepts db->engine NULL */
    enum error_kind (*login_works)(const struct database_target *target, struct error *err);
    /* Fills all but engine, name, is_nopcommerce, picture_path, pictures_in_database. */
    enum error_kind (*probe)(struct database *db, struct database_info *out, struct error *err);
    enum error_kind (*sessions)(struct database *db, const char *name, struct text_list *out, struct error *err);
    enum error_kind (*end_own_sessions)(struct database *db, struct error *err);

    /* Count every table of database `name` (rows and max_id), unsorted; the caller sorts. */
    enum error_kind (*count)(struct database *db, const char *name, struct database_counts *out, struct error *err);

    /* Dump. dump_end fills all but engine and database, and sorts nothing; it frees dump->engine in every case and
     * accepts NULL there (a dump_begin that failed early). What the shop's own settings say comes from
     * database_shop_facts(). */
    enum error_kind (*dump_begin)(struct database_dump *dump, struct error *err);
    enum error_kind (*dump_run)(struct database_dump *dump, database_sink_fn *sink, void *arg, struct error *err);
    enum error_kind (*dump_end)(struct database_dump *dump, struct database_facts *out, struct error *err);

    /* NULL: whatever is of this engine can be loaded. */
    enum error_kind (*load_check)(struct database *db, const struct database_facts *facts, bool beside,
                                  struct error *err);
    /* Load and swap: exactly the public functions. */
    enum error_kind (*load_begin)(struct database *db, const struct database_facts *facts, const char *token,
                                  char **name, struct error *err);
    enum error_kind (*load_run)(struct database *db, const char *name, const struct database_facts *facts,
                                database_source_fn *source, void *arg, struct error *err);
    enum error_kind (*load_in_place)(struct database *db, const struct database_facts *facts,
                                     database_source_fn *source, void *arg, struct error *err);
    enum error_kind (*lend)(struct database *db, const char *name,
                            struct error *err); /* both NULL: it owns what it may */
    enum error_kind (*lend_check)(struct database *db, struct error *err);
    enum error_kind (*swap_prepare)(struct database *db, const char *beside, const char *token,
                                    struct database_swap *out, struct error *err);
    enum error_kind (*fence)(struct database *db, const struct database_swap *swap, struct error *err);
    enum error_kind (*unfence)(struct database *db, const struct database_swap *swap, struct error *err);
    enum error_kind (*swap_to)(struct database *db, const struct database_swap *swap, enum database_side side,
                               struct error *err);
    enum error_kind (*swap_side)(struct database *db, const struct database_swap *swap, enum database_side *out,
                                 struct error *err);
    enum error_kind (*swap_finish)(struct database *db, const struct database_swap *swap, struct error *err);
    enum error_kind (*kept_drop)(struct database *db, const char *name, const char *identity, struct error *err);

    /* Exactly the public function, but counts come unsorted; NULL where the server can't. */
    enum error_kind (*copy)(struct database *db, struct database_swap *swap, struct database_counts *counts,
                            struct error *err);

    /* Restore points: exactly the public functions; all NULL where the server keeps none. */
    enum error_kind (*point_possible)(struct database *db, char **why, struct error *err);
    enum error_kind (*point_make)(struct database *db, struct database_point *point, struct error *err);
    enum error_kind (*point_look)(struct database *db, const struct database_point *point, struct error *err);
    enum error_kind (*point_revert)(struct database *db, const struct database_point *point, struct error *err);
    enum error_kind (*point_drop)(struct database *db, const struct database_point *point, struct error *err);
    enum error_kind (*point_clear)(struct database *db, struct error *err);

    /* Scripts: exactly the public function; NULL where there are none. */
    enum error_kind (*check_script)(const struct database_script *script, uint64_t *batches, struct error *err);
    enum error_kind (*run_script)(struct database *db, const struct database_script *script, database_say_fn *say,
                                  void *arg, uint64_t *batches, struct error *err);

    /* The query interface of the common part, on the control connection of `db`, in database db->name. */

    /* Run one statement and hand its rows over as they arrive, in constant memory. row may be NULL. The callback
     * must not use `db`. A failed callback's error is returned as it is. */
    enum error_kind (*query)(struct database *db, const char *sql, database_row_fn *row, void *arg, struct error *err);
    /*
     * Find a table by nopCommerce's name for it, exactly or else ignoring case.
     *
     * quoted     as it goes into a statement, schema included; NULL if there is no such table; caller frees
     * columns    names of its columns, in order
     */
    enum error_kind (*table)(struct database *db, const char *name, char **quoted, struct text_list *columns,
                             struct error *err);
    /* Append an identifier or a text literal with this engine's quoting. */
    enum error_kind (*quote_name)(struct database *db, const char *name, struct buffer *sql, struct error *err);
    enum error_kind (*quote_text)(struct database *db, const char *text, struct buffer *sql, struct error *err);
};

extern const struct database_engine_ops postgres_engine_ops;  /* postgres_engine.c */
extern const struct database_engine_ops mysql_engine_ops;     /* mysql_engine.c */
extern const struct database_engine_ops sqlserver_engine_ops; /* sqlserver_engine.c */

/* ---- what the common part gives to engines ---- */

/* A private name: "<live>_nopsnap_<token>", the live part cut (at a UTF-8 boundary) so that it fits max bytes. */
enum error_kind database_private_name(const char *live, const char *infix, const char *token, size_t max, char **out,
                                      struct error *err);
/* Is `name` what database_private_name() gives for this infix with some token of 8 hex digits? */
bool database_is_private_name(const char *name, const char *live, const char *infix, size_t max);
#define DATABASE_INFIX_BESIDE "nopsnap"
#define DATABASE_INFIX_KEPT "nopsnap_old"
#define DATABASE_INFIX_POINT "nopsnap_point"

/* Counts. add copies the name; sort is by name (strcmp). */
enum error_kind database_counts_add(struct database_counts *counts, const char *name, uint64_t rows, int64_t max_id,
                                    struct error *err);
void database_counts_sort(struct database_counts *counts);
/* The row of a shop's table by nopCommerce's name ("Order" finds "public.Order" and "order"), or NULL. */
const struct database_table *database_counts_find(const struct database_counts *counts, const char *table);
/* Add to `differences` one line for each table that differs in rows, is missing or is new. Both sorted. */
enum error_kind database_counts_compare(const struct database_counts *expected, const struct database_counts *found,
                                        struct text_list *differences, struct error *err);

/* Does the database hold a nopCommerce shop, and what do its settings say about pictures? picture_path: caller
 * frees. */
enum error_kind database_shop_facts(struct database *db, bool *is_nopcommerce, char **picture_path,
                                    bool *pictures_in_database, struct error *err);

/* The first column of the first row as text; *out NULL when there is no row or it is NULL. Caller frees. */
enum error_kind database_query_text(struct database *db, const char *sql, char **out, struct error *err);
enum error_kind database_query_number(struct database *db, const char *sql, int64_t fallback, int64_t *out,
                                      struct error *err);

/* A further option of the connection string, its name compared without case and blanks; NULL if not given. */
const char *database_target_option(const struct database_target *t, const char *key);
bool database_target_same_key(const char *a, const char *b); /* "User ID" and "userid" are one */
enum error_kind database_target_copy(const struct database_target *from, struct database_target *out,
                                     struct error *err);

/*
 * A file for a child's eyes only (password file, option file): it lies in memory, mode 0600, has no name in any folder
 * and is gone with this process (P10). The child opens it by `path`.
 */
struct secret_file {
    int fd;
    char path[64];
};
#define SECRET_FILE_INIT \
    {                    \
        -1, ""           \
    }
enum error_kind secret_file_make(struct secret_file *f, const void *bytes, size_t len, struct error *err);
void secret_file_release(struct secret_file *f);

#endif
