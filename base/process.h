/*
 * Child processes: client tools of the databases, the owner's commands, systemctl.
 *
 * Children get PR_SET_PDEATHSIG (SIGKILL when nopsnap dies), default signal handling, and no descriptor but those
 * named here. Secrets travel in files or the environment of the child, never in argv (P10).
 * Each child leads a session of its own: a Ctrl-C reaches nopsnap alone, which decides what its children should know
 * of it, and a client that would ask for a password finds no terminal and fails instead of waiting for ever.
 * The kernel counts the thread that started a child as its parent: that thread must live until process_wait().
 */
#ifndef NOPSNAP_PROCESS_H
#define NOPSNAP_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "buffer.h"
#include "error.h"

struct process_cover; /* pidns.h */

struct process_spec {
    const char *const *argv;        /* argv[0] is looked up in PATH */
    const char *const *environment; /* "NAME=value" to add or replace, NULL-terminated; or NULL */
    bool clear;                     /* nothing of our own environment is passed on */
    const char *directory;          /* working directory, or NULL */
    bool pipe_stdin;                /* child's stdin is a pipe whose write end is in process.stdin_fd; else /dev/null */
    bool pipe_stdout; /* child's stdout is a pipe whose read end is in process.stdout_fd; else /dev/null */
    int stdin_fd;     /* used instead of a pipe when > 0; borrowed */
    int netns;        /* of netns_make(): the child runs in it; 0: in ours; borrowed */
    bool own_pids;    /* it takes with it all that it starts (pidns.h); ERR_REFUSED where that can't be */
    const struct process_cover *covers; /* with own_pids: folders behind whose content what it writes is kept apart */
    size_t cover_count;
    int timeout_ms; /* process_wait() ends it so long after its start: ERR_REMOTE; 0: never */
};

struct process {
    pid_t pid; /* 0 when none is running */
    int stdin_fd;
    int stdout_fd;
    int64_t deadline_ms; /* of clock_monotonic_ms(); 0: none */
    void *stderr_drain;  /* thread that keeps the last 8 KiB of what the child says on stderr */
};

#define PROCESS_INIT                    \
    {                                   \
        .stdin_fd = -1, .stdout_fd = -1 \
    }

/* ERR_NOT_FOUND when argv[0] is in no folder of PATH. */
enum error_kind process_start(struct process *p, const struct process_spec *spec, struct error *err);
/*
 * Close the pipes, wait.
 *
 * status     exit status, or 128+signal; may be NULL: then anything but 0 is ERR_REMOTE
 *            with argv[0] and the last line of its stderr in the text
 * stderr_out what the child said (the last 8 KiB), appended; may be NULL
 * Returns    ERR_CANCELLED when a signal came: the child is killed then (not while it is deferred)
 */
enum error_kind process_wait(struct process *p, int *status, struct buffer *stderr_out, struct error *err);
/* The end of what it said on stderr, of one that has ended and was not waited for yet; nothing more is kept from here on. */
enum error_kind process_said(struct process *p, struct buffer *out, struct error *err);
void process_kill(struct process *p); /* SIGKILL and reap; accepts one that is not running */

/* Start, collect stdout (up to out->max bytes; out may be NULL), wait. status as above. */
enum error_kind process_run(const struct process_spec *spec, struct buffer *out, int *status, struct error *err);
/* The owner's own command line from the config, by /bin/sh -c. */
enum error_kind process_shell(const char *command, struct buffer *out, int *status, struct error *err);
/* The same without its output, ended together with what it started after timeout_ms: ERR_REMOTE. */
enum error_kind process_shell_within(const char *command, int timeout_ms, int *status, struct error *err);
/* Is there such a program in PATH? */
bool process_exists(const char *program);

#endif
