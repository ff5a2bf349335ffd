/*
 * Exact values over one connection; alone in including the DB-Library's header.
 *
 * The library's handlers are the process's own (reference D.5): they find the connection by its user data, or, while one is being opened, in
 * a thread's own variable. No handler returns anything that makes the library end the process.
 */
#include <assert.h>
#include <errno.h>
#include <iconv.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sybdb.h>

#include "sqlserver_connect_internal.h"
#include "sqlserver_logical_internal.h"
#include "thread.h"

enum {
    TEXT_ROOM = 256,
    FIXED_ROOM = 48,       /* of the longest value that is no run of bytes */
    DAYS_TO_1900 = 693595, /* from 0001-01-01 */
    UNIQUE_TYPE = 36,      /* in no public header */
    COLUMNS_MAX = 8192,
    SEAT_TAKEN = 924, /* "is already open and can only have one user at a time" */
};

struct bulk {
    const struct sqlserver_column *columns;
    size_t count;
    int *ordinals; /* of the table's columns, counting those that are skipped */
    unsigned char (*fixed)[FIXED_ROOM];
    int64_t sent; /* rows */
    bool open;
};

struct sqlserver_link {
    DBPROCESS *process;
    struct sqlserver_ways ways;
    struct error said;                 /* the first failure of the running statement */
    struct sqlserver_refusal *refusal; /* while logging in: what was said; else NULL */
    sqlserver_message_fn *listener;    /* or NULL */
    void *listener_arg;
    uint64_t heard; /* messages */
    bool dead;
    atomic_bool quit; /* by another thread: what runs is to be given up */
    iconv_t to_utf16;
    struct bulk bulk;
};

/* ---- handlers ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool started;
static _Thread_local struct sqlserver_link *opening;

static struct sqlserver_link *link_of(DBPROCESS *process)
{
    struct sqlserver_link *l = process ? (struct sqlserver_link *)(void *)dbgetuserdata(process) : NULL;

    return l ? l : opening;
}

static int take_message(DBPROCESS *process, DBINT number, int state, int severity, char *text, char *server, char *proc,
                        int line)
{
    struct sqlserver_link *l = link_of(process);

    (void)state;
    (void)server;
    if (l)
        l->heard++;
    if (l && l->listener) {
        struct sqlserver_message m = {.number = (int)number,
                                      .severity = severity,
                                      .line = line,
                                      .text = text ? text : "",
                                      .procedure = proc ? proc : ""};

        l->listener(l->listener_arg, &m);
    }
    if (l && l->refusal && severity > 10 && !l->refusal->number) {
        l->refusal->number = (int)number;
        snprintf(l->refusal->text, sizeof l->refusal->text, "%s", text);
    }
    if (l && severity > 10 && !l->said.kind)
        error_set(&l->said, ERR_REMOTE, 0, "%s (%d)", text, (int)number);
    return 0;
}

/* Cancel and timeout send an attention and leave the connection usable; for everything else the statement is given up. */
static int take_error(DBPROCESS *process, int severity, int number, int os_error, char *text, char *os_text)
{
    struct sqlserver_link *l = link_of(process);

    (void)severity;
    (void)os_text;
    if (l && l->refusal && !l->refusal->library) {
        l->refusal->library = number;
        if (!l->refusal->number)
            snprintf(l->refusal->text, sizeof l->refusal->text, "%s", text ? text : "");
    }
    if (number == SYBETIME && !(l && l->refusal)) /* a login that takes too long has nothing to be told */
        return INT_TIMEOUT;
    /* That the server has said something (20018) is in its message; a character that was lost is a loss of data. */
    if (l && !l->said.kind && number != SYBESMSG)
        error_set(&l->said, ERR_REMOTE, 0, "%s (%d%s)", text, number, os_error ? ", connection" : "");
    return INT_CANCEL;
}

static int wants_to_stop(void *process)
{
    const struct sqlserver_link *l = link_of(process);

    return cancel_is_asked() || (l && atomic_load(&l->quit));
}

static int stop(void *process)
{
    (void)process;
    return INT_CANCEL;
}

static void start_library(void)
{
    sqlserver_library_prepare();
    if (dbinit() == FAIL)
        return;
    dberrhandle(take_error);
    dbmsghandle(take_message);
    started = true;
}

static enum error_kind failed(struct sqlserver_link *l, const char *what, struct error *err)
{
    enum error_kind rc = cancel_check(err);

    if (rc)
        return rc;
    if (!l->said.kind)
        return error_set(err, ERR_REMOTE, 0, "%s", what);
    error_copy(err, &l->said);
    return err->kind;
}

/* ---- connecting ---- */

