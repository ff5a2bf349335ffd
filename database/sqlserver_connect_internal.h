/*
 * From a connection string to a DBPROCESS; sqlserver_link.c is its one user.
 *
 *     sqlserver_connect    what the string asks for, the login, why it failed
 *     sqlserver_reach      the port of a named instance
 *     sqlserver_encrypted  is the whole session encrypted?
 */
#ifndef NOPSNAP_SQLSERVER_CONNECT_INTERNAL_H
#define NOPSNAP_SQLSERVER_CONNECT_INTERNAL_H

#include "database_internal.h"

/* What the handlers heard while a connection was being made. */
struct sqlserver_refusal {
    int number;  /* of the server's first message of severity 11 or more, or 0 */
    int library; /* number of the library's first error, or 0 */
    char text[512];
};

/* Once, before there is a second thread: the environment that the library reads. */
void sqlserver_library_prepare(void);

/*
 * Log in.
 *
 * shop       where host and port come from if login names no host
 * before     called before the library connects: from then on its handlers fill refusal
 * process    a DBPROCESS, the caller's
 * Returns    ERR_NOT_FOUND when the server has no such database or the login may not enter it; ERR_REFUSED naming an option that can't be
 *            honoured; ERR_REMOTE for all else that fails
 */
enum error_kind sqlserver_connect(const struct database_target *login, const struct database_target *shop,
                                  const char *database, void (*before)(void *arg), struct sqlserver_refusal *refusal,
                                  void *arg, void **process, struct error *err);

/* ---- sqlserver_reach.c ---- */

/*
 * The TCP port of a named instance, by the SQL Server Browser of host (UDP 1434).
 *
 * seconds    how long it may take; finding the host's addresses is not counted
 * Returns    ERR_REMOTE when nobody answers or the instance has no TCP; ERR_REFUSED for a name that none can have
 */
enum error_kind sqlserver_instance_port(const char *host, const char *instance, int seconds, int *port,
                                        struct error *err);

/* ---- sqlserver_encrypted.c ---- */

/*
 * Make sure that what the library sends from now on is encrypted; where it is not, nothing was sent.
 *
 * process    a DBPROCESS that has just logged in; after a failure it is only good for dbclose()
 * host       for the error
 * Returns    ERR_REMOTE when the session is in clear or the server falls silent
 */
enum error_kind sqlserver_check_encrypted(void *process, const char *host, int seconds, struct error *err);

#endif
