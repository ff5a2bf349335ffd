/*
 * A restore point that the server keeps: a database snapshot of the live database. It is made in an instant, and going back copies the pages that have
 * changed since.
 *
 *   Q1  its name has the transaction's token and is journaled before it is made; it is ours if it has that name and the live database is what it is of
 *   Q2  it is taken for one when it was made and read: what an edition allows is not believed
 *   Q3  what the server loses by going back (full-text catalogs, the size and growth of the log) is written down when it is made, and put back
 *   Q4  going back may be repeated as long as it is there. It goes by database_point_drop() alone, so that a crash never leaves neither
 *   Q5  whatever comes of going back, the live database's door is open again
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "json.h"
#include "sqlserver_native_internal.h"

enum {
    SQL_MAX = 256 * 1024,
    SAVED_MAX = 512 * 1024,
    REVERT_MS = 60000,
    PAUSE_MS = 200,
    AZURE_DATABASE = 5,
    MANAGED_INSTANCE = 8,
    PAGE_KB = 8,
    TWO_TERABYTES = 268435456, /* pages: a log that may grow as far as it can */
};

/* ---- may it be? ---- */

static bool is_ascii(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text >= 0x80)
            return false;
    return true;
}

/* Of the server first: a server that has no such thing need not have these views. */
static enum error_kind server_forbids(struct sqlserver_link *master, const char *name, char **why, struct error *err)
{
    int64_t edition = 0;
    int64_t may = 0;
    bool back = true;
    enum error_kind rc = sqlserver_link_number(
        master, "/* nopsnap: edition */ SELECT CAST(SERVERPROPERTY('EngineEdition') AS int)", 0, &edition, err);

    if (!rc)
        rc = sqlserver_may_create(master, &may, err);
    if (!rc && may)
        rc = sqlserver_may_go_back(master, name, &back, err);
    if (!rc && (edition == AZURE_DATABASE || edition == MANAGED_INSTANCE))
        rc = memory_string("this edition of SQL Server has no database snapshots", why, err);
    else if (!rc && !may)
        rc = memory_string("this login may not create databases", why, err);
    else if (!rc && !back)
        rc = memory_string(
            "this login may make one and not go back to it (server role dbcreator, or the database's owner)", why, err);
    return rc;
}

static enum error_kind database_forbids(struct sqlserver_link *live, char **why, struct error *err)
{
    static const struct {
        const char *sql;
        const char *why;
    } questions[] = {
        {"/* nopsnap: odd filegroups */ SELECT COUNT(*) FROM sys.filegroups g WHERE g.type IN ('FD', 'FX')",
         "it has FILESTREAM or memory-optimised data"},
        {"/* nopsnap: fixed filegroups */ SELECT COUNT(*) FROM sys.filegroups g WHERE g.is_read_only = 1",
         "it has a filegroup that is read-only"},
        {"/* nopsnap: not to be gone back to */ SELECT COUNT(*) FROM sys.databases d WHERE d.database_id = DB_ID() AND "
         "(d.is_read_only = 1 OR d.source_database_id IS NOT NULL)",
         "it is read-only"},
    };
    enum error_kind rc = OK;

    for (size_t i = 0; !rc && !*why && i < sizeof questions / sizeof questions[0]; i++) {
        int64_t n = 0;

        rc = sqlserver_link_number(live, questions[i].sql, 0, &n, err);
        if (!rc && n)
            rc = memory_string(questions[i].why, why, err);
    }
    return rc;
}

enum error_kind sqlserver_point_possible(struct database *db, char **why, struct error *err)
{
    struct sqlserver_link *master = NULL;
    struct sqlserver_link *live = NULL;
    enum error_kind rc = sqlserver_master(db, &master, err);

    if (!rc)
        rc = sqlserver_live(db, &live, err);
    if (!rc && !is_ascii(db->name)) /* going back names it in a text of the server's code page */
        rc = memory_string("its name has letters beyond A to Z", why, err);
    if (!rc && !*why)
        rc = server_forbids(master, db->name, why, err);
    if (!rc && !*why)
        rc = database_forbids(live, why, err);
    return rc;
}

/* ---- which is it? ---- */

struct found {
    struct sqlserver_places places;
    const char *point; /* as the server spells it; NULL: it is not there */
    const char *live;
};

