/*
 * Building the new state beside the old one, while the shop is open (P2), and catching up once it is stopped.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "transaction_internal.h"

enum error_kind stage_tree_path(const struct txn *t, char **out, struct error *err)
{
    return path_join(t->stage, "site", out, err);
}

/* ---- files ---- */

/* Which record each staged file goes into. */
struct placed_notes {
    struct linked_writer *linked;  /* NULL where nothing is linked */
    struct linked_writer *written; /* N2 */
};

static enum error_kind note_placed(void *arg, const char *path, enum restore_how how, const struct stat *st,
                                   const void *encoded, size_t len, struct error *err)
{
    const struct placed_notes *notes = arg;

    (void)encoded;
    (void)len;
    if (how == RESTORE_LINKED)
        return linked_add(notes->linked, path, st, err);
    return S_ISREG(st->st_mode) ? linked_add(notes->written, path, st, err) : OK;
}

struct linked_question {
    struct linked *linked;
};

static bool was_linked(void *arg, const char *path, const struct stat *st)
{
    struct linked_question *q = arg;

    return linked_find(q->linked, path, st) == LINKED_SAME;
}

static enum error_kind open_linked(struct transaction_context *x, struct error *err)
{
    char *path = NULL;
    enum error_kind rc = path_join(x->txn.stage, "linked", &path, err);

    linked_close(x->linked);
    x->linked = NULL;
    if (!rc)
        rc = linked_open(path, &x->linked, err);
    free(path);
    return rc;
}

static enum error_kind write_site(struct transaction_context *x, const char *tree, struct restore_options *o,
                                  struct linked_writer *written, const struct progress *progress,
                                  struct transaction_result *out, struct error *err)
{
    struct restore_result result = {.files = 0};
    struct placed_notes notes = {NULL, written};
    char *path = NULL;
    enum error_kind rc = path_join(x->txn.stage, "linked", &path, err);

    if (!rc)
        rc = linked_begin(path, &notes.linked, err);
    if (rc)
        goto done;
    o->placed = note_placed;
    o->placed_arg = &notes;
    rc = restore_files(x->cat, &x->target, "site", tree, o, progress, &result, err);
    if (rc)
        goto done;
    out->files_linked += result.linked + result.reflinked;
    out->files_written += result.files - result.linked - result.reflinked;
    for (size_t i = 0; i < result.notes.count; i++)
        progress_note(progress, "%s", result.notes.items[i]);
    rc = linked_commit(notes.linked, err);
    notes.linked = NULL;
done:
    linked_discard(notes.linked);
    restore_result_release(&result);
    free(path);
    return rc;
}

/* The settings of the restored state with today's connection string in them (--keep-connection). */
static enum error_kind splice_connection(struct transaction_context *x, const char *tree, struct error *err)
{
    struct site_connection c = {SITE_SETTINGS_NONE, NULL, NULL, NULL};
    struct site_version version = {0, 0, -1, ""};
    struct error ignored = ERROR_INIT;
    struct buffer old = BUFFER_INIT(16u << 20);
    struct buffer new = BUFFER_INIT(16u << 20);
    struct stat st;
    char *path = NULL;
    int fd = -1;
    enum error_kind rc;

    if (!x->keep_string)
        return OK;
    if (x->target.nop_version)
        (void)site_version_parse(x->target.nop_version, &version, &ignored);
    rc = site_connection_read(tree, &version, false, &c, err);
    if (!rc && (!c.file || c.form == SITE_SETTINGS_NONE))
        rc = error_set(err, ERR_REFUSED, 0, "the snapshot's settings hold no connection to replace");
    if (!rc)
        rc = path_join(tree, c.file, &path, err);
    if (!rc && lstat(path, &st) == 0 &&
        (!S_ISREG(st.st_mode) || st.st_nlink != 1)) /* P2: it would be the live one too */
        rc = error_set(err, ERR_REFUSED, 0, "%s is a link: the connection can't be written into it", c.file);
    if (!rc)
        rc = file_read_whole(AT_FDCWD, path, old.max, &old, err);
    if (!rc)
        rc = site_connection_splice(c.form, old.data, old.len, x->keep_string, &new, err);
    /* In place: the staged file is ours alone (settings are never linked), and keeps owner, mode and xattrs. */
    if (!rc)
        rc = file_open(AT_FDCWD, path, O_WRONLY | O_TRUNC | O_NOFOLLOW, 0, &fd, err);
    if (!rc)
        rc = file_write(fd, new.data, new.len, path, err);
    if (!rc)
        rc = file_sync(fd, path, err);
    file_close(&fd);
    free(path);
    buffer_release_secret(&old);
    buffer_release_secret(&new);
    site_connection_release(&c);
    return rc;
}

