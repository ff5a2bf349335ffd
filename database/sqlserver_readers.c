/*
 * Several tables at once, from one view. Each reader has a connection and a thread of its own, takes the next table that nobody has, and writes it as the
 * stream has it into a queue of that table's; the dump takes the queues up in the order of the tables. So the bytes are those that one connection
 * would have given (D2), and what waits is bounded: a reader that is ahead stands still when its queue is full.
 *
 * It takes a view that other sessions see as well: a database that nobody can write to, or locks that the dump's own session holds on every table. SNAPSHOT
 * isolation is one session's.
 */
#include <stdlib.h>
#include <string.h>

#include "sqlserver_native_internal.h"
#include "thread.h"

enum { READERS_MAX = 3, PLACES = 8 };

struct chunk {
    size_t len;
    unsigned char bytes[];
};

struct slot { /* a table */
    struct queue *queue;
    unsigned char shape[HASH_LEN];
};

struct reader {
    struct sqlserver_readers *all;
    struct sqlserver_link *link;
    pthread_t thread;
    bool runs;
};

struct sqlserver_readers {
    const struct sqlserver_table *tables;
    struct sqlserver_sum *sums;
    struct slot *slots;
    size_t count;
    size_t skip;
    struct reader readers[READERS_MAX];
    size_t reader_count;
    pthread_mutex_t lock; /* of what follows */
    size_t next;
    bool stop;
    struct error first; /* failure: the others are of its making */
};

/* ---- a reader ---- */

static bool next_table(struct sqlserver_readers *r, size_t *out)
{
    bool any;

    pthread_mutex_lock(&r->lock);
    if (r->next == r->skip)
        r->next++;
    any = !r->stop && r->next < r->count;
    if (any)
        *out = r->next++;
    pthread_mutex_unlock(&r->lock);
    return any;
}

static void stop_all(struct sqlserver_readers *r, const struct error *why)
{
    pthread_mutex_lock(&r->lock);
    if (why && !r->first.kind)
        r->first = *why;
    r->stop = true;
    pthread_mutex_unlock(&r->lock);
    for (size_t i = 0; i < r->reader_count; i++)
        sqlserver_link_quit(r->readers[i].link);
    for (size_t i = 0; i < r->count; i++)
        queue_close(r->slots[i].queue);
}

static enum error_kind push(void *arg, const void *bytes, size_t len, struct error *err)
{
    struct slot *s = arg;
    struct chunk *c = malloc(sizeof *c + len);

    if (!c)
        return error_set(err, ERR_MEMORY, 0, "out of memory");
    c->len = len;
    memcpy(c->bytes, bytes, len);
    if (queue_push(s->queue, c))
        return OK;
    free(c);
    return error_set(err, ERR_CANCELLED, 0, "the dump was given up");
}

static enum error_kind read_table(struct reader *me, size_t i, struct error *err)
{
    struct slot *s = &me->all->slots[i];
    struct sqlserver_writer *part = NULL;
    enum error_kind rc = sqlserver_writer_new(push, s, &part, err);

    if (!rc)
        rc = sqlserver_table_read(me->link, &me->all->tables[i], part, NULL, NULL, &me->all->sums[i], err);
    if (!rc)
        rc = sqlserver_writer_flush(part, err);
    if (!rc)
        memcpy(s->shape, sqlserver_writer_shape(part), sizeof s->shape);
    sqlserver_writer_free(part);
    return rc;
}

static void *run(void *arg)
{
    struct reader *me = arg;
    struct error err = ERROR_INIT;
    size_t i = 0;

    while (!err.kind && next_table(me->all, &i)) {
        if (read_table(me, i, &err))
            stop_all(me->all, &err);
        queue_close(me->all->slots[i].queue);
    }
    return NULL;
}

/* ---- the dump's side ---- */

static enum error_kind make(const struct sqlserver_table *tables, struct sqlserver_sum *sums, size_t count, size_t skip,
                            struct sqlserver_readers **out, struct error *err)
{
    struct sqlserver_readers *r = NULL;
    void *memory = NULL;
    enum error_kind rc = memory_zeroed(1, sizeof *r, &memory, err);

    if (rc)
        return rc;
    r = memory;
    pthread_mutex_init(&r->lock, NULL);
    r->tables = tables;
    r->sums = sums;
    r->skip = skip;
    *out = r;
    rc = memory_zeroed(count + 1, sizeof *r->slots, &memory, err);
    if (!rc)
        r->slots = memory;
    for (; !rc && r->count < count; r->count += !rc)
        rc = queue_new(PLACES, &r->slots[r->count].queue, err);
    return rc;
}

enum error_kind sqlserver_readers_start(struct database *db, const struct sqlserver_table *tables,
                                        struct sqlserver_sum *sums, size_t count, size_t skip,
                                        struct sqlserver_readers **out, struct error *err)
{
    size_t wanted = count < READERS_MAX ? count : READERS_MAX;
    struct error ignored = ERROR_INIT;
    enum error_kind rc = make(tables, sums, count, skip, out, err);
    struct sqlserver_readers *r = *out;

    /* As many as the server lets in; logins one after the other, since the library has a room of its own for one that is under way. */
    while (!rc && r->reader_count < wanted &&
           !sqlserver_link_open(db, db->name, &r->readers[r->reader_count].link, &ignored))
        r->reader_count++;
    for (size_t i = 0; !rc && i < r->reader_count; i++) {
        r->readers[i].all = r;
        rc = thread_start(&r->readers[i].thread, run, &r->readers[i], err);
        r->readers[i].runs = !rc;
    }
    if (!rc && !r->reader_count) {
        sqlserver_readers_end(r);
        *out = NULL;
    }
    return rc;
}

enum error_kind sqlserver_readers_take(struct sqlserver_readers *r, size_t i, struct sqlserver_writer *w,
                                       struct error *err)
{
    enum error_kind rc = OK;
    void *item = NULL;

    while (queue_pop(r->slots[i].queue, &item)) {
        const struct chunk *c = item;

        if (!rc)
            rc = sqlserver_writer_raw(w, c->bytes, c->len, err);
        if (rc)
            stop_all(r, NULL);
        free(item);
    }
    pthread_mutex_lock(&r->lock);
    if (!rc && r->first.kind) {
        error_copy(err, &r->first);
        rc = r->first.kind;
    }
    pthread_mutex_unlock(&r->lock);
    if (!rc)
        sqlserver_writer_add_shape(w, r->slots[i].shape);
    return rc;
}

void sqlserver_readers_end(struct sqlserver_readers *r)
{
    if (!r)
        return;
    stop_all(r, NULL);
    for (size_t i = 0; i < r->reader_count; i++)
        if (r->readers[i].runs)
            pthread_join(r->readers[i].thread, NULL);
    for (size_t i = 0; i < r->reader_count; i++) /* until its end each may have stopped all of them */
        sqlserver_link_close(r->readers[i].link);
    for (size_t i = 0; i < r->count; i++) {
        void *item = NULL;

        while (queue_pop(r->slots[i].queue, &item))
            free(item);
        queue_free(r->slots[i].queue);
    }
    pthread_mutex_destroy(&r->lock);
    free(r->slots);
    free(r);
}
