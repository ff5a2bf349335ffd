#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "snapshot_internal.h"
#include "thread.h"

void snapshot_result_release(struct snapshot_result *r)
{
    snapshot_record_release(&r->record);
    memset(r, 0, sizeof *r);
}

/* ---- the record's head ---- */

static enum error_kind copy_text(const char *from, char **to, struct error *err)
{
    return from ? memory_string(from, to, err) : OK;
}

static enum error_kind describe_site(struct taking *t, struct error *err)
{
    struct snapshot_record *record = &t->result->record;
    const struct site *site = t->site;
    char id[17];
    enum error_kind rc = catalog_site_id(t->cat, site->path, id, err);

    if (!rc)
        rc = memory_string(id, &record->site_id, err);
    if (!rc)
        rc = memory_string(site->path, &record->site_path, err);
    if (!rc)
        rc = copy_text(site->config ? site->config->name : NULL, &record->site_name, err);
    if (!rc && site->version.text[0])
        rc = memory_string(site->version.text, &record->nop_version, err);
    if (!rc)
        rc = memory_string(site_layout_name(site->layout), &record->nop_layout, err);
    if (!rc)
        rc = site_patterns_list(site, &record->patterns, err);
    return rc;
}

static enum error_kind describe(struct taking *t, struct error *err)
{
    struct snapshot_record *record = &t->result->record;
    const struct snapshot_options *o = t->options;
    enum error_kind rc = describe_site(t, err);

    record->kind = o->kind;
    record->part = o->part;
    record->stopped = o->stopped;
    record->from_ns = record->made_ns = clock_now();
    if (!rc)
        rc = catalog_host(&record->host, &record->host_id, err);
    if (!rc)
        rc = memory_string("nopsnap " NOPSNAP_VERSION, &record->tool, err);
    for (size_t i = 0; !rc && o->tags && o->tags[i]; i++)
        rc = text_list_add(&record->tags, o->tags[i], err);
    if (!rc)
        rc = copy_text(o->transaction, &record->transaction, err);
    if (!rc)
        rc = copy_text(o->transaction_only, &record->transaction_only, err);
    return rc;
}

/* ---- files ---- */

static enum error_kind newest_bytes(void *arg, const struct snapshot_row *row, struct error *err)
{
    uint64_t *bytes = arg;

    (void)err;
    if (!*bytes)
        *bytes = row->bytes;
    return OK;
}

static enum error_kind add_root(struct taking *t, const char *name, const char *shown_path, const char *path,
                                const struct site *site, struct error *err)
{
    struct snapshot_record *record = &t->result->record;
    unsigned number = (unsigned)record->root_count;
    struct snapshot_root *root = &record->roots[number];
    struct root_taking *r = &t->roots[number];
    enum error_kind rc;

    *r = (struct root_taking){.t = t, .name = name, .number = number};
    rc = root_take(r, path, site, err);
    if (!rc)
        rc = memory_string(name, &root->name, err);
    if (!rc)
        rc = memory_string(shown_path, &root->path, err);
    if (rc) {
        error_context(err, "reading %s", path);
        free(root->name);
        root->name = NULL;
        return rc;
    }
    root->files = r->files;
    root->bytes = r->bytes;
    record->root_count++;
    t->result->files += r->files;
    t->result->bytes += r->bytes;
    return OK;
}

/*
 * Pictures at an absolute path outside the site are part of the shop. A path that the database names and nobody has is told; one that
 * the caller knows of is no more there because he has lost it, or took it away.
 */
static enum error_kind add_pictures(struct taking *t, struct error *err)
{
    const struct snapshot_options *o = t->options;
    struct error fault = ERROR_INIT;
    struct file_identity identity;
    const char *from;
    bool told;
    enum error_kind rc = OK;

    if (!t->pictures && o->pictures)
        rc = memory_string(o->pictures, &t->pictures, err);
    if (rc || !t->pictures)
        return rc;
    told = o->pictures && !strcmp(t->pictures, o->pictures);
    from = told && o->read_pictures ? o->read_pictures : t->pictures;
    rc = file_identity_at(AT_FDCWD, from, &identity, &fault);
    if (rc == ERR_NOT_FOUND && told)
        return OK;
    if (rc) {
        progress_warn(t->progress, "the shop's pictures are said to be in %s, which can't be read", t->pictures);
        return text_list_addf(&t->result->record.unread, err, "%s: the pictures' folder: %s", t->pictures, fault.text);
    }
    return add_root(t, "pictures", t->pictures, from, NULL, err);
}

static enum error_kind take_files(struct taking *t, struct error *err)
{
    const struct snapshot_options *o = t->options;
    enum error_kind rc;

    if (o->part == SNAPSHOT_DATABASE_ONLY)
        return OK;
    if (o->files_of)
        return take_over(t, o->files_of, err);
    progress_step(t->progress, "reading files");
    rc = snapshot_row_each(t->cat, t->result->record.site_id, newest_bytes, &t->bytes_expected, err);
    if (!rc)
        rc = add_root(t, "site", t->site->path, o->read_root ? o->read_root : t->site->path, t->site, err);
    if (!rc)
        rc = add_pictures(t, err);
    if (!rc)
        rc = say_rest(t, err);
    return rc;
}

/* ---- the stat caches: written beside the commit, put in place after it ---- */

static void *write_stat_caches(void *arg)
{
    struct taking *t = arg;

    for (size_t i = 0; i < t->result->record.root_count; i++) {
        struct root_taking *r = &t->roots[i];

        if (!r->all_known)
            (void)encode_stat_cache(r, t->result->record.site_id, &r->new_cache, &r->cache_fault);
    }
    return NULL;
}