/* P10: its parent may be served to visitors, so nobody else gets into it. */
static enum error_kind area_make(const struct area *a, struct error *err)
{
    char *parent = NULL;
    bool made;
    enum error_kind rc = path_parent(a->folder, &parent, err);

    if (!rc)
        rc = place_make_private(parent, &made, err);
    if (!rc)
        rc = place_make_private(a->folder, &made, err);
    free(parent);
    return rc;
}

/* Below the mounts, or below those in one of them: each is staged on itself and nowhere else. */
static enum error_kind mounts_in(const struct txn *t, const struct area *inside, struct text_list *out,
                                 struct error *err)
{
    size_t n = inside ? strlen(inside->prefix) : 0;
    enum error_kind rc = OK;

    for (size_t i = 0; i < t->area_count && !rc; i++) {
        const struct area *a = &t->areas[i];
        char *itself = NULL;

        if (!a->prefix[0] || (inside && (strncmp(a->prefix, inside->prefix, n) != 0 || a->prefix[n] != '/')))
            continue;
        rc = text_pattern_of(a->prefix, &itself, err);
        if (!rc)
            rc = text_list_addf(out, err, "%s/**", itself);
        free(itself);
    }
    return rc;
}

/* What lies on a mount, or outside the site, is staged on its own filesystem. */
static enum error_kind write_area(struct transaction_context *x, const struct area *a, struct linked_writer *written,
                                  const struct progress *progress, struct error *err)
{
    struct placed_notes notes = {NULL, written};
    struct restore_options o = {.link_site = NULL, .placed = note_placed, .placed_arg = &notes};
    struct restore_result result = {.files = 0};
    struct text_list elsewhere = TEXT_LIST_INIT;
    const char *include[3] = {NULL, NULL, NULL};
    char *itself = NULL;
    char *below = NULL;
    char *tree = NULL;
    enum error_kind rc = area_make(a, err);

    if (!rc)
        rc = memory_format(&tree, err, "%s/%s", a->folder, a->root_name);
    if (!rc && a->prefix[0])
        rc = text_pattern_of(a->prefix, &itself, err);
    if (!rc && a->prefix[0])
        rc = memory_format(&below, err, "%s/**", itself);
    include[0] = itself;
    include[1] = below;
    if (a->prefix[0])
        o.include = include;
    o.exclude = &elsewhere;
    if (!rc && a->prefix[0])
        rc = mounts_in(&x->txn, a, &elsewhere, err);
    if (!rc)
        rc = restore_files(x->cat, &x->target, a->root_name, tree, &o, progress, &result, err);
    if (!rc)
        rc = restore_verify(x->cat, &x->target, a->root_name, tree, &o, NULL, NULL, progress, err);
    restore_result_release(&result);
    text_list_release(&elsewhere);
    free(itself);
    free(below);
    free(tree);
    return rc;
}

/* The areas of one root, whose record of what was written is then complete. */
static enum error_kind write_areas(struct transaction_context *x, const char *root_name, struct linked_writer **written,
                                   const struct progress *progress, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; i < x->txn.area_count && !rc; i++)
        if (!strcmp(x->txn.areas[i].root_name, root_name))
            rc = write_area(x, &x->txn.areas[i], *written, progress, err);
    if (!rc) {
        rc = linked_commit(*written, err);
        *written = NULL;
    }
    return rc;
}

enum error_kind stage_tree(struct transaction_context *x, const struct progress *progress,
                           struct transaction_result *out, struct error *err)
{
    const struct area *outside = area_outside(&x->txn);
    struct restore_options o = {.link_site = NULL};
    struct text_list elsewhere = TEXT_LIST_INIT;
    struct linked_question q = {NULL};
    struct linked_writer *written = NULL;
    char *tree = NULL;
    enum error_kind rc = directory_make_all(x->txn.stage, err);