/* A login ends only when the library says so: its handlers must find the link by then. */
static void begin_login(void *link)
{
    opening = link;
}

static enum error_kind log_in(struct database *db, const char *database, struct sqlserver_link *l, struct error *err)
{
    struct sqlserver_refusal refusal = {0};
    void *process = NULL;
    enum error_kind rc;

    l->refusal = &refusal;
    rc = sqlserver_connect(database_login(db), db->target, database ? database : "master", begin_login, &refusal, l,
                           &process, err);
    opening = NULL;
    l->refusal = NULL;
    error_clear(&l->said);
    if (rc == ERR_REMOTE && refusal.number == SEAT_TAKEN)
        rc = err->kind = ERR_BUSY;
    if (rc)
        return cancel_check(err) ? ERR_CANCELLED : rc;
    l->process = process;
    dbsetuserdata(l->process, (BYTE *)l);
    return OK;
}

/* TEXTSIZE first: the library leaves it at 4 KB, which would cut every long value without a word. */
static const char settings[] =
    "SET TEXTSIZE 2147483647; SET ANSI_NULLS, ANSI_PADDING, ANSI_WARNINGS, ANSI_NULL_DFLT_ON, ARITHABORT, "
    "CONCAT_NULL_YIELDS_NULL, QUOTED_IDENTIFIER ON; SET NUMERIC_ROUNDABORT, IMPLICIT_TRANSACTIONS OFF; "
    "SET LANGUAGE us_english; SET DATEFORMAT ymd; SET LOCK_TIMEOUT 60000; SET NOCOUNT OFF";

static enum error_kind check_text_size(struct sqlserver_link *l, struct error *err)
{
    char *text = NULL;
    enum error_kind rc = sqlserver_link_text(
        l, "/* nopsnap: text size */ SELECT REPLICATE(CAST('x' AS varchar(max)), 70000)", &text, err);

    if (!rc && (!text || strlen(text) != 70000))
        rc = error_set(err, ERR_REMOTE, 0, "the server cuts long values after %zu bytes", text ? strlen(text) : 0);
    free(text);
    return rc;
}

static enum error_kind see_bytes(void *arg, const struct sqlserver_value *values, struct error *err)
{
    static const unsigned char utf16[] = {0xe9, 0x00, 0xac, 0x20};

    (void)err;
    *(bool *)arg =
        values[0].bytes && values[0].len == sizeof utf16 && memcmp(values[0].bytes, utf16, sizeof utf16) == 0;
    return OK;
}

static enum error_kind see_ways(struct sqlserver_link *l, struct error *err)
{
    static const struct sqlserver_column bytes = {.kind = SQLSERVER_VARBINARY, .max_length = 8, .nullable = true};
    struct error ignored = ERROR_INIT;
    enum error_kind rc;

    rc = sqlserver_link_read(l, "/* nopsnap: utf-16 */ SELECT CONVERT(varbinary(8), NCHAR(233) + NCHAR(8364))", &bytes,
                             1, see_bytes, &l->ways.utf16_as_bytes, err);
    if (rc)
        return rc;
    l->ways.write_clause = !sqlserver_link_run(
        l,
        "/* nopsnap: write clause */ DECLARE @t TABLE (data varbinary(max)); INSERT INTO @t VALUES (0x); "
        "UPDATE @t SET data.WRITE(0x01, NULL, NULL)",
        NULL, NULL, &ignored);
    return cancel_check(err);
}

enum error_kind sqlserver_link_open(struct database *db, const char *database, struct sqlserver_link **out,
                                    struct error *err)
{
    struct sqlserver_link *l = NULL;
    void *memory = NULL;
    enum error_kind rc = memory_zeroed(1, sizeof *l, &memory, err);

    if (rc)
        return rc;
    l = memory;
    pthread_once(&once, start_library);
    l->to_utf16 = iconv_open("UTF-16LE", "UTF-8");
    if (!started || l->to_utf16 == (iconv_t)-1)
        rc = error_set(err, ERR_IO, 0, "the client library of SQL Server does not start");
    if (!rc)
        rc = log_in(db, database, l, err);
    if (!rc)
        dbsetinterrupt(l->process, wants_to_stop, stop);
    if (!rc)
        rc = sqlserver_link_run(l, settings, NULL, NULL, err);
    if (!rc)
        rc = check_text_size(l, err);
    if (!rc)
        rc = see_ways(l, err);
    if (rc) {
        sqlserver_link_close(l);
        return rc;
    }
    *out = l;
    return OK;
}

static void forget_bulk(struct sqlserver_link *l)
{
    free(l->bulk.ordinals);
    free(l->bulk.fixed);
    l->bulk = (struct bulk){0};
}

