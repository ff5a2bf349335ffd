#include <stdlib.h>

#include "restore_internal.h"

struct crew_thread {
    struct crew *crew;
    void *state;
    pthread_t thread;
};

struct crew {
    struct queue *queue;
    crew_fn *run;
    unsigned count;
    atomic_bool failed;
    pthread_mutex_t lock;
    struct error error; /* the first */
    struct crew_thread threads[];
};

static void *crew_main(void *arg)
{
    struct crew_thread *self = arg;
    struct crew *c = self->crew;
    void *job = NULL;

    while (queue_pop(c->queue, &job)) {
        struct error error = ERROR_INIT;

        if (!c->run(self->state, job, atomic_load(&c->failed), &error))
            continue;
        pthread_mutex_lock(&c->lock);
        error_copy(&c->error, &error);
        pthread_mutex_unlock(&c->lock);
        atomic_store(&c->failed, true);
    }
    return NULL;
}

enum error_kind crew_start(unsigned threads, size_t places, crew_fn *run, void *const *states, struct crew **out,
                           struct error *err)
{
    struct error ignored = ERROR_INIT;
    struct crew *c = calloc(1, sizeof(*c) + threads * sizeof(c->threads[0]));
    enum error_kind rc;

    if (!c)
        return error_set(err, ERR_MEMORY, 0, "out of memory for %u threads", threads);
    pthread_mutex_init(&c->lock, NULL);
    c->run = run;
    rc = queue_new(places, &c->queue, err);
    for (unsigned i = 0; !rc && i < threads; i++) {
        c->threads[i].crew = c;
        c->threads[i].state = states[i];
        rc = thread_start(&c->threads[i].thread, crew_main, &c->threads[i], err);
        if (!rc)
            c->count++;
    }
    if (rc) {
        crew_end(c, &ignored);
        return rc;
    }
    *out = c;
    return OK;
}

void crew_push(struct crew *c, void *job)
{
    queue_push(c->queue, job);
}

bool crew_failed(struct crew *c)
{
    return atomic_load(&c->failed);
}

enum error_kind crew_end(struct crew *c, struct error *err)
{
    enum error_kind rc = OK;

    if (!c)
        return OK;
    if (c->queue)
        queue_close(c->queue);
    for (unsigned i = 0; i < c->count; i++)
        pthread_join(c->threads[i].thread, NULL);
    if (c->error.kind) {
        rc = c->error.kind;
        error_copy(err, &c->error);
    }
    queue_free(c->queue);
    pthread_mutex_destroy(&c->lock);
    free(c);
    return rc;
}
