/*
 * Kept things: the tree and the database that a transaction took away. Once the shop is back they become a snapshot,
 * and only then may they go (P3, T6).
 *
 * K1  `kept` is written before the journal ends, so that nothing that was taken away is ever without an owner
 * K2  nothing is removed before `kept` names a committed snapshot that has it and was read back whole
 * K3  every step may be repeated; `kept` itself goes last
 * K4  a snapshot that is gone since counts for nothing: what is still there is saved once more
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "maintain.h"
#include "transaction_internal.h"

void kept_release(struct kept *k)
{
    txn_release(&k->txn);
    free(k->snapshot);
    k->snapshot = NULL;
}

int64_t kept_trial_end_ns(const struct kept *k)
{
    return txn_is_upgrade(&k->txn) && k->kept_is_old && k->txn.trial_ms > 0 ? k->since_ns + k->txn.trial_ms * 1000000
                                                                            : 0;
}

bool kept_in_trial(const struct kept *k)
{
    return clock_now() < kept_trial_end_ns(k);
}

enum error_kind kept_write(const struct place *p, const struct txn *t, bool kept_is_old, const char *snapshot,
                           int64_t since_ns, struct error *err)
{
    struct json *v = NULL;
    char *path = NULL;
    enum error_kind rc = place_path(p, "kept", &path, err);

    if (!rc)
        rc = txn_encode(t, &v, err);
    if (rc)
        goto done;
    json_put_flag(v, "kept_is_old", kept_is_old);
    json_put_number(v, "since_ns", since_ns);
    if (snapshot)
        json_put_text(v, "snapshot", snapshot);
    rc = sealed_write(path, v, err);
done:
    json_free(v);
    free(path);
    return rc;
}

enum error_kind kept_read(const struct place *p, struct kept *out, struct error *err)
{
    struct json *v = NULL;
    const char *snapshot;
    char *path = NULL;
    enum error_kind rc = place_path(p, "kept", &path, err);

    if (!rc)
        rc = sealed_read(path, &v, err);
    if (!rc)
        rc = txn_decode(v, &out->txn, err);
    if (rc)
        goto done;
    out->kept_is_old = json_flag(json_get(v, "kept_is_old"), true);
    out->since_ns = json_number(json_get(v, "since_ns"), 0);
    snapshot = json_text(json_get(v, "snapshot"));
    if (snapshot)
        rc = memory_string(snapshot, &out->snapshot, err);
done:
    json_free(v);
    free(path);
    return rc;
}

/* ---- becoming a snapshot ---- */

struct saving {
    struct snapshot_record target;
    struct linked_entries entries;
    struct reach reach;
    struct database *kept_db;
    char *tree;
};

static void saving_release(struct saving *s)
{
    linked_close(s->entries.linked);
    linked_entries_release(&s->entries);
    database_close(s->kept_db);
    reach_release(&s->reach);
    snapshot_record_release(&s->target);
    free(s->tree);
}

static bool exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

static enum error_kind open_kept_tree(struct saving *s, struct catalog *cat, const struct kept *k, struct error *err)
{
    char *path = NULL;
    enum error_kind rc = stage_tree_path(&k->txn, &s->tree, err);

    if (!rc && (!k->txn.has_files || !exists(s->tree))) {
        free(s->tree);
        s->tree = NULL;
        return OK;
    }
    if (!rc)
        rc = path_join(k->txn.stage, "linked", &path, err);
    if (!rc)
        rc = linked_open(path, &s->entries.linked, err);
    if (!rc && s->entries.linked && s->target.root_count)
        rc = entry_steps_open(cat, &s->target, "site", &s->entries.steps, err);
    s->entries.cat = cat;
    s->entries.kept_is_old = k->kept_is_old;
    s->entries.live = k->txn.site_path;
    free(path);
    return rc;
}

const char *kept_database(const struct kept *k)
{
    if (k->txn.has_point)
        return k->txn.point.name;
    return k->kept_is_old ? k->txn.swap.kept : k->txn.swap.beside;
}