void sqlserver_link_close(struct sqlserver_link *l)
{
    if (!l)
        return;
    forget_bulk(l);
    if (l->process)
        dbclose(l->process);
    if (l->to_utf16 && l->to_utf16 != (iconv_t)-1)
        iconv_close(l->to_utf16);
    free(l);
}

void sqlserver_link_quit(struct sqlserver_link *l)
{
    atomic_store(&l->quit, true);
}

const struct sqlserver_ways *sqlserver_link_ways(const struct sqlserver_link *l)
{
    return &l->ways;
}

void sqlserver_link_listen(struct sqlserver_link *l, sqlserver_message_fn *fn, void *arg)
{
    l->listener = fn;
    l->listener_arg = arg;
}

/* ---- statements ---- */

typedef enum error_kind link_row_fn(struct sqlserver_link *l, void *arg, struct error *err);

/* Send a batch and take every row of every result, to the end: what is left pending would stop the next one. */
static enum error_kind execute(struct sqlserver_link *l, const char *sql, link_row_fn *row, void *arg,
                               struct error *err)
{
    enum error_kind rc = OK;
    RETCODE more;
    STATUS status;

    if (l->dead)
        return error_set(err, ERR_REMOTE, 0, "the connection was given up");
    error_clear(&l->said);
    dbfreebuf(l->process);
    if (dbcmd(l->process, sql) == FAIL || dbsqlexec(l->process) == FAIL) {
        rc = failed(l, "the server refuses a statement", err);
        dbcancel(l->process);
        return rc;
    }
    while ((more = dbresults(l->process)) == SUCCEED) {
        while (!rc && (status = dbnextrow(l->process)) != NO_MORE_ROWS) {
            if (status == FAIL)
                rc = failed(l, "the answer broke off", err);
            else if (row)
                rc = row(l, arg, err);
        }
        if (rc)
            break;
    }
    if (!rc && (more == FAIL || l->said.kind))
        rc = failed(l, "the server refuses a statement", err);
    if (rc)
        dbcancel(l->process);
    return rc;
}

static RETCODE pass_rows(struct sqlserver_link *l)
{
    STATUS status;

    while ((status = dbnextrow(l->process)) != NO_MORE_ROWS)
        if (status == FAIL || cancel_is_asked())
            return FAIL;
    return SUCCEED;
}

enum error_kind sqlserver_link_hear(struct sqlserver_link *l, const char *sql, struct error *err)
{
    bool failing = false;
    bool ended = false;
    uint64_t heard;
    RETCODE more;

    if (l->dead)
        return error_set(err, ERR_REMOTE, 0, "the connection was given up");
    error_clear(&l->said);
    dbfreebuf(l->process);
    if (dbcmd(l->process, sql) == FAIL)
        return failed(l, "the server refuses a statement", err);
    failing = dbsqlexec(l->process) == FAIL;
    while (!ended && !cancel_is_asked() && !dbdead(l->process)) {
        heard = l->heard;
        more = dbresults(l->process);
        ended = more == NO_MORE_RESULTS;
        if (ended || (more == SUCCEED && pass_rows(l) == SUCCEED))
            continue;
        failing = true;
        if (more == SUCCEED || l->heard == heard) /* nothing more can come of it */
            break;
    }
    if (!ended)
        dbcancel(l->process);
    return !ended || failing || l->said.kind ? failed(l, "the server refuses a statement without a word", err) : OK;
}

/* ---- rows as text ---- */

struct text_rows {
    database_row_fn *row;
    void *arg;
    const char **names;
    const char **values;
    size_t *lengths;
    char **texts;
    size_t *rooms;
    int columns;
};

static bool is_text(int type)
{
    return type == SYBCHAR || type == SYBVARCHAR || type == SYBTEXT;
}

static bool is_moment(int type)
{
    return type == SYBDATETIME || type == SYBDATETIME4 || type == SYBMSDATE || type == SYBMSTIME ||
           type == SYBMSDATETIME2 || type == SYBMSDATETIMEOFFSET;
}

/* As database_internal.h has it: the library's own text is for people, and of some locale. Digits that are all zero are left away. */
static int moment_text(struct sqlserver_link *l, int type, const BYTE *data, char *out, size_t room)
{
    DBDATEREC2 at;
    int len = 0;

    if (dbanydatecrack(l->process, &at, type, data) == FAIL)
        return -1;
    if (type != SYBMSTIME)
        len = snprintf(out, room, "%04d-%02d-%02d", (int)at.dateyear, (int)at.datemonth + 1, (int)at.datedmonth);
    if (type != SYBMSDATE)
        len += snprintf(out + len, room - (size_t)len, "%s%02d:%02d:%02d.%07d", len ? " " : "", (int)at.datehour,
                        (int)at.dateminute, (int)at.datesecond, (int)at.datensecond / 100);
    while (type != SYBMSDATE && out[len - 1] == '0')
        out[--len] = '\0';
    if (type != SYBMSDATE && out[len - 1] == '.')
        out[--len] = '\0';
    if (type == SYBMSDATETIMEOFFSET)
        len += snprintf(out + len, room - (size_t)len, " %c%02d:%02d", at.datetzone < 0 ? '-' : '+',
                        abs((int)at.datetzone) / 60, abs((int)at.datetzone) % 60);
    return len;
}

