#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drill_internal.h"
#include "retention.h"
#include "shops.h"
#include "thread.h"
#include "transaction.h"

enum { SITE_LOCK_TIMEOUT_MS = 60000, DAMAGED_SHOWN = 20 };
#define ROOM_MARGIN (64ull << 20)
#define ROOM_PER_FILE 4096ull /* a block each */
#define NS_PER_MS 1000000

/* ---- which one ---- */

struct newest {
    char whole[33];
    char any[33]; /* of a site without a database every snapshot is partial */
    int64_t now_ns;
};

/* Rows come newest first. */
static enum error_kind consider(void *arg, const struct snapshot_row *row, struct error *err)
{
    const struct snapshot_standing s = snapshot_row_standing(row);
    struct newest *n = arg;

    (void)err;
    if (!snapshot_is_good_part(&s, n->now_ns))
        return OK;
    if (!n->any[0])
        memcpy(n->any, row->id, sizeof(n->any));
    if (!n->whole[0] && row->part == SNAPSHOT_WHOLE)
        memcpy(n->whole, row->id, sizeof(n->whole));
    return OK;
}

static enum error_kind choose_newest(struct drill *d, struct error *err)
{
    struct newest n = {"", "", clock_now()};
    enum error_kind rc = snapshot_row_each(d->cat, d->site_id, consider, &n, err);

    if (rc)
        return rc;
    if (!n.any[0]) {
        rc = error_set(err, ERR_NOT_FOUND, 0, "there is no good snapshot of %s to restore", d->site->path);
        error_hint(err, "nopsnap snapshot %s", d->site->path);
        return rc;
    }
    return snapshot_read(d->cat, n.whole[0] ? n.whole : n.any, &d->snapshot, err);
}

static enum error_kind choose(struct drill *d, struct error *err)
{
    const char *id = d->options->snapshot;
    enum error_kind rc = OK;

    if (!id)
        return choose_newest(d, err);
    rc = snapshot_find(d->cat, strcmp(id, "latest") ? NULL : d->site_id, id, &d->snapshot, err);
    if (rc == ERR_NOT_FOUND)
        error_hint(err, "nopsnap list %s shows what there is", d->site->path);
    if (!rc && (!d->snapshot.site_id || strcmp(d->snapshot.site_id, d->site_id) != 0)) {
        rc = error_set(err, ERR_REFUSED, 0, "snapshot %.8s is of %s on %s, not of %s", d->snapshot.id,
                       d->snapshot.site_path ? d->snapshot.site_path : "?", d->snapshot.host ? d->snapshot.host : "?",
                       d->site->path);
        error_hint(err, "nopsnap list %s shows what there is", d->site->path);
    }
    return rc;
}

/* ---- where ---- */

/* Without a folder of the owner's choice in the catalogue's own: what may write a snapshot may write there, and visitors never read it. */
enum error_kind drill_place_of(struct catalog *cat, const struct site *site, const char *folder, const char *site_id,
                               char **parent, char **out, struct error *err)
{
    const char *chosen = folder ? folder : site->config ? site->config->drill_folder : NULL;
    enum error_kind rc = path_real(chosen ? chosen : catalog_path(cat), parent, err);

    if (rc)
        error_hint(err, "make the folder for restore drills first, or name another: --scratch, drill-folder");
    if (!rc && site_holds(site->path, *parent)) {
        rc = error_set(err, ERR_REFUSED, 0, "%s is inside the shop: no copy of it is put there", *parent);
        error_hint(err, "name another folder: --scratch, or drill-folder in the config");
    }
    return rc ? rc : memory_format(out, err, "%s/%sdrill-%s", *parent, chosen ? ".nopsnap-" : "", site_id);
}

static enum error_kind check_room(const struct drill *d, const char *where, struct error *err)
{
    uint64_t need = ROOM_MARGIN;
    uint64_t have = 0;
    char n[TEXT_MAX];
    char h[TEXT_MAX];
    enum error_kind rc = directory_room(where, &have, err);

    for (size_t i = 0; i < d->snapshot.root_count; i++)
        need += d->snapshot.roots[i].bytes + d->snapshot.roots[i].files * ROOM_PER_FILE;
    if (rc || have >= need)
        return rc;
    text_size(need, n);
    text_size(have, h);
    error_set(err, ERR_SPACE, 0, "not enough room at %s for the files of snapshot %.8s: %s needed, %s free", where,
              d->snapshot.id, n, h);
    error_hint(err, "name a folder with more room: --scratch, or drill-folder in the config");
    return ERR_SPACE;
}

static enum error_kind connect_first(struct drill *d, struct error *err)
{
    enum error_kind rc = d->options->connect(d->options->arg, d->site, &d->db, err);

    if (rc || !d->snapshot.has_dump || d->db)
        return rc;
    error_set(err, ERR_REFUSED, 0, "the settings of %s name no database server to load the dump on", d->site->path);
    error_hint(err, "nopsnap restore with --database loads it on any server");
    return ERR_REFUSED;
}

