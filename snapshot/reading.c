#include "reading_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "file.h"
#include "thread.h"
#include "tree.h"
#include "walk.h"

#define RING_SIZE (8u << 20)
#define WHOLE_MAX (RING_SIZE / 2) /* longer files are streamed */
#define SLOTS 256                 /* results in flight */
#define THREADS_MAX 32
/* A reader takes several neighbours at once, since handing over one by one costs as much as reading a small file. */
#define BATCH_MAX 16
#define BATCH_BYTES (128u << 10)
/* After a file that had to come from the disk, all readers work for that many files: see active_readers(). */
#define COLD_JOBS 256

struct slot {
    struct read_result result;
    size_t place;    /* in the ring */
    size_t reserved; /* bytes of the ring, with those skipped at its end */
    bool done;
};

struct reading {
    int rootfd;
    const struct read_job *jobs;
    size_t count;
    const struct reading_options *options;
    unsigned char *ring;
    pthread_mutex_t lock;
    pthread_cond_t room;  /* a slot or bytes of the ring came free */
    pthread_cond_t ready; /* the slot that is waited for is done */
    size_t head, used;    /* of the ring */
    size_t taken;         /* jobs given to readers */
    size_t handed;        /* results given to the caller */
    unsigned waiting;     /* readers that wait for room */
    unsigned cold;        /* files for which all readers are wanted */
    pthread_cond_t woken; /* so many are wanted again, or it is over */
    bool stop;
    bool borrowed; /* the caller holds result number handed - 1 */
    struct slot slots[SLOTS];
    struct walk_attributes *attributes[THREADS_MAX];
    pthread_t threads[THREADS_MAX];
    unsigned thread_count;
    unsigned threads_wanted;
    unsigned processors;
};

struct reader {
    struct reading *r;
    unsigned number;
    struct walk_attributes *attributes;
};

void reading_pause(unsigned attempt)
{
    struct timespec wait = {0, 20 * 1000 * 1000 * (long)attempt};

    nanosleep(&wait, NULL);
}

bool file_is_sparse(int fd, const struct stat *st)
{
    /* Compressing filesystems use fewer blocks too: the question costs a system call, so it is asked only then. */
    return st->st_blocks * 512 < st->st_size && lseek(fd, 0, SEEK_HOLE) < st->st_size;
}

/* ---- one file ---- */

static void failed(struct read_result *result, const struct error *error)
{
    result->outcome = error->kind == ERR_NOT_FOUND ? READ_GONE : READ_FAILED;
    if (result->outcome == READ_GONE)
        return;
    result->error = malloc(sizeof *result->error);
    if (result->error)
        *result->error = *error;
}

/* What of it is in memory already; 0: nothing, or that can't be known. */
static size_t read_at_hand(int fd, unsigned char *bytes, size_t room)
{
    struct iovec whole = {bytes, room};
    ssize_t got = room ? preadv2(fd, &whole, 1, 0, RWF_NOWAIT) : 0;

    return got > 0 ? (size_t)got : 0;
}

/* Read up to room bytes. -1 with errno. *waited: some came from the disk. */
static ssize_t read_all(int fd, unsigned char *bytes, size_t room, bool *waited)
{
    size_t len = read_at_hand(fd, bytes, room);
    ssize_t got = 1;

    *waited = len < room;
    while (len < room && got > 0) {
        got = pread(fd, bytes + len, room - len, (off_t)len);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0)
            len += (size_t)got;
    }
    return got < 0 ? -1 : (ssize_t)len;
}

/*
 * Readers that wait for a disk cost nothing and make it work on several files at once; readers that don't only take the processors from
 * each other. So as many as there are processors work, and all of them while files come from the disk. With the lock held.
 */
static unsigned active_readers(const struct reading *r)
{
    return r->cold ? r->threads_wanted : r->processors;
}

static void want_all_readers(struct reading *r)
{
    pthread_mutex_lock(&r->lock);
    if (!r->cold)
        pthread_cond_broadcast(&r->woken);
    r->cold = COLD_JOBS;
    pthread_mutex_unlock(&r->lock);
}

/* One reading: OK with *same telling whether the file held still. Content and attributes are of one inode. */
static enum error_kind read_once(struct reader *self, int fd, const struct stat *before, unsigned char *bytes,
                                 struct read_result *result, bool *same, struct error *err)
{
    struct tree_entry entry;
    struct stat after;
    struct stat_key key;
    bool waited;
    ssize_t got = read_all(fd, bytes, (size_t)before->st_size, &waited);
    enum error_kind rc;

    if (got < 0)
        return error_set(err, ERR_IO, errno, "reading it");
    if (waited)
        want_all_readers(self->r);
    rc = walk_attributes_read_open(self->attributes, fd, before, result->job->path, &entry, err);
    if (rc)
        return rc;
    entry.size = (uint64_t)got;
    buffer_clear(&result->encoded);
    rc = tree_entry_encode(&entry, &result->encoded, err);
    if (rc)
        return rc;
    if (fstat(fd, &after))
        return error_set(err, ERR_IO, errno, "looking at it");
    stat_key_of(&after, &key);
    stat_key_of(before, &result->key);
    result->bytes = bytes;
    result->len = (size_t)got;
    *same = stat_key_equal(&key, &result->key) && got == before->st_size;
    return OK;
}

