/*
 * The journal, the decision, and small sealed files.
 *
 * A journal record: magic "JRN1", length u32, checksum u64, JSON. The checksum is XXH3-64 of the JSON, seeded with the
 * record's offset, so that a record in the wrong place does not count. A record is appended only after the one before it was synced:
 * at most the last can be torn (J1). A torn record was never acted upon (T1), so it is cut off (J2). A bad
 * record with a good one behind it is damage, not tearing, and needs hands (J3).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hash.h"
#include "transaction_internal.h"

#define RECORD_HEAD 16
#define RECORD_MAX (4u << 20)
#define JOURNAL_MAX (64u << 20)

static const unsigned char magic[4] = {'J', 'R', 'N', '1'};

static bool record_at(const unsigned char *bytes, size_t len, uint64_t offset, size_t *json_len)
{
    const unsigned char *p = bytes + offset;
    uint32_t n;

    if (len - offset < RECORD_HEAD || memcmp(p, magic, sizeof(magic)) != 0)
        return false;
    n = get_u32(p + 4);
    if (n > RECORD_MAX || n > len - offset - RECORD_HEAD)
        return false;
    if (hash64_of(offset, p + RECORD_HEAD, n) != get_u64(p + 8))
        return false;
    *json_len = n;
    return true;
}

/* J3: does any whole record follow the bad one? */
static bool record_follows(const unsigned char *bytes, size_t len, uint64_t offset)
{
    size_t n;

    for (uint64_t at = offset + 1; at + RECORD_HEAD <= len; at++)
        if (record_at(bytes, len, at, &n))
            return true;
    return false;
}

enum error_kind journal_replay(const void *bytes, size_t len, journal_fn *fn, void *arg, uint64_t *good_len,
                               struct error *err)
{
    const unsigned char *p = bytes;
    uint64_t at = 0;
    size_t n = 0;
    enum error_kind rc = OK;

    while (at < len && record_at(p, len, at, &n)) {
        struct json *record = NULL;

        rc = json_parse(p + at + RECORD_HEAD, n, &record, err);
        if (!rc && fn)
            rc = fn(arg, record, err);
        json_free(record);
        if (rc)
            return rc;
        at += RECORD_HEAD + n;
    }
    if (at < len && record_follows(p, len, at))
        return error_set(err, ERR_PENDING, 0, "the journal is damaged at byte %llu", (unsigned long long)at);
    *good_len = at;
    return OK;
}

static enum error_kind append_at(struct journal *j, struct json *record, struct error *err)
{
    struct buffer json = BUFFER_INIT(RECORD_MAX);
    struct buffer out = BUFFER_INIT(RECORD_MAX + RECORD_HEAD);
    enum error_kind rc = json_print(record, &json, err);

    if (!rc)
        rc = buffer_append(&out, magic, sizeof(magic), err);
    if (!rc)
        rc = buffer_append_u32(&out, (uint32_t)json.len, err);
    if (!rc)
        rc = buffer_append_u64(&out, hash64_of(j->len, json.data, json.len), err);
    if (!rc)
        rc = buffer_append(&out, json.data, json.len, err);
    if (!rc)
        rc = file_write_at(j->fd, out.data, out.len, j->len, j->path, err);
    if (!rc)
        rc = file_sync(j->fd, j->path, err);
    if (!rc)
        j->len += out.len;
    buffer_release(&json);
    buffer_release(&out);
    return rc;
}

enum error_kind journal_append(struct journal *j, struct json *record, struct error *err)
{
    enum error_kind rc = append_at(j, record, err);

    if (rc)
        error_context(err, "writing the journal");
    return rc;
}

/*
 * The journal's first record and its name appear together: it is written under another name and renamed, so that a journal
 * without a "begin" never exists.
 */
enum error_kind journal_create(struct journal *j, const struct place *p, struct json *begin, struct error *err)
{
    char *fresh = NULL;
    enum error_kind rc = place_path(p, "journal", &j->path, err);

    if (!rc)
        rc = place_path(p, "journal.new", &fresh, err);
    if (!rc && place_has(p, "journal"))
        rc = error_set(err, ERR_PENDING, 0, "%s exists", j->path);
    if (!rc)
        rc = file_open(AT_FDCWD, fresh, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600, &j->fd, err);
    if (!rc)
        rc = journal_append(j, begin, err);
    if (!rc)
        rc = file_rename_new(AT_FDCWD, fresh, AT_FDCWD, j->path, err);
    if (rc) { /* nothing has begun: nobody has seen the name */
        file_close(&j->fd);
        if (fresh)
            (void)unlink(fresh);
    } else {
        rc = directory_sync(AT_FDCWD, p->folder, err);
    }
    free(fresh);
    return rc;
}

static bool is_debris(const char *name)
{
    return !strcmp(name, "journal.new") || !strcmp(name, "decision") || !strcmp(name, RENEWAL_UNLINKED) ||
           !strncmp(name, DRAFT_PREFIX, strlen(DRAFT_PREFIX));
}

enum error_kind journal_tidy(const struct place *p, struct error *err)
{
    DIR *dir = opendir(p->folder);
    struct dirent *e;
    enum error_kind rc = OK;

    if (!dir)
        return errno == ENOENT ? OK : error_set(err, ERR_IO, errno, "%s", p->folder);
    while (!rc && (e = readdir(dir)))
        if (is_debris(e->d_name))
            rc = file_unlink(dirfd(dir), e->d_name, err);
    closedir(dir);
    return rc;
}

