#include "snapshot_internal.h"

#include <stdlib.h>
#include <string.h>

#include "thread.h"

#define DUMP_GROUP 0x7ffffffeu

static enum error_kind sink(void *arg, const void *bytes, size_t len, struct error *err)
{
    struct taking *t = arg;
    enum error_kind rc = store_stream_write(t->dump, bytes, len, err);

    if (rc)
        return rc;
    t->result->record.dump_bytes += len;
    progress_advance(t->progress, t->result->record.dump_bytes, 0, "bytes");
    return cancel_check(err);
}

static void on_percent(void *arg, unsigned percent)
{
    const struct taking *t = arg;

    progress_advance(t->progress, percent, 100, "percent");
}

/* The view is closed whatever happens; facts are of a dump that was complete. */
static enum error_kind run(struct taking *t, struct database_facts *facts, struct error *err)
{
    struct database_dump *dump = NULL;
    struct error ignored = ERROR_INIT;
    enum error_kind rc;

    database_on_percent(t->db, on_percent, t);
    rc = database_dump_begin(t->db, &dump, err);
    database_on_percent(t->db, NULL, NULL);

    if (rc)
        return rc;
    for (size_t i = 0; i < database_notes(t->db)->count; i++)
        progress_note(t->progress, "%s", database_notes(t->db)->items[i]);
    rc = pictures_expect(t, dump, err);
    if (!rc)
        rc = database_dump_run(dump, sink, t, err);
    if (rc)
        (void)database_dump_end(dump, NULL, &ignored);
    else
        rc = database_dump_end(dump, facts, err);
    return rc;
}

static enum error_kind record_facts(struct taking *t, const struct database_facts *facts, struct error *err)
{
    struct snapshot_record *record = &t->result->record;
    struct buffer json = BUFFER_INIT(16 << 20);
    enum error_kind rc = database_facts_encode(facts, &json, err);

    if (!rc)
        record->dump_facts = buffer_detach(&json);
    for (size_t i = 0; !rc && i < facts->warnings.count; i++) {
        progress_warn(t->progress, "%s", facts->warnings.items[i]);
        rc = text_list_add(&record->notes, facts->warnings.items[i], err);
    }
    record->has_dump = true;
    buffer_release(&json);
    return rc;
}

/* Where the pictures are only the database knows. A place that makes no sense here costs the pictures, not the snapshot. */
static enum error_kind find_pictures(struct taking *t, const struct database_facts *facts, struct error *err)
{
    struct error fault = ERROR_INIT;
    char *path = NULL;

    if (!facts->is_nopcommerce || facts->pictures_in_database || t->site->layout == SITE_PLAIN ||
        t->options->part == SNAPSHOT_DATABASE_ONLY)
        return OK;
    if (site_picture_path(t->site, facts->picture_path, &path, &fault)) {
        progress_warn(t->progress, "%s", fault.text);
        return text_list_addf(&t->result->record.unread, err, "pictures: %s", fault.text);
    }
    if (!strcmp(path, "/")) { /* the whole machine is no folder of pictures */
        free(path);
        progress_warn(t->progress, "the shop's pictures are said to be in /, which is not read");
        return text_list_add(&t->result->record.unread, "pictures: said to be in /", err);
    }
    if (path[0] != '/') {
        t->pictures_folder = path;
        return OK;
    }
    if (strcmp(path, t->site->path)) {
        t->pictures = path;
        path = NULL;
    }
    free(path);
    return memory_string("", &t->pictures_folder, err);
}

enum error_kind dump_take(struct taking *t, struct error *err)
{
    struct database_facts facts = DATABASE_FACTS_INIT;
    uint64_t bytes = 0;
    enum error_kind rc;

    progress_step(t->progress, "dumping the database");
    rc = store_stream_begin(t->store, DUMP_GROUP, &t->dump, err);
    if (!rc)
        rc = run(t, &facts, err);
    if (t->options->moment_ns)
        facts.moment_ns = t->options->moment_ns;
    if (!rc)
        rc = store_stream_end(t->dump, &t->dump_chunks, &bytes, err);
    if (!rc)
        rc = record_facts(t, &facts, err);
    if (!rc)
        rc = find_pictures(t, &facts, err);
    if (!t->pictures_folder)
        pictures_forget(t);
    database_facts_release(&facts);
    return rc;
}

enum error_kind dump_list(struct taking *t, struct error *err)
{
    struct list_builder *list = NULL;
    struct chunk_id id;
    enum error_kind rc;

    if (!t->dump)
        return OK;
    rc = list_builder_new(t->store, &list, err);
    for (uint64_t n = 0; !rc && n < t->dump_chunks; n++) {
        rc = store_stream_id(t->dump, n, &id, err);
        if (!rc)
            rc = list_builder_add(list, &id, err);
    }
    if (!rc)
        rc = list_builder_end(list, &t->result->record.dump, err);
    list_builder_free(list);
    return rc;
}
