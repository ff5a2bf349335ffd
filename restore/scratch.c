#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hash.h"
#include "thread.h"

#define MARK_NAME "mark"
#define MARK_MAX 256
#define TOKEN_LEN 8
#define TABLES_SHOWN 10

static enum error_kind in_folder(const struct scratch *s, const char *name, char **out, struct error *err)
{
    return path_join(s->folder, name, out, err);
}

/* ---- what was made, and how it goes (X2) ---- */

/* Who may not make a database of that name may not look at one either (MySQL); as long as the server answers, that proves that there is none. */
static bool was_never_made(struct scratch *s, const char *token)
{
    struct database_info info = DATABASE_INFO_INIT;
    struct error ignored = ERROR_INIT;
    bool never = s->refused && !strcmp(token, s->token) && database_probe(s->db, &info, &ignored) == OK;

    database_info_release(&info);
    return never;
}

/* The name holds a token that was marked before the database was made: what carries it is ours. */
static enum error_kind drop_copy(struct scratch *s, const char *token, struct error *err)
{
    struct database_info info = DATABASE_INFO_INIT;
    struct error unreachable = ERROR_INIT;
    struct database *copy = NULL;
    char *name = NULL;
    enum error_kind rc;

    if (!s->db)
        return OK;
    rc = database_beside_name(s->db, token, &name, err);
    if (!rc && database_open_beside(s->db, name, &copy, &unreachable) != OK && !was_never_made(s, token)) {
        error_copy(err, &unreachable);
        rc = unreachable.kind;
    }
    if (!rc && copy)
        rc = database_probe(copy, &info, err);
    database_close(copy);
    if (!rc && info.exists)
        rc = database_kept_drop(s->db, name, info.identity, err);
    database_info_release(&info);
    free(name);
    return rc;
}

/* The mark last: as long as anything is there, it says whose it is. */
static enum error_kind remove_marked(struct scratch *s, const char *token, struct error *err)
{
    struct error why = ERROR_INIT;
    char *mark = NULL;
    enum error_kind rc = s->vacate ? s->vacate(s->tree, err) : OK;

    if (!rc)
        rc = drop_copy(s, token, err);
    if (!rc)
        rc = directory_remove_tree(AT_FDCWD, s->tree, err);
    if (!rc)
        rc = directory_remove_tree(AT_FDCWD, s->spare, err);
    if (!rc)
        rc = in_folder(s, MARK_NAME, &mark, err);
    if (!rc && file_unlink(AT_FDCWD, mark, &why) != OK && why.kind != ERR_NOT_FOUND) {
        error_copy(err, &why);
        rc = why.kind;
    }
    free(mark);
    return rc;
}

/* "nopsnap rehearsal 3f2a91c0 database": the last word where there may be a database. */
static enum error_kind read_mark(const struct scratch *s, const struct buffer *text, char token[TOKEN_LEN + 1],
                                 bool *has_database, struct error *err)
{
    char head[64];
    int n = snprintf(head, sizeof(head), "nopsnap %s ", s->what);
    const char *bytes = (const char *)text->data;

    if (text->len < (size_t)n + TOKEN_LEN + 1 || memcmp(bytes, head, (size_t)n) != 0 ||
        strspn(bytes + n, "0123456789abcdef") != TOKEN_LEN)
        return error_set(err, ERR_REFUSED, 0, "%s/" MARK_NAME " is no mark of a %s", s->folder, s->what);
    memcpy(token, bytes + n, TOKEN_LEN);
    token[TOKEN_LEN] = '\0';
    *has_database = strncmp(bytes + n + TOKEN_LEN, " database", 9) == 0;
    return OK;
}

static enum error_kind remove_left(struct scratch *s, const struct buffer *text, const struct progress *progress,
                                   struct error *err)
{
    char token[TOKEN_LEN + 1] = "";
    bool has_database = false;
    enum error_kind rc = read_mark(s, text, token, &has_database, err);

