/*
 * A dump by BACKUP DATABASE. All of it is made when the dump begins, with the tables locked against writers (N5); what follows only reads
 * the file. It loses its name as soon as it is open here, so that nothing is left of a run that is killed while it is read.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "sqlserver_native_internal.h"
#include "thread.h"

enum { SQL_MAX = 64 * 1024, PIECE = 1024 * 1024 };

struct backup {
    struct sqlserver_file file;
    struct database_counts counts;
    char *properties; /* JSON */
    int64_t *pictures;
    size_t picture_count, picture_cap;
    int64_t moment_ns;
    char *server_version;
    int fd;
    bool complete;
};

/* ---- what is read while nobody can write ---- */

static enum error_kind keep_picture(void *arg, const struct database_row *row, struct error *err)
{
    struct backup *b = arg;

    if (!row->values[0])
        return OK;
    if (b->picture_count == b->picture_cap) {
        size_t cap = b->picture_cap ? 2 * b->picture_cap : 1024;
        int64_t *grown = realloc(b->pictures, cap * sizeof *grown);

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory");
        b->pictures = grown;
        b->picture_cap = cap;
    }
    b->pictures[b->picture_count++] = strtoll(row->values[0], NULL, 10);
    return OK;
}

static enum error_kind read_pictures(struct database *db, struct sqlserver_link *l, struct backup *b, struct error *err)
{
    struct text_list columns = TEXT_LIST_INIT;
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    char *table = NULL;
    enum error_kind rc = db->ops->table(db, "Picture", &table, &columns, err);

    if (!rc && table)
        rc = sqlserver_ddl(&sql, err, "/* nopsnap: pictures */ SELECT CAST([Id] AS bigint) FROM %s", table);
    if (!rc && table)
        rc = sqlserver_link_run(l, (char *)sql.data, keep_picture, b, err);
    buffer_release(&sql);
    text_list_release(&columns);
    free(table);
    return rc;
}

enum error_kind sqlserver_properties_read(struct sqlserver_link *l, char **out, struct error *err)
{
    struct sqlserver_rows row = {0};
    struct sqlserver_rows logins = {0};
    enum error_kind rc =
        sqlserver_link_run(l,
                           "/* nopsnap: properties */ SELECT d.collation_name, CAST(d.compatibility_level AS int) AS "
                           "compatibility_level, d.recovery_model_desc, SUSER_SNAME(d.owner_sid) AS owner_name FROM "
                           "sys.databases d WHERE d.database_id = DB_ID()",
                           sqlserver_rows_add, &row, err);

    if (!rc)
        rc = sqlserver_link_run(l,
                                "/* nopsnap: logins */ SELECT p.name, SUSER_SNAME(p.sid) AS login_name FROM "
                                "sys.database_principals p WHERE p.type = 'S' AND p.principal_id > 4 AND "
                                "SUSER_SNAME(p.sid) IS NOT NULL ORDER BY p.name",
                                sqlserver_rows_add, &logins, err);
    if (!rc)
        rc = sqlserver_properties_text(&row, &logins, out, err);
    sqlserver_rows_release(&row);
    sqlserver_rows_release(&logins);
    return rc;
}

static enum error_kind read_locked(struct database *db, struct sqlserver_link *lock, struct backup *b,
                                   struct error *err)
{
    enum error_kind rc = sqlserver_count(db, db->name, &b->counts, err);

    if (!rc)
        rc = read_pictures(db, lock, b, err);
    return rc ? rc : sqlserver_properties_read(lock, &b->properties, err);
}

/* ---- the file ---- */

/* COPY_ONLY: an ordinary backup would become the base of somebody's next differential one. No compression: the catalogue finds what is alike. */
static enum error_kind write_backup(struct database *db, struct sqlserver_link *master, struct backup *b,
                                    struct error *err)
{
    enum error_kind rc =
        sqlserver_native_run(db, master, NULL, err,
                             "BACKUP DATABASE %n TO DISK = %t WITH COPY_ONLY, CHECKSUM, FORMAT, INIT, NO_COMPRESSION, "
                             "MAXTRANSFERSIZE = 4194304, STATS = 1",
                             db->name, b->file.server);

    if (!rc)
        rc = sqlserver_native_run(db, master, NULL, err, "RESTORE VERIFYONLY FROM DISK = %t WITH CHECKSUM",
                                  b->file.server);
    return rc;
}

