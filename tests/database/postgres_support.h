/* A real server for the tests of the PostgreSQL engine, and what they ask of it behind nopsnap's back. */
#ifndef NOPSNAP_POSTGRES_SUPPORT_H
#define NOPSNAP_POSTGRES_SUPPORT_H

#include "test_support.h"

#include "buffer.h"
#include "database.h"

#define SHOP_PASSWORD "secret of shop"

extern char *pg_folder; /* socket folder of the running server */

/* cmocka group fixtures: start a server, stop it and remove it. */
int pg_server_start(void **state);
int pg_server_stop(void **state);

/* A fresh shop database "shop", owned by role "shop" (CREATEDB), with the objects of objects.sql; drops all others. */
void pg_shop_make(void);
/* Forget the copy that pg_shop_make() works from, so that the shop's roles can be dropped. */
void pg_template_drop(void);

/* Run SQL as superuser; fails the test if psql does. %-formatted. */
void pg_sql(const char *database, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* One value, trimmed; owned by the caller. */
char *pg_value(const char *database, const char *format, ...) __attribute__((format(printf, 2, 3)));
int64_t pg_number(const char *database, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Can this role log in to this database with its password "secret of <role>"? */
/* sh -c, PGPASSWORD in its environment: another test looks at every command line for this password. */
int pg_shell(const char *password, const char *command);
int pg_can_login(const char *role, const char *database);
/* The whole database as text (schema, data, owners, grants), for comparing. */
char *pg_text(const char *database);

/* Targets. user NULL: the superuser. */
void pg_target(const char *user, const char *database, struct database_target *out);

/* A dump in memory. */
struct pg_dumped {
    struct buffer bytes;
    struct database_facts facts;
    size_t at;         /* of the source */
    size_t fail_after; /* the source fails here; 0: never */
};
#define PG_DUMPED_INIT                                            \
    {                                                             \
        BUFFER_INIT(256 * 1024 * 1024), DATABASE_FACTS_INIT, 0, 0 \
    }
void pg_dump_it(struct database *db, struct pg_dumped *out);
enum error_kind pg_source(void *arg, const void **bytes, size_t *len, struct error *err);
void pg_dumped_release(struct pg_dumped *d);

#define assert_ok(call)                                                 \
    do {                                                                \
        struct error *shown_ = &err;                                    \
        if (call)                                                       \
            fail_msg("%s: %s (%s)", #call, shown_->text, shown_->hint); \
    } while (0)

#endif
