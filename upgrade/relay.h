/*
 * The one way out of a network namespace: who connects inside to a loopback address is led to the same address outside, a database server's.
 *
 *     rc = relay_start(netns, "localhost", 5432, &relay, err);
 *     ...
 *     relay_stop(relay);
 */
#ifndef NOPSNAP_RELAY_H
#define NOPSNAP_RELAY_H

#include "error.h"

struct relay;

/*
 * Begin to lead there, in threads of its own.
 *
 * netns      of netns_make(); borrowed
 * host       a name or an address of this machine's loopback at which somebody listens
 * Returns    ERR_REFUSED where it leads to another machine, or nobody answers there
 */
enum error_kind relay_start(int netns, const char *host, int port, struct relay **out, struct error *err);
void relay_stop(struct relay *relay); /* ends what is connected, too; accepts NULL */

#endif