/* Q1. */
static enum error_kind find(struct sqlserver_link *master, const struct database *db,
                            const struct database_point *point, struct found *out, struct error *err)
{
    enum error_kind rc = sqlserver_places_read(master, &out->places, err);
    const char *by_identity;

    if (rc)
        return rc;
    out->live = sqlserver_place_name(&out->places, db->target->name);
    out->point = sqlserver_place_name(&out->places, point->name);
    by_identity = out->point && point->identity && !sqlserver_place_is_restoring(&out->places, out->point) &&
                          !sqlserver_place_is_suspect(&out->places, out->point)
                      ? sqlserver_place_of(&out->places, point->identity)
                      : out->point;
    if (!out->point ||
        (by_identity == out->point && out->live && sqlserver_place_is_snapshot_of(&out->places, out->point, out->live)))
        return OK;
    error_set(err, ERR_REFUSED, 0, "%s is not the database snapshot that nopsnap made of %s", out->point,
              db->target->name);
    error_hint(err,
               "somebody has put another database in its place, or given the shop's name to another; it is left alone");
    return ERR_REFUSED;
}

/* ---- what going back would lose (Q3) ---- */

static enum error_kind ask(void *arg, const char *sql, database_row_fn *row, void *row_arg, struct error *err)
{
    return sqlserver_link_run(arg, sql, row, row_arg, err);
}

static enum error_kind count_catalogs(struct sqlserver_link *live, int64_t *out, struct error *err)
{
    return sqlserver_link_number(live, "/* nopsnap: full-text */ SELECT COUNT(*) FROM sys.fulltext_catalogs", 0, out,
                                 err);
}

static enum error_kind note_fulltext(struct sqlserver_link *live, struct json *saved, struct error *err)
{
    struct sqlserver_script script = SQLSERVER_SCRIPT_INIT;
    struct sqlserver_schema *schema = NULL;
    struct json *statements = json_array();
    int64_t catalogs = 0;
    enum error_kind rc = count_catalogs(live, &catalogs, err);

    if (!rc && catalogs)
        rc = sqlserver_schema_read(ask, live, &schema, err);
    if (!rc && catalogs)
        rc = sqlserver_script_fulltext(schema, &script, err);
    for (size_t i = 0; !rc && i < script.count; i++)
        json_push_text(statements, script.items[i].sql);
    json_put(saved, "fulltext", statements);
    sqlserver_script_release(&script);
    sqlserver_schema_free(schema);
    return rc;
}

static const char *const log_members[] = {"size", "growth", "is_percent_growth", "max_size"};
enum { LOG_MEMBERS = sizeof log_members / sizeof log_members[0] };

static enum error_kind read_log(struct sqlserver_link *live, struct sqlserver_rows *out, struct error *err)
{
    return sqlserver_link_run(
        live,
        "/* nopsnap: files of the log */ SELECT f.name, CAST(f.size AS bigint) AS size, CAST(f.growth AS bigint) AS "
        "growth, CAST(f.is_percent_growth AS int) AS is_percent_growth, CAST(f.max_size AS bigint) AS max_size FROM "
        "sys.database_files f WHERE f.type = 1 ORDER BY f.file_id",
        sqlserver_rows_add, out, err);
}

static enum error_kind note_log(struct sqlserver_link *live, struct json *saved, struct error *err)
{
    struct sqlserver_rows files = {0};
    struct json *list = json_array();
    enum error_kind rc = read_log(live, &files, err);

    for (size_t i = 0; !rc && i < files.count; i++) {
        struct json *one = json_object();

        json_put_text(one, "name", sqlserver_cell(&files, i, "name"));
        for (size_t m = 0; m < LOG_MEMBERS; m++)
            json_put_number(one, log_members[m], sqlserver_cell_number(&files, i, log_members[m], 0));
        json_push(list, one);
    }
    json_put(saved, "log", list);
    sqlserver_rows_release(&files);
    return rc;
}

static enum error_kind note(struct sqlserver_link *live, char **out, struct error *err)
{
    struct buffer text = BUFFER_INIT(SAVED_MAX);
    struct json *saved = json_object();
    char *properties = NULL;
    enum error_kind rc = sqlserver_properties_read(live, &properties, err);

    json_put_text(saved, "properties", properties);
    if (!rc)
        rc = note_log(live, saved, err);
    if (!rc)
        rc = note_fulltext(live, saved, err);
    if (!rc)
        rc = json_print(saved, &text, err);
    if (!rc)
        *out = buffer_detach(&text);
    free(properties);
    json_free(saved);
    buffer_release(&text);
    return rc;
}

/* ---- making it ---- */

/* Beside each file of the source, under a name of our own: ", (NAME = [shop], FILENAME = N'/data/shop.mdf_nopsnap_0123abcd.ss')" */
static enum error_kind put_files(struct sqlserver_link *live, const char *token, struct buffer *sql, struct error *err)
{
    struct sqlserver_rows files = {0};
    enum error_kind rc = sqlserver_link_run(live,
                                            "/* nopsnap: files of data */ SELECT f.name, f.physical_name FROM "
                                            "sys.database_files f WHERE f.type = 0 ORDER BY f.file_id",
                                            sqlserver_rows_add, &files, err);

