/*
 * A dump: the vendor's tool in one transaction, read through mysql_scan.
 *
 * The tool's view is open (D1) once it writes about the first table: it does so only after START TRANSACTION WITH CONSISTENT
 * SNAPSHOT. What had to be read for that is kept and handed out first. A table that is altered or dropped while the
 * tool is on its way mostly makes the tool fail, and that is our failure. Where the server lets it pass (a column added
 * instantly) the columns before and after tell.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mysql_internal.h"
#include "process.h"
#include "thread.h"

enum { READ_SIZE = 256 * 1024, PIPE_BYTES = 1024 * 1024, AHEAD_MAX = 8 * 1024 * 1024, ARGUMENTS_MAX = 40 };

struct dump {
    struct mysql_tool tool;
    struct secret_file options;
    struct process process;
    struct buffer ahead; /* read while waiting for the view */
    bool ended;          /* the tool's output was read to its end */
    struct mysql_scan *scan;
    struct mysql_lines *lines;
    struct text_list held_back;
    int64_t moment_ns;
    struct text_list warnings;
    char *ignore;
    struct text_list shapes; /* the tables and their columns before, one line a table */
    bool no_events;
    bool no_triggers;
    bool complete;
};

/* ---- before ---- */

/* An older tool does not know what a newer server may hold, and would leave it out or misread it without a word. */
static enum error_kind check_age(struct database *db, const struct mysql_tool *tool, struct error *err)
{
    const struct mysql *m = mysql_of(db);

    if (m->mariadb != tool->mariadb || tool->version / 100 >= m->version / 100)
        return OK;
    error_set(err, ERR_REFUSED, 0, "%s is older than the server, %s", tool->version_text,
              mysql_client_server(m->client));
    error_hint(err,
               m->mariadb ? "install mariadb-client %u.%u or newer (mariadb.org has packages for Debian)"
                          : "install mysql-client %u.%u or newer (mysql.com has packages for Debian)",
               m->version / 10000, m->version / 100 % 100);
    return ERR_REFUSED;
}

static enum error_kind take_engine(void *arg, const struct database_row *row, struct error *err)
{
    return text_list_addf(arg, err, "table %s is not transactional (%s): its rows may be newer than the rest",
                          row->values[0], row->values[1]);
}

static enum error_kind take_float(void *arg, const struct database_row *row, struct error *err)
{
    return text_list_addf(arg, err, "column %s.%s is of type FLOAT: a dump carries six digits of it", row->values[0],
                          row->values[1]);
}

/* What this dump will not be exact about. */
static enum error_kind find_weak_spots(struct database *db, struct dump *d, struct error *err)
{
    enum error_kind rc;

    rc = mysql_rows(
        db, take_engine, &d->warnings, err,
        "SELECT t.TABLE_NAME, t.ENGINE FROM information_schema.TABLES t LEFT JOIN information_schema.ENGINES e "
        "ON e.ENGINE = t.ENGINE WHERE t.TABLE_SCHEMA = %t AND t.TABLE_TYPE = 'BASE TABLE' AND t.TABLE_NAME <> %t AND "
        "COALESCE(e.TRANSACTIONS, 'NO') <> 'YES' ORDER BY 1",
        db->name, MYSQL_MARKER);
    if (!rc)
        rc = mysql_rows(
            db, take_float, &d->warnings, err,
            "SELECT c.TABLE_NAME, c.COLUMN_NAME FROM information_schema.COLUMNS c JOIN information_schema.TABLES t "
            "USING (TABLE_SCHEMA, TABLE_NAME) WHERE c.TABLE_SCHEMA = %t AND c.DATA_TYPE = 'float' AND "
            "t.TABLE_TYPE = 'BASE TABLE' ORDER BY 1, 2",
            db->name);
    return rc;
}

static enum error_kind find_history(struct database *db, struct dump *d, struct error *err)
{
    struct text_list tables = TEXT_LIST_INIT;
    enum error_kind rc = mysql_list(db, &tables, err,
                                    "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %t AND "
                                    "TABLE_TYPE = 'SYSTEM VERSIONED' ORDER BY 1",
                                    db->name);

    for (size_t i = 0; !rc && i < tables.count; i++)
        rc = text_list_addf(&d->warnings, err, "table %s keeps a history of its rows, which a dump does not carry",
                            tables.items[i]);
    text_list_release(&tables);
    return rc;
}

