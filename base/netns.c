#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "file.h"
#include "thread.h"

/* What the thread does, and what came of it. */
struct errand {
    int netns; /* to go into; -1: a new one */
    int domain, type, protocol;
    int fd; /* what is wanted */
    int sys;
    const char *step;
};

static int raise_loopback(void)
{
    struct ifreq lo;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int rc = -1;

    memset(&lo, 0, sizeof(lo));
    memcpy(lo.ifr_name, "lo", 3);
    if (fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &lo) == 0) {
        lo.ifr_flags = (short)(lo.ifr_flags | IFF_UP);
        rc = ioctl(fd, SIOCSIFFLAGS, &lo);
    }
    file_close(&fd);
    return rc;
}

static int make(struct errand *e)
{
    e->step = "making a network namespace";
    if (unshare(CLONE_NEWNET) || raise_loopback())
        return -1;
    return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

static int make_socket(struct errand *e)
{
    e->step = "making a socket in the network namespace";
    return netns_enter(e->netns) ? -1 : socket(e->domain, e->type | SOCK_CLOEXEC, e->protocol);
}

static void *run(void *arg)
{
    struct errand *e = arg;

    e->fd = e->netns < 0 ? make(e) : make_socket(e);
    e->sys = errno;
    return NULL;
}

static enum error_kind do_apart(struct errand *e, int *out, struct error *err)
{
    pthread_t thread;
    enum error_kind rc = thread_start(&thread, run, e, err);

    if (rc)
        return rc;
    pthread_join(thread, NULL);
    if (e->fd < 0)
        return error_set(err, ERR_REFUSED, e->sys, "%s", e->step);
    *out = e->fd;
    return OK;
}

enum error_kind netns_make(int *out, struct error *err)
{
    struct errand e = {.netns = -1, .fd = -1};

    return do_apart(&e, out, err);
}

enum error_kind netns_socket(int netns, int domain, int type, int protocol, int *out, struct error *err)
{
    struct errand e = {netns, domain, type, protocol, -1, 0, NULL};

    return do_apart(&e, out, err);
}

int netns_enter(int netns)
{
    return setns(netns, CLONE_NEWNET);
}
