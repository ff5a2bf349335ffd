#include "thread.h"

#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t filled;  /* an item came, or the queue was closed */
    pthread_cond_t emptied; /* a place came free, or the queue was closed */
    size_t places;
    size_t first;
    size_t count;
    bool closed;
    void *items[];
};

enum error_kind queue_new(size_t places, struct queue **out, struct error *err)
{
    struct queue *q = NULL;

    if (places == 0)
        places = 1;
    if (places > (SIZE_MAX - sizeof(*q)) / sizeof(void *) || !(q = calloc(1, sizeof(*q) + places * sizeof(void *))))
        return error_set(err, ERR_MEMORY, 0, "out of memory for a queue of %zu places", places);
    pthread_mutex_init(&q->lock, NULL); /* these three cannot fail on Linux */
    pthread_cond_init(&q->filled, NULL);
    pthread_cond_init(&q->emptied, NULL);
    q->places = places;
    *out = q;
    return OK;
}

bool queue_push(struct queue *q, void *item)
{
    bool taken = false;

    pthread_mutex_lock(&q->lock);
    while (q->count == q->places && !q->closed)
        pthread_cond_wait(&q->emptied, &q->lock);
    if (!q->closed) {
        q->items[(q->first + q->count) % q->places] = item;
        q->count++;
        taken = true;
        pthread_cond_signal(&q->filled);
    }
    pthread_mutex_unlock(&q->lock);
    return taken;
}

bool queue_pop(struct queue *q, void **item)
{
    bool given = false;

    pthread_mutex_lock(&q->lock);
    while (q->count == 0 && !q->closed)
        pthread_cond_wait(&q->filled, &q->lock);
    if (q->count > 0) {
        *item = q->items[q->first];
        q->first = (q->first + 1) % q->places;
        q->count--;
        given = true;
        pthread_cond_signal(&q->emptied);
    }
    pthread_mutex_unlock(&q->lock);
    return given;
}

void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->filled);
    pthread_cond_broadcast(&q->emptied);
    pthread_mutex_unlock(&q->lock);
}

void queue_free(struct queue *q)
{
    if (!q)
        return;
    pthread_cond_destroy(&q->emptied);
    pthread_cond_destroy(&q->filled);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

enum error_kind thread_start(pthread_t *out, void *(*run)(void *), void *arg, struct error *err)
{
    sigset_t blocked;
    sigset_t before;
    pthread_t thread;
    int failed;

    /* Signals go to the main thread, whose waits they cut short; faults stay with the thread that makes them. */
    sigfillset(&blocked);
    sigdelset(&blocked, SIGSEGV);
    sigdelset(&blocked, SIGBUS);
    sigdelset(&blocked, SIGFPE);
    sigdelset(&blocked, SIGILL);
    sigdelset(&blocked, SIGABRT);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    failed = pthread_create(&thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return error_set(err, ERR_MEMORY, failed, "cannot start a thread");
    *out = thread;
    return OK;
}

int thread_processors(void)
{
    cpu_set_t set;
    long online;

    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
    online = sysconf(_SC_NPROCESSORS_ONLN); /* more processors than cpu_set_t holds */
    return online > 0 ? (int)online : 1;
}