static const char *kept_identity(const struct kept *k)
{
    if (k->txn.has_point)
        return k->txn.point.identity;
    return k->kept_is_old ? k->txn.swap.old_identity : k->txn.swap.new_identity;
}

bool kept_has_database(const struct kept *k)
{
    return (k->txn.has_swap || k->txn.has_point) && kept_identity(k);
}

enum error_kind kept_database_is_there(struct database *kept_db, const struct kept *k, bool *out, struct error *err)
{
    struct database_info info = DATABASE_INFO_INIT;
    enum error_kind rc = database_probe(kept_db, &info, err);

    *out = !rc && info.exists && info.identity && !strcmp(info.identity, kept_identity(k));
    database_info_release(&info);
    return rc;
}

enum error_kind kept_database_open(struct database *db, const struct kept *k, struct database **out, struct error *err)
{
    if (k->txn.has_point)
        return database_open_point(db, &k->txn.point, out, err);
    return database_open_kept(db, &k->txn.swap, k->kept_is_old ? DATABASE_OLD : DATABASE_NEW, out, err);
}

static enum error_kind open_kept_database(struct saving *s, struct catalog *cat, const struct site *site,
                                          const struct kept *k, struct error *err)
{
    bool there = true;
    enum error_kind rc;

    if (!kept_has_database(k))
        return OK;
    rc = reach_for_txn(&s->reach, cat, site, &k->txn, &s->target, err);
    if (!rc)
        rc = kept_database_open(s->reach.db, k, &s->kept_db, err);
    if (!rc && k->snapshot) /* K4: it may have gone with the snapshot that was there */
        rc = kept_database_is_there(s->kept_db, k, &there, err);
    if (!there) {
        database_close(s->kept_db);
        s->kept_db = NULL;
    }
    return rc;
}

/* Pictures that were exchanged are where they were staged; under their own path stand the other side's. */
static enum error_kind point_at_pictures(const struct kept *k, struct snapshot_options *o, char **path,
                                         struct error *err)
{
    const struct area *a = area_outside(&k->txn);

    if (!a)
        return OK;
    o->pictures = a->live;
    o->read_pictures = NULL;
    if (memory_format(path, err, "%s/%s", a->folder, a->root_name))
        return err->kind;
    o->read_pictures = *path;
    return OK;
}

enum error_kind take_proved(struct catalog *cat, const struct site *site, struct database *db,
                            const struct snapshot_options *o, const struct progress *progress,
                            struct snapshot_result *out, struct error *err)
{
    struct error damage = ERROR_INIT;
    const char *bad = NULL;
    enum error_kind rc = snapshot_take(cat, site, db, o, progress, out, err);

    if (rc)
        return rc;
    progress_step(progress, "reading the snapshot back");
    rc = snapshot_verify(cat, &out->record, progress, &damage);
    if (rc != ERR_CORRUPT) {
        if (rc)
            error_copy(err, &damage);
        return rc;
    }
    progress_warn(progress, "%s; it is taken once more", damage.text);
    error_clear(&damage);
    bad = out->record.id;
    if (snapshot_forget(cat, &bad, 1, &damage) != OK)
        progress_warn(progress, "%s", damage.text);
    snapshot_result_release(out);
    rc = snapshot_take(cat, site, db, o, progress, out, err);
    return rc ? rc : snapshot_verify(cat, &out->record, progress, err);
}

/* The side that is kept of an upgrade is of another version than the one that is live; its snapshot says which. */
static void take_version_of(struct site *site, const struct kept *k)
{
    const char *version = k->kept_is_old ? k->txn.from_version : k->txn.to_version;
    struct site_version parsed;
    struct error ignored = ERROR_INIT;

    if (txn_is_upgrade(&k->txn) && version && site_version_parse(version, &parsed, &ignored) == OK)
        site->version = parsed;
}