/* ---- the beginning ---- */

/* Which snapshot, and where. */
static enum error_kind prepare(struct drill *d, char **parent, char **folder, struct error *err)
{
    bool held = false;
    enum error_kind rc = choose(d, err);

    if (!rc) {
        memcpy(d->result->snapshot, d->snapshot.id, sizeof(d->result->snapshot));
        d->result->snapshot_ns = d->snapshot.made_ns;
        rc = drill_place_of(d->cat, d->site, d->options->folder, d->site_id, parent, folder, err);
    }
    if (!rc)
        rc = shops_hold(d->cat, d->options->config, *parent, &held, err);
    if (!rc && held) {
        rc = error_set(err, ERR_REFUSED, 0, "%s is inside a shop: no copy of one is put there", *parent);
        error_hint(err, "name another folder: --scratch, or drill-folder in the config");
    }
    return rc;
}

static enum error_kind make_place(struct drill *d, const char *folder, struct error *err)
{
    struct scratch_spec spec = {.what = "drill", .folder = folder, .mode = 0700, .db = d->db};
    enum error_kind rc = drill_noted_clear(d, err);

    if (!rc)
        rc = drill_noted_add(d, folder, err);
    spec.token = d->token;
    return rc ? rc : scratch_begin(&d->place, &spec, d->progress, err);
}

static enum error_kind begin(struct drill *d, const char *parent, const char *folder, struct error *err)
{
    enum error_kind rc = connect_first(d, err);

    if (!rc)
        rc = make_place(d, folder, err);
    if (!rc) /* what an earlier one left is gone now */
        rc = check_room(d, parent, err);
    if (!rc && d->snapshot.has_dump) {
        rc = scratch_make_database(&d->place, &d->snapshot, err);
        if (rc)
            error_hint(err, "where the login lacks the right, name one that has it with database-admin in the config");
    }
    return rc;
}

/* ---- files ---- */

static enum error_kind tell_damaged(const struct drill *d, const struct restore_result *r, struct error *err)
{
    for (size_t i = 0; i < r->damaged.count && i < DAMAGED_SHOWN; i++)
        progress_warn(d->progress, "damaged: %s", r->damaged.items[i]);
    if (r->damaged.count > DAMAGED_SHOWN)
        progress_warn(d->progress, "and %zu more", r->damaged.count - DAMAGED_SHOWN);
    error_set(err, ERR_CORRUPT, 0,
              "snapshot %.8s can't be restored whole: %zu files and folders are damaged, the first is %s",
              d->snapshot.id, r->damaged.count, r->damaged.items[0]);
    error_hint(err,
               "nopsnap verify --read-data lists all damage; the next snapshot stores anew what the shop still has");
    return ERR_CORRUPT;
}

static enum error_kind prove_root(struct drill *d, const struct snapshot_root *root, struct error *err)
{
    /* Nothing has to outlast the machine here. What can be read is restored, so that all the damage is named. */
    struct restore_options o = {.keep_going = true, .no_sync = true};
    struct restore_result restored = {.files = 0};
    struct error why = ERROR_INIT;
    char *target = NULL;
    enum error_kind rc = path_join(d->place.tree, root->name, &target, &why);

    if (!rc)
        rc = restore_files(d->cat, &d->snapshot, root->name, target, &o, d->progress, &restored, &why);
    if (rc == ERR_CORRUPT && restored.damaged.count)
        rc = tell_damaged(d, &restored, err);
    else if (rc)
        error_copy(err, &why);
    for (size_t i = 0; i < restored.notes.count; i++)
        progress_note(d->progress, "%s", restored.notes.items[i]);
    progress_step(d->progress, "comparing what was restored with the snapshot");
    if (!rc)
        rc = restore_verify(d->cat, &d->snapshot, root->name, target, NULL, NULL, NULL, d->progress, err);
    d->result->files += restored.files;
    d->result->bytes += restored.bytes_written;
    restore_result_release(&restored);
    free(target);
    return rc;
}

static enum error_kind prove_files(struct drill *d, struct error *err)
{
    int64_t since = clock_monotonic_ms();
    enum error_kind rc = OK;

    if (!d->snapshot.root_count)
        return OK;
    d->result->has_files = true;
    progress_step(d->progress, "restoring the files of snapshot %.8s", d->snapshot.id);
    rc = directory_make(AT_FDCWD, d->place.tree, 0700, err);
    for (size_t i = 0; i < d->snapshot.root_count && !rc; i++)
        rc = prove_root(d, &d->snapshot.roots[i], err);
    d->result->files_ms = (uint64_t)(clock_monotonic_ms() - since);
    return rc;
}

/* ---- database ---- */

static enum error_kind prove_database(struct drill *d, struct error *err)
{
    int64_t since = clock_monotonic_ms();
    struct database_facts facts = DATABASE_FACTS_INIT;
    enum error_kind rc;