static enum error_kind text_cell(struct sqlserver_link *l, struct text_rows *t, int i, struct error *err)
{
    BYTE *data = dbdata(l->process, i + 1);
    DBINT len = dbdatlen(l->process, i + 1);
    int type = dbcoltype(l->process, i + 1);
    size_t need = is_text(type) ? (size_t)len + 1 : (size_t)len * 2 + TEXT_ROOM;

    t->values[i] = NULL;
    t->lengths[i] = 0;
    if (!data)
        return OK;
    if (need > t->rooms[i]) {
        char *grown = realloc(t->texts[i], need);

        if (!grown)
            return error_set(err, ERR_MEMORY, 0, "out of memory");
        t->texts[i] = grown;
        t->rooms[i] = need;
    }
    if (is_text(type)) {
        memcpy(t->texts[i], data, (size_t)len);
        t->texts[i][len] = '\0';
    } else if (is_moment(type)) {
        len = moment_text(l, type, data, t->texts[i], t->rooms[i]);
        if (len < 0)
            return error_set(err, ERR_REMOTE, 0, "a time that can't be shown");
    } else {
        len = dbconvert(l->process, type, data, len, SYBCHAR, (BYTE *)t->texts[i], -1);
        if (len < 0)
            return error_set(err, ERR_REMOTE, 0, "a value that can't be shown");
        len = (DBINT)strlen(t->texts[i]);
    }
    t->values[i] = t->texts[i];
    t->lengths[i] = (size_t)len;
    return OK;
}

static void release_texts(struct text_rows *t)
{
    for (int i = 0; i < t->columns; i++)
        free(t->texts[i]);
    free((void *)t->names);
    free((void *)t->values);
    free(t->lengths);
    free(t->texts);
    free(t->rooms);
    t->columns = 0;
}

static enum error_kind prepare_texts(struct text_rows *t, int columns, struct error *err)
{
    release_texts(t);
    t->names = calloc((size_t)columns, sizeof *t->names);
    t->values = calloc((size_t)columns, sizeof *t->values);
    t->lengths = calloc((size_t)columns, sizeof *t->lengths);
    t->texts = calloc((size_t)columns, sizeof *t->texts);
    t->rooms = calloc((size_t)columns, sizeof *t->rooms);
    if (!t->names || !t->values || !t->lengths || !t->texts || !t->rooms)
        return error_set(err, ERR_MEMORY, 0, "out of memory");
    t->columns = columns;
    return OK;
}

static enum error_kind text_row(struct sqlserver_link *l, void *arg, struct error *err)
{
    struct text_rows *t = arg;
    int columns = dbnumcols(l->process);
    struct database_row row;
    enum error_kind rc = OK;

    if (columns != t->columns)
        rc = prepare_texts(t, columns, err);
    for (int i = 0; !rc && i < columns; i++) {
        t->names[i] = dbcolname(l->process, i + 1);
        rc = text_cell(l, t, i, err);
    }
    if (rc)
        return rc;
    row = (struct database_row){.columns = columns, .names = t->names, .values = t->values, .lengths = t->lengths};
    return t->row(t->arg, &row, err);
}

enum error_kind sqlserver_link_run(struct sqlserver_link *l, const char *sql, database_row_fn *row, void *arg,
                                   struct error *err)
{
    struct text_rows t = {.row = row, .arg = arg};
    enum error_kind rc = execute(l, sql, row ? text_row : NULL, &t, err);

    release_texts(&t);
    return rc;
}

static enum error_kind take_first(void *arg, const struct database_row *row, struct error *err)
{
    char **out = arg;

    return *out || !row->values[0] ? OK : memory_string(row->values[0], out, err);
}

enum error_kind sqlserver_link_text(struct sqlserver_link *l, const char *sql, char **out, struct error *err)
{
    char *text = NULL;
    enum error_kind rc = sqlserver_link_run(l, sql, take_first, &text, err);

    if (rc) {
        free(text);
        return rc;
    }
    *out = text;
    return OK;
}

