/* A real server for the tests of the MySQL engine, and what they ask of it behind nopsnap's back. */
#ifndef NOPSNAP_MYSQL_SUPPORT_H
#define NOPSNAP_MYSQL_SUPPORT_H

#include "test_support.h"

#include "buffer.h"
#include "database.h"

#define SHOP_PASSWORD "se;cret 'of\" shop\\"

extern char *my_folder;  /* of the running server */
extern char my_socket[]; /* its socket */

/* cmocka group fixtures: start a server, stop it and remove it. */
int my_server_start(void **state);
int my_server_stop(void **state);

/* cmocka fixture: a fresh database "shop" with the shop's tables and those of objects_mysql.sql; all others are dropped. */
int my_shop_make(void **state);
/* The same with the shop's tables only. */
int my_plain_shop_make(void **state);

/* Run SQL as root; fails the test if the client does. %-formatted. database may be "". */
void my_sql(const char *database, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The output, trimmed; owned by the caller. */
char *my_value(const char *database, const char *format, ...) __attribute__((format(printf, 2, 3)));
int64_t my_number(const char *database, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The whole database as text (definitions, rows, statuses of events), for comparing. */
char *my_text(const char *database);
/* Fails at the first line that differs; `what` names the pair. */
void my_assert_same_text(const char *what, const char *found, const char *expected);
int my_exists(const char *database);

/* The account "shop" with the given privileges ("ALL ON `shop`.*"), several separated by ';'. */
void my_account(const char *grants);
/* user NULL: root. */
void my_target(const char *user, const char *database, struct database_target *out);

/* A dump in memory. */
struct my_dumped {
    struct buffer bytes;
    struct database_facts facts;
    size_t at;         /* of the source */
    size_t fail_after; /* the source fails here; 0: never */
};
#define MY_DUMPED_INIT                                            \
    {                                                             \
        BUFFER_INIT(512 * 1024 * 1024), DATABASE_FACTS_INIT, 0, 0 \
    }
void my_dump_it(struct database *db, struct my_dumped *out);
enum error_kind my_source(void *arg, const void **bytes, size_t *len, struct error *err);
enum error_kind my_sink(void *arg, const void *bytes, size_t len, struct error *err);
void my_dumped_release(struct my_dumped *d);

#define assert_ok(call)                                                 \
    do {                                                                \
        struct error *shown_ = &err;                                    \
        if (call)                                                       \
            fail_msg("%s: %s (%s)", #call, shown_->text, shown_->hint); \
    } while (0)

#endif
