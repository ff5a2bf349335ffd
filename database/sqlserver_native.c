/* Native or logical: the choice, the folder that server and nopsnap share, and the files in it (N1, N2). */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "sqlserver_native_internal.h"

enum {
    SQL_MAX = 256 * 1024,
    SAID_PERCENT = 3211, /* "10 percent processed." */
    NOT_A_BACKUP = 3241, /* "The media family on device ... is incorrectly formed": the file was opened */
    AZURE_DATABASE = 5,
    MANAGED_INSTANCE = 8,
};

bool sqlserver_is_native(const struct database_facts *facts)
{
    return facts->format && strcmp(facts->format, SQLSERVER_FORMAT_NATIVE) == 0;
}

/* ---- statements that take their time ---- */

struct hearing {
    struct database *db;
    int failure;
};

static void hear(void *arg, const struct sqlserver_message *m)
{
    struct hearing *h = arg;

    if (m->severity > 10 && !h->failure)
        h->failure = m->number;
    if (m->number == SAID_PERCENT && h->db->percent) /* by its number: the words are in the login's language */
        h->db->percent(h->db->percent_arg, (unsigned)strtoul(m->text + strcspn(m->text, "0123456789"), NULL, 10));
}

enum error_kind sqlserver_native_run(struct database *db, struct sqlserver_link *l, int *number, struct error *err,
                                     const char *format, ...)
{
    struct hearing h = {db, 0};
    struct buffer sql = BUFFER_INIT(SQL_MAX);
    va_list args;
    enum error_kind rc;

    va_start(args, format);
    rc = sqlserver_ddl_list(&sql, err, format, &args);
    va_end(args);
    sqlserver_link_listen(l, hear, &h);
    if (!rc)
        rc = sqlserver_link_run(l, (char *)sql.data, NULL, NULL, err);
    sqlserver_link_listen(l, NULL, NULL);
    if (number)
        *number = h.failure;
    buffer_release(&sql);
    return rc;
}

/* ---- the folder ---- */

void sqlserver_share_release(struct sqlserver_share *s)
{
    free(s->server);
    free(s->local);
    *s = (struct sqlserver_share){NULL, NULL};
}

/* Before 2019 the server does not say where its backups go; where its data is it can write as well. */
static enum error_kind own_folder(struct sqlserver_link *master, char **out, char **why, struct error *err)
{
    char *folder = NULL;
    enum error_kind rc = sqlserver_link_text(
        master,
        "/* nopsnap: backup folder */ SELECT COALESCE(CAST(SERVERPROPERTY('InstanceDefaultBackupPath') AS nvarchar(4000)), "
        "CAST(SERVERPROPERTY('InstanceDefaultDataPath') AS nvarchar(4000)))",
        &folder, err);

    if (!rc && (!folder || folder[0] != '/'))
        rc = memory_format(why, err, "the server's files are not on this machine (%s)",
                           folder ? folder : "it names no folder");
    if (rc || *why)
        free(folder);
    else
        *out = folder;
    return rc;
}

static enum error_kind edition_forbids(struct sqlserver_link *master, char **why, struct error *err)
{
    int64_t edition = 0;
    enum error_kind rc = sqlserver_link_number(
        master, "/* nopsnap: edition */ SELECT CAST(SERVERPROPERTY('EngineEdition') AS int)", 0, &edition, err);

    if (!rc && (edition == AZURE_DATABASE || edition == MANAGED_INSTANCE))
        rc = memory_string(edition == AZURE_DATABASE ? "Azure SQL Database has no BACKUP"
                                                     : "a Managed Instance writes backups to a URL only",
                           why, err);
    return rc;
}

enum error_kind sqlserver_share_find(struct database *db, struct sqlserver_link *master, struct sqlserver_share *out,
                                     char **why, struct error *err)
{
    const struct database_native *n = &db->native;
    struct sqlserver_share s = {NULL, NULL};
    struct stat st;
    enum error_kind rc = edition_forbids(master, why, err);

    if (!rc && !*why && n->server_folder)
        rc = memory_string(n->server_folder, &s.server, err);
    else if (!rc && !*why)
        rc = own_folder(master, &s.server, why, err);
    if (!rc && !*why)
        rc = memory_string(n->local_folder ? n->local_folder : s.server, &s.local, err);
    if (!rc && !*why && (s.local[0] != '/' || stat(s.local, &st) || !S_ISDIR(st.st_mode)))
        rc = memory_format(why, err, "there is no folder %s here", s.local);
    if (rc || *why)
        sqlserver_share_release(&s);
    else
        *out = s;
    return rc;
}

