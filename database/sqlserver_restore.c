/*
 * A load by RESTORE DATABASE: the dump becomes a file that the server reads, which says of itself what it is (checked before anything is
 * made), and is restored into new files under a name that is free (N3). Row counts are the caller's proof; the pages' own is CHECKSUM.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "file.h"
#include "json.h"
#include "sqlserver_native_internal.h"
#include "thread.h"

enum { SQL_MAX = 256 * 1024, FULL_BACKUP = 1, EXPRESS = 4 };
#define EXPRESS_MAX (INT64_C(10) << 30)

/* ---- the file ---- */

static enum error_kind put_file(const struct sqlserver_share *share, const struct sqlserver_file *f,
                                database_source_fn *source, void *arg, struct error *err)
{
    const void *bytes = NULL;
    size_t len = 0;
    int fd = -1;
    enum error_kind rc = sqlserver_file_make(share, f, &fd, err);

    do {
        len = 0;
        if (!rc)
            rc = source(arg, &bytes, &len, err);
        if (!rc && len)
            rc = file_write(fd, bytes, len, f->local, err);
    } while (!rc && len);
    if (!rc) /* also so that a server that sees the folder over the network sees all of it */
        rc = file_sync(fd, f->local, err);
    file_close(&fd);
    return rc;
}

static enum error_kind ask(struct sqlserver_link *l, const char *what, const struct sqlserver_file *f,
                           struct sqlserver_rows *out, struct error *err)
{
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    enum error_kind rc = sqlserver_ddl(&sql, err, "RESTORE %s FROM DISK = %t", what, f->server);

    if (!rc)
        rc = sqlserver_link_run(l, (char *)sql.data, sqlserver_rows_add, out, err);
    buffer_release(&sql);
    return rc;
}

/* ---- what it says of itself ---- */

static enum error_kind check_header(struct sqlserver_link *l, const struct sqlserver_file *f,
                                    const struct database_facts *facts, struct error *err)
{
    struct sqlserver_rows h = {0};
    char *version = NULL;
    int64_t ours;
    int64_t theirs;
    enum error_kind rc = ask(l, "HEADERONLY", f, &h, err);

    if (!rc)
        rc = sqlserver_link_text(
            l, "/* nopsnap: version */ SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128))", &version, err);
    if (rc)
        goto done;
    ours = version ? strtoll(version, NULL, 10) : 0;
    theirs = sqlserver_cell_number(&h, 0, "SoftwareVersionMajor", 0);
    if (h.count != 1 || sqlserver_cell_number(&h, 0, "BackupType", 0) != FULL_BACKUP)
        rc = error_set(err, ERR_CORRUPT, 0, "the dump is not one full backup");
    else if (!facts->database || strcasecmp(sqlserver_cell_or(&h, 0, "DatabaseName", ""), facts->database) != 0)
        rc = error_set(err, ERR_CORRUPT, 0, "the dump is of database %s, the snapshot says %s",
                       sqlserver_cell_or(&h, 0, "DatabaseName", "?"), facts->database ? facts->database : "?");
    else if (sqlserver_cell_flag(&h, 0, "IsDamaged") || !sqlserver_cell_flag(&h, 0, "HasBackupChecksums"))
        rc = error_set(err, ERR_CORRUPT, 0, "the dump says that it is damaged, or has no checksums");
    else if (ours && theirs > ours) {
        rc = error_set(err, ERR_REFUSED, 0, "the backup was made by SQL Server %lld, this server is %lld",
                       (long long)theirs, (long long)ours);
        error_hint(err, "a backup is never restored by an older server: restore it on one that is as new");
    }
done:
    free(version);
    sqlserver_rows_release(&h);
    return rc;
}

static enum error_kind check_size(struct sqlserver_link *l, const struct sqlserver_rows *files, struct error *err)
{
    int64_t edition = 0;
    int64_t size = 0;
    enum error_kind rc = sqlserver_link_number(
        l, "/* nopsnap: edition */ SELECT CAST(SERVERPROPERTY('EngineEdition') AS int)", 0, &edition, err);

    for (size_t i = 0; !rc && i < files->count; i++)
        if (strcmp(sqlserver_cell_or(files, i, "Type", ""), "D") == 0)
            size += sqlserver_cell_number(files, i, "Size", 0);
    if (!rc && edition == EXPRESS && size > EXPRESS_MAX)
        rc = error_set(err, ERR_REFUSED, 0, "the backup's data files take %lld MB, an Express server holds 10240",
                       (long long)(size >> 20));
    return rc;
}

/* ---- its files, under new names ---- */

/* Letters and digits of the database's name, so that whoever looks at the server's folder knows whose they are. */
static void plain_name(const char *name, char out[64])
{
    size_t n = 0;

    for (; *name && n < 63; name++)
        out[n++] = (char)(isalnum((unsigned char)*name) || *name == '-' ? *name : '_');
    out[n] = '\0';
}

static enum error_kind default_folder(struct sqlserver_link *l, const char *property, char **out, struct error *err)
{
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    enum error_kind rc = sqlserver_ddl(
        &sql, err, "/* nopsnap: folder of files */ SELECT CAST(SERVERPROPERTY(%a) AS nvarchar(4000))", property);