static enum error_kind take(struct catalog *cat, struct site *site, struct saving *s, const struct kept *k,
                            const struct progress *progress, char **id, struct error *err)
{
    static const char *const undone[] = {"undone", NULL};
    static const char *const again[] = {"saved-again", NULL};
    static const char *const unwell[] = {TAG_UNWELL, NULL};
    struct snapshot_options o = SNAPSHOT_OPTIONS_INIT;
    struct snapshot_result result = {.files = 0};
    const struct site_version live = site->version;
    char *pictures = NULL;
    enum error_kind rc;

    o.kind = SNAPSHOT_SAFETY;
    o.stopped = true;
    o.part = !s->tree ? SNAPSHOT_DATABASE_ONLY : !s->kept_db ? SNAPSHOT_FILES_ONLY : SNAPSHOT_WHOLE;
    o.read_root = s->tree;
    /* The shop that runs since takes orders while this is dumped: they are newer than what it went back from. */
    o.moment_ns = k->kept_is_old ? k->txn.old_until_ns : k->txn.new_until_ns;
    if (k->txn.was_unwell)
        o.tags = unwell;
    if (txn_is_upgrade(&k->txn) && !k->kept_is_old && k->txn.going_back)
        o.transaction = k->txn.token; /* the owner went back: the next rollback undoes that */
    else if (k->snapshot) {           /* part of it may be gone already: no state to go back to unasked */
        o.tags = again;
    } else if (k->kept_is_old) { /* what an undo took away is no state to go back to by itself: `--to` names it */
        o.transaction = k->txn.token;
        o.transaction_only = k->txn.only;
    } else {
        o.tags = undone;
    }
    if (s->entries.linked) {
        o.entry = linked_entries_ask;
        o.entry_arg = &s->entries;
    }
    o.no_stat_cache = true; /* the site's own cache speaks of the live tree */
    rc = point_at_pictures(k, &o, &pictures, err);
    take_version_of(site, k);
    if (!rc)
        rc = take_proved(cat, site, s->kept_db, &o, progress, &result, err);
    site->version = live;
    if (!rc)
        rc = memory_string(result.record.id, id, err);
    snapshot_result_release(&result);
    free(pictures);
    return rc;
}

static enum error_kind save(struct catalog *cat, struct site *site, const struct place *p, struct kept *k,
                            const struct progress *progress, struct error *err)
{
    struct saving s = {SNAPSHOT_RECORD_INIT, LINKED_ENTRIES_INIT, REACH_INIT, NULL, NULL};
    struct error why = ERROR_INIT;
    char *id = NULL;
    enum error_kind rc = snapshot_find(cat, NULL, k->txn.target, &s.target, &why);

    progress_step(progress, "saving what was taken away as a snapshot");
    if (rc == ERR_NOT_FOUND || rc == ERR_CORRUPT) {
        rc = linked_stand_in(cat, &k->txn, &s.target, err);
        if (!rc && !s.target.root_count) /* files are read as they are, shared ones too */
            progress_warn(
                progress,
                "snapshot %.8s is gone or damaged: what the shop rewrote in place since may be in the safety snapshot",
                k->txn.target);
    } else if (rc) {
        error_copy(err, &why);
    }
    if (!rc)
        rc = open_kept_tree(&s, cat, k, err);
    if (!rc)
        rc = open_kept_database(&s, cat, site, k, err);
    if (!rc && (s.tree || s.kept_db))
        rc = take(cat, site, &s, k, progress, &id, err);
    if (!rc) {
        free(k->snapshot);
        k->snapshot = id;
        k->txn.database_later = false;
    }
    if (!rc && k->snapshot)
        rc = kept_write(p, &k->txn, k->kept_is_old, k->snapshot, k->since_ns, err); /* K2 */
    saving_release(&s);
    return rc;
}

/* What was exchanged in parts, or changed in place, can't be told from what it was exchanged for: only its snapshot could. */
static enum error_kind save_again(struct catalog *cat, struct site *site, const struct place *p, struct kept *k,
                                  const struct progress *progress, struct error *err)
{
    enum error_kind rc;

    if (k->txn.split || (k->txn.database_in_place && !k->txn.has_point)) {
        rc = error_set(err, ERR_REFUSED, 0, "snapshot %.8s of what the last transaction took away is not in %s",
                       k->snapshot, catalog_path(cat));
        error_hint(err, "nopsnap --catalog %s has it, or what is in %s is the last of it: move that away",
                   k->txn.catalog, p->folder);
        return rc;
    }
    progress_warn(progress,
                  "snapshot %.8s of what was taken away is gone or damaged: what is left of that is saved once more",
                  k->snapshot);
    return save(cat, site, p, k, progress, err);
}

