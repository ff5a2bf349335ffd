#include "store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

/* A ticket's record: an id, then what the record is. */
#define TICKET_LEN (CHUNK_ID_LEN + 4)
enum ticket_state { TICKET_UNDECIDED, TICKET_ID, TICKET_ALIAS };

void store_break(struct store *s, const struct error *why)
{
    pthread_mutex_lock(&s->lock);
    if (!s->broken) {
        s->failure = *why;
        s->broken = true;
    }
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

enum error_kind store_check(struct store *s, struct error *err)
{
    enum error_kind rc = OK;

    pthread_mutex_lock(&s->lock);
    if (s->broken) {
        *err = s->failure;
        rc = s->failure.kind;
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

bool store_abandoned(struct store *s)
{
    bool abandoned;

    pthread_mutex_lock(&s->lock);
    abandoned = s->abandoned;
    pthread_mutex_unlock(&s->lock);
    return abandoned;
}

/* tickets */

enum error_kind ticket_set_id(struct store *s, store_ticket ticket, const struct chunk_id *id, struct error *err)
{
    unsigned char *record;
    enum error_kind rc = paged_file_at(s->tickets, ticket, true, &record, err);

    if (rc)
        return rc;
    chunk_id_encode(id, record);
    put_u32(record + CHUNK_ID_LEN, TICKET_ID);
    return OK;
}

enum error_kind ticket_set_alias(struct store *s, store_ticket ticket, store_ticket of, struct error *err)
{
    unsigned char *record;
    enum error_kind rc = paged_file_at(s->tickets, ticket, true, &record, err);

    if (rc)
        return rc;
    put_u64(record, of);
    put_u32(record + CHUNK_ID_LEN, TICKET_ALIAS);
    return OK;
}

enum error_kind store_resolve(struct store *s, store_ticket ticket, struct chunk_id *out, struct error *err)
{
    unsigned char *record = NULL;
    enum error_kind rc;

    pthread_mutex_lock(&s->lock);
    rc = paged_file_at(s->tickets, ticket, false, &record, err);
    if (!rc && get_u32(record + CHUNK_ID_LEN) == TICKET_ALIAS)
        rc = paged_file_at(s->tickets, get_u64(record), false, &record, err);
    if (!rc && get_u32(record + CHUNK_ID_LEN) != TICKET_ID)
        rc = error_set(err, ERR_USAGE, 0, "ticket %llu is not decided yet", (unsigned long long)ticket);
    if (!rc)
        chunk_id_decode(record, out);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* begin and free */

static enum error_kind start_threads(struct store *s, unsigned workers, struct error *err)
{
    enum error_kind rc;

    rc = queue_new(SEALED_MAX, &s->sealed, err);
    if (!rc)
        rc = queue_new(1, &s->full, err);
    if (!rc)
        rc = thread_start(&s->finisher, store_finisher, s, err);
    if (rc)
        return rc;
    s->finisher_runs = true;
    while (!rc && s->worker_count < workers) {
        rc = thread_start(&s->workers[s->worker_count], store_worker, s, err);
        if (!rc)
            s->worker_count++;
    }
    return rc;
}

static enum error_kind begin(struct catalog *cat, const struct store_options *options, enum pack_kind kind,
                             struct store **out, struct error *err)
{
    int workers = options && options->workers > 0 ? options->workers : thread_processors();
    struct store *s = NULL;
    char *path = NULL;
    enum error_kind rc;

    rc = catalog_require_write(cat, err);
    if (!rc)
        rc = memory_zeroed(1, sizeof(*s), (void **)&s, err);
    if (rc)
        return rc;
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->pack_lock, NULL);
    pthread_mutex_init(&s->index_lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    s->cat = cat;
    s->kind = kind;
    s->level = options ? options->level : CODEC_LEVEL_DEFAULT;
    s->pack_size = options && options->pack_size ? options->pack_size : PACK_SIZE_DEFAULT;
    rc = paged_file_new(cat, TICKET_LEN, &s->tickets, err);
    if (!rc)
        rc = path_join(cat->path, INDEX_NAME, &path, err);
    if (!rc)
        rc = index_open(path, INDEX_WRITE, &s->index, err);
    if (!rc)
        rc = index_open(path, INDEX_WRITE, &s->lookup, err);
    if (!rc)
        rc = dedup_begin(s, err);
    if (!rc)
        rc = start_threads(s, (unsigned)(workers > WORKERS_MAX ? WORKERS_MAX : workers), err);
    free(path);
    if (rc)
        store_free(s);
    else
        *out = s;
    return rc;
}

enum error_kind store_begin(struct catalog *cat, const struct store_options *options, struct store **out,
                            struct error *err)
{
    return begin(cat, options, PACK_DATA, out, err);
}

enum error_kind store_begin_records(struct catalog *cat, struct store **out, struct error *err)
{
    const struct store_options one = {.workers = 1};

    return begin(cat, &one, PACK_RECORDS, out, err);
}

static void stop_threads(struct store *s)
{
    pthread_mutex_lock(&s->lock);
    s->abandoned = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (s->sealed)
        queue_close(s->sealed);
    for (unsigned i = 0; i < s->worker_count; i++)
        pthread_join(s->workers[i], NULL);
    if (s->full)
        queue_close(s->full);
    if (s->finisher_runs)
        pthread_join(s->finisher, NULL);
}

static void free_lost(struct store *s)
{
    for (size_t i = 0; i < OPEN_SLOTS; i++)
        frame_free(s->open[i]);
    while (s->lost_frames) {
        struct store_frame *next = s->lost_frames->next;

        frame_free(s->lost_frames);
        s->lost_frames = next;
    }
    while (s->lost_packs) {
        struct store_pack *next = s->lost_packs->next;

        store_pack_free(s->lost_packs);
        s->lost_packs = next;
    }
    store_pack_free(s->filling);
}

void store_free(struct store *s)
{
    if (!s)
        return;
    stop_threads(s);
    claim_withdraw(s);
    free_lost(s);
    queue_free(s->sealed);
    queue_free(s->full);
    index_close(s->lookup);
    free(s->fresh);
    index_close(s->index);
    paged_file_free(s->tickets);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->index_lock);
    pthread_mutex_destroy(&s->pack_lock);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

struct catalog *store_catalog(struct store *s)
{
    return s->cat;
}

void store_stats(const struct store *s, struct store_stats *out)
{
    struct store *mutable = (struct store *)s;

    pthread_mutex_lock(&mutable->lock);
    *out = s->stats;
    pthread_mutex_unlock(&mutable->lock);
}

/* put */

static enum error_kind put_known(struct store *s, const struct dedup *known, store_ticket ticket, struct error *err)
{
    enum error_kind rc;

    pthread_mutex_lock(&s->lock);
    if (known->result == DEDUP_IN_FLIGHT)
        rc = ticket_set_alias(s, ticket, known->ticket, err);
    else
        rc = ticket_set_id(s, ticket, &known->row.id, err);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

static void count_put(struct store *s, const struct dedup *known, size_t len)
{
    pthread_mutex_lock(&s->lock);
    s->stats.chunks_put++;
    s->stats.bytes_put += len;
    if (known->result == DEDUP_NEW) {
        s->stats.chunks_new++;
        s->stats.bytes_new += len;
    }
    pthread_mutex_unlock(&s->lock);
}

void chunk_digest_of(const struct catalog_format *format, enum chunk_type type, const void *bytes, size_t len,
                     struct chunk_digest *out)
{
    content_hash(format, type, bytes, len, &out->first, &out->second);
    out->dense = codec_is_dense(bytes, len);
}

static enum error_kind put(struct store *s, enum chunk_type type, uint32_t group, bool swift, const void *bytes,
                           size_t len, const struct chunk_digest *digest, store_ticket *ticket, struct error *err)
{
    struct entry wanted = {.type = (uint8_t)type,
                           .len = (uint32_t)len,
                           .ticket = s->next_ticket,
                           .first = digest->first,
                           .second = digest->second};
    struct dedup known;
    enum error_kind rc;

    if (len > CHUNK_LEN_MAX || chunk_type_is_record(type) != (s->kind == PACK_RECORDS))
        return error_set(err, ERR_USAGE, 0, "a chunk of %zu bytes and type %d does not go into this store", len, type);
    rc = store_check(s, err);
    if (rc)
        return rc;
    rc = dedup_search(s, &wanted, bytes, &known, err);
    if (rc)
        goto done;
    wanted.attempt = known.row.id.attempt;
    if (known.result == DEDUP_DAMAGED) {
        wanted.claim = CLAIM_REPAIR;
        wanted.row = known.row.row;
        wanted.damaged_pack = known.row.pack;
    }
    if (known.result != DEDUP_NEW)
        rc = put_known(s, &known, wanted.ticket, err);
    if (!rc && (known.result == DEDUP_NEW || known.result == DEDUP_DAMAGED))
        rc = frame_append(s, digest->dense ? GROUP_DENSE : group, swift, bytes, &wanted, err);
    if (rc)
        goto done;
    count_put(s, &known, len);
    *ticket = s->next_ticket++;

done:
    if (rc)
        store_break(s, err);
    return rc;
}

enum error_kind store_put_digested(struct store *s, uint32_t group, const void *bytes, size_t len,
                                   const struct chunk_digest *digest, store_ticket *ticket, struct error *err)
{
    return put(s, CHUNK_DATA, group, false, bytes, len, digest, ticket, err);
}

enum error_kind store_put(struct store *s, enum chunk_type type, uint32_t group, const void *bytes, size_t len,
                          store_ticket *ticket, struct error *err)
{
    struct chunk_digest digest;

    chunk_digest_of(&s->cat->format, type, bytes, len, &digest);
    return put(s, type, group, false, bytes, len, &digest, ticket, err);
}

enum error_kind store_put_stream(struct store *s, uint32_t group, const void *bytes, size_t len, store_ticket *ticket,
                                 struct error *err)
{
    struct chunk_digest digest;

    chunk_digest_of(&s->cat->format, CHUNK_DATA, bytes, len, &digest);
    return put(s, CHUNK_DATA, group, true, bytes, len, &digest, ticket, err);
}

enum error_kind store_flush(struct store *s, struct error *err)
{
    enum error_kind rc;

    dedup_rest(s);
    rc = store_check(s, err);
    if (!rc)
        rc = frame_seal_all(s, err);
    if (rc)
        return rc;
    pthread_mutex_lock(&s->lock);
    while (s->frames_ahead > 0 && !s->broken)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
    pthread_mutex_lock(&s->pack_lock);
    store_rotate(s);
    pthread_mutex_unlock(&s->pack_lock);
    pthread_mutex_lock(&s->lock);
    while (s->packs_ahead > 0 && !s->broken)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
    return store_check(s, err);
}
