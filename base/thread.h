/*
 * Threads: bounded queues, and the one flag by which a signal asks everybody to stop.
 */
#ifndef NOPSNAP_THREAD_H
#define NOPSNAP_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "error.h"

/* A queue of pointers with a fixed number of places: a fast producer waits for a slow consumer. */
struct queue;

enum error_kind queue_new(size_t places, struct queue **out, struct error *err);
/* False if the queue was closed: the item stays the caller's. Blocks while full. */
bool queue_push(struct queue *q, void *item);
/* False if the queue is closed and empty. Blocks while empty and open. */
bool queue_pop(struct queue *q, void **item);
void queue_close(struct queue *q); /* no more pushes; pops drain what is there */
void queue_free(struct queue *q);  /* must be empty or its items borrowed; accepts NULL */

enum error_kind thread_start(pthread_t *out, void *(*run)(void *), void *arg, struct error *err);
int thread_processors(void); /* online processors that this process may use, at least 1 */

/*
 * SIGINT, SIGTERM and SIGHUP set a flag; long loops test it and return ERR_CANCELLED through their normal way out.
 */
enum error_kind cancel_install(struct error *err); /* also ignores SIGPIPE */
int cancel_signal(void);                           /* which one, 0 if none */
bool cancel_is_asked(void);                        /* a signal came, and is not deferred */
enum error_kind cancel_check(struct error *err);   /* ERR_CANCELLED once cancel_is_asked() */
/*
 * Waits until fd has something to read or has ended, without a limit; ERR_CANCELLED once a signal came, whichever thread got it and
 * whenever it came. (A bare read(2) misses one that comes just before it.)
 */
enum error_kind cancel_wait_input(int fd, struct error *err);
void cancel_reset(void); /* an undo that has begun must not be cut short by the same signal */
/*
 * What must finish (an undo, the end of a transaction) defers signals, in every thread: nothing asks to stop until that is over, then what came
 * meanwhile counts. It does not nest: one end ends it. Not around cancel_wait_input().
 */
void cancel_defer(bool defer);

#endif