    if (!rc && has_database && !s->db) {
        rc = error_set(err, ERR_REFUSED, 0, "%s: a %s that was ended has left a database, and there is no server now",
                       s->folder, s->what);
        error_hint(err, "the settings of the shop have to name its database again");
    }
    if (rc)
        return rc;
    progress_step(progress, "removing what a %s left that was ended", s->what);
    return remove_marked(s, token, err);
}

static enum error_kind clear_left(struct scratch *s, const struct progress *progress, struct error *err)
{
    struct buffer text = BUFFER_INIT(MARK_MAX);
    struct error why = ERROR_INIT;
    char *mark = NULL;
    enum error_kind rc = in_folder(s, MARK_NAME, &mark, err);

    if (rc)
        return rc;
    rc = file_read_whole(AT_FDCWD, mark, MARK_MAX - 1, &text, &why);
    if (rc == ERR_NOT_FOUND)
        rc = access(s->tree, F_OK) == 0
                 ? error_set(err, ERR_REFUSED, 0, "%s is no leftover of a %s: it has no mark", s->folder, s->what)
                 : OK;
    else if (rc)
        error_copy(err, &why);
    else
        rc = remove_left(s, &text, progress, err);
    buffer_release(&text);
    free(mark);
    return rc;
}

static enum error_kind refuse_folder(const char *folder, struct error *err)
{
    error_set(err, ERR_REFUSED, 0, "%s is not this user's own folder", folder);
    error_hint(err, "look what it is, and move it away");
    return ERR_REFUSED;
}

/* P8, P11: in a folder that somebody else put there his mark would say what is removed. The one that is looked at is the one that is opened. */
static enum error_kind open_own(const char *folder, mode_t mode, int *out, struct error *err)
{
    struct stat st;

    *out = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*out < 0)
        return errno == ENOTDIR || errno == ELOOP ? refuse_folder(folder, err)
                                                  : error_set(err, ERR_IO, errno, "%s", folder);
    if (fstat(*out, &st))
        return error_set(err, ERR_IO, errno, "%s", folder);
    if (st.st_uid != geteuid())
        return refuse_folder(folder, err);
    return fchmod(*out, mode) ? error_set(err, ERR_IO, errno, "%s", folder) : OK; /* whatever the umask says */
}

/* The lock was taken by the name: is that still the folder's? */
static enum error_kind check_same(const char *folder, int dir, struct error *err)
{
    struct stat opened, named;

    if (fstat(dir, &opened) || lstat(folder, &named))
        return error_set(err, ERR_IO, errno, "%s", folder);
    return opened.st_dev == named.st_dev && opened.st_ino == named.st_ino ? OK : refuse_folder(folder, err);
}

bool scratch_is_left(const char *folder)
{
    return access(folder, F_OK) == 0;
}

/* ---- the beginning ---- */

static enum error_kind make_folder(const struct scratch *s, mode_t mode, int *dir, struct error *err)
{
    struct error there = ERROR_INIT;
    char *parent = NULL;
    enum error_kind rc = path_parent(s->folder, &parent, err);

    if (!rc && site_serves(parent))
        rc = error_set(err, ERR_REFUSED, 0, "%s is served to visitors: no copy of the shop is put there", parent);
    if (!rc && directory_make(AT_FDCWD, s->folder, mode, &there) != OK && there.kind != ERR_EXISTS) {
        error_copy(err, &there);
        rc = there.kind;
    }
    if (!rc)
        rc = open_own(s->folder, mode, dir, err);
    free(parent);
    return rc;
}

static enum error_kind mark(struct scratch *s, struct error *err)
{
    unsigned char token[TOKEN_LEN / 2];
    char text[MARK_MAX];
    char *path = NULL;
    enum error_kind rc = in_folder(s, MARK_NAME, &path, err);

    if (!rc)
        rc = random_bytes(token, sizeof(token), err);
    if (!rc) {
        hex_encode(token, sizeof(token), s->token);
        (void)snprintf(text, sizeof(text), "nopsnap %s %s%s\n", s->what, s->token, s->db ? " database" : "");
        rc = file_replace(path, text, strlen(text), 0600, err);
    }
    free(path);
    return rc;
}