/* `kept` names a snapshot that is there, or nothing was taken away. */
static enum error_kind ensure_saved(struct catalog *cat, struct site *site, const struct place *p, struct kept *k,
                                    const struct progress *progress, struct error *err)
{
    struct snapshot_record found = SNAPSHOT_RECORD_INIT;
    struct error why = ERROR_INIT;
    enum error_kind rc;

    if (!k->snapshot)
        return save(cat, site, p, k, progress, err);
    rc = snapshot_find(cat, NULL, k->snapshot, &found, &why);
    if (!rc && txn_is_upgrade(&k->txn)) { /* K2: taken while the shop was stopped, it was not read back then */
        progress_step(progress, "reading the snapshot back");
        rc = snapshot_verify(cat, &found, progress, &why);
    }
    snapshot_record_release(&found);
    if (rc == ERR_NOT_FOUND || rc == ERR_CORRUPT)
        return save_again(cat, site, p, k, progress, err);
    if (rc)
        error_copy(err, &why);
    return rc;
}

/* ---- going ---- */

static enum error_kind drop_database(struct catalog *cat, const struct site *site, const struct kept *k,
                                     const struct snapshot_record *safety, struct error *err)
{
    struct reach r = REACH_INIT;
    struct database *kept_db = NULL;
    bool there = false;
    enum error_kind rc;

    if (!kept_has_database(k))
        return OK;
    rc = reach_for_txn(&r, cat, site, &k->txn, safety, err);
    if (!rc)
        rc = kept_database_open(r.db, k, &kept_db, err);
    if (!rc)
        rc = kept_database_is_there(kept_db, k, &there, err);
    database_close(kept_db);
    if (!rc && there && !safety->has_dump)
        rc = error_set(err, ERR_REFUSED, 0, "snapshot %.8s has no dump of the kept database %s", safety->id,
                       kept_database(k));
    if (!rc)
        rc = k->txn.has_point ? database_point_drop(r.db, &k->txn.point, err)
                              : database_kept_drop(r.db, kept_database(k), kept_identity(k), err);
    reach_release(&r);
    return rc;
}

/* Does the snapshot have what was live there? Pictures elsewhere are other pictures. */
static bool has_root_of(const struct snapshot_record *safety, const struct area *a)
{
    for (size_t i = 0; i < safety->root_count; i++)
        if (!strcmp(safety->roots[i].name, a->root_name) && (a->prefix[0] || !strcmp(safety->roots[i].path, a->live)))
            return true;
    return false;
}

static enum error_kind remove_area(struct catalog *cat, const struct site *site, const struct area *a,
                                   const struct snapshot_record *safety, struct text_list *left, struct error *err)
{
    struct linked_writer *unlinked = NULL; /* nothing is linked into areas */
    char *tree = NULL;
    enum error_kind rc = memory_format(&tree, err, "%s/%s", a->folder, a->root_name);

    if (!rc && exists(tree) && !has_root_of(safety, a))
        rc = text_list_addf(left, err, "%s: snapshot %.8s does not have it", tree, safety->id);
    else if (!rc && exists(tree)) /* the site's rules say nothing about pictures outside it */
        rc = kept_remove_tree(cat, safety, a->prefix[0] ? site : NULL, tree, &unlinked, left, err);
    if (!rc && !left->count)
        rc = area_remove(a, err);
    free(tree);
    return rc;
}

static enum error_kind remove_trees(struct catalog *cat, const struct site *site, const struct place *p,
                                    const struct kept *k, const struct snapshot_record *safety, struct text_list *left,
                                    struct error *err)
{
    struct linked_writer *unlinked = NULL;
    char *tree = NULL;
    enum error_kind rc = stage_tree_path(&k->txn, &tree, err);