    if (!d->snapshot.has_dump)
        return OK;
    d->result->has_database = true;
    rc = scratch_load(&d->place, d->cat, &d->snapshot, &facts, d->progress, err);
    for (size_t i = 0; !rc && i < database_notes(d->db)->count; i++)
        progress_note(d->progress, "%s", database_notes(d->db)->items[i]);
    for (size_t i = 0; i < facts.counts.count; i++)
        d->result->rows += facts.counts.tables[i].rows;
    d->result->tables = facts.counts.count;
    d->result->database_ms = (uint64_t)(clock_monotonic_ms() - since);
    database_facts_release(&facts);
    return rc;
}

/* ---- the whole ---- */

/* Damaged files say nothing of the database: both are looked at, and the second failure is told, too. */
static enum error_kind prove(struct drill *d, struct error *err)
{
    struct error second = ERROR_INIT;
    enum error_kind rc = prove_files(d, err);

    if (rc && rc != ERR_CORRUPT)
        return rc;
    if (prove_database(d, &second) == OK)
        return rc;
    if (!rc || second.kind == ERR_CANCELLED) {
        *err = second;
        return second.kind;
    }
    progress_warn(d->progress, "%s", second.text);
    return rc;
}

static void set_times(struct drill_result *r, int64_t began_ns, int64_t since_ms)
{
    r->started_ns = began_ns;
    r->ended_ns = began_ns + (clock_monotonic_ms() - since_ms) * NS_PER_MS;
}

/* From the first thing that is made to the last that is taken away. */
static enum error_kind try(struct drill *d, const char *parent, const char *folder, int64_t began_ns, int64_t since_ms,
                           struct error *err)
{
    struct error last = ERROR_INIT;
    enum error_kind rc = begin(d, parent, folder, err);

    if (!rc)
        rc = prove(d, err);
    set_times(d->result, began_ns, since_ms);
    if (d->token[0])
        progress_step(d->progress, "removing what was restored");
    if (scratch_end(&d->place, &last) == OK) {
        drill_noted_end(d);
    } else {
        if (rc)
            progress_warn(d->progress, "%s; %s", last.text, last.hint);
        else
            *err = last;
        rc = rc ? rc : last.kind;
    }
    return rc;
}

/* Nothing was made. A wrong id or folder is no drill that failed; that there is nothing good to restore is one, and so is damage. */
static bool is_proof_of_failure(const struct drill *d, enum error_kind why)
{
    return why == ERR_CORRUPT || (!d->result->snapshot[0] && !d->options->snapshot);
}

static enum error_kind drill(struct drill *d, struct error *err)
{
    int64_t began_ns = clock_now();
    int64_t since_ms = clock_monotonic_ms();
    char *parent = NULL;
    char *folder = NULL;
    enum error_kind rc = prepare(d, &parent, &folder, err);

    if (!rc)
        rc = try(d, parent, folder, began_ns, since_ms, err);
    else if (is_proof_of_failure(d, rc))
        set_times(d->result, began_ns, since_ms);
    snapshot_record_release(&d->snapshot);
    free(parent);
    free(folder);
    return rc;
}

/* L4: the site's lock is shared with snapshots, and held to the end. */
enum error_kind drill_locked(struct drill *d, enum error_kind (*act)(struct drill *d, struct error *err),
                             struct error *err)
{
    struct catalog_site_lock *mine = NULL;
    struct catalog_site_lock *site = NULL;
    int64_t seen_ns;
    enum error_kind rc = transaction_refuse_pending(d->site->path, err);

    if (!rc)
        rc = catalog_site_id(d->cat, d->site->path, d->site_id, err);
    if (!rc)
        rc = catalog_drill_lock(d->cat, d->site_id, &mine, err);
    seen_ns = transaction_changed_ns(d->site->path);
    if (!rc)
        rc = catalog_site_lock(d->cat, d->site_id, false, SITE_LOCK_TIMEOUT_MS, &site, err);
    if (!rc) /* one may have begun, and been killed, since */
        rc = transaction_refuse_since(d->site->path, seen_ns, err);
    if (!rc)
        rc = act(d, err);
    catalog_site_unlock(site);
    catalog_site_unlock(mine);
    return rc;
}

enum error_kind drill_site(struct catalog *cat, struct site *site, const struct drill_options *options,
                           const struct progress *progress, struct drill_result *out, struct error *err)
{
    struct drill d = {.cat = cat,
                      .site = site,
                      .options = options,
                      .progress = progress,
                      .result = out,
                      .snapshot = SNAPSHOT_RECORD_INIT,
                      .place = SCRATCH_INIT};
    enum error_kind rc;

    *out = (struct drill_result){.started_ns = 0};
    rc = drill_locked(&d, drill, err);
    drill_notes_release(&d.notes);
    return rc;
}