    o.exclude = &elsewhere;
    if (!rc)
        rc = mounts_in(&x->txn, NULL, &elsewhere, err);
    if (!rc)
        rc = stage_tree_path(&x->txn, &tree, err);
    if (!rc)
        rc = renewal_written_begin(&x->txn, "site", &written, err);
    if (rc)
        goto done;
    if (x->steps) {
        o.select = x->steps->carries;
        o.select_arg = x->steps->arg;
    }
    if (x->site->exists) {
        o.link_site = x->site;
        o.link_root = x->site->path;
    }
    progress_step(progress, "building the new tree beside the old one");
    rc = write_site(x, tree, &o, written, progress, out, err);
    if (!rc)
        rc = open_linked(x, err);
    q.linked = x->linked;
    progress_step(progress, "reading it back");
    if (!rc)
        rc = restore_verify(x->cat, &x->target, "site", tree, &o, was_linked, &q, progress, err);
    if (!rc)
        rc = write_areas(x, "site", &written, progress, err);
    if (!rc && outside)
        rc = renewal_written_begin(&x->txn, outside->root_name, &written, err);
    if (!rc && outside)
        rc = write_areas(x, outside->root_name, &written, progress, err);
    if (!rc)
        rc = splice_connection(x, tree, err);
done:
    if (rc)
        error_context(err, "building the new tree");
    linked_discard(written);
    text_list_release(&elsewhere);
    free(tree);
    return rc;
}

/* ---- database ---- */

static enum error_kind journal_beside(struct transaction_context *x, struct error *err)
{
    struct json *v = json_object();
    enum error_kind rc;

    json_put_text(v, "step", "beside");
    json_put_bytes(v, "beside", x->txn.beside, strlen(x->txn.beside));
    rc = journal_append(&x->journal, v, err);
    json_free(v);
    return rc;
}

enum error_kind loaded_counts_check(struct database *db, const char *name, const struct database_counts *expected,
                                    struct error *err)
{
    struct text_list differences = TEXT_LIST_INIT;
    enum error_kind rc = database_compare(db, name, expected, &differences, err);

    if (!rc && differences.count)
        rc = error_set(err, ERR_CORRUPT, 0, "the loaded database is not the one that was dumped: %s%s",
                       differences.items[0], differences.count > 1 ? ", and more" : "");
    text_list_release(&differences);
    return rc;
}

static enum error_kind begin_load(struct transaction_context *x, struct error *err)
{
    enum error_kind rc = txn_step(&x->journal, "load_begun", err);

    x->txn.load_begun = !rc;
    if (!rc)
        rc = database_load_begin(x->reach.db, &x->facts, x->txn.token, &x->txn.beside, err);
    return rc ? rc : journal_beside(x, err);
}

static enum error_kind load(struct transaction_context *x, const struct snapshot_record *from,
                            const struct progress *progress, struct error *err)
{
    enum error_kind rc = restore_database_load(x->cat, from, x->reach.db, x->txn.beside, progress, err);

    for (size_t i = 0; !rc && i < database_notes(x->reach.db)->count; i++)
        progress_warn(progress, "%s", database_notes(x->reach.db)->items[i]);
    progress_step(progress, "counting its rows");
    return rc ? rc : loaded_counts_check(x->reach.db, x->txn.beside, &x->facts.counts, err); /* P9 */
}

static enum error_kind journal_swap(struct transaction_context *x, struct error *err)
{
    struct json *record = NULL;
    enum error_kind rc = txn_swap_record(&x->txn, &record, err);

    if (!rc)
        rc = journal_append(&x->journal, record, err);
    json_free(record);
    return rc;
}

static enum error_kind note_swap(struct transaction_context *x, struct error *err)
{
    enum error_kind rc = database_swap_prepare(x->reach.db, x->txn.beside, x->txn.token, &x->txn.swap, err);

    x->txn.has_swap = !rc;
    return rc ? rc : journal_swap(x, err); /* T1: before anything is fenced or renamed */
}

enum error_kind stage_database(struct transaction_context *x, const struct progress *progress, struct error *err)
{
    enum error_kind rc;

    if (x->txn.database_in_place)
        return OK;
    progress_step(progress, "loading the database beside the live one");
    rc = begin_load(x, err);
    if (!rc)
        rc = load(x, &x->target, progress, err);
    if (!rc)
        rc = note_swap(x, err);
    if (rc)
        error_context(err, "loading the database");
    return rc;
}