/* ---- files ---- */

static enum error_kind join(const char *folder, const char *name, char **out, struct error *err)
{
    size_t len = strlen(folder);
    char slash = strchr(folder, '\\') ? '\\' : '/';

    while (len && folder[len - 1] == slash)
        len--;
    return memory_format(out, err, "%.*s%c%s", (int)len, folder, slash, name);
}

enum error_kind sqlserver_file_name(const struct sqlserver_share *share, struct sqlserver_file *out, struct error *err)
{
    struct sqlserver_file f = {NULL, NULL, ""};
    char name[64];
    enum error_kind rc = sqlserver_file_token(f.token, err);

    if (rc)
        return rc;
    snprintf(name, sizeof name, SQLSERVER_FILE_PREFIX "%s" SQLSERVER_FILE_SUFFIX, f.token);
    rc = join(share->server, name, &f.server, err);
    if (!rc)
        rc = memory_format(&f.local, err, "%s/%s", share->local, name);
    if (rc)
        sqlserver_file_release(&f);
    else
        *out = f;
    return rc;
}

void sqlserver_file_release(struct sqlserver_file *f)
{
    free(f->server);
    free(f->local);
    *f = (struct sqlserver_file){NULL, NULL, ""};
}

enum error_kind sqlserver_file_remove(const struct sqlserver_file *f, struct error *err)
{
    if (!f->local || unlink(f->local) == 0 || errno == ENOENT)
        return OK;
    error_set(err, ERR_IO, errno, "the file %s stays: it can't be removed", f->local);
    error_hint(err, "delete it; on the server it is %s. nopsnap needs write permission in that folder", f->server);
    return ERR_IO;
}

/* It belongs to whom the folder does, which is the server, where this process may give files away; else the folder's group may read it. */
enum error_kind sqlserver_file_make(const struct sqlserver_share *share, const struct sqlserver_file *f, int *fd,
                                    struct error *err)
{
    struct stat st;
    enum error_kind rc;

    if (stat(share->local, &st))
        return error_set(err, ERR_IO, errno, "looking at folder %s", share->local);
    rc = file_open(AT_FDCWD, f->local, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, fd, err);
    if (rc || st.st_uid == geteuid())
        return rc;
    if (fchown(*fd, st.st_uid, st.st_gid) == 0)
        return OK;
    if (fchown(*fd, (uid_t)-1, st.st_gid) == 0 && fchmod(*fd, 0640) == 0)
        return OK;
    rc = error_set(err, ERR_IO, errno, "%s can't be given to the server's user or group", f->local);
    file_close(fd);
    (void)unlink(f->local);
    return rc;
}

/* ---- trying ---- */

/* A file of ours that is no backup: a server that says so has opened it. */
static enum error_kind try_reading(struct database *db, struct sqlserver_link *master,
                                   const struct sqlserver_share *share, char **why, struct error *err)
{
    static const char text[] = "nopsnap was here\n";
    struct sqlserver_file f = {NULL, NULL, ""};
    struct error said = ERROR_INIT;
    int number = 0;
    int fd = -1;
    enum error_kind rc = sqlserver_file_name(share, &f, err);

    if (rc)
        return rc;
    rc = sqlserver_file_make(share, &f, &fd, &said);
    if (!rc)
        rc = file_write(fd, text, sizeof text - 1, f.local, &said);
    file_close(&fd);
    if (!rc && sqlserver_native_run(db, master, &number, &said, "RESTORE HEADERONLY FROM DISK = %t", f.server) == OK)
        number = NOT_A_BACKUP;
    rc = said.kind == ERR_CANCELLED ? (error_copy(err, &said), ERR_CANCELLED) : OK;
    if (!rc && number != NOT_A_BACKUP)
        rc = memory_format(why, err, "%s", said.text);
    if (sqlserver_file_remove(&f, &said) && !rc) {
        error_copy(err, &said);
        rc = err->kind;
    }
    sqlserver_file_release(&f);
    return rc;
}