    if (!rc)
        rc = sqlserver_link_text(l, (char *)sql.data, out, err);
    if (!rc && (!*out || !**out))
        rc = error_set(err, ERR_REMOTE, 0, "the server does not say where it keeps its files (%s)", property);
    buffer_release(&sql);
    return rc;
}

/* ", MOVE N'shop' TO N'/data/shop_0123456789abcdef_1.mdf'": no file of another database is ever named. */
static enum error_kind put_move(struct buffer *sql, const struct sqlserver_rows *files, size_t i, const char *data,
                                const char *log, const char *stem, struct error *err)
{
    const char *type = sqlserver_cell_or(files, i, "Type", "");
    const char *logical = sqlserver_cell_or(files, i, "LogicalName", "");
    const char *folder = *type == 'L' ? log : data;
    size_t len = strlen(folder);
    char slash = strchr(folder, '\\') ? '\\' : '/';
    char *path = NULL;
    enum error_kind rc;

    if (!strchr("DLS", *type) || !*type)
        return error_set(err, ERR_REFUSED, 0, "file %s of the backup is of a kind that is not known: %s", logical,
                         type);
    while (len && folder[len - 1] == slash)
        len--;
    rc = memory_format(&path, err, "%.*s%c%s_%zu%s", (int)len, folder, slash, stem, i + 1,
                       *type == 'L'   ? ".ldf"
                       : *type == 'S' ? ""
                       : i            ? ".ndf"
                                      : ".mdf");
    if (!rc)
        rc = sqlserver_ddl(sql, err, ", MOVE %t TO %t", logical, path);
    free(path);
    return rc;
}

static enum error_kind put_moves(struct sqlserver_link *l, const struct sqlserver_file *f, const char *name,
                                 struct buffer *sql, struct error *err)
{
    struct sqlserver_rows files = {0};
    char *data = NULL;
    char *log = NULL;
    char *stem = NULL;
    char plain[64];
    enum error_kind rc = ask(l, "FILELISTONLY", f, &files, err);

    plain_name(name, plain);
    if (!rc)
        rc = check_size(l, &files, err);
    if (!rc)
        rc = default_folder(l, "InstanceDefaultDataPath", &data, err);
    if (!rc)
        rc = default_folder(l, "InstanceDefaultLogPath", &log, err);
    if (!rc)
        rc = memory_format(&stem, err, "%s_%s", plain, f->token + SQLSERVER_TOKEN_FRESH);
    if (!rc && !files.count)
        rc = error_set(err, ERR_CORRUPT, 0, "the backup names no files");
    for (size_t i = 0; !rc && i < files.count; i++)
        rc = put_move(sql, &files, i, data, log, stem, err);
    sqlserver_rows_release(&files);
    free(data);
    free(log);
    free(stem);
    return rc;
}

/* ---- the name ---- */

/* Only what is empty, or half loaded by us, makes room for what is restored; a name that is free stays so until RESTORE takes it. */
static enum error_kind free_name(struct database *db, struct sqlserver_link *l, const char *name, struct error *err)
{
    bool there = false;
    char *state = NULL;
    int64_t objects = 0;
    enum error_kind rc = sqlserver_exists(l, name, &there, err);

    if (rc || !there)
        return rc;
    if (strcasecmp(name, db->name) == 0)
        sqlserver_close_live(db);
    rc = sqlserver_look_into(db, name, &state, &objects, err);
    if (!rc && objects && !(state && strcmp(state, "loading") == 0))
        rc = error_set(err, ERR_EXISTS, 0, "database %s is not empty", name);
    if (!rc)
        rc = sqlserver_clear_leftover(db, l, name, err);
    free(state);
    return rc;
}

/* N4. A new connection: the old one may have been given up in the midst of the restore. */
static void drop_half(struct database *db, const char *name, struct error *err)
{
    struct sqlserver_places places = {{0}};
    struct sqlserver_link *l = NULL;
    struct error failure = ERROR_INIT;
    const char *there = NULL;
    enum error_kind rc = sqlserver_link_open(db, NULL, &l, &failure);

    if (!rc)
        rc = sqlserver_places_read(l, &places, &failure);
    there = rc ? NULL : sqlserver_place_name(&places, name);
    if (there && sqlserver_place_is_restoring(&places, there))
        rc = sqlserver_run(l, &failure, "DROP DATABASE %n", there);
    if (rc)
        error_hint(err, "database %s may be left in the state RESTORING: DROP DATABASE [%s] clears it (%s)", name, name,
                   failure.text);
    sqlserver_places_release(&places);
    sqlserver_link_close(l);
}

/* ---- behind the restore ---- */

static enum error_kind add_name(void *arg, const struct database_row *row, struct error *err)
{
    return row->values[0] ? text_list_add(arg, row->values[0], err) : OK;
}

/*
 * A backup has its users' SIDs, by which a login of another server, or one that was made anew, is a stranger: they are joined by name, as in a load row by
 * row. Who had no login then is left without.
 */
