/*
 * The stat cache after a transaction. A link, and its end, move the ctime of the live tree's files, and what was written is not known yet: left alone,
 * the next snapshot would read every file and the next rollback could link none.
 *
 *   N1  a file is remembered only by a chain without a gap: it was proved to be the snapshot's entry when it was linked or read back, and has had
 *       the same stat ever since, but for the ctime and the number of names that our own link and unlink gave it
 *   N2  what was written was ours alone until the exchange (0700), and its record is of before that
 *   N3  the end of a name counts only where the file was what the link's record says right before, and right after differs by that alone
 *   N4  the walk that records begins 2 s after the last name went, because the cache believes no younger ctime, and finds each file as it was left
 *   N5  attributes are read by that walk, under a stat that is the same before and after; only content is the snapshot's word
 *   N6  nothing here stops a transaction: what can't be remembered is read by the next snapshot
 *
 * What is accepted: a file that is rewritten in place, with its size kept and its mtime put back, in the very tick of the clock in which we link it
 * or unlink its other name looks as if it had been left alone. At any other moment its ctime tells.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "stat_cache.h"
#include "thread.h"
#include "transaction_internal.h"
#include "walk.h"

#define TICK_NS 20000000ll    /* the kernel's clock for files goes in steps */
#define RENEW_LINKED_MIN 5000 /* files: fewer are walked in less time than it takes them to age */
#define WAIT_MAX_MS 3000      /* should the clock be set back meanwhile */

enum error_kind renewal_written_begin(const struct txn *t, const char *root_name, struct linked_writer **out,
                                      struct error *err)
{
    char *path = NULL;
    enum error_kind rc = memory_format(&path, err, "%s/written-%s", t->stage, root_name);

    if (!rc)
        rc = linked_begin(path, out, err);
    free(path);
    return rc;
}

/* ---- names that go ---- */

void renewal_unlink_begin(const struct place *p, struct linked_writer **out)
{
    struct error ignored = ERROR_INIT;
    char *path = NULL;

    *out = NULL;
    if (place_path(p, RENEWAL_UNLINKED, &path, &ignored) == OK)
        (void)linked_begin(path, out, &ignored);
    free(path);
}

void renewal_unlink_end(struct linked_writer *noted)
{
    struct error ignored = ERROR_INIT;

    if (noted)
        (void)linked_commit(noted, &ignored);
}

/* N3 */
static bool lost_a_name_only(const struct stat *before, const struct stat *after)
{
    return before->st_nlink == after->st_nlink + 1 && before->st_size == after->st_size &&
           before->st_mode == after->st_mode && before->st_uid == after->st_uid && before->st_gid == after->st_gid &&
           before->st_mtim.tv_sec == after->st_mtim.tv_sec && before->st_mtim.tv_nsec == after->st_mtim.tv_nsec;
}

enum error_kind renewal_unlink(const struct linked *linked, const struct walk_item *item, struct linked_writer **noted,
                               struct error *err)
{
    struct error ignored = ERROR_INIT;
    struct stat before;
    struct stat after;
    bool same = false;
    int fd = -1;
    enum error_kind rc;

    /* By its inode, which goes on under the name that the live tree has for it. */
    if (*noted && linked_find(linked, item->path, &item->st) == LINKED_SAME &&
        file_open(item->dirfd, item->name, O_PATH | O_NOFOLLOW, 0, &fd, &ignored) == OK)
        same = fstat(fd, &before) == 0 && linked_find(linked, item->path, &before) == LINKED_SAME;
    rc = file_unlink(item->dirfd, item->name, err);
    if (!rc && same && fstat(fd, &after) == 0 && lost_a_name_only(&before, &after) &&
        linked_add(*noted, item->path, &after, &ignored) != OK) {
        linked_discard(*noted); /* N6 */
        *noted = NULL;
    }
    file_close(&fd);
    return rc;
}

enum error_kind renewal_unlink_tree(const struct linked *linked, const char *tree, struct linked_writer **noted,
                                    struct error *err)
{
    struct walk *walk = NULL;
    struct walk_item item;
    uint64_t root_mount = 0;
    enum error_kind rc = file_mount_id(AT_FDCWD, tree, &root_mount, err);

