#include <string.h>

#include "restore_internal.h"

/* A dump as a producer of checked bytes (P6): one chunk at a time. */
struct dump_source {
    struct catalog *cat;
    struct list_reader *list;
    struct buffer chunk;
    const struct progress *progress;
    uint64_t done, total;
};

static enum error_kind next_piece(void *arg, const void **bytes, size_t *len, struct error *err)
{
    struct dump_source *s = arg;
    struct chunk_id id;
    bool more = false;
    enum error_kind rc = cancel_check(err);

    if (!rc)
        rc = list_reader_next(s->list, &id, &more, err);
    if (!rc && !more && s->done != s->total)
        rc = error_set(err, ERR_CORRUPT, 0, "the dump has %llu bytes where the snapshot says %llu",
                       (unsigned long long)s->done, (unsigned long long)s->total);
    if (!rc && more)
        rc = chunk_read(s->cat, &id, CHUNK_DATA, &s->chunk, err);
    if (!rc && more && s->chunk.len == 0) /* would read as the end */
        rc = error_set(err, ERR_CORRUPT, 0, "a piece of the dump is empty");
    if (rc) {
        error_context(err, "reading the dump at byte %llu", (unsigned long long)s->done);
        return rc;
    }
    *bytes = more ? s->chunk.data : NULL;
    *len = more ? s->chunk.len : 0;
    s->done += *len;
    progress_advance(s->progress, s->done, s->total, "bytes");
    return OK;
}

enum error_kind restore_database_facts(const struct snapshot_record *snapshot, struct database_facts *out,
                                       struct error *err)
{
    enum error_kind rc;

    if (!snapshot->has_dump || !snapshot->dump_facts)
        return error_set(err, ERR_NOT_FOUND, 0, "snapshot %.12s holds no database", snapshot->id);
    rc = database_facts_decode(snapshot->dump_facts, strlen(snapshot->dump_facts), out, err);
    if (rc)
        error_context(err, "what snapshot %.12s says of its database", snapshot->id);
    return rc;
}

/* name NULL: into the live database, in place. */
static enum error_kind load(struct catalog *cat, const struct snapshot_record *snapshot, struct database *db,
                            const char *name, const struct progress *progress, struct error *err)
{
    struct dump_source source = {
        .cat = cat, .chunk = BUFFER_INIT(RESTORE_CHUNK_MAX), .progress = progress, .total = snapshot->dump_bytes};
    struct database_facts facts = DATABASE_FACTS_INIT;
    enum error_kind rc;

    rc = restore_database_facts(snapshot, &facts, err);
    if (!rc)
        rc = list_reader_open(cat, &snapshot->dump, &source.list, err);
    if (rc)
        goto done;
    progress_step(progress, "loading the database");
    rc = name ? database_load_run(db, name, &facts, next_piece, &source, err)
              : database_load_in_place(db, &facts, next_piece, &source, err);

done:
    if (source.list)
        list_reader_close(source.list);
    buffer_release(&source.chunk);
    database_facts_release(&facts);
    return rc;
}

enum error_kind restore_database_load(struct catalog *cat, const struct snapshot_record *snapshot, struct database *db,
                                      const char *name, const struct progress *progress, struct error *err)
{
    return load(cat, snapshot, db, name, progress, err);
}

enum error_kind restore_database_in_place(struct catalog *cat, const struct snapshot_record *snapshot,
                                          struct database *db, const struct progress *progress, struct error *err)
{
    return load(cat, snapshot, db, NULL, progress, err);
}