enum error_kind sqlserver_link_number(struct sqlserver_link *l, const char *sql, int64_t fallback, int64_t *out,
                                      struct error *err)
{
    char *text = NULL;
    enum error_kind rc = sqlserver_link_text(l, sql, &text, err);

    if (!rc)
        *out = text ? strtoll(text, NULL, 10) : fallback;
    free(text);
    return rc;
}

/* ---- exact values ---- */

struct value_rows {
    const struct sqlserver_column *columns;
    size_t count;
    sqlserver_values_fn *fn;
    void *arg;
    struct sqlserver_value *values;
    unsigned char (*fixed)[FIXED_ROOM];
    struct buffer *texts; /* UTF-16 of what came as UTF-8 */
};

static void put_time(unsigned char *out, uint64_t ticks)
{
    put_u32(out, (uint32_t)ticks);
    out[4] = (unsigned char)(ticks >> 32);
}

static void put_date(unsigned char *out, int32_t days)
{
    uint32_t n = (uint32_t)(days + DAYS_TO_1900);

    put_u16(out, (uint16_t)n);
    out[2] = (unsigned char)(n >> 16);
}

/* Bytes of a magnitude by its precision, as the wire has them. */
static size_t magnitude_bytes(unsigned precision)
{
    static const unsigned char bytes[] = {1, 1, 1,  2,  2,  3,  3,  3,  4,  4,  5,  5,  5,  6,  6,  7,  7,  8,  8, 8,
                                          9, 9, 10, 10, 10, 11, 11, 12, 12, 13, 13, 13, 14, 14, 15, 15, 15, 16, 16};

    return precision < sizeof bytes ? bytes[precision] : 0;
}

static enum error_kind from_numeric(const struct sqlserver_column *c, const DBNUMERIC *n, unsigned char *out,
                                    struct error *err)
{
    size_t len = magnitude_bytes(n->precision);
    size_t room = sqlserver_column_size(c) - 1;

    memset(out, 0, room + 1);
    out[0] = n->array[0] ? 0 : 1;
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = n->array[len - i];

        if (i < room)
            out[1 + i] = byte;
        else if (byte)
            return error_set(err, ERR_REMOTE, 0, "a decimal is longer than its column");
    }
    return OK;
}

static void from_datetime_all(const struct sqlserver_column *c, const DBDATETIMEALL *d, unsigned char *out)
{
    switch (c->kind) {
    case SQLSERVER_DATE:
        put_date(out, d->date);
        break;
    case SQLSERVER_TIME:
        put_time(out, d->time);
        break;
    default:
        put_time(out, d->time);
        put_date(out + 5, d->date);
        if (c->kind == SQLSERVER_DATETIMEOFFSET)
            put_u16(out + 8, (uint16_t)d->offset);
        break;
    }
}

static int wire_type(enum sqlserver_kind kind)
{
    static const int types[] = {
        [SQLSERVER_BIT] = SYBBIT,
        [SQLSERVER_TINYINT] = SYBINT1,
        [SQLSERVER_SMALLINT] = SYBINT2,
        [SQLSERVER_INT] = SYBINT4,
        [SQLSERVER_BIGINT] = SYBINT8,
        [SQLSERVER_REAL] = SYBREAL,
        [SQLSERVER_FLOAT] = SYBFLT8,
        [SQLSERVER_SMALLMONEY] = SYBMONEY4,
        [SQLSERVER_MONEY] = SYBMONEY,
        [SQLSERVER_DECIMAL] = SYBNUMERIC,
        [SQLSERVER_DATE] = SYBMSDATE,
        [SQLSERVER_TIME] = SYBMSTIME,
        [SQLSERVER_DATETIME2] = SYBMSDATETIME2,
        [SQLSERVER_DATETIMEOFFSET] = SYBMSDATETIMEOFFSET,
        [SQLSERVER_DATETIME] = SYBDATETIME,
        [SQLSERVER_SMALLDATETIME] = SYBDATETIME4,
        [SQLSERVER_UNIQUEIDENTIFIER] = UNIQUE_TYPE,
    };

    return kind <= SQLSERVER_UNIQUEIDENTIFIER ? types[kind] : 0;
}

/* data may lie anywhere: what has a struct is copied out first. */
static enum error_kind from_fixed(const struct sqlserver_column *c, const BYTE *data, unsigned char *out,
                                  struct error *err)
{
    DBNUMERIC numeric;
    DBDATETIMEALL all;
    DBMONEY money;

