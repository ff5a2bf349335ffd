#include "index_internal.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "buffer.h"
#include "text.h"

#define APPLICATION_ID 0x4e53696e /* "NSin" */
#define SCHEMA_VERSION 1
#define CACHE_KIB 2048
#define VALUE_MAX (16 << 20) /* bytes of one value or row; ours are far below */
#define STATEMENTS_MAX 48    /* kept prepared; more are prepared anew each time */

struct index_statement {
    struct index *ix;
    sqlite3_stmt *stmt;
    bool kept; /* in ix->kept, for the next use */
    bool busy;
    int bad; /* first failed binding */
};

struct index {
    sqlite3 *db;
    struct index_statement *kept[STATEMENTS_MAX];
    int kept_count;
};

static enum error_kind kind_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_BUSY;
    case SQLITE_FULL:
        return ERR_SPACE;
    case SQLITE_NOMEM:
    case SQLITE_TOOBIG:
        return ERR_MEMORY;
    /* Our SQL is fixed: an unknown table or column means that the file is not what it should be. */
    case SQLITE_ERROR:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
    case SQLITE_MISMATCH:
    case SQLITE_CONSTRAINT:
    case SQLITE_SCHEMA:
        return ERR_CORRUPT;
    default:
        return ERR_IO;
    }
}

static enum error_kind fail(sqlite3 *db, int code, const char *doing, struct error *err)
{
    enum error_kind kind;
    int sys = db ? sqlite3_system_errno(db) : 0;

    code = db ? sqlite3_extended_errcode(db) : code;
    kind = code == SQLITE_IOERR_SHORT_READ ? ERR_CORRUPT : kind_of(code);
    assert(kind != OK);
    if (kind == ERR_SPACE) { /* in the words of every other file */
        error_set(err, kind, ENOSPC, "index: %s", doing);
        error_hint(err, HINT_NO_ROOM);
        return kind;
    }
    error_set(err, kind, 0, "index: %s: %s", doing, db ? sqlite3_errmsg(db) : sqlite3_errstr(code));
    if (kind == ERR_IO)
        err->sys = sys;
    if (kind == ERR_CORRUPT)
        error_hint(err, "make the index again from the packs: nopsnap rebuild");
    else if (kind == ERR_BUSY)
        error_hint(err, "another nopsnap is writing to this catalogue: try again when it has ended");
    return kind;
}

/* SQLite takes a URI; what is special in one is escaped. */
static enum error_kind uri_of(const char *path, bool immutable, char **out, struct error *err)
{
    static const char hex[] = "0123456789abcdef";
    struct buffer b = BUFFER_INIT(1 << 16);
    enum error_kind rc = buffer_append_text(&b, "file:", err);

    for (const unsigned char *p = (const unsigned char *)path; !rc && *p; p++) {
        if (*p == '%' || *p == '?' || *p == '#') {
            char escaped[4] = {'%', hex[*p >> 4], hex[*p & 15], '\0'};
            rc = buffer_append_text(&b, escaped, err);
        } else {
            rc = buffer_append_u8(&b, *p, err);
        }
    }
    if (!rc && immutable)
        rc = buffer_append_text(&b, "?immutable=1", err);
    if (!rc)
        *out = buffer_detach(&b);
    buffer_release(&b);
    return rc;
}

static enum error_kind read_number(struct index *ix, const char *sql, int64_t *out, struct error *err)
{
    struct index_statement *st = NULL;
    enum error_kind rc;
    bool row = false;

    rc = index_prepare(ix, sql, &st, err);
    if (!rc)
        rc = index_step(st, &row, err);
    if (!rc)
        *out = row ? index_number(st, 0) : 0;
    index_finish(st);
    return rc;
}

static enum error_kind create_schema(struct index *ix, struct error *err)
{
    enum error_kind rc;
    int64_t tables = 0;

