/*
 * The port of a named instance, asked of the SQL Server Browser (UDP 1434, [MC-SQLR]: one byte 4 and the name; the answer is one byte 5, a length,
 * and "key;value;key;value;;").
 *
 * The library would ask too, but for 16 s at each address, whatever the string's timeout says, and without a word of why.
 * Only the address that was asked is listened to: the sockets are connected.
 */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sqlserver_connect_internal.h"
#include "text.h"
#include "thread.h"

enum {
    ADDRESSES_MAX = 8,
    ANSWER_MAX = 2048, /* an answer about one instance has at most 1024 bytes */
    ASK_AGAIN_MS = 1000,
    LOOK_MS = 100, /* for a signal */
    ASK_ONE = 4,
    ANSWER = 5,
};

struct question {
    const char *host;
    const char *instance;
    struct pollfd sockets[ADDRESSES_MAX];
    nfds_t count;
};

/* The value of a key in "key;value;key;value;;", or NULL; *len is its length. */
static const char *find_value(const char *text, const char *key, size_t *len)
{
    while (*text && *text != ';') {
        size_t k = strcspn(text, ";");
        const char *value = text[k] ? text + k + 1 : text + k;
        size_t v = strcspn(value, ";");

        if (k == strlen(key) && strncasecmp(text, key, k) == 0) {
            *len = v;
            return value;
        }
        text = value[v] ? value + v + 1 : value + v;
    }
    return NULL;
}

/* *port 0: not an answer to this question, so another one may still come. */
static enum error_kind read_answer(const struct question *q, const unsigned char *bytes, size_t n, int *port,
                                   struct error *err)
{
    char text[ANSWER_MAX + 1];
    const char *value;
    size_t len = 0;
    long number;

    *port = 0;
    if (n < 3 || bytes[0] != ANSWER || (size_t)(bytes[1] | bytes[2] << 8) != n - 3)
        return OK;
    memcpy(text, bytes + 3, n - 3);
    text[n - 3] = '\0';
    value = find_value(text, "InstanceName", &len);
    if (!value || len != strlen(q->instance) || strncasecmp(value, q->instance, len) != 0)
        return OK;
    value = find_value(text, "tcp", &len);
    number = value && len && len <= 5 && strspn(value, "0123456789") >= len ? strtol(value, NULL, 10) : 0;
    if (number < 1 || number > 65535) {
        error_set(err, ERR_REMOTE, 0, "SQL Server %s\\%s does not listen on TCP, says the SQL Server Browser", q->host,
                  q->instance);
        error_hint(err, "turn on TCP/IP for the instance in the SQL Server Configuration Manager");
        return ERR_REMOTE;
    }
    *port = (int)number;
    return OK;
}

static enum error_kind open_sockets(struct question *q, struct error *err)
{
    struct addrinfo wanted = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM};
    struct addrinfo *found = NULL;

    if (getaddrinfo(q->host, "1434", &wanted, &found) != 0) {
        error_set(err, ERR_REMOTE, 0, "SQL Server %s\\%s can't be reached: no such host", q->host, q->instance);
        error_hint(err, "check the server's name in the connection string");
        return ERR_REMOTE;
    }
    for (struct addrinfo *a = found; a && q->count < ADDRESSES_MAX; a = a->ai_next) {
        int fd = socket(a->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0)
            q->sockets[q->count++] = (struct pollfd){.fd = fd, .events = POLLIN};
        else if (fd >= 0)
            close(fd);
    }
    freeaddrinfo(found);
    return OK;
}

/* One that was refused (there is no Browser) is closed; poll() passes over it. */
static void give_up(struct pollfd *p)
{
    close(p->fd);
    p->fd = -1;
}

/* Returns whether anybody is left who may answer. */
static bool ask(struct question *q)
{
    unsigned char packet[1 + 128 + 1] = {ASK_ONE};
    size_t len = strlen(q->instance);
    bool any = false;

    memcpy(packet + 1, q->instance, len); /* and a NUL */
    for (nfds_t i = 0; i < q->count; i++) {
        if (q->sockets[i].fd >= 0 && send(q->sockets[i].fd, packet, len + 2, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
            give_up(&q->sockets[i]);
        any |= q->sockets[i].fd >= 0;
    }
    return any;
}

static enum error_kind hear(struct question *q, int *port, struct error *err)
{
    unsigned char bytes[ANSWER_MAX];
    enum error_kind rc = OK;

    for (nfds_t i = 0; !rc && !*port && i < q->count; i++) {
        ssize_t n;

        if (q->sockets[i].fd < 0 || !q->sockets[i].revents)
            continue;
        n = recv(q->sockets[i].fd, bytes, sizeof bytes, 0);
        if (n >= 0)
            rc = read_answer(q, bytes, (size_t)n, port, err);
        else if (errno != EAGAIN && errno != EINTR)
            give_up(&q->sockets[i]);
    }
    return rc;
}

static enum error_kind unanswered(const struct question *q, bool refused, int seconds, struct error *err)
{
    if (refused)
        error_set(err, ERR_REMOTE, 0, "SQL Server %s\\%s can't be found: no SQL Server Browser there (UDP 1434)",
                  q->host, q->instance);
    else
        error_set(err, ERR_REMOTE, 0,
                  "SQL Server %s\\%s can't be found: the SQL Server Browser (UDP 1434) does not answer within %d s",
                  q->host, q->instance, seconds);
    error_hint(
        err, "start the SQL Server Browser, check the instance's name, or name its port with host,port, which needs no "
             "Browser");
    return ERR_REMOTE;
}

enum error_kind sqlserver_instance_port(const char *host, const char *instance, int seconds, int *port,
                                        struct error *err)
{
    struct question q = {.host = host, .instance = instance};
    int64_t until = clock_monotonic_ms() + (int64_t)seconds * 1000;
    int64_t next = 0;
    bool anybody = true;
    enum error_kind rc;

    *port = 0;
    if (strlen(instance) > 128)
        return error_set(err, ERR_REFUSED, 0, "the connection string's instance has more than 128 bytes");
    rc = open_sockets(&q, err);
    while (!rc && !*port && anybody && clock_monotonic_ms() < until) {
        if (clock_monotonic_ms() >= next) {
            anybody = ask(&q);
            next = clock_monotonic_ms() + ASK_AGAIN_MS;
        }
        if (anybody && poll(q.sockets, q.count, LOOK_MS) > 0)
            rc = hear(&q, port, err);
        if (!rc)
            rc = cancel_check(err);
    }
    if (!rc && !*port)
        rc = unanswered(&q, !anybody, seconds, err);
    for (nfds_t i = 0; i < q.count; i++)
        if (q.sockets[i].fd >= 0)
            close(q.sockets[i].fd);
    return rc;
}