    if (!rc)
        rc = walk_open(tree, NULL, &walk, err);
    while (!rc) {
        rc = walk_next(walk, &item, err);
        if (rc || item.event == WALK_END)
            break;
        if (item.event == WALK_ENTER && item.mount_id != root_mount)
            walk_prune(walk);
        else if (item.event == WALK_ENTRY && linked_find(linked, item.path, &item.st) == LINKED_SAME)
            rc = renewal_unlink(linked, &item, noted, err);
    }
    walk_close(walk);
    return rc;
}

/* ---- the new cache ---- */

struct renewing {
    const struct snapshot_record *target;
    const struct linked *written, *unlinked; /* NULL: none */
    struct entry_steps *steps;
    struct walk_attributes *attributes;
    struct stat_cache_reader *old; /* NULL: none */
    struct stat_cache_writer *fresh;
    struct buffer encoded;
};

static bool is_unchanged(const struct walk_item *item, const struct stat_key *key)
{
    struct stat_key now;
    struct stat st;

    if (fstatat(item->dirfd, item->name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    stat_key_of(&st, &now);
    return stat_key_equal(&now, key);
}

/* The snapshot's content with the attributes of today (N5): a restore may not have been allowed to set them all. *found false: nothing to believe. */
static enum error_kind entry_of_proved(struct renewing *n, const struct walk_item *item, const struct stat_key *key,
                                       bool *found, struct error *err)
{
    const struct tree_entry *was = NULL;
    struct error fault = ERROR_INIT;
    struct tree_entry e;
    enum error_kind rc = entry_steps_get(n->steps, item->path, &was, err);

    if (rc || !was || was->type != TREE_FILE || was->size != key->size ||
        walk_attributes_read(n->attributes, item, &e, &fault) != OK || !is_unchanged(item, key))
        return rc;
    e.holes = was->holes;
    e.hole_count = was->hole_count;
    e.chunks = was->chunks;
    e.chunk_count = was->chunk_count;
    e.has_list = was->has_list;
    e.list = was->list;
    buffer_clear(&n->encoded);
    *found = tree_entry_encode(&e, &n->encoded, &fault) == OK;
    return OK;
}

static enum error_kind remember(struct renewing *n, const struct walk_item *item, struct error *err)
{
    struct stat_key key;
    const void *encoded = NULL;
    size_t len = 0;
    bool found = false;
    enum error_kind rc = OK;

    stat_key_of(&item->st, &key);
    if (S_ISREG(item->st.st_mode) && (linked_find(n->unlinked, item->path, &item->st) == LINKED_SAME ||
                                      linked_find(n->written, item->path, &item->st) == LINKED_SAME))
        rc = entry_of_proved(n, item, &key, &found, err);
    if (!rc && found)
        return stat_cache_add(n->fresh, item->path, &key, n->encoded.data, n->encoded.len, err);
    if (!rc && n->old) /* nobody touched it */
        rc = stat_cache_get(n->old, item->path, &key, &encoded, &len, err);
    if (!rc && encoded)
        rc = stat_cache_add(n->fresh, item->path, &key, encoded, len, err);
    return rc;
}

static enum error_kind walk_live(struct renewing *n, const struct site *rules, const char *live, struct error *err)
{
    struct walk *walk = NULL;
    struct walk_item item;
    enum error_kind rc = walk_open(live, rules, &walk, err);

    while (!rc) {
        rc = cancel_check(err);
        if (!rc)
            rc = walk_next(walk, &item, err);
        if (rc || item.event == WALK_END)
            break;
        if (item.event == WALK_ENTRY || item.event == WALK_ENTER)
            rc = remember(n, &item, err);
    }
    walk_close(walk);
    return rc;
}

static enum error_kind renew_root(struct catalog *cat, struct renewing *n, const char *root_name,
                                  const struct site *rules, const char *live, const char *site_id, struct error *err)
{
    enum error_kind rc = entry_steps_open(cat, n->target, root_name, &n->steps, err);

    n->encoded = (struct buffer)BUFFER_INIT(16u << 20);
    if (!rc)
        rc = walk_attributes_new(&n->attributes, err);
    if (!rc)
        rc = stat_cache_open(cat, site_id, root_name, &n->old, err);
    if (!rc)
        rc = stat_cache_begin(cat, site_id, root_name, clock_now(), &n->fresh, err);
    if (!rc)
        rc = walk_live(n, rules, live, err);
    if (!rc) {
        rc = stat_cache_commit(n->fresh, err);
        n->fresh = NULL;
    }
    stat_cache_discard(n->fresh);
    stat_cache_close(n->old);
    walk_attributes_free(n->attributes);
    entry_steps_close(n->steps);
    buffer_release(&n->encoded);
    return rc;
}

/* ---- the whole of it ---- */

/* N4: to the one rule of the cache there is no exception. */
static enum error_kind let_it_age(const struct linked *unlinked, struct error *err)
{
    int64_t until = linked_newest_ns(unlinked) + STAT_CACHE_YOUNG_NS + TICK_NS;
    int64_t deadline = clock_monotonic_ms() + WAIT_MAX_MS;
    enum error_kind rc = OK;

    while (!rc && clock_now() < until && clock_monotonic_ms() < deadline) {
        nanosleep(&(struct timespec){0, 50000000}, NULL);
        rc = cancel_check(err);
    }
    return rc;
}

static enum error_kind open_written(const struct txn *t, const char *root_name, struct linked **out, struct error *err)
{
    char *path = NULL;
    enum error_kind rc = memory_format(&path, err, "%s/written-%s", t->stage, root_name);

    if (!rc)
        rc = linked_open(path, out, err);
    free(path);
    return rc;
}

static enum error_kind renew(struct catalog *cat, const struct site *site, const struct place *p, const struct txn *t,
                             const struct snapshot_record *target, struct error *err)
{
    const struct area *outside = area_outside(t);
    struct linked *unlinked = NULL;
    char *path = NULL;
    char site_id[17];
    enum error_kind rc = catalog_site_id(cat, t->site_path, site_id, err);

    if (!rc)
        rc = place_path(p, RENEWAL_UNLINKED, &path, err);
    if (!rc)
        rc = linked_open(path, &unlinked, err);
    if (!rc)
        rc = let_it_age(unlinked, err);
    for (int i = 0; i < (outside ? 2 : 1) && !rc; i++) {
        const char *root_name = i ? outside->root_name : "site";
        struct renewing n = {.target = target, .unlinked = i ? NULL : unlinked};
        struct linked *written = NULL;

        rc = open_written(t, root_name, &written, err);
        n.written = written;
        if (!rc && (n.written || n.unlinked))
            rc = renew_root(cat, &n, root_name, i ? NULL : site, i ? outside->live : t->site_path, site_id, err);
        linked_close(written);
    }
    linked_close(unlinked);
    if (path)
        (void)file_unlink(AT_FDCWD, path, &(struct error)ERROR_INIT);
    free(path);
    return rc;
}

/* N1 holds of what is linked as it does of what was: the record is of right after the link. */
bool renewal_linked(struct catalog *cat, const struct site *site, const struct txn *t,
                    const struct snapshot_record *target, const struct linked *linked, const struct progress *progress)
{
    struct renewing n = {.target = target, .unlinked = linked};
    struct error why = ERROR_INIT;
    char site_id[17];
    enum error_kind rc;

    if (!cat || linked_count(linked) < RENEW_LINKED_MIN)
        return false;
    progress_step(progress, "remembering what the files look like now");
    rc = catalog_site_id(cat, t->site_path, site_id, &why);
    if (!rc)
        rc = let_it_age(linked, &why);
    if (!rc)
        rc = renew_root(cat, &n, "site", site, t->site_path, site_id, &why);
    if (rc)
        progress_note(progress, "the shop will be closed a little longer: %s", why.text);
    return !rc;
}

void renewal_run(struct catalog *cat, const struct site *site, const struct place *p, const struct txn *t,
                 const struct progress *progress)
{
    struct snapshot_record target = SNAPSHOT_RECORD_INIT;
    struct error why = ERROR_INIT;
    enum error_kind rc;

    if (!cat || !t->has_files || !t->stage || !t->target)
        return;
    progress_step(progress, "remembering what the files look like now");
    rc = snapshot_find(cat, NULL, t->target, &target, &why);
    if (!rc)
        rc = renew(cat, site, p, t, &target, &why);
    snapshot_record_release(&target);
    if (rc && rc != ERR_NOT_FOUND)
        progress_note(progress, "the next snapshot will read every file again: %s", why.text);
}