    rc = index_begin(ix, err);
    if (rc)
        goto done;
    rc = read_number(ix, "SELECT count(*) FROM sqlite_schema", &tables, err);
    if (rc)
        goto done;
    if (tables > 0) {
        rc = error_set(err, ERR_EXISTS, 0, "index: the file holds tables already");
        goto done;
    }
    for (size_t i = 0; index_schema[i]; i++) {
        rc = index_run(ix, index_schema[i], err);
        if (rc)
            goto done;
    }
    rc = index_run(ix, "PRAGMA application_id = 1314089326; PRAGMA user_version = 1", err);
    if (rc)
        goto done;
    rc = index_commit(ix, err);

done:
    index_rollback(ix);
    return rc;
}

/* Is it our file, with nothing in it that acts by itself? */
static enum error_kind check_schema(struct index *ix, struct error *err)
{
    int64_t application = 0, version = 0, active = 0;
    enum error_kind rc;

    rc = read_number(ix, "PRAGMA application_id", &application, err);
    if (!rc)
        rc = read_number(ix, "PRAGMA user_version", &version, err);
    if (!rc)
        rc = read_number(ix, "SELECT count(*) FROM sqlite_schema WHERE type NOT IN ('table', 'index')", &active, err);
    if (rc)
        return rc;
    if (application != APPLICATION_ID || version < 1 || active != 0) {
        rc = error_set(err, ERR_CORRUPT, 0, "index: catalog.sqlite is not an index of ours, or is damaged");
        error_hint(err, "make the index again from the packs: nopsnap rebuild");
    } else if (version > SCHEMA_VERSION) {
        rc = error_set(err, ERR_CORRUPT, 0, "index: made by a newer nopsnap (schema %lld, this one knows %d)",
                       (long long)version, SCHEMA_VERSION);
        error_hint(err, "use the newer nopsnap, or make the index again: nopsnap rebuild");
    }
    return rc;
}

/* ---- the memory that connections share ---- */

/*
 * A WAL's index is a file that every connection maps. SQLite makes it longer by one byte a page of 4096, which takes a block only where blocks
 * are as long; with smaller ones, or a disk that fills up in between, the write to memory that nobody has room for is a SIGBUS. So
 * every page is asked for at once, which fails like any call. A kernel before 5.14 does not know how; there all is as SQLite has it.
 */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static pthread_mutex_t guard_lock = PTHREAD_MUTEX_INITIALIZER;
static const sqlite3_io_methods *unguarded; /* of the one VFS that is used for files that are written */
static sqlite3_io_methods guarded;

static int map_shared(sqlite3_file *file, int region, int size, int extend, void volatile **out)
{
    int code;

    errno = 0;
    code = unguarded->xShmMap(file, region, size, extend, out);
    if (code != SQLITE_OK)
        return errno == ENOSPC || errno == EDQUOT ? SQLITE_FULL : code;
    if (!*out || madvise((void *)*out, (size_t)size, MADV_POPULATE_WRITE) == 0 || errno != EFAULT)
        return SQLITE_OK;
    *out = NULL;
    return SQLITE_FULL;
}

/* Before the first page is read: until then nothing is mapped. */
static enum error_kind guard_shared(struct index *ix, struct error *err)
{
    sqlite3_file *file = NULL;
    int code = sqlite3_file_control(ix->db, "main", SQLITE_FCNTL_FILE_POINTER, &file);

    if (code != SQLITE_OK || !file || !file->pMethods)
        return error_set(err, ERR_IO, 0, "index: the file that is open can't be reached: %s", sqlite3_errstr(code));
    pthread_mutex_lock(&guard_lock);
    if (!unguarded) {
        unguarded = file->pMethods;
        guarded = *unguarded;
        guarded.xShmMap = map_shared;
    }
    if (file->pMethods == unguarded)
        file->pMethods = &guarded;
    pthread_mutex_unlock(&guard_lock);
    return OK;
}

static enum error_kind configure(struct index *ix, enum index_mode mode, struct error *err)
{
    enum error_kind rc;
    int on = 0;