    if (!rc && !files.count)
        rc = error_set(err, ERR_REMOTE, 0, "the server does not say where the files of the database are");
    for (size_t i = 0; !rc && i < files.count; i++) {
        char *path = NULL;

        rc = memory_format(&path, err, "%s_nopsnap_%s.ss", sqlserver_cell_or(&files, i, "physical_name", ""), token);
        if (!rc)
            rc = sqlserver_ddl(sql, err, "%s(NAME = %n, FILENAME = %t)", i ? ", " : "",
                               sqlserver_cell_or(&files, i, "name", ""), path);
        free(path);
    }
    sqlserver_rows_release(&files);
    return rc;
}

/* Q2. A snapshot whose sparse files could not be had is there all the same, and suspect. */
static enum error_kind is_readable(struct database *db, const char *name, struct error *err)
{
    struct sqlserver_link *inside = NULL;
    enum error_kind rc = sqlserver_link_open(db, name, &inside, err);

    if (!rc)
        rc = sqlserver_link_run(inside, "/* nopsnap: point */ SELECT COUNT(*) FROM sys.objects", NULL, NULL, err);
    sqlserver_link_close(inside);
    return rc;
}

static enum error_kind create(struct database *db, struct sqlserver_link *master, struct sqlserver_link *live,
                              const struct database_point *point, struct error *err)
{
    struct buffer files = BUFFER_INIT(SQL_MAX);
    enum error_kind rc = put_files(live, point->name + strlen(point->name) - 8, &files, err);

    if (!rc)
        rc = sqlserver_run(master, err, "CREATE DATABASE %n ON %s AS SNAPSHOT OF %n", point->name, (char *)files.data,
                           db->name);
    buffer_release(&files);
    return rc ? rc : is_readable(db, point->name, err);
}

static enum error_kind identify(struct database *db, struct sqlserver_link *master, const struct database_point *point,
                                char **out, struct error *err)
{
    struct found f = {.point = NULL};
    enum error_kind rc = find(master, db, point, &f, err);

    if (!rc && !f.point)
        rc = error_set(err, ERR_REMOTE, 0, "the database snapshot %s is gone again", point->name);
    if (!rc)
        rc = sqlserver_identity(&f.places, f.point, out, err);
    sqlserver_places_release(&f.places);
    return rc;
}

enum error_kind sqlserver_point_make(struct database *db, struct database_point *point, struct error *err)
{
    struct database_point made = {.name = point->name};
    struct sqlserver_link *master = NULL;
    struct sqlserver_link *live = NULL;
    struct error left = ERROR_INIT;
    enum error_kind rc = sqlserver_point_drop(db, &made, err); /* a stale one of this transaction */

    if (!rc)
        rc = sqlserver_master(db, &master, err);
    if (!rc)
        rc = sqlserver_live(db, &live, err);
    if (!rc)
        rc = note(live, &made.saved, err);
    if (rc)
        return rc;
    rc = create(db, master, live, &made, err);
    if (!rc)
        rc = identify(db, master, &made, &made.identity, err);
    if (rc) {
        free(made.identity);
        free(made.saved);
        if (sqlserver_point_drop(db, &(struct database_point){.name = point->name}, &left))
            error_hint(err, "%s; %s", left.text, left.hint);
        return rc;
    }
    free(point->identity);
    free(point->saved);
    point->identity = made.identity;
    point->saved = made.saved;
    return OK;
}

/* ---- its end ---- */

enum error_kind sqlserver_point_drop(struct database *db, const struct database_point *point, struct error *err)
{
    struct sqlserver_link *master = NULL;
    struct found f = {.point = NULL};
    enum error_kind rc = sqlserver_master(db, &master, err);

    if (!rc)
        rc = find(master, db, point, &f, err);
    if (!rc && f.point)
        rc = sqlserver_end_sessions(master, f.point, err);
    if (!rc && f.point)
        rc = sqlserver_run(master, err, "DROP DATABASE %n", f.point);
    sqlserver_places_release(&f.places);
    if (rc) {
        error_context(err, "the database snapshot %s may be left on the server", point->name);
        error_hint(err, "DROP DATABASE [%s] clears it; while it is there writing to the shop's database costs more",
                   point->name);
    }
    return rc;
}

/* ---- going back ---- */