static enum error_kind take_file(struct backup *b, struct error *err)
{
    struct error later = ERROR_INIT;
    enum error_kind rc = file_open(AT_FDCWD, b->file.local, O_RDONLY | O_NOFOLLOW, 0, &b->fd, err);

    if (rc) {
        error_context(err, "reading what the server wrote");
        return rc;
    }
    if (sqlserver_file_remove(&b->file, &later) == OK) /* else at the end, when it is closed: some shares want that */
        sqlserver_file_release(&b->file);
    return OK;
}

static enum error_kind make(struct database *db, struct sqlserver_link *master, struct backup *b, struct error *err)
{
    struct sqlserver_link *lock = NULL;
    enum error_kind rc = sqlserver_link_text(
        master, "/* nopsnap: version */ SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128))",
        &b->server_version, err);

    if (!rc)
        rc = sqlserver_link_open(db, db->name, &lock, err);
    if (!rc)
        rc = sqlserver_view_lock(lock, &b->moment_ns, err);
    if (!rc)
        rc = write_backup(db, master, b, err);
    if (!rc)
        rc = read_locked(db, lock, b, err);
    if (!rc)
        rc = sqlserver_view_close(lock, err);
    sqlserver_link_close(lock); /* and with it the locks */
    return rc ? rc : take_file(b, err);
}

enum error_kind sqlserver_backup_begin(struct database_dump *dump, const struct sqlserver_share *share,
                                       struct error *err)
{
    struct sqlserver_link *master = NULL;
    struct error stays = ERROR_INIT;
    struct backup *b = NULL;
    void *memory = NULL;
    enum error_kind rc = memory_zeroed(1, sizeof *b, &memory, err);

    if (rc)
        return rc;
    dump->engine = b = memory;
    dump->native = true;
    b->fd = -1;
    rc = sqlserver_master(dump->db, &master, err);
    if (!rc)
        rc = sqlserver_file_name(share, &b->file, err);
    if (!rc)
        rc = make(dump->db, master, b, err);
    if (rc && sqlserver_file_remove(&b->file, &stays)) /* N2 */
        error_hint(err, "%s; %s", stays.text, stays.hint);
    if (rc)
        sqlserver_file_release(&b->file);
    return rc;
}

/* ---- the stream ---- */

enum error_kind sqlserver_backup_run(struct database_dump *dump, database_sink_fn *sink, void *arg, struct error *err)
{
    struct backup *b = dump->engine;
    void *piece = NULL;
    size_t got = 1;
    enum error_kind rc = memory_zeroed(1, PIECE, &piece, err);

    while (!rc && got) {
        rc = file_read(b->fd, piece, PIECE, &got, "the server's backup", err);
        if (!rc && got)
            rc = sink(arg, piece, got, err);
    }
    for (size_t i = 0; !rc && dump->picture && i < b->picture_count; i++)
        rc = dump->picture(dump->picture_arg, b->pictures[i], err);
    b->complete = !rc;
    free(piece);
    return rc;
}

/* ---- facts ---- */

static enum error_kind fill_facts(struct database *db, struct backup *b, struct database_facts *out, struct error *err)
{
    enum error_kind rc;

    if (!b->complete)
        return error_set(err, ERR_REMOTE, 0, "the backup was not read to its end");
    rc = memory_string(b->server_version ? b->server_version : "", &out->server_version, err);
    if (!rc)
        rc = memory_string(SQLSERVER_FORMAT_NATIVE, &out->format, err);
    if (!rc)
        rc = database_shop_facts(db, &out->is_nopcommerce, &out->picture_path, &out->pictures_in_database, err);
    if (rc)
        return rc;
    out->counts = b->counts;
    b->counts = (struct database_counts){NULL, 0};
    out->properties = b->properties;
    b->properties = NULL;
    out->moment_ns = b->moment_ns;
    return OK;
}

enum error_kind sqlserver_backup_end(struct database_dump *dump, struct database_facts *out, struct error *err)
{
    struct backup *b = dump->engine;
    struct error stays = ERROR_INIT;
    enum error_kind rc = OK;

    if (!b)
        return OK;
    file_close(&b->fd);
    if (out)
        rc = fill_facts(dump->db, b, out, err);
    if (sqlserver_file_remove(&b->file, &stays) && out && !rc)
        rc = text_list_addf(&out->warnings, err, "%s; %s", stays.text, stays.hint);
    sqlserver_file_release(&b->file);
    database_counts_release(&b->counts);
    free(b->properties);
    free(b->pictures);
    free(b->server_version);
    free(b);
    dump->engine = NULL;
    return rc;
}