    sqlite3_extended_result_codes(ix->db, 1);
    sqlite3_busy_timeout(ix->db, INDEX_BUSY_MS);
    /* P11: a file from elsewhere can't run functions from its schema, or write into SQLite's own tables. */
    sqlite3_db_config(ix->db, SQLITE_DBCONFIG_DEFENSIVE, 1, &on);
    sqlite3_db_config(ix->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, &on);
    sqlite3_limit(ix->db, SQLITE_LIMIT_LENGTH, VALUE_MAX);
    rc = index_run(ix, "PRAGMA cell_size_check = ON; PRAGMA temp_store = FILE; PRAGMA mmap_size = 0", err);
    if (!rc && mode == INDEX_CREATE)
        rc = index_run(ix, "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL", err);
    if (!rc && mode != INDEX_IMMUTABLE)
        rc = index_run(ix, "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000", err);
    if (!rc)
        rc = index_run(ix, "PRAGMA cache_size = -2048", err);
    return rc;
}

enum error_kind index_open(const char *path, enum index_mode mode, struct index **out, struct error *err)
{
    int flags = SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    struct index *ix = NULL;
    char *uri = NULL;
    enum error_kind rc;
    int code;

    _Static_assert(CACHE_KIB == 2048, "the text of the pragma has the number");
    rc = memory_zeroed(1, sizeof(*ix), (void **)&ix, err);
    if (rc)
        goto done;
    rc = uri_of(path, mode == INDEX_IMMUTABLE, &uri, err);
    if (rc)
        goto done;
    flags |= mode == INDEX_IMMUTABLE ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    if (mode == INDEX_CREATE)
        flags |= SQLITE_OPEN_CREATE;
    code = sqlite3_open_v2(uri, &ix->db, flags, NULL);
    if (code != SQLITE_OK) {
        rc = fail(ix->db, code, path, err);
        goto done;
    }
    if (mode != INDEX_IMMUTABLE)
        rc = guard_shared(ix, err);
    if (!rc)
        rc = configure(ix, mode, err);
    if (!rc && mode == INDEX_CREATE)
        rc = create_schema(ix, err);
    if (!rc)
        rc = check_schema(ix, err);
    if (rc == ERR_SPACE) { /* whatever statement was the first to need some */
        error_set(err, ERR_SPACE, ENOSPC, "index: opening %s", path);
        error_hint(err, HINT_NO_ROOM);
    }
    if (rc)
        goto done;
    *out = ix;
    ix = NULL;

done:
    index_close(ix);
    free(uri);
    return rc;
}

void index_close(struct index *ix)
{
    if (!ix)
        return;
    for (int i = 0; i < ix->kept_count; i++) {
        sqlite3_finalize(ix->kept[i]->stmt);
        free(ix->kept[i]);
    }
    sqlite3_close_v2(ix->db);
    free(ix);
}

void index_busy_timeout(struct index *ix, int timeout_ms)
{
    sqlite3_busy_timeout(ix->db, timeout_ms);
}

enum error_kind index_sync_commits(struct index *ix, bool sync, struct error *err)
{
    return index_run(ix, sync ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL", err);
}

enum error_kind index_begin(struct index *ix, struct error *err)
{
    return index_run(ix, "BEGIN IMMEDIATE", err);
}

enum error_kind index_commit(struct index *ix, struct error *err)
{
    return index_run(ix, "COMMIT", err);
}

void index_rollback(struct index *ix)
{
    if (ix && index_in_transaction(ix))
        (void)sqlite3_exec(ix->db, "ROLLBACK", NULL, NULL, NULL);
}

bool index_in_transaction(const struct index *ix)
{
    return !sqlite3_get_autocommit(ix->db);
}

enum error_kind index_run(struct index *ix, const char *sql, struct error *err)
{
    int code = sqlite3_exec(ix->db, sql, NULL, NULL, NULL);