/* Where to cut, and digests: done here because there are several readers and one thread that puts. False: too many pieces. */
static bool cut(const struct reading_options *options, struct read_result *result)
{
    const unsigned char *bytes = result->bytes;
    size_t at = 0;

    result->piece_count = 0;
    while (at < result->len) {
        size_t left = result->len - at;
        bool whole = result->len <= options->format->whole_max;
        size_t len = whole ? left : cutter_next(options->cutter, bytes + at, left, true);
        struct read_piece *piece;

        if (result->piece_count == READ_PIECES_MAX)
            return false;
        piece = &result->pieces[result->piece_count++];
        piece->len = (uint32_t)len;
        chunk_digest_of(options->format, CHUNK_DATA, bytes + at, len, &piece->digest);
        at += len;
    }
    return true;
}

static enum error_kind read_open_file(struct reader *self, int fd, unsigned char *bytes, struct read_result *result,
                                      struct error *err)
{
    struct stat st;
    bool same = false;
    enum error_kind rc = OK;

    for (unsigned attempt = 0; !rc && !same && attempt < READ_ATTEMPTS; attempt++) {
        if (attempt)
            reading_pause(attempt);
        if (fstat(fd, &st))
            return error_set(err, ERR_IO, errno, "looking at it");
        result->outcome = READ_STREAM;
        if (!S_ISREG(st.st_mode) || st.st_ino != result->job->key->inode || st.st_dev != result->job->key->device ||
            (uint64_t)st.st_size != result->job->key->size || (size_t)st.st_size > WHOLE_MAX || file_is_sparse(fd, &st))
            return OK;
        rc = read_once(self, fd, &st, bytes, result, &same, err);
        result->outcome = same ? READ_WHOLE : READ_RESTLESS;
    }
    if (!rc && !cut(self->r->options, result))
        result->outcome = READ_STREAM;
    return rc;
}

static void read_job(struct reader *self, struct slot *slot)
{
    struct read_result *result = &slot->result;
    struct error err = ERROR_INIT;
    int fd = -1;
    enum error_kind rc;

    result->outcome = READ_STREAM;
    if (result->job->key->size > WHOLE_MAX)
        return;
    rc = walk_open_below(self->r->rootfd, result->job->path, O_RDONLY | O_NONBLOCK | O_NOCTTY, &fd, &err);
    if (!rc)
        rc = read_open_file(self, fd, self->r->ring + slot->place, result, &err);
    if (rc)
        failed(result, &err);
    file_close(&fd);
}

/* ---- the ring and the readers ---- */

static size_t bytes_of(const struct read_job *job)
{
    return job->key->size > WHOLE_MAX ? 0 : (size_t)job->key->size;
}

/* Is there room for the next job? Then it is taken. With the lock held. */
static bool take_place(struct reading *r, size_t len, struct slot *slot)
{
    size_t skipped = r->head + len > RING_SIZE ? RING_SIZE - r->head : 0;

    if (r->taken - r->handed >= SLOTS - 1 || r->used + skipped + len > RING_SIZE)
        return false;
    slot->place = skipped ? 0 : r->head;
    slot->reserved = skipped + len;
    r->head = slot->place + len;
    r->used += slot->reserved;
    return true;
}

/* How many jobs to take at once: fewer towards the end, so that no reader is left with all of them. With the lock held. */
static size_t batch_size(const struct reading *r)
{
    size_t share = (r->count - r->taken) / (2 * (size_t)r->threads_wanted);

    return share < 1 ? 1 : share < BATCH_MAX ? share : BATCH_MAX;
}

/* Take the next jobs there is room for. With the lock held. */
static size_t take_batch(struct reading *r)
{
    size_t want = batch_size(r), count = 0, bytes = 0;

    while (count < want && r->taken < r->count && bytes < BATCH_BYTES) {
        const struct read_job *job = &r->jobs[r->taken];
        struct slot *slot = &r->slots[r->taken % SLOTS];

        if (!take_place(r, bytes_of(job), slot))
            break;
        slot->done = false;
        slot->result.job = job;
        slot->result.error = NULL;
        bytes += bytes_of(job);
        r->taken++;
        r->cold -= r->cold > 0;
        count++;
    }
    return count;
}

/* Neighbouring jobs, beginning with number *first; 0: there are no more. */
static size_t take_jobs(struct reader *self, size_t *first)
{
    struct reading *r = self->r;
    size_t count = 0;

    pthread_mutex_lock(&r->lock);
    while (!r->stop && r->taken < r->count) {
        if (self->number >= active_readers(r)) {
            pthread_cond_wait(&r->woken, &r->lock);
            continue;
        }
        *first = r->taken;
        count = take_batch(r);
        if (count)
            break;
        r->waiting++;
        pthread_cond_wait(&r->room, &r->lock);
        r->waiting--;
    }
    if (r->taken == r->count)
        pthread_cond_broadcast(&r->woken);
    pthread_mutex_unlock(&r->lock);
    return count;
}

