/*
 * Rows of table Picture without a file. A shop whose pictures lie on disk has, for each row, "0000001_0." and an ending that depends on the
 * picture's type, in one folder. The names come from the dump's rows, sorted outside of memory (T4), and are held against the folder as it
 * is in the snapshot, whose entries are sorted as well.
 */
#include "snapshot_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "file.h"
#include "sorter.h"
#include "thread.h"
#include "tree.h"

enum { SORT_MEMORY = 8 << 20, DIGITS_MIN = 7, NAME_MAX_BYTES = 32, NAMES_SHOWN = 5 };

struct missing {
    uint64_t count;
    char names[NAMES_SHOWN][NAME_MAX_BYTES]; /* the first ones */
};

/* ---- what is expected ---- */

/* What can't be kept costs the count, not the dump. */
static enum error_kind expect(void *arg, int64_t id, struct error *err)
{
    struct taking *t = arg;
    char name[NAME_MAX_BYTES];
    int len = snprintf(name, sizeof name, "%0*" PRId64 "_0.", DIGITS_MIN, id);

    if (id >= 0 && !t->pictures_fault.kind)
        (void)sorter_add(t->pictures_expected, name, (size_t)len, &t->pictures_fault);
    return cancel_check(err);
}

enum error_kind pictures_expect(struct taking *t, struct database_dump *dump, struct error *err)
{
    enum error_kind rc;

    if (t->options->part != SNAPSHOT_WHOLE || t->site->layout == SITE_PLAIN)
        return OK;
    rc = sorter_new(&t->pictures_expected, err);
    if (rc)
        return rc;
    sorter_begin(t->pictures_expected, SORT_MEMORY);
    database_dump_pictures(dump, expect, t);
    return OK;
}

void pictures_forget(struct taking *t)
{
    sorter_free(t->pictures_expected);
    t->pictures_expected = NULL;
}

/* ---- what the site's rules leave out ---- */

static bool is_original(const char *name)
{
    size_t digits = strspn(name, "0123456789");

    return digits >= DIGITS_MIN && !strncmp(name + digits, "_0.", 3);
}

static bool lies_in(const char *path, const char *folder)
{
    size_t above = (size_t)(path_base(path) - path);
    size_t len = above ? above - 1 : 0; /* without the slash */

    return strlen(folder) == len && !strncmp(path, folder, len);
}

static bool is_or_holds(const char *path, const char *folder)
{
    size_t len = strlen(path);

    return !strncmp(folder, path, len) && (folder[len] == '/' || folder[len] == '\0');
}

void pictures_left_out(struct taking *t, const struct walk_item *item)
{
    const char *folder = t->pictures_folder;
    bool hit;

    if (!t->pictures_expected || t->pictures) /* a folder outside the site has no rules */
        return;
    if (S_ISDIR(item->st.st_mode))
        hit = is_or_holds(item->path, folder);
    else
        hit = is_original(path_base(item->path)) && lies_in(item->path, folder);
    if (hit)
        pictures_forget(t);
}

/* ---- comparing ---- */

/* The folder's tree; *found false where the snapshot has no such folder. */
static enum error_kind find_folder(struct taking *t, struct chunk_id *out, bool *found, struct error *err)
{
    const struct snapshot_record *record = &t->result->record;
    const struct snapshot_root *root = &record->roots[t->pictures ? 1 : 0];
    struct buffer encoded = BUFFER_INIT(16 << 20);
    struct tree_scratch *scratch = NULL;
    struct tree_entry entry;
    struct error absent = ERROR_INIT;
    enum error_kind rc;

    *found = false;
    if (root >= record->roots + record->root_count)
        return OK;
    rc = tree_lookup(t->cat, &root->tree, t->pictures_folder, &encoded, &absent);
    if (rc) {
        if (rc == ERR_NOT_FOUND)
            rc = OK;
        else
            error_copy(err, &absent);
        goto done;
    }
    rc = tree_scratch_new(&scratch, err);
    if (!rc)
        rc = tree_entry_decode(scratch, encoded.data, encoded.len, &entry, err);
    if (rc)
        goto done;
    *found = entry.type == TREE_DIRECTORY; /* what a link in its place leads to is not in the snapshot */
    *out = entry.tree;

done:
    tree_scratch_free(scratch);
    buffer_release(&encoded);
    return rc;
}