enum error_kind stage_database_place(struct transaction_context *x, const struct progress *progress, struct error *err)
{
    enum error_kind rc;

    progress_step(progress, "making a database for the copy");
    rc = begin_load(x, err);
    if (!rc)
        rc = note_swap(x, err);
    if (rc)
        error_context(err, "making a database for the copy");
    return rc;
}

enum error_kind stage_database_fill(struct transaction_context *x, const struct snapshot_record *from,
                                    const struct progress *progress, struct error *err)
{
    enum error_kind rc;

    progress_step(progress, "copying the database");
    rc = load(x, from, progress, err);
    if (rc)
        error_context(err, "copying the database");
    return rc;
}

enum error_kind stage_database_copy(struct transaction_context *x, const struct progress *progress, struct error *err)
{
    struct database_counts counts = {NULL, 0};
    enum error_kind rc = run_step(x, "copy_begun", &x->txn.copy_begun, err);

    progress_step(progress, "copying the database");
    if (!rc)
        rc = database_copy(x->reach.db, &x->txn.swap, &counts, err);
    for (size_t i = 0; !rc && i < database_notes(x->reach.db)->count; i++)
        progress_warn(progress, "%s", database_notes(x->reach.db)->items[i]);
    if (!rc)
        rc = journal_swap(x, err); /* T1 */
    if (!rc)
        x->txn.copy_begun = false;
    if (!rc) { /* what the shop had when it was stopped */
        database_counts_release(&x->facts.counts);
        x->facts.counts = counts;
        x->facts.moment_ns = x->txn.old_until_ns ? x->txn.old_until_ns : clock_now();
        counts = (struct database_counts){NULL, 0};
    }
    database_counts_release(&counts);
    if (rc)
        error_context(err, "copying the database");
    return rc;
}

/* ---- once the shop is stopped ---- */

static enum error_kind export_lost(struct transaction_context *x, struct error *err)
{
    if (!x->export_lost || !x->txn.has_database)
        return OK;
    return database_export_newer(x->reach.db, &x->facts, x->export_lost, x->exported, err);
}

/* Mails that have been sent since would be sent again by the restored shop. */
static enum error_kind mark_mails(struct transaction_context *x, const struct progress *progress, struct error *err)
{
    struct text_list mails = TEXT_LIST_INIT;
    enum error_kind rc = OK;

    if (!x->txn.has_swap || !x->txn.swap.old_identity || !x->facts.is_nopcommerce)
        return OK;
    rc = database_mails(x->reach.db, x->txn.beside, &x->facts, true, &mails, err);
    if (!rc && mails.count)
        progress_note(progress, "%zu queued mail%s sent since the snapshot, marked so as not to be sent again",
                      mails.count, mails.count == 1 ? " was" : "s were");
    text_list_release(&mails);
    return rc;
}

enum error_kind stage_note_safety(struct transaction_context *x, const char *id, struct error *err)
{
    struct json *v = json_object();
    enum error_kind rc = memory_string(id, &x->txn.safety, err);

    json_put_text(v, "step", "safety");
    json_put_text(v, "safety", id);
    if (!rc)
        rc = journal_append(&x->journal, v, err);
    json_free(v);
    return rc;
}

/* A database that was dropped has nothing to save. */
static enum error_kind database_is_there(struct transaction_context *x, bool *out, struct error *err)
{
    struct database_info info = DATABASE_INFO_INIT;
    enum error_kind rc = OK;

    *out = false;
    if (!x->txn.has_database)
        return OK;
    rc = database_probe(x->reach.db, &info, err);
    *out = !rc && info.exists;
    database_info_release(&info);
    return rc;
}

/*
 * P9, T5: what was dumped is what is there. A dump leaves the door open for others too: what a program on another host wrote meanwhile would be in neither
 * the copy nor the snapshot.
 */
static enum error_kind refuse_written(struct transaction_context *x, const struct snapshot_record *dumped,
                                      struct error *err)
{
    struct database_facts facts = DATABASE_FACTS_INIT;
    struct text_list differences = TEXT_LIST_INIT;
    enum error_kind rc = restore_database_facts(dumped, &facts, err);

