#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "left_out_internal.h"
#include "snapshot_internal.h"
#include "thread.h"

void root_release(struct root_taking *r)
{
    window_free(r->window);
    streaming_free(r->streaming);
    stat_cache_close(r->cache);
    stat_cache_discard(r->new_cache);
    spill_free(r->spill);
    walk_close(r->walk);
    memset(r, 0, sizeof *r);
}

/* What the stat cache, or whoever knows this tree better, remembers of an entry; NULL: nothing. */
static enum error_kind remembered(struct root_taking *r, const struct walk_item *item, const void **encoded,
                                  size_t *len, struct error *err)
{
    const struct snapshot_options *o = r->t->options;
    struct stat_key key;
    enum error_kind rc = OK;

    *encoded = NULL;
    if (o->entry && S_ISREG(item->st.st_mode) && r->number == 0)
        rc = o->entry(o->entry_arg, item->path, &item->st, encoded, len, err);
    if (rc || *encoded || !r->cache)
        return rc;
    stat_key_of(&item->st, &key);
    return stat_cache_get(r->cache, item->path, &key, encoded, len, err);
}

/*
 * Attributes of what need not be opened. *got false when there are none to be had, or more than an entry can hold, which has been said
 * then (T1): one entry is no reason to have no snapshot.
 */
static enum error_kind look(struct root_taking *r, const struct walk_item *item, struct buffer *out, bool *got,
                            struct error *err)
{
    struct tree_entry entry;
    struct error fault = ERROR_INIT;

    *got = false;
    if (walk_attributes_read(r->t->attributes, item, &entry, &fault) || tree_entry_encode(&entry, out, &fault))
        return fault.kind == ERR_NOT_FOUND ? say_gone(r->t, item->path, err)
                                           : say_unread(r->t, item->path, &fault, err);
    *got = true;
    return OK;
}

static bool is_catalogue(const struct taking *t, const struct walk_item *item)
{
    return t->catalog_st.st_ino == item->st.st_ino && t->catalog_st.st_dev == item->st.st_dev;
}

static enum error_kind enter(struct root_taking *r, const struct walk_item *item, struct error *err)
{
    struct buffer fresh = BUFFER_INIT(16 << 20);
    const void *encoded = NULL;
    size_t len = 0;
    bool got = true;
    enum error_kind rc = remembered(r, item, &encoded, &len, err);

    if (!rc && !encoded) {
        r->all_known = false;
        rc = look(r, item, &fresh, &got, err);
        encoded = fresh.data;
        len = fresh.len;
    }
    if (!rc && (!got || is_catalogue(r->t, item)))
        walk_prune(r->walk);
    if (!rc && got && is_catalogue(r->t, item))
        rc = left_out_add_path(&r->t->result->record, item->path, "the catalogue itself", 0, 0, err);
    r->drop_leave = !got;
    if (!rc && got)
        rc = window_enter(r->window, item, encoded, len, true, err);
    buffer_release(&fresh);
    return rc;
}

static enum error_kind leave(struct root_taking *r, struct error *err)
{
    if (r->drop_leave) {
        r->drop_leave = false;
        return OK;
    }
    return window_leave(r->window, err);
}

static enum error_kind entry(struct root_taking *r, const struct walk_item *item, struct error *err)
{
    struct buffer fresh = BUFFER_INIT(16 << 20);
    const void *encoded = NULL;
    size_t len = 0;
    bool got = true;
    enum error_kind rc;

    if (S_ISSOCK(item->st.st_mode))
        return say_socket(r->t, item->path, err);
    rc = remembered(r, item, &encoded, &len, err);
    if (!rc && encoded)
        return window_known(r->window, item, encoded, len, true, err);
    r->all_known = false;
    if (!rc && S_ISREG(item->st.st_mode))
        return window_file(r->window, item, err);
    if (!rc)
        rc = look(r, item, &fresh, &got, err);
    if (!rc && got)
        rc = window_known(r->window, item, fresh.data, fresh.len, true, err);
    buffer_release(&fresh);
    return rc;
}

static enum error_kind unreadable(struct root_taking *r, const struct walk_item *item, struct error *err)
{
    r->all_known = false;
    if (item->error.kind == ERR_NOT_FOUND)
        return say_gone(r->t, item->path, err);
    return say_unread(r->t, *item->path ? item->path : ".", &item->error, err);
}

static enum error_kind handle(struct root_taking *r, const struct walk_item *item, struct error *err)
{
    switch (item->event) {
    case WALK_ENTRY:
        return entry(r, item, err);
    case WALK_ENTER:
        return enter(r, item, err);
    case WALK_LEAVE:
        return leave(r, err);
    case WALK_SKIPPED:
        pictures_left_out(r->t, item);
        return left_out_add(&r->t->result->record, item, err);
    case WALK_UNREADABLE:
        return unreadable(r, item, err);
    case WALK_END:
        break;
    }
    return OK;
}

static enum error_kind prepare(struct root_taking *r, const char *path, const struct site *site, const char *site_id,
                               struct error *err)
{
    enum error_kind rc = walk_open(path, site, &r->walk, err);

    r->started_ns = clock_now();
    r->all_known = true;
    if (!rc)
        rc = spill_new(r->t->scratch, &r->spill, err);
    if (!rc && !r->t->options->no_stat_cache)
        rc = stat_cache_open(r->t->cat, site_id, r->name, &r->cache, err);
    if (!rc)
        rc = window_new(r, &r->window, err);
    return rc;
}

static enum error_kind tick(void *arg, size_t bytes, struct error *err)
{
    return say_bytes(arg, bytes, err);
}

enum error_kind root_take(struct root_taking *r, const char *path, const struct site *site, struct error *err)
{
    struct walk_item item;
    enum error_kind rc = prepare(r, path, site, r->t->result->record.site_id, err);

    if (!rc)
        rc = streaming_new(r->t->store, r->spill, r->t->attributes, tick, r->t, &r->streaming, err);
    do {
        if (!rc)
            rc = cancel_check(err);
        if (!rc)
            rc = walk_next(r->walk, &item, err);
        if (!rc)
            rc = handle(r, &item, err);
    } while (!rc && item.event != WALK_END);
    if (!rc)
        rc = window_finish(r->window, err);
    hard_links_forget(r->t->links);
    /* What only the walk needed goes; the spill stays for the trees and the stat cache. */
    window_free(r->window);
    r->window = NULL;
    streaming_free(r->streaming);
    r->streaming = NULL;
    stat_cache_close(r->cache);
    r->cache = NULL;
    walk_close(r->walk);
    r->walk = NULL;
    return rc;
}