static enum error_kind readable_here(const struct sqlserver_file *f, char **why, struct error *err)
{
    struct stat st;
    char byte;
    int fd = open(f->local, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int code = errno;
    enum error_kind rc = OK;

    if (fd < 0 && code == ENOENT)
        rc = memory_format(why, err, "what the server writes to %s is not seen here as %s", f->server, f->local);
    else if (fd < 0)
        rc = memory_format(why, err, "%s, which the server wrote, can't be read here: %s", f->local, strerror(code));
    else if (fstat(fd, &st) || !S_ISREG(st.st_mode) || read(fd, &byte, 1) != 1)
        rc = memory_format(why, err, "%s is not what the server wrote", f->local);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* model is the smallest database that every server has. Whoever may not back it up learns from the real backup whether it works. */
static enum error_kind try_writing(struct database *db, struct sqlserver_link *master,
                                   const struct sqlserver_share *share, char **why, struct error *err)
{
    struct sqlserver_file f = {NULL, NULL, ""};
    struct error said = ERROR_INIT;
    struct error stays = ERROR_INIT;
    int64_t may = 0;
    enum error_kind rc = sqlserver_link_number(
        master, "/* nopsnap: may back up model */ SELECT HAS_PERMS_BY_NAME(N'model', 'DATABASE', 'BACKUP DATABASE')", 0,
        &may, err);

    if (rc || !may)
        return rc;
    rc = sqlserver_file_name(share, &f, err);
    if (rc)
        return rc;
    if (sqlserver_native_run(db, master, NULL, &said,
                             "BACKUP DATABASE [model] TO DISK = %t WITH COPY_ONLY, CHECKSUM, FORMAT, INIT", f.server))
        rc = said.kind == ERR_CANCELLED ? (error_copy(err, &said), ERR_CANCELLED)
                                        : memory_format(why, err, "a trial backup failed: %s", said.text);
    else
        rc = readable_here(&f, why, err);
    if (sqlserver_file_remove(&f, &stays)) {
        rc = text_list_addf(&db->notes, err, "%s; %s", stays.text, stays.hint);
        if (!rc && !*why)
            rc = memory_format(why, err, "%s could not be removed", f.local);
    }
    sqlserver_file_release(&f);
    return rc;
}

/* What is dumped natively must be loadable: that takes the right to make databases, as sqlserver_probe() looks for it. */
static enum error_kind may_restore(struct sqlserver_link *master, char **why, struct error *err)
{
    int64_t may = 0;
    enum error_kind rc = sqlserver_may_create(master, &may, err);

    return rc || may
               ? rc
               : memory_string("this login may not create databases, so a backup could not be restored", why, err);
}

static enum error_kind choose(struct database *db, struct sqlserver_share *share, char **why, struct error *err)
{
    struct sqlserver_link *master = NULL;
    enum error_kind rc = sqlserver_master(db, &master, err);

    if (!rc)
        rc = may_restore(master, why, err);
    if (!rc && !*why)
        rc = sqlserver_share_find(db, master, share, why, err);
    if (!rc && !*why) /* first: it leaves nothing anywhere, also where the folder is another one */
        rc = try_reading(db, master, share, why, err);
    if (!rc && !*why)
        rc = sqlserver_sweep(share, &db->notes, err);
    if (!rc && !*why)
        rc = try_writing(db, master, share, why, err);
    return rc;
}

/* ---- dump ---- */

static enum error_kind refuse_native(const char *why, struct error *err)
{
    error_set(err, ERR_REFUSED, 0, "there is no native dump to be had: %s", why);
    error_hint(err, "name a folder that both see with sqlserver-backup-path and sqlserver-backup-local in the config; "
                    "--sqlserver-mode logical does without");
    return ERR_REFUSED;
}

static enum error_kind begin_native(struct database_dump *dump, const struct sqlserver_share *share, char **why,
                                    struct error *err)
{
    struct error said = ERROR_INIT;
    enum error_kind rc = sqlserver_backup_begin(dump, share, &said);

    if (!rc)
        return text_list_addf(
            &dump->db->notes, err,
            "database %s: dumped by the server's own BACKUP, in folder %s; while it was written nobody "
            "could write to the database",
            dump->db->name, share->local);
    sqlserver_backup_end(dump, NULL, err);
    dump->native = false;
    if (rc == ERR_CANCELLED || dump->db->native.way == DATABASE_NATIVE) {
        error_copy(err, &said);
        return rc;
    }
    return memory_format(why, err, "the backup failed: %s%s%s", said.text, said.hint[0] ? "; " : "", said.hint);
}

enum error_kind sqlserver_dump_begin(struct database_dump *dump, struct error *err)
{
    struct sqlserver_share share = {NULL, NULL};
    struct database *db = dump->db;
    char *why = NULL;
    enum error_kind rc = OK;

    if (db->native.way == DATABASE_LOGICAL)
        return sqlserver_logical_dump_begin(dump, err);
    rc = choose(db, &share, &why, err);
    if (!rc && !why)
        rc = begin_native(dump, &share, &why, err);
    if (!rc && why && db->native.way == DATABASE_NATIVE)
        rc = refuse_native(why, err);
    if (!rc && why)
        rc = text_list_addf(&db->notes, err, "database %s: dumped row by row, not by BACKUP: %s", db->name, why);
    if (!rc && why)
        rc = sqlserver_logical_dump_begin(dump, err);
    sqlserver_share_release(&share);
    free(why);
    return rc;
}

enum error_kind sqlserver_dump_run(struct database_dump *dump, database_sink_fn *sink, void *arg, struct error *err)
{
    return dump->native ? sqlserver_backup_run(dump, sink, arg, err) : sqlserver_logical_dump_run(dump, sink, arg, err);
}

enum error_kind sqlserver_dump_end(struct database_dump *dump, struct database_facts *out, struct error *err)
{
    return dump->native ? sqlserver_backup_end(dump, out, err) : sqlserver_logical_dump_end(dump, out, err);
}

/* ---- load ---- */

static enum error_kind refuse_load(const char *why, struct error *err)
{
    error_set(err, ERR_REFUSED, 0, "the snapshot holds a backup made by SQL Server itself, which can't be loaded: %s",
              why);
    error_hint(
        err,
        "the server has to see a file that nopsnap writes: run nopsnap on its machine, or name a folder that both see "
        "with sqlserver-backup-path and sqlserver-backup-local in the config");
    return ERR_REFUSED;
}

static enum error_kind find_for_load(struct database *db, struct sqlserver_share *out, struct error *err)
{
    struct sqlserver_link *master = NULL;
    char *why = NULL;
    enum error_kind rc = sqlserver_master(db, &master, err);

    if (!rc)
        rc = may_restore(master, &why, err);
    if (!rc && !why)
        rc = sqlserver_share_find(db, master, out, &why, err);
    if (!rc && !why)
        rc = try_reading(db, master, out, &why, err);
    if (!rc && !why)
        rc = sqlserver_sweep(out, &db->notes, err);
    if (!rc && why)
        rc = refuse_load(why, err);
    free(why);
    return rc;
}

enum error_kind sqlserver_load_check(struct database *db, const struct database_facts *facts, bool beside,
                                     struct error *err)
{
    struct sqlserver_share share = {NULL, NULL};
    enum error_kind rc;

    (void)beside;
    if (!sqlserver_is_native(facts))
        return OK;
    rc = find_for_load(db, &share, err);
    sqlserver_share_release(&share);
    return rc;
}

/* RESTORE makes the database itself: all that is to be done before is that its name is free (N3). */
enum error_kind sqlserver_load_begin(struct database *db, const struct database_facts *facts, const char *token,
                                     char **name, struct error *err)
{
    struct sqlserver_link *master = NULL;
    char *beside = NULL;
    enum error_kind rc;

    if (!sqlserver_is_native(facts))
        return sqlserver_logical_load_begin(db, facts, token, name, err);
    rc = database_private_name(db->target->name, DATABASE_INFIX_BESIDE, token, SQLSERVER_NAME_MAX, &beside, err);
    if (!rc)
        rc = sqlserver_master(db, &master, err);
    if (!rc)
        rc = sqlserver_clear_leftover(db, master, beside, err);
    if (rc)
        free(beside);
    else
        *name = beside;
    return rc;
}

enum error_kind sqlserver_load_run(struct database *db, const char *name, const struct database_facts *facts,
                                   database_source_fn *source, void *arg, struct error *err)
{
    struct sqlserver_share share = {NULL, NULL};
    enum error_kind rc;

    if (!sqlserver_is_native(facts))
        return sqlserver_logical_load_run(db, name, facts, source, arg, err);
    rc = find_for_load(db, &share, err);
    if (!rc)
        rc = sqlserver_restore(db, &share, name, facts, source, arg, err);
    sqlserver_share_release(&share);
    return rc;
}

/* Over the live one there would be no way back from a restore that fails (N3). */
enum error_kind sqlserver_load_in_place(struct database *db, const struct database_facts *facts,
                                        database_source_fn *source, void *arg, struct error *err)
{
    if (!sqlserver_is_native(facts))
        return sqlserver_logical_load_in_place(db, facts, source, arg, err);
    error_set(err, ERR_REFUSED, 0, "a backup made by SQL Server itself is restored beside the live database only");
    error_hint(err, "name a login that may make databases with database-admin in the config");
    return ERR_REFUSED;
}
