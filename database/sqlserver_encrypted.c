/*
 * Is the whole session encrypted?
 *
 * A server, or somebody between, may agree to encrypt the login alone, and the library then goes on in clear although encryption was required
 * (FreeTDS 1.3.17, seen on the endpoint of tests/tds). What the other side sends proves nothing, since it may be forged. So the library's own words are
 * looked at: for a first, empty request its socket is exchanged for one end of a pair, and
 * nothing reaches the network before it was seen to be a TLS record. The library encrypts a whole session or none of it.
 *
 * While a session is being made the library may say three things of its own, which this does not hold back: SET TEXTSIZE, SELECT @@spid and USE.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sybdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sqlserver_connect_internal.h"
#include "text.h"
#include "thread.h"

enum {
    TLS_APPLICATION_DATA = 0x17,
    TLS_VERSION_MAJOR = 3,
    REQUEST_MAX = 4096, /* "SELECT 1" in one record; more is no request of ours */
};

static enum error_kind lost(const char *host, struct error *err)
{
    return error_set(err, ERR_REMOTE, 0, "SQL Server %s does not answer after the login", host);
}

static enum error_kind send_all(int fd, const unsigned char *bytes, size_t len, int64_t until, const char *host,
                                struct error *err)
{
    while (len) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        struct pollfd p = {.fd = fd, .events = POLLOUT};

        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        } else if (n < 0 && errno != EAGAIN && errno != EINTR)
            return lost(host, err);
        else if (cancel_check(err))
            return ERR_CANCELLED;
        else if (clock_monotonic_ms() >= until)
            return lost(host, err);
        else
            (void)poll(&p, 1, 100);
    }
    return OK;
}

static enum error_kind refuse_clear(const char *host, struct error *err)
{
    error_set(err, ERR_REMOTE, 0, "SQL Server %s, or somebody between, would encrypt the login alone and nothing else",
              host);
    error_hint(err, "if that is meant, say Encrypt=False in a login of nopsnap's own (database-admin in the config)");
    return ERR_REMOTE;
}

/* Have the library say its first request into `pair` instead of the network; returns how many bytes it said, or -1. */
static ssize_t overhear(DBPROCESS *process, int wire, const int pair[2], unsigned char *request)
{
    bool said;
    ssize_t n;

    if (dup3(pair[0], wire, O_CLOEXEC) < 0)
        return -1;
    said = dbcmd(process, "SELECT 1") == SUCCEED && dbsqlsend(process) == SUCCEED;
    n = said ? recv(pair[1], request, REQUEST_MAX, 0) : -1;
    return n == REQUEST_MAX ? -1 : n;
}

static enum error_kind finish_request(DBPROCESS *process, int wire, int64_t until, const char *host, struct error *err)
{
    struct pollfd p = {.fd = wire, .events = POLLIN};

    while (poll(&p, 1, 100) <= 0)
        if (cancel_check(err))
            return ERR_CANCELLED;
        else if (clock_monotonic_ms() >= until)
            return lost(host, err);
    if (dbsqlok(process) == FAIL)
        return lost(host, err);
    while (dbresults(process) == SUCCEED)
        while (dbnextrow(process) == REG_ROW)
            ;
    return OK;
}

enum error_kind sqlserver_check_encrypted(void *process, const char *host, int seconds, struct error *err)
{
    int64_t until = clock_monotonic_ms() + (int64_t)seconds * 1000;
    int wire = dbiordesc(process);
    int real = fcntl(wire, F_DUPFD_CLOEXEC, 0);
    unsigned char request[REQUEST_MAX];
    int pair[2] = {-1, -1};
    enum error_kind rc = OK;
    ssize_t n = -1;

    if (real < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
        rc = error_set(err, ERR_IO, errno, "no pair of sockets to check an encryption with");
    if (!rc) {
        n = overhear(process, wire, pair, request);
        if (n < 3)
            rc = lost(host, err);
        else if (request[0] != TLS_APPLICATION_DATA || request[1] != TLS_VERSION_MAJOR)
            rc = refuse_clear(host, err);
    }
    /* On failure the library keeps its end of the pair: what it may say when it closes goes nowhere. */
    if (!rc && dup3(real, wire, O_CLOEXEC) < 0)
        rc = error_set(err, ERR_IO, errno, "a socket can't be put back");
    if (!rc)
        rc = send_all(real, request, (size_t)n, until, host, err);
    if (!rc)
        rc = finish_request(process, wire, until, host, err);
    if (real >= 0)
        close(real);
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            close(pair[i]);
    return rc;
}
