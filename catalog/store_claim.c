#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

/*
 * How ids are decided and packs get in place.
 *
 *   state of an id     its row in the index                        what it means to others
 *   CLAIM_NONE         none                                        nothing
 *   CLAIM_EARLY        pack 0                                      taken: next attempt (C3)
 *   CLAIM_PLACED       place in an announced pack                  taken: next attempt (C3)
 *   (pack in place)    the same                                    may be compared and used
 *
 * A claim never compares: whoever has the (hash, attempt) has it, and the next attempt is tried. That another writer may by now have the
 * same content under the attempt that was lost costs a second copy, never a wrong id.
 */

void unclaimed_add(struct store *s, struct entry *e)
{
    e->older = s->newest_unclaimed;
    e->newer = NULL;
    *(e->older ? &e->older->newer : &s->oldest_unclaimed) = e;
    s->newest_unclaimed = e;
}

void unclaimed_remove(struct store *s, struct entry *e)
{
    *(e->newer ? &e->newer->older : &s->newest_unclaimed) = e->older;
    *(e->older ? &e->older->newer : &s->oldest_unclaimed) = e->newer;
}

void store_pack_free(struct store_pack *p)
{
    if (!p)
        return;
    while (p->first) {
        struct store_frame *next = p->first->next;

        frame_free(p->first);
        p->first = next;
    }
    pack_draft_free(p->draft);
    free(p);
}

/* Every entry of a pack in the order of (frame, offset). */
typedef enum error_kind entry_fn(struct store *s, struct store_pack *p, struct entry *e, struct error *err);

static enum error_kind entry_each(struct store *s, struct store_pack *p, entry_fn *fn, struct error *err)
{
    enum error_kind rc = OK;

    for (struct store_frame *f = p->first; f; f = f->next) {
        for (struct entry_block *b = f->first_block; b; b = b->next) {
            for (unsigned i = 0; !rc && i < b->used; i++)
                rc = fn(s, p, &b->entries[i], err);
        }
    }
    return rc;
}

static struct chunk_row row_of(const struct store *s, const struct entry *e, uint64_t pack)
{
    struct chunk_row row = {
        .row = e->row,
        .id.attempt = e->attempt,
        .pack = pack,
        .frame = pack ? e->frame->number : 0,
        .offset = pack ? e->offset : 0,
        .len = e->len,
        .type = (enum chunk_type)e->type,
        .second = e->second,
        .generation = s->cat->generation,
    };

    memcpy(row.id.hash, e->first.bytes, HASH_LEN);
    return row;
}

/* Take the first attempt that is free, from the one that was free when the index was searched. */
static enum error_kind claim(struct store *s, struct entry *e, uint64_t pack, struct error *err)
{
    struct chunk_row row = row_of(s, e, pack);
    enum error_kind rc;
    bool added = false;

    for (;;) {
        rc = index_chunk_add(s->index, &row, &added, err);
        if (rc || added)
            break;
        row.id.attempt++;
    }
    if (!rc) {
        e->attempt = row.id.attempt;
        e->row = row.row;
    }
    return rc;
}

/* The transaction that decided it is committed: say so. With s->lock and s->index_lock held. */
static enum error_kind claimed(struct store *s, struct entry *e, enum claim_state how, struct error *err)
{
    struct chunk_id id = {.attempt = e->attempt};
    enum error_kind rc = OK;

    memcpy(id.hash, e->first.bytes, HASH_LEN);
    if (e->claim == CLAIM_NONE) {
        unclaimed_remove(s, e);
        rc = ticket_set_id(s, e->ticket, &id, err);
    }
    if (e->claim != CLAIM_REPAIR)
        e->claim = (uint8_t)how;
    return rc;
}

enum error_kind store_claim(struct store *s, struct error *err)
{
    struct error ignored = ERROR_INIT;
    enum error_kind rc, full;

    dedup_rest(s);
    rc = store_check(s, err);
    if (rc)
        return rc;
    pthread_mutex_lock(&s->index_lock);
    /* Only this thread adds to the list, and only a holder of index_lock removes: it stands still. */
    if (!s->oldest_unclaimed)
        goto done;
    /*
     * No sync of its own: a claim that a power cut takes back is one of a process that is gone too, and a pack gets in place only after a
     * transaction that is synced, and these with it.
     */
    rc = index_sync_commits(s->index, false, err);
    if (!rc)
        rc = index_begin(s->index, err);
    for (struct entry *e = s->oldest_unclaimed; !rc && e; e = e->newer)
        rc = claim(s, e, 0, err);
    if (!rc)
        rc = index_commit(s->index, err);
    if (rc)
        goto done;
    pthread_mutex_lock(&s->lock);
    while (!rc && s->oldest_unclaimed)
        rc = claimed(s, s->oldest_unclaimed, CLAIM_EARLY, err);
    pthread_mutex_unlock(&s->lock);

done:
    index_rollback(s->index);
    full = index_sync_commits(s->index, true, rc ? &ignored : err);
    rc = rc ? rc : full;
    pthread_mutex_unlock(&s->index_lock);
    if (rc)
        store_break(s, err);
    return rc;
}