/* ERR_PENDING: there is nothing to go back to. The server does not mend a suspect one, and can only drop it. */
static enum error_kind refuse_lost(const struct found *f, const struct database_point *point, struct error *err)
{
    if (f->point && !sqlserver_place_is_suspect(&f->places, f->point))
        return OK;
    if (f->point) {
        error_set(err, ERR_PENDING, 0, "the database snapshot %s is suspect: the server could not write to its volume",
                  f->point);
        error_hint(err, "the server can't go back to it; DROP DATABASE [%s] clears it", f->point);
    } else {
        error_set(err, ERR_PENDING, 0, "the database snapshot %s is not on the server any more", point->name);
        error_hint(err, "what it was of can be loaded from a snapshot of the catalogue (nopsnap list)");
    }
    return ERR_PENDING;
}

/* The server goes back only where there is one snapshot. */
static enum error_kind refuse_others(const struct found *f, struct error *err)
{
    const char *other = sqlserver_place_other_snapshot(&f->places, f->live, f->point);

    if (!other)
        return OK;
    error_set(err, ERR_REFUSED, 0,
              "there is a second database snapshot, %s, and the server goes back only where there is one", other);
    error_hint(err, "let whoever made it drop it (DROP DATABASE [%s]), then try again", other);
    return ERR_REFUSED;
}

static void pause_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&t, NULL);
}

/* Somebody was quicker, or in the way: a deadlock, the one seat taken, a session in one of the two. */
static bool passes(int number)
{
    static const int numbers[] = {1205, 924, 3101, 5030, 5061, 5064, 5070};

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (numbers[i] == number)
            return true;
    return false;
}

/*
 * By the one who is inside and has the only seat: it is given up in the batch that goes back, so that nobody takes it. One that was cut short
 * can't be entered, and is simply gone on with.
 */
static enum error_kind go_back(struct database *db, struct sqlserver_link *master, const struct found *f, int *number,
                               struct error *err)
{
    struct sqlserver_link *seat = NULL;
    bool half = sqlserver_place_is_restoring(&f->places, f->live);
    enum error_kind rc = sqlserver_end_sessions(master, f->point, err);

    *number = 0;
    if (!rc && !half)
        rc = sqlserver_take_seat(db, master, f->live, &seat, err);
    if (!rc)
        rc = sqlserver_native_run(db, half ? master : seat, number, err,
                                  "USE [master]; RESTORE DATABASE %n FROM DATABASE_SNAPSHOT = '%s'", f->live, f->point);
    sqlserver_link_close(seat);
    return rc;
}

static enum error_kind go_back_patiently(struct database *db, struct sqlserver_link *master, const struct found *f,
                                         struct error *err)
{
    int64_t deadline = clock_monotonic_ms() + REVERT_MS;
    long pause = PAUSE_MS;
    enum error_kind rc;

    for (;; pause *= 2) {
        struct error said = ERROR_INIT;
        struct error shut = ERROR_INIT;
        int number = 0;
        enum error_kind opened;

        rc = go_back(db, master, f, &number, &said);
        opened = sqlserver_open_door(master, f->live, &shut); /* Q5 */
        if (rc && passes(number) && clock_monotonic_ms() + pause < deadline) {
            pause_ms(pause);
            continue;
        }
        if (rc || opened)
            error_copy(err, rc ? &said : &shut);
        if (rc && opened)
            error_hint(err, "ALTER DATABASE [%s] SET MULTI_USER opens it again", f->live);
        return rc ? rc : opened;
    }
}

/* ---- and what was lost by that (Q3) ---- */

static enum error_kind put_size(struct buffer *sql, const char *word, int64_t pages, struct error *err)
{
    return sqlserver_ddl(sql, err, ", %s = %lKB", word, pages * PAGE_KB);
}

static enum error_kind mend_log(struct sqlserver_link *live, const char *name, struct json *was,
                                const struct sqlserver_rows *now, size_t i, struct error *err)
{
    int64_t then[LOG_MEMBERS];
    int64_t is[LOG_MEMBERS];
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    size_t empty;
    enum error_kind rc = sqlserver_ddl(&sql, err, "ALTER DATABASE %n MODIFY FILE (NAME = %n", name,
                                       sqlserver_cell_or(now, i, "name", ""));

    for (size_t m = 0; m < LOG_MEMBERS; m++) {
        then[m] = json_number(json_get(was, log_members[m]), 0);
        is[m] = sqlserver_cell_number(now, i, log_members[m], 0);
    }
    empty = sql.len;
    if (!rc && then[0] > is[0])
        rc = put_size(&sql, "SIZE", then[0], err);
    if (!rc && (then[1] != is[1] || then[2] != is[2]))
        rc = then[2] ? sqlserver_ddl(&sql, err, ", FILEGROWTH = %l%%", then[1])
                     : put_size(&sql, "FILEGROWTH", then[1], err);
    if (!rc && then[3] != is[3] && (then[3] == -1 || then[3] >= TWO_TERABYTES))
        rc = sqlserver_ddl(&sql, err, ", MAXSIZE = UNLIMITED");
    else if (!rc && then[3] != is[3] && then[3] > 0)
        rc = put_size(&sql, "MAXSIZE", then[3], err);
    if (!rc && sql.len > empty)
        rc = sqlserver_run(live, err, "%s)", (char *)sql.data);
    buffer_release(&sql);
    return rc;
}