/* The next entry that can be a picture; *more false at the end of the folder, and where there is none. */
static enum error_kind next_file(struct tree_reader *folder, struct tree_entry *out, bool *more, struct error *err)
{
    enum error_kind rc = OK;

    *more = folder != NULL;
    while (!rc && *more) {
        rc = tree_reader_next(folder, out, more, err);
        if (!rc && *more && (out->type == TREE_FILE || out->type == TREE_SYMLINK))
            break;
    }
    return rc;
}

/* Is the entry before every name that begins with `name`, one of them (0), or behind? */
static int order_of(const struct tree_entry *e, const void *name, size_t len)
{
    int order = memcmp(e->name, name, e->name_len < len ? e->name_len : len);

    return order || e->name_len >= len ? order : -1;
}

static enum error_kind merge(struct taking *t, struct tree_reader *folder, struct missing *out, struct error *err)
{
    struct tree_entry e;
    const void *name = NULL;
    size_t len = 0;
    bool more = false;
    enum error_kind rc = sorter_sort(t->pictures_expected, err);

    if (!rc)
        rc = next_file(folder, &e, &more, err);
    while (!rc && !(rc = sorter_next(t->pictures_expected, &name, &len, err)) && name) {
        rc = cancel_check(err);
        while (!rc && more && order_of(&e, name, len) < 0)
            rc = next_file(folder, &e, &more, err);
        if (rc || (more && order_of(&e, name, len) == 0))
            continue;
        if (out->count < NAMES_SHOWN)
            memcpy(out->names[out->count], name, len + 1);
        out->count++;
    }
    return rc;
}

static enum error_kind find_missing(struct taking *t, struct missing *out, struct error *err)
{
    struct tree_reader *folder = NULL;
    struct chunk_id id;
    bool found = false;
    enum error_kind rc = find_folder(t, &id, &found, err);

    if (!rc && found)
        rc = tree_reader_open(t->cat, &id, &folder, err);
    if (!rc)
        rc = merge(t, folder, out, err);
    tree_reader_close(folder);
    return rc;
}

/* ---- saying ---- */

static enum error_kind describe(const struct missing *m, const char *folder, struct buffer *out, struct error *err)
{
    unsigned shown = m->count < NAMES_SHOWN ? (unsigned)m->count : NAMES_SHOWN;
    enum error_kind rc = buffer_append_format(
        out, err, "%" PRIu64 " row%s of table Picture %s no file in %s of the snapshot: ", m->count,
        m->count == 1 ? "" : "s", m->count == 1 ? "has" : "have", folder);

    for (unsigned i = 0; !rc && i < shown; i++)
        rc = buffer_append_format(out, err, "%s%s*", i ? ", " : "", m->names[i]);
    if (!rc && m->count > shown)
        rc = buffer_append_format(out, err, " and %" PRIu64 " more", m->count - shown);
    return rc;
}

static enum error_kind say_missing(struct taking *t, const struct missing *m, struct error *err)
{
    const char *folder = t->pictures ? t->pictures : t->pictures_folder[0] ? t->pictures_folder : t->site->path;
    struct buffer line = BUFFER_INIT(64 << 10);
    enum error_kind rc = describe(m, folder, &line, err);

    if (!rc)
        rc = text_list_add(&t->result->record.notes, (char *)line.data, err);
    if (!rc) /* no warning: so the shop was, and the snapshot has all of it */
        progress_note(t->progress, "%s", (char *)line.data);
    buffer_release(&line);
    return rc;
}

/* No reason to have no snapshot: the count is what is lost. */
static enum error_kind say_unknown(struct taking *t, const struct error *why, struct error *err)
{
    progress_warn(t->progress, "whether every row of table Picture has its file was not found out: %s", why->text);
    return text_list_addf(&t->result->record.notes, err,
                          "whether every row of table Picture has its file was not found out: %s", why->text);
}

enum error_kind pictures_compare(struct taking *t, struct error *err)
{
    struct missing m = {.count = 0};
    struct error *fault = &t->pictures_fault;

    if (!t->pictures_expected)
        return OK;
    if (!fault->kind)
        (void)find_missing(t, &m, fault);
    if (fault->kind == ERR_CANCELLED) {
        error_copy(err, fault);
        return err->kind;
    }
    if (fault->kind)
        return say_unknown(t, fault, err);
    t->result->pictures_compared = true;
    t->result->pictures_missing = m.count;
    return m.count ? say_missing(t, &m, err) : OK;
}