static enum error_kind check_rights(struct database *db, struct dump *d, struct error *err)
{
    bool events = false;
    bool triggers = false;
    enum error_kind rc = mysql_may(db, db->name, "EVENT", &events, err);

    if (!rc)
        rc = mysql_may(db, db->name, "TRIGGER", &triggers, err);
    d->no_events = !events;
    d->no_triggers = !triggers;
    if (!rc && !events)
        rc = text_list_addf(&d->warnings, err,
                            "the login %s may not see events: if there are any, they are not in the dump",
                            mysql_of(db)->account);
    if (!rc && !triggers)
        rc = text_list_addf(&d->warnings, err,
                            "the login %s may not see triggers: if there are any, they are not in the dump",
                            mysql_of(db)->account);
    return rc;
}

static enum error_kind server_clock(struct database *db, int64_t *out, struct error *err)
{
    int64_t us = 0;
    enum error_kind rc = mysql_number(db, 0, &us, err, "SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)");

    if (!rc)
        *out = us * 1000;
    return rc;
}

/* ---- what the tables look like ---- */

static enum error_kind read_shapes(struct database *db, struct text_list *out, struct error *err)
{
    enum error_kind rc = mysql_run(db, err, "SET SESSION group_concat_max_len = 4194304");

    return rc ? rc
              : mysql_list(
                    db, out, err,
                    "SELECT CONCAT(t.TABLE_NAME, ' ', MD5(GROUP_CONCAT(CONCAT_WS('/', c.COLUMN_NAME, c.COLUMN_TYPE, "
                    "c.IS_NULLABLE, COALESCE(c.COLUMN_DEFAULT, ''), c.EXTRA, COALESCE(c.COLLATION_NAME, '')) "
                    "ORDER BY c.ORDINAL_POSITION))) FROM information_schema.TABLES t JOIN information_schema.COLUMNS c "
                    "USING (TABLE_SCHEMA, TABLE_NAME) WHERE t.TABLE_SCHEMA = %t AND t.TABLE_TYPE IN ('BASE TABLE', "
                    "'SYSTEM VERSIONED') AND t.TABLE_NAME <> %t GROUP BY t.TABLE_NAME ORDER BY t.TABLE_NAME",
                    db->name, MYSQL_MARKER);
}

/* A table that came meanwhile is not of this view and takes nothing from it. */
static enum error_kind check_shapes(struct database *db, const struct text_list *before, struct error *err)
{
    struct text_list after = TEXT_LIST_INIT;
    enum error_kind rc = read_shapes(db, &after, err);

    for (size_t i = 0; !rc && i < before->count; i++)
        if (!text_list_has(&after, before->items[i])) {
            int name_len = (int)(strrchr(before->items[i], ' ') - before->items[i]);

            rc = error_set(err, ERR_REMOTE, 0, "table %.*s was altered or dropped while it was dumped", name_len,
                           before->items[i]);
            error_hint(err, "try again when nothing is being installed or upgraded");
        }
    text_list_release(&after);
    return rc;
}

/* ---- the tool ---- */

static enum error_kind start_tool(struct database *db, struct dump *d, struct error *err)
{
    const char *argv[ARGUMENTS_MAX];
    struct process_spec spec = {0};
    char defaults[96];
    size_t n = 0;
    enum error_kind rc;

    rc = mysql_tool_options(db, &d->tool, &d->options, err);
    if (!rc)
        rc = memory_format(&d->ignore, err, "--ignore-table=%s.%s", db->name, MYSQL_MARKER);
    if (rc)
        return rc;
    snprintf(defaults, sizeof defaults, "--defaults-file=%s", d->options.path);
    argv[n++] = d->tool.program;
    argv[n++] = defaults; /* first, and instead of every other option file, so that none of them changes the dump */
    argv[n++] = "--single-transaction";
    argv[n++] = "--order-by-primary";
    argv[n++] = "--quick";
    argv[n++] = "--hex-blob";
    argv[n++] = "--default-character-set=utf8mb4";
    argv[n++] = "--routines";
    argv[n++] = d->no_triggers ? "--skip-triggers" : "--triggers";
    argv[n++] = d->no_events ? "--skip-events" : "--events";
    argv[n++] = "--no-tablespaces";
    argv[n++] = "--skip-comments";
    argv[n++] = "--skip-dump-date";
    argv[n++] = "--skip-add-locks";
    argv[n++] = "--max-allowed-packet=1G";
    argv[n++] = "--net-buffer-length=1M";
    if (!d->tool.mariadb) {
        argv[n++] = "--set-gtid-purged=OFF";
        if (d->tool.version >= 80000)
            argv[n++] = "--column-statistics=0";
    }
    argv[n++] = d->ignore;
    argv[n++] = "--";
    argv[n++] = db->name;
    argv[n] = NULL;
    spec.argv = argv;
    spec.pipe_stdout = true;
    rc = process_start(&d->process, &spec, err);
    if (!rc)
        (void)fcntl(d->process.stdout_fd, F_SETPIPE_SZ, PIPE_BYTES); /* a wish: fewer switches between the two */
    return rc;
}