/* closing a pack */

static enum error_kind place_entry(struct store *s, struct store_pack *p, struct entry *e, struct error *err)
{
    struct chunk_row row;

    switch ((enum claim_state)e->claim) {
    case CLAIM_NONE:
        return claim(s, e, p->row.number, err);
    case CLAIM_EARLY:
        row = row_of(s, e, p->row.number);
        return index_chunk_update(s->index, &row, err);
    case CLAIM_PLACED:
    case CLAIM_REPAIR:
        break;
    }
    return OK;
}

static enum error_kind entry_placed(struct store *s, struct store_pack *p, struct entry *e, struct error *err)
{
    (void)p;
    return claimed(s, e, CLAIM_PLACED, err);
}

/* The short transaction of P5, which also announces the pack's name (C1). */
static enum error_kind pack_claim(struct store *s, struct store_pack *p, struct error *err)
{
    enum error_kind rc;

    p->row = (struct pack_row){
        .state = PACK_ANNOUNCED,
        .kind = s->kind,
        .frames = pack_draft_frames(p->draft),
        .chunks = p->entries,
        .generation = s->cat->generation,
        .made_ns = pack_draft_made(p->draft),
    };
    memcpy(p->row.name, pack_draft_name(p->draft), PACK_NAME_LEN);
    pthread_mutex_lock(&s->index_lock);
    rc = index_begin(s->index, err);
    if (!rc)
        rc = index_pack_add(s->index, &p->row, err);
    if (!rc)
        rc = entry_each(s, p, place_entry, err);
    if (!rc)
        rc = index_commit(s->index, err);
    if (rc)
        goto done;
    p->announced = true;
    pthread_mutex_lock(&s->lock);
    rc = entry_each(s, p, entry_placed, err);
    pthread_mutex_unlock(&s->lock);

done:
    index_rollback(s->index);
    pthread_mutex_unlock(&s->index_lock);
    return rc;
}

static enum error_kind write_entry(struct store *s, struct store_pack *p, struct entry *e, struct error *err)
{
    struct footer_chunk c = {
        .id.attempt = e->attempt,
        .type = (enum chunk_type)e->type,
        .frame = e->frame->number,
        .offset = e->offset,
        .len = e->len,
        .second = e->second,
    };

    (void)s;
    memcpy(c.id.hash, e->first.bytes, HASH_LEN);
    return pack_draft_chunk(p->draft, &c, err);
}

/*
 * The good copy takes the damaged one's place, unless another writer's has done so meanwhile. That the row looks sound is no sign of it
 * while it leads to the copy that we found damaged: our note of that may not have got past another writer's transaction.
 */
static enum error_kind settle_repair(struct store *s, struct store_pack *p, struct entry *e, struct error *err)
{
    struct chunk_row wanted = row_of(s, e, p->row.number);
    struct chunk_row row;
    enum error_kind rc;
    bool found = false;

    if (e->claim != CLAIM_REPAIR)
        return OK;
    rc = index_chunk_find(s->index, &wanted.id, &row, &found, err);
    if (rc)
        return rc;
    if (!found || row.len != wanted.len || memcmp(&row.second, &wanted.second, sizeof(row.second)) != 0)
        return index_row_damaged("chunks", err);
    if (row.row != e->row || (chunk_row_stands(&row) && row.pack != e->damaged_pack))
        return OK;
    wanted.row = row.row;
    wanted.generation = row.generation;
    rc = index_chunk_update(s->index, &wanted, err);
    if (!rc) {
        pthread_mutex_lock(&s->lock);
        s->stats.repaired++;
        pthread_mutex_unlock(&s->lock);
    }
    return rc;
}

/* Damage that nothing leads to any more. */
static enum error_kind clear_repaired(struct store *s, struct error *err)
{
    return index_run(s->index,
                     "DELETE FROM damage WHERE NOT EXISTS (SELECT 1 FROM chunks c WHERE c.pack = damage.pack"
                     " AND (damage.frame = -1 OR c.frame = damage.frame))",
                     err);
}

static enum error_kind pack_settle(struct store *s, struct store_pack *p, struct error *err)
{
    struct pack_row row = p->row;
    uint64_t repaired;
    enum error_kind rc;

