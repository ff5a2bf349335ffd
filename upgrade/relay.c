#include "relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "file.h"
#include "netns.h"
#include "text.h"
#include "thread.h"

#define ADDRESSES_MAX 4
#define WAITING_MAX 128
#define CONNECT_TIMEOUT_MS 10000
#define FULL_WAIT_MS 100 /* before the next try to take somebody when there is no descriptor for him */

struct way {
    int from, to; /* borrowed from the pair */
};

/* Its own thread connects, then leads what comes from inside, and ends last. */
struct pair {
    const struct relay *relay;
    nfds_t address;
    int inside, outside;
    struct way up, down;
    pthread_t thread;
    atomic_bool ended;
    struct pair *next;
};

struct relay {
    struct pollfd listeners[ADDRESSES_MAX + 1]; /* the last one: told to stop */
    struct sockaddr_storage addresses[ADDRESSES_MAX];
    socklen_t lengths[ADDRESSES_MAX];
    nfds_t count;
    int stop; /* eventfd */
    pthread_t thread;
    bool running;
    struct pair *pairs; /* of the thread, until it has ended */
};

/* ---- what is connected ---- */

/* A direction that has ended is ended on the other side too; the other direction may go on. */
static void *lead(void *arg)
{
    struct way *w = arg;
    unsigned char piece[65536];
    ssize_t got;

    while ((got = read(w->from, piece, sizeof(piece))) > 0 || (got < 0 && errno == EINTR)) {
        ssize_t sent = 0;

        for (ssize_t n; sent < got; sent += n) {
            n = send(w->to, piece + sent, (size_t)(got - sent), MSG_NOSIGNAL);
            if (n < 0 && errno != EINTR)
                goto over;
            if (n < 0)
                n = 0;
        }
    }

over:
    shutdown(w->to, SHUT_WR);
    shutdown(w->from, SHUT_RD);
    return NULL;
}

static bool set_blocking(int fd, bool blocking)
{
    int flags = fcntl(fd, F_GETFL);

    return flags >= 0 && fcntl(fd, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK) == 0;
}

/* A server that has no room lets its clients wait for minutes: not longer than this, nor after the relay is told to stop. */
static bool connect_within(const struct relay *r, nfds_t i, int fd)
{
    struct pollfd ready[2] = {{fd, POLLOUT, 0}, {r->stop, POLLIN, 0}};
    int sys = 0;
    socklen_t len = sizeof(sys);

    if (!set_blocking(fd, false))
        return false;
    if (connect(fd, (const struct sockaddr *)&r->addresses[i], r->lengths[i])) {
        if (errno != EINPROGRESS || poll(ready, 2, CONNECT_TIMEOUT_MS) <= 0 || ready[1].revents ||
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &sys, &len) || sys)
            return false;
    }
    return set_blocking(fd, true);
}

static void *lead_pair(void *arg)
{
    struct pair *p = arg;
    struct error ignored = ERROR_INIT;
    pthread_t down;

    if (connect_within(p->relay, p->address, p->outside) && thread_start(&down, lead, &p->down, &ignored) == OK) {
        (void)lead(&p->up);
        pthread_join(down, NULL);
    }
    shutdown(p->inside, SHUT_RDWR);
    shutdown(p->outside, SHUT_RDWR);
    atomic_store(&p->ended, true);
    return NULL;
}

static void pair_end(struct pair *p)
{
    shutdown(p->inside, SHUT_RDWR);
    shutdown(p->outside, SHUT_RDWR);
    pthread_join(p->thread, NULL);
    file_close(&p->inside);
    file_close(&p->outside);
    free(p);
}

static void reap(struct relay *r)
{
    for (struct pair **at = &r->pairs; *at;) {
        struct pair *p = *at;

        if (!atomic_load(&p->ended)) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        pair_end(p);
    }
}

/* Takes over both descriptors when it succeeds. */
static enum error_kind pair_start(struct relay *r, nfds_t i, int *inside, int *outside, struct error *err)
{
    void *memory = NULL;
    struct pair *p;
    enum error_kind rc = memory_zeroed(1, sizeof(*p), &memory, err);

    if (rc)
        return rc;
    p = memory;
    p->relay = r;
    p->address = i;
    p->inside = *inside;
    p->outside = *outside;
    p->up = (struct way){.from = *inside, .to = *outside};
    p->down = (struct way){.from = *outside, .to = *inside};
    rc = thread_start(&p->thread, lead_pair, p, err);
    if (rc) {
        free(p);
        return rc;
    }
    *inside = -1;
    *outside = -1;
    p->next = r->pairs;
    r->pairs = p;
    return OK;
}