enum error_kind journal_open(struct journal *j, const struct place *p, journal_fn *fn, void *arg, struct error *err)
{
    struct buffer bytes = BUFFER_INIT(JOURNAL_MAX);
    uint64_t good = 0;
    enum error_kind rc = place_path(p, "journal", &j->path, err);

    if (!rc)
        rc = file_read_whole(AT_FDCWD, j->path, JOURNAL_MAX, &bytes, err);
    if (!rc)
        rc = journal_replay(bytes.data, bytes.len, fn, arg, &good, err);
    if (rc)
        goto done;
    if (good == 0) {
        rc = error_set(err, ERR_PENDING, 0, "%s has no readable beginning", j->path);
        error_hint(err, "compare the site with its snapshot (nopsnap diff), then move the journal away");
        goto done;
    }
    rc = file_open(AT_FDCWD, j->path, O_RDWR | O_NOFOLLOW, 0, &j->fd, err);
    if (!rc && good < bytes.len && ftruncate(j->fd, (off_t)good) != 0) /* J2 */
        rc = error_set(err, ERR_IO, errno, "%s", j->path);
    if (!rc && good < bytes.len)
        rc = file_sync(j->fd, j->path, err);
    j->len = good;
done:
    buffer_release(&bytes);
    return rc;
}

void journal_close(struct journal *j)
{
    file_close(&j->fd);
    free(j->path);
    *j = (struct journal)JOURNAL_INIT;
}

static enum error_kind unlink_if_there(const char *path, struct error *err)
{
    struct error gone = ERROR_INIT;
    enum error_kind rc = file_unlink(AT_FDCWD, path, &gone);

    if (rc && rc != ERR_NOT_FOUND) {
        error_copy(err, &gone);
        return rc;
    }
    return OK;
}

enum error_kind journal_end(struct journal *j, const struct place *p, struct error *err)
{
    char *decision = NULL;
    enum error_kind rc = place_path(p, "decision", &decision, err);

    if (!rc)
        rc = unlink_if_there(j->path, err);
    if (!rc)
        rc = directory_sync(AT_FDCWD, p->folder, err);
    if (!rc)
        rc = unlink_if_there(decision, err); /* a decision without its journal means nothing: its token is checked */
    if (!rc)
        rc = directory_sync(AT_FDCWD, p->folder, err);
    free(decision);
    journal_close(j);
    return rc;
}

/* ---- sealed files ---- */

#define SEALED_MAX (8u << 20)

enum error_kind sealed_write(const char *path, struct json *value, struct error *err)
{
    struct buffer json = BUFFER_INIT(SEALED_MAX);
    struct buffer out = BUFFER_INIT(SEALED_MAX + 64);
    enum error_kind rc = json_print(value, &json, err);

    if (!rc)
        rc = buffer_append_format(&out, err, "%016llx\n", (unsigned long long)hash64_of(0, json.data, json.len));
    if (!rc)
        rc = buffer_append(&out, json.data, json.len, err);
    if (!rc)
        rc = file_replace(path, out.data, out.len, 0600, err);
    buffer_release(&json);
    buffer_release(&out);
    return rc;
}

enum error_kind sealed_read(const char *path, struct json **out, struct error *err)
{
    struct buffer bytes = BUFFER_INIT(SEALED_MAX + 64);
    char sum[17];
    enum error_kind rc = file_read_whole(AT_FDCWD, path, SEALED_MAX, &bytes, err);

    if (rc)
        goto done;
    if (bytes.len < 17 || bytes.data[16] != '\n') {
        rc = error_set(err, ERR_CORRUPT, 0, "%s is damaged", path);
        goto done;
    }
    (void)snprintf(sum, sizeof(sum), "%016llx", (unsigned long long)hash64_of(0, bytes.data + 17, bytes.len - 17));
    if (memcmp(sum, bytes.data, 16) != 0)
        rc = error_set(err, ERR_CORRUPT, 0, "%s is damaged", path);
    else
        rc = json_parse(bytes.data + 17, bytes.len - 17, out, err);
done:
    buffer_release(&bytes);
    return rc;
}

enum error_kind decision_write(const struct place *p, const char *token, enum decision d, struct error *err)
{
    struct json *v = json_object();
    char *path = NULL;
    enum error_kind rc = place_path(p, "decision", &path, err);

    json_put_text(v, "token", token);
    json_put_text(v, "decision", d == DECISION_COMMIT ? "commit" : "undo");
    if (!rc)
        rc = sealed_write(path, v, err);
    if (rc)
        error_context(err, "writing the decision");
    json_free(v);
    free(path);
    return rc;
}

enum error_kind decision_read(const struct place *p, const char *token, enum decision *out, struct error *err)
{
    struct error why = ERROR_INIT;
    struct json *v = NULL;
    const char *its_token;
    const char *word;
    char *path = NULL;
    enum error_kind rc = place_path(p, "decision", &path, err);

    if (rc)
        return rc;
    *out = DECISION_NONE;
    rc = sealed_read(path, &v, &why);
    if (rc == ERR_IO ||
        rc == ERR_MEMORY) { /* unreadable is not absent: going the wrong way would be worse than waiting */
        error_copy(err, &why);
        goto done;
    }
    if (rc) {
        rc = OK;
        goto done;
    }
    its_token = json_text(json_get(v, "token"));
    word = json_text(json_get(v, "decision"));
    if (its_token && word && !strcmp(its_token, token))
        *out = !strcmp(word, "commit") ? DECISION_COMMIT : DECISION_UNDO;
done:
    json_free(v);
    free(path);
    return rc;
}