    return code == SQLITE_OK ? OK : fail(ix->db, code, sql, err);
}

static struct index_statement *kept_find(struct index *ix, const char *sql)
{
    for (int i = 0; i < ix->kept_count; i++) {
        if (!ix->kept[i]->busy && strcmp(sqlite3_sql(ix->kept[i]->stmt), sql) == 0)
            return ix->kept[i];
    }
    return NULL;
}

enum error_kind index_prepare(struct index *ix, const char *sql, struct index_statement **out, struct error *err)
{
    struct index_statement *st = kept_find(ix, sql);
    enum error_kind rc;
    int code;

    if (!st) {
        rc = memory_zeroed(1, sizeof(*st), (void **)&st, err);
        if (rc)
            return rc;
        assert(st);
        code = sqlite3_prepare_v3(ix->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &st->stmt, NULL);
        if (code != SQLITE_OK) {
            free(st);
            rc = fail(ix->db, code, sql, err);
            assert(rc);
            return rc;
        }
        st->ix = ix;
        if (ix->kept_count < STATEMENTS_MAX) {
            st->kept = true;
            ix->kept[ix->kept_count++] = st;
        }
    }
    st->busy = true;
    st->bad = SQLITE_OK;
    *out = st;
    return OK;
}

void index_finish(struct index_statement *st)
{
    if (!st)
        return;
    if (!st->kept) {
        sqlite3_finalize(st->stmt);
        free(st);
        return;
    }
    sqlite3_reset(st->stmt);
    sqlite3_clear_bindings(st->stmt);
    st->busy = false;
}

static void bound(struct index_statement *st, int code)
{
    if (st->bad == SQLITE_OK)
        st->bad = code;
}

void index_bind_number(struct index_statement *st, int at, int64_t n)
{
    bound(st, sqlite3_bind_int64(st->stmt, at, n));
}

void index_bind_text(struct index_statement *st, int at, const char *text)
{
    bound(st, text ? sqlite3_bind_text(st->stmt, at, text, -1, SQLITE_TRANSIENT) : sqlite3_bind_null(st->stmt, at));
}

void index_bind_bytes(struct index_statement *st, int at, const void *bytes, size_t len)
{
    bound(st, sqlite3_bind_blob64(st->stmt, at, len ? bytes : "", len, SQLITE_TRANSIENT));
}

enum error_kind index_step(struct index_statement *st, bool *row, struct error *err)
{
    int code = st->bad;

    if (code != SQLITE_OK)
        return error_set(err, kind_of(code), 0, "index: binding a value: %s", sqlite3_errstr(code));
    code = sqlite3_step(st->stmt);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return fail(st->ix->db, code, sqlite3_sql(st->stmt), err);
    if (row)
        *row = code == SQLITE_ROW;
    return OK;
}

enum error_kind index_execute(struct index *ix, const char *sql, const int64_t *numbers, int count, struct error *err)
{
    struct index_statement *st = NULL;
    enum error_kind rc;
    bool row = true;

    rc = index_prepare(ix, sql, &st, err);
    if (rc)
        return rc;
    for (int i = 0; i < count; i++)
        index_bind_number(st, i + 1, numbers[i]);
    while (!rc && row)
        rc = index_step(st, &row, err);
    index_finish(st);
    return rc;
}

int64_t index_number(const struct index_statement *st, int column)
{
    return sqlite3_column_int64(st->stmt, column);
}

const char *index_text(const struct index_statement *st, int column)
{
    return (const char *)sqlite3_column_text(st->stmt, column);
}

const void *index_bytes(const struct index_statement *st, int column, size_t *len)
{
    const void *bytes = sqlite3_column_blob(st->stmt, column);

    *len = (size_t)sqlite3_column_bytes(st->stmt, column);
    return bytes;
}

int64_t index_changes(const struct index *ix)
{
    return sqlite3_changes64(ix->db);
}

int64_t index_last_row(const struct index *ix)
{
    return sqlite3_last_insert_rowid(ix->db);
}
