/*
 * How to reach the database that a transaction is about: by the settings of whichever tree still has them, or by
 * those in the snapshot (the folder may be gone altogether).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "transaction_internal.h"

/* Every file that decides about the connection, in any version (reference of versions 3.90 to 4.90). */
static const char *const settings_files[] = {
    "App_Data/Settings.txt",
    "App_Data/dataSettings.json",
    "App_Data/appsettings.json",
    "appsettings.json",
    "web.config",
};

void reach_release(struct reach *r)
{
    database_close(r->db);
    database_target_release(&r->target);
    database_target_release(&r->admin);
    site_connection_release(&r->connection);
    free(r->without);
    *r = (struct reach)REACH_INIT;
}

static enum error_kind copy_text(const char *from, char **to, struct error *err)
{
    return from ? memory_string(from, to, err) : OK;
}

static enum error_kind connection_copy(const struct site_connection *from, struct site_connection *to,
                                       struct error *err)
{
    enum error_kind rc = copy_text(from->file, &to->file, err);

    to->form = from->form;
    if (!rc)
        rc = copy_text(from->provider, &to->provider, err);
    if (!rc)
        rc = copy_text(from->string, &to->string, err);
    return rc;
}

enum error_kind reach_by(struct reach *r, const struct site_connection *connection, const char *admin_spec,
                         struct error *err)
{
    enum error_kind rc;

    if (!connection->string || !connection->provider)
        return error_set(err, ERR_NOT_FOUND, 0, "the settings name no database");
    rc = connection_copy(connection, &r->connection, err);
    if (!rc)
        rc = database_target_parse(connection->provider, connection->string, &r->target, err);
    if (!rc)
        rc = database_open_by(&r->target, admin_spec, &r->admin, &r->db, &r->without, err);
    if (rc) {
        struct error kept = *err;

        reach_release(r);
        *err = kept;
    }
    return rc;
}

enum error_kind reach_say_without(const struct reach *r, bool can_beside, struct preflight *p,
                                  const struct progress *progress, struct error *err)
{
    if (!r->without)
        return OK;
    if (!can_beside)
        return text_list_addf(&p->problems, err, "%s, which may make no other database", r->without);
    progress_warn(progress, "%s", r->without);
    return OK;
}

/* ---- settings inside a snapshot ---- */

static enum error_kind make_parents(const char *root, const char *relative, struct error *err)
{
    char *path = NULL;
    char *parent = NULL;
    enum error_kind rc = path_join(root, relative, &path, err);

    if (!rc)
        rc = path_parent(path, &parent, err);
    if (!rc)
        rc = directory_make_all(parent, err);
    free(path);
    free(parent);
    return rc;
}

static enum error_kind extract(struct catalog *cat, const struct tree_entry *entry, const char *root,
                               const char *relative, struct error *err)
{
    char *path = NULL;
    int fd = -1;
    enum error_kind rc = make_parents(root, relative, err);

    if (!rc)
        rc = path_join(root, relative, &path, err);
    if (!rc)
        rc = file_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, &fd, err);
    if (!rc)
        rc = restore_file_content(cat, entry, fd, err);
    file_close(&fd);
    free(path);
    return rc;
}

static enum error_kind extract_settings(struct catalog *cat, const struct snapshot_record *s, const char *root,
                                        const char *relative, struct tree_scratch *scratch, struct error *err)
{
    struct buffer encoded = BUFFER_INIT(16u << 20);
    struct error absent = ERROR_INIT;
    struct tree_entry entry;
    enum error_kind rc = tree_lookup(cat, &s->roots[0].tree, relative, &encoded, &absent);

    if (rc == ERR_NOT_FOUND) {
        rc = OK;
        goto done;
    }
    if (rc) {
        error_copy(err, &absent);
        goto done;
    }
    rc = tree_entry_decode(scratch, encoded.data, encoded.len, &entry, err);
    if (!rc && entry.type == TREE_FILE)
        rc = extract(cat, &entry, root, relative, err);
done:
    buffer_release(&encoded);
    return rc;
}

