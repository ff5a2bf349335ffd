/*
 * A dump: one connection opens the view and exports its snapshot; pg_dump reads in that snapshot; while it does, a
 * thread counts the rows on the first connection, in the same view (D1).
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "postgres_internal.h"
#include "shop_table_internal.h"
#include "thread.h"

enum { PIECE = 256 * 1024, PIPE_BYTES = 1024 * 1024, LOOK_UP_MS = 500 };

struct dump {
    struct postgres *view;
    struct postgres_environment environment;
    struct process tool;
    pthread_t counter;
    bool counting;
    volatile bool stop;
    bool complete; /* the tool has ended well */
    struct error count_error;
    struct database_facts facts;
};

/* ---- the view ---- */

static enum error_kind open_view(struct dump *d, char **snapshot, struct error *err)
{
    int64_t moment_us = 0;
    enum error_kind rc;

    rc = postgres_query(d->view, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", NULL, NULL, err);
    if (!rc)
        rc = postgres_text(d->view, "SELECT pg_catalog.pg_export_snapshot()", 0, NULL, snapshot, err);
    /* When the transaction began, just before its first statement took the view, by the server's own clock. */
    if (!rc)
        rc = postgres_number(d->view, "SELECT (extract(epoch FROM transaction_timestamp()) * 1000000)::bigint", 0, NULL,
                             0, &moment_us, err);
    if (!rc && !*snapshot)
        rc = error_set(err, ERR_REMOTE, 0, "PostgreSQL exports no snapshot");
    d->facts.moment_ns = moment_us * 1000;
    return rc;
}

static enum error_kind add_warning(void *arg, const struct database_row *row, struct error *err)
{
    struct dump *d = arg;

    return text_list_add(&d->facts.warnings, row->values[0], err);
}

static const char warnings_query[] =
    "SELECT 'the rows of foreign table ' || c.oid::regclass || ' lie on another server and are not in the dump' FROM pg_class c "
    "WHERE c.relkind = 'f' "
    "UNION ALL SELECT 'subscription ' || quote_ident(s.subname) || ' comes back without its connection running' "
    "FROM pg_subscription s WHERE s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "UNION ALL SELECT 'prepared transaction ' || quote_literal(p.gid) || ' is not in the dump' FROM pg_prepared_xacts p "
    "WHERE p.database = current_database()";

static enum error_kind read_facts(struct database *db, struct dump *d, struct error *err)
{
    enum error_kind rc;

    rc = memory_string(postgres_server_version(d->view), &d->facts.server_version, err);
    if (!rc)
        rc = memory_string("pg_dump custom", &d->facts.format, err);
    if (!rc)
        rc = postgres_properties_read(d->view, &d->facts.properties, err);
    if (!rc)
        rc = postgres_query(d->view, warnings_query, add_warning, d, err);
    if (!rc)
        rc = database_shop_facts(db, &d->facts.is_nopcommerce, &d->facts.picture_path, &d->facts.pictures_in_database,
                                 err);
    return rc;
}

static enum error_kind start_tool(struct database *db, struct dump *d, const char *snapshot, struct error *err)
{
    char *path = NULL;
    char *snapshot_option = NULL;
    char *connection = NULL;
    enum error_kind rc;

    rc = postgres_tool("pg_dump", postgres_server_major(d->view), &path, &d->facts.tool_version, err);
    if (!rc)
        rc = postgres_environment_make(db, d->view, &d->environment, err);
    if (!rc)
        rc = memory_format(&snapshot_option, err, "--snapshot=%s", snapshot);
    if (!rc)
        rc = postgres_conninfo_name(db->name, &connection, err);
    if (!rc) {
        const char *argv[] = {path,
                              "--format=custom",
                              "--compress=0",
                              "--no-password",
                              "--lock-wait-timeout=60s",
                              snapshot_option,
                              "--dbname",
                              connection,
                              NULL};
        struct process_spec spec = {.argv = argv, .environment = d->environment.list, .pipe_stdout = true};

        rc = process_start(&d->tool, &spec, err);
    }
    if (!rc) /* a wide pipe saves switches between the two; the default does as well */
        (void)fcntl(d->tool.stdout_fd, F_SETPIPE_SZ, PIPE_BYTES);
    free(path);
    free(snapshot_option);
    free(connection);
    return rc;
}

enum error_kind postgres_dump_begin(struct database_dump *dump, struct error *err)
{
    struct database *db = dump->db;
    struct dump *d = NULL;
    void *memory = NULL;
    char *snapshot = NULL;
    enum error_kind rc;