/* The tool's own last words, rather than ours about a broken pipe. */
static enum error_kind tool_failed(struct dump *d, struct error *err)
{
    struct error said = ERROR_INIT;

    if (!process_wait(&d->process, NULL, NULL, &said))
        return OK;
    if (strstr(said.text, "definition has changed") || strstr(said.text, "doesn't exist"))
        error_hint(&said,
                   "a table was altered while it was dumped: try again when nothing is being installed or upgraded");
    else if (strstr(said.text, "insufficent privileges") || strstr(said.text, "insufficient privileges") ||
             strstr(said.text, "Access denied") || strstr(said.text, "denied to user"))
        error_hint(&said, "the login lacks a right: name an administrative one with database-admin in the config");
    else if (strstr(said.text, "references invalid"))
        error_hint(&said, "drop or mend that view: as it is, nobody can use or restore it");
    error_copy(err, &said);
    return err->kind;
}

static enum error_kind read_tool(struct dump *d, void *bytes, size_t size, size_t *got, struct error *err)
{
    ssize_t n = read(d->process.stdout_fd, bytes, size);

    *got = n > 0 ? (size_t)n : 0;
    if (n < 0 && errno == EINTR) /* a signal: the caller asks whether it means to stop */
        return OK;
    if (n < 0)
        return error_set(err, ERR_IO, errno, "reading from %s", d->tool.program);
    d->ended = n == 0;
    return OK;
}

static bool view_is_open(const struct buffer *ahead)
{
    return ahead->len &&
           (memmem(ahead->data, ahead->len, "\nDROP TABLE", 11) ||
            memmem(ahead->data, ahead->len, "CREATE TABLE", 12) || memmem(ahead->data, ahead->len, "CREATE VIEW", 11) ||
            memmem(ahead->data, ahead->len, "SEQUENCE", 8));
}

static enum error_kind wait_for_view(struct dump *d, struct error *err)
{
    char piece[8192];
    size_t got = 0;
    enum error_kind rc = OK;

    while (!rc && !d->ended && !view_is_open(&d->ahead)) {
        rc = cancel_check(err);
        if (!rc)
            rc = read_tool(d, piece, sizeof piece, &got, err);
        if (!rc)
            rc = buffer_append(&d->ahead, piece, got, err);
    }
    if (!rc && d->ended)
        rc = tool_failed(d, err); /* a tiny database's dump is over already; a refused login shows here, too */
    return rc;
}

/* ---- begin, run, end ---- */

static enum error_kind prepare(struct database *db, struct dump *d, struct error *err)
{
    struct mysql_marker marker = MYSQL_MARKER_INIT;
    bool exists = false;
    enum error_kind rc;

    rc = mysql_schema_exists(db, db->name, &exists, err);
    if (!rc && !exists) {
        rc = error_set(err, ERR_NOT_FOUND, 0, "there is no database %s on the server", db->name);
        error_hint(err, "check the connection string in the shop's settings");
    }
    if (!rc)
        rc = mysql_tool_find_dump(&d->tool, err);
    if (!rc)
        rc = check_age(db, &d->tool, err);
    if (!rc)
        rc = check_rights(db, d, err);
    if (!rc)
        rc = find_weak_spots(db, d, err);
    if (!rc)
        rc = find_history(db, d, err);
    if (!rc)
        rc = read_shapes(db, &d->shapes, err);
    if (!rc)
        rc = mysql_marker_read(db, db->name, &marker, err);
    if (rc)
        return rc;
    d->held_back = marker.events;
    marker.events = (struct text_list)TEXT_LIST_INIT;
    mysql_marker_release(&marker);
    return OK;
}