    switch (c->kind) {
    case SQLSERVER_DECIMAL:
        memcpy(&numeric, data, sizeof numeric);
        return from_numeric(c, &numeric, out, err);
    case SQLSERVER_DATE:
    case SQLSERVER_TIME:
    case SQLSERVER_DATETIME2:
    case SQLSERVER_DATETIMEOFFSET:
        memcpy(&all, data, sizeof all);
        from_datetime_all(c, &all, out);
        return OK;
    case SQLSERVER_MONEY:
        memcpy(&money, data, sizeof money);
        put_u64(out, (uint64_t)(uint32_t)money.mnyhigh << 32 | money.mnylow);
        return OK;
    case SQLSERVER_BIT:
        out[0] = *data != 0;
        return OK;
    default: /* in the host's order, which on every machine that this runs on is the stream's */
        memcpy(out, data, sqlserver_column_size(c));
        return OK;
    }
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are handed over in the host's order");

static enum error_kind from_utf8(struct sqlserver_link *l, struct buffer *out, const BYTE *data, size_t len,
                                 struct error *err)
{
    char *from = (char *)(uintptr_t)data;
    size_t left = len;
    char *to;
    size_t room;
    enum error_kind rc;

    buffer_clear(out);
    rc = buffer_reserve(out, 2 * len + 2, err);
    if (rc)
        return rc;
    to = (char *)out->data;
    room = out->cap;
    if (iconv(l->to_utf16, &from, &left, &to, &room) == (size_t)-1)
        return error_set(err, ERR_REMOTE, errno, "text that is not UTF-8");
    out->len = (size_t)(to - (char *)out->data);
    return OK;
}

static enum error_kind exact_value(struct sqlserver_link *l, struct value_rows *v, size_t i, struct error *err)
{
    const struct sqlserver_column *c = &v->columns[i];
    BYTE *data = dbdata(l->process, (int)i + 1);
    DBINT len = dbdatlen(l->process, (int)i + 1);
    int type = dbcoltype(l->process, (int)i + 1);
    size_t size = sqlserver_column_size(c);
    enum error_kind rc;

    v->values[i] = (struct sqlserver_value){0};
    if (!data)
        return OK;
    if (size) {
        int wanted = wire_type(c->kind);

        if (type != wanted && !(wanted == SYBNUMERIC && type == SYBDECIMAL))
            return error_set(err, ERR_REMOTE, 0, "column %s comes as type %d instead of %d", c->name ? c->name : "?",
                             type, wanted);
        rc = from_fixed(c, data, v->fixed[i], err);
        v->values[i] = (struct sqlserver_value){.bytes = v->fixed[i], .len = size};
        return rc;
    }
    if (c->kind == SQLSERVER_NVARCHAR) {
        rc = from_utf8(l, &v->texts[i], data, (size_t)len, err);
        v->values[i] = (struct sqlserver_value){.bytes = v->texts[i].data, .len = v->texts[i].len};
        return rc;
    }
    v->values[i] = (struct sqlserver_value){.bytes = data, .len = (size_t)len};
    return OK;
}

static enum error_kind value_row(struct sqlserver_link *l, void *arg, struct error *err)
{
    struct value_rows *v = arg;
    enum error_kind rc = OK;