    if (!rc && exists(tree)) {
        renewal_unlink_begin(p, &unlinked);
        rc = kept_remove_tree(cat, safety, site, tree, &unlinked, left, err);
        renewal_unlink_end(unlinked);
    }
    free(tree);
    for (size_t i = 0; i < k->txn.area_count && !rc; i++)
        rc = remove_area(cat, site, &k->txn.areas[i], safety, left, err);
    return rc;
}

static enum error_kind let_go(struct catalog *cat, const struct site *site, const struct place *p, const struct kept *k,
                              const struct progress *progress, struct text_list *left, struct error *err)
{
    struct snapshot_record safety = SNAPSHOT_RECORD_INIT;
    char *path = NULL;
    enum error_kind rc = OK;

    if (k->snapshot) {
        rc = snapshot_find(cat, NULL, k->snapshot, &safety, err);
        if (!rc)
            rc = drop_database(cat, site, k, &safety, err);
        if (!rc && k->txn.has_files)
            rc = remove_trees(cat, site, p, k, &safety, left, err);
    } /* else nothing was taken away: only our own notes are there */
    if (!rc)
        renewal_run(cat, site, p, &k->txn, progress);
    if (!rc && k->txn.stage && !left->count)
        rc = directory_remove_tree(AT_FDCWD, k->txn.stage, err);
    if (!rc)
        rc = place_path(p, "kept", &path, err);
    if (!rc)
        rc = file_unlink(AT_FDCWD, path, err); /* K3 */
    if (!rc)
        rc = directory_sync(AT_FDCWD, p->folder, err);
    snapshot_record_release(&safety);
    free(path);
    return rc;
}

static enum error_kind clear_locked(struct catalog *cat, struct site *site, const struct place *p, bool end_trial,
                                    const struct progress *progress, struct transaction_result *out, struct error *err)
{
    struct kept k = {.txn = TXN_INIT};
    enum error_kind rc = kept_read(p, &k, err);

    if (!rc && !end_trial && kept_in_trial(&k)) {
        struct error why = ERROR_INIT;

        if (kept_complete(cat, site, p, &k, progress, &why) != OK)
            progress_warn(progress, "%s", why.text);
        kept_release(&k);
        return OK;
    }
    if (!rc)
        rc = kept_complete(cat, site, p, &k, progress, err);
    if (!rc)
        rc = ensure_saved(cat, site, p, &k, progress, err);
    if (!rc && k.snapshot)
        rc = memory_string(k.snapshot, &out->safety_snapshot, err);
    if (!rc)
        rc = let_go(cat, site, p, &k, progress, &out->left, err);
    if (!rc && !k.kept_is_old)
        marks_tidy(cat, &k.txn, true, progress);
    kept_release(&k);
    return rc;
}

enum error_kind kept_clear(struct catalog *cat, struct site *site, bool end_trial, const struct progress *progress,
                           int64_t *seen_ns, struct transaction_result *out, struct error *err)
{
    struct place p = PLACE_INIT;
    bool changed = false;
    enum error_kind rc = place_find(site->path, &p, err);

    if (rc)
        return rc;
    if (place_has(&p, "journal")) {
        rc = transaction_refuse_pending(site->path, err);
        if (rc)
            goto done;
    }
    if (!exists(p.folder))
        goto done;
    rc = place_lock_since(&p, seen_ns ? *seen_ns : 0, 10000, &changed, err);
    if (!rc && place_has(&p, "journal")) { /* begun since we looked, and killed */
        file_lock_drop(&p.lock);           /* or it would look like one that runs */
        rc = transaction_refuse_pending(site->path, err);
        goto done;
    }
    if (!rc && seen_ns && changed) {
        rc = place_refuse_stale(&p, err);
        goto done;
    }
    if (!rc && place_has(&p, "kept"))
        rc = clear_locked(cat, site, &p, end_trial, progress, out, err);
    if (!rc)
        rc = journal_tidy(&p, err);
    if (!rc && seen_ns)
        *seen_ns = place_changed_ns(&p);
    if (rc)
        error_context(err, "saving what was taken away (it is still in %s)", p.folder);
done:
    place_release(&p);
    return rc;
}