static enum error_kind extract_all(struct catalog *cat, const struct snapshot_record *s,
                                   const struct site_config *config, const char *root, struct error *err)
{
    struct tree_scratch *scratch = NULL;
    char *by_environment = NULL;
    enum error_kind rc = tree_scratch_new(&scratch, err);

    for (size_t i = 0; i < sizeof(settings_files) / sizeof(settings_files[0]) && !rc; i++)
        rc = extract_settings(cat, s, root, settings_files[i], scratch, err);
    if (!rc)
        rc = memory_format(&by_environment, err, "App_Data/appsettings.%s.json",
                           config && config->environment ? config->environment : "Production");
    if (!rc)
        rc = extract_settings(cat, s, root, by_environment, scratch, err);
    free(by_environment);
    tree_scratch_free(scratch);
    return rc;
}

static void version_of(const struct snapshot_record *s, struct site_version *out)
{
    struct error ignored = ERROR_INIT;

    *out = (struct site_version){0, 0, -1, ""};
    if (s->nop_version)
        (void)site_version_parse(s->nop_version, out, &ignored);
}

/* In memory where there is such a place: settings hold a password, and a kill leaves them behind until the next run (P10). */
static const char *private_place(void)
{
    const char *tmp = getenv("TMPDIR");

    if (access("/dev/shm", W_OK | X_OK) == 0)
        return "/dev/shm";
    return tmp && *tmp ? tmp : "/tmp";
}

#define SETTINGS_PREFIX "nopsnap-settings-"

/* What a killed nopsnap of this user left there goes: its process is gone. */
static void sweep(const char *place)
{
    DIR *dir = opendir(place);
    struct dirent *e;

    while (dir && (e = readdir(dir))) {
        struct error ignored = ERROR_INIT;
        struct stat st;
        long pid;

        if (strncmp(e->d_name, SETTINGS_PREFIX, strlen(SETTINGS_PREFIX)) != 0)
            continue;
        pid = strtol(e->d_name + strlen(SETTINGS_PREFIX), NULL, 10);
        if (pid <= 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
            continue;
        if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) &&
            st.st_uid == geteuid())
            (void)directory_remove_tree(dirfd(dir), e->d_name, &ignored);
    }
    if (dir)
        closedir(dir);
}

enum error_kind reach_snapshot_connection(struct catalog *cat, const struct snapshot_record *snapshot,
                                          const struct site_config *config, struct site_connection *out,
                                          struct error *err)
{
    const char *place = private_place();
    char root[4096];
    struct site_version version;
    struct error ignored = ERROR_INIT;
    enum error_kind rc;
    int n = snprintf(root, sizeof(root), "%s/" SETTINGS_PREFIX "%ld-XXXXXX", place, (long)getpid());

    if (!snapshot->root_count || strcmp(snapshot->roots[0].name, "site") != 0)
        return error_set(err, ERR_NOT_FOUND, 0, "the snapshot holds no files, so no settings either");
    sweep(place);
    if (n < 0 || (size_t)n >= sizeof(root) || !mkdtemp(root)) /* 0700 */
        return error_set(err, ERR_IO, errno, "making a private folder in %s", place);
    version_of(snapshot, &version);
    rc = extract_all(cat, snapshot, config, root, err);
    if (!rc)
        rc = site_connection_read(root, &version, false, out, err);
    if (!rc && !out->string)
        rc = error_set(err, ERR_NOT_FOUND, 0, "the snapshot's settings name no database");
    (void)directory_remove_tree(AT_FDCWD, root, &ignored);
    return rc;
}

/* ---- for a transaction in the journal ---- */

static bool names_it(const struct reach *r, const struct txn *t)
{
    const struct database_target recorded = {
        .engine = r->target.engine, .host = t->database_host, .port = t->database_port, .name = t->database_name};

    return !strcmp(database_engine_name(r->target.engine), t->database_engine) &&
           database_target_same(&recorded, &r->target);
}