enum error_kind scratch_begin(struct scratch *s, const struct scratch_spec *spec, const struct progress *progress,
                              struct error *err)
{
    char *lock = NULL;
    char *what = NULL;
    int dir = -1;
    enum error_kind rc = memory_string(spec->folder, &s->folder, err);

    s->what = spec->what;
    s->db = spec->db;
    s->vacate = spec->vacate;
    if (!rc)
        rc = in_folder(s, "tree", &s->tree, err);
    if (!rc)
        rc = in_folder(s, "scratch", &s->spare, err);
    if (!rc)
        rc = in_folder(s, "lock", &lock, err);
    if (!rc)
        rc = memory_format(&what, err, "the %s of this shop", s->what);
    if (!rc)
        rc = make_folder(s, spec->mode, &dir, err);
    if (!rc)
        rc = file_lock_take(&s->lock, lock, LOCK_EXCLUSIVE, 0, what, err);
    if (!rc)
        rc = check_same(s->folder, dir, err);
    if (!rc)
        rc = clear_left(s, progress, err);
    if (!rc)
        rc = mark(s, err);
    file_close(&dir);
    free(lock);
    free(what);
    return rc;
}

/* ---- the database ---- */

static enum error_kind refuse_differences(const struct text_list *differences, struct error *err)
{
    struct buffer text = BUFFER_INIT(8192);
    struct error ignored = ERROR_INIT;

    for (size_t i = 0; i < differences->count && i < TABLES_SHOWN; i++)
        buffer_append_format(&text, &ignored, "%s%s", i ? ", " : "", differences->items[i]);
    error_set(err, ERR_CORRUPT, 0, "the loaded database is not what was dumped, in %zu tables: %s%s",
              differences->count, text.len ? (const char *)text.data : "",
              differences->count > TABLES_SHOWN ? ", ..." : "");
    buffer_release(&text);
    return ERR_CORRUPT;
}

static enum error_kind make_database(struct scratch *s, const struct database_facts *facts, struct error *err)
{
    enum error_kind rc = database_load_check(s->db, facts, true, err);

    if (!rc)
        rc = database_load_begin(s->db, facts, s->token, &s->name, err);
    s->refused = rc == ERR_REMOTE;
    return rc;
}

enum error_kind scratch_make_database(struct scratch *s, const struct snapshot_record *snapshot, struct error *err)
{
    struct database_facts facts = DATABASE_FACTS_INIT;
    enum error_kind rc = restore_database_facts(snapshot, &facts, err);

    if (!rc)
        rc = make_database(s, &facts, err);
    database_facts_release(&facts);
    return rc;
}

enum error_kind scratch_load(struct scratch *s, struct catalog *cat, const struct snapshot_record *snapshot,
                             struct database_facts *facts, const struct progress *progress, struct error *err)
{
    struct text_list differences = TEXT_LIST_INIT;
    enum error_kind rc = restore_database_facts(snapshot, facts, err);

    progress_step(progress, "loading a copy of the database");
    if (!rc && !s->name)
        rc = make_database(s, facts, err);
    if (!rc)
        rc = restore_database_load(cat, snapshot, s->db, s->name, progress, err);
    if (!rc)
        progress_step(progress, "counting rows");
    if (!rc)
        rc = database_compare(s->db, s->name, &facts->counts, &differences, err);
    if (!rc && differences.count)
        rc = refuse_differences(&differences, err);
    text_list_release(&differences);
    return rc;
}

/* ---- the end ---- */

enum error_kind scratch_end(struct scratch *s, struct error *err)
{
    enum error_kind rc = OK;

    cancel_defer(true);
    if (s->token[0])
        rc = remove_marked(s, s->token, err);
    if (!rc && s->lock.fd >= 0) {
        (void)unlink(s->lock.path);
        (void)rmdir(s->folder); /* unless somebody else has put something into it */
    }
    if (rc) {
        error_context(err, "removing the copy");
        error_hint(err, "the next %s of this shop tries it again", s->what);
    }
    file_lock_drop(&s->lock);
    cancel_defer(false);
    free(s->folder);
    free(s->tree);
    free(s->spare);
    free(s->name);
    *s = (struct scratch)SCRATCH_INIT;
    return rc;
}
