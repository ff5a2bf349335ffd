/*
 * A process that takes with it all that it starts: a PID namespace of its own (pid_namespaces(7)), whatever forks, daemonizes, leads its
 * own session or changes its user in it. PR_SET_PDEATHSIG alone reaches a child, not what the child started, and a change of user clears it.
 *
 *     nopsnap --- keeper --- init of the namespace --- the program --- ...
 *
 * Each of the first two dies when the one before it does, by any way, and the kernel ends the namespace with its init.
 */
#ifndef NOPSNAP_PIDNS_H
#define NOPSNAP_PIDNS_H

#include <stddef.h>

/* A folder that is seen as it is, and whatever is written into it goes elsewhere: an overlayfs(5). */
struct process_cover {
    const char *at;      /* the folder */
    const char *options; /* "lowerdir=...,upperdir=...,workdir=...": at itself is the lower one */
};

/*
 * In the child of a fork that has one thread and is told of its parent's death: returns 0 in the process that is to run the program, in the
 * namespace and with a /proc that fits (else in a mount namespace where all that the machine mounts later arrives too). The caller's process
 * stays as the keeper and ends with the program's exit status (128+signal). Async-signal-safe.
 *
 * covers     mounted in their order, for the program alone; they go with it
 * Returns    -1 with errno, in one process or in two, where this process may not (it needs CAP_SYS_ADMIN): the program can't be run then,
 *            and whoever says so first is the one to be heard
 */
int pidns_enter(const struct process_cover *covers, size_t count);

#endif