    rc = memory_zeroed(1, sizeof *d, &memory, err);
    if (rc)
        return rc;
    d = memory;
    d->environment = (struct postgres_environment)POSTGRES_ENVIRONMENT_INIT;
    d->tool = (struct process)PROCESS_INIT;
    d->facts = (struct database_facts)DATABASE_FACTS_INIT;
    dump->engine = d;
    rc = postgres_open_other(db, db->name, &d->view, err);
    if (!rc)
        rc = open_view(d, &snapshot, err);
    if (!rc)
        rc = read_facts(db, d, err);
    /* Started at once, so that it holds its locks on every table before the files are walked. */
    if (!rc)
        rc = start_tool(db, d, snapshot, err);
    free(snapshot);
    return rc;
}

/* ---- streaming ---- */

static void *count_in_view(void *arg)
{
    struct dump *d = arg;
    struct error ignored = ERROR_INIT;

    /* A count that fails (a right is missing) must not end the view: pg_dump has a better way to say it. */
    if (postgres_query(d->view, "SAVEPOINT counting", NULL, NULL, &d->count_error))
        return NULL;
    if (postgres_count_all(d->view, &d->stop, &d->facts.counts, &d->count_error))
        (void)postgres_query(d->view, "ROLLBACK TO SAVEPOINT counting", NULL, NULL, &ignored);
    return NULL;
}

/* pg_dump may be waiting for a lock; a signal to us must not wait with it. */
static enum error_kind wait_readable(int fd, struct error *err)
{
    struct pollfd ready = {fd, POLLIN, 0};
    enum error_kind rc;

    do
        rc = cancel_check(err);
    while (!rc && poll(&ready, 1, LOOK_UP_MS) <= 0);
    return rc;
}

static void stop_counting(struct dump *d)
{
    if (!d->counting)
        return;
    if (!d->complete) {
        d->stop = true;
        postgres_cancel(d->view);
    }
    pthread_join(d->counter, NULL);
    d->counting = false;
}

/* ---- pictures ---- */

static enum error_kind take_picture(void *arg, const struct database_row *row, struct error *err)
{
    const struct database_dump *dump = arg;
    const char *text = row->values[0] ? row->values[0] : "";
    char *end = NULL;
    int64_t id = strtoll(text, &end, 10);

    return *text && !*end ? dump->picture(dump->picture_arg, id, err) : OK;
}

/*
 * After the tool's end: a statement that waits for a lock behind somebody's ALTER TABLE, which waits for the tool, must not keep us from
 * reading what the tool writes. Where counting failed the view may hold no more, and the dump has failed anyway.
 */
static enum error_kind hand_over_pictures(struct database_dump *dump, struct error *err)
{
    struct dump *d = dump->engine;
    struct shop_table picture = SHOP_TABLE_INIT;
    struct buffer sql = BUFFER_INIT(4096);
    enum error_kind rc = OK;

    if (!dump->picture)
        return OK;
    stop_counting(d);
    if (d->count_error.kind)
        return OK;
    rc = shop_table_find(dump->db, "Picture", &picture, err);
    if (rc || !picture.quoted || !shop_table_column(&picture, "Id"))
        goto done;
    rc = buffer_append_text(&sql, "SELECT ", err);
    if (!rc)
        rc = shop_sql_column(dump->db, &picture, "p", "Id", &sql, err);
    if (!rc)
        rc = buffer_append_format(&sql, err, " FROM %s p", picture.quoted);
    if (!rc)
        rc = postgres_query(d->view, (char *)sql.data, take_picture, dump, err);

done:
    buffer_release(&sql);
    shop_table_release(&picture);
    return rc;
}

enum error_kind postgres_dump_run(struct database_dump *dump, database_sink_fn *sink, void *arg, struct error *err)
{
    struct dump *d = dump->engine;
    unsigned char *piece = NULL;
    void *memory = NULL;
    size_t got = 0;
    enum error_kind rc;

    rc = memory_allocate(PIECE, &memory, err);
    if (rc)
        return rc;
    piece = memory;
    rc = thread_start(&d->counter, count_in_view, d, err);
    if (rc)
        goto done;
    d->counting = true;
    do {
        rc = wait_readable(d->tool.stdout_fd, err);
        if (!rc)
            rc = file_read(d->tool.stdout_fd, piece, PIECE, &got, "the output of pg_dump", err);
        if (!rc && got)
            rc = sink(arg, piece, got, err);
    } while (!rc && got);
    if (!rc)
        rc = postgres_tool_wait(&d->tool, "pg_dump", err);
    d->complete = !rc;
    if (!rc)
        rc = hand_over_pictures(dump, err);

done:
    free(piece);
    return rc;
}

enum error_kind postgres_dump_end(struct database_dump *dump, struct database_facts *out, struct error *err)
{
    struct dump *d = dump->engine;
    enum error_kind rc = OK;

    if (!d)
        return OK;
    stop_counting(d);
    process_kill(&d->tool);
    if (out && !d->complete)
        rc = error_set(err, ERR_USAGE, 0, "the dump was not read to its end");
    else if (out && d->count_error.kind) {
        error_copy(err, &d->count_error);
        rc = err->kind;
    } else if (out) {
        d->facts.engine = out->engine;
        *out = d->facts;
        d->facts = (struct database_facts)DATABASE_FACTS_INIT;
    }
    postgres_close(d->view);
    postgres_environment_release(&d->environment);
    database_facts_release(&d->facts);
    free(d);
    dump->engine = NULL;
    return rc;
}