/*
 * An exchange finds its databases by identity. A load in place goes into whatever carries the name, so what carries it is looked at
 * before anything is fenced or loaded: the server may have been replaced since, or the name given to another database. A restore point that the
 * server keeps is of one database, which is looked at when it is gone back to.
 */
static enum error_kind check_identity(struct reach *r, const struct txn *t, struct error *err)
{
    struct database_info info = DATABASE_INFO_INIT;
    enum error_kind rc;

    if (!t->database_in_place || t->has_point)
        return OK;
    rc = database_probe(r->db, &info, err);
    if (!rc && database_identity_differs(t->database_identity, info.identity)) {
        rc = error_set(err, ERR_REFUSED, 0, "database %s is not the one that was being changed", t->database_name);
        error_hint(err, "bring that one back under this name and on this server");
    }
    database_info_release(&info);
    return rc;
}

static enum error_kind try_tree(struct reach *r, const char *root, const struct snapshot_record *target,
                                const struct txn *t, struct error *err)
{
    struct site_connection c = {SITE_SETTINGS_NONE, NULL, NULL, NULL};
    struct site_version version;
    enum error_kind rc;

    version_of(target, &version);
    rc = site_connection_read(root, &version, false, &c, err);
    if (!rc)
        rc = reach_by(r, &c, t->database_admin, err);
    if (!rc && !names_it(r, t)) {
        reach_release(r);
        rc = error_set(err, ERR_NOT_FOUND, 0, "%s names another database", root);
    }
    site_connection_release(&c);
    return rc;
}

static enum error_kind try_snapshot(struct reach *r, struct catalog *cat, const struct txn *t,
                                    const struct snapshot_record *target, struct error *err)
{
    struct site_connection c = {SITE_SETTINGS_NONE, NULL, NULL, NULL};
    enum error_kind rc = reach_snapshot_connection(cat, target, NULL, &c, err);

    if (!rc)
        rc = reach_by(r, &c, t->database_admin, err);
    if (!rc && !names_it(r, t)) {
        reach_release(r);
        rc =
            error_set(err, ERR_NOT_FOUND, 0, "the snapshot's settings name another database than %s", t->database_name);
    }
    site_connection_release(&c);
    return rc;
}

/* What the environment says overrides every file of the tree. */
static bool try_environment(struct reach *r, const struct site *site, const struct txn *t)
{
    struct error ignored = ERROR_INIT;

    if (!site || site->connection.form != SITE_SETTINGS_ENVIRONMENT || !site->connection.string ||
        reach_by(r, &site->connection, t->database_admin, &ignored))
        return false;
    if (names_it(r, t))
        return true;
    reach_release(r);
    return false;
}

static enum error_kind reach_by_any(struct reach *r, struct catalog *cat, const struct site *site, const struct txn *t,
                                    const struct snapshot_record *target, struct error *err)
{
    struct error first = ERROR_INIT;
    struct error why = ERROR_INIT;
    char *staged = NULL;
    enum error_kind rc;

    if (try_environment(r, site, t))
        return OK;
    if (try_tree(r, t->site_path, target, t, &first) == OK)
        return OK;
    rc = memory_format(&staged, err, "%s/site", t->stage);
    if (rc)
        return rc;
    rc = try_tree(r, staged, target, t, &why);
    free(staged);
    if (!rc)
        return OK;
    error_clear(&why);
    if (try_snapshot(r, cat, t, target, &why) == OK)
        return OK;
    /* the server's own answer says more than "no settings here" */
    error_copy(err, first.kind == ERR_REMOTE ? &first : &why);
    error_context(err, "reaching the shop's database");
    return err->kind;
}

enum error_kind reach_for_txn(struct reach *r, struct catalog *cat, const struct site *site, const struct txn *t,
                              const struct snapshot_record *target, struct error *err)
{
    enum error_kind rc = reach_by_any(r, cat, site, t, target, err);

    if (!rc)
        rc = check_identity(r, t, err);
    if (rc)
        reach_release(r);
    return rc;
}