    if ((size_t)dbnumcols(l->process) != v->count)
        return error_set(err, ERR_REMOTE, 0, "an answer has %d columns instead of %zu", dbnumcols(l->process),
                         v->count);
    for (size_t i = 0; !rc && i < v->count; i++)
        rc = exact_value(l, v, i, err);
    return rc ? rc : v->fn(v->arg, v->values, err);
}

enum error_kind sqlserver_link_read(struct sqlserver_link *l, const char *sql, const struct sqlserver_column *columns,
                                    size_t count, sqlserver_values_fn *fn, void *arg, struct error *err)
{
    struct value_rows v = {.columns = columns, .count = count, .fn = fn, .arg = arg};
    void *values = NULL;
    void *fixed = NULL;
    void *texts = NULL;
    enum error_kind rc = memory_zeroed(count, sizeof *v.values, &values, err);

    if (!rc)
        rc = memory_zeroed(count, sizeof *v.fixed, &fixed, err);
    if (!rc)
        rc = memory_zeroed(count, sizeof *v.texts, &texts, err);
    v.values = values;
    v.fixed = fixed;
    v.texts = texts;
    for (size_t i = 0; !rc && i < count; i++)
        v.texts[i] = (struct buffer)BUFFER_INIT(2 * (size_t)SQLSERVER_ROW_MAX);
    if (!rc)
        rc = execute(l, sql, value_row, &v, err);
    for (size_t i = 0; v.texts && i < count; i++)
        buffer_release(&v.texts[i]);
    free(values);
    free(fixed);
    free(texts);
    return rc;
}

/* ---- bulk ---- */

static void into_numeric(const struct sqlserver_column *c, const unsigned char *bytes, DBNUMERIC *out)
{
    size_t len = magnitude_bytes(c->precision);

    memset(out, 0, sizeof *out);
    out->precision = c->precision;
    out->scale = c->scale;
    out->array[0] = bytes[0] ? 0 : 1;
    for (size_t i = 0; i < len; i++)
        out->array[len - i] = bytes[1 + i];
}

static void into_datetime_all(const struct sqlserver_column *c, const unsigned char *bytes, DBDATETIMEALL *out)
{
    const unsigned char *date = c->kind == SQLSERVER_DATE ? bytes : bytes + 5;

    memset(out, 0, sizeof *out);
    out->time_prec = c->scale & 7;
    if (c->kind != SQLSERVER_DATE) {
        out->time = get_u32(bytes) | (uint64_t)bytes[4] << 32;
        out->has_time = 1;
    }
    if (c->kind != SQLSERVER_TIME) {
        out->date = (DBINT)(get_u16(date) | (uint32_t)date[2] << 16) - DAYS_TO_1900;
        out->has_date = 1;
    }
    if (c->kind == SQLSERVER_DATETIMEOFFSET) {
        out->offset = (DBSMALLINT)get_u16(bytes + 8);
        out->has_offset = 1;
    }
}

/* What the library takes of a value that has a length of its own type; returns how many bytes. */
static size_t into_fixed(const struct sqlserver_column *c, const unsigned char *bytes, unsigned char *room)
{
    DBNUMERIC numeric;
    DBDATETIMEALL all;
    DBMONEY money;

    switch (c->kind) {
    case SQLSERVER_DECIMAL:
        into_numeric(c, bytes, &numeric);
        memcpy(room, &numeric, sizeof numeric);
        return sizeof numeric;
    case SQLSERVER_DATE:
    case SQLSERVER_TIME:
    case SQLSERVER_DATETIME2:
    case SQLSERVER_DATETIMEOFFSET:
        into_datetime_all(c, bytes, &all);
        memcpy(room, &all, sizeof all);
        return sizeof all;
    case SQLSERVER_MONEY:
        money.mnyhigh = (DBINT)(get_u64(bytes) >> 32);
        money.mnylow = (DBUINT)get_u64(bytes);
        memcpy(room, &money, sizeof money);
        return sizeof money;
    default:
        memcpy(room, bytes, sqlserver_column_size(c));
        return sqlserver_column_size(c);
    }
}

static int bind_type(const struct sqlserver_column *c)
{
    switch (c->kind) {
    case SQLSERVER_BINARY:
    case SQLSERVER_VARBINARY:
    case SQLSERVER_CLR:
        return SYBVARBINARY;
    case SQLSERVER_IMAGE:
        return SYBIMAGE;
    case SQLSERVER_TEXT:
    case SQLSERVER_NTEXT:
        return SYBTEXT;
    default:
        return sqlserver_column_size(c) ? wire_type(c->kind) : SYBVARCHAR;
    }
}

struct ordinals {
    struct bulk *bulk;
    size_t found;
    int at;
};

/* The library counts columns that it does not send. Both lists have the same order. */
static enum error_kind take_ordinal(void *arg, const struct database_row *row, struct error *err)
{
    struct ordinals *o = arg;

    (void)err;
    o->at++;
    if (o->found < o->bulk->count && row->values[0] && strcmp(row->values[0], o->bulk->columns[o->found].name) == 0)
        o->bulk->ordinals[o->found++] = o->at;
    return OK;
}

static enum error_kind find_ordinals(struct sqlserver_link *l, const char *table, struct error *err)
{
    struct ordinals o = {.bulk = &l->bulk};
    struct buffer sql = BUFFER_INIT(8192);
    enum error_kind rc;

    if (!l->bulk.columns[0].name) { /* a staging table: no gaps */
        for (size_t i = 0; i < l->bulk.count; i++)
            l->bulk.ordinals[i] = (int)i + 1;
        return OK;
    }
    rc = sqlserver_ddl(&sql, err,
                       "/* nopsnap: columns of a table */ SELECT c.name FROM sys.columns c WHERE c.object_id = "
                       "OBJECT_ID(%t) ORDER BY c.column_id",
                       table);
    if (!rc)
        rc = sqlserver_link_run(l, (char *)sql.data, take_ordinal, &o, err);
    if (!rc && o.found != l->bulk.count)
        rc = error_set(err, ERR_REMOTE, 0, "table %s has other columns than it was made with", table);
    buffer_release(&sql);
    return rc;
}

static enum error_kind bind_all(struct sqlserver_link *l, struct error *err)
{
    struct bulk *b = &l->bulk;

