#include "scratch.h"

#include <dirent.h>
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
#define MARK_NEW MARK_NAME FILE_ALONE_SUFFIX
#define LOCK_NAME "lock"
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
static enum error_kind read_mark(const struct scratch *s, const struct buffer *text, char token[SCRATCH_TOKEN_LEN + 1],
                                 bool *has_database, struct error *err)
{
    char head[64];
    int n = snprintf(head, sizeof(head), "nopsnap %s ", s->what);
    const char *bytes = (const char *)text->data;

    if (text->len < (size_t)n + SCRATCH_TOKEN_LEN + 1 || memcmp(bytes, head, (size_t)n) != 0 ||
        strspn(bytes + n, "0123456789abcdef") != SCRATCH_TOKEN_LEN)
        return error_set(err, ERR_REFUSED, 0, "%s/" MARK_NAME " is no mark of a %s", s->folder, s->what);
    memcpy(token, bytes + n, SCRATCH_TOKEN_LEN);
    token[SCRATCH_TOKEN_LEN] = '\0';
    *has_database = strncmp(bytes + n + SCRATCH_TOKEN_LEN, " database", 9) == 0;
    return OK;
}

static enum error_kind remove_left(struct scratch *s, const struct buffer *text, const struct progress *progress,
                                   struct error *err)
{
    char token[SCRATCH_TOKEN_LEN + 1] = "";
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
static enum error_kind open_own(const char *folder, int *out, struct error *err)
{
    struct stat st;

    *out = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*out < 0)
        return errno == ENOTDIR || errno == ELOOP
                   ? refuse_folder(folder, err)
                   : error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "%s", folder);
    if (fstat(*out, &st))
        return error_set(err, ERR_IO, errno, "%s", folder);
    return st.st_uid == geteuid() ? OK : refuse_folder(folder, err);
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
        rc = open_own(s->folder, dir, err);
    if (!rc && fchmod(*dir, mode)) /* whatever the umask says */
        rc = error_set(err, ERR_IO, errno, "%s", s->folder);
    free(parent);
    return rc;
}

enum error_kind scratch_token(char out[SCRATCH_TOKEN_LEN + 1], struct error *err)
{
    unsigned char token[SCRATCH_TOKEN_LEN / 2];
    enum error_kind rc = random_bytes(token, sizeof(token), err);

    if (!rc)
        hex_encode(token, sizeof(token), out);
    return rc;
}

static enum error_kind mark(struct scratch *s, const char *given, struct error *err)
{
    char token[SCRATCH_TOKEN_LEN + 1];
    char text[MARK_MAX];
    char *path = NULL;
    enum error_kind rc = in_folder(s, MARK_NAME, &path, err);

    if (!rc && !given)
        rc = scratch_token(token, err);
    if (!rc) {
        memcpy(s->token, given ? given : token, sizeof(s->token));
        (void)snprintf(text, sizeof(text), "nopsnap %s %s%s\n", s->what, s->token, s->db ? " database" : "");
        rc = file_replace_alone(path, text, strlen(text), 0600, err);
    }
    free(path);
    return rc;
}

static enum error_kind name_parts(struct scratch *s, const struct scratch_spec *spec, struct error *err)
{
    enum error_kind rc = memory_string(spec->folder, &s->folder, err);

    s->what = spec->what;
    s->db = spec->db;
    s->vacate = spec->vacate;
    if (!rc)
        rc = in_folder(s, "tree", &s->tree, err);
    return rc ? rc : in_folder(s, "scratch", &s->spare, err);
}

/* dir: the folder, opened */
static enum error_kind lock_folder(struct scratch *s, int dir, struct error *err)
{
    char *lock = NULL;
    char *what = NULL;
    enum error_kind rc = in_folder(s, LOCK_NAME, &lock, err);

    if (!rc)
        rc = memory_format(&what, err, "the %s of this shop", s->what);
    if (!rc)
        rc = file_lock_take(&s->lock, lock, LOCK_EXCLUSIVE, 0, what, err);
    if (!rc)
        rc = check_same(s->folder, dir, err);
    free(lock);
    free(what);
    return rc;
}