/* The trees are encoded: nobody writes to the spills any more. Another tree than the site's own is not remembered. */
static void begin_remembering(struct taking *t)
{
    struct error fault = ERROR_INIT;

    if (t->options->no_stat_cache || t->options->read_root)
        return;
    t->remembering_runs = !thread_start(&t->remembering, write_stat_caches, t, &fault);
    if (!t->remembering_runs)
        write_stat_caches(t);
}

static void end_remembering(struct taking *t)
{
    if (t->remembering_runs)
        pthread_join(t->remembering, NULL);
    t->remembering_runs = false;
}

/* Only now: a stat cache names ids of a snapshot that stands. */
static void remember(struct taking *t)
{
    end_remembering(t);
    for (size_t i = 0; i < t->result->record.root_count; i++) {
        struct root_taking *r = &t->roots[i];

        if (r->new_cache)
            (void)stat_cache_commit(r->new_cache, &r->cache_fault);
        r->new_cache = NULL;
        if (r->cache_fault.kind)
            progress_note(t->progress, "the next snapshot will read every file again: %s", r->cache_fault.text);
    }
}

/* ---- from what was put to a snapshot ---- */

/* What the store went round without a word is told here (P5, P6): the disk may be failing. */
static void warn_of_damage(const struct taking *t, const struct store_stats *stats)
{
    t->result->damaged = stats->damaged;
    t->result->repaired = stats->repaired;
    if (stats->damaged > 0 || stats->repaired > 0)
        progress_warn(t->progress,
                      "damage in the catalogue: %llu pieces could not be read, %llu were stored anew; "
                      "look at its disk, then: nopsnap verify --read-data",
                      (unsigned long long)stats->damaged, (unsigned long long)stats->repaired);
}

static enum error_kind store_trees(struct taking *t, struct error *err)
{
    struct snapshot_record *record = &t->result->record;
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < record->root_count; i++)
        rc = encode_trees(t->roots[i].spill, t->store, &record->roots[i].tree, err);
    if (!rc)
        rc = hard_links_store(t->links, t->store, record, err);
    if (!rc)
        begin_remembering(t);
    return rc;
}

static enum error_kind finish(struct taking *t, struct error *err)
{
    struct snapshot_record *record = &t->result->record;
    struct store_stats stats;
    enum error_kind rc;

    progress_step(t->progress, "finishing");
    /* A dump's ids stand after a flush only; without one a claim does, and the packs go out together at the end. */
    rc = t->dump ? store_flush(t->store, err) : store_claim(t->store, err);
    if (!rc)
        rc = dump_list(t, err);
    if (!rc && !t->options->files_of)
        rc = store_trees(t, err);
    if (!rc)
        rc = store_flush(t->store, err);
    if (rc)
        return rc;
    store_stats(t->store, &stats);
    warn_of_damage(t, &stats);
    record->bytes_new = stats.bytes_new;
    record->bytes_stored = stats.bytes_stored;
    rc = pictures_compare(t, err);
    if (!rc)
        rc = suspicion_flag(t, err);
    return rc ? rc : snapshot_commit(t->store, record, err);
}

static enum error_kind check(const struct site *site, const struct database *db, const struct snapshot_options *o,
                             struct error *err)
{
    if (!db && o->part == SNAPSHOT_DATABASE_ONLY)
        return error_set(err, ERR_USAGE, 0, "%s: there is no database to take", site->path);
    if (!site->exists && !o->read_root && !o->files_of && o->part != SNAPSHOT_DATABASE_ONLY)
        return error_set(err, ERR_NOT_FOUND, 0, "%s: no such folder", site->path);
    return OK;
}

static enum error_kind prepare(struct taking *t, struct error *err)
{
    enum error_kind rc = describe(t, err);

    if (!rc && stat(catalog_path(t->cat), &t->catalog_st))
        rc = error_set(err, ERR_IO, errno, "%s", catalog_path(t->cat));
    if (!rc)
        rc = path_join(catalog_path(t->cat), "cache", &t->scratch, err);
    if (!rc)
        rc = walk_attributes_new(&t->attributes, err);
    if (!rc)
        rc = hard_links_new(&t->links, err);
    if (!rc)
        rc = store_begin(t->cat, NULL, &t->store, err);
    return rc;
}

static void release(struct taking *t)
{
    end_remembering(t);
    for (size_t i = 0; i < sizeof t->roots / sizeof t->roots[0]; i++)
        root_release(&t->roots[i]);
    store_stream_free(t->dump);
    hard_links_free(t->links);
    walk_attributes_free(t->attributes);
    store_free(t->store);
    free(t->scratch);
    free(t->pictures);
    free(t->pictures_folder);
    pictures_forget(t);
}

enum error_kind snapshot_take(struct catalog *cat, const struct site *site, struct database *db,
                              const struct snapshot_options *options, const struct progress *progress,
                              struct snapshot_result *out, struct error *err)
{
    struct snapshot_result result = {.record = SNAPSHOT_RECORD_INIT};
    struct taking t = {.cat = cat, .site = site, .db = db, .options = options, .progress = progress, .result = &result};
    enum error_kind rc = check(site, db, options, err);

    if (!rc)
        rc = prepare(&t, err);
    if (!rc && db && options->part != SNAPSHOT_FILES_ONLY)
        rc = dump_take(&t, err);
    result.record.to_ns = 0;
    if (!rc)
        rc = take_files(&t, err);
    if (!result.record.to_ns)
        result.record.to_ns = clock_now();
    if (!rc)
        rc = finish(&t, err);
    if (!rc)
        remember(&t);
    release(&t);
    if (rc) {
        snapshot_result_release(&result);
        return rc;
    }
    *out = result;
    return OK;
}