/* The shop runs without it: what can't be put back is told, with the statement that would. */
static enum error_kind tell(struct database *db, const char *what, const struct error *why, struct error *err)
{
    return text_list_addf(&db->notes, err, "%s could not be put back as it was: %s", what, why->text);
}

static enum error_kind mend_logs(struct database *db, struct sqlserver_link *live, struct json *saved,
                                 struct error *err)
{
    struct json *list = json_get(saved, "log");
    struct sqlserver_rows now = {0};
    enum error_kind rc = read_log(live, &now, err);

    for (size_t i = 0; !rc && i < now.count; i++)
        for (size_t k = 0; !rc && k < json_length(list); k++) {
            struct error why = ERROR_INIT;
            const char *name = json_text(json_get(json_at(list, k), "name"));

            if (name && strcmp(name, sqlserver_cell_or(&now, i, "name", "")) == 0 &&
                mend_log(live, db->name, json_at(list, k), &now, i, &why))
                rc = tell(db, name, &why, err);
        }
    sqlserver_rows_release(&now);
    return rc;
}

static enum error_kind mend_fulltext(struct database *db, struct sqlserver_link *live, struct json *saved,
                                     struct error *err)
{
    struct json *statements = json_get(saved, "fulltext");
    int64_t catalogs = 0;
    enum error_kind rc = json_length(statements) ? count_catalogs(live, &catalogs, err) : OK;

    for (size_t i = 0; !rc && !catalogs && i < json_length(statements); i++) {
        const char *sql = json_text(json_at(statements, i));
        struct error why = ERROR_INIT;

        if (sql && sqlserver_link_run(live, sql, NULL, NULL, &why))
            rc = tell(db, sql, &why, err);
    }
    return rc;
}

static enum error_kind mend(struct database *db, const struct database_point *point, struct error *err)
{
    struct sqlserver_link *live = NULL;
    struct json *saved = NULL;
    enum error_kind rc = sqlserver_live(db, &live, err);

    if (!rc)
        rc = point->saved ? json_parse(point->saved, strlen(point->saved), &saved, err)
                          : error_set(err, ERR_CORRUPT, 0, "the journal does not say what the database was like");
    if (!rc)
        rc = mend_logs(db, live, saved, err);
    if (!rc)
        rc = mend_fulltext(db, live, saved, err);
    json_free(saved);
    return rc;
}

enum error_kind sqlserver_point_look(struct database *db, const struct database_point *point, struct error *err)
{
    struct sqlserver_link *master = NULL;
    struct found f = {.point = NULL};
    enum error_kind rc = sqlserver_master(db, &master, err);

    if (!rc)
        rc = find(master, db, point, &f, err);
    if (!rc)
        rc = refuse_lost(&f, point, err);
    if (!rc)
        rc = refuse_others(&f, err);
    if (!rc)
        rc = is_readable(db, f.point, err);
    sqlserver_places_release(&f.places);
    return rc;
}

enum error_kind sqlserver_point_revert(struct database *db, const struct database_point *point, struct error *err)
{
    struct sqlserver_link *master = NULL;
    struct found f = {.point = NULL};
    enum error_kind rc = sqlserver_master(db, &master, err);

    if (!rc)
        rc = find(master, db, point, &f, err);
    if (!rc)
        rc = refuse_lost(&f, point, err);
    if (!rc)
        rc = refuse_others(&f, err);
    if (!rc) {
        sqlserver_close_live(db);
        rc = go_back_patiently(db, master, &f, err);
    }
    if (!rc)
        rc = mend(db, point, err);
    sqlserver_places_release(&f.places);
    return rc;
}

enum error_kind sqlserver_point_clear(struct database *db, struct error *err)
{
    struct sqlserver_link *master = NULL;
    enum error_kind rc = sqlserver_master(db, &master, err);

    sqlserver_close_live(db);
    return rc ? rc : sqlserver_end_sessions(master, db->name, err);
}