enum error_kind scratch_begin(struct scratch *s, const struct scratch_spec *spec, const struct progress *progress,
                              struct error *err)
{
    int dir = -1;
    enum error_kind rc = name_parts(s, spec, err);

    if (!rc)
        rc = make_folder(s, spec->mode, &dir, err);
    if (!rc)
        rc = lock_folder(s, dir, err);
    if (!rc)
        rc = clear_left(s, progress, err);
    if (!rc)
        rc = mark(s, spec->token, err);
    file_close(&dir);
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

static void remove_folder(struct scratch *s)
{
    char *fresh = NULL;
    struct error ignored = ERROR_INIT;

    if (in_folder(s, MARK_NEW, &fresh, &ignored) == OK) /* of one that was killed while it marked */
        (void)unlink(fresh);
    (void)unlink(s->lock.path);
    (void)rmdir(s->folder); /* unless somebody else has put something into it */
    free(fresh);
}

static void release(struct scratch *s)
{
    file_lock_drop(&s->lock);
    free(s->folder);
    free(s->tree);
    free(s->spare);
    free(s->name);
    *s = (struct scratch)SCRATCH_INIT;
}

enum error_kind scratch_end(struct scratch *s, struct error *err)
{
    enum error_kind rc = OK;

    cancel_defer(true);
    if (s->token[0])
        rc = remove_marked(s, s->token, err);
    if (!rc && s->lock.fd >= 0)
        remove_folder(s);
    if (rc) {
        error_context(err, "removing the copy");
        error_hint(err, "the next %s of this shop tries it again", s->what);
    }
    release(s);
    cancel_defer(false);
    return rc;
}

/* ---- by a note ---- */

/* Neither has one that was killed before it marked, or after the mark had gone. */
static bool holds_nothing_else(int dir)
{
    int copy = fcntl(dir, F_DUPFD_CLOEXEC, 0);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *e;
    bool only = d != NULL;

    if (!d)
        file_close(&copy);
    while (only && (e = readdir(d)))
        only = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || !strcmp(e->d_name, LOCK_NAME) ||
               !strcmp(e->d_name, MARK_NEW);
    if (d)
        closedir(d);
    return only;
}

/* X2: OK with *ours false for whatever has nothing to do with that token. */
static enum error_kind look_whose(const struct scratch *s, int dir, const char *token, bool *ours, struct error *err)
{
    struct buffer text = BUFFER_INIT(MARK_MAX);
    struct error why = ERROR_INIT;
    char marked[SCRATCH_TOKEN_LEN + 1] = "";
    bool ignored;
    enum error_kind rc = file_read_whole(dir, MARK_NAME, MARK_MAX - 1, &text, &why);

    *ours = false;
    if (rc == ERR_NOT_FOUND)
        *ours = holds_nothing_else(dir);
    else if (rc == ERR_IO)
        error_copy(err, &why);
    else if (!rc && read_mark(s, &text, marked, &ignored, &why) == OK)
        *ours = !strcmp(marked, token);
    buffer_release(&text);
    return rc == ERR_IO ? rc : OK;
}

enum error_kind scratch_remove(const struct scratch_spec *spec, const struct progress *progress, struct error *err)
{
    struct scratch s = SCRATCH_INIT;
    struct error gone = ERROR_INIT;
    bool ours = false;
    int dir = -1;
    enum error_kind rc = name_parts(&s, spec, err);

    if (!rc && open_own(spec->folder, &dir, &gone) == OK)
        rc = look_whose(&s, dir, spec->token, &ours, err);
    else if (!rc && gone.kind == ERR_IO) {
        error_copy(err, &gone);
        rc = gone.kind;
    }
    if (!rc && ours)
        rc = lock_folder(&s, dir, err);
    if (!rc)
        progress_step(progress, "removing what a %s left that was ended", s.what);
    if (!rc)
        rc = ours ? remove_marked(&s, spec->token, err) : drop_copy(&s, spec->token, err);
    if (!rc && ours)
        remove_folder(&s);
    if (rc && rc != ERR_BUSY)
        error_context(err, "removing what a %s left in %s", spec->what, spec->folder);
    release(&s);
    file_close(&dir);
    return rc;
}