    for (size_t i = 0; i < b->count; i++) {
        const struct sqlserver_column *c = &b->columns[i];

        /* Every row says each length anew; -1 is what the library takes of types that have theirs. */
        if (bcp_bind(l->process, b->fixed[i], 0, -1, NULL, 0, bind_type(c), b->ordinals[i]) == FAIL)
            return failed(l, "a column can't be bulk-loaded", err);
    }
    return OK;
}

enum error_kind sqlserver_bulk_begin(struct sqlserver_link *l, const char *table,
                                     const struct sqlserver_column *columns, size_t count, struct error *err)
{
    static const char hint[] = "TABLOCK";
    void *ordinals = NULL;
    void *fixed = NULL;
    enum error_kind rc = memory_zeroed(count, sizeof *l->bulk.ordinals, &ordinals, err);

    assert(!l->bulk.open);
    if (!rc)
        rc = memory_zeroed(count, sizeof *l->bulk.fixed, &fixed, err);
    forget_bulk(l);
    l->bulk = (struct bulk){.columns = columns, .count = count, .ordinals = ordinals, .fixed = fixed};
    if (!rc)
        rc = find_ordinals(l, table, err);
    if (rc)
        return rc;
    error_clear(&l->said);
    if (bcp_init(l->process, table, NULL, NULL, DB_IN) == FAIL)
        return failed(l, "bulk loading is refused", err);
    /* One hint is all that the library sends; NULLs and defaults need none, since defaults come after the rows. */
    if (bcp_control(l->process, BCPKEEPIDENTITY, 1) == FAIL ||
        bcp_options(l->process, BCPHINTS, (BYTE *)(uintptr_t)hint, (int)strlen(hint)) == FAIL)
        return failed(l, "bulk loading is refused", err);
    l->bulk.open = true;
    return bind_all(l, err);
}

static enum error_kind bind_value(struct sqlserver_link *l, size_t i, const struct sqlserver_value *v,
                                  struct error *err)
{
    const struct sqlserver_column *c = &l->bulk.columns[i];
    int at = l->bulk.ordinals[i];
    unsigned char *room = l->bulk.fixed[i];

    if (!v->bytes && !c->nullable) /* the library would end the process */
        return error_set(err, ERR_CORRUPT, 0, "a NULL for column %s, which takes none", c->name ? c->name : "?");
    if (!v->bytes)
        return bcp_collen(l->process, 0, at) == FAIL ? failed(l, "a NULL can't be sent", err) : OK;
    if (v->len > INT32_MAX)
        return error_set(err, ERR_REFUSED, 0, "a value of %zu bytes", v->len);
    if (sqlserver_column_size(c)) {
        DBINT len = (DBINT)into_fixed(c, v->bytes, room);

        return bcp_collen(l->process, len, at) == FAIL ? failed(l, "a value can't be sent", err) : OK;
    }
    /* An empty value is a length of -1 with a NUL where the value would be. */
    room[0] = '\0';
    if (bcp_colptr(l->process, v->len ? (BYTE *)(uintptr_t)v->bytes : room, at) == FAIL ||
        bcp_collen(l->process, v->len ? (DBINT)v->len : -1, at) == FAIL)
        return failed(l, "a value can't be sent", err);
    return OK;
}

/* After a failed row the stream is torn: the library would still call it a success, and the server would wait for the rest. */
static enum error_kind give_up(struct sqlserver_link *l, enum error_kind rc)
{
    if (rc && l->process) {
        dbclose(l->process);
        l->process = NULL;
        l->dead = true;
        l->bulk.open = false;
    }
    return rc;
}

enum error_kind sqlserver_bulk_row(struct sqlserver_link *l, const struct sqlserver_value *values, struct error *err)
{
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && i < l->bulk.count; i++)
        rc = bind_value(l, i, &values[i], err);
    if (!rc && bcp_sendrow(l->process) == FAIL)
        rc = failed(l, "a row can't be sent", err);
    l->bulk.sent += !rc;
    return give_up(l, rc);
}

enum error_kind sqlserver_bulk_end(struct sqlserver_link *l, struct error *err)
{
    int64_t taken = bcp_done(l->process);
    enum error_kind rc = OK;

    if (taken < 0 && !l->bulk.sent && !l->said.kind)
        taken = 0; /* without a row nothing was begun at the server, which the library calls a failure */
    if (taken < 0 || l->said.kind)
        rc = failed(l, "the server refuses the rows", err);
    else if (taken != l->bulk.sent)
        rc = error_set(err, ERR_REMOTE, 0, "the server took %lld rows instead of %lld", (long long)taken,
                       (long long)l->bulk.sent);
    l->bulk.open = false;
    forget_bulk(l);
    return give_up(l, rc);
}