static enum error_kind join_logins(struct database *db, struct sqlserver_link *inside,
                                   const struct database_facts *facts, struct error *err)
{
    struct text_list orphans = TEXT_LIST_INIT;
    struct json *root = NULL;
    struct json *logins;
    enum error_kind rc = facts->properties ? json_parse(facts->properties, strlen(facts->properties), &root, err) : OK;

    logins = json_get(root, "logins");
    if (!rc && json_length(logins))
        rc = sqlserver_link_run(inside,
                                "/* nopsnap: users without login */ SELECT p.name FROM sys.database_principals p WHERE "
                                "p.type = 'S' AND p.principal_id > 4 AND SUSER_SNAME(p.sid) IS NULL",
                                add_name, &orphans, err);
    for (size_t i = 0; !rc && i < json_length(logins); i++) {
        const char *user = json_text(json_get(json_at(logins, i), "user"));
        const char *login = json_text(json_get(json_at(logins, i), "login"));
        struct error why = ERROR_INIT;

        if (!user || !login || !text_list_has(&orphans, user))
            continue;
        if (sqlserver_run(inside, &why, "ALTER USER %n WITH LOGIN = %n", user, login) == OK)
            rc = text_list_addf(&db->notes, err,
                                "user %s of the database had another login %s: he has this server's now", user, login);
        else
            rc = text_list_addf(
                &db->notes, err,
                "user %s of the database has no login here, he had %s (%s): make it, then ALTER USER [%s] "
                "WITH LOGIN = [%s]",
                user, login, why.text, user, login);
    }
    json_free(root);
    text_list_release(&orphans);
    return rc;
}

/* A backup remembers that its database was closed. What was read-only stays so, and takes no marker. */
static enum error_kind open_up(struct database *db, struct sqlserver_link *l, const char *name, const char *token,
                               const struct database_facts *facts, struct error *err)
{
    struct sqlserver_link *inside = NULL;
    int64_t read_only = 0;
    enum error_kind rc = sqlserver_run(l, err, "ALTER DATABASE %n SET MULTI_USER WITH ROLLBACK IMMEDIATE", name);

    if (!rc)
        rc = sqlserver_link_open(db, name, &inside, err);
    if (!rc)
        rc = sqlserver_link_number(inside,
                                   "/* nopsnap: read only */ SELECT CAST(d.is_read_only AS int) FROM sys.databases d "
                                   "WHERE d.database_id = DB_ID()",
                                   0, &read_only, err);
    if (!rc)
        rc = sqlserver_give_back(db, inside, name, facts, err);
    if (!rc && !read_only)
        rc = join_logins(db, inside, facts, err);
    if (!rc && token && !read_only)
        rc = sqlserver_link_run(
            inside, "IF OBJECT_ID(N'[dbo].[" SQLSERVER_MARKER "]') IS NOT NULL DROP TABLE [dbo].[" SQLSERVER_MARKER "]",
            NULL, NULL, err);
    if (!rc && token && !read_only)
        rc = sqlserver_make_marker(db, name, token, err);
    if (!rc && token && !read_only)
        rc = sqlserver_set_marker(inside, "state", "loaded", err);
    sqlserver_link_close(inside);
    return rc;
}

static enum error_kind restore(struct database *db, struct sqlserver_link *l, const struct sqlserver_file *f,
                               const char *name, struct error *err)
{
    struct buffer moves = BUFFER_INIT(SQL_MAX);
    enum error_kind rc = put_moves(l, f, name, &moves, err);

    if (!rc)
        rc = free_name(db, l, name, err);
    if (!rc) {
        rc = sqlserver_native_run(db, l, NULL, err,
                                  "RESTORE DATABASE %n FROM DISK = %t WITH RECOVERY, CHECKSUM, STATS = 1%s", name,
                                  f->server, (char *)moves.data);
        if (rc)
            drop_half(db, name, err);
    }
    buffer_release(&moves);
    return rc;
}

enum error_kind sqlserver_restore(struct database *db, const struct sqlserver_share *share, const char *name,
                                  const struct database_facts *facts, database_source_fn *source, void *arg,
                                  struct error *err)
{
    bool beside = database_is_private_name(name, db->target->name, DATABASE_INFIX_BESIDE, SQLSERVER_NAME_MAX);
    const char *token = beside ? name + strlen(name) - 8 : NULL;
    struct sqlserver_file f = {NULL, NULL, ""};
    struct sqlserver_link *master = NULL;
    struct error stays = ERROR_INIT;
    enum error_kind rc = sqlserver_master(db, &master, err);

    if (!rc)
        rc = sqlserver_file_name(share, &f, err);
    if (!rc)
        rc = put_file(share, &f, source, arg, err);
    if (!rc)
        rc = check_header(master, &f, facts, err);
    if (!rc)
        rc = restore(db, master, &f, name, err);
    if (sqlserver_file_remove(&f, &stays)) { /* N2 */
        if (rc)
            error_hint(err, "%s; %s", stays.text, stays.hint);
        else
            rc = text_list_addf(&db->notes, err, "%s; %s", stays.text, stays.hint);
    }
    sqlserver_file_release(&f);
    return rc ? rc : open_up(db, master, name, token, facts, err);
}