static void *run_reader(void *arg)
{
    struct reader *self = arg;
    struct reading *r = self->r;
    size_t first = 0, count;

    while ((count = take_jobs(self, &first)) != 0) {
        for (size_t i = 0; i < count; i++)
            read_job(self, &r->slots[(first + i) % SLOTS]);
        pthread_mutex_lock(&r->lock);
        for (size_t i = 0; i < count; i++)
            r->slots[(first + i) % SLOTS].done = true;
        if (first == r->handed)
            pthread_cond_signal(&r->ready);
        pthread_mutex_unlock(&r->lock);
    }
    free(self);
    return NULL;
}

static enum error_kind start_reader(struct reading *r, struct error *err)
{
    unsigned n = r->thread_count;
    void *memory = NULL;
    struct reader *self;
    enum error_kind rc = walk_attributes_new(&r->attributes[n], err);

    if (!rc)
        rc = memory_zeroed(1, sizeof *self, &memory, err);
    if (rc)
        return rc;
    self = memory;
    self->r = r;
    self->number = n;
    self->attributes = r->attributes[n];
    rc = thread_start(&r->threads[n], run_reader, self, err);
    if (rc)
        free(self);
    else
        r->thread_count++;
    return rc;
}

enum error_kind reading_begin(int rootfd, const struct read_job *jobs, size_t count,
                              const struct reading_options *options, struct reading **out, struct error *err)
{
    unsigned threads = options->threads > THREADS_MAX ? THREADS_MAX : options->threads;
    void *memory = NULL;
    struct reading *r;
    enum error_kind rc = memory_zeroed(1, sizeof *r, &memory, err);

    if (rc)
        return rc;
    r = memory;
    r->rootfd = rootfd;
    r->jobs = jobs;
    r->count = count;
    r->threads_wanted = threads ? threads : 1;
    r->processors = (unsigned)thread_processors();
    r->options = options;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->room, NULL);
    pthread_cond_init(&r->ready, NULL);
    pthread_cond_init(&r->woken, NULL);
    for (size_t i = 0; i < SLOTS; i++)
        r->slots[i].result.encoded = (struct buffer)BUFFER_INIT(16 << 20);
    memory = NULL;
    rc = memory_large(RING_SIZE, &memory, err);
    r->ring = memory;
    for (unsigned i = 0; !rc && i < r->threads_wanted && i < count; i++)
        rc = start_reader(r, err);
    if (rc && r->thread_count) { /* fewer readers do as well */
        error_clear(err);
        rc = OK;
    }
    if (rc) {
        reading_end(r);
        return rc;
    }
    *out = r;
    return OK;
}

/* Readers are woken when there is work for all of them: one wake-up a file would cost more than reading it. */
static bool worth_waking(const struct reading *r)
{
    return r->waiting && r->used <= RING_SIZE / 4 * 3 && r->taken - r->handed <= SLOTS / 4 * 3;
}

/* The caller is done with the result before. With the lock held. */
static void give_back(struct reading *r)
{
    struct slot *slot = &r->slots[(r->handed - 1) % SLOTS];

    r->used -= slot->reserved;
    free(slot->result.error);
    slot->result.error = NULL;
    if (slot->result.encoded.cap > 64 * 1024)
        buffer_release(&slot->result.encoded);
    r->borrowed = false;
    if (worth_waking(r))
        pthread_cond_broadcast(&r->room);
}

enum error_kind reading_next(struct reading *r, const struct read_result **out, struct error *err)
{
    struct slot *slot;

    *out = NULL;
    pthread_mutex_lock(&r->lock);
    if (r->borrowed)
        give_back(r);
    slot = &r->slots[r->handed % SLOTS];
    if (r->handed < r->count) {
        while (r->taken <= r->handed || !slot->done)
            pthread_cond_wait(&r->ready, &r->lock);
        r->handed++;
        r->borrowed = true;
        *out = &slot->result;
    }
    pthread_mutex_unlock(&r->lock);
    if (*out && (*out)->outcome == READ_FAILED && !(*out)->error)
        return error_set(err, ERR_MEMORY, 0, "no memory to read files");
    return OK;
}

void reading_end(struct reading *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->stop = true;
    pthread_cond_broadcast(&r->room);
    pthread_cond_broadcast(&r->woken);
    pthread_mutex_unlock(&r->lock);
    for (unsigned i = 0; i < r->thread_count; i++)
        pthread_join(r->threads[i], NULL);
    for (unsigned i = 0; i < THREADS_MAX; i++)
        walk_attributes_free(r->attributes[i]);
    for (size_t i = 0; i < SLOTS; i++) {
        buffer_release(&r->slots[i].result.encoded);
        free(r->slots[i].result.error);
    }
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->room);
    pthread_cond_destroy(&r->ready);
    pthread_cond_destroy(&r->woken);
    free(r->ring);
    free(r);
}