    if (!rc)
        rc = database_compare(x->reach.db, NULL, &facts.counts, &differences, err);
    if (!rc && differences.count) {
        rc = error_set(err, ERR_REFUSED, 0, "somebody wrote into the database while the stopped shop was saved: %s%s",
                       differences.items[0], differences.count > 1 ? ", and more" : "");
        error_hint(err, "stop whatever else uses it (another web server, a service, a scheduled job), then try again");
    }
    text_list_release(&differences);
    database_facts_release(&facts);
    return rc;
}

/*
 * A dump logs in by itself, which the database's fence forbids to everybody. The shop stays stopped meanwhile, and kept from starting; whoever else
 * came in is put out again.
 */
static enum error_kind take_through_the_fence(struct transaction_context *x, bool database, bool prove,
                                              const struct snapshot_options *o, const struct progress *progress,
                                              struct snapshot_result *result, struct error *err)
{
    struct database *db = database ? x->reach.db : NULL;
    bool fenced = database && x->txn.has_swap;
    enum error_kind rc = fenced ? database_unfence(x->reach.db, &x->txn.swap, err) : OK;

    if (!rc)
        rc = prove ? take_proved(x->cat, x->site, db, o, progress, result, err)
                   : snapshot_take(x->cat, x->site, db, o, progress, result, err);
    if (!rc && fenced)
        rc = database_fence(x->reach.db, &x->txn.swap, err);
    if (!rc && database)
        rc = refuse_written(x, &result->record, err);
    return rc;
}

enum error_kind stage_save(struct transaction_context *x, const struct snapshot_options *o, bool prove,
                           const struct progress *progress, struct snapshot_result *out, struct error *err)
{
    return take_through_the_fence(x, x->txn.has_database && o->part != SNAPSHOT_FILES_ONLY, prove, o, progress, out,
                                  err);
}

/* Where the old state can't be kept whole, it becomes a snapshot before it is changed (P3). */
static enum error_kind save_first(struct transaction_context *x, const struct progress *progress, struct error *err)
{
    static const char *const unwell[] = {TAG_UNWELL, NULL};
    struct snapshot_options o = SNAPSHOT_OPTIONS_INIT;
    struct snapshot_result result = {.files = 0};
    bool files = x->txn.has_files && x->site->exists;
    bool database = false;
    enum error_kind rc;

    if (!x->txn.split && !x->txn.database_in_place)
        return OK;
    rc = database_is_there(x, &database, err);
    if (rc || (!files && !database))
        return rc;
    progress_step(progress, "saving the present state");
    o.kind = SNAPSHOT_SAFETY;
    o.stopped = true;
    o.part = !files ? SNAPSHOT_DATABASE_ONLY : !database ? SNAPSHOT_FILES_ONLY : SNAPSHOT_WHOLE;
    o.transaction = x->txn.token;
    o.transaction_only = x->txn.only;
    o.tags = x->txn.was_unwell ? unwell : NULL;
    if (files && area_outside(&x->txn)) /* only the dump tells where they are, and there may be none */
        o.pictures = area_outside(&x->txn)->live;
    rc = take_through_the_fence(x, database, true, &o, progress, &result, err);
    if (!rc && result.record.unread.count)
        rc = error_set(err, ERR_REFUSED, 0, "the present state could not be saved whole: %s",
                       result.record.unread.items[0]);
    if (!rc)
        rc = stage_note_safety(x, result.record.id, err);
    snapshot_result_release(&result);
    return rc;
}

enum error_kind stage_sync(struct transaction_context *x, struct error *err)
{
    int fd = -1;
    enum error_kind rc = file_open(AT_FDCWD, x->txn.stage, O_RDONLY | O_DIRECTORY, 0, &fd, err);

    if (!rc)
        rc = file_sync_filesystem(fd, x->txn.stage, err);
    file_close(&fd);
    return rc;
}

enum error_kind stage_catch_up(struct transaction_context *x, const struct progress *progress, struct error *err)
{
    uint64_t repaired = 0;
    char *tree = NULL;
    enum error_kind rc = export_lost(x, err);

    if (!rc)
        rc = save_first(x, progress, err);
    if (!rc && x->txn.has_files) {
        rc = stage_tree_path(&x->txn, &tree, err);
        if (!rc) /* files that the shop rewrote since they were linked */
            rc = linked_repair(x->cat, &x->target, x->linked, tree, true, &repaired, err);
        if (!rc)
            rc = stage_sync(x, err);
    }
    if (!rc)
        rc = mark_mails(x, progress, err);
    free(tree);
    if (rc)
        error_context(err, "catching up");
    return rc;
}

