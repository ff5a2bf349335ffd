/*
 * A network namespace without a way out: what runs in it has a loopback of its own and nothing else (network_namespaces(7)). It lasts as
 * long as a process or a descriptor is in it, so that nothing has to be removed.
 *
 * A namespace belongs to a thread, and a socket to the one that it was made in: what is asked for here is done by a thread that ends with it.
 */
#ifndef NOPSNAP_NETNS_H
#define NOPSNAP_NETNS_H

#include "error.h"

/*
 * Make one, its loopback up.
 *
 * out        a descriptor of it, closed by the caller
 * Returns    ERR_REFUSED where this process may not (it needs CAP_SYS_ADMIN), or the kernel has none
 */
enum error_kind netns_make(int *out, struct error *err);
/*
 * socket(2), in that namespace; close-on-exec.
 *
 * out        closed by the caller
 */
enum error_kind netns_socket(int netns, int domain, int type, int protocol, int *out, struct error *err);
/* Enter it, with the whole of a process that has one thread. Async-signal-safe. Returns 0, or -1 with errno. */
int netns_enter(int netns);

#endif