enum error_kind mysql_dump_begin(struct database_dump *dump, struct error *err)
{
    void *memory = NULL;
    struct dump *d = NULL;
    enum error_kind rc = memory_zeroed(1, sizeof *d, &memory, err);

    if (rc)
        return rc;
    dump->engine = d = memory;
    d->ahead = (struct buffer)BUFFER_INIT(AHEAD_MAX);
    d->process = (struct process)PROCESS_INIT;
    d->options = (struct secret_file)SECRET_FILE_INIT;
    rc = prepare(dump->db, d, err);
    if (!rc)
        rc = server_clock(dump->db, &d->moment_ns, err); /* before the view, so that nothing newer counts as older */
    if (!rc)
        rc = start_tool(dump->db, d, err);
    if (!rc)
        rc = wait_for_view(d, err);
    return rc;
}

static enum error_kind to_lines(void *arg, const void *bytes, size_t len, struct error *err)
{
    struct dump *d = arg;

    return mysql_lines_feed(d->lines, bytes, len, err);
}

static enum error_kind stream(struct dump *d, struct error *err)
{
    void *piece = NULL;
    size_t got = 0;
    enum error_kind rc = memory_allocate(READ_SIZE, &piece, err);

    if (!rc)
        rc = mysql_scan_feed(d->scan, d->ahead.data, d->ahead.len, err);
    buffer_release(&d->ahead);
    while (!rc && !d->ended) {
        rc = cancel_check(err);
        if (!rc)
            rc = read_tool(d, piece, READ_SIZE, &got, err);
        if (!rc && got)
            rc = mysql_scan_feed(d->scan, piece, got, err);
        if (!rc && d->ended)
            rc = tool_failed(d, err);
    }
    free(piece);
    return rc;
}

enum error_kind mysql_dump_run(struct database_dump *dump, database_sink_fn *sink, void *arg, struct error *err)
{
    struct dump *d = dump->engine;
    enum error_kind rc;

    rc = mysql_scan_new(to_lines, d, &d->scan, err);
    if (!rc && dump->picture)
        mysql_scan_ids(d->scan, "Picture", dump->picture, dump->picture_arg);
    if (!rc)
        rc = mysql_lines_new(&d->held_back, NULL, sink, arg, &d->lines, err);
    if (!rc)
        rc = stream(d, err);
    if (!rc)
        rc = mysql_scan_end(d->scan, err);
    if (!rc)
        rc = mysql_lines_end(d->lines, err);
    if (!rc)
        rc = check_shapes(dump->db, &d->shapes, err);
    d->complete = !rc;
    return rc;
}

static enum error_kind fill_facts(struct database *db, struct dump *d, struct database_facts *out, struct error *err)
{
    enum error_kind rc;

    if (!d->complete)
        return error_set(err, ERR_REMOTE, 0, "the dump was not read to its end");
    rc = memory_string(mysql_client_server(mysql_of(db)->client), &out->server_version, err);
    if (!rc)
        rc = memory_string(d->tool.version_text, &out->tool_version, err);
    if (!rc)
        rc = memory_string("sql", &out->format, err);
    if (!rc)
        rc = mysql_properties(db, mysql_scan_largest(d->scan), &out->properties, err);
    if (!rc)
        rc = database_shop_facts(db, &out->is_nopcommerce, &out->picture_path, &out->pictures_in_database, err);
    if (rc)
        return rc;
    out->moment_ns = d->moment_ns;
    out->warnings = d->warnings;
    d->warnings = (struct text_list)TEXT_LIST_INIT;
    mysql_scan_counts(d->scan, &out->counts);
    return OK;
}

enum error_kind mysql_dump_end(struct database_dump *dump, struct database_facts *out, struct error *err)
{
    struct dump *d = dump->engine;
    enum error_kind rc = OK;

    if (!d)
        return OK;
    if (out)
        rc = fill_facts(dump->db, d, out, err);
    process_kill(&d->process);
    secret_file_release(&d->options);
    mysql_scan_free(d->scan);
    mysql_lines_free(d->lines);
    buffer_release(&d->ahead);
    mysql_tool_release(&d->tool);
    text_list_release(&d->warnings);
    text_list_release(&d->held_back);
    text_list_release(&d->shapes);
    free(d->ignore);
    free(d);
    dump->engine = NULL;
    return rc;
}