/* ---- taking it away again ---- */

static enum error_kind drop_beside(struct transaction_context *x, struct error *err)
{
    struct database_info info = DATABASE_INFO_INIT;
    struct database *beside = NULL;
    enum error_kind rc = OK;

    if (!x->txn.load_begun && !x->txn.has_swap)
        return OK;
    if (x->txn.has_swap && !x->txn.copy_begun) /* D6 */
        return database_kept_drop(x->reach.db, x->txn.swap.beside, x->txn.swap.new_identity, err);
    if (!x->txn.beside) /* making it failed, or a crash came before the journal: it may be there or not */
        rc = database_beside_name(x->reach.db, x->txn.token, &x->txn.beside, err);
    if (!rc)
        rc = database_open_beside(x->reach.db, x->txn.beside, &beside, err);
    if (!rc)
        rc = database_probe(beside, &info, err);
    database_close(beside);
    if (!rc && (info.exists || info.identity))
        rc = database_kept_drop(x->reach.db, x->txn.beside, info.identity, err);
    database_info_release(&info);
    return rc;
}

enum error_kind area_remove(const struct area *a, struct error *err)
{
    char *parent = NULL;
    enum error_kind rc = directory_remove_tree(AT_FDCWD, a->folder, err);

    if (!rc)
        rc = path_parent(a->folder, &parent, err);
    if (!rc)
        (void)rmdir(parent); /* .nopsnap on a mount, or beside pictures: ours, and gone with the last that was in it */
    free(parent);
    return rc;
}

/* Before the switch nothing crossed, and a crash may have left the tree half made. */
static enum error_kind refuse_only_copy(struct transaction_context *x, struct error *err)
{
    struct stat st;
    char *tree = NULL;
    enum error_kind rc = OK;

    if (!x->txn.switch_begun || !x->txn.has_files)
        return OK;
    rc = stage_tree_path(&x->txn, &tree, err);
    if (!rc && lstat(tree, &st) == 0)
        rc = moves_refuse_only_copy(x->cat, &x->target, x->site, tree, x->txn.site_path, err);
    free(tree);
    for (size_t i = 0; i < x->txn.area_count && !rc; i++) {
        const struct area *a = &x->txn.areas[i];

        if (!a->prefix[0])
            continue; /* snapshots leave nothing of them out */
        rc = memory_format(&tree, err, "%s/%s", a->folder, a->root_name);
        if (!rc && lstat(tree, &st) == 0)
            rc = moves_refuse_only_copy(x->cat, &x->target, x->site, tree, a->live, err);
        free(tree);
    }
    return rc;
}

/* What is linked goes first, and what that does to the live tree's files is noted; nothing needs it. */
static void unlink_linked(struct transaction_context *x)
{
    struct linked_writer *noted = NULL;
    struct error ignored = ERROR_INIT;
    char *tree = NULL;

    if (!x->linked || !x->cat || stage_tree_path(&x->txn, &tree, &ignored) != OK)
        return;
    renewal_unlink_begin(&x->place, &noted);
    (void)renewal_unlink_tree(x->linked, tree, &noted, &ignored);
    renewal_unlink_end(noted);
    free(tree);
}

enum error_kind stage_remove(struct transaction_context *x, struct error *err)
{
    bool old_is_live = true;
    enum error_kind rc = OK;

    if (x->txn.units.count)
        rc = units_are(&x->txn.units, false, &old_is_live, err);
    if (!rc && !old_is_live) /* P8: what stands in the stage might be the only copy */
        rc = error_set(err, ERR_PENDING, 0, "%s is not the old tree of this transaction", x->txn.site_path);
    if (!rc)
        rc = refuse_only_copy(x, err);
    if (!rc && x->txn.has_database && !x->txn.database_in_place)
        rc = drop_beside(x, err);
    if (!rc)
        unlink_linked(x);
    linked_close(x->linked);
    x->linked = NULL;
    if (!rc && x->txn.stage)
        rc = directory_remove_tree(AT_FDCWD, x->txn.stage, err);
    for (size_t i = 0; i < x->txn.area_count && !rc; i++)
        rc = area_remove(&x->txn.areas[i], err);
    return rc;
}