    row.state = PACK_IN_PLACE;
    row.size = pack_draft_size(p->draft);
    pthread_mutex_lock(&s->index_lock);
    pthread_mutex_lock(&s->lock);
    repaired = s->stats.repaired;
    pthread_mutex_unlock(&s->lock);
    rc = index_begin(s->index, err);
    if (!rc)
        rc = index_pack_update(s->index, &row, err);
    if (!rc)
        rc = entry_each(s, p, settle_repair, err);
    if (!rc && s->stats.repaired != repaired)
        rc = clear_repaired(s, err);
    if (!rc)
        rc = index_commit(s->index, err);
    index_rollback(s->index);
    pthread_mutex_unlock(&s->index_lock);
    if (!rc)
        p->row = row;
    return rc;
}

static enum error_kind forget_entry(struct store *s, struct store_pack *p, struct entry *e, struct error *err)
{
    (void)p;
    (void)err;
    map_remove(s, e);
    return OK;
}

static bool any_frame_pinned(const struct store_pack *p)
{
    for (const struct store_frame *f = p->first; f; f = f->next)
        if (f->pins > 0)
            return true;
    return false;
}

/*
 * The index answers for the pack's content from now on. Counted before the lock is let go: a search that misses the entries must take a
 * view of the index that knows the pack (lookup_view()). Then nobody may be on an entry of any frame: whoever has pinned one goes on from
 * there to the next in its bucket, perhaps in another frame, which the wait for that one alone would not cover.
 */
static void pack_retire(struct store *s, struct store_pack *p)
{
    struct error ignored = ERROR_INIT;

    pthread_mutex_lock(&s->lock);
    s->stats.packs++;
    s->stats.bytes_stored += p->row.size;
    (void)entry_each(s, p, forget_entry, &ignored); /* never fails */
    while (any_frame_pinned(p))
        pthread_cond_wait(&s->changed, &s->lock);
    for (struct store_frame *f = p->first; f; f = f->next)
        frame_cache_forget(s, f);
    pthread_mutex_unlock(&s->lock);
    store_pack_free(p);
}

static enum error_kind pack_close_whole(struct store *s, struct store_pack *p, struct error *err)
{
    enum error_kind rc;

    rc = store_check(s, err);
    if (!rc && store_abandoned(s))
        rc = error_set(err, ERR_CANCELLED, 0, "the store was given up");
    if (!rc)
        rc = pack_claim(s, p, err);
    if (!rc)
        rc = entry_each(s, p, write_entry, err);
    if (!rc)
        rc = pack_draft_seal(p->draft, err);
    if (!rc)
        rc = pack_draft_publish(p->draft, err);
    if (!rc)
        rc = pack_settle(s, p, err);
    return rc;
}

void *store_finisher(void *arg)
{
    struct store *s = arg;
    struct error err = ERROR_INIT;
    void *item;

    while (queue_pop(s->full, &item)) {
        struct store_pack *p = item;

        error_clear(&err);
        if (pack_close_whole(s, p, &err)) {
            store_break(s, &err);
            pthread_mutex_lock(&s->lock);
            p->next = s->lost_packs;
            s->lost_packs = p;
            pthread_mutex_unlock(&s->lock);
        } else {
            pack_retire(s, p);
        }
        pthread_mutex_lock(&s->lock);
        s->packs_ahead--;
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->lock);
    }
    return NULL;
}

/* giving up */

static bool withdrawable(const struct entry *e)
{
    if (e->claim == CLAIM_EARLY)
        return true;
    return e->claim == CLAIM_PLACED && !pack_draft_published(e->frame->pack->draft);
}

static enum error_kind withdraw_rows(struct store *s, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; i < MAP_BUCKETS; i++) {
        for (struct entry *e = s->map[i]; !rc && e; e = e->next) {
            if (withdrawable(e))
                rc = index_chunk_remove(s->index, e->row, err);
        }
    }
    for (struct store_pack *p = s->lost_packs; !rc && p; p = p->next) {
        if (p->announced && !pack_draft_published(p->draft))
            rc = index_pack_remove(s->index, p->row.number, err);
    }
    return rc;
}

static bool anything_claimed(const struct store *s)
{
    for (size_t i = 0; i < MAP_BUCKETS; i++) {
        for (const struct entry *e = s->map[i]; e; e = e->next) {
            if (withdrawable(e))
                return true;
        }
    }
    return false;
}

void claim_withdraw(struct store *s)
{
    struct error ignored = ERROR_INIT;

    if (!s->index || !anything_claimed(s))
        return;
    if (!index_begin(s->index, &ignored) && !withdraw_rows(s, &ignored))
        (void)index_commit(s->index, &ignored);
    index_rollback(s->index);
}