static int make_socket(const struct relay *r, nfds_t i)
{
    return socket(r->addresses[i].ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

/* Whoever can't be led on is let go, as a server does that has no room. False where nobody could be taken for want of descriptors. */
static bool take(struct relay *r, nfds_t i)
{
    struct error ignored = ERROR_INIT;
    int inside, outside;
    bool full;

    reap(r);
    inside = accept4(r->listeners[i].fd, NULL, NULL, SOCK_CLOEXEC);
    full = inside < 0 && errno != EINTR && errno != ECONNABORTED;
    outside = inside < 0 ? -1 : make_socket(r, i);
    if (outside >= 0)
        (void)pair_start(r, i, &inside, &outside, &ignored);
    file_close(&inside);
    file_close(&outside);
    return !full;
}

static void *run(void *arg)
{
    struct relay *r = arg;

    for (;;) {
        if (poll(r->listeners, r->count + 1, -1) < 0 && errno != EINTR)
            return NULL;
        if (r->listeners[r->count].revents)
            return NULL;
        for (nfds_t i = 0; i < r->count; i++)
            if (r->listeners[i].revents && !take(r, i))
                (void)poll(&r->listeners[r->count], 1,
                           FULL_WAIT_MS); /* he stays in the queue: no turning on the spot */
    }
}

/* ---- begun and ended ---- */

static bool is_loopback(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == 127;
    return a->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
}

/* Inside there is nobody at an address where nobody is outside: a client goes on to the next one only where it is refused. */
static enum error_kind listen_at(struct relay *r, int netns, const struct addrinfo *a, struct error *err)
{
    int fd = -1;
    int probe;
    bool answers;
    enum error_kind rc;

    memcpy(&r->addresses[r->count], a->ai_addr, a->ai_addrlen);
    r->lengths[r->count] = a->ai_addrlen;
    probe = make_socket(r, r->count);
    answers = probe >= 0 && connect_within(r, r->count, probe);
    file_close(&probe);
    if (!answers)
        return OK;
    rc = netns_socket(netns, a->ai_family, SOCK_STREAM, 0, &fd, err);
    if (!rc && (bind(fd, a->ai_addr, a->ai_addrlen) || listen(fd, WAITING_MAX)))
        rc = error_set(err, ERR_IO, errno, "listening in the network namespace");
    if (rc) {
        file_close(&fd);
        return rc;
    }
    r->listeners[r->count++] = (struct pollfd){fd, POLLIN, 0};
    return OK;
}

static enum error_kind listen_all(struct relay *r, int netns, const char *host, int port, struct error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    char service[16];
    enum error_kind rc = OK;
    int sys;

    (void)snprintf(service, sizeof(service), "%d", port);
    sys = getaddrinfo(host, service, &hints, &list);
    if (sys)
        return error_set(err, ERR_REFUSED, 0, "%s: %s", host, gai_strerror(sys));
    for (const struct addrinfo *a = list; a && !rc; a = a->ai_next) {
        if (!is_loopback(a->ai_addr))
            rc =
                error_set(err, ERR_REFUSED, 0, "%s is another machine, or this one by an address of its network", host);
        else if (r->count < ADDRESSES_MAX)
            rc = listen_at(r, netns, a, err);
    }
    freeaddrinfo(list);
    if (!rc && !r->count)
        rc = error_set(err, ERR_REFUSED, 0, "nobody listens at %s, port %d", host, port);
    return rc;
}

enum error_kind relay_start(int netns, const char *host, int port, struct relay **out, struct error *err)
{
    void *memory = NULL;
    struct relay *r;
    enum error_kind rc = memory_zeroed(1, sizeof(*r), &memory, err);

    if (rc)
        return rc;
    r = memory;
    r->stop = eventfd(0, EFD_CLOEXEC);
    if (r->stop < 0)
        rc = error_set(err, ERR_IO, errno, "cannot make an eventfd");
    if (!rc)
        rc = listen_all(r, netns, host, port, err);
    r->listeners[r->count] = (struct pollfd){r->stop, POLLIN, 0};
    if (!rc)
        rc = thread_start(&r->thread, run, r, err);
    r->running = rc == OK;
    if (rc)
        relay_stop(r);
    else
        *out = r;
    return rc;
}

void relay_stop(struct relay *r)
{
    uint64_t one = 1;

    if (!r)
        return;
    if (r->running) {
        while (write(r->stop, &one, sizeof(one)) < 0 && errno == EINTR)
            continue;
        pthread_join(r->thread, NULL);
    }
    while (r->pairs) {
        struct pair *p = r->pairs;

        r->pairs = p->next;
        pair_end(p);
    }
    for (nfds_t i = 0; i < r->count; i++)
        file_close(&r->listeners[i].fd);
    file_close(&r->stop);
    free(r);
}
